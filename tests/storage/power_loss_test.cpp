#include <brook/storage/log.hpp>  // first, so that it must stand alone

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/partition.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace storage_power_loss_test {

// What tests/fault/power_loss.cpp found, one test each, on its machine. That program looks for more.

using namespace brook;
using namespace brook::test;
using brook::format::frame_header_size;
using brook::format::segment_header_size;

namespace {

constexpr const char* first_log = "/p/00000000000000000000.log";
constexpr std::uint32_t fills_a_page = 4096 - segment_header_size - frame_header_size;  // value of a segment's first record

disk_state empty_partition() {
    powerless_platform machine{disk_state{}};
    REQUIRE_FALSE(machine.make_directory("/p"));
    REQUIRE_FALSE(machine.sync_directory("/"));
    return machine.look();
}

/// A log on a machine of its own, which is switched off with it.
struct running {
    explicit running(disk_state from, std::uint32_t segment_bytes = 8 * kib)
        : machine{std::move(from)}, events{machine}, upkeep_events{machine}, segment_bytes_{segment_bytes} {}
    ~running() { machine.unplug(); }

    bool open() {
        why = {};
        log = storage::log::open({machine, "/p", {"t", {}, 0}}, {.segment_bytes = segment_bytes_}, events, upkeep_events, why);
        return log != nullptr;
    }
    void require_open() {
        const bool is_open = open();
        INFO(why.text);
        REQUIRE(is_open);
    }

    void append(const std::string& value) {
        failure failed;
        const offset at = test::append(*log, std::nullopt, value, 0, failed);
        INFO(failed.text);
        REQUIRE(at >= 0);
    }

    [[nodiscard]] std::vector<std::string> values() {
        const reading all = read_from(*log, 0);
        INFO(all.why.text);
        REQUIRE_FALSE(all.why);
        std::vector<std::string> found;
        for (const auto& record : all.records) {
            found.push_back(record.value.value_or("null"));
        }
        return found;
    }

    /// Every state in which a process that does this may be killed, at a call of the platform.
    template <class Work>
    std::vector<disk_state> watch(const Work& work) {
        std::vector<disk_state> states;
        machine.on_call([&](auto& held, const char*) { states.push_back(held.state()); });
        work();
        machine.on_call(nullptr);
        states.push_back(machine.look());
        return states;
    }

    powerless_platform machine;
    storage::event_count events;
    storage::event_count upkeep_events;
    std::unique_ptr<storage::log> log;
    failure why;

private:
    std::uint32_t segment_bytes_;
};

/// Changes a byte, on the disk too.
void flip(powerless_platform& machine, const std::string& path, std::uint64_t at) {
    std::error_code code;
    const auto file = machine.open(path, os::open_mode::read_write, code);
    REQUIRE(file);
    std::array<std::byte, 1> one{};
    REQUIRE_FALSE(file->read_at(at, one));
    one[0] ^= std::byte{0x40};
    REQUIRE_FALSE(file->write_at(at, one));
    REQUIRE_FALSE(file->sync());
}

bool is_prefix(const std::vector<std::string>& of, const std::vector<std::string>& all) {
    return of.size() <= all.size() && std::equal(of.begin(), of.end(), all.begin());
}

/// A log of three records, as a loss of power left it: of the first, which fills the first page, a byte is not what it
/// was; the others, in the second page, are whole.
disk_state with_a_torn_first_record() {
    running before{empty_partition()};
    before.require_open();
    before.append(std::string(fills_a_page, 'a'));
    before.append("old one");
    before.append("old two");
    flip(before.machine, first_log, 1'000);
    return loss_of_power{before.machine.look()}.decide_everything();
}

}  // namespace

TEST_CASE("what is durable after a kill stays, even if the dead process had not synced the segment's name", "[storage][power]") {
    running before{empty_partition()};
    std::vector<disk_state> states;
    SECTION("of the first segment") {
        states = before.watch([&] { before.require_open(); });
    }
    SECTION("of the next one") {
        before.require_open();
        before.append("a");
        states = before.watch([&] { REQUIRE_FALSE(before.log->roll()); });
    }
    for (const auto& killed : states) {
        running after{killed};
        after.require_open();
        after.append("b");
        REQUIRE_FALSE(after.log->sync());
        const auto sent = after.values();
        running later{loss_of_power{after.machine.look()}.decide_nothing()};
        later.require_open();
        CHECK(later.values() == sent);
        CHECK(later.log->report().damages.empty());
    }
}

TEST_CASE("a tail that a killed recovery has erased does not come back behind new records", "[storage][power]") {
    running recovering{with_a_torn_first_record()};
    const auto states = recovering.watch([&] { recovering.require_open(); });
    CHECK(recovering.log->report().cut_bytes > 0);
    std::size_t count = 0;
    for (const auto& killed : states) {
        running after{killed};
        after.require_open();
        CHECK(after.values().empty());
        after.append(std::string(fills_a_page, 'b'));  // in place of the one that was torn: the old ones would be next
        const disk_state last = after.machine.look();
        const loss_of_power loss{last};
        REQUIRE(loss.count() <= 4096);
        loss.for_each_choice([&](const crash_choice& choice) {
            running later{loss.decide(choice)};
            later.require_open();
            ++count;
            if (!is_prefix(later.values(), after.values())) {
                FAIL("record " << later.values().back() << " came back");
            }
        });
    }
    CHECK(count > 20);
}

/// Whatever a loss of power leaves, there is at most the one record that was appended behind an erased tail.
void no_old_tail_comes_back(running& after) {
    const disk_state last = after.machine.look();
    const loss_of_power loss{last};
    loss.for_each_choice([&](const crash_choice& choice) {
        running later{loss.decide(choice)};
        later.require_open();
        CHECK(later.values().size() <= 1);
    });
}

TEST_CASE("a tail that recovery could not erase on the disk is erased by the next one", "[storage][power]") {
    disk_state torn = with_a_torn_first_record();
    bool had_failed = false;
    for (std::uint64_t chance = 1; chance <= 32; ++chance) {  // which pages are lost
        for (const std::uint64_t fails : {1u, 2u, 3u, 4u}) {
            CAPTURE(chance, fails);
            torn.chance = chance * 1'000;
            running first{torn};
            first.machine.fail_sync(fails);
            const bool is_open = first.open();
            CHECK(is_open == (first.machine.failed_syncs() == 0));
            had_failed |= !is_open;
            running second{first.machine.look()};
            second.machine.fail_sync(1);  // and once more, when nothing is left to see
            static_cast<void>(second.open());
            running after{second.machine.look()};
            after.require_open();
            after.append(std::string(fills_a_page, 'b'));
            no_old_tail_comes_back(after);
            REQUIRE_FALSE(after.log->sync());
            running later{loss_of_power{after.machine.look()}.decide_nothing()};
            later.require_open();
            CHECK(later.values() == after.values());
        }
    }
    CHECK(had_failed);
}

TEST_CASE("killed before it hears that a tail could not be erased on the disk, a recovery is followed by one that does it", "[storage][power]") {
    disk_state torn = with_a_torn_first_record();
    bool had_failed = false;
    for (std::uint64_t chance = 1; chance <= 8; ++chance) {  // which pages are lost
        for (const std::uint64_t fails : {1u, 2u, 3u, 4u}) {
            torn.chance = chance * 1'000;
            running first{torn};
            first.machine.fail_sync(fails);
            const auto states = first.watch([&] { static_cast<void>(first.open()); });
            had_failed |= first.machine.failed_syncs() != 0;
            for (std::size_t call = 0; call < states.size(); ++call) {
                CAPTURE(chance, fails, call);
                running after{states[call]};
                after.require_open();
                after.append(std::string(fills_a_page, 'b'));
                no_old_tail_comes_back(after);
            }
        }
    }
    CHECK(had_failed);
}

TEST_CASE("a first checkpoint that could not be synced is made anew", "[storage][power]") {
    int failures = 0;
    for (std::uint64_t chance = 1; chance <= 8; ++chance) {
        for (std::uint64_t fails = 1; fails <= 4; ++fails) {
            CAPTURE(chance, fails);
            disk_state disk = empty_partition();
            disk.chance = chance * 1'000;
            running first{disk};
            first.machine.fail_sync(fails);
            const auto states = first.watch([&] { failures += first.open() ? 0 : 1; });
            for (std::size_t call = 0; call < states.size(); ++call) {  // killed there, or told so
                CAPTURE(call);
                running after{states[call]};
                after.require_open();
                after.append("a");
                REQUIRE_FALSE(after.log->sync());
                const disk_state left = loss_of_power{after.machine.look()}.decide_nothing();
                const auto node = left.find("/p/checkpoint");
                REQUIRE(node);
                CHECK(format::newest_checkpoint(left.read(*node)));
            }
        }
    }
    CHECK(failures > 8);
}

TEST_CASE("a start that could not be written down for sure is written again before a file goes by it", "[storage][power]") {
    using namespace std::chrono_literals;
    bool was_moved = false;
    for (std::uint64_t chance = 1; chance <= 8; ++chance) {
        CAPTURE(chance);
        running before{empty_partition()};
        before.require_open();
        for (const char* const value : {"a", "b"}) {
            before.append(value);
            REQUIRE_FALSE(before.log->roll());
        }
        before.append("c");
        REQUIRE_FALSE(before.log->sync());
        REQUIRE(before.log->upkeep(1s).why.text == "");
        before.machine.hold([&](auto& machine) { machine.state().chance = chance * 1'000; });
        before.machine.fail_sync(1);
        CHECK(before.log->delete_records(2));
        running after{before.machine.look()};
        const auto states = after.watch([&] { after.require_open(); });
        was_moved |= after.log->log_start_offset() == 2;
        for (const auto& state : states) {
            const loss_of_power loss{state};
            for (const disk_state& left : {loss.decide_nothing(), loss.decide_everything()}) {
                running later{left};
                later.require_open();
                CHECK(later.log->report().damages.empty());
            }
        }
    }
    CHECK(was_moved);
}

// ---- a sync has failed: a log file is in doubt until it is in a new one ----

namespace {

/// A log of two segments of which all was on the disk up to the first record of the second; then a sync has failed, which left out pages by chance.
disk_state with_a_failed_sync(std::uint64_t chance, offset& durable) {
    running before{empty_partition()};
    before.require_open();
    before.append("a");
    REQUIRE_FALSE(before.log->roll());
    before.append("b");
    REQUIRE_FALSE(before.log->sync());
    durable = before.log->durable_offset();
    REQUIRE(durable == 2);
    before.append(std::string(fills_a_page, 'c'));
    before.append(std::string(1'000, 'd'));
    before.machine.hold([&](auto& machine) { machine.state().chance = chance * 1'000; });
    before.machine.fail_sync(1);
    REQUIRE(before.log->sync().code == errc::partition_failed);
    REQUIRE(before.log->durable_offset() == durable);
    return before.machine.look();
}

bool has_lost_pages(const disk_state& disk) {
    return std::any_of(disk.nodes.begin(), disk.nodes.end(), [](const disk_node& node) {
        return std::any_of(node.pages.begin(), node.pages.end(), [](const page_state& page) { return page.is_stuck; });
    });
}

/// What is acknowledged from now on is on the disk, and all that is in front of it.
void check_keeps_its_word(running& after) {
    after.append("later");
    REQUIRE_FALSE(after.log->sync());
    const auto sent = after.values();
    running later{loss_of_power{after.machine.look()}.decide_nothing()};
    later.require_open();
    CHECK(later.log->report().damages.empty());
    CHECK(later.values() == sent);
}

}  // namespace

TEST_CASE("after a failed sync the log goes on in new files, and what is acknowledged from then on is on the disk", "[storage][power]") {
    bool has_lost = false;
    for (std::uint64_t chance = 1; chance <= 16; ++chance) {
        CAPTURE(chance);
        offset durable = 0;
        const disk_state failed = with_a_failed_sync(chance, durable);
        has_lost |= has_lost_pages(failed);
        running after{failed};
        after.require_open();
        CHECK(after.log->report().moved_segments == 1);
        CHECK(after.log->durable_offset() == durable);
        CHECK(after.values().size() == 4);
        check_keeps_its_word(after);

        running again{after.machine.look()};  // killed: nothing is in doubt any more
        again.require_open();
        CHECK(again.log->report().moved_segments == 0);
        check_keeps_its_word(again);
    }
    CHECK(has_lost);
}

TEST_CASE("killed while it moves to a new file, or without power, a log is what it was before or after", "[storage][power]") {
    std::size_t kills = 0;
    for (std::uint64_t chance = 1; chance <= 4; ++chance) {
        CAPTURE(chance);
        offset durable = 0;
        running recovering{with_a_failed_sync(chance, durable)};
        const auto states = recovering.watch([&] { recovering.require_open(); });
        CHECK(states.size() > 8);
        for (const auto& killed : states) {
            CAPTURE(++kills);
            {
                running after{killed};
                after.require_open();
                CHECK(after.log->report().damages.empty());
                CHECK_FALSE(after.log->report().power_may_have_gone);
                CHECK(after.values().size() == 4);
                check_keeps_its_word(after);
            }
            const loss_of_power loss{killed};
            const auto check = [&](const disk_state& left) {
                running later{left};
                later.require_open();
                CHECK(later.log->report().damages.empty());
                CHECK(later.values().size() >= static_cast<std::size_t>(durable));
                check_keeps_its_word(later);
            };
            check(loss.decide_nothing());
            check(loss.decide_everything());
        }
    }
}

TEST_CASE("whichever sync fails while it moves to a new file, a later opening does it", "[storage][power]") {
    std::size_t failures = 0;
    for (std::uint64_t chance = 1; chance <= 8; ++chance) {
        for (std::uint64_t fails = 1; fails <= 3; ++fails) {
            CAPTURE(chance, fails);
            const bool is_directory = GENERATE(false, true);
            offset durable = 0;
            running recovering{with_a_failed_sync(chance, durable)};
            is_directory ? recovering.machine.fail_directory_sync(fails) : recovering.machine.fail_sync(fails);
            recovering.require_open();
            const bool has_failed = recovering.machine.failed_syncs() != 0;
            failures += has_failed ? 1 : 0;
            CHECK(recovering.log->report().moved_segments == (has_failed ? 0 : 1));
            CHECK(recovering.log->durable_offset() == durable);
            CHECK(recovering.values().size() == 4);
            CHECK((!has_failed || recovering.log->sync().code == errc::partition_failed));
            running after{recovering.machine.look()};
            after.require_open();
            CHECK(after.values().size() == 4);
            check_keeps_its_word(after);
        }
    }
    CHECK(failures > 0);
}

TEST_CASE("killed before it hears that its sync has failed, a log is compared with the disk", "[storage][power]") {
    bool was_moved = false;
    bool was_as_it_should_be = false;
    for (std::uint64_t chance = 1; chance <= 16; ++chance) {
        CAPTURE(chance);
        std::vector<disk_state> states;
        {
            running before{empty_partition()};
            before.require_open();
            before.append(std::string(fills_a_page, 'b'));
            before.append(std::string(1'000, 'c'));
            states = before.watch([&] { REQUIRE_FALSE(before.log->sync()); });
        }
        for (disk_state& at_a_call : states) {
            at_a_call.chance = chance * 1'000;
            powerless_platform machine{at_a_call};
            if (chance % 4 != 0) {  // else all is well, and it is killed
                machine.fail_sync(1);
            }
            std::error_code code;
            static_cast<void>(machine.open(first_log, os::open_mode::read_write, code)->sync());  // what the dead process would have been told
            const disk_state killed = machine.look();
            running after{killed};
            after.require_open();
            const bool is_moved = after.log->report().moved_segments != 0;
            was_moved |= is_moved;
            was_as_it_should_be |= !is_moved;
            CHECK((is_moved || !has_lost_pages(killed) || &at_a_call != &states.front()));
            CHECK(after.values().size() == 2);
            if (&at_a_call == &states.front()) {  // in the others the log's own sync was through, and nobody has it sync that file again
                check_keeps_its_word(after);
            }
        }
    }
    CHECK(was_moved);
    CHECK(was_as_it_should_be);
}

TEST_CASE("a segment that a killed recovery has put aside does not come back under its name", "[storage][power]") {
    running before{empty_partition()};
    before.require_open();
    before.append("a");
    before.append("torn");
    REQUIRE_FALSE(before.log->roll());
    before.append("old");
    flip(before.machine, first_log, segment_header_size + 48 + frame_header_size + 2);
    running recovering{loss_of_power{before.machine.look()}.decide_everything()};
    const auto states = recovering.watch([&] { recovering.require_open(); });
    CHECK(recovering.log->report().quarantined.size() == 2);
    CHECK(recovering.values() == std::vector<std::string>{"a"});
    for (const auto& killed : states) {
        running after{killed};
        after.require_open();
        after.append("b");
        const auto rolls = after.watch([&] { REQUIRE_FALSE(after.log->roll()); });
        for (const auto& rolling : rolls) {
            const loss_of_power loss{rolling};
            loss.for_each_choice([&](const crash_choice& choice) {
                running later{loss.decide(choice)};
                later.require_open();
                if (!is_prefix(later.values(), {"a", "b"})) {
                    FAIL("record " << later.values().back() << " came back");
                }
            });
        }
    }
}

TEST_CASE("what a recovery has kept aside is kept, also when the power goes while it erases", "[storage][power]") {
    running recovering{with_a_torn_first_record()};
    const auto states = recovering.watch([&] { recovering.require_open(); });
    REQUIRE(recovering.log->report().quarantined.size() == 1);
    const auto copies = [](const disk_state& disk) {
        std::vector<std::vector<std::byte>> all;
        for (const auto& entry : disk.nodes[disk.find("/p").value()].entries.all()) {
            if (name_table::name_of(entry.name).ends_with(".quarantine")) {
                all.push_back(disk.read(entry.node));
            }
        }
        return all;
    };
    const auto whole = copies(recovering.machine.look()).front();
    bool had_more = false;
    for (const auto& state : states) {
        const loss_of_power loss{state};
        loss.for_each_choice([&](const crash_choice& choice) {
            running later{loss.decide(choice)};
            later.require_open();
            const auto kept = copies(later.machine.look());
            CHECK(std::find(kept.begin(), kept.end(), whole) != kept.end());
            had_more |= kept.size() > 1;
        });
    }
    CHECK(had_more);  // some were killed while they erased
}

TEST_CASE("a spare that was taken and named opens, even if its base offset was not on the disk yet", "[storage][power]") {
    running before{empty_partition(), 128 * kib};
    before.require_open();
    const std::string large(45'000, 'x');
    before.append(large);
    before.append(large);
    REQUIRE_FALSE(before.log->upkeep(std::chrono::milliseconds{1}).why);
    REQUIRE(before.machine.look().find("/p/spare.log"));
    before.append(large);
    REQUIRE_FALSE(before.machine.look().find("/p/00000000000000000002.log"));
    const bool is_sealed_synced = GENERATE(false, true);
    if (is_sealed_synced) {
        REQUIRE_FALSE(before.log->upkeep(std::chrono::milliseconds{2}).why);
    } else {
        running killed{before.machine.look(), 128 * kib};  // recovery gives the name
        killed.require_open();
        before.machine.unplug();
        running after{loss_of_power{killed.machine.look()}.decide_nothing(), 128 * kib};
        after.require_open();
        CHECK(after.values().empty());
        return;
    }
    REQUIRE(before.machine.look().find("/p/00000000000000000002.log"));
    const disk_state last = before.machine.look();
    for (const bool has_garbage : {false, true}) {
        loss_of_power loss{last};
        crash_choice choice{std::vector<std::uint16_t>(loss.things().size(), 0), {}, false};
        for (std::uint64_t tear = 0; tear < 50; ++tear) {
            running after{loss.decide(choice), 128 * kib};
            after.require_open();
            CHECK(is_prefix(after.values(), {large, large, large}));
            CHECK(after.values().size() >= 2);
            CHECK(after.log->report().damages.empty());
            after.append("next");
            choice.tear = tear;
            choice.has_garbage = has_garbage;
        }
    }
}

TEST_CASE("a first checkpoint is never on the disk without the segment that a dead process has made", "[storage][power]") {
    running before{empty_partition()};
    const auto makings = before.watch([&] { before.require_open(); });
    std::size_t count = 0;
    for (const auto& killed : makings) {
        running after{killed};
        const auto writings = after.watch([&] {
            after.require_open();
            offset began = 0;
            REQUIRE_FALSE(after.log->begin_transactional(began));
        });
        for (const auto& writing : writings) {
            const loss_of_power loss{writing};
            REQUIRE(loss.count() <= 16'384);
            loss.for_each_choice([&](const crash_choice& choice) {
                running later{loss.decide(choice)};
                later.require_open();
                ++count;
            });
        }
    }
    CHECK(count > 100);
}

TEST_CASE("a checkpoint is on the disk when it has been written, the first one with its name", "[storage][power]") {
    powerless_platform machine{empty_partition()};
    storage::segment_directory files{machine, "/p", {"t", {}, 0}};
    format::checkpoint slot;
    for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
        slot.sequence = sequence;
        slot.durable_offset = static_cast<std::int64_t>(sequence * 100);
        REQUIRE(storage::checkpoint_file{files}.write(slot).text == "");
        powerless_platform later{loss_of_power{machine.look()}.decide_nothing()};
        failure why;
        storage::segment_directory found{later, "/p", {"t", {}, 0}};
        const auto read = storage::checkpoint_file{found}.read(why);
        CHECK(why.text == "");
        REQUIRE(read);
        CHECK(read->durable_offset == slot.durable_offset);
    }
}

}  // namespace storage_power_loss_test
