/// \file brook/engine/table_index.hpp
/// From the hash of a key to the place of its latest record: open addressing, 16 bytes a key.
/// Floor 5, engine.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI::engine {

/// As much of a key's hash as the index keeps; the rest would only tell keys apart that are compared anyway.
[[nodiscard]] inline std::uint32_t table_hash(bytes key) noexcept { return static_cast<std::uint32_t>(format::hash(key)); }

/// Where the latest record of a key is: in a segment, in a copy of its own, or not looked up yet and known by its offset. Four of
/// them are a cache line.
///
///     a bare lone frame in a segment       home 1 to 65534: which one; more 65534; place: its position. Most are of this kind
///     another record in a segment          home as above; place: frame / 8 (28 bits), entry in the frame / 8 (28 bits; 0: a lone frame),
///                                          the lower 8 bits of its index in the batch; more: the upper ones, less than 65534
///     not looked up    home as above, more 65535, place: its offset
///     a copy           home 65535, place: a pointer to a lone frame
///     no entry         home 0
struct table_entry {
    std::uint32_t hash = 0;
    std::uint16_t home = 0;
    std::uint16_t more = 0;
    std::uint64_t place = 0;

    static constexpr std::uint16_t copied = 0xffff;
    static constexpr std::uint16_t most_homes = 0xfffe;
    static constexpr std::uint16_t unplaced = 0xffff;
    static constexpr std::uint16_t bare = 0xfffe;

    [[nodiscard]] bool is_there() const noexcept { return home != 0; }
    [[nodiscard]] bool is_copy() const noexcept { return home == copied; }
    [[nodiscard]] bool is_unplaced() const noexcept { return more == unplaced; }
    [[nodiscard]] bool is_bare() const noexcept { return more == bare; }
    [[nodiscard]] bool is_unplaced_at(offset at) const noexcept { return is_unplaced() && place == static_cast<std::uint64_t>(at); }

    [[nodiscard]] position frame_at() const noexcept { return static_cast<position>(place >> 36) * format::frame_alignment; }
    [[nodiscard]] position entry_in_frame() const noexcept { return static_cast<position>(place >> 8 & 0xfff'ffff) * format::frame_alignment; }
    [[nodiscard]] std::uint32_t index() const noexcept { return std::uint32_t{more} << 8 | static_cast<std::uint32_t>(place & 0xff); }

    /// Of a copy: the lone frame.
    [[nodiscard]] const std::byte* frame() const noexcept { return std::as_bytes(std::span{std::bit_cast<const std::uint64_t*>(place), 1}).data(); }

    /// False where the batch is too long for it.
    [[nodiscard]] bool put_in_segment(std::uint16_t segment, position frame, position in_frame, std::uint32_t index_in_batch) noexcept {
        if (index_in_batch >> 8 >= bare) {
            return false;
        }
        home = segment;
        more = static_cast<std::uint16_t>(index_in_batch >> 8);
        place = std::uint64_t{frame / format::frame_alignment} << 36 | std::uint64_t{in_frame / format::frame_alignment} << 8 | (index_in_batch & 0xff);
        return true;
    }
    void put_bare(std::uint16_t segment, position frame) noexcept {
        home = segment;
        more = bare;
        place = frame;
    }
    void put_unplaced(std::uint16_t segment, offset at) noexcept {
        home = segment;
        more = unplaced;
        place = static_cast<std::uint64_t>(at);
    }
    void put_copy(std::unique_ptr<std::uint64_t[]> lone) noexcept {
        home = copied;
        more = 0;
        place = std::bit_cast<std::uint64_t>(lone.release());
    }
};
static_assert(sizeof(table_entry) == 16);

/// Entries by hash. Keys are where the records are: who looks says which entry is the one. Linear probing, at most three quarters
/// full; an erased entry leaves no mark, those behind it move up.
///
/// Threads   confined.
/// Cost      a cache miss a look-up, most often; grows by doubling. Knows nothing of what entries own.
class table_index {
public:
    table_index() noexcept = default;
    table_index(table_index&& other) noexcept
        : entries_{std::move(other.entries_)}, capacity_{std::exchange(other.capacity_, 0)}, count_{std::exchange(other.count_, 0)}, shift_{other.shift_} {}
    table_index& operator=(table_index&& other) noexcept {
        entries_ = std::move(other.entries_);
        capacity_ = std::exchange(other.capacity_, 0);
        count_ = std::exchange(other.count_, 0);
        shift_ = other.shift_;
        return *this;
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }

    /// Places, most of them empty; `at` gives each.
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] table_entry& at(std::size_t place) noexcept { return entries_[place]; }
    [[nodiscard]] const table_entry& at(std::size_t place) const noexcept { return entries_[place]; }

    /// The entry of this hash for which `is_it` says so; nullptr: none.
    template <class IsIt>
    [[nodiscard, gnu::always_inline]] table_entry* find(std::uint32_t hash, const IsIt& is_it) const {
        if (count_ == 0) {
            return nullptr;
        }
        for (std::size_t place = home_of(hash);; place = next(place)) {
            table_entry& here = entries_[place];
            if (here.hash == hash && here.is_there() && is_it(here)) {
                return &here;
            }
            if (!here.is_there()) {
                return nullptr;
            }
        }
    }

    /// A new entry with this hash, for the caller to fill at once. Entries move: pointers to others are void.
    ///
    /// Errors    std::bad_alloc, and nothing has changed.
    [[nodiscard]] table_entry& insert(std::uint32_t hash) {
        reserve(count_ + 1);
        return fill(place_for(hash, capacity_), hash);
    }

    /// The same for a hash that a file names: nullptr where it is one of more that come together than hashes of keys do, by which
    /// a file could make the index slow without end.
    [[nodiscard]] table_entry* insert_believable(std::uint32_t hash) {
        reserve(count_ + 1);
        const std::size_t place = place_for(hash, most_together);
        return place < capacity_ ? &fill(place, hash) : nullptr;
    }
    static constexpr std::size_t most_together = 4'096;  // of a billion keys some 600 are, at worst

    /// Takes an entry out. What is found at its place afterwards was behind it.
    void erase(table_entry& gone) noexcept {
        auto hole = static_cast<std::size_t>(&gone - entries_.get());
        for (std::size_t place = next(hole); entries_[place].is_there(); place = next(place)) {
            // It may move up where that does not bring it in front of its home.
            const std::size_t home = home_of(entries_[place].hash);
            if (((place - home) & (capacity_ - 1)) >= ((place - hole) & (capacity_ - 1))) {
                entries_[hole] = entries_[place];
                hole = place;
            }
        }
        entries_[hole] = {};
        --count_;
    }

    void clear() noexcept { *this = {}; }

    static constexpr std::size_t most_entries = (std::size_t{1} << 31) / 4 * 3;

    /// Makes room for so many.
    void reserve(std::size_t wanted) {
        if (wanted <= capacity_ / 4 * 3) {
            return;
        }
        if (wanted > most_entries) {
            throw_error(errc::invalid_config, "a table has at most 1.6 billion keys in one partition; give the topic more partitions");
        }
        std::size_t capacity = capacity_ == 0 ? 16 : capacity_;
        while (wanted > capacity / 4 * 3) {
            capacity *= 2;
        }
        table_index larger;
        larger.entries_ = std::make_unique<table_entry[]>(capacity);
        larger.capacity_ = capacity;
        larger.shift_ = 32 - std::countr_zero(capacity);
        for (std::size_t i = 0; i < capacity_; ++i) {
            if (entries_[i].is_there()) {
                larger.entries_[larger.place_for(entries_[i].hash, capacity)] = entries_[i];
            }
        }
        larger.count_ = count_;
        *this = std::move(larger);
    }

private:
    [[nodiscard]] std::size_t home_of(std::uint32_t hash) const noexcept { return hash >> shift_; }
    [[nodiscard]] table_entry& fill(std::size_t place, std::uint32_t hash) noexcept {
        ++count_;
        entries_[place].hash = hash;
        return entries_[place];
    }

    /// The first empty place from the hash's home on; `capacity_` when there is none within so many steps.
    [[nodiscard]] std::size_t place_for(std::uint32_t hash, std::size_t steps) const noexcept {
        std::size_t place = home_of(hash);
        for (; entries_[place].is_there(); place = next(place)) {
            if (steps-- == 0) {
                return capacity_;
            }
        }
        return place;
    }

    [[nodiscard]] std::size_t next(std::size_t place) const noexcept { return (place + 1) & (capacity_ - 1); }

    std::unique_ptr<table_entry[]> entries_;
    std::size_t capacity_ = 0;  // 0, or a power of two
    std::size_t count_ = 0;
    int shift_ = 0;             // from a hash to its home: the upper bits
};

}  // namespace brook::inline BROOK_ABI::engine
