#include <brook/broker/replica_actions.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/wire.hpp"

namespace broker_replica_actions_test {

using namespace brook;
using namespace brook::broker_room;
using namespace brook::test;
using namespace std::chrono_literals;
using replication::message;
using replication::message_kind;
using replication::role;
using replication::voter_set;

namespace {

struct silence final : transport {
    void start(receiver&) override {}
    void stop() noexcept override {}
    void send(int, bytes) noexcept override {}
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return 64 * kib; }
};

struct nobody final : replica_listener {
    void hosted(const hosted_partition&) override {}
    void progressed(hosted_partition&, bool, std::chrono::nanoseconds) override {}
    void was_cut(hosted_partition&) override {}
};

[[nodiscard]] storage::log_options replicated() {
    storage::log_options options{.segment_bytes = 64 * kib};
    options.is_replicated = true;
    return options;
}

[[nodiscard]] topic_handle topic_of(partition& files) {
    auto topic = std::make_shared<topic_state>();
    files.open();
    topic->partitions.push_back(std::move(files.log));
    return topic;
}

/// Broker 1's replica of a partition of brokers 1, 2 and 3, with a log for real.
struct hosted {
    explicit hosted(std::uint32_t epoch = 0) : home{{}, topic_of(files), options(), {epoch, replication::no_node, false, false, {{-1, 0, {1, 2, 3}}}}, now} {}

    [[nodiscard]] static replication::replica_options options() {
        replication::replica_options all;
        all.self = 1;
        return all;
    }

    /// What it wants done, as a host does it.
    void settle() {
        for (auto actions = home.machine.take_actions(); !actions.empty(); actions = home.machine.take_actions()) {
            saved = home.machine.ballot();
            for (replication::action& action : actions) {
                said.push_back(action.said);
                perform(action);
            }
        }
    }
    void perform(replication::action& action) {
        static_cast<void>(todo.perform(home, action, now, [&] {
            saved = home.machine.ballot();
            return true;
        }));
    }
    void hear(std::int32_t from, const message& told) {
        home.machine.receive(from, told, now);
        settle();
    }

    void follow(std::int32_t leader, std::uint32_t epoch) {
        message told;
        told.kind = message_kind::begin_epoch;
        told.epoch = epoch;
        hear(leader, told);
    }

    /// Broker 2 votes for it, in both rounds.
    void lead() {
        for (int i = 0; i < 100 && !home.machine.is_leader(); ++i) {
            now += 50ms;
            home.machine.run_due(now);
            settle();
            for (const message& asked : std::exchange(said, {})) {
                if (asked.kind == message_kind::vote) {
                    message vote = asked;
                    vote.kind = message_kind::vote_answer;
                    vote.is_granted = true;
                    vote.vote_answer = {};
                    hear(2, vote);
                }
            }
        }
        REQUIRE(home.machine.is_leader());
    }

    /// Broker 2 has all of it.
    void be_fetched() {
        message asked;
        asked.kind = message_kind::fetch;
        asked.epoch = asked.last_epoch = home.machine.epoch();
        asked.fetch.end = asked.fetch.held = home.machine.end();
        asked.session = 1;
        asked.number = ++fetches;
        hear(2, asked);
    }

    /// An answer to its latest question.
    [[nodiscard]] message answer(bytes frames = {}) const {
        message told;
        told.kind = message_kind::fetch_answer;
        told.epoch = home.machine.epoch();
        told.session = said.back().session;
        told.number = said.back().number;
        told.fetch_answer.end = said.back().fetch.end;
        told.frames = frames;
        return told;
    }

    /// What a problem that was reported says; empty: there was none.
    [[nodiscard]] std::string problem() {
        const auto told = out.take({}).problems;
        return told.empty() ? std::string{} : told.back().text;
    }

    std::chrono::nanoseconds now = 100s;
    partition files{replicated()};
    silence network;
    nobody listener;
    departures out{network};
    hosted_partition home;
    replica_actions todo{files.platform, 1, out, listener};
    replication::ballot saved;
    std::vector<message> said;
    std::uint64_t fetches = 0;
};

[[nodiscard]] frame_bytes naming(const std::vector<std::int32_t>& nodes, offset at, std::uint32_t epoch) {
    return wire_at(format::make_control(control_record::name_voters(nodes), 1), at, epoch);
}

}  // namespace

TEST_CASE("voters that a leader's record names are taken, and voters that cannot be are a damaged record", "[broker][replica_actions]") {
    using names = std::vector<std::int32_t>;
    names many(voter_set::most + 1);
    std::iota(many.begin(), many.end(), 1);
    const auto [nodes, is_possible] = GENERATE_COPY(Catch::Generators::table<names, bool>({
        {names{1, 2}, true},
        {names(many.begin() + 1, many.end()), true},
        {many, false},
        {names(5'000, 7), false},
        {names{1, 2, 2}, false},
        {names{1, -2}, false},
        {names{}, false},
    }));
    hosted one;
    one.follow(2, 3);
    one.hear(2, one.answer(naming(nodes, 0, 3)));
    CHECK(one.home.log.log_end_offset() == (is_possible ? 1 : 0));
    CHECK(one.home.machine.end() == one.home.log.log_end_offset());
    CHECK(one.home.machine.voters() == (is_possible ? nodes : names{1, 2, 3}));
    CHECK(one.saved.voters.size() == (is_possible ? 2u : 1u));
    CHECK((one.problem().find("names voters that cannot be") != std::string::npos) == !is_possible);
    CHECK(one.home.machine.role() == role::follower);  // another leader may have another record there
}

TEST_CASE("voters whose record finds no room are taken back, on the disk, too, and what was to follow is not done", "[broker][replica_actions]") {
    hosted one;
    one.lead();
    one.be_fetched();
    const bool is_full = GENERATE(true, false);
    if (is_full) {
        one.files.platform.limit_disk(0);
        for (failure why; !why;) {
            std::vector<std::byte> frame = wire_nth(one.home.machine.end());
            offset first = 0;
            why = one.home.append_own(frame, 1, first, one.now);
        }
        one.be_fetched();
    } else {
        one.home.log.close();
    }
    one.settle();
    static_cast<void>(one.problem());
    REQUIRE(one.home.machine.change_voters({1, 3}, one.now) == "");
    one.said.clear();
    std::vector<replication::action> actions = one.home.machine.take_actions();
    REQUIRE(actions.size() == 1);
    std::size_t voters_saved = 0;
    const bool goes_on = one.todo.perform(one.home, actions.front(), one.now, [&] {
        one.saved = one.home.machine.ballot();
        voters_saved = one.saved.voters.size();
        CHECK(one.home.machine.is_leader());  // nothing else is said before
        return true;
    });
    CHECK_FALSE(goes_on);
    CHECK(one.home.machine.role() == (is_full ? role::follower : role::failed));
    CHECK(voters_saved == 1);
    CHECK(one.home.machine.voters() == std::vector<std::int32_t>{1, 2, 3});
    CHECK_FALSE(one.problem().empty());
    one.settle();
    CHECK(std::any_of(one.said.begin(), one.said.end(), [](const message& told) { return told.kind == message_kind::end_epoch; }));
}

TEST_CASE("a log is cut below its high watermark only where its replica gives up what was committed", "[broker][replica_actions]") {
    hosted one;
    lead_range(one.home.log, 0, 10);
    one.home.log.set_high_watermark(5);
    const auto depth = GENERATE(replication::cut_depth::uncommitted, replication::cut_depth::committed);
    const bool is_allowed = depth == replication::cut_depth::committed;
    const bool begins_anew = GENERATE(false, true);
    replication::action wanted = begins_anew ? replication::action::begin_anew(3, depth) : replication::action::cut(3, depth);
    one.perform(wanted);
    CHECK(one.home.log.log_end_offset() == (is_allowed ? 3 : 10));
    if (!is_allowed) {  // else this machine, which has not been told of the records, takes the log for another
        CHECK(one.home.machine.role() == role::failed);
        CHECK_FALSE(one.problem().empty());
    }
}

TEST_CASE("a follower takes back voters whose record it cannot copy", "[broker][replica_actions]") {
    hosted one;
    one.follow(2, 3);
    frame_bytes intact = naming({1, 2}, 0, 3);
    const frame_bytes wrong = naming({1, 2}, 7, 3);  // does not follow
    intact.insert(intact.end(), wrong.begin(), wrong.end());
    one.hear(2, one.answer(intact));
    CHECK(one.home.log.log_end_offset() == 1);
    CHECK(one.home.machine.voters() == std::vector<std::int32_t>{1, 2});
    CHECK(one.saved.voters.size() == 2);
    CHECK(one.saved.voters.back().at == 0);
}

}  // namespace broker_replica_actions_test
