/// \file brook/broker/cluster_watch.hpp
/// What a member hears of the others: who is silent, who was never there, who is of another cluster or was told of another one.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Every broker greets every other one once an election timeout, and says which peers it was given. From that, and from what else comes, this one
/// knows how its cluster is, and says so by `conditions` for as long as it is so.
///
/// Time counts by the member's own rounds: one that was asleep has not heard anybody meanwhile, and says nothing of it before it has looked.
///
/// Threads   confined, to whoever holds the member's lock.
/// Cost      a datagram costs a look through the peers.
class cluster_watch {
public:
    /// `peers`: in order, with this one.
    cluster_watch(std::int32_t self, std::vector<std::int32_t> peers, std::chrono::nanoseconds election_timeout);

    // ---- greetings ----

    /// What this broker says.
    void write_greeting(replication::byte_writer& to) const;

    void take_greeting(std::int32_t from, bytes body);

    // ---- what comes ----

    /// All that has come by `now` has been taken.
    void looked(std::chrono::nanoseconds now) noexcept;

    /// What a peer says counts, which the transport has brought as of `from`.
    void heard(std::int32_t from, std::chrono::nanoseconds now) noexcept;

    /// A datagram that is whole, and does not count.
    void refused(std::int32_t from, const datagram::heading& said, const format::topic_id& cluster, std::chrono::nanoseconds now) noexcept;

    /// Somebody coordinates groups, as far as this broker knows.
    void saw_coordinator() noexcept { coordinator_at_ = looked_at_; }

    // ---- how it is ----

    /// Why nobody leads the cluster's metadata, in words. `is_new`: nothing was ever decided.
    [[nodiscard]] std::string why_leaderless(bool is_new, const cluster_metadata& known) const;

    /// What is not as it should be; empty: all is well. `awaits_groups`: somebody here wants something of a group; `directory`: this broker's.
    [[nodiscard]] std::vector<failure> conditions(const cluster_metadata& known, bool awaits_groups, const std::string& directory) const;

private:
    static constexpr std::size_t most_named = 1'024;  // peers that somebody else says he has

    struct peer {
        std::int32_t node = 0;
        std::optional<std::chrono::nanoseconds> heard{};
        std::optional<std::vector<std::int32_t>> named{};  // the peers that it was given
        bool is_of_other_cluster = false;
        bool is_misplaced = false;                         // it speaks from the place of another
        std::int32_t place = 0;
        std::chrono::nanoseconds misplaced_at{};
    };

    [[nodiscard]] peer* find(std::int32_t node) noexcept;

    [[nodiscard]] bool is_majority_without(const std::vector<std::int32_t>& silent) const noexcept { return named_.size() - silent.size() >= named_.size() / 2 + 1; }

    [[nodiscard]] bool is_lately(std::chrono::nanoseconds when) const noexcept { return *looked_at_ - when <= patience_; }

    /// Before it has had its time nobody is.
    [[nodiscard]] bool is_silent(const peer& one) const noexcept { return began_ && !is_lately(one.heard.value_or(*began_)); }

    template <class Which>
    [[nodiscard]] std::vector<std::int32_t> those(const Which& which) const {
        std::vector<std::int32_t> found;
        for (const peer& one : peers_) {
            if (which(one)) {
                found.push_back(one.node);
            }
        }
        return found;
    }

    [[nodiscard]] static std::string list(const std::vector<std::int32_t>& nodes);

    [[nodiscard]] static std::string say(const std::vector<std::int32_t>& nodes) { return (nodes.size() == 1 ? "broker " : "brokers ") + list(nodes); }

    const std::int32_t self_;
    const std::chrono::nanoseconds patience_;  // some election timeouts: who is silent for longer has gone
    const std::vector<std::int32_t> named_;    // this broker's peers, in order
    std::vector<peer> peers_;                  // the others
    std::optional<std::chrono::nanoseconds> began_;
    std::optional<std::chrono::nanoseconds> looked_at_;
    std::optional<std::chrono::nanoseconds> coordinator_at_;
    std::optional<std::int32_t> stranger_;     // the latest that is no peer, and speaks to this one
    std::chrono::nanoseconds stranger_at_{};
    std::optional<std::int32_t> brought_for_;  // whom the latest was for that came here by mistake
    std::chrono::nanoseconds brought_at_{};
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/cluster_watch.hpp>
#endif
