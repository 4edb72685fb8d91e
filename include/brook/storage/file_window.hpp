/// \file brook/storage/file_window.hpp
/// A file seen through a buffer: for who checks files and must not map them, since a medium that fails under a mapping is
/// a signal and not an error.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Bytes [begin, end) of a file that a read failed at.
struct read_failure {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::error_code code;
};

/// Bytes of a file, read ahead some 100 KiB at a time. What it gives is a copy: a writer that goes on beside it changes
/// nothing of what has been checked.
///
/// Threads   confined.
/// Cost      the buffer grows for what is larger than it, and stays so.
class file_window {
public:
    static constexpr std::size_t usual_size = 256 * kib;

    explicit file_window(const os::file& file) noexcept : file_{file} {}
    file_window(const file_window&) = delete;
    file_window& operator=(const file_window&) = delete;

    /// Nothing at or after `end` is read.
    void set_end(std::uint64_t end) noexcept { end_ = end; }

    /// Forgets what was read: the next look is at the file as it is then.
    void forget() noexcept { filled_ = 0; }

    /// The bytes [at, at + size); nullptr when they cannot be read, and `failed()` tells where.
    ///
    /// Requires  at + size <= end.
    /// Lifetime  until the next call.
    [[nodiscard]] const std::byte* look(std::uint64_t at, std::size_t size) {
        BROOK_ASSERT(at <= end_ && size <= end_ - at);
        if ((at < begin_ || at - begin_ > filled_ || filled_ - (at - begin_) < size) && !fill(at, size)) {
            return nullptr;
        }
        return buffer_.get() + (at - begin_);
    }

    /// Where the last look that gave nothing met its error: one page, which may begin before what was asked for.
    [[nodiscard]] const read_failure& failed() const noexcept { return failed_; }

    /// A read that failed, and went well when it was repeated. The first one.
    [[nodiscard]] const std::optional<read_failure>& healed() const noexcept { return healed_; }

private:
    static constexpr std::uint64_t page = 4096;

    [[nodiscard]] bool fill(std::uint64_t at, std::size_t size) {
        const std::uint64_t left = end_ - at;
        const auto wanted = static_cast<std::size_t>(size > usual_size ? size : left < usual_size ? left : usual_size);
        if (capacity_ < wanted) {
            buffer_.reset();
            capacity_ = 0;
            buffer_ = std::make_unique_for_overwrite<std::byte[]>(wanted);
            capacity_ = wanted;
        }
        begin_ = at;
        filled_ = wanted;
        if (const auto code = file_.read_at(at, {buffer_.get(), wanted})) {
            filled_ = read_by_pages(at, wanted);
            if (filled_ == wanted && !healed_) {
                healed_ = read_failure{at, at + wanted, code};
            }
        }
        return filled_ >= size;
    }

    /// Returns   how many bytes can be read.
    [[nodiscard]] std::size_t read_by_pages(std::uint64_t at, std::size_t wanted) {
        for (std::size_t done = 0; done < wanted;) {
            const std::uint64_t here = at + done;
            const std::uint64_t page_end = align_up(here + 1, page);
            const auto size = static_cast<std::size_t>(page_end - here < wanted - done ? page_end - here : wanted - done);
            if (const auto code = file_.read_at(here, {buffer_.get() + done, size})) {
                failed_ = {page_end - page, page_end, code};
                return done;
            }
            done += size;
        }
        return wanted;
    }

    const os::file& file_;
    std::uint64_t end_ = 0;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t capacity_ = 0;
    std::uint64_t begin_ = 0;
    std::size_t filled_ = 0;
    read_failure failed_;
    std::optional<read_failure> healed_;
};

}  // namespace brook::inline BROOK_ABI::storage
