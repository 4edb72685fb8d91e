/// \file brook/broker/bodies/transaction_history.hpp
/// The functions that transaction_history.hpp declares.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/topic_replay.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_history.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE transaction_history::transaction_history(const std::vector<topic_handle>& topics) {
    for (const auto& topic : topics) {
        insert_at(topics_, place_of(topic->meta.id), topic);
    }
}

BROOK_INLINE failure transaction_history::read(storage::log& from) {
    failure why = replay_records(from, [this](const format::record_slice& record) { apply(record); });
    for (producer& one : producers_) {
        for (const std::uint16_t epoch : one.lost) {
            one.aborted.push_back(epoch);
        }
    }
    return why;
}

BROOK_INLINE void transaction_history::apply(const format::record_slice& record) {
    std::string_view transactional_id;
    const auto told = transaction_record::decode(record.key(), record.value(), transactional_id);
    if (!told) {
        return;
    }
    producer& one = producer_of(told->producer_id, transactional_id);
    holder& of = holder_of(transactional_id);
    one.epoch = told->epoch;
    one.aborted = told->aborted;  // each names those before it, too
    reach found = reach::all;
    if (told->is_judgement) {  // an earlier opening's: it need not be made again, and what comes behind it is new
        for (const std::uint16_t epoch : told->aborted) {
            of.lost -= erase(one.lost, epoch);
        }
    } else {
        found = of.lost > 0 ? reach::lost : reached(*told, of);
    }
    if (found == reach::lost) {
        one.lost.push_back(told->epoch);
        ++of.lost;
    } else if (found == reach::unknown) {
        one.unknown.push_back(told->epoch);
    }
    if (of.lost == 0) {
        of.state = told->state;
    }
}

BROOK_INLINE auto transaction_history::reached(const transaction_record& told, holder& of) -> reach {
    reach found = reach::all;
    for (const transaction_end& end : told.ends) {
        const std::size_t i = place_of(end.topic);
        if (i == topics_.size() || topics_[i]->meta.id != end.topic) {
            found = has_strangers() ? reach::unknown : found;
            continue;
        }
        if (topics_[i]->why) {
            found = reach::unknown;
            continue;
        }
        if (end.partition < 0 || end.partition >= topics_[i]->partition_count()) {
            continue;
        }
        storage::log& log = topics_[i]->partition(end.partition);
        note_interval(log.options().flush_interval);
        // A cut raises the epoch, and may give the same offsets anew: then their being durable says nothing of these.
        const bool is_durable = end.end <= log.durable_offset() && end.leader_epoch == log.leader_epoch();
        if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum)) {
            return reach::lost;
        }
        if (end.end > log.durable_offset()) {
            of.unsynced.note({topics_[i], end.partition, 0, end.end});
        }
    }
    return found;
}

BROOK_INLINE void transaction_history::note_interval(std::chrono::nanoseconds interval) noexcept {
    if (interval.count() > 0 && (!flush_interval_ || interval < *flush_interval_)) {
        flush_interval_ = interval;  // something may have been committed shortly before a kill
    }
}

BROOK_INLINE auto transaction_history::producer_of(std::int64_t id, std::string_view transactional_id) -> producer& {
    const std::size_t i = count_before(producers_.size(), [&](std::size_t k) { return producers_[k].id < id; });
    if (i == producers_.size() || producers_[i].id != id) {
        insert_at(producers_, i, producer{id, std::string{transactional_id}, 0, {}, {}, {}});
    }
    return producers_[i];
}

BROOK_INLINE auto transaction_history::holder_of(std::string_view transactional_id) -> holder& {
    const std::size_t i = count_before(holders_.size(), [&](std::size_t k) { return std::string_view{holders_[k].transactional_id} < transactional_id; });
    if (i == holders_.size() || holders_[i].transactional_id != transactional_id) {
        insert_at(holders_, i, holder{std::string{transactional_id}, {}, {}, 0});
    }
    return holders_[i];
}

BROOK_INLINE std::size_t transaction_history::place_of(const format::topic_id& id) const noexcept {
    return count_before(topics_.size(), [&](std::size_t i) { return std::memcmp(topics_[i]->meta.id.data(), id.data(), id.size()) < 0; });
}

BROOK_INLINE std::size_t transaction_history::erase(std::vector<std::uint16_t>& epochs, std::uint16_t epoch) {
    for (std::size_t i = 0; i < epochs.size(); ++i) {
        if (epochs[i] == epoch) {
            erase_at(epochs, i);
            return 1;
        }
    }
    return 0;
}

}  // namespace brook::inline BROOK_ABI::broker_room
