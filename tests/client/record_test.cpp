#include <brook/client/record.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

struct tick {
    std::uint64_t sequence;
    double price;
};
struct tick_tag {};

}  // namespace

template <> struct brook::serde<tick_tag> : brook::plain_serde<tick> { using value_type = tick; };

namespace {

static_assert(std::is_aggregate_v<brook::record<std::string, tick>> && std::is_aggregate_v<brook::header>);
static_assert(std::is_same_v<decltype(brook::record<std::string, tick>::key), std::string>);
static_assert(std::is_same_v<decltype(brook::record<brook::no_key, tick_tag>::value), tick>);
static_assert(std::is_same_v<decltype(brook::record<brook::no_key, brook::bytes>::value), brook::bytes>);
static_assert(
    std::is_same_v<decltype(brook::record<brook::no_key, std::vector<std::byte>>::value), std::vector<std::byte>>);
static_assert(std::is_same_v<decltype(brook::record_metadata::offset), std::int64_t>);

TEST_CASE("a record is named member by member, and what is left out stays unset", "[client][record]") {
    SECTION("all of it") {
        const brook::record<std::string, tick> record{.key = "AAPL",
                                                      .value = {1, 2.0},
                                                      .headers = {{"trace", "t1"}, {"empty"}},
                                                      .timestamp = brook::timestamp{1s},
                                                      .partition = 1};
        CHECK(record.key == "AAPL");
        CHECK(record.value.price == 2.0);
        CHECK(record.headers == std::vector<brook::header>{{"trace", "t1"}, {"empty", std::nullopt}});
        CHECK(record.timestamp == brook::timestamp{1s});
        CHECK(record.partition == 1);
    }
    SECTION("key and value") {
        const brook::record<std::string, tick> record{.key = "AAPL", .value = {1, 2.0}};
        CHECK(record.headers.empty());
        CHECK_FALSE(record.timestamp);
        CHECK_FALSE(record.partition);
    }
    SECTION("a value without a key") {
        const brook::record<brook::no_key, std::string> record{.value = "text", .partition = 3};
        CHECK(record.value == "text");
        CHECK(record.partition == 3);
    }
    SECTION("a key to be deleted") {
        const brook::record<std::string, brook::tombstone_t> record{.key = "AAPL", .headers = {{"why", "sold"}}};
        CHECK(record.key == "AAPL");
    }
}

TEST_CASE("a record's members can be set one after the other", "[client][record]") {
    const brook::timestamp start{1'700'000'000s};
    const std::uint64_t i = 2'000;
    brook::record<std::string, tick> record{.key = "AAPL", .value = {i, 100.0 + double(i)}};
    record.timestamp = start + i * 1ms;
    record.partition = 1;
    record.headers = {{"trace", "t" + std::to_string(i)}};
    REQUIRE(record.headers.size() == 1);
    CHECK(record.headers[0].name == "trace");
    CHECK(record.headers[0].value == "t2000");
    CHECK(record.timestamp == start + 2s);

    record.headers = {{"a", "1"}, {"a", "2"}, {"b"}};
    CHECK(record.headers.size() == 3);  // names may repeat
    record.headers = {{"empty"}};
    REQUIRE(record.headers.size() == 1);
    CHECK_FALSE(record.headers[0].value);
    record.headers = {};
    CHECK(record.headers.empty());
}

TEST_CASE("a record owns its key, so that it may outlive what it was made from", "[client][record]") {
    std::string name = "a name that is longer than any short-string buffer";
    const brook::record<std::string, int> record{.key = name, .value = 1};
    name.assign(name.size(), '?');
    CHECK(record.key == "a name that is longer than any short-string buffer");
}

TEST_CASE("a null header value differs from an empty one", "[client][record]") {
    CHECK(brook::header{"a"} != brook::header{"a", ""});
    CHECK(brook::header{"a", "1"} == brook::header{"a", "1"});
}

TEST_CASE("metadata of a record that nobody waited for has no offset", "[client][record]") {
    CHECK(brook::record_metadata{}.offset == -1);
    CHECK(brook::record_metadata{.partition = 1, .offset = 2} == brook::record_metadata{.partition = 1, .offset = 2});
}

}  // namespace
