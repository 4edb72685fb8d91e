// What is the worst wait of a writer that does not stop? 2 GiB of lone records of 100 B, from an empty log.
//
// Nothing is prepared here before the clock starts: brook rolls through segments of 64 MiB with upkeep on its own thread, Chronicle
// Queue makes its files as it goes. A gap is the time between two appends; brook's is read from the stamps that it gives its records,
// Chronicle's from a clock that is asked after each. In the same round a thread that only looks at the clock shows what the
// machine itself takes in as much time as brook took.
#include <brook/brook.hpp>

#include <algorithm>
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
using value_type = payload<value_bytes>;

outcome through_brook(run& bench, const workload& what, std::uint64_t segment_bytes) {
    warm_memory(2 * what.records * frame_bytes(0, value_bytes));
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<brook::no_key, value_type>("sustained", {.segment_bytes = static_cast<std::int64_t>(segment_bytes)});
    brook::producer producer{topic};
    outcome done;
    {
        const pinned core{0};
        const double begin = seconds_now();
        for (std::uint64_t i = 0; i < what.records; ++i) {
            producer.send(*reinterpret_cast<const value_type*>(what.value(i, 0)));
        }
        done.seconds = seconds_now() - begin;
    }
    std::vector<std::uint64_t> gaps;
    gaps.reserve(what.records);
    std::uint64_t sum = 0;
    brook::consumer reader{topic, {.max_poll_records = 10'000}};
    brook::timestamp before{};
    while (!reader.caught_up()) {
        for (const auto batch = reader.poll(std::chrono::seconds{0}); const auto& record : batch) {
            sum += first_byte(&record.value());
            if (done.count++ > 0) {
                gaps.push_back(static_cast<std::uint64_t>(std::max<std::int64_t>(0, (record.timestamp() - before).count())));
            }
            before = record.timestamp();
        }
    }
    bench.expect_equal(done.count, what.records, "brook: records read back");
    bench.expect_equal(sum, what.sum_of(what.records), "brook: sum of what was read back");
    bench.expect(broker.health().is_ok(), "upkeep had no trouble");
    done.latency = percentiles_of(std::move(gaps));
    return done;
}

outcome through_peer(run& bench, peer& who, const workload& what) {
    warm_memory(2 * what.payload_bytes());
    const scratch_directory directory{bench.directory()};
    who.open(directory.path(), what);
    outcome done;
    const appended all = who.sustain(what.records, done.latency);
    const found back = who.read();
    who.close();
    bench.expect_equal(back.records, what.records, who.name() + ": records read back");
    bench.expect_equal(back.sum, what.sum_of(what.records), who.name() + ": sum of what was read back");
    done.count = all.total();
    done.seconds = all.seconds;
    return done;
}

/// A thread that does nothing but look at the clock, for that long.
outcome machine(double seconds) {
    const pinned core{0};
    const jitter taken = measure_jitter(std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1e3) + 1});
    outcome done;
    done.count = 1;
    done.seconds = seconds;
    done.latency = {1, taken.gap_p50, 0, 0, taken.gap_max};
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "peers/sustained: the worst gap in 2 GiB", [](run& bench) {
        const std::uint64_t total = bench.parameter("total_mib", 16, 2'048) << 20;
        const std::uint64_t segment_bytes = bench.parameter("segment_mib", 1, 64) << 20;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        const auto others = peers_present(bench, [](std::string_view name) { return name.starts_with("Chronicle") && !name.ends_with(", prepared file"); });
        const value_store values{value_bytes};
        workload what;
        what.value_bytes = value_bytes;
        what.records = total / value_bytes;
        what.seconds = 0.3;  // of warming up; the work itself ends when it is done
        what.values = values.data();

        contest all{bench, std::to_string(total >> 20) + " MiB of lone records of 100 B, latency: gap between two appends"};
        std::vector<double> ours;
        std::vector<std::vector<double>> theirs;
        std::vector<double> machines;
        std::vector<double> our_rates;
        std::vector<double> best_rates;  // of theirs, in each round
        theirs.reserve(others.size());
        double taken = 0;
        all.add("brook, segments of " + std::to_string(segment_bytes >> 20) + " MiB", [&] {
            const outcome done = through_brook(bench, what, segment_bytes);
            ours.push_back(done.latency.max);
            our_rates.push_back(done.rate());
            best_rates.push_back(0);
            taken = done.seconds;
            return done;
        });
        all.add("the machine, a thread that looks at the clock", [&] {
            const outcome done = machine(taken);
            machines.push_back(done.latency.max);
            return done;
        });
        for (const auto& one : others) {
            auto& worst = theirs.emplace_back();
            all.add(one->name(), [&bench, &what, &worst, &best_rates, who = one.get()] {
                const outcome done = through_peer(bench, *who, what);
                worst.push_back(done.latency.max);
                best_rates.back() = std::max(best_rates.back(), done.rate());
                return done;
            });
        }
        all.go(rounds);

        std::vector<double> ratios;
        std::vector<double> rates;
        for (std::size_t round = 0; round < ours.size() && !theirs.empty(); ++round) {
            rates.push_back(our_rates[round] / best_rates[round]);
            double least = theirs.front()[round];
            for (const auto& one : theirs) {
                least = std::min(least, one[round]);
            }
            ratios.push_back(ours[round] / least);
        }
        const auto milliseconds = [](std::vector<double> gaps) {
            std::for_each(gaps.begin(), gaps.end(), [](double& one) { one /= 1e6; });
            return spread_of(std::move(gaps));
        };
        const spread gap = milliseconds(ours);
        const spread base = milliseconds(machines);
        std::printf("worst gap: brook %.1f ms (%.1f-%.1f), the machine %.1f ms (%.1f-%.1f)\n", gap.median, gap.low, gap.high, base.median, base.low, base.high);
        if (!ratios.empty()) {
            bench.aim("brook / Chronicle's best mode, worst gap", spread_of(std::move(ratios)), "<=", 0.5);
            bench.show("brook / Chronicle's fastest mode, records a second", spread_of(std::move(rates)));
        }
    });
}
