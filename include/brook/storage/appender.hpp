/// \file brook/storage/appender.hpp
/// The append path: claim, mark, publish; growth, seal and roll beside it.
/// Floor 2, storage. The protocol is told in brook/storage/README.md.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/turn_lock.hpp>
#include <brook/storage/event_count.hpp>
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
             std::uint32_t segment_bytes, log_room room);

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
    [[nodiscard]] bool take_for_mark(std::uint32_t length, claim& taken) noexcept;

    /// Raises the flag that makes the next publication wake the sleepers; to be fenced before they look. See event_count.
    void expect_waiter() noexcept { hot_->waiters.store(1, std::memory_order_seq_cst); }

    void wake() noexcept {
        if (hot_->waiters.exchange(0, std::memory_order_seq_cst) != 0) {
            events_.notify();
        }
    }

    /// Seals the current segment and goes on in a new one; leaves a segment without records as it is.
    /// `is_to_free`: so that what is in it can be deleted: then no limit of the disk is asked about the next segment.
    [[nodiscard]] failure roll(bool is_to_free = false);

    void wake_upkeep() { upkeep_.notify(); }

    /// Stops all appends: no claim succeeds after it. Claims that were taken before may still be published.
    void stop(append_state state, failure reason);

    /// Stops all appends for a while: what was claimed has been published.
    [[nodiscard]] failure pause();

    /// Goes on with the last segment, which ends at `end`. False: the log has been closed meanwhile, or has failed.
    [[nodiscard]] bool resume(tail_word end);

    /// True in a child of the process that opened the log.
    [[nodiscard]] bool is_forked() const noexcept { return hot_->lives_here.load(std::memory_order_relaxed) == 0; }

    /// Why there are no appends; success while there are.
    [[nodiscard]] failure refusal() const;

    [[nodiscard]] append_state state() const {
        const std::scoped_lock guard{roll_mutex_};
        return state_;
    }

    /// The claimed end of the last segment: where publication will end up once all writers are through.
    [[nodiscard]] tail_word claimed() const noexcept { return tail_word{segments_.last()->tail.load(std::memory_order_acquire)}; }

    // ---- preparation, by upkeep: so that the writer meets neither a full disk, nor a page fault, nor a missing file ----

    /// Makes the current segment ready up to `target`, in steps of at most `step` bytes, each under the growth lock.
    [[nodiscard]] failure prepare(position target, std::uint32_t step);

    [[nodiscard]] bool wants_spare() const;

    /// Makes the next segment, whole, and keeps it for the next roll.
    [[nodiscard]] failure prepare_spare();

    /// Keeps a spare that was made elsewhere, whole; lets go of it where there is one by now.
    void adopt_spare(segment_pin pin);

    /// Renames a spare that a roll has taken. Until then it is called spare.log, and there can be no other.
    [[nodiscard]] failure name_taken_spare();

    void discard_spare();

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

    [[gnu::noinline]] BROOK_INLINE bool take_slowly(std::uint32_t length, std::uint32_t offsets, claim& taken, failure& why);

    // ---- growth ----

    /// Makes room for claims up to `end`: by doubling, from 64 KiB up to 1 MiB at a time, or a quarter of that.
    [[nodiscard]] bool grow(segment& home, position end, failure& why);

    /// Takes disk space up to `wanted`, then makes it part of what may be claimed.
    ///
    /// Requires  the growth lock, or a segment that nobody else knows.
    [[nodiscard]] bool extend(segment& home, mapped_segment& memory, std::uint64_t wanted, failure& why);

    /// The size of a piece decides that of the page cache's folios.
    [[nodiscard]] bool write_zeros(mapped_segment& memory, position begin, position end, failure& why);

    // ---- seal and roll ----

    /// Goes from a sealed segment to the next. Whoever comes first does it all, from the frozen tail; killed or failed
    /// anywhere, the next caller, or recovery, goes on. The order is what makes "the next segment has a base offset"
    /// mean "this one is sealed".
    [[nodiscard]] bool pass(segment& home, failure& why, bool is_to_free = false);

    /// The last frame of a segment: there is always room for it, since no data frame ends beyond `limit`.
    [[nodiscard]] bool write_seal(segment& home, position at, offset end, failure& why);

    [[nodiscard]] failure name_spare_locked();

    [[nodiscard]] static std::unique_ptr<segment> begin(offset base, segment_pin pin);

    segment_directory& files_;
    segment_chain& segments_;
    event_count& events_;
    event_count& upkeep_;
    std::uint32_t segment_bytes_;
    log_room room_;
    void* hot_memory_;
    hot_words* hot_;

    os::turn_lock growth_{files_.platform()};  // guards each segment's `allocated`
    mutable std::mutex roll_mutex_;  // guards what follows, and the change of the current segment; taken before growth
    append_state state_ = append_state::open;
    failure reason_;
    std::unique_ptr<segment> spare_;  // ready to be taken; its file is spare.log
    segment* unnamed_ = nullptr;      // taken; its file is still spare.log
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/appender.hpp>
#endif
