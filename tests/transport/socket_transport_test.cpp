#include <brook/transport/socket_transport.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "support/catch.hpp"
#include "support/network_world.hpp"
#include "support/temp_directory.hpp"

namespace transport_socket_transport_test {

using namespace brook;
using brook::test::eventually;
using brook::test::letter;
using brook::test::mailbox;
using brook::test::network_node;
using brook::test::start_and_stop;
using brook::test::tcp_world;
using brook::test::tls_world;

namespace {

[[nodiscard]] std::vector<std::string> numbered(int begin, int end) {
    std::vector<std::string> all;
    for (int n = begin; n < end; ++n) {
        all.push_back("datagram " + std::to_string(n));
    }
    return all;
}

template <class Node> void send_numbered(Node& from, int to, int begin, int end) {
    for (const std::string& text : numbered(begin, end)) {
        from.send(to, text);
    }
}

/// Until the first has a connection to a peer that takes what it sends.
template <class Node> [[nodiscard]] bool is_connected(const Node& node, std::uint64_t times = 1) {
    return eventually([&] { return node.statistics().connected >= times; });
}

}  // namespace

// ---- what transport.hpp promises, and what is promised beyond it: over both ----

TEMPLATE_TEST_CASE("datagrams come whole, once, in order, and from whom they are", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    network_node<TestType> two{world, 2};
    network_node<TestType> three{world, 3};
    REQUIRE(one.has_met(2));
    REQUIRE(three.has_met(2));
    send_numbered(one, 2, 0, 5'000);
    one.send(2, "");
    two.mail.wait_for(5'001);
    three.send(2, "other");
    two.mail.wait_for(5'002);
    std::vector<std::string> expected = numbered(0, 5'000);
    expected.insert(expected.end(), {"", "other"});
    CHECK(two.mail.texts() == expected);
    CHECK(two.mail.letters().front().from == 1);
    CHECK(two.mail.letters().back() == letter{3, "other"});
    CHECK(one.mail.count() == 0);
    CHECK(one.statistics().sent == 5'001);
    CHECK(two.statistics().received == 5'002);
    INFO(world.events.text(2));
    CHECK(world.events.count(2, "lost") == 0);
}

TEMPLATE_TEST_CASE("sizes from nothing to largest_datagram come as they were", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    network_node<TestType> two{world, 2};
    REQUIRE(is_connected(one));
    const std::size_t largest = one.line->largest_datagram();
    CHECK(largest == (std::size_t{8} << 20) - 8);
    std::vector<std::string> sent;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, largest - 1, std::size_t{7}, largest, std::size_t{16'384}, std::size_t{3}}) {
        sent.emplace_back(size, static_cast<char>('a' + sent.size()));
        if (!sent.back().empty()) {
            sent.back().back() = '!';
        }
        one.send(2, sent.back());
    }
    two.mail.wait_for(sent.size());
    CHECK((two.mail.texts() == sent));  // not printed: they are large
}

TEMPLATE_TEST_CASE("what cannot go anywhere is lost and counted", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    network_node<TestType> two{world, 2};
    REQUIRE(one.has_met(1));
    one.send(7, "to nobody");
    one.send(1, "to oneself");
    one.send(-1, "to no number");
    CHECK(one.statistics().unreachable == 3);
    one.send(2, std::string(one.line->largest_datagram() + 1, 'x'));
    CHECK(one.statistics().oversized == 1);
    one.send(2, "last");
    two.mail.wait_for(1);
    CHECK(two.mail.texts() == std::vector<std::string>{"last"});
    CHECK(one.mail.count() == 0);
    one.line->stop();
    one.send(2, "stopped");
    CHECK(one.statistics().unreachable == 4);
    const auto never = std::make_shared<typename TestType::transport_type>(world.options(3));
    never->send(2, as_bytes("not started"));
    CHECK(never->statistics().unreachable == 1);
}

TEMPLATE_TEST_CASE("what waits for a node is bounded, and send does not wait", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    auto options = world.options(1);
    options.max_frame_bytes = 64 * 1024 + 8;
    options.queue_bytes = 1 << 20;
    auto others = world.options(2);
    others.max_frame_bytes = options.max_frame_bytes;
    std::atomic<bool> may_go_on{false};
    network_node<TestType> two{others, [&](int, bytes) { may_go_on.wait(false); }};
    network_node<TestType> one{options};
    REQUIRE(is_connected(one));
    const std::string text(64 * 1024, 'x');
    std::uint64_t tries = 0;
    while (one.statistics().overflowed < 100) {  // the kernel's buffers take some megabytes first
        one.send(2, text);
        REQUIRE(++tries < 10'000'000);
    }
    may_go_on = true;
    may_go_on.notify_all();
    const std::uint64_t sent = one.statistics().sent;
    CHECK(sent + one.statistics().overflowed == tries);
    two.mail.wait_for(static_cast<std::size_t>(sent));
    one.send(2, "after");
    two.mail.wait_for(static_cast<std::size_t>(sent) + 1);
    CHECK(two.mail.texts().back() == "after");
}

TEMPLATE_TEST_CASE("two that answer each other inside of receive do so without an end", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    constexpr std::size_t rounds = 2'000;
    std::atomic<network_node<TestType>*> first{nullptr};
    std::atomic<network_node<TestType>*> second{nullptr};
    const auto answer = [&](std::atomic<network_node<TestType>*>& whose) {
        return [&whose](int from, bytes datagram) {
            if (network_node<TestType>* const me = whose.load(); me->mail.count() < rounds) {
                me->line->send(from, datagram);
            }
        };
    };
    network_node<TestType> one{world, 1, answer(first)};
    network_node<TestType> two{world, 2, answer(second)};
    first = &one;
    second = &two;
    REQUIRE(one.has_met(1));
    REQUIRE(two.has_met(1));
    one.send(2, "ball");
    one.mail.wait_for(rounds);
    two.mail.wait_for(rounds);
    one.line->stop();  // before what they use goes
    two.line->stop();
}

TEMPLATE_TEST_CASE("many threads send to each other, and each one's datagrams keep their order", "[transport][socket_transport][stress]", tcp_world, tls_world) {
    TestType world;
    constexpr int each = 2'000;
    constexpr int threads_of_each = 2;
    std::vector<std::unique_ptr<network_node<TestType>>> nodes;
    for (const int id : {1, 2, 3}) {
        nodes.push_back(std::make_unique<network_node<TestType>>(world, id));
    }
    for (const auto& one : nodes) {
        REQUIRE(one->has_met(2));
    }
    std::vector<std::thread> threads;
    for (int id = 1; id <= 3; ++id) {
        for (int thread = 0; thread < threads_of_each; ++thread) {
            threads.emplace_back([&nodes, id, thread] {
                for (int n = 0; n < each; ++n) {
                    nodes[static_cast<std::size_t>(id - 1)]->send(1 + id % 3, std::to_string(thread) + " " + std::to_string(n));
                }
            });
        }
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (int id = 1; id <= 3; ++id) {
        network_node<TestType>& at = *nodes[static_cast<std::size_t>(id - 1)];
        at.mail.wait_for(threads_of_each * each);
        std::map<std::string, int> next;
        for (const letter& came : at.mail.letters()) {
            const std::string thread = came.text.substr(0, 1);
            REQUIRE(came.text == thread + " " + std::to_string(next[thread]));
            ++next[thread];
        }
        CHECK(next.size() == threads_of_each);
    }
}

TEMPLATE_TEST_CASE("a node that dies and comes back is reached again by itself", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    for (std::uint64_t life = 1; life <= 3; ++life) {
        network_node<TestType> two{world, 2};
        REQUIRE(is_connected(one, life));
        one.send(2, "to life " + std::to_string(life));
        two.mail.wait_for(1);
        CHECK(two.mail.texts() == std::vector<std::string>{"to life " + std::to_string(life)});
        REQUIRE(is_connected(two));
        const std::size_t had = one.mail.count();
        two.send(1, "from life " + std::to_string(life));
        one.mail.wait_for(had + 1);
        two.line->stop();
        REQUIRE(eventually([&] {  // until it is noticed: then what is sent is lost
            const std::uint64_t before = one.statistics().unreachable;
            one.send(2, "lost");
            return one.statistics().unreachable > before;
        }));
    }
    CHECK(world.events.count(1, "node 2 at " + world.address(2) + ": lost") >= 1);
    CHECK(one.mail.texts() == std::vector<std::string>{"from life 1", "from life 2", "from life 3"});
}

TEMPLATE_TEST_CASE("a transport can be started again, with another receiver", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    const auto line = std::make_shared<typename TestType::transport_type>(world.options(2));
    line->stop();  // does nothing
    for (std::uint64_t round = 1; round <= 4; ++round) {
        mailbox mail;
        line->start(mail);
        REQUIRE(is_connected(one, round));
        one.send(2, "x");
        mail.wait_for(1);
        line->stop();
        line->stop();
        CHECK(mail.count() == 1);
    }
}

TEMPLATE_TEST_CASE("an address that is taken is an error that names it", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    auto options = world.options(2);
    options.listen = world.address(1);
    mailbox mail;
    typename TestType::transport_type second{options};
    {
        network_node<TestType> first{world, 1};
        try {
            second.start(mail);
            FAIL("two listen at one address");
        } catch (const error& thrown) {
            CHECK(thrown.code() == std::errc::address_in_use);
            CHECK(std::string{thrown.what()}.find(world.address(1)) != std::string::npos);
        }
        second.stop();
    }
    second.start(mail);  // it is free again, though connections to it were open
    second.stop();
    options.listen = "192.0.2.1:9101";  // nobody's: RFC 5737
    if constexpr (std::is_same_v<TestType, tcp_world>) {
        options.allow_insecure = true;
    }
    typename TestType::transport_type elsewhere{options};
    try {
        elsewhere.start(mail);
        FAIL("it listens at another machine's address");
    } catch (const error& thrown) {
        CHECK(thrown.code() == std::errc::address_not_available);
        CHECK(std::string{thrown.what()}.find("192.0.2.1:9101") != std::string::npos);
    }
}

TEMPLATE_TEST_CASE("stop waits for a receive that goes on, and then nothing is told any more", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    const auto line = std::make_shared<typename TestType::transport_type>(world.options(2));
    std::atomic<bool> is_over{false};
    std::thread chatter{[&] {
        while (!is_over) {
            one.send(2, "chatter");
            std::this_thread::yield();
        }
    }};
    for (int round = 0; round < 15; ++round) {
        start_and_stop(*line, static_cast<std::size_t>(round % 3));
    }
    is_over = true;
    chatter.join();
}

TEMPLATE_TEST_CASE("stop inside of receive does not wait for itself, and one from outside waits for that call", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    std::shared_ptr<typename TestType::transport_type> line;
    std::atomic<bool> is_stopped{false};
    std::atomic<bool> is_stopping{false};
    std::atomic<bool> has_left{false};
    mailbox mail{[&](int, bytes) {
        line->stop();
        line->stop();
        is_stopped = true;
        while (!is_stopping) {
            std::this_thread::yield();
        }
        for (int i = 0; i < 1'000; ++i) {
            std::this_thread::yield();
        }
        has_left = true;
    }};
    line = std::make_shared<typename TestType::transport_type>(world.options(2));
    line->start(mail);
    REQUIRE(is_connected(one));
    send_numbered(one, 2, 0, 100);  // they come at once, and one of them is told
    REQUIRE(eventually([&] { return is_stopped.load(); }));
    is_stopping = true;
    SECTION("stopped") { line->stop(); }
    SECTION("started anew, which waits too") {
        mailbox other;
        line->start(other);
        CHECK(has_left);
        line->stop();
    }
    SECTION("destroyed") { line.reset(); }
    CHECK(has_left);
    CHECK(mail.count() == 1);
}

TEMPLATE_TEST_CASE("a transport cannot be started inside of its own receive", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    std::shared_ptr<typename TestType::transport_type> line;
    std::error_code refused;
    mailbox mail{[&](int, bytes) {
        line->stop();
        try {
            line->start(mail);
        } catch (const error& thrown) {
            refused = thrown.code();
        }
    }};
    line = std::make_shared<typename TestType::transport_type>(world.options(2));
    line->start(mail);
    REQUIRE(is_connected(one));
    one.send(2, "x");
    mail.wait_for(1);
    line->stop();
    CHECK(refused == errc::illegal_state);
}

TEMPLATE_TEST_CASE("the last owner may let go inside of receive", "[transport][socket_transport]", tcp_world, tls_world) {
    static std::vector<std::unique_ptr<mailbox>> kept;  // there is nobody left who could wait until the last call has returned
    TestType world;
    network_node<TestType> one{world, 1};
    for (int round = 0; round < 10; ++round) {
        std::shared_ptr<typename TestType::transport_type> last = std::make_shared<typename TestType::transport_type>(world.options(2));
        mailbox& mail = *kept.emplace_back(std::make_unique<mailbox>([&last](int, bytes) { last.reset(); }));
        last->start(mail);
        REQUIRE(eventually([&] {
            one.send(2, "x");  // those that go to who was there before are lost
            return mail.count() > 0;
        }));
        CHECK(last == nullptr);
        REQUIRE(eventually([&] {  // its thread ends by itself, and lets go of the address
            try {
                mailbox other;
                typename TestType::transport_type next{world.options(2)};
                next.start(other);
                return true;
            } catch (const error&) {
                return false;
            }
        }));
    }
}

TEMPLATE_TEST_CASE("a transport goes while the others send to it and it is sent through", "[transport][socket_transport][stress]", tcp_world, tls_world) {
    TestType world;
    network_node<TestType> one{world, 1};
    std::atomic<bool> is_over{false};
    std::thread other{[&] {
        while (!is_over) {
            one.send(2, "x");
            std::this_thread::yield();
        }
    }};
    for (int round = 0; round < 6; ++round) {
        mailbox mail;
        auto line = std::make_shared<typename TestType::transport_type>(world.options(2));
        std::vector<std::thread> senders;
        std::atomic<bool> has_gone{false};
        for (int i = 0; i < 2; ++i) {
            senders.emplace_back([&has_gone, line] {
                while (!has_gone) {
                    line->send(1, as_bytes("y"));
                    static_cast<void>(line->statistics());
                    std::this_thread::yield();
                }
            });
        }
        line->start(mail);
        if (round % 2 == 0) {
            mail.wait_for(1);
        }
        line->stop();
        has_gone = true;
        line.reset();  // the last of the senders destroys it, perhaps
        for (std::thread& each : senders) {
            each.join();
        }
    }
    is_over = true;
    other.join();
}

TEMPLATE_TEST_CASE("stop within on_error is as within receive", "[transport][socket_transport]", tcp_world, tls_world) {
    TestType world;
    std::shared_ptr<typename TestType::transport_type> line;
    std::atomic<int> told{0};
    auto options = world.options(1);
    options.on_error = [&](const failure&) {  // nobody is there: unreachable
        ++told;
        line->stop();
    };
    mailbox mail;
    line = std::make_shared<typename TestType::transport_type>(options);
    line->start(mail);
    REQUIRE(eventually([&] { return told > 0; }));
    line->stop();
    CHECK(told == 1);
}

// ---- a cluster ----

namespace {

template <class World> struct three_brokers_over {
    three_brokers_over() {
        for (const int id : {1, 2, 3}) {
            brokers.push_back(start(id));
        }
    }
    std::unique_ptr<broker> start(int id) {
        return std::make_unique<broker>(directory / std::to_string(id),
                                        broker_options{.node_id = id,
                                                       .peers = {1, 2, 3},
                                                       .transport = std::make_shared<typename World::transport_type>(world.options(id)),
                                                       .election_timeout = std::chrono::milliseconds{300}});
    }

    World world{};
    brook::test::temp_directory directory{};
    std::vector<std::unique_ptr<broker>> brokers{};
};

}  // namespace

TEMPLATE_TEST_CASE("inside of on_delivery one waits for what the network brings", "[transport][socket_transport]", tcp_world, tls_world) {
    three_brokers_over<TestType> three;
    auto numbers = three.brokers[0]->template create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 3});
    auto others = three.brokers[0]->template create_topic<no_key, std::uint64_t>("others", {.replication_factor = 3});
    producer elsewhere{others, {.delivery_timeout = std::chrono::seconds{3}}};
    std::vector<std::error_code> told;
    std::vector<delivery> before;  // what is waited for may have come, and not be told yet
    producer sending{numbers, {.on_delivery = [&](const record_metadata&, std::error_code) {
                         if (!told.empty() && told.back()) {
                             return;  // one is enough to know
                         }
                         std::error_code code;
                         static_cast<void>(before[told.size() / 2].get(code));
                         told.push_back(code);
                         if (!code) {
                             static_cast<void>(elsewhere.send({.value = 7}).get(code));
                             told.push_back(code);
                         }
                     }}};
    constexpr std::size_t count = 100;  // each may be told by whichever thread took the answer in: the more, the surer that one was the network's
    before.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        before.push_back(elsewhere.send({.value = i}));
        static_cast<void>(sending.send({.value = i}));
    }
    sending.flush();
    CHECK(told == std::vector<std::error_code>(2 * count));
}

TEMPLATE_TEST_CASE("three brokers keep a topic, one of them goes, and it goes on", "[transport][socket_transport]", tcp_world, tls_world) {
    three_brokers_over<TestType> three;
    auto& brokers = three.brokers;
    auto numbers = brokers[0]->template create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 3, .min_insync_replicas = 2, .segment_bytes = 1 << 20});
    const auto send = [](const topic<no_key, std::uint64_t>& to, std::uint64_t from, std::uint64_t end) {
        producer sending{to};
        std::vector<delivery> all;
        for (std::uint64_t i = from; i < end; ++i) {
            all.push_back(sending.send({.value = i}));
        }
        for (delivery& each : all) {
            static_cast<void>(each.get());  // throws where it is not acknowledged
        }
    };
    send(numbers, 0, 500);
    const int leader = numbers.partition(0).leader();
    REQUIRE(leader >= 1);
    brokers[static_cast<std::size_t>(leader - 1)].reset();
    const int survivor = leader % 3 + 1;
    const auto there = brokers[static_cast<std::size_t>(survivor - 1)]->template topic<no_key, std::uint64_t>("numbers");
    send(there, 500, 1'000);
    brokers[static_cast<std::size_t>(leader - 1)] = three.start(leader);  // it catches up
    for (const auto& each : brokers) {
        REQUIRE(eventually([&] {
            const std::vector<std::string> topics = each->topics();
            return std::find(topics.begin(), topics.end(), "numbers") != topics.end();
        }));
        consumer reading{each->template topic<no_key, std::uint64_t>("numbers")};
        std::vector<std::uint64_t> seen;
        REQUIRE(eventually([&] {
            for (const auto& record : reading.poll(std::chrono::milliseconds{20})) {
                seen.push_back(record.value());
            }
            return seen.size() >= 1'000;
        }));
        REQUIRE(seen.size() == 1'000);
        for (std::uint64_t i = 0; i < 1'000; ++i) {
            REQUIRE(seen[i] == i);
        }
    }
}

}  // namespace transport_socket_transport_test
