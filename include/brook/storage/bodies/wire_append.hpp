/// \file brook/storage/bodies/wire_append.hpp
/// The functions that wire_append.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
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
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/wire_append.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure wire_append::append_new(mutable_bytes frame, std::uint32_t epoch, const std::optional<std::int64_t>& now, offset& first) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    if (const char* const fault = format::wire_fault(frame)) {
        return {errc::corrupt_record, parts_.name().text() + ": a frame that was to be appended cannot be: " + fault};
    }
    const std::scoped_lock alone{parts_.order_mutex};
    const format::frame_header given = format::load_header(frame.data());
    format::frame_header header = given;
    header.base_offset = settled_end();
    header.leader_epoch = epoch;
    if (epoch < parts_.leader_epoch()) {
        return {errc::illegal_state, parts_.name().text() + ": leader epoch " + std::to_string(epoch) + " has passed; the log is at " + std::to_string(parts_.leader_epoch())};
    }
    if (now && format::word_of(header).kind() == format::frame_kind::data) {
        parts_.last_append_time = *now > parts_.last_append_time ? *now : parts_.last_append_time;
        header.base_timestamp = parts_.last_append_time;
        header.attributes = static_cast<std::uint16_t>(header.attributes | format::attribute::append_time);
    }
    header.checksum = format::rebound(format::wire_seed, format::wire_position, given, format::wire_seed, format::wire_position, header);
    store(frame.data(), header);
    failure why = append_wire(frame);
    first = why ? first : header.base_offset;
    return why;
}

BROOK_INLINE failure wire_append::append_copy(bytes frames, offset& end) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    const std::scoped_lock alone{parts_.order_mutex};
    end = settled_end();
    format::wire_walk walk{frames};
    std::vector<std::byte> rest;
    for (bytes frame; walk.next(frame); end = settled_end()) {
        const auto wrong = [&](const std::string& what) {
            return failure{errc::corrupt_record, parts_.name().text() + ": the frame at byte " + std::to_string(frame.data() - frames.data()) + " of " +
                                                     std::to_string(frames.size()) + " that were received cannot be appended at offset " + std::to_string(end) + ": " + what};
        };
        if (const char* const fault = format::wire_fault(frame)) {
            return wrong(fault);
        }
        const format::frame_header header = format::load_header(frame.data());
        if (header.base_offset < end && end - header.base_offset < offset{format::offsets_taken(header, frame.data())}) {
            rest.clear();
            switch (format::cut_front(frame, end, parts_.appends.largest_frame(), rest)) {
                case format::inflation::done: frame = rest; break;
                case format::inflation::missing_codec:
                    return {errc::unsupported_compression_type, parts_.name().text() + ": a compressed batch that begins in front of offset " + std::to_string(end) +
                                                                    " cannot be divided there: " + format::missing_codec_text(format::codec_of(header.attributes))};
                case format::inflation::corrupt: return wrong("it begins in front of it, and cannot be divided there");
            }
        } else if (header.base_offset != end) {
            return wrong("it begins at offset " + std::to_string(header.base_offset));
        }
        if (header.leader_epoch < parts_.leader_epoch()) {
            return wrong("it is of leader epoch " + std::to_string(header.leader_epoch) + ", and what is in front of it of " + std::to_string(parts_.leader_epoch()));
        }
        if (failure why = append_wire(frame)) {
            return why;
        }
    }
    return walk.rest().empty() ? failure{}
                               : failure{errc::corrupt_record, parts_.name().text() + ": what stands from byte " + std::to_string(frames.size() - walk.rest().size()) + " of " +
                                                                   std::to_string(frames.size()) + " that were received is no whole frame"};
}

BROOK_INLINE failure wire_append::append_again(bytes kept, offset to) {
    format::wire_walk walk{kept};
    failure why;
    for (bytes frame; !why && walk.next(frame);) {
        why = append_wire(frame);
    }
    BROOK_ASSERT(why || settled_end() == to);
    static_cast<void>(to);
    return why ? std::move(why) : parts_.sync();
}

BROOK_INLINE offset wire_append::settled_end() {
    offset end = parts_.log_end_offset();
    if (end == parts_.claimed_end_offset()) [[likely]] {
        return end;
    }
    const auto until = parts_.platform().monotonic() + most_patience;
    for (int turns = 0; end != parts_.claimed_end_offset() && !parts_.claims.oldest() && !parts_.is_closed() && turns < most_turns; ++turns) {
        if (turns > 1'000 && parts_.platform().monotonic() >= until) {
            break;  // somebody has left a claim, and that is an error
        }
        parts_.platform().yield();
        end = parts_.log_end_offset();
    }
    return end;
}

BROOK_INLINE failure wire_append::append_wire(bytes frame) {
    const format::frame_header header = format::load_header(frame.data());
    const std::uint32_t taken = format::offsets_taken(header, frame.data());
    const bool is_numbered = (header.extension & format::extension::producer) != 0;
    const bool is_transactional = (header.attributes & format::attribute::transactional) != 0;
    if (parts_.claims.oldest() || parts_.claimed_end_offset() != header.base_offset) {
        return {errc::illegal_state, parts_.name().text() + ": claims are open"};
    }
    if (header.base_offset > largest_offset - offset{taken}) {
        return {errc::illegal_state, parts_.name().text() + ": has no more offsets"};
    }
    failure why = is_transactional ? parts_.flag(format::checkpoint_flag::transactions) : is_numbered ? parts_.flag(format::checkpoint_flag::producers) : failure{};
    if (!why && parts_.appends.claimed().records() + taken > format::most_offsets_taken) {
        why = parts_.appends.roll();  // what was compacted elsewhere may take offsets without end
    }
    claim to;
    if (why || !parts_.appends.take(static_cast<std::uint32_t>(frame.size()), taken, to, why)) {
        return parts_.judged(std::move(why));
    }
    if (to.first != header.base_offset) {
        parts_.appends.abandon(to, taken, parts_.leader_epoch());
        return {errc::illegal_state, parts_.name().text() + ": somebody else appends to it"};
    }
    copy_bytes(to.data + format::frame_header_size, frame.data() + format::frame_header_size, frame.size() - format::frame_header_size);
    if (header.leader_epoch != parts_.leader_epoch() || header.base_offset == parts_.log_start_offset()) {
        parts_.epochs.note(header.leader_epoch, header.base_offset);
    }
    parts_.appends.publish_copy(to, header);
    parts_.last_epoch.store(header.leader_epoch, std::memory_order_relaxed);
    if ((header.attributes & format::attribute::append_time) != 0 && header.base_timestamp > parts_.last_append_time) {
        parts_.last_append_time = header.base_timestamp;  // it may be the leader's log one day
    }
    if (is_numbered && !is_transactional) {
        parts_.producers.table().note(format::load_stamp(frame.data()), taken, header.base_offset);
    }
    return {};
}

}  // namespace brook::inline BROOK_ABI::storage
