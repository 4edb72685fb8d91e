// What does exactly once cost? Records that are numbered beside the same without numbers, alone and in batches; and
// transactions of 100 records over 4 partitions beside the same records in plain batches.
//
// Everybody writes into segments that have been prepared, as upkeep does for a busy topic; see support/topics.hpp. A
// transaction's records are gathered, appended as a batch a partition, and one record of its own makes them count.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
constexpr std::uint32_t batch_count = 100;
constexpr std::size_t partitions = 4;
constexpr std::uint64_t stamp_bytes = 16;  // a frame of a producer that numbers
using value_type = payload<value_bytes>;
using prepared_type = prepared_topic<brook::no_key, value_type>;
using producer_type = brook::producer<brook::no_key, value_type>;

enum class way { lone, send_batch, linger };

outcome send(run& bench, std::uint64_t segment_bytes, way how, bool is_idempotent) {
    const auto values = payloads<value_bytes>(how == way::lone ? 64 : batch_count);
    const std::uint64_t each = how == way::lone ? frame_bytes(0, value_bytes) + stamp_bytes : 40 + stamp_bytes + batch_count * (8 + (value_bytes + 7) / 8 * 8);
    const std::uint64_t room = prepared_type::room(segment_bytes, each);  // frames
    const std::uint64_t count = how == way::lone ? room : room * batch_count;
    warm_memory(segment_bytes);
    prepared_type prepared{bench.directory(), segment_bytes};
    brook::producer_options options;
    options.enable_idempotence = is_idempotent;
    if (how == way::linger) {
        options.linger = std::chrono::seconds{100};  // what fills a batch closes it, nothing else
        options.delivery_timeout = std::chrono::seconds{200};
        options.batch_size = batch_count * std::int64_t{8 + (value_bytes + 7) / 8 * 8};
    }
    producer_type producer{prepared.topic(), options};
    outcome done;
    done.seconds = time_threads(1, [&](unsigned) {
        if (how == way::send_batch) {
            const std::span<const value_type> batch{values};
            for (std::uint64_t i = 0; i < count; i += batch_count) {
                producer.send_batch(0, batch);
            }
        } else if (how == way::lone) {
            for (std::uint64_t i = 0; i < count; ++i) {
                producer.send(values[i & 63]);
            }
        } else {
            for (std::uint64_t i = 0; i < count; i += batch_count) {
                for (const auto& value : values) {
                    producer.send(value);
                }
            }
        }
    });
    producer.close();
    done.has_hash = true;
    done.hash = prepared.read_back(done.count, [](const auto& record) { return looked_at(record.value()); });
    bench.expect_equal(done.count, count, "records that were read back");
    bench.expect(prepared.has_not_rolled(), "all of it went into the prepared segment");
    return done;
}

enum class wholeness { flushed, transaction };

/// Rounds of 100 records, 25 to each of four partitions.
outcome share(run& bench, std::uint64_t segment_bytes, wholeness how) {
    constexpr std::uint32_t each = batch_count / partitions;
    const auto values = payloads<value_bytes>(batch_count);
    const std::uint64_t rounds = prepared_type::room(segment_bytes, 40 + stamp_bytes + each * (8 + (value_bytes + 7) / 8 * 8));
    warm_memory(segment_bytes * partitions);
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory / "brook", {.maintenance = brook::maintenance::manual}};
    brook::topic<brook::no_key, value_type> topic = broker.create_topic<brook::no_key, value_type>(
        "shared", {.partitions = static_cast<std::int32_t>(partitions), .segment_bytes = static_cast<std::int64_t>(segment_bytes)});
    producer_type producer{topic, {.batch_size = 1 << 20, .linger = std::chrono::seconds{100}, .delivery_timeout = std::chrono::seconds{200}}};
    const auto go = [&](std::uint64_t many) {
        for (std::uint64_t round = 0; round < many; ++round) {
            if (how == wholeness::transaction) {
                auto tx = broker.begin_transaction({.transactional_id = "bench"});
                for (std::uint32_t i = 0; i < batch_count; ++i) {
                    tx.send(topic, {.value = values[i], .partition = static_cast<std::int32_t>(i % partitions)});
                }
                tx.commit();
            } else {
                for (std::uint32_t i = 0; i < batch_count; ++i) {
                    producer.send({.value = values[i], .partition = static_cast<std::int32_t>(i % partitions)});
                }
                producer.flush();
            }
        }
    };
    // A burst that makes every partition look busy, so that upkeep prepares the next segment, and a roll that takes it.
    for (int attempt = 0; attempt < 6; ++attempt) {
        broker.maintain();
        go(rounds / 16);
        broker.maintain();
    }
    for (const auto& one : topic.partitions()) {
        one.roll();
    }
    broker.maintain();
    outcome done;
    const std::uint64_t timed = rounds * 3 / 4;
    done.seconds = time_threads(1, [&](unsigned) { go(timed); });
    done.count = timed * batch_count;
    producer.close();
    brook::consumer reader{topic, {.max_poll_records = 10'000}};
    std::uint64_t read = 0;
    while (!reader.caught_up()) {
        read += reader.poll(std::chrono::seconds{0}).size();
    }
    bench.expect_equal(read, (timed + 6 * (rounds / 16)) * batch_count, "records that were read back");
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/exactly_once: what exactly once costs", [](run& bench) {
        const std::uint64_t segment_bytes = bench.parameter("segment", 1 << 20, 64 << 20);
        const std::uint64_t rounds = bench.parameter("rounds", 2, 9);
        bench.print_baselines();
        const auto beside = [&](const char* title, way how, double aim) {
            contest all{bench, title};
            const auto plain = all.add("plain", [&] { return send(bench, segment_bytes, how, false); });
            const auto numbered = all.add("idempotent", [&] { return send(bench, segment_bytes, how, true); });
            all.go(rounds);
            all.at_least(numbered, plain, aim);
        };
        beside("append lone records of 100 B", way::lone, 0.8);
        beside("append batches of 100, by send_batch", way::send_batch, 0.9);
        beside("append batches of 100, gathered", way::linger, 0.9);
        contest all{bench, "100 records over 4 partitions at a time"};
        const auto plain = all.add("plain batches, flushed", [&] { return share(bench, segment_bytes / 2, wholeness::flushed); });
        const auto whole = all.add("transactions", [&] { return share(bench, segment_bytes / 2, wholeness::transaction); });
        all.go(rounds);
        all.at_least(whole, plain, 0.5);
    });
}
