#include <brook/broker/group_server.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>

#include "support/catch.hpp"
#include "support/temp_directory.hpp"

namespace broker_group_server_test {

namespace {

using namespace brook;
using namespace std::chrono_literals;
using brook::broker_room::committed_position;
using brook::broker_room::core;
using brook::broker_room::group_call;
using brook::broker_room::group_codec;
using brook::broker_room::group_place;
using brook::broker_room::group_topic;
using brook::broker_room::member_options;
using brook::replication::byte_reader;
using brook::replication::byte_writer;
using brook::test::temp_directory;

[[nodiscard]] broker_options by_hand() {
    broker_options options;
    options.maintenance = maintenance::manual;
    return options;
}

/// A coordinator with one topic of three partitions, and what others ask of it.
struct coordinator {
    temp_directory directory;
    core broker{directory.path(), by_hand()};
    broker_room::topic_handle orders = broker.create_topic("orders", {.partitions = 3}, {"x", 1}, {"y", 1});
    broker_room::group_server server{broker.groups_here()};

    using write = std::function<void(byte_writer&)>;
    [[nodiscard]] static std::vector<std::byte> call(group_call what, std::uint64_t member, const write& rest) {
        std::vector<std::byte> body;
        byte_writer to{body};
        to.put(what);
        to.put_text("workers");
        to.put(member);
        rest(to);
        return body;
    }
    [[nodiscard]] std::vector<committed_position> at(offset next) const { return {{orders->meta.id, 0, next, -1, {}}}; }
    [[nodiscard]] std::vector<std::byte> commit(offset next, std::uint64_t member = 0, std::uint32_t epoch = 0) const {
        return call(group_call::commit, member, [&](byte_writer& to) {
            group_codec::put(to, at(next));
            if (member == 0) {
                to.put(epoch);
            }
        });
    }
    [[nodiscard]] std::vector<std::byte> reset(offset next, std::uint32_t epoch = 0) const {
        return call(group_call::reset, 0, [&](byte_writer& to) {
            group_codec::put(to, at(next));
            to.put(epoch);
        });
    }
    [[nodiscard]] static std::vector<std::byte> remove(std::uint32_t epoch = 0) {
        return call(group_call::remove, 0, [&](byte_writer& to) { to.put(epoch); });
    }
    [[nodiscard]] std::vector<std::byte> join(std::uint64_t member, std::int32_t partitions = 3, const std::string& instance = {}) const {
        return call(group_call::join, member, [&](byte_writer& to) {
            group_codec::put(to, member_options{instance, 5min, 45s, assignors::range()});
            group_codec::put(to, std::vector<group_topic>{{orders->meta.id, "another name", partitions}});
        });
    }

    struct told {
        bool is_answered = false;
        std::error_code code;
        std::vector<std::byte> answer;
        bool operator==(const told&) const = default;
    };
    [[nodiscard]] told ask(int node, std::uint64_t number, const std::vector<std::byte>& body, std::chrono::nanoseconds now = 0ns) {
        failure why;
        const auto result = server.carry_out(node, number, body, now, [&] { return broker.topics(); }, why);
        return {result.has_value(), why.code, result.value_or(std::vector<std::byte>{})};
    }
    [[nodiscard]] offset committed() {
        const auto found = broker.offsets_here().find("workers", orders->meta.id, 0);
        return found ? found->next : offset{-1};
    }
    [[nodiscard]] std::vector<group_place> owned(std::uint64_t member) { return broker.groups_here().owned("workers", member); }
};

}  // namespace

TEST_CASE("group_server does once what comes twice, and gives the same answer", "[broker][group][server]") {
    coordinator at;
    const std::vector<group_place> some{{at.orders->meta.id, 0}};
    struct row {
        const char* name;
        std::vector<std::byte> body;
    };
    const auto nothing = [](byte_writer&) {};
    const auto topics = [&](byte_writer& to) { group_codec::put(to, std::vector<group_topic>{{at.orders->meta.id, "orders", 3}}); };
    const auto places = [&](byte_writer& to) { group_codec::put(to, some); };
    const std::vector<row> rows{
        {"join", at.join(7)},
        {"take", coordinator::call(group_call::take, 7, nothing)},
        {"subscribe", coordinator::call(group_call::subscribe, 7, topics)},
        {"commit", at.commit(5, 7)},
        {"commit of another's", at.commit(5, 8)},
        {"to_release", coordinator::call(group_call::to_release, 7, nothing)},
        {"release", coordinator::call(group_call::release, 7, places)},
        {"is_member", coordinator::call(group_call::is_member, 7, nothing)},
        {"has_instance", coordinator::call(group_call::has_instance, 7, [](byte_writer& to) { to.put_text("none"); })},
        {"names", coordinator::call(group_call::names, 0, nothing)},
        {"describe", coordinator::call(group_call::describe, 0, nothing)},
        {"remove while there are members", coordinator::remove()},
        {"leave", coordinator::call(group_call::leave, 7, nothing)},
        {"commit of no member", at.commit(9)},
        {"committed", coordinator::call(group_call::committed, 0,
                                        [&](byte_writer& to) {
                                            to.put(at.orders->meta.id);
                                            to.put(std::int32_t{0});
                                        })},
        {"reset", at.reset(2)},
        {"remove", coordinator::remove()},
        {"remove of nothing", coordinator::remove()},
    };
    std::uint64_t number = 100;
    for (const row& one : rows) {
        CAPTURE(one.name);
        ++number;
        const auto first = at.ask(1, number, one.body);
        const auto end = at.broker.offsets_here().positions_of("workers").size();
        const offset log_end = at.broker.offsets_here().topic()->partition(0).log_end_offset();
        CHECK(first.is_answered);
        const auto second = at.ask(1, number, one.body);
        CHECK(second == first);
        CHECK(at.broker.offsets_here().positions_of("workers").size() == end);
        CHECK(at.broker.offsets_here().topic()->partition(0).log_end_offset() == log_end);
    }
}

TEST_CASE("group_server does nothing again behind what another node has committed", "[broker][group][server]") {
    coordinator at;
    std::uint64_t number = 100;
    REQUIRE(at.ask(2, ++number, at.commit(10)).is_answered);
    for (const auto& change : {coordinator::remove(), at.reset(0), at.commit(3)}) {
        const std::uint64_t asked = ++number;
        const auto first = at.ask(1, asked, change);
        CHECK(first.is_answered);
        CHECK_FALSE(first.code);
        REQUIRE(at.ask(2, ++number, at.commit(500)).is_answered);
        CHECK(at.ask(1, asked, change) == first);
        CHECK(at.committed() == 500);
    }
    // and behind a later one of its own node, where nobody waits for it
    REQUIRE(at.ask(1, 1'000, coordinator::remove()).is_answered);
    REQUIRE(at.ask(1, 1'001, at.commit(700)).is_answered);
    CHECK_FALSE(at.ask(1, 1'000, coordinator::remove()).is_answered);
    CHECK(at.committed() == 700);
    // what was refused is not done later: who asked has been told that it was refused
    REQUIRE(at.ask(2, 2'000, at.join(7)).is_answered);
    CHECK(at.ask(1, 2'001, coordinator::remove()).code == errc::non_empty_group);
    REQUIRE(at.ask(2, 2'002, coordinator::call(group_call::leave, 7, [](byte_writer&) {})).is_answered);
    CHECK(at.ask(1, 2'001, coordinator::remove()).code == errc::non_empty_group);
    CHECK(at.committed() == 700);
}

TEST_CASE("group_server carries nothing out for who is no member that was asked of a coordinator before it", "[broker][group][server]") {
    coordinator at;
    at.server.begin(4);
    CHECK_FALSE(at.ask(1, 1, at.commit(10, 0, 4)).code);
    at.server.begin(5);
    for (const auto& change : {coordinator::remove(4), at.reset(0, 4), at.commit(3, 0, 4)}) {
        CHECK(at.ask(1, 1, change).code == errc::coordinator_not_available);
        CHECK(at.committed() == 10);
    }
    CHECK_FALSE(at.ask(1, 2, at.commit(11, 0, 5)).code);
    CHECK(at.committed() == 11);
    const auto cut = at.commit(12, 0, 5);
    CHECK_FALSE(at.ask(1, 3, {cut.begin(), cut.end() - 4}).is_answered);
    CHECK(at.committed() == 11);
}

TEST_CASE("group_server's late copy of a static member's join puts nobody out", "[broker][group][server]") {
    coordinator at;
    const auto first = at.ask(1, 1, at.join(7, 3, "me"));
    REQUIRE(first.is_answered);
    REQUIRE(at.ask(2, 2, at.join(8, 3, "me")).is_answered);
    CHECK(at.ask(1, 1, at.join(7, 3, "me")) == first);
    CHECK(at.broker.groups_here().is_member("workers", 8));
    CHECK_FALSE(at.broker.groups_here().is_member("workers", 7));
}

TEST_CASE("group_server believes no peer about a topic's name and partitions", "[broker][group][server]") {
    coordinator at;
    const auto take = [](std::uint64_t member) { return coordinator::call(group_call::take, member, [](byte_writer&) {}); };
    std::uint64_t number = 0;
    for (const std::int32_t lie : {-1, 0, INT32_MIN, INT32_MAX, 10'001}) {
        CAPTURE(lie);
        CHECK_FALSE(at.ask(2, ++number, at.join(50, lie)).is_answered);
        CHECK_FALSE(at.broker.groups_here().is_member("workers", 50));
    }
    REQUIRE(at.ask(1, ++number, at.join(7, 1)).is_answered);
    REQUIRE(at.ask(1, ++number, take(7)).is_answered);
    CHECK(at.owned(7).size() == 3);
    REQUIRE(at.ask(2, ++number, at.join(8, 5'000)).is_answered);
    REQUIRE(at.ask(1, ++number, coordinator::call(group_call::leave, 7, [](byte_writer&) {})).is_answered);
    REQUIRE(at.ask(2, ++number, take(8)).is_answered);
    CHECK(at.owned(8).size() == 3);
    REQUIRE(at.ask(2, ++number, coordinator::call(group_call::subscribe, 8, [&](byte_writer& to) {
        group_codec::put(to, std::vector<group_topic>{{at.orders->meta.id, "orders", 9'999}, {format::topic_id{}, "none", 1}});
    })).is_answered);
    CHECK(at.owned(8).size() == 3);
    CHECK(at.broker.groups_here().describe("workers", at.broker.topics()).members.size() == 1);
}

TEST_CASE("group_server forgets callers that are no members, the oldest first, when there are too many", "[broker][group][server]") {
    coordinator at;
    const auto loner = [&](const std::string& group) {
        std::vector<std::byte> body;
        byte_writer to{body};
        to.put(group_call::commit);
        to.put_text(group);
        to.put(std::uint64_t{0});
        group_codec::put(to, std::vector<committed_position>{{format::topic_id{}, 0, 1, -1, {}}});
        to.put(std::uint32_t{0});
        return body;
    };
    REQUIRE(at.ask(1, 5, at.join(7)).is_answered);
    for (std::uint64_t i = 0; i < 10'100; ++i) {
        REQUIRE(at.ask(1, 10 + i, loner(std::to_string(i)), std::chrono::nanoseconds{i}).is_answered);
    }
    CHECK(at.server.session_count() == 10'000);
    CHECK_FALSE(at.ask(1, 4, at.join(7)).is_answered);  // a member's stays
}

}  // namespace broker_group_server_test
