#include <brook/storage/frame_walk.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <fstream>
#include <random>
#include <string>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_frame_walk_test {

using namespace brook;
using namespace brook::test;
using brook::storage::frame_view;
using brook::storage::look;
using brook::storage::look_at;
using brook::storage::trust;

namespace {

/// A log of one segment with 200 records, and its memory.
struct walked : partition {
    walked() : partition{{.segment_bytes = 64 * kib}} {
        open();
        append_range(*log, 0, 200);
        storage::log_reader reader = log->reader();
        std::vector<storage::record_range> ranges;
        REQUIRE_FALSE(reader.fetch(1, true, ranges));
        memory = ranges.front().pin;
        frames = frames_of(files().at("00000000000000000000.log"));
    }
    storage::segment_pin memory;
    std::vector<frame_place> frames;
};

}  // namespace

TEST_CASE("a look tells a frame from nothing and from what is not the expected one", "[storage][frame_walk]") {
    walked orders;
    const storage::mapped_segment& memory = *orders.memory;
    frame_view found;
    for (const trust how : {trust::verify, trust::written_here}) {
        REQUIRE(look_at(memory, 256, 0, how, found) == look::frame);
        CHECK(found.at == 256);
        CHECK(found.header.base_offset == 0);
        CHECK(found.offsets_taken() == 1);
        CHECK(found.end() == orders.frames[1].at);
        CHECK(look_at(memory, 256, 1, how, found) == look::corrupt);
        const auto end = static_cast<position>(orders.frames.back().end());
        CHECK(look_at(memory, end, 200, how, found) == look::nothing);
        CHECK(look_at(memory, memory.capacity(), 200, how, found) == look::nothing);
    }
    const auto at = static_cast<position>(orders.frames[7].at);
    std::byte* const body = memory.frame(at) + 41;
    *body ^= std::byte{1};
    CHECK(look_at(memory, at, 7, trust::verify, found) == look::corrupt);
    CHECK(look_at(memory, at, 7, trust::written_here, found) == look::frame);
    *body ^= std::byte{1};

    const auto word = atomic_at<std::uint64_t>(memory.frame(at));
    const std::uint64_t right = word.load();
    for (const std::uint32_t size : {1u, 39u, 0x7fff'ffffu, memory.capacity() - at + 1}) {  // shorter than a header, or beyond the file
        word.store((right & 0xffff'ffff'0000'0000u) | size);
        CHECK(look_at(memory, at, 7, trust::written_here, found) == look::corrupt);
        CHECK(look_at(memory, at, 7, trust::verify, found) == look::corrupt);
    }
    word.store(format::frame_word::published(40, 0, format::extension::known).raw());  // no room for what it names
    CHECK(look_at(memory, at, 7, trust::written_here, found) == look::corrupt);
    word.store(format::frame_word::claimed(64).raw());
    CHECK(look_at(memory, at, 7, trust::verify, found) == look::nothing);
    word.store(right);
}

TEST_CASE("behind damage the next intact frame is found, and no payload passes for one", "[storage][frame_walk]") {
    walked orders;
    const storage::mapped_segment& memory = *orders.memory;
    frame_view found;
    REQUIRE(find_frame(memory, 256, 0, found));
    CHECK(found.header.base_offset == 0);
    REQUIRE(find_frame(memory, static_cast<position>(orders.frames[30].at) + 8, 30, found));
    CHECK(found.at == orders.frames[31].at);
    REQUIRE(find_frame(memory, 256, 57, found));  // not what lies before the expected offset
    CHECK(found.header.base_offset == 57);
    CHECK_FALSE(find_frame(memory, static_cast<position>(orders.frames.back().end()), 0, found));
    CHECK_FALSE(find_frame(memory, memory.capacity() - 8, 0, found));
    CHECK_FALSE(find_frame(memory, 0xffff'fff8, 0, found));
    CHECK_FALSE(find_frame(memory, 0xffff'fffc, 0, found));  // and not from the beginning

    // A record that holds a copy of frames: they were right elsewhere.
    std::string copy(orders.files().at("00000000000000000000.log").substr(256, 1'600));
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, copy, 0, why) == 200);
    append_nth(*orders.log, 201);
    REQUIRE(find_frame(memory, static_cast<position>(orders.frames.back().end()) + 8, 0, found));
    CHECK(found.header.base_offset == 201);
}

TEST_CASE("a walk starts at or before what it looks for, whatever the index says", "[storage][frame_walk]") {
    walked orders;
    const storage::mapped_segment& memory = *orders.memory;
    const auto end = static_cast<position>(orders.frames.back().end());
    REQUIRE(end > 8 * kib);
    const auto check_starts = [&](bool is_close) {
        for (offset wanted = 0; wanted < 200; ++wanted) {
            const auto start = find_start(memory, 0, wanted, end);
            frame_view found;
            REQUIRE(start.next <= wanted);
            REQUIRE(look_at(memory, start.at, start.next, trust::verify, found) == look::frame);
            if (is_close) {
                CHECK(orders.frames[static_cast<std::size_t>(wanted)].at - start.at <= storage::index_interval);
            }
        }
    };
    check_starts(true);
    std::mt19937_64 random{3};
    for (int round = 0; round < 50; ++round) {
        for (std::uint32_t k = 0; k < 4; ++k) {
            memory.note(k * storage::index_interval, 1, static_cast<std::uint32_t>(random() % 250));
        }
        check_starts(false);
    }
    CHECK(find_start(memory, 0, 100, 0).at == 256);
    for (const std::uint32_t at : {8u, 252u, 301u, 4'000u}) {  // no frame begins there, or can
        std::fstream index{orders.path() + "/00000000000000000000.index", std::ios::binary | std::ios::in | std::ios::out};
        for (std::uint32_t k = 1; k < 4; ++k) {
            const storage::index_slot slot{1, at};
            index.seekp(static_cast<std::streamoff>(k * sizeof slot));
            index.write(reinterpret_cast<const char*>(&slot), sizeof slot);
        }
        index.close();
        REQUIRE(memory.slot(2).at == at);
        check_starts(false);
    }
    CHECK(memory.slot(storage::index_slots(memory.capacity())).at == 0);  // no slot of it
}

TEST_CASE("a frame was written in a segment that counts its offsets, and in front of the next one", "[storage][frame_walk]") {
    walked orders;
    frame_view found;
    REQUIRE(look_at(*orders.memory, 256, 0, trust::verify, found) == look::frame);
    storage::segment home{100};
    storage::segment next{120};
    const auto is_in = [&](offset first) {
        found.header.base_offset = first;
        return is_within(home, found);
    };
    CHECK(is_in(119));
    CHECK(is_in(120));
    CHECK(is_in(100 + storage::most_offsets_in_front));
    CHECK_FALSE(is_in(101 + storage::most_offsets_in_front));
    home.next.store(&next);
    CHECK(is_in(119));
    CHECK_FALSE(is_in(120));
}

TEST_CASE("messages name topic, partition, file, position and offset", "[storage][frame_walk]") {
    walked orders;
    CHECK(place_text(orders.name, *orders.memory, 4'711, 42) ==
          "topic 'orders', partition 3: " + orders.path() + "/00000000000000000000.log, position 4711, offset 42");
}

}  // namespace storage_frame_walk_test
