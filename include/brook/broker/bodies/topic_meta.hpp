/// \file brook/broker/bodies/topic_meta.hpp
/// The functions that topic_meta.hpp declares.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <brook/broker/options.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/properties.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE bool is_valid_topic_name(std::string_view name) noexcept {
    bool is_valid = !name.empty() && name.size() <= 249 && name != "." && name != "..";
    for (const char c : name) {
        is_valid = is_valid && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-');
    }
    return is_valid;
}

BROOK_INLINE void require_valid_topic_name(std::string_view name) {
    if (!is_valid_topic_name(name)) {
        throw_error(errc::invalid_topic, std::string{"topic '"} + std::string{name.substr(0, 249)} +
                                             "': a name has 1 to 249 characters of a-z A-Z 0-9 . _ - and is neither . nor ..");
    }
}

BROOK_INLINE topic_meta topic_meta::make(std::string_view topic, const topic_options& options, format::topic_id id, schema key, schema value) {
    require_legal(topic, options);
    require_compaction_wanted(topic, options, options.cleanup_policy.value_or(brook::cleanup_policy::delete_));
    require(topic, !options.reuse_segments.value_or(false) || options.retention || options.retention_bytes,
            "reuse_segments goes with retention or retention_bytes: segments that are never let go are never used again");
    require_storable(topic, key);
    require_storable(topic, value);
    topic_meta meta;
    meta.id = id;
    meta.key = std::move(key);
    meta.value = std::move(value);
    meta.partitions = options.partitions.value_or(1);
    if (options.segment_bytes) {
        meta.log.segment_bytes = rounded(*options.segment_bytes);
    }
    meta.log.flush_messages = options.flush_messages.value_or(0);
    meta.log.flush_interval = options.flush_interval.value_or(std::chrono::nanoseconds{0});
    meta.log.is_append_time = options.message_timestamp_type == timestamp_type::append_time;
    meta.log.retention = {options.retention, options.retention_bytes};
    meta.log.reuses_segments = options.reuse_segments.value_or(false);
    meta.policy = options.cleanup_policy.value_or(meta.policy);
    storage::compaction_policy& compaction = meta.log.compaction;
    compaction.is_on = is_compacting(meta.policy);
    compaction.min_dirty_ratio = ratio_of(parts_of(options.min_cleanable_dirty_ratio.value_or(compaction.min_dirty_ratio)));
    compaction.min_lag = options.min_compaction_lag.value_or(compaction.min_lag);
    compaction.max_lag = options.max_compaction_lag;
    compaction.delete_retention = options.delete_retention.value_or(usual_delete_retention);
    meta.compression_type = options.compression_type;
    meta.min_insync_replicas = options.min_insync_replicas.value_or(1);
    return meta;
}

BROOK_INLINE void topic_meta::require_agreement(std::string_view topic, const topic_options& given) const {
    require_legal(topic, given);
    require_compaction_wanted(topic, given, policy);
    agree(topic, "partitions", given.partitions, partitions);
    agree(topic, "replication_factor", given.replication_factor, is_replicated() ? static_cast<std::int64_t>(replicas.front().size()) : 1);
    agree(topic, "min_insync_replicas", given.min_insync_replicas, min_insync_replicas);
    agree(topic, "segment_bytes", given.segment_bytes ? rounded(*given.segment_bytes) : given.segment_bytes, log.segment_bytes);
    agree(topic, "flush_messages", given.flush_messages, log.flush_messages);
    const auto flush_interval = given.flush_interval.value_or(log.flush_interval);
    agree(topic, "flush_interval (ns)", flush_interval.count(), log.flush_interval.count());
    agree(topic, "retention (ns; -1: for ever)", given.retention ? std::optional{given.retention->count()} : std::nullopt, stored(log.retention.age));
    agree(topic, "retention_bytes (-1: no limit)", given.retention_bytes, log.retention.bytes.value_or(-1));
    agree(topic, "reuse_segments", given.reuse_segments ? std::optional{std::int64_t{*given.reuse_segments ? 1 : 0}} : std::nullopt, log.reuses_segments ? 1 : 0);
    if (given.cleanup_policy && given.cleanup_policy != policy) {
        refuse_agreement(topic, "cleanup_policy", std::string{to_string(policy)}, std::string{to_string(*given.cleanup_policy)});
    }
    agree(topic, "delete_retention (ns)", in_ns(given.delete_retention), log.compaction.delete_retention.count());
    agree(topic, "min_cleanable_dirty_ratio (millionths)", given.min_cleanable_dirty_ratio ? std::optional{parts_of(*given.min_cleanable_dirty_ratio)} : std::nullopt,
          parts_of(log.compaction.min_dirty_ratio));
    agree(topic, "min_compaction_lag (ns)", in_ns(given.min_compaction_lag), log.compaction.min_lag.count());
    agree(topic, "max_compaction_lag (ns; -1: as the ratio says)", in_ns(given.max_compaction_lag), stored(log.compaction.max_lag));
    const auto stored_type = log.is_append_time ? timestamp_type::append_time : timestamp_type::create_time;
    const auto given_type = given.message_timestamp_type.value_or(stored_type);
    agree(topic, "message_timestamp_type (1: append time)", given_type == timestamp_type::append_time ? 1 : 0, log.is_append_time ? 1 : 0);
    if (given.compression_type && given.compression_type != compression_type) {
        refuse_agreement(topic, "compression_type", compression_type ? std::string{to_string(*compression_type)} : "not given (as the producer says)",
                         std::string{to_string(*given.compression_type)});
    }
}

BROOK_INLINE void topic_meta::require_types(std::string_view topic, const schema& given_key, const schema& given_value) const {
    if (failure why = refuse_types(topic, given_key, given_value)) {
        why.raise();
    }
}

BROOK_INLINE failure topic_meta::refuse_types(std::string_view topic, const schema& given_key, const schema& given_value) const {
    failure why = refuse_type(topic, "key", key, given_key);
    return why ? why : refuse_type(topic, "value", value, given_value);
}

BROOK_INLINE std::string topic_meta::encode() const {
    format::properties file{std::string{kind}, version};
    file.set("id", hex_of(id));
    file.set("partitions", partitions);
    file.set("segment_bytes", log.segment_bytes);
    file.set("flush_messages", log.flush_messages);
    file.set("flush_interval_ns", log.flush_interval.count());
    file.set("append_time", log.is_append_time ? 1 : 0);
    file.set("retention_ns", stored(log.retention.age));
    file.set("retention_bytes", log.retention.bytes.value_or(-1));
    file.set("key_fingerprint", static_cast<std::int64_t>(key.fingerprint));
    file.set("key_schema", key.name);
    file.set("value_fingerprint", static_cast<std::int64_t>(value.fingerprint));
    file.set("value_schema", value.name);
    if (log.reuses_segments) {
        file.set("reuse_segments", 1);
    }
    if (policy != cleanup_policy::delete_) {
        file.set("cleanup_policy", to_string(policy));
        file.set("delete_retention_ns", log.compaction.delete_retention.count());
        file.set("min_cleanable_dirty_millionths", parts_of(log.compaction.min_dirty_ratio));
        file.set("min_compaction_lag_ns", log.compaction.min_lag.count());
        file.set("max_compaction_lag_ns", stored(log.compaction.max_lag));
    }
    if (compression_type) {
        file.set("compression_type", to_string(*compression_type));
    }
    if (is_replicated()) {
        file.set("min_insync_replicas", min_insync_replicas);
        file.set("replicas", encode_replicas());
        file.set("directories", encode_directories());
    }
    return file.encode();
}

BROOK_INLINE topic_meta topic_meta::decode(std::string_view text, const std::string& path) {
    const auto file = format::properties::decode(text, kind, version, path);
    const auto number = [&](std::string_view name, std::int64_t least, std::int64_t most) {
        const auto found = file.find_number(name);
        if (!found || *found < least || *found > most) {
            throw_error(errc::corrupt_record, path + ": '" + std::string{name} + "' is missing or out of range");
        }
        return *found;
    };
    constexpr std::int64_t largest = INT64_MAX;
    topic_meta meta;
    meta.id = id_of(file.find("id").value_or(""), path);
    meta.partitions = static_cast<std::int32_t>(number("partitions", 1, most_partitions));
    meta.log.segment_bytes = static_cast<std::uint32_t>(number("segment_bytes", storage::page_size, largest_segment));
    meta.log.flush_messages = number("flush_messages", 0, largest);
    meta.log.flush_interval = std::chrono::nanoseconds{number("flush_interval_ns", 0, largest)};
    meta.log.is_append_time = number("append_time", 0, 1) == 1;
    if (const std::int64_t age = file.find("retention_ns") ? number("retention_ns", -1, largest) : -1; age >= 0) {
        meta.log.retention.age = std::chrono::nanoseconds{age};
    }
    if (const std::int64_t bytes = file.find("retention_bytes") ? number("retention_bytes", -1, largest) : -1; bytes >= 0) {
        meta.log.retention.bytes = bytes;
    }
    meta.log.reuses_segments = file.find("reuse_segments") && number("reuse_segments", 0, 1) == 1;
    meta.log.compaction.delete_retention = usual_delete_retention;
    if (const auto how = file.find("cleanup_policy")) {
        const auto known = policy_of(*how);
        if (!known) {
            throw_error(errc::unsupported_version, path + ": 'cleanup_policy' is " + std::string{*how} + ", which this brook does not know; use a newer one");
        }
        meta.policy = *known;
        storage::compaction_policy& compaction = meta.log.compaction;
        compaction.is_on = is_compacting(meta.policy);
        compaction.delete_retention = std::chrono::nanoseconds{number("delete_retention_ns", 0, largest)};
        compaction.min_dirty_ratio = ratio_of(number("min_cleanable_dirty_millionths", 0, ratio_parts));
        compaction.min_lag = std::chrono::nanoseconds{number("min_compaction_lag_ns", 0, largest)};
        if (const std::int64_t lag = number("max_compaction_lag_ns", -1, largest); lag >= 0) {
            compaction.max_lag = std::chrono::nanoseconds{lag};
        }
    }
    meta.key = {std::string{file.find("key_schema").value_or("")}, static_cast<std::uint64_t>(number("key_fingerprint", INT64_MIN, largest))};
    meta.value = {std::string{file.find("value_schema").value_or("")}, static_cast<std::uint64_t>(number("value_fingerprint", INT64_MIN, largest))};
    if (const auto type = file.find("compression_type")) {  // files of before have none
        meta.compression_type = compression_of(*type);
        if (!meta.compression_type) {
            throw_error(errc::unsupported_version, path + ": 'compression_type' is " + std::string{*type} + ", which this brook does not know; use a newer one");
        }
    }
    if (const auto replicas = file.find("replicas")) {
        meta.min_insync_replicas = static_cast<std::int32_t>(number("min_insync_replicas", 1, most_replicas));
        meta.decode_replicas(*replicas, path);
        meta.decode_directories(file.find("directories").value_or(""), path);
        meta.log.is_replicated = true;
    }
    return meta;
}

BROOK_INLINE std::string topic_meta::hex_of(const format::topic_id& id) {
    return format::properties::hex(load<std::uint64_t>(id.data())) + format::properties::hex(load<std::uint64_t>(id.data() + 8));
}

BROOK_INLINE format::topic_id topic_meta::new_id(os::platform& platform) {
    format::topic_id id{};
    store(id.data(), platform.random());
    store(id.data() + 8, platform.random());
    return id;
}

BROOK_INLINE format::topic_id topic_meta::id_of(std::string_view text, const std::string& path, std::string_view name) {
    format::topic_id id{};
    for (std::size_t half = 0; half < 2; ++half) {
        const auto number = text.size() == 32 ? format::properties::parse(text.substr(half * 16, 16), 16) : std::nullopt;
        if (!number) {
            throw_error(errc::corrupt_record, path + ": '" + std::string{name} + "' is not 32 hex digits");
        }
        store(id.data() + half * 8, *number);
    }
    return id;
}

BROOK_INLINE std::optional<std::int64_t> topic_meta::in_ns(const std::optional<std::chrono::nanoseconds>& time) noexcept {
    return time ? std::optional{std::int64_t{time->count()}} : std::nullopt;
}

BROOK_INLINE std::optional<cleanup_policy> topic_meta::policy_of(std::string_view text) noexcept {
    for (const auto known : {cleanup_policy::delete_, cleanup_policy::compact, cleanup_policy::compact_and_delete}) {
        if (to_string(known) == text) {
            return known;
        }
    }
    return std::nullopt;
}

BROOK_INLINE void topic_meta::require(std::string_view topic, bool condition, const std::string& rule) {
    if (!condition) {
        throw_error(errc::invalid_config, std::string{"topic '"} + std::string{topic} + "': " + rule);
    }
}

BROOK_INLINE void topic_meta::require_legal(std::string_view topic, const topic_options& options) {
    require(topic, options.replication_factor.value_or(1) >= 1, "replication_factor is 1 or more");
    require(topic, options.min_insync_replicas.value_or(1) >= 1, "min_insync_replicas is 1 or more");
    require(topic, !options.replication_factor || options.min_insync_replicas.value_or(1) <= *options.replication_factor,
            "min_insync_replicas is at most replication_factor: else nothing could be acknowledged");
    require(topic, !options.retention || options.retention->count() > 0, "retention is more than 0; leave it out to keep records for ever");
    require(topic, options.retention_bytes.value_or(1) >= 1, "retention_bytes is 1 or more; leave it out for no limit");
    const auto policy = options.cleanup_policy.value_or(brook::cleanup_policy::delete_);
    require(topic, to_string(policy) != "unknown", "cleanup_policy is delete_, compact or compact_and_delete");
    require(topic, policy != brook::cleanup_policy::compact || (!options.retention && !options.retention_bytes),
            "retention and retention_bytes go with cleanup_policy delete_ or compact_and_delete: what is compacted alone keeps the last record of each key for ever");
    require(topic, options.delete_retention.value_or(std::chrono::nanoseconds{0}).count() >= 0, "delete_retention is 0 or more");
    require(topic, options.min_cleanable_dirty_ratio.value_or(0.5) >= 0 && options.min_cleanable_dirty_ratio.value_or(0.5) <= 1, "min_cleanable_dirty_ratio is 0 to 1");
    require(topic, options.min_compaction_lag.value_or(std::chrono::nanoseconds{0}).count() >= 0, "min_compaction_lag is 0 or more");
    require(topic, !options.max_compaction_lag || (options.max_compaction_lag->count() > 0 && *options.max_compaction_lag >= options.min_compaction_lag.value_or(std::chrono::nanoseconds{0})),
            "max_compaction_lag is more than 0, and no less than min_compaction_lag; leave it out for none");
    require(topic, options.partitions.value_or(1) >= 1 && options.partitions.value_or(1) <= most_partitions,
            std::string{"partitions is 1 to "} + std::to_string(most_partitions));
    const std::int64_t segment_bytes = options.segment_bytes.value_or(largest_segment);
    require(topic, segment_bytes >= storage::page_size && segment_bytes <= largest_segment,
            std::string{"segment_bytes is 4096 to "} + std::to_string(largest_segment));
    require(topic, options.flush_messages.value_or(1) >= 1, "flush_messages is 1 or more; leave it out for no promise");
    require(topic, !options.compression_type || to_string(*options.compression_type) != "unknown", "compression_type is none, lz4, zstd, user6 or user7");
    require(topic, !options.flush_interval || options.flush_interval->count() > 0, "flush_interval is more than 0; leave it out for none");
}

BROOK_INLINE void topic_meta::require_compaction_wanted(std::string_view topic, const topic_options& options, brook::cleanup_policy policy) {
    const bool is_told = options.delete_retention || options.min_cleanable_dirty_ratio || options.min_compaction_lag || options.max_compaction_lag;
    require(topic, is_compacting(policy) || !is_told,
            "delete_retention, min_cleanable_dirty_ratio, min_compaction_lag and max_compaction_lag go with cleanup_policy compact or compact_and_delete");
}

BROOK_INLINE void topic_meta::require_storable(std::string_view topic, const schema& type) {
    require(topic, type.name.size() <= longest_schema && type.name.find('\n') == std::string::npos,
            std::string{"a serde's schema has at most "} + std::to_string(longest_schema) + " characters and no line breaks");
}

BROOK_INLINE void topic_meta::agree(std::string_view topic, std::string_view name, std::optional<std::int64_t> given, std::int64_t stored) {
    if (given && *given != stored) {
        refuse_agreement(topic, name, std::to_string(stored), std::to_string(*given));
    }
}

BROOK_INLINE void topic_meta::refuse_agreement(std::string_view topic, std::string_view name, const std::string& stored, const std::string& given) {
    throw_error(errc::topic_already_exists, std::string{"topic '"} + std::string{topic} + "' was created with " + std::string{name} + " = " + stored +
                                                ", not " + given + "; leave the option out, or open it by broker.topic()");
}

BROOK_INLINE std::optional<compression> topic_meta::compression_of(std::string_view text) noexcept {
    for (const auto known : {compression::none, compression::lz4, compression::zstd, compression::user6, compression::user7}) {
        if (to_string(known) == text) {
            return known;
        }
    }
    return std::nullopt;
}

BROOK_INLINE failure topic_meta::refuse_type(std::string_view topic, std::string_view what, const schema& stored, const schema& given) {
    return stored == given ? failure{}
                           : failure{errc::schema_mismatch, std::string{"topic '"} + std::string{topic} + "': its " + std::string{what} + "s are " +
                                                                text_of(stored) + ", and this program's are " + text_of(given)};
}

BROOK_INLINE std::string topic_meta::text_of(const schema& type) {
    return '\'' + type.name + "' (" + format::properties::hex(type.fingerprint) + ')';
}

BROOK_INLINE std::string topic_meta::encode_replicas() const {
    std::string text;
    for (const auto& partition : replicas) {
        text += text.empty() ? "" : ";";
        for (std::size_t i = 0; i < partition.size(); ++i) {
            text += (i == 0 ? "" : ",") + std::to_string(partition[i]);
        }
    }
    return text;
}

BROOK_INLINE std::string topic_meta::encode_directories() const {
    std::string text;
    for (const auto& [node, directory] : directories) {
        text += (text.empty() ? "" : ",") + std::to_string(node) + ':' + hex_of(directory);
    }
    return text;
}

BROOK_INLINE std::string_view topic_meta::take_until(std::string_view& text, std::string_view ends, char& end) noexcept {
    const std::size_t size = text.find_first_of(ends);
    const std::string_view found = text.substr(0, size);
    end = size == text.npos ? '\0' : text[size];
    text.remove_prefix(size == text.npos ? text.size() : size + 1);
    return found;
}

BROOK_INLINE std::int32_t topic_meta::node_of(std::string_view text, const std::string& path) {
    const auto number = format::properties::parse(text, 10);
    if (!number || *number > INT32_MAX) {
        throw_error(errc::corrupt_record, path + ": '" + std::string{text} + "' is no broker's number");
    }
    return static_cast<std::int32_t>(*number);
}

BROOK_INLINE void topic_meta::decode_replicas(std::string_view text, const std::string& path) {
    char end = ';';
    while (end != '\0' && replicas.size() < static_cast<std::size_t>(most_partitions)) {
        if (end == ';') {
            replicas.emplace_back();
        }
        replicas.back().push_back(node_of(take_until(text, ",;", end), path));
    }
    if (!text.empty() || replicas.size() != static_cast<std::size_t>(partitions)) {
        throw_error(errc::corrupt_record, path + ": 'replicas' does not name those of " + std::to_string(partitions) + " partitions");
    }
}

BROOK_INLINE void topic_meta::decode_directories(std::string_view text, const std::string& path) {
    while (!text.empty()) {
        char end = 0;
        const std::int32_t node = node_of(take_until(text, ":", end), path);
        directories.emplace_back(node, id_of(take_until(text, ",", end), path));
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
