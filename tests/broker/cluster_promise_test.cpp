// What brokers of a cluster promise each other and their users, each promise with what would break it. In one thread, by the world's seed.
#include <brook/broker/replica_host.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/ballot_file.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/datagram_inbox.hpp>
#include <brook/brook.hpp>
#include <brook/replication.hpp>
#include <brook/replication/message.hpp>
#include <brook/storage/log.hpp>

#include "broker/outcome.hpp"
#include "broker/three_brokers.hpp"
#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/wire.hpp"

namespace broker_cluster_promise_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using brook::broker_room::ballot_file;
using brook::broker_room::datagram;
using brook::broker_room::partition_id;
using brook::broker_room::request_kind;
using brook::replication::message;
using brook::replication::message_kind;
using keys = std::vector<std::uint64_t>;

namespace {

/// What the replicas of a broker say in a datagram, with whose they are.
std::vector<std::pair<partition_id, message>> messages_in(bytes whole) {
    std::vector<std::pair<partition_id, message>> all;
    bytes rest = whole.subspan(datagram::header_size);
    for (datagram::part one; datagram::next(rest, one);) {
        if (one.kind == datagram::part_kind::replica) {
            if (const auto said = message::decode(one.body)) {
                all.emplace_back(one.partition, *said);
            }
        }
    }
    return all;
}

bool has_answer(bytes whole) {
    bytes rest = whole.subspan(datagram::header_size);
    for (datagram::part one; datagram::next(rest, one);) {
        if (one.kind == datagram::part_kind::answer) {
            return true;
        }
    }
    return false;
}

template <class Write>
void bring(simulated_cluster& world, int from, int to, const datagram::part& what, const Write& write) {
    std::vector<std::byte> whole;
    datagram::begin(whole);
    datagram::add(whole, what, write);
    datagram::finish(whole, from, to, {});
    world.bring(from, to, whole);
}

[[nodiscard]] partition_id id_of(const three_brokers::test_topic& topic) { return {brook::detail::access::engine(topic).state()->meta.id, 0}; }

/// The disk as it is when nothing of what was not synced has reached it.
[[nodiscard]] disk_state survivor_of(simulated_cluster& world, int id) { return loss_of_power{world.machine(id).look()}.decide_nothing(); }

}  // namespace

// ---- what is on the disk before it is said ----

TEST_CASE("a vote is written down before it is given", "[broker][cluster][power]") {
    three_brokers all;
    std::size_t checked = 0;
    std::size_t given = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {
        bool is_promise = false;
        for (const auto& [id, said] : messages_in(whole)) {
            is_promise = is_promise || said.kind == message_kind::fetch || (said.kind == message_kind::vote && !said.is_pre_vote) ||
                         (said.kind == message_kind::vote_answer && !said.is_pre_vote) || said.kind == message_kind::begin_epoch;
        }
        if (!is_promise || (checked > 600 && given > 40)) {
            return true;
        }
        powerless_platform after{survivor_of(all.world, from)};
        ballot_file file{after, "/d/data"};
        file.open();
        for (const auto& [id, said] : messages_in(whole)) {
            const auto* const kept = file.find(id);
            const std::uint32_t epoch = kept == nullptr ? 0 : kept->ballot.epoch;
            const std::int32_t voted_for = kept == nullptr ? replication::no_node : kept->ballot.voted_for;
            if (!said.is_pre_vote && epoch < said.epoch) {
                all.world.violate("broker " + std::to_string(from) + " speaks in epoch " + std::to_string(said.epoch) + ", and its disk knows of " + std::to_string(epoch));
            }
            const bool asks = said.kind == message_kind::vote && !said.is_pre_vote;  // it has voted for itself
            const bool gives = said.kind == message_kind::vote_answer && !said.is_pre_vote && said.is_granted;
            if ((asks || gives) && epoch == said.epoch && voted_for != (asks ? from : to)) {
                all.world.violate("broker " + std::to_string(from) + " votes in epoch " + std::to_string(epoch) + ", and its disk says for " + std::to_string(voted_for));
            }
            given += gives ? 1 : 0;
            ++checked;
        }
        return true;
    });
    const int first = all.make_and_lead({.replication_factor = 3});
    for (const int id : {first, first % 3 + 1, (first + 1) % 3 + 1}) {
        all.world.network().isolate(id);
        all.world.run_for(3s);
        all.world.network().heal(id);
        all.world.run_for(1s);
    }
    all.world.on_sending(nullptr);
    CHECK(given > 5);
    CHECK(checked > 100);
}

TEST_CASE("where records are to be on the disk, what a follower asks for is behind what is on its own", "[broker][cluster][power]") {
    three_brokers all;
    std::optional<partition_id> which;
    std::map<int, offset> known;  // by broker, what is on its disk for certain
    std::size_t checked = 0;
    all.world.on_sending([&](int from, int, bytes whole) {
        for (const auto& [id, said] : messages_in(whole)) {
            if (id != which || said.kind != message_kind::fetch || said.fetch.held <= known[from]) {
                continue;
            }
            powerless_platform after{survivor_of(all.world, from)};
            storage::event_count events{after};
            storage::log_options options;
            options.is_replicated = true;
            failure why;
            const auto log = storage::log::open({after, "/d/data/topics/orders/0", {"orders", id.topic, 0}}, options, events, events, why);
            known[from] = log ? log->log_end_offset() : -1;
            if (known[from] < said.fetch.held) {
                all.world.violate("broker " + std::to_string(from) + " says that it holds all below offset " + std::to_string(said.fetch.held) + ", and its disk ends at " +
                                  std::to_string(known[from]) + ' ' + why.text);
            }
            ++checked;
        }
        return true;
    });
    topic_options options{.replication_factor = 3};
    options.flush_messages = 1;
    const auto topic = all.make(options);
    which = id_of(topic);
    all.world.run_for(500ms);
    for (std::uint64_t key = 1; key <= 20; ++key) {
        all.send(1 + static_cast<int>(key % 3), key);
    }
    all.world.on_sending(nullptr);
    CHECK(checked > 20);
}

// ---- what is committed ----

TEST_CASE("nothing is acknowledged, nor shown to readers, before a majority has it", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    all.world.network().isolate(leader);
    std::error_code code;
    CHECK(all.send(leader, 2, code, 10s, acks::leader) >= 0);  // that asks for the leader alone
    CHECK_FALSE(code);
    CHECK(all.read(leader) == keys{1});
    static_cast<void>(all.send(leader, 3, code, 200ms));
    CHECK(code == errc::timed_out);
    CHECK(all.read(leader) == keys{1});
    CHECK(all.leader(leader) == leader);  // as far as it knows
    all.world.network().heal(leader);
    all.world.run_for(3s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id).size() == 3);
    }
}

TEST_CASE("a group's commit is not answered before a majority has it", "[broker][cluster][group]") {
    three_brokers all;
    static_cast<void>(all.make_and_lead({.replication_factor = 3}));
    const int coordinator = all.coordinator();
    REQUIRE(coordinator != 0);
    const auto topic = all.orders(coordinator);
    consumer<std::uint64_t, std::string> reader{topic, {.group_id = "workers"}};
    reader.assign({topic.partition(0)});
    REQUIRE(reader.poll(1s).size() == 1);
    reader.commit(topic.partition(0), 1);
    all.world.network().isolate(coordinator);
    CHECK(code_of([&] { reader.commit(topic.partition(0), 2); }) == errc::coordinator_not_available);
    all.world.network().heal(coordinator);
    all.world.run_for(3s);
}

TEST_CASE("a coordinator that has been replaced, and does not know it yet, answers no question", "[broker][cluster][group]") {
    three_brokers all;
    static_cast<void>(all.make_and_lead({.replication_factor = 3}));
    for (std::uint64_t key = 2; key <= 5; ++key) {
        all.send(1, key);
    }
    const int coordinator = all.coordinator();
    REQUIRE(coordinator != 0);
    const auto topic = all.orders(coordinator);
    const auto other_topic = all.orders(coordinator % 3 + 1);
    consumer<std::uint64_t, std::string> here{topic, {.group_id = "workers"}};
    consumer<std::uint64_t, std::string> there{other_topic, {.group_id = "workers"}};
    here.assign({topic.partition(0)});
    there.assign({other_topic.partition(0)});
    here.commit(topic.partition(0), 1);
    CHECK(here.committed(topic.partition(0)) == 1);
    all.world.pause(coordinator);
    all.world.run_for(4s);
    there.commit(other_topic.partition(0), 3);
    consumer<std::uint64_t, std::string> late{other_topic, {.group_id = "late"}};
    late.assign({other_topic.partition(0)});
    late.commit(other_topic.partition(0), 2);
    all.world.resume(coordinator);
    CHECK(all.world.broker(coordinator).group("late").group_id == "late");  // it does not know that there is none
    all.world.pause(coordinator);
    all.world.run_for(4s);
    there.commit(other_topic.partition(0), 4);
    all.world.resume(coordinator);
    CHECK(here.committed(topic.partition(0)) == 4);
    CHECK(all.world.broker(coordinator).groups() == std::vector<std::string>{"late", "workers"});
}

TEST_CASE("without min_insync_replicas nothing is written to a log", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3, .min_insync_replicas = 3});
    const offset end = all.world.core(leader).cluster()->state_of(id_of(all.orders(leader)))->log_end_offset;
    all.world.stop(leader % 3 + 1, parting::kill);
    all.world.run_for(1s);
    std::error_code code;
    static_cast<void>(all.send(leader, 2, code, 1s));
    CHECK(code == errc::not_enough_replicas);
    CHECK(all.world.core(leader).cluster()->state_of(id_of(all.orders(leader)))->log_end_offset == end);
}

TEST_CASE("what a former life of a replica did not sync is synced by the next one, though nothing new comes", "[broker][cluster]") {
    three_brokers all;
    topic_options options{.replication_factor = 3, .min_insync_replicas = 3};
    options.flush_messages = 1;
    const int leader = all.make_and_lead(options);
    const int failing = leader % 3 + 1;
    all.world.machine(failing).fail_sync(1);
    std::error_code code;
    static_cast<void>(all.send(leader, 2, code, 200ms));
    CHECK(code == errc::timed_out);
    all.world.stop(failing, parting::kill);
    all.world.start(failing);
    all.world.run_for(3s);
    CHECK(all.leader(failing) == leader);
    CHECK(all.read(leader) == keys{1, 2});
}

// ---- what is there once ----

TEST_CASE("a batch whose answer was lost with its leader is there once", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int asking = leader % 3 + 1;
    all.world.on_sending([&](int from, int to, bytes whole) { return from != leader || to != asking || !has_answer(whole); });
    all.world.after(500ms, [&] { all.world.stop(leader, parting::kill); });
    CHECK(all.send(asking, 2) >= 1);
    all.world.on_sending(nullptr);
    all.world.run_for(1s);
    CHECK(all.read(asking) == keys{1, 2});
}

TEST_CASE("what belongs to a deleted topic comes to nothing in another of its name", "[broker][cluster]") {
    three_brokers all;
    const int first = all.make_and_lead({.replication_factor = 3});
    const partition_id old = id_of(all.orders(first));
    all.world.broker(1).delete_topic("orders");
    all.world.run_for(1s);
    const int leader = all.make_and_lead({.replication_factor = 3});
    const partition_id made = id_of(all.orders(leader));
    REQUIRE(made != old);
    const auto end_of = [&](int id) { return all.world.core(id).cluster()->state_of(made)->log_end_offset; };
    const offset end = end_of(leader);
    offset furthest = 0;
    std::size_t brought = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {
        for (const auto& [id, said] : messages_in(whole)) {
            if (id != made || said.kind != message_kind::fetch || to != leader || brought == 20) {
                continue;
            }
            furthest = std::max(furthest, said.fetch.end);
            message answer;  // of the same epoch and number, as it was when the old one was led
            answer.kind = message_kind::fetch_answer;
            answer.epoch = answer.last_epoch = said.epoch;
            answer.leader = leader;
            answer.session = said.session;
            answer.number = said.number;
            answer.fetch_answer.end = said.fetch.end;
            const frame_bytes frame = wire_at(wire_nth(77), said.fetch.end, said.epoch);
            answer.frames = frame;
            bring(all.world, leader, from, {.kind = datagram::part_kind::replica, .partition = old}, [&](std::vector<std::byte>& into) { answer.encode(into); });
            ++brought;
        }
        return true;
    });
    all.world.run_for(1s);
    all.world.on_sending(nullptr);
    CHECK(brought > 5);
    CHECK(furthest == end);
    all.send(leader, 2);
    all.world.run_for(1s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(end_of(id) == end + 1);
        CHECK(all.read(id) == keys{1, 2});
    }
}

TEST_CASE("a frame that does not verify is not copied, and the voters that it names are not believed", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const partition_id made = id_of(all.orders(leader));
    const int follower = leader % 3 + 1;
    const auto state = [&] { return *all.world.core(follower).cluster()->state_of(made); };
    const offset end = state().log_end_offset;
    offset furthest = 0;
    std::size_t brought = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {
        for (const auto& [id, said] : messages_in(whole)) {
            if (id != made || said.kind != message_kind::fetch || from != follower || to != leader || brought == 20) {
                continue;
            }
            furthest = std::max(furthest, said.fetch.end);
            message answer;
            answer.kind = message_kind::fetch_answer;
            answer.epoch = answer.last_epoch = said.epoch;
            answer.leader = leader;
            answer.session = said.session;
            answer.number = said.number;
            answer.fetch_answer.end = said.fetch.end;
            frame_bytes frame = wire_at(format::make_control(broker_room::control_record::name_voters({follower}), 1), said.fetch.end, said.epoch);
            frame[frame.size() - 8] ^= std::byte{1};
            answer.frames = frame;
            bring(all.world, leader, from, {.kind = datagram::part_kind::replica, .partition = id}, [&](std::vector<std::byte>& into) { answer.encode(into); });
            ++brought;
        }
        return true;
    });
    all.world.run_for(2s);
    CHECK(brought > 2);
    CHECK(furthest == end);
    CHECK(state().log_end_offset == end);
    CHECK(state().replicas.size() == 3);
    all.world.on_sending(nullptr);
}

TEST_CASE("what comes faster than it is taken is lost beyond 64 MiB, and takes no more memory", "[broker][cluster]") {
    broker_room::datagram_inbox inbox;
    const std::vector<std::byte> large(4 * mib);
    for (int i = 0; i < 16; ++i) {
        CHECK(inbox.put(1, large, 1));
    }
    CHECK_FALSE(inbox.put(1, bytes{large}.first(datagram::header_size), 1));
    CHECK(inbox.take().size() == 16);
    CHECK(inbox.put(2, bytes{large}.first(datagram::header_size), 2));
    CHECK_FALSE(inbox.put(2, bytes{large}.first(datagram::header_size - 1), 2));  // nobody sends that
    CHECK(inbox.take().size() == 1);
}

TEST_CASE("who cannot make a topic here tries again with pauses, while somebody waits for another", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make_and_lead({.replication_factor = 3}));
    all.world.machine(2).fill(true);
    static_cast<void>(all.world.broker(1).create_topic<std::uint64_t, std::string>("second", {.replication_factor = 3}));
    all.world.run_for(1s);
    CHECK(code_of([&] { static_cast<void>(all.world.broker(2).create_topic<std::uint64_t, std::string>("third", {.replication_factor = 3})); }).value() != 0);
    all.world.machine(2).fill(false);
    CHECK(all.world.run_until([&] { return all.world.broker(2).topics().size() == 3; }, 10s));
}

TEST_CASE("a topic that there is no memory to make here is made later", "[broker][cluster]") {
    simulated_cluster world{{.seed = 5, .nodes = 3}};
    for (int id = 1; id <= 3; ++id) {
        world.start(id);
    }
    std::size_t made = 0;
    for (const std::uint64_t nth : {1u, 2u, 4u, 9u, 20u, 50u, 120u}) {  // of the allocations of a pass
        CAPTURE(nth);
        world.machine(2).fill(true);
        static_cast<void>(world.broker(1).create_topic<std::uint64_t, std::string>("topic" + std::to_string(++made), {.partitions = 1, .replication_factor = 3}));
        world.run_for(2s);
        world.pause(2);
        world.machine(2).fill(false);
        world.run_for(2s);  // the pause between two tries is over
        REQUIRE(world.broker(2).topics().size() == made - 1);
        bool has_failed = true;
        try {
            const failing_memory scarce{nth};
            world.broker(2).maintain();
            has_failed = failing_memory::has_failed();
        } catch (const std::exception&) {
            // Who looks after a broker is told.
        }
        CHECK(has_failed);
        world.resume(2);
        world.run_for(3s);
        REQUIRE(world.broker(2).topics().size() == made);
    }
}

// ---- whose word counts ----

TEST_CASE("who may have lost what it had told of helps nobody to lead who has less", "[broker][cluster][power]") {
    three_brokers all;
    const bool is_disk_lost = GENERATE(false, true);
    CAPTURE(is_disk_lost);
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int losing = leader % 3 + 1;
    const int behind = 6 - leader - losing;
    all.world.network().isolate(behind);
    all.send(leader, 2);  // a majority has it
    all.world.stop(losing, parting::kill);
    all.world.disk(losing) = is_disk_lost ? simulated_cluster::empty_disk() : loss_of_power{all.world.disk(losing)}.decide_nothing();
    all.world.stop(leader, parting::kill);
    all.world.network().heal(behind);
    all.world.start(losing);
    all.world.run_for(5s);
    CHECK(all.leader(behind) == -1);
    all.world.start(leader);
    all.world.run_for(5s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id) == keys{1, 2});
        CHECK(all.world.broker(id).health().is_ok());
    }
}

TEST_CASE("a sole replica that loses its disk again and again leads in another epoch each time, and is followed", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.replication_factor = 1}));
    all.send(1, 1);
    const partition_id which = id_of(all.orders(1));
    const int only = all.orders(1).partition(0).replication().replicas.front();
    std::uint32_t epoch = 0;
    for (std::uint64_t round = 1; round <= 3; ++round) {
        for (std::uint64_t key = 0; key < 10 * (4 - round); ++key) {  // fewer each time
            all.send(only, 100 * round + key);
        }
        all.world.run_for(1s);
        CHECK(all.world.core(only).cluster()->state_of(which)->leader_epoch > epoch);
        epoch = all.world.core(only).cluster()->state_of(which)->leader_epoch;
        all.world.stop(only, parting::disk);
        all.world.run_for(300ms);
        all.world.start(only);
        REQUIRE(all.world.run_until([&] { return all.world.broker(only).topics().size() == 1; }, 10s));
        REQUIRE(all.world.run_until([&] { return all.world.core(only).cluster()->state_of(which)->is_leader; }, 10s));
    }
    all.send(only % 3 + 1, 7);
    all.world.run_for(2s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id) == keys{7});
        CHECK(all.world.core(id).cluster()->state_of(which)->leader_epoch > epoch);
    }
}

TEST_CASE("a peer can have a broker begin another session once, and never the last one there is", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int enemy = leader % 3 + 1;
    std::set<std::uint64_t> sessions;
    std::uint64_t latest = 0;
    all.world.on_sending([&](int from, int, bytes whole) {
        for (const auto& [id, said] : messages_in(whole)) {
            if (from == leader && (said.kind == message_kind::fetch || said.kind == message_kind::vote)) {
                sessions.insert(said.session);
                latest = std::max(latest, said.session);
            }
        }
        return true;
    });
    const auto raise = [&](std::uint64_t known) {
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.code = static_cast<std::uint32_t>(request_kind::raise_session);
        bring(all.world, enemy, leader, part, [&](std::vector<std::byte>& into) { replication::byte_writer{into}.put(known); });
        all.world.run_for(1s);
    };
    raise(~std::uint64_t{0});
    raise(~std::uint64_t{0} / 2);  // a later life on another disk could have none above it
    sessions.clear();
    all.world.network().isolate(leader);
    all.world.run_for(2s);
    all.world.network().heal(leader);
    all.world.run_for(2s);
    REQUIRE(sessions.size() == 1);
    const std::uint64_t own = latest;
    for (std::uint64_t i = 1; i <= 5; ++i) {
        raise(own + i * 2 * broker_room::ballot_file::session_step);
    }
    CHECK(latest == own + 3 * broker_room::ballot_file::session_step);  // of the first alone
    all.world.on_sending(nullptr);
    all.send(enemy, 2);
}

// ---- what members say that lie ----

TEST_CASE("no peer produces to the topics that are the cluster's own", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make_and_lead({.replication_factor = 3}));
    static_cast<void>(all.coordinator());
    std::vector<partition_id> own{{broker_room::metadata_topic_id, 0}};
    for (const auto& one : all.world.core(1).replicated_topics()) {
        if (one->name == broker_room::offsets_topic) {
            own.push_back({one->meta.id, 0});
        }
    }
    REQUIRE(own.size() == 2);
    own.push_back(id_of(all.orders(1)));
    std::uint64_t number = std::uint64_t{1} << 62;
    for (const partition_id& to : own) {
        const auto end = [&](int on) { return all.world.core(on).cluster()->state_of(to)->log_end_offset; };
        const int leader = all.world.core(1).cluster()->state_of(to)->leader;
        const offset before = end(leader);
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.number = ++number;
        part.code = static_cast<std::uint32_t>(request_kind::produce);
        bring(all.world, leader % 3 + 1, leader, part, [&](std::vector<std::byte>& into) {
            replication::byte_writer body{into};
            body.put(to.topic);
            body.put(to.number);
            body.put(broker_room::replicated_acks::all);
            body.put(std::uint8_t{0});
            body.put_bytes(wire_lone("torders", std::nullopt, 17, format::producer_stamp{4711, 0, 0}));
        });
        all.world.run_for(1s);
        CHECK(end(leader) == before + (to == own.back() ? 1 : 0));
    }
    CHECK(all.world.broker(1).topics() == std::vector<std::string>{"orders"});
}

TEST_CASE("no record is copied that is of a later epoch than its leader", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const partition_id made = id_of(all.orders(leader));
    const int follower = leader % 3 + 1;
    std::size_t brought = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {
        for (const auto& [id, said] : messages_in(whole)) {
            CHECK(said.last_epoch <= said.epoch);
            if (id != made || said.kind != message_kind::fetch || from != follower || to != leader || brought == 1) {
                continue;
            }
            message answer{message_kind::fetch_answer};
            answer.epoch = answer.last_epoch = said.epoch;
            answer.leader = leader;
            answer.session = said.session;
            answer.number = said.number;
            answer.fetch_answer.end = said.fetch.end;
            frame_bytes frames = wire_at(wire_lone("key", "now", 17), said.fetch.end, said.epoch);
            const frame_bytes later = wire_at(wire_lone("key", "later", 17), said.fetch.end + 1, said.epoch + 1);
            frames.insert(frames.end(), later.begin(), later.end());
            answer.frames = frames;
            bring(all.world, leader, from, {.kind = datagram::part_kind::replica, .partition = id}, [&](std::vector<std::byte>& into) { answer.encode(into); });
            ++brought;
        }
        return true;
    });
    const offset end = all.world.core(follower).cluster()->state_of(made)->log_end_offset;
    CHECK(all.world.run_until([&] { return all.world.core(follower).cluster()->state_of(made)->log_end_offset > end; }, 2s));
    CHECK(all.world.core(follower).cluster()->state_of(made)->log_end_offset == end + 1);
    all.world.run_for(2s);
    CHECK(brought == 1);
    CHECK(all.world.core(follower).cluster()->state_of(made)->log_end_offset == end);  // the leader has had it cut
    CHECK(all.tellings(follower, "is of epoch") == 1);
    all.send(follower, 7);
    all.world.on_sending(nullptr);
}

TEST_CASE("of what was decided of a topic and cannot be nothing is made, and the name is free for one that can", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make_and_lead({.replication_factor = 3}));
    const partition_id home{broker_room::metadata_topic_id, 0};
    const int leader = all.world.core(1).cluster()->state_of(home)->leader;
    broker_room::topic_meta meta = brook::detail::access::engine(all.orders(1)).state()->meta;
    meta.id[0] ^= std::byte{1};
    SECTION("no replicas") { meta.replicas.clear(); }
    SECTION("more replicas than a ballot names") {
        meta.replicas[0].clear();
        for (std::int32_t node = 1; node <= 65; ++node) {
            meta.replicas[0].push_back(node);
        }
    }
    SECTION("a replica twice") { meta.replicas[0] = {1, 1, 2}; }
    SECTION("the id of the metadata, whose replica would go with it") { meta.id = broker_room::metadata_topic_id; }
    SECTION("no id") { meta.id = {}; }
    std::uint64_t sequence = 0;
    const auto decide = [&](const std::optional<std::string>& what) {
        struct decision final : broker_room::produce_request {
            void settle(const failure& why, offset, std::int64_t) noexcept override { is_done = !why; }
            bool is_done = false;
        };
        const auto made = std::make_shared<decision>();
        made->frame = wire_lone("tlate", what, 17, format::producer_stamp{4711, 0, static_cast<std::int64_t>(sequence++)});
        made->deadline = std::chrono::hours{1};
        all.world.core(leader).cluster()->produce(home, made);
        all.world.run_for(1s);
        CHECK(made->is_done);
    };
    decide(meta.encode());
    CHECK(all.tellings(leader, "what was decided of topic 'late' cannot be") >= 1);
    CHECK(all.world.broker(1).topics() == std::vector<std::string>{"orders"});
    decide(std::nullopt);
    CHECK(all.send(1, 2) > 0);
    decide(meta.encode());
    static_cast<void>(all.world.broker(2).create_topic<std::uint64_t, std::string>("late", {.replication_factor = 3}));
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.world.run_until([&] { return all.world.broker(id).topics() == std::vector<std::string>{"late", "orders"}; }, 5s));
        all.world.stop(id, parting::kill);
        all.world.start(id);
        all.world.run_for(2s);
    }
    all.world.broker(3).delete_topic("late");
    CHECK(all.send(1, 3) > 0);
}

}  // namespace broker_cluster_promise_test
