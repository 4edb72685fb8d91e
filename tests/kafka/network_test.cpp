#include <brook/kafka.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>

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

namespace {

[[nodiscard]] int port_of(const std::string& address) {
    int port = 0;
    std::from_chars(address.data() + address.rfind(':') + 1, address.data() + address.size(), port);
    return port;
}

}  // namespace

TEST_CASE("a network that is cut under load, and refuses connections for a while, loses nothing that was acknowledged", "[kafka][network]") {
    mock_cluster mock;  // it does not look at sequence numbers: what is sent again may be there twice
    mock.make_topic("cut", 3);
    tcp_proxy proxy{port_of(mock.bootstrap_servers())};
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

}  // namespace kafka_network_test
