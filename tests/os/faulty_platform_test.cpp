#include "support/faulty_platform.hpp"  // first, so that it must stand alone

#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/from_disk.hpp"
#include "support/temp_directory.hpp"

namespace os_faulty_platform_test {

using namespace std::chrono_literals;
using brook::kib;
using brook::os::open_mode;
using brook::test::fault;
using brook::test::faulty_platform;
using brook::test::operation;
using brook::test::temp_directory;

namespace {

std::unique_ptr<brook::os::file> create(faulty_platform& platform, const std::string& path) {
    std::error_code code;
    auto created = platform.open(path, open_mode::create, code);
    INFO(code.message());
    REQUIRE(created);
    return created;
}

/// Every operation once, in the order of the enumeration; those that failed are told.
std::vector<operation> failures_of_a_tour(faulty_platform& platform, const std::string& directory) {
    std::vector<operation> failed;
    const auto note = [&](operation which, bool is_failure) {
        if (is_failure) {
            failed.push_back(which);
        }
    };
    std::error_code code;
    // Made by the real one, so that a failure here does not make all that follows impossible.
    auto& real = brook::os::posix();
    REQUIRE(real.open(directory + "/old", open_mode::create, code));

    const auto by_open = platform.open(directory + "/old", open_mode::read_write, code);
    note(operation::open, !by_open);
    auto file = platform.open(directory + "/new", open_mode::create, code);
    note(operation::create, !file);
    if (!file) {
        file = real.open(directory + "/new", open_mode::create, code);
    }
    std::uint64_t size = 0;
    note(operation::size, static_cast<bool>(file->size(size)));
    note(operation::read, static_cast<bool>(file->read_at(0, {})));
    const auto from_disk = brook::test::read_from_disk(*file, 0, {});
    note(operation::read_from_disk, from_disk && from_disk != std::errc::not_supported);  // which not every file system has
    note(operation::write, static_cast<bool>(file->write_at(0, brook::as_bytes("brook"))));
    note(operation::allocate, static_cast<bool>(file->allocate(0, 64 * kib)));
    note(operation::punch, static_cast<bool>(file->punch(0, 4 * kib)));
    note(operation::sync, static_cast<bool>(file->sync()));
    note(operation::write_back, static_cast<bool>(file->write_back(0, 64 * kib)));
    file->start_writeback(0, 64 * kib);
    auto mapped = file->map(64 * kib, code);
    note(operation::map, !mapped);
    if (mapped) {
        REQUIRE_FALSE(real.open(directory + "/new", open_mode::read_write, code)->allocate(0, 64 * kib));
        const std::error_code populated = mapped->populate(0, 64 * kib);
        note(operation::populate, populated && populated != std::errc::invalid_argument);
        mapped->release_pages();
        note(operation::detach, static_cast<bool>(mapped->detach()));
    }
    brook::os::file_identity id;
    note(operation::identity, static_cast<bool>(file->identity(id)));
    note(operation::rename, static_cast<bool>(platform.rename_to_new(directory + "/old", directory + "/renamed")));
    if (::access((directory + "/old").c_str(), F_OK) == 0) {
        REQUIRE_FALSE(real.rename_to_new(directory + "/old", directory + "/renamed"));
    }
    note(operation::remove, static_cast<bool>(platform.remove(directory + "/renamed")));
    note(operation::make_directory, static_cast<bool>(platform.make_directory(directory + "/inner")));
    [[maybe_unused]] const std::error_code made = real.make_directory(directory + "/inner");  // there or not
    note(operation::remove_directory, static_cast<bool>(platform.remove_directory(directory + "/inner")));
    note(operation::sync_directory, static_cast<bool>(platform.sync_directory(directory)));
    std::vector<brook::os::directory_entry> entries;
    note(operation::list, static_cast<bool>(platform.list(directory, entries)));
    note(operation::lock_file, !platform.lock_file(directory + "/lock", code));
    note(operation::disk_bytes, static_cast<bool>(platform.disk_bytes(directory, size)));
    note(operation::free_bytes, static_cast<bool>(platform.free_bytes(directory, size)));
    [[maybe_unused]] const auto kind = platform.filesystem_of(directory);
    try {
        platform.release_wiped_on_fork(platform.allocate_wiped_on_fork(8), 8);
    } catch (const std::bad_alloc&) {
        note(operation::allocate_wiped_on_fork, true);
    }
    return failed;
}

}  // namespace

TEST_CASE("a faulty platform without faults does what the real one does, and counts", "[os][faulty_platform]") {
    const temp_directory directory;
    faulty_platform platform;
    CHECK(failures_of_a_tour(platform, directory.path()).empty());

    for (std::size_t i = 0; i < brook::test::operation_count; ++i) {
        const auto which = static_cast<operation>(i);
        CAPTURE(name(which));
        CHECK(platform.calls(which) == 1);
    }
    CHECK(platform.calls() == brook::test::operation_count);
    platform.forget_calls();
    CHECK(platform.calls() == 0);
}

TEST_CASE("each operation can be made to fail, and fails alone", "[os][faulty_platform]") {
    const auto which = static_cast<operation>(GENERATE(range(std::size_t{0}, brook::test::operation_count)));
    CAPTURE(name(which));
    const temp_directory directory;
    faulty_platform platform;
    platform.fail(which);

    const std::vector<operation> failed = failures_of_a_tour(platform, directory.path());
    CHECK(platform.calls(which) == 1);
    if (which == operation::start_writeback || which == operation::release_pages || which == operation::filesystem_of) {
        CHECK(failed.empty());  // these have no way to say so
    } else {
        CHECK(failed == std::vector<operation>{which});
    }
}

TEST_CASE("faults name their call, their errno, how long they last, and on which path", "[os][faulty_platform]") {
    const temp_directory directory;
    faulty_platform platform;
    const auto log = create(platform, directory / "0.log");
    const auto index = create(platform, directory / "0.index");

    SECTION("the third call, once") {
        platform.fail(operation::write, 3, EDQUOT);
        CHECK_FALSE(log->write_at(0, brook::as_bytes("1")));
        CHECK_FALSE(index->write_at(0, brook::as_bytes("2")));
        CHECK(log->write_at(0, brook::as_bytes("3")).value() == EDQUOT);
        CHECK_FALSE(log->write_at(0, brook::as_bytes("4")));
    }
    SECTION("the second call and all after it, until healed") {
        platform.inject({.on = operation::sync, .call = 2, .lasting = true});
        CHECK_FALSE(log->sync());
        CHECK(log->sync() == std::errc::io_error);
        CHECK(index->sync() == std::errc::io_error);
        platform.heal();
        CHECK_FALSE(log->sync());
    }
    SECTION("whatever the fourth call is") {
        platform.fail_any(4);
        CHECK_FALSE(log->write_at(0, brook::as_bytes("1")));
        CHECK_FALSE(log->sync());
        CHECK_FALSE(platform.sync_directory(directory.path()));
        CHECK(platform.make_directory(directory / "inner") == std::errc::io_error);
        CHECK_FALSE(platform.make_directory(directory / "inner"));
    }
    SECTION("only on one path") {
        platform.inject({.on = operation::sync, .lasting = true, .path = ".index"});
        CHECK_FALSE(log->sync());
        CHECK(index->sync() == std::errc::io_error);
        platform.inject({.on = operation::rename, .path = "-> " + directory / "1.log"});
        CHECK_FALSE(platform.rename_to_new(directory / "0.log", directory / "2.log"));
        CHECK(platform.rename_to_new(directory / "2.log", directory / "1.log") == std::errc::io_error);
    }
    SECTION("a call that fails is not made") {
        platform.fail(operation::write);
        CHECK(log->write_at(0, brook::as_bytes("brook")) == std::errc::io_error);
        std::uint64_t size = 1;
        REQUIRE_FALSE(log->size(size));
        CHECK(size == 0);

        platform.fail_syncs();
        CHECK(log->sync() == std::errc::io_error);
        CHECK(log->sync() == std::errc::io_error);

        platform.fail(operation::create);
        std::error_code code;
        CHECK_FALSE(platform.open(directory / "never", open_mode::create, code));
        CHECK(code == std::errc::io_error);
        CHECK_FALSE(platform.open(directory / "never", open_mode::read_write, code));
        CHECK(code == std::errc::no_such_file_or_directory);
    }
}

TEST_CASE("a small disk fills up, and takes more when it has grown", "[os][faulty_platform]") {
    const temp_directory directory;
    faulty_platform platform;
    platform.limit_disk(100 * kib);
    const auto first = create(platform, directory / "first");
    const auto second = create(platform, directory / "second");

    CHECK_FALSE(first->allocate(0, 64 * kib));
    CHECK_FALSE(first->allocate(0, 64 * kib));         // has it already
    CHECK_FALSE(first->allocate(32 * kib, 48 * kib));  // 16 KiB of it new
    CHECK(platform.disk_left() == 20 * kib);
    CHECK(second->allocate(0, 24 * kib) == std::errc::no_space_on_device);
    CHECK_FALSE(second->allocate(0, 20 * kib));
    CHECK(platform.disk_left() == 0);
    CHECK(first->allocate(80 * kib, 1) == std::errc::no_space_on_device);

    std::uint64_t size = 0;
    REQUIRE_FALSE(first->size(size));
    CHECK(size == 80 * kib);

    platform.add_disk(4 * kib);
    CHECK_FALSE(first->allocate(80 * kib, 4 * kib));
    platform.unlimit_disk();
    CHECK_FALSE(first->allocate(0, 256 * kib));
    CHECK_FALSE(platform.disk_left());
}

TEST_CASE("a hook hears of each operation first, and may make that very call fail", "[os][faulty_platform]") {
    const temp_directory directory;
    faulty_platform platform;
    std::vector<std::string> heard;
    platform.on_call([&](operation which, const std::string& path) {
        heard.push_back(std::string{name(which)} + " " + path);
        if (which == operation::sync_directory) {
            platform.fail(operation::sync_directory, 1, ENOSPC);
        }
    });

    const auto file = create(platform, directory / "file");
    CHECK_FALSE(file->sync());
    CHECK_FALSE(platform.rename_to_new(directory / "file", directory / "renamed"));
    CHECK(platform.sync_directory(directory.path()) == std::errc::no_space_on_device);
    CHECK(heard == std::vector<std::string>{"create " + directory / "file", "sync " + directory / "file",
                                            "rename " + directory / "file" + " -> " + directory / "renamed",
                                            "sync_directory " + directory.path()});

    platform.on_call(nullptr);
    CHECK_FALSE(file->sync());
    CHECK(heard.size() == 4);
}

TEST_CASE("the clocks are the real ones until they are set, and then stand until advanced", "[os][faulty_platform]") {
    faulty_platform platform;
    const auto real = brook::os::posix().monotonic();
    CHECK(platform.monotonic() >= real);
    platform.advance_now(1h);  // of a clock that is not set: nothing
    CHECK(platform.now().time_since_epoch() > 0ns);

    platform.set_now(brook::timestamp{5s});
    platform.set_monotonic(7s);
    CHECK(platform.now() == brook::timestamp{5s});
    CHECK(platform.monotonic() == 7s);
    platform.advance_now(1h);
    platform.advance_now(-2h);
    platform.advance_monotonic(3s);
    CHECK(platform.now() == brook::timestamp{5s - 1h});
    CHECK(platform.monotonic() == 10s);

    platform.use_real_now();
    platform.use_real_monotonic();
    CHECK(platform.now() > brook::timestamp{24h});
    CHECK(platform.monotonic() >= real);

    platform.shift_real_now(240h);
    CHECK(platform.now() > brook::os::posix().now() + 239h);
    platform.shift_real_now(-240h);  // of the real one, not of what it was shifted to
    const brook::timestamp early = platform.now();
    CHECK(early > brook::os::posix().now() - 241h);
    CHECK(early < brook::os::posix().now() - 239h);
}

TEST_CASE("files, mappings and locks outlive the faulty platform that made them", "[os][faulty_platform]") {
    const temp_directory directory;
    std::unique_ptr<brook::os::file> file;
    std::unique_ptr<brook::os::mapping> mapped;
    {
        faulty_platform platform;
        std::error_code code;
        file = create(platform, directory / "file");
        REQUIRE_FALSE(file->allocate(0, 4 * kib));
        mapped = file->map(4 * kib, code);
        REQUIRE(mapped);
    }
    CHECK_FALSE(file->sync());
    CHECK_FALSE(mapped->detach());
}

TEST_CASE("exactly one of many threads meets a fault", "[os][faulty_platform]") {
    const temp_directory directory;
    faulty_platform platform;
    const auto file = create(platform, directory / "file");
    platform.on_call([](operation, const std::string&) {});
    platform.fail(operation::write, 1'000);

    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int call = 0; call < 500; ++call) {
                failures += file->write_at(0, brook::as_bytes("brook")) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(failures == 1);
    CHECK(platform.calls(operation::write) == 2'000);
}

}  // namespace os_faulty_platform_test
