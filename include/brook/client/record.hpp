/// \file brook/client/record.hpp
/// A record as one sends it, and what is known of it once it has been sent.
/// Floor 6, client. Source: Kafka's ProducerRecord, RecordMetadata, KIP-82 (headers).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI {

/// One entry of a record's headers: `{"trace", "t1"}`, or `{"empty"}` for a null value. Names are UTF-8 and may repeat,
/// values are any bytes, and the order is kept.
struct header {
    std::string name{};
    std::optional<std::string> value{};

    bool operator==(const header&) const = default;
};

/// Everything that a producer can be told about a record: `send({.key = "AAPL", .value = {1, 2.0}, .partition = 1})`.
///
/// It owns its key and value, except where their type is brook::bytes, which is somebody else's memory.
template <class Key, class Value> struct record {
    typename detail::codec<Key>::value_type key{};  ///< left out for no_key
    typename detail::codec<Value>::value_type value{};
    std::vector<header> headers{};
    std::optional<brook::timestamp> timestamp{};  ///< its create time; unset: when it is sent
    std::optional<std::int32_t> partition{};      ///< unset: the key's hash decides, else the sticky partitioner

    /// Its number, of an idempotent producer, from 0 to 2^48 - 1: larger than any that it has given before, else it is a
    /// repetition, or comes too late (out_of_order_sequence_number). After a send that failed, that one comes first again. Where it comes
    /// from is a good source of such numbers (a row's id, an offset). Unset: the next one.
    std::optional<std::int64_t> sequence{};
};

/// A record that deletes its key, where `send(key, brook::tombstone)` is not enough.
template <class Key> struct record<Key, tombstone_t> {
    typename detail::codec<Key>::value_type key{};
    tombstone_t value = tombstone;
    std::vector<header> headers{};
    std::optional<brook::timestamp> timestamp{};
    std::optional<std::int32_t> partition{};
    std::optional<std::int64_t> sequence{};
};

/// Where a record went.
struct record_metadata {
    std::int32_t partition = -1;
    brook::offset offset = -1;     ///< -1: nowhere; of an idempotent producer's repetition: it is there, and nobody knows where any more
    brook::timestamp timestamp{};  ///< as stored; of a repetition: not known

    bool operator==(const record_metadata&) const = default;
};

}  // namespace brook::inline BROOK_ABI
