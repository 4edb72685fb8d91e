// A topic of many partitions, and many topics: they cost little while idle, and each is itself.
#include <brook/brook.hpp>

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace scenario_many_partitions_test {

using namespace std::chrono_literals;

using brook::test::temp_directory;

namespace {

std::uintmax_t disk_use(const std::string& path) {
    std::uintmax_t blocks = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{path}) {
        struct stat status {};
        if (entry.is_regular_file() && ::stat(entry.path().c_str(), &status) == 0) {
            blocks += static_cast<std::uintmax_t>(status.st_blocks);
        }
    }
    return blocks * 512;
}

}  // namespace

TEST_CASE("a group reads a topic of many partitions, and commits them together", "[scenario][many_partitions]") {
    constexpr std::int32_t partitions = 60;
    constexpr std::uint64_t records = 6'000;
    const temp_directory directory;
    {
        brook::broker broker{directory.path()};
        const auto topic = broker.create_topic<std::uint64_t, std::uint64_t>("numbers", {.partitions = partitions});
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i < records; ++i) {
            producer.send(i, i);
        }
        producer.flush();
    }
    CHECK(disk_use(directory / "topics/numbers") <= std::uintmax_t{partitions} * 64 * 1'024);
    std::map<std::uint64_t, int> seen;
    for (int half = 0; half < 2; ++half) {
        brook::broker broker{directory.path()};
        const auto topic = broker.topic<std::uint64_t, std::uint64_t>("numbers");
        brook::consumer consumer{topic, {.group_id = "group", .max_poll_records = 100}};
        for (std::uint64_t count = 0; half == 0 ? count < records / 2 : !consumer.caught_up();) {
            const auto batch = consumer.poll(1s);
            std::map<std::int32_t, brook::offset> last;
            for (const auto& record : batch) {
                ++seen[record.value()];
                ++count;
                REQUIRE(record.key() == record.value());
                const auto [found, is_first] = last.try_emplace(record.partition(), record.offset());
                REQUIRE((is_first || std::exchange(found->second, record.offset()) + 1 == record.offset()));
            }
            consumer.commit();
        }
    }
    CHECK(seen.size() == records);
    for (const auto& [number, times] : seen) {
        CAPTURE(number);
        REQUIRE(times == 1);
    }
}

TEST_CASE("topics do not mix", "[scenario][many_partitions]") {
    const temp_directory directory;
    constexpr int topics = 20;
    for (int run = 0; run < 2; ++run) {
        brook::broker broker{directory.path()};
        for (int t = 0; t < topics; ++t) {
            const auto topic = broker.create_topic<brook::no_key, int>("topic-" + std::to_string(t), {.partitions = 2});
            brook::producer producer{topic};
            producer.send({.value = t, .partition = run});
        }
        CHECK(broker.topics().size() == topics);
    }
    brook::broker broker{directory.path()};
    for (int t = 0; t < topics; ++t) {
        brook::consumer consumer{broker.topic<brook::no_key, int>("topic-" + std::to_string(t))};
        const auto records = consumer.poll(1s);
        REQUIRE(records.size() == 2);
        for (const auto& record : records) {
            CHECK(record.value() == t);
        }
    }
}

}  // namespace scenario_many_partitions_test
