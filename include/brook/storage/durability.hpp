/// \file brook/storage/durability.hpp
/// Getting records onto the disk: many waiting producers, one sync.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
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
    void start(offset durable, segment* first_unsynced) noexcept {
        durable_.store(durable, std::memory_order_relaxed);
        synced_ = {first_unsynced, format::segment_header_size, first_unsynced->base};
    }

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
    [[nodiscard]] failure wait(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline = std::nullopt) {
        os::platform& platform = files_.platform();
        const presence here{waiting_};
        while (durable_offset() < end) {
            if (cuts_.load(std::memory_order_acquire) != cuts) {
                return was_cut(end);
            }
            const std::uint32_t round = round_.load(std::memory_order_acquire);
            if (durable_offset() >= end) {
                break;
            }
            if (syncing_.exchange(true, std::memory_order_acquire)) {
                const auto left = time_left(deadline);
                if (left && left->count() <= 0) {
                    return timed_out(end);
                }
                platform.wait(round_, round, left);
                continue;
            }
            if (here.is_in_company()) {
                platform.yield();  // let those who were answered by the last round append what this one will carry
            }
            const bool has_moved = lead([&] { return sync_to(prefix_.advance()); });
            if (failure why = sync_failure()) {
                return why;
            }
            if (!has_moved && durable_offset() < end) {
                if (failure why = await_publication(end, cuts, deadline)) {
                    return why;
                }
                if (appends_.state() == append_state::closed) {
                    return closed();
                }
            }
        }
        return {};
    }

    /// Upkeep: syncs what has been sealed and published whole, leaves the newest segment alone.
    /// Returns   true when something was synced; false when nothing was due or another thread is at it.
    bool sync_sealed() {
        if (sync_failure() || syncing_.exchange(true, std::memory_order_acquire)) {
            return false;
        }
        return lead([&] {
            log_place published = prefix_.advance();  // not before this thread leads: it must not lie behind what is synced
            const bool is_due = published.home != synced_.home;
            if (is_due) {
                published.at = format::segment_header_size;
                published.next = published.home->base;
                static_cast<void>(sync_to(published));
            }
            return is_due;
        });
    }

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
    void cut(offset end, segment& last) noexcept {
        if (durable_offset() > end) {
            durable_.store(end, std::memory_order_release);
        }
        if (synced_.home->base > last.base || (synced_.home == &last && synced_.next > end)) {
            synced_ = {&last, format::segment_header_size, last.base};
        }
        cuts_.fetch_add(1, std::memory_order_release);
    }

    /// The log is empty, and begins with this segment.
    void start_anew(segment& first) noexcept {
        durable_.store(first.base, std::memory_order_release);
        synced_ = {&first, format::segment_header_size, first.base};
        cuts_.fetch_add(1, std::memory_order_release);
    }

    /// Somebody else's sync has failed, or a cut has not come to its end: what is on the disk the next opening finds out, and nothing is synced any more.
    ///
    /// Requires  that nobody else leads: `alone`.
    void give_up(failure why) {
        const std::scoped_lock guard{failure_mutex_};
        if (!failure_) {  // the first one is why
            failure_ = std::move(why);
        }
    }

    /// Nor is it known any more whether a segment in front is there: recovery begins with it.
    ///
    /// Requires  that nobody else leads: `alone`.
    void distrust(segment& home) noexcept {
        if (synced_.next > home.base) {
            synced_ = {&home, format::segment_header_size, home.base};
        }
    }

    /// Where recovery may begin: everything before it is on the disk. No place (a null home) while a round is under way.
    [[nodiscard]] log_place synced_place() {
        if (syncing_.exchange(true, std::memory_order_acquire)) {
            return {};
        }
        return lead([&] { return synced_; });
    }

    /// Why a sync failed, if one did.
    [[nodiscard]] failure sync_failure() const {
        const std::scoped_lock guard{failure_mutex_};
        return failure_;
    }

    /// What to say to who waits for what has been cut.
    [[nodiscard]] failure was_cut(offset end) const {
        return {errc::illegal_state, files_.name().text() + ": the log was cut before it was on the disk up to offset " + std::to_string(end) +
                                         "; the record is perhaps not there any more"};
    }

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

    /// Syncs every segment up to the place. Only for the thread that leads the round.
    [[nodiscard]] bool sync_to(const log_place& place) {
        if (sync_failure() || (place.next <= durable_offset() && place.home == synced_.home)) {
            return false;
        }
        for (segment* home = synced_.home;; home = home->next.load(std::memory_order_acquire)) {
            const bool is_last = home == place.home;
            if (is_last && place.at == format::segment_header_size) {
                break;  // nothing of it is wanted yet
            }
            if (const segment_pin pin = home->pin(); pin && !home->is_synced.load(std::memory_order_acquire)) {
                if (const auto code = pin->sync()) {
                    fail(code, pin->path());
                    return false;
                }
            } else if (!home->is_synced.load(std::memory_order_acquire)) {
                return false;  // closed, and let go of
            }
            if (is_last) {
                break;
            }
            home->is_synced.store(true, std::memory_order_release);
        }
        if (!names_are_synced_) {
            if (const auto code = files_.platform().sync_directory(files_.path())) {
                fail(code, files_.path());
                return false;
            }
            names_are_synced_ = true;
        }
        synced_ = place;
        const bool has_records = place.next > durable_offset();
        if (has_records) {
            durable_.store(place.next, std::memory_order_release);
            write_evidence(place.next);
        }
        return has_records;
    }

    /// Says in the log itself how far it was on the disk, for a recovery that finds the checkpoint behind or gone.
    /// Not needed for anything that was promised: without room for it the log goes on.
    void write_evidence(offset durable) {
        claim taken;
        if (appends_.take_for_mark(format::frame_header_size, taken)) {
            format::frame_header header{};
            header.size = static_cast<std::int32_t>(format::frame_header_size);
            header.attributes = format::attributes_of(format::frame_kind::evidence);
            header.base_timestamp = durable;
            appends_.publish(taken, header);
        }
    }

    void fail(std::error_code code, const std::string& path) {
        failure why{errc::partition_failed, {}};
        failure kept = why;
        try {
            why.text = files_.name().text() + ": sync of " + path + " failed (" + code.message() + "); what is above offset " +
                       std::to_string(durable_offset()) + " may be lost with the power; close the broker, see to the disk, open again";
            kept.text = why.text;
        } catch (const std::bad_alloc&) {
            // Then without the words. What has failed must not be tried again.
        }
        {
            const std::scoped_lock guard{failure_mutex_};
            failure_ = std::move(kept);
        }
        appends_.stop(append_state::failed, std::move(why));
    }

    /// Somebody claimed before us and has not published yet.
    [[nodiscard]] failure await_publication(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline) {
        for (int attempt = 0;; ++attempt) {
            const bool may_sleep = attempt >= 64;
            const auto ticket = events_.prepare();
            if (may_sleep) {
                appends_.expect_waiter();
                events_.fence();
            }
            if (prefix_.advance().next >= end) {
                return {};
            }
            if (failure why = sync_failure()) {
                return why;  // whoever holds the claim may hold it for long
            }
            if (cuts_.load(std::memory_order_acquire) != cuts) {
                return was_cut(end);
            }
            if (appends_.state() == append_state::closed) {
                return closed();
            }
            if (!may_sleep) {
                files_.platform().yield();
                continue;
            }
            const auto left = time_left(deadline);
            if (left && left->count() <= 0) {
                return timed_out(end);
            }
            events_.wait(ticket, left);
        }
    }

    [[nodiscard]] std::optional<std::chrono::nanoseconds> time_left(std::optional<std::chrono::nanoseconds> deadline) const {
        return deadline ? std::optional{*deadline - files_.platform().monotonic()} : std::nullopt;
    }

    [[nodiscard]] failure timed_out(offset end) const {
        return {errc::timed_out, files_.name().text() + ": not on the disk up to offset " + std::to_string(end) +
                                     " in time; the record is appended, and may yet get there"};
    }

    [[nodiscard]] failure closed() const {
        failure why = appends_.refusal();
        return why.code == errc::closed ? failure{errc::closed, files_.name().text() + ": closed before this record was on the disk; whether it is shows at the next open"}
                                        : std::move(why);
    }

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
