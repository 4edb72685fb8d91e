// Topics of a cluster: made and deleted on any of its brokers, and there on all.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <brook/replication.hpp>

#include "broker/outcome.hpp"
#include "client/cluster_world.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"

namespace client_cluster_topic_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;
using brook::test::code_of;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::outcome_of;
using brook::test::send_numbers;

namespace {

/// What a topic was made with, as a broker has it.
template <class Topic>
[[nodiscard]] const broker_room::topic_meta& meta_of(const Topic& topic) {
    return brook::detail::access::engine(topic).state()->meta;
}

}  // namespace

TEST_CASE("a topic that is made on any broker is there on all, with the same id and options", "[client][cluster]") {
    cluster_world here;
    const int maker = GENERATE(1, 2, 3);
    const auto made = here.numbers({.partitions = 4, .replication_factor = 3, .min_insync_replicas = 2, .segment_bytes = 65'536, .retention = 1h}, maker);
    CHECK(made.partition_count() == 4);
    for (const int id : {1, 2, 3}) {
        const auto seen = here.topic(id);
        CHECK(meta_of(seen).id == meta_of(made).id);
        CHECK(meta_of(seen).encode() == meta_of(made).encode());
        CHECK(meta_of(seen).min_insync_replicas == 2);
        CHECK(seen.partition_count() == 4);
        CHECK(here[id].create_topic<no_key, std::uint64_t>("numbers", {.partitions = 4, .segment_bytes = 65'536}).name() == "numbers");
        CHECK(here[id].topics() == std::vector<std::string>{"numbers"});
        for (std::int32_t i = 0; i < 4; ++i) {
            CHECK(seen.partition(i).replication().replicas == made.partition(i).replication().replicas);
            CHECK(seen.partition(i).replication().replicas.size() == 3);
        }
    }
    std::vector<int> preferred;
    for (std::int32_t i = 0; i < 4; ++i) {
        preferred.push_back(made.partition(i).replication().replicas.front());
    }
    std::sort(preferred.begin(), preferred.end());
    CHECK(std::unique(preferred.begin(), preferred.end()) == preferred.begin() + 3);  // leads go round
}

TEST_CASE("of two brokers that make a topic at once the first wins, whom the other agrees with or not", "[client][cluster]") {
    cluster_world here;
    const bool do_agree = GENERATE(true, false);
    for (int round = 0; round < 5; ++round) {
        const std::string name = "topic" + std::to_string(round);
        std::atomic<int> made{0};
        std::atomic<int> refused{0};
        std::vector<std::thread> makers;
        for (const int id : {1, 2, 3}) {
            makers.emplace_back([&, id] {
                const auto code = code_of([&] { static_cast<void>(here.numbers({.partitions = do_agree ? 2 : id, .replication_factor = 3}, id, name)); });
                (code ? refused : made).fetch_add(1);
                if (code && code != errc::topic_already_exists) {
                    made.fetch_add(100);
                }
            });
        }
        for (auto& one : makers) {
            one.join();
        }
        CHECK(made.load() == (do_agree ? 3 : 1));
        CHECK(refused.load() == (do_agree ? 0 : 2));
        const auto first = here.topic(1, name);
        for (const int id : {2, 3}) {
            CHECK(meta_of(here.topic(id, name)).encode() == meta_of(first).encode());
        }
    }
}

TEST_CASE("a topic of other types is refused on every broker", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers());
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
        CHECK(code_of([&] { static_cast<void>(here[id].topic<std::string, std::string>("numbers")); }) == errc::schema_mismatch);
        CHECK(code_of([&] { static_cast<void>(here[id].create_topic<std::string, std::string>("numbers", {.replication_factor = 3})); }) == errc::schema_mismatch);
        CHECK(code_of([&] { static_cast<void>(here[id].topic<std::string, std::string>("typo")); }) == errc::unknown_topic_or_partition);
    }
}

TEST_CASE("a topic that is deleted on any broker goes on all, and everybody is told", "[client][cluster]") {
    cluster_world here;
    const int deleter = GENERATE(1, 2, 3);
    const auto made = here.numbers();
    send_numbers(made, 0, 10);
    std::vector<numbers_topic> seen;
    std::vector<brook::producer<no_key, std::uint64_t>> producers;
    std::vector<std::thread> waiting;
    std::atomic<int> told{0};
    for (const int id : {1, 2, 3}) {
        seen.push_back(here.topic(id));
        producers.emplace_back(seen.back());
        static_cast<void>(producers.back().send({.value = 10}).get());
    }
    for (const auto& one : seen) {
        REQUIRE(cluster_world::reaches(one, 13));
        waiting.emplace_back([&told, one] {
            const auto code = code_of([&] {
                brook::consumer consumer{one};
                for (;;) {
                    static_cast<void>(consumer.poll());
                }
            });
            told.fetch_add(code == errc::unknown_topic_or_partition ? 1 : 100);
        });
    }
    here[deleter].delete_topic("numbers");
    for (auto& one : waiting) {
        one.join();
    }
    CHECK(told.load() == 3);
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::eventually([&] { return !here.has(id, "numbers"); }));
        CHECK(code_of([&] { static_cast<void>(producers[static_cast<std::size_t>(id - 1)].send({.value = 1}).get()); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { static_cast<void>(seen[static_cast<std::size_t>(id - 1)].partition(0).log_end_offset()); }) == errc::unknown_topic_or_partition);
        CHECK(code_of([&] { here[id].delete_topic("numbers"); }) == errc::unknown_topic_or_partition);
    }
}

TEST_CASE("a topic of a deleted one's name is another one", "[client][cluster]") {
    cluster_world here;
    const auto before = here.numbers();
    send_numbers(before, 0, 10);
    for (int round = 0; round < 4; ++round) {
        const int deleter = 1 + round % 3;
        static_cast<void>(here.topic(deleter));
        here[deleter].delete_topic("numbers");
        const int maker = 1 + (round + 1) % 3;
        const auto made = here.numbers({.partitions = round + 2, .replication_factor = 3}, maker);  // as soon as one of them has heard of it
        CHECK(made.partition_count() == round + 2);
        send_numbers(made, 0, 3);
        CHECK(cluster_world::eventually([&] {
            for (const int id : {1, 2, 3}) {
                if (!here.has(id, "numbers") || here[id].topic<no_key, std::uint64_t>("numbers").partition_count() != round + 2) {
                    return false;
                }
            }
            return true;
        }));
        for (const int id : {1, 2, 3}) {
            CHECK(meta_of(here.topic(id)).id == meta_of(made).id);
        }
    }
    CHECK(code_of([&] { static_cast<void>(before.partition(0).log_end_offset()); }) == errc::unknown_topic_or_partition);
}

TEST_CASE("who was away finds the topics that were made meanwhile, and not those that were deleted", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3}, 1, "old"));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id, "old"));
    }
    const int away = GENERATE(1, 3);
    const int there = away == 1 ? 2 : 1;
    here.stop(away);
    here[there].delete_topic("old");
    send_numbers(here.numbers({.replication_factor = 3}, there, "new"), 0, 5);
    here.start(away);
    CHECK(cluster_world::read_numbers(here.topic(away, "new"), 5) == numbers_to(5));
    CHECK(cluster_world::eventually([&] { return !here.has(away, "old"); }));
}

TEST_CASE("a topic that answers get lost of is made once, and deleted once", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3}, 1, "first"));
    here.network.set_faults({.drop = 0.2, .duplicate = 0.2, .reorder = 0.2});
    for (int round = 0; round < 6; ++round) {
        const int id = 1 + round % 3;
        const std::string name = "topic" + std::to_string(round);
        CHECK(code_of([&] { static_cast<void>(here.numbers({.replication_factor = 3}, id, name)); }) == std::error_code{});
        CHECK(code_of([&] { here[id].delete_topic(name); }) == std::error_code{});
        CHECK_FALSE(here.has(id, name));
    }
    here.network.heal();
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::eventually([&] { return here[id].topics() == std::vector<std::string>{"first"}; }));
    }
}

TEST_CASE("replication_factor says how many brokers decide, and all have the records", "[client][cluster]") {
    cluster_world here;
    const int factor = GENERATE(1, 2, 3);
    const auto made = here.numbers({.partitions = 3, .replication_factor = factor});
    for (std::int32_t i = 0; i < 3; ++i) {
        CHECK(made.partition(i).replication().replicas.size() == static_cast<std::size_t>(factor));
        const auto replicas = made.partition(i).replication().replicas;
        CHECK(cluster_world::eventually([&] { return std::find(replicas.begin(), replicas.end(), here.await_leader({1, 2, 3}, i)) != replicas.end(); }));
        brook::producer producer{made};
        offset last = 0;
        for (std::uint64_t k = 0; k < 20; ++k) {
            last = producer.send({.value = k, .partition = i}).get().offset;
        }
        for (const int id : {1, 2, 3}) {
            const auto seen = here.topic(id);
            REQUIRE(cluster_world::reaches(seen, last + 1, i));
            CHECK(brook::test::read_numbers(seen, i) == numbers_to(20));
        }
    }
    CHECK(code_of([&] { static_cast<void>(here.numbers({.replication_factor = 4}, 2, "more")); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(here.numbers({.replication_factor = 2, .min_insync_replicas = 3}, 2, "more")); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(here.numbers({.replication_factor = 0}, 2, "more")); }) == errc::invalid_config);
}

TEST_CASE("topic patterns find the topics that come from other brokers", "[client][cluster]") {
    cluster_world here;
    brook::consumer<no_key, std::uint64_t> all{here[3], topic_pattern{"sensors.#"}};
    CHECK(all.poll(0s).empty());
    std::vector<std::uint64_t> read;
    std::uint64_t sent = 0;
    for (const int maker : {1, 2, 3}) {
        const auto made = here.numbers({.replication_factor = 3}, maker, "sensors." + std::to_string(maker));
        send_numbers(made, sent, sent + 5);
        sent += 5;
        CHECK(cluster_world::eventually([&] {
            for (const auto& record : all.poll(10ms)) {
                read.push_back(record.value());
            }
            return read.size() == sent;
        }));
    }
    CHECK(read == numbers_to(15));
    here[1].delete_topic("sensors.2");
    CHECK(cluster_world::eventually([&] { return all.poll(1ms).empty() && all.assignment().size() == 2; }));
}

}  // namespace client_cluster_topic_test
