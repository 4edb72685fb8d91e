/// \file brook/client/producer.hpp
/// Sends typed records to a topic.
/// Floor 6, client. Source: Kafka's KafkaProducer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/delivery.hpp>
#include <brook/client/outgoing.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/record.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/slot.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/open_slot.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/record.hpp>

namespace brook::inline BROOK_ABI {

/// When a record counts as acknowledged.
enum class acks {
    none,    ///< at once: nobody waits for the topic's flush policy
    leader,  ///< when the partition's leader has it, as its topic's flush policy says: in a cluster it is lost when that broker goes before another one has it, or is there at the offset that a leader before had given it
    all,     ///< when it is committed, on a majority and on min_insync_replicas, and can be read on this broker, unless its copy is late; with one replica the same as leader
};

struct producer_options {
    brook::acks acks = brook::acks::all;

    /// Bytes that a lingering batch gathers per partition, and that the sticky partitioner sends to one [batch.size].
    std::int64_t batch_size = 16 * kib;

    /// How long records may wait for company. 0: each is appended at once, for nanoseconds; Kafka's producer, which has
    /// a network in front of it, waits 5 ms [linger.ms].
    std::chrono::nanoseconds linger{};

    /// Compresses each batch, lingering ones and those of send_batch, where that makes it smaller; else, and for small ones, it is
    /// written as it is. A record that is sent alone is a batch of one from 512 bytes on. What is claimed in place is not
    /// compressed. The topic's option of this name, where it is given, counts instead [compression.type].
    brook::compression compression_type = brook::compression::none;

    /// How hard its codec tries: lz4 -65,537 (fastest) to 12, zstd about -131,072 to 22. nullopt: the library's default. Not
    /// looked at where the topic has another type [compression.lz4.level, compression.zstd.level].
    std::optional<int> compression_level{};

    /// Longest wait for an acknowledgement [delivery.timeout.ms]. Must be at least `linger`.
    std::chrono::nanoseconds delivery_timeout = std::chrono::minutes{2};

    /// Numbers its records per partition, so that one that is sent twice is there once: a repetition is told by its
    /// `record::sequence`, and its delivery says where the first is, as long as that is one of the producer's last sixteen
    /// batches. Kafka's default is true; here nothing is sent twice unless the user does it [enable.idempotence].
    bool enable_idempotence = false;

    /// A name of its own, the same after a restart: the partitions know its numbers again, and `last_sequence` says where
    /// to go on. Makes it idempotent. One thread a name, where it gives numbers itself: they rise in the order of the sends.
    /// Who comes with the same name takes its place: the older one's sends fail with producer_fenced. Kafka has no such thing
    /// short of a transactional id; RabbitMQ's streams have.
    std::string name{};

    /// Refuses a `record::sequence` that leaves one out (out_of_order_sequence_number). Where records go to several
    /// partitions each has gaps: for topics of one partition alone.
    bool dense_sequences = false;

    /// Told of every record, once: where it is, or why it is nowhere. On the sending thread, or where flush_messages
    /// or linger make it later, on the one that flushes or does the upkeep. Of a replicated topic on whichever thread learns of
    /// it, one of the broker's own mostly: who takes long there holds up what the cluster has to tell. Commits, topics and other
    /// producers may be waited for there, and the cluster's work goes on meanwhile; the records of the same producer may not: to
    /// flush it, or to `get` what it has sent, is illegal_state until this has returned.
    callback<void(const record_metadata&, std::error_code)> on_delivery{};
};

/// Sends records to one topic.
///
/// A record with a key goes to the partition that Kafka's murmur2 says, one without sticks to a partition for a while,
/// and `record::partition` overrules both. Records of one thread, and of threads that take turns, keep their order.
///
/// What goes wrong is told by the delivery, else by the next `flush`; what a serde throws passes through `send`, and
/// nothing was appended.
///
/// Threads   shared, but for moving it.
/// Cost      linger 0: a claim, a copy, a checksum and a clock; no lock, no allocation, no system call. Of an idempotent one,
///           a lock of its own for each partition, held over the append.
/// Lifetime  its destructor flushes; failures that nobody asked for then go to broker.health().
template <class Key, class Value, class Broker = broker>
class producer {
    static_assert(detail::check_storable_key<Key>() && detail::check_storable<Value>());

    using engine_type = detail::engine_t<Broker>;
    using key_codec = detail::codec<Key>;
    using value_codec = detail::codec<Value>;
    using key_argument = typename key_codec::argument_type;
    using value_argument = typename value_codec::argument_type;
    using outgoing = detail::outgoing<Key, Value>;
    static constexpr bool is_keyed = outgoing::is_keyed;
    static constexpr bool is_raw = std::is_same_v<typename value_codec::view_type, bytes>;

public:
    /// Errors    invalid_config, closed; unsupported_compression_type, which names the header to include.
    explicit producer(const topic<Key, Value, Broker>& to, producer_options options = {})
        : sender_{make_sender(to, options)},
          sticky_{std::make_unique<sticky_partitioner>(to.partition_count(), static_cast<std::uint32_t>(options.batch_size),
                                                       detail::access::engine(to).platform().random())} {}

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
        const detail::serialized<Key> key_bytes{key};
        return send_value(key_bytes, value, nullptr, {}, {}, {});
    }

    /// Deletes the key, once the topic is compacted.
    delivery send(key_argument key, tombstone_t)
        requires is_keyed
    {
        const detail::serialized<Key> key_bytes{key};
        return send_tombstone(key_bytes, nullptr, {}, {}, {});
    }

    delivery send(value_argument value)
        requires(!is_keyed)
    {
        const detail::serialized<Key> none{no_key{}};
        return send_value(none, value, nullptr, {}, {}, {});
    }

    delivery send(const record<Key, Value>& record) {
        const detail::serialized<Key> key_bytes{record.key};
        return send_value(key_bytes, record.value, &record.headers, record.timestamp, record.partition, record.sequence);
    }

    delivery send(const record<Key, tombstone_t>& record)
        requires is_keyed
    {
        const detail::serialized<Key> key_bytes{record.key};
        return send_tombstone(key_bytes, &record.headers, record.timestamp, record.partition, record.sequence);
    }

    /// Appends values to one partition as one batch, all of them or none, with dense offsets. The fastest way in.
    /// Returns   the delivery of the first; the others follow it.
    template <class Values>
    delivery send_batch(std::int32_t partition, const Values& values)
        requires(!is_keyed)
    {
        return send_entries(partition, values, [](const auto& value, const auto& use) { use(detail::serialized<Key>{no_key{}}, value); });
    }

    /// The same with keys: of pairs {key, value}. The partition is the caller's choice, whatever the keys say.
    template <class Pairs>
    delivery send_batch(std::int32_t partition, const Pairs& pairs)
        requires is_keyed
    {
        return send_entries(partition, pairs, [](const auto& pair, const auto& use) { use(detail::serialized<Key>{pair.first}, pair.second); });
    }

    /// A record of `size` bytes to be written where it will stay. See slot.
    /// Errors    record_too_large, closed, no space, ...
    [[nodiscard]] brook::slot claim(std::size_t size)
        requires(!is_keyed && is_raw && engine_type::claims_in_place)
    {
        sender().require_open();
        return open_slot(sticky_->choose(outgoing::clamp(size)), std::nullopt, size);
    }

    /// The same with a key.
    [[nodiscard]] brook::slot claim(key_argument key, std::size_t size)
        requires(is_keyed && is_raw && engine_type::claims_in_place)
    {
        sender().require_open();
        const detail::serialized<Key> key_bytes{key};
        return open_slot(partition_for_key(key_bytes.view(), sender().topic().partition_count()), key_bytes.view(), size);
    }

    /// The largest sequence up to which everything that this producer, or one of its name before it, has sent is in the
    /// topic, if no send has failed and been passed over: whoever numbers records by where they come from goes on behind it.
    /// nullopt where some partition has nothing of it yet; then sending again from the start is right, and what is there
    /// already is not appended again. Of a name with many partitions, and few records, that may be long: the other one asks
    /// for a partition alone.
    /// Errors    illegal_state when it is not idempotent.
    [[nodiscard]] std::optional<std::int64_t> last_sequence() const {
        std::int64_t least = sequence_in(0);
        for (std::int32_t number = 1; number < sender().topic().partition_count(); ++number) {
            const std::int64_t last = sequence_in(number);
            least = last < least ? last : least;
        }
        return least < 0 ? std::nullopt : std::optional{least};
    }
    [[nodiscard]] std::optional<std::int64_t> last_sequence(const brook::partition& of) const {
        if (!(of == brook::partition{sender().topic(), of.number()})) {
            throw_error(errc::unknown_topic_or_partition, "producer of topic '" + sender().topic().name() + "': that is a partition of another topic");
        }
        const std::int64_t last = sequence_in(of.number());
        return last < 0 ? std::nullopt : std::optional{last};
    }

    /// Appends what lingers, and waits until everything sent is acknowledged.
    /// Errors    thrown: the first failure since the last flush that no delivery was asked about.
    void flush() { raise(sender().flush()); }

    /// Flushes; what is sent afterwards fails with closed.
    void close() { raise(sender().close()); }

private:
    static std::shared_ptr<engine::embedded_sender> make_sender(const topic<Key, Value, Broker>& to, const producer_options& options) {
        const auto require = [&to](bool condition, const char* rule) {
            if (!condition) {
                throw_error(errc::invalid_config, "producer of topic '" + to.name() + "': " + rule);
            }
        };
        require(options.batch_size >= 1 && options.batch_size <= std::int64_t{gib}, "batch_size is 1 byte to 1 GiB");
        require(options.linger.count() >= 0, "linger is not negative");
        require(options.delivery_timeout >= options.linger, "delivery_timeout is at least linger");
        engine::sender_options untyped;
        untyped.waits_for_sync = options.acks != brook::acks::none;
        untyped.waits_for_replicas = options.acks == brook::acks::all;
        untyped.batch_size = static_cast<std::size_t>(options.batch_size);
        untyped.linger = options.linger;
        untyped.delivery_timeout = options.delivery_timeout;
        untyped.are_sequences_dense = options.dense_sequences;
        require(!options.dense_sequences || options.enable_idempotence || !options.name.empty(), "dense_sequences needs a name, or enable_idempotence");
        require(!options.dense_sequences || to.partition_count() == 1, "dense_sequences is for topics of one partition: of several each has gaps");
        untyped.is_idempotent = options.enable_idempotence || !options.name.empty();
        untyped.name = options.name;
        untyped.compression = engine::batch_compression::choose(detail::access::engine(to).state()->meta.compression_type, options.compression_type,
                                                                options.compression_level, "producer of topic '" + to.name() + '\'');
        if (options.on_delivery) {
            untyped.on_delivery = [told = options.on_delivery](std::int32_t partition, const engine::appended& at, std::error_code code) {
                told(record_metadata{partition, at.at, timestamp{std::chrono::nanoseconds{at.timestamp}}}, code);
            };
        }
        return engine::embedded_sender::make(detail::access::engine(to), std::move(untyped));
    }

    [[nodiscard]] std::int64_t sequence_in(std::int32_t partition) const {
        if (!sender().is_idempotent()) {
            throw_error(errc::illegal_state, "producer of topic '" + sender().topic().name() + "': it numbers nothing; give it a name, or enable_idempotence");
        }
        static_cast<void>(sender().topic().log(partition));  // throws where there is no such partition
        return sender().last_sequence(partition);
    }

    /// A record that is sent again must come to the partition where it was: one without a key goes by its number.
    [[nodiscard]] std::int32_t choose(const detail::serialized<Key>& key, const format::record_sizes& sizes, std::optional<std::int32_t> given,
                                      std::optional<std::int64_t> sequence) const noexcept {
        const std::int32_t count = sender_->topic().partition_count();
        if (given) {
            return *given;
        }
        if constexpr (is_keyed) {
            return count == 1 ? 0 : partition_for_key(key.view(), count);
        } else if (sequence) {
            return static_cast<std::int32_t>(*sequence % count);
        } else {
            return count == 1 ? 0 : sticky_->choose(outgoing::clamp(static_cast<std::size_t>(format::lone_frame_size(sizes))));
        }
    }

    void require_sequence(std::int64_t sequence) const {
        if (!sender().is_idempotent()) {
            throw_error(errc::invalid_config, "producer of topic '" + sender().topic().name() + "': a record has a sequence, and the producer does not look at it; "
                                                                                                "give it a name, or enable_idempotence");
        }
        if (sequence < 0 || sequence > format::largest_sequence) {
            throw_error(errc::invalid_config, "producer of topic '" + sender().topic().name() + "': a sequence is 0 to 2^48 - 1, not " + std::to_string(sequence));
        }
    }

    [[gnu::always_inline]] delivery send_value(const detail::serialized<Key>& key, value_argument value, const std::vector<header>* headers,
                        std::optional<brook::timestamp> time, std::optional<std::int32_t> partition, std::optional<std::int64_t> sequence) {
        return outgoing::with_value(key, value, headers, send_parts(key, time, partition, sequence));
    }

    delivery send_tombstone(const detail::serialized<Key>& key, const std::vector<header>* headers, std::optional<brook::timestamp> time,
                            std::optional<std::int32_t> partition, std::optional<std::int64_t> sequence) {
        return outgoing::with_tombstone(key, headers, send_parts(key, time, partition, sequence));
    }

    [[nodiscard, gnu::always_inline]] auto send_parts(const detail::serialized<Key>& key, std::optional<brook::timestamp> time, std::optional<std::int32_t> given,
                                                      std::optional<std::int64_t> sequence) {
        return [this, &key, time, given, sequence](const format::record_sizes& sizes, const auto& write_key, const auto& write_value, bytes headers)
                   __attribute__((always_inline)) -> delivery {
            engine::embedded_sender& sending = sender();
            if (sequence) [[unlikely]] {
                require_sequence(*sequence);
            }
            const std::int32_t partition = choose(key, sizes, given, sequence);
            const auto stamp = time ? std::optional{time->time_since_epoch().count()} : std::nullopt;
            return {partition, sending.send(partition, sizes, stamp, sequence, write_key, write_value, headers)};
        };
    }

    [[nodiscard]] brook::slot open_slot(std::int32_t partition, std::optional<bytes> key, std::size_t size) {
        return brook::slot{std::make_unique<engine::open_slot>(sender_, partition, key, outgoing::clamp(size))};
    }

    template <class Range, class Take>
    delivery send_entries(std::int32_t partition, const Range& range, const Take& take) {
        std::uint64_t body = 0;
        std::uint64_t count = 0;
        for (const auto& element : range) {
            take(element, [&](const detail::serialized<Key>& key, const auto& value) {
                body += format::entry_bytes(outgoing::sizes_of(key, value_codec::prepare(value).size(), 0));
            });
            ++count;
        }
        if (count == 0 || count >= most_in_batch) {
            throw_error(errc::invalid_config, "topic '" + sender().topic().name() + "', send_batch: a batch has 1 to " + std::to_string(most_in_batch - 1) +
                                                  " records, not " + std::to_string(count));
        }
        const auto write_body = [&](std::byte* entry) {
            std::uint64_t left = body;
            for (const auto& element : range) {
                take(element, [&](const detail::serialized<Key>& key, const auto& value) {
                    const auto prepared = value_codec::prepare(value);
                    const format::record_sizes sizes = outgoing::sizes_of(key, prepared.size(), 0);
                    if (format::entry_bytes(sizes) > left) {
                        refuse_changed();
                    }
                    left -= format::entry_bytes(sizes);
                    const format::entry_layout layout = format::lay_out_entry(entry, sizes);
                    if constexpr (is_keyed) {
                        key.write_to(layout.key);
                    }
                    prepared.write_to(layout.value);
                    entry = layout.end;
                });
            }
            if (left != 0) {
                refuse_changed();
            }
        };
        return {partition, sender().send_batch(partition, body, static_cast<std::uint32_t>(count), write_body)};
    }

    /// A batch is looked at twice: to count, then to write.
    [[noreturn]] void refuse_changed() {
        throw_error(errc::illegal_state, "topic '" + sender().topic().name() + "', send_batch: the records' sizes changed between counting and writing; a serde "
                                         "must give the same bytes each time");
    }

    static constexpr std::uint64_t most_in_batch = 1u << 24;

    static void raise(const failure& why) {
        if (why) {
            why.raise();
        }
    }

    [[nodiscard]] engine::embedded_sender& sender() const {
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
                sender_->topic().shared().report(why);
            }
        } catch (const std::exception&) {  // no memory to tell it: the records are appended, or their deliveries say why not
        }
    }

    std::shared_ptr<engine::embedded_sender> sender_;
    std::unique_ptr<sticky_partitioner> sticky_;
};

template <class Key, class Value, class Broker>
producer(const topic<Key, Value, Broker>&) -> producer<Key, Value, Broker>;
template <class Key, class Value, class Broker>
producer(const topic<Key, Value, Broker>&, producer_options) -> producer<Key, Value, Broker>;

}  // namespace brook::inline BROOK_ABI
