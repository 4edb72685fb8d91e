/// \file brook/client/plain.hpp
/// Which types are their own bytes: told apart at compile time from those that point elsewhere.
/// Floor 6, client.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

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

}  // namespace detail

}  // namespace brook::inline BROOK_ABI
