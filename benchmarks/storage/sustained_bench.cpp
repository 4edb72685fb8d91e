// What do rolls cost? 2 GiB of lone records through 64 MiB segments, beside the same through segments that hold it all.
//
// Both run with upkeep on its own thread, from a topic that has just been made: what prepares segments, names them and
// syncs those that were sealed is part of it. The worst gap between two appends is read from the records themselves:
// send stamps a record before it claims, so a stall lies between its stamp and the next one's.
#include <brook/brook.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;

/// The same through a topic that keeps the last few segments, and uses them again if it is told to.
outcome sustain_with_retention(run& bench, std::uint64_t total, std::uint64_t segment_bytes, bool reuses) {
    const auto values = payloads<value_bytes>();
    const std::uint64_t count = total / frame_bytes(0, value_bytes);
    warm_memory(total);
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<brook::no_key, value_type>(
        "sustained", {.segment_bytes = static_cast<std::int64_t>(segment_bytes), .retention_bytes = static_cast<std::int64_t>(4 * segment_bytes), .reuse_segments = reuses});
    brook::producer producer{topic};
    outcome done;
    {
        const pinned core{0};
        const double begin = seconds_now();
        for (std::uint64_t i = 0; i < count; ++i) {
            producer.send(values[i & 63]);
        }
        done.seconds = seconds_now() - begin;
    }
    done.count = count;
    std::vector<std::uint64_t> gaps;  // of what is left
    brook::consumer reader{topic, {.max_poll_records = 10'000}};
    brook::timestamp before{};
    do {
        const auto batch = reader.poll(std::chrono::seconds{0});
        for (const auto& record : batch) {
            if (before != brook::timestamp{}) {
                gaps.push_back(static_cast<std::uint64_t>(std::max<std::int64_t>(0, (record.timestamp() - before).count())));
            }
            before = record.timestamp();
        }
    } while (!reader.caught_up());
    done.latency = percentiles_of(std::move(gaps));
    bench.expect(broker.health().is_ok(), "upkeep had no trouble");
    bench.expect_equal(topic.partition(0).log_end_offset(), count, "records appended");
    return done;
}

/// Fills `logs` topics, one after the other, with their share of `total` bytes.
outcome sustain(run& bench, std::uint64_t total, std::uint64_t segment_bytes, std::uint64_t logs) {
    const auto values = payloads<value_bytes>();
    const std::uint64_t each = total / logs / frame_bytes(0, value_bytes) - 64;  // seal and header included, the big one holds its share
    outcome done;
    done.has_hash = true;
    std::vector<std::uint64_t> gaps;
    gaps.reserve(each * logs);
    warm_memory(total);
    for (std::uint64_t log = 0; log < logs; ++log) {
        const scratch_directory directory{bench.directory()};
        brook::broker broker{directory.path()};
        const auto topic = broker.create_topic<brook::no_key, value_type>("sustained", {.segment_bytes = static_cast<std::int64_t>(segment_bytes)});
        brook::producer producer{topic};
        {
            const pinned core{0};
            const double begin = seconds_now();
            for (std::uint64_t i = 0; i < each; ++i) {
                producer.send(values[i & 63]);
            }
            done.seconds += seconds_now() - begin;
        }
        brook::consumer reader{topic, {.max_poll_records = 10'000}};
        std::uint64_t read = 0;
        brook::timestamp before{};
        while (!reader.caught_up()) {
            const auto batch = reader.poll(std::chrono::seconds{0});
            for (const auto& record : batch) {
                done.hash += looked_at(record.value());
                if (read++ > 0) {
                    gaps.push_back(static_cast<std::uint64_t>(std::max<std::int64_t>(0, (record.timestamp() - before).count())));
                }
                before = record.timestamp();
            }
        }
        bench.expect_equal(read, each, "records read back");
        bench.expect(broker.health().is_ok(), "upkeep had no trouble");
        done.count += read;
    }
    done.latency = percentiles_of(std::move(gaps));
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/sustained: appends through rolling segments", [](run& bench) {
        const std::uint64_t total = bench.parameter("total_mib", 32, 2048) << 20;
        const std::uint64_t segment_bytes = bench.parameter("segment_mib", 1, 64) << 20;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 3);
        constexpr std::uint64_t largest = std::uint64_t{1} << 30;  // that a segment can be
        bench.print_baselines();
        const std::uint64_t logs = (total + largest - 1) / largest;
        contest all{bench, std::to_string(total >> 20) + " MiB of lone records of 100 B, latency: gap between two appends"};
        const auto whole = all.add("no rolls: " + std::to_string(logs) + " segment(s) of " + std::to_string(total / logs >> 20) + " MiB",
                                   [&] { return sustain(bench, total, total / logs, logs); });
        const auto rolling = all.add("segments of " + std::to_string(segment_bytes >> 20) + " MiB",
                                     [&] { return sustain(bench, total, segment_bytes, logs); });
        all.go(rounds);
        all.at_least(rolling, whole, 0.6);
        contest kept{bench, "the same, of which the last four segments are kept"};
        const auto removed = kept.add("removed", [&] { return sustain_with_retention(bench, total, segment_bytes, false); });
        const auto reused = kept.add("used again", [&] { return sustain_with_retention(bench, total, segment_bytes, true); });
        kept.go(rounds);
        kept.show(reused, removed);
    });
}
