/// \file brook/storage/bodies/appender.hpp
/// The functions that appender.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE appender::appender(segment_directory& files, segment_chain& segments, event_count& events, event_count& upkeep,
                                std::uint32_t segment_bytes, log_room room)
    : files_{files},
      segments_{segments},
      events_{events},
      upkeep_{upkeep},
      segment_bytes_{segment_bytes},
      room_{room},
      hot_memory_{files.platform().allocate_wiped_on_fork(sizeof(hot_words))},
      hot_{new (hot_memory_) hot_words} {
    hot_->sleepers_fence = files.platform().has_thread_fence();
}

BROOK_INLINE bool appender::take_for_mark(std::uint32_t length, claim& taken) noexcept {
    segment* const home = hot_->current.load(std::memory_order_acquire);
    if (home == nullptr) {
        return false;
    }
    tail_word tail{home->tail.load(std::memory_order_relaxed)};
    while (tail.records() > 0 && std::uint64_t{tail.end_or_sealed()} + length <= home->ready.load(std::memory_order_acquire)) {
        std::uint64_t expected = tail.raw();
        if (home->tail.compare_exchange_weak(expected, tail.plus(0, length).raw(), std::memory_order_relaxed)) {
            mark(*home, tail, length, taken);
            return true;
        }
        tail = tail_word{expected};
    }
    return false;
}

BROOK_INLINE failure appender::roll(bool is_to_free) {
    segment* const home = hot_->current.load(std::memory_order_acquire);
    failure why;
    if (home == nullptr) {
        return refusal();
    }
    if (tail_word{home->tail.load(std::memory_order_relaxed)}.records() == 0) {
        return {};  // the next one would begin with the same offset
    }
    seal_tail(*home);
    static_cast<void>(pass(*home, why, is_to_free));
    return why;
}

BROOK_INLINE void appender::stop(append_state state, failure reason) {
    {
        const std::scoped_lock guard{roll_mutex_};
        if (state_ == append_state::closed) {
            return;
        }
        state_ = state;
        reason_ = std::move(reason);
        hot_->current.store(nullptr, std::memory_order_release);
        seal_tail(*segments_.last());
        const std::scoped_lock no_growth{growth_};  // who was writing zeros ahead is through, and whoever comes later sees the seal
    }
    events_.notify();
}

BROOK_INLINE failure appender::pause() {
    const std::scoped_lock guard{roll_mutex_};
    if (state_ == append_state::open) {
        reason_ = {errc::illegal_state, files_.name().text() + ": is being cut"};
        hot_->current.store(nullptr, std::memory_order_release);
        return {};
    }
    return reason_;
}

BROOK_INLINE bool appender::resume(tail_word end) {
    const std::scoped_lock guard{roll_mutex_};
    segment& home = *segments_.last();
    if (state_ != append_state::open) {
        home.tail.store(end.sealed().raw(), std::memory_order_release);
        return false;
    }
    {
        const std::scoped_lock no_growth{growth_};
        home.allocated = align_up(end.end(), page_size);
        home.ready.store(0, std::memory_order_relaxed);  // the first append takes what it needs
        home.tail.store(end.raw(), std::memory_order_release);
    }
    reason_ = {};
    hot_->current.store(&home, std::memory_order_release);
    return true;
}

BROOK_INLINE failure appender::refusal() const {
    if (is_forked()) {  // without the lock, which some other thread of the parent may have held
        return {errc::forked, files_.name().text() + ": its broker belongs to the parent of this process; open a broker of your own after fork()"};
    }
    const std::scoped_lock guard{roll_mutex_};
    return reason_;
}

BROOK_INLINE failure appender::prepare(position target, std::uint32_t step) {
    segment* const home = hot_->current.load(std::memory_order_acquire);
    failure why;
    while (home != nullptr) {
        const std::scoped_lock guard{growth_};
        const position end = target < home->limit ? target : home->limit;
        if (home->ready.load(std::memory_order_relaxed) >= end || tail_word{home->tail.load(std::memory_order_acquire)}.is_sealed()) {
            break;
        }
        const std::uint64_t wanted = std::uint64_t{home->allocated} + step;
        const segment_pin pin = home->pin();
        if (!pin || !extend(*home, *pin, wanted, why)) {
            break;
        }
    }
    return why;
}

BROOK_INLINE bool appender::wants_spare() const {
    const std::scoped_lock guard{roll_mutex_};
    return state_ == append_state::open && !spare_ && unnamed_ == nullptr;
}

BROOK_INLINE failure appender::prepare_spare() {
    failure why;
    if (failure unnamed = name_taken_spare()) {
        return unnamed;
    }
    segment_pin pin = files_.create(std::nullopt, segment_bytes_, first_window, why);
    if (!pin) {
        return why;
    }
    auto made = begin(0, pin);
    while (made->ready.load(std::memory_order_relaxed) < made->limit) {
        if (!extend(*made, *pin, std::uint64_t{made->allocated} + mib, why)) {
            files_.discard_spare();
            return why;
        }
    }
    if (room_ == log_room::for_each_sync) {  // else the first record in it would wait for all of its zeros
        if (const auto code = pin->log_file().sync()) {
            why = {code, files_.name().text() + ": cannot sync " + pin->path()};
            files_.discard_spare();
            return why;
        }
    }
    const std::scoped_lock guard{roll_mutex_};
    if (state_ != append_state::open) {
        files_.discard_spare();
        return {};
    }
    spare_ = std::move(made);
    return {};
}

BROOK_INLINE void appender::adopt_spare(segment_pin pin) {
    if (room_ != log_room::for_each_sync) {
        static_cast<void>(pin->log().populate(0, pin->readable()));
    }
    auto made = begin(0, std::move(pin));
    const position last = made->allocated - format::frame_header_size;
    made->ready.store(last < made->limit ? last : made->limit, std::memory_order_relaxed);
    const std::scoped_lock guard{roll_mutex_};
    if (state_ != append_state::open || spare_ || unnamed_ != nullptr) {
        files_.discard_spare();
        return;
    }
    spare_ = std::move(made);
}

BROOK_INLINE failure appender::name_taken_spare() {
    const std::scoped_lock guard{roll_mutex_};
    return name_spare_locked();
}

BROOK_INLINE void appender::discard_spare() {
    const std::scoped_lock guard{roll_mutex_};
    if (spare_) {
        spare_.reset();
        files_.discard_spare();
    }
}

bool appender::take_slowly(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why) {
    if (length > largest_frame()) {
        why = {errc::record_too_large, files_.name().text() + ": " + std::to_string(length) + " bytes with their frame, and a segment holds " +
                                           std::to_string(largest_frame()) + "; raise the topic's segment_bytes or send less at once"};
        return false;
    }
    for (;;) {
        segment* const home = hot_->current.load(std::memory_order_acquire);
        if (home == nullptr) {
            why = refusal();
            return false;
        }
        tail_word tail{home->tail.load(std::memory_order_relaxed)};
        const std::uint64_t end = std::uint64_t{tail.end_or_sealed()} + length;
        std::uint64_t expected = tail.raw();
        if (tail.is_sealed()) {
            if (!pass(*home, why)) {
                return false;
            }
        } else if (!is_counted(tail, offsets)) {
            home->tail.compare_exchange_strong(expected, tail.sealed().raw(), std::memory_order_relaxed);
        } else if (end <= home->ready.load(std::memory_order_acquire)) {
            if (home->tail.compare_exchange_strong(expected, tail.plus(offsets, length).raw(), std::memory_order_relaxed)) {
                mark(*home, tail, length, taken);
                return true;
            }
        } else if (end <= home->limit) {
            if (!grow(*home, static_cast<position>(end), why)) {
                return false;
            }
        } else if (tail.records() > 0) {
            home->tail.compare_exchange_strong(expected, tail.sealed().raw(), std::memory_order_relaxed);
        } else {
            why = {errc::record_too_large, files_.name().text() + ": " + std::to_string(length) + " bytes with their frame, and the active segment, " +
                                               "made when segment_bytes was smaller, holds " + std::to_string(home->limit - tail.end()) +
                                               "; it goes on in a larger one behind the first record that fits"};
            return false;
        }
    }
}

BROOK_INLINE bool appender::grow(segment& home, position end, failure& why) {
    for (;;) {
        const os::turn_lock::turn now = growth_.now();
        if (home.ready.load(std::memory_order_acquire) >= end) {
            return true;  // somebody else has
        }
        if (growth_.try_lock(now)) {
            break;
        }
        growth_.wait_for_end_of(now);  // of upkeep's, perhaps, which takes a turn for each MiB up to the segment's end
    }
    const std::scoped_lock guard{std::adopt_lock, growth_};
    if (tail_word{home.tail.load(std::memory_order_acquire)}.is_sealed()) {
        return true;  // nobody claims there any more, and after a close the bytes may be another broker's: the caller looks again
    }
    const std::uint32_t longest = room_ == log_room::for_each_sync ? 256 * kib : mib;
    const std::uint32_t step = home.allocated < first_window ? first_window : home.allocated > longest ? longest : home.allocated;
    const std::uint64_t least = std::uint64_t{end} + format::frame_header_size;
    const std::uint64_t doubled = std::uint64_t{home.allocated} + step;
    const segment_pin pin = home.pin();
    if (!pin) {
        return true;  // sealed, synced and let go meanwhile: the caller looks again
    }
    upkeep_.notify();  // the writer is at the edge of what was prepared
    return extend(home, *pin, least > doubled ? least : doubled, why);
}

BROOK_INLINE bool appender::extend(segment& home, mapped_segment& memory, std::uint64_t wanted, failure& why) {
    const position begin = home.allocated;
    const std::uint64_t capacity = memory.capacity();
    const std::uint64_t rounded = align_up(wanted, std::uint64_t{page_size});
    const auto end = static_cast<position>(rounded < capacity ? rounded : capacity);
    if (end > begin || memory.readable() < end) {
        // From the page before: the space of a page that the log ends in may have been given back when it was closed,
        // and a file that was cut short may end in it.
        const position from = begin >= page_size ? begin - page_size : 0;
        if (end > begin && !files_.admits(end - begin, memory.path(), why)) {
            return false;
        }
        if (const auto code = memory.log_file().allocate(from, end - from)) {
            why = {code, files_.name().text() + ": cannot take disk space for " + memory.path() + " up to byte " + std::to_string(end)};
            return false;
        }
        if (end > begin) {
            if (!write_zeros(memory, begin, end, why)) {
                return false;
            }
            if (room_ != log_room::for_each_sync) {
                static_cast<void>(memory.log().populate(begin, end - begin));  // a kernel that cannot: the first stores fault
            }
            home.allocated = end;
        }
    }
    if (memory.readable() < end) {
        memory.set_readable(end);
    }
    if (memory.search_end() < end) {
        memory.set_search_end(end);
    }
    const position last = home.allocated - format::frame_header_size;
    home.ready.store(last < home.limit ? last : home.limit, std::memory_order_release);
    return true;
}

BROOK_INLINE bool appender::write_zeros(mapped_segment& memory, position begin, position end, failure& why) {
    static std::byte zeros[mib];  // not const: takes no room in the program's file that way
    const std::uint32_t piece = room_ == log_room::for_speed ? mib : page_size;
    for (position at = begin; at < end;) {
        const std::uint32_t size = end - at < piece ? end - at : piece;
        if (const auto code = memory.log_file().write_at(at, bytes{zeros, size})) {
            why = {code, files_.name().text() + ": cannot write " + memory.path() + " ahead at position " + std::to_string(at)};
            return false;
        }
        at += size;
    }
    return true;
}

BROOK_INLINE bool appender::pass(segment& home, failure& why, bool is_to_free) {
    const std::scoped_lock guard{roll_mutex_};
    if (hot_->current.load(std::memory_order_acquire) != &home) {
        return true;
    }
    const tail_word tail{home.tail.load(std::memory_order_acquire)};
    const offset base = home.base + static_cast<offset>(tail.records());
    if (base > last_base) {
        why = {errc::illegal_state, files_.name().text() + ": has no more offsets"};
        return false;
    }
    if (!write_seal(home, tail.end(), base, why)) {
        return false;
    }
    segment* next = nullptr;
    if (spare_) {
        segment_directory::set_base(*spare_->pin(), base);
        spare_->base = base;
        next = segments_.append(std::move(spare_));
        unnamed_ = next;
    } else {
        if (why = name_spare_locked(); why) {
            return false;
        }
        segment_pin pin = files_.create(base, segment_bytes_, first_window, why, is_to_free);
        if (!pin) {
            upkeep_.notify();  // perhaps something may go
            return false;
        }
        next = segments_.append(begin(base, std::move(pin)));
    }
    home.next.store(next, std::memory_order_release);           // readers go on
    hot_->current.store(next, std::memory_order_release);       // writers go on
    wake();
    upkeep_.notify();
    return true;
}

BROOK_INLINE bool appender::write_seal(segment& home, position at, offset end, failure& why) {
    const segment_pin pin = home.pin();
    if (pin->word(at).is_published()) {
        return true;  // an earlier attempt found no room for the next segment
    }
    {
        const std::scoped_lock guard{growth_};
        const std::uint64_t wanted = std::uint64_t{at} + format::frame_header_size;
        if ((wanted > home.allocated || wanted > pin->readable()) && !extend(home, *pin, wanted, why)) {
            return false;
        }
    }
    claim seal;
    mark(home, tail_word{static_cast<std::uint64_t>(end - home.base), at}, format::frame_header_size, seal);
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(format::frame_header_size);
    header.attributes = format::attributes_of(format::frame_kind::seal);
    publish(seal, header);
    return true;
}

BROOK_INLINE failure appender::name_spare_locked() {
    if (unnamed_ == nullptr) {
        return {};
    }
    failure why = files_.name_spare(unnamed_->base);
    if (!why) {
        unnamed_ = nullptr;
    }
    return why;
}

BROOK_INLINE std::unique_ptr<segment> appender::begin(offset base, segment_pin pin) {
    pin->written_from.store(format::segment_header_size, std::memory_order_relaxed);
    const position allocated = pin->readable();
    auto made = std::make_unique<segment>(base, std::move(pin), tail_word{0, format::segment_header_size});
    made->allocated = allocated;
    made->ready.store(allocated - format::frame_header_size, std::memory_order_relaxed);
    return made;
}

}  // namespace brook::inline BROOK_ABI::storage
