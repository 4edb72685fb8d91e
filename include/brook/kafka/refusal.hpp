/// \file brook/kafka/refusal.hpp
/// What librdkafka and a cluster refuse, in brook's words; and librdkafka's objects, with owners.
/// Edge of floor 6, kafka. Needs librdkafka (Debian: librdkafka-dev).
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// The errc of one of librdkafka's codes. timed_out where a time passed: whether anything came of it shows later.
[[nodiscard]] inline errc code_of(rd_kafka_resp_err_t code) noexcept {
    switch (code) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return errc::unknown_topic_or_partition;
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION: return errc::invalid_topic;
        case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: return errc::topic_already_exists;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE: return errc::record_too_large;
        case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: return errc::offset_out_of_range;
        case RD_KAFKA_RESP_ERR__BAD_MSG:
        case RD_KAFKA_RESP_ERR_INVALID_MSG:
        case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        case RD_KAFKA_RESP_ERR__BAD_COMPRESSION: return errc::corrupt_record;
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
        case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED: return errc::unsupported_version;
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE: return errc::unsupported_compression_type;
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
        case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
        case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
        case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST: return errc::illegal_generation;
        case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID: return errc::fenced_instance_id;
        case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL: return errc::inconsistent_group_protocol;
        case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE: return errc::offset_metadata_too_large;
        case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
        case RD_KAFKA_RESP_ERR__UNKNOWN_GROUP: return errc::group_id_not_found;
        case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP: return errc::non_empty_group;
        case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
        case RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER:
        case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID: return errc::out_of_order_sequence_number;
        case RD_KAFKA_RESP_ERR__FENCED:
        case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        case RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED:
        case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH: return errc::producer_fenced;
        case RD_KAFKA_RESP_ERR_INVALID_TXN_STATE: return errc::transaction_aborted;
        case RD_KAFKA_RESP_ERR__NO_OFFSET: return errc::no_offset;
        case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
        case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
        case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH: return errc::not_leader_or_follower;
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND: return errc::not_enough_replicas;
        case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        case RD_KAFKA_RESP_ERR__WAIT_COORD: return errc::coordinator_not_available;
        case RD_KAFKA_RESP_ERR__TIMED_OUT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
        case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT: return errc::timed_out;
        case RD_KAFKA_RESP_ERR__TRANSPORT:
        case RD_KAFKA_RESP_ERR__RESOLVE:
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION: return errc::network_exception;
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR__SSL:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED: return errc::authentication_failed;
        case RD_KAFKA_RESP_ERR__INVALID_ARG:
        case RD_KAFKA_RESP_ERR__CONFLICT:
        case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
        case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
        case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
        case RD_KAFKA_RESP_ERR_INVALID_REPLICA_ASSIGNMENT:
        case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
        case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return errc::invalid_config;
        case RD_KAFKA_RESP_ERR__DESTROY:
        case RD_KAFKA_RESP_ERR__PURGE_QUEUE: return errc::closed;
        default: return errc::illegal_state;
    }
}

/// Of who has not proved who it is, or may not do it: trying again is of no use.
[[nodiscard]] inline bool is_about_identity(rd_kafka_resp_err_t code) noexcept { return code_of(code) == errc::authentication_failed; }

/// What was tried, and what librdkafka said: its name for it is the one to look up.
[[nodiscard]] inline failure refusal(rd_kafka_resp_err_t code, const std::string& what, const char* detail = nullptr) {
    std::string text = what + ": " + (detail != nullptr && *detail != '\0' ? detail : rd_kafka_err2str(code)) + " [" + rd_kafka_err2name(code) + ']';
    return {code_of(code), std::move(text)};
}

// ---- owners ----

template <auto Destroy>
struct destroyer {
    template <class Object>
    void operator()(Object* object) const noexcept {
        Destroy(object);
    }
};

using owned_list = std::unique_ptr<rd_kafka_topic_partition_list_t, destroyer<rd_kafka_topic_partition_list_destroy>>;
using owned_event = std::unique_ptr<rd_kafka_event_t, destroyer<rd_kafka_event_destroy>>;
using owned_queue = std::unique_ptr<rd_kafka_queue_t, destroyer<rd_kafka_queue_destroy>>;
using owned_error = std::unique_ptr<rd_kafka_error_t, destroyer<rd_kafka_error_destroy>>;
using owned_conf = std::unique_ptr<rd_kafka_conf_t, destroyer<rd_kafka_conf_destroy>>;
using owned_topic = std::unique_ptr<rd_kafka_topic_t, destroyer<rd_kafka_topic_destroy>>;

[[nodiscard]] inline owned_list make_list() { return owned_list{rd_kafka_topic_partition_list_new(8)}; }

/// The same of an error object. Takes it.
[[nodiscard]] inline failure refusal(rd_kafka_error_t* error, const std::string& what) {
    const owned_error owned{error};
    return error == nullptr ? failure{} : refusal(rd_kafka_error_code(error), what, rd_kafka_error_string(error));
}

}  // namespace brook::inline BROOK_ABI::kafka
