/// \file brook/storage/open_claims.hpp
/// Claims that users hold open to write in place: who holds them, and what becomes of them when the log closes.
/// Floor 2, storage.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/thread.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// An ordinary append publishes within nanoseconds of its claim; a slot may stay open for as long as its owner likes,
/// and readers stop in front of it. So each is on this list.
///
/// Threads   shared.
/// Cost      one lock at claim and one at commit: writing in place is for records that are worth it.
class open_claims {
public:
    using id = std::uint64_t;

    struct info {
        offset at;                        ///< readers stop in front of this offset
        std::chrono::nanoseconds since;   ///< on the platform's monotonic clock
    };

    /// nullopt when the log has been closed since the claim was taken: closing waits for it, so give it up.
    [[nodiscard]] std::optional<id> add(const claim& taken, segment_pin pin, std::chrono::nanoseconds now) {
        const std::scoped_lock guard{mutex_};
        if (is_closed_) {
            return std::nullopt;
        }
        entries_.push_back({++last_id_, taken, std::move(pin), os::this_thread(), now});
        return last_id_;
    }

    /// Publishes by `finish(claim)`, unless the log has been closed meanwhile: then false, and nothing is written.
    template <class Finish>
    [[nodiscard]] bool settle(id which, const Finish& finish) {
        const std::scoped_lock guard{mutex_};
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            if (entries_[i].number == which) {
                const claim taken = entries_[i].taken;
                if (!is_closed_) {
                    finish(taken);
                }
                erase_at(entries_, i);
                return !is_closed_;
            }
        }
        return false;
    }

    /// True when the calling thread holds one in front of `end`: then it would wait for itself.
    [[nodiscard]] bool held_here_before(offset end) const {
        const std::scoped_lock guard{mutex_};
        for (const auto& open : entries_) {
            if (open.owner == os::this_thread() && open.taken.first < end) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] std::optional<info> oldest() const {
        const std::scoped_lock guard{mutex_};
        if (entries_.empty()) {
            return std::nullopt;
        }
        return info{entries_.front().taken.first, entries_.front().since};
    }

    /// The log is closing: each open claim becomes a filler, by `give_up(claim)`, and none is settled any more.
    template <class GiveUp>
    void close(const GiveUp& give_up) {
        const std::scoped_lock guard{mutex_};
        is_closed_ = true;
        for (const auto& open : entries_) {
            give_up(open.taken);  // its owner may still write behind the header, where a filler has nothing
        }
    }

    /// Whatever their owners still write does not reach the files from here on.
    ///
    /// Requires  `close`, and that nobody else writes to these segments.
    void detach() {
        const std::scoped_lock guard{mutex_};
        for (const auto& open : entries_) {
            static_cast<void>(open.pin->log().detach());  // fails only for want of memory for one kernel object
        }
    }

private:
    struct entry {
        id number;
        claim taken;
        segment_pin pin;  // the owner writes there, even after the log has been closed
        const void* owner;
        std::chrono::nanoseconds since;
    };

    mutable std::mutex mutex_;    // guards everything below
    std::vector<entry> entries_;  // oldest first; a handful
    id last_id_ = 0;
    bool is_closed_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage
