/// \file brook/replication/bodies/follower_table.hpp
/// The functions that follower_table.hpp declares.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/follower_table.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/voter_history.hpp>

namespace brook::inline BROOK_ABI::replication {

BROOK_INLINE log_comparison compare_logs(const message& fetch, const epoch_history& epochs, offset start, offset end) noexcept {
    const offset asked = fetch.fetch.end;
    const bool is_empty = fetch.last_epoch == 0 && fetch.is_empty;  // a part of any. One with records of no known epoch may have anything
    const bool is_known = is_empty ? asked <= end : fetch.last_epoch > 0 && (start == 0 || epochs.knows(fetch.last_epoch));
    if (asked < start || !is_known) {
        return {fetch_outcome::below_start, {}};
    }
    if (const log_end mine = epochs.end_of(fetch.last_epoch, end); !is_empty && (mine.epoch != fetch.last_epoch || asked > mine.end)) {
        return {fetch_outcome::diverging, mine};  // KIP-595
    }
    return {fetch_outcome::records, {}};
}

BROOK_INLINE void follower_table::begin(const voter_history& voters, std::int32_t self, std::chrono::nanoseconds now) {
    all_.clear();
    round_ = 1;
    for (const std::int32_t node : voters.nodes()) {
        if (node != self) {
            follower_progress one;
            one.node = node;
            one.heard = now;
            one.asked = now;
            all_.push_back(one);
        }
    }
}

BROOK_INLINE follower_progress* follower_table::find(std::int32_t node) noexcept {
    for (follower_progress& one : all_) {
        if (one.node == node) {
            return &one;
        }
    }
    return nullptr;
}

BROOK_INLINE follower_progress* follower_table::take_fetch(std::int32_t from, const message& asked, const voter_history& voters,
                                                           std::chrono::nanoseconds now) {
    follower_progress* one = find(from);
    if (one == nullptr) {
        one = admit(from, voters);
    }
    if (one == nullptr || asked.session < one->session || (asked.session == one->session && asked.number <= one->number)) {
        return nullptr;
    }
    if (asked.is_suspect && (asked.session != one->session || one->needed == 0)) {
        one->needed = ++round_;
    }
    one->needed = asked.is_suspect ? one->needed : 0;
    one->session = asked.session;
    one->number = asked.number;
    one->fetched = 0;  // until it is known to be the same as this one: what another life of it had does not count
    one->held = 0;
    one->confirmed = std::max(one->confirmed, std::min(asked.fetch.round, round_));
    one->heard = now;
    one->asked = now;
    one->is_suspect = asked.is_suspect;
    one->is_blank = asked.is_blank;
    one->is_full = asked.is_full;
    one->is_parked = false;
    one->has_fetched = true;
    one->knows = asked.fetch.high_watermark;
    return one;
}

BROOK_INLINE std::size_t follower_table::in_sync(const voter_history& voters, std::int32_t self, std::chrono::nanoseconds now,
                                                 std::chrono::nanoseconds timeout) const noexcept {
    std::size_t count = voters.is_voter(self) ? 1 : 0;
    for (const follower_progress& one : all_) {
        count += one.has_fetched && voters.is_voter(one.node) && now - one.heard <= timeout ? 1u : 0u;
    }
    return count;
}

BROOK_INLINE bool follower_table::is_confirmed(const follower_progress& suspect, const voter_history& voters, std::size_t known, std::int32_t self,
                                               bool is_self_suspect) const noexcept {
    for (std::size_t i = known; i < voters.sets().size(); ++i) {
        const voter_set& set = voters.sets()[i];
        std::size_t clean = set.has(self) && !is_self_suspect ? 1 : 0;
        std::size_t all = set.has(self) ? 1 : 0;
        for (const follower_progress& one : all_) {
            if (set.has(one.node) && one.confirmed >= suspect.needed) {
                ++all;
                clean += one.is_suspect ? 0u : 1u;
            }
        }
        const std::size_t count = set.nodes.size();
        if (clean < count - set.majority() + 1 && all < count) {
            return false;
        }
    }
    return true;
}

BROOK_INLINE std::int32_t follower_table::successor(const voter_history& voters) const noexcept {
    const follower_progress* best = nullptr;
    for (const follower_progress& one : all_) {
        if (one.has_fetched && !one.is_suspect && !one.is_full && voters.is_voter(one.node) && (best == nullptr || one.fetched > best->fetched)) {
            best = &one;
        }
    }
    return best == nullptr ? no_node : best->node;
}

BROOK_INLINE follower_progress* follower_table::admit(std::int32_t node, const voter_history& voters) {
    follower_progress* place = nullptr;
    if (all_.size() < most) {
        place = &all_.emplace_back();
    } else {
        for (follower_progress& one : all_) {
            if (!voters.is_voter(one.node) && (place == nullptr || one.heard < place->heard)) {
                place = &one;
            }
        }
    }
    if (place != nullptr) {
        *place = {};
        place->node = node;
    }
    return place;
}

}  // namespace brook::inline BROOK_ABI::replication
