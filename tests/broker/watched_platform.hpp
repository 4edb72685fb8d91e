/// \file broker/watched_platform.hpp
/// A platform that tells when its threads go to sleep, and for how long, and when they look at the clock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>

namespace brook::test {

/// Passes every call on. `before_wait` is called in front of each sleep, `at_fence` at each fence of all threads, on the
/// thread that is about to sleep.
///
/// Threads   shared, but for setting what it calls.
class watched_platform final : public os::platform {
public:
    using sleep_hook = std::function<void(std::optional<std::chrono::nanoseconds>)>;

    explicit watched_platform(sleep_hook before_wait, os::platform& real = os::posix()) : before_wait_{std::move(before_wait)}, real_{real} {}

    /// Calls it each time that a thread asks for the monotonic time, on that thread.
    void on_clock(std::function<void()> told) { on_clock_ = std::move(told); }

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override {
        return real_.open(path, mode, code);
    }
    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override { return real_.rename_to_new(from, to); }
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override { return real_.rename_over(from, to); }
    [[nodiscard]] std::error_code remove(const std::string& path) override { return real_.remove(path); }
    [[nodiscard]] std::error_code make_directory(const std::string& path) override { return real_.make_directory(path); }
    [[nodiscard]] std::error_code remove_directory(const std::string& path) override { return real_.remove_directory(path); }
    [[nodiscard]] std::error_code sync_directory(const std::string& path) override { return real_.sync_directory(path); }
    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override { return real_.list(path, entries); }
    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override { return real_.lock_file(path, code); }
    [[nodiscard]] os::filesystem filesystem_of(const std::string& path) override { return real_.filesystem_of(path); }
    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override { return real_.disk_bytes(path, bytes); }
    [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override { return real_.free_bytes(path, bytes); }
    [[nodiscard]] timestamp now() noexcept override { return real_.now(); }
    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override {
        if (on_clock_) {
            on_clock_();
        }
        return real_.monotonic();
    }
    [[nodiscard]] std::uint64_t random() override { return real_.random(); }
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        if (word.load() == expected) {  // else it does not sleep
            before_wait_(timeout);
        }
        real_.wait(word, expected, timeout);
    }
    void wake_all(std::atomic<std::uint32_t>& word) noexcept override { real_.wake_all(word); }
    void yield() noexcept override { real_.yield(); }
    [[nodiscard]] bool has_thread_fence() const noexcept override { return real_.has_thread_fence(); }
    void fence_all_threads() noexcept override {
        real_.fence_all_threads();
        if (at_fence) {
            at_fence();
        }
    }
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override { return real_.allocate_wiped_on_fork(size); }
    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override { real_.release_wiped_on_fork(memory, size); }

    std::function<void()> at_fence;

private:
    sleep_hook before_wait_;
    std::function<void()> on_clock_;
    os::platform& real_;
};

}  // namespace brook::test
