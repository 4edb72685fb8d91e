#include <brook/broker/core.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "broker/child.hpp"
#include "broker/outcome.hpp"
#include "broker/watched_platform.hpp"
#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/temp_directory.hpp"

namespace broker_core_test {

using namespace std::chrono_literals;

using brook::broker_options;
using brook::errc;
using brook::maintenance;
using brook::topic_options;
using brook::broker_room::core;
using brook::broker_room::schema;
using brook::broker_room::topic_handle;
using brook::test::child;
using brook::test::code_of;
using brook::test::fault;
using brook::test::faulty_platform;
using brook::test::in_child;
using brook::test::operation;
using brook::test::outcome_of;
using brook::test::shared_with_children;
using brook::test::temp_directory;
using brook::test::watched_platform;

namespace {

const schema key{"key", 1};
const schema value{"value", 2};

broker_options by_hand(brook::os::platform* platform = nullptr) {
    broker_options options;
    options.maintenance = maintenance::manual;
    options.platform = platform;
    return options;
}

std::string read(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream{path, std::ios::binary} << text; }

/// Appends one record without key or value.
std::error_code append(const topic_handle& topic, std::int32_t partition = 0) {
    brook::storage::claim taken;
    brook::failure why;
    if (!topic->partition(partition).take(brook::format::frame_header_size, 1, taken, why)) {
        return why.code;
    }
    brook::format::frame_header header{};
    header.size = static_cast<std::int32_t>(brook::format::frame_header_size);
    header.attributes = brook::format::attribute::lone | brook::format::attribute::null_value;
    header.count = brook::format::null_size;
    topic->partition(partition).publish(taken, header);
    return {};
}

std::size_t threads_of_this_process() {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{"/proc/self/task"}, {}));
}

/// A thread that has been joined may still be listed for a moment.
bool has_threads(std::size_t expected) {
    for (int attempt = 0; attempt < 100'000 && threads_of_this_process() != expected; ++attempt) {
        std::this_thread::yield();
    }
    return threads_of_this_process() == expected;
}

std::uintmax_t disk_use(const std::string& path) {
    std::uintmax_t blocks = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{path}) {
        struct stat status {};
        if (::stat(entry.path().c_str(), &status) == 0 && entry.is_regular_file()) {
            blocks += static_cast<std::uintmax_t>(status.st_blocks);
        }
    }
    return blocks * 512;
}

/// Counts down to an event that another thread brings about; waits long, and says whether it came.
class event {
public:
    void happened() {
        const std::lock_guard guard{mutex_};
        has_happened_ = true;
        changed_.notify_all();
    }
    [[nodiscard]] bool await() {
        std::unique_lock guard{mutex_};
        return changed_.wait_for(guard, 60s, [this] { return has_happened_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool has_happened_ = false;
};

}  // namespace

// ---- the directory ----

TEST_CASE("a broker makes its directory, and finds its topics there the next time", "[broker][core]") {
    const temp_directory scratch;
    const std::string directory = scratch / "data";
    {
        core broker{directory, by_hand()};
        CHECK_FALSE(append(broker.create_topic("orders", {.partitions = 3}, key, value), 2));
        CHECK(broker.topic_names() == std::vector<std::string>{"orders"});
    }
    core again{directory + "//", by_hand()};
    CHECK(again.directory() == directory);
    const topic_handle orders = again.topic("orders", key, value);
    CHECK(orders->partition_count() == 3);
    CHECK(orders->partition(0).log_end_offset() == 0);
    CHECK(orders->partition(2).log_end_offset() == 1);
    CHECK(code_of([&] { static_cast<void>(orders->partition(3)); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { static_cast<void>(orders->partition(-1)); }) == errc::unknown_topic_or_partition);
}

TEST_CASE("a directory is one broker's at a time", "[broker][core]") {
    const temp_directory scratch;
    const auto open = [&] { core{scratch.path(), by_hand()}; };
    const auto opens_elsewhere = [&] { return in_child([&] { return code_of(open) == errc::directory_in_use ? 1 : 0; }); };

    SECTION("of two in one process the second is refused") {
        core first{scratch.path(), by_hand()};
        const auto refused = outcome_of(open);
        CHECK(refused.code == errc::directory_in_use);
        CHECK(refused.names(scratch.path()));
        CHECK(refused.names("process " + std::to_string(::getpid())));
        CHECK(read(scratch / "broker.lock") == std::to_string(::getpid()) + "\n");
    }
    SECTION("of two processes the second is refused") {
        core first{scratch.path(), by_hand()};
        CHECK(opens_elsewhere() == 1);
    }
    SECTION("a broker that goes leaves it free at once") {
        { core first{scratch.path(), by_hand()}; }
        CHECK_FALSE(code_of(open));
        CHECK(opens_elsewhere() == 0);
    }
    SECTION("a broker that is closed leaves it free at once, whoever still has the object") {
        core first{scratch.path(), by_hand()};
        first.close();
        CHECK_FALSE(code_of(open));
    }
    SECTION("a process that is killed leaves it free at once") {
        shared_with_children<std::atomic<bool>> has_opened;
        child holder{[&] {
            core first{scratch.path(), by_hand()};
            has_opened->store(true);
            for (;;) {
                ::pause();
            }
            return 0;
        }};
        while (!has_opened->load()) {
            REQUIRE(holder.is_running());
            std::this_thread::yield();
        }
        CHECK(code_of(open) == errc::directory_in_use);
        holder.kill();
        CHECK_FALSE(code_of(open));
    }
}

TEST_CASE("a directory that holds other files is left as it was", "[broker][core]") {
    const temp_directory scratch;
    write(scratch / "thesis.tex", "42");
    CHECK(code_of([&] { core{scratch.path(), by_hand()}; }) == errc::not_a_brook_directory);
    CHECK(std::distance(std::filesystem::directory_iterator{scratch.path()}, {}) == 1);

    std::filesystem::remove(scratch / "thesis.tex");
    std::filesystem::create_directory(scratch / "lost+found");  // the root of a file system of its own
    CHECK_FALSE(code_of([&] { core{scratch.path(), by_hand()}; }));
}

TEST_CASE("a directory that cannot be made says the system's own reason", "[broker][core]") {
    const temp_directory scratch;
    CHECK(code_of([&] { core{scratch / "no/such/parent", by_hand()}; }) == std::errc::no_such_file_or_directory);
    write(scratch / "file", "");
    CHECK(code_of([&] { core{scratch / "file", by_hand()}; }) == std::errc::not_a_directory);
    CHECK(code_of([&] { core{"", by_hand()}; }) == std::errc::no_such_file_or_directory);
}

TEST_CASE("a newer format is refused by name, and a damaged broker.meta is no newer format", "[broker][core]") {
    const temp_directory scratch;
    { core{scratch.path(), by_hand()}; }
    const std::string path = scratch / "broker.meta";
    SECTION("newer") {
        write(path, brook::format::properties{"brook-broker", 2}.encode());
        const auto refused = outcome_of([&] { core{scratch.path(), by_hand()}; });
        CHECK(refused.code == errc::unsupported_version);
        CHECK(refused.names(path));
    }
    SECTION("damaged") {
        std::string text = read(path);
        text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
        write(path, text);
        const auto refused = outcome_of([&] { core{scratch.path(), by_hand()}; });
        CHECK(refused.code == errc::corrupt_record);
        CHECK(refused.names(path));
    }
    SECTION("gone, while there are topics") {
        std::filesystem::remove(path);
        CHECK(code_of([&] { core{scratch.path(), by_hand()}; }) == errc::not_a_brook_directory);
    }
    CHECK(code_of([&] { core{scratch.path(), by_hand()}; }) != errc::directory_in_use);  // a refusal holds nothing
}

TEST_CASE("a file system that does not promise mapped writes is refused, unless the user knows better", "[broker][core]") {
    const temp_directory scratch;
    faulty_platform platform;
    platform.inject({.on = operation::filesystem_of, .lasting = true});
    broker_options options = by_hand(&platform);
    CHECK(code_of([&] { core{scratch.path(), options}; }) == errc::unsafe_filesystem);
    options.allow_unsafe_filesystem = true;
    CHECK_FALSE(code_of([&] { core{scratch.path(), options}; }));
}

TEST_CASE("of two that begin one directory at the same time, the second finds what the first has made", "[broker][core]") {
    const temp_directory scratch;
    faulty_platform platform;
    platform.on_call([&](operation which, const std::string&) {
        if (which == operation::lock_file) {  // between our look at the directory and our lock, another came and went
            platform.on_call(nullptr);
            core other{scratch.path(), by_hand()};
            static_cast<void>(other.create_topic("theirs", {}, key, value));
        }
    });
    core broker{scratch.path(), by_hand(&platform)};
    CHECK(broker.topic_names() == std::vector<std::string>{"theirs"});
}

TEST_CASE("opening fails at whichever call the system refuses, and the next opening succeeds", "[broker][core]") {
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(call);
        const temp_directory scratch;
        const std::string directory = scratch / "data";
        faulty_platform platform;
        platform.fail_any(call);
        const auto failed = outcome_of([&] { core{directory, by_hand(&platform)}; });
        const bool is_through = platform.calls() < call;
        platform.heal();
        core broker{directory, by_hand(&platform)};
        REQUIRE_FALSE(append(broker.create_topic("orders", {}, key, value)));
        if (is_through) {
            REQUIRE_FALSE(failed.code);
            break;
        }
        REQUIRE(call < 1'000);
    }
}

TEST_CASE("a directory that was made is synced into its parent, as are the topics in it", "[broker][core]") {
    const temp_directory scratch;
    faulty_platform platform;
    std::vector<std::string> synced;
    platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync_directory) {
            synced.push_back(path);
        }
    });
    const auto has_synced = [&](const std::string& path) { return std::find(synced.begin(), synced.end(), path) != synced.end(); };
    { core{scratch / "data", by_hand(&platform)}; }
    CHECK(has_synced(scratch.path()));
    CHECK(has_synced(scratch / "data"));
    CHECK(has_synced(scratch / "data/topics"));

    std::filesystem::remove_all(scratch / "data/topics");  // killed before it was made
    synced.clear();
    core broker{scratch / "data", by_hand(&platform)};
    CHECK(has_synced(scratch / "data"));

    platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync_directory) {
            synced.push_back(path);
        } else if (which == operation::rename && path.ends_with(" -> " + scratch.path() + "/data/topics/orders")) {
            synced.clear();
        }
    });
    static_cast<void>(broker.create_topic("orders", {}, key, value));
    CHECK(has_synced(scratch / "data/topics"));  // since it has its name
    platform.on_call(nullptr);
}

// ---- topics ----

TEST_CASE("topic names are Kafka's, and are checked before any path is made of them", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch / "data", by_hand()};
    const std::string longest(249, 'x');
    for (const std::string& name : {std::string{"a"}, std::string{"A.b_c-9"}, std::string{"..."}, std::string{"_one"}, longest}) {
        CAPTURE(name);
        CHECK_FALSE(code_of([&] { static_cast<void>(broker.create_topic(name, {}, key, value)); }));
    }
    for (const std::string& name : {std::string{}, std::string{"."}, std::string{".."}, std::string{"../escape"}, std::string{"a/b"}, std::string{"/etc"},
                                   std::string{"a\0b", 3}, std::string{"a b"}, std::string{"a~"}, std::string{"gr\xc3\xbc"}, std::string{"a\n"}, longest + 'x'}) {
        CAPTURE(name);
        CHECK(code_of([&] { static_cast<void>(broker.create_topic(name, {}, key, value)); }) == errc::invalid_topic);
        CHECK(code_of([&] { static_cast<void>(broker.topic(name, key, value)); }) == errc::invalid_topic);
    }
    for (const std::string name : {"__x", "__consumer_offsets"}) {  // the broker's own
        CAPTURE(name);
        CHECK(code_of([&] { static_cast<void>(broker.create_topic(name, {}, key, value)); }) == errc::invalid_topic);
        CHECK(code_of([&] { static_cast<void>(broker.topic(name, key, value)); }) == errc::unknown_topic_or_partition);
    }
    CHECK(broker.topic_names().size() == 5);
    CHECK(std::distance(std::filesystem::directory_iterator{scratch.path()}, {}) == 1);
}

TEST_CASE("a topic that exists is opened where the options agree, and a typo creates nothing", "[broker][core]") {
    const temp_directory scratch;
    std::optional<core> broker{std::in_place, scratch.path(), by_hand()};
    const topic_options made{.partitions = 2,
                             .segment_bytes = 65'536,
                             .flush_messages = 10,
                             .flush_interval = 1s,
                             .message_timestamp_type = brook::timestamp_type::append_time};
    const topic_handle topic = broker->create_topic("orders", made, key, value);
    const bool is_reopened = GENERATE(false, true);
    if (is_reopened) {
        broker.emplace(scratch / "", by_hand());
    }
    CAPTURE(is_reopened);
    const auto create = [&](const topic_options& options) {
        return outcome_of([&] { static_cast<void>(broker->create_topic("orders", options, key, value)); });
    };
    CHECK_FALSE(create(made).code);
    CHECK_FALSE(create({}).code);  // not given is not default
    CHECK_FALSE(create({.segment_bytes = 65'535}).code);  // is rounded up to the same

    struct difference {
        topic_options options;
        std::string name;
        brook::errc code = errc::topic_already_exists;
    };
    const std::vector<difference> differences = {
        {{.partitions = 3}, "partitions"},
        {{.segment_bytes = 131'072}, "segment_bytes"},
        {{.segment_bytes = (std::int64_t{1} << 32) + 65'536}, "segment_bytes", errc::invalid_config},
        {{.segment_bytes = -65'536}, "segment_bytes", errc::invalid_config},
        {{.flush_messages = 1}, "flush_messages"},
        {{.flush_interval = 2s}, "flush_interval"},
        {{.message_timestamp_type = brook::timestamp_type::create_time}, "message_timestamp_type"},
        {{.replication_factor = 3}, "replication_factor", errc::invalid_config},
        {{.retention = 1h}, "retention"},
        {{.retention_bytes = 65'536}, "retention_bytes"},
        {{.reuse_segments = true}, "reuse_segments"},
        {{.cleanup_policy = brook::cleanup_policy::compact}, "cleanup_policy"},
    };
    for (const auto& differing : differences) {
        CAPTURE(differing.name);
        const auto refused = create(differing.options);
        CHECK(refused.code == differing.code);
        CHECK(refused.names(differing.name));
        CHECK(refused.names("orders"));
    }
    CHECK(code_of([&] { static_cast<void>(broker->topic("oders", key, value)); }) == errc::unknown_topic_or_partition);
    CHECK(broker->topic_names() == std::vector<std::string>{"orders"});
}

TEST_CASE("other types than a topic was made with are refused, by the name of what differs", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    static_cast<void>(broker.create_topic("orders", {}, key, value));
    const schema other_name{"other", 2};
    const schema other_fingerprint{"value", 3};
    for (const schema& other : {other_name, other_fingerprint}) {
        const auto as_value = outcome_of([&] { static_cast<void>(broker.topic("orders", key, other)); });
        CHECK(as_value.code == errc::schema_mismatch);
        CHECK(as_value.names("its values are 'value'"));
        const auto as_key = outcome_of([&] { static_cast<void>(broker.create_topic("orders", {}, other, value)); });
        CHECK(as_key.code == errc::schema_mismatch);
        CHECK(as_key.names("its keys are 'key'"));
    }
}

TEST_CASE("a schema's name that would not come back from topic.meta is refused when the topic is made", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    for (const std::string& name : {std::string{"two\nlines"}, std::string(70'000, 'x')}) {
        CHECK(code_of([&] { static_cast<void>(broker.create_topic("orders", {}, key, {name, 1})); }) == errc::invalid_config);
    }
    CHECK(broker.topic_names().empty());
}

TEST_CASE("what this version cannot do is refused by name, before anything is made", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    struct unsupported {
        topic_options options;
        std::string name;
    };
    const std::vector<unsupported> all = {
        {{.replication_factor = 3}, "replication_factor"},
        {{.min_insync_replicas = 2}, "min_insync_replicas"},
        {{.retention = 0s}, "retention"},
        {{.retention_bytes = 0}, "retention_bytes"},
        {{.retention = 1h, .cleanup_policy = brook::cleanup_policy::compact}, "retention"},
        {{.reuse_segments = true}, "reuse_segments"},
        {{.delete_retention = 24h}, "delete_retention"},
        {{.partitions = 0}, "partitions"},
        {{.partitions = -1}, "partitions"},
        {{.partitions = 10'001}, "partitions"},
        {{.segment_bytes = 4'095}, "segment_bytes"},
        {{.segment_bytes = (std::int64_t{1} << 30) + 1}, "segment_bytes"},
        {{.segment_bytes = -1}, "segment_bytes"},
        {{.flush_messages = 0}, "flush_messages"},
        {{.flush_interval = 0s}, "flush_interval"},
        {{.flush_interval = -1s}, "flush_interval"},
    };
    for (const auto& one : all) {
        CAPTURE(one.name);
        const auto refused = outcome_of([&] { static_cast<void>(broker.create_topic("orders", one.options, key, value)); });
        CHECK(refused.code == errc::invalid_config);
        CHECK(refused.names(one.name));
    }
    CHECK_FALSE(code_of([&] {
        static_cast<void>(broker.create_topic("orders", {.replication_factor = 1, .min_insync_replicas = 1, .cleanup_policy = brook::cleanup_policy::delete_}, key, value));
    }));
    CHECK(broker.topic_names() == std::vector<std::string>{"orders"});
}

TEST_CASE("a broker with peers takes a transport, alone among them it does not", "[broker][core]") {
    const temp_directory scratch;
    broker_options options = by_hand();
    options.node_id = 1;
    options.peers = {1, 2, 3};
    const auto refused = outcome_of([&] { core{scratch / "data", options}; });
    CHECK(refused.code == errc::invalid_config);
    CHECK(refused.names("peers"));
    CHECK_FALSE(std::filesystem::exists(scratch / "data"));
    options.peers = {1};
    CHECK_FALSE(code_of([&] { core{scratch / "data", options}; }));
}

TEST_CASE("a damaged topic says so to who asks for it, and stops no other", "[broker][core]") {
    const temp_directory scratch;
    {
        core broker{scratch.path(), by_hand()};
        for (const char* const name : {"good", "bad", "empty", "newer", "missing"}) {
            REQUIRE_FALSE(append(broker.create_topic(name, {}, key, value)));
        }
    }
    const auto meta = [&](const std::string& topic) { return scratch / ("topics/" + topic + "/topic.meta"); };
    std::string text = read(meta("bad"));
    text[text.find("partitions 1") + 11] = '2';
    write(meta("bad"), text);
    write(meta("empty"), "");
    write(meta("newer"), brook::format::properties{"brook-topic", 2}.encode());
    std::filesystem::remove(meta("missing"));
    std::filesystem::create_directory(scratch / "topics/not a topic");

    std::vector<std::string> told;
    broker_options options = by_hand();
    options.on_error = [&](const brook::failure& why) { told.push_back(why.text); };
    core broker{scratch.path(), options};
    const auto ask = [&](const char* name) { return outcome_of([&] { static_cast<void>(broker.topic(name, key, value)); }); };
    CHECK_FALSE(ask("good").code);
    CHECK(ask("bad").code == errc::corrupt_record);
    CHECK(ask("bad").names(meta("bad")));
    CHECK(ask("empty").code == errc::corrupt_record);
    CHECK(ask("newer").code == errc::unsupported_version);
    CHECK(ask("newer").names(meta("newer")));
    CHECK(ask("missing").code == std::errc::no_such_file_or_directory);
    CHECK(code_of([&] { static_cast<void>(broker.create_topic("bad", {}, key, value)); }) == errc::corrupt_record);  // not made anew over it
    CHECK(told.size() == 5);
    CHECK(broker.health().errors.size() == 5);
    CHECK_FALSE(broker.health().is_ok());
    CHECK_FALSE(append(broker.topic("good", key, value)));
    broker.close();
    CHECK(read(meta("bad")) == text);
}

TEST_CASE("damaged committed offsets stop the groups, and nothing else", "[broker][core]") {
    const temp_directory scratch;
    {
        core broker{scratch.path(), by_hand()};
        const topic_handle topic = broker.create_topic("orders", {}, key, value);
        REQUIRE_FALSE(append(topic));
        REQUIRE_FALSE(broker.offsets().commit("group", {{topic->meta.id, 0, 1}}));
    }
    write(scratch / "topics/__consumer_offsets/topic.meta", "");
    core broker{scratch.path(), by_hand()};
    CHECK_FALSE(append(broker.topic("orders", key, value)));
    const auto refused = outcome_of([&] { static_cast<void>(broker.offsets()); });
    CHECK(refused.code == errc::corrupt_record);
    CHECK(refused.names("__consumer_offsets"));
    CHECK_FALSE(broker.health().is_ok());
}

TEST_CASE("creating a topic fails at whichever call the system refuses, and works afterwards", "[broker][core]") {
    const bool is_lasting = GENERATE(false, true);
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(is_lasting, call);
        const temp_directory scratch;
        faulty_platform platform;
        std::optional<core> broker{std::in_place, scratch.path(), by_hand(&platform)};
        platform.forget_calls();
        platform.inject({.on = std::nullopt, .call = call, .number = EIO, .lasting = is_lasting, .path = ""});
        const auto failed = outcome_of([&] { static_cast<void>(broker->create_topic("orders", {.partitions = 2}, key, value)); });
        const bool is_through = platform.calls() < call;
        platform.heal();
        if (failed.code) {
            // Either it is not there, or it is there whole: never half of it.
            CHECK(broker->topic_names().empty());
            if (call % 2 == 0) {
                broker.emplace(scratch / "", by_hand(&platform));
                CHECK(broker->health().is_ok());
            }
        }
        const topic_handle topic = broker->create_topic("orders", {.partitions = 2}, key, value);
        REQUIRE(topic->partition_count() == 2);
        REQUIRE_FALSE(append(topic, 0));
        REQUIRE_FALSE(append(topic, 1));
        broker.emplace(scratch / "", by_hand(&platform));
        REQUIRE(broker->health().is_ok());
        REQUIRE(broker->topic("orders", key, value)->partition(1).log_end_offset() == 1);
        if (is_through) {
            REQUIRE_FALSE(failed.code);
            break;
        }
        REQUIRE(call < 1'000);
    }
}

TEST_CASE("a process killed while it creates a topic leaves nothing that is in the way of the next one", "[broker][core]") {
    bool has_left_unfinished = false;
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(call);
        const temp_directory scratch;
        { core{scratch.path(), by_hand()}; }
        constexpr int killed = 9;
        const int status = in_child([&] {
            faulty_platform platform;
            core broker{scratch.path(), by_hand(&platform)};
            std::uint64_t calls = 0;
            platform.on_call([&](operation, const std::string&) {
                if (++calls == call) {
                    ::_exit(killed);
                }
            });
            static_cast<void>(broker.create_topic("orders", {.partitions = 2}, key, value));
            platform.on_call(nullptr);
            return 0;
        });
        has_left_unfinished = has_left_unfinished || std::filesystem::exists(scratch / "topics/orders~");
        core broker{scratch.path(), by_hand()};
        REQUIRE(broker.health().is_ok());
        const topic_handle topic = broker.create_topic("orders", {.partitions = 2}, key, value);
        REQUIRE_FALSE(append(topic, 1));
        REQUIRE_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
        if (status == 0) {
            break;
        }
        REQUIRE(status == killed);
        REQUIRE(call < 1'000);
    }
    CHECK(has_left_unfinished);
}

TEST_CASE("many threads that create one topic get one topic", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    std::vector<topic_handle> made(4);
    {
        std::vector<std::jthread> threads;
        for (auto& mine : made) {
            threads.emplace_back([&] { mine = broker.create_topic("orders", {.partitions = 2}, key, value); });
        }
    }
    CHECK(std::count(made.begin(), made.end(), made.front()) == 4);
}

// ---- deleting topics ----

TEST_CASE("a topic that was deleted has gone, and another one of its name can be made at once", "[broker][core][delete]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    const topic_handle gone = broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value);
    for (int i = 0; i < 200; ++i) {
        REQUIRE_FALSE(append(gone, i % 2));
    }
    static_cast<void>(broker.create_topic("others", {}, key, value));
    broker.delete_topic("orders");
    CHECK(broker.topic_names() == std::vector<std::string>{"others"});
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders"));
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
    CHECK(gone->is_deleted());
    CHECK(append(gone) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { static_cast<void>(broker.topic("orders", key, value)); }) == errc::unknown_topic_or_partition);
    CHECK(code_of([&] { broker.delete_topic("orders"); }) == errc::unknown_topic_or_partition);

    const topic_handle made = broker.create_topic("orders", {.partitions = 3}, value, key);
    CHECK(made->meta.id != gone->meta.id);
    CHECK(made->partition(1).log_end_offset() == 0);
    CHECK_FALSE(append(made, 2));
    CHECK(append(gone) == errc::unknown_topic_or_partition);
    CHECK(broker.groups().commit("group", 0, {{gone->meta.id, 0, 1}}).code == errc::unknown_topic_or_partition);
    CHECK_FALSE(broker.groups().commit("group", 0, {{made->meta.id, 2, 1}}));
    broker.maintain(std::nullopt);
    CHECK(broker.health().is_ok());
}

TEST_CASE("what cannot be deleted is refused, and nothing is touched", "[broker][core][delete]") {
    const temp_directory scratch;
    core broker{scratch / "data", by_hand()};
    const topic_handle topic = broker.create_topic("orders", {}, key, value);
    CHECK(code_of([&] { broker.delete_topic("oders"); }) == errc::unknown_topic_or_partition);
    for (const char* const name : {"", "..", "../data", "a/b", "orders~"}) {
        CHECK(code_of([&] { broker.delete_topic(name); }) == errc::invalid_topic);
    }
    CHECK(code_of([&] { broker.delete_topic("__consumer_offsets"); }) == errc::invalid_topic);
    CHECK(in_child([&] { return code_of([&] { broker.delete_topic("orders"); }) == errc::forked ? 0 : 1; }) == 0);
    CHECK_FALSE(append(topic));
    broker.close();
    CHECK(code_of([&] { broker.delete_topic("orders"); }) == errc::closed);
    core again{scratch / "data", by_hand()};
    CHECK(again.topic("orders", key, value)->partition(0).log_end_offset() == 1);
}

TEST_CASE("a topic that could not be opened can be deleted, and so can one that was made in vain", "[broker][core][delete]") {
    const temp_directory scratch;
    {
        core broker{scratch.path(), by_hand()};
        REQUIRE_FALSE(append(broker.create_topic("bad", {}, key, value)));
    }
    write(scratch / "topics/bad/topic.meta", "");
    faulty_platform platform;
    core broker{scratch.path(), by_hand(&platform)};
    REQUIRE(code_of([&] { static_cast<void>(broker.topic("bad", key, value)); }) == errc::corrupt_record);
    broker.delete_topic("bad");
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/bad"));
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/bad~"));
    CHECK_FALSE(append(broker.create_topic("bad", {}, key, value)));

    platform.fail(operation::sync_directory, 3);  // behind the rename
    REQUIRE(code_of([&] { static_cast<void>(broker.create_topic("vain", {}, key, value)); }) == std::errc::io_error);
    REQUIRE(std::filesystem::exists(scratch / "topics/vain"));
    broker.delete_topic("vain");
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/vain"));
}

TEST_CASE("a deletion takes the whole directory, and of a link the link alone", "[broker][core][delete]") {
    const temp_directory scratch;
    const temp_directory elsewhere;
    write(elsewhere / "thesis.tex", "42");
    core broker{scratch.path(), by_hand()};
    static_cast<void>(broker.create_topic("orders", {}, key, value));
    write(scratch / "topics/orders/0/00000000000000000007.log.quarantine", "what was cut");
    write(scratch / "topics/orders/notes.txt", "a user's");
    std::filesystem::create_directories(scratch / "topics/orders/0/a/b");
    write(scratch / "topics/orders/0/a/b/c", "");
    std::filesystem::create_directory_symlink(elsewhere.path(), scratch / "topics/orders/0/link");
    std::filesystem::create_symlink(elsewhere / "thesis.tex", scratch / "topics/orders/link");
    broker.delete_topic("orders");
    CHECK(broker.health().is_ok());
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
    CHECK(read(elsewhere / "thesis.tex") == "42");
}

TEST_CASE("deletion fails at whichever call the system refuses: the topic is there as before, or has gone", "[broker][core][delete]") {
    const bool is_lasting = GENERATE(false, true);
    bool has_stayed = false;
    bool has_left_files = false;
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(is_lasting, call);
        const temp_directory scratch;
        faulty_platform platform;
        std::optional<core> broker{std::in_place, scratch.path(), by_hand(&platform)};
        topic_handle topic = broker->create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value);
        for (int i = 0; i < 200; ++i) {
            REQUIRE_FALSE(append(topic, 1));
        }
        REQUIRE_FALSE(broker->groups().commit("group", 0, {{topic->meta.id, 1, 7}}));
        platform.forget_calls();
        platform.inject({.on = std::nullopt, .call = call, .number = EIO, .lasting = is_lasting, .path = ""});
        const auto failed = outcome_of([&] { broker->delete_topic("orders"); });
        const bool is_through = platform.calls() < call;
        platform.heal();
        if (failed.code) {
            has_stayed = true;
            REQUIRE(failed.code == std::errc::io_error);
            REQUIRE(broker->topic("orders", key, value) == topic);
            REQUIRE_FALSE(append(topic, 1));
            REQUIRE(topic->partition(1).log_end_offset() == 201);
            REQUIRE(broker->groups().describe("group", broker->topics()).partitions.size() == 1);
            if (call % 2 == 0) {
                broker.emplace(scratch / "", by_hand(&platform));
                REQUIRE(broker->topic("orders", key, value)->partition(1).log_end_offset() == 201);
            }
            broker->delete_topic("orders");  // works afterwards
        } else {
            REQUIRE(append(topic, 1) == errc::unknown_topic_or_partition);
            REQUIRE(broker->topic_names().empty());
            const bool are_left = std::filesystem::exists(scratch / "topics/orders~");
            REQUIRE(broker->health().is_ok() == !are_left);
            has_left_files = has_left_files || are_left;
            if (call % 2 == 0) {
                broker.emplace(scratch / "", by_hand(&platform));  // tries again
                REQUIRE(broker->health().is_ok());
                REQUIRE(broker->topic_names().empty());
                REQUIRE_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
            }
        }
        const topic_handle made = broker->create_topic("orders", {.partitions = 1}, key, value);
        REQUIRE_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
        REQUIRE_FALSE(append(made));
        REQUIRE(code_of([&] { static_cast<void>(broker->groups().describe("group", broker->topics())); }) == errc::group_id_not_found);
        broker.emplace(scratch / "", by_hand(&platform));
        REQUIRE(broker->health().is_ok());
        REQUIRE(broker->topic("orders", key, value)->partition(0).log_end_offset() == 1);
        REQUIRE(code_of([&] { static_cast<void>(broker->groups().describe("group", broker->topics())); }) == errc::group_id_not_found);
        if (is_through) {
            REQUIRE_FALSE(failed.code);
            break;
        }
        REQUIRE(call < 1'000);
    }
    CHECK(has_stayed);
    CHECK(has_left_files);
}

TEST_CASE("a process killed while it deletes a topic leaves it whole or gone", "[broker][core][delete]") {
    int whole = 0;
    int gone = 0;
    bool has_left_files = false;
    for (std::uint64_t call = 1;; ++call) {
        CAPTURE(call);
        const temp_directory scratch;
        {
            core broker{scratch.path(), by_hand()};
            const topic_handle topic = broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value);
            for (int i = 0; i < 200; ++i) {
                REQUIRE_FALSE(append(topic, 1));
            }
            REQUIRE_FALSE(broker.groups().commit("group", 0, {{topic->meta.id, 1, 7}}));
        }
        constexpr int killed = 9;
        const int status = in_child([&] {
            faulty_platform platform;
            core broker{scratch.path(), by_hand(&platform)};
            std::uint64_t calls = 0;
            platform.on_call([&](operation, const std::string&) {
                if (++calls == call) {
                    ::_exit(killed);
                }
            });
            broker.delete_topic("orders");
            platform.on_call(nullptr);
            return 0;
        });
        has_left_files = has_left_files || std::filesystem::exists(scratch / "topics/orders~");
        core broker{scratch.path(), by_hand()};
        REQUIRE(broker.health().is_ok());
        REQUIRE_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
        const auto group = [&] { return broker.groups().describe("group", broker.topics()); };
        if (broker.topic_names().empty()) {
            ++gone;
            REQUIRE(code_of([&] { static_cast<void>(group()); }) == errc::group_id_not_found);
        } else {
            ++whole;
            REQUIRE(broker.topic("orders", key, value)->partition(1).log_end_offset() == 200);
            REQUIRE(group().partitions.front().committed == 7);
        }
        if (status == 0) {
            break;
        }
        REQUIRE(status == killed);
        REQUIRE(call < 1'000);
    }
    CHECK(whole > 0);
    CHECK(gone > 1);
    CHECK(has_left_files);
}

TEST_CASE("what a dead process has left half deleted goes at the next opening, and what is not ours stays", "[broker][core][delete]") {
    const temp_directory scratch;
    {
        core broker{scratch.path(), by_hand()};
        const topic_handle topic = broker.create_topic("orders", {}, key, value);
        REQUIRE_FALSE(append(topic));
        REQUIRE_FALSE(broker.groups().commit("group", 0, {{topic->meta.id, 0, 1}}));
    }
    const auto copy_as = [&](const std::string& name) {
        std::filesystem::copy(scratch / "topics/orders", scratch / ("topics/" + name), std::filesystem::copy_options::recursive);
    };
    std::filesystem::create_directory(scratch / "topics/my notes~");
    write(scratch / "topics/list~", "a user's");
    SECTION("a copy of a topic that is there takes none of its offsets along") {
        copy_as("copy~");
        core broker{scratch.path(), by_hand()};
        CHECK(broker.health().is_ok());
        CHECK_FALSE(std::filesystem::exists(scratch / "topics/copy~"));
        CHECK(broker.groups().describe("group", broker.topics()).partitions.front().committed == 1);
    }
    SECTION("where that fails the broker opens, and says so") {
        std::filesystem::rename(scratch / "topics/orders", scratch / "topics/orders~");
        std::filesystem::create_directories(scratch / "topics/orders~/0/deep/er");
        faulty_platform platform;
        platform.inject({.on = operation::remove, .lasting = true, .path = "orders~"});
        core broker{scratch.path(), by_hand(&platform)};
        REQUIRE(broker.health().errors.size() == 1);
        CHECK(broker.health().errors.front().code == std::errc::io_error);
        CHECK(broker.health().errors.front().text.find("orders~") != std::string::npos);
        CHECK(code_of([&] { static_cast<void>(broker.create_topic("orders", {}, key, value)); }) == std::errc::io_error);
        platform.heal();
        CHECK_FALSE(append(broker.create_topic("orders", {}, key, value)));
        CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
        CHECK(code_of([&] { static_cast<void>(broker.groups().describe("group", broker.topics())); }) == errc::group_id_not_found);
    }
    CHECK(std::filesystem::exists(scratch / "topics/my notes~"));
    CHECK(read(scratch / "topics/list~") == "a user's");
}

TEST_CASE("the power that goes in a deletion leaves the topic whole or gone, and in the making of the next one, too", "[broker][core][delete][power]") {
    using namespace brook::test;
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/d"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    std::vector<disk_state> states;
    std::size_t begun_anew = 0;
    brook::format::topic_id first_id{};
    {
        core broker{"/d/data", by_hand(&machine)};
        const topic_handle topic = broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value);
        first_id = topic->meta.id;
        for (int i = 0; i < 200; ++i) {
            REQUIRE_FALSE(append(topic, 1));
        }
        REQUIRE_FALSE(topic->partition(1).sync());
        REQUIRE_FALSE(broker.groups().commit("group", 0, {{first_id, 1, 7}}));
        REQUIRE_FALSE(broker.offsets().topic()->partition(0).sync());
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        broker.delete_topic("orders");
        begun_anew = states.size();
        REQUIRE_FALSE(append(broker.create_topic("orders", {.partitions = 1}, key, value)));
        machine.on_call(nullptr);
        states.push_back(machine.look());
    }
    int whole = 0;
    int gone = 0;
    int another = 0;
    std::size_t number = 0;
    for (const auto& state : states) {
        for (const auto& lost : loss_of_power{state}.decide_a_few()) {
            powerless_platform after{lost};
            CAPTURE(number);
            core broker{"/d/data", by_hand(&after)};
            REQUIRE(broker.health().errors.size() == 0);
            const auto committed = [&] { return broker.offsets().find("group", first_id, 1); };
            if (broker.topic_names().empty()) {
                ++gone;
                REQUIRE_FALSE(committed());
            } else if (const topic_handle topic = broker.topic("orders", key, value); topic->meta.id == first_id) {
                ++whole;
                REQUIRE(topic->partition(1).log_end_offset() == 200);
                REQUIRE(topic->partition(1).report().damages.empty());
                REQUIRE(committed());
                REQUIRE(number < begun_anew);
            } else {
                ++another;
                REQUIRE_FALSE(committed());
                REQUIRE_FALSE(append(topic));
            }
            std::vector<brook::os::directory_entry> entries;
            REQUIRE_FALSE(after.list("/d/data/topics", entries));
            for (const auto& entry : entries) {
                REQUIRE_FALSE(entry.name.ends_with('~'));
            }
        }
        ++number;
    }
    CHECK(whole > 0);
    CHECK(gone > 0);
    CHECK(another > 0);
}

TEST_CASE("a deletion that the disk does not confirm is undone, or leaves the files where they are", "[broker][core][delete]") {
    const temp_directory scratch;
    faulty_platform platform;
    core broker{scratch.path(), by_hand(&platform)};
    const topic_handle topic = broker.create_topic("orders", {}, key, value);
    REQUIRE_FALSE(append(topic));
    platform.fail(operation::sync_directory);
    SECTION("undone") {
        CHECK(code_of([&] { broker.delete_topic("orders"); }) == std::errc::io_error);
        CHECK_FALSE(append(topic));
        CHECK(broker.topic("orders", key, value) == topic);
        CHECK(broker.health().is_ok());
    }
    SECTION("where that fails, too, it has gone, and no file was removed") {
        platform.fail(operation::rename, 2);
        broker.delete_topic("orders");
        CHECK(append(topic) == errc::unknown_topic_or_partition);
        CHECK(std::filesystem::exists(scratch / "topics/orders~/0/00000000000000000000.log"));
        CHECK(broker.health().errors.size() == 1);
        CHECK_FALSE(append(broker.create_topic("orders", {}, key, value)));
        CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
    }
}

TEST_CASE("descriptors and mappings of a topic go with it", "[broker][core][delete]") {
    const auto count = [](const std::string& scratch) {
        std::ifstream maps{"/proc/self/maps"};
        std::size_t found = 0;
        for (std::string line; std::getline(maps, line);) {
            found += line.find(scratch) != std::string::npos ? 1u : 0u;
        }
        const auto descriptors = static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, {}));
        return std::pair{found, descriptors};
    };
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    const auto before = count(scratch.path());
    const topic_handle topic = broker.create_topic("orders", {.partitions = 3, .segment_bytes = 4'096}, key, value);
    for (int i = 0; i < 300; ++i) {
        REQUIRE_FALSE(append(topic, i % 3));
    }
    broker.maintain(std::nullopt);
    std::vector<brook::storage::record_range> ranges;
    brook::storage::segment_pin pin;
    {
        auto reader = topic->partition(0).reader();
        REQUIRE_FALSE(reader.fetch(1, true, ranges));
        REQUIRE(ranges.size() == 1);
        pin = ranges.front().pin;
        ranges.clear();
    }
    REQUIRE(count(scratch.path()) > before);
    broker.delete_topic("orders");
    CHECK(pin->is_gone.load());
    const auto pinned = count(scratch.path());
    CHECK(pinned.first == before.first + 2);  // a log and its index
    CHECK(pinned.second == before.second + 2);
    CHECK(pin->word(brook::format::segment_header_size).is_published());
    pin.reset();
    CHECK(count(scratch.path()) == before);
}

TEST_CASE("a deletion that is under way when its broker closes comes to its end first", "[broker][core][delete]") {
    const temp_directory scratch;
    faulty_platform platform;
    core broker{scratch.path(), by_hand(&platform)};
    const topic_handle topic = broker.create_topic("orders", {.partitions = 2}, key, value);
    std::jthread closer;
    std::atomic<bool> is_free{false};
    platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::rename && !broker.is_closed()) {
            closer = std::jthread{[&] {
                broker.close();
                is_free = true;
            }};
            while (!broker.is_closed()) {
                std::this_thread::yield();
            }
        } else if (which == operation::remove_directory && path.ends_with("orders~")) {
            CHECK_FALSE(is_free);  // else another broker might be at work there
        }
    });
    broker.delete_topic("orders");
    closer.join();
    platform.on_call(nullptr);
    CHECK_FALSE(std::filesystem::exists(scratch / "topics/orders~"));
    core again{scratch.path(), by_hand()};
    CHECK(again.topic_names().empty());
}

// ---- closing ----

TEST_CASE("a topic that is being made when its broker closes is closed with it", "[broker][core]") {
    const temp_directory scratch;
    faulty_platform platform;
    core broker{scratch.path(), by_hand(&platform)};
    std::jthread closer;
    platform.on_call([&](operation which, const std::string&) {
        if (which == operation::rename && !broker.is_closed()) {
            closer = std::jthread{[&] { broker.close(); }};
            while (!broker.is_closed()) {
                std::this_thread::yield();
            }
        }
    });
    const topic_handle topic = broker.create_topic("orders", {.partitions = 2}, key, value);
    closer.join();
    platform.on_call(nullptr);
    CHECK(topic->partition(0).is_closed());
    CHECK(topic->partition(1).is_closed());
    CHECK_FALSE(code_of([&] { core{scratch.path(), by_hand()}; }));
}

TEST_CASE("a closed broker says so", "[broker][core]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    const topic_handle topic = broker.create_topic("orders", {}, key, value);
    broker.close();
    broker.close();
    CHECK(code_of([&] { static_cast<void>(broker.create_topic("orders", {}, key, value)); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(broker.topic("orders", key, value)); }) == errc::closed);
    CHECK(code_of([&] { static_cast<void>(broker.groups()); }) == errc::closed);
    CHECK(code_of([&] { broker.maintain(std::nullopt); }) == errc::closed);
    CHECK(append(topic) == errc::closed);
    CHECK(broker.offsets().commit("group", {{topic->meta.id, 0, 0}}).code == errc::closed);
}

// ---- upkeep ----

TEST_CASE("with manual maintenance a broker has no thread, else one", "[broker][core][upkeep]") {
    const temp_directory scratch;
    std::atomic<bool> is_over{false};
    std::jthread another{[&] { is_over.wait(false); }};  // a sanitizer starts its own thread with the first of ours
    const std::size_t before = [] {
        std::size_t count = 0;
        while (count != threads_of_this_process()) {
            count = threads_of_this_process();
        }
        return count;
    }();
    {
        core broker{scratch.path(), by_hand()};
        static_cast<void>(broker.create_topic("orders", {.partitions = 4}, key, value));
        CHECK(has_threads(before));
    }
    {
        core broker{scratch.path(), {}};
        static_cast<void>(broker.topic("orders", key, value));
        CHECK(has_threads(before + 1));
    }
    CHECK(has_threads(before));
    is_over = true;
    is_over.notify_all();
}

TEST_CASE("maintain does all that is due", "[broker][core][upkeep]") {
    const temp_directory scratch;
    faulty_platform platform;
    platform.set_monotonic(1s);
    core broker{scratch.path(), by_hand(&platform)};
    const topic_handle timed = broker.create_topic("timed", {.flush_interval = 10s}, key, value);
    const topic_handle counted = broker.create_topic("counted", {.flush_messages = 3}, key, value);
    const topic_handle sealed = broker.create_topic("sealed", {.segment_bytes = 4'096}, key, value);
    const auto maintain = [&] { broker.maintain(std::nullopt); };

    maintain();
    REQUIRE_FALSE(append(timed));
    REQUIRE_FALSE(append(counted));
    maintain();
    CHECK(timed->partition(0).durable_offset() == 0);  // not due yet
    CHECK(counted->partition(0).durable_offset() == 0);

    REQUIRE_FALSE(append(counted));
    REQUIRE_FALSE(append(counted));
    maintain();
    CHECK(counted->partition(0).durable_offset() == 3);

    platform.advance_monotonic(10s);
    maintain();
    CHECK(timed->partition(0).durable_offset() == 1);

    for (int i = 0; i < 250; ++i) {  // some segments of it
        REQUIRE_FALSE(append(sealed));
    }
    CHECK(sealed->partition(0).durable_offset() == 0);
    maintain();
    CHECK(sealed->partition(0).durable_offset() > 150);  // all but the active segment
    CHECK(broker.health().is_ok());
}

TEST_CASE("a small budget gets round to every partition in the end", "[broker][core][upkeep]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    const topic_handle topic = broker.create_topic("orders", {.partitions = 8, .segment_bytes = 4'096}, key, value);
    for (std::int32_t partition = 0; partition < 8; ++partition) {
        for (int i = 0; i < 100; ++i) {
            REQUIRE_FALSE(append(topic, partition));
        }
    }
    for (int i = 0; i < 100; ++i) {
        broker.maintain(1ns);
    }
    for (std::int32_t partition = 0; partition < 8; ++partition) {
        CAPTURE(partition);
        CHECK(topic->partition(partition).durable_offset() > 0);
    }
}

TEST_CASE("an idle broker sleeps without an alarm, and takes no more of the disk", "[broker][core][upkeep]") {
    const temp_directory scratch;
    event asleep;
    std::atomic<int> alarms{0};
    watched_platform platform{[&](std::optional<std::chrono::nanoseconds> timeout) {
        if (timeout) {
            ++alarms;
        } else {
            asleep.happened();
        }
    }};
    broker_options options;
    options.platform = &platform;
    core broker{scratch.path(), options};
    topic_options durability;
    SECTION("with plain topics") {}
    SECTION("with topics that sync by count") { durability.flush_messages = 1; }
    SECTION("with topics that sync by time") { durability.flush_interval = 10ms; }
    durability.partitions = 4;
    const topic_handle topic = broker.create_topic("orders", durability, key, value);
    for (std::int32_t partition = 0; partition < 4; ++partition) {
        REQUIRE_FALSE(append(topic, partition));
        REQUIRE_FALSE(topic->partition(partition).sync());
    }
    broker.shared()->upkeep.notify();
    REQUIRE(asleep.await());  // nothing wakes it now but work
    const std::uintmax_t used = disk_use(scratch.path());
    const int alarms_before = alarms;
    broker.close();
    CHECK(alarms == alarms_before);
    CHECK(disk_use(scratch.path()) <= used);
}

TEST_CASE("a sync that fails in upkeep is told once, with the partition's name", "[broker][core][upkeep]") {
    const temp_directory scratch;
    faulty_platform platform;
    std::vector<brook::failure> told;
    broker_options options = by_hand(&platform);
    options.on_error = [&](const brook::failure& why) { told.push_back(why); };
    core broker{scratch.path(), options};
    const topic_handle topic = broker.create_topic("orders", {.partitions = 2, .flush_messages = 1}, key, value);
    REQUIRE_FALSE(append(topic, 0));
    REQUIRE_FALSE(append(topic, 1));
    platform.fail_syncs();
    for (int i = 0; i < 5; ++i) {
        broker.maintain(std::nullopt);
    }
    REQUIRE(told.size() == 2);
    CHECK(told[0].code == errc::partition_failed);
    CHECK(told[0].text.find("orders") != std::string::npos);
    CHECK(told[1].text.find("partition 1") != std::string::npos);
    CHECK(broker.health().errors.size() == 2);
    CHECK(append(topic, 0) == errc::partition_failed);
    platform.heal();  // never retried into success
    broker.maintain(std::nullopt);
    CHECK(topic->partition(0).durable_offset() == 0);
    CHECK(append(topic, 0) == errc::partition_failed);
}

TEST_CASE("health keeps the latest 64 errors", "[broker][core][upkeep]") {
    const temp_directory scratch;
    core broker{scratch.path(), by_hand()};
    for (int i = 0; i < 70; ++i) {
        broker.shared()->report({errc::closed, std::to_string(i)});
        broker.shared()->report({errc::closed, std::to_string(i)});
    }
    const auto errors = broker.health().errors;
    REQUIRE(errors.size() == 64);
    CHECK(errors.front().text == "6");
    CHECK(errors.back().text == "69");
}

TEST_CASE("a directory that was being made when the power went opens afterwards", "[broker][core][power]") {
    using namespace brook::test;
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/d"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    std::vector<disk_state> states;
    machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
    { const core made{"/d/data", by_hand(&machine)}; }
    machine.on_call(nullptr);
    states.push_back(machine.look());

    std::size_t count = 0;
    for (const auto& state : states) {
        for (const auto& lost : loss_of_power{state}.decide_a_few()) {
            powerless_platform after{lost};
            CAPTURE(count);
            CHECK(outcome_of([&] { const core opened{"/d/data", by_hand(&after)}; }).text == "");
            ++count;
        }
    }
    CHECK(count > 50);
}

TEST_CASE("a topic that was being made when the power went is there with all its partitions, or not at all", "[broker][core][power]") {
    using namespace brook::test;
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/d"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    std::vector<disk_state> states;
    {
        core broker{"/d/data", by_hand(&machine)};
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        static_cast<void>(broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value));
        machine.on_call(nullptr);
        states.push_back(machine.look());
    }
    int whole = 0;
    int none = 0;
    for (const auto& state : states) {
        for (const auto& lost : loss_of_power{state}.decide_a_few()) {
            powerless_platform after{lost};
            core broker{"/d/data", by_hand(&after)};
            REQUIRE(broker.health().errors.size() == 0);
            broker.topic_names().empty() ? ++none : ++whole;
            REQUIRE_FALSE(append(broker.create_topic("orders", {.partitions = 2, .segment_bytes = 4'096}, key, value), 1));
        }
    }
    CHECK(whole > 0);
    CHECK(none > 0);
}

TEST_CASE("damage that took no record says so", "[broker][core]") {
    const temp_directory scratch;
    const std::string partition = scratch / "topics/orders/0";
    const std::string sealed = partition + "/00000000000000000000.log";
    {
        core broker{scratch.path(), by_hand()};
        const topic_handle topic = broker.create_topic("orders", {.segment_bytes = 4'096}, key, value);
        while (topic->partition(0).active_base() == 0) {
            REQUIRE_FALSE(append(topic, 0));
        }
    }
    std::string raw = read(sealed);
    raw[raw.find_last_not_of('\0')] ^= 1;  // in the seal
    std::ofstream{sealed, std::ios::binary | std::ios::in} << raw;
    std::filesystem::remove(partition + "/checkpoint");  // which lets what is in front of it be passed over

    core broker{scratch.path(), by_hand()};
    const auto damages = broker.topic("orders", key, value)->partition(0).report().damages;
    REQUIRE(damages.size() == 1);
    CHECK(damages.front().first == damages.front().last);
    REQUIRE(broker.health().errors.size() == 1);
    CHECK(broker.health().errors.front().text.find("no record is missing, the log goes on at offset " + std::to_string(damages.front().first)) != std::string::npos);
}

}  // namespace broker_core_test
