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
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
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
/// forgotten. The partitions of one commit are one batch: after a crash all of them are there, or none. In the place of
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

    /// Forgets all that a group has committed: a tombstone for each partition, all of them or none.
    /// Errors    as `commit`.
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
        failure why = append(group, all, true);
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
                if (failure why = append_tombstones(groups_[i].group, going)) {
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

    /// Errors    what appending says: closed, no space, partition_failed. Then nothing is committed.
    [[nodiscard]] failure commit(std::string_view group, const std::vector<committed_position>& positions) {
        if (positions.empty()) {
            return {};
        }
        const std::scoped_lock guard{mutex_};
        failure why = append(group, positions, false);
        if (!why) {
            for (const auto& position : positions) {
                note(group, position, last_append_);
            }
        }
        return why;
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

    [[nodiscard]] failure append(std::string_view group, const std::vector<committed_position>& positions, bool are_tombstones,
                                 transactional_part* part = nullptr) {
        const auto sizes_of = [&](const committed_position& position) {
            const auto value = static_cast<std::uint32_t>(fixed_value_size + position.metadata.size());
            return format::record_sizes{static_cast<std::uint32_t>(fixed_key_size + group.size()), are_tombstones ? format::null_size : value, 0};
        };
        const std::uint16_t extensions = part == nullptr ? 0 : format::extension::producer;
        std::uint64_t size = format::frame_header_size + format::extension_bytes(extensions);
        for (const auto& position : positions) {
            size += format::entry_bytes(sizes_of(position));
        }
        storage::claim taken;
        failure why;
        if (size > log().largest_frame()) {
            return {errc::record_too_large, "group '" + std::string{group.substr(0, 100)} + "': a commit of " + std::to_string(positions.size()) +
                                                " partitions does not fit in a segment of " + std::string{offsets_topic} + "; commit fewer at once"};
        }
        const auto length = static_cast<std::uint32_t>(size);
        if (!log().take(length, static_cast<std::uint32_t>(positions.size()), taken, why)) {
            return why;
        }
        std::byte* entry = taken.data + format::frame_header_size;
        if (part != nullptr) {
            format::store_stamp(entry, part->stamp);
            entry += format::extension_bytes(extensions);
        }
        for (const auto& position : positions) {
            const format::entry_layout layout = format::lay_out_entry(entry, sizes_of(position));
            write_key(layout.key, group, position.topic, position.partition);
            if (!are_tombstones) {
                store(layout.value, position.next);
                store(layout.value + sizeof(offset), position.leader_epoch);
                copy_bytes(layout.value + fixed_value_size, position.metadata.data(), position.metadata.size());
            }
            entry = layout.end;
        }
        const auto count = static_cast<std::uint32_t>(positions.size());
        const auto word = format::frame_word::published(length, part == nullptr ? std::uint16_t{0} : format::attribute::transactional, extensions);
        last_append_ = topic_->shared->platform.now().time_since_epoch().count();
        const std::uint64_t published = log().publish(taken, word, last_append_, count);
        if (part != nullptr) {
            part->end = taken.first + count;
            part->checksum = published;
        }
        return {};
    }

    /// As many at once as a segment holds: here nobody minds if a crash leaves some.
    [[nodiscard]] failure append_tombstones(std::string_view group, const std::vector<committed_position>& positions) {
        const format::record_sizes sizes{static_cast<std::uint32_t>(fixed_key_size + group.size()), format::null_size, 0};
        const std::uint64_t room = (log().largest_frame() - format::frame_header_size) / format::entry_bytes(sizes);
        const auto most = static_cast<std::size_t>(room > 0 ? room : 1);
        for (std::size_t i = 0; i < positions.size(); i += most) {
            const std::size_t end = positions.size() - i < most ? positions.size() : i + most;
            const std::vector<committed_position> some(positions.begin() + static_cast<std::ptrdiff_t>(i), positions.begin() + static_cast<std::ptrdiff_t>(end));
            if (failure why = append(group, some, true)) {
                return why;
            }
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
    mutable std::mutex mutex_;  // guards the positions, and that they change in the order of the log
    std::vector<group_positions> groups_;  // by name
    std::int64_t last_append_ = 0;         // when
};

}  // namespace brook::inline BROOK_ABI::broker_room
