/// \file brook/replication/message.hpp
/// What the replicas of a partition say to each other, and its bytes.
/// Floor 3, replication. Source: KIP-595 (Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch), KIP-996 (pre-vote).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::replication {

/// A broker's number where there is none.
inline constexpr std::int32_t no_node = -1;

enum class message_kind : std::uint8_t {
    vote = 1,        ///< I would lead; my log goes as far as `end` and `last_epoch` say
    vote_answer,     ///< you may, or may not
    begin_epoch,     ///< I lead; fetch from me
    end_epoch,       ///< I lead no more, and you should
    fetch,           ///< my log goes as far as `end` and `last_epoch` say, and what is below `held` is safe here
    fetch_answer,    ///< this comes next
};

enum class fetch_outcome : std::uint8_t {
    records,      ///< `frames` follow what you have; none: there is nothing new, but perhaps the high watermark
    diverging,    ///< what you have is not what I have: of what is of `last_epoch` and before I have no more than up to `end`
    below_start,  ///< what you need is gone: begin anew at `log_start`; `frames` are the voters as of there (voter_set)
    not_leader,   ///< ask `leader`, if one is named
};

// Of each kind of message four words have a meaning of their own, and stand on the wire in this order.

/// My log ends here, in a record of the message's `last_epoch`.
struct vote_body {
    offset end;
    offset voters_end;          ///< one more than the offset of the record that names the latest voters that I know of
    std::int64_t voters_epoch;  ///< of that record
    std::int64_t unused;
};

struct vote_answer_body {
    offset voters_end;          ///< one more than the offset of the record that names the latest voters that I know to be committed
    std::int64_t unused[2];
    std::int64_t voters_epoch;  ///< of that record
};

/// Of begin_epoch and end_epoch.
struct lead_body {
    std::int64_t unused;
    std::int64_t round;  ///< a number that grows when this leader wants to know that it still leads
    std::int64_t unused_too[2];
};

/// My log ends here, in a record of the message's `last_epoch`, and this much of it is safe.
struct fetch_body {
    offset end;
    offset held;
    offset high_watermark;  ///< that I know
    std::int64_t round;     ///< the leader's latest that I have heard of
};

struct fetch_answer_body {
    offset end;             ///< where the frames begin; diverging: where my log of `last_epoch` ends
    std::int64_t round;     ///< as in lead_body
    offset high_watermark;
    offset log_start;       ///< of my log
};

/// One message. Which body counts goes by its kind.
///
///     at  size  field
///      0    1   kind
///      1    1   flags             1: pre-vote, 2: granted, 4: suspect, 8: transfer, 16: blank, 32: empty, 64: confirmed, 128: full
///      2    1   outcome           of a fetch
///      3    5   zero
///      8    4   epoch             the sender's
///     12    4   last_epoch
///     16    4   leader            -1: none known
///     20    4   zero
///     24    8   session           of who asks: grows each time that a broker starts; an answer has the one of what it answers
///     32    8   number            of the question, and of its answer; grows within a session
///     40   32   body              four words
///     72        frames, in wire form
struct message {
    message_kind kind = message_kind::fetch;
    fetch_outcome outcome = fetch_outcome::records;
    bool is_pre_vote = false;
    bool is_granted = false;    ///< of a vote
    bool is_suspect = false;    ///< the sender may have lost what it had: it holds what it says, and had more perhaps
    bool is_blank = false;      ///< the sender remembers nothing
    bool is_transfer = false;   ///< the leader itself has asked for this vote
    bool is_empty = false;      ///< the log of who fetches has no records: it is a part of any
    bool is_confirmed = false;  ///< a suspect that has all that this leader has has everything (replica::is_confirmed)
    bool is_full = false;       ///< of a fetch: the sender's disk has taken no records lately, and it had better not lead
    std::uint32_t epoch = 0;
    std::uint32_t last_epoch = 0;
    std::int32_t leader = no_node;
    std::uint64_t session = 0;
    std::uint64_t number = 0;
    union {  // all are four words, which can be read by any of these names
        vote_body vote;
        vote_answer_body vote_answer;
        lead_body lead;
        fetch_body fetch{};
        fetch_answer_body fetch_answer;
    };
    bytes frames{};  ///< of a message that was decoded: in the memory that it was decoded from

    static constexpr std::size_t fixed_size = 72;

    message() = default;
    explicit message(message_kind of) noexcept : kind{of} {}

    void encode(std::vector<std::byte>& to) const {
        const std::size_t at = to.size();
        to.resize(at + fixed_size + frames.size());
        std::byte* const data = to.data() + at;
        const unsigned flags = (is_pre_vote ? 1u : 0u) | (is_granted ? 2u : 0u) | (is_suspect ? 4u : 0u) | (is_transfer ? 8u : 0u) | (is_blank ? 16u : 0u) |
                               (is_empty ? 32u : 0u) | (is_confirmed ? 64u : 0u) | (is_full ? 128u : 0u);
        store(data, static_cast<std::uint64_t>(kind) | std::uint64_t{flags} << 8 | static_cast<std::uint64_t>(outcome) << 16);
        store(data + 8, epoch);
        store(data + 12, last_epoch);
        store(data + 16, leader);
        store(data + 20, std::uint32_t{0});
        store(data + 24, session);
        store(data + 32, number);
        store(data + 40, fetch);
        copy_bytes(data + fixed_size, frames.data(), frames.size());
    }

    /// nullopt: nobody said that. Frames are not looked at.
    [[nodiscard]] static std::optional<message> decode(bytes from) noexcept {
        if (from.size() < fixed_size) {
            return std::nullopt;
        }
        const std::byte* const data = from.data();
        const auto head = load<std::uint64_t>(data);
        const auto kind = static_cast<std::uint8_t>(head);
        const auto flags = static_cast<std::uint8_t>(head >> 8);
        const auto outcome = static_cast<std::uint8_t>(head >> 16);
        if (kind < static_cast<std::uint8_t>(message_kind::vote) || kind > static_cast<std::uint8_t>(message_kind::fetch_answer) ||
            outcome > static_cast<std::uint8_t>(fetch_outcome::not_leader) || head >> 24 != 0 || load<std::uint32_t>(data + 20) != 0) {
            return std::nullopt;
        }
        message found;
        found.kind = static_cast<message_kind>(kind);
        found.outcome = static_cast<fetch_outcome>(outcome);
        found.is_pre_vote = (flags & 1) != 0;
        found.is_granted = (flags & 2) != 0;
        found.is_suspect = (flags & 4) != 0;
        found.is_transfer = (flags & 8) != 0;
        found.is_blank = (flags & 16) != 0;
        found.is_empty = (flags & 32) != 0;
        found.is_confirmed = (flags & 64) != 0;
        found.is_full = (flags & 128) != 0;
        found.epoch = load<std::uint32_t>(data + 8);
        found.last_epoch = load<std::uint32_t>(data + 12);
        found.leader = load<std::int32_t>(data + 16);
        found.session = load<std::uint64_t>(data + 24);
        found.number = load<std::uint64_t>(data + 32);
        found.fetch = load<fetch_body>(data + 40);
        found.frames = from.subspan(fixed_size);
        const auto is_offset = [](offset value) { return value >= 0 && value <= largest_offset; };
        const fetch_body& words = found.fetch;
        const bool is_legal = is_offset(words.end) && is_offset(words.held) && is_offset(words.high_watermark) && is_offset(words.round) && found.leader >= no_node &&
                              found.epoch <= largest_epoch && found.last_epoch <= found.epoch && (found.kind != message_kind::vote || found.vote.voters_epoch <= largest_epoch) &&
                              (found.kind != message_kind::vote_answer || found.vote_answer.voters_epoch <= largest_epoch);
        return is_legal ? std::optional{found} : std::nullopt;
    }

    /// Epochs grow with each election (epoch_line.hpp); who says a larger one is not to be believed, since all would have to follow.
    static constexpr std::uint32_t largest_epoch = 0x7fffffff;
};

static_assert(sizeof(vote_body) == 32 && sizeof(vote_answer_body) == 32 && sizeof(lead_body) == 32 && sizeof(fetch_body) == 32 && sizeof(fetch_answer_body) == 32);

}  // namespace brook::inline BROOK_ABI::replication
