/// \file support/faulty_platform.hpp
/// A platform that does what another does, until a test tells it to fail, to fill up, or to tell another time.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>

namespace brook::test {

/// What a platform is asked for and can fail at; time, chance and sleeping are not counted.
enum class operation : std::size_t {
    open,
    create,
    size,
    read,
    read_from_disk,
    write,
    allocate,
    punch,
    sync,
    write_back,
    start_writeback,  ///< failing it means not doing it
    map,
    populate,
    release_pages,  ///< failing it means not doing it
    detach,
    identity,
    rename,
    remove,
    make_directory,
    remove_directory,
    sync_directory,
    list,
    lock_file,
    disk_bytes,
    free_bytes,
    filesystem_of,           ///< failing it means filesystem::unknown
    allocate_wiped_on_fork,  ///< failing it means std::bad_alloc
};
inline constexpr std::size_t operation_count = static_cast<std::size_t>(operation::allocate_wiped_on_fork) + 1;

[[nodiscard]] constexpr const char* name(operation which) noexcept {
    constexpr std::array<const char*, operation_count> names = {
        "open",
        "create",
        "size",
        "read",
        "read_from_disk",
        "write",
        "allocate",
        "punch",
        "sync",
        "write_back",
        "start_writeback",
        "map",
        "populate",
        "release_pages",
        "detach",
        "identity",
        "rename",
        "remove",
        "make_directory",
        "remove_directory",
        "sync_directory",
        "list",
        "lock_file",
        "disk_bytes",
        "free_bytes",
        "filesystem_of",
        "allocate_wiped_on_fork",
    };
    return names[static_cast<std::size_t>(which)];
}

/// A failure to come. The call that meets it is not passed on: a sync that fails has synced nothing.
struct fault {
    std::optional<operation> on{};  ///< unset: whichever operation it is
    std::uint64_t call = 1;         ///< the how-many-eth such call from now on; 1: the next
    int number = EIO;               ///< the errno it gives
    bool lasting = false;           ///< that call and all such calls after it, until `heal`
    std::string path{};             ///< counts only calls whose path contains this
};

namespace detail {

/// What the platform, its files and its mappings share, so that those may outlive it.
class fault_plan {
public:
    using hook = std::function<void(operation, const std::string&)>;

    /// Runs the hook, counts the call, and decides: 0, or the errno to fail with.
    [[nodiscard]] int meet(operation which, const std::string& path) {
        if (const std::shared_ptr<const hook> told = current_hook()) {
            (*told)(which, path);  // without the mutex, so that it may plan further faults, this very call's too
        }
        const std::lock_guard guard{mutex_};
        ++calls_[static_cast<std::size_t>(which)];
        int number = 0;
        for (fault& planned : faults_) {
            const bool is_meant = (!planned.on || *planned.on == which) && path.find(planned.path) != std::string::npos;
            if (!is_meant || planned.call == 0) {
                continue;
            }
            const bool is_due = planned.call == 1;
            if (!is_due || !planned.lasting) {
                --planned.call;  // 0: over
            }
            if (is_due && number == 0) {
                number = planned.number;
            }
        }
        return number;
    }

    void inject(fault planned) {
        BROOK_ASSERT(planned.call > 0);
        const std::lock_guard guard{mutex_};
        faults_.push_back(std::move(planned));
    }

    void heal() {
        const std::lock_guard guard{mutex_};
        faults_.clear();
    }

    [[nodiscard]] std::uint64_t calls(std::optional<operation> which) const {
        const std::lock_guard guard{mutex_};
        if (which) {
            return calls_[static_cast<std::size_t>(*which)];
        }
        std::uint64_t sum = 0;
        for (const std::uint64_t count : calls_) {
            sum += count;
        }
        return sum;
    }

    void forget_calls() {
        const std::lock_guard guard{mutex_};
        calls_ = {};
    }

    void set_hook(hook told) {
        auto replacement = told ? std::make_shared<const hook>(std::move(told)) : nullptr;
        const std::lock_guard guard{mutex_};
        hook_.swap(replacement);
    }

    void set_sync_hook(std::function<void()> told) {
        const std::lock_guard guard{mutex_};
        sync_hook_ = std::move(told);
    }

    /// What came of a sync of the real one.
    [[nodiscard]] std::error_code tell_sync(std::error_code code) {
        std::function<void()> told;
        if (code) {
            const std::lock_guard guard{mutex_};
            told = sync_hook_;
        }
        if (told) {
            told();
        }
        return code;
    }

    void set_budget(std::optional<std::uint64_t> bytes) {
        const std::lock_guard guard{mutex_};
        budget_ = bytes;
    }

    void add_to_budget(std::uint64_t bytes) {
        const std::lock_guard guard{mutex_};
        if (budget_) {
            *budget_ += bytes;
        }
    }

    [[nodiscard]] std::optional<std::uint64_t> budget() const {
        const std::lock_guard guard{mutex_};
        return budget_;
    }

    /// False when the disk has less than `bytes` left, and then takes none.
    [[nodiscard]] bool take(std::uint64_t bytes) {
        const std::lock_guard guard{mutex_};
        if (budget_) {
            if (*budget_ < bytes) {
                return false;
            }
            *budget_ -= bytes;
        }
        return true;
    }

private:
    [[nodiscard]] std::shared_ptr<const hook> current_hook() const {
        const std::lock_guard guard{mutex_};
        return hook_;
    }

    mutable std::mutex mutex_;  // guards all below
    std::vector<fault> faults_;
    std::array<std::uint64_t, operation_count> calls_{};
    std::optional<std::uint64_t> budget_;  // unset: whatever the real disk has
    std::shared_ptr<const hook> hook_;
    std::function<void()> sync_hook_;
};

[[nodiscard]] inline std::error_code system_code(int number) noexcept { return {number, std::system_category()}; }

class faulty_mapping final : public os::mapping {
public:
    faulty_mapping(std::unique_ptr<os::mapping> real, std::shared_ptr<fault_plan> plan, std::string path) noexcept
        : mapping{real->data(), real->size()}, real_{std::move(real)}, plan_{std::move(plan)}, path_{std::move(path)} {}

    std::error_code populate(std::size_t begin, std::size_t size) noexcept override {
        const int number = plan_->meet(operation::populate, path_);
        return number != 0 ? system_code(number) : real_->populate(begin, size);
    }

    void release_pages() noexcept override {
        if (plan_->meet(operation::release_pages, path_) == 0) {
            real_->release_pages();
        }
    }

    std::error_code detach() noexcept override {
        const int number = plan_->meet(operation::detach, path_);
        return number != 0 ? system_code(number) : real_->detach();
    }

private:
    const std::unique_ptr<os::mapping> real_;
    const std::shared_ptr<fault_plan> plan_;
    const std::string path_;
};

class faulty_file final : public os::file {
public:
    faulty_file(std::unique_ptr<os::file> real, std::shared_ptr<fault_plan> plan, std::string path) noexcept
        : real_{std::move(real)}, plan_{std::move(plan)}, path_{std::move(path)} {}

    [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override {
        const int number = plan_->meet(operation::size, path_);
        return number != 0 ? system_code(number) : real_->size(bytes);
    }

    [[nodiscard]] std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept override {
        const int number = plan_->meet(operation::read, path_);
        return number != 0 ? system_code(number) : real_->read_at(position, into);
    }

    [[nodiscard]] std::error_code read_from_disk(std::uint64_t position, std::uint64_t size, os::piece_reader& to) const noexcept override {
        const int number = plan_->meet(operation::read_from_disk, path_);
        return number != 0 ? system_code(number) : real_->read_from_disk(position, size, to);
    }

    [[nodiscard]] std::error_code write_at(std::uint64_t position, bytes from) noexcept override {
        const int number = plan_->meet(operation::write, path_);
        return number != 0 ? system_code(number) : real_->write_at(position, from);
    }

    [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override {
        if (const int number = plan_->meet(operation::allocate, path_); number != 0) {
            return system_code(number);
        }
        const std::lock_guard guard{allocating_};
        std::uint64_t before = 0;
        if (const std::error_code code = real_->size(before)) {
            return code;
        }
        const std::uint64_t end = begin + size;
        const std::uint64_t fresh = end <= before ? 0 : end - (begin > before ? begin : before);
        if (!plan_->take(fresh)) {
            return system_code(ENOSPC);
        }
        const std::error_code code = real_->allocate(begin, size);
        if (code) {
            plan_->add_to_budget(fresh);
        }
        return code;
    }

    [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override {
        const int number = plan_->meet(operation::punch, path_);
        return number != 0 ? system_code(number) : real_->punch(begin, size);
    }

    [[nodiscard]] std::error_code sync() noexcept override {
        const int number = plan_->meet(operation::sync, path_);
        return number != 0 ? system_code(number) : plan_->tell_sync(real_->sync());
    }

    [[nodiscard]] std::error_code write_back(std::uint64_t begin, std::uint64_t size) noexcept override {
        const int number = plan_->meet(operation::write_back, path_);
        return number != 0 ? system_code(number) : real_->write_back(begin, size);
    }

    void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept override {
        if (plan_->meet(operation::start_writeback, path_) == 0) {
            real_->start_writeback(begin, size);
        }
    }

    [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t size, std::error_code& code) noexcept override {
        if (const int number = plan_->meet(operation::map, path_); number != 0) {
            code = system_code(number);
            return nullptr;
        }
        try {
            std::unique_ptr<os::mapping> mapped = real_->map(size, code);
            return mapped ? std::make_unique<faulty_mapping>(std::move(mapped), plan_, path_) : nullptr;
        } catch (const std::bad_alloc&) {
            code = std::make_error_code(std::errc::not_enough_memory);
            return nullptr;
        }
    }

    [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
        const int number = plan_->meet(operation::identity, path_);
        return number != 0 ? system_code(number) : real_->identity(id);
    }

private:
    const std::unique_ptr<os::file> real_;
    const std::shared_ptr<fault_plan> plan_;
    const std::string path_;
    std::mutex allocating_;  // between reading the size and changing it
};

}  // namespace detail

/// Passes every call on to another platform, but for those that a test has planned to fail.
///
///     faulty_platform platform;
///     platform.inject({.on = operation::sync, .call = 3, .lasting = true, .path = ".log"});
///     platform.limit_disk(64 * kib);
///
/// Threads   shared, as any platform; so its files, mappings and locks, which may outlive it (not the real one).
/// Errors    the hook may throw out of functions that take a path; elsewhere throwing ends the program (noexcept).
class faulty_platform final : public os::platform {
public:
    using hook = detail::fault_plan::hook;

    explicit faulty_platform(os::platform& real = os::posix()) : real_{real} {}

    // ---- failing ----

    /// Plans one more failure. Several due at once: the one that was planned first names the errno.
    void inject(fault planned) { plan_->inject(std::move(planned)); }

    /// The k-th call of `which` from now on fails.
    void fail(operation which, std::uint64_t call = 1, int number = EIO) {
        inject({.on = which, .call = call, .number = number});
    }

    /// The k-th call from now on fails, whatever it asks for: running k from 1 up visits every failure of a scenario.
    void fail_any(std::uint64_t call, int number = EIO) { inject({.call = call, .number = number}); }

    /// No sync of a file reaches the disk any more, and each says so.
    void fail_syncs(int number = EIO) { inject({.on = operation::sync, .number = number, .lasting = true}); }

    /// Forgets all planned failures; what has failed stays failed. The disk's limit stays.
    void heal() { plan_->heal(); }

    // ---- a small disk ----

    /// Lets `allocate` take `bytes` more, then gives ENOSPC. What lies before a file's end counts as taken already, and
    /// space given back by `punch` and `remove` is not: a test frees space by `add_disk`.
    void limit_disk(std::uint64_t bytes) { plan_->set_budget(bytes); }
    void add_disk(std::uint64_t bytes) { plan_->add_to_budget(bytes); }
    void unlimit_disk() { plan_->set_budget(std::nullopt); }

    /// What `allocate` can still take; none without a limit.
    [[nodiscard]] std::optional<std::uint64_t> disk_left() const { return plan_->budget(); }

    // ---- watching ----

    /// Calls so far, the failed ones among them.
    [[nodiscard]] std::uint64_t calls(operation which) const { return plan_->calls(which); }
    [[nodiscard]] std::uint64_t calls() const { return plan_->calls(std::nullopt); }
    void forget_calls() { plan_->forget_calls(); }

    /// Called before every operation with the path, which of a rename is "from -> to" and of memory is "". The hook may
    /// plan the failure of the very call it is told of; it runs on the caller's thread, two threads may be in it.
    void on_call(hook told) { plan_->set_hook(std::move(told)); }

    /// Called when a sync of a file by the real one has failed, before who called it hears of that.
    void on_failed_sync(std::function<void()> told) { plan_->set_sync_hook(std::move(told)); }

    // ---- time: the real one's until set ----

    void set_now(timestamp time) noexcept { now_.set(time.time_since_epoch().count()); }
    void advance_now(std::chrono::nanoseconds by) noexcept { now_.advance(by.count()); }
    void use_real_now() noexcept { now_.unset(); }
    /// How far the real wall clock is off from now on; one that was set is not.
    void shift_real_now(std::chrono::nanoseconds by) noexcept { now_shift_.store(by.count()); }
    /// What `free_bytes` says from now on; nullopt: what the real one says. Set it while nobody asks.
    void set_free_bytes(std::optional<std::uint64_t> bytes) noexcept { free_bytes_ = bytes; }

    /// `wait` goes on sleeping by the real clock.
    void set_monotonic(std::chrono::nanoseconds time) noexcept { monotonic_.set(time.count()); }
    void advance_monotonic(std::chrono::nanoseconds by) noexcept { monotonic_.advance(by.count()); }
    void use_real_monotonic() noexcept { monotonic_.unset(); }

    // ---- os::platform ----

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode,
                                                 std::error_code& code) override {
        const operation which = mode == os::open_mode::create ? operation::create : operation::open;
        if (const int number = plan_->meet(which, path); number != 0) {
            code = detail::system_code(number);
            return nullptr;
        }
        std::unique_ptr<os::file> opened = real_.open(path, mode, code);
        return opened ? std::make_unique<detail::faulty_file>(std::move(opened), plan_, path) : nullptr;
    }

    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override {
        const int number = plan_->meet(operation::rename, from + " -> " + to);
        return number != 0 ? detail::system_code(number) : real_.rename_to_new(from, to);
    }

    /// An operation::rename, too.
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override {
        const int number = plan_->meet(operation::rename, from + " -> " + to);
        return number != 0 ? detail::system_code(number) : real_.rename_over(from, to);
    }

    [[nodiscard]] std::error_code remove(const std::string& path) override {
        const int number = plan_->meet(operation::remove, path);
        return number != 0 ? detail::system_code(number) : real_.remove(path);
    }

    [[nodiscard]] std::error_code make_directory(const std::string& path) override {
        const int number = plan_->meet(operation::make_directory, path);
        return number != 0 ? detail::system_code(number) : real_.make_directory(path);
    }

    [[nodiscard]] std::error_code remove_directory(const std::string& path) override {
        const int number = plan_->meet(operation::remove_directory, path);
        return number != 0 ? detail::system_code(number) : real_.remove_directory(path);
    }

    [[nodiscard]] std::error_code sync_directory(const std::string& path) override {
        const int number = plan_->meet(operation::sync_directory, path);
        return number != 0 ? detail::system_code(number) : real_.sync_directory(path);
    }

    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override {
        if (const int number = plan_->meet(operation::list, path); number != 0) {
            entries.clear();
            return detail::system_code(number);
        }
        return real_.list(path, entries);
    }

    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override {
        if (const int number = plan_->meet(operation::lock_file, path); number != 0) {
            code = detail::system_code(number);
            return nullptr;
        }
        return real_.lock_file(path, code);
    }

    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override {
        const int number = plan_->meet(operation::disk_bytes, path);
        return number != 0 ? detail::system_code(number) : real_.disk_bytes(path, bytes);
    }

    [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override {
        const int number = plan_->meet(operation::free_bytes, path);
        if (number == 0 && free_bytes_) {
            bytes = *free_bytes_;
            return {};
        }
        return number != 0 ? detail::system_code(number) : real_.free_bytes(path, bytes);
    }

    [[nodiscard]] os::filesystem filesystem_of(const std::string& path) override {
        const int number = plan_->meet(operation::filesystem_of, path);
        return number != 0 ? os::filesystem::unknown : real_.filesystem_of(path);
    }

    [[nodiscard]] timestamp now() noexcept override {
        const auto set = now_.get();
        return set ? timestamp{std::chrono::nanoseconds{*set}} : real_.now() + std::chrono::nanoseconds{now_shift_.load()};
    }

    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override {
        const auto set = monotonic_.get();
        return set ? std::chrono::nanoseconds{*set} : real_.monotonic();
    }

    [[nodiscard]] std::uint64_t random() override { return real_.random(); }

    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        waits_.fetch_add(1, std::memory_order_relaxed);
        real_.wait(word, expected, timeout);
    }

    /// How often a thread has gone to sleep here, or been about to.
    [[nodiscard]] std::uint64_t waits() const noexcept { return waits_.load(std::memory_order_relaxed); }

    void wake_all(std::atomic<std::uint32_t>& word) noexcept override { real_.wake_all(word); }

    void yield() noexcept override { real_.yield(); }

    [[nodiscard]] bool has_thread_fence() const noexcept override { return !lacks_thread_fence_ && real_.has_thread_fence(); }
    void fence_all_threads() noexcept override {
        if (has_thread_fence()) {
            real_.fence_all_threads();
        }
    }
    /// To be said before a broker or a log is made.
    void pretend_no_thread_fence(bool lacks) noexcept { lacks_thread_fence_ = lacks; }

    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override {
        if (plan_->meet(operation::allocate_wiped_on_fork, "") != 0) {
            throw std::bad_alloc{};
        }
        return real_.allocate_wiped_on_fork(size);
    }

    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override {
        real_.release_wiped_on_fork(memory, size);
    }

private:
    /// A clock that stands still until told otherwise. Advancing one that was never set does nothing.
    class manual_clock {
    public:
        [[nodiscard]] std::optional<std::int64_t> get() const noexcept {
            const std::int64_t time = time_.load();
            return time == unset_time ? std::nullopt : std::optional{time};
        }
        void set(std::int64_t time) noexcept { time_.store(time); }
        void unset() noexcept { time_.store(unset_time); }
        void advance(std::int64_t by) noexcept {
            std::int64_t before = time_.load();
            while (before != unset_time && !time_.compare_exchange_weak(before, before + by)) {
            }
        }

    private:
        static constexpr std::int64_t unset_time = std::numeric_limits<std::int64_t>::min();
        std::atomic<std::int64_t> time_{unset_time};
    };

    os::platform& real_;
    bool lacks_thread_fence_ = false;
    std::atomic<std::uint64_t> waits_{0};
    const std::shared_ptr<detail::fault_plan> plan_ = std::make_shared<detail::fault_plan>();
    manual_clock now_;
    std::atomic<std::int64_t> now_shift_{0};
    std::optional<std::uint64_t> free_bytes_;
    manual_clock monotonic_;
};

}  // namespace brook::test
