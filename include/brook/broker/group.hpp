/// \file brook/broker/group.hpp
/// Who is a member of a group, and who reads what: a state machine without locks, files or clocks.
/// Floor 4, broker. Source: KIP-848, KIP-429 (incremental rebalances), KIP-345 (static members).
#pragma once

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
    [[nodiscard]] const member* find(member_id id) const noexcept;

    /// True when those who are members share out by an assignor of this name.
    [[nodiscard]] bool agrees(const partition_assignor& assignor) const noexcept;

    /// A new member, or a static one that has come back: it takes the place of whoever has its instance id, who is a member
    /// no longer.
    std::shared_ptr<membership> join(member_id id, member_options options, std::vector<group_topic> topics, instant now);

    /// It reads other topics from now on, or topics have come that it reads.
    void subscribe(member_id id, std::vector<group_topic> topics);

    /// A topic has been deleted: nobody reads it any more, and nobody has any of it. Its members need give nothing up for that.
    void forget_topic(const format::topic_id& topic);

    /// A static member keeps what it has for its session timeout.
    void leave(member_id id, instant now);

    /// Puts out who has not polled for too long, and static members that have not come back in time.
    /// Returns   when to look again; nullopt: there is nobody.
    std::optional<instant> expire(instant now);

    // ---- what a member does at its poll, in this order ----

    /// What it has, and is another's from now on.
    [[nodiscard]] std::vector<group_place> to_release(member_id id) const;

    void release(member_id id, const std::vector<group_place>& places);

    /// What is its own by the target and free: from now on it has that.
    [[nodiscard]] std::vector<group_place> take(member_id id);

    /// Others still have what it is to read.
    [[nodiscard]] bool awaits_more(member_id id) const noexcept;

    [[nodiscard]] bool owns(member_id id, const group_place& which) const noexcept;

    [[nodiscard]] std::vector<group_place> owned(member_id id) const;

    [[nodiscard]] bool reads(const format::topic_id& topic) const noexcept;

    /// Empty: no member reads it.
    [[nodiscard]] std::string_view topic_name(const format::topic_id& topic) const noexcept;

    /// Everybody has what the target says.
    [[nodiscard]] bool is_settled() const noexcept;

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

    [[nodiscard]] static instant later(instant from, std::chrono::nanoseconds by) noexcept;

    [[nodiscard]] static bool same_topics(const std::vector<group_topic>& one, const std::vector<group_topic>& other) noexcept;

    [[nodiscard]] std::size_t place_of(member_id id) const noexcept;

    /// As many as there are members: nobody has it.
    [[nodiscard]] std::size_t place_of_instance(const std::string& instance) const noexcept;

    void set_free(member_id id) noexcept;

    void replace_target(member_id before, member_id now) noexcept;

    void remove(member_id id);

    [[nodiscard]] const place_state* find_place(const group_place& which) const noexcept;
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
    void share_out();

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
    void gather_topics();

    [[nodiscard]] assignment_request make_request() const;

    /// What is wrong with an answer; empty: nothing.
    [[nodiscard]] static std::string fault_of(const assignment_request& request, const assignment& shares);

    std::string name_;
    std::int32_t generation_ = 0;
    std::vector<std::unique_ptr<member>> members_;  // in the order in which they joined
    std::vector<shared_topic> topics_;              // by name
    std::string problem_;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/group.hpp>
#endif
