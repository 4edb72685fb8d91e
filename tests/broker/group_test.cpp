#include <brook/broker/group.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace broker_group_test {

using namespace brook;
using namespace brook::broker_room;
using namespace std::chrono_literals;

namespace {

group_topic topic_of(std::uint8_t number, std::int32_t partitions) {
    group_topic made{{}, "topic-" + std::to_string(number), partitions};
    made.id[0] = std::byte{number};
    return made;
}

member_options options_of(std::shared_ptr<const partition_assignor> assignor = assignors::cooperative_sticky(), std::string instance = {}) {
    return {std::move(instance), 5min, 45s, std::move(assignor)};
}

/// All members do what a poll does, until nothing changes any more.
void settle(group& in) {
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (const auto& one : in.members()) {
            if (one->gone_since) {
                continue;
            }
            const auto going = in.to_release(one->id);
            in.release(one->id, going);
            has_changed = !in.take(one->id).empty() || !going.empty() || has_changed;
        }
    }
}

/// Splits topics at random, badly: what it forgets and gives twice is not to be followed.
class careless_assignor final : public partition_assignor {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "careless"; }
    [[nodiscard]] assignment assign(const assignment_request& request) const override {
        assignment shares(request.members.size());
        switch (request.members.size()) {
            case 1: break;                                          // forgets all
            case 2: shares[0] = {{0, 0}, {0, 1}}; shares[1] = {{0, 1}}; break;  // gives one twice
            case 3: shares[0] = {{0, 99}}; break;                   // gives what there is not
            case 4: shares[0] = {{1, 0}}; break;                    // of a topic that there is not
            default: shares.pop_back();                             // forgets somebody
        }
        return shares;
    }
};

}  // namespace

TEST_CASE("a partition goes from one to another only when that one has given it up", "[broker][group]") {
    group in{"workers"};
    const auto topics = std::vector{topic_of(1, 4)};
    in.join(1, options_of(), topics, 0s);
    CHECK(in.take(1).size() == 4);
    CHECK(in.is_settled());
    const auto first = in.generation();

    const auto second = in.join(2, options_of(), topics, 0s);
    CHECK(in.generation() == first + 1);
    CHECK_FALSE(in.is_settled());
    CHECK(in.take(2).empty());  // all of them are the other's still
    const auto going = in.to_release(1);
    CHECK(going.size() == 2);
    CHECK(in.owns(1, going[0]));  // and may be committed
    const auto seen = second->changes.load();
    in.release(1, going);
    CHECK(second->changes.load() > seen);  // there is something to take now
    CHECK_FALSE(in.owns(1, going[0]));
    CHECK(in.take(2) == going);
    CHECK(in.take(2).empty());
    CHECK(in.is_settled());

    in.leave(2, 0s);
    CHECK(in.find(2) == nullptr);
    CHECK(in.take(1) == going);
}

TEST_CASE("who does not poll is put out, and who is inside a poll is not", "[broker][group]") {
    group in{"workers"};
    const auto topics = std::vector{topic_of(1, 2)};
    const auto idle = in.join(1, options_of(), topics, 0s);
    const auto waiting = in.join(2, options_of(), topics, 0s);
    settle(in);
    waiting->polls = 1;
    idle->polls = 2;  // has been in one
    CHECK(in.expire(4min) == std::optional<std::chrono::nanoseconds>{4min + 37'500ms});  // to see in time whether they poll
    CHECK(in.find(1) != nullptr);
    waiting->polls = 1;  // still the same one
    CHECK(in.expire(9min - 1ns));
    CHECK(in.find(1) != nullptr);
    const auto seen = waiting->changes.load();
    CHECK(in.expire(9min) == std::optional<std::chrono::nanoseconds>{9min + 37'500ms});
    CHECK(in.find(1) == nullptr);
    CHECK(in.find(2) != nullptr);
    CHECK(waiting->changes.load() > seen);
    CHECK(in.take(2).size() == 1);
    waiting->polls = 2;
    static_cast<void>(in.expire(10min));
    CHECK_FALSE(in.expire(15min));  // nobody is left
    CHECK_FALSE(in.has_members());
}

TEST_CASE("a static member comes back to what it had, and nobody else notices", "[broker][group]") {
    group in{"workers"};
    const auto topics = std::vector{topic_of(1, 4)};
    in.join(1, options_of(assignors::cooperative_sticky(), "left hand"), topics, 0s);
    const auto other = in.join(2, options_of(), topics, 0s);
    settle(in);
    const auto had = in.owned(1);
    const auto generation = in.generation();
    const auto seen = other->changes.load();

    SECTION("inside its session") {
        in.leave(1, 1s);
        CHECK(in.find(1) == nullptr);
        CHECK(in.expire(45s) == std::optional<std::chrono::nanoseconds>{46s});
        CHECK(in.take(2).empty());
        in.join(3, options_of(assignors::cooperative_sticky(), "left hand"), topics, 45s);
        CHECK(in.take(3) == had);
        CHECK(in.generation() == generation);
        CHECK(other->changes.load() == seen);
    }
    SECTION("while it is thought to be there: then the older one is fenced") {
        in.join(3, options_of(assignors::cooperative_sticky(), "left hand"), topics, 1s);
        CHECK(in.find(1) == nullptr);
        CHECK_FALSE(in.owns(1, had[0]));
        CHECK(in.take(3) == had);
        CHECK(in.generation() == generation);
    }
    SECTION("too late: others have it then") {
        in.leave(1, 1s);
        static_cast<void>(in.expire(46s));
        CHECK(in.take(2) == had);
        in.join(3, options_of(assignors::cooperative_sticky(), "left hand"), topics, 47s);
        CHECK(in.take(3).empty());
    }
    SECTION("and one that reads something else is a change for all") {
        in.leave(1, 1s);
        in.join(3, options_of(assignors::cooperative_sticky(), "left hand"), {topic_of(2, 1)}, 2s);
        settle(in);
        CHECK(in.owned(3).size() == 1);
        CHECK(in.owned(2).size() == 4);
    }
}

TEST_CASE("an assignor that answers wrongly is not followed, and told of", "[broker][group]") {
    group in{"workers"};
    const auto topics = std::vector{topic_of(1, 6)};
    const auto careless = std::make_shared<const careless_assignor>();
    for (group::member_id id = 1; id <= 5; ++id) {
        in.join(id, options_of(careless), topics, 0s);
        CAPTURE(id, in.problem());
        CHECK(in.problem().find("group 'workers': assignor careless") == 0);
        settle(in);
        CHECK(in.is_settled());
        CHECK(in.owned(id).size() == 6 / id);
    }
    CHECK(in.agrees(*careless));
    CHECK_FALSE(in.agrees(*assignors::range()));
}

TEST_CASE("whatever members do, no partition has two readers, and none stays without one", "[broker][group][model]") {
    struct actor {
        group::member_id id;
        std::shared_ptr<membership> shared;
        std::string instance;
        std::set<std::pair<std::uint8_t, std::int32_t>> reads;  // what it believes to be its own
        bool is_dead = false;
    };
    const auto key = [](const group_place& place) { return std::pair{std::to_integer<std::uint8_t>(place.topic[0]), place.partition}; };
    std::uint64_t refused = 0;
    std::uint64_t moved = 0;
    for (unsigned seed = 0; seed < 4'000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        group in{"workers"};
        const std::vector<group_topic> all{topic_of(1, static_cast<std::int32_t>(1 + random() % 7)), topic_of(2, static_cast<std::int32_t>(1 + random() % 4))};
        const auto assignor = random() % 3 == 0 ? assignors::range() : random() % 2 == 0 ? assignors::round_robin() : assignors::cooperative_sticky();
        std::vector<actor> actors;
        group::member_id last = 0;
        std::chrono::nanoseconds now{0};
        const auto some_topics = [&] { return random() % 3 == 0 ? std::vector{all[random() % 2]} : all; };

        // A poll: who has been put out drops all first, as a consumer does.
        const auto poll = [&](actor& one) {
            one.shared->polls.fetch_add(1);
            if (in.find(one.id) == nullptr) {
                one.reads.clear();
                one.is_dead = true;
                return;
            }
            const auto going = in.to_release(one.id);
            for (const auto& place : going) {
                REQUIRE(in.owns(one.id, place));  // a commit is still possible
                REQUIRE(one.reads.erase(key(place)) == 1);
                ++moved;
            }
            in.release(one.id, going);
            for (const auto& place : in.take(one.id)) {
                REQUIRE(one.reads.insert(key(place)).second);
            }
            one.shared->polls.fetch_add(1);
        };
        const auto check = [&] {
            std::map<std::pair<std::uint8_t, std::int32_t>, int> readers;
            for (const auto& one : actors) {
                if (in.find(one.id) == nullptr) {
                    for (const auto& [topic, partition] : one.reads) {  // believes to read it; and cannot commit it
                        refused += in.owns(one.id, {all[topic - 1u].id, partition}) ? 0 : 1;
                        REQUIRE_FALSE(in.owns(one.id, {all[topic - 1u].id, partition}));
                    }
                    continue;
                }
                for (const auto& place : one.reads) {
                    ++readers[place];
                }
                REQUIRE(in.owned(one.id).size() == one.reads.size());
            }
            for (const auto& [place, count] : readers) {
                REQUIRE(count == 1);
            }
        };
        for (int step = 0; step < 40; ++step) {
            now += std::chrono::seconds{random() % 60};
            switch (random() % 8) {
                case 0: {
                    const std::string instance = random() % 3 == 0 ? std::string(1, static_cast<char>('a' + random() % 3)) : std::string{};
                    actor joining{++last, nullptr, instance, {}};
                    joining.shared = in.join(joining.id, options_of(assignor, instance), some_topics(), now);
                    actors.push_back(std::move(joining));
                    break;
                }
                case 1:
                    if (!actors.empty()) {
                        const std::size_t i = random() % actors.size();
                        in.leave(actors[i].id, now);
                        actors.erase(actors.begin() + static_cast<std::ptrdiff_t>(i));
                    }
                    break;
                case 2:
                    if (!actors.empty()) {
                        actors[random() % actors.size()].is_dead = true;  // never polls again
                    }
                    break;
                case 3: static_cast<void>(in.expire(now += 2min)); break;
                case 4:
                    if (!actors.empty()) {
                        if (actor& one = actors[random() % actors.size()]; in.find(one.id) != nullptr) {
                            in.subscribe(one.id, some_topics());
                        }
                    }
                    break;
                default:
                    if (!actors.empty()) {
                        if (actor& one = actors[random() % actors.size()]; !one.is_dead) {
                            poll(one);
                        }
                    }
            }
            check();
        }
        // Those that live go on, the dead are put out: then all that somebody reads has a reader.
        for (int round = 0; round < 8; ++round) {
            now += 2min;
            for (auto& one : actors) {
                if (!one.is_dead) {
                    poll(one);
                }
            }
            static_cast<void>(in.expire(now));
            check();
        }
        REQUIRE(in.is_settled());
        for (const auto& topic : all) {
            bool is_wanted = false;
            for (const auto& one : in.members()) {
                for (const auto& wanted : one->topics) {
                    is_wanted = is_wanted || wanted.id == topic.id;
                }
            }
            std::size_t readers = 0;
            for (const auto& one : actors) {
                for (std::int32_t number = 0; number < topic.partitions; ++number) {
                    readers += in.owns(one.id, {topic.id, number}) ? 1 : 0;
                }
            }
            REQUIRE(readers == (is_wanted ? static_cast<std::size_t>(topic.partitions) : 0));
        }
    }
    CHECK(refused > 1'000);  // the schedules met what they are for
    CHECK(moved > 1'000);
}

TEST_CASE("group's members that disagree about a topic's partitions have those that it was named with first", "[broker][group]") {
    group in{"workers"};
    static_cast<void>(in.join(1, options_of(), {topic_of(1, 1)}, 0s));
    CHECK(in.take(1).size() == 1);
    static_cast<void>(in.join(2, options_of(), {topic_of(1, 5'000), topic_of(2, -1)}, 0s));
    settle(in);
    CHECK(in.owned(1).size() + in.owned(2).size() == 1);
    CHECK_FALSE(in.owns(2, {topic_of(1, 1).id, 4'999}));
    in.leave(1, 1s);
    settle(in);
    CHECK(in.owned(2).size() == 5'000);  // it is the first one now
}

TEST_CASE("group's member that cannot be shared out to has not joined", "[broker][group]") {
    class failing final : public partition_assignor {
    public:
        [[nodiscard]] std::string_view name() const noexcept override { return "failing"; }
        [[nodiscard]] assignment assign(const assignment_request& request) const override {
            if (request.members.size() > 1) {
                throw std::runtime_error{"too many"};
            }
            return assignors::range()->assign(request);
        }
    };
    group in{"workers"};
    static_cast<void>(in.join(1, options_of(std::make_shared<failing>()), {topic_of(1, 3)}, 0s));
    settle(in);
    CHECK_THROWS_AS(in.join(2, options_of(std::make_shared<failing>()), {topic_of(1, 3)}, 0s), std::runtime_error);
    CHECK(in.members().size() == 1);
    CHECK(in.find(2) == nullptr);
    CHECK(in.owned(1).size() == 3);
    CHECK(in.to_release(1).empty());
}

}  // namespace broker_group_test
