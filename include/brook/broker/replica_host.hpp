/// \file brook/broker/replica_host.hpp
/// The replicas of one broker: begun, spoken to, and what they want done, in an order that keeps promises.
/// Floor 4, broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/ballot_file.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/peer_sessions.hpp>
#include <brook/broker/replica_actions.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// How a topic's directory came to be here.
enum class provenance {
    here,        ///< it was there when the broker was opened
    newly_made,  ///< the cluster has just made the topic, and this broker was a member by then
    lost,        ///< it was made just now, and may have been here before
};

/// The replicas hosted here.
///
/// Whoever says something to a replica's machine `touch`es it, and `settle`s before the lock is free: ballots are written and synced, all at once,
/// and only then what the machines want is done, and their messages leave. A replica whose disk fails says nothing any more; where the ballots
/// cannot be written that is all of them.
///
/// Threads   confined, to whoever holds the member's lock; but for `open` and `session`, before there are others.
/// Cost      a look-up is O(log replicas). `settle` costs a sync where some machine has promised something, else no system call but the appends.
class replica_host {
public:
    replica_host(os::platform& platform, const std::string& directory, std::int32_t self, const std::vector<std::int32_t>& peers, std::chrono::nanoseconds election_timeout, departures& out,
                 replica_listener& told)
        : platform_{platform}, self_{self}, election_timeout_{election_timeout}, out_{out}, listener_{told}, actions_{platform, self, out, told}, ballots_{platform, directory}, peers_{peers} {}

    /// Errors    thrown: as ballot_file::open.
    void open() {
        ballots_.open();
        if (const failure& why = ballots_.damage()) {
            out_.report(why);
        }
    }

    /// Larger than in any life before.
    [[nodiscard]] std::uint64_t session() const noexcept { return ballots_.session(); }

    // ---- which there are ----

    [[nodiscard]] hosted_partition* find(const partition_id& id) const noexcept {
        const std::size_t i = place_of(id);
        return i < partitions_.size() && partitions_[i]->id == id ? partitions_[i].get() : nullptr;
    }

    /// By id.
    [[nodiscard]] const std::vector<std::unique_ptr<hosted_partition>>& all() const noexcept { return partitions_; }

    /// A topic's replicas begin, those that are not here yet.
    void host(const topic_handle& topic, provenance how) {
        if (topic->why) {
            return;
        }
        const auto now = platform_.monotonic();
        for (std::int32_t number = 0; number < topic->partition_count(); ++number) {
            const partition_id id{topic->meta.id, number};
            if (find(id) != nullptr) {
                continue;
            }
            storage::log& log = topic->partition(number);
            const replication::replica_options options = options_of(id, topic->meta);
            replication::ballot ballot;
            const ballot_file::kept* const kept = ballots_.find(id);
            if (kept != nullptr && !kept->ballot.voters.empty()) {
                ballot = kept->ballot;
                const bool is_whole = kept->whole_to == log.log_end_offset() || options.is_durable;
                ballot.is_suspect = ballot.is_suspect || how != provenance::here || (log.report().power_may_have_gone && !is_whole);
            } else {
                ballot.voters.push_back({-1, 0, topic->meta.replicas[static_cast<std::size_t>(number)]});
                ballot.is_suspect = how != provenance::newly_made || (kept != nullptr && kept->ballot.is_suspect);
            }
            failure unclear;
            static_cast<void>(log.epochs(unclear));
            ballot.is_suspect = ballot.is_suspect || unclear;  // what it says of its log may not be so
            ballots_.put(id, ballot);
            auto made = std::make_unique<hosted_partition>(id, topic, options, std::move(ballot), now);
            made->largest_frame = out_.largest_frame();
            made->is_unclear = static_cast<bool>(unclear);
            made->is_rotten = !log.report().damages.empty() || unclear;
            made->wants_sync = options.is_durable && log.durable_offset() < log.log_end_offset();  // what a former life has not synced: nobody else may ask for it
            if (unclear) {
                out_.report(unclear);
            }
            touch(*made);
            listener_.hosted(*made);
            insert_at(partitions_, place_of(id), std::move(made));
        }
        static_cast<void>(save_ballots());
    }

    /// Its topic was deleted.
    void let_go(const format::topic_id& topic) {
        for (std::size_t i = partitions_.size(); i-- > 0;) {
            if (partitions_[i]->id.topic == topic) {
                ballots_.forget(partitions_[i]->id);
                out_.let_go(std::move(partitions_[i]));  // touched perhaps, so it stays until that is settled
                erase_at(partitions_, i);
            }
        }
    }

    /// nullopt: it is not here.
    [[nodiscard]] std::optional<replication_state> state_of(const partition_id& which) const {
        const hosted_partition* const one = find(which);
        if (one == nullptr) {
            return std::nullopt;
        }
        const replication::replica& machine = one->machine;
        replication_state found;
        found.leader = machine.leader();
        found.leader_epoch = machine.epoch();
        found.is_leader = machine.is_leader();
        found.is_suspect = machine.is_suspect();
        found.replicas.assign(machine.voters().begin(), machine.voters().end());
        found.high_watermark = machine.high_watermark();
        found.log_end_offset = machine.end();
        if (machine.is_leader()) {
            const auto now = platform_.monotonic();
            found.in_sync.push_back(self_);
            for (const replication::follower_progress& other : machine.followers()) {
                if (other.has_fetched && machine.is_voter(other.node) && now - other.heard <= election_timeout_ * 3 / 2) {
                    found.in_sync.push_back(other.node);
                }
                const bool has_told = other.has_fetched;
                found.followers.push_back({other.node, has_told ? other.fetched : offset{-1}, has_told ? now - other.heard : std::chrono::nanoseconds{-1}, machine.is_voter(other.node)});
            }
            std::sort(found.followers.begin(), found.followers.end(), [](const follower_state& a, const follower_state& b) { return a.node_id < b.node_id; });
        }
        return found;
    }

    // ---- what happens to them ----

    /// Something is about to be said to its machine: before it is, so that it is known of whatever is thrown.
    void touch(hosted_partition& one) {
        if (!std::exchange(one.is_touched, true)) {
            touched_.push_back(&one);
        }
    }

    /// A message of another replica has come; it is settled when this returns, since its frames lie in the datagram.
    void receive(std::int32_t from, const partition_id& of, bytes body, std::chrono::nanoseconds now) {
        hosted_partition* const home = find(of);
        if (home == nullptr) {
            return;
        }
        const auto said = replication::message::decode(body);
        if (!said) {
            return;
        }
        if (const auto later = peers_.later_than(from, *said)) {
            ask_for_session(from, *later);
            return;
        }
        touch(*home);
        home->machine.receive(from, *said, now);
        settle(now);
    }

    /// Appends where this broker leads. A leader whose disk takes nothing has one lead that has everything and whose disk does.
    /// Errors    as hosted_partition::append_own.
    [[nodiscard]] failure append(hosted_partition& one, std::vector<std::byte>& frame, std::uint32_t taken, offset& first, std::chrono::nanoseconds now) {
        touch(one);
        failure why = one.append_own(frame, taken, first, now);
        if (hosted_partition::is_of_disk(why)) {
            for (const replication::follower_progress& other : one.machine.followers()) {
                if (is_fit_to_lead(one, other, now) && one.machine.transfer(other.node, now)) {
                    one.handed_to = other.node;
                    break;
                }
            }
        }
        return why;
    }

    /// Of partitions whose records the disk here does not take.
    void add_conditions(std::vector<failure>& all) const {
        const hosted_partition* first = nullptr;
        std::size_t count = 0;
        for (const auto& one : partitions_) {
            if (one->full) {
                first = first == nullptr ? one.get() : first;
                ++count;
            }
        }
        if (first != nullptr) {
            all.emplace_back(first->full.code, first->log.name().text() + (count > 1 ? " and " + std::to_string(count - 1) + " other partitions" : "") + ": the disk of this broker takes no records (" +
                                                   first->full.text + "); " +
                                                   (first->machine.accepts_appends()           ? std::string{"it leads on, since no other replica is fit to"}
                                                    : first->handed_to != replication::no_node ? "its lead was handed to broker " + std::to_string(first->handed_to)
                                                                                               : std::string{"others have what it lacks"}) +
                                                   "; make room, and it goes on by itself with the next records");
        }
    }

    void run_due(std::chrono::nanoseconds now) {
        for (const auto& one : partitions_) {
            if (const auto due = one->machine.next_due(); due && *due <= now) {
                touch(*one);
                one->machine.run_due(now);
            }
        }
    }

    void expect_all() noexcept {
        for (const auto& one : partitions_) {
            out_.expect(one->machine.next_due());
        }
    }

    /// By upkeep. Retention may have moved a log's start; and where another one is to lead that is there and has everything, it is handed the lead.
    void look_after(std::chrono::nanoseconds now) {
        for (const auto& one : partitions_) {
            one->machine.started_at(one->log.log_start_offset());
        }
        for (const auto& one : partitions_) {
            balance(*one, now);
        }
    }

    /// The broker closes: others lead.
    void resign_all(std::chrono::nanoseconds now) {
        for (const auto& one : partitions_) {
            touch(*one);
            one->machine.resign(now);
        }
    }

    // ---- syncs ----

    /// One that waits for a sync, which the caller sees to; null: none does.
    [[nodiscard]] hosted_partition* take_unsynced() noexcept {
        for (const auto& one : partitions_) {
            if (std::exchange(one->wants_sync, false)) {
                return one.get();
            }
        }
        return nullptr;
    }

    void synced(const partition_id& id, const storage::log& log, const failure& why, std::chrono::nanoseconds now) {
        hosted_partition* const one = find(id);
        if (one == nullptr) {
            return;
        }
        touch(*one);
        one->machine.flushed(log.durable_offset(), now);
        if (why && why.code != errc::closed && why.code != errc::illegal_state) {
            actions_.give_up(*one, why);
        }
    }

    /// So that the next opening, also after a loss of power, knows that nothing was lost. Syncs every log.
    void note_whole() {
        for (const auto& one : partitions_) {
            const offset end = one->log.log_end_offset();
            if (one->machine.role() != replication::role::failed && !one->log.sync() && one->log.durable_offset() >= end) {
                ballots_.put_whole(one->id, end);
            }
        }
        static_cast<void>(ballots_.sync());
    }

    // ---- what the state machines want ----

    /// Of the machines that something was said to. Ballots first, all with one sync; then the rest.
    void settle(std::chrono::nanoseconds now) {
        std::vector<std::pair<hosted_partition*, std::vector<replication::action>>> wanted;
        while (!touched_.empty()) {
            wanted.clear();
            for (hosted_partition* const one : std::exchange(touched_, {})) {
                one->is_touched = false;
                if (find(one->id) != one) {
                    continue;  // its topic has gone, and its ballot with it
                }
                one->is_settling = true;
                std::vector<replication::action> actions = one->machine.take_actions();
                for (const replication::action& action : actions) {
                    if (action.kind == replication::action::what::save_ballot) {
                        ballots_.put(one->id, one->machine.ballot());
                        break;
                    }
                }
                wanted.emplace_back(one, std::move(actions));
            }
            const bool is_saved = save_ballots();
            for (auto& [one, actions] : wanted) {
                bool goes_on = is_saved;
                for (std::size_t i = 0; goes_on && i < actions.size(); ++i) {
                    goes_on = actions_.perform(*one, actions[i], now, [&, home = one] { return save_ballot(*home); });
                }
                if (!actions.empty()) {
                    touch(*one);  // that was said to it, too
                }
                look_at(*one, now);
                out_.expect(one->machine.next_due());
                one->is_settling = one->is_touched;
            }
        }
    }

    // ---- lives ----

    /// Something was thrown in the middle, for want of memory: what the machines know is not what their logs have, perhaps.
    void doubt() noexcept {
        touched_.clear();
        for (const auto& one : partitions_) {
            has_unsure_ = has_unsure_ || one->is_touched || one->is_settling;
            one->is_touched = one->is_settling = false;
        }
    }

    /// Then all begin anew, as after a restart of the broker: what was asked in this session may be answered yet, and a broker has one at a time.
    void reopen_unsure(std::chrono::nanoseconds now) {
        if (has_unsure_) {
            begin_session(ballots_.session() + 1, now);
            has_unsure_ = false;
        }
    }

    /// Others have heard of a later life of this broker, on a directory that is gone perhaps, under a clock that was ahead of this one: they take
    /// what this life says for that of a former one.
    void renew_session(std::int32_t from, bytes body, std::chrono::nanoseconds now) {
        replication::byte_reader said{body};
        const auto known = said.take<std::uint64_t>();
        if (said.is_done() && peers_.may_raise(from, known, ballots_.session(), platform_.now().time_since_epoch())) {
            begin_session(known + ballot_file::session_step, now);
        }
    }

private:
    [[nodiscard]] std::size_t place_of(const partition_id& id) const noexcept {
        return count_before(partitions_.size(), [&](std::size_t i) { return partitions_[i]->id < id; });
    }

    [[nodiscard]] replication::replica_options options_of(const partition_id& id, const topic_meta& meta) const {
        replication::replica_options options;
        options.self = self_;
        options.election_timeout = election_timeout_;
        options.min_insync = static_cast<std::size_t>(meta.min_insync_replicas);
        options.is_durable = meta.log.flush_messages > 0;
        options.is_preferred = meta.replicas[static_cast<std::size_t>(id.number)].front() == self_;
        options.may_be_beginning = id.topic == metadata_topic_id;  // of a topic's making there is a record
        options.session = ballots_.session();
        options.seed = platform_.random();
        options.peers = peers_.all();
        return options;
    }

    void begin_session(std::uint64_t number, std::chrono::nanoseconds now) {
        ballots_.begin_session(number);
        for (const auto& one : partitions_) {
            if (one->machine.role() == replication::role::failed) {
                continue;
            }
            replication::replica_options options = one->machine.options();
            options.session = ballots_.session();
            touch(*one);
            ballots_.put(one->id, one->machine.ballot());
            one->reopen(options, now);
        }
        static_cast<void>(save_ballots());
    }

    void ask_for_session(std::int32_t node, std::uint64_t known) {
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.code = static_cast<std::uint32_t>(request_kind::raise_session);
        out_.add(node, part, sizeof known, [&](std::vector<std::byte>& into) { replication::byte_writer{into}.put(known); });
    }

    [[nodiscard]] bool save_ballot(const hosted_partition& one) {
        ballots_.put(one.id, one.machine.ballot());
        return save_ballots();
    }

    bool save_ballots() {
        const failure why = ballots_.sync();
        if (!why) {
            return true;
        }
        if (!std::exchange(has_lost_ballots_, true)) {
            out_.report(why);
        }
        for (const auto& one : partitions_) {
            if (one->machine.role() != replication::role::failed) {
                touch(*one);
                one->machine.fail();
                static_cast<void>(one->machine.take_actions());  // nothing more is said
            }
        }
        return false;
    }

    /// What has become of the log and of the lead since the last look.
    void look_at(hosted_partition& one, std::chrono::nanoseconds now) {
        for (std::string& text : one.machine.take_reports()) {
            out_.report({errc::partition_failed, one.log.name().text() + ": " + std::move(text)});
        }
        const bool has_committed = one.machine.high_watermark() > one.log.high_watermark();
        if (has_committed) {
            one.log.set_high_watermark(one.machine.high_watermark());
        }
        if (one.wants_sync) {
            out_.want_sync();
        }
        listener_.progressed(one, has_committed, now);
    }

    /// It is there, has everything, and its disk takes records.
    [[nodiscard]] bool is_fit_to_lead(const hosted_partition& one, const replication::follower_progress& other, std::chrono::nanoseconds now) const noexcept {
        return one.machine.is_voter(other.node) && other.has_fetched && !other.is_suspect && !other.is_full && other.fetched >= one.machine.end() && now - other.heard < election_timeout_ / 2;
    }

    void balance(hosted_partition& one, std::chrono::nanoseconds now) {
        const std::vector<std::int32_t>& replicas = one.topic->meta.replicas[static_cast<std::size_t>(one.id.number)];
        if (!one.machine.knows_high_watermark() || replicas.front() == self_ || one.id.topic == metadata_topic_id) {
            return;
        }
        for (const replication::follower_progress& other : one.machine.followers()) {
            if (other.node == replicas.front() && is_fit_to_lead(one, other, now)) {
                touch(one);
                static_cast<void>(one.machine.transfer(other.node, now));
                break;
            }
        }
    }

    os::platform& platform_;
    const std::int32_t self_;
    const std::chrono::nanoseconds election_timeout_;
    departures& out_;
    replica_listener& listener_;
    replica_actions actions_;
    ballot_file ballots_;
    peer_sessions peers_;
    std::vector<std::unique_ptr<hosted_partition>> partitions_;  // by id
    std::vector<hosted_partition*> touched_;                     // something has been said to them
    bool has_unsure_ = false;                                    // some machine has to begin anew
    bool has_lost_ballots_ = false;                              // they cannot be written any more: nothing is promised, nor said
};

}  // namespace brook::inline BROOK_ABI::broker_room
