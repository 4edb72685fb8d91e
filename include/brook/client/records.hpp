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
public:
    /// Errors    no_value, when it has none (Kafka's null key) and the key type is not no_key; what its serde throws.
    [[nodiscard]] typename detail::codec<Key>::view_type key() const {
        if constexpr (!std::is_same_v<Key, no_key>) {
            if (!slice_.has_key()) [[unlikely]] {
                refuse(slice_, partition_, "has no key; look at has_key() first");
            }
        }
        return detail::codec<Key>::read(slice_.key());
    }

    /// Errors    no_value for a tombstone; schema_read, or what its serde throws, where the bytes are not a Value.
    [[nodiscard]] typename detail::codec<Value>::view_type value() const {
        if (!slice_.has_value()) [[unlikely]] {
            refuse(slice_, partition_, "is a tombstone; look at is_tombstone() first");
        }
        return detail::codec<Value>::read(slice_.value());
    }

    [[nodiscard]] bool has_key() const noexcept { return slice_.has_key(); }
    [[nodiscard]] bool is_tombstone() const noexcept { return !slice_.has_value(); }
    [[nodiscard]] bytes key_bytes() const noexcept { return slice_.key(); }
    [[nodiscard]] bytes value_bytes() const noexcept { return slice_.value(); }

    [[nodiscard]] brook::offset offset() const noexcept { return slice_.offset(); }
    [[nodiscard]] std::int32_t partition() const noexcept { return partition_; }
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

    record_view(format::record_slice slice, std::int32_t partition) noexcept : slice_{slice}, partition_{partition} {}

private:
    /// By value, so that a view which nobody refuses can stay in registers.
    [[noreturn]] static void refuse(format::record_slice slice, std::int32_t partition, const char* what) {
        throw_error(errc::no_value, std::string{"the record at offset "} + std::to_string(slice.offset()) + " of partition " + std::to_string(partition) + ' ' + what);
    }

    format::record_slice slice_;
    std::int32_t partition_;
};

/// Records from one poll, partition by partition, in the order of their offsets. Holds the memory they lie in, so that
/// they outlive retention, the consumer and the broker; move it where they are needed longest.
///
/// Threads   immutable.
/// Cost      iterating walks the segment; nothing is copied.
template <class Key, class Value, class Broker = broker>
class records {
    using range = typename detail::engine_t<Broker>::range;

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

        [[nodiscard]] value_type operator*() const noexcept { return {slice_, partition_}; }

        iterator& operator++() noexcept {
            --left_;
            step();
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }

        [[nodiscard]] bool operator==(const iterator& other) const noexcept { return left_ == other.left_; }

    private:
        friend class records;

        explicit iterator(const records& batch) noexcept : batch_{&batch}, left_{batch.count_} {
            if (left_ > 0) {
                enter(0);
                step();
            }
        }

        void enter(std::size_t part) noexcept {
            part_ = part;
            partition_ = batch_->part_at(part).partition;
            const range& now = batch_->part_at(part).of;
            next_ = now.pin->data() + now.begin;
            end_ = now.pin->data() + now.end;
        }

        /// Goes to the next record that is meant, if any is left. Most often that is the next frame's only one.
        [[gnu::always_inline]] void step() noexcept {
            if (next_ < end_ && !is_in_batch_) [[likely]] {
                const auto word = load<format::frame_word>(next_);
                if (word.is_plain_lone() && slice_.look_at_lone(next_, word)) [[likely]] {
                    next_ += word.length();
                    return;
                }
            }
            step_slowly();
        }

        void step_slowly() noexcept {
            while (left_ > 0) {
                if (is_in_batch_) {
                    if (walk_records()) {
                        return;
                    }
                    is_in_batch_ = false;
                }
                if (next_ < end_) {
                    const std::byte* const frame = next_;
                    const auto word = load<format::frame_word>(frame);
                    next_ += word.length();
                    if (word.kind() == format::frame_kind::data) {
                        walk_ = {format::load_header(frame), frame};
                        is_in_batch_ = true;
                    }
                } else if (part_ < batch_->more_.size()) {
                    enter(part_ + 1);
                } else {
                    left_ = 0;  // a batch says that it has more records than it has: only a hostile file does
                }
            }
        }

        /// Within a batch, of which perhaps not all records are meant.
        [[nodiscard]] bool walk_records() noexcept {
            const range& now = batch_->part_at(part_).of;
            while (walk_.next(slice_)) {
                if (const auto at = slice_.offset(); at >= now.first && at < now.last) {
                    return true;
                }
            }
            return false;
        }

        const records* batch_ = nullptr;
        std::uint32_t left_ = 0;
        std::size_t part_ = 0;
        std::int32_t partition_ = -1;      // of the part
        const std::byte* next_ = nullptr;  // frame of the part
        const std::byte* end_ = nullptr;   // of the part
        format::record_slice slice_;
        bool is_in_batch_ = false;
        format::record_walk walk_;  // then: of that batch
    };

    records() noexcept = default;
    records(records&& other) noexcept
        : first_{std::move(other.first_)}, more_{std::move(other.more_)}, count_{std::exchange(other.count_, 0)} {}
    records& operator=(records&& other) noexcept {
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
    [[nodiscard]] value_type front() const& noexcept { return *begin(); }  ///< Requires  not empty
    iterator begin() const&& = delete;
    iterator end() const&& = delete;
    value_type front() const&& = delete;

    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

    /// Used by the consumer.
    void add(std::int32_t partition, range of) {
        const std::uint32_t count = of.count;
        if (empty()) {
            first_ = {partition, std::move(of)};
        } else {
            more_.push_back({partition, std::move(of)});
        }
        count_ += count;
    }

private:
    struct part {
        std::int32_t partition = -1;
        range of{};
    };
    [[nodiscard]] const part& part_at(std::size_t index) const noexcept { return index == 0 ? first_ : more_[index - 1]; }

    part first_;  // most have no other, and allocate nothing
    std::vector<part> more_;
    std::uint32_t count_ = 0;
};

}  // namespace brook::inline BROOK_ABI
