/// \file brook/storage/durability.hpp
/// Getting records onto the disk: many waiting producers, one sync.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Knows how far power loss cannot reach, and moves that line.
///
/// Group commit without a thread for it: the first to wait syncs the whole published prefix and answers for all who
/// wait for a part of it; who comes meanwhile waits for the next round.
///
/// A sync that fails is final. The pages that could not be written are clean now, and another sync would say success
/// over lost data (fsyncgate); so the log takes no more appends, and the durable offset stays where it is. The segment says so of itself, and
/// goes on in a new file when the log is opened again (recovery.hpp).
///
/// Threads   shared.
/// Cost      one fdatasync per round.
class durability {
public:
    durability(segment_directory& files, appender& appends, published_prefix& prefix, event_count& events)
        : files_{files}, appends_{appends}, prefix_{prefix}, events_{events} {}

    /// Requires  everything below `durable` is on the disk, and every segment before `first_unsynced` wholly.
    void start(offset durable, segment* first_unsynced) noexcept;

    /// Everything below it is on the disk.
    [[nodiscard]] offset durable_offset() const noexcept { return durable_.load(std::memory_order_acquire); }

    /// How often the log has been cut. To be read before the end that is waited for: what is cut in between is not waited for.
    [[nodiscard]] std::uint32_t cuts() const noexcept { return cuts_.load(std::memory_order_acquire); }

    /// Waits until everything below `end` is on the disk, syncing if nobody else does. `cuts`: as they were when offsets below `end` had
    /// been claimed.
    ///
    /// Requires  offsets below `end` have been claimed, and not by a claim that this thread still holds.
    /// Errors    partition_failed, closed; illegal_state once the log has been cut; timed_out at `deadline` on the monotonic clock, except
    ///           for the thread that syncs.
    [[nodiscard]] failure wait(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline = std::nullopt);

    /// Upkeep: syncs what has been sealed and published whole, leaves the newest segment alone. In pieces as long as nobody waits for
    /// the round to end.
    ///
    /// Requires  that no mapping has been detached, nor is meanwhile.
    /// Returns   true when something was synced; false when nothing was due or another thread is at it.
    bool sync_sealed();

    /// Does something while nobody syncs, nor says how far the log is on the disk.
    template <class Work>
    void alone(const Work& work) {
        for (;;) {
            const std::uint32_t round = round_.load(std::memory_order_acquire);
            if (!syncing_.exchange(true, std::memory_order_acquire)) {
                lead(work);
                return;
            }
            files_.platform().wait(round_, round, std::nullopt);
        }
    }

    /// The log ends at `end` from now on, in `last`, and all of it from there on is on the disk: that nothing is. Who waits for what
    /// has been cut is told.
    ///
    /// Requires  that nobody else leads: `alone`.
    void cut(offset end, segment& last) noexcept;

    /// The log is empty, and begins with this segment.
    void start_anew(segment& first) noexcept;

    /// Somebody else's sync has failed, or a cut has not come to its end: what is on the disk the next opening finds out, and nothing is synced any more.
    ///
    /// Requires  that nobody else leads: `alone`.
    void give_up(failure why);

    /// Nor is it known any more whether a segment in front is there: recovery begins with it.
    ///
    /// Requires  that nobody else leads: `alone`.
    void distrust(segment& home) noexcept;

    /// Where recovery may begin: everything before it is on the disk. No place (a null home) while a round is under way.
    [[nodiscard]] log_place synced_place();

    /// Why a sync failed, if one did.
    [[nodiscard]] failure sync_failure() const;

    /// What to say to who waits for what has been cut.
    [[nodiscard]] failure was_cut(offset end) const;

private:
    /// Counts a thread among those that wait, as long as it does.
    class presence {
    public:
        explicit presence(std::atomic<std::int32_t>& waiting) noexcept : waiting_{waiting} { waiting_.fetch_add(1, std::memory_order_relaxed); }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;
        ~presence() { waiting_.fetch_sub(1, std::memory_order_relaxed); }
        [[nodiscard]] bool is_in_company() const noexcept { return waiting_.load(std::memory_order_relaxed) > 1; }

    private:
        std::atomic<std::int32_t>& waiting_;
    };

    /// What this thread does while `syncing_` is its own. Others wait for the end of it, however it ends.
    template <class Work>
    auto lead(const Work& work) -> decltype(work()) {
        struct round_end {
            durability& of;
            ~round_end() {
                of.syncing_.store(false, std::memory_order_release);
                of.round_.fetch_add(1, std::memory_order_release);
                of.files_.platform().wake_all(of.round_);
            }
        };
        const round_end at_the_end{*this};
        return work();
    }

    enum class manner {
        at_once,
        in_pieces,  ///< as long as nobody waits for the round to end
    };

    /// Syncs every segment up to the place. Only for the thread that leads the round.
    [[nodiscard]] bool sync_to(const log_place& place, manner how);

    /// Says in the log itself how far it was on the disk, for a recovery that finds the checkpoint behind or gone.
    /// Not needed for anything that was promised: without room for it the log goes on.
    void write_evidence(offset durable);

    void fail(std::error_code code, const std::string& path);

    /// Somebody claimed before us and has not published yet.
    [[nodiscard]] failure await_publication(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline);

    [[nodiscard]] std::optional<std::chrono::nanoseconds> time_left(std::optional<std::chrono::nanoseconds> deadline) const;

    [[nodiscard]] failure timed_out(offset end) const;

    [[nodiscard]] failure closed() const;

    segment_directory& files_;
    appender& appends_;
    published_prefix& prefix_;
    event_count& events_;
    log_place synced_;  // belongs to whoever leads the round, as the next
    bool names_are_synced_ = false;  // of the files that were there at the start: who made them may have died before that
    alignas(cache_line) std::atomic<offset> durable_{0};
    std::atomic<std::uint32_t> round_{0};  // grows at the end of each round; waiters sleep on it
    std::atomic<std::uint32_t> cuts_{0};    // grows when the log is cut
    std::atomic<std::int32_t> waiting_{0};  // threads in `wait`
    std::atomic<bool> syncing_{false};     // some thread leads a round
    mutable std::mutex failure_mutex_;     // guards the failure
    failure failure_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/durability.hpp>
#endif
