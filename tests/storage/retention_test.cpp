#include <brook/storage/retention.hpp>  // first, so that it must stand alone

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace storage_retention_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t count = 600;  // records, some ten segments of them

storage::log_options small(storage::retention_policy policy = {}) { return {.segment_bytes = 4 * kib, .retention = policy}; }

std::vector<std::string> logs_in(const partition& orders) {
    std::vector<std::string> found;
    for (const auto& [name, contents] : orders.files()) {
        if (name.ends_with(".log")) {
            found.push_back(name);
        }
    }
    return found;
}

/// What is read from an offset on is what was appended there.
void check_readable(storage::log& log, offset first, offset last) {
    const reading all = read_from(log, first);
    CHECK(all.why.text == "");
    CHECK(difference(all.records, numbered(first, last)) == "");
}

}  // namespace

TEST_CASE("a log keeps as many bytes as its policy says, and no whole segment more", "[storage][retention]") {
    partition orders{small({.bytes = 12 * kib})};
    storage::log* log = &orders.open();
    append_range(*log, 0, count);
    const std::size_t before = logs_in(orders).size();
    CHECK(before > 8);
    CHECK(log->log_start_offset() == 0);  // nothing goes before upkeep has looked
    REQUIRE(orders.keep_up().why.text == "");

    const offset start = log->log_start_offset();
    CHECK(start > 0);
    failure why;
    const std::uint64_t size = log->size_bytes(why);
    CHECK(why.text == "");
    CHECK(size >= 12 * kib);
    CHECK(size < 16 * kib);
    CHECK(logs_in(orders).size() < before);
    check_readable(*log, start, count);
    const reading below = read_from(*log, start - 1);
    CHECK(below.why.code == errc::offset_out_of_range);
    CHECK(below.why.text.find("log start offset " + std::to_string(start)) != std::string::npos);

    for (const bool is_killed : {false, true}) {
        if (is_killed) {
            orders.kill();
        }
        log = &orders.open();
        CHECK(log->report().damages.empty());
        CHECK(log->log_start_offset() == start);
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log->log_start_offset() == start);
        CHECK(log->size_bytes(why) == size);  // now from the footers
        check_readable(*log, start, count);
    }
    append_range(*log, count, 2 * count);
    REQUIRE(orders.keep_up().why.text == "");
    CHECK(log->log_start_offset() > start);
    check_readable(*log, log->log_start_offset(), 2 * count);
}

TEST_CASE("a segment goes when both clocks say that it is old, and only what is sealed and on the disk", "[storage][retention]") {
    partition orders{small({.age = 1h})};
    const timestamp day{std::chrono::hours{24 * 365 * 50}};
    orders.platform.set_now(day);
    orders.platform.set_monotonic(10h);
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");  // they are sealed now
    const std::size_t all = logs_in(orders).size();

    SECTION("the wall clock alone jumps ahead, by years") {
        orders.platform.set_now(day + std::chrono::hours{24 * 3650});
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log.log_start_offset() == 0);
    }
    SECTION("the wall clock stands still, or goes back") {
        orders.platform.set_monotonic(20h);
        REQUIRE(orders.keep_up().why.text == "");
        orders.platform.set_now(day - 100h);
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log.log_start_offset() == 0);
    }
    SECTION("not yet") {
        orders.platform.set_now(day + 1h - 1ns);
        orders.platform.set_monotonic(11h - 1ns);
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log.log_start_offset() == 0);
    }
    SECTION("both") {
        orders.platform.set_now(day + 1h);
        orders.platform.set_monotonic(11h);
        REQUIRE(orders.keep_up().why.text == "");
        const offset start = log.log_start_offset();
        CHECK(start > 0);
        CHECK(logs_in(orders).size() < all);
        check_readable(log, start, count);
        // The active one was as old, and was sealed: so long after that it goes, too.
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log.log_start_offset() == start);
        orders.platform.set_now(day + 2h);
        orders.platform.set_monotonic(12h);
        REQUIRE(orders.keep_up().why.text == "");
        CHECK(log.log_start_offset() == count);
        CHECK(log.log_end_offset() == count);
        CHECK(logs_in(orders).size() == 1);
        append_range(log, count, count + 10);
        check_readable(log, count, count + 10);
        return;
    }
    CHECK(logs_in(orders).size() == all);
    check_readable(log, 0, count);
}

TEST_CASE("what was sealed in an earlier life has the age of its footer", "[storage][retention]") {
    partition orders{small({.age = 1h})};
    const timestamp day{std::chrono::hours{24 * 365 * 50}};
    orders.platform.set_now(day);
    orders.platform.set_monotonic(10h);
    append_range(orders.open(), 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    orders.platform.set_now(day + 2h);  // nobody has it open meanwhile
    storage::log& log = orders.open();
    REQUIRE(orders.keep_up().why.text == "");
    CHECK(log.log_start_offset() > 0);
    check_readable(log, log.log_start_offset(), count);
}

TEST_CASE("a clock that is behind while a segment is sealed does not make it old", "[storage][retention]") {
    partition orders{small({.age = std::chrono::hours{24 * 7}})};
    const timestamp day{std::chrono::hours{24 * 365 * 50}};
    orders.platform.set_now(day);
    orders.platform.set_monotonic(10h);
    storage::log* log = &orders.open();
    append_range(*log, 0, count);
    SECTION("while the log is open") {
        orders.platform.set_now(day - std::chrono::hours{24 * 3650});
        REQUIRE(orders.keep_up().why.text == "");  // they are sealed now
        orders.platform.set_now(day + 10min);
    }
    SECTION("since it was opened, behind what was sealed before") {
        REQUIRE(orders.keep_up().why.text == "");
        orders.platform.set_now(day - std::chrono::hours{24 * 3650});
        log = &orders.open();
        append_range(*log, count, count + 200);
        REQUIRE(orders.keep_up().why.text == "");
        orders.platform.set_now(day + 10min);
        log = &orders.open();
        while (log->log_start_offset() < count) {  // what was sealed before goes otherwise
            REQUIRE(log->drop_oldest().text == "");
        }
    }
    const offset start = log->log_start_offset();
    REQUIRE(orders.keep_up().why.text == "");
    REQUIRE(orders.keep_up().why.text == "");
    CHECK(log->log_start_offset() == start);
}

TEST_CASE("memory that runs out in a deletion leaves a log that goes on", "[storage][retention]") {
    int refused = 0;
    for (std::uint64_t nth = 1; nth < 400; ++nth) {
        partition orders{small()};
        storage::log& log = orders.open();
        append_range(log, 0, count);
        REQUIRE(orders.keep_up().why.text == "");
        bool has_failed = false;
        try {
            const failing_memory scarce{nth};
            static_cast<void>(log.delete_records(count));
        } catch (const std::bad_alloc&) {
            has_failed = true;
        }
        refused += has_failed ? 1 : 0;
        REQUIRE(orders.keep_up().why.text == "");
        REQUIRE(orders.keep_up().why.text == "");
        failure why;
        static_cast<void>(log.oldest(why));
        append_range(log, count, count + 10);
        check_readable(log, log.log_start_offset(), count + 10);
        CHECK(log.drop_oldest().text == "");
        if (!has_failed) {
            break;
        }
    }
    CHECK(refused > 5);
}

TEST_CASE("one look removes a bounded number of segments, and asks for the next", "[storage][retention]") {
    partition orders{small({.bytes = 1})};
    storage::log& log = orders.open();
    while (logs_in(orders).size() < 70) {
        append_range(log, log.log_end_offset(), log.log_end_offset() + 50);
    }
    const std::size_t before = logs_in(orders).size();
    const auto first = orders.keep_up();
    CHECK(first.why.text == "");
    CHECK(first.is_busy);
    CHECK(logs_in(orders).size() == before - 64);
    REQUIRE(orders.keep_up().why.text == "");
    CHECK(logs_in(orders).size() < before - 64);
    CHECK_FALSE(orders.keep_up().is_busy);
    CHECK(logs_in(orders).size() == 1);  // never the active one
}

TEST_CASE("records are deleted up to any offset, and stay deleted", "[storage][retention]") {
    partition orders{small()};
    storage::log* log = &orders.open();
    append_range(*log, 0, count);
    const offset before = GENERATE(offset{1}, offset{77}, offset{300}, count - 1, count);
    CAPTURE(before);
    const std::size_t all = logs_in(orders).size();
    REQUIRE(orders.keep_up().why.text == "");
    REQUIRE(log->delete_records(before).text == "");
    CHECK(log->durable_offset() >= before);
    CHECK(log->log_start_offset() == before);
    if (before >= 300) {
        CHECK(logs_in(orders).size() < all);
    }
    REQUIRE(orders.keep_up().why.text == "");
    REQUIRE(orders.keep_up().why.text == "");
    for (const bool is_killed : {false, true}) {
        check_readable(*log, before, count);
        CHECK(read_from(*log, before - 1).why.code == errc::offset_out_of_range);
        CHECK(read_from(*log, 0).why.code == errc::offset_out_of_range);
        CHECK_FALSE(log->epoch_before(before));
        failure why;
        const auto oldest = log->offset_for_time(0, why);
        CHECK(why.text == "");
        CHECK(oldest == (before < count ? std::optional{before} : std::nullopt));
        CHECK(log->delete_records(before - 1).text == "");  // is no way back
        CHECK(log->log_start_offset() == before);
        if (is_killed) {
            orders.kill();
        }
        log = &orders.open();
        CHECK(log->report().damages.empty());
        CHECK(log->log_start_offset() == before);
    }
    append_range(*log, count, count + 5);
    check_readable(*log, before, count + 5);
}

TEST_CASE("deleting what is not there is refused", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    const failure behind = log.delete_records(11);
    CHECK(behind.code == errc::offset_out_of_range);
    CHECK(behind.text.find("it ends at 10") != std::string::npos);
    CHECK(log.delete_records(-1).code == errc::offset_out_of_range);
    check_readable(log, 0, 10);
    log.close();
    CHECK(log.delete_records(5).code == errc::closed);
}

TEST_CASE("readers keep what they hold, and are told where it begins when they go on", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    storage::log_reader slow = log.reader();
    std::vector<storage::record_range> held;
    REQUIRE(slow.fetch(5, true, held).text == "");
    REQUIRE(log.delete_records(count).text == "");
    REQUIRE(orders.keep_up().why.text == "");  // seals the active one, too,
    REQUIRE(orders.keep_up().why.text == "");  // and removes it
    REQUIRE(logs_in(orders).size() == 1);

    std::vector<read_record> records;
    for (const auto& range : held) {
        copy_out(range, records);
    }
    CHECK(difference(records, numbered(0, 5)) == "");
    std::vector<storage::record_range> more;
    const failure why = slow.fetch(5, true, more);
    CHECK(why.code == errc::offset_out_of_range);
    CHECK(more.empty());
    slow.seek(log.log_start_offset());
    CHECK(slow.fetch(5, true, more).text == "");
}

TEST_CASE("a reader that goes about in a segment which was deleted meanwhile lets go of it", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    storage::log_reader reader = log.reader();
    std::vector<storage::record_range> held;
    REQUIRE(reader.fetch(5, true, held).text == "");
    const std::weak_ptr<storage::mapped_segment> memory = held.front().pin;
    held.clear();
    const auto remove_it = [&] {
        REQUIRE(log.delete_records(count).text == "");
        REQUIRE(orders.keep_up().why.text == "");
    };
    SECTION("at once, where it was deleted before") {
        remove_it();
        reader.seek(2);
    }
    SECTION("when it looks, where it was deleted behind that") {
        reader.seek(2);
        remove_it();
        CHECK(reader.fetch(5, true, held).code == errc::offset_out_of_range);
    }
    CHECK(memory.expired());
}

TEST_CASE("a file that cannot be removed is told, and goes at the next opening", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    const std::size_t all = logs_in(orders).size();
    orders.platform.inject({.on = operation::remove, .lasting = true});
    const failure why = log.delete_records(count);
    CHECK(why.text.find("cannot remove") != std::string::npos);
    orders.platform.heal();
    CHECK(log.log_start_offset() == count);
    CHECK(logs_in(orders).size() == all);
    orders.open();
    CHECK(orders.log->report().damages.empty());
    CHECK(logs_in(orders).size() < all);
    append_range(*orders.log, count, count + 5);
    check_readable(*orders.log, count, count + 5);
}

TEST_CASE("a start that could not be written down deletes nothing", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    const std::size_t all = logs_in(orders).size();
    orders.platform.inject({.on = operation::write, .lasting = true});
    CHECK(log.delete_records(300).text.find("cannot write") != std::string::npos);
    orders.platform.heal();
    CHECK(logs_in(orders).size() == all);
    check_readable(log, 0, count);
}

TEST_CASE("a kill anywhere in a deletion leaves the log as it was, or shorter, and nothing missing", "[storage][retention]") {
    partition orders{small()};
    storage::log& log = orders.open();
    append_range(log, 0, count);
    REQUIRE(orders.keep_up().why.text == "");
    std::vector<image> states;
    orders.platform.on_call([&](auto&&...) { states.push_back(orders.files()); });
    REQUIRE(log.delete_records(333).text == "");
    orders.platform.on_call(nullptr);
    states.push_back(orders.files());
    std::size_t shorter = 0;
    for (const auto& killed : states) {
        orders.become(killed);
        storage::log& after = orders.open();
        CHECK(after.report().damages.empty());
        CHECK(after.report().quarantined.empty());
        const offset start = after.log_start_offset();
        CHECK((start == 0 || start == 333));
        shorter += start == 333 ? 1 : 0;
        check_readable(after, start, count);
        if (start == 333) {
            CHECK(logs_in(orders).front() > "00000000000000000200");
        }
    }
    CHECK(shorter > 3);
    CHECK(shorter < states.size());
}

TEST_CASE("a loss of power in a deletion leaves the log as it was, or shorter, and nothing missing", "[storage][retention][power]") {
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    const auto open_on = [](powerless_platform& where, storage::event_count& events, failure& why) {
        return storage::log::open({where, "/p", {"t", {}, 0}}, {.segment_bytes = 4 * kib}, events, events, why);
    };
    std::vector<disk_state> states;
    {
        storage::event_count events{machine};
        failure why;
        const auto log = open_on(machine, events, why);
        REQUIRE(log);
        append_range(*log, 0, 200);
        REQUIRE(log->upkeep(1s).why.text == "");
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        REQUIRE(log->delete_records(150).text == "");
        machine.on_call(nullptr);
        states.push_back(machine.look());
        machine.unplug();
    }
    std::size_t shorter = 0;
    std::size_t seen = 0;
    for (const auto& state : states) {
        const loss_of_power loss{state};
        REQUIRE(loss.count() <= 65'536);
        loss.for_each_choice([&](const crash_choice& choice) {
            powerless_platform later{loss.decide(choice)};
            storage::event_count events{later};
            failure why;
            const auto log = open_on(later, events, why);
            INFO(why.text);
            REQUIRE(log);
            CHECK(log->report().damages.empty());
            const offset start = log->log_start_offset();
            CHECK((start == 0 || start == 150));
            CHECK(log->log_end_offset() >= start);
            const reading all = read_from(*log, start);
            CHECK(all.why.text == "");
            CHECK(difference(all.records, numbered(start, log->log_end_offset())) == "");
            shorter += start == 150 ? 1 : 0;
            ++seen;
            later.unplug();
        });
    }
    CHECK(shorter > 1);
    CHECK(shorter < seen);
}

TEST_CASE("a segment that goes becomes the next one, cleared, unless somebody holds it", "[storage][retention]") {
    storage::log_options options{.segment_bytes = 16 * kib, .retention = {.bytes = 32 * kib}};
    options.reuses_segments = true;
    partition orders{options};
    int made = 0;
    int recycled = 0;
    orders.platform.on_call([&](operation which, const std::string& path) {
        made += which == operation::create && path.ends_with(".log.tmp") ? 1 : 0;
        recycled += which == operation::rename && path.ends_with("recycled.log.tmp") ? 1 : 0;
    });
    storage::log* log = &orders.open();
    std::vector<storage::record_range> held;
    std::int64_t next = 0;
    for (int round = 0; round < 60; ++round) {
        append_range(*log, next, next + 40);
        next += 40;
        if (round == 10) {  // views of the oldest segment, for as long as the test goes on
            storage::log_reader reader = log->reader();
            reader.seek(log->log_start_offset());
            REQUIRE(reader.fetch(20, true, held).text == "");
        }
        REQUIRE(orders.keep_up().why.text == "");
        if (round % 20 == 19) {
            round == 39 ? static_cast<void>(orders.kill()) : orders.close();
            log = &orders.open();
            CHECK(log->report().damages.empty());
            CHECK(log->log_end_offset() == next);
        }
        check_readable(*log, log->log_start_offset(), next);
    }
    CHECK(recycled > 5);
    CHECK(made < 30);
    std::vector<read_record> seen;
    for (const auto& range : held) {
        copy_out(range, seen);
    }
    REQUIRE(seen.size() == 20);
    CHECK(difference(seen, numbered(seen.front().offset, seen.front().offset + 20)) == "");
    for (const auto& [name, content] : orders.files()) {
        CHECK_FALSE(name.ends_with(".tmp"));
    }
}

TEST_CASE("a loss of power while a segment is made into the next one leaves nothing of its first life", "[storage][retention][power]") {
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    const auto open_on = [](powerless_platform& where, storage::event_count& events, failure& why) {
        storage::log_options options{.segment_bytes = 8 * kib, .retention = {.bytes = 8 * kib}};
        options.reuses_segments = true;
        return storage::log::open({where, "/p", {"t", {}, 0}}, options, events, events, why);
    };
    std::vector<disk_state> states;
    offset durable = 0;
    std::int64_t next = 0;
    {
        storage::event_count events{machine};
        failure why;
        const auto log = open_on(machine, events, why);
        REQUIRE(log);
        for (std::chrono::nanoseconds now{1s}; next < 600; now += 2s) {
            append_range(*log, next, next + 50);
            next += 50;
            if (next == 400) {
                REQUIRE(log->sync().text == "");
                durable = log->durable_offset();
                machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
            }
            REQUIRE(log->upkeep(now).why.text == "");
        }
        machine.on_call(nullptr);
        states.push_back(machine.look());
        machine.unplug();
    }
    seeded chance{1};
    for (const auto& state : states) {
        const loss_of_power loss{state};
        for (int n = 0; n < 12; ++n) {
            crash_choice choice;
            for (const auto& thing : loss.things()) {
                choice.options.push_back(static_cast<std::uint16_t>(chance.below(thing.options())));
            }
            powerless_platform later{n == 0 ? state : loss.decide(choice)};
            storage::event_count events{later};
            failure why;
            const auto log = open_on(later, events, why);
            INFO(why.text);
            REQUIRE(log);
            CHECK(log->report().damages.empty());
            REQUIRE(log->log_end_offset() >= durable);
            const reading all = read_from(*log, log->log_start_offset());
            CHECK(all.why.text == "");
            CHECK(difference(all.records, numbered(log->log_start_offset(), log->log_end_offset())) == "");
            later.unplug();
        }
    }
}

}  // namespace storage_retention_test
