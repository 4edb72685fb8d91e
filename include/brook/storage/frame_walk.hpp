/// \file brook/storage/frame_walk.hpp
/// Stepping from frame to frame through a mapped segment: the one place that decides what may be believed.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A published frame at its place.
struct frame_view {
    format::frame_header header{};
    const std::byte* data = nullptr;
    position at = 0;

    [[nodiscard]] format::frame_kind kind() const noexcept { return format::word_of(header).kind(); }
    [[nodiscard]] position end() const noexcept { return at + format::word_of(header).length(); }
    [[nodiscard]] std::uint32_t offsets_taken() const noexcept { return format::offsets_taken(header, data); }
};

enum class look {
    nothing,  ///< no frame is published there (yet)
    frame,    ///< one is, and it is the expected one
    corrupt,  ///< what stands there is not what was written
};

enum class trust {
    written_here,  ///< this process wrote it and it has not left memory: only its place in the file is checked
    verify,        ///< it came from the disk: its checksum decides
};

/// Whether a frame can have been written there: a segment keeps room for its seal, which nothing else takes. Who would append behind
/// what says otherwise had no room for one.
[[nodiscard]] constexpr bool leaves_room_for_seal(std::uint64_t capacity, std::uint64_t at, format::frame_word word) noexcept {
    return word.kind() == format::frame_kind::seal || at + word.length() + format::frame_header_size <= capacity;
}

/// Where frames end that are no seal: as far as the file goes, and leaves room for one. Aligned, wherever the file was cut.
[[nodiscard]] inline position records_end(const mapped_segment& segment) noexcept {
    const position limit = segment.capacity() - format::frame_header_size;
    const position end = segment.readable();
    return (end < limit ? end : limit) / format::frame_alignment * format::frame_alignment;
}

/// Looks at position `at` for the frame that starts with offset `expected`.
///
/// Cost      one cache line, or the whole frame when it is verified.
[[nodiscard]] inline look look_at(const mapped_segment& segment, position at, offset expected, trust how, frame_view& found) noexcept {
    const format::frame_word word = segment.word(at);
    if (!word.is_published()) {
        return look::nothing;
    }
    std::byte* const data = segment.frame(at);
    const position end = segment.readable();
    if (how == trust::verify && (!leaves_room_for_seal(segment.capacity(), at, word) || !format::verifies(segment.seed(), at, end, data))) {
        return look::corrupt;
    }
    found.header = format::load_header(data);
    found.data = data;
    found.at = at;
    if (word.size() < format::frame_header_size + format::extension_bytes(word.extension()) || word.length() > end - at ||
        found.header.base_offset != expected || (how == trust::verify && found.offsets_taken() > format::most_offsets_taken)) {
        return look::corrupt;
    }
    return look::frame;
}

/// How many offsets a segment has at most in front of a frame: with those that it takes itself they are counted in 32 bits.
inline constexpr offset most_offsets_in_front = std::int64_t{1} << 31;

/// No segment begins behind it: what one may take ends at the largest offset.
inline constexpr offset last_base = largest_offset - 2 * most_offsets_in_front;

/// Whether a frame that verifies can have been written in this segment: its offsets are counted, and none is of the next one. An opening has
/// not looked at what the checkpoint says is on the disk, nor goes behind what is not counted.
[[nodiscard]] inline bool is_within(const segment& home, const frame_view& found) noexcept {
    const segment* const next = home.next.load(std::memory_order_acquire);
    const offset first = found.header.base_offset;
    return first - home.base <= most_offsets_in_front && (next == nullptr || found.offsets_taken() <= next->base - first);
}

/// As `look_at`, for readers of an open log: verifies what came from the disk. All of that had been published, so where no
/// frame is, there was one.
[[nodiscard]] inline look look_for_reader(const mapped_segment& segment, position at, offset expected, bool verify, frame_view& found) noexcept {
    // Loaded before the word: what came from the disk, or has been synced, was published before this was stored.
    const bool is_from_disk = at < segment.written_from.load(std::memory_order_acquire);
    const look seen = look_at(segment, at, expected, verify && is_from_disk ? trust::verify : trust::written_here, found);
    return seen == look::nothing && is_from_disk ? look::corrupt : seen;
}

/// How far an offset behind damage may be ahead: what was compacted away, here or where a frame was copied from, takes no bytes.
inline constexpr offset most_offsets_ahead = std::int64_t{1} << 31;

/// The first frame that verifies, begins at or after `from` and in front of `until`, and does not go back behind `expected`:
/// what can be saved beyond damage. Steps by 8 bytes; a record whose payload imitates a frame does not verify, since its
/// position is wrong.
///
/// Cost      a few ns per 8 bytes; only where something is broken, or a killed process has left a claim.
[[nodiscard]] inline bool find_frame(const mapped_segment& segment, position from, offset expected, frame_view& found,
                                     position until = std::numeric_limits<position>::max()) noexcept {
    const position end = segment.search_end();
    const auto is_in_front = [&](position at) { return at >= from && at < until && at <= end && end - at >= format::frame_header_size; };
    for (position at = align_up(from, format::frame_alignment); is_in_front(at); at += format::frame_alignment) {
        std::byte* const data = segment.frame(at);
        const format::frame_header header = format::load_header(data);
        if (header.size < static_cast<std::int32_t>(format::frame_header_size) || header.base_offset < expected ||
            header.base_offset - expected > most_offsets_ahead || !leaves_room_for_seal(segment.capacity(), at, format::word_of(header)) ||
            !format::verifies(segment.seed(), at, segment.readable(), data)) {
            continue;
        }
        if (format::offsets_taken(header, data) > format::most_offsets_taken) {
            continue;
        }
        found = {header, data, at};
        return true;
    }
    return false;
}

/// Where a walk that looks for `wanted` may begin: a frame at or before it, from the index where that can be believed,
/// else the segment's first.
///
/// Requires  wanted >= base.
struct walk_start {
    position at = format::segment_header_size;
    offset next = 0;
};

[[nodiscard]] inline walk_start find_start(const mapped_segment& segment, offset base, offset wanted, position published_end) noexcept {
    const walk_start first{format::segment_header_size, base};
    if (!segment.has_index() || published_end <= format::segment_header_size) {
        return first;
    }
    std::uint32_t low = 0;  // slot 0 covers the header
    std::uint32_t high = (published_end - 1) / index_interval;
    while (low < high) {  // the last slot whose frame starts at or before `wanted`
        const std::uint32_t middle = high - (high - low) / 2;
        const index_slot slot = segment.slot(middle);
        if (slot.at != 0 && base + slot.relative_offset <= wanted) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    const index_slot slot = segment.slot(low);
    const offset claimed = base + slot.relative_offset;
    frame_view found;
    const bool believable = low != 0 && slot.at % format::frame_alignment == 0 && slot.at >= format::segment_header_size && claimed <= wanted &&
                            look_at(segment, slot.at, claimed, trust::verify, found) == look::frame;
    return believable ? walk_start{slot.at, claimed} : first;
}

/// "topic 'x', partition 3: 00….log, position 4711 …": where something is wrong, for messages.
[[nodiscard]] inline std::string place_text(const partition_name& name, const mapped_segment& segment, position at, offset expected) {
    return name.text() + ": " + segment.path() + ", position " + std::to_string(at) + ", offset " + std::to_string(expected);
}

}  // namespace brook::inline BROOK_ABI::storage
