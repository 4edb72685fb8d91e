/// \file brook/os/bodies/posix.hpp
/// The functions that posix.hpp declares.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <limits>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <memory>
#include <new>
#include <optional>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <system_error>
#include <time.h>
#include <unistd.h>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/system_call.hpp>
#include <brook/os/tick_clock.hpp>

namespace brook::inline BROOK_ABI::os::detail {

BROOK_INLINE std::uint64_t random_word() noexcept {
    std::uint64_t word = 0;
    const auto size = uninterrupted([&] { return ::getrandom(&word, sizeof word, 0); });
    if (size != static_cast<ssize_t>(sizeof word)) {
        // A kernel before 3.17, or a sandbox that forbids it: unique rather than unguessable.
        static std::atomic<std::uint64_t> calls{0};
        word = static_cast<std::uint64_t>(kernel_nanoseconds(CLOCK_REALTIME)) ^
               (static_cast<std::uint64_t>(::getpid()) << 32) ^ (calls.fetch_add(1, std::memory_order_relaxed) << 48) ^
               static_cast<std::uint64_t>(kernel_nanoseconds(CLOCK_MONOTONIC)) * 0x9e37'79b9'7f4a'7c15u;
        word ^= word >> 32;
        word *= 0xd6e8'feb8'6659'fd93u;  // spreads the low bits; from Rekkas' mixer
        word ^= word >> 32;
    }
    return word;
}

BROOK_INLINE std::array<std::byte, 16> read_boot_id() noexcept {
    std::array<char, 64> text;
    std::array<std::byte, 16> id{};
    std::size_t digits = 0;
    for (const char letter : read_kernel_file("/proc/sys/kernel/random/boot_id", text)) {
        const bool is_decimal = letter >= '0' && letter <= '9';
        if (digits < 32 && (is_decimal || (letter >= 'a' && letter <= 'f'))) {
            const auto value = static_cast<unsigned>(is_decimal ? letter - '0' : letter - 'a' + 10);
            id[digits / 2] |= static_cast<std::byte>(digits % 2 == 0 ? value << 4 : value);
            ++digits;
        }
    }
    if (digits != 32) {  // unknown: a boot of its own, so that the files of any other process are verified as after one
        store(id.data(), random_word());
        store(id.data() + 8, random_word());
    }
    return id;
}

BROOK_INLINE const std::array<std::byte, 16>& boot_id() noexcept {
    static const std::array<std::byte, 16> id = read_boot_id();
    return id;
}

BROOK_INLINE std::error_code posix_mapping::populate(std::size_t begin, std::size_t size) noexcept {
    BROOK_ASSERT(begin <= this->size() && size <= this->size() - begin);
    if (size == 0) {
        return {};
    }
#if defined(MADV_POPULATE_WRITE)
    constexpr int advice = MADV_POPULATE_WRITE;
#else
    constexpr int advice = 23;  // glibc 2.35 is the first to name it
#endif
    const std::size_t first = begin & ~(page_size() - 1);
    return outcome(uninterrupted([&] { return ::madvise(data() + first, begin + size - first, advice); }));
}

BROOK_INLINE void posix_mapping::release_pages() noexcept {
    static_cast<void>(::madvise(data(), size(), MADV_DONTNEED));
}

BROOK_INLINE std::error_code posix_mapping::detach() noexcept {
    if (!file_) {
        return {};  // done before
    }
    // By number, since to ThreadSanitizer mmap is a write to the range, and a race with those who store there.
    constexpr int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    if (::syscall(SYS_mmap, data(), size(), PROT_READ | PROT_WRITE, flags, file_->number(), off_t{0}) == -1) {
        return last_error();
    }
    file_.reset();  // the mapping holds the file by itself
    return {};
}

BROOK_INLINE std::error_code posix_file::size(std::uint64_t& bytes) const noexcept {
    struct stat status {};
    const std::error_code code = outcome(::fstat(number(), &status));
    if (!code) {
        bytes = static_cast<std::uint64_t>(status.st_size);
    }
    return code;
}

BROOK_INLINE std::error_code posix_file::read_at(std::uint64_t position, mutable_bytes into) const noexcept {
    while (!into.empty()) {
        const auto done = uninterrupted(
            [&] { return ::pread(number(), into.data(), into.size(), static_cast<off_t>(position)); });
        if (done <= 0) {
            return done == 0 ? std::make_error_code(std::errc::io_error) : last_error();
        }
        into = into.subspan(static_cast<std::size_t>(done));
        position += static_cast<std::uint64_t>(done);
    }
    return {};
}

BROOK_INLINE std::error_code posix_file::write_at(std::uint64_t position, bytes from) noexcept {
    while (!from.empty()) {
        const auto done = uninterrupted(
            [&] { return ::pwrite(number(), from.data(), from.size(), static_cast<off_t>(position)); });
        if (done <= 0) {
            return done == 0 ? std::make_error_code(std::errc::io_error) : last_error();
        }
        from = from.subspan(static_cast<std::size_t>(done));
        position += static_cast<std::uint64_t>(done);
    }
    return {};
}

BROOK_INLINE std::error_code posix_file::read_from_disk(std::uint64_t position, std::uint64_t size, piece_reader& to) const noexcept {
    constexpr std::size_t alignment = 4096;
    struct statfs status {};
    const bool is_in_memory = uninterrupted([&] { return ::fstatfs(number(), &status); }) == 0 && status.f_type == 0x01021994;  // linux/magic.h
    if (!is_in_memory && (is_never_direct() || position % alignment != 0)) {
        return std::make_error_code(std::errc::not_supported);
    }
    std::array<char, 40> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", number());
    const descriptor direct{open_file(path.data(), O_RDONLY | O_CLOEXEC | (is_in_memory ? 0 : O_DIRECT))};
    constexpr std::size_t most = 256 * 1024;
    const std::unique_ptr<void, decltype(&std::free)> room{std::aligned_alloc(alignment, most), &std::free};
    if (!direct.is_open() || !room) {
        return direct.is_open() ? std::make_error_code(std::errc::not_enough_memory) : std::make_error_code(std::errc::not_supported);
    }
    for (std::size_t wanted = 0; size > 0; size -= wanted, position += wanted) {
        wanted = size < most ? static_cast<std::size_t>(size) : most;
        const auto done = uninterrupted([&] { return ::pread(direct.number(), room.get(), align_up(wanted, alignment), static_cast<off_t>(position)); });
        if (done < 0) {
            return errno == EINVAL ? std::make_error_code(std::errc::not_supported) : last_error();
        }
        if (static_cast<std::size_t>(done) < wanted) {  // only at the end of a file it gives less
            return std::make_error_code(std::errc::io_error);
        }
        if (!to.see({static_cast<const std::byte*>(room.get()), wanted})) {
            break;
        }
    }
    return {};
}

BROOK_INLINE std::error_code posix_file::allocate(std::uint64_t begin, std::uint64_t size) noexcept {
    return outcome(uninterrupted(
        [&] { return ::fallocate(number(), 0, static_cast<off_t>(begin), static_cast<off_t>(size)); }));
}

BROOK_INLINE std::error_code posix_file::punch(std::uint64_t begin, std::uint64_t size) noexcept {
    constexpr int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return outcome(uninterrupted(
        [&] { return ::fallocate(number(), mode, static_cast<off_t>(begin), static_cast<off_t>(size)); }));
}

BROOK_INLINE std::error_code posix_file::write_back(std::uint64_t begin, std::uint64_t size) noexcept {
    constexpr unsigned waiting = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const auto call = [&](unsigned flags) { return ::sync_file_range(number(), static_cast<off_t>(begin), static_cast<off_t>(size), flags); };
    return call(0) == 0 ? outcome(call(waiting)) : std::error_code{};
}

BROOK_INLINE void posix_file::start_writeback(std::uint64_t begin, std::uint64_t size) noexcept {
    [[maybe_unused]] const int result =
        ::sync_file_range(number(), static_cast<off_t>(begin), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
}

BROOK_INLINE std::unique_ptr<mapping> posix_file::map(std::size_t size, std::error_code& code) noexcept {
    void* const there = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, number(), 0);
    if (there == MAP_FAILED) {
        code = last_error();
        return nullptr;
    }
    auto* const data = static_cast<std::byte*>(there);
    std::unique_ptr<mapping> mapped{new (std::nothrow) posix_mapping{data, size, opened_}};
    if (!mapped) {
        ::munmap(there, size);
        code = std::make_error_code(std::errc::not_enough_memory);
        return nullptr;
    }
    code.clear();
    return mapped;
}

BROOK_INLINE std::error_code posix_file::identity(file_identity& id) const noexcept {
    struct statx status {};
    const std::error_code code = outcome(::statx(number(), "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status));
    if (!code) {
        id.boot_id = boot_id();
        id.device = (std::uint64_t{status.stx_dev_major} << 32) | status.stx_dev_minor;
        id.inode = status.stx_ino;
        id.birth_time_ns = 0;
        if ((status.stx_mask & STATX_BTIME) != 0) {
            id.birth_time_ns =
                static_cast<std::uint64_t>(status.stx_btime.tv_sec) * 1'000'000'000u + status.stx_btime.tv_nsec;
        }
    }
    return code;
}

BROOK_INLINE bool posix_file::is_never_direct() const noexcept {
    constexpr unsigned dioalign = 0x2000;  // STATX_DIOALIGN, and where it is told: older C libraries name neither
    constexpr std::size_t offset_align_at = 156;
    struct statx status {};
    static_assert(sizeof status == 256);
    const bool is_told = ::statx(number(), "", AT_EMPTY_PATH, dioalign, &status) == 0 && (status.stx_mask & dioalign) != 0;
    std::array<std::byte, sizeof status> raw;
    store(raw.data(), status);
    return is_told && load<std::uint32_t>(raw.data() + offset_align_at) == 0;
}

BROOK_INLINE posix_lock::~posix_lock() {
    // Children forked meanwhile have the same description open: closing alone would leave the lock with them, and
    // unlocking in one of them would take it from us.
    if (held.is_open() && ::getpid() == owner_) {
        ::flock(held.number(), LOCK_UN);
    }
}

}  // namespace brook::inline BROOK_ABI::os::detail

namespace brook::inline BROOK_ABI::os {

BROOK_INLINE std::unique_ptr<file> posix_platform::open(const std::string& path, open_mode mode, std::error_code& code) {
    const auto opened = std::make_shared<detail::descriptor>();
    std::unique_ptr<file> result{new detail::posix_file{opened}};
    code = detail::open_regular(path, mode == open_mode::create ? O_RDWR | O_CREAT | O_EXCL : mode == open_mode::read_only ? O_RDONLY : O_RDWR, *opened);
    if (code) {
        return nullptr;
    }
    return result;
}

BROOK_INLINE std::error_code posix_platform::rename_to_new(const std::string& from, const std::string& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
        return {};
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return detail::last_error();
    }
    if (::link(from.c_str(), to.c_str()) != 0) {
        return detail::last_error();
    }
    if (::unlink(from.c_str()) != 0) {
        const std::error_code code = detail::last_error();
        ::unlink(to.c_str());
        return code;
    }
    return {};
}

BROOK_INLINE std::error_code posix_platform::rename_over(const std::string& from, const std::string& to) {
    return detail::outcome(::renameat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str()));
}

BROOK_INLINE std::error_code posix_platform::remove(const std::string& path) {
    return detail::outcome(::unlink(path.c_str()));
}

BROOK_INLINE std::error_code posix_platform::make_directory(const std::string& path) {
    return detail::outcome(::mkdir(path.c_str(), S_IRWXU));
}

BROOK_INLINE std::error_code posix_platform::remove_directory(const std::string& path) {
    return detail::outcome(::rmdir(path.c_str()));
}

BROOK_INLINE std::error_code posix_platform::sync_directory(const std::string& path) {
    const detail::descriptor opened{open_directory(path)};
    return opened.is_open() ? detail::outcome(::fsync(opened.number())) : detail::last_error();
}

BROOK_INLINE std::error_code posix_platform::list(const std::string& path, std::vector<directory_entry>& entries) {
    entries.clear();
    detail::descriptor opened{open_directory(path)};
    if (!opened.is_open()) {
        return detail::last_error();
    }
    const directory_stream directory{::fdopendir(opened.number())};
    if (directory.stream == nullptr) {
        return detail::last_error();
    }
    const int number = opened.release();  // closedir closes it from here on

    for (;;) {
        errno = 0;  // readdir(3) tells the end from an error only by this
        const dirent* const entry = ::readdir(directory.stream);
        if (entry == nullptr) {
            break;
        }
        const std::string_view name{entry->d_name};
        if (name == "." || name == "..") {
            continue;
        }
        if (entry_kind kind; find_kind(number, *entry, kind)) {
            entries.push_back({std::string{name}, kind});
        }
    }
    if (errno != 0) {
        entries.clear();
        return detail::last_error();
    }
    return {};
}

BROOK_INLINE std::unique_ptr<lock> posix_platform::lock_file(const std::string& path, std::error_code& code) {
    auto* const made = new detail::posix_lock;
    std::unique_ptr<lock> result{made};
    code = detail::open_regular(path, O_RDWR | O_CREAT, made->held);
    if (code) {
        return nullptr;
    }
    const int number = made->held.number();
    code = detail::outcome(detail::uninterrupted([&] { return ::flock(number, LOCK_EX | LOCK_NB); }));
    if (code) {
        return nullptr;
    }
    std::array<char, 24> text{};
    const int size = std::snprintf(text.data(), text.size(), "%d\n", static_cast<int>(::getpid()));
    // Who holds it, for people who look. Nobody decides by it, so that a full disk is no reason to fail.
    if (::ftruncate(number, 0) == 0) {
        [[maybe_unused]] const auto written = ::pwrite(number, text.data(), static_cast<std::size_t>(size), 0);
    }
    return result;
}

BROOK_INLINE std::error_code posix_platform::disk_bytes(const std::string& path, std::uint64_t& bytes) {
    struct stat status {};
    if (::fstatat(AT_FDCWD, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return detail::last_error();
    }
    bytes = static_cast<std::uint64_t>(status.st_blocks) * 512;  // whatever the block size: stat(2)
    return {};
}

BROOK_INLINE std::error_code posix_platform::free_bytes(const std::string& path, std::uint64_t& bytes) {
    struct statfs status {};
    if (detail::uninterrupted([&] { return ::statfs(path.c_str(), &status); }) != 0) {
        return detail::last_error();
    }
    bytes = static_cast<std::uint64_t>(status.f_bavail) * static_cast<std::uint64_t>(status.f_bsize);
    return {};
}

BROOK_INLINE filesystem posix_platform::filesystem_of(const std::string& path) {
    struct statfs status {};
    if (detail::uninterrupted([&] { return ::statfs(path.c_str(), &status); }) != 0) {
        return filesystem::unknown;
    }
    switch (static_cast<std::uint64_t>(status.f_type)) {  // linux/magic.h
        case 0xEF53:      // ext4; ext2 and ext3, which nowadays is the same code
        case 0x58465342:  // XFS
        case 0x01021994:  // tmpfs
        case 0x794C7630:  // overlayfs, in containers: a file that was made there is one of the file system below
            return filesystem::mapped_writes_promised;
        default: return filesystem::unknown;
    }
}

BROOK_INLINE timestamp posix_platform::now() noexcept {
#if defined(__x86_64__)
    if (ticks_) {
        static constinit thread_local detail::thread_clock mine{};
        return timestamp{std::chrono::nanoseconds{mine.now()}};
    }
#endif
    return timestamp{std::chrono::nanoseconds{detail::kernel_nanoseconds(CLOCK_REALTIME)}};
}

BROOK_INLINE std::chrono::nanoseconds posix_platform::monotonic() noexcept {
    return std::chrono::nanoseconds{detail::kernel_nanoseconds(CLOCK_MONOTONIC)};
}

BROOK_INLINE void posix_platform::wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept {
    static_assert(sizeof word == 4 && std::atomic<std::uint32_t>::is_always_lock_free);
    timespec relative{};
    if (timeout) {
        if (timeout->count() <= 0) {
            return;
        }
        constexpr std::int64_t year = 365 * 24 * 3'600;
        const std::int64_t seconds = timeout->count() / 1'000'000'000;
        relative.tv_sec = static_cast<time_t>(seconds < year ? seconds : year);
        relative.tv_nsec = static_cast<long>(timeout->count() % 1'000'000'000);
    }
    // Every way to return means the same to the caller, who looks at the word again: no code to look at.
    ::syscall(SYS_futex, static_cast<void*>(&word), FUTEX_WAIT_PRIVATE, expected, timeout ? &relative : nullptr,
              nullptr, 0);
}

BROOK_INLINE void posix_platform::wake_all(std::atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_futex, static_cast<void*>(&word), FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr,
              nullptr, 0);
}

BROOK_INLINE bool posix_platform::has_thread_fence() const noexcept {
    static const bool is_registered = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    return is_registered;
}

BROOK_INLINE void posix_platform::fence_all_threads() noexcept {
    if (has_thread_fence()) {
        ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);  // cannot fail once it is registered
    }
}

BROOK_INLINE void* posix_platform::allocate_wiped_on_fork(std::size_t size) {
    constexpr int access = PROT_READ | PROT_WRITE;
    void* const memory = ::mmap(nullptr, whole_pages(size), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    ::madvise(memory, whole_pages(size), MADV_WIPEONFORK);
    return memory;
}

BROOK_INLINE void posix_platform::release_wiped_on_fork(void* memory, std::size_t size) noexcept {
    if (memory != nullptr) {
        ::munmap(memory, whole_pages(size));
    }
}

BROOK_INLINE posix_platform::directory_stream::~directory_stream() {
    if (stream != nullptr) {
        ::closedir(stream);
    }
}

BROOK_INLINE int posix_platform::open_directory(const std::string& path) noexcept {
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    return detail::open_file(path.c_str(), flags);
}

BROOK_INLINE bool posix_platform::find_kind(int directory, const dirent& entry, entry_kind& kind) noexcept {
    struct stat status {};
    kind = entry.d_type == DT_REG ? entry_kind::file : entry.d_type == DT_DIR ? entry_kind::directory : entry_kind::other;
    if (entry.d_type != DT_UNKNOWN) {
        return true;
    }
    if (::fstatat(directory, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno != ENOENT;
    }
    kind = S_ISREG(status.st_mode) ? entry_kind::file : S_ISDIR(status.st_mode) ? entry_kind::directory : entry_kind::other;
    return true;
}

BROOK_INLINE std::size_t posix_platform::whole_pages(std::size_t size) noexcept {
    return align_up(size == 0 ? std::size_t{1} : size, detail::page_size());
}

BROOK_INLINE platform& posix() {
    static posix_platform platform_of_this_process;
    return platform_of_this_process;
}

}  // namespace brook::inline BROOK_ABI::os
