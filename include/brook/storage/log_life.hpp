/// \file brook/storage/log_life.hpp
/// Whether a log is open, and what to say to who calls it when it is not.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::storage {

/// What every call says that meets a topic which has been deleted.
[[nodiscard]] inline failure deleted_topic(const std::string& topic) {
    return {errc::unknown_topic_or_partition, "topic '" + topic + "' was deleted"};
}

/// True when a failure says no more than that a log has ended meanwhile: nothing that anybody need be told of.
[[nodiscard]] inline bool says_ended(const failure& why) noexcept {
    return why.code == errc::closed || why.code == errc::unknown_topic_or_partition;
}

/// A log's life. It ends when its broker is closed, or when its topic is deleted.
///
/// A deletion renames the topic's directory away, and ends the logs when that is done for good. What asks for a file by its name
/// in between fails, and says that the topic was deleted, too.
///
/// Threads   shared.
class log_life {
public:
    [[nodiscard]] bool is_over() const noexcept { return state_.load(std::memory_order_acquire) != state::open; }
    [[nodiscard]] bool is_deleted() const noexcept { return state_.load(std::memory_order_acquire) == state::deleted; }

    /// Its directory is about to be renamed away; false: it is back, or has never gone.
    void expect_deletion(bool is_expected) noexcept { is_going_.store(is_expected, std::memory_order_release); }

    /// Returns   false: it had ended before.
    [[nodiscard]] bool end(bool is_deleted) noexcept {
        state open = state::open;
        return state_.compare_exchange_strong(open, is_deleted ? state::deleted : state::closed, std::memory_order_acq_rel);
    }

    /// What to say when it is over. `place` names the partition.
    [[nodiscard]] failure refusal(const std::string& topic, const std::string& place) const {
        return is_deleted() ? deleted_topic(topic) : failure{errc::closed, place + ": its broker is closed"};
    }

    /// What has failed, or that the topic was deleted, which is why.
    [[nodiscard]] failure judged(failure why, const std::string& topic) const {
        const bool is_for_that = why && (is_deleted() || is_going_.load(std::memory_order_acquire));
        return is_for_that ? deleted_topic(topic) : std::move(why);
    }

private:
    enum class state : std::uint8_t { open, closed, deleted };

    std::atomic<state> state_{state::open};
    std::atomic<bool> is_going_{false};
};

}  // namespace brook::inline BROOK_ABI::storage
