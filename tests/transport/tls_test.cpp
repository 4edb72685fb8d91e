#include <brook/tls.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <malloc.h>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <brook/tcp.hpp>
#include <brook/transport/tls_record_gate.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/faulty_platform.hpp"
#include "support/network_world.hpp"
#include "support/raw_socket.hpp"

namespace transport_tls_test {

using namespace brook;
using namespace brook::transport_room;
using namespace std::chrono_literals;
using brook::test::a_day;
using brook::test::certificate_authority;
using brook::test::certificate_text;
using brook::test::eventually;
using brook::test::header_of;
using brook::test::hello_of;
using brook::test::identity;
using brook::test::is_refused;
using brook::test::outcome_of;
using brook::test::raw_listener;
using brook::test::raw_socket;
using brook::test::raw_tls;
using brook::test::self_signed;
using brook::test::tcp_world;
using brook::test::tls_world;
using brook::test::write_with_mode;
using node = brook::test::network_node<tls_world>;

namespace {

/// What OpenSSL says first to a node, as bytes.
[[nodiscard]] std::string client_hello(tls_world& world) {
    raw_listener listener{world.reserved(4)};
    raw_socket dials{world.port(4)};
    const auto connection = listener.accept();
    raw_tls peer{dials, {.shown = world.authority.issue(2)}};
    std::vector<std::byte> heard;
    std::thread reads{[&] {
        heard = connection->read(5);
        const std::vector<std::byte> body = connection->read(std::to_integer<std::size_t>(heard[3]) << 8 | std::to_integer<std::size_t>(heard[4]));
        heard.insert(heard.end(), body.begin(), body.end());
        connection->socket().close();
    }};
    static_cast<void>(peer.handshake());
    reads.join();
    return std::string{as_text(heard)};
}

/// Certificates of a node 2 that are not good, by what is wrong with them.
struct bad_certificate {
    std::string name;
    std::function<identity(const tls_world&)> made;
    refusal why;
    refusal own_why;  // when a node finds it among its own files
};

[[nodiscard]] const std::vector<bad_certificate>& bad_certificates() {
    static const std::vector<bad_certificate> all{
        {"of another authority", [](const tls_world&) { return certificate_authority{"another"}.issue(2); }, refusal::certificate_untrusted, refusal::certificate_untrusted},
        {"of another authority of the same name", [](const tls_world&) { return certificate_authority{"authority"}.issue(2); }, refusal::certificate_untrusted,
         refusal::certificate_untrusted},
        {"expired", [](const tls_world& in) { return in.authority.issue({.names = {"URI:brook:node:2"}, .begins = -2 * a_day, .ends = -a_day}); }, refusal::certificate_expired,
         refusal::certificate_expired},
        {"not yet valid", [](const tls_world& in) { return in.authority.issue({.names = {"URI:brook:node:2"}, .begins = a_day}); }, refusal::certificate_not_yet_valid,
         refusal::certificate_not_yet_valid},
        {"signed by itself", [](const tls_world&) { return self_signed({.names = {"URI:brook:node:2"}}); }, refusal::certificate_self_signed, refusal::certificate_self_signed},
        {"of no node", [](const tls_world& in) { return in.authority.issue(certificate_text{}); }, refusal::certificate_wrong_node, refusal::certificate_wrong_node},
        {"of a host", [](const tls_world& in) { return in.authority.issue({.names = {"DNS:node-2.brook", "IP:127.0.0.1"}}); }, refusal::certificate_wrong_node,
         refusal::certificate_wrong_node},
        {"of another node", [](const tls_world& in) { return in.authority.issue(3); }, refusal::certificate_wrong_node, refusal::certificate_wrong_node},
        {"of two nodes", [](const tls_world& in) { return in.authority.issue({.names = {"URI:brook:node:3", "URI:brook:node:2"}}); }, refusal::certificate_wrong_node,
         refusal::certificate_wrong_node},
        {"of a number that is none", [](const tls_world& in) { return in.authority.issue({.names = {"URI:brook:node:02"}}); }, refusal::certificate_wrong_node,
         refusal::certificate_wrong_node},
    };
    return all;
}

}  // namespace

// ---- what a node finds among its own files ----

TEST_CASE("a node's own certificate is looked at as the others will, and refused by name", "[transport][tls]") {
    tls_world world;
    for (const bad_certificate& each : bad_certificates()) {
        CAPTURE(each.name);
        world.give(2, each.made(world));
        const auto why = outcome_of([&] { tls_transport{world.options(2)}; });
        CHECK(why.code == errc::invalid_config);
        INFO(why.text);
        CHECK(why.names(std::string{name_of(each.own_why)}));
        CHECK(why.names(world.certificate_file(2)));
    }
    for (const std::string usage : {"serverAuth", "clientAuth"}) {
        world.give(2, world.authority.issue({.names = {"URI:brook:node:2"}, .key_usage = usage}));
        CHECK(outcome_of([&] { tls_transport{world.options(2)}; }).names("purpose"));
    }
    world.give(2, world.authority.issue({.names = {"URI:brook:node:2"}, .key_usage = "serverAuth,clientAuth"}));
    CHECK_NOTHROW(tls_transport{world.options(2)});
    world.give(2, world.authority.issue({.names = {"DNS:host", "URI:https://example.org/", "URI:brook:node:2"}}));  // others beside it do no harm
    CHECK_NOTHROW(tls_transport{world.options(2)});
}

TEST_CASE("a private key that others may read is refused", "[transport][tls]") {
    tls_world world;
    const identity own = world.authority.issue(1);
    world.give(1, own);
    const mode_t mode = GENERATE(mode_t{0640}, mode_t{0604}, mode_t{0620}, mode_t{0644}, mode_t{0610});
    write_with_mode(world.key_file(1), own.key_pem(), mode);
    const auto why = outcome_of([&] { tls_transport{world.options(1)}; });
    CHECK(why.code == errc::invalid_config);
    CHECK(why.names(world.key_file(1) + " may be read or written by others"));
    write_with_mode(world.key_file(1), own.key_pem(), 0400);
    CHECK_NOTHROW(tls_transport{world.options(1)});
}

TEST_CASE("files that are missing, or something else, are errors that name them", "[transport][tls]") {
    tls_world world;
    tls_options options = world.options(1);
    std::string named;
    SECTION("no certificate given") { options.certificate_file = "", named = "certificate_file is not given"; }
    SECTION("no key given") { options.private_key_file = "", named = "private_key_file is not given"; }
    SECTION("no authority given") { options.ca_file = "", named = "ca_file is not given"; }
    SECTION("one that is not there") { options.ca_file += ".not", named = options.ca_file; }
    SECTION("a directory") { options.ca_file = world.directory.path(), named = "not a regular file"; }
    SECTION("a key where a certificate should be") { options.certificate_file = options.private_key_file, named = "certificate_file"; }
    SECTION("a certificate where a key should be") {
        write_with_mode(options.private_key_file, world.authority.issue(1).certificate_pem(), 0600);
        named = "private_key_file";
    }
    SECTION("another node's key") { options.private_key_file = world.key_file(2), named = "does not belong to"; }
    SECTION("an encrypted key, for which nobody is asked") {
        write_with_mode(options.private_key_file, world.authority.issue(1).encrypted_key_pem("secret"), 0600);
        named = "not encrypted";
    }
    SECTION("no file of certificates") {
        write_with_mode(options.ca_file, "nothing", 0644);
        named = "ca_file";
    }
    SECTION("a torn one behind a good one") {
        const std::string good = world.authority.pem();
        write_with_mode(options.ca_file, good + good.substr(0, good.size() / 2), 0644);
        named = "ca_file";
    }
    SECTION("an endless one") {
        write_with_mode(options.ca_file, std::string((1 << 20) + 1, 'x'), 0644);
        named = "larger than 1 MiB";
    }
    const auto why = outcome_of([&] { tls_transport{options}; });
    INFO(why.text);
    CHECK(why.code != std::error_code{});
    CHECK(why.names(named));
}

// ---- who comes ----

TEST_CASE("who dials with a certificate that is not good is refused by name", "[transport][tls]") {
    tls_world world;
    for (const bad_certificate& each : bad_certificates()) {
        CAPTURE(each.name);
        const tls_options options = world.options(1);
        node one{options};
        raw_socket connection{world.port(1)};
        raw_tls stranger{connection, {.shown = each.made(world)}};
        static_cast<void>(stranger.handshake());  // in TLS 1.3 who dials is done before it was looked at
        stranger.send(encode(hello_of(options)));
        const bool is_good = is_refused(one, each.why);
        INFO(world.events.text(1));
        REQUIRE(is_good);
        stranger.drain();
        CHECK(world.events.count(1, std::string{name_of(each.why)}) >= 1);
        CHECK(one.statistics().accepted == 0);
        const std::vector<failure> events = world.events.all(1);
        CHECK(std::any_of(events.begin(), events.end(), [](const failure& what) { return what.code == errc::authentication_failed; }));
    }
}

TEST_CASE("who dials without a certificate is refused", "[transport][tls]") {
    tls_world world;
    node one{world, 1};
    raw_socket connection{world.port(1)};
    raw_tls stranger{connection, {}};
    static_cast<void>(stranger.handshake());
    REQUIRE(is_refused(one, refusal::certificate_missing));
    stranger.drain();
    CHECK(world.events.count(1, "certificate_missing: it has shown no certificate") == 1);
}

TEST_CASE("TLS 1.2 is refused, also with a good certificate", "[transport][tls]") {
    tls_world world;
    node one{world, 1};
    raw_socket connection{world.port(1)};
    raw_tls old{connection, {.shown = world.authority.issue(2), .highest_version = TLS1_2_VERSION}};
    REQUIRE_FALSE(old.handshake());
    CHECK(is_refused(one, refusal::tls_version));
    CHECK(world.events.count(1, "tls_version") == 1);
}

TEST_CASE("a good certificate of a node is good for that node alone", "[transport][tls]") {
    tls_world world;
    const tls_options options = world.options(1);
    node one{options};
    raw_socket connection{world.port(1)};
    raw_tls peer{connection, {.shown = world.authority.issue(2)}};
    REQUIRE(peer.handshake());
    SECTION("as itself") {
        peer.send(encode(hello_of(options, 2)));
        CHECK(peer.read(tcp_hello::size).size() == tcp_hello::size);
        peer.send(header_of(0));
        one.mail.wait_for(1);
        CHECK(one.mail.letters().front().from == 2);
    }
    SECTION("as another") {
        peer.send(encode(hello_of(options, 3)));
        const std::vector<std::byte> answer = peer.read(tcp_hello::size);
        REQUIRE(answer.size() == tcp_hello::size);
        REQUIRE(decode_hello(answer).verdict == 1 + static_cast<std::uint32_t>(refusal::certificate_wrong_node));
        CHECK(is_refused(one, refusal::certificate_wrong_node));
        CHECK(world.events.count(1, "it says that it is node 3, and its certificate is node 2's") == 1);
        CHECK(one.mail.count() == 0);
    }
}

TEST_CASE("a node of the authority's that is no peer is refused", "[transport][tls]") {
    tls_world world;
    const tls_options options = world.options(1);
    node one{options};
    raw_socket connection{world.port(1)};
    raw_tls peer{connection, {.shown = world.authority.issue(7)}};
    REQUIRE(peer.handshake());
    peer.send(encode(hello_of(options, 7)));
    REQUIRE(is_refused(one, refusal::unknown_node));
    peer.drain();
}

// ---- who is dialled ----

TEST_CASE("who answers with a certificate that is not good is refused by name, and told nothing", "[transport][tls]") {
    tls_world world;
    for (const bad_certificate& each : bad_certificates()) {
        CAPTURE(each.name);
        raw_listener listener{world.reserved(2)};
        tls_options options = world.options(1);
        options.peers.pop_back();
        node one{options};
        one.send(2, "secret");
        const auto connection = listener.accept();
        raw_tls stranger{*connection, {.shown = each.made(world), .is_server = true}};
        static_cast<void>(stranger.handshake());
        REQUIRE(stranger.read(1).empty());
        INFO(world.events.text(1));
        REQUIRE(is_refused(one, each.why));
        CHECK(world.events.count(1, "node 2 at " + world.address(2) + ": " + std::string{name_of(each.why)}) >= 1);
        CHECK(one.statistics().connected == 0);
    }
}

TEST_CASE("a peer that speaks no more than TLS 1.2 is refused", "[transport][tls]") {
    tls_world world;
    raw_listener listener{world.reserved(2)};
    tls_options options = world.options(1);
    options.peers.pop_back();
    node one{options};
    const auto connection = listener.accept();
    raw_tls old{*connection, {.shown = world.authority.issue(2), .highest_version = TLS1_2_VERSION, .is_server = true}};
    REQUIRE_FALSE(old.handshake());
    CHECK(is_refused(one, refusal::tls_version));
}

TEST_CASE("a node learns that its own certificate was refused", "[transport][tls]") {
    tls_world world;
    tls_world other;  // with an authority of its own
    tls_options options = other.options(2);
    options.listen = world.address(2);
    options.peers = world.options(1).peers;
    options.on_error = world.events.of(2);
    node one{world, 1};
    node two{options};
    REQUIRE(eventually([&] {  // each finds the other's not good, and hears that of its own, in whichever order
        return one.statistics().of(refusal::certificate_untrusted) > 0 && two.statistics().of(refusal::certificate_untrusted) > 0 &&
               one.statistics().of(refusal::certificate_refused) + two.statistics().of(refusal::certificate_refused) > 0;
    }));
    CHECK(world.events.count(1, "certificate_refused") + world.events.count(2, "certificate_refused") > 0);
    CHECK(one.statistics().connected + two.statistics().connected + one.statistics().accepted + two.statistics().accepted == 0);
}

// ---- the wrong protocol ----

TEST_CASE("what is not TLS is closed and called by its name", "[transport][tls]") {
    tls_world world;
    const tls_options options = world.options(1);
    node one{options};
    raw_socket stranger{world.port(1)};
    refusal why = refusal::plain_spoken;
    SECTION("brook without TLS") { stranger.send(encode(hello_of(options))); }
    SECTION("HTTP") {
        stranger.send("GET / HTTP/1.1\r\n\r\n");
        why = refusal::http_spoken;
    }
    SECTION("anything") { stranger.send(std::string(100, '\0')); }
    REQUIRE(is_refused(one, why));
    stranger.drain();
    CHECK(world.events.count(1, std::string{name_of(why)}) == 1);
}

TEST_CASE("a node with TLS and one without do not understand each other, and say so", "[transport][tls]") {
    tls_world world;
    tcp_world plain;
    tcp_options options = plain.options(2);
    options.listen = world.address(2);
    options.peers = world.options(1).peers;
    options.on_error = world.events.of(2);
    node one{world, 1};
    test::network_node<tcp_world> two{options};
    REQUIRE(is_refused(one, refusal::plain_spoken));
    REQUIRE(eventually([&] { return two.statistics().of(refusal::tls_spoken) > 0; }));
    CHECK(world.events.count(1, "plain_spoken: what comes is not TLS") >= 1);
    CHECK(world.events.count(2, "tls_spoken: TLS is spoken to a port without it") >= 1);
    CHECK(one.mail.count() + two.mail.count() == 0);
}

TEST_CASE("random bytes, and handshakes with damages, do no harm", "[transport][tls]") {
    tls_world world;
    node one{world, 1};
    const std::string first = client_hello(world);
    const std::vector<std::byte> good{as_bytes(first).begin(), as_bytes(first).end()};
    REQUIRE(good.size() > 200);
    std::mt19937_64 chance{2};
    for (int round = 0; round < 200; ++round) {
        raw_socket stranger{world.port(1)};
        std::vector<std::byte> raw = good;
        for (std::size_t i = 0; i <= chance() % 4; ++i) {
            raw[chance() % raw.size()] ^= static_cast<std::byte>(1 + chance() % 255);
        }
        for (std::size_t i = 0; i < chance() % 600; ++i) {
            raw.push_back(static_cast<std::byte>(chance()));
        }
        if (round % 4 == 0) {
            raw.front() = std::byte{0x16};
            raw[1] = std::byte{0x03};
        }
        stranger.send(raw);
        std::error_code ignored;  // it may have been thrown out by now
        stranger.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
        stranger.drain();
    }
    node two{world, 2};  // it is as well as before
    REQUIRE(two.has_met(1));
    two.send(1, "good");
    one.mail.wait_for(1);
}

// ---- limits ----

TEST_CASE("who proves nothing is given up at the handshake's deadline", "[transport][tls]") {
    tls_world world;
    test::faulty_platform platform;
    platform.set_monotonic(1h);
    tls_options options = world.options(1);
    options.platform = &platform;
    node one{options};
    raw_socket silent{world.port(1)};
    raw_socket slow{world.port(1)};
    slow.send(std::string{"\x16\x03\x01\x02", 4});
    raw_socket proved{world.port(1)};
    raw_tls peer{proved, {.shown = world.authority.issue(2)}};  // and then it says nothing
    REQUIRE(peer.handshake());
    REQUIRE(eventually([&] { return one.statistics().incoming == 3; }));
    platform.advance_monotonic(5s);
    REQUIRE(is_refused(one, refusal::handshake_timeout, 3));
    silent.drain();
    slow.drain();
    peer.drain();
}

TEST_CASE("a stranger takes no more than 64 KiB, however long its certificates are", "[transport][tls]") {
    tls_world world;
    tls_options options = world.options(1);
    options.max_connections_per_address = 1'024;
    node one{options};
    SECTION("many that have begun") {
        constexpr std::size_t count = 100;
        std::vector<std::unique_ptr<raw_socket>> held;
        const std::size_t before = ::mallinfo2().uordblks;
        for (std::size_t i = 0; i < count; ++i) {
            held.push_back(std::make_unique<raw_socket>(world.port(1)));
        }
        REQUIRE(eventually([&] { return one.statistics().incoming == count; }));
        const bool has_hello = GENERATE(false, true);
        const std::string begun = has_hello ? client_hello(world) + std::string{"\x17\x03\x03\x40\x00", 5}                      // it is answered, and then comes …
                                            : std::string{"\x16\x03\x01\x3f\xff\x01\x00\x3f\xfb\x03\x03", 11};  // … a message of 16 KiB
        for (const auto& each : held) {
            each->send(begun + std::string(15'000, 'x'));  // which does not end
        }
        std::this_thread::sleep_for(500ms);  // for what is read meanwhile; less would find less
        const std::size_t after = ::mallinfo2().uordblks;
        CAPTURE(before, after);
        CHECK((after - std::min(before, after)) / count < 64 * 1024);  // under a sanitizer it says nothing
        CHECK(one.statistics().incoming == count);
    }
    SECTION("a ClientHello that claims more than handshake_frame_bytes, or is not whole in its record") {
        raw_socket stranger{world.port(1)};
        stranger.send(GENERATE(std::string{"\x16\x03\x01\x40\x00\x01\x01\xff\xfc\x03\x03", 11}, std::string{"\x16\x03\x01\x00\x02\x01\x00\x00\x00", 9},
                               std::string{"\x16\x03\x01\x01\x00\x01\x00\x00\x04\x03\x03", 11}));
        REQUIRE(is_refused(one, refusal::handshake_bytes));
        CHECK(stranger.drain() == 0);
    }
    SECTION("a certificate that is longer than handshake_frame_bytes") {
        certificate_text text{.names = {"URI:brook:node:2"}};
        for (int i = 0; i < 1'000; ++i) {
            text.names.push_back("DNS:a-long-name-of-no-use-" + std::to_string(i) + ".example");
        }
        raw_socket connection{world.port(1)};
        raw_tls stranger{connection, {.shown = world.authority.issue(text)}};
        static_cast<void>(stranger.handshake());
        REQUIRE(is_refused(one, refusal::handshake_bytes));
        stranger.drain();
    }
}

TEST_CASE("all that a stranger says is counted, whatever it is made of", "[transport][tls]") {
    tls_world world;
    certificate_text text{.names = {"URI:brook:node:2"}};
    for (int i = 0; i < 102; ++i) {
        text.names.push_back("DNS:a-long-name-of-no-use-" + std::to_string(i) + ".example");
    }
    tls_options options = world.options(1);
    options.handshake_frame_bytes = 4 * 1024;  // its certificate, of 3.8 KiB, is not too long …
    const bool is_much = GENERATE(false, true);
    options.handshake_bytes = is_much ? 4 * 1024 : 5 * 1024;  // … and with all else it is, or not
    node one{options};
    raw_socket connection{world.port(1)};
    raw_tls stranger{connection, {.shown = world.authority.issue(text)}};
    static_cast<void>(stranger.handshake());
    stranger.send(encode(hello_of(options)));
    if (is_much) {
        REQUIRE(is_refused(one, refusal::handshake_bytes));
        CHECK(world.events.count(1, "it says more than it may before it has proved anything") == 1);
        CHECK(stranger.read(1).empty());
    } else {
        CHECK(stranger.read(tcp_hello::size).size() == tcp_hello::size);
    }
}

TEST_CASE("whatever records come, in whatever pieces, no claim passes the gate", "[transport][tls]") {
    std::mt19937_64 chance{3};
    const auto record = [](std::uint8_t type, std::size_t size, std::size_t message) {
        std::vector<std::byte> made(5 + size, std::byte{0});
        made[0] = std::byte{type};
        made[3] = static_cast<std::byte>(size >> 8);
        made[4] = static_cast<std::byte>(size);
        for (std::size_t i = 0; i < 3 && 6 + i < made.size(); ++i) {
            made[6 + i] = static_cast<std::byte>(message >> (16 - 8 * i));
        }
        return made;
    };
    for (int round = 0; round < 3'000; ++round) {
        CAPTURE(round);
        tls_record_gate gate{2'000};
        bool is_expected = true;
        bool is_good = true;
        for (std::size_t i = 0; i < 1 + chance() % 6; ++i) {
            const std::size_t size = chance() % 3'000;
            const std::size_t message = chance() % 4 == 0 ? chance() % 200'000 : size - std::min<std::size_t>(size, 4);
            const auto type = static_cast<std::uint8_t>(20 + chance() % 4);
            is_expected = is_expected && (type != 22 || (size >= 4 && message + 4 == size && message <= 2'000));
            const std::vector<std::byte> raw = record(type, size, message);
            for (std::size_t at = 0; at < raw.size();) {
                const std::size_t piece = std::min(raw.size() - at, 1 + chance() % (chance() % 2 == 0 ? 3 : 4'000));
                is_good = gate.admit(bytes{raw}.subspan(at, piece));
                at += piece;
            }
            if (is_expected) {
                REQUIRE(is_good);
            } else if (size >= 4) {  // what is shorter is judged by what comes behind it
                REQUIRE_FALSE(is_good);
                break;
            }
        }
    }
}

// ---- a certificate's life ----

TEST_CASE("a certificate that ends soon is reported when the node starts, and once a day", "[transport][tls]") {
    tls_world world;
    test::faulty_platform platform;
    platform.set_monotonic(1h);
    tls_options options = world.options(1);
    options.platform = &platform;
    SECTION("in 29 days") {
        world.give(1, world.authority.issue({.names = {"URI:brook:node:1"}, .ends = 29 * a_day + 60}));
        node one{options};
        REQUIRE(eventually([&] { return world.events.count(1, "certificate_expiring: it ends in 29 days") == 1; }));
        CHECK(world.events.count(1, options.certificate_file) == 1);
        platform.advance_monotonic(24h);
        REQUIRE(eventually([&] { return world.events.count(1, "certificate_expiring") == 2; }));
    }
    SECTION("in 31 days") {
        world.give(1, world.authority.issue({.names = {"URI:brook:node:1"}, .ends = 31 * a_day + 60}));
        node one{options};
        REQUIRE(is_refused(one, refusal::unreachable));  // it has begun to work
        CHECK(world.events.count(1, "certificate_expiring") == 0);
    }
}

TEST_CASE("reload takes new files for new connections, and interrupts none", "[transport][tls]") {
    tls_world world;
    node one{world, 1};
    node two{world, 2};
    REQUIRE(one.has_met(1));
    REQUIRE(two.has_met(1));
    const certificate_authority next{"next authority"};
    const std::string both = world.authority.pem() + next.pem();
    write_with_mode(world.directory / "ca.pem", both, 0644);  // first all trust the new one too …
    one.line->reload();
    two.line->reload();
    world.give(1, next.issue(1));  // … then each shows its new one
    world.give(2, next.issue(2));
    one.line->reload();
    two.line->reload();
    one.send(2, "over the old connection");
    two.mail.wait_for(1);
    CHECK(one.statistics().connected == 1);
    write_with_mode(world.directory / "ca.pem", next.pem(), 0644);  // … then the old one is trusted no more
    one.line->reload();
    two.line->reload();
    one.send(2, "still");
    two.mail.wait_for(2);
    two.line->stop();
    two.line->start(two.mail);
    REQUIRE(eventually([&] { return one.statistics().connected == 2; }));
    one.send(2, "over a new one");
    two.mail.wait_for(3);
    raw_socket connection{world.port(1)};
    raw_tls late{connection, {.shown = world.authority.issue(3)}};  // by the old authority
    static_cast<void>(late.handshake());
    REQUIRE(is_refused(one, refusal::certificate_untrusted));
    late.drain();
}

TEST_CASE("files that are not good are refused by reload, and the old ones stay in use", "[transport][tls]") {
    tls_world world;
    node one{world, 1};
    std::string named;
    SECTION("expired") {
        world.give(1, world.authority.issue({.names = {"URI:brook:node:1"}, .begins = -2 * a_day, .ends = -a_day}));
        named = "certificate_expired";
    }
    SECTION("of another node") {
        world.give(1, world.authority.issue(2));
        named = "certificate_wrong_node";
    }
    SECTION("a key of another certificate") {
        write_with_mode(world.key_file(1), world.authority.issue(1).key_pem(), 0600);
        named = "does not belong to";
    }
    SECTION("half written") {
        write_with_mode(world.certificate_file(1), world.authority.issue(1).certificate_pem().substr(0, 200), 0644);
        named = "certificate_file";
    }
    const auto why = outcome_of([&] { one.line->reload(); });
    INFO(why.text);
    CHECK(why.code == errc::invalid_config);
    CHECK(why.names(named));
    node two{world, 2};
    REQUIRE(one.has_met(1));
    REQUIRE(two.has_met(1));
    two.send(1, "x");
    one.mail.wait_for(1);
}

TEST_CASE("reload while connections are made", "[transport][tls][stress]") {
    tls_world world;
    node one{world, 1};
    std::atomic<bool> is_over{false};
    std::thread reloads{[&] {
        while (!is_over) {
            one.line->reload();
            std::this_thread::yield();
        }
    }};
    for (std::uint64_t i = 1; i <= 5; ++i) {
        node two{world, 2};
        REQUIRE(two.has_met(1));
        two.send(1, "x");
        one.mail.wait_for(static_cast<std::size_t>(i));
    }
    is_over = true;
    reloads.join();
}

TEST_CASE("there are no tickets, and no session is taken up again", "[transport][tls]") {
    tls_world world;
    const tls_credentials credentials = load_credentials(world.options(1));
    CHECK(SSL_CTX_get_num_tickets(credentials.context.get()) == 0);
    CHECK((SSL_CTX_get_options(credentials.context.get()) & SSL_OP_NO_TICKET) != 0);
    CHECK(SSL_CTX_get_session_cache_mode(credentials.context.get()) == SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_get_verify_mode(credentials.context.get()) == (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT));
    CHECK(SSL_CTX_get_min_proto_version(credentials.context.get()) == TLS1_3_VERSION);
    CHECK(credentials.time_left() > 300 * 24h);
}

}  // namespace transport_tls_test
