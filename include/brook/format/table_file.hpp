/// \file brook/format/table_file.hpp
/// What a table knows of a partition, kept for its next opening: which records are the latest of their keys.
/// Floor 1, format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::format {

/// In the partition's directory.
inline constexpr std::string_view table_file_name = "table.index";

/// The beginning of the file. It is derived from the log, written whole and never changed: behind the header stand `segments` of
/// table_file_segment, then `entries` of table_file_entry in the order of those, then XXH3-64 of everything behind the header.
///
///   at  size  field         meaning
///    0    8   magic         "brooktab"
///    8    4   version       1
///   12    4   partition
///   16   16   topic         the topic's id
///   32    8   covered       every record below this offset has been looked at
///   40    4   leader_epoch  of the record in front of `covered`: with another one there it is another history
///   44    4   flags         1: also records of transactions that were not committed; 2: some keys are not where the partitioner
///                           would have put them
///   48    8   segments
///   56    8   entries
///   64    8   checksum      XXH3-64 of the 64 bytes before
struct table_file_header {
    std::array<char, 8> magic{'b', 'r', 'o', 'o', 'k', 't', 'a', 'b'};
    std::uint32_t version = format_version;
    std::uint32_t partition = 0;
    topic_id topic{};
    std::int64_t covered = 0;
    std::uint32_t leader_epoch = 0;
    std::uint32_t flags = 0;
    std::uint64_t segments = 0;
    std::uint64_t entries = 0;
    std::uint64_t checksum = 0;
};
static_assert(sizeof(table_file_header) == 72);
static_assert(std::has_unique_object_representations_v<table_file_header>);

/// Bits of `table_file_header::flags`.
namespace table_file_flag {
inline constexpr std::uint32_t uncommitted = 1;
inline constexpr std::uint32_t strays = 2;
inline constexpr std::uint32_t known = 3;
}  // namespace table_file_flag

/// Records that lie in one segment file. A segment that has been rewritten since has another seed: nobody knows without a look
/// which of them it still has.
struct table_file_segment {
    std::uint64_t seed;   ///< the segment's
    std::int64_t first;   ///< the smallest offset of its entries
    std::uint64_t count;  ///< of its entries, more than 0
};
static_assert(sizeof(table_file_segment) == 24);

/// A key: that its latest record has this offset.
struct table_file_entry {
    std::uint32_t hash;             ///< the lower half of XXH3-64 of the key: as much as an index in memory has of it
    std::uint32_t relative_offset;  ///< minus the segment's `first`
};
static_assert(sizeof(table_file_entry) == 8);

[[nodiscard]] inline table_file_header sealed(table_file_header header) noexcept {
    header.checksum = detail::checksum_before_last(header);
    return header;
}

/// Whether the header is whole, of this version, and says nothing that cannot be. Then its counts may be believed as far as the
/// file's size agrees with them.
[[nodiscard]] inline bool verifies(const table_file_header& header) noexcept {
    constexpr auto most = static_cast<std::uint64_t>(largest_offset);
    return header.magic == table_file_header{}.magic && header.checksum == detail::checksum_before_last(header) && header.version == format_version &&
           header.covered > 0 && header.covered <= largest_offset && (header.flags & ~table_file_flag::known) == 0 &&
           header.entries <= static_cast<std::uint64_t>(header.covered) && header.segments <= header.entries && header.entries < most / 64;
}

/// Bytes of a file with this header.
///
/// Requires  verifies(header).
[[nodiscard]] constexpr std::uint64_t table_file_size(const table_file_header& header) noexcept {
    return sizeof(table_file_header) + header.segments * sizeof(table_file_segment) + header.entries * sizeof(table_file_entry) + sizeof(std::uint64_t);
}

}  // namespace brook::inline BROOK_ABI::format
