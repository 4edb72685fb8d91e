#include <brook/replication/replica.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "replication/desk.hpp"
#include "support/catch.hpp"

namespace replication_replica_edge_test {

using namespace brook;
using namespace brook::replication;
using namespace brook::test;
using namespace std::chrono_literals;

namespace {

/// What broker `voter` says to the latest question for its vote.
message vote_of(const desk& one, std::int32_t voter, bool is_pre_vote) {
    message answer;
    answer.kind = message_kind::vote_answer;
    answer.is_pre_vote = is_pre_vote;
    answer.is_granted = true;
    for (const desk::letter& letter : one.letters) {
        if (letter.said.kind == message_kind::vote && letter.said.is_pre_vote == is_pre_vote && letter.to == voter) {
            answer.epoch = letter.said.epoch;
            answer.session = letter.said.session;
            answer.number = letter.said.number;
        }
    }
    return answer;
}

/// Asks for votes, and has got none but its own.
desk prospective(desk_found found = {}) {
    desk one{1, std::move(found)};
    one.be_elected({});
    REQUIRE(one.machine.role() == role::prospective);
    return one;
}

desk candidate(desk_found found = {}) {
    desk one = prospective(std::move(found));
    one.hear(2, vote_of(one, 2, true));
    REQUIRE(one.machine.role() == role::candidate);
    return one;
}

message end_of_epoch(std::uint32_t epoch, std::int32_t successor) {
    message said;
    said.kind = message_kind::end_epoch;
    said.epoch = epoch;
    said.leader = successor;
    return said;
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What it wants done, of which nothing is.
std::vector<action::what> wanted(desk& one) {
    std::vector<action::what> kinds;
    for (const action& each : one.machine.take_actions()) {
        kinds.push_back(each.kind);
    }
    return kinds;
}

}  // namespace

// ---- leading ----

TEST_CASE("a leader that has not opened its epoch takes nothing, commits nothing and hands nothing over", "[replication][replica]") {
    desk one = candidate({.saved = voted(1, no_node), .log = records({{3, 1}})});
    one.machine.receive(2, vote_of(one, 2, false), one.now);  // what it wants is not done yet
    REQUIRE(one.machine.is_leader());
    CHECK_FALSE(one.machine.accepts_appends());
    CHECK_FALSE(one.machine.is_caught_up());
    CHECK(says(one.machine.why_no_transfer(2), "only just"));
    CHECK(one.machine.change_voters({1, 2}, one.now) == "it does not lead");
    one.machine.receive(2, fetch_of(one.machine.epoch(), 1, 3, 1), one.now);
    CHECK(one.machine.high_watermark() == 0);
    CHECK_FALSE(one.machine.transfer(2, one.now));
    one.carry_out();  // it opens its epoch
    CHECK(one.machine.accepts_appends());
    CHECK_FALSE(one.machine.is_caught_up());
    one.hear(2, fetch_of(one.machine.epoch(), one.machine.epoch(), 4, 2));
    CHECK(one.machine.is_caught_up());
}

TEST_CASE("why the lead is not handed over is said in words", "[replication][replica]") {
    desk lost{1};
    CHECK(says(lost.machine.why_no_transfer(2), "nobody is known to"));
    desk following{2};
    static_cast<void>(followed(following, 1, 4));
    CHECK(says(following.machine.why_no_transfer(3), "broker 1 does"));
    desk one = leader_of({1, 2, 3}, 1);
    CHECK(says(one.machine.why_no_transfer(1), "leads it already"));
    CHECK(says(one.machine.why_no_transfer(9), "none of its replicas"));
    CHECK(says(one.machine.why_no_transfer(3), "does not follow"));
    message doubted = fetch_of(1, 1, 2, 1);
    doubted.is_suspect = true;
    one.hear(2, doubted);
    CHECK(says(one.machine.why_no_transfer(2), "has not caught up"));
    for (const std::int32_t to : {1, 2, 3, 9}) {
        CHECK_FALSE(one.machine.transfer(to, one.now));
    }
    one.hear(3, fetch_of(1, 1, 1, 1));
    CHECK(one.machine.why_no_transfer(3).empty());
    CHECK(one.machine.transfer(3, one.now));
    CHECK(says(one.machine.why_no_transfer(2), "being handed to broker 3"));
}

TEST_CASE("voters are changed by who leads, one at a time, and to those that have caught up", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    REQUIRE(one.machine.knows_high_watermark());
    desk other{2};
    CHECK(other.machine.change_voters({1, 2}, other.now) == "it does not lead");
    std::vector<std::int32_t> many(voter_set::most + 1);
    for (std::size_t i = 0; i < many.size(); ++i) {
        many[i] = static_cast<std::int32_t>(i);
    }
    CHECK(one.machine.change_voters(many, one.now) == "these are too many");
    const std::vector<std::int32_t> with{1, 2, 3, 9};
    CHECK(one.machine.change_voters(with, one.now) == "broker 9 has not caught up");  // nobody has heard of it
    one.hear(9, fetch_of(1, 1, 1, 0, 0));                                              // it asks what it cannot have asked
    CHECK(one.machine.change_voters(with, one.now) == "broker 9 has not caught up");
    message behind = fetch_of(1, 0, 0, 1);
    one.hear(9, behind);
    CHECK(one.machine.change_voters(with, one.now) == "broker 9 has not caught up");
    message doubted = fetch_of(1, 1, 1, 2);
    doubted.is_suspect = true;
    one.hear(9, doubted);
    CHECK(one.machine.change_voters(with, one.now) == "broker 9 has not caught up");
    one.hear(9, fetch_of(1, 1, 1, 3));
    CHECK(one.machine.change_voters(with, one.now + 1min) == "broker 9 has not caught up");  // it was, a minute ago
    one.machine.receive(2, fetch_of(1, 1, 0, 2), one.now);  // another thing that is not done yet
    CHECK(one.machine.change_voters(with, one.now).empty());
    CHECK(one.machine.change_voters(with, one.now) == "another change is on its way");

    desk alone{1, {.saved = voted(0, no_node, false, {1})}};
    alone.pass(10s);
    REQUIRE(alone.machine.knows_high_watermark());
    CHECK(alone.machine.change_voters({}, alone.now) == "one may come or go at a time");
}

TEST_CASE("who is voted out leads until that is committed, whatever is committed in front of it", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    one.append();
    REQUIRE(one.machine.change_voters({2, 3}, one.now).empty());
    one.carry_out();
    REQUIRE(one.end() == 3);
    one.hear(2, fetch_of(1, 1, 2, 2));
    one.hear(3, fetch_of(1, 1, 2, 1));
    CHECK(one.machine.high_watermark() == 2);
    CHECK(one.machine.is_leader());
    one.hear(2, fetch_of(1, 1, 3, 3));
    one.hear(3, fetch_of(1, 1, 3, 2));
    CHECK_FALSE(one.machine.is_leader());
}

TEST_CASE("what those hold that remember nothing counts where a leader's epoch was to be later than any", "[replication][replica]") {
    desk one{1, {.saved = voted(0, no_node, true), .log = {}}, 1, false};
    one.be_elected({2, 3}, true, true);
    REQUIRE(one.machine.is_leader());
    REQUIRE(is_lossy_epoch(one.machine.epoch()));
    message blank = fetch_of(one.machine.epoch(), one.machine.epoch(), one.end(), 1);
    blank.is_suspect = true;
    blank.is_blank = true;
    one.hear(2, blank);
    CHECK(one.machine.high_watermark() == one.end());
}

TEST_CASE("who begins anew is told no voters where those of the log's start are not known any more", "[replication][replica]") {
    desk_found found{.saved = {1, no_node, false, false, {{8, 1, {1, 2, 3}}, {9, 1, {1, 2, 3}}}}, .log = records({{10, 1}}), .high_watermark = 10, .start = 3};
    desk one{1, found};
    one.be_elected({2});
    REQUIRE(one.machine.is_leader());
    one.letters.clear();
    one.hear(3, fetch_of(one.machine.epoch(), 1, 1, 1));
    const auto answers = one.take(message_kind::fetch_answer);
    REQUIRE(answers.size() == 1);
    CHECK(answers.front().said.outcome == fetch_outcome::below_start);
    CHECK(answers.front().said.frames.empty());
}

TEST_CASE("a leader goes where somebody knows of a later epoch, and stays where nobody can have one of its own", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);
    SECTION("a fetch of a later one") {
        one.hear(3, fetch_of(9, 1, 2, 1));
        CHECK(one.machine.role() == role::follower);
        CHECK(one.machine.epoch() == 9);
        const auto answers = one.take(message_kind::fetch_answer);
        REQUIRE(answers.size() == 1);
        CHECK(answers.front().said.outcome == fetch_outcome::not_leader);
    }
    SECTION("a voter leads in its epoch, too: it stops") {
        one.hear(3, leads(1));
        CHECK(one.machine.role() == role::failed);
        CHECK(one.machine.take_reports().size() == 1);
    }
    SECTION("somebody says so whom nobody has elected") {
        one.hear(9, leads(1));
        CHECK(one.machine.is_leader());
    }
    SECTION("somebody says that its epoch is over") {
        one.hear(3, end_of_epoch(1, 3));
        CHECK(one.machine.is_leader());
    }
    SECTION("somebody sends it records") {
        message question = fetch_of(1, 1, 2, 1);
        message said = answered(question, fetch_outcome::records);
        said.fetch_answer.high_watermark = 2;
        one.hear(3, said);
        CHECK(one.machine.is_leader());
        CHECK(one.machine.high_watermark() == 0);
        CHECK(one.letters.empty());
    }
    SECTION("its own voice") {
        one.hear(1, leads(7));
        one.hear(1, vote_for(7, 7, 7));
        CHECK(one.machine.is_leader());
        CHECK(one.machine.epoch() == 1);
        CHECK(one.letters.empty());
    }
}

// ---- elections ----

TEST_CASE("a vote is for the epoch that it is asked for, and of nobody who asks for votes in it", "[replication][replica]") {
    SECTION("not for an earlier one") {
        desk one{1, {.saved = voted(5, no_node)}};
        one.hear(2, vote_for(4, 9, 9));
        CHECK_FALSE(one.letters.back().said.is_granted);
    }
    SECTION("not of a candidate, whose vote is its own") {
        desk one = candidate();
        one.hear(3, vote_for(one.machine.epoch(), 9, 9));
        CHECK_FALSE(one.letters.back().said.is_granted);
        CHECK(one.machine.role() == role::candidate);
    }
    SECTION("of one that only asks whether it would be elected, which is over then") {
        desk one = prospective({.saved = voted(5, no_node)});
        one.hear(3, vote_for(5, 9, 9));
        CHECK(one.letters.back().said.is_granted);
        CHECK(one.machine.role() == role::follower);
        CHECK(one.disk.voted_for == 3);
    }
}

TEST_CASE("an operator's word stands above voters that a suspect has heard of, and not above its log", "[replication][replica]") {
    ballot saved = voted(3, no_node, true);
    saved.voters.push_back({9, 3, {1, 2}});  // its log does not go as far
    desk one{1, {.saved = saved, .log = records({{4, 2}}), .high_watermark = 10}};
    const std::uint32_t forced = next_lossy_epoch(3, 2);
    message asked = vote_for(forced, 2, 4);
    one.hear(2, asked);
    CHECK_FALSE(one.letters.back().said.is_granted);
    asked.is_transfer = true;
    SECTION("it has all that this one has") {
        one.hear(2, asked);
        CHECK(one.letters.back().said.is_granted);
    }
    SECTION("it has less") {
        asked.vote.end = 3;
        one.hear(2, asked);
        CHECK_FALSE(one.letters.back().said.is_granted);
    }
    SECTION("it has less, and knows of the voters") {
        asked.is_transfer = false;
        asked.vote.end = 3;
        asked.vote.voters_epoch = 3;
        asked.vote.voters_end = 10;
        one.hear(2, asked);
        CHECK_FALSE(one.letters.back().said.is_granted);
    }
}

TEST_CASE("answers to an election that are none of it change nothing, but for a later epoch", "[replication][replica]") {
    SECTION("a vote in a later epoch ends it") {
        desk one = candidate();
        message later = vote_of(one, 2, false);
        later.epoch = 9;
        one.hear(2, later);
        CHECK(one.machine.role() == role::follower);
        CHECK(one.machine.epoch() == 9);
    }
    SECTION("who would vote is in no later one") {
        desk one = prospective({.saved = voted(3, no_node)});
        message later = vote_of(one, 2, true);
        later.epoch = 9;
        one.hear(2, later);
        CHECK(one.machine.epoch() == 4);
        CHECK(one.machine.role() == role::candidate);
    }
    SECTION("a vote of an earlier one") {
        desk one = candidate({.saved = voted(3, no_node)});
        message earlier = vote_of(one, 2, false);
        earlier.epoch = 3;
        one.hear(2, earlier);
        CHECK(one.machine.role() == role::candidate);
    }
    SECTION("of those who have no vote: they are witnesses at most, each once") {
        auto options = desk::options_of(1, 1, 1, false);
        options.peers = {1, 2, 3, 9};
        desk one{options, {}};
        one.be_elected({});
        message witness = vote_of(one, 2, true);
        one.hear(9, witness);
        one.hear(9, witness);
        CHECK(one.machine.role() == role::prospective);
        one.hear(2, witness);
        REQUIRE(one.machine.role() == role::candidate);
        one.hear(9, vote_of(one, 2, false));
        CHECK(one.machine.role() == role::candidate);
    }
    SECTION("who has become a suspect meanwhile: it takes another epoch") {
        desk one = candidate({.saved = voted(3, no_node), .log = records({{4, 3}})});
        for (const std::int32_t voter : {2, 3}) {
            message doubted = vote_of(one, voter, false);
            doubted.is_suspect = true;
            one.hear(voter, doubted);
        }
        CHECK(one.machine.role() == role::candidate);
        CHECK_FALSE(is_lossy_epoch(one.machine.epoch()));
    }
}

TEST_CASE("who is named by a leader that goes campaigns at once, if it may lead and remembers", "[replication][replica]") {
    SECTION("also where it has not heard of that leader") {
        desk one{2, {.saved = voted(1, 1)}};
        one.hear(1, end_of_epoch(1, 2));
        CHECK(one.machine.role() == role::candidate);
    }
    SECTION("not by another one than it follows") {
        desk one{2};
        static_cast<void>(followed(one, 1, 4));
        one.hear(3, end_of_epoch(4, 2));
        CHECK(one.machine.role() == role::follower);
        CHECK(one.machine.leader() == 1);
    }
    SECTION("not a suspect") {
        desk one{2, {.saved = voted(1, 1, true), .log = records({{1, 1}})}};
        one.hear(1, end_of_epoch(1, 2));
        CHECK(one.machine.role() == role::follower);
    }
    SECTION("not a learner") {
        desk one{9, {.saved = voted(1, 1)}};
        one.hear(1, end_of_epoch(1, 9));
        CHECK(one.machine.role() == role::follower);
    }
}

TEST_CASE("a learner that is forced to lead does so by who answers, or is a learner again", "[replication][replica]") {
    desk one{9, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    CHECK_FALSE(one.machine.is_caught_up());
    one.machine.force_unclean(one.now);
    one.carry_out();
    REQUIRE(one.machine.role() == role::candidate);
    REQUIRE(one.machine.next_due());
    const bool is_answered = GENERATE(false, true);
    if (is_answered) {
        one.hear(2, vote_of(one, 2, false));
    }
    one.letters.clear();
    for (int i = 0; i < 40 && one.machine.role() == role::candidate; ++i) {
        one.pass(50ms);
    }
    CHECK(one.machine.is_leader() == is_answered);
    if (!is_answered) {
        one.pass(10s);
        CHECK(one.machine.role() == role::follower);
        CHECK(one.take(message_kind::vote).empty());
    }
}

TEST_CASE("a force that could not begin a line of epochs is over with the next election", "[replication][replica]") {
    desk one{64, {.saved = voted(3, no_node, false, {64, 2, 3}), .log = records({{2, 3}})}};
    one.machine.force_unclean(one.now);
    one.pass(10s);
    CHECK(one.machine.role() == role::prospective);
    CHECK(one.machine.epoch() == 3);
}

TEST_CASE("who leads, or has stopped, is not forced to lead", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);
    one.machine.force_unclean(one.now);
    CHECK(one.machine.is_leader());
    CHECK(one.machine.epoch() == 1);
    one.machine.fail();
    static_cast<void>(one.machine.take_actions());
    one.machine.force_unclean(one.now);
    one.machine.run_due(one.now + 1min);
    CHECK(one.machine.role() == role::failed);
    CHECK(one.machine.epoch() == 1);
    CHECK(one.machine.take_actions().empty());
}

TEST_CASE("an election timeout of nothing at all is none to divide by", "[replication][replica]") {
    auto options = desk::options_of(1, 1, 1, false);
    options.election_timeout = 0ns;
    desk one{options, {}};
    one.machine.run_due(one.now);
    CHECK(one.machine.role() == role::prospective);
}

TEST_CASE("epoch 0 begins no line", "[replication][replica]") {
    const volatile std::uint32_t epoch = 0;  // not as the compiler counts
    CHECK_FALSE(is_lossy_epoch(epoch));
    const volatile std::uint32_t first = 1u << line_bits;
    CHECK(is_lossy_epoch(first));
}

// ---- following ----

TEST_CASE("who says that it leads in an epoch that has passed is told of the later one", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 5));
    one.letters.clear();
    one.hear(3, leads(4));
    CHECK(one.machine.leader() == 1);
    REQUIRE(one.letters.size() == 1);
    CHECK(one.letters.front().to == 3);
    CHECK(one.letters.front().said.outcome == fetch_outcome::not_leader);
    CHECK(one.letters.front().said.epoch == 5);
}

TEST_CASE("a follower has caught up when it has what its leader has told of", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
    CHECK_FALSE(one.machine.is_caught_up());
    const message question = followed(one, 1, 1);
    CHECK_FALSE(one.machine.is_caught_up());
    message said = answered(question, fetch_outcome::records);
    said.fetch_answer.high_watermark = 3;
    one.hear(1, said);
    CHECK(one.machine.is_caught_up());
}

TEST_CASE("nothing is asked again before it is time", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 4));
    one.machine.run_due(one.now);
    CHECK(one.machine.take_actions().empty());
}

TEST_CASE("records that were copied for another leader, or in another epoch, are no news", "[replication][replica]") {
    message copy = answered(fetch_of(1, 1, 3, 1), fetch_outcome::records);
    copy.fetch_answer.high_watermark = 3;
    SECTION("of who leads itself") {
        desk one = leader_of({1, 2, 3}, 2);
        copy.epoch = 1;
        one.machine.copied(copy, true, one.now);
        CHECK(one.machine.high_watermark() == 0);
        CHECK(wanted(one).empty());
    }
    SECTION("of who has no leader any more") {
        desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
        one.machine.copied(copy, true, one.now);
        CHECK(one.machine.high_watermark() == 0);
        CHECK(wanted(one).empty());
    }
    SECTION("of who follows in a later epoch") {
        desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
        static_cast<void>(followed(one, 3, 2));
        one.machine.copied(copy, true, one.now);
        CHECK(one.machine.high_watermark() == 0);
        CHECK(wanted(one).empty());
    }
}

TEST_CASE("what has come to the disk is told once, and not while records are copied", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}}), .flushed = 1}, 1, true};
    const message question = followed(one, 1, 1);
    SECTION("a question is open: it is asked anew") {
        one.machine.flushed(3, one.now);
        CHECK(wanted(one) == std::vector{action::what::send});
        one.machine.flushed(9, one.now);  // of what has been cut since: there is no more
        CHECK(wanted(one).empty());
    }
    SECTION("records are being copied") {
        const std::vector<desk_record> next = records({{1, 1}});
        message said = answered(question, fetch_outcome::records);
        said.frames = std::as_bytes(std::span{next});
        one.machine.receive(1, said, one.now);
        CHECK(wanted(one) == std::vector{action::what::copy});
        one.machine.flushed(3, one.now);
        CHECK(wanted(one).empty());
        SECTION("and come twice") {
            one.machine.receive(1, said, one.now);
            CHECK(wanted(one).empty());
        }
    }
}

TEST_CASE("a candidate follows nobody by hearsay", "[replication][replica]") {
    desk one = candidate();
    message said = answered(fetch_of(one.machine.epoch(), 0, 0, 1), fetch_outcome::not_leader);
    said.leader = 3;
    one.hear(2, said);
    CHECK(one.machine.role() == role::candidate);
    CHECK(one.machine.leader() == no_node);
}

TEST_CASE("an answer of one that it does not follow makes it follow, if that can lead", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
    message said = answered(fetch_of(1, 1, 3, 0), fetch_outcome::records);
    said.fetch_answer.high_watermark = 3;
    SECTION("it has no leader") {
        one.hear(1, said);
        CHECK(one.machine.leader() == 1);
    }
    SECTION("it has another one: nobody has elected this") {
        static_cast<void>(followed(one, 1, 1));
        one.hear(9, said);
        CHECK(one.machine.leader() == 1);
        CHECK(one.machine.high_watermark() == 0);
    }
}

TEST_CASE("records that do not begin where the log ends are not copied, and it asks on", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
    const message question = followed(one, 1, 1);
    const std::vector<desk_record> next = records({{1, 1}});
    message said = answered(question, fetch_outcome::records);
    said.fetch_answer.end = 2;
    said.frames = std::as_bytes(std::span{next});
    one.machine.receive(1, said, one.now);
    CHECK(wanted(one) == std::vector{action::what::send});
}

TEST_CASE("a leader that is wrong about a follower's history is followed no further", "[replication][replica]") {
    desk_found found{.saved = voted(2, 1), .log = records({{3, 2}}), .high_watermark = 8, .start = 5};
    SECTION("it does not say from where on") {
        desk one{2, found};
        message said = answered(followed(one, 1, 2), fetch_outcome::diverging);
        said.last_epoch = 2;
        said.fetch_answer.end = 8;
        one.hear(1, said);
        CHECK(one.machine.role() == role::failed);
        CHECK(one.machine.take_reports().size() == 1);
        CHECK(one.end() == 8);
    }
    SECTION("it has let go of what is committed, and begins in front of it") {
        desk one{2, found};
        message said = answered(followed(one, 1, 2), fetch_outcome::below_start);
        said.fetch_answer.log_start = 7;
        one.hear(1, said);
        CHECK(one.machine.role() == role::failed);
        CHECK(one.machine.take_reports().size() == 1);
        CHECK(one.log.size() == 3);
    }
    SECTION("it leads nevertheless, and the log has nothing of what both have: it begins anew") {
        desk one{2, found};
        message said = answered(followed(one, 1, next_lossy_epoch(2, 1)), fetch_outcome::diverging);
        said.last_epoch = 1;
        said.fetch_answer.end = 2;
        said.fetch_answer.log_start = 1;
        one.hear(1, said);
        CHECK(one.machine.role() == role::follower);
        CHECK(one.did.back() != "cut");
        CHECK(std::find(one.did.begin(), one.did.end(), "anew") != one.did.end());
        CHECK(one.depth == cut_depth::committed);
        CHECK(one.start == 1);
        CHECK(one.log.empty());
        CHECK(one.machine.is_suspect());
    }
}

TEST_CASE("who leads elsewhere, or nowhere, is believed where it was asked", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1)}};
    const message question = followed(one, 1, 1);
    message said = answered(question, fetch_outcome::not_leader);
    SECTION("the leader still says that it leads") {
        said.leader = 1;
        one.hear(1, said);
        CHECK(one.machine.leader() == 1);
    }
    SECTION("it has given up, and knows of nobody") {
        one.hear(1, said);
        CHECK(one.machine.leader() == no_node);
    }
    SECTION("it has given up, and takes this one for the leader") {
        said.leader = 2;
        one.hear(1, said);
        CHECK(one.machine.leader() == no_node);
    }
    SECTION("somebody else says so") {
        said.leader = 3;
        one.hear(3, said);
        CHECK(one.machine.leader() == 1);
    }
    SECTION("a later epoch has begun") {
        said.epoch = 5;
        said.leader = 3;
        one.hear(1, said);
        CHECK(one.machine.epoch() == 5);
        CHECK(one.machine.leader() == 3);
    }
    SECTION("an answer of a later epoch's leader") {
        said.outcome = fetch_outcome::records;
        said.epoch = 5;
        one.hear(3, said);
        CHECK(one.machine.epoch() == 5);
        CHECK(one.machine.leader() == 3);
    }
    SECTION("an answer to a log without a record") {
        said.outcome = fetch_outcome::records;
        said.fetch_answer.high_watermark = 3;
        one.hear(1, said);
        CHECK(one.machine.high_watermark() == 0);
        CHECK_FALSE(one.machine.is_caught_up());
    }
}

TEST_CASE("records that were damaged on their way are not asked for again at once", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
    message said = answered(followed(one, 1, 1), fetch_outcome::records);
    one.machine.copied(said, false, one.now);
    CHECK(wanted(one).empty());
    REQUIRE(one.machine.next_due());
    CHECK(*one.machine.next_due() > one.now);
}

TEST_CASE("what is due is what is next, and nothing before", "[replication][replica]") {
    SECTION("who is preferred asks for votes first") {
        auto options = desk::options_of(1, 1, 1, false);
        options.is_preferred = true;
        const desk preferred{options, {}};
        CHECK(*preferred.machine.next_due() - preferred.now < options.election_timeout);
    }
    SECTION("a learner that waits for an answer asks again") {
        desk one{9};
        static_cast<void>(followed(one, 1, 4));
        one.letters.clear();
        REQUIRE(one.machine.next_due());
        one.pass(*one.machine.next_due() - one.now);
        CHECK(one.take(message_kind::fetch).size() == 1);
    }
    SECTION("a learner without a leader does not ask around at once") {
        desk one{9};
        one.pass(10ms);
        static_cast<void>(one.machine.take_actions());
        one.machine.run_due(one.now);
        CHECK(one.machine.take_actions().empty());
    }
    SECTION("a leader answers who has waited long enough, and tells of itself whom it does not hear") {
        desk one = leader_of({1, 2, 3}, 1);
        message asked = fetch_of(1, 1, 2, 1);
        one.hear(2, asked);
        asked = fetch_of(1, 1, 2, 2);
        asked.fetch.high_watermark = 2;
        one.hear(2, asked);
        one.hear(9, fetch_of(1, 1, 2, 1));  // a learner
        one.letters.clear();
        one.pass(one.machine.options().election_timeout / 4);
        const auto said = std::exchange(one.letters, {});
        const auto count = [&](std::int32_t to, message_kind kind) {
            return std::count_if(said.begin(), said.end(), [&](const desk::letter& letter) { return letter.to == to && letter.said.kind == kind; });
        };
        CHECK(count(2, message_kind::fetch_answer) == 1);
        CHECK(count(3, message_kind::begin_epoch) > 0);
        CHECK(count(9, message_kind::begin_epoch) == 0);
    }
}

TEST_CASE("a leader that goes refuses whose fetches it has kept, and nobody else", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);
    one.hear(9, fetch_of(1, 1, 2, 7, 4));  // a learner: no vote is asked of it, and nobody tells it who leads
    one.letters.clear();
    message begun;
    begun.kind = message_kind::begin_epoch;
    begun.epoch = 2;
    one.hear(3, begun);
    REQUIRE(one.machine.leader() == 3);
    const auto said = one.take(message_kind::fetch_answer);
    REQUIRE(said.size() == 1);
    CHECK(said[0].to == 9);
    CHECK(said[0].said.outcome == fetch_outcome::not_leader);
    CHECK(said[0].said.epoch == 2);
    CHECK(said[0].said.session == 4);
    CHECK(said[0].said.number == 7);
}

TEST_CASE("a leader that has told others that it leads no more is asked again, however slow it was", "[replication][replica]") {
    desk one{9};
    static_cast<void>(followed(one, 1, 4));
    one.pass(10s);  // nothing comes: it waits longer each time
    one.letters.clear();
    one.pass(1ms);
    REQUIRE(one.take(message_kind::fetch).empty());
    const auto eighth = one.machine.options().election_timeout / 8;
    const auto due = *one.machine.next_due();
    one.machine.doubt_leader(2, one.now);  // another one
    CHECK(*one.machine.next_due() == due);
    one.machine.doubt_leader(1, one.now);
    CHECK(*one.machine.next_due() - one.now <= eighth);
    one.pass(*one.machine.next_due() - one.now);
    CHECK(one.take(message_kind::fetch).size() == 1);
    one.machine.doubt_leader(1, one.now);  // again, at once: it has been asked just now
    one.pass(0ms);
    CHECK(one.take(message_kind::fetch).empty());
    one.pass(eighth);
    CHECK(one.take(message_kind::fetch).size() == 1);
}

TEST_CASE("who has no vote asks others when its leader is silent, and follows whom they follow", "[replication][replica]") {
    desk one{9};
    const message asked = followed(one, 1, 4);
    one.letters.clear();
    const auto timeout = one.machine.options().election_timeout;
    const auto asked_around = [&] {
        std::vector<desk::letter> others = one.take(message_kind::fetch);
        std::erase_if(others, [](const desk::letter& letter) { return letter.to == 1; });
        return others;
    };
    const auto begun = one.now;
    while (*one.machine.next_due() < begun + timeout) {
        one.pass(*one.machine.next_due() - one.now);
        CHECK(asked_around().empty());
    }
    one.pass(begun + timeout - one.now);
    const auto first = asked_around();
    REQUIRE(first.size() == 1);
    CHECK(first[0].said.epoch == 4);
    message said = answered(first[0].said, fetch_outcome::not_leader);
    said.leader = 1;
    one.hear(first[0].to, said);  // knows of no other
    CHECK(one.machine.leader() == 1);
    one.pass(timeout);
    const auto second = asked_around();
    REQUIRE(!second.empty());
    CHECK(second[0].to != first[0].to);

    SECTION("another leads") {
        said.epoch = 6;
        said.leader = 2;
        one.hear(second[0].to, said);
        CHECK(one.machine.leader() == 2);
        const auto now_asked = one.take(message_kind::fetch);
        REQUIRE(now_asked.size() == 1);
        CHECK(now_asked[0].to == 2);
    }
    SECTION("who is asked leads") {
        message gives = answered(second[0].said, fetch_outcome::records);
        gives.epoch = 6;
        one.hear(second[0].to, gives);
        CHECK(one.machine.leader() == second[0].to);
    }
    SECTION("the leader was slow: what it answers counts") {
        one.pass(timeout / 2);
        const auto again = asked_around();
        REQUIRE(again.size() == 1);
        message late = answered(asked, fetch_outcome::records);
        late.number = again[0].said.number;  // that of the latest question, which was the leader's
        one.hear(1, late);
        CHECK(one.machine.leader() == 1);
        REQUIRE(one.take(message_kind::fetch).size() == 1);  // the next one
        one.pass(timeout / 4);
        CHECK(asked_around().empty());
    }
}

TEST_CASE("a voter that waits for its leader asks nobody else before it asks for votes", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 4));
    one.letters.clear();
    const auto begun = one.now;
    while (one.machine.leader() == 1) {
        for (const desk::letter& letter : one.take(message_kind::fetch)) {
            CHECK(letter.to == 1);
        }
        one.pass(1ms);
    }
    CHECK(one.now - begun > one.machine.options().election_timeout);
    CHECK(one.machine.role() == role::prospective);
}

TEST_CASE("a leader whose records are just being copied is not doubted", "[replication][replica]") {
    desk one{9};
    message said = answered(followed(one, 1, 4), fetch_outcome::records);
    const desk::record next{4, 0};
    said.frames = std::as_bytes(std::span{&next, 1});
    one.machine.receive(1, said, one.now);
    REQUIRE(wanted(one) == std::vector{action::what::copy});
    const auto due = one.machine.next_due();
    one.machine.doubt_leader(1, one.now);
    CHECK(one.machine.next_due() == due);
}

TEST_CASE("what is not asked of who does not lead is not done", "[replication][replica]") {
    desk one{2, {.saved = voted(1, 1), .log = records({{3, 1}}), .flushed = 1}, 1, true};
    CHECK_FALSE(one.machine.knows_high_watermark());
    one.machine.resign(one.now);
    CHECK(one.machine.take_actions().empty());
    one.machine.flushed(1, one.now);
    one.machine.flushed(2, one.now);
    CHECK(one.machine.take_actions().empty());
    one.machine.fail();
    CHECK(one.machine.take_actions().empty());
    desk other{2};
    static_cast<void>(followed(other, 1, 4));
    other.machine.flushed(5, other.now);  // its records need not be on the disk
    CHECK(other.machine.take_actions().empty());
}

TEST_CASE("a pre-vote is for an epoch that may come, and a leader's farewell of the one that is", "[replication][replica]") {
    desk one{1, {.saved = voted(5, no_node)}};
    one.hear(2, vote_for(4, 9, 9, true));
    CHECK_FALSE(one.letters.back().said.is_granted);
    desk other{2};
    static_cast<void>(followed(other, 1, 4));
    other.hear(1, end_of_epoch(3, 2));
    CHECK(other.machine.leader() == 1);
    other.hear(1, end_of_epoch(4, 3));  // another one is to come
    CHECK(other.machine.leader() == no_node);
    CHECK(other.machine.role() == role::follower);
}

TEST_CASE("a leader's own suspicion does not end before its disk has what is committed", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node, true), .log = records({{4, 3}}), .flushed = 4}, 1, true};
    one.pass(5s);
    one.be_elected({2, 3}, true);
    REQUIRE(one.machine.is_leader());
    const std::uint32_t epoch = one.machine.epoch();
    for (const std::int32_t from : {2, 3}) {
        one.hear(from, fetch_of(epoch, epoch, one.end(), 1));
    }
    REQUIRE(one.machine.high_watermark() == one.end());
    CHECK(one.machine.is_suspect());
    one.machine.flushed(one.end(), one.now);
    one.carry_out();
    CHECK_FALSE(one.machine.is_suspect());
}

// ---- voters ----

TEST_CASE("a vote does not count any more of one that is known to have none", "[replication][replica]") {
    const voter_history voters{{{-1, 0, {1, 2, 3}}, {4, 2, {1, 2}}}};
    vote_count votes;
    votes.begin(voters, 0);
    CHECK(votes.electorate().size() == 3);
    CHECK(votes.add({1, true, true, false}));
    CHECK(votes.add({3, true, true, false}));
    votes.learn_committed({2, 5}, voters, 0);
    CHECK(votes.electorate().size() == 2);
    CHECK(votes.count(voters, {true, false}, agreement::of_all) == tally::none);
    CHECK(votes.add({2, true, true, false}));
    CHECK(votes.count(voters, {true, false}, agreement::of_all) == tally::lossy);
}

TEST_CASE("voters are remembered as long as somebody may need them, and no longer", "[replication][replica]") {
    const std::vector<std::int32_t> three{1, 2, 3};
    SECTION("one set is always known") {
        voter_history one{{{4, 1, three}}};
        CHECK_FALSE(one.pass(2, 3, 6));  // another leader's records stand there, and nothing else is known
        CHECK(one.sets().size() == 1);
    }
    SECTION("what was announced behind what has come instead") {
        voter_history one{{{-1, 0, three}, {7, 1, {1, 2}}}};
        CHECK(one.pass(1, 3, 6));
        CHECK(one.sets().size() == 1);
    }
    SECTION("those before the last that are committed") {
        voter_history one{{{-1, 0, three}, {4, 1, three}, {6, 1, three}}};
        one.forget_old(4);
        CHECK(one.sets().size() == 3);
        one.forget_old(5);
        CHECK(one.sets().size() == 2);
        CHECK(one.sets().front().at == 4);
    }
    SECTION("where a log begins anew") {
        voter_history one{{{-1, 0, three}, {4, 1, {1, 2}}, {9, 1, {1}}}};
        SECTION("those of there that are told") {
            one.begin_anew(6, voter_set{5, 1, {2, 3}});
            CHECK(one.sets() == std::vector<voter_set>{{5, 1, {2, 3}}});
        }
        SECTION("none that is told of what is behind") {
            one.begin_anew(6, voter_set{6, 1, {2, 3}});
            CHECK(one.sets().size() == 2);
            CHECK(one.latest().at == 4);
        }
        SECTION("one, where all are behind") {
            one.begin_anew(-5, std::nullopt);
            CHECK(one.sets().size() == 1);
        }
    }
}

}  // namespace replication_replica_edge_test
