/// \file brook/storage/recovered_log.hpp
/// A partition as recovery leaves it.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/recovery_report.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A partition as recovery leaves it. The last segment takes appends.
struct recovered_log {
    std::vector<std::unique_ptr<segment>> segments;
    format::checkpoint checkpoint;     ///< its durable_offset is the strongest evidence that was seen
    std::size_t first_unsynced = 0;    ///< segments from here on may have bytes that are not on the disk
    position append_at = 0;
    offset end = 0;
    failure not_moved;                 ///< a segment is in doubt, and there is no new file for it: the log can be read, and no more
    recovery_report report;
};

[[nodiscard]] inline failure no_more_offsets(const segment_directory& files, offset base) {
    return {errc::corrupt_record, files.name().text() + ": no segment begins at offset " + std::to_string(base) +
                                      ", behind which there are no more; restore the .log files from a copy"};
}

/// Goes on in a new segment.
[[nodiscard]] inline failure begin_segment(segment_directory& files, recovered_log& log, offset base, std::uint32_t segment_bytes) {
    if (base > last_base) {
        return no_more_offsets(files, base);
    }
    failure why;
    segment_pin pin = files.create(base, segment_bytes, first_window, why);
    if (!pin) {
        return why;
    }
    pin->written_from.store(format::segment_header_size, std::memory_order_relaxed);
    if (!log.segments.empty()) {
        ++log.report.finished_rolls;
    }
    auto made = std::make_unique<segment>(base, pin, tail_word{0, format::segment_header_size});
    made->allocated = pin->readable();
    made->ready.store(made->allocated - format::frame_header_size, std::memory_order_relaxed);
    log.segments.push_back(std::move(made));
    log.append_at = format::segment_header_size;
    return {};
}

}  // namespace brook::inline BROOK_ABI::storage
