/// \file brook/broker/topic_meta.hpp
/// What a topic was created with: its id, its options, the types of its keys and values.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <brook/broker/options.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/properties.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// The type of a topic's keys or values, as far as bytes on disk care.
struct schema {
    std::string name;
    std::uint64_t fingerprint = 0;

    bool operator==(const schema&) const = default;
};

/// Kafka's rule.
[[nodiscard]] BROOK_INLINE bool is_valid_topic_name(std::string_view name) noexcept;

/// Checked wherever a name comes in, and before any path is made of it.
/// Errors    invalid_topic.
BROOK_INLINE void require_valid_topic_name(std::string_view name);

/// One of the broker's own.
[[nodiscard]] constexpr bool is_internal_topic(std::string_view name) noexcept { return name.starts_with("__"); }

/// The contents of topic.meta.
struct topic_meta {
    static constexpr std::uint32_t version = 1;
    static constexpr std::string_view kind = "brook-topic";
    static constexpr std::int64_t largest_segment = gib;
    static constexpr std::int32_t most_partitions = 10'000;
    static constexpr std::size_t longest_schema = 1'000;

    format::topic_id id{};
    std::int32_t partitions = 1;
    schema key;
    schema value;
    storage::log_options log;
    cleanup_policy policy = cleanup_policy::delete_;  ///< as `log` has it, too
    std::optional<compression> compression_type;  ///< forced on producers; nullopt: as they say

    std::int32_t min_insync_replicas = 1;
    std::vector<std::vector<std::int32_t>> replicas;  ///< of each partition those that decide, the preferred leader first; empty: it is not replicated
    std::vector<std::pair<std::int32_t, format::topic_id>> directories;  ///< which directory each broker had when it was made: another one was not there

    [[nodiscard]] bool is_replicated() const noexcept { return !replicas.empty(); }

    /// Errors    invalid_config, which names the option and what it may be.
    [[nodiscard]] static topic_meta make(std::string_view topic, const topic_options& options, format::topic_id id, schema key, schema value);

    /// Errors    topic_already_exists, when an option was given and says otherwise; invalid_config.
    void require_agreement(std::string_view topic, const topic_options& given) const;

    /// Errors    schema_mismatch.
    void require_types(std::string_view topic, const schema& given_key, const schema& given_value) const;

    /// What require_types throws, if it throws.
    [[nodiscard]] failure refuse_types(std::string_view topic, const schema& given_key, const schema& given_value) const;

    [[nodiscard]] std::string encode() const;

    /// Errors    corrupt_record, unsupported_version; they name `path`.
    [[nodiscard]] static topic_meta decode(std::string_view text, const std::string& path);

    [[nodiscard]] static std::string hex_of(const format::topic_id& id);

    /// One that nobody has.
    [[nodiscard]] static format::topic_id new_id(os::platform& platform);

    /// Errors    corrupt_record, which names `path` and what stands there.
    [[nodiscard]] static format::topic_id id_of(std::string_view text, const std::string& path, std::string_view name = "id");

private:
    static constexpr std::int32_t most_replicas = 1'000;
    static constexpr std::chrono::nanoseconds usual_delete_retention = std::chrono::hours{24};
    static constexpr std::int64_t ratio_parts = 1'000'000;  // a ratio is stored in whole millionths

    [[nodiscard]] static constexpr bool is_compacting(cleanup_policy policy) noexcept { return policy != cleanup_policy::delete_; }
    [[nodiscard]] static constexpr std::int64_t parts_of(double ratio) noexcept { return static_cast<std::int64_t>(ratio * static_cast<double>(ratio_parts) + 0.5); }
    [[nodiscard]] static constexpr double ratio_of(std::int64_t parts) noexcept { return static_cast<double>(parts) / static_cast<double>(ratio_parts); }
    [[nodiscard]] static std::optional<std::int64_t> in_ns(const std::optional<std::chrono::nanoseconds>& time) noexcept;

    [[nodiscard]] static std::optional<cleanup_policy> policy_of(std::string_view text) noexcept;

    [[nodiscard]] static constexpr std::uint32_t rounded(std::int64_t bytes) noexcept {
        return static_cast<std::uint32_t>(align_up(static_cast<std::uint64_t>(bytes), std::uint64_t{storage::page_size}));
    }

    static void require(std::string_view topic, bool condition, const std::string& rule);

    /// An option that would do nothing is refused instead.
    static void require_legal(std::string_view topic, const topic_options& options);

    static void require_compaction_wanted(std::string_view topic, const topic_options& options, brook::cleanup_policy policy);

    /// A name that topic.meta gives back as it was.
    static void require_storable(std::string_view topic, const schema& type);

    [[nodiscard]] static std::int64_t stored(const std::optional<std::chrono::nanoseconds>& time) noexcept { return time ? time->count() : -1; }

    static void agree(std::string_view topic, std::string_view name, std::optional<std::int64_t> given, std::int64_t stored);

    [[noreturn]] static void refuse_agreement(std::string_view topic, std::string_view name, const std::string& stored, const std::string& given);

    [[nodiscard]] static std::optional<compression> compression_of(std::string_view text) noexcept;

    [[nodiscard]] static failure refuse_type(std::string_view topic, std::string_view what, const schema& stored, const schema& given);

    [[nodiscard]] static std::string text_of(const schema& type);

    [[nodiscard]] std::string encode_replicas() const;

    [[nodiscard]] std::string encode_directories() const;

    /// Takes what stands in front of the next one of `ends`, and that.
    [[nodiscard]] static std::string_view take_until(std::string_view& text, std::string_view ends, char& end) noexcept;

    [[nodiscard]] static std::int32_t node_of(std::string_view text, const std::string& path);

    void decode_replicas(std::string_view text, const std::string& path);

    void decode_directories(std::string_view text, const std::string& path);
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/topic_meta.hpp>
#endif
