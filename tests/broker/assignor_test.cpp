#include <brook/broker/assignor.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace broker_assignor_test {

using namespace brook;

namespace {

/// Members that read all topics.
assignment_request request_of(const std::vector<std::int32_t>& topics, std::size_t members) {
    assignment_request request;
    std::vector<std::uint32_t> all;
    for (std::size_t i = 0; i < topics.size(); ++i) {
        request.topics.push_back({"topic-" + std::to_string(i), topics[i]});
        all.push_back(static_cast<std::uint32_t>(i));
    }
    for (std::size_t i = 0; i < members; ++i) {
        request.members.push_back({"member-" + std::to_string(i), all, {}});
    }
    return request;
}

/// Every partition that somebody reads is one reader's.
void check_complete(const assignment_request& request, const assignment& shares) {
    REQUIRE(shares.size() == request.members.size());
    detail::share_table table{request};
    const auto readers = detail::readers_of(request);
    for (std::uint32_t member = 0; member < shares.size(); ++member) {
        for (const auto& one : shares[member]) {
            REQUIRE(table.owner(one) == detail::share_table::nobody);
            REQUIRE(std::count(readers[one.topic].begin(), readers[one.topic].end(), member) == 1);
            table.give(one, member);
        }
    }
    for (std::uint32_t topic = 0; topic < request.topics.size(); ++topic) {
        for (std::int32_t number = 0; number < request.topics[topic].partitions; ++number) {
            REQUIRE((table.owner({topic, number}) != detail::share_table::nobody || readers[topic].empty()));
        }
    }
}

std::size_t moves(const assignment_request& request, const assignment& shares) {
    std::size_t count = 0;
    for (std::size_t member = 0; member < shares.size(); ++member) {
        for (const auto& one : request.members[member].owned) {
            count += std::count(shares[member].begin(), shares[member].end(), one) == 0 ? 1 : 0;
        }
    }
    return count;
}

}  // namespace

TEST_CASE("range gives runs, and the rest to the first", "[broker][assignor]") {
    const auto shares = assignors::range()->assign(request_of({7, 2}, 3));
    CHECK(shares[0] == std::vector<assigned_place>{{0, 0}, {0, 1}, {0, 2}, {1, 0}});
    CHECK(shares[1] == std::vector<assigned_place>{{0, 3}, {0, 4}, {1, 1}});
    CHECK(shares[2] == std::vector<assigned_place>{{0, 5}, {0, 6}});
}

TEST_CASE("round robin deals out one row over all topics", "[broker][assignor]") {
    const auto shares = assignors::round_robin()->assign(request_of({3, 2}, 2));
    CHECK(shares[0] == std::vector<assigned_place>{{0, 0}, {0, 2}, {1, 1}});
    CHECK(shares[1] == std::vector<assigned_place>{{0, 1}, {1, 0}});
}

TEST_CASE("cooperative sticky moves no more than it must", "[broker][assignor]") {
    auto request = request_of({6}, 2);
    request.members[0].owned = {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}};
    const auto shares = assignors::cooperative_sticky()->assign(request);
    CHECK(shares[0].size() == 3);
    CHECK(shares[1].size() == 3);
    CHECK(moves(request, shares) == 3);

    SECTION("and nothing where it is even") {
        auto again = request;
        again.members[0].owned = shares[0];
        again.members[1].owned = shares[1];
        CHECK(assignors::cooperative_sticky()->assign(again) == shares);
    }
    SECTION("and only what has become free when one has gone") {
        auto less = request_of({6}, 1);
        less.members[0].owned = shares[1];
        const auto alone = assignors::cooperative_sticky()->assign(less);
        CHECK(alone[0].size() == 6);
        CHECK(moves(less, alone) == 0);
    }
}

TEST_CASE("whatever members and topics there are, every assignor gives each partition to one reader", "[broker][assignor]") {
    std::mt19937 random{7};
    for (int round = 0; round < 3'000; ++round) {
        std::vector<std::int32_t> topics(1 + random() % 4);
        for (auto& partitions : topics) {
            partitions = static_cast<std::int32_t>(1 + random() % 9);
        }
        auto request = request_of(topics, 1 + random() % 6);
        const bool all_read_all = round % 2 == 0;
        for (auto& member : request.members) {
            if (!all_read_all) {
                std::erase_if(member.topics, [&](std::uint32_t) { return random() % 3 == 0; });
            }
        }
        detail::share_table had{request};
        for (std::uint32_t topic = 0; topic < topics.size(); ++topic) {  // some are somebody's, perhaps of one who reads it no more
            for (std::int32_t number = 0; number < topics[topic]; ++number) {
                const auto owner = static_cast<std::uint32_t>(random() % (request.members.size() + 1));
                if (owner < request.members.size()) {
                    request.members[owner].owned.push_back({topic, number});
                    had.give({topic, number}, owner);
                }
            }
        }
        CAPTURE(round);
        check_complete(request, assignors::range()->assign(request));
        check_complete(request, assignors::round_robin()->assign(request));
        const auto sticky = assignors::cooperative_sticky()->assign(request);
        check_complete(request, sticky);
        if (all_read_all) {
            std::size_t least = sticky.front().size();
            std::size_t most = 0;
            std::size_t all = 0;
            for (const auto& share : sticky) {
                least = std::min(least, share.size());
                most = std::max(most, share.size());
                all += share.size();
            }
            CHECK(most - least <= 1);
            // No even assignment moves fewer: each member keeps all it may, the largest shares going to who had most.
            std::vector<std::size_t> sizes;
            for (std::uint32_t member = 0; member < request.members.size(); ++member) {
                sizes.push_back(had.load(member));
            }
            std::sort(sizes.rbegin(), sizes.rend());
            std::size_t unavoidable = 0;
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                const std::size_t quota = all / sizes.size() + (i < all % sizes.size() ? 1 : 0);
                unavoidable += sizes[i] > quota ? sizes[i] - quota : 0;
            }
            CHECK(moves(request, sticky) == unavoidable);
        }
    }
}

}  // namespace broker_assignor_test
