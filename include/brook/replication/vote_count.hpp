/// \file brook/replication/vote_count.hpp
/// Whose votes an election has, and whether they elect.
/// Floor 3, replication. Source: Raft, 5.2; KIP-966 (who lost its tail does not vote).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/voter_history.hpp>

namespace brook::inline BROOK_ABI::replication {

/// What the votes of an election come to.
enum class tally : std::uint8_t {
    none,      ///< nobody is elected, as yet
    clean,     ///< a majority of those whose word counts: one that has everything that is committed
    pristine,  ///< nothing has begun yet: one that lacks nothing
    lossy,     ///< all there are, whether or not they may have lost something: nobody has more, and something may be lost
};

/// Who has to agree where no majority does whose word counts.
enum class agreement : std::uint8_t {
    of_all,            ///< who has a vote, also those who are no voters by a record that is perhaps not committed
    of_who_was_reached,  ///< an operator has said that the others are lost
};

/// One election after the other, pre-votes among them.
///
/// Threads   confined.
class vote_count {
public:
    struct vote {
        std::int32_t node;
        bool is_granted;
        bool is_suspect;
        bool is_blank;
    };

    /// What the candidate is.
    struct candidate {
        bool is_suspect = false;
        bool may_be_first = false;  ///< its log is empty, and perhaps nobody ever had anything
    };

    /// Another election begins.
    void begin(const voter_history& voters, offset high_watermark) {
        votes_.clear();
        witnesses_.clear();
        voters.name_electorate(high_watermark, committed_voters_, electorate_);
        ++number_;
    }

    /// There is none any more.
    void end() noexcept { votes_.clear(); }

    /// Of the election, and of its questions.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    /// Who is asked.
    [[nodiscard]] const std::vector<std::int32_t>& electorate() const noexcept { return electorate_; }
    [[nodiscard]] bool has_vote(std::int32_t node) const noexcept { return contains(electorate_, node); }

    /// Returns   false: it has voted already.
    bool add(const vote& given) {
        if (std::any_of(votes_.begin(), votes_.end(), [&](const vote& one) { return one.node == given.node; })) {
            return false;
        }
        votes_.push_back(given);
        return true;
    }

    /// Somebody without a vote has told of its epoch.
    /// Returns   false: and had before.
    bool add_witness(std::int32_t node) {
        if (contains(witnesses_, node)) {
            return false;
        }
        witnesses_.push_back(node);
        return true;
    }

    /// Somebody says that the voters whose record ends there are committed: those before do not have to agree.
    void learn_committed(const log_end& told, const voter_history& voters, offset high_watermark) {
        if (told > committed_voters_) {
            committed_voters_ = told;
            voters.name_electorate(high_watermark, committed_voters_, electorate_);
        }
    }

    [[nodiscard]] tally count(const voter_history& voters, const candidate& who, agreement needed) const noexcept {
        const bool is_forced = needed == agreement::of_who_was_reached;
        std::size_t clean = 0;
        std::size_t all = 0;
        for (const vote& one : votes_) {
            all += one.is_granted && has_vote(one.node) ? 1u : 0u;
            clean += one.is_granted && !one.is_suspect && voters.is_voter(one.node) ? 1u : 0u;
        }
        if (const voter_set& latest = voters.latest(); !is_forced && committed_voters_ > log_end{latest.epoch, latest.at + 1}) {
            return tally::none;  // it has lost the record that names the voters of today, or has not got it yet: those of old do not decide
        }
        if (clean >= voters.majority() && !who.is_suspect) {
            return tally::clean;
        }
        if (all < electorate_.size() && !(is_forced && all > 0 && all == votes_.size())) {
            return tally::none;
        }
        return is_blank() && who.may_be_first ? tally::pristine : tally::lossy;
    }

    /// All who have a vote have said that they remember nothing.
    [[nodiscard]] bool is_blank() const noexcept {
        const auto blank = std::count_if(votes_.begin(), votes_.end(), [this](const vote& one) { return one.is_blank && has_vote(one.node); });
        return static_cast<std::size_t>(blank) == electorate_.size();
    }

    /// Where all who vote have forgotten which epochs there were, those who only copy may know of some: an epoch of theirs must not be had twice.
    /// Who has told of a later one is not counted: that one has been entered.
    [[nodiscard]] bool have_all_told(const std::vector<std::int32_t>& peers, std::int32_t self) const noexcept {
        return std::all_of(peers.begin(), peers.end(), [&](std::int32_t node) { return node == self || has_vote(node) || contains(witnesses_, node); });
    }

private:
    std::uint64_t number_ = 0;
    std::vector<std::int32_t> electorate_;
    std::vector<vote> votes_;
    std::vector<std::int32_t> witnesses_;  // those that do not vote, and have told of their epoch
    log_end committed_voters_;             // of which somebody says that they are committed, in this election or in one before
};

}  // namespace brook::inline BROOK_ABI::replication
