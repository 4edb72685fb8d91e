/// \file brook/os/turn_lock.hpp
/// A lock for work that one thread does and others only need to be done.
/// Floor 1, os.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include <brook/core/config.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::os {

/// Mutual exclusion whose turns are numbered: who finds it taken can wait for the end of that turn, look whether what it came for has been
/// done, and need no turn of its own. Behind a std::mutex it would sleep on when the same thread takes turn after turn, as each
/// of them begins before the sleeper is awake.
///
/// Threads   shared. Not recursive; not fair to who waits in `lock`.
/// Lifetime  longer than each call: `unlock` looks at it once more when the next turn may have begun.
/// Cost      two exchanges a turn, and a system call where somebody sleeps.
class turn_lock {
public:
    using turn = std::uint32_t;

    explicit turn_lock(platform& on) noexcept : platform_{on} {}
    turn_lock(const turn_lock&) = delete;
    turn_lock& operator=(const turn_lock&) = delete;

    /// The turn that is under way, or the pause that is. To be looked at before what a turn changes.
    [[nodiscard]] turn now() const noexcept { return word_.load(std::memory_order_acquire); }

    /// Takes the turn behind the pause `seen`. False: that is no pause, or it is over.
    [[nodiscard]] bool try_lock(turn seen) noexcept {
        return !is_taken(seen) && word_.compare_exchange_strong(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed);
    }

    /// Until the turn `seen` is over. Nothing where it is a pause.
    void wait_for_end_of(turn seen) noexcept {
        if (!is_taken(seen)) {
            return;
        }
        sleepers_.fetch_add(1, std::memory_order_seq_cst);  // then a look at the word, as `unlock` changes the word, then looks here
        while (word_.load(std::memory_order_seq_cst) == seen) {
            platform_.wait(word_, seen, std::nullopt);
        }
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }

    void lock() noexcept {
        for (turn seen = now(); !try_lock(seen); seen = now()) {
            wait_for_end_of(seen);
        }
    }

    void unlock() noexcept {
        word_.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) {
            platform_.wake_all(word_);
        }
    }

private:
    [[nodiscard]] static bool is_taken(turn seen) noexcept { return seen % 2 != 0; }

    platform& platform_;
    std::atomic<turn> word_{0};  // odd: a turn; even: a pause
    std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace brook::inline BROOK_ABI::os
