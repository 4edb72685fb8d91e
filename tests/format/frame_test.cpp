#include <brook/format/frame.hpp>  // first, so that it must stand alone

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"

namespace format_frame_test {

using namespace brook;
using namespace brook::format;

TEST_CASE("a frame header lies on disk as its table says", "[format][frame]") {
    STATIC_REQUIRE(sizeof(frame_header) == 40);
    STATIC_REQUIRE(offsetof(frame_header, size) == 0);
    STATIC_REQUIRE(offsetof(frame_header, attributes) == 4);
    STATIC_REQUIRE(offsetof(frame_header, extension) == 6);
    STATIC_REQUIRE(offsetof(frame_header, checksum) == 8);
    STATIC_REQUIRE(offsetof(frame_header, base_offset) == 16);
    STATIC_REQUIRE(offsetof(frame_header, base_timestamp) == 24);
    STATIC_REQUIRE(offsetof(frame_header, leader_epoch) == 32);
    STATIC_REQUIRE(offsetof(frame_header, count) == 36);

    const frame_header header{0x04030201, 0x0605, 0x0807, 0x100f0e0d0c0b0a09, 0x1817161514131211, 0x201f1e1d1c1b1a19, 0x24232221, 0x28272625};
    std::array<std::byte, 40> raw{};
    store(raw.data(), header);
    for (std::size_t i = 0; i < raw.size(); ++i) {
        CHECK(raw[i] == static_cast<std::byte>(i + 1));  // little-endian, no padding
    }
    CHECK(word_of(header).raw() == 0x0807060504030201);
    std::array<std::byte, 40> behind{};
    store_behind_word(behind.data(), header);
    for (std::size_t i = 0; i < raw.size(); ++i) {
        CHECK(behind[i] == (i < 8 ? std::byte{0} : raw[i]));
    }
}

TEST_CASE("the values of attributes and extensions are fixed for ever", "[format][frame]") {
    CHECK(attributes_of(frame_kind::data) == 0x00);
    CHECK(attributes_of(frame_kind::filler) == 0x08);
    CHECK(attributes_of(frame_kind::seal) == 0x10);
    CHECK(attributes_of(frame_kind::evidence) == 0x18);
    CHECK(attributes_of(frame_kind::control) == 0x20);
    CHECK(attribute::codec_mask == 0x7);
    CHECK(attribute::kind_mask == 0x38);
    CHECK(attribute::transactional == 0x40);
    CHECK(attribute::append_time == 0x80);
    CHECK(attribute::lone == 0x100);
    CHECK(attribute::null_value == 0x200);
    CHECK(attribute::headers == 0x400);
    CHECK(extension::producer == 1);
    CHECK(extension::detail == 2);
    CHECK(extension_bytes(0) == 0);
    CHECK(extension_bytes(extension::producer) == 16);
    CHECK(extension_bytes(extension::detail) == 16);
    CHECK(extension_bytes(extension::known) == 32);
    CHECK(detail_at(extension::detail) == 40);
    CHECK(detail_at(extension::known) == 56);
}

TEST_CASE("a frame's word is nothing, a claim or a publication, never two of them", "[format][frame]") {
    CHECK(frame_word{}.is_empty());
    CHECK_FALSE(frame_word{}.is_claimed());
    CHECK_FALSE(frame_word{}.is_published());

    const std::uint32_t length = GENERATE(40u, 48u, 4'096u, 0x7fff'fff8u);
    const frame_word mark = frame_word::claimed(length);
    CHECK(mark.is_claimed());
    CHECK_FALSE(mark.is_published());
    CHECK_FALSE(mark.is_empty());
    CHECK(mark.claimed_length() == length);
    CHECK(mark.raw() >> 32 == 0);

    const frame_word word = frame_word::published(length - 3, attribute::known, extension::known);
    CHECK(word.is_published());
    CHECK_FALSE(word.is_claimed());
    CHECK(word.size() == length - 3);
    CHECK(word.length() == length);
    CHECK(word.attributes() == attribute::known);
    CHECK(word.extension() == extension::known);

    const frame_word attributes_alone = frame_word::published(0, attribute::lone);
    CHECK_FALSE(attributes_alone.is_empty());
    CHECK_FALSE(attributes_alone.is_published());
    CHECK_FALSE(attributes_alone.is_claimed());
}

TEST_CASE("each kind of frame says how many offsets it takes", "[format][frame]") {
    std::vector<std::byte> frame(96);
    frame_header header{};
    header.size = 96;
    header.count = 7;
    CHECK(offsets_taken(header, frame.data()) == 7);
    header.attributes = attributes_of(frame_kind::control);
    CHECK(offsets_taken(header, frame.data()) == 7);
    header.attributes = attributes_of(frame_kind::filler);
    CHECK(offsets_taken(header, frame.data()) == 7);
    header.attributes = attributes_of(frame_kind::seal);
    CHECK(offsets_taken(header, frame.data()) == 0);
    header.attributes = attributes_of(frame_kind::evidence);
    CHECK(offsets_taken(header, frame.data()) == 0);
    header.attributes = attributes_of(frame_kind::producers);
    CHECK(offsets_taken(header, frame.data()) == 0);
    header.attributes = attributes_of(static_cast<frame_kind>(7));  // of rot, say: as many as it says
    CHECK(offsets_taken(header, frame.data()) == 7);
    header.attributes = attribute::lone;
    header.count = 0xffff'ffff;  // a lone record keeps its key's size there
    CHECK(offsets_taken(header, frame.data()) == 1);
    header.attributes = 0;
    header.extension = extension::detail;
    header.count = 2;
    store(frame.data() + 40, std::uint32_t{9});  // two records left of ten
    CHECK(offsets_taken(header, frame.data()) == 10);
    header.extension = extension::known;
    store(frame.data() + 56, std::uint32_t{4});
    CHECK(offsets_taken(header, frame.data()) == 5);
}

}  // namespace format_frame_test
