#include <brook/broker/group_call.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"

namespace broker_group_call_test {

using namespace std::chrono_literals;
using brook::failure;
using brook::group_description;
using brook::broker_room::committed_position;
using brook::broker_room::group_codec;
using brook::broker_room::group_place;
using brook::broker_room::group_topic;
using brook::broker_room::member_options;
using brook::format::topic_id;
using brook::replication::byte_reader;
using brook::replication::byte_writer;

namespace {

[[nodiscard]] topic_id id(int which) {
    topic_id made{};
    made[1] = static_cast<std::byte>(which);
    return made;
}

template <class What>
[[nodiscard]] std::vector<std::byte> encode(const What& what) {
    std::vector<std::byte> all;
    byte_writer to{all};
    group_codec::put(to, what);
    return all;
}

[[nodiscard]] std::vector<committed_position> positions() {
    std::vector<committed_position> all(2);
    all[0].topic = id(1);
    all[0].partition = 3;
    all[0].next = 5'000'000'000;
    all[0].leader_epoch = -1;
    all[1].topic = id(2);
    all[1].next = 0;
    all[1].leader_epoch = 7;
    all[1].metadata = "where I was";
    return all;
}

[[nodiscard]] group_description description() {
    group_description told;
    told.group_id = "workers";
    told.state = brook::group_state::reconciling;
    told.generation = 12;
    told.assignor = "range";
    told.members.push_back({"member-1", "", false, {{"orders", 0}, {"returns", 7}}});
    told.members.push_back({"two", "two", true, {}});
    told.partitions.push_back({"orders", 0, 17, "note", 20, 3});
    told.partitions.push_back({"returns", 7, std::nullopt, "", 4, 4});
    return told;
}

}  // namespace

TEST_CASE("group_call tells questions, which change nothing, from the others", "[broker][group][call]") {
    using brook::broker_room::group_call;
    for (std::uint32_t raw = 0; raw < 32; ++raw) {
        const auto what = static_cast<group_call>(raw);
        CHECK(brook::broker_room::is_question(what) == (what == group_call::committed || what == group_call::names || what == group_call::describe));
    }
}

TEST_CASE("group_call's parts come back from their bytes", "[broker][group][call]") {
    const std::vector<group_place> places{{id(1), 0}, {id(2), 77}};
    const auto raw_places = encode(places);
    byte_reader from_places{raw_places};
    CHECK(group_codec::take_places(from_places) == places);
    CHECK(from_places.is_done());

    const auto raw_positions = encode(positions());
    byte_reader from_positions{raw_positions};
    const auto read = group_codec::take_positions(from_positions);
    CHECK(from_positions.is_done());
    REQUIRE(read.size() == 2);
    CHECK(read[0].topic == id(1));
    CHECK(read[0].partition == 3);
    CHECK(read[0].next == 5'000'000'000);
    CHECK(read[0].leader_epoch == -1);
    CHECK(read[0].metadata.empty());
    CHECK(read[1].leader_epoch == 7);
    CHECK(read[1].metadata == "where I was");

    const std::vector<group_topic> topics{{id(1), "orders", 3}, {id(2), "returns", 1}};
    const auto raw_topics = encode(topics);
    byte_reader from_topics{raw_topics};
    const auto named = group_codec::take_topics(from_topics);
    CHECK(from_topics.is_done());
    REQUIRE(named.size() == 2);
    CHECK(named[1].id == id(2));
    CHECK(named[1].name == "returns");
    CHECK(named[0].partitions == 3);

    const auto raw_description = encode(description());
    byte_reader from_description{raw_description};
    const auto told = group_codec::take_description(from_description);
    CHECK(from_description.is_done());
    CHECK(told.group_id == "workers");
    CHECK(told.state == brook::group_state::reconciling);
    CHECK(told.generation == 12);
    CHECK(told.assignor == "range");
    REQUIRE(told.members.size() == 2);
    CHECK(told.members[0].assignment == description().members[0].assignment);
    CHECK_FALSE(told.members[0].is_away);
    CHECK(told.members[1].group_instance_id == "two");
    CHECK(told.members[1].is_away);
    REQUIRE(told.partitions.size() == 2);
    CHECK(told.partitions[0].committed == 17);
    CHECK(told.partitions[0].metadata == "note");
    CHECK_FALSE(told.partitions[1].committed.has_value());
    CHECK(told.lag() == 7);
}

TEST_CASE("group_call's options name one of brook's assignors, and another is refused in words", "[broker][group][call]") {
    for (const auto& known : {brook::assignors::range(), brook::assignors::round_robin(), brook::assignors::cooperative_sticky()}) {
        member_options options;
        options.instance_id = "me";
        options.max_poll_interval = 7s;
        options.session_timeout = 0s;
        options.assignor = known;
        const auto raw = encode(options);
        byte_reader from{raw};
        failure why;
        const member_options read = group_codec::take_options(from, why);
        CHECK(from.is_done());
        CHECK_FALSE(why);
        CHECK(read.instance_id == "me");
        CHECK(read.max_poll_interval == 7s);
        CHECK(read.session_timeout == 0s);
        REQUIRE(read.assignor);
        CHECK(read.assignor->name() == known->name());
    }
    member_options hasty;
    hasty.max_poll_interval = 3ns;
    hasty.session_timeout = -5s;
    hasty.assignor = brook::assignors::range();
    const auto raw_hasty = encode(hasty);
    byte_reader from_hasty{raw_hasty};
    failure none;
    const member_options tamed = group_codec::take_options(from_hasty, none);
    CHECK(tamed.max_poll_interval == 1ms);
    CHECK(tamed.session_timeout == 0s);

    class own : public brook::partition_assignor {
    public:
        [[nodiscard]] std::string_view name() const noexcept override { return "mine"; }
        [[nodiscard]] brook::assignment assign(const brook::assignment_request& request) const override { return brook::assignment(request.members.size()); }
    };
    member_options options;
    options.assignor = std::make_shared<own>();
    const auto raw = encode(options);
    byte_reader from{raw};
    failure why;
    static_cast<void>(group_codec::take_options(from, why));
    CHECK(why.code == brook::errc::invalid_config);
    CHECK(why.text.find("'mine'") != std::string::npos);
    CHECK(why.text.find("use one of brook's") != std::string::npos);
}

TEST_CASE("group_call's parts are not whole at whichever byte they end", "[broker][group][call]") {
    const auto cut = [](const std::vector<std::byte>& all, const auto& take) {
        for (std::size_t size = 0; size < all.size(); ++size) {
            const std::vector<std::byte> part(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size));
            byte_reader from{part};
            take(from);
            CAPTURE(size);
            CHECK_FALSE(from.is_whole());
        }
    };
    cut(encode(std::vector<group_place>{{id(1), 0}, {id(2), 77}}), [](byte_reader& from) { static_cast<void>(group_codec::take_places(from)); });
    cut(encode(positions()), [](byte_reader& from) { static_cast<void>(group_codec::take_positions(from)); });
    cut(encode(std::vector<group_topic>{{id(1), "orders", 3}}), [](byte_reader& from) { static_cast<void>(group_codec::take_topics(from)); });
    cut(encode(description()), [](byte_reader& from) { static_cast<void>(group_codec::take_description(from)); });
}

TEST_CASE("group_call's topics have a number of partitions that a topic can have", "[broker][group][call]") {
    for (const std::int32_t partitions : {INT32_MIN, -1, 0, 10'001, INT32_MAX}) {
        const auto raw = encode(std::vector<group_topic>{{id(1), "orders", partitions}});
        byte_reader from{raw};
        CHECK(group_codec::take_topics(from).empty());
        CHECK_FALSE(from.is_whole());
    }
}

TEST_CASE("group_call takes no memory for counts that lie, and reads nothing outside of noise", "[broker][group][call]") {
    std::vector<std::byte> all;
    byte_writer{all}.put(std::uint32_t{0xffff'ffff});
    all.resize(200);
    byte_reader places{all};
    CHECK(group_codec::take_places(places).empty());
    CHECK_FALSE(places.is_whole());
    byte_reader of_positions{all};
    CHECK(group_codec::take_positions(of_positions).empty());
    byte_reader topics{all};
    CHECK(group_codec::take_topics(topics).empty());
    std::mt19937_64 chance{3};
    for (int round = 0; round < 5'000; ++round) {
        std::vector<std::byte> noise(chance() % 300);
        for (auto& one : noise) {
            one = static_cast<std::byte>(chance() % 4 == 0 ? chance() % 20 : 0);
        }
        byte_reader first{noise};
        static_cast<void>(group_codec::take_places(first));
        byte_reader second{noise};
        static_cast<void>(group_codec::take_positions(second));
        byte_reader third{noise};
        CHECK(group_codec::take_description(third).members.size() <= noise.size());
        byte_reader fourth{noise};
        failure why;
        static_cast<void>(group_codec::take_options(fourth, why));
        CHECK(why.code == brook::errc::invalid_config);
    }
}

}  // namespace broker_group_call_test
