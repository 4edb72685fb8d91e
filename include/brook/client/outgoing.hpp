/// \file brook/client/outgoing.hpp
/// A typed record on its way out, as an engine takes it: sizes, what writes key and value, headers as bytes.
/// Floor 6, client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/record.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI::detail {

template <class Key, class Value> class outgoing {
    using value_codec = codec<Value>;
    using value_argument = typename value_codec::argument_type;

public:
    static constexpr bool is_keyed = !std::is_same_v<Key, no_key>;

    /// Sizes beyond what any segment holds stay too large, instead of wrapping around.
    [[nodiscard]] static constexpr std::uint32_t clamp(std::size_t size) noexcept {
        return size < 2u * gib ? static_cast<std::uint32_t>(size) : 2u * gib;
    }

    [[nodiscard]] static format::record_sizes sizes_of(const serialized<Key>& key, std::size_t value, std::size_t headers) noexcept {
        return {is_keyed ? clamp(key.size()) : format::null_size, clamp(value), clamp(headers)};
    }

    /// Gives `use` the record's sizes, its writers of key and value, and its headers.
    template <class Use>
    [[gnu::always_inline]] static auto with_value(const serialized<Key>& key, value_argument value, const std::vector<header>* headers, const Use& use) {
        const auto prepared = value_codec::prepare(value);
        const auto write_value = [&](std::byte* to) { prepared.write_to(to); };
        return with(key, prepared.size(), write_value, headers, use);
    }

    /// The same of a record without a value.
    template <class Use>
    static auto with_tombstone(const serialized<Key>& key, const std::vector<header>* headers, const Use& use) {
        return with(key, std::nullopt, [](std::byte*) {}, headers, use);
    }

private:
    template <class WriteValue, class Use>
    [[gnu::always_inline]] static auto with(const serialized<Key>& key, std::optional<std::size_t> value_size, const WriteValue& write_value,
                                            const std::vector<header>* headers, const Use& use) {
        std::vector<std::byte> encoded;
        if (headers != nullptr && !headers->empty()) {
            encoded = encode(*headers);
        }
        format::record_sizes sizes = sizes_of(key, value_size.value_or(0), encoded.size());
        if (!value_size) {
            sizes.value = format::null_size;
        }
        const auto write_key = [&key](std::byte* to) {
            if constexpr (is_keyed) {
                key.write_to(to);
            } else {
                static_cast<void>(to);
                static_cast<void>(key);
            }
        };
        return use(sizes, write_key, write_value, bytes{encoded});
    }

    /// Errors    record_too_large for a header that the format has no number for.
    [[nodiscard]] static std::vector<std::byte> encode(const std::vector<header>& headers) {
        std::uint64_t size = 0;
        for (const auto& one : headers) {
            if (one.name.size() > format::header_name_max || (one.value && one.value->size() >= 2u * gib)) {
                throw_error(errc::record_too_large, "header '" + one.name.substr(0, 64) + "': names have at most 65535 bytes, values less than 2 GiB");
            }
            size += format::header_bytes(one.name.size(), one.value ? one.value->size() : 0);
        }
        std::vector<std::byte> encoded(static_cast<std::size_t>(size));
        std::byte* to = encoded.data();
        for (const auto& one : headers) {
            to = format::write_header(to, one.name, one.value ? std::optional{as_bytes(*one.value)} : std::nullopt);
        }
        return encoded;
    }
};

}  // namespace brook::inline BROOK_ABI::detail
