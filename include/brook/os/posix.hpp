/// \file brook/os/posix.hpp
/// The platform for real: Linux by its system calls.
/// Floor 1, os. Sources: the manual pages named beside each call; the rules R8, R9, R13 of brook/storage/README.md.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/system_call.hpp>
#include <brook/os/tick_clock.hpp>

namespace brook::inline BROOK_ABI::os {

namespace detail {

[[nodiscard]] inline std::uint64_t random_word() noexcept {
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

/// The 16 bytes of /proc/sys/kernel/random/boot_id, which lists them as hexadecimal digits and dashes.
[[nodiscard]] inline std::array<std::byte, 16> read_boot_id() noexcept {
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

[[nodiscard]] inline const std::array<std::byte, 16>& boot_id() noexcept {
    static const std::array<std::byte, 16> id = read_boot_id();
    return id;
}

class posix_mapping final : public mapping {
public:
    posix_mapping(std::byte* data, std::size_t size, std::shared_ptr<descriptor> file) noexcept
        : mapping{data, size}, file_{std::move(file)} {}
    ~posix_mapping() override { ::munmap(data(), size()); }

    /// EFAULT where `allocate` has not covered the range, or the disk is full; EINVAL before Linux 5.14. madvise(2).
    std::error_code populate(std::size_t begin, std::size_t size) noexcept override {
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

    /// Maps the same bytes once more, private, over the same addresses: one step to whoever stores there meanwhile,
    /// since faults wait until mmap(2) is done. Contents the process has not stored to stay the file's, and follow it.
    std::error_code detach() noexcept override {
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

private:
    std::shared_ptr<descriptor> file_;  // what detach maps again; the file object may be gone by then
};

class posix_file final : public file {
public:
    explicit posix_file(std::shared_ptr<descriptor> opened) noexcept : opened_{std::move(opened)} {}

    [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override {
        struct stat status {};
        const std::error_code code = outcome(::fstat(number(), &status));
        if (!code) {
            bytes = static_cast<std::uint64_t>(status.st_size);
        }
        return code;
    }

    [[nodiscard]] std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept override {
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

    [[nodiscard]] std::error_code write_at(std::uint64_t position, bytes from) noexcept override {
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

    /// O_DIRECT, by a descriptor of its own; not where the file system says that it would answer from the page cache all the same, as ext4 does
    /// that journals data (statx(2), STATX_DIOALIGN, Linux 6.1). What is in memory alone (tmpfs) is its own disk.
    [[nodiscard]] std::error_code read_from_disk(std::uint64_t position, std::uint64_t size, piece_reader& to) const noexcept override {
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

    /// fallocate(2), without a substitute where the file system has none (EOPNOTSUPP): zeros written promise less.
    /// Only success says anything: after ENOSPC or EDQUOT the file may be longer, with part of the space taken (ext4).
    [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override {
        return outcome(uninterrupted(
            [&] { return ::fallocate(number(), 0, static_cast<off_t>(begin), static_cast<off_t>(size)); }));
    }

    [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override {
        constexpr int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return outcome(uninterrupted(
            [&] { return ::fallocate(number(), mode, static_cast<off_t>(begin), static_cast<off_t>(size)); }));
    }

    /// fdatasync(2): contents, stores through mappings among them, and of the metadata what reading them back needs,
    /// which includes a changed size. Any failure is final, EINTR too: ext4, XFS and tmpfs never give it, and elsewhere
    /// a second call could succeed because the first has taken the error with it.
    [[nodiscard]] std::error_code sync() noexcept override { return outcome(::fdatasync(number())); }

    /// SYNC_FILE_RANGE_WRITE alone: the flags that wait would also take a write-back error that `sync` has to hear.
    void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept override {
        [[maybe_unused]] const int result =
            ::sync_file_range(number(), static_cast<off_t>(begin), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
    }

    [[nodiscard]] std::unique_ptr<mapping> map(std::size_t size, std::error_code& code) noexcept override {
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

    /// A file system that keeps no birth time answers 0 for it. statx(2).
    [[nodiscard]] std::error_code identity(file_identity& id) const noexcept override {
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

private:
    [[nodiscard]] int number() const noexcept { return opened_->number(); }

    [[nodiscard]] bool is_never_direct() const noexcept {
        constexpr unsigned dioalign = 0x2000;  // STATX_DIOALIGN, and where it is told: older C libraries name neither
        constexpr std::size_t offset_align_at = 156;
        struct statx status {};
        static_assert(sizeof status == 256);
        const bool is_told = ::statx(number(), "", AT_EMPTY_PATH, dioalign, &status) == 0 && (status.stx_mask & dioalign) != 0;
        std::array<std::byte, sizeof status> raw;
        store(raw.data(), status);
        return is_told && load<std::uint32_t>(raw.data() + offset_align_at) == 0;
    }

    const std::shared_ptr<descriptor> opened_;
};

/// flock(2): held by the open file description. It refuses a second open in this process as well, and a close of some
/// other descriptor does not drop it, which is what fcntl's locks do.
class posix_lock final : public lock {
public:
    posix_lock() noexcept : owner_{::getpid()} {}
    ~posix_lock() override {
        // Children forked meanwhile have the same description open: closing alone would leave the lock with them, and
        // unlocking in one of them would take it from us.
        if (held.is_open() && ::getpid() == owner_) {
            ::flock(held.number(), LOCK_UN);
        }
    }

    descriptor held;

private:
    const pid_t owner_;
};

}  // namespace detail

/// Linux, x86-64 or aarch64.
///
/// Files are opened for writing only where they belong to the effective user. `list` and `sync_directory` do not follow
/// a symbolic link in the last component either: who allows one there adds a slash.
///
/// Threads   shared.
class posix_platform final : public platform {
public:
    posix_platform() noexcept = default;

    /// Memory is taken first, so that running out of it leaves no file behind.
    [[nodiscard]] std::unique_ptr<file> open(const std::string& path, open_mode mode, std::error_code& code) override {
        const auto opened = std::make_shared<detail::descriptor>();
        std::unique_ptr<file> result{new detail::posix_file{opened}};
        code = detail::open_regular(path, mode == open_mode::create ? O_RDWR | O_CREAT | O_EXCL : mode == open_mode::read_only ? O_RDONLY : O_RDWR, *opened);
        if (code) {
            return nullptr;
        }
        return result;
    }

    /// renameat2(2) with RENAME_NOREPLACE. A file system without it (EINVAL) gets link(2) and unlink(2): a crash
    /// between them leaves both names.
    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override {
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

    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override {
        return detail::outcome(::renameat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str()));
    }

    [[nodiscard]] std::error_code remove(const std::string& path) override {
        return detail::outcome(::unlink(path.c_str()));
    }

    [[nodiscard]] std::error_code make_directory(const std::string& path) override {
        return detail::outcome(::mkdir(path.c_str(), S_IRWXU));
    }

    [[nodiscard]] std::error_code remove_directory(const std::string& path) override {
        return detail::outcome(::rmdir(path.c_str()));
    }

    /// fsync(2) on the directory. As with a file's `sync`, any failure is final.
    [[nodiscard]] std::error_code sync_directory(const std::string& path) override {
        const detail::descriptor opened{open_directory(path)};
        return opened.is_open() ? detail::outcome(::fsync(opened.number())) : detail::last_error();
    }

    /// `entries` become the directory's, in no order, without "." and ".."; none when it fails.
    [[nodiscard]] std::error_code list(const std::string& path, std::vector<directory_entry>& entries) override {
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

    /// flock(2), so never held by a stale file: it ends with the process. A child forked meanwhile, unless it calls
    /// exec, keeps it past the death of its parent; past the destructor it does not.
    [[nodiscard]] std::unique_ptr<lock> lock_file(const std::string& path, std::error_code& code) override {
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

    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override {
        struct stat status {};
        if (::fstatat(AT_FDCWD, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
            return detail::last_error();
        }
        bytes = static_cast<std::uint64_t>(status.st_blocks) * 512;  // whatever the block size: stat(2)
        return {};
    }

    [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override {
        struct statfs status {};
        if (detail::uninterrupted([&] { return ::statfs(path.c_str(), &status); }) != 0) {
            return detail::last_error();
        }
        bytes = static_cast<std::uint64_t>(status.f_bavail) * static_cast<std::uint64_t>(status.f_bsize);
        return {};
    }

    [[nodiscard]] filesystem filesystem_of(const std::string& path) override {
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

    /// Where the kernel takes its time from the processor's counter, so does this, from an anchor per thread that is
    /// renewed every millisecond: it keeps within a microsecond of the kernel's clock, and shows a step of it within a
    /// millisecond. In one thread it goes back only when somebody set the clock back, by a millisecond or more.
    ///
    /// Cost      9 ns, of which rdtsc is 8, where clock_gettime(2) costs 18 (AMD EPYC Milan, virtual, g++ 12 -O2).
    [[nodiscard]] timestamp now() noexcept override {
#if defined(__x86_64__)
        if (ticks_) {
            static constinit thread_local detail::thread_clock mine{};
            return timestamp{std::chrono::nanoseconds{mine.now()}};
        }
#endif
        return timestamp{std::chrono::nanoseconds{detail::kernel_nanoseconds(CLOCK_REALTIME)}};
    }

    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override {
        return std::chrono::nanoseconds{detail::kernel_nanoseconds(CLOCK_MONOTONIC)};
    }

    [[nodiscard]] std::uint64_t random() override { return detail::random_word(); }

    /// futex(2), private to the process. Times beyond a year are cut to one: waking without reason is allowed.
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::optional<std::chrono::nanoseconds> timeout) noexcept override {
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

    void wake_all(std::atomic<std::uint32_t>& word) noexcept override {
        ::syscall(SYS_futex, static_cast<void*>(&word), FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr,
                  nullptr, 0);
    }

    void yield() noexcept override { ::sched_yield(); }

    /// membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14; not everywhere inside containers.
    [[nodiscard]] bool has_thread_fence() const noexcept override {
        static const bool is_registered = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
        return is_registered;
    }
    void fence_all_threads() noexcept override {
        if (has_thread_fence()) {
            ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);  // cannot fail once it is registered
        }
    }

    /// madvise(2), MADV_WIPEONFORK, Linux 4.14. Where it is refused the memory is handed out all the same, and a child
    /// does not find out that it is one.
    /// Errors    std::bad_alloc.
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override {
        constexpr int access = PROT_READ | PROT_WRITE;
        void* const memory = ::mmap(nullptr, whole_pages(size), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::bad_alloc{};
        }
        ::madvise(memory, whole_pages(size), MADV_WIPEONFORK);
        return memory;
    }

    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override {
        if (memory != nullptr) {
            ::munmap(memory, whole_pages(size));
        }
    }

private:
    /// A directory that is being read, closed by the destructor. Null: none.
    struct directory_stream {
        explicit directory_stream(DIR* opened) noexcept : stream{opened} {}
        directory_stream(const directory_stream&) = delete;
        directory_stream& operator=(const directory_stream&) = delete;
        ~directory_stream() {
            if (stream != nullptr) {
                ::closedir(stream);
            }
        }
        DIR* const stream;
    };

    [[nodiscard]] static int open_directory(const std::string& path) noexcept {
        constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        return detail::open_file(path.c_str(), flags);
    }

    /// False when the entry is gone by now. Some file systems leave the type out of the listing (readdir(3)).
    [[nodiscard]] static bool find_kind(int directory, const dirent& entry, entry_kind& kind) noexcept {
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

    [[nodiscard]] static std::size_t whole_pages(std::size_t size) noexcept {
        return align_up(size == 0 ? std::size_t{1} : size, detail::page_size());
    }

#if defined(__x86_64__)
    const bool ticks_ = detail::kernel_counts_ticks();
#endif
};

/// The platform a broker gets unless it is handed another.
[[nodiscard]] inline platform& posix() {
    static posix_platform platform_of_this_process;
    return platform_of_this_process;
}

}  // namespace brook::inline BROOK_ABI::os
