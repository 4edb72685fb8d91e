// Compaction as users see it: options, transactions, compressed batches, readers beside it, what the broker itself keeps.
#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/verify.hpp>
#include <brook/zstd.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "client/reading.hpp"
#include "client/world.hpp"
#include "support/catch.hpp"
#include "support/powerless_platform.hpp"
#include "support/rebooting_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/text_file.hpp"

namespace client_compaction_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::code_of;
using brook::test::consumed_record;
using brook::test::outcome_of;
using brook::test::read_all;
using brook::test::seeded;
using brook::test::world;

namespace {

using state_topic = brook::topic<std::string, std::string>;
using state = std::map<std::string, std::string>;

/// What who reads the topic from its start comes to know.
state state_of(const std::vector<consumed_record>& records) {
    state known;
    for (const auto& record : records) {
        if (record.value) {
            known[*record.key] = *record.value;
        } else {
            known.erase(*record.key);
        }
    }
    return known;
}

std::vector<consumed_record> read_committed(const state_topic& topic) {
    brook::consumer consumer{topic, {.isolation_level = isolation_level::read_committed}};
    std::vector<consumed_record> all;
    do {
        brook::test::copy_records(consumer.poll(0s), all);
    } while (!consumer.caught_up());
    return all;
}

std::string errors_of(const brook::broker& broker) {
    std::string text;
    for (const auto& why : broker.health().errors) {
        text += why.text + '\n';
    }
    return text;
}

std::uint64_t damages(const std::string& directory) { return brook::verify(directory).findings.count(severity::damage); }

}  // namespace

TEST_CASE("a compacted topic keeps of each key the last record, and its tombstones for a while", "[client][compaction]") {
    world here;
    here.platform.set_now(timestamp{std::chrono::hours{24 * 365 * 50}});
    here.platform.set_monotonic(10h);
    here.open();
    auto users = here.broker->create_topic<std::string, std::string>(
        "users", {.partitions = 2, .segment_bytes = 16 << 10, .cleanup_policy = cleanup_policy::compact, .delete_retention = 1h});
    brook::producer producer{users};
    state wanted;
    for (int i = 0; i < 4'000; ++i) {
        const std::string key = "user-" + std::to_string(i % 50);
        wanted[key] = std::to_string(i);
        producer.send(key, wanted[key]);
    }
    producer.send("user-7", tombstone);
    wanted.erase("user-7");
    for (const auto& partition : users.partitions()) {
        partition.roll();
    }
    here.broker->maintain();
    CHECK(errors_of(*here.broker) == "");
    auto left = read_all(users);
    CHECK(left.size() == 50);
    CHECK(state_of(left) == wanted);
    CHECK(users.size_bytes() < 8'000);
    here.platform.advance_now(61min);
    here.platform.advance_monotonic(61min);
    here.broker->maintain();
    left = read_all(users);
    CHECK(left.size() == 49);
    CHECK(state_of(left) == wanted);
    here.open();
    CHECK(state_of(read_all(here.broker->topic<std::string, std::string>("users"))) == wanted);
    here.broker.reset();
    CHECK(damages(here.directory.path()) == 0);
}

TEST_CASE("options of compaction are kept, agreed on, and refused where they would do nothing", "[client][compaction]") {
    world here;
    const auto create = [&](topic_options options) { here.broker->create_topic<std::string, std::string>("state", options); };
    using policy = cleanup_policy;
    CHECK(code_of([&] { create({.delete_retention = 1h}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::delete_, .min_cleanable_dirty_ratio = 0.1}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.retention = 1h, .cleanup_policy = policy::compact}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.retention_bytes = 1, .cleanup_policy = policy::compact}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::compact, .delete_retention = -1ns}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::compact, .min_cleanable_dirty_ratio = 1.1}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::compact, .min_compaction_lag = -1ns}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::compact, .min_compaction_lag = 2h, .max_compaction_lag = 1h}); }) == errc::invalid_config);
    CHECK(code_of([&] { create({.cleanup_policy = policy::compact, .max_compaction_lag = 0ns}); }) == errc::invalid_config);
    CHECK(outcome_of([&] { here.broker->create_topic<no_key, std::string>("events", {.cleanup_policy = policy::compact}); }).text.find("has no key") != std::string::npos);
    CHECK(code_of([&] {
              brook::broker{here.directory / "other", {.maintenance = maintenance::manual, .log_cleaner_dedupe_buffer_size = 1'000}};
          }) == errc::invalid_config);

    const topic_options all{.retention = 3h,
                            .cleanup_policy = policy::compact_and_delete,
                            .delete_retention = 2h,
                            .min_cleanable_dirty_ratio = 0.25,
                            .min_compaction_lag = 1s,
                            .max_compaction_lag = 1h};
    create(all);
    for (int life = 0; life < 2; ++life) {
        CHECK(code_of([&] { create({.cleanup_policy = policy::compact}); }) == errc::topic_already_exists);
        CHECK(code_of([&] { create({.delete_retention = 1h}); }) == errc::topic_already_exists);
        CHECK(code_of([&] { create({.min_cleanable_dirty_ratio = 0.26}); }) == errc::topic_already_exists);
        CHECK(code_of([&] { create({.min_compaction_lag = 2s}); }) == errc::topic_already_exists);
        CHECK(code_of([&] { create({.max_compaction_lag = 2h}); }) == errc::topic_already_exists);
        CHECK(code_of([&] { create(all); }) == std::error_code{});
        CHECK(code_of([&] { create({}); }) == std::error_code{});
        here.open();
    }
}

TEST_CASE("compact and delete together do both", "[client][compaction]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>(
        "state", {.segment_bytes = 16 << 10, .retention_bytes = 64 << 10, .cleanup_policy = cleanup_policy::compact_and_delete, .min_cleanable_dirty_ratio = 0});
    brook::producer producer{topic};
    for (int i = 0; i < 3'000; ++i) {
        producer.send("key " + std::to_string(i % 700), std::string(100, 'x'));
    }
    topic.partition(0).roll();
    for (int i = 0; i < 5; ++i) {
        here.broker->maintain();
    }
    CHECK(errors_of(*here.broker) == "");
    const auto left = read_all(topic);
    CHECK(topic.partition(0).log_start_offset() > 0);
    CHECK(topic.size_bytes() <= (96 << 10));
    CHECK(left.size() <= 700);
    CHECK(left.size() > 100);
    CHECK(state_of(left).size() == left.size());
}

TEST_CASE("a random history with transactions and codecs is compacted to what it says", "[client][compaction]") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        seeded chance{seed};
        world here{broker_options{.log_cleaner_dedupe_buffer_size = std::int64_t{1} << 20}};
        const auto options = [&](int k) {
            return topic_options{.segment_bytes = 8 << 10,
                                 .cleanup_policy = cleanup_policy::compact,
                                 .delete_retention = chance.one_in(2) ? 0h : 24h,
                                 .min_cleanable_dirty_ratio = k == 0 ? 0.0 : 0.5};
        };
        std::vector<state_topic> topics;
        std::vector<state> wanted(2);
        for (int k = 0; k < 2; ++k) {
            topics.push_back(here.broker->create_topic<std::string, std::string>("state" + std::to_string(k), options(k)));
        }
        for (int step = 0; step < 40; ++step) {
            const auto pick = static_cast<std::size_t>(chance.below(2));
            const auto key = [&] { return "key " + std::to_string(chance.below(40)); };
            const auto value = [&] { return "{\"step\":" + std::to_string(step) + ",\"fill\":\"" + std::string(chance.below(90), 'x') + "\"}"; };
            switch (chance.below(5)) {
                case 0: {  // in a transaction, over both, which is committed, aborted, or left open for a while
                    brook::transaction changes = here.broker->begin_transaction({.transactional_id = "changes"});
                    std::vector<state> after = wanted;
                    for (std::uint64_t n = 1 + chance.below(chance.one_in(2) ? 20 : 200); n > 0; --n) {  // many are appended before the end
                        const auto to = static_cast<std::size_t>(chance.below(2));
                        const std::string its = key();
                        if (chance.one_in(6)) {
                            changes.send(topics[to], its, tombstone);
                            after[to].erase(its);
                        } else {
                            after[to][its] = value();
                            changes.send(topics[to], its, after[to][its]);
                        }
                    }
                    if (chance.one_in(3)) {
                        here.broker->maintain();  // nothing of it may go, nor pass for committed
                    }
                    if (chance.one_in(3)) {
                        changes.abort();
                    } else {
                        changes.commit();
                        wanted = after;
                    }
                    break;
                }
                case 1: {  // compressed batches
                    brook::producer producer{topics[pick], {.linger = 1min, .compression_type = chance.one_in(2) ? compression::lz4 : compression::zstd}};
                    for (std::uint64_t n = 1 + chance.below(60); n > 0; --n) {
                        const std::string its = key();
                        wanted[pick][its] = value();
                        producer.send(its, wanted[pick][its]);
                    }
                    break;
                }
                default: {
                    brook::producer producer{topics[pick], {.enable_idempotence = chance.one_in(2)}};
                    for (std::uint64_t n = 1 + chance.below(60); n > 0; --n) {
                        const std::string its = key();
                        if (chance.one_in(8)) {
                            producer.send(its, tombstone);
                            wanted[pick].erase(its);
                        } else {
                            wanted[pick][its] = value();
                            producer.send(its, wanted[pick][its]);
                        }
                    }
                    break;
                }
            }
            if (chance.one_in(3)) {
                topics[pick].partition(0).roll();
            }
            if (chance.one_in(2)) {
                here.broker->maintain();
            }
            if (chance.one_in(8)) {
                topics.clear();
                here.open();
                for (int k = 0; k < 2; ++k) {
                    topics.push_back(here.broker->topic<std::string, std::string>("state" + std::to_string(k)));
                }
            }
            REQUIRE(errors_of(*here.broker) == "");
            for (std::size_t k = 0; k < 2; ++k) {
                REQUIRE(state_of(read_committed(topics[k])) == wanted[k]);
            }
        }
        topics[0].partition(0).roll();
        here.broker->maintain();
        topics.clear();
        here.broker.reset();
        CHECK(damages(here.directory.path()) == 0);
    }
}

TEST_CASE("what is not decided supersedes nothing, and what was aborted goes", "[client][compaction]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>(
        "state", {.segment_bytes = 4 << 10, .cleanup_policy = cleanup_policy::compact, .min_cleanable_dirty_ratio = 0});
    const auto all_of = [&] {
        brook::consumer consumer{topic, {.isolation_level = isolation_level::read_uncommitted}};
        std::vector<consumed_record> all;
        do {
            brook::test::copy_records(consumer.poll(0s), all);
        } while (!consumer.caught_up());
        return all;
    };
    {
        brook::producer producer{topic};
        producer.send("a", "old");
        producer.send("b", "old");
        producer.send("b", "newer");
    }
    brook::transaction changes = here.broker->begin_transaction({.transactional_id = "changes"});
    for (const char* const key : {"a", "c", "a"}) {
        changes.send(topic, key, std::string(1'500, 'x'));  // the first two fill a segment, and are appended before the end
    }
    topic.partition(0).roll();
    here.broker->maintain();
    CHECK(state_of(read_committed(topic)) == state{{"a", "old"}, {"b", "newer"}});
    const std::size_t appended = all_of().size();
    CHECK(appended >= 4);
    CHECK(topic.partition(0).last_stable_offset() < topic.partition(0).log_end_offset());
    const bool is_committed = GENERATE(false, true);
    is_committed ? changes.commit() : changes.abort();
    topic.partition(0).roll();
    here.broker->maintain();
    CHECK(errors_of(*here.broker) == "");
    const std::string large(1'500, 'x');
    CHECK(state_of(read_committed(topic)) == (is_committed ? state{{"a", large}, {"b", "newer"}, {"c", large}} : state{{"a", "old"}, {"b", "newer"}}));
    CHECK(all_of().size() == (is_committed ? 3 : 2));
    here.open();
    topic = here.broker->topic<std::string, std::string>("state");
    CHECK(state_of(read_committed(topic)) == (is_committed ? state{{"a", large}, {"b", "newer"}, {"c", large}} : state{{"a", "old"}, {"b", "newer"}}));
}

TEST_CASE("a transaction is all or nothing with the power, also where compaction is quicker than what decides it", "[client][compaction]") {
    using namespace brook::test;
    disk_state disk;
    {
        powerless_platform machine{disk_state{}};
        REQUIRE_FALSE(machine.make_directory("/d"));
        REQUIRE_FALSE(machine.sync_directory("/"));
        brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
        const auto topic = broker.create_topic<std::string, std::string>("state", {.segment_bytes = 4 << 10, .cleanup_policy = cleanup_policy::compact, .min_cleanable_dirty_ratio = 0});
        const auto events = broker.create_topic<std::string, std::string>("events", {.segment_bytes = 4 << 10});
        broker.maintain();
        brook::transaction changes = broker.begin_transaction({.transactional_id = "job"});
        changes.send(topic, "k", "1");
        changes.send(events, "k", "1");
        changes.commit();
        topic.partition(0).roll();
        broker.maintain();
        events.partition(0).sync();
        disk = machine.look();
        machine.unplug();
    }
    powerless_platform machine{loss_of_power{disk}.decide_nothing()};
    brook::broker broker{"/d", {.maintenance = maintenance::manual, .platform = &machine}};
    CHECK(read_committed(broker.topic<std::string, std::string>("state")).size() == read_committed(broker.topic<std::string, std::string>("events")).size());
    broker.close();
}

TEST_CASE("a transaction stays committed when what it said has been compacted away, and the machine is booted again", "[client][compaction]") {
    const brook::test::temp_directory directory;
    brook::test::rebooting_platform machine;
    std::optional<brook::broker> broker;
    const auto open = [&] {
        broker.reset();
        broker.emplace(directory.path(), broker_options{.maintenance = maintenance::manual, .platform = &machine});
    };
    const auto make = [&](const char* name, std::optional<cleanup_policy> policy) {
        return broker->create_topic<std::string, std::string>(name, {.segment_bytes = 4 << 10, .cleanup_policy = policy});
    };
    open();
    {
        brook::producer producer{make("state", cleanup_policy::compact)};
        producer.send("a", "0");
        producer.send("b", "0");
        static_cast<void>(make("events", {}));
    }
    if (GENERATE(false, true)) {
        broker.reset();
        machine.reboot();
        open();
    }
    {
        const auto topic = make("state", cleanup_policy::compact);
        const auto events = make("events", {});
        brook::transaction changes = broker->begin_transaction({.transactional_id = "job"});
        changes.send(topic, "k", "1");
        changes.send(events, "k", "what happened");
        changes.commit();
        for (int round = 0; round < 3; ++round) {
            brook::producer producer{topic};
            producer.send("k", "later " + std::to_string(round));
            topic.partition(0).roll();
            broker->maintain();
        }
        CHECK(read_committed(events).size() == 1);
    }
    broker.reset();
    machine.reboot();
    open();
    CHECK(read_committed(broker->topic<std::string, std::string>("events")).size() == 1);
    CHECK(errors_of(*broker) == "");
}

TEST_CASE("a topic with a producer that numbers its records is compacted, too", "[client][compaction]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("state", {.cleanup_policy = cleanup_policy::compact});
    brook::producer producer{topic, {.name = "keeper"}};
    for (int n = 0; n < 20'000; ++n) {
        producer.send("key " + std::to_string(n % 10), std::to_string(n));
        if (n % 1'000 == 0) {
            here.broker->maintain();
        }
    }
    here.broker->maintain();
    CHECK(topic.size_bytes() < 300'000);  // of more than a MiB
    CHECK(state_of(read_committed(topic)).size() == 10);
}

TEST_CASE("beside compaction and appends readers of all speeds come to the same state", "[client][compaction]") {
    world here{broker_options{}};
    here.open(maintenance::thread);
    auto topic = here.broker->create_topic<std::string, std::uint64_t>(
        "state", {.segment_bytes = 64 << 10, .cleanup_policy = cleanup_policy::compact, .min_cleanable_dirty_ratio = 0.2});
    constexpr std::uint64_t count = 60'000;
    constexpr std::uint64_t keys = 300;
    std::atomic<bool> is_done{false};
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int reader = 0; reader < 3; ++reader) {
        threads.emplace_back([&, reader] {
            try {
                for (bool was_done = false; !was_done;) {  // from the start each time
                    was_done = is_done.load();
                    brook::consumer consumer{topic, {.max_poll_records = reader == 0 ? 7 : 500}};
                    std::map<std::string, std::uint64_t> known;
                    offset before = -1;
                    do {
                        for (const auto& record : consumer.poll(0ms)) {
                            failures += record.offset() <= before ? 1 : 0;
                            before = record.offset();
                            known[std::string{record.key()}] = record.value();
                        }
                        if (reader == 2) {
                            std::this_thread::yield();
                        }
                    } while (!consumer.caught_up());
                    if (was_done) {
                        for (std::uint64_t key = 0; key < keys; ++key) {
                            const auto found = known.find("key " + std::to_string(key));
                            failures += found == known.end() || found->second != (count - 1) / keys * keys + key - ((count - 1) % keys < key ? keys : 0) ? 1 : 0;
                        }
                    }
                }
            } catch (const error& why) {
                WARN(why.what());
                ++failures;
            }
        });
    }
    brook::producer producer{topic};
    for (std::uint64_t n = 0; n < count; ++n) {
        producer.send("key " + std::to_string(n % keys), n);
        if (n % 10'000 == 0) {
            CHECK(damages(here.directory.path()) == 0);  // looked through meanwhile
        }
    }
    is_done = true;
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(failures == 0);
    topic.partition(0).roll();
    here.broker->maintain();
    here.broker->maintain();  // the first may have found a pass of the thread's under way, which ended before what came last
    CHECK(errors_of(*here.broker) == "");
    CHECK(topic.partition(0).log_end_offset() == static_cast<offset>(count));
    CHECK(topic.size_bytes() < 600'000);  // of some 3 MB
}

TEST_CASE("a table follows a topic through its compaction, and lets go of what was replaced", "[client][compaction][table]") {
    const auto deleted_files_held = [](const std::string& directory) {
        int count = 0;
        for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
            std::error_code gone;
            const std::string to = std::filesystem::read_symlink(entry.path(), gone).string();
            count += to.starts_with(directory) && to.ends_with("(deleted)") ? 1 : 0;
        }
        return count;
    };
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        CAPTURE(seed);
        seeded chance{seed};
        world here;
        const bool is_compressed = seed % 2 == 0;  // then a table that is not looked at while a tombstone comes and goes may miss it
        auto topic = here.broker->create_topic<std::string, std::string>("state", {.partitions = 2,
                                                                                   .segment_bytes = 8 << 10,
                                                                                   .cleanup_policy = cleanup_policy::compact,
                                                                                   .delete_retention = is_compressed ? 24h : 0h,
                                                                                   .min_cleanable_dirty_ratio = 0.3});
        state wanted;
        std::optional<brook::table<std::string, std::string>> table;
        table.emplace(topic);
        for (int step = 0; step < 40; ++step) {
            {
                brook::producer producer{topic, {.linger = chance.one_in(3) ? 1min : 0min, .compression_type = is_compressed && chance.one_in(2) ? compression::lz4 : compression::none}};
                for (std::uint64_t n = 1 + chance.below(120); n > 0; --n) {
                    const std::string key = "key " + std::to_string(chance.below(150));
                    if (chance.one_in(8)) {
                        producer.send(key, tombstone);
                        wanted.erase(key);
                    } else {
                        producer.send(key, wanted[key] = std::string(chance.below(80), 'x') + std::to_string(step));
                    }
                }
            }
            if (chance.one_in(2)) {
                here.broker->maintain();
            }
            if (chance.one_in(3)) {
                REQUIRE(table->size() == wanted.size());
                for (const auto& [key, value] : wanted) {
                    const auto found = table->find(key);
                    REQUIRE(found);
                    REQUIRE(found->value() == value);
                }
                REQUIRE_FALSE(table->find("no such key"));
                table->refresh();
                if (step % 4 == 0) {
                    std::size_t count = 0;
                    for (const auto& record : *table) {
                        count += wanted.at(std::string{record.key()}) == record.value() ? 1 : 1'000;
                    }
                    REQUIRE(count == wanted.size());
                }
            }
            if (chance.one_in(10)) {
                table.reset();
                here.open();
                topic = here.broker->topic<std::string, std::string>("state");
                table.emplace(topic);  // by its file, which is older than what was compacted since
            }
        }
        here.broker->maintain();
        table->refresh();
        table->refresh();
        REQUIRE(table->size() == wanted.size());
        CHECK(deleted_files_held(here.directory.path()) == 0);
        CHECK(errors_of(*here.broker) == "");
    }
}

TEST_CASE("what was committed before is compacted away, and the last commits are known again", "[client][compaction]") {
    world here;
    auto numbers = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    {
        brook::producer producer{numbers};
        producer.send(std::uint64_t{1});
        brook::consumer consumer{numbers, {.group_id = "readers"}};
        while (consumer.poll(0s).empty()) {
        }
        for (int i = 0; i < 30'000; ++i) {
            consumer.commit();
            if (i % 5'000 == 0) {
                here.broker->maintain();
            }
        }
    }
    here.broker->maintain();
    here.broker->maintain();
    CHECK(errors_of(*here.broker) == "");
    std::uint64_t bytes = 0;
    for (const auto& topic : brook::verify(here.directory.path()).topics) {
        for (const auto& partition : topic.partitions) {
            for (const auto& segment : partition.segments) {
                bytes += topic.name == "__consumer_offsets" ? segment.used_bytes : 0;
            }
        }
    }
    CHECK(bytes > 0);
    CHECK(bytes < 200'000);
    here.open();
    CHECK(here.broker->group("readers").members.empty());
    brook::consumer consumer{here.broker->topic<no_key, std::uint64_t>("numbers"), {.group_id = "readers"}};
    CHECK(consumer.poll(0s).empty());
    CHECK(consumer.caught_up());
}

TEST_CASE("a forked child lets a compaction of its parent alone", "[client][compaction]") {
    world here;
    auto topic = here.broker->create_topic<std::string, std::string>("state", {.segment_bytes = 1 << 20, .cleanup_policy = cleanup_policy::compact});
    {
        brook::producer producer{topic};
        for (int n = 0; n < 40'000; ++n) {
            producer.send("key " + std::to_string(n), std::string(100, 'x'));
        }
    }
    topic.partition(0).roll();
    const auto is_under_way = [&] { return std::filesystem::exists(here.directory / "topics/state/0/00000000000000000000.compacted.log.tmp"); };
    for (int step = 0; step < 1'000 && !is_under_way(); ++step) {
        here.broker->maintain(0ns);
    }
    REQUIRE(is_under_way());
    CHECK(brook::test::in_child([&] {
              here.broker.reset();
              return 0;
          }) == 0);
    CHECK(is_under_way());
    here.broker->maintain();
    CHECK(errors_of(*here.broker) == "");
    CHECK(read_all(topic).size() == 40'000);
}

TEST_CASE("what was told of earlier transactions is compacted away once those that came later are on the disk", "[client][compaction]") {
    world here;
    auto numbers = here.broker->create_topic<no_key, std::uint64_t>("numbers");
    const auto told_bytes = [&] {
        std::uint64_t bytes = 0;
        for (const auto& topic : brook::verify(here.directory.path()).topics) {
            for (const auto& partition : topic.partitions) {
                for (const auto& segment : partition.segments) {
                    bytes += topic.name == "__transaction_state" ? segment.used_bytes : 0;
                }
            }
        }
        return bytes;
    };
    const auto commit_some = [&] {
        for (std::uint64_t n = 0; n < 12'000; ++n) {
            brook::transaction one = here.broker->begin_transaction({.transactional_id = n % 3 == 0 ? "odd" : "even"});
            one.send(numbers, n);
            one.set_state(std::to_string(n));
            n % 5 == 4 ? one.abort() : one.commit();
        }
    };
    commit_some();
    CHECK(told_bytes() > 1'000'000);
    SECTION("not while they may be lost with the power") {
        here.platform.inject({.on = brook::test::operation::sync, .lasting = true, .path = "/numbers/"});
        here.broker->maintain();
        here.broker->maintain();
        here.platform.heal();
        CHECK(told_bytes() > 1'000'000);
        return;
    }
    here.broker->maintain();
    CHECK(errors_of(*here.broker) == "");
    CHECK(told_bytes() < 400'000);
    for (int life = 0; life < 2; ++life) {
        here.open();
        numbers = here.broker->topic<no_key, std::uint64_t>("numbers");
        CHECK(here.broker->transaction_state("odd") == "11997");
        CHECK(here.broker->transaction_state("even") == "11998");
        brook::consumer consumer{numbers, {.isolation_level = isolation_level::read_committed}};
        std::uint64_t count = 0;
        do {
            for (const auto& record : consumer.poll(0s)) {
                count += record.value() % 5 == 4 ? 1'000'000 : 1;
            }
        } while (!consumer.caught_up());
        CHECK(count == 9'600);
    }
}

}  // namespace client_compaction_test
