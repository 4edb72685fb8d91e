/// \file brook/storage/published_prefix.hpp
/// How far the log has been published without a gap: the log end offset.
/// Floor 2, storage.
#pragma once

#include <mutex>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A place between two frames.
struct log_place {
    segment* home = nullptr;
    position at = 0;
    offset next = 0;  ///< offset of the record that is, or will be, there
};

/// One cursor per partition, moved by whoever asks; the append path never touches it. A claim that is not published
/// yet stops it, and everything that waits for the contiguous prefix: reads, syncs, durable acknowledgements.
///
/// Threads   shared.
/// Cost      a few ns per frame that nobody had asked about before.
class published_prefix {
public:
    void start(log_place place) {
        const std::scoped_lock guard{mutex_};
        place_ = place;
    }

    /// Goes back to a place, behind which `erase` has left nothing: nobody looks while it is at it.
    template <class Erase>
    void rewind(const log_place& place, const Erase& erase) {
        const std::scoped_lock guard{mutex_};
        erase();
        place_ = place;
    }

    /// Moves as far as it goes now.
    [[nodiscard]] log_place advance() {
        const std::scoped_lock guard{mutex_};
        segment_pin pin = place_.home->pin();  // none: the log has been closed
        frame_view found;
        while (pin && look_at(*pin, place_.at, place_.next, trust::written_here, found) == look::frame) {
            if (found.kind() != format::frame_kind::seal) {
                place_.next += found.offsets_taken();
                place_.at = found.end();
                continue;
            }
            segment* const next = place_.home->next.load(std::memory_order_acquire);
            if (next == nullptr) {
                break;
            }
            place_ = {next, format::segment_header_size, next->base};
            pin = next->pin();
        }
        return place_;
    }

private:
    std::mutex mutex_;  // guards the place
    log_place place_;
};

}  // namespace brook::inline BROOK_ABI::storage
