/// \file brook/client/records.hpp
/// What poll gives: a batch of records, and views of them in place.
/// Floor 6, client.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI {

/// One record, in place.
///
/// Threads   immutable.
/// Lifetime  it and everything it gives point into the batch of records it came from.
/// Cost      key and value of plain types and texts are looked at where they lie; a serde that decodes does so at
///           each call.
template <class Key, class Value, class Broker = broker>
class record_view {
    using segment = typename decltype(detail::engine_t<Broker>::range::pin)::element_type;
    using partition_name = std::remove_cvref_t<decltype(std::declval<const segment&>().of())>;

public:
    /// Errors    no_value, when it has none (Kafka's null key) and the key type is not no_key; what its serde throws.
    [[nodiscard]] typename detail::codec<Key>::view_type key() const {
        if constexpr (!std::is_same_v<Key, no_key>) {
            if (!slice_.has_key()) [[unlikely]] {
                refuse(slice_, *of_, "has no key; look at has_key() first");
            }
        }
        return detail::codec<Key>::read(slice_.key());
    }

    /// Errors    no_value for a tombstone; schema_read, or what its serde throws, where the bytes are not a Value.
    [[nodiscard]] typename detail::codec<Value>::view_type value() const {
        if (!slice_.has_value()) [[unlikely]] {
            refuse(slice_, *of_, "is a tombstone; look at is_tombstone() first");
        }
        return detail::codec<Value>::read(slice_.value());
    }

    [[nodiscard]] bool has_key() const noexcept { return slice_.has_key(); }
    [[nodiscard]] bool is_tombstone() const noexcept { return !slice_.has_value(); }
    [[nodiscard]] bytes key_bytes() const noexcept { return slice_.key(); }
    [[nodiscard]] bytes value_bytes() const noexcept { return slice_.value(); }

    [[nodiscard]] brook::offset offset() const noexcept { return slice_.offset(); }
    [[nodiscard]] std::string_view topic() const noexcept { return of_->topic; }
    [[nodiscard]] std::int32_t partition() const noexcept { return static_cast<std::int32_t>(of_->number); }
    [[nodiscard]] brook::timestamp timestamp() const noexcept { return brook::timestamp{std::chrono::nanoseconds{slice_.timestamp()}}; }
    [[nodiscard]] brook::timestamp_type timestamp_type() const noexcept {
        return slice_.is_append_time() ? brook::timestamp_type::append_time : brook::timestamp_type::create_time;
    }

    /// The last header of that name, as a text; nullopt when there is none, or its value is null.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept {
        std::optional<std::string_view> last;
        format::header_slice one;
        for (bytes rest = slice_.headers(); format::next_header(rest, one);) {
            if (one.name == name) {
                last = one.value ? std::optional{as_text(*one.value)} : std::nullopt;
            }
        }
        return last;
    }

    /// All headers in their order.
    /// Cost      one allocation.
    [[nodiscard]] std::vector<format::header_slice> headers() const {
        std::vector<format::header_slice> all;
        format::header_slice one;
        for (bytes rest = slice_.headers(); format::next_header(rest, one);) {
            all.push_back(one);
        }
        return all;
    }

    record_view(format::record_slice slice, const partition_name* of) noexcept : slice_{slice}, of_{of} {}

private:
    template <class, class, class>
    friend class table;

    /// By value, so that a view which nobody refuses can stay in registers.
    [[noreturn]] static void refuse(format::record_slice slice, const partition_name& of, const char* what) {
        throw_error(errc::no_value, of.text() + ": the record at offset " + std::to_string(slice.offset()) + ' ' + what);
    }

    format::record_slice slice_;
    const partition_name* of_;  // whose it is; lives as long as the memory that it lies in
};

/// Records from one poll, partition by partition, in the order of their offsets. Holds the memory they lie in, so that
/// they outlive retention, the consumer and the broker; move it where they are needed longest: views go on, iterators do not.
///
/// Threads   immutable.
/// Cost      iterating walks the segment; nothing is copied. What was compressed has been decoded by poll, into memory that this
///           holds.
template <class Key, class Value, class Broker = broker>
class records {
    using range = typename detail::engine_t<Broker>::range;
    using segment = typename decltype(range::pin)::element_type;
    using partition_name = std::remove_cvref_t<decltype(std::declval<const segment&>().of())>;

public:
    using value_type = record_view<Key, Value, Broker>;

    /// Yields views by value: `auto const& record = *records.begin()` is safe.
    class iterator {
    public:
        using iterator_concept = std::forward_iterator_tag;
        using iterator_category = std::input_iterator_tag;  // it yields values, not references
        using value_type = record_view<Key, Value, Broker>;
        using difference_type = std::ptrdiff_t;
        using reference = value_type;
        using pointer = void;

        iterator() noexcept = default;

        [[nodiscard]] value_type operator*() const noexcept {
            if (here_.entry == nullptr) [[likely]] {
                return {format::record_slice{here_.frame}, here_.of};
            }
            if (here_.entry == here_.frame) {
                return {look_closer(here_.frame), here_.of};
            }
            format::record_slice slice;
            slice.look_at_entry(here_.frame, here_.entry, here_.index);
            return {slice, here_.of};
        }

        iterator& operator++() noexcept {
            step();
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }

        [[nodiscard]] bool operator==(const iterator& other) const noexcept {
            return here_.frame == other.here_.frame && here_.entry == other.here_.entry;
        }

    private:
        friend class records;

        /// Where the iterator stands. Handed to functions and back by value, so that a loop can keep it in registers.
        struct place {
            const std::byte* frame = nullptr;     ///< null: behind the last record
            const std::byte* entry = nullptr;     ///< in a batch: the record; null: a bare lone frame; itself: another lone one
            const std::byte* next = nullptr;      ///< the frame behind it
            const std::byte* bare_end = nullptr;  ///< end of the part, where it has bare lone frames alone
            std::uint32_t stride = 0;             ///< there: the part's bare_stride
            const std::byte* entry_end = nullptr; ///< in a batch: behind the record; where details come, nobody asks
            std::uint32_t index = 0;              ///< in a batch
            std::uint32_t entries_left = 0;       ///< in a batch without details, of which all records are meant: those behind it
            std::uint32_t left = 0;               ///< records of the part behind this one and `entries_left`; of a bare part nobody counts
            std::uint32_t part = 0;
            const partition_name* of = nullptr;
        };

        explicit iterator(const records& batch) noexcept : batch_{&batch} {
            if (batch.count_ > 0) {
                here_ = enter(batch, 0);
                step();
            }
        }

        /// Goes to the next record that is meant, if any is left. Most often that is the next frame's only one.
        [[gnu::always_inline]] void step() noexcept {
            if (here_.next < here_.bare_end) [[likely]] {
                here_.frame = here_.next;
                const std::uint32_t length = here_.stride != range::many_strides ? here_.stride : load<format::frame_word>(here_.next).length();
                here_.next += length;
                if (here_.bare_end - here_.next > format::read_ahead_distance) {
                    format::read_ahead(here_.next, length);
                }
            } else if (here_.entries_left == 0 || !step_in_batch(here_)) {
                if (here_.bare_end != nullptr && here_.part == batch_->more_.size()) {
                    here_.frame = nullptr;
                } else {
                    here_ = search(*batch_, here_);
                }
            }
        }

        [[nodiscard, gnu::always_inline]] static bool step_in_batch(place& here) noexcept {
            const std::byte* const entry = here.entry_end;
            const auto room = static_cast<std::uint64_t>(here.next - entry);
            if (room < format::entry_size) [[unlikely]] {
                return false;
            }
            const std::uint64_t size = format::entry_bytes(format::entry_sizes(entry));
            if (room < size) [[unlikely]] {
                return false;
            }
            if (room > std::uint64_t{format::read_ahead_distance}) {
                format::read_ahead(entry, size);
            }
            here.entry = entry;
            here.entry_end = entry + size;
            ++here.index;
            --here.entries_left;
            return true;
        }

        [[nodiscard, gnu::noinline]] static place search(const records& batch, place here) noexcept {
            if (here.left > 0 && here.entry != nullptr && here.entry != here.frame) {
                format::record_walk rest{here.frame, here.entry, here.index};
                format::record_slice passed;
                if (rest.next(passed) && find_in_batch(batch, rest, here)) {
                    return here;
                }
            }
            here.entry = nullptr;
            here.entries_left = 0;
            for (;;) {
                const range& now = batch.part_at(here.part);
                if (here.left > 0 && here.next < now.data + now.end) {  // no more than were counted: frames of an enemy may hold others, which nobody wants
                    here.frame = here.next;
                    const auto word = load<format::frame_word>(here.frame);
                    here.next += word.length();
                    if (now.is_bare()) {
                        return here;
                    }
                    if (word.kind() != format::frame_kind::data || (word.attributes() & format::attribute::codec_mask) != 0) {
                        continue;
                    }
                    if ((word.attributes() & format::attribute::lone) != 0) {
                        if (format::record_slice one; one.look_at_lone(here.frame, word)) {
                            here.entry = here.frame;
                            --here.left;
                            return here;
                        }
                        continue;
                    }
                    if (format::record_walk entries{format::load_header(here.frame), here.frame}; find_in_batch(batch, entries, here)) {
                        return here;
                    }
                } else if (here.part < batch.more_.size()) {
                    here = enter(batch, here.part + 1);
                } else {
                    return {};
                }
            }
        }

        [[nodiscard]] static place enter(const records& batch, std::uint32_t index) noexcept {
            const range& entered = batch.part_at(index);
            place here;
            here.next = entered.data + entered.begin;
            here.bare_end = entered.is_bare() ? entered.data + entered.end : nullptr;
            here.stride = entered.bare_stride;
            here.left = entered.count;
            here.part = index;
            here.of = &entered.pin->of();
            return here;
        }

        /// Within a batch, of which perhaps not all records are meant.
        [[nodiscard]] static bool find_in_batch(const records& batch, format::record_walk& walk, place& here) noexcept {
            const range& now = batch.part_at(here.part);
            for (format::record_slice one; here.entry = walk.entry(), here.index = walk.index(), walk.next(one);) {
                if (const auto at = one.offset(); at >= now.first && at < now.last) {
                    const auto header = format::load_header(here.frame);
                    const bool is_simple = (header.extension & format::extension::detail) == 0 && header.count <= now.last - header.base_offset;
                    const std::uint32_t behind = is_simple ? header.count - here.index - 1 : 0;
                    here.entries_left = behind < here.left ? behind : here.left - 1;
                    here.left -= 1 + here.entries_left;
                    here.entry_end = walk.entry();
                    return true;
                }
            }
            here.entry = nullptr;
            return false;
        }

        [[nodiscard, gnu::noinline]] static format::record_slice look_closer(const std::byte* lone) noexcept {
            format::record_slice slice;
            static_cast<void>(slice.look_at_lone(lone, load<format::frame_word>(lone)));  // it did before
            return slice;
        }

        const records* batch_ = nullptr;
        place here_;
    };

    records() noexcept = default;
    records(records&& other) noexcept
        : first_{std::move(other.first_)}, more_{std::move(other.more_)}, count_{std::exchange(other.count_, 0)} {}
    records& operator=(records&& other) noexcept {
        if (this == &other) {
            return *this;
        }
        first_ = std::move(other.first_);
        more_ = std::move(other.more_);
        count_ = std::exchange(other.count_, 0);
        return *this;
    }
    records(const records&) = delete;
    records& operator=(const records&) = delete;
    ~records() = default;

    // A temporary's views would die with it: `for (auto const& record : consumer.poll(1s))` keeps it, poll().begin() does not.
    [[nodiscard]] iterator begin() const& noexcept { return iterator{*this}; }
    [[nodiscard]] iterator end() const& noexcept { return {}; }
    [[nodiscard]] value_type front() const& noexcept { return *begin(); }  ///< Requires  begin() != end()
    iterator begin() const&& = delete;
    iterator end() const&& = delete;
    value_type front() const&& = delete;

    /// Of what is damaged, and was not verified, there may be fewer than these say, and none at all; never more.
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

    /// Used by the consumer.
    void add(range&& part) {
        const std::uint32_t count = part.count;
        if (empty()) {
            first_.emplace(std::move(part));
        } else {
            more_.push_back(std::move(part));
        }
        count_ += count;
    }

private:
    [[nodiscard]] const range& part_at(std::size_t index) const noexcept { return index == 0 ? *first_ : more_[index - 1]; }

    std::optional<range> first_;  // most have no other, and allocate nothing
    std::vector<range> more_;
    std::uint32_t count_ = 0;
};

}  // namespace brook::inline BROOK_ABI
