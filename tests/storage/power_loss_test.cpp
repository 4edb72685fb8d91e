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

// What tests/fault/power_loss.cpp found, one test each, on its machine. That program looks for more.

using namespace brook;
using namespace brook::test;

namespace {

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
