#include <brook/storage/durability.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"
#include "support/partition.hpp"

namespace storage_durability_test {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using brook::format::frame_kind;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a sync makes durable what was published before it began, and not a record more", "[storage][durability]") {
    partition orders{{.segment_bytes = 1 * mib}};
    storage::log& log = orders.open();
    std::atomic<offset> covered{0};
    std::atomic<int> errors{0};
    orders.platform.on_call([&](operation which, const std::string&) {
        if (which == operation::sync) {
            // Appended while the sync is under way: not covered by it.
            covered.store(std::max(covered.load(), log.log_end_offset()));
            failure why;
            errors += append(log, std::nullopt, "during the sync", 0, why) < 0 ? 1 : 0;
        }
    });
    for (int i = 0; i < 50; ++i) {
        failure why;
        for (int n = 0; n < i; ++n) {
            REQUIRE(append(log, std::nullopt, value_of(n), n, why) >= 0);
        }
        const offset end = log.log_end_offset();
        REQUIRE(log.wait_durable(end).text == "");
        CHECK(log.durable_offset() >= end);
        CHECK(log.durable_offset() <= covered.load());
    }
    CHECK(errors.load() == 0);
}

TEST_CASE("durable never passes into a segment whose predecessors are not on the disk", "[storage][durability]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 300);
    std::vector<std::string> synced;
    orders.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync) {
            synced.push_back(path.substr(orders.path().size() + 1, 24));
            CHECK(log.durable_offset() == 0);
        }
    });
    REQUIRE(log.sync().text == "");
    orders.platform.on_call(nullptr);
    CHECK(synced == names_in(orders.files(), ".log"));  // in the order of their offsets
    CHECK(log.durable_offset() == 300);

    synced.clear();
    orders.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync) {
            synced.push_back(path);
        }
    });
    REQUIRE(log.sync().text == "");
    REQUIRE(log.wait_durable(300).text == "");
    CHECK(synced.empty());  // nothing to do
    append_nth(log, 300);
    REQUIRE(log.sync().text == "");
    CHECK(synced.size() == 1);  // sealed segments are on the disk already
}

TEST_CASE("one sync answers for all who wait", "[storage][durability][threads]") {
    constexpr int thread_count = 8;
    partition orders{{.segment_bytes = 64 * kib, .flush_messages = 1}};
    storage::log& log = orders.open();
    std::atomic<int> appended{0};
    std::atomic<int> errors{0};
    orders.platform.on_call([&](operation which, const std::string&) {
        while (which == operation::sync && appended.load() < thread_count) {
            std::this_thread::yield();  // a slow disk: everybody has appended by the time of the first sync
        }
    });
    const std::uint64_t before = orders.platform.calls(operation::sync);
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&] {
            failure why;
            const offset at = append(log, std::nullopt, "x", 0, why);
            ++appended;
            errors += log.wait_acknowledged(at) || log.durable_offset() <= at ? 1 : 0;
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(errors.load() == 0);
    CHECK(log.durable_offset() == thread_count);
    CHECK(orders.platform.calls(operation::sync) - before <= 2);
}

TEST_CASE("flush_messages bounds the acknowledged records that are not synced", "[storage][durability]") {
    const std::int64_t flush_messages = GENERATE(1, 2, 10, 100);
    CAPTURE(flush_messages);
    partition orders{{.segment_bytes = 64 * kib, .flush_messages = flush_messages}};
    storage::log& log = orders.open();
    orders.platform.forget_calls();
    constexpr std::int64_t count = 400;
    for (std::int64_t n = 0; n < count; ++n) {
        append_nth(log, n);
        REQUIRE(log.wait_acknowledged(n).text == "");
        const std::int64_t unsynced = n + 1 - log.durable_offset();
        if (unsynced > flush_messages - 1) {
            FAIL(unsynced << " acknowledged records are not synced");
        }
    }
    const auto syncs = static_cast<std::int64_t>(orders.platform.calls(operation::sync));
    CHECK(syncs >= count / flush_messages - 1);
    CHECK(syncs <= count / flush_messages + 3);
}

TEST_CASE("without a flush policy an acknowledgement waits for no sync", "[storage][durability]") {
    partition orders;
    storage::log& log = orders.open();
    orders.platform.forget_calls();
    append_range(log, 0, 10);
    CHECK(log.wait_acknowledged(9).text == "");
    CHECK(orders.platform.calls(operation::sync) == 0);
    CHECK(log.durable_offset() == 0);
}

TEST_CASE("upkeep syncs sealed segments whatever the flush policy, and leaves the newest alone", "[storage][durability]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 200);
    orders.keep_up();
    const auto logs = names_in(orders.files(), ".log");
    const offset newest = *storage::parse_segment_name(logs.back(), ".log");
    CHECK(newest > 100);
    CHECK(log.durable_offset() == newest);
    check_holds(log, 0, 200);
    // In pieces, and with no page of them in a table.
    CHECK(orders.platform.calls(operation::write_back) == logs.size() - 1);
    CHECK(orders.platform.calls(operation::release_pages) == logs.size() - 1);
    const std::uint64_t before = orders.platform.calls(operation::sync);
    orders.keep_up();
    orders.keep_up();
    CHECK(orders.platform.calls(operation::sync) == before);
    append_range(log, 200, 400);
    REQUIRE(log.sync().text == "");
    CHECK(orders.platform.calls(operation::sync) > before + 2);  // who waits for a sync that he makes himself has it at once
    CHECK(orders.platform.calls(operation::write_back) == logs.size() - 1);
    CHECK(orders.platform.calls(operation::release_pages) == logs.size() - 1);
}

TEST_CASE("a sealed segment is synced in pieces until somebody waits", "[storage][durability][threads]") {
    partition orders{{.segment_bytes = 4 * mib}};
    storage::log& log = orders.open();
    const std::string value(60'000, 'v');
    failure why;
    for (int i = 0; i < 60; ++i) {
        REQUIRE(append(log, std::nullopt, value, i, why) >= 0);
    }
    REQUIRE_FALSE(log.roll());
    const offset end = log.log_end_offset();
    std::thread waiter;
    failure told;
    std::uint64_t pieces = 0;
    std::uint64_t syncs = 0;
    orders.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync && path.find("/00000000000000000000.log") != std::string::npos) {
            ++syncs;
        }
        if (which == operation::write_back && ++pieces == 2) {
            const std::uint64_t before = orders.platform.waits();
            waiter = std::thread{[&] { told = log.wait_durable(end); }};
            while (orders.platform.waits() == before) {  // for the end of this round
                std::this_thread::yield();
            }
        }
    });
    orders.keep_up();
    waiter.join();
    orders.platform.on_call(nullptr);
    CHECK(told.text == "");
    CHECK(pieces == 2);  // of four
    CHECK(syncs == 1);   // what is left of it
    CHECK(log.durable_offset() >= end);
}

TEST_CASE("flush_interval has upkeep sync what is older", "[storage][durability]") {
    partition orders{{.flush_interval = std::chrono::seconds{10}}};
    storage::log& log = orders.open();
    orders.keep_up();
    append_range(log, 0, 5);
    for (int second = 0; second < 9; ++second) {
        orders.keep_up();
        CHECK(log.durable_offset() == 0);
    }
    orders.keep_up();
    orders.keep_up();
    CHECK(log.durable_offset() == 5);
}

TEST_CASE("a failed sync is final", "[storage][durability][fault]") {
    partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    REQUIRE(log.wait_acknowledged(9).text == "");
    append_range(log, 10, 20);
    orders.platform.fail(operation::sync, 1, GENERATE(EIO, ENOSPC));
    const failure why = log.wait_acknowledged(19);
    CHECK(why.code == errc::partition_failed);
    CHECK(names(why, "topic 'orders', partition 3"));
    CHECK(names(why, orders.path()));
    CHECK(names(why, "offset 10"));
    CHECK(log.durable_offset() == 10);

    // The disk is well again, and that changes nothing: what it lost, it does not tell twice.
    orders.platform.forget_calls();
    CHECK(log.wait_acknowledged(19).code == errc::partition_failed);
    CHECK(log.sync().code == errc::partition_failed);
    CHECK(orders.keep_up().why.code == errc::partition_failed);
    CHECK(orders.platform.calls(operation::sync) == 0);
    CHECK(log.durable_offset() == 10);
    CHECK(log.wait_acknowledged(9).text == "");  // what was durable is
    failure refused;
    CHECK(append(log, std::nullopt, "x", 0, refused) == -1);
    CHECK(refused.code == errc::partition_failed);
    CHECK(log.roll().code == errc::partition_failed);
    check_holds(log, 0, 20);  // readers go on

    SECTION("and opening again goes on") {
        orders.close();
        CHECK(orders.platform.calls(operation::sync) <= 2);  // the checkpoint's
    }
    SECTION("and opening again goes on, after a kill too") { orders.kill(); }
    storage::log& again = orders.open();
    CHECK(again.durable_offset() == 10);
    CHECK(again.report().damages.empty());
    check_holds(again, 0, 20);
    append_range(again, 20, 30);
    REQUIRE(again.wait_acknowledged(29).text == "");
    CHECK(again.durable_offset() == 30);
}

namespace {

constexpr const char* first_log = "00000000000000000000.log";

storage::doubt doubt_in_index(const partition& of) { return static_cast<storage::doubt>(peek<std::uint64_t>(of.files().at("00000000000000000000.index"), 0)); }
storage::doubt doubt_in_header(const partition& of) { return static_cast<storage::doubt>(peek<std::uint64_t>(of.files().at(first_log), format::doubt_at)); }

std::uint64_t inode_of(const std::string& path) {
    std::error_code code;
    os::file_identity id;
    const auto file = os::posix().open(path, os::open_mode::read_write, code);
    REQUIRE(file);
    REQUIRE_FALSE(file->identity(id));
    return id.inode;
}

/// Ten records that are on the disk, and ten of which the sync has failed.
void fail_a_sync(partition& orders) {
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    REQUIRE(log.wait_acknowledged(9).text == "");
    append_range(log, 10, 20);
    orders.platform.fail(operation::sync);
    REQUIRE(log.wait_acknowledged(19).code == errc::partition_failed);
}

}  // namespace

TEST_CASE("a segment is in doubt from before a sync until it has succeeded", "[storage][durability][fault]") {
    partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    std::vector<storage::doubt> at_sync;
    orders.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync && path.find(first_log) != std::string::npos) {
            at_sync.push_back(doubt_in_index(orders));
        }
    });
    CHECK(doubt_in_index(orders) == storage::doubt::none);
    REQUIRE(log.wait_acknowledged(9).text == "");
    CHECK(at_sync == std::vector{storage::doubt::is_syncing});
    CHECK(doubt_in_index(orders) == storage::doubt::none);
    CHECK(doubt_in_header(orders) == storage::doubt::none);  // it would be written with each sync

    append_range(log, 10, 20);
    orders.platform.fail(operation::sync);
    REQUIRE(log.wait_acknowledged(19).code == errc::partition_failed);
    CHECK(doubt_in_index(orders) == storage::doubt::has_failed);
    CHECK(doubt_in_header(orders) == storage::doubt::has_failed);
}

TEST_CASE("after a failed sync a log goes on in a new file, and who reads the old one keeps it", "[storage][durability][fault]") {
    partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
    fail_a_sync(orders);
    std::vector<storage::record_range> held;
    {
        storage::log_reader reader = orders.log->reader();
        reader.seek(0);
        REQUIRE_FALSE(reader.fetch(100, true, held));
    }
    const std::uint64_t before = inode_of(orders.path() + '/' + first_log);
    SECTION("closed") { orders.close(); }
    SECTION("killed") { orders.become(orders.files()); }
    SECTION("without its index") {
        orders.close();
        REQUIRE(std::filesystem::remove(orders.path() + "/00000000000000000000.index"));
    }
    SECTION("with damage in it") {
        orders.close();
        image files = orders.files();
        flip_bit(files.at(first_log), 8 * (frame_with(files.at(first_log), 15).at + 44));
        write_image(orders.path(), files);
        storage::log& again = orders.open();
        CHECK(again.report().moved_segments == 1);
        CHECK(read_from(again, 0).records.size() == 15);
        CHECK(read_from(again, 0).why.code == errc::corrupt_record);
        CHECK(difference(read_from(again, 16).records, numbered(16, 20)) == "");
        return;
    }

    storage::log& again = orders.open();
    CHECK(again.report().moved_segments == 1);
    CHECK(inode_of(orders.path() + '/' + first_log) != before);
    CHECK(names_in(orders.files(), ".tmp").empty());
    CHECK(again.durable_offset() == 10);
    check_holds(again, 0, 20);
    std::vector<read_record> records;
    for (const auto& range : held) {
        copy_out(range, records);
    }
    CHECK(difference(records, numbered(0, 20)) == "");
    append_range(again, 20, 300);  // and into the next segments
    REQUIRE(again.wait_acknowledged(299).text == "");
    CHECK(doubt_in_index(orders) == storage::doubt::none);
    orders.kill();
    CHECK(orders.open().report().moved_segments == 0);
    check_holds(*orders.log, 0, 300);
}

TEST_CASE("a log that cannot go on in a new file is read on, and takes no more appends until it can", "[storage][durability][fault]") {
    const operation which = GENERATE(operation::create, operation::allocate, operation::identity, operation::write, operation::sync, operation::read_from_disk,
                                     operation::rename, operation::sync_directory);
    CAPTURE(name(which));
    partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
    fail_a_sync(orders);
    orders.close();
    orders.platform.inject({.on = which, .number = ENOSPC, .lasting = true, .path = which == operation::sync_directory ? "" : ".log.tmp"});
    for (int i = 0; i < 2; ++i) {
        storage::log& log = orders.open();
        CHECK(log.report().moved_segments == 0);
        CHECK(log.durable_offset() == 10);
        check_holds(log, 0, 20);
        failure refused;
        CHECK(append(log, std::nullopt, "x", 0, refused) == -1);
        CHECK(refused.code == errc::partition_failed);
        CHECK(names(refused, "cannot copy") == (which != operation::sync_directory));
        CHECK(log.wait_acknowledged(19).code == errc::partition_failed);
        CHECK(log.roll().code == errc::partition_failed);
        CHECK(orders.keep_up().why.code == errc::partition_failed);
        CHECK(names_in(orders.files(), ".tmp").empty());
    }
    orders.close();
    orders.platform.heal();
    storage::log& log = orders.open();
    CHECK(log.report().moved_segments == 1);
    check_holds(log, 0, 20);
    append_range(log, 20, 30);
    REQUIRE(log.wait_acknowledged(29).text == "");
}

TEST_CASE("whichever call fails while a log goes on in a new file, the next opening has it all", "[storage][durability][fault]") {
    bool has_succeeded = false;
    int failures = 0;
    for (std::uint64_t call = 1; !has_succeeded; ++call) {
        CAPTURE(call);
        partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
        fail_a_sync(orders);
        orders.close();
        orders.platform.forget_calls();
        orders.platform.fail_any(call);
        failure why;
        std::unique_ptr<storage::log> log;
        try {
            log = orders.try_open(why);
        } catch (const std::bad_alloc&) {
            // That was the memory for who is forked.
        }
        has_succeeded = orders.platform.calls() < call;
        orders.platform.heal();
        failures += log && log->report().moved_segments == 1 ? 0 : 1;
        if (log) {
            check_holds(*log, 0, 20);
            const offset at = append(*log, std::nullopt, value_of(20), time_of(20), why);
            CHECK((at == 20 || why.code == errc::partition_failed));
            CHECK((at == 20 || log->report().moved_segments == 0));
        }
        const bool has_more = log && log->log_end_offset() == 21;
        log.reset();
        storage::log& again = orders.open();
        check_holds(again, 0, has_more ? 21 : 20);
        append_range(again, has_more ? 21 : 20, 30);
        REQUIRE(again.wait_acknowledged(29).text == "");
    }
    CHECK(failures > 8);
}

TEST_CASE("who is killed in a sync finds its file compared with the disk, or copied where nobody can tell", "[storage][durability][fault]") {
    partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
    storage::log& log = orders.open();
    append_range(log, 0, 20);
    image killed;
    orders.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync && path.find(first_log) != std::string::npos) {
            killed = orders.files();
        }
    });
    REQUIRE(log.wait_acknowledged(19).text == "");
    orders.platform.on_call(nullptr);
    orders.become(killed);
    std::uint64_t moved = 0;
    SECTION("it is there") {}
    SECTION("the sync fails") {
        orders.platform.inject({.on = operation::sync, .path = first_log});
        moved = 1;
    }
    SECTION("it cannot be read") {
        orders.platform.inject({.on = operation::read_from_disk, .number = GENERATE(EIO, EOPNOTSUPP), .path = first_log});
        moved = 1;
    }
    storage::log& again = orders.open();
    CHECK(again.report().moved_segments == moved);
    check_holds(again, 0, 20);
    append_range(again, 20, 30);
    REQUIRE(again.wait_acknowledged(29).text == "");
    CHECK(doubt_in_index(orders) == storage::doubt::none);
}

TEST_CASE("a sync that fails where memory is out is as final, and nobody waits for ever", "[storage][durability][fault]") {
    bool has_succeeded = false;
    std::uint64_t failures = 0;
    for (std::uint64_t allocation = 1; !has_succeeded; ++allocation) {
        CAPTURE(allocation);
        partition orders{{.segment_bytes = 16 * kib, .flush_messages = 1}};
        storage::log& log = orders.open();
        append_range(log, 0, 10);
        orders.platform.fail(operation::sync);
        failure why;
        try {
            const failing_memory out_of_it{allocation};
            why = log.wait_acknowledged(9);
            has_succeeded = !failing_memory::has_failed();
        } catch (const std::bad_alloc&) {
            ++failures;
        }
        orders.platform.forget_calls();
        CHECK(log.wait_acknowledged(9, orders.platform.monotonic() + 10s).code == errc::partition_failed);  // at once: nobody leads a round any more
        CHECK(orders.platform.calls(operation::sync) == 0);
        CHECK(log.durable_offset() == 0);
        CHECK(append(log, std::nullopt, "x", 0, why) == -1);
        CHECK(why.code == errc::partition_failed);
    }
    CHECK(failures > 0);
}

TEST_CASE("a failed sync fails everybody who waits for it", "[storage][durability][fault][threads]") {
    constexpr int thread_count = 4;
    partition orders{{.flush_messages = 1}};
    storage::log& log = orders.open();
    std::atomic<int> appended{0};
    std::atomic<int> failed{0};
    orders.platform.on_call([&](operation which, const std::string&) {
        while (which == operation::sync && appended.load() < thread_count) {
            std::this_thread::yield();
        }
    });
    orders.platform.fail_syncs();
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&] {
            failure why;
            const offset at = append(log, std::nullopt, "x", 0, why);
            ++appended;
            failed += log.wait_acknowledged(at).code == errc::partition_failed ? 1 : 0;
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(failed.load() == thread_count);
    CHECK(log.durable_offset() == 0);
    CHECK(orders.platform.calls(operation::sync) > 0);
    CHECK(log.log_end_offset() == thread_count);
}

TEST_CASE("a sync of a sealed segment that fails is as final", "[storage][durability][fault]") {
    partition orders{{.segment_bytes = 4 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 150);
    orders.platform.fail(GENERATE(operation::sync, operation::write_back), 2);
    CHECK(orders.keep_up().why.code == errc::partition_failed);
    orders.platform.heal();
    CHECK(log.sync().code == errc::partition_failed);
    CHECK(log.durable_offset() == 0);
    const image files = orders.files();
    const auto logs = names_in(files, ".log");
    REQUIRE(logs.size() > 2);
    for (std::size_t i = 0; i < logs.size(); ++i) {  // a footer says that a segment is on the disk
        const std::string& content = files.at(logs[i]);
        CHECK(format::verifies(peek<format::segment_footer>(content, format::footer_at), peek<format::segment_birth>(content, 0).seed) == (i == 0));
    }
    check_holds(log, 0, 150);
    orders.open();
    check_holds(*orders.log, 0, 150);
}

TEST_CASE("a wait for records behind an open claim ends when that is published", "[storage][durability][threads]") {
    partition orders;
    storage::log& log = orders.open();
    const storage::claim slot = orders.hold(64);
    failure why;
    REQUIRE(append(log, std::nullopt, "behind", 0, why) == 1);
    std::atomic<bool> is_done{false};
    std::atomic<bool> is_failed{false};
    std::thread waiter{[&] {
        is_failed = static_cast<bool>(log.wait_durable(2));
        is_done = true;
    }};
    for (int i = 0; i < 1'000; ++i) {
        std::this_thread::yield();
    }
    CHECK_FALSE(is_done.load());
    CHECK(log.durable_offset() == 0);
    SECTION("published") {
        format::frame_header header{};
        header.size = 64;
        header.attributes = format::attribute::lone;
        header.count = format::null_size;
        log.publish(slot, header);
        waiter.join();
        CHECK_FALSE(is_failed.load());
        CHECK(log.durable_offset() == 2);
    }
    SECTION("given up") {
        log.abandon(slot, 1);
        waiter.join();
        CHECK_FALSE(is_failed.load());
        CHECK(log.durable_offset() == 2);
    }
    orders.forget_held();
}

TEST_CASE("a failed sync is told to who waits behind an open claim while that is open", "[storage][durability][fault][threads]") {
    partition orders;
    storage::log& log = orders.open();
    append_nth(log, 0);
    const storage::claim first = orders.hold(64);
    append_nth(log, 2);
    const storage::claim second = orders.hold(64);
    append_nth(log, 4);
    failure told;
    const auto deadline = orders.platform.monotonic() + std::chrono::seconds{60};
    std::thread waiter{[&] { told = log.wait_durable(5, deadline); }};
    while (log.durable_offset() < 1) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 1'000; ++i) {
        std::this_thread::yield();
    }
    orders.platform.fail_syncs();
    log.abandon(first, 1);  // now there is more to sync, though not all that is waited for
    CHECK(log.wait_durable(3).code == errc::partition_failed);
    waiter.join();
    CHECK(told.code == errc::partition_failed);
    orders.forget_held();
    log.abandon(second, 1);
}

TEST_CASE("a wait with a deadline ends there, and the record may still become durable", "[storage][durability]") {
    partition orders;
    storage::log& log = orders.open();
    orders.hold(64);
    failure why;
    REQUIRE(append(log, std::nullopt, "behind", 0, why) == 1);
    const failure late = log.wait_durable(2, orders.platform.monotonic());
    CHECK(late.code == errc::timed_out);
    CHECK(names(late, "topic 'orders', partition 3"));
    orders.publish_held();
    CHECK(log.wait_durable(2).text == "");
}

TEST_CASE("after a sync the log itself says how far it is durable", "[storage][durability]") {
    partition orders;
    storage::log& log = orders.open();
    append_range(log, 0, 10);
    REQUIRE(log.sync().text == "");
    append_range(log, 10, 12);
    REQUIRE(log.sync().text == "");
    std::vector<std::int64_t> evidence;
    for (const auto& frame : frames_of(orders.files().at("00000000000000000000.log"))) {
        if (frame.kind() == frame_kind::evidence) {
            CHECK(frame.header.base_offset == frame.header.base_timestamp);
            evidence.push_back(frame.header.base_timestamp);
        }
    }
    CHECK(evidence == std::vector<std::int64_t>{10, 12});
    orders.kill();
    orders.open();
    CHECK(orders.log->durable_offset() == 12);
    check_holds(*orders.log, 0, 12);
}

}  // namespace storage_durability_test
