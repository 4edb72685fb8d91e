/// \file brook/broker/bodies/cluster_watch.hpp
/// The functions that cluster_watch.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/cluster_watch.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE cluster_watch::cluster_watch(std::int32_t self, std::vector<std::int32_t> peers, std::chrono::nanoseconds election_timeout)
    : self_{self}, patience_{election_timeout * 5}, named_{std::move(peers)} {
    for (const std::int32_t node : named_) {
        if (node != self_) {
            peers_.push_back({});
            peers_.back().node = node;
        }
    }
}

BROOK_INLINE void cluster_watch::write_greeting(replication::byte_writer& to) const {
    to.put(static_cast<std::uint32_t>(named_.size()));
    for (const std::int32_t node : named_) {
        to.put(node);
    }
}

BROOK_INLINE void cluster_watch::take_greeting(std::int32_t from, bytes body) {
    replication::byte_reader read{body};
    std::vector<std::int32_t> named;
    for (std::uint32_t left = read.take_count(sizeof(std::int32_t)); left > 0 && named.size() < most_named; --left) {
        named.push_back(read.take<std::int32_t>());
    }
    if (peer* const one = find(from); one != nullptr && read.is_done()) {
        one->named = std::move(named);
    }
}

BROOK_INLINE void cluster_watch::looked(std::chrono::nanoseconds now) noexcept {
    began_ = began_ ? began_ : now;
    looked_at_ = now;
}

BROOK_INLINE void cluster_watch::heard(std::int32_t from, std::chrono::nanoseconds now) noexcept {
    if (peer* const one = find(from)) {
        one->heard = now;
        one->is_of_other_cluster = false;
        one->is_misplaced = false;
    }
}

BROOK_INLINE void cluster_watch::refused(std::int32_t from, const datagram::heading& said, const format::topic_id& cluster,
                                         std::chrono::nanoseconds now) noexcept {
    if (said.to != self_) {
        brought_for_ = said.to;
        brought_at_ = now;
        return;
    }
    peer* const one = find(said.from);
    if (one == nullptr) {
        stranger_ = said.from;
        stranger_at_ = now;
    } else if (said.from != from) {
        one->is_misplaced = true;
        one->place = from;
        one->misplaced_at = now;
    } else if (said.cluster != cluster) {
        one->is_of_other_cluster = true;
    }
}

BROOK_INLINE std::string cluster_watch::why_leaderless(bool is_new, const cluster_metadata& known) const {
    const std::vector<std::int32_t> silent = those([&](const peer& one) { return !one.heard || is_silent(one); });  // also before their time is over
    if (is_new && !silent.empty()) {
        return "a cluster begins when all of its brokers are there, and " + say(silent) + (silent.size() == 1 ? " has" : " have") + " not been heard of";
    }
    if (!is_majority_without(silent)) {
        return "no majority of the brokers is heard: " + say(silent) + (silent.size() == 1 ? " is" : " are") + " silent";
    }
    const std::vector<std::int32_t> unknown = those([&](const peer& one) { return !known.directory_of(one.node); });
    return std::string{"those that are there have not elected a leader of the cluster's metadata yet"} + (unknown.empty() || is_new ? "" : "; " + say(unknown) + " has never been there");
}

BROOK_INLINE std::vector<failure> cluster_watch::conditions(const cluster_metadata& known, bool awaits_groups, const std::string& directory) const {
    std::vector<failure> all;
    if (!began_) {
        return all;
    }
    if (const auto others = those([](const peer& one) { return one.is_of_other_cluster; }); !others.empty()) {
        all.emplace_back(errc::invalid_config, say(others) + (others.size() == 1 ? " is" : " are") + " of another cluster than this broker's directory " + directory +
                                                   ", and neither side hears the other; start the one that is wrong on the directory that it had here, or on an empty one");
    }
    for (const peer& one : peers_) {
        if (one.named && *one.named != named_ && !is_silent(one)) {
            all.emplace_back(errc::invalid_config, "broker " + std::to_string(one.node) + " was given other peers, " + list(*one.named) + ", than this one, " + list(named_) +
                                                       "; give all brokers of a cluster the same");
        }
        if (one.is_misplaced && is_lately(one.misplaced_at)) {
            all.emplace_back(errc::invalid_config, "broker " + std::to_string(one.node) + " speaks from the place of node " + std::to_string(one.place) +
                                                       " in the network, and is not heard; give it the transport of its own node_id");
        }
    }
    if (stranger_ && is_lately(stranger_at_)) {
        all.emplace_back(errc::invalid_config, "broker " + std::to_string(*stranger_) + " takes this one for a peer, and is none of its peers, " + list(named_) + "; give all brokers of a cluster the same peers");
    }
    if (brought_for_ && is_lately(brought_at_)) {
        all.emplace_back(errc::invalid_config, "the transport brings what is meant for node " + std::to_string(*brought_for_) + ", and this is broker " + std::to_string(self_) +
                                                   "; give it the transport of its own node_id");
    }
    if (const auto silent = those([&](const peer& one) { return is_silent(one); }); !is_majority_without(silent)) {
        all.emplace_back(errc::timed_out, "this broker hears no majority of its cluster: " + say(silent) + (silent.size() == 1 ? " is" : " are") +
                                              " silent; nothing is written or decided here until it does; see whether they run, and whether the network reaches them");
    }
    if (*looked_at_ - *began_ > patience_) {
        const auto unheard = those([](const peer& one) { return !one.heard && !one.is_of_other_cluster && !one.is_misplaced; });
        for (const std::int32_t node : unheard) {
            const bool was_there = known.directory_of(node).has_value();
            all.emplace_back(errc::timed_out, "broker " + std::to_string(node) + (was_there ? " has not been heard of since this one was started" : " has never been there") +
                                                  "; start it, or see whether the network reaches it");
        }
    }
    if (awaits_groups && *looked_at_ - coordinator_at_.value_or(*began_) > patience_) {
        all.emplace_back(errc::coordinator_not_available, "consumer groups have no coordinator: members read on what they have, and nobody joins or commits until a majority of the brokers is there");
    }
    return all;
}

BROOK_INLINE auto cluster_watch::find(std::int32_t node) noexcept -> peer* {
    for (peer& one : peers_) {
        if (one.node == node) {
            return &one;
        }
    }
    return nullptr;
}

BROOK_INLINE std::string cluster_watch::list(const std::vector<std::int32_t>& nodes) {
    std::string text;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        text += (i == 0 ? "" : i + 1 < nodes.size() ? ", " : " and ") + std::to_string(nodes[i]);
    }
    return text;
}

}  // namespace brook::inline BROOK_ABI::broker_room
