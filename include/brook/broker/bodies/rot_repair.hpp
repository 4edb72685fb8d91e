/// \file brook/broker/bodies/rot_repair.hpp
/// The functions that rot_repair.hpp declares.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/broker/rot_repair.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/epoch_history.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void rot_repair::serve(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
    replication::byte_reader from{body};
    partition_id which;
    which.topic = from.take<format::topic_id>();
    which.number = from.take<std::int32_t>();
    const auto first = from.take<offset>();
    const auto last = from.take<offset>();
    hosted_partition* const home = replicas_.find(which);
    if (!from.is_done() || home == nullptr || first < 0 || last <= first) {
        return;
    }
    if (!home->machine.is_leader()) {
        answers_.give_elsewhere(to, now);
        return;
    }
    const offset until = std::min(last, home->machine.high_watermark());
    std::vector<std::byte> frames;
    if (failure why = home->log.read_frames(first, until, out_.largest_frame(), frames)) {
        home->is_rotten = home->is_rotten || why.code == errc::corrupt_record;
        answers_.refuse(to, answer_status::done, why, now);
        return;
    }
    std::vector<std::byte> told;
    answer_codec::put(told, {});
    told.insert(told.end(), frames.begin(), frames.end());
    answers_.give(to, answer_status::done, told, now);
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> rot_repair::mend() {
    std::optional<std::chrono::nanoseconds> next;
    if (!ill_) {
        lock_.work([&](std::chrono::nanoseconds now) { next = find_rotten(now); });
    }
    if (!ill_) {
        return next;
    }
    bool is_over = false;
    failure why;
    try {
        why = step(*ill_, is_over);
    } catch (const error& thrown) {
        why = failure{thrown};
    }
    if (!why && !is_over) {
        return ill_->asked ? std::nullopt : std::optional{client_.now()};
    }
    lock_.work([this](std::chrono::nanoseconds) {
        if (hosted_partition* const one = replicas_.find(ill_->id)) {
            one->is_rotten = false;  // where it could not be, the next reader that meets it says so again
            learn_epochs(*one);
        }
    });
    ill_.reset();
    if (why) {
        shared_.report(why);
    }
    return client_.now();  // there may be others
}

BROOK_INLINE void rot_repair::learn_epochs(hosted_partition& one) {
    if (one.is_unclear && one.log.log_end_offset() == one.machine.end()) {
        failure unclear;
        format::epoch_history known = one.log.epochs(unclear);
        if (!unclear && !known.empty()) {
            one.machine.relearn(std::move(known));
            one.is_unclear = false;
        }
    }
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> rot_repair::find_rotten(std::chrono::nanoseconds now) {
    bool is_any = false;
    for (const auto& one : replicas_.all()) {
        one->is_rotten = one->log.take_damage() || one->is_rotten || (one->is_unclear && one->machine.is_leader());
        if (!one->is_rotten || one->machine.role() == replication::role::failed) {
            continue;
        }
        is_any = true;
        if (one->machine.is_leader() && one->machine.voters().size() > 1) {
            replicas_.touch(*one);
            one->machine.resign(now);
        } else if (one->machine.leader() != replication::no_node && !one->machine.is_leader() && !ill_) {
            ill_ = patient{one->id, one->topic, one->log.log_start_offset(), one->log.high_watermark()};
        }
    }
    return is_any && !ill_ ? std::optional{now + election_timeout_ / 4} : std::nullopt;
}

BROOK_INLINE failure rot_repair::step(patient& of, bool& is_over) {
    storage::log& log = of.topic->partition(of.id.number);
    if (of.asked) {
        return take_answer(of, log);
    }
    if (!of.lost.empty()) {
        ask(of);
        return {};
    }
    offset reached = of.looked_to;
    const offset begin = std::max(of.looked_to, log.log_start_offset());
    failure why = log.find_damage(begin, looked_at_once, of.lost, reached);
    is_over = !why && of.lost.empty() && (reached <= begin || reached >= of.until);
    of.looked_to = reached;
    return why;
}

BROOK_INLINE void rot_repair::ask(patient& of) {
    std::vector<std::byte> body;
    replication::byte_writer to{body};
    to.put(of.id.topic);
    to.put(of.id.number);
    to.put(of.lost.front().first);
    to.put(of.lost.front().last);
    of.asked = std::make_shared<request_outcome>();
    client_.tell(request_kind::read, of.id, std::move(body), election_timeout_ * 2, [told = of.asked, &shared = shared_](const failure& why, bytes frames) {
        told->tell(why, frames);
        shared.upkeep.notify();
    });
}

BROOK_INLINE failure rot_repair::take_answer(patient& of, storage::log& log) {
    failure why;
    std::vector<std::byte> frames;
    if (!of.asked->take(why, frames)) {
        return {};
    }
    if (why) {
        return {why.code, log.name().text() + ": what is rotten was not had from its leader: " + why.text};
    }
    if (why = log.repair(frames); why) {
        return why;
    }
    const storage::offset_range range = of.lost.front();
    of.lost.erase(of.lost.begin());
    of.asked.reset();
    shared_.report({errc::corrupt_record, log.name().text() + ": offsets " + std::to_string(range.first) + " to " + std::to_string(range.last - 1) +
                                              " were not what was written there, and were repaired from the partition's leader"});
    shared_.readers.notify();
    return {};
}

}  // namespace brook::inline BROOK_ABI::broker_room
