/// \file fault/program.hpp
/// What the programs of this folder have in common: that main.cpp knows them, and the arguments of those that kill.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string_view>

#include "support/directory_watch.hpp"

namespace brook::test {

/// One of them: its name, and what it does with its arguments, of which the first is that name; gives its exit status.
struct fault_program {
    using entry = int (*)(int count, char** arguments);

    fault_program(std::string_view own_name, entry own_run) : name{own_name}, run{own_run}, next{first()} { first() = this; }
    fault_program(const fault_program&) = delete;
    fault_program& operator=(const fault_program&) = delete;

    [[nodiscard]] static const fault_program*& first() noexcept {
        static const fault_program* list = nullptr;
        return list;
    }

    std::string_view name;
    entry run;
    const fault_program* next;
};

/// "[kills] [seconds] [seed] [directory]": with seconds, or BROOK_FAULT_SECONDS and no argument, for that long instead.
template <class Storm>
[[nodiscard]] int run_storm(int count, char** arguments, std::uint64_t usual_kills) {
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
}

}  // namespace brook::test
