#include <brook/storage/segment_directory.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_segment_directory_test {

using namespace brook;
using namespace brook::test;
using brook::storage::parse_segment_name;
using brook::storage::segment_name;

namespace {

bool names(const failure& why, const std::string& part) { return why.text.find(part) != std::string::npos; }

struct fixture : partition {
    storage::segment_directory directory_of_segments{platform, path(), name};
    storage::segment_directory* operator->() { return &directory_of_segments; }
};

}  // namespace

TEST_CASE("segments are named by their base offset, in twenty digits", "[storage][segment_directory]") {
    CHECK(segment_name(0) == "00000000000000000000");
    CHECK(segment_name(42) == "00000000000000000042");
    CHECK(segment_name(std::numeric_limits<offset>::max()) == "09223372036854775807");
    for (const offset base : {offset{0}, offset{1}, offset{99'999}, largest_offset}) {
        CHECK(parse_segment_name(segment_name(base) + ".log", ".log") == base);
        CHECK(parse_segment_name(segment_name(base) + ".index", ".index") == base);
        CHECK_FALSE(parse_segment_name(segment_name(base) + ".index", ".log"));
    }
    CHECK_FALSE(parse_segment_name("00000000000000000000.txt", ".log"));
    for (const char* const name : {"", ".log", "spare.log", "0.log", "000000000000000000000.log", "0000000000000000000.log",
                                   "0000000000000000000x.log", "-0000000000000000001.log", " 0000000000000000001.log",
                                   "00000000000000000000.log.tmp", "00000000000000000000log", "99999999999999999999.log",
                                   "04611686018427387905.log"}) {
        CAPTURE(name);
        CHECK_FALSE(parse_segment_name(name, ".log"));
    }
}

TEST_CASE("what a compaction has made is named by where it begins and ends", "[storage][segment_directory]") {
    const auto range = storage::parse_swap_name(storage::swap_name({42, 77}));
    REQUIRE(range);
    CHECK(range->base == 42);
    CHECK(range->end == 77);
    for (const char* const name : {"", "00000000000000000042", "00000000000000000042-", "00000000000000000042+00000000000000000077.swap",
                                   "00000000000000000077-00000000000000000042.swap", "00000000000000000042-00000000000000000042.swap",
                                   "0000000000000000004x-00000000000000000077.swap", "00000000000000000042-00000000000000000077.log"}) {
        CAPTURE(name);
        CHECK_FALSE(storage::parse_swap_name(name));
    }
}

TEST_CASE("a new segment's header and name are on the disk before anything relies on it", "[storage][segment_directory]") {
    fixture files;
    std::vector<std::string> calls;
    files.platform.on_call([&](operation which, const std::string& path) {
        if (which == operation::sync || which == operation::sync_directory || which == operation::rename) {
            calls.push_back(std::string{name(which)} + ' ' + path.substr(path.rfind('/') + 1));
            if (which == operation::sync) {
                const std::string content = read_whole(path);
                CHECK(format::verifies(peek<format::segment_birth>(content, 0)));
                CHECK(format::verifies(peek<format::segment_writer>(content, format::writer_at)));
            }
        }
    });
    failure why;
    const auto made = files->create(42, 64 * kib, 16 * kib, why);
    files.platform.on_call(nullptr);
    REQUIRE(made);
    const std::string base = files.path().substr(files.path().rfind('/') + 1);
    CHECK(calls == std::vector<std::string>{"sync 00000000000000000042.log.tmp", "rename 00000000000000000042.log", "sync_directory " + base});

    storage::segment_summary summary;
    REQUIRE(files->open_summary(files->log_path(42), summary, why));
    CHECK(summary.base == 42);
    CHECK_FALSE(summary.is_spare);
    CHECK(summary.birth.capacity == 64 * kib);
    CHECK(summary.birth.partition == 3);
    CHECK(summary.birth.seed == made->seed());
    CHECK(summary.has_writer);
    CHECK_FALSE(summary.has_footer);
    CHECK(std::filesystem::file_size(files->log_path(42)) == 16 * kib);
}

TEST_CASE("a creation that fails leaves nothing behind, and can be repeated", "[storage][segment_directory][fault]") {
    const bool is_spare = GENERATE(false, true);
    const std::optional<offset> base = is_spare ? std::nullopt : std::optional<offset>{42};
    for (std::uint64_t k = 1;; ++k) {
        fixture files;
        CAPTURE(k, is_spare);
        files.platform.fail_any(k);
        failure why;
        const auto made = files->create(base, 64 * kib, 64 * kib, why);
        if (made) {
            if (files.platform.calls() < k) {
                CHECK(k > 10);
                break;
            }
            continue;  // a call that may fail
        }
        CHECK(why.code == std::errc::io_error);
        CHECK(names(why, files.path()));
        CHECK(names(why, "topic 'orders', partition 3"));
        CHECK(names_in(files.files(), ".log").empty());
        CHECK(names_in(files.files(), ".tmp").empty());
        CHECK(names_in(files.files(), ".index").empty());
        files.platform.heal();
        CHECK(files->create(base, 64 * kib, 64 * kib, why));
    }
}

TEST_CASE("a creation never takes the place of a segment that is there", "[storage][segment_directory]") {
    fixture files;
    failure why;
    auto made = files->create(42, 64 * kib, 64 * kib, why);
    REQUIRE(made);
    atomic_at<std::uint64_t>(made->frame(256)).store(format::frame_word::claimed(48).raw());
    const std::string before = read_whole(files->log_path(42));
    CHECK_FALSE(files->create(42, 64 * kib, 64 * kib, why));
    CHECK(why.code == std::errc::file_exists);
    CHECK(read_whole(files->log_path(42)) == before);
}

TEST_CASE("what a creation has left is made again, and nothing else that has the name", "[storage][segment_directory][fault]") {
    fixture files;
    failure why;
    const std::string path = files->log_path(42);
    SECTION("no segment") { write_whole(path, "a stranger's"); }
    SECTION("one that begins elsewhere") {
        REQUIRE(files->create(43, 64 * kib, 64 * kib, why));
        std::filesystem::rename(files->log_path(43), path);
    }
    SECTION("one that does not say where it begins") {
        REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
        std::string content = read_whole(path);
        flip_bit(content, format::base_check_at * 8);
        write_whole(path, content);
        const std::string spare = files.path() + "/spare.log";
        std::filesystem::rename(path, spare);
        CHECK_FALSE(files->create(std::nullopt, 64 * kib, 64 * kib, why));  // it may have been taken
        CHECK(why.code == std::errc::file_exists);
        CHECK(read_whole(spare) == content);
        return;
    }
    SECTION("one of which nobody can tell") {
        REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
        files.platform.inject({.on = operation::read, .call = 2, .path = path.substr(path.rfind('/'))});  // behind its header
    }
    SECTION("the same segment, without a frame: it is its own") {
        REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
        CHECK(files->create(42, 64 * kib, 64 * kib, why));
        return;
    }
    const std::string before = read_whole(path);
    CHECK_FALSE(files->create(42, 64 * kib, 64 * kib, why));
    CHECK(why.code == std::errc::file_exists);
    CHECK(read_whole(path) == before);
}

TEST_CASE("a segment that is not there has been removed", "[storage][segment_directory]") {
    fixture files;
    failure why;
    REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
    CHECK_FALSE(files->remove(42));
    CHECK_FALSE(files->remove(42));
    files.platform.fail(operation::remove, 2);
    CHECK(files->remove(42).code == std::errc::io_error);
}

TEST_CASE("what segments take of the disk is counted, and asked for where that is heeded", "[storage][segment_directory]") {
    fixture files;
    failure why;
    storage::disk_budget budget{files.platform, files.path(), std::nullopt, std::int64_t{100 * kib}};
    bool must_count = false;
    const auto taken = [&] { return budget.excess(0, {}, must_count) + 100 * kib; };
    files->count_in(&budget);
    const bool is_heeded = GENERATE(false, true);
    if (is_heeded) {
        files->heed_budget();
    }
    REQUIRE(files->create(0, 64 * kib, 64 * kib, why));
    const std::int64_t one = taken();
    CHECK(one > 64 * kib);
    CHECK(static_cast<bool>(files->create(1, 64 * kib, 64 * kib, why)) == !is_heeded);
    if (is_heeded) {
        CHECK(why.code == std::errc::no_space_on_device);
        CHECK(names(why, "no disk space for a segment"));
        CHECK(names_in(files.files(), ".log").size() == 1);
        CHECK(files->create(1, 64 * kib, 64 * kib, why, true));  // what has to be, so that something can go
    }
    CHECK(taken() == 2 * one);
}

TEST_CASE("since when a compacted segment's tombstones stand counts when it verifies", "[storage][segment_directory]") {
    fixture files;
    storage::segment_summary summary;
    std::string header(format::segment_header_size, '\0');
    const auto birth = format::make_birth(77, 64 * kib, files.name.topic_id, files.name.number, format::segment_flag::compacted);
    poke(header, 0, birth);
    std::int64_t since = 5'000;
    std::uint64_t check = format::tombstones_check(77, since);
    SECTION("it does") {}
    SECTION("its check is another one's") {
        ++check;
        since = 0;
    }
    SECTION("it is no time") {
        since = -5'000;
        check = format::tombstones_check(77, since);
    }
    poke(header, format::tombstones_at, since == 0 ? std::int64_t{5'000} : since);
    poke(header, format::tombstones_check_at, check);
    CHECK_FALSE(storage::summarize({reinterpret_cast<const std::byte*>(header.data()), header.size()}, "x.log", files.name, summary));
    CHECK(summary.is_compacted());
    CHECK(summary.tombstones_since == (since > 0 ? since : 0));
}

TEST_CASE("whatever call fails while a deleted segment is made a spare, nothing is left of it, and another can be made", "[storage][segment_directory][fault]") {
    constexpr std::uint32_t capacity = 300 * kib;  // more than is cleared at once, and no multiple of that
    bool has_met = true;
    std::uint64_t failed = 0;
    for (std::uint64_t k = 1; has_met; ++k) {
        CAPTURE(k);
        fixture files;
        failure why;
        {
            const auto old = files->create(42, capacity, capacity, why);
            REQUIRE(old);
            std::memset(old->frame(256), 0x5a, capacity - 256);
        }
        files.platform.forget_calls();
        files.platform.fail_any(k);
        const bool is_taken = files->take_for_recycling(42);
        CHECK(files.files().contains("00000000000000000042.log") == !is_taken);
        storage::segment_pin spare = is_taken ? files->recycle(capacity, why) : nullptr;
        has_met = files.platform.calls() >= k;
        files.platform.heal();
        if (spare) {
            const std::string content = files.files().at("spare.log");
            CHECK(content.size() == capacity);
            CHECK(content.find_first_not_of('\0', 256) == std::string::npos);
            continue;
        }
        ++failed;
        if (is_taken) {
            CHECK(why.code == std::errc::io_error);
            CHECK(names(why, files.path()));
            files->discard(files.path() + "/recycled.log.tmp");  // an opening does that
            CHECK(names_in(files.files(), "spare.log").empty());
        }
        CHECK(files->create(std::nullopt, capacity, capacity, why));
    }
    CHECK(failed > 5);
}

TEST_CASE("an index that is made anew says that the segment is in doubt", "[storage][segment_directory]") {
    fixture files;
    failure why;
    REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
    CHECK(files->open(files->log_path(42), files->index_path(42), why)->doubt() == storage::doubt::none);
    files->discard(files->index_path(42));
    CHECK(files->open(files->log_path(42), files->index_path(42), why)->doubt() == storage::doubt::is_syncing);
    CHECK(files->open(files->log_path(42), files->index_path(42), why)->doubt() == storage::doubt::is_syncing);  // it is there now, and says so
}

TEST_CASE("an index that was not made to its end says that the segment is in doubt", "[storage][segment_directory]") {
    fixture files;
    failure why;
    REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
    files->discard(files->index_path(42));
    const operation fails = GENERATE(operation::write, operation::allocate, operation::map);  // or its maker was killed there
    files.platform.inject({.on = fails, .path = ".index"});
    const auto without = files->open(files->log_path(42), files->index_path(42), why);
    CHECK_FALSE(without->has_index());
    CHECK(without->doubt() == storage::doubt::is_syncing);
    without->note(storage::index_interval, 48, 1);  // it does without
    CHECK(without->slot(1).at == 0);
    const auto with = files->open(files->log_path(42), files->index_path(42), why);
    CHECK(with->has_index());
    CHECK(with->doubt() == storage::doubt::is_syncing);
}

TEST_CASE("what is not this partition's segment is refused, and why is told", "[storage][segment_directory]") {
    fixture files;
    failure why;
    REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
    const std::string path = files->log_path(42);
    const std::string good = read_whole(path);
    std::string bad = good;
    const auto rewrite_birth = [&](const auto& change) {
        auto birth = peek<format::segment_birth>(good, 0);
        change(birth);
        birth.checksum = format::detail::checksum_before_last(birth);
        poke(bad, 0, birth);
    };
    errc expected = errc::corrupt_record;
    SECTION("empty") { bad.clear(); }
    SECTION("shorter than a header") { bad.resize(255); }
    SECTION("another kind of file") { bad[0] = 'B'; }
    SECTION("a bit of the birth certificate") { flip_bit(bad, GENERATE(0u, 100u, 200u, 300u, 500u)); }
    SECTION("another topic") { rewrite_birth([](auto& birth) { birth.topic[5] ^= std::byte{1}; }); }
    SECTION("another partition") { rewrite_birth([](auto& birth) { birth.partition = 4; }); }
    SECTION("another header size") { rewrite_birth([](auto& birth) { birth.header_size = 512; }); }
    SECTION("a capacity too small for a frame") { rewrite_birth([](auto& birth) { birth.capacity = 300; }); }
    SECTION("a capacity beyond what a position holds") { rewrite_birth([](auto& birth) { birth.capacity = 0xffff'ffff; }); }
    SECTION("a newer version") {
        rewrite_birth([](auto& birth) { birth.version = 2; });
        expected = errc::unsupported_version;
    }
    write_whole(path, bad);
    CHECK_FALSE(files->open(path, files->index_path(42), why));
    CHECK(why.code == expected);
    CHECK(names(why, path));
    CHECK(names(why, "topic 'orders', partition 3"));
}

TEST_CASE("each piece of a header counts only when it verifies", "[storage][segment_directory]") {
    fixture files;
    failure why;
    REQUIRE(files->create(42, 64 * kib, 64 * kib, why));
    const std::string path = files->log_path(42);
    std::string content = read_whole(path);
    const auto seed = peek<format::segment_birth>(content, 0).seed;
    poke(content, format::footer_at, format::make_footer(seed, 77, 1'000, 5));
    const auto read = [&] {
        write_whole(path, content);
        storage::segment_summary summary;
        const auto file = files->open_summary(path, summary, why);
        REQUIRE(file);
        std::error_code unknown;
        const bool is_same = storage::same_identity(summary, *file, unknown);
        REQUIRE_FALSE(unknown);
        return std::pair{summary, is_same};
    };
    {
        const auto [summary, is_same] = read();
        REQUIRE(summary.has_footer);
        CHECK(summary.footer.end_offset == 77);
        CHECK(summary.footer.seal_position == 1'000);
        CHECK(is_same);
    }
    SECTION("the footer is another segment's") {
        poke(content, format::footer_at, format::make_footer(seed + 1, 77, 1'000, 5));
        CHECK_FALSE(read().first.has_footer);
    }
    SECTION("the footer has a flipped bit") {
        flip_bit(content, format::footer_at * 8 + GENERATE(0u, 70u, 100u, 150u, 200u, 300u));
        CHECK_FALSE(read().first.has_footer);
    }
    SECTION("the writer has a flipped bit") {
        flip_bit(content, format::writer_at * 8 + GENERATE(0u, 130u, 200u, 300u, 380u));
        CHECK_FALSE(read().first.has_writer);
        CHECK_FALSE(read().second);
    }
    SECTION("the base has a flipped bit") {
        flip_bit(content, format::base_at * 8 + GENERATE(0u, 63u, 64u, 127u));
        CHECK_FALSE(read().first.base);
        CHECK_FALSE(read().first.is_spare);
    }
    SECTION("the base is no offset, and its check is right") {
        const auto plus_one = GENERATE(static_cast<std::uint64_t>(brook::largest_offset) + 2, std::uint64_t{1} << 63, ~std::uint64_t{0});
        poke(content, format::base_at, plus_one);
        poke(content, format::base_check_at, format::base_check(seed, plus_one));
        CHECK_FALSE(read().first.base);
        CHECK_FALSE(read().first.is_spare);
    }
    SECTION("the boot is another") {
        files.machine.reboot();
        CHECK(read().first.has_writer);
        CHECK_FALSE(read().second);
    }
}

}  // namespace storage_segment_directory_test
