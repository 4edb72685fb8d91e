#include <brook/storage/open_claims.hpp>  // first, so that it must stand alone

#include <chrono>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_open_claims_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;

TEST_CASE("claims held open are on a list, oldest first, until they are settled", "[storage][open_claims]") {
    partition orders;
    orders.open();
    const storage::segment_pin pin = [&] {
        const storage::claim taken = orders.hold(64);
        return taken.home->pin();
    }();
    storage::open_claims claims;
    CHECK_FALSE(claims.oldest());
    const storage::claim first = orders.hold(64);
    const storage::claim second = orders.hold(128);
    const auto one = *claims.add(first, pin, 5s);
    const auto two = *claims.add(second, pin, 6s);
    CHECK(one != two);
    REQUIRE(claims.oldest());
    CHECK(claims.oldest()->at == first.first);
    CHECK(claims.oldest()->since == 5s);

    int finished = 0;
    const auto finish = [&](const storage::claim& taken) {
        ++finished;
        CHECK(taken.at == first.at);
    };
    CHECK(claims.settle(one, finish));
    CHECK(finished == 1);
    CHECK_FALSE(claims.settle(one, finish));
    CHECK(finished == 1);
    CHECK(claims.oldest()->at == second.first);
    int given_up = 0;
    claims.close([&](const storage::claim& taken) {
        ++given_up;
        CHECK(taken.at == second.at);
    });
    CHECK(given_up == 1);
    CHECK_FALSE(claims.settle(two, finish));
    CHECK(finished == 1);
    CHECK_FALSE(claims.oldest());
}

TEST_CASE("a thread is warned of its own claims alone, and of those in front of what it waits for", "[storage][open_claims][threads]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 5);
    const storage::claim mine = orders.hold(64);
    storage::open_claims claims;
    const auto id = *claims.add(mine, mine.home->pin(), 0s);
    CHECK_FALSE(claims.held_here_before(5));
    CHECK(claims.held_here_before(6));
    CHECK(claims.held_here_before(100));
    bool is_others = true;
    std::thread{[&] { is_others = claims.held_here_before(100); }}.join();
    CHECK_FALSE(is_others);
    CHECK(claims.settle(id, [](const storage::claim&) {}));
    CHECK_FALSE(claims.held_here_before(100));
}

}  // namespace storage_open_claims_test
