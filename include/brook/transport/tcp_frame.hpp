/// \file brook/transport/tcp_frame.hpp
/// Datagrams in a stream of bytes: how each is marked off, and how they are found again. Pure functions on memory.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// What stands before each datagram, little-endian:
///
///   at  size  field   meaning
///    0    4   size    of the datagram that follows; 0xFFFF'FFFF: a ping, or the answer to one, and nothing follows
///    4    4   check   `frame_check(size)`
///
/// TCP's own checksum lets one damage in some ten thousand pass. Brook verifies what is in a datagram; `check` is for the size alone:
/// a stream that has lost its step would join and split datagrams from there on, and is given up at the first header instead. It is
/// no defence against who damages on purpose.
inline constexpr std::size_t frame_header_size = 8;
inline constexpr std::uint32_t ping_mark = 0xFFFF'FFFF;

/// Source    the finalizer of MurmurHash3, Austin Appleby.
[[nodiscard]] constexpr std::uint32_t frame_check(std::uint32_t size) noexcept {
    std::uint32_t mixed = size ^ 0x6B6F'6F72;  // so that zeros are no header
    mixed = (mixed ^ (mixed >> 16)) * 0x85EB'CA6B;
    mixed = (mixed ^ (mixed >> 13)) * 0xC2B2'AE35;
    return mixed ^ (mixed >> 16);
}

inline void store_frame_header(std::byte* to, std::uint32_t size) noexcept {
    store(to, size);
    store(to + 4, frame_check(size));
}

/// Finds the frames in what a connection brings, piece by piece, whatever the pieces are.
///
///     while (...) {
///         const std::size_t count = read(parser.room());   // from wherever it comes
///         parser.filled(count);
///         for (frame_parser::frame each; (each = parser.next()).kind != frame_parser::kind::none; ) ...
///     }
///
/// A size is checked against `largest` before anything is done about it, and even then memory grows only as bytes come in, to no more
/// than twice of what has come, or what is read at once: who only claims much costs nothing. It stays as large as the largest frame was.
///
/// Threads   confined.
/// Errors    `kind::broken`, for good: there is nothing more to be had of this stream.
class frame_parser {
public:
    enum class kind { none, datagram, ping, broken };
    struct frame {
        frame_parser::kind kind = frame_parser::kind::none;
        bytes datagram{};  // in the parser's memory, until `room` is called
    };

    /// `first_room`: how much is read at once, at least, from the beginning on.
    frame_parser(std::size_t largest, std::size_t first_room) noexcept : largest_{largest}, first_room_{std::max(first_room, frame_header_size)} {}

    /// Where the next bytes go; never empty.
    ///
    /// Errors    std::bad_alloc; nothing has changed then.
    [[nodiscard]] mutable_bytes room() {
        if (begin_ == end_) {
            begin_ = end_ = 0;
        }
        if (end_ == capacity_ || (begin_ > 0 && capacity_ - end_ < std::min(needed(), capacity_) - (end_ - begin_))) {
            make_room();
        }
        return {memory_.get() + end_, capacity_ - end_};
    }

    void filled(std::size_t count) noexcept {
        BROOK_ASSERT(count <= capacity_ - end_);
        end_ += count;
    }

    [[nodiscard]] frame next() noexcept {
        if (is_broken_) {
            return {.kind = kind::broken};
        }
        if (end_ - begin_ < frame_header_size) {
            return {};
        }
        const std::byte* const header = memory_.get() + begin_;
        const auto size = load<std::uint32_t>(header);
        if (load<std::uint32_t>(header + 4) != frame_check(size) || (size != ping_mark && size > largest_)) {
            is_broken_ = true;
            return {.kind = kind::broken};
        }
        if (size == ping_mark) {
            begin_ += frame_header_size;
            return {.kind = kind::ping};
        }
        if (end_ - begin_ - frame_header_size < size) {
            return {};
        }
        begin_ += frame_header_size + size;
        return {.kind = kind::datagram, .datagram = {header + frame_header_size, size}};
    }

    /// What it takes of memory.
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    /// Of the frame that begins at `begin_`, as far as that is known.
    [[nodiscard]] std::size_t needed() const noexcept {
        if (end_ - begin_ < frame_header_size) {
            return frame_header_size;
        }
        const auto size = load<std::uint32_t>(memory_.get() + begin_);
        return size == ping_mark || size > largest_ ? frame_header_size : frame_header_size + size;
    }

    /// Moves what there is to the front, and takes more memory where that is full: up to twice as much, as far as the frame needs it, or
    /// what is read at once.
    void make_room() {
        const std::size_t kept = end_ - begin_;
        if (kept == capacity_) {
            const std::size_t wanted = std::max(first_room_, std::min(2 * capacity_, std::max(needed(), capacity_ + first_room_)));
            auto larger = std::make_unique_for_overwrite<std::byte[]>(wanted);
            copy_bytes(larger.get(), memory_.get() + begin_, kept);
            memory_ = std::move(larger);
            capacity_ = wanted;
        } else {
            std::copy(memory_.get() + begin_, memory_.get() + end_, memory_.get());  // to the front: they may overlap
        }
        begin_ = 0;
        end_ = kept;
    }

    std::size_t largest_;
    std::size_t first_room_;
    std::unique_ptr<std::byte[]> memory_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;  // of what was not told yet
    std::size_t end_ = 0;
    bool is_broken_ = false;
};

}  // namespace brook::inline BROOK_ABI::transport_room
