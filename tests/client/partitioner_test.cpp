#include <brook/client/partitioner.hpp>  // first, so that it must stand alone

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace client_partitioner_test {

namespace {

std::vector<std::int32_t> choices(brook::sticky_partitioner& partitioner, int count, std::uint32_t record_bytes) {
    std::vector<std::int32_t> chosen;
    for (int i = 0; i < count; ++i) {
        chosen.push_back(partitioner.choose(record_bytes));
    }
    return chosen;
}

TEST_CASE("murmur2 agrees with Kafka's published values", "[client][partitioner]") {
    // Kafka's UtilsTest.testMurmur2.
    const auto [key, hash] = GENERATE(Catch::Generators::table<std::string, std::int32_t>({
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    }));
    CAPTURE(key);
    CHECK(brook::murmur2(brook::as_bytes(key)) == hash);
}

TEST_CASE("murmur2 agrees with a second implementation for every length of the last word", "[client][partitioner]") {
    // Computed by another formulation in Python, bytes over 127 included: Java's are signed, the hash is not.
    const auto [key, hash] = GENERATE(Catch::Generators::table<std::string, std::int32_t>({
        {"", 275646681},
        {"k", -1567496736},
        {"ke", 657130019},
        {"key", -1079937367},
        {"key1", 28543940},
        {"key12", 1300870751},
        {"\xff", -311467685},
        {"\xff\xfe", 1717632651},
        {"\xff\xfe\x80", -160726397},
        {"\xff\xfe\x80\x81", 1055649942},
        {"caf\xc3\xa9", -1358007374},
        {"\x01\x02\x03\x04\x05\x06\x07\x08", -1574696873},
    }));
    CAPTURE(key);
    CHECK(brook::murmur2(brook::as_bytes(key)) == hash);
}

TEST_CASE("a negative hash is made positive as Kafka does, by dropping the sign bit", "[client][partitioner]") {
    CHECK(brook::to_positive(-1) == std::numeric_limits<std::int32_t>::max());
    CHECK(brook::to_positive(std::numeric_limits<std::int32_t>::min()) == 0);
    CHECK(brook::to_positive(7) == 7);
}

TEST_CASE("a key lives in the same partition in brook and in Kafka", "[client][partitioner]") {
    const auto [key, count, partition] = GENERATE(Catch::Generators::table<std::string, std::int32_t, std::int32_t>({
        {"AAPL", 4, 1},
        {"AAPL", 12, 9},
        {"sensor-1", 3, 1},
        {"sensor-2", 3, 1},
        {"user-3", 1, 0},
        {"user-3", 50, 17},
        {"21", 100, 40},
        {"foobar", 2147483647, 1357151166},
    }));
    CAPTURE(key, count);
    CHECK(brook::partition_for_key(brook::as_bytes(key), count) == partition);
}

TEST_CASE("records without a key stick to one partition until a batch's bytes went to it", "[client][partitioner]") {
    brook::sticky_partitioner partitioner{8, 1'000, 42};
    for (int round = 0; round < 200; ++round) {
        CAPTURE(round);
        const auto first = choices(partitioner, 10, 100);
        for (const auto partition : first) {
            REQUIRE(partition == first.front());
            REQUIRE(partition >= 0);
            REQUIRE(partition < 8);
        }
        const auto next = choices(partitioner, 10, 100);
        REQUIRE(next.front() != first.front());  // always another one
        REQUIRE(next.back() == next.front());
    }
}

TEST_CASE("a record larger than a batch still moves the partitioner on by one", "[client][partitioner]") {
    brook::sticky_partitioner partitioner{3, 1'000, 7};
    std::int32_t last = -1;
    for (int i = 0; i < 100; ++i) {
        const std::int32_t partition = partitioner.choose(std::numeric_limits<std::uint32_t>::max());
        REQUIRE(partition != last);
        last = partition;
    }
}

TEST_CASE("the next partition is drawn evenly from the others", "[client][partitioner]") {
    constexpr int rounds = 60'000;
    brook::sticky_partitioner partitioner{6, 1, 1};
    std::array<std::array<int, 6>, 6> moves{};
    auto from = static_cast<std::size_t>(partitioner.choose(1));
    for (int i = 0; i < rounds; ++i) {
        const auto to = static_cast<std::size_t>(partitioner.choose(1));
        ++moves.at(from).at(to);
        from = to;
    }
    for (std::size_t i = 0; i < 6; ++i) {
        for (std::size_t j = 0; j < 6; ++j) {
            CAPTURE(i, j);
            if (i == j) {
                CHECK(moves.at(i).at(j) == 0);
            } else {
                CHECK(moves.at(i).at(j) > rounds / 30 * 85 / 100);  // a fair draw stays within 8 deviations
                CHECK(moves.at(i).at(j) < rounds / 30 * 115 / 100);
            }
        }
    }
}

TEST_CASE("the same seed gives the same choices, another seed others", "[client][partitioner]") {
    brook::sticky_partitioner one{64, 100, 1};
    brook::sticky_partitioner same{64, 100, 1};
    brook::sticky_partitioner other{64, 100, 2};
    const auto chosen = choices(one, 100, 50);
    CHECK(chosen == choices(same, 100, 50));
    CHECK(chosen != choices(other, 100, 50));
}

TEST_CASE("a single partition is always the one", "[client][partitioner]") {
    brook::sticky_partitioner partitioner{1, 10, 1};
    for (const auto partition : choices(partitioner, 100, 7)) {
        REQUIRE(partition == 0);
    }
}

TEST_CASE("two partitions take turns", "[client][partitioner]") {
    brook::sticky_partitioner partitioner{2, 2, 1};
    const auto chosen = choices(partitioner, 8, 1);
    for (std::size_t i = 2; i < chosen.size(); ++i) {
        CHECK(chosen[i] == 1 - chosen[i - 2]);
    }
}

TEST_CASE("threads that share a partitioner spread over all partitions and leave none out", "[client][partitioner]") {
    brook::sticky_partitioner partitioner{4, 1'000, 99};
    std::array<std::array<int, 4>, 4> counts{};
    {
        std::vector<std::jthread> threads;
        for (auto& mine : counts) {
            threads.emplace_back([&partitioner, &mine] {
                for (int i = 0; i < 50'000; ++i) {
                    ++mine.at(static_cast<std::size_t>(partitioner.choose(100)));
                }
            });
        }
    }
    for (std::size_t partition = 0; partition < 4; ++partition) {
        int total = 0;
        for (const auto& mine : counts) {
            total += mine.at(partition);
        }
        CAPTURE(partition);
        CHECK(total > 1'000);  // a thread that loses the processor while it draws leaves all records to one partition meanwhile
    }
}

}  // namespace

}  // namespace client_partitioner_test
