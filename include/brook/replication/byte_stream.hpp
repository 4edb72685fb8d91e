/// \file brook/replication/byte_stream.hpp
/// What brokers say to each other, byte by byte: written, and read back without believing any of it.
/// Floor 3, replication.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::replication {

/// Appends numbers, little-endian and unaligned, and texts with their size in front.
///
/// Threads   confined.
class byte_writer {
public:
    explicit byte_writer(std::vector<std::byte>& to) noexcept : to_{to} {}

    template <class Number>
        requires std::is_trivially_copyable_v<Number>
    void put(const Number& value) {
        const std::size_t at = to_.size();
        to_.resize(at + sizeof value);
        store(to_.data() + at, value);
    }

    void put_bytes(bytes raw) {
        put(static_cast<std::uint32_t>(raw.size()));
        const std::size_t at = to_.size();
        to_.resize(at + raw.size());
        copy_bytes(to_.data() + at, raw.data(), raw.size());
    }
    void put_text(std::string_view text) { put_bytes(as_bytes(text)); }

private:
    std::vector<std::byte>& to_;
};

/// Reads what a `byte_writer` wrote. What is not there reads as zero and empty, and `is_whole` is false from then on: asked once at the end.
///
/// Threads   confined.
/// Lifetime  what it gives lies in the bytes that it was made with.
class byte_reader {
public:
    explicit byte_reader(bytes from) noexcept : from_{from} {}

    template <class Number>
    [[nodiscard]] Number take() noexcept {
        if (from_.size() < sizeof(Number)) {
            give_up();
            return Number{};
        }
        const Number value = load<Number>(from_.data());
        from_ = from_.subspan(sizeof(Number));
        return value;
    }

    [[nodiscard]] bytes take_bytes() noexcept {
        const auto size = take<std::uint32_t>();
        if (size > from_.size()) {
            give_up();
            return {};
        }
        const bytes found = from_.first(size);
        from_ = from_.subspan(size);
        return found;
    }
    [[nodiscard]] std::string take_text() { return std::string{as_text(take_bytes())}; }

    /// How many follow, each of `least` bytes or more: never more than there is room for.
    [[nodiscard]] std::uint32_t take_count(std::size_t least) noexcept {
        const auto count = take<std::uint32_t>();
        if (count > from_.size() / least) {
            give_up();
            return 0;
        }
        return count;
    }

    /// What was read makes no sense: from here on it is as if nothing more were there.
    void refuse() noexcept { give_up(); }

    [[nodiscard]] bytes rest() const noexcept { return from_; }
    [[nodiscard]] bool is_whole() const noexcept { return is_whole_; }

    /// Everything was there, and nothing more.
    [[nodiscard]] bool is_done() const noexcept { return is_whole_ && from_.empty(); }

private:
    void give_up() noexcept {
        is_whole_ = false;
        from_ = {};
    }

    bytes from_;
    bool is_whole_ = true;
};

}  // namespace brook::inline BROOK_ABI::replication
