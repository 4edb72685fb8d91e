#include <brook/storage/log.hpp>  // first, so that it must stand alone

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/wire.hpp"

namespace storage_replicated_log_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;

namespace {

storage::log_options replicated(std::uint32_t segment_bytes = 4 * kib) {
    storage::log_options options{.segment_bytes = segment_bytes};
    options.is_replicated = true;
    return options;
}

constexpr const char* first_log = "00000000000000000000.log";

frame_bytes joined(std::initializer_list<frame_bytes> all) {
    frame_bytes one;
    for (const auto& frame : all) {
        one.insert(one.end(), frame.begin(), frame.end());
    }
    return one;
}

}  // namespace

// ---- beside syncs ----

TEST_CASE("a replicated log is appended to and cut while another thread syncs it", "[storage][replicated_log][threads]") {
    partition orders{replicated(64 * kib)};
    storage::log& log = orders.open();
    std::atomic<bool> is_over{false};
    std::thread syncing{[&] {
        while (!is_over.load()) {
            static_cast<void>(log.sync());  // leaves a mark in the log
        }
    }};
    std::string why;
    offset end = 0;
    for (int round = 0; round < 4'000 && why.empty(); ++round) {
        for (int i = 0; i < 4 && why.empty(); ++i, ++end) {
            frame_bytes frame = wire_nth(end);
            offset first = -1;
            why = log.append_new(frame, 1, std::nullopt, first).text;
            CHECK((first == end || !why.empty()));
        }
        frame_bytes copied = wire_at(wire_nth(end), end, 1);
        offset reached = 0;
        why = why.empty() ? log.append_copy(copied, reached).text : why;
        ++end;
        CHECK((reached == end || !why.empty()));
        if (why.empty() && round % 3 == 0) {
            end -= 2;
            why = log.truncate(end).text;
        }
    }
    is_over.store(true);
    syncing.join();
    CHECK(why == "");
    CHECK(log.log_end_offset() == end);
}

// ---- the high watermark ----

TEST_CASE("readers of a replicated log stop at its high watermark, wherever they begin", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 100);
    CHECK(log.log_end_offset() == 100);
    CHECK(log.readable_end() == 0);
    CHECK(log.last_stable_offset() == 0);
    check_holds(log, 0, 0);
    for (const offset mark : {1, 7, 40, 41, 100}) {
        log.set_high_watermark(mark);
        CHECK(log.high_watermark() == mark);
        CHECK(log.last_stable_offset() == mark);
        for (const offset from : {offset{0}, mark / 2, mark - 1, mark}) {
            CAPTURE(mark, from);
            check_holds(log, from, mark);
        }
    }
    log.set_high_watermark(50);
    CHECK(log.high_watermark() == 100);  // it only grows,
    log.set_high_watermark(1'000);
    CHECK(log.high_watermark() == 100);  // and stays within the log
}

TEST_CASE("a reader behind the high watermark waits; one behind the end is told", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 100);
    log.set_high_watermark(20);
    storage::log_reader reader = log.reader();
    std::vector<storage::record_range> ranges;
    for (const offset from : {20, 21, 60, 100}) {
        reader.seek(from);
        CHECK(reader.fetch(10, true, ranges).text == "");
        CHECK(ranges.empty());
        CHECK(reader.at_end(true));
        CHECK(reader.next_word() == nullptr);
    }
    reader.seek(101);
    CHECK(reader.fetch(10, true, ranges).code == errc::offset_out_of_range);
    reader.seek(60);
    REQUIRE_FALSE(reader.fetch(10, true, ranges));
    log.set_high_watermark(62);
    REQUIRE_FALSE(reader.fetch(10, true, ranges));
    REQUIRE(ranges.size() == 1);
    CHECK(ranges.front().first == 60);
    CHECK(ranges.front().last == 62);
    reader.seek(20);
    std::uint64_t spins = 0;
    while (reader.sees_nothing() && ++spins < 3) {
    }
    REQUIRE_FALSE(reader.fetch(100, true, ranges));
    CHECK(reader.position_offset() == 62);
    CHECK(reader.sees_nothing());
    log.set_high_watermark(63);
    CHECK_FALSE(reader.sees_nothing());
}

TEST_CASE("look-ups by time, deletions and retention know nothing behind the high watermark", "[storage][replicated_log]") {
    storage::log_options options = replicated();
    options.retention.bytes = 0;
    partition orders{options};
    storage::log& log = orders.open();
    lead_range(log, 0, 200);
    failure why;
    log.set_high_watermark(50);
    CHECK(log.offset_for_time(time_of(30), why) == offset{30});
    CHECK(log.offset_for_time(time_of(49), why) == offset{49});
    CHECK_FALSE(log.offset_for_time(time_of(50), why));
    log.set_high_watermark(60);
    CHECK(log.offset_for_time(time_of(55), why) == offset{55});
    CHECK(log.delete_records(61).code == errc::offset_out_of_range);
    for (int i = 0; i < 5; ++i) {
        REQUIRE_FALSE(orders.keep_up().why);
    }
    CHECK(log.log_start_offset() > 0);
    CHECK(log.log_start_offset() <= 60);
    check_holds(log, log.log_start_offset(), 60);
    CHECK(log.delete_records(60).text == "");
    CHECK(log.log_start_offset() == 60);
    log.set_high_watermark(200);
    check_holds(log, 60, 200);
}

TEST_CASE("the high watermark is known again, as far as the log reaches", "[storage][replicated_log]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 100);
    orders.log->set_high_watermark(70);
    CHECK(orders.open().high_watermark() == 70);
    check_holds(*orders.log, 0, 70);
    lead_range(*orders.log, 100, 120);
    orders.log->set_high_watermark(110);
    image files = orders.kill();
    const offset after_a_kill = orders.open().high_watermark();
    CHECK(after_a_kill >= 70);
    CHECK(after_a_kill <= 110);
}

TEST_CASE("who sleeps is woken when the high watermark moves", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 1);
    const auto ticket = orders.events.prepare();
    log.expect_reader();
    orders.events.fence();
    log.set_high_watermark(1);
    orders.events.wait(ticket, 1h);  // comes back at once
    check_holds(log, 0, 1);
}

// ---- appending ----

TEST_CASE("a leader's frames get the log's offsets, its epoch, and are in wire form again", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    storage::log& log = orders.open();
    lead_range(log, 0, 3, 2);
    frame_bytes frame = wire_batch(3, 4);
    offset first = -1;
    REQUIRE_FALSE(log.append_new(frame, 5, std::nullopt, first));
    CHECK(first == 3);
    CHECK(format::wire_fault(frame) == nullptr);
    CHECK(frame == wire_at(wire_batch(3, 4), 3, 5));
    CHECK(log.last_epoch() == 5);
    frame_bytes read;
    REQUIRE_FALSE(log.read_frames(3, 7, 1, read));
    CHECK(read == frame);
    frame_bytes late = wire_nth(7);
    CHECK(log.append_new(late, 4, std::nullopt, first).code == errc::illegal_state);
    late.back() ^= std::byte{1};
    CHECK(log.append_new(late, 5, std::nullopt, first).code == errc::corrupt_record);
    orders.hold(64);
    frame_bytes next = wire_nth(7);
    CHECK(log.append_new(next, 5, std::nullopt, first).code == errc::illegal_state);
    orders.publish_held();
    CHECK(log.log_end_offset() == 8);
    CHECK_FALSE(log.append_new(next, 5, std::nullopt, first));
    CHECK(first == 8);
    orders.close();
    partition alone;
    CHECK(alone.open().append_new(next, 5, std::nullopt, first).code == errc::illegal_state);
}

TEST_CASE("a frame of the largest size goes in, and a larger one does not", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    offset first = -1;
    const auto filled = [&](std::uint32_t size) { return wire_lone(std::nullopt, std::string(size - format::frame_header_size, 'x'), 1); };
    frame_bytes largest = filled(log.largest_frame());
    CHECK(log.append_new(largest, 1, std::nullopt, first).text == "");
    CHECK(log.append_new(largest, 1, std::nullopt, first).text == "");
    CHECK(first == 1);
    frame_bytes larger = filled(log.largest_frame() + 8);
    CHECK(log.append_new(larger, 1, std::nullopt, first).code == errc::record_too_large);
    CHECK(log.log_end_offset() == 2);
}

TEST_CASE("a log that stamps its records stamps those of a replicated one, never backwards", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    for (const std::int64_t now : {100, 90, 200}) {
        frame_bytes frame = wire_nth(1);
        offset first = -1;
        REQUIRE_FALSE(log.append_new(frame, 1, now, first));
        const format::frame_header header = format::load_header(frame.data());
        CHECK(header.base_timestamp == (now == 90 ? 100 : now));
        CHECK((header.attributes & format::attribute::append_time) != 0);
        CHECK(format::wire_fault(frame) == nullptr);
    }
    partition other{replicated()};
    REQUIRE(follow(log, other.open()).text == "");
    frame_bytes frame = wire_nth(1);
    offset first = -1;
    REQUIRE_FALSE(other.log->append_new(frame, 2, 150, first));  // the follower leads now, and its clock is behind
    CHECK(format::load_header(frame.data()).base_timestamp == 200);
}

TEST_CASE("finding the epochs of a log that has had many leaders opens none of its segments more than twice", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    std::vector<format::epoch_start> expected;
    std::uint32_t epoch = 1;
    for (offset n = 0; n < 1'500; ++n) {
        const bool is_next = n % 400 < 200 ? n % 7 == 0 : n % 400 == 200;  // some short, some long
        epoch += is_next ? 1 + static_cast<std::uint32_t>(n % 3) : 0;
        if (is_next) {
            expected.push_back({epoch, n});
        }
        REQUIRE(lead(log, wire_nth(n), epoch) == n);
    }
    REQUIRE_FALSE(orders.keep_up().why);
    std::size_t segments = 0;
    for (const auto& file : std::filesystem::directory_iterator{orders.path()}) {
        segments += file.path().extension() == ".log" ? 1u : 0u;
    }
    REQUIRE(segments > 20);
    REQUIRE(expected.size() > 60);
    orders.platform.forget_calls();
    storage::log& again = orders.open();
    CHECK(epochs_of(again) == expected);
    CHECK(orders.platform.calls(brook::test::operation::map) <= 4 * segments);  // two mappings each
}

TEST_CASE("a follower's log is its leader's, frame for frame, in segments of its own", "[storage][replicated_log]") {
    partition leading{replicated()};
    partition following{replicated(16 * kib)};
    storage::log& leader = leading.open();
    storage::log& follower = following.open();
    lead_range(leader, 0, 50, 1);
    REQUIRE(lead(leader, wire_batch(50, 10), 3) == 50);
    REQUIRE(lead(leader, format::make_control(as_bytes("leads"), 4), 7) == 60);
    for (offset n = 61; n < 150; ++n) {
        REQUIRE(lead(leader, wire_nth(n), 7) == n);
    }
    REQUIRE_FALSE(leading.keep_up().why);
    leading.open();
    const std::size_t at_once = GENERATE(std::size_t{1}, std::size_t{500}, std::size_t{1'000'000});
    REQUIRE(follow(*leading.log, follower, at_once).text == "");
    CHECK(follower.log_end_offset() == 150);
    CHECK(epochs_of(follower) == std::vector<format::epoch_start>{{1, 0}, {3, 50}, {7, 60}});
    CHECK(epochs_of(*leading.log) == epochs_of(follower));
    CHECK(follower.last_epoch() == 7);
    frame_bytes one;
    frame_bytes other;
    REQUIRE_FALSE(leading.log->read_frames(0, 150, mib, one));
    REQUIRE_FALSE(follower.read_frames(0, 150, mib, other));
    CHECK(one == other);
    follower.set_high_watermark(150);
    std::vector<read_record> expected = numbered(0, 150);
    for (offset n = 50; n < 60; ++n) {
        expected[static_cast<std::size_t>(n)].timestamp = time_of(50);
    }
    expected.erase(expected.begin() + 60);  // nobody is shown the control frame
    CHECK(difference(read_from(follower, 0).records, expected) == "");
    CHECK(difference(read_from(following.open(), 0).records, expected) == "");
    CHECK(following.log->last_epoch() == 7);
    failure why;
    CHECK(following.log->offset_for_time(4, why) == offset{0});
}

TEST_CASE("a follower takes frames up to the first that is wrong, and says which", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    storage::log& log = orders.open();
    offset end = -1;
    frame_bytes broken = wire_at(wire_nth(2), 2, 4);
    broken[50] ^= std::byte{4};
    const frame_bytes good = joined({wire_at(wire_nth(0), 0, 4), wire_at(wire_nth(1), 1, 4)});
    const std::vector<frame_bytes> wrong{
        broken,
        wire_at(wire_nth(3), 3, 4),   // one is left out
        wire_at(wire_nth(1), 1, 4),   // there already
        wire_at(wire_nth(2), 2, 3),   // an epoch that has passed
        frame_bytes(8, std::byte{0}),
        frame_bytes(bytes{broken}.begin(), bytes{broken}.end() - 8),
    };
    for (std::size_t i = 0; i < wrong.size(); ++i) {
        CAPTURE(i);
        REQUIRE(log.truncate(0).text == "");
        const failure why = log.append_copy(joined({good, wrong[i], wire_at(wire_nth(3), 3, 4)}), end);
        CHECK(why.code == errc::corrupt_record);
        CHECK(why.text.find(std::to_string(good.size())) != std::string::npos);
        CHECK(end == 2);
        CHECK(log.log_end_offset() == 2);
    }
    CHECK(log.append_copy(wire_at(wire_nth(2), 2, 4), end).text == "");
    CHECK(end == 3);
    log.set_high_watermark(3);
    check_holds(log, 0, 3);
}

TEST_CASE("a follower takes of a compacted batch what it does not have", "[storage][replicated_log]") {
    storage::compaction_turn turn{mib};
    storage::log_options options = replicated();
    options.compaction = {.is_on = true, .min_dirty_ratio = 0};
    options.turn = &turn;
    partition leading{options};
    storage::log& leader = leading.open();
    leading.platform.set_now(timestamp{1'000'000h});
    for (offset n = 0; n < 300; ++n) {
        REQUIRE(lead(leader, n % 50 == 20 ? format::make_control(as_bytes("c"), 1) : wire_lone("key " + std::to_string(n % 30), value_of(n), time_of(n)),
                     n < 170 ? 1 : 2) == n);
    }
    std::vector<std::unique_ptr<partition>> followers;
    for (const offset have : {1, 20, 33, 77, 140, 169}) {
        followers.push_back(std::make_unique<partition>(replicated()));
        frame_bytes frames;
        REQUIRE_FALSE(leader.read_frames(0, have, mib, frames));
        offset end = -1;
        REQUIRE(followers.back()->open().append_copy(frames, end).text == "");
        REQUIRE(end == have);
    }
    const auto epochs = epochs_of(leader);
    for (int i = 0; i < 20; ++i) {
        REQUIRE(leading.keep_up().why.text == "");
        leading.now += 10s;
        if (i == 5) {  // until then nothing of it is on a majority
            frame_bytes all;
            REQUIRE_FALSE(leader.read_frames(0, 300, mib, all));
            std::size_t count = 0;
            format::wire_walk walk{all};
            for (bytes frame; walk.next(frame); ++count) {
            }
            CHECK(count == 300);
            leader.set_high_watermark(300);
            REQUIRE_FALSE(leader.roll());
        }
    }
    const auto read = read_from(leader, 0).records;
    CHECK(read.size() < 100);
    CHECK(epochs_of(leader) == epochs);
    for (const auto& follower : followers) {
        const offset have = follower->log->log_end_offset();
        CAPTURE(have);
        REQUIRE(follow(leader, *follower->log).text == "");
        CHECK(follower->log->log_end_offset() == 300);
        CHECK(follower->log->last_epoch() == 2);
        follower->log->set_high_watermark(300);
        std::vector<read_record> expected;
        for (const auto& record : read) {
            if (record.offset >= have) {
                expected.push_back(record);
            }
        }
        CHECK(difference(read_from(*follower->log, have).records, expected) == "");
        CHECK(difference(read_from(follower->open(), have).records, expected) == "");
    }
}

TEST_CASE("what was compacted elsewhere may take offsets without end", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(format::frame_header_size);
    header.attributes = format::attributes_of(format::frame_kind::filler);
    header.count = format::most_offsets_taken;
    frame_bytes filler(format::frame_header_size);
    offset end = 0;
    for (int i = 0; i < 5; ++i) {
        lead(log, wire_nth(i), 1);
        end = log.log_end_offset();
        header.base_offset = end;
        header.leader_epoch = 1;
        format::store_wire(filler.data(), header);
        REQUIRE(log.append_copy(filler, end).text == "");
    }
    CHECK(end == 5 * (offset{format::most_offsets_taken} + 1));
    log.set_high_watermark(end);
    CHECK(read_from(log, 0).records.size() == 5);
    CHECK(read_from(orders.open(), 0).records.size() == 5);
    CHECK(orders.log->log_end_offset() == end);
}

// ---- reading frames ----

TEST_CASE("frames are read from the one that holds an offset, up to a limit, across segments", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    REQUIRE(lead(log, wire_batch(0, 10), 1) == 0);
    lead_range(log, 10, 150);
    const auto offsets = [](const frame_bytes& frames) {
        storage::offset_range range{-1, -1};
        format::wire_walk walk{frames};
        for (bytes frame; walk.next(frame);) {
            REQUIRE(format::wire_fault(frame) == nullptr);
            const format::frame_header header = format::load_header(frame.data());
            range.first = range.first < 0 ? header.base_offset : range.first;
            REQUIRE((range.last < 0 || range.last == header.base_offset));
            range.last = header.base_offset + format::offsets_taken(header, frame.data());
        }
        REQUIRE(walk.rest().empty());
        return range;
    };
    const auto read = [&](offset from, offset until, std::size_t most) {
        frame_bytes frames;
        REQUIRE(log.read_frames(from, until, most, frames).text == "");
        return offsets(frames);
    };
    CHECK(read(0, 150, mib) == storage::offset_range{0, 150});
    CHECK(read(0, 9, mib) == storage::offset_range{-1, -1});  // it would reach behind
    CHECK(read(0, 10, mib) == storage::offset_range{0, 10});
    CHECK(read(7, 20, mib) == storage::offset_range{0, 20});
    CHECK(read(30, 40, 1) == storage::offset_range{30, 31});
    CHECK(read(30, 1'000, mib) == storage::offset_range{30, 150});
    CHECK(read(150, 1'000, mib) == storage::offset_range{-1, -1});
    const storage::offset_range some = read(30, 150, 1'000);
    CHECK(some.last > 35);
    CHECK(some.last < 60);
    frame_bytes frames;
    CHECK(log.read_frames(151, 200, mib, frames).code == errc::offset_out_of_range);
    log.set_high_watermark(100);
    REQUIRE_FALSE(log.sync());
    REQUIRE_FALSE(log.delete_records(100));
    CHECK(log.read_frames(20, 150, mib, frames).code == errc::offset_out_of_range);
    CHECK(frames.empty());
    CHECK(read(100, 150, mib).last == 150);
}

TEST_CASE("a damaged frame is not sent on", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    lead_range(orders.open(), 0, 50);
    orders.log->set_high_watermark(50);
    orders.close();
    image files = orders.files();
    flip_bit(files[first_log], (frame_with(files[first_log], 20).at + 45) * 8);
    orders.become(files);
    storage::log& log = orders.open();
    frame_bytes frames;
    REQUIRE_FALSE(log.read_frames(10, 50, mib, frames));
    format::wire_walk walk{frames};
    offset last = -1;
    for (bytes frame; walk.next(frame);) {
        last = format::load_header(frame.data()).base_offset;
    }
    CHECK(last == 19);
    frames.clear();
    const failure why = log.read_frames(20, 50, mib, frames);
    CHECK(why.code == errc::corrupt_record);
    CHECK(why.text.find(first_log) != std::string::npos);
    CHECK(frames.empty());
    REQUIRE_FALSE(log.read_frames(21, 50, mib, frames));
    CHECK(format::load_header(frames.data()).base_offset == 21);
}

// ---- epochs, producers ----

TEST_CASE("epochs are found wherever they begin", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    CHECK(epochs_of(log).empty());
    CHECK(log.last_epoch() == 0);
    std::vector<format::epoch_start> expected;
    offset end = 0;
    for (const auto& [epoch, count] : std::vector<std::pair<std::uint32_t, int>>{{1, 1}, {2, 1}, {5, 200}, {6, 2}, {9, 31}, {10, 1}}) {
        expected.push_back({epoch, end});
        for (int i = 0; i < count; ++i, ++end) {
            lead(log, i == 0 ? format::make_control({}, 1) : wire_nth(end), epoch);
        }
    }
    CHECK(epochs_of(log) == expected);
    CHECK(log.last_epoch() == 10);
    CHECK(log.leader_epoch() == 10);
    CHECK(log.end_of_epoch(5) == 202);
    CHECK(log.end_of_epoch(4) == 2);
    CHECK(log.epoch_before(202) == 5u);
    log.set_high_watermark(end);
    REQUIRE_FALSE(log.delete_records(210));
    CHECK(epochs_of(log) == std::vector<format::epoch_start>{{9, 210}, {10, 235}});
    REQUIRE_FALSE(log.delete_records(end));
    CHECK(epochs_of(log).empty());
    CHECK(orders.open().last_epoch() == 10);  // of what was there
}

TEST_CASE("no recovery makes up an epoch of a replicated log", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    lead_range(orders.open(), 0, 50, 4);
    REQUIRE_FALSE(orders.log->sync());
    lead_range(*orders.log, 50, 60, 5);
    image files = orders.files();
    SECTION("where power cuts it") {
        poke(files[first_log], frame_with(files[first_log], 55).at + 16, std::int64_t{1'000});
        orders.wake_up_with(files);
        storage::log& log = orders.open();
        CHECK(log.log_end_offset() == 55);
        CHECK(log.last_epoch() == 5);
        CHECK(log.report().cut_bytes > 0);
    }
    SECTION("where power leaves what was durable") {
        poke(files[first_log], frame_with(files[first_log], 50).at + 16, std::int64_t{1'000});
        orders.wake_up_with(files);
        CHECK(orders.open().log_end_offset() == 50);
        CHECK(orders.log->last_epoch() == 4);
        lead_range(*orders.log, 50, 52, 4);
    }
    SECTION("where a claim is left at the end") {
        orders.hold(64, 3);
        orders.kill();
        CHECK(orders.open().log_end_offset() == 60);
        CHECK(orders.log->last_epoch() == 5);
    }
    SECTION("where its last record is not what was written, and nobody relied upon it") {
        flip_bit(files[first_log], (frame_with(files[first_log], 59).at + 45) * 8);
        orders.become(files);
        CHECK(orders.open().log_end_offset() == 59);
        CHECK(orders.log->report().damages.empty());
        CHECK(orders.log->last_epoch() == 5);
    }
}

TEST_CASE("a gap is no filler in a replicated log: it ends there, unless that was relied upon", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    lead_range(orders.open(), 0, 10, 4);
    const storage::claim gap = orders.hold(64, 2);
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_of(12), time_of(12), why) == 12);
    const bool is_relied_upon = GENERATE(false, true);
    image files = orders.files();
    orders.close();
    if (is_relied_upon) {
        auto slot = load<format::checkpoint>(reinterpret_cast<const std::byte*>(files["checkpoint"].data() + format::checkpoint_slot_size));
        REQUIRE(format::verifies(slot));
        slot.sequence += 2;
        slot.high_watermark = 13;
        poke(files["checkpoint"], format::slot_position(slot.sequence), format::sealed(slot));
    }
    orders.become(files);
    storage::log& log = orders.open();
    CHECK(log.report().filled_gaps == 0);
    CHECK(log.log_end_offset() == (is_relied_upon ? 13 : 10));
    CHECK(log.report().damages.size() == (is_relied_upon ? 1u : 0u));
    CHECK(gap.first == 10);
}

TEST_CASE("a mark of the log's own that was never published is passed over, and nothing is cut for it", "[storage][replicated_log]") {
    partition orders{replicated(64 * kib)};
    lead_range(orders.open(), 0, 10, 4);
    orders.hold(format::frame_header_size, 0);  // evidence, or producers
    // The replica does not append behind an open claim of its own; a mark's is nobody's.
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_of(10), time_of(10), why) == 10);
    orders.kill();
    storage::log& log = orders.open();
    CHECK(log.log_end_offset() == 11);
    CHECK(log.report().filled_gaps == 1);
    CHECK(log.report().damages.empty());
    log.set_high_watermark(11);
    check_holds(log, 0, 11);
}

TEST_CASE("a follower knows its leader's producers, also after it was opened again", "[storage][replicated_log]") {
    partition leading{replicated()};
    partition following{replicated()};
    storage::log& leader = leading.open();
    for (std::int64_t n = 0; n < 60; ++n) {
        lead(leader, wire_lone(std::nullopt, value_of(n), 1, format::producer_stamp{7, 3, 2 * n}), 1);
    }
    REQUIRE(follow(leader, following.open()).text == "");
    failure why;
    for (storage::log* log : {&leader, following.log.get()}) {
        const auto state = log->producer(7, why);
        REQUIRE(state);
        CHECK(state->last_sequence() == 118);
        CHECK(state->epoch() == 3);
        CHECK(state->find(118) == offset{59});
    }
    following.kill();
    CHECK(following.open().producer(7, why)->last_sequence() == 118);
    lead(*following.log, wire_changed(wire_lone(std::nullopt, "part", 1, format::producer_stamp{9, 0, 5}),
                                      [](format::frame_header& header) { header.attributes |= format::attribute::transactional; }), 2);
    CHECK(following.log->has_transactions());
    CHECK(following.log->producer(9, why)->last_sequence() == -1);  // its numbers are the transaction's
}

TEST_CASE("whatever is asked of a closed log says so", "[storage][replicated_log]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 10);
    log.close();
    offset first = 0;
    frame_bytes frame = wire_nth(10);
    CHECK(log.append_new(frame, 1, std::nullopt, first).code == errc::closed);
    CHECK(log.append_copy(frame, first).code == errc::closed);
    CHECK(log.truncate(5).code == errc::closed);
    CHECK(log.start_anew(50).code == errc::closed);
    frame_bytes frames;
    CHECK(log.read_frames(0, 10, mib, frames).code == errc::closed);
    log.set_high_watermark(10);
    CHECK(log.repair(frame).code == errc::closed);
}

TEST_CASE("a log that is not replicated is read to its end", "[storage][replicated_log]") {
    partition orders;
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    log.set_high_watermark(3);
    CHECK(log.readable_end() == 10);
    CHECK(log.high_watermark() == 10);
    check_holds(log, 0, 10);
}

}  // namespace storage_replicated_log_test
