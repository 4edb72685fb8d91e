/// \file brook/broker/bodies/produce_server.hpp
/// The functions that produce_server.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/produce_server.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/byte_stream.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void produce_server::serve(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
    replication::byte_reader from{body};
    partition_id target;
    target.topic = from.take<format::topic_id>();
    target.number = from.take<std::int32_t>();
    const auto acks = from.take<replicated_acks>();
    const auto follows_another = from.take<std::uint8_t>();
    const bytes given = from.take_bytes();
    if (!from.is_done() || acks > replicated_acks::all || follows_another > 1) {
        return;  // nobody sent that
    }
    hosted_partition* const home = find_led(target);
    if (home == nullptr) {
        answers_.give_elsewhere(to, now);
        return;
    }
    if (is_internal_topic(home->topic->name)) {
        return;  // nobody sent that: what is decided and committed in the cluster is written by who leads there
    }
    if (const char* const fault = format::wire_fault(given); fault != nullptr || !is_users(given)) {
        answers_.refuse(to, answer_status::done, {errc::corrupt_record, home->log.name().text() + ": a batch is refused: " +
                                                                            (fault != nullptr ? fault : "it has no producer, or is of a kind that is the log's own")}, now);
        return;
    }
    std::vector<std::byte> frame(given.begin(), given.end());
    append(*home, to, acks, follows_another != 0, frame, now);
}

BROOK_INLINE void produce_server::append(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another,
                                         std::vector<std::byte>& frame, std::chrono::nanoseconds now) {
    if (hosted_partition* const home = find_led(target)) {
        append(*home, to, acks, follows_another, frame, now);
    } else {
        answers_.give_elsewhere(to, now);
    }
}

BROOK_INLINE hosted_partition* produce_server::find_led(const partition_id& target) const noexcept {
    hosted_partition* const home = replicas_.find(target);
    return home != nullptr && home->machine.accepts_appends() ? home : nullptr;
}

BROOK_INLINE void produce_server::append(hosted_partition& one, const answer_to& to, replicated_acks acks, bool follows_another,
                                         std::vector<std::byte>& frame, std::chrono::nanoseconds now) {
    for (const hosted_partition::waiting_ack& ack : one.waiting) {
        if (ack.to == to) {
            return;  // asked again: the answer comes when it is committed
        }
    }
    const format::frame_header header = format::load_header(frame.data());
    const std::uint32_t taken = format::offsets_taken(header, frame.data());
    const format::producer_stamp stamp = format::load_stamp(frame.data());
    offset first = -1;
    failure why;
    switch (one.look_up(stamp, taken, follows_another, acks == replicated_acks::leader, first, why)) {
        case hosted_partition::repetition::is_new: break;
        case hosted_partition::repetition::is_early:
            if (acks == replicated_acks::all && has_too_few(one, to, now)) {
                return;
            }
            answers_.refuse(to, answer_status::not_now, {errc::out_of_order_sequence_number, one.log.name().text() + ": sequence " + std::to_string(stamp.sequence) + " waits for the batch that was sent before it"},
                            now);
            return;
        case hosted_partition::repetition::is_there: acknowledge(one, acks, {to, first, first + taken, header.base_timestamp}, now); return;
        case hosted_partition::repetition::is_forgotten: acknowledge(one, acks, {to, -1, one.machine.end(), header.base_timestamp}, now); return;  // somewhere below
        case hosted_partition::repetition::is_out_of_order:
            why = {errc::out_of_order_sequence_number, one.log.name().text() + ": sequence " + std::to_string(stamp.sequence) + " does not follow what its leader has of this producer"};
            break;
        case hosted_partition::repetition::is_fenced:
            why = {errc::producer_fenced, one.log.name().text() + ": another producer has taken this one's place"};
            break;
    }
    if (why) {
        answers_.refuse(to, answer_status::done, why, now);
        return;
    }
    if (acks == replicated_acks::all && has_too_few(one, to, now)) {
        return;
    }
    why = replicas_.append(one, frame, taken, first, now);
    if (why) {
        const bool is_for_now = why.code == std::errc::no_space_on_device || !one.machine.accepts_appends();  // another one leads soon
        answers_.refuse(to, is_for_now ? answer_status::not_now : answer_status::done, why, now);
        return;
    }
    answers_.note_appended(to);
    acknowledge(one, acks, {to, first, first + taken, format::load_header(frame.data()).base_timestamp}, now);
}

BROOK_INLINE bool produce_server::is_users(bytes frame) noexcept {
    const format::frame_header header = format::load_header(frame.data());
    return format::word_of(header).kind() == format::frame_kind::data && (header.extension & format::extension::producer) != 0 &&
           (header.attributes & format::attribute::transactional) == 0;
}

BROOK_INLINE bool produce_server::has_too_few(const hosted_partition& one, const answer_to& to, std::chrono::nanoseconds now) {
    const auto wanted = static_cast<std::size_t>(one.topic->meta.min_insync_replicas);
    const std::size_t there = one.machine.in_sync(now);
    if (there < wanted) {
        answers_.refuse(to, answer_status::not_now, {errc::not_enough_replicas, one.log.name().text() + ": " + std::to_string(there) + " of its replicas are in sync, and min_insync_replicas is " +
                                                                                    std::to_string(wanted)}, now);
    }
    return there < wanted;
}

BROOK_INLINE void produce_server::acknowledge(hosted_partition& one, replicated_acks acks, const hosted_partition::waiting_ack& ack,
                                              std::chrono::nanoseconds now) {
    if (acks == replicated_acks::leader) {
        answers_.give_appended(ack.to, ack.first, ack.timestamp, now);
    } else {
        answers_.give_when_committed(one, ack, now);
    }
}

}  // namespace brook::inline BROOK_ABI::broker_room
