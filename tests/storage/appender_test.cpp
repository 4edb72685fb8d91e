#include <brook/storage/appender.hpp>  // first, so that it must stand alone

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_appender_test {

using namespace brook;
using namespace brook::test;
using brook::format::frame_header_size;
using brook::format::frame_kind;
using brook::format::segment_header_size;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

/// A value whose frame has exactly this many bytes.
std::string value_for_frame(std::uint32_t size) { return std::string(size - frame_header_size, 'v'); }

/// Enough upkeep for a spare: as if a lot had been appended within a moment.
void prepare_spare(partition& orders) {
    orders.now += std::chrono::nanoseconds{1'000};
    const auto result = orders.log->upkeep(orders.now);
    REQUIRE(result.why.text == "");
}

}  // namespace

TEST_CASE("offsets are dense, and one thread's are in the order of its appends, whoever else appends", "[storage][appender][threads]") {
    constexpr int thread_count = 4;
    constexpr int each = 3'000;
    const auto segment_bytes = GENERATE(4 * kib, 64 * kib, 1 * mib);
    CAPTURE(segment_bytes);
    partition orders{{.segment_bytes = segment_bytes}};
    storage::log& log = orders.open();
    std::vector<std::vector<offset>> given(thread_count);
    std::vector<std::thread> threads;
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < each; ++i) {
                failure why;
                given[static_cast<std::size_t>(t)].push_back(append(log, std::to_string(t), value_of(i), i, why));
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }

    CHECK(log.log_end_offset() == thread_count * each);
    const reading all = read_from(log, 0, 100);
    CHECK(all.why.text == "");
    REQUIRE(all.records.size() == thread_count * each);
    std::vector<std::size_t> seen(thread_count);
    for (std::size_t n = 0; n < all.records.size(); ++n) {
        const auto& record = all.records[n];
        const auto t = static_cast<std::size_t>(std::stoi(*record.key));
        const std::size_t i = seen[t]++;
        if (record.offset != static_cast<offset>(n) || given[t][i] != record.offset || record.value != value_of(static_cast<std::int64_t>(i)) ||
            record.timestamp != static_cast<std::int64_t>(i)) {
            FAIL("record " << i << " of thread " << t << " has offset " << given[t][i] << " and was read at " << record.offset);
        }
    }
    orders.open();
    CHECK(difference(read_from(*orders.log, 0, 100).records, all.records) == "");
}

TEST_CASE("a record larger than a segment holds is refused, and the largest that fits is taken anywhere", "[storage][appender]") {
    partition orders{{.segment_bytes = 8 * kib}};
    storage::log& log = orders.open();
    failure why;
    const std::uint32_t most = log.largest_frame();
    CHECK(most == 8 * kib - segment_header_size - frame_header_size);

    CHECK(append(log, std::nullopt, value_for_frame(most + 8), 1, why) == -1);
    CHECK(why.code == errc::record_too_large);
    CHECK(names(why, "topic 'orders', partition 3"));
    CHECK(names(why, "segment_bytes"));
    CHECK(log.log_end_offset() == 0);

    CHECK(append(log, std::nullopt, value_for_frame(most), 1, why) == 0);
    CHECK(append(log, std::nullopt, value_for_frame(most), 1, why) == 1);
    CHECK(append(log, std::nullopt, "small", 1, why) == 2);
    const std::size_t segments = names_in(orders.files(), ".log").size();
    CHECK(append(log, std::nullopt, value_for_frame(most + 8), 1, why) == -1);
    CHECK(names_in(orders.files(), ".log").size() == segments);  // and no segment is sealed for it
    CHECK(append(log, std::nullopt, value_for_frame(most), 1, why) == 3);
    REQUIRE_FALSE(log.sync());
    orders.keep_up();
    CHECK(append(log, std::nullopt, "small", 1, why) == 4);
    REQUIRE_FALSE(log.roll());
    REQUIRE_FALSE(log.sync());  // its evidence must not take room in an empty segment
    orders.keep_up();
    failure none;
    CHECK(append(log, std::nullopt, value_for_frame(most), 1, none) == 5);
    CHECK(none.text == "");
    CHECK(read_from(log, 0).records.size() == 6);
    orders.open();
    CHECK(read_from(*orders.log, 0).records.size() == 6);
}

TEST_CASE("a segment made with fewer segment_bytes than now takes what it can, and larger records go into the next", "[storage][appender]") {
    partition orders{{.segment_bytes = 4 * kib}};
    orders.open();
    const bool is_empty = GENERATE(true, false);
    failure why;
    if (!is_empty) {
        append_nth(*orders.log, 0);
    }
    orders.close();
    orders.options.segment_bytes = 32 * kib;
    storage::log& log = orders.open();
    const offset at = append(log, std::nullopt, value_for_frame(20 * kib), 1, why);
    if (is_empty) {
        CHECK(why.code == errc::record_too_large);
        CHECK(at == -1);
        append_nth(log, 0);
        CHECK(append(log, std::nullopt, value_for_frame(20 * kib), 1, why) == 1);
    } else {
        CHECK(at == 1);
    }
    CHECK(read_from(log, 0).records.size() == 2);
    orders.options.segment_bytes = 4 * kib;  // and back
    orders.open();
    CHECK(read_from(*orders.log, 0).records.size() == 2);
    for (std::int64_t n = 2; n < 1'000; ++n) {
        append_nth(*orders.log, n);
    }
    orders.keep_up();
    orders.open();
    CHECK(read_from(*orders.log, 0).records.size() == 1'000);
}

TEST_CASE("a segment ends with its seal, wherever the last record ends", "[storage][appender]") {
    // Each way that the end of the data may lie to the end of the segment and to a page.
    const std::uint32_t last = GENERATE(range(0u, 49u)) * 8;
    CAPTURE(last);
    partition orders{{.segment_bytes = 12 * kib}};
    storage::log& log = orders.open();
    failure why;
    const std::uint32_t page_left = 2 * 4096 - segment_header_size;
    REQUIRE(append(log, std::nullopt, value_for_frame(page_left - 200), 1, why) == 0);
    REQUIRE(append(log, std::nullopt, value_for_frame(frame_header_size + last), 1, why) == 1);
    REQUIRE_FALSE(log.roll());
    REQUIRE(append(log, std::nullopt, "behind the roll", 1, why) == 2);
    REQUIRE_FALSE(log.sync());
    orders.keep_up();  // footer; the space behind the seal is given back
    CHECK(read_from(log, 0).records.size() == 3);
    CHECK(read_from(log, 0).is_at_end);
    const std::string content = orders.files().at("00000000000000000000.log");
    const auto frames = frames_of(content);
    REQUIRE(frames.size() == 3);
    CHECK(frames.back().kind() == frame_kind::seal);
    CHECK(frames.back().header.base_offset == 2);
    const auto birth = peek<format::segment_birth>(content, 0);
    CHECK(format::verifies(birth.seed, static_cast<position>(frames.back().at), birth.capacity,
                           reinterpret_cast<const std::byte*>(content.data()) + frames.back().at));
    const auto footer = peek<format::segment_footer>(content, format::footer_at);
    CHECK(format::verifies(footer, birth.seed));
    CHECK(footer.end_offset == 2);
    CHECK(footer.seal_position == frames.back().at);
    orders.open();
    CHECK(read_from(*orders.log, 0).why.text == "");
    CHECK(read_from(*orders.log, 0).records.size() == 3);
}

TEST_CASE("a record that would leave the seal no room goes into the next segment", "[storage][appender]") {
    constexpr std::uint32_t capacity = 128 * kib;
    constexpr std::uint32_t half = 64 * kib;
    for (std::uint32_t left = 0; left <= 2 * frame_header_size; left += 8) {  // behind the second record, were it in the first segment
        CAPTURE(left);
        partition orders{{.segment_bytes = capacity}};
        storage::log& log = orders.open();
        failure why;
        REQUIRE(append(log, std::nullopt, value_for_frame(half), 1, why) == 0);
        CHECK(append(log, std::nullopt, value_for_frame(capacity - segment_header_size - half - left), 1, why) == 1);
        CHECK(why.text == "");
        REQUIRE(names_in(orders.files(), ".log").size() == (left < frame_header_size ? 2u : 1u));
        REQUIRE_FALSE(log.roll());
        const auto frames = frames_of(orders.files().at("00000000000000000000.log"));
        CHECK(frames.back().kind() == frame_kind::seal);
        CHECK(frames.back().end() <= capacity);
        CHECK(read_from(log, 0).records.size() == 2);
    }
}

TEST_CASE("a recovered segment's footer tells where its seal stands", "[storage][appender]") {
    partition orders{{.segment_bytes = 12 * kib}};
    orders.open();
    append_range(*orders.log, 0, 10);
    REQUIRE_FALSE(orders.log->roll());
    append_nth(*orders.log, 10);
    orders.kill();
    orders.open();
    orders.keep_up();
    const std::string content = orders.files().at("00000000000000000000.log");
    const auto footer = peek<format::segment_footer>(content, format::footer_at);
    CHECK(format::verifies(footer, peek<format::segment_birth>(content, 0).seed));
    CHECK(footer.seal_position == frames_of(content).back().at);
    CHECK(frames_of(content).back().kind() == frame_kind::seal);
}

TEST_CASE("a segment takes no more offsets than are counted, however few bytes they need", "[storage][appender]") {
    partition orders;
    orders.open();
    constexpr std::uint32_t each = (1u << 24) - 1;
    offset next = 0;
    for (int i = 0; i < 300; ++i) {  // 2^32 are reached
        failure why;
        storage::claim taken;
        REQUIRE(orders.log->take(frame_header_size, each, taken, why));
        const offset first = taken.first;
        orders.log->abandon(taken, each);
        REQUIRE(first == next);
        next += each;
        if (i % 50 == 49) {
            append_nth(*orders.log, next++);
        }
    }
    CHECK(orders.log->log_end_offset() == next);
    orders.open();
    CHECK(orders.log->report().damages.empty());
    CHECK(orders.log->log_end_offset() == next);
    const reading all = read_from(*orders.log, 0);
    CHECK(all.records.size() == 6);
    CHECK(all.is_at_end);
}

TEST_CASE("rolling a segment without records changes nothing", "[storage][appender]") {
    partition orders{{.segment_bytes = 8 * kib}};
    storage::log& log = orders.open();
    REQUIRE(log.roll().text == "");
    REQUIRE(log.roll().text == "");
    append_range(log, 0, 3);
    REQUIRE(log.roll().text == "");
    REQUIRE(log.sync().text == "");
    REQUIRE(log.roll().text == "");
    REQUIRE(log.roll().text == "");
    CHECK(names_in(orders.files(), ".log").size() == 2);
    append_range(log, 3, 5);
    check_holds(log, 0, 5);
    orders.open();
    check_holds(*orders.log, 0, 5);
}

TEST_CASE("where appends wait for the disk upkeep makes no room in the segment that they are in, and a spare all the same", "[storage][appender]") {
    const int flush_messages = GENERATE(0, 1);
    partition orders{{.segment_bytes = 4 * mib, .flush_messages = flush_messages}};
    storage::log& log = orders.open();
    append_range(log, 0, 200);
    const auto size = [&] { return std::filesystem::file_size(orders.path() + "/00000000000000000000.log"); };
    const auto before = size();
    prepare_spare(orders);
    CHECK((size() > before) == (flush_messages == 0));
    CHECK(orders.files().contains("spare.log"));
}

TEST_CASE("a prepared spare becomes the next segment, and upkeep gives it its name", "[storage][appender]") {
    partition orders{{.segment_bytes = 128 * kib}};
    storage::log& log = orders.open();
    append_range(log, 0, 200);
    prepare_spare(orders);
    REQUIRE(orders.files().contains("spare.log"));
    const std::uint64_t creations = orders.platform.calls(operation::create);
    REQUIRE_FALSE(log.roll());
    append_range(log, 200, 210);
    CHECK(orders.platform.calls(operation::create) == creations);  // nothing was made on the writer's path
    const std::string second_log = "00000000000000000200.log";

    SECTION("by upkeep") {
        orders.keep_up();
        const image files = orders.files();
        CHECK_FALSE(files.contains("spare.log"));
        CHECK_FALSE(files.contains("spare.index"));
        CHECK(files.contains(second_log));
        CHECK(files.contains("00000000000000000200.index"));
    }
    SECTION("by the next roll") {
        REQUIRE_FALSE(log.roll());
        CHECK(orders.files().contains(second_log));
    }
    SECTION("by closing") {
        orders.close();
        CHECK(orders.files().contains(second_log));
        CHECK_FALSE(orders.files().contains("spare.log"));
    }
    SECTION("by recovery") {
        const image left = orders.kill();
        CHECK(left.contains("spare.log"));
        orders.open();
        CHECK(orders.files().contains(second_log));
    }
    SECTION("never over a file that is there") {
        write_whole(orders.path() + "/" + second_log, "a stranger's");
        const auto result = orders.keep_up();
        CHECK(result.why.code == std::errc::file_exists);
        CHECK(names(result.why, second_log));
        CHECK(read_whole(orders.path() + "/" + second_log) == "a stranger's");
        append_range(log, 210, 220);
        std::filesystem::remove(orders.path() + "/" + second_log);
        CHECK_FALSE(orders.keep_up().why);
        check_holds(log, 0, 220);
        return;
    }
    SECTION("at the second try, when renaming failed half way") {
        const auto which = GENERATE(operation::rename, operation::sync_directory);
        const std::uint64_t call = which == operation::rename ? GENERATE(1u, 2u) : 1u;
        orders.platform.fail(which, call);
        CHECK(orders.keep_up().why.code == std::errc::io_error);
        CHECK(orders.keep_up().why.text == "");
        CHECK(orders.files().contains(second_log));
        CHECK(orders.files().contains("00000000000000000200.index"));
        REQUIRE(log.roll().text == "");
    }
    if (!orders.log) {
        orders.open();
    }
    check_holds(*orders.log, 0, 210);
    append_range(*orders.log, 210, 220);
    orders.open();
    check_holds(*orders.log, 0, 220);
}

TEST_CASE("an unused spare is gone after closing, and after a kill", "[storage][appender]") {
    partition orders{{.segment_bytes = 128 * kib}};
    orders.open();
    append_range(*orders.log, 0, 200);
    prepare_spare(orders);
    REQUIRE(orders.files().contains("spare.log"));
    if (GENERATE(true, false)) {
        orders.close();
        CHECK_FALSE(orders.files().contains("spare.log"));
    } else {
        orders.kill();
    }
    orders.open();
    CHECK_FALSE(orders.files().contains("spare.log"));
    CHECK_FALSE(orders.files().contains("spare.index"));
    check_holds(*orders.log, 0, 200);
}

TEST_CASE("an idle log takes 64 KiB, and grows by doubling", "[storage][appender]") {
    partition orders{{.segment_bytes = 8 * mib}};
    storage::log& log = orders.open();
    const std::string first = orders.path() + "/00000000000000000000.log";
    CHECK(std::filesystem::file_size(first) == 64 * kib);
    failure why;
    std::vector<std::uintmax_t> sizes{64 * kib};
    for (int i = 0; i < 4'000; ++i) {
        REQUIRE(append(log, std::nullopt, std::string(1'000, 'x'), i, why) == i);
        if (const auto size = std::filesystem::file_size(first); size != sizes.back()) {
            sizes.push_back(size);
        }
    }
    CHECK(sizes == std::vector<std::uintmax_t>{64 * kib, 128 * kib, 256 * kib, 512 * kib, 1 * mib, 2 * mib, 3 * mib, 4 * mib});
    CHECK(read_from(log, 0, 1'000).records.size() == 4'000);
}

TEST_CASE("a full disk refuses an append without a trace, and the same log goes on when there is room", "[storage][appender][fault]") {
    const bool zeroes_ahead = GENERATE(false, true);
    partition orders{{.segment_bytes = 256 * kib, .flush_messages = zeroes_ahead ? 1 : 0}};
    storage::log& log = orders.open();
    // 0: not one byte more. The disk fills at each of the places where the log takes space: growth, the next segment's
    // first window, its index.
    const std::uint64_t budget = GENERATE(0u, 64 * kib, 100 * kib, 192 * kib, 250 * kib, 256 * kib, 257 * kib, 320 * kib, 500 * kib);
    CAPTURE(zeroes_ahead, budget);
    orders.platform.limit_disk(budget);
    std::int64_t next = 0;
    failure why;
    const std::string value(900, 'v');
    for (; next < 2'000; ++next) {
        const offset at = append(log, std::nullopt, value, next, why);
        if (at < 0) {
            break;
        }
        REQUIRE(at == next);
    }
    REQUIRE(next < 2'000);
    CHECK(why.code == std::errc::no_space_on_device);
    CHECK(names(why, orders.path()));
    CHECK(names(why, "topic 'orders', partition 3"));

    for (int again = 0; again < 3; ++again) {  // refused again and again, without a trace
        CHECK(append(log, std::nullopt, value, 0, why) == -1);
        CHECK(why.code == std::errc::no_space_on_device);
        CHECK(log.log_end_offset() == next);
    }
    const reading all = read_from(log, 0, 500);
    CHECK(all.why.text == "");
    CHECK(all.is_at_end);
    CHECK(all.records.size() == static_cast<std::size_t>(next));
    orders.keep_up();  // may fail as well; nothing promised is lost by it
    CHECK(log.sync().text == "");
    CHECK(log.durable_offset() == next);
    CHECK(names_in(orders.files(), ".tmp").empty());

    SECTION("room is made") {
        orders.platform.unlimit_disk();
        for (std::int64_t i = 0; i < 1'000; ++i) {
            REQUIRE(append(log, std::nullopt, value, next + i, why) == next + i);
        }
        next += 1'000;
    }
    SECTION("the log is closed, and opened when there is room") { orders.platform.unlimit_disk(); }
    SECTION("the log is closed, and opened on the full disk") {
        orders.close();
        failure full;
        if (auto reopened = orders.try_open(full)) {
            orders.log = std::move(reopened);
            CHECK(orders.log->log_end_offset() == next);
            CHECK(read_from(*orders.log, 0, 500).records.size() == static_cast<std::size_t>(next));
        } else {
            CHECK(full.code == std::errc::no_space_on_device);
        }
        orders.platform.unlimit_disk();
    }
    SECTION("the process is killed") {
        orders.kill();
        orders.platform.unlimit_disk();
    }
    orders.open();
    CHECK(orders.log->log_end_offset() == next);
    const reading again = read_from(*orders.log, 0, 500);
    CHECK(again.why.text == "");
    REQUIRE(again.records.size() == static_cast<std::size_t>(next));
    for (std::int64_t i = 0; i < next; ++i) {
        const auto& record = again.records[static_cast<std::size_t>(i)];
        if (record.offset != i || record.timestamp != i || record.value != value) {
            FAIL("record " << i << " is another");
        }
    }
}

TEST_CASE("a claim that is given up becomes a filler that nobody is shown", "[storage][appender]") {
    partition orders;
    storage::log& log = orders.open();
    append_range(log, 0, 3);
    failure why;
    storage::claim taken;
    REQUIRE(log.take(800, 5, taken, why));
    std::fill_n(taken.data + 8, taken.length - 8, std::byte{0x5a});
    failure other;
    REQUIRE(append(log, std::nullopt, value_of(8), time_of(8), other) == 8);
    CHECK(log.log_end_offset() == 3);  // readers stop in front of it
    CHECK(read_from(log, 0).records.size() == 3);
    CHECK(read_from(log, 0).is_at_end);
    log.abandon(taken, 5);
    CHECK(log.log_end_offset() == 9);
    auto expected = numbered(0, 3);
    expected.push_back(numbered(8, 9).front());
    CHECK(difference(read_from(log, 0).records, expected) == "");
    CHECK(difference(read_from(log, 5).records, numbered(8, 9)) == "");
    orders.kill();
    orders.machine.reboot();
    orders.open();
    CHECK(difference(read_from(*orders.log, 0).records, expected) == "");
    append_nth(*orders.log, 9);
}

// ---- an appender by itself: what its owner may do to it at any time ----

namespace {

/// Of the mapping that begins there: how much of it this process has pages for.
std::size_t mapped_bytes(const void* begin) {
    std::ifstream all{"/proc/self/smaps"};
    char wanted[40];
    std::snprintf(wanted, sizeof wanted, "%lx-", static_cast<unsigned long>(reinterpret_cast<std::uintptr_t>(begin)));
    bool is_here = false;
    for (std::string line; std::getline(all, line);) {
        is_here = is_here || line.rfind(wanted, 0) == 0;
        if (is_here && line.rfind("Rss:", 0) == 0) {
            return std::stoul(line.substr(4)) * kib;
        }
    }
    FAIL("there is no such mapping");
    return 0;
}

struct by_hand : partition {
    explicit by_hand(std::uint32_t first_window = 64 * kib, std::uint32_t segment_bytes = 256 * kib, storage::log_room room = storage::log_room::for_speed)
        : segment_files{platform, path(), name}, appends{segment_files, chain, events, upkeep_events, segment_bytes, room} {
        failure why;
        storage::segment_pin pin = segment_files.create(0, segment_bytes, first_window, why);
        REQUIRE(pin);
        auto first = std::make_unique<storage::segment>(0, pin, storage::tail_word{0, segment_header_size});
        first->allocated = pin->readable();
        first->ready.store(first->allocated - frame_header_size);
        std::vector<std::unique_ptr<storage::segment>> all;
        all.push_back(std::move(first));
        chain.adopt(std::move(all), 0);
        appends.start();
    }

    /// Takes a claim of so many bytes and gives it up; false, and `why`.
    bool take(std::uint32_t length, failure& why) {
        storage::claim taken;
        if (!appends.take(length, 1, taken, why)) {
            return false;
        }
        appends.abandon(taken, 1, 0);
        return true;
    }
    bool take(std::uint32_t length) {
        failure why;
        return take(length, why);
    }

    storage::segment_directory segment_files;
    storage::segment_chain chain;
    storage::appender appends;
};

}  // namespace

TEST_CASE("what has been stopped does not go on behind a cut, and takes no claim", "[storage][appender]") {
    by_hand orders;
    REQUIRE(orders.take(48));
    const storage::tail_word end = orders.appends.claimed();
    SECTION("it had stopped before") {
        orders.appends.stop(storage::append_state::failed, {errc::partition_failed, "it has failed"});
        CHECK(orders.appends.pause().text == "it has failed");
    }
    SECTION("it stops meanwhile") {
        REQUIRE_FALSE(orders.appends.pause());
        failure why;
        CHECK_FALSE(orders.take(48, why));
        CHECK(why.code == errc::illegal_state);
        orders.appends.stop(storage::append_state::closed, {errc::closed, "it was closed"});
        CHECK_FALSE(orders.appends.resume(end));
    }
    failure why;
    CHECK_FALSE(orders.take(48, why));
    CHECK(orders.appends.claimed().is_sealed());
    CHECK(orders.appends.claimed().end() == end.end());
    CHECK_FALSE(orders.appends.prepare(128 * kib, 4'096));
    CHECK(std::filesystem::file_size(orders.segment_files.log_path(0)) == 64 * kib);
}

TEST_CASE("a cut that comes to its end lets appends go on where it ends", "[storage][appender]") {
    by_hand orders;
    const storage::tail_word end = orders.appends.claimed();
    REQUIRE(orders.take(48));
    REQUIRE_FALSE(orders.appends.pause());
    CHECK(orders.appends.resume(end));
    CHECK(orders.take(48));
    CHECK(orders.appends.claimed().records() == 1);
}

TEST_CASE("there is one spare at most, and none of a log that takes no more appends", "[storage][appender]") {
    by_hand orders{64 * kib, 256 * kib, GENERATE(storage::log_room::for_speed, storage::log_room::for_each_sync)};
    failure why;
    const auto make = [&] {
        storage::segment_pin pin = orders.segment_files.create(std::nullopt, 256 * kib, 64 * kib, why);
        REQUIRE(pin);
        return pin;
    };
    const auto has_spare = [&] { return orders.files().contains("spare.log"); };
    REQUIRE(orders.take(48));
    CHECK(orders.appends.wants_spare());
    SECTION("one that was made elsewhere is taken, as far as it is made") {
        orders.appends.adopt_spare(make());
        CHECK_FALSE(orders.appends.wants_spare());
        REQUIRE_FALSE(orders.appends.roll());
        CHECK_FALSE(orders.appends.wants_spare());  // it has no name yet
        REQUIRE_FALSE(orders.appends.name_taken_spare());
        CHECK(orders.appends.wants_spare());
        CHECK(orders.take(100 * kib));  // more than it is made for
    }
    SECTION("one that was made whole is taken to its limit") {
        orders.appends.adopt_spare(orders.segment_files.create(std::nullopt, 256 * kib, 256 * kib, why));
        REQUIRE_FALSE(orders.appends.roll());
        CHECK(orders.chain.last()->ready.load() == orders.chain.last()->limit);
    }
    SECTION("two at once: one has to go") {
        storage::segment_pin pin = make();
        orders.appends.adopt_spare(pin);
        orders.appends.adopt_spare(std::move(pin));
        CHECK_FALSE(has_spare());
    }
    SECTION("beside one that was taken and has no name yet") {
        orders.appends.adopt_spare(make());
        REQUIRE_FALSE(orders.appends.roll());
        REQUIRE(has_spare());
        SECTION("none is made before that has its name") {
            orders.platform.fail(operation::rename);
            CHECK(orders.appends.prepare_spare().code == std::errc::io_error);
            CHECK(has_spare());
            CHECK_FALSE(orders.appends.prepare_spare());
            CHECK(orders.files().contains(storage::segment_name(1) + ".log"));
        }
        SECTION("none is taken") {
            storage::segment_pin another = orders.segment_files.create(7, 256 * kib, 64 * kib, why);
            orders.appends.adopt_spare(another);
            CHECK_FALSE(orders.appends.wants_spare());
            CHECK(orders.chain.count() == 2);
        }
    }
    SECTION("of a log that was closed") {
        storage::segment_pin pin = make();
        orders.appends.stop(storage::append_state::closed, {errc::closed, "it was closed"});
        CHECK_FALSE(orders.appends.wants_spare());
        SECTION("one that comes from elsewhere") { orders.appends.adopt_spare(pin); }
        SECTION("one that was just being made") {
            orders.segment_files.discard_spare();
            CHECK_FALSE(orders.appends.prepare_spare());
        }
        CHECK_FALSE(has_spare());
    }
}

TEST_CASE("what a log was closed for first is what it says", "[storage][appender]") {
    by_hand orders;
    orders.appends.stop(storage::append_state::closed, {errc::closed, "it was closed"});
    orders.appends.stop(storage::append_state::failed, {errc::partition_failed, "it has failed"});
    CHECK(orders.appends.state() == storage::append_state::closed);
    CHECK(orders.appends.refusal().text == "it was closed");
}

TEST_CASE("a disk that refuses what is prepared says so, and it is prepared once it can be", "[storage][appender][fault]") {
    by_hand orders{64 * kib, 1 * mib};
    REQUIRE(orders.take(48));
    failure why;
    SECTION("a segment's bytes") {
        orders.platform.inject({.on = operation::allocate, .number = ENOSPC});
        CHECK(orders.appends.prepare(128 * kib, 64 * kib).code == std::errc::no_space_on_device);
        CHECK_FALSE(orders.appends.prepare(128 * kib, 64 * kib));
        CHECK(std::filesystem::file_size(orders.segment_files.log_path(0)) >= 128 * kib);
    }
    SECTION("a segment's zeros") {
        orders.platform.fail(operation::write);
        CHECK_FALSE(orders.take(100 * kib, why));
        CHECK(why.code == std::errc::io_error);
        CHECK(names(why, "ahead at position"));
        CHECK(orders.appends.claimed().records() == 1);
        CHECK(orders.take(100 * kib));
    }
    SECTION("a spare's file, or its bytes") {
        const operation call = GENERATE(operation::create, operation::allocate);
        const std::uint64_t nth = call == operation::create ? 1 : 3;  // its first window and its index come before
        orders.platform.inject({.on = call, .call = nth, .number = ENOSPC});
        CHECK(orders.appends.prepare_spare().code == std::errc::no_space_on_device);
        CHECK_FALSE(orders.files().contains("spare.log"));
        CHECK(orders.appends.wants_spare());
        CHECK_FALSE(orders.appends.prepare_spare());
        CHECK(orders.files().contains("spare.log"));
    }
    SECTION("the name of a spare that was taken, when the next one is wanted") {
        REQUIRE_FALSE(orders.appends.prepare_spare());
        REQUIRE_FALSE(orders.appends.roll());
        REQUIRE(orders.take(48));
        orders.platform.fail(operation::rename);
        CHECK(orders.appends.roll().code == std::errc::io_error);
        CHECK(orders.chain.count() == 2);
        CHECK_FALSE(orders.appends.roll());
        CHECK(orders.chain.count() == 3);
        CHECK(orders.take(48));
    }
}

TEST_CASE("where appends wait for the disk room is made in smaller steps, and none of it is mapped before it is needed", "[storage][appender]") {
    const bool waits = GENERATE(false, true);
    by_hand orders{64 * kib, 8 * mib, waits ? storage::log_room::for_each_sync : storage::log_room::for_speed};
    const storage::segment& home = *orders.chain.last();
    const auto grow = [&] {
        const std::uint32_t before = home.allocated;
        while (home.allocated == before) {
            REQUIRE(orders.take(32 * kib));
        }
        return home.allocated - before;
    };
    while (home.allocated < 2 * mib) {
        grow();
    }
    CHECK(grow() == (waits ? 256 * kib : 1 * mib));
    const std::size_t before = mapped_bytes(home.pin()->data());
    const std::uint32_t grown = grow();
    const std::size_t touched = mapped_bytes(home.pin()->data()) - before;
    if (waits) {
        CHECK(touched < grown);  // what claims were given up, and no more
    } else {
        CHECK(touched >= grown);
    }
}

TEST_CASE("who needs room waits for a step of what upkeep makes, and not for all of it", "[storage][appender][threads]") {
    for (int round = 0; round < 20; ++round) {
        by_hand orders{64 * kib, 4 * mib};
        std::atomic<bool> has_room{false};
        std::thread writer;
        int steps = 0;
        orders.platform.on_call([&, upkeep = std::this_thread::get_id()](operation which, const std::string&) {
            if (which != operation::allocate || std::this_thread::get_id() != upkeep) {
                return;
            }
            if (++steps == 1) {
                const std::uint64_t before = orders.platform.waits();
                writer = std::thread{[&] {
                    has_room = orders.take(100 * kib);  // more than there is, and less than the first step brings
                }};
                while (orders.platform.waits() == before) {
                    std::this_thread::yield();
                }
            }
            while (steps == 2 && !has_room) {
                std::this_thread::yield();
            }
        });
        CHECK_FALSE(orders.appends.prepare(4 * mib, mib));
        orders.platform.on_call(nullptr);
        writer.join();
        CHECK(has_room);
        CHECK(steps == 4);
    }
}

TEST_CASE("what is sealed meanwhile is not prepared any further", "[storage][appender]") {
    by_hand orders{64 * kib, 4 * mib};
    REQUIRE(orders.take(48));
    storage::segment& home = *orders.chain.last();
    orders.platform.on_call([&](operation which, const std::string&) {
        if (which == operation::allocate) {
            home.tail.fetch_or(storage::tail_word::sealed_bit);  // as who rolls does
        }
    });
    CHECK_FALSE(orders.appends.prepare(4 * mib, mib));
    orders.platform.on_call(nullptr);
    CHECK(home.allocated == 64 * kib + mib);
}

TEST_CASE("where appends wait for the disk the zeros of a spare are there before it is taken", "[storage][appender][fault]") {
    const bool waits = GENERATE(false, true);
    by_hand orders{64 * kib, 1 * mib, waits ? storage::log_room::for_each_sync : storage::log_room::for_speed};
    REQUIRE(orders.take(48));
    orders.platform.fail(operation::sync, 2);  // behind that of its birth
    const failure why = orders.appends.prepare_spare();
    CHECK(static_cast<bool>(why) == waits);
    CHECK(orders.files().contains("spare.log") != waits);
    if (waits) {
        CHECK(why.code == std::errc::io_error);
        CHECK(names(why, "cannot sync"));
        CHECK_FALSE(orders.appends.prepare_spare());
        CHECK(orders.files().contains("spare.log"));
    }
}

TEST_CASE("a frame that is larger than what a log grows by has its room all the same", "[storage][appender]") {
    by_hand orders{GENERATE(1'000u, 4'096u, 64u * kib), 1 * mib};
    CHECK(orders.take(700 * kib));
    CHECK(orders.take(48));
    CHECK(std::filesystem::file_size(orders.segment_files.log_path(0)) > 700 * kib);
}

TEST_CASE("a log does not grow beyond what its disk is to hold", "[storage][appender]") {
    by_hand orders{64 * kib, 1 * mib};
    storage::disk_budget budget{orders.platform, orders.path(), std::nullopt, std::int64_t{300 * kib}};
    orders.segment_files.count_in(&budget);
    orders.segment_files.heed_budget();
    failure why;
    CHECK_FALSE(orders.take(700 * kib, why));
    CHECK(why.code == std::errc::no_space_on_device);
    CHECK(names(why, "max_bytes"));
    CHECK(std::filesystem::file_size(orders.segment_files.log_path(0)) == 64 * kib);
    CHECK(orders.take(100 * kib));
}

TEST_CASE("a segment whose memory was let go of is not prepared", "[storage][appender]") {
    by_hand orders{4'096, 1 * mib};
    REQUIRE(orders.take(48));
    orders.chain.last()->release();
    CHECK_FALSE(orders.appends.prepare(128 * kib, 4'096));
    CHECK(std::filesystem::file_size(orders.segment_files.log_path(0)) == 4'096);
}

TEST_CASE("a roll whose seal has no room on the disk changes nothing, and goes on when it has", "[storage][appender][fault]") {
    partition orders;
    orders.open();
    append_range(*orders.log, 0, 30);
    std::int64_t next = 30;
    // The record ends within a header of the end of a page: its seal would stand in the next one.
    const std::size_t end = frames_end(orders.files().at("00000000000000000000.log"));
    const auto page = align_up(end + 400, std::size_t{4096});
    failure why;
    REQUIRE(append(*orders.log, std::nullopt, value_for_frame(static_cast<std::uint32_t>(page - 16 - end)), 0, why) == next++);
    orders.close();
    image left = orders.files();
    left.at("00000000000000000000.log").resize(page);
    orders.become(left);
    orders.open();
    const std::string before = orders.files().at("00000000000000000000.log").substr(segment_header_size);
    orders.platform.inject({.on = operation::allocate, .number = ENOSPC});
    why = orders.log->roll();
    CHECK(why.code == std::errc::no_space_on_device);
    CHECK(names(why, "00000000000000000000.log"));
    CHECK(orders.files().at("00000000000000000000.log").substr(segment_header_size) == before);
    CHECK(read_from(*orders.log, 0).records.size() == static_cast<std::size_t>(next));
    REQUIRE(orders.log->roll().text == "");
    append_nth(*orders.log, next);
    orders.open();
    CHECK(orders.log->report().damages.empty());
    CHECK(orders.log->log_end_offset() == next + 1);
}

}  // namespace storage_appender_test
