/// \file brook/transport/reconnect_backoff.hpp
/// How long to wait before the next attempt.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Twice as long from one attempt to the next, up to a limit, and a fifth shorter or longer by chance: nodes that have lost each other at
/// the same time do not all come back at the same time.
///
/// Threads   confined.
/// Source    Kafka's ExponentialBackoff, and its jitter of 0.2.
class reconnect_backoff {
public:
    using nanoseconds = std::chrono::nanoseconds;

    /// Requires  0 < first <= most.
    reconnect_backoff(nanoseconds first, nanoseconds most) noexcept : first_{first}, most_{most} {}

    /// `chance` is any number.
    [[nodiscard]] nanoseconds next(std::uint64_t chance) noexcept {
        pause_ = std::clamp(2 * pause_, first_, most_);
        const std::int64_t fifth = pause_.count() / 5;
        return pause_ + nanoseconds{static_cast<std::int64_t>(chance % static_cast<std::uint64_t>(2 * fifth + 1)) - fifth};
    }

    /// It has worked, and held for a while.
    void reset() noexcept { pause_ = nanoseconds{0}; }

private:
    nanoseconds first_;
    nanoseconds most_;
    nanoseconds pause_{0};
};

}  // namespace brook::inline BROOK_ABI::transport_room
