/// \file brook/storage/dirty_keys.hpp
/// What a compaction knows of the records that came since the last one: where each key stands last, and which have a later one.
/// Floor 2, storage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/key_map.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The keys of offsets [from, end), noted in the order of their offsets. Where they do not fit into the memory that there is, the end
/// moves in front of the first that does not.
///
/// Threads   confined.
/// Cost      a look into the map of keys for each record; some of them are on their way at a time, since each waits for memory. A bit
///           for each offset.
class dirty_keys {
public:
    /// `memory`: bytes, of which an eighth is for the bits.
    /// Errors    std::bad_alloc.
    dirty_keys(offset from, offset end, std::size_t memory, std::uint64_t seed)
        : from_{from}, end_{from + span_of(end - from, memory)}, keys_{most_keys(end_ - from, memory), seed}, superseded_((static_cast<std::size_t>(end_ - from) + 63) / 64) {}

    [[nodiscard]] offset from() const noexcept { return from_; }
    [[nodiscard]] offset end() const noexcept { return end_; }
    [[nodiscard]] bool empty() const noexcept { return keys_.empty(); }

    /// Notes a record's key. False: there is no room for it, or for one before, in front of which the end is now.
    ///
    /// Requires  from() <= at < end().
    [[nodiscard]] bool note(bytes key, offset at) noexcept {
        enqueue(key, static_cast<std::uint32_t>(at - from_));
        return count_ < most_ahead || finish();
    }

    /// Notes those that are still on their way. False as `note`.
    [[nodiscard]] bool finish() noexcept {
        const std::size_t count = std::exchange(count_, 0);
        for (std::size_t k = 0; k < count; ++k) {
            std::optional<std::uint32_t> before;
            if (!keys_.note(ahead_[k].key, ahead_[k].number, before)) {
                end_ = from_ + ahead_[k].number;
                return false;
            }
            if (before) {
                superseded_[*before / 64] |= std::uint64_t{1} << *before % 64;
            }
        }
        return true;
    }

    // ---- once all have been noted ----

    /// Whether a later record of the same key stands in front of the end.
    ///
    /// Requires  from() <= at < end().
    [[nodiscard]] bool is_superseded(offset at) const noexcept {
        const auto number = static_cast<std::uint64_t>(at - from_);
        return (superseded_[static_cast<std::size_t>(number / 64)] >> number % 64 & 1) != 0;
    }

    [[nodiscard]] bool has(bytes key) const noexcept { return keys_.find(keys_.digest_of(key)).has_value(); }

    /// Asks the same of many keys: `use(number)` is called for those that it has, sooner or later, and at the latest by `finish_asking`.
    template <class Use>
    void ask(bytes key, std::uint32_t number, const Use& use) {
        enqueue(key, number);
        if (count_ == most_ahead) {
            finish_asking(use);
        }
    }
    template <class Use>
    void finish_asking(const Use& use) {
        const std::size_t count = std::exchange(count_, 0);
        for (std::size_t k = 0; k < count; ++k) {
            if (keys_.find(ahead_[k].key)) {
                use(ahead_[k].number);
            }
        }
    }

    /// Forgets those that are on their way.
    void stop_asking() noexcept { count_ = 0; }

private:
    struct look_up {
        key_map::digest key;
        std::uint32_t number = 0;
    };

    static constexpr std::size_t most_ahead = 16;

    [[nodiscard]] static offset span_of(offset whole, std::size_t memory) noexcept {
        const auto bits = static_cast<offset>(memory < (std::size_t{1} << 31) ? memory : std::size_t{1} << 31);  // an eighth of the memory
        return whole < 0 ? 0 : whole < bits ? whole : bits;
    }
    [[nodiscard]] static std::size_t most_keys(offset span, std::size_t memory) noexcept {
        const std::size_t room = (memory - memory / 8) / key_map::bytes_per_key;
        return static_cast<std::uint64_t>(span) < room ? static_cast<std::size_t>(span) : room;
    }

    void enqueue(bytes key, std::uint32_t number) noexcept {
        look_up& one = ahead_[count_++];
        one = {keys_.digest_of(key), number};
        keys_.prefetch(one.key);
    }

    offset from_;
    offset end_;
    key_map keys_;
    std::vector<std::uint64_t> superseded_;
    std::array<look_up, most_ahead> ahead_{};  // whose memory is on its way
    std::size_t count_ = 0;
};

}  // namespace brook::inline BROOK_ABI::storage
