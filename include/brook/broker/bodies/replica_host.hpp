/// \file brook/broker/bodies/replica_host.hpp
/// The functions that replica_host.hpp declares.
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
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/replica_actions.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void replica_host::open() {
    ballots_.open();
    if (const failure& why = ballots_.damage()) {
        out_.report(why);
    }
}

BROOK_INLINE hosted_partition* replica_host::find(const partition_id& id) const noexcept {
    const std::size_t i = place_of(id);
    return i < partitions_.size() && partitions_[i]->id == id ? partitions_[i].get() : nullptr;
}

BROOK_INLINE void replica_host::host(const topic_handle& topic, provenance how) {
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

BROOK_INLINE void replica_host::let_go(const format::topic_id& topic) {
    for (std::size_t i = partitions_.size(); i-- > 0;) {
        if (partitions_[i]->id.topic == topic) {
            ballots_.forget(partitions_[i]->id);
            out_.let_go(std::move(partitions_[i]));  // touched perhaps, so it stays until that is settled
            erase_at(partitions_, i);
        }
    }
}

BROOK_INLINE std::optional<replication_state> replica_host::state_of(const partition_id& which) const {
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

BROOK_INLINE void replica_host::touch(hosted_partition& one) {
    if (!std::exchange(one.is_touched, true)) {
        touched_.push_back(&one);
    }
}

BROOK_INLINE void replica_host::receive(std::int32_t from, const partition_id& of, bytes body, std::chrono::nanoseconds now) {
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

BROOK_INLINE failure replica_host::append(hosted_partition& one, std::vector<std::byte>& frame, std::uint32_t taken, offset& first,
                                          std::chrono::nanoseconds now) {
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

BROOK_INLINE void replica_host::add_conditions(std::vector<failure>& all) const {
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

BROOK_INLINE void replica_host::run_due(std::chrono::nanoseconds now) {
    for (const auto& one : partitions_) {
        if (const auto due = one->machine.next_due(); due && *due <= now) {
            touch(*one);
            one->machine.run_due(now);
        }
    }
}

BROOK_INLINE void replica_host::expect_all() noexcept {
    for (const auto& one : partitions_) {
        out_.expect(one->machine.next_due());
    }
}

BROOK_INLINE void replica_host::look_after(std::chrono::nanoseconds now) {
    for (const auto& one : partitions_) {
        one->machine.started_at(one->log.log_start_offset());
    }
    for (const auto& one : partitions_) {
        balance(*one, now);
    }
}

BROOK_INLINE void replica_host::resign_all(std::chrono::nanoseconds now) {
    for (const auto& one : partitions_) {
        touch(*one);
        one->machine.resign(now);
    }
}

BROOK_INLINE hosted_partition* replica_host::take_unsynced() noexcept {
    for (const auto& one : partitions_) {
        if (std::exchange(one->wants_sync, false)) {
            return one.get();
        }
    }
    return nullptr;
}

BROOK_INLINE void replica_host::synced(const partition_id& id, const storage::log& log, const failure& why, std::chrono::nanoseconds now) {
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

BROOK_INLINE void replica_host::note_whole() {
    for (const auto& one : partitions_) {
        const offset end = one->log.log_end_offset();
        if (one->machine.role() != replication::role::failed && !one->log.sync() && one->log.durable_offset() >= end) {
            ballots_.put_whole(one->id, end);
        }
    }
    static_cast<void>(ballots_.sync());
}

BROOK_INLINE void replica_host::settle(std::chrono::nanoseconds now) {
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

BROOK_INLINE void replica_host::doubt() noexcept {
    touched_.clear();
    for (const auto& one : partitions_) {
        has_unsure_ = has_unsure_ || one->is_touched || one->is_settling;
        one->is_touched = one->is_settling = false;
    }
}

BROOK_INLINE void replica_host::reopen_unsure(std::chrono::nanoseconds now) {
    if (has_unsure_) {
        begin_session(ballots_.session() + 1, now);
        has_unsure_ = false;
    }
}

BROOK_INLINE void replica_host::renew_session(std::int32_t from, bytes body, std::chrono::nanoseconds now) {
    replication::byte_reader said{body};
    const auto known = said.take<std::uint64_t>();
    if (said.is_done() && peers_.may_raise(from, known, ballots_.session(), platform_.now().time_since_epoch())) {
        begin_session(known + ballot_file::session_step, now);
    }
}

BROOK_INLINE std::size_t replica_host::place_of(const partition_id& id) const noexcept {
    return count_before(partitions_.size(), [&](std::size_t i) { return partitions_[i]->id < id; });
}

BROOK_INLINE replication::replica_options replica_host::options_of(const partition_id& id, const topic_meta& meta) const {
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

BROOK_INLINE void replica_host::begin_session(std::uint64_t number, std::chrono::nanoseconds now) {
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

BROOK_INLINE void replica_host::ask_for_session(std::int32_t node, std::uint64_t known) {
    datagram::part part;
    part.kind = datagram::part_kind::request;
    part.code = static_cast<std::uint32_t>(request_kind::raise_session);
    out_.add(node, part, sizeof known, [&](std::vector<std::byte>& into) { replication::byte_writer{into}.put(known); });
}

BROOK_INLINE bool replica_host::save_ballot(const hosted_partition& one) {
    ballots_.put(one.id, one.machine.ballot());
    return save_ballots();
}

BROOK_INLINE bool replica_host::save_ballots() {
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

BROOK_INLINE void replica_host::look_at(hosted_partition& one, std::chrono::nanoseconds now) {
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

BROOK_INLINE bool replica_host::is_fit_to_lead(const hosted_partition& one, const replication::follower_progress& other, std::chrono::nanoseconds now) const noexcept {
    return one.machine.is_voter(other.node) && other.has_fetched && !other.is_suspect && !other.is_full && other.fetched >= one.machine.end() && now - other.heard < election_timeout_ / 2;
}

BROOK_INLINE void replica_host::balance(hosted_partition& one, std::chrono::nanoseconds now) {
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

}  // namespace brook::inline BROOK_ABI::broker_room
