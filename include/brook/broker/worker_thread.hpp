/// \file brook/broker/worker_thread.hpp
/// A thread that does what there is to do, sleeps until something is due or somebody wakes it, and does that again.
/// Floor 4, broker.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <brook/broker/topic_state.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/event_count.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Calls `round`, which returns when it wants to be called again, whatever else happens. What it throws is reported, and it is tried again.
///
/// Threads   `wake` is shared; `start` and `stop` are confined. `round` is called on the thread.
class worker_thread {
public:
    static constexpr std::chrono::nanoseconds never = std::chrono::nanoseconds::max();

    worker_thread(shared_state& shared, std::chrono::nanoseconds retry_after, callback<std::chrono::nanoseconds()> round)
        : shared_{shared}, retry_after_{retry_after}, round_{std::move(round)}, wake_{shared.platform} {}

    /// Errors    thrown: the system's own.
    void start() {
        is_wanted_.store(true, std::memory_order_release);
        thread_.start([](void* self) { static_cast<worker_thread*>(self)->run(); }, this);
    }

    /// It is called once more, if it is not just about to be. Where it does not run nothing happens.
    void wake() noexcept {
        if (is_wanted_.load(std::memory_order_acquire)) {
            wake_.notify();
        }
    }

    /// Waits until it has returned from what it is doing.
    void stop() noexcept {
        is_wanted_.store(false, std::memory_order_release);
        wake_.notify();
        if (thread_.is_running()) {
            thread_.join();
        }
    }

private:
    void run() noexcept {
        while (is_wanted_.load(std::memory_order_acquire)) {
            const auto ticket = wake_.prepare();
            std::chrono::nanoseconds next = never;
            try {
                next = round_();
            } catch (const std::exception& why) {
                report(why);
                next = shared_.platform.monotonic() + retry_after_;
            }
            const auto now = shared_.platform.monotonic();
            if (next > now && is_wanted_.load(std::memory_order_acquire)) {
                wake_.wait(ticket, next == never ? std::nullopt : std::optional{next - now});
            }
        }
    }

    void report(const std::exception& why) noexcept {
        try {
            shared_.report(failure_of(why));
        } catch (const std::exception&) {
            // Not even that.
        }
    }

    shared_state& shared_;
    const std::chrono::nanoseconds retry_after_;
    const callback<std::chrono::nanoseconds()> round_;
    std::atomic<bool> is_wanted_{false};
    storage::event_count wake_;  // the thread sleeps on it
    os::thread thread_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
