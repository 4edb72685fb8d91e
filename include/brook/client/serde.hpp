/// \file brook/client/serde.hpp
/// How keys and values become bytes and are read back, and what a type needs to be stored.
/// Floor 6, client.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/plain.hpp>
#include <brook/client/reader_writer.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI {

/// How a `T` is stored. Specialise it for your own types:
///
///     template <> struct brook::serde<order> {
///         static constexpr std::string_view schema = "shop.order/1";       // another schema: the topic does not open
///         static void write(const order& value, brook::writer& out);       // called twice: to count, then to write
///         static order read(brook::bytes raw);                             // may return a view of `raw`
///     };
///
/// In place of `write`, `encode(value)` may return any contiguous buffer of bytes or chars. `using value_type = order`
/// makes the specialised type a tag: orders are sent under it. What `read` throws reaches whoever asked for the value.
/// Two serdes with one schema read the same topics, so a view type may derive from the serde of what it looks at.
///
/// Without a specialisation: integers, bool, enums, floating-point numbers; trivially copyable types, read in place;
/// std::string (read as std::string_view), brook::bytes and std::vector<std::byte> (read as brook::bytes); no_key.
template <class T> struct serde;

/// The key type of topics whose records have none.
struct no_key {
    bool operator==(const no_key&) const = default;
};

/// What deletes a key: `producer.send(key, brook::tombstone)` appends a record that has a null value.
struct tombstone_t {
    enum class make { one };
    constexpr explicit tombstone_t(make) noexcept {}  // no default constructor: `{}` is never a tombstone
};
inline constexpr tombstone_t tombstone{tombstone_t::make::one};

namespace detail {

/// What `send` takes where a text is stored: anything that reads as a text, but neither 0, nor nullptr, nor `{}`.
class text_argument {
public:
    template <class Text>
        requires(std::convertible_to<const Text&, std::string_view> && !std::is_null_pointer_v<Text>)
    constexpr text_argument(const Text& text) : text_{text} {}

    [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }

private:
    std::string_view text_;
};

/// What `send` takes where a bool is stored: pointers and numbers are not asked whether they are true.
class bool_argument {
public:
    template <std::same_as<bool> Bool> constexpr bool_argument(Bool value) noexcept : value_{value} {}

    [[nodiscard]] constexpr bool value() const noexcept { return value_; }

private:
    bool value_;
};

/// The kind of a plain type, in words that are the same for every compiler.
template <class T> [[nodiscard]] consteval std::string_view plain_schema() {
    if constexpr (std::is_same_v<T, bool>) {
        return "brook.bool";
    } else if constexpr (std::is_enum_v<T>) {
        return std::is_signed_v<std::underlying_type_t<T>> ? "brook.enum" : "brook.unsigned enum";
    } else if constexpr (std::is_integral_v<T>) {
        return std::is_signed_v<T> ? "brook.integer" : "brook.unsigned integer";
    } else if constexpr (std::is_floating_point_v<T>) {
        return "brook.float";
    } else {
        return "brook.struct";
    }
}

}  // namespace detail

/// What serde does for a trivially copyable `T`, to derive from when the schema deserves a name of its own:
///
///     template <> struct brook::serde<tick> : brook::plain_serde<tick> {
///         static constexpr std::string_view schema = "market.tick/1";
///     };
///
/// Classes of alignment up to 8 are read in place, everything else is copied out.
template <detail::plain T> struct plain_serde {
    static constexpr std::string_view schema = detail::plain_schema<T>();
    static constexpr std::size_t stored_size = sizeof(T);  // both are part of the fingerprint
    static constexpr std::size_t stored_alignment = alignof(T);
    static constexpr bool equal_keys_give_equal_bytes = std::has_unique_object_representations_v<T>;

    using view_type = std::conditional_t<!std::is_scalar_v<T> && alignof(T) <= 8, const T&, T>;
    using argument_type = std::conditional_t<std::is_same_v<T, bool>, detail::bool_argument,
                                             std::conditional_t<std::is_scalar_v<T>, T, const T&>>;

    static auto encode(argument_type value) noexcept {
        if constexpr (std::is_same_v<T, bool>) {
            return std::array{std::byte{value.value()}};
        } else if constexpr (std::is_scalar_v<T>) {
            return std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
        } else {
            return std::as_bytes(std::span<const T, 1>{&value, 1});
        }
    }

    static view_type read(bytes raw) {
        if constexpr (std::is_reference_v<view_type>) {
            require_size(raw);
            BROOK_ASSERT(std::bit_cast<std::uintptr_t>(raw.data()) % alignof(T) == 0);
            return object_at<T>(raw.data());
        } else {
            return read_unaligned(raw);
        }
    }

    /// For bytes that come from elsewhere than a segment.
    static T read_unaligned(bytes raw) {
        require_size(raw);
        return detail::copy_at<T>(raw.data());
    }

private:
    static void require_size(bytes raw) {
        if (raw.size() != sizeof(T)) {
            detail::throw_wrong_size(schema, sizeof(T), raw.size());
        }
    }
};

namespace detail {

/// What comes with the library; empty for a type that needs a serde of its own.
template <class T> struct built_in_serde {};

template <plain T> struct built_in_serde<T> : plain_serde<T> {};

template <> struct built_in_serde<std::string> {
    static constexpr std::string_view schema = "brook.string";
    using argument_type = text_argument;
    static bytes encode(text_argument value) noexcept { return as_bytes(value.text()); }
    static std::string_view read(bytes raw) noexcept { return as_text(raw); }
};

template <> struct built_in_serde<bytes> {
    static constexpr std::string_view schema = "brook.bytes";
    using argument_type = bytes;
    static bytes encode(bytes value) noexcept { return value; }
    static bytes read(bytes raw) noexcept { return raw; }
};

/// The same bytes for records that own theirs.
template <> struct built_in_serde<std::vector<std::byte>> : built_in_serde<bytes> {};

template <> struct built_in_serde<no_key> {
    static constexpr std::string_view schema = "brook.no key";
    using argument_type = no_key;
    static std::array<std::byte, 0> encode(no_key) noexcept { return {}; }
    static no_key read(bytes) noexcept { return {}; }
};

template <> struct built_in_serde<tombstone_t> {};

}  // namespace detail

// All built-ins come through the primary template, so that nobody's partial specialisation is ever ambiguous with one.
template <class T> struct serde : detail::built_in_serde<T> {};

namespace detail {

template <class T> struct serde_value { using type = T; };
template <class T>
    requires requires { typename serde<T>::value_type; }
struct serde_value<T> {
    using type = typename serde<T>::value_type;
};

/// What is sent under `T`: `T` itself, unless its serde makes it a tag.
template <class T> using serde_value_t = typename serde_value<T>::type;

template <class T> using serde_argument_t = std::add_lvalue_reference_t<const serde_value_t<T>>;

template <class T>
concept byte_sized = sizeof(T) == 1 && std::is_trivially_copyable_v<T> && (std::is_integral_v<T> || std::is_enum_v<T>);

template <class Buffer>
concept byte_buffer = requires(const std::remove_cvref_t<Buffer>& buffer) {
    { buffer.size() } -> std::convertible_to<std::size_t>;
    requires std::is_pointer_v<decltype(buffer.data())>;
    requires byte_sized<std::remove_cvref_t<decltype(*buffer.data())>>;
};

}  // namespace detail

// ---- What a type needs, one concept a need, so that a compiler's refusal names the missing one ----

/// A key or value type is named without const, volatile or reference.
template <class T>
concept unqualified = std::is_object_v<T> && std::same_as<T, std::remove_cv_t<T>>;

/// `static constexpr std::string_view schema` in serde<T>.
template <class T>
concept has_schema = requires {
    { serde<T>::schema } -> std::convertible_to<std::string_view>;
};

/// `static T read(brook::bytes)` in serde<T>; what it returns is what a consumer gets.
template <class T>
concept has_read = requires(bytes raw) {
    serde<T>::read(raw);
    requires !std::is_void_v<decltype(serde<T>::read(raw))>;
};

/// `static void write(const T&, brook::writer&)` in serde<T>.
template <class T>
concept has_write = requires(detail::serde_argument_t<T> value, writer& out) {
    serde<T>::write(value, out);
};

/// A static `encode(const T&)` in serde<T> that returns a buffer with data() and size(), of bytes or chars.
template <class T>
concept has_encode = requires(detail::serde_argument_t<T> value) {
    serde<T>::encode(value);
    requires detail::byte_buffer<decltype(serde<T>::encode(value))>;
};

template <class T>
concept has_write_or_encode = has_write<T> || has_encode<T>;

/// serde<T> says whether equal keys give equal bytes; one's own serde need not, and is trusted.
template <class T>
concept judges_key_bytes = requires {
    serde<T>::equal_keys_give_equal_bytes;
};

/// Equal keys give equal bytes, else they would live in different partitions and never be compacted: refused are
/// padding and floating-point numbers, unless in types whose own serde takes care of it.
template <class T>
concept has_key_bytes = !judges_key_bytes<T> || serde<T>::equal_keys_give_equal_bytes;

/// What topics and consumers need of a value type.
template <class T>
concept readable = unqualified<T> && has_schema<T> && has_read<T>;

/// What producers need of a value type.
template <class T>
concept storable = readable<T> && has_write_or_encode<T>;

/// What topics and consumers need of a key type.
template <class T>
concept readable_key = readable<T> && has_key_bytes<T>;

/// What producers need of a key type.
template <class T>
concept storable_key = storable<T> && has_key_bytes<T>;

namespace detail {

/// The concepts once more, in words, the first missing one only; for a static_assert in the class that takes the type.
template <class T> [[nodiscard]] consteval bool check_readable() {
    constexpr bool has_serde = has_schema<T> || has_read<T>;
    if constexpr (!unqualified<T>) {
        static_assert(unqualified<T>, "brook: name key and value types without const, volatile and &");
    } else if constexpr (!has_serde && refers_elsewhere<T>()) {
        static_assert(has_serde,
                      "brook: this type points at memory elsewhere, which the log cannot keep (a pointer, "
                      "string_view, span, or a struct that holds one): store std::string or brook::bytes, or "
                      "specialise brook::serde<T>");
    } else if constexpr (!has_serde) {
        static_assert(has_serde,
                      "brook: this type is not trivially copyable: specialise brook::serde<T> with `static "
                      "constexpr std::string_view schema`, write(value, writer&) or encode(value), and "
                      "read(bytes)");
    } else {
        static_assert(has_schema<T>, "brook: serde<T> has no `static constexpr std::string_view schema`");
        static_assert(has_read<T>, "brook: serde<T> has no `static T read(brook::bytes)`");
    }
    return true;
}

template <class T> [[nodiscard]] consteval bool check_storable() {
    if constexpr (readable<T>) {
        static_assert(has_write_or_encode<T>,
                      "brook: T can be read, but not sent: serde<T> has neither `static void write(const T&, "
                      "brook::writer&)` nor a static `encode(const T&)` that returns a buffer of bytes or chars");
    }
    return check_readable<T>();
}

template <class T> [[nodiscard]] consteval bool check_key() {
    static_assert(has_key_bytes<T>,
                  "brook: equal keys of this type may have unequal bytes (padding, or floating-point members): use "
                  "integers or std::string, fill the padding with members, or specialise brook::serde");
    return check_readable<T>();
}

template <class T> [[nodiscard]] consteval bool check_storable_key() { return check_key<T>() && check_storable<T>(); }

}  // namespace detail

}  // namespace brook::inline BROOK_ABI
