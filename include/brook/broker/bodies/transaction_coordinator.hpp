/// \file brook/broker/bodies/transaction_coordinator.hpp
/// The functions that transaction_coordinator.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_coordinator.hpp>
#include <brook/broker/transaction_history.hpp>
#include <brook/broker/transaction_part.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/producer_table.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void transaction_coordinator::open(topic_handle own, const std::vector<topic_handle>& topics) {
    const std::scoped_lock guard{mutex_};
    if (topic_) {
        return;  // another thread has
    }
    topic_ = std::move(own);
    shared_.transactions.set_readable(true);
    recall(topics);
}

BROOK_INLINE bool transaction_coordinator::is_open() const {
    const std::scoped_lock guard{mutex_};
    return topic_ != nullptr;
}

BROOK_INLINE transaction_handle transaction_coordinator::begin(std::string_view transactional_id, std::chrono::nanoseconds timeout) {
    const std::scoped_lock guard{mutex_};
    holder& of = holder_of(transactional_id);
    if (of.current) {
        end(of, *of.current, coordinated_transaction::state::fenced);
    }
    if (of.producer_id < 0 || of.last_epoch >= largest_epoch || of.aborted.size() >= most_aborted) {
        of.producer_id = storage::producer_table::new_id(shared_.platform);
        of.last_epoch = -1;
        of.aborted.clear();
    }
    of.aborted.reserve(of.aborted.size() + 1);  // for `end`, which cannot throw
    auto made = std::make_shared<coordinated_transaction>();
    made->transactional_id_ = of.transactional_id;
    made->producer_id_ = of.producer_id;
    made->epoch_ = static_cast<std::uint16_t>(of.last_epoch + 1);
    made->timeout_ = timeout;
    of.current = made;
    return made;
}

BROOK_INLINE failure transaction_coordinator::join(coordinated_transaction& in, const topic_handle& topic, std::int32_t partition, std::size_t& part) {
    const std::scoped_lock guard{mutex_};
    if (failure why = refusal(in)) {
        return why;
    }
    part = in.parts_.size();
    return join_locked(in, topic, partition);
}

BROOK_INLINE void transaction_coordinator::note_end(coordinated_transaction& in, std::size_t part, offset end, std::uint64_t checksum) noexcept {
    transaction_part& there = in.parts_[part];
    there.end = end;
    there.leader_epoch = there.log().leader_epoch();
    there.checksum = checksum;
}

BROOK_INLINE failure transaction_coordinator::check(const coordinated_transaction& in) const {
    const std::scoped_lock guard{mutex_};
    return refusal(in);
}

BROOK_INLINE failure transaction_coordinator::commit(const transaction_handle& in, group_coordinator& groups,
                                                     const std::vector<group_commit>& commits, const std::optional<std::string>& state_bytes) {
    failure why;
    try {
        why = commits.empty() ? decide(*in, commits, state_bytes)
                              : groups.commit_with(commits, [&](const std::vector<group_commit>& known) { return decide(*in, known, state_bytes); });
    } catch (...) {
        abort(*in);
        throw;
    }
    if (why) {
        abort(*in);
        return why;
    }
    release_parts(*in);
    if (is_durability_promised(*in)) {
        if (why = make_durable(in->transactional_id_); why) {  // of a code of its own: it is committed all the same
            why = {errc::partition_failed, "transaction '" + in->transactional_id_ + "' is committed, and may be lost with the power: " + why.text};
        }
    }
    return why;
}

BROOK_INLINE void transaction_coordinator::abort(coordinated_transaction& in) noexcept {
    const std::scoped_lock guard{mutex_};
    const std::size_t i = place_of(in.transactional_id_);
    if (is_at(i, in.transactional_id_) && holders_[i].current.get() == &in) {
        end(holders_[i], in, coordinated_transaction::state::aborted);
    }
}

BROOK_INLINE std::string transaction_coordinator::state_of(std::string_view transactional_id) const {
    const std::scoped_lock guard{mutex_};
    const std::size_t i = place_of(transactional_id);
    return is_at(i, transactional_id) ? holders_[i].state : std::string{};
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> transaction_coordinator::run_due(std::chrono::nanoseconds now, failure& why) {
    std::optional<std::chrono::nanoseconds> next;
    std::vector<transaction_part> to_sync;
    bool is_due = false;
    {
        const std::scoped_lock guard{mutex_};
        for (holder& of : holders_) {
            if (!of.current || !of.current->has_appended_) {
                continue;
            }
            if (now >= of.current->deadline_) {
                end(of, *of.current, coordinated_transaction::state::timed_out);
            } else if (!next || of.current->deadline_ < *next) {
                next = of.current->deadline_;
            }
        }
        if (sync_by_ && now >= *sync_by_) {
            is_due = true;
            sync_by_.reset();
            for (const holder& of : holders_) {
                to_sync.insert(to_sync.end(), of.unsynced.all().begin(), of.unsynced.all().end());
            }
        } else if (sync_by_ && (!next || *sync_by_ < *next)) {
            next = sync_by_;
        }
    }
    if (is_due) {
        // All that these transactions and those before them have, whatever its topic promises: a part of one that is lost
        // takes the rest along. Upkeep waits for nobody's claim.
        for (const transaction_part& part : to_sync) {
            if (failure failed = part.log().sync(); failed && failed.code != errc::unknown_topic_or_partition) {  // deleted
                why = std::move(failed);
            }
        }
        if (failure failed = log().sync()) {
            why = std::move(failed);
        }
    }
    return next;
}

BROOK_INLINE void transaction_coordinator::forget_deleted() noexcept {
    const std::scoped_lock guard{mutex_};
    for (holder& of : holders_) {
        of.unsynced.forget_durable();
    }
}

BROOK_INLINE void transaction_coordinator::close() noexcept {
    try {
        failure why;
        {
            const std::scoped_lock guard{mutex_};
            if (!sync_by_) {
                return;
            }
            sync_by_ = shared_.platform.monotonic();
        }
        static_cast<void>(run_due(shared_.platform.monotonic(), why));
    } catch (const std::exception&) {
        // No memory for it.
    }
}

BROOK_INLINE std::size_t transaction_coordinator::place_of(std::string_view transactional_id) const noexcept {
    return count_before(holders_.size(), [&](std::size_t i) { return std::string_view{holders_[i].transactional_id} < transactional_id; });
}

BROOK_INLINE bool transaction_coordinator::is_at(std::size_t i, std::string_view transactional_id) const noexcept {
    return i < holders_.size() && holders_[i].transactional_id == transactional_id;
}

BROOK_INLINE auto transaction_coordinator::holder_of(std::string_view transactional_id) -> holder& {
    const std::size_t i = place_of(transactional_id);
    if (!is_at(i, transactional_id)) {
        holder made;
        made.transactional_id = transactional_id;
        insert_at(holders_, i, std::move(made));
    }
    return holders_[i];
}

BROOK_INLINE failure transaction_coordinator::refusal(const coordinated_transaction& of) {
    if (of.state_ == state::open) {
        return {};
    }
    const std::string who = "transaction '" + of.transactional_id_ + '\'';
    switch (of.state_) {
        case state::open: break;
        case state::fenced:
            return {errc::producer_fenced, who + ": another one has been begun under this transactional_id, and has aborted this one; if two are "
                                                 "meant to run, give them ids of their own"};
        case state::timed_out:
            return {errc::transaction_aborted, who + ": it held readers up for longer than its transaction_timeout, and was aborted; begin another"};
        case state::aborted: return {errc::transaction_aborted, who + ": it has been aborted; begin another"};
        case state::committed: return {errc::illegal_state, who + ": it has been committed; begin another"};
    }
    return {};
}

BROOK_INLINE failure transaction_coordinator::join_locked(coordinated_transaction& in, const topic_handle& topic, std::int32_t partition) {
    in.parts_.reserve(in.parts_.size() + 1);
    transaction_part part;
    part.topic = topic;
    part.partition = partition;
    if (!in.has_appended_) {
        holder& of = holder_of(in.transactional_id_);
        of.last_epoch = in.epoch_;
        in.has_appended_ = true;
        in.deadline_ = moment_after(shared_.platform.monotonic(), in.timeout_);
        shared_.transactions.begin(in.producer_id_, in.epoch_);
        shared_.upkeep.notify();  // it looks anew when the time will be over
    }
    failure why = part.log().begin_transactional(part.began);
    if (!why) {
        in.parts_.push_back(std::move(part));
    }
    return why;
}

BROOK_INLINE void transaction_coordinator::end(holder& of, coordinated_transaction& in, state how) noexcept {
    in.state_ = how;
    if (in.has_appended_ && how != state::committed) {
        of.aborted.push_back(in.epoch_);
        shared_.transactions.abort(in.producer_id_);
        release_parts(in);
    }
    of.current = nullptr;
}

BROOK_INLINE void transaction_coordinator::release_parts(const coordinated_transaction& in) noexcept {
    for (const transaction_part& part : in.parts_) {
        part.log().end_transactional(part.began);
    }
}

BROOK_INLINE failure transaction_coordinator::decide(coordinated_transaction& in, const std::vector<group_commit>& commits,
                                                     const std::optional<std::string>& state_bytes) {
    const std::scoped_lock guard{mutex_};
    if (failure why = refusal(in)) {
        return why;
    }
    if (failure why = refuse_own_claims(in)) {
        return why;
    }
    if (failure why = append_commits(in, commits)) {
        return why;
    }
    holder& of = holder_of(in.transactional_id_);
    if (in.has_appended_ || state_bytes) {
        transaction_record told{in.producer_id_, in.epoch_, of.aborted, {}, state_bytes.value_or(of.state), false};
        for (const transaction_part& part : in.parts_) {
            if (part.end >= 0 && !part.is_gone()) {
                told.ends.push_back({part.topic->meta.id, part.partition, part.leader_epoch, part.end, part.checksum});
            }
        }
        // What takes memory comes first: behind the record's publication nothing may fail.
        std::vector<std::uint16_t> aborted = of.aborted;
        of.unsynced.reserve(in.parts_.size());
        if (!in.has_appended_) {
            shared_.transactions.begin(in.producer_id_, in.epoch_);
        }
        if (failure why = append(in.transactional_id_, told)) {
            return why;
        }
        of.last_epoch = in.epoch_;
        of.state.swap(told.state);
        shared_.transactions.commit(in.producer_id_, in.epoch_, std::move(aborted));
    }
    of.unsynced.forget_durable();
    for (const transaction_part& part : in.parts_) {
        if (part.is_gone()) {
            continue;
        }
        of.unsynced.note(part);
        note_interval(part.log().options().flush_interval);
    }
    end(of, in, state::committed);
    note_commits(commits);
    return {};
}

BROOK_INLINE void transaction_coordinator::note_commits(const std::vector<group_commit>& commits) noexcept {
    try {
        for (const group_commit& one : commits) {
            offsets_.note(one.group, one.positions);
        }
    } catch (const std::exception&) {
        // Nobody could be told either.
    }
}

BROOK_INLINE failure transaction_coordinator::append_commits(coordinated_transaction& in, const std::vector<group_commit>& commits) {
    std::int64_t sequence = 0;
    for (const group_commit& one : commits) {
        if (one.positions.empty()) {
            continue;
        }
        if (sequence == 0) {
            if (failure why = join_locked(in, offsets_.topic(), 0)) {
                return why;
            }
        }
        offset end = -1;
        std::uint64_t checksum = 0;
        if (failure why = offsets_.append_in_transaction(one.group, one.positions, in.stamp(sequence), end, checksum)) {
            return why;
        }
        note_end(in, in.parts_.size() - 1, end, checksum);
        sequence += static_cast<std::int64_t>(one.positions.size());
    }
    return {};
}

BROOK_INLINE failure transaction_coordinator::append(std::string_view transactional_id, const transaction_record& told) {
    const format::record_sizes sizes{static_cast<std::uint32_t>(told.key_size(transactional_id)), static_cast<std::uint32_t>(told.value_size()), 0};
    const std::uint64_t size = format::lone_frame_size(sizes);
    if (size > log().largest_frame()) {
        return {errc::record_too_large, "transaction '" + std::string{transactional_id.substr(0, 100)} + "': its record of " + std::to_string(told.ends.size()) +
                                            " partitions and " + std::to_string(told.state.size()) + " bytes of state does not fit in a segment of " +
                                            std::string{transaction_topic} + ", which holds " + std::to_string(log().largest_frame()) + " bytes"};
    }
    storage::claim taken;
    failure why;
    if (!log().take(format::frame_length(static_cast<std::uint32_t>(size)), 1, taken, why)) {
        return why;
    }
    const format::lone_layout body = format::lay_out_lone(taken.data, sizes);
    told.write_key(body.key, transactional_id);
    told.write_value(body.value);
    log().publish(taken, format::frame_word::published(static_cast<std::uint32_t>(size), format::lone_attributes(sizes)),
                  shared_.platform.now().time_since_epoch().count(), sizes.key);
    return {};
}

BROOK_INLINE void transaction_coordinator::note_interval(std::chrono::nanoseconds interval) {
    if (interval.count() <= 0) {
        return;
    }
    if (const auto due = shared_.platform.monotonic() + interval / 2; !sync_by_ || due < *sync_by_) {
        sync_by_ = due;
        shared_.upkeep.notify();
    }
}

BROOK_INLINE failure transaction_coordinator::refuse_own_claims(const coordinated_transaction& in) {
    if (!is_durability_promised(in)) {
        return {};
    }
    for (const transaction_part& part : in.parts_) {
        if (!part.is_gone() && part.log().holds_claim_before(part.end)) {
            return {errc::claim_open, part.log().name().text() + ": this thread holds a slot in front of what the transaction has sent, and its commit "
                                                                 "would wait for it; commit the slot, or let it go, first"};
        }
    }
    return {};
}

BROOK_INLINE bool transaction_coordinator::is_durability_promised(const coordinated_transaction& in) {
    for (const transaction_part& part : in.parts_) {
        if (part.log().options().flush_messages > 0 && !part.is_gone()) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE failure transaction_coordinator::make_durable(std::string_view transactional_id) {
    std::vector<transaction_part> parts;
    {
        const std::scoped_lock guard{mutex_};
        parts = holder_of(transactional_id).unsynced.all();
    }
    for (const transaction_part& part : parts) {
        if (failure why = part.log().wait_durable(part.end); why && why.code != errc::unknown_topic_or_partition) {  // deleted
            return why;
        }
    }
    return log().sync();
}

BROOK_INLINE void transaction_coordinator::recall(const std::vector<topic_handle>& topics) {
    transaction_history history{topics};
    const failure unreadable = history.read(log());
    for (const auto& one : history.producers()) {
        shared_.transactions.recall(one.id, one.epoch, one.aborted, one.unknown);
    }
    for (auto& one : history.holders()) {
        holder& of = holder_of(one.transactional_id);
        of.state = std::move(one.state);
        of.unsynced = std::move(one.unsynced);
    }
    if (unreadable) {
        shared_.transactions.set_readable(false);
        throw_error(unreadable.code, unreadable.text + ". No transaction can be begun, and how those ended that were told of behind it nobody "
                                                       "knows; restore the file from a copy");
    }
    if (history.flush_interval()) {
        note_interval(*history.flush_interval());
    }
    judge(history);
}

BROOK_INLINE void transaction_coordinator::judge(const transaction_history& history) {
    for (const auto& one : history.producers()) {
        if (one.lost.empty()) {
            continue;
        }
        const transaction_record told{one.id, one.epoch, one.aborted, {}, holder_of(one.transactional_id).state, true};
        if (const failure why = append(one.transactional_id, told)) {
            why.raise();
        }
        shared_.report({errc::transaction_aborted, "transaction '" + one.transactional_id + "': " + std::to_string(one.lost.size()) +
                                                       " that were committed and not on the disk when the power went are aborted, since a part "
                                                       "of them is lost"});
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
