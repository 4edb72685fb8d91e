/// \file support/failing_heap.hpp
/// A heap that runs out when a test says so, for everything in the program that asks it: operator new, and the libraries that call
/// malloc(3) themselves. And one that counts, so that what is never given back is seen.
#pragma once

#include <cstdint>

namespace brook::test {

/// Of this thread, while it is armed. Read and written by support/failing_heap.cpp, so nothing here may allocate.
struct heap_fault {
    std::uint64_t left = 0;   ///< allocations until one fails; 0: none does
    bool is_lasting = false;  ///< and all after it
    bool is_armed = false;
    bool has_struck = false;
    std::uint64_t met = 0;    ///< allocations while it was armed
};
inline constinit thread_local heap_fault heap;

/// Blocks that the program has and has not given back.
[[nodiscard]] std::int64_t live_blocks() noexcept;

/// What is done while one of these lives counts, and may fail.
class armed_heap {
public:
    armed_heap() noexcept { heap.is_armed = true; }
    armed_heap(const armed_heap&) = delete;
    armed_heap& operator=(const armed_heap&) = delete;
    ~armed_heap() { heap.is_armed = false; }
};

}  // namespace brook::test
