#include <brook/engine/batch_compression.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <brook/format/record.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/failing_memory.hpp"

namespace engine_batch_compression_test {

using namespace brook;
using brook::engine::batch_body;
using brook::engine::batch_compression;
using brook::engine::packed_body;
using brook::test::failing_memory;
using brook::test::outcome_of;

namespace {

void add(batch_body& to, const std::string& value, std::optional<std::int64_t> time = std::nullopt, const std::string& headers = {}) {
    to.add({format::null_size, static_cast<std::uint32_t>(value.size()), static_cast<std::uint32_t>(headers.size())}, time, [](std::byte*) {},
           [&](std::byte* at) { std::memcpy(at, value.data(), value.size()); }, as_bytes(headers), [] { return std::int64_t{100}; });
}

std::vector<std::byte> written(const packed_body& body) {
    std::vector<std::byte> all(body.size());
    body.write_to(all.data());
    return all;
}

std::vector<std::byte> written(const batch_body& body) {
    std::vector<std::byte> all(body.size());
    body.write_to(all.data());
    return all;
}

/// What a reader makes of a body.
std::vector<std::byte> inflated(const packed_body& body, std::uint16_t extension) {
    std::vector<std::byte> frame(format::frame_header_size);
    const auto stored = written(body);
    frame.insert(frame.end(), stored.begin(), stored.end());
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.attributes = body.codec();
    header.extension = extension;
    store(frame.data(), header);
    std::vector<std::byte> room;
    const auto how = format::inflate(header, frame.data(), gib, [&](std::uint32_t size) {
        room.resize(size);
        return room.data();
    });
    REQUIRE(how == format::inflation::done);
    room.resize(format::word_of(format::load_header(room.data())).size());
    room.erase(room.begin(), room.begin() + format::frame_header_size);
    return room;
}

batch_compression by(compression type) { return batch_compression::choose({}, type, {}, "test"); }

std::string noise(std::size_t size) {
    std::mt19937_64 random{11};
    std::string text(size, '\0');
    for (char& c : text) {
        c = static_cast<char>(random());
    }
    return text;
}

}  // namespace

TEST_CASE("what the topic says counts, then what the producer asks for", "[engine][batch_compression]") {
    const std::optional<compression> free;
    CHECK_FALSE(batch_compression::choose(free, compression::none, {}, ""));
    CHECK(batch_compression::choose(free, compression::lz4, {}, "").id == 1);
    CHECK(batch_compression::choose(free, compression::zstd, 7, "").level == 7);
    CHECK(batch_compression::choose(compression::zstd, compression::none, {}, "").id == 2);
    CHECK(batch_compression::choose(compression::zstd, compression::lz4, 3, "").id == 2);
    CHECK_FALSE(batch_compression::choose(compression::zstd, compression::lz4, 3, "").level);  // it is lz4's
    CHECK(batch_compression::choose(compression::zstd, compression::zstd, 3, "").level == 3);
    CHECK_FALSE(batch_compression::choose(compression::none, compression::lz4, 3, ""));
    CHECK_FALSE(batch_compression::choose(compression::none, static_cast<compression>(5), {}, ""));  // nobody needs it
}

TEST_CASE("a codec that is missing and a level that there is not are refused by name", "[engine][batch_compression]") {
    const auto refused = [](const std::optional<compression>& forced, compression asked, std::optional<int> level = {}) {
        return outcome_of([&] { static_cast<void>(batch_compression::choose(forced, asked, level, "producer of topic 'x'")); });
    };
    const auto missing = static_cast<compression>(5);
    CHECK(refused({}, missing).code == errc::unsupported_compression_type);
    CHECK(refused({}, missing).names("producer of topic 'x'"));
    CHECK(refused({}, missing).names("no codec 5"));
    CHECK(refused(missing, compression::lz4).code == errc::unsupported_compression_type);
    CHECK(refused(missing, compression::lz4).names("by the topic's options"));
    CHECK(refused({}, compression::none, 3).code == errc::invalid_config);
    CHECK(refused({}, compression::lz4, 13).code == errc::invalid_config);
    CHECK(refused({}, compression::lz4, 13).names("to 12, not 13"));
    CHECK(refused({}, compression::zstd, 23).names("compression_level of zstd"));
    CHECK(refused({}, compression::user6, 0).code == errc::invalid_config);
    CHECK_FALSE(refused({}, compression::user6, 3).code);
}

TEST_CASE("a body is compressed where that makes it smaller, and what is read is what it was", "[engine][batch_compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd, compression::user6);
    const std::string kind = GENERATE(as<std::string>{}, "plain", "times", "headers");
    CAPTURE(to_string(type), kind);
    batch_body body;
    for (int i = 0; i < 50; ++i) {
        add(body, std::string(100, 'a') + std::to_string(i), kind == "times" ? std::optional{100 + i * std::int64_t{3}} : std::nullopt, kind == "headers" ? "some header" : "");
    }
    body.finish();
    const packed_body packed{body, by(type)};
    CHECK(packed.codec() == static_cast<unsigned>(type));
    CHECK(packed.size() < body.size() / 2);
    CHECK(body.extension() == (kind == "plain" ? 0 : format::extension::detail));
    if (kind != "plain") {  // outside of what is compressed
        const auto stored = written(packed);
        CHECK(load<std::uint64_t>(stored.data()) == 49);
        CHECK(load<std::int64_t>(stored.data() + 8) == (kind == "times" ? 49 * 3 : 0));
    }
    CHECK(inflated(packed, body.extension()) == written(body));
}

TEST_CASE("what compressing does not make smaller is written as it is", "[engine][batch_compression]") {
    const auto type = GENERATE(compression::lz4, compression::zstd, compression::user6);
    const std::string value = GENERATE(as<std::string>{}, noise(10'000), "short", "");
    CAPTURE(to_string(type), value.size());
    batch_body body;
    add(body, value);
    body.finish();
    const packed_body packed{body, by(type)};
    CHECK(packed.codec() == 0);
    CHECK(written(packed) == written(body));
}

TEST_CASE("nothing is compressed to less than a thousandth that no reader would take", "[engine][batch_compression]") {
    const auto size = GENERATE(std::size_t{mib} - 8, std::size_t{mib}, std::size_t{4 * mib});
    CAPTURE(size);
    batch_body body;
    add(body, std::string(size, 'a'));  // and 8 bytes of entry
    body.finish();
    const packed_body packed{body, by(compression::zstd)};
    CHECK((packed.codec() != 0) == (size + 8 <= mib));
    CHECK((packed.codec() == 0 ? written(packed) : inflated(packed, 0)) == written(body));
}

TEST_CASE("where there is no memory to compress in, a body is written as it is", "[engine][batch_compression]") {
    const bool has_details = GENERATE(false, true);
    for (const auto type : {compression::lz4, compression::zstd}) {
        for (std::uint64_t allocation = 1; allocation < 6; ++allocation) {
            CAPTURE(to_string(type), has_details, allocation);
            batch_body body;
            for (int i = 0; i < 1'000; ++i) {
                add(body, "a text that is repeated", has_details ? std::optional{std::int64_t{i % 7}} : std::nullopt);
            }
            body.finish();
            const auto expected = written(body);
            std::vector<std::byte> got;
            got.reserve(expected.size());
            std::uint16_t codec = 0;
            std::thread{[&] {  // one that has kept nothing yet
                const failing_memory failing{allocation};
                const packed_body packed{body, batch_compression{format::find_codec(static_cast<unsigned>(type)), static_cast<std::uint16_t>(type), 9}};
                codec = packed.codec();
                if (codec == 0) {
                    got.resize(packed.size());
                    packed.write_to(got.data());
                }
            }}.join();
            CHECK((codec == 0) == (allocation <= (has_details ? 4u : 3u)));
            CHECK((codec != 0 || got == expected));
        }
    }
}

TEST_CASE("a body that its writer throws in is not there", "[engine][batch_compression]") {
    struct stop {};
    CHECK_THROWS_AS((packed_body{1'000, [](std::byte*) { throw stop{}; }, by(compression::lz4)}), stop);
    const packed_body after{1'000, [](std::byte* at) { std::memset(at, 'x', 1'000); }, by(compression::lz4)};
    CHECK(after.is_there());
    CHECK(after.codec() == 1);
}

}  // namespace engine_batch_compression_test
