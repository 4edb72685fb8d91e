#include <brook/verify.hpp>  // first, so that it must stand alone

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/format/record.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace broker_verify_test {

using brook::broker_options;
using brook::errc;
using brook::finding;
using brook::maintenance;
using brook::severity;
using brook::topic_options;
using brook::verify_options;
using brook::verify_report;
using brook::broker_room::core;
using brook::broker_room::schema;
using brook::broker_room::topic_handle;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::temp_directory;

namespace {

const schema key{"key", 1};
const schema value{"value", 2};

broker_options by_hand() {
    broker_options options;
    options.maintenance = maintenance::manual;
    return options;
}

std::string read(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream{path, std::ios::binary} << text; }

/// Appends one record with a value of `size` bytes and no key.
std::error_code append(const topic_handle& topic, std::int32_t partition, std::uint32_t size) {
    const brook::format::record_sizes sizes{brook::format::null_size, size, 0};
    const auto bytes = static_cast<std::uint32_t>(brook::format::lone_frame_size(sizes));
    brook::storage::claim taken;
    brook::failure why;
    if (!topic->partition(partition).take(brook::format::frame_length(bytes), 1, taken, why)) {
        return why.code;
    }
    const auto layout = brook::format::lay_out_lone(taken.data, sizes);
    for (std::uint32_t i = 0; i < size; ++i) {
        layout.value[i] = static_cast<std::byte>(i * 7 + size);  // looks like all kinds of words
    }
    brook::format::frame_header header{};
    header.size = static_cast<std::int32_t>(bytes);
    header.attributes = brook::format::lone_attributes(sizes);
    header.count = sizes.key;
    header.base_timestamp = 1'000'000;
    topic->partition(partition).publish(taken, header);
    return {};
}

/// Two topics, three partitions, 100 records in each of the two of "orders", none in "empty".
void fill(const std::string& directory) {
    core broker{directory, by_hand()};
    const auto orders = broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4096, .flush_messages = 10}, key, value);
    static_cast<void>(broker.create_topic("empty", {}, key, value));
    for (std::uint32_t i = 0; i < 200; ++i) {
        REQUIRE_FALSE(append(orders, static_cast<std::int32_t>(i % 2), i % 50));
    }
    broker.maintain(std::nullopt);
}

std::string all_text(const verify_report& report) { return report.text(); }

/// The one finding of this severity; FAILs when there is none or another.
const finding& only(const verify_report& report, severity how_bad) {
    INFO(report.text());
    const finding* found = nullptr;
    for (const auto& one : report.findings) {
        if (one.severity == how_bad) {
            REQUIRE(found == nullptr);
            found = &one;
        }
    }
    REQUIRE(found != nullptr);
    return *found;
}

/// Everything below a directory, with the times of the last changes.
std::map<std::string, std::string> snapshot(const std::string& directory) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
        const auto time = std::to_string(entry.last_write_time().time_since_epoch().count());
        files[entry.path().string()] = time + (entry.is_regular_file() ? read(entry.path().string()) : "");
    }
    files[directory] = std::to_string(std::filesystem::last_write_time(directory).time_since_epoch().count());
    return files;
}

}  // namespace

TEST_CASE("a directory that was closed in good order is described and found whole", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    const auto before = snapshot(directory.path());
    const verify_report report = brook::verify(directory.path() + "//");
    INFO(all_text(report));
    CHECK(snapshot(directory.path()) == before);
    CHECK(report.is_ok());
    CHECK(report.is_complete);
    CHECK(report.findings.empty());
    CHECK(report.directory == directory.path());
    CHECK(report.has_meta);
    CHECK(report.version == 1);
    CHECK(report.cluster_id.size() == 32);
    REQUIRE(report.topics.size() == 3);
    CHECK(report.topics[0].name == "__consumer_offsets");
    CHECK(report.topics[1].name == "empty");
    CHECK(report.topics[1].records() == 0);
    const brook::topic_report& orders = report.topics[2];
    CHECK(orders.name == "orders");
    CHECK(orders.has_meta);
    CHECK(orders.id.size() == 32);
    CHECK(orders.partition_count == 2);
    CHECK(orders.segment_bytes == 4096);
    CHECK(orders.flush_messages == 10);
    CHECK(orders.key_schema == "key");
    CHECK(orders.value_schema == "value");
    CHECK(orders.records() == 200);
    REQUIRE(orders.partitions.size() == 2);
    for (const auto& partition : orders.partitions) {
        CHECK(partition.end_offset == 100);
        CHECK(partition.durable_offset == 100);
        CHECK(partition.segments.size() > 1);
    }
    const std::string text = report.text();
    CHECK(std::count(text.begin(), text.end(), '\n') == 1);
    CHECK(text.starts_with(directory.path() + ": no damage. 3 topics, 4 partitions, "));
    CHECK(text.find("200 records") != std::string::npos);
}

TEST_CASE("one topic or one partition can be looked at alone", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    verify_options options;
    options.topic = "orders";
    verify_report report = brook::verify(directory.path(), options);
    REQUIRE(report.topics.size() == 1);
    CHECK(report.topics[0].partitions.size() == 2);
    options.partition = 1;
    report = brook::verify(directory.path(), options);
    REQUIRE(report.topics.size() == 1);
    REQUIRE(report.topics[0].partitions.size() == 1);
    CHECK(report.topics[0].partitions[0].number == 1);

    options.partition = 2;
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path(), options)); }) == errc::unknown_topic_or_partition);
    options.partition = -1;
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path(), options)); }) == errc::unknown_topic_or_partition);
    options.topic = "order";
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path(), options)); }) == errc::unknown_topic_or_partition);
    options.topic = "../orders";
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path(), options)); }) == errc::invalid_topic);
    options.topic.reset();
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path(), options)); }) == errc::invalid_config);
}

TEST_CASE("what is no data directory is refused, and nothing is made of it", "[broker][verify]") {
    const temp_directory directory;
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory / "missing")); }) == std::errc::no_such_file_or_directory);
    CHECK_FALSE(std::filesystem::exists(directory / "missing"));
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path())); }) == errc::not_a_brook_directory);
    write(directory / "letter.txt", "hello");
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory.path())); }) == errc::not_a_brook_directory);
    CHECK(code_of([&] { static_cast<void>(brook::verify(directory / "letter.txt")); }) == std::errc::not_a_directory);
    CHECK(std::distance(std::filesystem::directory_iterator{directory.path()}, {}) == 1);
}

TEST_CASE("files that describe a directory or a topic are told when they are not whole", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    const std::string which = GENERATE(as<std::string>{}, "broker.meta", "topics/orders/topic.meta");
    const std::string path = directory / which;
    const std::string whole = read(path);
    const auto [what, expected] = GENERATE(Catch::Generators::table<int, std::string>({
        {0, "is not there"},
        {1, "not a whole"},
        {2, "not a whole"},
        {3, "format version 2"},
        {4, "is no regular file, and was not followed"},
        {5, "such a file has a few hundred"},
    }));
    CAPTURE(which, what);
    std::filesystem::remove(path);
    switch (what) {
        case 0: break;
        case 1: {
            std::string bad = whole;
            bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 4);
            write(path, bad);
            break;
        }
        case 2: write(path, ""); break;
        case 3: {
            brook::format::properties newer{which == "broker.meta" ? "brook-broker" : "brook-topic", 2};
            write(path, newer.encode());
            break;
        }
        case 4:
            write(directory / "elsewhere", whole);
            REQUIRE(::symlink((directory / "elsewhere").c_str(), path.c_str()) == 0);
            break;
        default: write(path, std::string(100'000, 'x'));
    }
    const verify_report report = brook::verify(directory.path());
    CHECK_FALSE(report.is_ok());
    const finding& told = only(report, severity::damage);
    CHECK(told.file == path);
    CHECK(told.text.find(expected) != std::string::npos);
    CHECK(report.text().find("DAMAGED") != std::string::npos);
    CHECK(report.text().find("damage: " + path) != std::string::npos);
    REQUIRE(report.topics.size() == 3);
    CHECK(report.topics[2].records() == 200);  // also where its topic.meta is gone: the segments say whose they are
}

TEST_CASE("directories that are missing, in the wrong place or none are told", "[broker][verify]") {
    const temp_directory directory;
    const temp_directory elsewhere;
    fill(directory.path());
    const std::string topic = directory / "topics/orders";

    SECTION("a partition is missing") {
        std::filesystem::remove_all(topic + "/1");
        const verify_report report = brook::verify(directory.path());
        CHECK(only(report, severity::damage).file == topic + "/1");
        CHECK(report.topics[2].partitions.size() == 1);
    }
    SECTION("two partitions are exchanged") {
        std::filesystem::rename(topic + "/0", topic + "/x");
        std::filesystem::rename(topic + "/1", topic + "/0");
        std::filesystem::rename(topic + "/x", topic + "/1");
        const verify_report report = brook::verify(directory.path());
        CHECK_FALSE(report.is_ok());
        for (const auto& one : report.findings) {
            CHECK(one.text.find("partition") != std::string::npos);
        }
        CHECK(report.text().find("is a segment of partition 1 of this topic") != std::string::npos);
        CHECK(report.text().find("is a segment of partition 0 of this topic") != std::string::npos);
    }
    SECTION("a topic is a symbolic link") {
        std::filesystem::rename(topic, elsewhere / "orders");
        std::filesystem::create_directory_symlink(elsewhere / "orders", topic);
        const verify_report report = brook::verify(directory.path());
        CHECK(only(report, severity::damage).file == topic);
        CHECK(report.topics[2].partitions.empty());
    }
    SECTION("a partition is a symbolic link") {
        std::filesystem::rename(topic + "/0", elsewhere / "0");
        std::filesystem::create_directory_symlink(elsewhere / "0", topic + "/0");
        const verify_report report = brook::verify(directory.path());
        CHECK(only(report, severity::damage).file == topic + "/0");
        CHECK(report.topics[2].partitions.size() == 1);
    }
    SECTION("all topics are a symbolic link") {
        std::filesystem::rename(directory / "topics", elsewhere / "topics");
        std::filesystem::create_directory_symlink(elsewhere / "topics", directory / "topics");
        const verify_report report = brook::verify(directory.path());
        CHECK(only(report, severity::damage).file == directory / "topics");
        CHECK(report.topics.empty());
    }
    SECTION("strangers are noted") {
        write(directory / "letter.txt", "hello");
        write(directory / "topics/letter.txt", "hello");
        write(topic + "/letter.txt", "hello");
        std::filesystem::create_directory(topic + "/2");
        std::filesystem::create_directory(topic + "/00");
        std::filesystem::create_directory(directory / "topics/half~");
        REQUIRE(::mkfifo((directory / "topics/what is this").c_str(), 0600) == 0);
        const verify_report report = brook::verify(directory.path());
        CHECK(report.is_ok());
        CHECK(report.findings.count(severity::note) == 7);
        CHECK(report.findings.size() == 7);
        std::filesystem::remove(directory / "topics/what is this");
    }
}

TEST_CASE("damage in a topic is told with its place, and what to do", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    const std::string path = directory / "topics/orders/1/00000000000000000000.log";
    std::string content = read(path);
    content[400] = static_cast<char>(content[400] ^ 1);
    write(path, content);
    const verify_report report = brook::verify(directory.path());
    const finding& told = only(report, severity::damage);
    CHECK(told.file == path);
    CHECK(told.begin <= 400);
    CHECK(told.end > 400);
    CHECK(told.last == told.first + 1);
    const std::string text = report.text();
    CHECK(text.find("damage: " + path + ", bytes " + std::to_string(told.begin) + " to " + std::to_string(told.end) + ", offset " + std::to_string(told.first)) != std::string::npos);
    CHECK(text.find("topic 'orders', partition 1: what stands here is not what was written; intact again from offset " + std::to_string(told.last)) != std::string::npos);
    CHECK(text.find("Restore the file from a copy") != std::string::npos);
}

TEST_CASE("a report keeps no more than a thousand findings of a kind, and counts all", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    for (int i = 0; i < 1'200; ++i) {
        write(directory / ("topics/orders/0/stray" + std::to_string(i)), "");
    }
    const verify_report report = brook::verify(directory.path());
    CHECK(report.findings.size() == 1'000);
    CHECK(report.findings.count(severity::note) == 1'200);
    CHECK(report.text().find("note: and 200 more") != std::string::npos);
}

TEST_CASE("a look takes no lock: brokers come and go beside it, and are not refused", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    faulty_platform platform;
    verify_options options;
    options.platform = &platform;
    SECTION("a broker opens in the middle of a look") {
        bool has_opened = false;
        options.on_frame = [&](const brook::visited_frame&) {
            if (!has_opened) {
                has_opened = true;
                const core broker{directory.path(), by_hand()};
            }
            return true;
        };
        CHECK(brook::verify(directory.path(), options).is_ok());
        CHECK(has_opened);
    }
    SECTION("a look is taken while a broker has the directory") {
        const core broker{directory.path(), by_hand()};
        CHECK(brook::verify(directory.path(), options).is_ok());
    }
    std::uint64_t harmless = 0;
    for (const auto which : {operation::open, operation::size, operation::read, operation::list, operation::identity}) {
        harmless += platform.calls(which);
    }
    CHECK(platform.calls() == harmless);
}

TEST_CASE("beside a broker that writes and rolls, nothing in progress is taken for damage", "[broker][verify]") {
    const temp_directory directory;
    constexpr std::uint32_t each = 6'000;
    constexpr std::uint32_t writers = 3;
    {
        core broker{directory.path(), {}};
        const auto flush_messages = GENERATE(as<std::optional<std::int64_t>>{}, std::nullopt, 100);
        const auto orders = broker.create_topic("orders", {.partitions = 2, .segment_bytes = 16'384, .flush_messages = flush_messages}, key, value);
        std::atomic<std::uint32_t> busy{writers};
        std::atomic<int> failed{0};
        std::vector<std::jthread> threads;
        for (std::uint32_t w = 0; w < writers; ++w) {
            threads.emplace_back([&, w] {
                for (std::uint32_t i = 0; i < each; ++i) {
                    failed += append(orders, static_cast<std::int32_t>((i + w) % 2), (i * 37 + w) % 700) ? 1 : 0;
                }
                busy.fetch_sub(1);
            });
        }
        std::uint64_t looks = 0;
        std::uint64_t before = 0;
        do {
            const verify_report report = brook::verify(directory.path());
            INFO(report.text());
            REQUIRE(report.is_ok());
            REQUIRE(report.findings.count(severity::tail) == 0);
            std::uint64_t records = 0;
            for (const auto& topic : report.topics) {
                records += topic.records();
            }
            REQUIRE(records >= before);
            before = records;
            ++looks;
        } while (busy.load() > 0 || looks < 3);
        threads.clear();
        CHECK(failed.load() == 0);
    }
    const verify_report report = brook::verify(directory.path());
    INFO(report.text());
    CHECK(report.findings.empty());
    CHECK(report.topics[1].records() == std::uint64_t{writers} * each);
}

TEST_CASE("beside a broker that is opened, killed in the middle of claims and closed again and again, nothing is taken for damage", "[broker][verify]") {
    const temp_directory directory;
    fill(directory.path());
    std::atomic<bool> is_over{false};
    std::atomic<int> failed{0};
    std::jthread opener{[&] {
        for (int round = 0; round < 40; ++round) {
            core broker{directory.path(), by_hand()};
            const auto orders = broker.topic("orders", key, value);
            for (std::uint32_t i = 0; i < 60; ++i) {
                failed += append(orders, static_cast<std::int32_t>(i % 2), i) ? 1 : 0;
            }
            broker.maintain(std::nullopt);
            static_cast<void>(broker.create_topic("t" + std::to_string(round), {}, key, value));
        }
        is_over = true;
    }};
    do {
        const verify_report report = brook::verify(directory.path());
        INFO(report.text());
        REQUIRE(report.is_ok());
        REQUIRE(report.findings.count(severity::tail) == 0);
    } while (!is_over.load());
    opener.join();
    CHECK(failed.load() == 0);
}

}  // namespace broker_verify_test
