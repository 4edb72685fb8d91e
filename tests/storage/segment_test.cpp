#include <brook/storage/segment.hpp>  // first, so that it must stand alone

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_segment_test {

using namespace brook;
using namespace brook::test;
using brook::storage::index_interval;
using brook::storage::tail_word;

TEST_CASE("a tail word keeps records and bytes apart, and says when it is sealed", "[storage][segment]") {
    constexpr tail_word tail{5, 1'000};
    STATIC_REQUIRE(tail.records() == 5);
    STATIC_REQUIRE(tail.end() == 1'000);
    STATIC_REQUIRE(tail.end_or_sealed() == 1'000);
    STATIC_REQUIRE_FALSE(tail.is_sealed());
    STATIC_REQUIRE(tail.plus(3, 48).records() == 8);
    STATIC_REQUIRE(tail.plus(3, 48).end() == 1'048);
    constexpr tail_word sealed = tail.sealed();
    STATIC_REQUIRE(sealed.is_sealed());
    STATIC_REQUIRE(sealed.records() == 5);
    STATIC_REQUIRE(sealed.end() == 1'000);
    STATIC_REQUIRE(sealed.end_or_sealed() > 0x7fff'ffff);  // larger than any segment is ready for
    STATIC_REQUIRE(sealed.sealed().raw() == sealed.raw());

    constexpr tail_word full{0xffff'ffff, 0x7fff'ffff};
    STATIC_REQUIRE(full.records() == 0xffff'ffff);
    STATIC_REQUIRE(full.end() == 0x7fff'ffff);
    STATIC_REQUIRE_FALSE(full.is_sealed());
}

TEST_CASE("each index slot tells of the frame that covers its byte", "[storage][segment]") {
    partition orders{{.segment_bytes = 1 * mib}};
    orders.open();
    failure why;
    std::int64_t count = 0;
    for (const std::size_t size : {10u, 4'000u, 100u, 20'000u, 8u, 4'096u, 8'192u, 1u, 300u, 70'000u, 50u}) {
        REQUIRE(append(*orders.log, std::nullopt, std::string(size, 'x'), 0, why) == count++);
    }
    const bool is_recovered = GENERATE(false, true);
    if (is_recovered) {
        image left = orders.kill();
        left.erase("00000000000000000000.index");
        orders.become(left);
        orders.open();
    }
    const image files = orders.files();
    const std::string& index = files.at("00000000000000000000.index");
    std::uint32_t slots = 0;
    for (const auto& frame : frames_of(files.at("00000000000000000000.log"))) {
        for (std::size_t k = (frame.at + index_interval - 1) / index_interval; k * index_interval < frame.end(); ++k) {
            const auto slot = peek<storage::index_slot>(index, k * sizeof(storage::index_slot));
            CHECK(slot.at == frame.at);
            CHECK(slot.relative_offset == frame.header.base_offset);
            ++slots;
        }
    }
    CHECK(slots == frames_end(files.at("00000000000000000000.log")) / index_interval);
    for (offset wanted = 0; wanted < count; ++wanted) {
        CHECK(read_from(*orders.log, wanted).records.size() == static_cast<std::size_t>(count - wanted));
    }
}

TEST_CASE("a segment without an index is read all the same", "[storage][segment][fault]") {
    partition orders{{.segment_bytes = 16 * kib}};
    orders.open();
    append_range(*orders.log, 0, 500);
    REQUIRE(orders.log->sync().text == "");
    orders.keep_up();
    orders.close();
    orders.platform.inject({.on = GENERATE(operation::open, operation::allocate, operation::map), .number = ENOSPC, .lasting = true, .path = ".index"});
    orders.open();
    for (const offset wanted : {0, 100, 333, 499, 500}) {
        CHECK(difference(read_from(*orders.log, wanted).records, numbered(wanted, 500)) == "");
    }
    failure why;
    CHECK(orders.log->offset_for_time(time_of(321), why) == 321);
}

TEST_CASE("a sync that succeeds takes back its own doubt, and no other", "[storage][segment][fault]") {
    using storage::doubt;
    partition orders{{.segment_bytes = 64 * kib}};
    storage::segment_directory files{orders.platform, orders.path(), orders.name};
    const bool has_index = GENERATE(true, false);
    CAPTURE(has_index);
    failure why;
    storage::segment_pin made = files.create(100, 64 * kib, 4 * kib, why);
    REQUIRE(made);
    if (!has_index) {
        orders.platform.inject({.on = operation::open, .number = EMFILE, .lasting = true, .path = ".index"});
        made = files.open(files.log_path(100), files.index_path(100), why);
        REQUIRE(made);
    }
    REQUIRE(made->has_index() == has_index);
    const doubt at_first = has_index ? doubt::none : doubt::is_syncing;  // without one, nobody knows
    CHECK(made->doubt() == at_first);
    std::vector<doubt> meanwhile;
    orders.platform.on_call([&](operation which, const std::string&) {
        if (which == operation::sync) {
            meanwhile.push_back(made->doubt());
        }
    });
    REQUIRE_FALSE(made->sync());
    CHECK(made->doubt() == at_first);
    orders.platform.fail(operation::sync);
    CHECK(made->sync() == std::errc::io_error);
    CHECK(made->doubt() == doubt::has_failed);
    REQUIRE_FALSE(made->sync());
    CHECK(made->doubt() == doubt::has_failed);
    CHECK(meanwhile == std::vector{doubt::is_syncing, doubt::is_syncing, doubt::has_failed});
    orders.platform.heal();
    const auto opened = files.open(files.log_path(100), files.index_path(100), why);
    REQUIRE(opened);
    CHECK(opened->doubt() == doubt::has_failed);
    opened->set_doubt(doubt::none);
    CHECK(opened->doubt() == doubt::none);
    CHECK(opened->slot(0).at == 0);  // no look-up takes it for a frame
}

TEST_CASE("nothing is seen of a file beyond its end", "[storage][segment]") {
    partition orders{{.segment_bytes = 64 * kib}};
    storage::segment_directory files{orders.platform, orders.path(), orders.name};
    failure why;
    const storage::segment_pin made = files.create(100, 64 * kib, 4 * kib, why);
    REQUIRE(made);
    CHECK(made->readable() == 4 * kib);
    CHECK(made->capacity() == 64 * kib);
    CHECK(made->word(256).is_empty());
    CHECK(made->word(4 * kib - format::frame_header_size).is_empty());
    CHECK(made->word(4 * kib - 8).is_empty());  // there, and yet no frame can begin so late
    CHECK(made->word(64 * kib).is_empty());     // not there: a touch would be the end
    CHECK(made->word(0x7fff'fff8).is_empty());
    CHECK(made->slot(0).at == 0);
    CHECK(made->slot(1'000'000).at == 0);
}

TEST_CASE("a pin keeps the memory, and letting go of it gives it back when nobody has one", "[storage][segment]") {
    partition orders;
    storage::segment_directory files{orders.platform, orders.path(), orders.name};
    failure why;
    storage::segment home{7, files.create(7, 64 * kib, 64 * kib, why), tail_word{0, 256}};
    CHECK(home.base == 7);
    CHECK(home.limit == 64 * kib - format::frame_header_size);
    storage::segment_pin pin = home.pin();
    REQUIRE(pin);
    home.release();
    CHECK(home.pin() == pin);
    pin.reset();
    CHECK_FALSE(home.pin());
    const storage::segment_pin again = files.open(files.log_path(7), files.index_path(7), why);
    REQUIRE(again);
    home.lend(again);
    CHECK(home.pin() == again);

    storage::segment on_disk{9};
    CHECK_FALSE(on_disk.pin());
    CHECK(tail_word{on_disk.tail.load()}.is_sealed());
}

}  // namespace storage_segment_test
