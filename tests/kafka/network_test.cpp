#include <brook/kafka.hpp>

#include <chrono>
#include <cstdint>

#include "kafka/network_cut.hpp"
#include "kafka/tcp_proxy.hpp"
#include "kafka/worlds.hpp"
#include "support/catch.hpp"

namespace kafka_network_test {

using namespace std::chrono_literals;

using brook::no_key;
using brook::test::mock_cluster;
using brook::test::mock_world;
using brook::test::tcp_proxy;

TEST_CASE("a network that is cut under load, and refuses connections for a while, loses nothing that was acknowledged", "[kafka][network]") {
    mock_cluster mock;  // it does not look at sequence numbers: what is sent again may be there twice
    mock.make_topic("cut", 3);
    tcp_proxy proxy{mock.port()};
    brook::kafka::broker cluster{proxy.address(), mock_world::quick()};
    auto topic = cluster.topic<no_key, std::int64_t>("cut");

    SECTION("and nothing else, where producers have the time to wait") {
        const auto counts = brook::test::send_and_read_through_cuts(proxy, topic, 300ms, 60s);
        CHECK(counts.failed == 0);
        CHECK(counts.unknown == 0);
    }
    SECTION("and has nothing that has failed, where they have not") {
        mock.answer_after(20ms);  // so that something is under way whenever it is cut
        const auto counts = brook::test::send_and_read_through_cuts(proxy, topic, 1s, 150ms);
        CHECK(counts.failed + counts.unknown > 0);
    }
}

TEST_CASE("a poll lasts as long as it was told, where the network is cut, and goes on where the group has committed", "[kafka][network]") {
    mock_cluster mock;
    mock.make_topic("polled", 1);
    tcp_proxy proxy{mock.port()};
    auto options = mock_world::quick();
    options.default_api_timeout = 30s;
    brook::kafka::broker cluster{proxy.address(), options};
    auto topic = cluster.topic<no_key, std::int64_t>("polled");
    {
        brook::producer producer{topic};
        for (std::int64_t i = 0; i < 10; ++i) {
            producer.send(i);
        }
    }
    {
        brook::consumer consumer{topic, {.group_id = "polled"}};
        consumer.assign({topic.partition(0)});
        CHECK(brook::test::read_to_end(consumer).size() == 10);
        consumer.commit(topic.partition(0), 7);
    }
    brook::consumer consumer{topic, {.group_id = "polled"}};
    consumer.assign({topic.partition(0)});
    proxy.cut();
    const auto begin = std::chrono::steady_clock::now();
    CHECK(consumer.poll(100ms).empty());
    CHECK(std::chrono::steady_clock::now() - begin < 10s);  // default_api_timeout is for calls that ask
    proxy.mend();
    CHECK(brook::test::read_to_end(consumer).size() == 3);
}

}  // namespace kafka_network_test
