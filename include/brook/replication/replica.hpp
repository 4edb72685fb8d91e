/// \file brook/replication/replica.hpp
/// One replica of a partition: who leads, how far its log goes, and what of it is committed. A state machine without I/O.
/// Floor 3, replication.
///
/// Source  Raft (Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm, sections 5 and 8; Ongaro's thesis: 3.10
///         leadership transfer, 4.1-4.2 membership and learners, 6.2 check-quorum, 9.6 pre-vote), by followers' fetches as in Kafka: KIP-595
///         (the protocol), KIP-101 and KIP-279 (cut by epoch), KIP-966 (who lost its tail does not vote), KIP-996 (pre-vote).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/replication/epoch_line.hpp>
#include <brook/replication/follower_table.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica_action.hpp>
#include <brook/replication/vote_count.hpp>
#include <brook/replication/voter_history.hpp>

namespace brook::inline BROOK_ABI::replication {

/// One replica.
///
/// Whoever drives it says what happens (`receive`, `run_due`, `grown`, `flushed`), each time carries out `take_actions()`, in their order,
/// before anything else is said, and calls it again at `next_due()`. It reads no clock, no file, no network; the same events give the
/// same actions.
///
/// A record is committed when it is below the high watermark: held by a majority, and by min_insync_replicas, and a record of the
/// leader's own epoch stands at or behind it (Raft, 5.4.2). What is committed is in the log of every leader that comes later.
///
/// Threads   confined.
/// Cost      a message costs some 100 ns, and the memory of the actions that it leads to.
class replica {
public:
    /// `saved`: what was on the disk, with the voters that the partition was made with where nothing was. Where something has been, and is
    /// lost, it is a suspect, and is told of the voters of today as well, with the offset and epoch of the record that names them: if it took those
    /// of old for today's, it could help one to lead who has not heard of a change either.
    replica(replica_options options, ballot saved, replica_log log, std::chrono::nanoseconds now);

    // ---- what it is ----

    [[nodiscard]] replication::role role() const noexcept { return role_; }
    [[nodiscard]] std::uint32_t epoch() const noexcept { return epoch_; }
    [[nodiscard]] std::int32_t leader() const noexcept { return leader_; }
    [[nodiscard]] bool is_leader() const noexcept { return role_ == role::leader; }
    [[nodiscard]] replication::ballot ballot() const { return {epoch_, voted_for_, is_suspect_, is_blank_, voters_.sets()}; }
    [[nodiscard]] bool is_suspect() const noexcept { return is_suspect_; }
    [[nodiscard]] const std::vector<voter_set>& voter_sets() const noexcept { return voters_.sets(); }  ///< of the ballot
    [[nodiscard]] const replica_options& options() const noexcept { return options_; }
    [[nodiscard]] const std::vector<std::int32_t>& voters() const noexcept { return voters_.nodes(); }
    [[nodiscard]] bool is_voter(std::int32_t node) const noexcept { return voters_.is_voter(node); }
    [[nodiscard]] offset end() const noexcept { return end_; }
    [[nodiscard]] offset high_watermark() const noexcept { return high_watermark_; }
    [[nodiscard]] const epoch_history& epochs() const noexcept { return epochs_; }

    /// Of a leader: it has opened its epoch, and takes appends.
    [[nodiscard]] bool accepts_appends() const noexcept { return role_ == role::leader && epoch_first_ >= 0 && successor_ == no_node; }

    /// Of a leader: its epoch has committed something, so that it knows how much is committed of what was before.
    [[nodiscard]] bool knows_high_watermark() const noexcept { return role_ == role::leader && epoch_first_ >= 0 && high_watermark_ > epoch_first_; }

    /// It has what was committed when its leader was heard last; of a leader: as `knows_high_watermark`.
    [[nodiscard]] bool is_caught_up() const noexcept { return role_ == role::leader ? knows_high_watermark() : leader_ != no_node && has_all_; }

    /// Of a leader: what it knows of the others.
    [[nodiscard]] const std::vector<follower_progress>& followers() const noexcept { return followers_.all(); }

    /// Of a leader: voters that have been heard of lately, with itself: those that an acknowledgement may count on.
    [[nodiscard]] std::size_t in_sync(std::chrono::nanoseconds now) const noexcept { return followers_.in_sync(voters_, options_.self, now, quorum_timeout()); }

    /// How many have to hold a record before it is committed.
    [[nodiscard]] std::size_t quorum() const noexcept { return quorum_of(voters().size()); }

    /// What happened that somebody should be told of; each is told once.
    [[nodiscard]] std::vector<std::string> take_reports() { return std::exchange(reports_, {}); }

    [[nodiscard]] std::vector<action> take_actions() { return std::exchange(actions_, {}); }

    /// When to call `run_due`; nullopt: never, unless something else happens before.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> next_due() const noexcept;

    // ---- what happens ----

    /// A message has come from another replica of the partition.
    void receive(std::int32_t from, const message& said, std::chrono::nanoseconds now);

    /// Time has passed.
    void run_due(std::chrono::nanoseconds now);

    /// Its log was damaged when it was opened, and did not tell all of its epochs; it is repaired, and does.
    void relearn(epoch_history epochs) { epochs_ = std::move(epochs); }

    /// The log has grown up to `end` by frames of one epoch: this leader's own, or what was copied.
    void grown(std::uint32_t epoch, offset end, std::chrono::nanoseconds now);

    /// A `copy` is done, and `grown` was said for what it has brought. `is_whole`: that was all of it, and it was intact.
    void copied(const message& answer, bool is_whole, std::chrono::nanoseconds now);

    /// Everything below `end` is on this replica's disk.
    void flushed(offset end, std::chrono::nanoseconds now);

    /// `node` has said to somebody else that it does not lead. If this one follows it, it is asked again: within an eighth of an election timeout, however
    /// slow its answers have been.
    void doubt_leader(std::int32_t node, std::chrono::nanoseconds now) noexcept;

    /// Records below `start` were let go of.
    void started_at(offset start);

    /// A record that names voters is going to be at `at`. To be said before it is appended, and saved.
    /// Requires  that they are possible (voter_set).
    /// Returns   false: so many are not committed yet that this cannot be.
    [[nodiscard]] bool note_voters(offset at, std::uint32_t epoch, std::vector<std::int32_t> nodes);

    /// A record at `at` or behind it was announced, and could not be appended.
    /// Returns   true: there was one, and that there is none is to be saved before anything else is said.
    bool forget_voters(offset at);

    /// Its disk cannot be trusted: it says nothing any more, but whom it thinks fit to lead.
    void fail();

    // ---- what its owner wants ----

    /// Its disk takes no records, or takes them again: the leader does not hand the lead to who has said that.
    void note_full(bool is_full) noexcept { is_full_ = is_full; }

    /// Gives the lead up, to the one that has come furthest: for a broker that is about to close.
    void resign(std::chrono::nanoseconds now);

    /// Hands the lead to a voter once it has everything; until then, for an election timeout at most, there are no appends.
    /// Returns   false where it is not the leader, or that one is none to lead.
    bool transfer(std::int32_t to, std::chrono::nanoseconds now);

    /// Why `transfer` would return false, in words; empty: it would not.
    [[nodiscard]] std::string why_no_transfer(std::int32_t to) const;

    /// Has one more decide, or one fewer: one at a time (Raft's thesis, 4.1). Who is to be taken in has to have caught up as a learner.
    /// Returns   why it cannot be done now; empty: it is on its way, and done when it is committed.
    [[nodiscard]] std::string change_voters(std::vector<std::int32_t> wanted, std::chrono::nanoseconds now);

    /// An operator's word that what others have is lost: leads by the votes of those who can be reached, whatever the others may have had.
    /// What had been acknowledged may be gone then, and replicas cut what they had taken for committed. Not for a replica that has just lost its
    /// disk, since it has forgotten which epochs there were; nor for two at once while voters are changed, since each may go on without the other.
    void force_unclean(std::chrono::nanoseconds now);

private:
    /// How a candidate came to be one.
    enum class election {
        ordinary,
        handed_over,  ///< the leader goes, and has named it
        lossy,        ///< it may come to lead without everything that was committed
        forced,       ///< likewise, by an operator's word
    };

    [[nodiscard]] std::chrono::nanoseconds least_patience() const noexcept { return options_.election_timeout / 4; }
    [[nodiscard]] std::chrono::nanoseconds heartbeat() const noexcept { return options_.election_timeout / 8; }
    // No election that it may have voted in, and have forgotten, is still open then: they last for two timeouts, by clocks that may differ.
    [[nodiscard]] std::chrono::nanoseconds suspect_time() const noexcept { return options_.election_timeout * 3; }
    [[nodiscard]] std::chrono::nanoseconds quorum_timeout() const noexcept { return options_.election_timeout * 3 / 2; }
    [[nodiscard]] std::chrono::nanoseconds random_timeout() noexcept;

    [[nodiscard]] log_end tail() const noexcept { return {epochs_.last(), end_}; }

    /// It has records, and of none is known in which epoch it was appended: whatever they are, they are not known to be anybody else's.
    [[nodiscard]] bool is_unreadable() const noexcept { return epochs_.empty() && end_ > log_start_; }

    [[nodiscard]] std::size_t quorum_of(std::size_t count) const noexcept;

    /// Nobody tells it who leads: a learner; or a voter that has been voted out, and asks in vain for votes since it does not know.
    [[nodiscard]] bool is_lost() const noexcept { return leader_ == no_node && (role_ == role::follower || role_ == role::prospective); }

    /// When it asks around who leads; nullopt: it need not. Who has no vote begins no election, and is told of none: where its leader has not answered for an election
    /// timeout, another may lead long since.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> looks_around_at() const noexcept;

    /// A suspect has everything that is committed. Its votes count once those that it may have forgotten do not any more.
    void remember_enough(std::chrono::nanoseconds now);

    // ---- saying ----

    void save() { actions_.push_back(action::save_ballot()); }

    [[nodiscard]] message make(message_kind kind) const;

    [[nodiscard]] message make_begin_epoch() const;

    /// An answer is known by the session and the number of what was asked: in another life the same numbers were given.
    [[nodiscard]] message make_answer(message_kind kind, const message& asked) const;

    /// With the latest voters that are committed: who is none of them any more does not have to agree.
    [[nodiscard]] message make_vote_answer(const message& asked) const;

    void send(std::int32_t to, const message& said) { actions_.push_back(action::send(to, said)); }

    // ---- epochs ----

    /// What is committed here may be from before a leader that lacked it.
    [[nodiscard]] bool is_of_older_line() const noexcept { return line_of(epochs_.at(high_watermark_ - 1)) < line_of(epoch_); }

    /// A later epoch than this one's has begun.
    void enter(std::uint32_t epoch, std::chrono::nanoseconds now);

    void step_down(std::chrono::nanoseconds now);

    void lose_lead(std::chrono::nanoseconds now);

    /// By any voters that are known of, also those whose record may not be there.
    [[nodiscard]] bool may_lead(std::int32_t node) const noexcept;

    /// Somebody says that it leads in `epoch`. Who is no voter is believed where nobody else has said so: this one may not have heard of the latest voters.
    /// Returns   true, and follows.
    bool follow(std::int32_t from, std::uint32_t epoch, std::chrono::nanoseconds now);

    void heard(std::chrono::nanoseconds now);

    /// What must never be has been seen: to go on would make it worse.
    void break_promise(std::string what);

    // ---- elections ----

    void ask_for_votes(std::chrono::nanoseconds now);

    /// Its place among those who have a copy: no other has it. most_in_line or more: it is none of them.
    [[nodiscard]] std::uint32_t number_in_lines() const noexcept;

    void campaign(std::chrono::nanoseconds now, election kind);

    void begin_count();

    void ask_all(message& question);

    void answer_vote(std::int32_t from, const message& asked, std::chrono::nanoseconds now);

    void count_vote(std::int32_t from, const message& answer, std::chrono::nanoseconds now);

    void count(std::chrono::nanoseconds now, agreement needed = agreement::of_all);

    void lead(std::chrono::nanoseconds now);

    /// The leader says that it goes, and who should come.
    void succeed(std::int32_t from, const message& said, std::chrono::nanoseconds now);

    void name_successor();

    // ---- leading ----

    [[nodiscard]] bool is_silent(const follower_progress& one) const noexcept { return is_voter(one.node) && !one.is_parked; }

    void lead_on(std::chrono::nanoseconds now);

    void answer_fetch(std::int32_t from, const message& asked, std::chrono::nanoseconds now);

    /// Whom there is something to tell, or who has waited long enough.
    void answer_parked(std::chrono::nanoseconds now);

    /// It leads no more, which who waits for an answer would not learn otherwise: one that has no vote is told by nobody.
    void refuse_parked();

    [[nodiscard]] bool is_confirmed(const follower_progress& suspect) const noexcept;

    /// As far as enough of the voters hold it, and until a change of them is committed, enough of those before it, too: then enough of those know
    /// of it, and a loss that they can bear does not leave them with what was before. Only what ends in a record of this epoch is committed by counting (Raft, 5.4.2).
    void advance(std::chrono::nanoseconds now);

    /// It was elected by all: nobody had more, and now this has been committed.
    void end_own_suspicion(std::chrono::nanoseconds now);

    /// The voters as of the log's start, for those who never see the record.
    [[nodiscard]] bytes voters_below_start();

    /// Once it has everything the successor is told.
    void hand_over();

    // ---- following ----

    void fetch(std::chrono::nanoseconds now);

    /// Asks, or asks again. How long an answer may take grows while none comes, and comes down to twice what they take: where each takes longer than
    /// that, since the link is slow or a record large, repetitions would fill the link for good.
    void ask_for_more(std::chrono::nanoseconds now);

    /// Who has no leader, or one that does not answer, asks around: a learner is told by nobody.
    void look_for_leader(std::chrono::nanoseconds now);

    void take_answer(std::int32_t from, const message& answer, std::chrono::nanoseconds now);

    /// Everything up to where its log ends is as the leader has it.
    void learn(const message& answer, std::chrono::nanoseconds now);

    /// What two logs have up to the end of the last epoch that they share is the same in both (KIP-101, KIP-279).
    void cut_to(const message& answer);

    /// What is to go from `to` on was not committed; or it was, and everybody knows that what was committed may be lost, or it is of no use here.
    /// Returns   nullopt, and stops, where a leader is wrong.
    [[nodiscard]] std::optional<cut_depth> depth_of_cut(offset to);

    /// Until it has caught up it lacks what it had told of, however little of that anybody needs.
    /// `depth`: what was given up for it already.
    void begin_anew(offset at, const std::optional<voter_set>& told, cut_depth depth = cut_depth::uncommitted);

    replica_options options_;

    // the ballot
    std::uint32_t epoch_;
    std::int32_t voted_for_;
    bool is_suspect_;
    bool is_blank_;
    voter_history voters_;

    replication::role role_ = role::follower;
    std::int32_t leader_ = no_node;
    std::vector<action> actions_;
    std::vector<std::string> reports_;

    // the log
    offset log_start_;
    offset end_;
    offset flushed_;
    offset high_watermark_;
    epoch_history epochs_;

    // elections
    std::chrono::nanoseconds heard_leader_{};
    std::chrono::nanoseconds election_at_{};
    vote_count votes_;
    bool is_forced_ = false;  // this election, by an operator
    bool is_lossy_ = false;   // this election's epoch begins a line of its own
    std::chrono::nanoseconds began_;
    std::uint64_t chance_;

    // leading
    offset epoch_first_ = -1;  // of this leader's first record
    follower_table followers_;
    std::vector<std::byte> told_voters_;
    std::chrono::nanoseconds quorum_checked_at_{};
    std::int32_t successor_ = no_node;
    std::chrono::nanoseconds transfer_until_{};

    // following
    bool is_full_ = false;
    bool has_all_ = false;  // that its leader has told of
    bool awaits_answer_ = false;
    std::uint64_t fetch_number_ = 0;
    offset told_held_ = 0;
    std::int64_t round_seen_ = 0;  // the leader's latest
    std::chrono::nanoseconds fetch_again_at_{};
    std::chrono::nanoseconds asked_first_{};    // the question that is asked again at that time,
    std::chrono::nanoseconds asked_last_at_{};  // and when that was done last
    std::chrono::nanoseconds patience_ = least_patience();
    std::chrono::nanoseconds look_for_leader_at_{};
    std::size_t asked_last_ = 0;
};

}  // namespace brook::inline BROOK_ABI::replication

#if !BROOK_SEPARATE_COMPILATION
#include <brook/replication/bodies/replica.hpp>
#endif
