#include <brook/broker/topic_meta.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "broker/outcome.hpp"
#include "support/catch.hpp"

namespace broker_topic_meta_test {

using namespace std::chrono_literals;

using brook::errc;
using brook::broker_room::topic_meta;
using brook::test::code_of;
using brook::test::outcome_of;

namespace {

topic_meta made(const brook::topic_options& options) {
    brook::format::topic_id id;
    for (std::size_t i = 0; i < id.size(); ++i) {
        id[i] = static_cast<std::byte>(i * 17);
    }
    return topic_meta::make("orders", options, id, {"a key with spaces", 0x8000'0000'0000'0001}, {"", 7});
}

/// The same file with another line, and a checksum that is right.
std::string with(const std::string& good, const std::string& name, std::string_view value) {
    brook::format::properties file{std::string{topic_meta::kind}, topic_meta::version};
    file.set(name, value);  // the first of a name counts
    const std::size_t begin = good.find('\n') + 1;
    const std::string text = good.substr(begin, good.rfind("checksum ") - begin);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        const std::string line = text.substr(at, end - at);
        file.set(line.substr(0, line.find(' ')), std::string_view{line}.substr(line.find(' ') + 1));
        at = end + 1;
    }
    return file.encode();
}

errc refusal_of(const brook::topic_options& options) {
    const auto told = outcome_of([&] { static_cast<void>(made(options)); });
    CHECK((!told.code || told.names("orders")));
    return told.code == errc::invalid_config ? errc::invalid_config : errc{};
}

bool agrees(const topic_meta& meta, const brook::topic_options& options) {
    const auto told = outcome_of([&] { meta.require_agreement("orders", options); });
    CHECK((!told.code || told.code == errc::topic_already_exists));
    return !told.code;
}

}  // namespace

TEST_CASE("topic.meta gives back what a topic was made with", "[broker][topic_meta]") {
    const topic_meta before = made({.partitions = 10'000,
                                    .segment_bytes = 1 << 30,
                                    .flush_messages = INT64_MAX,
                                    .flush_interval = std::chrono::nanoseconds::max(),
                                    .message_timestamp_type = brook::timestamp_type::append_time,
                                    .compression_type = brook::compression::zstd});
    const topic_meta after = topic_meta::decode(before.encode(), "topic.meta");
    CHECK(after.id == before.id);
    CHECK(after.partitions == 10'000);
    CHECK(after.key == before.key);
    CHECK(after.value == before.value);
    CHECK(after.log.segment_bytes == 1u << 30);
    CHECK(after.log.flush_messages == INT64_MAX);
    CHECK(after.log.flush_interval == std::chrono::nanoseconds::max());
    CHECK(after.log.is_append_time);
    CHECK(after.compression_type == brook::compression::zstd);

    const topic_meta plain = topic_meta::decode(made({}).encode(), "topic.meta");
    CHECK(plain.partitions == 1);
    CHECK(plain.log.segment_bytes == 64u << 20);
    CHECK_FALSE(plain.log.promises_durability());
    CHECK_FALSE(plain.log.is_append_time);
    CHECK_FALSE(plain.compression_type);
    CHECK(made({}).encode().find("compression") == std::string::npos);  // as files of before are
    for (const auto type : {brook::compression::none, brook::compression::lz4, brook::compression::user6, brook::compression::user7}) {
        CHECK(topic_meta::decode(made({.compression_type = type}).encode(), "").compression_type == type);
    }
    CHECK(topic_meta::decode(made({.segment_bytes = 4'097}).encode(), "").log.segment_bytes == 8'192);
}

TEST_CASE("a topic.meta with any byte changed is refused, and the error names the file", "[broker][topic_meta]") {
    const std::string good = made({.partitions = 3}).encode();
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        CAPTURE(i);
        const auto refused = outcome_of([&] { static_cast<void>(topic_meta::decode(bad, "the file")); });
        REQUIRE(refused.code == errc::corrupt_record);
        REQUIRE(refused.names("the file"));
        REQUIRE(code_of([&] { static_cast<void>(topic_meta::decode(good.substr(0, i), "the file")); }) == errc::corrupt_record);
    }
}

TEST_CASE("a topic.meta whose checksum is right and whose numbers are not is refused all the same", "[broker][topic_meta]") {
    for (const auto& [name, text] : {std::pair{"partitions", "0"},
                                     {"partitions", "10001"},
                                     {"partitions", "x"},
                                     {"partitions", "99999999999999999999"},
                                     {"segment_bytes", "4095"},
                                     {"segment_bytes", "1073741825"},
                                     {"flush_messages", "-1"},
                                     {"flush_interval_ns", "-1"},
                                     {"append_time", "2"},
                                     {"id", "00"}}) {
        brook::format::properties file{std::string{topic_meta::kind}, topic_meta::version};
        file.set(name, std::string_view{text});  // the first of a name counts
        const std::string good = made({}).encode();
        const auto rest = brook::format::properties::decode(good, topic_meta::kind, topic_meta::version, "");
        for (const char* const other : {"id", "partitions", "segment_bytes", "flush_messages", "flush_interval_ns", "append_time", "key_fingerprint",
                                        "key_schema", "value_fingerprint", "value_schema"}) {
            file.set(other, rest.find(other).value_or(""));
        }
        CAPTURE(name, text);
        const auto refused = outcome_of([&] { static_cast<void>(topic_meta::decode(file.encode(), "the file")); });
        CHECK(refused.code == errc::corrupt_record);
        CHECK(refused.names(name));
    }
}

TEST_CASE("a topic.meta with a codec that this brook has no name for is one of a newer brook", "[broker][topic_meta]") {
    const std::string good = made({.compression_type = brook::compression::lz4}).encode();
    std::string text = good.substr(good.find('\n') + 1, good.rfind("checksum ") - good.find('\n') - 1);
    text.replace(text.find("lz4"), 3, "lz9");
    brook::format::properties file{std::string{topic_meta::kind}, topic_meta::version};
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        const std::string line = text.substr(at, end - at);
        file.set(line.substr(0, line.find(' ')), std::string_view{line}.substr(line.find(' ') + 1));
        at = end + 1;
    }
    const auto refused = outcome_of([&] { static_cast<void>(topic_meta::decode(file.encode(), "the file")); });
    CHECK(refused.code == errc::unsupported_version);
    CHECK(refused.names("lz9"));
    CHECK(refused.names("the file"));
}

TEST_CASE("options that contradict themselves, or would do nothing, make no topic", "[broker][topic_meta]") {
    using brook::cleanup_policy;
    CHECK(refusal_of({}) == errc{});
    CHECK(refusal_of({.replication_factor = 2, .min_insync_replicas = 3}) == errc::invalid_config);
    CHECK(refusal_of({.replication_factor = 2, .min_insync_replicas = 2}) == errc{});
    CHECK(refusal_of({.retention = 1h, .cleanup_policy = cleanup_policy::compact}) == errc::invalid_config);
    CHECK(refusal_of({.retention_bytes = 1 << 20, .cleanup_policy = cleanup_policy::compact}) == errc::invalid_config);
    CHECK(refusal_of({.retention_bytes = 1 << 20, .cleanup_policy = cleanup_policy::compact_and_delete}) == errc{});
    CHECK(refusal_of({.reuse_segments = true}) == errc::invalid_config);
    CHECK(refusal_of({.retention = 1h, .reuse_segments = true}) == errc{});
    CHECK(refusal_of({.retention_bytes = 1 << 20, .reuse_segments = true}) == errc{});
    CHECK(refusal_of({.cleanup_policy = static_cast<cleanup_policy>(99)}) == errc::invalid_config);
    CHECK(refusal_of({.compression_type = static_cast<brook::compression>(99)}) == errc::invalid_config);
    for (const auto policy : {cleanup_policy::delete_, cleanup_policy::compact}) {
        const errc told = policy == cleanup_policy::compact ? errc{} : errc::invalid_config;  // what compaction is told goes with it
        CHECK(refusal_of({.cleanup_policy = policy, .delete_retention = 1h}) == told);
        CHECK(refusal_of({.cleanup_policy = policy, .min_cleanable_dirty_ratio = 0.25}) == told);
        CHECK(refusal_of({.cleanup_policy = policy, .min_compaction_lag = 1h}) == told);
        CHECK(refusal_of({.cleanup_policy = policy, .max_compaction_lag = 1h}) == told);
    }
    const auto compacted = [](const std::optional<double>& ratio, const std::optional<std::chrono::nanoseconds>& least, const std::optional<std::chrono::nanoseconds>& most) {
        return refusal_of({.cleanup_policy = brook::cleanup_policy::compact, .min_cleanable_dirty_ratio = ratio, .min_compaction_lag = least, .max_compaction_lag = most});
    };
    CHECK(refusal_of({.retention = 0h}) == errc::invalid_config);
    CHECK(refusal_of({.flush_interval = 0h}) == errc::invalid_config);
    CHECK(refusal_of({.partitions = 0}) == errc::invalid_config);
    CHECK(refusal_of({.partitions = 10'001}) == errc::invalid_config);
    CHECK(refusal_of({.segment_bytes = 4'095}) == errc::invalid_config);
    CHECK(refusal_of({.segment_bytes = (std::int64_t{1} << 30) + 1}) == errc::invalid_config);
    CHECK(compacted(-0.1, {}, {}) == errc::invalid_config);
    CHECK(compacted(1.1, {}, {}) == errc::invalid_config);
    CHECK(compacted(1.0, 2h, 2h) == errc{});
    CHECK(compacted({}, 2h, 1h) == errc::invalid_config);
    CHECK(compacted({}, {}, 0h) == errc::invalid_config);
    CHECK(compacted({}, -1h, {}) == errc::invalid_config);
}

TEST_CASE("a topic that is there agrees with the same options, and with none of another value", "[broker][topic_meta]") {
    using brook::cleanup_policy;
    const topic_meta plain = made({.retention = 1h, .reuse_segments = true, .compression_type = brook::compression::lz4});
    for (const topic_meta& meta : {plain, topic_meta::decode(plain.encode(), "topic.meta")}) {
        CHECK(agrees(meta, {.reuse_segments = true}));
        CHECK_FALSE(agrees(meta, {.reuse_segments = false}));
        CHECK(agrees(meta, {.cleanup_policy = cleanup_policy::delete_}));
        CHECK(agrees(meta, {.compression_type = brook::compression::lz4}));
        CHECK_FALSE(agrees(meta, {.compression_type = brook::compression::zstd}));
    }
    const topic_meta sized = made({.segment_bytes = 8'192, .message_timestamp_type = brook::timestamp_type::append_time});
    CHECK(agrees(sized, {.segment_bytes = 8'000, .message_timestamp_type = brook::timestamp_type::append_time}));  // as it was rounded
    CHECK_FALSE(agrees(sized, {.segment_bytes = 4'096}));
    CHECK(agrees(sized, {}));
    CHECK_FALSE(agrees(made({}), {.message_timestamp_type = brook::timestamp_type::append_time}));
    CHECK(agrees(plain, {.retention = 1h}));
    CHECK_FALSE(agrees(plain, {.retention = 2h}));
    topic_meta replicated = made({});
    replicated.replicas = {{1, 2, 3}};
    CHECK(agrees(replicated, {.replication_factor = 3}));
    CHECK_FALSE(agrees(replicated, {.replication_factor = 2}));
    CHECK_FALSE(agrees(made({}), {.replication_factor = 2}));
    CHECK_FALSE(agrees(made({}), {.compression_type = brook::compression::zstd}));
    CHECK_FALSE(agrees(made({}), {.cleanup_policy = cleanup_policy::compact}));
    const topic_meta compacted = made({.retention_bytes = 1 << 20,
                                       .cleanup_policy = cleanup_policy::compact_and_delete,
                                       .min_cleanable_dirty_ratio = 0.25,
                                       .min_compaction_lag = 1h,
                                       .max_compaction_lag = 2h});
    for (const topic_meta& meta : {compacted, topic_meta::decode(compacted.encode(), "topic.meta")}) {
        CHECK(meta.log.retention.bytes == 1 << 20);
        CHECK(meta.log.compaction.max_lag == 2h);
        CHECK(agrees(meta, {.cleanup_policy = cleanup_policy::compact_and_delete, .min_cleanable_dirty_ratio = 0.25, .max_compaction_lag = 2h}));
        CHECK_FALSE(agrees(meta, {.min_cleanable_dirty_ratio = 0.5}));
        CHECK_FALSE(agrees(meta, {.max_compaction_lag = 3h}));
        CHECK_FALSE(agrees(meta, {.min_compaction_lag = 30min}));
    }
    CHECK_FALSE(agrees(topic_meta::decode(with(plain.encode(), "reuse_segments", "0"), "topic.meta"), {.reuse_segments = true}));
}

TEST_CASE("a topic's name is one that makes no path but its own", "[broker][topic_meta]") {
    using brook::broker_room::require_valid_topic_name;
    for (const std::string& name : {std::string{"a"}, std::string{"A.z_0-9"}, std::string{"..."}, std::string(249, 'x')}) {
        CHECK(code_of([&] { require_valid_topic_name(name); }) == std::error_code{});
    }
    for (const std::string& name : {std::string{}, std::string{"."}, std::string{".."}, std::string(250, 'x'), std::string{"a/b"}, std::string{"../a"}, std::string{"a b"}, std::string{"a@"},
                                    std::string{"a["}, std::string{"a{"}, std::string{"a:"}, std::string{"\xc3\xa4"}, std::string{"a\0b", 3}}) {
        CAPTURE(name);
        CHECK(code_of([&] { require_valid_topic_name(name); }) == errc::invalid_topic);
    }
}

TEST_CASE("a topic is opened with the types that it was made with, whose names its file can hold", "[broker][topic_meta]") {
    const topic_meta meta = made({});
    CHECK(code_of([&] { meta.require_types("orders", meta.key, meta.value); }) == std::error_code{});
    CHECK(code_of([&] { meta.require_types("orders", meta.value, meta.value); }) == errc::schema_mismatch);
    CHECK(code_of([&] { meta.require_types("orders", meta.key, meta.key); }) == errc::schema_mismatch);
    const auto named = [](const std::string& name) {
        return code_of([&] { static_cast<void>(topic_meta::make("orders", {}, {}, {name, 1}, {"", 7})); });
    };
    CHECK(named(std::string(1'000'000, 'x')) == errc::invalid_config);
    CHECK(named("two\nlines") == errc::invalid_config);
}

TEST_CASE("a topic.meta names replicas that there can be, for each of its partitions", "[broker][topic_meta]") {
    topic_meta meta = made({.partitions = 2});
    meta.replicas = {{1, 2, 3}, {2, 3, 1}};
    const std::string good = meta.encode();
    CHECK(topic_meta::decode(good, "the file").replicas == meta.replicas);
    std::string many = "1";
    for (int i = 0; i < 10'001; ++i) {
        many += ";1";
    }
    for (const std::string& text : {std::string{"1,2,3"}, std::string{"1;2;3"}, std::string{"1;4294967296"}, std::string{"1;x"}, std::string{"1;"}, many}) {
        CAPTURE(text.substr(0, 20));
        const auto refused = outcome_of([&] { static_cast<void>(topic_meta::decode(with(good, "replicas", text), "the file")); });
        CHECK(refused.code == errc::corrupt_record);
        CHECK(refused.names("the file"));
    }
}

}  // namespace broker_topic_meta_test
