/// \file brook/storage/log_upkeep.hpp
/// What is done for a log while nobody waits for it: footers, retention, compaction, room ahead.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
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
#include <brook/storage/log_parts.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Looks after a log: works ahead of its writers and behind them.
///
/// Threads   one at a time, under upkeep's lock: what does not say that it takes it, requires it.
class log_upkeep {
public:
    explicit log_upkeep(log_parts& parts) : parts_{parts} {}

    /// The log has been opened: up to `finished` its segments have their footer, and it ends at a place.
    void start(std::size_t finished, const log_place& end) {
        go_on(end, finished);
        retention_.start();
        compaction_.start(parts_.kept.saved().compacted_offset);
    }

    /// What was deleted by a process that died before it had removed the files is removed. What cannot be is told by the next upkeep.
    /// The start is written down once more before: the process that did it may have been told that it is not on the disk.
    void remove_deleted() {
        const bool has_any = finished_ > 0 && parts_.segments.at(1)->base <= parts_.log_start_offset();
        not_removed_ = has_any ? parts_.kept.rewrite([](format::checkpoint&) {}) : failure{};
        not_removed_ = not_removed_ ? std::move(not_removed_) : drop_deleted();
    }

    /// The log ends there now: it has been opened, or cut.
    void go_on(const log_place& end, std::size_t finished) {
        finished_ = finished;
        last_segment_ = end.home;
        last_end_ = end.at;
        last_durable_ = parts_.durable_offset();
    }

    /// Segments in front of it have their footer.
    [[nodiscard]] std::size_t finished() const noexcept { return finished_; }

    /// A cut did not come to its end: which segments there are is not known, and nothing is done about them any more.
    /// Requires  upkeep's lock.
    void give_up() noexcept {
        is_cut_short_ = true;
        finished_ = 0;
    }

    void stop_compaction() { compaction_.stop(); }
    [[nodiscard]] failure settle_compaction() { return compaction_.settle(); }
    void start_compaction(offset compacted) { compaction_.start(compacted); }
    void forget_compaction() noexcept { compaction_.forget(); }

    /// log::size_bytes.
    [[nodiscard]] std::uint64_t size_bytes(failure& why) {
        if (parts_.appends.is_forked()) {
            why = parts_.forked();
            return 0;
        }
        const std::scoped_lock guard{parts_.upkeep_mutex};
        const std::uint64_t found = parts_.is_closed() ? 0 : static_cast<std::uint64_t>(retention_.bytes_of(parts_.segments.all(), finished_, why));
        why = parts_.judged(std::move(why));
        return found;
    }

    /// log::oldest.
    struct oldest_segment {
        std::int64_t sealed_at;
        std::int64_t bytes;
    };

    [[nodiscard]] std::optional<oldest_segment> oldest(failure& why) {
        const std::scoped_lock guard{parts_.upkeep_mutex};
        if (parts_.is_closed() || committed_segments() == 0 || parts_.segments.first()->base >= parts_.producers.needed_from(parts_.durable_offset())) {
            return std::nullopt;
        }
        segment& first = *parts_.segments.first();
        why = parts_.judged(retention_.look_up(first));
        return why ? std::nullopt
                   : std::optional{oldest_segment{first.sealed_at.load(std::memory_order_relaxed), std::int64_t{first.used.load(std::memory_order_relaxed)}}};
    }

    /// log::drop_oldest.
    [[nodiscard]] failure drop_oldest() {
        const std::scoped_lock guard{parts_.upkeep_mutex};
        if (parts_.is_closed() || committed_segments() == 0) {
            return {};
        }
        failure why = move_start(parts_.segments.at(1)->base);
        return parts_.judged(why ? std::move(why) : drop_deleted());
    }

    struct upkeep_result {
        bool is_busy = false;  ///< appends are coming in: look again soon
        bool has_more = false;  ///< of what is due: look again at once
        failure why;           ///< what could not be done; nothing promised is lost by it
    };

    /// What whoever looks after the log remembers from one look to the next: kept here, used by them alone.
    struct upkeep_notes {
        offset end = 0;    ///< where the log ended
        std::string told;  ///< the error that has been reported, and that it still has
    };

    [[nodiscard]] upkeep_notes& notes() noexcept { return notes_; }

    /// log::shortest_age.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> shortest_age() const noexcept {
        const auto& age = parts_.options.retention.age;
        const auto& awaited = compaction_.awaited();
        return !awaited || (age && *age < *awaited) ? age : awaited;
    }

    /// log::limit_compaction.
    void limit_compaction(offset limit) noexcept { compaction_limit_.store(limit, std::memory_order_release); }

    [[nodiscard]] offset compaction_limit() const noexcept {
        return parts_.options.awaits_compaction_limit || parts_.has_transactions() ? compaction_limit_.load(std::memory_order_acquire) : largest_offset;
    }

    /// log::upkeep.
    upkeep_result upkeep(std::chrono::nanoseconds now, offset until = largest_offset) {
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

    /// On the disk before a file goes: else a log whose files were removed would pass for one that has lost them.
    [[nodiscard]] failure move_start(offset start) {
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

    /// Removes the files of segments that lie below the start, up to the one that tells of the partition's producers: until the
    /// next one tells of them, repetitions of what was deleted are known by it.
    /// `may_reuse`: one of them may become the next spare.
    [[nodiscard]] failure drop_deleted(bool may_reuse = false) {
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

    void give_space_back() {
        segment& last = *parts_.segments.last();
        if (const segment_pin pin = last.pin()) {
            punch_behind(*pin, tail_word{last.tail.load(std::memory_order_relaxed)}.end() + format::frame_header_size);
        }
    }

private:
    /// Segments that are sealed, on the disk, and on a majority.
    [[nodiscard]] std::size_t committed_segments() {
        std::size_t count = finished_;
        while (count > 0 && parts_.segments.at(count)->base > parts_.source.limit()) {
            --count;
        }
        return count;
    }

    /// Bytes per second that were claimed since the last look.
    [[nodiscard]] std::uint64_t measure_rate(std::chrono::nanoseconds now) noexcept {
        segment* const home = parts_.segments.last();
        const position end = tail_word{home->tail.load(std::memory_order_relaxed)}.end();
        const std::uint64_t bytes = home == last_segment_ ? end - last_end_ : std::uint64_t{end} + parts_.options.segment_bytes - last_end_;
        const std::int64_t elapsed = (now - last_look_).count();
        last_segment_ = home;
        last_end_ = end;
        last_look_ = now;
        return elapsed <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(elapsed));
    }

    [[nodiscard]] failure work_ahead(std::uint64_t rate) {
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

    /// What is sealed and synced gets its footer, gives unused space back, and is let go of.
    [[nodiscard]] failure finish_synced() {
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

    /// Lets go of what the policy does not keep, and of what was deleted. A part of it is enough: the next look goes on.
    [[nodiscard]] failure retain(std::chrono::nanoseconds now, bool& has_more) {
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

    static constexpr std::size_t most_dropped = 64;  // in one look: removing a file takes the disk a while

    /// Begins or goes on to compact the log, for a slice.
    [[nodiscard]] failure compact(std::chrono::nanoseconds now, offset until, bool& has_more) {
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

    static constexpr std::uint64_t compaction_slice = mib;

    [[nodiscard]] std::optional<std::chrono::nanoseconds> joined_within() const noexcept {
        return parts_.options.retention.age ? std::optional{*parts_.options.retention.age / 8} : std::nullopt;
    }

    /// Readers go on in what is left of these segments.
    void replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept {
        parts_.segments.replace(old, std::move(made));
        for (segment* const gone : old) {
            parts_.let_go(*gone);
        }
        finished_ -= old.size() - 1;
    }

    /// Nothing in the active segment has been kept for less than the policy says, or all of it has been deleted. Then it is
    /// sealed, so that it can go.
    [[nodiscard]] bool is_active_expired() {
        segment& active = *parts_.segments.last();
        if (tail_word{active.tail.load(std::memory_order_relaxed)}.records() == 0) {
            return false;
        }
        const bool is_deleted = parts_.log_start_offset() > active.base && parts_.log_start_offset() >= parts_.log_end_offset();
        return is_deleted || (parts_.options.retention.age && retention_.is_old(active, *parts_.options.retention.age));
    }

    /// Who waits for a sync makes it; this is for records that nobody waits for. While the durable offset moves from one
    /// look to the next, somebody does.
    [[nodiscard]] bool is_flush_due(std::chrono::nanoseconds now) {
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

    /// The disk space behind `end`: the file keeps its size, so that nothing is pulled from under a mapping.
    static void punch_behind(mapped_segment& memory, position end) {
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

    log_parts& parts_;
    std::atomic<offset> compaction_limit_{0};
    retention retention_{parts_.files, parts_.segments};
    compaction compaction_{parts_.files, parts_.segments, parts_.source, retention_};
    std::size_t finished_ = 0;   // segments before it have their footer
    bool is_cut_short_ = false;
    failure not_removed_;       // what the opening could not remove, until upkeep has told it
    segment* last_segment_ = nullptr;
    position last_end_ = 0;
    std::chrono::nanoseconds last_look_{};
    std::chrono::nanoseconds unsynced_since_{};
    offset last_durable_ = 0;
    upkeep_notes notes_;
};

}  // namespace brook::inline BROOK_ABI::storage
