#include <brook/storage/log_epochs.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <brook/format/checkpoint.hpp>
#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/wire.hpp"

namespace storage_log_epochs_test {

using namespace brook;
using namespace brook::test;

namespace {

using starts = std::vector<format::epoch_start>;

storage::log_options replicated(std::uint32_t segment_bytes = 64 * kib) {
    storage::log_options options{.segment_bytes = segment_bytes};
    options.is_replicated = true;
    return options;
}

std::string& file_of(image& files, offset at) {
    std::string* found = nullptr;
    for (auto& [name, content] : files) {
        if (const auto base = storage::parse_segment_name(name, ".log"); base && *base <= at) {
            found = &content;
        }
    }
    return *found;
}

void damage(image& files, offset at) {
    std::string& file = file_of(files, at);
    flip_bit(file, (frame_with(file, at).at + 45) * 8);
}

/// As a version of brook that knew of none, or somebody who has 128 bytes to write, leaves the checkpoint.
void forget_epochs(image& files) {
    std::string& content = files.at("checkpoint");
    for (std::size_t slot = 0; slot < format::checkpoint_file_size; slot += format::checkpoint_slot_size) {
        content.replace(slot + 128, format::checkpoint_slot_size - 128, format::checkpoint_slot_size - 128, '\0');
    }
}

/// {1, 0}, {3, 100}: 300 records in several segments or in one, all on the disk and on a majority; closed.
image two_epochs(partition& orders) {
    lead_range(orders.open(), 0, 100, 1);
    lead_range(*orders.log, 100, 300, 3);
    orders.log->set_high_watermark(300);
    REQUIRE_FALSE(orders.log->sync());
    REQUIRE_FALSE(orders.keep_up().why);
    orders.close();
    return orders.files();
}

}  // namespace

TEST_CASE("whichever frame rots, the epochs that the checkpoint tells of are what they were", "[storage][log_epochs]") {
    partition orders{replicated(GENERATE(4 * kib, 64 * kib))};
    const image intact = two_epochs(orders);
    for (offset bad = 0; bad < 300; ++bad) {
        CAPTURE(bad);
        image files = intact;
        damage(files, bad);
        orders.wake_up_with(files);
        CHECK(epochs_of(orders.open()) == starts{{1, 0}, {3, 100}});
        CHECK(orders.log->last_epoch() == 3);
        CHECK(orders.log->end_of_epoch(1) == 100);
        CHECK(orders.log->end_of_epoch(2) == 100);
        CHECK(orders.log->end_of_epoch(3) == 300);
    }
}

TEST_CASE("where nothing tells of them, no epoch is said to reach further than it does, and what is not known is said", "[storage][log_epochs]") {
    partition orders{replicated(GENERATE(4 * kib, 64 * kib))};
    image intact = two_epochs(orders);
    forget_epochs(intact);
    for (offset bad = 0; bad < 300; ++bad) {
        const offset count = GENERATE(1, 7);
        CAPTURE(bad, count);
        image files = intact;
        for (offset n = bad; n < bad + count && n < 300; ++n) {
            damage(files, n);
        }
        orders.wake_up_with(files);
        storage::log& log = orders.open();
        failure why;
        const starts found = log.epochs(why).starts();
        const bool is_hidden = bad == 0 || bad + count >= 300 || (bad <= 100 && bad + count >= 100);
        CHECK(static_cast<bool>(why) == is_hidden);
        CHECK((!why || why.code == errc::corrupt_record));
        const offset boundary = is_hidden && bad > 0 && bad < 100 ? bad : 100;
        CHECK(found == starts{{1, 0}, {3, boundary}});
        CHECK(log.end_of_epoch(1) == boundary);
        CHECK(log.last_epoch() == 3);
    }
}

TEST_CASE("a log of which no frame is left is not taken for an empty one", "[storage][log_epochs]") {
    partition orders{replicated(4 * kib)};
    image files = two_epochs(orders);
    for (offset bad = 0; bad < 300; ++bad) {
        damage(files, bad);
    }
    const bool is_told = GENERATE(false, true);
    if (!is_told) {
        forget_epochs(files);
    }
    orders.wake_up_with(files);
    storage::log& log = orders.open();
    REQUIRE(log.log_end_offset() == 300);
    failure why;
    const starts found = log.epochs(why).starts();
    CHECK(log.last_epoch() == 3);
    CHECK(found == (is_told ? starts{{1, 0}, {3, 100}} : starts{{3, 0}}));
    CHECK((why.code == errc::corrupt_record) == !is_told);
    lead_range(log, 300, 310, 4);
    CHECK(log.epochs(why).starts().back() == format::epoch_start{4, 300});
}

TEST_CASE("what is repaired tells of its epoch", "[storage][log_epochs]") {
    partition orders{replicated()};
    image files = two_epochs(orders);
    partition whole{replicated()};
    REQUIRE(follow(orders.open(), whole.open()).text == "");
    orders.close();
    forget_epochs(files);
    for (const offset bad : {98, 99, 100, 101, 200}) {
        damage(files, bad);
    }
    orders.wake_up_with(files);
    storage::log& log = orders.open();
    failure why;
    CHECK(log.epochs(why).starts() == starts{{1, 0}, {3, 98}});
    CHECK(why.code == errc::corrupt_record);
    frame_bytes frames;
    REQUIRE_FALSE(whole.log->read_frames(98, 102, mib, frames));
    REQUIRE(log.repair(frames).text == "");
    CHECK(epochs_of(log) == starts{{1, 0}, {3, 100}});
    REQUIRE_FALSE(orders.keep_up().why);
    lead_range(log, 300, 310, 5);
    CHECK(epochs_of(orders.open()) == starts{{1, 0}, {3, 100}, {5, 300}});
}

TEST_CASE("epochs are known again after an opening, however many there are", "[storage][log_epochs]") {
    partition orders{replicated(4 * kib)};
    storage::log& log = orders.open();
    starts expected;
    offset end = 0;
    for (std::uint32_t epoch = 2; epoch < 100; epoch += 3) {
        expected.push_back({epoch, end});
        lead_range(log, end, end + 1 + epoch % 7, epoch);
        end += 1 + epoch % 7;
        log.set_high_watermark(end);
        if (epoch % 2 == 0) {
            REQUIRE_FALSE(log.sync());
            REQUIRE_FALSE(orders.keep_up().why);
        }
    }
    CHECK(epochs_of(log) == expected);
    orders.kill();
    CHECK(epochs_of(orders.open()) == expected);
    REQUIRE_FALSE(orders.log->sync());
    REQUIRE_FALSE(orders.keep_up().why);
    CHECK(epochs_of(orders.open()) == expected);
    orders.wake_up_with(orders.files());
    CHECK(epochs_of(orders.open()) == expected);
    CHECK(orders.log->last_epoch() == expected.back().epoch);
}

TEST_CASE("of what was lost or cut the checkpoint tells nothing", "[storage][log_epochs]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 50, 1);
    REQUIRE_FALSE(orders.log->sync());
    lead_range(*orders.log, 50, 60, 2);
    SECTION("by a loss of power") {
        image files = orders.files();
        std::string& file = file_of(files, 50);
        poke(file, frame_with(file, 50).at + 16, std::int64_t{1'000});
        orders.wake_up_with(files);
        CHECK(epochs_of(orders.open()) == starts{{1, 0}});
    }
    SECTION("by a cut, of what was durable") {
        REQUIRE_FALSE(orders.log->sync());
        REQUIRE_FALSE(orders.keep_up().why);
        REQUIRE_FALSE(orders.log->truncate(50));
        CHECK(epochs_of(*orders.log) == starts{{1, 0}});
    }
    lead_range(*orders.log, 50, 55, 3);
    CHECK(epochs_of(*orders.log) == starts{{1, 0}, {3, 50}});
    orders.kill();
    CHECK(epochs_of(orders.open()) == starts{{1, 0}, {3, 50}});
    REQUIRE_FALSE(orders.log->truncate(0));
    lead_range(*orders.log, 0, 5, 2);  // older than what was cut
    orders.kill();
    CHECK(epochs_of(orders.open()) == starts{{2, 0}});
}

}  // namespace storage_log_epochs_test
