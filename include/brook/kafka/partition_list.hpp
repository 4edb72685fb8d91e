/// \file brook/kafka/partition_list.hpp
/// librdkafka's lists of partitions, and how partitions are named in errors.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

inline void raise(rd_kafka_resp_err_t code, const std::string& what) {
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        refusal(code, what).raise();
    }
}

/// Of one partition more, with an offset, and metadata where there are some.
inline void add_to(rd_kafka_topic_partition_list_t* list, const partition& of, offset at, const std::string& metadata) {
    auto* const one = rd_kafka_topic_partition_list_add(list, of.topic().c_str(), of.number());
    one->offset = at;
    if (!metadata.empty()) {
        one->metadata = std::malloc(metadata.size());  // librdkafka frees it
        if (one->metadata == nullptr) {
            throw std::bad_alloc{};
        }
        copy_bytes(static_cast<std::byte*>(one->metadata), metadata.data(), metadata.size());
        one->metadata_size = metadata.size();
    }
}

[[nodiscard]] inline owned_list list_of(const partition& of) {
    owned_list list = make_list();
    add_to(list.get(), of, RD_KAFKA_OFFSET_INVALID, {});
    return list;
}

[[nodiscard]] inline std::string place_text(const partition& of) { return "topic '" + of.topic() + "', partition " + std::to_string(of.number()); }

}  // namespace brook::inline BROOK_ABI::kafka
