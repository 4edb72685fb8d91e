#include <brook/format/properties.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <limits>
#include <string>

#include "support/catch.hpp"

namespace format_properties_test {

using namespace brook;
using brook::format::properties;

namespace {

std::string topic_file() {
    properties topic{"brook-topic", 1};
    topic.set("partitions", 4);
    topic.set("segment_bytes", 67'108'864);
    topic.set("cleanup_policy", "compact,delete");
    topic.set("note", "");
    topic.set("offset", std::numeric_limits<std::int64_t>::min());
    return topic.encode();
}

failure decoding(const std::string& text, std::uint32_t newest = 1) {
    try {
        static_cast<void>(properties::decode(text, "brook-topic", newest, "/data/topic.meta"));
        return {};
    } catch (const error& why) {
        return {why.code(), why.what()};
    }
}

std::string with_checksum(const std::string& text) { return text + "checksum " + properties::hex(format::hash(as_bytes(text))) + '\n'; }

}  // namespace

TEST_CASE("properties are lines that a person reads", "[format][properties]") {
    const std::string text = topic_file();
    CHECK(text.starts_with("brook-topic 1\npartitions 4\nsegment_bytes 67108864\ncleanup_policy compact,delete\nnote \n"));
    CHECK(text.find("\nchecksum ") == text.size() - 27);
    CHECK(properties::hex(0) == "0000000000000000");
    CHECK(properties::hex(0x1f0c'55e0'a3b7'c2d4) == "1f0c55e0a3b7c2d4");
}

TEST_CASE("properties come back as they were set", "[format][properties]") {
    const properties read = properties::decode(topic_file(), "brook-topic", 1, "topic.meta");
    CHECK(read.version() == 1);
    CHECK(read.find("partitions") == "4");
    CHECK(read.find_number("partitions") == 4);
    CHECK(read.find_number("segment_bytes") == 67'108'864);
    CHECK(read.find("cleanup_policy") == "compact,delete");
    CHECK_FALSE(read.find_number("cleanup_policy"));
    CHECK(read.find("note") == "");
    CHECK_FALSE(read.find_number("note"));
    CHECK(read.find_number("offset") == std::numeric_limits<std::int64_t>::min());
    properties large{"brook-topic", 1};
    large.set("most", "9223372036854775807");
    large.set("more", "9223372036854775808");
    large.set("less", "-9223372036854775809");
    CHECK(large.find_number("most") == std::numeric_limits<std::int64_t>::max());
    CHECK_FALSE(large.find_number("more"));
    CHECK_FALSE(large.find_number("less"));
    CHECK_FALSE(read.find("missing"));
    CHECK_FALSE(read.find_number("missing"));
}

TEST_CASE("a checksum stands at the beginning of a line of its own, behind what it is of", "[format][properties]") {
    CHECK_FALSE(decoding(with_checksum("brook-topic 1\n")));
    CHECK(decoding(with_checksum("brook-topic 1\nnote ")).code == errc::corrupt_record);
    const std::string alone = with_checksum("");
    const auto of_nothing = [&] { static_cast<void>(properties::decode(alone, "checksum", 1, "/data/topic.meta")); };
    CHECK_THROWS_AS(of_nothing(), error);
}

TEST_CASE("a properties file with any byte changed, missing or added is refused by name", "[format][properties]") {
    const std::string good = topic_file();
    CHECK_FALSE(decoding(good));
    const auto check_refused = [](const std::string& text) {
        const failure why = decoding(text);
        CHECK(why.code == errc::corrupt_record);
        CHECK(why.text.find("/data/topic.meta") != std::string::npos);
    };
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        check_refused(bad);
        check_refused(good.substr(0, i));
        bad = good;
        bad.insert(i, 1, 'x');
        check_refused(bad);
    }
    check_refused(good + "x");
    check_refused(good + good);
    check_refused("checksum ");
    check_refused(with_checksum(""));
    check_refused(with_checksum("brook-broker 1\n"));
    check_refused(std::string(100, '\0'));
}

TEST_CASE("a properties file of a newer version is refused by name, and an older one is read", "[format][properties]") {
    const std::string version = GENERATE(as<std::string>{}, "2", "99", "4294967297", "0", "-1", "x", "");
    const failure why = decoding(with_checksum("brook-topic " + version + "\npartitions 4\n"));
    CAPTURE(version);
    CHECK(why.code == errc::unsupported_version);
    CHECK(why.text.find("/data/topic.meta") != std::string::npos);
    CHECK_FALSE(decoding(topic_file(), 7));
}

}  // namespace format_properties_test
