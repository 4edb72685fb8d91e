/// \file brook/storage/bodies/log_epochs.hpp
/// The functions that log_epochs.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_epochs.hpp>
#include <brook/storage/log_reader.hpp>

namespace brook::inline BROOK_ABI::storage::detail {

BROOK_INLINE offset_range find_later_epoch(log_reader& looking, std::uint32_t epoch, offset low, offset high) {
    offset readable = high;  // nothing of [readable, high) can be read
    frame_view found;
    const auto end_of_found = [&] { return found.header.base_offset + offset{found.offsets_taken()}; };
    const auto look_at = [&](offset at) {  // false: not by this look
        if (!looking.find_from(at, found) || found.header.base_offset >= readable) {
            readable = at;
            return false;
        }
        if (found.header.leader_epoch <= epoch) {
            low = end_of_found() < high ? end_of_found() : high;
            return true;
        }
        const offset base = found.header.base_offset > low ? found.header.base_offset : low;
        high = base;
        readable = base < at ? base : at;
        return false;
    };
    for (offset step = 1; low < readable && step < readable - low && look_at(low + step); step *= 2) {
    }
    while (low < readable) {
        static_cast<void>(look_at(low + (readable - low) / 2));
    }
    return {low < high ? low : high, high};
}

}  // namespace brook::inline BROOK_ABI::storage::detail

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE std::uint32_t log_epochs::recall(const format::checkpoint& saved, offset start, offset end) {
    const std::scoped_lock guard{mutex_};
    history_.clear();
    hole_.reset();
    if (start >= end) {
        return saved.leader_epoch;
    }
    format::epoch_history told = saved.told_epochs();
    const offset told_end = saved.epochs_end < end ? saved.epochs_end : end;
    told.cut(told_end);
    told.start(start);
    offset known = end;
    if (told.empty() || told_end <= start) {
        known = read(start, end);
    } else {
        const offset told_from = told.starts().front().first;
        for (const format::epoch_start& one : told.starts()) {
            note_later(one.epoch, one.first == told_from ? read(start, told_from) : one.first);
        }
        known = read(told_end, end);
    }
    if (known < end && saved.leader_epoch > 0) {
        note_later(saved.leader_epoch, known);  // it has one record of that at least
    }
    return history_.last();
}

BROOK_INLINE void log_epochs::note(std::uint32_t epoch, offset first) {
    const std::scoped_lock guard{mutex_};
    history_.note(epoch, first);
}

BROOK_INLINE void log_epochs::cut(offset end) {
    const std::scoped_lock guard{mutex_};
    if (end <= source_.segments().start()) {
        history_.clear();  // also of what was in front: what is going to be appended may be of an older epoch
    }
    history_.cut(end);
    if (hole_ && hole_->last > end) {
        hole_->last = end;
    }
    if (hole_ && hole_->first >= hole_->last) {
        hole_.reset();
    }
}

BROOK_INLINE void log_epochs::start_anew() {
    const std::scoped_lock guard{mutex_};
    history_.clear();
    hole_.reset();
}

BROOK_INLINE void log_epochs::look_again(offset start, offset end) {
    const std::scoped_lock guard{mutex_};
    if (hole_) {
        const offset from = hole_->first > start ? hole_->first : start;
        const std::uint32_t last = history_.last();
        hole_.reset();
        history_.cut(from);
        if (const offset known = read(from, end); known < end) {
            note_later(last, known);
        }
    }
}

BROOK_INLINE format::epoch_history log_epochs::history(offset start, offset end, failure& why) const {
    const std::scoped_lock guard{mutex_};
    format::epoch_history found;
    if (start >= end) {
        return found;
    }
    for (const format::epoch_start& one : history_.starts()) {
        if (one.first >= end) {
            break;
        }
        if (one.first <= start) {
            found.clear();
        }
        found.note(one.epoch, one.first > start ? one.first : start);
    }
    if (hole_ && hole_->last > start) {
        why = {errc::corrupt_record, source_.name().text() + ": in which leader epochs offsets " + std::to_string(hole_->first) + " to " +
                                         std::to_string(hole_->last - 1) + " were appended cannot be told, since what stands there is damaged; another replica's "
                                         "records have to be put there"};
    }
    return found;
}

BROOK_INLINE std::optional<std::uint32_t> log_epochs::at(offset wanted) const {
    const std::scoped_lock guard{mutex_};
    const bool is_told = !history_.empty() && history_.starts().front().first <= wanted;
    return is_told ? std::optional{history_.at(wanted)} : std::nullopt;
}

BROOK_INLINE void log_epochs::tell(format::checkpoint& told) const {
    const std::scoped_lock guard{mutex_};
    told.forget_epochs();
    if (told.durable_offset <= told.log_start_offset) {
        return;
    }
    const bool has_hole = hole_ && hole_->first < told.durable_offset && hole_->last > told.log_start_offset;
    told.tell_epochs(history_, has_hole ? hole_->first : told.durable_offset);
    if (!told.is_cutting() && !has_hole && !history_.empty() && history_.starts().front().first < told.durable_offset) {
        told.leader_epoch = history_.at(told.durable_offset - 1);
    }
}

BROOK_INLINE offset log_epochs::read(offset from, offset end) {
    log_reader looking{source_};
    looking.read_uncommitted_tail(true);
    std::vector<segment_head> heads;
    for (const segment* const one : source_.segments().all()) {
        if (one->base > from && one->base < end) {
            heads.push_back({one->base, std::nullopt});
        }
    }
    for (frame_view found; from < end;) {
        if (!looking.find_from(from, found) || found.header.base_offset >= end) {
            hide(from, end);
            return from;
        }
        const std::uint32_t epoch = found.header.leader_epoch;
        const offset first = found.header.base_offset > from ? found.header.base_offset : from;
        if (first > from && (history_.empty() || epoch != history_.last())) {
            hide(from, first);
        }
        note_later(epoch, from);
        const offset_range within = narrow(looking, heads, epoch, {first, end});
        const offset_range next = detail::find_later_epoch(looking, epoch, within.first, within.last);
        if (next.first < next.last && next.last == end) {
            hide(next.first, end);
            return next.first;
        }
        from = next.first;
    }
    return end;
}

BROOK_INLINE offset_range log_epochs::narrow(log_reader& looking, std::vector<segment_head>& heads, std::uint32_t epoch, offset_range all) {
    const auto epoch_of = [&](segment_head& head) {
        if (frame_view found; !head.epoch) {
            head.epoch = looking.find_from(head.base, found) && found.header.base_offset == head.base ? found.header.leader_epoch : 0;
        }
        return *head.epoch;
    };
    const std::size_t begin = count_before(heads.size(), [&](std::size_t i) { return heads[i].base <= all.first; });
    const std::size_t later = begin + count_before(heads.size() - begin, [&](std::size_t i) { return epoch_of(heads[begin + i]) <= epoch; });
    std::size_t before = later;
    while (before > begin && (epoch_of(heads[before - 1]) == 0 || epoch_of(heads[before - 1]) > epoch)) {
        --before;  // which cannot be read may have led astray
    }
    return {before > begin ? heads[before - 1].base : all.first, later < heads.size() ? heads[later].base : all.last};
}

BROOK_INLINE void log_epochs::note_later(std::uint32_t epoch, offset first) {
    if (history_.empty() || epoch > history_.last()) {
        history_.note(epoch, first);
    }
}

}  // namespace brook::inline BROOK_ABI::storage
