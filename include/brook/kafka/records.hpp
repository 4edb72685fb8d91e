/// \file brook/kafka/records.hpp
/// What poll gives of a cluster's topics: records as librdkafka has received them.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/records.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/record.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// One record, as librdkafka has it.
class message {
public:
    explicit message(rd_kafka_message_t* raw) noexcept : raw_{raw} {}

    [[nodiscard]] rd_kafka_message_t* get() const noexcept { return raw_; }
    [[nodiscard]] bool has_key() const noexcept { return raw_->key != nullptr; }
    [[nodiscard]] bool has_value() const noexcept { return raw_->payload != nullptr; }
    [[nodiscard]] bytes key() const noexcept { return {static_cast<const std::byte*>(raw_->key), raw_->key_len}; }
    [[nodiscard]] bytes value() const noexcept { return {static_cast<const std::byte*>(raw_->payload), raw_->len}; }
    [[nodiscard]] brook::offset offset() const noexcept { return raw_->offset; }
    [[nodiscard]] std::string_view topic() const noexcept { return rd_kafka_topic_name(raw_->rkt); }
    [[nodiscard]] std::int32_t partition() const noexcept { return raw_->partition; }

    [[nodiscard]] brook::timestamp timestamp() const noexcept {
        const std::int64_t time = rd_kafka_message_timestamp(raw_, nullptr);
        return time_of(time < 0 ? 0 : time);
    }
    [[nodiscard]] brook::timestamp_type timestamp_type() const noexcept {
        rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        static_cast<void>(rd_kafka_message_timestamp(raw_, &type));
        return type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? brook::timestamp_type::append_time : brook::timestamp_type::create_time;
    }

    /// Calls `use` with each header, in their order.
    template <class Use>
    void each_header(const Use& use) const {
        rd_kafka_headers_t* all = nullptr;
        if (rd_kafka_message_headers(raw_, &all) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return;
        }
        const char* name = nullptr;
        const void* data = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(all, i, &name, &data, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
            use(format::header_slice{name, data != nullptr ? std::optional{bytes{static_cast<const std::byte*>(data), size}} : std::nullopt});
        }
    }

    [[nodiscard]] std::string text() const { return "topic '" + std::string{topic()} + "', partition " + std::to_string(partition()); }

private:
    rd_kafka_message_t* raw_;
};

/// Messages of one poll, and the handle they are from.
class message_batch {
public:
    message_batch() noexcept = default;
    message_batch(message_batch&& other) noexcept : from_{std::move(other.from_)}, all_{std::move(other.all_)} { other.all_.clear(); }
    message_batch& operator=(message_batch&& other) noexcept {
        from_.swap(other.from_);
        all_.swap(other.all_);
        return *this;
    }
    message_batch(const message_batch&) = delete;
    message_batch& operator=(const message_batch&) = delete;
    ~message_batch() {
        for (auto* const one : all_) {
            rd_kafka_message_destroy(one);
        }
    }

    [[nodiscard]] std::vector<rd_kafka_message_t*>& all() noexcept { return all_; }
    [[nodiscard]] const std::vector<rd_kafka_message_t*>& all() const noexcept { return all_; }
    void hold(std::shared_ptr<client> from) noexcept { from_ = std::move(from); }

private:
    std::shared_ptr<client> from_;  // goes after them
    std::vector<rd_kafka_message_t*> all_;
};

/// Plain types are copied out of memory that nobody has aligned; views stay views.
template <class T>
using unaligned_view = std::remove_cvref_t<decltype(detail::codec<T>::read_unaligned(bytes{}))>;

}  // namespace brook::inline BROOK_ABI::kafka

namespace brook::inline BROOK_ABI {

/// One record. Plain keys and values come by value, texts and bytes as views.
///
/// Threads   immutable, but for headers, which are decoded when they are first asked for.
/// Lifetime  it and what it gives as views point into the batch of records it came from.
template <class Key, class Value>
class record_view<Key, Value, kafka::broker> {
public:
    /// Errors    no_value, when it has none (Kafka's null key) and the key type is not no_key; what its serde throws.
    [[nodiscard]] kafka::unaligned_view<Key> key() const {
        if constexpr (!std::is_same_v<Key, no_key>) {
            if (!message_.has_key()) [[unlikely]] {
                refuse("has no key; look at has_key() first");
            }
        }
        return detail::codec<Key>::read_unaligned(message_.key());
    }

    /// Errors    no_value for a tombstone; schema_read, or what its serde throws, where the bytes are not a Value.
    [[nodiscard]] kafka::unaligned_view<Value> value() const {
        if (!message_.has_value()) [[unlikely]] {
            refuse("is a tombstone; look at is_tombstone() first");
        }
        return detail::codec<Value>::read_unaligned(message_.value());
    }

    [[nodiscard]] bool has_key() const noexcept { return message_.has_key(); }
    [[nodiscard]] bool is_tombstone() const noexcept { return !message_.has_value(); }
    [[nodiscard]] bytes key_bytes() const noexcept { return message_.key(); }
    [[nodiscard]] bytes value_bytes() const noexcept { return message_.value(); }

    [[nodiscard]] brook::offset offset() const noexcept { return message_.offset(); }
    [[nodiscard]] std::string_view topic() const noexcept { return message_.topic(); }
    [[nodiscard]] std::int32_t partition() const noexcept { return message_.partition(); }
    [[nodiscard]] brook::timestamp timestamp() const noexcept { return message_.timestamp(); }
    [[nodiscard]] brook::timestamp_type timestamp_type() const noexcept { return message_.timestamp_type(); }

    /// The last header of that name, as a text; nullopt when there is none, or its value is null.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const {
        std::optional<std::string_view> last;
        message_.each_header([&](const format::header_slice& one) {
            if (one.name == name) {
                last = one.value ? std::optional{as_text(*one.value)} : std::nullopt;
            }
        });
        return last;
    }

    /// All headers in their order.
    [[nodiscard]] std::vector<format::header_slice> headers() const {
        std::vector<format::header_slice> all;
        message_.each_header([&](const format::header_slice& one) { all.push_back(one); });
        return all;
    }

    explicit record_view(rd_kafka_message_t* of) noexcept : message_{of} {}

private:
    [[noreturn]] void refuse(const char* what) const { throw_error(errc::no_value, message_.text() + ": the record at offset " + std::to_string(message_.offset()) + ' ' + what); }

    kafka::message message_;
};

/// Records from one poll, in the order of their offsets within each partition. Holds them, and librdkafka's handle, as long as it lives.
///
/// Threads   immutable, as its records.
template <class Key, class Value>
class records<Key, Value, kafka::broker> {
public:
    using value_type = record_view<Key, Value, kafka::broker>;

    /// Yields views by value: `auto const& record = *records.begin()` is safe.
    class iterator {
    public:
        using iterator_concept = std::forward_iterator_tag;
        using iterator_category = std::input_iterator_tag;  // it yields values, not references
        using value_type = record_view<Key, Value, kafka::broker>;
        using difference_type = std::ptrdiff_t;
        using reference = value_type;
        using pointer = void;

        iterator() noexcept = default;
        explicit iterator(rd_kafka_message_t* const* at) noexcept : at_{at} {}

        [[nodiscard]] value_type operator*() const noexcept { return value_type{*at_}; }
        iterator& operator++() noexcept {
            ++at_;
            return *this;
        }
        iterator operator++(int) noexcept { return iterator{at_++}; }
        [[nodiscard]] bool operator==(const iterator& other) const noexcept { return at_ == other.at_; }

    private:
        rd_kafka_message_t* const* at_ = nullptr;
    };

    records() noexcept = default;

    // A temporary's views would die with it: `for (auto const& record : consumer.poll(1s))` keeps it, poll().begin() does not.
    [[nodiscard]] iterator begin() const& noexcept { return iterator{batch_.all().data()}; }
    [[nodiscard]] iterator end() const& noexcept { return iterator{batch_.all().data() + batch_.all().size()}; }
    [[nodiscard]] value_type front() const& noexcept { return *begin(); }  ///< Requires  not empty
    iterator begin() const&& = delete;
    iterator end() const&& = delete;
    value_type front() const&& = delete;

    [[nodiscard]] bool empty() const noexcept { return batch_.all().empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return batch_.all().size(); }

    /// By the consumer.
    explicit records(kafka::message_batch batch) noexcept : batch_{std::move(batch)} {}

private:
    kafka::message_batch batch_;
};

}  // namespace brook::inline BROOK_ABI
