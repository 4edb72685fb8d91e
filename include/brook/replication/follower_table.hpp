/// \file brook/replication/follower_table.hpp
/// What a leader knows of those who copy its log: how far they are, and how many have what.
/// Floor 3, replication. Source: Raft, 5.3-5.4, by followers' fetches (KIP-595).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/voter_history.hpp>

namespace brook::inline BROOK_ABI::replication {

/// Somebody reads the log and copies it: what a leader knows of another replica.
struct follower_progress {
    std::int32_t node = no_node;
    std::uint64_t session = 0;
    std::uint64_t number = 0;                 ///< of its latest fetch
    offset fetched = 0;                       ///< its log is the leader's up to there,
    offset held = 0;                          ///< and this much of it counts
    std::int64_t confirmed = 0;               ///< the latest round of this leader's that it has heard of
    std::int64_t needed = 0;                  ///< of a suspect: the round that has to be confirmed before its suspicion can end
    std::chrono::nanoseconds heard{};         ///< when it fetched last
    std::chrono::nanoseconds asked{};         ///< when it was last told who leads
    bool has_fetched = false;                 ///< in this epoch
    bool is_parked = false;                   ///< its latest fetch waits for something to tell
    bool is_suspect = false;
    bool is_blank = false;
    bool is_full = false;                     ///< its disk has taken no records lately
    offset knows = 0;                         ///< the high watermark that it knows
    std::chrono::nanoseconds answer_by{};     ///< of the parked fetch
};

/// What a follower's log is to the leader's.
struct log_comparison {
    fetch_outcome outcome = fetch_outcome::records;  ///< records: a part of it; diverging; below_start
    log_end mine;                                    ///< diverging: the epoch that the follower's log ends in, or the one before, and where that ends here
};

/// What two logs have up to the end of the last epoch that they share is the same in both (KIP-101, KIP-279).
/// `epochs`, `start`, `end`: of the leader's log.
[[nodiscard]] BROOK_INLINE log_comparison compare_logs(const message& fetch, const epoch_history& epochs, offset start, offset end) noexcept;

/// Those who fetch in an epoch, and the voters that have not yet.
///
/// Rounds are numbers that a leader says and followers repeat: who repeats one has heard of this leader since it was first said.
///
/// Threads   confined.
/// Cost      O(followers).
class follower_table {
public:
    static constexpr std::size_t most = 256;  ///< that are remembered: numbers of others can be made up

    [[nodiscard]] std::vector<follower_progress>& all() noexcept { return all_; }
    [[nodiscard]] const std::vector<follower_progress>& all() const noexcept { return all_; }
    [[nodiscard]] std::int64_t round() const noexcept { return round_; }

    /// `self` leads from now on.
    void begin(const voter_history& voters, std::int32_t self, std::chrono::nanoseconds now);

    void clear() noexcept { all_.clear(); }

    [[nodiscard]] follower_progress* find(std::int32_t node) noexcept;

    /// A fetch has come. How far it goes counts once it has been compared.
    /// Returns   null: it is late, or comes twice, or there is no room.
    [[nodiscard]] follower_progress* take_fetch(std::int32_t from, const message& asked, const voter_history& voters, std::chrono::nanoseconds now);

    /// As far as `quorum` of `nodes` hold the log; `self`, which leads, holds it up to `own`. Of the others those for whom `counts(progress)`.
    template <class Counts>
    [[nodiscard]] offset held_by(const std::vector<std::int32_t>& nodes, std::size_t quorum, std::int32_t self, offset own, const Counts& counts) {
        held_.clear();
        for (const std::int32_t node : nodes) {
            offset held = 0;
            if (node == self) {
                held = own;
            } else if (const follower_progress* const one = find(node); one != nullptr && one->has_fetched && counts(*one)) {
                held = one->held;
            }
            held_.push_back(held);
        }
        const auto nth = held_.begin() + static_cast<std::ptrdiff_t>(quorum - 1);
        std::nth_element(held_.begin(), nth, held_.end(), [](offset one, offset other) { return one > other; });
        return *nth;
    }

    /// Voters that have fetched within `timeout`, with `self`.
    [[nodiscard]] std::size_t in_sync(const voter_history& voters, std::int32_t self, std::chrono::nanoseconds now, std::chrono::nanoseconds timeout) const noexcept;

    /// Whether a suspect may believe that it has everything when it has what this leader has. It may have forgotten a later epoch: this one
    /// has to have been the latest after it began to fetch. So many others have said so since that no election can have done without all of them,
    /// whichever of the voters from index `known` on it was of.
    [[nodiscard]] bool is_confirmed(const follower_progress& suspect, const voter_history& voters, std::size_t known, std::int32_t self, bool is_self_suspect) const noexcept;

    /// Of those that can lead the one that has come furthest; no_node: there is none.
    [[nodiscard]] std::int32_t successor(const voter_history& voters) const noexcept;

private:
    /// Where there are too many, in the place of the one that has not been heard of for longest, and does not vote: whoever asks for records still is
    /// heard of again and again. Null: all vote.
    [[nodiscard]] follower_progress* admit(std::int32_t node, const voter_history& voters);

    std::vector<follower_progress> all_;
    std::int64_t round_ = 0;
    std::vector<offset> held_;  // memory of `held_by`
};

}  // namespace brook::inline BROOK_ABI::replication

#if !BROOK_SEPARATE_COMPILATION
#include <brook/replication/bodies/follower_table.hpp>
#endif
