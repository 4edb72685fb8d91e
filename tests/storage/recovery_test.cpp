#include <brook/storage/recovery.hpp>  // first, so that it must stand alone

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_recovery_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_header_size;
using brook::format::frame_kind;
using brook::format::frame_word;
using brook::format::segment_header_size;

namespace {

constexpr const char* first_log = "00000000000000000000.log";

/// Segments that are full after a few dozen records.
storage::log_options tiny() { return {.segment_bytes = 4096}; }

/// Opens, and opens once more as after another kill: the second time there is nothing left to do, not one byte.
storage::log& recover(partition& orders) {
    orders.open();
    const image once = orders.kill();
    orders.open();
    CHECK(orders.files() == once);
    CHECK(orders.log->report().filled_gaps == 0);
    CHECK(orders.log->report().erased_bytes == 0);
    CHECK(orders.log->report().cut_bytes == 0);
    orders.become(once);
    return orders.open();
}

/// As `recover`, and tells what the first opening found.
recovery_report report_of_recovery(partition& orders) {
    orders.open();
    const recovery_report report = orders.log->report();
    const image once = orders.kill();
    orders.open();
    CHECK(orders.files() == once);
    orders.become(once);
    orders.open();
    return report;
}

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

}  // namespace

// ---- the same boot: the process was killed ----

TEST_CASE("a killed process loses no record that it published", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    const auto count = GENERATE(0, 1, 2, 30, 47, 200);
    CAPTURE(count);
    append_range(*orders.log, 0, count);
    orders.kill();

    storage::log& log = recover(orders);
    CHECK_FALSE(log.report().power_may_have_gone);
    CHECK(log.report().damages.empty());
    check_holds(log, 0, count);
    append_range(log, count, count + 100);
    check_holds(log, 0, count + 100);
}

TEST_CASE("a gap that a killed writer left becomes one filler, and its offsets are consumed", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    std::int64_t next = 10;
    std::vector<storage::claim> holes;

    SECTION("marked, one claim") { holes.push_back(orders.hold(48)); }
    SECTION("marked, of several offsets") {
        holes.push_back(orders.hold(512, 17));
        next += 16;
    }
    SECTION("marked, larger than a page") { holes.push_back(orders.hold(9'000)); }
    SECTION("several adjacent claims, marked and not") {
        holes = {orders.hold(48), orders.hold(40), orders.hold(4'096), orders.hold(48), orders.hold(64)};
        for (const std::size_t i : {0u, 2u, 4u}) {
            atomic_at<std::uint64_t>(holes[i].data).store(0);
        }
        next += 4;
    }
    SECTION("no mark yet") {
        holes.push_back(orders.hold(4'096));
        atomic_at<std::uint64_t>(holes[0].data).store(0);
    }
    SECTION("a body that looks like frames") {
        holes = {orders.hold(4'096), orders.hold(4'096)};
        for (const auto& hole : holes) {
            const storage::mapped_segment& memory = *hole.home->pin();
            for (position at = 8; at + 400 <= hole.length; at += 200) {
                std::copy_n(memory.frame(segment_header_size), 200, hole.data + at);  // published, once, elsewhere
            }
        }
        next += 1;
    }
    SECTION("everything but the publication") {
        holes.push_back(orders.hold(64));
        format::frame_header header{};
        header.size = 64;
        header.base_offset = holes[0].first;
        format::store_behind_word(holes[0].data, header);
    }
    const offset behind = next + 1;
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_of(behind), time_of(behind), why) == behind);
    append_range(*orders.log, behind + 1, behind + 20);
    orders.kill();

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.filled_gaps == 1);
    CHECK(report.damages.empty());
    auto expected = numbered(0, 10);
    const auto rest = numbered(behind, behind + 20);
    expected.insert(expected.end(), rest.begin(), rest.end());
    const reading all = read_from(*orders.log, 0);
    CHECK_FALSE(all.why);
    CHECK(all.is_at_end);
    CHECK(difference(all.records, expected) == "");
    CHECK(orders.log->log_end_offset() == behind + 20);

    const auto frames = frames_of(orders.files().at(first_log));
    CHECK(std::count_if(frames.begin(), frames.end(), [](const auto& frame) { return frame.kind() == frame_kind::filler; }) == 1);
    append_nth(*orders.log, behind + 20);
}

TEST_CASE("claims at the very end of a killed writer are erased, and their offsets are free again", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    SECTION("marked") {
        const auto hole = orders.hold(4'096);
        for (std::size_t i = 8; i < hole.length; ++i) {
            hole.data[i] = std::byte{0xee};
        }
    }
    SECTION("several, the first without a mark") {
        atomic_at<std::uint64_t>(orders.hold(64).data).store(0);
        orders.hold(640);
        orders.hold(64);
    }
    SECTION("not marked") { atomic_at<std::uint64_t>(orders.hold(64).data).store(0); }
    orders.kill();

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.filled_gaps == 0);
    CHECK(report.damages.empty());
    check_holds(*orders.log, 0, 10);
    const std::string content = orders.files().at(first_log);
    CHECK(content.find_first_not_of('\0', frames_end(content)) == std::string::npos);
    append_range(*orders.log, 10, 30);
    check_holds(*orders.log, 0, 30);
}

TEST_CASE("a hole in a segment that is sealed already becomes a filler, and the next segment's records stay", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 5);
    orders.hold(64);
    append_nth(*orders.log, 6);
    SECTION("in the middle of the segment") {}
    SECTION("in front of the seal") { orders.hold(128); }
    REQUIRE_FALSE(orders.log->roll());
    failure why;
    const offset next = append(*orders.log, std::nullopt, "over there", 1, why);
    REQUIRE(next >= 7);
    orders.kill();

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.filled_gaps == static_cast<std::uint64_t>(next - 6));
    CHECK(report.damages.empty());
    const reading all = read_from(*orders.log, 0);
    CHECK_FALSE(all.why);
    REQUIRE(all.records.size() == 7);
    CHECK(all.records.back().offset == next);
    CHECK(all.records.back().value == "over there");
}

TEST_CASE("damage behind a gap is told, and the gap is not filled up to a frame that is not what it was", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    const bool is_marked = GENERATE(false, true);
    const storage::claim hole = orders.hold(640);
    failure why;
    for (std::int64_t n = 11; n < 30; ++n) {
        REQUIRE(append(*orders.log, std::nullopt, value_of(n), time_of(n), why) == n);
    }
    if (!is_marked) {
        atomic_at<std::uint64_t>(hole.data).store(0);
    }
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const std::size_t behind = hole.at + hole.length;
    SECTION("in its offset, upwards") { flip_bit(content, (behind + 16) * 8 + 2); }
    SECTION("in its offset, downwards") { flip_bit(content, (behind + 16) * 8); }
    SECTION("in its offset, by a lot") { flip_bit(content, (behind + 16) * 8 + 62); }
    SECTION("in its body") { flip_bit(content, (behind + 44) * 8); }
    SECTION("in its size") { flip_bit(content, behind * 8 + 5); }
    orders.become(left);
    const recovery_report report = report_of_recovery(orders);
    CHECK(report.filled_gaps == 0);
    REQUIRE(report.damages.size() == 1);
    CHECK(report.damages.front().first == 10);
    CHECK(report.damages.front().last == 12);
    CHECK(read_from(*orders.log, 0).records.size() == 10);
    CHECK(read_from(*orders.log, 0).why.code == errc::corrupt_record);
    CHECK(difference(read_from(*orders.log, 12).records, numbered(12, 30)) == "");
    append_nth(*orders.log, 30);
}

TEST_CASE("records behind a claim whose length is not what was claimed are told of a gap, and neither filled nor erased", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    const storage::claim hole = orders.hold(640);
    failure why;
    for (std::int64_t n = 11; n < 30; ++n) {
        REQUIRE(append(*orders.log, std::nullopt, value_of(n), time_of(n), why) == n);
    }
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const auto as_far_as = [&](std::int64_t n) {  // from the hole's beginning to that record's
        std::size_t at = hole.at + hole.length;
        for (std::int64_t passed = 11; passed < n; ++passed) {
            at += peek<frame_word>(content, at).length();
        }
        return static_cast<std::uint32_t>(at - hole.at);
    };
    std::uint32_t length = 0;
    SECTION("as far as another record") { length = as_far_as(20); }
    SECTION("into the middle of one") { length = as_far_as(20) + 8; }
    SECTION("over all of them") { length = as_far_as(30) + 8'192; }
    poke(content, hole.at, frame_word::claimed(length).raw());
    orders.become(left);
    const recovery_report report = report_of_recovery(orders);
    CHECK(report.filled_gaps == 0);
    CHECK(report.erased_bytes == 0);
    REQUIRE(report.damages.size() == 1);
    CHECK(report.damages.front().first == 10);
    CHECK(report.damages.front().last == 11);
    CHECK(difference(read_from(*orders.log, 11).records, numbered(11, 30)) == "");
    append_nth(*orders.log, 30);
}

TEST_CASE("a published record that a flipped sign makes look like a claim is told, and not erased", "[storage][recovery]") {
    for (int round = 0; round < 10; ++round) {  // a new seed each time
        partition orders;
        orders.open();
        failure why;
        REQUIRE(append(*orders.log, std::nullopt, std::string(64, '\0'), 0, why) == 0);  // nothing in it looks like a frame
        image left = orders.kill();
        flip_bit(left.at(first_log), segment_header_size * 8 + 31);
        orders.become(left);
        orders.open();
        CHECK(orders.log->report().erased_bytes == 0);
        REQUIRE(orders.log->report().damages.size() == 1);
        CHECK(orders.log->report().damages.front().first == 0);
        CHECK(orders.log->report().damages.front().last == 1);
        CHECK(orders.files().at(first_log).substr(segment_header_size) == left.at(first_log).substr(segment_header_size));
        CHECK(append(*orders.log, std::nullopt, "next", 0, why) == 1);  // its offset is not given again
        CHECK(read_from(*orders.log, 0).why.code == errc::corrupt_record);
    }
}

TEST_CASE("files that were copied are as after a loss of power, in the same boot: no gap is filled in them", "[storage][recovery]") {
    const temp_directory original;
    const temp_directory copy;
    storage::event_count events{os::posix()};
    failure why;
    const auto open = [&](const std::string& path) {
        return storage::log::open(storage::segment_directory{os::posix(), path, {"orders", {}, 0}}, {.segment_bytes = 64 * kib}, events, events, why);
    };
    const auto log = open(original.path());
    REQUIRE(log);
    append_range(*log, 0, 10);
    storage::claim held;
    REQUIRE(log->take(64, 1, held, why));
    REQUIRE(append(*log, std::nullopt, value_of(11), time_of(11), why) == 11);
    write_image(copy.path(), image_of(original.path()));
    log->abandon(held, 1);

    const auto copied = open(copy.path());
    REQUIRE(copied);
    CHECK(copied->report().power_may_have_gone);
    CHECK(copied->report().filled_gaps == 0);
    CHECK(copied->report().quarantined.size() == 1);
    check_holds(*copied, 0, 10);
}

TEST_CASE("whoever opens a log signs it, so that a later kill is not taken for a loss of power", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    orders.kill();
    orders.machine.reboot();
    orders.open();
    CHECK(orders.log->report().power_may_have_gone);
    orders.hold(64);
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_of(11), time_of(11), why) == 11);
    orders.kill();
    orders.open();
    CHECK_FALSE(orders.log->report().power_may_have_gone);
    CHECK(orders.log->report().filled_gaps == 1);
    CHECK(orders.log->report().cut_bytes == 0);
    CHECK(difference(read_from(*orders.log, 11).records, numbered(11, 12)) == "");
}

TEST_CASE("a kill anywhere in a roll is finished by the next opening", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    const image before = orders.files();
    const std::size_t end = frames_end(before.at(first_log));
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 25);
    image after = orders.kill();
    const std::string second_log = "00000000000000000020.log";
    REQUIRE(after.contains(second_log));
    std::int64_t count = 20;
    std::uint64_t finished = 0;

    SECTION("the seal is marked, and not published: the segment is open again") {
        after = before;
        poke(after.at(first_log), end, frame_word::claimed(frame_header_size).raw());
        poke(after.at(first_log), end + 16, std::uint64_t{20});
    }
    SECTION("the seal stands, and nothing follows") {
        after.erase(second_log);
        after.erase("00000000000000000020.index");
        finished = 1;
    }
    SECTION("the next segment was being made") {
        after["00000000000000000020.log.tmp"] = after.at(second_log).substr(0, 100);
        after.erase(second_log);
        finished = 1;
    }
    SECTION("the next segment has no index") {
        after.erase("00000000000000000020.index");
        count = 25;
    }
    SECTION("the taken spare is not renamed") {
        after["spare.log"] = after.at(second_log);
        after["spare.index"] = after.at("00000000000000000020.index");
        after.erase(second_log);
        after.erase("00000000000000000020.index");
        count = 25;
    }
    SECTION("of the taken spare the log alone is renamed") {
        after["spare.index"] = after.at("00000000000000000020.index");
        after.erase("00000000000000000020.index");
        count = 25;
    }
    SECTION("the taken spare is not renamed, and has no index") {
        after["spare.log"] = after.at(second_log);
        after.erase(second_log);
        after.erase("00000000000000000020.index");
        count = 25;
    }
    SECTION("the spare is not taken yet, with the seal standing") {
        after["spare.log"] = after.at(second_log);
        poke(after.at("spare.log"), format::base_at, std::uint64_t{0});
        poke(after.at("spare.log"), format::base_check_at, std::uint64_t{0});
        std::fill(after.at("spare.log").begin() + segment_header_size, after.at("spare.log").end(), '\0');
        after.erase(second_log);
        after.erase("00000000000000000020.index");
        finished = 1;
    }
    SECTION("of the spare's base only the check is stored") {
        after["spare.log"] = after.at(second_log);
        poke(after.at("spare.log"), format::base_at, std::uint64_t{0});
        std::fill(after.at("spare.log").begin() + segment_header_size, after.at("spare.log").end(), '\0');
        after.erase(second_log);
        after.erase("00000000000000000020.index");
        finished = 1;
    }
    orders.become(after);

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.finished_rolls == finished);
    CHECK(report.damages.empty());
    CHECK(report.quarantined.empty());
    check_holds(*orders.log, 0, count);
    CHECK(names_in(orders.files(), ".tmp").empty());
    append_range(*orders.log, count, count + 60);
    check_holds(*orders.log, 0, count + 60);
}

TEST_CASE("a checkpoint whose place is between two frames is not believed, and what has rotted in front of it is told", "[storage][recovery]") {
    partition orders{{.segment_bytes = 256 * kib}};
    orders.open();
    append_range(*orders.log, 0, 500);
    REQUIRE_FALSE(orders.log->sync());
    orders.close();
    image left = orders.files();
    auto slot = *format::newest_checkpoint(as_bytes(left.at("checkpoint")));
    REQUIRE(slot.segment_base == 0);
    REQUIRE(slot.segment_offset > 400);
    std::string& content = left.at("00000000000000000000.log");
    flip_bit(content, (frame_with(content, 3).at + 41) * 8);  // far in front: no look for the place comes by
    const std::uint32_t beside = GENERATE(0u, 8u, 24u, 1u << 14);
    slot.sequence += 1;
    slot.segment_position += beside;
    poke(left.at("checkpoint"), format::slot_position(slot.sequence), format::sealed(slot));
    const bool power_goes = GENERATE(false, true);
    CAPTURE(beside, power_goes);
    if (power_goes) {
        orders.wake_up_with(left);
    } else {
        orders.become(left);
    }
    const recovery_report report = report_of_recovery(orders);
    REQUIRE(report.damages.size() == (beside == 0 ? 0 : 1));  // what it vouches for is not read again
    if (beside != 0) {
        CHECK(report.damages.front().first == 3);
        CHECK(report.damages.front().last == 4);
    }
    CHECK(report.cut_bytes == 0);
    CHECK(orders.log->log_end_offset() == 500);
}

TEST_CASE("what is derived from the log may be missing, old or nonsense", "[storage][recovery]") {
    partition orders{{.segment_bytes = 32 * kib}};
    orders.open();
    append_range(*orders.log, 0, 300);
    orders.keep_up();
    append_range(*orders.log, 300, 500);
    REQUIRE_FALSE(orders.log->sync());
    orders.keep_up();
    const image middle = orders.files();
    append_range(*orders.log, 500, 1'200);
    REQUIRE_FALSE(orders.log->sync());
    orders.keep_up();
    append_range(*orders.log, 1'200, 1'250);
    const bool is_closed = GENERATE(false, true);
    const bool power_goes = GENERATE(false, true);
    if (is_closed) {
        orders.close();
    }
    image after = orders.files();
    orders.kill();
    REQUIRE(after.contains("checkpoint"));
    REQUIRE(names_in(after, ".log").size() > 2);
    std::mt19937_64 random{12'345};

    SECTION("nothing is") {}
    SECTION("no checkpoint") { after.erase("checkpoint"); }
    SECTION("an old checkpoint") { after["checkpoint"] = middle.contains("checkpoint") ? middle.at("checkpoint") : ""; }
    SECTION("an empty checkpoint") { after["checkpoint"] = ""; }
    SECTION("a checkpoint of zeros") { after["checkpoint"] = std::string(format::checkpoint_file_size, '\0'); }
    SECTION("another partition's checkpoint") {
        auto slot = *format::newest_checkpoint(as_bytes(after.at("checkpoint")));
        slot.partition += 1;
        slot.durable_offset += 1'000;
        slot.sequence += 10;
        poke(after.at("checkpoint"), format::slot_position(slot.sequence), format::sealed(slot));
    }
    SECTION("a checkpoint that points between two frames") {
        auto slot = *format::newest_checkpoint(as_bytes(after.at("checkpoint")));
        slot.sequence += 1;
        slot.segment_position += GENERATE(8u, 3u, 1u << 20, 40u);
        poke(after.at("checkpoint"), format::slot_position(slot.sequence), format::sealed(slot));
    }
    SECTION("a checkpoint whose place is in a segment that is not there") {
        auto slot = *format::newest_checkpoint(as_bytes(after.at("checkpoint")));
        slot.sequence += 1;
        slot.segment_base += GENERATE(1, -1, 5'000);
        poke(after.at("checkpoint"), format::slot_position(slot.sequence), format::sealed(slot));
    }
    SECTION("no index") {
        for (const auto& name : names_in(after, ".index")) {
            after.erase(name);
        }
    }
    SECTION("empty indexes") {
        for (const auto& name : names_in(after, ".index")) {
            after[name] = "";
        }
    }
    SECTION("indexes of random bytes") {
        for (const auto& name : names_in(after, ".index")) {
            for (std::size_t at = 0; at + 8 <= after.at(name).size(); at += 8) {
                poke(after.at(name), at, random());
            }
        }
    }
    SECTION("indexes that point at other frames") {
        for (const auto& name : names_in(after, ".index")) {
            for (std::size_t at = 0; at + 8 <= after.at(name).size(); at += 8) {
                const auto slot = peek<storage::index_slot>(after.at(name), at);
                poke(after.at(name), at, storage::index_slot{slot.relative_offset / 2, slot.at});
            }
        }
    }
    SECTION("the indexes of other segments") {
        const auto index_names = names_in(after, ".index");
        std::swap(after.at(index_names.front()), after.at(index_names.back()));
    }
    SECTION("strange files beside it") {
        after["notes.txt"] = "hello";
        after["0000.log"] = "x";
        after["99999999999999999999.log"] = "x";
        after["00000000000000009999.index"] = "x";
        after["00000000000000000000.log.tmp"] = "x";
    }
    if (power_goes) {
        orders.wake_up_with(after);
    } else {
        orders.become(after);
    }
    CAPTURE(is_closed, power_goes);

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.damages.empty());
    CHECK(report.power_may_have_gone == power_goes);
    CHECK(report.cut_bytes == 0);
    check_holds(*orders.log, 0, 1'250);
    for (const offset wanted : {0, 1, 299, 300, 555, 700, 1'111, 1'249}) {
        const reading some = read_from(*orders.log, wanted, 1'000);
        CHECK(difference(some.records, numbered(wanted, 1'250)) == "");
    }
    append_range(*orders.log, 1'250, 1'300);
    check_holds(*orders.log, 0, 1'300);
}

TEST_CASE("recovery may itself be killed at any of its system calls", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 70);
    orders.hold(64);
    append_range(*orders.log, 71, 80);
    image left;
    bool power_goes = false;
    std::int64_t end = 80;
    SECTION("with gaps to fill and a roll to finish") {
        orders.hold(128);
        REQUIRE_FALSE(orders.log->roll());
        left = orders.kill();
        left.erase("00000000000000000081.log");
        end = 81;
    }
    SECTION("with an end to erase") {
        orders.hold(128);
        left = orders.kill();
    }
    SECTION("with a taken spare to name") {
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 80, 85);
        left = orders.kill();
        left["spare.log"] = left.at("00000000000000000080.log");
        left["spare.index"] = left.at("00000000000000000080.index");
        left.erase("00000000000000000080.log");
        left.erase("00000000000000000080.index");
        end = 85;
    }
    SECTION("with a tail to cut and segments to put aside") {
        power_goes = true;
        left = orders.kill();
        end = 50;
    }
    if (power_goes) {
        for (const auto& name : names_in(left, ".log")) {
            if (const auto frames = frames_of(left.at(name)); frames.front().header.base_offset <= 50 && frames.back().header.base_offset >= 50) {
                flip_bit(left.at(name), (frame_with(left.at(name), 50).at + 41) * 8);
            }
        }
    }

    std::vector<image> states;
    orders.platform.on_call([&](operation, const std::string&) { states.push_back(image_of(orders.path())); });
    if (power_goes) {
        orders.wake_up_with(left);
    } else {
        orders.become(left);
    }
    orders.open();
    orders.platform.on_call(nullptr);
    const offset first_end = orders.log->log_end_offset();
    CHECK(first_end == end);
    auto expected = read_from(*orders.log, 0).records;
    if (!power_goes) {
        auto published = numbered(0, end);
        std::erase_if(published, [](const auto& record) { return record.offset == 70 || record.offset == 80; });
        if (end == 85) {
            published = numbered(0, 85);
            std::erase_if(published, [](const auto& record) { return record.offset == 70; });
        }
        CHECK(difference(expected, published) == "");
    } else {
        CHECK(difference(expected, numbered(0, 50)) == "");
    }

    CHECK(states.size() > 5);
    for (std::size_t i = 0; i < states.size(); ++i) {
        CAPTURE(i, states.size());
        if (power_goes) {
            orders.wake_up_with(states[i]);
        } else {
            orders.become(states[i]);
        }
        orders.open();
        CHECK(orders.log->log_end_offset() == first_end);
        const reading again = read_from(*orders.log, 0);
        CHECK(again.why.text == "");
        CHECK(difference(again.records, expected) == "");
        CHECK(orders.log->report().damages.empty());
    }
}

// ---- another boot: power may have gone ----

TEST_CASE("after a loss of power the log is a prefix with everything durable in it", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 40);
    REQUIRE_FALSE(orders.log->sync());
    REQUIRE(orders.log->durable_offset() == 40);
    append_range(*orders.log, 40, 100);
    image left = orders.kill();
    std::string& content = left.at(first_log);
    const auto torn = static_cast<std::size_t>(GENERATE(40, 41, 77, 99));
    const frame_place frame = frame_with(content, static_cast<offset>(torn));
    CAPTURE(torn);
    std::size_t end = torn;

    SECTION("everything arrived") { end = 100; }
    SECTION("a bit of a body did not") { flip_bit(content, (frame.at + 45) * 8); }
    SECTION("the size did not") { poke(content, frame.at, std::uint64_t{0}); }
    SECTION("the size of an older mark did") { poke(content, frame.at, frame_word::claimed(static_cast<std::uint32_t>(frame.header.size) + 8).raw()); }
    SECTION("the checksum did not") { poke(content, frame.at + 8, std::uint64_t{0}); }
    SECTION("the rest of the file did not") { std::fill(content.begin() + static_cast<std::ptrdiff_t>(frame.at), content.end(), '\0'); }
    SECTION("the rest of the file holds something else") {
        std::mt19937_64 random{torn};
        for (std::size_t at = frame.at; at + 8 <= content.size(); at += 8) {
            poke(content, at, random());
        }
    }
    SECTION("the rest of the file was never given a place") { content.resize(frame.at); }
    SECTION("the file ends inside it") { content.resize(frame.at + 16); }
    orders.wake_up_with(left);

    const recovery_report report = report_of_recovery(orders);
    CHECK(report.power_may_have_gone);
    CHECK(report.damages.empty());
    const auto count = static_cast<std::int64_t>(end);
    check_holds(*orders.log, 0, count);
    const std::string after = orders.files().at(first_log);
    CHECK(after.find_first_not_of('\0', frames_end(after)) == std::string::npos);
    append_range(*orders.log, count, count + 150);
    check_holds(*orders.log, 0, count + 150);
    orders.kill();
    orders.machine.reboot();
    orders.open();
    check_holds(*orders.log, 0, count + 150);
}

TEST_CASE("what is cut after a loss of power is kept aside, and cannot come back", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->sync());
    append_range(*orders.log, 20, 60);
    image left = orders.kill();
    const std::string old_content = left.at(first_log);
    const frame_place torn = frame_with(old_content, 30);
    flip_bit(left.at(first_log), (torn.at + 44) * 8);
    poke(left.at(first_log), format::footer_at, std::uint64_t{1});
    REQUIRE(frames_end(old_content) > storage::index_interval);
    const std::string index = "00000000000000000000.index";
    REQUIRE(peek<std::uint64_t>(left.at(index), sizeof(storage::index_slot)) != 0);
    orders.wake_up_with(left);

    orders.open();
    const recovery_report& report = orders.log->report();
    CHECK(orders.log->log_end_offset() == 30);
    CHECK(peek<std::uint64_t>(orders.files().at(first_log), format::footer_at) == 0);
    CHECK(peek<std::uint64_t>(orders.files().at(index), sizeof(storage::index_slot)) == 0);
    CHECK(report.cut_bytes > 0);
    REQUIRE(report.quarantined.size() == 1);
    const std::string kept = read_whole(report.quarantined.front());
    const std::size_t next = frame_with(old_content, 31).at;
    REQUIRE(kept.size() > next - torn.at);
    CHECK(kept.substr(next - torn.at) == old_content.substr(next, kept.size() - (next - torn.at)));
    CHECK(torn.at + kept.size() == frames_end(old_content));

    // A record of the torn one's size goes where that stood: what came after it must not look like its successor.
    append_nth(*orders.log, 30);
    CHECK(frame_with(orders.files().at(first_log), 30).header.size == torn.header.size);
    CHECK(frame_with(orders.files().at(first_log), 30).header.leader_epoch > torn.header.leader_epoch);
    orders.kill();
    if (GENERATE(false, true)) {
        orders.machine.reboot();
    }
    orders.open();
    check_holds(*orders.log, 0, 31);
    CHECK(orders.log->report().damages.empty());
}

TEST_CASE("segments beyond a cut are put aside, never deleted", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 300);
    image left = orders.kill();
    const auto logs = names_in(left, ".log");
    REQUIRE(logs.size() > 5);
    const auto frames = frames_of(left.at(logs[1]));
    const offset torn = frames[frames.size() / 2].header.base_offset;
    poke(left.at(logs[1]), frames[frames.size() / 2].at, std::uint64_t{0});
    orders.wake_up_with(left);

    bool is_name_synced = true;
    orders.platform.on_call([&](operation which, const std::string& path) {
        is_name_synced = which == operation::sync_directory || (is_name_synced && !path.ends_with(".log.quarantine"));
    });
    orders.open();
    orders.platform.on_call(nullptr);
    CHECK(is_name_synced);  // their old names may be given again: they must not come back under them
    orders.wake_up_with(left);
    const recovery_report report = report_of_recovery(orders);
    CHECK(report.damages.empty());
    CHECK(report.quarantined.size() == logs.size() - 2 + 1);
    check_holds(*orders.log, 0, torn);
    const image after = orders.files();
    for (std::size_t i = 2; i < logs.size(); ++i) {
        CHECK_FALSE(after.contains(logs[i]));
        REQUIRE(after.contains(logs[i] + ".quarantine"));
        CHECK(after.at(logs[i] + ".quarantine") == left.at(logs[i]));
    }
    append_range(*orders.log, torn, torn + 300);
    check_holds(*orders.log, 0, torn + 300);
    orders.kill();
    orders.machine.reboot();
    orders.open();
    check_holds(*orders.log, 0, torn + 300);
}

TEST_CASE("a recovery that cuts raises the epoch, even when it is killed before it has finished", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 20);
    image left = orders.kill();
    poke(left.at(first_log), frame_with(left.at(first_log), 10).at, std::uint64_t{0});
    std::vector<image> states;
    orders.wake_up_with(left);
    orders.platform.on_call([&](operation, const std::string&) { states.push_back(image_of(orders.path())); });
    orders.open();
    orders.platform.on_call(nullptr);
    states.push_back(orders.files());
    for (const auto& state : states) {
        orders.wake_up_with(state);
        orders.open();
        append_nth(*orders.log, 10);
        CHECK(frame_with(orders.files().at(first_log), 10).header.leader_epoch > 0);
    }
}

TEST_CASE("below the evidence of durability a bad record is rot: told, kept, never cut", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 50);
    REQUIRE_FALSE(orders.log->sync());
    append_range(*orders.log, 50, 70);
    const bool is_closed = GENERATE(false, true);
    if (is_closed) {
        orders.close();  // writes the checkpoint
    }
    image left = orders.files();
    orders.kill();
    const std::string evidence = GENERATE(as<std::string>{}, "checkpoint", "evidence frame");
    if (evidence == "evidence frame") {
        left.erase("checkpoint");
    } else if (!left.contains("checkpoint")) {
        return;
    }
    const std::string before = left.at(first_log);
    std::string& content = left.at(first_log);
    const offset bad = GENERATE(0, 20, 49);
    const frame_place frame = frame_with(content, bad);
    SECTION("in its body") { flip_bit(content, (frame.at + 42) * 8 + 3); }
    SECTION("in its size") { flip_bit(content, frame.at * 8 + 4); }
    SECTION("in its size's sign") { flip_bit(content, frame.at * 8 + 31); }
    SECTION("in its offset") { flip_bit(content, (frame.at + 16) * 8); }
    SECTION("all of it zero") { std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(frame.at), frame.end() - frame.at, '\0'); }
    const std::string damaged = content;
    CAPTURE(is_closed, evidence, bad);
    orders.wake_up_with(left);

    orders.open();
    CHECK(orders.log->log_end_offset() == 70);
    CHECK(orders.log->report().cut_bytes == 0);
    CHECK(orders.files().at(first_log).substr(frame.at, frame.end() - frame.at) == damaged.substr(frame.at, frame.end() - frame.at));
    if (!is_closed || evidence == "evidence frame") {  // otherwise it lies below what opening looks at
        REQUIRE(orders.log->report().damages.size() == 1);
        const damage& told = orders.log->report().damages.front();
        CHECK(told.file == orders.path() + "/" + first_log);
        CHECK(told.begin == frame.at);
        CHECK(told.end >= frame.end());
        CHECK(told.first == bad);
        CHECK(told.last >= bad + 1);
        CHECK(told.last <= 50);
    }
    const reading all = read_from(*orders.log, 0);
    CHECK(difference(all.records, numbered(0, bad)) == "");
    CHECK(all.why.code == errc::corrupt_record);
    CHECK(names(all.why, std::string{first_log} + ", position " + std::to_string(frame.at)));
    CHECK(names(all.why, "topic 'orders', partition 3"));
    CHECK(names(all.why, "intact again from offset " + std::to_string(bad + 1)));
    check_holds(*orders.log, bad + 1, 70);
    append_range(*orders.log, 70, 80);
    check_holds(*orders.log, bad + 1, 80);
    CHECK(orders.log->offset_for_time(time_of(75), *std::make_unique<failure>()) != std::optional<offset>{0});
}

TEST_CASE("a hole among durable records is rot and no claim of a killed writer, in the same boot and at each opening", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 50);
    REQUIRE_FALSE(orders.log->sync());
    append_range(*orders.log, 50, 70);
    image left = orders.files();
    orders.kill();
    left.erase("checkpoint");
    std::string& content = left.at(first_log);
    const offset bad = GENERATE(0, 20, 49);
    const frame_place frame = frame_with(content, bad);
    std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(frame.at), frame.end() - frame.at, '\0');
    const std::string damaged = content;
    const bool reboots = GENERATE(false, true);
    CAPTURE(bad, reboots);
    if (reboots) {
        orders.wake_up_with(left);
    } else {
        orders.become(left);
    }
    for (int opening = 0; opening < 2; ++opening) {
        orders.open();
        CAPTURE(opening);
        CHECK(orders.log->report().filled_gaps == 0);
        REQUIRE(orders.log->report().damages.size() == 1);
        CHECK(orders.log->report().damages.front().first == bad);
        CHECK(orders.log->report().damages.front().last == bad + 1);
        CHECK(orders.files().at(first_log).substr(frame.at, frame.end() - frame.at) == damaged.substr(frame.at, frame.end() - frame.at));
        const reading all = read_from(*orders.log, 0);
        CHECK(difference(all.records, numbered(0, bad)) == "");
        CHECK(all.why.code == errc::corrupt_record);
        check_holds(*orders.log, bad + 1, 70);
        orders.kill();
    }
}

TEST_CASE("opening looks at nothing behind the records: on a full tmpfs that would take space, and be a signal", "[storage][recovery]") {
    partition orders{{.segment_bytes = 256 * kib}};
    orders.open();
    append_range(*orders.log, 0, 100);
    orders.close();  // gives back what is not used
    const std::string path = orders.path() + '/' + first_log;
    const auto blocks = [&] {
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_blocks;
    };
    const auto before = blocks();
    REQUIRE(before * 512 < 32 * 1024);
    SECTION("in the same boot") {}
    SECTION("after a loss of power") { orders.machine.reboot(); }
    orders.open();
    CHECK(blocks() == before);
    const reading all = read_from(*orders.log, 0);
    CHECK(all.is_at_end);
    CHECK(blocks() == before);
    CHECK(difference(all.records, numbered(0, 100)) == "");
    append_range(*orders.log, 100, 2'000);
    check_holds(*orders.log, 0, 2'000);
}

TEST_CASE("a system that does not say who a file is makes opening fail, and cuts nothing", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    orders.hold(48);
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_of(11), time_of(11), why) == 11);
    const image left = orders.kill();

    orders.platform.fail(operation::identity, 1, ENOMEM);
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::not_enough_memory);
    CHECK(names(why, first_log));
    CHECK(orders.files() == left);

    orders.open();
    CHECK(orders.log->report().filled_gaps == 1);
    CHECK_FALSE(orders.log->report().power_may_have_gone);
    CHECK(orders.log->log_end_offset() == 12);
}

TEST_CASE("what tells how much was durable and cannot be read makes opening fail, and nothing is cut", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->sync());
    const bool is_checkpoint = GENERATE(true, false);
    const std::string unread = is_checkpoint ? "checkpoint" : "00000000000000000020.log";
    image left;
    if (is_checkpoint) {
        orders.close();
        left = orders.files();
        REQUIRE(left.contains("checkpoint"));
        const std::size_t evidence = frames_of(left.at(first_log)).back().at;  // not on the disk itself
        left.at(first_log).replace(evidence, frame_header_size, frame_header_size, '\0');
    } else {
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 20, 25);
        REQUIRE_FALSE(orders.log->sync());
        left = orders.kill();
        left.erase("checkpoint");
    }
    std::string& content = left.at(first_log);
    flip_bit(content, (frame_with(content, 19).at + 41) * 8);
    const operation call = GENERATE(operation::open, operation::size, operation::read);
    CAPTURE(unread, name(call));
    orders.wake_up_with(left);
    orders.platform.inject({.on = call, .number = EMFILE, .path = unread});
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::too_many_files_open);
    CHECK(names(why, unread));
    CHECK(orders.files() == left);

    orders.platform.heal();
    orders.open();
    CHECK(orders.log->report().cut_bytes == 0);
    CHECK(orders.log->log_end_offset() >= 20);
}

TEST_CASE("a taken spare whose header rotted is no loss in silence", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 25);
    REQUIRE_FALSE(orders.log->sync());
    image left = orders.kill();
    left["spare.log"] = left.at("00000000000000000020.log");  // taken, and not renamed yet
    left["spare.index"] = left.at("00000000000000000020.index");
    left.erase("00000000000000000020.log");
    left.erase("00000000000000000020.index");
    std::string& spare = left.at("spare.log");
    const bool is_another_boot = GENERATE(false, true);
    CAPTURE(is_another_boot);
    failure why;
    SECTION("its base offset, which its first record tells, too") {
        const auto at = static_cast<std::size_t>(GENERATE(64, 71, 72));
        CAPTURE(at);
        flip_bit(spare, at * 8);
        is_another_boot ? orders.wake_up_with(left) : orders.become(left);
        orders.open();
        CHECK(orders.log->report().damages.empty());
        CHECK(orders.log->report().quarantined.empty());
        CHECK(orders.log->log_end_offset() == 25);
        check_holds(*orders.log, 0, 25);
        orders.open();  // and from here on it is written in its header again
        check_holds(*orders.log, 0, 25);
    }
    SECTION("its base offset, and its first record") {
        flip_bit(spare, format::base_check_at * 8);
        flip_bit(spare, (segment_header_size + 44) * 8);
        is_another_boot ? orders.wake_up_with(left) : orders.become(left);
        if (is_another_boot) {  // as if neither had got to the disk
            orders.open();
            CHECK(orders.log->report().quarantined.size() == 1);
            return;
        }
        CHECK_FALSE(orders.try_open(why));
        CHECK(why.code == errc::corrupt_record);
        CHECK(names(why, "spare.log"));
        CHECK(orders.files().at("spare.log") == spare);
    }
    SECTION("what was on the disk before it had a name") {
        flip_bit(spare, static_cast<std::size_t>(GENERATE(0, 20, 56)) * 8);
        is_another_boot ? orders.wake_up_with(left) : orders.become(left);
        CHECK_FALSE(orders.try_open(why));
        CHECK(why.code == errc::corrupt_record);
        CHECK(names(why, "spare.log"));
        CHECK(names(why, "move it away"));
        CHECK(orders.files().at("spare.log") == spare);
    }
}

TEST_CASE("a checkpoint of a newer version is refused, and stays", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 20);
    orders.close();
    image left = orders.files();
    std::string& content = left.at("checkpoint");
    for (const std::size_t at : {std::size_t{0}, format::checkpoint_slot_size}) {
        auto* const raw = reinterpret_cast<std::byte*>(content.data()) + at;
        auto slot = load<format::checkpoint>(raw);
        slot.version = format::checkpoint_version + 1;
        store(raw, format::sealed(slot));
    }
    orders.become(left);
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::unsupported_version);
    CHECK(names(why, "checkpoint"));
    CHECK(orders.files().at("checkpoint") == content);
}

TEST_CASE("a spare with the newest records that cannot be read makes opening fail, and is not put aside", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    append_range(*orders.log, 20, 25);
    image left = orders.kill();
    left["spare.log"] = left.at("00000000000000000020.log");  // taken, and not renamed yet
    left.erase("00000000000000000020.log");
    left.erase("00000000000000000020.index");
    orders.become(left);
    const operation call = GENERATE(operation::open, operation::size, operation::read);
    CAPTURE(name(call));
    orders.platform.inject({.on = call, .number = EMFILE, .path = "spare.log"});
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::too_many_files_open);
    CHECK(names(why, "spare.log"));
    CHECK(orders.files() == left);

    orders.platform.heal();
    orders.open();
    check_holds(*orders.log, 0, 25);
}

TEST_CASE("an offset's epoch tells before which cut it was appended", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 60);
    REQUIRE_FALSE(orders.log->sync());
    append_range(*orders.log, 60, 100);
    CHECK(orders.log->epoch_before(0) == std::nullopt);
    CHECK(orders.log->epoch_before(1) == std::optional{0u});
    CHECK(orders.log->epoch_before(100) == std::optional{0u});
    CHECK(orders.log->epoch_before(101) == std::nullopt);
    CHECK(orders.log->end_of_epoch(0) == 100);
    image left = orders.kill();
    const std::string last = names_in(left, ".log").back();
    for (const auto& frame : frames_of(left.at(last))) {
        if (frame.header.base_offset >= 70) {  // did not arrive
            std::fill_n(left.at(last).begin() + static_cast<std::ptrdiff_t>(frame.at), frame.end() - frame.at, '\0');
        }
    }
    orders.wake_up_with(left);
    orders.open();
    const offset end = orders.log->log_end_offset();
    REQUIRE((end >= 60 && end < 100));
    append_range(*orders.log, end, 120);
    const auto epoch = orders.log->epoch_before(120);
    REQUIRE(epoch);
    CHECK(*epoch > 0);
    CHECK(orders.log->epoch_before(end) == std::optional{0u});
    CHECK(orders.log->epoch_before(end + 1) == epoch);
    CHECK(orders.log->end_of_epoch(0) == end);
    CHECK(orders.log->end_of_epoch(*epoch - 1) == end);
    CHECK(orders.log->end_of_epoch(*epoch) == 120);

    // A reader that has passed a record knows, whatever it has passed it in, and one that has not does not say.
    failure why;
    REQUIRE(append_batch(*orders.log, 7, 120, why) == 120);
    for (const offset from : {offset{0}, end - 1, end, offset{119}, offset{123}}) {
        for (const std::uint32_t most : {1u, 3u, 1'000u}) {
            CAPTURE(from, most);
            storage::log_reader reader = orders.log->reader();
            reader.seek(from);
            CHECK_FALSE(reader.epoch_passed());
            std::vector<storage::record_range> ranges;
            while (reader.position_offset() < 127) {
                ranges.clear();
                REQUIRE(reader.fetch(most, true, ranges).text == "");
                REQUIRE(reader.epoch_passed() == orders.log->epoch_before(reader.position_offset()));
            }
        }
    }
}

TEST_CASE("a stranger's file among the offsets of an open segment is refused, by name", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 50);
    const image left = orders.kill();
    write_whole(orders.path() + "/00000000000000000007.log", std::string(4096, 'x'));
    if (GENERATE(false, true)) {  // a segment that is whole, behind it
        write_whole(orders.path() + "/00000000000000000050.log", left.at(first_log));
    }
    failure why;
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::corrupt_record);
    CHECK(names(why, "00000000000000000007.log"));
    CHECK(names(why, "stranger"));
    CHECK(orders.files().at(first_log) == left.at(first_log));
}

TEST_CASE("evidence of more records than a log can have is nobody's", "[storage][recovery]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 50);
    REQUIRE_FALSE(orders.log->sync());
    image left = orders.files();
    orders.kill();
    std::string& content = left.at(first_log);
    const offset claimed = GENERATE(largest_offset + 1, std::numeric_limits<offset>::max());
    bool is_forged = false;
    for (const auto& frame : frames_of(content)) {
        if (frame.kind() == frame_kind::evidence) {
            auto* const data = reinterpret_cast<std::byte*>(content.data()) + frame.at;
            format::frame_header header = format::load_header(data);
            header.base_timestamp = claimed;
            const auto seed = load<format::segment_birth>(reinterpret_cast<const std::byte*>(content.data())).seed;
            header.checksum = format::checksum_of(seed, static_cast<position>(frame.at), header, data);
            store(data, header);
            is_forged = true;
        }
    }
    REQUIRE(is_forged);
    orders.wake_up_with(left);
    orders.open();
    CHECK(orders.log->report().damages.empty());
    CHECK(orders.log->log_end_offset() == 50);
    append_range(*orders.log, 50, 60);
    check_holds(*orders.log, 0, 60);
}

TEST_CASE("what no writer could have written there is not taken for a record, though its checksum is right", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    image left = orders.files();
    orders.kill();
    std::string& content = left.at(first_log);
    const std::size_t end = frames_end(content);
    const auto forge = [&](std::size_t at, std::uint32_t size, offset base, std::uint32_t count) {
        auto* const data = reinterpret_cast<std::byte*>(content.data()) + at;
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(size);
        header.attributes = format::attributes_of(frame_kind::filler);
        header.base_offset = base;
        header.count = count;
        const auto seed = load<format::segment_birth>(reinterpret_cast<const std::byte*>(content.data())).seed;
        header.checksum = format::checksum_of(seed, static_cast<position>(at), header, data);
        store(data, header);
    };
    SECTION("it leaves the seal no room") { forge(end, static_cast<std::uint32_t>(content.size() - end), 20, 3); }
    SECTION("it takes more offsets than a segment counts") { forge(end, frame_header_size, 20, 0x8000'0000); }
    SECTION("what is in front of it has taken them all") {
        forge(end, frame_header_size, 20, format::most_offsets_taken);
        forge(end + frame_header_size, frame_header_size, 20 + offset{format::most_offsets_taken}, format::most_offsets_taken);
        forge(end + 2 * frame_header_size, frame_header_size, 20 + 2 * offset{format::most_offsets_taken}, format::most_offsets_taken);
    }
    orders.wake_up_with(left);
    orders.open();
    const offset next = orders.log->log_end_offset();
    CHECK(orders.log->report().cut_bytes > 0);
    for (std::int64_t n = 0; n < 200; ++n) {  // past the end of the segment
        failure why;
        REQUIRE(append(*orders.log, std::nullopt, value_of(next + n), time_of(next + n), why) == next + n);
    }
    check_holds(*orders.log, next, next + 200);
    orders.open();
    check_holds(*orders.log, next, next + 200);
}

TEST_CASE("of a file that was cut anywhere nothing stands behind what is appended next", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 5);
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, std::string(500, 'x'), 1, why) == 5);
    const image whole = orders.kill();
    const frame_place large = frame_with(whole.at(first_log), 5);
    for (std::size_t size = large.at + 380; size < large.at + 400; ++size) {
        CAPTURE(size);
        image left = whole;
        left.at(first_log).resize(size);
        orders.wake_up_with(left);
        orders.open();
        CHECK(orders.log->report().cut_bytes == size - large.at);
        for (std::int64_t last = 6; last < 8; ++last) {
            append_nth(*orders.log, last - 1);
            orders.kill();
            orders.open();
            CHECK(orders.log->report().damages.empty());
            check_holds(*orders.log, 0, last);
        }
    }
}

TEST_CASE("no segment begins where its offsets might pass the largest, and nothing that was appended in front of that is lost", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    const image empty = orders.kill();
    const auto begin_at = [&](offset base) {
        std::string content = empty.at(first_log);
        const auto plus_one = static_cast<std::uint64_t>(base) + 1;
        poke(content, format::base_at, plus_one);
        poke(content, format::base_check_at, format::base_check(peek<format::segment_birth>(content, 0).seed, plus_one));
        orders.become({{storage::segment_name(base) + ".log", content}});
    };
    failure why;
    begin_at(GENERATE(storage::last_base + 1, largest_offset));
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == errc::corrupt_record);
    CHECK(names(why, "topic 'orders', partition 3"));
    CHECK(names(why, "no more"));

    begin_at(storage::last_base);
    for (offset next = storage::last_base; next < storage::last_base + 3; ++next) {
        orders.open();
        REQUIRE(append(*orders.log, std::nullopt, value_of(next), time_of(next), why) == next);
        check_holds(*orders.log, storage::last_base, next + 1);
    }
    CHECK(orders.log->roll().code == errc::illegal_state);
    CHECK(append(*orders.log, std::nullopt, "one too many", 1, why) == -1);
    CHECK(why.code == errc::illegal_state);
    CHECK(names(why, "has no more offsets"));
    orders.open();
    check_holds(*orders.log, storage::last_base, storage::last_base + 3);
}

TEST_CASE("a segment's footer is evidence too", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 200);
    orders.keep_up();
    image left = orders.kill();
    left.erase("checkpoint");
    const auto logs = names_in(left, ".log");
    for (const auto& name : logs) {  // no evidence frames
        for (const auto& frame : frames_of(left.at(name))) {
            if (frame.kind() == frame_kind::evidence) {
                REQUIRE(frame.end() == frames_end(left.at(name)));
                std::fill_n(left.at(name).begin() + static_cast<std::ptrdiff_t>(frame.at), frame.end() - frame.at, '\0');
            }
        }
    }
    const frame_place bad = frame_with(left.at(first_log), 7);
    flip_bit(left.at(first_log), (bad.at + 42) * 8);
    if (GENERATE(false, true)) {  // its own has gone: that of the next says that everything before is on the disk
        flip_bit(left.at(first_log), format::footer_at * 8);
    }
    orders.wake_up_with(left);
    orders.open();
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 7);
    CHECK(orders.log->report().damages.front().last == 8);
    CHECK(orders.log->report().quarantined.empty());
    check_holds(*orders.log, 8, 200);
}

TEST_CASE("the footer of a segment is evidence of its own records, when no other is left", "[storage][recovery]") {
    partition orders{tiny()};
    orders.open();
    append_range(*orders.log, 0, 20);
    REQUIRE_FALSE(orders.log->roll());
    orders.keep_up();
    image left = orders.kill();
    left.erase("checkpoint");
    REQUIRE(names_in(left, ".log").size() == 2);
    for (const auto& frame : frames_of(left.at(first_log))) {
        REQUIRE(frame.kind() != frame_kind::evidence);
    }
    flip_bit(left.at(first_log), (frame_with(left.at(first_log), 7).at + 42) * 8);
    orders.wake_up_with(left);
    orders.open();
    REQUIRE(orders.log->report().damages.size() == 1);
    CHECK(orders.log->report().damages.front().first == 7);
    CHECK(orders.log->report().quarantined.empty());
    check_holds(*orders.log, 8, 20);
}

}  // namespace storage_recovery_test
