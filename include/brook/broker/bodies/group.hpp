/// \file brook/broker/bodies/group.hpp
/// The functions that group.hpp declares.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/assignor.hpp>
#include <brook/broker/group.hpp>
#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE auto group::find(member_id id) const noexcept -> const member* {
    for (const auto& one : members_) {
        if (one->id == id && !one->gone_since) {
            return one.get();
        }
    }
    return nullptr;
}

BROOK_INLINE bool group::agrees(const partition_assignor& assignor) const noexcept {
    return members_.empty() || members_.front()->options.assignor->name() == assignor.name();
}

BROOK_INLINE std::shared_ptr<membership> group::join(member_id id, member_options options, std::vector<group_topic> topics, instant now) {
    auto joining = std::make_unique<member>();
    joining->id = id;
    joining->options = std::move(options);
    joining->topics = std::move(topics);
    joining->seen_at = now;
    const std::shared_ptr<membership> shared = joining->shared;
    const std::size_t place = place_of_instance(joining->options.instance_id);
    if (place == members_.size()) {
        members_.push_back(std::move(joining));
        try {
            share_out();
        } catch (...) {
            members_.pop_back();  // with the next change all is shared out without it
            throw;
        }
        return shared;
    }
    const member& before = *members_[place];
    const bool reads_the_same = same_topics(before.topics, joining->topics);
    set_free(before.id);
    signal(before);
    replace_target(before.id, id);
    members_[place] = std::move(joining);
    if (!reads_the_same) {
        share_out();  // else nothing moves: that is what static members are for
    }
    return shared;
}

BROOK_INLINE void group::subscribe(member_id id, std::vector<group_topic> topics) {
    if (const std::size_t place = place_of(id); place < members_.size()) {
        members_[place]->topics = std::move(topics);
        share_out();
    }
}

BROOK_INLINE void group::forget_topic(const format::topic_id& topic) {
    bool is_known = false;
    for (const auto& one : members_) {
        for (std::size_t i = one->topics.size(); i-- > 0;) {
            if (one->topics[i].id == topic) {
                erase_at(one->topics, i);
                is_known = true;
                signal(*one);
            }
        }
    }
    for (std::size_t i = topics_.size(); i-- > 0;) {
        if (topics_[i].of.id == topic) {
            erase_at(topics_, i);
            is_known = true;
        }
    }
    if (is_known) {
        share_out();
    }
}

BROOK_INLINE void group::leave(member_id id, instant now) {
    const std::size_t place = place_of(id);
    if (place == members_.size() || members_[place]->gone_since) {
        return;
    }
    member& leaving = *members_[place];
    signal(leaving);  // it may have been put out, and not know
    set_free(id);
    if (!leaving.options.instance_id.empty() && leaving.options.session_timeout.count() > 0) {
        leaving.gone_since = now;
    } else {
        remove(id);
    }
}

BROOK_INLINE auto group::expire(instant now) -> std::optional<instant> {
    std::optional<instant> next;
    for (std::size_t i = 0; i < members_.size();) {
        member& one = *members_[i];
        instant end{};
        if (one.gone_since) {
            end = later(*one.gone_since, one.options.session_timeout);
        } else {
            const std::uint64_t polls = one.shared->polls.load(std::memory_order_acquire);
            if (polls != one.seen_polls || polls % 2 == 1) {
                one.seen_polls = polls;
                one.seen_at = now;
            }
            end = later(one.seen_at, one.options.max_poll_interval);
        }
        if (end > now) {
            // That its polls have grown is seen when somebody looks: looked at seldom, it would live twice as long.
            const instant soon = later(now, one.options.max_poll_interval / 8);
            const instant due = one.gone_since || end < soon ? end : soon;
            next = next && *next < due ? *next : due;
            ++i;
        } else if (one.gone_since) {
            remove(one.id);
        } else {
            const std::size_t before = members_.size();
            leave(one.id, now);
            if (members_.size() == before) {  // static: it has a session to run out
                ++i;
                const instant over = later(now, one.options.session_timeout);
                next = next && *next < over ? *next : over;
            }
        }
    }
    return next;
}

BROOK_INLINE std::vector<group_place> group::to_release(member_id id) const {
    return places_where([id](const place_state& place) { return place.owner == id && place.target != id; });
}

BROOK_INLINE void group::release(member_id id, const std::vector<group_place>& places) {
    for (const auto& one : places) {
        place_state* const place = find_place(one);
        if (place == nullptr || place->owner != id) {
            continue;
        }
        place->owner = nobody;
        if (const std::size_t next = place_of(place->target); next < members_.size()) {
            signal(*members_[next]);
        }
    }
}

BROOK_INLINE std::vector<group_place> group::take(member_id id) {
    std::vector<group_place> taken = places_where([id](const place_state& place) { return place.target == id && place.owner == nobody; });
    for (const auto& one : taken) {
        find_place(one)->owner = id;
    }
    return taken;
}

BROOK_INLINE bool group::awaits_more(member_id id) const noexcept {
    return has_place([id](const place_state& place) { return place.target == id && place.owner != id; });
}

BROOK_INLINE bool group::owns(member_id id, const group_place& which) const noexcept {
    const place_state* const place = find_place(which);
    return place != nullptr && place->owner == id;
}

BROOK_INLINE std::vector<group_place> group::owned(member_id id) const {
    return places_where([id](const place_state& place) { return place.owner == id; });
}

BROOK_INLINE bool group::reads(const format::topic_id& topic) const noexcept {
    for (const auto& known : topics_) {
        if (known.of.id == topic) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE std::string_view group::topic_name(const format::topic_id& topic) const noexcept {
    for (const auto& known : topics_) {
        if (known.of.id == topic) {
            return known.of.name;
        }
    }
    return {};
}

BROOK_INLINE bool group::is_settled() const noexcept {
    for (const auto& known : topics_) {
        for (const auto& place : known.places) {
            if (place.owner != place.target) {
                return false;
            }
        }
    }
    return true;
}

BROOK_INLINE auto group::later(instant from, std::chrono::nanoseconds by) noexcept -> instant {
    return by < instant::max() - from ? from + by : instant::max();
}

BROOK_INLINE bool group::same_topics(const std::vector<group_topic>& one, const std::vector<group_topic>& other) noexcept {
    bool same = one.size() == other.size();
    for (std::size_t i = 0; same && i < one.size(); ++i) {
        same = one[i].id == other[i].id && one[i].partitions == other[i].partitions;
    }
    return same;
}

BROOK_INLINE std::size_t group::place_of(member_id id) const noexcept {
    std::size_t i = 0;
    while (i < members_.size() && members_[i]->id != id) {
        ++i;
    }
    return i;
}

BROOK_INLINE std::size_t group::place_of_instance(const std::string& instance) const noexcept {
    std::size_t i = instance.empty() ? members_.size() : 0;
    while (i < members_.size() && members_[i]->options.instance_id != instance) {
        ++i;
    }
    return i;
}

BROOK_INLINE void group::set_free(member_id id) noexcept {
    for (auto& known : topics_) {
        for (auto& place : known.places) {
            if (place.owner != id) {
                continue;
            }
            place.owner = nobody;
            if (const std::size_t next = place_of(place.target); next < members_.size()) {
                signal(*members_[next]);
            }
        }
    }
}

BROOK_INLINE void group::replace_target(member_id before, member_id now) noexcept {
    for (auto& known : topics_) {
        for (auto& place : known.places) {
            place.target = place.target == before ? now : place.target;
        }
    }
}

BROOK_INLINE void group::remove(member_id id) {
    erase_at(members_, place_of(id));
    replace_target(id, nobody);
    share_out();
}

BROOK_INLINE auto group::find_place(const group_place& which) const noexcept -> const place_state* {
    for (const auto& known : topics_) {
        if (known.of.id == which.topic) {
            return which.partition >= 0 && which.partition < known.of.partitions ? &known.places[static_cast<std::size_t>(which.partition)] : nullptr;
        }
    }
    return nullptr;
}

BROOK_INLINE void group::share_out() {
    ++generation_;
    gather_topics();
    const assignment_request request = make_request();
    problem_.clear();
    assignment shares;
    if (!members_.empty()) {
        const partition_assignor& wanted = *members_.front()->options.assignor;
        shares = wanted.assign(request);
        problem_ = fault_of(request, shares);
        if (!problem_.empty()) {
            problem_ = "group '" + name_ + "': assignor " + std::string{wanted.name()} + ' ' + problem_ + "; cooperative-sticky does it";
            shares = assignors::cooperative_sticky()->assign(request);
        }
    }
    for (auto& known : topics_) {
        for (auto& place : known.places) {
            place.target = nobody;
        }
    }
    for (std::size_t i = 0; i < shares.size(); ++i) {
        for (const assigned_place& one : shares[i]) {
            topics_[one.topic].places[static_cast<std::size_t>(one.partition)].target = members_[i]->id;
        }
    }
    for (const auto& one : members_) {
        const member_id id = one->id;
        if (has_place([id](const place_state& place) { return (place.owner == id) != (place.target == id); })) {
            signal(*one);
        }
    }
}

BROOK_INLINE void group::gather_topics() {
    std::vector<shared_topic> all;
    const auto place_in_all = [&](const group_topic& of) {
        return count_before(all.size(), [&](std::size_t i) { return all[i].of.name < of.name; });
    };
    const auto is_at = [&](std::size_t at, const group_topic& of) { return at < all.size() && all[at].of.id == of.id; };
    for (const auto& one : members_) {
        for (const auto& of : one->topics) {
            if (const std::size_t at = place_in_all(of); !is_at(at, of) && of.partitions > 0) {
                insert_at(all, at, shared_topic{of, std::vector<place_state>(static_cast<std::size_t>(of.partitions))});
            }
        }
    }
    for (const auto& known : topics_) {  // copies: what is thrown here leaves all as it was
        bool is_used = false;
        for (const auto& place : known.places) {
            is_used = is_used || place.owner != nobody;
        }
        const std::size_t at = place_in_all(known.of);
        if (is_at(at, known.of)) {
            const std::size_t both = known.places.size() < all[at].places.size() ? known.places.size() : all[at].places.size();
            std::copy_n(known.places.begin(), both, all[at].places.begin());
        } else if (is_used) {
            insert_at(all, at, shared_topic{known});
        }
    }
    topics_ = std::move(all);
}

BROOK_INLINE assignment_request group::make_request() const {
    assignment_request request;
    for (const auto& known : topics_) {
        request.topics.push_back({known.of.name, known.of.partitions});
    }
    for (const auto& one : members_) {
        assignment_request::member asking{one->name(), {}, {}};
        for (std::uint32_t topic = 0; topic < topics_.size(); ++topic) {
            for (const auto& of : one->topics) {
                if (of.id == topics_[topic].of.id) {
                    asking.topics.push_back(topic);
                }
            }
            for (std::size_t number = 0; number < topics_[topic].places.size(); ++number) {
                const place_state& place = topics_[topic].places[number];
                // Where it is on its way from one to another it counts as the other's: else it would wander.
                if ((place.target == nobody ? place.owner : place.target) == one->id) {
                    asking.owned.push_back({topic, static_cast<std::int32_t>(number)});
                }
            }
        }
        request.members.push_back(std::move(asking));
    }
    return request;
}

BROOK_INLINE std::string group::fault_of(const assignment_request& request, const assignment& shares) {
    if (shares.size() != request.members.size()) {
        return "answered for " + std::to_string(shares.size()) + " members of " + std::to_string(request.members.size());
    }
    const auto readers = detail::readers_of(request);
    detail::share_table table{request};
    for (std::uint32_t member = 0; member < shares.size(); ++member) {
        for (const assigned_place& one : shares[member]) {
            if (one.topic >= request.topics.size() || one.partition < 0 || one.partition >= request.topics[one.topic].partitions) {
                return "gave " + request.members[member].id + " a partition that there is not";
            }
            const std::string what = "'" + request.topics[one.topic].name + "', partition " + std::to_string(one.partition);
            if (table.owner(one) != detail::share_table::nobody) {
                return "gave topic " + what + " to two members";
            }
            bool is_reader = false;
            for (const std::uint32_t reader : readers[one.topic]) {
                is_reader = is_reader || reader == member;
            }
            if (!is_reader) {
                return "gave topic " + what + " to " + request.members[member].id + ", which does not read it";
            }
            table.give(one, member);
        }
    }
    for (std::uint32_t topic = 0; topic < request.topics.size(); ++topic) {
        for (std::int32_t number = 0; number < request.topics[topic].partitions && !readers[topic].empty(); ++number) {
            if (table.owner({topic, number}) == detail::share_table::nobody) {
                return "gave topic '" + request.topics[topic].name + "', partition " + std::to_string(number) + " to nobody";
            }
        }
    }
    return {};
}

}  // namespace brook::inline BROOK_ABI::broker_room
