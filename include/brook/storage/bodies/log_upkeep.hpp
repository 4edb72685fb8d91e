/// \file brook/storage/bodies/log_upkeep.hpp
/// The functions that log_upkeep.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/compaction.hpp>
#include <brook/storage/log_upkeep.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE void log_upkeep::start(std::size_t finished, const log_place& end) {
    go_on(end, finished);
    retention_.start();
    compaction_.start(parts_.kept.saved().compacted_offset);
}

BROOK_INLINE void log_upkeep::remove_deleted() {
    const bool has_any = finished_ > 0 && parts_.segments.at(1)->base <= parts_.log_start_offset();
    not_removed_ = has_any ? parts_.kept.rewrite([](format::checkpoint&) {}) : failure{};
    not_removed_ = not_removed_ ? std::move(not_removed_) : drop_deleted();
}

BROOK_INLINE void log_upkeep::go_on(const log_place& end, std::size_t finished) {
    finished_ = finished;
    last_segment_ = end.home;
    last_end_ = end.at;
    last_durable_ = parts_.durable_offset();
}

BROOK_INLINE void log_upkeep::give_up() noexcept {
    is_cut_short_ = true;
    finished_ = 0;
}

BROOK_INLINE std::uint64_t log_upkeep::size_bytes(failure& why) {
    if (parts_.appends.is_forked()) {
        why = parts_.forked();
        return 0;
    }
    const std::scoped_lock guard{parts_.upkeep_mutex};
    const std::uint64_t found = parts_.is_closed() ? 0 : static_cast<std::uint64_t>(retention_.bytes_of(parts_.segments.all(), finished_, why));
    why = parts_.judged(std::move(why));
    return found;
}

BROOK_INLINE auto log_upkeep::oldest(failure& why) -> std::optional<oldest_segment> {
    const std::scoped_lock guard{parts_.upkeep_mutex};
    if (parts_.is_closed() || committed_segments() == 0 || parts_.segments.first()->base >= parts_.producers.needed_from(parts_.durable_offset())) {
        return std::nullopt;
    }
    segment& first = *parts_.segments.first();
    why = parts_.judged(retention_.look_up(first));
    return why ? std::nullopt
               : std::optional{oldest_segment{first.sealed_at.load(std::memory_order_relaxed), std::int64_t{first.used.load(std::memory_order_relaxed)}}};
}

BROOK_INLINE failure log_upkeep::drop_oldest() {
    const std::scoped_lock guard{parts_.upkeep_mutex};
    if (parts_.is_closed() || committed_segments() == 0) {
        return {};
    }
    failure why = move_start(parts_.segments.at(1)->base);
    return parts_.judged(why ? std::move(why) : drop_deleted());
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> log_upkeep::shortest_age() const noexcept {
    const auto& age = parts_.options.retention.age;
    const auto& awaited = compaction_.awaited();
    return !awaited || (age && *age < *awaited) ? age : awaited;
}

BROOK_INLINE offset log_upkeep::compaction_limit() const noexcept {
    return parts_.options.awaits_compaction_limit || parts_.has_transactions() ? compaction_limit_.load(std::memory_order_acquire) : largest_offset;
}

BROOK_INLINE auto log_upkeep::upkeep(std::chrono::nanoseconds now, offset until) -> upkeep_result {
    upkeep_result result;
    if (parts_.appends.is_forked()) {
        return result;  // without the lock, which some other thread of the parent may have held
    }
    const std::scoped_lock guard{parts_.upkeep_mutex};
    if (parts_.is_closed()) {
        return result;
    }
    if (is_cut_short_) {
        result.why = parts_.judged(parts_.durable.sync_failure());
        return result;
    }
    const std::uint64_t rate = measure_rate(now);
    result.is_busy = rate > 0;
    result.why = parts_.appends.name_taken_spare();
    failure ahead;
    if (!result.why && rate >= mib) {  // below that the writer's own steps, from 64 KiB up, cost it nothing
        ahead = work_ahead(rate);  // without room for it what follows is needed all the more
    }
    if (!result.why && parts_.durable.sync_sealed()) {
        result.is_busy = true;
    }
    if (!result.why) {
        result.why = finish_synced();
    }
    if (!result.why) {
        parts_.producers.look_after(now, parts_.options.producer_id_expiration, parts_.segments, parts_.appends, parts_.durable_offset());
    }
    if (!result.why && is_flush_due(now)) {
        result.why = parts_.sync();
    }
    if (!result.why) {
        result.why = retain(now, result.has_more);
    }
    if (result.why) {
        compaction_.stop();  // another log's may be of use
    } else if (parts_.options.compaction.is_on) {
        result.why = compact(now, until, result.has_more);
    }
    result.has_more = result.has_more && !result.why;
    if (!result.why) {
        result.why = parts_.durable.sync_failure();
    }
    if (!result.why) {
        result.why = std::move(ahead);
    }
    result.why = parts_.judged(std::move(result.why));
    return result;
}

BROOK_INLINE failure log_upkeep::move_start(offset start) {
    if (start <= parts_.log_start_offset()) {
        return {};
    }
    if (failure why = parts_.appends.name_taken_spare()) {
        return why;  // else the files that have names might all go
    }
    failure why = parts_.kept.rewrite([&](format::checkpoint& moved) {
        moved.log_start_offset = start;
        moved.durable_offset = parts_.durable_offset();  // not below the start
    });
    if (!why) {
        parts_.segments.begin_at(start);
    }
    return why;
}

BROOK_INLINE failure log_upkeep::drop_deleted(bool may_reuse) {
    failure first = compaction_.settle();
    if (first) {
        return first;  // a file that stands for others must not come back when they have gone
    }
    const std::vector<segment*> all = parts_.segments.drop(finished_ < most_dropped ? finished_ : most_dropped, parts_.producers.needed_from(parts_.durable_offset()));
    finished_ -= all.size();
    for (segment* const gone : all) {
        const bool is_large = may_reuse && gone->used.load(std::memory_order_relaxed) > parts_.options.segment_bytes / 2;
        parts_.let_go(*gone);
        if (is_large && parts_.appends.wants_spare() && parts_.source.take_file(*gone)) {
            may_reuse = false;
            if (segment_pin spare = parts_.files.recycle(parts_.options.segment_bytes, first)) {
                parts_.appends.adopt_spare(std::move(spare));
            }
            continue;
        }
        if (failure why = parts_.files.remove(gone->base); why && !first) {
            first = std::move(why);  // the next opening tries again
        }
    }
    if (!all.empty()) {
        parts_.appends.wake_upkeep();  // there may be room now for who was refused
    }
    return first;
}

BROOK_INLINE void log_upkeep::give_space_back() {
    segment& last = *parts_.segments.last();
    if (const segment_pin pin = last.pin()) {
        punch_behind(*pin, tail_word{last.tail.load(std::memory_order_relaxed)}.end() + format::frame_header_size);
    }
}

BROOK_INLINE std::size_t log_upkeep::committed_segments() {
    std::size_t count = finished_;
    while (count > 0 && parts_.segments.at(count)->base > parts_.source.limit()) {
        --count;
    }
    return count;
}

BROOK_INLINE std::uint64_t log_upkeep::measure_rate(std::chrono::nanoseconds now) noexcept {
    segment* const home = parts_.segments.last();
    const position end = tail_word{home->tail.load(std::memory_order_relaxed)}.end();
    const std::uint64_t bytes = home == last_segment_ ? end - last_end_ : std::uint64_t{end} + parts_.options.segment_bytes - last_end_;
    const std::int64_t elapsed = (now - last_look_).count();
    last_segment_ = home;
    last_end_ = end;
    last_look_ = now;
    return elapsed <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed));
}

BROOK_INLINE failure log_upkeep::work_ahead(std::uint64_t rate) {
    const tail_word tail{last_segment_->tail.load(std::memory_order_relaxed)};
    const std::uint64_t ahead = rate / 5 < mib ? rate / 5 : rate / 5 < 64 * mib ? rate / 5 : 64 * mib;
    const std::uint64_t target = tail.end() + ahead;
    const std::uint64_t left = parts_.options.segment_bytes - tail.end();
    if (parts_.options.flush_messages == 0) {
        if (failure why = parts_.appends.prepare(static_cast<position>(target < parts_.options.segment_bytes ? target : parts_.options.segment_bytes), mib)) {
            return why;
        }
    }
    const bool fills_soon = left < 2 * rate && parts_.options.segment_bytes > first_window;
    return fills_soon && parts_.appends.wants_spare() ? parts_.appends.prepare_spare() : failure{};
}

BROOK_INLINE failure log_upkeep::finish_synced() {
    bool has_finished = false;
    for (; finished_ + 1 < parts_.segments.count() && parts_.segments.at(finished_)->is_synced.load(std::memory_order_acquire); ++finished_) {
        segment& home = *parts_.segments.at(finished_);
        if (const segment_pin pin = home.pin()) {
            const tail_word tail{home.tail.load(std::memory_order_relaxed)};
            const offset end = parts_.segments.at(finished_ + 1)->base;
            const std::int64_t now = retention_.stamp(finished_ > 0 ? parts_.segments.at(finished_ - 1) : nullptr);
            if (!home.ends_in_damage.load(std::memory_order_relaxed)) {
                store(pin->data() + format::footer_at, format::make_footer(pin->seed(), end, tail.end(), now));
                punch_behind(*pin, tail.end() + format::frame_header_size);  // behind the seal
            }
            pin->written_from.store(pin->capacity(), std::memory_order_release);
            retention_.note_birth(home);
            home.sealed_at.store(now, std::memory_order_relaxed);
            home.used.store(tail.end() + format::frame_header_size, std::memory_order_relaxed);
        }
        home.release();
        has_finished = true;
    }
    return has_finished ? parts_.save_checkpoint() : failure{};
}

BROOK_INLINE failure log_upkeep::retain(std::chrono::nanoseconds now, bool& has_more) {
    failure why;
    const std::size_t committed = committed_segments();
    const offset start = retention_.due(parts_.options.retention, finished_, committed < most_dropped ? committed : most_dropped, now, why);
    if (!why) {
        why = move_start(start);
    }
    if (!why) {
        const std::size_t before = finished_;
        why = drop_deleted(parts_.options.reuses_segments);
        has_more |= before - finished_ == most_dropped;
    }
    if (!why) {
        why = std::exchange(not_removed_, {});
    }
    if (!why && is_active_expired()) {
        why = parts_.appends.roll(true);
        has_more |= !why;
    }
    return why;
}

BROOK_INLINE failure log_upkeep::compact(std::chrono::nanoseconds now, offset until, bool& has_more) {
    failure why;
    if (!compaction_.is_running()) {
        const offset durable = parts_.durable_offset();  // before the limit: what was durable then, and is a transaction's, has set it
        const offset told = compaction_limit();
        const offset watermark = parts_.source.limit();
        const offset decided = told < watermark ? told : watermark;
        const compaction::situation at{finished_, decided < durable ? decided : durable, parts_.producers.needed_from(durable), joined_within(), until, now};
        switch (compaction_.consider(parts_.options.compaction, parts_.options.segment_bytes, *parts_.options.turn, at, why)) {
            case compaction::verdict::nothing: return why;
            case compaction::verdict::roll: why = parts_.appends.roll(true); has_more |= !why; return why;
            case compaction::verdict::begun: break;
        }
    }
    why = compaction_.step(
        compaction_slice, now, [this](const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept { replace(old, std::move(made)); },
        [this](offset compacted) { return parts_.kept.rewrite([&](format::checkpoint& changed) { changed.compacted_offset = compacted; }); });
    has_more |= !why;
    return why;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> log_upkeep::joined_within() const noexcept {
    return parts_.options.retention.age ? std::optional{*parts_.options.retention.age / 8} : std::nullopt;
}

BROOK_INLINE void log_upkeep::replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept {
    parts_.segments.replace(old, std::move(made));
    for (segment* const gone : old) {
        parts_.let_go(*gone);
    }
    finished_ -= old.size() - 1;
}

BROOK_INLINE bool log_upkeep::is_active_expired() {
    segment& active = *parts_.segments.last();
    if (tail_word{active.tail.load(std::memory_order_relaxed)}.records() == 0) {
        return false;
    }
    const bool is_deleted = parts_.log_start_offset() > active.base && parts_.log_start_offset() >= parts_.log_end_offset();
    return is_deleted || (parts_.options.retention.age && retention_.is_old(active, *parts_.options.retention.age));
}

BROOK_INLINE bool log_upkeep::is_flush_due(std::chrono::nanoseconds now) {
    if (!parts_.options.promises_durability()) {
        return false;
    }
    const offset durable = parts_.durable_offset();
    const offset unsynced = parts_.log_end_offset() - durable;
    const bool has_moved = std::exchange(last_durable_, durable) != durable;
    if (unsynced <= 0 || has_moved) {
        unsynced_since_ = now;
    }
    return unsynced > 0 && ((parts_.options.flush_messages > 0 && unsynced >= parts_.options.flush_messages && !has_moved) ||
                            (parts_.options.flush_interval.count() > 0 && now - unsynced_since_ >= parts_.options.flush_interval));
}

BROOK_INLINE void log_upkeep::punch_behind(mapped_segment& memory, position end) {
    const position from = align_up(end, page_size);
    if (from < memory.readable()) {
        if (from < memory.search_end()) {
            memory.set_search_end(from);
        }
        static_cast<void>(memory.log_file().punch(from, memory.readable() - from));  // it stays taken; nothing else
    }
    if (os::file* const index = memory.index_file()) {
        const std::uint64_t used = align_up(std::uint64_t{index_slots(end)} * sizeof(index_slot), std::uint64_t{page_size});
        const std::uint64_t size = segment_directory::index_file_bytes(memory.capacity());
        if (used < size) {
            static_cast<void>(index->punch(used, size - used));
        }
    }
}

}  // namespace brook::inline BROOK_ABI::storage
