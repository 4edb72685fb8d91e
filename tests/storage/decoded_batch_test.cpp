#include <brook/storage/decoded_batch.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/storage/segment_scrub.hpp>

#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/partition.hpp"
#include "support/text_file.hpp"

namespace storage_decoded_batch_test {

using namespace brook;
using namespace brook::test;

namespace {

constexpr const char* first_log = "00000000000000000000.log";

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// A batch of the test's own records [first, last) with their own times, compressed by a codec; 0: not.
std::vector<std::byte> numbered_frame(std::int64_t first, std::int64_t last, unsigned codec) {
    std::vector<std::string> values;
    std::vector<std::int64_t> times;
    for (std::int64_t n = first; n < last; ++n) {
        values.push_back(value_of(n));
        times.push_back(time_of(n));
    }
    const auto frame = batch_frame(std::vector<std::string_view>(values.begin(), values.end()), time_of(first), times);
    return codec == 0 ? frame : deflated(frame, codec);
}

void append_numbered(storage::log& log, std::int64_t first, std::int64_t last, unsigned codec) {
    failure why;
    REQUIRE(append_frame(log, numbered_frame(first, last, codec), why) == first);
}

/// Batches of all codecs and of none, lone records between them, over several segments.
std::int64_t append_mixture(storage::log& log) {
    std::int64_t next = 0;
    for (int round = 0; round < 6; ++round) {
        for (const unsigned codec : {0u, 1u, 2u, 1u, 0u, 2u}) {
            const std::int64_t count = 1 + (next * 7 + codec) % 23;
            append_numbered(log, next, next + count, codec);
            next += count;
        }
        append_range(log, next, next + round);
        next += round;
    }
    return next;
}

/// One whose body is none of its codec's, behind `before` records.
std::int64_t append_broken(storage::log& log, std::int64_t before, unsigned codec) {
    append_range(log, 0, before);
    auto frame = numbered_frame(before, before + 10, codec);
    const std::size_t front = format::frame_header_size + format::extension::bytes_each;
    store(frame.data() + front, load<std::uint32_t>(frame.data() + front) + 8);  // before its checksum is made
    failure why;
    REQUIRE(append_frame(log, frame, why) == before);
    append_range(log, before + 10, before + 15);
    return before + 15;
}

storage::scrubbed_segment scrubbed(const std::string& content) {
    const text_file file{content};
    storage::segment_summary summary;
    summary.birth = peek<format::segment_birth>(file.content, 0);
    storage::scrubbed_segment found;
    const storage::partition_name name{"orders", {}, 3};
    const storage::scrub_rules rules;
    storage::segment_scrub{file, name, summary, 0, rules, found}.walk();
    return found;
}

}  // namespace

TEST_CASE("records of compressed batches are read from any offset on, however few are taken at once", "[storage][decoded_batch]") {
    partition orders{{.segment_bytes = 8 * kib}};
    orders.open();
    const std::int64_t end = append_mixture(*orders.log);
    CHECK(orders.files().size() > 4);
    const bool is_reopened = GENERATE(false, true);
    if (is_reopened) {
        REQUIRE(orders.log->sync().text == "");
        orders.close();
        orders.open();
    }
    const std::uint32_t at_once = GENERATE(1u, 3u, 7u, 1'000u);
    CAPTURE(is_reopened, at_once);
    for (std::int64_t from = 0; from <= end; from += at_once == 1 ? 17 : 1) {
        const reading all = read_from(*orders.log, from, at_once);
        CAPTURE(from);
        REQUIRE(all.why.text == "");
        REQUIRE(all.is_at_end);
        REQUIRE(difference(all.records, numbered(from, end)) == "");
    }
}

TEST_CASE("a batch is decoded once, however many fetches take their parts of it", "[storage][decoded_batch]") {
    partition orders;
    storage::log& log = orders.open();
    failure why;
    const std::vector<std::string_view> values(100, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
    const auto frame = deflated(batch_frame(values, 5), 6);
    REQUIRE(append_frame(log, frame, why) == 0);
    REQUIRE(append_frame(log, frame, why) == 100);
    runs.decoded = 0;
    CHECK(read_from(log, 0, 9).records.size() == 200);
    CHECK(runs.decoded == 2);
    CHECK(read_from(log, 30, 200).records.size() == 170);
    CHECK(runs.decoded == 4);
    storage::log_reader reader = log.reader();
    std::vector<storage::record_range> ranges;
    CHECK_FALSE(reader.at_end(true));
    CHECK(reader.epoch_at(150));
    CHECK(runs.decoded == 4);  // nobody needs the records for that
    reader.seek(50);
    CHECK_FALSE(reader.fetch(10, true, ranges));
    CHECK_FALSE(reader.at_end(true));
    CHECK(reader.position_offset() == 60);
    reader.seek(55);
    CHECK_FALSE(reader.fetch(10, true, ranges));
    CHECK(runs.decoded == 6);
    REQUIRE(ranges.size() == 2);
    CHECK(ranges[0].decoded.data() != ranges[1].decoded.data());  // each stays what it was
}

TEST_CASE("a fetch ends when what it has decoded is as much as it may be, and gives one batch at least", "[storage][decoded_batch]") {
    partition orders{{.segment_bytes = 64 * mib}};
    storage::log& log = orders.open();
    const std::string value(7 * mib, 'x');
    failure why;
    for (offset n = 0; n < 5; ++n) {
        REQUIRE(append_frame(log, deflated(batch_frame({value}, n), 1), why) == n);
    }
    storage::log_reader reader = log.reader();
    reader.seek(0);
    std::vector<storage::record_range> ranges;
    CHECK_FALSE(reader.fetch(500, true, ranges));
    CHECK(ranges.size() == 3);
    ranges.clear();
    CHECK_FALSE(reader.fetch(500, true, ranges, 1));
    CHECK(ranges.size() == 1);
    CHECK(reader.position_offset() == 4);
}

TEST_CASE("what was decoded stays as long as the range that has it", "[storage][decoded_batch]") {
    std::vector<storage::record_range> ranges;
    {
        partition orders;
        append_numbered(orders.open(), 0, 50, 2);
        storage::log_reader reader = orders.log->reader();
        reader.seek(20);
        REQUIRE_FALSE(reader.fetch(10, true, ranges));
        orders.close();
    }
    std::vector<read_record> records;
    REQUIRE(ranges.size() == 1);
    copy_out(ranges[0], records);
    CHECK(difference(records, numbered(20, 30)) == "");
}

TEST_CASE("a compressed batch that is none is an error with its place, and what is beside it is read", "[storage][decoded_batch]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    const bool is_first = GENERATE(false, true);
    CAPTURE(codec, is_first);
    partition orders;
    storage::log& log = orders.open();
    const std::int64_t before = is_first ? 0 : 4;
    const std::int64_t end = append_broken(log, before, codec);
    const reading all = read_from(log, 0);
    CHECK(difference(all.records, numbered(0, before)) == "");
    CHECK(all.why.code == errc::corrupt_record);
    CHECK(names(all.why, "topic 'orders', partition 3"));
    CHECK(names(all.why, "position"));
    CHECK(names(all.why, "seek to offset " + std::to_string(before + 10)));
    CHECK(read_from(log, before + 3).why.code == errc::corrupt_record);
    CHECK(difference(read_from(log, before + 10).records, numbered(before + 10, end)) == "");
    failure why;
    CHECK_FALSE(log.offset_for_time(time_of(before + 2), why));
    CHECK(why.code == errc::corrupt_record);
    failure none;
    CHECK(log.offset_for_time(time_of(before + 12), none) == before + 12);
    CHECK_FALSE(none);
}

TEST_CASE("a batch that its segment could not hold uncompressed is not believed", "[storage][decoded_batch]") {
    CHECK(storage::most_inflated(64 * mib) == 64 * mib - 256 - 40);
    CHECK(storage::most_inflated(2 * gib - 1) == gib - 296);
    CHECK(storage::most_inflated(100) == 0);
    partition orders{{.segment_bytes = 8 * kib}};
    storage::log& log = orders.open();
    const std::uint32_t most = log.largest_frame();
    REQUIRE(most == storage::most_inflated(8 * kib));
    failure why;
    const std::size_t entry = format::frame_header_size + format::entry_size;
    const std::string fits(most - entry, 'x');
    const std::string too_large(most - entry + 8, 'x');
    REQUIRE(append_frame(log, deflated(batch_frame({fits}, 1), 1), why) == 0);
    REQUIRE(append_frame(log, deflated(batch_frame({too_large}, 1), 1), why) == 1);
    const reading all = read_from(log, 0);
    REQUIRE(all.records.size() == 1);
    CHECK(all.records[0].value == fits);
    CHECK(all.why.code == errc::corrupt_record);
}

TEST_CASE("times are looked up in compressed batches, and what lies outside of them is enough for most of it", "[storage][decoded_batch]") {
    partition orders{{.segment_bytes = 8 * kib}};
    orders.open();
    const std::int64_t end = append_mixture(*orders.log);
    failure why;
    for (std::int64_t n = 0; n < end; ++n) {
        CAPTURE(n);
        REQUIRE(orders.log->offset_for_time(time_of(n), why) == n);
    }
    CHECK_FALSE(orders.log->offset_for_time(time_of(end), why));
    CHECK(why.text == "");

    const std::vector<std::string_view> values(10, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
    REQUIRE(append_frame(*orders.log, deflated(batch_frame(values, time_of(end)), 6), why) == end);
    REQUIRE(append_frame(*orders.log, deflated(batch_frame(values, time_of(end) + 9), 6), why) == end + 10);
    runs.decoded = 0;
    CHECK(orders.log->offset_for_time(time_of(end) + 1, why) == end + 10);
    CHECK(runs.decoded <= 1);
}

TEST_CASE("a batch whose codec nobody has is an error that says what to do, and neither skipped nor misread", "[storage][decoded_batch]") {
    partition orders;
    storage::log& log = orders.open();
    append_numbered(log, 0, 10, 1);
    auto frame = numbered_frame(10, 20, 1);
    frame[4] = std::byte{5};  // another codec
    failure why;
    REQUIRE(append_frame(log, frame, why) == 10);
    append_numbered(log, 20, 30, 1);
    for (const std::int64_t from : {0, 5, 10, 13, 19}) {
        const reading all = read_from(log, from);
        CHECK(difference(all.records, numbered(from, std::max<std::int64_t>(from, 10))) == "");
        CHECK(all.why.code == errc::unsupported_compression_type);
        CHECK(names(all.why, "no codec 5"));
        CHECK(names(all.why, "offset 10"));
    }
    CHECK(difference(read_from(log, 20).records, numbered(20, 30)) == "");
    failure unread;
    CHECK_FALSE(log.offset_for_time(time_of(15), unread));
    CHECK(unread.code == errc::unsupported_compression_type);
    failure none;
    CHECK(log.offset_for_time(time_of(9), none) == 9);
    CHECK(log.offset_for_time(time_of(25), none) == 25);  // the headers alone tell that it is none of those
    CHECK(none.text == "");

    orders.close();
    const auto found = scrubbed(orders.files().at(first_log));
    CHECK(found.breaks.empty());
    CHECK(found.report.records == 30);
    CHECK(found.report.undecoded_batches == 1);
    CHECK(found.undecoded_codec == 5);
    CHECK(found.first_undecoded == frame_with(orders.files().at(first_log), 10).at);
    CHECK(found.report.earliest == timestamp{std::chrono::nanoseconds{time_of(0)}});
    CHECK(found.report.latest == timestamp{std::chrono::nanoseconds{time_of(29)}});
}

TEST_CASE("segment_scrub looks into compressed batches", "[storage][decoded_batch]") {
    partition orders{{.segment_bytes = 256 * kib}};
    orders.open();
    const std::int64_t end = append_mixture(*orders.log);
    orders.close();
    const auto found = scrubbed(orders.files().at(first_log));
    CHECK(found.breaks.empty());
    CHECK(found.report.records == static_cast<std::uint64_t>(end));
    CHECK(found.report.undecoded_batches == 0);
    CHECK(found.report.latest == timestamp{std::chrono::nanoseconds{time_of(end - 1)}});
}

TEST_CASE("segment_scrub tells of a compressed batch that is none", "[storage][decoded_batch]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2, 6);
    partition orders;
    append_broken(orders.open(), 4, codec);
    orders.close();
    const auto found = scrubbed(orders.files().at(first_log));
    REQUIRE(found.breaks.size() == 1);
    CHECK(found.breaks[0].what == storage::log_break::kind::malformed);
    CHECK(found.breaks[0].first == 4);
    CHECK(found.breaks[0].last == 14);
    CHECK(found.report.records == 9);
}

TEST_CASE("every flipped bit of a compressed batch on the disk is an error or the original", "[storage][decoded_batch]") {
    const unsigned codec = GENERATE(as<unsigned>{}, 1, 2);
    CAPTURE(codec);
    partition orders{{.segment_bytes = 4 * kib}};
    append_numbered(orders.open(), 0, 6, codec);
    append_range(*orders.log, 6, 7);
    REQUIRE(orders.log->sync().text == "");
    orders.close();
    const image good = orders.files();
    const frame_place frame = frame_with(good.at(first_log), 0);
    for (std::size_t bit = 8 * frame.at; bit < 8 * frame.end(); bit += bit % 8 == 5 ? 9 : 3) {
        image bad = good;
        flip_bit(bad.at(first_log), bit);
        orders.become(bad);
        orders.open();
        const reading all = read_from(*orders.log, 0, 100);
        CAPTURE(bit);
        REQUIRE(((all.why.code == errc::corrupt_record && all.records.empty()) || difference(all.records, numbered(0, 7)) == ""));
        REQUIRE(difference(read_from(*orders.log, 6).records, numbered(6, 7)) == "");
        orders.close();
    }
}

}  // namespace storage_decoded_batch_test
