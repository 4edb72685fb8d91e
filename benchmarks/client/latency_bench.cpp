// How long until a reader sees a record? Hand-overs between two threads, there and back, half of it counted.
//
// brook: each thread sends to its own topic and polls the other's: blocked in poll(), or spinning on poll(0). The bound
// is the least that any library could do between the same two threads: a futex that one sleeps on and the other wakes,
// and one cache line that both spin on. All take turns within one run, each round with its own bound; the machine's
// jitter, which p99 and above are mostly made of, stands above them.
//
// Back to back, cores stay awake; "after a pause" the one who waits has been asleep for a while, and waking a core that
// has nothing else to do is most of what it costs.
#include <brook/brook.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
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

void spin_for(std::uint64_t nanoseconds) {
    for (const std::uint64_t end = nanoseconds_now() + nanoseconds; nanoseconds_now() < end;) {
        relax();
    }
}

/// `trips` times there and back. `there(i)` hands number i over and `back(i)` waits for it to return, on this thread;
/// `answer(i)` waits for it and hands it back, on the other.
template <class There, class Back, class Answer>
outcome ping_pong(std::uint64_t trips, std::uint64_t pause_ns, const There& there, const Back& back, const Answer& answer) {
    std::vector<std::uint64_t> times;
    times.reserve(trips);
    outcome done;
    static_cast<void>(time_threads(2, [&](unsigned number) {
        for (std::uint64_t i = 1; i <= trips; ++i) {
            if (number == 1) {
                answer(i);
                continue;
            }
            if (pause_ns != 0) {
                spin_for(pause_ns);
            }
            const std::uint64_t begin = nanoseconds_now();
            there(i);
            back(i);
            times.push_back((nanoseconds_now() - begin) / 2);
        }
    }));
    for (const std::uint64_t time : times) {
        done.seconds += static_cast<double>(time) / 1e9;  // pauses are not part of it
    }
    done.count = times.size();
    done.latency = percentiles_of(std::move(times));
    return done;
}

struct alignas(brook::cache_line) word {
    std::atomic<std::uint32_t> value{0};

    void set(std::uint64_t to) noexcept { value.store(static_cast<std::uint32_t>(to), std::memory_order_release); }
    void await(std::uint64_t wanted) const noexcept {
        while (value.load(std::memory_order_acquire) != static_cast<std::uint32_t>(wanted)) {
        }
    }
    void set_and_wake(std::uint64_t to) noexcept {
        set(to);
        ::syscall(SYS_futex, static_cast<void*>(&value), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    void await_asleep(std::uint64_t wanted) noexcept {
        for (std::uint32_t now = 0; (now = value.load(std::memory_order_acquire)) != static_cast<std::uint32_t>(wanted);) {
            ::syscall(SYS_futex, static_cast<void*>(&value), FUTEX_WAIT_PRIVATE, now, nullptr, nullptr, 0);
        }
    }
};

outcome cache_line(std::uint64_t trips) {
    word there;
    word back;
    return ping_pong(
        trips, 0, [&](std::uint64_t i) { there.set(i); }, [&](std::uint64_t i) { back.await(i); },
        [&](std::uint64_t i) {
            there.await(i);
            back.set(i);
        });
}

outcome futex(std::uint64_t trips, std::uint64_t pause_ns) {
    word there;
    word back;
    return ping_pong(
        trips, pause_ns, [&](std::uint64_t i) { there.set_and_wake(i); }, [&](std::uint64_t i) { back.await_asleep(i); },
        [&](std::uint64_t i) {
            there.await_asleep(i);
            back.set_and_wake(i);
        });
}

enum class waiting { blocked, spinning };

/// One direction: a topic of its own on a prepared segment, its producer and its consumer. Each has a broker of its own,
/// as two directions would in two processes: the sleepers of one are not woken for the other.
class direction {
public:
    direction(const run& bench, std::uint64_t segment_bytes, const char* name)
        : prepared_{bench.directory(), segment_bytes, name}, producer_{prepared_.topic()}, consumer_{prepared_.topic()} {
        consumer_.seek(prepared_.partition(), prepared_.begin());
    }

    void send(std::uint64_t number) {
        value_.words.front() = static_cast<std::uint32_t>(number);
        value_.words.back() = static_cast<std::uint32_t>(number);
        producer_.send(value_);
    }

    /// Adds what it read to the sum, which at the end tells whether all came, once, and in order.
    void await(std::uint64_t number, waiting how) {
        for (bool has_come = false; !has_come;) {
            const auto batch = how == waiting::blocked ? consumer_.poll() : consumer_.poll(std::chrono::seconds{0});
            for (const auto& record : batch) {
                const auto& words = record.value().words;
                wrong_ += words.front() == static_cast<std::uint32_t>(number) && words.back() == words.front() ? 0u : 1u;
                ++seen_;
                has_come = true;
            }
        }
    }

    void check(run& bench, std::uint64_t trips) const {
        bench.expect_equal(seen_, trips, "records handed over");
        bench.expect_equal(wrong_, 0, "records that were not the expected one");
        bench.expect(prepared_.has_not_rolled(), "it all fits in the prepared segment");
    }

private:
    prepared_topic<brook::no_key, value_type> prepared_;
    brook::producer<brook::no_key, value_type> producer_;
    brook::consumer<brook::no_key, value_type> consumer_;
    value_type value_{};
    std::uint64_t seen_ = 0;
    std::uint64_t wrong_ = 0;
};

outcome through_brook(run& bench, std::uint64_t trips, std::uint64_t pause_ns, waiting how) {
    const std::uint64_t segment_bytes = (trips * frame_bytes(0, value_bytes) >> 20 << 20) + (std::uint64_t{2} << 20);
    warm_memory(2 * segment_bytes);
    direction there{bench, segment_bytes, "there"};
    direction back{bench, segment_bytes, "back"};
    const outcome done = ping_pong(
        trips, pause_ns, [&](std::uint64_t i) { there.send(i); }, [&](std::uint64_t i) { back.await(i, how); },
        [&](std::uint64_t i) {
            there.await(i, how);
            back.send(i);
        });
    there.check(bench, trips);
    back.check(bench, trips);
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/latency: from send to poll", [](run& bench) {
        const std::uint64_t spins = bench.parameter("spinning_trips", 5'000, 300'000);
        const std::uint64_t sleeps = bench.parameter("blocked_trips", 1'000, 50'000);
        const std::uint64_t pauses = bench.parameter("paused_trips", 100, 5'000);
        const std::uint64_t pause_ns = bench.parameter("pause_us", 200, 200) * 1'000;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 7);
        bench.print_baselines();

        contest spinning{bench, "hand-over to a spinning reader"};
        const auto line = spinning.add("spin ping-pong on a cache line", [&] { return cache_line(spins); });
        const auto polled = spinning.add("brook, poll(0)", [&] { return through_brook(bench, spins, 0, waiting::spinning); });
        spinning.go(rounds);
        spinning.latency_at_most(polled, line, 3);

        contest blocked{bench, "hand-over to a reader that sleeps, back to back"};
        const auto slept = blocked.add("futex ping-pong", [&] { return futex(sleeps, 0); });
        const auto woken = blocked.add("brook, poll()", [&] { return through_brook(bench, sleeps, 0, waiting::blocked); });
        blocked.go(rounds);
        blocked.latency_at_most(woken, slept, 1.5);

        contest paused{bench, "hand-over to a reader that sleeps, after a pause"};
        const auto slept_long = paused.add("futex ping-pong", [&] { return futex(pauses, pause_ns); });
        const auto woken_late = paused.add("brook, poll()", [&] { return through_brook(bench, pauses, pause_ns, waiting::blocked); });
        paused.go(rounds);
        paused.latency_at_most(woken_late, slept_long, 1.5);
        if (!bench.is_smoke()) {
            const jitter taken = measure_jitter(std::chrono::milliseconds{1'000});
            std::printf("jitter at the end: %.1f %% of the time stolen, gaps p50 %.1f us max %.1f us\n", taken.stolen * 100,
                        taken.gap_p50 / 1e3, taken.gap_max / 1e3);
        }
    });
}
