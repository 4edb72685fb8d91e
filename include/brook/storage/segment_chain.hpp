/// \file brook/storage/segment_chain.hpp
/// The segments of a partition, oldest first.
/// Floor 2, storage.
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

namespace brook::inline BROOK_ABI::storage {

/// Keeps every segment object until the partition goes, also of what was deleted or compacted: a writer that slept may still look at an
/// old one's tail, and a reader at what comes next. That is some 550 bytes a segment, with what the allocator adds, and grows with all that was
/// ever appended: a GiB a day in segments of 1 MiB costs 200 MB in a year, in segments of 1 GiB nothing to speak of.
///
/// Threads   shared.
/// Cost      find O(log n), under a lock that is held for that long only; not on the append path.
class segment_chain {
public:
    void adopt(std::vector<std::unique_ptr<segment>> all, offset start) {
        const std::scoped_lock guard{mutex_};
        segments_ = std::move(all);
        start_.store(start, std::memory_order_release);
    }

    /// Offset of the first record that can be read.
    [[nodiscard]] offset start() const noexcept { return start_.load(std::memory_order_acquire); }

    /// From here on readers find nothing below.
    void begin_at(offset start) noexcept { start_.store(start, std::memory_order_release); }

    /// Takes out the segments that lie below the start, and begin before `needed_from`: up to `most` of them, and never the last.
    /// They stay in memory. Memory that is not there leaves the chain as it was.
    [[nodiscard]] std::vector<segment*> drop(std::size_t most, offset needed_from) {
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

    /// Whether these stand here one behind the other, and are not all.
    [[nodiscard]] bool has(const std::vector<segment*>& wanted) const {
        const std::scoped_lock guard{mutex_};
        return place_of(wanted) < segments_.size();
    }

    /// So that as many can be replaced.
    void make_room(std::size_t count) {
        const std::scoped_lock guard{mutex_};
        if (const std::size_t wanted = dropped_.size() + count; dropped_.capacity() < wanted) {
            dropped_.reserve(2 * wanted);
        }
    }

    /// Puts `made` in the place of what it was made from: readers go on in it. What it replaces stays in memory.
    ///
    /// Requires  has(old), and room for as many.
    void replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept {
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

    /// Takes out what stands behind `last`, whose memory goes on there: the log was cut in it. They stay in memory.
    [[nodiscard]] std::vector<segment*> cut_behind(segment& last) {
        const std::scoped_lock guard{mutex_};
        std::size_t kept = segments_.size();
        while (segments_[kept - 1].get() != &last) {
            --kept;
        }
        return take_out(kept);
    }

    /// Takes all of them out, and begins with this one at its base. They stay in memory.
    [[nodiscard]] std::vector<segment*> start_anew(std::unique_ptr<segment> first) {
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

    /// As they are now. They stay in memory, whatever is deleted meanwhile.
    [[nodiscard]] std::vector<segment*> all() const {
        const std::scoped_lock guard{mutex_};
        std::vector<segment*> found;
        found.reserve(segments_.size());
        for (const auto& one : segments_) {
            found.push_back(one.get());
        }
        return found;
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
    [[nodiscard]] std::vector<segment*> take_out(std::size_t from) {
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

    [[nodiscard]] std::size_t place_of(const std::vector<segment*>& wanted) const {
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

    mutable std::mutex mutex_;                        // guards the vectors; the segments guard themselves
    std::vector<std::unique_ptr<segment>> segments_;  // never empty once adopted
    std::vector<std::unique_ptr<segment>> dropped_;
    std::atomic<offset> start_{0};                    // grows; before segments are dropped
};

}  // namespace brook::inline BROOK_ABI::storage
