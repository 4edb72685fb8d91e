/// \file brook/storage/segment_scan.hpp
/// Looking through a segment when it is opened: what comes next, and where to begin.
/// Floor 2, storage.
#pragma once

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// How far a segment has been looked through, frame by frame from its beginning.
struct segment_scan {
    mapped_segment* memory = nullptr;
    offset base = 0;
    position at = format::segment_header_size;
    offset next = 0;               ///< of the frame at `at`
    bool is_sealed = false;        ///< the frame in front of it is the seal
    bool is_cut = false;           ///< by a power loss: nothing after it counts
    bool ends_in_damage = false;   ///< what comes is not what was written there, and nothing intact follows
};

/// The next frame, if it was written there. One whose offsets a segment cannot count was not, whatever its checksum says.
[[nodiscard]] inline look look_next(const segment_scan& scan, frame_view& found) noexcept {
    const look seen = look_at(*scan.memory, scan.at, scan.next, trust::verify, found);
    const bool is_counted = scan.next - scan.base <= most_offsets_in_front;
    return seen != look::frame || is_counted ? seen : look::corrupt;
}

/// Begins where everything before is on the disk, if the checkpoint's place is reached by walking there: a checkpoint
/// that is newer than the segment (one of them came from a copy) points at nothing, or between two frames.
/// Nothing behind the offset `most` is begun at.
inline void start_at_checkpoint(segment_scan& scan, const format::checkpoint& from, offset most) noexcept {
    if (from.segment_base != scan.base || from.segment_offset <= scan.base || from.segment_offset > most || from.segment_position > scan.memory->readable()) {
        return;
    }
    const auto at = static_cast<position>(from.segment_position);
    const walk_start start = find_start(*scan.memory, scan.base, from.segment_offset - 1, at);
    segment_scan reached{scan.memory, scan.base, start.at, start.next};
    frame_view found;
    while (reached.at < at && look_next(reached, found) == look::frame) {
        reached.at = found.end();
        reached.next += found.offsets_taken();
    }
    if (reached.at == at && reached.next == from.segment_offset) {
        scan = reached;
    }
}

}  // namespace brook::inline BROOK_ABI::storage
