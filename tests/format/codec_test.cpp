#include <brook/format/codec.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <brook/format/checksum.hpp>
#include <brook/format/record.hpp>

#include "broker/outcome.hpp"
#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/failing_memory.hpp"

namespace format_codec_test {

using namespace brook;
using namespace brook::format;
using brook::test::batch_frame;
using brook::test::code_of;
using brook::test::deflated;
using brook::test::outcome_of;
using brook::test::run_codec;
using brook::test::runs;

namespace {

using frame_bytes = std::vector<std::byte>;

constexpr std::uint32_t no_limit = gib;

struct result {
    inflation how = inflation::corrupt;
    frame_bytes frame;
    std::uint32_t asked = 0;  ///< the memory that was taken
};

/// Inflates a copy of exactly that size, so that whoever reads or writes beside it is seen.
result inflated(const frame_bytes& frame, std::uint32_t most = no_limit) {
    const auto exact = std::make_unique<std::byte[]>(frame.size());
    std::memcpy(exact.get(), frame.data(), frame.size());
    result got;
    std::unique_ptr<std::byte[]> room;
    got.how = inflate(load_header(exact.get()), exact.get(), most, [&](std::uint32_t size) {
        got.asked = size;
        room = std::make_unique<std::byte[]>(size);
        return room.get();
    });
    got.frame.assign(room.get(), room.get() + got.asked);
    return got;
}

frame_bytes texts(int count = 100) {
    std::vector<std::string> values;
    for (int i = 0; i < count; ++i) {
        values.push_back(R"({"id":)" + std::to_string(static_cast<std::uint32_t>(i) * 2'654'435'761u) + R"(,"name":"somebody","state":"ok"})");
    }
    return batch_frame(std::vector<std::string_view>(values.begin(), values.end()), 1'000);
}

/// A compressed frame with this body.
frame_bytes frame_of(unsigned codec, std::uint32_t uncompressed, const std::string& stored, std::uint32_t zero = 0) {
    frame_bytes frame(frame_header_size + compressed_prefix + stored.size());
    frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.attributes = static_cast<std::uint16_t>(codec);
    header.count = 1;
    store(frame.data(), header);
    store(frame.data() + frame_header_size, std::uint64_t{uncompressed} | std::uint64_t{zero} << 32);
    std::memcpy(frame.data() + frame_header_size + compressed_prefix, stored.data(), stored.size());
    return frame;
}

/// What zstd's library makes of it with these parameters.
std::string zstd_made(const std::string& content, std::initializer_list<std::pair<ZSTD_cParameter, int>> parameters) {
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    for (const auto& [name, value] : parameters) {
        REQUIRE(ZSTD_isError(ZSTD_CCtx_setParameter(context, name, value)) == 0);
    }
    std::string made(ZSTD_compressBound(content.size()), '\0');
    const std::size_t size = ZSTD_compress2(context, made.data(), made.size(), content.data(), content.size());
    REQUIRE(ZSTD_isError(size) == 0);
    made.resize(size);
    ZSTD_freeCCtx(context);
    return made;
}

}  // namespace

TEST_CASE("what codecs have in the files is fixed for ever", "[format][codec]") {
    CHECK(codec_none == 0);
    CHECK(codec_lz4 == 1);
    CHECK(codec_zstd == 2);
    CHECK(codec_first_of_users == 6);
    CHECK(codec_count - 1 == attribute::codec_mask);
    CHECK(compressed_prefix == 8);
}

TEST_CASE("a codec is found by its id once its header is part of the program, and no other is", "[format][codec]") {
    REQUIRE(find_codec(codec_lz4) != nullptr);
    CHECK(find_codec(codec_lz4)->name() == "lz4");
    REQUIRE(find_codec(codec_zstd) != nullptr);
    CHECK(find_codec(codec_zstd)->name() == "zstd");
    CHECK(find_codec(run_codec::id) == &runs);
    for (const unsigned id : {0u, 3u, 4u, 5u, 8u, 1'000u}) {
        CHECK(find_codec(id) == nullptr);
    }
}

TEST_CASE("users' codecs have the ids 6 and 7, and no two have one", "[format][codec]") {
    const run_codec other;
    for (const int id : {-1, 0, 1, 2, 3, 5, 8}) {
        CHECK(code_of([&] { codec_registration{id, other}; }) == errc::invalid_config);
    }
    CHECK(outcome_of([&] { codec_registration{6, other}; }).names("another codec has the id 6"));
    CHECK_FALSE(code_of([] { codec_registration{6, runs}; }));  // it has it
    CHECK(find_codec(6) == &runs);
}

TEST_CASE("a batch is compressed only where that makes it smaller, and within the bounds that a reader keeps to", "[format][codec]") {
    struct odd_codec final : compression_codec {
        std::size_t made = 0;
        mutable bool was_asked = false;
        [[nodiscard]] std::string_view name() const noexcept override { return "odd"; }
        [[nodiscard]] int least_level() const noexcept override { return 0; }
        [[nodiscard]] int most_level() const noexcept override { return 0; }
        [[nodiscard]] std::size_t bound(std::size_t size) const noexcept override { return size; }
        [[nodiscard]] std::size_t compress(bytes, mutable_bytes, std::optional<int>) const noexcept override {
            was_asked = true;
            return made;
        }
        [[nodiscard]] bool decompress(bytes, mutable_bytes) const override { return false; }
    } codec;
    const frame_bytes content(2 * mib);
    frame_bytes to(content.size());
    const auto made = [&](std::size_t says, bytes from, std::size_t room) {
        codec.made = says;
        codec.was_asked = false;
        return deflate(codec, from, mutable_bytes{to}.first(room), std::nullopt);
    };
    CHECK(made(5'000, content, to.size()) == 5'000);
    CHECK(made(5'000, content, 4'999) == 0);                                // more than it had room for
    CHECK(made(content.size() - compressed_prefix, content, to.size()) == 0);  // not smaller
    CHECK(made(content.size() / largest_ratio, content, to.size()) == 0);   // no reader would believe it
    CHECK(made(50, bytes{content}.first(least_deflated - 1), to.size()) == 0);
    CHECK_FALSE(codec.was_asked);
    CHECK(made(50, {content.data(), std::size_t{gib} + 1}, to.size()) == 0);  // which nobody looks at
    CHECK_FALSE(codec.was_asked);
    CHECK(missing_codec_text(codec_first_of_users).find("codec_registration") != std::string::npos);
    CHECK(missing_codec_text(codec_count).find("newer") != std::string::npos);
    CHECK(missing_codec_text(codec_first_of_users - 1).find("newer") != std::string::npos);
}

TEST_CASE("a codec refuses what its library cannot count, and says when it has no memory", "[format][codec]") {
    const frame_bytes some(100);
    frame_bytes to(1'000);
    const bytes huge{some.data(), std::size_t{1} << 31};  // which nobody looks at
    CHECK(brook::detail::lz4.bound(huge.size()) == 0);
    CHECK(brook::detail::lz4.compress(huge, to, std::nullopt) == 0);
    CHECK_FALSE(brook::detail::lz4.decompress(huge, to));
    CHECK_FALSE(brook::detail::lz4.decompress(some, {to.data(), huge.size()}));
    std::thread{[&] {  // one that has no state yet
        const auto without = [](const auto& act) {
            const test::failing_memory failing{1};
            return act();
        };
        CHECK(without([&] { return brook::detail::lz4.compress(some, to, 9); }) == 0);
        CHECK(brook::detail::lz4.compress(some, to, 9) > 0);
        CHECK(without([&] { return brook::detail::zstd.compress(some, to, 3); }) == 0);
        const std::size_t made = brook::detail::zstd.compress(some, to, 3);
        REQUIRE(made > 0);
        frame_bytes back(some.size());
        const auto read = [&] { return brook::detail::zstd.decompress(bytes{to}.first(made), back); };
        CHECK_THROWS_AS(without(read), std::bad_alloc);
        CHECK(read());
        CHECK(back == some);
    }}.join();
}

TEST_CASE("an inflated frame is the one that was compressed", "[format][codec]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    const bool has_details = GENERATE(false, true);
    const bool has_producer = GENERATE(false, true);
    CAPTURE(codec, has_details, has_producer);
    frame_bytes frame = texts();
    if (has_details) {
        frame = batch_frame({"aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, 1'000, {1'000, 900, 1'100});
    }
    if (has_producer) {
        frame.insert(frame.begin() + frame_header_size, extension::bytes_each, std::byte{0});
        store_stamp(frame.data() + frame_header_size, {12, 3, 45});
        frame_header header = load_header(frame.data());
        header.size = static_cast<std::int32_t>(frame.size());
        header.extension = static_cast<std::uint16_t>(header.extension | extension::producer);
        store(frame.data(), header);
    }
    const frame_bytes stored = deflated(frame, codec);
    CHECK(codec_of(load_header(stored.data()).attributes) == codec);
    CHECK(offsets_taken(load_header(stored.data()), stored.data()) == offsets_taken(load_header(frame.data()), frame.data()));
    CHECK(largest_timestamp(load_header(stored.data()), stored.data()) == (has_details ? 1'100 : 1'000));

    const result got = inflated(stored);
    REQUIRE(got.how == inflation::done);
    frame.resize(align_up(frame.size(), std::size_t{8}));
    CHECK(got.frame == frame);
    record_walk walk{load_header(got.frame.data()), got.frame.data()};
    std::uint32_t count = 0;
    for (record_slice one; walk.next(one);) {
        ++count;
    }
    CHECK_FALSE(walk.is_malformed());
    CHECK(count == load_header(frame.data()).count);
}

TEST_CASE("what a level makes is read whatever the level was", "[format][codec]") {
    const frame_bytes frame = texts(1'000);
    for (const unsigned id : {codec_lz4, codec_zstd}) {
        const compression_codec& codec = *find_codec(id);
        for (const int level : {codec.least_level(), -100, -1, 0, 1, 2, 3, 6, 9, 10, 12, 19, 22}) {
            if (level > codec.most_level()) {
                continue;
            }
            CAPTURE(id, level);
            const result got = inflated(deflated(frame, id, level));
            REQUIRE(got.how == inflation::done);
            CHECK(std::equal(frame.begin(), frame.end(), got.frame.begin()));
        }
    }
    CHECK(deflated(frame, codec_lz4, 12).size() < deflated(frame, codec_lz4).size());
    CHECK(deflated(frame, codec_lz4).size() < deflated(frame, codec_lz4, -1'000).size());
    CHECK(deflated(frame, codec_zstd, 19).size() < deflated(frame, codec_zstd, 1).size());
}

TEST_CASE("a batch larger than zstd's window is read, whatever the level", "[format][codec]") {
    const int level = GENERATE(1, 19, 22);
    CAPTURE(level);
    std::mt19937_64 random{3};
    std::string noise(9 * mib, '\0');
    for (std::size_t i = 0; i < noise.size() / (level < 19 ? 1 : 16); ++i) {  // the higher levels take their time for noise
        noise[i] = static_cast<char>(random());
    }
    const frame_bytes frame = batch_frame({noise}, 0);
    const result got = inflated(deflated(frame, codec_zstd, level));
    REQUIRE(got.how == inflation::done);
    CHECK(std::equal(frame.begin(), frame.end(), got.frame.begin()));
}

TEST_CASE("no memory is taken for a size that a batch cannot have", "[format][codec]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    CAPTURE(codec);
    const auto refused = [](const frame_bytes& frame, std::uint32_t most = no_limit) {
        const result got = inflated(frame, most);
        return got.how == inflation::corrupt && got.asked == 0;
    };
    const frame_bytes frame = texts();
    const frame_bytes good = deflated(frame, codec);
    const auto size = static_cast<std::uint32_t>(frame.size());

    SECTION("more than its segment holds") {
        CHECK(inflated(good, size).how == inflation::done);
        CHECK(refused(good, size - 1));
        CHECK(refused(good, 0));
    }
    SECTION("more than a thousand times what is there, beyond 1 MiB") {
        const std::string stored(2'000, 'x');
        CHECK_FALSE(refused(frame_of(codec, 2'000'000, stored)));  // taken, and found to be something else
        CHECK(refused(frame_of(codec, 2'000'001, stored)));
        CHECK(refused(frame_of(codec, 0xffff'ffff, stored)));
        CHECK_FALSE(refused(frame_of(codec, mib, "xx")));
        CHECK(refused(frame_of(codec, mib + 1, "xx")));
    }
    SECTION("nothing") { CHECK(refused(frame_of(codec, 0, "xx"))); }
    SECTION("a frame that ends before the size does") {
        frame_bytes cut = good;
        cut.resize(frame_header_size + compressed_prefix - 1);
        frame_header header = load_header(cut.data());
        header.size = static_cast<std::int32_t>(cut.size());
        store(cut.data(), header);
        CHECK(refused(cut));
    }
    SECTION("a word that is zero in all that this version writes") { CHECK(refused(frame_of(codec, 100, "xx", 1))); }
    SECTION("a lone record") {
        frame_bytes lone = good;
        frame_header header = load_header(lone.data());
        header.attributes |= attribute::lone;
        store(lone.data(), header);
        CHECK(refused(lone));
    }
}

TEST_CASE("a frame of a codec that nobody has is told from a broken one", "[format][codec]") {
    for (const unsigned id : {3u, 4u, 5u}) {
        CHECK(inflated(frame_of(id, 0, "")).how == inflation::missing_codec);
        CHECK(inflated(frame_of(id, 100, "xx", 7)).asked == 0);
    }
    CHECK(missing_codec_text(codec_lz4).find("<brook/lz4.hpp>") != std::string::npos);
    CHECK(missing_codec_text(codec_zstd).find("<brook/zstd.hpp>") != std::string::npos);
    CHECK(missing_codec_text(5).find("newer") != std::string::npos);
    CHECK(missing_codec_text(7).find("codec_registration") != std::string::npos);
}

TEST_CASE("a size that is not the content's is corrupt, one more and one less", "[format][codec]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    CAPTURE(codec);
    frame_bytes stored = deflated(texts(), codec);
    const auto size = load<std::uint32_t>(stored.data() + frame_header_size);
    REQUIRE(inflated(stored).how == inflation::done);
    for (const std::uint32_t other : {1u, size / 2, size - 1, size + 1, size + 8, 2 * size}) {
        store(stored.data() + frame_header_size, other);
        CAPTURE(other);
        CHECK(inflated(stored).how == inflation::corrupt);
    }
}

TEST_CASE("zstd frames that brook does not write are refused before they cost anything", "[format][codec]") {
    const std::string content(20'000, 'z');
    const auto read = [&](const std::string& stored, std::size_t size) { return inflated(frame_of(codec_zstd, static_cast<std::uint32_t>(size), stored)).how; };
    const std::string good = zstd_made(content, {});
    REQUIRE(read(good, content.size()) == inflation::done);
    SECTION("without its content's size") { CHECK(read(zstd_made(content, {{ZSTD_c_contentSizeFlag, 0}}), content.size()) == inflation::corrupt); }
    SECTION("two of them") { CHECK(read(good + good, 2 * content.size()) == inflation::corrupt); }
    SECTION("something behind it") { CHECK(read(good + '\0', content.size()) == inflation::corrupt); }
    SECTION("a frame to be skipped") {
        CHECK(read(std::string{"\x50\x2a\x4d\x18\x04\0\0\0abcd", 12}, 4) == inflation::corrupt);
        CHECK(read(std::string{"\x50\x2a\x4d\x18\x04\0\0\0abcd", 12} + good, content.size()) == inflation::corrupt);
    }
    SECTION("with the number of a dictionary") {
        std::string named = good;
        named[4] = static_cast<char>(named[4] | 1);
        named.insert(5, 1, '\0');  // number 0, which says none: no such frame is written either
        CHECK(read(named, content.size()) == inflation::corrupt);
    }
    SECTION("a window of more than 8 MiB") {
        const std::string large(9 * mib, 'w');
        const auto with_window = [&](int log) {
            std::mt19937_64 random{5};
            std::string text = large;
            for (std::size_t i = 0; i < 64 * kib; ++i) {
                text[i] = static_cast<char>(random());
            }
            return read(zstd_made(text, {{ZSTD_c_compressionLevel, 1}, {ZSTD_c_windowLog, log}}), text.size());
        };
        CHECK(with_window(23) == inflation::done);
        CHECK(with_window(24) == inflation::corrupt);
    }
}

TEST_CASE("every truncation and every flipped bit of a compressed frame is noticed by its checksum, and harms nobody who inflates it all the same", "[format][codec]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    CAPTURE(codec);
    frame_bytes frame = deflated(batch_frame({"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bcdbcdbcdbcdbcdbcdbcdbcdbcd", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, 5), codec);
    const std::size_t size = frame.size();
    frame.resize(align_up(size, std::size_t{8}));
    const auto end = static_cast<position>(256 + frame.size());
    frame_header header = load_header(frame.data());
    header.checksum = checksum_of(99, 256, header, frame.data());
    store(frame.data(), header);
    REQUIRE(verifies(99, 256, end, frame.data()));

    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
        frame_bytes bad = frame;
        bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
        CAPTURE(bit);
        REQUIRE_FALSE(verifies(99, 256, end, bad.data()));
        if (bit >= 8 * frame_header_size) {
            bad.resize(size);
            const result got = inflated(bad);
            REQUIRE((got.how == inflation::corrupt || got.frame.size() == got.asked));
        }
    }
    for (std::size_t left = frame_header_size; left < size; ++left) {
        frame_bytes bad{frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(left)};
        frame_header shorter = header;
        shorter.size = static_cast<std::int32_t>(left);
        store(bad.data(), shorter);
        CAPTURE(left);
        REQUIRE(inflated(bad).how == inflation::corrupt);
        bad.resize(align_up(left, std::size_t{8}));
        REQUIRE_FALSE(verifies(99, 256, static_cast<position>(256 + bad.size()), bad.data()));
    }
}

TEST_CASE("random bytes where a codec's should be are refused or read, and nothing beside them", "[format][codec]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    std::mt19937_64 random{codec};
    const frame_bytes good = deflated(texts(), codec);
    for (int round = 0; round < 20'000; ++round) {
        frame_bytes bad = good;
        if (round % 2 == 0) {
            bad.resize(frame_header_size + compressed_prefix + random() % 64);
            for (std::size_t i = frame_header_size + compressed_prefix; i < bad.size(); ++i) {
                bad[i] = static_cast<std::byte>(random());
            }
            store(bad.data() + frame_header_size, std::uint64_t{random() % 10'000});
            frame_header header = load_header(bad.data());
            header.size = static_cast<std::int32_t>(bad.size());
            store(bad.data(), header);
        }
        for (std::uint64_t i = random() % 8; round % 2 != 0 && i-- > 0;) {
            const std::size_t at = frame_header_size + random() % (bad.size() - frame_header_size);
            bad[at] = static_cast<std::byte>(random());
        }
        const result got = inflated(bad);
        if (got.how == inflation::done) {
            record_walk walk{load_header(got.frame.data()), got.frame.data()};
            for (record_slice one; walk.next(one);) {
                static_cast<void>(one.value());
            }
        }
    }
}

}  // namespace format_codec_test
