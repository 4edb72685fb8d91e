/// \file brook/storage/key_map.hpp
/// Where each key was seen last: what a compaction goes by.
/// Floor 2, storage. Source: the offset map of Kafka's log cleaner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/format/checksum.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Keys and the number of the last record of each, in memory that is taken once: 16 bytes a key, and a ninth more.
///
/// A key is known by 96 bits of its hash, and by where they stand. The hash is seeded anew for each map, so that nobody can
/// choose keys that are taken for each other; by chance two of ten million are once in 10^15 maps.
///
/// Threads   confined.
/// Cost      a cache line that is not at hand, most often: who looks up many calls `prefetch` some of them ahead.
class key_map {
public:
    using digest = format::wide_hash;

    static constexpr std::size_t bytes_per_key = 18;  // with the tenth that stays free

    /// Errors    std::bad_alloc.
    key_map(std::size_t most_keys, std::uint64_t seed)
        : slots_{most_keys + most_keys / 9 + 2}, most_keys_{most_keys}, seed_{seed}, entries_{static_cast<entry*>(std::calloc(slots_, sizeof(entry)))} {
        if (!entries_) {
            throw std::bad_alloc{};  // calloc, since its zeros are made when they are first touched
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    [[nodiscard]] digest digest_of(bytes key) const noexcept { return format::hash_wide(key, seed_); }

    void prefetch(const digest& key) const noexcept { __builtin_prefetch(entries_.get() + first_slot(key)); }

    /// The number noted for a key.
    [[nodiscard]] std::optional<std::uint32_t> find(const digest& key) const noexcept {
        const entry& found = entries_.get()[slot_of(key)];
        return found.number_plus_one == 0 ? std::nullopt : std::optional{found.number_plus_one - 1};
    }

    /// Notes a number for a key in place of the one before, which goes to `before`.
    /// Returns   false, and nothing is noted, for a new key when there are as many as fit.
    ///
    /// Requires  number < 2^32 - 1.
    [[nodiscard]] bool note(const digest& key, std::uint32_t number, std::optional<std::uint32_t>& before) noexcept {
        entry& found = entries_.get()[slot_of(key)];
        before = found.number_plus_one == 0 ? std::nullopt : std::optional{found.number_plus_one - 1};
        if (!before) {
            if (size_ == most_keys_) {
                return false;
            }
            ++size_;
            found.high = key.high;
            found.low = static_cast<std::uint32_t>(key.low);
        }
        found.number_plus_one = number + 1;
        return true;
    }

private:
    struct entry {
        std::uint64_t high;
        std::uint32_t low;
        std::uint32_t number_plus_one;  ///< 0: free
    };
    static_assert(sizeof(entry) == 16);

    struct deleter {
        void operator()(entry* all) const noexcept { std::free(all); }
    };

    /// By the upper bits of a word of which the entry holds the lower ones.
    [[nodiscard]] std::size_t first_slot(const digest& key) const noexcept {
        __extension__ using wide = unsigned __int128;
        return static_cast<std::size_t>(static_cast<wide>(key.low) * slots_ >> 64);
    }

    /// Where it stands, or would.
    [[nodiscard]] std::size_t slot_of(const digest& key) const noexcept {
        std::size_t at = first_slot(key);
        for (;;) {
            const entry& here = entries_.get()[at];
            if (here.number_plus_one == 0 || (here.high == key.high && here.low == static_cast<std::uint32_t>(key.low))) {
                return at;
            }
            at = at + 1 == slots_ ? 0 : at + 1;
        }
    }

    std::size_t slots_;
    std::size_t most_keys_;
    std::uint64_t seed_;
    std::size_t size_ = 0;
    std::unique_ptr<entry, deleter> entries_;
};

}  // namespace brook::inline BROOK_ABI::storage
