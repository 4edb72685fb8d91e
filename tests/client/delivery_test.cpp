#include <brook/client/delivery.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/producer.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace client_delivery_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::temp_directory;

namespace {

struct world {
    temp_directory directory;
    std::optional<brook::broker> broker{std::in_place, directory.path(), brook::broker_options{.maintenance = brook::maintenance::manual}};
};

}  // namespace

TEST_CASE("a delivery tells the same each time it is asked, in either way", "[client][delivery]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.segment_bytes = 4'096});
    const auto linger = GENERATE(0min, 1min);
    brook::producer producer{topic, {.linger = linger}};
    auto good = producer.send({.value = "v", .timestamp = brook::timestamp{7s}});
    const brook::record_metadata expected{0, 0, brook::timestamp{7s}};
    std::error_code code = errc::closed;
    CHECK(good.get() == expected);
    CHECK(good.get(code) == expected);
    CHECK_FALSE(code);
    CHECK(good.get() == expected);

    auto bad = producer.send(std::string(5'000, 'x'));
    for (int i = 0; i < 2; ++i) {
        const auto where = bad.get(code);
        CHECK(code == errc::record_too_large);
        CHECK(where.partition == 0);
        CHECK(where.offset == -1);
        CHECK(where.timestamp == brook::timestamp{});
        CHECK(code_of([&] { static_cast<void>(bad.get()); }) == errc::record_too_large);
    }
}

TEST_CASE("a delivery outlives its producer and its broker", "[client][delivery]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts", {.flush_messages = GENERATE(as<std::optional<std::int64_t>>{}, std::nullopt, 1)});
    const auto linger = GENERATE(0min, 1min);
    std::optional<brook::producer<no_key, std::string>> producer{std::in_place, topic, brook::producer_options{.linger = linger}};
    std::vector<brook::delivery> deliveries;
    deliveries.push_back(producer->send("a"));
    deliveries.push_back(producer->send("b"));

    SECTION("the producer, which appends what lingers") {
        producer.reset();
        CHECK(deliveries[1].get().offset == 1);
        here.broker.reset();
        CHECK(deliveries[0].get().offset == 0);
    }
    SECTION("both, in this order") {
        producer.reset();
        here.broker.reset();
        CHECK(deliveries[0].get().offset == 0);
        CHECK(deliveries[1].get().offset == 1);
    }
    SECTION("the broker first: what lingered has not been appended") {
        here.broker.reset();
        const bool has_producer = GENERATE(true, false);
        if (!has_producer) {
            producer.reset();
        }
        if (linger == 0min) {
            CHECK(deliveries[0].get().offset == 0);  // closing synced what it had promised to sync
            CHECK(deliveries[1].get().offset == 1);
        } else {
            CHECK(code_of([&] { static_cast<void>(deliveries[0].get()); }) == errc::closed);
            std::error_code code;
            CHECK(deliveries[1].get(code).offset == -1);
            CHECK(code == errc::closed);
        }
    }
}

TEST_CASE("a delivery moves with what it knows", "[client][delivery]") {
    world here;
    auto topic = here.broker->create_topic<no_key, std::string>("texts");
    brook::producer producer{topic, {.linger = 1min}};
    auto first = producer.send("a");
    auto second = producer.send("b");
    auto third = std::move(second);
    first = std::move(third);
    CHECK(first.get().offset == 1);
}

}  // namespace client_delivery_test
