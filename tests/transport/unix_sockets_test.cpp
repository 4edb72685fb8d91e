#include "transport/unix_sockets.hpp"  // of examples/; first, so that it must stand alone

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "support/catch.hpp"
#include "support/mailbox.hpp"
#include "support/temp_directory.hpp"

namespace transport_unix_sockets_test {

using namespace brook;
using brook::test::letter;
using brook::test::mailbox;
using brook::test::start_and_stop;
using brook::test::temp_directory;

TEST_CASE("the transport of the example brings datagrams whole and in order, from whom they are", "[transport][unix_sockets]") {
    temp_directory directory;
    mailbox first;
    mailbox second;
    unix_sockets one{directory.path(), 1};
    unix_sockets two{directory.path(), 2};
    one.send(2, as_bytes("it does not run"));
    one.start(first);
    one.send(2, as_bytes("nobody is there"));
    two.start(second);
    std::vector<letter> expected;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1'000}, one.largest_datagram()}) {
        expected.push_back({1, std::string(size, 'x')});
        one.send(2, as_bytes(expected.back().text));
        second.wait_for(expected.size());
    }
    one.send(2, as_bytes(std::string(one.largest_datagram() + 1, 'x')));
    one.send(1, as_bytes("to itself"));
    one.send(9, as_bytes("to nobody"));
    one.send(2, as_bytes("last"));
    second.wait_for(expected.size() + 1);
    expected.push_back({1, "last"});
    CHECK(second.letters() == expected);
    CHECK(first.count() == 0);
    unix_sockets other{directory.path(), 1};
    try {
        other.start(first);
        FAIL("two have one address");
    } catch (const error& thrown) {
        CHECK(thrown.code() == std::errc::address_in_use);
    }
    one.stop();
    CHECK_NOTHROW(other.start(first));
    one.stop();
}

TEST_CASE("the transport of the example is stopped and started as it has to be", "[transport][unix_sockets]") {
    temp_directory directory;
    mailbox unused;
    unix_sockets one{directory.path(), 1};
    one.start(unused);
    std::shared_ptr<unix_sockets> two;
    SECTION("again and again, also while others send") {
        std::atomic<bool> is_over{false};
        std::thread chatter{[&] {
            while (!is_over) {
                one.send(2, as_bytes("chatter"));
                std::this_thread::yield();
            }
        }};
        two = std::make_shared<unix_sockets>(directory.path(), 2);
        for (int round = 0; round < 50; ++round) {
            start_and_stop(*two, static_cast<std::size_t>(round % 3));
        }
        is_over = true;
        chatter.join();
    }
    SECTION("inside of receive") {
        mailbox mail{[&](int, bytes) { two->stop(); }};
        two = std::make_shared<unix_sockets>(directory.path(), 2);
        two->start(mail);
        one.send(2, as_bytes("x"));
        one.send(2, as_bytes("y"));
        mail.wait_for(1);
        two->stop();
        CHECK(mail.count() == 1);
    }
    SECTION("gone inside of receive") {
        static mailbox* kept = nullptr;  // nobody could wait until the last call has returned
        kept = new mailbox{[&two](int, bytes) { two.reset(); }};
        two = std::make_shared<unix_sockets>(directory.path(), 2);
        two->start(*kept);
        one.send(2, as_bytes("x"));
        kept->wait_for(1);
        CHECK(two == nullptr);
    }
}

TEST_CASE("three brokers keep a topic over the transport of the example", "[transport][unix_sockets]") {
    temp_directory directory;
    std::vector<std::unique_ptr<broker>> brokers;
    for (const int id : {1, 2, 3}) {
        brokers.push_back(std::make_unique<broker>(directory / ("broker-" + std::to_string(id)),
                                                   broker_options{.node_id = id,
                                                                  .peers = {1, 2, 3},
                                                                  .transport = std::make_shared<unix_sockets>(directory.path(), id),
                                                                  .election_timeout = std::chrono::milliseconds{300}}));
    }
    const auto numbers = brokers[0]->create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 3, .min_insync_replicas = 2, .segment_bytes = 1 << 20});
    const auto send = [&](int through, std::uint64_t from, std::uint64_t end) {
        producer sending{brokers[static_cast<std::size_t>(through - 1)]->topic<no_key, std::uint64_t>("numbers")};
        for (std::uint64_t i = from; i < end; ++i) {
            static_cast<void>(sending.send({.value = i}));
        }
        sending.flush();  // throws where one is not acknowledged
    };
    send(1, 0, 500);
    const int leader = numbers.partition(0).leader();
    REQUIRE(leader >= 1);
    brokers[static_cast<std::size_t>(leader - 1)].reset();
    const int survivor = leader % 3 + 1;
    send(survivor, 500, 1'000);
    consumer reading{brokers[static_cast<std::size_t>(survivor - 1)]->topic<no_key, std::uint64_t>("numbers")};
    std::vector<std::uint64_t> seen;
    for (int i = 0; i < 1'000 && seen.size() < 1'000; ++i) {
        for (const auto& record : reading.poll(std::chrono::milliseconds{50})) {
            seen.push_back(record.value());
        }
    }
    REQUIRE(seen.size() == 1'000);
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        REQUIRE(seen[i] == i);
    }
}

}  // namespace transport_unix_sockets_test
