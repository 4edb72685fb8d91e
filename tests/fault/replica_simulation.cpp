// What becomes of a replicated partition when everything goes wrong that can: networks, disks, powers, processes, clocks, voters that change.
// brook_fault replica_simulation [--seeds N] [--first S] [--seconds BUDGET] [--mode normal|unlimited|both] [--verbose]
//
// Each seed is one run of the real replicas in a world that is made up (replica_world.hpp), and is the same each time. Normal: what goes
// wrong is what the partition is promised to bear, and nothing that was acknowledged may be lost. Unlimited: more than that; what still
// has to be: one leader an epoch, one history in the end, and that what was lost is reported.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fault/program.hpp"
#include "fault/replica_world.hpp"

namespace brook::test {
namespace {

int replica_simulation(int count, char** arguments) {
    std::uint64_t seeds = 2500;
    std::uint64_t first = 1;
    double seconds = seconds_to_run(0);  // 0: as many seeds as are wanted
    std::string_view mode = "both";
    bool is_verbose = false;
    for (int i = 1; i < count; ++i) {
        const std::string_view name = arguments[i];
        if (name == "--verbose") {
            is_verbose = true;
        } else if (i + 1 < count && name == "--seeds") {
            seeds = std::strtoull(arguments[++i], nullptr, 0);
            seconds = 0;
        } else if (i + 1 < count && name == "--first") {
            first = std::strtoull(arguments[++i], nullptr, 0);
        } else if (i + 1 < count && name == "--seconds") {
            seconds = std::atof(arguments[++i]);
        } else if (i + 1 < count && name == "--mode") {
            mode = arguments[++i];
        } else {
            std::fprintf(stderr, "usage: replica_simulation [--seeds N] [--first S] [--seconds BUDGET] [--mode normal|unlimited|both] [--verbose]\n");
            return 2;
        }
    }
    const auto begun = std::chrono::steady_clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(); };
    replica_figures figures;
    std::uint64_t violations = 0;
    for (std::uint64_t seed = first; violations < 10 && (seconds > 0 ? elapsed() < seconds : seed < first + seeds); ++seed) {
        const bool is_unlimited = mode == "unlimited" || (mode == "both" && seed % 5 == 0);
        try {
            replica_world{seed, is_unlimited, figures, is_verbose}.run();
        } catch (const replica_violation& seen) {
            ++violations;
            std::printf("BAD  --first %" PRIu64 " --seeds 1 --mode %s: %s\n", seed, is_unlimited ? "unlimited" : "normal", seen.what.c_str());
        }
    }
    const double took = std::max(elapsed(), 1e-9);
    const double virtual_seconds = static_cast<double>(figures.virtual_ns) / 1e9;
    std::uint64_t faults = 0;
    for (const auto& [name, times] : figures.faults) {
        faults += times;
        std::printf("  %-20s %" PRIu64 "\n", name.c_str(), times);
    }
    std::printf("replica_simulation: %" PRIu64 " seeds from %" PRIu64 " in %.1f s (%.1f a second), %.2f virtual hours, %.0f virtual seconds a second, %" PRIu64
                " events (%.2f million a second), %" PRIu64 " messages, %" PRIu64 " faults\n",
                figures.seeds, first, took, static_cast<double>(figures.seeds) / took, virtual_seconds / 3600, virtual_seconds / took, figures.events,
                static_cast<double>(figures.events) / took / 1e6, figures.messages, faults);
    std::printf("  %" PRIu64 " leaders (%" PRIu64 " may have lacked something), %" PRIu64 " changes of voters, %" PRIu64 " cuts, %" PRIu64 " begun anew, %" PRIu64
                " suspicions ended, %" PRIu64 " records committed, %" PRIu64 " lost where that is allowed, longest recovery %.1f virtual s, %" PRIu64 " violations\n",
                figures.leaders, figures.lossy_leaders, figures.voter_changes, figures.cuts, figures.begun_anew, figures.suspicions_ended, figures.committed, figures.lost,
                static_cast<double>(figures.longest_recovery_ns) / 1e9, violations);
    return violations == 0 ? 0 : 1;
}

const fault_program program{"replica_simulation", replica_simulation};

}  // namespace
}  // namespace brook::test
