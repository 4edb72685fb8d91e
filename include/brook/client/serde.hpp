/// \file brook/client/serde.hpp
/// How keys and values become bytes and are read back: serde, writer, reader, and what a type needs to be stored.
/// Floor 6, client.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

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

template <class T>
concept iterator_like = requires {
    typename T::iterator_category;
};

template <class T>
inline constexpr bool is_pointing =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> || std::is_reference_v<T> ||
    std::ranges::enable_borrowed_range<T> || std::ranges::enable_view<T> || iterator_like<T>;
template <class T> inline constexpr bool is_pointing<std::initializer_list<T>> = true;
template <class T, std::size_t Count> inline constexpr bool is_pointing<std::array<T, Count>> = is_pointing<T>;
template <class T> inline constexpr bool is_pointing<std::optional<T>> = is_pointing<T>;

// Stand in for members of an aggregate, within braces that are never evaluated. Aggregates among the members take
// nothing as a whole, so their own members are met one by one.
struct any_member {
    template <class T>
        requires(!std::is_aggregate_v<T>)
    operator T() const;
};
struct pointing_member {
    template <class T> operator T*() const;
    template <class Char, class Traits> operator std::basic_string_view<Char, Traits>() const;
    template <class T, std::size_t Extent> operator std::span<T, Extent>() const;
};
struct no_member {};

template <class T, class... Members>
concept made_of = requires {
    T{std::declval<Members>()...};
};

template <class T, class... Before> [[nodiscard]] consteval bool has_pointing_member() {
    if constexpr (made_of<T, Before..., pointing_member> && !made_of<T, Before..., no_member>) {
        return true;
    } else if constexpr (sizeof...(Before) < 16) {
        return has_pointing_member<T, Before..., any_member>();
    } else {
        return false;
    }
}

/// Its bytes name memory elsewhere, and mean nothing to who reads them later: pointers, views, iterators, and
/// aggregates with one of these among the first 16 members.
template <class T> [[nodiscard]] consteval bool refers_elsewhere() {
    if constexpr (is_pointing<T>) {
        return true;
    } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
        return has_pointing_member<T>();
    } else {
        return false;
    }
}

/// Its bytes are all there is to it.
template <class T>
concept plain = std::is_object_v<T> && std::same_as<T, std::remove_cv_t<T>> && !std::is_array_v<T> &&
                std::is_trivially_copyable_v<T> && std::copy_constructible<T> && !refers_elsewhere<T>();

/// Plain, and every byte of it is written: no padding that would carry somebody else's memory into the log.
template <class T>
concept packed = plain<T> && !std::same_as<T, long double> &&
                 (std::is_arithmetic_v<T> || std::has_unique_object_representations_v<T>);

[[noreturn]] inline void throw_written_past_end(std::size_t wanted, std::size_t at, std::size_t capacity) {
    throw_error(errc::illegal_state,
                "a serde's write() gave more bytes than it had counted: " + std::to_string(wanted) + " more at byte " +
                    std::to_string(at) + " of " + std::to_string(capacity) + "; it must give the same bytes each time");
}

[[noreturn]] inline void throw_written_short(std::size_t written, std::size_t counted) {
    throw_error(errc::illegal_state,
                "a serde's write() gave fewer bytes than it had counted: " + std::to_string(written) + " of " +
                    std::to_string(counted) + "; it must give the same bytes each time");
}

[[noreturn]] inline void throw_length(std::size_t size) {
    throw_error(errc::record_too_large, "a text or a run of bytes of " + std::to_string(size) +
                                            " bytes: its length is stored in 32 bits; split it, or keep it elsewhere");
}

[[noreturn]] inline void throw_read_past_end(std::size_t wanted, std::size_t at, std::size_t size) {
    throw_error(errc::schema_read, "the bytes end early: " + std::to_string(wanted) + " wanted at byte " +
                                       std::to_string(at) + " of " + std::to_string(size));
}

[[noreturn]] inline void throw_not_a_bool(std::byte found) {
    throw_error(errc::schema_read, "a bool is stored as 0 or 1, not as " + std::to_string(std::to_integer<int>(found)));
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
