// A consumer that commits what it has done, killed at any time, sees everything at least once and nothing committed again.
#include <brook/brook.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

#include "broker/child.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace scenario_resume_after_kill_test {

using namespace std::chrono_literals;

using brook::test::child;
using brook::test::in_child;
using brook::test::shared_with_children;
using brook::test::temp_directory;

namespace {

constexpr std::int32_t partitions = 4;
constexpr std::uint64_t record_count = 4'000;

struct diary {
    std::atomic<std::uint32_t> seen[record_count];
    std::atomic<bool> was_committed[record_count];  // written down before the commit returns to nobody
    std::atomic<std::uint64_t> polls;
    std::atomic<bool> is_wrong;
    std::atomic<bool> is_done;
};

int follow(const std::string& directory, diary& diary, bool commits_by_itself) {
    brook::broker broker{directory};
    const auto topic = broker.topic<std::string, std::uint64_t>("numbers");
    brook::consumer consumer{topic, {.group_id = "readers", .max_poll_records = 50, .enable_auto_commit = commits_by_itself}};
    for (;;) {
        const auto records = consumer.poll(0s);
        for (const auto& record : records) {
            diary.seen[record.value()].fetch_add(1);
            if (diary.was_committed[record.value()]) {
                diary.is_wrong = true;
            }
        }
        const bool is_over = consumer.caught_up() && records.empty();
        if (!commits_by_itself) {
            consumer.commit();
            for (const auto& record : records) {
                diary.was_committed[record.value()] = true;
            }
        }
        ++diary.polls;
        if (is_over) {
            diary.is_done = true;
            return 0;
        }
    }
}

}  // namespace

TEST_CASE("a group goes on where it committed, however often its process is killed", "[scenario][resume_after_kill]") {
    const bool commits_by_itself = GENERATE(false, true);
    const auto seed = std::random_device{}();
    CAPTURE(seed, commits_by_itself);
    std::minstd_rand random{seed};
    const temp_directory directory;
    REQUIRE(in_child([&] {
                brook::broker broker{directory.path()};
                const auto topic = broker.create_topic<std::string, std::uint64_t>("numbers", {.partitions = partitions, .segment_bytes = 16'384});
                brook::producer producer{topic};
                for (std::uint64_t i = 0; i < record_count; ++i) {
                    producer.send("key " + std::to_string(i % 37), i);
                }
                producer.flush();
                return 0;
            }) == 0);
    const shared_with_children<diary> diary;
    for (int kills = 0; !diary->is_done && kills < 200; ++kills) {
        const std::uint64_t enough = diary->polls + random() % 15;
        child reader{[&] { return follow(directory.path(), *diary, commits_by_itself); }};
        while (diary->polls < enough && !diary->is_done) {
            REQUIRE((reader.is_running() || diary->is_done));
            std::this_thread::yield();
        }
        reader.kill();
    }
    CHECK(diary->is_done);
    CHECK_FALSE(diary->is_wrong);
    for (std::uint64_t i = 0; i < record_count; ++i) {
        CAPTURE(i);
        REQUIRE(diary->seen[i] >= 1);
    }
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
    CHECK(broker.health().is_ok());
    const auto topic = broker.topic<std::string, std::uint64_t>("numbers");
    brook::consumer consumer{topic, {.group_id = "readers"}};
    CHECK(consumer.poll(0s).empty());
}

}  // namespace scenario_resume_after_kill_test
