/// \file brook/kafka/topic.hpp
/// Handles to a cluster's topic and to its partitions.
/// Edge of floor 6, kafka.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/client/codec.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/table.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/administration.hpp>

namespace brook::inline BROOK_ABI::kafka {

class broker;

/// A cluster's topic, as it was when it was opened.
struct topic_state {
    std::shared_ptr<kafka::administration> cluster;
    std::string name;
    std::int32_t partition_count = 0;

    [[nodiscard]] std::string text() const { return "topic '" + name + '\''; }
};

/// One partition of a cluster's topic. What only a log in this process has (sync, roll, durable_offset, disk_bytes) it has not.
///
/// Threads   shared. A handle: copies mean the same partition.
/// Errors    closed; unknown_topic_or_partition; timed_out, when nobody answers in default_api_timeout; authentication_failed.
/// Cost      a round trip a call, but for `number` and `topic`.
class partition {
public:
    [[nodiscard]] std::int32_t number() const noexcept { return number_; }
    [[nodiscard]] const std::string& topic() const noexcept { return of_->name; }

    /// Offset of the first record that can be read.
    [[nodiscard]] offset log_start_offset() const { return ask(administration::at_beginning, false); }

    /// Offset after the last record that can be read: the high watermark.
    [[nodiscard]] offset log_end_offset() const { return ask(administration::at_end, false); }

    /// How far a consumer with isolation_level read_committed gets.
    [[nodiscard]] offset last_stable_offset() const { return ask(administration::at_end, true); }

    /// Offset of the first record with this timestamp, to the millisecond, or a later one; nullopt when there is none.
    [[nodiscard]] std::optional<offset> offset_for_time(timestamp time) const {
        const std::int64_t wanted = milliseconds_of(time);
        const offset found = ask(wanted < 0 ? 0 : wanted, false);  // below it are words: at_end, at_beginning
        return found < 0 ? std::nullopt : std::optional{found};
    }

    [[nodiscard]] bool operator==(const partition& other) const noexcept { return number_ == other.number_ && is_of_one_cluster(other) && of_->name == other.of_->name; }

    partition(std::shared_ptr<const topic_state> of, std::int32_t number) : of_{std::move(of)}, number_{number} {
        if (number < 0 || number >= of_->partition_count) {
            throw_error(errc::unknown_topic_or_partition, of_->text() + ": it has partitions 0 to " + std::to_string(of_->partition_count - 1) + ", not " + std::to_string(number));
        }
    }

    /// For consumers.
    [[nodiscard]] const std::shared_ptr<const topic_state>& state() const noexcept { return of_; }

private:
    [[nodiscard]] bool is_of_one_cluster(const partition& other) const noexcept { return of_->cluster->of() == other.of_->cluster->of(); }
    [[nodiscard]] offset ask(std::int64_t at, bool is_stable) const { return of_->cluster->offsets(of_->name, {number_}, at, is_stable)[0]; }

    std::shared_ptr<const topic_state> of_;
    std::int32_t number_;
};

/// What the client room asks of an engine, as far as it is asked of this one.
struct cluster_engine {
    using topic = std::shared_ptr<const topic_state>;
    static constexpr bool claims_in_place = false;
};

}  // namespace brook::inline BROOK_ABI::kafka

template <>
struct brook::engine_of<brook::kafka::broker> {
    using type = brook::kafka::cluster_engine;
};

template <>
struct brook::partition_of<brook::kafka::broker> {
    using type = brook::kafka::partition;
};

namespace brook::inline BROOK_ABI {

/// A cluster's topic of typed records.
///
/// Threads   shared. A handle: copies mean the same topic.
/// Lifetime  may outlive its broker; then what is made from it throws closed. Partitions that are added later are seen by who opens it again.
template <class Key, class Value>
class topic<Key, Value, kafka::broker> {
    static_assert(detail::check_key<Key>() && detail::check_readable<Value>());

public:
    using key_type = Key;
    using value_type = Value;
    using broker_type = kafka::broker;

    [[nodiscard]] const std::string& name() const noexcept { return topic_->name; }
    [[nodiscard]] std::int32_t partition_count() const noexcept { return topic_->partition_count; }

    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] kafka::partition partition(std::int32_t number) const { return {topic_, number}; }

    [[nodiscard]] std::vector<kafka::partition> partitions() const {
        std::vector<kafka::partition> all;
        for (std::int32_t number = 0; number < partition_count(); ++number) {
            all.push_back(partition(number));
        }
        return all;
    }

    explicit topic(std::shared_ptr<const kafka::topic_state> handle) noexcept : topic_{std::move(handle)} {}

private:
    friend struct detail::access;
    std::shared_ptr<const kafka::topic_state> topic_;
};

/// A table looks at values where they lie, in the segments of this process.
template <class Key, class Value>
class table<Key, Value, kafka::broker> {
    static_assert(sizeof(Key) == 0, "brook: a table reads values in place, in segments of this process, which a Kafka cluster's topic has not: bring the topic "
                                    "down by a brook::kafka::mirror, and make the table of the local one");
};

}  // namespace brook::inline BROOK_ABI
