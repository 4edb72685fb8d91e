#include <brook/format/checksum.hpp>  // first, so that it must stand alone

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace format_checksum_test {

using namespace brook;
using namespace brook::format;

namespace {

constexpr std::uint64_t seed = 0x0123'4567'89ab'cdef;
constexpr position place = 4'711 * 8;

std::vector<std::byte> frame_of(frame_kind kind, std::size_t body) {
    std::vector<std::byte> frame(frame_length(static_cast<std::uint32_t>(frame_header_size + body)));
    for (std::size_t i = 0; i < body; ++i) {
        frame[frame_header_size + i] = static_cast<std::byte>(i * 37 + 11);
    }
    frame_header header{};
    header.size = static_cast<std::int32_t>(frame_header_size + body);
    header.attributes = attributes_of(kind);
    header.base_offset = 1'000'000;
    header.base_timestamp = 1'700'000'000'000'000'000;
    header.leader_epoch = 3;
    header.count = 5;
    header.checksum = checksum_of(seed, place, header, frame.data());
    store(frame.data(), header);
    return frame;
}

bool verifies_at(const std::vector<std::byte>& frame, std::uint64_t with_seed = seed, position at = place) {
    return verifies(with_seed, at, at + static_cast<position>(frame.size()), frame.data());
}

void flip(std::byte* raw, std::size_t bit) { raw[bit / 8] ^= static_cast<std::byte>(1u << bit % 8); }

std::string hex(const std::vector<std::byte>& raw) {
    std::string text;
    for (const std::byte byte : raw) {
        constexpr const char* digits = "0123456789abcdef";
        text += digits[static_cast<unsigned>(byte) >> 4];
        text += digits[static_cast<unsigned>(byte) & 15];
    }
    return text;
}

}  // namespace

TEST_CASE("hash and binding give on every machine, and for ever, what they gave when files were written", "[format][checksum]") {
    CHECK(hash(as_bytes("")) == 0x2d06'8005'38d3'94c2);  // XXH3-64, the specification's own value
    CHECK(hash(as_bytes("brook")) == XXH3_64bits("brook", 5));
    CHECK(hex(frame_of(frame_kind::data, 11)) ==
          "3300000000000000a91e8fdd59239f2b"   // size, attributes, extension, checksum
          "40420f000000000000002a36fe9c9717"   // base offset, base timestamp
          "0300000005000000"                   // leader epoch, count
          "0b30557a9fc4e90e33587d0000000000");
    CHECK(hex(frame_of(frame_kind::seal, 0)) ==
          "2800000010000000677bc9650dfeb312"
          "40420f000000000000002a36fe9c97170300000005000000");
}

TEST_CASE("every flipped bit of a frame is seen, and so is every pair", "[format][checksum]") {
    const auto kind = GENERATE(frame_kind::data, frame_kind::control);
    const std::vector<std::byte> frame = frame_of(kind, 24);
    REQUIRE(verifies_at(frame));
    std::uint64_t unseen = 0;
    for (std::size_t one = 0; one < frame.size() * 8; ++one) {
        auto damaged = frame;
        flip(damaged.data(), one);
        unseen += verifies_at(damaged) ? 1 : 0;
        for (std::size_t other = one + 1; other < frame.size() * 8; ++other) {
            auto twice = damaged;
            flip(twice.data(), other);
            unseen += verifies_at(twice) ? 1 : 0;
        }
    }
    CHECK(unseen == 0);
}

TEST_CASE("every flipped bit in the header of the log's own marks is seen, and so is every pair", "[format][checksum]") {
    const auto kind = GENERATE(frame_kind::filler, frame_kind::seal, frame_kind::evidence);
    const std::vector<std::byte> frame = frame_of(kind, kind == frame_kind::filler ? 64 : 0);
    REQUIRE(verifies_at(frame));
    std::uint64_t unseen = 0;
    for (std::size_t one = 0; one < frame_header_size * 8; ++one) {
        auto damaged = frame;
        flip(damaged.data(), one);
        unseen += verifies_at(damaged) ? 1 : 0;
        for (std::size_t other = one + 1; other < frame_header_size * 8; ++other) {
            auto twice = damaged;
            flip(twice.data(), other);
            unseen += verifies_at(twice) ? 1 : 0;
        }
    }
    CHECK(unseen == 0);
    auto gap = frame;
    for (std::size_t i = frame_header_size; i < gap.size(); ++i) {
        gap[i] = std::byte{0xff};  // what lies in a gap is nobody's
    }
    CHECK(verifies_at(gap));
}

TEST_CASE("the binding is not linear: no pair of flips in header, seed and position cancels", "[format][checksum]") {
    // The first try at it was XOR-linear: bit 63 of offset and bit 63 of timestamp, each times an odd number, cancelled.
    std::mt19937_64 random{GENERATE(1u, 2u, 3u)};
    struct input {
        std::uint64_t seed;
        std::uint64_t at;
        frame_header header;
    };
    STATIC_REQUIRE(sizeof(input) == 56);
    input original{};
    std::array<std::byte, sizeof(input)> raw{};
    for (std::byte& byte : raw) {
        byte = static_cast<std::byte>(random());
    }
    std::memcpy(&original, raw.data(), sizeof original);
    const auto value = [](const std::array<std::byte, sizeof(input)>& from) {
        input in;
        std::memcpy(&in, from.data(), sizeof in);
        return binding(in.seed, static_cast<position>(in.at), in.header);
    };
    std::vector<std::size_t> bits;
    for (std::size_t bit = 0; bit < sizeof(input) * 8; ++bit) {
        const bool is_upper_position = bit >= 96 && bit < 128;
        const bool is_checksum = bit >= 192 && bit < 256;
        if (!is_upper_position && !is_checksum) {
            bits.push_back(bit);
        }
    }
    const std::uint64_t before = value(raw);
    std::uint64_t equal = 0;
    for (std::size_t i = 0; i < bits.size(); ++i) {
        auto one = raw;
        flip(one.data(), bits[i]);
        equal += value(one) == before ? 1 : 0;
        for (std::size_t k = i + 1; k < bits.size(); ++k) {
            auto two = one;
            flip(two.data(), bits[k]);
            auto other = raw;
            flip(other.data(), bits[k]);
            equal += value(two) == before ? 1 : 0;
            equal += (value(one) ^ value(other)) == (value(two) ^ before) ? 1 : 0;  // linear in this pair
        }
    }
    CHECK(equal == 0);
}

TEST_CASE("a frame verifies at its own place alone", "[format][checksum]") {
    const std::vector<std::byte> frame = frame_of(frame_kind::data, 100);
    CHECK(verifies_at(frame));
    CHECK_FALSE(verifies_at(frame, seed, place + 8));
    CHECK_FALSE(verifies_at(frame, seed, place - 8));
    CHECK_FALSE(verifies_at(frame, seed, place + 512));
    CHECK_FALSE(verifies_at(frame, seed, place ^ 0x4000'0000));
    CHECK_FALSE(verifies_at(frame, seed + 1));
    CHECK_FALSE(verifies_at(frame, seed ^ (std::uint64_t{1} << 63)));
    CHECK_FALSE(verifies_at(frame, 0));
}

TEST_CASE("a frame is given another home without its body", "[format][checksum]") {
    std::vector<std::byte> frame = frame_of(frame_kind::data, 1'000);
    frame_header header = load_header(frame.data());
    const std::uint64_t body = header.checksum ^ binding(seed, place, header);
    CHECK(body == hash(frame.data() + frame_header_size, 1'000));
    header.base_offset += 77;
    header.leader_epoch += 1;
    header.checksum = body ^ binding(99, 256, header);
    store(frame.data(), header);
    CHECK(verifies_at(frame, 99, 256));
    CHECK_FALSE(verifies_at(frame));
}

TEST_CASE("no size that a frame claims makes the check look beyond the end", "[format][checksum]") {
    const std::vector<std::byte> frame = frame_of(frame_kind::data, 24);
    for (std::size_t length = 0; length < frame.size(); ++length) {
        const std::vector<std::byte> shorter(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));  // ASan looks on
        CHECK_FALSE(verifies(seed, place, place + static_cast<position>(length), shorter.data()));
    }
    CHECK_FALSE(verifies(seed, place, place - 8, frame.data()));
    std::mt19937_64 random{5};
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::byte> hostile(40 + random() % 64);
        for (std::byte& byte : hostile) {
            byte = static_cast<std::byte>(random());
        }
        store(hostile.data(), static_cast<std::uint32_t>(random() % 128));
        CHECK_FALSE(verifies(seed, place, place + static_cast<position>(hostile.size()), hostile.data()));
    }
}

TEST_CASE("a frame of a kind, or with bits, that this version does not know does not verify", "[format][checksum]") {
    std::vector<std::byte> frame = frame_of(frame_kind::data, 64);
    const auto verifies_with = [&](std::uint16_t attributes, std::uint16_t extensions, std::uint32_t size = 104) {
        frame_header header = load_header(frame.data());
        header.size = static_cast<std::int32_t>(size);
        header.attributes = attributes;
        header.extension = extensions;
        header.checksum = checksum_of(seed, place, header, frame.data());
        store(frame.data(), header);
        return verifies_at(frame);
    };
    CHECK(verifies_with(0, 0));
    CHECK(verifies_with(attribute::known & ~attribute::kind_mask, extension::known));
    for (unsigned kind = 6; kind < 8; ++kind) {
        CHECK_FALSE(verifies_with(static_cast<std::uint16_t>(kind << attribute::kind_shift), 0));
    }
    CHECK_FALSE(verifies_with(0x0800, 0));
    CHECK_FALSE(verifies_with(0x8000, 0));
    CHECK_FALSE(verifies_with(0, 0x0004));
    CHECK(verifies_with(0, extension::known, 72));
    CHECK_FALSE(verifies_with(0, extension::known, 71));  // no room for what it names
    CHECK(verifies_with(0, extension::producer, 56));
    CHECK_FALSE(verifies_with(0, extension::producer, 55));
}

TEST_CASE("zeros are no frame, whatever the seed", "[format][checksum]") {
    const std::vector<std::byte> zeros(4'096);
    for (std::uint64_t some = 0; some < 1'000; ++some) {
        CHECK_FALSE(verifies(some, static_cast<position>(some * 8), static_cast<position>(some * 8 + zeros.size()), zeros.data()));
    }
}

TEST_CASE("a frame that has lost its checksum does not verify", "[format][checksum]") {
    for (const std::uint64_t left : {std::uint64_t{0}, ~std::uint64_t{0}}) {
        std::vector<std::byte> frame = frame_of(frame_kind::data, 24);
        store(frame.data() + 8, left);
        CHECK_FALSE(verifies_at(frame));
    }
}

}  // namespace format_checksum_test
