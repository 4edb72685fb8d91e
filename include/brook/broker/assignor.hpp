/// \file brook/broker/assignor.hpp
/// How a group shares out partitions among its members: pure functions, three of them here, and place for a user's own.
/// Floor 4, broker. Source: Kafka's RangeAssignor, RoundRobinAssignor and CooperativeStickyAssignor (KIP-429).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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
[[nodiscard]] inline std::vector<std::vector<std::uint32_t>> readers_of(const assignment_request& request) {
    std::vector<std::vector<std::uint32_t>> readers(request.topics.size());
    for (std::uint32_t member = 0; member < request.members.size(); ++member) {
        for (const std::uint32_t topic : request.members[member].topics) {
            readers[topic].push_back(member);
        }
    }
    return readers;
}

/// Who has what, while it is being shared out.
class share_table {
public:
    static constexpr std::uint32_t nobody = ~std::uint32_t{0};

    explicit share_table(const assignment_request& request) : owner_(request.topics.size()), load_(request.members.size(), 0) {
        for (std::size_t topic = 0; topic < request.topics.size(); ++topic) {
            owner_[topic].assign(static_cast<std::size_t>(request.topics[topic].partitions), nobody);
        }
    }

    [[nodiscard]] std::uint32_t owner(assigned_place what) const { return owner_[what.topic][static_cast<std::size_t>(what.partition)]; }
    [[nodiscard]] std::uint32_t load(std::uint32_t member) const { return load_[member]; }

    void give(assigned_place what, std::uint32_t member) {
        std::uint32_t& now = owner_[what.topic][static_cast<std::size_t>(what.partition)];
        if (now != nobody) {
            --load_[now];
        }
        now = member;
        if (now != nobody) {
            ++load_[now];
        }
    }

    /// By topic and partition.
    [[nodiscard]] assignment result() const {
        assignment shares(load_.size());
        for (std::uint32_t topic = 0; topic < owner_.size(); ++topic) {
            for (std::size_t number = 0; number < owner_[topic].size(); ++number) {
                if (const std::uint32_t member = owner_[topic][number]; member != nobody) {
                    shares[member].push_back({topic, static_cast<std::int32_t>(number)});
                }
            }
        }
        return shares;
    }

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

    [[nodiscard]] assignment assign(const assignment_request& request) const override {
        assignment shares(request.members.size());
        const auto readers = detail::readers_of(request);
        for (std::uint32_t topic = 0; topic < request.topics.size(); ++topic) {
            const auto count = static_cast<std::int32_t>(readers[topic].size());
            std::int32_t next = 0;
            for (std::int32_t i = 0; i < count; ++i) {
                const std::int32_t all = request.topics[topic].partitions;
                const std::int32_t end = next + all / count + (i < all % count ? 1 : 0);
                for (; next < end; ++next) {
                    shares[readers[topic][static_cast<std::size_t>(i)]].push_back({topic, next});
                }
            }
        }
        return shares;
    }
};

/// All partitions of all topics in one row, dealt out one by one.
class round_robin_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "roundrobin"; }

    [[nodiscard]] assignment assign(const assignment_request& request) const override {
        assignment shares(request.members.size());
        const auto readers = detail::readers_of(request);
        std::size_t next = 0;
        for (std::uint32_t topic = 0; topic < request.topics.size(); ++topic) {
            if (readers[topic].empty()) {
                continue;
            }
            for (std::int32_t number = 0; number < request.topics[topic].partitions; ++number) {
                while (!reads(request.members[next], topic)) {
                    next = (next + 1) % request.members.size();
                }
                shares[next].push_back({topic, number});
                next = (next + 1) % request.members.size();
            }
        }
        return shares;
    }

private:
    [[nodiscard]] static bool reads(const assignment_request::member& member, std::uint32_t topic) {
        for (const std::uint32_t one : member.topics) {
            if (one == topic) {
                return true;
            }
        }
        return false;
    }
};

/// Everybody keeps what they have, as far as it comes out even; only what must move does. Where all members read the same
/// topics their numbers differ by one at most, and no other such assignment moves fewer partitions.
///
/// Cost      O(partitions × members), and O(members × topics) for each partition that moves.
class cooperative_sticky_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "cooperative-sticky"; }

    [[nodiscard]] assignment assign(const assignment_request& request) const override {
        detail::share_table table{request};
        const auto readers = detail::readers_of(request);
        keep(request, readers, table);
        for (std::uint32_t topic = 0; topic < request.topics.size(); ++topic) {  // what nobody has goes to who has least
            for (std::int32_t number = 0; number < request.topics[topic].partitions && !readers[topic].empty(); ++number) {
                if (table.owner({topic, number}) == detail::share_table::nobody) {
                    table.give({topic, number}, least_loaded(readers[topic], table));
                }
            }
        }
        even_out(request, readers, table);
        return table.result();
    }

private:
    static void keep(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers, detail::share_table& table) {
        for (std::uint32_t member = 0; member < request.members.size(); ++member) {
            for (const assigned_place& one : request.members[member].owned) {
                bool still_reads = false;
                for (const std::uint32_t reader : readers[one.topic]) {
                    still_reads = still_reads || reader == member;
                }
                if (still_reads && one.partition < request.topics[one.topic].partitions) {
                    table.give(one, member);
                }
            }
        }
    }

    [[nodiscard]] static std::uint32_t least_loaded(const std::vector<std::uint32_t>& readers, const detail::share_table& table) {
        std::uint32_t least = readers.front();
        for (const std::uint32_t reader : readers) {
            least = table.load(reader) < table.load(least) ? reader : least;
        }
        return least;
    }

    /// From who has most to who has least, as long as that has two less and could have it. Each move makes the sum of the
    /// squares smaller, so that there is an end.
    static void even_out(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers, detail::share_table& table) {
        const std::size_t topics = request.topics.size();
        std::vector<std::vector<std::int32_t>> held(request.members.size() * topics);  // by member, then topic
        for (std::uint32_t topic = 0; topic < topics; ++topic) {
            for (std::int32_t number = 0; number < request.topics[topic].partitions; ++number) {
                if (const std::uint32_t member = table.owner({topic, number}); member != detail::share_table::nobody) {
                    held[member * topics + topic].push_back(number);
                }
            }
        }
        for (;;) {
            std::uint32_t giver = detail::share_table::nobody;
            assigned_place what{};
            std::uint32_t taker = 0;
            for (std::uint32_t topic = 0; topic < topics; ++topic) {
                if (readers[topic].empty()) {
                    continue;
                }
                const std::uint32_t least = least_loaded(readers[topic], table);
                for (const std::uint32_t member : readers[topic]) {
                    const auto& numbers = held[member * topics + topic];
                    if (!numbers.empty() && table.load(member) >= table.load(least) + 2 &&
                        (giver == detail::share_table::nobody || table.load(member) > table.load(giver))) {
                        giver = member;
                        what = {topic, numbers.back()};
                        taker = least;
                    }
                }
            }
            if (giver == detail::share_table::nobody) {
                return;
            }
            held[giver * topics + what.topic].pop_back();
            held[taker * topics + what.topic].push_back(what.partition);
            table.give(what, taker);
        }
    }
};

/// The assignors by Kafka's names, one of each for everybody.
namespace assignors {

[[nodiscard]] inline std::shared_ptr<const partition_assignor> range() {
    static const auto one = std::make_shared<const range_assignor>();
    return one;
}
[[nodiscard]] inline std::shared_ptr<const partition_assignor> round_robin() {
    static const auto one = std::make_shared<const round_robin_assignor>();
    return one;
}
[[nodiscard]] inline std::shared_ptr<const partition_assignor> cooperative_sticky() {
    static const auto one = std::make_shared<const cooperative_sticky_assignor>();
    return one;
}

}  // namespace assignors

}  // namespace brook::inline BROOK_ABI
