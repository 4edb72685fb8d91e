/// \file brook/broker/bodies/hosted_partition.hpp
/// The functions that hosted_partition.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <brook/broker/hosted_partition.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/producer_table.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE std::vector<std::byte> control_record::open_epoch(std::int32_t leader) {
    std::vector<std::byte> body;
    replication::byte_writer to{body};
    to.put(opens_epoch);
    to.put(leader);
    return body;
}

BROOK_INLINE std::vector<std::byte> control_record::name_voters(const std::vector<std::int32_t>& nodes) {
    std::vector<std::byte> body;
    replication::byte_writer to{body};
    to.put(names_voters);
    to.put(static_cast<std::uint32_t>(nodes.size()));
    for (const std::int32_t node : nodes) {
        to.put(node);
    }
    return body;
}

BROOK_INLINE std::optional<std::vector<std::int32_t>> control_record::voters_in(bytes frame) {
    const format::frame_header header = format::load_header(frame.data());
    if (format::word_of(header).kind() != format::frame_kind::control) {
        return std::nullopt;
    }
    replication::byte_reader from{frame.subspan(format::frame_header_size, static_cast<std::size_t>(header.size) - format::frame_header_size)};
    if (from.take<std::uint32_t>() != names_voters) {
        return std::nullopt;
    }
    std::vector<std::int32_t> nodes;
    const std::uint32_t count = from.take_count(sizeof(std::int32_t));
    for (std::uint32_t left = count <= replication::voter_set::most ? count : 0; left > 0; --left) {
        nodes.push_back(from.take<std::int32_t>());
    }
    if (!from.is_done() || !replication::voter_set::is_possible(nodes)) {
        nodes.clear();
    }
    return nodes;
}

BROOK_INLINE void hosted_partition::reopen(replication::replica_options options, std::chrono::nanoseconds now) {
    machine = replication::replica{options, machine.ballot(), look_at(log), now};
    machine.note_full(static_cast<bool>(full));
}

BROOK_INLINE failure hosted_partition::append_own(std::vector<std::byte>& frame, std::uint32_t taken, offset& first, std::chrono::nanoseconds now) {
    if (frame.size() > largest_frame) {
        return {errc::record_too_large, log.name().text() + ": " + std::to_string(frame.size()) + " bytes with their frame, and a datagram of the transport holds " +
                                            std::to_string(largest_frame) + "; nothing was written"};
    }
    const std::optional<std::int64_t> stamped = log.options().is_append_time ? std::optional{std::int64_t{log.platform().now().time_since_epoch().count()}} : std::nullopt;
    failure why = log.append_new(frame, machine.epoch(), stamped, first);
    note_room(why);
    if (!why) {
        wants_sync = wants_sync || machine.options().is_durable;
        machine.grown(machine.epoch(), first + taken, now);
    }
    return why;
}

BROOK_INLINE auto hosted_partition::look_up(const format::producer_stamp& stamp, std::uint32_t count, bool follows_another, bool may_skip,
                                            offset& known, failure& why) -> repetition {
    const auto state = log.producer(stamp.id, why);
    if (!state) {
        return repetition::is_new;  // `why` says what failed
    }
    const std::scoped_lock guard{state->lock};
    if (state->last_sequence() >= 0 && state->epoch() != stamp.epoch) {
        return repetition::is_fenced;
    }
    const std::int64_t next = state->last_sequence() + 1;
    if (stamp.sequence >= next) {
        return stamp.sequence > next && follows_another ? repetition::is_early : next > 0 && stamp.sequence > next && !may_skip ? repetition::is_out_of_order : repetition::is_new;
    }
    const auto found = state->find(stamp.sequence);
    if (!found) {
        return repetition::is_out_of_order;
    }
    known = *found;
    return known < 0 ? repetition::is_forgotten : stamp.sequence + std::int64_t{count} > next ? repetition::is_out_of_order : repetition::is_there;
}

BROOK_INLINE bool hosted_partition::is_of_disk(const failure& why) noexcept {
    return why && ((why.code.category() != brook_category() && why.code != std::errc::not_enough_memory) || why.code == errc::partition_failed);
}

BROOK_INLINE void hosted_partition::note_room(const failure& why) {
    if (is_of_disk(why)) {
        full = why;
        machine.note_full(true);
    } else if (full && !why) {
        full = {};
        handed_to = replication::no_node;
        machine.note_full(false);
    }
}

BROOK_INLINE replication::replica_log hosted_partition::look_at(storage::log& log) {
    replication::replica_log found;
    found.start = log.log_start_offset();
    found.end = log.log_end_offset();
    found.flushed = log.durable_offset();
    found.high_watermark = log.high_watermark();
    failure unclear;  // the log says so to who asks: replica_host
    found.epochs = log.epochs(unclear);
    if (found.epochs.empty() && log.last_epoch() > 0) {
        found.epochs.note(log.last_epoch(), found.start);  // retention has taken all of it
    }
    return found;
}

BROOK_INLINE void hosted_partition::note_copied(bytes frames, offset reached, std::chrono::nanoseconds now) {
    format::wire_walk copied{frames};
    for (bytes frame; copied.next(frame) && machine.end() < reached;) {
        const format::frame_header header = format::load_header(frame.data());
        machine.grown(header.leader_epoch, header.base_offset + format::offsets_taken(header, frame.data()), now);
        wants_sync = wants_sync || machine.options().is_durable;
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
