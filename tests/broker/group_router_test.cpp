#include <brook/broker/group_router.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/os/posix.hpp>

#include "support/catch.hpp"

namespace broker_group_router_test {

namespace {

using namespace brook;
using namespace brook::broker_room;
using namespace std::chrono_literals;
using brook::replication::byte_reader;
using brook::replication::byte_writer;

/// A member's side, and a coordinator that answers what the test says.
struct asked {
    shared_state shared{os::posix(), {}};
    std::vector<std::vector<std::byte>> calls;
    std::vector<failure> answers;  // to the next ones; then all goes well
    std::uint32_t epoch = 1;
    group_router router{shared,
                        [this](std::vector<std::byte> body, std::chrono::nanoseconds) {
                            calls.push_back(std::move(body));
                            if (!answers.empty()) {
                                const failure why = answers.front();
                                answers.erase(answers.begin());
                                ++epoch;
                                if (why) {
                                    why.raise();
                                }
                            }
                            std::vector<std::byte> answer;
                            byte_writer{answer}.put(std::uint64_t{1});
                            return answer;
                        },
                        [](std::vector<std::byte>) {},
                        [](const std::vector<std::byte>&, const std::shared_ptr<request_outcome>&) {},
                        [](std::chrono::nanoseconds) {},
                        [this] { return epoch; },
                        3s};

    [[nodiscard]] static std::uint32_t epoch_in(const std::vector<std::byte>& call) { return load<std::uint32_t>(call.data() + call.size() - 4); }
};

[[nodiscard]] failure moved() { return {errc::coordinator_not_available, "another broker coordinated the group when this was asked"}; }

}  // namespace

TEST_CASE("group_router says in datagrams of any network that its members live, however many there are", "[broker][group][router]") {
    asked here;
    constexpr std::size_t members = 5'000;
    std::vector<group_seat> seats;
    for (std::size_t i = 0; i < members; ++i) {
        seats.push_back(here.router.join("a group of many members", {{}, 5min, 45s, assignors::range()}, {}));
    }
    const std::vector<group_router::heartbeat> all = here.router.beats();
    std::size_t told = 0;
    std::vector<group::member_id> gone;
    for (const group_router::heartbeat& one : all) {
        CHECK(one.body.size() < 40 * kib);
        byte_reader from{one.body};
        CHECK(from.take<group_call>() == group_call::beat);
        const std::uint32_t count = from.take_count(20);
        CHECK(count == one.of.size());
        std::vector<std::byte> answer;
        byte_writer to{answer};
        for (std::uint32_t i = 0; i < count; ++i) {
            CHECK(from.take_text() == "a group of many members");
            CHECK(from.take<std::uint64_t>() == one.of[i]);
            static_cast<void>(from.take<std::uint64_t>());
            const bool is_there = told++ % 1'000 != 0;
            if (!is_there) {
                gone.push_back(one.of[i]);
            }
            to.put(std::uint32_t{is_there ? 1u : 0u});
            to.put(std::uint64_t{1});
        }
        CHECK(from.is_done());
        here.router.take_beat(one.of, answer);
    }
    CHECK(told == members);
    CHECK(gone.size() == members / 1'000);
    for (const group_seat& seat : seats) {
        const bool is_gone = std::find(gone.begin(), gone.end(), seat.id) != gone.end();
        REQUIRE(here.router.is_member("a group of many members", seat.id) == !is_gone);
    }
    std::size_t leaving = 0;
    for (const group_router::heartbeat& one : here.router.departures()) {
        CHECK(one.body.size() < 40 * kib);
        leaving += one.of.size();
    }
    CHECK(leaving == members - gone.size());
}

TEST_CASE("group_router asks anew, of the next coordinator, what the former one may have done", "[broker][group][router]") {
    asked here;
    here.answers = {moved(), {}};
    CHECK_FALSE(here.router.reset("workers", {{format::topic_id{}, 0, 5, -1, {}}}));
    REQUIRE(here.calls.size() == 2);
    CHECK(asked::epoch_in(here.calls[0]) == 1);
    CHECK(asked::epoch_in(here.calls[1]) == 2);

    here.answers = {moved(), {errc::group_id_not_found, "it has been done"}};
    CHECK_FALSE(here.router.remove("workers"));
    here.answers = {{errc::group_id_not_found, "there is none"}};
    CHECK(here.router.remove("workers").code == errc::group_id_not_found);
    here.answers = {{errc::illegal_generation, "it has members"}};
    CHECK(here.router.commit("workers", 0, {{format::topic_id{}, 0, 5, -1, {}}}).code == errc::illegal_generation);
}

TEST_CASE("group_router commits in several calls what no datagram may hold", "[broker][group][router]") {
    asked here;
    std::vector<committed_position> positions;
    for (std::int32_t number = 0; number < 3'000; ++number) {
        positions.push_back({format::topic_id{}, number, number, -1, number % 10 == 0 ? std::string(4'096, 'm') : std::string{}});
    }
    for (const group::member_id member : {group::member_id{0}, group::member_id{7}}) {
        here.calls.clear();
        CHECK_FALSE(here.router.commit("workers", member, positions));
        std::int32_t next = 0;
        for (const std::vector<std::byte>& call : here.calls) {
            CHECK(call.size() < 40 * kib);
            byte_reader from{call};
            CHECK(from.take<group_call>() == group_call::commit);
            static_cast<void>(from.take_text());
            CHECK(from.take<std::uint64_t>() == member);
            for (const committed_position& one : group_codec::take_positions(from)) {
                REQUIRE(one.partition == next++);
            }
        }
        CHECK(next == 3'000);
        CHECK(here.calls.size() > 30);
    }
}

}  // namespace broker_group_router_test
