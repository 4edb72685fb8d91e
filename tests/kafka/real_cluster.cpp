// What only a real cluster can show: run by tests/kafka/with_kafka.sh, which brings Apache Kafka.
#include <brook/kafka.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include "broker/outcome.hpp"
#include "kafka/agreement.hpp"
#include "kafka/network_cut.hpp"
#include "kafka/real_kafka.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::outcome_of;
using brook::test::read_to_end;
using brook::test::real_world;
using brook::test::run_to_end;
using brook::test::the_kafka;

using worlds = std::tuple<real_world>;
BROOK_AGREEMENTS(worlds, "[real]")
BROOK_AGREEMENT(transactions_count_whole_or_not_at_all, worlds, "[real]")

namespace {

/// How much the long tests do: BROOK_KAFKA_RECORDS, 60,000 by default.
[[nodiscard]] int many() {
    const char* const given = std::getenv("BROOK_KAFKA_RECORDS");
    return given != nullptr ? std::atoi(given) : 60'000;
}

[[nodiscard]] std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    std::sort(lines.begin(), lines.end());
    return lines;
}

}  // namespace

TEST_CASE("contract/generic.cpp runs on a cluster", "[kafka][real][contract]") {
    const char* const program = std::getenv("BROOK_CONTRACT_GENERIC");
    if (program == nullptr) {
        WARN("BROOK_CONTRACT_GENERIC does not name it: contract.generic_on_kafka does");
        return;
    }
    const brook::test::temp_directory directory;
    const auto said = run_to_end({program, directory / "data", the_kafka().bootstrap_servers()}, directory / "said");
    CHECK(said.find("cluster: 1000 readings, hottest 29.0") != std::string::npos);
}

TEST_CASE("topics are made, found, compared and deleted, and a typo makes none", "[kafka][real]") {
    real_world world;
    auto& cluster = world.broker();
    auto made = cluster.create_topic<std::string, std::int64_t>("made", {.partitions = 3, .segment_bytes = 1 << 20, .retention = 24h});
    CHECK(made.partition_count() == 3);
    CHECK(cluster.create_topic<std::string, std::int64_t>("made").partition_count() == 3);
    CHECK(cluster.create_topic<std::string, std::int64_t>("made", {.partitions = 3, .segment_bytes = 1 << 20, .retention = 24h}).partition_count() == 3);
    const auto differs = outcome_of([&] { static_cast<void>(cluster.topic<std::string, std::int64_t>("made", {.retention = 25h})); });
    CHECK(differs.code == errc::topic_already_exists);
    CHECK(differs.names("retention.ms = 86400000, not 90000000"));
    CHECK(code_of([&] { static_cast<void>(cluster.topic<std::string, std::int64_t>("a-typo")); }) == errc::unknown_topic_or_partition);
    const auto names = cluster.topics();
    CHECK(std::find(names.begin(), names.end(), "a-typo") == names.end());
    CHECK(std::find(names.begin(), names.end(), "made") != names.end());
    CHECK(std::find(names.begin(), names.end(), "__consumer_offsets") == names.end());
    CHECK(code_of([&] { static_cast<void>(cluster.create_topic<std::string, std::int64_t>("odd", {.min_insync_replicas = 0})); }) == errc::invalid_config);
    cluster.delete_topic("made");
    CHECK(code_of([&] { cluster.delete_topic("a-typo"); }) == errc::unknown_topic_or_partition);
}

TEST_CASE("a time is sought to the millisecond", "[kafka][real]") {
    real_world world;
    auto topic = world.topic<no_key, std::int64_t>("times");
    brook::producer producer{topic};
    const auto time = [](std::int64_t i) { return brook::timestamp{std::chrono::milliseconds{1'700'000'000'000 + i * 10}}; };
    for (std::int64_t i = 0; i < 100; ++i) {
        producer.send(brook::record<no_key, std::int64_t>{.value = i, .timestamp = time(i)});
    }
    producer.flush();
    CHECK(topic.partition(0).offset_for_time(time(42)) == 42);
    CHECK(topic.partition(0).offset_for_time(time(41) + 1ms) == 42);
    CHECK_FALSE(topic.partition(0).offset_for_time(time(1'000)));
    brook::consumer consumer{topic};
    consumer.seek_to_time(time(90));
    CHECK(read_to_end(consumer).size() == 10);
    consumer.seek_to_time(time(1'000));
    CHECK(read_to_end(consumer).empty());
}

TEST_CASE("a transaction of another process under the same id fences this one", "[kafka][real]") {
    real_world world;
    auto to = world.topic<std::string, std::int64_t>("tx-fenced", 2);
    auto older = world.broker().begin_transaction({.transactional_id = "fenced"});
    older.send(to, "older", std::int64_t{1});
    brook::kafka::broker elsewhere{the_kafka().bootstrap_servers()};
    auto newer = elsewhere.begin_transaction({.transactional_id = "fenced"});
    newer.send(to, "newer", std::int64_t{2});
    CHECK(code_of([&] { older.commit(); }) == errc::producer_fenced);
    newer.commit();
    brook::consumer committed{to};
    brook::consumer uncommitted{to, {.isolation_level = brook::isolation_level::read_uncommitted}};
    const auto last = read_to_end(committed);
    REQUIRE(last.size() == 1);
    CHECK(last[0].key == "newer");
    CHECK(read_to_end(uncommitted).size() >= 1);
    auto again = world.broker().begin_transaction({.transactional_id = "fenced"});
    CHECK(code_of([&] { again.send(to, std::string(3'000'000, 'k'), std::int64_t{3}); }) == errc::record_too_large);
    again.send(to, "again", std::int64_t{3});
    again.commit();
    CHECK(read_to_end(committed).size() == 1);
}

TEST_CASE("members share out partitions, hand them over under load, and lose nothing", "[kafka][real]") {
    real_world world;
    auto topic = world.topic<std::string, std::int64_t>("shared", 6);
    const int count = many() / 3;
    std::mutex mutex;
    std::map<std::int64_t, int> times;
    std::atomic<bool> is_over{false};
    std::atomic<int> assigned{0};
    std::atomic<int> revoked{0};
    std::atomic<int> lost{0};     // instead, where this process stood still till the session_timeout was over
    std::atomic<int> refused{0};  // commits
    const auto member = [&](const std::atomic<bool>& leaves) {
        brook::consumer consumer{topic,
                                 {.group_id = "shares",
                                  .session_timeout = 6s,
                                  .rebalance_listener = {.on_partitions_assigned = [&](const auto& came) { assigned += static_cast<int>(came.size()); },
                                                         .on_partitions_revoked = [&](const auto& gone) { revoked += static_cast<int>(gone.size()); },
                                                         .on_partitions_lost = [&](const auto& gone) { lost += static_cast<int>(gone.size()); }},
                                  .max_poll_records = 100}};
        while (!is_over && !leaves) {
            auto records = consumer.poll(50ms);
            {
                const std::scoped_lock guard{mutex};
                for (const auto& record : records) {
                    ++times[record.value()];
                }
            }
            try {
                consumer.commit();
            } catch (const brook::error& why) {
                CHECK(why.code() == errc::illegal_generation);
                ++refused;
            }
        }
    };
    std::atomic<bool> stays{false};
    std::atomic<bool> leaves{false};
    std::thread first{member, std::cref(stays)};
    for (const brook::test::patience left; assigned < 6;) {  // so that there is something to hand over when others come
        left.require_left([&] { return "an assignment of 6 partitions, and not of " + std::to_string(assigned); });
        std::this_thread::sleep_for(5ms);
    }
    brook::producer producer{topic, {.linger = 1ms}};
    std::thread second;
    std::thread third;
    for (int i = 0; i < count; ++i) {
        producer.send("k" + std::to_string(i % 1'000), i);
        if (i == count / 4) {
            second = std::thread{member, std::cref(leaves)};
        }
        if (i == count / 2) {
            third = std::thread{member, std::cref(stays)};
        }
        if (i == 3 * count / 4) {
            leaves = true;
        }
        if (i % 100 == 0) {
            std::this_thread::sleep_for(25ms);  // so that members come and go while records do
        }
    }
    producer.flush();
    const auto deadline = std::chrono::steady_clock::now() + 90s;
    for (std::size_t found = 0; found < static_cast<std::size_t>(count) && std::chrono::steady_clock::now() < deadline;) {
        std::this_thread::sleep_for(50ms);
        const std::scoped_lock guard{mutex};
        found = times.size();
    }
    const auto described = world.broker().group("shares");
    is_over = true;
    for (auto* const one : {&first, &second, &third}) {
        one->join();
    }
    CHECK(times.size() == static_cast<std::size_t>(count));
    CHECK(described.members.size() == 2);
    CHECK(described.assignor == "cooperative-sticky");
    CHECK(described.partitions.size() == 6);
    CHECK(assigned > 6);
    CHECK(revoked + lost > 0);
    int again = 0;
    for (const auto& [value, often] : times) {
        again += often - 1;
    }
    std::printf("rebalances under load: %d records, each at least once, %d again; %d partitions assigned, %d revoked, %d lost, %d commits refused\n", count, again, assigned.load(),
                revoked.load(), lost.load(), refused.load());
}

TEST_CASE("a group is described, set and forgotten", "[kafka][real]") {
    real_world world;
    auto topic = world.topic<no_key, std::int64_t>("described");
    brook::producer producer{topic};
    for (std::int64_t i = 0; i < 10; ++i) {
        producer.send(i);
    }
    producer.flush();
    {
        brook::consumer consumer{topic, {.group_id = "described"}};
        CHECK(read_to_end(consumer).size() == 10);
        consumer.commit(topic.partition(0), 4, "four");
        const auto now = world.broker().group("described");
        CHECK(now.state == brook::group_state::stable);
        REQUIRE(now.members.size() == 1);
        CHECK(now.members[0].assignment == std::vector<std::pair<std::string, std::int32_t>>{{"described", 0}});
        CHECK(now.lag() == 6);
        REQUIRE(now.partitions.size() == 1);
        CHECK(now.partitions[0].committed == 4);
        CHECK(now.partitions[0].metadata == "four");
        CHECK(code_of([&] { world.broker().delete_group("described"); }) == errc::non_empty_group);
    }
    world.broker().reset_group_offsets("described", topic, [](const auto& one) { return one.log_start_offset() + 1; });
    CHECK(world.broker().group("described").lag() == 9);
    const auto all = world.broker().groups();
    CHECK(std::find(all.begin(), all.end(), "described") != all.end());
    world.broker().delete_group("described");
    CHECK(code_of([&] { static_cast<void>(world.broker().group("described")); }) == errc::group_id_not_found);
}

TEST_CASE("consumers of a pattern read what matches, and what comes later", "[kafka][real]") {
    brook::kafka::broker cluster{the_kafka().bootstrap_servers(), {.consumer_properties = {{"topic.metadata.refresh.interval.ms", "500"}}}};
    const auto fill = [&](const std::string& name) {
        auto topic = cluster.create_topic<std::string, std::int64_t>(name);
        brook::producer producer{topic};
        producer.send(name, 1);
        producer.flush();
    };
    fill("sensors.attic.temperature");
    fill("sensors.attic.humidity");
    fill("sensors.temperature");
    brook::consumer<std::string, std::int64_t, brook::kafka::broker> consumer{cluster, brook::topic_pattern{"sensors.*.temperature"}, {.group_id = "pattern"}};
    std::set<std::string> names;
    const auto read = [&](std::size_t wanted) {
        for (int i = 0; i < 300 && names.size() < wanted; ++i) {
            auto records = consumer.poll(100ms);
            for (const auto& record : records) {
                names.insert(std::string{record.key()});
            }
        }
    };
    read(1);
    CHECK(names == std::set<std::string>{"sensors.attic.temperature"});
    fill("sensors.cellar.temperature");
    read(2);
    CHECK(names == std::set<std::string>{"sensors.attic.temperature", "sensors.cellar.temperature"});
}

TEST_CASE("Kafka's console consumer and kcat read what brook has written", "[kafka][real]") {
    real_world world;
    auto topic = world.topic<std::string, std::string>("out", 3);
    brook::producer producer{topic};
    std::vector<std::string> kcat;
    std::vector<std::string> console;
    for (int i = 0; i < 50; ++i) {
        const std::string n = std::to_string(i);
        const std::int64_t ms = 1'700'000'000'000 + i;
        const auto at = producer.send({.key = "k" + n, .value = "v" + n, .headers = {{"h", "x" + n}}, .timestamp = brook::timestamp{std::chrono::milliseconds{ms}}}).get();
        kcat.push_back(std::to_string(at.partition) + '|' + std::to_string(at.offset) + "|k" + n + "|v" + n + '|' + std::to_string(ms) + "|h=x" + n);
        console.push_back("CreateTime:" + std::to_string(ms) + "\tPartition:" + std::to_string(at.partition) + "\tOffset:" + std::to_string(at.offset) + "\th:x" + n + "\tk" + n + "\tv" + n);
    }
    std::sort(kcat.begin(), kcat.end());
    std::sort(console.begin(), console.end());
    const auto servers = the_kafka().bootstrap_servers();
    CHECK(lines_of(run_to_end({"kcat", "-q", "-C", "-b", servers, "-t", "out", "-o", "beginning", "-e", "-f", "%p|%o|%k|%s|%T|%h\\n"}, the_kafka().path("kcat.out"))) == kcat);
    auto words = brook::test::kafka_server::java("kafka.tools.ConsoleConsumer", {"--bootstrap-server", servers, "--topic", "out", "--from-beginning", "--max-messages", "50"});
    for (const char* const what : {"print.key=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.timestamp=true"}) {
        words.insert(words.end(), {"--property", what});
    }
    std::vector<std::string> lines;
    for (auto& line : lines_of(run_to_end(words, the_kafka().path("console.out")))) {
        if (line.starts_with("CreateTime")) {  // others are of its log
            lines.push_back(std::move(line));
        }
    }
    CHECK(lines == console);
}

TEST_CASE("brook reads what Kafka's console producer and kcat have written", "[kafka][real]") {
    real_world world;
    auto topic = world.topic<std::string, std::string>("in", 3);
    const auto servers = the_kafka().bootstrap_servers();
    {
        std::ofstream file{the_kafka().path("kcat.in")};
        for (int i = 0; i < 20; ++i) {
            file << 'k' << i << ':' << 'v' << i << '\n';
        }
    }
    static_cast<void>(run_to_end({"kcat", "-q", "-P", "-b", servers, "-t", "in", "-K", ":", "-H", "from=kcat", "-X", "partitioner=murmur2_random"}, the_kafka().path("kcat.log"), the_kafka().path("kcat.in")));
    {
        std::ofstream file{the_kafka().path("console.in")};
        for (int i = 20; i < 40; ++i) {
            file << "from:console\tk" << i << ':' << 'v' << i << '\n';
        }
    }
    static_cast<void>(run_to_end(brook::test::kafka_server::java("kafka.tools.ConsoleProducer", {"--bootstrap-server", servers, "--topic", "in", "--property", "parse.key=true", "--property",
                                                                                                  "key.separator=:", "--property", "parse.headers=true", "--property", "headers.separator=,"}),
                                 the_kafka().path("console.log"), the_kafka().path("console.in")));
    brook::consumer consumer{topic};
    const auto all = read_to_end(consumer);
    REQUIRE(all.size() == 40);
    std::set<std::string> keys;
    for (const auto& one : all) {
        keys.insert(one.key);
        CHECK(one.value == 'v' + one.key.substr(1));
        CHECK(one.partition == brook::partition_for_key(brook::as_bytes(one.key), 3));  // theirs, and ours
        REQUIRE(one.headers.size() == 1);
        CHECK(one.headers[0] == std::pair<std::string, std::string>{"from", std::stoi(one.key.substr(1)) < 20 ? "kcat" : "console"});
    }
    CHECK(keys.size() == 40);
}

TEST_CASE("wrong credentials are told at once, right ones are not", "[kafka][real]") {
    const auto cluster = [](const std::string& password) {
        return brook::kafka::broker{the_kafka().sasl_servers(),
                                    {.properties = {{"security.protocol", "SASL_PLAINTEXT"}, {"sasl.mechanism", "PLAIN"}, {"sasl.username", "tester"}, {"sasl.password", password}}}};
    };
    auto right = cluster("secret");
    auto topic = right.create_topic<no_key, std::int64_t>("guarded");
    brook::producer producer{topic};
    CHECK(producer.send(std::int64_t{1}).get().offset == 0);
    const auto begin = std::chrono::steady_clock::now();
    auto wrong = cluster("guessed");
    const auto told = outcome_of([&] { static_cast<void>(wrong.topic<no_key, std::int64_t>("guarded")); });
    CHECK(told.code == errc::authentication_failed);
    CHECK(code_of([&] { static_cast<void>(wrong.begin_transaction({.transactional_id = "t"})); }) == errc::authentication_failed);
    CHECK(std::chrono::steady_clock::now() - begin < 30s);  // default_api_timeout is a minute
}

TEST_CASE("the cluster's limit of a record's size is told", "[kafka][real]") {
    brook::kafka::broker cluster{the_kafka().bootstrap_servers(), {.producer_properties = {{"message.max.bytes", "10000000"}}}};
    auto topic = cluster.create_topic<no_key, std::string>("limited");
    brook::producer producer{topic};
    CHECK(code_of([&] { producer.send(std::string(5'000'000, 'x')).get(); }) == errc::record_too_large);
    CHECK(producer.send("small").get().offset == 0);
}

TEST_CASE("a cluster that is killed and started again under load loses nothing that was acknowledged, and has nothing twice", "[kafka][real][outage]") {
    real_world world;
    auto topic = world.topic<std::string, std::int64_t>("killed", 3);
    const int count = many();
    std::set<std::int64_t> acknowledged;
    std::atomic<int> failed{0};
    std::atomic<int> unknown{0};
    std::atomic<int> told{0};
    {
        std::vector<std::int64_t> sent;
        brook::producer producer{topic, {.linger = 1ms, .delivery_timeout = 60s, .on_delivery = [&](const brook::record_metadata&, std::error_code why) {
                                             ++told;
                                             failed += why && why != errc::timed_out ? 1 : 0;
                                             unknown += why == errc::timed_out ? 1 : 0;
                                         }}};
        std::vector<std::pair<std::int64_t, brook::delivery>> deliveries;
        for (std::int64_t i = 0; i < count; ++i) {
            deliveries.emplace_back(i, producer.send("k" + std::to_string(i % 100), i));
            if (i == count / 3) {
                the_kafka().kill();
                std::this_thread::sleep_for(300ms);
                the_kafka().start();
            }
            if (i == 2 * count / 3) {
                the_kafka().freeze();
                std::this_thread::sleep_for(2s);
                the_kafka().thaw();
            }
        }
        for (auto& [value, delivery] : deliveries) {
            std::error_code why;
            static_cast<void>(delivery.get(why));
            if (!why) {
                acknowledged.insert(value);
            }
        }
    }
    CHECK(told == count);
    CHECK(static_cast<int>(acknowledged.size()) + failed + unknown == count);
    brook::consumer consumer{topic};
    std::map<std::int64_t, int> found;
    brook::test::take_to_end(consumer, [&](const auto& record) { ++found[record.value()]; });
    int lost = 0;
    int twice = 0;
    for (const std::int64_t one : acknowledged) {
        lost += found.count(one) == 0 ? 1 : 0;
    }
    for (const auto& [value, often] : found) {
        twice += often > 1 ? 1 : 0;
    }
    std::printf("killed and frozen under load: %zu acknowledged, %d failed, %d unknown; %d lost, %d twice\n", acknowledged.size(), failed.load(), unknown.load(), lost, twice);
    CHECK(lost == 0);
    CHECK(twice == 0);
}

TEST_CASE("a network that is cut under load, and refuses connections for a while, loses nothing that was acknowledged, and has nothing twice", "[kafka][real][outage]") {
    auto& proxy = the_kafka().proxy();
    brook::kafka::broker cluster{proxy.address(), brook::test::mock_world::quick()};
    SECTION("nor anything else, where producers have the time to wait") {
        auto topic = cluster.create_topic<no_key, std::int64_t>("cut", {.partitions = 3});
        const auto counts = brook::test::send_and_read_through_cuts(proxy, topic, 1s, 60s);
        CHECK(counts.failed == 0);
        CHECK(counts.unknown == 0);
        CHECK(counts.twice == 0);
    }
    SECTION("nor anything that has failed, where they have not") {
        auto topic = cluster.create_topic<no_key, std::int64_t>("cut-impatient", {.partitions = 3});
        const auto counts = brook::test::send_and_read_through_cuts(proxy, topic, 2s, 300ms);
        CHECK(counts.failed + counts.unknown > 0);
        CHECK(counts.twice == 0);
    }
}

namespace {

[[nodiscard]] bool is_through(const brook::kafka::mirror& mirror, std::uint64_t records, std::chrono::seconds longest) {
    const auto deadline = std::chrono::steady_clock::now() + longest;
    while (std::chrono::steady_clock::now() < deadline) {
        const auto now = mirror.progress();
        if (!now.is_running) {
            std::printf("the mirror has ended: %s\n", now.trouble.text.c_str());
            return false;
        }
        if (now.is_caught_up() && now.records >= records) {
            return true;
        }
        std::this_thread::sleep_for(20ms);
    }
    const auto now = mirror.progress();
    std::printf("the mirror is not through: %llu records, lag %lld, %s\n", static_cast<unsigned long long>(now.records), static_cast<long long>(now.lag()), now.trouble.text.c_str());
    return false;
}

}  // namespace

TEST_CASE("a mirror carries a topic up and another one down, equal, in order and once, with the cluster stopped three times", "[kafka][real][outage]") {
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    real_world world;
    const std::int64_t count = many();
    auto edge = local.create_topic<std::string, std::int64_t>("edge", {.partitions = 3});
    auto central = world.topic<std::string, std::int64_t>("central", 3);
    auto back = local.create_topic<std::string, std::int64_t>("back", {.partitions = 3});
    brook::producer producer{edge};
    const auto begin = std::chrono::steady_clock::now();
    for (int part = 0; part < 4; ++part) {
        brook::kafka::mirror up{edge, central, {.name = "test", .batch_records = 2'000, .retry_backoff = 100ms}};
        brook::kafka::mirror down{central, back, {.name = "test", .batch_records = 2'000, .retry_backoff = 100ms}};
        for (std::int64_t i = part * count / 4; i < (part + 1) * count / 4; ++i) {
            const brook::timestamp time{std::chrono::milliseconds{1'700'000'000'000 + i}};
            if (i % 1'000 == 999) {
                producer.send({.key = "k" + std::to_string(i % 500), .value = brook::tombstone, .headers = {}, .timestamp = time});
            } else {
                producer.send({.key = "k" + std::to_string(i % 500), .value = i, .headers = {{"number", std::to_string(i)}, {"null"}}, .timestamp = time});
            }
        }
        if (part < 3) {  // in the middle of it
            for (const brook::test::patience left; up.progress().records == 0;) {
                left.require_left([&] { return "the mirror's first record; it tells of " + up.progress().trouble.text; });
                std::this_thread::sleep_for(1ms);
            }
            part == 0 ? the_kafka().kill() : the_kafka().stop();
            std::this_thread::sleep_for(500ms);
            the_kafka().start();
        }
        if (part == 1) {
            continue;  // stopped where they are, and made again
        }
        REQUIRE(is_through(up, 1, 300s));
        REQUIRE(is_through(down, 1, 300s));
    }
    const double seconds = std::chrono::duration<double>{std::chrono::steady_clock::now() - begin}.count();
    brook::consumer of_edge{edge, {.max_poll_records = 10'000}};
    brook::consumer of_back{back, {.max_poll_records = 10'000}};
    brook::consumer of_central{central, {.max_poll_records = 10'000}};
    auto original = read_to_end(of_edge);
    auto above = read_to_end(of_central);
    auto below = read_to_end(of_back);
    REQUIRE(original.size() == static_cast<std::size_t>(count));
    for (auto* const all : {&original, &above, &below}) {  // offsets are each side's own; their order is not
        for (auto& one : *all) {
            one.offset = 0;
        }
    }
    CHECK(above.size() == original.size());
    CHECK(below.size() == original.size());
    CHECK((above == original));
    CHECK((below == original));
    std::printf("mirrored up and down, three outages: %lld records, %zu above, %zu back; %s; %.1f s\n", static_cast<long long>(count), above.size(), below.size(),
                above == original && below == original ? "equal, in order, once" : "NOT EQUAL", seconds);
}

TEST_CASE("a mirror that comes later under a name ends the one that has it", "[kafka][real]") {
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    real_world world;
    auto from = local.create_topic<no_key, std::int64_t>("twice");
    auto to = world.topic<no_key, std::int64_t>("twice");
    brook::producer producer{from};
    producer.send(std::int64_t{1});
    brook::kafka::mirror first{from, to, {.name = "one"}};
    REQUIRE(is_through(first, 1, 60s));
    brook::kafka::mirror second{from, to, {.name = "one"}};
    producer.send(std::int64_t{2});
    REQUIRE(is_through(second, 0, 60s));
    for (int i = 0; i < 600 && (first.progress().is_running || !second.progress().is_running); ++i) {
        producer.send(std::int64_t{3 + i});
        std::this_thread::sleep_for(50ms);
    }
    CHECK_FALSE(first.progress().is_running);
    CHECK(first.progress().trouble.code == errc::producer_fenced);
    REQUIRE(is_through(second, 0, 60s));
    brook::consumer consumer{to};
    const auto all = read_to_end(consumer);
    brook::consumer local_consumer{from};
    CHECK(all.size() == read_to_end(local_consumer).size());
    CHECK(code_of([&] { brook::kafka::mirror nameless{from, to, {}}; }) == errc::invalid_config);
    auto wider = local.create_topic<no_key, std::int64_t>("wider", {.partitions = 2});
    CHECK(code_of([&] { brook::kafka::mirror uneven{wider, to, {.name = "two"}}; }) == errc::invalid_config);
}
