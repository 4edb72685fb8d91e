/// \file brook/os/tick_clock.hpp
/// The wall clock for 9 ns instead of 18: the kernel's at most a millisecond ago, and the processor's ticks since.
/// Floor 1, os.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>

#include <brook/core/config.hpp>
#include <brook/os/system_call.hpp>

namespace brook::inline BROOK_ABI::os {

namespace detail {

#if defined(__x86_64__)

/// What the processor counted when the kernel's clock showed `nanoseconds`.
struct tick_sample {
    std::uint64_t ticks;
    std::int64_t nanoseconds;
    bool is_exact;  // both were read within a microsecond or so; otherwise only the nanoseconds are of use
};

[[nodiscard]] inline std::uint64_t read_ticks() noexcept { return __builtin_ia32_rdtsc(); }

[[nodiscard]] inline tick_sample sample_clock(clockid_t clock) noexcept {
    constexpr std::uint64_t close_enough = 2'048;  // ticks: 0.4 to 2 us. Past it we were interrupted in between
    tick_sample sample{};
    for (int attempt = 0; attempt < 4 && !sample.is_exact; ++attempt) {
        const std::uint64_t before = read_ticks();
        const std::int64_t nanoseconds = kernel_nanoseconds(clock);
        const std::uint64_t taken = read_ticks() - before;
        sample = {before + taken / 2, nanoseconds, taken < close_enough};
    }
    return sample;
}

/// How long a tick is, measured against the kernel's monotonic clock, which nobody sets.
///
/// Unknown for the first 10 ms or more; then measured over intervals that double up to a second or two, each from the
/// end of the one before, so that it follows the kernel's own corrections. A result that departs from the last by a
/// thousandth means that the machine slept or was moved to another: it starts afresh.
///
/// Threads   shared.
class tick_rate {
public:
    /// Nanoseconds per tick, times 2^32; 0: not known yet.
    [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

    /// Also true when `ticks` lies before the interval's begin: the counter was set back.
    [[nodiscard]] bool is_due(std::uint64_t ticks) const noexcept {
        return ticks - begin_.load(std::memory_order_relaxed) >= interval_.load(std::memory_order_relaxed);
    }

    void measure() noexcept {
        if (busy_.exchange(true, std::memory_order_acquire)) {
            return;  // another thread is at it
        }
        if (const tick_sample end = sample_clock(CLOCK_MONOTONIC); end.is_exact && is_due(end.ticks)) {
            measure_until(end);
        }
        busy_.store(false, std::memory_order_release);  // begin_nanoseconds_ goes to the next who measures
    }

private:
    static constexpr std::uint64_t shortest = std::uint64_t{1} << 26;  // ticks: 13 ms at 5 GHz, 67 ms at 1 GHz
    static constexpr std::uint64_t longest = std::uint64_t{1} << 32;

    void measure_until(const tick_sample& end) noexcept {
        const std::uint64_t interval = interval_.load(std::memory_order_relaxed);
        const std::uint64_t ticks = end.ticks - begin_.load(std::memory_order_relaxed);
        const std::int64_t nanoseconds = end.nanoseconds - begin_nanoseconds_;
        const std::uint64_t known = value();

        std::uint64_t measured = 0;
        if (interval != 0 && nanoseconds > 0 && static_cast<std::uint64_t>(nanoseconds) / 1'024 < ticks) {
            measured = static_cast<std::uint64_t>(static_cast<double>(nanoseconds) * 4'294'967'296.0 /
                                                  static_cast<double>(ticks));
        }
        const std::uint64_t apart = measured > known ? measured - known : known - measured;
        if (measured == 0 || (known != 0 && apart > known / 1'024)) {
            value_.store(0, std::memory_order_relaxed);
            interval_.store(shortest, std::memory_order_relaxed);
        } else {
            value_.store(measured, std::memory_order_relaxed);
            interval_.store(interval < longest ? interval * 2 : longest, std::memory_order_relaxed);
        }
        begin_.store(end.ticks, std::memory_order_relaxed);
        begin_nanoseconds_ = end.nanoseconds;
    }

    // The words below stand each for itself, whatever mixture of old and new a reader of several of them gets: at worst
    // it measures early, and then `measure` looks again.
    std::atomic<std::uint64_t> value_{0};
    std::atomic<std::uint64_t> begin_{0};
    std::atomic<std::uint64_t> interval_{0};  // 0: no begin yet
    std::atomic<bool> busy_{false};
    std::int64_t begin_nanoseconds_ = 0;  // guarded by busy_
};

inline constinit tick_rate process_tick_rate{};

/// The wall clock of one thread: the kernel's at most a millisecond ago, and the ticks since.
struct thread_clock {
    static constexpr std::int64_t window_ns = std::int64_t{1} << 20;

    std::uint64_t anchor_ticks = 0;
    std::int64_t anchor_ns = 0;
    std::uint64_t window_ticks = 0;  // how long the anchor holds; 0: there is none
    std::uint64_t rate = 0;
    std::int64_t last_ns = std::numeric_limits<std::int64_t>::min();  // what was answered last

    [[nodiscard]] std::int64_t now() noexcept {
        const std::uint64_t elapsed = read_ticks() - anchor_ticks;  // huge where the counter went back: a new anchor
        if (elapsed >= window_ticks) {
            return renew();
        }
        const std::int64_t interpolated = anchor_ns + static_cast<std::int64_t>((elapsed * rate) >> 32);
        if (interpolated > last_ns) {
            last_ns = interpolated;
        }
        return last_ns;
    }

private:
    [[gnu::noinline]] std::int64_t renew() noexcept {
        const tick_sample sample = sample_clock(CLOCK_REALTIME);
        window_ticks = 0;
        if (sample.is_exact) {
            if (process_tick_rate.is_due(sample.ticks)) {
                process_tick_rate.measure();
            }
            rate = process_tick_rate.value();
            if (rate != 0) {
                anchor_ticks = sample.ticks;
                anchor_ns = sample.nanoseconds;
                window_ticks = (static_cast<std::uint64_t>(window_ns) << 32) / rate;
            }
        }
        // A little early is our own doing, and time stands until it is caught up with; more is a clock that was set.
        const bool is_ours = sample.nanoseconds < last_ns && sample.nanoseconds > last_ns - window_ns;
        if (!is_ours) {
            last_ns = sample.nanoseconds;
        }
        return last_ns;
    }
};

/// Whether the kernel, too, takes its time from the processor's counter: only then is it the same on all cores.
[[nodiscard]] inline bool kernel_counts_ticks() noexcept {
    std::array<char, 64> text;
    return read_kernel_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", text) == "tsc\n";
}

#endif

}  // namespace detail

}  // namespace brook::inline BROOK_ABI::os
