#include <brook/storage/producer_table.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <brook/os/posix.hpp>

#include "support/catch.hpp"

namespace storage_producer_table_test {

using namespace std::chrono_literals;

using brook::storage::producer_state;
using brook::storage::producer_table;

TEST_CASE("producer_state knows its last sixteen batches, record by record", "[storage][producers]") {
    producer_state state{1, brook::os::posix()};
    CHECK(state.last_sequence() == -1);
    CHECK_FALSE(state.find(0));
    for (std::int64_t i = 0; i < 17; ++i) {
        state.note({i * 10, i * 10 + 2, 100 + i * 3});
    }
    CHECK(state.last_sequence() == 162);
    CHECK(state.find(0) == -1);    // the seventeenth, counted from the end
    CHECK(state.find(10) == 103);
    CHECK(state.find(12) == 105);
    CHECK_FALSE(state.find(13));   // between two
    CHECK(state.find(162) == 150);
    CHECK_FALSE(state.find(163));
    state.note({40, 42, 500});     // known
    CHECK(state.find(41) == 113);
}

TEST_CASE("producer_table comes back from its bytes", "[storage][producers]") {
    producer_table table{brook::os::posix()};
    table.note({5, 3, 70}, 2, 1'000);
    table.note({2, 1, 0}, 1, 1'002);
    table.note({5, 4, 72}, 1, 1'003);
    static_cast<void>(table.find_or_add(9));  // has appended nothing
    const std::vector<std::byte> encoded = table.encode();
    CHECK(encoded.size() == 2 * producer_table::entry_bytes);
    producer_table other{brook::os::posix()};
    other.decode(encoded);
    CHECK_FALSE(other.find(9));
    REQUIRE(other.find(5));
    CHECK(other.find(5)->epoch() == 4);
    CHECK(other.find(5)->find(72) == 1'003);
    CHECK(other.find(5)->find(71) == -1);  // of each the newest batch is kept
    REQUIRE(other.find(2));
    CHECK(other.find(2)->last_sequence() == 0);
}

TEST_CASE("producer_table takes nothing from bytes that nobody wrote", "[storage][producers]") {
    producer_table table{brook::os::posix()};
    table.note({5, 3, 70}, 2, 1'000);
    std::vector<std::byte> encoded = table.encode();
    const int at = GENERATE(16, 24, 32);  // first, last, offset
    encoded[static_cast<std::size_t>(at) + 7] = std::byte{0xff};
    producer_table other{brook::os::posix()};
    other.decode(encoded);
    CHECK(other.empty());
    other.decode(brook::bytes{encoded}.first(39));
    CHECK(other.empty());
}

TEST_CASE("producers without a name are forgotten when they have not been heard of for long, and nobody holds them", "[storage][producers]") {
    producer_table table{brook::os::posix()};
    constexpr std::int64_t named = producer_table::named_bit | 1;
    table.note({1, 0, 0}, 1, 0);
    table.note({2, 0, 0}, 1, 1);
    table.note({named, 0, 0}, 1, 2);
    const auto held = table.find(2);
    table.expire(1h, 24h);
    table.expire(24h, 24h);
    CHECK(table.find(1));
    table.note({1, 0, 1}, 1, 3);
    table.expire(26h, 24h);  // 1 has been heard of
    CHECK(table.find(1));
    table.expire(50h, 24h);
    CHECK_FALSE(table.find(1));
    CHECK(table.find(2));
    CHECK(table.find(named));
}

}  // namespace storage_producer_table_test
