/// \file brook/client/transaction.hpp
/// Records to several topics, and how far a consumer has read: all of it or nothing.
/// Floor 6, client. Source: Kafka's transactional producer (KIP-98, KIP-447).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/options.hpp>
#include <brook/client/codec.hpp>
#include <brook/client/outgoing.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/record.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/engine/transaction.hpp>

namespace brook::inline BROOK_ABI {

template <class Key, class Value, class Broker> class consumer;

struct transaction_options {
    /// Whose transactions these are, the same after a restart, 1 to 32,768 bytes: one is open under an id at a time. Who begins one aborts
    /// what is open under its id, and fences whoever had begun it [transactional.id].
    std::string transactional_id{};

    /// How long it may hold up readers, from when a part of it is too large to be kept in memory; then it is aborted
    /// [transaction.timeout.ms].
    std::chrono::nanoseconds transaction_timeout = std::chrono::minutes{1};

    /// As those of a producer: its batches are the records of one partition, or 1 MiB of them [compression.type].
    brook::compression compression_type = brook::compression::none;
    std::optional<int> compression_level{};  ///< nullopt: the codec's own
};

/// One transaction. Made by broker::begin_transaction, ended by `commit`, else aborted.
///
/// What is sent is kept in memory until `commit`, up to 1 MiB a partition. Consumers with isolation_level read_committed
/// see all of it or nothing, also when the process is killed at any instruction of `commit`, or the power goes; where a
/// topic of it has flush_messages, `commit` returns when all of it is on the disk.
///
/// Errors    at `commit`, at the latest: producer_fenced when another one has been begun under its id; transaction_aborted when
///           it took too long; closed; forked. illegal_state from all but `abort` when it has ended. What `commit` throws has
///           aborted it, but for partition_failed with the words "is committed": then it is, and may be lost with the power.
/// Threads   confined.
/// Lifetime  may outlive its broker, and then says closed.
/// Cost      a record is copied once more than a producer's; `commit` appends a batch a partition, and a record of its own.
class transaction {
    template <class Key>
    using key_argument = typename detail::codec<Key>::argument_type;
    template <class Value>
    using value_argument = typename detail::codec<Value>::argument_type;

public:
    transaction(transaction&&) noexcept = default;
    transaction& operator=(transaction&&) noexcept = default;
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;

    /// Aborts it, if it has not been committed.
    ~transaction() = default;

    /// Errors    record_too_large: then the transaction goes on without it; what its serde throws, and
    ///           unsupported_compression_type, where the topic's codec is not in this program, likewise; no space.
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, key_argument<Key> key, value_argument<Value> value)
        requires(!std::is_same_v<Key, no_key>)
    {
        send_value<Key, Value>(to, detail::serialized<Key>{key}, value, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, key_argument<Key> key, tombstone_t)
        requires(!std::is_same_v<Key, no_key>)
    {
        send_tombstone<Key, Value>(to, detail::serialized<Key>{key}, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, value_argument<Value> value)
        requires std::is_same_v<Key, no_key>
    {
        send_value<Key, Value>(to, detail::serialized<Key>{no_key{}}, value, nullptr, {}, {});
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, const std::type_identity_t<record<Key, Value>>& record) {
        refuse_sequence(record.sequence);
        send_value<Key, Value>(to, detail::serialized<Key>{record.key}, record.value, &record.headers, record.timestamp, record.partition);
    }
    template <class Key, class Value>
    void send(const topic<Key, Value, broker>& to, const std::type_identity_t<record<Key, tombstone_t>>& record)
        requires(!std::is_same_v<Key, no_key>)
    {
        refuse_sequence(record.sequence);
        send_tombstone<Key, Value>(to, detail::serialized<Key>{record.key}, &record.headers, record.timestamp, record.partition);
    }

    /// Commits with it what this consumer has read so far, for its group: a record is read again unless the transaction
    /// counts. Called again, the later positions count. After an abort the consumer goes back by `seek_to_committed`.
    /// Between the poll that gave the records and this there must be no other poll, which may give partitions up; and the
    /// consumer stays until `commit`, or has left its group by then.
    /// Errors    illegal_state without a group, or for a consumer of another broker; invalid_config with enable_auto_commit. At
    ///           `commit`, illegal_generation when the group has put the consumer out meanwhile.
    template <class Key, class Value>
    void commit_offsets(consumer<Key, Value, broker>& read) {
        open().commit_offsets(read.read_so_far(open().core()));
    }

    /// A small state of the application's own, to be found by the next transaction of this id: `broker.transaction_state`.
    /// Some KiB: it is written with each commit. Not given, the last one stays.
    /// Errors    record_too_large beyond 512 KiB; then the transaction goes on with what it had.
    void set_state(std::string_view state) {
        if (state.size() > longest_state) {
            throw_error(errc::record_too_large, "transaction '" + open().transactional_id() + "': a state of " + std::to_string(state.size()) + " bytes; at most " +
                                                    std::to_string(longest_state) + " go with a transaction, and a large one belongs in a topic");
        }
        open().set_state(std::string{state});
    }

    /// From its return on, whatever happens, all of it counts.
    void commit() { open().commit(); }

    /// Nothing of it counts.
    void abort() {
        open().abort();
    }

    /// By broker::begin_transaction.
    explicit transaction(std::unique_ptr<engine::embedded_transaction> open) noexcept : open_{std::move(open)} {}

private:
    struct stuck {
        const broker_room::topic_state* topic;
        std::unique_ptr<sticky_partitioner> sticky;
    };
    static constexpr std::uint32_t sticky_bytes = 16 * kib;
    static constexpr std::size_t longest_state = 512 * kib;

    [[nodiscard]] engine::embedded_transaction& open() const {
        if (!open_) {
            throw_error(errc::illegal_state, "this transaction has been moved from");
        }
        return *open_;
    }

    void refuse_sequence(std::optional<std::int64_t> sequence) const {
        if (sequence) {
            throw_error(errc::invalid_config, "transaction '" + open().transactional_id() + "': a record has a sequence, which transactions do not look at; leave it out");
        }
    }

    template <class Key, class Value>
    void send_value(const topic<Key, Value, broker>& to, const detail::serialized<Key>& key, value_argument<Value> value, const std::vector<header>* headers,
                    std::optional<timestamp> time, std::optional<std::int32_t> partition) {
        detail::outgoing<Key, Value>::with_value(key, value, headers, send_parts<Key, Value>(to, key, time, partition));
    }

    template <class Key, class Value>
    void send_tombstone(const topic<Key, Value, broker>& to, const detail::serialized<Key>& key, const std::vector<header>* headers,
                        std::optional<timestamp> time, std::optional<std::int32_t> partition) {
        detail::outgoing<Key, Value>::with_tombstone(key, headers, send_parts<Key, Value>(to, key, time, partition));
    }

    template <class Key, class Value>
    [[nodiscard]] auto send_parts(const topic<Key, Value, broker>& to, const detail::serialized<Key>& key, std::optional<timestamp> time,
                                  std::optional<std::int32_t> given) {
        return [this, &to, &key, time, given](const format::record_sizes& sizes, const auto& write_key, const auto& write_value, bytes headers) {
            const engine::embedded_topic& topic = detail::access::engine(to);
            static_cast<void>(key);  // of none there is nothing to hash
            std::int32_t partition = given.value_or(0);
            if (!given && topic.partition_count() > 1) {
                if constexpr (std::is_same_v<Key, no_key>) {
                    partition = sticky_of(topic).choose(static_cast<std::uint32_t>(format::entry_bytes(sizes)));
                } else {
                    partition = partition_for_key(key.view(), topic.partition_count());
                }
            }
            const auto stamp = time ? std::optional{time->time_since_epoch().count()} : std::nullopt;
            open().send(topic, partition, sizes, stamp, write_key, write_value, headers);
        };
    }

    [[nodiscard]] sticky_partitioner& sticky_of(const engine::embedded_topic& topic) {
        for (const stuck& known : stuck_) {
            if (known.topic == topic.state().get()) {
                return *known.sticky;
            }
        }
        stuck_.push_back({topic.state().get(), std::make_unique<sticky_partitioner>(topic.partition_count(), sticky_bytes, topic.platform().random())});
        return *stuck_.back().sticky;
    }

    std::unique_ptr<engine::embedded_transaction> open_;
    std::vector<stuck> stuck_;
};

}  // namespace brook::inline BROOK_ABI
