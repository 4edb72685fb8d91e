/// \file brook/broker/disk_keeper.hpp
/// Keeps what the topics of a broker take of the disk within its limits.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/disk_budget.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_life.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Has topics with a retention forget early when the disk comes near the limits of the broker.
///
/// Threads   confined: upkeep's, but for the budget, which every log asks.
class disk_keeper {
public:
    disk_keeper(shared_state& shared, std::string directory, std::optional<std::int64_t> least_free, std::optional<std::int64_t> most)
        : shared_{shared}, is_limited_{least_free || most}, budget_{shared.platform, std::move(directory), least_free, most} {}

    /// Null: there is no limit.
    [[nodiscard]] storage::disk_budget* budget() noexcept { return is_limited_ ? &budget_ : nullptr; }

    /// Where there is a limit: when the directory is opened, and when files have gone that no log has any more.
    void start(const std::vector<storage::log*>& logs) {
        if (is_limited_) {
            count(logs);
        }
    }

    /// The oldest segments go first, whose ever they are, until there is room for two more of the largest. `is_asked`: by the user,
    /// who does not wait for the pace at which files are counted.
    /// Returns   when to look again: nullopt when it is not full.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> keep(const std::vector<storage::log*>& logs, bool is_asked) {
        if (!is_limited_) {
            return std::nullopt;
        }
        std::int64_t reserve = 0;
        for (const storage::log* const log : logs) {
            const auto wanted = log->options().heeds_budget ? std::int64_t{2} * log->options().segment_bytes : 0;
            reserve = wanted > reserve ? wanted : reserve;
        }
        const auto now = shared_.platform.monotonic();
        bool must_count = false;
        std::int64_t excess = budget_.excess(reserve, now, must_count);
        if (excess > 0 && must_count) {
            if (!is_asked && now < next_count_) {
                return next_count_;
            }
            count(logs);
            const std::chrono::nanoseconds pause = (shared_.platform.monotonic() - now) * 20;  // of many files it takes a while
            next_count_ = now + (pause > count_pause ? pause : count_pause);
            excess = budget_.excess(reserve, now, must_count);
        }
        for (std::size_t dropped = 0; excess > 0 && dropped < most_dropped; ++dropped) {
            std::int64_t bytes = 0;
            storage::log* const of = find_oldest(logs, bytes);
            if (of == nullptr) {
                return now + stuck_pause;
            }
            if (const failure why = of->drop_oldest()) {
                report(why);
                return now + stuck_pause;
            }
            budget_.give_back(bytes, now);
            excess -= bytes;
        }
        return excess > 0 ? std::optional{now} : std::nullopt;
    }

private:
    static constexpr std::size_t most_dropped = 64;              // segments, in one look, since removing a file takes the disk a while
    static constexpr std::chrono::milliseconds count_pause{20};  // at least, between two counts of all files
    static constexpr std::chrono::milliseconds stuck_pause{100};  // when nothing may go

    /// Which of those that may forget has the segment that was sealed first; null: none has any to let go.
    [[nodiscard]] storage::log* find_oldest(const std::vector<storage::log*>& logs, std::int64_t& bytes) {
        storage::log* found = nullptr;
        std::int64_t sealed_at = 0;
        for (storage::log* const log : logs) {
            if (!log->options().retention.is_there()) {
                continue;
            }
            failure why;
            const auto its = log->oldest(why);
            report(why);  // the others are none the worse
            if (its && (found == nullptr || its->sealed_at < sealed_at)) {
                found = log;
                sealed_at = its->sealed_at;
                bytes = its->bytes;
            }
        }
        return found;
    }

    void count(const std::vector<storage::log*>& logs) {
        std::int64_t taken = 0;
        failure why;
        for (storage::log* const log : logs) {
            taken += static_cast<std::int64_t>(log->disk_bytes(why));
        }
        report(why);
        budget_.count(taken);
    }

    void report(const failure& why) {
        if (why && !storage::says_ended(why)) {
            shared_.report(why);
        }
    }

    shared_state& shared_;
    bool is_limited_;
    storage::disk_budget budget_;
    std::chrono::nanoseconds next_count_{std::chrono::nanoseconds::min() / 2};
};

}  // namespace brook::inline BROOK_ABI::broker_room
