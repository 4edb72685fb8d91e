/// \file brook/storage/segment_chain.hpp
/// The segments of a partition, oldest first.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Keeps every segment object until the partition goes: a writer that slept may still look at an old one's tail.
///
/// Threads   shared.
/// Cost      find O(log n), under a lock that is held for that long only; not on the append path.
class segment_chain {
public:
    void adopt(std::vector<std::unique_ptr<segment>> all) {
        const std::scoped_lock guard{mutex_};
        segments_ = std::move(all);
    }

    segment* append(std::unique_ptr<segment> next) {
        const std::scoped_lock guard{mutex_};
        segments_.push_back(std::move(next));
        return segments_.back().get();
    }

    [[nodiscard]] segment* first() const {
        const std::scoped_lock guard{mutex_};
        return segments_.front().get();
    }

    [[nodiscard]] segment* last() const {
        const std::scoped_lock guard{mutex_};
        return segments_.back().get();
    }

    [[nodiscard]] std::size_t count() const {
        const std::scoped_lock guard{mutex_};
        return segments_.size();
    }

    [[nodiscard]] segment* at(std::size_t index) const {
        const std::scoped_lock guard{mutex_};
        return segments_[index].get();
    }

    /// The segment that holds `wanted`: the last one that begins at or before it; the first for anything older.
    [[nodiscard]] segment* find(offset wanted) const {
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

private:
    mutable std::mutex mutex_;                         // guards the vector; the segments guard themselves
    std::vector<std::unique_ptr<segment>> segments_;  // never empty once adopted
};

}  // namespace brook::inline BROOK_ABI::storage
