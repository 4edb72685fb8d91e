/// \file brook/kafka/mirror_options.hpp
/// What a mirror can be told, and what it tells.
/// Edge of floor 6, kafka.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// How far a mirror has come.
struct mirror_progress {
    struct partition {
        std::int32_t number = 0;
        offset next = -1;             ///< of the source: everything below it has been carried; -1: not known yet
        offset end = -1;              ///< of the source, as it was last seen
        std::int64_t skipped = 0;     ///< the source had forgotten so many before they could be carried: retention was faster
        [[nodiscard]] std::int64_t lag() const noexcept { return next < 0 || end < next ? 0 : end - next; }
    };

    std::vector<partition> partitions;
    std::uint64_t records = 0;     ///< carried since it was made
    std::uint64_t bytes = 0;       ///< of their keys and values
    std::uint64_t beginnings = 0;  ///< how often it had to find out anew where it was: 1, and one for each trouble
    bool is_running = true;        ///< false: it was stopped, or `trouble` is for good
    bool is_waiting = true;        ///< it has not found out where it is, or not anew: the cluster does not answer, or has no such topic as yet
    failure trouble;               ///< why it is not getting on just now; success: nothing is wrong

    [[nodiscard]] std::int64_t lag() const noexcept {
        std::int64_t all = 0;
        for (const auto& one : partitions) {
            all += one.lag();
        }
        return all;
    }

    /// Everything that the source was seen to have is carried, and all of its partitions were looked at.
    [[nodiscard]] bool is_caught_up() const noexcept {
        for (const auto& one : partitions) {
            if (one.next < 0 || one.end < 0 || one.lag() != 0) {
                return false;
            }
        }
        return true;
    }
};

struct mirror_options {
    /// Under which its progress is kept: the same after a restart, one mirror at a time. Two that carry different things have different names.
    std::string name{};

    /// Upward: a transaction ends when it has so many records, and has fewer than twice as many. Downward: records between two looks at what has
    /// come of them, at most. 1 or more.
    std::int32_t batch_records = 10'000;

    /// Upward: how long a transaction waits for more records when there are none just now.
    std::chrono::nanoseconds linger = std::chrono::milliseconds{5};

    /// After a trouble, how long until it tries again.
    std::chrono::nanoseconds retry_backoff = std::chrono::milliseconds{500};

    brook::compression compression_type = brook::compression::none;  ///< of what goes up

    /// Told of each step that carried something, or failed; on its thread, and not for long. It may stop the mirror, which then ends as soon as it returns.
    callback<void(const mirror_progress&)> on_progress{};
};

}  // namespace brook::inline BROOK_ABI::kafka
