// Writers roll through small segments while readers follow, hold on to what they read, and start again from anywhere.
#include <brook/brook.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace scenario_readers_during_roll_test {

using namespace std::chrono_literals;

using brook::no_key;
using brook::test::temp_directory;

TEST_CASE("readers follow through rolls, and keep what they hold", "[scenario][readers_during_roll]") {
    const auto maintenance = GENERATE(brook::maintenance::thread, brook::maintenance::manual);
    const std::optional<std::int64_t> flush_messages = GENERATE(as<std::optional<std::int64_t>>{}, std::nullopt, 500);
    const temp_directory directory;
    brook::broker broker{directory.path(), {.maintenance = maintenance}};
    const auto topic = broker.create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 16'384, .flush_messages = flush_messages});
    constexpr std::uint64_t writers = 2;
    constexpr std::uint64_t each = 6'000;
    std::atomic<bool> is_over{false};
    std::atomic<int> wrong{0};

    std::vector<std::jthread> readers;
    for (int r = 0; r < 2; ++r) {
        readers.emplace_back([&] {  // follows, and keeps some batches for a while
            brook::consumer consumer{topic, {.max_poll_records = 100}};
            std::deque<std::pair<brook::records<no_key, std::uint64_t>, std::vector<std::uint64_t>>> held;
            std::uint64_t next[writers] = {};
            for (brook::offset offset = 0; offset < static_cast<brook::offset>(writers * each);) {
                auto records = consumer.poll(100ms);
                std::vector<std::uint64_t> copies;
                for (const auto& record : records) {
                    wrong += record.offset() == offset++ ? 0 : 1;
                    wrong += (record.value() & 0xffff'ffff) == next[record.value() >> 32]++ ? 0 : 1;
                    copies.push_back(record.value());
                }
                held.emplace_back(std::move(records), std::move(copies));
                if (held.size() > 20) {
                    std::size_t i = 0;
                    for (const auto& record : held.front().first) {
                        wrong += record.value() == held.front().second[i++] ? 0 : 1;
                    }
                    held.pop_front();
                }
            }
        });
    }
    readers.emplace_back([&] {  // looks anywhere
        std::minstd_rand random{1};
        brook::consumer consumer{topic, {.max_poll_records = 10}};
        const auto partition = topic.partition(0);
        while (!is_over) {
            const auto end = partition.log_end_offset();
            const auto wanted = end == 0 ? 0 : static_cast<brook::offset>(random()) % end;
            consumer.seek(partition, wanted);
            const auto records = consumer.poll(0s);
            if (end > 0) {
                wrong += !records.empty() && records.front().offset() == wanted ? 0 : 1;
            }
        }
    });
    if (maintenance == brook::maintenance::manual) {
        readers.emplace_back([&] {
            while (!is_over) {
                broker.maintain(1us);
            }
        });
    }
    {
        brook::producer producer{topic};
        std::vector<std::jthread> threads;
        for (std::uint64_t w = 0; w < writers; ++w) {
            threads.emplace_back([&, w] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    producer.send(w << 32 | i);
                }
            });
        }
        threads.clear();
        producer.flush();
    }
    readers[0].join();
    readers[1].join();
    is_over = true;
    readers.clear();
    CHECK(wrong == 0);
    CHECK(broker.health().is_ok());
    broker.maintain();
    CHECK(topic.partition(0).durable_offset() > static_cast<brook::offset>(writers * each) - 400);  // what was sealed is on the disk
}

}  // namespace scenario_readers_during_roll_test
