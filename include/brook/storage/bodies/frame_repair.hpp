/// \file brook/storage/bodies/frame_repair.hpp
/// The functions that frame_repair.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure frame_repair::find(offset until, std::uint64_t most, std::vector<offset_range>& found, offset& reached) const {
    const segment_chain& segments = source_.segments();
    const offset start = segments.start();
    reached = reached > start ? reached : start;
    for (std::uint64_t spent = 0; reached < until && spent < most;) {
        segment& home = *segments.find(reached);
        failure why;
        const segment_pin pin = source_.pin(home, why);
        if (home.is_replaced.load(std::memory_order_acquire)) {
            continue;  // compacted meanwhile
        }
        const segment* const after = home.next.load(std::memory_order_acquire);
        const offset end = after != nullptr && after->base < until ? after->base : until;
        if (why && why.code != errc::corrupt_record) {
            return why;
        }
        if (!pin) {
            found.push_back({reached, end});
            reached = end;
            continue;
        }
        walk_start here = find_start(*pin, home.base, reached, pin->readable());
        while (here.next < end && spent < most) {
            frame_view seen;
            if (is_intact(home, *pin, here, seen)) {
                if (seen.kind() == format::frame_kind::seal) {
                    break;
                }
                spent += here.next + seen.offsets_taken() > reached ? seen.end() - seen.at : 0;
                here = {seen.end(), here.next + seen.offsets_taken()};
                continue;
            }
            const bool goes_on = find_frame(*pin, here.at + format::frame_alignment, here.next, seen);
            const offset last = goes_on ? seen.header.base_offset : end;
            if (last > here.next && last > reached) {
                found.push_back({here.next, last});
            }
            here = {goes_on ? seen.at : here.at, last};
            if (!goes_on) {
                break;
            }
        }
        const bool is_through = spent < most || here.next >= end;
        reached = is_through && here.next < end ? end : here.next > reached ? here.next : reached;
    }
    return {};
}

BROOK_INLINE bool frame_repair::is_intact(const segment& home, const mapped_segment& memory, const walk_start& here, frame_view& seen) noexcept {
    return look_at(memory, here.at, here.next, trust::verify, seen) == look::frame && is_within(home, seen);
}

BROOK_INLINE failure frame_repair::take_apart(bytes frames, std::vector<bytes>& parts, offset_range& range, std::uint64_t& total) const {
    format::wire_walk walk{frames};
    for (bytes frame; walk.next(frame);) {
        const char* const fault = format::wire_fault(frame);
        const format::frame_header header = format::load_header(frame.data());
        if (fault == nullptr && parts.empty()) {
            range = {header.base_offset, header.base_offset};
        }
        if (fault != nullptr || header.base_offset != range.last) {
            return refuse(errc::corrupt_record, range, fault != nullptr ? fault : "they leave offsets out");
        }
        range.last += format::offsets_taken(header, frame.data());
        total += frame.size();
        parts.push_back(frame);
    }
    return parts.empty() || !walk.rest().empty() ? refuse(errc::corrupt_record, range, "they are no whole frames") : failure{};
}

BROOK_INLINE void frame_repair::write(mapped_segment& to, offset base, position at, const std::vector<bytes>& parts, std::uint32_t left, offset end) {
    const auto first_word = atomic_at<std::uint64_t>(to.frame(at));
    first_word.store(0, std::memory_order_release);
    format::frame_header first{};
    position here = at;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const bytes part = parts[i];
        format::frame_header header = format::load_header(part.data());
        header.checksum = format::rebound(format::wire_seed, format::wire_position, header, to.seed(), here, header);
        copy_bytes(to.frame(here) + format::frame_header_size, part.data() + format::frame_header_size, part.size() - format::frame_header_size);
        format::store_behind_word(to.frame(here), header);
        if (i == 0) {
            first = header;
        } else {
            atomic_at<std::uint64_t>(to.frame(here)).store(format::word_of(header).raw(), std::memory_order_release);
        }
        to.note(here, static_cast<std::uint32_t>(part.size()), static_cast<std::uint32_t>(header.base_offset - base));
        here += static_cast<position>(part.size());
    }
    if (left > 0) {  // a filler without offsets
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(left);
        header.attributes = format::attributes_of(format::frame_kind::filler);
        header.base_offset = end;
        header.checksum = format::checksum_of(to.seed(), here, header, to.frame(here));
        format::store_behind_word(to.frame(here), header);
        atomic_at<std::uint64_t>(to.frame(here)).store(format::word_of(header).raw(), std::memory_order_release);
        to.note(here, left, static_cast<std::uint32_t>(end - base));
    }
    first_word.store(format::word_of(first).raw(), std::memory_order_release);
}

BROOK_INLINE failure frame_repair::refuse(errc why, const offset_range& range, const std::string& what) const {
    return {why, files_.name().text() + ": offsets " + std::to_string(range.first) + " to " + std::to_string(range.last) + " cannot be repaired with " +
                     "frames that were received: " + what};
}

}  // namespace brook::inline BROOK_ABI::storage
