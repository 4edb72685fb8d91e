/// \file support/patience.hpp
/// How long tests with threads wait for what has to come.
#pragma once

#include <chrono>
#include <cstdlib>
#include <string_view>

namespace brook::test {

/// Whatever takes longer than `given` has failed. With a planted bug many tests end so, and a fifth of it is enough: they are there to fail.
[[nodiscard]] inline std::chrono::milliseconds patience_of(std::chrono::milliseconds given) {
    const char* const mutant = std::getenv("BROOK_MUTANT");
    return mutant == nullptr || std::string_view{mutant} == "none" ? given : given / 5;
}

}  // namespace brook::test
