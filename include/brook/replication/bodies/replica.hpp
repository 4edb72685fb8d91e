/// \file brook/replication/bodies/replica.hpp
/// The functions that replica.hpp declares.
#pragma once

#include <algorithm>
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
#include <brook/replication/replica.hpp>
#include <brook/replication/replica_action.hpp>
#include <brook/replication/vote_count.hpp>

namespace brook::inline BROOK_ABI::replication {

BROOK_INLINE replica::replica(replica_options options, replication::ballot saved, replica_log log, std::chrono::nanoseconds now)
    : options_{options},
      epoch_{saved.epoch},
      voted_for_{saved.voted_for},
      is_suspect_{saved.is_suspect},
      is_blank_{saved.is_blank || (saved.is_suspect && saved.epoch == 0)},
      voters_{std::move(saved.voters)},
      log_start_{log.start},
      end_{log.end},
      flushed_{options.is_durable ? std::min(log.flushed, log.end) : log.end},
      high_watermark_{std::clamp(log.high_watermark, log.start, log.end)},
      epochs_{std::move(log.epochs)},
      began_{now},
      chance_{options.seed ^ 0x9e3779b97f4a7c15u} {
    if (epochs_.last() > epoch_) {  // the ballot was lost: whatever was promised in that epoch, nothing is promised again
        epoch_ = epochs_.last();
        voted_for_ = no_node;
        is_suspect_ = true;
        is_blank_ = true;
    }
    is_suspect_ = is_suspect_ || is_unreadable();
    voters_.find_ghosts(end_);
    if (!is_suspect_) {
        voters_.drop_ghosts();  // announced, and never appended
    } else {
        const bool is_told = epoch_ == 0;  // of the voters of today, by who knows
        voters_.find_committed_ghosts(is_told ? voters_.sets().size() - 1 : voters_.known(high_watermark_), log.high_watermark);
        save();  // or the next start would not know
    }
    heard_leader_ = now - options_.election_timeout * 2;  // it may vote at once
    election_at_ = options_.is_preferred || voters().size() == 1 ? now + options_.election_timeout / 10 : now + random_timeout();
    look_for_leader_at_ = now;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> replica::next_due() const noexcept {
    if (role_ == role::failed) {
        return std::nullopt;
    }
    if (role_ == role::leader) {
        std::chrono::nanoseconds next = quorum_checked_at_;
        for (const follower_progress& one : followers_.all()) {
            if (one.is_parked) {
                next = std::min(next, one.answer_by);
            }
            if (is_silent(one)) {
                next = std::min(next, one.asked + heartbeat());
            }
        }
        return successor_ == no_node ? next : std::min(next, transfer_until_);
    }
    std::optional<std::chrono::nanoseconds> next;
    if (voters_.may_campaign(options_.self, high_watermark_) || is_forced_) {
        next = election_at_;
    }
    if (awaits_answer_) {
        next = next ? std::min(*next, fetch_again_at_) : fetch_again_at_;
    }
    if (const auto look_at = looks_around_at()) {
        next = next ? std::min(*next, *look_at) : *look_at;
    }
    return next;
}

BROOK_INLINE void replica::receive(std::int32_t from, const message& said, std::chrono::nanoseconds now) {
    if (role_ == role::failed || from == options_.self) {
        return;
    }
    switch (said.kind) {
        case message_kind::vote: answer_vote(from, said, now); break;
        case message_kind::vote_answer: count_vote(from, said, now); break;
        case message_kind::begin_epoch:
            if (follow(from, said.epoch, now)) {
                round_seen_ = std::max(round_seen_, said.lead.round);
            }
            break;
        case message_kind::end_epoch: succeed(from, said, now); break;
        case message_kind::fetch: answer_fetch(from, said, now); break;
        case message_kind::fetch_answer: take_answer(from, said, now); break;
    }
}

BROOK_INLINE void replica::run_due(std::chrono::nanoseconds now) {
    if (role_ == role::failed) {
        return;
    }
    if (role_ == role::leader) {
        lead_on(now);
        return;
    }
    if ((voters_.may_campaign(options_.self, high_watermark_) || is_forced_) && now >= election_at_) {
        if (std::exchange(is_forced_, false) && role_ == role::candidate) {
            count(now, agreement::of_who_was_reached);
        }
        if (role_ == role::leader) {
            return;
        }
        if (voters_.may_campaign(options_.self, high_watermark_)) {
            ask_for_votes(now);
        } else {
            role_ = role::follower;
        }
        return;
    }
    if (awaits_answer_ && now >= fetch_again_at_) {
        awaits_answer_ = false;  // it, or its answer, was lost, or is slow
        patience_ = std::min(patience_ * 2, options_.election_timeout * 8);
        ask_for_more(now);  // who has no leader waits for no answer
    }
    if (const auto look_at = looks_around_at(); look_at && now >= *look_at) {
        look_for_leader(now);
    }
}

BROOK_INLINE void replica::grown(std::uint32_t epoch, offset end, std::chrono::nanoseconds now) {
    BROOK_ASSERT(epoch >= epochs_.last() && end >= end_);
    epochs_.note(epoch, end_);
    if (role_ == role::leader && epoch_first_ < 0) {
        epoch_first_ = end_;
    }
    bool has_changed = voters_.pass(epoch, end_, end);
    end_ = end;
    if (role_ != role::leader) {  // where ghosts would be the log has come, or a later epoch has, and they are not there
        has_changed = voters_.drop_ghosts(end, epoch) || has_changed;
    }
    if (has_changed) {
        save();
    }
    if (!options_.is_durable) {
        flushed_ = end;
    }
    if (role_ == role::leader) {
        advance(now);
        answer_parked(now);
    }
}

BROOK_INLINE void replica::copied(const message& answer, bool is_whole, std::chrono::nanoseconds now) {
    if (role_ != role::follower || leader_ == no_node || answer.epoch != epoch_) {
        return;
    }
    learn(answer, now);
    if (is_whole) {
        fetch(now);
    } else {
        awaits_answer_ = true;  // not at once, or a leader whose memory is bad is asked without a pause
        fetch_again_at_ = now + options_.election_timeout / 4;
    }
}

BROOK_INLINE void replica::flushed(offset end, std::chrono::nanoseconds now) {
    if (!options_.is_durable || end <= flushed_) {
        return;
    }
    flushed_ = std::min(end, end_);
    if (role_ == role::leader) {
        advance(now);
        answer_parked(now);
    } else if (leader_ != no_node && awaits_answer_ && flushed_ > told_held_) {
        fetch(now);  // takes the place of the one that the leader keeps
    }
}

BROOK_INLINE void replica::doubt_leader(std::int32_t node, std::chrono::nanoseconds now) noexcept {
    if (role_ == role::follower && leader_ == node && awaits_answer_) {
        fetch_again_at_ = std::min(fetch_again_at_, std::max(now, asked_last_at_ + heartbeat()));
        patience_ = least_patience();
    }
}

BROOK_INLINE void replica::started_at(offset start) {
    log_start_ = std::max(log_start_, start);
    epochs_.start(log_start_);
}

BROOK_INLINE bool replica::note_voters(offset at, std::uint32_t epoch, std::vector<std::int32_t> nodes) {
    voters_.drop_ghosts(role_ == role::leader ? largest_offset : at + 1);
    const bool is_possible = voters_.note(at, epoch, std::move(nodes), high_watermark_);
    save();
    return is_possible;
}

BROOK_INLINE bool replica::forget_voters(offset at) {
    const bool has_changed = voters_.take_back(at);
    if (has_changed) {
        save();
    }
    return has_changed;
}

BROOK_INLINE void replica::fail() {
    if (role_ == role::leader) {
        name_successor();
    }
    role_ = role::failed;
    leader_ = no_node;
}

BROOK_INLINE void replica::resign(std::chrono::nanoseconds now) {
    if (role_ == role::leader) {
        name_successor();
        lose_lead(now);
    }
}

BROOK_INLINE bool replica::transfer(std::int32_t to, std::chrono::nanoseconds now) {
    const follower_progress* const one = followers_.find(to);
    if (!accepts_appends() || to == options_.self || !is_voter(to) || one == nullptr || !one->has_fetched || one->is_suspect || one->is_full) {
        return false;
    }
    successor_ = to;
    transfer_until_ = now + options_.election_timeout;
    hand_over();
    return true;
}

BROOK_INLINE std::string replica::why_no_transfer(std::int32_t to) const {
    if (role_ != role::leader) {
        return "this broker does not lead it; " + (leader_ == no_node ? std::string{"nobody is known to, just now"} : "broker " + std::to_string(leader_) + " does, and has to be asked");
    }
    if (successor_ != no_node) {
        return "its lead is being handed to broker " + std::to_string(successor_) + " already";
    }
    if (to == options_.self) {
        return "this broker leads it already";
    }
    if (!is_voter(to)) {
        return "broker " + std::to_string(to) + " is none of its replicas";
    }
    if (epoch_first_ < 0) {
        return "this broker has only just come to lead it";
    }
    for (const follower_progress& one : followers_.all()) {
        if (one.node == to && one.has_fetched) {
            return one.is_suspect ? "broker " + std::to_string(to) + " has not caught up since it was started: its word does not count yet"
                   : one.is_full  ? "the disk of broker " + std::to_string(to) + " has no room"
                                  : std::string{};
        }
    }
    return "broker " + std::to_string(to) + " does not follow: it has not been heard of since this one leads";
}

BROOK_INLINE std::string replica::change_voters(std::vector<std::int32_t> wanted, std::chrono::nanoseconds now) {
    if (!accepts_appends()) {
        return "it does not lead";
    }
    if (!knows_high_watermark() || voters_.latest().at >= high_watermark_) {
        return "what came before is not committed yet";
    }
    std::size_t added = 0;
    std::size_t removed = 0;
    for (const action& one : actions_) {
        if (one.kind == action::what::append_voters) {
            return "another change is on its way";
        }
    }
    if (wanted.size() > voter_set::most) {
        return "these are too many";
    }
    for (const std::int32_t node : wanted) {
        if (std::count(wanted.begin(), wanted.end(), node) != 1) {
            return "one is named twice";
        }
        if (!is_voter(node)) {
            ++added;
            const follower_progress* const one = followers_.find(node);
            if (one == nullptr || !one->has_fetched || one->is_suspect || one->held < high_watermark_ || now - one->heard > quorum_timeout()) {
                return "broker " + std::to_string(node) + " has not caught up";
            }
        }
    }
    for (const std::int32_t node : voters()) {
        removed += contains(wanted, node) ? 0u : 1u;
    }
    if (added + removed != 1 || wanted.empty()) {
        return "one may come or go at a time";
    }
    actions_.push_back(action::append_voters(std::move(wanted)));
    return {};
}

BROOK_INLINE void replica::force_unclean(std::chrono::nanoseconds now) {
    if (role_ != role::failed && role_ != role::leader) {
        is_forced_ = true;
        campaign(now, election::forced);
    }
}

BROOK_INLINE std::chrono::nanoseconds replica::random_timeout() noexcept {
    chance_ += 0x9e3779b97f4a7c15u;  // splitmix64
    std::uint64_t mixed = chance_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    mixed ^= mixed >> 31;
    const auto span = static_cast<std::uint64_t>(options_.election_timeout.count());
    return options_.election_timeout + std::chrono::nanoseconds{span == 0 ? 0 : static_cast<std::int64_t>(mixed % span)};
}

BROOK_INLINE std::size_t replica::quorum_of(std::size_t count) const noexcept {
    const std::size_t majority = count / 2 + 1;
    return std::min(std::max(majority, options_.min_insync), count);
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> replica::looks_around_at() const noexcept {
    if (is_lost()) {
        return look_for_leader_at_;
    }
    if (role_ == role::follower && awaits_answer_ && !voters_.may_campaign(options_.self, high_watermark_)) {
        return std::max(look_for_leader_at_, asked_first_ + options_.election_timeout);
    }
    return std::nullopt;
}

BROOK_INLINE void replica::remember_enough(std::chrono::nanoseconds now) {
    const bool is_over = now - began_ >= suspect_time();
    if (is_blank_ || is_over) {
        is_blank_ = false;
        is_suspect_ = !is_over;
        voters_.drop_ghosts();
        save();
    }
}

BROOK_INLINE message replica::make(message_kind kind) const {
    message said{kind};
    said.epoch = epoch_;
    said.last_epoch = epochs_.last();
    said.leader = leader_;
    said.session = options_.session;
    said.is_suspect = is_suspect_;
    said.is_blank = is_blank_;
    return said;
}

BROOK_INLINE message replica::make_begin_epoch() const {
    message said = make(message_kind::begin_epoch);
    said.lead.round = followers_.round();
    return said;
}

BROOK_INLINE message replica::make_answer(message_kind kind, const message& asked) const {
    message said = make(kind);
    said.session = asked.session;
    said.number = asked.number;
    return said;
}

BROOK_INLINE message replica::make_vote_answer(const message& asked) const {
    message said = make_answer(message_kind::vote_answer, asked);
    said.is_pre_vote = asked.is_pre_vote;
    const voter_set& known = voters_.sets()[voters_.known(high_watermark_)];
    said.vote_answer.voters_end = known.at + 1;
    said.vote_answer.voters_epoch = known.epoch;
    return said;
}

BROOK_INLINE void replica::enter(std::uint32_t epoch, std::chrono::nanoseconds now) {
    epoch_ = epoch;
    voted_for_ = no_node;
    save();
    step_down(now);
}

BROOK_INLINE void replica::step_down(std::chrono::nanoseconds now) {
    if (role_ != role::follower) {
        election_at_ = now + random_timeout();
    }
    const bool has_led = std::exchange(role_, role::follower) == role::leader;
    leader_ = no_node;
    if (has_led) {
        refuse_parked();
    }
    awaits_answer_ = false;
    is_forced_ = false;
    round_seen_ = 0;
    epoch_first_ = -1;
    successor_ = no_node;
    followers_.clear();
    votes_.end();
    look_for_leader_at_ = now + options_.election_timeout / 2;
}

BROOK_INLINE void replica::lose_lead(std::chrono::nanoseconds now) {
    step_down(now);
    // Of this epoch it knows who led. It must not vote for another one in it, and has not: it voted for itself.
    election_at_ = now + options_.election_timeout + random_timeout();  // the others first
}

BROOK_INLINE bool replica::may_lead(std::int32_t node) const noexcept {
    return std::any_of(voters_.sets().begin(), voters_.sets().end(), [node](const voter_set& one) { return one.has(node); });
}

BROOK_INLINE bool replica::follow(std::int32_t from, std::uint32_t epoch, std::chrono::nanoseconds now) {
    if (epoch < epoch_) {
        message stale = make(message_kind::fetch_answer);  // so that it learns of the epoch
        stale.outcome = fetch_outcome::not_leader;
        send(from, stale);
        return false;
    }
    if (epoch > epoch_) {
        enter(epoch, now);
    }
    if ((role_ == role::leader || (leader_ != no_node && leader_ != from)) && !may_lead(from)) {
        return false;  // nobody has elected it
    }
    if (role_ == role::leader || (leader_ != no_node && leader_ != from && may_lead(leader_))) {
        break_promise("two leaders in epoch " + std::to_string(epoch) + ": brokers " + std::to_string(from) + " and " + std::to_string(leader_));
        return false;
    }
    const bool is_new = leader_ != from;
    role_ = role::follower;
    is_forced_ = false;
    votes_.end();
    leader_ = from;
    heard(now);
    if (is_new) {
        round_seen_ = 0;
        has_all_ = false;
        awaits_answer_ = false;
        fetch(now);
    }
    return true;
}

BROOK_INLINE void replica::heard(std::chrono::nanoseconds now) {
    heard_leader_ = now;
    election_at_ = now + random_timeout();
}

BROOK_INLINE void replica::break_promise(std::string what) {
    reports_.push_back(std::move(what) + "; this replica has stopped");
    role_ = role::failed;
    leader_ = no_node;
}

BROOK_INLINE void replica::ask_for_votes(std::chrono::nanoseconds now) {
    election_at_ = now + random_timeout();
    leader_ = no_node;
    awaits_answer_ = false;
    role_ = role::prospective;
    begin_count();
    message question = make(message_kind::vote);
    question.is_pre_vote = true;
    ask_all(question);
    if (is_blank_) {
        for (const std::int32_t node : options_.peers) {
            if (node != options_.self && !votes_.has_vote(node)) {
                send(node, question);  // its vote does not count, and its epoch does
            }
        }
    }
    count(now);
}

BROOK_INLINE std::uint32_t replica::number_in_lines() const noexcept {
    const std::vector<std::int32_t>& all = options_.peers;
    if (all.empty()) {
        return static_cast<std::uint32_t>(options_.self);
    }
    return contains(all, options_.self) ? static_cast<std::uint32_t>(std::count_if(all.begin(), all.end(), [&](std::int32_t node) { return node < options_.self; })) : most_in_line;
}

BROOK_INLINE void replica::campaign(std::chrono::nanoseconds now, election kind) {
    const bool is_lossy = kind == election::lossy || kind == election::forced;
    const std::uint32_t who = number_in_lines();
    if ((is_lossy || is_lossy_epoch(epoch_ + 1)) && who >= most_in_line) {
        reports_.push_back("broker " + std::to_string(options_.self) + " cannot begin a line of epochs, which its election would take: it is none of the peers");
        return;
    }
    const std::uint32_t next = is_lossy ? next_lossy_epoch(epoch_, who) : next_epoch(epoch_, who);
    if (next > message::largest_epoch) {
        break_promise("epoch " + std::to_string(epoch_) + " is the last one there is");
        return;
    }
    role_ = role::candidate;
    leader_ = no_node;
    awaits_answer_ = false;
    election_at_ = now + random_timeout();
    is_lossy_ = is_lossy;
    epoch_ = next;
    voted_for_ = options_.self;
    save();
    begin_count();
    message question = make(message_kind::vote);
    question.is_transfer = kind == election::handed_over || kind == election::forced;  // also those vote who hear of a leader
    ask_all(question);
    count(now);
}

BROOK_INLINE void replica::begin_count() {
    votes_.begin(voters_, high_watermark_);
    if (votes_.has_vote(options_.self)) {
        votes_.add({options_.self, true, is_suspect_, is_blank_});
    }
}

BROOK_INLINE void replica::ask_all(message& question) {
    question.number = votes_.number();
    question.vote.end = end_;
    question.vote.voters_end = voters_.latest().at + 1;
    question.vote.voters_epoch = voters_.latest().epoch;
    for (const std::int32_t node : votes_.electorate()) {
        if (node != options_.self) {
            send(node, question);
        }
    }
}

BROOK_INLINE void replica::answer_vote(std::int32_t from, const message& asked, std::chrono::nanoseconds now) {
    message answer = make_vote_answer(asked);
    // Who hears of its leader does not help to depose it (thesis, 4.2.3), and does not take the epoch of one who was cut off.
    const bool has_leader = role_ == role::leader || (leader_ != no_node && now - heard_leader_ < options_.election_timeout);
    const bool is_deaf = has_leader && !asked.is_transfer;
    if (!is_deaf && !asked.is_pre_vote && asked.epoch > epoch_) {
        enter(asked.epoch, now);
        answer = make_vote_answer(asked);
    }
    bool is_complete = log_end{asked.last_epoch, asked.vote.end} >= tail();  // Raft, 5.4.1
    const bool is_forced = asked.is_transfer && is_lossy_epoch(asked.epoch);
    if (voters_.has_ghosts() && !is_forced) {  // whoever has not heard of voters that were committed may lack what they have committed since
        const log_end known{static_cast<std::uint32_t>(asked.vote.voters_epoch), asked.vote.voters_end};
        is_complete = is_complete && std::max(known, log_end{asked.last_epoch, asked.vote.end}) >= voters_.committed_ghost();
    }
    if (asked.is_pre_vote) {
        answer.is_granted = !is_deaf && asked.epoch >= epoch_ && is_complete;
    } else if (!is_deaf && asked.epoch == epoch_ && is_complete && (role_ == role::follower || role_ == role::prospective) && leader_ == no_node &&
               (voted_for_ == no_node || voted_for_ == from)) {
        if (voted_for_ != from) {
            voted_for_ = from;
            save();
        }
        role_ = role::follower;
        votes_.end();
        election_at_ = now + random_timeout();
        answer.is_granted = true;
    }
    send(from, answer);
}

BROOK_INLINE void replica::count_vote(std::int32_t from, const message& answer, std::chrono::nanoseconds now) {
    if (answer.epoch > epoch_) {
        if (!answer.is_pre_vote || !answer.is_granted) {
            enter(answer.epoch, now);
            return;
        }
    }
    const bool is_awaited = (role_ == role::prospective && answer.is_pre_vote) || (role_ == role::candidate && !answer.is_pre_vote && answer.epoch == epoch_);
    // A vote counts for as long as its election lasts and no longer, whoever was asleep: whoever gave it may have lost all since, and forgotten.
    if (!is_awaited || now >= election_at_ || answer.session != options_.session || answer.number != votes_.number()) {
        return;
    }
    if (!votes_.has_vote(from)) {
        const bool is_peer = contains(options_.peers, from);
        if (answer.is_pre_vote && is_peer && votes_.add_witness(from)) {
            count(now);
        }
        return;
    }
    if (!votes_.add({from, answer.is_granted, answer.is_suspect, answer.is_blank})) {
        return;
    }
    votes_.learn_committed({static_cast<std::uint32_t>(answer.vote_answer.voters_epoch), answer.vote_answer.voters_end}, voters_, high_watermark_);
    count(now);
}

BROOK_INLINE void replica::count(std::chrono::nanoseconds now, agreement needed) {
    // Not without syncs, since what was committed may have gone with the power; nor where voters are known that a record has named: others have had that.
    const bool may_be_first = end_ == 0 && voters_.are_first() && options_.may_be_beginning && options_.is_durable;
    const tally votes = votes_.count(voters_, {is_suspect_, may_be_first}, needed);
    if (votes == tally::none) {
        return;
    }
    if (role_ == role::prospective) {
        if (votes != tally::lossy || !votes_.is_blank() || votes_.have_all_told(options_.peers, options_.self)) {
            campaign(now, votes == tally::lossy ? election::lossy : election::ordinary);
        }
        return;
    }
    if (votes == tally::lossy) {
        if (!is_lossy_) {
            return;  // somebody became suspect meanwhile: it takes another epoch
        }
        reports_.push_back("leads in epoch " + std::to_string(epoch_) + " from offset " + std::to_string(end_) +
                           (needed == agreement::of_who_was_reached ? ", as an operator has forced: what others had is lost"
                                                                    : ", elected by replicas that may all have lost their last records: none has more"));
    }
    lead(now);
}

BROOK_INLINE void replica::lead(std::chrono::nanoseconds now) {
    role_ = role::leader;
    leader_ = options_.self;
    is_forced_ = false;
    epoch_first_ = -1;
    successor_ = no_node;
    votes_.end();
    followers_.begin(voters_, options_.self, now);
    for (const follower_progress& one : followers_.all()) {
        send(one.node, make_begin_epoch());
    }
    quorum_checked_at_ = now + quorum_timeout();
    actions_.push_back(action::open_epoch());
    if (is_lossy_) {  // records that name voters may be among what is lost: others do not have to believe the same
        actions_.push_back(action::append_voters(voters()));
    }
}

BROOK_INLINE void replica::succeed(std::int32_t from, const message& said, std::chrono::nanoseconds now) {
    if (said.epoch != epoch_ || role_ == role::leader || (leader_ != no_node && leader_ != from)) {
        return;
    }
    leader_ = no_node;
    awaits_answer_ = false;
    heard_leader_ = now - options_.election_timeout * 2;  // free to vote
    if (said.leader == options_.self && voters_.may_campaign(options_.self, high_watermark_) && !is_suspect_) {
        campaign(now, election::handed_over);
    } else {
        election_at_ = now + random_timeout();
    }
}

BROOK_INLINE void replica::name_successor() {
    message gone = make(message_kind::end_epoch);
    gone.leader = followers_.successor(voters_);
    for (const follower_progress& one : followers_.all()) {
        send(one.node, gone);
    }
}

BROOK_INLINE void replica::lead_on(std::chrono::nanoseconds now) {
    if (successor_ != no_node && now >= transfer_until_) {
        successor_ = no_node;  // it did not work out
    }
    if (now >= quorum_checked_at_) {
        if (in_sync(now) < voters_.majority()) {  // nothing can be committed, and somebody else may lead by now (thesis, 6.2)
            lose_lead(now);
            return;
        }
        quorum_checked_at_ = now + heartbeat();
        end_own_suspicion(now);
    }
    answer_parked(now);
    for (follower_progress& one : followers_.all()) {
        if (is_silent(one) && now - one.asked >= heartbeat()) {
            one.asked = now;
            send(one.node, make_begin_epoch());
        }
    }
}

BROOK_INLINE void replica::answer_fetch(std::int32_t from, const message& asked, std::chrono::nanoseconds now) {
    if (asked.epoch > epoch_) {
        enter(asked.epoch, now);
    }
    if (role_ != role::leader || asked.epoch < epoch_) {
        message other = make_answer(message_kind::fetch_answer, asked);
        other.outcome = fetch_outcome::not_leader;
        send(from, other);
        return;
    }
    follower_progress* const one = followers_.take_fetch(from, asked, voters_, now);
    if (one == nullptr) {
        return;
    }
    message answer = make_answer(message_kind::fetch_answer, asked);
    answer.fetch_answer = {asked.fetch.end, followers_.round(), high_watermark_, log_start_};
    const log_comparison theirs = compare_logs(asked, epochs_, log_start_, end_);
    answer.outcome = theirs.outcome;
    if (theirs.outcome == fetch_outcome::below_start) {
        answer.frames = voters_below_start();
        send(from, answer);
        return;
    }
    if (theirs.outcome == fetch_outcome::diverging) {
        answer.last_epoch = theirs.mine.epoch;
        answer.fetch_answer.end = theirs.mine.end;
        send(from, answer);
        return;
    }
    one->fetched = asked.fetch.end;
    one->held = std::min(asked.fetch.held, asked.fetch.end);
    BROOK_ASSERT(one->held <= one->fetched && one->fetched <= end_);
    advance(now);
    if (role_ != role::leader) {
        return;  // it has been voted out
    }
    one->is_parked = true;
    one->answer_by = now + heartbeat();
    answer_parked(now);
    hand_over();
}

BROOK_INLINE void replica::answer_parked(std::chrono::nanoseconds now) {
    for (follower_progress& one : followers_.all()) {
        if (!one.is_parked || (one.fetched >= end_ && one.knows >= high_watermark_ && now < one.answer_by)) {
            continue;
        }
        one.is_parked = false;
        message answer = make(message_kind::fetch_answer);
        answer.session = one.session;
        answer.number = one.number;
        answer.is_confirmed = is_confirmed(one);
        answer.fetch_answer = {one.fetched, followers_.round(), high_watermark_, log_start_};
        actions_.push_back(action::serve(one.node, answer, end_));
    }
}

BROOK_INLINE void replica::refuse_parked() {
    for (const follower_progress& one : followers_.all()) {
        if (one.is_parked) {
            message other = make(message_kind::fetch_answer);
            other.session = one.session;
            other.number = one.number;
            other.outcome = fetch_outcome::not_leader;
            send(one.node, other);
        }
    }
}

BROOK_INLINE bool replica::is_confirmed(const follower_progress& suspect) const noexcept {
    return followers_.is_confirmed(suspect, voters_, voters_.known(high_watermark_), options_.self, is_suspect_);
}

BROOK_INLINE void replica::advance(std::chrono::nanoseconds now) {
    // Who remembers nothing may have voted in a later epoch, and holds for this leader what that one has others replace. Not where this
    // epoch was to be later than any: then whoever is left has to do.
    const auto may_count = [this](const follower_progress& one) { return !one.is_blank || is_lossy_ || is_confirmed(one); };
    offset all_hold = end_;
    for (std::size_t i = voters_.known(high_watermark_); i < voters_.sets().size(); ++i) {
        const std::vector<std::int32_t>& nodes = voters_.sets()[i].nodes;
        all_hold = std::min(all_hold, followers_.held_by(nodes, quorum_of(nodes.size()), options_.self, flushed_, may_count));
    }
    if (all_hold > high_watermark_ && epoch_first_ >= 0 && all_hold > epoch_first_) {
        high_watermark_ = all_hold;
        BROOK_ASSERT(high_watermark_ <= end_);
        voters_.forget_old(high_watermark_);
        if (!is_voter(options_.self) && voters_.latest().at < high_watermark_) {  // voted out (thesis, 4.2.2)
            answer_parked(now);
            name_successor();
            lose_lead(now);
            return;
        }
    }
    end_own_suspicion(now);
}

BROOK_INLINE void replica::end_own_suspicion(std::chrono::nanoseconds now) {
    if (is_suspect_ && knows_high_watermark() && flushed_ >= high_watermark_) {
        remember_enough(now);
    }
}

BROOK_INLINE bytes replica::voters_below_start() {
    told_voters_.clear();
    if (const voter_set* const told = voters_.below(log_start_)) {
        told->encode(told_voters_);
    }
    return told_voters_;
}

BROOK_INLINE void replica::hand_over() {
    const follower_progress* const one = successor_ == no_node ? nullptr : followers_.find(successor_);
    if (one != nullptr && one->fetched >= end_) {
        message gone = make(message_kind::end_epoch);
        gone.leader = successor_;
        send(successor_, gone);
    }
}

BROOK_INLINE void replica::fetch(std::chrono::nanoseconds now) {
    asked_first_ = now;
    ask_for_more(now);
}

BROOK_INLINE void replica::ask_for_more(std::chrono::nanoseconds now) {
    message question = make(message_kind::fetch);
    question.number = ++fetch_number_;
    question.fetch.end = end_;
    question.is_empty = end_ == log_start_;
    question.is_full = is_full_;
    question.fetch.held = std::min(flushed_, end_);
    question.fetch.high_watermark = high_watermark_;
    question.fetch.round = round_seen_;
    told_held_ = question.fetch.held;
    awaits_answer_ = true;
    asked_last_at_ = now;
    fetch_again_at_ = now + patience_;
    send(leader_, question);
}

BROOK_INLINE void replica::look_for_leader(std::chrono::nanoseconds now) {
    look_for_leader_at_ = now + options_.election_timeout / 2;
    const std::vector<std::int32_t>& all = voters();
    for (std::size_t tried = 0; tried < all.size(); ++tried) {
        const std::int32_t node = all[asked_last_++ % all.size()];
        if (node != options_.self && node != leader_) {
            message question = make(message_kind::fetch);
            question.number = leader_ == no_node ? ++fetch_number_ : fetch_number_;  // what the leader was asked it may still answer
            question.fetch.end = end_;
            question.is_empty = end_ == log_start_;
            question.fetch.held = 0;  // nothing is told to a stranger
            send(node, question);
            return;
        }
    }
}

BROOK_INLINE void replica::take_answer(std::int32_t from, const message& answer, std::chrono::nanoseconds now) {
    if (answer.outcome == fetch_outcome::not_leader) {
        if (answer.epoch > epoch_) {
            enter(answer.epoch, now);
        }
        if (answer.epoch == epoch_ && leader_ == from && answer.leader != from) {
            leader_ = no_node;  // it has given up
            awaits_answer_ = false;
            look_for_leader_at_ = now + heartbeat();
        }
        if (answer.epoch == epoch_ && leader_ == no_node && answer.leader != no_node && answer.leader != options_.self && is_lost()) {
            role_ = role::follower;
            leader_ = answer.leader;  // by hearsay: it is asked, and not yet counted as heard
            heard_leader_ = now - options_.election_timeout * 2;
            awaits_answer_ = false;
            fetch(now);
        }
        return;
    }
    if (answer.epoch < epoch_ || role_ == role::leader || answer.session != options_.session) {
        return;
    }
    if (answer.epoch > epoch_ || leader_ != from) {
        if (!follow(from, answer.epoch, now)) {
            return;
        }
    }
    heard(now);
    round_seen_ = std::max(round_seen_, answer.fetch_answer.round);
    // To a question that was asked again meanwhile: records are what they were, since this leader has them in front of where this log still ends.
    const bool is_late_copy = answer.outcome == fetch_outcome::records && answer.fetch_answer.end == end_ && !answer.frames.empty();
    if (!awaits_answer_ || (answer.number != fetch_number_ && !is_late_copy)) {
        return;
    }
    awaits_answer_ = false;
    patience_ = std::clamp(std::max((now - asked_first_) * 2, patience_ * 3 / 4), least_patience(), options_.election_timeout * 8);
    switch (answer.outcome) {
        case fetch_outcome::diverging: cut_to(answer); break;
        case fetch_outcome::below_start: begin_anew(answer.fetch_answer.log_start, voter_set::decode(answer.frames)); break;
        case fetch_outcome::records:
            if (answer.fetch_answer.end != end_) {
                break;  // of an earlier question
            }
            if (!answer.frames.empty()) {
                actions_.push_back(action::copy(answer));
                return;  // goes on with `copied`
            }
            learn(answer, now);
            break;
        case fetch_outcome::not_leader: break;
    }
    if (role_ == role::follower) {  // else it has stopped
        fetch(now);
    }
}

BROOK_INLINE void replica::learn(const message& answer, std::chrono::nanoseconds now) {
    high_watermark_ = std::max(high_watermark_, std::min(answer.fetch_answer.high_watermark, end_));
    // What was committed before this leader's epoch is below its high watermark once that has passed the epoch's first record.
    const bool knows_all = !epochs_.empty() && epochs_.last() == epoch_ && answer.fetch_answer.high_watermark > epochs_.starts().back().first;
    const bool has_all = knows_all && std::min(flushed_, end_) >= answer.fetch_answer.high_watermark;
    has_all_ = knows_all && end_ >= answer.fetch_answer.high_watermark;
    if (is_suspect_ && answer.is_confirmed && has_all) {
        remember_enough(now);
    }
    voters_.forget_old(high_watermark_);
}

BROOK_INLINE void replica::cut_to(const message& answer) {
    const log_end mine = epochs_.end_of(answer.last_epoch, end_);
    const offset to = std::min(answer.fetch_answer.end, mine.end);
    if (to >= end_) {
        break_promise("the leader of epoch " + std::to_string(epoch_) + " has another history, and does not say from where");
        return;
    }
    const auto depth = depth_of_cut(to);
    if (!depth) {
        return;
    }
    if (to < log_start_) {
        begin_anew(answer.fetch_answer.log_start, std::nullopt, *depth);
        return;
    }
    actions_.push_back(action::cut(to, *depth));
    end_ = to;
    flushed_ = std::min(flushed_, to);
    epochs_.cut(to);
    forget_voters(to);
}

BROOK_INLINE std::optional<cut_depth> replica::depth_of_cut(offset to) {
    if (to >= high_watermark_) {
        return cut_depth::uncommitted;
    }
    if (is_unreadable()) {
        reports_.push_back("nothing up to the high watermark " + std::to_string(high_watermark_) + " can be told from what others have: it is copied anew from offset " +
                           std::to_string(to) + " on");
        high_watermark_ = to;
        return cut_depth::committed;
    }
    if (!is_of_older_line()) {
        break_promise("the leader of epoch " + std::to_string(epoch_) + " lacks what was committed: it wants the log cut at offset " +
                      std::to_string(to) + ", and " + std::to_string(high_watermark_) + " is the high watermark");
        return std::nullopt;
    }
    reports_.push_back("records from offset " + std::to_string(to) + " up to the high watermark " + std::to_string(high_watermark_) +
                       " are cut: the leader of epoch " + std::to_string(epoch_) + " does not have them, and leads nevertheless");
    high_watermark_ = to;
    is_suspect_ = true;  // who dies in the middle of cutting has less than it had told of
    save();
    return cut_depth::committed;
}

BROOK_INLINE void replica::begin_anew(offset at, const std::optional<voter_set>& told, cut_depth depth) {
    const auto further = depth_of_cut(at);
    if (!further) {
        return;
    }
    is_suspect_ = true;
    voters_.begin_anew(at, told);
    save();
    actions_.push_back(action::begin_anew(at, std::max(depth, *further)));
    log_start_ = at;
    end_ = at;
    flushed_ = at;
    high_watermark_ = at;
    epochs_.clear();
}

}  // namespace brook::inline BROOK_ABI::replication
