/// \file brook/broker/peer_sessions.hpp
/// In which of its lives another broker speaks.
/// Floor 4, broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Each life of a broker has a session, larger than those before; but for one whose directory was lost, and whose clock was set back. Of each
/// peer the latest is remembered: what a former life asked may still be on its way, and is not to be answered.
///
/// Threads   confined, to whoever holds the member's lock.
class peer_sessions {
public:
    explicit peer_sessions(std::vector<std::int32_t> peers) : peers_{std::move(peers)}, latest_(peers_.size()), has_raised_(peers_.size()) {}

    [[nodiscard]] const std::vector<std::int32_t>& all() const noexcept { return peers_; }

    /// Requires  that `from` is a peer.
    /// Returns   the latest session, where this is a question of one before; else nullopt.
    [[nodiscard]] std::optional<std::uint64_t> later_than(std::int32_t from, const replication::message& said) noexcept {
        if (said.kind != replication::message_kind::fetch && said.kind != replication::message_kind::vote) {
            return std::nullopt;
        }
        std::uint64_t& latest = latest_[place_of(from)];
        if (said.session < latest) {
            return latest;
        }
        latest = said.session;
        return std::nullopt;
    }

    /// Whether this broker, in session `own`, is to begin one above `known`, since that peer says that it knows of it. What it says cannot be
    /// verified, so that it is heard once in a life of this broker, which is as often as it can be true: whoever has heard of the new session
    /// knows of no later one. And nobody has had sessions of the next century, so that none can be said to be the last one there is.
    ///
    /// Requires  that `from` is a peer. `wall`: this broker's clock.
    [[nodiscard]] bool may_raise(std::int32_t from, std::uint64_t known, std::uint64_t own, std::chrono::nanoseconds wall) noexcept {
        constexpr std::chrono::nanoseconds furthest = std::chrono::hours{24 * 36'525};
        const auto now = static_cast<std::uint64_t>(std::clamp(wall, std::chrono::nanoseconds{0}, furthest * 2 - std::chrono::nanoseconds{1}).count());
        if (known <= own || known > now + static_cast<std::uint64_t>(furthest.count())) {
            return false;
        }
        return !std::exchange(has_raised_[place_of(from)], true);
    }

private:
    [[nodiscard]] std::size_t place_of(std::int32_t node) const noexcept { return static_cast<std::size_t>(std::find(peers_.begin(), peers_.end(), node) - peers_.begin()); }

    const std::vector<std::int32_t> peers_;
    std::vector<std::uint64_t> latest_;  // of each of them
    std::vector<char> has_raised_;       // this broker's session, likewise
};

}  // namespace brook::inline BROOK_ABI::broker_room
