/// \file brook/client/consumer_signals.hpp
/// What a consumer and others tell each other without waiting: wake up; I still poll.
/// Floor 6, client.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::detail {

/// What `wakeup` rings, whatever topics the consumer turns to meanwhile.
///
/// Threads   shared.
class bell {
public:
    void hang(std::shared_ptr<broker_room::shared_state> where) {
        const std::scoped_lock guard{mutex_};
        where_ = std::move(where);
    }
    void ring() noexcept {
        is_rung_.store(true, std::memory_order_seq_cst);
        const std::scoped_lock guard{mutex_};
        where_->readers.notify();
    }
    [[nodiscard]] bool is_rung() const noexcept { return is_rung_.load(std::memory_order_seq_cst); }
    [[nodiscard]] bool take() noexcept { return is_rung() && is_rung_.exchange(false, std::memory_order_seq_cst); }

private:
    std::atomic<bool> is_rung_{false};
    std::mutex mutex_;  // guards the place
    std::shared_ptr<broker_room::shared_state> where_;
};

/// Tells the group, as long as it lives, that its member polls, without a clock. The consumer may become one meanwhile.
///
/// Threads   confined.
class alive {
public:
    explicit alive(const broker_room::group_seat& seat) noexcept : seat_{seat} { turn(0); }
    alive(const alive&) = delete;
    alive& operator=(const alive&) = delete;
    ~alive() { turn(1); }

private:
    void turn(std::uint64_t from) noexcept {
        if (seat_.shared) {
            auto& polls = seat_.shared->polls;  // no other thread stores to it
            const std::uint64_t count = polls.load(std::memory_order_relaxed);
            polls.store(count + (count % 2 == from ? 1 : 0), std::memory_order_release);
        }
    }
    const broker_room::group_seat& seat_;
};

}  // namespace brook::inline BROOK_ABI::detail
