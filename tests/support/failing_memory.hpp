/// \file support/failing_memory.hpp
/// Memory that runs out when a test says so.
#pragma once

#include <cstdint>

namespace brook::test {

/// Allocations of this thread until one fails; 0: none does. Counted down by `operator new` (support/failing_memory.cpp).
inline thread_local std::uint64_t allocations_left = 0;

/// While one of these lives, one allocation of this thread, the first being 1, is std::bad_alloc.
class failing_memory {
public:
    explicit failing_memory(std::uint64_t allocation) noexcept { allocations_left = allocation; }
    failing_memory(const failing_memory&) = delete;
    failing_memory& operator=(const failing_memory&) = delete;
    ~failing_memory() { allocations_left = 0; }

    [[nodiscard]] static bool has_failed() noexcept { return allocations_left == 0; }
};

/// While one of these lives no allocation of this thread fails, nor counts: what a test does itself, inside of what it tests.
class unfailing_memory {
public:
    unfailing_memory() noexcept : left_{allocations_left} { allocations_left = 0; }
    unfailing_memory(const unfailing_memory&) = delete;
    unfailing_memory& operator=(const unfailing_memory&) = delete;
    ~unfailing_memory() { allocations_left = left_; }

private:
    std::uint64_t left_;
};

}  // namespace brook::test
