/// \file brook/storage/log_epochs.hpp
/// In which leader epochs a log was written, also where frames of it have rotted.
/// Floor 2, storage. Source: Kafka's LeaderEpochFileCache (KIP-101, KIP-279).
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
#include <brook/storage/log_reader.hpp>

namespace brook::inline BROOK_ABI::storage {

namespace detail {

/// Offsets between which a later epoch begins: what stands there cannot be read. Where `first` is `last` it begins there.
/// Of [low, high), in front of which everything is of `epoch` or an earlier one; `high` where there is no later one.
///
/// Cost      a look-up for each halving; the first ones near `low`, since epochs are short, or long.
[[nodiscard]] inline offset_range find_later_epoch(log_reader& looking, std::uint32_t epoch, offset low, offset high) {
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

}  // namespace detail

/// Of a replicated log: where its leader epochs begin. Kept in memory as it grows and is cut; known again at an opening from the checkpoint,
/// which tells of what was durable, and behind that from the frames. By this two replicas find out how far they are the same, so an epoch
/// is never said to reach further than it does: where a damaged frame hides which of two epochs it was of, the later one is thought to begin
/// in front of it, and that this is not known is told.
///
/// Threads   shared.
/// Cost      an opening: for each epoch that begins behind the durable offset a look-up for each halving of the segments there are, and of the
///           one that it ends in. Of each segment the head is looked at once, and what is looked into is opened once more.
class log_epochs {
public:
    explicit log_epochs(segment_source& source) noexcept : source_{source} {}

    /// The log is [start, end), and was opened with this checkpoint.
    /// Returns   the epoch of its last record; of a log without any, of what was in front.
    [[nodiscard]] std::uint32_t recall(const format::checkpoint& saved, offset start, offset end) {
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

    /// What begins at `first` is about to be published, in this epoch.
    void note(std::uint32_t epoch, offset first) {
        const std::scoped_lock guard{mutex_};
        history_.note(epoch, first);
    }

    /// The log ends at `end` from now on.
    void cut(offset end) {
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

    /// Nothing of the log is left.
    void start_anew() {
        const std::scoped_lock guard{mutex_};
        history_.clear();
        hole_.reset();
    }

    /// What was damaged may not be any more.
    ///
    /// Requires  that nobody appends.
    void look_again(offset start, offset end) {
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

    /// Of the records [start, end); empty where there are none.
    ///
    /// Errors    `why`, beside what is known: corrupt_record, where an epoch begins cannot be told.
    [[nodiscard]] format::epoch_history history(offset start, offset end, failure& why) const {
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

    /// Of the record at an offset; of a damaged one the latest that it can be. nullopt where nothing is known.
    [[nodiscard]] std::optional<std::uint32_t> at(offset wanted) const {
        const std::scoped_lock guard{mutex_};
        const bool is_told = !history_.empty() && history_.starts().front().first <= wanted;
        return is_told ? std::optional{history_.at(wanted)} : std::nullopt;
    }

    /// Has a checkpoint tell of them, as far as they are durable by it: what is not may be lost. And of the epoch of what was durable last.
    void tell(format::checkpoint& told) const {
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

private:
    /// From the frames [from, end), behind what is known.
    /// Returns   `end`; or from where to there nothing can be read, and may be of a later epoch.
    [[nodiscard]] offset read(offset from, offset end) {
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

    struct segment_head {
        offset base;
        std::optional<std::uint32_t> epoch;  // of its first frame, once it was looked at; 0: what is there cannot be read
    };

    /// Between which heads of segments a later epoch begins, or where there is none. So that looking for it stays in one segment, which is opened once:
    /// there may be thousands, of which few can be open.
    [[nodiscard]] static offset_range narrow(log_reader& looking, std::vector<segment_head>& heads, std::uint32_t epoch, offset_range all) {
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

    void note_later(std::uint32_t epoch, offset first) {
        if (history_.empty() || epoch > history_.last()) {
            history_.note(epoch, first);
        }
    }

    void hide(offset first, offset last) noexcept { hole_ = hole_ ? offset_range{hole_->first < first ? hole_->first : first, hole_->last > last ? hole_->last : last} : offset_range{first, last}; }

    segment_source& source_;
    mutable std::mutex mutex_;  // guards what follows; taken behind all others of the log
    format::epoch_history history_;
    std::optional<offset_range> hole_;  // a later epoch begins in it, and nobody can tell where
};

}  // namespace brook::inline BROOK_ABI::storage
