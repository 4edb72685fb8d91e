/// \file brook/core/ordered.hpp
/// Vectors whose order matters: looking something up, putting something in, taking something out.
/// Floor 0, core.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

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

/// Puts an element in front of the one at `place`, by swaps: std::vector::insert costs more to compile, type by type.
template <class T>
void insert_at(std::vector<T>& all, std::size_t place, T element) {
    using std::swap;
    all.push_back(std::move(element));
    for (std::size_t i = all.size() - 1; i > place; --i) {
        swap(all[i], all[i - 1]);
    }
}

/// Takes the element at `place` out; the others keep their order.
template <class T>
void erase_at(std::vector<T>& all, std::size_t place) {
    using std::swap;
    for (std::size_t i = place + 1; i < all.size(); ++i) {
        swap(all[i], all[i - 1]);
    }
    all.pop_back();
}

}  // namespace brook::inline BROOK_ABI
