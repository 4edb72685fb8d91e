/// \file brook/storage/segment_chain.hpp
/// The segments of a partition, oldest first.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
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
    void adopt(std::vector<std::unique_ptr<segment>> all, offset start);

    /// Offset of the first record that can be read.
    [[nodiscard]] offset start() const noexcept { return start_.load(std::memory_order_acquire); }

    /// From here on readers find nothing below.
    void begin_at(offset start) noexcept { start_.store(start, std::memory_order_release); }

    /// Takes out the segments that lie below the start, and begin before `needed_from`: up to `most` of them, and never the last.
    /// They stay in memory. Memory that is not there leaves the chain as it was.
    [[nodiscard]] std::vector<segment*> drop(std::size_t most, offset needed_from);

    /// Whether these stand here one behind the other, and are not all.
    [[nodiscard]] bool has(const std::vector<segment*>& wanted) const;

    /// So that as many can be replaced.
    void make_room(std::size_t count);

    /// Puts `made` in the place of what it was made from: readers go on in it. What it replaces stays in memory.
    ///
    /// Requires  has(old), and room for as many.
    void replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept;

    /// Takes out what stands behind `last`, whose memory goes on there: the log was cut in it. They stay in memory.
    [[nodiscard]] std::vector<segment*> cut_behind(segment& last);

    /// Takes all of them out, and begins with this one at its base. They stay in memory.
    [[nodiscard]] std::vector<segment*> start_anew(std::unique_ptr<segment> first);

    /// As they are now. They stay in memory, whatever is deleted meanwhile.
    [[nodiscard]] std::vector<segment*> all() const;

    segment* append(std::unique_ptr<segment> next);

    [[nodiscard]] segment* first() const;

    [[nodiscard]] segment* last() const;

    [[nodiscard]] std::size_t count() const;

    [[nodiscard]] segment* at(std::size_t index) const;

    /// The segment that holds `wanted`: the last one that begins at or before it; the first for anything older.
    [[nodiscard]] segment* find(offset wanted) const;

private:
    [[nodiscard]] std::vector<segment*> take_out(std::size_t from);

    [[nodiscard]] std::size_t place_of(const std::vector<segment*>& wanted) const;

    mutable std::mutex mutex_;                        // guards the vectors; the segments guard themselves
    std::vector<std::unique_ptr<segment>> segments_;  // never empty once adopted
    std::vector<std::unique_ptr<segment>> dropped_;
    std::atomic<offset> start_{0};                    // grows; before segments are dropped
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/segment_chain.hpp>
#endif
