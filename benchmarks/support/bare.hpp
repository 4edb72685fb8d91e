/// \file support/bare.hpp
/// The bounds: what an append and a scan cost when there is nothing but the work itself. No claims, no index, no growth,
/// no recovery, no other writers; the same bytes, the same hash, the same clock.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/posix.hpp>

#include "support/machine.hpp"

namespace brook::bench {

/// A file of zeros, closed and removed with the object.
class bare_file {
public:
    /// Disk space is taken, and zeros are written in pieces of `chunk` bytes: large pieces make the page cache's folios
    /// large and cheap to fault in, pieces of 4 KiB make what a sync writes small.
    bare_file(std::string path, std::size_t size, std::size_t chunk)
        : path_{std::move(path)}, number_{::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)}, size_{size} {
        check(number_ >= 0, "open");
        check(::fallocate(number_, 0, 0, static_cast<off_t>(size)) == 0, "fallocate");
        const std::vector<std::byte> zeros(chunk);
        for (std::size_t at = 0; at < size; at += chunk) {
            const std::size_t piece = size - at < chunk ? size - at : chunk;
            check(::pwrite(number_, zeros.data(), piece, static_cast<off_t>(at)) == static_cast<ssize_t>(piece), "pwrite");
        }
    }
    bare_file(const bare_file&) = delete;
    bare_file& operator=(const bare_file&) = delete;
    ~bare_file() {
        ::close(number_);
        ::unlink(path_.c_str());
    }

    [[nodiscard]] int number() const noexcept { return number_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    void check(bool is_good, const char* what) const {
        if (!is_good) {
            throw std::system_error{errno, std::system_category(), std::string{what} + ' ' + path_};
        }
    }

private:
    std::string path_;
    int number_;
    std::size_t size_;
};

/// A whole file in memory, shared with it.
class bare_mapping {
public:
    enum class pages { as_they_are, populated };

    bare_mapping(const bare_file& file, pages how) : size_{file.size()} {
        void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
        file.check(memory != MAP_FAILED, "mmap");
        data_ = static_cast<std::byte*>(memory);
        constexpr int populate_write = 23;  // glibc 2.35 is the first to name it
        if (how == pages::populated && ::madvise(data_, size_, populate_write) != 0) {
            for (std::size_t at = 0; at < size_; at += 4096) {
                rewrite(data_ + at);
            }
        }
    }
    bare_mapping(const bare_mapping&) = delete;
    bare_mapping& operator=(const bare_mapping&) = delete;
    ~bare_mapping() { ::munmap(data_, size_); }

    [[nodiscard]] std::byte* data() const noexcept { return data_; }

private:
    std::size_t size_;
    std::byte* data_ = nullptr;
};

/// As many bytes as brook's frame header has, and as many fields.
struct bare_header {
    std::uint32_t size;  ///< of the whole frame without padding; stored last, by release: 0, nothing here yet
    std::uint32_t attributes;
    std::uint64_t checksum;
    std::int64_t offset;
    std::int64_t time;
    std::uint32_t count;
    std::uint32_t key_size;
};
static_assert(sizeof(bare_header) == format::frame_header_size);

[[nodiscard]] constexpr std::uint32_t padded(std::uint32_t size) noexcept { return (size + 7) & ~std::uint32_t{7}; }

/// The bare loop's log: bytes in memory, and where they end.
class bare_log {
public:
    explicit bare_log(std::byte* data) noexcept : data_{data} {}

    [[nodiscard]] std::int64_t records() const noexcept { return next_; }
    [[nodiscard]] std::size_t size() const noexcept { return at_; }
    [[nodiscard]] std::byte* data() const noexcept { return data_; }

    /// Header, copy, XXH3, stamp.
    void append(const std::byte* key, std::uint32_t key_size, const std::byte* value, std::uint32_t value_size, std::int64_t time) noexcept {
        std::byte* const frame = data_ + at_;
        std::byte* const body = frame + sizeof(bare_header);
        if (key_size != 0) {
            store(body + padded(key_size) - 8, std::uint64_t{0});
            std::memcpy(body, key, key_size);
        }
        std::memcpy(body + padded(key_size), value, value_size);
        publish(frame, padded(key_size) + value_size, 1, key_size, time);
    }

    /// One header over `count` values, each behind eight bytes of sizes.
    void append_batch(const std::byte* values, std::uint32_t value_size, std::uint32_t count, std::int64_t time) noexcept {
        std::byte* const frame = data_ + at_;
        std::byte* entry = frame + sizeof(bare_header);
        for (std::uint32_t i = 0; i < count; ++i) {
            store(entry, std::uint64_t{value_size} | std::uint64_t{0xffff'ffff} << 32);
            store(entry + padded(value_size), std::uint64_t{0});  // the value's last word: its padding stays
            std::memcpy(entry + 8, values + std::size_t{i} * value_size, value_size);
            entry += 8 + padded(value_size);
        }
        publish(frame, static_cast<std::uint32_t>(entry - frame) - format::frame_header_size, count, 0, time);
    }

private:
    void publish(std::byte* frame, std::uint32_t body_size, std::uint32_t count, std::uint32_t key_size, std::int64_t time) noexcept {
        const bare_header header{0, count, format::hash(frame + sizeof(bare_header), body_size), next_, time, count, key_size};
        store(frame, header);
        const auto size = static_cast<std::uint32_t>(sizeof(bare_header)) + body_size;
        atomic_at<std::uint32_t>(frame).store(size, std::memory_order_release);
        at_ += padded(size);
        next_ += count;
    }

    std::byte* data_;
    std::size_t at_ = 0;
    std::int64_t next_ = 0;
};

/// The same log for several writers, by the simplest means.
class bare_shared_log {
public:
    explicit bare_shared_log(std::byte* data) noexcept : log_{data} {}

    void append(const std::byte* value, std::uint32_t value_size, std::int64_t time) {
        const std::scoped_lock guard{mutex_};
        log_.append(nullptr, 0, value, value_size, time);
    }
    void append_batch(const std::byte* values, std::uint32_t value_size, std::uint32_t count, std::int64_t time) {
        const std::scoped_lock guard{mutex_};
        log_.append_batch(values, value_size, count, time);
    }
    [[nodiscard]] bare_log& log() noexcept { return log_; }

private:
    std::mutex mutex_;  // guards the log
    bare_log log_;
};

/// The same frames, made in a buffer and handed to the file by one `pwrite` for each record or batch, and nothing synced: what a log costs
/// that writes by calls to the system. Its file may be prepared, or end where they end.
///
/// Threads   one object for each thread; `end`, where the next frame goes, is theirs together.
class bare_writer {
public:
    bare_writer(const bare_file& file, std::atomic<std::uint64_t>& end, std::size_t most_frame_bytes) : file_{file}, end_{end}, frame_(most_frame_bytes) {}

    void append(const std::byte* value, std::uint32_t value_size, std::int64_t time) {
        bare_log log{frame_.data()};
        log.append(nullptr, 0, value, value_size, time);
        write(log.size());
    }

    void append_batch(const std::byte* values, std::uint32_t value_size, std::uint32_t count, std::int64_t time) {
        bare_log log{frame_.data()};
        log.append_batch(values, value_size, count, time);
        write(log.size());
    }

    /// Bytes of a frame of one record, and of one of `count` records.
    [[nodiscard]] static constexpr std::size_t frame_bytes(std::uint32_t value_size) noexcept { return sizeof(bare_header) + padded(value_size); }
    [[nodiscard]] static constexpr std::size_t frame_bytes(std::uint32_t value_size, std::uint32_t count) noexcept {
        return sizeof(bare_header) + std::size_t{count} * (8 + padded(value_size));
    }

    /// The pieces in which a file's zeros are written ahead so that writing such frames is fastest: into large pieces small frames take twice as
    /// long as into pages, large ones half as long.
    [[nodiscard]] static constexpr std::size_t best_chunk(std::size_t frame) noexcept { return frame < 4'096 ? 4'096 : std::size_t{1} << 20; }

private:
    void write(std::size_t size) {
        const std::uint64_t at = end_.fetch_add(size, std::memory_order_relaxed);
        file_.check(::pwrite(file_.number(), frame_.data(), size, static_cast<off_t>(at)) == static_cast<ssize_t>(size), "pwrite");
    }

    const bare_file& file_;
    std::atomic<std::uint64_t>& end_;
    std::vector<std::byte> frame_;
};

/// Goes from frame to frame, verifies or not, and hands each record's offset, key and value to `look`.
/// `ReadsAhead`: asks for memory ahead, as brook's reader does: less bare, and a harder bound where records are in memory but not in
/// the processor's caches.
/// Returns   how many records there were; stops in front of one that does not verify.
template <bool Verifies, bool ReadsAhead = false, class Look>
[[nodiscard]] std::uint64_t bare_scan(std::byte* data, std::uint64_t most, const Look& look) {
    std::uint64_t count = 0;
    for (std::byte* frame = data; count < most; ++count) {
        const std::uint32_t size = atomic_at<std::uint32_t>(frame).load(std::memory_order_acquire);
        if (size == 0) {
            break;
        }
        const auto header = load<bare_header>(frame);
        const std::byte* const body = frame + sizeof(bare_header);
        if constexpr (Verifies) {
            if (header.checksum != format::hash(body, size - sizeof(bare_header))) {
                break;
            }
        }
        const std::uint32_t key_end = padded(header.key_size);
        look(header.offset, body, body + key_end, size - static_cast<std::uint32_t>(sizeof(bare_header)) - key_end);
        frame += padded(size);
        if constexpr (ReadsAhead) {
            format::read_ahead(frame, padded(size));
        }
    }
    return count;
}

/// The clock that brook's producers stamp with.
[[nodiscard]] inline std::int64_t stamp() noexcept { return os::posix().now().time_since_epoch().count(); }

}  // namespace brook::bench
