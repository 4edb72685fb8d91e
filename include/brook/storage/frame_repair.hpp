/// \file brook/storage/frame_repair.hpp
/// Damage in a log of which there are others: found, and mended with what they have.
/// Floor 2, storage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Offsets [first, last).
struct offset_range {
    offset first = 0;
    offset last = 0;
    bool operator==(const offset_range&) const = default;
};

/// Threads   confined. Finding goes on beside appends and reads; mending beside reads, to which its place is damaged until it is through.
class frame_repair {
public:
    frame_repair(const segment_directory& files, segment_source& source) noexcept : files_{files}, source_{source} {}

    /// Verifies what begins below `until`, from the frame that holds `reached` on, and moves that, by some `most` bytes.
    /// Errors    what the disk said.
    /// Cost      hashes all of it.
    [[nodiscard]] failure find(offset until, std::uint64_t most, std::vector<offset_range>& found, offset& reached) const;

    /// Puts the frames in the place of a damaged range. `mended`: the segment, which is to be synced then.
    /// `before(segment, memory)`: what has to be done before anything is written there; where that fails nothing is.
    template <class Before>
    [[nodiscard]] failure mend(bytes frames, segment_pin& mended, const Before& before) const {
        std::vector<bytes> parts;
        offset_range range;
        std::uint64_t total = 0;
        if (failure why = take_apart(frames, parts, range, total)) {
            return why;
        }
        failure why;
        segment& home = *source_.segments().find(range.first);
        const segment_pin pin = source_.pin(home, why);
        if (!pin) {
            return why;
        }
        walk_start here = find_start(*pin, home.base, range.first, pin->readable());
        frame_view seen;
        while (here.next < range.first) {
            if (is_intact(home, *pin, here, seen)) {
                if (seen.kind() == format::frame_kind::seal) {
                    break;
                }
                here = {seen.end(), here.next + seen.offsets_taken()};
            } else if (find_frame(*pin, here.at + format::frame_alignment, here.next, seen)) {
                here = {seen.at, seen.header.base_offset};
            } else {
                break;
            }
        }
        while (here.next == range.first && is_intact(home, *pin, here, seen) && seen.offsets_taken() == 0 &&
               seen.kind() != format::frame_kind::seal) {
            here.at = seen.end();  // a mark of the log's own
        }
        if (here.next != range.first || is_intact(home, *pin, here, seen)) {
            return refuse(errc::illegal_state, range, "nothing is damaged there");
        }
        if (!find_frame(*pin, here.at + format::frame_alignment, here.next, seen)) {
            return refuse(errc::illegal_state, range, "nothing intact follows in " + pin->path());
        }
        if (seen.header.base_offset != range.last) {
            return refuse(errc::corrupt_record, range, "what is damaged ends at offset " + std::to_string(seen.header.base_offset));
        }
        const std::uint64_t hole = seen.at - here.at;
        if (total > hole || (total < hole && hole - total < format::frame_header_size)) {
            return refuse(errc::record_too_large, range, std::to_string(total) + " bytes do not fit into " + std::to_string(hole) + " that are damaged");
        }
        if (why = before(home, *pin); why) {
            return why;
        }
        write(*pin, home.base, here.at, parts, static_cast<std::uint32_t>(hole - total), range.last);
        mended = pin;
        return {};
    }

private:
    [[nodiscard]] static bool is_intact(const segment& home, const mapped_segment& memory, const walk_start& here, frame_view& seen) noexcept;

    [[nodiscard]] failure take_apart(bytes frames, std::vector<bytes>& parts, offset_range& range, std::uint64_t& total) const;

    /// From the second on; the first last of all, since from then on readers find them.
    static void write(mapped_segment& to, offset base, position at, const std::vector<bytes>& parts, std::uint32_t left, offset end);

    [[nodiscard]] failure refuse(errc why, const offset_range& range, const std::string& what) const;

    const segment_directory& files_;
    segment_source& source_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/frame_repair.hpp>
#endif
