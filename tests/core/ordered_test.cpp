#include <brook/core/ordered.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace core_ordered_test {

using brook::count_before;
using brook::erase_at;
using brook::insert_at;

namespace {

std::size_t place_of(const std::vector<int>& all, int wanted) {
    return count_before(all.size(), [&](std::size_t i) { return all[i] < wanted; });
}

}  // namespace

TEST_CASE("the place of what is wanted is in front of everything that is not less", "[core][ordered]") {
    for (int size = 0; size < 20; ++size) {
        std::vector<int> all;  // 0 2 4 ...
        for (int i = 0; i < size; ++i) {
            all.push_back(2 * i);
        }
        for (int i = 0; i < size; ++i) {
            CHECK(place_of(all, 2 * i) == static_cast<std::size_t>(i));
            CHECK(place_of(all, 2 * i + 1) == static_cast<std::size_t>(i) + 1);
        }
        CHECK(place_of(all, -1) == 0);
        CHECK(place_of(all, 1'000) == all.size());
    }
}

TEST_CASE("what is put in or taken out leaves the others in their order", "[core][ordered]") {
    std::vector<std::string> all;
    insert_at(all, 0, std::string{"c"});
    insert_at(all, 0, std::string{"a"});
    insert_at(all, 1, std::string{"b"});
    insert_at(all, 3, std::string{"d"});
    CHECK(all == std::vector<std::string>{"a", "b", "c", "d"});
    erase_at(all, 1);
    CHECK(all == std::vector<std::string>{"a", "c", "d"});
    erase_at(all, 2);
    erase_at(all, 0);
    CHECK(all == std::vector<std::string>{"c"});
    erase_at(all, 0);
    CHECK(all.empty());
}

TEST_CASE("what is put into a vector, or kept in it, need not be copyable", "[core][ordered]") {
    std::vector<std::unique_ptr<int>> all;
    insert_at(all, 0, std::make_unique<int>(2));
    insert_at(all, 0, std::make_unique<int>(1));
    CHECK(*all[0] == 1);
    CHECK(*all[1] == 2);
    erase_at(all, 0);
    CHECK(*all[0] == 2);
}

}  // namespace core_ordered_test
