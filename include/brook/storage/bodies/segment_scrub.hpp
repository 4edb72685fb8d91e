/// \file brook/storage/bodies/segment_scrub.hpp
/// The functions that segment_scrub.hpp declares.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/file_window.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_scrub.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE void segment_scrub::walk() {
    while (goes_on_) {
        switch (look_at(at_, next_, next_)) {
            case seen::frame: accept(); break;
            case seen::nothing: pass_gap(); break;
            case seen::corrupt: pass_damage(log_break::kind::corrupt); break;
            case seen::unreadable: pass_damage(log_break::kind::unreadable); break;
        }
    }
    into_.report.is_walked = true;
    into_.report.used_bytes = at_;
    into_.report.end_offset = next_;
    into_.healed = window_.healed();
}

BROOK_INLINE void segment_scrub::check_index(const os::file& index) {
    file_window slots{index};
    std::uint64_t size = 0;
    if (index.size(size)) {
        return;
    }
    slots.set_end(size);
    for (std::uint32_t k = 0; k < expected_.size() && (std::uint64_t{k} + 1) * sizeof(index_slot) <= size; ++k) {
        const index_slot right = expected_[k];
        const std::uint64_t at = std::uint64_t{k} * sizeof(index_slot);
        const std::byte* const raw = right.at == 0 ? nullptr : slots.look(at, sizeof(index_slot));
        if (raw == nullptr) {
            continue;  // no frame is known to cover that byte, or the index cannot be read there
        }
        const auto slot = load<index_slot>(raw);
        ++into_.report.index_slots;
        if (slot.at != 0 && (slot.at != right.at || slot.relative_offset != right.relative_offset)) {
            into_.first_wrong_slot = into_.report.wrong_index_slots++ == 0 ? at : into_.first_wrong_slot;
        }
    }
}

BROOK_INLINE bool segment_scrub::exists(std::uint64_t end) {
    if (end > size_) {
        std::uint64_t size = 0;
        if (!file_.size(size)) {
            size_ = size < summary_.birth.capacity ? size : summary_.birth.capacity;
            window_.set_end(size_);
        }
    }
    return end <= size_;
}

BROOK_INLINE auto segment_scrub::look_at(std::uint64_t at, offset low, offset high) -> seen {
    seen result = look_once(at, low, high);
    for (int again = 0; again < 2 && result == seen::corrupt && !has_searched_enough(); ++again) {
        std::array<std::byte, sizeof(format::frame_word)> word;
        if (file_.read_at(at, word)) {
            break;
        }
        if (!load<format::frame_word>(word.data()).is_published()) {
            return seen::nothing;
        }
        window_.forget();  // published before what is read now: all of it is there
        result = look_once(at, low, high);
    }
    return result;
}

BROOK_INLINE auto segment_scrub::look_once(std::uint64_t at, offset low, offset high) -> seen {
    if (!exists(at + format::frame_header_size)) {
        return seen::nothing;
    }
    for (int attempt = 0; attempt < 4; ++attempt) {
        const std::byte* frame = window_.look(at, format::frame_header_size);
        if (frame == nullptr) {
            return seen::unreadable;
        }
        const auto word = load<format::frame_word>(frame);
        if (!word.is_published()) {
            return seen::nothing;
        }
        const offset base = format::load_header(frame).base_offset;
        if (word.size() < format::frame_header_size || base < low || base > high || !exists(at + word.length())) {
            return seen::corrupt;  // before its size is believed
        }
        frame = window_.look(at, word.size());
        if (frame == nullptr) {
            return seen::unreadable;
        }
        if (load<format::frame_word>(frame).raw() != word.raw()) {
            continue;  // read anew for its size, and it has changed
        }
        if (!leaves_room_for_seal(summary_.birth.capacity, at, word) || base - base_ > most_offsets_in_front ||
            !format::verifies(summary_.birth.seed, static_cast<position>(at), static_cast<position>(size_), frame) ||
            format::offsets_taken(format::load_header(frame), frame) > format::most_offsets_taken) {
            hashed_ += word.size();
            return seen::corrupt;
        }
        frame_ = frame;
        header_ = format::load_header(frame);
        return seen::frame;
    }
    return seen::corrupt;
}

BROOK_INLINE offset segment_scrub::highest_base() const noexcept {
    constexpr offset largest = std::numeric_limits<offset>::max();
    return next_ > largest - most_offsets_ahead ? largest : next_ + most_offsets_ahead;
}

BROOK_INLINE void segment_scrub::accept() {
    const format::frame_word word = format::word_of(header_);
    const std::uint32_t taken = format::offsets_taken(header_, frame_);
    const std::uint64_t begin = at_;
    if (taken > std::numeric_limits<offset>::max() - next_) {
        add_break({log_break::kind::malformed, at_, at_ + word.length(), next_, std::nullopt, 0, "its offsets pass the largest number"});
        goes_on_ = false;
        return;
    }
    const visited_frame visited{name_.topic, static_cast<std::int32_t>(name_.number), into_.report.file, static_cast<position>(at_), header_, taken};
    ++into_.report.frames[static_cast<std::size_t>(word.kind())];
    goes_on_ = !rules_.on_frame || rules_.on_frame(visited);
    if (goes_on_ && word.kind() == format::frame_kind::data) {
        walk_records(word, taken);
    }
    into_.has_stopped = !goes_on_;
    if (word.kind() == format::frame_kind::evidence && header_.base_timestamp > into_.evidence) {
        into_.evidence = header_.base_timestamp;
        into_.evidence_at = static_cast<position>(at_);
    }
    expect_slots(static_cast<position>(begin), word.length());
    next_ += taken;
    at_ += word.length();
    if (word.kind() == format::frame_kind::seal) {
        into_.report.is_sealed = true;
        goes_on_ = false;
        check_footer(begin);
    }
}

BROOK_INLINE void segment_scrub::walk_records(format::frame_word word, std::uint32_t taken) {
    if (format::codec_of(header_.attributes) == format::codec_none) {
        walk_records(header_, frame_, word, taken);
        return;
    }
    const auto room = [this](std::uint32_t size) {
        decoded_.resize(size / sizeof(std::uint64_t));
        return std::as_writable_bytes(std::span{decoded_}).data();
    };
    switch (format::inflate(header_, frame_, most_inflated(summary_.birth.capacity), room)) {
        case format::inflation::done: {
            const std::byte* const frame = std::as_bytes(std::span{decoded_}).data();
            walk_records(format::load_header(frame), frame, word, taken);
            return;
        }
        case format::inflation::missing_codec: count_undecoded(word); return;
        case format::inflation::corrupt: break;
    }
    add_malformed(word, taken, "it is compressed, and its content is not what was compressed there");
}

BROOK_INLINE void segment_scrub::walk_records(const format::frame_header& header, const std::byte* frame, format::frame_word word,
                                              std::uint32_t taken) {
    format::record_walk records{header, frame};
    offset before = next_ - 1;
    const char* wrong = nullptr;
    for (format::record_slice record; goes_on_ && records.next(record);) {
        const offset at = record.offset();
        if (at <= before || at - next_ >= taken) {
            wrong = "the offsets of its records do not fit";
            break;
        }
        before = at;
        bytes headers = record.headers();
        for (format::header_slice one; format::next_header(headers, one);) {
        }
        if (!headers.empty()) {
            wrong = "the headers of a record do not fit";
        }
        count(record);
        goes_on_ = show(record);
    }
    if (records.is_malformed()) {
        wrong = "its records do not fit into it";
    }
    if (wrong != nullptr) {
        add_malformed(word, taken, wrong);
    }
}

BROOK_INLINE void segment_scrub::add_malformed(format::frame_word word, std::uint32_t taken, const char* wrong) {
    add_break({log_break::kind::malformed, at_, at_ + word.length(), next_, next_ + taken, into_.report.records, wrong});
}

BROOK_INLINE void segment_scrub::count_undecoded(format::frame_word word) noexcept {
    if (into_.report.undecoded_batches++ == 0) {
        into_.undecoded_codec = format::codec_of(word.attributes());
        into_.first_undecoded = at_;
        into_.first_undecoded_end = at_ + word.length();
    }
    into_.report.records += format::records_in(header_);
    count_times(timestamp{std::chrono::nanoseconds{header_.base_timestamp}},
                timestamp{std::chrono::nanoseconds{format::largest_timestamp(header_, frame_)}});
}

BROOK_INLINE void segment_scrub::count(const format::record_slice& record) noexcept {
    const timestamp time{std::chrono::nanoseconds{record.timestamp()}};
    ++into_.report.records;
    count_times(time, time);
}

BROOK_INLINE void segment_scrub::count_times(timestamp earliest, timestamp latest) noexcept {
    segment_report& report = into_.report;
    report.earliest = report.earliest && *report.earliest < earliest ? report.earliest : earliest;
    report.latest = report.latest && *report.latest > latest ? report.latest : latest;
}

BROOK_INLINE bool segment_scrub::show(const format::record_slice& record) const {
    return !rules_.on_record ||
           rules_.on_record({name_.topic, static_cast<std::int32_t>(name_.number), into_.report.file, static_cast<position>(at_), record.offset(),
                             timestamp{std::chrono::nanoseconds{record.timestamp()}},
                             record.has_key() ? std::optional{record.key()} : std::nullopt,
                             record.has_value() ? std::optional{record.value()} : std::nullopt, record.headers()});
}

BROOK_INLINE void segment_scrub::expect_slots(position at, std::uint32_t length) {
    const std::uint64_t end = (std::uint64_t{at} + length + index_interval - 1) / index_interval;
    for (std::uint64_t k = (std::uint64_t{at} + index_interval - 1) / index_interval; k < end; ++k) {
        expected_.resize(static_cast<std::size_t>(k) + 1);
        expected_.back() = {static_cast<std::uint32_t>(next_ - base_), at};
    }
}

BROOK_INLINE void segment_scrub::check_footer(std::uint64_t seal) {
    if (summary_.has_footer && (summary_.footer.end_offset != next_ || summary_.footer.seal_position != seal)) {
        add_break({log_break::kind::malformed, format::footer_at, format::footer_at + sizeof(format::segment_footer), next_, next_, into_.report.records,
                   "the footer names another end than the seal, which stands at position " + std::to_string(seal)});
    }
}

BROOK_INLINE auto segment_scrub::measure_gap() -> gap {
    gap hole{at_, at_};
    std::uint64_t at = at_;
    while (exists(at + format::frame_header_size)) {
        const std::byte* const raw = window_.look(at, sizeof(format::frame_word));
        if (raw == nullptr) {
            hole.end = at;
            hole.is_unreadable = true;
            return hole;
        }
        const auto word = load<format::frame_word>(raw);
        if (word.is_empty()) {
            at += format::frame_alignment;
            continue;
        }
        const std::uint32_t length = word.claimed_length();
        if (word.is_published() || word.raw() != format::frame_word::claimed(length).raw() || length % format::frame_alignment != 0 ||
            length < format::frame_header_size || length > summary_.birth.capacity - at || find_frame(at + format::frame_alignment, at + length)) {
            hole.end = at;
            hole.has_end = true;
            return hole;
        }
        at += length;
        hole.dirty_end = at < size_ ? at : size_;
    }
    look_at_rest(at, hole);
    return hole;
}

BROOK_INLINE void segment_scrub::look_at_rest(std::uint64_t from, gap& hole) {
    const auto left = from < size_ ? static_cast<std::size_t>(size_ - from) : 0;
    const std::byte* const raw = left == 0 ? nullptr : window_.look(from, left);
    for (std::size_t i = 0; raw != nullptr && i < left; ++i) {
        hole.dirty_end = raw[i] == std::byte{0} ? hole.dirty_end : from + i + 1;
    }
}

BROOK_INLINE void segment_scrub::pass_gap() {
    std::optional<std::uint64_t> strange;
    for (int look = 0; look < most_looks; ++look) {
        window_.forget();
        const gap hole = measure_gap();
        if (hole.is_unreadable) {
            return pass_damage(log_break::kind::unreadable);
        }
        if (!hole.has_end) {
            if (hole.dirty_end > at_) {
                add_break({log_break::kind::open_claims, at_, hole.dirty_end, next_, std::nullopt, into_.report.records, {}});
            }
            goes_on_ = false;
            return;
        }
        if (look_at(hole.end, next_, hole.end == at_ ? next_ : highest_base()) == seen::frame) {
            if (hole.end == at_) {
                return;  // published meanwhile
            }
            if (hole.end - at_ >= format::frame_header_size) {
                add_break({log_break::kind::gap, at_, hole.end, next_, header_.base_offset, into_.report.records, {}});
                at_ = hole.end;
                next_ = header_.base_offset;
                return;
            }
        }
        if (strange == hole.end) {
            return pass_damage(log_break::kind::corrupt);
        }
        strange = hole.end;
    }
    goes_on_ = false;  // in progress: as far as it was published
}

BROOK_INLINE void segment_scrub::pass_damage(log_break::kind what) {
    log_break here{what, at_, size_, next_, std::nullopt, into_.report.records, {}};
    std::uint64_t from = at_ + format::frame_alignment;
    if (what == log_break::kind::unreadable) {
        const read_failure& failed = window_.failed();
        here.why = "bytes " + std::to_string(failed.begin) + " to " + std::to_string(failed.end) + " cannot be read: " + failed.code.message();
        from = failed.end > from ? failed.end : from;
        ++bad_pages_;
    }
    if (find_frame(from)) {
        here.end = found_at_;
        here.last = header_.base_offset;
        at_ = found_at_;
        next_ = header_.base_offset;
    } else {
        goes_on_ = false;
    }
    add_break(std::move(here));
}

BROOK_INLINE bool segment_scrub::find_frame(std::uint64_t from, std::uint64_t until) {
    const offset high = highest_base();
    for (std::uint64_t at = align_up(from, std::uint64_t{format::frame_alignment}); at < until && exists(at + format::frame_header_size);) {
        if (has_searched_enough()) {
            into_.is_given_up = true;
            return false;
        }
        const std::byte* const raw = window_.look(at, format::frame_header_size);
        if (raw == nullptr) {
            ++bad_pages_;
            at = align_up(window_.failed().end, std::uint64_t{format::frame_alignment});
            continue;
        }
        const format::frame_header header = format::load_header(raw);
        const bool is_plausible = header.size >= static_cast<std::int32_t>(format::frame_header_size) && header.base_offset >= next_ && header.base_offset <= high;
        if (is_plausible && look_once(at, next_, high) == seen::frame) {
            found_at_ = at;
            return true;
        }
        at += format::frame_alignment;
    }
    return false;
}

BROOK_INLINE void segment_scrub::add_break(log_break found) {
    into_.breaks.push_back(std::move(found));
    if (into_.breaks.size() >= most_breaks) {
        into_.is_given_up = true;
        goes_on_ = false;
    }
}

}  // namespace brook::inline BROOK_ABI::storage
