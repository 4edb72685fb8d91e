/// \file brook/format/checkpoint.hpp
/// A partition's checkpoint file: two slots, written in turn, so that a torn write leaves the other.
/// Floor 1, format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::format {

/// A leader epoch as a checkpoint tells of it: where it begins.
struct checkpoint_epoch {
    std::int64_t first = 0;
    std::uint32_t epoch = 0;
    std::uint32_t zero = 0;
};

/// One slot, at byte 0 or 512 of the file. The valid slot with the larger sequence counts.
///
///   at  size  field
///    0    8   magic             "brookckp"
///    8    4   version           1; 2 where cut_plus_one is set: who does not know that must not open the log
///   12    4   partition
///   16   16   topic             the topic's id
///   32    8   sequence          grows by one with each write
///   40    8   durable_offset    everything below it was on the disk
///   48    8   log_start_offset
///   56    8   high_watermark
///   64    8   segment_base      where recovery may begin: this segment,
///   72    8   segment_position  at this frame, whose base offset is
///   80    8   segment_offset
///   88    4   leader_epoch
///   92    4   flags             1: the log may have records of producers that number them; 2: parts of transactions
///   96    8   compacted_offset  everything below it has been compacted: of each key it holds one record at most
///  104    8   checksum          XXH3-64 of the 104 bytes before
///  112    8   cut_plus_one      version 2: the log is being cut at this offset less one. What takes it or a later one is to go; where
///                               the log also starts there, everything is. Version 1: zero
///  120    8   checksum          version 2: XXH3-64 of the 120 bytes before. Version 1: zero
///  128    4   epoch_count       of a replicated log: how many epochs are told. All that begin below epochs_end, and not before the first one told
///  132    4                     zero
///  136    8   epochs_end        not above durable_offset: what is below it is never cut without another checkpoint
///  144  352   epochs            22 times {i64 first offset, u32 leader epoch, u32 zero}, oldest first
///  496    8   checksum          XXH3-64 of the 496 bytes before; zero where no epochs are told. Where it does not verify there are none told,
///                               and the rest of the slot counts nevertheless: who does not know of them writes 128 bytes
struct checkpoint {
    std::array<char, 8> magic{'b', 'r', 'o', 'o', 'k', 'c', 'k', 'p'};
    std::uint32_t version = format_version;
    std::uint32_t partition = 0;
    topic_id topic{};
    std::uint64_t sequence = 0;
    std::int64_t durable_offset = 0;
    std::int64_t log_start_offset = 0;
    std::int64_t high_watermark = 0;
    std::int64_t segment_base = 0;
    std::uint64_t segment_position = segment_header_size;
    std::int64_t segment_offset = 0;
    std::uint32_t leader_epoch = 0;
    std::uint32_t flags = 0;
    std::int64_t compacted_offset = 0;
    std::uint64_t checksum = 0;
    std::int64_t cut_plus_one = 0;
    std::uint64_t cut_checksum = 0;
    std::uint32_t epoch_count = 0;
    std::uint32_t zero = 0;
    std::int64_t epochs_end = 0;
    std::array<checkpoint_epoch, 22> epochs{};
    std::uint64_t epoch_checksum = 0;

    /// Whether a truncation has begun, and perhaps not come to its end; then, to which offset.
    [[nodiscard]] bool is_cutting() const noexcept { return cut_plus_one != 0; }
    [[nodiscard]] std::int64_t cut_to() const noexcept { return cut_plus_one - 1; }

    /// Tells of the epochs that begin below `end`, the newest of them, as many as there is room for.
    void tell_epochs(const epoch_history& history, std::int64_t end) noexcept {
        const auto& starts = history.starts();
        std::size_t last = starts.size();
        while (last > 0 && starts[last - 1].first >= end) {
            --last;
        }
        const std::size_t begin = last > epochs.size() ? last - epochs.size() : 0;
        forget_epochs();
        for (std::size_t i = begin; i < last; ++i) {
            epochs[epoch_count++] = {starts[i].first, starts[i].epoch, 0};
        }
        epochs_end = epoch_count == 0 ? 0 : end;
    }

    void forget_epochs() noexcept {
        epoch_count = 0;
        epochs_end = 0;
        epochs = {};
    }

    [[nodiscard]] epoch_history told_epochs() const {
        epoch_history told;
        for (std::size_t i = 0; i < epoch_count; ++i) {
            told.note(epochs[i].epoch, epochs[i].first);
        }
        return told;
    }
};
static_assert(sizeof(checkpoint) == 504);
static_assert(std::has_unique_object_representations_v<checkpoint>);

/// Bits of `checkpoint::flags`.
namespace checkpoint_flag {
inline constexpr std::uint32_t producers = 1;
inline constexpr std::uint32_t transactions = 2;
}  // namespace checkpoint_flag

inline constexpr std::uint32_t checkpoint_version = 2;  ///< the newest that is known

inline constexpr std::size_t checkpoint_slot_size = 512;  // a sector: the unit that a power loss tears
inline constexpr std::size_t checkpoint_file_size = 2 * checkpoint_slot_size;

namespace detail {

[[nodiscard]] inline std::uint64_t checksum_before(const checkpoint& slot, std::size_t end) noexcept {
    std::array<std::byte, sizeof(checkpoint)> raw;
    store(raw.data(), slot);
    return hash(raw.data(), end);
}

}  // namespace detail

/// As it is written.
[[nodiscard]] inline checkpoint sealed(checkpoint slot) noexcept {
    slot.version = slot.version > checkpoint_version ? slot.version : slot.is_cutting() ? 2 : 1;
    slot.checksum = detail::checksum_before(slot, offsetof(checkpoint, checksum));
    slot.cut_checksum = slot.is_cutting() ? detail::checksum_before(slot, offsetof(checkpoint, cut_checksum)) : 0;
    slot.epoch_checksum = slot.epoch_count > 0 ? detail::checksum_before(slot, offsetof(checkpoint, epoch_checksum)) : 0;
    return slot;
}

/// Whether the epochs that a slot tells are its own, and can be.
[[nodiscard]] inline bool epochs_verify(const checkpoint& slot) noexcept {
    if (slot.epoch_count == 0 || slot.epoch_count > slot.epochs.size() || slot.epoch_checksum != detail::checksum_before(slot, offsetof(checkpoint, epoch_checksum))) {
        return false;
    }
    for (std::size_t i = 0; i < slot.epoch_count; ++i) {
        const checkpoint_epoch& one = slot.epochs[i];
        if (one.first < 0 || one.first >= slot.epochs_end || (i > 0 && (one.first <= slot.epochs[i - 1].first || one.epoch <= slot.epochs[i - 1].epoch))) {
            return false;
        }
    }
    return slot.epochs_end <= slot.durable_offset;
}

[[nodiscard]] inline bool verifies(const checkpoint& slot) noexcept {
    const auto is_offset = [](std::int64_t value) { return value >= 0 && value <= largest_offset; };
    const std::uint64_t expected = slot.version == 1 ? 0 : detail::checksum_before(slot, offsetof(checkpoint, cut_checksum));
    const bool is_intact = slot.version > checkpoint_version ||
                           (slot.is_cutting() == (slot.version == 2) && (!slot.is_cutting() || (slot.cut_plus_one > 0 && is_offset(slot.cut_to()) && slot.log_start_offset <= slot.cut_to())) && slot.cut_checksum == expected);
    return slot.magic == checkpoint{}.magic && slot.checksum == detail::checksum_before(slot, offsetof(checkpoint, checksum)) && is_intact && is_offset(slot.durable_offset) &&
           is_offset(slot.log_start_offset) && is_offset(slot.high_watermark) && is_offset(slot.segment_base) && is_offset(slot.segment_offset) &&
           is_offset(slot.compacted_offset);
}

/// Byte in the file where the slot with this sequence is written.
[[nodiscard]] constexpr std::size_t slot_position(std::uint64_t sequence) noexcept {
    return static_cast<std::size_t>(sequence % 2) * checkpoint_slot_size;
}

/// The newest slot of a checkpoint file, if it has one, of those that are valid and that `counts` takes for this partition's: what a disk has put
/// into the wrong place must not hide what is right.
template <class Counts>
[[nodiscard]] std::optional<checkpoint> newest_checkpoint(bytes file, const Counts& counts) noexcept {
    std::optional<checkpoint> newest;
    for (std::size_t at = 0; at + sizeof(checkpoint) <= file.size() && at < checkpoint_file_size; at += checkpoint_slot_size) {
        const checkpoint slot = load<checkpoint>(file.data() + at);
        if (verifies(slot) && counts(slot) && (!newest || slot.sequence > newest->sequence)) {
            newest = slot;
            if (!epochs_verify(slot)) {
                newest->forget_epochs();
            }
        }
    }
    return newest;
}

/// Of whatever partition.
[[nodiscard]] inline std::optional<checkpoint> newest_checkpoint(bytes file) noexcept {
    return newest_checkpoint(file, [](const checkpoint&) { return true; });
}

}  // namespace brook::inline BROOK_ABI::format
