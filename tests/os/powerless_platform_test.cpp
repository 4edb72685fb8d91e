#include "support/from_disk.hpp"
#include "support/powerless_platform.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "support/catch.hpp"

namespace os_powerless_platform_test {

using namespace brook;
using namespace brook::test;

namespace {

std::unique_ptr<os::file> create(powerless_platform& machine, const std::string& path) {
    std::error_code code;
    auto file = machine.open(path, os::open_mode::create, code);
    INFO(code.message());
    REQUIRE(file);
    return file;
}

/// What a file holds when the machine is on again; "gone" without one.
std::string text_of(disk_state disk, const std::string& path) {
    const auto node = disk.find(path);
    if (!node) {
        return "gone";
    }
    const auto raw = disk.read(*node);
    return std::string{as_text(raw)};
}

std::set<std::string> all_texts(const disk_state& disk, const std::string& path) {
    const loss_of_power loss{disk};
    std::set<std::string> texts;
    loss.for_each_choice([&](const crash_choice& choice) { texts.insert(text_of(loss.decide(choice), path)); });
    return texts;
}

using texts = std::set<std::string>;

}  // namespace

TEST_CASE("powerless_platform loses what was not synced, or keeps it", "[os][powerless_platform]") {
    powerless_platform machine{disk_state{}};
    const auto file = create(machine, "/f");
    REQUIRE_FALSE(file->write_at(0, as_bytes("one")));
    CHECK(all_texts(machine.look(), "/f") == texts{"gone", "", std::string(3, '\0'), "one"});
    REQUIRE_FALSE(machine.sync_directory("/"));
    CHECK(all_texts(machine.look(), "/f") == texts{"", std::string(3, '\0'), "one"});
    REQUIRE_FALSE(file->sync());
    CHECK(all_texts(machine.look(), "/f") == texts{"one"});
    REQUIRE_FALSE(file->write_at(0, as_bytes("two")));
    REQUIRE_FALSE(file->write_at(0, as_bytes("six")));
    CHECK(all_texts(machine.look(), "/f") == texts{"one", "two", "six"});
    CHECK(text_of(machine.look(), "/f") == "six");  // a kill loses nothing
    powerless_platform killed{machine.look()};
    CHECK(all_texts(killed.look(), "/f") == texts{"one", "two", "six"});  // and saves nothing
}

TEST_CASE("powerless_platform sees what is stored to a mapping", "[os][powerless_platform]") {
    powerless_platform machine{disk_state{}};
    const auto file = create(machine, "/f");
    REQUIRE_FALSE(machine.sync_directory("/"));
    REQUIRE_FALSE(file->allocate(0, 2 * disk_page));
    REQUIRE_FALSE(file->sync());
    std::error_code code;
    const auto map = file->map(4 * disk_page, code);
    REQUIRE(map);
    map->data()[0] = std::byte{'a'};
    map->data()[disk_page] = std::byte{'b'};
    const loss_of_power loss{machine.look()};
    CHECK(loss.count() == 4);
    std::vector<std::byte> two(2);
    REQUIRE_FALSE(file->read_at(disk_page - 1, two));
    CHECK(two.back() == std::byte{'b'});
    REQUIRE_FALSE(file->punch(disk_page, disk_page));
    CHECK(map->data()[disk_page] == std::byte{0});
    CHECK(loss_of_power{machine.look()}.count() == 4);
    CHECK(machine.misuse() == "");
    map->data()[2 * disk_page] = std::byte{'c'};
    static_cast<void>(machine.look());
    CHECK(machine.misuse() != "");
}

TEST_CASE("powerless_platform makes changes of a directory durable in any order, or not", "[os][powerless_platform]") {
    powerless_platform machine{disk_state{}};
    static_cast<void>(create(machine, "/a"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    REQUIRE_FALSE(machine.rename_to_new("/a", "/b"));
    static_cast<void>(create(machine, "/c"));
    texts found;
    const disk_state last = machine.look();
    const loss_of_power loss{last};
    loss.for_each_choice([&](const crash_choice& choice) {
        const disk_state after = loss.decide(choice);
        std::string names;
        for (const char* const name : {"/a", "/b", "/c"}) {
            names += after.find(name) ? name : "";
        }
        found.insert(names);
    });
    CHECK(found == texts{"/a", "/a/c", "/b", "/b/c"});
    CHECK(machine.rename_to_new("/b", "/c") == std::errc::file_exists);
    REQUIRE_FALSE(machine.sync_directory("/"));
    CHECK(loss_of_power{machine.look()}.count() == 1);
}

TEST_CASE("a sync of powerless_platform that fails loses pages that pass for clean", "[os][powerless_platform]") {
    bool was_lost = false;
    bool was_lost_for_good = false;
    for (std::uint64_t run = 0; run < 32; ++run) {
        const bool is_stored_again = run % 2 == 1;
        const bool has_been_written = run >= 16;
        disk_state begin;
        begin.chance = run % 16 / 2;
        powerless_platform machine{begin};
        const auto file = create(machine, "/f");
        REQUIRE_FALSE(file->allocate(0, disk_page));
        if (has_been_written) {
            REQUIRE_FALSE(file->write_at(1, as_bytes("b")));
        }
        REQUIRE_FALSE(file->sync());
        REQUIRE_FALSE(machine.sync_directory("/"));
        std::error_code code;
        const auto map = file->map(disk_page, code);
        auto* const cell = reinterpret_cast<volatile char*>(map->data());
        *cell = 'a';
        machine.fail_sync(1);
        CHECK(file->sync() == std::errc::io_error);
        CHECK_FALSE(file->sync());  // and says nothing
        const bool is_lost = text_of(loss_of_power{machine.look()}.decide_nothing(), "/f").front() != 'a';
        was_lost |= is_lost;
        CHECK(*cell == 'a');
        if (is_stored_again) {
            *cell = *cell;  // the same byte: its page is dirty again
            CHECK_FALSE(file->sync());
            const bool has_come = text_of(loss_of_power{machine.look()}.decide_nothing(), "/f").front() == 'a';
            CHECK(has_come == (has_been_written || !is_lost));  // else its block is taken for written, and never is
            was_lost_for_good |= !has_come;
            std::array<std::byte, 1> first;
            REQUIRE_FALSE(brook::test::read_from_disk(*file, 0, first));
            CHECK((first[0] == std::byte{'a'}) == has_come);
        } else {
            powerless_platform killed{machine.look()};
            const auto same = killed.open("/f", os::open_mode::read_write, code);
            CHECK_FALSE(same->sync());
            CHECK((text_of(loss_of_power{killed.look()}.decide_nothing(), "/f").front() == 'a') == !is_lost);
        }
    }
    CHECK(was_lost);
    CHECK(was_lost_for_good);
}

TEST_CASE("a rename over another file is one change of a directory", "[os][powerless_platform]") {
    powerless_platform machine{disk_state{}};
    std::error_code code;
    for (const char* const name : {"/a", "/b"}) {
        const auto file = create(machine, name);
        REQUIRE_FALSE(file->write_at(0, as_bytes(name)));
        REQUIRE_FALSE(file->sync());
    }
    REQUIRE_FALSE(machine.sync_directory("/"));
    const auto old = machine.open("/b", os::open_mode::read_write, code);
    CHECK(machine.rename_over("/c", "/b") == std::errc::no_such_file_or_directory);
    REQUIRE_FALSE(machine.rename_over("/a", "/b"));
    std::array<std::byte, 2> text;
    REQUIRE_FALSE(old->read_at(0, text));
    CHECK(text[1] == std::byte{'b'});
    texts found;
    const disk_state last = machine.look();
    const loss_of_power loss{last};
    loss.for_each_choice([&](const crash_choice& choice) {
        const disk_state after = loss.decide(choice);
        found.insert((after.find("/a") ? text_of(after, "/a") : "") + text_of(after, "/b"));
    });
    CHECK(found == texts{"/a/b", "/a"});
}

}  // namespace os_powerless_platform_test
