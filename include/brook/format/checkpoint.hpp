/// \file brook/format/checkpoint.hpp
/// A partition's checkpoint file: two slots, written in turn, so that a torn write leaves the other.
/// Floor 1, format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::format {

/// One slot, at byte 0 or 512 of the file. The valid slot with the larger sequence counts.
///
///   at  size  field
///    0    8   magic             "brookckp"
///    8    4   version           1
///   12    4   partition
///   16   16   topic             the topic's id
///   32    8   sequence          grows by one with each write
///   40    8   durable_offset    everything below it was on the disk
///   48    8   log_start_offset
///   56    8   high_watermark
///   64    8   segment_base      where recovery may begin: this segment,
///   72    8   segment_position  at this frame, whose base offset is
///   80    8   segment_offset
///   88    4   leader_epoch
///   92    4   flags             1: the log may have records of producers that number them; 2: parts of transactions
///   96    8   compacted_offset  everything below it has been compacted: of each key it holds one record at most
///  104    8   checksum          XXH3-64 of the 104 bytes before
struct checkpoint {
    std::array<char, 8> magic{'b', 'r', 'o', 'o', 'k', 'c', 'k', 'p'};
    std::uint32_t version = format_version;
    std::uint32_t partition = 0;
    topic_id topic{};
    std::uint64_t sequence = 0;
    std::int64_t durable_offset = 0;
    std::int64_t log_start_offset = 0;
    std::int64_t high_watermark = 0;
    std::int64_t segment_base = 0;
    std::uint64_t segment_position = segment_header_size;
    std::int64_t segment_offset = 0;
    std::uint32_t leader_epoch = 0;
    std::uint32_t flags = 0;
    std::int64_t compacted_offset = 0;
    std::uint64_t checksum = 0;
};
static_assert(sizeof(checkpoint) == 112);
static_assert(std::has_unique_object_representations_v<checkpoint>);

/// Bits of `checkpoint::flags`.
namespace checkpoint_flag {
inline constexpr std::uint32_t producers = 1;
inline constexpr std::uint32_t transactions = 2;
}  // namespace checkpoint_flag

inline constexpr std::size_t checkpoint_slot_size = 512;  // a sector: the unit that a power loss tears
inline constexpr std::size_t checkpoint_file_size = 2 * checkpoint_slot_size;

[[nodiscard]] inline checkpoint sealed(checkpoint slot) noexcept {
    slot.checksum = detail::checksum_before_last(slot);
    return slot;
}

[[nodiscard]] inline bool verifies(const checkpoint& slot) noexcept {
    const auto is_offset = [](std::int64_t value) { return value >= 0 && value <= largest_offset; };
    return slot.magic == checkpoint{}.magic && slot.checksum == detail::checksum_before_last(slot) && is_offset(slot.durable_offset) &&
           is_offset(slot.log_start_offset) && is_offset(slot.high_watermark) && is_offset(slot.segment_base) && is_offset(slot.segment_offset) &&
           is_offset(slot.compacted_offset);
}

/// Byte in the file where the slot with this sequence is written.
[[nodiscard]] constexpr std::size_t slot_position(std::uint64_t sequence) noexcept {
    return static_cast<std::size_t>(sequence % 2) * checkpoint_slot_size;
}

/// The newest valid slot of a checkpoint file, if it has one.
[[nodiscard]] inline std::optional<checkpoint> newest_checkpoint(bytes file) noexcept {
    std::optional<checkpoint> newest;
    for (std::size_t at = 0; at + sizeof(checkpoint) <= file.size() && at < checkpoint_file_size; at += checkpoint_slot_size) {
        const checkpoint slot = load<checkpoint>(file.data() + at);
        if (verifies(slot) && (!newest || slot.sequence > newest->sequence)) {
            newest = slot;
        }
    }
    return newest;
}

}  // namespace brook::inline BROOK_ABI::format
