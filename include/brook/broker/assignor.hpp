/// \file brook/broker/assignor.hpp
/// How a group shares out partitions among its members: pure functions, three of them here, and place for a user's own.
/// Floor 4, broker. Source: Kafka's RangeAssignor, RoundRobinAssignor and CooperativeStickyAssignor (KIP-429).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// A partition of one of the topics that are shared out.
struct assigned_place {
    std::uint32_t topic = 0;  ///< index of the topic in the request
    std::int32_t partition = 0;
    bool operator==(const assigned_place&) const = default;
};

/// What is to be shared out, and among whom.
struct assignment_request {
    struct topic {
        std::string name;
        std::int32_t partitions = 0;
    };
    struct member {
        std::string id;                      ///< its group_instance_id, or "member-" and a number that is never given again
        std::vector<std::uint32_t> topics;   ///< indices of those that it reads, ascending
        std::vector<assigned_place> owned;   ///< what it has now, by topic and partition; each is one other's at most
    };
    std::vector<topic> topics;    ///< by name
    std::vector<member> members;  ///< in the order in which they joined; a static member keeps its place when it comes back
};

/// The answer: for each member of the request, in its order, what it is to read.
using assignment = std::vector<std::vector<assigned_place>>;

/// Shares partitions out [partition.assignment.strategy]. All members of a group name the same one.
///
/// Threads   called by whichever thread changes the group, one at a time a broker, under a lock: it must not call back.
class partition_assignor {
public:
    virtual ~partition_assignor() = default;

    /// Groups whose members name different ones are refused.
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    /// Each partition of each topic that somebody reads to one member who reads its topic. Another answer is not
    /// followed: `broker.health()` says so, and cooperative_sticky does it.
    [[nodiscard]] virtual assignment assign(const assignment_request& request) const = 0;
};

namespace detail {

/// For each topic, who reads it: indices of members, ascending.
[[nodiscard]] BROOK_INLINE std::vector<std::vector<std::uint32_t>> readers_of(const assignment_request& request);

/// Who has what, while it is being shared out.
class share_table {
public:
    static constexpr std::uint32_t nobody = ~std::uint32_t{0};

    explicit share_table(const assignment_request& request);

    [[nodiscard]] std::uint32_t owner(assigned_place what) const { return owner_[what.topic][static_cast<std::size_t>(what.partition)]; }
    [[nodiscard]] std::uint32_t load(std::uint32_t member) const { return load_[member]; }

    void give(assigned_place what, std::uint32_t member);

    /// By topic and partition.
    [[nodiscard]] assignment result() const;

private:
    std::vector<std::vector<std::uint32_t>> owner_;  // by topic and partition
    std::vector<std::uint32_t> load_;                // by member
};

}  // namespace detail

/// Topic by topic, in runs: the first readers get one more where it does not come out even. Partitions of one number in
/// topics of one size go to one member, who can join them.
class range_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "range"; }

    [[nodiscard]] BROOK_INLINE assignment assign(const assignment_request& request) const override;
};

/// All partitions of all topics in one row, dealt out one by one.
class round_robin_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "roundrobin"; }

    [[nodiscard]] BROOK_INLINE assignment assign(const assignment_request& request) const override;

private:
    [[nodiscard]] static bool reads(const assignment_request::member& member, std::uint32_t topic);
};

/// Everybody keeps what they have, as far as it comes out even; only what must move does. Where all members read the same
/// topics their numbers differ by one at most, and no other such assignment moves fewer partitions.
///
/// Cost      O(partitions × members), and O(members × topics) for each partition that moves.
class cooperative_sticky_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "cooperative-sticky"; }

    [[nodiscard]] BROOK_INLINE assignment assign(const assignment_request& request) const override;

private:
    static void keep(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers, detail::share_table& table);

    [[nodiscard]] static std::uint32_t least_loaded(const std::vector<std::uint32_t>& readers, const detail::share_table& table);

    /// From who has most to who has least, as long as that has two less and could have it. Each move makes the sum of the
    /// squares smaller, so that there is an end.
    static void even_out(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers, detail::share_table& table);
};

/// The assignors by Kafka's names, one of each for everybody.
namespace assignors {

[[nodiscard]] BROOK_INLINE std::shared_ptr<const partition_assignor> range();
[[nodiscard]] BROOK_INLINE std::shared_ptr<const partition_assignor> round_robin();
[[nodiscard]] BROOK_INLINE std::shared_ptr<const partition_assignor> cooperative_sticky();

}  // namespace assignors

}  // namespace brook::inline BROOK_ABI

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/assignor.hpp>
#endif
