/// \file brook/storage/bodies/segment_chain.hpp
/// The functions that segment_chain.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE void segment_chain::adopt(std::vector<std::unique_ptr<segment>> all, offset start) {
    const std::scoped_lock guard{mutex_};
    segments_ = std::move(all);
    start_.store(start, std::memory_order_release);
}

BROOK_INLINE std::vector<segment*> segment_chain::drop(std::size_t most, offset needed_from) {
    const std::scoped_lock guard{mutex_};
    std::size_t count = 0;
    while (count < most && count + 1 < segments_.size() && segments_[count + 1]->base <= start() && segments_[count]->base < needed_from) {
        ++count;
    }
    std::vector<segment*> gone;
    gone.reserve(count);
    if (const std::size_t wanted = dropped_.size() + count; dropped_.capacity() < wanted) {
        dropped_.reserve(2 * wanted);
    }
    for (std::size_t i = 0; i < count; ++i) {
        gone.push_back(segments_[i].get());
        dropped_.push_back(std::move(segments_[i]));
    }
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(count));
    return gone;
}

BROOK_INLINE bool segment_chain::has(const std::vector<segment*>& wanted) const {
    const std::scoped_lock guard{mutex_};
    return place_of(wanted) < segments_.size();
}

BROOK_INLINE void segment_chain::make_room(std::size_t count) {
    const std::scoped_lock guard{mutex_};
    if (const std::size_t wanted = dropped_.size() + count; dropped_.capacity() < wanted) {
        dropped_.reserve(2 * wanted);
    }
}

BROOK_INLINE void segment_chain::replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept {
    const std::scoped_lock guard{mutex_};
    const std::size_t first = place_of(old);
    BROOK_ASSERT(first < segments_.size() && dropped_.capacity() - dropped_.size() >= old.size());
    made->next.store(segments_[first + old.size()].get(), std::memory_order_relaxed);
    if (first > 0) {
        segments_[first - 1]->next.store(made.get(), std::memory_order_release);
    }
    for (std::size_t i = 0; i < old.size(); ++i) {
        old[i]->is_replaced.store(true, std::memory_order_release);
        dropped_.push_back(std::move(segments_[first + i]));
    }
    segments_[first] = std::move(made);
    const auto second = segments_.begin() + static_cast<std::ptrdiff_t>(first) + 1;
    segments_.erase(second, second + static_cast<std::ptrdiff_t>(old.size()) - 1);
}

BROOK_INLINE std::vector<segment*> segment_chain::cut_behind(segment& last) {
    const std::scoped_lock guard{mutex_};
    std::size_t kept = segments_.size();
    while (segments_[kept - 1].get() != &last) {
        --kept;
    }
    return take_out(kept);
}

BROOK_INLINE std::vector<segment*> segment_chain::start_anew(std::unique_ptr<segment> first) {
    const std::scoped_lock guard{mutex_};
    const offset start = first->base;
    std::vector<segment*> gone = take_out(0);
    segments_.push_back(std::move(first));
    start_.store(start, std::memory_order_release);
    for (segment* const one : gone) {
        one->is_replaced.store(true, std::memory_order_release);  // who stands in front of one of them looks for its place anew
    }
    return gone;
}

BROOK_INLINE std::vector<segment*> segment_chain::all() const {
    const std::scoped_lock guard{mutex_};
    std::vector<segment*> found;
    found.reserve(segments_.size());
    for (const auto& one : segments_) {
        found.push_back(one.get());
    }
    return found;
}

BROOK_INLINE segment* segment_chain::append(std::unique_ptr<segment> next) {
    const std::scoped_lock guard{mutex_};
    segments_.push_back(std::move(next));
    return segments_.back().get();
}

BROOK_INLINE segment* segment_chain::first() const {
    const std::scoped_lock guard{mutex_};
    return segments_.front().get();
}

BROOK_INLINE segment* segment_chain::last() const {
    const std::scoped_lock guard{mutex_};
    return segments_.back().get();
}

BROOK_INLINE std::size_t segment_chain::count() const {
    const std::scoped_lock guard{mutex_};
    return segments_.size();
}

BROOK_INLINE segment* segment_chain::at(std::size_t index) const {
    const std::scoped_lock guard{mutex_};
    return segments_[index].get();
}

BROOK_INLINE segment* segment_chain::find(offset wanted) const {
    const std::scoped_lock guard{mutex_};
    std::size_t low = 0;
    std::size_t high = segments_.size() - 1;
    while (low < high) {
        const std::size_t middle = high - (high - low) / 2;
        if (segments_[middle]->base <= wanted) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return segments_[low].get();
}

BROOK_INLINE std::vector<segment*> segment_chain::take_out(std::size_t from) {
    std::vector<segment*> gone;
    gone.reserve(segments_.size() - from);
    dropped_.reserve(dropped_.size() + segments_.size() - from);
    for (std::size_t i = from; i < segments_.size(); ++i) {
        gone.push_back(segments_[i].get());
        dropped_.push_back(std::move(segments_[i]));
    }
    segments_.resize(from);
    return gone;
}

BROOK_INLINE std::size_t segment_chain::place_of(const std::vector<segment*>& wanted) const {
    for (std::size_t i = 0; i + wanted.size() < segments_.size(); ++i) {
        std::size_t k = 0;
        while (k < wanted.size() && segments_[i + k].get() == wanted[k]) {
            ++k;
        }
        if (k == wanted.size()) {
            return i;
        }
    }
    return segments_.size();
}

}  // namespace brook::inline BROOK_ABI::storage
