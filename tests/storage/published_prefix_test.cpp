#include <brook/storage/published_prefix.hpp>  // first, so that it must stand alone

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_published_prefix_test {

using namespace brook;
using namespace brook::test;

TEST_CASE("the log ends in front of the first claim that is not published", "[storage][published_prefix]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 5);
    failure why;
    std::vector<storage::claim> claims(4);
    for (auto& claim : claims) {
        REQUIRE(log.take(64, 2, claim, why));
    }
    CHECK(log.log_end_offset() == 5);
    log.abandon(claims[1], 2);
    log.abandon(claims[3], 2);
    CHECK(log.log_end_offset() == 5);
    log.abandon(claims[0], 2);
    CHECK(log.log_end_offset() == 9);
    log.abandon(claims[2], 2);
    CHECK(log.log_end_offset() == 13);
}

TEST_CASE("a claim that is open in a sealed segment stops the prefix, whatever follows in the next", "[storage][published_prefix]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 5);
    failure why;
    storage::claim slow;
    REQUIRE(log.take(64, 1, slow, why));
    for (std::int64_t n = 6; n < 300; ++n) {
        REQUIRE(append(log, std::nullopt, value_of(n), time_of(n), why) == n);
    }
    orders.keep_up();
    orders.keep_up();
    CHECK(log.log_end_offset() == 5);
    CHECK(log.durable_offset() == 0);  // the segment with the claim was not taken for finished
    const reading before = read_from(log, 0);
    CHECK(before.records.size() == 5);
    CHECK(before.is_at_end);
    CHECK(read_from(log, 5).is_at_end);
    log.abandon(slow, 1);
    CHECK(log.log_end_offset() == 300);
    orders.keep_up();
    CHECK(log.durable_offset() > 200);
    CHECK(difference(read_from(log, 5).records, numbered(6, 300)) == "");
}

TEST_CASE("the prefix only grows, whoever asks", "[storage][published_prefix][stress][threads]") {
    partition orders{{.segment_bytes = 16 * kib}};
    storage::log& log = orders.open();
    std::atomic<bool> is_done{false};
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
            offset last = 0;
            while (!is_done.load()) {
                const offset end = log.log_end_offset();
                errors += end < last ? 1 : 0;
                last = end;
            }
        });
    }
    threads.emplace_back([&] {
        failure why;
        for (int i = 0; i < 5'000; ++i) {
            const offset at = append(log, std::nullopt, "x", 0, why);
            errors += log.log_end_offset() <= at ? 1 : 0;  // a lone writer's own record is in it at once
        }
        is_done = true;
    });
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(errors.load() == 0);
    CHECK(log.log_end_offset() == 5'000);
}

}  // namespace storage_published_prefix_test
