// Records sent through any broker of a cluster: what they are like at the others, and what becomes of those that cannot arrive.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/lz4.hpp>
#include <brook/replication.hpp>

#include "broker/outcome.hpp"
#include "client/cluster_world.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"

namespace client_cluster_send_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;
using brook::test::code_of;
using brook::test::consumed_record;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::outcome_of;
using brook::test::send_numbers;
using brook::test::texts_topic;

namespace {

[[nodiscard]] texts_topic make_texts(cluster_world& here, topic_options options = {.replication_factor = 3}, int through = 1) {
    return here[through].create_topic<std::string, std::string>("texts", options);
}

/// The same on all brokers: offsets, times, bytes.
void check_same_everywhere(cluster_world& here, const std::vector<consumed_record>& wanted) {
    for (const int id : here.running()) {
        const std::vector<consumed_record> seen = cluster_world::read(here.topic<texts_topic>(id, "texts"), wanted.size());
        REQUIRE(seen.size() == wanted.size());
        for (std::size_t i = 0; i < seen.size(); ++i) {
            CHECK(seen[i].offset == wanted[i].offset);
            CHECK(seen[i].timestamp == wanted[i].timestamp);
            CHECK(seen[i].key == wanted[i].key);
            CHECK(seen[i].value == wanted[i].value);
            CHECK(seen[i].headers == wanted[i].headers);
        }
    }
}

[[nodiscard]] std::vector<std::uint64_t> sorted(std::vector<std::uint64_t> all) {
    std::sort(all.begin(), all.end());
    return all;
}

}  // namespace

TEST_CASE("records that are sent through any broker are at the same offsets of all", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.partitions = 2, .replication_factor = 3}));
    std::uint64_t next = 0;
    std::vector<std::pair<offset, std::uint64_t>> sent[2];
    for (int round = 0; round < 3; ++round) {
        for (const int id : {1, 2, 3}) {
            brook::producer producer{here.topic(id)};
            for (int i = 0; i < 10; ++i, ++next) {
                const auto where = producer.send({.value = next, .partition = i % 2}).get();
                CHECK(where.partition == i % 2);
                sent[i % 2].emplace_back(where.offset, next);
            }
        }
    }
    for (const int id : {1, 2, 3}) {
        const auto seen = here.topic(id);
        for (std::int32_t partition : {0, 1}) {
            auto& all = sent[partition];
            REQUIRE(cluster_world::reaches(seen, all.back().first + 1, partition));
            brook::consumer consumer{seen};
            consumer.assign({seen.partition(partition)});
            std::vector<std::pair<offset, std::uint64_t>> read;
            while (!consumer.caught_up()) {
                for (const auto& record : consumer.poll(0s)) {
                    read.emplace_back(record.offset(), record.value());
                }
            }
            CHECK(read == all);
        }
    }
}

TEST_CASE("keys, values, headers, times and tombstones arrive as they were sent", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(make_texts(here));
    const int through = GENERATE(1, 2, 3);
    const auto linger = GENERATE(0ms, 3ms);
    const auto topic = here.topic<texts_topic>(through, "texts");
    brook::producer producer{topic, {.linger = linger}};
    const std::vector<brook::header> some{{"trace", "abc"}, {"none"}};
    std::vector<delivery> deliveries;
    const timestamp early{std::chrono::nanoseconds{1'700'000'000'123'456'789}};
    deliveries.push_back(producer.send("k", "v"));
    deliveries.push_back(producer.send("k", tombstone));
    deliveries.push_back(producer.send({.key = "headers", .value = "v", .headers = some}));
    deliveries.push_back(producer.send({.key = "early", .value = "", .timestamp = early}));
    deliveries.push_back(producer.send("", std::string(5'000, 'x')));
    std::vector<consumed_record> wanted;
    for (auto& one : deliveries) {
        const auto where = one.get();
        wanted.push_back({where.partition, where.offset, where.timestamp, std::nullopt, std::nullopt, {}});
    }
    CHECK(wanted[3].timestamp == early);
    wanted[0].key = "k", wanted[0].value = "v";
    wanted[1].key = "k";
    wanted[2].key = "headers", wanted[2].value = "v", wanted[2].headers = {{"trace", "abc"}, {"none", std::nullopt}};
    wanted[3].key = "early", wanted[3].value = "";
    wanted[4].key = "", wanted[4].value = std::string(5'000, 'x');
    check_same_everywhere(here, wanted);
}

TEST_CASE("a batch arrives whole, compressed or not", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(make_texts(here));
    const int through = GENERATE(1, 2, 3);
    const auto type = GENERATE(compression::none, compression::lz4);
    brook::producer producer{here.topic<texts_topic>(through, "texts"), {.linger = 5ms, .compression_type = type}};
    std::vector<std::string> kept;
    for (int i = 0; i < 200; ++i) {
        kept.push_back(std::string(50, static_cast<char>('a' + i % 26)));
    }
    std::vector<std::pair<std::string, std::string>> batch;
    for (const auto& one : kept) {
        batch.emplace_back("k", one);
    }
    const auto first = producer.send_batch(0, batch).get();
    std::vector<consumed_record> wanted;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        wanted.push_back({0, first.offset + static_cast<offset>(i), first.timestamp, "k", kept[i], {}});
    }
    std::vector<delivery> lingering;
    for (const auto& one : kept) {
        lingering.push_back(producer.send("l", one));
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
        const auto where = lingering[i].get();
        wanted.push_back({0, where.offset, where.timestamp, "l", kept[i], {}});
    }
    check_same_everywhere(here, wanted);
}

TEST_CASE("with append_time the leader's time counts, and a delivery tells it", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(make_texts(here, {.replication_factor = 3, .message_timestamp_type = timestamp_type::append_time}));
    const int through = GENERATE(1, 2, 3);
    const auto before = std::chrono::system_clock::now();
    std::vector<consumed_record> wanted;
    for (const auto linger : {0ms, 3ms}) {
        brook::producer producer{here.topic<texts_topic>(through, "texts"), {.linger = linger}};
        std::vector<delivery> deliveries;
        for (int i = 0; i < 10; ++i) {
            deliveries.push_back(producer.send({.key = "k", .value = "v", .timestamp = timestamp{1ns}}));
        }
        for (auto& one : deliveries) {
            const auto where = one.get();
            CHECK(where.timestamp.time_since_epoch() >= std::chrono::duration_cast<std::chrono::nanoseconds>(before.time_since_epoch()) - 1s);
            wanted.push_back({0, where.offset, where.timestamp, "k", "v", {}});
        }
    }
    check_same_everywhere(here, wanted);
}

TEST_CASE("a slot that is committed is sent to the leader", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here[1].create_topic<no_key, brook::bytes>("blobs", {.replication_factor = 3}));
    using blobs = brook::topic<no_key, brook::bytes>;
    for (const int id : {1, 2, 3}) {
        brook::producer producer{here.topic<blobs>(id, "blobs")};
        auto slot = producer.claim(100);
        std::memset(slot.data(), '0' + id, 100);
        CHECK(slot.commit().get().offset >= 0);
        auto left = producer.claim(10);  // and one that is not
    }
    for (const int id : {1, 2, 3}) {
        const auto seen = cluster_world::read(here.topic<blobs>(id, "blobs"), 3);
        REQUIRE(seen.size() == 3);
        for (int i = 0; i < 3; ++i) {
            CHECK(seen[static_cast<std::size_t>(i)].value == std::string(100, static_cast<char>('1' + i)));
        }
    }
}

TEST_CASE("a link on which each answer takes longer than it is waited for at first carries records all the same", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 3}));
    const int leader = here.await_leader({1, 2, 3});
    send_numbers(here.topic(leader), 0, 1);
    here.network.set_faults({.delay_min = cluster_world::election_timeout / 4, .delay_max = cluster_world::election_timeout / 4});  // there and back: half of it
    send_numbers(here.topic(leader), 1, 8);
    here.network.heal();
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::read_numbers(here.topic(id), 8) == numbers_to(8));
    }
}

TEST_CASE("a record may be as large as a datagram allows, and a larger one is refused in words", "[client][cluster]") {
    cluster_world here;
    const auto made = make_texts(here, {.replication_factor = 3, .segment_bytes = 16 << 20});
    const int leader = here.await_leader<texts_topic>({1, 2, 3}, 0, "texts");
    for (const int id : {leader, here.other_than(leader)}) {
        brook::producer producer{here.topic<texts_topic>(id, "texts")};
        const std::string large(3'900'000, 'x');
        CHECK(producer.send("k", large).get().offset >= 0);
        const std::string larger(4'200'000, 'x');
        const auto refused = outcome_of([&] { static_cast<void>(producer.send("k", larger).get()); });
        CHECK(refused.code == errc::record_too_large);
        CHECK(refused.names("datagram"));
        CHECK(producer.send("k", "and on").get().offset >= 0);
    }
    for (const int id : {1, 2, 3}) {
        const auto seen = cluster_world::read(here.topic<texts_topic>(id, "texts"), 4);
        REQUIRE(seen.size() == 4);
        CHECK(seen[0].value->size() == 3'900'000);
        CHECK(seen[3].value == "and on");
    }
}

TEST_CASE("on_delivery is told once of each record, and a flush waits for all of them", "[client][cluster]") {
    cluster_world here;
    const auto made = here.numbers({.partitions = 2, .replication_factor = 3});
    for (const auto linger : {0ns, std::chrono::nanoseconds{2ms}}) {
        for (const int id : {1, 2, 3}) {
            std::mutex mutex;
            std::vector<record_metadata> told;
            brook::producer producer{here.topic(id), {.linger = linger, .on_delivery = [&](const record_metadata& where, std::error_code code) {
                                                                             const std::scoped_lock guard{mutex};
                                                                             CHECK(!code);
                                                                             told.push_back(where);
                                                                         }}};
            for (std::uint64_t i = 0; i < 100; ++i) {
                static_cast<void>(producer.send({.value = i, .partition = static_cast<std::int32_t>(i % 2)}));
            }
            producer.flush();
            const std::scoped_lock guard{mutex};
            REQUIRE(told.size() == 100);
            std::set<std::pair<std::int32_t, offset>> places;
            for (const auto& one : told) {
                CHECK(one.offset >= 0);
                places.insert({one.partition, one.offset});
            }
            CHECK(places.size() == 100);
        }
    }
}

TEST_CASE("acks none, leader and all: what each of them waits for", "[client][cluster]") {
    cluster_world here;
    const auto made = here.numbers();
    const int leader = here.await_leader({1, 2, 3});
    for (const int id : {1, 2, 3}) {
        brook::producer none{here.topic(id), {.acks = acks::none}};
        CHECK(none.send({.value = 1}).get().offset == -1);  // nobody knows
        none.flush();
        brook::producer first{here.topic(id), {.acks = acks::leader}};
        CHECK(first.send({.value = 2}).get().offset > 0);
        brook::producer all{here.topic(id), {.acks = acks::all}};
        CHECK(all.send({.value = 3}).get().offset > 0);
    }
    for (const int id : {1, 2, 3}) {
        CHECK(sorted(cluster_world::read_numbers(here.topic(id), 9)) == std::vector<std::uint64_t>{1, 1, 1, 2, 2, 2, 3, 3, 3});
    }
    // A leader without its followers: acks::leader is enough for it, and acks::all is not.
    const int follower = here.other_than(leader);
    here.network.cut(leader, follower);
    here.network.cut(leader, here.other_than(leader, follower));
    brook::producer quick{here.topic(leader), {.acks = acks::leader, .delivery_timeout = 10s}};
    brook::producer all{here.topic(leader), {.acks = acks::all, .delivery_timeout = 300ms}};
    const auto code = code_of([&] { static_cast<void>(quick.send({.value = 4}).get()); });
    if (here.topic(leader).partition(0).replication().is_leader) {  // else the moment in which it does not know yet was over
        CHECK(code == std::error_code{});
    }
    const auto unknown = code_of([&] { static_cast<void>(all.send({.value = 5}).get()); });
    CHECK((unknown == errc::timed_out || unknown == errc::not_leader_or_follower));
}

TEST_CASE("records of one producer keep their order while the lead goes round", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    std::atomic<bool> is_over{false};
    std::thread changing{[&] {
        for (int round = 0; !is_over.load(); ++round) {
            const int leader = here.topic(1).partition(0).leader();
            if (leader > 0) {
                static_cast<void>(outcome_of([&] { here.topic(leader).partition(0).transfer_leadership(1 + (leader + round % 2) % 3); }));
            }
            std::this_thread::sleep_for(7ms);
        }
    }};
    std::vector<std::thread> sending;
    constexpr std::uint64_t each = 400;
    for (const int id : {1, 2, 3}) {
        sending.emplace_back([&here, id] {
            brook::producer producer{here.topic(id), {.linger = id == 1 ? 0ms : 1ms}};
            for (std::uint64_t i = 0; i < each; ++i) {
                static_cast<void>(producer.send({.value = static_cast<std::uint64_t>(id) * 1'000 + i}));
            }
            producer.flush();
        });
    }
    for (auto& one : sending) {
        one.join();
    }
    is_over.store(true);
    changing.join();
    for (const int id : {1, 2, 3}) {
        const std::vector<std::uint64_t> all = cluster_world::read_numbers(here.topic(id), 3 * each);
        CHECK(all.size() == 3 * each);
        std::uint64_t next[4] = {};
        bool are_ordered = true;
        for (const std::uint64_t value : all) {
            are_ordered = are_ordered && value % 1'000 == next[value / 1'000]++;
        }
        CHECK(are_ordered);
    }
}

TEST_CASE("a record that a lossy network made the library send twice is there once", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    const int leader = here.await_leader({1, 2, 3});
    const int follower = here.other_than(leader);
    here.network.set_faults_one_way(leader, follower, {.drop = 0.5});  // answers, above all
    brook::producer one{here.topic(follower), {.linger = 1ms}};
    for (std::uint64_t i = 0; i < 60; ++i) {
        static_cast<void>(one.send({.value = i}));
        if (i % 5 == 4) {
            one.flush();
        }
    }
    here.network.heal();
    here.network.set_faults({.drop = 0.1, .duplicate = 0.3, .reorder = 0.3, .corrupt = 0.1});
    for (std::uint64_t i = 60; i < 160; ++i) {
        static_cast<void>(one.send({.value = i}));
        if (i % 5 == 4) {
            one.flush();
        }
    }
    here.network.heal();
    CHECK(here.network.statistics().corrupted > 0);
    send_numbers(here.topic(leader), 160, 161);
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::read_numbers(here.topic(id), 161) == numbers_to(161));
    }
}

TEST_CASE("without min_insync_replicas nothing is written, and a producer is told", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 3}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    send_numbers(here.topic(2), 0, 10);
    const int away = here.other_than(here.await_leader({1, 2, 3}));
    here.stop(away);
    const std::vector<int> there = here.running();
    const int leader = here.await_leader(there);
    CHECK(cluster_world::eventually([&] { return here.topic(leader).partition(0).replication().in_sync.size() == 2; }));
    for (const int id : there) {
        brook::producer producer{here.topic(id), {.delivery_timeout = 400ms}};
        const auto told = outcome_of([&] { static_cast<void>(producer.send({.value = 99}).get()); });
        CHECK((told.code == errc::not_enough_replicas || told.code == errc::timed_out));
        CHECK(told.names("min_insync_replicas is 3"));
        brook::producer quick{here.topic(id), {.acks = acks::leader, .delivery_timeout = 5s}};
        CHECK(quick.send({.value = static_cast<std::uint64_t>(10 + id)}).get().offset > 0);
    }
    here.start(away);
    send_numbers(here.topic(away), 20, 21);
    for (const int id : {1, 2, 3}) {
        const auto all = cluster_world::read_numbers(here.topic(id), 13);
        CHECK(all.size() == 13);
        CHECK(std::count(all.begin(), all.end(), 99u) == 0);
    }
}

TEST_CASE("what nobody asked about is told by the next flush, else by the broker's health", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers());
    const auto topic = here.topic(1);
    send_numbers(topic, 0, 3);
    here.network.isolate(1);
    {
        brook::producer producer{topic, {.delivery_timeout = 200ms}};
        static_cast<void>(producer.send({.value = 3}));
        const auto told = code_of([&] { producer.flush(); });
        CHECK((told == errc::timed_out || told == errc::not_leader_or_follower));
        CHECK(code_of([&] { producer.flush(); }) == std::error_code{});
        static_cast<void>(producer.send({.value = 4}));
    }
    const auto errors = here[1].health().errors;
    CHECK(std::any_of(errors.begin(), errors.end(), [](const failure& why) { return why.code == errc::timed_out || why.code == errc::not_leader_or_follower; }));
}

TEST_CASE("producers with names, dense sequences, transactions and delete_records are refused in words", "[client][cluster]") {
    cluster_world here;
    const auto topic = here.numbers();
    const auto named = outcome_of([&] { brook::producer producer{topic, {.name = "me"}}; });
    CHECK(named.code == errc::invalid_config);
    CHECK(named.names("leave name and dense_sequences out"));
    CHECK(code_of([&] { brook::producer producer{topic, {.dense_sequences = true}}; }) == errc::invalid_config);
    const auto transaction = outcome_of([&] { static_cast<void>(here[1].begin_transaction({.transactional_id = "me"})); });
    CHECK(transaction.code == errc::invalid_config);
    CHECK(transaction.names("no transactions in a cluster"));
    const auto deleted = outcome_of([&] { topic.partition(0).delete_records(0); });
    CHECK(deleted.code == errc::invalid_config);
    CHECK(deleted.names("retention"));
    brook::producer idempotent{topic, {.enable_idempotence = true}};  // they are in any case
    CHECK(idempotent.send({.value = 1}).get().offset > 0);
}

}  // namespace client_cluster_send_test
