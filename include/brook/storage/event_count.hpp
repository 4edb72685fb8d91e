/// \file brook/storage/event_count.hpp
/// How threads sleep until something has been published, and how publishers avoid paying for it.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include <brook/core/config.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::storage {

/// One word per broker that readers sleep on. Each partition has a flag beside it (`appender::waiters`), so that a
/// publisher pays one load while nobody sleeps, and one wake for any number of records while somebody does.
///
/// A sleeper takes a ticket, raises the flags of its partitions, fences, looks once more, then sleeps. A publisher
/// stores its frame, then loads the flag. The fence is a barrier in the publisher, too, somewhere in between or not: if
/// it comes before the load, the publisher sees the flag; else the store came before it, and the sleeper sees the frame.
/// Where the platform has no such fence both sides use sequentially consistent stores, which cost an append some 7 ns.
///
/// Source    membarrier(2); Dice et al., "Asymmetric Dekker Synchronization", 2001.
///
/// Threads   shared.
class event_count {
public:
    using ticket = std::uint32_t;

    explicit event_count(os::platform& platform) noexcept : platform_{&platform} {}

    [[nodiscard]] ticket prepare() const noexcept { return word_.load(std::memory_order_seq_cst); }

    /// Between raising flags and looking once more.
    void fence() noexcept { platform_->fence_all_threads(); }

    /// Sleeps until a `notify` that came after `prepare` gave the ticket, or the timeout. May return without reason.
    void wait(ticket seen, std::optional<std::chrono::nanoseconds> timeout) noexcept { platform_->wait(word_, seen, timeout); }

    void notify() noexcept {
        word_.fetch_add(1, std::memory_order_seq_cst);
        platform_->wake_all(word_);
    }

private:
    os::platform* platform_;
    alignas(cache_line) std::atomic<std::uint32_t> word_{0};
};

}  // namespace brook::inline BROOK_ABI::storage
