/// \file brook/storage/segment_names.hpp
/// What a partition's files are called, and back.
/// Floor 2, storage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Base offset as 20 digits, as Kafka names its segments.
[[nodiscard]] inline std::string segment_name(offset base) {
    const std::string digits = std::to_string(base);
    return std::string(20 - digits.size(), '0') + digits;
}

/// The base offset in "00000000000000000042.log"; nullopt for any other name.
[[nodiscard]] inline std::optional<offset> parse_segment_name(std::string_view name, std::string_view suffix) noexcept {
    if (name.size() != 20 + suffix.size() || !name.ends_with(suffix)) {
        return std::nullopt;
    }
    std::uint64_t base = 0;
    for (const char digit : name.substr(0, 20)) {
        if (digit < '0' || digit > '9' || base > 922'337'203'685'477'579u) {
            return std::nullopt;
        }
        base = base * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return base <= static_cast<std::uint64_t>(largest_offset) ? std::optional{static_cast<offset>(base)} : std::nullopt;
}

/// Offsets [base, end) that a compaction has written as one segment, and for which that stands as soon as it has this name.
struct swap_range {
    offset base = 0;
    offset end = 0;
};

/// "00000000000000000000-00000000000000004711.swap"
[[nodiscard]] inline std::string swap_name(const swap_range& range) { return segment_name(range.base) + '-' + segment_name(range.end) + ".swap"; }

/// The range in such a name; nullopt for any other.
[[nodiscard]] inline std::optional<swap_range> parse_swap_name(std::string_view name) noexcept {
    if (name.size() <= 20) {
        return std::nullopt;
    }
    const auto base = parse_segment_name(name.substr(0, 20), "");
    const auto end = parse_segment_name(name.substr(20).substr(1), ".swap");
    return base && end && name[20] == '-' && *base < *end ? std::optional{swap_range{*base, *end}} : std::nullopt;
}

}  // namespace brook::inline BROOK_ABI::storage
