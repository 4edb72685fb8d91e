#include <brook/client/consumer.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <ratio>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/producer.hpp>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "broker/watched_platform.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_consumer_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::offset_reset;
using brook::timestamp;
using brook::test::child;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::in_child;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::shared_with_children;
using brook::test::temp_directory;
using brook::test::values;
using brook::test::watched_platform;

namespace {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

struct world : brook::test::world {
    [[nodiscard]] numbers_topic numbers(std::int32_t partitions = 1) {
        return broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = partitions, .segment_bytes = 1 << 20});
    }
};

void send(const numbers_topic& topic, std::uint64_t first, std::uint64_t end, std::int32_t partition = 0) {
    brook::producer producer{topic};
    for (std::uint64_t i = first; i < end; ++i) {
        producer.send({.value = i, .partition = partition});
    }
    producer.flush();
}

std::vector<std::uint64_t> poll_now(numbers_consumer& consumer) {
    const auto records = consumer.poll(0s);
    return values(records);
}

std::vector<std::uint64_t> poll_all(numbers_consumer& consumer) {
    std::vector<std::uint64_t> all;
    do {
        for (const std::uint64_t number : poll_now(consumer)) {
            all.push_back(number);
        }
    } while (!consumer.caught_up());
    return all;
}

std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t end) {
    std::vector<std::uint64_t> all;
    for (; first < end; ++first) {
        all.push_back(first);
    }
    return all;
}

/// A broker without a thread of its own, in which a test can wait until another thread sleeps.
class sleepy_world {
public:
    temp_directory directory;

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int sleeps_ = 0;
    watched_platform platform_{[this](std::optional<std::chrono::nanoseconds>) {
        const std::lock_guard guard{mutex_};
        ++sleeps_;
        changed_.notify_all();
    }};

public:
    std::optional<brook::broker> broker{std::in_place, directory.path(),
                                        brook::broker_options{.maintenance = brook::maintenance::manual, .platform = &platform_}};

    /// Until some thread has gone to sleep so many times, or is about to: then whatever wakes it must not be lost.
    [[nodiscard]] bool await_sleep(int times = 1) {
        std::unique_lock guard{mutex_};
        return changed_.wait_for(guard, 60s, [&] { return sleeps_ >= times; });
    }
    [[nodiscard]] int sleeps() {
        const std::lock_guard guard{mutex_};
        return sleeps_;
    }
};

}  // namespace

// ---- reading ----

TEST_CASE("a consumer reads all partitions, each in order, and is then caught up", "[client][consumer]") {
    world here;
    const auto topic = here.numbers(3);
    for (const std::int32_t partition : {0, 1, 2}) {
        send(topic, 0, 700, partition);
    }
    brook::consumer consumer{topic};
    CHECK_FALSE(consumer.caught_up());  // not before it has been assigned
    std::map<std::int32_t, brook::offset> next;
    while (!consumer.caught_up()) {
        const auto records = consumer.poll(1s);
        REQUIRE(records.size() <= 500);
        std::size_t walked = 0;
        for (const auto& record : records) {
            REQUIRE(record.offset() == next[record.partition()]++);
            REQUIRE(record.value() == static_cast<std::uint64_t>(record.offset()));
            ++walked;
        }
        REQUIRE(walked == records.size());
        for (const auto& [partition, offset] : next) {
            REQUIRE(consumer.position(topic.partition(partition)) == offset);
        }
    }
    CHECK(next == std::map<std::int32_t, brook::offset>{{0, 700}, {1, 700}, {2, 700}});
    CHECK(consumer.poll(0s).empty());
}

TEST_CASE("max_poll_records holds inside batches, too", "[client][consumer]") {
    world here;
    const auto topic = here.numbers(2);
    brook::producer producer{topic};
    producer.send_batch(0, range(0, 10));
    producer.send_batch(0, range(10, 11));
    producer.send_batch(0, range(11, 30));
    producer.send_batch(1, range(100, 120));
    const std::int32_t most = GENERATE(1, 3, 7, 10, 500);
    CAPTURE(most);
    brook::consumer consumer{topic, {.max_poll_records = most}};
    std::vector<std::uint64_t> seen;
    while (!consumer.caught_up()) {
        const auto records = consumer.poll(0s);
        REQUIRE(records.size() <= static_cast<std::size_t>(most));
        const auto found = values(records);
        REQUIRE(found.size() == records.size());
        seen.insert(seen.end(), found.begin(), found.end());
    }
    std::vector<std::uint64_t> of_first;
    std::copy_if(seen.begin(), seen.end(), std::back_inserter(of_first), [](std::uint64_t number) { return number < 100; });
    CHECK(of_first == range(0, 30));
    CHECK(seen.size() == 50);
    consumer.seek(topic.partition(0), 5);  // into the middle of a batch
    consumer.seek(topic.partition(1), 20);
    CHECK(poll_now(consumer).front() == 5);
}

TEST_CASE("no partition is starved by a full one", "[client][consumer]") {
    world here;
    const auto topic = here.numbers(3);
    send(topic, 0, 5'000, 0);
    send(topic, 0, 5'000, 2);
    brook::consumer consumer{topic, {.max_poll_records = 100}};
    static_cast<void>(consumer.poll(0s));
    send(topic, 0, 1, 1);
    bool has_seen = false;
    for (int polls = 0; polls < 3; ++polls) {
        auto records = consumer.poll(0s);
        for (const auto& record : records) {
            has_seen = has_seen || record.partition() == 1;
        }
    }
    CHECK(has_seen);
}

TEST_CASE("tombstones, keys that are not there and headers come out as they went in", "[client][consumer]") {
    world here;
    auto texts = here.broker->create_topic<std::string, std::string>("texts");
    {
        brook::producer producer{texts};
        producer.send("a", "1");
        producer.send("a", brook::tombstone);
        producer.send({.key = "b", .value = "", .headers = {{"n", "1"}, {"n", "2"}, {"null"}}});
    }
    brook::consumer consumer{texts};
    auto records = consumer.poll(0s);
    REQUIRE(records.size() == 3);
    auto at = records.begin();
    CHECK(((*at).key() == "a" && (*at).value() == "1" && (*at).has_key() && !(*at).is_tombstone()));
    ++at;
    const auto tombstone = *at;
    CHECK((tombstone.key() == "a" && tombstone.is_tombstone() && tombstone.value_bytes().empty()));
    const auto refused = outcome_of([&] { static_cast<void>(tombstone.value()); });
    CHECK(refused.code == errc::no_value);
    CHECK(refused.names("offset 1"));
    ++at;
    CHECK(((*at).value().empty() && !(*at).is_tombstone()));
    CHECK((*at).header("n") == "2");  // the last of that name
    CHECK_FALSE((*at).header("null"));
    CHECK_FALSE((*at).header("absent"));
    CHECK((*at).headers().size() == 3);

    const auto numbers = here.numbers();
    send(numbers, 5, 6);
    brook::consumer keyless{numbers};
    auto of_numbers = keyless.poll(0s);
    CHECK_FALSE(of_numbers.front().has_key());
    CHECK(of_numbers.front().key() == no_key{});
    CHECK(of_numbers.front().key_bytes().empty());
}

// ---- where to begin ----

TEST_CASE("where nothing was committed, auto_offset_reset says where to begin", "[client][consumer][seek]") {
    world here;
    const auto topic = here.numbers(2);
    send(topic, 0, 5, 0);
    const std::string group = GENERATE(as<std::string>{}, "", "group");
    CAPTURE(group);
    SECTION("earliest") {
        brook::consumer consumer{topic, {.group_id = group, .auto_offset_reset = offset_reset::earliest}};
        CHECK(poll_now(consumer) == range(0, 5));
    }
    SECTION("latest") {
        brook::consumer consumer{topic, {.group_id = group, .auto_offset_reset = offset_reset::latest}};
        CHECK(poll_now(consumer).empty());
        CHECK(consumer.caught_up());
        CHECK(consumer.position(topic.partition(0)) == 5);
        send(topic, 5, 6);
        CHECK(poll_now(consumer) == range(5, 6));
    }
    SECTION("none: nowhere, and what was sought before is not forgotten") {
        brook::consumer consumer{topic, {.group_id = group, .auto_offset_reset = offset_reset::none}};
        consumer.seek(topic.partition(0), 3);
        const auto refused = outcome_of([&] { static_cast<void>(consumer.poll(0s)); });
        CHECK(refused.code == errc::offset_out_of_range);
        CHECK(refused.names("numbers"));
        CHECK(refused.names("partition 1"));
        CHECK_FALSE(consumer.caught_up());
        consumer.seek(topic.partition(1), 0);
        CHECK(poll_now(consumer) == range(3, 5));
    }
}

TEST_CASE("an offset that the partition does not have goes by auto_offset_reset", "[client][consumer][seek]") {
    world here;
    const auto topic = here.numbers();
    send(topic, 0, 5);
    const brook::offset wanted = GENERATE(as<brook::offset>{}, 6, 1'000'000, -1, std::numeric_limits<brook::offset>::max(), std::numeric_limits<brook::offset>::min());
    const bool has_polled = GENERATE(false, true);
    CAPTURE(wanted, has_polled);
    const auto make = [&](offset_reset reset) {
        brook::consumer consumer{topic, {.auto_offset_reset = reset}};
        if (has_polled) {
            consumer.seek(topic.partition(0), 5);
            static_cast<void>(consumer.poll(0s));
        }
        consumer.seek(topic.partition(0), wanted);
        return consumer;
    };
    SECTION("earliest") {
        auto consumer = make(offset_reset::earliest);
        CHECK(values(consumer.poll(1s)) == range(0, 5));
    }
    SECTION("latest") {
        auto consumer = make(offset_reset::latest);
        CHECK(poll_now(consumer).empty());
        CHECK(consumer.position(topic.partition(0)) == 5);
        CHECK(consumer.caught_up());
    }
    SECTION("none: an error, until it seeks") {
        auto consumer = make(offset_reset::none);
        CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::offset_out_of_range);
        CHECK(code_of([&] { static_cast<void>(consumer.poll()); }) == errc::offset_out_of_range);
        consumer.seek(topic.partition(0), 99);
        const auto refused = outcome_of([&] { static_cast<void>(consumer.poll(0s)); });
        CHECK(refused.code == errc::offset_out_of_range);
        CHECK(refused.names("partition 0"));
        CHECK(refused.names("offset 99"));
        CHECK(refused.names("from 0 to 5"));
        consumer.seek(topic.partition(0), 4);
        CHECK(poll_now(consumer) == range(4, 5));
    }
}

TEST_CASE("seeking goes to an offset, an end or a time", "[client][consumer][seek]") {
    world here;
    const auto topic = here.numbers(2);
    brook::producer producer{topic};
    for (std::uint64_t i = 0; i < 100; ++i) {
        producer.send({.value = i, .timestamp = timestamp{std::chrono::seconds{i * 10}}, .partition = i % 2 == 0 ? 0 : 1});
    }
    brook::consumer consumer{topic};
    const auto first = topic.partition(0);
    const auto second = topic.partition(1);
    CHECK(code_of([&] { static_cast<void>(consumer.position(first)); }) == errc::no_offset);

    const bool has_polled = GENERATE(false, true);
    if (has_polled) {
        static_cast<void>(consumer.poll(0s));
    }
    consumer.seek_to_end();
    CHECK(consumer.position(first) == 50);
    CHECK(poll_now(consumer).empty());
    CHECK(consumer.caught_up());
    consumer.seek(first, 49);
    CHECK(consumer.position(first) == 49);
    CHECK_FALSE(consumer.caught_up());
    CHECK(poll_now(consumer) == std::vector<std::uint64_t>{98});
    consumer.seek_to_beginning();
    CHECK(poll_all(consumer).size() == 100);
    consumer.seek_to_time(timestamp{500s});
    CHECK(consumer.position(first) == 25);   // 500 s exactly
    CHECK(consumer.position(second) == 25);  // 510 s
    CHECK(poll_all(consumer).size() == 50);
    consumer.seek_to_time(timestamp{985s});
    CHECK(consumer.position(first) == 50);  // nothing so late: its end
    CHECK(consumer.position(second) == 49);
    consumer.seek_to_time(timestamp::min());
    CHECK(poll_all(consumer).size() == 100);
}

// ---- assignment ----

TEST_CASE("assign reads what it is given, once, and subscribe reads all again", "[client][consumer][assign]") {
    world here;
    const auto topic = here.numbers(3);
    for (const std::int32_t partition : {0, 1, 2}) {
        send(topic, static_cast<std::uint64_t>(partition), static_cast<std::uint64_t>(partition) + 1, partition);
    }
    brook::consumer consumer{topic};
    CHECK(consumer.assignment().size() == 3);
    consumer.assign({topic.partition(1), topic.partition(1)});
    REQUIRE(consumer.assignment().size() == 1);
    CHECK(consumer.assignment().front() == topic.partition(1));
    CHECK(poll_all(consumer) == range(1, 2));
    CHECK(code_of([&] { consumer.seek(topic.partition(0), 0); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { static_cast<void>(consumer.position(topic.partition(2))); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { consumer.pause(topic.partition(2)); }) == errc::unknown_topic_or_partition);

    const std::vector<brook::partition> chosen = {topic.partition(2), topic.partition(0)};
    consumer.assign(chosen);
    auto seen = poll_all(consumer);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::uint64_t>{0, 2});

    consumer.subscribe(topic);
    CHECK(poll_all(consumer).size() == 3);

    consumer.assign({});
    CHECK(consumer.assignment().empty());
    CHECK(poll_now(consumer).empty());
    consumer.wakeup();
    CHECK(consumer.poll().empty());
}

TEST_CASE("a partition of another topic is refused wherever one is taken, until it is assigned", "[client][consumer][assign]") {
    world here;
    const auto topic = here.numbers(2);
    const auto other = here.broker->create_topic<no_key, std::uint64_t>("other", {.partitions = 3});
    brook::consumer consumer{topic, {.group_id = "group"}};
    for (const std::int32_t number : {0, 2}) {
        const auto foreign = other.partition(number);
        CHECK(code_of([&] { consumer.seek(foreign, 0); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { static_cast<void>(consumer.position(foreign)); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { consumer.pause(foreign); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { consumer.resume(foreign); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { consumer.commit(foreign, 0); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { static_cast<void>(consumer.committed(foreign)); }) == errc::unknown_topic_or_partition);
    }
    consumer.assign({other.partition(2)});
    consumer.seek(other.partition(2), 0);
    consumer.commit(other.partition(2), 0);
    CHECK(consumer.committed(other.partition(2)) == std::optional<brook::offset>{0});
    CHECK(code_of([&] { consumer.seek(other.partition(0), 0); }) == errc::unknown_topic_or_partition);
}

TEST_CASE("subscribing to another topic leaves the group of another broker, and joins there", "[client][consumer][assign]") {
    world here;
    world there;
    const auto first = here.numbers();
    const auto second = there.numbers();
    send(first, 0, 1);
    send(second, 7, 8);
    brook::consumer consumer{first, {.group_id = "group"}};
    CHECK(poll_all(consumer) == range(0, 1));
    consumer.subscribe(second);
    CHECK(poll_all(consumer) == range(7, 8));
    brook::consumer next{first, {.group_id = "group"}};
    CHECK_FALSE(code_of([&] { static_cast<void>(next.poll(0s)); }));
    static_cast<void>(next.poll(0s));
    CHECK(next.assignment().size() == 1);  // the first one is no member there any more
    CHECK(here.broker->group("group").members.size() == 1);
    CHECK(there.broker->group("group").members.size() == 1);
}

TEST_CASE("a paused partition keeps its place and gives nothing", "[client][consumer][pause]") {
    world here;
    const auto topic = here.numbers(2);
    send(topic, 0, 3, 0);
    send(topic, 10, 13, 1);
    brook::consumer consumer{topic};
    consumer.pause(topic.partition(0));
    CHECK(poll_now(consumer) == range(10, 13));
    CHECK(consumer.caught_up());  // everything that it may be given
    CHECK(consumer.position(topic.partition(0)) == 0);
    consumer.pause(topic.partition(0));  // twice is once
    consumer.resume(topic.partition(0));
    CHECK_FALSE(consumer.caught_up());
    CHECK(poll_now(consumer) == range(0, 3));
    CHECK(consumer.caught_up());
    consumer.pause(topic.partition(1));
    send(topic, 13, 14, 1);
    CHECK(poll_now(consumer).empty());
    consumer.resume(topic.partition(1));
    CHECK(poll_now(consumer) == range(13, 14));
}

// ---- waiting ----

TEST_CASE("a poll that sleeps is woken by what another thread sends", "[client][consumer][wait]") {
    sleepy_world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 4});
    brook::producer producer{topic};
    std::atomic<bool> is_right{true};
    std::jthread reader{[&] {
        brook::consumer consumer{topic};
        for (std::uint64_t i = 0; i < 100; ++i) {
            const auto records = i % 2 == 0 ? consumer.poll() : consumer.poll(60s);
            is_right = is_right && values(records) == range(i, i + 1);
        }
    }};
    for (int i = 0; i < 100; ++i) {
        const int before = here.sleeps();
        static_cast<void>(before);
        REQUIRE(here.await_sleep(i + 1));  // asleep, or about to be, for the i-th time at least
        producer.send({.value = static_cast<std::uint64_t>(i), .partition = i % 4});
    }
    reader.join();
    CHECK(is_right);
}

TEST_CASE("who is about to sleep raises its flag, fences all threads, and looks once more", "[client][consumer][wait]") {
    int sleeps = 0;
    watched_platform platform{[&](std::optional<std::chrono::nanoseconds>) { ++sleeps; }};
    temp_directory directory;
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual, .platform = &platform}};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2});
    brook::producer producer{topic};
    brook::consumer consumer{topic};
    CHECK(consumer.poll(0s).empty());
    int fences = 0;
    platform.at_fence = [&] {
        if (++fences == 1) {
            producer.send({.value = 7, .partition = 1});
        }
    };
    CHECK(values(consumer.poll(1s)) == range(7, 8));
    CHECK(fences == 1);
    CHECK(sleeps == 0);
}

TEST_CASE("no wake-up is lost between two threads that answer each other", "[client][consumer][wait][stress]") {
    const bool has_fence = GENERATE(true, false);  // without one each publication has a barrier of its own
    CAPTURE(has_fence);
    faulty_platform platform;
    platform.pretend_no_thread_fence(!has_fence);
    temp_directory directory;
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual, .platform = &platform}};
    const auto pings = broker.create_topic<no_key, std::uint64_t>("pings", {.segment_bytes = 64 << 10});
    const auto pongs = broker.create_topic<no_key, std::uint64_t>("pongs", {.segment_bytes = 64 << 10});
    constexpr std::uint64_t count = 20'000;
    std::atomic<bool> is_answered{true};
    const auto answer = [&](const numbers_topic& from, const numbers_topic& to) {
        brook::consumer consumer{from};
        brook::producer producer{to};
        for (std::uint64_t i = 0; i < count && is_answered; ++i) {
            is_answered = values(consumer.poll(60s)) == range(i, i + 1) && is_answered;
            producer.send(i);
        }
    };
    std::jthread other{[&] { answer(pings, pongs); }};
    brook::producer{pings}.send(0);
    brook::consumer consumer{pongs};
    brook::producer producer{pings};
    for (std::uint64_t i = 0; i < count && is_answered; ++i) {
        is_answered = values(consumer.poll(60s)) == range(i, i + 1) && is_answered;
        producer.send(i + 1);
    }
    CHECK(is_answered);
}

TEST_CASE("wakeup ends a poll that sleeps, and is remembered where none does", "[client][consumer][wait]") {
    sleepy_world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::consumer consumer{topic};
    SECTION("asleep") {
        std::jthread waker{[&] {
            static_cast<void>(here.await_sleep());
            consumer.wakeup();
        }};
        CHECK(consumer.poll().empty());
    }
    SECTION("before the poll: for one poll") {
        consumer.wakeup();
        consumer.wakeup();
        CHECK(consumer.poll().empty());
        send(topic, 1, 2);
        CHECK(values(consumer.poll()) == range(1, 2));
        CHECK(consumer.poll(0s).empty());
    }
    SECTION("records go first, and it is still remembered") {
        consumer.wakeup();
        send(topic, 1, 2);
        CHECK(values(consumer.poll()) == range(1, 2));
        CHECK(consumer.poll().empty());
    }
    SECTION("while the consumer is told to read something else") {
        std::atomic<bool> is_over{false};
        std::jthread waker{[&] {
            while (!is_over) {
                consumer.wakeup();
            }
        }};
        for (int i = 0; i < 200; ++i) {
            consumer.subscribe(topic);
            static_cast<void>(consumer.poll(0s));
        }
        is_over = true;
    }
}

TEST_CASE("a poll throws closed when its broker goes, asleep or not", "[client][consumer][wait]") {
    sleepy_world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::consumer consumer{topic, {.group_id = GENERATE(as<std::string>{}, "", "group")}};
    SECTION("asleep") {
        if (GENERATE(false, true)) {
            consumer.assign({});
        }
        std::jthread closer{[&] {
            static_cast<void>(here.await_sleep());
            here.broker.reset();
        }};
        CHECK(code_of([&] { static_cast<void>(consumer.poll()); }) == errc::closed);
    }
    SECTION("before its first poll") {
        here.broker.reset();
        CHECK(code_of([&] { static_cast<void>(consumer.poll()); }) == errc::closed);
    }
    SECTION("between polls") {
        static_cast<void>(consumer.poll(0s));
        here.broker.reset();
        CHECK(code_of([&] { static_cast<void>(consumer.poll()); }) == errc::closed);
        CHECK(code_of([&] { static_cast<void>(consumer.poll(1h)); }) == errc::closed);
    }
    CHECK(code_of([&] { static_cast<void>(consumer.poll(0s)); }) == errc::closed);
    CHECK(code_of([&] { consumer.seek_to_end(); }) != errc::invalid_config);
    consumer.wakeup();
    CHECK(code_of([&] { brook::consumer{topic}; }) == errc::closed);
}

TEST_CASE("a poll of nothing does not sleep through the end of its broker", "[client][consumer][wait]") {
    const temp_directory directory;
    std::atomic<int> sleeps{0};
    brook::test::watched_platform platform{[&](std::optional<std::chrono::nanoseconds>) { ++sleeps; }};
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual, .platform = &platform}};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers");
    brook::consumer consumer{topic};
    consumer.assign({});
    CHECK(consumer.poll(0s).empty());
    bool is_closing = false;
    platform.on_clock([&] {  // it has seen an open broker, and does not sleep yet
        if (!std::exchange(is_closing, true)) {
            broker.close();
        }
    });
    CHECK(code_of([&] { static_cast<void>(consumer.poll(2s)); }) == errc::closed);
    CHECK(is_closing);
    CHECK(sleeps == 0);
}

TEST_CASE("a poll lasts as long as it was told, however that was said", "[client][consumer][wait]") {
    sleepy_world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    brook::consumer consumer{topic};
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.poll(-5s).empty());
    CHECK(consumer.poll(std::chrono::nanoseconds::min()).empty());
    CHECK(consumer.poll(std::chrono::duration<double>{-1e300}).empty());
    CHECK(here.sleeps() == 0);
    CHECK(consumer.poll(1ns).empty());
    CHECK(consumer.poll(std::chrono::duration<double, std::milli>{0.5}).empty());
    // What no clock can hold is for ever, and not no time at all.
    const auto sleeps_before_wakeup = [&](auto longest) {
        const int before = here.sleeps();
        std::jthread waker{[&] {
            static_cast<void>(here.await_sleep(before + 1));
            consumer.wakeup();
        }};
        CHECK(consumer.poll(longest).empty());
        CHECK(here.sleeps() > before);
    };
    sleeps_before_wakeup(std::chrono::nanoseconds::max());
    sleeps_before_wakeup(std::chrono::hours::max());
    sleeps_before_wakeup(std::chrono::duration<double>{1e300});
    sleeps_before_wakeup(std::chrono::duration<double>{std::numeric_limits<double>::infinity()});
}

// ---- caught_up ----

TEST_CASE("caught_up is exact, whatever else stands in the log", "[client][consumer][caught_up]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, brook::bytes>("frames", {.segment_bytes = 4'096});
    const auto partition = topic.partition(0);
    brook::producer producer{topic};
    brook::consumer consumer{topic};
    CHECK_FALSE(consumer.caught_up());
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.caught_up());  // of nothing
    const auto sends = [&] { producer.send(brook::bytes{}); };

    sends();
    CHECK_FALSE(consumer.caught_up());
    CHECK(consumer.poll(0s).size() == 1);
    CHECK(consumer.caught_up());

    partition.sync();  // leaves an evidence frame
    CHECK(consumer.caught_up());
    CHECK(consumer.position(partition) == 1);

    { auto dropped = producer.claim(100); }  // a filler, and an offset that nobody is given
    CHECK(consumer.caught_up());
    CHECK(consumer.position(partition) == 2);
    CHECK(partition.log_end_offset() == 2);

    {
        auto open = producer.claim(8);
        sends();  // behind the open slot: not readable yet
        CHECK(consumer.caught_up());
        CHECK(consumer.poll(0s).empty());
        open.commit();
    }
    CHECK_FALSE(consumer.caught_up());
    CHECK(consumer.poll(0s).size() == 2);
    CHECK(consumer.caught_up());

    partition.roll();
    CHECK(consumer.caught_up());
    sends();
    CHECK_FALSE(consumer.caught_up());
    CHECK(consumer.poll(0s).size() == 1);
    CHECK(consumer.caught_up());

    for (int i = 0; i < 1'000; ++i) {  // over many segments
        sends();
    }
    std::size_t seen = 0;
    while (!consumer.caught_up()) {
        seen += consumer.poll(0s).size();
    }
    CHECK(seen == 1'000);
    CHECK(consumer.position(partition) == partition.log_end_offset());
}

// ---- groups and commits ----

TEST_CASE("a commit is where the group goes on, also after its process was killed", "[client][consumer][commit]") {
    world here;
    {
        const auto topic = here.numbers(2);
        send(topic, 0, 10, 0);
        send(topic, 100, 110, 1);
    }
    const auto read_and_commit = [](const numbers_topic& topic) {
        brook::consumer consumer{topic, {.group_id = "group", .max_poll_records = 4}};
        static_cast<void>(consumer.poll(0s));  // four of partition 0
        consumer.commit();
        static_cast<void>(consumer.poll(0s));  // given, not committed
    };
    SECTION("in the same broker") { read_and_commit(here.numbers(2)); }
    SECTION("in the next one") {
        read_and_commit(here.numbers(2));
        here.open();
    }
    SECTION("after a kill") {
        here.broker.reset();
        shared_with_children<std::atomic<bool>> is_done;
        child process{[&] {
            here.open();
            read_and_commit(here.numbers(2));
            is_done->store(true);
            for (;;) {
                ::pause();
            }
            return 0;
        }};
        while (!is_done->load()) {
            REQUIRE(process.is_running());
            std::this_thread::yield();
        }
        process.kill();
        here.open();
    }
    const auto topic = here.broker->topic<no_key, std::uint64_t>("numbers");
    brook::consumer again{topic, {.group_id = "group"}};
    CHECK(again.committed(topic.partition(0)) == 4);
    CHECK(again.committed(topic.partition(1)) == 0);
    const auto rest = poll_all(again);
    CHECK(rest.size() == 16);
    CHECK(std::find(rest.begin(), rest.end(), 3) == rest.end());
    CHECK(std::find(rest.begin(), rest.end(), 4) != rest.end());
    brook::consumer other{topic, {.group_id = "other group"}};
    CHECK_FALSE(other.committed(topic.partition(0)));
    CHECK(poll_all(other).size() == 20);
}

TEST_CASE("auto-commit commits at each poll what the poll before it gave", "[client][consumer][commit]") {
    world here;
    const auto topic = here.numbers();
    send(topic, 0, 10);
    {
        brook::consumer consumer{topic, {.group_id = "group", .max_poll_records = 3, .enable_auto_commit = true}};
        CHECK(poll_now(consumer) == range(0, 3));
        CHECK_FALSE(consumer.committed(topic.partition(0)));
        CHECK(poll_now(consumer) == range(3, 6));
        CHECK(consumer.committed(topic.partition(0)) == 3);
    }  // dies in the middle of its work: without a commit
    brook::consumer again{topic, {.group_id = "group", .enable_auto_commit = true}};
    CHECK(poll_now(again) == range(3, 10));
    CHECK(poll_now(again).empty());
    CHECK(again.committed(topic.partition(0)) == 10);
    const auto size = here.broker->topic<no_key, std::uint64_t>("numbers").size_bytes();
    CHECK(poll_now(again).empty());
    CHECK(here.broker->topic<no_key, std::uint64_t>("numbers").size_bytes() == size);
}

TEST_CASE("an explicit commit is the next offset to read, forward or back", "[client][consumer][commit]") {
    world here;
    const auto topic = here.numbers();
    const auto partition = topic.partition(0);
    send(topic, 0, 10);
    const brook::offset next = GENERATE(as<brook::offset>{}, 0, 7, 10);
    CAPTURE(next);
    {
        brook::consumer consumer{topic, {.group_id = "group"}};
        static_cast<void>(consumer.poll(0s));
        consumer.commit();
        consumer.commit(partition, next);
        CHECK(consumer.committed(partition) == next);
        CHECK(code_of([&] { consumer.commit(partition, -1); }) == errc::offset_out_of_range);
        CHECK(consumer.committed(partition) == next);
        CHECK(consumer.position(partition) == 10);  // its own place stays
    }
    brook::consumer again{topic, {.group_id = "group"}};
    CHECK(poll_now(again) == range(static_cast<std::uint64_t>(next), 10));
}

TEST_CASE("a commit behind the end of the log goes on at the end, and is told", "[client][consumer][commit]") {
    world here;
    const auto topic = here.numbers();
    send(topic, 0, 5);
    {
        const auto& engine = brook::detail::access::engine(topic);
        REQUIRE_FALSE(engine.core()->groups().reset("group", {{engine.state()->meta.id, 0, 9}}));  // as if the log had been cut behind it
    }
    const auto reset = GENERATE(offset_reset::earliest, offset_reset::none);
    brook::consumer consumer{topic, {.group_id = "group", .auto_offset_reset = reset}};
    CHECK(poll_now(consumer).empty());
    CHECK(consumer.position(topic.partition(0)) == 5);
    CHECK(consumer.caught_up());
    const auto errors = here.broker->health().errors;
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().code == errc::offset_out_of_range);
    CHECK(errors.front().text.find("'group'") != std::string::npos);
    CHECK(errors.front().text.find("numbers") != std::string::npos);
    send(topic, 5, 6);
    CHECK(poll_now(consumer) == range(5, 6));
    consumer.commit();
    CHECK(consumer.committed(topic.partition(0)) == 6);
}

TEST_CASE("what a member read falls to the next one when it has gone", "[client][consumer][group]") {
    world here;
    const auto topic = here.numbers();
    send(topic, 0, 5);
    std::optional<numbers_consumer> member{std::in_place, topic, brook::consumer_options{.group_id = "group"}};
    brook::consumer second{topic, {.group_id = "group"}};
    CHECK(member->assignment().empty());
    CHECK(poll_now(*member) == range(0, 5));
    CHECK(member->assignment().size() == 1);
    CHECK(poll_now(second).empty());
    CHECK(second.assignment().empty());
    CHECK(code_of([&] { second.commit(topic.partition(0), 1); }) == errc::unknown_topic_or_partition);
    CHECK_FALSE(member->committed(topic.partition(0)));

    SECTION("by its end") { member.reset(); }
    SECTION("by being assigned another") { *member = numbers_consumer{topic, {.group_id = "elsewhere"}}; }
    SECTION("by the end of what it was moved into") {
        { const numbers_consumer heir{std::move(*member)}; }
    }
    SECTION("by being assigned to") { member->assign({topic.partition(0)}); }
    CHECK(poll_now(second) == range(0, 5));
    CHECK_FALSE(code_of([&] { second.commit(); }));
}

TEST_CASE("a consumer that was moved goes on where it was", "[client][consumer]") {
    world here;
    const auto topic = here.numbers();
    send(topic, 0, 10);
    numbers_consumer first{topic, {.group_id = "group", .max_poll_records = 3}};
    CHECK(poll_now(first) == range(0, 3));
    numbers_consumer second{std::move(first)};
    CHECK(poll_now(second) == range(3, 6));
    numbers_consumer third{topic};
    third = std::move(second);
    CHECK(poll_now(third) == range(6, 9));
    third.commit();
    CHECK(third.committed(topic.partition(0)) == 9);
    third.wakeup();
    CHECK(third.poll().size() == 1);
}

TEST_CASE("what a consumer cannot do says why", "[client][consumer]") {
    world here;
    const auto topic = here.numbers();
    CHECK(outcome_of([&] { brook::consumer{topic, {.max_poll_records = 0}}; }).names("max_poll_records"));
    CHECK(outcome_of([&] { brook::consumer{topic, {.max_poll_records = -1}}; }).code == errc::invalid_config);
    CHECK(outcome_of([&] { brook::consumer{topic, {.enable_auto_commit = true}}; }).names("group_id"));
    brook::consumer alone{topic};
    CHECK(code_of([&] { alone.commit(); }) == errc::illegal_state);
    CHECK(code_of([&] { alone.commit(topic.partition(0), 0); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(alone.committed(topic.partition(0))); }) == errc::illegal_state);
    brook::consumer member{topic, {.group_id = "group"}};
    CHECK_FALSE(code_of([&] { member.commit(); }));  // nothing to commit yet
    here.broker.reset();
    CHECK(code_of([&] { member.commit(topic.partition(0), 0); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(member.committed(topic.partition(0))); }) == errc::closed);
}

// ---- damage ----

TEST_CASE("damage is an error that names its place, after what is before it, until the consumer seeks past it", "[client][consumer][damage]") {
    world here;
    const auto size = [&] {
        const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4'096});
        send(topic, 0, 300);
        here.broker->maintain();  // the sealed segments are synced
        here.broker.reset();
        return std::filesystem::file_size(here.directory / "topics/numbers/0/00000000000000000000.log");
    }();
    REQUIRE(size == 4'096);
    const std::string path = here.directory / "topics/numbers/0/00000000000000000000.log";
    {
        std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
        file.seekp(2'000);
        const char before = static_cast<char>(file.get());
        file.seekp(2'000);
        file.put(static_cast<char>(before ^ 0x10));
    }
    here.open();
    const auto topic = here.broker->topic<no_key, std::uint64_t>("numbers");
    brook::consumer consumer{topic};
    const auto before = poll_now(consumer);
    CHECK(before == range(0, before.size()));
    CHECK(before.size() > 10);
    CHECK(before.size() < 60);
    for (int again = 0; again < 2; ++again) {
        const auto refused = outcome_of([&] { static_cast<void>(consumer.poll(0s)); });
        CHECK(refused.code == errc::corrupt_record);
        CHECK(refused.names("numbers"));
        CHECK(refused.names("partition 0"));
        CHECK(refused.names(path));
        CHECK(refused.names("position"));
    }
    CHECK_FALSE(consumer.caught_up());
    consumer.seek(topic.partition(0), static_cast<brook::offset>(before.size()) + 1);
    const auto after = poll_all(consumer);
    CHECK(after == range(before.size() + 1, 300));
}

TEST_CASE("without check_crcs what is damaged is given as it is", "[client][consumer][damage]") {
    world here;
    {
        const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4'096});
        send(topic, 0, 300);
        here.broker->maintain();
        here.broker.reset();
    }
    const std::string path = here.directory / "topics/numbers/0/00000000000000000000.log";
    {
        std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
        std::string all(4'096, '\0');
        file.read(all.data(), 4'096);
        const std::uint64_t wanted = 20;
        std::size_t at = 0;
        for (std::size_t i = 128; i + 8 <= all.size(); i += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, all.data() + i, 8);
            if (word == wanted) {
                at = i;  // the last such word is the value; its offset stands before it in the header
            }
        }
        REQUIRE(at != 0);
        file.seekp(static_cast<std::streamoff>(at + 1));
        file.put(1);
    }
    here.open();
    const auto topic = here.broker->topic<no_key, std::uint64_t>("numbers");
    brook::consumer trusting{topic, {.check_crcs = false}};
    const auto all = poll_all(trusting);
    REQUIRE(all.size() == 300);
    CHECK(all[20] == 20 + 256);
}

}  // namespace client_consumer_test
