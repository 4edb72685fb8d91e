// Replicated logs that have to give up what was on a majority: an operator has said so, or all replicas may have lost something.
#include <brook/storage/log.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/wire.hpp"

namespace storage_committed_cut_test {

namespace {

using namespace brook;
using namespace brook::test;

std::vector<std::byte> frame_of(std::int64_t n) {
    const std::string value = value_of(n);
    const format::record_sizes sizes{format::null_size, static_cast<std::uint32_t>(value.size()), 0};
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
    std::vector<std::byte> frame(format::frame_length(size));
    copy_bytes(format::lay_out_lone(frame.data(), sizes).value, value.data(), value.size());
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::lone_attributes(sizes);
    header.count = sizes.key;
    header.base_timestamp = time_of(n);
    format::store_wire(frame.data(), header);
    return frame;
}

/// A replicated log on a machine of its own.
class replicated {
public:
    explicit replicated(disk_state from = empty()) : machine_{std::make_unique<powerless_platform>(std::move(from))}, events_{*machine_}, upkeep_{*machine_} {
        storage::log_options options;
        options.segment_bytes = 4 * kib;
        options.is_replicated = true;
        failure why;
        log_ = storage::log::open(storage::segment_directory{*machine_, "/p", {"topic", {}, 0}}, options, events_, upkeep_, why);
        if (!log_) {
            FAIL(why.text);
        }
    }

    storage::log& operator*() noexcept { return *log_; }
    storage::log* operator->() noexcept { return log_.get(); }
    powerless_platform& machine() noexcept { return *machine_; }

    /// Records [first, last) at their numbers, all of them on a majority.
    void commit(std::int64_t first, std::int64_t last, std::uint32_t epoch) {
        for (std::int64_t n = first; n < last; ++n) {
            offset at = -1;
            auto frame = frame_of(n);
            REQUIRE(log_->append_new(frame, epoch, std::nullopt, at).text == "");
            REQUIRE(at == n);
        }
        log_->set_high_watermark(last);
    }

private:
    static disk_state empty() {
        powerless_platform machine{disk_state{}};
        REQUIRE_FALSE(machine.make_directory("/p"));
        REQUIRE_FALSE(machine.sync_directory("/"));
        return machine.look();
    }

    std::unique_ptr<powerless_platform> machine_;
    storage::event_count events_;
    storage::event_count upkeep_;
    std::unique_ptr<storage::log> log_;
};

constexpr std::int64_t count = 200;  // several segments

}  // namespace

TEST_CASE("what is on a majority is cut only by who gives it up", "[storage][log][replication]") {
    replicated log;
    log.commit(0, count, 1);
    CHECK(log->truncate(50).code == errc::illegal_state);
    CHECK(log->start_anew(50).code == errc::illegal_state);
    CHECK(log->high_watermark() == count);
    check_holds(*log, 0, count);
}

TEST_CASE("a log that gives up what was on a majority goes on from the cut, as after a kill or a loss of power", "[storage][log][replication]") {
    const offset to = GENERATE(as<offset>{}, 0, 1, 20, 60, 61, 130, count - 1);
    CAPTURE(to);
    replicated log;
    log.commit(0, count, 3);
    REQUIRE(log->truncate(to, true).text == "");
    CHECK(log->log_end_offset() == to);
    CHECK(log->high_watermark() <= to);
    CHECK(log->durable_offset() == to);
    log->set_high_watermark(to);
    check_holds(*log, 0, to);

    SECTION("in this life") {
        log.commit(to, count + 50, to == 0 ? 2 : 3);  // where nothing is left, what comes may be of an older epoch than what was cut
        check_holds(*log, 0, count + 50);
        CHECK(epochs_of(*log).back().epoch == (to == 0 ? 2u : 3u));
    }
    SECTION("killed") {
        replicated next{log.machine().look()};
        log.machine().unplug();
        CHECK(next->log_end_offset() == to);
        next.commit(to, count + 50, to == 0 ? 2 : 3);
        check_holds(*next, 0, count + 50);
    }
    SECTION("powered off") {
        const disk_state before = log.machine().look();
        log.machine().unplug();
        replicated next{loss_of_power{before}.decide_nothing()};
        CHECK(next->log_end_offset() == to);
        next->set_high_watermark(to);
        check_holds(*next, 0, to);
    }
}

TEST_CASE("readers keep what they hold of records that were given up", "[storage][log][replication]") {
    replicated log;
    log.commit(0, count, 1);
    storage::log_reader reader = log->reader();
    reader.seek(0);
    std::vector<storage::record_range> held;
    while (true) {
        std::vector<storage::record_range> more;
        REQUIRE(reader.fetch(1'000, true, more).text == "");
        if (more.empty()) {
            break;
        }
        for (auto& one : more) {
            held.push_back(std::move(one));
        }
    }
    const bool begins_anew = GENERATE(false, true);
    REQUIRE((begins_anew ? log->start_anew(10, 0, true) : log->truncate(10, true)).text == "");
    std::vector<read_record> records;
    for (const auto& one : held) {
        copy_out(one, records);
    }
    CHECK(difference(records, numbered(0, count)) == "");
    std::vector<storage::record_range> more;
    CHECK(reader.fetch(10, true, more).code == errc::offset_out_of_range);
    log.commit(10, 40, 2);
    CHECK(log->log_end_offset() == 40);
    check_holds(*log, begins_anew ? 10 : 0, 40);
}

TEST_CASE("who has read a part of what was given up is told so, wherever he stands", "[storage][log][replication]") {
    const bool begins_anew = GENERATE(false, true);
    for (offset stands = 11; stands <= count; ++stands) {
        CAPTURE(begins_anew, stands);
        replicated log;
        log.commit(0, count, 1);
        storage::log_reader reader = log->reader();
        reader.seek(0);
        std::vector<storage::record_range> held;
        for (offset left = stands; left > 0;) {
            std::vector<storage::record_range> some;
            REQUIRE(reader.fetch(static_cast<std::uint32_t>(left), true, some).text == "");
            REQUIRE_FALSE(some.empty());
            for (auto& one : some) {
                left -= one.count;
                held.push_back(std::move(one));
            }
        }
        REQUIRE((begins_anew ? log->start_anew(10, 0, true) : log->truncate(10, true)).text == "");
        std::vector<storage::record_range> more;
        CHECK(reader.fetch(10, true, more).code == errc::offset_out_of_range);
        CHECK(more.empty());
    }
}

TEST_CASE("a log begins anew inside of what it has", "[storage][log][replication]") {
    const offset at = GENERATE(as<offset>{}, 0, 7, 100, count, count + 30);
    CAPTURE(at);
    replicated log;
    log.commit(0, count, 5);
    REQUIRE(log->start_anew(at, 0, true).text == "");
    CHECK(log->log_start_offset() == at);
    CHECK(log->log_end_offset() == at);
    CHECK(log->high_watermark() == at);
    log.commit(at, at + 90, 2);
    check_holds(*log, at, at + 90);
    replicated next{log.machine().look()};
    log.machine().unplug();
    CHECK(next->log_start_offset() == at);
    next->set_high_watermark(at + 90);
    check_holds(*next, at, at + 90);
}

TEST_CASE("who dies while records are given up comes to a log that has them, or ends in front of the cut", "[storage][log][replication]") {
    const bool begins_anew = GENERATE(false, true);
    const bool loses_power = GENERATE(false, true);
    for (std::uint64_t k = 0;; ++k) {
        CAPTURE(begins_anew, loses_power, k);
        std::optional<disk_state> inside;
        {
            replicated log;
            log.commit(0, count, 1);
            REQUIRE(log->sync().text == "");
            log.machine().on_call([&inside, left = k](auto& machine, const char*) mutable {
                if (left-- == 0) {
                    inside = machine.state();
                }
            });
            REQUIRE((begins_anew ? log->start_anew(70, 0, true) : log->truncate(70, true)).text == "");
            log.machine().on_call(nullptr);
            log.machine().unplug();
        }
        if (!inside) {
            CHECK(k > 3);
            break;
        }
        replicated next{loses_power ? (k % 2 == 0 ? loss_of_power{*inside}.decide_nothing() : loss_of_power{*inside}.decide_everything()) : *inside};
        const offset start = next->log_start_offset();
        const offset end = next->log_end_offset();
        next->set_high_watermark(end);
        if (begins_anew) {
            CHECK(((start == 0 && end == count) || (start == 70 && end == 70)));
        } else {
            CHECK(start == 0);
            CHECK((end == count || end <= 70));
        }
        check_holds(*next, start, end);
        next.commit(end, end + 30, 2);
        check_holds(*next, start, end + 30);
    }
}

}  // namespace storage_committed_cut_test
