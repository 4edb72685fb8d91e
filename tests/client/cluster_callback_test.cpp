// What users do inside of what they are told: on_delivery and on_error, on the threads of a cluster's broker.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/replication.hpp>

#include "client/cluster_world.hpp"
#include "support/catch.hpp"

namespace client_cluster_callback_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;

namespace {

/// What came of it, told by its code; 0: it went well.
template <class Act>
[[nodiscard]] std::error_code code_of(const Act& act) {
    try {
        act();
        return {};
    } catch (const error& why) {
        return why.code();
    }
}

}  // namespace

TEST_CASE("inside of on_delivery one commits, makes topics, and waits for other producers", "[client][cluster][callback]") {
    cluster_world here;
    const auto topic = here.numbers({.partitions = 1, .replication_factor = 3});
    const auto other = here.numbers({.partitions = 1, .replication_factor = 3}, 1, "others");
    brook::consumer<no_key, std::uint64_t> reading{topic, {.group_id = "readers"}};
    reading.assign({topic.partition(0)});
    brook::producer elsewhere{other};
    std::vector<std::error_code> codes;
    std::atomic<bool> is_told{false};
    brook::producer<no_key, std::uint64_t>* own = nullptr;
    brook::producer sending{topic, {.on_delivery = [&](const record_metadata&, std::error_code) {
                                if (is_told.load()) {
                                    return;
                                }
                                codes.push_back(code_of([&] { reading.commit(topic.partition(0), 1); }));
                                codes.push_back(code_of([&] { static_cast<void>(here[1].create_topic<no_key, std::uint64_t>("made-inside")); }));
                                codes.push_back(code_of([&] { static_cast<void>(elsewhere.send({.value = 7}).get()); }));
                                codes.push_back(code_of([&] { elsewhere.flush(); }));
                                codes.push_back(code_of([&] { static_cast<void>(own->send({.value = 2}).get()); }));
                                codes.push_back(code_of([&] { own->flush(); }));
                                is_told.store(true);
                            }}};
    own = &sending;
    static_cast<void>(sending.send({.value = 1}));
    REQUIRE(cluster_world::eventually([&] { return is_told.load(); }));
    const std::error_code refused = make_error_code(errc::illegal_state);
    CHECK(codes == std::vector<std::error_code>{{}, {}, {}, {}, refused, refused});
    sending.flush();
    CHECK(cluster_world::read_numbers(topic, 2) == std::vector<std::uint64_t>{1, 2});
    CHECK(reading.committed(topic.partition(0)) == 1);
}

TEST_CASE("several producers' on_delivery commit at the same time as others do", "[client][cluster][callback]") {
    cluster_world here;
    const auto topic = here.numbers({.partitions = 4, .replication_factor = 3});
    brook::consumer<no_key, std::uint64_t> reading{topic, {.group_id = "readers"}};
    reading.assign({topic.partition(0)});
    std::atomic<int> told{0};
    std::atomic<int> failed{0};
    const auto on_delivery = [&](const record_metadata&, std::error_code) {
        const auto here_too = here.topic(1 + told.load() % 3);
        brook::consumer<no_key, std::uint64_t> own{here_too, {.group_id = "readers"}};
        own.assign({here_too.partition(0)});
        failed += code_of([&] { own.commit(here_too.partition(0), 0); }) ? 1 : 0;
        ++told;
    };
    {
        brook::producer first{topic, {.on_delivery = on_delivery}};
        brook::producer second{topic, {.on_delivery = on_delivery}};
        brook::producer third{here.topic(2), {.on_delivery = on_delivery}};
        for (std::uint64_t i = 0; i < 20; ++i) {
            static_cast<void>(first.send({.value = i}));
            static_cast<void>(second.send({.value = i}));
            static_cast<void>(third.send({.value = i}));
            CHECK_FALSE(code_of([&] { reading.commit(topic.partition(0), 0); }));
        }
        first.flush();
        second.flush();
        third.flush();
    }
    CHECK(told.load() == 60);
    CHECK(failed.load() == 0);
}

TEST_CASE("an on_delivery that throws for one record is told of the others", "[client][cluster][callback]") {
    cluster_world here;
    const auto topic = here.numbers({.partitions = 1, .replication_factor = 3});
    std::atomic<int> told{0};
    brook::producer sending{topic, {.linger = 1h, .delivery_timeout = 2h, .on_delivery = [&](const record_metadata&, std::error_code) {
                                if (told++ == 0) {
                                    throw std::runtime_error{"a user's own"};
                                }
                            }}};
    for (std::uint64_t i = 0; i < 5; ++i) {
        static_cast<void>(sending.send({.value = i}));
    }
    sending.flush();
    CHECK(told.load() == 5);
    const auto health = here[1].health();
    CHECK(std::any_of(health.errors.begin(), health.errors.end(), [](const failure& why) { return why.text.find("an on_delivery threw: a user's own") != std::string::npos; }));
}

TEST_CASE("an on_error that throws keeps no broker from its work", "[client][cluster][callback]") {
    std::atomic<int> told{0};
    broker_options settings;
    settings.on_error = [&](const failure&) {
        ++told;
        throw std::runtime_error{"a user's own"};
    };
    cluster_world here{3, settings};
    const auto topic = here.numbers({.partitions = 1, .replication_factor = 3});
    test::send_numbers(topic, 0, 10);
    for (const int id : {1, 2, 3}) {
        brook::detail::access::core(here[id])->cluster()->force_unclean(brook::broker_room::partition_id{brook::broker_room::metadata_topic_id, 0});
    }
    test::send_numbers(topic, 10, 20);
    CHECK(cluster_world::read_numbers(here.topic(2), 20) == test::numbers_to(20));
}

}  // namespace client_cluster_callback_test
