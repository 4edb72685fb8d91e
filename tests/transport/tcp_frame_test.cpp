#include <brook/transport/tcp_frame.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <brook/transport/tcp_hello.hpp>

#include "support/catch.hpp"

namespace transport_tcp_frame_test {

using namespace brook;
using namespace brook::transport_room;

namespace {

void put(std::vector<std::byte>& to, std::string_view datagram) {
    std::byte header[frame_header_size];
    store_frame_header(header, static_cast<std::uint32_t>(datagram.size()));
    to.insert(to.end(), header, header + frame_header_size);
    const bytes raw = as_bytes(datagram);
    to.insert(to.end(), raw.begin(), raw.end());
}

void put_ping(std::vector<std::byte>& to) {
    std::byte header[frame_header_size];
    store_frame_header(header, ping_mark);
    to.insert(to.end(), header, header + frame_header_size);
}

/// Feeds all of it in pieces of up to `most` bytes, as far as the parser has room.
struct fed {
    std::vector<std::string> datagrams;
    std::size_t pings = 0;
    bool is_broken = false;
    std::size_t largest_memory = 0;
};
[[nodiscard]] fed feed(frame_parser& parser, bytes all, std::size_t most) {
    fed seen;
    while (!all.empty() && !seen.is_broken) {
        const mutable_bytes room = parser.room();
        REQUIRE(!room.empty());
        const std::size_t count = std::min({room.size(), all.size(), most});
        copy_bytes(room.data(), all.data(), count);
        parser.filled(count);
        all = all.subspan(count);
        seen.largest_memory = std::max(seen.largest_memory, parser.capacity());
        for (frame_parser::frame each; !seen.is_broken && (each = parser.next()).kind != frame_parser::kind::none;) {
            switch (each.kind) {
                case frame_parser::kind::datagram: seen.datagrams.emplace_back(as_text(each.datagram)); break;
                case frame_parser::kind::ping: ++seen.pings; break;
                default: seen.is_broken = true;
            }
        }
    }
    return seen;
}

}  // namespace

TEST_CASE("datagrams are found again whole, whatever the pieces are in which they come", "[transport][tcp_frame]") {
    const auto most = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64}, std::size_t{1'000}, std::size_t{1} << 20);
    const auto first_room = GENERATE(std::size_t{8}, std::size_t{100}, std::size_t{4'096});
    CAPTURE(most, first_room);
    std::vector<std::string> sent;
    for (const std::size_t size : std::initializer_list<std::size_t>{0, 1, 5, 0, 8, 100, 101, 3'000, 20'000, 0, 7}) {
        sent.emplace_back(size, static_cast<char>('a' + sent.size()));
    }
    std::vector<std::byte> stream;
    for (const std::string& each : sent) {
        put(stream, each);
        put_ping(stream);
    }
    frame_parser parser{20'000, first_room};
    const fed seen = feed(parser, stream, most);
    CHECK(seen.datagrams == sent);
    CHECK(seen.pings == sent.size());
    CHECK_FALSE(seen.is_broken);
}

TEST_CASE("a size beyond the largest, and a header that is none, end the stream before memory is taken", "[transport][tcp_frame]") {
    std::vector<std::byte> stream;
    put(stream, "good");
    std::byte header[frame_header_size];
    SECTION("one more than the largest") { store_frame_header(header, 1'001); }
    SECTION("the largest of all") { store_frame_header(header, 0xFFFF'FFFE); }
    SECTION("zeros") { std::memset(header, 0, sizeof header); }
    SECTION("a good size without its check") {
        store_frame_header(header, 10);
        header[4] ^= std::byte{1};
    }
    stream.insert(stream.end(), header, header + frame_header_size);
    stream.resize(stream.size() + 10'000);
    frame_parser parser{1'000, 64};
    const fed seen = feed(parser, stream, 64);
    CHECK(seen.datagrams == std::vector<std::string>{"good"});
    CHECK(seen.is_broken);
    CHECK(parser.capacity() <= 128);
    CHECK(parser.next().kind == frame_parser::kind::broken);  // for good
}

TEST_CASE("memory follows what has come, not what was claimed", "[transport][tcp_frame]") {
    frame_parser parser{std::size_t{1} << 30, 64};
    std::vector<std::byte> claim(frame_header_size);
    store_frame_header(claim.data(), 1u << 30);
    claim.resize(10'000);
    const fed seen = feed(parser, claim, 100);
    CHECK_FALSE(seen.is_broken);
    CHECK(seen.datagrams.empty());
    CHECK(parser.capacity() <= 2 * claim.size());
    std::vector<std::byte> exact;
    put(exact, std::string(5'000, 'x'));
    frame_parser another{5'000, 64};
    CHECK(feed(another, exact, 1'000).datagrams.size() == 1);
    CHECK(another.capacity() <= 2 * exact.size());
}

TEST_CASE("who reads on before looking at what has come takes no memory for it", "[transport][tcp_frame]") {
    std::byte header[frame_header_size];
    frame_parser parser{1'000, frame_header_size};
    const auto read_on = [&] {
        const mutable_bytes room = parser.room();
        REQUIRE(room.size() == frame_header_size);
        copy_bytes(room.data(), header, frame_header_size);
        parser.filled(frame_header_size);
        static_cast<void>(parser.room());
        CHECK(parser.capacity() <= 2 * frame_header_size);
    };
    SECTION("a ping") {
        store_frame_header(header, ping_mark);
        read_on();
        CHECK(parser.next().kind == frame_parser::kind::ping);
        CHECK(parser.next().kind == frame_parser::kind::none);
    }
    SECTION("a size beyond the largest") {
        store_frame_header(header, 1'001);
        read_on();
        CHECK(parser.next().kind == frame_parser::kind::broken);
    }
}

TEST_CASE("whatever bytes come, the parser stays within its memory and gives nothing larger than allowed", "[transport][tcp_frame]") {
    constexpr std::size_t largest = 3'000;
    std::mt19937_64 chance{20'261'127};
    std::size_t datagrams = 0;
    std::size_t broken = 0;
    for (int round = 0; round < 4'000; ++round) {
        CAPTURE(round);
        std::vector<std::byte> stream;
        const std::size_t count = chance() % 12;
        for (std::size_t i = 0; i < count; ++i) {
            if (chance() % 5 == 0) {
                put_ping(stream);
            } else {
                put(stream, std::string(chance() % (largest + (chance() % 8 == 0 ? 40 : 0)), 'x'));
            }
        }
        for (std::size_t i = 0; i < chance() % 4 && !stream.empty(); ++i) {  // damaged …
            const std::size_t at = chance() % stream.size();
            stream[at] ^= static_cast<std::byte>(1 + chance() % 255);
            if (chance() % 2 == 0 && at + frame_header_size <= stream.size()) {  // … and, half the time, with a check that fits
                store_frame_header(stream.data() + at, static_cast<std::uint32_t>(chance() % (2 * largest)));
            }
        }
        for (std::size_t i = 0; i < chance() % 64; ++i) {
            stream.push_back(static_cast<std::byte>(chance()));
        }
        frame_parser parser{largest, 8 + chance() % 200};
        const fed seen = feed(parser, stream, 1 + chance() % 500);
        for (const std::string& each : seen.datagrams) {
            REQUIRE(each.size() <= largest);
        }
        REQUIRE(seen.largest_memory <= std::max<std::size_t>(2 * (largest + frame_header_size), 400));
        datagrams += seen.datagrams.size();
        broken += seen.is_broken ? 1 : 0;
    }
    CHECK(datagrams > 5'000);
    CHECK(broken > 500);
}

TEST_CASE("a hello says what it was told to", "[transport][tcp_frame]") {
    const tcp_hello said{.first = 2, .last = 7, .from = 3, .to = 12, .verdict = 9, .frame_bytes = std::uint64_t{1} << 33, .incarnation = 42, .cluster_id = std::string(32, 'c')};
    const auto raw = encode(said);
    CHECK_FALSE(look_at_beginning(raw).has_value());
    const tcp_hello heard = decode_hello(raw);
    CHECK(heard.first == 2);
    CHECK(heard.last == 7);
    CHECK(heard.from == 3);
    CHECK(heard.to == 12);
    CHECK(heard.verdict == 9);
    CHECK(heard.frame_bytes == std::uint64_t{1} << 33);
    CHECK(heard.incarnation == 42);
    CHECK(heard.cluster_id == std::string(32, 'c'));
}

TEST_CASE("what is no hello is called by its name at the first byte that tells", "[transport][tcp_frame]") {
    const auto [text, expected] = GENERATE(Catch::Generators::table<std::string, std::optional<refusal>>({
        {"\x89", std::nullopt},
        {"\x89" "brook\r\n", std::nullopt},
        {"\x89" "brooK", refusal::not_brook},
        {"\x16", refusal::tls_spoken},
        {"\x16\x03\x01\x02", refusal::tls_spoken},
        {"\x16\x04", refusal::not_brook},
        {"\x15\x03\x03", refusal::tls_spoken},
        {"G", refusal::http_spoken},
        {"GET / HTTP/1.1\r\n", refusal::http_spoken},
        {"POST ", refusal::http_spoken},
        {"PRI * HTTP/2", refusal::http_spoken},
        {"GEX", refusal::not_brook},
        {"SSH-2.0-x", refusal::not_brook},
        {std::string(8, '\0'), refusal::not_brook},
    }));
    CAPTURE(text);
    CHECK(look_at_beginning(as_bytes(text)) == expected);
}

TEST_CASE("whatever stands in a hello, it can be read and printed", "[transport][tcp_frame]") {
    std::mt19937_64 chance{7};
    for (int round = 0; round < 2'000; ++round) {
        std::vector<std::byte> raw(tcp_hello::size);
        for (std::byte& each : raw) {
            each = static_cast<std::byte>(chance());
        }
        const tcp_hello heard = decode_hello(raw);
        REQUIRE(heard.cluster_id.size() <= tcp_hello::cluster_id_max);
        const std::string shown = printable(heard.cluster_id);
        REQUIRE(std::all_of(shown.begin(), shown.end(), [](char c) { return c >= ' ' && c <= '~'; }));
    }
}

}  // namespace transport_tcp_frame_test
