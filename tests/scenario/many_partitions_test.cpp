// A topic of many partitions, and many topics: they cost little while idle, and each is itself.
#include <brook/brook.hpp>

#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "broker/child.hpp"
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

TEST_CASE("1,024 partitions and 10,000 segments open where a process may have 1,024 files open", "[scenario][many_partitions]") {
    const temp_directory directory{std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp"};  // so many syncs are not what is looked at
    const auto sent = [](std::int32_t partition) { return static_cast<std::uint64_t>(partition) * 3 + 1; };
    constexpr std::int32_t partitions = 1'024;
    constexpr std::uint64_t segments = 10'000;
    const int status = brook::test::in_child([&] {
        rlimit limit{};
        if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < 8'192) {
            return 75;  // nothing can be shown here
        }
        limit.rlim_cur = 1'024;
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return 75;
        }
        for (int life = 0; life < 2; ++life) {
            brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
            const auto many = broker.create_topic<brook::no_key, std::uint64_t>("many", {.partitions = partitions, .segment_bytes = 64 << 10});
            const auto rolled = broker.create_topic<brook::no_key, std::uint64_t>("rolled", {.segment_bytes = 4'096});
            if (life == 0) {
                brook::producer producer{many};
                for (std::int32_t partition = 0; partition < partitions; ++partition) {
                    producer.send({.value = sent(partition), .partition = partition});
                }
                brook::producer filler{rolled};
                for (std::uint64_t n = 0; n < segments; ++n) {
                    filler.send(n);
                    rolled.partition(0).roll();
                    if (n % 100 == 0) {
                        broker.maintain();  // lets go of what is sealed
                    }
                }
            }
            brook::consumer reader{many};
            std::uint64_t sum = 0;
            do {
                for (const auto& record : reader.poll(0s)) {
                    sum += record.value() == sent(record.partition()) ? 1 : 1'000'000;
                }
            } while (!reader.caught_up());
            brook::consumer walker{rolled};
            std::uint64_t next = 0;
            do {
                for (const auto& record : walker.poll(0s)) {
                    next += record.value() == next ? 1 : 1'000'000;
                }
            } while (!walker.caught_up());
            if (sum != partitions || next != segments || !broker.health().is_ok()) {
                return 1;
            }
        }
        return 0;
    });
    if (status == 75) {
        WARN("skipped: the hard limit of open files is too low here");
        return;
    }
    CHECK(status == 0);
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
