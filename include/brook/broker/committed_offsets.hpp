/// \file brook/broker/committed_offsets.hpp
/// How far each group has come: records in the internal topic __consumer_offsets, and their sum in memory.
/// Floor 4, broker. Source: Kafka's GroupMetadataManager; the value of a commit is the next offset to read.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

inline constexpr std::string_view offsets_topic = "__consumer_offsets";

/// One partition's part of a commit.
struct committed_position {
    format::topic_id topic{};
    std::int32_t partition = 0;
    offset next = 0;                 ///< the next offset to read
    std::int32_t leader_epoch = -1;  ///< of the record before it; -1: not known
    std::string metadata{};          ///< whatever the committer wants to find there again
};

inline constexpr std::size_t offset_metadata_max_bytes = 4096;

/// The committed offsets of all groups.
///
/// A record's key is {topic id 16, partition i32, group}, its value {next offset i64, leader epoch i32, metadata}, or null:
/// forgotten. The partitions of one commit are one batch: after a crash all of them are there, or none; where a cluster's
/// network does not take as much at once they are several, and some may be there. In the place of
/// partition -1 of no topic stands since when the group has had no members, in nanoseconds, as long as it has none.
///
/// Threads   shared.
/// Cost      a commit is one append.
class committed_offsets {
public:
    /// Takes the topic's log and reads it from its start. Before that nothing else may be asked.
    /// Errors    corrupt_record.
    void open(topic_handle topic);

    /// How a cluster appends: a frame in wire form, and where the log ends behind it.
    using append_to_cluster = callback<failure(std::vector<std::byte>&, offset&)>;

    /// The same for a topic that is replicated, when this broker has come to lead it: what is committed to it, anew.
    /// `largest_frame`: that the cluster can copy, in bytes.
    void open_replicated(topic_handle topic, append_to_cluster append, std::uint64_t largest_frame);

    /// Of a replicated topic: where the last append to it ended, in this lead; 0: there was none.
    [[nodiscard]] offset last_end() const;

    [[nodiscard]] std::optional<committed_position> find(std::string_view group, const format::topic_id& topic, std::int32_t partition) const;

    /// All that a group has committed, by topic and partition.
    [[nodiscard]] std::vector<committed_position> positions_of(std::string_view group) const;

    /// The groups that have committed something, by name.
    [[nodiscard]] std::vector<std::string> groups() const;

    // ---- how long it is kept ----

    struct age {
        std::string group;
        timestamp last_commit{};
        std::optional<timestamp> empty_since{};  ///< nullopt: it has members, or nobody has seen yet that it has none
        bool is_noted = false;                   ///< on the disk, too
    };

    /// Of all groups that have committed something, by name.
    [[nodiscard]] std::vector<age> ages() const;

    /// A group that has committed something has had no members since then.
    void set_empty(std::string_view group, timestamp since);

    /// Writes that down.
    /// Errors    as `commit`.
    [[nodiscard]] failure note_empty(std::string_view group);

    /// It has members; where something else is written down, that is taken back.
    /// Errors    as `commit`.
    [[nodiscard]] failure note_members(std::string_view group);

    /// Forgets all that a group has committed: a tombstone for each partition, all of them or none if they fit into one frame.
    /// Errors    as `commit`. Then some of it may be forgotten by another call, and the rest by this one asked again.
    [[nodiscard]] failure forget(std::string_view group);

    /// Forgets what all groups have committed for a topic that was deleted: tombstones, which are on the disk when this returns.
    /// Errors    as `commit`, and what the disk said. Then some of it is there as yet, and may be forgotten by another call.
    [[nodiscard]] failure forget_topic(const format::topic_id& topic);

    /// Errors    what appending says: closed, no space, partition_failed; record_too_large. Then nothing is committed; in a cluster, where it took
    ///           several frames, perhaps what is in the first ones.
    [[nodiscard]] failure commit(std::string_view group, const std::vector<committed_position>& positions);

    /// Of a replicated topic: appends a record that says nothing. Once it is committed nobody else had coordinated before it was appended.
    /// Errors    as `commit`.
    [[nodiscard]] failure append_witness();

    // ---- as a part of a transaction ----

    [[nodiscard]] const topic_handle& topic() const noexcept { return topic_; }

    /// Appends what counts only once its transaction is committed: then it is to be noted.
    /// Errors    as `commit`.
    [[nodiscard]] failure append_in_transaction(std::string_view group, const std::vector<committed_position>& positions, const format::producer_stamp& stamp,
                                                offset& end, std::uint64_t& checksum);

    void note(std::string_view group, const std::vector<committed_position>& positions);

private:
    static constexpr std::int32_t no_partition = -1;
    /// A commit that is a part of a transaction, and where it ends.
    struct transactional_part {
        format::producer_stamp stamp;
        offset end;
        std::uint64_t checksum;
    };

    static constexpr std::size_t fixed_key_size = 20;
    static constexpr std::size_t fixed_value_size = sizeof(offset) + sizeof(std::int32_t);

    /// Allocates nothing: it is called with a claim in hand, which must come to its publication.
    static void write_key(std::byte* to, std::string_view group, const format::topic_id& topic, std::int32_t partition) noexcept;

    [[nodiscard]] storage::log& log() const { return topic_->partition(0); }

    /// In bytes: what a segment holds, and in a cluster a datagram, too. What nobody can copy would stand in the way of all that comes behind it.
    [[nodiscard]] std::uint64_t largest_frame() const { return log().largest_frame() < largest_in_cluster_ ? log().largest_frame() : largest_in_cluster_; }

    [[nodiscard]] static format::record_sizes sizes_of(std::string_view group, const committed_position& position, bool is_tombstone) noexcept;

    [[nodiscard]] failure append(std::string_view group, const std::vector<committed_position>& positions, bool are_tombstones,
                                 transactional_part* part = nullptr);

    /// As many at once as a frame holds: all at once if they fit, else a crash may leave some. `appended` is given what stands in the log, part by part.
    template <class Appended>
    [[nodiscard]] failure append_parts(std::string_view group, const std::vector<committed_position>& positions, bool are_tombstones, const Appended& appended) {
        std::vector<committed_position> some;
        std::uint64_t size = format::frame_header_size;
        for (std::size_t i = 0; i < positions.size(); ++i) {
            some.push_back(positions[i]);
            size += format::entry_bytes(sizes_of(group, positions[i], are_tombstones));
            const bool is_last = i + 1 == positions.size();
            if (!is_last && align_up(size + format::entry_bytes(sizes_of(group, positions[i + 1], are_tombstones)), std::uint64_t{8}) <= largest_frame()) {
                continue;
            }
            if (failure why = append(group, some, are_tombstones)) {
                return why;
            }
            appended(some);
            some.clear();
            size = format::frame_header_size;
        }
        return {};
    }

    void replay();

    void apply(const format::record_slice& record);

    // ---- the sum ----

    struct group_positions {
        std::string group;
        std::vector<committed_position> positions;  // by topic and partition
        std::int64_t last_commit = 0;               // when, in nanoseconds
        std::optional<std::int64_t> empty_since{};  // likewise
        bool is_noted = false;                      // on the disk, too
    };

    [[nodiscard]] static timestamp time_of(std::int64_t nanoseconds) noexcept { return timestamp{std::chrono::nanoseconds{nanoseconds}}; }

    /// Less than 0, 0 or more, as memcmp has it.
    [[nodiscard]] static int order(const committed_position& one, const committed_position& other) noexcept;

    [[nodiscard]] std::size_t place_of(std::string_view group) const noexcept;
    [[nodiscard]] static std::size_t place_of(const std::vector<committed_position>& positions, const committed_position& wanted) noexcept;
    [[nodiscard]] bool is_at(std::size_t i, std::string_view group) const noexcept { return i < groups_.size() && groups_[i].group == group; }

    void note(std::string_view group, const committed_position& latest, std::int64_t time);

    void erase(std::string_view group, const committed_position& which);

    topic_handle topic_;
    append_to_cluster append_to_cluster_;  // empty: it is this broker's own
    std::uint64_t largest_in_cluster_ = UINT64_MAX;  // bytes of a frame that the others can be sent
    mutable std::mutex mutex_;  // guards the positions, and that they change in the order of the log
    std::vector<group_positions> groups_;  // by name
    std::int64_t last_append_ = 0;         // when
    offset last_end_ = 0;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/committed_offsets.hpp>
#endif
