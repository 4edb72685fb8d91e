// Records that are sent twice and are there once: numbers of producers, told apart from repetitions, in one life and after it.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace client_idempotence_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::in_child;
using brook::test::operation;
using brook::test::read_all;
using brook::test::temp_directory;

namespace {

using number_topic = brook::topic<brook::no_key, std::uint64_t>;
using number_producer = brook::producer<brook::no_key, std::uint64_t>;

struct world : brook::test::world {
    number_topic topic(brook::topic_options options = {}) { return broker->create_topic<brook::no_key, std::uint64_t>("numbers", options); }
};

brook::delivery send(number_producer& to, std::int64_t sequence) {
    return to.send({.value = static_cast<std::uint64_t>(sequence), .sequence = sequence});
}

/// Every value of the topic, sorted.
std::vector<std::uint64_t> values_of(const number_topic& topic) {
    std::vector<std::uint64_t> all;
    brook::consumer consumer{topic};
    do {
        const auto found = consumer.poll(0s);
        for (const auto& record : found) {
            all.push_back(record.value());
        }
    } while (!consumer.caught_up());
    std::sort(all.begin(), all.end());
    return all;
}

std::vector<std::uint64_t> up_to(std::uint64_t end) {
    std::vector<std::uint64_t> all;
    for (std::uint64_t i = 0; i < end; ++i) {
        all.push_back(i);
    }
    return all;
}

}  // namespace

TEST_CASE("a record that is sent again is there once, and its delivery says where", "[client][idempotence]") {
    const int lingers = GENERATE(0, 1);
    CAPTURE(lingers);
    world here;
    const auto topic = here.topic();
    number_producer producer{topic, {.linger = lingers != 0 ? 1min : 0ns, .enable_idempotence = true}};
    const brook::offset first = send(producer, 7).get().offset;
    const brook::offset second = send(producer, 9).get().offset;
    CHECK(first == 0);
    CHECK(second == 1);
    CHECK(send(producer, 7).get().offset == first);
    CHECK(send(producer, 9).get().offset == second);
    CHECK(code_of([&] { send(producer, 8).get(); }) == errc::out_of_order_sequence_number);  // passed over, and not there
    CHECK(producer.last_sequence() == 9);
    CHECK(producer.send({.value = 10}).get().offset == 2);  // the next number is its own
    CHECK(producer.last_sequence() == 10);
    CHECK(values_of(topic) == std::vector<std::uint64_t>{7, 9, 10});
}

TEST_CASE("of a repetition that is older than the last sixteen batches nobody knows where it was", "[client][idempotence]") {
    world here;
    const auto topic = here.topic();
    number_producer producer{topic, {.enable_idempotence = true}};
    for (std::int64_t i = 0; i < 17; ++i) {
        REQUIRE(send(producer, i).get().offset == i);
    }
    for (std::int64_t i = 1; i < 17; ++i) {
        CHECK(send(producer, i).get().offset == i);
    }
    std::error_code code;
    const auto gone = send(producer, 0).get(code);
    CHECK_FALSE(code);
    CHECK(gone.offset == -1);
    CHECK(values_of(topic) == up_to(17));
}

TEST_CASE("records that linger are known while they do, and numbers that leave one out end their batch", "[client][idempotence]") {
    world here;
    const auto topic = here.topic();
    number_producer producer{topic, {.linger = 1min, .enable_idempotence = true}};
    auto one = send(producer, 1);
    auto two = send(producer, 2);
    auto again = send(producer, 1);
    auto four = send(producer, 4);
    auto late = send(producer, 3);
    CHECK(again.get().offset == 0);
    CHECK(one.get().offset == 0);
    CHECK(two.get().offset == 1);
    CHECK(four.get().offset == 2);
    CHECK(code_of([&] { late.get(); }) == errc::out_of_order_sequence_number);
    CHECK(values_of(topic) == std::vector<std::uint64_t>{1, 2, 4});
}

TEST_CASE("a batch counts on, and so does what comes behind it", "[client][idempotence]") {
    world here;
    const auto topic = here.topic();
    number_producer producer{topic, {.enable_idempotence = true}};
    CHECK(producer.send_batch(0, std::vector<std::uint64_t>{0, 1, 2}).get().offset == 0);
    CHECK(producer.last_sequence() == 2);
    CHECK(send(producer, 1).get().offset == 1);  // a part of it is known, too
    CHECK(send(producer, 3).get().offset == 3);
    CHECK(values_of(topic) == up_to(4));
}

TEST_CASE("numbers that leave one out are refused where they were said to be dense", "[client][idempotence]") {
    const int lingers = GENERATE(0, 1);
    CAPTURE(lingers);
    world here;
    const auto topic = here.topic();
    number_producer producer{topic, {.linger = lingers != 0 ? 1min : 0ns, .enable_idempotence = true, .dense_sequences = true}};
    static_cast<void>(send(producer, 5).get());  // it may begin anywhere
    CHECK(code_of([&] { send(producer, 7).get(); }) == errc::out_of_order_sequence_number);
    static_cast<void>(send(producer, 6).get());
    static_cast<void>(send(producer, 7).get());
    producer.close();
    CHECK(values_of(topic) == std::vector<std::uint64_t>{5, 6, 7});
}

TEST_CASE("a producer with a name goes on where it was, after a close or a kill", "[client][idempotence]") {
    const int is_killed = GENERATE(0, 1);
    const int partitions = GENERATE(1, 3);
    CAPTURE(is_killed, partitions);
    world here;
    static_cast<void>(here.topic({.partitions = partitions, .segment_bytes = 4'096}));
    here.broker.reset();
    std::int64_t resumed = 0;
    for (int life = 0; life < 6; ++life) {
        const int sent = in_child([&] {
            brook::broker broker{here.directory.path(), {.maintenance = brook::maintenance::manual}};
            number_producer producer{broker.topic<brook::no_key, std::uint64_t>("numbers"), {.name = "source"}};
            const std::int64_t last = producer.last_sequence().value_or(-1);
            const std::int64_t from = last < 5 ? 0 : last - 5;  // some of them again
            for (std::int64_t i = from; i < last + 60; ++i) {
                send(producer, i).get();
                if (i % 10 == 0) {
                    broker.maintain();
                }
            }
            if (is_killed != 0) {
                ::_exit(0);
            }
            return 0;
        });
        REQUIRE(sent == 0);
        here.open();
        const auto topic = here.topic();
        number_producer asked{topic, {.name = "source"}};
        REQUIRE(asked.last_sequence().has_value());
        CHECK(*asked.last_sequence() >= resumed + 50);
        resumed = *asked.last_sequence();
        CHECK(values_of(topic).size() == static_cast<std::size_t>(values_of(topic).back() + 1));
        CHECK(values_of(topic) == up_to(values_of(topic).back() + 1));
        asked.close();
        here.broker.reset();
    }
}

TEST_CASE("what is remembered of a producer is found however many segments have come since", "[client][idempotence]") {
    world here;
    auto topic = here.topic({.segment_bytes = 4'096});
    {
        number_producer named{topic, {.name = "once"}};
        static_cast<void>(send(named, 41).get());
    }
    number_producer others{topic};
    for (int i = 0; i < 1'000; ++i) {
        others.send({.value = 1}).get();
        if (i % 20 == 0) {
            here.broker->maintain();
        }
    }
    for (int life = 0; life < 3; ++life) {
        here.open();
        topic = here.topic();
        number_producer named{topic, {.name = "once"}};
        CHECK(named.last_sequence() == 41);
        CHECK(send(named, 41).get().offset == 0);
    }
    CHECK(values_of(topic).size() == 1'001);
}

TEST_CASE("the checkpoint may be lost, and what was remembered is not", "[client][idempotence]") {
    world here;
    static_cast<void>(send(*std::make_unique<number_producer>(here.topic(), brook::producer_options{.name = "once"}), 41).get());
    here.broker.reset();
    REQUIRE_FALSE(here.platform.remove(here.directory.path() + "/topics/numbers/0/checkpoint"));
    here.open();
    number_producer named{here.topic(), {.name = "once"}};
    CHECK(named.last_sequence() == 41);
}

TEST_CASE("who comes with a name takes the place of who had it", "[client][idempotence]") {
    const int lingers = GENERATE(0, 1);
    CAPTURE(lingers);
    world here;
    const auto topic = here.topic();
    number_producer older{topic, {.linger = lingers != 0 ? 1min : 0ns, .name = "source"}};
    static_cast<void>(send(older, 1).get());
    number_producer newer{topic, {.name = "source"}};
    number_producer stranger{topic, {.name = "another"}};
    CHECK(newer.last_sequence() == 1);
    CHECK_FALSE(stranger.last_sequence());
    CHECK(code_of([&] { send(older, 2).get(); }) == errc::producer_fenced);
    CHECK(send(newer, 2).get().offset == 1);
    CHECK(send(stranger, 2).get().offset == 2);
    CHECK(code_of([&] { send(older, 3).get(); }) == errc::producer_fenced);
    CHECK(values_of(topic) == std::vector<std::uint64_t>{1, 2, 2});
}

TEST_CASE("records without a key come to the partition that their number says", "[client][idempotence]") {
    world here;
    const auto topic = here.topic({.partitions = 4});
    number_producer producer{topic, {.name = "source"}};
    CHECK_FALSE(producer.last_sequence());
    for (std::int64_t i = 0; i < 3; ++i) {
        CHECK(send(producer, i).get().partition == i);
    }
    CHECK_FALSE(producer.last_sequence());  // nothing in the last partition: whether it was lost nobody knows
    CHECK(producer.last_sequence(topic.partition(2)) == 2);
    CHECK_FALSE(producer.last_sequence(topic.partition(3)));
    for (std::int64_t i = 3; i < 10; ++i) {
        CHECK(send(producer, i).get().partition == i % 4);
    }
    CHECK(producer.last_sequence() == 6);
    for (std::int64_t i = 6; i < 12; ++i) {
        static_cast<void>(send(producer, i).get());
    }
    CHECK(values_of(topic) == up_to(12));
}

TEST_CASE("what could not be appended has taken no number", "[client][idempotence]") {
    world here;
    const auto topic = here.topic({.segment_bytes = 4'096});
    number_producer producer{topic, {.name = "source", .dense_sequences = true}};
    std::int64_t next = 0;
    here.platform.inject({.on = operation::allocate, .number = ENOSPC, .lasting = true});
    std::error_code code;
    while (!code) {
        send(producer, next).get(code);
        next += code ? 0 : 1;
        REQUIRE(next < 1'000);
    }
    CHECK(code == std::errc::no_space_on_device);
    here.platform.heal();
    send(producer, next).get();
    CHECK(producer.last_sequence() == next);
    CHECK(values_of(topic) == up_to(static_cast<std::uint64_t>(next) + 1));
}

TEST_CASE("numbers that nobody looks at, or that cannot be, are refused", "[client][idempotence]") {
    world here;
    const auto topic = here.topic();
    number_producer plain{topic};
    CHECK(code_of([&] { send(plain, 1).get(); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(plain.last_sequence()); }) == errc::illegal_state);
    CHECK(code_of([&] { number_producer{topic, {.dense_sequences = true}}; }) == errc::invalid_config);
    const auto several = here.broker->create_topic<brook::no_key, std::uint64_t>("several", {.partitions = 2});
    CHECK(code_of([&] { number_producer{several, {.name = "x", .dense_sequences = true}}; }) == errc::invalid_config);
    number_producer elsewhere{several, {.name = "x"}};
    CHECK(code_of([&] { static_cast<void>(elsewhere.last_sequence(topic.partition(0))); }) == errc::unknown_topic_or_partition);
    number_producer numbered{topic, {.enable_idempotence = true}};
    CHECK(code_of([&] { send(numbered, -1).get(); }) == errc::invalid_config);
    CHECK(code_of([&] { send(numbered, std::int64_t{1} << 48).get(); }) == errc::invalid_config);
    CHECK(send(numbered, (std::int64_t{1} << 48) - 1).get().offset == 0);
    CHECK(code_of([&] { numbered.send({.value = 1}).get(); }) == errc::out_of_order_sequence_number);  // there is no number behind it
    CHECK(numbered.last_sequence() == (std::int64_t{1} << 48) - 1);
    CHECK(values_of(topic).size() == 1);
}

TEST_CASE("records that linger and batches beside them each have a number of their own", "[client][idempotence]") {
    constexpr std::uint64_t rounds = 20'000;
    world here;
    const auto topic = here.topic({.segment_bytes = 1 << 20});
    number_producer producer{topic, {.batch_size = 256, .linger = 1min, .enable_idempotence = true}};
    std::thread other{[&] {
        for (std::uint64_t i = 0; i < rounds; ++i) {
            producer.send_batch(0, std::vector<std::uint64_t>{1, 2});
        }
    }};
    for (std::uint64_t i = 0; i < rounds; ++i) {
        producer.send({.value = 3});
    }
    other.join();
    producer.flush();
    CHECK(values_of(topic).size() == 3 * rounds);
}

TEST_CASE("a repetition is acknowledged when the first one is on the disk", "[client][idempotence]") {
    world here;
    const auto topic = here.topic({.flush_messages = 1});
    {
        number_producer hasty{topic, {.acks = brook::acks::none, .name = "source"}};
        for (std::int64_t i = 0; i < 20; ++i) {
            static_cast<void>(send(hasty, i));
        }
        hasty.flush();
    }
    REQUIRE(topic.partition(0).durable_offset() == 0);
    int told = 0;
    number_producer careful{topic, {.name = "source", .on_delivery = [&](const brook::record_metadata& at, std::error_code code) {
                                        ++told;
                                        CHECK_FALSE(code);
                                        CHECK(at.offset == -1);
                                        CHECK(topic.partition(0).durable_offset() >= 1);
                                    }}};
    static_cast<void>(send(careful, 0));
    CHECK(told == 0);
    careful.flush();
    CHECK(told == 1);
}

TEST_CASE("whatever is sent again, in whatever order of lives, is there once", "[client][idempotence]") {
    constexpr int schedules = 60;
    for (int seed = 0; seed < schedules; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{static_cast<unsigned>(seed)};
        const auto below = [&random](int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); };
        world here;
        const int partitions = 1 + below(3);
        auto topic = here.topic({.partitions = partitions, .segment_bytes = below(2) == 0 ? 4'096 : 65'536});
        std::map<std::string, std::int64_t> sent;  // by name: the largest number
        for (int life = 0; life < 4; ++life) {
            std::map<std::string, number_producer> producers;
            for (int step = 0; step < 60; ++step) {
                const std::string name{static_cast<char>('a' + below(3))};
                if (producers.find(name) == producers.end() || below(20) == 0) {
                    producers.erase(name);
                    producers.emplace(name, number_producer{topic, {.linger = below(2) == 0 ? 1min : 0ns, .name = name}});
                }
                number_producer& producer = producers.at(name);
                auto& last = sent.try_emplace(name, -1).first->second;
                const std::int64_t from = std::max<std::int64_t>(0, last - below(12));
                const std::int64_t to = last + 1 + below(4);
                for (std::int64_t i = from; i <= to; ++i) {
                    static_cast<void>(send(producer, i));
                }
                last = std::max(last, to);
                if (below(8) == 0) {
                    here.broker->maintain();
                }
            }
            for (auto& [name, producer] : producers) {
                producer.close();
            }
            producers.clear();
            here.open();
            topic = here.topic();
        }
        std::size_t all = 0;
        for (const auto& [name, last] : sent) {
            all += static_cast<std::size_t>(last + 1);
            number_producer producer{topic, {.name = name}};
            CHECK(producer.last_sequence().value_or(-1) >= last - partitions);
        }
        CHECK(values_of(topic).size() == all);
    }
}

}  // namespace client_idempotence_test
