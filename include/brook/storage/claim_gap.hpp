/// \file brook/storage/claim_gap.hpp
/// What a killed process has claimed in a segment and never published: measured, filled or erased.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_scan.hpp>

namespace brook::inline BROOK_ABI::storage {

/// What comes where no frame is published.
struct claim_gap {
    position end = 0;        ///< where the next published frame stands
    position dirty_end = 0;  ///< end of the last claim that left a mark
    bool has_end = false;
    bool is_whole = true;    ///< nothing in it but zeros and marked claims: claims that were never published
};

/// Zeros are stepped over one by one, marked claims whole, if no frame stands within: then the mark's length is not what was claimed. Anything else was
/// a published frame, and is damaged.
[[nodiscard]] inline claim_gap measure_gap(const segment_scan& scan) noexcept {
    claim_gap hole{scan.at, scan.at};
    const position last = scan.memory->search_end() - format::frame_header_size;  // the segment's header is in front of it
    for (position at = scan.at; at <= last;) {
        const format::frame_word word = scan.memory->word(at);
        if (word.is_published()) {
            hole.end = at;
            hole.has_end = true;
            return hole;
        }
        if (word.is_empty()) {
            at += format::frame_alignment;
            continue;
        }
        const std::uint32_t length = word.claimed_length();
        if (word.raw() != format::frame_word::claimed(length).raw() || length % format::frame_alignment != 0 ||
            length < format::frame_header_size || length > scan.memory->capacity() - at) {
            hole.is_whole = false;
            return hole;
        }
        if (frame_view within; find_frame(*scan.memory, at + format::frame_alignment, scan.next, within, at + length)) {
            hole.is_whole = false;
            return hole;
        }
        at += length;
        hole.dirty_end = at < scan.memory->readable() ? at : scan.memory->readable();
    }
    return hole;
}

/// One filler over the gap before the published frame at `end`. Marked first, as any claimer does. The walk meets it next.
/// Returns   false: that frame does not verify, or is not the next one's.
[[nodiscard]] inline bool fill_gap(const segment_scan& scan, position end, std::uint32_t leader_epoch) {
    mapped_segment& memory = *scan.memory;
    std::byte* const data = memory.frame(scan.at);
    if (!format::verifies(memory.seed(), end, memory.readable(), memory.frame(end)) || end - scan.at < format::frame_header_size) {
        return false;
    }
    const offset after = format::load_header(memory.frame(end)).base_offset;
    if (after < scan.next || after - scan.next > memory.capacity()) {
        return false;
    }
    const std::uint32_t length = end - scan.at;
    const auto word = atomic_at<std::uint64_t>(data);
    word.store(format::frame_word::claimed(length).raw(), std::memory_order_seq_cst);
    format::frame_header header{};
    const auto published = format::frame_word::published(length, format::attributes_of(format::frame_kind::filler));
    header.size = static_cast<std::int32_t>(length);
    header.attributes = published.attributes();
    header.base_offset = scan.next;
    header.count = static_cast<std::uint32_t>(after - scan.next);
    header.leader_epoch = leader_epoch;
    header.checksum = format::checksum_of(memory.seed(), scan.at, header, data);
    format::store_behind_word(data, header);
    word.store(published.raw(), std::memory_order_release);
    return true;
}

/// Nobody was told of these offsets: they are free again. One mark over all of it, the body, then the mark.
/// Returns   how many bytes of claims there were.
inline position erase_gap(const segment_scan& scan, const claim_gap& hole) noexcept {
    if (hole.dirty_end <= scan.at) {
        return 0;
    }
    std::byte* const data = scan.memory->frame(scan.at);
    const std::uint32_t length = hole.dirty_end - scan.at;
    const auto word = atomic_at<std::uint64_t>(data);
    word.store(format::frame_word::claimed(align_up(length, format::frame_alignment)).raw(), std::memory_order_seq_cst);
    for (position at = 8; at + 8 <= length; at += 8) {
        const auto cell = atomic_at<std::uint64_t>(data + at);
        if (cell.load(std::memory_order_relaxed) != 0) {
            cell.store(0, std::memory_order_relaxed);
        }
    }
    word.store(0, std::memory_order_release);
    return length;
}

}  // namespace brook::inline BROOK_ABI::storage
