/// \file support/rebooting_platform.hpp
/// A machine that is switched off and on by a test: every file says that it was written in the current boot.
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

/// Passes every call on to another platform, but for `file::identity`: all files are one file, and it is the boot that
/// tells a killed process from a loss of power. So a copy of a directory passes for the directory itself.
///
/// Threads   shared; the platform outlives its files.
class rebooting_platform final : public os::platform {
public:
    explicit rebooting_platform(os::platform& real = os::posix()) : real_{real} {}

    /// From here on everything that was written before was written in another boot.
    void reboot() noexcept { boot_.fetch_add(1); }

    /// From here on `random` gives a sequence of its own, the same for the same seed.
    void use_random_seed(std::uint64_t seed) noexcept { next_random_.store(seed | 1); }

    /// Called by whoever asks for the time, on its thread. Set it while nobody else does.
    void on_monotonic(std::function<void()> told) { on_monotonic_ = std::move(told); }

    /// How often somebody has waited for others and could not sleep.
    [[nodiscard]] std::uint64_t yields() const noexcept { return yields_.load(); }

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override {
        std::unique_ptr<os::file> opened = real_.open(path, mode, code);
        return opened ? std::make_unique<rebooted_file>(std::move(opened), *this) : nullptr;
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
        if (on_monotonic_) {
            on_monotonic_();
        }
        return real_.monotonic();
    }
    [[nodiscard]] std::uint64_t random() override {
        if (next_random_.load() == 0) {
            return real_.random();
        }
        std::uint64_t mixed = next_random_.fetch_add(0x9e3779b97f4a7c16u);  // splitmix64; even, so that it never is 0 again
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
        return mixed ^ mixed >> 31;
    }
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        real_.wait(word, expected, timeout);
    }
    void wake_all(std::atomic<std::uint32_t>& word) noexcept override { real_.wake_all(word); }
    void yield() noexcept override {
        yields_.fetch_add(1);
        real_.yield();
    }
    [[nodiscard]] bool has_thread_fence() const noexcept override { return real_.has_thread_fence(); }
    void fence_all_threads() noexcept override { real_.fence_all_threads(); }
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override { return real_.allocate_wiped_on_fork(size); }
    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override { real_.release_wiped_on_fork(memory, size); }

private:
    class rebooted_file final : public os::file {
    public:
        rebooted_file(std::unique_ptr<os::file> real, const rebooting_platform& machine) noexcept : real_{std::move(real)}, machine_{machine} {}

        [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override { return real_->size(bytes); }
        [[nodiscard]] std::error_code read_at(std::uint64_t position, mutable_bytes into) const noexcept override { return real_->read_at(position, into); }
        [[nodiscard]] std::error_code read_from_disk(std::uint64_t position, std::uint64_t size, os::piece_reader& to) const noexcept override {
            return real_->read_from_disk(position, size, to);
        }
        [[nodiscard]] std::error_code write_at(std::uint64_t position, bytes from) noexcept override { return real_->write_at(position, from); }
        [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override { return real_->allocate(begin, size); }
        [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override { return real_->punch(begin, size); }
        [[nodiscard]] std::error_code sync() noexcept override { return real_->sync(); }
        void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept override { real_->start_writeback(begin, size); }
        [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t size, std::error_code& code) noexcept override { return real_->map(size, code); }
        [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
            id = {};
            id.boot_id[0] = static_cast<std::byte>(machine_.boot_.load());
            id.inode = 1;
            return {};
        }

    private:
        const std::unique_ptr<os::file> real_;
        const rebooting_platform& machine_;
    };

    os::platform& real_;
    std::atomic<unsigned> boot_{1};
    std::atomic<std::uint64_t> next_random_{0};  // 0: the real one's
    std::atomic<std::uint64_t> yields_{0};
    std::function<void()> on_monotonic_;
};

}  // namespace brook::test
