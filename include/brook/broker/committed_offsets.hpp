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
#include <utility>
#include <vector>

#include <brook/broker/topic_replay.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
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
    void open(topic_handle topic) {
        topic_ = std::move(topic);
        replay();
    }

    /// How a cluster appends: a frame in wire form, and where the log ends behind it.
    using append_to_cluster = callback<failure(std::vector<std::byte>&, offset&)>;

    /// The same for a topic that is replicated, when this broker has come to lead it: what is committed to it, anew.
    /// `largest_frame`: that the cluster can copy, in bytes.
    void open_replicated(topic_handle topic, append_to_cluster append, std::uint64_t largest_frame) {
        const std::scoped_lock guard{mutex_};
        groups_.clear();
        topic_ = std::move(topic);
        append_to_cluster_ = std::move(append);
        largest_in_cluster_ = largest_frame;
        last_end_ = 0;  // of a lead before this one, whose end may have been cut; what is read now is committed
        replay();
    }

    /// Of a replicated topic: where the last append to it ended, in this lead; 0: there was none.
    [[nodiscard]] offset last_end() const {
        const std::scoped_lock guard{mutex_};
        return last_end_;
    }

    [[nodiscard]] std::optional<committed_position> find(std::string_view group, const format::topic_id& topic, std::int32_t partition) const {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(group);
        if (!is_at(i, group)) {
            return std::nullopt;
        }
        const std::vector<committed_position>& positions = groups_[i].positions;
        const committed_position wanted{topic, partition};
        const std::size_t at = place_of(positions, wanted);
        return at < positions.size() && order(positions[at], wanted) == 0 ? std::optional{positions[at]} : std::nullopt;
    }

    /// All that a group has committed, by topic and partition.
    [[nodiscard]] std::vector<committed_position> positions_of(std::string_view group) const {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(group);
        return is_at(i, group) ? groups_[i].positions : std::vector<committed_position>{};
    }

    /// The groups that have committed something, by name.
    [[nodiscard]] std::vector<std::string> groups() const {
        const std::scoped_lock guard{mutex_};
        std::vector<std::string> names;
        for (const auto& one : groups_) {
            names.push_back(one.group);
        }
        return names;
    }

    // ---- how long it is kept ----

    struct age {
        std::string group;
        timestamp last_commit{};
        std::optional<timestamp> empty_since{};  ///< nullopt: it has members, or nobody has seen yet that it has none
        bool is_noted = false;                   ///< on the disk, too
    };

    /// Of all groups that have committed something, by name.
    [[nodiscard]] std::vector<age> ages() const {
        const std::scoped_lock guard{mutex_};
        std::vector<age> all;
        for (const auto& one : groups_) {
            all.push_back({one.group, time_of(one.last_commit), one.empty_since ? std::optional{time_of(*one.empty_since)} : std::nullopt, one.is_noted});
        }
        return all;
    }

    /// A group that has committed something has had no members since then.
    void set_empty(std::string_view group, timestamp since) {
        const std::scoped_lock guard{mutex_};
        if (const std::size_t i = place_of(group); is_at(i, group)) {
            groups_[i].empty_since = since.time_since_epoch().count();
        }
    }

    /// Writes that down.
    /// Errors    as `commit`.
    [[nodiscard]] failure note_empty(std::string_view group) {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(group);
        if (!is_at(i, group) || !groups_[i].empty_since || groups_[i].is_noted) {
            return {};
        }
        failure why = append(group, {{{}, no_partition, *groups_[i].empty_since}}, false);
        groups_[i].is_noted = !why;
        return why;
    }

    /// It has members; where something else is written down, that is taken back.
    /// Errors    as `commit`.
    [[nodiscard]] failure note_members(std::string_view group) {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(group);
        if (!is_at(i, group)) {
            return {};
        }
        groups_[i].empty_since.reset();
        failure why = groups_[i].is_noted ? append(group, {{{}, no_partition}}, true) : failure{};
        groups_[i].is_noted = groups_[i].is_noted && why;
        return why;
    }

    /// Forgets all that a group has committed: a tombstone for each partition, all of them or none if they fit into one frame.
    /// Errors    as `commit`. Then some of it may be forgotten by another call, and the rest by this one asked again.
    [[nodiscard]] failure forget(std::string_view group) {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(group);
        if (!is_at(i, group)) {
            return {};
        }
        std::vector<committed_position> all = groups_[i].positions;
        if (groups_[i].is_noted) {
            all.push_back({{}, no_partition});
        }
        failure why = append_parts(group, all, true, [](const std::vector<committed_position>&) {});
        if (!why) {
            erase_at(groups_, i);
        }
        return why;
    }

    /// Forgets what all groups have committed for a topic that was deleted: tombstones, which are on the disk when this returns.
    /// Errors    as `commit`, and what the disk said. Then some of it is there as yet, and may be forgotten by another call.
    [[nodiscard]] failure forget_topic(const format::topic_id& topic) {
        bool is_any = false;
        failure first;
        {
            const std::scoped_lock guard{mutex_};
            for (std::size_t i = groups_.size(); i-- > 0;) {
                std::vector<committed_position> going;
                std::vector<committed_position> kept;
                for (const committed_position& one : groups_[i].positions) {
                    (one.topic == topic ? going : kept).push_back(one);
                }
                if (going.empty()) {
                    continue;
                }
                if (kept.empty() && groups_[i].is_noted) {
                    going.push_back({{}, no_partition});
                }
                if (failure why = append_parts(groups_[i].group, going, true, [](const std::vector<committed_position>&) {})) {
                    if (!first) {
                        first = std::move(why);
                    }
                    continue;
                }
                is_any = true;
                groups_[i].positions = std::move(kept);
                if (groups_[i].positions.empty()) {
                    erase_at(groups_, i);
                }
            }
        }
        return is_any && !first ? log().sync() : first;
    }

    /// Errors    what appending says: closed, no space, partition_failed; record_too_large. Then nothing is committed; in a cluster, where it took
    ///           several frames, perhaps what is in the first ones.
    [[nodiscard]] failure commit(std::string_view group, const std::vector<committed_position>& positions) {
        if (positions.empty()) {
            return {};
        }
        const std::scoped_lock guard{mutex_};
        const auto note_all = [&](const std::vector<committed_position>& appended) {
            for (const auto& position : appended) {
                note(group, position, last_append_);
            }
        };
        if (append_to_cluster_) {
            return append_parts(group, positions, false, note_all);
        }
        failure why = append(group, positions, false);
        if (!why) {
            note_all(positions);
        }
        return why;
    }

    /// Of a replicated topic: appends a record that says nothing. Once it is committed nobody else had coordinated before it was appended.
    /// Errors    as `commit`.
    [[nodiscard]] failure append_witness() {
        const std::scoped_lock guard{mutex_};
        return append({}, {{{}, no_partition}}, true);
    }

    // ---- as a part of a transaction ----

    [[nodiscard]] const topic_handle& topic() const noexcept { return topic_; }

    /// Appends what counts only once its transaction is committed: then it is to be noted.
    /// Errors    as `commit`.
    [[nodiscard]] failure append_in_transaction(std::string_view group, const std::vector<committed_position>& positions, const format::producer_stamp& stamp,
                                                offset& end, std::uint64_t& checksum) {
        const std::scoped_lock guard{mutex_};
        transactional_part part{stamp, -1, 0};
        failure why = append(group, positions, false, &part);
        end = part.end;
        checksum = part.checksum;
        return why;
    }

    void note(std::string_view group, const std::vector<committed_position>& positions) {
        const std::scoped_lock guard{mutex_};
        for (const auto& position : positions) {
            note(group, position, last_append_);
        }
    }

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
    static void write_key(std::byte* to, std::string_view group, const format::topic_id& topic, std::int32_t partition) noexcept {
        store(to, topic);
        store(to + topic.size(), partition);
        copy_bytes(to + fixed_key_size, group.data(), group.size());
    }

    [[nodiscard]] storage::log& log() const { return topic_->partition(0); }

    /// In bytes: what a segment holds, and in a cluster a datagram, too. What nobody can copy would stand in the way of all that comes behind it.
    [[nodiscard]] std::uint64_t largest_frame() const { return log().largest_frame() < largest_in_cluster_ ? log().largest_frame() : largest_in_cluster_; }

    [[nodiscard]] static format::record_sizes sizes_of(std::string_view group, const committed_position& position, bool is_tombstone) noexcept {
        const auto value = static_cast<std::uint32_t>(fixed_value_size + position.metadata.size());
        return {static_cast<std::uint32_t>(fixed_key_size + group.size()), is_tombstone ? format::null_size : value, 0};
    }

    [[nodiscard]] failure append(std::string_view group, const std::vector<committed_position>& positions, bool are_tombstones,
                                 transactional_part* part = nullptr) {
        const std::uint16_t extensions = part == nullptr ? 0 : format::extension::producer;
        std::uint64_t size = format::frame_header_size + format::extension_bytes(extensions);
        for (const auto& position : positions) {
            size += format::entry_bytes(sizes_of(group, position, are_tombstones));
        }
        storage::claim taken;
        failure why;
        if (align_up(size, std::uint64_t{8}) > largest_frame()) {
            return {errc::record_too_large, "group '" + std::string{group.substr(0, 100)} + "': a commit of " + std::to_string(positions.size()) +
                                                " partitions does not fit in a segment of " + std::string{offsets_topic} +
                                                (append_to_cluster_ ? ", or not in a datagram of the transport" : "") + "; commit fewer at once"};
        }
        const auto length = static_cast<std::uint32_t>(size);
        const auto count = static_cast<std::uint32_t>(positions.size());
        const auto write_records = [&](std::byte* entry) {
            for (const auto& position : positions) {
                const format::entry_layout layout = format::lay_out_entry(entry, sizes_of(group, position, are_tombstones));
                write_key(layout.key, group, position.topic, position.partition);
                if (!are_tombstones) {
                    store(layout.value, position.next);
                    store(layout.value + sizeof(offset), position.leader_epoch);
                    copy_bytes(layout.value + fixed_value_size, position.metadata.data(), position.metadata.size());
                }
                entry = layout.end;
            }
        };
        if (append_to_cluster_) {
            last_append_ = topic_->shared->platform.now().time_since_epoch().count();
            std::vector<std::byte> frame(align_up(std::size_t{length}, std::size_t{8}));
            write_records(frame.data() + format::frame_header_size);
            format::frame_header header{};
            header.size = static_cast<std::int32_t>(length);
            header.base_timestamp = last_append_;
            header.count = count;
            format::store_wire(frame.data(), header);
            return append_to_cluster_(frame, last_end_);
        }
        if (!log().take(length, count, taken, why)) {
            return why;
        }
        std::byte* entry = taken.data + format::frame_header_size;
        if (part != nullptr) {
            format::store_stamp(entry, part->stamp);
            entry += format::extension_bytes(extensions);
        }
        write_records(entry);
        const auto word = format::frame_word::published(length, part == nullptr ? std::uint16_t{0} : format::attribute::transactional, extensions);
        last_append_ = topic_->shared->platform.now().time_since_epoch().count();
        const std::uint64_t published = log().publish(taken, word, last_append_, count);
        if (part != nullptr) {
            part->end = taken.first + count;
            part->checksum = published;
        }
        return {};
    }

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

    void replay() {
        if (failure why = replay_records(log(), [this](const format::record_slice& record) { apply(record); })) {
            why.text += ". Groups cannot go on until it can be read; to have them begin anew, with nothing committed, close the broker and remove topics/" +
                        std::string{offsets_topic};
            why.raise();
        }
    }

    void apply(const format::record_slice& record) {
        if (record.key().size() < fixed_key_size) {
            return;
        }
        const std::byte* const key = record.key().data();
        const std::string_view group = as_text(record.key().subspan(fixed_key_size));
        committed_position position{load<format::topic_id>(key), load<std::int32_t>(key + sizeof(format::topic_id))};
        if (!record.has_value()) {
            erase(group, position);
            return;
        }
        const bytes value = record.value();
        if (value.size() != sizeof(offset) && value.size() < fixed_value_size) {  // as before there were epochs, or as now
            return;
        }
        position.next = load<offset>(value.data());
        if (value.size() >= fixed_value_size) {
            position.leader_epoch = load<std::int32_t>(value.data() + sizeof(offset));
            position.metadata = as_text(value.subspan(fixed_value_size));
        }
        if (position.next >= 0 && position.next <= largest_offset && record.timestamp() >= 0) {  // else nobody wrote that
            note(group, position, record.timestamp());
        }
    }

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
    [[nodiscard]] static int order(const committed_position& one, const committed_position& other) noexcept {
        const int topics = std::memcmp(one.topic.data(), other.topic.data(), one.topic.size());
        return topics != 0 ? topics : one.partition < other.partition ? -1 : one.partition > other.partition ? 1 : 0;
    }

    [[nodiscard]] std::size_t place_of(std::string_view group) const noexcept {
        return count_before(groups_.size(), [&](std::size_t i) { return std::string_view{groups_[i].group} < group; });
    }
    [[nodiscard]] static std::size_t place_of(const std::vector<committed_position>& positions, const committed_position& wanted) noexcept {
        return count_before(positions.size(), [&](std::size_t i) { return order(positions[i], wanted) < 0; });
    }
    [[nodiscard]] bool is_at(std::size_t i, std::string_view group) const noexcept { return i < groups_.size() && groups_[i].group == group; }

    void note(std::string_view group, const committed_position& latest, std::int64_t time) {
        const std::size_t i = place_of(group);
        if (latest.partition == no_partition) {
            if (is_at(i, group)) {
                groups_[i].empty_since = latest.next;
                groups_[i].is_noted = true;
            }
            return;
        }
        if (!is_at(i, group)) {
            insert_at(groups_, i, {std::string{group}, {}});
        }
        groups_[i].last_commit = time;
        std::vector<committed_position>& positions = groups_[i].positions;
        const std::size_t at = place_of(positions, latest);
        if (at < positions.size() && order(positions[at], latest) == 0) {
            positions[at] = latest;
        } else {
            insert_at(positions, at, latest);
        }
    }

    void erase(std::string_view group, const committed_position& which) {
        const std::size_t i = place_of(group);
        if (!is_at(i, group)) {
            return;
        }
        if (which.partition == no_partition) {
            groups_[i].empty_since.reset();
            groups_[i].is_noted = false;
            return;
        }
        std::vector<committed_position>& positions = groups_[i].positions;
        if (const std::size_t at = place_of(positions, which); at < positions.size() && order(positions[at], which) == 0) {
            erase_at(positions, at);
        }
        if (positions.empty()) {
            erase_at(groups_, i);
        }
    }

    topic_handle topic_;
    append_to_cluster append_to_cluster_;  // empty: it is this broker's own
    std::uint64_t largest_in_cluster_ = UINT64_MAX;  // bytes of a frame that the others can be sent
    mutable std::mutex mutex_;  // guards the positions, and that they change in the order of the log
    std::vector<group_positions> groups_;  // by name
    std::int64_t last_append_ = 0;         // when
    offset last_end_ = 0;
};

}  // namespace brook::inline BROOK_ABI::broker_room
