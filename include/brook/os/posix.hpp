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
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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

[[nodiscard]] BROOK_INLINE std::uint64_t random_word() noexcept;

/// The 16 bytes of /proc/sys/kernel/random/boot_id, which lists them as hexadecimal digits and dashes.
[[nodiscard]] BROOK_INLINE std::array<std::byte, 16> read_boot_id() noexcept;

[[nodiscard]] BROOK_INLINE const std::array<std::byte, 16>& boot_id() noexcept;

class posix_mapping final : public mapping {
public:
    posix_mapping(std::byte* data, std::size_t size, std::shared_ptr<descriptor> file) noexcept
        : mapping{data, size}, file_{std::move(file)} {}
    ~posix_mapping() override { ::munmap(data(), size()); }

    /// EFAULT where `allocate` has not covered the range, or the disk is full; EINVAL before Linux 5.14. madvise(2).
    BROOK_INLINE std::error_code populate(std::size_t begin, std::size_t size) noexcept override;

    /// MADV_DONTNEED, which leaves what is locked.
    BROOK_INLINE void release_pages() noexcept override;

    /// Maps the same bytes once more, private, over the same addresses: one step to whoever stores there meanwhile,
    /// since faults wait until mmap(2) is done. Contents the process has not stored to stay the file's, and follow it.
    BROOK_INLINE std::error_code detach() noexcept override;

private:
    std::shared_ptr<descriptor> file_;  // what detach maps again; the file object may be gone by then
};

class posix_file final : public file {
public:
    explicit posix_file(std::shared_ptr<descriptor> opened) noexcept : opened_{std::move(opened)} {}

    [[nodiscard]] BROOK_INLINE std::error_code size(std::uint64_t& bytes) const noexcept override;

    [[nodiscard]] BROOK_INLINE std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept override;

    [[nodiscard]] BROOK_INLINE std::error_code write_at(std::uint64_t position, bytes from) noexcept override;

    /// O_DIRECT, by a descriptor of its own; not where the file system says that it would answer from the page cache all the same, as ext4 does
    /// that journals data (statx(2), STATX_DIOALIGN, Linux 6.1). What is in memory alone (tmpfs) is its own disk.
    [[nodiscard]] BROOK_INLINE std::error_code read_from_disk(std::uint64_t position, std::uint64_t size, piece_reader& to) const noexcept override;

    /// fallocate(2), without a substitute where the file system has none (EOPNOTSUPP): zeros written promise less.
    /// Only success says anything: after ENOSPC or EDQUOT the file may be longer, with part of the space taken (ext4).
    [[nodiscard]] BROOK_INLINE std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override;

    [[nodiscard]] BROOK_INLINE std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override;

    /// fdatasync(2): contents, stores through mappings among them, and of the metadata what reading them back needs,
    /// which includes a changed size. Any failure is final, EINTR too: ext4, XFS and tmpfs never give it, and elsewhere
    /// a second call could succeed because the first has taken the error with it.
    [[nodiscard]] std::error_code sync() noexcept override { return outcome(::fdatasync(number())); }

    /// sync_file_range(2) with the flags that wait. Those take a write-back error with them, whatever its number, so whether there is such a call
    /// is asked before, without a flag.
    [[nodiscard]] BROOK_INLINE std::error_code write_back(std::uint64_t begin, std::uint64_t size) noexcept override;

    /// SYNC_FILE_RANGE_WRITE alone: the flags that wait would also take a write-back error that `sync` has to hear.
    BROOK_INLINE void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept override;

    [[nodiscard]] BROOK_INLINE std::unique_ptr<mapping> map(std::size_t size, std::error_code& code) noexcept override;

    /// A file system that keeps no birth time answers 0 for it. statx(2).
    [[nodiscard]] BROOK_INLINE std::error_code identity(file_identity& id) const noexcept override;

private:
    [[nodiscard]] int number() const noexcept { return opened_->number(); }

    [[nodiscard]] bool is_never_direct() const noexcept;

    const std::shared_ptr<descriptor> opened_;
};

/// flock(2): held by the open file description. It refuses a second open in this process as well, and a close of some
/// other descriptor does not drop it, which is what fcntl's locks do.
class posix_lock final : public lock {
public:
    posix_lock() noexcept : owner_{::getpid()} {}
    BROOK_INLINE ~posix_lock() override;

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
    [[nodiscard]] BROOK_INLINE std::unique_ptr<file> open(const std::string& path, open_mode mode, std::error_code& code) override;

    /// renameat2(2) with RENAME_NOREPLACE. A file system without it (EINVAL) gets link(2) and unlink(2): a crash
    /// between them leaves both names.
    [[nodiscard]] BROOK_INLINE std::error_code rename_to_new(const std::string& from, const std::string& to) override;

    [[nodiscard]] BROOK_INLINE std::error_code rename_over(const std::string& from, const std::string& to) override;

    [[nodiscard]] BROOK_INLINE std::error_code remove(const std::string& path) override;

    [[nodiscard]] BROOK_INLINE std::error_code make_directory(const std::string& path) override;

    [[nodiscard]] BROOK_INLINE std::error_code remove_directory(const std::string& path) override;

    /// fsync(2) on the directory. As with a file's `sync`, any failure is final.
    [[nodiscard]] BROOK_INLINE std::error_code sync_directory(const std::string& path) override;

    /// `entries` become the directory's, in no order, without "." and ".."; none when it fails.
    [[nodiscard]] BROOK_INLINE std::error_code list(const std::string& path, std::vector<directory_entry>& entries) override;

    /// flock(2), so never held by a stale file: it ends with the process. A child forked meanwhile, unless it calls
    /// exec, keeps it past the death of its parent; past the destructor it does not.
    [[nodiscard]] BROOK_INLINE std::unique_ptr<lock> lock_file(const std::string& path, std::error_code& code) override;

    [[nodiscard]] BROOK_INLINE std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override;

    [[nodiscard]] BROOK_INLINE std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override;

    [[nodiscard]] BROOK_INLINE filesystem filesystem_of(const std::string& path) override;

    /// Where the kernel takes its time from the processor's counter, so does this, from an anchor per thread that is
    /// renewed every millisecond: it keeps within a microsecond of the kernel's clock, and shows a step of it within a
    /// millisecond. In one thread it goes back only when somebody set the clock back, by a millisecond or more.
    ///
    /// Cost      9 ns, of which rdtsc is 8, where clock_gettime(2) costs 18 (AMD EPYC Milan, virtual, g++ 12 -O2).
    [[nodiscard]] BROOK_INLINE timestamp now() noexcept override;

    [[nodiscard]] BROOK_INLINE std::chrono::nanoseconds monotonic() noexcept override;

    [[nodiscard]] std::uint64_t random() override { return detail::random_word(); }

    /// futex(2), private to the process. Times beyond a year are cut to one: waking without reason is allowed.
    BROOK_INLINE void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::optional<std::chrono::nanoseconds> timeout) noexcept override;

    BROOK_INLINE void wake_all(std::atomic<std::uint32_t>& word) noexcept override;

    void yield() noexcept override { ::sched_yield(); }

    /// membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14; not everywhere inside containers.
    [[nodiscard]] BROOK_INLINE bool has_thread_fence() const noexcept override;
    BROOK_INLINE void fence_all_threads() noexcept override;

    /// madvise(2), MADV_WIPEONFORK, Linux 4.14. Where it is refused the memory is handed out all the same, and a child
    /// does not find out that it is one.
    /// Errors    std::bad_alloc.
    [[nodiscard]] BROOK_INLINE void* allocate_wiped_on_fork(std::size_t size) override;

    BROOK_INLINE void release_wiped_on_fork(void* memory, std::size_t size) noexcept override;

private:
    /// A directory that is being read, closed by the destructor. Null: none.
    struct directory_stream {
        explicit directory_stream(DIR* opened) noexcept : stream{opened} {}
        directory_stream(const directory_stream&) = delete;
        directory_stream& operator=(const directory_stream&) = delete;
        ~directory_stream();
        DIR* const stream;
    };

    [[nodiscard]] static int open_directory(const std::string& path) noexcept;

    /// False when the entry is gone by now. Some file systems leave the type out of the listing (readdir(3)).
    [[nodiscard]] static bool find_kind(int directory, const dirent& entry, entry_kind& kind) noexcept;

    [[nodiscard]] static std::size_t whole_pages(std::size_t size) noexcept;

#if defined(__x86_64__)
    const bool ticks_ = detail::kernel_counts_ticks();
#endif
};

/// The platform a broker gets unless it is handed another.
[[nodiscard]] BROOK_INLINE platform& posix();

}  // namespace brook::inline BROOK_ABI::os

#if !BROOK_SEPARATE_COMPILATION
#include <brook/os/bodies/posix.hpp>
#endif
