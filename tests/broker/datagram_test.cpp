#include <brook/broker/datagram.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/datagram_inbox.hpp>

#include "support/catch.hpp"

namespace broker_datagram_test {

using brook::bytes;
using brook::broker_room::datagram;
using brook::format::topic_id;

namespace {

[[nodiscard]] topic_id cluster(int which) {
    topic_id made{};
    made[3] = static_cast<std::byte>(which);
    return made;
}

void add(std::vector<std::byte>& to, const datagram::part& what, const std::string& body) {
    datagram::add(to, what, [&](std::vector<std::byte>& into) {
        const std::size_t at = into.size();
        into.resize(at + body.size());
        brook::copy_bytes(into.data() + at, body.data(), body.size());
    });
}

/// A message of a replica, a request and an answer.
[[nodiscard]] std::vector<std::byte> example() {
    std::vector<std::byte> all;
    datagram::begin(all);
    datagram::part one;
    one.kind = datagram::part_kind::replica;
    one.partition.topic = cluster(9);
    one.partition.number = 4;
    add(all, one, "replica");
    one.kind = datagram::part_kind::request;
    one.number = 0x1122'3344'5566'7788;
    one.code = 3;
    add(all, one, "");
    one.kind = datagram::part_kind::answer;
    one.code = 1;
    add(all, one, "12345678");
    datagram::finish(all, 1, 2, cluster(5));
    return all;
}

[[nodiscard]] bool verifies(bytes all, std::int32_t from = 1, std::int32_t to = 2, const topic_id& of = cluster(5)) {
    const auto said = datagram::read(all);
    return said && datagram::counts(*said, from, to, of);
}

[[nodiscard]] std::string text(bytes from) { return std::string{brook::as_text(from)}; }

}  // namespace

TEST_CASE("datagram gives its parts as they were put in", "[broker][datagram]") {
    const std::vector<std::byte> all = example();
    REQUIRE(verifies(all));
    CHECK(all.size() == datagram::header_size + datagram::part_bytes(7) + datagram::part_bytes(0) + datagram::part_bytes(8));
    bytes rest = bytes{all}.subspan(datagram::header_size);
    datagram::part one;
    REQUIRE(datagram::next(rest, one));
    CHECK(one.kind == datagram::part_kind::replica);
    CHECK(one.partition.topic == cluster(9));
    CHECK(one.partition.number == 4);
    CHECK(text(one.body) == "replica");
    REQUIRE(datagram::next(rest, one));
    CHECK(one.kind == datagram::part_kind::request);
    CHECK(one.number == 0x1122'3344'5566'7788);
    CHECK(one.code == 3);
    CHECK(one.body.empty());
    REQUIRE(datagram::next(rest, one));
    CHECK(one.kind == datagram::part_kind::answer);
    CHECK(one.code == 1);
    CHECK(text(one.body) == "12345678");
    CHECK_FALSE(datagram::next(rest, one));
}

TEST_CASE("datagram verifies for its sender, its receiver and its cluster alone", "[broker][datagram]") {
    std::vector<std::byte> all = example();
    CHECK_FALSE(verifies(all, 3, 2));
    CHECK_FALSE(verifies(all, 1, 3));
    CHECK_FALSE(verifies(all, 1, 2, cluster(6)));
    CHECK(verifies(all, 1, 2, {}));  // who does not know its cluster yet hears all
    datagram::finish(all, 1, 2, {});
    CHECK(verifies(all));  // and is heard
    CHECK(datagram::read(all)->cluster == topic_id{});
}

TEST_CASE("datagram with any bit changed does not verify, nor does one that is cut", "[broker][datagram]") {
    const std::vector<std::byte> all = example();
    for (std::size_t at = 0; at < all.size(); ++at) {
        for (const unsigned bit : {0u, 3u, 7u}) {
            std::vector<std::byte> damaged = all;
            damaged[at] ^= static_cast<std::byte>(1u << bit);
            CAPTURE(at, bit);
            CHECK_FALSE(verifies(damaged));
        }
    }
    for (std::size_t size = 0; size < all.size(); ++size) {
        const std::vector<std::byte> cut(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK_FALSE(verifies(cut));
    }
    std::vector<std::byte> longer = all;
    longer.push_back({});
    CHECK_FALSE(verifies(longer));
}

TEST_CASE("datagram of another version is not heard, whole as it is", "[broker][datagram]") {
    for (const std::size_t at : {std::size_t{8}, std::size_t{12}}) {
        std::vector<std::byte> other = example();
        other[at] ^= std::byte{2};
        brook::store(other.data(), brook::format::hash(bytes{other}.subspan(8)));
        CHECK_FALSE(verifies(other));
    }
}

TEST_CASE("datagram's parts that lie about their size or kind end the walk, and nothing outside is read", "[broker][datagram]") {
    const std::vector<std::byte> all = example();
    const std::size_t second = datagram::header_size + datagram::part_bytes(7);
    for (const std::uint32_t lie : {0u, 1u, 23u, 1'000u, 0x7fff'ffffu, 0xffff'fff8u, 0xffff'ffffu}) {
        std::vector<std::byte> lying = all;
        brook::store(lying.data() + second, lie);
        bytes rest = bytes{lying}.subspan(datagram::header_size);
        datagram::part one;
        REQUIRE(datagram::next(rest, one));
        CHECK_FALSE(datagram::next(rest, one));
    }
    for (const std::uint32_t kind : {0u, 4u, 0xffff'ffffu}) {
        std::vector<std::byte> lying = all;
        brook::store(lying.data() + second + 4, kind);
        bytes rest = bytes{lying}.subspan(datagram::header_size);
        datagram::part one;
        REQUIRE(datagram::next(rest, one));
        CHECK_FALSE(datagram::next(rest, one));
    }
    std::mt19937_64 chance{7};
    for (int round = 0; round < 20'000; ++round) {
        std::vector<std::byte> noise(chance() % 200);
        for (auto& one : noise) {
            one = static_cast<std::byte>(chance() % 3 == 0 ? chance() : chance() % 40);
        }
        bytes rest{noise};
        datagram::part one;
        for (std::size_t left = rest.size(); datagram::next(rest, one); left = rest.size()) {
            REQUIRE(rest.size() < left);  // it ends
            REQUIRE(one.body.data() >= noise.data());
            REQUIRE(one.body.data() + one.body.size() <= noise.data() + noise.size());
        }
    }
}

TEST_CASE("datagram_inbox drops what is too much of one sender, and nothing of the others", "[broker][datagram]") {
    brook::broker_room::datagram_inbox inbox;
    const std::vector<std::byte> large(std::size_t{1} << 20);
    for (int i = 0; i < 64; ++i) {
        REQUIRE(inbox.put(2, large, 2));
    }
    CHECK_FALSE(inbox.put(2, large, 2));
    CHECK(inbox.put(3, large, 3));
    CHECK(inbox.take().size() == 65);
    CHECK(inbox.put(2, large, 2));
    CHECK(inbox.take().size() == 1);
}

}  // namespace broker_datagram_test
