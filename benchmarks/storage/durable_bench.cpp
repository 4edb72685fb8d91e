// How many records a second survive the loss of power? flush_messages = 1: every send waits for its sync.
//
// The bound is the loop that one would write without a library: pwrite of the same bytes, fdatasync, one thread, into a
// file whose space is taken and whose zeros are on the disk already (the fastest such loop; one that grows its file is
// slower). Producers that wait at the same time share one sync: that is how the ratio can pass 1.
#include <brook/brook.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;
constexpr std::uint64_t bare_bytes = std::uint64_t{64} << 20;

/// Each thread's own, so that nobody shares a line.
struct alignas(brook::cache_line) worker {
    std::vector<std::uint64_t> times;
};

outcome bare_loop(const bare_file& file, std::uint64_t& at, double seconds) {
    constexpr std::uint64_t frame = frame_bytes(0, value_bytes);
    const std::vector<std::byte> record(frame, std::byte{0x42});
    std::vector<std::uint64_t> times;
    outcome done;
    const double begin = seconds_now();
    do {
        const std::uint64_t before = nanoseconds_now();
        at = at + frame > bare_bytes ? 0 : at;
        file.check(::pwrite(file.number(), record.data(), frame, static_cast<off_t>(at)) == static_cast<ssize_t>(frame), "pwrite");
        file.check(::fdatasync(file.number()) == 0, "fdatasync");
        at += frame;
        times.push_back(nanoseconds_now() - before);
        done.seconds = seconds_now() - begin;
    } while (done.seconds < seconds);
    done.count = times.size();
    done.latency = percentiles_of(std::move(times));
    return done;
}

outcome through_brook(run& bench, const brook::topic<brook::no_key, value_type>& topic, unsigned producers, double seconds) {
    const auto values = payloads<value_bytes>();
    const brook::partition partition = topic.partition(0);
    const brook::offset before = partition.log_end_offset();
    brook::producer producer{topic};
    std::vector<worker> workers(producers);
    outcome done;
    const double end = seconds_now() + seconds;
    done.seconds = time_threads(producers, [&](unsigned number) {
        auto& times = workers[number].times;
        times.reserve(1 << 16);
        do {
            const std::uint64_t sent = nanoseconds_now();
            static_cast<void>(producer.send(values[times.size() & 63]).get());  // throws, and ends the program, where it is not durable
            times.push_back(nanoseconds_now() - sent);
        } while (seconds_now() < end);
    }, threads_are::where_the_scheduler_likes);  // as the loop beside it
    std::vector<std::uint64_t> times;
    for (auto& one : workers) {
        times.insert(times.end(), one.times.begin(), one.times.end());
    }
    done.count = times.size();
    done.latency = percentiles_of(std::move(times));
    bench.expect_equal(partition.log_end_offset() - before, done.count, "records appended");
    bench.expect(partition.durable_offset() >= partition.log_end_offset(), "all that was acknowledged is durable");
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/durable: one sync for all who wait", [](run& bench) {
        const double seconds = static_cast<double>(bench.parameter("milliseconds", 60, 1'000)) / 1e3;
        const std::uint64_t rounds = bench.parameter("rounds", 2, 7);
        bench.print_baselines();
        const scratch_directory directory{bench.directory()};
        const bare_file file{directory / "bare.log", bare_bytes, 4'096};
        file.check(::fdatasync(file.number()) == 0, "fdatasync");
        std::uint64_t bare_at = 0;
        brook::offset written = 0;
        std::uint64_t sent = 0;
        {
            brook::broker broker{directory / "brook"};
            const auto topic = broker.create_topic<brook::no_key, value_type>("durable", {.flush_messages = 1});
            contest all{bench, "durable records of 100 B, latency: until acknowledged"};
            const auto loop = all.add("pwrite + fdatasync", [&] { return bare_loop(file, bare_at, seconds); });
            const auto producers = [&](unsigned count) {
                return all.add("brook, " + std::to_string(count) + " producer" + (count == 1 ? "" : "s"), [&, count] {
                    const outcome done = through_brook(bench, topic, count, seconds);
                    sent += done.count;
                    return done;
                });
            };
            const auto one = producers(1);
            const auto eight = producers(8);
            const auto many = producers(32);
            all.go(rounds);
            all.at_least(one, loop, 1);
            all.at_least(eight, loop, 3.5);
            all.at_least(many, loop, 10);
            written = topic.partition(0).log_end_offset();
        }
        brook::broker broker{directory / "brook"};
        const auto topic = broker.topic<brook::no_key, value_type>("durable");
        brook::consumer reader{topic, {.max_poll_records = 10'000}};
        const auto values = payloads<value_bytes>();
        std::uint64_t read = 0;
        std::uint64_t strangers = 0;
        while (!reader.caught_up()) {
            for (const auto batch = reader.poll(std::chrono::seconds{0}); const auto& record : batch) {
                const auto& words = record.value().words;
                strangers += std::any_of(values.begin(), values.end(), [&](const value_type& one) { return one.words == words; }) ? 0u : 1u;
                ++read;
            }
        }
        bench.expect_equal(read, sent, "records there after it was opened again");
        bench.expect_equal(strangers, 0, "records that nobody sent");
        bench.expect_equal(written, sent, "log end offset");
    });
}
