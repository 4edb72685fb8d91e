#include <brook/client/topic.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_topic_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::outcome_of;
using brook::test::read_numbers;
using brook::test::temp_directory;

namespace {

struct world {
    temp_directory directory;
    faulty_platform platform;
    std::optional<brook::broker> broker{std::in_place, directory.path(),
                                        brook::broker_options{.maintenance = brook::maintenance::manual, .platform = &platform}};
};

}  // namespace

TEST_CASE("a topic's handles are one topic, and its partitions are numbered from 0", "[client][topic]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 3});
    const auto same = here.broker->topic<no_key, std::uint64_t>("numbers");
    const auto copy = topic;
    const auto other = here.broker->create_topic<no_key, std::uint64_t>("other", {.partitions = 3});
    CHECK(topic.name() == "numbers");
    CHECK(topic.partition_count() == 3);
    const auto all = topic.partitions();
    REQUIRE(all.size() == 3);
    for (std::int32_t number = 0; number < 3; ++number) {
        const auto& one = all[static_cast<std::size_t>(number)];
        CHECK(one.number() == number);
        CHECK(one == same.partition(number));
        CHECK(one == copy.partition(number));
        CHECK_FALSE(one == other.partition(number));
    }
    CHECK_FALSE(all[0] == all[1]);
    for (const std::int32_t number : {-1, 3}) {
        const auto refused = outcome_of([&] { static_cast<void>(topic.partition(number)); });
        CHECK(refused.code == errc::unknown_topic_or_partition);
        CHECK(refused.names("0 to 2"));
    }
}

TEST_CASE("a partition knows where it begins, ends, and how much of it is on the disk", "[client][topic]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 4'096});
    const auto partition = topic.partition(0);
    const auto empty = topic.size_bytes();
    CHECK(partition.log_start_offset() == 0);
    CHECK(partition.log_end_offset() == 0);
    CHECK_FALSE(partition.offset_for_time(brook::timestamp::min()));
    brook::producer producer{topic};
    for (std::uint64_t i = 0; i < 200; ++i) {
        producer.send({.value = i, .timestamp = brook::timestamp{std::chrono::seconds{i}}});
    }
    CHECK(partition.log_start_offset() == 0);
    CHECK(partition.log_end_offset() == 200);
    CHECK(partition.durable_offset() == 0);
    CHECK(topic.size_bytes() > empty + 200 * 48);
    partition.sync();
    CHECK(partition.durable_offset() == 200);
    CHECK(partition.offset_for_time(brook::timestamp{150s}) == 150);
    CHECK(partition.offset_for_time(brook::timestamp{199s}) == 199);
    CHECK_FALSE(partition.offset_for_time(brook::timestamp{200s}));
    producer.send(200);
    partition.roll();
    producer.send(201);
    CHECK(read_numbers(topic).size() == 202);
    CHECK(partition.recovery().damages.empty());
}

TEST_CASE("a sync that fails is final for the partition, and for no other", "[client][topic]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers", {.partitions = 2});
    brook::producer producer{topic};
    producer.send({.value = 1, .partition = 0});
    here.platform.fail_syncs();
    const auto refused = outcome_of([&] { topic.partition(0).sync(); });
    CHECK(refused.code == errc::partition_failed);
    CHECK(refused.names("numbers"));
    here.platform.heal();
    CHECK(code_of([&] { topic.partition(0).sync(); }) == errc::partition_failed);
    CHECK(code_of([&] { topic.partition(0).roll(); }) == errc::partition_failed);
    CHECK(code_of([&] { static_cast<void>(producer.send({.value = 1, .partition = 0}).get()); }) == errc::partition_failed);
    CHECK(topic.partition(0).durable_offset() == 0);
    CHECK(read_numbers(topic) == std::vector<std::uint64_t>{1});  // readers go on
    CHECK(producer.send({.value = 2, .partition = 1}).get().offset == 0);
    CHECK_FALSE(code_of([&] { topic.partition(1).sync(); }));
}

TEST_CASE("handles outlive their broker, and say so", "[client][topic]") {
    world here;
    const auto topic = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    const auto partition = topic.partition(0);
    here.broker.reset();
    CHECK(topic.name() == "numbers");
    CHECK(topic.partition_count() == 1);
    CHECK(partition.number() == 0);
    CHECK(topic.partition(0) == partition);
    CHECK(code_of([&] { static_cast<void>(partition.log_start_offset()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(partition.log_end_offset()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(partition.durable_offset()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(partition.offset_for_time({})); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(partition.recovery()); }) == errc::closed);
    CHECK(code_of([&] { partition.sync(); }) == errc::closed);
    CHECK(code_of([&] { partition.roll(); }) == errc::closed);
    CHECK(code_of([&] { brook::producer{topic}; }) == errc::closed);
    CHECK(code_of([&] { brook::consumer{topic}; }) == errc::closed);
    CHECK(outcome_of([&] { partition.sync(); }).names("numbers"));
}

}  // namespace client_topic_test
