/// \file brook/replication/bodies/voter_history.hpp
/// The functions that voter_history.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/replication/voter_history.hpp>

namespace brook::inline BROOK_ABI::replication {

BROOK_INLINE std::size_t voter_history::known(offset high_watermark) const noexcept {
    for (std::size_t i = sets_.size(); i-- > 1;) {
        if (sets_[i].at < high_watermark) {
            return i;
        }
        if (sets_[i].nodes != sets_[i - 1].nodes) {
            return i - 1;
        }
    }
    return 0;
}

BROOK_INLINE bool voter_history::may_campaign(std::int32_t self, offset high_watermark) const noexcept {
    for (std::size_t i = sets_.size(); i-- > known(high_watermark);) {
        if (sets_[i].has(self)) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE void voter_history::name_electorate(offset high_watermark, const log_end& committed, std::vector<std::int32_t>& into) const {
    into.clear();
    for (std::size_t i = sets_.size(); i-- > known(high_watermark);) {
        const voter_set& set = sets_[i];
        for (const std::int32_t node : set.nodes) {
            if (!contains(into, node)) {
                into.push_back(node);
            }
        }
        if (log_end{set.epoch, set.at + 1} == committed) {
            break;
        }
    }
}

BROOK_INLINE const voter_set* voter_history::below(offset start) const noexcept {
    for (std::size_t i = sets_.size(); i-- > 0;) {
        if (sets_[i].at < start) {
            return &sets_[i];
        }
    }
    return nullptr;
}

BROOK_INLINE bool voter_history::note(offset at, std::uint32_t epoch, std::vector<std::int32_t> nodes, offset high_watermark) {
    BROOK_ASSERT(voter_set::is_possible(nodes));
    take_back(at);  // what was announced before, and never appended
    forget_old(high_watermark);
    if (sets_.size() >= ballot::most_sets) {
        return false;
    }
    sets_.insert(ghost(), {at, epoch, std::move(nodes)});
    forget_old(high_watermark);
    return true;
}

BROOK_INLINE bool voter_history::take_back(offset at) {
    bool has_changed = false;
    while (ghost() - sets_.begin() > 1 && (ghost() - 1)->at >= at) {
        sets_.erase(ghost() - 1);
        has_changed = true;
    }
    return has_changed;
}

BROOK_INLINE bool voter_history::pass(std::uint32_t epoch, offset from, offset end) {
    const voter_set& latest = *(ghost() - 1);
    return latest.at >= from && (latest.at >= end || latest.epoch != epoch) && take_back(from);
}

BROOK_INLINE void voter_history::forget_old(offset high_watermark) {
    while (sets_.size() > 2 && sets_[1].at < high_watermark) {
        sets_.erase(sets_.begin());
    }
}

BROOK_INLINE void voter_history::begin_anew(offset at, const std::optional<voter_set>& told) {
    drop_ghosts();
    if (told && told->at < at) {
        sets_.assign(1, *told);
    }
    while (sets_.size() > 1 && sets_.back().at >= at) {
        sets_.pop_back();
    }
}

BROOK_INLINE void voter_history::find_ghosts(offset end) noexcept {
    while (ghosts_ + 1 < sets_.size() && sets_[sets_.size() - 1 - ghosts_].at >= end) {
        ++ghosts_;
    }
}

BROOK_INLINE void voter_history::find_committed_ghosts(std::size_t known, offset high_watermark) noexcept {
    for (std::size_t i = sets_.size() - ghosts_; i < sets_.size(); ++i) {
        if (i <= known || sets_[i].at < high_watermark) {
            committed_ghost_ = {sets_[i].epoch, sets_[i].at + 1};
        }
    }
}

BROOK_INLINE bool voter_history::drop_ghosts(offset until, std::uint32_t epoch) {
    bool has_changed = false;
    while (ghosts_ > 0 && (ghost()->at < until || ghost()->epoch < epoch)) {
        sets_.erase(ghost());
        --ghosts_;
        has_changed = true;
    }
    return has_changed;
}

}  // namespace brook::inline BROOK_ABI::replication
