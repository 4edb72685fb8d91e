/// \file brook/broker/bodies/committed_offsets.hpp
/// The functions that committed_offsets.hpp declares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
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
#include <brook/format/wire_frame.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void committed_offsets::open(topic_handle topic) {
    topic_ = std::move(topic);
    replay();
}

BROOK_INLINE void committed_offsets::open_replicated(topic_handle topic, append_to_cluster append, std::uint64_t largest_frame) {
    const std::scoped_lock guard{mutex_};
    groups_.clear();
    topic_ = std::move(topic);
    append_to_cluster_ = std::move(append);
    largest_in_cluster_ = largest_frame;
    last_end_ = 0;  // of a lead before this one, whose end may have been cut; what is read now is committed
    replay();
}

BROOK_INLINE offset committed_offsets::last_end() const {
    const std::scoped_lock guard{mutex_};
    return last_end_;
}

BROOK_INLINE std::optional<committed_position> committed_offsets::find(std::string_view group, const format::topic_id& topic, std::int32_t partition) const {
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

BROOK_INLINE std::vector<committed_position> committed_offsets::positions_of(std::string_view group) const {
    const std::scoped_lock guard{mutex_};
    const std::size_t i = place_of(group);
    return is_at(i, group) ? groups_[i].positions : std::vector<committed_position>{};
}

BROOK_INLINE std::vector<std::string> committed_offsets::groups() const {
    const std::scoped_lock guard{mutex_};
    std::vector<std::string> names;
    for (const auto& one : groups_) {
        names.push_back(one.group);
    }
    return names;
}

BROOK_INLINE auto committed_offsets::ages() const -> std::vector<age> {
    const std::scoped_lock guard{mutex_};
    std::vector<age> all;
    for (const auto& one : groups_) {
        all.push_back({one.group, time_of(one.last_commit), one.empty_since ? std::optional{time_of(*one.empty_since)} : std::nullopt, one.is_noted});
    }
    return all;
}

BROOK_INLINE void committed_offsets::set_empty(std::string_view group, timestamp since) {
    const std::scoped_lock guard{mutex_};
    if (const std::size_t i = place_of(group); is_at(i, group)) {
        groups_[i].empty_since = since.time_since_epoch().count();
    }
}

BROOK_INLINE failure committed_offsets::note_empty(std::string_view group) {
    const std::scoped_lock guard{mutex_};
    const std::size_t i = place_of(group);
    if (!is_at(i, group) || !groups_[i].empty_since || groups_[i].is_noted) {
        return {};
    }
    failure why = append(group, {{{}, no_partition, *groups_[i].empty_since}}, false);
    groups_[i].is_noted = !why;
    return why;
}

BROOK_INLINE failure committed_offsets::note_members(std::string_view group) {
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

BROOK_INLINE failure committed_offsets::forget(std::string_view group) {
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

BROOK_INLINE failure committed_offsets::forget_topic(const format::topic_id& topic) {
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

BROOK_INLINE failure committed_offsets::commit(std::string_view group, const std::vector<committed_position>& positions) {
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

BROOK_INLINE failure committed_offsets::append_witness() {
    const std::scoped_lock guard{mutex_};
    return append({}, {{{}, no_partition}}, true);
}

BROOK_INLINE failure committed_offsets::append_in_transaction(std::string_view group, const std::vector<committed_position>& positions,
                                                              const format::producer_stamp& stamp, offset& end, std::uint64_t& checksum) {
    const std::scoped_lock guard{mutex_};
    transactional_part part{stamp, -1, 0};
    failure why = append(group, positions, false, &part);
    end = part.end;
    checksum = part.checksum;
    return why;
}

BROOK_INLINE void committed_offsets::note(std::string_view group, const std::vector<committed_position>& positions) {
    const std::scoped_lock guard{mutex_};
    for (const auto& position : positions) {
        note(group, position, last_append_);
    }
}

BROOK_INLINE void committed_offsets::write_key(std::byte* to, std::string_view group, const format::topic_id& topic, std::int32_t partition) noexcept {
    store(to, topic);
    store(to + topic.size(), partition);
    copy_bytes(to + fixed_key_size, group.data(), group.size());
}

BROOK_INLINE format::record_sizes committed_offsets::sizes_of(std::string_view group, const committed_position& position, bool is_tombstone) noexcept {
    const auto value = static_cast<std::uint32_t>(fixed_value_size + position.metadata.size());
    return {static_cast<std::uint32_t>(fixed_key_size + group.size()), is_tombstone ? format::null_size : value, 0};
}

BROOK_INLINE failure committed_offsets::append(std::string_view group, const std::vector<committed_position>& positions, bool are_tombstones,
                                               transactional_part* part) {
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

BROOK_INLINE void committed_offsets::replay() {
    if (failure why = replay_records(log(), [this](const format::record_slice& record) { apply(record); })) {
        why.text += ". Groups cannot go on until it can be read; to have them begin anew, with nothing committed, close the broker and remove topics/" +
                    std::string{offsets_topic};
        why.raise();
    }
}

BROOK_INLINE void committed_offsets::apply(const format::record_slice& record) {
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

BROOK_INLINE int committed_offsets::order(const committed_position& one, const committed_position& other) noexcept {
    const int topics = std::memcmp(one.topic.data(), other.topic.data(), one.topic.size());
    return topics != 0 ? topics : one.partition < other.partition ? -1 : one.partition > other.partition ? 1 : 0;
}

BROOK_INLINE std::size_t committed_offsets::place_of(std::string_view group) const noexcept {
    return count_before(groups_.size(), [&](std::size_t i) { return std::string_view{groups_[i].group} < group; });
}

BROOK_INLINE std::size_t committed_offsets::place_of(const std::vector<committed_position>& positions, const committed_position& wanted) noexcept {
    return count_before(positions.size(), [&](std::size_t i) { return order(positions[i], wanted) < 0; });
}

BROOK_INLINE void committed_offsets::note(std::string_view group, const committed_position& latest, std::int64_t time) {
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

BROOK_INLINE void committed_offsets::erase(std::string_view group, const committed_position& which) {
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

}  // namespace brook::inline BROOK_ABI::broker_room
