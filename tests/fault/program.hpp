/// \file fault/program.hpp
/// What the programs of this folder have in common: that main.cpp knows them, their arguments, what is said where a signal ends one.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
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

/// How long a program may take that no argument tells: BROOK_FAULT_SECONDS, else as is usual.
[[nodiscard]] inline double seconds_to_run(double usual) {
    const char* const given = std::getenv("BROOK_FAULT_SECONDS");
    return given != nullptr && std::atof(given) > 0 ? std::atof(given) : usual;
}

/// "[seconds] [seed]": without them as above, and a seed that is drawn.
struct time_and_seed {
    time_and_seed(int count, char** arguments, double usual_seconds)
        : seconds{count > 1 ? std::atof(arguments[1]) : seconds_to_run(usual_seconds)},
          seed{count > 2 ? std::strtoull(arguments[2], nullptr, 0) : std::random_device{}()} {}

    double seconds;
    std::uint64_t seed;
};

/// A signal that ends this process says "BAD", and what `at` holds then; so does what has no end, where alarm(2) is set.
inline void tell_crashes(const char* at) {
    static const char* doing = nullptr;
    doing = at;
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM}) {
        ::signal(signal, [](int which) {
            char text[500];
            const int size = std::snprintf(text, sizeof text, "BAD  signal %d: %s\n", which, doing);
            [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text, static_cast<std::size_t>(size));
            ::_exit(1);
        });
    }
}

/// "[kills] [seconds] [seed] [directory]": with seconds, or BROOK_FAULT_SECONDS and no argument, for that long instead.
template <class Storm>
[[nodiscard]] int run_storm(int count, char** arguments, std::uint64_t usual_kills) {
    const double given = count > 2 ? std::atof(arguments[2]) : count > 1 ? 0 : seconds_to_run(0);
    const std::optional<double> seconds = given > 0 ? std::optional{given} : std::nullopt;
    const std::uint64_t kills = count > 1 && std::atoll(arguments[1]) > 0 ? std::strtoull(arguments[1], nullptr, 0) : usual_kills;
    const std::uint64_t seed = count > 3 ? std::strtoull(arguments[3], nullptr, 0) : std::random_device{}();
    Storm storm{kills, seconds, seed, count > 4 ? arguments[4] : memory_directory()};
    return storm.run() ? 0 : 1;
}

}  // namespace brook::test
