/// \file brook/storage/time_index.hpp
/// From a time to the first record at or after it.
/// Floor 2, storage. Source: KIP-33; the running maximum makes clocks that step back harmless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The largest timestamp seen so far, noted every 4 KiB of one segment. Built by walking the segment when the first
/// time look-up asks for it, extended by later ones, kept in memory: 24 bytes per 4 KiB of log that was asked about.
///
/// Threads   shared.
class time_index {
public:
    /// First record at or after `time`, of those from offset `from` on; nullopt when the segment has none (yet). Frames that begin at
    /// `until` or behind it are not looked at.
    /// Errors    `is_corrupt` is set where the segment cannot be walked: the answer is then about what lies before. `why`: the
    ///           record is in a compressed batch that cannot be read.
    [[nodiscard]] std::optional<offset> find(const mapped_segment& segment, offset base, offset from, offset until, std::int64_t time, bool& is_corrupt, failure& why) {
        const std::scoped_lock guard{mutex_};
        extend(segment, base, until);
        is_corrupt = is_corrupt_;
        const std::size_t first = count_before(stretches_.size(), [&](std::size_t i) { return stretches_[i].largest < time; });
        if (first == stretches_.size()) {
            return std::nullopt;
        }
        return walk(segment, stretches_[first], from, until, time, why);
    }

private:
    struct stretch {
        position at;
        offset next;           ///< offset of the frame at `at`
        std::int64_t largest;  ///< timestamp, of everything up to the end of this stretch
    };

    void extend(const mapped_segment& segment, offset base, offset until) {
        if (stretches_.empty()) {
            stretches_.push_back({at_, base, std::numeric_limits<std::int64_t>::min()});
            next_ = base;
        }
        frame_view found;
        look seen = look::nothing;
        while (next_ < until && (seen = look_for_reader(segment, at_, next_, true, found)) == look::frame && found.kind() != format::frame_kind::seal) {
            if (at_ - stretches_.back().at >= index_interval) {
                stretches_.push_back({at_, next_, stretches_.back().largest});
            }
            if (found.kind() == format::frame_kind::data) {
                note(largest_time(found));
            }
            next_ += found.offsets_taken();
            at_ = found.end();
        }
        is_corrupt_ = seen == look::corrupt;
    }

    void note(std::int64_t time) noexcept {
        if (time > stretches_.back().largest) {
            stretches_.back().largest = time;
        }
    }

    /// Of a compressed batch by what stands outside of the compressed bytes.
    [[nodiscard]] static std::int64_t largest_time(const frame_view& found) noexcept {
        if (format::codec_of(found.header.attributes) != format::codec_none) {
            return format::largest_timestamp(found.header, found.data);
        }
        std::int64_t largest = std::numeric_limits<std::int64_t>::min();
        format::record_walk records{found.header, found.data};
        for (format::record_slice record; records.next(record);) {
            largest = record.timestamp() > largest ? record.timestamp() : largest;
        }
        return largest;
    }

    [[nodiscard]] static std::optional<offset> walk(const mapped_segment& segment, stretch at, offset from, offset until, std::int64_t time, failure& why) {
        frame_view found;
        while (at.next < until && look_at(segment, at.at, at.next, trust::written_here, found) == look::frame) {
            if (found.kind() == format::frame_kind::data) {
                decoded_batch decoded;
                frame_view readable = found;
                if (format::codec_of(found.header.attributes) != format::codec_none && format::largest_timestamp(found.header, found.data) >= time) {
                    decoded = decoded_batch::make(segment, found, why);
                    if (!decoded) {
                        return std::nullopt;
                    }
                    readable = decoded.frame();
                }
                format::record_walk records{readable.header, readable.data};
                for (format::record_slice record; records.next(record);) {
                    if (record.timestamp() >= time && record.offset() >= from) {
                        return record.offset();
                    }
                }
            }
            at.next += found.offsets_taken();
            at.at = found.end();
        }
        return std::nullopt;
    }

    std::mutex mutex_;  // guards everything below
    std::vector<stretch> stretches_;
    position at_ = format::segment_header_size;
    offset next_ = 0;
    bool is_corrupt_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage
