#include <brook/client/partitioner.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace kafka_partitioner_test {

TEST_CASE("10,000 random keys have the hash, and so the partition, that Kafka's Java client gives them", "[kafka][partitioner]") {
    std::ifstream golden{BROOK_TESTS_DIRECTORY "/kafka/murmur2.golden"};  // what kafka/Murmur2.java prints
    std::string hashes;
    for (std::string line; std::getline(golden, line);) {
        hashes += line;
    }
    REQUIRE(hashes.size() == 8 * 10'000);

    std::uint64_t state = 42;
    const auto next = [&state] { return state = state * 6364136223846793005u + 1442695040888963407u; };
    int differing = 0;
    for (std::size_t i = 0; i < 10'000; ++i) {
        std::vector<std::byte> key((next() >> 33) % 65);
        for (auto& one : key) {
            one = static_cast<std::byte>(next() >> 56);
        }
        const auto java = static_cast<std::int32_t>(static_cast<std::uint32_t>(std::stoul(hashes.substr(8 * i, 8), nullptr, 16)));
        differing += brook::murmur2(key) != java || brook::partition_for_key(key, 12) != (java & 0x7fffffff) % 12 ? 1 : 0;
    }
    CHECK(differing == 0);
}

}  // namespace kafka_partitioner_test
