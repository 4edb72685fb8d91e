/// \file brook/storage/evidence.hpp
/// What the frames and footers of a log tell of how far it was durable: as much was there, whatever is in its place.
/// Floor 2, storage.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The highest durable offset that an intact frame of evidence tells of, of those that begin at `from` or behind it and hold `next` or a later
/// offset; 0 where there is none.
[[nodiscard]] inline offset evidence_in(const mapped_segment& memory, position from, offset next) noexcept {
    offset durable = 0;
    frame_view found;
    while (find_frame(memory, from, next, found)) {
        if (found.kind() == format::frame_kind::evidence && found.header.base_timestamp > durable && found.header.base_timestamp <= largest_offset) {
            durable = found.header.base_timestamp;
        }
        from = found.end();
    }
    return durable;
}

/// The same of whole segments, with their footers: raises `durable` to it.
/// Errors    a segment is there and cannot be looked at: nobody knows what it tells.
[[nodiscard]] inline failure gather_evidence_of(segment_directory& files, std::span<const offset> bases, offset& durable) {
    const auto raise = [&](offset told) { durable = std::max(durable, told); };  // both are looked at by who reads them: none is larger than an offset can be
    for (const offset base : bases) {
        segment_summary summary;
        failure why;
        const std::string path = files.log_path(base);
        if (files.open_summary(path, summary, why)) {
            raise(summary.has_footer ? summary.footer.end_offset : 0);
            if (const auto pin = files.open(path, files.index_path(base), why)) {
                raise(evidence_in(*pin, format::segment_header_size, base));
            }
        }
        if (why && why.code != errc::corrupt_record) {
            return why;
        }
    }
    return {};
}

}  // namespace brook::inline BROOK_ABI::storage
