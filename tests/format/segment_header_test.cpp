#include <brook/format/segment_header.hpp>  // first, so that it must stand alone

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "support/catch.hpp"

namespace format_segment_header_test {

using namespace brook;
using namespace brook::format;

namespace {

template <class Block, class Verify>
std::uint64_t unseen_flips(const Block& good, const Verify& verify) {
    std::uint64_t unseen = 0;
    for (std::size_t bit = 0; bit < sizeof(Block) * 8; ++bit) {
        std::array<std::byte, sizeof(Block)> raw;
        store(raw.data(), good);
        raw[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        unseen += verify(load<Block>(raw.data())) ? 1 : 0;
    }
    return unseen;
}

}  // namespace

TEST_CASE("a segment's header lies on disk as its tables say", "[format][segment_header]") {
    CHECK(std::string_view{segment_magic.data(), segment_magic.size()} == "brookseg");
    CHECK(format_version == 1);
    CHECK(segment_header_size == 256);
    STATIC_REQUIRE(offsetof(segment_birth, version) == 8);
    STATIC_REQUIRE(offsetof(segment_birth, header_size) == 12);
    STATIC_REQUIRE(offsetof(segment_birth, seed) == 16);
    STATIC_REQUIRE(offsetof(segment_birth, capacity) == 24);
    STATIC_REQUIRE(offsetof(segment_birth, partition) == 28);
    STATIC_REQUIRE(offsetof(segment_birth, topic) == 32);
    STATIC_REQUIRE(offsetof(segment_birth, checksum) == 56);
    CHECK(base_at == 64);
    CHECK(base_check_at == 72);
    CHECK(writer_at == 128);
    STATIC_REQUIRE(offsetof(segment_writer, device) == 16);
    STATIC_REQUIRE(offsetof(segment_writer, inode) == 24);
    STATIC_REQUIRE(offsetof(segment_writer, birth_time_ns) == 32);
    STATIC_REQUIRE(offsetof(segment_writer, checksum) == 40);
    CHECK(footer_at == 192);
    STATIC_REQUIRE(offsetof(segment_footer, seal_position) == 8);
    STATIC_REQUIRE(offsetof(segment_footer, sealed_at) == 16);
    STATIC_REQUIRE(offsetof(segment_footer, checksum) == 32);
}

TEST_CASE("each part of a segment's header sees every flipped bit", "[format][segment_header]") {
    topic_id topic{};
    topic[3] = std::byte{9};
    const segment_birth birth = make_birth(12'345, 64 * mib, topic, 7);
    CHECK(verifies(birth));
    CHECK(birth.seed == 12'345);
    CHECK(birth.capacity == 64 * mib);
    CHECK(birth.partition == 7);
    CHECK(birth.topic == topic);
    CHECK(unseen_flips(birth, [](const segment_birth& block) { return verifies(block); }) == 0);

    const segment_writer writer = make_writer({}, 1, 2, 3);
    CHECK(verifies(writer));
    CHECK(unseen_flips(writer, [](const segment_writer& block) { return verifies(block); }) == 0);

    const segment_footer footer = make_footer(12'345, 1'000, 4'096, 99);
    CHECK(verifies(footer, 12'345));
    CHECK_FALSE(verifies(footer, 12'346));  // of another life of the file
    CHECK(unseen_flips(footer, [](const segment_footer& block) { return verifies(block, 12'345); }) == 0);
}

TEST_CASE("zeros are no part of a header", "[format][segment_header]") {
    CHECK_FALSE(verifies(segment_birth{}));
    CHECK_FALSE(verifies(segment_writer{}));
    CHECK_FALSE(verifies(segment_footer{}, 0));
    CHECK_FALSE(verifies(segment_footer{}, 0x0123'4567'89ab'cdef));
    CHECK(base_check(1, 1) != 0);
}

TEST_CASE("the check of a base offset is of this base and this segment", "[format][segment_header]") {
    CHECK(base_check(5, 100) == base_check(5, 100));
    for (unsigned bit = 0; bit < 64; ++bit) {
        CHECK(base_check(5, 100) != base_check(5, 100 ^ (std::uint64_t{1} << bit)));
        CHECK(base_check(5, 100) != base_check(5 ^ (std::uint64_t{1} << bit), 100));
    }
}

TEST_CASE("a footer with an end that no log can have does not count", "[format][segment_header]") {
    CHECK(verifies(make_footer(7, largest_offset, 4096, 1), 7));
    for (const offset bad : {largest_offset + 1, offset{-1}}) {
        CHECK_FALSE(verifies(make_footer(7, bad, 4096, 1), 7));
    }
}

}  // namespace format_segment_header_test
