/// \file brook/kafka/join_watch.hpp
/// When a member of a group may commit: not behind a join of its own.
/// Edge of floor 6, kafka. Source: librdkafka's issue 4059; KIP-429.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <brook/core/config.hpp>
#include <brook/os/posix.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Sees a member's requests go, and tells whether a commit would stand behind a join.
///
/// A coordinator answers one request of a connection after the other, a join when all members have come. A commit that is sent behind it is looked at
/// afterwards, has the generation before, and is refused: ILLEGAL_GENERATION. librdkafka (before 2.10, its issue 4059) then gives up all partitions as
/// lost. So commits are held back from a join on until the SyncGroup, by which librdkafka has the new generation.
///
/// What leads to a join is an answer to a heartbeat. What it says is not told, and librdkafka's threads need a moment to act on it: until it is seen
/// what they did (`settle`), or the next heartbeat goes, which is none but a steady member's, whoever asks is told that it is in doubt.
///
/// Threads   shared: requests are seen on librdkafka's threads.
class join_watch {
public:
    enum class verdict {
        handed_over,
        joining,   ///< `wait` for the next change
        doubtful,  ///< a request to the coordinator, once it is answered, stands behind everything that a heartbeat has led to: then `settle`
    };

    join_watch() = default;
    join_watch(const join_watch&) = delete;
    join_watch& operator=(const join_watch&) = delete;

    /// Of the handle that is made with these settings. It goes before this object.
    void watch(rd_kafka_conf_t* settings) { static_cast<void>(rd_kafka_conf_interceptor_add_on_new(settings, name, on_new, this)); }

    /// Calls `hand_over`, which gives librdkafka a request, and does not wait, unless a join is under way, or may be: a heartbeat was answered
    /// `trusted_after` ago, or less. No heartbeat's answer gets to librdkafka meanwhile.
    template <class HandOver>
    [[nodiscard]] verdict before_any_join(const HandOver& hand_over, std::chrono::nanoseconds trusted_after = std::chrono::nanoseconds::max()) {
        const std::scoped_lock guard{mutex_};
        if (is_joining_ || is_expected_) {
            return verdict::joining;
        }
        if (answers_ != settled_ && os::posix().monotonic() - answered_at_ < trusted_after) {
            return verdict::doubtful;
        }
        hand_over();
        return verdict::handed_over;
    }

    /// How many heartbeats were answered.
    [[nodiscard]] std::uint64_t answers() const {
        const std::scoped_lock guard{mutex_};
        return answers_;
    }

    /// So many answers have led to everything that they lead to.
    void settle(std::uint64_t answers) {
        const std::scoped_lock guard{mutex_};
        settled_ = answers;
    }

    /// What the group has done leads to a join, in a moment. Where it does not, the next heartbeat says so.
    void expect_join() {
        const std::scoped_lock guard{mutex_};
        is_expected_ = has_synced_;  // a protocol without SyncGroup has no joins either
    }

    [[nodiscard]] std::uint32_t changes() const noexcept { return changes_.load(); }

    /// Until something has changed since there were `seen`, or the time is over.
    void wait(std::uint32_t seen, std::chrono::nanoseconds longest) noexcept { os::posix().wait(changes_, seen, longest); }

    // ---- what librdkafka's threads do ----

    static constexpr std::int16_t join_group = 11;
    static constexpr std::int16_t heartbeat = 12;
    static constexpr std::int16_t sync_group = 14;

    void sent(std::int16_t request) noexcept {
        if (request != join_group && request != heartbeat && request != sync_group) [[likely]] {
            return;
        }
        {
            const std::scoped_lock guard{mutex_};
            is_joining_ = request == join_group;
            is_expected_ = false;
            has_synced_ = has_synced_ || request == sync_group;
            settled_ = answers_;  // whoever sends a heartbeat is steady; a join is in no doubt
        }
        changes_.fetch_add(1);
        os::posix().wake_all(changes_);
    }

    void answered(std::int16_t request) noexcept {
        if (request == heartbeat) [[unlikely]] {
            const std::scoped_lock guard{mutex_};
            ++answers_;
            answered_at_ = os::posix().monotonic();
        }
    }

private:
    static constexpr const char* name = "brook";

    static rd_kafka_resp_err_t on_new(rd_kafka_t* handle, const rd_kafka_conf_t*, void* self, char*, std::size_t) {
        const auto code = rd_kafka_interceptor_add_on_request_sent(handle, name, on_sent, self);
        return code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : rd_kafka_interceptor_add_on_response_received(handle, name, on_answered, self);
    }
    static rd_kafka_resp_err_t on_sent(rd_kafka_t*, int, const char*, std::int32_t, std::int16_t request, std::int16_t, std::int32_t, std::size_t, void* self) {
        static_cast<join_watch*>(self)->sent(request);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    static rd_kafka_resp_err_t on_answered(rd_kafka_t*, int, const char*, std::int32_t, std::int16_t request, std::int16_t, std::int32_t, std::size_t, std::int64_t,
                                           rd_kafka_resp_err_t, void* self) {
        static_cast<join_watch*>(self)->answered(request);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }

    std::atomic<std::uint32_t> changes_{0};  // who waits looks at it
    mutable std::mutex mutex_;               // guards what follows
    bool is_joining_ = false;                // a JoinGroup was sent, and no SyncGroup since
    bool is_expected_ = false;               // one will be
    bool has_synced_ = false;                // once
    std::uint64_t answers_ = 0;              // to heartbeats
    std::uint64_t settled_ = 0;              // of them: whether they lead to a join is known
    std::chrono::nanoseconds answered_at_{};
};

}  // namespace brook::inline BROOK_ABI::kafka
