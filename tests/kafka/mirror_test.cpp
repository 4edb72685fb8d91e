#include <brook/kafka/mirror.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <brook/kafka.hpp>

#include "broker/outcome.hpp"
#include "kafka/tcp_proxy.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace kafka_mirror_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::no_key;
using brook::test::code_of;
using brook::test::mock_world;
using brook::test::read_to_end;

namespace {

/// Until it has come to the end, or has ended.
[[nodiscard]] brook::kafka::mirror_progress wait_for(const brook::kafka::mirror& mirror, std::uint64_t records) {
    for (int i = 0; i < 1'500; ++i) {
        auto now = mirror.progress();
        if (!now.is_running || (now.is_caught_up() && now.records >= records)) {
            return now;
        }
        std::this_thread::sleep_for(20ms);
    }
    return mirror.progress();
}

}  // namespace

TEST_CASE("a mirror brings a cluster's topic down, goes on where it stopped, and brings nothing twice", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    auto above = world.topic<std::string, std::int64_t>("prices", 2);
    brook::producer producer{above};
    const auto send = [&](std::int64_t first, std::int64_t end) {
        for (std::int64_t i = first; i < end; ++i) {
            producer.send({.key = "k" + std::to_string(i), .value = i, .headers = {{"n", std::to_string(i)}}, .timestamp = brook::timestamp{std::chrono::milliseconds{i}}});
        }
        producer.send("gone", brook::tombstone);
        producer.flush();
    };
    send(0, 100);
    std::uint64_t carried = 0;
    for (int life = 0; life < 3; ++life) {  // of the local broker, too
        brook::broker local{directory / "data"};
        auto below = local.create_topic<std::string, std::int64_t>("prices", {.partitions = 2});
        brook::kafka::mirror down{above, below, {.name = "edge", .batch_records = 10}};
        const auto now = wait_for(down, life == 0 ? 101 : life == 1 ? 51 : 0);
        CHECK(now.is_running);
        CHECK(now.lag() == 0);
        carried += now.records;
        if (life == 0) {
            down.stop();
            CHECK_FALSE(down.progress().is_running);
            send(100, 150);
        }
    }
    CHECK(carried == 152);
    brook::broker local{directory / "data"};
    auto below = local.topic<std::string, std::int64_t>("prices");
    brook::consumer of_above{above};
    brook::consumer of_below{below};
    CHECK((read_to_end(of_above) == read_to_end(of_below)));
}

TEST_CASE("a mirror bears with a cluster that does not answer, and tells what it waits for", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto above = world.topic<no_key, std::int64_t>("down");
    auto below = local.create_topic<no_key, std::int64_t>("down");
    {
        brook::producer producer{above};
        producer.send(std::int64_t{1});
        producer.flush();
    }
    world.cluster().set_up(false);
    brook::kafka::broker impatient{world.cluster().bootstrap_servers(), [] {
                                       auto options = mock_world::quick();
                                       options.default_api_timeout = 200ms;
                                       return options;
                                   }()};
    world.cluster().set_up(true);
    auto again = impatient.topic<no_key, std::int64_t>("down");
    world.cluster().set_up(false);
    brook::kafka::mirror down{again, below, {.name = "edge", .retry_backoff = 10ms}};
    for (int i = 0; i < 1'000 && !down.progress().trouble; ++i) {
        std::this_thread::sleep_for(10ms);
    }
    const auto troubled = down.progress();
    CHECK(troubled.trouble.code != std::error_code{});
    CHECK(troubled.is_running);
    world.cluster().set_up(true);
    const auto now = wait_for(down, 1);
    CHECK(now.records == 1);
    CHECK(now.beginnings > 1);
    brook::consumer consumer{below};
    CHECK(read_to_end(consumer).size() == 1);
}

TEST_CASE("a mirror carries a local topic up", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<std::string, std::string>("outbox", {.partitions = 3});
    auto above = world.topic<std::string, std::string>("inbox", 3);
    brook::producer producer{below};
    brook::kafka::mirror up{below, above, {.name = "edge"}};
    for (int i = 0; i < 500; ++i) {
        producer.send({.key = "k" + std::to_string(i), .value = std::to_string(i), .headers = {{"n", std::to_string(i)}, {"null"}}, .timestamp = brook::timestamp{std::chrono::milliseconds{1 + i}}});
    }
    const auto now = wait_for(up, 500);
    CHECK(now.records == 500);
    CHECK(now.lag() == 0);
    brook::consumer of_below{below};
    brook::consumer of_above{above};
    CHECK((read_to_end(of_above) == read_to_end(of_below)));
}

TEST_CASE("an outbox begins before its cluster is there, tells that it waits and how much, and goes on when the cluster is", "[kafka][mirror]") {
    brook::test::mock_cluster mock;
    mock.make_topic("inbox", 2);
    mock.set_up(false);
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<std::string, std::int64_t>("outbox", {.partitions = 2});
    auto options = mock_world::quick();
    options.default_api_timeout = 1s;
    brook::kafka::broker cluster{mock.bootstrap_servers(), options};
    brook::producer producer{below};
    std::int64_t sent = 0;
    const auto send = [&](std::int64_t count) {
        for (const std::int64_t end = sent + count; sent < end; ++sent) {
            producer.send("k" + std::to_string(sent), sent).get();
        }
    };
    const auto wait_for_trouble = [](const brook::kafka::mirror& mirror) {
        for (const brook::test::patience left; !mirror.progress().trouble;) {
            std::this_thread::sleep_for(5ms);
            left.require_left([] { return std::string{"a trouble"}; });
        }
        return mirror.progress();
    };
    send(10);
    for (const std::int64_t wait : {10, 3}) {  // after a restart it is known of the first 15 that they were carried
        brook::kafka::mirror up{below, cluster, "inbox", {.name = "edge", .retry_backoff = 10ms}};
        const auto troubled = wait_for_trouble(up);
        CHECK(troubled.trouble.code == errc::timed_out);
        CHECK(troubled.trouble.text.find("nobody answered") != std::string::npos);
        CHECK(troubled.is_running);
        CHECK(troubled.is_waiting);
        CHECK(troubled.lag() == wait);
        CHECK_FALSE(troubled.is_caught_up());
        send(5);
        CHECK(up.progress().lag() == wait + 5);
        mock.set_up(true);
        const auto now = wait_for(up, static_cast<std::uint64_t>(wait) + 5);
        CHECK(now.records == static_cast<std::uint64_t>(wait) + 5);
        CHECK_FALSE(now.is_waiting);
        CHECK(now.lag() == 0);
        up.stop();
        mock.set_up(wait != 10);
        send(wait == 10 ? 3 : 0);
    }
    brook::consumer consumer{cluster.topic<std::string, std::int64_t>("inbox")};
    CHECK(read_to_end(consumer).size() == 23);
}

TEST_CASE("an outbox whose cluster never comes stops when it is told, and not when a call would have been over", "[kafka][mirror]") {
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<no_key, std::int64_t>("outbox");
    brook::kafka::broker cluster{"127.0.0.1:1", {.default_api_timeout = 1h}};
    brook::kafka::mirror up{below, cluster, "inbox", {.name = "edge"}};
    for (const brook::test::patience left; cluster.health().is_ok();) {  // it is in the midst of asking
        std::this_thread::sleep_for(5ms);
        left.require_left([] { return std::string{"a refused connection"}; });
    }
    CHECK(up.progress().is_waiting);
    up.stop();
    CHECK_FALSE(up.progress().is_running);
    CHECK(code_of([&] { brook::kafka::mirror nameless{below, cluster, "inbox", {}}; }) == errc::invalid_config);
    CHECK(code_of([&] { brook::kafka::mirror illegal{below, cluster, "in/box", {.name = "edge"}}; }) == errc::invalid_topic);
}

TEST_CASE("an outbox whose cluster has a topic of other partitions stops, and says so", "[kafka][mirror]") {
    brook::test::mock_cluster mock;
    mock.make_topic("inbox", 3);
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<no_key, std::int64_t>("outbox", {.partitions = 2});
    brook::producer producer{below};
    producer.send(std::int64_t{1}).get();
    brook::kafka::broker cluster{mock.bootstrap_servers(), mock_world::quick()};
    brook::kafka::mirror up{below, cluster, "inbox", {.name = "edge"}};
    const auto now = wait_for(up, 1);
    CHECK_FALSE(now.is_running);
    CHECK(now.records == 0);
    CHECK(now.trouble.code == errc::invalid_config);
    CHECK(now.trouble.text.find("2 partitions, and topic 'inbox' has 3") != std::string::npos);
}

TEST_CASE("a mirror goes on by what the local broker has noted, where the cluster has forgotten", "[kafka][mirror]") {
    mock_world world;  // it never keeps the offsets of transactions
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<no_key, std::int64_t>("outbox");
    auto above = world.topic<no_key, std::int64_t>("inbox");
    brook::producer producer{below};
    for (std::int64_t i = 0; i < 20; ++i) {
        producer.send(i);
        brook::kafka::mirror up{below, above, {.name = "edge"}};
        REQUIRE(wait_for(up, 1).records == 1);
    }
    brook::consumer consumer{above};
    CHECK(read_to_end(consumer).size() == 20);
}

TEST_CASE("a mirror whose cluster's topic ends before what was carried stops, and says so", "[kafka][mirror]") {
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<no_key, std::int64_t>("below");
    for (const std::int64_t count : {5, 2}) {  // in the second cluster the topic is another one
        mock_world world;
        auto above = world.topic<no_key, std::int64_t>("above");
        brook::producer producer{above};
        for (std::int64_t i = 0; i < count; ++i) {
            producer.send(i).get();
        }
        brook::kafka::mirror down{above, below, {.name = "edge"}};
        if (count == 5) {
            REQUIRE(wait_for(down, 5).records == 5);
            continue;
        }
        const auto now = wait_for(down, 2);
        CHECK_FALSE(now.is_running);
        CHECK(now.trouble.code == errc::offset_out_of_range);
        CHECK(now.trouble.text.find("another topic") != std::string::npos);
    }
    CHECK(below.partition(0).log_end_offset() == 5);
}

TEST_CASE("a mirror counts what a cluster has forgotten while it read on", "[kafka][mirror]") {
    brook::test::mock_cluster mock;  // it keeps 5 MB of a partition
    mock.make_topic("forgetful", 1);
    brook::test::tcp_proxy proxy{mock.port()};
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    brook::kafka::broker direct{mock.bootstrap_servers(), mock_world::quick()};
    brook::kafka::broker proxied{proxy.address(), mock_world::quick()};
    auto above = direct.topic<no_key, std::string>("forgetful");
    auto below = local.create_topic<no_key, std::string>("forgetful");
    brook::producer producer{above};
    producer.send("first").get();
    brook::kafka::mirror down{proxied.topic<no_key, std::string>("forgetful"), below, {.name = "edge"}};
    REQUIRE(wait_for(down, 1).records == 1);
    proxy.cut();
    for (int i = 0; i < 100; ++i) {
        producer.send(std::string(100'000, 'x')).get();
    }
    proxy.mend();
    producer.send("last").get();
    const auto is_whole = [](const brook::kafka::mirror_progress& now) { return now.records + static_cast<std::uint64_t>(now.partitions[0].skipped) == 102; };
    for (const brook::test::patience left; !is_whole(down.progress());) {
        std::this_thread::sleep_for(20ms);
        left.require_left([&] { return "102 records carried or skipped, and not " + std::to_string(down.progress().records) + " and " + std::to_string(down.progress().partitions[0].skipped); });
    }
    const auto now = down.progress();
    CHECK(now.partitions[0].skipped > 0);
    CHECK(now.is_caught_up());
}

TEST_CASE("a mirror counts what the local topic has forgotten while a slow cluster took the rest", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data", {.maintenance = brook::maintenance::manual}};
    auto below = local.create_topic<no_key, std::string>("outbox", {.segment_bytes = 1 << 16, .retention_bytes = 1 << 17});
    auto above = world.topic<no_key, std::string>("inbox");
    brook::producer producer{below};
    producer.send("first").get();
    std::atomic<bool> is_held{false};
    std::atomic<bool> may_go_on{false};
    brook::kafka::mirror up{below, above, {.name = "edge", .batch_records = 1, .on_progress = [&](const brook::kafka::mirror_progress& now) {
                                              if (now.records == 2 && !is_held.exchange(true)) {
                                                  is_held.notify_all();
                                                  may_go_on.wait(false);
                                              }
                                          }}};
    producer.send("second").get();
    is_held.wait(false);
    for (int i = 0; i < 1'000; ++i) {
        producer.send(std::string(1'000, 'x')).get();
        local.maintain();
    }
    producer.send("last").get();
    may_go_on = true;
    may_go_on.notify_all();
    const auto is_whole = [](const brook::kafka::mirror_progress& now) { return now.records + static_cast<std::uint64_t>(now.partitions[0].skipped) == 1'003; };
    for (const brook::test::patience left; !is_whole(up.progress());) {
        std::this_thread::sleep_for(20ms);
        left.require_left([&] { return "1003 records carried or skipped, and not " + std::to_string(up.progress().records) + " and " + std::to_string(up.progress().partitions[0].skipped); });
    }
    CHECK(up.progress().partitions[0].skipped > 500);
    CHECK(up.progress().beginnings == 1);
}

TEST_CASE("a mirror may be stopped by what it tells of its progress, and by several threads", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto below = local.create_topic<no_key, std::int64_t>("outbox");
    auto above = world.topic<no_key, std::int64_t>("inbox");
    brook::producer producer{below};
    std::atomic<brook::kafka::mirror*> itself{nullptr};
    std::atomic<int> told{0};
    brook::kafka::mirror up{below, above, {.name = "edge", .on_progress = [&](const brook::kafka::mirror_progress&) {
                                              itself.wait(nullptr);
                                              itself.load()->stop();
                                              ++told;
                                              told.notify_all();
                                          }}};
    producer.send(std::int64_t{1}).get();
    itself = &up;
    itself.notify_all();
    told.wait(0);
    std::thread other{[&] { up.stop(); }};
    up.stop();
    other.join();
    CHECK_FALSE(up.progress().is_running);
    CHECK(up.progress().records == 1);
    CHECK(told == 1);
}

TEST_CASE("a mirror whose local topic ends before what was carried stops, and says so", "[kafka][mirror]") {
    mock_world world;
    const brook::test::temp_directory directory;
    brook::broker local{directory / "data"};
    auto above = world.topic<no_key, std::int64_t>("inbox");
    {
        auto below = local.create_topic<no_key, std::int64_t>("outbox");
        brook::producer producer{below};
        producer.send(std::int64_t{1});
        brook::kafka::mirror up{below, above, {.name = "edge"}};
        REQUIRE(wait_for(up, 1).records == 1);
    }
    local.delete_topic("outbox");
    auto below = local.create_topic<no_key, std::int64_t>("outbox");
    brook::kafka::mirror up{below, above, {.name = "edge"}};
    const auto now = wait_for(up, 1);
    CHECK_FALSE(now.is_running);
    CHECK(now.trouble.code == errc::offset_out_of_range);
    CHECK(now.trouble.text.find("another topic") != std::string::npos);
}

}  // namespace kafka_mirror_test
