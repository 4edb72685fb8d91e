#include <brook/engine/table_index.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"

namespace engine_table_index_test {

using brook::engine::table_entry;
using brook::engine::table_index;
using brook::test::failing_memory;

namespace {

table_entry* find(table_index& index, std::uint32_t hash, std::int64_t at) {
    return index.find(hash, [at](const table_entry& one) { return one.is_unplaced_at(at); });
}

}  // namespace

TEST_CASE("a table's index has what was put in and not taken out, however hashes collide", "[engine][table_index]") {
    const auto seed = GENERATE(range(0u, 6u));
    CAPTURE(seed);
    std::mt19937 random{seed};
    // From all alike to all different; with the upper bits set, runs pass the end and go on at the beginning.
    const std::uint32_t kinds = std::uint32_t{1} << (4 * (seed % 3));
    const std::uint32_t above = seed < 3 ? 0xffff'ff00u : 0;
    table_index index;
    std::map<std::int64_t, std::uint32_t> model;  // hashes by offset
    for (std::int64_t step = 0; step < 3'000; ++step) {
        if (random() % 3 != 0 || model.empty()) {
            const std::uint32_t hash = seed < 3 ? above | static_cast<std::uint32_t>(random()) % kinds : static_cast<std::uint32_t>(random()) % kinds << 20;
            index.insert(hash).put_unplaced(1, step);
            model[step] = hash;
        } else {
            auto gone = model.lower_bound(static_cast<std::int64_t>(random()) % step);
            gone = gone == model.end() ? model.begin() : gone;
            table_entry* const entry = find(index, gone->second, gone->first);
            REQUIRE(entry != nullptr);
            index.erase(*entry);
            CHECK(find(index, gone->second, gone->first) == nullptr);
            model.erase(gone);
        }
        REQUIRE(index.count() == model.size());
        if (step % 97 == 0) {
            for (const auto& [at, hash] : model) {
                REQUIRE(find(index, hash, at) != nullptr);
            }
        }
    }
    std::size_t there = 0;
    for (std::size_t place = 0; place < index.capacity(); ++place) {
        there += index.at(place).is_there() ? 1 : 0;
    }
    CHECK(there == model.size());
    CHECK(index.capacity() * 3 / 4 >= model.size());
    index.clear();
    CHECK(index.count() == 0);
    CHECK(find(index, 0, 0) == nullptr);
}

TEST_CASE("an entry keeps the place of a record, wherever that may be in a segment", "[engine][table_index]") {
    const std::uint32_t frame = GENERATE(256u, 4'096u, (1u << 31) - 8);
    const std::uint32_t in_frame = GENERATE(0u, 40u, (1u << 31) - 48);
    const std::uint32_t number = GENERATE(0u, 255u, 256u, 0xfffe'00u - 1);
    table_entry entry;
    REQUIRE(entry.put_in_segment(table_entry::most_homes, frame, in_frame, number));
    CHECK(entry.is_there());
    CHECK_FALSE(entry.is_copy());
    CHECK_FALSE(entry.is_unplaced());
    CHECK(entry.frame_at() == frame);
    CHECK(entry.entry_in_frame() == in_frame);
    CHECK(entry.index() == number);
    CHECK_FALSE(entry.put_in_segment(1, frame, in_frame, 0xfffe'00u));  // too long a batch
    CHECK_FALSE(entry.is_bare());
    entry.put_bare(3, frame);
    CHECK(entry.is_bare());
    CHECK(entry.place == frame);
    entry.put_unplaced(7, brook::largest_offset);
    CHECK(entry.is_unplaced_at(brook::largest_offset));
    CHECK(entry.home == 7);
}

TEST_CASE("a file's hashes are not believed where more are alike than keys ever are", "[engine][table_index]") {
    table_index index;
    std::size_t taken = 0;
    for (std::int64_t at = 0; at < 100'000; ++at) {
        table_entry* const entry = index.insert_believable(7);
        if (entry == nullptr) {
            break;
        }
        entry->put_unplaced(1, at);
        ++taken;
    }
    CHECK(taken == table_index::most_together + 1);
    CHECK(index.count() == taken);
    std::mt19937 random{1};
    table_index other;
    for (std::int64_t at = 0; at < 100'000; ++at) {
        table_entry* const entry = other.insert_believable(static_cast<std::uint32_t>(random()));
        REQUIRE(entry != nullptr);
        entry->put_unplaced(1, at);
    }
}

TEST_CASE("memory that is not there to grow leaves a table's index as it was", "[engine][table_index]") {
    table_index index;
    for (std::int64_t at = 0; at < 12; ++at) {
        index.insert(static_cast<std::uint32_t>(at) << 28).put_unplaced(1, at);
    }
    {
        const failing_memory none{1};
        CHECK_THROWS_AS(index.insert(5), std::bad_alloc);
    }
    CHECK(index.count() == 12);
    for (std::int64_t at = 0; at < 12; ++at) {
        CHECK(find(index, static_cast<std::uint32_t>(at) << 28, at) != nullptr);
    }
}

}  // namespace engine_table_index_test
