#include <brook/storage/log.hpp>  // first, so that it must stand alone

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <brook/storage/partition_scrub.hpp>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"
#include "support/wire.hpp"

namespace storage_truncation_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t small_segment = 4 * kib;

storage::log_options replicated(std::uint32_t segment_bytes = small_segment) {
    storage::log_options options{.segment_bytes = segment_bytes};
    options.is_replicated = true;
    return options;
}

/// Where the segments of a partition begin, by the names of their files.
std::vector<offset> bases_of(const image& files) {
    std::vector<offset> bases;
    for (const auto& name : names_in(files, ".log")) {
        if (const auto base = storage::parse_segment_name(name, ".log")) {
            bases.push_back(*base);
        }
    }
    return bases;
}

/// Records [first, last) are those of the history that was cut at `cut`, and went on with others.
std::vector<read_record> parted(std::int64_t first, std::int64_t cut, std::int64_t last) {
    std::vector<read_record> records = numbered(first, cut < last ? cut : last);
    for (std::int64_t n = cut; n < last; ++n) {
        records.push_back({n, time_of(n), std::nullopt, "another " + std::to_string(n)});
    }
    return records;
}

void lead_others(storage::log& log, std::int64_t first, std::int64_t last, std::uint32_t epoch) {
    for (std::int64_t n = first; n < last; ++n) {
        REQUIRE(lead(log, wire_lone(std::nullopt, "another " + std::to_string(n), time_of(n)), epoch) == n);
    }
}

/// Looks through the files beside, and finds no damage in them.
brook::partition_report look_through(partition& orders) {
    brook::partition_report report;
    brook::finding_list findings;
    const storage::scrub_rules rules{};
    storage::partition_scrub{orders.platform, orders.path(), orders.name, true, rules, findings}.run(report);
    for (const auto& one : findings) {
        CAPTURE(one.text);
        REQUIRE(one.severity != severity::damage);
    }
    return report;
}

/// All of it, beside its high watermark.
std::vector<read_record> everything(storage::log& log) {
    log.set_high_watermark(log.log_end_offset());
    const reading all = read_from(log, log.log_start_offset());
    CHECK(all.why.text == "");
    return all.records;
}

}  // namespace

TEST_CASE("a log is cut where it is told, in whichever segment, and goes on there", "[storage][truncation]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 200, 3);
    const std::vector<offset> bases = bases_of(orders.files());
    REQUIRE(bases.size() > 3);
    REQUIRE_FALSE(orders.keep_up().why);
    orders.log->set_high_watermark(20);
    const bool is_reopened = GENERATE(false, true);
    const offset to = GENERATE_COPY(offset{199}, offset{198}, offset{20}, offset{100}, bases[2], bases[2] - 1, bases[2] + 1, bases.back());
    CAPTURE(to, is_reopened);
    if (is_reopened) {
        orders.open();
    }
    storage::log& log = *orders.log;
    CHECK(log.high_watermark() == 20);
    const failure why = log.truncate(to);
    CHECK(why.text == "");
    CHECK(log.log_end_offset() == to);
    CHECK(log.last_epoch() == 3);
    CHECK(log.durable_offset() <= to);
    CHECK(bases_of(orders.files()).back() <= to);
    check_holds(log, 0, 20);
    lead_others(log, to, 300, 4);
    CHECK(epochs_of(log) == std::vector<format::epoch_start>{{3, 0}, {4, to}});
    CHECK(difference(everything(log), parted(0, to, 300)) == "");
    REQUIRE_FALSE(orders.keep_up().why);
    CHECK(log.sync().text == "");
    CHECK(log.durable_offset() == 300);
    SECTION("also for who opens it next") {
        CHECK(difference(everything(orders.open()), parted(0, to, 300)) == "");
        CHECK(orders.log->last_epoch() == 4);
        CHECK(orders.log->report().damages.empty());
    }
    SECTION("also after a loss of power") {
        orders.wake_up_with(orders.files());
        CHECK(difference(everything(orders.open()), parted(0, to, 300)) == "");
        CHECK(orders.log->last_epoch() == 4);
        CHECK(orders.log->report().damages.empty());
        CHECK(orders.log->report().cut_bytes == 0);
    }
    SECTION("also for who finds it killed") {
        orders.kill();
        CHECK(difference(everything(orders.open()), parted(0, to, 300)) == "");
    }
}

TEST_CASE("a log is not cut below its high watermark, behind its end, in a batch, or while claims are open", "[storage][truncation]") {
    partition orders{replicated(64 * kib)};
    storage::log& log = orders.open();
    lead_range(log, 0, 10);
    REQUIRE(lead(log, wire_batch(10, 5), 1) == 10);
    lead_range(log, 15, 20);
    log.set_high_watermark(10);
    for (const offset to : {offset{9}, offset{0}, offset{-1}, offset{21}, offset{12}, offset{14}}) {
        CAPTURE(to);
        CHECK(log.truncate(to).code == errc::illegal_state);
    }
    CHECK(log.log_end_offset() == 20);
    CHECK(log.truncate(20).text == "");
    orders.hold(64);
    CHECK(log.truncate(15).code == errc::illegal_state);
    orders.publish_held();
    CHECK(log.truncate(15).text == "");
    CHECK(log.log_end_offset() == 15);
    CHECK(lead(log, wire_nth(15), 2) == 15);
    CHECK(log.truncate(10).text == "");
    CHECK(log.log_end_offset() == 10);

    partition alone;
    CHECK(alone.open().truncate(0).code == errc::illegal_state);
    CHECK(alone.log->start_anew(10).code == errc::illegal_state);
}

TEST_CASE("killed before any call to the system, a truncation has been or has not been", "[storage][truncation]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 200, 3);
    orders.log->set_high_watermark(20);
    REQUIRE_FALSE(orders.keep_up().why);  // footers say that later records are on the disk,
    lead_range(*orders.log, 200, 220, 3);
    REQUIRE_FALSE(orders.log->sync());    // and so does evidence
    REQUIRE(orders.log->durable_offset() == 220);
    const offset base = bases_of(orders.files())[2];
    const offset to = GENERATE_COPY(offset{20}, base, base + 3, offset{215});
    CAPTURE(to);
    std::vector<image> left;
    orders.platform.on_call([&](operation, const std::string&) { left.push_back(orders.files()); });
    REQUIRE(orders.log->truncate(to).text == "");
    orders.platform.on_call(nullptr);
    left.push_back(orders.files());
    CHECK(left.size() > 5);
    std::size_t cut = 0;
    std::size_t told = 0;
    for (const image& files : left) {
        for (const bool is_power_gone : {false, true}) {
            CAPTURE(is_power_gone);
            is_power_gone ? orders.wake_up_with(files) : orders.become(files);
            const brook::partition_report report = look_through(orders);
            told += report.end_offset == to ? 1 : 0;
            REQUIRE((report.end_offset == to || report.end_offset == 220));
            storage::log& log = orders.open();
            const offset end = log.log_end_offset();
            REQUIRE((end == to || end == 220));
            cut += end == to ? 1 : 0;
            REQUIRE(log.report().damages.empty());
            REQUIRE(log.report().filled_gaps == 0);
            REQUIRE(log.last_epoch() == 3);
            lead_others(log, end, end + 30, 5);
            REQUIRE(difference(everything(log), parted(0, end, end + 30)) == "");
            REQUIRE(difference(everything(orders.open()), parted(0, end, end + 30)) == "");  // nothing of it comes back
            REQUIRE(orders.log->report().damages.empty());
        }
    }
    CHECK(cut > 4);
    CHECK(cut < 2 * left.size());
    CHECK(told == cut);
}

TEST_CASE("a loss of power in a truncation leaves the log as it was, or cut, and nothing of the rest comes back", "[storage][truncation][power]") {
    const bool is_anew = GENERATE(false, true);
    CAPTURE(is_anew);
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    const auto open_on = [](powerless_platform& where, storage::event_count& events, failure& why) {
        return storage::log::open({where, "/p", {"t", {}, 0}}, replicated(), events, events, why);
    };
    std::vector<disk_state> states;
    offset to = 0;
    {
        storage::event_count events{machine};
        failure why;
        const auto log = open_on(machine, events, why);
        REQUIRE(log);
        lead_range(*log, 0, 150, 2);
        log->set_high_watermark(40);
        REQUIRE(log->upkeep(1s).why.text == "");
        REQUIRE_FALSE(log->sync());
        lead_range(*log, 150, 155, 2);
        to = is_anew ? 1'000 : 70;
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        REQUIRE((is_anew ? log->start_anew(to, 2) : log->truncate(to)).text == "");
        states.push_back(machine.look());
        lead_others(*log, to, to + 3, 4);
        REQUIRE_FALSE(log->sync());
        machine.on_call(nullptr);
        states.push_back(machine.look());
        machine.unplug();
    }
    std::size_t cut = 0;
    std::size_t seen = 0;
    seeded chance{4};
    const auto check = [&](disk_state disk) {
        ++seen;
        for (int opening = 0; opening < 2; ++opening) {
            powerless_platform later{std::move(disk)};
            storage::event_count events{later};
            failure why;
            const auto log = open_on(later, events, why);
            INFO(why.text);
            REQUIRE(log);
            REQUIRE(log->report().damages.empty());
            const offset start = log->log_start_offset();
            const offset end = log->log_end_offset();
            CAPTURE(start, end, opening);
            REQUIRE((start == 0 || (is_anew && start == to)));
            REQUIRE((start == to || (end >= to && end <= to + 3 && !is_anew) || (end >= 150 && end <= 155)));
            REQUIRE(log->last_epoch() >= 2);
            const bool is_cut = end >= to && end <= to + 3;
            cut += is_cut ? 1 : 0;
            const std::vector<read_record> all = everything(*log);
            const std::vector<read_record> expected = is_anew ? parted(start, is_cut ? to : end, end) : parted(0, is_cut ? to : end, end);
            REQUIRE(difference(all, is_anew && is_cut ? parted(to, to, end) : expected) == "");
            disk = loss_of_power{later.look()}.decide_nothing();  // once more: it must stay as it is
            later.unplug();
        }
    };
    for (const auto& state : states) {
        const loss_of_power loss{state};
        check(loss.decide_nothing());
        check(loss.decide_everything());
        for (int i = 0; i < 12; ++i) {
            crash_choice choice;
            for (const auto& thing : loss.things()) {
                choice.options.push_back(static_cast<std::uint16_t>(chance.below(thing.options())));
            }
            check(loss.decide(choice));
        }
    }
    CHECK(cut > 4);
    CHECK(cut < 2 * seen);
}

TEST_CASE("a look at the files beside a truncation takes nothing that it cuts for damage", "[storage][truncation][verify]") {
    const offset to = GENERATE(20, 100, 215);
    std::size_t begun = 0;
    for (std::uint64_t nth = 1;; ++nth) {
        CAPTURE(nth, to);
        partition orders{replicated()};
        lead_range(orders.open(), 0, 200, 3);
        orders.log->set_high_watermark(20);
        REQUIRE_FALSE(orders.keep_up().why);
        lead_range(*orders.log, 200, 220, 3);
        REQUIRE_FALSE(orders.log->sync());
        faulty_platform beside;
        std::uint64_t calls = 0;
        bool is_cut = false;
        beside.on_call([&](operation, const std::string&) {
            if (++calls == nth && !is_cut) {
                is_cut = true;
                REQUIRE(orders.log->truncate(to).text == "");
                lead_others(*orders.log, to, to + 40, 5);
                REQUIRE_FALSE(orders.log->sync());
                REQUIRE_FALSE(orders.keep_up().why);
            }
        });
        brook::partition_report report;
        brook::finding_list findings;
        const storage::scrub_rules rules{};
        storage::partition_scrub{beside, orders.path(), orders.name, true, rules, findings}.run(report);
        for (const auto& one : findings) {
            CAPTURE(one.text);
            CHECK(one.severity != severity::damage);
        }
        beside.on_call(nullptr);
        begun += is_cut ? 1 : 0;
        if (!is_cut) {
            break;
        }
    }
    CHECK(begun > 5);
}

TEST_CASE("where the disk refuses in the middle of a truncation, the next opening brings it to its end", "[storage][truncation]") {
    std::size_t failed = 0;
    for (std::uint64_t nth = 1;; ++nth) {
        CAPTURE(nth);
        partition orders{replicated()};
        lead_range(orders.open(), 0, 200, 3);
        orders.log->set_high_watermark(20);
        REQUIRE_FALSE(orders.keep_up().why);
        orders.platform.fail_any(nth);
        const failure why = orders.log->truncate(90);
        orders.platform.heal();
        const offset end = orders.log->log_end_offset();
        check_holds(*orders.log, 0, 20);
        offset first = 0;
        frame_bytes more = wire_nth(90);
        const failure refused = orders.log->append_new(more, 4, std::nullopt, first);
        if (!why) {
            CHECK_FALSE(refused);
            orders.close();
            CHECK(orders.open().log_end_offset() == 91);
        } else {
            ++failed;
            if (refused) {
                CHECK(refused.code == errc::partition_failed);
                CHECK(orders.keep_up().why.code == errc::partition_failed);  // upkeep goes on, and leaves it alone
                static_cast<void>(orders.log->sync());
            }
            orders.close();
            const offset reached = orders.open().log_end_offset();
            CHECK((reached == 90 || reached == end + (refused ? 0 : 1)));
            CHECK(orders.log->report().damages.empty());
        }
        if (!why && nth > 30) {
            break;
        }
    }
    CHECK(failed > 5);
}

TEST_CASE("a cut that the disk has refused in the middle is the same cut for the next opening, whoever closes or looks after the log", "[storage][truncation]") {
    const bool is_anew = GENERATE(false, true);
    enum class after { kill, close, upkeep };
    std::size_t failed = 0;
    for (const after then : {after::kill, after::close, after::upkeep}) {
        for (std::uint64_t nth = 1;; ++nth) {
            CAPTURE(is_anew, nth, static_cast<int>(then));
            partition orders{replicated(is_anew ? small_segment : 64 * kib)};
            lead_range(orders.open(), 0, 200);
            orders.log->set_high_watermark(is_anew ? 200 : 20);
            REQUIRE_FALSE(orders.log->sync());
            REQUIRE_FALSE(orders.keep_up().why);
            if (is_anew) {
                orders.platform.inject({.on = operation::remove, .call = nth, .lasting = true, .path = ".log"});
            } else {
                orders.platform.fail_any(nth);
            }
            const failure why = is_anew ? orders.log->start_anew(150, 0, true) : orders.log->truncate(90);
            orders.platform.heal();
            if (!why) {
                if (nth > 30) {
                    break;
                }
                continue;
            }
            ++failed;
            if (then == after::kill) {
                orders.kill();
            }
            if (then == after::upkeep) {
                static_cast<void>(orders.keep_up());
                failure refused;
                static_cast<void>(orders.log->producer(1, refused));  // is noted in the checkpoint, too
                orders.kill();
            }
            storage::log& log = orders.open();
            const offset start = log.log_start_offset();
            const offset end = log.log_end_offset();
            CHECK(log.report().damages.empty());
            if (is_anew) {
                CHECK((start == 150 && end == 150));
                lead_others(log, 150, 160, 2);
                CHECK(difference(everything(log), parted(150, 150, 160)) == "");
            } else {
                CHECK(start == 0);
                CHECK((end == 90 || end == 200));
                lead_others(log, end, end + 10, 2);
                CHECK(difference(everything(log), parted(0, end, end + 10)) == "");
            }
        }
    }
    CHECK(failed > 8);
}

TEST_CASE("what would have to be moved and is damaged keeps a log from being cut", "[storage][truncation]") {
    partition orders{replicated(64 * kib)};
    lead_range(orders.open(), 0, 200);
    orders.log->set_high_watermark(200);
    REQUIRE_FALSE(orders.log->sync());
    REQUIRE_FALSE(orders.keep_up().why);
    orders.close();
    image files = orders.files();
    std::string& file = files.at("00000000000000000000.log");
    flip_bit(file, (frame_with(file, 50).at + 45) * 8);
    orders.wake_up_with(files);
    storage::log& log = orders.open();
    for (const offset to : {51, 52, 120}) {
        CAPTURE(to);
        CHECK(log.truncate(to, true).code == errc::corrupt_record);
        CHECK(log.log_end_offset() == 200);
    }
    CHECK(read_from(log, 51).records.size() == 149);  // nothing was touched
    CHECK(lead(log, wire_nth(200), 1) == 200);
    CHECK(log.truncate(50, true).text == "");
    CHECK(log.log_end_offset() == 50);
    CHECK(log.truncate(20, true).text == "");
    log.set_high_watermark(20);
    check_holds(log, 0, 20);
}

TEST_CASE("records that were deleted stay deleted when the batch that they were in is moved by a cut", "[storage][truncation]") {
    partition orders{replicated(64 * kib)};
    storage::log& log = orders.open();
    REQUIRE(lead(log, wire_batch(0, 20), 1) == 0);
    lead_range(log, 20, 40);
    log.set_high_watermark(40);
    REQUIRE(log.delete_records(7).text == "");
    const offset to = GENERATE(20, 30, 39);
    REQUIRE(log.truncate(to, true).text == "");
    CHECK(log.log_start_offset() == 7);
    CHECK(log.log_end_offset() == to);
    CHECK(read_from(log, 6).why.code == errc::offset_out_of_range);
    log.set_high_watermark(to);
    const auto read = read_from(log, 7);
    CHECK(read.why.text == "");
    CHECK(read.records.size() == static_cast<std::size_t>(to - 7));
    orders.open();
    CHECK(orders.log->log_start_offset() == 7);
    CHECK(read_from(*orders.log, 7).records == read.records);
}

TEST_CASE("a reader that looks at the seal that is cut away sees the end of the log, and no damage", "[storage][truncation][threads]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 100);
    orders.log->set_high_watermark(100);
    const offset base = bases_of(orders.files())[1];
    for (int round = 0; round < 40; ++round) {
        storage::log& log = *orders.log;
        REQUIRE_FALSE(orders.keep_up().why);  // the segment is on the disk: what is not a frame there is damage
        std::atomic<bool> is_reading{false};
        std::atomic<bool> is_over{false};
        failure why;
        std::thread consumer{[&] {
            storage::log_reader reader = log.reader();
            std::vector<storage::record_range> ranges;
            while (!is_over && !why) {
                ranges.clear();
                reader.seek(base - 1);
                why = reader.fetch(1, true, ranges);  // up to the seal,
                is_reading = true;
                if (!why) {
                    why = reader.fetch(1, true, ranges);  // and over it
                }
            }
        }};
        while (!is_reading) {
            orders.platform.yield();
        }
        const failure refused = log.truncate(base, true);
        is_over = true;
        consumer.join();
        CHECK(refused.text == "");
        REQUIRE((!why || why.code == errc::offset_out_of_range));
        lead_range(log, base, 100);
        log.set_high_watermark(100);
    }
}

TEST_CASE("a sync that failed while a log was cut is made up for by the next opening", "[storage][truncation]") {
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    storage::event_count events{machine};
    failure why;
    auto log = storage::log::open({machine, "/p", {"t", {}, 0}}, replicated(), events, events, why);
    REQUIRE(log);
    lead_range(*log, 0, 60, 1);
    REQUIRE(log->upkeep(1s).why.text == "");
    REQUIRE_FALSE(log->sync());
    const std::uint64_t nth = GENERATE(1u, 2u, 3u);
    machine.fail_sync(nth);
    const failure failed = log->truncate(10);
    CHECK(failed);
    log.reset();
    why = {};
    log = storage::log::open({machine, "/p", {"t", {}, 0}}, replicated(), events, events, why);
    INFO(why.text);
    REQUIRE(log);
    const offset end = log->log_end_offset();
    CHECK((end == 10 || (nth == 1 && end == 60)));
    lead_others(*log, end, end + 5, 3);
    REQUIRE_FALSE(log->sync());
    powerless_platform later{loss_of_power{machine.look()}.decide_nothing()};
    storage::event_count later_events{later};
    const auto again = storage::log::open({later, "/p", {"t", {}, 0}}, replicated(), later_events, later_events, why);
    REQUIRE(again);
    CHECK(again->report().damages.empty());
    CHECK(difference(everything(*again), parted(0, end, end + 5)) == "");
    log.reset();
    machine.unplug();
    later.unplug();
}

TEST_CASE("a truncation that could not be written down for sure is written again before a segment goes by it", "[storage][truncation][power]") {
    bool was_cut = false;
    for (std::uint64_t chance = 1; chance <= 8; ++chance) {
        CAPTURE(chance);
        powerless_platform machine{disk_state{}};
        REQUIRE_FALSE(machine.make_directory("/p"));
        REQUIRE_FALSE(machine.sync_directory("/"));
        const auto open_on = [](powerless_platform& where, storage::event_count& events) {
            failure why;
            auto log = storage::log::open({where, "/p", {"t", {}, 0}}, replicated(), events, events, why);
            INFO(why.text);
            REQUIRE(log);
            return log;
        };
        storage::event_count events{machine};
        auto log = open_on(machine, events);
        lead_range(*log, 0, 150, 1);
        REQUIRE(log->upkeep(1s).why.text == "");
        REQUIRE_FALSE(log->sync());
        machine.hold([&](auto& held) { held.state().chance = chance * 1'000; });
        machine.fail_sync(1);
        CHECK(log->truncate(10));
        powerless_platform killed{machine.look()};
        machine.unplug();
        log.reset();
        storage::event_count killed_events{killed};
        std::vector<disk_state> states;
        killed.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        log = open_on(killed, killed_events);
        killed.on_call(nullptr);
        was_cut |= log->log_end_offset() == 10;
        killed.unplug();
        log.reset();
        for (const auto& state : states) {
            powerless_platform later{loss_of_power{state}.decide_nothing()};
            storage::event_count later_events{later};
            const auto again = open_on(later, later_events);
            CHECK(again->report().damages.empty());
            CHECK((again->log_end_offset() == 10 || again->log_end_offset() == 150));
            later.unplug();
        }
    }
    CHECK(was_cut);
}

TEST_CASE("readers in front of it go on over a truncation, without an error, and find what comes then", "[storage][truncation][threads]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 50, 1);
    log.set_high_watermark(50);
    std::atomic<bool> is_over{false};
    std::vector<read_record> read;
    failure why;
    std::thread consumer{[&] {
        storage::log_reader reader = log.reader();
        reader.seek(0);
        for (bool is_last = false; !why;) {
            std::vector<storage::record_range> ranges;
            why = reader.fetch(3, true, ranges);
            for (const auto& range : ranges) {
                copy_out(range, read);
            }
            if (ranges.empty() && is_last) {
                return;
            }
            is_last = ranges.empty() && is_over.load();
        }
    }};
    offset end = 50;
    for (std::uint32_t round = 2; round < 40; ++round) {
        for (offset n = end; n < end + 120; ++n) {  // more than a segment, which is never on a majority
            lead(log, wire_lone(std::nullopt, "lost " + std::to_string(round) + std::string(round, 'x'), 1), 2 * round);
        }
        REQUIRE(log.truncate(end).text == "");
        if (round % 3 == 0) {
            REQUIRE_FALSE(orders.keep_up().why);
        }
        lead_others(log, end, end + round, 2 * round + 1);
        end += round;
        log.set_high_watermark(end);
    }
    is_over = true;
    consumer.join();
    CHECK(why.text == "");
    CHECK(difference(read, parted(0, 50, end)) == "");
}

TEST_CASE("who sends frames on, looks for epochs and times, or after the log, does so beside truncations", "[storage][truncation][threads]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 50, 1);
    log.set_high_watermark(50);
    std::atomic<bool> is_over{false};
    std::atomic<std::uint64_t> wrong{0};
    std::thread sender{[&] {
        while (!is_over) {
            const offset end = log.log_end_offset();
            frame_bytes frames;
            const failure why = log.read_frames(end > 40 ? end - 40 : 0, end, 2 * kib, frames);
            wrong += why && why.code != errc::offset_out_of_range ? 1u : 0u;
            format::wire_walk walk{frames};
            for (bytes frame; walk.next(frame);) {
                wrong += format::wire_fault(frame) != nullptr ? 1u : 0u;
            }
            const auto epochs = epochs_of(log);
            wrong += epochs.empty() || epochs.front() != format::epoch_start{1, 0} ? 1u : 0u;
            failure unknown;
            wrong += log.offset_for_time(time_of(30), unknown) != offset{30} || unknown ? 1u : 0u;
            std::vector<storage::offset_range> damaged;
            offset reached = 0;
            wrong += log.find_damage(0, mib, damaged, reached) || !damaged.empty() ? 1u : 0u;
        }
    }};
    std::thread keeper{[&] {
        for (auto now = 1s; !is_over; ++now) {
            wrong += log.upkeep(now).why ? 1u : 0u;
            wrong += log.durable_offset() > 100'000 ? 1u : 0u;
        }
    }};
    offset end = 50;
    for (std::uint32_t round = 2; round < 40; ++round) {
        for (offset n = end; n < end + 100; ++n) {
            lead(log, wire_lone(std::nullopt, "lost " + std::to_string(round) + std::string(round, 'x'), 2'000'000), 2 * round);
        }
        REQUIRE(log.truncate(end).text == "");
        lead_others(log, end, end + round, 2 * round + 1);
        end += round;
        log.set_high_watermark(end - 1);
    }
    is_over = true;
    sender.join();
    keeper.join();
    CHECK(wrong == 0);
    CHECK(difference(everything(log), parted(0, 50, end)) == "");
    CHECK(difference(everything(orders.open()), parted(0, 50, end)) == "");
}

TEST_CASE("who begins to wait for what has been cut is told", "[storage][truncation]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 200);
    const bool is_anew = GENERATE(false, true);
    REQUIRE((is_anew ? log.start_anew(0, 0, true) : log.truncate(100)).text == "");
    CHECK(log.wait_durable(200, orders.platform.monotonic() + 1s).code == errc::illegal_state);
    CHECK(log.sync().text == "");
    CHECK(log.wait_durable(is_anew ? 0 : 100).text == "");
}

TEST_CASE("who waits for a sync of what is cut is told", "[storage][truncation][threads]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 50);
    std::atomic<bool> is_told{false};
    failure why;
    std::thread waiter{[&] {
        why = log.wait_durable(60);  // behind the end: it waits until something is there
        is_told = true;
    }};
    while (!is_told) {  // it may not have begun
        lead_range(log, 50, 51);
        REQUIRE(log.truncate(50).text == "");
        orders.platform.yield();
    }
    waiter.join();
    CHECK(why.code == errc::illegal_state);
    log.set_high_watermark(50);
    std::atomic<bool> is_synced{false};
    std::thread other{[&] {
        why = log.wait_durable(50);  // in front of what is cut
        is_synced = true;
    }};
    do {
        lead_range(log, 50, 51);
        REQUIRE(log.truncate(50).text == "");
        orders.platform.yield();
    } while (!is_synced);
    other.join();
    CHECK(why.text == "");
    CHECK(log.durable_offset() == 50);
}

TEST_CASE("numbers of producers that were cut are forgotten, and those in front are known", "[storage][truncation]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    for (std::int64_t n = 0; n < 100; ++n) {
        lead(log, wire_lone(std::nullopt, value_of(n), 1, format::producer_stamp{n % 2 == 0 ? 7 : 8, 1, n}), 1);
        if (n % 20 == 0) {
            REQUIRE_FALSE(orders.keep_up().why);  // the table is written
        }
    }
    failure why;
    const auto held = log.producer(7, why);
    REQUIRE(held->last_sequence() == 98);
    REQUIRE(log.truncate(51).text == "");
    CHECK(held->last_sequence() == 50);
    CHECK(log.producer(7, why) == held);
    CHECK(log.producer(8, why)->last_sequence() == 49);
    CHECK(held->find(50) == offset{50});
    CHECK_FALSE(held->find(52));
    REQUIRE(log.truncate(0).text == "");
    CHECK(held->last_sequence() == -1);
    CHECK_FALSE(held->find(0));
    lead(log, wire_lone(std::nullopt, "x", 1, format::producer_stamp{7, 1, 0}), 2);
    CHECK(held->last_sequence() == 0);
    CHECK(orders.open().producer(7, why)->last_sequence() == 0);
}

TEST_CASE("a log begins anew where its leader's begins, and nothing is left of it", "[storage][truncation]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 200, 3);
    log.set_high_watermark(60);
    REQUIRE_FALSE(orders.keep_up().why);
    storage::log_reader slow = log.reader();
    slow.seek(10);
    std::vector<storage::record_range> ranges;
    REQUIRE_FALSE(slow.fetch(5, true, ranges));
    storage::log_reader at_end = log.reader();
    at_end.seek(60);
    REQUIRE_FALSE(at_end.fetch(5, true, ranges));
    CHECK(log.start_anew(59).code == errc::illegal_state);  // in front of what is committed
    CHECK(log.start_anew(10).code == errc::illegal_state);
    REQUIRE(log.start_anew(5'000, 8).text == "");
    const bool is_reopened = GENERATE(false, true);
    if (!is_reopened) {
        CHECK(slow.fetch(5, true, ranges).code == errc::offset_out_of_range);
        CHECK_FALSE(at_end.sees_nothing());
        CHECK(at_end.fetch(5, true, ranges).code == errc::offset_out_of_range);
        std::vector<read_record> held;
        copy_out(ranges.front(), held);
        CHECK(difference(held, numbered(10, 15)) == "");  // what was read stays
    } else {
        orders.open();
    }
    storage::log& now = *orders.log;
    CHECK(now.log_start_offset() == 5'000);
    CHECK(now.log_end_offset() == 5'000);
    CHECK(now.high_watermark() == 5'000);
    CHECK(now.durable_offset() == 5'000);
    CHECK(now.last_epoch() == 8);
    CHECK(epochs_of(now).empty());
    CHECK(bases_of(orders.files()) == std::vector<offset>{5'000});
    lead_others(now, 5'000, 5'200, 9);
    CHECK(difference(everything(now), parted(5'000, 5'000, 5'200)) == "");
    REQUIRE_FALSE(orders.keep_up().why);
    CHECK(difference(everything(orders.open()), parted(5'000, 5'000, 5'200)) == "");
}

TEST_CASE("killed before any call to the system, a log has begun anew or has not", "[storage][truncation]") {
    partition orders{replicated()};
    lead_range(orders.open(), 0, 200, 3);
    orders.log->set_high_watermark(20);
    REQUIRE_FALSE(orders.keep_up().why);
    std::vector<image> left;
    orders.platform.on_call([&](operation, const std::string&) { left.push_back(orders.files()); });
    REQUIRE(orders.log->start_anew(900, 4).text == "");
    orders.platform.on_call(nullptr);
    left.push_back(orders.files());
    std::size_t anew = 0;
    for (const image& files : left) {
        for (const bool is_power_gone : {false, true}) {
            is_power_gone ? orders.wake_up_with(files) : orders.become(files);
            storage::log& log = orders.open();
            const bool is_anew = log.log_start_offset() == 900;
            anew += is_anew ? 1 : 0;
            REQUIRE(log.report().damages.empty());
            REQUIRE(log.log_end_offset() == (is_anew ? 900 : 200));
            REQUIRE(log.last_epoch() == (is_anew ? 4u : 3u));
            REQUIRE(difference(everything(log), is_anew ? numbered(0, 0) : numbered(0, 200)) == "");
            const offset end = log.log_end_offset();
            lead_others(log, end, end + 5, 6);
            REQUIRE(orders.open().log_end_offset() == end + 5);
            REQUIRE((!is_anew || bases_of(orders.files()) == std::vector<offset>{900}));
        }
    }
    CHECK(anew > 4);
    CHECK(anew < 2 * left.size());
}

TEST_CASE("where no new segment can be had, a log does not begin anew, and goes on", "[storage][truncation]") {
    partition orders{replicated()};
    storage::log& log = orders.open();
    lead_range(log, 0, 100, 3);
    log.set_high_watermark(100);
    orders.platform.fail(operation::create);
    CHECK(log.start_anew(900).code == std::errc::io_error);
    check_holds(log, 0, 100);
    lead_range(log, 100, 150, 3);
    log.set_high_watermark(150);
    check_holds(log, 0, 150);
    orders.open();
    check_holds(*orders.log, 0, 150);
}

}  // namespace storage_truncation_test
