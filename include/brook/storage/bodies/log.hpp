/// \file brook/storage/bodies/log.hpp
/// The functions that log.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_epochs.hpp>
#include <brook/storage/log_options.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/open_claims.hpp>
#include <brook/storage/producer_table.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/recovery.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/time_index.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE std::unique_ptr<log> log::open(segment_directory files, log_options options, event_count& events, event_count& upkeep, failure& why,
                                            const transaction_table* transactions) {
    std::unique_ptr<log> opened{new log{std::move(files), options, events, upkeep, transactions}};
    why = opened->recover();
    return why ? nullptr : std::move(opened);
}

BROOK_INLINE std::shared_ptr<producer_state> log::producer(std::int64_t id, failure& why) {
    if (is_closed()) {
        why = refusal();
        return nullptr;
    }
    if (parts_.appends.is_forked()) {
        why = parts_.forked();
        return nullptr;
    }
    why = parts_.flag(format::checkpoint_flag::producers);
    return why ? nullptr : parts_.producers.table().find_or_add(id);
}

BROOK_INLINE failure log::begin_transactional(offset& began) {
    if (failure why = parts_.flag(format::checkpoint_flag::transactions)) {
        return why;
    }
    const std::scoped_lock guard{open_transactions_mutex_};
    began = log_end_offset();
    open_transactions_.push_back(began);
    return {};
}

BROOK_INLINE void log::end_transactional(offset began) {
    {
        const std::scoped_lock guard{open_transactions_mutex_};
        for (offset& one : open_transactions_) {
            if (one == began) {
                one = open_transactions_.back();
                open_transactions_.pop_back();
                break;
            }
        }
    }
    parts_.appends.wake();
}

BROOK_INLINE offset log::last_stable_offset() {
    const std::scoped_lock guard{open_transactions_mutex_};  // before the look: who begins to append behind it is seen, then
    offset stable = readable_end();
    for (const offset began : open_transactions_) {
        stable = began < stable ? began : stable;
    }
    return stable;
}

BROOK_INLINE bool log::has_frame(offset end, std::uint32_t epoch, std::uint64_t checksum) {
    const auto uncut = parts_.keep_uncut();
    if (const offset start = log_start_offset(); end <= start || end > log_end_offset()) {
        return end <= start;
    }
    log_reader looking = parts_.whole_reader();
    frame_view found;
    return looking.find(end - 1, found) && found.header.leader_epoch == epoch &&
           (looking.is_in_compacted() || (found.header.base_offset + found.offsets_taken() == end && found.header.checksum == checksum));
}

BROOK_INLINE bool log::take_open(std::uint32_t length, claim& taken, segment_pin& pin, open_claims::id& id, failure& why) {
    if (!take(length, 1, taken, why)) {
        return false;
    }
    std::optional<open_claims::id> added;
    try {
        pin = taken.home->pin();
        added = parts_.claims.add(taken, pin, platform().monotonic());
    } catch (...) {
        abandon(taken, 1);  // nobody else would, and all readers stop in front of it
        throw;
    }
    if (!added) {
        abandon(taken, 1);
        why = refusal();
        return false;
    }
    id = *added;
    return true;
}

BROOK_INLINE failure log::roll() {
    const auto alone = parts_.options.is_replicated ? std::unique_lock{parts_.order_mutex} : std::unique_lock<std::mutex>{};
    return parts_.judged(parts_.appends.roll());
}

BROOK_INLINE std::optional<std::uint32_t> log::epoch_before(offset end) {
    const auto uncut = parts_.keep_uncut();
    return end > log_start_offset() && end <= log_end_offset() ? parts_.whole_reader().epoch_at(end - 1) : std::nullopt;
}

BROOK_INLINE offset log::end_of_epoch(std::uint32_t epoch) {
    const auto uncut = parts_.keep_uncut();
    const offset start = log_start_offset();
    const offset end = log_end_offset();
    if (!parts_.options.is_replicated) {
        log_reader looking = parts_.whole_reader();
        return detail::find_later_epoch(looking, epoch, start, end).first;
    }
    failure unclear;
    return parts_.epochs.history(start, end, unclear).end_of(epoch, end).end;
}

BROOK_INLINE std::optional<offset> log::offset_for_time(std::int64_t time, failure& why) {
    const offset until = parts_.source.limit();
    std::vector<segment*> all = parts_.segments.all();
    for (std::size_t i = 0; i < all.size() && all[i]->base < until; ++i) {
        segment& home = *all[i];
        const segment_pin pin = parts_.source.pin(home, why);
        if (home.is_replaced.load(std::memory_order_acquire)) {  // compacted meanwhile: from the beginning, with what is there now
            why = {};
            all = parts_.segments.all();
            i = static_cast<std::size_t>(-1);
            continue;
        }
        if (segment* const next = home.next.load(std::memory_order_acquire); next != nullptr && next->base <= log_start_offset()) {
            why = {};  // deleted, now or just before
            continue;
        }
        if (!pin) {
            return std::nullopt;
        }
        bool is_corrupt = false;
        if (const auto found = times_of(home)->find(*pin, home.base, log_start_offset(), until, time, is_corrupt, why); found || why) {
            return found;
        }
        if (is_corrupt) {
            why = {errc::corrupt_record, name().text() + ": " + pin->path() + " is damaged; look-ups by time cannot pass it"};
            return std::nullopt;
        }
    }
    return std::nullopt;
}

BROOK_INLINE std::uint64_t log::disk_bytes(failure& why) {
    std::uint64_t all = 0;
    std::vector<os::directory_entry> entries;
    if (const auto code = platform().list(parts_.files.path(), entries)) {
        why = parts_.judged({code, name().text() + ": cannot list " + parts_.files.path()});
        return 0;
    }
    for (const auto& entry : entries) {
        std::uint64_t bytes = 0;
        const std::string path = parts_.files.path() + '/' + entry.name;
        if (const auto code = platform().disk_bytes(path, bytes); code && code != std::errc::no_such_file_or_directory) {
            why = parts_.judged({code, name().text() + ": cannot look at " + path});
        }
        all += bytes;
    }
    return all;
}

BROOK_INLINE failure log::delete_records(offset before) {
    if (parts_.appends.is_forked()) {
        return parts_.forked();
    }
    if (before < 0 || before > readable_end()) {
        return {errc::offset_out_of_range, name().text() + ": records in front of offset " + std::to_string(before) + " cannot be deleted; it ends at " +
                                               std::to_string(readable_end())};
    }
    if (failure why = wait_durable(before)) {
        return why;  // a log must not end before it begins
    }
    const std::scoped_lock guard{parts_.upkeep_mutex};
    if (is_closed()) {
        return refusal();
    }
    failure why = upkeep_.move_start(before);
    return parts_.judged(why ? std::move(why) : upkeep_.drop_deleted());
}

BROOK_INLINE void log::set_high_watermark(offset to) {
    if (!parts_.options.is_replicated || parts_.appends.is_forked()) {
        return;
    }
    {
        const std::scoped_lock alone{parts_.order_mutex};  // it is not cut meanwhile
        const offset end = log_end_offset();
        BROOK_ASSERT(parts_.source.limit() <= end);
        to = to < end ? to : end;
        if (to <= parts_.source.limit()) {
            return;
        }
        parts_.source.raise_limit(to);
    }
    parts_.appends.wake();
}

BROOK_INLINE failure log::append_new(mutable_bytes frame, std::uint32_t epoch, const std::optional<std::int64_t>& now, offset& first) {
    return appending_.append_new(frame, epoch, now, first);
}

BROOK_INLINE failure log::read_frames(offset from, offset until, std::size_t most_bytes, std::vector<std::byte>& into) {
    const auto uncut = parts_.keep_uncut();
    const offset end = log_end_offset();
    if (from > end) {
        return parts_.source.out_of_range(from, end);
    }
    return parts_.judged(parts_.whole_reader().copy_frames(from, until < end ? until : end, most_bytes, into));
}

BROOK_INLINE failure log::find_damage(offset from, std::uint64_t most_bytes, std::vector<offset_range>& found, offset& reached) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    const auto uncut = parts_.keep_uncut();
    reached = from;
    return parts_.judged(frame_repair{parts_.files, parts_.source}.find(high_watermark(), most_bytes, found, reached));
}

BROOK_INLINE failure log::repair(bytes frames) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    const std::scoped_lock alone{parts_.order_mutex};
    const std::scoped_lock guard{parts_.upkeep_mutex};  // nor is it compacted, or deleted
    if (is_closed()) {
        return refusal();
    }
    segment_pin mended;
    segment* home = nullptr;
    // Recovery does not look at what lies before the checkpoint's place, and holds what another boot has written for what the disk has: from here
    // on the place is in front of what is written, and that is this boot's.
    failure why = frame_repair{parts_.files, parts_.source}.mend(frames, mended, [&](segment& one, mapped_segment& memory) {
        home = &one;
        failure untold = parts_.kept.begin_at(one.base);
        return untold ? std::move(untold) : segment_directory::sign(memory, name());
    });
    if (mended) {
        parts_.durable.alone([&] {  // the system tells one of those that sync that it could not
            if (const auto code = mended->sync()) {
                why = {code, name().text() + ": cannot sync " + mended->path() + " after it was repaired"};
                failure told{errc::partition_failed, why.text + "; close the broker, see to the disk, open again"};
                parts_.durable.give_up(told);
                parts_.durable.distrust(*home);
                parts_.appends.stop(append_state::failed, std::move(told));
            }
        });
        if (!why) {
            static_cast<void>(parts_.save_checkpoint());  // else recovery reads more
        }
    }
    parts_.epochs.look_again(log_start_offset(), log_end_offset());
    return parts_.judged(std::move(why));
}

BROOK_INLINE format::epoch_history log::epochs(failure& why) {
    const auto uncut = parts_.keep_uncut();
    return parts_.epochs.history(log_start_offset(), log_end_offset(), why);
}

BROOK_INLINE void log::end(bool is_deleted) noexcept {
    if (parts_.appends.is_forked()) {
        upkeep_.forget_compaction();
    }
    if (!parts_.life.end(is_deleted) || parts_.appends.is_forked()) {
        return;  // a child lets go of nothing: the files are its parent's
    }
    if (parts_.segments.count() == 0) {
        return;  // it did not open
    }
    if (!is_deleted) {
        write_producers();
    }
    parts_.appends.stop(append_state::closed, reason_to_end(is_deleted));
    const std::scoped_lock guard{parts_.upkeep_mutex};
    parts_.claims.close([this](const claim& taken) { abandon(taken, 1); });
    drain();
    if (parts_.options.promises_durability() && !is_deleted) {
        if_memory_allows([&] { static_cast<void>(parts_.durable.wait(parts_.prefix.advance().next, parts_.durable.cuts())); });  // who waits is told; nobody else was promised
    }
    parts_.claims.detach();
    if_memory_allows([&] { upkeep_.stop_compaction(); });  // else what it has made is removed by recovery
    if_memory_allows([&] { parts_.appends.discard_spare(); });
    if (is_deleted) {
        parts_.source.close();
        for (std::size_t i = 0; i < parts_.segments.count(); ++i) {
            parts_.let_go(*parts_.segments.at(i));
        }
        return;
    }
    if_memory_allows([&] { static_cast<void>(parts_.appends.name_taken_spare()); });  // else recovery does it
    if_memory_allows([&] { upkeep_.give_space_back(); });
    if_memory_allows([&] { static_cast<void>(parts_.save_checkpoint()); });  // else recovery reads more
    parts_.source.close();
    for (std::size_t i = 0; i < parts_.segments.count(); ++i) {
        parts_.segments.at(i)->release();
    }
}

BROOK_INLINE failure log::reason_to_end(bool is_deleted) const noexcept {
    try {
        return is_deleted ? refusal() : failure{errc::closed, name().text() + ": closed"};
    } catch (const std::bad_alloc&) {
        return {is_deleted ? errc::unknown_topic_or_partition : errc::closed, {}};
    }
}

BROOK_INLINE failure log::recover() {
    parts_.files.count_in(parts_.options.budget);
    recovered_log found;
    if (failure why = recovery{parts_.files, parts_.options.segment_bytes, parts_.options.is_replicated}.run(found)) {
        return why;
    }
    report_ = std::move(found.report);
    parts_.kept.start(found.checkpoint);
    const format::checkpoint& saved = parts_.kept.saved();
    parts_.last_epoch.store(saved.leader_epoch, std::memory_order_relaxed);
    const offset first = found.segments.front()->base;
    const offset start = saved.log_start_offset > first ? saved.log_start_offset : first;
    segment* const unsynced = found.segments[found.first_unsynced].get();
    parts_.segments.adopt(std::move(found.segments), start);
    parts_.prefix.start({parts_.segments.last(), found.append_at, found.end});
    parts_.durable.start(saved.durable_offset, unsynced);
    if (parts_.options.is_replicated) {
        start_replicated();
    }
    if ((saved.flags & format::checkpoint_flag::producers) != 0) {
        if (failure why = parts_.producers.recall(parts_.whole_reader(), parts_.segments)) {
            return why;
        }
        if (parts_.producers.table().empty()) {
            parts_.kept.forget_flag(format::checkpoint_flag::producers);
        }
    }
    parts_.kept.show_flags();
    parts_.appends.start();
    upkeep_.start(found.first_unsynced, {parts_.segments.last(), found.append_at, found.end});
    if (parts_.options.heeds_budget) {
        parts_.files.heed_budget();  // not before: what is there can always be opened
    }
    upkeep_.remove_deleted();
    if (found.not_moved) {
        const failure told{errc::partition_failed, found.not_moved.text + " (" + found.not_moved.code.message() + "); until then it is read on, and takes no more appends"};
        parts_.durable.give_up(told);
        parts_.appends.stop(append_state::failed, told);
    }
    return {};
}

BROOK_INLINE void log::start_replicated() {
    const offset start = log_start_offset();
    const offset end = log_end_offset();
    offset watermark = parts_.kept.saved().high_watermark < end ? parts_.kept.saved().high_watermark : end;
    frame_view last;
    log_reader looking = parts_.whole_reader();
    if (watermark > start && looking.find(watermark - 1, last)) {
        watermark = last.header.base_offset + last.offsets_taken();  // it was saved before some frames were compacted into one
    }
    parts_.source.limit_to(parts_.prefix, watermark < start ? start : watermark);
    parts_.last_epoch.store(parts_.epochs.recall(parts_.kept.saved(), start, end), std::memory_order_relaxed);
}

BROOK_INLINE void log::write_producers() noexcept {
    try {
        const std::scoped_lock guard{parts_.upkeep_mutex};
        parts_.producers.write(parts_.segments, parts_.appends, durable_offset());
    } catch (const std::exception&) {
        // No memory for it: the next opening reads more.
    }
}

BROOK_INLINE std::shared_ptr<time_index> log::times_of(segment& home) {
    const std::scoped_lock guard{parts_.times_mutex};
    if (!home.times) {
        home.times = std::make_shared<time_index>();
    }
    return home.times;
}

BROOK_INLINE void log::drain() {
    for (log_place before = parts_.prefix.advance();;) {
        const segment_pin pin = before.home->pin();
        if (!pin || (before.home == parts_.segments.last() && before.at >= parts_.appends.claimed().end())) {
            return;
        }
        const bool was_published = pin->word(before.at).is_published();
        const log_place now = parts_.prefix.advance();
        const bool has_moved = now.home != before.home || now.at != before.at;
        if (was_published && !has_moved) {
            return;  // sealed, and there was no room for the next segment
        }
        if (!has_moved) {
            platform().yield();
        }
        before = now;
    }
}

}  // namespace brook::inline BROOK_ABI::storage
