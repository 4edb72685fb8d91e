#include <brook/transport/memory_network.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/core/error.hpp>
#include <brook/os/posix.hpp>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/mailbox.hpp"

namespace transport_memory_network_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::letter;
using brook::test::mailbox;
using brook::test::start_and_stop;
using std::chrono::nanoseconds;

namespace {

/// A node that runs from here to the end of the block.
struct node {
    explicit node(memory_network& network, int id, std::function<void(int, bytes)> also = nullptr)
        : mail{std::move(also)}, line{network.join(id)} {
        line->start(mail);
    }
    node(const node&) = delete;
    node& operator=(const node&) = delete;
    ~node() { line->stop(); }

    void send(int to, std::string_view text) { line->send(to, as_bytes(text)); }

    mailbox mail;
    std::shared_ptr<transport> line;
};

[[nodiscard]] std::vector<std::string> numbered(int begin, int end) {
    std::vector<std::string> all;
    for (int n = begin; n < end; ++n) {
        all.push_back("datagram " + std::to_string(n));
    }
    return all;
}

void send_numbered(node& from, int to, int begin, int end) {
    for (const std::string& text : numbered(begin, end)) {
        from.send(to, text);
    }
}

template <class Text> [[nodiscard]] std::vector<Text> sorted(std::vector<Text> all) {
    std::sort(all.begin(), all.end());
    return all;
}

/// That each datagram has met one fate and is counted under it.
void check_sum(const memory_network& network) {
    const memory_network_statistics s = network.statistics();
    CHECK(s.sent + s.duplicated == s.delivered + s.dropped + s.cut + s.unreachable + s.overflowed + s.oversized + s.under_way);
}

template <class Function> [[nodiscard]] std::error_code code_of(const Function& function) {
    try {
        function();
    } catch (const error& thrown) {
        return thrown.code();
    }
    return {};
}

[[nodiscard]] memory_network manual_network(std::uint64_t seed = 1) {
    return memory_network{memory_network_options{.seed = seed, .manual = true}};
}

}  // namespace

// ---- without faults ----

TEST_CASE("a datagram is told on the thread that sends it, in place, before send returns", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    const std::string text = "hello";
    two.send(1, text);
    REQUIRE(one.mail.count() == 1);
    CHECK(one.mail.letters() == std::vector<letter>{{2, "hello"}});
    CHECK(one.mail.place(0) == as_bytes(text).data());
    CHECK(one.mail.thread(0) == std::this_thread::get_id());
    one.send(2, "");
    CHECK(two.mail.letters() == std::vector<letter>{{1, ""}});
    CHECK(network.statistics() == memory_network_statistics{.sent = 2, .delivered = 2});
}

TEST_CASE("what cannot come anywhere is lost and counted", "[transport][memory_network]") {
    memory_network network{memory_network_options{.largest_datagram = 64 * 1024}};
    node one{network, 1};
    node two{network, 2};
    SECTION("to a node that nobody knows") {
        one.send(7, "x");
        CHECK(network.statistics() == memory_network_statistics{.sent = 1, .unreachable = 1});
    }
    SECTION("to one that does not run yet, or any more") {
        const auto third = network.join(3);
        one.send(3, "x");
        two.line->stop();
        one.send(2, "x");
        CHECK(network.statistics() == memory_network_statistics{.sent = 2, .unreachable = 2});
    }
    SECTION("from one that does not run") {
        network.join(3)->send(2, as_bytes("x"));
        two.line->stop();
        two.send(1, "x");
        CHECK(network.statistics() == memory_network_statistics{.sent = 2, .unreachable = 2});
    }
    SECTION("to itself") {
        one.send(1, "x");
        CHECK(network.statistics() == memory_network_statistics{.sent = 1, .unreachable = 1});
    }
    SECTION("larger than a datagram may be; the largest still comes") {
        CHECK(one.line->largest_datagram() == 64 * 1024);
        one.send(2, std::string(64 * 1024 + 1, 'x'));
        CHECK(two.mail.count() == 0);
        one.send(2, std::string(64 * 1024, 'x'));
        CHECK(two.mail.letters() == std::vector<letter>{{1, std::string(64 * 1024, 'x')}});
        CHECK(network.statistics() == memory_network_statistics{.sent = 2, .delivered = 1, .oversized = 1});
    }
    CHECK(one.mail.count() == 0);
}

TEST_CASE("two that answer each other inside of receive do so without nesting and without an end", "[transport][memory_network]") {
    memory_network network;
    constexpr std::size_t rounds = 20'000;
    static thread_local int depth = 0;
    std::atomic<int> deepest{0};
    std::atomic<node*> first{nullptr};
    std::atomic<node*> second{nullptr};
    const auto answer = [&](std::atomic<node*>& whose) {
        return [&](int from, bytes datagram) {
            ++depth;
            deepest = std::max(deepest.load(), depth);
            if (node* const me = whose.load(); me->mail.count() < rounds) {
                me->line->send(from, datagram);
            }
            --depth;
        };
    };
    node one{network, 1, answer(first)};
    node two{network, 2, answer(second)};
    first = &one;
    second = &two;
    one.send(2, "ball");
    one.mail.wait_for(rounds);
    two.mail.wait_for(rounds + 1);
    CHECK(deepest == 1);
    CHECK(two.mail.thread(0) == std::this_thread::get_id());
    CHECK(one.mail.thread(0) != std::this_thread::get_id());
    check_sum(network);
}

TEST_CASE("what is sent after an answer from inside of receive does not overtake it", "[transport][memory_network]") {
    memory_network network;
    std::atomic<node*> second{nullptr};
    node one{network, 1};
    node two{network, 2, [&](int from, bytes) { send_numbered(*second.load(), from, 0, 100); }};
    second = &two;
    one.send(2, "go");
    send_numbered(two, 1, 100, 1'000);  // these could be told on this thread, at once
    one.mail.wait_for(1'000);
    CHECK(one.mail.texts() == numbered(0, 1'000));
}

// ---- one fault at a time: it does what it says, and nothing else ----

TEST_CASE("drop loses at its rate, and what is not lost comes as it was", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    const auto [rate, least, most] = GENERATE(Catch::Generators::table<double, std::size_t, std::size_t>({{0.0, 1'000, 1'000}, {0.3, 600, 800}, {1.0, 0, 0}}));
    CAPTURE(rate);
    network.set_faults({.drop = rate});
    send_numbered(one, 2, 0, 1'000);
    CHECK(two.mail.count() >= least);
    CHECK(two.mail.count() <= most);
    std::vector<std::string> came = two.mail.texts();
    const std::vector<std::string> all = numbered(0, 1'000);
    auto place = all.begin();
    for (const std::string& each : came) {  // in order, and none twice
        place = std::find(place, all.end(), each);
        REQUIRE(place != all.end());
        ++place;
    }
    CHECK(network.statistics() == memory_network_statistics{.sent = 1'000, .delivered = came.size(), .dropped = 1'000 - came.size()});
}

TEST_CASE("duplicate brings a datagram twice, one after the other", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    SECTION("always") {
        network.set_faults({.duplicate = 1});
        send_numbered(one, 2, 0, 50);
        std::vector<std::string> expected;
        for (const std::string& text : numbered(0, 50)) {
            expected.insert(expected.end(), 2, text);
        }
        CHECK(two.mail.texts() == expected);
        CHECK(network.statistics() == memory_network_statistics{.sent = 50, .delivered = 100, .duplicated = 50});
    }
    SECTION("at a rate") {
        network.set_faults({.duplicate = 0.5});
        send_numbered(one, 2, 0, 1'000);
        std::vector<std::string> came = two.mail.texts();
        CHECK(came.size() > 1'400);
        CHECK(came.size() < 1'600);
        came.erase(std::unique(came.begin(), came.end()), came.end());
        CHECK(came == numbered(0, 1'000));
        check_sum(network);
    }
}

TEST_CASE("corrupt changes one to four bytes, and neither the size nor the sender's own", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.corrupt = 1});
    std::array<int, 5> changes{};
    int pairs = 0;
    std::string came;
    node four{network, 4, [&](int, bytes datagram) { came = as_text(datagram); }};
    for (std::size_t n = 0; n < 4'000; ++n) {
        const std::size_t size = n < 3'000 ? 1 + n % 3 : n - 2'999;
        const std::string sent(size, 'a');
        one.send(4, sent);
        CHECK(sent == std::string(size, 'a'));
        REQUIRE(came.size() == size);
        const auto changed = static_cast<std::size_t>(std::count_if(came.begin(), came.end(), [](char c) { return c != 'a'; }));
        REQUIRE(changed >= 1);
        REQUIRE(changed <= 4);
        ++changes[changed];
        pairs += size == 2 && changed == 2 ? 1 : 0;
    }
    CHECK(pairs > 400);  // of 1,000, half of which are to have two changes: none is made to a byte that has one
    CHECK(std::all_of(changes.begin() + 1, changes.end(), [](int times) { return times > 100; }));
    CHECK(network.statistics() == memory_network_statistics{.sent = 4'000, .delivered = 4'000, .corrupted = 4'000});
    one.send(2, "");  // there is nothing to change
    CHECK(two.mail.letters().back() == letter{1, ""});
    CHECK(network.statistics().corrupted == 4'000);
}

TEST_CASE("delay brings each datagram within its time, in the order of sending", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.delay_min = 10ms, .delay_max = 30ms});
    network.set_time(1s);
    send_numbered(one, 2, 0, 100);
    CHECK(network.next_due() >= 1s + 10ms);
    CHECK(network.deliver(1s + 10ms - 1ns) == 0);
    std::size_t told = 0;
    for (nanoseconds now = 1s + 10ms; now <= 1s + 30ms; now += 1ms) {
        told += network.deliver(now);
        CHECK(two.mail.count() == told);
    }
    CHECK(two.mail.texts() == numbered(0, 100));
    CHECK(network.next_due() == std::nullopt);
    CHECK(network.statistics() == memory_network_statistics{.sent = 100, .delivered = 100, .delayed = 100});
}

TEST_CASE("delays differ: not all come at the same time", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.delay_max = 100ms});
    std::vector<nanoseconds> came;
    for (int i = 0; i < 100; ++i) {  // one at a time, so that none has to wait for another
        one.send(2, "x");
        const nanoseconds due = network.next_due().value();
        came.push_back(due - 100ms * i);
        network.deliver(due);
        network.set_time(100ms * (i + 1));
    }
    const auto [first, last] = std::minmax_element(came.begin(), came.end());
    CHECK(*first >= 0ms);
    CHECK(*first < 10ms);
    CHECK(*last > 90ms);
    CHECK(*last <= 100ms);
}

TEST_CASE("reorder lets datagrams overtake each other, and loses none", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    SECTION("all of them") {
        network.set_faults({.reorder = 1, .reorder_within = 5ms});
        send_numbered(one, 2, 0, 200);
        CHECK(network.deliver(0ms) == 0);
        CHECK(network.deliver(5ms) == 200);
        CHECK(two.mail.texts() != numbered(0, 200));
        CHECK(sorted(two.mail.texts()) == sorted(numbered(0, 200)));
        CHECK(network.statistics() == memory_network_statistics{.sent = 200, .delivered = 200, .reordered = 200});
    }
    SECTION("some: the others keep their order") {
        network.set_faults({.reorder = 0.2});
        send_numbered(one, 2, 0, 200);
        const std::size_t at_once = network.deliver(0ms);
        const std::vector<std::string> in_order = two.mail.texts();
        CHECK(at_once == 200 - network.statistics().reordered);
        CHECK(at_once > 120);
        CHECK(at_once < 190);
        std::vector<std::string> expected;
        for (const std::string& each : numbered(0, 200)) {
            if (std::find(in_order.begin(), in_order.end(), each) != in_order.end()) {
                expected.push_back(each);
            }
        }
        CHECK(in_order == expected);
        network.deliver(1ms);
        CHECK(sorted(two.mail.texts()) == sorted(numbered(0, 200)));
    }
}

TEST_CASE("with threads, what is delayed or reordered comes later from the network's own thread", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    std::atomic<std::int64_t> earliest{std::numeric_limits<std::int64_t>::max()};
    node two{network, 2, [&](int, bytes) { earliest = std::min(earliest.load(), os::posix().monotonic().count()); }};
    const nanoseconds begin = os::posix().monotonic();
    SECTION("delayed: in order, and those after the fault has ended too") {
        network.set_faults({.delay_min = 2ms, .delay_max = 4ms});
        send_numbered(one, 2, 0, 100);
        network.heal();
        send_numbered(one, 2, 100, 200);
        two.mail.wait_for(200);
        CHECK(two.mail.texts() == numbered(0, 200));
        CHECK(nanoseconds{earliest} - begin >= 2ms);
        CHECK(network.statistics() == memory_network_statistics{.sent = 200, .delivered = 200, .delayed = network.statistics().delayed});
        CHECK(network.statistics().delayed == 100);
    }
    SECTION("reordered: what follows is told at once") {
        network.set_faults({.reorder = 1, .reorder_within = 1ms});
        one.send(2, "slow");
        network.heal();
        one.send(2, "fast");
        two.mail.wait_for(2);
        CHECK(sorted(two.mail.texts()) == std::vector<std::string>{"fast", "slow"});
        CHECK(network.statistics() == memory_network_statistics{.sent = 2, .delivered = 2, .reordered = 1});
    }
    CHECK(two.mail.thread(two.mail.letters()[0].text == "fast" ? 1 : 0) != std::this_thread::get_id());
}

TEST_CASE("faults of one link are in place of those for all, and of that direction alone", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    node three{network, 3};
    const auto exchange = [&] {
        std::string seen;
        for (const auto& [from, to] : std::vector<std::pair<node*, int>>{{&one, 2}, {&two, 1}, {&one, 3}, {&three, 1}, {&two, 3}, {&three, 2}}) {
            const std::uint64_t before = network.statistics().delivered;
            from->send(to, "x");
            seen += network.statistics().delivered > before ? '1' : '0';
        }
        return seen;
    };
    CHECK(exchange() == "111111");
    network.set_faults_one_way(1, 2, {.drop = 1});
    CHECK(exchange() == "011111");
    network.set_faults({.drop = 1});
    network.set_faults_one_way(1, 2, {});
    CHECK(exchange() == "100000");
    network.set_faults(1, 3, {});
    CHECK(exchange() == "101100");
    network.heal(1, 2);
    CHECK(exchange() == "001100");
    network.heal(3);
    CHECK(exchange() == "000000");
    network.heal();
    CHECK(exchange() == "111111");
    network.set_faults({.drop = 1});
    network.set_faults({});
    CHECK(exchange() == "111111");
}

TEST_CASE("faults and options that mean nothing are refused", "[transport][memory_network]") {
    memory_network network;
    const memory_network_faults wrong = GENERATE(
        memory_network_faults{.drop = -0.1}, memory_network_faults{.duplicate = 1.1},
        memory_network_faults{.corrupt = std::numeric_limits<double>::quiet_NaN()},
        memory_network_faults{.delay_min = -1ns}, memory_network_faults{.delay_min = 2ms, .delay_max = 1ms},
        memory_network_faults{.delay_max = 25h}, memory_network_faults{.reorder = 1, .reorder_within = 0ns});
    CHECK(code_of([&] { network.set_faults(wrong); }) == errc::invalid_config);
    CHECK(code_of([&] { network.set_faults(1, 2, wrong); }) == errc::invalid_config);
    CHECK(code_of([&] { const memory_network small{memory_network_options{.largest_datagram = 1'000}}; }) == errc::invalid_config);
    CHECK(code_of([&] { network.deliver(0ns); }) == errc::illegal_state);
    CHECK(code_of([&] { network.set_time(0ns); }) == errc::illegal_state);
    CHECK(code_of([&] { static_cast<void>(network.next_due()); }) == errc::illegal_state);
}

// ---- cuts ----

TEST_CASE("cuts are of one direction, of two, or of all that a node has", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    node three{network, 3};
    const auto passes = [&] {  // 12 21 13 31 23 32
        std::string seen;
        for (const auto& [from, to] : std::vector<std::pair<node*, int>>{{&one, 2}, {&two, 1}, {&one, 3}, {&three, 1}, {&two, 3}, {&three, 2}}) {
            const std::uint64_t before = network.statistics().delivered;
            from->send(to, "x");
            seen += network.statistics().delivered > before ? '1' : '0';
        }
        return seen;
    };
    SECTION("one way") {
        network.cut_one_way(1, 2);
        CHECK(passes() == "011111");
        network.heal(2, 1);
    }
    SECTION("both ways") {
        network.cut(3, 1);
        CHECK(passes() == "110011");
        network.heal(1, 3);
    }
    SECTION("isolated; healing a link does not end that") {
        network.isolate(2);
        CHECK(passes() == "001100");
        network.heal(1, 2);
        CHECK(passes() == "001100");
        network.heal(1);
        CHECK(passes() == "001100");
        network.heal(2);
    }
    SECTION("both of two that are isolated have to be healed") {
        network.isolate(1);
        network.isolate(2);
        network.cut(2, 3);
        CHECK(passes() == "000000");
        network.heal(1);
        CHECK(passes() == "001100");
        network.heal(2);
    }
    SECTION("all at once") {
        network.isolate(1);
        network.cut(2, 3);
        CHECK(passes() == "000000");
        network.heal();
    }
    CHECK(passes() == "111111");
    check_sum(network);
    CHECK(network.statistics().cut > 0);
}

TEST_CASE("a cut ends what is on its way, and healing does not bring it back", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.delay_min = 10ms, .delay_max = 10ms});
    one.send(2, "caught");
    two.send(1, "other direction");
    network.cut_one_way(1, 2);
    CHECK(network.deliver(10ms) == 1);
    network.heal();
    one.send(2, "after");
    CHECK(network.deliver(1s) == 1);
    CHECK(two.mail.texts() == std::vector<std::string>{"after"});
    CHECK(one.mail.texts() == std::vector<std::string>{"other direction"});
    CHECK(network.statistics() == memory_network_statistics{.sent = 3, .delivered = 2, .cut = 1, .delayed = 2});
}

// ---- pauses ----

TEST_CASE("a paused node gets what has come for it when it is resumed, in order", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    node two{network, 2};
    network.pause(2);
    send_numbered(one, 2, 0, 100);
    two.send(1, "a paused node can send");
    CHECK(one.mail.count() == 1);
    CHECK(two.mail.count() == 0);
    CHECK(network.statistics() == memory_network_statistics{.sent = 101, .delivered = 1, .under_way = 100, .kept = 100});
    SECTION("by resume; what is sent then comes after it") {
        network.resume(2);
        send_numbered(one, 2, 100, 300);
    }
    SECTION("by heal of the node, though it has been cut off since") {
        network.isolate(2);
        network.pause(2);
        network.heal(2);
        send_numbered(one, 2, 100, 300);
    }
    SECTION("by heal; paused and resumed again in between") {
        network.resume(2);
        network.pause(2);
        send_numbered(one, 2, 100, 300);
        network.heal();
    }
    SECTION("though the link has been cut since: it had come") {
        network.cut_one_way(1, 2);
        network.resume(2);
        two.mail.wait_for(100);
        network.heal();
        send_numbered(one, 2, 100, 300);
    }
    two.mail.wait_for(300);
    CHECK(two.mail.texts() == numbered(0, 300));
    CHECK(network.statistics().under_way == 0);
    check_sum(network);
}

TEST_CASE("what is due at a paused node is kept in a manual network too", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.delay_min = 5ms, .delay_max = 5ms});
    network.pause(2);
    send_numbered(one, 2, 0, 10);
    CHECK(network.next_due() == 5ms);
    CHECK(network.deliver(7ms) == 0);
    CHECK(network.next_due() == std::nullopt);
    CHECK(network.statistics().kept == 10);
    send_numbered(one, 2, 10, 20);
    network.resume(2);
    network.pause(2);
    CHECK(network.next_due() == 5ms);
    CHECK(network.deliver(7ms) == 0);
    CHECK(network.statistics().kept == 10);  // those that are kept a second time are the same ones
    network.resume(2);
    CHECK(network.deliver(7ms) == 10);
    CHECK(network.deliver(12ms) == 10);
    CHECK(two.mail.texts() == numbered(0, 20));

    network.pause(2);
    send_numbered(one, 2, 20, 21);
    CHECK(network.deliver(17ms) == 0);
    network.set_faults({.delay_min = 50ms, .delay_max = 50ms});
    send_numbered(one, 2, 21, 22);
    network.heal();
    send_numbered(one, 2, 22, 23);  // goes behind the one that still has its delay, though one that was kept is due before
    CHECK(network.deliver(17ms) == 1);
    CHECK(network.deliver(67ms) == 2);
    CHECK(two.mail.texts() == numbered(0, 23));
}

TEST_CASE("what waits for a node is bounded, by number and by bytes", "[transport][memory_network]") {
    memory_network network{memory_network_options{.queue_count = 10, .queue_bytes = 1'000}};
    node one{network, 1};
    node two{network, 2};
    node three{network, 3};
    network.pause(2);
    network.pause(3);
    send_numbered(one, 2, 0, 15);
    CHECK(network.statistics().kept == 10);
    CHECK(network.statistics().overflowed == 5);
    one.send(3, std::string(600, 'a'));
    one.send(3, std::string(401, 'b'));
    one.send(3, std::string(400, 'c'));
    one.send(3, std::string(1, 'd'));
    CHECK(network.statistics().kept == 12);
    CHECK(network.statistics().overflowed == 7);
    network.heal();
    two.mail.wait_for(10);
    three.mail.wait_for(2);
    CHECK(two.mail.texts() == numbered(0, 10));
    CHECK(three.mail.texts() == std::vector<std::string>{std::string(600, 'a'), std::string(400, 'c')});
    check_sum(network);
    one.send(2, "there is room again");
    two.mail.wait_for(11);
    network.pause(3);
    one.send(3, std::string(1'000, 'e'));
    network.resume(3);
    three.mail.wait_for(3);
    network.pause(2);
    send_numbered(one, 2, 0, 15);
    CHECK(network.statistics().kept == 23);
}

TEST_CASE("what there is no memory for is lost, and counted as what is too much", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node two{network, 2};
    network.set_faults({.duplicate = 1, .corrupt = 1});
    std::uint64_t losses = 0;
    for (std::uint64_t allocation = 1;; ++allocation) {
        CAPTURE(allocation);
        const std::uint64_t before = network.statistics().overflowed;
        const std::string text(100, 'x');
        bool has_failed = false;
        {
            const test::failing_memory once{allocation};
            one.send(2, text);
            has_failed = test::failing_memory::has_failed();
        }
        check_sum(network);
        CHECK(network.statistics().overflowed == before + (has_failed ? 1 : 0));
        if (!has_failed) {
            break;
        }
        ++losses;
    }
    CHECK(losses > 2);
    network.deliver(0ns);
    CHECK(network.statistics().delivered == two.mail.count());
    CHECK(network.statistics().under_way == 0);
    CHECK(network.statistics().corrupted == two.mail.count());
    check_sum(network);
}

// ---- one seed, one run ----

namespace {

/// Three nodes that answer some of what they get, under all faults at once. What each of them saw, and when.
[[nodiscard]] std::vector<std::string> run_of(std::uint64_t seed, memory_network_statistics& statistics) {
    memory_network network = manual_network(seed);
    std::vector<std::string> seen;
    nanoseconds now{0};
    std::array<std::unique_ptr<node>, 4> nodes;
    for (int id = 1; id <= 3; ++id) {
        nodes[static_cast<std::size_t>(id)] = std::make_unique<node>(network, id, [&, id](int from, bytes datagram) {
            seen.push_back(std::to_string(now.count()) + " " + std::to_string(from) + ">" + std::to_string(id) + " " + std::string{as_text(datagram)});
            if (datagram.size() < 40) {
                nodes[static_cast<std::size_t>(id)]->send(1 + (id % 3), std::string{as_text(datagram)} + "*");
            }
        });
    }
    network.set_faults({.drop = 0.1, .duplicate = 0.1, .reorder = 0.1, .corrupt = 0.1, .delay_min = 1us, .delay_max = 2ms});
    network.set_faults_one_way(1, 2, {.drop = 0.2, .delay_max = 5ms});
    for (int round = 0; round < 30; ++round) {
        if (round == 10) {
            network.pause(2);
        }
        if (round == 15) {
            network.cut_one_way(3, 1);
            network.resume(2);
        }
        if (round == 20) {
            network.heal(3, 1);
        }
        for (std::size_t id = 1; id <= 3; ++id) {
            send_numbered(*nodes[id], 1 + static_cast<int>(id % 3), round, round + 2);
        }
        for (int step = 0; step < 20; ++step) {
            if (const auto due = network.next_due()) {
                now = std::max(now, *due);
                network.deliver(now);
            }
        }
    }
    statistics = network.statistics();
    check_sum(network);
    return seen;
}

}  // namespace

TEST_CASE("a manual network's run is its seed's", "[transport][memory_network]") {
    memory_network_statistics first;
    memory_network_statistics again;
    memory_network_statistics other;
    const std::vector<std::string> seen = run_of(7, first);
    CHECK(seen == run_of(7, again));
    CHECK(first == again);
    CHECK(seen != run_of(8, other));
    CHECK(seen.size() > 300);
    for (const std::uint64_t count : {first.dropped, first.duplicated, first.reordered, first.corrupted, first.delayed, first.kept, first.cut}) {
        CHECK(count > 0);
    }
}

TEST_CASE("chance is the published sequence, the same on every machine", "[transport][memory_network]") {
    transport_room::random_sequence chance{1'234'567};  // the reference values of SplitMix64
    CHECK(chance.next() == 6'457'827'717'110'365'317u);
    CHECK(chance.next() == 3'203'168'211'198'807'973u);
    CHECK(chance.next() == 9'817'491'932'198'370'423u);
}

TEST_CASE("a manual network brings what is due, by time and then by sending; what receivers send comes with the next call",
          "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    std::vector<std::string> order;
    node* echo = nullptr;
    node two{network, 2, [&](int from, bytes datagram) {
        order.emplace_back(as_text(datagram));
        echo->send(from, "answer");
    }};
    echo = &two;
    node three{network, 3, [&](int, bytes datagram) { order.emplace_back(as_text(datagram)); }};
    CHECK(network.next_due() == std::nullopt);
    CHECK(network.deliver(5ms) == 0);
    network.set_faults(1, 3, {.delay_min = 2ms, .delay_max = 2ms});
    one.send(3, "later");
    one.send(2, "first");
    one.send(2, "second");
    network.set_time(1ms);  // time does not go back
    one.send(2, "third");
    CHECK(one.mail.count() + two.mail.count() + three.mail.count() == 0);
    CHECK(network.next_due() == 5ms);
    CHECK(network.deliver(7ms) == 4);
    CHECK(order == std::vector<std::string>{"first", "second", "third", "later"});
    CHECK(one.mail.count() == 0);
    CHECK(network.next_due() == 7ms);
    CHECK(network.deliver(0ms) == 3);
    CHECK(one.mail.count() == 3);
}

// ---- starting, stopping, joining anew ----

TEST_CASE("who joins anew takes over what comes when it starts, and gets what was still on its way", "[transport][memory_network]") {
    memory_network network = manual_network();
    node one{network, 1};
    node old{network, 2};
    network.set_faults({.delay_min = 1ms, .delay_max = 1ms});
    const std::shared_ptr<transport> line = network.join(2);
    one.send(2, "before");
    CHECK(network.deliver(1ms) == 1);
    CHECK(old.mail.texts() == std::vector<std::string>{"before"});  // joined is not started
    one.send(2, "on its way");
    mailbox fresh;
    line->start(fresh);
    CHECK(network.deliver(2ms) == 1);
    CHECK(fresh.texts() == std::vector<std::string>{"on its way"});
    SECTION("while the one before still runs: it can send, and when it stops the other one goes on") {
        old.send(1, "still here");
        CHECK(network.deliver(3ms) == 1);
        CHECK(one.mail.letters() == std::vector<letter>{{2, "still here"}});
        old.line->stop();
    }
    SECTION("when that one has stopped") {
        old.line->stop();
    }
    one.send(2, "after");
    CHECK(network.deliver(5ms) == 1);
    CHECK(fresh.texts() == std::vector<std::string>{"on its way", "after"});
    CHECK(old.mail.count() == 1);
    line->stop();
    one.send(2, "to nobody");
    CHECK(network.deliver(7ms) == 0);
    CHECK(network.statistics().unreachable == 1);
}

TEST_CASE("a transport can be started again, with another receiver", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    const std::shared_ptr<transport> line = network.join(2);
    line->stop();  // does nothing
    for (int round = 0; round < 3; ++round) {
        mailbox mail;
        line->start(mail);
        one.send(2, "x");
        CHECK(mail.count() == 1);
        line->stop();
        line->stop();
        one.send(2, "lost");
        CHECK(mail.count() == 1);
    }
}

TEST_CASE("when stop returns nothing is told any more, whatever the others send", "[transport][memory_network][stress]") {
    memory_network network;
    network.set_faults(1, 2, {.delay_max = 20us});  // some by way of the network's own thread
    std::atomic<bool> is_over{false};
    const auto chatter = [&](int id) {
        node self{network, id};
        while (!is_over) {
            self.send(2, "chatter");
            std::this_thread::yield();  // so that `stop` gets at the lock
        }
    };
    std::thread first{chatter, 1};
    std::thread second{chatter, 3};
    std::uint64_t told = 0;
    const std::shared_ptr<transport> line = network.join(2);
    for (int round = 0; round < 150; ++round) {
        told += start_and_stop(*line, static_cast<std::size_t>(round % 3));
    }
    is_over = true;
    first.join();
    second.join();
    CHECK(told >= 150);
}

TEST_CASE("stop waits for a receive that goes on in another thread", "[transport][memory_network]") {
    memory_network network;
    node one{network, 1};
    std::atomic<bool> is_inside{false};
    std::atomic<bool> is_stopping{false};
    std::atomic<bool> has_left{false};
    node two{network, 2, [&](int, bytes) {
        is_inside = true;
        while (!is_stopping) {
            std::this_thread::yield();
        }
        for (int i = 0; i < 1'000; ++i) {  // long enough for a stop that does not wait
            std::this_thread::yield();
        }
        has_left = true;
    }};
    std::thread sender{[&] { one.send(2, "x"); }};
    while (!is_inside) {
        std::this_thread::yield();
    }
    is_stopping = true;
    two.line->stop();
    CHECK(has_left);
    sender.join();
}

TEST_CASE("stop inside of receive does not wait for itself", "[transport][memory_network]") {
    memory_network network;
    node* self = nullptr;
    std::function<void()> then;
    node two{network, 2, [&](int, bytes) {
        self->line->stop();
        self->line->stop();
        if (then) {
            then();
        }
    }};
    self = &two;
    node one{network, 1};
    SECTION("on the sender's thread") {
        one.send(2, "x");
        CHECK(two.mail.count() == 1);
    }
    SECTION("on the network's") {
        network.set_faults({.delay_min = 1us, .delay_max = 1us});
        one.send(2, "x");
        two.mail.wait_for(1);
    }
    SECTION("a stop from outside waits for that call to return") {
        std::atomic<bool> is_stopped{false};
        std::atomic<bool> is_stopping{false};
        std::atomic<bool> has_left{false};
        then = [&] {
            is_stopped = true;
            while (!is_stopping) {
                std::this_thread::yield();
            }
            for (int i = 0; i < 1'000; ++i) {
                std::this_thread::yield();
            }
            has_left = true;
        };
        std::thread sender{[&] { one.send(2, "x"); }};
        while (!is_stopped) {
            std::this_thread::yield();
        }
        is_stopping = true;
        two.line->stop();
        CHECK(has_left);
        sender.join();
    }
    one.send(2, "lost");
    two.line->stop();
    CHECK(two.mail.count() == 1);
}

TEST_CASE("two threads that both stop from inside of receive do not wait for each other", "[transport][memory_network]") {
    for (int round = 0; round < 100; ++round) {
        memory_network network;
        node* self = nullptr;
        std::atomic<int> inside{0};
        node two{network, 2, [&](int, bytes) {
            ++inside;
            while (inside < 2) {
                std::this_thread::yield();
            }
            self->line->stop();
        }};
        self = &two;
        node one{network, 1};
        node three{network, 3};
        std::thread sender{[&] { one.send(2, "x"); }};
        three.send(2, "x");
        sender.join();
        CHECK(two.mail.count() == 2);
    }
}

TEST_CASE("transports outlive the network object, and its copies are the same network", "[transport][memory_network]") {
    std::shared_ptr<transport> first;
    std::shared_ptr<transport> second;
    mailbox mail;
    mailbox other;
    std::optional<memory_network> kept;
    {
        memory_network network;
        first = network.join(1);
        second = network.join(2);
        network.set_faults({.delay_min = 10us, .delay_max = 10us});
        kept = network;
    }
    first->start(mail);
    second->start(other);
    first->send(2, as_bytes("from one"));
    kept->isolate(1);
    first->send(2, as_bytes("lost"));
    kept->heal(1);
    kept.reset();
    second->send(1, as_bytes("from two"));
    mail.wait_for(1);
    first->send(2, as_bytes("last"));
    SECTION("stopped") {
        first->stop();
        second->stop();
    }
    SECTION("destroyed while they run, with something on its way") {
        first.reset();
        second.reset();
    }
    const std::vector<std::string> came = other.texts();
    CHECK(std::find(came.begin(), came.end(), "lost") == came.end());
    CHECK(mail.texts() == std::vector<std::string>{"from two"});
}

TEST_CASE("the last transport may go inside of receive, on the network's own thread", "[transport][memory_network]") {
    static std::vector<std::unique_ptr<mailbox>> kept;  // there is nobody left who could wait until the last call has returned
    for (int round = 0; round < 50; ++round) {
        std::shared_ptr<transport> last;
        std::atomic<bool> is_alone{false};
        mailbox& mail = *kept.emplace_back(std::make_unique<mailbox>([&](int, bytes) {
            while (!is_alone) {
                std::this_thread::yield();
            }
            last.reset();
        }));
        {
            memory_network network;
            last = network.join(2);
            last->start(mail);
            node one{network, 1};
            network.set_faults({.delay_min = 1us, .delay_max = 1us});
            one.send(2, "x");
            while (network.statistics().delivered == 0) {
                std::this_thread::yield();
            }
        }
        is_alone = true;
        mail.wait_for(1);
        CHECK(last == nullptr);
    }
}

TEST_CASE("many threads send to each other under faults, and every datagram is accounted for", "[transport][memory_network][stress]") {
    memory_network network;
    constexpr int nodes = 3;
    constexpr int each = 3'000;
    std::vector<std::unique_ptr<node>> all;
    for (int id = 0; id < nodes; ++id) {
        all.push_back(std::make_unique<node>(network, id));
    }
    network.set_faults({.drop = 0.05, .duplicate = 0.05, .reorder = 0.05, .corrupt = 0.05, .delay_max = 50us,
                        .reorder_within = 100us});
    std::vector<std::thread> threads;
    for (int id = 0; id < nodes; ++id) {
        threads.emplace_back([&, id] {
            for (int n = 0; n < each; ++n) {
                all[static_cast<std::size_t>(id)]->send((id + 1 + n % 2) % nodes, "datagram");
            }
        });
    }
    for (int round = 0; round < 200; ++round) {
        network.pause(round % nodes);
        network.cut(round % nodes, (round + 1) % nodes);
        check_sum(network);
        network.heal(round % nodes);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    while (network.statistics().under_way > 0) {
        std::this_thread::yield();
    }
    check_sum(network);
    for (const auto& one : all) {
        one->line->stop();  // what is still being told is told
    }
    std::size_t came = 0;
    for (const auto& one : all) {
        came += one->mail.count();
        for (const std::string& text : one->mail.texts()) {
            REQUIRE(text.size() == 8);
        }
    }
    CHECK(came == network.statistics().delivered);
    CHECK(network.statistics().sent == nodes * each);
}

}  // namespace transport_memory_network_test
