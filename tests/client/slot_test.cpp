#include <brook/client/slot.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_slot_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::operation;
using brook::test::read_all;
using brook::test::temp_directory;

namespace {

struct world : brook::test::world {
    [[nodiscard]] auto frames(const brook::topic_options& options = {}) {
        return broker->create_topic<no_key, brook::bytes>("frames", options);
    }
};

void fill(brook::slot& slot, std::string_view text) {
    REQUIRE(slot.size() == text.size());
    std::memcpy(slot.data(), text.data(), text.size());
}

/// The topics that a slot is claimed on in place, and those where it is a buffer.
std::vector<brook::topic_options> kinds() {
    return {{}, {.flush_interval = 1h}, {.flush_messages = 1}, {.message_timestamp_type = brook::timestamp_type::append_time}};
}

}  // namespace

TEST_CASE("a slot that is committed is a record like any other", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        const auto topic = here.frames(options);
        brook::producer producer{topic};
        auto slot = producer.claim(5);
        fill(slot, "hello");
        CHECK(topic.partition(0).log_end_offset() == 0);
        here.platform.set_now(brook::timestamp{100s});
        const auto where = slot.commit().get();
        CHECK(where.offset == 0);
        CHECK(where.timestamp == brook::timestamp{100s});
        auto empty = producer.claim(0);
        CHECK(empty.size() == 0);
        empty.commit();
        producer.flush();
        const auto read = read_all(topic);
        REQUIRE(read.size() == 2);
        CHECK(read[0].value == "hello");
        CHECK(read[0].timestamp == brook::timestamp{100s});
        CHECK_FALSE(read[0].key);
        CHECK(read[1].value == "");
        CHECK(topic.partition(0).durable_offset() == (options.flush_messages ? 2 : 0));
    }
}

TEST_CASE("a slot is 8-aligned, and holds zeros until it is written", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        brook::producer producer{here.frames(options)};
        for (const std::size_t size : {1u, 7u, 8u, 1'000u}) {
            auto slot = producer.claim(size);
            CHECK(reinterpret_cast<std::uintptr_t>(slot.data()) % 8 == 0);
            CHECK(std::all_of(slot.data(), slot.data() + slot.size(), [](std::byte byte) { return byte == std::byte{0}; }));
            slot.commit();
        }
    }
}

TEST_CASE("a slot with a key goes where the key belongs", "[client][slot]") {
    for (brook::topic_options options : kinds()) {
        world here;
        options.partitions = 5;
        const auto topic = here.broker->create_topic<std::string, brook::bytes>("keyed", options);
        brook::producer producer{topic};
        for (const std::string key : {"", "a", "berlin", "a key that is longer than eight bytes"}) {
            auto slot = producer.claim(key, 3);
            fill(slot, "abc");
            CHECK(slot.commit().get().partition == brook::partition_for_key(brook::as_bytes(key), 5));
        }
        const auto read = read_all(topic);
        REQUIRE(read.size() == 4);
        for (const auto& record : read) {
            CHECK(record.value == "abc");
            CHECK(record.partition == brook::partition_for_key(brook::as_bytes(*record.key), 5));
        }
        CHECK(std::count_if(read.begin(), read.end(), [](const auto& record) { return record.key == "berlin"; }) == 1);
    }
}

TEST_CASE("a slot that is dropped leaves a gap that nobody is shown", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        const auto topic = here.frames(options);
        const bool is_in_place = !options.flush_messages && !options.message_timestamp_type;
        std::optional<brook::producer<no_key, brook::bytes>> producer{std::in_place, topic};
        producer->send(brook::bytes{});
        { auto dropped = producer->claim(100); }
        {
            auto first = producer->claim(1);
            auto second = producer->claim(2);
            auto third = producer->claim(3);
            SECTION("in the order of claims") {}
            SECTION("in another order") { std::swap(first, third); }
            SECTION("by being assigned another slot") {
                first = std::move(second);
                third = std::move(first);
            }
        }
        producer->send(brook::bytes{});
        producer->flush();
        const auto read = read_all(topic);
        REQUIRE(read.size() == 2);
        CHECK(read[0].offset == 0);
        CHECK(read[1].offset == (is_in_place ? 5 : 1));
        CHECK_FALSE(topic.partition(0).offset_for_time(brook::timestamp::max()));
        producer.reset();
        here.open();
        CHECK(read_all(here.frames()).size() == 2);
        CHECK(here.frames().partition(0).log_end_offset() == (is_in_place ? 6 : 2));
    }
}

TEST_CASE("readers stop in front of an open slot, and go on behind it", "[client][slot]") {
    world here;
    const auto topic = here.frames();
    brook::producer producer{topic};
    producer.send(brook::bytes{});
    auto open = producer.claim(5);
    CHECK(producer.send(brook::bytes{}).get().offset == 2);
    CHECK(topic.partition(0).log_end_offset() == 1);
    CHECK(read_all(topic).size() == 1);
    fill(open, "later");
    open.commit();
    const auto read = read_all(topic);
    REQUIRE(read.size() == 3);
    CHECK(read[1].value == "later");
}

TEST_CASE("slots of many threads are records in the order of their claims", "[client][slot]") {
    world here;
    const auto topic = here.frames({.segment_bytes = 65'536});
    brook::producer producer{topic};
    constexpr int each = 500;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < each; ++i) {
                    auto slot = producer.claim(sizeof i);
                    std::memcpy(slot.data(), &i, sizeof i);
                    if (i % 5 != t) {
                        slot.commit();
                    }
                }
            });
        }
    }
    CHECK(topic.partition(0).log_end_offset() == 4 * each);
    CHECK(read_all(topic).size() == 4 * each * 4 / 5);
}

TEST_CASE("a slot is committed once", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        const auto topic = here.frames(options);
        brook::producer producer{topic};
        auto slot = producer.claim(8);
        auto target = std::move(slot);
        CHECK(code_of([&] { slot.commit(); }) == errc::illegal_state);
        CHECK(target.size() == 8);
        target.commit();
        CHECK(code_of([&] { target.commit(); }) == errc::illegal_state);
        producer.flush();
        CHECK(topic.partition(0).log_end_offset() == 1);
    }
}

TEST_CASE("a slot outlives its producer", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        const auto topic = here.frames(options);
        std::optional<brook::slot> slot;
        {
            brook::producer producer{topic};
            slot.emplace(producer.claim(5));
        }
        fill(*slot, "alone");
        const bool is_in_place = !options.flush_messages && !options.message_timestamp_type;
        auto delivery = slot->commit();
        if (is_in_place) {
            CHECK(delivery.get().offset == 0);
            CHECK(read_all(topic).at(0).value == "alone");
        } else {
            CHECK(code_of([&] { static_cast<void>(delivery.get()); }) == errc::closed);  // a buffer is sent at commit
            CHECK(read_all(topic).empty());
        }
    }
}

TEST_CASE("a slot outlives its broker, and then reaches nobody", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        std::optional<brook::producer<no_key, brook::bytes>> producer{std::in_place, here.frames(options)};
        producer->send(brook::bytes{});
        producer->flush();
        auto slot = producer->claim(6);
        auto dropped = producer->claim(6);
        producer->send(brook::bytes{});
        const bool has_producer = GENERATE(true, false);
        if (!has_producer) {
            producer.reset();
        }
        here.open();
        const auto topic = here.frames();
        const std::size_t before = read_all(topic).size();
        CHECK(before == 2);
        fill(slot, "nobody");  // its memory is still there
        auto delivery = slot.commit();
        CHECK(code_of([&] { static_cast<void>(delivery.get()); }) == errc::closed);
        { auto gone = std::move(dropped); }
        brook::producer next{topic};
        next.send(brook::bytes{});
        next.flush();
        for (const auto& record : read_all(topic)) {
            CHECK(record.value == "");
        }
        CHECK(read_all(topic).size() == before + 1);
        here.open();
        CHECK(read_all(here.frames()).size() == before + 1);
        if (producer) {
            CHECK(code_of([&] { static_cast<void>(producer->claim(8)); }) == errc::closed);
        }
    }
}

TEST_CASE("a slot on a durable topic is synced like any record", "[client][slot]") {
    world here;
    const auto topic = here.frames({.flush_messages = 1});
    brook::producer producer{topic};
    auto slot = producer.claim(5);
    CHECK(producer.send(brook::bytes{}).get().offset == 0);  // the open slot is in nobody's way
    fill(slot, "later");
    here.platform.forget_calls();
    auto delivery = slot.commit();
    CHECK(here.platform.calls(operation::sync) == 0);
    CHECK(delivery.get().offset == 1);
    CHECK(here.platform.calls(operation::sync) == 1);
    CHECK(topic.partition(0).durable_offset() == 2);
}

TEST_CASE("a commit is told to on_delivery, once, and so is one that came too late", "[client][slot]") {
    for (const auto& options : kinds()) {
        world here;
        int good = 0;
        int bad = 0;
        brook::producer producer{here.frames(options),
                                 {.on_delivery = [&](const brook::record_metadata&, std::error_code code) { ++(code ? bad : good); }}};
        auto first = producer.claim(8);
        auto second = producer.claim(8);
        { auto dropped = producer.claim(8); }
        first.commit();
        producer.flush();
        CHECK(good == 1);
        here.broker.reset();
        second.commit();
        CHECK(good == 1);
        CHECK(bad == 1);
        CHECK(code_of([&] { producer.flush(); }) == errc::closed);
    }
}

}  // namespace client_slot_test
