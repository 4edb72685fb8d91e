// Groups as their users see them: real consumers of a real broker, on a clock that the test turns.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/faulty_platform.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/temp_directory.hpp"

namespace client_group_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::outcome_of;
using brook::test::temp_directory;
using brook::test::values;

namespace {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

struct world {
    temp_directory directory;
    faulty_platform platform{os::posix()};
    std::optional<brook::broker> broker;

    world() {
        platform.set_monotonic(1h);
        open();
    }
    void open() {
        broker.reset();
        broker.emplace(directory.path(), brook::broker_options{.maintenance = maintenance::manual, .platform = &platform});
    }
    [[nodiscard]] numbers_topic numbers(std::int32_t partitions, std::string_view name = "numbers") {
        return broker->create_topic<no_key, std::uint64_t>(name, {.partitions = partitions, .segment_bytes = 1 << 20});
    }
};

void send(const numbers_topic& topic, std::uint64_t count, std::uint64_t first = 0) {
    brook::producer producer{topic};
    for (std::uint64_t i = first; i < first + count; ++i) {
        producer.send({.value = i, .partition = static_cast<std::int32_t>(i % static_cast<std::uint64_t>(topic.partition_count()))});
    }
}

std::size_t read(numbers_consumer& consumer) { return consumer.poll(0s).size(); }

}  // namespace

TEST_CASE("members of a group share out the partitions as they poll", "[client][group]") {
    world here;
    const auto topic = here.numbers(6);
    send(topic, 60);
    numbers_consumer first{topic, {.group_id = "workers"}};
    CHECK(read(first) == 60);
    first.commit();
    {
        numbers_consumer second{topic, {.group_id = "workers"}};
        CHECK(read(second) == 0);
        CHECK(second.assignment().empty());
        CHECK_FALSE(second.caught_up());  // the other has it still
        CHECK_FALSE(first.caught_up());   // there is something to settle
        CHECK(here.broker->group("workers").state == group_state::reconciling);
        CHECK(read(first) == 0);
        CHECK(first.assignment().size() == 3);
        CHECK(read(second) == 0);
        CHECK(second.assignment().size() == 3);
        const auto told = here.broker->group("workers");
        CHECK(told.state == group_state::stable);
        CHECK(told.generation == 2);
        CHECK(told.assignor == "cooperative-sticky");
        REQUIRE(told.members.size() == 2);
        CHECK(told.members[0].assignment.size() == 3);
        CHECK(told.lag() == 0);
        send(topic, 12);
        CHECK(here.broker->group("workers").lag() == 12);
        CHECK(read(first) == 6);
        CHECK(read(second) == 6);
        second.commit();
        CHECK(here.broker->group("workers").lag() == 6);
    }
    CHECK(read(first) == 0);
    CHECK(first.assignment().size() == 6);
}

TEST_CASE("who waits in a poll gives up what another is to have", "[client][group]") {
    world here;
    here.platform.use_real_monotonic();
    const auto topic = here.numbers(2);
    numbers_consumer first{topic, {.group_id = "workers"}};
    CHECK(read(first) == 0);
    std::thread waiting{[&] { static_cast<void>(first.poll()); }};
    numbers_consumer second{topic, {.group_id = "workers"}};
    while (second.assignment().empty()) {
        static_cast<void>(second.poll(1ms));
    }
    first.wakeup();
    waiting.join();
    CHECK(first.assignment().size() == 1);
    CHECK(second.assignment().size() == 1);
}

TEST_CASE("a listener is told what comes and goes, and can still commit what goes", "[client][group]") {
    world here;
    const auto topic = here.numbers(4);
    send(topic, 40);
    std::vector<std::string> told;
    numbers_consumer* itself = nullptr;
    const auto note = [&](std::string what) { return [&told, what](const std::vector<partition>& which) { told.push_back(what + ' ' + std::to_string(which.size())); }; };
    consumer_options options{.group_id = "workers"};
    options.rebalance_listener.on_partitions_assigned = note("assigned");
    options.rebalance_listener.on_partitions_lost = note("lost");
    options.rebalance_listener.on_partitions_revoked = [&](const std::vector<partition>& which) {
        told.push_back("revoked " + std::to_string(which.size()));
        itself->commit();
    };
    numbers_consumer first{topic, options};
    itself = &first;
    CHECK(read(first) == 40);
    CHECK(told == std::vector<std::string>{"assigned 4"});
    numbers_consumer second{topic, {.group_id = "workers"}};
    CHECK(read(second) == 0);
    CHECK(read(first) == 0);
    CHECK(told.back() == "revoked 2");
    CHECK(read(second) == 0);  // all of it was committed
    CHECK(second.assignment().size() == 2);

    for (int minute = 0; minute < 6; ++minute) {
        here.platform.advance_monotonic(1min);
        CHECK(read(second) == 0);
        here.broker->maintain();  // in the end it puts the first one out
    }
    CHECK(here.broker->group("workers").members.size() == 1);
    CHECK(code_of([&] { first.commit(first.assignment().front(), 0); }) == errc::illegal_generation);
    CHECK(read(second) == 0);
    CHECK(second.assignment().size() == 4);
    CHECK(read(first) == 0);  // comes back as somebody new
    CHECK(told.back() == "lost 2");
    CHECK(read(second) == 0);
    CHECK(read(first) == 0);
    CHECK(told.back() == "assigned 2");
    CHECK(told.size() == 4);
}

TEST_CASE("what a listener throws passes through the poll, and the group goes on", "[client][group]") {
    world here;
    const auto topic = here.numbers(2);
    consumer_options options{.group_id = "workers"};
    options.rebalance_listener.on_partitions_revoked = [](const std::vector<partition>&) { throw std::runtime_error{"not now"}; };
    numbers_consumer first{topic, options};
    CHECK(read(first) == 0);
    numbers_consumer second{topic, {.group_id = "workers"}};
    CHECK(read(second) == 0);
    CHECK_THROWS_AS(first.poll(0s), std::runtime_error);
    CHECK(first.assignment().size() == 1);
    CHECK(read(second) == 0);
    CHECK(second.assignment().size() == 1);
    CHECK(read(first) == 0);
}

TEST_CASE("a consumer that another replaced under its instance id is told so", "[client][group]") {
    world here;
    const auto topic = here.numbers(2);
    send(topic, 10);
    numbers_consumer first{topic, {.group_id = "workers", .group_instance_id = "left hand"}};
    CHECK(read(first) == 10);
    numbers_consumer second{topic, {.group_id = "workers", .group_instance_id = "left hand"}};
    CHECK(read(second) == 10);
    CHECK(code_of([&] { first.commit(); }) == errc::illegal_generation);
    const auto mine = topic.partition(0);
    for (int i = 0; i < 2; ++i) {
        const auto refused = outcome_of([&] { static_cast<void>(first.poll(0s)); });
        CHECK(refused.code == errc::fenced_instance_id);
        CHECK(refused.names("left hand"));
        CHECK(code_of([&] { first.commit(); }) == errc::fenced_instance_id);
        CHECK(code_of([&] { first.commit(mine, 0); }) == errc::fenced_instance_id);
        CHECK(code_of([&] { static_cast<void>(first.position(mine)); }) == errc::fenced_instance_id);
    }
    second.commit();
    CHECK(here.broker->group("workers").members.size() == 1);
    first.subscribe(topic);  // means it, this time
    CHECK(read(first) == 0);
    CHECK(first.assignment().size() == 2);
}

TEST_CASE("commits are for what is one's own, and for what is there", "[client][group]") {
    world here;
    const auto topic = here.numbers(2);
    send(topic, 10);
    numbers_consumer member{topic, {.group_id = "workers"}};
    CHECK(read(member) == 10);
    const auto beyond = outcome_of([&] { member.commit(topic.partition(1), 6); });
    CHECK(beyond.code == errc::offset_out_of_range);
    CHECK(beyond.names("offset 6"));
    member.commit(topic.partition(1), 5);

    numbers_consumer outsider{topic, {.group_id = "workers"}};
    outsider.assign({topic.partition(0)});
    CHECK(read(outsider) == 5);
    CHECK(code_of([&] { outsider.commit(); }) == errc::illegal_generation);
    member.assign({topic.partition(1)});  // the group has no members now, and whoever is assigned to may commit
    outsider.commit();
    CHECK(member.committed(topic.partition(0)) == std::optional<offset>{5});
    CHECK(here.broker->group("workers").state == group_state::empty);
}

TEST_CASE("a static member that left is a member until its session is over, which upkeep sees", "[client][group]") {
    temp_directory directory;
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2});
    numbers_consumer other{topic, {.group_id = "workers", .max_poll_interval = 24h}};  // so that upkeep has no other reason to look
    CHECK(read(other) == 0);
    {
        numbers_consumer leaving{topic, {.group_id = "workers", .group_instance_id = "left hand", .max_poll_interval = 24h, .session_timeout = 100ms}};
        CHECK(read(leaving) == 0);
        CHECK(read(other) == 0);
        CHECK(read(leaving) == 0);
        CHECK(leaving.assignment().size() == 1);
    }
    const auto refused = outcome_of([&] { broker.delete_group("workers"); });
    CHECK(refused.code == errc::non_empty_group);
    CHECK(refused.names("left hand"));
    while (other.assignment().size() < 2) {  // the test's own time limit ends it if upkeep does not look
        static_cast<void>(other.poll(50ms));
    }
    CHECK(broker.group("workers").members.size() == 1);
    CHECK(outcome_of([&] { numbers_consumer{topic, {.group_instance_id = "alone"}}; }).names("group_id"));
}

TEST_CASE("members of a group share out by one assignor", "[client][group]") {
    world here;
    const auto topic = here.numbers(2);
    numbers_consumer first{topic, {.group_id = "workers", .partition_assignment_strategy = assignors::range()}};
    CHECK(read(first) == 0);
    numbers_consumer second{topic, {.group_id = "workers"}};
    const auto refused = outcome_of([&] { static_cast<void>(second.poll(0s)); });
    CHECK(refused.code == errc::inconsistent_group_protocol);
    CHECK(refused.names("range"));
    CHECK(refused.names("cooperative-sticky"));
}

TEST_CASE("groups are listed, deleted, and sent elsewhere while nobody is in them", "[client][group]") {
    world here;
    const auto topic = here.numbers(2);
    send(topic, 10);
    CHECK(here.broker->groups().empty());
    CHECK(code_of([&] { static_cast<void>(here.broker->group("workers")); }) == errc::group_id_not_found);
    CHECK(code_of([&] { here.broker->delete_group("workers"); }) == errc::group_id_not_found);
    std::optional<numbers_consumer> member{std::in_place, topic, consumer_options{.group_id = "workers"}};
    CHECK(read(*member) == 10);
    member->commit();
    CHECK(here.broker->groups() == std::vector<std::string>{"workers"});
    const auto to_start = [](const partition& one) { return one.log_start_offset(); };
    CHECK(code_of([&] { here.broker->delete_group("workers"); }) == errc::non_empty_group);
    CHECK(code_of([&] { here.broker->reset_group_offsets("workers", topic, to_start); }) == errc::non_empty_group);
    member.reset();

    here.broker->reset_group_offsets("workers", topic, to_start);
    CHECK(here.broker->group("workers").lag() == 10);
    here.broker->reset_group_offsets("workers", topic, [](const partition& one) { return one.log_end_offset() - 2; });
    CHECK(here.broker->group("workers").lag() == 4);
    here.broker->reset_group_offsets("workers", topic, [](const partition&) { return offset{1'000}; });
    CHECK(here.broker->group("workers").lag() == 0);
    CHECK(here.broker->group("workers").partitions.front().committed == std::optional<offset>{5});

    here.broker->delete_group("workers");
    CHECK(here.broker->groups().empty());
    here.open();  // and it stays so
    CHECK(here.broker->groups().empty());
    const auto again = here.numbers(2);
    numbers_consumer anew{again, {.group_id = "workers"}};
    CHECK(read(anew) == 10);
}

namespace {

/// A broker on a clock that the test turns, with a topic of two partitions and ten records.
struct aging_world : world {
    aging_world() {
        platform.set_now(timestamp{20'000 * 24h});
        send(numbers(2), 10);
    }
    void pass(std::chrono::nanoseconds time) {
        platform.advance_now(time);
        platform.advance_monotonic(time);
    }
    [[nodiscard]] bool has_group() {
        broker->maintain();
        return !broker->groups().empty();
    }
    [[nodiscard]] numbers_consumer member(std::string instance = {}) {
        numbers_consumer made{numbers(2), {.group_id = "workers", .group_instance_id = std::move(instance), .max_poll_interval = 1'000h}};
        static_cast<void>(made.poll(0s));
        return made;
    }
};

}  // namespace

TEST_CASE("what a group has committed is forgotten when it has had no members for long enough", "[client][group][retention]") {
    aging_world here;
    {
        auto one = here.member();
        one.commit();
        here.pass(30 * 24h);
        CHECK(here.has_group());  // it has a member, who has nothing to commit
    }
    CHECK(here.has_group());
    here.pass(7 * 24h - 1min);
    CHECK(here.has_group());
    CHECK(here.broker->group("workers").lag() == 0);
    SECTION("for good") {
        here.pass(1min);
        CHECK_FALSE(here.has_group());
        here.open();
        CHECK_FALSE(here.has_group());
        numbers_consumer anew{here.numbers(2), {.group_id = "workers"}};
        CHECK(read(anew) == 10);
    }
    SECTION("counted anew when members have come and gone") {
        { auto another = here.member(); }
        CHECK(here.has_group());
        here.pass(7 * 24h - 1min);
        CHECK(here.has_group());
        here.pass(1min);
        CHECK_FALSE(here.has_group());
    }
    SECTION("though no broker runs meanwhile") {
        here.broker.reset();
        here.pass(1min);
        here.open();
        CHECK_FALSE(here.has_group());
    }
}

TEST_CASE("a group that a broker left with its members is forgotten no sooner than it could have come back", "[client][group][retention]") {
    aging_world here;
    std::optional<numbers_consumer> one = here.member();
    one->commit();
    const bool was_empty_before = GENERATE(false, true);
    if (was_empty_before) {
        one.reset();
        CHECK(here.has_group());
        here.pass(1min);
        CHECK(here.has_group());  // notes that it has none
        one.emplace(here.member());
    }
    here.pass(30 * 24h);
    here.broker.reset();  // as a kill would: the member is still there
    here.open();
    CHECK(here.has_group());
    CHECK(read(*std::make_unique<numbers_consumer>(here.member())) == 0);
    CHECK(here.has_group());
    here.pass(7 * 24h);
    CHECK_FALSE(here.has_group());
    one.reset();
}

TEST_CASE("who only comes and goes leaves no note of it", "[client][group][retention]") {
    aging_world here;
    { here.member().commit(); }
    const auto written = [&] { return brook::detail::access::core(*here.broker)->offsets().topic()->partition(0).log_end_offset(); };
    const offset before = written();
    here.open();
    for (int i = 0; i < 3; ++i) {
        CHECK(here.has_group());
        here.pass(59s);
        CHECK(here.has_group());
        static_cast<void>(here.member());
    }
    CHECK(written() == before);
    CHECK(here.has_group());
    here.pass(1min);
    CHECK(here.has_group());
    CHECK(written() == before + 1);
    here.pass(1h);
    CHECK(here.has_group());
    CHECK(written() == before + 1);
    static_cast<void>(here.member());
    CHECK(written() == before + 2);  // taken back
}

TEST_CASE("a static member that is away keeps what its group has committed", "[client][group][retention]") {
    aging_world here;
    {
        auto one = here.member("left hand");
        one.commit();
    }
    here.pass(44s);
    CHECK(here.has_group());
    here.pass(2s);
    CHECK(here.has_group());  // puts it out
    here.pass(7 * 24h - 1s);
    CHECK(here.has_group());
    here.pass(1s);
    CHECK_FALSE(here.has_group());
}

TEST_CASE("who is assigned partitions keeps its group by committing", "[client][group][retention]") {
    aging_world here;
    const auto topic = here.numbers(2);
    numbers_consumer reader{topic, {.group_id = "workers"}};
    reader.assign({topic.partition(0)});
    reader.commit(topic.partition(0), 1);
    CHECK(here.has_group());
    for (int week = 0; week < 3; ++week) {
        here.pass(6 * 24h);
        reader.commit(topic.partition(0), 1);
        CHECK(here.has_group());
        if (week == 1) {
            here.open();
            reader = numbers_consumer{here.numbers(2), {.group_id = "workers"}};
            reader.assign({here.numbers(2).partition(0)});
            CHECK(here.has_group());
            break;
        }
    }
    here.pass(7 * 24h - 1ns);
    CHECK(here.has_group());
    here.pass(1h);
    CHECK_FALSE(here.has_group());
}

TEST_CASE("how long commits are kept is the broker's to say", "[client][group][retention]") {
    aging_world here;
    { here.member().commit(); }
    const auto open = [&](std::optional<std::chrono::nanoseconds> retention) {
        here.broker.reset();
        here.broker.emplace(here.directory.path(),
                            brook::broker_options{.maintenance = maintenance::manual, .offsets_retention = retention, .platform = &here.platform});
    };
    open(std::nullopt);
    CHECK(here.has_group());
    here.pass(1'000 * 24h);
    CHECK(here.has_group());
    open(1h);
    CHECK(here.has_group());  // nobody has noted since when it has none
    here.pass(1h);
    CHECK_FALSE(here.has_group());
    const auto refused = outcome_of([&] { open(0s); });
    CHECK(refused.code == errc::invalid_config);
    CHECK(refused.names("offsets_retention"));
}

TEST_CASE("upkeep forgets old commits by itself, and tells when it cannot", "[client][group][retention]") {
    SECTION("by itself") {
        temp_directory directory;
        brook::broker broker{directory.path(), {.offsets_retention = 20ms}};
        const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers");
        send(topic, 1);
        numbers_consumer reader{topic, {.group_id = "workers"}};
        const bool is_member = GENERATE(false, true);
        if (!is_member) {
            reader.assign(topic.partitions());
        }
        CHECK(read(reader) == 1);
        reader.commit();
        reader.assign({});
        while (!broker.groups().empty()) {  // the test's own time limit ends it if upkeep does not look
            std::this_thread::yield();
        }
    }
    SECTION("on a full disk") {
        aging_world here;
        { here.member().commit(); }
        CHECK(here.has_group());
        here.platform.limit_disk(0);
        while (!brook::test::code_of([&] {
            numbers_consumer filler{here.numbers(2), {.group_id = "workers"}};
            filler.assign({here.numbers(2).partition(0)});
            filler.commit(here.numbers(2).partition(0), 1);
        })) {
        }
        here.pass(8 * 24h);
        CHECK(here.has_group());
        REQUIRE(here.broker->health().errors.size() == 1);
        CHECK(here.broker->health().errors.front().code == std::errc::no_space_on_device);
        here.platform.unlimit_disk();
        here.pass(1h);
        CHECK_FALSE(here.has_group());
    }
}

TEST_CASE("a commit of what was cut is not believed, even where new records have taken the place", "[client][group][power]") {
    using namespace brook::test;
    disk_state disk;
    {
        powerless_platform machine{disk_state{}};
        REQUIRE_FALSE(machine.make_directory("/d"));
        REQUIRE_FALSE(machine.sync_directory("/"));
        brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
        const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 16'384});
        send(topic, 10);
        topic.partition(0).sync();
        send(topic, 10, 10);
        numbers_consumer reader{topic, {.group_id = "workers"}};
        CHECK(read(reader) == 20);
        reader.commit(topic.partition(0), 20, "half way");
        disk = machine.look();
        machine.unplug();
    }
    // The power goes: of the topic's file nothing arrived that was not synced, of the commit everything.
    const loss_of_power loss{disk};
    bool was_cut = false;
    loss.for_each_choice([&](const crash_choice& one) {
        powerless_platform machine{loss.decide(one)};
        brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
        const auto topic = broker.topic<no_key, std::uint64_t>("numbers");
        const offset end = topic.partition(0).log_end_offset();
        const auto committed = numbers_consumer{topic, {.group_id = "workers"}}.committed(topic.partition(0));
        if (end == 20 || committed != std::optional<offset>{20}) {
            return;
        }
        was_cut = true;
        send(topic, 30, 100);  // others, at the offsets of those that went
        numbers_consumer reader{topic, {.group_id = "workers", .max_poll_records = 1'000}};
        const auto records = reader.poll(0s);
        CHECK(records.size() == 30);
        CHECK(records.front().offset() == end);
        CHECK(reader.committed_metadata(topic.partition(0)) == "half way");
        CHECK_FALSE(broker.health().is_ok());
        reader.commit();
        CHECK(broker.group("workers").lag() == 0);
    });
    CHECK(was_cut);

    // As many others as went: what has been read of them is committed, although that is the number which was committed before.
    was_cut = false;
    loss.for_each_choice([&](const crash_choice& one) {
        disk_state killed;
        {
            powerless_platform machine{loss.decide(one)};
            brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
            const auto topic = broker.topic<no_key, std::uint64_t>("numbers");
            const offset end = topic.partition(0).log_end_offset();
            numbers_consumer reader{topic, {.group_id = "workers"}};
            if (end == 20 || reader.committed(topic.partition(0)) != std::optional<offset>{20}) {
                return;
            }
            was_cut = true;
            send(topic, static_cast<std::uint64_t>(20 - end), 100);
            CHECK(read(reader) == static_cast<std::size_t>(20 - end));
            reader.commit();
            killed = machine.look();
            machine.unplug();
        }
        powerless_platform machine{std::move(killed)};
        brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
        numbers_consumer reader{broker.topic<no_key, std::uint64_t>("numbers"), {.group_id = "workers"}};
        CHECK(reader.poll(0s).empty());
        CHECK(broker.health().is_ok());
    });
    CHECK(was_cut);
}

TEST_CASE("where memory runs out in a poll, the next one reads what the group has given it", "[client][group]") {
    using brook::test::failing_memory;
    bool has_failed = true;
    for (std::uint64_t allocation = 1; has_failed; ++allocation) {
        world here;
        const numbers_topic topic = here.numbers(3);
        send(topic, 6);
        numbers_consumer reader{topic, {.group_id = "workers"}};
        try {
            const failing_memory fails{allocation};
            static_cast<void>(reader.poll(0s));
            has_failed = failing_memory::has_failed();
        } catch (const std::bad_alloc&) {
            has_failed = true;
        }
        static_cast<void>(reader.poll(0s));
        CAPTURE(allocation);
        REQUIRE(reader.assignment().size() == 3);
    }
}

TEST_CASE("members on threads of their own come and go while records come in", "[client][group][stress]") {
    temp_directory directory;
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.partitions = 8, .segment_bytes = 1 << 20});
    constexpr std::uint64_t count = 20'000;
    std::mutex mutex;  // guards what is done
    std::vector<bool> is_done(count, false);
    std::atomic<std::uint64_t> done{0};
    std::atomic<std::uint64_t> wrong{0};
    std::vector<std::thread> threads;
    threads.emplace_back([&] { send(topic, count); });
    for (unsigned id = 0; id < 4; ++id) {
        threads.emplace_back([&, id] {
            std::mt19937 random{id};
            while (done.load() < count) {
                consumer_options options{.group_id = "workers", .max_poll_records = 100};
                if (id == 0) {
                    options.group_instance_id = "the old hand";
                    options.session_timeout = 5ms;
                }
                numbers_consumer reader{topic, options};
                for (std::uint64_t polls = 5 + random() % 40; polls > 0 && done.load() < count; --polls) {
                    const auto records = reader.poll(1ms);
                    std::vector<std::uint64_t> given = values(records);
                    {
                        const std::scoped_lock guard{mutex};
                        for (const std::uint64_t one : given) {
                            wrong += is_done[one] ? 1 : 0;  // committed, and here again
                        }
                    }
                    reader.commit();
                    const std::scoped_lock guard{mutex};
                    for (const std::uint64_t one : given) {
                        wrong += is_done[one] ? 1 : 0;
                        is_done[one] = true;
                    }
                    done += given.size();
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(wrong.load() == 0);
    CHECK(done.load() == count);
    CHECK(broker.group("workers").lag() == 0);
}

TEST_CASE("whatever members do, nothing that was committed comes again, and nothing else is left out", "[client][group][model]") {
    struct actor {
        std::unique_ptr<numbers_consumer> consumer;
        bool is_dead = false;
    };
    std::uint64_t stale = 0;
    std::uint64_t again = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        world here;
        const auto topic = here.numbers(static_cast<std::int32_t>(1 + random() % 5));
        std::optional<numbers_topic> other;  // some members read it, too; it may come later
        constexpr std::int32_t other_partitions = 3;
        const bool has_pattern = random() % 2 == 0;
        if (!has_pattern || random() % 2 == 0) {
            other = here.numbers(other_partitions, "numbers.other");
        }
        const auto assignor = random() % 3 == 0 ? assignors::range() : random() % 2 == 0 ? assignors::round_robin() : assignors::cooperative_sticky();
        const auto first_partitions = static_cast<std::size_t>(topic.partition_count());
        const std::size_t partitions = first_partitions + static_cast<std::size_t>(other_partitions);  // the other's behind the first's
        const auto place_of = [&](std::string_view name, std::int32_t number) {
            return static_cast<std::size_t>(number) + (name == topic.name() ? 0 : first_partitions);
        };
        std::vector<offset> committed(partitions, 0);
        std::vector<offset> seen(partitions, 0);  // the highest that anybody was given, plus one
        std::uint64_t sent = 0;
        std::vector<actor> actors;
        const auto make = [&](const consumer_options& options) {
            if (has_pattern) {
                return std::make_unique<numbers_consumer>(*here.broker, topic_pattern{"numbers.#"}, options);
            }
            return random() % 4 == 0 ? std::make_unique<numbers_consumer>(topic, options)
                                     : std::make_unique<numbers_consumer>(numbers_consumer{{*other, topic}, options});
        };

        const auto poll = [&](actor& one) {
            for (const auto& record : one.consumer->poll(0s)) {
                const auto which = place_of(record.topic(), record.partition());
                REQUIRE(record.offset() >= committed[which]);  // what is committed never comes again
                REQUIRE(record.offset() <= seen[which]);       // and nothing is passed over
                again += record.offset() < seen[which] ? 1 : 0;
                seen[which] = std::max(seen[which], record.offset() + 1);
            }
        };
        const auto commit = [&](actor& one) {
            try {
                one.consumer->commit();
            } catch (const error& why) {
                REQUIRE((why.code() == errc::illegal_generation || why.code() == errc::fenced_instance_id));
                ++stale;
                return;
            }
            for (const auto& place : one.consumer->assignment()) {
                const std::size_t which = place_of(place.topic(), place.number());
                const auto now = one.consumer->committed(place);
                REQUIRE(now.value_or(0) >= committed[which]);  // never goes back
                REQUIRE(now.value_or(0) <= seen[which]);
                committed[which] = now.value_or(0);
            }
        };
        for (int step = 0; step < 60; ++step) {
            here.platform.advance_monotonic(std::chrono::seconds{random() % 40});
            const std::size_t which = actors.empty() ? 0 : random() % actors.size();
            switch (random() % 10) {
                case 0:
                    if (actors.size() < 6) {
                        consumer_options options{.group_id = "workers", .max_poll_records = static_cast<std::int32_t>(1 + random() % 9)};
                        options.partition_assignment_strategy = assignor;
                        options.enable_auto_commit = false;
                        if (random() % 3 == 0) {
                            options.group_instance_id = std::string(1, static_cast<char>('a' + seed % 2 + actors.size()));
                        }
                        actors.push_back({make(options)});
                    }
                    break;
                case 1:
                    if (!actors.empty()) {
                        actors.erase(actors.begin() + static_cast<std::ptrdiff_t>(which));
                    }
                    break;
                case 2:
                    if (!actors.empty() && random() % 2 == 0) {
                        actors[which].is_dead = true;
                    }
                    break;
                case 3:
                    for (int minute = 0; minute < 3; ++minute) {
                        here.platform.advance_monotonic(1min);
                        here.broker->maintain();
                    }
                    break;
                case 4: {
                    const std::uint64_t count = random() % 20;
                    if (!other) {
                        other = here.numbers(other_partitions, "numbers.other");
                    }
                    send(random() % 2 == 0 ? topic : *other, count, sent);
                    sent += count;
                    break;
                }
                case 5:
                case 6:
                    if (!actors.empty()) {
                        commit(actors[which]);  // a dead one's, too: late, and from an old generation
                    }
                    break;
                default:
                    if (!actors.empty() && !actors[which].is_dead) {
                        try {
                            poll(actors[which]);
                        } catch (const error& why) {
                            REQUIRE(why.code() == errc::fenced_instance_id);
                            actors[which].is_dead = true;
                        }
                    }
            }
        }
        actors.clear();
        here.platform.advance_monotonic(2min);
        here.broker->maintain();
        numbers_consumer last{*here.broker, topic_pattern{"numbers.#"}, {.group_id = "workers", .partition_assignment_strategy = assignor}};
        std::vector<offset> rest = committed;  // where the group goes on: exactly there, and to the end
        do {
            for (const auto& record : last.poll(0s)) {
                auto& next = rest[place_of(record.topic(), record.partition())];
                REQUIRE(record.offset() == next);
                ++next;
            }
        } while (!last.caught_up());
        std::uint64_t all = 0;
        for (const offset end : rest) {
            all += static_cast<std::uint64_t>(end);
        }
        REQUIRE(all == sent);
        REQUIRE(last.assignment().size() == (other ? partitions : first_partitions));
    }
    CHECK(stale > 30);
    CHECK(again > 300);
}

}  // namespace client_group_test
