#include <brook/tcp.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <malloc.h>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/network_world.hpp"
#include "support/raw_socket.hpp"

namespace transport_tcp_test {

using namespace brook;
using namespace brook::transport_room;
using namespace std::chrono_literals;
using brook::test::eventually;
using brook::test::header_of;
using brook::test::hello_of;
using brook::test::is_refused;
using brook::test::outcome_of;
using brook::test::raw_listener;
using brook::test::raw_socket;
using brook::test::tcp_world;
using node = brook::test::network_node<tcp_world>;

// ---- options ----

TEST_CASE("plain TCP off loopback is refused unless it is asked for", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    SECTION("listening") { options.listen = GENERATE("0.0.0.0:9101", "[::]:9101", "192.0.2.1:9101"); }
    SECTION("dialling") { options.peers[1].address = GENERATE("192.0.2.2:9101", "[2001:db8::1]:9101", "broker-2.example:9101"); }
    const auto why = outcome_of([&] { tcp_transport{options}; });
    CHECK(why.code == errc::invalid_config);
    CHECK(why.names("allow_insecure"));
    options.allow_insecure = true;
    CHECK_NOTHROW(tcp_transport{options});
}

TEST_CASE("options that cannot be honoured are refused, and the text says which", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    std::string named;
    const auto broken = [&](const char* what) { named = what; };
    SECTION("an address without a port") { options.listen = "127.0.0.1", broken("listen"); }
    SECTION("an address with port 0") { options.listen = "127.0.0.1:0", broken("listen"); }
    SECTION("a port that is none") { options.peers[1].address = "127.0.0.1:99999", broken("node 2"); }
    SECTION("IPv6 without brackets") { options.peers[1].address = "::1:9101", broken("node 2"); }
    SECTION("listening at a name") { options.listen = "localhost:9101", broken("is a name, and one listens at digits"); }
    SECTION("no listen at all") { options.listen = "", broken("listen"); }
    SECTION("two peers of one number") { options.peers[1].node_id = 3, broken("node 3 is named twice"); }
    SECTION("a negative node") { options.node_id = -1, broken("node_id"); }
    SECTION("a negative peer") { options.peers[1].node_id = -2, broken("node -2"); }
    SECTION("frames that are too small") { options.max_frame_bytes = 64 * 1024, broken("max_frame_bytes"); }
    SECTION("a queue that the largest does not fit into") { options.queue_bytes = 1 << 20, broken("queue_bytes"); }
    SECTION("no time at all") { options.idle_timeout = 0s, broken("time"); }
    SECTION("pings that come too late") { options.keep_alive_interval = 60s, broken("keep_alive_interval"); }
    SECTION("backoff") { options.reconnect_backoff = 2s, broken("reconnect_backoff"); }
    SECTION("no connections") { options.max_connections = 0, broken("connections"); }
    SECTION("a long cluster id") { options.cluster_id = std::string(33, 'x'), broken("cluster_id"); }
    SECTION("small handshakes") { options.handshake_frame_bytes = 100, broken("handshake_frame_bytes"); }
    const auto why = outcome_of([&] { tcp_transport{options}; });
    CHECK(why.code == errc::invalid_config);
    INFO(why.text);
    CHECK(why.names(named));
}

TEST_CASE("largest_datagram follows from max_frame_bytes", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    CHECK(tcp_transport{options}.largest_datagram() == (std::size_t{8} << 20) - 8);
    options.max_frame_bytes = 64 * 1024 + 8;
    CHECK(tcp_transport{options}.largest_datagram() == 64 * 1024);
}

TEST_CASE("every refusal has a name of its own", "[transport][tcp]") {
    for (std::size_t i = 0; i < refusal_count; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            CHECK(name_of(static_cast<refusal>(i)) != name_of(static_cast<refusal>(j)));
        }
        CHECK_FALSE(name_of(static_cast<refusal>(i)).empty());
    }
}

TEST_CASE("a peer may be a name", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    options.peers[1].address = "localhost:" + std::to_string(world.port(2));
    node two{world, 2};
    node one{options};
    REQUIRE(eventually([&] { return one.statistics().connected >= 1; }));
    one.send(2, "x");
    two.mail.wait_for(1);
}

// ---- who is it? ----

TEST_CASE("nodes that do not belong together refuse each other by name, on both sides", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    refusal why{};
    SECTION("the node dialled is another one") {
        options.peers[1].address = world.address(3);  // where node 2 should be
        why = refusal::wrong_node;
    }
    SECTION("of another cluster") {
        options.cluster_id = "another";
        why = refusal::cluster_id;
    }
    SECTION("with other frames") {
        options.max_frame_bytes /= 2;
        why = refusal::frame_bytes;
    }
    SECTION("a node that the other does not know") {
        options.node_id = 9;
        why = refusal::unknown_node;
    }
    node three{world, 3};
    node one{options};
    REQUIRE(is_refused(one, why));
    REQUIRE(is_refused(three, why));
    INFO(world.events.text(1) << world.events.text(3) << world.events.text(9));
    CHECK(world.events.count(3, std::string{name_of(why)}) >= 1);
    one.send(3, "x");
    if (why != refusal::wrong_node) {
        CHECK(three.mail.count() == 0);
    } else {
        CHECK(world.events.count(1, "node 2 at " + world.address(3) + ": wrong_node: node 3 is there") == 1);
        CHECK(world.events.count(3, "it wants node 2, and this is node 3") == 1);
    }
}

TEST_CASE("who speaks only other versions of the protocol is refused, who speaks a common one is not", "[transport][tcp]") {
    tcp_world world;
    const tcp_options options = world.options(1);
    node one{options};
    tcp_hello hello = hello_of(options);
    raw_socket peer{world.port(1)};
    SECTION("newer") {
        hello.first = last_protocol + 1;
        hello.last = last_protocol + 3;
        const auto answer = peer.greet(hello);
        REQUIRE(answer);
        CHECK(answer->verdict == 1 + static_cast<std::uint32_t>(refusal::protocol_version));
        CHECK(peer.drain() == 0);
        CHECK(one.statistics().of(refusal::protocol_version) == 1);
        CHECK(world.events.count(1, "it speaks versions 2 to 4 of the protocol, this node 1 to 1") == 1);
    }
    SECTION("newer, and this one too") {
        hello.last = last_protocol + 3;
        const auto answer = peer.greet(hello);
        REQUIRE(answer);
        CHECK(answer->verdict == 0);
        CHECK(answer->from == 1);
        CHECK(answer->to == 2);
    }
}

TEST_CASE("a node that comes anew takes the place of its connection before", "[transport][tcp]") {
    tcp_world world;
    const tcp_options options = world.options(1);
    node one{options};
    const auto greet = [&](raw_socket& as, std::uint64_t incarnation) {
        tcp_hello hello = hello_of(options);
        hello.incarnation = incarnation;
        REQUIRE(as.greet(hello));
        as.send(header_of(1));
        as.send("x");
    };
    raw_socket first{world.port(1)};
    greet(first, 1);
    one.mail.wait_for(1);
    raw_socket second{world.port(1)};
    greet(second, 2);
    one.mail.wait_for(2);
    REQUIRE(is_refused(one, refusal::replaced));
    first.drain();
    CHECK(world.events.count(1, "replaced: by another life of the same node") == 1);
    second.send(header_of(0));
    one.mail.wait_for(3);
}

// ---- strangers ----

TEST_CASE("whatever else comes to the port is closed and called by its name", "[transport][tcp]") {
    tcp_world world;
    node one{world, 1};
    const auto [text, why] = GENERATE(Catch::Generators::table<std::string, refusal>({
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", refusal::http_spoken},
        {std::string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11}, refusal::tls_spoken},
        {"SSH-2.0-OpenSSH_9\r\n", refusal::not_brook},
        {std::string(1'000, '\0'), refusal::not_brook},
        {std::string(1'000, '\xff'), refusal::not_brook},
    }));
    raw_socket stranger{world.port(1)};
    stranger.send(text);
    REQUIRE(is_refused(one, why));
    CHECK(stranger.drain() == 0);
    CHECK(world.events.count(1, std::string{name_of(why)}) == 1);
}

TEST_CASE("frames that are none, or too large, end a connection; what came before them counts", "[transport][tcp]") {
    tcp_world world;
    const tcp_options options = world.options(1);
    node one{options};
    raw_socket peer{world.port(1)};
    REQUIRE(peer.greet(hello_of(options)));
    peer.send(header_of(4));
    peer.send("good");
    one.mail.wait_for(1);
    SECTION("one byte more than may be") { peer.send(header_of(static_cast<std::uint32_t>(one.line->largest_datagram() + 1))); }
    SECTION("the most that can be claimed") { peer.send(header_of(0xFFFF'FFFE)); }
    SECTION("text") { peer.send("this is no frame"); }
    REQUIRE(is_refused(one, refusal::frame));
    peer.drain();
    CHECK(world.events.count(1, "node 2 from 127.0.0.1:") == 1);
    CHECK(one.mail.texts() == std::vector<std::string>{"good"});
}

TEST_CASE("however many strangers come, few reports are made of them", "[transport][tcp]") {
    tcp_world world;
    test::faulty_platform platform;
    platform.set_monotonic(1h);
    tcp_options options = world.options(1);
    options.platform = &platform;
    node one{options};
    for (int i = 0; i < 300; ++i) {
        raw_socket stranger{world.port(1)};
        stranger.send("GET / HTTP/1.1\r\n\r\n");
        stranger.drain();
    }
    CHECK(one.statistics().of(refusal::http_spoken) == 300);
    CHECK(world.events.count(1, "http_spoken") == 1);
    platform.advance_monotonic(options.report_interval);
    raw_socket stranger{world.port(1)};
    stranger.send("GET / HTTP/1.1\r\n\r\n");
    stranger.drain();
    CHECK(world.events.count(1, "(and 299 more like it)") == 1);
}

TEST_CASE("random bytes, and hellos with damages, do no harm", "[transport][tcp]") {
    tcp_world world;
    const tcp_options options = world.options(1);
    node one{options};
    std::mt19937_64 chance{1};
    for (int round = 0; round < 300; ++round) {
        raw_socket stranger{world.port(1)};
        std::vector<std::byte> raw;
        if (round % 2 == 0) {
            raw.resize(chance() % 300);
            for (std::byte& each : raw) {
                each = static_cast<std::byte>(chance());
            }
        } else {
            const auto good = encode(hello_of(options));
            raw.assign(good.begin(), good.end());
            raw[chance() % raw.size()] ^= static_cast<std::byte>(1 + chance() % 255);
            for (std::size_t i = 0; i < chance() % 100; ++i) {
                raw.push_back(static_cast<std::byte>(chance()));
            }
        }
        stranger.send(raw);
        std::error_code ignored;  // it may have been thrown out by now
        stranger.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
        stranger.drain();
    }
    raw_socket peer{world.port(1)};  // it is as well as before
    REQUIRE(peer.greet(hello_of(options)));
    peer.send(header_of(4));
    peer.send("good");
    REQUIRE(eventually([&] {
        const std::vector<std::string> texts = one.mail.texts();
        return !texts.empty() && texts.back() == "good";
    }));
    REQUIRE(eventually([&] { return one.statistics().incoming == 1; }));
}

TEST_CASE("connections beyond the limits are closed, and others have room when some have gone", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    refusal why{};
    SECTION("of one address") {
        options.max_connections_per_address = 5;
        why = refusal::address_limit;
    }
    SECTION("in all") {
        options.max_connections = 5;
        why = refusal::connection_limit;
    }
    node one{options};
    std::vector<std::unique_ptr<raw_socket>> held;
    for (int i = 0; i < 5; ++i) {
        held.push_back(std::make_unique<raw_socket>(world.port(1)));
    }
    REQUIRE(eventually([&] { return one.statistics().incoming == 5; }));
    raw_socket sixth{world.port(1)};
    REQUIRE(is_refused(one, why));
    sixth.drain();
    CHECK(one.statistics().of(why) == 1);
    CHECK(one.statistics().incoming == 5);
    CHECK(world.events.count(1, std::string{name_of(why)}) == 1);
    held.clear();
    REQUIRE(eventually([&] { return one.statistics().incoming == 0; }));
    raw_socket peer{world.port(1)};
    CHECK(peer.greet(hello_of(options)));
}

TEST_CASE("a stranger takes little memory, whatever it sends", "[transport][tcp]") {
    tcp_world world;
    tcp_options options = world.options(1);
    options.max_connections_per_address = 1'024;
    node one{options};
    constexpr std::size_t count = 200;
    const auto hello = encode(hello_of(options));
    const std::size_t before = ::mallinfo2().uordblks;
    std::vector<std::unique_ptr<raw_socket>> held;
    for (std::size_t i = 0; i < count; ++i) {
        held.push_back(std::make_unique<raw_socket>(world.port(1)));
        held.back()->send(bytes{hello}.first(hello.size() - 1));
    }
    REQUIRE(eventually([&] { return one.statistics().incoming == count; }));
    CHECK((::mallinfo2().uordblks - std::min(before, ::mallinfo2().uordblks)) / count < 16 * 1024);  // both sides of it; under a sanitizer it says nothing
}

// ---- deadlines: time goes on when the test says so ----

namespace {

/// A node whose clock stands still until somebody says that it is later.
struct timed_world : tcp_world {
    timed_world() { platform.set_monotonic(1h); }

    [[nodiscard]] tcp_options timed_options(int id) {
        tcp_options made = options(id);
        made.platform = &platform;
        return made;
    }
    void pass(std::chrono::nanoseconds time) { platform.advance_monotonic(time); }

    test::faulty_platform platform;
};

}  // namespace

TEST_CASE("who says nothing, or not enough, is given up at the handshake's deadline and not before", "[transport][tcp]") {
    timed_world world;
    const tcp_options options = world.timed_options(1);
    node one{options};
    raw_socket silent{world.port(1)};
    raw_socket slow{world.port(1)};
    REQUIRE(eventually([&] { return one.statistics().incoming == 2; }));
    const auto hello = encode(hello_of(options));
    for (int i = 0; i < 4; ++i) {  // a byte now and then
        slow.send(bytes{hello}.subspan(static_cast<std::size_t>(i), 1));
        world.pass(1s);
    }
    CHECK(one.statistics().of(refusal::handshake_timeout) == 0);
    world.pass(1s);
    REQUIRE(is_refused(one, refusal::handshake_timeout, 2));
    silent.drain();
    slow.drain();
    CHECK(one.statistics().of(refusal::handshake_timeout) == 2);
    CHECK(world.events.count(1, "handshake_timeout: it has not said who it is") == 1);
}

TEST_CASE("a peer that vanishes, or dribbles, is given up at the idle deadline, and one that pings is not", "[transport][tcp]") {
    timed_world world;
    const tcp_options options = world.timed_options(1);
    node one{options};
    raw_socket peer{world.port(1)};
    REQUIRE(peer.greet(hello_of(options)));
    SECTION("pings keep it") {
        for (int i = 0; i < 5; ++i) {
            world.pass(50s);
            peer.send(header_of(ping_mark));
            CHECK(peer.read(frame_header_size).size() == frame_header_size);
        }
        CHECK(one.statistics().incoming == 1);
    }
    SECTION("whole frames keep it") {
        for (std::size_t i = 0; i < 5; ++i) {
            world.pass(50s);
            peer.send(header_of(0));
            one.mail.wait_for(i + 1);
        }
        CHECK(one.statistics().incoming == 1);
    }
    std::chrono::nanoseconds rest = options.idle_timeout;
    SECTION("parts of a frame do not") {
        peer.send(header_of(1'000));
        for (int i = 0; i < 2; ++i) {
            world.pass(25s);
            peer.send("x");
            REQUIRE(peer.wait_until_read());
        }
        rest = 10s;
    }
    SECTION("nothing does not") {}
    world.pass(rest);
    REQUIRE(is_refused(one, refusal::idle_timeout));
    peer.drain();
    CHECK(one.statistics().of(refusal::idle_timeout) == 1);
    CHECK(world.events.count(1, "idle_timeout") == 1);
}

TEST_CASE("who is dialled and does not answer the hello is given up at the handshake's deadline", "[transport][tcp]") {
    timed_world world;
    raw_listener silent{world.reserved(2)};
    node one{world.timed_options(1)};
    const auto peer = silent.accept();
    REQUIRE(peer->read_hello());
    world.pass(5s);
    REQUIRE(is_refused(one, refusal::handshake_timeout));
    peer->drain();
    CHECK(world.events.count(1, "handshake_timeout: it has not answered the hello") == 1);
}

namespace {

/// A peer of node 1's that answers the hello and then does what the test says.
struct false_peer {
    explicit false_peer(timed_world& world) : listener{world.reserved(2)} {}

    void greet(const tcp_options& options) {
        connection = listener.accept();
        const auto heard = connection->read_hello();
        REQUIRE(heard);
        CHECK(heard->from == 1);
        CHECK(heard->to == 2);
        connection->send(encode(hello_of(options)));
    }

    raw_listener listener;
    std::unique_ptr<raw_socket> connection;
};

}  // namespace

TEST_CASE("a peer that answers pings stays, and one that answers none is given up", "[transport][tcp]") {
    timed_world world;
    const tcp_options options = world.timed_options(1);
    false_peer peer{world};
    node one{options};
    peer.greet(options);
    REQUIRE(eventually([&] { return one.statistics().connected == 1; }));
    const auto expect_ping = [&] {
        const std::vector<std::byte> raw = peer.connection->read(frame_header_size);
        REQUIRE(raw.size() == frame_header_size);
        CHECK(load<std::uint32_t>(raw.data()) == ping_mark);
    };
    world.pass(options.keep_alive_interval);
    expect_ping();
    world.pass(9s);
    peer.connection->send(header_of(ping_mark));  // late, and not too late
    REQUIRE(eventually([&] { return one.statistics().pings_answered == 1; }));
    world.pass(options.keep_alive_interval);
    expect_ping();
    CHECK(one.statistics().of(refusal::answer_timeout) == 0);
    world.pass(options.answer_timeout);
    REQUIRE(is_refused(one, refusal::answer_timeout));
    peer.connection->drain();
    CHECK(one.statistics().of(refusal::answer_timeout) == 1);
    CHECK(world.events.count(1, "answer_timeout") == 1);
}

TEST_CASE("a peer that takes nothing more of what is to be written is given up", "[transport][tcp]") {
    timed_world world;
    tcp_options options = world.timed_options(1);
    options.answer_timeout = 1h;
    false_peer peer{world};
    node one{options};
    peer.greet(options);
    REQUIRE(eventually([&] { return one.statistics().connected == 1; }));
    const std::string text(1 << 20, 'x');
    while (one.statistics().overflowed == 0) {
        one.send(2, text);
    }
    bool is_given_up = false;
    for (int looks = 0; looks < 30'000 && !is_given_up; ++looks) {  // the kernel may take a little more before it takes nothing
        if (looks % 300 == 0) {
            world.pass(options.write_timeout);
        }
        std::this_thread::sleep_for(1ms);
        is_given_up = one.statistics().of(refusal::write_timeout) > 0;
    }
    REQUIRE(is_given_up);
    CHECK(world.events.count(1, "write_timeout") >= 1);
    peer.connection->drain();
}

TEST_CASE("a peer whose answers are none is given up", "[transport][tcp]") {
    timed_world world;
    const tcp_options options = world.timed_options(1);
    false_peer peer{world};
    node one{options};
    peer.greet(options);
    SECTION("an answer to no ping") { peer.connection->send(header_of(ping_mark)); }
    SECTION("a datagram in the wrong direction") { peer.connection->send(header_of(0)); }
    SECTION("anything else") { peer.connection->send("this is no frame"); }
    REQUIRE(is_refused(one, refusal::frame));
    peer.connection->drain();
    CHECK(one.mail.count() == 0);
}

TEST_CASE("an address that lets nobody in is given up at the connection's deadline", "[transport][tcp]") {
    timed_world world;
    raw_listener full{world.reserved(2), 0};  // the kernel lets one or two in, and answers nobody else
    asio::io_context io;
    std::vector<std::unique_ptr<asio::ip::tcp::socket>> inside;
    for (int i = 0; i < 4; ++i) {
        inside.push_back(std::make_unique<asio::ip::tcp::socket>(io));
        inside.back()->async_connect({asio::ip::address_v4::loopback(), world.port(2)}, [](const std::error_code&) {});  // begins at once
    }
    tcp_options options = world.timed_options(1);
    options.peers.pop_back();
    node one{options};
    REQUIRE(eventually([&] {
        world.pass(100ms);
        return one.statistics().of(refusal::connect_timeout) >= 1;
    }));
    CHECK(world.events.count(1, "node 2 at " + world.address(2) + ": connect_timeout") >= 1);
}

TEST_CASE("a quiet link between two nodes stays, however long it is quiet", "[transport][tcp]") {
    timed_world world;
    tcp_options options = world.timed_options(1);
    options.peers.pop_back();
    tcp_options others = world.timed_options(2);
    others.peers.pop_back();
    node one{options};
    node two{others};
    REQUIRE(one.has_met(1));
    REQUIRE(two.has_met(1));
    for (std::uint64_t i = 1; i <= 30; ++i) {  // two minutes
        world.pass(4s);
        REQUIRE(eventually([&] { return one.statistics().pings_answered >= i && two.statistics().pings_answered >= i; }));
    }
    one.send(2, "still there");
    two.mail.wait_for(1);
    CHECK(one.statistics().connected == 1);
    CHECK(two.statistics().connected == 1);
}

TEST_CASE("attempts at a node that is not there become rarer, up to a limit, and are spread by chance", "[transport][tcp]") {
    reconnect_backoff backoff{100ms, 1s};
    const bool is_longest = GENERATE(false, true);
    for (int life = 0; life < 2; ++life) {
        for (const std::chrono::nanoseconds middle : {100ms, 200ms, 400ms, 800ms, 1'000ms, 1'000ms}) {
            const auto range = static_cast<std::uint64_t>(middle.count()) * 2 / 5;
            CHECK(backoff.next(is_longest ? range : 0) == (is_longest ? middle * 6 / 5 : middle * 4 / 5));
        }
        backoff.reset();
    }
}

TEST_CASE("who is not there is tried again and again", "[transport][tcp]") {
    timed_world world;
    tcp_options options = world.timed_options(1);
    options.peers.pop_back();
    node one{options};
    for (std::uint64_t i = 1; i <= 5; ++i) {
        REQUIRE(eventually([&] {
            world.pass(options.reconnect_backoff);
            return one.statistics().of(refusal::unreachable) >= i;
        }));
    }
    CHECK(world.events.count(1, "node 2 at " + world.address(2) + ": unreachable: Connection refused") == 1);
    CHECK(world.events.all(1).front().code == std::errc::connection_refused);
}

}  // namespace transport_tcp_test
