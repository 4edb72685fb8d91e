/// \file brook/format/wire_frame.hpp
/// A frame on its way from one log to another: bound to no place.
/// Floor 1, format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI::format {

/// In wire form a frame is what it is in a segment, byte for byte, with zeros up to a multiple of 8, but for two things:
///
/// - its checksum is bound to seed 0 and position 0, so that whoever receives it can verify it, and give it a place in a log of
///   their own by exchanging one binding for another, without reading its body;
/// - a filler is its header alone: what lies in a gap is nobody's, and no checksum covers it.
///
/// Only frames travel that take offsets: data, control, filler. The log's own marks tell of one log's files and stay there.
inline constexpr std::uint64_t wire_seed = 0;
inline constexpr position wire_position = 0;

/// What one frame may take: offsets of a segment are counted in 32 bits, and two of them must not pass that.
inline constexpr std::uint32_t most_offsets_taken = (1u << 31) - 1;

/// The checksum of a frame that is moved, its header changed on the way perhaps: in `from` as it is, in `to` as it shall be.
///
/// Requires  the same body, and kinds that both have one or both have none.
[[nodiscard]] inline std::uint64_t rebound(std::uint64_t from_seed, position from_at, const frame_header& from, std::uint64_t to_seed, position to_at,
                                           const frame_header& to) noexcept {
    return from.checksum ^ binding(from_seed, from_at, from) ^ binding(to_seed, to_at, to);
}

/// Whether a frame of this kind travels.
[[nodiscard]] constexpr bool travels(frame_kind kind) noexcept { return kind == frame_kind::data || kind == frame_kind::control || kind == frame_kind::filler; }

/// Puts a frame that stands at `at` of a segment with this seed behind `into`, in wire form.
///
/// Requires  a frame that verifies there, and travels.
/// Errors    std::bad_alloc.
/// Cost      copies it; no hash.
inline void to_wire(std::uint64_t seed, position at, const frame_header& header, const std::byte* frame, std::vector<std::byte>& into) {
    frame_header sent = header;
    if (word_of(header).kind() == frame_kind::filler) {
        sent.size = static_cast<std::int32_t>(frame_header_size);
    }
    sent.checksum = rebound(seed, at, header, wire_seed, wire_position, sent);
    const auto size = static_cast<std::uint32_t>(sent.size);
    const std::size_t before = into.size();
    into.resize(before + frame_length(size));
    store(into.data() + before, sent);
    copy_bytes(into.data() + before + frame_header_size, frame + frame_header_size, size - frame_header_size);
}

/// Finishes a frame whose body is in place: stores its header, with the checksum.
///
/// Requires  header.size bytes at `frame`.
inline void store_wire(std::byte* frame, frame_header header) noexcept {
    header.checksum = checksum_of(wire_seed, wire_position, header, frame);
    store(frame, header);
}

/// A control frame: one offset, which no consumer is shown.
[[nodiscard]] inline std::vector<std::byte> make_control(bytes body, std::int64_t timestamp) {
    frame_header header{};
    header.size = static_cast<std::int32_t>(frame_header_size + body.size());
    header.attributes = attributes_of(frame_kind::control);
    header.base_timestamp = timestamp;
    header.count = 1;
    std::vector<std::byte> frame(frame_length(static_cast<std::uint32_t>(header.size)));
    copy_bytes(frame.data() + frame_header_size, body.data(), body.size());
    store_wire(frame.data(), header);
    return frame;
}

namespace detail {

/// Of an intact data frame: what its records say that cannot be; null: nothing.
[[nodiscard]] inline const char* fault_of_records(const frame_header& header, const std::byte* frame, std::uint32_t taken) noexcept {
    const frame_word word = word_of(header);
    const bool is_lone = (header.attributes & attribute::lone) != 0;
    const bool has_details = (header.extension & extension::detail) != 0;
    if (is_lone ? has_details : (header.attributes & (attribute::null_value | attribute::headers)) != 0) {
        return "its attributes contradict each other";
    }
    if ((header.extension & extension::producer) != 0) {
        const std::int64_t sequence = load_stamp(frame).sequence;
        if ((header.attributes & attribute::transactional) == 0 && sequence > largest_sequence - std::int64_t{taken} + 1) {
            return "its sequences pass the largest there is";
        }
    } else if ((header.attributes & attribute::transactional) != 0) {
        return "it is a part of a transaction, and does not say of which";
    }
    if (!is_lone && (header.count == 0 || header.count > taken)) {
        return "its records do not fit into its offsets";
    }
    if (codec_of(header.attributes) != codec_none) {
        const std::uint32_t front = frame_header_size + extension_bytes(header.extension);
        if (is_lone || word.size() - front < compressed_prefix) {
            return "it cannot be compressed";
        }
        const auto uncompressed = load<std::uint32_t>(frame + front);
        const bool is_possible = uncompressed != 0 && load<std::uint32_t>(frame + front + sizeof uncompressed) == 0 &&
                                 is_within_ratio(uncompressed, word.size() - front - compressed_prefix);
        return is_possible ? nullptr : "it says of itself that it is larger uncompressed than it can be";
    }
    record_walk records{header, frame};
    std::int64_t before = header.base_offset - 1;
    for (record_slice record; records.next(record);) {
        const offset at = record.offset();
        if (at <= before || at - header.base_offset >= taken) {
            return "the offsets of its records do not fit";
        }
        before = at;
    }
    return records.is_malformed() ? "its records do not fit into it" : nullptr;
}

}  // namespace detail

/// What is wrong with a frame that came from somewhere else; null: nothing, and everything in it can be relied upon as in a frame
/// of one's own. What is compressed is not looked into.
///
/// `frame`: exactly its bytes, with the padding. Looks at nothing else, whatever the frame says of itself.
/// Cost      hashes it, and walks its records.
[[nodiscard]] inline const char* wire_fault(bytes frame) noexcept {
    if (frame.size() < frame_header_size || frame.size() > gib) {
        return "it has no frame's size";
    }
    const frame_header header = load_header(frame.data());
    const frame_word word = word_of(header);
    if (!word.is_published() || word.size() < frame_header_size || word.size() > frame.size() || word.length() != frame.size()) {
        return "its size is not that of its bytes";
    }
    if (!travels(word.kind())) {
        return "it is of a kind that stays where it is";
    }
    if (!verifies(wire_seed, wire_position, static_cast<position>(frame.size()), frame.data())) {
        return "it is not what was sent";
    }
    for (std::size_t at = word.size(); at < frame.size(); ++at) {
        if (frame[at] != std::byte{0}) {
            return "what stands behind it is not zero";
        }
    }
    const bool is_data = word.kind() == frame_kind::data;
    if (!is_data && (header.extension != 0 || header.attributes != attributes_of(word.kind()))) {
        return "it has attributes that its kind does not have";
    }
    if (word.kind() == frame_kind::filler && word.size() != frame_header_size) {
        return "it is a filler, and not its header alone";
    }
    const std::uint32_t taken = offsets_taken(header, frame.data());
    if (taken == 0 || taken > most_offsets_taken) {
        return "it takes no number of offsets that a frame can take";
    }
    if (header.base_offset < 0 || header.base_offset > largest_offset - std::int64_t{taken}) {
        return "its offsets pass the largest there is";
    }
    return is_data ? detail::fault_of_records(header, frame.data(), taken) : nullptr;
}

/// What a frame in wire form has from an offset on: it may have been compacted where it comes from, and begin in front of where the log
/// ends that wants it. Put behind `into`, in wire form; without a codec, and without its producer's numbers.
///
/// `most`: how large the frame may be, uncompressed.
/// Requires  a frame without a wire_fault, that begins in front of `from` and ends behind it.
/// Errors    not done: what is compressed cannot be read here. std::bad_alloc.
[[nodiscard]] inline inflation cut_front(bytes frame, offset from, std::uint32_t most, std::vector<std::byte>& into) {
    const frame_header given = load_header(frame.data());
    const std::int64_t end = given.base_offset + std::int64_t{offsets_taken(given, frame.data())};
    const auto left = static_cast<std::uint32_t>(end - from);
    const std::size_t at = into.size();
    frame_header header = given;
    header.base_offset = from;
    if (word_of(given).kind() != frame_kind::data) {
        header.count = left;
        into.insert(into.end(), frame.begin(), frame.end());
        store_wire(into.data() + at, header);
        return inflation::done;
    }
    std::vector<std::uint64_t> decoded;
    const std::byte* readable = frame.data();
    if (codec_of(given.attributes) != codec_none) {
        const auto room = [&decoded](std::uint32_t size) {
            decoded.resize(size / sizeof(std::uint64_t));
            return std::as_writable_bytes(std::span{decoded}).data();
        };
        if (const inflation done = inflate(given, frame.data(), most, room); done != inflation::done) {
            return done;
        }
        readable = std::as_bytes(std::span{decoded}).data();
    }
    const bool is_part = (given.attributes & attribute::transactional) != 0;
    const std::uint32_t front = frame_header_size + (is_part ? 2 : 1) * extension::bytes_each;
    std::vector<record_detail> details;
    std::vector<std::byte> entries;
    batch_detail detail{left - 1, 0, 0};
    record_walk records{load_header(readable), readable};
    record_slice record;
    std::int64_t before = given.base_offset - 1;  // nobody has looked at the offsets of what was compressed
    for (const std::byte* entry = records.entry(); records.next(record); entry = records.entry()) {
        const std::int64_t delta = record.offset() - from;
        if (record.offset() <= before || delta >= left) {
            return inflation::corrupt;
        }
        before = record.offset();
        if (delta < 0) {
            continue;
        }
        const auto later = static_cast<std::int64_t>(static_cast<std::uint64_t>(record.timestamp()) - static_cast<std::uint64_t>(given.base_timestamp));  // a sum that wrapped
        details.push_back({later, static_cast<std::uint32_t>(delta), static_cast<std::uint32_t>(record.headers().size())});
        entries.insert(entries.end(), entry, records.entry());
        detail.largest_time_delta = later > detail.largest_time_delta ? later : detail.largest_time_delta;
    }
    if (records.is_malformed()) {
        return inflation::corrupt;
    }
    if (details.empty()) {
        header.size = static_cast<std::int32_t>(frame_header_size);
        header.attributes = attributes_of(frame_kind::filler);
        header.extension = 0;
        header.base_timestamp = 0;
        header.count = left;
        into.resize(at + frame_header_size);
        store_wire(into.data() + at, header);
        return inflation::done;
    }
    if ((given.extension & extension::detail) != 0) {
        detail.compacted_at = load<batch_detail>(frame.data() + detail_at(given.extension)).compacted_at;
    }
    const std::size_t size = front + details.size() * sizeof(record_detail) + entries.size();
    if (size > most) {
        return inflation::corrupt;
    }
    header.size = static_cast<std::int32_t>(size);
    header.attributes = static_cast<std::uint16_t>(given.attributes & ~attribute::codec_mask);
    header.extension = static_cast<std::uint16_t>(extension::detail | (is_part ? extension::producer : 0u));
    header.count = static_cast<std::uint32_t>(details.size());
    into.resize(at + frame_length(static_cast<std::uint32_t>(size)));
    std::byte* to = into.data() + at;
    copy_bytes(to + frame_header_size, frame.data() + frame_header_size, is_part ? extension::bytes_each : 0);
    store(to + front - sizeof detail, detail);
    copy_bytes(to + front, details.data(), details.size() * sizeof(record_detail));
    copy_bytes(to + front + details.size() * sizeof(record_detail), entries.data(), entries.size());
    store_wire(to, header);
    return inflation::done;
}

/// Takes frames in wire form from the front of a buffer, one behind the other.
///
/// Threads   confined.
/// Lifetime  of the frames: the buffer's.
class wire_walk {
public:
    explicit wire_walk(bytes frames) noexcept : rest_{frames} {}

    /// False at the end, or where what comes is no frame, or only a part of one. Not verified as yet: wire_fault.
    [[nodiscard]] bool next(bytes& frame) noexcept {
        if (rest_.size() < frame_header_size) {
            return false;
        }
        const frame_word word = load<frame_word>(rest_.data());
        if (!word.is_published() || word.size() < frame_header_size || word.size() > rest_.size() || word.length() > rest_.size()) {
            return false;
        }
        frame = rest_.first(word.length());
        rest_ = rest_.subspan(word.length());
        return true;
    }

    /// What has not been taken yet: behind the end nothing, or what is no frame.
    [[nodiscard]] bytes rest() const noexcept { return rest_; }

private:
    bytes rest_;
};

}  // namespace brook::inline BROOK_ABI::format
