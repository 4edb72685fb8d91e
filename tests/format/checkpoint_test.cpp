#include <brook/format/checkpoint.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace format_checkpoint_test {

using namespace brook;
using namespace brook::format;

namespace {

std::string file_with(std::uint64_t newest) {
    std::string file(checkpoint_file_size, '\0');
    for (std::uint64_t sequence = newest > 1 ? newest - 1 : newest; sequence <= newest; ++sequence) {
        checkpoint slot;
        slot.sequence = sequence;
        slot.durable_offset = static_cast<std::int64_t>(sequence) * 10;
        store(reinterpret_cast<std::byte*>(file.data()) + slot_position(sequence), sealed(slot));
    }
    return file;
}

}  // namespace

TEST_CASE("a checkpoint lies on disk as its table says", "[format][checkpoint]") {
    STATIC_REQUIRE(sizeof(checkpoint) == 112);
    STATIC_REQUIRE(offsetof(checkpoint, version) == 8);
    STATIC_REQUIRE(offsetof(checkpoint, partition) == 12);
    STATIC_REQUIRE(offsetof(checkpoint, topic) == 16);
    STATIC_REQUIRE(offsetof(checkpoint, sequence) == 32);
    STATIC_REQUIRE(offsetof(checkpoint, durable_offset) == 40);
    STATIC_REQUIRE(offsetof(checkpoint, log_start_offset) == 48);
    STATIC_REQUIRE(offsetof(checkpoint, high_watermark) == 56);
    STATIC_REQUIRE(offsetof(checkpoint, segment_base) == 64);
    STATIC_REQUIRE(offsetof(checkpoint, segment_position) == 72);
    STATIC_REQUIRE(offsetof(checkpoint, segment_offset) == 80);
    STATIC_REQUIRE(offsetof(checkpoint, leader_epoch) == 88);
    STATIC_REQUIRE(offsetof(checkpoint, checksum) == 104);
    CHECK(std::string_view{checkpoint{}.magic.data(), 8} == "brookckp");
    CHECK(slot_position(0) == 0);
    CHECK(slot_position(1) == 512);
    CHECK(slot_position(2) == 0);
    CHECK(checkpoint_file_size == 1'024);
}

TEST_CASE("the newest whole slot counts, at whichever byte its write was torn", "[format][checkpoint]") {
    const std::uint64_t newest = GENERATE(2u, 3u, 9u);
    const std::string before = file_with(newest - 1);
    const std::string after = file_with(newest);
    CHECK(newest_checkpoint(as_bytes(before))->sequence == newest - 1);
    CHECK(newest_checkpoint(as_bytes(after))->sequence == newest);
    const std::size_t at = slot_position(newest);
    for (std::size_t torn = 0; torn <= sizeof(checkpoint); ++torn) {
        std::string file = before;
        file.replace(at, torn, after, at, torn);
        const auto read = newest_checkpoint(as_bytes(file));
        REQUIRE(read);
        if (file != after) {
            CHECK(read->sequence == newest - 1);
            CHECK(read->durable_offset == static_cast<std::int64_t>(newest - 1) * 10);
        } else {
            CHECK(read->sequence == newest);
        }
    }
}

TEST_CASE("a slot with any bit flipped does not count", "[format][checkpoint]") {
    const std::string good = file_with(9);
    for (std::size_t bit = 0; bit < sizeof(checkpoint) * 8; ++bit) {
        std::string file = good;
        const std::size_t at = slot_position(9) + bit / 8;
        file[at] = static_cast<char>(static_cast<unsigned char>(file[at]) ^ (1u << bit % 8));
        const auto read = newest_checkpoint(as_bytes(file));
        CHECK((read && read->sequence == 8));
    }
}

TEST_CASE("a file that is empty, short or zeros has no checkpoint", "[format][checkpoint]") {
    CHECK_FALSE(newest_checkpoint({}));
    CHECK_FALSE(newest_checkpoint(as_bytes(std::string(checkpoint_file_size, '\0'))));
    CHECK_FALSE(newest_checkpoint(as_bytes(std::string(checkpoint_file_size, '\xff'))));
    const std::string file = file_with(9);
    for (std::size_t size = 0; size < file.size(); ++size) {
        const std::string shorter = file.substr(0, size);
        const auto read = newest_checkpoint(as_bytes(shorter));
        const bool has_first = size >= sizeof(checkpoint);
        const bool has_second = size >= checkpoint_slot_size + sizeof(checkpoint);
        CHECK(read.has_value() == has_first);
        if (read) {
            CHECK(read->sequence == (has_second ? 9u : 8u));
        }
    }
}

TEST_CASE("a slot with an offset that no log can have does not count", "[format][checkpoint]") {
    for (const auto member : {&checkpoint::durable_offset, &checkpoint::log_start_offset, &checkpoint::high_watermark, &checkpoint::segment_base,
                              &checkpoint::segment_offset}) {
        checkpoint slot;
        slot.*member = largest_offset;
        CHECK(verifies(sealed(slot)));
        for (const offset bad : {largest_offset + 1, std::numeric_limits<offset>::max(), offset{-1}}) {
            slot.*member = bad;
            CHECK_FALSE(verifies(sealed(slot)));
        }
    }
}

}  // namespace format_checkpoint_test
