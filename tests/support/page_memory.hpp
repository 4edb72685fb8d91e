/// \file support/page_memory.hpp
/// The memory that a simulated file is mapped to, and what a page of it held.
#pragma once

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include <brook/format/checksum.hpp>

namespace brook::test {

inline constexpr std::size_t disk_page = 4096;
inline constexpr std::size_t disk_sector = 512;  // the unit that a loss of power tears

/// What a page held at some time. Shared by all who remember it; nothing for zeros, so that a null pointer is a page of
/// them.
struct page_content {
    std::array<std::byte, disk_page> raw;
    std::uint64_t hash;
};
using kept_page = std::shared_ptr<const page_content>;

inline constexpr std::array<std::byte, disk_page> page_of_zeros{};

[[nodiscard]] inline const std::byte* bytes_of(const kept_page& of) noexcept { return of ? of->raw.data() : page_of_zeros.data(); }
[[nodiscard]] inline std::uint64_t hash_of(const kept_page& of) noexcept { return of ? of->hash : 0; }

/// The page may be written to meanwhile: what is copied is then a mixture, as it is where a disk fetches it.
[[nodiscard]] inline kept_page remember(const std::byte* page) {
    auto made = std::make_shared<page_content>();
    std::memcpy(made->raw.data(), page, disk_page);
    if (std::memcmp(made->raw.data(), page_of_zeros.data(), disk_page) == 0) {
        return nullptr;
    }
    made->hash = format::hash(made->raw.data(), disk_page);
    return made;
}

/// Pages of a file while somebody has it mapped. They can be watched for stores, which is what tells that a page is
/// dirty again although its bytes are the same.
///
/// Memory comes from a pool, since to map it anew costs more than the recovery that uses it.
class page_memory {
public:
    explicit page_memory(std::size_t size) : size_{size}, data_{take(size)}, watched_(size / disk_page) {}
    page_memory(const page_memory&) = delete;
    page_memory& operator=(const page_memory&) = delete;
    ~page_memory() {
        for (std::size_t page = 0; page < watched_.size(); ++page) {
            stop_watching(page);
        }
        forget();
        std::memset(data_, 0, used_);
        const std::scoped_lock guard{pool().mutex};
        pool().free.push_back({data_, size_});
    }

    [[nodiscard]] std::byte* page(std::size_t number) noexcept { return data_ + number * disk_page; }
    [[nodiscard]] std::byte* data() noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Nothing but zeros behind `end` so far.
    void use(std::size_t end) noexcept { used_ = used_ < end ? end : used_; }

    void watch(std::size_t page) {
        if (!is_known_) {
            remember_this();
        }
        watched_[page].store(true);
        ::mprotect(this->page(page), disk_page, PROT_READ);
    }
    [[nodiscard]] bool is_untouched(std::size_t page) const noexcept { return watched_[page].load(); }
    void stop_watching(std::size_t page) noexcept {
        if (watched_[page].exchange(false)) {
            ::mprotect(this->page(page), disk_page, PROT_READ | PROT_WRITE);
        }
    }

private:
    struct free_memory {
        std::byte* data;
        std::size_t size;
    };
    struct memory_pool {
        std::mutex mutex;
        std::vector<free_memory> free;
    };
    [[nodiscard]] static memory_pool& pool() {
        static auto* const all = new memory_pool;  // outlives whatever is destroyed at the end
        return *all;
    }

    [[nodiscard]] static std::byte* take(std::size_t size) {
        {
            const std::scoped_lock guard{pool().mutex};
            auto& free = pool().free;
            for (std::size_t i = free.size(); i-- > 0;) {
                if (free[i].size == size) {
                    std::byte* const found = free[i].data;
                    free[i] = free.back();
                    free.pop_back();
                    return found;
                }
            }
        }
        void* const made = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made == MAP_FAILED) {
            throw std::bad_alloc{};
        }
        return static_cast<std::byte*>(made);
    }

    // ---- a store to a watched page ----

    static constexpr std::size_t most_watched = 256;
    using watched_list = std::array<std::atomic<page_memory*>, most_watched>;
    [[nodiscard]] static watched_list& all_watched() noexcept {
        static watched_list list{};
        return list;
    }

    void remember_this() {
        struct sigaction action {};
        action.sa_sigaction = &on_store;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        ::sigaction(SIGSEGV, &action, nullptr);  // each time: Catch2 handles it itself from one test to the next
        for (auto& slot : all_watched()) {
            page_memory* none = nullptr;
            if (slot.compare_exchange_strong(none, this)) {
                is_known_ = true;
                return;
            }
        }
        throw std::bad_alloc{};
    }
    void forget() noexcept {
        for (auto& slot : all_watched()) {
            page_memory* self = this;
            if (is_known_ && slot.compare_exchange_strong(self, nullptr)) {
                is_known_ = false;
            }
        }
    }

    static void on_store(int, siginfo_t* info, void*) {
        auto* const at = static_cast<std::byte*>(info->si_addr);
        for (auto& slot : all_watched()) {
            page_memory* const memory = slot.load();
            if (memory != nullptr && at >= memory->data_ && at < memory->data_ + memory->size_) {
                const auto page = static_cast<std::size_t>(at - memory->data_) / disk_page;
                memory->watched_[page].store(false);  // before it can be stored to, so that nobody misses that it was
                ::mprotect(memory->page(page), disk_page, PROT_READ | PROT_WRITE);
                return;
            }
        }
        ::signal(SIGSEGV, SIG_DFL);  // not ours: the next one ends the program
    }

    const std::size_t size_;
    std::byte* const data_;
    std::size_t used_ = 0;
    bool is_known_ = false;
    std::vector<std::atomic<bool>> watched_;
};

}  // namespace brook::test
