/// \file brook/broker/bodies/group_coordinator.hpp
/// The functions that group_coordinator.hpp declares.
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
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void group_coordinator::add_topic(const format::topic_id& id) {
    const std::scoped_lock guard{mutex_};
    if (const std::size_t i = place_of(id); i == known_.size() || known_[i] != id) {
        insert_at(known_, i, id);
    }
}

BROOK_INLINE bool group_coordinator::knows(const format::topic_id& id) {
    const std::scoped_lock guard{mutex_};
    return is_known(id);
}

BROOK_INLINE std::vector<failure> group_coordinator::remove_topic(const format::topic_id& id) {
    std::vector<failure> problems;
    {
        const std::scoped_lock guard{mutex_};
        if (!is_known(id)) {
            return problems;
        }
        erase_at(known_, place_of(id));
        for (const auto& in : groups_) {
            const std::int32_t before = in->generation();
            in->forget_topic(id);
            if (in->generation() != before && !in->problem().empty()) {
                problems.push_back({errc::invalid_config, in->problem()});
            }
        }
    }
    shared_.readers.notify();
    return problems;
}

BROOK_INLINE group_seat group_coordinator::join(std::string_view name, const member_options& options, std::vector<group_topic> topics,
                                                group_inquiries*) {
    return join_as(0, name, options, std::move(topics));
}

BROOK_INLINE group_seat group_coordinator::join_as(group::member_id wanted, std::string_view name, const member_options& options,
                                                   std::vector<group_topic> topics) {
    group_seat seat;
    change(name, [&](group& in) {
        if (!in.agrees(*options.assignor)) {
            throw_error(errc::inconsistent_group_protocol, "group '" + in.name() + "' shares out by " +
                                                               std::string{in.members().front()->options.assignor->name()} + ", and this consumer wants " +
                                                               std::string{options.assignor->name()});
        }
        static_cast<void>(offsets_.note_members(name));  // where it cannot be noted upkeep tries again
        leave_out_unknown(topics);
        if (const group::member* const there = wanted != 0 ? in.find(wanted) : nullptr) {
            seat = {there->id, there->shared};
            return;
        }
        seat.id = wanted != 0 ? wanted : ++last_member_;
        seat.shared = in.join(seat.id, options, std::move(topics), now());
    });
    return seat;
}

BROOK_INLINE void group_coordinator::forget_members() {
    const std::scoped_lock guard{mutex_};
    groups_.clear();
    is_age_due_ = true;
}

BROOK_INLINE std::vector<group_place> group_coordinator::owned(std::string_view name, group::member_id member) {
    const std::scoped_lock guard{mutex_};
    const group* const in = find(name);
    return in == nullptr ? std::vector<group_place>{} : in->owned(member);
}

BROOK_INLINE std::shared_ptr<membership> group_coordinator::find_membership(std::string_view name, group::member_id member) {
    const std::scoped_lock guard{mutex_};
    const group* const in = find(name);
    const group::member* const there = in == nullptr ? nullptr : in->find(member);
    return there == nullptr ? nullptr : there->shared;
}

BROOK_INLINE std::optional<committed_position> group_coordinator::committed(std::string_view name, const format::topic_id& topic,
                                                                            std::int32_t partition, group_inquiries*) {
    return offsets_.find(name, topic, partition);
}

BROOK_INLINE void group_coordinator::subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries*) {
    change(name, [&](group& in) {
        leave_out_unknown(topics);
        in.subscribe(member, std::move(topics));
    });
}

BROOK_INLINE void group_coordinator::leave(std::string_view name, group::member_id member) {
    change(name, [&](group& in) { in.leave(member, now()); });
}

BROOK_INLINE bool group_coordinator::is_member(std::string_view name, group::member_id member) {
    const std::scoped_lock guard{mutex_};
    const group* const in = find(name);
    return in != nullptr && in->find(member) != nullptr;
}

BROOK_INLINE bool group_coordinator::has_instance(std::string_view name, std::string_view instance, group_inquiries*) {
    const std::scoped_lock guard{mutex_};
    if (const group* const in = find(name); in != nullptr && !instance.empty()) {
        for (const auto& one : in->members()) {
            if (one->options.instance_id == instance && !one->gone_since) {
                return true;
            }
        }
    }
    return false;
}

BROOK_INLINE std::vector<group_place> group_coordinator::to_release(std::string_view name, group::member_id member, group_inquiries*) {
    const std::scoped_lock guard{mutex_};
    const group* const in = find(name);
    return in == nullptr ? std::vector<group_place>{} : in->to_release(member);
}

BROOK_INLINE void group_coordinator::release(std::string_view name, group::member_id member, const std::vector<group_place>& places, group_inquiries*) {
    change(name, [&](group& in) { in.release(member, places); });
}

BROOK_INLINE std::vector<group_place> group_coordinator::take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries*) {
    const std::scoped_lock guard{mutex_};
    group* const in = find(name);
    std::vector<group_place> taken = in == nullptr ? std::vector<group_place>{} : in->take(member);
    awaits_more = in != nullptr && in->awaits_more(member);
    return taken;
}

BROOK_INLINE failure group_coordinator::commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions,
                                               group_inquiries*) {
    const std::scoped_lock guard{mutex_};
    failure why = refusal(name, member, positions);
    if (!why) {
        why = offsets_.commit(name, positions);
        look_at_ages(member);
    }
    return why;
}

BROOK_INLINE std::vector<std::string> group_coordinator::names() {
    const std::scoped_lock guard{mutex_};
    std::vector<std::string> all = offsets_.groups();
    for (const auto& in : groups_) {
        const std::size_t at = count_before(all.size(), [&](std::size_t i) { return all[i] < in->name(); });
        if (at == all.size() || all[at] != in->name()) {
            insert_at(all, at, in->name());
        }
    }
    return all;
}

BROOK_INLINE group_description group_coordinator::describe(std::string_view name, const std::vector<topic_handle>& topics) {
    const std::scoped_lock guard{mutex_};
    const group* const in = find(name);
    const auto committed = offsets_.positions_of(name);
    if (in == nullptr && committed.empty()) {
        throw_error(errc::group_id_not_found, "there is no group '" + std::string{name} + "': nobody is in it, and it has committed nothing");
    }
    group_description told;
    told.group_id = name;
    if (in != nullptr) {
        describe_members(*in, topics, told);
    }
    for (const auto& topic : topics) {
        const bool is_read = in != nullptr && in->reads(topic->meta.id);
        for (std::int32_t number = 0; number < topic->partition_count(); ++number) {
            const committed_position* found = nullptr;
            for (const auto& position : committed) {
                found = position.topic == topic->meta.id && position.partition == number ? &position : found;
            }
            if (is_read || found != nullptr) {
                told.partitions.push_back(describe_partition(*topic, number, found));
            }
        }
    }
    return told;
}

BROOK_INLINE failure group_coordinator::remove(std::string_view name) {
    const std::scoped_lock guard{mutex_};
    if (failure why = refuse_members(name)) {
        return why;
    }
    if (offsets_.positions_of(name).empty()) {
        return {errc::group_id_not_found, "there is no group '" + std::string{name} + '\''};
    }
    return offsets_.forget(name);
}

BROOK_INLINE failure group_coordinator::reset(std::string_view name, const std::vector<committed_position>& positions) {
    const std::scoped_lock guard{mutex_};
    failure why = refuse_members(name);
    if (!why) {
        why = refuse_unknown(positions);
    }
    if (!why) {
        why = offsets_.commit(name, positions);
        look_at_ages(0);
    }
    return why;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> group_coordinator::expire() {
    std::optional<std::chrono::nanoseconds> next;
    std::vector<std::string> problems;
    {
        const std::scoped_lock guard{mutex_};
        for (const auto& in : groups_) {
            const auto again = expire(*in, problems);
            next = next && again ? std::optional{*next < *again ? *next : *again} : next ? next : again;
        }
        forget_empty();
    }
    report(problems);
    return next;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> group_coordinator::forget_idle(std::chrono::nanoseconds retention) {
    std::vector<failure> problems;
    std::optional<std::chrono::nanoseconds> next;
    {
        const std::scoped_lock guard{mutex_};
        if (!is_age_due_ && (!next_age_ || now() < *next_age_)) {
            return next_age_;
        }
        is_age_due_ = false;
        const timestamp wall = shared_.platform.now();
        for (const auto& one : offsets_.ages()) {
            if (find(one.group) != nullptr) {
                static_cast<void>(offsets_.note_members(one.group));
                continue;
            }
            const timestamp empty_since = one.empty_since.value_or(wall);
            offsets_.set_empty(one.group, empty_since);
            const std::chrono::nanoseconds left = retention - (wall - (empty_since > one.last_commit ? empty_since : one.last_commit));
            if (left.count() > 0) {
                next = next && *next < left ? *next : left;
                const std::chrono::nanoseconds until_noted = noted_after - (wall - empty_since);
                if (!one.is_noted && (until_noted.count() > 0 || offsets_.note_empty(one.group))) {
                    const auto again = until_noted.count() > 0 ? until_noted : noted_after;
                    next = *next < again ? *next : again;
                }
            } else if (failure why = offsets_.forget(one.group)) {
                next = longest_without_look;
                problems.push_back(std::move(why));
            }
        }
        if (next) {
            next = now() + (*next < longest_without_look ? *next : longest_without_look);
        }
        next_age_ = next;
    }
    for (const auto& why : problems) {
        if (why.code != errc::closed) {
            shared_.report(why);
        }
    }
    return next;
}

BROOK_INLINE void group_coordinator::look_at_ages(group::member_id member) noexcept {
    if (member == 0 && !next_age_ && !is_age_due_) {
        is_age_due_ = true;
        shared_.upkeep.notify();
    }
}

BROOK_INLINE failure group_coordinator::refusal(std::string_view name, group::member_id member, const std::vector<committed_position>& positions) const {
    const group* const in = find(name);
    if (member == 0 ? in != nullptr && in->has_members() : in == nullptr || in->find(member) == nullptr) {
        return {errc::illegal_generation, "group '" + std::string{name} + "': " +
                                              (member == 0 ? "it has members, and this consumer, which was assigned its partitions, is none of them; subscribe, or wait "
                                                             "until they have gone"
                                                           : "this consumer has been put out, since it did not poll for its max_poll_interval, or its broker was silent, or another broker coordinates the group now; what it has not "
                                                             "committed others read again. Poll, and it joins anew")};
    }
    if (failure why = refuse_unknown(positions)) {
        return why;
    }
    for (const auto& position : positions) {
        if (member != 0 && !in->owns(member, {position.topic, position.partition})) {
            return {errc::illegal_generation, "group '" + std::string{name} + "': topic '" + std::string{in->topic_name(position.topic)} +
                                                  "', partition " + std::to_string(position.partition) +
                                                  " is not this member's any more, in generation " + std::to_string(in->generation())};
        }
    }
    return {};
}

BROOK_INLINE failure group_coordinator::refuse_unknown(const std::vector<committed_position>& positions) const {
    for (const auto& position : positions) {
        if (!is_known(position.topic)) {
            return {errc::unknown_topic_or_partition, "a commit for partition " + std::to_string(position.partition) +
                                                          " of a topic that was deleted; nothing of it is committed"};
        }
    }
    return {};
}

BROOK_INLINE void group_coordinator::leave_out_unknown(std::vector<group_topic>& topics) const {
    for (std::size_t i = topics.size(); i-- > 0;) {
        if (!is_known(topics[i].id)) {
            erase_at(topics, i);
        }
    }
}

BROOK_INLINE std::size_t group_coordinator::place_of(const format::topic_id& id) const noexcept {
    return count_before(known_.size(), [&](std::size_t i) { return std::memcmp(known_[i].data(), id.data(), id.size()) < 0; });
}

BROOK_INLINE bool group_coordinator::is_known(const format::topic_id& id) const noexcept {
    const std::size_t i = place_of(id);
    return i < known_.size() && known_[i] == id;
}

BROOK_INLINE failure group_coordinator::refuse_members(std::string_view name) const {
    const group* const in = find(name);
    if (in == nullptr) {
        return {};
    }
    std::string away;
    for (const auto& one : in->members()) {
        if (one->gone_since) {
            away += (away.empty() ? "" : ", ") + one->name();
        }
    }
    return {errc::non_empty_group, "group '" + in->name() + "' has members: " + std::to_string(in->members().size()) +
                                       (away.empty() ? "; close their consumers first"
                                                     : ", among them " + away + ", away, and a member until its session_timeout is over; close the others' consumers, and wait")};
}

BROOK_INLINE void group_coordinator::describe_members(const group& in, const std::vector<topic_handle>& topics, group_description& told) {
    told.generation = in.generation();
    told.state = in.is_settled() ? group_state::stable : group_state::reconciling;
    told.assignor = in.members().front()->options.assignor->name();
    for (const auto& one : in.members()) {
        group_description::member member{one->name(), one->options.instance_id, one->gone_since.has_value()};
        for (const auto& place : in.owned(one->id)) {
            for (const auto& topic : topics) {
                if (topic->meta.id == place.topic) {
                    member.assignment.emplace_back(topic->name, place.partition);
                }
            }
        }
        told.members.push_back(std::move(member));
    }
}

BROOK_INLINE group_description::partition group_coordinator::describe_partition(const topic_state& topic, std::int32_t number,
                                                                                const committed_position* committed) {
    storage::log& log = topic.partition(number);
    group_description::partition told{topic.name, number};
    if (committed != nullptr) {
        told.committed = committed->next;
        told.metadata = committed->metadata;
    }
    const offset from = told.committed.value_or(log.log_start_offset());
    told.log_end_offset = log.readable_end();  // read last: it only grows
    told.lag = told.log_end_offset > from ? told.log_end_offset - from : 0;
    return told;
}

BROOK_INLINE std::size_t group_coordinator::place_of(std::string_view name) const noexcept {
    return count_before(groups_.size(), [&](std::size_t i) { return std::string_view{groups_[i]->name()} < name; });
}

BROOK_INLINE group* group_coordinator::find(std::string_view name) const noexcept {
    const std::size_t i = place_of(name);
    return i < groups_.size() && groups_[i]->name() == name ? groups_[i].get() : nullptr;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> group_coordinator::expire(group& in, std::vector<std::string>& problems) {
    const std::int32_t before = in.generation();
    const auto next = in.expire(now());
    if (in.generation() != before) {
        shared_.readers.notify();
        if (!in.problem().empty()) {
            problems.push_back(in.problem());
        }
    }
    return next;
}

BROOK_INLINE void group_coordinator::report(const std::vector<std::string>& problems) {
    for (const auto& problem : problems) {
        shared_.report({errc::invalid_config, problem});
    }
}

BROOK_INLINE void group_coordinator::forget_empty() {
    for (std::size_t i = groups_.size(); i-- > 0;) {
        if (!groups_[i]->has_members()) {
            erase_at(groups_, i);
            is_age_due_ = true;
        }
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
