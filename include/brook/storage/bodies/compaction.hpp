/// \file brook/storage/bodies/compaction.hpp
/// The functions that compaction.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/compaction.hpp>
#include <brook/storage/compaction_pass.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE bool compaction_turn::take(const void* who) noexcept {
    const void* nobody = nullptr;
    return holder_.compare_exchange_strong(nobody, who, std::memory_order_acq_rel) || nobody == who;
}

BROOK_INLINE void compaction_turn::give(const void* who) noexcept {
    const void* holder = who;
    static_cast<void>(holder_.compare_exchange_strong(holder, nullptr, std::memory_order_acq_rel));
}

BROOK_INLINE auto compaction::consider(const compaction_policy& policy, std::uint32_t segment_bytes, compaction_turn& turn, const situation& at,
                                       failure& why) -> verdict {
    if (why = settle(); why) {
        return verdict::nothing;
    }
    segment& active = *segments_.last();
    const tail_word tail{active.tail.load(std::memory_order_relaxed)};
    const position worth = segment_bytes / 2 < least_sealed ? segment_bytes / 2 : least_sealed;
    const offset frontier = segments_.at(at.finished)->base;
    const bool is_decided = at.limit >= frontier;
    const bool is_same = frontier == judged_ && is_decided == judged_decided_ && tail.end() < judged_active_ + worth;
    if ((is_same && at.now - judged_at_ < pause) || at.now < not_before_) {
        return verdict::nothing;
    }
    judged_ = frontier;
    judged_decided_ = is_decided;
    judged_active_ = tail.end();
    judged_at_ = at.now;
    const std::vector<segment*> all = segments_.all();
    load found;
    if (why = weigh(all, policy, at, found); why) {
        return verdict::nothing;
    }
    awaited_ = found.awaited;
    if (policy.max_lag && (found.dirty > 0 || tail.records() > 0)) {
        note_sooner(awaited_, *policy.max_lag);
    }
    const bool is_wanted = considered_ < at.until;
    if ((found.has_dead && frontier != futile_) || (is_wanted && found.dirty > 0 && (found.is_late || found.is_dirty(policy, 0) || considered_ < goal_))) {
        if (!turn.take(this)) {
            return verdict::nothing;  // asked again in a second
        }
        turn_ = &turn;
        const bool goes_on = considered_ < goal_;
        goal_ = all[found.count]->base;
        begin(at, goes_on ? considered_ : compacted_, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(found.count) + 1}, policy, segment_bytes);
        return verdict::begun;
    }
    if (!is_wanted || found.is_blocked || tail.records() == 0) {
        return verdict::nothing;
    }
    const bool is_worth_it = tail.end() >= worth && found.is_dirty(policy, tail.end());
    return is_worth_it || (policy.max_lag && ages_.is_old(active, *policy.max_lag)) ? verdict::roll : verdict::nothing;
}

BROOK_INLINE failure compaction::settle() {
    if (unsettled_.made == nullptr) {
        return {};
    }
    failure why = files_.put_in_place(unsettled_.range, unsettled_.bases);
    if (!why) {
        std::exchange(unsettled_.made, nullptr)->release();  // from now on it is found by its name
    }
    return why;
}

BROOK_INLINE void compaction::stop() noexcept {
    if (pass_) {
        pass_.reset();
        turn_->give(this);
    }
}

BROOK_INLINE bool compaction::load::is_dirty(const compaction_policy& policy, std::int64_t more) const noexcept {
    const auto all = static_cast<double>(dirty + more + clean);
    return static_cast<double>(dirty + more) >= policy.min_dirty_ratio * all;
}

BROOK_INLINE void compaction::note_sooner(std::optional<std::chrono::nanoseconds>& awaited, std::chrono::nanoseconds age) noexcept {
    awaited = !awaited || age < *awaited ? age : *awaited;
}

BROOK_INLINE failure compaction::weigh(const std::vector<segment*>& all, const compaction_policy& policy, const situation& at, load& found) {
    for (std::size_t i = 0; i < at.finished; ++i) {
        segment& one = *all[i];
        if (all[i + 1]->base > at.limit) {
            found.is_blocked = true;
            break;
        }
        if (one.base >= at.needed_from) {
            break;  // until a newer one tells of the producers
        }
        if (failure why = ages_.look_up(one)) {
            return why;
        }
        const std::int64_t used = one.used.load(std::memory_order_relaxed);
        if (all[i + 1]->base <= considered_) {
            const std::int64_t since = one.tombstones_since.load(std::memory_order_relaxed);
            found.clean += used;
            if (since != 0) {
                note_sooner(found.awaited, policy.delete_retention);
            }
            found.has_dead |= since != 0 && all[i + 1]->base <= compacted_ && (policy.delete_retention.count() == 0 || ages_.has_passed(since, policy.delete_retention));
        } else {
            const std::int64_t sealed = one.sealed_at.load(std::memory_order_relaxed);
            const std::int64_t born = one.born_at.load(std::memory_order_relaxed);
            if (policy.min_lag.count() > 0 && !ages_.has_passed(sealed, policy.min_lag)) {
                note_sooner(found.awaited, policy.min_lag);
                found.is_blocked = true;
                break;
            }
            found.dirty += used;
            found.is_late |= policy.max_lag && ages_.has_passed(born > 0 ? born : sealed, *policy.max_lag);
        }
        found.count = i + 1;
    }
    return {};
}

BROOK_INLINE void compaction::begin(const situation& at, offset from, std::vector<segment*> sources, const compaction_policy& policy,
                                    std::uint32_t segment_bytes) {
    const offset start = segments_.start();
    from_ = from;
    try {
        pass_ = std::make_unique<compaction_pass>(
            files_, segments_, source_, ages_,
            compaction_pass::plan{std::move(sources), from > start ? from : start, compacted_, turn_->memory(), segment_bytes, policy.delete_retention, at.joined_within});
    } catch (...) {
        turn_->give(this);
        throw;
    }
}

}  // namespace brook::inline BROOK_ABI::storage
