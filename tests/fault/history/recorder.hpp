/// \file fault/history/recorder.hpp
/// Histories on their way: what each process notes of what it does, so that it is there whenever the process is killed.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "fault/history/operation.hpp"
#include "support/directory_watch.hpp"

namespace brook::test::history {

/// The machine's one clock, in nanoseconds: the same in all processes.
[[nodiscard]] inline std::int64_t now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// A file in memory that outlives whoever writes to it, mapped whole.
template <class T>
class mapped_file {
public:
    /// `count` of T, all zeros: made, or as it is.
    mapped_file(const std::string& path, std::size_t count, bool is_made) : size_{count * sizeof(T)} {
        const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (is_made ? O_CREAT | O_EXCL : 0), 0600);
        if (file < 0 || (is_made && ::ftruncate(file, static_cast<off_t>(size_)) != 0)) {
            throw_errno(path);
        }
        if (!is_made) {
            struct stat status {};
            if (::fstat(file, &status) != 0) {
                throw_errno(path);
            }
            size_ = static_cast<std::size_t>(status.st_size) / sizeof(T) * sizeof(T);
        }
        void* const there = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        if (there == MAP_FAILED) {
            throw_errno(path);
        }
        data_ = static_cast<T*>(there);
    }
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;
    ~mapped_file() { ::munmap(data_, size_); }

    [[nodiscard]] T* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_ / sizeof(T); }

private:
    std::size_t size_;
    T* data_ = nullptr;
};

/// One process's operations, in the order in which they began. The file has room for many, and takes of the disk what is used.
///
/// Threads   shared; each operation is its actor's.
class recorder {
public:
    explicit recorder(const std::string& path) : file_{path, room, true} {}

    /// It is in the file before this returns, with an outcome that is unknown, and may be ended later.
    operation& begin(const operation& one) {
        const std::size_t at = used_.fetch_add(1, std::memory_order_relaxed);
        if (at >= file_.size()) {
            throw std::length_error{"a history has more operations than its file has room for"};
        }
        operation& slot = file_.data()[at];
        const operation_kind kind = one.kind;
        slot = one;
        slot.kind = operation_kind::none;
        std::atomic_ref{slot.kind}.store(kind, std::memory_order_release);  // last: a kill in between leaves nothing
        return slot;
    }

    static void end(operation& slot, outcome with, std::int64_t offset) noexcept {
        slot.offset = offset;
        slot.complete = now();
        std::atomic_ref{slot.outcome}.store(with, std::memory_order_release);
    }

    /// One that is over.
    void note(operation one) {
        one.outcome = outcome::ok;
        static_cast<void>(begin(one));
    }

private:
    static constexpr std::size_t room = std::size_t{1} << 24;  // a GiB, of which most stays a hole
    mapped_file<operation> file_;
    std::atomic<std::size_t> used_{0};
};

/// Calls `use` with each operation of a file.
template <class Use>
void for_each_operation(const std::string& path, const Use& use) {
    const mapped_file<operation> file{path, 0, false};
    std::size_t holes = 0;  // operations that were just begun when their process was killed
    for (std::size_t i = 0; i < file.size() && holes < 1'024; ++i) {
        const operation& one = file.data()[i];
        holes = one.kind == operation_kind::none ? holes + 1 : 0;
        if (one.kind != operation_kind::none) {
            use(one);
        }
    }
}

}  // namespace brook::test::history
