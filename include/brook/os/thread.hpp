/// \file brook/os/thread.hpp
/// A thread of our own, and telling threads apart, without what <thread> costs every includer.
/// Floor 1, os.
#pragma once

#include <pthread.h>

#include <exception>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::os {

/// Runs one function beside its owner.
///
/// Threads   confined.
/// Lifetime  joined, detached or forgotten before it goes.
class thread {
public:
    thread() noexcept = default;
    thread(const thread&) = delete;
    thread& operator=(const thread&) = delete;
    ~thread() { BROOK_ASSERT(!is_running()); }

    /// Calls `run(with)`, which must not throw, on a thread of its own.
    ///
    /// Requires  none is running.
    /// Errors    the system's own.
    void start(void (*run)(void*), void* with) {
        BROOK_ASSERT(!is_running());
        run_ = run;
        with_ = with;
        const int number = ::pthread_create(&id_, nullptr, [](void* self) -> void* {
            const auto* const mine = static_cast<thread*>(self);
            mine->run_(mine->with_);
            return nullptr;
        }, this);
        if (number != 0) {
            run_ = nullptr;
            throw_system_error(number, "cannot start a thread");
        }
    }

    [[nodiscard]] bool is_running() const noexcept { return run_ != nullptr; }

    /// Waits until the function has returned.
    ///
    /// Requires  it is running, and does not call this itself: it would use what its owner destroys next.
    void join() noexcept {
        if (::pthread_join(id_, nullptr) != 0) {
            std::terminate();
        }
        run_ = nullptr;
    }

    /// Lets it run on by itself; nobody joins it. What it uses it keeps alive itself, and it uses this object no more.
    ///
    /// Requires  it is running, and `run` has been called: the thread itself may say so, or one that has heard from it.
    void detach() noexcept {
        if (::pthread_detach(id_) != 0) {
            std::terminate();
        }
        run_ = nullptr;
    }

    /// In a forked child: the thread is the parent's, and does not exist here.
    void forget() noexcept { run_ = nullptr; }

private:
    pthread_t id_{};
    void (*run_)(void*) = nullptr;  // null: none is running
    void* with_ = nullptr;
};

/// Tells the calling thread from all others that live, and from none that has ended.
[[nodiscard]] inline const void* this_thread() noexcept {
    static thread_local const char mine = 0;
    return &mine;
}

}  // namespace brook::inline BROOK_ABI::os
