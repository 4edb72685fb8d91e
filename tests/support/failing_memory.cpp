// The allocation functions of the test binaries, which fail when a test says so. Those for arrays and without exceptions
// come here by default.
#include "support/failing_memory.hpp"

#include <cstdlib>
#include <new>

void* operator new(std::size_t size) {
    if (brook::test::allocations_left > 0 && --brook::test::allocations_left == 0) {
        throw std::bad_alloc{};
    }
    void* const memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) {
        throw std::bad_alloc{};
    }
    return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
