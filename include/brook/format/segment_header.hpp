/// \file brook/format/segment_header.hpp
/// The first 256 bytes of a segment file: what it is, where it begins, who wrote it, how it ended.
/// Floor 1, format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI::format {

inline constexpr std::array<char, 8> segment_magic{'b', 'r', 'o', 'o', 'k', 's', 'e', 'g'};
inline constexpr std::uint32_t format_version = 1;

using topic_id = std::array<std::byte, 16>;

/// Made when the file is born, on the disk before its first frame, never changed.
///
///   at  size  field
///    0    8   magic        "brookseg"
///    8    4   version      1; a reader refuses what is newer
///   12    4   header_size  256: where the first frame begins
///   16    8   seed         random; bound into every checksum of the file, so that no other life of it verifies
///   24    4   capacity     largest size that the file grows to
///   28    4   partition
///   32   16   topic        the topic's id
///   48    8   flags        1: compacted. What is left of several segments, perhaps: offsets are missing, and frames are not as
///                          they were appended
///   56    8   checksum     XXH3-64 of the 56 bytes before
struct segment_birth {
    std::array<char, 8> magic;
    std::uint32_t version;
    std::uint32_t header_size;
    std::uint64_t seed;
    std::uint32_t capacity;
    std::uint32_t partition;
    topic_id topic;
    std::uint64_t flags;
    std::uint64_t checksum;
};
static_assert(sizeof(segment_birth) == 64);
static_assert(std::has_unique_object_representations_v<segment_birth>);

/// Bits of `segment_birth::flags`.
namespace segment_flag {
inline constexpr std::uint64_t compacted = 1;
}  // namespace segment_flag

/// Stored when the segment before it is sealed: the moment a spare becomes part of the log.
///
///   at  size  field
///   64    8   base_plus_one  base offset + 1; 0: a spare
///   72    8   check          multiply-fold of the seed and base_plus_one
///
/// In a compacted segment:
///
///   80    8   tombstones_since  when the oldest of its tombstones was first compacted, ns since 1970-01-01 UTC; 0: it has none
///   88    8   check             multiply-fold of the seed and tombstones_since
///
/// In any:
///
///   96    8   doubt          once a sync of it has failed, and for want of an index (brook/storage/segment.hpp); else zero
///  104   24   zero
///
/// Then the writer, stored before its first append to the segment (brook/storage/recovery.hpp tells what for):
///
///  128   16   boot id
///  144    8   device, 152 8 inode, 160 8 birth time of the file in ns
///  168    8   checksum       XXH3-64 of the 40 bytes before
struct segment_writer {
    std::array<std::byte, 16> boot_id;
    std::uint64_t device;
    std::uint64_t inode;
    std::uint64_t birth_time_ns;
    std::uint64_t checksum;
};
static_assert(sizeof(segment_writer) == 48);

/// Stored once every frame of the segment is on the disk, the seal included: evidence, and what opening reads instead
/// of the frames.
///
///   at  size  field
///  192    8   end_offset      offset after the last record
///  200    4   seal_position   where the seal frame stands
///  204    4   zero
///  208    8   sealed_at       when it was found sealed, ns since 1970-01-01 UTC: the age that retention goes by
///  216    8   zero
///  224    8   checksum        XXH3-64 of the 32 bytes before, XOR the seed
struct segment_footer {
    std::int64_t end_offset;
    std::uint32_t seal_position;
    std::uint32_t zero;
    std::int64_t sealed_at;
    std::uint64_t reserved;
    std::uint64_t checksum;
};
static_assert(sizeof(segment_footer) == 40);

inline constexpr std::uint32_t segment_header_size = 256;
inline constexpr std::uint32_t base_at = 64;
inline constexpr std::uint32_t base_check_at = 72;
inline constexpr std::uint32_t tombstones_at = 80;
inline constexpr std::uint32_t tombstones_check_at = 88;
inline constexpr std::uint32_t doubt_at = 96;
inline constexpr std::uint32_t writer_at = 128;
inline constexpr std::uint32_t footer_at = 192;
static_assert(footer_at + sizeof(segment_footer) <= segment_header_size);
static_assert(segment_header_size % frame_alignment == 0);

namespace detail {

template <class Block>
[[nodiscard]] std::uint64_t checksum_before_last(const Block& block) noexcept {
    static_assert(offsetof(Block, checksum) + sizeof(std::uint64_t) == sizeof(Block));
    std::array<std::byte, sizeof(Block)> raw;
    store(raw.data(), block);
    return hash(raw.data(), sizeof(Block) - sizeof(std::uint64_t));
}

}  // namespace detail

[[nodiscard]] inline segment_birth make_birth(std::uint64_t seed, std::uint32_t capacity, const topic_id& topic,
                                              std::uint32_t partition, std::uint64_t flags = 0) noexcept {
    segment_birth birth{segment_magic, format_version, segment_header_size, seed, capacity, partition, topic, flags, 0};
    birth.checksum = detail::checksum_before_last(birth);
    return birth;
}

[[nodiscard]] inline bool verifies(const segment_birth& birth) noexcept {
    return birth.magic == segment_magic && birth.checksum == detail::checksum_before_last(birth);
}

[[nodiscard]] inline std::uint64_t base_check(std::uint64_t seed, std::uint64_t base_plus_one) noexcept {
    return detail::multiply_fold(seed ^ 0x9e3779b97f4a7c15u, base_plus_one ^ 0xc2b2ae3d27d4eb4fu);
}

[[nodiscard]] inline std::uint64_t tombstones_check(std::uint64_t seed, std::int64_t tombstones_since) noexcept {
    return detail::multiply_fold(seed ^ 0x94d049bb133111ebu, static_cast<std::uint64_t>(tombstones_since) ^ 0xbf58476d1ce4e5b9u);
}

[[nodiscard]] inline segment_writer make_writer(const std::array<std::byte, 16>& boot_id, std::uint64_t device,
                                                std::uint64_t inode, std::uint64_t birth_time_ns) noexcept {
    segment_writer writer{boot_id, device, inode, birth_time_ns, 0};
    writer.checksum = detail::checksum_before_last(writer);
    return writer;
}

[[nodiscard]] inline bool verifies(const segment_writer& writer) noexcept {
    return writer.checksum == detail::checksum_before_last(writer);
}

[[nodiscard]] inline segment_footer make_footer(std::uint64_t seed, offset end, position seal, std::int64_t sealed_at) noexcept {
    segment_footer footer{end, seal, 0, sealed_at, 0, 0};
    footer.checksum = detail::checksum_before_last(footer) ^ seed;
    return footer;
}

[[nodiscard]] inline bool verifies(const segment_footer& footer, std::uint64_t seed) noexcept {
    return footer.checksum == (detail::checksum_before_last(footer) ^ seed) && footer.end_offset >= 0 && footer.end_offset <= largest_offset;
}

}  // namespace brook::inline BROOK_ABI::format
