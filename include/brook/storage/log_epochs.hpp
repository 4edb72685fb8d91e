/// \file brook/storage/log_epochs.hpp
/// In which leader epochs a log was written, also where frames of it have rotted.
/// Floor 2, storage. Source: Kafka's LeaderEpochFileCache (KIP-101, KIP-279).
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/log_reader.hpp>

namespace brook::inline BROOK_ABI::storage {

namespace detail {

/// Offsets between which a later epoch begins: what stands there cannot be read. Where `first` is `last` it begins there.
/// Of [low, high), in front of which everything is of `epoch` or an earlier one; `high` where there is no later one.
///
/// Cost      a look-up for each halving; the first ones near `low`, since epochs are short, or long.
[[nodiscard]] BROOK_INLINE offset_range find_later_epoch(log_reader& looking, std::uint32_t epoch, offset low, offset high);

}  // namespace detail

/// Of a replicated log: where its leader epochs begin. Kept in memory as it grows and is cut; known again at an opening from the checkpoint,
/// which tells of what was durable, and behind that from the frames. By this two replicas find out how far they are the same, so an epoch
/// is never said to reach further than it does: where a damaged frame hides which of two epochs it was of, the later one is thought to begin
/// in front of it, and that this is not known is told.
///
/// Threads   shared.
/// Cost      an opening: for each epoch that begins behind the durable offset a look-up for each halving of the segments there are, and of the
///           one that it ends in. Of each segment the head is looked at once, and what is looked into is opened once more.
class log_epochs {
public:
    explicit log_epochs(segment_source& source) noexcept : source_{source} {}

    /// The log is [start, end), and was opened with this checkpoint.
    /// Returns   the epoch of its last record; of a log without any, of what was in front.
    [[nodiscard]] std::uint32_t recall(const format::checkpoint& saved, offset start, offset end);

    /// What begins at `first` is about to be published, in this epoch.
    void note(std::uint32_t epoch, offset first);

    /// The log ends at `end` from now on.
    void cut(offset end);

    /// Nothing of the log is left.
    void start_anew();

    /// What was damaged may not be any more.
    ///
    /// Requires  that nobody appends.
    void look_again(offset start, offset end);

    /// Of the records [start, end); empty where there are none.
    ///
    /// Errors    `why`, beside what is known: corrupt_record, where an epoch begins cannot be told.
    [[nodiscard]] format::epoch_history history(offset start, offset end, failure& why) const;

    /// Of the record at an offset; of a damaged one the latest that it can be. nullopt where nothing is known.
    [[nodiscard]] std::optional<std::uint32_t> at(offset wanted) const;

    /// Has a checkpoint tell of them, as far as they are durable by it: what is not may be lost. And of the epoch of what was durable last.
    void tell(format::checkpoint& told) const;

private:
    /// From the frames [from, end), behind what is known.
    /// Returns   `end`; or from where to there nothing can be read, and may be of a later epoch.
    [[nodiscard]] offset read(offset from, offset end);

    struct segment_head {
        offset base;
        std::optional<std::uint32_t> epoch;  // of its first frame, once it was looked at; 0: what is there cannot be read
    };

    /// Between which heads of segments a later epoch begins, or where there is none. So that looking for it stays in one segment, which is opened once:
    /// there may be thousands, of which few can be open.
    [[nodiscard]] static offset_range narrow(log_reader& looking, std::vector<segment_head>& heads, std::uint32_t epoch, offset_range all);

    void note_later(std::uint32_t epoch, offset first);

    void hide(offset first, offset last) noexcept { hole_ = hole_ ? offset_range{hole_->first < first ? hole_->first : first, hole_->last > last ? hole_->last : last} : offset_range{first, last}; }

    segment_source& source_;
    mutable std::mutex mutex_;  // guards what follows; taken behind all others of the log
    format::epoch_history history_;
    std::optional<offset_range> hole_;  // a later epoch begins in it, and nobody can tell where
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/log_epochs.hpp>
#endif
