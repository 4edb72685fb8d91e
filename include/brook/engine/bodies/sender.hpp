/// \file brook/engine/bodies/sender.hpp
/// The functions that sender.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/batch_compression.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/gathering.hpp>
#include <brook/engine/pending.hpp>
#include <brook/engine/replicated_lane.hpp>
#include <brook/engine/sender.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::engine {

BROOK_INLINE sent embedded_sender::fail(std::int32_t partition, failure why, std::uint32_t count) {
    auto failed = std::make_shared<failed_delivery>(std::move(why));
    failures_.add(failed);
    for (std::uint32_t i = 0; options_.on_delivery && i < count; ++i) {
        options_.on_delivery(partition, appended{}, failed->why().code);
    }
    return {appended{}, std::move(failed)};
}

BROOK_INLINE failure embedded_sender::flush() {
    failure first;
    for (const auto& one : replicated_) {
        one->close_now();  // all of them, then the first is waited for
    }
    for (const auto& one : replicated_) {
        failure why = one->flush();
        first = first ? std::move(first) : std::move(why);
    }
    if (!replicated_.empty()) {
        return first ? first : failures_.take_first();
    }
    for (const auto& one : lanes_) {
        if (one.gathered) {
            finish(one.gathered->close(nullptr));
        }
    }
    failure unsynced;
    if (waits_for_sync_) {
        const auto limit = deadline_after(topic_.platform(), options_.delivery_timeout);
        for (std::int32_t partition = 0; partition < topic_.partition_count(); ++partition) {
            const offset last = lanes_[static_cast<std::size_t>(partition)].last_sent.load(std::memory_order_acquire);
            if (failure why = last < 0 ? failure{} : topic_.log(partition).wait_acknowledged(last, limit); why) {
                answer(partition, last, why);
                unsynced = unsynced ? unsynced : std::move(why);
            }
        }
        answer();
    }
    const std::scoped_lock telling{telling_mutex_};  // what upkeep has answered meanwhile has been told
    failure uncollected = failures_.take_first();
    return uncollected ? uncollected : unsynced;
}

BROOK_INLINE failure embedded_sender::close() {
    is_closed_.store(true, std::memory_order_relaxed);
    is_special_.store(true, std::memory_order_relaxed);
    return flush();
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> embedded_sender::run_due(std::chrono::nanoseconds now) {
    std::optional<std::chrono::nanoseconds> next;
    const auto sooner = [&next](std::chrono::nanoseconds when) { next = next && *next < when ? *next : when; };
    for (const auto& one : replicated_) {
        if (const auto due = one->run_due(now)) {
            sooner(*due);
        }
    }
    for (const auto& one : lanes_) {
        if (!one.gathered) {
            break;
        }
        std::optional<std::chrono::nanoseconds> deadline;
        const std::scoped_lock telling{telling_mutex_};
        finish(one.gathered->close_due(now, deadline));
        if (deadline) {
            sooner(*deadline);
        }
    }
    for (const auto& [partition, done, last, code] : unanswered_ends()) {  // on_delivery waits for them, if nobody else does
        const failure why = topic_.log(partition).wait_acknowledged(last, platform_.monotonic());
        if (why && why.code != errc::timed_out) {
            answer(partition, last, why);
        }
    }
    if (answer()) {
        sooner(now + answer_pause);
    }
    return next;
}

BROOK_INLINE failure embedded_sender::sync_wait::wait(appended& done) {
    storage::log& log = topic_.log(partition_);
    return log.wait_acknowledged(last_of(log, done, 1), deadline_after(topic_.platform(), timeout_));
}

BROOK_INLINE offset embedded_sender::last_of(storage::log& log, const appended& done, std::uint32_t count) {
    return done.at >= 0 ? done.at + count - 1 : log.log_end_offset() - 1;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> embedded_sender::deadline_after(os::platform& platform, std::chrono::nanoseconds timeout) {
    const auto now = platform.monotonic();
    return timeout < std::chrono::nanoseconds::max() - now ? std::optional{now + timeout} : std::nullopt;
}

BROOK_INLINE embedded_sender::embedded_sender(embedded_topic topic, sender_options options)
    : topic_{std::move(topic)}, options_{std::move(options)}, platform_{topic_.platform()} {
    for (std::int32_t partition = 0; partition < topic_.partition_count(); ++partition) {
        logs_.push_back(&topic_.log(partition));
    }
    promises_durability_ = logs_.front()->options().promises_durability();
    waits_for_sync_ = options_.waits_for_sync && logs_.front()->options().flush_messages > 0;
    const bool is_more = promises_durability_ || is_gathering() || options_.on_delivery || logs_.front()->options().is_append_time || options_.compression;
    const bool is_replicated = topic_.state()->meta.is_replicated();
    is_numbered_ = is_idempotent() && !is_more && !is_replicated;
    is_special_.store(is_idempotent() || is_more || is_replicated, std::memory_order_relaxed);
}

BROOK_INLINE void embedded_sender::start() {
    const auto core = topic_.open_core();
    if (topic_.state()->meta.is_replicated()) {
        start_lanes(*core);
        return;
    }
    if (waits_for_sync_ || is_gathering() || is_idempotent()) {
        lanes_ = std::vector<lane>(logs_.size());
    }
    if (is_idempotent()) {
        begin_numbers();
    }
    std::int32_t partition = 0;
    for (auto& one : lanes_) {
        if (waits_for_sync_) {
            one.sync = std::make_shared<sync_wait>(*this, partition);
        }
        if (is_gathering()) {
            one.gathered = std::make_unique<gathering>(topic_, partition, options_.batch_size, one.numbers.get(), options_.compression);
        }
        ++partition;
    }
    if (is_gathering() || (waits_for_sync_ && options_.on_delivery)) {
        core->attach(weak_from_this());
    }
}

BROOK_INLINE void embedded_sender::start_lanes(broker_room::core& core) {
    if (!options_.name.empty() || options_.are_sequences_dense) {
        throw_error(errc::invalid_config, "producer of topic '" + topic_.name() + "': it is replicated, and in this version its producers have no names of their own; leave name and "
                                                                                  "dense_sequences out (what a producer sends twice by itself is there once in any case)");
    }
    options_.is_idempotent = false;  // numbers of the user's own are not looked at
    waits_for_sync_ = false;
    promises_durability_ = false;
    lane_options each;
    each.acks = options_.waits_for_sync && options_.waits_for_replicas ? broker_room::replicated_acks::all : broker_room::replicated_acks::leader;
    each.batch_size = options_.batch_size;
    each.linger = options_.linger;
    each.delivery_timeout = options_.delivery_timeout;
    each.compression = options_.compression;
    each.on_delivery = options_.on_delivery;
    for (std::int32_t partition = 0; partition < topic_.partition_count(); ++partition) {
        replicated_.push_back(std::make_shared<replicated_lane>(topic_, partition, each));
    }
    if (options_.linger.count() > 0) {
        core.attach(weak_from_this());
    }
}

BROOK_INLINE sent embedded_sender::refuse(std::int32_t partition, std::uint32_t count) {
    if (is_closed_.load(std::memory_order_relaxed)) {
        return fail(partition, closed(), count);
    }
    return fail(partition, {errc::unknown_topic_or_partition, "topic '" + topic_.name() + "' has partitions 0 to " +
                                                                  std::to_string(topic_.partition_count() - 1) + ", not " +
                                                                  std::to_string(partition)}, count);
}

BROOK_INLINE void embedded_sender::tell_when_acknowledged(std::int32_t partition, const appended& done) {
    if (!waits_for_sync_) {
        options_.on_delivery(partition, done, {});
        return;
    }
    const offset last = last_of(*logs_[static_cast<std::size_t>(partition)], done, 1);
    const std::scoped_lock guard{unanswered_mutex_};
    unanswered_.push_back({partition, done, last, {}});
    if (unanswered_.size() == 1) {
        topic_.shared().upkeep.notify();  // it syncs what nobody else waits for
    }
}

BROOK_INLINE bool embedded_sender::answer(std::int32_t partition, offset last, const failure& why) {
    const std::scoped_lock one_at_a_time{telling_mutex_};
    std::vector<unanswered> ready;
    bool is_left = false;
    {
        const std::scoped_lock guard{unanswered_mutex_};
        std::vector<unanswered> waiting;
        for (auto& record : unanswered_) {
            const storage::log& log = *logs_[static_cast<std::size_t>(record.partition)];
            const bool is_there = log.durable_offset() >= log.acknowledged_by(record.last);
            const bool is_lost = !is_there && why && record.partition == partition && record.last <= last;
            record.code = is_lost ? why.code : std::error_code{};
            (is_there || is_lost ? ready : waiting).push_back(record);
        }
        unanswered_ = std::move(waiting);
        is_left = !unanswered_.empty();
    }
    for (const auto& record : ready) {
        options_.on_delivery(record.partition, record.done, record.code);
    }
    return is_left;
}

BROOK_INLINE auto embedded_sender::unanswered_ends() -> std::vector<unanswered> {
    std::vector<unanswered> ends;
    const std::scoped_lock guard{unanswered_mutex_};
    for (const auto& record : unanswered_) {
        std::size_t i = 0;
        while (i < ends.size() && ends[i].partition != record.partition) {
            ++i;
        }
        if (i == ends.size()) {
            ends.push_back(record);
        } else if (ends[i].last < record.last) {
            ends[i] = record;
        }
    }
    return ends;
}

}  // namespace brook::inline BROOK_ABI::engine
