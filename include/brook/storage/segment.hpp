/// \file brook/storage/segment.hpp
/// One segment: its files in memory, and the word by which writers share it out.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Who a partition is; for headers and for messages.
struct partition_name {
    std::string topic;
    format::topic_id topic_id{};
    std::uint32_t number = 0;

    [[nodiscard]] std::string text() const { return "topic '" + topic + "', partition " + std::to_string(number); }
};

/// The tail of a segment in one word: how many offsets and bytes have been claimed so far.
///
///     records << 32 | bytes          bit 31 of bytes: sealed, no more claims
///
/// One compare-exchange claims a dense range of offsets and a range of bytes together, and can refuse without a trace.
class tail_word {
public:
    static constexpr std::uint64_t sealed_bit = std::uint64_t{1} << 31;

    constexpr explicit tail_word(std::uint64_t raw) noexcept : raw_{raw} {}
    constexpr tail_word(std::uint64_t records, position end) noexcept : raw_{records << 32 | end} {}

    [[nodiscard]] constexpr std::uint64_t raw() const noexcept { return raw_; }
    [[nodiscard]] constexpr std::uint64_t records() const noexcept { return raw_ >> 32; }
    /// Where the next claim begins. Of a sealed word it is 2^31 or more: larger than any segment is ready for.
    [[nodiscard]] constexpr position end_or_sealed() const noexcept { return static_cast<position>(raw_); }
    [[nodiscard]] constexpr position end() const noexcept { return static_cast<position>(raw_ & ~sealed_bit); }
    [[nodiscard]] constexpr bool is_sealed() const noexcept { return (raw_ & sealed_bit) != 0; }
    [[nodiscard]] constexpr tail_word plus(std::uint32_t more_records, std::uint32_t more_bytes) const noexcept {
        return tail_word{raw_ + (std::uint64_t{more_records} << 32 | more_bytes)};
    }
    [[nodiscard]] constexpr tail_word sealed() const noexcept { return tail_word{raw_ | sealed_bit}; }

private:
    std::uint64_t raw_;
};

/// Slot k of a segment's index tells which frame covers byte k * 4096: the index is direct-mapped, so that every
/// claimer writes the slots of its own range and nobody waits for anybody. 0: nothing known. Derived from the log, and
/// believed only when the frame it points to verifies.
struct index_slot {
    std::uint32_t relative_offset;  ///< the frame's base offset minus the segment's
    std::uint32_t at;               ///< position of the frame
};
static_assert(sizeof(index_slot) == 8);

inline constexpr std::uint32_t index_interval = 4096;

inline constexpr std::uint32_t page_size = 4096;            ///< files are written, compared and given back in these
inline constexpr std::uint32_t first_window = 64 * kib;     ///< disk space that a new segment takes at first

/// Whether what a segment shows in memory can be believed to get to the disk with the next sync that succeeds.
///
/// It stands in the index's first slot, which covers the header and so no frame; for want of an index, and once a sync has failed, in the header.
/// Both are mapped: the word outlives the process, at whichever instruction that dies, as long as the pages do that it tells of, and the index
/// costs a sync nothing, since it is not synced. In another boot it means nothing: what was not on the disk is gone from memory, too.
enum class doubt : std::uint64_t {
    none = 0,
    is_syncing = 1,   ///< a sync was begun. Who finds this does not know how it ended, nor who was told
    has_failed = 2,   ///< a sync has failed. What it left out passes for clean
};

[[nodiscard]] constexpr std::uint32_t index_slots(std::uint32_t capacity) noexcept { return capacity / index_interval + 1; }

/// A segment's files in memory. Shared ownership of it is what pins a segment: views hold it, and retention may unlink
/// the file but never takes the memory from under them.
///
/// Threads   shared.
class mapped_segment {
public:
    mapped_segment(std::shared_ptr<const partition_name> of, std::string path, std::unique_ptr<os::file> log_file, std::unique_ptr<os::file> index_file,
                   std::unique_ptr<os::mapping> log, std::unique_ptr<os::mapping> index, const format::segment_birth& birth,
                   position readable) noexcept
        : of_{std::move(of)},
          path_{std::move(path)},
          log_file_{std::move(log_file)},
          index_file_{std::move(index_file)},
          log_{std::move(log)},
          index_{std::move(index)},
          seed_{birth.seed},
          flags_{birth.flags},
          capacity_{birth.capacity},
          readable_{readable},
          search_end_{readable} {}

    /// Whose segment it is.
    [[nodiscard]] const partition_name& of() const noexcept { return *of_; }
    /// As it was when opened, for messages: a spare's path says spare.log until the segment is opened again.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::byte* data() const noexcept { return log_->data(); }
    [[nodiscard]] std::byte* frame(position at) const noexcept { return log_->data() + at; }
    [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
    [[nodiscard]] position capacity() const noexcept { return capacity_; }
    [[nodiscard]] bool is_compacted() const noexcept { return (flags_ & format::segment_flag::compacted) != 0; }
    [[nodiscard]] os::file& log_file() const noexcept { return *log_file_; }
    [[nodiscard]] os::file* index_file() const noexcept { return index_file_.get(); }
    [[nodiscard]] os::mapping& log() const noexcept { return *log_; }
    /// Without one, look-ups walk from the segment's first frame.
    [[nodiscard]] bool has_index() const noexcept { return index_ != nullptr; }

    /// Bytes that exist in the file: nothing beyond may be touched.
    [[nodiscard]] position readable() const noexcept { return readable_.load(std::memory_order_acquire); }
    void set_readable(position end) noexcept { readable_.store(end, std::memory_order_release); }

    /// Searches end here: zeros stand behind it, perhaps without disk space, which a mere look would take on tmpfs. A full
    /// disk must be no signal.
    [[nodiscard]] position search_end() const noexcept { return search_end_.load(std::memory_order_acquire); }
    void set_search_end(position end) noexcept { search_end_.store(end, std::memory_order_release); }

    /// The word that publishes the frame at `at`; empty where the file ends before it. Who sees it published also sees
    /// everything that was stored before its publication. Sequentially consistent, for those who raise a flag, look once
    /// more and then sleep: see event_count.
    [[nodiscard]] format::frame_word word(position at) const noexcept {
        if (readable() < format::frame_header_size || at > readable() - format::frame_header_size) {
            return {};
        }
        return format::frame_word{atomic_at<std::uint64_t>(frame(at)).load(std::memory_order_seq_cst)};
    }

    [[nodiscard]] index_slot slot(std::uint32_t number) const noexcept {
        if (!index_ || number >= index_slots(capacity_)) {
            return {};
        }
        return std::bit_cast<index_slot>(slot_word(number).load(std::memory_order_relaxed));
    }

    /// Notes a frame of `length` bytes at `at` in every slot that it covers: none for most small frames.
    void note(position at, std::uint32_t length, std::uint32_t relative_offset) const noexcept {
        for (std::uint32_t k = (at + index_interval - 1) / index_interval; k < (at + length + index_interval - 1) / index_interval; ++k) {
            if (index_) {
                slot_word(k).store(std::bit_cast<std::uint64_t>(index_slot{relative_offset, at}), std::memory_order_relaxed);
            }
        }
    }

    /// Forgets the frames from `from` on.
    void forget_behind(position from) const noexcept {
        for (std::uint32_t k = (from + index_interval - 1) / index_interval; index_ && k < index_slots(capacity_); ++k) {
            if (const auto word = slot_word(k); word.load(std::memory_order_relaxed) != 0) {
                word.store(0, std::memory_order_relaxed);
            }
        }
    }

    /// All written and stored bytes are on the disk when this returns success, unless it was in doubt before, and then it is so still. From
    /// before the call until then it is, also for who opens it when this process has died: the system tells of a failure once, and
    /// perhaps a process that is dying.
    [[nodiscard]] std::error_code sync() noexcept {
        return sync_by([&] { return log_file_->sync(); });
    }

    /// The same for a segment that nobody claims in any more, a MiB at a time, and with its pages released first: so that those who append
    /// to the next one neither wait behind all of it in the disk's queue nor for their core's TLB. What is left when `is_awaited`
    /// comes in one piece: somebody waits for the round.
    ///
    /// Requires  that the mapping has not been detached, nor is meanwhile.
    /// Cost      one look through the page tables, a round trip to the disk for each MiB that is not there yet, and to who reads there next a
    ///           fault for each 64 KiB.
    template <class IsAwaited>
    [[nodiscard]] std::error_code sync_in_pieces(const IsAwaited& is_awaited) noexcept {
        return sync_by([&] {
            log_->release_pages();
            std::error_code code;
            for (position at = 0; at < readable() && !code && !is_awaited(); at += mib) {
                code = log_file_->write_back(at, mib);
            }
            return code ? code : log_file_->sync();
        });
    }

    /// The graver of what index and header say. Without an index nobody knows.
    [[nodiscard]] storage::doubt doubt() const noexcept {
        const auto of_header = static_cast<storage::doubt>(load<std::uint64_t>(data() + format::doubt_at));
        const auto of_index = index_ ? static_cast<storage::doubt>(slot_word(0).load(std::memory_order_relaxed)) : storage::doubt::is_syncing;
        return of_header > of_index ? of_header : of_index;
    }
    /// That a sync has failed is told in both places, which are pages of two files.
    void set_doubt(storage::doubt now) const noexcept {
        if (index_) {
            slot_word(0).store(static_cast<std::uint64_t>(now), std::memory_order_relaxed);
        }
        const auto in_header = static_cast<storage::doubt>(load<std::uint64_t>(data() + format::doubt_at));
        const bool is_told_there = !index_ || in_header != storage::doubt::none || now == storage::doubt::has_failed;
        if (is_told_there && in_header != now) {
            store(data() + format::doubt_at, static_cast<std::uint64_t>(now));
        }
    }

    /// Its file was deleted, or replaced by what compaction has left of it: who holds the memory long should look anew.
    std::atomic<bool> is_gone{false};

    /// Frames before this position have been verified since they came from the disk.
    std::atomic<position> verified_to{format::segment_header_size};
    /// Frames from here on were written by this process and are still only in memory: nothing to verify.
    std::atomic<position> written_from{std::numeric_limits<position>::max()};

private:
    /// From before the sync until it is known to have succeeded the segment says that it is in doubt.
    template <class Sync>
    [[nodiscard]] std::error_code sync_by(const Sync& sync_file) noexcept {
        const storage::doubt before = doubt();
        set_doubt(before > storage::doubt::is_syncing ? before : storage::doubt::is_syncing);
        const std::error_code code = sync_file();
        set_doubt(code ? storage::doubt::has_failed : before);
        return code;
    }

    [[nodiscard]] std::atomic_ref<std::uint64_t> slot_word(std::uint32_t number) const noexcept {
        return atomic_at<std::uint64_t>(index_->data() + std::size_t{number} * sizeof(index_slot));
    }

    std::shared_ptr<const partition_name> of_;
    std::string path_;
    std::unique_ptr<os::file> log_file_;
    std::unique_ptr<os::file> index_file_;
    std::unique_ptr<os::mapping> log_;
    std::unique_ptr<os::mapping> index_;
    std::uint64_t seed_;
    std::uint64_t flags_;
    position capacity_;
    std::atomic<position> readable_;
    std::atomic<position> search_end_;
};

using segment_pin = std::shared_ptr<mapped_segment>;

/// A segment of a partition. The object lives as long as the partition, so that a writer that slept may still look at
/// its tail; its memory may come and go once everything in it is on the disk.
///
/// Threads   shared; each field says who changes it.
class segment {
public:
    segment(offset first, segment_pin memory, tail_word claimed) noexcept : tail{claimed.raw()}, base{first} {
        adopt(std::move(memory));
    }

    /// A segment that is on the disk and not in memory: nobody claims in it.
    explicit segment(offset first) noexcept : tail{tail_word{0, 0}.sealed().raw()}, base{first} {}

    /// Takes the files' addresses for the writers.
    void adopt(segment_pin memory) noexcept {
        data = memory->data();
        seed = memory->seed();
        index = memory.get();
        limit = memory->capacity() - format::frame_header_size;
        const std::scoped_lock guard{pin_mutex_};
        pin_ = std::move(memory);
        weak_pin_ = pin_;
    }

    /// The memory, if somebody has it.
    [[nodiscard]] segment_pin pin() const {
        const std::scoped_lock guard{pin_mutex_};
        return pin_ ? pin_ : weak_pin_.lock();
    }

    /// Memory that a reader has just mapped; kept as long as readers keep it.
    void lend(const segment_pin& memory) {
        const std::scoped_lock guard{pin_mutex_};
        weak_pin_ = memory;
    }

    /// Lets go of the memory: everything is on the disk, later readers map it again.
    void release() noexcept {
        segment_pin gone;
        const std::scoped_lock guard{pin_mutex_};
        gone.swap(pin_);
    }

    // ---- the writers' line: claimed by compare-exchange ----
    alignas(cache_line) std::atomic<std::uint64_t> tail;

    // ---- read by every append, changed by growth alone ----
    alignas(cache_line) std::byte* data = nullptr;
    std::uint64_t seed = 0;
    const mapped_segment* index = nullptr;  ///< takes the index slots of what is appended
    offset base;                      ///< set before the segment is shown to anyone
    std::atomic<position> ready{0};   ///< claims end at or before it: disk space taken, and room for one more word behind
    position limit = 0;               ///< no data frame ends beyond: a seal always fits
    std::atomic<segment*> next{nullptr};

    // ---- changed by recovery and upkeep ----
    position allocated = 0;                    ///< disk space taken up to here; guarded by the appender's growth lock
    std::atomic<bool> is_synced{false};        ///< sealed, and all of it on the disk
    std::atomic<bool> ends_in_damage{false};   ///< recovery found no seal and went on in the next segment
    std::atomic<bool> is_replaced{false};      ///< what is left of it stands in another segment of the chain, if anything is: it was compacted, or the log has begun anew

    // ---- of what is sealed and on the disk, from its footer; 0: nobody has looked yet ----
    std::atomic<position> used{0};             ///< bytes of it that count
    std::atomic<std::int64_t> sealed_at{0};    ///< ns since 1970-01-01 UTC
    std::atomic<std::int64_t> born_at{0};      ///< the file; 0: not known
    std::atomic<std::int64_t> tombstones_since{0};  ///< when the oldest of its tombstones was first compacted; 0: it has none

    std::shared_ptr<class time_index> times;   ///< made by the first look-up by time; guarded by the log

private:
    mutable std::mutex pin_mutex_;  // guards both pins
    segment_pin pin_;               // until it is sealed and synced
    std::weak_ptr<mapped_segment> weak_pin_;
};

}  // namespace brook::inline BROOK_ABI::storage
