// A process is killed in the middle of its sends, again and again; whatever a send returned for is there, once, in order.
#include <brook/brook.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/child.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace scenario_crash_recovery_test {

using namespace std::chrono_literals;

using brook::no_key;
using brook::test::child;
using brook::test::read_numbers;
using brook::test::shared_with_children;
using brook::test::temp_directory;

namespace {

constexpr std::size_t thread_count = 3;

struct progress {
    std::array<std::atomic<std::uint64_t>, thread_count> acknowledged;  // numbers below it are
    std::atomic<std::uint64_t> all;
};

struct way_of_sending {
    const char* name;
    brook::topic_options topic;
    brook::producer_options producer;
    std::size_t batch = 0;
};

std::vector<way_of_sending> ways() {
    return {
        {"alone", {.segment_bytes = 65'536}, {}},
        {"in tiny segments", {.segment_bytes = 4'096}, {}},
        {"in batches", {.segment_bytes = 65'536}, {}, 20},
        {"gathered", {.segment_bytes = 65'536}, {.batch_size = 1'000, .linger = 1ms}},
        {"synced", {.segment_bytes = 65'536, .flush_messages = 1}, {}},
        {"stamped by the log", {.segment_bytes = 65'536, .message_timestamp_type = brook::timestamp_type::append_time}, {}},
    };
}

/// Thread t sends t << 32 | 0, 1, 2, ... from where it was; says how far it has been acknowledged.
void send_for_ever(const std::string& directory, const way_of_sending& way, progress& progress) {
    brook::broker broker{directory};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", way.topic);
    brook::producer producer{topic, way.producer};
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            const std::uint64_t mark = std::uint64_t{t} << 32;
            for (std::uint64_t next = progress.acknowledged[t];;) {
                if (way.batch != 0) {
                    std::vector<std::uint64_t> numbers;
                    for (std::size_t i = 0; i < way.batch; ++i) {
                        numbers.push_back(mark | next++);
                    }
                    static_cast<void>(producer.send_batch(0, numbers).get());
                } else {
                    static_cast<void>(producer.send(mark | next++).get());
                }
                progress.acknowledged[t].store(next);
                progress.all.fetch_add(1);
            }
        });
    }
}

}  // namespace

TEST_CASE("whatever a killed process was told is sent is there, once and in order", "[scenario][crash_recovery]") {
    const auto seed = std::random_device{}();
    CAPTURE(seed);
    std::minstd_rand random{seed};
    for (const auto& way : ways()) {
        CAPTURE(way.name);
        const temp_directory directory;
        const shared_with_children<progress> progress;
        for (int kill = 0; kill < 6; ++kill) {
            CAPTURE(kill);
            const std::uint64_t enough = progress->all + 1 + random() % 400;
            {
                child sender{[&] {
                    send_for_ever(directory.path(), way, *progress);
                    return 0;
                }};
                while (progress->all < enough) {
                    REQUIRE(sender.is_running());
                    std::this_thread::yield();
                }
                sender.kill();
            }
            std::array<std::uint64_t, thread_count> told{};
            for (std::size_t t = 0; t < thread_count; ++t) {
                told[t] = progress->acknowledged[t];
            }
            brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
            REQUIRE(broker.health().is_ok());
            const auto topic = broker.topic<no_key, std::uint64_t>("numbers");
            std::array<std::uint64_t, thread_count> next{};
            for (const std::uint64_t number : read_numbers(topic)) {
                const auto t = static_cast<std::size_t>(number >> 32);
                REQUIRE(t < thread_count);
                REQUIRE((number & 0xffff'ffff) == next[t]++);
            }
            for (std::size_t t = 0; t < thread_count; ++t) {
                CAPTURE(t);
                REQUIRE(next[t] >= told[t]);
                progress->acknowledged[t].store(next[t]);  // what was there without being told goes on being there
            }
            if (way.topic.flush_messages) {
                REQUIRE(topic.partition(0).log_end_offset() >= static_cast<brook::offset>(told[0] + told[1] + told[2]));
            }
            // And the log goes on: a record that is sent now is the next one.
            const auto end = topic.partition(0).log_end_offset();
            brook::producer producer{topic};
            REQUIRE(producer.send(progress->acknowledged[0]++).get().offset == end);
        }
    }
}

TEST_CASE("a process that is killed with slots open leaves gaps, and nothing else", "[scenario][crash_recovery]") {
    const temp_directory directory;
    const shared_with_children<std::atomic<bool>> is_ready;
    {
        child sender{[&] {
            brook::broker broker{directory.path()};
            const auto topic = broker.create_topic<no_key, brook::bytes>("frames");
            brook::producer producer{topic};
            producer.send(brook::as_bytes(std::string_view{"first"}));
            auto open = producer.claim(1'000);
            producer.send(brook::as_bytes(std::string_view{"between"}));
            auto last = producer.claim(10);
            is_ready->store(true);
            for (;;) {
                ::pause();
            }
            return 0;
        }};
        while (!is_ready->load()) {
            REQUIRE(sender.is_running());
            std::this_thread::yield();
        }
        sender.kill();
    }
    brook::broker broker{directory.path()};
    CHECK(broker.health().is_ok());
    const auto topic = broker.topic<no_key, brook::bytes>("frames");
    const auto read = brook::test::read_all(topic);
    REQUIRE(read.size() == 2);
    CHECK(read[0].value == "first");
    CHECK(read[1].value == "between");
    CHECK(read[1].offset == 2);
    brook::producer producer{topic};
    CHECK(producer.send(brook::bytes{}).get().offset == 3);
}

}  // namespace scenario_crash_recovery_test
