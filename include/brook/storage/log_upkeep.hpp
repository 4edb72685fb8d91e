/// \file brook/storage/log_upkeep.hpp
/// What is done for a log while nobody waits for it: footers, retention, compaction, room ahead.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/compaction.hpp>
#include <brook/storage/log_parts.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Looks after a log: works ahead of its writers and behind them.
///
/// Threads   one at a time, under upkeep's lock: what does not say that it takes it, requires it.
class log_upkeep {
public:
    explicit log_upkeep(log_parts& parts) : parts_{parts} {}

    /// The log has been opened: up to `finished` its segments have their footer, and it ends at a place.
    void start(std::size_t finished, const log_place& end);

    /// What was deleted by a process that died before it had removed the files is removed. What cannot be is told by the next upkeep.
    /// The start is written down once more before: the process that did it may have been told that it is not on the disk.
    void remove_deleted();

    /// The log ends there now: it has been opened, or cut.
    void go_on(const log_place& end, std::size_t finished);

    /// Segments in front of it have their footer.
    [[nodiscard]] std::size_t finished() const noexcept { return finished_; }

    /// A cut did not come to its end: which segments there are is not known, and nothing is done about them any more.
    /// Requires  upkeep's lock.
    void give_up() noexcept;

    void stop_compaction() { compaction_.stop(); }
    [[nodiscard]] failure settle_compaction() { return compaction_.settle(); }
    void start_compaction(offset compacted) { compaction_.start(compacted); }
    void forget_compaction() noexcept { compaction_.forget(); }

    /// log::size_bytes.
    [[nodiscard]] std::uint64_t size_bytes(failure& why);

    /// log::oldest.
    struct oldest_segment {
        std::int64_t sealed_at;
        std::int64_t bytes;
    };

    [[nodiscard]] std::optional<oldest_segment> oldest(failure& why);

    /// log::drop_oldest.
    [[nodiscard]] failure drop_oldest();

    struct upkeep_result {
        bool is_busy = false;  ///< appends are coming in: look again soon
        bool has_more = false;  ///< of what is due: look again at once
        failure why;           ///< what could not be done; nothing promised is lost by it
    };

    /// What whoever looks after the log remembers from one look to the next: kept here, used by them alone.
    struct upkeep_notes {
        offset end = 0;    ///< where the log ended
        std::string told;  ///< the error that has been reported, and that it still has
    };

    [[nodiscard]] upkeep_notes& notes() noexcept { return notes_; }

    /// log::shortest_age.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> shortest_age() const noexcept;

    /// log::limit_compaction.
    void limit_compaction(offset limit) noexcept { compaction_limit_.store(limit, std::memory_order_release); }

    [[nodiscard]] offset compaction_limit() const noexcept;

    /// log::upkeep.
    upkeep_result upkeep(std::chrono::nanoseconds now, offset until = largest_offset);

    /// On the disk before a file goes: else a log whose files were removed would pass for one that has lost them.
    [[nodiscard]] failure move_start(offset start);

    /// Removes the files of segments that lie below the start, up to the one that tells of the partition's producers: until the
    /// next one tells of them, repetitions of what was deleted are known by it.
    /// `may_reuse`: one of them may become the next spare.
    [[nodiscard]] failure drop_deleted(bool may_reuse = false);

    void give_space_back();

private:
    /// Segments that are sealed, on the disk, and on a majority.
    [[nodiscard]] std::size_t committed_segments();

    /// Bytes per second that were claimed since the last look.
    [[nodiscard]] std::uint64_t measure_rate(std::chrono::nanoseconds now) noexcept;

    [[nodiscard]] failure work_ahead(std::uint64_t rate);

    /// What is sealed and synced gets its footer, gives unused space back, and is let go of.
    [[nodiscard]] failure finish_synced();

    /// Lets go of what the policy does not keep, and of what was deleted. A part of it is enough: the next look goes on.
    [[nodiscard]] failure retain(std::chrono::nanoseconds now, bool& has_more);

    static constexpr std::size_t most_dropped = 64;  // in one look: removing a file takes the disk a while

    /// Begins or goes on to compact the log, for a slice.
    [[nodiscard]] failure compact(std::chrono::nanoseconds now, offset until, bool& has_more);

    static constexpr std::uint64_t compaction_slice = mib;

    [[nodiscard]] std::optional<std::chrono::nanoseconds> joined_within() const noexcept;

    /// Readers go on in what is left of these segments.
    void replace(const std::vector<segment*>& old, std::unique_ptr<segment> made) noexcept;

    /// Nothing in the active segment has been kept for less than the policy says, or all of it has been deleted. Then it is
    /// sealed, so that it can go.
    [[nodiscard]] bool is_active_expired();

    /// Who waits for a sync makes it; this is for records that nobody waits for. While the durable offset moves from one
    /// look to the next, somebody does.
    [[nodiscard]] bool is_flush_due(std::chrono::nanoseconds now);

    /// The disk space behind `end`: the file keeps its size, so that nothing is pulled from under a mapping.
    static void punch_behind(mapped_segment& memory, position end);

    log_parts& parts_;
    std::atomic<offset> compaction_limit_{0};
    retention retention_{parts_.files, parts_.segments};
    compaction compaction_{parts_.files, parts_.segments, parts_.source, retention_};
    std::size_t finished_ = 0;   // segments before it have their footer
    bool is_cut_short_ = false;
    failure not_removed_;       // what the opening could not remove, until upkeep has told it
    segment* last_segment_ = nullptr;
    position last_end_ = 0;
    std::chrono::nanoseconds last_look_{};
    std::chrono::nanoseconds unsynced_since_{};
    offset last_durable_ = 0;
    upkeep_notes notes_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/log_upkeep.hpp>
#endif
