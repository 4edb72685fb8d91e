/// \file fault/history/operation.hpp
/// What somebody did with a topic, and what became of it: one line of a history.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace brook::test::history {

enum class operation_kind : std::uint8_t {
    none = 0,  ///< nobody has written here
    send,      ///< a producer: `count` records from `value` on, in one batch or alone
    assign,    ///< a reader reads `partition` from `offset` on, until it is assigned it anew or revoked
    revoke,    ///< it reads it no more
    read,      ///< a reader was given `count` records from `offset` on, with values from `value` on
    finish,    ///< a reader has come to the partition's end, which is `offset`, after everything had stopped
    commit,    ///< a reader's group is to go on at `offset`
    committed, ///< a reader was told that its group goes on at `offset`
    lead,      ///< a broker sees `value` lead since epoch `offset`; no node: nobody
};

/// What came of it. Whatever is not known may have been done, or be done later.
enum class outcome : std::uint8_t { unknown = 0, ok, fail };

/// `count` records or steps of one actor with one outcome. Values of a run rise by one, and so do offsets.
///
/// A value names its producer and the record's number with it: no two records that are sent have the same. Times are of the machine's one
/// monotonic clock, in nanoseconds.
struct operation {
    operation_kind kind = operation_kind::none;
    enum outcome outcome = outcome::unknown;
    std::uint16_t partition = 0;
    std::uint32_t actor = 0;   ///< a producer's or reader's number, of one life of one thread
    std::int64_t invoke = 0;
    std::int64_t complete = 0;  ///< 0: it was never heard of again
    std::int64_t offset = -1;   ///< of a send: where it was acknowledged
    std::uint64_t value = 0;
    std::uint32_t count = 0;
    std::uint32_t group = 0;    ///< of readers: 0 is none
    std::int64_t limit = -1;    ///< of a read: what the reader's broker said is committed, asked afterwards; -1: not asked
    std::uint64_t reserved = 0;
};
static_assert(sizeof(operation) == 64 && std::is_trivially_copyable_v<operation>);

inline constexpr unsigned actor_bits = 24;
inline constexpr unsigned number_bits = 64 - actor_bits;
inline constexpr std::uint64_t no_value = ~std::uint64_t{0};  ///< of what was read and was never sent by anybody

[[nodiscard]] constexpr std::uint64_t value_of(std::uint32_t actor, std::uint64_t number) noexcept { return std::uint64_t{actor} << number_bits | number; }
[[nodiscard]] constexpr std::uint32_t actor_of(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value >> number_bits); }
[[nodiscard]] constexpr std::uint64_t number_of(std::uint64_t value) noexcept { return value & ((std::uint64_t{1} << number_bits) - 1); }

/// What a history must not have.
enum class anomaly : std::uint8_t {
    lost_write,            ///< acknowledged, others behind it were read, it never was
    inconsistent_offsets,  ///< one offset has two values
    duplicate,             ///< one value has two offsets
    g1a,                   ///< read, although its send has failed; or nobody has sent it
    poll_skip,             ///< a reader passed over a record that is there; a group did
    nonmonotonic_poll,     ///< a reader went back
    nonmonotonic_send,     ///< a producer's records stand in another order than they were sent in
    unseen,                ///< acknowledged, and not read by anybody in the end
    commit_regress,        ///< a group's commit went back, or was forgotten
    read_above_hw,         ///< read before it was committed
    realtime,              ///< sent after another one was acknowledged, and stands before it; read before it was sent
};
inline constexpr std::size_t anomaly_count = 11;

[[nodiscard]] constexpr std::string_view to_string(anomaly kind) noexcept {
    constexpr std::string_view names[anomaly_count] = {"lost-write",        "inconsistent-offsets", "duplicate",      "G1a",           "poll-skip", "nonmonotonic-poll",
                                                       "nonmonotonic-send", "unseen",               "commit-regress", "read-above-HW", "realtime"};
    return names[static_cast<std::size_t>(kind)];
}

}  // namespace brook::test::history
