#include <brook/storage/time_index.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_time_index_test {

using namespace brook;
using namespace brook::test;

namespace {

/// The plain way: the first record at or after the time.
std::optional<offset> first_at_or_after(const std::vector<std::int64_t>& times, std::int64_t time) {
    for (std::size_t n = 0; n < times.size(); ++n) {
        if (times[n] >= time) {
            return static_cast<offset>(n);
        }
    }
    return std::nullopt;
}

std::optional<offset> look_up(storage::log& log, std::int64_t time) {
    failure why;
    const auto found = log.offset_for_time(time, why);
    CHECK(why.text == "");
    return found;
}

}  // namespace

TEST_CASE("the first record at or after a time is found, in whatever order the clocks went", "[storage][time_index]") {
    const std::string clock = GENERATE(as<std::string>{}, "forwards", "steps back", "random", "stands", "backwards");
    const bool is_reopened = GENERATE(false, true);
    CAPTURE(clock, is_reopened);
    partition orders{{.segment_bytes = GENERATE(4 * kib, 256 * kib)}};
    orders.open();
    std::mt19937_64 random{7};
    std::vector<std::int64_t> times;
    for (std::int64_t n = 0; n < 1'500; ++n) {
        const std::int64_t time = clock == "forwards"     ? n * 10
                                  : clock == "steps back" ? (n % 500) * 10
                                  : clock == "random"     ? static_cast<std::int64_t>(random() % 10'000)
                                  : clock == "stands"     ? 4'000
                                                          : 10'000 - n;
        failure why;
        REQUIRE(append(*orders.log, std::nullopt, value_of(n), time, why) == n);
        times.push_back(time);
        if (n == 700) {
            CHECK(look_up(*orders.log, 3'333) == first_at_or_after(times, 3'333));  // extended by later ones
            REQUIRE(orders.log->sync().text == "");
            orders.keep_up();
        }
    }
    if (is_reopened) {
        orders.open();
    }
    const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
    const std::int64_t highest = std::numeric_limits<std::int64_t>::max();
    std::vector<std::int64_t> wanted{lowest, highest, -1, 0, 1, 10'000, 10'001, 14'990, 14'991};
    for (int i = 0; i < 200; ++i) {
        wanted.push_back(static_cast<std::int64_t>(random() % 16'000));
    }
    for (const std::int64_t time : wanted) {
        if (look_up(*orders.log, time) != first_at_or_after(times, time)) {
            CAPTURE(time);
            CHECK(look_up(*orders.log, time) == first_at_or_after(times, time));
        }
    }
}

TEST_CASE("negative times, batches and fillers are found as what they are", "[storage][time_index]") {
    partition orders;
    storage::log& log = orders.open();
    failure why;
    REQUIRE(append(log, std::nullopt, "x", -50, why) == 0);
    storage::claim taken;
    REQUIRE(log.take(64, 2, taken, why));
    log.abandon(taken, 2);
    REQUIRE(append_batch(log, 5, 100, why) == 3);
    REQUIRE(log.sync().text == "");
    CHECK(look_up(log, -100) == 0);
    CHECK(look_up(log, -49) == 3);
    CHECK(look_up(log, time_of(100)) == 3);
    CHECK_FALSE(look_up(log, time_of(101)));
}

TEST_CASE("a look-up by time that meets damage says so, and does not answer for what lies behind", "[storage][time_index]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 200);
    REQUIRE(orders.log->sync().text == "");
    orders.keep_up();
    orders.close();
    image files = orders.files();
    const std::string first_log = "00000000000000000000.log";
    const frame_place bad = frame_with(files.at(first_log), 20);
    SECTION("in a body") { flip_bit(files.at(first_log), (bad.at + 42) * 8); }
    SECTION("in the sign of a size") { flip_bit(files.at(first_log), bad.at * 8 + 31); }
    SECTION("in a time") { flip_bit(files.at(first_log), (bad.at + 24) * 8 + 60); }
    orders.become(files);
    orders.open();
    CHECK(look_up(*orders.log, time_of(10)) == 10);
    failure why;
    CHECK_FALSE(orders.log->offset_for_time(time_of(150), why));
    CHECK(why.code == errc::corrupt_record);
    CHECK(why.text.find(first_log) != std::string::npos);
}

}  // namespace storage_time_index_test
