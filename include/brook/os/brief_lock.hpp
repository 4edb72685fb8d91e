/// \file brook/os/brief_lock.hpp
/// A lock for what is over in some tens of nanoseconds, nearly always.
/// Floor 1, os.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include <brook/core/config.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::os {

/// Mutual exclusion at the price of one atomic exchange: letting go is a store, and wakes nobody. Who finds it taken gives
/// the processor away some times, and then looks again every 100 us; so it also gets past a holder that takes disk space.
///
/// Threads   shared. Not recursive; not fair.
/// Cost      where nobody else wants it, an exchange and a store; a std::mutex makes two exchanges.
class brief_lock {
public:
    explicit brief_lock(platform& on) noexcept : platform_{on} {}
    brief_lock(const brief_lock&) = delete;
    brief_lock& operator=(const brief_lock&) = delete;

    void lock() noexcept {
        if (word_.exchange(1, std::memory_order_acquire) != 0) [[unlikely]] {
            wait();
        }
    }
    void unlock() noexcept { word_.store(0, std::memory_order_release); }

private:
    [[gnu::noinline]] void wait() noexcept {
        constexpr int patience = 64;
        int looks = 0;
        while (word_.load(std::memory_order_relaxed) != 0 || word_.exchange(1, std::memory_order_acquire) != 0) {
            if (++looks < patience) {
                platform_.yield();
            } else {
                platform_.wait(word_, 1, std::chrono::microseconds{100});
            }
        }
    }

    platform& platform_;
    std::atomic<std::uint32_t> word_{0};  // 1: somebody has it
};

}  // namespace brook::inline BROOK_ABI::os
