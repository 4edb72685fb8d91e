// What a broker of a cluster refuses, and that it says what to do.
#include <brook/brook.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/replication.hpp>

#include "broker/outcome.hpp"
#include "client/cluster_world.hpp"
#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace client_cluster_misuse_test {

using namespace brook;
using namespace std::chrono_literals;
using brook::test::cluster_world;
using brook::test::code_of;
using brook::test::numbers_to;
using brook::test::numbers_topic;
using brook::test::outcome;
using brook::test::outcome_of;
using brook::test::send_numbers;
using brook::test::temp_directory;

namespace {

[[nodiscard]] outcome open(const std::string& path, broker_options options) {
    return outcome_of([&] { brook::broker broker{path, std::move(options)}; });
}

}  // namespace

TEST_CASE("options that do not make a member are refused in words", "[client][cluster]") {
    temp_directory directory;
    memory_network network;
    const std::string path = directory / "broker";
    const auto refused = [&](broker_options options, const std::string& what) {
        const outcome told = open(path, std::move(options));
        CAPTURE(told.text);
        CHECK(told.code == errc::invalid_config);
        CHECK(told.names(what));
        CHECK_FALSE(std::filesystem::exists(path + "/broker.meta"));  // and nothing was made
    };
    refused({.node_id = 1, .peers = {1, 2, 3}}, "transport");
    refused({.node_id = 4, .peers = {1, 2, 3}, .transport = network.join(4)}, "node_id");
    refused({.node_id = 1, .peers = {1, 2, 2}, .transport = network.join(1)}, "once");
    refused({.node_id = 1, .peers = {1, -2, 3}, .transport = network.join(1)}, "0 or more");
    std::vector<int> many(65);
    std::iota(many.begin(), many.end(), 0);
    refused({.node_id = 1, .peers = many, .transport = network.join(1)}, "64");
    refused({.node_id = 1, .transport = network.join(1)}, "peers");
    refused({.node_id = 1, .peers = {1}, .transport = network.join(1)}, "names this broker alone");
    refused({.node_id = 1, .peers = {1, 2}, .transport = network.join(1), .default_api_timeout = 0s}, "default_api_timeout");
    refused({.node_id = 1, .peers = {1, 2, 3}, .transport = network.join(1), .election_timeout = 1ms}, "election_timeout");
}

TEST_CASE("one broker alone has no replicas to make, and none to ask", "[client][cluster]") {
    temp_directory directory;
    brook::broker alone{directory / "alone", {.node_id = 7, .peers = {7}}};
    const auto more = outcome_of([&] { static_cast<void>(alone.create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 3})); });
    CHECK(more.code == errc::invalid_config);
    CHECK(more.names("peers"));
    const auto topic = alone.create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 1});
    CHECK(topic.partition(0).leader() == 7);
    CHECK(topic.partition(0).replication().is_leader);
    CHECK(topic.partition(0).replication().replicas == std::vector<int>{7});
    const auto transfer = outcome_of([&] { topic.partition(0).transfer_leadership(1); });
    CHECK(transfer.code == errc::invalid_config);
    CHECK(transfer.names("alone"));
    CHECK(code_of([&] { topic.partition(0).force_unclean_leader(); }) == errc::invalid_config);
}

TEST_CASE("a directory stays what it was made as: of one broker, or of one member of one cluster", "[client][cluster]") {
    temp_directory directory;
    memory_network network;
    const auto member = [&](int id, std::vector<int> peers) { return broker_options{.node_id = id, .peers = std::move(peers), .transport = network.join(id), .election_timeout = 100ms}; };
    {
        brook::broker alone{directory / "alone"};
        static_cast<void>(alone.create_topic<no_key, std::uint64_t>("numbers"));
    }
    const outcome joined = open(directory / "alone", member(1, {1, 2, 3}));
    CAPTURE(joined.text);
    CHECK(joined.code == errc::invalid_config);
    { brook::broker alone{directory / "alone"}; CHECK(alone.topics().size() == 1); }  // and is as it was

    { brook::broker first{directory / "member", member(1, {1, 2, 3})}; }
    const outcome left = open(directory / "member", {});
    CAPTURE(left.text);
    CHECK(left.code == errc::invalid_config);
    const outcome other = open(directory / "member", member(2, {1, 2, 3}));
    CAPTURE(other.text);
    CHECK(other.code == errc::invalid_config);
    CHECK(other.names("1"));
    const outcome peers = open(directory / "member", member(1, {1, 2, 3, 4}));
    CAPTURE(peers.text);
    CHECK(peers.code == errc::invalid_config);
    CHECK(peers.names("peers"));
    CHECK(open(directory / "member", member(1, {1, 2, 4})).code == errc::invalid_config);
    CHECK_FALSE(open(directory / "member", member(1, {3, 1, 2})).code);  // in whichever order
}

TEST_CASE("two clusters on one network leave each other alone", "[client][cluster]") {
    temp_directory directory;
    memory_network network;
    const auto start = [&](const std::string& where, int id) {
        return std::make_unique<brook::broker>(directory / (where + std::to_string(id)),
                                               broker_options{.node_id = id, .peers = {1, 2, 3}, .transport = network.join(id), .election_timeout = 100ms});
    };
    std::vector<std::unique_ptr<brook::broker>> first;
    for (const int id : {1, 2, 3}) {
        first.push_back(start("a", id));
    }
    send_numbers(first[0]->create_topic<no_key, std::uint64_t>("numbers", {.replication_factor = 3}), 0, 10);
    REQUIRE(cluster_world::eventually([&] { return first[2]->topics().size() == 1; }));
    first.clear();
    std::vector<std::unique_ptr<brook::broker>> second;
    for (const int id : {1, 2, 3}) {
        second.push_back(start("b", id));
    }
    send_numbers(second[0]->create_topic<no_key, std::uint64_t>("others", {.replication_factor = 3}), 0, 5);
    REQUIRE(cluster_world::eventually([&] { return second[1]->topics().size() == 1 && second[2]->topics().size() == 1; }));
    second[2].reset();
    const auto tells = [](const std::unique_ptr<brook::broker>& one, const std::string& what) {
        const auto errors = one->health().errors;
        return std::any_of(errors.begin(), errors.end(), [&](const failure& why) { return why.text.find(what) != std::string::npos; });
    };
    auto stranger = start("a", 3);  // of the other cluster: it is not heard, and hears nothing
    CHECK(cluster_world::eventually([&] { return tells(stranger, "brokers 1 and 2 are of another cluster") && tells(second[0], "broker 3 is of another cluster"); }));
    send_numbers(second[1]->topic<no_key, std::uint64_t>("others"), 5, 10);
    brook::producer lost{stranger->topic<no_key, std::uint64_t>("numbers"), {.delivery_timeout = 500ms}};
    CHECK(code_of([&] { static_cast<void>(lost.send({.value = 99}).get()); }) == errc::not_leader_or_follower);
    CHECK(stranger->topics() == std::vector<std::string>{"numbers"});
    CHECK(second[0]->topics() == std::vector<std::string>{"others"});
    CHECK(cluster_world::read_numbers(second[0]->topic<no_key, std::uint64_t>("others"), 10) == numbers_to(10));
}

TEST_CASE("brokers that were told different things of each other say so", "[client][cluster]") {
    temp_directory directory;
    memory_network network;
    const auto start = [&](int id, std::vector<int> peers, int place) {
        return std::make_unique<brook::broker>(directory / std::to_string(id),
                                               broker_options{.node_id = id, .peers = std::move(peers), .transport = network.join(place), .election_timeout = 100ms});
    };
    const auto tells = [](const std::unique_ptr<brook::broker>& one, const std::string& what) {
        return cluster_world::eventually([&] {
            const auto errors = one->health().errors;
            return std::any_of(errors.begin(), errors.end(), [&](const failure& why) { return why.text.find(what) != std::string::npos; });
        });
    };
    SECTION("peers") {
        const auto first = start(1, {1, 2, 3}, 1);
        const auto second = start(2, {1, 2, 4}, 2);
        const auto fourth = start(4, {1, 2, 4}, 4);
        CHECK(tells(first, "broker 2 was given other peers, 1, 2 and 4, than this one, 1, 2 and 3"));
        CHECK(tells(second, "broker 1 was given other peers"));
        CHECK(tells(first, "broker 4 takes this one for a peer"));
    }
    SECTION("places in the network") {
        const auto first = start(1, {1, 2, 3}, 2);  // by mistake
        const auto third = start(3, {1, 2, 3}, 3);
        CHECK(tells(first, "the transport brings what is meant for node 2"));
        CHECK(tells(third, "broker 1 speaks from the place of node 2"));
    }
}

TEST_CASE("making a topic without the others ends when default_api_timeout is over, and says who is missing", "[client][cluster]") {
    temp_directory directory;
    memory_network network;
    brook::broker alone{directory / "1", {.node_id = 1, .peers = {1, 2, 3}, .transport = network.join(1), .election_timeout = 100ms, .default_api_timeout = 50ms}};
    const auto told = outcome_of([&] { static_cast<void>(alone.create_topic<no_key, std::uint64_t>("numbers")); });
    CAPTURE(told.text);
    CHECK((told.code == errc::timed_out || told.code == errc::not_leader_or_follower));
    CHECK(told.names("brokers 2 and 3 have not been heard of"));
}

TEST_CASE("why the lead is not handed over is said, each reason by its own words", "[client][cluster]") {
    cluster_world here;
    const auto topic = here.numbers();
    const int leader = here.await_leader({1, 2, 3});
    const int follower = here.other_than(leader);
    const int third = here.other_than(leader, follower);
    const auto refused = [&](int through, int to, const std::string& what) {
        const auto told = outcome_of([&] { here.topic(through).partition(0).transfer_leadership(to); });
        CAPTURE(told.text, through, to);
        CHECK(told.code == errc::not_leader_or_follower);
        CHECK(told.names(what));
    };
    refused(follower, third, "broker " + std::to_string(leader) + " does, and has to be asked");
    if (here.topic(leader).partition(0).replication().is_leader) {
        refused(leader, 17, "is none of its replicas");
        refused(leader, leader, "leads it already");
    }
}

TEST_CASE("a partition that was had from another broker of the cluster is refused by a consumer", "[client][cluster]") {
    cluster_world here;
    static_cast<void>(here.numbers());
    const auto mine = here.topic(1);
    const auto others = here.topic(2).partition(0);
    brook::consumer reader{mine};
    const auto assigned = outcome_of([&] { reader.assign({others}); });
    CHECK(assigned.code == errc::invalid_config);
    CHECK(assigned.names("another broker's"));
    CHECK(code_of([&] { reader.seek(others, 0); }) == errc::invalid_config);
    CHECK(code_of([&] { static_cast<void>(reader.position(others)); }) == errc::invalid_config);
}

}  // namespace client_cluster_misuse_test
