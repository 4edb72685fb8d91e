#include <brook/broker/committed_offsets.hpp>

#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace broker_committed_offsets_test {

using brook::errc;
using brook::broker_room::committed_position;
using brook::broker_room::core;
using brook::format::topic_id;
using brook::test::code_of;
using brook::test::faulty_platform;
using brook::test::temp_directory;

namespace {

brook::broker_options by_hand(brook::os::platform* platform = nullptr) {
    brook::broker_options options;
    options.maintenance = brook::maintenance::manual;
    options.platform = platform;
    return options;
}

topic_id topic(int number) {
    topic_id id{};
    id[0] = static_cast<std::byte>(number);
    return id;
}

std::optional<brook::offset> next_in(const std::optional<committed_position>& found) {
    return found ? std::optional{found->next} : std::nullopt;
}

}  // namespace

TEST_CASE("a commit is found again, by group, topic and partition, also by the next broker", "[broker][committed_offsets]") {
    const temp_directory directory;
    std::optional<core> broker{std::in_place, directory.path(), by_hand()};
    CHECK_FALSE(broker->offsets().find("group", topic(1), 0));
    REQUIRE_FALSE(broker->offsets().commit("group", {{topic(1), 0, 5}, {topic(1), 3, 7}, {topic(2), 0, 9}}));
    REQUIRE_FALSE(broker->offsets().commit("", {{topic(1), 0, 11}}));
    REQUIRE_FALSE(broker->offsets().commit("group", {{topic(1), 0, 4}}));  // back is as good as forward
    REQUIRE_FALSE(broker->offsets().commit("group", {}));
    const std::string long_name(3'000, 'g');
    REQUIRE_FALSE(broker->offsets().commit(long_name, {{topic(1), 0, 12}}));
    if (GENERATE(false, true)) {
        broker.emplace(directory.path() + "", by_hand());
    }
    const auto& offsets = broker->offsets();
    CHECK(next_in(offsets.find("group", topic(1), 0)) == 4);
    CHECK(next_in(offsets.find("group", topic(1), 3)) == 7);
    CHECK(next_in(offsets.find("group", topic(2), 0)) == 9);
    CHECK(next_in(offsets.find("", topic(1), 0)) == 11);
    CHECK(next_in(offsets.find(long_name, topic(1), 0)) == 12);
    CHECK_FALSE(offsets.find("group", topic(1), 1));
    CHECK_FALSE(offsets.find("group", topic(3), 0));
    CHECK_FALSE(offsets.find("grou", topic(1), 0));
}

TEST_CASE("a commit that could not be appended has not happened", "[broker][committed_offsets]") {
    const temp_directory directory;
    faulty_platform platform;
    core broker{directory.path(), by_hand(&platform)};
    REQUIRE_FALSE(broker.offsets().commit("group", {{topic(1), 0, 5}}));
    platform.limit_disk(0);
    brook::failure why;
    brook::offset last = 5;
    while (!(why = broker.offsets().commit("group", {{topic(1), 0, last + 1}}))) {
        ++last;
    }
    CHECK(why.code == std::errc::no_space_on_device);
    CHECK(next_in(broker.offsets().find("group", topic(1), 0)) == last);
    platform.unlimit_disk();
    CHECK_FALSE(broker.offsets().commit("group", {{topic(1), 0, 1'000'000}}));
    CHECK(next_in(broker.offsets().find("group", topic(1), 0)) == 1'000'000);
    const std::string huge(2 << 20, 'g');
    CHECK(broker.offsets().commit(huge, {{topic(1), 0, 1}}).code == errc::record_too_large);
    CHECK_FALSE(broker.offsets().find(huge, topic(1), 0));
}

TEST_CASE("commits of many threads and over many segments are all there", "[broker][committed_offsets]") {
    const temp_directory directory;
    constexpr int each = 10'000;
    {
        core broker{directory.path(), by_hand()};
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 1; i <= each; ++i) {
                    if (broker.offsets().commit("group", {{topic(t), 0, i}, {topic(t), 1, 2 * i}})) {
                        std::abort();
                    }
                }
            });
        }
    }
    core broker{directory.path(), by_hand()};
    for (int t = 0; t < 4; ++t) {
        CHECK(next_in(broker.offsets().find("group", topic(t), 0)) == each);
        CHECK(next_in(broker.offsets().find("group", topic(t), 1)) == 2 * each);
    }
}

TEST_CASE("a commit carries an epoch and metadata, also into the next broker", "[broker][committed_offsets]") {
    const temp_directory directory;
    std::optional<core> broker{std::in_place, directory.path(), by_hand()};
    REQUIRE_FALSE(broker->offsets().commit("group", {{topic(1), 0, 5, 3, "as far as the invoice"}, {topic(1), 1, 6}}));
    if (GENERATE(false, true)) {
        broker.emplace(directory.path() + "", by_hand());
    }
    const auto with = broker->offsets().find("group", topic(1), 0);
    REQUIRE(with);
    CHECK(with->leader_epoch == 3);
    CHECK(with->metadata == "as far as the invoice");
    const auto without = broker->offsets().find("group", topic(1), 1);
    REQUIRE(without);
    CHECK(without->leader_epoch == -1);
    CHECK(without->metadata.empty());
}

TEST_CASE("what a group has committed can be forgotten, for good", "[broker][committed_offsets]") {
    const temp_directory directory;
    std::optional<core> broker{std::in_place, directory.path(), by_hand()};
    REQUIRE_FALSE(broker->offsets().commit("group", {{topic(1), 0, 5, 3, "note"}, {topic(1), 1, 6}}));
    REQUIRE_FALSE(broker->offsets().commit("other", {{topic(1), 0, 7}}));
    REQUIRE_FALSE(broker->offsets().forget("nobody"));
    REQUIRE_FALSE(broker->offsets().forget("group"));
    if (GENERATE(false, true)) {
        broker.emplace(directory.path() + "", by_hand());
    }
    CHECK_FALSE(broker->offsets().find("group", topic(1), 0));
    CHECK_FALSE(broker->offsets().find("group", topic(1), 1));
    CHECK(next_in(broker->offsets().find("other", topic(1), 0)) == 7);
    CHECK(broker->offsets().groups() == std::vector<std::string>{"other"});
}

}  // namespace broker_committed_offsets_test
