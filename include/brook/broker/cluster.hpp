/// \file brook/broker/cluster.hpp
/// What a broker asks of its cluster, if it is a member of one: brook/replication.hpp brings it.
/// Floor 4, broker.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/group_service.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI {

/// Another broker's copy of a partition, as the one that leads it knows of it [kafka-metadata-quorum.sh describe --replication].
struct follower_state {
    int node_id = -1;
    offset log_end_offset = -1;               ///< what it has, and agrees on, up to there; -1: it has not told this leader yet
    std::chrono::nanoseconds silent_for{-1};  ///< since it told so last; negative: it has not
    bool is_voter = false;                    ///< it is one of those that decide; otherwise it is kept a copy
};

/// A replicated partition as one broker sees it.
struct replication_state {
    int leader = -1;                 ///< -1: none is known here
    std::uint32_t leader_epoch = 0;
    bool is_leader = false;          ///< this broker is
    bool is_suspect = false;         ///< what this broker's replica had may be lost: its word counts again when it has caught up, some election timeouts after its start
    std::vector<int> replicas;       ///< those that decide, the preferred leader first
    std::vector<int> in_sync;        ///< of those, the ones that the leader has heard of lately; empty where this broker does not lead
    std::vector<follower_state> followers;  ///< all other copies, by node_id; empty where this broker does not lead
    offset high_watermark = 0;       ///< everything below it is on a majority
    offset log_end_offset = 0;       ///< of this broker's own log
};

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::broker_room {

/// Where a cluster keeps what all of its brokers know.
inline constexpr std::string_view metadata_topic = "__cluster_metadata";

/// One partition of one topic, whatever its name was or will be.
struct partition_id {
    format::topic_id topic{};
    std::int32_t number = 0;

    auto operator<=>(const partition_id&) const = default;
};

/// When a batch that was sent to a replicated partition counts.
enum class replicated_acks : std::uint8_t {
    leader,  ///< its leader has it
    all,     ///< it is committed
};

/// A batch on its way to a partition's leader, and what became of it.
///
/// Threads   `frame` is set before it is sent, and not touched afterwards. `settle` is called once, on any thread, with no lock held.
class produce_request {
public:
    virtual ~produce_request() = default;

    /// `first`: where it was appended.
    virtual void settle(const failure& why, offset first, std::int64_t timestamp) noexcept = 0;

    std::vector<std::byte> frame;  ///< in wire form, with its producer's stamp
    replicated_acks acks = replicated_acks::all;
    std::chrono::nanoseconds deadline{};  ///< monotonic

    /// One that its producer sent before it is not settled: whoever leads takes it behind that one, or not yet.
    std::atomic<bool> follows_another{false};
};

/// What a member of a cluster is asked for by its own broker.
///
/// Threads   shared.
class cluster {
public:
    virtual ~cluster() = default;

    /// Topics that were made before and are here have been opened; whoever takes part in upkeep may be called from now on.
    virtual void start() = 0;

    /// Says good-bye and stops: nothing comes any more. Called once. Waits for no one, but where this broker's consumers are members of groups: then
    /// until the groups' coordinator knows that they go, for an election timeout at most.
    virtual void stop() noexcept = 0;

    /// Makes a topic in all of the cluster, or finds the one that agrees.
    /// Errors    thrown: as broker.create_topic, and timed_out when no majority answers.
    virtual topic_handle create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) = 0;
    virtual void delete_topic(std::string_view name) = 0;

    /// The largest frame that goes into a datagram, with all that surrounds it, in bytes.
    [[nodiscard]] virtual std::size_t largest_frame() const noexcept = 0;

    /// Sends a batch to its partition's leader, again and again until it is settled or its deadline has passed.
    virtual void produce(const partition_id& to, std::shared_ptr<produce_request> batch) = 0;

    /// nullopt: it is not replicated here.
    [[nodiscard]] virtual std::optional<replication_state> state_of(const partition_id& which) const = 0;

    /// The groups of the cluster, wherever they are coordinated.
    [[nodiscard]] virtual group_service& groups() noexcept = 0;

    /// Whether this broker coordinates them just now.
    [[nodiscard]] virtual bool coordinates() const noexcept = 0;

    /// What is not as it should be in the cluster just now, as this broker sees it.
    [[nodiscard]] virtual std::vector<failure> conditions() const = 0;

    /// The part of upkeep that is the cluster's: topics that have come or gone, syncs that others wait for.
    virtual std::optional<std::chrono::nanoseconds> look_after(std::chrono::nanoseconds now) = 0;

    /// Takes what has come, does what is due, without a thread of its own: where maintenance is manual.
    /// Returns   when to call it again, whatever has come until then; the largest time: something has to come before.
    virtual std::chrono::nanoseconds pump() = 0;

    /// Waits until something may have changed that somebody waits for, or `until`; does what there is to do meanwhile where maintenance is manual.
    virtual void await(std::uint32_t seen, std::chrono::nanoseconds until) = 0;
    [[nodiscard]] virtual std::uint32_t changes() const noexcept = 0;

    /// Its broker is being closed, and waits for the threads of its own: nobody may wait on one of them.
    [[nodiscard]] virtual bool is_closing() const noexcept = 0;

    /// Says in an election that what other replicas had is lost [unclean.leader.election.enable, for one partition and once].
    virtual void force_unclean(const partition_id& which) = 0;

    /// What is to be said of a topic that is not here, in words: this broker has perhaps not heard of it yet.
    [[nodiscard]] virtual std::string why_unknown(std::string_view topic) const = 0;

    /// Has another replica lead.
    [[nodiscard]] virtual failure transfer(const partition_id& which, int to) = 0;
};

class core;

/// How a broker that has peers becomes a member; null: the program does not include brook/replication.hpp.
using cluster_factory = std::unique_ptr<cluster> (*)(core&, const broker_options&);

inline std::atomic<cluster_factory>& cluster_factory_in_use() noexcept {
    static std::atomic<cluster_factory> in_use{nullptr};
    return in_use;
}

}  // namespace brook::inline BROOK_ABI::broker_room
