/// \file brook/broker/bodies/assignor.hpp
/// The functions that assignor.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <brook/broker/assignor.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::detail {

BROOK_INLINE std::vector<std::vector<std::uint32_t>> readers_of(const assignment_request& request) {
    std::vector<std::vector<std::uint32_t>> readers(request.topics.size());
    for (std::uint32_t member = 0; member < request.members.size(); ++member) {
        for (const std::uint32_t topic : request.members[member].topics) {
            readers[topic].push_back(member);
        }
    }
    return readers;
}

BROOK_INLINE share_table::share_table(const assignment_request& request) : owner_(request.topics.size()), load_(request.members.size(), 0) {
    for (std::size_t topic = 0; topic < request.topics.size(); ++topic) {
        owner_[topic].assign(static_cast<std::size_t>(request.topics[topic].partitions), nobody);
    }
}

BROOK_INLINE void share_table::give(assigned_place what, std::uint32_t member) {
    std::uint32_t& now = owner_[what.topic][static_cast<std::size_t>(what.partition)];
    if (now != nobody) {
        --load_[now];
    }
    now = member;
    if (now != nobody) {
        ++load_[now];
    }
}

BROOK_INLINE assignment share_table::result() const {
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

}  // namespace brook::inline BROOK_ABI::detail

namespace brook::inline BROOK_ABI {

BROOK_INLINE assignment range_assignor::assign(const assignment_request& request) const {
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

BROOK_INLINE assignment round_robin_assignor::assign(const assignment_request& request) const {
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

BROOK_INLINE bool round_robin_assignor::reads(const assignment_request::member& member, std::uint32_t topic) {
    for (const std::uint32_t one : member.topics) {
        if (one == topic) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE assignment cooperative_sticky_assignor::assign(const assignment_request& request) const {
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

BROOK_INLINE void cooperative_sticky_assignor::keep(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers,
                                                    detail::share_table& table) {
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

BROOK_INLINE std::uint32_t cooperative_sticky_assignor::least_loaded(const std::vector<std::uint32_t>& readers, const detail::share_table& table) {
    std::uint32_t least = readers.front();
    for (const std::uint32_t reader : readers) {
        least = table.load(reader) < table.load(least) ? reader : least;
    }
    return least;
}

BROOK_INLINE void cooperative_sticky_assignor::even_out(const assignment_request& request, const std::vector<std::vector<std::uint32_t>>& readers,
                                                        detail::share_table& table) {
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

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::assignors {

BROOK_INLINE std::shared_ptr<const partition_assignor> range() {
    static const auto one = std::make_shared<const range_assignor>();
    return one;
}

BROOK_INLINE std::shared_ptr<const partition_assignor> round_robin() {
    static const auto one = std::make_shared<const round_robin_assignor>();
    return one;
}

BROOK_INLINE std::shared_ptr<const partition_assignor> cooperative_sticky() {
    static const auto one = std::make_shared<const cooperative_sticky_assignor>();
    return one;
}

}  // namespace brook::inline BROOK_ABI::assignors
