/// \file brook/core/bytes.hpp
/// Raw memory: spans of bytes, unaligned loads and stores, atomic words inside a mapping.
/// Floor 0, core. The only place where a pointer changes its type.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

static_assert(std::endian::native == std::endian::little, "brook's files are little-endian and are read in place");

/// A record's raw bytes, somebody else's: valid as long as the batch of records, or the buffer, they lie in.
using bytes = std::span<const std::byte>;

/// The same, to be written.
using mutable_bytes = std::span<std::byte>;

template <class Integer>
[[nodiscard]] constexpr Integer align_up(Integer value, Integer alignment) noexcept {
    static_assert(std::is_unsigned_v<Integer>);
    return (value + (alignment - 1)) & ~(alignment - 1);
}

template <class T>
[[nodiscard]] T load(const std::byte* from) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
}

template <class T>
void store(std::byte* to, const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memcpy(to, &value, sizeof(T));
}

/// memcpy that allows an empty source or target without a pointer.
inline void copy_bytes(std::byte* to, const void* from, std::size_t size) noexcept {
    if (size != 0) {
        std::memcpy(to, from, size);
    }
}

[[nodiscard]] inline std::string_view as_text(bytes raw) noexcept {
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

[[nodiscard]] inline bytes as_bytes(std::string_view text) noexcept {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

[[nodiscard]] inline mutable_bytes as_mutable_bytes(std::string& text) noexcept {
    return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

/// Where a library wants bytes as characters.
[[nodiscard]] inline char* as_mutable_text(mutable_bytes raw) noexcept { return reinterpret_cast<char*>(raw.data()); }

/// The object that lies at `at`: for trivially copyable types written there byte by byte, suitably aligned.
template <class T>
[[nodiscard]] const T& object_at(const std::byte* at) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    return *reinterpret_cast<const T*>(at);
}

/// Stores a byte over itself: its page is dirty again. The compiler may not leave it out.
inline void rewrite(std::byte* at) noexcept {
    auto* const cell = reinterpret_cast<volatile unsigned char*>(at);
    *cell = *cell;
}

/// An atomic word inside a mapping, shared by everyone who maps the file.
template <class Word>
[[nodiscard]] std::atomic_ref<Word> atomic_at(std::byte* at) noexcept {
    static_assert(std::atomic_ref<Word>::is_always_lock_free);
    BROOK_ASSERT(reinterpret_cast<std::uintptr_t>(at) % std::atomic_ref<Word>::required_alignment == 0);
    return std::atomic_ref<Word>{*reinterpret_cast<Word*>(at)};
}

}  // namespace brook::inline BROOK_ABI
