#include <brook/storage/log.hpp>  // first, so that it must stand alone

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/partition.hpp"

namespace storage_log_test {

using namespace brook;
using namespace brook::test;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// Runs in a forked child, and gives what the function returns.
template <class Function>
int in_child(const Function& function) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::_exit(function());
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1'000 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a new log is empty, and stays so", "[storage][log]") {
    partition orders;
    for (int life = 0; life < 3; ++life) {
        storage::log& log = orders.open();
        CHECK(log.log_start_offset() == 0);
        CHECK(log.log_end_offset() == 0);
        CHECK(log.durable_offset() == 0);
        CHECK(log.sync().text == "");
        CHECK(read_from(log, 0).is_at_end);
        failure why;
        CHECK_FALSE(log.offset_for_time(0, why));
        CHECK_FALSE(why);
        CHECK(log.report().damages.empty());
        orders.keep_up();
        if (life == 1) {
            orders.kill();
        }
    }
}

TEST_CASE("an append is refused once the log is closed, and so is everything else", "[storage][log]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 100);
    storage::log_reader reader = log.reader();
    std::vector<storage::record_range> ranges;
    REQUIRE_FALSE(reader.fetch(3, true, ranges));
    log.close();
    log.close();
    CHECK(log.is_closed());

    failure why;
    CHECK(append(log, std::nullopt, "x", 0, why) == -1);
    CHECK(why.code == errc::closed);
    CHECK(names(why, "topic 'orders', partition 3"));
    CHECK(log.roll().code == errc::closed);
    CHECK(log.wait_durable(100).code == errc::closed);
    CHECK(log.upkeep(orders.now).why.text == "");
    storage::log_reader other = log.reader();
    std::vector<storage::record_range> none;
    CHECK(other.fetch(1, true, none).code == errc::closed);
    CHECK_FALSE(log.offset_for_time(0, why));
    CHECK(why.code == errc::closed);
    CHECK(log.log_end_offset() == 100);

    // What a reader has pinned, it may go on reading; the next segment it may not.
    std::vector<read_record> records;
    copy_out(ranges.front(), records);
    CHECK(difference(records, numbered(0, 3)) == "");
    failure last;
    std::size_t read = 3;
    while (!(last = reader.fetch(7, true, ranges))) {
        REQUIRE(ranges.size() < 100);
        read += ranges.back().count;
    }
    CHECK(last.code == errc::closed);
    CHECK(read < 100);
}

TEST_CASE("a range that a reader holds outlives the log and its files", "[storage][log]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 50);
    std::vector<storage::record_range> ranges;
    storage::log_reader reader = orders.log->reader();
    REQUIRE_FALSE(reader.fetch(50, true, ranges));
    orders.close();
    orders.become({});
    orders.open();
    append_nth(*orders.log, 0);
    orders.close();
    std::vector<read_record> records;
    for (const auto& range : ranges) {
        copy_out(range, records);
    }
    CHECK(difference(records, numbered(0, 50)) == "");
}

TEST_CASE("a log that could not be opened leaves nothing to close", "[storage][log][fault]") {
    partition orders;
    failure why;
    orders.platform.fail(operation::list);
    CHECK_FALSE(orders.try_open(why));
    CHECK(why.code == std::errc::io_error);
    CHECK(names(why, orders.path()));
    orders.platform.fail(operation::create);
    CHECK_FALSE(orders.try_open(why));
    orders.open();
    append_range(*orders.log, 0, 5);
    check_holds(*orders.log, 0, 5);
}

// One failure at every call that a scenario makes, and then from every call on.
TEST_CASE("whichever system call fails, nothing acknowledged is lost and nothing wrong is read", "[storage][log][fault]") {
    const bool lasting = GENERATE(false, true);
    const int number = lasting ? ENOSPC : EIO;
    const bool is_killed = GENERATE(false, true);
    const bool is_durable = GENERATE(false, true);
    std::uint64_t k = 0;
    std::uint64_t failed_opens = 0;
    std::uint64_t failed_appends = 0;
    bool is_injected = true;
    while (is_injected) {
        ++k;
        CAPTURE(k, lasting, number, is_killed, is_durable);
        partition orders{{.segment_bytes = 68 * kib, .flush_messages = is_durable ? 1 : 0}};
        std::vector<std::pair<offset, std::string>> acknowledged;
        offset durable = 0;
        std::int64_t number_of_record = 0;
        orders.platform.forget_calls();
        orders.platform.inject({.call = k, .number = number, .lasting = lasting});
        const auto send = [&](int count, std::size_t size) {
            for (int i = 0; i < count; ++i) {
                std::string value = value_of(number_of_record++);
                value.resize(size, '.');
                failure why;
                const offset at = append(*orders.log, std::nullopt, value, 0, why);
                if (at >= 0) {
                    acknowledged.emplace_back(at, value);
                } else {
                    ++failed_appends;
                    CHECK(why.text != "");
                }
            }
        };
        const auto read_all = [&] {
            const reading all = read_from(*orders.log, 0, 64);
            std::size_t n = 0;
            for (const auto& record : all.records) {
                if (n < acknowledged.size() && (record.offset != acknowledged[n].first || record.value != acknowledged[n].second)) {
                    FAIL("record " << n << " was acknowledged at offset " << acknowledged[n].first << " and read at " << record.offset);
                }
                ++n;
            }
            return std::pair{n, all.why};
        };
        for (int life = 0; life < 2; ++life) {
            failure why;
            try {
                orders.log = orders.try_open(why);
            } catch (const std::bad_alloc&) {
                why = {std::make_error_code(std::errc::not_enough_memory), "thrown"};
            }
            if (!orders.log) {
                ++failed_opens;
                CHECK(why.text != "");
                continue;
            }
            send(10, 2'000);
            orders.now += std::chrono::nanoseconds{1'000};
            static_cast<void>(orders.log->upkeep(orders.now));  // a spare
            static_cast<void>(orders.log->roll());
            send(10, 2'000);
            if (!orders.log->sync()) {
                durable = std::max(durable, orders.log->log_end_offset());
                CHECK(orders.log->durable_offset() == orders.log->log_end_offset());
            }
            orders.keep_up();
            static_cast<void>(orders.log->roll());  // without a spare
            send(40, 2'000);                        // a third by itself
            orders.keep_up();
            orders.keep_up();
            const auto [count, trouble] = read_all();
            CHECK((count == acknowledged.size() || trouble));
            durable = std::max(durable, orders.log->durable_offset());
            if (life == 0) {
                orders.close();
            }
        }
        is_injected = orders.platform.calls() >= k;
        orders.platform.heal();
        if (is_killed && orders.log) {
            orders.kill();
        }

        // The same object, healed: what failed for a sync stays failed, all else goes on.
        if (orders.log && !is_killed) {
            const bool is_failed = orders.log->upkeep(orders.now).why.code == errc::partition_failed || orders.log->sync().code == errc::partition_failed;
            failure why;
            const offset at = append(*orders.log, std::nullopt, "healed", 0, why);
            if (at >= 0) {
                acknowledged.emplace_back(at, "healed");
                CHECK_FALSE(is_failed);
            } else {
                CHECK(why.code == errc::partition_failed);
            }
        }
        orders.open();
        CHECK(orders.log->report().damages.empty());
        CHECK(orders.log->log_end_offset() >= durable);
        const auto [count, trouble] = read_all();
        CHECK(trouble.text == "");
        CHECK(count == acknowledged.size());
        send(1, 100);
        CHECK(read_all().first == acknowledged.size());
        CHECK(names_in(orders.files(), ".tmp").empty());
    }
    CHECK(k > 60);
    CHECK(failed_opens > 0);
    if (lasting) {
        CHECK(failed_appends > 0);
    }
}

TEST_CASE("closing needs no memory", "[storage][log]") {
    for (std::uint64_t allocation = 1;; ++allocation) {
        CAPTURE(allocation);
        partition orders{{.segment_bytes = 64 * kib, .flush_messages = 4}};
        orders.open();
        append_range(*orders.log, 0, 10);
        REQUIRE_FALSE(orders.log->roll());
        append_range(*orders.log, 10, 13);
        bool has_failed = false;
        {
            const failing_memory fails{allocation};
            orders.log.reset();
            has_failed = failing_memory::has_failed();
        }
        check_holds(orders.open(), 0, 13);
        if (!has_failed) {
            break;
        }
    }
}

TEST_CASE("a claim that there is no memory for holds up nobody", "[storage][log]") {
    for (std::uint64_t allocation = 1;; ++allocation) {
        CAPTURE(allocation);
        partition orders{{.segment_bytes = 64 * kib}};
        storage::log& log = orders.open();
        append_range(log, 0, 5);
        storage::claim slot;
        storage::segment_pin pin;
        storage::open_claims::id id = 0;
        failure why;
        bool has_failed = false;
        bool has_thrown = false;
        {
            const failing_memory fails{allocation};
            try {
                static_cast<void>(log.take_open(128, slot, pin, id, why));
            } catch (const std::bad_alloc&) {
                has_thrown = true;
            }
            has_failed = failing_memory::has_failed();
        }
        CHECK(has_thrown == has_failed);
        if (!has_failed) {
            CHECK(allocation > 1);
            break;
        }
        CHECK_FALSE(log.oldest_claim());
        REQUIRE(append(log, std::nullopt, value_of(6), time_of(6), why) == 6);
        CHECK(log.readable_end() == 7);
        CHECK_FALSE(log.sync());
        CHECK(log.durable_offset() == 7);
    }
}

TEST_CASE("closing with a claim open frees the directory at once, and the owner's later stores do not reach the file", "[storage][log]") {
    partition orders{{.segment_bytes = 64 * kib, .flush_messages = GENERATE(0, 1)}};
    storage::log& log = orders.open();
    append_range(log, 0, 5);
    storage::claim slot;
    storage::segment_pin pin;
    storage::open_claims::id id = 0;
    failure why;
    REQUIRE(log.take_open(128, slot, pin, id, why));
    REQUIRE(append(log, std::nullopt, value_of(6), time_of(6), why) == 6);
    std::fill_n(slot.data + 40, 40, std::byte{1});
    REQUIRE(log.oldest_claim());
    CHECK(log.oldest_claim()->at == 5);

    log.close();
    const image files = orders.files();
    std::fill_n(slot.data, 128, std::byte{0x77});
    CHECK(orders.files() == files);
    CHECK_FALSE(log.settle(id, [](const storage::claim&) { FAIL("there is nothing to publish in"); }));
    CHECK_FALSE(log.oldest_claim());
    CHECK(orders.files() == files);

    std::unique_ptr<storage::log> old = std::move(orders.log);  // still there, while the directory is opened again
    orders.open();
    std::fill_n(slot.data, 128, std::byte{0x78});
    CHECK(orders.log->report().filled_gaps == 0);  // closing has filled it
    auto expected = numbered(0, 5);
    expected.push_back(numbered(6, 7).front());
    CHECK(difference(read_from(*orders.log, 0).records, expected) == "");
    append_nth(*orders.log, 7);
    old.reset();
    pin.reset();
    append_nth(*orders.log, 8);
    CHECK(read_from(*orders.log, 6).records.size() == 3);
}

TEST_CASE("a claim that is taken while the log closes is given up, and closing does not wait for its owner", "[storage][log][threads]") {
    partition orders;
    storage::log& log = orders.open();
    append_nth(log, 0);
    std::thread closer;
    orders.machine.on_monotonic([&] {  // between claim and list
        const std::uint64_t before = orders.machine.yields();
        closer = std::thread{[&] { log.close(); }};
        while (orders.machine.yields() == before) {  // until it waits for this claim
            std::this_thread::yield();
        }
    });
    storage::claim slot;
    storage::segment_pin pin;
    storage::open_claims::id id = 0;
    failure why;
    const bool is_taken = log.take_open(64, slot, pin, id, why);
    orders.machine.on_monotonic(nullptr);
    closer.join();
    CHECK_FALSE(is_taken);
    CHECK(why.code == errc::closed);
    orders.open();
    check_holds(*orders.log, 0, 1);
    CHECK(orders.log->report().filled_gaps == 0);
}

TEST_CASE("a claim that is settled is published, in its place", "[storage][log]") {
    partition orders;
    storage::log& log = orders.open();
    storage::claim slot;
    storage::segment_pin pin;
    storage::open_claims::id id = 0;
    failure why;
    REQUIRE(log.take_open(format::frame_header_size + 8, slot, pin, id, why));
    REQUIRE(append(log, std::nullopt, "second", 0, why) == 1);
    CHECK(read_from(log, 0).records.empty());
    CHECK(log.wait_durable(1).code == errc::claim_open);
    CHECK(log.wait_durable(2).code == errc::claim_open);
    CHECK(names(log.wait_durable(1), "topic 'orders', partition 3"));
    const bool is_settled = log.settle(id, [&](const storage::claim& taken) {
        std::memcpy(taken.data + format::frame_header_size, "in place", 8);
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(format::frame_header_size + 8);
        header.attributes = format::attribute::lone;
        header.count = format::null_size;
        log.publish(taken, header);
    });
    CHECK(is_settled);
    CHECK_FALSE(log.settle(id, [](const storage::claim&) { FAIL("it is settled"); }));
    const reading all = read_from(log, 0);
    REQUIRE(all.records.size() == 2);
    CHECK(all.records[0].value == "in place");
    CHECK(all.records[1].value == "second");
    CHECK(log.wait_durable(2).text == "");
}

TEST_CASE("a forked child's append is refused, and nothing it does harms its parent", "[storage][log][fork]") {
    partition orders{{.segment_bytes = 256 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 20);
    storage::claim slot;
    storage::segment_pin pin;
    storage::open_claims::id id = 0;
    failure why;
    REQUIRE(log.take_open(64, slot, pin, id, why));
    REQUIRE(append(log, std::nullopt, value_of(21), time_of(21), why) == 21);

    // The child does its worst when the parent has gone on: its picture of the log is old by then.
    int ready[2] = {};
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        char go = 0;
        while (::read(ready[0], &go, 1) != 1) {
        }
        int bad = 0;
        failure refused;
        bad |= append(log, std::nullopt, "child", 0, refused) != -1 || refused.code != errc::forked ? 1 : 0;
        bad |= log.roll().code != errc::forked ? 2 : 0;
        bad |= log.settle(id, [&](const storage::claim& taken) { log.abandon(taken, 1); }) ? 4 : 0;
        static_cast<void>(log.upkeep(std::chrono::seconds{1'000}));
        bad |= read_from(log, 0).records.size() != 20 ? 8 : 0;  // reading is harmless
        log.close();
        ::_exit(bad);
    }
    for (std::int64_t n = 22; n < 4'000; ++n) {
        REQUIRE(append(log, std::nullopt, value_of(n), time_of(n), why) == n);
    }
    const image before = orders.files();
    REQUIRE(::write(ready[1], "g", 1) == 1);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    ::close(ready[0]);
    ::close(ready[1]);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(orders.files() == before);

    append_nth(log, 4'000);
    log.abandon(slot, 1);
    REQUIRE(log.settle(id, [](const storage::claim&) {}));
    CHECK(difference(read_from(log, 0).records, numbered(0, 20)) != "");
    CHECK(difference(read_from(log, 21).records, numbered(21, 4'001)) == "");
    orders.open();
    CHECK(difference(read_from(*orders.log, 21).records, numbered(21, 4'001)) == "");
}

TEST_CASE("a child that was forked in the middle of a roll is refused, too, and does not wait for its end", "[storage][log][fork]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    std::atomic<bool> is_rolling{false};
    std::atomic<bool> may_go_on{false};
    orders.platform.on_call([&](operation which, const std::string&) {
        if (which == operation::create) {
            is_rolling = true;
            may_go_on.wait(false);
        }
    });
    failure rolled;
    std::thread roller{[&] { rolled = log.roll(); }};
    while (!is_rolling) {
        std::this_thread::yield();
    }
    CHECK(in_child([&] {
              ::alarm(60);  // ends it, should it wait
              failure refused;
              const bool is_refused = append(log, std::nullopt, "child", 0, refused) == -1 && refused.code == errc::forked;
              return is_refused && log.roll().code == errc::forked ? 0 : 1;
          }) == 0);
    may_go_on = true;
    may_go_on.notify_all();
    roller.join();
    CHECK_FALSE(rolled);
    append_range(log, 10, 20);
    check_holds(log, 0, 20);
}

TEST_CASE("a child that was never told that it is one finds nothing changed", "[storage][log][fork]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 10);
    CHECK(in_child([&] {
              orders.log.reset();  // what leaving main does
              return 0;
          }) == 0);
    append_range(*orders.log, 10, 20);
    check_holds(*orders.log, 0, 20);
}

TEST_CASE("append time never goes back, whatever the clock does", "[storage][log]") {
    partition orders{{.is_append_time = true}};
    storage::log& log = orders.open();
    std::vector<std::int64_t> given;
    for (const std::int64_t now : {100, 200, 150, 90, 201, 201, 5}) {
        storage::log::ordered_section section{log, now};
        given.push_back(section.time);
        failure why;
        REQUIRE(append(log, std::nullopt, "x", section.time, why) >= 0);
    }
    CHECK(given == std::vector<std::int64_t>{100, 200, 200, 200, 201, 201, 201});
}

TEST_CASE("writers, readers, upkeep, rolls and syncs get along", "[storage][log][stress][threads]") {
    const char* const budget = std::getenv("BROOK_FAULT_SECONDS");
    const int each = budget != nullptr ? 40'000 * std::atoi(budget) + 1 : 4'000;
    const std::int64_t flush_messages = GENERATE(0, 1, 50);
    CAPTURE(flush_messages, each);
    partition orders{{.segment_bytes = 96 * kib, .flush_messages = flush_messages}};
    storage::log& log = orders.open();
    constexpr int writer_count = 3;
    std::atomic<int> writers_left{writer_count};
    std::atomic<int> errors{0};
    std::atomic<std::int64_t> slots{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < writer_count; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random{static_cast<unsigned>(t)};
            failure why;
            const int mine = flush_messages == 0 ? each : each / 10;
            for (int i = 0; i < mine; ++i) {
                offset at = -1;
                if (i % 97 == 0) {
                    storage::claim slot;
                    storage::segment_pin pin;
                    storage::open_claims::id id = 0;
                    if (log.take_open(64, slot, pin, id, why)) {
                        slots.fetch_add(1);
                        at = slot.first;
                        std::this_thread::yield();
                        errors += log.settle(id, [&](const storage::claim& taken) { log.abandon(taken, 1); }) ? 0 : 1;
                    }
                } else {
                    at = append(log, std::to_string(t), value_of(i) + std::string(random() % 200, '+'), i, why);
                }
                if (at < 0) {
                    ++errors;
                    break;
                }
                if (flush_messages > 0 && log.wait_acknowledged(at)) {
                    ++errors;
                    break;
                }
                if (flush_messages == 1 && log.durable_offset() <= at) {
                    ++errors;
                }
            }
            --writers_left;
        });
    }
    const auto follow = [&](offset from) {
        storage::log_reader reader = log.reader();
        reader.seek(from);
        offset next = from;
        std::vector<std::int64_t> seen(writer_count, -1);
        for (;;) {
            const bool is_last_look = writers_left.load() == 0;
            std::vector<storage::record_range> ranges;
            if (reader.fetch(50, true, ranges)) {
                ++errors;
                return;
            }
            for (const auto& range : ranges) {
                for (position at = range.begin; at < range.end;) {
                    const auto header = format::load_header(range.frame(at));
                    if (format::word_of(header).kind() == format::frame_kind::data) {
                        format::record_walk walk{header, range.frame(at)};
                        for (format::record_slice record; walk.next(record);) {
                            const auto t = static_cast<std::size_t>(as_text(record.key())[0] - '0');
                            const bool is_next = record.offset() >= next && record.timestamp() > seen[t] &&
                                                 as_text(record.value()).starts_with(value_of(record.timestamp()));
                            errors += is_next ? 0 : 1;
                            next = record.offset() + 1;
                            seen[t] = record.timestamp();
                        }
                    }
                    at += format::word_of(header).length();
                }
            }
            if (ranges.empty()) {
                if (is_last_look) {
                    return;
                }
                std::this_thread::yield();
            }
        }
    };
    threads.emplace_back([&] { follow(0); });
    threads.emplace_back([&] {
        while (writers_left.load() > 0) {
            follow(log.log_end_offset());
        }
    });
    threads.emplace_back([&] {
        std::chrono::nanoseconds now{};
        for (int i = 0; writers_left.load() > 0; ++i) {
            now += std::chrono::microseconds{100};
            if (const auto result = log.upkeep(now); result.why) {
                ++errors;
            }
            if (i % 5 == 0 && log.roll()) {
                ++errors;
            }
            if (i % 3 == 0) {
                failure why;
                static_cast<void>(log.offset_for_time(i % 1'000, why));
                errors += why ? 1 : 0;
            }
            std::this_thread::yield();
        }
    });
    threads.emplace_back([&] {
        while (writers_left.load() > 0) {
            const offset before = log.durable_offset();
            if (log.sync() || log.durable_offset() < before) {
                ++errors;
            }
            std::this_thread::yield();
        }
    });
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(errors.load() == 0);
    const offset end = log.log_end_offset();
    CHECK(end == std::int64_t{writer_count} * (flush_messages == 0 ? each : each / 10));
    const auto count = read_from(log, 0, 1'000).records.size();
    CHECK(static_cast<std::int64_t>(count) == end - slots.load());
    orders.open();
    CHECK(orders.log->log_end_offset() == end);
    CHECK(read_from(*orders.log, 0, 1'000).records.size() == count);
    orders.kill();
    orders.machine.reboot();
    orders.open();
    CHECK(read_from(*orders.log, 0, 1'000).records.size() == count);
}

TEST_CASE("closing while others write, read, wait and keep up ends them all", "[storage][log][stress][threads]") {
    for (int round = 0; round < 9; ++round) {
        CAPTURE(round);
        partition orders{{.segment_bytes = 64 * kib, .flush_messages = round % 3 == 0 ? 1 : 0}};
        storage::log& log = orders.open();
        std::atomic<std::int64_t> acknowledged{0};
        std::atomic<int> errors{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 2; ++t) {
            threads.emplace_back([&] {
                failure why;
                for (offset at; (at = append(log, std::nullopt, "value", 0, why)) >= 0;) {
                    ++acknowledged;
                    if (const failure waited = log.wait_acknowledged(at); waited && waited.code != errc::closed) {
                        ++errors;
                    }
                }
                errors += why.code == errc::closed ? 0 : 1;
            });
        }
        threads.emplace_back([&] {
            for (offset from = 0; !log.is_closed(); ++from) {
                storage::log_reader reader = log.reader();
                reader.seek(from % (log.log_end_offset() + 1));
                std::vector<storage::record_range> ranges;
                if (const failure why = reader.fetch(10, true, ranges); why && why.code != errc::closed) {
                    ++errors;
                }
            }
        });
        threads.emplace_back([&] {
            for (int i = 0; !log.is_closed(); ++i) {
                static_cast<void>(log.upkeep(std::chrono::milliseconds{i}));
                if (const failure why = log.sync(); why && why.code != errc::closed) {
                    ++errors;
                }
            }
        });
        while (acknowledged.load() < 200 + round * 50) {
            std::this_thread::yield();
        }
        log.close();
        for (auto& thread : threads) {
            thread.join();
        }
        CHECK(errors.load() == 0);
        orders.open();
        CHECK(orders.log->log_end_offset() == acknowledged.load());
        CHECK(orders.log->report().filled_gaps == 0);
        CHECK(orders.log->report().erased_bytes == 0);
        CHECK(read_from(*orders.log, 0, 1'000).records.size() == static_cast<std::size_t>(acknowledged.load()));
    }
}

}  // namespace storage_log_test
