#include <brook/storage/key_map.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "support/catch.hpp"
#include "support/simulated_disk.hpp"

namespace storage_key_map_test {

using namespace brook;
using namespace brook::test;

TEST_CASE("a map of keys knows the last number of each, as a map of strings would", "[storage][key_map]") {
    for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1'000}}) {
        storage::key_map keys{most, 42};
        std::unordered_map<std::string, std::uint32_t> model;
        seeded chance{most + 1};
        for (std::uint32_t n = 0; n < 5'000; ++n) {
            const std::string key = std::to_string(chance.below(1'200));
            const auto digest = keys.digest_of(as_bytes(key));
            const auto known = model.find(key);
            REQUIRE(keys.find(digest) == (known == model.end() ? std::nullopt : std::optional{known->second}));
            std::optional<std::uint32_t> before;
            const bool fits = keys.note(digest, n, before);
            REQUIRE(fits == (known != model.end() || model.size() < most));
            REQUIRE(before == (known == model.end() ? std::nullopt : std::optional{known->second}));
            if (fits) {
                model[key] = n;
            }
            REQUIRE(keys.size() == model.size());
        }
    }
}

TEST_CASE("keys are hashed anew in each map", "[storage][key_map]") {
    const storage::key_map one{10, 1};
    const storage::key_map other{10, 2};
    CHECK(one.digest_of(as_bytes("a")).high != other.digest_of(as_bytes("a")).high);
    CHECK(one.digest_of(as_bytes("a")).low != other.digest_of(as_bytes("a")).low);
    CHECK(one.digest_of(as_bytes("a")).high == storage::key_map{99, 1}.digest_of(as_bytes("a")).high);
}

}  // namespace storage_key_map_test
