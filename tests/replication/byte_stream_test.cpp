#include <brook/replication/byte_stream.hpp>  // first, so that it must stand alone

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace replication_byte_stream_test {

using brook::bytes;
using brook::replication::byte_reader;
using brook::replication::byte_writer;

namespace {

[[nodiscard]] std::vector<std::byte> example() {
    std::vector<std::byte> all{std::byte{0xff}};  // it appends
    byte_writer to{all};
    to.put(std::uint8_t{7});
    to.put(std::uint64_t{0x0102030405060708});
    to.put(std::int32_t{-5});
    to.put_text("text");
    to.put_text("");
    to.put(std::uint32_t{2});
    to.put(std::int32_t{10});
    to.put(std::int32_t{11});
    return all;
}

/// Takes all that `example` has; what is missing is zero and empty.
void take_all(byte_reader& from) {
    static_cast<void>(from.take<std::uint8_t>());
    static_cast<void>(from.take<std::uint8_t>());
    static_cast<void>(from.take<std::uint64_t>());
    static_cast<void>(from.take<std::int32_t>());
    static_cast<void>(from.take_text());
    static_cast<void>(from.take_text());
    for (std::uint32_t left = from.take_count(4); left > 0; --left) {
        static_cast<void>(from.take<std::int32_t>());
    }
}

}  // namespace

TEST_CASE("byte_reader gives back what byte_writer was given", "[replication][byte_stream]") {
    const std::vector<std::byte> all = example();
    byte_reader from{all};
    CHECK(from.take<std::uint8_t>() == 0xff);
    CHECK(from.take<std::uint8_t>() == 7);
    CHECK(from.take<std::uint64_t>() == 0x0102030405060708);
    CHECK(from.take<std::int32_t>() == -5);
    CHECK(from.take_text() == "text");
    CHECK(from.take_text().empty());
    CHECK(from.take_count(4) == 2);
    CHECK_FALSE(from.is_done());
    CHECK(from.rest().size() == 8);
    CHECK(from.take<std::int32_t>() == 10);
    CHECK(from.take<std::int32_t>() == 11);
    CHECK(from.is_done());
    CHECK(from.is_whole());
    CHECK(all[2] == std::byte{8});  // little-endian
}

TEST_CASE("byte_reader is not whole at whichever byte its bytes end, and what is missing is zero", "[replication][byte_stream]") {
    const std::vector<std::byte> all = example();
    for (std::size_t size = 0; size < all.size(); ++size) {
        const std::vector<std::byte> cut(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size));  // its own memory: what reads behind it is seen
        byte_reader from{cut};
        take_all(from);
        CHECK_FALSE(from.is_whole());
        CHECK_FALSE(from.is_done());
        CHECK(from.rest().empty());
        CHECK(from.take<std::uint64_t>() == 0);
        CHECK(from.take_text().empty());
        CHECK(from.take_count(1) == 0);
    }
    byte_reader from{all};
    take_all(from);
    CHECK(from.is_done());
}

TEST_CASE("byte_reader believes neither sizes nor counts", "[replication][byte_stream]") {
    for (const std::uint32_t lie : {std::uint32_t{9}, std::uint32_t{0x7fff'ffff}, std::uint32_t{0xffff'ffff}}) {
        std::vector<std::byte> all;
        byte_writer{all}.put(lie);
        all.resize(12);  // 8 bytes follow
        byte_reader text{all};
        CHECK(text.take_bytes().empty());
        CHECK_FALSE(text.is_whole());
        for (const std::size_t each : {std::size_t{1}, std::size_t{4}, std::size_t{1'000}}) {
            byte_reader count{all};
            CHECK(count.take_count(each) == 0);
            CHECK_FALSE(count.is_whole());
        }
    }
    std::vector<std::byte> all;
    byte_writer{all}.put(std::uint32_t{2});
    all.resize(12);
    CHECK(byte_reader{all}.take_count(4) == 2);
    CHECK(byte_reader{all}.take_count(5) == 0);
    CHECK(byte_reader{all}.take_bytes().size() == 2);
}

}  // namespace replication_byte_stream_test
