/// \file brook/replication/voter_history.hpp
/// Who decides in a partition, as of today and before, as far as a replica knows and may have to go back.
/// Floor 3, replication. Source: Ongaro's thesis, 4.1-4.2 (membership); KIP-853.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/ballot.hpp>

namespace brook::inline BROOK_ABI::replication {

using format::epoch_history;
using format::log_end;

/// The voters of a replica's ballot, oldest first: those that are known to be committed, and those of later records, any of which may be cut.
///
/// Of the voters that a suspect knows of there may be some that its log does not go as far as: ghosts. They are not made up: its log may have.
///
/// Threads   confined.
class voter_history {
public:
    /// Requires  that it is not empty.
    explicit voter_history(std::vector<voter_set> sets) : sets_{std::move(sets)} { BROOK_ASSERT(!sets_.empty()); }

    [[nodiscard]] const std::vector<voter_set>& sets() const noexcept { return sets_; }
    [[nodiscard]] const voter_set& latest() const noexcept { return sets_.back(); }

    /// None is known of but those that the partition was made with: no record has named any.
    [[nodiscard]] bool are_first() const noexcept { return latest().at < 0; }

    /// Those that decide now: a change counts from when it is in a log.
    [[nodiscard]] const std::vector<std::int32_t>& nodes() const noexcept { return latest().nodes; }
    [[nodiscard]] bool is_voter(std::int32_t node) const noexcept { return latest().has(node); }

    /// How many make a majority.
    [[nodiscard]] std::size_t majority() const noexcept { return latest().majority(); }

    /// Index of the latest voters that are known to be committed. What is in front of a change is: or it could not have been made.
    [[nodiscard]] std::size_t known(offset high_watermark) const noexcept;

    /// Who is voted out has to lead as long as that is not committed: perhaps nobody else has the record that says so (thesis, 4.2.2).
    [[nodiscard]] bool may_campaign(std::int32_t self, offset high_watermark) const noexcept;

    /// Who is asked for a vote: voters, and those who are until a change is committed. `committed`: where the record ends of voters that somebody
    /// says are committed, those before which do not have to be asked.
    void name_electorate(offset high_watermark, const log_end& committed, std::vector<std::int32_t>& into) const;

    /// As of a log's start, for those who never see the record; null: that is not known any more.
    [[nodiscard]] const voter_set* below(offset start) const noexcept;

    // ---- records that name voters ----

    /// One is going to be at `at`.
    /// Returns   false: so many are not committed yet that this cannot be.
    [[nodiscard]] bool note(offset at, std::uint32_t epoch, std::vector<std::int32_t> nodes, offset high_watermark);

    /// None is at `at`, or behind it, but for those that only a suspect knows of.
    /// Returns   true: there was one.
    bool take_back(offset at);

    /// The log has grown from `from` to `end`, by records of `epoch`.
    /// Returns   true: voters were announced for one that another leader has put something else in the place of, and are taken back.
    bool pass(std::uint32_t epoch, offset from, offset end);

    void forget_old(offset high_watermark);

    /// The log begins at `at`, and `told` are the voters of there, where anybody has said.
    void begin_anew(offset at, const std::optional<voter_set>& told);

    // ---- ghosts ----

    /// The log that has been found ends at `end`.
    void find_ghosts(offset end) noexcept;

    /// Those up to index `known` are committed, and those below `high_watermark`.
    void find_committed_ghosts(std::size_t known, offset high_watermark) noexcept;

    [[nodiscard]] bool has_ghosts() const noexcept { return ghosts_ > 0; }

    /// Where the record ends of the latest of them that is known to be committed.
    [[nodiscard]] const log_end& committed_ghost() const noexcept { return committed_ghost_; }

    /// Those below `until` are not in the log, nor are those of epochs before `epoch`, since its last record is of that one, and an epoch has nothing of
    /// an older one behind it.
    /// Returns   true: there were some, and are no more.
    bool drop_ghosts(offset until = largest_offset, std::uint32_t epoch = 0);

private:
    [[nodiscard]] std::vector<voter_set>::iterator ghost() noexcept { return sets_.end() - static_cast<std::ptrdiff_t>(ghosts_); }

    std::vector<voter_set> sets_;
    std::size_t ghosts_ = 0;
    log_end committed_ghost_;
};

}  // namespace brook::inline BROOK_ABI::replication

#if !BROOK_SEPARATE_COMPILATION
#include <brook/replication/bodies/voter_history.hpp>
#endif
