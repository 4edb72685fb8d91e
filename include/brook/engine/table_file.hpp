/// \file brook/engine/table_file.hpp
/// Reading and writing the file in which a table keeps what it knows of a partition. Layout: format/table_file.hpp.
/// Floor 5, engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/properties.hpp>
#include <brook/format/table_file.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::engine {

/// A table's file, from its beginning to its end. The file is derived: whatever is wrong with it, the log tells as much.
///
/// Threads   confined.
/// Cost      64 KiB of memory, whatever the file says of itself.
class table_file_reader {
public:
    /// Opens the file and takes its header; false where there is none, or none that verifies and agrees with the file's size.
    [[nodiscard]] bool open(os::platform& platform, const std::string& path, format::table_file_header& header) {
        std::error_code code;
        std::uint64_t size = 0;
        file_ = platform.open(path, os::open_mode::read_only, code);
        if (!file_ || file_->size(size) || size < sizeof header) {
            return false;
        }
        std::byte raw[sizeof header];
        if (file_->read_at(0, raw)) {
            return false;
        }
        header = load<format::table_file_header>(raw);
        if (!format::verifies(header) || format::table_file_size(header) != size) {
            return false;
        }
        at_ = sizeof header;
        left_ = size - sizeof header;
        return true;
    }

    /// The next of what stands behind the header.
    template <class Part>
    [[nodiscard]] bool take(Part& part) {
        static_assert(std::is_trivially_copyable_v<Part> && buffer_size % 8 == 0 && sizeof(Part) % 8 == 0);
        std::byte raw[sizeof(Part)];
        for (std::size_t taken = 0; taken < sizeof(Part);) {
            if (begin_ == end_ && !fill()) {
                return false;
            }
            const std::size_t room = end_ - begin_;
            const std::size_t size = sizeof(Part) - taken < room ? sizeof(Part) - taken : room;
            copy_bytes(raw + taken, buffer_.data() + begin_, size);
            begin_ += size;
            taken += size;
        }
        part = load<Part>(raw);
        return true;
    }

    /// Whether the checksum stands here, and all that was taken is what was written.
    [[nodiscard]] bool ends_well() {
        std::uint64_t found = 0;
        return take(found) && found == hash_.value() && left_ == 0 && begin_ == end_;
    }

private:
    static constexpr std::size_t buffer_size = 64 * 1024;

    [[nodiscard]] bool fill() {
        if (left_ == 0) {
            return false;
        }
        const auto size = static_cast<std::size_t>(left_ < buffer_size ? left_ : buffer_size);
        buffer_.resize(buffer_size);
        if (file_->read_at(at_, mutable_bytes{buffer_}.first(size))) {
            return false;
        }
        at_ += size;
        left_ -= size;
        hash_.add(bytes{buffer_}.first(left_ == 0 ? size - sizeof(std::uint64_t) : size));  // all but the file's end: all sizes are multiples of 8
        begin_ = 0;
        end_ = size;
        return true;
    }

    std::unique_ptr<os::file> file_;
    format::running_hash hash_;
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t at_ = 0;
    std::uint64_t left_ = 0;
};

/// Writes a table's file beside its place, and puts it there when it is whole and on the disk.
///
/// Threads   confined. Two that write for the same partition do not meet: each has a name of its own until the rename.
class table_file_writer {
public:
    table_file_writer(os::platform& platform, const std::string& directory)
        : platform_{platform},
          directory_{directory},
          path_{directory + '/' + std::string{format::table_file_name}},
          temporary_{path_ + '.' + format::properties::hex(platform.random()) + ".tmp"} {}  // which recovery removes
    table_file_writer(const table_file_writer&) = delete;
    table_file_writer& operator=(const table_file_writer&) = delete;
    ~table_file_writer() {
        if (file_) {
            file_.reset();
            static_cast<void>(platform_.remove(temporary_));  // what remains has no name that counts
        }
    }

    [[nodiscard]] failure begin(const format::table_file_header& header) {
        std::error_code code;
        file_ = platform_.open(temporary_, os::open_mode::create, code);
        if (!file_) {
            return {code, "cannot create " + temporary_};
        }
        buffer_.resize(sizeof header);
        store(buffer_.data(), format::sealed(header));
        code_ = file_->write_at(0, buffer_);
        at_ = sizeof header;
        buffer_.clear();
        buffer_.reserve(buffer_size + 64);
        return {};
    }

    template <class Part>
    void put(const Part& part) {
        std::byte raw[sizeof(Part)];
        store(raw, part);
        buffer_.insert(buffer_.end(), raw, raw + sizeof(Part));
        if (buffer_.size() >= buffer_size) {
            flush();
        }
    }

    /// Errors    the disk's. A file of that name which somebody else has put there meanwhile is as good, and stays.
    [[nodiscard]] failure finish() {
        flush();
        put(hash_.value());
        flush();
        if (!code_) {
            code_ = file_->sync();
        }
        if (code_) {
            return {code_, "cannot write " + temporary_};
        }
        static_cast<void>(platform_.remove(path_));  // a kill between here and the rename leaves none: the log is read then
        if (const auto code = platform_.rename_to_new(temporary_, path_); code == std::errc::file_exists) {
            return {};
        } else if (code) {
            return {code, "cannot rename " + temporary_ + " to " + path_};
        }
        file_.reset();
        const auto code = platform_.sync_directory(directory_);
        return code ? failure{code, "cannot sync " + directory_} : failure{};
    }

private:
    static constexpr std::size_t buffer_size = 64 * 1024;

    void flush() noexcept {
        hash_.add(buffer_);
        if (!code_) {
            code_ = file_->write_at(at_, buffer_);
        }
        at_ += buffer_.size();
        buffer_.clear();
    }

    os::platform& platform_;
    std::string directory_;
    std::string path_;
    std::string temporary_;
    std::unique_ptr<os::file> file_;
    std::error_code code_;
    format::running_hash hash_;
    std::vector<std::byte> buffer_;
    std::uint64_t at_ = 0;
};

}  // namespace brook::inline BROOK_ABI::engine
