/// \file brook/storage/bodies/durability.hpp
/// The functions that durability.hpp declares.
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
#include <brook/storage/durability.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE void durability::start(offset durable, segment* first_unsynced) noexcept {
    durable_.store(durable, std::memory_order_relaxed);
    synced_ = {first_unsynced, format::segment_header_size, first_unsynced->base};
}

BROOK_INLINE failure durability::wait(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline) {
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
        const bool has_moved = lead([&] { return sync_to(prefix_.advance(), manner::at_once); });
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

BROOK_INLINE bool durability::sync_sealed() {
    if (sync_failure() || syncing_.exchange(true, std::memory_order_acquire)) {
        return false;
    }
    return lead([&] {
        log_place published = prefix_.advance();  // not before this thread leads: it must not lie behind what is synced
        const bool is_due = published.home != synced_.home;
        if (is_due) {
            published.at = format::segment_header_size;
            published.next = published.home->base;
            static_cast<void>(sync_to(published, manner::in_pieces));
        }
        return is_due;
    });
}

BROOK_INLINE void durability::cut(offset end, segment& last) noexcept {
    if (durable_offset() > end) {
        durable_.store(end, std::memory_order_release);
    }
    if (synced_.home->base > last.base || (synced_.home == &last && synced_.next > end)) {
        synced_ = {&last, format::segment_header_size, last.base};
    }
    cuts_.fetch_add(1, std::memory_order_release);
}

BROOK_INLINE void durability::start_anew(segment& first) noexcept {
    durable_.store(first.base, std::memory_order_release);
    synced_ = {&first, format::segment_header_size, first.base};
    cuts_.fetch_add(1, std::memory_order_release);
}

BROOK_INLINE void durability::give_up(failure why) {
    const std::scoped_lock guard{failure_mutex_};
    if (!failure_) {  // the first one is why
        failure_ = std::move(why);
    }
}

BROOK_INLINE void durability::distrust(segment& home) noexcept {
    if (synced_.next > home.base) {
        synced_ = {&home, format::segment_header_size, home.base};
    }
}

BROOK_INLINE log_place durability::synced_place() {
    if (syncing_.exchange(true, std::memory_order_acquire)) {
        return {};
    }
    return lead([&] { return synced_; });
}

BROOK_INLINE failure durability::sync_failure() const {
    const std::scoped_lock guard{failure_mutex_};
    return failure_;
}

BROOK_INLINE failure durability::was_cut(offset end) const {
    return {errc::illegal_state, files_.name().text() + ": the log was cut before it was on the disk up to offset " + std::to_string(end) +
                                     "; the record is perhaps not there any more"};
}

BROOK_INLINE bool durability::sync_to(const log_place& place, manner how) {
    if (sync_failure() || (place.next <= durable_offset() && place.home == synced_.home)) {
        return false;
    }
    const auto is_awaited = [&] { return waiting_.load(std::memory_order_relaxed) > 0; };
    const auto sync = [&](mapped_segment& memory) { return how == manner::in_pieces ? memory.sync_in_pieces(is_awaited) : memory.sync(); };
    for (segment* home = synced_.home;; home = home->next.load(std::memory_order_acquire)) {
        const bool is_last = home == place.home;
        if (is_last && place.at == format::segment_header_size) {
            break;  // nothing of it is wanted yet
        }
        if (const segment_pin pin = home->pin(); pin && !home->is_synced.load(std::memory_order_acquire)) {
            if (const auto code = sync(*pin)) {
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

BROOK_INLINE void durability::write_evidence(offset durable) {
    claim taken;
    if (appends_.take_for_mark(format::frame_header_size, taken)) {
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(format::frame_header_size);
        header.attributes = format::attributes_of(format::frame_kind::evidence);
        header.base_timestamp = durable;
        appends_.publish(taken, header);
    }
}

BROOK_INLINE void durability::fail(std::error_code code, const std::string& path) {
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

BROOK_INLINE failure durability::await_publication(offset end, std::uint32_t cuts, std::optional<std::chrono::nanoseconds> deadline) {
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

BROOK_INLINE std::optional<std::chrono::nanoseconds> durability::time_left(std::optional<std::chrono::nanoseconds> deadline) const {
    return deadline ? std::optional{*deadline - files_.platform().monotonic()} : std::nullopt;
}

BROOK_INLINE failure durability::timed_out(offset end) const {
    return {errc::timed_out, files_.name().text() + ": not on the disk up to offset " + std::to_string(end) +
                                 " in time; the record is appended, and may yet get there"};
}

BROOK_INLINE failure durability::closed() const {
    failure why = appends_.refusal();
    return why.code == errc::closed ? failure{errc::closed, files_.name().text() + ": closed before this record was on the disk; whether it is shows at the next open"}
                                    : std::move(why);
}

}  // namespace brook::inline BROOK_ABI::storage
