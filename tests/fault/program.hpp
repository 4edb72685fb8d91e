/// \file fault/program.hpp
/// What the programs of this folder have in common: their main, and the arguments of those that kill.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <random>

#include "support/directory_watch.hpp"

namespace brook::test {

/// Runs a program's own part, which gives its exit status; what it throws is one more thing that is bad.
template <class Run>
[[nodiscard]] int run_fault(const Run& run) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    try {
        return run();
    } catch (const std::exception& error) {
        std::printf("BAD  %s\n", error.what());
        return 1;
    }
}

/// "[kills] [seconds] [seed] [directory]": with seconds, or BROOK_FAULT_SECONDS and no argument, for that long instead.
template <class Storm>
[[nodiscard]] int run_storm(int count, char** arguments, std::uint64_t usual_kills) {
    return run_fault([&] {
        const char* const given = std::getenv("BROOK_FAULT_SECONDS");
        std::optional<double> seconds;
        if (count > 2 && std::atof(arguments[2]) > 0) {
            seconds = std::atof(arguments[2]);
        } else if (count <= 1 && given != nullptr && std::atof(given) > 0) {
            seconds = std::atof(given);
        }
        const std::uint64_t kills = count > 1 && std::atoll(arguments[1]) > 0 ? std::strtoull(arguments[1], nullptr, 0) : usual_kills;
        const std::uint64_t seed = count > 3 ? std::strtoull(arguments[3], nullptr, 0) : std::random_device{}();
        Storm storm{kills, seconds, seed, count > 4 ? arguments[4] : memory_directory()};
        return storm.run() ? 0 : 1;
    });
}

}  // namespace brook::test
