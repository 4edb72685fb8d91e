// What a cluster goes on with when brokers are stopped, killed, cut off or lost.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
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

#include <brook/replication.hpp>

#include "broker/outcome.hpp"
#include "client/cluster_world.hpp"
#include "client/reading.hpp"
#include "support/catch.hpp"

namespace client_cluster_failover_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;
using brook::test::code_of;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::outcome_of;
using brook::test::send_numbers;
using brook::test::temp_directory;
using brook::test::texts_topic;

namespace {

/// What becomes of a record that could not be committed, as far as anybody knows.
[[nodiscard]] bool is_open(std::error_code code) { return code == errc::timed_out || code == errc::not_leader_or_follower || code == errc::not_enough_replicas; }

/// Reads as long as it is told to, and notes whether an offset ever showed two values.
class watcher {
public:
    explicit watcher(const numbers_topic& topic) {
        thread_ = std::thread{[this, topic] {
            brook::consumer consumer{topic};
            while (!is_over_.load()) {
                for (const auto& record : consumer.poll(1ms)) {
                    seen_.emplace_back(record.offset(), record.value());
                }
            }
        }};
    }
    watcher(const watcher&) = delete;
    watcher& operator=(const watcher&) = delete;
    ~watcher() { static_cast<void>(end()); }

    [[nodiscard]] const std::vector<std::pair<offset, std::uint64_t>>& end() {
        is_over_.store(true);
        if (thread_.joinable()) {
            thread_.join();
        }
        return seen_;
    }

private:
    std::atomic<bool> is_over_{false};
    std::vector<std::pair<offset, std::uint64_t>> seen_;
    std::thread thread_;
};

[[nodiscard]] std::vector<std::pair<offset, std::uint64_t>> all_of(const numbers_topic& topic) {
    brook::consumer consumer{topic};
    std::vector<std::pair<offset, std::uint64_t>> all;
    while (!consumer.caught_up()) {
        for (const auto& record : consumer.poll(0s)) {
            all.emplace_back(record.offset(), record.value());
        }
    }
    return all;
}

}  // namespace

TEST_CASE("with its leader stopped or killed a partition goes on, and has all that was acknowledged", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    const bool is_killed = GENERATE(true, false);
    std::uint64_t next = 0;
    for (int round = 0; round < 3; ++round) {
        const int leader = here.await_leader(here.running());
        const int other = here.other_than(leader);
        send_numbers(here.topic(other), next, next + 50);
        next += 50;
        is_killed ? here.kill(leader) : here.stop(leader);
        send_numbers(here.topic(other), next, next + 50);
        next += 50;
        here.start(leader);
        CHECK(cluster_world::read_numbers(here.topic(leader), next) == numbers_to(next));  // it has caught up
        CHECK(cluster_world::eventually([&] { return !here.topic(leader).partition(0).replication().is_suspect; }));
    }
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::read_numbers(here.topic(id), next) == numbers_to(next));
    }
}

TEST_CASE("a leader that is cut off acknowledges nothing more, and what it was sent is there once at most", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    send_numbers(here.topic(1), 0, 20);
    const int leader = here.await_leader({1, 2, 3});
    const auto of_leader = here.topic(leader);
    brook::producer cut{of_leader, {.delivery_timeout = 600ms}};
    here.network.isolate(leader);
    std::vector<delivery> deliveries;
    for (std::uint64_t i = 1'000; i < 1'010; ++i) {
        deliveries.push_back(cut.send({.value = i}));
    }
    std::thread there{[&] { send_numbers(here.topic(here.other_than(leader)), 20, 100); }};
    std::set<std::uint64_t> acknowledged;
    for (std::size_t i = 0; i < deliveries.size(); ++i) {
        std::error_code code;
        static_cast<void>(deliveries[i].get(code));
        CHECK(is_open(code));
    }
    there.join();
    CHECK(cluster_world::eventually([&] { return !of_leader.partition(0).replication().is_leader; }));  // it has given up
    for (const auto& [at, value] : all_of(of_leader)) {
        CHECK(value < 1'000);  // and shows nothing that is not committed
    }
    here.network.heal();
    send_numbers(here.topic(leader), 100, 101);
    const auto wanted = [&] {
        const auto first = here.topic(here.other_than(leader));
        REQUIRE(cluster_world::eventually([&] { const auto all = all_of(first); return !all.empty() && all.back().second == 100; }));
        return all_of(first);
    }();
    for (const int id : {1, 2, 3}) {
        const auto seen = here.topic(id);
        REQUIRE(cluster_world::reaches(seen, wanted.back().first + 1));
        CHECK(all_of(seen) == wanted);
    }
    std::vector<std::uint64_t> counted;
    for (const auto& [at, value] : wanted) {
        counted.push_back(value);
    }
    std::sort(counted.begin(), counted.end());
    CHECK(std::unique(counted.begin(), counted.end()) == counted.end());
    for (std::uint64_t i = 0; i <= 100; ++i) {
        CHECK(std::binary_search(counted.begin(), counted.end(), i));
    }
}

TEST_CASE("who is cut off with a producer sends on when the network is back, and nothing is there twice", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    std::vector<std::thread> sending;
    constexpr std::uint64_t each = 150;
    std::atomic<int> failed{0};
    for (const int id : {1, 2, 3}) {
        sending.emplace_back([&here, &failed, id] {
            brook::producer producer{here.topic(id), {.delivery_timeout = 30s}};
            for (std::uint64_t i = 0; i < each; ++i) {
                std::error_code code;
                static_cast<void>(producer.send({.value = static_cast<std::uint64_t>(id) * 1'000 + i}).get(code));
                failed.fetch_add(code ? 1 : 0);
            }
        });
    }
    for (int round = 0; round < 6; ++round) {
        const int id = 1 + round % 3;
        const auto before = here.topic(here.other_than(id)).partition(0).log_end_offset();
        here.network.isolate(id);
        CHECK(cluster_world::eventually([&] {  // the others go on, or are through
            const auto state = here.topic(here.other_than(id)).partition(0).replication();
            return state.leader >= 0 && state.leader != id && (state.high_watermark > before + 10 || state.high_watermark > 400);
        }));
        here.network.heal();
    }
    for (auto& one : sending) {
        one.join();
    }
    CHECK(failed.load() == 0);
    for (const int id : {1, 2, 3}) {
        std::vector<std::uint64_t> all = cluster_world::read_numbers(here.topic(id), 3 * each);
        std::uint64_t next[4] = {};
        bool are_ordered = true;
        for (const std::uint64_t value : all) {
            are_ordered = are_ordered && value % 1'000 == next[value / 1'000]++;
        }
        CHECK(are_ordered);
        CHECK(all.size() == 3 * each);
    }
}

TEST_CASE("without a majority what is there can be read, and nothing can be written", "[client][cluster]") {
    cluster_world here;
    const auto made = here.numbers({.replication_factor = 3});
    send_numbers(made, 0, 30);
    for (const int id : {1, 2, 3}) {
        REQUIRE(cluster_world::read_numbers(here.topic(id), 30).size() == 30);
    }
    const int left = GENERATE(1, 2, 3);
    for (const int id : {1, 2, 3}) {
        if (id != left) {
            here.kill(id);
        }
    }
    const auto topic = here.topic(left);
    CHECK(cluster_world::read_numbers(topic, 30) == numbers_to(30));
    brook::producer producer{topic, {.delivery_timeout = 500ms}};
    const auto told = outcome_of([&] { static_cast<void>(producer.send({.value = 99}).get()); });
    CHECK(is_open(told.code));
    CHECK((told.names("a majority of its replicas cannot be reached") || told.names("whether it is there shows later") || told.names("in sync")));
    CHECK(cluster_world::eventually([&] { return topic.partition(0).leader() == -1; }));
    const auto again = outcome_of([&] { static_cast<void>(producer.send({.value = 98}).get()); });
    CHECK(again.code == errc::not_leader_or_follower);
    CHECK(again.names("nothing was written"));
    CHECK(brook::test::read_numbers(topic) == numbers_to(30));
    here[left].close();  // does not wait for anybody
    here.stop(left);
    for (const int id : {1, 2, 3}) {
        here.start(id);
    }
    for (const int id : {1, 2, 3}) {
        const auto seen = here.topic(id);
        send_numbers(seen, 30, 31);
    }
    const auto all = cluster_world::read_numbers(here.topic(left), 33);
    CHECK(std::count(all.begin(), all.end(), 98u) == 0);
    CHECK(std::count(all.begin(), all.end(), 99u) <= 1);
}

TEST_CASE("five brokers go on with two of them lost", "[client][cluster]") {
    cluster_world here{5};
    const auto made = here.numbers({.partitions = 2, .replication_factor = 5, .min_insync_replicas = 3});
    send_numbers(made, 0, 20);
    for (int id = 1; id <= 5; ++id) {
        static_cast<void>(here.topic(id));
    }
    const int first = here.await_leader({1, 2, 3, 4, 5}, 0);
    here.lose(first);
    const int second = here.await_leader(here.running(), 1);
    here.lose(second);
    const int other = here.other_than(first, second);
    send_numbers(here.topic(other), 20, 40);
    for (const int id : here.running()) {
        auto all = cluster_world::read_numbers(here.topic(id), 40);
        std::sort(all.begin(), all.end());
        CHECK(all == numbers_to(40));
    }
    here.start(first);  // with an empty directory
    here.start(second);
    for (const int id : {first, second}) {
        auto all = cluster_world::read_numbers(here.topic(id), 40);
        std::sort(all.begin(), all.end());
        CHECK(all == numbers_to(40));
    }
}

TEST_CASE("a broker whose directory was removed comes back empty and is filled, and counts again", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    std::uint64_t next = 0;
    for (int round = 0; round < 3; ++round) {
        const int lost = 1 + round;
        send_numbers(here.topic(lost), next, next + 20);
        next += 20;
        here.lose(lost);
        here.start(lost);
        CHECK(cluster_world::read_numbers(here.topic(lost), next) == numbers_to(next));
        CHECK(cluster_world::eventually([&] { return !here.topic(lost).partition(0).replication().is_suspect && !here.is_any_suspect(); }));
    }  // each of them has been lost by now, and nothing is
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::read_numbers(here.topic(id), next) == numbers_to(next));
    }
}

TEST_CASE("an empty directory has no say until it has caught up", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 2}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    send_numbers(here.topic(1), 0, 20);
    const int leader = here.await_leader({1, 2, 3});
    const int behind = here.other_than(leader);
    const int lost = here.other_than(leader, behind);
    here.kill(behind);
    send_numbers(here.topic(leader), 20, 40);  // on the leader and the one that is lost
    here.lose(lost);
    here.kill(leader);
    here.start(behind);
    here.start(lost);
    // A majority of brokers is there, and none of these two has 20 to 39: nobody may lead.
    brook::producer producer{here.topic(behind), {.delivery_timeout = 1s}};
    CHECK(code_of([&] { static_cast<void>(producer.send({.value = 77}).get()); }) == errc::not_leader_or_follower);
    here.start(leader);
    send_numbers(here.topic(behind), 40, 41);
    for (const int id : {1, 2, 3}) {
        CHECK(cluster_world::read_numbers(here.topic(id), 41) == numbers_to(41));
    }
}

TEST_CASE("readers see nothing that is not committed, and nothing that they saw goes", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3}));
    std::vector<std::unique_ptr<watcher>> watchers;
    std::vector<numbers_topic> topics;
    for (const int id : {1, 2, 3}) {
        topics.push_back(here.topic(id));
        watchers.push_back(std::make_unique<watcher>(topics.back()));
    }
    std::atomic<bool> is_over{false};
    std::vector<std::thread> sending;
    for (const int id : {1, 2, 3}) {
        sending.emplace_back([&, id] {  // acks leader: some of it is lost, and nobody may have seen that
            brook::producer producer{topics[static_cast<std::size_t>(id - 1)], {.acks = acks::leader, .delivery_timeout = 200ms}};
            for (std::uint64_t i = 0; !is_over.load(); ++i) {
                std::error_code code;
                static_cast<void>(producer.send({.value = static_cast<std::uint64_t>(id) * 1'000'000 + i}).get(code));
            }
        });
    }
    for (int round = 0; round < 4; ++round) {
        int leader = -1;
        CHECK(cluster_world::eventually([&] {
            for (const auto& one : topics) {
                if (const auto state = one.partition(0).replication(); state.is_leader) {
                    leader = state.leader;
                    return true;
                }
            }
            return false;
        }));
        here.network.isolate(leader);
        CHECK(cluster_world::eventually([&] {
            const auto state = topics[static_cast<std::size_t>(here.other_than(leader) - 1)].partition(0).replication();
            return state.leader >= 0 && state.leader != leader;
        }));
        here.network.heal();
    }
    is_over.store(true);
    for (auto& one : sending) {
        one.join();
    }
    const int leader = here.await_leader({1, 2, 3});
    send_numbers(here.topic(leader), 0, 1);
    const offset end = here.topic(leader).partition(0).log_end_offset();
    for (const auto& one : topics) {
        REQUIRE(cluster_world::reaches(one, end));
    }
    const auto wanted = all_of(here.topic(leader));
    for (auto& one : watchers) {
        const auto& seen = one->end();
        REQUIRE(seen.size() <= wanted.size());
        CHECK(std::equal(seen.begin(), seen.end(), wanted.begin()));
    }
    for (const auto& one : topics) {
        CHECK(all_of(one) == wanted);
    }
}

TEST_CASE("partition tells who leads and how far its replica is, and hands the lead over", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.partitions = 3, .replication_factor = 3}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    for (std::int32_t i = 0; i < 3; ++i) {
        CHECK(cluster_world::eventually([&] { return here.await_leader({1, 2, 3}, i) == here.topic(1).partition(i).replication().replicas.front(); }));
    }
    send_numbers(here.topic(1), 0, 30);
    int leader = 0;
    int follower = 0;
    std::optional<replication_state> state;
    std::optional<replication_state> seen;
    CHECK(cluster_world::eventually([&] {  // an election may come in between, and a follower that is slow: then all of it is asked once more
        leader = here.await_leader({1, 2, 3});
        follower = here.other_than(leader);
        state = here.topic(leader).partition(0).replication();
        seen = here.topic(follower).partition(0).replication();
        return state->is_leader && state->leader == leader && state->in_sync.size() == 3 && state->high_watermark == state->log_end_offset && state->followers.size() == 2 &&
               std::all_of(state->followers.begin(), state->followers.end(),
                           [&](const follower_state& one) {
                               return one.is_voter && one.node_id != leader && one.log_end_offset == state->log_end_offset && one.silent_for >= 0ns;
                           }) &&
               seen->leader == leader && seen->leader_epoch == state->leader_epoch;
    }));
    CHECK_FALSE(seen->is_leader);
    CHECK(seen->in_sync.empty());
    CHECK(seen->followers.empty());
    const auto refused = outcome_of([&] { here.topic(follower).partition(0).transfer_leadership(follower); });
    CHECK(refused.code == errc::not_leader_or_follower);
    CHECK(refused.names("does not lead"));
    CHECK(code_of([&] { here.topic(leader).partition(0).transfer_leadership(17); }) == errc::not_leader_or_follower);
    here.topic(leader).partition(0).transfer_leadership(follower);
    CHECK(cluster_world::eventually([&] {
        const auto now = here.topic(follower).partition(0).replication();
        return now.leader_epoch > state->leader_epoch && now.leader >= 0;
    }));
    send_numbers(here.topic(1), 30, 40);
    here.stop(leader);
    CHECK(cluster_world::eventually([&] {
        const auto now = here.topic(follower).partition(0).replication();
        return now.leader >= 0 && now.leader != leader;
    }));
}

TEST_CASE("force_unclean_leader goes on with what is left, and says so", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers({.replication_factor = 3, .min_insync_replicas = 1}));
    for (const int id : {1, 2, 3}) {
        static_cast<void>(here.topic(id));
    }
    send_numbers(here.topic(1), 0, 20);
    const int left = here.await_leader({1, 2, 3});
    REQUIRE(cluster_world::read_numbers(here.topic(left), 20).size() == 20);
    for (const int id : {1, 2, 3}) {
        if (id != left) {
            here.lose(id);
        }
    }
    const auto topic = here.topic(left);
    CHECK(cluster_world::eventually([&] { return topic.partition(0).leader() == -1; }));
    here.start(left == 1 ? 2 : 1);  // empty: it has no say, and the third will never come back
    brook::producer waiting{topic, {.delivery_timeout = 1s}};
    CHECK(code_of([&] { static_cast<void>(waiting.send({.value = 99}).get()); }) == errc::not_leader_or_follower);
    CHECK(cluster_world::eventually([&] {
        if (topic.partition(0).leader() == -1) {
            topic.partition(0).force_unclean_leader();
        }
        return !code_of([&] { static_cast<void>(waiting.send({.value = 20}).get()); });
    }));
    CHECK_FALSE(here[left].health().is_ok());
    for (const int id : here.running()) {
        auto all = cluster_world::read_numbers(here.topic(id), 21);
        all.erase(std::unique(all.begin(), all.end()), all.end());  // the test sent 20 again when it was not told in time
        CHECK(all == numbers_to(21));
    }
}

TEST_CASE("a broker that is closed fails what is on its way, and handles that outlive it say closed", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers());
    const int id = GENERATE(1, 2, 3);
    const auto topic = here.topic(id);
    send_numbers(topic, 0, 5);
    std::vector<std::unique_ptr<brook::producer<no_key, std::uint64_t>>> producers;
    std::vector<std::thread> sending;
    std::atomic<int> through{0};
    std::atomic<bool> has_begun{false};
    for (int i = 0; i < 3; ++i) {
        sending.emplace_back([&] {
            std::vector<delivery> deliveries;
            try {
                brook::producer producer{topic};
                for (std::uint64_t k = 100;; ++k) {
                    deliveries.push_back(producer.send({.value = k}));
                    if (k % 10 == 0) {
                        static_cast<void>(deliveries.back().get());
                        has_begun.store(true);
                    }
                }
            } catch (const error& why) {
                through.fetch_add(why.code() == errc::closed ? 1 : 100);
            }
            for (auto& one : deliveries) {
                std::error_code code;
                static_cast<void>(one.get(code));
                through.fetch_add(!code || code == errc::closed ? 0 : 100);
            }
        });
    }
    std::thread polling{[&] {
        const auto code = code_of([&] {
            brook::consumer consumer{topic};
            for (;;) {
                static_cast<void>(consumer.poll());
            }
        });
        through.fetch_add(code == errc::closed ? 1 : 100);
    }};
    CHECK(cluster_world::eventually([&] { return has_begun.load(); }));
    here.stop(id);
    for (auto& one : sending) {
        one.join();
    }
    polling.join();
    CHECK(through.load() == 4);
    CHECK(code_of([&] { static_cast<void>(topic.partition(0).leader()); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(topic.partition(0).log_end_offset()); }) == errc::closed);
    CHECK(code_of([&] { topic.partition(0).transfer_leadership(1); }) == errc::closed);
    CHECK(code_of([&] { topic.partition(0).force_unclean_leader(); }) == errc::closed);
    CHECK(code_of([&] { brook::producer late{topic}; }) == errc::closed);
}

TEST_CASE("a cluster of which nobody else is there can be asked, and left", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers());
    static_cast<void>(here.topic(3));
    here.kill(1);
    here.kill(2);
    brook::test::outcome made;
    brook::test::outcome deleted;
    std::thread making{[&] { made = outcome_of([&] { static_cast<void>(here.numbers({.replication_factor = 3}, 3, "more")); }); }};
    std::thread deleting{[&] { deleted = outcome_of([&] { here[3].delete_topic("numbers"); }); }};
    CHECK(here[3].topics() == std::vector<std::string>{"numbers"});
    brook::producer producer{here.topic(3), {.delivery_timeout = 60s}};
    auto left = producer.send({.value = 1});
    here[3].close();
    making.join();
    deleting.join();
    CHECK((made.code == errc::closed || made.code == errc::not_leader_or_follower || made.code == errc::timed_out));
    CHECK((made.code == errc::closed || made.names("'more' was not made")));
    CHECK((deleted.code == errc::closed || deleted.code == errc::not_leader_or_follower || deleted.code == errc::timed_out));
    CHECK((deleted.code == errc::closed || deleted.names("'numbers' was not deleted")));
    CHECK(code_of([&] { static_cast<void>(left.get()); }) == errc::closed);
}

TEST_CASE("a table over a replicated topic has the latest values, on every broker", "[client][cluster]") {
    cluster_world here;
    using pairs = brook::topic<std::string, std::uint64_t>;
    static_cast<void>(here[1].create_topic<std::string, std::uint64_t>("stock", {.partitions = 2, .replication_factor = 3, .segment_bytes = 65'536, .cleanup_policy = cleanup_policy::compact}));
    brook::producer producer{here.topic<pairs>(2, "stock")};
    for (std::uint64_t i = 0; i < 500; ++i) {
        static_cast<void>(producer.send("key" + std::to_string(i % 50), i));
    }
    static_cast<void>(producer.send("key7", tombstone));
    producer.flush();
    for (const int id : {1, 2, 3}) {
        brook::table table{here.topic<pairs>(id, "stock")};
        const auto value_of = [&table](const std::string& key) {
            const auto found = table.find(key);
            return found ? std::optional{found->value()} : std::nullopt;
        };
        CHECK(cluster_world::eventually([&] { return value_of("key49") == 499u && value_of("key48") == 498u && !value_of("key7") && table.size() == 49; }));
        for (std::uint64_t i = 0; i < 50; ++i) {
            if (i != 7) {
                CHECK(value_of("key" + std::to_string(i)) == 450 + i);
            }
        }
        here.kill(here.await_leader<pairs>(here.running(), 0, "stock"));  // what is not committed never shows
        if (here.running().size() < 2) {
            break;
        }
        for (int again = 1; again <= 3; ++again) {
            if (!here.runs(again)) {
                here.start(again);
            }
        }
    }
}

}  // namespace client_cluster_failover_test
