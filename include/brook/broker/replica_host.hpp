/// \file brook/broker/replica_host.hpp
/// The replicas of one broker: begun, spoken to, and what they want done, in an order that keeps promises.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <brook/broker/ballot_file.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/peer_sessions.hpp>
#include <brook/broker/replica_actions.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// How a topic's directory came to be here.
enum class provenance {
    here,        ///< it was there when the broker was opened
    newly_made,  ///< the cluster has just made the topic, and this broker was a member by then
    lost,        ///< it was made just now, and may have been here before
};

/// The replicas hosted here.
///
/// Whoever says something to a replica's machine `touch`es it, and `settle`s before the lock is free: ballots are written and synced, all at once,
/// and only then what the machines want is done, and their messages leave. A replica whose disk fails says nothing any more; where the ballots
/// cannot be written that is all of them.
///
/// Threads   confined, to whoever holds the member's lock; but for `open` and `session`, before there are others.
/// Cost      a look-up is O(log replicas). `settle` costs a sync where some machine has promised something, else no system call but the appends.
class replica_host {
public:
    replica_host(os::platform& platform, const std::string& directory, std::int32_t self, const std::vector<std::int32_t>& peers, std::chrono::nanoseconds election_timeout, departures& out,
                 replica_listener& told)
        : platform_{platform}, self_{self}, election_timeout_{election_timeout}, out_{out}, listener_{told}, actions_{platform, self, out, told}, ballots_{platform, directory}, peers_{peers} {}

    /// Errors    thrown: as ballot_file::open.
    void open();

    /// Larger than in any life before.
    [[nodiscard]] std::uint64_t session() const noexcept { return ballots_.session(); }

    // ---- which there are ----

    [[nodiscard]] hosted_partition* find(const partition_id& id) const noexcept;

    /// By id.
    [[nodiscard]] const std::vector<std::unique_ptr<hosted_partition>>& all() const noexcept { return partitions_; }

    /// A topic's replicas begin, those that are not here yet.
    void host(const topic_handle& topic, provenance how);

    /// Its topic was deleted.
    void let_go(const format::topic_id& topic);

    /// nullopt: it is not here.
    [[nodiscard]] std::optional<replication_state> state_of(const partition_id& which) const;

    // ---- what happens to them ----

    /// Something is about to be said to its machine: before it is, so that it is known of whatever is thrown.
    void touch(hosted_partition& one);

    /// A message of another replica has come; it is settled when this returns, since its frames lie in the datagram.
    void receive(std::int32_t from, const partition_id& of, bytes body, std::chrono::nanoseconds now);

    /// Appends where this broker leads. A leader whose disk takes nothing has one lead that has everything and whose disk does.
    /// Errors    as hosted_partition::append_own.
    [[nodiscard]] failure append(hosted_partition& one, std::vector<std::byte>& frame, std::uint32_t taken, offset& first, std::chrono::nanoseconds now);

    /// Of partitions whose records the disk here does not take.
    void add_conditions(std::vector<failure>& all) const;

    void run_due(std::chrono::nanoseconds now);

    void expect_all() noexcept;

    /// By upkeep. Retention may have moved a log's start; and where another one is to lead that is there and has everything, it is handed the lead.
    void look_after(std::chrono::nanoseconds now);

    /// The broker closes: others lead.
    void resign_all(std::chrono::nanoseconds now);

    // ---- syncs ----

    /// One that waits for a sync, which the caller sees to; null: none does.
    [[nodiscard]] hosted_partition* take_unsynced() noexcept;

    void synced(const partition_id& id, const storage::log& log, const failure& why, std::chrono::nanoseconds now);

    /// So that the next opening, also after a loss of power, knows that nothing was lost. Syncs every log.
    void note_whole();

    // ---- what the state machines want ----

    /// Of the machines that something was said to. Ballots first, all with one sync; then the rest.
    void settle(std::chrono::nanoseconds now);

    // ---- lives ----

    /// Something was thrown in the middle, for want of memory: what the machines know is not what their logs have, perhaps.
    void doubt() noexcept;

    /// Then all begin anew, as after a restart of the broker: what was asked in this session may be answered yet, and a broker has one at a time.
    void reopen_unsure(std::chrono::nanoseconds now);

    /// Others have heard of a later life of this broker, on a directory that is gone perhaps, under a clock that was ahead of this one: they take
    /// what this life says for that of a former one.
    void renew_session(std::int32_t from, bytes body, std::chrono::nanoseconds now);

private:
    [[nodiscard]] std::size_t place_of(const partition_id& id) const noexcept;

    [[nodiscard]] replication::replica_options options_of(const partition_id& id, const topic_meta& meta) const;

    void begin_session(std::uint64_t number, std::chrono::nanoseconds now);

    void ask_for_session(std::int32_t node, std::uint64_t known);

    [[nodiscard]] bool save_ballot(const hosted_partition& one);

    bool save_ballots();

    /// What has become of the log and of the lead since the last look.
    void look_at(hosted_partition& one, std::chrono::nanoseconds now);

    /// It is there, has everything, and its disk takes records.
    [[nodiscard]] bool is_fit_to_lead(const hosted_partition& one, const replication::follower_progress& other, std::chrono::nanoseconds now) const noexcept;

    void balance(hosted_partition& one, std::chrono::nanoseconds now);

    os::platform& platform_;
    const std::int32_t self_;
    const std::chrono::nanoseconds election_timeout_;
    departures& out_;
    replica_listener& listener_;
    replica_actions actions_;
    ballot_file ballots_;
    peer_sessions peers_;
    std::vector<std::unique_ptr<hosted_partition>> partitions_;  // by id
    std::vector<hosted_partition*> touched_;                     // something has been said to them
    bool has_unsure_ = false;                                    // some machine has to begin anew
    bool has_lost_ballots_ = false;                              // they cannot be written any more: nothing is promised, nor said
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/replica_host.hpp>
#endif
