/// \file brook/storage/bodies/log_reader.hpp
/// The functions that log_reader.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure segment_source::out_of_range(offset wanted, offset end) const {
    return {errc::offset_out_of_range, name().text() + ": offset " + std::to_string(wanted) + " is behind the log end offset " + std::to_string(end)};
}

BROOK_INLINE bool segment_source::take_file(const segment& gone) {
    const std::scoped_lock guard{mutex_};
    return !gone.pin() && files_.take_for_recycling(gone.base);
}

BROOK_INLINE void segment_source::close() noexcept {
    const std::scoped_lock guard{mutex_};
    is_closed_.store(true, std::memory_order_release);
}

BROOK_INLINE failure segment_source::refusal() const {
    return life_.is_deleted() ? deleted_topic(name().topic) : failure{errc::closed, name().text() + ": closed"};
}

BROOK_INLINE segment_pin segment_source::map(segment& home, failure& why) {
    segment_summary summary;
    const std::string path = files_.log_path(home.base);
    if (!files_.open_summary(path, summary, why)) {
        return nullptr;
    }
    if (summary.base != home.base) {
        why = {errc::corrupt_record, name().text() + ": " + path + " says in its header that it begins elsewhere; put the right file back"};
        return nullptr;
    }
    segment_pin pin = files_.open(path, files_.index_path(home.base), why);
    if (pin) {
        home.lend(pin);
    }
    return pin;
}

BROOK_INLINE void log_reader::seek(offset wanted) noexcept {
    kept_ = pin_ ? std::move(pin_) : std::move(kept_);
    if (kept_ && !is_kept_for(wanted)) {
        kept_.reset();
    }
    pin_.reset();
    wanted_ = wanted;
    epoch_.reset();
    decoded_ = {};
}

BROOK_INLINE void log_reader::let_go() noexcept {
    pin_.reset();
    kept_.reset();
    decoded_ = {};
    epoch_.reset();
}

BROOK_INLINE bool log_reader::at_end(bool verify) {
    failure why;
    ask_for_limit();
    leave_given_up();
    if (wanted_ < source_->segments().start() || (!pin_ && (why = locate(verify)))) {
        return false;  // the next fetch says why
    }
    for (;;) {
        if (!pin_ || next_ >= limit_) {
            return true;
        }
        frame_view found;
        const look seen = look_here(verify, found);
        if (seen != look::frame) {
            return seen == look::nothing && !home_->ends_in_damage.load(std::memory_order_acquire);
        }
        if (found.kind() == format::frame_kind::data) {
            const transaction_fate fate = fate_of(found);
            if (fate == transaction_fate::open) {
                return true;
            }
            if (fate != transaction_fate::aborted && next_ + found.offsets_taken() > wanted_) {
                return false;
            }
        } else if (found.kind() == format::frame_kind::seal) {
            if (!enter_next(why)) {
                return !why;
            }
            continue;
        }
        advance(found);
        if (next_ > wanted_) {
            wanted_ = next_;
        }
    }
}

BROOK_INLINE failure log_reader::copy_frames(offset from, offset until, std::size_t most, std::vector<std::byte>& into) {
    seek(from);
    ask_for_limit();
    failure why = locate(true);
    const std::size_t before = into.size();
    for (offset reached = next_; !why && pin_ && next_ >= reached && next_ < until;) {  // a compacted segment may begin again in front of it
        frame_view found;
        const look seen = look_here(true, found);
        if (seen != look::frame) {
            if (seen == look::corrupt || home_->ends_in_damage.load(std::memory_order_acquire)) {
                why = damaged();
            }
            break;
        }
        if (found.kind() == format::frame_kind::seal) {
            if (!enter_next(why)) {
                break;
            }
            continue;
        }
        if (const std::uint32_t taken = found.offsets_taken(); taken > 0) {
            const std::size_t copied = into.size() - before;
            if (next_ + taken > until || (copied > 0 && copied + (found.end() - found.at) > most)) {
                break;
            }
            format::to_wire(pin_->seed(), found.at, found.header, found.data, into);
        }
        advance(found);
        reached = next_;
    }
    return into.size() > before ? failure{} : why;
}

BROOK_INLINE bool log_reader::find(offset at, frame_view& found) {
    seek(at);
    ask_for_limit();
    return !locate(true) && pin_ && next_ < limit_ && look_here(true, found) == look::frame && found.kind() != format::frame_kind::seal;
}

BROOK_INLINE std::optional<std::uint32_t> log_reader::epoch_at(offset at) {
    frame_view found;
    return find(at, found) ? std::optional{found.header.leader_epoch} : std::nullopt;
}

BROOK_INLINE bool log_reader::find_from(offset at, frame_view& found) {
    for (;;) {
        seek(at);
        ask_for_limit();
        failure why = locate(true, false);
        while (!why && pin_ && next_ < limit_) {
            const look seen = look_here(true, found);
            if (seen == look::corrupt && find_behind_damage(found)) {
                at_ = found.at;
                next_ = found.header.base_offset;
                continue;
            }
            if (seen != look::frame || found.kind() == format::frame_kind::seal) {
                break;
            }
            if (found.offsets_taken() > 0 && next_ + found.offsets_taken() > at) {
                return true;
            }
            advance(found);
        }
        const segment* const next = home_ != nullptr ? home_->next.load(std::memory_order_acquire) : nullptr;
        if (next == nullptr || next->base <= at) {
            return false;
        }
        at = next->base;
    }
}

BROOK_INLINE void log_reader::leave_given_up() noexcept {
    if (pin_ && history_ != source_->history()) [[unlikely]] {
        seek(next_ > wanted_ ? next_ : wanted_);
    }
}

BROOK_INLINE bool log_reader::is_kept_for(offset wanted) const noexcept {
    const segment* const next = home_->next.load(std::memory_order_acquire);
    return !kept_->is_gone.load(std::memory_order_relaxed) && wanted >= home_->base && (next == nullptr || wanted < next->base);
}

BROOK_INLINE failure log_reader::locate(bool verify, bool must_be_there) {
    const segment_pin kept = std::exchange(kept_, nullptr);  // until its place has been found
    failure why;
    history_ = source_->history();
    if (wanted_ > limit_) [[unlikely]] {
        pin_.reset();
        epoch_.reset();
        return source_->judge_behind_limit(wanted_);
    }
    do {
        why = {};
        home_ = source_->segments().find(wanted_);
        pin_ = source_->pin(*home_, why);
    } while (home_->is_replaced.load(std::memory_order_acquire));
    if (must_be_there && wanted_ < source_->segments().start()) {  // behind the look, which may have found what is first now
        pin_.reset();
        epoch_.reset();
        return below_start();
    }
    if (!pin_) {
        return why;
    }
    // At the limit, from the last frame in front of it: what stands behind is not to be looked at, and may get another place.
    const walk_start start = find_start(*pin_, home_->base, wanted_ == limit_ && wanted_ > home_->base ? wanted_ - 1 : wanted_, pin_->readable());
    at_ = start.at;
    next_ = start.next;
    look seen = look::nothing;
    while (next_ < limit_) {
        frame_view found;
        seen = look_here(verify, found);
        if (seen == look::corrupt && step_over_damage(found)) {
            continue;
        }
        if (seen != look::frame || found.kind() == format::frame_kind::seal || next_ + found.offsets_taken() > wanted_) {
            break;
        }
        advance(found);
    }
    if (seen == look::nothing && next_ < wanted_ && !home_->ends_in_damage.load(std::memory_order_acquire)) {
        pin_.reset();
        epoch_.reset();
        return source_->out_of_range(wanted_, next_);
    }
    if (next_ != wanted_) {
        epoch_.reset();  // in the middle of a batch, which it has not passed
    }
    return {};
}

BROOK_INLINE bool log_reader::find_behind_damage(frame_view& found) const noexcept {
    const segment* const after = home_->next.load(std::memory_order_acquire);
    return find_frame(*pin_, at_ + format::frame_alignment, next_, found) && found.header.base_offset - home_->base <= most_offsets_in_front &&
           (after == nullptr || found.header.base_offset <= after->base);
}

BROOK_INLINE bool log_reader::step_over_damage(frame_view& found) {
    if (!find_behind_damage(found) || found.header.base_offset > wanted_) {
        return false;
    }
    at_ = found.at;
    next_ = found.header.base_offset;
    epoch_.reset();
    return true;
}

BROOK_INLINE bool log_reader::enter_next(failure& why, bool must_be_there) {
    segment* const next = home_->next.load(std::memory_order_acquire);
    if (next == nullptr) {
        return false;
    }
    if (next->base != next_) {
        why = {errc::corrupt_record, place_text(source_->name(), *pin_, at_, next_) + ": the next segment begins at offset " +
                                         std::to_string(next->base) + "; a file between them is missing"};
        return false;
    }
    segment_pin pin = source_->pin(*next, why);
    if (next->is_replaced.load(std::memory_order_acquire)) {  // behind the look: its name may be another's by now
        why = {};
        return enter_replaced(why, must_be_there);
    }
    if (!pin) {
        if (next_ < source_->segments().start()) {
            why = below_start();  // its file was deleted meanwhile
        }
        return false;
    }
    home_ = next;
    pin_ = std::move(pin);
    at_ = format::segment_header_size;
    return true;
}

BROOK_INLINE bool log_reader::enter_replaced(failure& why, bool must_be_there) {
    wanted_ = next_ > wanted_ ? next_ : wanted_;
    why = locate(true, must_be_there);
    return !why && pin_;
}

BROOK_INLINE failure log_reader::below_start() const {
    return {errc::offset_out_of_range, source_->name().text() + ": offset " + std::to_string(wanted_) + " is below the log start offset " +
                                           std::to_string(source_->segments().start())};
}

BROOK_INLINE failure log_reader::damaged() const {
    source_->note_damage();
    const segment* const next = home_->next.load(std::memory_order_acquire);
    frame_view found;
    std::string beyond = "nothing intact follows";
    if (find_behind_damage(found)) {
        beyond = std::string{"intact again from offset "} + std::to_string(found.header.base_offset);
    } else if (next != nullptr) {
        beyond = std::string{"intact again from offset "} + std::to_string(next->base);
    }
    return {errc::corrupt_record, place_text(source_->name(), *pin_, at_, next_) + ": not what was written there; " + beyond +
                                      " (seek there to go on without what lies between)"};
}

}  // namespace brook::inline BROOK_ABI::storage
