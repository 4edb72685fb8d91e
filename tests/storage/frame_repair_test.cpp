#include <brook/storage/frame_repair.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/wire.hpp"

namespace storage_frame_repair_test {

using namespace brook;
using namespace brook::test;

namespace {

storage::log_options replicated() {
    storage::log_options options{.segment_bytes = 4 * kib};
    options.is_replicated = true;
    return options;
}

std::vector<storage::offset_range> damage_in(storage::log& log, std::uint64_t at_once = 1 << 30) {
    std::vector<storage::offset_range> found;
    for (offset at = 0; at < log.high_watermark();) {
        const offset before = at;
        REQUIRE(log.find_damage(at, at_once, found, at).text == "");
        REQUIRE(at > before);
    }
    return found;
}

/// A log of 200 records, closed; and a copy of it.
struct pair {
    pair() {
        lead_range(broken.open(), 0, 120);
        REQUIRE(lead(*broken.log, wire_batch(120, 10), 1) == 120);
        lead_range(*broken.log, 130, 200);
        broken.log->set_high_watermark(200);
        REQUIRE_FALSE(broken.keep_up().why);
        REQUIRE_FALSE(broken.log->sync());
        REQUIRE(follow(*broken.log, whole.open()).text == "");
        broken.close();
        files = broken.files();
    }

    /// The file that holds an offset's frame.
    std::string& file_of(offset at) {
        std::string* found = nullptr;
        for (auto& [name, content] : files) {
            if (const auto base = storage::parse_segment_name(name, ".log"); base && *base <= at) {
                found = &content;
            }
        }
        return *found;
    }
    void damage(offset at) {
        std::string& file = file_of(at);
        flip_bit(file, (frame_with(file, at).at + 45) * 8);
    }

    failure mend(const storage::offset_range& range) {
        frame_bytes frames;
        REQUIRE_FALSE(whole.log->read_frames(range.first, range.last, mib, frames));
        return broken.log->repair(frames);
    }

    partition broken{replicated()};
    partition whole{replicated()};
    image files;
};

/// Every record is the one that was written there, or is known to be rotten.
void check_none_is_wrong(storage::log& log, const std::vector<storage::offset_range>& rotten) {
    const auto expected = numbered(0, 200);
    const auto is_rotten = [&](offset at) {
        for (const auto& range : rotten) {
            if (at >= range.first && at < range.last) {
                return true;
            }
        }
        return false;
    };
    offset next = 0;
    for (offset from = 0; from < 200; from = next + 1) {
        const reading read = read_from(log, from);
        next = from;
        for (const auto& one : read.records) {
            const std::int64_t time = time_of(one.offset >= 120 && one.offset < 130 ? 120 : one.offset);  // those of a batch have one
            if (one.offset != next || one.timestamp != time || one.value != value_of(one.offset) || is_rotten(one.offset)) {
                FAIL("offset " << one.offset << " was read, and is not what was written there");
            }
            ++next;
        }
        REQUIRE((next == 200 || (read.why.code == errc::corrupt_record && is_rotten(next))));
    }
}

std::unique_ptr<storage::log> open_on(os::platform& where, storage::event_count& events) {
    failure why;
    auto log = storage::log::open({where, "/p", partition{}.name}, replicated(), events, events, why);
    INFO(why.text);
    REQUIRE(log);
    return log;
}

/// The same files, on a machine whose plug can be pulled; what they have of offsets [first, last) has rotted there since it was closed.
void rot_on(powerless_platform& machine, const pair& logs, offset first, offset last) {
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    for (const auto& [name, content] : logs.files) {
        std::error_code code;
        const auto file = machine.open("/p/" + name, os::open_mode::create, code);
        REQUIRE(file);
        REQUIRE_FALSE(file->allocate(0, content.size()));
        REQUIRE_FALSE(file->write_at(0, as_bytes(content)));
        REQUIRE_FALSE(file->sync());
    }
    REQUIRE_FALSE(machine.sync_directory("/p"));
    {
        storage::event_count events{machine};  // the opening writes its own marks
        const auto log = open_on(machine, events);
        REQUIRE_FALSE(log->sync());
        log->close();
    }
    std::string path = "/p/";
    offset base = -1;
    for (const auto& [name, content] : logs.files) {
        if (const auto found = storage::parse_segment_name(name, ".log"); found && *found <= first && *found > base) {
            base = *found;
            path = "/p/" + name;
        }
    }
    std::error_code code;
    const auto file = machine.open(path, os::open_mode::read_write, code);
    REQUIRE(file);
    std::uint64_t size = 0;
    REQUIRE_FALSE(file->size(size));
    std::vector<std::byte> content(static_cast<std::size_t>(size));
    REQUIRE_FALSE(file->read_at(0, content));
    const std::string text(reinterpret_cast<const char*>(content.data()), content.size());
    for (offset at = first; at < last; at += first == 120 ? 10 : 1) {
        const std::size_t place = frame_with(text, at).at + 45;
        content[place] ^= std::byte{0x20};
        REQUIRE_FALSE(file->write_at(place, bytes{content}.subspan(place, 1)));
    }
    REQUIRE_FALSE(file->sync());
}

/// Of a segment in front of where recovery begins, the checkpoint is synced before the segment.
std::uint64_t syncs_until_mended(offset first) { return first < 190 ? 2 : 1; }

}  // namespace

TEST_CASE("whoever dies in a repair, and however, leaves what was rotten rotten or mended, and nothing wrong", "[storage][frame_repair][power]") {
    pair logs;
    const auto [first, last] = GENERATE(std::pair<offset, offset>{17, 19}, std::pair<offset, offset>{120, 130}, std::pair<offset, offset>{196, 198});
    CAPTURE(first, last);
    powerless_platform machine{disk_state{}};
    rot_on(machine, logs, first, last);
    std::vector<disk_state> states;
    bool is_done = false;
    {
        storage::event_count events{machine};
        const auto log = open_on(machine, events);
        log->set_high_watermark(200);
        REQUIRE(damage_in(*log) == std::vector<storage::offset_range>{{first, last}});
        frame_bytes frames;
        REQUIRE_FALSE(logs.whole.log->read_frames(first, last, mib, frames));
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        const std::uint64_t nth = GENERATE(std::uint64_t{0}, std::uint64_t{1});
        if (nth > 0) {
            machine.fail_sync(syncs_until_mended(first));
        }
        const failure why = log->repair(frames);
        CHECK((why.code == std::errc::io_error) == (nth > 0));
        is_done = !why;
        states.push_back(machine.look());
        if (nth > 0) {
            CHECK(log->upkeep(std::chrono::seconds{5}).why.code == errc::partition_failed);  // the sync is not tried again
        }
        machine.on_call(nullptr);
        machine.unplug();
    }
    std::size_t mended = 0;
    std::size_t rotten = 0;
    seeded chance{7};
    const auto check = [&](disk_state disk, bool has_to_be_mended = false) {
        powerless_platform later{std::move(disk)};
        storage::event_count events{later};
        const auto log = open_on(later, events);
        REQUIRE(log->log_end_offset() == 200);
        log->set_high_watermark(200);
        const auto found = damage_in(*log);
        check_none_is_wrong(*log, found);
        (found.empty() ? mended : rotten) += 1;
        REQUIRE((found.empty() || !has_to_be_mended));
        for (const auto& range : found) {  // and it can be mended still
            frame_bytes frames;
            REQUIRE_FALSE(logs.whole.log->read_frames(range.first, range.last, mib, frames));
            REQUIRE(log->repair(frames).text == "");
        }
        REQUIRE(damage_in(*log).empty());
        check_none_is_wrong(*log, {});
        later.unplug();
    };
    for (const auto& state : states) {
        check(state);  // killed: the page cache stays
        const loss_of_power loss{state};
        check(loss.decide_nothing());
        check(loss.decide_everything());
        for (int i = 0; i < 24; ++i) {
            crash_choice choice;
            for (const auto& thing : loss.things()) {
                choice.options.push_back(static_cast<std::uint16_t>(chance.below(thing.options())));
            }
            choice.tear = i % 2 == 0 ? chance.next() : 0;
            check(loss.decide(choice));
        }
    }
    if (is_done) {
        check(loss_of_power{states.back()}.decide_nothing(), true);
    }
    CHECK(mended > 2);
    CHECK(rotten > 2);
}

TEST_CASE("what was mended, and could not be synced, is on the disk once the log has been opened again", "[storage][frame_repair][power]") {
    pair logs;
    const auto [first, last] = GENERATE(std::pair<offset, offset>{17, 19}, std::pair<offset, offset>{120, 130}, std::pair<offset, offset>{196, 198});
    CAPTURE(first, last);
    powerless_platform machine{disk_state{}};
    rot_on(machine, logs, first, last);
    const auto how = GENERATE(0, 1, 2);
    disk_state killed;  // the page cache stays
    {
        storage::event_count events{machine};
        const auto log = open_on(machine, events);
        log->set_high_watermark(200);
        frame_bytes frames;
        REQUIRE_FALSE(logs.whole.log->read_frames(first, last, mib, frames));
        machine.fail_sync(syncs_until_mended(first));
        REQUIRE(log->repair(frames).code == std::errc::io_error);
        REQUIRE(machine.failed_syncs() == 1);
        machine.fail_sync(0);
        if (how == 0) {
            log->close();
        }
        if (how == 2) {
            CHECK(log->upkeep(std::chrono::seconds{5}).why.code == errc::partition_failed);
        }
        killed = machine.look();
        machine.unplug();
    }
    disk_state later;
    {
        powerless_platform again{killed};
        storage::event_count events{again};
        const auto log = open_on(again, events);
        CHECK(log->report().moved_segments == 1);
        log->set_high_watermark(200);
        CHECK(damage_in(*log).empty());
        later = again.look();
        again.unplug();
    }
    powerless_platform without_power{loss_of_power{later}.decide_nothing()};
    storage::event_count events{without_power};
    const auto log = open_on(without_power, events);
    log->set_high_watermark(200);
    CHECK(damage_in(*log).empty());
    check_none_is_wrong(*log, {});
    without_power.unplug();
}

TEST_CASE("a repair that recovery could not be told of is not begun, and can be made later", "[storage][frame_repair][fault]") {
    pair logs;
    logs.damage(17);
    logs.broken.become(logs.files);
    storage::log& log = logs.broken.open();
    log.set_high_watermark(200);
    logs.broken.platform.inject({.on = operation::sync, .number = EIO, .path = "checkpoint"});
    CHECK(logs.mend({17, 18}).code == std::errc::io_error);
    CHECK(damage_in(log) == std::vector<storage::offset_range>{{17, 18}});
    CHECK(logs.mend({17, 18}).text == "");
    CHECK(damage_in(log).empty());
    CHECK(log.sync().text == "");
}

TEST_CASE("damage is found wherever it is, and mended with what another log has", "[storage][frame_repair]") {
    pair logs;
    CHECK(damage_in(logs.broken.open()).empty());
    logs.broken.close();
    for (const offset at : {0, 17, 18, 120, 150}) {
        logs.damage(at);
    }
    logs.broken.become(logs.files);
    storage::log& log = logs.broken.open();
    const std::vector<storage::offset_range> expected{{0, 1}, {17, 19}, {120, 130}, {150, 151}};
    CHECK(damage_in(log) == expected);
    CHECK(damage_in(log, 300) == expected);
    CHECK(damage_in(log, 1) == expected);
    for (const auto& range : expected) {
        CHECK(read_from(log, range.first).why.code == errc::corrupt_record);
        CHECK(logs.mend(range).text == "");
        CHECK(logs.mend(range).code == errc::illegal_state);  // it is whole
    }
    CHECK(damage_in(log).empty());
    const auto read = read_from(log, 0);
    CHECK(read.why.text == "");
    logs.whole.log->set_high_watermark(200);
    CHECK(difference(read.records, read_from(*logs.whole.log, 0).records) == "");
    logs.broken.wake_up_with(logs.broken.files());
    CHECK(damage_in(logs.broken.open()).empty());
    CHECK(difference(read_from(*logs.broken.log, 0).records, read.records) == "");
}

TEST_CASE("what takes offsets of the next segment is damaged, though its checksum is right", "[storage][frame_repair]") {
    pair logs;
    std::string& content = logs.file_of(0);
    frame_place last{};
    for (const frame_place& frame : frames_of(content)) {
        last = frame.kind() == format::frame_kind::data ? frame : last;
    }
    format::frame_header header = last.header;
    header.attributes = format::attributes_of(format::frame_kind::filler);
    header.count = 2;
    header.checksum = format::checksum_of(peek<format::segment_birth>(content, 0).seed, static_cast<position>(last.at), header,
                                          reinterpret_cast<const std::byte*>(content.data()) + last.at);
    poke(content, last.at, header);
    const offset bad = header.base_offset;
    REQUIRE(frames_of(content).back().header.base_offset == bad + 1);
    logs.broken.become(logs.files);
    logs.broken.open();
    CHECK(damage_in(*logs.broken.log) == std::vector<storage::offset_range>{{bad, bad + 1}});
    check_none_is_wrong(*logs.broken.log, {{bad, bad + 1}});
    CHECK(logs.mend({bad, bad + 1}).text == "");
    CHECK(damage_in(*logs.broken.log).empty());
    check_none_is_wrong(*logs.broken.log, {});
}

TEST_CASE("a log whose sync has failed says why, also when a repair cannot be synced either", "[storage][frame_repair][fault]") {
    pair logs;
    logs.damage(17);
    logs.broken.become(logs.files);
    storage::log& log = logs.broken.open();
    log.set_high_watermark(200);
    REQUIRE(lead(log, wire_nth(200), 1) == 200);
    logs.broken.platform.fail(operation::sync);
    const failure why = log.sync();
    REQUIRE(why.code == errc::partition_failed);
    logs.broken.platform.fail(operation::sync);
    CHECK(logs.mend({17, 18}).code == std::errc::io_error);
    CHECK(log.sync().code == errc::partition_failed);
    CHECK(log.sync().text == why.text);
    CHECK(logs.broken.keep_up().why.text == why.text);
}

TEST_CASE("what does not cover a damaged range exactly mends nothing", "[storage][frame_repair]") {
    pair logs;
    logs.damage(17);
    logs.damage(18);
    logs.broken.become(logs.files);
    storage::log& log = logs.broken.open();
    const auto has_range = [&] { return damage_in(log) == std::vector<storage::offset_range>{{17, 19}}; };
    CHECK(logs.mend({17, 18}).code == errc::corrupt_record);
    CHECK(logs.mend({17, 20}).code == errc::corrupt_record);
    CHECK(logs.mend({18, 19}).code == errc::illegal_state);
    CHECK(logs.mend({40, 41}).code == errc::illegal_state);
    CHECK(has_range());
    frame_bytes frames;
    REQUIRE_FALSE(logs.whole.log->read_frames(17, 19, mib, frames));
    frames[60] ^= std::byte{1};
    CHECK(log.repair(frames).code == errc::corrupt_record);
    CHECK(log.repair({}).code == errc::corrupt_record);
    frame_bytes larger = wire_at(wire_lone(std::nullopt, std::string(500, 'x'), 1), 17, 1);
    const frame_bytes second = wire_at(wire_nth(18), 18, 1);
    larger.insert(larger.end(), second.begin(), second.end());
    CHECK(log.repair(larger).code == errc::record_too_large);
    CHECK(has_range());
}

TEST_CASE("what was larger where it is damaged leaves room that readers pass over", "[storage][frame_repair]") {
    pair logs;
    logs.damage(120);
    logs.broken.become(logs.files);
    storage::log& log = logs.broken.open();
    format::frame_header header{};  // the other log has nothing left of it
    header.size = static_cast<std::int32_t>(format::frame_header_size);
    header.attributes = format::attributes_of(format::frame_kind::filler);
    header.base_offset = 120;
    header.leader_epoch = 1;
    header.count = 10;
    frame_bytes filler(format::frame_header_size);
    format::store_wire(filler.data(), header);
    REQUIRE(log.repair(filler).text == "");
    CHECK(damage_in(log).empty());
    const auto read = read_from(log, 0);
    CHECK(read.why.text == "");
    CHECK(read.records.size() == 190);
    CHECK(difference(read_from(log, 125).records, numbered(130, 200)) == "");
    CHECK(read_from(logs.broken.open(), 0).records.size() == 190);
    CHECK(logs.broken.log->report().damages.empty());
}

}  // namespace storage_frame_repair_test
