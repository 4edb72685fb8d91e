#include <brook/replication/replica.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "replication/desk.hpp"
#include "support/catch.hpp"

namespace replication_replica_test {

using namespace brook;
using namespace brook::replication;
using namespace brook::test;
using namespace std::chrono_literals;

/// What one was answered, when it asked for a vote or for records.
message answer_to(desk& one, std::int32_t from, const message& asked) {
    one.letters.clear();
    one.hear(from, asked);
    const message_kind wanted = asked.kind == message_kind::vote ? message_kind::vote_answer : message_kind::fetch_answer;
    for (const desk::letter& letter : one.letters) {
        if (letter.to == from && letter.said.kind == wanted) {
            return letter.said;
        }
    }
    return {};
}

bool grants(desk& one, std::int32_t from, const message& asked) { return answer_to(one, from, asked).is_granted; }

/// `from` does not vote for one whose election comes, and says where the record of the latest voters ends that it knows to be committed.
void told_of_committed(desk& one, std::int32_t from, const log_end& voters, bool is_blank) {
    for (int i = 0; i < 100 && one.machine.role() != role::prospective; ++i) {
        one.pass(50ms);
    }
    const message asked = one.take(message_kind::vote).back().said;
    message answer;
    answer.kind = message_kind::vote_answer;
    answer.is_pre_vote = true;
    answer.is_suspect = is_blank;
    answer.is_blank = is_blank;
    answer.epoch = one.machine.epoch();
    answer.session = asked.session;
    answer.number = asked.number;
    answer.vote_answer.voters_end = voters.end;
    answer.vote_answer.voters_epoch = voters.epoch;
    one.hear(from, answer);
}

// ---- votes (Raft, 5.2 and 5.4.1) ----

TEST_CASE("a replica votes once an epoch, also when it has started again in between", "[replication][replica]") {
    desk first{1, {.saved = voted(GENERATE(0u, 5u), no_node)}};
    CHECK(grants(first, 2, vote_for(5, 0, 0)));
    CHECK(grants(first, 2, vote_for(5, 0, 0)));  // it did not hear the answer
    CHECK_FALSE(grants(first, 3, vote_for(5, 0, 0)));
    desk again{1, {.saved = first.disk, .session = 2}};
    CHECK_FALSE(grants(again, 3, vote_for(5, 0, 0)));
    CHECK(grants(again, 2, vote_for(5, 0, 0)));
    CHECK(grants(again, 3, vote_for(6, 0, 0)));
}

TEST_CASE("a vote is saved before it is said", "[replication][replica]") {
    desk one{1};
    one.did.clear();
    one.hear(2, vote_for(5, 0, 0));
    REQUIRE(one.did.size() >= 2);
    CHECK(one.did.back() == "send");
    CHECK(std::count(one.did.begin(), one.did.end(), "send") == 1);
    CHECK(one.disk.epoch == 5);
    CHECK(one.disk.voted_for == 2);
}

TEST_CASE("a candidate saves its own vote before it asks for others", "[replication][replica]") {
    desk one{1};
    one.be_elected({});
    REQUIRE(one.machine.role() == role::prospective);
    one.did.clear();
    one.be_elected({2});
    const auto first_sent = std::find(one.did.begin(), one.did.end(), "send");
    CHECK(std::find(one.did.begin(), first_sent, "save") != first_sent);
    CHECK(one.disk.voted_for == 1);
    CHECK(one.disk.epoch == 1);
}

TEST_CASE("nobody gets a vote whose log has less, by the last record's epoch first and by length second (Raft, 5.4.1)", "[replication][replica]") {
    desk one{1, {.saved = voted(4, no_node), .log = records({{5, 2}, {5, 4}})}};  // 10 records, the last of epoch 4
    const bool is_pre_vote = GENERATE(false, true);
    const auto [epoch, end, is_given] = GENERATE(Catch::Generators::table<std::uint32_t, offset, bool>({{4, 10, true}, {4, 9, false}, {3, 100, false}, {5, 1, true}, {4, 11, true}}));
    CAPTURE(epoch, end, is_pre_vote);
    CHECK(grants(one, 2, vote_for(6, epoch, end, is_pre_vote)) == is_given);
}

TEST_CASE("who votes for a pre-vote has promised nothing, and enters no epoch (KIP-996)", "[replication][replica]") {
    desk one{1};
    one.did.clear();
    CHECK(grants(one, 2, vote_for(7, 0, 0, true)));
    CHECK(grants(one, 3, vote_for(7, 0, 0, true)));
    CHECK(one.machine.epoch() == 0);
    CHECK(one.did == std::vector<std::string>{"send", "send"});
}

TEST_CASE("a replica that nobody answers stays in its epoch, however long it asks (KIP-996)", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node)}};
    one.pass(60s);
    CHECK(one.machine.role() == role::prospective);
    CHECK(one.machine.epoch() == 3);
}

TEST_CASE("who hears of its leader gives no vote, and does not take an epoch from who asks (thesis, 4.2.3)", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 1));
    CHECK_FALSE(grants(one, 3, vote_for(9, 9, 100)));
    CHECK_FALSE(grants(one, 3, vote_for(9, 9, 100, true)));
    CHECK(one.machine.epoch() == 1);
    one.now += 1100ms;  // and has not heard of it any more
    CHECK(grants(one, 3, vote_for(9, 9, 100)));
    desk leading = leader_of({1, 2, 3}, 0);
    CHECK_FALSE(grants(leading, 3, vote_for(9, 9, 100)));
    CHECK(leading.machine.is_leader());
}

TEST_CASE("who hears of its leader votes all the same where the leader has asked for it", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 1));
    message asked = vote_for(2, 1, 5);
    asked.is_transfer = true;
    CHECK(grants(one, 3, asked));
}

TEST_CASE("who follows the leader of an epoch votes for nobody else in it", "[replication][replica]") {
    desk one{2, {.saved = voted(4, no_node)}};
    static_cast<void>(followed(one, 1, 4));
    one.now += 10s;
    CHECK_FALSE(grants(one, 3, vote_for(4, 4, 100)));
}

TEST_CASE("a majority of votes elects, and answers of another life or of another election do not count", "[replication][replica]") {
    desk one{1, {.saved = voted(0, no_node, false, {1, 2, 3, 4, 5})}};
    one.be_elected({2, 3});
    CHECK(one.machine.is_leader());
    desk other{1, {.saved = voted(0, no_node, false, {1, 2, 3, 4, 5}), .session = 7}};
    other.be_elected({2});
    REQUIRE(other.machine.role() == role::prospective);
    message answer;
    answer.kind = message_kind::vote_answer;
    answer.is_pre_vote = true;
    answer.is_granted = true;
    answer.session = 6;
    answer.number = 1;
    other.hear(3, answer);
    CHECK(other.machine.role() == role::prospective);
    answer.session = 7;
    answer.number = 0;
    other.hear(3, answer);
    CHECK(other.machine.role() == role::prospective);
    answer.number = 1;
    other.hear(9, answer);  // of no voter
    other.hear(2, answer);  // twice
    CHECK(other.machine.role() == role::prospective);
    other.hear(3, answer);
    CHECK(other.machine.role() == role::candidate);
}

TEST_CASE("a vote that comes when its election is over does not count, since whoever gave it may have lost its disk meanwhile", "[replication][replica]") {
    desk one{1};
    one.be_elected({});
    one.letters.clear();
    message answer;
    answer.kind = message_kind::vote_answer;
    answer.is_pre_vote = true;
    answer.is_granted = true;
    answer.session = 1;
    answer.number = 1;
    one.hear(2, answer);
    REQUIRE(one.machine.role() == role::candidate);
    answer.is_pre_vote = false;
    answer.epoch = 1;
    answer.number = 2;
    one.now += 1h;  // it was stopped, and hears all of it now, before it is told how late it is
    one.hear(2, answer);
    CHECK(one.machine.role() == role::candidate);
}

TEST_CASE("two that lead in one epoch are never followed: who sees it stops and says so", "[replication][replica]") {
    desk one{2};
    static_cast<void>(followed(one, 1, 4));
    one.hear(3, leads(4));
    CHECK(one.machine.role() == role::failed);
    REQUIRE(one.machine.take_reports().size() == 1);
    CHECK_FALSE(one.machine.next_due());
    CHECK_FALSE(grants(one, 1, vote_for(9, 9, 9)));
}

TEST_CASE("who is no voter stops nobody by saying that it leads in an epoch that another one leads", "[replication][replica]") {
    message said;
    said.kind = message_kind::begin_epoch;
    said.epoch = 1;
    desk one{1};
    one.machine.receive(2, said, one.now);
    one.machine.receive(9, said, one.now);
    CHECK(one.machine.role() == brook::replication::role::follower);
    CHECK(one.machine.leader() == 2);

    desk other{1};
    other.machine.receive(9, said, other.now);  // it may know of voters that this one has not heard of
    CHECK(other.machine.leader() == 9);
    other.machine.receive(2, said, other.now);
    CHECK(other.machine.role() == brook::replication::role::follower);
    CHECK(other.machine.leader() == 2);
}

// ---- suspects (KIP-966) ----

TEST_CASE("a suspect says so with each vote, and is elected by all or not at all", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node, true), .log = records({{4, 3}})}};
    const message answer = answer_to(one, 2, vote_for(4, 3, 4));
    CHECK(answer.is_granted);
    CHECK(answer.is_suspect);
    one.be_elected({2});
    CHECK(one.machine.role() == role::prospective);
    one.be_elected({2, 3});
    CHECK(one.machine.is_leader());
    CHECK(one.machine.take_reports().size() == 1);  // something may be lost
}

TEST_CASE("suspects' votes make no majority", "[replication][replica]") {
    desk one{1, {.saved = voted(1, no_node), .log = records({{1, 1}})}};
    one.be_elected({2}, true);
    CHECK(one.machine.role() == role::prospective);
    one.be_elected({2, 3}, true);
    CHECK(one.machine.is_leader());
}

TEST_CASE("a leader that may lack something has an epoch of a line of its own, and says its voters anew", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node, true), .log = records({{4, 3}})}};
    one.be_elected({2, 3}, true);
    REQUIRE(one.machine.is_leader());
    CHECK(one.machine.epoch() >> 20 == 1);
    CHECK(one.log.back().voters == 0b1110);
    desk other{2, {.saved = voted(3, no_node, true), .log = records({{4, 3}})}};
    other.be_elected({1, 3}, true);
    CHECK(other.machine.epoch() != one.machine.epoch());
}

TEST_CASE("where nobody has anything yet the first epoch is 1, and needs all of them", "[replication][replica]") {
    desk one{1, {.saved = voted(0, no_node, true)}, 1, true};
    one.be_elected({2}, true, true);
    CHECK(one.machine.role() == role::prospective);
    one.be_elected({2, 3}, true, true);
    CHECK(one.machine.is_leader());
    CHECK(one.machine.epoch() == 1);
    CHECK(one.machine.take_reports().empty());
}

TEST_CASE("voters that know of a record that names them have lost what was committed, and do not take it for the beginning", "[replication][replica]") {
    ballot told = voted(0, no_node, true, {1, 2});
    told.voters.push_back({3, 1, {1}});
    desk one{1, {.saved = told}, 1, true};
    told_of_committed(one, 2, {1, 4}, false);  // broker 2 has the record, and has no vote by it
    REQUIRE(one.machine.is_leader());
    CHECK(is_lossy_epoch(one.machine.epoch()));  // or who has what is committed stops, instead of cutting it
    CHECK(one.machine.take_reports().size() == 1);
}

TEST_CASE("who has no vote any more, by voters that somebody says are committed, does not count among those who remember nothing", "[replication][replica]") {
    ballot told = voted(0, no_node, true, {1, 2});
    told.voters.push_back({3, 1, {1}});
    auto options = desk::options_of(1, 1, 1, false);
    options.may_be_beginning = false;
    options.peers = {1, 2, 3};
    desk one{options, {.saved = told}};
    told_of_committed(one, 2, {1, 4}, true);
    CHECK_FALSE(one.machine.is_leader());  // broker 3 has not told which epochs there were
}

TEST_CASE("where records need not be on a disk, that nobody has anything does not say that nobody had", "[replication][replica]") {
    desk one{1, {.saved = voted(0, no_node, true)}};
    one.be_elected({2, 3}, true, true);
    CHECK(one.machine.is_leader());
    CHECK(one.machine.epoch() != 1);
    CHECK(one.machine.take_reports().size() == 1);
}

TEST_CASE("that a replica is a suspect is saved before it says anything", "[replication][replica]") {
    const desk one{1, {.saved = voted(3, no_node, true)}};
    CHECK(one.did.front() == "save");
    CHECK(one.disk.is_suspect);
}

TEST_CASE("a replica whose log knows of a later epoch than its ballot has lost its ballot, and is a suspect", "[replication][replica]") {
    desk one{1, {.saved = voted(2, 1), .log = records({{3, 5}})}};
    CHECK(one.disk.is_suspect);
    CHECK(one.machine.epoch() == 5);
}

/// Broker 2, a suspect with two records of epoch 1, follows broker 1 in epoch 3. It has begun some time ago.
desk suspect(bool is_durable = false) {
    desk one{2, {.saved = voted(3, no_node, true), .log = records({{2, 1}})}, 1, is_durable};
    one.now += 5s;
    return one;
}

TEST_CASE("a suspicion ends when all that is committed is there, of this epoch, too, and the leader knows that it leads", "[replication][replica]") {
    desk one = suspect();
    const std::vector<desk::record> more = records({{1, 1}, {2, 3}});
    message answer = answered(followed(one, 1, 3), fetch_outcome::records);
    answer.frames = std::as_bytes(std::span{more});
    answer.is_confirmed = true;
    answer.fetch_answer.high_watermark = 5;
    bool ends = false;
    SECTION("so") { ends = true; }
    SECTION("the leader's epoch has committed nothing: more may be committed than it knows") { answer.fetch_answer.high_watermark = 3; }
    SECTION("more is committed than is there") { answer.fetch_answer.high_watermark = 6; }
    SECTION("others have not said since that this is the latest epoch") { answer.is_confirmed = false; }
    SECTION("it has begun just now, and may have voted in an election that is still open") { one.now -= 4s; }
    SECTION("the answer is one to another life") { answer.session = 9; }
    one.hear(1, answer);
    CHECK(one.disk.is_suspect == !ends);
}

TEST_CASE("the suspicion of a replica whose log is to be on the disk does not end before it is", "[replication][replica]") {
    desk one = suspect(true);
    const std::vector<desk::record> more = records({{1, 1}, {2, 3}});
    message answer = answered(followed(one, 1, 3), fetch_outcome::records);
    answer.frames = std::as_bytes(std::span{more});
    answer.is_confirmed = true;
    answer.fetch_answer.high_watermark = 5;
    one.hear(1, answer);
    CHECK(one.disk.is_suspect);
    one.machine.flushed(5, one.now);
    one.carry_out();
    message next = answered(one.letters.back().said, fetch_outcome::records);
    next.is_confirmed = true;
    next.fetch_answer.high_watermark = 5;
    one.hear(1, next);
    CHECK_FALSE(one.disk.is_suspect);
}

TEST_CASE("what a replica holds that remembers nothing does not commit before enough others have said that this is the latest epoch", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);  // and was asleep: broker 3 leads in epoch 2 perhaps, by the vote of broker 2, whose disk was lost since
    message asked = fetch_of(1, 1, 2, 1, 7);
    asked.is_suspect = asked.is_blank = true;
    one.hear(2, asked);
    CHECK(one.machine.high_watermark() == 0);
    message other = fetch_of(1, 0, 0, 1);  // broker 3 has not gone on
    one.hear(3, other);
    CHECK(one.machine.high_watermark() == 0);
    other = fetch_of(1, 0, 0, 2);
    other.fetch.round = 100;  // and still follows, since broker 2 has come back
    one.hear(3, other);
    CHECK(one.machine.high_watermark() == 2);
}

TEST_CASE("who may be a voter anew cannot vouch for the voters before it that nobody was elected in a later epoch", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);
    one.hear(3, fetch_of(1, 1, 2, 1));
    one.hear(4, fetch_of(1, 1, 2, 1));
    REQUIRE(one.machine.high_watermark() == 2);
    REQUIRE(one.machine.change_voters({1, 2, 3, 4}, one.now) == "");
    one.carry_out();
    const offset end = one.end();
    message added = fetch_of(1, 1, end, 2);
    added.fetch.round = 100;
    one.hear(4, added);
    message asked = fetch_of(1, 1, end, 1, 7);
    asked.is_suspect = asked.is_blank = true;
    one.hear(2, asked);
    added.number = 3;  // it says so since
    one.hear(4, added);
    CHECK(one.machine.high_watermark() == 2);
    message old = fetch_of(1, 1, end, 3);
    old.fetch.round = 100;
    one.hear(3, old);
    CHECK(one.machine.high_watermark() == end);
}

TEST_CASE("a leader tells a suspect that it leads once enough others have said so since", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1);
    message asked = fetch_of(1, 0, 0, 1);
    asked.is_suspect = true;
    message answer = answer_to(one, 2, asked);
    CHECK_FALSE(answer.is_confirmed);
    static_cast<void>(answer_to(one, 3, fetch_of(1, 0, 0, 1)));  // as it was on its way
    message again = fetch_of(1, 0, 0, 2);
    again.is_suspect = true;
    CHECK_FALSE(answer_to(one, 2, again).is_confirmed);
    message later = fetch_of(1, 0, 0, 2);
    later.fetch.round = answer.fetch_answer.round;  // it has heard of this leader since
    static_cast<void>(answer_to(one, 3, later));
    again.number = 3;
    CHECK(answer_to(one, 2, again).is_confirmed);
}

TEST_CASE("a suspect keeps to the voters that it knows of, although its log has lost the record", "[replication][replica]") {
    ballot saved = voted(2, no_node, true);
    saved.voters.push_back({5, 2, {1, 2, 3, 4}});
    desk one{1, {.saved = saved, .log = records({{3, 1}})}};
    CHECK(one.machine.voters().size() == 4);
    one.be_elected({2, 3});
    CHECK(one.machine.role() == role::prospective);  // all are four
    // The log comes to where the record would be, and it is not there: it was announced, and never committed.
    message answer = answered(followed(one, 2, 3), fetch_outcome::records);
    const std::vector<desk::record> more = records({{3, 3}});
    answer.frames = std::as_bytes(std::span{more});
    one.hear(2, answer);
    CHECK(one.machine.voters().size() == 3);
    CHECK(one.disk.voters.size() == 1);
}

TEST_CASE("a suspect lets go of voters that its log has no record of once it has one of a later epoch in front of there", "[replication][replica]") {
    ballot saved = voted(2, no_node, true);
    saved.voters.push_back({5, 2, {1, 2, 3, 4}});
    desk one{1, {.saved = saved, .log = records({{3, 1}})}};
    message answer = answered(followed(one, 2, 3), fetch_outcome::records);
    const std::uint32_t epoch = GENERATE(2u, 3u);  // of the second there is nothing of the first behind it
    const std::vector<desk::record> more = records({{1, epoch}});
    answer.frames = std::as_bytes(std::span{more});
    one.hear(2, answer);
    CHECK(one.machine.end() == 4);
    CHECK(one.machine.voters().size() == (epoch == 2 ? 4 : 3));
    CHECK(one.disk.voters.size() == (epoch == 2 ? 2 : 1));
}

TEST_CASE("a suspect gives no vote to who has not heard of voters that were committed", "[replication][replica]") {
    ballot saved = voted(2, no_node, true, {1, 2});
    saved.voters.push_back({5, 2, {1, 2, 3}});
    const offset high_watermark = GENERATE(0, 6);  // what it had known when it had the record
    desk one{1, {.saved = saved, .log = records({{3, 1}}), .high_watermark = high_watermark}};
    message asked = vote_for(3, 1, 4);
    CHECK(grants(one, 2, asked) == (high_watermark == 0));
    asked.vote.voters_end = 6;
    asked.vote.voters_epoch = 2;
    CHECK(grants(one, 2, asked));
}

TEST_CASE("whoever remembers nothing, and is told of the voters of today, does not take those of old for them", "[replication][replica]") {
    ballot told = voted(0, no_node, true, {2});
    told.voters.push_back({9, 2, {1}});
    desk one{2, {.saved = told}};
    message answer = answered(followed(one, 1, 3), fetch_outcome::records);
    const std::vector<desk::record> more{{1, 0}, {1, 0b110}, {1, 0b100}};  // brokers 1 and 2, then 2 alone
    answer.frames = std::as_bytes(std::span{more});
    one.hear(1, answer);
    one.pass(1min);
    CHECK(one.machine.voters() == std::vector<std::int32_t>{1});
    CHECK_FALSE(one.machine.is_leader());
    CHECK(grants(one, 3, vote_for(9, 8, 1)));  // a later log than the record's epoch has it
}

TEST_CASE("where all have to agree, those have to who are no voters by a record that is perhaps not committed", "[replication][replica]") {
    ballot saved = voted(2, no_node, true);
    saved.voters.push_back({3, 2, {1, 2}});
    desk one{1, {.saved = saved, .log = records({{4, 2}})}};
    one.be_elected({2}, true);
    CHECK(one.machine.role() == role::prospective);
    SECTION("and they do") { one.be_elected({2, 3}, true); }
    SECTION("or one says that it is committed") {
        one.letters.clear();
        one.pass(3s);
        const message asked = one.take(message_kind::vote).back().said;
        message answer;
        answer.kind = message_kind::vote_answer;
        answer.is_pre_vote = true;
        answer.is_granted = true;
        answer.epoch = asked.epoch;
        answer.session = asked.session;
        answer.number = asked.number;
        answer.vote_answer.voters_end = 4;
        answer.vote_answer.voters_epoch = 2;
        one.hear(2, answer);
        REQUIRE(one.machine.role() == role::candidate);
        one.be_elected({2}, true);
    }
    CHECK(one.machine.is_leader());
}

TEST_CASE("where all voters have lost their disks again, none leads in an epoch that those who copy know of", "[replication][replica]") {
    std::uint32_t known = 0;  // to brokers 2 and 3, which do not vote, of all the lives before
    for (int life = 1; life <= 3; ++life) {
        CAPTURE(life);
        auto options = desk::options_of(1, static_cast<std::uint64_t>(life), 1, false);
        options.may_be_beginning = false;
        options.peers = {1, 2, 3};
        desk one{options, {.saved = voted(0, no_node, true, {1})}};
        one.pass(10s);
        REQUIRE_FALSE(one.machine.is_leader());  // nobody has told as yet
        for (int round = 0; round < 8 && !one.machine.is_leader(); ++round) {
            const std::vector<desk::letter> asked = one.take(message_kind::vote);
            for (const desk::letter& letter : asked) {
                if (letter.said.is_pre_vote && (round > 0 || letter.to == 2)) {  // broker 3 is away at first
                    message answer;
                    answer.kind = message_kind::vote_answer;
                    answer.is_pre_vote = true;
                    answer.epoch = known;
                    answer.session = letter.said.session;
                    answer.number = letter.said.number;
                    one.hear(letter.to, answer);
                }
            }
            REQUIRE((round > 0 || !one.machine.is_leader()));
            one.pass(one.machine.is_leader() ? 0s : 2s);
        }
        REQUIRE(one.machine.is_leader());
        CHECK(one.machine.epoch() > known);
        known = one.machine.epoch();
    }
}

TEST_CASE("who has lost its disk waits for nobody who copies, where another voter remembers which epochs there were", "[replication][replica]") {
    auto options = desk::options_of(1, 1, 1, false);
    options.may_be_beginning = false;
    options.peers = {1, 2, 3};
    desk one{options, {.saved = voted(0, no_node, true, {1, 2})}};
    const bool has_forgotten = GENERATE(false, true);
    one.be_elected({2}, true, has_forgotten);
    CHECK(one.machine.is_leader() == !has_forgotten);
}

TEST_CASE("a suspect that has lost the record that names the voters of today does not lead by the word of those of old", "[replication][replica]") {
    const bool is_told = GENERATE(false, true);
    desk one{1, {.saved = voted(2, no_node, true), .log = records({{3, 1}})}};
    for (int i = 0; i < 100 && one.machine.role() != role::prospective; ++i) {
        one.pass(50ms);
    }
    message asked;
    for (const desk::letter& letter : one.letters) {
        asked = letter.said.kind == message_kind::vote ? letter.said : asked;
    }
    for (const bool is_pre_vote : {true, false}) {
        for (const std::int32_t voter : {2, 3}) {
            message answer;
            answer.kind = message_kind::vote_answer;
            answer.is_pre_vote = is_pre_vote;
            answer.is_granted = true;
            answer.is_suspect = true;  // it may have lost that record as well, and knows of it
            answer.epoch = one.machine.epoch();
            answer.session = asked.session;
            answer.number = is_pre_vote ? asked.number : asked.number + 1;
            answer.vote_answer.voters_end = is_told && voter == 2 ? 6 : 0;  // behind offset 5,
            answer.vote_answer.voters_epoch = is_told && voter == 2 ? 2 : 0;  // of epoch 2
            one.hear(voter, answer);
        }
    }
    CHECK(one.machine.is_leader() == !is_told);
}

// ---- what is committed ----

TEST_CASE("a record is committed when a majority has it, and no learner counts", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);  // offsets 0, 1, 2
    CHECK(one.machine.high_watermark() == 0);
    one.hear(9, fetch_of(1, 1, 3, 1));
    CHECK(one.machine.high_watermark() == 0);
    one.hear(2, fetch_of(1, 1, 2, 1));
    CHECK(one.machine.high_watermark() == 2);
    one.hear(3, fetch_of(1, 1, 3, 1));
    CHECK(one.machine.high_watermark() == 3);
}

TEST_CASE("a high watermark that has grown is told at once to everybody who waits for something", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 1, 1, true);  // and its own disk is behind
    one.hear(2, fetch_of(1, 1, 2, 1));
    one.hear(3, fetch_of(1, 1, 2, 1));
    REQUIRE(one.machine.high_watermark() == 2);
    one.letters.clear();
    message knows = fetch_of(1, 1, 2, 2);
    knows.fetch.high_watermark = 2;
    one.hear(2, knows);
    one.hear(3, knows);
    CHECK(one.take(message_kind::fetch_answer).empty());
    one.append();
    one.letters.clear();
    message has = fetch_of(1, 1, 3, 3);
    has.fetch.high_watermark = 2;
    has.fetch.held = 2;
    one.hear(2, has);
    one.hear(3, has);
    CHECK(one.take(message_kind::fetch_answer).empty());  // they have it, and nobody has it on the disk
    one.machine.flushed(3, one.now);
    one.carry_out();
    has.fetch.held = 3;
    has.number = 4;
    one.hear(3, has);
    const auto told = one.take(message_kind::fetch_answer);
    REQUIRE(told.size() == 2);
    for (const auto& letter : told) {
        CHECK(letter.said.fetch_answer.high_watermark == 3);
    }
}

TEST_CASE("a record is committed when as many have it as are asked for, where that is more than a majority", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2, 3);
    one.hear(2, fetch_of(1, 1, 3, 1));
    CHECK(one.machine.high_watermark() == 0);
    one.hear(3, fetch_of(1, 1, 2, 1));
    CHECK(one.machine.high_watermark() == 2);
    desk alone{1, {.saved = voted(0, no_node, false, {1})}, 2};  // more than there are cannot be asked for
    alone.pass(2s);
    CHECK(alone.machine.high_watermark() == 1);
}

TEST_CASE("a record of an earlier epoch is committed with one of the leader's own, and not by counting (Raft, 5.4.2)", "[replication][replica]") {
    desk one{1, {.saved = voted(2, 1), .log = records({{1, 1}, {1, 2}})}};
    one.be_elected({2});
    REQUIRE(one.machine.epoch() == 3);
    one.hear(2, fetch_of(3, 2, 2, 1));
    CHECK(one.machine.high_watermark() == 0);
    CHECK_FALSE(one.machine.knows_high_watermark());
    one.hear(2, fetch_of(3, 3, 3, 2));
    CHECK(one.machine.high_watermark() == 3);
    CHECK(one.machine.knows_high_watermark());
}

TEST_CASE("where records have to be on the disk only what is there counts, the leader's own, too", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2, 1, true);
    message asked = fetch_of(1, 1, 3, 1);
    asked.fetch.held = 1;
    one.hear(2, asked);
    CHECK(one.machine.high_watermark() == 0);
    one.machine.flushed(3, one.now);
    CHECK(one.machine.high_watermark() == 1);
    desk other{2, {.saved = voted(1, 1), .log = records({{3, 1}}), .flushed = 2}, 1, true};
    const message question = followed(other, 1, 1);
    CHECK(question.fetch.end == 3);
    CHECK(question.fetch.held == 2);
    other.machine.flushed(3, other.now);
    other.carry_out();
    CHECK(other.letters.back().said.fetch.held == 3);  // said at once
}

TEST_CASE("made-up numbers do not keep out who asks for records", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(9, fetch_of(1, 1, 3, 1));
    for (std::int32_t made_up = 1'000; made_up < 3'000; ++made_up) {
        one.now += 1ms;
        one.hear(made_up, fetch_of(1, 1, 3, 1));
        if (made_up % 100 == 0) {
            one.hear(9, fetch_of(1, 1, 3, static_cast<std::uint64_t>(made_up)));
        }
        if (made_up % 500 == 0) {
            one.hear(2, fetch_of(1, 1, 2, static_cast<std::uint64_t>(made_up)));
        }
    }
    const auto& known = one.machine.followers();
    CHECK(known.size() == 256);
    for (const std::int32_t node : {2, 3, 9, 2'999}) {
        CAPTURE(node);
        CHECK(std::count_if(known.begin(), known.end(), [&](const follower_progress& follower) { return follower.node == node; }) == 1);
    }
    CHECK(one.machine.high_watermark() == 2);
    one.letters.clear();
    CHECK(answer_to(one, 7, fetch_of(1, 1, 2, 1)).outcome == fetch_outcome::records);  // nor who comes later
    CHECK_FALSE(one.letters.empty());
}

TEST_CASE("a fetch that comes late or twice, or of an earlier life, does not count", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(2, fetch_of(1, 1, 1, 5, 8));
    CHECK(one.machine.high_watermark() == 1);
    const auto [number, session] = GENERATE(Catch::Generators::table<std::uint64_t, std::uint64_t>({{4, 8}, {5, 8}, {99, 7}}));
    one.letters.clear();
    one.hear(2, fetch_of(1, 1, 3, number, session));
    CHECK(one.machine.high_watermark() == 1);
    CHECK(one.letters.empty());
}

TEST_CASE("what a replica held in an earlier life does not count once it is known to have begun again", "[replication][replica]") {
    desk one = leader_of({1, 2, 3, 4, 5}, 2);
    one.hear(2, fetch_of(1, 1, 3, 5, 1));
    one.hear(2, fetch_of(1, 9, 3, 1, 2));  // it has another history
    one.hear(3, fetch_of(1, 1, 3, 1, 1));
    CHECK(one.machine.high_watermark() == 0);
    one.hear(2, fetch_of(1, 1, 3, 2, 2));
    CHECK(one.machine.high_watermark() == 3);
}

TEST_CASE("a fetch of an earlier epoch is told of the later one, and does not count", "[replication][replica]") {
    desk one{1, {.saved = voted(2, 1), .log = records({{1, 1}})}};
    one.be_elected({2});
    REQUIRE(one.machine.epoch() == 3);
    message asked = fetch_of(2, 1, 1, 1);
    const message answer = answer_to(one, 2, asked);
    CHECK(answer.outcome == fetch_outcome::not_leader);
    CHECK(answer.epoch == 3);
    CHECK_FALSE(std::any_of(one.machine.followers().begin(), one.machine.followers().end(), [](const follower_progress& follower) { return follower.has_fetched; }));
}

TEST_CASE("the high watermark does not go back within a life", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(2, fetch_of(1, 1, 3, 1));
    one.hear(2, fetch_of(1, 1, 2, 2));  // it lost something
    CHECK(one.machine.high_watermark() == 3);
    desk follower{2, {.saved = voted(1, 1), .log = records({{3, 1}}), .high_watermark = 3}};
    follower.hear(1, answered(followed(follower, 1, 1), fetch_outcome::records));
    CHECK(follower.machine.high_watermark() == 3);
}

TEST_CASE("an answer of an epoch that has passed is not taken, from the leader of today either", "[replication][replica]") {
    desk one{2};
    const message question = followed(one, 1, 5);
    message answer = answered(question, fetch_outcome::records);
    const auto sent = records({{1, 4}});
    answer.frames = std::as_bytes(std::span{sent});
    answer.epoch = 4;
    answer.last_epoch = 4;
    one.hear(1, answer);
    CHECK(one.end() == 0);
    answer.epoch = 5;
    one.hear(1, answer);
    CHECK(one.end() == 1);
}

TEST_CASE("a leader that no majority fetches from leads no more (thesis, 6.2)", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    for (std::uint64_t i = 1; i <= 40; ++i) {
        one.pass(100ms);
        one.hear(3, fetch_of(1, 1, 1, i));
    }
    CHECK(one.machine.is_leader());
    one.pass(2s);
    CHECK_FALSE(one.machine.is_leader());
    CHECK_FALSE(grants(one, 3, vote_for(1, 1, 1)));  // it has voted in this epoch
}

// ---- what is cut ----

TEST_CASE("a follower cuts what its leader does not have, and not what it does not know to be committed (KIP-101, scenario 1)", "[replication][replica]") {
    // It has both records, and has not heard that the second is committed. It starts again: the leader has both, and it keeps both.
    desk leading{1, {.saved = voted(1, no_node), .log = records({{2, 1}})}};
    leading.be_elected({2});
    desk one{2, {.saved = voted(1, no_node), .log = records({{2, 1}}), .high_watermark = 1}};
    talk({{1, &leading}, {2, &one}});
    one.hear(1, leads(2));
    talk({{1, &leading}, {2, &one}});
    CHECK(std::count(one.did.begin(), one.did.end(), "cut") == 0);
    CHECK(one.log == leading.log);
}

TEST_CASE("records that come after their question was asked again are taken, and questions become rarer", "[replication][replica]") {
    desk leading = leader_of({1, 2, 3}, 3);
    desk one{2, {}};
    message asked = followed(one, 1, 1);
    leading.hear(2, asked);
    const auto first = leading.take(message_kind::fetch_answer);
    REQUIRE(first.size() == 1);
    int repetitions = 0;
    for (int i = 0; i < 40; ++i) {  // four election timeouts, in which its leader is heard of
        one.pass(100ms);
        one.hear(1, leads(1));
        repetitions += static_cast<int>(one.take(message_kind::fetch).size());
    }
    CHECK(repetitions > 0);
    CHECK(repetitions <= 5);
    one.hear(1, first[0].said);
    CHECK(one.end() == 4);
    CHECK(one.log == leading.log);
    asked = one.letters.back().said;
    CHECK(asked.kind == message_kind::fetch);
    CHECK(asked.fetch.end == 4);
    one.hear(1, first[0].said);  // once more: it is there already
    CHECK(one.end() == 4);
}

TEST_CASE("two that have different records at one offset come to have the leader's (KIP-101, scenario 2)", "[replication][replica]") {
    desk leading{1, {.saved = voted(3, no_node), .log = records({{1, 1}, {1, 3}})}};
    desk one{2, {.saved = voted(3, no_node), .log = records({{1, 1}, {1, 2}}), .high_watermark = 1}};
    leading.be_elected({3});
    leading.letters.clear();
    one.hear(1, leads(4));
    talk({{1, &leading}, {2, &one}});
    CHECK(one.log == leading.log);
    CHECK(one.end() == 3);
}

TEST_CASE("a follower that missed epochs finds where the histories part, however fast leaders changed (KIP-279)", "[replication][replica]") {
    const auto [theirs, mine] = GENERATE(Catch::Generators::table<std::vector<desk::record>, std::vector<desk::record>>({
        {records({{4, 1}, {2, 3}}), records({{4, 1}, {3, 2}})},
        {records({{4, 1}, {2, 5}}), records({{4, 1}, {1, 2}, {1, 3}, {1, 4}})},
        {records({{4, 1}, {1, 3}, {2, 6}}), records({{6, 1}, {3, 2}, {9, 5}})},
        {records({{4, 1}, {1, 2}, {1, 4}}), records({{4, 1}, {3, 2}, {1, 3}})},
        {records({{4, 1}, {9, 6}}), records({{2, 1}})},
        {records({{4, 6}}), records({{7, 2}})},
    }));
    desk leading{1, {.saved = voted(8, no_node), .log = theirs}};
    desk one{2, {.saved = voted(8, no_node), .log = mine}};
    leading.be_elected({3});
    leading.letters.clear();
    one.hear(1, leads(9));
    talk({{1, &leading}, {2, &one}});
    CHECK(one.log == leading.log);
    CHECK(one.machine.epochs().starts() == leading.machine.epochs().starts());
}

TEST_CASE("what is committed is not cut: a replica whose leader lacks it stops, and says so", "[replication][replica]") {
    desk one{2, {.saved = voted(3, no_node), .log = records({{5, 2}}), .high_watermark = 4}};
    message answer = answered(followed(one, 1, 4), fetch_outcome::diverging);
    answer.last_epoch = 2;
    answer.fetch_answer.end = 3;
    one.hear(1, answer);
    CHECK(one.machine.role() == role::failed);
    CHECK(one.log.size() == 5);
    CHECK(one.machine.take_reports().size() == 1);
}

TEST_CASE("what was committed is cut and reported where a leader leads that is known to lack something", "[replication][replica]") {
    desk one{2, {.saved = voted(3, no_node), .log = records({{5, 2}}), .high_watermark = 4}};
    message answer = answered(followed(one, 1, 1u << 20), fetch_outcome::diverging);
    answer.last_epoch = 2;
    answer.fetch_answer.end = 3;
    one.hear(1, answer);
    CHECK(one.log.size() == 3);
    CHECK(one.depth == cut_depth::committed);
    CHECK(one.machine.high_watermark() == 3);
    CHECK(one.machine.take_reports().size() == 1);
}

TEST_CASE("what is not committed is cut no deeper than that", "[replication][replica]") {
    desk one{2, {.saved = voted(3, no_node), .log = records({{5, 2}}), .high_watermark = 3}};
    const bool begins_anew = GENERATE(false, true);
    one.depth = cut_depth::committed;
    message answer = answered(followed(one, 1, 4), begins_anew ? fetch_outcome::below_start : fetch_outcome::diverging);
    answer.last_epoch = 2;
    answer.fetch_answer.end = 3;
    answer.fetch_answer.log_start = 9;
    one.hear(1, answer);
    CHECK(one.end() == (begins_anew ? 9 : 3));
    CHECK(one.depth == cut_depth::uncommitted);
}

TEST_CASE("it is cut, too, where two have been forced to lead, and the other one's records are there already", "[replication][replica]") {
    const std::uint32_t forced = next_lossy_epoch(0, 3);
    desk one{2, {.saved = voted(forced, no_node), .log = records({{5, 2}, {2, forced}}), .high_watermark = GENERATE(4, 6)}};
    const bool is_before = one.machine.high_watermark() == 4;  // what is committed is from before that, or else it is of this line
    message answer = answered(followed(one, 1, forced + 1), fetch_outcome::diverging);
    answer.last_epoch = 2;
    answer.fetch_answer.end = 3;
    one.hear(1, answer);
    CHECK((one.machine.role() == role::failed) == !is_before);
    CHECK(one.end() == (is_before ? 3 : 7));
}

// ---- beginning anew ----

TEST_CASE("a follower that needs what the leader has let go of begins anew, and is a suspect until it has caught up", "[replication][replica]") {
    desk leading{1, {.saved = voted(1, no_node), .log = records({{5, 1}}), .high_watermark = 20, .start = 20}};
    leading.be_elected({3});
    leading.letters.clear();
    desk one{2, {.saved = voted(1, no_node), .log = records({{3, 1}}), .high_watermark = 2}};
    one.now += 10s;
    one.hear(1, leads(2));
    talk({{1, &leading}, {2, &one}});
    CHECK(one.start == 20);
    CHECK(one.log == leading.log);
    CHECK(one.disk.is_suspect);
    const auto anew = std::find(one.did.begin(), one.did.end(), "anew");
    REQUIRE(anew != one.did.begin());
    CHECK(*(anew - 1) == "save");
    leading.append();
    message asked = fetch_of(2, 2, 26, 50);
    asked.fetch.round = 1000;  // it has heard of everything
    leading.hear(3, asked);
    talk({{1, &leading}, {2, &one}});
    leading.append();
    talk({{1, &leading}, {2, &one}});
    CHECK_FALSE(one.disk.is_suspect);
}

TEST_CASE("who begins anew is told the voters of there, since the record that named them has gone", "[replication][replica]") {
    ballot saved = voted(1, no_node);
    saved.voters.push_back({12, 1, {1, 2}});
    desk leading{1, {.saved = saved, .log = records({{5, 1}}), .high_watermark = 20, .start = 20}};
    leading.be_elected({2});
    leading.letters.clear();
    desk one{2, {.saved = voted(1, no_node)}};
    one.hear(1, leads(2));
    talk({{1, &leading}, {2, &one}});
    CHECK(one.machine.voters() == std::vector<std::int32_t>{1, 2});
    CHECK(one.disk.voters.back().at == 12);
}

TEST_CASE("a log with records of which none tells its epoch does not pass for an empty one: it begins anew", "[replication][replica]") {
    desk leading{1, {.saved = voted(3, no_node), .log = records({{120, 3}})}};
    leading.be_elected({3});
    leading.letters.clear();
    const offset high_watermark = GENERATE(0, 60);
    desk one{2, {.saved = voted(3, no_node), .log = records({{121, 2}}), .high_watermark = high_watermark, .is_unreadable = true}};
    CHECK(one.disk.is_suspect);
    one.hear(1, leads(leading.machine.epoch()));
    const message asked = one.take(message_kind::fetch).back().said;
    CHECK(answer_to(leading, 2, asked).outcome == fetch_outcome::below_start);
    CHECK(leading.machine.high_watermark() == 0);  // nothing of that counts
    one.hear(1, leads(leading.machine.epoch()));
    one.pass(300ms);  // asks again
    talk({{1, &leading}, {2, &one}});
    CHECK(one.log == leading.log);
    CHECK(one.machine.take_reports().size() == (high_watermark > 0 ? 1u : 0u));
}

TEST_CASE("who fetches with an empty log is sent records, from wherever it begins", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    const message answer = answer_to(one, 2, fetch_of(1, 0, GENERATE(0, 2), 1));
    CHECK(answer.outcome == fetch_outcome::records);
    CHECK_FALSE(answer.frames.empty());
    CHECK(answer_to(one, 3, fetch_of(1, 0, 4, 1)).outcome == fetch_outcome::below_start);  // it is beyond the end
}

// ---- voters ----

TEST_CASE("a learner that has caught up becomes a voter, and counts from then on", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    CHECK(one.machine.change_voters({1, 2, 3, 4}, one.now) == "broker 4 has not caught up");
    message asked = fetch_of(1, 1, 1, 1);
    asked.is_suspect = true;
    one.hear(4, asked);
    CHECK(one.machine.change_voters({1, 2, 3, 4}, one.now) == "broker 4 has not caught up");
    one.hear(4, fetch_of(1, 1, 1, 2));
    CHECK(one.machine.change_voters({1, 2, 3, 4}, one.now).empty());
    one.carry_out();
    CHECK(one.machine.voters().size() == 4);
    CHECK(one.log.back().voters == 0b11110);
    CHECK(one.disk.voters.back().at == 1);
    one.hear(2, fetch_of(1, 1, 2, 2));
    CHECK(one.machine.high_watermark() == 1);  // two of four
    one.hear(4, fetch_of(1, 1, 2, 3));
    CHECK(one.machine.high_watermark() == 2);
}

TEST_CASE("one voter comes or goes at a time, and not before the last change is committed (thesis, 4.1)", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    CHECK(one.machine.change_voters({1, 2}, one.now) == "what came before is not committed yet");  // in this epoch nothing is
    one.hear(2, fetch_of(1, 1, 1, 1));
    one.hear(4, fetch_of(1, 1, 1, 1));
    one.hear(5, fetch_of(1, 1, 1, 1));
    CHECK(one.machine.change_voters({1, 2, 3, 4, 5}, one.now) == "one may come or go at a time");
    CHECK(one.machine.change_voters({1, 2, 4}, one.now) == "one may come or go at a time");
    CHECK(one.machine.change_voters({1, 2, 3}, one.now) == "one may come or go at a time");
    CHECK(one.machine.change_voters({1, 2, 3, 3}, one.now) == "one is named twice");
    CHECK(one.machine.change_voters({1, 2, 3, 4}, one.now).empty());
    CHECK_FALSE(one.machine.change_voters({1, 2, 3, 5}, one.now).empty());  // before the first is in the log
    one.carry_out();
    CHECK(one.machine.change_voters({1, 2, 3, 4, 5}, one.now) == "what came before is not committed yet");
    one.hear(2, fetch_of(1, 1, 2, 2));
    one.hear(4, fetch_of(1, 1, 2, 2));
    one.hear(5, fetch_of(1, 1, 2, 2));
    CHECK(one.machine.change_voters({1, 2, 3, 4, 5}, one.now).empty());
}

TEST_CASE("until a change of voters is committed nothing is without a majority of those before it", "[replication][replica]") {
    desk one = leader_of({1, 2}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    one.append();
    one.hear(3, fetch_of(1, 1, 2, 1));
    REQUIRE(one.machine.change_voters({1, 2, 3}, one.now).empty());
    one.carry_out();
    one.hear(3, fetch_of(1, 1, 3, 2));
    CHECK(one.machine.high_watermark() == 1);  // two of three, and one of two
    one.hear(2, fetch_of(1, 1, 3, 2));
    CHECK(one.machine.high_watermark() == 3);
    one.append();
    one.hear(3, fetch_of(1, 1, 4, 3));
    CHECK(one.machine.high_watermark() == 4);
}

TEST_CASE("voters that a log names are taken back when the record is cut", "[replication][replica]") {
    ballot saved = voted(2, no_node);
    saved.voters.push_back({4, 2, {1, 2}});
    desk one{2, {.saved = saved, .log = records({{3, 1}, {2, 2}})}};
    REQUIRE(one.machine.voters().size() == 2);
    message answer = answered(followed(one, 1, 3), fetch_outcome::diverging);
    answer.last_epoch = 1;
    answer.fetch_answer.end = 3;
    one.hear(1, answer);
    CHECK(one.machine.voters().size() == 3);
    CHECK(one.disk.voters.size() == 1);
}

TEST_CASE("voters that were announced, and whose record was never appended, do not count", "[replication][replica]") {
    ballot saved = voted(2, no_node);
    saved.voters.push_back({3, 2, {1, 2}});
    const desk one{2, {.saved = saved, .log = records({{3, 1}})}};
    CHECK(one.machine.voters().size() == 3);
}

TEST_CASE("voters that were announced do not count any more once another leader's records stand where theirs was to be", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    REQUIRE(one.machine.knows_high_watermark());
    REQUIRE(one.machine.note_voters(one.end(), 1, {1, 2}));
    one.machine.resign(one.now);  // it could not be appended
    one.carry_out();
    CHECK(one.disk.voters.size() == 2);
    message answer = answered(followed(one, 2, 2), fetch_outcome::records);
    const std::vector<desk::record> more = records({{GENERATE(1, 5), 2}});
    answer.frames = std::as_bytes(std::span{more});
    one.hear(2, answer);
    CHECK(one.machine.voters() == std::vector<std::int32_t>{1, 2, 3});
    CHECK(one.disk.voters.size() == 1);
}

TEST_CASE("voters that are announced again are remembered once, and those that could not be appended are forgotten", "[replication][replica]") {
    desk one{2, {.saved = voted(2, no_node), .log = records({{3, 1}})}};
    REQUIRE(one.machine.note_voters(3, 2, {1, 2}));
    REQUIRE(one.machine.note_voters(3, 2, {1, 2}));
    one.carry_out();
    CHECK(one.disk.voters.size() == 2);
    CHECK(one.machine.forget_voters(3));
    CHECK_FALSE(one.machine.forget_voters(3));
    one.carry_out();
    CHECK(one.disk.voters.size() == 1);
    CHECK(one.machine.voters().size() == 3);
}

TEST_CASE("voters that are not committed are remembered up to a limit, and no more are taken", "[replication][replica]") {
    desk one{2, {.saved = voted(2, no_node), .log = records({{3, 1}})}};
    std::size_t taken = 0;
    while (taken < 1'000 && one.machine.note_voters(one.end(), 2, {1, 2})) {
        one.log.push_back({2, 0b110});
        one.machine.grown(2, one.end(), one.now);
        one.carry_out();
        ++taken;
    }
    CHECK(taken == ballot::most_sets - 1);
    CHECK(one.disk.voters.size() == ballot::most_sets);
}

TEST_CASE("a leader that is voted out goes once that is committed, and names one who should lead (thesis, 4.2.2)", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 0);
    one.hear(2, fetch_of(1, 1, 1, 1));
    REQUIRE(one.machine.change_voters({2, 3}, one.now).empty());
    one.carry_out();
    one.hear(2, fetch_of(1, 1, 2, 2));
    CHECK(one.machine.is_leader());  // one of two: its own does not count
    one.letters.clear();
    one.hear(3, fetch_of(1, 1, 2, 1));
    CHECK_FALSE(one.machine.is_leader());
    CHECK(one.machine.high_watermark() == 2);
    const auto gone = one.take(message_kind::end_epoch);
    REQUIRE(gone.size() == 2);
    CHECK((gone.front().said.leader == 2 || gone.front().said.leader == 3));
    one.pass(1min);
    CHECK(one.machine.role() == role::follower);
    CHECK(one.take(message_kind::vote).empty());
}

TEST_CASE("who is voted out campaigns as long as that is not committed, since nobody else may have the record (thesis, 4.2.2)", "[replication][replica]") {
    ballot saved = voted(2, no_node, false, {1, 2});
    saved.voters.push_back({3, 2, {2}});
    desk one{1, {.saved = saved, .log = records({{4, 2}}), .high_watermark = 3}};
    one.be_elected({2});
    CHECK(one.machine.is_leader());  // by the one vote that counts, which is not its own
    one.hear(2, fetch_of(3, 3, 5, 1));
    CHECK_FALSE(one.machine.is_leader());
    desk known{1, {.saved = saved, .log = records({{4, 2}}), .high_watermark = 4}};
    known.pass(1min);
    CHECK(known.machine.role() == role::follower);
}

TEST_CASE("who was voted out and does not know asks around until it finds the leader", "[replication][replica]") {
    desk one{3};
    one.pass(1min);
    const auto asked = one.take(message_kind::fetch);
    CHECK(asked.size() > 10);
    CHECK(std::any_of(asked.begin(), asked.end(), [](const desk::letter& letter) { return letter.to == 1; }));
    CHECK(std::any_of(asked.begin(), asked.end(), [](const desk::letter& letter) { return letter.to == 2; }));
    message answer = answered(asked.back().said, fetch_outcome::not_leader);
    answer.leader = 2;
    one.hear(1, answer);
    CHECK(one.machine.leader() == 2);
}

TEST_CASE("a learner neither votes itself into office nor is asked for votes", "[replication][replica]") {
    desk one{9};
    one.pass(1min);
    CHECK(one.take(message_kind::vote).empty());
    CHECK(one.machine.role() == role::follower);
    desk leading = leader_of({1, 2, 3}, 0);
    leading.hear(9, fetch_of(1, 1, 1, 1));
    const auto served = leading.machine.followers();
    CHECK(std::any_of(served.begin(), served.end(), [](const follower_progress& follower) { return follower.node == 9 && follower.fetched == 1; }));
}

// ---- handing over ----

TEST_CASE("the lead is handed over once the successor has everything, and until then nothing is appended", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    CHECK_FALSE(one.machine.transfer(9, one.now));
    CHECK_FALSE(one.machine.transfer(2, one.now));  // it has not fetched
    one.hear(2, fetch_of(1, 1, 2, 1));
    one.letters.clear();
    REQUIRE(one.machine.transfer(2, one.now));
    one.carry_out();
    CHECK_FALSE(one.machine.accepts_appends());
    CHECK(one.take(message_kind::end_epoch).empty());
    one.hear(2, fetch_of(1, 1, 3, 2));
    const auto told = one.take(message_kind::end_epoch);
    REQUIRE(told.size() == 1);
    CHECK(told.front().to == 2);
    desk next{2, {.saved = voted(1, 1), .log = records({{3, 1}})}};
    static_cast<void>(followed(next, 1, 1));
    next.letters.clear();
    next.hear(1, told.front().said);
    CHECK(next.machine.role() == role::candidate);  // at once
    CHECK(next.take(message_kind::vote).front().said.is_transfer);
}

TEST_CASE("the lead is not handed to who has said that its disk is full, and is when it has said that it is not", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    message full = fetch_of(1, 1, 3, 1);
    full.is_full = true;
    one.hear(2, full);
    CHECK(one.machine.why_no_transfer(2).find("no room") != std::string::npos);
    CHECK_FALSE(one.machine.transfer(2, one.now));
    one.hear(2, fetch_of(1, 1, 3, 2));
    CHECK(one.machine.why_no_transfer(2).empty());
    CHECK(one.machine.transfer(2, one.now));
    desk other{2, {.saved = voted(1, 1)}};
    other.machine.note_full(true);
    CHECK(followed(other, 1, 1).is_full);  // and it says so
}

TEST_CASE("a transfer that comes to nothing is over after an election timeout", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(2, fetch_of(1, 1, 1, 1));
    one.hear(3, fetch_of(1, 1, 3, 1));
    REQUIRE(one.machine.transfer(2, one.now));
    one.pass(1100ms);
    CHECK(one.machine.is_leader());
    CHECK(one.machine.accepts_appends());
}

TEST_CASE("a leader that resigns names the one that has come furthest", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(2, fetch_of(1, 1, 2, 1));
    one.hear(3, fetch_of(1, 1, 3, 1));
    one.letters.clear();
    one.machine.resign(one.now);
    one.carry_out();
    CHECK_FALSE(one.machine.is_leader());
    const auto gone = one.take(message_kind::end_epoch);
    REQUIRE(gone.size() == 2);
    CHECK(gone.front().said.leader == 3);
}

TEST_CASE("a leader whose disk fails says who should lead, and nothing after that", "[replication][replica]") {
    desk one = leader_of({1, 2, 3}, 2);
    one.hear(3, fetch_of(1, 1, 3, 1));
    one.letters.clear();
    one.machine.fail();
    one.carry_out();
    CHECK(one.take(message_kind::end_epoch).size() == 2);
    one.hear(2, fetch_of(1, 1, 3, 1));
    one.hear(2, vote_for(5, 5, 5));
    one.pass(1min);
    CHECK(one.letters.empty());
    CHECK(one.machine.role() == role::failed);
}

// ---- an operator's word ----

TEST_CASE("an operator can have a replica lead by the votes of whom it reaches, in an epoch that nobody else comes to", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    one.machine.force_unclean(one.now);
    one.carry_out();
    CHECK(one.machine.epoch() >> 20 == 1);
    for (int i = 0; i < 40 && !one.machine.is_leader(); ++i) {
        one.pass(50ms);
    }
    CHECK(one.machine.is_leader());
    CHECK(one.machine.take_reports().size() == 1);
    desk other{2, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    other.machine.force_unclean(other.now);
    CHECK(other.machine.epoch() != one.machine.epoch());
}

TEST_CASE("two that are forced to lead do not come to one epoch, whatever their numbers are", "[replication][replica]") {
    std::vector<std::int32_t> peers{700, 2, 34, 33, 1, 66, 65, 1'000'001};
    const std::uint32_t before = GENERATE(3u, next_lossy_epoch(0, 5) + 77);
    std::vector<std::uint32_t> epochs;
    for (const std::int32_t self : peers) {
        auto options = desk::options_of(self, 1, 1, false);
        options.peers = peers;
        desk one{options, {.saved = voted(before, no_node, false, peers), .log = records({{2, 3}})}};
        one.machine.force_unclean(one.now);
        one.carry_out();
        CHECK(is_lossy_epoch(one.machine.epoch()));
        CHECK(line_of(one.machine.epoch()) > line_of(before));
        epochs.push_back(one.machine.epoch());
    }
    std::sort(epochs.begin(), epochs.end());
    CHECK(std::adjacent_find(epochs.begin(), epochs.end()) == epochs.end());
}

TEST_CASE("a replica that is no peer is not forced to lead, since it has no epochs of its own", "[replication][replica]") {
    auto options = desk::options_of(3, 1, 1, false);
    options.peers = GENERATE(std::vector<std::int32_t>{1, 2}, std::vector<std::int32_t>{});
    options.self = options.peers.empty() ? 64 : 3;
    desk one{options, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    one.machine.force_unclean(one.now);
    one.carry_out();
    CHECK(one.machine.epoch() == 3);
    CHECK(one.machine.take_reports().size() == 1);
    CHECK(one.take(message_kind::vote).empty());
}

TEST_CASE("a line of elections that is full goes on in the next generation, and not in somebody else's line", "[replication][replica]") {
    const std::uint32_t last = GENERATE((1u << line_bits) - 1, next_lossy_epoch(0, 3) + (1u << line_bits) - 1);
    desk one{1, {.saved = voted(last, no_node), .log = records({{2, 3}})}};
    one.be_elected({2});
    REQUIRE(one.machine.is_leader());
    CHECK(one.machine.epoch() == next_lossy_epoch(last, 1) + 1);
    CHECK_FALSE(is_lossy_epoch(one.machine.epoch()));
    CHECK(one.machine.take_reports().empty());
    desk other{2, {.saved = voted(last, no_node), .log = records({{2, 3}})}};
    other.be_elected({3});
    CHECK(other.machine.epoch() == next_lossy_epoch(last, 2) + 1);
}

TEST_CASE("behind the last epoch there is none: a replica that would need one stops, and says so", "[replication][replica]") {
    desk one{1, {.saved = voted(message::largest_epoch, no_node), .log = records({{2, 3}})}};
    one.be_elected({2});
    CHECK(one.machine.role() == role::failed);
    CHECK(one.machine.take_reports().size() == 1);
}

TEST_CASE("a forced election is lost where one who was reached has more", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    one.machine.force_unclean(one.now);
    one.carry_out();
    message answer;
    answer.kind = message_kind::vote_answer;
    answer.epoch = one.machine.epoch();
    answer.session = 1;
    answer.number = 1;
    one.hear(2, answer);
    one.pass(10s);
    CHECK_FALSE(one.machine.is_leader());
}

TEST_CASE("what an operator has forced is over when somebody else leads", "[replication][replica]") {
    desk one{1, {.saved = voted(3, no_node), .log = records({{2, 3}})}};
    one.machine.force_unclean(one.now);
    one.carry_out();
    one.hear(2, leads(one.machine.epoch() + 1));
    one.pass(10s);  // it hears no more of that one
    CHECK_FALSE(one.machine.is_leader());
}

}  // namespace replication_replica_test
