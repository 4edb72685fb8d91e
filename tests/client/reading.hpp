/// \file client/reading.hpp
/// What a topic holds, as values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <brook/client/consumer.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/types.hpp>

namespace brook::test {

/// A record that was read, with copies of all its bytes.
struct consumed_record {
    std::int32_t partition;
    brook::offset offset;
    brook::timestamp timestamp;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

template <class Records>
void copy_records(const Records& records, std::vector<consumed_record>& into) {
    for (const auto& record : records) {
        consumed_record copy{record.partition(), record.offset(), record.timestamp(), std::nullopt, std::nullopt, {}};
        if (record.has_key()) {
            copy.key = as_text(record.key_bytes());
        }
        if (!record.is_tombstone()) {
            copy.value = as_text(record.value_bytes());
        }
        for (const auto& header : record.headers()) {
            copy.headers.emplace_back(header.name, header.value ? std::optional{std::string{as_text(*header.value)}} : std::nullopt);
        }
        into.push_back(std::move(copy));
    }
}

/// Everything that can be read now, partition by partition as polls gave it.
template <class Topic>
[[nodiscard]] std::vector<consumed_record> read_all(const Topic& topic) {
    brook::consumer consumer{topic};
    std::vector<consumed_record> all;
    do {
        copy_records(consumer.poll(std::chrono::seconds{0}), all);
    } while (!consumer.caught_up());
    return all;
}

/// The values of records that a poll gave.
template <class Records>
[[nodiscard]] std::vector<std::uint64_t> values(const Records& records) {
    std::vector<std::uint64_t> all;
    for (const auto& record : records) {
        all.push_back(record.value());
    }
    return all;
}

/// The numbers in a topic of uint64 values, in the order of offsets of one partition.
template <class Topic>
[[nodiscard]] std::vector<std::uint64_t> read_numbers(const Topic& topic, std::int32_t partition = 0) {
    static_assert(std::is_same_v<typename Topic::value_type, std::uint64_t>);
    brook::consumer consumer{topic};
    consumer.assign({topic.partition(partition)});
    std::vector<std::uint64_t> all;
    do {
        auto records = consumer.poll(std::chrono::seconds{0});
        for (const auto& record : records) {
            all.push_back(record.value());
        }
    } while (!consumer.caught_up());
    return all;
}

}  // namespace brook::test
