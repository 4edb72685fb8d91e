// Consumers of several topics, by name and by pattern.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "broker/outcome.hpp"
#include "broker/watched_platform.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace client_topics_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::code_of;
using brook::test::outcome_of;
using brook::test::temp_directory;
using brook::test::values;
using brook::test::watched_platform;

namespace {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

struct world : brook::test::world {
    [[nodiscard]] numbers_topic numbers(std::string_view name, std::int32_t partitions = 1) {
        return broker->create_topic<no_key, std::uint64_t>(name, {.partitions = partitions, .segment_bytes = 1 << 20});
    }
};

void send(const numbers_topic& topic, std::initializer_list<std::uint64_t> numbers) {
    brook::producer producer{topic};
    for (const std::uint64_t number : numbers) {
        producer.send({.value = number, .partition = static_cast<std::int32_t>(number % static_cast<std::uint64_t>(topic.partition_count()))});
    }
}

/// All that comes until it has caught up, as "topic/partition:value", sorted.
std::vector<std::string> read(numbers_consumer& consumer) {
    std::vector<std::string> all;
    do {
        const auto records = consumer.poll(0s);
        for (const auto& record : records) {
            all.push_back(std::string{record.topic()} + '/' + std::to_string(record.partition()) + ':' + std::to_string(record.value()));
        }
    } while (!consumer.caught_up());
    std::sort(all.begin(), all.end());
    return all;
}

std::vector<std::string> assigned_to(const numbers_consumer& consumer) {
    std::vector<std::string> all;
    for (const auto& one : consumer.assignment()) {
        all.push_back(one.topic() + '/' + std::to_string(one.number()));
    }
    std::sort(all.begin(), all.end());
    return all;
}

/// Polls in turn until nobody has anything to settle.
void settle(std::initializer_list<numbers_consumer*> members) {
    for (int round = 0; round < 4; ++round) {
        for (numbers_consumer* const one : members) {
            static_cast<void>(one->poll(0s));
        }
    }
}

using texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a consumer reads several topics, and each record says of which it is", "[client][topics]") {
    world here;
    const auto orders = here.numbers("orders", 2);
    const auto returns = here.numbers("returns");
    send(orders, {0, 1, 2});
    send(returns, {7});
    const texts all = {"orders/0:0", "orders/0:2", "orders/1:1", "returns/0:7"};

    SECTION("named in braces") {
        brook::consumer consumer{{orders, returns}, {.max_poll_records = 2}};
        CHECK(assigned_to(consumer) == texts{"orders/0", "orders/1", "returns/0"});
        CHECK(read(consumer) == all);
    }
    SECTION("in any order, and twice") {
        brook::consumer consumer{{returns, orders, returns}};
        CHECK(read(consumer) == all);
    }
    SECTION("in a vector") {
        const std::vector<numbers_topic> both = {orders, returns};
        numbers_consumer consumer{both};
        CHECK(read(consumer) == all);
    }
    SECTION("in place of others") {
        brook::consumer consumer{returns};
        CHECK(read(consumer) == texts{"returns/0:7"});
        consumer.subscribe({orders, returns});
        CHECK(read(consumer) == all);
        consumer.subscribe(orders);
        CHECK(read(consumer).size() == 3);
        numbers_consumer moved = std::move(consumer);
        send(orders, {4});
        CHECK(read(moved) == texts{"orders/0:4"});
    }
    SECTION("in one batch, which outlives everything") {
        auto consumer = std::make_unique<numbers_consumer>(numbers_consumer{{orders, returns}});
        const auto records = consumer->poll(0s);
        REQUIRE(records.size() == 4);
        consumer.reset();
        here.broker.reset();
        texts seen;
        for (const auto& record : records) {
            seen.push_back(std::string{record.topic()});
        }
        CHECK(seen == texts{"orders", "orders", "orders", "returns"});
    }
}

TEST_CASE("topics that no consumer can read together are refused", "[client][topics]") {
    world here;
    world there;
    const auto ours = here.numbers("orders");
    const auto theirs = there.numbers("returns");
    const auto refused = outcome_of([&] { brook::consumer consumer{{ours, theirs}}; });
    CHECK(refused.code == errc::invalid_config);
    CHECK(refused.names("two brokers"));
    CHECK(refused.names("'orders', 'returns'"));
    CHECK(code_of([&] { numbers_consumer consumer{std::span<const numbers_topic>{}}; }) == errc::invalid_config);
    brook::consumer consumer{ours};
    CHECK(code_of([&] { consumer.subscribe({ours, theirs}); }) == errc::invalid_config);
    send(ours, {1});
    CHECK(read(consumer) == texts{"orders/0:1"});  // as before
    const auto illegal = outcome_of([&] { brook::consumer{{ours, ours}, {.max_poll_records = 0}}; });
    CHECK(illegal.names("topic 'orders'"));
    CHECK(outcome_of([&] { numbers_consumer{*here.broker, topic_pattern{"#"}, {.max_poll_records = 0}}; }).names("pattern '#'"));
}

TEST_CASE("partitions of any topic with its types are assigned to a consumer, and of no other", "[client][topics]") {
    world here;
    world there;
    const auto orders = here.numbers("orders", 2);
    const auto returns = here.numbers("returns", 2);
    const auto names = here.broker->create_topic<std::string, std::string>("names");
    send(orders, {0, 1});
    send(returns, {10, 11});
    brook::consumer consumer{orders};
    consumer.assign({returns.partition(1), orders.partition(0), returns.partition(1)});
    CHECK(assigned_to(consumer) == texts{"orders/0", "returns/1"});
    CHECK(read(consumer) == texts{"orders/0:0", "returns/1:11"});
    CHECK(code_of([&] { consumer.seek(returns.partition(0), 0); }) == errc::unknown_topic_or_partition);

    const auto refused = outcome_of([&] { consumer.assign({orders.partition(1), names.partition(0)}); });
    CHECK(refused.code == errc::schema_mismatch);
    CHECK(refused.names("names"));
    CHECK(code_of([&] { consumer.assign({there.numbers("orders").partition(0)}); }) == errc::invalid_config);
    CHECK(assigned_to(consumer) == texts{"orders/0", "returns/1"});  // as before
}

TEST_CASE("positions and commits are a partition's, whatever number others have", "[client][topics]") {
    world here;
    const auto orders = here.numbers("orders");
    const auto returns = here.numbers("returns");
    const auto others = here.numbers("others");
    send(orders, {0, 1, 2, 3});
    send(returns, {10, 11, 12});
    {
        brook::consumer consumer{{orders, returns}, {.group_id = "workers"}};
        CHECK(code_of([&] { static_cast<void>(consumer.position(returns.partition(0))); }) == errc::no_offset);
        consumer.seek(returns.partition(0), 1);  // before it has settled
        CHECK(consumer.position(returns.partition(0)) == 1);
        CHECK(read(consumer).size() == 6);
        CHECK(consumer.position(orders.partition(0)) == 4);
        CHECK(consumer.position(returns.partition(0)) == 3);
        consumer.pause(orders.partition(0));
        consumer.seek(orders.partition(0), 3);
        consumer.seek(returns.partition(0), 2);
        CHECK(read(consumer) == texts{"returns/0:12"});
        consumer.resume(orders.partition(0));
        CHECK(read(consumer) == texts{"orders/0:3"});
        consumer.commit(orders.partition(0), 1, "a note");
        CHECK_FALSE(consumer.committed(returns.partition(0)));
        consumer.commit();
        consumer.commit(orders.partition(0), 1, "a note");
        CHECK(consumer.committed(orders.partition(0)) == std::optional<offset>{1});
        CHECK(consumer.committed(returns.partition(0)) == std::optional<offset>{3});
        CHECK(consumer.committed_metadata(returns.partition(0)).empty());
        const auto foreign = outcome_of([&] { consumer.seek(others.partition(0), 0); });
        CHECK(foreign.code == errc::unknown_topic_or_partition);
        CHECK(foreign.names("others"));
        CHECK(foreign.names("'orders', 'returns'"));
        CHECK(code_of([&] { static_cast<void>(consumer.committed(others.partition(0))); }) == errc::unknown_topic_or_partition);
        consumer.seek_to_beginning();
        CHECK(read(consumer).size() == 7);
    }
    here.open();
    brook::consumer next{{here.numbers("orders"), here.numbers("returns")}, {.group_id = "workers"}};
    send(here.numbers("returns"), {13});
    CHECK(read(next) == texts{"orders/0:1", "orders/0:2", "orders/0:3", "returns/0:13"});
    CHECK(here.broker->group("workers").lag() == 4);
}

TEST_CASE("auto commit takes each topic for itself", "[client][topics]") {
    world here;
    const auto orders = here.numbers("orders");
    const auto returns = here.numbers("returns");
    send(orders, {0, 1});
    send(returns, {10});
    brook::consumer consumer{{orders, returns}, {.group_id = "workers", .enable_auto_commit = true}};
    CHECK(consumer.poll(0s).size() == 3);
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.committed(orders.partition(0)) == std::optional<offset>{2});
    CHECK(consumer.committed(returns.partition(0)) == std::optional<offset>{1});
    send(returns, {11});
    CHECK(consumer.poll(0s).size() == 1);
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.committed(returns.partition(0)) == std::optional<offset>{2});
}

TEST_CASE("what is committed of one topic says nothing of another", "[client][topics]") {
    world here;
    const auto orders = here.numbers("orders");
    const auto returns = here.numbers("returns");
    send(orders, {0, 1});
    send(returns, {10, 11});
    brook::consumer consumer{{orders, returns}, {.group_id = "workers"}};
    CHECK(consumer.poll(0s).size() == 4);
    consumer.commit(orders.partition(0), 2);  // where the other stands, too
    consumer.commit();
    CHECK(consumer.committed(returns.partition(0)) == std::optional<offset>{2});
}

TEST_CASE("members of a group share out the partitions of all topics that they read", "[client][topics][group]") {
    world here;
    const auto orders = here.numbers("orders", 3);
    const auto returns = here.numbers("returns", 3);
    const auto assignor = GENERATE(0, 1, 2);
    const consumer_options options{.group_id = "workers", .partition_assignment_strategy = assignor == 0   ? assignors::range()
                                                                                          : assignor == 1 ? assignors::round_robin()
                                                                                                          : assignors::cooperative_sticky()};
    numbers_consumer first{{orders, returns}, options};
    numbers_consumer second{{orders, returns}, options};
    settle({&first, &second});
    texts all = assigned_to(first);
    const texts more = assigned_to(second);
    CHECK(more.size() >= 2);
    all.insert(all.end(), more.begin(), more.end());
    std::sort(all.begin(), all.end());
    CHECK(all == texts{"orders/0", "orders/1", "orders/2", "returns/0", "returns/1", "returns/2"});
    send(orders, {0, 1, 2});
    send(returns, {0, 1, 2});
    CHECK(read(first).size() + read(second).size() == 6);
    first.commit();
    second.commit();
    CHECK(here.broker->group("workers").lag() == 0);
    CHECK(here.broker->group("workers").state == group_state::stable);

    numbers_consumer third{returns, options};  // which reads one of them alone
    settle({&first, &second, &third});
    for (const auto& one : assigned_to(third)) {
        CHECK(one.starts_with("returns/"));
    }
    CHECK_FALSE(assigned_to(third).empty());
    CHECK(assigned_to(first).size() + assigned_to(second).size() + assigned_to(third).size() == 6);
    CHECK(read(first).size() + read(second).size() + read(third).size() == 0);  // all of it was committed
}

TEST_CASE("a pattern reads the topics that match, and no others", "[client][topics][pattern]") {
    world here;
    send(here.numbers("sensors.attic.temperature"), {1});
    send(here.numbers("sensors.cellar.temperature", 2), {2, 3});
    send(here.numbers("sensors.attic.humidity"), {4});
    send(here.numbers("sensors"), {5});
    numbers_consumer temperatures{*here.broker, topic_pattern{"sensors.*.temperature"}};
    CHECK(assigned_to(temperatures).size() == 3);
    CHECK(read(temperatures) == texts{"sensors.attic.temperature/0:1", "sensors.cellar.temperature/0:2", "sensors.cellar.temperature/1:3"});
    temperatures.subscribe(topic_pattern{"sensors.#"});
    CHECK(read(temperatures).size() == 5);
    temperatures.subscribe(topic_pattern{"#"});
    CHECK(read(temperatures).size() == 5);  // without __consumer_offsets
    CHECK(here.broker->health().is_ok());
    temperatures.subscribe(here.numbers("sensors"));
    send(here.numbers("later"), {6});
    CHECK(read(temperatures) == texts{"sensors/0:5"});
}

TEST_CASE("topics that are made later join in, from their first record on", "[client][topics][pattern]") {
    world here;
    const auto reset = GENERATE(offset_reset::earliest, offset_reset::latest);
    send(here.numbers("sensors.early"), {1});
    const auto group = GENERATE(std::string{}, std::string{"workers"});
    CAPTURE(group);
    numbers_consumer consumer{*here.broker, topic_pattern{"sensors.#"}, {.group_id = group, .auto_offset_reset = reset}};
    CHECK(read(consumer).size() == (reset == offset_reset::latest ? 0u : 1u));
    CHECK(consumer.caught_up());
    const auto late = here.numbers("sensors.late", 2);
    send(late, {2, 3});
    CHECK_FALSE(consumer.caught_up());  // it has not looked at what came
    CHECK(consumer.position(here.numbers("sensors.early").partition(0)) == 1);
    CHECK(read(consumer) == texts{"sensors.late/0:2", "sensors.late/1:3"});
    CHECK(assigned_to(consumer) == texts{"sensors.early/0", "sensors.late/0", "sensors.late/1"});
    send(here.numbers("actors.late"), {4});
    CHECK(read(consumer).empty());
    if (!group.empty()) {
        consumer.seek_to_committed();  // nothing is: as in the beginning
        CHECK(read(consumer).size() == (reset == offset_reset::latest ? 2u : 3u));
        consumer.commit();
        CHECK(here.broker->group("workers").lag() == 0);
    }
}

TEST_CASE("where each position must be said, a topic that joins in waits for its own", "[client][topics][pattern]") {
    world here;
    numbers_consumer consumer{*here.broker, topic_pattern{"sensors.#"}, {.auto_offset_reset = offset_reset::none}};
    CHECK(consumer.poll(0s).empty());
    const auto late = here.numbers("sensors.late");
    send(late, {1, 2});
    for (int i = 0; i < 2; ++i) {
        CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::offset_out_of_range);
    }
    consumer.seek(late.partition(0), 1);
    CHECK(read(consumer) == texts{"sensors.late/0:2"});
}

TEST_CASE("a poll that waits sees a topic that is made meanwhile", "[client][topics][pattern][wait]") {
    temp_directory directory;
    std::mutex mutex;
    std::condition_variable changed;
    bool is_asleep = false;
    watched_platform platform{[&](std::optional<std::chrono::nanoseconds>) {
        const std::lock_guard guard{mutex};
        is_asleep = true;
        changed.notify_all();
    }};
    brook::broker broker{directory.path(), {.maintenance = maintenance::manual, .platform = &platform}};
    const auto group = GENERATE(std::string{}, std::string{"workers"});
    CAPTURE(group);
    numbers_consumer consumer{broker, topic_pattern{"sensors.#"}, {.group_id = group}};  // nothing matches as yet
    std::vector<std::uint64_t> seen;
    std::thread waiting{[&] { seen = values(consumer.poll()); }};
    {
        std::unique_lock guard{mutex};
        CHECK(changed.wait_for(guard, 60s, [&] { return is_asleep; }));
        is_asleep = false;
    }
    const auto late = broker.create_topic<no_key, std::uint64_t>("sensors.late");
    {
        std::unique_lock guard{mutex};  // it has looked at the topic, which is empty, and sleeps again
        CHECK(changed.wait_for(guard, 60s, [&] { return is_asleep; }));
    }
    CHECK(consumer.assignment().size() == 1);
    send(late, {7});
    waiting.join();
    CHECK(seen == std::vector<std::uint64_t>{7});
}

TEST_CASE("members of a group that read by a pattern share out what comes later, too", "[client][topics][pattern][group]") {
    world here;
    const consumer_options options{.group_id = "workers"};
    numbers_consumer first{*here.broker, topic_pattern{"sensors.#"}, options};
    numbers_consumer second{*here.broker, topic_pattern{"sensors.#"}, options};
    settle({&first, &second});
    CHECK(first.assignment().empty());
    CHECK(first.caught_up());
    CHECK(here.broker->group("workers").members.size() == 2);
    send(here.numbers("sensors.a", 4), {0, 1, 2, 3});
    CHECK_FALSE(first.caught_up());
    CHECK_FALSE(second.caught_up());
    std::size_t count = first.poll(0s).size();
    CHECK(assigned_to(first).size() == 4);  // as long as the other has not seen it
    CHECK(second.poll(0s).empty());
    CHECK_FALSE(second.caught_up());  // the other has it still
    first.commit();
    count += first.poll(0s).size() + second.poll(0s).size();
    CHECK(count == 4);
    CHECK(assigned_to(first).size() == 2);
    CHECK(assigned_to(second).size() == 2);
    CHECK(second.caught_up());
    CHECK(here.broker->group("workers").state == group_state::stable);

    static_cast<void>(here.numbers("sensors.b", 2));
    settle({&first, &second});
    CHECK(assigned_to(first).size() == 3);
    CHECK(assigned_to(second).size() == 3);
}

TEST_CASE("a topic that matches and has other types is left out, and told once", "[client][topics][pattern]") {
    world here;
    send(here.numbers("sensors.a"), {1});
    const auto names = here.broker->create_topic<std::string, std::string>("sensors.names");
    numbers_consumer consumer{*here.broker, topic_pattern{"sensors.#"}, {.group_id = "workers"}};
    CHECK(read(consumer) == texts{"sensors.a/0:1"});
    REQUIRE(here.broker->health().errors.size() == 1);
    const failure told = here.broker->health().errors.front();
    CHECK(told.code == errc::schema_mismatch);
    CHECK(told.text.find("sensors.names") != std::string::npos);
    CHECK(told.text.find("'sensors.#'") != std::string::npos);
    static_cast<void>(here.broker->create_topic<no_key, std::string>("sensors.words"));
    static_cast<void>(here.numbers("sensors.b"));
    static_cast<void>(here.broker->create_topic<no_key, std::string>("words"));
    CHECK(read(consumer).empty());
    CHECK(assigned_to(consumer) == texts{"sensors.a/0", "sensors.b/0"});
    static_cast<void>(here.numbers("sensors.c"));
    CHECK(read(consumer).empty());
    CHECK(here.broker->health().errors.size() == 2);
    CHECK(code_of([&] { consumer.seek(names.partition(0), 0); }) == errc::unknown_topic_or_partition);
}

TEST_CASE("members by a pattern come and go while topics are made and written", "[client][topics][pattern][group][stress]") {
    temp_directory directory;
    brook::broker broker{directory.path()};
    constexpr std::uint64_t topics = 12;
    constexpr std::uint64_t count = 500;  // in each topic
    std::mutex mutex;  // guards what is done
    std::vector<bool> is_done(topics * count, false);
    std::atomic<std::uint64_t> done{0};
    std::atomic<std::uint64_t> wrong{0};
    std::vector<std::thread> threads;
    threads.emplace_back([&] {
        for (std::uint64_t i = 0; i < topics; ++i) {
            const auto topic = broker.create_topic<no_key, std::uint64_t>("sensors." + std::to_string(i), {.partitions = 2, .segment_bytes = 1 << 16});
            brook::producer producer{topic};
            for (std::uint64_t number = i * count; number < (i + 1) * count; ++number) {
                producer.send({.value = number, .partition = static_cast<std::int32_t>(number % 2)});
            }
        }
    });
    for (int id = 0; id < 3; ++id) {
        threads.emplace_back([&, id] {
            while (done.load() < topics * count) {
                numbers_consumer reader{broker, topic_pattern{"sensors.*"}, {.group_id = "workers", .max_poll_records = 50}};
                for (int polls = 10 * (id + 1); polls > 0 && done.load() < topics * count; --polls) {
                    const auto records = reader.poll(1ms);
                    reader.commit();
                    const std::scoped_lock guard{mutex};
                    for (const std::uint64_t one : values(records)) {
                        wrong += is_done[one] ? 1 : 0;  // committed, and here again
                        is_done[one] = true;
                    }
                    done += records.size();
                }
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(wrong.load() == 0);
    CHECK(done.load() == topics * count);
    CHECK(broker.group("workers").lag() == 0);
}

TEST_CASE("a consumer by pattern says closed when its broker is", "[client][topics][pattern]") {
    world here;
    numbers_consumer consumer{*here.broker, topic_pattern{"sensors.#"}};
    here.broker->close();
    const auto refused = outcome_of([&] { static_cast<void>(consumer.poll(0s)); });
    CHECK(refused.code == errc::closed);
    CHECK(refused.names("pattern 'sensors.#'"));
    CHECK(code_of([&] { consumer.subscribe(topic_pattern{"#"}); }) == errc::closed);
    CHECK(code_of([&] { numbers_consumer{*here.broker, topic_pattern{"#"}}; }) == errc::closed);
}

}  // namespace client_topics_test
