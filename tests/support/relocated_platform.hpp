/// \file support/relocated_platform.hpp
/// A platform on which a copy of a file passes for the file it was copied from.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>

namespace brook::test {

/// Does what the real platform does, but for who a file is: `pass_for` gives a copy the identity of its original. A
/// copy of what a killed process left is then recovered as the original would be: same boot, same file, page cache whole.
/// A copy that passes for nobody is a stranger, as any file is after a power loss.
///
/// Threads   shared, but for `pass_for` and `forget`.
class relocated_platform : public os::platform {
public:
    relocated_platform() = default;

    void pass_for(const os::file_identity& copy, const os::file_identity& original) {
        originals_[key(copy)] = original;
    }
    void forget() { originals_.clear(); }

    /// Takes over for whom files pass on another one.
    void see_as(const relocated_platform& other) { originals_ = other.originals_; }

    /// Who the file at `path` is to those who use this platform.
    [[nodiscard]] std::optional<os::file_identity> identity_of(const std::string& path) {
        std::error_code code;
        const auto opened = open(path, os::open_mode::read_write, code);
        os::file_identity id;
        return opened && !opened->identity(id) ? std::optional{id} : std::nullopt;
    }

    // ---- os::platform ----

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode,
                                                 std::error_code& code) override {
        auto opened = real_.open(path, mode, code);
        if (mode == os::open_mode::create) {
            has_called();
        }
        return opened ? std::make_unique<relocated_file>(std::move(opened), *this) : nullptr;
    }
    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override {
        return told(real_.rename_to_new(from, to));
    }
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override { return told(real_.rename_over(from, to)); }
    [[nodiscard]] std::error_code remove(const std::string& path) override { return told(real_.remove(path)); }
    [[nodiscard]] std::error_code make_directory(const std::string& path) override {
        return told(real_.make_directory(path));
    }
    [[nodiscard]] std::error_code remove_directory(const std::string& path) override {
        return told(real_.remove_directory(path));
    }
    [[nodiscard]] std::error_code sync_directory(const std::string& path) override {
        return real_.sync_directory(path);
    }
    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override {
        return real_.list(path, entries);
    }
    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string& path, std::error_code& code) override {
        auto held = real_.lock_file(path, code);
        has_called();
        return held;
    }
    [[nodiscard]] os::filesystem filesystem_of(const std::string& path) override { return real_.filesystem_of(path); }
    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& bytes) override { return real_.disk_bytes(path, bytes); }
    [[nodiscard]] std::error_code free_bytes(const std::string& path, std::uint64_t& bytes) override { return real_.free_bytes(path, bytes); }
    [[nodiscard]] timestamp now() noexcept override { return real_.now(); }
    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override { return real_.monotonic(); }
    [[nodiscard]] std::uint64_t random() override { return real_.random(); }
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        real_.wait(word, expected, timeout);
    }
    void wake_all(std::atomic<std::uint32_t>& word) noexcept override { real_.wake_all(word); }
    void yield() noexcept override { real_.yield(); }
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override {
        return real_.allocate_wiped_on_fork(size);
    }
    void release_wiped_on_fork(void* memory, std::size_t size) noexcept override {
        real_.release_wiped_on_fork(memory, size);
    }

protected:
    /// After each call that may have changed a file or a directory.
    virtual void has_called() noexcept {}
    virtual void has_mapped(os::mapping&) noexcept {}

private:
    [[nodiscard]] std::error_code told(std::error_code code) noexcept {
        has_called();
        return code;
    }

    class relocated_file final : public os::file {
    public:
        relocated_file(std::unique_ptr<os::file> real, relocated_platform& home) noexcept
            : real_{std::move(real)}, home_{home} {}

        [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override { return real_->size(bytes); }
        [[nodiscard]] std::error_code read_at(std::uint64_t at, mutable_bytes into) const noexcept override {
            return real_->read_at(at, into);
        }
        [[nodiscard]] std::error_code read_from_disk(std::uint64_t at, std::uint64_t size, os::piece_reader& to) const noexcept override {
            return real_->read_from_disk(at, size, to);
        }
        [[nodiscard]] std::error_code write_at(std::uint64_t at, bytes from) noexcept override {
            return home_.told(real_->write_at(at, from));
        }
        [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t size) noexcept override {
            return home_.told(real_->allocate(begin, size));
        }
        [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t size) noexcept override {
            return home_.told(real_->punch(begin, size));
        }
        [[nodiscard]] std::error_code sync() noexcept override { return real_->sync(); }
        void start_writeback(std::uint64_t begin, std::uint64_t size) noexcept override {
            real_->start_writeback(begin, size);
        }
        [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t size, std::error_code& code) noexcept override {
            auto mapped = real_->map(size, code);
            if (mapped) {
                home_.has_mapped(*mapped);
            }
            return mapped;
        }
        [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
            const std::error_code code = real_->identity(id);
            if (!code) {
                const auto found = home_.originals_.find(key(id));
                if (found != home_.originals_.end()) {
                    id = found->second;
                }
            }
            return code;
        }

    private:
        const std::unique_ptr<os::file> real_;
        relocated_platform& home_;
    };

    using file_key = std::pair<std::uint64_t, std::uint64_t>;  // device, inode
    static file_key key(const os::file_identity& id) noexcept { return {id.device, id.inode}; }

    os::platform& real_ = os::posix();
    std::map<file_key, os::file_identity> originals_;
};

}  // namespace brook::test
