/// \file brook/storage/appender.hpp
/// The append path: claim, mark, publish; growth, seal and roll beside it.
/// Floor 2, storage. The protocol is told in brook/storage/README.md.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A range of bytes and of offsets that belongs to one writer until it publishes it. Every claim must be published:
/// until then readers stop in front of it.
struct claim {
    segment* home = nullptr;
    std::byte* data = nullptr;    ///< `length` bytes, zero but for the mark in the first eight
    position at = 0;
    std::uint32_t length = 0;     ///< a multiple of 8
    offset first = 0;
};

/// Why a log takes no appends.
enum class append_state : std::uint8_t { open, closed, failed };

/// How a segment gets its room, ahead of those who append to it: disk space that zeros are written to, since what is stored in space that
/// was never written takes a commit of the file system's journal to be on the disk.
enum class log_room : std::uint8_t {
    for_speed,     ///< zeros in large pieces, whose pages are cheap to fault in, and all of them mapped
    for_upkeep,    ///< upkeep syncs it: in pages, since one record makes all of a large piece dirty; and all of them mapped
    for_each_sync  ///< whoever appends waits for the disk: in pages, a quarter MiB at a time, and not mapped, which makes dirty again what was just
                   ///< written, so that the zeros go to the disk twice; upkeep makes no more room while a sync would have to wait for it
};

/// Where a partition's records are appended, by any number of threads at once.
///
/// A claim is one compare-exchange on the current segment's tail. The first store into the claimed range is the mark,
/// the last is the publication; in between the writer is alone there. Killed anywhere, recovery sees which it was.
///
/// Threads   shared.
/// Cost      claim and publish: no lock, no allocation, no system call, as long as upkeep is ahead; else, and always where
///           each append waits for the disk (log_room::for_each_sync), the writer takes disk space itself (a few 100 us a
///           MiB), and a roll without a spare makes a file (some ms).
class appender {
public:
    /// `events` wakes readers, `upkeep` whoever prepares.
    appender(segment_directory& files, segment_chain& segments, event_count& events, event_count& upkeep,
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

    appender(const appender&) = delete;
    appender& operator=(const appender&) = delete;
    ~appender() { files_.platform().release_wiped_on_fork(hot_memory_, sizeof(hot_words)); }

    /// Opens for appends at the end of the last segment.
    void start() noexcept { hot_->current.store(segments_.last(), std::memory_order_release); }

    /// Largest frame, in bytes, that a segment of this log can hold.
    [[nodiscard]] std::uint32_t largest_frame() const noexcept {
        return segment_bytes_ - format::segment_header_size - format::frame_header_size;
    }

    /// Takes `offsets` offsets and `length` bytes, if that needs nothing but a compare-exchange. On success the mark
    /// stands, and the claim must be published.
    ///
    /// Requires  length is a multiple of 8, at least a frame header; offsets < 2^24.
    [[nodiscard]] bool try_take(std::uint32_t length, std::uint32_t offsets, claim& taken) noexcept {
        segment* const home = hot_->current.load(std::memory_order_acquire);
        if (home == nullptr) [[unlikely]] {
            return false;
        }
        tail_word tail{home->tail.load(std::memory_order_relaxed)};
        const position ready = home->ready.load(std::memory_order_acquire);
        while (std::uint64_t{tail.end_or_sealed()} + length <= ready && is_counted(tail, offsets)) {
            std::uint64_t expected = tail.raw();
            if (home->tail.compare_exchange_weak(expected, tail.plus(offsets, length).raw(), std::memory_order_relaxed)) [[likely]] {
                mark(*home, tail, length, taken);
                write_ahead(taken.data, length);
                return true;
            }
            tail = tail_word{expected};
        }
        return false;
    }

    /// The same, taking disk space or a new segment where that is needed.
    ///
    /// Errors    false, and `why`: closed, partition_failed, forked, record_too_large, or what the disk said. Nothing
    ///           has changed then; after a full disk the same log goes on once there is room.
    [[nodiscard]] bool take(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why) {
        return try_take(length, offsets, taken) || take_slowly(length, offsets, taken, why);
    }

    /// Finishes a frame whose body, extensions included, is in place: fills in its header, its index slots and its
    /// checksum, and shows it. The claim's segment may not be touched afterwards.
    ///
    /// Requires  word.size() <= claim.length, and the offsets that the frame takes are the ones that were claimed.
    /// Returns   the checksum.
    [[gnu::always_inline]] std::uint64_t publish(const claim& taken, format::frame_word word, std::int64_t base_timestamp, std::uint32_t leader_epoch,
                                        std::uint32_t count) noexcept {
        segment& home = *taken.home;
        const std::uint64_t checksum = format::body_hash(word, taken.data) ^
                                       format::binding(home.seed, taken.at, word, taken.first, base_timestamp, leader_epoch, count);
        format::store_behind_word(taken.data, checksum, taken.first, base_timestamp, leader_epoch, count);
        note_in_index(home, taken);
        show(taken, word);
        return checksum;
    }
    void publish(const claim& taken, const format::frame_header& header) noexcept {
        publish(taken, format::word_of(header), header.base_timestamp, header.leader_epoch, header.count);
    }

    /// The same for a frame that was made elsewhere: its checksum is the one that it has in wire form, and its body is not hashed again.
    void publish_copy(const claim& taken, const format::frame_header& header) noexcept {
        segment& home = *taken.home;
        const std::uint64_t checksum = format::rebound(format::wire_seed, format::wire_position, header, home.seed, taken.at, header);
        format::store_behind_word(taken.data, checksum, header.base_offset, header.base_timestamp, header.leader_epoch, header.count);
        note_in_index(home, taken);
        show(taken, format::word_of(header));
    }

    /// Gives a claim up: its bytes and offsets become a filler, which nobody is shown.
    void abandon(const claim& taken, std::uint32_t offsets, std::uint32_t leader_epoch) noexcept {
        format::frame_header header{};
        header.leader_epoch = leader_epoch;
        header.size = static_cast<std::int32_t>(taken.length);
        header.attributes = format::attributes_of(format::frame_kind::filler);
        header.count = offsets;
        publish(taken, header);
    }

    /// Takes bytes without an offset, for the log's own marks: where nothing has to be made ready for it, and behind a
    /// record, since a segment without one cannot be sealed (the next would begin with the same offset).
    [[nodiscard]] bool take_for_mark(std::uint32_t length, claim& taken) noexcept {
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

    /// Raises the flag that makes the next publication wake the sleepers; to be fenced before they look. See event_count.
    void expect_waiter() noexcept { hot_->waiters.store(1, std::memory_order_seq_cst); }

    void wake() noexcept {
        if (hot_->waiters.exchange(0, std::memory_order_seq_cst) != 0) {
            events_.notify();
        }
    }

    /// Seals the current segment and goes on in a new one; leaves a segment without records as it is.
    /// `is_to_free`: so that what is in it can be deleted: then no limit of the disk is asked about the next segment.
    [[nodiscard]] failure roll(bool is_to_free = false) {
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

    void wake_upkeep() { upkeep_.notify(); }

    /// Stops all appends: no claim succeeds after it. Claims that were taken before may still be published.
    void stop(append_state state, failure reason) {
        {
            const std::scoped_lock guard{roll_mutex_};
            if (state_ == append_state::closed) {
                return;
            }
            state_ = state;
            reason_ = std::move(reason);
            hot_->current.store(nullptr, std::memory_order_release);
            seal_tail(*segments_.last());
            const std::scoped_lock no_growth{growth_mutex_};  // who was writing zeros ahead is through, and whoever comes later sees the seal
        }
        events_.notify();
    }

    /// Stops all appends for a while: what was claimed has been published.
    [[nodiscard]] failure pause() {
        const std::scoped_lock guard{roll_mutex_};
        if (state_ == append_state::open) {
            reason_ = {errc::illegal_state, files_.name().text() + ": is being cut"};
            hot_->current.store(nullptr, std::memory_order_release);
            return {};
        }
        return reason_;
    }

    /// Goes on with the last segment, which ends at `end`. False: the log has been closed meanwhile, or has failed.
    [[nodiscard]] bool resume(tail_word end) {
        const std::scoped_lock guard{roll_mutex_};
        segment& home = *segments_.last();
        if (state_ != append_state::open) {
            home.tail.store(end.sealed().raw(), std::memory_order_release);
            return false;
        }
        {
            const std::scoped_lock no_growth{growth_mutex_};
            home.allocated = align_up(end.end(), page_size);
            home.ready.store(0, std::memory_order_relaxed);  // the first append takes what it needs
            home.tail.store(end.raw(), std::memory_order_release);
        }
        reason_ = {};
        hot_->current.store(&home, std::memory_order_release);
        return true;
    }

    /// True in a child of the process that opened the log.
    [[nodiscard]] bool is_forked() const noexcept { return hot_->lives_here.load(std::memory_order_relaxed) == 0; }

    /// Why there are no appends; success while there are.
    [[nodiscard]] failure refusal() const {
        if (is_forked()) {  // without the lock, which some other thread of the parent may have held
            return {errc::forked, files_.name().text() + ": its broker belongs to the parent of this process; open a broker of your own after fork()"};
        }
        const std::scoped_lock guard{roll_mutex_};
        return reason_;
    }

    [[nodiscard]] append_state state() const {
        const std::scoped_lock guard{roll_mutex_};
        return state_;
    }

    /// The claimed end of the last segment: where publication will end up once all writers are through.
    [[nodiscard]] tail_word claimed() const noexcept { return tail_word{segments_.last()->tail.load(std::memory_order_acquire)}; }

    // ---- preparation, by upkeep: so that the writer meets neither a full disk, nor a page fault, nor a missing file ----

    /// Makes the current segment ready up to `target`, in steps of at most `step` bytes, each under the growth lock.
    [[nodiscard]] failure prepare(position target, std::uint32_t step) {
        segment* const home = hot_->current.load(std::memory_order_acquire);
        failure why;
        while (home != nullptr) {
            const std::scoped_lock guard{growth_mutex_};
            const position end = target < home->limit ? target : home->limit;
            if (home->ready.load(std::memory_order_relaxed) >= end) {
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

    [[nodiscard]] bool wants_spare() const {
        const std::scoped_lock guard{roll_mutex_};
        return state_ == append_state::open && !spare_ && unnamed_ == nullptr;
    }

    /// Makes the next segment, whole, and keeps it for the next roll.
    [[nodiscard]] failure prepare_spare() {
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

    /// Keeps a spare that was made elsewhere, whole; lets go of it where there is one by now.
    void adopt_spare(segment_pin pin) {
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

    /// Renames a spare that a roll has taken. Until then it is called spare.log, and there can be no other.
    [[nodiscard]] failure name_taken_spare() {
        const std::scoped_lock guard{roll_mutex_};
        return name_spare_locked();
    }

    void discard_spare() {
        const std::scoped_lock guard{roll_mutex_};
        if (spare_) {
            spare_.reset();
            files_.discard_spare();
        }
    }

private:
    struct hot_words {
        alignas(cache_line) std::atomic<segment*> current{nullptr};  // null: no appends here (closed, failed, or a forked child)
        std::atomic<std::uint32_t> lives_here{1};                     // 0 in a forked child, as everything here
        bool sleepers_fence = false;                                  // who sleeps makes the barrier that publishers leave out
        alignas(cache_line) std::atomic<std::uint32_t> waiters{0};   // somebody sleeps until a frame is published
    };

    /// Most small frames cover the beginning of no slot.
    [[gnu::always_inline]] static void note_in_index(const segment& home, const claim& taken) noexcept {
        if ((taken.at - 1) / index_interval != (taken.at + taken.length - 1) / index_interval) {
            home.index->note(taken.at, taken.length, static_cast<std::uint32_t>(taken.first - home.base));
        }
    }

    /// Published last: who sees the size sees the frame. Then the flag, which must not be loaded earlier: see event_count.
    [[gnu::always_inline]] void show(const claim& taken, format::frame_word word) noexcept {
        const auto published = atomic_at<std::uint64_t>(taken.data);
        if (hot_->sleepers_fence) [[likely]] {
            published.store(word.raw(), std::memory_order_release);
            std::atomic_signal_fence(std::memory_order_seq_cst);
        } else {
            published.store(word.raw(), std::memory_order_seq_cst);
        }
        if (hot_->waiters.load(std::memory_order_seq_cst) != 0) [[unlikely]] {
            wake();
        }
    }

    /// Asks for memory that the next claims will get. A claim's compare-exchange waits until all stores in front of it have reached
    /// their lines: it waits less for lines that are there.
    ///
    /// Cost      an instruction or two a line of 64 B; lone records of 100 B take a sixth less time, of 1 KiB a quarter.
    [[gnu::always_inline]] static void write_ahead(const std::byte* here, std::uint32_t length) noexcept {
        constexpr std::uint32_t line = 64;
        constexpr std::uint32_t distance = 16 * line;
        constexpr std::uint32_t most = 32 * line;  // who writes more than that has the processor foresee it
        const std::byte* const ahead = here + (length < distance ? distance : length);  // behind the end of a mapping it does nothing
        __builtin_prefetch(ahead, 1);
        __builtin_prefetch(ahead + line, 1);
        __builtin_prefetch(ahead + 2 * line, 1);
        for (std::uint32_t at = 3 * line; at < length && at < most; at += line) {
            __builtin_prefetch(ahead + at, 1);
        }
    }

    /// Whether a segment counts so many offsets more. Batches that are compressed may take more of them than bytes; of lone records there is
    /// no room for what is left (most_offsets_in_front).
    [[nodiscard]] static constexpr bool is_counted(tail_word tail, std::uint32_t offsets) noexcept {
        constexpr std::uint64_t most = std::uint64_t{1} << 30;
        return offsets <= 1 || tail.records() == 0 || tail.records() + offsets <= most;
    }

    static void mark(segment& home, tail_word tail, std::uint32_t length, claim& taken) noexcept {
        taken.home = &home;
        taken.at = tail.end();
        taken.data = home.data + taken.at;
        taken.length = length;
        taken.first = home.base + static_cast<offset>(tail.records());
        // The first store into the range. A kill is precise for the thread it hits, so only the compiler must be held.
        atomic_at<std::uint64_t>(taken.data).store(format::frame_word::claimed(length).raw(), std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    static void seal_tail(segment& home) noexcept { home.tail.fetch_or(tail_word::sealed_bit, std::memory_order_acq_rel); }

    [[gnu::noinline]] bool take_slowly(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why) {
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

    // ---- growth ----

    /// Makes room for claims up to `end`: by doubling, from 64 KiB up to 1 MiB at a time, or a quarter of that.
    [[nodiscard]] bool grow(segment& home, position end, failure& why) {
        const std::scoped_lock guard{growth_mutex_};
        if (home.ready.load(std::memory_order_relaxed) >= end) {
            return true;  // somebody else has
        }
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

    /// Takes disk space up to `wanted`, then makes it part of what may be claimed.
    ///
    /// Requires  the growth lock, or a segment that nobody else knows.
    [[nodiscard]] bool extend(segment& home, mapped_segment& memory, std::uint64_t wanted, failure& why) {
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

    /// The size of a piece decides that of the page cache's folios.
    [[nodiscard]] bool write_zeros(mapped_segment& memory, position begin, position end, failure& why) {
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

    // ---- seal and roll ----

    /// Goes from a sealed segment to the next. Whoever comes first does it all, from the frozen tail; killed or failed
    /// anywhere, the next caller, or recovery, goes on. The order is what makes "the next segment has a base offset"
    /// mean "this one is sealed".
    [[nodiscard]] bool pass(segment& home, failure& why, bool is_to_free = false) {
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

    /// The last frame of a segment: there is always room for it, since no data frame ends beyond `limit`.
    [[nodiscard]] bool write_seal(segment& home, position at, offset end, failure& why) {
        const segment_pin pin = home.pin();
        if (pin->word(at).is_published()) {
            return true;  // an earlier attempt found no room for the next segment
        }
        {
            const std::scoped_lock guard{growth_mutex_};
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

    [[nodiscard]] failure name_spare_locked() {
        if (unnamed_ == nullptr) {
            return {};
        }
        failure why = files_.name_spare(unnamed_->base);
        if (!why) {
            unnamed_ = nullptr;
        }
        return why;
    }

    [[nodiscard]] static std::unique_ptr<segment> begin(offset base, segment_pin pin) {
        pin->written_from.store(format::segment_header_size, std::memory_order_relaxed);
        const position allocated = pin->readable();
        auto made = std::make_unique<segment>(base, std::move(pin), tail_word{0, format::segment_header_size});
        made->allocated = allocated;
        made->ready.store(allocated - format::frame_header_size, std::memory_order_relaxed);
        return made;
    }

    segment_directory& files_;
    segment_chain& segments_;
    event_count& events_;
    event_count& upkeep_;
    std::uint32_t segment_bytes_;
    log_room room_;
    void* hot_memory_;
    hot_words* hot_;

    std::mutex growth_mutex_;       // guards each segment's `allocated`
    mutable std::mutex roll_mutex_;  // guards what follows, and the change of the current segment; taken before growth
    append_state state_ = append_state::open;
    failure reason_;
    std::unique_ptr<segment> spare_;  // ready to be taken; its file is spare.log
    segment* unnamed_ = nullptr;      // taken; its file is still spare.log
};

}  // namespace brook::inline BROOK_ABI::storage
