/// \file brook/core/types.hpp
/// The numbers of the log: an offset counts records, a position counts bytes.
/// Floor 0, core.
#pragma once

#include <chrono>
#include <cstdint>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// A record's number in its partition: dense from 0, never used twice.
///
/// Plain integers, so that users' containers, comparisons and printf take them as they are. Offsets are signed and
/// 64 bits wide, positions unsigned and 32: `-Wconversion -Werror`, under which brook is built, refuses an offset
/// where a position is wanted.
using offset = std::int64_t;

/// More than any log will have: what is larger on a disk is not ours. The sum of an offset and anything that a segment
/// holds is a number, then.
inline constexpr offset largest_offset = offset{1} << 62;

/// A byte in a segment file. Segments are smaller than 2 GiB.
using position = std::uint32_t;

/// Nanoseconds since 1970-01-01 UTC: a record's create time or append time.
using timestamp = std::chrono::sys_time<std::chrono::nanoseconds>;

/// The moment that is `time` after `begin`; the last one that there is, where that is not to be said.
[[nodiscard]] constexpr std::chrono::nanoseconds moment_after(std::chrono::nanoseconds begin, std::chrono::nanoseconds time) noexcept {
    return time < std::chrono::nanoseconds::max() - begin ? begin + time : std::chrono::nanoseconds::max();
}

inline constexpr std::uint32_t kib = 1u << 10;
inline constexpr std::uint32_t mib = 1u << 20;
inline constexpr std::uint32_t gib = 1u << 30;

}  // namespace brook::inline BROOK_ABI
