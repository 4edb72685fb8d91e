/// \file brook/broker/options.hpp
/// What a broker and its topics can be told. Names and meanings are Kafka's, with dots as underscores.
/// Floor 4, broker. Where a default is not Kafka's, the comment says why.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI {

class transport;

/// Who does the work beside appends and reads: preparing segments, syncing sealed ones, closing lingering batches.
enum class maintenance {
    thread,  ///< one thread per broker; asleep while nothing happens
    manual,  ///< whoever calls `broker.maintain()`; until then writers prepare for themselves, more slowly
};

/// What happens to records in the end [cleanup.policy].
enum class cleanup_policy {
    delete_,             ///< the oldest go, as retention and retention_bytes say
    compact,             ///< of each key the last one stays
    compact_and_delete,  ///< both
};

[[nodiscard]] constexpr std::string_view to_string(cleanup_policy policy) noexcept {
    switch (policy) {
        case cleanup_policy::delete_: return "delete";
        case cleanup_policy::compact: return "compact";
        case cleanup_policy::compact_and_delete: return "compact,delete";
    }
    return "unknown";
}

/// Who stamps records [message.timestamp.type].
enum class timestamp_type {
    create_time,  ///< the producer, or the caller
    append_time,  ///< the log: times never go back from one offset to the next
};

/// How batches are compressed [compression.type]. brook/brook.hpp brings no codec: lz4 comes with <brook/lz4.hpp>, zstd with
/// <brook/zstd.hpp>, included in one file of the program; the users' with a codec_registration of that id.
enum class compression { none = 0, lz4 = 1, zstd = 2, user6 = 6, user7 = 7 };

[[nodiscard]] constexpr std::string_view to_string(compression type) noexcept {
    switch (type) {
        case compression::none: return "none";
        case compression::lz4: return "lz4";
        case compression::zstd: return "zstd";
        case compression::user6: return "user6";
        case compression::user7: return "user7";
    }
    return "unknown";
}

/// How a broker runs: alone, or with peers as a member of a cluster, which takes brook/replication.hpp.
struct broker_options {
    int node_id = 0;                                  ///< this broker's number among its peers
    std::vector<int> peers{};                         ///< the numbers of all brokers of its cluster, its own among them, 64 at most: the same in each, and always
    std::shared_ptr<brook::transport> transport{};    ///< how they reach each other; goes with peers
    brook::maintenance maintenance = brook::maintenance::thread;

    /// A leader that has not been heard of for that long, or up to twice it, is replaced; one that hears of no majority for one and a
    /// half times it gives up. Shorter fails over sooner, and takes a slow moment for a death. The same in all brokers of a cluster; 10 ms
    /// or more [controller.quorum.election.timeout.ms].
    std::chrono::nanoseconds election_timeout = std::chrono::seconds{1};

    /// How long making and deleting a topic, in a cluster, waits for the others: for a leader of the cluster's metadata, which takes a majority, and
    /// at its very beginning all brokers; and for this broker to have done its part. More than 0 [default.api.timeout.ms].
    std::chrono::nanoseconds default_api_timeout = std::chrono::seconds{60};

    /// Told of what went wrong in upkeep, on the thread that does it. `broker.health()` keeps it too.
    callback<void(const failure&)> on_error{};

    /// An idempotent producer without a name that has sent nothing for so long is forgotten, and with it which of its
    /// records are there. Names are remembered for good [producer.id.expiration.ms].
    std::chrono::nanoseconds producer_id_expiration = std::chrono::hours{24};

    /// Mapped writes are promised on ext4, XFS and tmpfs. Elsewhere opening is refused, unless this says that the
    /// user knows better: a full disk may then be a signal, and a sync may promise too much.
    bool allow_unsafe_filesystem = false;

    /// How long what a group has committed is kept when it has no members: from the time when upkeep saw the last of them
    /// gone, or from its last commit where that is later; who is assigned partitions keeps a group by committing. When it
    /// has had none for a minute that is noted beside its commits, and the time goes on while no broker runs. Where nothing
    /// is noted, as after a kill, it counts from when upkeep finds the group. nullopt: for ever [offsets.retention.minutes].
    std::optional<std::chrono::nanoseconds> offsets_retention = std::chrono::days{7};

    /// Bytes that stay free on the directory's file system: what would take them is refused (no_space_on_device), in place of a
    /// full disk for everybody on it. Before it comes to that the oldest segments go, of topics that have a retention or
    /// retention_bytes: they forget early, the others never. What is there can be read and opened in any case, and offsets can
    /// be committed. Not given: as long as the disk has room.
    std::optional<std::int64_t> min_free_bytes{};

    /// The same for what all topics take of the disk together, with what is taken ahead.
    std::optional<std::int64_t> max_bytes{};

    /// Memory in which a compaction notes keys, in bytes, 18 for each: taken while one goes on, which is in one partition at a
    /// time. More keys than fit take several passes. 1 MiB to 64 GiB; Kafka's default is 128 MiB [log.cleaner.dedupe.buffer.size].
    std::int64_t log_cleaner_dedupe_buffer_size = std::int64_t{32} << 20;

    os::platform* platform = nullptr;  ///< null: this system. Tests hand in one that fails, forgets or lies
};

/// How a topic keeps its records. What is not given takes the default when the topic is created, and is not looked at
/// when it is opened; what is given must agree with what the topic was created with.
struct topic_options {
    std::optional<std::int32_t> partitions{};          ///< 1, as Kafka's num.partitions
    std::optional<std::int32_t> replication_factor{};   ///< brokers that decide what is committed: 1. More takes a cluster
    std::optional<std::int32_t> min_insync_replicas{};  ///< what acks::all needs, and a majority in any case: 1

    /// 64 MiB; Kafka's is 1 GiB. Segments are mapped, and prepared ahead where a topic is busy. 4 KiB to 1 GiB,
    /// rounded up to 4 KiB. A record must fit in one.
    std::optional<std::int64_t> segment_bytes{};

    /// A segment is deleted so long after it was sealed; an active one that is as old is sealed. So a record is there for as
    /// long, and for at most about twice that. Not given: for ever, where Kafka forgets after 7 days [retention.ms].
    ///
    /// By two clocks, which both have to say so: a wall clock that jumps ahead while the broker is open deletes nothing. What it says
    /// at the opening is believed. Timestamps of records do not count.
    std::optional<std::chrono::nanoseconds> retention{};

    /// Of each partition: the oldest segment is deleted while the others are as large as this together. Not given: without
    /// limit [retention.bytes].
    std::optional<std::int64_t> retention_bytes{};
    /// A segment that retention lets go becomes the next one, where no view or reader holds it: cleared and synced as a new one is, but with
    /// its pages in memory and its space taken. For a topic that is appended to without a pause: the longest stalls are shorter, and
    /// the disk is written twice. false; goes with retention or retention_bytes.
    std::optional<bool> reuse_segments{};

    /// delete_. With compact every record needs a key, the last record of each key stays, with its offset, and those before it
    /// go when upkeep comes to them: in sealed segments alone, and an active one is sealed for it when it has 64 KiB, or half of
    /// segment_bytes.
    std::optional<brook::cleanup_policy> cleanup_policy{};

    /// How long a tombstone stays from when it was first compacted, and with it everything that it deletes was gone: who reads
    /// a topic from its start must be through by then, or may miss that a key was deleted. 1 day [delete.retention.ms].
    std::optional<std::chrono::nanoseconds> delete_retention{};

    /// A log is compacted when so much of its bytes has come since it was compacted last: 0 to 1. Less keeps it smaller, for more
    /// work. 0.5 [min.cleanable.dirty.ratio].
    std::optional<double> min_cleanable_dirty_ratio{};

    /// A record is not compacted away before that, counted from the sealing of its segment. 0 [min.compaction.lag.ms].
    std::optional<std::chrono::nanoseconds> min_compaction_lag{};

    /// Whatever the ratio, a record takes part in compaction that long after it was appended, or soon after. Not given: when
    /// the ratio says so [max.compaction.lag.ms].
    std::optional<std::chrono::nanoseconds> max_compaction_lag{};

    /// At most this many acknowledged records, less one, are not on the disk: 1 means that what is acknowledged
    /// survives the loss of power. Not given: acknowledged is appended, which survives the process [flush.messages].
    std::optional<std::int64_t> flush_messages{};

    /// Upkeep syncs records that are older than this, whoever waits for them [flush.ms]. Not given: sealed segments only.
    std::optional<std::chrono::nanoseconds> flush_interval{};

    std::optional<timestamp_type> message_timestamp_type{};  ///< create_time

    /// Its batches are compressed by this codec, or by none, whatever the producer says. Not given: as the producer says
    /// [compression.type, whose default is called producer].
    std::optional<brook::compression> compression_type{};
};

}  // namespace brook::inline BROOK_ABI
