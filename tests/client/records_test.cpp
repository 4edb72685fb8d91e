#include <brook/client/records.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace client_records_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::outcome_of;
using brook::test::temp_directory;

namespace {

struct world {
    temp_directory directory;
    std::optional<brook::broker> broker{std::in_place, directory.path(), brook::broker_options{.maintenance = brook::maintenance::manual}};
};

struct tick {
    std::uint64_t number;
    double price;
};

/// A batch of records "v", at the offsets base + each delta, which takes `last_delta` + 1 offsets, as its header says. `first_size`: what the
/// first record says of its value.
void append_batch_of(brook::storage::log& log, const std::vector<std::uint32_t>& deltas, std::uint32_t last_delta, std::uint32_t first_size = 1) {
    using namespace brook::format;
    std::uint64_t size = frame_header_size + 16 + deltas.size() * (sizeof(record_detail) + entry_bytes({null_size, 1, 0}));
    brook::storage::claim taken;
    REQUIRE(log.try_take(frame_length(static_cast<std::uint32_t>(size)), last_delta + 1, taken));
    std::byte* at = taken.data + frame_header_size;
    brook::store(at, std::uint64_t{last_delta});
    brook::store(at + 8, std::int64_t{0});
    at += 16;
    for (const std::uint32_t delta : deltas) {
        brook::store(at, record_detail{delta, delta, 0});
        at += sizeof(record_detail);
    }
    std::byte* const first = at;
    for (std::size_t i = 0; i < deltas.size(); ++i) {
        const auto layout = lay_out_entry(at, {null_size, 1, 0});
        *layout.value = std::byte{'v'};
        at = layout.end;
    }
    brook::store(first, first_size);
    frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.extension = extension::detail;
    header.count = static_cast<std::uint32_t>(deltas.size());
    log.publish(taken, header);
}

using text_records = brook::records<no_key, std::string>;
static_assert(std::forward_iterator<text_records::iterator>);

}  // namespace

TEST_CASE("a batch of records can be walked more than once, by more than one", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    {
        brook::producer producer{topic};
        producer.send("alone");
        producer.send_batch(0, std::vector<std::string>{"a", "b", "c"});
        { auto sealed = topic.partition(0); sealed.roll(); }
        producer.send("next segment");
    }
    brook::consumer consumer{topic};
    const auto records = consumer.poll(0s);
    REQUIRE(records.size() == 5);
    REQUIRE_FALSE(records.empty());
    for (int time = 0; time < 2; ++time) {
        std::vector<std::string> all;
        for (const auto& record : records) {
            all.emplace_back(record.value());
        }
        CHECK(all == std::vector<std::string>{"alone", "a", "b", "c", "next segment"});
    }
    auto slow = records.begin();
    auto fast = std::next(slow, 3);
    CHECK((*slow).value() == "alone");
    CHECK((*fast).value() == "c");
    const auto before = fast++;
    CHECK((*before).value() == "c");
    CHECK((*fast).value() == "next segment");
    CHECK(std::next(fast) == records.end());
    CHECK(std::distance(records.begin(), records.end()) == 5);
    CHECK(records.front().value() == "alone");

    const text_records nothing;
    CHECK(nothing.empty());
    CHECK(nothing.begin() == nothing.end());
}

TEST_CASE("an iterator is equal to those that stand at its record, and to no other", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    brook::producer producer{topic};
    for (int time = 0; time < 2; ++time) {  // bare ones, and others among them, in several parts
        producer.send("alone");
        producer.send("alone");
        producer.send("another");
        producer.send_batch(0, std::vector<std::string>{"a", "b", "c"});
        producer.send({.value = "with a header", .headers = {{"name", "value"}}});
        { auto sealed = topic.partition(0); sealed.roll(); }
    }
    brook::consumer consumer{topic};
    const auto records = consumer.poll(0s);
    REQUIRE(records.size() == 14);
    std::vector<text_records::iterator> all;
    for (auto at = records.begin(); at != records.end(); ++at) {
        all.push_back(at);
    }
    all.push_back(records.end());
    REQUIRE(all.size() == 15);
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < all.size(); ++j) {
            CAPTURE(i, j);
            CHECK((all[i] == all[j]) == (i == j));
        }
        CHECK(static_cast<std::size_t>(std::distance(all[i], records.end())) == all.size() - 1 - i);
    }
}

TEST_CASE("records of one length are read like those of several, wherever another one stands among them", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<std::string, std::string>("texts", {.segment_bytes = 65'536});
    struct shape {
        std::size_t key;
        std::size_t value;
    };
    constexpr shape usual{5, 30};
    // Longer; shorter; as long, with another share of it for the key; all key; all value.
    const shape other = GENERATE(shape{5, 60}, shape{5, 3}, shape{13, 22}, shape{20, 16}, shape{35, 0}, shape{0, 35});
    const std::size_t before = GENERATE(0u, 1u, 7u, 8u, 9u, 10u, 30u);
    std::vector<std::string> sent;
    {
        brook::producer producer{topic};
        const auto send = [&](shape which) {
            const std::string letters(100, static_cast<char>('a' + sent.size() % 26));
            const std::string key = letters.substr(0, which.key);
            const std::string value = letters.substr(0, which.value);
            producer.send(key, value);
            sent.push_back(key + '=' + value + '@' + std::to_string(sent.size()));
        };
        for (std::size_t i = 0; i < before; ++i) {
            send(usual);
        }
        send(other);
        for (std::size_t i = 0; i < 20; ++i) {
            send(usual);
        }
    }
    topic.partition(0).sync();
    const bool is_from_disk = GENERATE(false, true);
    const bool is_verified = GENERATE(false, true);
    std::optional<brook::topic<std::string, std::string>> read{topic};
    if (is_from_disk) {
        here.broker.reset();
        here.broker.emplace(here.directory.path(), brook::broker_options{.maintenance = brook::maintenance::manual});
        read.emplace(here.broker->topic<std::string, std::string>("texts"));
    }
    for (const std::int32_t at_once : {500, 11, 3}) {
        CAPTURE(other.key, other.value, before, is_from_disk, is_verified, at_once);
        brook::consumer consumer{*read, {.max_poll_records = at_once, .check_crcs = is_verified}};
        std::vector<std::string> all;
        while (!consumer.caught_up()) {
            const auto records = consumer.poll(0s);
            for (const auto& record : records) {
                all.push_back(std::string{record.key()} + '=' + std::string{record.value()} + '@' + std::to_string(record.offset()));
            }
        }
        CHECK(all == sent);
    }
}

TEST_CASE("a batch whose records are not what it says of them gives no more than were counted", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::string>("texts");
    brook::storage::log& log = brook::detail::access::engine(topic).log(0);
    std::vector<std::uint32_t> deltas;
    const std::string what = GENERATE(as<std::string>{}, "as they should be", "all at one offset", "back and forth", "the first ends outside of it");
    for (std::uint32_t i = 0; i < 100; ++i) {
        deltas.push_back(what == "all at one offset" ? 0 : what == "back and forth" ? i ^ 1u : i);
    }
    append_batch_of(log, deltas, 99, what == "the first ends outside of it" ? 0x7fff'ffff : 1);
    brook::producer producer{topic};
    producer.send("behind");
    const std::int32_t most = GENERATE(1, 3, 50, 500);
    CAPTURE(what, most);
    brook::consumer consumer{topic, {.max_poll_records = most}};
    std::size_t given = 0;
    for (int time = 0; time < 300 && !consumer.caught_up(); ++time) {
        const auto records = consumer.poll(0s);
        std::size_t count = 0;
        for (const auto& record : records) {
            CHECK(record.value() == (record.offset() < 100 ? "v" : "behind"));
            ++count;
        }
        CHECK(count <= records.size());
        CHECK(records.size() <= static_cast<std::size_t>(most));
        CHECK((records.begin() == records.end()) == (count == 0));
        given += count;
    }
    CHECK(consumer.caught_up());
    CHECK(given >= 1);
    CHECK((what != "as they should be" || given == 101));
}

TEST_CASE("a batch moves, and what it was moved from is empty", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::string>("texts");
    {
        brook::producer producer{topic};
        producer.send("a");
        producer.send("b");
    }
    brook::consumer consumer{topic, {.max_poll_records = 1}};
    auto first = consumer.poll(0s);
    auto second = consumer.poll(0s);
    auto moved = std::move(first);
    CHECK(first.empty());
    CHECK(first.begin() == first.end());
    REQUIRE(moved.size() == 1);
    moved = std::move(second);
    CHECK(moved.front().value() == "b");
}

TEST_CASE("plain values are read where they lie, again and again the same place", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<std::string, tick>("ticks");
    {
        brook::producer producer{topic};
        producer.send("odd", tick{1, 2.5});
        producer.send({.key = "odd length", .value = {2, 3.5}, .headers = {{"h", "odd"}}});
    }
    brook::consumer consumer{topic};
    const auto records = consumer.poll(0s);
    for (const auto& record : records) {
        const tick& where = record.value();
        CHECK(&where == &record.value());
        CHECK(reinterpret_cast<std::uintptr_t>(&where) % alignof(tick) == 0);
        CHECK(where.price == static_cast<double>(where.number) + 1.5);
    }
}

TEST_CASE("records stay readable when everything else has gone", "[client][records]") {
    std::optional<world> here{std::in_place};
    auto records = [&] {
        const auto topic = here->broker->create_topic<std::string, std::string>("texts", {.segment_bytes = 4'096});
        brook::producer producer{topic};
        for (int i = 0; i < 400; ++i) {
            producer.send("key " + std::to_string(i), std::string(20, static_cast<char>('a' + i % 26)));
        }
        brook::consumer consumer{topic};
        return consumer.poll(0s);
    }();
    REQUIRE(records.size() == 400);
    std::string_view kept = records.front().value();

    SECTION("the consumer, the producer and the topic") {}
    SECTION("the broker, too") { here->broker.reset(); }
    SECTION("even the files") {
        here->broker.reset();
        std::filesystem::remove_all(here->directory.path());
    }
    SECTION("which another broker goes on writing") {
        here->broker.reset();
        here->broker.emplace(here->directory.path(), brook::broker_options{});
        brook::producer producer{here->broker->topic<std::string, std::string>("texts")};
        for (int i = 0; i < 400; ++i) {
            producer.send("x", "y");
        }
    }
    CHECK(kept == std::string(20, 'a'));
    int i = 0;
    for (const auto& record : records) {
        REQUIRE(record.key() == "key " + std::to_string(i));
        REQUIRE(record.value() == std::string(20, static_cast<char>('a' + i % 26)));
        REQUIRE(record.offset() == i++);
        REQUIRE(record.topic() == "texts");  // which its segment knows
        REQUIRE(record.partition() == 0);
    }
    auto moved = std::move(records);
    CHECK(moved.front().value() == kept);
}

TEST_CASE("a key that was sent without a view of it can be read from the batch alone", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<std::uint32_t, std::uint16_t>("numbers");
    {
        brook::producer producer{topic};
        producer.send(7, 9);
        producer.send(8, brook::tombstone);
    }
    brook::consumer consumer{topic};
    const auto records = consumer.poll(0s);
    REQUIRE(records.size() == 2);
    CHECK(records.front().key() == 7);
    CHECK(records.front().value() == 9);
    const auto gone = *std::next(records.begin());
    CHECK(gone.is_tombstone());
    const auto refused = outcome_of([&] { static_cast<void>(gone.value()); });
    CHECK(refused.code == errc::no_value);
    CHECK(refused.names("topic 'numbers', partition 0"));
    CHECK(refused.names("offset 1"));
}

TEST_CASE("a lone record with an extension is read as what it is", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<std::string, std::string>("texts");
    brook::producer producer{topic};
    producer.send("before", "plain");
    {
        using namespace brook::format;
        brook::storage::log& log = brook::detail::access::engine(topic).log(0);
        constexpr std::string_view key = "AAAABBBBCC";
        constexpr std::string_view value = "extended";
        constexpr std::uint32_t size = frame_header_size + extension::bytes_each + 16 + 8;
        brook::storage::claim taken;
        REQUIRE(log.try_take(frame_length(size), 1, taken));
        std::byte* const body = taken.data + frame_header_size + extension::bytes_each;
        brook::copy_bytes(body, key.data(), key.size());
        brook::copy_bytes(body + 16, value.data(), value.size());
        log.publish(taken, frame_word::published(size, attribute::lone, extension::producer), 5, static_cast<std::uint32_t>(key.size()));
    }
    producer.send("after", "plain");
    brook::consumer consumer{topic};
    const auto records = consumer.poll(0s);
    REQUIRE(records.size() == 3);
    std::vector<std::string> all;
    for (const auto& record : records) {
        all.push_back(std::string{record.key()} + '=' + std::string{record.value()} + '@' + std::to_string(record.offset()));
    }
    CHECK(all == std::vector<std::string>{"before=plain@0", "AAAABBBBCC=extended@1", "after=plain@2"});
}

TEST_CASE("what was read while it was new is verified once it has been to the disk", "[client][records]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 65'536});
    brook::producer producer{topic};
    if (GENERATE(true, false)) {
        producer.send_batch(0, std::vector<std::string>{"value", "other"}).get();
    } else {
        producer.send("value").get();
    }
    brook::consumer early{topic};
    const auto held = early.poll(0s);  // keeps the segment's memory, and what is known of it
    REQUIRE_FALSE(held.empty());
    topic.partition(0).roll();
    here.broker->maintain();
    here.broker->maintain();
    {
        std::fstream file{here.directory / "topics/texts/0/00000000000000000000.log", std::ios::in | std::ios::out | std::ios::binary};
        std::string head(4'096, '\0');
        file.read(head.data(), static_cast<std::streamsize>(head.size()));
        const auto at = head.find("value");
        REQUIRE(at != std::string::npos);
        file.seekp(static_cast<std::streamoff>(at));
        file << "ROTTE";
    }
    brook::consumer late{topic};
    CHECK(code_of([&] { static_cast<void>(late.poll(0s)); }) == errc::corrupt_record);
}

}  // namespace client_records_test
