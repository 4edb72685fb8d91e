/// \file brook/kafka/producer.hpp
/// Sends typed records to a cluster's topic.
/// Edge of floor 6, kafka.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/delivery.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/producer.hpp>
#include <brook/client/record.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/kafka/sender.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/os/posix.hpp>

namespace brook::inline BROOK_ABI {

namespace kafka {

/// Stands in for the slot of a claim, to be named by the compiler when somebody asks for one: records are claimed in place, in a segment of
/// this process, and what goes to a Kafka cluster is copied. Use send().
struct claims_need_an_embedded_broker;

}  // namespace kafka

/// Sends records to one topic of a cluster: as the embedded one does, but for what brook/kafka.hpp lists.
///
/// Each delivery ends in exactly one of three: acknowledged; failed, and nothing was written; or timed_out, and whether it was written shows
/// later. With acks::all, which is the default, nothing is there twice: it is idempotent, whatever enable_idempotence says.
///
/// Threads   shared, but for moving it.
/// Cost      some threads of librdkafka's, and a connection to each broker. A send: copies, a lock, an allocation.
/// Lifetime  its destructor flushes, delivery_timeout and 10 s long at most; failures that nobody asked for then go to broker.health(). It does not
///           die in its own on_delivery.
template <class Key, class Value>
class producer<Key, Value, kafka::broker> {
    static_assert(detail::check_storable_key<Key>() && detail::check_storable<Value>());

    using key_argument = typename detail::codec<Key>::argument_type;
    using value_argument = typename detail::codec<Value>::argument_type;
    static constexpr bool is_keyed = !std::is_same_v<Key, no_key>;

public:
    /// Errors    invalid_config, closed; unsupported_compression_type.
    explicit producer(const topic<Key, Value, kafka::broker>& to, producer_options options = {})
        : sender_{kafka::sender::make(detail::access::engine(to), options)},
          sticky_{std::make_unique<sticky_partitioner>(to.partition_count(), static_cast<std::uint32_t>(options.batch_size), os::posix().random())} {}

    producer(producer&&) noexcept = default;
    producer& operator=(producer&& other) noexcept {
        if (this != &other) {
            close_quietly();
            sender_ = std::move(other.sender_);
            sticky_ = std::move(other.sticky_);
        }
        return *this;
    }
    producer(const producer&) = delete;
    producer& operator=(const producer&) = delete;
    ~producer() { close_quietly(); }

    delivery send(key_argument key, value_argument value)
        requires is_keyed
    {
        return send_value(detail::serialized<Key>{key}, value, nullptr, {}, {});
    }

    /// Deletes the key, once the topic is compacted.
    delivery send(key_argument key, tombstone_t)
        requires is_keyed
    {
        return send_bytes(detail::serialized<Key>{key}, std::nullopt, nullptr, {}, {});
    }

    delivery send(value_argument value)
        requires(!is_keyed)
    {
        return send_value(detail::serialized<Key>{no_key{}}, value, nullptr, {}, {});
    }

    delivery send(const record<Key, Value>& record) {
        refuse_sequence(record.sequence);
        return send_value(detail::serialized<Key>{record.key}, record.value, &record.headers, record.timestamp, record.partition);
    }

    delivery send(const record<Key, tombstone_t>& record)
        requires is_keyed
    {
        refuse_sequence(record.sequence);
        return send_bytes(detail::serialized<Key>{record.key}, std::nullopt, &record.headers, record.timestamp, record.partition);
    }

    kafka::claims_need_an_embedded_broker claim(std::size_t size) = delete;
    kafka::claims_need_an_embedded_broker claim(key_argument key, std::size_t size) = delete;

    /// Waits until everything sent is acknowledged or has failed: delivery_timeout long at most, and up to reconnect.backoff.max.ms more, 1 s,
    /// where a connection was lost: librdkafka tells of what has timed out that late.
    /// Errors    thrown: the first failure since the last flush that no delivery was asked about.
    void flush() { raise(sender().flush()); }

    /// Flushes; what is sent afterwards fails with closed.
    void close() { raise(sender().close()); }

private:
    delivery send_value(const detail::serialized<Key>& key, value_argument value, const std::vector<header>* headers, std::optional<brook::timestamp> time,
                        std::optional<std::int32_t> partition) {
        const detail::serialized<Value> value_bytes{value};
        return send_bytes(key, value_bytes.view(), headers, time, partition);
    }

    delivery send_bytes(const detail::serialized<Key>& key, std::optional<bytes> value, const std::vector<header>* headers, std::optional<brook::timestamp> time,
                        std::optional<std::int32_t> partition) {
        kafka::sender& sending = sender();
        kafka::outgoing_record record{.value = value, .headers = headers, .time = time};
        if constexpr (is_keyed) {
            record.key = key.view();
        }
        record.partition = partition ? *partition : choose(key, value ? value->size() : 0);
        return {record.partition, sending.send(record)};
    }

    [[nodiscard]] std::int32_t choose(const detail::serialized<Key>& key, std::size_t size) const noexcept {
        if constexpr (is_keyed) {
            static_cast<void>(size);
            return partition_for_key(key.view(), sender_->topic().partition_count);
        } else {
            static_cast<void>(key);
            return sticky_->choose(static_cast<std::uint32_t>(size < std::size_t{gib} ? size : std::size_t{gib}));
        }
    }

    void refuse_sequence(std::optional<std::int64_t> sequence) const {
        if (sequence) {
            throw_error(errc::invalid_config, "producer of " + sender().topic().text() + ": a record has a sequence, and Kafka's producers number theirs themselves; leave it out");
        }
    }

    static void raise(const failure& why) {
        if (why) {
            why.raise();
        }
    }

    [[nodiscard]] kafka::sender& sender() const {
        if (!sender_) [[unlikely]] {
            throw_error(errc::illegal_state, "this producer has been moved from");
        }
        return *sender_;
    }

    void close_quietly() noexcept {
        if (!sender_) {
            return;
        }
        try {
            if (const failure why = sender_->close()) {
                sender_->report(why);
            }
        } catch (const std::exception&) {  // no memory to tell it: the deliveries say it
        }
    }

    std::shared_ptr<kafka::sender> sender_;
    std::unique_ptr<sticky_partitioner> sticky_;
};

}  // namespace brook::inline BROOK_ABI
