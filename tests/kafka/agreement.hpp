/// \file kafka/agreement.hpp
/// What programs may rely on, whichever engine they run on: each a function over a world, called with every world there is.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/kafka.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

#include "broker/outcome.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"

namespace brook::test::agreement {

using namespace std::chrono_literals;

struct reading {
    std::int64_t id;
    std::int64_t value;
};

template <class World>
void records_come_back_as_they_were_sent(World& world) {
    auto topic = world.template topic<std::string, std::string>("round-trip", 3);
    {
        brook::producer producer{topic};
        const brook::timestamp time{std::chrono::milliseconds{1'700'000'000'123}};
        CHECK(producer.send({.key = "a", .value = "one", .headers = {{"trace", "t1"}, {"empty", ""}, {"null"}, {"trace", "t2"}}, .timestamp = time, .partition = 1}).get().partition == 1);
        producer.send({.key = "b", .value = "", .headers = {}, .timestamp = time, .partition = 1});
        producer.send({.key = "", .value = "key without bytes", .headers = {}, .timestamp = time, .partition = 1});
        producer.send({.key = "gone", .value = brook::tombstone, .headers = {{"why", "test"}}, .timestamp = time, .partition = 1});
        const std::string large(100'000, 'x');
        producer.send({.key = large, .value = large, .headers = {}, .timestamp = time, .partition = 2});
        producer.flush();
    }
    brook::consumer consumer{topic};
    const auto all = read_to_end(consumer);
    REQUIRE(all.size() == 5);
    const std::int64_t ms = 1'700'000'000'123;
    CHECK(all[0] == seen_record{1, 0, "a", "one", true, false, ms, {{"trace", "t1"}, {"empty", ""}, {"null", "(null)"}, {"trace", "t2"}}});
    CHECK(all[1] == seen_record{1, 1, "b", "", true, false, ms, {}});
    CHECK(all[2] == seen_record{1, 2, "", "key without bytes", true, false, ms, {}});
    CHECK(all[3] == seen_record{1, 3, "gone", "", true, true, ms, {{"why", "test"}}});
    CHECK(all[4].value.size() == 100'000);
    consumer.seek_to_beginning();
    bool is_found = false;
    const auto look_at = [&](const auto& record) {
        if (record.partition() == 1 && record.offset() == 0) {
            is_found = true;
            CHECK(record.key() == "a");
            CHECK(record.value() == "one");
            CHECK(record.header("trace") == "t2");
            CHECK_FALSE(record.header("null"));
            CHECK_FALSE(record.header("no such"));
            CHECK(record.topic() == "round-trip");
            CHECK(record.timestamp_type() == brook::timestamp_type::create_time);
        }
        if (record.is_tombstone()) {
            CHECK(code_of([&] { static_cast<void>(record.value()); }) == errc::no_value);
        }
    };
    take_until(consumer, look_at, [&] { return is_found; });
}

template <class World>
void plain_types_and_no_keys_come_back(World& world) {
    auto topic = world.template topic<brook::no_key, reading>("plain", 2);
    brook::producer producer{topic, {.linger = 2ms}};
    for (std::int64_t i = 0; i < 100; ++i) {
        producer.send(brook::record<brook::no_key, reading>{.value = {i, i * i}, .partition = static_cast<std::int32_t>(i % 2)});
    }
    producer.flush();
    brook::consumer consumer{topic};
    std::set<std::int64_t> ids;
    take_to_end(consumer, [&](const auto& record) {
        const reading& one = record.value();
        CHECK(one.value == one.id * one.id);
        CHECK(record.partition() == one.id % 2);
        CHECK(record.offset() == one.id / 2);
        CHECK_FALSE(record.has_key());
        ids.insert(one.id);
    });
    CHECK(ids.size() == 100);
}

template <class World>
void a_key_has_its_partition(World& world) {
    auto topic = world.template topic<std::string, std::int64_t>("keys", 7);
    brook::producer producer{topic};
    for (int i = 0; i < 200; ++i) {
        const std::string key = "key-" + std::to_string(i * 7'919);
        const auto where = producer.send(key, i).get();
        CHECK(where.partition == brook::partition_for_key(brook::as_bytes(key), 7));
    }
}

template <class World>
void deliveries_say_where(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("deliveries");
    std::atomic<int> told{0};
    std::atomic<int> failed{0};
    brook::producer producer{topic, {.on_delivery = [&](const brook::record_metadata& at, std::error_code why) {
                                         ++told;
                                         failed += why ? 1 : 0;
                                         static_cast<void>(at);
                                     }}};
    const brook::timestamp time{std::chrono::milliseconds{1'600'000'000'000}};
    for (std::int64_t i = 0; i < 50; ++i) {
        const auto at = producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .timestamp = time}).get();
        CHECK(at.offset == i);
        CHECK(at.partition == 0);
        CHECK((at.timestamp == time || World::stamps_deliveries));
    }
    std::error_code why;
    const auto nowhere = producer.send(brook::record<brook::no_key, std::int64_t>{.value = 1, .partition = 9}).get(why);
    CHECK(why == errc::unknown_topic_or_partition);
    CHECK(nowhere.offset == -1);
    producer.send(brook::record<brook::no_key, std::int64_t>{.value = 1, .partition = 9});  // nobody asks
    CHECK(code_of([&] { producer.flush(); }) == errc::unknown_topic_or_partition);
    producer.flush();
    CHECK(told == 52);
    CHECK(failed == 2);
    producer.close();
    producer.send(std::int64_t{1}).get(why);
    CHECK(why == errc::closed);
}

template <class World>
void a_group_goes_on_where_it_has_committed(World& world) {
    auto topic = world.template topic<std::string, std::int64_t>("resumed", 3);
    brook::producer producer{topic};
    for (int i = 0; i < 60; ++i) {
        producer.send("k" + std::to_string(i), i);
    }
    producer.flush();
    {
        brook::consumer consumer{topic, {.group_id = "resumes", .max_poll_interval = join_interval, .session_timeout = 6s, .max_poll_records = 7}};
        CHECK(read_to_end(consumer).size() == 60);
        consumer.commit();
        for (const auto& one : topic.partitions()) {
            CHECK(consumer.committed(one) == one.log_end_offset());
            CHECK(consumer.position(one) == one.log_end_offset());
        }
        consumer.commit(topic.partition(1), 2, "two are done");
        CHECK(consumer.committed(topic.partition(1)) == 2);
        CHECK(consumer.committed_metadata(topic.partition(1)) == "two are done");
        CHECK(code_of([&] { consumer.commit(topic.partition(0), 1'000'000); }) == errc::offset_out_of_range);
        CHECK(code_of([&] { consumer.commit(topic.partition(0), 0, std::string(5'000, 'm')); }) == errc::offset_metadata_too_large);
    }
    producer.send("one more", 60);
    producer.flush();
    brook::consumer consumer{topic, {.group_id = "resumes", .max_poll_interval = join_interval}};
    const auto rest = read_to_end(consumer);
    const auto left = static_cast<std::size_t>(topic.partition(1).log_end_offset() - 2);
    const bool is_in_one = brook::partition_for_key(brook::as_bytes(std::string_view{"one more"}), 3) == 1;
    CHECK(rest.size() == left + (is_in_one ? 0 : 1));
    consumer.seek_to_committed();
    CHECK(read_to_end(consumer).size() == rest.size());
}

template <class World>
void a_consumer_goes_where_it_is_told(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("sought", 2);
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 40; ++i) {
        producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .partition = static_cast<std::int32_t>(i % 2)});
    }
    producer.flush();
    brook::consumer consumer{topic};
    CHECK(code_of([&] { static_cast<void>(consumer.position(topic.partition(0))); }) == errc::no_offset);
    consumer.seek(topic.partition(0), 15);
    CHECK(consumer.position(topic.partition(0)) == 15);
    CHECK(read_to_end(consumer).size() == 5 + 20);
    CHECK(consumer.position(topic.partition(0)) == 20);
    consumer.seek(topic.partition(1), 18);
    CHECK(consumer.position(topic.partition(1)) == 18);
    CHECK_FALSE(consumer.caught_up());
    CHECK(read_to_end(consumer).size() == 2);
    consumer.seek_to_beginning();
    CHECK(read_to_end(consumer).size() == 40);
    consumer.seek_to_end();
    CHECK(read_to_end(consumer).empty());
    producer.send(brook::record<brook::no_key, std::int64_t>{.value = 40, .partition = 0});
    producer.flush();
    CHECK_FALSE(consumer.caught_up());  // what has come since is not overlooked
    CHECK(read_to_end(consumer).size() == 1);
    consumer.pause(topic.partition(0));
    consumer.seek_to_beginning();
    CHECK(read_to_end(consumer).size() == 20);
    consumer.resume(topic.partition(0));
    CHECK(read_to_end(consumer).size() == 21);
    consumer.assign({topic.partition(1)});
    CHECK(consumer.assignment().size() == 1);
    CHECK(read_to_end(consumer).size() == 20);
    CHECK(code_of([&] { consumer.seek(topic.partition(0), 1); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { static_cast<void>(topic.partition(2)); }) == errc::unknown_topic_or_partition);
}

template <class World>
void what_is_said_before_the_first_poll_counts(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("at-first", 2);
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 20; ++i) {
        producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .partition = static_cast<std::int32_t>(i % 2)});
    }
    producer.flush();
    const auto look_at = [&](auto& consumer) {
        CHECK(consumer.assignment().size() == 2);
        consumer.pause(topic.partition(0));
        consumer.seek(topic.partition(1), 8);
        CHECK(consumer.position(topic.partition(1)) == 8);
        const auto all = read_to_end(consumer);
        REQUIRE(all.size() == 2);
        CHECK(all[0].partition == 1);
        CHECK(all[0].offset == 8);
        consumer.resume(topic.partition(0));
        CHECK(read_to_end(consumer).size() == 10);
    };
    brook::consumer alone{topic};
    look_at(alone);
    brook::consumer assigned{topic};
    assigned.assign({topic.partition(0), topic.partition(1)});
    look_at(assigned);
    auto others = world.template topic<brook::no_key, std::string>("of-another-type");
    CHECK(code_of([&] { assigned.assign({others.partition(0)}); }) == errc::schema_mismatch);
}

template <class World>
void a_consumer_begins_as_it_is_told(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("begins");
    brook::producer producer{topic};
    producer.send(std::int64_t{1});
    producer.flush();
    brook::consumer latest{topic, {.auto_offset_reset = brook::offset_reset::latest}};
    CHECK(read_to_end(latest).empty());
    producer.send(std::int64_t{2});
    producer.flush();
    const auto after = read_to_end(latest);
    REQUIRE(after.size() == 1);
    CHECK(after[0].offset == 1);
    brook::consumer none{topic, {.auto_offset_reset = brook::offset_reset::none}};
    CHECK(code_of([&] {
              for (int i = 0; i < 50; ++i) {
                  static_cast<void>(none.poll(100ms));
              }
          }) == errc::offset_out_of_range);
    none.seek(topic.partition(0), 1);
    CHECK(read_to_end(none).size() == 1);
}

template <class World>
void misuse_is_told(World& world) {
    auto topic = world.template topic<std::string, std::int64_t>("misused");
    const auto refused = [&](brook::consumer_options options) { return code_of([&] { brook::consumer consumer{topic, options}; }); };
    CHECK(refused({.max_poll_records = 0}) == errc::invalid_config);
    CHECK(refused({.group_instance_id = "one"}) == errc::invalid_config);
    CHECK(refused({.enable_auto_commit = true}) == errc::invalid_config);
    CHECK(refused({.group_id = "g", .max_poll_interval = 0s}) == errc::invalid_config);
    CHECK(code_of([&] { brook::producer producer{topic, {.batch_size = 0}}; }) == errc::invalid_config);
    CHECK(code_of([&] { brook::producer producer{topic, {.linger = -1ms}}; }) == errc::invalid_config);
    CHECK(code_of([&] { brook::producer producer{topic, {.linger = 2s, .delivery_timeout = 1s}}; }) == errc::invalid_config);
    CHECK(code_of([&] { brook::producer producer{topic, {.compression_type = brook::compression::user6}}; }) == errc::unsupported_compression_type);
    brook::consumer consumer{topic};
    CHECK(code_of([&] { consumer.commit(); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(consumer.committed(topic.partition(0))); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(world.broker().template topic<std::string, std::string>("misused")); }) == errc::schema_mismatch);
    CHECK(code_of([&] { static_cast<void>(world.broker().template create_topic<std::string, std::string>("mis used")); }) == errc::invalid_topic);
    CHECK(code_of([&] { static_cast<void>(world.broker().template create_topic<brook::no_key, std::string>("keyless", {.cleanup_policy = brook::cleanup_policy::compact})); }) ==
          errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(world.broker().template create_topic<std::string, std::int64_t>("misused", {.partitions = 9})); }) == errc::topic_already_exists);
    brook::producer producer{topic};
    world.broker().close();
    std::error_code why;
    producer.send("late", 1).get(why);
    CHECK(why == errc::closed);
    CHECK(code_of([&] { static_cast<void>(consumer.poll(1ms)); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(world.broker().template topic<std::string, std::int64_t>("misused")); }) == errc::closed);
    CHECK(code_of([&] { brook::consumer another{topic}; }) == errc::closed);
}

template <class World>
void a_wait_ends_at_a_wakeup(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("woken");
    brook::consumer consumer{topic};
    CHECK(read_to_end(consumer).empty());
    consumer.wakeup();
    CHECK(consumer.poll().empty());  // remembered
    std::thread other{[&] { consumer.wakeup(); }};
    CHECK(consumer.poll().empty());
    other.join();
}

template <class World>
void records_outlive_their_consumer(World& world) {
    auto topic = world.template topic<std::string, std::string>("outlived");
    brook::producer producer{topic};
    producer.send("k", "v");
    producer.flush();
    brook::records<std::string, std::string, typename World::broker_type> kept;
    {
        brook::consumer consumer{topic};
        const patience left;
        while (kept.empty()) {
            kept = consumer.poll(100ms);
            left.require_left([] { return std::string{"the one record that was sent"}; });
        }
    }
    REQUIRE(kept.size() == 1);
    CHECK(kept.front().value() == "v");
}

template <class World>
void compressed_batches_come_back(World& world) {
    auto topic = world.template topic<std::string, std::string>("compressed");
    for (const auto type : {brook::compression::lz4, brook::compression::zstd}) {
        brook::producer producer{topic, {.batch_size = 1 << 16, .linger = 10ms, .compression_type = type}};
        for (int i = 0; i < 200; ++i) {
            producer.send("k" + std::to_string(i), std::string(200, 'a'));
        }
        producer.flush();
    }
    brook::consumer consumer{topic};
    const auto all = read_to_end(consumer);
    CHECK(all.size() == 400);
    for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(all[i].key == "k" + std::to_string(i % 200));
        CHECK(all[i].value == std::string(200, 'a'));
    }
}

template <class World>
void polls_commit_what_the_last_one_gave(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("auto");
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 10; ++i) {
        producer.send(i);
    }
    producer.flush();
    brook::consumer consumer{topic, {.group_id = "auto", .max_poll_interval = join_interval, .max_poll_records = 4, .enable_auto_commit = true}};
    CHECK(read_to_end(consumer).size() == 10);
    for (int i = 0; i < 200 && consumer.committed(topic.partition(0)) != 10; ++i) {
        CHECK(consumer.poll(20ms).empty());
    }
    CHECK(consumer.committed(topic.partition(0)) == 10);
}

template <class World>
void a_listener_is_told_and_may_seek(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("listened", 3);
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 30; ++i) {
        producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .partition = static_cast<std::int32_t>(i % 3)});
    }
    producer.flush();
    std::set<std::int32_t> told;
    brook::consumer<brook::no_key, std::int64_t, typename World::broker_type>* listening = nullptr;
    brook::consumer consumer{topic, {.group_id = "listened", .max_poll_interval = join_interval, .rebalance_listener = {.on_partitions_assigned = [&](const auto& came) {
                                         for (const auto& one : came) {
                                             told.insert(one.number());
                                             listening->seek(one, 6);
                                         }
                                     }}}};
    listening = &consumer;
    const auto all = read_to_end(consumer);
    CHECK(told == std::set<std::int32_t>{0, 1, 2});
    CHECK(all.size() == 12);
    for (const auto& one : all) {
        CHECK(one.offset >= 6);
    }
    CHECK(consumer.assignment().size() == 3);
}

template <class World>
void nothing_comes_before_the_listener_was_told(World& world) {
    auto topic = world.template topic<brook::no_key, std::int64_t>("told-first", 3);
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 30; ++i) {
        producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .partition = static_cast<std::int32_t>(i % 3)});
    }
    producer.flush();
    brook::consumer<brook::no_key, std::int64_t, typename World::broker_type>* listening = nullptr;
    brook::consumer consumer{topic, {.group_id = "told-first", .max_poll_interval = join_interval, .rebalance_listener = {.on_partitions_assigned = [&](const auto& came) {
                                         for (const auto& one : came) {
                                             listening->seek(one, 6);
                                         }
                                     }}}};
    listening = &consumer;
    std::size_t count = 0;
    for (const patience left; count < 12;) {
        auto records = consumer.poll(10s);  // records come in the very poll in which the partitions do
        for (const auto& record : records) {
            CHECK(record.offset() >= 6);
            ++count;
        }
        left.require_left([&] { return std::to_string(count) + " of 12 records have come"; });
    }
    CHECK(count == 12);
}

template <class World>
void what_a_listener_throws_is_thrown_by_poll_and_no_record_is_lost(World& world) {
    struct of_the_user {};  // no std::exception
    auto topic = world.template topic<brook::no_key, std::int64_t>("throwing", 2);
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 20; ++i) {
        producer.send(brook::record<brook::no_key, std::int64_t>{.value = i, .partition = static_cast<std::int32_t>(i % 2)});
    }
    producer.flush();
    int times = 0;
    brook::consumer consumer{topic, {.group_id = "throwing", .max_poll_interval = join_interval, .rebalance_listener = {.on_partitions_assigned = [&](const auto&) {
                                         ++times;
                                         throw of_the_user{};
                                     }}}};
    int thrown = 0;
    std::set<std::int64_t> found;
    for (const patience left; found.size() < 20 || thrown == 0;) {
        try {
            auto records = consumer.poll(10s);
            for (const auto& record : records) {
                CHECK(found.insert(record.value()).second);
            }
        } catch (const of_the_user&) {
            ++thrown;
        }
        left.require_left([&] { return std::to_string(found.size()) + " of 20 records have come"; });
    }
    CHECK(thrown == times);
}

/// Not on the mock cluster, which has no transactions that count.
template <class World>
void transactions_count_whole_or_not_at_all(World& world) {
    auto from = world.template topic<std::string, std::int64_t>("tx-from");
    auto to = world.template topic<std::string, std::int64_t>("tx-to", 2);
    brook::producer producer{from};
    for (std::int64_t i = 0; i < 20; ++i) {
        producer.send("k" + std::to_string(i), i);
    }
    producer.flush();
    brook::consumer reading{from, {.group_id = "tx-group", .max_poll_records = 10}};
    brook::consumer committed{to};
    std::int64_t given = 0;
    patience left;
    const auto copy_some = [&](auto& tx) {
        auto records = reading.poll(10s);
        for (const auto& record : records) {
            tx.send(to, record.key(), record.value() * 2);
            ++given;
            left.renew();
        }
        left.require_left([&] { return std::to_string(given) + " of 20 records have been copied"; });
        tx.commit_offsets(reading);
    };
    CHECK(code_of([&] { static_cast<void>(world.broker().begin_transaction({})); }) == errc::invalid_config);
    while (given == 0) {
        auto tx = world.broker().begin_transaction({.transactional_id = "tx"});
        copy_some(tx);
        tx.abort();
        CHECK(code_of([&] { tx.commit(); }) == errc::illegal_state);
    }
    CHECK_FALSE(reading.committed(from.partition(0)));
    CHECK(read_to_end(committed).empty());
    reading.seek_to_committed();
    given = 0;
    while (given < 20) {
        auto tx = world.broker().begin_transaction({.transactional_id = "tx"});
        copy_some(tx);
        tx.commit();
    }
    CHECK(reading.committed(from.partition(0)) == 20);
    CHECK(read_to_end(committed).size() == 20);
    {
        auto dropped = world.broker().begin_transaction({.transactional_id = "tx"});
        dropped.send(to, "dropped", std::int64_t{0});
    }
    CHECK(read_to_end(committed).empty());
    auto older = world.broker().begin_transaction({.transactional_id = "tx"});
    older.send(to, "older", std::int64_t{1});
    auto newer = world.broker().begin_transaction({.transactional_id = "tx"});
    CHECK(code_of([&] { older.send(to, "older", std::int64_t{1}); older.commit(); }) == errc::producer_fenced);
    newer.send(to, "newer", std::int64_t{2});
    newer.commit();
    const auto last = read_to_end(committed);
    REQUIRE(last.size() == 1);
    CHECK(last[0].key == "newer");
}

/// All of that holds on an engine whose name the tests have.
#define BROOK_AGREEMENT(RULE, WORLDS, TAGS)                                                        \
    TEMPLATE_LIST_TEST_CASE("both engines agree: " #RULE, "[kafka][both_engines_agree]" TAGS, WORLDS) { \
        TestType world;                                                                            \
        brook::test::agreement::RULE(world);                                                       \
    }

#define BROOK_AGREEMENTS(WORLDS, TAGS)                                     \
    BROOK_AGREEMENT(records_come_back_as_they_were_sent, WORLDS, TAGS)     \
    BROOK_AGREEMENT(plain_types_and_no_keys_come_back, WORLDS, TAGS)       \
    BROOK_AGREEMENT(a_key_has_its_partition, WORLDS, TAGS)                 \
    BROOK_AGREEMENT(deliveries_say_where, WORLDS, TAGS)                    \
    BROOK_AGREEMENT(a_group_goes_on_where_it_has_committed, WORLDS, TAGS)  \
    BROOK_AGREEMENT(a_consumer_goes_where_it_is_told, WORLDS, TAGS)        \
    BROOK_AGREEMENT(what_is_said_before_the_first_poll_counts, WORLDS, TAGS) \
    BROOK_AGREEMENT(a_consumer_begins_as_it_is_told, WORLDS, TAGS)         \
    BROOK_AGREEMENT(misuse_is_told, WORLDS, TAGS)                          \
    BROOK_AGREEMENT(a_wait_ends_at_a_wakeup, WORLDS, TAGS)                 \
    BROOK_AGREEMENT(records_outlive_their_consumer, WORLDS, TAGS)          \
    BROOK_AGREEMENT(compressed_batches_come_back, WORLDS, TAGS)            \
    BROOK_AGREEMENT(polls_commit_what_the_last_one_gave, WORLDS, TAGS)     \
    BROOK_AGREEMENT(a_listener_is_told_and_may_seek, WORLDS, TAGS)         \
    BROOK_AGREEMENT(nothing_comes_before_the_listener_was_told, WORLDS, TAGS) \
    BROOK_AGREEMENT(what_a_listener_throws_is_thrown_by_poll_and_no_record_is_lost, WORLDS, TAGS)

}  // namespace brook::test::agreement
