#include <brook/storage/log_reader.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_log_reader_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_header_size;
using brook::format::segment_header_size;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// A batch whose records keep the offsets that they had before compaction took some away: base + each delta.
/// Takes `last_delta` + 1 offsets.
offset append_sparse(storage::log& log, const std::vector<std::uint32_t>& deltas, std::uint32_t last_delta, std::int64_t time) {
    std::uint64_t size = format::frame_header_size + 16 + deltas.size() * sizeof(format::record_detail);
    for (const std::uint32_t delta : deltas) {
        size += format::entry_bytes({format::null_size, static_cast<std::uint32_t>(value_of(delta).size()), 0});
    }
    storage::claim taken;
    failure why;
    REQUIRE(log.take(format::frame_length(static_cast<std::uint32_t>(size)), last_delta + 1, taken, why));
    std::byte* at = taken.data + format::frame_header_size;
    store(at, std::uint64_t{last_delta});
    store(at + 8, std::int64_t{0});
    at += 16;
    for (const std::uint32_t delta : deltas) {
        store(at, format::record_detail{delta, delta, 0});
        at += sizeof(format::record_detail);
    }
    for (const std::uint32_t delta : deltas) {
        const std::string value = value_of(taken.first + delta);
        const auto layout = format::lay_out_entry(at, {format::null_size, static_cast<std::uint32_t>(value_of(delta).size()), 0});
        copy_bytes(layout.value, value.data(), value_of(delta).size());
        at = layout.end;
    }
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.extension = format::extension::detail;
    header.count = static_cast<std::uint32_t>(deltas.size());
    header.base_timestamp = time;
    log.publish(taken, header);
    return taken.first;
}

/// All kinds of frames over several segments. Gives what a reader must see.
std::vector<read_record> append_everything(partition& orders) {
    storage::log& log = *orders.log;
    failure why;
    const auto end = [&] { return log.log_end_offset(); };
    append_range(log, 0, 10);
    REQUIRE(log.sync().text == "");  // evidence
    REQUIRE(append_batch(log, 12, end(), why) == 10);
    storage::claim taken;
    REQUIRE(log.take(640, 9, taken, why));
    log.abandon(taken, 9);  // a filler
    REQUIRE(append_batch(log, 1, end(), why) == 31);
    append_sparse(log, {0, 1, 5, 6}, 9, 500);
    REQUIRE(append(log, "key", std::nullopt, 1, why) == 42);  // a tombstone
    REQUIRE(append(log, "", "", 1, why) == 43);
    REQUIRE(append_batch(log, 40, end(), why) == 44);
    REQUIRE(log.roll().text == "");
    REQUIRE(append_batch(log, 3, end(), why) == 84);
    REQUIRE(log.sync().text == "");
    for (int i = 0; i < 60; ++i) {
        REQUIRE(append(log, "k" + std::to_string(i), value_of(i), i, why) == 87 + i);
    }
    append_sparse(log, {0, 3}, 20, 900);
    REQUIRE(log.take(640, 3, taken, why));
    log.abandon(taken, 3);
    REQUIRE(log.sync().text == "");  // evidence at the very end
    return read_from(log, 0, 1'000).records;
}

std::vector<read_record> from_offset(const std::vector<read_record>& all, offset wanted) {
    std::vector<read_record> rest;
    std::copy_if(all.begin(), all.end(), std::back_inserter(rest), [&](const auto& record) { return record.offset >= wanted; });
    return rest;
}

/// Stores a frame of zeros that no writer has written, with its checksum.
/// Returns   where the next one would stand.
std::size_t forge(std::string& content, std::size_t at, format::frame_header header) {
    std::byte* const data = reinterpret_cast<std::byte*>(content.data()) + at;
    header.checksum = format::checksum_of(peek<format::segment_birth>(content, 0).seed, static_cast<position>(at), header, data);
    poke(content, at, header);
    return at + format::word_of(header).length();
}

/// A record without a key.
std::size_t forge_lone(std::string& content, std::size_t at, std::size_t size, offset base) {
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::attribute::lone;
    header.count = format::null_size;
    header.base_offset = base;
    return forge(content, at, header);
}

std::size_t forge_filler(std::string& content, std::size_t at, std::size_t size, offset base, std::uint32_t count) {
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::attributes_of(format::frame_kind::filler);
    header.count = count;
    header.base_offset = base;
    return forge(content, at, header);
}

}  // namespace

TEST_CASE("the word that a reader would look at is published with the next record, or the next segment", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    storage::log& log = *orders.log;
    storage::log_reader reader = log.reader();
    const auto is_published = [](std::byte* word) { return format::frame_word{atomic_at<std::uint64_t>(word).load()}.is_published(); };
    CHECK(reader.next_word() == nullptr);  // it is nowhere yet
    std::vector<storage::record_range> ranges;
    for (std::int64_t n = 0; n < 300; ++n) {
        ranges.clear();
        REQUIRE_FALSE(reader.fetch(1'000, true, ranges));
        std::byte* const word = reader.next_word();
        REQUIRE(word != nullptr);
        REQUIRE_FALSE(is_published(word));
        REQUIRE(reader.sees_nothing());
        if (n % 50 == 49) {
            REQUIRE_FALSE(log.roll());
        } else {
            append_nth(log, log.log_end_offset());
        }
        REQUIRE(is_published(word));
    }
    reader.seek(0);
    CHECK(reader.next_word() == nullptr);
}

TEST_CASE("a reader gives every record from any offset on, however few it takes at once", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    const auto all = append_everything(orders);
    const offset end = orders.log->log_end_offset();
    REQUIRE(end == 171);
    REQUIRE(all.size() == 10 + 12 + 1 + 4 + 2 + 40 + 3 + 60 + 2);
    CHECK(all[22].offset == 31);
    CHECK(all[24].offset == 33);
    CHECK(all[25].offset == 37);
    CHECK(all[25].timestamp == 505);
    CHECK_FALSE(all[27].value);
    CHECK(all[27].key == "key");
    CHECK(all[28].value == "");
    CHECK(all[28].key == "");
    CHECK(all.back().offset == 150);
    for (std::size_t i = 1; i < all.size(); ++i) {
        REQUIRE(all[i - 1].offset < all[i].offset);
    }

    const std::string when = GENERATE(as<std::string>{}, "as written", "let go of", "opened again", "after a loss of power");
    CAPTURE(when);
    if (when == "let go of") {
        orders.keep_up();
    } else if (when == "opened again") {
        orders.open();
    } else if (when == "after a loss of power") {
        orders.kill();
        orders.machine.reboot();
        orders.open();
    }
    for (offset wanted = 0; wanted <= end; ++wanted) {
        for (const std::uint32_t at_once : {1u, 2u, 5u, 39u, 1'000u}) {
            const reading some = read_from(*orders.log, wanted, at_once);
            const std::string different = difference(some.records, from_offset(all, wanted));
            if (!different.empty() || some.why || !some.is_at_end) {
                CAPTURE(wanted, at_once, some.why.text, some.is_at_end);
                CHECK(different == "");
                CHECK(some.is_at_end);
            }
        }
    }
    const reading beyond = read_from(*orders.log, end + 1);
    CHECK(beyond.why.code == errc::offset_out_of_range);
    CHECK(names(beyond.why, "topic 'orders', partition 3"));
    CHECK(names(beyond.why, "offset " + std::to_string(end + 1)));
    CHECK(read_from(*orders.log, end + 1'000'000).why.code == errc::offset_out_of_range);
}

TEST_CASE("a range names the offsets that are meant, also where it begins or ends inside a batch", "[storage][log_reader]") {
    partition orders;
    storage::log& log = orders.open();
    failure why;
    REQUIRE(append_batch(log, 10, 0, why) == 0);
    REQUIRE(append_batch(log, 10, 10, why) == 10);
    storage::log_reader reader = log.reader();
    reader.seek(4);
    const auto fetch = [&](std::uint32_t most) {
        std::vector<storage::record_range> ranges;
        REQUIRE_FALSE(reader.fetch(most, true, ranges));
        REQUIRE(ranges.size() == 1);
        return ranges.front();
    };
    const auto one = fetch(3);
    CHECK(one.first == 4);
    CHECK(one.last == 7);
    CHECK(one.count == 3);
    CHECK(reader.position_offset() == 7);
    CHECK_FALSE(reader.at_end(true));
    const auto two = fetch(8);
    CHECK(two.first == 7);
    CHECK(two.last == 15);
    CHECK(two.count == 8);
    const auto three = fetch(100);
    CHECK(three.first == 15);
    CHECK(three.last == 20);
    CHECK(three.count == 5);
    CHECK(reader.at_end(true));
    CHECK(reader.position_offset() == 20);
    std::vector<storage::record_range> none;
    CHECK_FALSE(reader.fetch(0, true, none));
    CHECK_FALSE(reader.fetch(5, true, none));
    CHECK(none.empty());
}

TEST_CASE("a range tells whether its records have one length", "[storage][log_reader]") {
    partition orders;
    storage::log& log = orders.open();
    failure why;
    constexpr offset count = 20;
    const offset another = GENERATE(-1, 0, 5, 8, 12, 19);
    for (offset i = 0; i < count; ++i) {
        REQUIRE(append(log, "key", std::string(i == another ? 70 : 40, 'v'), i, why) == i);
    }
    REQUIRE(append_batch(log, 3, count, why) == count);
    storage::log_reader reader = log.reader();
    std::vector<storage::record_range> ranges;
    REQUIRE_FALSE(reader.fetch(100, true, ranges));
    REQUIRE(ranges.size() == 2);
    CAPTURE(another);
    CHECK(ranges.front().count == count);
    CHECK(ranges.front().is_bare());
    CHECK(ranges.front().bare_stride == (another < 0 ? frame_header_size + 8 + 40 : storage::record_range::many_strides));
    CHECK(ranges.back().count == 3);
    CHECK_FALSE(ranges.back().is_bare());
}

TEST_CASE("a record among others of its length that is not as it should be ends a fetch", "[storage][log_reader]") {
    partition orders;
    orders.open();
    failure why;
    for (offset i = 0; i < 20; ++i) {
        REQUIRE(append(*orders.log, "key", std::string(40, 'v'), i, why) == i);
    }
    REQUIRE(orders.log->sync().text == "");
    orders.close();
    image files = orders.files();
    std::string& content = files.at("00000000000000000000.log");
    const std::size_t length = frame_header_size + 8 + 40;
    const offset bad = GENERATE(3, 12);
    const std::size_t at = segment_header_size + static_cast<std::size_t>(bad) * length;
    const std::string what = GENERATE(as<std::string>{}, "its offset", "a key that ends outside of it", "a size that ends outside of the file", "the file ends in it",
                                      "a byte of its value");
    format::frame_header header = peek<format::frame_header>(content, at);
    if (what == "its offset") {
        header.base_offset += 1;
    } else if (what == "a key that ends outside of it") {
        header.count = 1'000'000;
    } else if (what == "a size that ends outside of the file") {
        header.size = std::numeric_limits<std::int32_t>::max() - 7;
    }
    poke(content, at, header);
    if (what == "the file ends in it") {
        content.resize(at + frame_header_size + 8);
    } else if (what == "a byte of its value") {
        content[at + frame_header_size + 20] = 'w';
    }
    orders.become(files);
    orders.open();
    CAPTURE(bad, what);
    storage::log_reader reader = orders.log->reader();
    std::vector<storage::record_range> ranges;
    REQUIRE_FALSE(reader.fetch(100, what == "a byte of its value", ranges));  // what the others forgo is not what they need
    std::uint32_t count = 0;
    bool has_bare_bad = false;
    for (const auto& range : ranges) {
        has_bare_bad = has_bare_bad || (range.is_bare() && range.first <= bad && bad < range.last);
        count += range.count;
    }
    CHECK_FALSE(has_bare_bad);  // who reads a bare one does not look at its key's size again
    CHECK(ranges.front().first == 0);
    CHECK(ranges.front().last == bad);
    CHECK(count >= static_cast<std::uint32_t>(bad));
}

TEST_CASE("a reader at the end goes on with what is appended, and steps over the log's own marks", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    storage::log_reader reader = log.reader();
    CHECK(reader.at_end(true));
    std::vector<read_record> records;
    for (std::int64_t n = 0; n < 200; ++n) {
        append_nth(log, n);
        if (n % 7 == 0) {
            REQUIRE(log.sync().text == "");
        }
        if (n % 31 == 0) {
            REQUIRE(log.roll().text == "");
        }
        CHECK_FALSE(reader.at_end(true));
        std::vector<storage::record_range> ranges;
        REQUIRE_FALSE(reader.fetch(10, true, ranges));
        for (const auto& range : ranges) {
            copy_out(range, records);
        }
        CHECK(reader.at_end(true));
        CHECK(reader.position_offset() == n + 1);
    }
    CHECK(difference(records, numbered(0, 200)) == "");
}

TEST_CASE("reading makes no system call where the memory is there", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 256 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 1'000);
    orders.platform.forget_calls();
    CHECK(read_from(log, 0).records.size() == 1'000);
    CHECK(read_from(log, 900).records.size() == 100);
    CHECK(orders.platform.calls() == 0);
}

TEST_CASE("marks for the log's readers are no records", "[storage][log_reader]") {
    partition orders;
    storage::log& log = orders.open();
    append_nth(log, 0);
    failure why;
    storage::claim taken;
    REQUIRE(log.take(64, 1, taken, why));
    format::frame_header header{};
    header.size = 64;
    header.attributes = format::attributes_of(format::frame_kind::control);
    header.count = 1;
    log.publish(taken, header);
    CHECK(read_from(log, 0).records.size() == 1);
    CHECK(read_from(log, 0).is_at_end);
    CHECK(log.log_end_offset() == 2);
    failure none;
    REQUIRE(append(log, std::nullopt, value_of(2), time_of(2), none) == 2);
    CHECK(difference(read_from(log, 1).records, numbered(2, 3)) == "");
}

TEST_CASE("a batch that is compressed with what this build does not have is an error, and the reader stays in front of it", "[storage][log_reader]") {
    partition orders;
    storage::log& log = orders.open();
    append_range(log, 0, 3);
    failure why;
    storage::claim taken;
    REQUIRE(log.take(64, 4, taken, why));
    format::frame_header header{};
    header.size = 64;
    header.attributes = 5;
    header.count = 4;
    log.publish(taken, header);
    failure none;
    REQUIRE(append(log, std::nullopt, value_of(7), time_of(7), none) == 7);
    const reading all = read_from(log, 0);
    CHECK(difference(all.records, numbered(0, 3)) == "");
    CHECK(all.why.code == errc::unsupported_compression_type);
    CHECK(names(all.why, "position"));
    CHECK(names(all.why, "topic 'orders', partition 3"));
    CHECK(difference(read_from(log, 7).records, numbered(7, 8)) == "");
}

TEST_CASE("what comes from the disk is verified before it is handed out, unless the reader forgoes it", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 8 * kib}};
    orders.open();
    append_range(*orders.log, 0, 300);
    REQUIRE(orders.log->sync().text == "");
    orders.keep_up();
    const bool is_open = GENERATE(true, false);  // let go of by this process, or left by another
    CAPTURE(is_open);
    if (!is_open) {
        orders.close();
    }
    const std::string path = orders.path() + "/00000000000000000000.log";
    std::string content = read_whole(path);
    const frame_place bad = frame_with(content, 50);
    flip_bit(content, (bad.at + 43) * 8);
    {
        std::fstream file{path, std::ios::binary | std::ios::in | std::ios::out};
        file.seekp(static_cast<std::streamoff>(bad.at + 43));
        file.put(content[bad.at + 43]);
    }
    if (!is_open) {
        orders.open();
    }
    for (const offset from : {0, 49, 50}) {
        const reading all = read_from(*orders.log, from);
        CHECK(difference(all.records, numbered(from, 50)) == "");
        CHECK(all.why.code == errc::corrupt_record);
        CHECK(names(all.why, path + ", position " + std::to_string(bad.at) + ", offset 50"));
        CHECK(names(all.why, "intact again from offset 51"));
        CHECK_FALSE(all.is_at_end);
    }
    check_holds(*orders.log, 51, 300);

    storage::log_reader trusting = orders.log->reader();
    trusting.seek(50);
    std::vector<storage::record_range> ranges;
    CHECK_FALSE(trusting.fetch(2, false, ranges));
    REQUIRE(ranges.size() == 1);
    CHECK(ranges.front().count == 2);
}

TEST_CASE("what an opening has passed over is read as damage, though its checksum is right", "[storage][log_reader]") {
    const bool is_read_first = GENERATE(true, false);  // what was verified once is not verified again
    constexpr std::uint32_t most = format::most_offsets_taken;
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 20);
    image left = orders.kill();
    std::string& content = left.at("00000000000000000000.log");
    std::size_t at = frames_end(content);
    std::int64_t held = 20;  // records in front of what is passed over
    offset lost = 20;        // and no other
    SECTION("a record takes the room of the seal") { forge_lone(content, at, content.size() - at, 20); }
    SECTION("a record takes a part of it") { forge_lone(content, at, content.size() - at - frame_header_size + 8, 20); }
    SECTION("a record takes that, and everything in front of it") {
        at = frame_with(content, 10).at;
        held = lost = 10;
        forge_lone(content, at, content.size() - at, 10);
    }
    SECTION("something takes more offsets than a segment counts") {
        at = frame_with(content, 10).at;
        held = lost = 10;
        forge_filler(content, at, frame_with(content, 11).at - at, 10, most + 1);
    }
    SECTION("what is in front of a record has taken all offsets that a segment counts") {
        lost = 20 + offset{most};
        at = forge_filler(content, at, frame_header_size, 20, most);
        forge_lone(content, forge_lone(content, at, frame_header_size, lost), frame_header_size, lost + 1);
    }
    SECTION("what is in front of something else has") {
        lost = 20 + offset{most};
        at = forge_filler(content, at, frame_header_size, 20, most);
        forge_filler(content, forge_filler(content, at, frame_header_size, lost, 1), frame_header_size, lost + 1, 1);
    }
    orders.become(left);
    CAPTURE(lost, is_read_first);
    for (offset next = std::max<offset>(lost + 1, 20), opened = 0; opened < 2; ++opened) {
        orders.open();
        REQUIRE(orders.log->log_end_offset() == next);
        if (is_read_first) {
            CHECK(read_from(*orders.log, 0).records.size() == static_cast<std::size_t>(held));
        }
        append_range(*orders.log, next, next + 200);
        next += 200;
        check_holds(*orders.log, lost + 1, next);
        check_holds(*orders.log, next - 200, next);
        const reading all = read_from(*orders.log, 0);
        CHECK(difference(all.records, numbered(0, held)) == "");
        CHECK(all.why.code == errc::corrupt_record);
        CHECK(names(all.why, "position " + std::to_string(at) + ", offset " + std::to_string(lost)));
        CHECK(names(all.why, "intact again from offset " + std::to_string(lost + 1)));
    }
}

TEST_CASE("what a segment has of the next one's offsets is read as damage, though its checksum is right", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 30);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 30, 40);
    orders.keep_up();  // an opening looks at the last segment alone
    orders.close();
    image left = orders.files();
    std::string& content = left.at("00000000000000000000.log");
    std::size_t at = frames_of(content).back().at;
    REQUIRE(frames_of(content).back().kind() == format::frame_kind::seal);
    offset lost = 20;
    SECTION("a record") { forge_filler(content, forge_lone(content, at, frame_header_size, 20), frame_header_size, 21, 100); }
    SECTION("what takes offsets of its own, too") {
        at = frame_with(content, 19).at;
        lost = 19;
        forge_lone(content, forge_filler(content, at, frame_header_size, 19, 2), frame_header_size, 21);
    }
    orders.become(left);
    orders.open();
    REQUIRE(orders.log->log_end_offset() == 40);
    for (int again = 0; again < 2; ++again) {
        const reading all = read_from(*orders.log, 0);
        CHECK(difference(all.records, numbered(0, lost)) == "");
        CHECK(all.why.code == errc::corrupt_record);
        CHECK(names(all.why, "position " + std::to_string(at) + ", offset " + std::to_string(lost)));
        CHECK(names(all.why, "intact again from offset 20"));
        check_holds(*orders.log, 20, 40);
    }
}

TEST_CASE("a batch that comes from the disk is verified as a whole, wherever in it a reader begins", "[storage][log_reader]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 3);
    failure why;
    REQUIRE(append_batch(*orders.log, 5, 3, why) == 3);
    REQUIRE(orders.log->sync().text == "");
    append_range(*orders.log, 8, 10);
    orders.close();
    image left = orders.files();
    std::string& content = left.at("00000000000000000000.log");
    flip_bit(content, (frame_with(content, 3).end() - 9) * 8);  // in its last record
    orders.become(left);
    orders.open();
    for (const offset from : {0, 3, 5, 7}) {
        const reading all = read_from(*orders.log, from);
        CHECK(all.why.code == errc::corrupt_record);
        CHECK(difference(all.records, numbered(from, 3)) == "");
    }
    check_holds(*orders.log, 8, 10);
}

TEST_CASE("a reader that forgoes verification reads nothing outside the file, whatever is in it", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 120);
    REQUIRE(orders.log->sync().text == "");
    orders.close();
    const image files = orders.files();
    std::mt19937_64 random{99};
    for (int round = 0; round < 400; ++round) {
        image damaged = files;
        std::string& content = damaged.at("00000000000000000000.log");
        for (int i = 0; i < 3; ++i) {
            const std::size_t at = segment_header_size + random() % 3'800;
            content[at] = static_cast<char>(random());
        }
        orders.become(damaged);
        failure why;
        orders.log = orders.try_open(why);
        if (!orders.log) {
            continue;
        }
        storage::log_reader reader = orders.log->reader();
        for (const offset from : {0, 10, 50}) {
            reader.seek(from);
            std::vector<storage::record_range> ranges;
            for (int i = 0; i < 50 && !reader.fetch(10, false, ranges); ++i) {
            }
            static_cast<void>(reader.at_end(false));
            for (const auto& range : ranges) {
                for (position at = range.begin; at < range.end;) {
                    const auto header = format::load_header(range.frame(at));
                    if (format::word_of(header).kind() == format::frame_kind::data) {
                        format::record_walk walk{header, range.frame(at)};
                        std::uint64_t sum = 0;
                        for (format::record_slice record; walk.next(record);) {
                            for (const bytes part : {record.key(), record.value(), record.headers()}) {
                                for (const std::byte byte : part) {
                                    sum += static_cast<std::uint64_t>(byte);
                                }
                            }
                        }
                        CHECK(sum != 1);
                    }
                    at += format::word_of(header).length();
                }
            }
        }
    }
}

TEST_CASE("many readers share the memory of a segment that is on the disk, and it goes when they do", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 150);
    REQUIRE(orders.log->sync().text == "");
    orders.keep_up();
    orders.platform.forget_calls();
    std::vector<storage::record_range> held;
    for (int i = 0; i < 5; ++i) {
        storage::log_reader reader = orders.log->reader();
        REQUIRE_FALSE(reader.fetch(3, true, held));
    }
    CHECK(orders.platform.calls(operation::map) == 2);  // the log and its index, once
    held.clear();
    storage::log_reader reader = orders.log->reader();
    REQUIRE_FALSE(reader.fetch(3, true, held));
    CHECK(orders.platform.calls(operation::map) == 4);
}

TEST_CASE("a reader that goes about in a segment that is on the disk has it mapped once, and holds it no longer than it stays there", "[storage][log_reader]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 150);
    REQUIRE(log.sync().text == "");
    orders.keep_up();
    storage::log_reader reader = log.reader();
    orders.platform.forget_calls();
    const auto go_to = [&](offset wanted) {
        std::vector<storage::record_range> found;
        reader.seek(wanted);
        REQUIRE(reader.fetch(1, true, found).text == "");
        REQUIRE(found.size() == 1);
        CHECK(found.front().first == wanted);
        return std::weak_ptr<storage::mapped_segment>{found.front().pin};
    };
    const std::weak_ptr<storage::mapped_segment> first = go_to(9);
    for (const offset wanted : {0, 5, 3, 8}) {
        static_cast<void>(go_to(wanted));
    }
    reader.seek(2);
    reader.seek(4);
    CHECK(orders.platform.calls(operation::map) == 2);  // the log and its index
    CHECK_FALSE(first.expired());

    SECTION("until it goes elsewhere") { reader.seek(140); }
    SECTION("until it has read elsewhere") {
        std::vector<storage::record_range> found;
        REQUIRE(reader.fetch(150, true, found).text == "");
        CHECK(found.size() > 1);
    }
    SECTION("until it lets go, and then it goes on from the same position") {
        reader.let_go();
        CHECK(first.expired());
        CHECK(reader.position_offset() == 4);
        static_cast<void>(go_to(4));
    }
    CHECK(first.expired());
}

TEST_CASE("a segment that cannot be mapped is an error now, and readable later", "[storage][log_reader][fault]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    append_range(*orders.log, 0, 150);
    REQUIRE(orders.log->sync().text == "");
    orders.keep_up();
    const auto which = GENERATE(operation::open, operation::map, operation::size, operation::read);
    CAPTURE(name(which));
    orders.platform.inject({.on = which, .number = EMFILE, .path = ".log"});
    const reading all = read_from(*orders.log, 0);
    CHECK(all.records.empty());
    CHECK(all.why.code == std::errc::too_many_files_open);
    CHECK(names(all.why, orders.path()));
    check_holds(*orders.log, 0, 150);
}

}  // namespace storage_log_reader_test
