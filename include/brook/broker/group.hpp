/// \file brook/broker/group.hpp
/// Who is a member of a group, and who reads what: a state machine without locks, files or clocks.
/// Floor 4, broker. Source: KIP-848, KIP-429 (incremental rebalances), KIP-345 (static members).
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
#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// A partition, whatever its topic is called.
struct group_place {
    format::topic_id topic{};
    std::int32_t partition = 0;
    bool operator==(const group_place&) const = default;
};

/// What a member and its group share without a lock: a poll that changes nothing looks at one word and touches another.
struct membership {
    std::atomic<std::uint64_t> changes{1};  ///< grows when the member has something to settle
    std::atomic<std::uint64_t> polls{0};    ///< grows at the beginning and at the end of each poll: odd inside of one
};

/// What a member says of itself when it joins.
struct member_options {
    std::string instance_id;  ///< empty: a member like any other [group.instance.id]
    std::chrono::nanoseconds max_poll_interval{};
    std::chrono::nanoseconds session_timeout{};
    std::shared_ptr<const partition_assignor> assignor;
};

/// A topic that members read.
struct group_topic {
    format::topic_id id{};
    std::string name;
    std::int32_t partitions = 0;
};

/// The members of a group, and the partitions of what they read.
///
/// Each change of members or topics makes a new generation, with a new target for everybody. A member gives up what the
/// target takes from it when it comes to its next poll, and only then another can take that: no partition is two members'
/// at any time. Nobody else is disturbed.
///
/// Time is told, never asked for. A member is alive while it polls: what counts is that its `polls` grow, so that a poll
/// reads no clock.
///
/// Threads   confined: its coordinator holds a lock.
class group {
public:
    using member_id = std::uint64_t;
    using instant = std::chrono::nanoseconds;

    struct member {
        member_id id = 0;
        member_options options;
        std::shared_ptr<membership> shared = std::make_shared<membership>();
        std::vector<group_topic> topics;   // by name
        std::uint64_t seen_polls = 0;
        instant seen_at{};                 // when its polls had last grown, or it was inside one
        std::optional<instant> gone_since;  // a static member that has left, and may come back

        [[nodiscard]] std::string name() const { return options.instance_id.empty() ? "member-" + std::to_string(id) : options.instance_id; }
    };

    explicit group(std::string name) : name_{std::move(name)} {}

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] std::int32_t generation() const noexcept { return generation_; }
    [[nodiscard]] const std::vector<std::unique_ptr<member>>& members() const noexcept { return members_; }
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }  ///< with a user's assignor; empty: none

    [[nodiscard]] bool has_members() const noexcept { return !members_.empty(); }

    /// The member, unless it has left, or was put out.
    [[nodiscard]] const member* find(member_id id) const noexcept {
        for (const auto& one : members_) {
            if (one->id == id && !one->gone_since) {
                return one.get();
            }
        }
        return nullptr;
    }

    /// True when those who are members share out by an assignor of this name.
    [[nodiscard]] bool agrees(const partition_assignor& assignor) const noexcept {
        return members_.empty() || members_.front()->options.assignor->name() == assignor.name();
    }

    /// A new member, or a static one that has come back: it takes the place of whoever has its instance id, who is a member
    /// no longer.
    std::shared_ptr<membership> join(member_id id, member_options options, std::vector<group_topic> topics, instant now) {
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

    /// It reads other topics from now on, or topics have come that it reads.
    void subscribe(member_id id, std::vector<group_topic> topics) {
        if (const std::size_t place = place_of(id); place < members_.size()) {
            members_[place]->topics = std::move(topics);
            share_out();
        }
    }

    /// A topic has been deleted: nobody reads it any more, and nobody has any of it. Its members need give nothing up for that.
    void forget_topic(const format::topic_id& topic) {
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

    /// A static member keeps what it has for its session timeout.
    void leave(member_id id, instant now) {
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

    /// Puts out who has not polled for too long, and static members that have not come back in time.
    /// Returns   when to look again; nullopt: there is nobody.
    std::optional<instant> expire(instant now) {
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

    // ---- what a member does at its poll, in this order ----

    /// What it has, and is another's from now on.
    [[nodiscard]] std::vector<group_place> to_release(member_id id) const {
        return places_where([id](const place_state& place) { return place.owner == id && place.target != id; });
    }

    void release(member_id id, const std::vector<group_place>& places) {
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

    /// What is its own by the target and free: from now on it has that.
    [[nodiscard]] std::vector<group_place> take(member_id id) {
        std::vector<group_place> taken = places_where([id](const place_state& place) { return place.target == id && place.owner == nobody; });
        for (const auto& one : taken) {
            find_place(one)->owner = id;
        }
        return taken;
    }

    /// Others still have what it is to read.
    [[nodiscard]] bool awaits_more(member_id id) const noexcept {
        return has_place([id](const place_state& place) { return place.target == id && place.owner != id; });
    }

    [[nodiscard]] bool owns(member_id id, const group_place& which) const noexcept {
        const place_state* const place = find_place(which);
        return place != nullptr && place->owner == id;
    }

    [[nodiscard]] std::vector<group_place> owned(member_id id) const {
        return places_where([id](const place_state& place) { return place.owner == id; });
    }

    [[nodiscard]] bool reads(const format::topic_id& topic) const noexcept {
        for (const auto& known : topics_) {
            if (known.of.id == topic) {
                return true;
            }
        }
        return false;
    }

    /// Empty: no member reads it.
    [[nodiscard]] std::string_view topic_name(const format::topic_id& topic) const noexcept {
        for (const auto& known : topics_) {
            if (known.of.id == topic) {
                return known.of.name;
            }
        }
        return {};
    }

    /// Everybody has what the target says.
    [[nodiscard]] bool is_settled() const noexcept {
        for (const auto& known : topics_) {
            for (const auto& place : known.places) {
                if (place.owner != place.target) {
                    return false;
                }
            }
        }
        return true;
    }

private:
    static constexpr member_id nobody = 0;

    struct place_state {
        member_id owner = nobody;   // who reads it
        member_id target = nobody;  // who is to read it
    };
    struct shared_topic {
        group_topic of;
        std::vector<place_state> places;  // by partition
    };

    static void signal(const member& one) noexcept { one.shared->changes.fetch_add(1, std::memory_order_release); }

    [[nodiscard]] static instant later(instant from, std::chrono::nanoseconds by) noexcept {
        return by < instant::max() - from ? from + by : instant::max();
    }

    [[nodiscard]] static bool same_topics(const std::vector<group_topic>& one, const std::vector<group_topic>& other) noexcept {
        bool same = one.size() == other.size();
        for (std::size_t i = 0; same && i < one.size(); ++i) {
            same = one[i].id == other[i].id && one[i].partitions == other[i].partitions;
        }
        return same;
    }

    [[nodiscard]] std::size_t place_of(member_id id) const noexcept {
        std::size_t i = 0;
        while (i < members_.size() && members_[i]->id != id) {
            ++i;
        }
        return i;
    }

    /// As many as there are members: nobody has it.
    [[nodiscard]] std::size_t place_of_instance(const std::string& instance) const noexcept {
        std::size_t i = instance.empty() ? members_.size() : 0;
        while (i < members_.size() && members_[i]->options.instance_id != instance) {
            ++i;
        }
        return i;
    }

    void set_free(member_id id) noexcept {
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

    void replace_target(member_id before, member_id now) noexcept {
        for (auto& known : topics_) {
            for (auto& place : known.places) {
                place.target = place.target == before ? now : place.target;
            }
        }
    }

    void remove(member_id id) {
        erase_at(members_, place_of(id));
        replace_target(id, nobody);
        share_out();
    }

    [[nodiscard]] const place_state* find_place(const group_place& which) const noexcept {
        for (const auto& known : topics_) {
            if (known.of.id == which.topic) {
                return which.partition >= 0 && which.partition < known.of.partitions ? &known.places[static_cast<std::size_t>(which.partition)] : nullptr;
            }
        }
        return nullptr;
    }
    [[nodiscard]] place_state* find_place(const group_place& which) noexcept { return const_cast<place_state*>(std::as_const(*this).find_place(which)); }

    template <class Wanted>
    [[nodiscard]] std::vector<group_place> places_where(const Wanted& wanted) const {
        std::vector<group_place> found;
        for (const auto& known : topics_) {
            for (std::size_t number = 0; number < known.places.size(); ++number) {
                if (wanted(known.places[number])) {
                    found.push_back({known.of.id, static_cast<std::int32_t>(number)});
                }
            }
        }
        return found;
    }

    // ---- sharing out ----

    /// A new generation. Who has something to give up or to take is told.
    void share_out() {
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

    template <class Wanted>
    [[nodiscard]] bool has_place(const Wanted& wanted) const noexcept {
        for (const auto& known : topics_) {
            for (const auto& place : known.places) {
                if (wanted(place)) {
                    return true;
                }
            }
        }
        return false;
    }

    /// All that anybody reads or still has, by name. Members may disagree about a topic's partitions: who has named it first is believed.
    void gather_topics() {
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

    [[nodiscard]] assignment_request make_request() const {
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

    /// What is wrong with an answer; empty: nothing.
    [[nodiscard]] static std::string fault_of(const assignment_request& request, const assignment& shares) {
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

    std::string name_;
    std::int32_t generation_ = 0;
    std::vector<std::unique_ptr<member>> members_;  // in the order in which they joined
    std::vector<shared_topic> topics_;              // by name
    std::string problem_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
