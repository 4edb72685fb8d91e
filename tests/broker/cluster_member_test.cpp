// Members of a cluster, in one thread and a time of its own. What befalls them by chance is tests/fault/cluster_simulation.cpp's.
#include <brook/broker/cluster_member.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "broker/three_brokers.hpp"
#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/simulated_cluster.hpp"

namespace broker_cluster_member_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using test_topic = three_brokers::test_topic;

TEST_CASE("a topic that one broker makes is there on all, and what one sends all read", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.partitions = 1, .replication_factor = 3, .min_insync_replicas = 2}));
    for (int id = 1; id <= 3; ++id) {
        REQUIRE(all.world.run_until([&] { return all.world.broker(id).topics().size() == 1; }, 5s));
        all.send(id, static_cast<std::uint64_t>(id));
    }
    all.world.run_for(1s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id) == std::vector<std::uint64_t>{1, 2, 3});
        CHECK(all.world.broker(id).health().is_ok());
    }
}

TEST_CASE("a broker that cannot write down what it promises promises nothing any more, and the others go on", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 3});
    all.send(1, 1);
    all.world.run_for(2s);
    const int leader = topic.partition(0).leader();
    const int failing = leader % 3 + 1;
    all.world.machine(failing).fail_sync(1);
    all.world.network().isolate(leader);
    all.world.run_for(5s);
    CHECK(all.has_told(failing, "promise nothing"));
    all.world.network().heal();
    all.world.network().set_faults(simulated_cluster::calm());
    all.world.run_for(5s);
    const int third = 6 - leader - failing;
    all.send(third, 2);
    all.world.run_for(1s);
    CHECK(all.read(leader) == std::vector<std::uint64_t>{1, 2});
    CHECK(all.tellings(failing, "promise nothing") == 1);

    all.world.stop(failing, parting::close);
    all.world.start(failing);
    all.world.run_for(5s);
    CHECK(all.read(failing) == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("where the only replica has lost its disk the others follow it, and say what is lost", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 1});
    for (std::uint64_t key = 1; key <= 100; ++key) {
        all.send(1, key);
    }
    all.world.run_for(2s);
    const int only = topic.partition(0).replication().replicas.front();
    const int other = only % 3 + 1;
    CHECK(all.read(other).size() == 100);
    all.world.stop(only, parting::disk);
    all.world.run_for(1s);
    all.world.start(only);
    REQUIRE(all.world.run_until([&] { return all.world.broker(only).topics().size() == 1; }, 10s));
    all.world.run_for(5s);
    all.send(other, 200);
    all.world.run_for(2s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id) == std::vector<std::uint64_t>{200});
    }
    CHECK(all.has_told(only, "may all have lost"));
    CHECK(all.has_told(other, "are cut"));
}

TEST_CASE("of a new topic the first of the replicas leads", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.partitions = 6, .replication_factor = 3});
    all.world.run_for(3s);
    for (std::int32_t i = 0; i < 6; ++i) {
        CHECK(topic.partition(i).leader() == topic.partition(i).replication().replicas.front());
    }
}

TEST_CASE("an answer to what a former life of a broker has asked for is nobody's", "[broker][cluster]") {
    three_brokers all;
    auto topic = std::make_unique<test_topic>(all.make({.replication_factor = 3}));
    all.send(1, 1);
    all.world.run_for(1s);
    const int leader = topic->partition(0).leader();
    topic.reset();
    const int asking = leader % 3 + 1;
    using test_producer = producer<std::uint64_t, std::string>;
    const auto send_by_many = [&](std::uint64_t first, std::vector<test_producer>& by, std::vector<delivery>& sent) {  // each a request of its own
        for (std::uint64_t i = 0; i < 8; ++i) {
            by.emplace_back(all.orders(asking), producer_options{.delivery_timeout = 20s});
            sent.push_back(by.back().send(first + i, "value"));
        }
    };
    all.world.stop(asking, parting::kill);
    all.world.start(asking);
    all.world.run_for(2s);
    all.world.network().pause(asking);  // what comes to it from here on is kept
    {
        std::vector<test_producer> by;
        std::vector<delivery> sent;
        send_by_many(100, by, sent);
        all.world.run_for(50ms);
        all.world.stop(asking, parting::kill);
    }
    all.world.start(asking);
    std::vector<test_producer> by;
    std::vector<delivery> sent;
    send_by_many(1'000, by, sent);
    all.world.network().resume(asking);  // and comes to its next life
    for (std::uint64_t i = 0; i < 8; ++i) {
        CHECK(sent[i].get().offset >= 0);
    }
    all.world.run_for(1s);
    const auto keys = all.read(leader);
    for (std::uint64_t key = 1'000; key < 1'008; ++key) {
        CAPTURE(key);
        CHECK(std::count(keys.begin(), keys.end(), key) == 1);
    }
}

TEST_CASE("a broker whose directory is lost and whose clock is behind comes back", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 3});
    all.send(1, 1);
    all.world.run_for(2s);
    const int leader = all.orders(1).partition(0).leader();
    const int back = leader % 3 + 1;
    all.world.stop(back, parting::disk);
    all.world.jump_wall(back, -1h);
    all.world.start(back);
    all.world.run_for(10s);
    REQUIRE(all.world.broker(back).topics().size() == 1);
    CHECK(all.read(back) == std::vector<std::uint64_t>{1});
    all.send(back, 2);
}

TEST_CASE("what answers a request of a life before answers none of this one, also where the clock has gone back", "[broker][cluster]") {
    three_brokers all;
    const int leader = all.make_and_lead({.replication_factor = 3});
    const int back = leader % 3 + 1;
    std::vector<std::vector<std::byte>> answers;
    bool is_lost = false;
    all.world.on_sending([&](int from, int to, bytes whole) {
        if (from == leader && to == back && !is_lost) {
            answers.emplace_back(whole.begin(), whole.end());
        }
        return !is_lost || from != leader || to != back;
    });
    for (std::uint64_t key = 2; key < 30; ++key) {
        all.send(back, key);
    }
    all.world.stop(back, parting::kill);
    all.world.jump_wall(back, -1h);
    all.world.start(back);
    all.world.run_for(2s);
    is_lost = true;
    std::vector<std::error_code> told;
    producer<std::uint64_t, std::string> to{all.orders(back), {.delivery_timeout = 500ms, .on_delivery = [&](const record_metadata&, std::error_code code) { told.push_back(code); }}};
    for (std::uint64_t key = 30; key < 40; ++key) {
        static_cast<void>(to.send(key, "value"));
        all.world.run_for(1ms);
    }
    for (const std::vector<std::byte>& one : answers) {
        all.world.bring(leader, back, one);
    }
    all.world.run_for(1s);
    REQUIRE(told.size() == 10);
    for (const std::error_code code : told) {
        CHECK(code.message() != "Success");
    }
    all.world.on_sending(nullptr);
}

TEST_CASE("a broker without a vote goes on through the next leader when the one that it follows is gone for good", "[broker][cluster]") {
    const auto seed = GENERATE(range(std::uint64_t{1}, std::uint64_t{9}));
    simulated_cluster world{{.seed = seed, .nodes = 5, .election_timeout = 300ms}};
    for (int id = 1; id <= 5; ++id) {
        world.start(id);
    }
    static_cast<void>(world.broker(1).create_topic<std::uint64_t, std::string>("orders", {.replication_factor = 3}));
    const auto orders = [&](int on) { return world.broker(on).topic<std::uint64_t, std::string>("orders"); };
    const auto send = [&](int through, std::uint64_t key) {
        producer<std::uint64_t, std::string> to{orders(through), {.delivery_timeout = 10s}};
        return to.send(key, "value").get().offset;
    };
    CHECK(send(1, 1) == 1);  // behind the record that opens the epoch
    world.run_for(2s);
    const auto voters = orders(1).partition(0).replication().replicas;
    const int gone = orders(1).partition(0).leader();
    int outside = 1;
    while (std::find(voters.begin(), voters.end(), outside) != voters.end()) {
        ++outside;
    }
    REQUIRE(orders(outside).partition(0).leader() == gone);
    world.stop(gone, parting::kill);
    const int voter = *std::find_if(voters.begin(), voters.end(), [&](int id) { return id != gone; });
    const auto knows_next = [&](int id) { return orders(id).partition(0).leader() != gone && orders(id).partition(0).leader() != -1; };
    REQUIRE(world.run_until([&] { return knows_next(voter); }, 1s));
    REQUIRE(world.run_until([&] { return knows_next(outside); }, 300ms));  // one election timeout
    CHECK(send(outside, 2) > 1);
    consumer<std::uint64_t, std::string> reader{orders(outside), {}};
    reader.assign({orders(outside).partition(0)});
    CHECK(world.run_until([&] {
        const auto records = reader.poll(0ms);
        return std::any_of(records.begin(), records.end(), [](const auto& one) { return one.key() == 2; });
    }, 5s));
    CHECK(world.violations() == std::vector<std::string>{});
}

TEST_CASE("what a broker asks for a group is no late copy of what it asked in a life before, also where the clock has gone back", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.replication_factor = 3}));
    for (std::uint64_t key = 1; key < 10; ++key) {
        all.send(1, key);
    }
    all.world.run_for(1s);
    const int coordinator = all.coordinator();
    const int asking = coordinator % 3 + 1;
    for (offset next = 0; next < 6; ++next) {
        {
            consumer<std::uint64_t, std::string> reader{all.orders(asking), {.group_id = "loners"}};
            const auto where = all.orders(asking).partition(0);
            reader.assign({where});
            reader.commit(where, next);
            CHECK(reader.committed(where) == next);
        }
        all.world.stop(asking, parting::kill);
        all.world.jump_wall(asking, -1h);
        all.world.start(asking);
        all.world.run_for(2s);
    }
    CHECK(all.coordinator() == coordinator);
}

TEST_CASE("who waits for a coordinator that nobody knows hears that the broker is closed", "[broker][cluster]") {
    simulated_cluster world{{.seed = 5, .nodes = 3}};
    world.start(1);  // alone: no majority, no coordinator
    world.after(20ms, [&] { world.broker(1).close(); });
    std::error_code code;
    try {
        world.broker(1).delete_group("workers");
    } catch (const error& why) {
        code = why.code();
    }
    CHECK(code == errc::closed);
    CHECK(world.violations() == std::vector<std::string>{});
}

TEST_CASE("a replica whose rot hides where an epoch begins says so, and does not lead", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.replication_factor = 3}));
    const auto send = [&](std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t key = first; key < last; ++key) {
            all.send(1, key);
        }
        all.world.run_for(2s);
    };
    const auto leader = [&] { return all.orders(1).partition(0).leader(); };
    send(0, 20);
    const int first = leader();
    all.world.network().isolate(first);
    all.world.run_for(5s);
    all.world.network().heal();
    all.world.run_for(5s);
    send(20, 40);
    const int rotten = leader() % 3 + 1;
    {
        std::error_code code;
        const std::string path = "/d/data/topics/orders/0/";
        const auto log = all.world.machine(rotten).open(path + "00000000000000000000.log", os::open_mode::read_write, code);
        REQUIRE_FALSE(code);
        std::string content(32 * kib, '\0');
        REQUIRE_FALSE(log->read_at(0, as_mutable_bytes(content)));
        const auto frames = frames_of(content);
        const auto opened = std::find_if(frames.begin(), frames.end(), [&](const frame_place& one) {
            return one.kind() == format::frame_kind::control && one.header.base_offset > 0 && one.header.leader_epoch > frames.front().header.leader_epoch;
        });
        REQUIRE(opened != frames.end());
        REQUIRE_FALSE(log->write_at(opened->at + format::frame_header_size, std::array{std::byte{0xee}}));
        const auto checkpoint = all.world.machine(rotten).open(path + "checkpoint", os::open_mode::read_write, code);
        REQUIRE_FALSE(code);
        for (const std::uint64_t slot : {std::uint64_t{0}, std::uint64_t{format::checkpoint_slot_size}}) {  // as of a version that did not tell of epochs
            REQUIRE_FALSE(checkpoint->write_at(slot + 128, std::array<std::byte, format::checkpoint_slot_size - 128>{}));
        }
    }
    all.world.stop(rotten, parting::kill);
    all.world.start(rotten);
    CHECK(all.has_told(rotten, "cannot be told"));
    CHECK(all.orders(rotten).partition(0).replication().is_suspect);  // so it asks nobody for his vote
}

TEST_CASE("a broker without room says so once, and follows when there is some", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.partitions = 2, .replication_factor = 3, .segment_bytes = 4 * kib});
    all.send(1, 1);
    all.world.run_for(2s);
    const int leader = topic.partition(0).leader();
    REQUIRE(topic.partition(1).leader() != leader);
    const int full = 6 - leader - topic.partition(1).leader();
    all.world.machine(full).fill(true);
    const std::string large(500, 'x');
    producer<std::uint64_t, std::string> to{all.orders(leader), {.delivery_timeout = 10s}};
    for (std::uint64_t key = 2; key <= 60; ++key) {
        static_cast<void>(to.send(key, large).get());
    }
    all.world.run_for(20s);
    CHECK(all.read(full).size() < 60);
    CHECK(all.tellings(full, "'orders'") >= 1);
    CHECK(all.tellings(full, "'orders'") <= 6);
    all.world.machine(full).fill(false);
    all.world.run_for(5s);
    CHECK(all.read(full).size() == 60);
}

TEST_CASE("what was acknowledged with acks all is read at once on the broker that has sent it", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 3});
    REQUIRE(all.world.run_until([&] { return all.world.broker(2).topics().size() == 1 && all.world.broker(3).topics().size() == 1; }, 5s));
    for (std::uint64_t key = 1; key <= 60; ++key) {
        const int through = 1 + static_cast<int>(key % 3);
        const offset at = all.send(through, key);
        CAPTURE(key, through);
        CHECK(all.orders(through).partition(0).log_end_offset() > at);
    }
}

TEST_CASE("an acknowledgement waits for a copy that is late an election timeout, and no longer for what comes behind", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 3, .segment_bytes = 4 * kib});
    all.send(1, 1);
    all.world.run_for(2s);
    const int leader = topic.partition(0).leader();
    const int full = leader % 3 + 1;
    producer<std::uint64_t, std::string> by_leader{all.orders(leader), {.delivery_timeout = 10s}};
    const std::string large(500, 'x');
    all.world.machine(full).fill(true);
    for (std::uint64_t key = 2; key <= 20; ++key) {
        static_cast<void>(by_leader.send(key, large).get());
    }
    all.world.run_for(5s);
    REQUIRE(all.read(full).size() < 20);
    const auto begun = all.world.now();
    const offset at = all.send(full, 21);  // committed by the two others
    CHECK(all.orders(full).partition(0).log_end_offset() <= at);
    const auto first = all.world.now() - begun;
    all.send(full, 22);
    const auto second = all.world.now() - begun - first;
    CHECK(first > 225ms);
    CHECK(first < 600ms);
    CHECK(second < 150ms);
    all.world.machine(full).fill(false);
    all.world.run_for(5s);
    CHECK(all.read(full).size() == 22);
    const offset last = all.send(full, 23);
    CHECK(all.orders(full).partition(0).log_end_offset() > last);
}

TEST_CASE("nothing of a partition is given before the listener has been told that it has come", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.partitions = 2, .replication_factor = 3});
    REQUIRE(all.world.run_until([&] { return all.world.broker(2).topics().size() == 1 && all.world.broker(3).topics().size() == 1; }, 5s));
    for (std::uint64_t key = 1; key <= 20; ++key) {
        all.send(1, key);
    }
    const int coordinator = all.coordinator();
    REQUIRE(coordinator != 0);
    const int here = coordinator % 3 + 1;
    bool is_lost = true;
    std::size_t lost = 0;
    all.world.on_sending([&](int from, int to, bytes whole) {  // where the group goes on in the second partition is not known for a while
        bytes rest = whole.subspan(broker_room::datagram::header_size);
        for (broker_room::datagram::part one; broker_room::datagram::next(rest, one);) {
            if (is_lost && from == here && to == coordinator && one.kind == broker_room::datagram::part_kind::request &&
                static_cast<broker_room::request_kind>(one.code) == broker_room::request_kind::group && one.body.size() > 8 &&
                load<broker_room::group_call>(one.body.data()) == broker_room::group_call::committed && load<std::int32_t>(one.body.data() + one.body.size() - 4) == 1) {
                ++lost;
                return false;
            }
        }
        return true;
    });
    std::size_t told = 0;
    std::size_t read = 0;
    consumer_options options{.group_id = "workers"};
    options.rebalance_listener.on_partitions_assigned = [&](const std::vector<brook::partition>& came) { told += came.size(); };
    consumer<std::uint64_t, std::string> reader{all.orders(here), options};
    const auto poll_for = [&](int times) {
        for (int i = 0; i < times && read < 20; ++i) {
            read += reader.poll(10ms).size();
            CHECK((read == 0 || told == 2));
        }
    };
    poll_for(60);
    CHECK(lost > 0);
    CHECK(reader.assignment().size() == 2);
    CHECK(read == 0);
    is_lost = false;
    poll_for(300);
    CHECK(read == 20);
    all.world.on_sending(nullptr);
}

TEST_CASE("a member's poll takes no longer than it is given, whoever is there, and finds later what it has asked for", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.partitions = 3, .replication_factor = 3});
    REQUIRE(all.world.run_until([&] { return all.world.broker(2).topics().size() == 1 && all.world.broker(3).topics().size() == 1; }, 5s));
    for (std::uint64_t key = 1; key <= 30; ++key) {
        all.send(1, key);
    }
    all.world.run_for(3s);  // whoever is to lead does
    const int coordinator = all.coordinator();
    REQUIRE(coordinator != 0);
    const int here = coordinator % 3 + 1;
    const bool is_automatic = GENERATE(false, true);
    CAPTURE(is_automatic);
    consumer<std::uint64_t, std::string> reader{all.orders(here), {.group_id = "workers", .max_poll_records = 1, .enable_auto_commit = is_automatic}};
    const auto timed_poll = [&](std::chrono::nanoseconds longest, std::size_t& count) {
        const auto begun = all.world.now();
        count = reader.poll(longest).size();
        const auto taken = all.world.now() - begun;
        CHECK(taken <= longest + 1ms);  // a look takes no time but what the world has pass at each look at a clock
        return taken;
    };
    std::size_t count = 0;
    std::size_t read = 0;
    SECTION("by looks alone") {
        for (int i = 0; i < 200 && read < 12; ++i) {
            timed_poll(0ms, count);
            read += count;
            all.world.run_for(5ms);
        }
        CHECK(reader.assignment().size() == 3);
        CHECK(read >= 12);
    }
    SECTION("by polls that wait") {
        for (int i = 0; i < 20 && read < 12; ++i) {
            timed_poll(100ms, count);
            read += count;
            all.world.run_for(5ms);
        }
        CHECK(reader.assignment().size() == 3);
        CHECK(read >= 12);
    }
    for (int id = 1; id <= 3; ++id) {
        if (id != here) {
            all.world.stop(id, parting::kill);
        }
    }
    timed_poll(0ms, count);
    read += count;
    for (int i = 0; i < 40 && read < 30; ++i) {
        timed_poll(100ms, count);
        read += count;
    }
    CHECK(read == 30);  // what it has goes on
    timed_poll(0ms, count);
    timed_poll(1s, count);
    consumer<std::uint64_t, std::string> late{all.orders(here), {.group_id = "others"}};
    const auto begun = all.world.now();
    CHECK(late.poll(0ms).empty());
    CHECK(all.world.now() - begun < 1ms);
    CHECK(late.poll(1s).empty());
    CHECK(all.world.now() - begun < 1'002ms);
    for (int id = 1; id <= 3; ++id) {
        if (id != here) {
            all.world.start(id);
        }
    }
    REQUIRE(all.world.run_until([&] { return all.orders(here).partition(0).leader() > 0; }, 10s));
    for (int i = 0; i < 100 && read < 60; ++i) {
        timed_poll(100ms, count);
        read += count;
        if (i == 3) {
            for (std::uint64_t key = 31; key <= 60; ++key) {
                all.send(here, key);
            }
        }
    }
    CHECK(read >= 60);
    if (is_automatic) {
        std::size_t through = 0;
        for (int i = 0; i < 50 && through < 3; ++i) {
            timed_poll(50ms, count);
            through = 0;
            for (const auto& partition : all.world.broker(here).group("workers").partitions) {
                through += partition.lag == 0 ? 1u : 0u;
            }
        }
        CHECK(through == 3);
    }
}

TEST_CASE("a leader whose disk is full has another one lead, and leads again when it has room", "[broker][cluster]") {
    three_brokers all;
    const auto topic = all.make({.replication_factor = 3, .segment_bytes = 4 * kib});
    all.world.run_for(3s);
    const int full = topic.partition(0).replication().replicas.front();  // it is the one that is to lead
    REQUIRE(all.world.run_until([&] { return all.orders(full).partition(0).leader() == full; }, 10s));
    const int other = full % 3 + 1;
    const std::string large(500, 'x');
    producer<std::uint64_t, std::string> to{all.orders(full), {.delivery_timeout = 10s}};
    all.world.machine(full).fill(true);
    producer<std::uint64_t, std::string> hasty{all.orders(full), {.delivery_timeout = 1ms}};  // gives up before another one leads
    for (int i = 0; i < 40 && all.orders(full).partition(0).leader() == full; ++i) {
        std::error_code code;
        static_cast<void>(hasty.send(1'000, large).get(code));
        all.world.run_for(5ms);
    }
    all.world.run_for(3s);
    REQUIRE(all.orders(other).partition(0).leader() > 0);
    CHECK(all.orders(other).partition(0).leader() != full);
    for (std::uint64_t key = 1; key <= 40; ++key) {
        std::error_code code;
        static_cast<void>(to.send(key, large).get(code));
        CHECK(code.message() == "Success");
    }
    const auto now = all.orders(other).partition(0).replication();
    CHECK(now.leader != full);
    CHECK(all.has_told(full, "takes no records"));
    CHECK(all.has_told(full, "was handed to broker"));
    for (int i = 0; i < 20; ++i) {  // and it stays so, also for small ones
        all.send(other, 100 + static_cast<std::uint64_t>(i));
        all.world.run_for(500ms);
    }
    CHECK(all.orders(other).partition(0).leader() == now.leader);
    CHECK(all.orders(other).partition(0).replication().leader_epoch == now.leader_epoch);
    all.world.machine(full).fill(false);
    for (std::uint64_t key = 200; key < 220; ++key) {
        static_cast<void>(to.send(key, large).get());
    }
    CHECK(all.world.run_until([&] { return all.orders(other).partition(0).leader() == full; }, 10s));
    CHECK_FALSE(all.has_told(full, "takes no records"));
    all.send(full, 300);
    all.world.run_for(1s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.read(id) == all.read(full));
        CHECK(all.read(id).size() >= 81);
    }
}

TEST_CASE("a broker's health names who is silent and who was never there, and forgets it when that is over", "[broker][cluster]") {
    three_brokers all;
    all.world.run_for(5s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.world.broker(id).health().is_ok());
    }
    for (const int id : {2, 3}) {
        all.world.stop(id, parting::kill);
    }
    all.world.run_for(1s);
    CHECK_FALSE(all.has_told(1, "no majority"));  // a moment is nothing to speak of
    all.world.run_for(3s);
    CHECK(all.has_told(1, "no majority of its cluster: brokers 2 and 3 are silent"));
    CHECK_FALSE(all.has_told(1, "no coordinator"));  // nobody wants one
    CHECK(all.orders_consumer_poll(1));
    all.world.run_for(3s);
    CHECK(all.has_told(1, "no coordinator"));
    all.world.start(2);
    all.world.run_for(5s);
    CHECK_FALSE(all.has_told(1, "no majority"));
    CHECK_FALSE(all.has_told(1, "no coordinator"));
    CHECK(all.has_told(2, "broker 3 has not been heard of since"));
    all.world.start(3);
    all.world.run_for(5s);
    for (int id = 1; id <= 3; ++id) {
        CHECK(all.world.broker(id).health().is_ok());
    }
}

TEST_CASE("a cluster that waits for one of its brokers says for which, by its health and to who makes a topic", "[broker][cluster]") {
    simulated_cluster world{{.seed = 7, .nodes = 3}};
    world.start(1);
    world.start(2);
    world.run_for(3s);
    const auto health = world.broker(1).health();
    REQUIRE(health.errors.size() == 1);
    CHECK(health.errors.front().text.find("broker 3 has never been there") != std::string::npos);
    const auto begun = world.now();
    std::string text;
    try {
        static_cast<void>(world.broker(1).create_topic<std::uint64_t, std::string>("orders", {}));
    } catch (const error& why) {
        text = why.what();
    }
    CAPTURE(text);
    CHECK(text.find("a cluster begins when all of its brokers are there, and broker 3 has not been heard of") != std::string::npos);
    CHECK(world.now() - begun >= 60s);
    CHECK(world.now() - begun < 61s);
    world.start(3);
    static_cast<void>(world.broker(1).create_topic<std::uint64_t, std::string>("orders", {}));
    world.run_for(1s);
    CHECK(world.broker(1).health().is_ok());
}

TEST_CASE("create_topic opens the topic that has the name now, also where this broker knows an older one", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.replication_factor = 3}));
    all.world.run_for(2s);
    int late = 0;
    for (int id = 1; id <= 3; ++id) {
        late = brook::detail::access::core(all.world.broker(id))->cluster()->state_of({broker_room::metadata_topic_id, 0})->is_leader ? late : id;
    }
    const int other = late % 3 + 1;
    const auto id_of = [](const test_topic& one) { return brook::detail::access::engine(one).state()->meta.id; };
    const auto before = id_of(all.orders(other));
    SECTION("with the same options") {
        all.world.pause(late);
        all.world.broker(other).delete_topic("orders");
        const auto now = id_of(all.make({.replication_factor = 3}, other));
        REQUIRE(now != before);
        all.world.resume(late);
        CHECK(id_of(all.make({.replication_factor = 3}, late)) == now);
    }
    SECTION("where the older one has others") {
        all.world.pause(late);
        all.world.broker(other).delete_topic("orders");
        const auto now = id_of(all.make({.partitions = 2, .replication_factor = 3}, other));
        all.world.resume(late);
        CHECK(id_of(all.make({.partitions = 2}, late)) == now);
    }
    SECTION("and the one that is here where nobody says") {
        for (int id = 1; id <= 3; ++id) {
            if (id != late) {
                all.world.stop(id, parting::kill);
            }
        }
        const auto begun = all.world.now();
        CHECK(id_of(all.make({}, late)) == before);
        CHECK(all.world.now() - begun < 3s);
    }
}

TEST_CASE("a broker that does not know a topic says whether it knows what the cluster has", "[broker][cluster]") {
    three_brokers all;
    static_cast<void>(all.make({.replication_factor = 3}));
    all.world.run_for(2s);
    const auto refusal = [&](int id) {
        try {
            static_cast<void>(all.world.broker(id).topic<std::uint64_t, std::string>("others"));
        } catch (const error& why) {
            CHECK(why.code() == errc::unknown_topic_or_partition);
            return std::string{why.what()};
        }
        return std::string{};
    };
    CHECK(refusal(1).find("the cluster has none") != std::string::npos);
    for (const int id : {1, 2, 3}) {
        all.world.stop(id, parting::kill);
    }
    all.world.start(2);
    const std::string alone = refusal(2);
    CAPTURE(alone);
    CHECK(alone.find("has not caught up with the cluster: no majority") != std::string::npos);
    all.world.start(1);
    all.world.run_for(5s);
    CHECK(refusal(2).find("the cluster has none") != std::string::npos);
}

TEST_CASE("a broker that is refused memory anywhere goes on when it has some, and nothing that was acknowledged is lost", "[broker][cluster]") {
    std::uint64_t failed = 0;
    for (std::uint64_t k = 1; k < 2'000; k += k < 20 ? 1 : 1 + k / 5) {
        three_brokers all;
        const auto topic = all.make({.replication_factor = 3, .min_insync_replicas = 2});
        all.send(1, 1);
        all.world.run_for(500ms);
        const int leader = topic.partition(0).leader();
        const int refused = k % 2 == 0 ? leader : leader % 3 + 1;
        CAPTURE(k, refused, leader);
        all.world.fail_allocation(refused, k);
        for (std::uint64_t key = 2; key <= 6; ++key) {
            all.send(1 + static_cast<int>(key % 3), key);
        }
        all.world.run_for(5s);
        failed += all.world.has_failed_allocation(refused) ? 1 : 0;
        all.world.fail_allocation(refused, 0);
        all.send(refused, 7);
        all.world.run_for(1s);
        for (int id = 1; id <= 3; ++id) {
            CHECK(all.read(id) == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7});
        }
    }
    CHECK(failed > 20);
}

}  // namespace broker_cluster_member_test
