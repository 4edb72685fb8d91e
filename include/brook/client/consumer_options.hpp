/// \file brook/client/consumer_options.hpp
/// What a consumer can be told. Names and meanings are Kafka's, with dots as underscores.
/// Floor 6, client. Where a default is not Kafka's, the comment says why.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <brook/broker/assignor.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// Where to begin where nothing was committed, and where to go when a position has no record [auto.offset.reset].
enum class offset_reset {
    earliest,  ///< brook's default: one sees what one wrote. Kafka's is latest
    latest,
    none,      ///< an error
};

/// Which records of transactions a consumer sees [isolation.level].
enum class isolation_level {
    read_uncommitted,  ///< all, also of those that are aborted
    read_committed,    ///< brook's default: of those that are committed, and waits in front of one that is not decided
};

/// What a member of a group may want to know. Called inside its own poll, on its thread. `Partition` is what its topics have.
template <class Partition>
struct basic_rebalance_listener {
    using partitions = std::vector<Partition>;

    /// These have come, and have their positions: `seek` goes elsewhere.
    callback<void(const partitions&)> on_partitions_assigned{};

    /// These go to another member as soon as this returns. They can still be committed.
    callback<void(const partitions&)> on_partitions_revoked{};

    /// These have gone: the group put this member out, and others read them; or their topic was deleted. They cannot be committed any more.
    callback<void(const partitions&)> on_partitions_lost{};
};

using rebalance_listener = basic_rebalance_listener<partition>;

template <class Partition>
struct basic_consumer_options {
    /// The group it joins at its first poll, and commits for. Its members share out the partitions. Empty: it belongs to
    /// none, reads all partitions of its topics, and cannot commit [group.id].
    std::string group_id{};

    /// A name of its own in the group, the same after a restart: who leaves and comes back under it inside
    /// session_timeout finds its partitions where it left them, and nobody else notices [group.instance.id].
    std::string group_instance_id{};

    /// Who has not polled for so long is put out, and others read what it had; by an eighth later, since nobody looks all
    /// the time [max.poll.interval.ms].
    std::chrono::nanoseconds max_poll_interval = std::chrono::minutes{5};

    /// How long a member with a group_instance_id may be away; and in a cluster, how long any member may be silent [session.timeout.ms].
    ///
    /// A consumer that is destroyed leaves its group at once, and so do all members of a broker that is closed: what they read falls to
    /// others without a wait, but for a member with a group_instance_id, whose partitions wait for it to come back. In one broker alone a
    /// member cannot go in any other way but with its process, and its groups with it. In a cluster a broker may die, or be cut off: then
    /// nobody says for its members any more that they live, which it does every quarter of an election_timeout, and after this time they are put out and
    /// others read what they had. 0: a minute.
    std::chrono::nanoseconds session_timeout = std::chrono::seconds{45};

    /// How the group shares out partitions; all members name the same [partition.assignment.strategy]. Kafka's default
    /// is range: it moves more.
    std::shared_ptr<const partition_assignor> partition_assignment_strategy = assignors::cooperative_sticky();

    /// Told by a poll what comes and goes [ConsumerRebalanceListener].
    basic_rebalance_listener<Partition> rebalance_listener{};

    offset_reset auto_offset_reset = offset_reset::earliest;
    brook::isolation_level isolation_level = brook::isolation_level::read_committed;

    /// Most that one poll gives [max.poll.records]. It gives fewer when compressed batches have become 16 MiB.
    std::int32_t max_poll_records = 500;

    /// Commit at each poll what the poll before it gave: at least once, without a timer [enable.auto.commit]. Where another broker of a cluster
    /// coordinates the group, the poll has asked for that when it returns, and a later one sees that it is done, or tries again; before the member
    /// gives something up it is.
    bool enable_auto_commit = false;

    /// Verify checksums of what comes from the disk, at the first read since it was opened [check.crcs].
    bool check_crcs = true;
};

using consumer_options = basic_consumer_options<partition>;

}  // namespace brook::inline BROOK_ABI
