#include <brook/client/producer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>

#include "broker/outcome.hpp"
#include "broker/watched_platform.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

using namespace std::chrono_literals;

using brook::acks;
using brook::errc;
using brook::no_key;
using brook::record_metadata;
using brook::timestamp;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::read_all;
using brook::test::read_numbers;
using brook::test::temp_directory;
using brook::test::world;

namespace {

/// Says one size and writes another, or throws, as it is told.
struct capricious {
    std::string text;
    std::size_t counted = 0;            // bytes that the first writing, which counts, is made to give; later ones give the text
    bool throws_in_counting = false;
    bool throws_in_writing = false;
    mutable int written = 0;
};

struct refusal : std::runtime_error {
    refusal() : runtime_error{"the serde will not"} {}
};

}  // namespace

template <>
struct brook::serde<capricious> {
    static constexpr std::string_view schema = "test.capricious";
    static void write(const capricious& value, brook::writer& out) {
        const bool is_counting = value.written++ == 0;
        if (is_counting ? value.throws_in_counting : value.throws_in_writing) {
            throw refusal{};
        }
        const std::string text = is_counting && value.counted != 0 ? std::string(value.counted, '.') : value.text;
        out.raw(brook::as_bytes(text));
    }
    static std::string_view read(brook::bytes raw) { return brook::as_text(raw); }
};

namespace client_producer_test {
namespace {

/// What on_delivery was told, in that order.
class told {
public:
    struct entry {
        record_metadata where;
        std::error_code code;
    };
    [[nodiscard]] auto callback() {
        return [this](const record_metadata& where, std::error_code code) {
            const std::lock_guard guard{mutex_};
            entries_.push_back({where, code});
        };
    }
    [[nodiscard]] std::vector<entry> entries() const {
        const std::lock_guard guard{mutex_};
        return entries_;
    }
    [[nodiscard]] std::size_t count(std::error_code code = {}) const {
        const auto all = entries();
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const entry& one) { return one.code == code; }));
    }

private:
    mutable std::mutex mutex_;
    std::vector<entry> entries_;
};

constexpr timestamp at(std::chrono::nanoseconds since_epoch) { return timestamp{since_epoch}; }

}  // namespace

// ---- order and partitions ----

TEST_CASE("offsets are dense per partition, whatever number of threads sends", "[client][producer]") {
    const auto linger = GENERATE(0ms, 1ms);
    CAPTURE(linger.count());
    world here{brook::maintenance::thread};
    auto topic = here.broker->create_topic<std::uint64_t, std::uint64_t>("numbers", {.partitions = 3, .segment_bytes = 65'536});
    brook::producer producer{topic, {.batch_size = 1'000, .linger = linger}};
    constexpr std::uint64_t threads = 8;
    constexpr std::uint64_t each = 2'000;
    std::vector<std::vector<record_metadata>> sent(threads);
    {
        std::vector<std::jthread> all;
        for (std::uint64_t t = 0; t < threads; ++t) {
            all.emplace_back([&, t] {
                std::vector<brook::delivery> deliveries;
                for (std::uint64_t i = 0; i < each; ++i) {
                    deliveries.push_back(producer.send(t * each + i % 7, t * each + i));
                    if (linger == 0ms || i % 500 == 499) {
                        for (auto& delivery : deliveries) {
                            sent[t].push_back(delivery.get());
                        }
                        deliveries.clear();
                    }
                }
            });
        }
    }
    producer.flush();

    std::map<std::int32_t, std::vector<brook::offset>> offsets;
    for (const auto& mine : sent) {
        REQUIRE(mine.size() == each);
        std::map<std::int32_t, brook::offset> last;
        for (const auto& where : mine) {
            offsets[where.partition].push_back(where.offset);
            const auto [found, is_first] = last.try_emplace(where.partition, where.offset);
            if (!is_first) {
                REQUIRE(std::exchange(found->second, where.offset) < where.offset);  // a thread's records keep their order
            }
        }
    }
    std::size_t all = 0;
    for (auto& [partition, mine] : offsets) {
        std::sort(mine.begin(), mine.end());
        all += mine.size();
        for (std::size_t i = 0; i < mine.size(); ++i) {
            REQUIRE(mine[i] == static_cast<brook::offset>(i));
        }
        CHECK(topic.partition(partition).log_end_offset() == static_cast<brook::offset>(mine.size()));
    }
    CHECK(all == threads * each);
    std::map<std::int32_t, brook::offset> next;
    std::set<std::string> seen;
    for (const auto& record : read_all(topic)) {
        REQUIRE(record.offset == next[record.partition]++);
        seen.insert(*record.value);
    }
    CHECK(seen.size() == threads * each);
}

TEST_CASE("a key stays in the partition that partition_for_key says", "[client][producer]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::uint64_t>("numbers", {.partitions = 7});
    brook::producer producer{topic};
    brook::producer gathering{topic, {.linger = 1min}};
    std::set<std::int32_t> used;
    for (std::uint64_t i = 0; i < 200; ++i) {
        const std::string key = "key-" + std::to_string(i % 50);
        const auto expected = brook::partition_for_key(brook::as_bytes(key), 7);
        REQUIRE(producer.send(key, i).get().partition == expected);
        REQUIRE(gathering.send(key, i).get().partition == expected);
        REQUIRE(producer.send(key, brook::tombstone).get().partition == expected);
        REQUIRE(producer.send({.key = key, .value = i}).get().partition == expected);
        used.insert(expected);
    }
    CHECK(used.size() == 7);
    for (const auto& record : read_all(topic)) {
        REQUIRE(record.partition == brook::partition_for_key(brook::as_bytes(*record.key), 7));
    }
}

TEST_CASE("records without a key stick to a partition until a batch has gone there", "[client][producer]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 5});
    brook::producer producer{topic, {.batch_size = 480}};  // ten records of 48 bytes
    std::vector<std::int32_t> partitions;
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        partitions.push_back(producer.send(i).get().partition);
    }
    std::set<std::int32_t> used(partitions.begin(), partitions.end());
    CHECK(used.size() == 5);
    for (std::size_t run = 0; run < partitions.size();) {
        const auto end = std::find_if(partitions.begin() + static_cast<std::ptrdiff_t>(run), partitions.end(),
                                      [&](std::int32_t other) { return other != partitions[run]; });
        const auto length = static_cast<std::size_t>(end - partitions.begin()) - run;
        REQUIRE(length == 10);
        run += length;
    }
}

TEST_CASE("an explicit partition overrules the key, and one that is not there fails", "[client][producer]") {
    const auto linger = GENERATE(0min, 1min);
    world here;
    auto topic = here.broker->create_topic<std::string, std::uint64_t>("numbers", {.partitions = 3});
    told heard;
    brook::producer producer{topic, {.linger = linger, .on_delivery = heard.callback()}};
    for (const std::int32_t partition : {0, 1, 2}) {
        CHECK(producer.send({.key = "same", .value = 1, .partition = partition}).get().partition == partition);
    }
    for (const std::int32_t partition : {-1, 3, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
        auto delivery = producer.send({.key = "same", .value = 1, .partition = partition});
        const auto refused = outcome_of([&] { static_cast<void>(delivery.get()); });
        CHECK(refused.code == errc::unknown_topic_or_partition);
        CHECK(refused.names("numbers"));
        CHECK(refused.names(std::to_string(partition)));
        std::vector<std::pair<std::string, std::uint64_t>> batch = {{"a", 1}};
        CHECK(code_of([&] { static_cast<void>(producer.send_batch(partition, batch).get()); }) == errc::unknown_topic_or_partition);
    }
    CHECK_FALSE(code_of([&] { producer.flush(); }));
    CHECK(heard.count() == 3);
    CHECK(heard.count(errc::unknown_topic_or_partition) == 8);
}

TEST_CASE("what is sent is what is read: nothing, much, headers and all", "[client][producer]") {
    const auto linger = GENERATE(0min, 1min);
    CAPTURE(linger.count());
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("texts");
    here.platform.set_now(at(1'000s));
    brook::producer producer{topic, {.linger = linger}};
    const std::string large(10'000, 'L');
    const std::string zeros("\0\0\0", 3);
    producer.send("", "");
    producer.send("key", large);
    producer.send(zeros, zeros);
    producer.send("gone", brook::tombstone);
    producer.send({.key = "h", .value = "v", .headers = {{"a", "1"}, {"null"}, {"", ""}, {"a", "2"}}});
    producer.send({.key = "past", .value = "v", .timestamp = at(1s)});
    producer.send({.key = "future", .value = "v", .timestamp = at(9'000'000'000s)});
    producer.send({.key = "before 1970", .value = "v", .timestamp = at(-5s)});
    producer.send(brook::record<std::string, brook::tombstone_t>{.key = "gone", .headers = {{"why", "test"}}, .timestamp = at(3s)});
    producer.send("last", "v");
    producer.flush();
    const auto read = read_all(topic);
    REQUIRE(read.size() == 10);
    for (std::size_t i = 0; i < read.size(); ++i) {
        CHECK(read[i].offset == static_cast<brook::offset>(i));
    }
    CHECK((read[0].key == "" && read[0].value == "" && read[0].headers.empty()));
    CHECK(read[1].value == large);
    CHECK((read[2].key == zeros && read[2].value == zeros));
    CHECK((read[3].key == "gone" && !read[3].value));
    CHECK(read[4].headers ==
          std::vector<std::pair<std::string, std::optional<std::string>>>{{"a", "1"}, {"null", std::nullopt}, {"", ""}, {"a", "2"}});
    CHECK(read[4].timestamp == at(1'000s));
    CHECK(read[5].timestamp == at(1s));
    CHECK(read[6].timestamp == at(9'000'000'000s));
    CHECK(read[7].timestamp == at(-5s));
    CHECK((read[8].timestamp == at(3s) && !read[8].value && read[8].headers.size() == 1));
    CHECK((read[9].timestamp == at(1'000s) && read[9].headers.empty() && read[9].value == "v"));
}

TEST_CASE("timestamps as far apart as they go keep their values in one batch", "[client][producer]") {
    const auto linger = GENERATE(0min, 1min);
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::producer producer{topic, {.linger = linger}};
    const std::vector<timestamp> times = {at(0s), timestamp::max(), timestamp::min(), at(1s), timestamp::min(), timestamp::max()};
    for (std::uint64_t i = 0; i < times.size(); ++i) {
        producer.send({.value = i, .timestamp = times[i]});
    }
    producer.flush();
    const auto read = read_all(topic);
    REQUIRE(read.size() == times.size());
    for (std::size_t i = 0; i < times.size(); ++i) {
        CAPTURE(i);
        CHECK(read[i].timestamp == times[i]);
    }
}

// ---- gathering ----

TEST_CASE("a lingering record is seen once its batch is closed", "[client][producer][linger]") {
    world here;
    here.platform.set_monotonic(100s);
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    std::optional<brook::producer<no_key, std::uint64_t>> producer{std::in_place, topic, brook::producer_options{.batch_size = 160, .linger = 5s}};
    auto first = producer->send(1);
    auto second = producer->send(2);
    CHECK(topic.partition(0).log_end_offset() == 0);
    here.broker->maintain();
    CHECK(topic.partition(0).log_end_offset() == 0);
    std::size_t expected = 2;

    SECTION("by the linger, which maintain looks at") {
        here.platform.advance_monotonic(5s - 1ns);
        here.broker->maintain();
        CHECK(topic.partition(0).log_end_offset() == 0);
        here.platform.advance_monotonic(1ns);
        here.broker->maintain();
    }
    SECTION("by flush") { producer->flush(); }
    SECTION("by close") { producer->close(); }
    SECTION("by the producer's end") { producer.reset(); }
    SECTION("by get, of any of its records") { CHECK(first.get().offset == 0); }
    SECTION("by another batch on the same partition") {
        CHECK(producer->send_batch(0, std::vector<std::uint64_t>{3}).get().offset == 2);
        expected = 3;
    }
    SECTION("by batch_size") {
        for (std::uint64_t i = 3; i <= 10; ++i) {  // 16 bytes each
            producer->send(i);
        }
        expected = 10;
    }
    CHECK(topic.partition(0).log_end_offset() == static_cast<brook::offset>(expected));
    CHECK(second.get().offset == 1);
    CHECK(first.get().offset == 0);
    CHECK(read_numbers(topic).size() == expected);
}

TEST_CASE("the upkeep thread closes what has lingered", "[client][producer][linger]") {
    world here{brook::maintenance::thread};
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::producer producer{topic, {.linger = 1ms}};
    brook::consumer consumer{topic};
    producer.send(7);
    auto records = consumer.poll(60s);  // nobody flushes
    REQUIRE(records.size() == 1);
    CHECK(records.front().value() == 7);
}

TEST_CASE("threads that gather and flush at once keep the order of each", "[client][producer][linger]") {
    world here{brook::maintenance::thread};
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 1 << 20});
    brook::producer producer{topic, {.batch_size = 512, .linger = 1ms}};
    constexpr std::uint64_t each = 5'000;
    std::atomic<bool> is_over{false};
    {
        std::jthread flusher{[&] {
            while (!is_over) {
                producer.flush();
            }
        }};
        std::vector<std::jthread> threads;
        for (std::uint64_t t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    producer.send(t << 32 | i);
                }
            });
        }
        threads.clear();
        is_over = true;
    }
    producer.flush();
    std::map<std::uint64_t, std::uint64_t> next;
    for (const std::uint64_t number : read_numbers(topic)) {
        REQUIRE(next[number >> 32]++ == (number & 0xffff'ffff));
    }
    for (const auto& [thread, count] : next) {
        CHECK(count == each);
    }
    CHECK(next.size() == 4);
}

TEST_CASE("a batch never grows beyond what a segment holds, whatever batch_size says", "[client][producer][linger]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    brook::producer producer{topic, {.batch_size = 1 << 20, .linger = 1min}};
    const bool has_headers = GENERATE(false, true);
    for (int i = 0; i < 300; ++i) {
        brook::record<no_key, std::string> record{.value = std::string(static_cast<std::size_t>(i % 100), 'x')};
        if (has_headers && i % 3 == 0) {
            record.headers = {{"name", "value"}};
        }
        producer.send(record);
    }
    CHECK_FALSE(code_of([&] { producer.flush(); }));
    CHECK(read_all(topic).size() == 300);
}

TEST_CASE("a record that fits in a segment alone fits for a producer that gathers, too", "[client][producer][linger]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    brook::producer alone{topic};
    brook::producer gathering{topic, {.linger = 1min}};
    for (std::size_t size = 3'880; size < 4'040; ++size) {
        for (const bool has_headers : {false, true}) {
            CAPTURE(size, has_headers);
            brook::record<no_key, std::string> record{.value = std::string(size, 'x')};
            if (has_headers) {
                record.headers = {{"a", "b"}};
            }
            const auto expected = code_of([&] { static_cast<void>(alone.send(record).get()); });
            gathering.send("before");
            auto delivery = gathering.send(record);
            REQUIRE(code_of([&] { static_cast<void>(delivery.get()); }) == expected);
            REQUIRE_FALSE(code_of([&] { gathering.flush(); }));
        }
    }
}

TEST_CASE("a slot that is claimed after lingering records stands behind them", "[client][producer][linger]") {
    world here;
    auto topic = here.broker->create_topic<no_key, brook::bytes>("texts");
    brook::producer producer{topic, {.linger = 1min}};
    auto first = producer.send(brook::as_bytes(std::string_view{"first"}));
    auto slot = producer.claim(6);
    std::memcpy(slot.data(), "second", 6);
    auto second = slot.commit();
    CHECK(first.get().offset == 0);
    CHECK(second.get().offset == 1);
    const auto read = read_all(topic);
    REQUIRE(read.size() == 2);
    CHECK(read[0].value == "first");
    CHECK(read[1].value == "second");
}

// ---- batches ----

TEST_CASE("a batch is appended whole, with dense offsets", "[client][producer][batch]") {
    world here;
    auto numbers = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2});
    auto pairs = here.broker->create_topic<std::string, std::string>("pairs", {.partitions = 2});
    brook::producer to_numbers{numbers};
    brook::producer to_pairs{pairs};

    CHECK(to_numbers.send_batch(1, std::vector<std::uint64_t>{5, 6, 7}).get().offset == 0);
    CHECK(to_numbers.send_batch(1, std::vector<std::uint64_t>{8}).get().offset == 3);
    CHECK(read_numbers(numbers, 1) == std::vector<std::uint64_t>{5, 6, 7, 8});
    CHECK(read_numbers(numbers, 0).empty());

    const std::vector<std::pair<std::string, std::string>> batch = {{"a", "1"}, {"", ""}, {"b", std::string(100, 'b')}};
    CHECK(to_pairs.send_batch(0, batch).get() .partition == 0);
    CHECK(to_pairs.send_batch(0, std::map<std::string, std::string>{{"c", "3"}}).get().offset == 3);
    const auto read = read_all(pairs);
    REQUIRE(read.size() == 4);
    for (std::size_t i = 0; i < batch.size(); ++i) {
        CHECK(read[i].key == batch[i].first);
        CHECK(read[i].value == batch[i].second);
    }

    const auto refused = outcome_of([&] { static_cast<void>(to_numbers.send_batch(0, std::vector<std::uint64_t>{})); });
    CHECK(refused.code == errc::invalid_config);
    CHECK(refused.names("topic 'numbers'"));
    CHECK(code_of([&] { static_cast<void>(to_pairs.send_batch(0, std::map<std::string, std::string>{})); }) == errc::invalid_config);
    CHECK(numbers.partition(0).log_end_offset() == 0);
}

TEST_CASE("a batch that does not fit leaves nothing, and tells of each of its records", "[client][producer][batch]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4'096});
    told heard;
    brook::producer producer{topic, {.on_delivery = heard.callback()}};
    auto delivery = producer.send_batch(0, std::vector<std::uint64_t>(1'000, 1));
    CHECK(code_of([&] { static_cast<void>(delivery.get()); }) == errc::record_too_large);
    CHECK(topic.partition(0).log_end_offset() == 0);
    CHECK(heard.count(errc::record_too_large) == 1'000);
    CHECK(producer.send_batch(0, std::vector<std::uint64_t>(100, 1)).get().offset == 0);
    CHECK(heard.count() == 100);
    for (std::size_t i = 0; i < 100; ++i) {
        REQUIRE(heard.entries()[1'000 + i].where.offset == static_cast<brook::offset>(i));
    }
}

// ---- serdes that misbehave ----

TEST_CASE("a serde that throws, or writes other than it counted, appends nothing and blocks nobody", "[client][producer][serde]") {
    const auto linger = GENERATE(0min, 1min);
    CAPTURE(linger.count());
    world here;
    auto topic = here.broker->create_topic<no_key, capricious>("texts");
    told heard;
    brook::producer producer{topic, {.linger = linger, .on_delivery = heard.callback()}};
    producer.send(capricious{.text = "before"});

    const auto send = [&](const capricious& value) { return code_of([&] { static_cast<void>(producer.send(value)); }); };
    CHECK_THROWS_AS(producer.send(capricious{.text = "x", .throws_in_counting = true}), refusal);
    CHECK_THROWS_AS(producer.send(capricious{.text = "x", .throws_in_writing = true}), refusal);
    CHECK(send(capricious{.text = "longer", .counted = 5}) == errc::illegal_state);
    CHECK(send(capricious{.text = "shorter", .counted = 8}) == errc::illegal_state);
    CHECK_THROWS_AS(producer.send_batch(0, std::vector<capricious>{{.text = "a"}, {.text = "b", .throws_in_counting = true}}), refusal);

    producer.send(capricious{.text = "after"});
    producer.flush();
    const auto read = read_all(topic);
    REQUIRE(read.size() == 2);
    CHECK(read[0].value == "before");
    CHECK(read[1].value == "after");
    CHECK(heard.count() == 2);
    CHECK(heard.entries().size() == 2);
    here.open();
    CHECK(read_all(here.broker->topic<no_key, capricious>("texts")).size() == 2);
}

TEST_CASE("a serde that changes its mind between the two passes over a batch cannot write past it", "[client][producer][serde]") {
    world here;
    auto topic = here.broker->create_topic<no_key, capricious>("texts");
    brook::producer producer{topic};
    producer.send(capricious{.text = "before"});
    const bool is_longer = GENERATE(false, true);
    CAPTURE(is_longer);
    std::vector<capricious> batch;
    for (int i = 0; i < 10; ++i) {
        batch.push_back({.text = std::string(is_longer ? 500 : 1, 'x'), .counted = 100});
    }
    CHECK(code_of([&] { static_cast<void>(producer.send_batch(0, batch)); }) == errc::illegal_state);
    producer.send(capricious{.text = "after"});
    const auto read = read_all(topic);
    REQUIRE(read.size() == 2);
    CHECK(read[1].value == "after");
    CHECK(read[1].offset == 11);  // the batch's offsets are a gap
}

TEST_CASE("a batch that a throwing record has pushed out is answered for", "[client][producer][serde]") {
    world here;
    auto topic = here.broker->create_topic<no_key, capricious>("texts", {.flush_messages = 1});
    told heard;
    brook::producer producer{topic, {.batch_size = 64, .linger = 1min, .on_delivery = heard.callback()}};
    producer.send(capricious{.text = std::string(40, 'a')});
    CHECK_THROWS_AS(producer.send(capricious{.text = std::string(40, 'b'), .throws_in_writing = true}), refusal);
    CHECK(topic.partition(0).log_end_offset() == 1);
    producer.flush();
    CHECK(topic.partition(0).durable_offset() == 1);
    CHECK(heard.count() == 1);
}

// ---- limits ----

TEST_CASE("a record that no segment holds is refused, and the next one goes through", "[client][producer]") {
    world here;
    auto topic = here.broker->create_topic<std::string, brook::bytes>("texts", {.segment_bytes = 8'192, .flush_messages = GENERATE(as<std::optional<std::int64_t>>{}, std::nullopt, 1)});
    const std::vector<std::byte> huge(9'000);
    const std::string huge_key(9'000, 'k');
    brook::producer producer{topic, {.linger = GENERATE(0min, 1min)}};
    const auto refused = outcome_of([&] { static_cast<void>(producer.send("key", huge).get()); });
    CHECK(refused.code == errc::record_too_large);
    CHECK(refused.names("texts"));
    CHECK(refused.names("partition 0"));
    CHECK(code_of([&] { static_cast<void>(producer.send(huge_key, brook::bytes{}).get()); }) == errc::record_too_large);
    CHECK(code_of([&] { static_cast<void>(producer.send({.key = "key", .value = {}, .headers = {{"h", std::string(9'000, 'h')}}}).get()); }) == errc::record_too_large);
    CHECK(code_of([&] { static_cast<void>(producer.send({.key = "key", .value = {}, .headers = {{std::string(70'000, 'h')}}}).get()); }) == errc::record_too_large);
    const std::vector<std::pair<std::string, brook::bytes>> batch = {{"a", huge}};
    CHECK(code_of([&] { static_cast<void>(producer.send_batch(0, batch).get()); }) == errc::record_too_large);
    CHECK(code_of([&] { static_cast<void>(producer.claim("key", 9'000)); }) == errc::record_too_large);
    CHECK(code_of([&] { static_cast<void>(producer.claim("key", std::size_t{1} << 40)); }) == errc::record_too_large);
    CHECK(producer.send("key", brook::bytes{}).get().offset == 0);
    CHECK_FALSE(code_of([&] { producer.flush(); }));
}

TEST_CASE("options that make no sense are refused by name", "[client][producer]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    const auto refused = [&](const brook::producer_options& options) { return outcome_of([&] { brook::producer{topic, options}; }); };
    CHECK(refused({.compression_type = static_cast<brook::compression>(5)}).code == errc::unsupported_compression_type);
    CHECK(refused({.compression_level = 1}).names("compression_level"));
    CHECK(refused({.batch_size = 0}).names("batch_size"));
    CHECK(refused({.batch_size = -1}).code == errc::invalid_config);
    CHECK(refused({.batch_size = std::int64_t{1} << 31}).code == errc::invalid_config);
    CHECK(refused({.linger = -1ns}).names("linger"));
    CHECK(refused({.linger = 2s, .delivery_timeout = 1s}).names("delivery_timeout"));
    CHECK_FALSE(refused({.linger = 1s, .delivery_timeout = 1s}).code);
    CHECK_FALSE(refused({.delivery_timeout = std::chrono::nanoseconds::max()}).code);
}

// ---- failures ----

TEST_CASE("a failure that nobody asked for is thrown by the next flush, once", "[client][producer][failures]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    brook::producer producer{topic};
    const std::string huge(5'000, 'x');

    SECTION("thrown by flush") {
        producer.send(huge);
        CHECK(code_of([&] { producer.flush(); }) == errc::record_too_large);
        CHECK_FALSE(code_of([&] { producer.flush(); }));
    }
    SECTION("thrown by close, which has closed all the same") {
        producer.send(huge);
        CHECK(code_of([&] { producer.close(); }) == errc::record_too_large);
        CHECK(code_of([&] { static_cast<void>(producer.send("x").get()); }) == errc::closed);
    }
    SECTION("not thrown where the delivery was asked, in either way") {
        std::error_code code;
        CHECK(producer.send(huge).get(code).offset == -1);
        CHECK(code == errc::record_too_large);
        auto asked_twice = producer.send(huge);
        CHECK(code_of([&] { static_cast<void>(asked_twice.get()); }) == errc::record_too_large);
        CHECK(code_of([&] { static_cast<void>(asked_twice.get()); }) == errc::record_too_large);
        CHECK_FALSE(code_of([&] { producer.flush(); }));
    }
    SECTION("however many were asked for before it") {
        std::vector<brook::delivery> asked;
        for (int i = 0; i < 200; ++i) {
            asked.push_back(producer.send(huge));
        }
        producer.send(huge);
        std::error_code code;
        for (auto& delivery : asked) {
            static_cast<void>(delivery.get(code));
        }
        CHECK(code_of([&] { producer.flush(); }) == errc::record_too_large);
    }
    SECTION("to the broker's health, where the producer dies of it") {
        {
            brook::producer short_lived{topic};
            short_lived.send(huge);
        }
        REQUIRE(here.broker->health().errors.size() == 1);
        CHECK(here.broker->health().errors.front().code == errc::record_too_large);
    }
}

TEST_CASE("a closed producer refuses, and one that was moved from says what it is", "[client][producer]") {
    const auto linger = GENERATE(0min, 1min);
    world here;
    auto topic = here.broker->create_topic<no_key, brook::bytes>("texts");
    brook::producer producer{topic, {.linger = linger}};
    producer.send(brook::bytes{});
    producer.close();
    producer.close();
    CHECK(topic.partition(0).log_end_offset() == 1);
    CHECK(code_of([&] { static_cast<void>(producer.send(brook::bytes{}).get()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(producer.send_batch(0, std::vector<brook::bytes>(1)).get()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(producer.claim(8)); }) == errc::closed);

    brook::producer source{topic, {.linger = linger}};
    source.send(brook::bytes{});
    brook::producer target{std::move(source)};
    CHECK(code_of([&] { static_cast<void>(source.send(brook::bytes{})); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(source.send_batch(0, std::vector<brook::bytes>(1))); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(source.claim(8)); }) == errc::illegal_state);
    CHECK(code_of([&] { source.flush(); }) == errc::illegal_state);
    CHECK(code_of([&] { source.close(); }) == errc::illegal_state);
    target.send(brook::bytes{});
    target.flush();
    CHECK(topic.partition(0).log_end_offset() == 3);
    target = brook::producer{topic};
    target.send(brook::bytes{});
    CHECK(topic.partition(0).log_end_offset() == 4);
}

TEST_CASE("a producer made from a topic whose broker is closed is refused", "[client][producer]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::producer survivor{topic};
    brook::producer gathering{topic, {.linger = 1min}};
    gathering.send(1);
    here.broker.reset();
    CHECK(code_of([&] { brook::producer{topic}; }) == errc::closed);
    CHECK(code_of([&] { brook::producer{topic, {.linger = 1min}}; }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(survivor.send(1).get()); }) == errc::closed);
    CHECK_FALSE(code_of([&] { survivor.flush(); }));
    survivor.send(2);
    CHECK(code_of([&] { survivor.flush(); }) == errc::closed);
    CHECK(code_of([&] { gathering.flush(); }) == errc::closed);  // what lingered is nowhere, and is told
}

TEST_CASE("a full disk fails the delivery, readers go on, and sending works once there is room", "[client][producer][disk]") {
    const auto linger = GENERATE(0min, 1min);
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 1 << 18});
    told heard;
    brook::producer producer{topic, {.batch_size = 1'000, .linger = linger, .on_delivery = heard.callback()}};
    here.platform.limit_disk(256 << 10);
    std::uint64_t sent = 0;
    std::error_code code;
    while (!code && sent < 100'000) {
        static_cast<void>(producer.send(sent).get(code));
        sent += code ? 0 : 1;
    }
    CHECK(code == std::errc::no_space_on_device);
    CHECK(sent > 1'000);
    CHECK(read_numbers(topic).size() == sent);
    here.broker->maintain();
    static_cast<void>(producer.send(sent).get(code));
    CHECK(code == std::errc::no_space_on_device);
    here.platform.add_disk(10 << 20);
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        REQUIRE(producer.send(sent).get(code).offset == static_cast<brook::offset>(sent));
        ++sent;
        REQUIRE_FALSE(code);
    }
    producer.flush();
    const auto read = read_numbers(topic);
    REQUIRE(read.size() == sent);
    for (std::size_t i = 0; i < read.size(); ++i) {
        REQUIRE(read[i] == i);
    }
    CHECK(heard.count() == sent);
    CHECK(heard.entries().size() == sent + 2);
}

// ---- durability ----

TEST_CASE("acknowledged on a topic that syncs means on the disk", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.flush_messages = 1});
    const auto partition = topic.partition(0);

    SECTION("get waits for the sync") {
        brook::producer producer{topic, {.linger = GENERATE(0min, 1min)}};
        auto delivery = producer.send(1);
        here.platform.forget_calls();
        CHECK(partition.durable_offset() == 0);
        CHECK(delivery.get().offset == 0);
        CHECK(partition.durable_offset() == 1);
        CHECK(here.platform.calls(operation::sync) == 1);
        CHECK(delivery.get().offset == 0);
        CHECK(here.platform.calls(operation::sync) == 1);
    }
    SECTION("flush waits for one sync of all") {
        brook::producer producer{topic, {.linger = GENERATE(0min, 1min)}};
        for (std::uint64_t i = 0; i < 100; ++i) {
            producer.send(i);
        }
        here.platform.forget_calls();
        producer.flush();
        CHECK(partition.durable_offset() == 100);
        CHECK(here.platform.calls(operation::sync) == 1);
    }
    SECTION("a batch is as durable as a record") {
        brook::producer producer{topic};
        CHECK(producer.send_batch(0, std::vector<std::uint64_t>{1, 2, 3}).get().offset == 0);
        CHECK(partition.durable_offset() >= 1);
        producer.flush();
        CHECK(partition.durable_offset() == 3);
    }
    SECTION("acks none waits for nothing") {
        brook::producer producer{topic, {.acks = acks::none, .linger = GENERATE(0min, 1min)}};
        here.platform.forget_calls();
        CHECK(producer.send(1).get().offset == 0);
        producer.send(2);
        producer.flush();
        producer.close();
        CHECK(here.platform.calls(operation::sync) == 0);
        CHECK(partition.durable_offset() == 0);
    }
}

TEST_CASE("flush_messages 100 leaves at most 99 acknowledged records off the disk", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.flush_messages = 100});
    brook::producer producer{topic};
    here.platform.forget_calls();
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        const auto where = producer.send(i).get();
        REQUIRE(where.offset + 1 - topic.partition(0).durable_offset() <= 99);
    }
    CHECK(here.platform.calls(operation::sync) >= 9);
    CHECK(here.platform.calls(operation::sync) <= 11);
}

TEST_CASE("on_delivery tells of a record on a durable topic after its sync, once", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2, .flush_messages = 1});
    told heard;
    std::size_t told_at_sync = 0;
    here.platform.on_call([&](operation which, const std::string&) {
        if (which == operation::sync) {
            told_at_sync = heard.entries().size();
        }
    });
    const auto linger = GENERATE(0min, 1min);
    CAPTURE(linger.count());
    brook::producer producer{topic, {.linger = linger, .on_delivery = heard.callback()}};
    SECTION("by flush") {
        producer.send({.value = 1, .partition = 0});
        producer.send({.value = 2, .partition = 1});
        CHECK(heard.entries().empty());
        producer.flush();
        CHECK(told_at_sync == 0);
        CHECK(heard.count() == 2);
    }
    SECTION("by maintain, in one call, where nobody waits") {
        producer.send({.value = 1, .partition = 0});
        if (linger == 0min) {
            here.broker->maintain();
            CHECK(told_at_sync == 0);
            CHECK(heard.count() == 1);
        }
    }
    SECTION("by close") {
        producer.send({.value = 1, .partition = 0});
        producer.close();
        CHECK(heard.count() == 1);
    }
    producer.flush();
    here.broker->maintain();
    const auto all = heard.entries();
    for (const auto& one : all) {
        CHECK_FALSE(one.code);
        CHECK(one.where.offset == 0);
    }
    CHECK(all.size() == static_cast<std::size_t>(topic.partition(0).log_end_offset() + topic.partition(1).log_end_offset()));
    here.platform.on_call(nullptr);
}

TEST_CASE("a failed sync is told of each record that it was to carry, and of no other", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2, .flush_messages = 1});
    told heard;
    brook::producer producer{topic, {.on_delivery = heard.callback()}};
    producer.send({.value = 1, .partition = 0});
    auto good = producer.send({.value = 2, .partition = 1});
    CHECK(good.get().offset == 0);
    here.platform.fail_syncs();
    const bool is_by_flush = GENERATE(true, false);
    if (is_by_flush) {
        CHECK(code_of([&] { producer.flush(); }) == errc::partition_failed);
    } else {
        here.broker->maintain();
        here.broker->maintain();
    }
    const auto all = heard.entries();
    REQUIRE(all.size() == 2);
    for (const auto& one : all) {
        CAPTURE(one.where.partition);
        CHECK((one.where.partition == 0 ? one.code == errc::partition_failed : !one.code));
    }
    CHECK(code_of([&] { static_cast<void>(producer.send({.value = 3, .partition = 0}).get()); }) == errc::partition_failed);
    here.platform.heal();
    CHECK(code_of([&] { static_cast<void>(producer.send({.value = 3, .partition = 0}).get()); }) == errc::partition_failed);
    CHECK(producer.send({.value = 3, .partition = 1}).get().offset == 1);
}

TEST_CASE("who follows a sync that stalls is told so at delivery_timeout", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.flush_messages = 1});
    brook::producer patient{topic};
    told heard;
    brook::producer hurried{topic, {.delivery_timeout = 10ms, .on_delivery = heard.callback()}};
    std::mutex mutex;
    std::condition_variable changed;
    bool is_stalled = false;
    bool may_go_on = false;
    here.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync && path.find("numbers") != std::string::npos) {
            std::unique_lock guard{mutex};
            is_stalled = true;
            changed.notify_all();
            changed.wait(guard, [&] { return may_go_on; });
        }
    });
    std::jthread leader{[&] { static_cast<void>(patient.send(1).get()); }};
    {
        std::unique_lock guard{mutex};
        changed.wait(guard, [&] { return is_stalled; });
    }
    auto delivery = hurried.send(2);
    std::error_code code;
    const auto where = delivery.get(code);
    CHECK(code == errc::timed_out);
    CHECK(where.offset == 1);  // it is there; whether it stays is not known yet
    CHECK(code_of([&] { hurried.flush(); }) == errc::timed_out);
    CHECK(heard.count(errc::timed_out) == 1);
    {
        const std::lock_guard guard{mutex};
        may_go_on = true;
    }
    changed.notify_all();
    leader.join();
    CHECK(delivery.get(code).offset == 1);
    CHECK_FALSE(code);
    here.platform.on_call(nullptr);
    hurried.flush();
    CHECK(heard.entries().size() == 1);
}

TEST_CASE("many producers that wait share their syncs", "[client][producer][sync]") {
    world here{brook::maintenance::thread};
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.flush_messages = 1});
    brook::producer producer{topic};
    here.platform.forget_calls();
    constexpr int threads = 8;
    constexpr int each = 50;
    {
        std::vector<std::jthread> all;
        for (int t = 0; t < threads; ++t) {
            all.emplace_back([&] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    const auto where = producer.send(i).get();
                    if (topic.partition(0).durable_offset() <= where.offset) {
                        std::abort();
                    }
                }
            });
        }
    }
    CHECK(topic.partition(0).durable_offset() == threads * each);
    CHECK(here.platform.calls(operation::sync) <= threads * each);
}

TEST_CASE("upkeep syncs what nobody waits for, though it slept without an alarm", "[client][producer][sync]") {
    const temp_directory directory;
    std::mutex mutex;
    std::condition_variable changed;
    int rests = 0;
    brook::test::watched_platform platform{[&](std::optional<std::chrono::nanoseconds> timeout) {
        if (!timeout) {
            const std::lock_guard guard{mutex};
            ++rests;
            changed.notify_all();
        }
    }};
    const auto rested = [&](int times) {
        std::unique_lock guard{mutex};
        return changed.wait_for(guard, 60s, [&] { return rests >= times; });
    };
    brook::broker broker{directory.path(), {.platform = &platform}};
    auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.flush_interval = 1ms});
    brook::producer producer{topic, {.linger = GENERATE(0ms, 1ms)}};
    for (int i = 1; i <= 3; ++i) {
        REQUIRE(rested(i));  // only upkeep sleeps here
        producer.send(7);
        while (topic.partition(0).durable_offset() < i) {  // ctest ends a test that waits for ever
            std::this_thread::yield();
        }
    }
}

TEST_CASE("of two partitions that wait for a sync, the failure of one is not told of the other", "[client][producer][sync]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2, .flush_messages = 1});
    told heard;
    brook::producer producer{topic, {.on_delivery = heard.callback()}};
    producer.send({.value = 1, .partition = 0});
    producer.send({.value = 2, .partition = 1});
    here.platform.inject({.on = operation::sync, .lasting = true, .path = "numbers/0/"});
    if (GENERATE(true, false)) {
        CHECK(code_of([&] { producer.flush(); }) == errc::partition_failed);
    } else {
        here.broker->maintain();
    }
    const auto all = heard.entries();
    REQUIRE(all.size() == 2);
    for (const auto& one : all) {
        CAPTURE(one.where.partition);
        CHECK((one.where.partition == 0 ? one.code == errc::partition_failed : !one.code));
    }
    CHECK(topic.partition(1).durable_offset() == 1);
}

// ---- append time ----

TEST_CASE("on append-time topics the log stamps, and its times never go back", "[client][producer][append_time]") {
    const auto linger = GENERATE(0min, 1min);
    CAPTURE(linger.count());
    world here;
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.message_timestamp_type = brook::timestamp_type::append_time});
    brook::producer producer{topic, {.linger = linger}};
    here.platform.set_now(at(100s));
    CHECK(producer.send({.value = 1, .timestamp = at(7'000s)}).get().timestamp == at(100s));  // the producer's wish counts for nothing
    CHECK(producer.send({.value = 2, .timestamp = at(1s)}).get().timestamp == at(100s));
    here.platform.set_now(at(50s));
    auto a = producer.send(3);
    auto b = producer.send({.value = 4, .headers = {{"h", "v"}}, .timestamp = at(9s)});
    CHECK(b.get().timestamp == at(100s));
    CHECK(a.get().timestamp == at(100s));
    here.platform.set_now(at(200s));
    CHECK(producer.send_batch(0, std::vector<std::uint64_t>{5, 6}).get().timestamp == at(200s));
    producer.flush();
    const auto read = read_all(topic);
    REQUIRE(read.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) {
        CAPTURE(i);
        CHECK(read[i].timestamp == at(i < 4 ? 100s : 200s));
    }
    brook::consumer consumer{topic};
    auto records = consumer.poll(0s);
    CHECK(records.front().timestamp_type() == brook::timestamp_type::append_time);
}

TEST_CASE("append times are in the order of offsets under any number of threads", "[client][producer][append_time]") {
    world here{brook::maintenance::thread};
    auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.message_timestamp_type = brook::timestamp_type::append_time});
    brook::producer producer{topic};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                for (std::uint64_t i = 0; i < 3'000; ++i) {
                    producer.send(i);
                }
            });
        }
    }
    const auto read = read_all(topic);
    REQUIRE(read.size() == 12'000);
    CHECK(std::is_sorted(read.begin(), read.end(), [](const auto& a, const auto& b) { return a.timestamp < b.timestamp; }));
}

}  // namespace client_producer_test
