// Groups over a cluster: members on its brokers, a coordinator that may go.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <brook/replication.hpp>

#include "broker/outcome.hpp"
#include "client/cluster_world.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"

namespace client_cluster_group_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;
using brook::test::code_of;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::outcome_of;

namespace {

using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

struct world : cluster_world {
    using cluster_world::cluster_world;

    numbers_topic make(std::int32_t partitions = 6) {
        const auto made = numbers({.partitions = partitions, .replication_factor = 3, .min_insync_replicas = 1});
        for (const int id : running()) {
            static_cast<void>(topic(id));
        }
        return made;
    }

    void send(int through, std::uint64_t from, std::uint64_t to) {
        const auto where = topic(through);
        brook::producer producer{where};
        for (std::uint64_t i = from; i < to; ++i) {
            static_cast<void>(producer.send({.value = i, .partition = static_cast<std::int32_t>(i % static_cast<std::uint64_t>(where.partition_count()))}));
        }
        producer.flush();
    }

    /// Which broker coordinates; waits until one of those that run does.
    [[nodiscard]] int coordinator() {
        int found = 0;
        REQUIRE(eventually([&] {
            for (const int id : running()) {
                if (brook::detail::access::core((*this)[id])->cluster()->coordinates()) {
                    found = id;
                    return true;
                }
            }
            return false;
        }));
        return found;
    }

    /// Until each of them has as many partitions as that; what they read is noted.
    [[nodiscard]] static bool share(const std::vector<numbers_consumer*>& members, const std::vector<std::size_t>& wanted, std::vector<std::uint64_t>* read = nullptr) {
        return eventually([&] {
            bool is_there = true;
            for (std::size_t i = 0; i < members.size(); ++i) {
                for (const auto& record : members[i]->poll(2ms)) {
                    if (read != nullptr) {
                        read->push_back(record.value());
                    }
                }
                is_there = is_there && members[i]->assignment().size() == wanted[i];
            }
            return is_there;
        });
    }

    [[nodiscard]] static bool read_all(const std::vector<numbers_consumer*>& members, std::vector<std::uint64_t>& read, std::size_t count) {
        return eventually([&] {
            for (auto* const one : members) {
                for (const auto& record : one->poll(2ms)) {
                    read.push_back(record.value());
                }
            }
            return read.size() >= count;
        });
    }

    /// A commit, tried again where a coordinator was just not to be found.
    static void commit(numbers_consumer& of) {
        std::error_code code;
        std::string text;
        CHECK(eventually([&] {
            const auto told = outcome_of([&] { of.commit(); });
            code = told.code;
            text = told.text;
            return code != errc::coordinator_not_available;
        }));
        CAPTURE(text);
        CHECK_FALSE(code);
    }
};

[[nodiscard]] std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> all) {
    std::sort(all.begin(), all.end());
    return all;
}

/// What a group has committed for partition 0.
[[nodiscard]] offset committed_of(const numbers_topic& of, const std::string& group) {
    numbers_consumer asking{of, {.group_id = group}};
    std::optional<offset> found;
    CHECK(cluster_world::eventually([&] { return !code_of([&] { found = asking.committed(of.partition(0)); }); }));
    return found.value_or(-1);
}

}  // namespace

TEST_CASE("members on several brokers share out the partitions, and commits are seen from each", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make());
    here.send(1, 0, 60);
    numbers_consumer first{here.topic(1), {.group_id = "workers"}};
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&first}, read, 60));
    CHECK(sorted(read) == numbers_to(60));
    CHECK(first.assignment().size() == 6);
    world::commit(first);
    {
        numbers_consumer second{here.topic(2), {.group_id = "workers"}};
        numbers_consumer third{here.topic(3), {.group_id = "workers"}};
        read.clear();
        CHECK(world::share({&first, &second, &third}, {2, 2, 2}, &read));
        CHECK(read.empty());  // what was committed on one broker is not read on another
        for (const int id : {1, 2, 3}) {
            const auto told = here[id].group("workers");
            CHECK(told.state == group_state::stable);
            CHECK(told.assignor == "cooperative-sticky");
            REQUIRE(told.members.size() == 3);
            CHECK(told.members[0].assignment.size() == 2);
            CHECK(told.generation >= 2);
            CHECK(here[id].groups() == std::vector<std::string>{"workers"});
        }
        here.send(3, 60, 120);
        CHECK(world::read_all({&first, &second, &third}, read, 60));
        CHECK(read.size() == 60);
        world::commit(first);
        world::commit(second);
        world::commit(third);
        CHECK(cluster_world::eventually([&] { return here[1].group("workers").lag() == 0; }));
    }
    CHECK(world::share({&first}, {6}));
    for (const int id : {1, 2, 3}) {
        const auto topic = here.topic(id);
        for (std::int32_t i = 0; i < 6; ++i) {
            numbers_consumer asking{topic, {.group_id = "workers"}};
            CHECK(asking.committed(topic.partition(i)) == topic.partition(i).log_end_offset());
        }
    }
}

TEST_CASE("members go on when their coordinator is stopped, killed or cut off, and what was committed stays", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make());
    const std::string how = GENERATE("stopped", "killed", "cut off");
    const int coordinator = here.coordinator();
    const int one = here.other_than(coordinator);
    const int other = here.other_than(coordinator, one);
    numbers_consumer first{here.topic(one), {.group_id = "workers"}};
    numbers_consumer second{here.topic(other), {.group_id = "workers"}};
    CHECK(world::share({&first, &second}, {3, 3}));
    here.send(1, 0, 60);
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&first, &second}, read, 60));
    world::commit(first);
    world::commit(second);
    if (how == "stopped") {
        here.stop(coordinator);
    } else if (how == "killed") {
        here.kill(coordinator);
    } else {
        here.network.isolate(coordinator);
    }
    here.send(one, 60, 120);
    std::vector<std::uint64_t> more;
    CHECK(cluster_world::eventually([&] {  // until all is committed: a new coordinator has them join anew, and some of it is read again
        bool is_through = true;
        for (auto* const member : {&first, &second}) {
            for (const auto& record : member->poll(2ms)) {
                more.push_back(record.value());
            }
            const auto code = code_of([&] { member->commit(); });
            CHECK((!code || code == errc::coordinator_not_available || code == errc::illegal_generation));
            is_through = is_through && !code && member->assignment().size() == 3;
        }
        return is_through && here[one].group("workers").lag() == 0;
    }));
    auto all = sorted(more);
    REQUIRE(!all.empty());
    CHECK(all.front() == 60);  // nothing of what was committed before
    all.erase(std::unique(all.begin(), all.end()), all.end());
    CHECK(all.size() == 60);
    if (how == "cut off") {
        here.network.heal();
    } else {
        here.start(coordinator);
    }
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::eventually([&] {
            try {
                for (auto* const member : {&first, &second}) {  // who coordinates may have changed once more, and so have those who lead
                    CHECK(member->poll(2ms).empty());
                    member->commit();
                }
                const auto told = here[id].group("workers");
                return told.lag() == 0 && told.members.size() == 2;
            } catch (const error& why) {
                return why.code() != errc::coordinator_not_available && why.code() != errc::illegal_generation;
            }
        }));
    }
}

TEST_CASE("a member whose broker died is put out after its session_timeout, and others read on from what it committed", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make());
    const int coordinator = here.coordinator();
    const int dying = here.other_than(coordinator);
    const int staying = here.other_than(coordinator, dying);
    numbers_consumer first{here.topic(staying), {.group_id = "workers", .session_timeout = 300ms}};
    std::optional<numbers_consumer> second;
    second.emplace(here.topic(dying), consumer_options{.group_id = "workers", .session_timeout = 300ms});
    CHECK(world::share({&first, &*second}, {3, 3}));
    here.send(1, 0, 60);
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&first, &*second}, read, 60));
    world::commit(first);
    world::commit(*second);
    here.kill(dying);
    CHECK(world::share({&first}, {6}, &read));
    CHECK(read.size() == 60);
    here.send(staying, 60, 120);
    CHECK(world::read_all({&first}, read, 120));
    CHECK(sorted(read) == numbers_to(120));
    CHECK(code_of([&] { static_cast<void>(second->poll(0s)); }) == errc::closed);
}

TEST_CASE("no commit of a member that was put out is taken", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(2));
    here.send(1, 0, 20);
    const int coordinator = here.coordinator();
    const int away = here.other_than(coordinator);
    numbers_consumer lost{here.topic(away), {.group_id = "workers", .session_timeout = 300ms}};
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&lost}, read, 20));
    numbers_consumer other{here.topic(here.other_than(coordinator, away)), {.group_id = "workers", .session_timeout = 300ms}};
    here.network.isolate(away);
    CHECK(world::share({&other}, {2}));
    const auto cut = code_of([&] { lost.commit(); });
    CHECK(cut == errc::coordinator_not_available);
    here.network.heal();
    CHECK(cluster_world::eventually([&] {
        const auto code = code_of([&] { lost.commit(); });
        CHECK((code == errc::illegal_generation || code == errc::coordinator_not_available));
        return code == errc::illegal_generation;
    }));
    const auto topic = here.topic(coordinator);
    numbers_consumer asking{topic, {.group_id = "workers"}};
    CHECK_FALSE(asking.committed(topic.partition(0)).has_value());
    CHECK(world::share({&other, &lost}, {1, 1}));  // it joins anew
}

TEST_CASE("a commit that no majority has is not acknowledged", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(2));
    here.send(1, 0, 20);
    const int coordinator = here.coordinator();
    numbers_consumer reader{here.topic(coordinator), {.group_id = "workers"}};
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&reader}, read, 20));
    here.network.isolate(coordinator);  // it is the coordinator still, as far as it knows
    CHECK(code_of([&] { reader.commit(); }) == errc::coordinator_not_available);
    const int other = here.other_than(coordinator);
    numbers_consumer asking{here.topic(other), {.group_id = "workers"}};
    CHECK(cluster_world::eventually([&] { return !code_of([&] { CHECK_FALSE(asking.committed(here.topic(other).partition(0)).has_value()); }); }));
    here.network.heal();
    std::string last;
    const bool does_commit = cluster_world::eventually([&] {
        const auto told = outcome_of([&] {
            static_cast<void>(reader.poll(2ms));
            reader.commit();
        });
        last = told.text + ", " + std::to_string(reader.assignment().size()) + " partitions";
        return !told.code && reader.assignment().size() == 2;
    });
    CAPTURE(last);
    CHECK(does_commit);
}

TEST_CASE("who comes back under a group_instance_id finds what it had, and who comes beside it takes its place", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(4));
    std::optional<numbers_consumer> first;
    first.emplace(here.topic(1), consumer_options{.group_id = "workers", .group_instance_id = "one"});
    numbers_consumer second{here.topic(2), {.group_id = "workers", .group_instance_id = "two"}};
    CHECK(world::share({&*first, &second}, {2, 2}));
    const auto had = first->assignment();
    const auto generation = here[3].group("workers").generation;
    first.reset();
    CHECK(cluster_world::eventually([&] {
        const auto told = here[3].group("workers");
        return told.members.size() == 2 && (told.members[0].is_away || told.members[1].is_away);
    }));
    first.emplace(here.topic(3), consumer_options{.group_id = "workers", .group_instance_id = "one"});  // on another broker
    CHECK(world::share({&*first, &second}, {2, 2}));
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(first->assignment()[i].number() == had[i].number());
    }
    CHECK(here[3].group("workers").generation == generation);
    numbers_consumer taking{here.topic(2), {.group_id = "workers", .group_instance_id = "one"}};
    CHECK(world::share({&taking}, {2}));
    std::error_code code;
    CHECK(cluster_world::eventually([&] { return static_cast<bool>(code = code_of([&] { static_cast<void>(first->poll(1ms)); })); }));
    CHECK(code == errc::fenced_instance_id);
    CHECK(world::share({&taking, &second}, {2, 2}));
}

TEST_CASE("two assignors in one group are refused on any broker, and so is one that another broker does not have", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(2));
    numbers_consumer first{here.topic(1), {.group_id = "workers"}};
    CHECK(world::share({&first}, {2}));
    for (const int id : {1, 2, 3}) {
        numbers_consumer other{here.topic(id), {.group_id = "workers", .partition_assignment_strategy = assignors::range()}};
        CHECK(code_of([&] { static_cast<void>(other.poll(5s)); }) == errc::inconsistent_group_protocol);
    }
    class own : public partition_assignor {
    public:
        [[nodiscard]] std::string_view name() const noexcept override { return "mine"; }
        [[nodiscard]] assignment assign(const assignment_request& request) const override { return assignors::range()->assign(request); }
    };
    for (const int id : {1, 2, 3}) {
        numbers_consumer other{here.topic(id), {.group_id = "others", .partition_assignment_strategy = std::make_shared<own>()}};
        const auto told = outcome_of([&] { static_cast<void>(other.poll(5s)); });
        CHECK(told.code == errc::invalid_config);
        CHECK(told.names("'mine'"));
    }
}

TEST_CASE("groups are described, deleted and reset through any broker", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(2));
    here.send(1, 0, 20);
    for (const int id : {1, 2, 3}) {
        const std::string name = "group" + std::to_string(id);
        CHECK(code_of([&] { static_cast<void>(here[id].group(name)); }) == errc::group_id_not_found);
        CHECK(code_of([&] { here[id].delete_group(name); }) == errc::group_id_not_found);
        {
            numbers_consumer reader{here.topic(id), {.group_id = name}};
            std::vector<std::uint64_t> read;
            CHECK(world::read_all({&reader}, read, 20));
            world::commit(reader);
            const int other = 1 + id % 3;
            CHECK(code_of([&] { here[other].delete_group(name); }) == errc::non_empty_group);
            CHECK(code_of([&] { here[other].reset_group_offsets(name, here.topic(other), [](const partition& one) { return one.log_start_offset(); }); }) == errc::non_empty_group);
        }
        const int other = 1 + id % 3;
        CHECK(cluster_world::eventually([&] { return here[other].group(name).state == group_state::empty; }));  // leaving it waits for nobody
        CHECK(here[other].group(name).lag() == 0);
        here[other].reset_group_offsets(name, here.topic(other), [](const partition& one) { return one.log_start_offset(); });
        CHECK(here[id].group(name).lag() > 0);
        here[1 + other % 3].delete_group(name);
        CHECK(code_of([&] { static_cast<void>(here[id].group(name)); }) == errc::group_id_not_found);
    }
    CHECK(here[1].groups().empty());
}

TEST_CASE("a member whose broker is behind what its group has committed waits there, and reads nothing twice", "[client][cluster][group]") {
    world here;
    const auto made = here.make(1);
    here.send(1, 0, 20);
    const int coordinating = here.coordinator();
    if (made.partition(0).leader() == coordinating) {
        here.topic(coordinating).partition(0).transfer_leadership(here.other_than(coordinating));
        REQUIRE(cluster_world::eventually([&] { return made.partition(0).leader() > 0 && made.partition(0).leader() != coordinating; }));
    }
    const int leading = made.partition(0).leader();
    const int behind = here.other_than(coordinating, leading);
    std::vector<std::uint64_t> read;
    numbers_consumer early{here.topic(behind), {.group_id = "workers"}};
    CHECK(world::read_all({&early}, read, 20));
    here.network.cut(leading, behind);  // it gets no copies any more, and reaches the coordinator
    here.send(leading, 20, 40);
    {
        numbers_consumer ahead{here.topic(leading), {.group_id = "workers"}};
        early = numbers_consumer{here.topic(behind), {.group_id = "others"}};  // leaves the group, without a commit
        CHECK(world::read_all({&ahead}, read, 60));
        world::commit(ahead);
    }
    const auto topic = here.topic(behind);
    const offset committed = committed_of(topic, "workers");
    REQUIRE(topic.partition(0).log_end_offset() < committed);
    numbers_consumer late{topic, {.group_id = "workers"}};
    read.clear();
    CHECK(cluster_world::eventually([&] {
        for (const auto& record : late.poll(2ms)) {
            read.push_back(record.value());
        }
        try {
            return late.assignment().size() == 1 && late.position(topic.partition(0)) == committed;
        } catch (const error&) {
            return false;  // it is asking where to go on
        }
    }));
    CHECK(read.empty());
    CHECK(late.poll(50ms).empty());
    CHECK_FALSE(late.caught_up());
    world::commit(late);
    CHECK(late.committed(topic.partition(0)) == committed);
    here.network.heal();
    here.send(leading, 40, 50);
    CHECK(world::read_all({&late}, read, 10));
    CHECK(read.size() == 10);
    CHECK(sorted(read).front() == 40);
    CHECK(here[behind].health().is_ok());  // nothing was cut
}

TEST_CASE("a poll without a coordinator ends soon, and reads on what it had", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(3));
    here.send(1, 0, 30);
    numbers_consumer reader{here.topic(1), {.group_id = "workers", .max_poll_records = 1}};
    std::vector<std::uint64_t> read;
    CHECK(world::read_all({&reader}, read, 3));
    const std::size_t before = read.size();
    REQUIRE(cluster_world::reaches(here.topic(1), 11, 2));
    here.kill(2);
    here.kill(3);
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < 27; ++i) {
        for (const auto& record : reader.poll(100ms)) {
            read.push_back(record.value());
        }
    }
    CHECK(read.size() > before);
    CHECK(cluster_world::eventually([&] {
        for (const auto& record : reader.poll(10ms)) {
            read.push_back(record.value());
        }
        return read.size() == 30;
    }));
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
    CHECK(sorted(read) == numbers_to(30));
    const auto told = outcome_of([&] { reader.commit(); });
    CHECK(told.code == errc::coordinator_not_available);
    numbers_consumer late{here.topic(1), {.group_id = "others"}};
    const auto joining = outcome_of([&] { static_cast<void>(late.poll(100ms)); });
    CHECK((!joining.code || joining.code == errc::coordinator_not_available));
    CHECK(code_of([&] { static_cast<void>(here[1].groups()); }) == errc::coordinator_not_available);
    here.start(2);
    here.start(3);
    CHECK(cluster_world::eventually([&] {
        static_cast<void>(reader.poll(2ms));  // it may have to join anew
        return !code_of([&] { reader.commit(); }) && reader.assignment().size() == 3;
    }));
    CHECK(here[3].group("workers").members.size() == 1);
}

TEST_CASE("commits of those that are assigned to are taken in their order, from several threads of a broker", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(4));
    here.send(1, 0, 400);
    for (const int id : {1, 2, 3}) {
        for (std::int32_t i = 0; i < 4; ++i) {
            REQUIRE(cluster_world::reaches(here.topic(id), 101, i));
        }
    }
    const bool is_lossy = GENERATE(false, true);
    if (is_lossy) {
        here.network.set_faults({.drop = 0.05, .duplicate = 0.2, .reorder = 0.3});
    }
    std::vector<std::thread> committing;
    std::atomic<int> failed{0};
    for (std::int32_t i = 0; i < 4; ++i) {
        committing.emplace_back([&, i] {
            const auto topic = here.topic(1 + i % 2);  // two on each of two brokers
            numbers_consumer reader{topic, {.group_id = "loners"}};
            reader.assign({topic.partition(i)});
            while (reader.poll(10ms).empty()) {
            }
            for (offset next = 1; next <= 60;) {
                const auto code = code_of([&] { reader.commit(topic.partition(i), next); });
                if (is_lossy && code == errc::coordinator_not_available) {
                    continue;  // it may have been done
                }
                failed.fetch_add(code ? 1 : 0);
                ++next;
            }
        });
    }
    for (auto& one : committing) {
        one.join();
    }
    here.network.heal();
    CHECK(failed.load() == 0);
    const auto topic = here.topic(3);
    for (std::int32_t i = 0; i < 4; ++i) {
        numbers_consumer asking{topic, {.group_id = "loners"}};
        CHECK(asking.committed(topic.partition(i)) == 60);
    }
}

TEST_CASE("what a listener throws passes through the poll of a cluster's member, too, and what it gave up has gone", "[client][cluster][group]") {
    world here;
    static_cast<void>(here.make(2));
    const int coordinator = here.coordinator();
    const int away = here.other_than(coordinator);
    consumer_options options{.group_id = "workers"};
    options.rebalance_listener.on_partitions_revoked = [](const std::vector<partition>&) { throw std::runtime_error{"not now"}; };
    numbers_consumer first{here.topic(away), options};
    CHECK(world::share({&first}, {2}));
    numbers_consumer second{here.topic(coordinator), {.group_id = "workers"}};
    std::string thrown;
    CHECK(cluster_world::eventually([&] {
        static_cast<void>(second.poll(1ms));
        try {
            static_cast<void>(first.poll(1ms));
        } catch (const std::runtime_error& why) {
            thrown = why.what();
        }
        return !thrown.empty();
    }));
    CHECK(thrown == "not now");
    CHECK(world::share({&first, &second}, {1, 1}));
}

TEST_CASE("the members of a broker that is closed leave at once, whatever their session_timeout is", "[client][cluster][group]") {
    world here;
    const auto topic = here.make(6);
    const int coordinator = here.coordinator();
    const int closing = GENERATE(0, 1) == 0 ? here.other_than(coordinator) : coordinator;
    const int staying = here.other_than(closing, coordinator);
    CAPTURE(closing == coordinator);
    numbers_consumer going{here.topic(closing), {.group_id = "workers", .session_timeout = 1h}};
    numbers_consumer other{here.topic(closing), {.group_id = "workers", .session_timeout = 1h}};
    numbers_consumer reader{here.topic(staying), {.group_id = "workers", .session_timeout = 1h}};
    CHECK(world::share({&going, &other, &reader}, {2, 2, 2}));
    here.stop(closing);
    CHECK(world::share({&reader}, {6}));
}

TEST_CASE("what was committed survives that all brokers are stopped, and that each is lost in turn", "[client][cluster][group]") {
    world here;
    const auto topic = here.make(2);
    here.send(1, 0, 20);
    std::vector<offset> committed;
    {
        numbers_consumer reader{here.topic(2), {.group_id = "workers"}};
        std::vector<std::uint64_t> read;
        CHECK(world::read_all({&reader}, read, 20));
        world::commit(reader);
        for (std::int32_t i = 0; i < 2; ++i) {
            committed.push_back(reader.committed(here.topic(2).partition(i)).value());
        }
    }
    for (const int id : {1, 2, 3}) {
        here.stop(id);
    }
    for (const int id : {1, 2, 3}) {
        here.start(id);
    }
    CHECK(cluster_world::eventually([&] { return !code_of([&] { static_cast<void>(here[2].groups()); }); }));
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::eventually([&] { return !here.is_any_suspect(); }));
        here.lose(id);
        here.start(id);
        const auto seen = here.topic(id);
        numbers_consumer asking{seen, {.group_id = "workers"}};
        for (std::int32_t i = 0; i < 2; ++i) {
            std::optional<offset> found;
            CHECK(cluster_world::eventually([&] { return !code_of([&] { found = asking.committed(seen.partition(i)); }); }));
            CHECK(found == committed[static_cast<std::size_t>(i)]);
        }
        for (const int other : {1, 2, 3}) {  // until this one counts again, the next one must not go
            CHECK(cluster_world::eventually([&] {
                const auto all = brook::detail::access::core(here[other])->replicated_topics();
                return all.size() == 3 && std::none_of(all.begin(), all.end(), [&](const auto& one) {
                    for (std::int32_t number = 0; number < one->partition_count(); ++number) {
                        const auto state = brook::detail::access::core(here[other])->cluster()->state_of({one->meta.id, number});
                        if (!state || state->is_suspect || state->leader < 0) {
                            return true;
                        }
                    }
                    return false;
                });
            }));
        }
    }
}

}  // namespace client_cluster_group_test
