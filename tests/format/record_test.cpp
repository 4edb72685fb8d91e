#include <brook/format/record.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace format_record_test {

using namespace brook;
using namespace brook::format;

namespace {

using text = std::optional<std::string>;

struct record {
    text key;
    text value;
    std::vector<std::pair<std::string, text>> headers;
    std::int64_t time_delta = 0;
    std::uint32_t offset_delta = 0;
};

std::string encoded_headers(const record& from) {
    std::uint64_t size = 0;
    for (const auto& [name, value] : from.headers) {
        size += header_bytes(name.size(), value ? value->size() : 0);
    }
    std::string raw(size, '\0');
    auto* at = reinterpret_cast<std::byte*>(raw.data());
    for (const auto& [name, value] : from.headers) {
        at = write_header(at, name, value ? std::optional{as_bytes(*value)} : std::nullopt);
    }
    CHECK(at == reinterpret_cast<std::byte*>(raw.data()) + size);
    return raw;
}

record_sizes sizes_of(const record& from) {
    return {from.key ? static_cast<std::uint32_t>(from.key->size()) : null_size, from.value ? static_cast<std::uint32_t>(from.value->size()) : null_size,
            static_cast<std::uint32_t>(encoded_headers(from).size())};
}

void fill(std::byte* to, const text& from) { copy_bytes(to, from ? from->data() : nullptr, from ? from->size() : 0); }

/// As the producer does it, in memory that was something else before.
std::vector<std::byte> lone(const record& from, std::uint16_t more_attributes = 0, char dirt = '\xcc') {
    const record_sizes sizes = sizes_of(from);
    const auto size = static_cast<std::uint32_t>(lone_frame_size(sizes));
    std::vector<std::byte> frame(size, static_cast<std::byte>(dirt));
    const lone_layout layout = lay_out_lone(frame.data(), sizes);
    fill(layout.key, from.key);
    fill(layout.value, from.value);
    fill(layout.headers, encoded_headers(from));
    frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = static_cast<std::uint16_t>(lone_attributes(sizes) | more_attributes);
    header.base_offset = 100;
    header.base_timestamp = 5'000;
    header.count = sizes.key;
    store(frame.data(), header);
    return frame;
}

std::vector<std::byte> batch(const std::vector<record>& records, bool has_details, bool has_producer = false) {
    std::uint64_t size = frame_header_size + (has_producer ? 16 : 0) + (has_details ? 16 + 16 * records.size() : 0);
    for (const auto& each : records) {
        size += entry_bytes(sizes_of(each));
    }
    std::vector<std::byte> frame(size, std::byte{0xcc});
    std::byte* at = frame.data() + frame_header_size;
    at += has_producer ? 16 : 0;
    if (has_details) {
        store(at, std::uint64_t{records.empty() ? 0 : records.back().offset_delta});
        store(at + 8, std::int64_t{0});
        at += 16;
        for (const auto& each : records) {
            store(at, record_detail{each.time_delta, each.offset_delta, sizes_of(each).headers});
            at += sizeof(record_detail);
        }
    }
    for (const auto& each : records) {
        const entry_layout layout = lay_out_entry(at, sizes_of(each));
        fill(layout.key, each.key);
        fill(layout.value, each.value);
        fill(layout.headers, encoded_headers(each));
        CHECK(layout.end == at + entry_bytes(sizes_of(each)));
        at = layout.end;
    }
    CHECK(at == frame.data() + size);
    frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.extension = static_cast<std::uint16_t>((has_details ? extension::detail : 0) | (has_producer ? extension::producer : 0));
    header.base_offset = 100;
    header.base_timestamp = 5'000;
    header.count = static_cast<std::uint32_t>(records.size());
    store(frame.data(), header);
    return frame;
}

std::string hex(const std::byte* from, std::size_t size) {
    std::string out;
    for (std::size_t i = 0; i < size; ++i) {
        constexpr const char* digits = "0123456789abcdef";
        out += digits[static_cast<unsigned>(from[i]) >> 4];
        out += digits[static_cast<unsigned>(from[i]) & 15];
    }
    return out;
}

void check_equal(const record_slice& slice, const record& expected) {
    CHECK(slice.has_key() == expected.key.has_value());
    CHECK(as_text(slice.key()) == expected.key.value_or(""));
    CHECK(slice.has_value() == expected.value.has_value());
    CHECK(as_text(slice.value()) == expected.value.value_or(""));
    bytes rest = slice.headers();
    for (const auto& [name, value] : expected.headers) {
        header_slice header;
        REQUIRE(next_header(rest, header));
        CHECK(header.name == name);
        CHECK(header.value.has_value() == value.has_value());
        if (value) {
            CHECK(as_text(*header.value) == *value);
        }
    }
    header_slice none;
    CHECK_FALSE(next_header(rest, none));
    CHECK(rest.empty());
}

const std::vector<record>& all_kinds() {
    static const std::vector<record> records = {
        {std::nullopt, "value", {}},
        {std::nullopt, "", {}},
        {std::nullopt, std::nullopt, {}},
        {"", "", {}},
        {"", std::nullopt, {}},
        {"key", std::nullopt, {}},
        {"key", "value", {}},
        {"12345678", "12345678", {}},
        {"123456789", "1", {}},
        {"k", std::string(5'000, 'v'), {}},
        {std::string(300, 'k'), "v", {}},
        {std::nullopt, "value", {{"name", "text"}}},
        {"key", "value", {{"name", "text"}, {"name", "again"}, {"", ""}, {"null", std::nullopt}, {"long", std::string(1'000, 'x')}}},
        {"key", std::nullopt, {{"why", "deleted"}}},
        {"key", "", {{"n", std::nullopt}}},
    };
    return records;
}

}  // namespace

TEST_CASE("a lone record comes back as it was sent, null apart from empty", "[format][record]") {
    for (const record& sent : all_kinds()) {
        const auto frame = lone(sent, attribute::append_time);
        record_walk walk{load_header(frame.data()), frame.data()};
        record_slice slice;
        REQUIRE(walk.next(slice));
        CHECK(slice.offset() == 100);
        CHECK(slice.timestamp() == 5'000);
        CHECK(slice.is_append_time());
        check_equal(slice, sent);
        CHECK((slice.value().data() - frame.data()) % 8 == 0);  // values are read in place
        CHECK((slice.key().data() - frame.data()) % 8 == 0);
        CHECK_FALSE(walk.next(slice));
        CHECK_FALSE(walk.is_malformed());
        CHECK(records_in(load_header(frame.data())) == 1);
    }
}

TEST_CASE("a bare lone record is read where it stands, and has no headers", "[format][record]") {
    const std::vector<std::byte> frame = lone({"key", "value", {}});
    const record_slice slice{frame.data()};
    REQUIRE(bare_lone_fits(frame.data(), load<frame_word>(frame.data())));
    record_walk walk{load_header(frame.data()), frame.data()};
    record_slice walked;
    REQUIRE(walk.next(walked));
    CHECK(as_text(slice.key()) == "key");
    CHECK(as_text(slice.value()) == "value");
    CHECK(slice.headers().empty());
    CHECK(slice.offset() == walked.offset());
    CHECK(slice.timestamp() == walked.timestamp());
}

TEST_CASE("a walk goes on where another one was", "[format][record]") {
    const std::vector<std::byte> frame = batch({{"a", "1", {}}, {"b", "2", {}}, {"c", "3", {}}}, false);
    record_walk first{load_header(frame.data()), frame.data()};
    record_slice slice;
    REQUIRE(first.next(slice));
    record_walk second{frame.data(), first.entry(), first.index()};
    REQUIRE(second.next(slice));
    CHECK(as_text(slice.key()) == "b");
    REQUIRE(second.next(slice));
    CHECK(as_text(slice.key()) == "c");
    CHECK_FALSE(second.next(slice));
    CHECK_FALSE(second.is_malformed());
}

TEST_CASE("a walk that goes on behind the last record has come to its end", "[format][record]") {
    const std::vector<std::byte> frame = lone({"key", "value", {}});
    for (const std::uint32_t index : {1u, 7u}) {
        record_walk walk{frame.data(), frame.data() + frame.size(), index};
        record_slice slice;
        CHECK_FALSE(walk.next(slice));
        CHECK_FALSE(walk.is_malformed());
    }
}

TEST_CASE("the records of a batch come back in order, with the batch's time and dense offsets", "[format][record]") {
    std::vector<record> sent;
    for (const record& each : all_kinds()) {
        if (each.headers.empty()) {
            sent.push_back(each);
        }
    }
    const bool has_producer = GENERATE(false, true);
    const auto frame = batch(sent, false, has_producer);
    const frame_header header = load_header(frame.data());
    CHECK(records_in(header) == sent.size());
    CHECK(offsets_taken(header, frame.data()) == sent.size());
    record_walk walk{header, frame.data()};
    record_slice slice;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        REQUIRE(walk.next(slice));
        CHECK(slice.offset() == 100 + static_cast<offset>(i));
        CHECK(slice.timestamp() == 5'000);
        CHECK_FALSE(slice.is_append_time());
        CHECK((slice.value().data() - frame.data()) % 8 == 0);
        check_equal(slice, sent[i]);
    }
    CHECK_FALSE(walk.next(slice));
    CHECK_FALSE(walk.is_malformed());
}

TEST_CASE("with details each record has its own time, offset and headers, and offsets may be missing", "[format][record]") {
    std::vector<record> sent = all_kinds();
    std::uint32_t offset_delta = 2;
    for (record& each : sent) {
        each.offset_delta = offset_delta;
        each.time_delta = 1'000 - static_cast<std::int64_t>(offset_delta) * 7;
        offset_delta += 1 + offset_delta % 3;
    }
    const bool has_producer = GENERATE(false, true);
    const auto frame = batch(sent, true, has_producer);
    const frame_header header = load_header(frame.data());
    CHECK(records_in(header) == sent.size());
    CHECK(offsets_taken(header, frame.data()) == sent.back().offset_delta + 1);
    record_walk walk{header, frame.data()};
    record_slice slice;
    for (const record& each : sent) {
        REQUIRE(walk.next(slice));
        CHECK(slice.offset() == 100 + each.offset_delta);
        CHECK(slice.timestamp() == 5'000 + each.time_delta);
        check_equal(slice, each);
    }
    CHECK_FALSE(walk.next(slice));
    CHECK_FALSE(walk.is_malformed());
}

TEST_CASE("records lie on disk as their tables say, with zeros between them", "[format][record]") {
    const auto one = lone({"key", "value!", {{"h", "x"}}});
    CHECK(hex(one.data() + frame_header_size, one.size() - frame_header_size) ==
          "6b65790000000000"      // key, zeros up to 8
          "76616c756521"          // value
          "01000100000068" "78"   // header: name size, value size, name, value
          "08000000");            // size of the headers
    CHECK(load_header(one.data()).count == 3);
    CHECK(load_header(one.data()).attributes == (attribute::lone | attribute::headers));

    record first{"k", "vw", {{"h", std::nullopt}}};
    first.time_delta = -1;
    record second{std::nullopt, std::nullopt, {}};
    second.offset_delta = 4;
    const auto two = batch({first, second}, true, true);
    CHECK(hex(two.data() + frame_header_size + 16, two.size() - frame_header_size - 16) ==
          "0400000000000000" "0000000000000000"          // last offset delta, largest time delta
          "ffffffffffffffff" "00000000" "07000000"       // time delta, offset delta, size of headers
          "0000000000000000" "04000000" "00000000"
          "02000000" "01000000"                          // value size, key size
          "6b00000000000000" "7677000000000000"          // key, value
          "0100ffffffff6800"                             // headers, zeros up to 8
          "ffffffff" "ffffffff");                        // a tombstone without a key
}

TEST_CASE("sizes are told before anything is written", "[format][record]") {
    CHECK(lone_frame_size({null_size, null_size, 0}) == 40);
    CHECK(lone_frame_size({null_size, 100, 0}) == 140);
    CHECK(lone_frame_size({0, 100, 0}) == 140);
    CHECK(lone_frame_size({3, 100, 0}) == 148);
    CHECK(lone_frame_size({8, 100, 7}) == 40 + 8 + 100 + 7 + 4);
    CHECK(lone_frame_size({0xffff'fff0, 0xffff'fff0, 0xffff'ffff}) > 0x2'ffff'0000);  // no wrap
    CHECK(entry_bytes({null_size, null_size, 0}) == 8);
    CHECK(entry_bytes({1, 1, 1}) == 8 + 3 * 8);
    CHECK(entry_bytes({8, 16, 0}) == 8 + 24);
    CHECK(header_bytes(4, 10) == 20);
}

TEST_CASE("a walk over hostile bytes ends, and reads nothing outside the frame", "[format][record]") {
    std::mt19937_64 random{GENERATE(1u, 2u, 3u, 4u)};
    std::uint64_t malformed = 0;
    std::uint64_t walked = 0;
    std::vector<std::vector<std::byte>> originals;
    for (const record& each : all_kinds()) {
        originals.push_back(lone(each));
    }
    originals.push_back(batch(all_kinds(), true, true));
    originals.push_back(batch({{"a", "b", {}}, {"c", "d", {}}, {"e", "f", {}}}, false));
    for (int round = 0; round < 30'000; ++round) {
        std::vector<std::byte> frame;
        if (round % 2 == 0) {
            frame.resize(frame_header_size + random() % 200);
            for (std::byte& byte : frame) {
                byte = random() % 3 == 0 ? std::byte{0} : static_cast<std::byte>(random());
            }
            frame_header header = load_header(frame.data());
            header.attributes &= static_cast<std::uint16_t>(attribute::known & ~(random() % 8 != 0 ? attribute::codec_mask : 0));
            header.extension &= random() % 2 == 0 ? extension::known : std::uint16_t{0};
            header.count = random() % 2 == 0 ? static_cast<std::uint32_t>(random() % 8) : header.count;
            store(frame.data(), header);
        } else {
            frame = originals[random() % originals.size()];
            for (int i = 0; i < 4; ++i) {
                frame[4 + random() % (frame.size() - 4)] = static_cast<std::byte>(random() % 5 == 0 ? 0xff : random() % 9);
            }
        }
        frame_header header = load_header(frame.data());
        header.size = static_cast<std::int32_t>(frame.size());
        const std::unique_ptr<std::byte[]> exact{new std::byte[frame.size()]};  // not one byte more: ASan looks on
        std::copy(frame.begin(), frame.end(), exact.get());
        store(exact.get(), header);
        const std::byte* const end = exact.get() + frame.size();
        record_walk walk{header, exact.get()};
        std::uint64_t count = 0;
        for (record_slice slice; walk.next(slice); ++count) {
            for (bytes part : {slice.key(), slice.value(), slice.headers()}) {
                if (part.data() != nullptr && (part.data() < exact.get() + frame_header_size || part.data() + part.size() > end)) {
                    FAIL("a part lies outside the frame");
                }
            }
            bytes rest = slice.headers();
            for (header_slice one; next_header(rest, one);) {
                if (!one.name.empty() && (reinterpret_cast<const std::byte*>(one.name.data()) + one.name.size() > end)) {
                    FAIL("a header lies outside the frame");
                }
            }
        }
        if (count > frame.size()) {
            FAIL(count << " records in " << frame.size() << " bytes");  // each takes 8 bytes at least
        }
        malformed += walk.is_malformed() ? 1 : 0;
        walked += count;
    }
    CHECK(malformed > 1'000);
    CHECK(walked > 10'000);
}

TEST_CASE("headers that contradict their size end the walk", "[format][record]") {
    std::string raw(header_bytes(1, 3), '\0');
    auto* const begin = reinterpret_cast<std::byte*>(raw.data());
    CHECK(write_header(begin, "n", as_bytes("abc")) == begin + raw.size());
    for (std::size_t size = 0; size < raw.size(); ++size) {
        const std::vector<char> exact(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));
        bytes rest = as_bytes(std::string_view{exact.data(), exact.size()});
        header_slice header;
        CHECK_FALSE(next_header(rest, header));
    }
    std::string hostile = raw;
    const auto put = [&](std::int32_t value_size) {
        store(reinterpret_cast<std::byte*>(hostile.data()) + 2, value_size);
        bytes rest = as_bytes(hostile);
        header_slice header;
        return next_header(rest, header);
    };
    CHECK(put(3));
    CHECK(put(-1));
    CHECK_FALSE(put(4));
    CHECK_FALSE(put(-2));
    CHECK_FALSE(put(0x7fff'ffff));
}

}  // namespace format_record_test
