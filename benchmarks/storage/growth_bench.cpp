// What grows with what: the cost of an append by partitions, by threads and by the size of segments; opening, finding and
// appending by the length of the log.
//
// A figure here has no bound beside it but itself at another size: a curve that is flat is what one wants. Lone records of
// 100 B, topics as they come, with upkeep on its own thread, from an empty directory.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;
using value_topic = brook::topic<brook::no_key, value_type>;

constexpr const char* cost_label = "ns a record";

/// Sizes of a row, and each one's contender.
using row = std::vector<std::pair<std::uint64_t, std::size_t>>;

/// The row as a line of a chart, in nanoseconds each.
void draw(run& bench, const contest& of, const row& all, const char* chart, const char* x_label, const char* y_label, const char* series) {
    for (const auto& [size, contender] : all) {
        const spread rate = of.rate(contender);
        bench.point(chart, x_label, y_label, series, static_cast<double>(size), {1e9 / rate.high, 1e9 / rate.median, 1e9 / rate.low});
    }
}

/// Appends `records` in turn to all partitions, `run_length` in a row to each.
outcome append_to_many(run& bench, std::int32_t partitions, std::uint64_t records, std::uint64_t run_length) {
    const auto values = payloads<value_bytes>();
    warm_memory(2 * records * frame_bytes(0, value_bytes));
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<brook::no_key, value_type>("many", {.partitions = partitions, .segment_bytes = 16 << 20});
    brook::producer producer{topic};
    brook::record<brook::no_key, value_type> record;
    outcome done;
    const double begin = seconds_now();
    for (std::uint64_t i = 0; i < records; ++i) {
        record.partition = static_cast<std::int32_t>(i / run_length % static_cast<std::uint64_t>(partitions));
        record.value = values[i & 63];
        producer.send(record);
    }
    done.seconds = seconds_now() - begin;
    done.count = records;
    std::uint64_t there = 0;
    for (std::int32_t i = 0; i < partitions; ++i) {
        there += static_cast<std::uint64_t>(topic.partition(i).log_end_offset());
    }
    bench.expect_equal(there, records, "records appended");
    return done;
}

void by_partitions(run& bench, std::uint64_t records, std::uint64_t rounds, std::uint64_t most) {
    for (const std::uint64_t run_length : {std::uint64_t{1}, std::uint64_t{64}}) {
        const std::string series = run_length == 1 ? "a record to each in turn" : std::to_string(run_length) + " in a row to each";
        contest all{bench, "lone records of 100 B, " + series};
        row found;
        for (std::uint64_t partitions = 1; partitions <= most; partitions *= 4) {
            found.emplace_back(partitions, all.add(std::to_string(partitions) + " partitions", [&bench, partitions, records, run_length] {
                return append_to_many(bench, static_cast<std::int32_t>(partitions), records, run_length);
            }));
        }
        all.go(rounds);
        draw(bench, all, found, "Cost of an append by partitions", "partitions", cost_label, series.c_str());
    }
}

/// `threads` share one producer; each sends to its own partition where there are as many.
outcome append_by_threads(run& bench, unsigned threads, std::int32_t partitions, std::uint64_t records) {
    const auto values = payloads<value_bytes>();
    warm_memory(2 * records * frame_bytes(0, value_bytes));
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<brook::no_key, value_type>("shared", {.partitions = partitions, .segment_bytes = 64 << 20});
    brook::producer producer{topic};
    outcome done;
    done.seconds = time_threads(threads, [&](unsigned number) {
        brook::record<brook::no_key, value_type> record;
        record.partition = static_cast<std::int32_t>(number) % partitions;
        for (std::uint64_t i = 0; i < records / threads; ++i) {
            record.value = values[i & 63];
            producer.send(record);
        }
    });
    done.count = records / threads * threads;
    std::uint64_t there = 0;
    for (std::int32_t i = 0; i < partitions; ++i) {
        there += static_cast<std::uint64_t>(topic.partition(i).log_end_offset());
    }
    bench.expect_equal(there, done.count, "records appended");
    return done;
}

void by_threads(run& bench, std::uint64_t records, std::uint64_t rounds) {
    for (const bool is_shared : {true, false}) {
        const std::string series = is_shared ? "all to one partition" : "each to a partition of its own";
        contest all{bench, "lone records of 100 B, threads, " + series};
        row found;
        for (const unsigned threads : {1u, 2u, 4u, 8u}) {
            const auto partitions = static_cast<std::int32_t>(is_shared ? 1 : threads);
            found.emplace_back(threads, all.add(std::to_string(threads) + " threads", [&bench, threads, partitions, records] {
                return append_by_threads(bench, threads, partitions, records);
            }));
        }
        all.go(rounds);
        draw(bench, all, found, "Cost of an append by threads (time of all by records of all)", "threads", cost_label, series.c_str());
    }
}

outcome append_through_segments(run& bench, std::uint64_t segment_bytes, std::uint64_t records) {
    const auto values = payloads<value_bytes>();
    warm_memory(2 * records * frame_bytes(0, value_bytes));
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path()};
    const auto topic = broker.create_topic<brook::no_key, value_type>("rolling", {.segment_bytes = static_cast<std::int64_t>(segment_bytes)});
    brook::producer producer{topic};
    outcome done;
    const double begin = seconds_now();
    for (std::uint64_t i = 0; i < records; ++i) {
        producer.send(values[i & 63]);
    }
    done.seconds = seconds_now() - begin;
    done.count = records;
    bench.expect_equal(topic.partition(0).log_end_offset(), records, "records appended");
    return done;
}

void by_segment_size(run& bench, std::uint64_t records, std::uint64_t rounds) {
    contest all{bench, "lone records of 100 B, by the size of segments"};
    row found;
    for (std::uint64_t mib = 1; mib <= 256; mib *= 4) {
        found.emplace_back(mib, all.add("segments of " + std::to_string(mib) + " MiB",
                                        [&bench, mib, records] { return append_through_segments(bench, mib << 20, records); }));
    }
    all.go(rounds);
    draw(bench, all, found, "Cost of an append by the size of segments", "MiB a segment", cost_label, "brook send");
}

/// A log that is there, closed, of so many bytes.
class long_log {
public:
    long_log(run& bench, std::uint64_t size) : size_{size}, directory_{bench.directory()} {
        warm_memory(size);
        const auto values = payloads<value_bytes>();
        brook::broker broker{directory_.path()};
        const auto topic = broker.create_topic<brook::no_key, value_type>("long", {.segment_bytes = 16 << 20});
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i < size / frame_bytes(0, value_bytes); ++i) {
            producer.send(values[i & 63]);
        }
        topic.partition(0).sync();
    }

    [[nodiscard]] std::uint64_t mib() const noexcept { return size_ >> 20; }
    [[nodiscard]] const std::string& path() const noexcept { return directory_.path(); }

private:
    std::uint64_t size_;
    scratch_directory directory_;
};

outcome open_it(const long_log& log) {
    outcome done;
    const double begin = seconds_now();
    brook::broker broker{log.path(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<brook::no_key, value_type>("long");
    done.count = topic.partition(0).log_end_offset() > 0 ? 1u : 0u;
    done.seconds = seconds_now() - begin;
    return done;
}

outcome find_in_it(run& bench, const long_log& log, std::uint64_t seeks) {
    brook::broker broker{log.path(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<brook::no_key, value_type>("long");
    const brook::partition partition = topic.partition(0);
    brook::consumer reader{topic, {.max_poll_records = 1}};
    const auto end = static_cast<std::uint64_t>(partition.log_end_offset());
    std::uint64_t state = seed;
    outcome done;
    const double begin = seconds_now();
    for (; done.count < seeks; ++done.count) {
        state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
        const auto wanted = static_cast<brook::offset>((state >> 33) % end);
        reader.seek(partition, wanted);
        const auto batch = reader.poll(std::chrono::seconds{0});
        bench.expect(!batch.empty() && batch.front().offset() == wanted, "the record that was looked for");
    }
    done.seconds = seconds_now() - begin;
    return done;
}

outcome append_to_it(const long_log& log, std::uint64_t records) {
    const auto values = payloads<value_bytes>();
    brook::broker broker{log.path()};
    const auto topic = broker.topic<brook::no_key, value_type>("long");
    brook::producer producer{topic};
    outcome done;
    const double begin = seconds_now();
    for (; done.count < records; ++done.count) {
        producer.send(values[done.count & 63]);
    }
    done.seconds = seconds_now() - begin;
    return done;
}

void by_length(run& bench, std::uint64_t largest, std::uint64_t seeks, std::uint64_t rounds) {
    std::vector<std::unique_ptr<long_log>> logs;
    for (std::uint64_t size = largest / 64; size <= largest; size *= 4) {
        logs.push_back(std::make_unique<long_log>(bench, size));
    }
    const auto measure = [&](const char* title, const char* chart, const char* y_label, const auto& go) {
        contest all{bench, title};
        row found;
        for (const auto& log : logs) {
            found.emplace_back(log->mib(), all.add("a log of " + std::to_string(log->mib()) + " MiB", [&go, &log] { return go(*log); }));
        }
        all.go(rounds);
        draw(bench, all, found, chart, "MiB of log", y_label, "brook");
    };
    measure("opening a log that was closed", "Cost of opening by the length of the log", "ns an opening", [](const long_log& log) { return open_it(log); });
    measure("going to an offset anywhere, reading that record", "Cost of finding by the length of the log", "ns a seek and poll",
            [&](const long_log& log) { return find_in_it(bench, log, seeks); });
    measure("appending to it", "Cost of an append by the length of the log", cost_label, [&](const long_log& log) { return append_to_it(log, seeks); });
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/growth: what grows with what", [](run& bench) {
        const std::uint64_t records = bench.parameter("records", 4'096, 1'000'000);
        const std::uint64_t partitions = bench.parameter("partitions", 16, 1024);
        const std::uint64_t largest = bench.parameter("largest_log_mib", 64, 1024) << 20;
        const std::uint64_t seeks = bench.parameter("seeks", 200, 20'000);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        by_partitions(bench, records, rounds, partitions);
        by_threads(bench, records, rounds);
        by_segment_size(bench, records, rounds);
        by_length(bench, largest, seeks, rounds);
    });
}
