/// \file brook/client/reader_writer.hpp
/// What a serde writes to and reads from: bounds-checked, field by field.
/// Floor 6, client.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <brook/client/plain.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI {

namespace detail {

[[noreturn]] inline void throw_written_past_end(std::size_t wanted, std::size_t at, std::size_t capacity) {
    throw_error(errc::illegal_state,
                std::string{"a serde's write() gave more bytes than it had counted: "} + std::to_string(wanted) + " more at byte " +
                    std::to_string(at) + " of " + std::to_string(capacity) + "; it must give the same bytes each time");
}

[[noreturn]] inline void throw_written_short(std::size_t written, std::size_t counted) {
    throw_error(errc::illegal_state,
                std::string{"a serde's write() gave fewer bytes than it had counted: "} + std::to_string(written) + " of " +
                    std::to_string(counted) + "; it must give the same bytes each time");
}

[[noreturn]] inline void throw_length(std::size_t size) {
    throw_error(errc::record_too_large, std::string{"a text or a run of bytes of "} + std::to_string(size) +
                                            " bytes: its length is stored in 32 bits; split it, or keep it elsewhere");
}

[[noreturn]] inline void throw_read_past_end(std::size_t wanted, std::size_t at, std::size_t size) {
    throw_error(errc::schema_read, std::string{"the bytes end early: "} + std::to_string(wanted) + " wanted at byte " +
                                       std::to_string(at) + " of " + std::to_string(size));
}

[[noreturn]] inline void throw_not_a_bool(std::byte found) {
    throw_error(errc::schema_read, std::string{"a bool is stored as 0 or 1, not as "} + std::to_string(std::to_integer<int>(found)));
}

[[noreturn]] inline void throw_wrong_size(std::string_view schema, std::size_t wanted, std::size_t found) {
    throw_error(errc::schema_read, std::string{schema} + " is stored in " + std::to_string(wanted) +
                                       " bytes, but there are " + std::to_string(found));
}

/// A copy that needs neither alignment nor a default constructor.
template <class T> [[nodiscard]] T copy_at(const std::byte* from) {
    if constexpr (std::is_same_v<T, bool>) {
        if (*from != std::byte{0} && *from != std::byte{1}) {
            throw_not_a_bool(*from);
        }
        return *from == std::byte{1};
    } else {
        return std::bit_cast<T>(load<std::array<std::byte, sizeof(T)>>(from));
    }
}

}  // namespace detail

/// Where a serde writes to. A default-constructed writer only counts, so that one `write` gives size and bytes.
///
/// Errors    illegal_state past the end of what was counted; record_too_large for 4 GiB and more in one text.
/// Threads   confined.
/// Cost      never allocates.
/// Lifetime  the target belongs to the caller and outlives the writer.
class writer {
public:
    /// Counts.
    writer() noexcept = default;

    /// Writes into `target`, and never past it.
    explicit writer(mutable_bytes target) noexcept : target_{target.data()}, capacity_{target.size()} {}

    /// The value's own bytes, without alignment. A struct with padding, or with floating-point members, goes member
    /// by member.
    template <detail::packed T> void put(const T& value) {
        if (std::byte* const to = take(sizeof(T))) {
            store(to, value);
        }
    }

    /// A 32-bit length, then the text.
    void put(std::string_view text) { put(as_bytes(text)); }

    /// A 32-bit length, then the bytes.
    void put(bytes data) {
        if (data.size() > std::numeric_limits<std::uint32_t>::max()) {
            detail::throw_length(data.size());
        }
        put(static_cast<std::uint32_t>(data.size()));
        raw(data);
    }

    void put(std::nullptr_t) = delete;

    /// The bytes alone: the reader must know how many there are.
    void raw(bytes data) {
        if (std::byte* const to = take(data.size())) {
            copy_bytes(to, data.data(), data.size());
        }
    }

    /// Bytes counted, or written, so far.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    /// Where the next `size` bytes go; null while counting.
    std::byte* take(std::size_t size) {
        if (size > capacity_ - size_) {
            detail::throw_written_past_end(size, size_, capacity_);
        }
        const std::size_t at = std::exchange(size_, size_ + size);
        return target_ == nullptr ? nullptr : target_ + at;
    }

    std::byte* target_ = nullptr;
    std::size_t capacity_ = std::numeric_limits<std::size_t>::max();
    std::size_t size_ = 0;
};

/// Takes back, in the same order, what a writer put.
///
/// Errors    schema_read where the bytes end early, and for a bool that is neither 0 nor 1.
/// Threads   confined.
/// Cost      never allocates, except to throw.
/// Lifetime  texts and bytes are views of what it reads.
class reader {
public:
    explicit reader(bytes from) noexcept : from_{from} {}

    template <detail::packed T> T get() { return detail::copy_at<T>(take(sizeof(T)).data()); }

    /// What `put(std::string_view)` wrote.
    std::string_view text() { return as_text(blob()); }

    /// What `put(bytes)` wrote.
    bytes blob() { return take(get<std::uint32_t>()); }

    /// The next `size` bytes, as `writer::raw` wrote them.
    bytes raw(std::size_t size) { return take(size); }

    /// All that is left.
    bytes rest() { return take(remaining()); }

    [[nodiscard]] std::size_t remaining() const noexcept { return from_.size() - at_; }

private:
    bytes take(std::size_t size) {
        if (size > remaining()) {
            detail::throw_read_past_end(size, at_, from_.size());
        }
        return from_.subspan(std::exchange(at_, at_ + size), size);
    }

    bytes from_;
    std::size_t at_ = 0;
};

}  // namespace brook::inline BROOK_ABI
