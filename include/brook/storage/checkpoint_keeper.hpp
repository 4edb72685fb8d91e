/// \file brook/storage/checkpoint_keeper.hpp
/// What a partition's checkpoint says, and how it comes to say something else.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/checkpoint_file.hpp>
#include <brook/storage/log_epochs.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Writes it whole each time, and remembers what was written last.
///
/// Once it says that the log is to be cut, the cut alone writes it, up to its end. Beside what anybody else would write there (the start as it
/// is in memory, a place behind the cut) the next opening would take it for another cut; so where a disk has refused in the middle of
/// one, it stays as it is until then.
///
/// Threads   confined, to whoever holds upkeep's lock; `flags` is shared.
/// Cost      a write and a sync each time.
class checkpoint_keeper {
public:
    /// `epochs`: of a replicated log, told in each; else null.
    checkpoint_keeper(segment_directory& files, const log_epochs* epochs) : file_{files}, name_{files.name()}, epochs_{epochs} {}

    /// What an opening has found.
    void start(const format::checkpoint& found) noexcept { saved_ = found; }

    /// There are no such frames after all; what is on the disk may go on saying that there may be.
    void forget_flag(std::uint32_t which) noexcept { saved_.flags &= ~which; }

    /// From here on `flags` tells.
    void show_flags() noexcept { flags_.store(saved_.flags, std::memory_order_release); }

    [[nodiscard]] const format::checkpoint& saved() const noexcept { return saved_; }
    [[nodiscard]] std::uint32_t flags() const noexcept { return flags_.load(std::memory_order_acquire); }

    /// Has it say, before the first of its kind is appended, that there may be such frames.
    [[nodiscard]] failure flag(std::uint32_t which) {
        failure why = rewrite([&](format::checkpoint& changed) { changed.flags |= which; });
        show_flags();
        return why;
    }

    /// Writes it with a change to it. Where that fails it counts as it was.
    ///
    /// Errors    also partition_failed: a cut was begun, and has not come to its end.
    template <class Change>
    [[nodiscard]] failure rewrite(const Change& change) {
        return saved_.is_cutting() ? failure{errc::partition_failed, name_.text() + ": was not cut to its end; close the broker, see to the disk, open again"}
                                   : rewrite_of_cut(change);
    }

    /// For the cut alone.
    template <class Change>
    [[nodiscard]] failure rewrite_of_cut(const Change& change) {
        format::checkpoint changed = saved_;
        changed.sequence += 1;
        change(changed);
        if (epochs_ != nullptr) {
            epochs_->tell(changed);
        }
        failure why = file_.write(changed);
        if (!why) {
            saved_ = changed;
        }
        return why;
    }

    /// Has it say that recovery begins at this segment, or in front of it: something is about to be written in what was on the disk.
    [[nodiscard]] failure begin_at(offset base) {
        const bool is_behind = static_cast<offset>(saved_.segment_base) > base || static_cast<offset>(saved_.segment_offset) > base;
        return !is_behind ? failure{} : rewrite([&](format::checkpoint& told) {
            told.segment_base = told.segment_offset = base;
            told.segment_position = format::segment_header_size;
        });
    }

    /// Has it say how far the log is on the disk, where that has changed. Nothing while a cut is not through.
    /// `watermark`: of a replicated log; nullopt: what is durable.
    [[nodiscard]] failure save(const log_place& place, offset durable, offset start, const std::optional<offset>& watermark) {
        if (saved_.is_cutting() || place.home == nullptr ||
            ((!watermark || *watermark == saved_.high_watermark) && durable == saved_.durable_offset && place.home->base == static_cast<offset>(saved_.segment_base) &&
             place.next == static_cast<offset>(saved_.segment_offset))) {
            return {};
        }
        return rewrite([&](format::checkpoint& told) {
            told.durable_offset = durable;
            told.log_start_offset = start;
            told.high_watermark = watermark.value_or(durable);  // one replica: it has what it has synced
            told.segment_base = place.home->base;
            told.segment_position = place.at;
            told.segment_offset = place.next;
        });
    }

private:
    checkpoint_file file_;
    const partition_name& name_;
    const log_epochs* epochs_;
    format::checkpoint saved_;
    std::atomic<std::uint32_t> flags_{0};
};

}  // namespace brook::inline BROOK_ABI::storage
