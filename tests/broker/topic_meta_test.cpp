#include <brook/broker/topic_meta.hpp>

#include <chrono>
#include <cstdint>
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

}  // namespace broker_topic_meta_test
