#include <brook/storage/segment_scrub.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/text_file.hpp"

namespace storage_segment_scrub_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_kind;
using brook::format::segment_header_size;
using brook::storage::log_break;
using brook::storage::scrub_rules;
using brook::storage::scrubbed_segment;

namespace {

constexpr const char* first_log = "00000000000000000000.log";

/// The bytes of a segment with so many records, in one segment.
std::string segment_of(std::int64_t records, std::uint32_t segment_bytes = 64 * kib) {
    partition orders{{.segment_bytes = segment_bytes}};
    orders.open();
    append_range(*orders.log, 0, records);
    orders.close();
    return orders.files().at(first_log);
}

scrubbed_segment walk(const text_file& file, const scrub_rules& rules = {}) {
    storage::segment_summary summary;
    summary.birth = peek<format::segment_birth>(file.content, 0);
    scrubbed_segment found;
    const storage::partition_name name{"orders", {}, 3};
    storage::segment_scrub{file, name, summary, 0, rules, found}.walk();
    return found;
}

/// A published frame as anybody can make it who knows the seed.
void forge(std::string& content, std::size_t at, format::frame_header header, const std::string& body = {}) {
    const auto seed = peek<format::segment_birth>(content, 0).seed;
    header.size = static_cast<std::int32_t>(format::frame_header_size + body.size());
    content.replace(at + format::frame_header_size, body.size(), body);
    poke(content, at, header);
    header.checksum = format::checksum_of(seed, static_cast<position>(at), header, reinterpret_cast<const std::byte*>(content.data()) + at);
    poke(content, at, header);
}

}  // namespace

TEST_CASE("segment_scrub counts what is in a segment", "[storage][segment_scrub]") {
    const text_file file{segment_of(100)};
    const scrubbed_segment found = walk(file);
    CHECK(found.breaks.empty());
    CHECK(found.report.records == 100);
    CHECK(found.report.count(frame_kind::data) == 100);
    CHECK(found.report.end_offset == 100);
    CHECK(found.report.used_bytes == frames_end(file.content));
    CHECK(found.report.earliest == timestamp{std::chrono::nanoseconds{time_of(0)}});
    CHECK(found.report.latest == timestamp{std::chrono::nanoseconds{time_of(99)}});
    CHECK_FALSE(found.report.is_sealed);
}

TEST_CASE("segment_scrub names the bytes that cannot be read, and goes on behind them", "[storage][segment_scrub]") {
    text_file file{segment_of(400)};
    file.bad_pages = {3, 5};
    const scrubbed_segment found = walk(file);
    REQUIRE(found.breaks.size() == 2);
    std::int64_t lost = 0;
    for (const std::uint64_t page : {3u, 5u}) {
        const log_break& here = found.breaks[page == 3 ? 0 : 1];
        CHECK(here.what == log_break::kind::unreadable);
        CHECK(here.begin <= page * 4096);
        CHECK(here.end >= (page + 1) * 4096);
        CHECK(here.why.find("bytes " + std::to_string(page * 4096) + " to " + std::to_string((page + 1) * 4096)) != std::string::npos);
        REQUIRE(here.last);
        lost += *here.last - here.first;
    }
    CHECK(found.report.records == static_cast<std::uint64_t>(400 - lost));
    CHECK(found.report.end_offset == 400);
}

TEST_CASE("segment_scrub gives a segment up of which too much cannot be read", "[storage][segment_scrub]") {
    text_file file{segment_of(4'000, mib)};
    for (std::uint64_t page = 1; page < 200; ++page) {
        file.bad_pages.insert(page);
    }
    const scrubbed_segment found = walk(file);
    CHECK(found.is_given_up);
    CHECK(found.breaks.size() == 1);
    CHECK(file.reads < 1'000);
}

TEST_CASE("segment_scrub believes no size before it is held against the file's", "[storage][segment_scrub]") {
    text_file file{segment_of(50)};
    const frame_place frame = frame_with(file.content, 20);
    const std::int32_t size = GENERATE(std::int32_t{0x7fff'ffff}, std::int32_t{0x7fff'fff8}, std::int32_t{0x0100'0000}, 1, 39);
    CAPTURE(size);
    poke(file.content, frame.at, size);
    const scrubbed_segment found = walk(file);
    REQUIRE(found.breaks.size() == 1);
    CHECK(found.breaks[0].begin == frame.at);
    CHECK(found.breaks[0].end == frame.end());
    CHECK(found.breaks[0].last == 21);
    CHECK(file.largest_read <= storage::file_window::usual_size);
}

TEST_CASE("segment_scrub takes for damage what no segment counts", "[storage][segment_scrub]") {
    text_file file{segment_of(20)};
    std::size_t at = frame_with(file.content, 10).at;
    const std::size_t behind = frame_with(file.content, 11).at;
    format::frame_header header{};
    header.attributes = format::attributes_of(frame_kind::filler);
    header.base_offset = 10;
    SECTION("a frame that takes more") {
        header.count = format::most_offsets_taken + 1;
        forge(file.content, at, header, std::string(behind - at - format::frame_header_size, 'x'));
    }
    SECTION("a frame behind so many") {
        header.count = format::most_offsets_taken;
        for (int i = 0; i < 2; ++i) {
            forge(file.content, at, header);
            at += i == 0 ? format::frame_header_size : 0;
            header.base_offset = 10 + offset{format::most_offsets_taken};
        }
    }
    const scrubbed_segment found = walk(file);
    REQUIRE_FALSE(found.breaks.empty());
    CHECK(found.breaks[0].what == log_break::kind::corrupt);
    CHECK(found.breaks[0].begin == at);
    CHECK(found.report.records == (at == frame_with(file.content, 9).end() ? 19u : 10u));
}

TEST_CASE("segment_scrub is not kept busy by a file that is made of beginnings of frames", "[storage][segment_scrub]") {
    text_file file{segment_of(50, mib)};
    const std::size_t end = frames_end(file.content);
    file.content.resize(mib);
    for (std::size_t at = end; at + 40 <= mib; at += 16) {  // each says that it reaches to the end of the file
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(mib - at);
        header.base_offset = 50;
        poke(file.content, at, header);
    }
    const scrubbed_segment found = walk(file);
    CHECK(found.is_given_up);
    CHECK(found.report.records == 50);
    CHECK(file.bytes_read < 40ull * mib);
}

TEST_CASE("segment_scrub is not filled by a file that is made of gaps", "[storage][segment_scrub]") {
    text_file file{segment_of(1, mib)};
    std::size_t at = frames_end(file.content);
    file.content.resize(mib);
    for (offset next = 1; at + 100 <= mib; ++next) {
        at += 48;
        format::frame_header header{};
        header.attributes = format::attributes_of(frame_kind::filler);
        header.base_offset = next;
        header.count = 1;
        forge(file.content, at, header);
        at += format::frame_header_size;
    }
    const scrubbed_segment found = walk(file);
    CHECK(found.is_given_up);
    CHECK(found.breaks.size() == 1'000);
}

TEST_CASE("segment_scrub tells of frames that verify and contradict themselves", "[storage][segment_scrub]") {
    text_file file{segment_of(10)};
    const std::size_t at = frames_end(file.content);
    file.content.resize(64 * kib);
    format::frame_header header{};
    header.base_offset = 10;
    std::string body(64, '\0');
    const auto [what, make] = GENERATE(Catch::Generators::table<std::string, void (*)(format::frame_header&, std::string&)>({
        {"more records than fit", [](format::frame_header& frame, std::string&) { frame.count = 1'000; }},
        {"a value that ends outside", [](format::frame_header& frame, std::string& raw) { frame.count = 1; poke(raw, 0, std::uint32_t{1'000}); }},
        {"a key that ends outside", [](format::frame_header& frame, std::string&) {
             frame.attributes = format::attribute::lone;
             frame.count = 1'000;
         }},
        {"offsets that go back", [](format::frame_header& frame, std::string& raw) {
             frame.extension = format::extension::detail;
             frame.count = 2;
             poke(raw, 0, std::uint32_t{1});   // last offset delta
             poke(raw, 24, std::uint32_t{1});  // of the first record; the second's is 0
         }},
        {"headers that are none", [](format::frame_header& frame, std::string& raw) {
             frame.attributes = format::attribute::lone | format::attribute::headers;
             frame.count = format::null_size;
             raw.replace(48, 12, 12, '\x7f');
             poke(raw, 60, std::uint32_t{12});
         }},
    }));
    CAPTURE(what);
    make(header, body);
    forge(file.content, at, header, body);
    const scrubbed_segment found = walk(file);
    REQUIRE(found.breaks.size() == 1);
    CHECK(found.breaks[0].what == log_break::kind::malformed);
    CHECK(found.breaks[0].begin == at);
    CHECK(found.breaks[0].first == 10);
}

TEST_CASE("segment_scrub stops where offsets would pass the largest number", "[storage][segment_scrub]") {
    text_file file{segment_of(1)};
    const offset last = std::numeric_limits<offset>::max() - 1;
    format::frame_header header{};
    header.attributes = format::attributes_of(frame_kind::filler);
    header.base_offset = last;
    header.count = format::most_offsets_taken;
    forge(file.content, segment_header_size, header);
    storage::segment_summary summary;
    summary.birth = peek<format::segment_birth>(file.content, 0);
    scrubbed_segment found;
    const storage::partition_name name{"orders", {}, 3};
    const scrub_rules rules;
    storage::segment_scrub{file, name, summary, last, rules, found}.walk();
    REQUIRE(found.breaks.size() == 1);
    CHECK(found.breaks[0].what == log_break::kind::malformed);
    CHECK(found.report.end_offset == last);
}

TEST_CASE("segment_scrub reads a frame again that was not whole when its word was there", "[storage][segment_scrub]") {
    const std::string whole = segment_of(100);
    text_file file{whole};
    const frame_place frame = frame_with(whole, 60);
    file.content.replace(frame.at + 8, 48, 48, '\0');  // as a copy may have it that was taken while the frame was stored
    file.on_read = [&] { file.content = file.reads == 0 ? file.content : whole; };
    const scrubbed_segment found = walk(file);
    CHECK(found.breaks.empty());
    CHECK(found.report.records == 100);
}

TEST_CASE("segment_scrub takes no payload for damage that is written where it has stepped over zeros", "[storage][segment_scrub]") {
    const std::string whole = segment_of(100);
    const frame_place frame = frame_with(whole, 99);
    text_file file{whole};
    poke(file.content, frame.at, std::uint64_t{0});  // its mark was stored behind the look's back
    std::string marked = whole;
    poke(marked, frame.at, format::frame_word::claimed(static_cast<std::uint32_t>(frame.end() - frame.at)).raw());

    SECTION("once: the mark is found by the next look") {
        file.on_read = [&] { file.content = file.reads < 2 ? file.content : marked; };
        const scrubbed_segment found = walk(file);
        REQUIRE(found.breaks.size() == 1);
        CHECK(found.breaks[0].what == log_break::kind::open_claims);
        CHECK(found.breaks[0].begin == frame.at);
        CHECK(found.report.end_offset == 99);
    }
    SECTION("once, and it is published by the next look") {
        file.on_read = [&] { file.content = file.reads < 2 ? file.content : whole; };
        const scrubbed_segment found = walk(file);
        CHECK(found.breaks.empty());
        CHECK(found.report.end_offset == 100);
    }
    SECTION("again and again, by a busy writer") {
        std::uint64_t claims = 0;
        file.on_read = [&] {
            if (file.reads > 1) {
                poke(file.content, frame.at, format::frame_word::claimed(static_cast<std::uint32_t>(48 * ++claims)).raw());
                file.content.replace(frame.at + 8, 8'000, 8'000, '\0');
                poke(file.content, frame.at + 48 * claims + 16, std::uint64_t{0x6e6f'7420'6120'776f});
            }
        };
        const scrubbed_segment found = walk(file);
        CHECK(found.breaks.empty());
        CHECK(found.report.end_offset == 99);
        CHECK(claims > 5);
    }
    SECTION("never: then it is damage") {
        const scrubbed_segment found = walk(file);
        REQUIRE(found.breaks.size() == 1);
        CHECK(found.breaks[0].what == log_break::kind::corrupt);
        CHECK(found.breaks[0].begin == frame.at);
    }
}

TEST_CASE("segment_scrub shows frames and records, and stops when its visitor has enough", "[storage][segment_scrub]") {
    const text_file file{segment_of(100)};
    std::vector<std::string> values;
    std::vector<offset> offsets;
    scrub_rules rules;
    rules.on_record = [&](const visited_record& record) {
        values.emplace_back(as_text(*record.value));
        offsets.push_back(record.offset);
        return record.offset < 41;
    };
    std::uint64_t frames = 0;
    rules.on_frame = [&](const visited_frame& frame) { return frame.offsets == 1 && ++frames > 0; };
    const scrubbed_segment found = walk(file, rules);
    CHECK(found.has_stopped);
    CHECK(frames == 42);
    REQUIRE(values.size() == 42);
    for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(values[i] == value_of(static_cast<std::int64_t>(i)));
        CHECK(offsets[i] == static_cast<offset>(i));
    }
}

}  // namespace storage_segment_scrub_test
