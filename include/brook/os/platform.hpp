/// \file brook/os/platform.hpp
/// Everything brook asks of an operating system: files, mappings, sync, locks, time, sleeping.
/// Floor 1, os.
///
/// The broker is handed a platform, so that tests hand in one that fails, forgets or lies (brook/os/posix.hpp is the
/// one for real). Appends and reads make no call on it but for the time; what is virtual here costs nothing there.
/// No other room calls the system: tests/layout/system_calls.cmake refuses it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::os {

/// Tells whether a file's page cache is still the one its last writer left: same boot, same file.
/// A different boot means that power may have gone, and with it what was never synced.
struct file_identity {
    std::array<std::byte, 16> boot_id{};
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t birth_time_ns = 0;

    bool operator==(const file_identity&) const = default;
};
static_assert(sizeof(file_identity) == 40);

/// A stretch of a file in memory, shared with the file. Unmapped by the destructor.
///
/// Threads   shared, but for `detach`.
class mapping {
public:
    mapping(std::byte* data, std::size_t size) noexcept : data_{data}, size_{size} {}
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    virtual ~mapping() = default;

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Brings the pages of [begin, begin + size) into memory, writable, so that no store faults there.
    /// Errors    returned; nothing is lost when it fails, the first store faults instead.
    virtual std::error_code populate(std::size_t begin, std::size_t size) noexcept = 0;

    /// The process' own tables forget the pages, which stay as they are in the system's memory: whoever looks there next has a fault that
    /// reads nothing from the disk. To be called before a sync of much that was stored here while other threads run: it costs one flush of
    /// their TLBs a few MiB, and a sync that finds the pages mapped one each time that it makes a page read-only (madvise(2), MADV_DONTNEED).
    ///
    /// Requires  no `detach` before: what is private would be lost.
    /// Errors    none: nothing has changed then, as where memory is locked (mlock(2)).
    virtual void release_pages() noexcept {}

    /// From here on stores through this mapping stay private to the process and never reach the file; the addresses
    /// keep their contents. Called when a broker lets go of a file while a user still holds a place to write in it.
    virtual std::error_code detach() noexcept = 0;

private:
    std::byte* data_;
    std::size_t size_;
};

/// Is shown a file piece by piece, from front to back.
class piece_reader {
public:
    /// False: it has seen enough.
    [[nodiscard]] virtual bool see(bytes piece) noexcept = 0;

protected:
    ~piece_reader() = default;
};

/// An open file. Closed by the destructor. One object is opened before the first write and kept, since only the
/// descriptor that was open hears of a failed write-back (fsync(2), "EIO").
///
/// Threads   shared.
/// Errors    returned as the system's own code, so that callers on paths that must not throw can decide.
class file {
public:
    file() = default;
    file(const file&) = delete;
    file& operator=(const file&) = delete;
    virtual ~file() = default;

    [[nodiscard]] virtual std::error_code size(std::uint64_t& bytes) const noexcept = 0;

    /// Reads exactly `into.size()` bytes; a file that ends earlier is `std::errc::io_error`.
    [[nodiscard]] virtual std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept = 0;
    [[nodiscard]] virtual std::error_code write_at(std::uint64_t position, bytes from) noexcept = 0;

    /// Shows what the disk has of [position, position + size): past the page cache, which goes on showing what could not be written back.
    ///
    /// Requires  `position` is a multiple of 4096.
    /// Errors    as read_at; also `std::errc::not_supported`: that cannot be had of this file. What `to` does not go on with is no error.
    [[nodiscard]] virtual std::error_code read_from_disk([[maybe_unused]] std::uint64_t position, [[maybe_unused]] std::uint64_t size,
                                                         [[maybe_unused]] piece_reader& to) const noexcept {
        return std::make_error_code(std::errc::not_supported);
    }

    /// Takes disk space for [begin, begin + size) and extends the file to its end; bytes never written read as zero.
    /// A full disk is an error here, so that it never is a SIGBUS at a store into the mapping (fallocate(2)).
    [[nodiscard]] virtual std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept = 0;

    /// Gives the disk space of [begin, begin + size) back; it reads as zero. The file's size stays.
    [[nodiscard]] virtual std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept = 0;

    /// All written and stored bytes are on the disk when this returns success. A failure is final: pages that could
    /// not be written are clean now, and a second sync would lie (see RELIABILITY in brook/storage/README.md).
    [[nodiscard]] virtual std::error_code sync() noexcept = 0;

    /// Writes [begin, begin + size) back and waits for that, so that a later `sync` has less to do. By itself it promises nothing.
    /// Errors    as those of `sync`, and as final: a later `sync` may not hear of it any more. None where there is no such call.
    [[nodiscard]] virtual std::error_code write_back([[maybe_unused]] std::uint64_t begin, [[maybe_unused]] std::uint64_t size) noexcept { return {}; }

    /// Starts writing back without waiting: a later `sync` has less to do. Promises nothing.
    virtual void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept = 0;

    /// Maps [0, size), which may reach past the end of the file: do not touch what `allocate` has not covered.
    /// Errors    `nullptr` and the code.
    [[nodiscard]] virtual std::unique_ptr<mapping> map(std::size_t size, std::error_code& code) noexcept = 0;

    [[nodiscard]] virtual std::error_code identity(file_identity& id) const noexcept = 0;
};

/// Holds a directory for this process; let go by the destructor, and by the kernel when the process dies.
class lock {
public:
    lock() = default;
    lock(const lock&) = delete;
    lock& operator=(const lock&) = delete;
    virtual ~lock() = default;
};

enum class open_mode {
    read_write,  ///< must exist
    create,      ///< must not exist; mode 0600
    read_only,   ///< must exist; for who looks and changes nothing: `write_at` and what else stores is refused
};

enum class entry_kind { file, directory, other };

struct directory_entry {
    std::string name;
    entry_kind kind;
};

/// What kind of file system a directory is on, as far as mapped writes are concerned.
enum class filesystem { mapped_writes_promised, unknown };

/// One operating system. Paths are UTF-8 strings as the system takes them.
///
/// Threads   shared.
/// Errors    functions that return `std::error_code` do not throw but for memory.
class platform {
public:
    platform() = default;
    platform(const platform&) = delete;
    platform& operator=(const platform&) = delete;
    virtual ~platform() = default;

    // ---- files and directories; none follows a symbolic link in the last component, none leaks into a child ----

    /// Opens a regular file. Errors: `nullptr` and the code; anything but a regular file is `std::errc::not_supported`.
    [[nodiscard]] virtual std::unique_ptr<file> open(const std::string& path, open_mode mode, std::error_code& code) = 0;

    /// Renames, and fails with `std::errc::file_exists` where the target is there already (renameat2(2)).
    [[nodiscard]] virtual std::error_code rename_to_new(const std::string& from, const std::string& to) = 0;

    /// Renames, and in the same step takes the name from the file that has it, if there is one (rename(2)). Who has that file open keeps it.
    [[nodiscard]] virtual std::error_code rename_over(const std::string& from, const std::string& to) = 0;
    [[nodiscard]] virtual std::error_code remove(const std::string& path) = 0;

    /// Mode 0700. `std::errc::file_exists` when it is there already.
    [[nodiscard]] virtual std::error_code make_directory(const std::string& path) = 0;
    [[nodiscard]] virtual std::error_code remove_directory(const std::string& path) = 0;

    /// Makes creations, renames and removals in the directory durable.
    [[nodiscard]] virtual std::error_code sync_directory(const std::string& path) = 0;
    [[nodiscard]] virtual std::error_code list(const std::string& path, std::vector<directory_entry>& entries) = 0;

    /// Takes the lock file at `path`, made if missing, for this process and for this one lock object.
    /// Errors    `nullptr` and `std::errc::resource_unavailable_try_again` when somebody has it.
    [[nodiscard]] virtual std::unique_ptr<lock> lock_file(const std::string& path, std::error_code& code) = 0;
    [[nodiscard]] virtual filesystem filesystem_of(const std::string& path) = 0;

    /// What a file takes of the disk, as du(1) counts: holes take nothing, space taken ahead does.
    [[nodiscard]] virtual std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) = 0;

    /// What is free, for who has no privileges, where the directory is.
    [[nodiscard]] virtual std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) = 0;

    // ---- time and chance ----

    /// Wall clock. May jump; ordering never relies on it.
    [[nodiscard]] virtual timestamp now() noexcept = 0;

    /// Never goes back. For deadlines.
    [[nodiscard]] virtual std::chrono::nanoseconds monotonic() noexcept = 0;
    [[nodiscard]] virtual std::uint64_t random() = 0;

    // ---- sleeping ----

    /// Sleeps while `word` still holds `expected`, until a wake or `timeout` (nullopt: no limit). May wake without reason.
    virtual void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                      std::optional<std::chrono::nanoseconds> timeout) noexcept = 0;
    virtual void wake_all(std::atomic<std::uint32_t>& word) noexcept = 0;

    /// Gives the processor away for a moment, while another thread finishes what it has begun.
    virtual void yield() noexcept = 0;

    /// Whether `fence_all_threads` does anything. The answer never changes.
    [[nodiscard]] virtual bool has_thread_fence() const noexcept { return false; }

    /// A full memory barrier in every thread of this process, wherever it is just now: of two sides that each store their
    /// own word and then load the other's, the rare one calls this, and the frequent one needs no barrier.
    /// Cost      some µs, and an interrupt on each processor that runs a thread of this process.
    virtual void fence_all_threads() noexcept {}

    /// Memory of at least `size` bytes, zero at first, that reads as zero again in a forked child, so that a child
    /// finds out that it is one. `release_wiped_on_fork` gives it back.
    [[nodiscard]] virtual void* allocate_wiped_on_fork(std::size_t size) = 0;
    virtual void release_wiped_on_fork(void* memory, std::size_t size) noexcept = 0;
};


}  // namespace brook::inline BROOK_ABI::os
