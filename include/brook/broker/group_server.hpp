/// \file brook/broker/group_server.hpp
/// The coordinator's side: calls of other brokers, and of this one, carried out on the groups that are kept here.
/// Floor 4, broker.
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
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Carries calls out. A call that comes twice does what it does once, and has the same answer; one that comes behind a later one of the same member is
/// not carried out. Of each member, and of each broker for those who are no members, the latest call and its answer are remembered for as long as a
/// copy of it may be on its way.
///
/// A member is alive for its coordinator while its broker says so (session_timeout), and while it polls (max_poll_interval), which its broker
/// tells, too.
///
/// Threads   shared.
class group_server {
public:
    explicit group_server(group_coordinator& groups) noexcept : groups_{groups} {}

    /// `from`: the broker that asks, and the number of its request, which grows from one to the next.
    /// `topics`: the broker's, asked for by who wants a description.
    /// Returns   the answer's body; nullopt: it is late, and nobody waits for it. `why`: it was refused.
    template <class Topics>
    [[nodiscard]] std::optional<std::vector<std::byte>> carry_out(std::int32_t node, std::uint64_t number, bytes body, std::chrono::nanoseconds now, const Topics& topics,
                                                                  failure& why) {
        replication::byte_reader from{body};
        const auto what = static_cast<group_call>(from.take<std::uint32_t>());
        if (what == group_call::beat) {
            return beat(node, from, now);
        }
        if (what == group_call::depart) {
            return depart(node, number, from, now);
        }
        const std::string group = from.take_text();
        const auto member = from.take<std::uint64_t>();
        if (!from.is_whole()) {
            return std::nullopt;
        }
        if (!is_change(what)) {
            return perform(what, node, group, member, from, now, topics, why);
        }
        std::vector<std::byte> answer;
        switch (begin_call(node, group, member, number, now, answer, why)) {
            case turn::next: break;
            case turn::was_done: return answer;
            case turn::is_late: return std::nullopt;
        }
        std::optional<std::vector<std::byte>> result;
        try {
            result = perform(what, node, group, member, from, now, topics, why);
        } catch (const error& thrown) {
            why = failure{thrown};
            result.emplace();
        } catch (...) {
            end_call(node, group, member, number, nullptr, {});
            throw;
        }
        end_call(node, group, member, number, result ? &*result : nullptr, why);
        return result;
    }

    /// This broker begins to coordinate, in that epoch: members join it anew.
    void begin(std::uint32_t epoch) {
        groups_.forget_members();
        const std::scoped_lock guard{mutex_};
        sessions_.clear();
        epoch_ = epoch;
    }

    /// Puts out those whose broker is silent.
    /// Returns   when to look again; nullopt: there are none.
    std::optional<std::chrono::nanoseconds> expire(std::chrono::nanoseconds now) {
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

    /// Of how many callers the latest call is remembered.
    [[nodiscard]] std::size_t session_count() {
        const std::scoped_lock guard{mutex_};
        return sessions_.size();
    }

private:
    [[nodiscard]] static bool is_change(group_call what) noexcept {
        return what == group_call::join || what == group_call::subscribe || what == group_call::leave || what == group_call::release || what == group_call::commit ||
               what == group_call::take || what == group_call::remove || what == group_call::reset;
    }

    template <class Topics>
    [[nodiscard]] std::optional<std::vector<std::byte>> perform(group_call what, std::int32_t node, const std::string& group, group::member_id member, replication::byte_reader& from,
                                                                std::chrono::nanoseconds now, const Topics& topics, failure& why) {
        std::vector<std::byte> answer;
        replication::byte_writer to{answer};
        switch (what) {
            case group_call::join: {
                const member_options options = group_codec::take_options(from, why);
                std::vector<group_topic> wanted = group_codec::take_topics(from);
                if (!why && from.is_done()) {
                    note_session(node, group, member, options.session_timeout, now);
                    const group_seat seat = groups_.join_as(member, group, options, as_here(wanted, topics()));
                    seat.shared->polls.fetch_add(1, std::memory_order_acq_rel);
                    to.put(seat.shared->changes.load(std::memory_order_acquire));
                }
                break;
            }
            case group_call::subscribe: {
                const std::vector<group_topic> wanted = group_codec::take_topics(from);
                if (from.is_done()) {
                    groups_.subscribe(group, member, as_here(wanted, topics()));
                }
                break;
            }
            case group_call::leave:
                groups_.leave(group, member);
                forget(group, member);
                break;
            case group_call::is_member: to.put(std::uint32_t{groups_.is_member(group, member) ? 1u : 0u}); break;
            case group_call::has_instance: to.put(std::uint32_t{groups_.has_instance(group, from.take_text()) ? 1u : 0u}); break;
            case group_call::to_release: group_codec::put(to, groups_.to_release(group, member)); break;
            case group_call::release: groups_.release(group, member, group_codec::take_places(from)); break;
            case group_call::take: {
                bool awaits_more = false;
                static_cast<void>(groups_.take(group, member, awaits_more));
                to.put(std::uint32_t{awaits_more ? 1u : 0u});
                group_codec::put(to, groups_.owned(group, member));  // also what an answer that was lost has told
                break;
            }
            case group_call::commit: {
                const std::vector<committed_position> positions = group_codec::take_positions(from);
                if (member == 0) {
                    why = refuse_other_epoch(from);
                }
                if (!why && from.is_done()) {
                    why = groups_.commit(group, member, positions);
                }
                break;
            }
            case group_call::committed: {
                const auto topic = from.take<format::topic_id>();
                const auto found = groups_.committed(group, topic, from.take<std::int32_t>());
                to.put(std::uint32_t{found ? 1u : 0u});
                group_codec::put(to, found.value_or(committed_position{}));
                break;
            }
            case group_call::names: {
                const std::vector<std::string> all = groups_.names();
                to.put(static_cast<std::uint32_t>(all.size()));
                for (const std::string& one : all) {
                    to.put_text(one);
                }
                break;
            }
            case group_call::describe: group_codec::put(to, groups_.describe(group, topics())); break;
            case group_call::remove:
                why = refuse_other_epoch(from);
                if (!why && from.is_done()) {
                    why = groups_.remove(group);
                }
                break;
            case group_call::reset: {
                const std::vector<committed_position> positions = group_codec::take_positions(from);
                why = refuse_other_epoch(from);
                if (!why && from.is_done()) {
                    why = groups_.reset(group, positions);
                }
                break;
            }
            case group_call::depart:
            case group_call::beat: break;
            default: why = {errc::unsupported_version, "this broker does not know what is asked of a group; all brokers should run the same version"};
        }
        return from.is_whole() ? std::optional{std::move(answer)} : std::nullopt;
    }

    /// Topics as this broker has them: who asks may say what he wants of their names and partitions. What is not here is left out.
    [[nodiscard]] static std::vector<group_topic> as_here(const std::vector<group_topic>& wanted, const std::vector<topic_handle>& here) {
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

    /// It may be a late copy of what an earlier coordinator has done, and others have committed since.
    [[nodiscard]] failure refuse_other_epoch(replication::byte_reader& from) {
        const auto epoch = from.take<std::uint32_t>();
        const std::scoped_lock guard{mutex_};
        return epoch == epoch_ ? failure{} : failure{errc::coordinator_not_available, "another broker coordinated the group when this was asked"};
    }

    static constexpr std::size_t most_sessions = 10'000;  // but for those of members
    static constexpr std::chrono::minutes kept_without_member{1};  // who commits and is no member: longer than a datagram lives

    struct session {
        std::int32_t node = 0;
        std::string group;
        group::member_id member = 0;
        bool is_member = false;
        std::uint64_t number = 0;  // of its latest call
        std::chrono::nanoseconds timeout{};
        std::chrono::nanoseconds heard{};
        enum class progress : std::uint8_t { none, is_open, is_done } latest = progress::none;
        std::vector<std::byte> answer{};  // to the latest, if that is done,
        failure why{};                    // or why it was refused
    };

    enum class turn : std::uint8_t { next, was_done, is_late };

    [[nodiscard]] session& find_or_add(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds now) {
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

    /// Of those who are no members, who was heard of first.
    void forget_one() {
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

    [[nodiscard]] turn begin_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, std::chrono::nanoseconds now, std::vector<std::byte>& answer,
                                  failure& why) {
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

    /// `answer` is null where it is as if it had not come. What another coordinator may do is not done either.
    void end_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, const std::vector<std::byte>* answer, const failure& why) {
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

    [[nodiscard]] bool is_next(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, std::chrono::nanoseconds now) {
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

    void note_session(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds timeout, std::chrono::nanoseconds now) {
        const std::scoped_lock guard{mutex_};
        session& one = find_or_add(node, group, member, now);
        one.is_member = true;
        one.timeout = timeout.count() > 0 ? timeout : std::chrono::nanoseconds{kept_without_member};
    }

    void forget(const std::string& group, group::member_id member) {
        const std::scoped_lock guard{mutex_};
        for (session& one : sessions_) {
            if (one.member == member && one.group == group) {
                one.is_member = false;
                one.timeout = kept_without_member;
            }
        }
    }

    [[nodiscard]] std::optional<std::vector<std::byte>> depart(std::int32_t node, std::uint64_t number, replication::byte_reader& from, std::chrono::nanoseconds now) {
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

    [[nodiscard]] std::optional<std::vector<std::byte>> beat(std::int32_t node, replication::byte_reader& from, std::chrono::nanoseconds now) {
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

    group_coordinator& groups_;
    std::mutex mutex_;  // guards what follows
    std::vector<session> sessions_;
    std::uint32_t epoch_ = 0;  // in which this broker coordinates
};

}  // namespace brook::inline BROOK_ABI::broker_room
