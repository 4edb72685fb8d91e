/// \file brook/broker/produce_server.hpp
/// Batches of producers, appended where this broker leads: verified, told from repetitions, acknowledged.
/// Floor 4, broker. Source: Kafka's ReplicaManager.appendRecords.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Threads   confined, to whoever holds the member's lock.
/// Cost      a hash of the batch, and its copy into the log.
class produce_server {
public:
    produce_server(replica_host& replicas, answers& to) noexcept : replicas_{replicas}, answers_{to} {}

    /// A request of another broker.
    void serve(const answer_to& to, bytes body, std::chrono::nanoseconds now);

    /// Of this broker's own producers, for a partition that it leads, or that it does not.
    /// Requires  a frame as they make them: the log verifies it, too.
    void append(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another, std::vector<std::byte>& frame, std::chrono::nanoseconds now);

private:
    /// null: it is not here, or takes no appends.
    [[nodiscard]] hosted_partition* find_led(const partition_id& target) const noexcept;

    void append(hosted_partition& one, const answer_to& to, replicated_acks acks, bool follows_another, std::vector<std::byte>& frame, std::chrono::nanoseconds now);

    [[nodiscard]] static bool is_users(bytes frame) noexcept;

    /// min_insync_replicas are not there: refused for now.
    [[nodiscard]] bool has_too_few(const hosted_partition& one, const answer_to& to, std::chrono::nanoseconds now);

    void acknowledge(hosted_partition& one, replicated_acks acks, const hosted_partition::waiting_ack& ack, std::chrono::nanoseconds now);

    replica_host& replicas_;
    answers& answers_;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/produce_server.hpp>
#endif
