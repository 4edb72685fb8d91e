/// \file brook/broker/cluster_metadata.hpp
/// What all brokers of a cluster know: which it is, who is in it, which topics there are. Records of one replicated partition.
/// Floor 4, broker. Source: Kafka's __cluster_metadata (KIP-500, KIP-631).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/properties.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// The same in every cluster: it has to be known before anything else is.
inline constexpr format::topic_id metadata_topic_id = [] {
    format::topic_id id{};
    for (std::size_t i = 0; i < id.size(); ++i) {
        id[i] = static_cast<std::byte>(metadata_topic[i]);
    }
    return id;
}();

/// The sum of the records. A record has a key of one letter and a name, and the latest of a key counts:
///
///     c          the cluster's id, 16 bytes
///     b<number>  a broker: the id of its directory, 16 bytes
///     t<name>    a topic: what its topic.meta says; none: it was deleted
///
/// Threads   confined.
class cluster_metadata {
public:
    struct topic {
        std::string name;
        std::string meta;   ///< as topic_meta encodes it
        offset at = 0;      ///< of the record
    };

    [[nodiscard]] const format::topic_id& cluster() const noexcept { return cluster_; }
    [[nodiscard]] const std::vector<topic>& topics() const noexcept { return topics_; }
    [[nodiscard]] const std::vector<std::pair<std::int32_t, format::topic_id>>& brokers() const noexcept { return brokers_; }

    [[nodiscard]] const topic* find(std::string_view name) const noexcept {
        const std::size_t i = place_of(name);
        return i < topics_.size() && topics_[i].name == name ? &topics_[i] : nullptr;
    }

    [[nodiscard]] std::optional<format::topic_id> directory_of(std::int32_t node) const noexcept {
        for (const auto& [number, directory] : brokers_) {
            if (number == node) {
                return directory;
            }
        }
        return std::nullopt;
    }

    /// Takes the next record.
    void apply(const format::record_slice& record) {
        const std::string_view key = as_text(record.key());
        if (key.empty()) {
            return;
        }
        const bytes value = record.has_value() ? record.value() : bytes{};
        const std::string_view name = key.substr(1);
        if (key[0] == 'c' && value.size() == cluster_.size()) {
            cluster_ = load<format::topic_id>(value.data());
        } else if (key[0] == 'b' && value.size() == cluster_.size()) {
            if (const auto number = format::properties::parse(name, 10); number && *number <= INT32_MAX) {
                note_broker(static_cast<std::int32_t>(*number), load<format::topic_id>(value.data()));
            }
        } else if (key[0] == 't' && is_valid_topic_name(name)) {
            const std::size_t i = place_of(name);
            const bool is_there = i < topics_.size() && topics_[i].name == name;
            if (!record.has_value()) {
                if (is_there) {
                    erase_at(topics_, i);
                }
            } else if (is_there) {
                topics_[i] = {std::string{name}, std::string{as_text(value)}, record.offset()};
            } else {
                insert_at(topics_, i, {std::string{name}, std::string{as_text(value)}, record.offset()});
            }
        }
    }

    /// A record as a frame in wire form, but for its binding; nullopt: a tombstone.
    [[nodiscard]] static std::vector<std::byte> make_record(std::string_view key, std::optional<bytes> value, std::int64_t time) {
        const format::record_sizes sizes{static_cast<std::uint32_t>(key.size()), value ? static_cast<std::uint32_t>(value->size()) : format::null_size, 0};
        const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
        std::vector<std::byte> frame(format::frame_length(size));
        const format::lone_layout body = format::lay_out_lone(frame.data(), sizes);
        copy_bytes(body.key, key.data(), key.size());
        if (value) {
            copy_bytes(body.value, value->data(), value->size());
        }
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(size);
        header.attributes = format::lone_attributes(sizes);
        header.base_timestamp = time;
        header.count = sizes.key;
        store(frame.data(), header);
        return frame;
    }

private:
    [[nodiscard]] std::size_t place_of(std::string_view name) const noexcept {
        return count_before(topics_.size(), [&](std::size_t i) { return std::string_view{topics_[i].name} < name; });
    }

    void note_broker(std::int32_t number, const format::topic_id& directory) {
        for (auto& one : brokers_) {
            if (one.first == number) {
                one.second = directory;
                return;
            }
        }
        brokers_.emplace_back(number, directory);
    }

    format::topic_id cluster_{};
    std::vector<std::pair<std::int32_t, format::topic_id>> brokers_;
    std::vector<topic> topics_;  // by name
};

}  // namespace brook::inline BROOK_ABI::broker_room
