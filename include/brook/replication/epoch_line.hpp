/// \file brook/replication/epoch_line.hpp
/// Which epoch comes next: the one behind, or one of a line of its own, where a leader may lack what was committed.
/// Floor 3, replication.
#pragma once

#include <cstdint>

#include <brook/core/config.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::replication {

/// Where a leader may lack what was committed, since an operator has forced it or everybody may have lost something, its epoch begins a line
/// of its own: nobody else's election comes to the same epoch, and replicas know that they may have to cut what they took for committed.
///
///     bits  11 generation, grows with each such election | 6 who began it | 14 elections within; 0: the one that began it
///
/// A line that is full goes on in the next generation, as a line of who was elected then. Nothing was lost there, and the others do not know.
inline constexpr unsigned line_bits = 14;
inline constexpr unsigned who_bits = 6;
inline constexpr unsigned generation_bits = line_bits + who_bits;

/// How many can begin lines: each has a number below, and no other one has it.
inline constexpr std::uint32_t most_in_line = 1u << who_bits;

[[nodiscard]] constexpr std::uint32_t line_of(std::uint32_t epoch) noexcept { return epoch >> line_bits; }

/// Whether it is one that begins a line, and its leader may lack what was committed.
[[nodiscard]] constexpr bool is_lossy_epoch(std::uint32_t epoch) noexcept { return epoch != 0 && epoch % (1u << line_bits) == 0; }

/// Epoch of an election behind `epoch` that may elect somebody who lacks what was committed. Larger than largest_epoch: there is none any more.
/// Requires  `who` below most_in_line.
[[nodiscard]] constexpr std::uint32_t next_lossy_epoch(std::uint32_t epoch, std::uint32_t who) noexcept {
    return ((epoch >> generation_bits) + 1) << generation_bits | who << line_bits;
}

/// Epoch of any other election behind `epoch`. Larger than largest_epoch: there is none any more.
/// Requires  `who` below most_in_line.
[[nodiscard]] constexpr std::uint32_t next_epoch(std::uint32_t epoch, std::uint32_t who) noexcept {
    return line_of(epoch + 1) == line_of(epoch) ? epoch + 1 : next_lossy_epoch(epoch, who) + 1;
}

static_assert(next_lossy_epoch(message::largest_epoch, most_in_line - 1) > message::largest_epoch);

}  // namespace brook::inline BROOK_ABI::replication
