/// \file brook/engine/bodies/transaction.hpp
/// The functions that transaction.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/transaction_coordinator.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/pending.hpp>
#include <brook/engine/transaction.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::engine {

BROOK_INLINE void embedded_transaction::commit_offsets(broker_room::group_commit commit) {
    require_open();
    for (auto& known : commits_) {
        if (known.group == commit.group && known.member == commit.member) {
            merge(known.positions, std::move(commit.positions));
            return;
        }
    }
    commits_.push_back(std::move(commit));
}

BROOK_INLINE void embedded_transaction::set_state(std::string state) {
    require_open();
    state_ = std::move(state);
}

BROOK_INLINE void embedded_transaction::commit() {
    require_open();
    const auto core = open_core();
    for (topic_lanes& topic : topics_) {
        for (lane& one : topic.lanes) {
            if (!one.body.empty()) {
                append_or_abort(topic, one);
            }
        }
    }
    is_over_ = true;
    if (const failure why = core->transactions().commit(handle_, core->groups_here(), commits_, state_)) {
        why.raise();
    }
}

BROOK_INLINE void embedded_transaction::abort() noexcept {
    if (!is_over_) {
        is_over_ = true;
        if (const auto core = core_.lock()) {
            core->abort(*handle_);
        }
    }
}

BROOK_INLINE broker_room::transaction_handle embedded_transaction::begin(broker_room::core& core, std::string_view id,
                                                                         std::chrono::nanoseconds timeout, compression type,
                                                                         const std::optional<int>& level) {
    static_cast<void>(batch_compression::choose({}, type, level, name_of(id)));  // refused before it fences anybody
    return core.transactions().begin(id, timeout);
}

BROOK_INLINE void embedded_transaction::merge(std::vector<broker_room::committed_position>& known, std::vector<broker_room::committed_position> later) {
    for (auto& position : later) {
        std::size_t i = 0;
        while (i < known.size() && !(known[i].topic == position.topic && known[i].partition == position.partition)) {
            ++i;
        }
        if (i == known.size()) {
            known.push_back(std::move(position));
        } else {
            known[i] = std::move(position);
        }
    }
}

BROOK_INLINE void embedded_transaction::require_open() const {
    if (is_over_) {
        throw_error(errc::illegal_state, "transaction '" + transactional_id() + "': it has been committed or aborted; begin another");
    }
}

BROOK_INLINE std::shared_ptr<broker_room::core> embedded_transaction::open_core() const {
    auto core = core_.lock();
    if (!core || core->is_closed()) {
        throw_error(errc::closed, "transaction '" + transactional_id() + "': its broker is closed, and it is aborted");
    }
    core->require_open();
    return core;
}

BROOK_INLINE auto embedded_transaction::lane_of(topic_lanes& in, std::int32_t partition) -> lane& {
    for (lane& one : in.lanes) {
        if (one.partition == partition) {
            return one;
        }
    }
    lane made;
    made.log = &in.topic.log(partition);
    made.partition = partition;
    in.lanes.push_back(std::move(made));
    return in.lanes.back();
}

BROOK_INLINE auto embedded_transaction::lanes_of(const embedded_topic& topic) -> topic_lanes& {
    for (topic_lanes& known : topics_) {
        if (known.topic.state() == topic.state()) {
            return known;
        }
    }
    if (topic.core() != core_.lock()) {
        throw_error(errc::illegal_state, "transaction '" + transactional_id() + "': topic '" + topic.name() + "' is another broker's, or its broker is closed");
    }
    topics_.push_back({topic,
                       batch_compression::choose(topic.state()->meta.compression_type, compression_type_, compression_level_,
                                                 name_of(transactional_id()) + ", topic '" + topic.name() + '\''),
                       {}});
    return topics_.back();
}

BROOK_INLINE void embedded_transaction::append_or_abort(const topic_lanes& topic, lane& from) {
    if (const failure why = append(topic, from)) {
        if (why.code == errc::unknown_topic_or_partition) {  // deleted: as if it had been appended before
            static_cast<void>(from.body.clear());
            return;
        }
        abort();
        why.raise();
    }
}

BROOK_INLINE failure embedded_transaction::append(const topic_lanes& topic, lane& from) {
    const auto core = open_core();
    broker_room::transaction_coordinator& coordinator = core->transactions();
    if (from.part == none) {
        if (failure why = coordinator.join(*handle_, topic.topic.state(), from.partition, from.part)) {
            return why;
        }
    } else if (failure why = coordinator.check(*handle_)) {
        return why;
    }
    from.body.finish();
    appended done;
    failure why;
    std::uint64_t checksum = 0;
    const std::uint32_t count = from.body.count();
    const batch_origin origin{handle_->stamp(from.sequence), true, &checksum};
    const packed_body packed{from.body, topic.compression};
    if (!embedded_topic::append_batch(*from.log, packed.size(), count, from.body.extension(), from.body.base_timestamp(),
                                      [&](std::byte* to) { packed.write_to(to); }, done, why, &origin, packed.codec())) {
        return why;
    }
    coordinator.note_end(*handle_, from.part, done.at + count, checksum);
    from.sequence += count;
    static_cast<void>(from.body.clear());
    return {};
}

}  // namespace brook::inline BROOK_ABI::engine
