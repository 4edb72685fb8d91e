/// \file brook/broker/cluster_controller.hpp
/// Who leads the cluster's metadata decides: which cluster it is, who is in it, which topics there are.
/// Floor 4, broker. Source: Kafka's controller (KIP-500).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/answers.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Every broker has one, and the one that leads the metadata's partition uses it.
///
/// A decision is a record, made only by who knows everything that was decided before, and it counts when it is committed: then every broker,
/// the controller too, learns of it from its metadata_loader. Who asked for it is answered at that moment.
///
/// Threads   confined, to whoever holds the member's lock.
class cluster_controller {
public:
    struct identity {
        std::int32_t node;
        std::vector<std::int32_t> peers;   ///< in order, this one among them
        format::topic_id directory;
        std::chrono::nanoseconds election_timeout;
    };

    cluster_controller(os::platform& platform, identity who, replica_host& replicas, metadata_loader& metadata, request_board& board, answers& to)
        : platform_{platform}, who_{std::move(who)}, replicas_{replicas}, metadata_{metadata}, board_{board}, answers_{to} {}

    /// What the metadata's own topic is made with.
    [[nodiscard]] topic_meta make_metadata_meta() const;

    /// Errors    thrown: invalid_config.
    void require_same_peers(const topic_meta& metadata, const std::string& directory) const;

    /// Something has become of the metadata's replica here.
    void progressed(const hosted_partition& home, std::chrono::nanoseconds now) noexcept;

    /// Tells the controller which directory this broker has; the first controller decides which cluster it is, and where groups commit.
    void enlist(std::chrono::nanoseconds now);

    // ---- requests ----

    void create_topic(const answer_to& to, bytes body, std::chrono::nanoseconds now);

    void delete_topic(const answer_to& to, bytes body, std::chrono::nanoseconds now);

    void register_broker(const answer_to& to, bytes body, std::chrono::nanoseconds now);

private:
    [[nodiscard]] hosted_partition& home() noexcept { return *replicas_.find(metadata_id); }

    /// For decisions of its own.
    [[nodiscard]] answer_to nobody() const noexcept { return {who_.node, 0}; }

    [[nodiscard]] bool knows_all(const hosted_partition& of) const noexcept { return of.machine.knows_high_watermark() && metadata_.applied() >= of.machine.end(); }

    /// The metadata's leader, and it knows everything that was decided. If not, it has answered.
    [[nodiscard]] bool decides(const answer_to& to, std::chrono::nanoseconds now);

    /// Appends a decision; who asked is answered when it is committed.
    /// `answer`: what he is answered; empty: where it stands.
    void decide(const answer_to& to, std::string_view key, std::optional<bytes> value, std::chrono::nanoseconds now, std::vector<std::byte> answer = {});

    [[nodiscard]] static std::vector<std::byte> made(const format::topic_id& id);

    [[nodiscard]] std::string unknown_brokers() const;

    /// Whose directory is not known has replicas that do not count until they have caught up: so all are waited for, but not for ever.
    [[nodiscard]] bool are_brokers_known(std::chrono::nanoseconds now) const noexcept;

    /// The leads of its partitions go round.
    void assign_replicas(topic_meta& meta, std::size_t factor);

    [[nodiscard]] bool is_taken(const format::topic_id& id) const;

    /// Where groups commit: on as many brokers as Kafka has it, or all.
    void make_offsets_topic(std::chrono::nanoseconds now);

    os::platform& platform_;
    const identity who_;
    replica_host& replicas_;
    metadata_loader& metadata_;
    request_board& board_;
    answers& answers_;
    std::size_t next_leader_ = 0;
    std::uint32_t led_epoch_ = 0;              // the latest epoch of the metadata in which this broker led,
    std::chrono::nanoseconds leads_since_{};   // and since when
    std::chrono::nanoseconds enlist_again_at_{};
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/cluster_controller.hpp>
#endif
