/// \file brook/storage/bodies/compaction_pass.hpp
/// The functions that compaction_pass.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/compaction_output.hpp>
#include <brook/storage/compaction_pass.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE compaction_pass::compaction_pass(segment_directory& files, segment_chain& segments, segment_source& source, retention& ages,
                                              plan&& to_do)
    : files_{files},
      segments_{segments},
      source_{source},
      ages_{ages},
      held_from_{to_do.dirty_from},
      plan_{behind_damage(std::move(to_do))},
      count_{plan_.sources.size() - 1},
      start_{segments.start()},
      dirty_{plan_.dirty_from, plan_.sources.back()->base, plan_.memory, files.platform().random()},
      compacted_to_{held_from_ < plan_.dirty_from ? held_from_ : dirty_.end()},
      is_left_out_(count_) {
    while (i_ < count_ && end_of(i_) <= dirty_.from()) {
        ++i_;
    }
}

BROOK_INLINE auto compaction_pass::behind_damage(plan&& of) noexcept -> plan {
    for (std::size_t i = 0; i + 1 < of.sources.size(); ++i) {
        const offset end = of.sources[i + 1]->base;
        if (end > of.dirty_from) {
            if (!of.sources[i]->ends_in_damage.load(std::memory_order_relaxed)) {
                break;
            }
            of.dirty_from = end;
        }
    }
    return std::move(of);
}

BROOK_INLINE bool compaction_pass::enter(failure& why) {
    if (pin_) {
        return true;
    }
    segment& home = *plan_.sources[i_];
    at_ = format::segment_header_size;
    next_ = home.base;
    if (is_left_out_[i_] == 0 && !home.ends_in_damage.load(std::memory_order_relaxed)) {
        pin_ = source_.pin(home, why);
        if (why && segments_.start() >= end_of(i_)) {  // deleted meanwhile
            why = {};
            is_left_out_[i_] = 1;
            return false;
        }
        if (why && why.code != errc::corrupt_record) {
            return false;
        }
    }
    if (!pin_) {
        leave_out(why ? std::exchange(why, {}) : failure{errc::corrupt_record, files_.name().text() + ": " + files_.log_path(home.base) + " ends in damage"});
    }
    return pin_ != nullptr;
}

BROOK_INLINE void compaction_pass::leave() noexcept {
    pin_.reset();
    at_ = format::segment_header_size;
}

BROOK_INLINE auto compaction_pass::look(trust how, frame_view& found) -> seen {
    if (look_at(*pin_, at_, next_, how, found) != storage::look::frame) {
        return seen::broken;
    }
    const offset left = end_of(i_) - next_;
    if (found.kind() == format::frame_kind::seal) {
        return left == 0 ? seen::end : seen::broken;
    }
    const std::uint32_t taken = found.offsets_taken();
    const bool is_nothing = taken == 0 && (found.kind() == format::frame_kind::data || found.kind() == format::frame_kind::control);
    return taken <= left && !is_nothing ? seen::frame : seen::broken;
}

BROOK_INLINE void compaction_pass::pass_over(const frame_view& found) noexcept {
    next_ += found.offsets_taken();
    at_ = found.end();
    spent_ += found.end() - found.at;
}

BROOK_INLINE bool compaction_pass::lone_frames::see(position at, offset expected, format::frame_word& word) const noexcept {
    if (end_ < format::frame_header_size || at > end_ - format::frame_header_size) {
        return false;
    }
    word = load<format::frame_word>(memory_.frame(at));
    return word.is_published() && word.size() >= format::frame_header_size && word.size() <= end_ - at && load<offset>(memory_.frame(at) + 16) == expected;
}

BROOK_INLINE failure compaction_pass::damage_here() const {
    return {errc::corrupt_record, place_text(files_.name(), *pin_, at_, next_) + ": not what was written there"};
}

BROOK_INLINE void compaction_pass::leave_out(failure why) {
    is_left_out_[i_] = 1;
    hold_back();
    if (!why_left_out_) {
        why_left_out_ = {why.code, why.text + "; compaction leaves the segment as it is, until it can be read"};
    }
}

BROOK_INLINE void compaction_pass::hold_back() noexcept {
    const offset base = plan_.sources[i_]->base;
    compacted_to_ = base < compacted_to_ ? base : compacted_to_;
}

BROOK_INLINE bool compaction_pass::open_frame(const frame_view& found, frame_view& readable, failure& why) {
    readable = found;
    if (format::codec_of(found.header.attributes) == format::codec_none) {
        return true;
    }
    if (!decoded_.is_of(found)) {
        decoded_ = decoded_batch::make(*pin_, found, why);
        spent_ += decoded_.length();
    }
    if (decoded_) {
        readable = decoded_.frame();
    }
    return static_cast<bool>(decoded_);
}

BROOK_INLINE std::uint32_t compaction_pass::stamp_of(const frame_view& found) noexcept {
    return (found.header.extension & format::extension::detail) == 0 ? 0
                                                                     : load<format::batch_detail>(found.data + format::detail_at(found.header.extension)).compacted_at;
}

BROOK_INLINE void compaction_pass::note_more(failure& why) {
    while (part_ == part::note && !why && spent_ < slice_) {
        if (i_ == count_ || plan_.sources[i_]->base >= dirty_.end()) {
            static_cast<void>(is_noted(dirty_.finish()));
            begin_second();
        } else if (!enter(why)) {
            i_ += why ? 0 : 1;
        } else if (next_ >= dirty_.from() && !note_lone()) {
            begin_second();  // no more keys fit
        } else {
            note_next(why);
        }
    }
}

BROOK_INLINE void compaction_pass::note_next(failure& why) {
    frame_view found;
    switch (look(next_ < dirty_.from() ? trust::written_here : trust::verify, found)) {
        case seen::frame:
            if (note_frame(found, why)) {
                pass_over(found);
                return;
            }
            if (!why) {
                begin_second();  // no more keys fit
                return;
            }
            leave_out(std::exchange(why, {}));
            break;
        case seen::broken: leave_out(damage_here()); break;
        case seen::end: break;
    }
    leave();
    ++i_;
}

BROOK_INLINE bool compaction_pass::note_lone() {
    const lone_frames here{*pin_};
    for (format::frame_word word; next_ < dirty_.end() && spent_ < slice_ && here.see(at_, next_, word) && word.is_bare_lone();) {
        const std::byte* const frame = pin_->frame(at_);
        if (!format::bare_lone_fits(frame, word) || !format::has_checksum(pin_->seed(), at_, word, frame)) {
            break;
        }
        if (const format::record_slice record{frame}; record.has_key() && !is_noted(dirty_.note(record.key(), next_))) {
            return false;
        }
        step_over(word);
    }
    return true;
}

BROOK_INLINE void compaction_pass::step_over(format::frame_word word) noexcept {
    ++next_;
    at_ += word.length();
    spent_ += word.length();
}

BROOK_INLINE void compaction_pass::begin_second() noexcept {
    dirty_.stop_asking();
    leave();
    i_ = 0;
    part_ = part::choose;
}

BROOK_INLINE bool compaction_pass::note_frame(const frame_view& found, failure& why) {
    if (found.kind() != format::frame_kind::data || next_ + found.offsets_taken() <= dirty_.from() || source_.fate_of(found) != transaction_fate::committed) {
        return true;
    }
    frame_view readable;
    if (!open_frame(found, readable, why)) {
        return false;
    }
    format::record_walk records{readable.header, readable.data};
    for (format::record_slice record; records.next(record);) {
        const offset at = record.offset();
        if (at < dirty_.from() || at >= dirty_.end() || !record.has_key()) {
            continue;
        }
        if (!is_noted(dirty_.note(record.key(), at))) {
            return false;
        }
    }
    if (records.is_malformed()) {
        why = damage_here();
    }
    return !records.is_malformed();
}

BROOK_INLINE bool compaction_pass::is_noted(bool fits) noexcept {
    compacted_to_ = dirty_.end() < compacted_to_ ? dirty_.end() : compacted_to_;
    return fits;
}

BROOK_INLINE failure compaction_pass::choose() {
    if (is_beyond(i_)) {
        part_ = output_ ? part::close : part::ended;
        return {};
    }
    if (is_left_out_[i_] == 0 && end_of(i_) - plan_.sources[i_]->base > most_span) {
        leave_out({errc::corrupt_record, files_.name().text() + ": " + files_.log_path(plan_.sources[i_]->base) + " takes more offsets than a segment has"});
    }
    if (is_left_out_[i_] != 0) {
        tombstones_may_go_ = false;
        stay();
        return {};
    }
    if (is_clean(i_) && !is_judged_) {
        part_ = part::judge;
        return {};
    }
    const bool is_unchanged = is_clean(i_) && !is_changed_;
    const std::uint64_t bytes = used_of(i_);
    if (output_ && (end_of(i_) - group_.front()->base > most_span || is_much_younger(i_) || (is_unchanged && output_->size() + bytes > plan_.segment_bytes))) {
        part_ = part::close;
        return {};
    }
    const bool may_be_joined = !is_beyond(i_ + 1) && is_left_out_[i_ + 1] == 0 && bytes + used_of(i_ + 1) <= plan_.segment_bytes;
    if (is_unchanged && !output_ && !may_be_joined) {
        stay();
        return {};
    }
    if (!output_) {
        output_ = std::make_unique<compaction_output>(files_, plan_.sources[i_]->base);
        if (failure why = output_->create()) {
            return why;
        }
    }
    part_ = part::copy;
    leave();
    keeps_next_ = 0;
    return output_->set_mark(mark_);
}

BROOK_INLINE bool compaction_pass::is_much_younger(std::size_t i) const noexcept {
    return plan_.joined_within && plan_.sources[i]->sealed_at.load(std::memory_order_relaxed) - group_.front()->sealed_at.load(std::memory_order_relaxed) >
                                      plan_.joined_within->count();
}

BROOK_INLINE void compaction_pass::stay() noexcept {
    if (output_) {
        part_ = part::close;
    } else {
        go_on();
    }
}

BROOK_INLINE void compaction_pass::go_on() noexcept {
    leave();
    ++i_;
    keeps_.clear();
    seconds_now_ = 0;
    is_judged_ = false;
    is_changed_ = false;
    part_ = part::choose;
}

BROOK_INLINE void compaction_pass::judge_more(failure& why) {
    const std::int64_t since = plan_.sources[i_]->tombstones_since.load(std::memory_order_relaxed);
    const bool has_dead = since != 0 && tombstones_may_go_ && is_over(since);
    const bool has_deleted = plan_.sources[i_]->base < start_;
    if (dirty_.empty() && !has_dead && !has_deleted) {
        judged();
        return;
    }
    while (part_ == part::judge && spent_ < slice_) {
        if (!enter(why)) {
            part_ = part::choose;
            return;
        }
        frame_view found;
        switch (look(trust::verify, found)) {  // rot may be another's key
            case seen::frame:
                if (judge_frame(found, why)) {
                    pass_over(found);
                    continue;
                }
                leave_out(std::exchange(why, {}));
                break;
            case seen::broken: leave_out(damage_here()); break;
            case seen::end:
                dirty_.finish_asking([this](std::uint32_t number) { drop(number); });
                judged();
                return;
        }
        dirty_.stop_asking();
        leave();
        part_ = part::choose;
    }
}

BROOK_INLINE void compaction_pass::judged() noexcept {
    is_judged_ = true;
    part_ = part::choose;
    leave();
}

BROOK_INLINE bool compaction_pass::judge_frame(const frame_view& found, failure& why) {
    if (found.kind() != format::frame_kind::data) {
        return true;
    }
    const transaction_fate fate = source_.fate_of(found);
    if (fate == transaction_fate::unknown) {
        return true;  // stays whole
    }
    frame_view readable;
    if (!open_frame(found, readable, why)) {
        return false;
    }
    const std::uint32_t stamp = stamp_of(found);
    format::record_walk records{readable.header, readable.data};
    for (format::record_slice record; records.next(record);) {
        const bool goes = fate == transaction_fate::aborted || record.offset() < start_ || is_dead(record, stamp);
        keeps_.push_back(!goes);
        is_changed_ |= goes;
        if (goes || !record.has_key()) {
            continue;
        }
        dirty_.ask(record.key(), static_cast<std::uint32_t>(keeps_.size() - 1), [this](std::uint32_t number) { drop(number); });
    }
    if (records.is_malformed()) {
        why = damage_here();
    }
    return !records.is_malformed();
}

BROOK_INLINE void compaction_pass::drop(std::uint32_t number) {
    keeps_[number] = false;
    is_changed_ = true;
}

BROOK_INLINE bool compaction_pass::is_over(std::int64_t since) const {
    return plan_.delete_retention.count() == 0 || ages_.has_passed(since, plan_.delete_retention);
}

BROOK_INLINE bool compaction_pass::is_dead(const format::record_slice& record, std::uint32_t stamp) const {
    return !record.has_value() && stamp != 0 && record.offset() < plan_.compacted && tombstones_may_go_ && is_over(std::int64_t{stamp} * 1'000'000'000);
}

BROOK_INLINE bool compaction_pass::stays(const format::record_slice& record, std::uint32_t stamp) const {
    const offset at = record.offset();
    if (at < start_ || is_dead(record, stamp)) {
        return false;
    }
    if (at >= dirty_.end() || !record.has_key()) {
        return true;
    }
    return at >= dirty_.from() ? !dirty_.is_superseded(at) : !dirty_.has(record.key());
}

BROOK_INLINE void compaction_pass::copy_more(failure& why) {
    while (part_ == part::copy && !why && spent_ < slice_) {
        if (!enter(why)) {
            if (!why) {
                take_back();
            }
            return;
        }
        if (!is_judged_) {
            pass_superseded();
        }
        copy_next(why);
    }
}

BROOK_INLINE void compaction_pass::copy_next(failure& why) {
    frame_view found;
    switch (look(trust::written_here, found)) {
        case seen::frame: break;
        case seen::broken: leave_out(damage_here()); take_back(); return;
        case seen::end: end_source(); return;
    }
    bool is_broken = false;
    why = copy_frame(found, is_broken);
    if (is_broken) {
        leave_out(why ? std::exchange(why, {}) : damage_here());
        take_back();
        return;
    }
    if (why.code == std::errc::file_too_large) {  // what is left of it takes more than it did
        leave_out(std::exchange(why, {}));
        take_back();
        return;
    }
    if (why) {
        return;
    }
    output_->end_frame(next_ + found.offsets_taken());
    pass_over(found);
    if (!group_.empty() && output_->size() > plan_.segment_bytes) {
        take_back();  // it begins the next one
    }
}

BROOK_INLINE void compaction_pass::pass_superseded() noexcept {
    const lone_frames here{*pin_};
    for (format::frame_word word; spent_ < slice_ && next_ >= dirty_.from() && next_ < dirty_.end() && dirty_.is_superseded(next_) && here.see(at_, next_, word) && word.is_plain_lone() &&
                                  format::load_header(pin_->frame(at_)).leader_epoch == output_->epoch();) {
        step_over(word);
    }
    output_->end_frame(next_);
}

BROOK_INLINE void compaction_pass::take_back() noexcept {
    leave();
    if (group_.empty()) {
        output_.reset();
        part_ = part::choose;
        return;
    }
    part_ = part::close;
    output_->return_to(mark_);
}

BROOK_INLINE void compaction_pass::end_source() {
    group_.push_back(plan_.sources[i_]);
    is_group_changed_ |= is_changed_ || !is_clean(i_);
    go_on();
}

BROOK_INLINE failure compaction_pass::copy_frame(const frame_view& found, bool& is_broken) {
    const bool is_data = found.kind() == format::frame_kind::data;
    if (found.offsets_taken() == 0) {
        return {};  // one of the log's own marks
    }
    if (failure why = output_->begin_frame(next_, found.header.leader_epoch); why || !is_data) {
        is_broken = !why && !is_intact(found);  // its offsets and its epoch are what stays of it
        return why;
    }
    const transaction_fate fate = source_.fate_of(found);
    if (fate == transaction_fate::unknown) {
        is_broken = !is_intact(found);
        hold_back();
        tombstones_may_go_ = false;
        return is_broken ? failure{} : output_->keep_whole(found, most_inflated(pin_->capacity()));
    }
    failure why;
    frame_view readable;
    if (!open_frame(found, readable, why)) {
        is_broken = true;
        return why;
    }
    if (!is_judged_ && next_ < dirty_.from() && !is_intact(found)) {  // the rest was looked at when keys were noted
        is_broken = true;
        return {};
    }
    const std::uint32_t stamp = stamp_of(found);
    const bool is_part = (found.header.attributes & format::attribute::transactional) != 0;
    if ((found.header.attributes & format::attribute::lone) != 0) {
        return copy_lone(found, fate == transaction_fate::committed, is_part, is_broken);
    }
    decided_.clear();
    std::size_t kept = 0;
    bool has_new_tombstone = false;
    bool has_tombstone = false;
    format::record_walk records{readable.header, readable.data};
    for (format::record_slice record; records.next(record);) {
        const bool is_kept = is_judged_ && keeps_next_ < keeps_.size() ? keeps_[keeps_next_++] : stays(record, stamp);
        decided_.push_back(is_kept && fate == transaction_fate::committed);
        kept += decided_.back() ? 1 : 0;
        has_tombstone |= !record.has_value();
        has_new_tombstone |= !record.has_value() && stamp == 0 && record.offset() < dirty_.end();
    }
    if (records.is_malformed() || (kept > 0 && !is_intact(found))) {
        is_broken = true;
        return {};
    }
    if (kept == 0) {
        return {};
    }
    if (kept == decided_.size() && !has_new_tombstone && !is_part && format::word_of(found.header).size() >= least_whole) {
        if (has_tombstone) {
            output_->note_tombstones(stamp);
        }
        return output_->keep_whole(found, format::word_of(readable.header).size());
    }
    return copy_records(readable, format::codec_of(found.header.attributes), stamp);
}

BROOK_INLINE failure compaction_pass::copy_lone(const frame_view& found, bool is_committed, bool is_part, bool& is_broken) {
    format::record_slice record;
    is_broken = !record.look_at_lone(found.data, format::word_of(found.header));
    if (is_broken) {
        return {};
    }
    const bool stays_here = is_judged_ && keeps_next_ < keeps_.size() ? keeps_[keeps_next_++] : stays(record, 0);
    if (!stays_here || !is_committed) {
        return {};
    }
    is_broken = !is_intact(found);
    if (is_broken) {
        return {};
    }
    const bool is_large = format::word_of(found.header).size() >= least_whole_lone;
    if (is_large && !is_part && (record.has_value() || record.offset() >= dirty_.end())) {
        return output_->keep_whole(found, format::word_of(found.header).size());
    }
    const compaction_output::origin from{record.is_append_time(), format::codec_none, 0};
    return output_->keep(record, from, record.offset() >= dirty_.end() || record.has_value() ? 0 : seconds_now());
}

BROOK_INLINE failure compaction_pass::copy_records(const frame_view& readable, unsigned codec, std::uint32_t stamp) {
    const compaction_output::origin from{(readable.header.attributes & format::attribute::append_time) != 0, codec, format::word_of(readable.header).size()};
    format::record_walk records{readable.header, readable.data};
    std::size_t k = 0;
    for (format::record_slice record; records.next(record); ++k) {
        if (!decided_[k]) {
            continue;
        }
        const std::uint32_t compacted_at = stamp != 0 || record.offset() >= dirty_.end() ? stamp : seconds_now();
        if (failure why = output_->keep(record, from, compacted_at)) {
            return why;
        }
    }
    return {};
}

BROOK_INLINE std::uint32_t compaction_pass::seconds_now() {
    if (seconds_now_ == 0) {
        const std::int64_t seconds = ages_.stamp(nullptr) / 1'000'000'000 + 1;
        seconds_now_ = seconds < 1 ? 1 : seconds > 0xffff'ffff ? 0xffff'ffffu : static_cast<std::uint32_t>(seconds);
    }
    return seconds_now_;
}

}  // namespace brook::inline BROOK_ABI::storage
