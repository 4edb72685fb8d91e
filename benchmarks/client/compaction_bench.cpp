// What does compaction cost? Against one scan of the topic and one append of what survives; to those who append beside it; and
// how long is the longest step that upkeep takes, for who calls broker.maintain() from a loop of their own.
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

constexpr std::size_t value_bytes = 92;  // with the key, 100
using value_type = payload<value_bytes>;
using state_topic = brook::topic<std::uint64_t, value_type>;

/// Records of so many keys, in an order that no cache likes.
struct workload {
    std::uint64_t records = 0;
    std::uint64_t keys = 0;

    [[nodiscard]] std::uint64_t key(std::uint64_t n) const noexcept { return n * 0x9e3779b97f4a7c15u % keys; }
};

/// Fills a compacted topic; all of it is sealed and on the disk, and nothing compacted.
state_topic fill(brook::broker& broker, const workload& work) {
    auto topic = broker.create_topic<std::uint64_t, value_type>("state", {.cleanup_policy = brook::cleanup_policy::compact});
    const auto values = payloads<value_bytes>();
    brook::producer producer{topic};
    for (std::uint64_t n = 0; n < work.records; ++n) {
        producer.send(work.key(n), values[n & 63]);
    }
    topic.partition(0).roll();
    topic.partition(0).sync();
    return topic;
}

std::uint64_t count_records(const state_topic& topic) {
    brook::consumer reader{topic, {.max_poll_records = 10'000}};
    std::uint64_t count = 0;
    do {
        count += reader.poll(std::chrono::seconds{0}).size();
    } while (!reader.caught_up());
    return count;
}

outcome compact(run& bench, const workload& work) {
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
    const auto topic = fill(broker, work);
    const pinned core{0};
    const double begin = seconds_now();
    broker.maintain();
    outcome done;
    done.seconds = seconds_now() - begin;
    done.count = work.records;
    bench.expect(broker.health().is_ok(), "upkeep had no trouble");
    bench.expect_equal(count_records(topic), std::min(work.keys, work.records), "records left, one a key");
    return done;
}

/// Reads all of it, and appends as many records as there are keys to another log, which is synced then.
outcome scan_and_append(run& bench, const workload& work) {
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
    const auto topic = fill(broker, work);
    const auto survivors = broker.create_topic<std::uint64_t, value_type>("survivors");
    brook::producer producer{survivors};
    brook::consumer reader{topic, {.max_poll_records = 10'000}};
    const pinned core{0};
    outcome done;
    std::uint64_t sum = 0;
    std::uint64_t appended = 0;
    const double begin = seconds_now();
    do {
        const auto batch = reader.poll(std::chrono::seconds{0});
        for (const auto& record : batch) {
            sum += looked_at(record.offset(), record.value());
            if (done.count++ + work.keys >= work.records) {
                producer.send(record.key(), record.value());
                ++appended;
            }
        }
    } while (!reader.caught_up());
    survivors.partition(0).sync();
    done.seconds = seconds_now() - begin;
    bench.expect_equal(done.count, work.records, "records read");
    bench.expect_equal(appended, std::min(work.keys, work.records), "records appended");
    bench.expect(sum != 0, "records looked at");
    return done;
}

/// Alone, everything that is appended goes to the disk in the end; with retention most of it is deleted before. So what compaction
/// costs is told by the last two.
enum class company { none, retention, retention_and_compaction };

/// Appends to one topic, each timed; beside it, its oldest segments are deleted, and another is compacted, as `beside` says.
outcome append(run& bench, const workload& work, std::uint64_t appends, company beside) {
    const scratch_directory directory{bench.directory()};
    if (beside == company::retention_and_compaction) {
        brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
        static_cast<void>(fill(broker, {work.records / 4, work.keys / 4}));
    }
    warm_memory(appends * 160);
    brook::broker broker{directory.path()};
    brook::topic_options options;
    if (beside != company::none) {
        options.retention_bytes = std::int64_t{128} << 20;
    }
    const auto topic = broker.create_topic<brook::no_key, value_type>("events", options);
    const auto values = payloads<value_bytes>();
    brook::producer producer{topic};
    std::vector<std::uint64_t> times;
    times.reserve(appends);
    outcome done;
    {
        const pinned core{0};
        const double begin = seconds_now();
        auto before = std::chrono::steady_clock::now();
        for (std::uint64_t n = 0; n < appends; ++n) {
            producer.send(values[n & 63]);
            const auto now = std::chrono::steady_clock::now();
            times.push_back(static_cast<std::uint64_t>((now - before).count()));
            before = now;
        }
        done.seconds = seconds_now() - begin;
    }
    done.count = appends;
    done.latency = percentiles_of(std::move(times));
    bench.expect(broker.health().is_ok(), "upkeep had no trouble");
    if (beside == company::retention_and_compaction && !bench.is_smoke()) {
        const auto state = broker.topic<std::uint64_t, value_type>("state");
        const double patience = seconds_now() + 60;
        const auto is_through = [&] { return state.size_bytes() < work.records / 8 * frame_bytes(sizeof(std::uint64_t), value_bytes); };
        while (!is_through() && seconds_now() < patience) {
            broker.maintain();
        }
        bench.expect(is_through(), "it was compacted meanwhile, or soon after");
    }
    if (beside != company::none && !bench.is_smoke()) {
        broker.maintain();  // what is due is done, however far the thread has come
        bench.expect(topic.partition(0).log_start_offset() > 0, "some of it was deleted");
    }
    return done;
}

/// Upkeep by hand, a step at a time, while a topic with retention is filled and another is compacted.
void show_slices(run& bench, const workload& work) {
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory.path(), {.maintenance = brook::maintenance::manual}};
    const auto state = fill(broker, work);
    const auto events = broker.create_topic<brook::no_key, value_type>("events", {.segment_bytes = std::int64_t{8} << 20, .retention_bytes = std::int64_t{16} << 20});
    const auto values = payloads<value_bytes>();
    brook::producer producer{events};
    std::vector<std::uint64_t> times;
    const std::uint64_t full = state.size_bytes();
    const std::uint64_t most = bench.is_smoke() ? 200 : 20'000;
    for (std::uint64_t step = 0; step < most && (bench.is_smoke() || state.size_bytes() == full || step < 2'000); ++step) {
        for (std::uint64_t n = 0; n < 500; ++n) {
            producer.send(values[n & 63]);
        }
        const auto begin = std::chrono::steady_clock::now();
        broker.maintain(std::chrono::nanoseconds{0});
        times.push_back(static_cast<std::uint64_t>((std::chrono::steady_clock::now() - begin).count()));
    }
    bench.expect(broker.health().is_ok(), "upkeep had no trouble");
    const percentiles all = percentiles_of(std::move(times));
    std::printf("\nbroker.maintain(0ns), %zu calls: p50 %s, p99 %s, p99.9 %s, longest %s (the longest are syncs)\n", all.count, text_of(all.p50).c_str(),
                text_of(all.p99).c_str(), text_of(all.p999).c_str(), text_of(all.max).c_str());
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/compaction: what it costs, and whom", [](run& bench) {
        workload work;
        work.records = bench.parameter("records", 20'000, 4'000'000);
        work.keys = bench.parameter("keys", 5'000, 1'000'000);
        const std::uint64_t appends = bench.parameter("appends", 20'000, 10'000'000);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        {
            contest all{bench, "records of 100 B, compacted"};
            const auto bound = all.add("one scan, one append of what survives", [&] { return scan_and_append(bench, work); });
            const auto ours = all.add("compaction", [&] { return compact(bench, work); });
            all.go(rounds);
            all.at_least(ours, bound, 0.4);
        }
        {
            contest all{bench, "lone records of 92 B appended, each timed"};
            const auto alone = all.add("alone", [&] { return append(bench, work, appends, company::none); });
            const auto deleted = all.add("beside retention", [&] { return append(bench, work, appends, company::retention); });
            const auto both = all.add("beside retention and compaction", [&] { return append(bench, work, appends, company::retention_and_compaction); });
            all.go(rounds);
            all.at_least(both, alone, 0.8);
            all.show(both, deleted);
        }
        show_slices(bench, work);
    });
}
