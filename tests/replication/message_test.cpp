#include <brook/replication/message.hpp>  // first, so that it must stand alone

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include <brook/replication/replica.hpp>

#include "support/catch.hpp"

namespace replication_message_test {

using namespace brook;
using namespace brook::replication;

const std::array<std::byte, 5> frames{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};

message full() {
    message said;
    said.kind = message_kind::fetch_answer;
    said.outcome = fetch_outcome::diverging;
    said.is_pre_vote = true;
    said.is_transfer = true;
    said.is_empty = true;
    said.is_confirmed = true;
    said.epoch = 9;
    said.last_epoch = 7;
    said.leader = 3;
    said.session = 0xfeedfacecafebeef;
    said.number = 12;
    said.fetch_answer.end = 100;
    said.fetch_answer.round = 90;
    said.fetch_answer.high_watermark = 80;
    said.fetch_answer.log_start = largest_offset;
    said.frames = frames;
    return said;
}

std::vector<std::byte> bytes_of(const message& said) {
    std::vector<std::byte> raw;
    said.encode(raw);
    return raw;
}

TEST_CASE("a message is decoded as it was said", "[replication][message]") {
    const std::vector<std::byte> raw = bytes_of(full());
    CHECK(raw.size() == message::fixed_size + frames.size());
    const auto found = message::decode(raw);
    REQUIRE(found);
    CHECK(found->kind == message_kind::fetch_answer);
    CHECK(found->outcome == fetch_outcome::diverging);
    CHECK(found->is_pre_vote);
    CHECK_FALSE(found->is_granted);
    CHECK_FALSE(found->is_suspect);
    CHECK(found->is_transfer);
    CHECK(found->is_empty);
    CHECK(found->epoch == 9);
    CHECK(found->last_epoch == 7);
    CHECK(found->leader == 3);
    CHECK(found->session == 0xfeedfacecafebeef);
    CHECK(found->number == 12);
    CHECK(found->is_confirmed);
    CHECK(found->fetch_answer.end == 100);
    CHECK(found->fetch_answer.round == 90);
    CHECK(found->fetch_answer.high_watermark == 80);
    CHECK(found->fetch_answer.log_start == largest_offset);
    CHECK(std::vector(found->frames.begin(), found->frames.end()) == std::vector(frames.begin(), frames.end()));
}

TEST_CASE("what nobody can have said is not decoded", "[replication][message]") {
    std::vector<std::byte> raw = bytes_of(full());
    const auto [at, value] = GENERATE(Catch::Generators::table<std::size_t, int>({
        {0, 0},      // no kind
        {0, 7},      // nor that
        {2, 4},      // an outcome
        {3, 1},      // what has to be zero
        {7, 1},
        {20, 1},
        {11, 0x80},  // an epoch that everybody would have to follow
        {12, 10},    // a record of a later epoch than its own
        {19, 0x80},  // a negative broker
        {47, 0x80},  // negative offsets
        {55, 0x80},
        {63, 0x80},
        {71, 0x80},
        {47, 0x40},  // and none beyond the largest
    }));
    CAPTURE(at, value);
    raw[at] = static_cast<std::byte>(value);
    CHECK_FALSE(message::decode(raw));
}

TEST_CASE("each kind of message has its words at their places", "[replication][message]") {
    const auto word = [](const message& said, std::size_t at) { return load<std::int64_t>(bytes_of(said).data() + at); };
    message said{message_kind::vote};
    said.vote = {1, 2, 3, 0};
    CHECK(word(said, 40) == 1);
    CHECK(word(said, 48) == 2);
    CHECK(word(said, 56) == 3);
    said = message{message_kind::vote_answer};
    said.vote_answer.voters_end = 1;
    said.vote_answer.voters_epoch = 2;
    CHECK(word(said, 40) == 1);
    CHECK(word(said, 64) == 2);
    said = message{message_kind::begin_epoch};
    said.lead.round = 1;
    CHECK(word(said, 48) == 1);
    said = message{message_kind::fetch};
    said.fetch = {1, 2, 3, 4};
    CHECK(word(said, 48) == 2);
    CHECK(word(said, 64) == 4);
    said = message{message_kind::fetch_answer};
    said.fetch_answer = {1, 2, 3, 4};
    CHECK(word(said, 40) == 1);
    CHECK(word(said, 56) == 3);
}

TEST_CASE("voters of an epoch that cannot be are nobody's", "[replication][message]") {
    message said{message_kind::vote};
    said.vote.voters_epoch = message::largest_epoch + GENERATE(std::int64_t{0}, std::int64_t{1});
    CAPTURE(said.vote.voters_epoch);
    CHECK(message::decode(bytes_of(said)).has_value() == (said.vote.voters_epoch == message::largest_epoch));
    message answer{message_kind::vote_answer};
    answer.vote_answer.voters_epoch = said.vote.voters_epoch;
    CHECK(message::decode(bytes_of(answer)).has_value() == (said.vote.voters_epoch == message::largest_epoch));
}

TEST_CASE("a message that was cut short is not decoded, at whichever byte", "[replication][message]") {
    const std::vector<std::byte> raw = bytes_of(full());
    for (std::size_t size = 0; size < message::fixed_size; ++size) {
        CHECK_FALSE(message::decode(bytes{raw}.first(size)));
    }
    CHECK(message::decode(bytes{raw}.first(message::fixed_size))->frames.empty());
}

TEST_CASE("whatever bytes are decoded to is legal, and is encoded to the same bytes", "[replication][message]") {
    std::mt19937_64 random{1};
    std::size_t legal = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::byte> raw = bytes_of(full());
        for (int changes = 1 + i % 4; changes > 0; --changes) {
            raw[random() % raw.size()] = static_cast<std::byte>(random());
        }
        if (const auto found = message::decode(raw)) {
            ++legal;
            CHECK(found->epoch <= message::largest_epoch);
            CHECK(found->last_epoch <= found->epoch);
            CHECK(bytes_of(*found) == raw);
        }
    }
    CHECK(legal > 1000);
}

TEST_CASE("voters are decoded as they were told, and nothing else is", "[replication][message]") {
    const voter_set told{41, 3, {5, 1, 9}};
    std::vector<std::byte> raw;
    told.encode(raw);
    CHECK(voter_set::decode(raw) == told);
    for (std::size_t size = 0; size < raw.size(); ++size) {
        CHECK_FALSE(voter_set::decode(bytes{raw}.first(size)));
    }
    std::vector<std::byte> bad;
    SECTION("a broker twice") { voter_set{41, 3, {5, 5}}.encode(bad); }
    SECTION("no broker") { voter_set{41, 3, {no_node}}.encode(bad); }
    SECTION("nobody") { voter_set{41, 3, {}}.encode(bad); }
    SECTION("more than there may be") { voter_set{41, 3, std::vector<std::int32_t>(voter_set::most + 1, 1)}.encode(bad); }
    SECTION("an epoch that cannot be") { voter_set{41, message::largest_epoch + 1, {1}}.encode(bad); }
    SECTION("no offset") { voter_set{-2, 3, {1}}.encode(bad); }
    SECTION("a count that does not fit") {
        voter_set{41, 3, {1}}.encode(bad);
        bad[15] = std::byte{0x40};
    }
    CHECK_FALSE(voter_set::decode(bad));
}

}  // namespace replication_message_test
