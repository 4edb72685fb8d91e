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
            if (!slice_.has_key) [[unlikely]] {
                refuse("has no key; look at has_key() first");
            }
        }
        return detail::codec<Key>::read(slice_.key);
    }

    /// Errors    no_value for a tombstone; schema_read, or what its serde throws, where the bytes are not a Value.
    [[nodiscard]] typename detail::codec<Value>::view_type value() const {
        if (!slice_.has_value) [[unlikely]] {
            refuse("is a tombstone; look at is_tombstone() first");
        }
        return detail::codec<Value>::read(slice_.value);
    }

    [[nodiscard]] bool has_key() const noexcept { return slice_.has_key; }
    [[nodiscard]] bool is_tombstone() const noexcept { return !slice_.has_value; }
    [[nodiscard]] bytes key_bytes() const noexcept { return slice_.key; }
    [[nodiscard]] bytes value_bytes() const noexcept { return slice_.value; }

    [[nodiscard]] brook::offset offset() const noexcept { return slice_.offset; }
    [[nodiscard]] std::int32_t partition() const noexcept { return partition_; }
    [[nodiscard]] brook::timestamp timestamp() const noexcept { return brook::timestamp{std::chrono::nanoseconds{slice_.timestamp}}; }
    [[nodiscard]] brook::timestamp_type timestamp_type() const noexcept {
        return slice_.is_append_time ? brook::timestamp_type::append_time : brook::timestamp_type::create_time;
    }

    /// The last header of that name, as a text; nullopt when there is none, or its value is null.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept {
        std::optional<std::string_view> last;
        format::header_slice one;
        for (bytes rest = slice_.headers; format::next_header(rest, one);) {
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
        for (bytes rest = slice_.headers; format::next_header(rest, one);) {
            all.push_back(one);
        }
        return all;
    }

    record_view(const format::record_slice& slice, std::int32_t partition) noexcept : slice_{slice}, partition_{partition} {}

private:
    [[noreturn]] void refuse(const char* what) const {
        throw_error(errc::no_value, std::string{"the record at offset "} + std::to_string(slice_.offset) + " of partition " + std::to_string(partition_) + ' ' + what);
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

        [[nodiscard]] value_type operator*() const noexcept { return {slice_, batch_->parts_[part_].partition}; }

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
            const range& now = batch_->parts_[part].of;
            data_ = now.pin->data();
            at_ = now.begin;
            end_ = now.end;
        }

        /// Goes to the next record that is meant, if any is left.
        void step() noexcept {
            while (left_ > 0) {
                if (walk_ && walk_records()) {
                    return;
                }
                if (at_ >= end_) {
                    if (part_ + 1 == batch_->parts_.size()) {
                        left_ = 0;  // a batch says that it has more records than it has: only a hostile file does
                        return;
                    }
                    enter(part_ + 1);
                    continue;
                }
                const std::byte* const frame = data_ + at_;
                const auto word = load<format::frame_word>(frame);
                at_ += word.length();
                if (word.is_plain_lone()) {
                    if (format::read_lone(frame, word, slice_)) [[likely]] {
                        return;
                    }
                } else if (word.kind() == format::frame_kind::data) {
                    walk_.emplace(format::load_header(frame), frame);
                }
            }
        }

        /// Within a batch, of which perhaps not all records are meant.
        [[nodiscard]] bool walk_records() noexcept {
            const range& now = batch_->parts_[part_].of;
            while (walk_->next(slice_)) {
                if (slice_.offset >= now.first && slice_.offset < now.last) {
                    return true;
                }
            }
            walk_.reset();
            return false;
        }

        const records* batch_ = nullptr;
        std::uint32_t left_ = 0;
        std::size_t part_ = 0;
        const std::byte* data_ = nullptr;  // of the part's segment
        position at_ = 0;
        position end_ = 0;
        std::optional<format::record_walk> walk_;
        format::record_slice slice_;
    };

    records() noexcept = default;
    records(records&& other) noexcept : parts_{std::move(other.parts_)}, count_{std::exchange(other.count_, 0)} {}
    records& operator=(records&& other) noexcept {
        parts_ = std::move(other.parts_);
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
        count_ += of.count;
        parts_.push_back({partition, std::move(of)});
    }

private:
    struct part {
        std::int32_t partition;
        range of;
    };
    std::vector<part> parts_;
    std::uint32_t count_ = 0;
};

}  // namespace brook::inline BROOK_ABI
