/// \file fuzz/memory_platform.hpp
/// A system without a disk, for parsers that read files: what is opened, read, mapped and written is memory, thousands of times a second.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>

namespace brook::fuzz {

/// Address space for one file. What lies behind the file's last page may not be touched, as behind a mapped file's.
///
/// Taken once and used again: to map it anew for each input costs more than to read that.
class file_memory {
public:
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t most = std::size_t{2} << 30;  // a segment may say that it grows so far

    file_memory() {
        void* const taken = ::mmap(nullptr, most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (taken == MAP_FAILED) {
            std::perror("mmap");
            std::abort();
        }
        data_ = static_cast<std::byte*>(taken);
    }
    file_memory(const file_memory&) = delete;
    file_memory& operator=(const file_memory&) = delete;

    [[nodiscard]] std::byte* data() const noexcept { return data_; }

    /// It can be touched up to there, and is zero where it was not.
    void grow(std::size_t size) {
        const std::size_t wanted = align_up(size, page);
        if (wanted > open_) {
            allow(open_, wanted, PROT_READ | PROT_WRITE);
            open_ = wanted;
        }
    }
    /// All zero; as much of it can be touched as before.
    void clear() { std::fill_n(data_, open_, std::byte{0}); }
    /// Only so much can be touched from here on. Requires what is behind it is zero.
    void shrink(std::size_t size) {
        const std::size_t wanted = align_up(size, page);
        if (wanted < open_) {
            allow(wanted, open_, PROT_NONE);
            open_ = wanted;
        }
    }
    [[nodiscard]] std::size_t open_size() const noexcept { return open_; }

private:
    void allow(std::size_t begin, std::size_t end, int protection) const {
        if (begin < end && ::mprotect(data_ + begin, end - begin, protection) != 0) {
            std::perror("mprotect");
            std::abort();
        }
    }

    std::byte* data_;
    std::size_t open_ = 0;
};

/// Threads   confined.
class memory_platform final : public os::platform {
public:
    static constexpr std::uint64_t disk_size = 4 << 20;
    static constexpr std::array<std::byte, 16> boot_id{std::byte{7}};

    memory_platform() = default;
    /// The same files under the same names, as they are now: what one of them writes from here on the other does not see.
    memory_platform(const memory_platform& other) : directories_{other.directories_}, next_inode_{other.next_inode_}, used_{other.used_}, time_{other.time_}, chance_{other.chance_} {
        for (const auto& [path, file] : other.files_) {
            auto made = std::make_shared<stored>(file->inode, file->size);
            copy_bytes(made->memory->data(), file->memory->data(), file->size);
            files_[path] = std::move(made);
        }
    }
    memory_platform& operator=(const memory_platform&) = delete;

    /// A file with these bytes. Of several it is the one that was made last.
    void put(const std::string& path, bytes content) {
        auto made = std::make_shared<stored>(next_inode_++, content.size());
        copy_bytes(made->memory->data(), content.data(), content.size());
        files_[path] = std::move(made);
    }
    void make(const std::string& directory) { directories_.insert(directory); }

    /// Calls `visit(path, bytes)` for each file, by name.
    template <class Visit>
    void for_each_file(const Visit& visit) const {
        for (const auto& [path, file] : files_) {
            visit(path, bytes{file->memory->data(), file->size});
        }
    }

    /// What `identity` will say of the file that is put next.
    [[nodiscard]] std::uint64_t next_inode() const noexcept { return next_inode_; }
    [[nodiscard]] static std::uint64_t birth_time_of(std::uint64_t inode) noexcept { return 1'000 + inode; }

    [[nodiscard]] std::unique_ptr<os::file> open(const std::string& path, os::open_mode mode, std::error_code& code) override {
        code.clear();
        auto found = files_.find(path);
        if (mode == os::open_mode::create) {
            if (found != files_.end() || directories_.count(path) != 0) {
                code = std::make_error_code(std::errc::file_exists);
                return nullptr;
            }
            found = files_.emplace(path, std::make_shared<stored>(next_inode_++)).first;
        } else if (found == files_.end()) {
            code = std::make_error_code(directories_.count(path) != 0 ? std::errc::not_supported : std::errc::no_such_file_or_directory);
            return nullptr;
        }
        return std::make_unique<opened>(*this, found->second, mode == os::open_mode::read_only);
    }

    [[nodiscard]] std::error_code rename_to_new(const std::string& from, const std::string& to) override {
        if (files_.count(to) != 0 || directories_.count(to) != 0) {
            return std::make_error_code(std::errc::file_exists);
        }
        if (directories_.count(from) != 0) {
            move_directory(from, to);
            return {};
        }
        const auto found = files_.find(from);
        if (found == files_.end()) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        files_[to] = std::move(found->second);
        files_.erase(found);
        return {};
    }
    [[nodiscard]] std::error_code rename_over(const std::string& from, const std::string& to) override {
        const auto found = files_.find(from);
        if (found == files_.end()) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        auto moved = std::move(found->second);
        files_.erase(found);
        files_[to] = std::move(moved);
        return {};
    }
    [[nodiscard]] std::error_code remove(const std::string& path) override {
        return files_.erase(path) != 0 ? std::error_code{} : std::make_error_code(std::errc::no_such_file_or_directory);
    }
    [[nodiscard]] std::error_code make_directory(const std::string& path) override {
        return directories_.insert(path).second ? std::error_code{} : std::make_error_code(std::errc::file_exists);
    }
    [[nodiscard]] std::error_code remove_directory(const std::string& path) override {
        return directories_.erase(path) != 0 ? std::error_code{} : std::make_error_code(std::errc::no_such_file_or_directory);
    }
    [[nodiscard]] std::error_code sync_directory(const std::string&) override { return {}; }
    [[nodiscard]] std::error_code list(const std::string& path, std::vector<os::directory_entry>& entries) override {
        entries.clear();
        if (directories_.count(path) == 0) {
            return std::make_error_code(std::errc::no_such_file_or_directory);
        }
        const auto own_name = [&](const std::string& whole) -> std::optional<std::string> {
            if (whole.size() > path.size() + 1 && whole.starts_with(path) && whole[path.size()] == '/' && whole.find('/', path.size() + 1) == whole.npos) {
                return whole.substr(path.size() + 1);
            }
            return std::nullopt;
        };
        for (const auto& [whole, file] : files_) {
            if (auto name = own_name(whole)) {
                entries.push_back({std::move(*name), os::entry_kind::file});
            }
        }
        for (const auto& whole : directories_) {
            if (auto name = own_name(whole)) {
                entries.push_back({std::move(*name), os::entry_kind::directory});
            }
        }
        return {};
    }

    [[nodiscard]] std::unique_ptr<os::lock> lock_file(const std::string&, std::error_code& code) override {
        code.clear();
        return std::make_unique<os::lock>();
    }
    [[nodiscard]] os::filesystem filesystem_of(const std::string&) override { return os::filesystem::mapped_writes_promised; }
    [[nodiscard]] std::error_code disk_bytes(const std::string& path, std::uint64_t& size) override {
        const auto found = files_.find(path);
        size = found == files_.end() ? 0 : found->second->size;
        return found == files_.end() ? std::make_error_code(std::errc::no_such_file_or_directory) : std::error_code{};
    }
    [[nodiscard]] std::error_code free_bytes(const std::string&, std::uint64_t& size) override {
        size = disk_size - std::min(disk_size, used_);
        return {};
    }

    [[nodiscard]] timestamp now() noexcept override { return timestamp{std::chrono::nanoseconds{1'700'000'000'000'000'000 + ++time_}}; }
    [[nodiscard]] std::chrono::nanoseconds monotonic() noexcept override { return std::chrono::nanoseconds{++time_}; }
    [[nodiscard]] std::uint64_t random() override { return ++chance_ * 0x9e37'79b9'7f4a'7c15u; }

    /// One thread, so nobody else wakes it.
    void wait(std::atomic<std::uint32_t>&, std::uint32_t, std::optional<std::chrono::nanoseconds> timeout) noexcept override {
        time_ += timeout ? std::max<std::int64_t>(timeout->count(), 0) : 1'000'000;
    }
    void wake_all(std::atomic<std::uint32_t>&) noexcept override {}
    void yield() noexcept override {}
    [[nodiscard]] void* allocate_wiped_on_fork(std::size_t size) override {
        void* const memory = std::aligned_alloc(file_memory::page, align_up(size, file_memory::page));
        if (memory == nullptr) {
            throw std::bad_alloc{};
        }
        std::memset(memory, 0, size);
        return memory;
    }
    void release_wiped_on_fork(void* memory, std::size_t) noexcept override { std::free(memory); }

private:
    struct stored;

    /// With all that is in it.
    void move_directory(const std::string& from, const std::string& to) {
        const auto moved = [&](const std::string& path) { return path.starts_with(from) && (path.size() == from.size() || path[from.size()] == '/') ? std::optional{to + path.substr(from.size())} : std::nullopt; };
        std::map<std::string, std::shared_ptr<stored>> files;
        for (auto& [path, file] : files_) {
            files.emplace(moved(path).value_or(path), std::move(file));
        }
        files_ = std::move(files);
        std::set<std::string> directories;
        for (const std::string& path : directories_) {
            directories.insert(moved(path).value_or(path));
        }
        directories_ = std::move(directories);
    }

    struct stored {
        explicit stored(std::uint64_t number, std::size_t begin_size = 0) : inode{number}, memory{take(begin_size)}, size{begin_size} {}
        stored(const stored&) = delete;
        stored& operator=(const stored&) = delete;
        ~stored() {
            memory->clear();
            pool().push_back(std::move(memory));
        }

        void resize(std::size_t to) {
            memory->grow(to);
            size = to;
        }

        std::uint64_t inode;
        std::unique_ptr<file_memory> memory;
        std::size_t size;

        [[nodiscard]] static std::vector<std::unique_ptr<file_memory>>& pool() {
            static auto* const all = new std::vector<std::unique_ptr<file_memory>>;
            return *all;
        }
        /// If possible one that had that size before: to change what can be touched is a call of the system.
        [[nodiscard]] static std::unique_ptr<file_memory> take(std::size_t size) {
            if (pool().empty()) {
                pool().push_back(std::make_unique<file_memory>());
            }
            const std::size_t wanted = align_up(size, file_memory::page);
            const auto found = std::find_if(pool().begin(), pool().end(), [wanted](const auto& one) { return one->open_size() == wanted; });
            std::swap(found == pool().end() ? pool().back() : *found, pool().back());
            auto taken = std::move(pool().back());
            pool().pop_back();
            taken->shrink(size);
            taken->grow(size);
            return taken;
        }
    };

    class mapped final : public os::mapping {
    public:
        mapped(std::shared_ptr<stored> of, std::size_t size) noexcept : mapping{of->memory->data(), size}, of_{std::move(of)} {}
        std::error_code populate(std::size_t, std::size_t) noexcept override { return {}; }
        std::error_code detach() noexcept override { return {}; }

    private:
        std::shared_ptr<stored> of_;
    };

    class opened final : public os::file {
    public:
        opened(memory_platform& on, std::shared_ptr<stored> of, bool is_read_only) : on_{on}, of_{std::move(of)}, is_read_only_{is_read_only} {}

        [[nodiscard]] std::error_code size(std::uint64_t& count) const noexcept override {
            count = of_->size;
            return {};
        }
        [[nodiscard]] std::error_code read_at(std::uint64_t at, mutable_bytes into) const noexcept override {
            if (at > of_->size || into.size() > of_->size - at) {
                return std::make_error_code(std::errc::io_error);
            }
            copy_bytes(into.data(), of_->memory->data() + at, into.size());
            return {};
        }
        [[nodiscard]] std::error_code write_at(std::uint64_t at, bytes from) noexcept override {
            if (const auto code = reach(at, from.size())) {
                return code;
            }
            copy_bytes(of_->memory->data() + at, from.data(), from.size());
            return {};
        }
        [[nodiscard]] std::error_code allocate(std::uint64_t begin, std::uint64_t count) noexcept override { return reach(begin, count); }
        [[nodiscard]] std::error_code punch(std::uint64_t begin, std::uint64_t count) noexcept override {
            const std::uint64_t end = std::min<std::uint64_t>(of_->size, begin + count);
            if (begin < end) {
                std::fill_n(of_->memory->data() + begin, end - begin, std::byte{0});
            }
            return {};
        }
        [[nodiscard]] std::error_code sync() noexcept override { return {}; }
        void start_writeback(std::uint64_t, std::uint64_t) noexcept override {}
        [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t count, std::error_code& code) noexcept override {
            code.clear();
            if (count > file_memory::most) {
                code = std::make_error_code(std::errc::not_enough_memory);
                return nullptr;
            }
            return std::make_unique<mapped>(of_, count);
        }
        [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
            id = {boot_id, 1, of_->inode, birth_time_of(of_->inode)};
            return {};
        }

    private:
        /// The file goes up to there, if the disk has the room.
        [[nodiscard]] std::error_code reach(std::uint64_t begin, std::uint64_t count) noexcept {
            if (is_read_only_) {
                return std::make_error_code(std::errc::bad_file_descriptor);
            }
            if (begin > disk_size || count > disk_size - begin) {
                return std::make_error_code(std::errc::no_space_on_device);
            }
            if (begin + count > of_->size) {
                const std::uint64_t more = begin + count - of_->size;
                if (on_.used_ + more > disk_size) {
                    return std::make_error_code(std::errc::no_space_on_device);
                }
                on_.used_ += more;
                of_->resize(begin + count);
            }
            return {};
        }

        memory_platform& on_;
        std::shared_ptr<stored> of_;
        bool is_read_only_;
    };

    std::map<std::string, std::shared_ptr<stored>> files_;
    std::set<std::string> directories_;
    std::uint64_t next_inode_ = 1;
    std::uint64_t used_ = 0;
    std::int64_t time_ = 0;
    std::uint64_t chance_ = 0;
};

}  // namespace brook::fuzz
