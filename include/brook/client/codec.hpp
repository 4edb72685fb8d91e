/// \file brook/client/codec.hpp
/// One face for all serdes, for the rest of the client room: sizes first, then bytes to where they are told.
/// Floor 6, client.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/reader_writer.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

namespace detail {

/// FNV-1a, whose 64-bit constants are published by its authors; used for names only, never for data.
class fnv1a {
public:
    constexpr void add(std::string_view text) noexcept {
        for (const char c : text) {
            hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
        }
    }
    constexpr void add(std::uint64_t number) noexcept {
        for (int byte = 0; byte < 8; ++byte, number >>= 8) {
            hash_ = (hash_ ^ (number & 0xff)) * 0x100000001b3u;
        }
    }
    [[nodiscard]] constexpr std::uint64_t value() const noexcept { return hash_; }

private:
    std::uint64_t hash_ = 0xcbf29ce484222325u;
};

template <class Buffer> inline constexpr std::optional<std::size_t> static_size{};
template <class T, std::size_t Size> inline constexpr std::optional<std::size_t> static_size<std::array<T, Size>>{Size};
template <class T, std::size_t Size>
    requires(Size != std::dynamic_extent)
inline constexpr std::optional<std::size_t> static_size<std::span<T, Size>>{Size};

/// A value whose bytes are at hand: in the buffer that its serde returned, or where that buffer points.
template <class Buffer> struct encoded {
    Buffer buffer;

    [[nodiscard]] constexpr std::size_t size() const noexcept {
        if constexpr (constexpr auto fixed = static_size<std::remove_cvref_t<Buffer>>; fixed) {
            return *fixed;
        } else {
            return static_cast<std::size_t>(buffer.size());
        }
    }
    [[nodiscard]] bytes view() const noexcept { return std::as_bytes(std::span{buffer.data(), size()}); }
    void write_to(std::byte* to) const noexcept { copy_bytes(to, buffer.data(), size()); }
};

/// A value that will write itself where it is told to; its size is known.
template <class T> struct counted {
    const serde_value_t<T>* value;
    std::size_t byte_size;

    [[nodiscard]] std::size_t size() const noexcept { return byte_size; }
    void write_to(std::byte* to) const {
        writer out{mutable_bytes{to, byte_size}};
        serde<T>::write(*value, out);
        if (out.size() != byte_size) {
            throw_written_short(out.size(), byte_size);
        }
    }
};

template <class T> struct codec_argument { using type = const serde_value_t<T>&; };
template <class T>
    requires(!has_write<T> && requires { typename serde<T>::argument_type; })  // what writes later is kept by address
struct codec_argument<T> {
    using type = typename serde<T>::argument_type;
};

/// One face for all serdes, for the rest of the client room.
///
/// Cost  what the serde's own functions cost; plain types and texts allocate nothing and are copied once.
template <readable T> struct codec {
    /// What one sends, and what a record holds.
    using value_type = serde_value_t<T>;

    /// How `send` takes it: nothing is copied on the way in, and literals mean what they say.
    using argument_type = typename codec_argument<T>::type;

    /// What reading gives: `const U&` into the segment, a view, or a value.
    using view_type = decltype(serde<T>::read(bytes{}));

    /// The size is known, and `write_to` or `view` will give that many bytes. Has `view()` where `has_view`.
    ///
    /// Lifetime  of what the argument refers to.
    [[nodiscard]] static auto prepare(argument_type value) requires has_write_or_encode<T> {
        if constexpr (has_write<T>) {
            writer count;
            serde<T>::write(value, count);
            return counted<T>{&value, count.size()};
        } else {
            return encoded<decltype(serde<T>::encode(value))>{serde<T>::encode(value)};
        }
    }

    /// Every value takes this many bytes.
    static constexpr std::optional<std::size_t> fixed_size = [] {
        if constexpr (!has_write<T> && has_encode<T>) {
            using buffer = decltype(serde<T>::encode(std::declval<argument_type>()));
            return static_size<std::remove_cvref_t<buffer>>;
        } else {
            return std::optional<std::size_t>{};
        }
    }();

    /// The bytes exist before a place for them is claimed, so they can be hashed there.
    static constexpr bool has_view = !has_write<T> && has_encode<T>;

    /// Requires  `raw` as it lies in a segment, 8-aligned.
    /// Errors    schema_read for the wrong size of a plain type; whatever a user's serde throws, unchanged.
    [[nodiscard]] static view_type read(bytes raw) { return serde<T>::read(raw); }

    /// The same from memory that nobody aligned, such as another library's message.
    [[nodiscard]] static decltype(auto) read_unaligned(bytes raw) {
        if constexpr (requires { serde<T>::read_unaligned(raw); }) {
            return serde<T>::read_unaligned(raw);
        } else {
            return serde<T>::read(raw);
        }
    }

    [[nodiscard]] static constexpr std::string_view schema() noexcept { return serde<T>::schema; }

    /// Equal for types that may open each other's topics. Made of the schema's name, which for built-ins is the kind,
    /// and of a plain type's size and alignment; never of a name that the compiler gives.
    [[nodiscard]] static constexpr std::uint64_t fingerprint() noexcept {
        std::uint64_t size = 0;
        std::uint64_t alignment = 0;
        if constexpr (requires { serde<T>::stored_size; }) {
            size = serde<T>::stored_size;
            alignment = serde<T>::stored_alignment;
        }
        fnv1a hash;
        hash.add(size);
        hash.add(alignment);
        hash.add(schema());
        return hash.value();
    }
};

/// An argument as contiguous bytes, for who needs them before there is a place in a segment: a key is hashed to choose
/// the partition. Up to 256 bytes are kept here, larger ones allocate, and what has a view is not copied at all.
///
/// Lifetime  of what the argument refers to.
template <storable T> class serialized {
    using prepared = decltype(codec<T>::prepare(std::declval<typename codec<T>::argument_type>()));

public:
    explicit serialized(typename codec<T>::argument_type value) : prepared_{codec<T>::prepare(value)} {
        if constexpr (!codec<T>::has_view) {
            if (prepared_.size() > local_.size()) {
                heap_.resize(prepared_.size());
            }
            prepared_.write_to(heap_.empty() ? local_.data() : heap_.data());
        }
    }
    serialized(const serialized&) = delete;
    serialized& operator=(const serialized&) = delete;

    [[nodiscard]] std::size_t size() const noexcept { return prepared_.size(); }

    [[nodiscard]] bytes view() const noexcept {
        if constexpr (codec<T>::has_view) {
            return prepared_.view();
        } else {
            return {heap_.empty() ? local_.data() : heap_.data(), prepared_.size()};
        }
    }

    void write_to(std::byte* to) const noexcept { copy_bytes(to, view().data(), size()); }

private:
    struct nothing {};

    prepared prepared_;
    [[no_unique_address]] std::conditional_t<codec<T>::has_view, nothing, std::array<std::byte, 256>> local_;
    [[no_unique_address]] std::conditional_t<codec<T>::has_view, nothing, std::vector<std::byte>> heap_;
};

}  // namespace detail

}  // namespace brook::inline BROOK_ABI
