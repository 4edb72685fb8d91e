// The allocation functions of the C library, which fail when a test says so; those of C++ and of shared libraries come to them. Only with
// glibc, which has its own under other names, and not with a sanitizer, which has its own under these.
#include "support/failing_heap.hpp"

#include <cerrno>
#include <atomic>
#include <cstddef>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
}

namespace {

constinit std::atomic<std::int64_t> blocks{0};

/// Whether this allocation fails.
bool strikes() noexcept {
    brook::test::heap_fault& heap = brook::test::heap;
    if (!heap.is_armed) {
        return false;
    }
    ++heap.met;
    if (heap.left == 0 || --heap.left > 0) {
        return false;
    }
    heap.left = heap.is_lasting ? 1 : 0;
    heap.has_struck = true;
    errno = ENOMEM;
    return true;
}

void* counted(void* memory) noexcept {
    if (memory != nullptr) {
        blocks.fetch_add(1, std::memory_order_relaxed);
    }
    return memory;
}

}  // namespace

namespace brook::test {

std::int64_t live_blocks() noexcept { return blocks.load(std::memory_order_relaxed); }

}  // namespace brook::test

extern "C" {
void* malloc(std::size_t size) { return strikes() ? nullptr : counted(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return strikes() ? nullptr : counted(__libc_calloc(count, size)); }
void* realloc(void* memory, std::size_t size) {
    if (memory != nullptr && size == 0) {
        blocks.fetch_sub(1, std::memory_order_relaxed);
        return __libc_realloc(memory, size);
    }
    if (strikes()) {
        return nullptr;
    }
    void* const made = __libc_realloc(memory, size);
    return memory == nullptr ? counted(made) : made;
}
void* memalign(std::size_t alignment, std::size_t size) { return strikes() ? nullptr : counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
    *memory = memalign(alignment, size);
    return *memory != nullptr ? 0 : ENOMEM;
}
void free(void* memory) {
    if (memory != nullptr) {
        blocks.fetch_sub(1, std::memory_order_relaxed);
        __libc_free(memory);
    }
}
}
