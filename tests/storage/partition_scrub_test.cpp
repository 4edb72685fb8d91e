// What a look at a partition's files says, held against what opening and reading it then gives.
// BROOK_FAULT_SECONDS=60 and more takes a larger sample of bits.
#include <brook/storage/partition_scrub.hpp>  // first, so that it must stand alone

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_partition_scrub_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_kind;
using brook::format::segment_header_size;

namespace {

constexpr std::int64_t record_count = 150;

storage::log_options tiny() { return {.segment_bytes = 4096}; }

bool is_thorough() {
    const char* const budget = std::getenv("BROOK_FAULT_SECONDS");
    return budget != nullptr && std::atoi(budget) >= 60;
}

struct looked {
    partition_report report;
    finding_list findings;

    [[nodiscard]] std::uint64_t damages() const { return findings.count(severity::damage); }
    [[nodiscard]] std::uint64_t tails() const { return findings.count(severity::tail); }
    [[nodiscard]] std::uint64_t notes() const { return findings.count(severity::note); }

    /// The one finding of this severity; FAILs when there is none or another.
    [[nodiscard]] const finding& only(severity how_bad) const {
        const finding* found = nullptr;
        for (const auto& one : findings) {
            if (one.severity == how_bad) {
                CAPTURE(one.file, one.begin, one.end, one.text);
                REQUIRE(found == nullptr);
                found = &one;
            }
        }
        REQUIRE(found != nullptr);
        return *found;
    }
    [[nodiscard]] std::string text() const {
        std::string text;
        for (const auto& one : findings) {
            text += std::string{to_string(one.severity)} + ' ' + one.file + ' ' + std::to_string(one.begin) + '-' + std::to_string(one.end) + " [" +
                    std::to_string(one.first) + ", " + std::to_string(one.last) + ") " + one.text + '\n';
        }
        return text;
    }
};

looked look(partition& orders, const storage::scrub_rules& rules = {}) {
    looked found;
    storage::partition_scrub scrub{orders.platform, orders.path(), orders.name, true, rules, found.findings};
    scrub.run(found.report);
    return found;
}

/// Three segments, the last one open, closed in good order. Everything is on the disk if `is_synced`.
image small_log(partition& orders, bool is_synced) {
    orders.open();
    failure why;
    append_range(*orders.log, 0, 40);
    REQUIRE(append_batch(*orders.log, 10, 40, why) == 40);
    append_range(*orders.log, 50, record_count);
    if (is_synced) {
        REQUIRE_FALSE(orders.log->sync());
        orders.keep_up();
        orders.keep_up();
    }
    orders.close();
    image files = orders.files();
    REQUIRE(names_in(files, ".log").size() == 3);
    return files;
}

struct reopened {
    bool is_refused = false;
    offset end = 0;
    std::int64_t lost = 0;  ///< offsets that give an error
};

/// Opens the log for real and reads what can be read.
reopened open_and_read(partition& orders) {
    reopened result;
    failure why;
    orders.close();
    orders.log = orders.try_open(why);
    if (!orders.log) {
        result.is_refused = true;
        return result;
    }
    result.end = orders.log->log_end_offset();
    for (offset next = 0; next < result.end;) {
        const reading rest = read_from(*orders.log, next, 1'000);
        result.lost += rest.why ? 1 : 0;
        next = (rest.records.empty() ? next : rest.records.back().offset + 1) + (rest.why ? 1 : 0);
        if (!rest.why && rest.records.empty()) {
            break;
        }
    }
    return result;
}

/// What a look says must be what opening comes to. Returns what the look found.
looked check_agreement(partition& orders) {
    const image before = orders.files();
    looked found = look(orders);
    INFO(found.text());
    CHECK(orders.files() == before);
    const reopened after = open_and_read(orders);
    if (after.is_refused || after.lost > 0) {
        CHECK(found.damages() > 0);
    }
    if (!after.is_refused) {
        CHECK(found.report.end_offset == after.end);
        const bool is_cut = orders.log->report().cut_bytes > 0 || !orders.log->report().quarantined.empty();
        CHECK((found.tails() > 0) == is_cut);
    }
    return found;
}

}  // namespace

TEST_CASE("a look at a log that was closed in good order counts what is in it and finds nothing", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const bool is_synced = GENERATE(true, false);
    const image files = small_log(orders, is_synced);
    const auto logs = names_in(files, ".log");
    if (GENERATE(false, true)) {
        orders.wake_up_with(files);
    }
    const looked found = look(orders);
    INFO(found.text());
    CHECK(found.findings.empty());
    const partition_report& report = found.report;
    CHECK(report.number == 3);
    CHECK(report.path == orders.path());
    CHECK(report.log_start_offset == 0);
    CHECK(report.end_offset == record_count);
    CHECK(report.records() == record_count);
    CHECK(report.has_checkpoint);
    CHECK_FALSE(report.has_spare);
    REQUIRE(report.segments.size() == 3);
    offset next = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        const segment_report& segment = report.segments[i];
        std::array<std::uint64_t, 6> frames{};
        for (const auto& frame : frames_of(files.at(logs[i]))) {
            ++frames[static_cast<std::size_t>(frame.kind())];
        }
        CHECK(segment.frames == frames);
        CHECK(segment.base_offset == next);
        next = segment.end_offset;
        CHECK(segment.file == orders.path() + '/' + logs[i]);
        CHECK(segment.file_bytes == files.at(logs[i]).size());
        CHECK(segment.used_bytes == frames_end(files.at(logs[i])));
        CHECK(segment.capacity == 4096);
        CHECK(segment.is_readable);
        CHECK(segment.is_walked);
        CHECK(segment.is_sealed == (i < 2));
        CHECK(segment.has_footer == (i < 2 && is_synced));
        CHECK(segment.has_index);
        CHECK(segment.wrong_index_slots == 0);
        CHECK(segment.records == static_cast<std::uint64_t>(segment.end_offset - segment.base_offset));
        CHECK(segment.latest >= segment.earliest);
    }
    CHECK(report.segments.front().earliest == timestamp{std::chrono::nanoseconds{time_of(0)}});
    CHECK(report.segments.back().latest == timestamp{std::chrono::nanoseconds{time_of(record_count - 1)}});
    if (is_synced) {
        CHECK(report.durable_offset == record_count);
        CHECK(report.durable_by == evidence_source::checkpoint);
        CHECK(report.durable_file == orders.path() + "/checkpoint");
        CHECK(report.segments.back().count(frame_kind::evidence) == 1);
    } else {
        CHECK(report.durable_offset == 0);
        CHECK(report.durable_by == evidence_source::none);
    }
}

TEST_CASE("a look tells by what it knows how far a log is durable", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    files.erase("checkpoint");
    orders.become(files);
    looked found = look(orders);
    CHECK(found.report.durable_offset == record_count);
    CHECK(found.report.durable_by == evidence_source::frame);
    CHECK(found.report.durable_file == orders.path() + '/' + logs[2]);
    CHECK(found.only(severity::note).text.find("is not there") != std::string::npos);

    const auto frames = frames_of(files.at(logs[2]));
    const auto evidence = std::find_if(frames.begin(), frames.end(), [](const auto& frame) { return frame.kind() == frame_kind::evidence; });
    REQUIRE(evidence != frames.end());
    CHECK(found.report.durable_at == evidence->at);
    files.at(logs[2]).replace(evidence->at, 40, 40, '\0');
    orders.become(files);
    found = look(orders);
    CHECK(found.report.durable_by == evidence_source::footer);
    CHECK(found.report.durable_offset == found.report.segments[2].base_offset);
    CHECK(found.report.durable_file == orders.path() + '/' + logs[1]);
    CHECK(found.damages() == 0);
}

TEST_CASE("a look and an open agree on each flipped bit, and the look names its place", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const bool is_synced = GENERATE(true, false);
    const bool reboots = GENERATE(false, true);
    const image files = small_log(orders, is_synced);
    std::uint64_t tried = 0;
    std::uint64_t damaged = 0;
    for (const auto& name : names_in(files, ".log")) {
        const std::size_t used = frames_end(files.at(name));
        for (std::size_t bit = 0; bit < used * 8; bit += is_thorough() ? 7 : 61) {
            image bad = files;
            flip_bit(bad.at(name), bit);
            reboots ? orders.wake_up_with(bad) : orders.become(bad);
            CAPTURE(name, bit / 8, bit % 8, is_synced, reboots);
            const looked found = check_agreement(orders);
            ++tried;
            damaged += found.damages() > 0 ? 1 : 0;
            if (bit / 8 >= segment_header_size) {
                const bool has_place = std::any_of(found.findings.begin(), found.findings.end(), [&](const finding& one) {
                    return one.file == orders.path() + '/' + name && one.begin <= bit / 8 && bit / 8 < one.end;
                });
                const auto frames = frames_of(files.at(name));
                const bool is_padding = std::any_of(frames.begin(), frames.end(), [&](const auto& frame) {
                    return bit / 8 >= frame.at + static_cast<std::size_t>(frame.header.size) && bit / 8 < frame.end();
                });
                if (!is_padding) {
                    CHECK(has_place);
                }
            }
        }
    }
    CHECK(tried > 1'000);
    if (is_synced || !reboots) {
        CHECK(damaged > tried / 2);
    }
}

TEST_CASE("a look and an open agree on a segment cut short at any length", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const bool is_synced = GENERATE(true, false);
    const bool reboots = GENERATE(true, false);
    const image files = small_log(orders, is_synced);
    for (const auto& name : names_in(files, ".log")) {
        const std::size_t end = frames_end(files.at(name));
        for (std::size_t length = 0; length < end + 64; length += is_thorough() ? 8 : 88) {
            CAPTURE(is_synced, reboots, name, length);
            image damaged = files;
            damaged.at(name).resize(std::min(length + (length % 16 == 0 ? 0 : 3), files.at(name).size()));
            reboots ? orders.wake_up_with(damaged) : orders.become(damaged);
            const looked found = check_agreement(orders);
            if (is_synced && length < end - 64) {
                CHECK(found.damages() > 0);
            }
        }
    }
}

TEST_CASE("a look and an open agree on any set of missing files", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const bool is_synced = GENERATE(true, false);
    const bool reboots = GENERATE(true, false);
    const image files = small_log(orders, is_synced);
    std::vector<std::string> all;
    for (const auto& [name, content] : files) {
        all.push_back(name);
    }
    for (unsigned set = 1; set < 1u << all.size(); ++set) {
        image damaged = files;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if ((set >> i & 1) != 0) {
                damaged.erase(all[i]);
            }
        }
        CAPTURE(set, is_synced, reboots);
        reboots ? orders.wake_up_with(damaged) : orders.become(damaged);
        check_agreement(orders);
    }
}

TEST_CASE("a look names the segment that is missing, and the offsets that went with it", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    files.erase(logs[1]);
    orders.become(files);
    const looked found = look(orders);
    const finding& told = found.only(severity::damage);
    CHECK(told.file == orders.path() + '/' + logs[1]);
    CHECK(told.first == *storage::parse_segment_name(logs[1], ".log"));
    CHECK(told.last == *storage::parse_segment_name(logs[2], ".log"));
    CHECK(told.text.starts_with("topic 'orders', partition 3: "));
    CHECK(found.report.end_offset == record_count);
}

TEST_CASE("a torn tail that nothing vouches for is a tail, and no damage", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const image files = small_log(orders, false);
    const auto logs = names_in(files, ".log");
    image torn = files;
    const frame_place frame = frame_with(torn.at(logs[1]), 80);
    poke(torn.at(logs[1]), frame.at + 48, std::uint64_t{0});
    orders.wake_up_with(torn);
    const looked found = check_agreement(orders);
    CHECK(found.damages() == 0);
    const finding& told = found.only(severity::tail);
    CHECK(told.file == orders.path() + '/' + logs[1]);
    CHECK(told.begin == frame.at);
    CHECK(told.first == 80);
    CHECK(told.last == record_count);
    CHECK(found.report.end_offset == 80);

    SECTION("and the same in the boot that wrote it is damage") {
        orders.become(torn);
        orders.machine.reboot();
        orders.become(files);
        orders.open();  // signs it as this boot's
        image signed_again = orders.kill();
        poke(signed_again.at(logs[1]), frame.at + 48, std::uint64_t{0});
        orders.become(signed_again);
        const looked again = check_agreement(orders);
        CHECK(again.only(severity::damage).begin == frame.at);
        CHECK(again.tails() == 0);
    }
}

TEST_CASE("what a killed producer left unfinished is a note", "[storage][partition_scrub]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 10);
    const storage::claim held = orders.hold(64, 3);

    SECTION("a gap before records") {
        append_range(*orders.log, 13, 20);
        const image left = orders.kill();
        orders.become(left);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::note);
        CHECK(told.begin == held.at);
        CHECK(told.end == held.at + 64);
        CHECK(told.first == 10);
        CHECK(told.last == 13);
        CHECK(found.damages() + found.tails() == 0);
        CHECK(found.report.end_offset == 20);
    }
    SECTION("a gap before records, and then the power went") {
        append_range(*orders.log, 13, 20);
        const image left = orders.kill();
        orders.wake_up_with(left);
        const looked found = check_agreement(orders);
        CHECK(found.only(severity::tail).first == 10);
        CHECK(found.damages() == 0);
        CHECK(found.report.end_offset == 10);
    }
    SECTION("the end") {
        const image left = orders.kill();
        orders.become(left);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::note);
        CHECK(told.begin == held.at);
        CHECK(found.damages() + found.tails() == 0);
        CHECK(found.report.end_offset == 10);
    }
    SECTION("a gap whose mark has rotted is damage") {
        append_range(*orders.log, 13, 20);
        image left = orders.kill();
        const std::string name = names_in(left, ".log").front();
        const std::uint32_t more = GENERATE(8u, 512u, 2'048u);
        poke(left.at(name), held.at, format::frame_word::claimed(held.length + more).raw());
        orders.become(left);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::damage);
        CHECK(told.begin == held.at);
        CHECK(told.end == held.at + 64);
        CHECK(told.first == 10);
        CHECK(told.last == 13);
        CHECK(found.report.end_offset == 20);
    }
    SECTION("a segment that is sealed by now") {
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 13, 20);
        const image left = orders.kill();
        orders.become(left);
        const looked found = check_agreement(orders);
        CHECK(found.notes() == 1);
        CHECK(found.damages() + found.tails() == 0);
    }
}

TEST_CASE("damage is told without a note of reads that never failed", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    flip_bit(files.at(logs[1]), (frames_of(files.at(logs[1])).front().at + 44) * 8);
    orders.become(files);
    const looked found = look(orders);
    INFO(found.text());
    CHECK(found.damages() == 1);
    CHECK(found.notes() == 0);
}

TEST_CASE("what was durable and is zero now is damage and not a gap", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const frame_place frame = frame_with(files.at(logs[0]), 7);
    files.at(logs[0]).replace(frame.at, frame.end() - frame.at, frame.end() - frame.at, '\0');
    const bool reboots = GENERATE(false, true);
    reboots ? orders.wake_up_with(files) : orders.become(files);
    const looked found = check_agreement(orders);
    const finding& told = found.only(severity::damage);
    CHECK(told.begin == frame.at);
    CHECK(told.end == frame.end());
    CHECK(told.first == 7);
    CHECK(told.last == 8);
}

TEST_CASE("files in the wrong place are told by name", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    partition others{tiny()};

    SECTION("a segment of another partition") {
        others.name.number = 4;
        const image strangers = small_log(others, true);
        image damaged = files;
        damaged.at(logs[1]) = strangers.at(logs[1]);
        orders.become(damaged);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::damage);
        CHECK(told.file == orders.path() + '/' + logs[1]);
        CHECK(told.text.find("a segment of partition 4 of this topic") != std::string::npos);
    }
    SECTION("a segment of another topic") {
        others.name.topic_id[0] = std::byte{99};
        const image strangers = small_log(others, true);
        image damaged = files;
        damaged.at(logs[0]) = strangers.at(logs[0]);
        orders.become(damaged);
        const looked found = look(orders);  // an open does not look at it: below the checkpoint
        CHECK(found.only(severity::damage).text.find("a segment of another topic") != std::string::npos);
        CHECK(found.report.segments[0].is_readable == false);
    }
    SECTION("two segments exchanged") {
        image damaged = files;
        std::swap(damaged.at(logs[0]), damaged.at(logs[1]));
        orders.become(damaged);
        const looked found = look(orders);
        CHECK(found.damages() == 2);
        for (const auto& one : found.findings) {
            CHECK(one.text.find("says that it begins at offset") != std::string::npos);
        }
    }
    SECTION("the body of another life of the file") {
        const image strangers = small_log(others, true);
        image damaged = files;
        damaged.at(logs[1]).replace(segment_header_size, std::string::npos, strangers.at(logs[1]), segment_header_size, std::string::npos);
        orders.become(damaged);
        const looked found = look(orders);
        CHECK(found.only(severity::damage).begin == segment_header_size);
    }
    SECTION("the checkpoint of another partition") {
        others.name.number = 4;
        const image strangers = small_log(others, true);
        image damaged = files;
        damaged.at("checkpoint") = strangers.at("checkpoint");
        orders.become(damaged);
        const looked found = look(orders);
        CHECK(found.damages() > 0);
        CHECK_FALSE(found.report.has_checkpoint);
        for (const auto& one : found.findings) {
            CHECK(one.file == orders.path() + "/checkpoint");
            CHECK(one.text.find("the checkpoint of another partition") != std::string::npos);
        }
    }
    SECTION("an older copy of the newest segment") {
        partition earlier{tiny()};
        earlier.open();
        append_range(*earlier.log, 0, 10);
        const image old = earlier.files();
        append_range(*earlier.log, 10, 20);
        REQUIRE_FALSE(earlier.log->sync());
        earlier.close();
        image damaged = earlier.files();
        damaged.at(logs[0]) = old.at(logs[0]);
        earlier.become(damaged);
        const looked found = check_agreement(earlier);
        const finding& told = found.only(severity::damage);
        CHECK(told.first == 10);
        CHECK(told.last == 20);
        CHECK(told.text.find("the checkpoint says so") != std::string::npos);
    }
}

TEST_CASE("a header that is no header, or a newer one, is told", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const std::size_t which = GENERATE(1u, 2u);
    auto birth = peek<format::segment_birth>(files.at(logs[which]), 0);
    const auto [what, expected] = GENERATE(Catch::Generators::table<int, std::string>({
        {0, "has no valid header"},
        {1, "has format version 2"},
        {2, "It was cut short"},
        {3, "sizes that brook does not write"},
        {4, "its base offset does not verify"},
        {5, "is a spare under the name of a segment"},
    }));
    CAPTURE(which, what);
    switch (what) {
        case 0: flip_bit(files.at(logs[which]), 100); break;
        case 1:
            birth.version = format::format_version + 1;
            birth.checksum = format::detail::checksum_before_last(birth);
            poke(files.at(logs[which]), 0, birth);
            break;
        case 2: files.at(logs[which]).resize(100); break;
        case 3:
            birth.capacity = 0xffff'ffff;
            birth.checksum = format::detail::checksum_before_last(birth);
            poke(files.at(logs[which]), 0, birth);
            break;
        case 4: flip_bit(files.at(logs[which]), 72 * 8); break;
        default: poke(files.at(logs[which]), format::base_at, std::uint64_t{0});
    }
    orders.become(files);
    const looked found = check_agreement(orders);
    const finding& told = found.only(severity::damage);
    CHECK(told.file == orders.path() + '/' + logs[which]);
    CHECK(told.text.find(expected) != std::string::npos);
    CHECK(told.first == *storage::parse_segment_name(logs[which], ".log"));
}

TEST_CASE("a checkpoint's slots are told one by one", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    std::string& file = files.at("checkpoint");
    const auto newest = format::newest_checkpoint(as_bytes(file));
    REQUIRE(newest);
    const std::size_t newer = format::slot_position(newest->sequence);
    const std::size_t older = format::checkpoint_slot_size - newer;
    REQUIRE(format::verifies(peek<format::checkpoint>(file, older)));

    SECTION("one torn: the other counts") {
        flip_bit(file, (GENERATE_COPY(newer, older) + 40) * 8);
        orders.become(files);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::note);
        CHECK(told.file == orders.path() + "/checkpoint");
        CHECK((told.begin == newer || told.begin == older));
        CHECK(found.report.has_checkpoint);
        CHECK(found.damages() == 0);
    }
    SECTION("both: that was no torn write") {
        flip_bit(file, newer * 8);
        flip_bit(file, older * 8);
        orders.become(files);
        const looked found = check_agreement(orders);
        CHECK(found.damages() == 2);
        CHECK_FALSE(found.report.has_checkpoint);
    }
    SECTION("a newer version") {
        auto slot = *newest;
        slot.version = format::checkpoint_version + 1;
        poke(file, newer, format::sealed(slot));
        orders.become(files);
        const looked found = look(orders);
        CHECK(found.only(severity::damage).begin == newer);
        CHECK_FALSE(found.report.has_checkpoint);
    }
    SECTION("cut short") {
        file.resize(10);
        orders.become(files);
        CHECK(check_agreement(orders).damages() == 0);
    }
}

TEST_CASE("a checkpoint that knows of records that no file has is believed", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    SECTION("the newest segment is gone") { files.erase(logs[2]); }
    SECTION("all segments are gone") {
        for (const auto& name : logs) {
            files.erase(name);
        }
    }
    orders.become(files);
    const looked found = check_agreement(orders);
    const finding& told = found.only(severity::damage);
    CHECK(told.last == record_count);
}

TEST_CASE("an index that points elsewhere is a note, and one that is gone is nothing", "[storage][partition_scrub]") {
    partition orders{{.segment_bytes = 64 * kib}};
    orders.open();
    append_range(*orders.log, 0, 400);
    orders.close();
    image files = orders.files();
    const std::string name = names_in(files, ".index").front();
    CHECK(look(orders).report.segments[0].index_slots > 5);

    SECTION("wrong") {
        poke(files.at(name), 24, std::uint64_t{0x1234'5678'0000'0100});
        orders.become(files);
        const looked found = check_agreement(orders);
        const finding& told = found.only(severity::note);
        CHECK(told.file == orders.path() + '/' + name);
        CHECK(told.begin == 24);
        CHECK(told.end == 32);
        CHECK(found.damages() == 0);
        CHECK(found.report.segments[0].wrong_index_slots == 1);
    }
    SECTION("gone") {
        files.erase(name);
        orders.become(files);
        const looked found = look(orders);
        CHECK(found.findings.empty());
        CHECK_FALSE(found.report.segments[0].has_index);
    }
    SECTION("cut short") {
        files.at(name).resize(20);
        orders.become(files);
        CHECK(look(orders).findings.empty());
    }
}

TEST_CASE("footers and signatures that do not verify are notes", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const std::size_t at = GENERATE(std::size_t{format::footer_at}, std::size_t{format::writer_at});
    flip_bit(files.at(logs[1]), at * 8);
    orders.become(files);
    const looked found = check_agreement(orders);
    const finding& told = found.only(severity::note);
    CHECK(told.file == orders.path() + '/' + logs[1]);
    CHECK(told.begin == at);
    CHECK(found.damages() == 0);
}

TEST_CASE("spares, what was put aside and what is not brook's are notes", "[storage][partition_scrub]") {
    partition orders{{.segment_bytes = mib}};
    orders.open();
    append_range(*orders.log, 0, 10);
    image files = orders.kill();
    files["00000000000000000000-512.quarantine"] = "cut";
    files["00000000000000000077.log.tmp"] = "";
    files["readme.txt"] = "hello";
    orders.become(files);
    looked found = look(orders);
    CHECK(found.notes() == 3);
    CHECK(found.damages() + found.tails() == 0);
    CHECK(found.report.quarantined == std::vector<std::string>{"00000000000000000000-512.quarantine"});
    CHECK(found.report.strangers == std::vector<std::string>{"readme.txt"});

    SECTION("a spare that is ready") {
        auto spare = files.at("00000000000000000000.log");
        std::fill(spare.begin() + segment_header_size, spare.end(), '\0');
        poke(spare, format::base_at, std::uint64_t{0});
        poke(spare, format::base_check_at, std::uint64_t{0});
        files["spare.log"] = spare;
        orders.become(files);
        found = look(orders);
        CHECK(found.notes() == 4);
        CHECK(found.report.has_spare);
        CHECK(found.report.segments.size() == 1);
    }
    SECTION("a spare that was taken is the newest segment") {
        orders.become(files);
        orders.open();
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 10, 20);
        image rolled = orders.kill();
        const auto logs = names_in(rolled, ".log");
        REQUIRE(logs.size() == 2);
        rolled["spare.log"] = rolled.at(logs[1]);
        rolled.erase(logs[1]);
        orders.become(rolled);
        found = look(orders);
        CHECK_FALSE(found.report.has_spare);
        REQUIRE(found.report.segments.size() == 2);
        CHECK(found.report.segments[1].records == 10);
        CHECK(found.report.end_offset == 20);
        CHECK(found.damages() + found.tails() == 0);
    }
    SECTION("a spare without a header") {
        files["spare.log"] = std::string(4096, 'x');
        orders.become(files);
        found = look(orders);
        CHECK(found.only(severity::damage).file == orders.path() + "/spare.log");
    }
}

TEST_CASE("what stands in a file's place and is no file is told and not followed", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const std::string name = GENERATE(false, true) ? "checkpoint" : logs[1];
    const std::string path = orders.path() + '/' + name;
    const std::string elsewhere = orders.path() + "/elsewhere";
    write_whole(elsewhere, files.at(name));
    std::filesystem::remove(path);
    SECTION("a symbolic link") { REQUIRE(::symlink(elsewhere.c_str(), path.c_str()) == 0); }
    SECTION("a FIFO") { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
    SECTION("a directory") { REQUIRE(::mkdir(path.c_str(), 0700) == 0); }
    const looked found = look(orders);
    const finding& told = found.only(severity::damage);
    CHECK(told.file == path);
    CHECK(told.text.find("is no regular file, and was not followed") != std::string::npos);
    std::filesystem::remove(path);
}

TEST_CASE("an error of the disk is told with file and position, and so is one that went away", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const std::string path = orders.path() + '/' + logs[1];

    SECTION("in frames, for good") {
        std::uint64_t call = 0;
        orders.platform.on_call([&](operation which, const std::string& where) {
            if (which == operation::open && where == path) {
                call = 0;
            } else if (which == operation::read && where == path && ++call == 2) {  // behind the header
                orders.platform.inject({.on = operation::read, .call = 1, .lasting = true, .path = logs[1]});
            }
            if (which == operation::open) {
                orders.platform.heal();
            }
        });
        const looked found = look(orders);
        const finding& told = found.only(severity::damage);
        CHECK(told.file == path);
        CHECK(told.begin == segment_header_size);
        CHECK(told.end == 4096);
        CHECK(told.first == *storage::parse_segment_name(logs[1], ".log"));
        CHECK(told.last == *storage::parse_segment_name(logs[2], ".log"));
        CHECK(told.text.find("cannot be read: Input/output error") != std::string::npos);
    }
    SECTION("in a header, for good") {
        orders.platform.inject({.on = operation::read, .lasting = true, .path = logs[1]});
        const finding told = look(orders).only(severity::damage);
        CHECK(told.file == path);
        CHECK(told.end == segment_header_size);
        CHECK(told.text.find("cannot be read: Input/output error") != std::string::npos);
    }
    SECTION("in the checkpoint") {
        orders.platform.inject({.on = operation::read, .lasting = true, .path = "checkpoint"});
        CHECK(look(orders).only(severity::damage).file == orders.path() + "/checkpoint");
    }
    SECTION("when the directory is listed") {
        orders.platform.fail(operation::list);
        CHECK(look(orders).only(severity::damage).file == orders.path());
    }
    SECTION("once") {
        orders.platform.inject({.on = operation::read, .call = 2, .path = logs[1]});
        const looked found = look(orders);
        CHECK(found.damages() == 0);
        CHECK(found.report.records() == record_count);
        const finding& told = found.only(severity::note);
        CHECK(told.file == path);
        CHECK(told.text.find("went well when it was repeated") != std::string::npos);
    }
    orders.platform.on_call(nullptr);
    orders.platform.heal();
}

TEST_CASE("each failure of the system while a log is looked at is survived, and whatever it hides is told", "[storage][partition_scrub]") {
    partition orders{tiny()};
    const image files = small_log(orders, true);
    orders.platform.forget_calls();
    static_cast<void>(look(orders));
    const std::uint64_t calls = orders.platform.calls();
    REQUIRE(calls > 20);
    for (std::uint64_t call = 1; call <= calls; ++call) {
        CAPTURE(call);
        orders.platform.fail_any(call);
        const looked found = look(orders);
        INFO(found.text());
        if (found.report.records() != record_count) {
            CHECK(found.damages() > 0);
        }
        orders.platform.heal();
    }
}

TEST_CASE("what is finished while a log is looked at is no damage", "[storage][partition_scrub]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 10);
    bool has_happened = false;
    const auto when = [&](operation which, const std::string& name, const auto& then) {
        orders.platform.on_call([&, which, name, then](operation called, const std::string& where) {
            if (called == which && where == orders.path() + '/' + name && !std::exchange(has_happened, true)) {
                then();
            }
        });
    };
    SECTION("a gap is closed, and everything becomes durable, behind the look's back") {
        const storage::claim held = orders.hold(64);
        append_range(*orders.log, 11, 20);
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 20, 30);
        when(operation::open, "00000000000000000020.log", [&] {
            orders.log->abandon(held, 1);
            orders.forget_held();
            REQUIRE_FALSE(orders.log->sync());
        });
        const looked found = look(orders);
        INFO(found.text());
        CHECK(has_happened);
        CHECK(found.report.durable_offset == 30);
        CHECK(found.findings.count(severity::damage) == 0);
        CHECK(found.report.records() == 29);
        CHECK(found.report.end_offset == 30);
    }
    SECTION("the log rolls on, and all of it becomes durable") {
        when(operation::open, "00000000000000000000.log", [&] {
            for (std::int64_t n = 10; n < 50; n += 10) {
                append_range(*orders.log, n, n + 10);
                REQUIRE_FALSE(orders.log->roll());
            }
            REQUIRE_FALSE(orders.log->sync());
        });
        const looked found = look(orders);
        INFO(found.text());
        CHECK(has_happened);
        CHECK(found.damages() + found.tails() == 0);
        CHECK(found.report.segments.size() == 5);
        CHECK(found.report.records() == 50);
    }
    SECTION("a spare that was taken gets its name") {
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 10, 20);
        REQUIRE_FALSE(orders.log->sync());
        orders.close();
        const std::string spare = GENERATE(as<std::string>{}, "spare.log", "00000000000000000000.log");  // at its first open, or between its two
        std::filesystem::rename(orders.path() + "/00000000000000000010.log", orders.path() + "/spare.log");
        const bool has_another = GENERATE(false, true);  // and upkeep has made the next one under the old name
        when(operation::open, spare, [&] {
            std::string fresh = read_whole(orders.path() + "/spare.log");
            std::filesystem::rename(orders.path() + "/spare.log", orders.path() + "/00000000000000000010.log");
            if (has_another) {
                std::fill(fresh.begin() + format::base_at, fresh.end(), '\0');
                write_whole(orders.path() + "/spare.log", fresh);
            }
        });
        CAPTURE(spare, has_another);
        const looked found = look(orders);
        INFO(found.text());
        CHECK(has_happened);
        CHECK(found.damages() + found.tails() == 0);
        CHECK(found.report.segments.size() == 2);
        CHECK(found.report.records() == 20);
    }
    orders.platform.on_call(nullptr);
}

TEST_CASE("a look changes nothing, takes no lock and maps nothing", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, false);
    flip_bit(files.at(names_in(files, ".log")[1]), 8 * 1'000);
    files["stray"] = "x";
    orders.wake_up_with(files);
    std::map<std::string, std::filesystem::file_time_type> times;
    for (const auto& entry : std::filesystem::directory_iterator{orders.path()}) {
        times[entry.path().string()] = entry.last_write_time();
    }
    times[orders.path()] = std::filesystem::last_write_time(orders.path());
    orders.platform.forget_calls();
    CHECK(look(orders).tails() == 1);
    std::uint64_t harmless = 0;
    for (const auto which : {operation::open, operation::size, operation::read, operation::list, operation::identity}) {
        harmless += orders.platform.calls(which);
    }
    CHECK(orders.platform.calls() == harmless);
    CHECK(orders.files() == files);
    for (const auto& [path, time] : times) {
        CHECK(std::filesystem::last_write_time(path) == time);
    }
}

TEST_CASE("a shallow look believes headers, footers and sizes, and walks nothing", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    flip_bit(files.at(logs[0]), 8 * 1'000);
    orders.become(files);
    storage::scrub_rules rules;
    rules.deep = false;
    looked found = look(orders, rules);
    CHECK(found.findings.empty());
    CHECK(found.report.records() == 0);
    CHECK(found.report.end_offset == record_count);
    CHECK(found.report.segments[1].end_offset == found.report.segments[2].base_offset);
    CHECK(found.report.segments[1].used_bytes == frames_end(files.at(logs[1])));

    SECTION("a segment that is shorter than its footer says") {
        files.at(logs[1]).resize(1'000);
        orders.become(files);
        found = look(orders, rules);
        CHECK(found.only(severity::damage).begin == 1'000);
    }
    SECTION("a segment that is missing") {
        files.erase(logs[1]);
        orders.become(files);
        CHECK(look(orders, rules).only(severity::damage).file == orders.path() + '/' + logs[1]);
    }
    SECTION("from an offset on, the segments before it alone are believed") {
        rules.deep = true;
        rules.from = found.report.segments[1].base_offset;
        found = look(orders, rules);
        CHECK(found.findings.empty());
        CHECK_FALSE(found.report.segments[0].is_walked);
        CHECK(found.report.segments[1].is_walked);
        CHECK(found.report.records() == static_cast<std::uint64_t>(record_count - rules.from));
    }
}

TEST_CASE("a visitor sees each record once, in order, also where damage is looked at twice", "[storage][partition_scrub]") {
    partition orders{tiny()};
    image files = small_log(orders, true);
    const auto logs = names_in(files, ".log");
    const frame_place frame = frame_with(files.at(logs[1]), 80);
    flip_bit(files.at(logs[1]), 8 * (frame.at + 50));
    orders.become(files);
    std::vector<offset> seen;
    storage::scrub_rules rules;
    rules.on_record = [&](const visited_record& record) {
        CHECK(as_text(*record.value) == value_of(record.offset));
        CHECK(record.topic == "orders");
        CHECK(record.partition == 3);
        seen.push_back(record.offset);
        return true;
    };
    CHECK(look(orders, rules).damages() == 1);
    REQUIRE(seen.size() == record_count - 1);
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(std::find(seen.begin(), seen.end(), 80) == seen.end());

    SECTION("and none after it has had enough") {
        seen.clear();
        rules.on_record = [&](const visited_record& record) {
            seen.push_back(record.offset);
            return record.offset < 20;
        };
        const looked found = look(orders, rules);
        CHECK(seen.size() == 21);
        CHECK(found.findings.empty());
        CHECK(found.report.segments.size() == 1);
    }
}

}  // namespace storage_partition_scrub_test
