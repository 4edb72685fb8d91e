/// \file brook/core/search.hpp
/// Looking something up in what is kept in order.
/// Floor 0, core.
#pragma once

#include <cstddef>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// How many of `count` elements stand before a place: those for whose index `is_before` holds, which are the first ones.
/// That is also the index of the element at that place, if it is less than `count`.
///
/// Cost      O(log count).
template <class IsBefore>
[[nodiscard]] std::size_t count_before(std::size_t count, const IsBefore& is_before) {
    std::size_t low = 0;
    while (low < count) {
        const std::size_t middle = low + (count - low) / 2;
        if (is_before(middle)) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

}  // namespace brook::inline BROOK_ABI
