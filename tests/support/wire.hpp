/// \file support/wire.hpp
/// Frames in wire form for a test, and a replicated log that is filled with them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace brook::test {

using frame_bytes = std::vector<std::byte>;

/// A lone record, as a leader takes it: at offset 0 of epoch 0.
[[nodiscard]] inline frame_bytes wire_lone(const std::optional<std::string>& key, const std::optional<std::string>& value, std::int64_t time,
                                           const std::optional<format::producer_stamp>& stamp = std::nullopt) {
    const std::uint16_t extension = stamp ? format::extension::producer : std::uint16_t{0};
    const format::record_sizes sizes{key ? static_cast<std::uint32_t>(key->size()) : format::null_size,
                                     value ? static_cast<std::uint32_t>(value->size()) : format::null_size, 0};
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes, extension));
    frame_bytes frame(format::frame_length(size));
    if (stamp) {
        format::store_stamp(frame.data() + format::frame_header_size, *stamp);
    }
    const auto layout = format::lay_out_lone(frame.data(), sizes, extension);
    copy_bytes(layout.key, key ? key->data() : nullptr, static_cast<std::size_t>(sizes.key_bytes()));
    copy_bytes(layout.value, value ? value->data() : nullptr, static_cast<std::size_t>(sizes.value_bytes()));
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::lone_attributes(sizes);
    header.extension = extension;
    header.count = sizes.key;
    header.base_timestamp = time;
    format::store_wire(frame.data(), header);
    return frame;
}

/// The test's record number `n`.
[[nodiscard]] inline frame_bytes wire_nth(std::int64_t n) { return wire_lone(std::nullopt, value_of(n), time_of(n)); }

/// Records [first, first + count), all with the first one's time, in one batch.
[[nodiscard]] inline frame_bytes wire_batch(std::int64_t first, std::uint32_t count) {
    frame_bytes frame(format::frame_header_size);
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::string value = value_of(first + i);
        const format::record_sizes sizes{format::null_size, static_cast<std::uint32_t>(value.size()), 0};
        const std::size_t before = frame.size();
        frame.resize(before + static_cast<std::size_t>(format::entry_bytes(sizes)));
        copy_bytes(format::lay_out_entry(frame.data() + before, sizes).value, value.data(), value.size());
    }
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.count = count;
    header.base_timestamp = time_of(first);
    format::store_wire(frame.data(), header);
    return frame;
}

/// Changes the header of a frame in wire form as one who can count checksums does.
template <class Change>
[[nodiscard]] frame_bytes wire_changed(frame_bytes frame, const Change& change) {
    format::frame_header header = format::load_header(frame.data());
    change(header);
    format::store_wire(frame.data(), header);
    return frame;
}

/// The same frame with another place in a log.
[[nodiscard]] inline frame_bytes wire_at(const frame_bytes& frame, offset base, std::uint32_t epoch) {
    return wire_changed(frame, [&](format::frame_header& header) {
        header.base_offset = base;
        header.leader_epoch = epoch;
    });
}

/// As a leader: appends one frame.
inline offset lead(storage::log& log, frame_bytes frame, std::uint32_t epoch) {
    offset first = -1;
    const failure why = log.append_new(frame, epoch, std::nullopt, first);
    if (why) {
        FAIL(why.text);
    }
    return first;
}

/// Records [first, last), which get their numbers for offsets.
inline void lead_range(storage::log& log, std::int64_t first, std::int64_t last, std::uint32_t epoch = 1) {
    for (std::int64_t n = first; n < last; ++n) {
        if (const offset at = lead(log, wire_nth(n), epoch); at != n) {
            FAIL("record " << n << " was appended at offset " << at);
        }
    }
}

/// In which epochs it was appended, all of which it knows.
inline std::vector<format::epoch_start> epochs_of(storage::log& log) {
    failure why;
    const format::epoch_history found = log.epochs(why);
    if (why) {
        FAIL(why.text);
    }
    return found.starts();
}

/// Copies a log into another, from where that ends.
inline failure follow(storage::log& leader, storage::log& follower, std::size_t at_once = 4'096) {
    for (offset at = follower.log_end_offset(); at < leader.log_end_offset();) {
        frame_bytes frames;
        if (failure why = leader.read_frames(at, leader.log_end_offset(), at_once, frames)) {
            return why;
        }
        if (failure why = follower.append_copy(frames, at)) {
            return why;
        }
    }
    return {};
}

}  // namespace brook::test
