/// \file brook/engine/table_partition.hpp
/// One partition of a table: the latest record of each of its keys, where it lies in the log.
/// Floor 5, engine. Source: Kafka's KTable and GlobalKTable, without their copy of the data.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/table_file.hpp>
#include <brook/engine/table_index.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/table_file.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::engine {

struct table_settings {
    bool reads_committed = true;
    bool verifies = true;
    bool has_file = true;
    offset until = -1;                 ///< reads no further; -1: as far as the log goes
    std::int32_t until_epoch = -1;     ///< leader epoch of the record in front of it; -1: not known
    std::int32_t partition_count = 1;
    std::int32_t (*partition_for)(bytes key, std::int32_t count) = nullptr;  ///< where a key should be; null: nobody asks
};

/// A record on its own, as a lone frame in memory. Its checksum field holds `seed`, of the segment that it was read in.
[[nodiscard]] inline std::unique_ptr<std::uint64_t[]> copy_of(const format::record_slice& record, std::uint64_t seed) {
    const bytes key = record.key();
    const bytes value = record.value();
    const bytes headers = record.headers();
    format::record_sizes sizes{static_cast<std::uint32_t>(key.size()), static_cast<std::uint32_t>(value.size()), static_cast<std::uint32_t>(headers.size())};
    sizes.key = record.has_key() ? sizes.key : format::null_size;
    sizes.value = record.has_value() ? sizes.value : format::null_size;
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));  // less than the frame that it was in
    const std::size_t words = format::frame_length(size) / sizeof(std::uint64_t);
    auto made = std::make_unique<std::uint64_t[]>(words);
    std::byte* const frame = std::as_writable_bytes(std::span{made.get(), words}).data();
    const format::lone_layout body = format::lay_out_lone(frame, sizes);
    copy_bytes(body.key, key.data(), key.size());
    copy_bytes(body.value, value.data(), value.size());
    copy_bytes(body.headers, headers.data(), headers.size());
    const auto attributes = static_cast<std::uint16_t>(format::lone_attributes(sizes) | (record.is_append_time() ? format::attribute::append_time : 0));
    store(frame, format::frame_word::published(size, attributes));
    format::store_behind_word(frame, seed, record.offset(), record.timestamp(), 0, sizes.key);
    return made;
}

/// The record in a frame that copy_of made.
[[nodiscard]] inline format::record_slice look_at_copy(const std::byte* frame) noexcept {
    format::record_slice record;
    static_cast<void>(record.look_at_lone(frame, load<format::frame_word>(frame)));
    return record;
}

/// Reads a partition's log and keeps, for each key, where its latest record lies; a tombstone takes the key out. Records stay in
/// the mapped segments, which are held as long as an entry lies in them. One of a compressed batch is copied, alone: else all of
/// the batch would be held for it.
///
/// Where a segment's file has been rewritten by compaction (`mapped_segment::is_gone`), its entries are looked up again in what
/// stands there now, by offset, and the old file is let go of. What has vanished there was superseded by a record behind it, or
/// deleted; that record, if any, is read in the same refresh: it reads on after it has looked up.
///
/// A file holds the hash and the offset of each key (format/table_file.hpp), by segment, with the seed that the segment had. An
/// opening that believes it takes one look at each of these segments. One with the same seed still has what it had: its records
/// are looked up when they are asked for, one by one, or all at once when somebody goes through them. One that was rewritten is
/// looked up at once, so that the count of keys is right from the beginning. Behind what the file covers the log is read.
///
/// Threads   confined.
/// Errors    thrown: what log_reader::fetch returns. What has been taken in stays.
class table_partition {
public:
    table_partition(storage::log& log, const table_settings& settings);
    table_partition(const table_partition&) = delete;
    table_partition& operator=(const table_partition&) = delete;
    ~table_partition() { drop_all(); }

    [[nodiscard]] const storage::partition_name& name() const noexcept { return log_->name(); }

    /// One look: whether a refresh may find something.
    [[nodiscard, gnu::always_inline]] bool has_news() noexcept {
        const bool is_behind = next_word_ != nullptr ? format::frame_word{atomic_at<std::uint64_t>(next_word_).load(std::memory_order_acquire)}.is_published() ||
                                                           log_->log_start_offset() != start_
                                                     : !is_complete_;
        return is_behind || log_->is_closed() || ++quiet_looks_ >= looks_at_segments_every;
    }

    /// Takes in what has been published since. `is_asked`: and looks in any case whether segments have gone; else that is looked at
    /// when there was something, or after many looks.
    /// Returns   how many records that were.
    [[gnu::noinline]] std::uint64_t refresh(bool is_asked) {
        if (log_->is_closed()) {
            throw_error(errc::closed, name().text() + ": its broker is closed");
        }
        const bool is_due = is_asked || ++quiet_looks_ >= looks_at_segments_every;
        for (;;) {
            if (!is_complete_) {
                drop_below_start();
            }
            if (is_due && has_gone_segments()) {
                look_up_again(false);
            }
            std::uint64_t taken = read();
            if (!is_due && taken > 0 && has_gone_segments()) {
                look_up_again(false);
                taken += read();  // what took the place of a record that has vanished was there before it vanished
            }
            if (is_due || taken > 0) {
                quiet_looks_ = 0;
            }
            if (!is_lying_) {
                return taken;
            }
            start_over();
        }
    }

    /// The record of a key; false: it has none. Does not refresh.
    [[nodiscard, gnu::always_inline]] bool find(bytes key, std::uint32_t hash, format::record_slice& found) {
        const table_entry* const entry = index_.find(hash, [&](const table_entry& one) __attribute__((always_inline)) {
            if (one.is_bare()) [[likely]] {
                const std::byte* const frame = homes_[one.home].data + one.place;
                return load<std::uint32_t>(frame + key_size_at) == key.size() && is_equal(frame + format::frame_header_size, key);
            }
            return may_be(one, key);
        });
        if (entry == nullptr) {
            return false;
        }
        if (entry->is_bare()) [[likely]] {
            found = format::record_slice{homes_[entry->home].data + entry->place};
            return true;
        }
        return look_closer(entry, key, hash, found);
    }

    [[nodiscard]] std::size_t count() const noexcept { return index_.count(); }

    /// Whether it has, or had, keys that should be in another partition.
    [[nodiscard]] bool has_strays() const noexcept { return has_strays_; }

    /// For going through all records: places from 0, most of them empty. Requires `place_all` before.
    [[nodiscard]] std::size_t capacity() const noexcept { return index_.capacity(); }
    [[nodiscard]] bool is_there(std::size_t place) const noexcept { return index_.at(place).is_there(); }
    [[nodiscard]] format::record_slice record_at(std::size_t place) const noexcept { return slice_of(index_.at(place)); }

    /// Looks up what an opening from a file has left to be looked up.
    void place_all();

    /// All records below it have been taken in, and no other.
    [[nodiscard]] offset position_offset() const noexcept { return is_complete_ ? settings_.until : reader_.position_offset(); }

    /// Leader epoch of the record in front of it; nullopt where there is none.
    [[nodiscard]] std::optional<std::uint32_t> epoch();

    /// Whether an opening would have to read much that is not in the file: more records than a sixteenth of the keys.
    [[nodiscard]] bool is_save_due() const noexcept;

    /// Writes the file for the next opening. Nothing, where there is nothing new.
    /// Errors    returned: the disk's.
    [[nodiscard]] failure save();

private:
    static constexpr std::uint32_t at_a_time = 4'096;
    static constexpr std::uint32_t looks_at_segments_every = 1u << 16;
    static constexpr std::size_t key_size_at = 36;  // in the header of a lone frame; the key of a bare one stands behind the header

    /// A segment that entries lie in.
    struct home {
        const std::byte* data = nullptr;
        storage::segment_pin pin;
        std::uint64_t live = 0;      ///< entries
        std::uint64_t unplaced = 0;  ///< of them
        std::uint64_t seed = 0;
        offset lowest = largest_offset;  ///< of its entries none is below
        bool is_stale = false;       ///< its entries have to be looked up: the file is another now
        bool is_sought = false;      ///< ...and are, now:
        offset least = 0;            ///< from this one
        offset most = 0;             ///< to this one
    };

    // ---- records ----

    [[nodiscard]] format::record_slice slice_of(const table_entry& entry) const noexcept {
        if (entry.is_copy()) {
            return look_at_copy(entry.frame());
        }
        if (entry.is_bare()) {
            return format::record_slice{homes_[entry.home].data + entry.place};
        }
        const std::byte* const frame = homes_[entry.home].data + entry.frame_at();
        format::record_slice record{frame};
        if (const position in_frame = entry.entry_in_frame(); in_frame != 0) {
            record.look_at_entry(frame, frame + in_frame, entry.index());
        } else {
            static_cast<void>(record.look_at_lone(frame, load<format::frame_word>(frame)));  // it did before
        }
        return record;
    }

    /// Requires  as many bytes at `one`.
    [[nodiscard, gnu::always_inline]] static bool is_equal(const std::byte* one, bytes other) noexcept {
        return other.empty() || std::memcmp(one, other.data(), other.size()) == 0;
    }
    [[nodiscard]] static bool is_same(bytes one, bytes other) noexcept { return one.size() == other.size() && is_equal(one.data(), other); }

    /// Whether it is the key's entry, or one of which that is not known yet.
    [[nodiscard, gnu::noinline]] bool may_be(const table_entry& entry, bytes key) const noexcept {
        return entry.is_unplaced() || is_same(slice_of(entry).key(), key);
    }

    [[nodiscard, gnu::noinline]] bool look_closer(const table_entry* entry, bytes key, std::uint32_t hash, format::record_slice& found) {
        while (entry->is_unplaced()) {
            place_one(*entry);
            if (is_lying_) {
                refresh(true);
            }
            entry = index_.find(hash, [&](const table_entry& one) { return may_be(one, key); });
            if (entry == nullptr) {
                return false;
            }
        }
        found = slice_of(*entry);
        return true;
    }

    [[nodiscard]] offset offset_of(const table_entry& entry) const noexcept {
        return entry.is_unplaced() ? static_cast<offset>(entry.place) : slice_of(entry).offset();
    }

    /// A record that was read, and where.
    struct found_record {
        format::record_slice record;
        const storage::record_range* range;
        position frame_at;
        position in_frame;
        std::uint32_t index;
    };

    /// Shows the records of a range to `use`; all of its frames' with `is_whole`.
    template <class Use>
    static void walk(const storage::record_range& range, bool is_whole, const Use& use) {
        for (position at = range.begin; at < range.end;) {
            const std::byte* const frame = range.frame(at);
            const auto word = load<format::frame_word>(frame);
            if (range.is_bare()) {
                use(found_record{format::record_slice{frame}, &range, at, 0, 0});
            } else if (word.kind() == format::frame_kind::data) {
                const bool is_lone = (word.attributes() & format::attribute::lone) != 0;
                format::record_walk records{format::load_header(frame), frame};
                found_record one{{}, &range, at, 0, 0};
                for (;;) {
                    one.in_frame = is_lone ? 0 : static_cast<position>(records.entry() - frame);
                    one.index = records.index();
                    if (!records.next(one.record)) {
                        break;
                    }
                    if (const offset here = one.record.offset(); is_whole || (here >= range.first && here < range.last)) {
                        use(one);
                    }
                }
            }
            at += word.length();
        }
    }

    // ---- reading on ----

    std::uint64_t read();

    bool take(const found_record& one);

    /// Where a record is, counted as one that lies there.
    [[nodiscard]] table_entry place_of(const found_record& one, std::uint32_t hash) {
        table_entry made;
        made.hash = hash;
        const std::uint16_t number = one.range->decoded ? std::uint16_t{0} : home_of(one.range->pin);
        const auto word = load<format::frame_word>(one.range->frame(one.frame_at));
        if (number != 0 && word.is_bare_lone()) {
            made.put_bare(number, one.frame_at);
        } else if (number == 0 || !made.put_in_segment(number, one.frame_at, one.in_frame, one.index)) {
            made.put_copy(copy_of(one.record, one.range->pin->seed()));
            return made;
        }
        home& here = homes_[number];
        ++here.live;
        here.lowest = one.record.offset() < here.lowest ? one.record.offset() : here.lowest;
        return made;
    }

    [[nodiscard]] table_entry* find_entry(bytes key, std::uint32_t hash) {
        for (;;) {
            table_entry* const entry = index_.find(hash, [&](const table_entry& one) { return may_be(one, key); });
            if (entry == nullptr || !entry->is_unplaced()) {
                return entry;
            }
            place_one(*entry);
        }
    }

    // ---- homes ----

    /// The number of a segment; 0: there are too many.
    [[nodiscard]] std::uint16_t home_of(const storage::segment_pin& pin) {
        if (homes_[last_home_].pin == pin) {
            return last_home_;
        }
        std::size_t number = 0;
        for (std::size_t i = 1; i < homes_.size(); ++i) {
            if (homes_[i].pin == pin) {
                number = i;
                break;
            }
            if (number == 0 && homes_[i].live == 0) {
                number = i;
            }
        }
        if (number == 0) {
            if (homes_.size() > table_entry::most_homes) {
                return 0;
            }
            number = homes_.size();
            homes_.emplace_back();
        }
        home& here = homes_[number];
        if (here.pin != pin) {
            here = {};
            here.pin = pin;
            here.data = pin->data();
            here.seed = pin->seed();
        }
        last_home_ = static_cast<std::uint16_t>(number);
        return last_home_;
    }

    /// What an entry has; the entry itself stays to be erased or filled again.
    void let_go(table_entry& entry) noexcept;

    void erase(table_entry& entry) noexcept;

    /// Erases every entry for which `is_gone` says so.
    template <class IsGone>
    void erase_if(const IsGone& is_gone) {
        for (std::size_t place = 0; place < index_.capacity();) {
            table_entry& entry = index_.at(place);
            if (entry.is_there() && is_gone(entry)) {
                erase(entry);  // another may stand here now
            } else {
                ++place;
            }
        }
    }

    void drop_all() noexcept;

    void start_over();

    /// Retention has passed: what is below the start is gone.
    void drop_below_start();

    // ---- looking up by offset ----

    [[nodiscard]] bool has_gone_segments() const noexcept;

    /// Puts the entry that was known by a record's offset where that record is. False where there is none.
    bool adopt(const found_record& one);

    /// Looks up an entry that is known by its offset. The entry moves, or is erased.
    void place_one(const table_entry& entry);

    /// Looks up again what lay in files that have gone, and with `all` whatever is not placed.
    void look_up_again(bool all);

    void adopt_between(offset least, offset most);

    /// Of a table that stays as of some time.
    void copy_out();

    // ---- as of some time ----

    void require_history();

    // ---- the file ----

    [[nodiscard]] bool can_save() const noexcept;

    [[nodiscard]] std::uint32_t file_flags() const noexcept;

    /// Takes what a table before has left; false, and nothing is taken, where that is not to be believed.
    [[nodiscard]] bool load_file();

    [[nodiscard]] bool take_file(table_file_reader& file, const format::table_file_header& header);

    /// Whether a segment that the file tells of is still the same. What cannot be looked at is looked up again.
    void look_at_home(home& one, offset first);

    [[nodiscard]] failure write_file(std::uint32_t last_epoch);

    storage::log* log_;
    table_settings settings_;
    storage::log_reader reader_;                // where it goes on
    storage::log_reader looker_;                // looks up by offset
    std::byte* next_word_ = nullptr;            // what publishes the next record; null: a refresh has to look
    table_index index_;
    std::vector<home> homes_;                   // by number; 0 is nobody's
    std::vector<storage::record_range> ranges_;  // reused by each fetch
    std::uint16_t last_home_ = 0;
    bool has_strays_ = false;
    bool is_complete_ = false;                  // it is as of the time that was asked for
    bool is_lying_ = false;                     // the file, as a look at the log has shown: what was taken from it goes
    std::uint32_t quiet_looks_ = 0;             // since somebody looked whether segments have gone
    std::uint64_t unplaced_ = 0;
    offset start_ = 0;                          // nothing below it is in the index
    offset saved_ = 0;                          // how far the file covers
};

}  // namespace brook::inline BROOK_ABI::engine

#if !BROOK_SEPARATE_COMPILATION
#include <brook/engine/bodies/table_partition.hpp>
#endif
