// What rots on one broker of a cluster, and is had from the others.
#include <brook/brook.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <brook/replication.hpp>

#include "client/cluster_world.hpp"
#include "support/catch.hpp"

namespace client_cluster_rot_test {

using namespace brook;
using brook::test::cluster_world;
using brook::test::texts_topic;

namespace {

/// Changes the last byte of this text wherever it stands in a broker's logs; how often that was.
int damage(const std::string& directory, const std::string& what) {
    int found = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
        if (!entry.is_regular_file()) {
            continue;
        }
        std::fstream file{entry.path(), std::ios::in | std::ios::out | std::ios::binary};
        const std::string all{std::istreambuf_iterator<char>{file}, {}};
        file.clear();
        for (std::size_t at = all.find(what); at != std::string::npos; at = all.find(what, at + 1)) {
            file.seekp(static_cast<std::streamoff>(at + what.size() - 1));
            file.put('#');
            ++found;
        }
    }
    return found;
}

[[nodiscard]] std::string text_of(int number) { return "record " + std::to_string(1'000 + number); }

[[nodiscard]] std::size_t repairs(brook::broker& of) {
    const auto health = of.health();
    return static_cast<std::size_t>(
        std::count_if(health.errors.begin(), health.errors.end(), [](const failure& why) { return why.text.find("were repaired from the partition's leader") != std::string::npos; }));
}

}  // namespace

TEST_CASE("records that rotted on a follower are had from its leader, range by range, and it may be closed meanwhile", "[client][cluster][rot]") {
    cluster_world here;
    const auto topic = here[1].create_topic<std::string, std::string>("texts", {.partitions = 1, .replication_factor = 3, .segment_bytes = 1 << 20});
    {
        brook::producer sending{topic};
        for (int i = 0; i < 50; ++i) {
            static_cast<void>(sending.send("key", text_of(i)).get());
        }
    }
    for (const int id : {1, 2, 3}) {
        REQUIRE(cluster_world::reaches(here.topic<texts_topic>(id, "texts"), topic.partition(0).log_end_offset()));
    }
    const int leader = here.await_leader<texts_topic>({1, 2, 3}, 0, "texts");
    const int rotten = here.other_than(leader);
    here.stop(rotten);
    REQUIRE(damage(here.path(rotten), text_of(7)) == 1);
    REQUIRE(damage(here.path(rotten), text_of(31)) == 1);
    here.network.isolate(rotten);
    here.start(rotten);
    const auto read_all = [&] {
        std::vector<std::string> all;
        try {
            brook::consumer reading{here.topic<texts_topic>(rotten, "texts")};
            for (auto found = reading.poll(std::chrono::milliseconds{200}); !found.empty(); found = reading.poll(std::chrono::milliseconds{200})) {
                for (const auto& one : found) {
                    all.emplace_back(one.value());
                }
            }
        } catch (const error& why) {
            CHECK(why.code() == errc::corrupt_record);
        }
        return all;
    };
    static_cast<void>(read_all());  // it is met, and nobody can be asked
    here.stop(rotten);              // which waits for nobody
    here.network.heal();
    here.start(rotten);
    std::vector<std::string> expected;
    for (int i = 0; i < 50; ++i) {
        expected.push_back(text_of(i));
    }
    CHECK(cluster_world::eventually([&] { return read_all() == expected; }));
    CHECK(cluster_world::eventually([&] { return repairs(here[rotten]) == 2; }));
    INFO(here.states());
    CHECK(damage(here.path(rotten), text_of(7)) == 1);
    here.stop(rotten);
}

}  // namespace client_cluster_rot_test
