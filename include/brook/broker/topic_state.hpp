/// \file brook/broker/topic_state.hpp
/// A topic as long as anybody has a handle to it: its partitions' logs, and what they share with their broker.
/// Floor 4, broker.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/topic_meta.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/event_count.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// What handles keep alive when their broker goes: the platform, the words that threads sleep on, the place where
/// errors are told that no caller is there for.
///
/// Threads   shared.
class shared_state {
public:
    shared_state(os::platform& on, callback<void(const failure&)> told)
        : platform{on}, readers{on}, upkeep{on}, on_error_{std::move(told)} {}

    os::platform& platform;
    storage::event_count readers;  ///< woken when something is published
    storage::event_count upkeep;   ///< woken when there is work ahead
    storage::transaction_table transactions;  ///< how each of them ended

    /// Grows from 1 when a topic has come, or has gone. Readers are woken, too: some of them may read it.
    std::atomic<std::uint64_t> topics{1};

    /// Upkeep goes to sleep without an alarm.
    void rest() noexcept { is_resting_.store(true, std::memory_order_seq_cst); }

    /// Called behind each append to a topic that promises durability: there will be something to sync.
    void note_unsynced() noexcept {
        if (is_resting_.load(std::memory_order_seq_cst) && is_resting_.exchange(false, std::memory_order_seq_cst)) {
            upkeep.notify();
        }
    }

    /// An error that no caller is there for. The latest 64 are kept.
    void report(const failure& why) {
        {
            const std::scoped_lock guard{mutex_};
            if (!errors_.empty() && errors_.back().text == why.text) {
                return;  // the same thing again
            }
            if (errors_.size() == 64) {
                erase_at(errors_, 0);
            }
            errors_.push_back(why);
        }
        if (on_error_) {
            on_error_(why);
        }
    }

    /// What is said elsewhere for as long as it is so has begun.
    void announce(const failure& why) const {
        if (on_error_) {
            on_error_(why);
        }
    }

    [[nodiscard]] std::vector<failure> errors() const {
        const std::scoped_lock guard{mutex_};
        return errors_;
    }

private:
    std::atomic<bool> is_resting_{false};
    mutable std::mutex mutex_;  // guards the errors
    std::vector<failure> errors_;
    callback<void(const failure&)> on_error_;
};

/// Threads   shared; nothing in it changes once it is open, but that it may be deleted.
struct topic_state {
    std::shared_ptr<shared_state> shared;
    std::string name;
    topic_meta meta;
    std::vector<std::unique_ptr<storage::log>> partitions;  ///< as many as the topic has, none null
    mutable std::mutex producers_mutex;                     ///< held while a producer's numbers begin
    failure why;                                            ///< it could not be opened, and has no partitions: this is why
    std::atomic<bool> was_deleted{false};                   ///< before its logs end: who finds them ended by that finds this

    [[nodiscard]] bool is_deleted() const noexcept { return was_deleted.load(std::memory_order_acquire); }

    /// Errors    unknown_topic_or_partition, once it has been deleted.
    void require_there() const {
        if (is_deleted()) {
            storage::deleted_topic(name).raise();
        }
    }

    [[nodiscard]] std::int32_t partition_count() const noexcept { return static_cast<std::int32_t>(partitions.size()); }

    /// Errors    unknown_topic_or_partition.
    [[nodiscard]] storage::log& partition(std::int32_t number) const {
        if (number < 0 || number >= partition_count()) {
            throw_error(errc::unknown_topic_or_partition, "topic '" + name + "' has partitions 0 to " +
                                                              std::to_string(partition_count() - 1) + ", not " + std::to_string(number));
        }
        return *partitions[static_cast<std::size_t>(number)];
    }

    void close() const noexcept {
        for (const auto& log : partitions) {
            log->close();
        }
    }

    /// See storage::log_life.
    void expect_deletion(bool is_expected) const noexcept {
        for (const auto& log : partitions) {
            log->expect_deletion(is_expected);
        }
    }

    void end_deleted() const noexcept {
        for (const auto& log : partitions) {
            log->end_deleted();
        }
    }
};

using topic_handle = std::shared_ptr<topic_state>;

}  // namespace brook::inline BROOK_ABI::broker_room
