// What does not fit through a cluster's network, and what stands behind it.
#include <brook/broker/cluster_member.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include "support/catch.hpp"
#include "support/simulated_cluster.hpp"
#include "support/wire.hpp"

namespace broker_cluster_limit_test {

namespace {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using brook::broker_room::committed_position;

/// Brokers on a network whose datagrams are as small as they may be.
struct narrow_cluster {
    explicit narrow_cluster(int nodes = 3) : world{{.seed = 5, .nodes = nodes, .largest_datagram = 64 * 1024}} {
        for (int id = 1; id <= nodes; ++id) {
            world.start(id);
        }
    }
    ~narrow_cluster() { CHECK(world.violations() == std::vector<std::string>{}); }

    [[nodiscard]] int coordinator() {
        int found = 0;
        static_cast<void>(world.run_until(
            [&] {
                for (int id = 1; id <= world.count(); ++id) {
                    found = world.is_up(id) && world.core(id).cluster()->coordinates() ? id : found;
                }
                return found != 0;
            },
            30s));
        return found;
    }

    [[nodiscard]] failure commit(int through, const std::string& group, const std::vector<committed_position>& positions) {
        return world.core(through).groups().commit(group, 0, positions);
    }

    simulated_cluster world;
};

[[nodiscard]] std::vector<committed_position> positions_of(const format::topic_id& topic, std::int32_t count, const std::string& metadata, offset next = 0) {
    std::vector<committed_position> all;
    for (std::int32_t number = 0; number < count; ++number) {
        all.push_back({topic, number, next + number, -1, metadata});
    }
    return all;
}

/// What became of a batch that nobody has made in the usual way.
class lone_batch final : public broker_room::produce_request {
public:
    void settle(const failure& why, offset, std::int64_t) noexcept override {
        told = why.code;
        is_known = true;
    }
    std::error_code told;
    bool is_known = false;
};

}  // namespace

TEST_CASE("a commit that no datagram holds is taken in parts, and so is its group's end; commits behind it are taken", "[broker][cluster][limits]") {
    narrow_cluster all;
    constexpr std::int32_t partitions = 64;
    const auto topic = all.world.broker(1).create_topic<std::uint64_t, std::string>("orders", {.partitions = partitions});
    REQUIRE(all.world.run_until([&] { return all.world.core(1).has_topic("orders") && all.world.core(2).has_topic("orders") && all.world.core(3).has_topic("orders"); }, 10s));
    const int at = all.coordinator();
    REQUIRE(at != 0);
    const format::topic_id id = all.world.core(at).replicated_topics().back()->meta.id;
    REQUIRE(all.world.core(at).replicated_topics().back()->name == "orders");
    const std::string long_name(2'000, 'g');
    for (const int through : {at, at % 3 + 1}) {
        CAPTURE(through, at);
        CHECK(all.commit(through, "small", positions_of(id, 1, "")).text.empty());
        CHECK(all.commit(through, "large", positions_of(id, partitions, std::string(2'000, 'm'), 100 * through)).text.empty());
        CHECK(all.commit(through, long_name, positions_of(id, partitions, "", through)).text.empty());
        CHECK(all.commit(through, "small", positions_of(id, 1, "")).text.empty());
        for (std::int32_t number = 0; number < partitions; ++number) {
            const auto found = all.world.core(at).offsets_here().find("large", id, number);
            REQUIRE(found);
            CHECK(found->next == 100 * through + number);
            CHECK(found->metadata.size() == 2'000);
        }
        CHECK(all.world.core(through).groups().remove(long_name).text.empty());
        CHECK(all.world.core(at).offsets_here().positions_of(long_name).empty());
        CHECK(all.commit(through, "small", positions_of(id, 1, "")).text.empty());
    }
    CHECK(all.commit(at, std::string(70'000, 'g'), positions_of(id, 1, "")).code == errc::record_too_large);
    all.world.stop(at, parting::kill);
    const int next = all.coordinator();
    REQUIRE(next != 0);
    CHECK(all.commit(next, "small", positions_of(id, 1, "")).text.empty());
    CHECK(all.world.core(next).offsets_here().positions_of("large").size() == static_cast<std::size_t>(partitions));
    CHECK(all.world.core(next).offsets_here().positions_of(long_name).empty());
}

TEST_CASE("of a commit that its coordinator has appended, and that no majority has, nobody says that it was not written", "[broker][cluster][limits]") {
    narrow_cluster all;
    static_cast<void>(all.world.broker(1).create_topic<std::uint64_t, std::string>("orders", {.replication_factor = 3}));
    REQUIRE(all.world.run_until([&] { return all.world.core(1).has_topic("orders") && all.world.core(2).has_topic("orders") && all.world.core(3).has_topic("orders"); }, 10s));
    const int at = all.coordinator();
    REQUIRE(at != 0);
    const format::topic_id id = all.world.core(at).replicated_topics().back()->meta.id;
    const offset before = all.world.core(at).offsets_here().topic()->partition(0).log_end_offset();
    all.world.network().isolate(at);
    const failure why = all.commit(at, "workers", positions_of(id, 1, ""));
    CHECK(all.world.core(at).offsets_here().topic()->partition(0).log_end_offset() > before);
    CHECK(why.code == errc::coordinator_not_available);
    CHECK(why.text.find("nothing was written") == std::string::npos);
    all.world.network().heal();
    all.world.network().set_faults(simulated_cluster::calm());
    all.world.run_for(3s);
}

TEST_CASE("what a leader could not send on it does not append", "[broker][cluster][limits]") {
    narrow_cluster all;
    const auto topic = all.world.broker(1).create_topic<std::uint64_t, std::string>("orders", {.replication_factor = 3});
    all.world.run_for(3s);
    const int leader = topic.partition(0).leader();
    REQUIRE(leader > 0);
    auto batch = std::make_shared<lone_batch>();
    batch->frame = wire_lone(std::nullopt, std::string(100'000, 'v'), 17, format::producer_stamp{4711, 0, 0});
    batch->deadline = all.world.core(leader).shared()->platform.monotonic() + 5s;
    all.world.core(leader).cluster()->produce({all.world.core(leader).replicated_topics().back()->meta.id, 0}, batch);
    REQUIRE(all.world.run_until([&] { return batch->is_known; }, 10s));
    CHECK(batch->told == errc::record_too_large);
    producer<std::uint64_t, std::string> to{topic};
    CHECK(to.send(1, "value").get().offset >= 0);
}

TEST_CASE("a topic whose topic.meta no datagram holds is refused, and others are made", "[broker][cluster][limits]") {
    narrow_cluster all{4};
    all.world.run_for(3s);
    const auto size_of = [](std::int32_t partitions) {
        broker_room::topic_meta meta = broker_room::topic_meta::make("wide", {.partitions = partitions}, {}, {"brook.internal", 0}, {"brook.internal", 0});
        meta.replicas.assign(static_cast<std::size_t>(partitions), {1, 2, 3, 4});
        meta.directories.assign(4, {1, {}});
        return meta.encode().size();
    };
    constexpr std::size_t wanted = 64 * 1024 - 40;  // a topic.meta may have 64 KiB
    std::int32_t partitions = 8'000;
    for (std::size_t size = size_of(partitions); size < wanted; size = size_of(partitions)) {
        partitions += static_cast<std::int32_t>((wanted - size + 7) / 8);  // "1,2,3,4;"
    }
    try {
        static_cast<void>(all.world.broker(1).create_topic<std::uint64_t, std::string>("wide", {.partitions = partitions, .replication_factor = 4}));
        FAIL("it was made");
    } catch (const error& why) {
        CHECK(why.code() == errc::invalid_config);
    }
    CHECK_NOTHROW(all.world.broker(2).create_topic<std::uint64_t, std::string>("narrow", {.replication_factor = 3}));
}

}  // namespace broker_cluster_limit_test
