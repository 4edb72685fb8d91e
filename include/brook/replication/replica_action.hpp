/// \file brook/replication/replica_action.hpp
/// What a replica is told when it begins, and what it wants done.
/// Floor 3, replication.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::replication {

using format::epoch_history;
using format::log_end;

enum class role : std::uint8_t {
    follower,     ///< of a leader, of none that it knows, or as a learner
    prospective,  ///< asks who would vote for it
    candidate,
    leader,
    failed,       ///< its disk is not to be trusted, or a promise was broken: it says nothing any more
};

[[nodiscard]] constexpr const char* to_string(role which) noexcept {
    switch (which) {
        case role::follower: return "follower";
        case role::prospective: return "prospective";
        case role::candidate: return "candidate";
        case role::leader: return "leader";
        case role::failed: return "failed";
    }
    return "unknown";
}

/// How a replica behaves; the same in all of a partition.
struct replica_options {
    std::int32_t self = 0;
    std::chrono::nanoseconds election_timeout = std::chrono::seconds{1};  ///< a leader that is not heard of for that long, or twice it, has gone
    std::size_t min_insync = 1;   ///< an acknowledgement needs as many, and a majority in any case [min.insync.replicas]
    bool is_durable = false;      ///< only what is on a replica's disk counts as held [flush.messages]
    bool is_preferred = false;    ///< leads when nobody does, and nothing speaks against it: its first election comes soon
    bool may_be_beginning = true; ///< where no voter has anything nobody ever had: false where others may have, who do not vote. Goes with is_durable: else the power may have taken it
    std::uint64_t session = 1;    ///< larger than in any life of this broker before
    std::uint64_t seed = 1;       ///< of the chance in its timeouts
    std::vector<std::int32_t> peers{};  ///< everybody who may have a copy, 64 at most, the same at all of them, always; those who do not vote know of epochs, too.
                                        ///< None: all are below 64
};

/// What a replica finds when it is opened.
struct replica_log {
    offset start = 0;
    offset end = 0;
    offset flushed = 0;         ///< on the disk; goes with is_durable
    offset high_watermark = 0;
    epoch_history epochs;  ///< has to know the last record's epoch, also where retention has taken that record
};

/// How deep a cut may go.
enum class cut_depth : std::uint8_t {
    uncommitted,  ///< not below the high watermark
    committed,    ///< below it: everybody knows that what was committed may be lost
};

/// What whoever drives a replica has to do, one after the other. What follows one that fails is not done: `fail` is called, or `resign`.
struct action {
    enum class what : std::uint8_t {
        save_ballot,    ///< `ballot()`, to the disk
        send,           ///< `said` to `to`
        serve,          ///< `said`, with the frames from where it says that they begin up to `until` that there is room for, to `to`
        open_epoch,     ///< append a control frame that opens the epoch, and say `grown`
        append_voters,  ///< append a control frame with `nodes`, announced by `note_voters`, and say `grown`; they may be the same as before
        copy,           ///< append the frames of `said`, and say `grown` for each epoch in them; those with voters are announced by `note_voters` before
        cut,            ///< cut the log at `until`, `depth` deep
        begin_anew,     ///< let go of all of it, and begin at `until`, `depth` deep
    };
    what kind = what::send;
    std::int32_t to = no_node;
    message said{};
    offset until = 0;
    cut_depth depth = cut_depth::uncommitted;
    std::vector<std::int32_t> nodes{};

    // The fields that count, by what it is.

    [[nodiscard]] static action save_ballot() { return {.kind = what::save_ballot}; }
    [[nodiscard]] static action send(std::int32_t to, const message& said) { return {.kind = what::send, .to = to, .said = said}; }
    [[nodiscard]] static action serve(std::int32_t to, const message& said, offset until) { return {.kind = what::serve, .to = to, .said = said, .until = until}; }
    [[nodiscard]] static action open_epoch() { return {.kind = what::open_epoch}; }
    [[nodiscard]] static action append_voters(std::vector<std::int32_t> nodes) { return {.kind = what::append_voters, .nodes = std::move(nodes)}; }
    [[nodiscard]] static action copy(const message& said) { return {.kind = what::copy, .said = said}; }
    [[nodiscard]] static action cut(offset until, cut_depth depth) { return {.kind = what::cut, .until = until, .depth = depth}; }
    [[nodiscard]] static action begin_anew(offset until, cut_depth depth) { return {.kind = what::begin_anew, .until = until, .depth = depth}; }
};

}  // namespace brook::inline BROOK_ABI::replication
