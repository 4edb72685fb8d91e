// How long from when a record is due until a reader sees it, at a steady rate?
//
// One thread appends by the clock, another spins and reads. A latency counts from the scheduled time, not from when the append began: a
// stall delays all records behind it, and all of them are counted (coordinated omission). brook and Chronicle Queue take turns at
// 100,000 a second, each with two threads on two cores; since brook's segment is prepared, Chronicle's best mode may be the one whose file is.
// What lies behind a socket does so at the rate that it sustains here one record at a time, which its name says; these lines compare with each
// other, not with the first ones.
#include <brook/brook.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "peers/measure.hpp"
#include "peers/peer.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;

/// The value, and the due time in its first eight bytes.
using value_type = payload<value_bytes>;

outcome outcome_of(run& bench, const std::string& who, std::vector<std::uint64_t> seen, std::uint64_t records, double rate) {
    bench.expect_equal(seen.size(), records, who + ": records that were seen");
    outcome done;
    done.count = seen.size();
    done.seconds = static_cast<double>(records) / rate;
    done.latency = percentiles_of(std::move(seen));
    return done;
}

std::vector<std::uint64_t> through_brook(run& bench, std::uint64_t records, double rate) {
    const std::uint64_t segment_bytes = (records * frame_bytes(0, value_bytes) >> 20 << 20) + (std::uint64_t{2} << 20);
    warm_memory(2 * segment_bytes);
    prepared_topic<brook::no_key, value_type> prepared{bench.directory(), segment_bytes};
    brook::producer producer{prepared.topic()};
    brook::consumer consumer{prepared.topic()};
    consumer.seek(prepared.partition(), prepared.begin());
    value_type value{};
    auto seen = pace(
        records, rate,
        [&](std::uint64_t due) {
            std::memcpy(&value, &due, sizeof due);
            producer.send(value);
        },
        [&](const auto& look) {
            for (const auto batch = consumer.poll(std::chrono::seconds{0}); const auto& record : batch) {
                look(&record.value());
            }
        });
    bench.expect(prepared.has_not_rolled(), "it all fits in the prepared segment");
    return seen;
}

std::vector<std::uint64_t> through_peer(run& bench, peer& who, std::uint64_t records, double rate) {
    const value_store values{value_bytes};
    workload what;
    what.value_bytes = value_bytes;
    what.records = records;
    what.seconds = 0.3;
    what.values = values.data();
    warm_memory(4 * what.payload_bytes());
    const scratch_directory directory{bench.directory()};
    who.open(directory.path(), what);
    auto seen = who.hand_over(what, records, rate);
    who.close();
    return seen;
}

/// Ours over theirs, round by round, where theirs is the least of several.
spread over_least(const std::vector<percentiles>& ours, const std::vector<std::vector<percentiles>>& theirs, double percentiles::*which) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < ours.size(); ++round) {
        double least = theirs.front()[round].*which;
        for (const auto& one : theirs) {
            least = std::min(least, one[round].*which);
        }
        ratios.push_back(ours[round].*which / least);
    }
    return spread_of(std::move(ratios));
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "peers/handover: from due to seen, at a steady rate", [](run& bench) {
        const std::uint64_t milliseconds = bench.parameter("milliseconds", 50, 1'500);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        const auto others = peers_present(bench, [](std::string_view name) {  // those that have no reader who waits hand nothing over
            return name.starts_with("Chronicle") || name.starts_with("Redis") || name.starts_with("NATS") || name.starts_with("Kafka");
        });
        const auto records_at = [&](double rate) { return static_cast<std::uint64_t>(rate * static_cast<double>(milliseconds) / 1e3); };
        constexpr double fast = 100'000;

        contest paced{bench, "100,000 records of 100 B a second, to a reader that spins, from due to seen"};
        std::vector<percentiles> ours;
        std::vector<std::vector<percentiles>> chronicle;
        std::vector<std::size_t> documented;  // of those, the modes whose files nobody prepares
        chronicle.reserve(others.size());
        paced.add("brook, poll(0)", [&] {
            const outcome done = outcome_of(bench, "brook", through_brook(bench, records_at(fast), fast), records_at(fast), fast);
            ours.push_back(done.latency);
            return done;
        });
        for (const auto& one : others) {
            if (one->handover_rate() >= fast) {
                if (!one->name().ends_with(", prepared file")) {
                    documented.push_back(chronicle.size());
                }
                auto& theirs = chronicle.emplace_back();
                paced.add(one->name(), [&bench, &theirs, &records_at, who = one.get()] {
                    const outcome done = outcome_of(bench, who->name(), through_peer(bench, *who, records_at(fast), fast), records_at(fast), fast);
                    theirs.push_back(done.latency);
                    return done;
                });
            }
        }
        paced.go(rounds);
        if (!chronicle.empty()) {
            bench.aim("brook / Chronicle's best mode, p50", over_least(ours, chronicle, &percentiles::p50), "<=", 1.1);
            bench.aim("brook / Chronicle's best mode, p99", over_least(ours, chronicle, &percentiles::p99), "<=", 0.8);
        }
        if (!documented.empty()) {
            std::vector<std::vector<percentiles>> as_documented;
            for (const std::size_t one : documented) {
                as_documented.push_back(chronicle[one]);
            }
            bench.show("brook / Chronicle's best mode as documented, p50", over_least(ours, as_documented, &percentiles::p50));
            bench.show("brook / Chronicle's best mode as documented, p99", over_least(ours, as_documented, &percentiles::p99));
        }

        contest slow{bench, "each at a rate that it sustains, from due to seen"};
        bool has_slow = false;
        for (const auto& one : others) {
            const double rate = one->handover_rate();
            if (rate > 0 && rate < fast) {
                has_slow = true;
                slow.add(one->name() + ", " + std::to_string(static_cast<std::uint64_t>(rate)) + " a second", [&bench, &records_at, rate, who = one.get()] {
                    return outcome_of(bench, who->name(), through_peer(bench, *who, records_at(rate), rate), records_at(rate), rate);
                });
                slow.add("brook, poll(0), " + std::to_string(static_cast<std::uint64_t>(rate)) + " a second beside " + one->name(), [&bench, &records_at, rate] {
                    return outcome_of(bench, "brook", through_brook(bench, records_at(rate), rate), records_at(rate), rate);
                });
            }
        }
        if (has_slow) {
            slow.go(rounds);
        }
        if (!bench.is_smoke()) {
            const jitter taken = measure_jitter(std::chrono::milliseconds{1'000});
            std::printf("jitter at the end: %.1f %% of the time stolen, gaps p50 %.1f us max %.1f us\n", taken.stolen * 100, taken.gap_p50 / 1e3,
                        taken.gap_max / 1e3);
        }
    });
}
