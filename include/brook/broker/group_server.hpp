/// \file brook/broker/group_server.hpp
/// The coordinator's side: calls of other brokers, and of this one, carried out on the groups that are kept here.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
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
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
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
    void begin(std::uint32_t epoch);

    /// Puts out those whose broker is silent.
    /// Returns   when to look again; nullopt: there are none.
    std::optional<std::chrono::nanoseconds> expire(std::chrono::nanoseconds now);

    /// Of how many callers the latest call is remembered.
    [[nodiscard]] std::size_t session_count();

private:
    [[nodiscard]] static bool is_change(group_call what) noexcept;

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
    [[nodiscard]] static std::vector<group_topic> as_here(const std::vector<group_topic>& wanted, const std::vector<topic_handle>& here);

    /// It may be a late copy of what an earlier coordinator has done, and others have committed since.
    [[nodiscard]] failure refuse_other_epoch(replication::byte_reader& from);

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

    [[nodiscard]] session& find_or_add(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds now);

    /// Of those who are no members, who was heard of first.
    void forget_one();

    [[nodiscard]] turn begin_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, std::chrono::nanoseconds now, std::vector<std::byte>& answer,
                                  failure& why);

    /// `answer` is null where it is as if it had not come. What another coordinator may do is not done either.
    void end_call(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, const std::vector<std::byte>* answer, const failure& why);

    [[nodiscard]] bool is_next(std::int32_t node, const std::string& group, group::member_id member, std::uint64_t number, std::chrono::nanoseconds now);

    void note_session(std::int32_t node, const std::string& group, group::member_id member, std::chrono::nanoseconds timeout, std::chrono::nanoseconds now);

    void forget(const std::string& group, group::member_id member);

    [[nodiscard]] std::optional<std::vector<std::byte>> depart(std::int32_t node, std::uint64_t number, replication::byte_reader& from, std::chrono::nanoseconds now);

    [[nodiscard]] std::optional<std::vector<std::byte>> beat(std::int32_t node, replication::byte_reader& from, std::chrono::nanoseconds now);

    group_coordinator& groups_;
    std::mutex mutex_;  // guards what follows
    std::vector<session> sessions_;
    std::uint32_t epoch_ = 0;  // in which this broker coordinates
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/group_server.hpp>
#endif
