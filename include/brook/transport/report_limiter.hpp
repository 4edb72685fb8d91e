/// \file brook/transport/report_limiter.hpp
/// Which of many like reports are told.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// One of a kind and a node in an interval, with the number of those that were kept back before it. Kinds are few, nodes are the peers
/// and "a stranger", so its memory is bounded whoever comes.
///
/// Threads   confined.
class report_limiter {
public:
    using nanoseconds = std::chrono::nanoseconds;

    explicit report_limiter(nanoseconds interval) noexcept : interval_{interval} {}

    /// Returns   nullopt: not to be told; otherwise how many were not since the last one.
    [[nodiscard]] std::optional<std::uint64_t> admit(refusal why, int node, nanoseconds now) {
        const auto place = std::find_if(known_.begin(), known_.end(), [&](const kind& one) { return one.why == why && one.node == node; });
        if (place == known_.end()) {
            known_.push_back({why, node, now, 0});
            return 0;
        }
        if (now - place->told < interval_) {
            ++place->kept_back;
            return std::nullopt;
        }
        place->told = now;
        return std::exchange(place->kept_back, 0);
    }

private:
    struct kind {
        refusal why;
        int node;
        nanoseconds told;
        std::uint64_t kept_back;
    };

    const nanoseconds interval_;
    std::vector<kind> known_;
};

}  // namespace brook::inline BROOK_ABI::transport_room
