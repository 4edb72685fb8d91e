/// \file brook/broker/bodies/group_server.hpp
/// The functions that group_server.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/group.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/broker/group_server.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void group_server::begin(std::uint32_t epoch) {
    groups_.forget_members();
    const std::scoped_lock guard{mutex_};
    sessions_.clear();
    epoch_ = epoch;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> group_server::expire(std::chrono::nanoseconds now) {
    std::vector<session> silent;
    std::optional<std::chrono::nanoseconds> next;
    {
        const std::scoped_lock guard{mutex_};
        for (std::size_t i = sessions_.size(); i-- > 0;) {
            const std::chrono::nanoseconds end = moment_after(sessions_[i].heard, sessions_[i].timeout);
            if (now >= end) {
                silent.push_back(std::move(sessions_[i]));
                erase_at(sessions_, i);
            } else if (sessions_[i].is_member) {
                next = next && *next < end ? *next : end;
            }
        }
    }
    for (const session& one : silent) {
        if (one.is_member) {
            groups_.leave(one.group, one.member);
        }
    }
    return next;
}

BROOK_INLINE std::size_t group_server::session_count() {
    const std::scoped_lock guard{mutex_};
    return sessions_.size();
}

BROOK_INLINE bool group_server::is_change(group_call what) noexcept {
    return what == group_call::join || what == group_call::subscribe || what == group_call::leave || what == group_call::release || what == group_call::commit ||
           what == group_call::take || what == group_call::remove || what == group_call::reset;
}

BROOK_INLINE std::vector<group_topic> group_server::as_here(const std::vector<group_topic>& wanted, const std::vector<topic_handle>& here) {
    std::vector<group_topic> all;
    for (const group_topic& one : wanted) {
        for (const topic_handle& topic : here) {
            if (topic->meta.id == one.id) {
                all.push_back({one.id, topic->name, topic->partition_count()});
            }
        }
    }
    return all;
}

BROOK_INLINE failure group_server::refuse_other_epoch(replication::byte_reader& from) {
    const auto epoch = from.take<std::uint32_t>();
    const std::scoped_lock guard{mutex_};
    return epoch == epoch_ ? failure{} : failure{errc::coordinator_not_available, "another broker coordinated the group when this was asked"};
}

BROOK_INLINE auto group_server::find_or_add(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds now) -> session& {
    for (session& one : sessions_) {
        if (one.node == node && one.member == member && one.group == group) {
            return one;
        }
    }
    if (sessions_.size() >= most_sessions) {
        forget_one();
    }
    sessions_.push_back({node, group, member, false, 0, kept_without_member, now});
    return sessions_.back();
}

BROOK_INLINE void group_server::forget_one() {
    std::size_t oldest = sessions_.size();
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
        if (!sessions_[i].is_member && sessions_[i].latest != session::progress::is_open && (oldest == sessions_.size() || sessions_[i].heard < sessions_[oldest].heard)) {
            oldest = i;
        }
    }
    if (oldest < sessions_.size()) {
        erase_at(sessions_, oldest);
    }
}

BROOK_INLINE auto group_server::begin_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number,
                                           std::chrono::nanoseconds now, std::vector<std::byte>& answer, failure& why) -> turn {
    const std::scoped_lock guard{mutex_};
    session& one = find_or_add(node, group, member, now);
    if (number < one.number || (number == one.number && one.latest == session::progress::is_open)) {
        return turn::is_late;  // the copy that is being carried out is answered
    }
    one.heard = now;
    if (number == one.number && one.latest == session::progress::is_done) {
        answer = one.answer;
        why = one.why;
        return turn::was_done;
    }
    one.number = number;
    one.latest = session::progress::is_open;
    return turn::next;
}

BROOK_INLINE void group_server::end_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number,
                                         const std::vector<std::byte>* answer, const failure& why) {
    const std::scoped_lock guard{mutex_};
    for (session& one : sessions_) {
        if (one.node == node && one.member == member && one.group == group && one.number == number) {
            const bool is_done = answer != nullptr && why.code != errc::not_leader_or_follower && why.code != errc::coordinator_not_available;
            one.latest = session::progress::none;
            if (is_done) {
                one.answer = *answer;
                one.why = why;
                one.latest = session::progress::is_done;
            }
        }
    }
}

BROOK_INLINE bool group_server::is_next(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number,
                                        std::chrono::nanoseconds now) {
    const std::scoped_lock guard{mutex_};
    session& one = find_or_add(node, group, member, now);
    if (number < one.number) {
        return false;
    }
    one.number = number;
    one.heard = now;
    one.latest = session::progress::none;
    return true;
}

BROOK_INLINE void group_server::note_session(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds timeout,
                                             std::chrono::nanoseconds now) {
    const std::scoped_lock guard{mutex_};
    session& one = find_or_add(node, group, member, now);
    one.is_member = true;
    one.timeout = timeout.count() > 0 ? timeout : std::chrono::nanoseconds{kept_without_member};
}

BROOK_INLINE void group_server::forget(const std::string& group, group::member_id member) {
    const std::scoped_lock guard{mutex_};
    for (session& one : sessions_) {
        if (one.member == member && one.group == group) {
            one.is_member = false;
            one.timeout = kept_without_member;
        }
    }
}

BROOK_INLINE std::optional<std::vector<std::byte>> group_server::depart(std::int32_t node, std::uint64_t number, replication::byte_reader& from,
                                                                        std::chrono::nanoseconds now) {
    for (std::uint32_t left = from.take_count(12); left > 0; --left) {
        const std::string group = from.take_text();
        const auto member = from.take<std::uint64_t>();
        if (from.is_whole() && is_next(node, group, member, number, now)) {
            groups_.leave(group, member);
            forget(group, member);
        }
    }
    return from.is_done() ? std::optional{std::vector<std::byte>{}} : std::nullopt;
}

BROOK_INLINE std::optional<std::vector<std::byte>> group_server::beat(std::int32_t node, replication::byte_reader& from, std::chrono::nanoseconds now) {
    std::vector<std::byte> answer;
    replication::byte_writer to{answer};
    for (std::uint32_t left = from.take_count(20); left > 0; --left) {
        const std::string group = from.take_text();
        const auto member = from.take<std::uint64_t>();
        const auto polls = from.take<std::uint64_t>();
        const std::shared_ptr<membership> there = groups_.find_membership(group, member);
        if (there) {
            there->polls.store(polls, std::memory_order_release);
            const std::scoped_lock guard{mutex_};
            session& one = find_or_add(node, group, member, now);
            one.heard = now;
        }
        to.put(std::uint32_t{there ? 1u : 0u});
        to.put(there ? there->changes.load(std::memory_order_acquire) : std::uint64_t{0});
    }
    return from.is_done() ? std::optional{std::move(answer)} : std::nullopt;
}

}  // namespace brook::inline BROOK_ABI::broker_room
