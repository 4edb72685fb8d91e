// Several batches of one producer on their way at once: each there once, all in the order of the sends. In one thread, by the world's seed.
#include <brook/broker/produce_server.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/brook.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication.hpp>
#include <brook/replication/byte_stream.hpp>

#include "broker/three_brokers.hpp"
#include "support/catch.hpp"
#include "support/wire.hpp"

namespace broker_cluster_order_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using brook::broker_room::answer_codec;
using brook::broker_room::answer_status;
using brook::broker_room::datagram;
using brook::broker_room::partition_id;
using brook::broker_room::request_kind;
using keys = std::vector<std::uint64_t>;

namespace {

/// Parts of one kind in a datagram.
[[nodiscard]] std::vector<datagram::part> parts_in(bytes whole, datagram::part_kind kind) {
    std::vector<datagram::part> all;
    bytes rest = whole.subspan(datagram::header_size);
    for (datagram::part one; datagram::next(rest, one);) {
        if (one.kind == kind) {
            all.push_back(one);
        }
    }
    return all;
}

[[nodiscard]] std::size_t batches_in(bytes whole) {
    std::size_t count = 0;
    for (const datagram::part& one : parts_in(whole, datagram::part_kind::request)) {
        count += static_cast<request_kind>(one.code) == request_kind::produce ? 1u : 0u;
    }
    return count;
}

[[nodiscard]] partition_id id_of(const three_brokers::test_topic& topic) { return {brook::detail::access::engine(topic).state()->meta.id, 0}; }

[[nodiscard]] offset end_of(three_brokers& all, int id) { return all.world.core(id).cluster()->state_of(id_of(all.orders(id)))->log_end_offset; }

/// A producer whose sends nobody waits for, with what it was told of them.
struct hasty {
    hasty(three_brokers& world, int through, std::chrono::nanoseconds timeout = 10s)
        : to{world.orders(through), {.delivery_timeout = timeout, .on_delivery = [this](const record_metadata& where, std::error_code code) { told.emplace_back(code ? -1 : where.offset, code); }}} {}

    void send(std::uint64_t from, std::uint64_t until) {
        for (; from < until; ++from) {
            static_cast<void>(to.send(from, "value"));
        }
    }

    std::vector<std::pair<offset, std::error_code>> told{};
    producer<std::uint64_t, std::string> to;
};

/// Another broker that asks for its own producer's batches, and hears what it is answered.
class peer {
public:
    peer(three_brokers& all, int leader) : all_{all}, leader_{leader}, self_{leader % 3 + 1}, target_{id_of(all.orders(leader))} {}

    void ask(std::uint64_t number, std::int64_t sequence, bool follows_another) {
        const std::string key(8, 'k');
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.number = number;
        part.code = static_cast<std::uint32_t>(request_kind::produce);
        std::vector<std::byte> whole;
        datagram::begin(whole);
        datagram::add(whole, part, [&](std::vector<std::byte>& into) {
            replication::byte_writer to{into};
            to.put(target_.topic);
            to.put(target_.number);
            to.put(broker_room::replicated_acks::all);
            to.put(static_cast<std::uint8_t>(follows_another));
            to.put_bytes(wire_lone(key, "value", 17, format::producer_stamp{4711, 0, sequence}));
        });
        datagram::finish(whole, self_, leader_, {});
        all_.world.bring(self_, leader_, whole);
    }

    /// Called for each datagram that leaves.
    void hear(int from, int to, bytes whole) {
        if (from == leader_ && to == self_) {
            for (const datagram::part& one : parts_in(whole, datagram::part_kind::answer)) {
                replication::byte_reader read{one.body};
                const failure why = answer_codec::take(read);
                answers.push_back({one.number, static_cast<answer_status>(one.code), why.code, why ? offset{-1} : read.take<offset>()});
            }
        }
    }

    struct answer {
        std::uint64_t number;
        answer_status status;
        std::error_code code;
        offset at;
    };

    [[nodiscard]] std::optional<answer> to(std::uint64_t number) const {
        for (const answer& one : answers) {
            if (one.number == number) {
                return one;
            }
        }
        return std::nullopt;
    }

    std::vector<answer> answers{};

private:
    three_brokers& all_;
    int leader_;
    int self_;
    partition_id target_;
};

constexpr std::uint64_t first_number = std::uint64_t{1} << 62;

}  // namespace

TEST_CASE("sixteen batches of a producer are on their way at once, and are told of in the order of the sends", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const offset before = end_of(all, leader);
    all.world.network().isolate(leader);
    hasty sender{all, leader};
    sender.send(2, 22);
    CHECK(end_of(all, leader) == before + 16);
    CHECK(sender.told.empty());
    all.world.network().heal(leader);
    sender.to.flush();
    CHECK(end_of(all, leader) == before + 20);
    REQUIRE(sender.told.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) {
        CHECK(sender.told[i] == std::pair{before + static_cast<offset>(i), std::error_code{}});
    }
    CHECK(all.read(leader) == keys{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21});
}

TEST_CASE("a leader takes no batch before the one that was sent before it, whichever of them was lost on the way", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int asking = leader % 3 + 1;
    const std::size_t lost = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{3});
    std::size_t seen = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {
        const std::size_t before = seen;
        seen += from == asking && to == leader ? batches_in(whole) : 0;
        return seen == before || lost < before || lost >= seen;
    });
    hasty sender{all, asking};
    sender.send(2, 12);
    sender.to.flush();
    CHECK(seen > 10);  // some went twice
    REQUIRE(sender.told.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) {
        CHECK_FALSE(sender.told[i].second);
        CHECK((i == 0 || sender.told[i].first > sender.told[i - 1].first));
    }
    CHECK(all.read(asking) == keys{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("batches whose answers were lost with their leader are there once, in order", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int asking = leader % 3 + 1;
    all.world.on_sending([&](int from, int to, bytes whole) { return from != leader || to != asking || parts_in(whole, datagram::part_kind::answer).empty(); });
    all.world.after(500ms, [&] { all.world.stop(leader, parting::kill); });
    hasty sender{all, asking};
    sender.send(2, 9);
    sender.to.flush();
    all.world.on_sending(nullptr);
    REQUIRE(sender.told.size() == 7);
    for (std::size_t i = 0; i < 7; ++i) {
        CHECK_FALSE(sender.told[i].second);
        CHECK(sender.told[i].first >= 1);
        CHECK((i == 0 || sender.told[i].first > sender.told[i - 1].first));
    }
    CHECK(all.read(asking) == keys{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("behind a batch of which it is unknown whether it is there none overtakes those that are on their way", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    all.world.network().isolate(leader);
    hasty sender{all, leader, 2s};
    sender.send(2, 5);
    all.world.run_for(1s);
    sender.send(5, 7);  // their time ends later, when those before them have failed
    all.world.run_for(1100ms);
    CHECK(sender.told.size() == 3);
    const offset end = end_of(all, leader);
    sender.send(7, 8);
    CHECK(end_of(all, leader) == end);  // it waits for those two
    all.world.network().heal(leader);
    all.world.run_for(3s);
    REQUIRE(sender.told.size() == 6);
    CHECK_FALSE(sender.told.back().second);
    const keys there = all.read(leader);
    for (std::size_t i = 1; i < there.size(); ++i) {
        CHECK(there[i] > there[i - 1]);
    }
    CHECK(there.back() == 7);
    sender.send(8, 9);
    all.world.run_for(1s);
    CHECK(all.read(leader).back() == 8);
}

TEST_CASE("a producer that never pauses goes on after a failure", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int asking = leader % 3 + 1;
    hasty sender{all, asking, 500ms};
    sender.send(2, 3);
    sender.to.flush();
    bool is_cut = true;
    all.world.on_sending([&](int from, int to, bytes whole) { return !is_cut || from != asking || to != leader || batches_in(whole) == 0; });
    constexpr std::uint64_t first = 3;
    constexpr std::uint64_t count = 300;
    for (std::uint64_t i = 0; i < count; ++i) {
        is_cut = is_cut && i < 60;
        sender.send(first + i, first + i + 1);
        all.world.run_for(10ms);
    }
    CHECK_THROWS_AS(sender.to.flush(), error);  // the first failure, which nobody has asked for
    REQUIRE(sender.told.size() == 1 + count);
    CHECK(sender.told[1].second);
    for (std::size_t i = 1 + count / 2; i < sender.told.size(); ++i) {
        CHECK_FALSE(sender.told[i].second);
        CHECK(sender.told[i].first > sender.told[i - 1].first);
    }
    all.world.on_sending(nullptr);
}

TEST_CASE("whatever keeps a batch from its log, those behind it are told the same", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3, .min_insync_replicas = 3});
    all.world.stop(leader % 3 + 1, parting::kill);
    all.world.run_for(1s);
    hasty sender{all, leader, 500ms};
    sender.send(2, 4);
    all.world.run_for(50ms);
    sender.send(4, 6);
    all.world.run_for(1s);
    REQUIRE(sender.told.size() == 4);
    for (const auto& [at, code] : sender.told) {
        CHECK(code == errc::not_enough_replicas);
    }
}

TEST_CASE("what follows a batch that its leader does not have is refused for now, also of a producer that is new there", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const offset end = end_of(all, leader);
    peer other{all, leader};
    all.world.on_sending([&](int from, int to, bytes whole) {
        other.hear(from, to, whole);
        return true;
    });
    other.ask(first_number + 1, 1, true);
    all.world.run_for(100ms);
    REQUIRE(other.to(first_number + 1));
    CHECK(other.to(first_number + 1)->status == answer_status::not_now);
    CHECK(other.to(first_number + 1)->code == errc::out_of_order_sequence_number);
    CHECK(end_of(all, leader) == end);
    other.ask(first_number + 2, 0, false);
    other.ask(first_number + 3, 2, true);
    other.ask(first_number + 4, 1, true);
    other.ask(first_number + 5, 4, false);  // nothing is on its way before it: what is missing is lost
    all.world.run_for(100ms);
    REQUIRE(other.answers.size() == 5);
    CHECK(other.to(first_number + 2)->at == end);
    CHECK(other.to(first_number + 3)->status == answer_status::not_now);
    CHECK(other.to(first_number + 4)->at == end + 1);
    CHECK(other.to(first_number + 5)->status == answer_status::done);
    CHECK(other.to(first_number + 5)->code == errc::out_of_order_sequence_number);
    all.world.on_sending(nullptr);
}

TEST_CASE("a batch that is older than what is remembered of its producer is acknowledged when what is there is committed", "[broker][cluster][order]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const offset end = end_of(all, leader);
    peer other{all, leader};
    bool is_cut = true;
    all.world.on_sending([&](int from, int to, bytes whole) {
        other.hear(from, to, whole);
        return !is_cut || from != leader || parts_in(whole, datagram::part_kind::replica).empty();
    });
    for (std::int64_t sequence = 0; sequence < 18; ++sequence) {
        other.ask(first_number + static_cast<std::uint64_t>(sequence), sequence, false);
    }
    other.ask(first_number + 50, 0, false);
    all.world.run_for(100ms);
    CHECK(end_of(all, leader) == end + 18);
    CHECK(other.answers.empty());
    is_cut = false;
    all.world.run_for(200ms);
    REQUIRE(other.to(first_number + 50));
    CHECK(other.to(first_number + 50)->status == answer_status::done);
    CHECK_FALSE(other.to(first_number + 50)->code);
    CHECK(other.to(first_number + 50)->at == -1);
    CHECK(end_of(all, leader) == end + 18);
    all.world.on_sending(nullptr);
}

}  // namespace broker_cluster_order_test
