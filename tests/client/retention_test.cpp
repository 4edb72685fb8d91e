// What stays and what goes, as users see it: options, deleted records, consumers in front of the start, limits of the disk.
#include <brook/brook.hpp>
#include <brook/verify.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_retention_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::code_of;
using brook::test::outcome_of;
using brook::test::read_numbers;
using brook::test::temp_directory;
using brook::test::world;

namespace {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using numbers_consumer = brook::consumer<no_key, std::uint64_t>;

void maintain(brook::broker& broker, int times = 1) {
    for (int i = 0; i < times; ++i) {
        broker.maintain();
    }
}

bool is_told_of(const brook::broker& broker, const std::string& what) {
    const auto errors = broker.health().errors;
    return std::any_of(errors.begin(), errors.end(), [&](const failure& why) { return why.text.find(what) != std::string::npos; });
}

void send(const numbers_topic& topic, std::uint64_t from, std::uint64_t to) {
    brook::producer producer{topic};
    for (std::uint64_t i = from; i < to; ++i) {
        producer.send(i);
    }
}

std::vector<std::uint64_t> range(std::uint64_t from, std::uint64_t to) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t i = from; i < to; ++i) {
        all.push_back(i);
    }
    return all;
}

std::uint64_t bytes_below(const std::string& path) {  // as du(1)
    std::uint64_t all = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{path}) {
        std::uint64_t bytes = 0;
        if (entry.is_regular_file() && !os::posix().disk_bytes(entry.path().string(), bytes)) {
            all += bytes;
        }
    }
    return all;
}

std::size_t open_things(const std::string& below) {
    std::size_t count = 0;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        count += std::filesystem::read_symlink(entry.path(), code).string().starts_with(below) ? 1 : 0;
    }
    std::ifstream maps{"/proc/self/maps"};
    for (std::string line; std::getline(maps, line);) {
        count += line.find(below) != std::string::npos ? 1 : 0;
    }
    return count;
}

}  // namespace

TEST_CASE("retention is an option of the topic, and stays with it", "[client][retention]") {
    world here;
    const topic_options wanted{.segment_bytes = 4 * kib, .retention = 48h, .retention_bytes = std::int64_t{64} * kib};
    static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("numbers", wanted));
    here.open();
    static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("numbers", wanted));
    static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("numbers"));
    const auto other = outcome_of([&] { static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("numbers", {.retention = 1h})); });
    CHECK(other.code == errc::topic_already_exists);
    CHECK(other.names("retention"));
    CHECK(code_of([&] { static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("numbers", {.retention_bytes = 1})); }) ==
          errc::topic_already_exists);
    CHECK(code_of([&] { static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("none", {.retention = 0s})); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("none", {.retention_bytes = 0})); }) == errc::invalid_config);
    static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("all"));
    CHECK(code_of([&] { static_cast<void>(here.broker->create_topic<no_key, std::uint64_t>("all", {.retention = 1h})); }) == errc::topic_already_exists);
    CHECK(code_of([&] { brook::broker{here.directory.path() + "/two", {.min_free_bytes = 0}}; }) == errc::invalid_config);
    CHECK(code_of([&] { brook::broker{here.directory.path() + "/two", {.max_bytes = -1}}; }) == errc::invalid_config);
}

TEST_CASE("a topic keeps its retention_bytes, and tells its sizes", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2, .segment_bytes = 4 * kib, .retention_bytes = 8 * kib});
    const std::uint64_t before = topic.size_bytes();
    send(topic, 0, 4'000);
    CHECK(topic.size_bytes() > before + std::uint64_t{4'000} * 48);
    maintain(*here.broker);
    for (const auto& one : topic.partitions()) {
        CHECK(one.log_start_offset() > 0);
        CHECK(one.log_end_offset() > one.log_start_offset());
        CHECK(one.size_bytes() >= 8 * kib);
        CHECK(one.size_bytes() < 12 * kib);
    }
    CHECK(topic.size_bytes() < 24 * kib);
    CHECK(topic.disk_bytes() == bytes_below(here.directory.path() + "/topics/numbers") - [&] {
        std::uint64_t meta = 0;
        REQUIRE_FALSE(os::posix().disk_bytes(here.directory.path() + "/topics/numbers/topic.meta", meta));
        return meta;
    }());
    here.broker.reset();
    CHECK(code_of([&] { static_cast<void>(topic.size_bytes()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(topic.disk_bytes()); }) == errc::closed);
}

TEST_CASE("files and mappings of deleted segments are let go of", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib, .retention_bytes = 1});
    send(topic, 0, 10);
    maintain(*here.broker, 3);
    const std::size_t before = open_things(here.directory.path());
    for (std::uint64_t round = 0; round < 5; ++round) {
        send(topic, 10 + round * 2'000, 10 + (round + 1) * 2'000);
        static_cast<void>(read_numbers(topic));
        maintain(*here.broker, 3);
    }
    CHECK(open_things(here.directory.path()) <= before);
}

TEST_CASE("a consumer in front of the start goes where its reset policy says", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib});
    send(topic, 0, 1'000);
    numbers_consumer slow{topic, {.auto_offset_reset = offset_reset::earliest, .max_poll_records = 10}};
    numbers_consumer strict{topic, {.auto_offset_reset = offset_reset::none, .max_poll_records = 10}};
    numbers_consumer hasty{topic, {.auto_offset_reset = offset_reset::latest, .max_poll_records = 10}};
    strict.seek_to_beginning();
    hasty.seek_to_beginning();
    CHECK(test::values(slow.poll(0s)) == range(0, 10));
    CHECK(test::values(strict.poll(0s)) == range(0, 10));
    CHECK(test::values(hasty.poll(0s)) == range(0, 10));
    const auto kept = slow.poll(0s);  // in place, whatever is deleted
    topic.partition(0).delete_records(500);
    maintain(*here.broker, 3);
    CHECK(test::values(kept) == range(10, 20));
    CHECK(test::values(slow.poll(0s)) == range(500, 510));
    CHECK(code_of([&] { static_cast<void>(strict.poll(0s)); }) == errc::offset_out_of_range);
    CHECK(test::values(hasty.poll(0s)).empty());
    send(topic, 1'000, 1'003);
    CHECK(test::values(hasty.poll(0s)) == range(1'000, 1'003));
    CHECK(read_numbers(topic) == range(500, 1'003));
    CHECK(code_of([&] { topic.partition(0).delete_records(2'000); }) == errc::offset_out_of_range);
}

TEST_CASE("a group whose committed offset was deleted goes on at the start, or at the end, as it has said", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib});
    send(topic, 0, 1'000);
    {
        numbers_consumer first{topic, {.group_id = "workers", .auto_offset_reset = offset_reset::earliest, .max_poll_records = 10}};
        CHECK(test::values(first.poll(0s)) == range(0, 10));
        first.commit();
    }
    topic.partition(0).delete_records(777);
    maintain(*here.broker, 3);
    here.open();
    const auto again = here.broker->topic<no_key, std::uint64_t>("numbers");
    numbers_consumer next{again, {.group_id = "workers", .auto_offset_reset = offset_reset::earliest, .max_poll_records = 10}};
    CHECK(test::values(next.poll(0s)) == range(777, 787));
    next.commit();
    CHECK(here.broker->group("workers").partitions.front().committed == std::optional<offset>{787});
}

TEST_CASE("readers at every speed go on while segments are deleted under them", "[client][retention]") {
    temp_directory directory;
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 16 * kib, .retention_bytes = 64 * kib});
    constexpr std::uint64_t count = 150'000;
    std::atomic<bool> is_done{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> readers;
    for (const std::int32_t at_once : {1, 17, 1'000}) {
        readers.emplace_back([&, at_once] {
            numbers_consumer consumer{topic, {.auto_offset_reset = offset_reset::earliest, .max_poll_records = at_once}};
            std::optional<offset> last;
            while (!(is_done.load() && consumer.caught_up())) {
                for (const auto& record : consumer.poll(0s)) {
                    const bool is_right = record.value() == static_cast<std::uint64_t>(record.offset()) && (!last || record.offset() > *last);
                    wrong += is_right ? 0 : 1;
                    last = record.offset();
                }
                if (at_once == 1 && !is_done.load()) {
                    std::this_thread::yield();  // is left behind
                }
            }
            wrong += last == std::optional<offset>{count - 1} ? 0 : 1;
        });
    }
    send(topic, 0, count);
    is_done = true;
    for (auto& reader : readers) {
        reader.join();
    }
    CHECK(wrong == 0);
    CHECK(topic.partition(0).log_start_offset() > 0);
    CHECK(broker.health().errors.empty());
}

TEST_CASE("at max_bytes a topic without retention is refused with words, and goes on when there is room", "[client][retention]") {
    world here{{.max_bytes = 512 * kib}};
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = GENERATE(std::int64_t{64} * kib, std::int64_t{4} * mib)});
    brook::producer producer{topic};
    const std::string text(1'000, 'x');
    std::uint64_t sent = 0;
    const auto refused = outcome_of([&] {
        for (; sent < 2'000; ++sent) {
            producer.send(text).get();
            maintain(*here.broker);
        }
    });
    CHECK(refused.code == std::errc::no_space_on_device);
    CHECK(refused.names("max_bytes"));
    CHECK(sent > 200);
    CHECK(bytes_below(here.directory.path() + "/topics") <= 520 * kib);
    CHECK(topic.partition(0).log_start_offset() == 0);  // it was told to keep everything
    CHECK(static_cast<std::uint64_t>(topic.partition(0).log_end_offset()) == sent);
    {
        brook::consumer reader{topic, {.group_id = "workers", .auto_offset_reset = offset_reset::earliest}};
        CHECK(reader.poll(0s).size() > 100);
        reader.commit();  // is not refused
    }
    here.open();  // nor is opening
    const auto again = here.broker->topic<no_key, std::string>("texts");
    brook::producer next{again};
    CHECK(code_of([&] {
              for (int i = 0; i < 100; ++i) {
                  next.send(text).get();
              }
          }) == std::errc::no_space_on_device);
    again.partition(0).delete_records(again.partition(0).log_end_offset());
    maintain(*here.broker, 3);
    CHECK_FALSE(code_of([&] { next.send(text).get(); }));
}

TEST_CASE("at max_bytes topics with retention forget early, the oldest segments of all first", "[client][retention]") {
    world here{{.max_bytes = mib}};
    const auto kept = here.broker->create_topic<no_key, std::string>("kept", {.segment_bytes = 64 * kib});
    const auto one = here.broker->create_topic<no_key, std::string>("one", {.segment_bytes = 64 * kib, .retention = 1000h});
    const auto two = here.broker->create_topic<no_key, std::string>("two", {.segment_bytes = 64 * kib, .retention = 1000h});
    brook::producer to_kept{kept};
    brook::producer to_one{one};
    brook::producer to_two{two};
    const std::string text(1'000, 'x');
    for (int i = 0; i < 100; ++i) {
        to_kept.send(text);
        to_one.send(text);
    }
    maintain(*here.broker);
    const auto told = outcome_of([&] {
        for (int i = 0; i < 3'000; ++i) {
            to_two.send(text).get();
            maintain(*here.broker);
            if (one.partition(0).log_start_offset() == 0) {
                REQUIRE(two.partition(0).log_start_offset() == 0);  // the older one goes first
            }
        }
    });
    CHECK(told.text == "");
    CHECK(kept.partition(0).log_start_offset() == 0);
    CHECK(one.partition(0).log_start_offset() > 0);
    CHECK(two.partition(0).log_start_offset() > 1'000);
    CHECK(bytes_below(here.directory.path() + "/topics") <= mib + 8 * kib);
}

TEST_CASE("min_free_bytes leaves that much to the others", "[client][retention]") {
    world here{{.min_free_bytes = 10 * mib}};
    here.platform.set_free_bytes(std::uint64_t{20} * mib);
    const auto kept = here.broker->create_topic<no_key, std::string>("kept", {.segment_bytes = 64 * kib});
    const auto short_lived = here.broker->create_topic<no_key, std::string>("short-lived", {.segment_bytes = 64 * kib, .retention = 1000h});
    brook::producer to_kept{kept};
    brook::producer to_short_lived{short_lived};
    const std::string text(1'000, 'x');
    const auto fill = [&](auto& producer) {
        return outcome_of([&] {
            for (int i = 0; i < 200; ++i) {
                producer.send(text).get();
            }
        });
    };
    CHECK(fill(to_kept).text == "");
    CHECK(fill(to_short_lived).text == "");
    maintain(*here.broker, 2);
    CHECK(short_lived.partition(0).log_start_offset() == 0);
    here.platform.set_free_bytes(std::uint64_t{10} * mib);  // somebody else has filled the disk
    const auto refused = fill(to_kept);
    CHECK(refused.code == std::errc::no_space_on_device);
    CHECK(refused.names("min_free_bytes"));
    maintain(*here.broker, 2);
    CHECK(short_lived.partition(0).log_start_offset() > 0);
    CHECK(kept.partition(0).log_start_offset() == 0);
    here.platform.set_free_bytes(std::uint64_t{20} * mib);
    CHECK(fill(to_kept).text == "");
}

TEST_CASE("a producer with a name is known when all of its records have been deleted", "[client][retention]") {
    world here;
    const bool by_age = GENERATE(false, true);
    here.platform.set_now(timestamp{500'000h});
    here.platform.set_monotonic(1h);
    here.open();
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib, .retention = 1h});
    {
        brook::producer import{topic, {.name = "import"}};
        for (std::uint64_t i = 0; i < 200; ++i) {
            import.send({.value = i, .sequence = static_cast<std::int64_t>(i)}).get();
        }
    }
    maintain(*here.broker, 2);
    if (by_age) {
        for (int hour = 1; hour < 6; ++hour) {
            here.platform.set_now(timestamp{500'000h + std::chrono::hours{hour}});
            here.platform.set_monotonic(1h + std::chrono::hours{hour});
            maintain(*here.broker, 2);
        }
    } else {
        topic.partition(0).delete_records(200);
    }
    maintain(*here.broker, 4);
    CHECK(topic.partition(0).log_start_offset() == 200);
    here.open();
    const auto again = here.broker->topic<no_key, std::uint64_t>("numbers");
    brook::producer import{again, {.name = "import"}};
    CHECK(import.last_sequence() == std::optional<std::int64_t>{199});
    CHECK(import.send({.value = std::uint64_t{199}, .sequence = 199}).get().offset == 199);
    CHECK(again.partition(0).log_end_offset() == 200);
    import.send({.value = std::uint64_t{200}, .sequence = 200}).get();
    maintain(*here.broker, 4);
    CHECK(read_numbers(again) == range(200, 201));
    CHECK(bytes_below(here.directory.path() + "/topics/numbers") < 80 * kib);  // and then the old segment goes
}

TEST_CASE("upkeep in small slices comes to the limits of the disk, too", "[client][retention]") {
    world here{{.max_bytes = mib}};
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.partitions = 3, .segment_bytes = 64 * kib, .retention = 1000h});
    brook::producer producer{topic};
    for (int i = 0; i < 900; ++i) {
        producer.send({.value = std::string(1'000, 'x'), .partition = i % 3});
    }
    for (int slice = 0; slice < 30; ++slice) {
        here.broker->maintain(1ns);
    }
    CHECK(topic.partition(0).log_start_offset() > 0);
    CHECK(topic.disk_bytes() <= 900 * kib);
}

TEST_CASE("space that comes free later is waited for", "[client][retention]") {
    world here{{.min_free_bytes = 10 * mib}};
    here.platform.set_monotonic(1h);
    here.platform.set_free_bytes(std::uint64_t{20} * mib);
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 64 * kib, .retention = 1000h});
    brook::producer producer{topic};
    for (int i = 0; i < 2'000; ++i) {
        producer.send(std::string(1'000, 'x'));
    }
    maintain(*here.broker, 2);
    CHECK(topic.partition(0).log_start_offset() == 0);
    here.platform.set_free_bytes(std::uint64_t{10} * mib + 100 * kib);  // 28 KiB short of two segments, and it stays so
    maintain(*here.broker, 50);
    const offset start = topic.partition(0).log_start_offset();
    CHECK(start > 0);
    CHECK(start < 100);  // one segment
    here.platform.set_monotonic(1h + 11s);
    maintain(*here.broker, 50);
    CHECK(topic.partition(0).log_start_offset() > start);
    CHECK(topic.partition(0).log_start_offset() < 200);
}

TEST_CASE("what is deleted makes room at the limit, also where it is in active segments", "[client][retention]") {
    world here{{.max_bytes = GENERATE(440, 480, 520, 560) * std::int64_t{kib}}};  // some of them leave no room for a new segment
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.partitions = 2, .segment_bytes = 4 * mib});
    brook::producer producer{topic};
    const std::string text(1'000, 'x');
    const auto fill = [&] {
        int sent = 0;
        const auto refused = outcome_of([&] {
            for (; sent < 2'000; ++sent) {
                producer.send({.value = text, .partition = sent % 2}).get();
            }
        });
        CHECK(refused.code == std::errc::no_space_on_device);
        return sent;
    };
    CHECK(fill() > 100);
    for (const auto& one : topic.partitions()) {
        one.delete_records(one.log_end_offset());
    }
    maintain(*here.broker, 4);
    CHECK(topic.disk_bytes() < 200 * kib);
    CHECK(fill() > 100);
}

TEST_CASE("a writer that was refused at the limit goes on when records have been deleted, whoever looks after the broker", "[client][retention]") {
    temp_directory directory;
    brook::broker broker{directory.path(), {.max_bytes = 640 * kib}};
    const auto topic = broker.create_topic<no_key, std::string>("texts", {.segment_bytes = 64 * kib});
    brook::producer producer{topic};
    const std::string text(1'000, 'x');
    CHECK(code_of([&] {
              for (int i = 0; i < 2'000; ++i) {
                  producer.send(text).get();
              }
          }) == std::errc::no_space_on_device);
    topic.partition(0).sync();
    topic.partition(0).delete_records(topic.partition(0).log_end_offset());
    while (code_of([&] { producer.send(text).get(); }) == std::errc::no_space_on_device) {
        std::this_thread::yield();  // the test's own time limit ends it
    }
}

TEST_CASE("verify finds nothing wrong with a file that should have gone", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib});
    send(topic, 0, 1'000);
    maintain(*here.broker, 2);
    here.platform.inject({.on = test::operation::remove, .lasting = true});
    topic.partition(0).roll();
    static_cast<void>(code_of([&] { topic.partition(0).delete_records(100); }));
    here.platform.heal();
    topic.partition(0).delete_records(900);
    maintain(*here.broker, 2);
    here.broker.reset();
    const auto report = verify(here.directory.path());
    INFO(report.text());
    CHECK(report.is_ok());
    here.open();
    CHECK(here.broker->topic<no_key, std::uint64_t>("numbers").partition(0).recovery().damages.empty());
}

TEST_CASE("a consumer of committed records goes on behind what was deleted", "[client][retention]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib});
    send(topic, 0, 10);
    numbers_consumer consumer{topic, {.auto_offset_reset = offset_reset::latest}};
    consumer.seek_to_beginning();
    CHECK(consumer.poll(0s).size() == 10);
    auto open = here.broker->begin_transaction({.transactional_id = "long"});
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        open.send(topic, {.value = i});  // more than it keeps in memory
    }
    REQUIRE(topic.partition(0).last_stable_offset() < topic.partition(0).log_end_offset());
    topic.partition(0).delete_records(topic.partition(0).log_end_offset());
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.position(topic.partition(0)) == topic.partition(0).log_start_offset());
    CHECK(consumer.caught_up());
    open.abort();
}

TEST_CASE("a wall clock that jumps is told once, and deletes nothing", "[client][retention]") {
    world here;
    here.platform.set_now(timestamp{500'000h});
    here.platform.set_monotonic(1h);
    here.open();
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4 * kib, .retention = 1h});
    send(topic, 0, 500);
    maintain(*here.broker);
    CHECK_FALSE(is_told_of(*here.broker, "wall clock"));
    here.platform.set_now(timestamp{600'000h});
    maintain(*here.broker, 2);
    CHECK(is_told_of(*here.broker, "wall clock has jumped"));
    const std::size_t told = here.broker->health().errors.size();
    here.platform.set_now(timestamp{700'000h});
    maintain(*here.broker, 2);
    CHECK(here.broker->health().errors.size() == told);
    CHECK(topic.partition(0).log_start_offset() == 0);
    here.platform.set_monotonic(3h);
    maintain(*here.broker, 2);
    CHECK(topic.partition(0).log_start_offset() > 0);
}

}  // namespace client_retention_test
