/// \file brook/broker/group_coordinator.hpp
/// All groups of a broker: who joins, who reads what, who may commit, and what anybody else wants to know of them.
/// Floor 4, broker. Source: Kafka's GroupCoordinator.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// What a consumer has read for its group, to be committed together with something else.
struct group_commit {
    std::string group;
    group::member_id member = 0;  ///< 0: it was assigned to
    std::vector<committed_position> positions;
};

/// The groups of a broker. Whoever changes one wakes those who sleep in a poll: they may have something to give up.
///
/// A commit is checked and appended under one lock with every change of who reads what: a partition that goes to another
/// member goes with all that was committed for it, and nothing can be committed for it any more by who had it.
///
/// Threads   shared.
class group_coordinator final : public group_service {
public:
    group_coordinator(shared_state& shared, committed_offsets& offsets) noexcept : shared_{shared}, offsets_{offsets} {}

    // ---- topics ----

    /// A topic has come. Of one that is not known nothing is shared out, and nothing can be committed.
    void add_topic(const format::topic_id& id);

    [[nodiscard]] bool knows(const format::topic_id& id);

    /// It has been deleted: what members read is shared out anew without it. What was committed for it stays with the offsets.
    /// Returns   problems with users' assignors, to be told when no lock is held.
    [[nodiscard]] std::vector<failure> remove_topic(const format::topic_id& id);

    // ---- members ----

    /// Errors    inconsistent_group_protocol: its members share out by another assignor.
    [[nodiscard]] BROOK_INLINE group_seat join(std::string_view name, const member_options& options, std::vector<group_topic> topics, group_inquiries* = nullptr) override;

    /// The same for a member of another broker, which has a number of its own: asked twice it has joined once. 0: it gets one.
    [[nodiscard]] group_seat join_as(group::member_id wanted, std::string_view name, const member_options& options, std::vector<group_topic> topics);

    /// All members go: they were of a time when this broker led, and have joined elsewhere since.
    void forget_members();

    /// What a member of another broker has.
    [[nodiscard]] std::vector<group_place> owned(std::string_view name, group::member_id member);

    /// Null: it is no member any more.
    [[nodiscard]] std::shared_ptr<membership> find_membership(std::string_view name, group::member_id member);

    [[nodiscard]] BROOK_INLINE std::optional<committed_position> committed(std::string_view name, const format::topic_id& topic, std::int32_t partition, group_inquiries* = nullptr) override;

    BROOK_INLINE void subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries* = nullptr) override;

    BROOK_INLINE void leave(std::string_view name, group::member_id member) override;

    [[nodiscard]] BROOK_INLINE bool is_member(std::string_view name, group::member_id member) override;

    /// A member with this instance id is there.
    [[nodiscard]] BROOK_INLINE bool has_instance(std::string_view name, std::string_view instance, group_inquiries* = nullptr) override;

    [[nodiscard]] BROOK_INLINE std::vector<group_place> to_release(std::string_view name, group::member_id member, group_inquiries* = nullptr) override;

    BROOK_INLINE void release(std::string_view name, group::member_id member, const std::vector<group_place>& places, group_inquiries* = nullptr) override;

    /// `awaits_more`: others still have what it is to read.
    [[nodiscard]] BROOK_INLINE std::vector<group_place> take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries* = nullptr) override;

    // ---- commits ----

    /// Errors    illegal_generation: who commits has been put out of the group, or the partition is not its own; a consumer
    ///           that is no member, where there are members; unknown_topic_or_partition for a topic that was deleted; what
    ///           appending says.
    [[nodiscard]] BROOK_INLINE failure commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions, group_inquiries* = nullptr) override;

    /// Commits of several groups by `act`, which is given them, while none of them can change. What is of topics that were
    /// deleted is left out.
    /// Errors    as `commit`; then `act` is not called. What `act` says.
    template <class Act>
    [[nodiscard]] failure commit_with(std::vector<group_commit> commits, const Act& act) {
        const std::scoped_lock guard{mutex_};
        for (group_commit& one : commits) {
            for (std::size_t i = one.positions.size(); i-- > 0;) {
                if (!is_known(one.positions[i].topic)) {
                    erase_at(one.positions, i);
                }
            }
            if (failure why = refusal(one.group, one.member, one.positions)) {
                return why;
            }
        }
        failure why = act(std::as_const(commits));
        for (const group_commit& one : commits) {
            look_at_ages(one.member);
        }
        return why;
    }

    // ---- what others want to know ----

    /// Names of groups with members or commits, sorted.
    [[nodiscard]] BROOK_INLINE std::vector<std::string> names() override;

    /// `topics` are the broker's.
    /// Errors    group_id_not_found.
    [[nodiscard]] BROOK_INLINE group_description describe(std::string_view name, const std::vector<topic_handle>& topics) override;

    /// Forgets what a group has committed.
    /// Errors    non_empty_group, group_id_not_found, what appending says.
    [[nodiscard]] BROOK_INLINE failure remove(std::string_view name) override;

    /// Commits for a group without members.
    /// Errors    non_empty_group, unknown_topic_or_partition for a topic that was deleted, what appending says.
    [[nodiscard]] BROOK_INLINE failure reset(std::string_view name, const std::vector<committed_position>& positions) override;

    // ---- upkeep ----

    /// Puts out who has not polled.
    /// Returns   when to look again; nullopt: there are no members.
    std::optional<std::chrono::nanoseconds> expire();

    /// Forgets what groups have committed that have had no members for so long. The clock on the wall counts: brokers come
    /// and go meanwhile.
    /// Returns   when to look again; nullopt: all groups have members.
    std::optional<std::chrono::nanoseconds> forget_idle(std::chrono::nanoseconds retention);

private:
    static constexpr std::chrono::hours longest_without_look{1};  // the clock may be set
    static constexpr std::chrono::minutes noted_after{1};         // who only comes and goes writes nothing

    /// Somebody has committed: where that is no member, there is a group without members.
    void look_at_ages(group::member_id member) noexcept;

    [[nodiscard]] std::chrono::nanoseconds now() const { return shared_.platform.monotonic(); }

    /// Why a commit is none of this member's; success when it is.
    [[nodiscard]] failure refusal(std::string_view name, group::member_id member, const std::vector<committed_position>& positions) const;

    [[nodiscard]] failure refuse_unknown(const std::vector<committed_position>& positions) const;

    void leave_out_unknown(std::vector<group_topic>& topics) const;

    [[nodiscard]] std::size_t place_of(const format::topic_id& id) const noexcept;
    [[nodiscard]] bool is_known(const format::topic_id& id) const noexcept;

    [[nodiscard]] failure refuse_members(std::string_view name) const;

    static void describe_members(const group& in, const std::vector<topic_handle>& topics, group_description& told);

    [[nodiscard]] static group_description::partition describe_partition(const topic_state& topic, std::int32_t number, const committed_position* committed);

    [[nodiscard]] std::size_t place_of(std::string_view name) const noexcept;

    [[nodiscard]] group* find(std::string_view name) const noexcept;

    /// Makes the group if need be. Others who are due are put out on the way: there may be no upkeep.
    template <class Change>
    void change(std::string_view name, const Change& act) {
        std::vector<std::string> problems;
        {
            const std::scoped_lock guard{mutex_};
            group* in = find(name);
            if (in == nullptr) {
                insert_at(groups_, place_of(name), std::make_unique<group>(std::string{name}));
                in = find(name);
            }
            static_cast<void>(expire(*in, problems));
            act(*in);
            if (!in->problem().empty()) {
                problems.push_back(in->problem());
            }
            forget_empty();
        }
        shared_.readers.notify();
        shared_.upkeep.notify();  // it looks anew when somebody's time will be over
        report(problems);
    }

    std::optional<std::chrono::nanoseconds> expire(group& in, std::vector<std::string>& problems);

    /// Not under the lock: what is told may ask.
    void report(const std::vector<std::string>& problems);

    void forget_empty();

    shared_state& shared_;
    committed_offsets& offsets_;
    std::mutex mutex_;  // guards the groups, and what is committed for their members
    std::vector<std::unique_ptr<group>> groups_;  // by name; those with members
    std::vector<format::topic_id> known_;         // topics that are there, by id
    group::member_id last_member_ = 0;
    bool is_age_due_ = true;                             // some group may have lost its members since
    std::optional<std::chrono::nanoseconds> next_age_;  // when to look next at how old commits are
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/group_coordinator.hpp>
#endif
