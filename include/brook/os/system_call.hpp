/// \file brook/os/system_call.hpp
/// What all system calls need: errors as codes, interrupted calls called again, descriptors that close themselves.
/// Floor 1, os.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::os {

namespace detail {

[[nodiscard]] inline std::error_code last_error() noexcept { return {errno, std::system_category()}; }

/// Success for 0, the system's own code for -1.
[[nodiscard]] inline std::error_code outcome(int result) noexcept {
    return result == 0 ? std::error_code{} : last_error();
}

/// Calls again as long as a signal interrupts.
template <class Call>
[[nodiscard]] auto uninterrupted(Call call) noexcept {
    for (;;) {
        const auto result = call();
        if (result != -1 || errno != EINTR) {
            return result;
        }
    }
}

[[nodiscard]] inline std::size_t page_size() noexcept {
    static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

/// A file descriptor, closed by the destructor. -1: none.
class descriptor {
public:
    explicit descriptor(int number = -1) noexcept : number_{number} {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { reset(-1); }

    [[nodiscard]] int number() const noexcept { return number_; }
    [[nodiscard]] bool is_open() const noexcept { return number_ >= 0; }

    /// Hands the number to somebody else, who closes it.
    int release() noexcept { return std::exchange(number_, -1); }

    void reset(int number) noexcept {
        if (is_open()) {
            ::close(number_);  // never called again on EINTR: on Linux the number is free by then, close(2)
        }
        number_ = number;
    }

private:
    int number_;
};

/// open(2). A process that has as many files open as its soft limit lets it (RLIMIT_NOFILE: 1,024 where nobody has said otherwise)
/// gets as many as its hard limit lets it: a topic of 1,024 partitions needs more, and whoever reads the limit decides by the hard
/// one. Go's runtime and the JVM do the same at their start; here nothing changes as long as the soft limit is enough.
template <class... Mode>
[[nodiscard]] int open_file(const char* path, int flags, Mode... mode) noexcept {
    const auto open_once = [&] { return uninterrupted([&] { return ::open(path, flags, mode...); }); };
    int opened = open_once();
    rlimit limit{};
    if (opened == -1 && errno == EMFILE && ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));  // where it may not, the next line says EMFILE again
        opened = open_once();
    }
    return opened;
}

/// Opens what must be a regular file: of ours, unless it is only read. Symbolic links are not followed, and nothing makes
/// it wait: not a FIFO without a peer, not a lease. `flags` name the access: O_RDWR or O_RDONLY.
[[nodiscard]] inline std::error_code open_regular(const std::string& path, int flags, descriptor& opened) noexcept {
    constexpr int always = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    opened.reset(open_file(path.c_str(), always | flags, S_IRUSR | S_IWUSR));
    if (!opened.is_open()) {
        // What the kernel says of a symbolic link, a directory, and a socket or a device that nobody serves.
        const bool is_other = errno == ELOOP || errno == EISDIR || errno == ENXIO || errno == ENODEV;
        return is_other ? std::make_error_code(std::errc::not_supported) : last_error();
    }

    struct stat status {};
    std::error_code code = outcome(::fstat(opened.number(), &status));
    if (!code && !S_ISREG(status.st_mode)) {
        code = std::make_error_code(std::errc::not_supported);
    } else if (!code && (flags & O_ACCMODE) != O_RDONLY && status.st_uid != ::geteuid()) {
        code = std::make_error_code(std::errc::operation_not_permitted);
    }
    if (code) {
        opened.reset(-1);
    }
    return code;
}

/// Reads the beginning of a small file of the kernel's, such as those in /proc and /sys; empty when that fails.
[[nodiscard]] inline std::string_view read_kernel_file(const char* path, std::array<char, 64>& into) noexcept {
    const descriptor opened{open_file(path, O_RDONLY | O_CLOEXEC)};
    if (!opened.is_open()) {
        return {};
    }
    const auto size = uninterrupted([&] { return ::read(opened.number(), into.data(), into.size()); });
    return size > 0 ? std::string_view{into.data(), static_cast<std::size_t>(size)} : std::string_view{};
}

[[nodiscard]] inline std::int64_t kernel_nanoseconds(clockid_t clock) noexcept {
    timespec time{};
    ::clock_gettime(clock, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_nsec};
}

}  // namespace detail

}  // namespace brook::inline BROOK_ABI::os
