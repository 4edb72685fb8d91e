/// \file brook/broker/rot_repair.hpp
/// Rot: what does not verify any more on one replica is had from its leader, and put in its place.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/request_client.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/frame_repair.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Both sides of it: `serve` of who has the records, `mend` of who has lost them. What was repaired, or could not be, is reported.
class rot_repair {
public:
    /// `replicas`, `answers` and `out` are used under the lock.
    rot_repair(shared_state& shared, std::chrono::nanoseconds election_timeout, member_lock& lock, replica_host& replicas, answers& to, departures& out, request_client& client) noexcept
        : shared_{shared}, election_timeout_{election_timeout}, lock_{lock}, replicas_{replicas}, answers_{to}, out_{out}, client_{client} {}

    /// A range that another replica has lost, as it is here.
    ///
    /// Threads   confined, to whoever holds the member's lock.
    void serve(const answer_to& to, bytes body, std::chrono::nanoseconds now);

    /// Looks whether a log here has met what does not verify, and mends it, one log after the other. A leader that has lets another one lead first.
    ///
    /// Threads   confined, to upkeep, without the member's lock.
    /// Cost      a look at each replica while nothing is wrong; else it reads some MiB, asks for a range, or mends one. It waits for nobody.
    /// Returns   when to call it again; nullopt: when there is an answer, which wakes upkeep, or something has gone wrong.
    std::optional<std::chrono::nanoseconds> mend();

private:
    static constexpr std::uint64_t looked_at_once = 8 * mib;

    /// A log that is mended.
    struct patient {
        partition_id id;
        topic_handle topic;
        offset looked_to = 0;
        offset until = 0;  // the high watermark when it was found: what comes behind that was met by nobody
        std::vector<storage::offset_range> lost{};  // and not had again as yet
        std::shared_ptr<request_outcome> asked{};   // for the first of them: what the leader has
    };

    /// What is repaired says of which epoch it is.
    static void learn_epochs(hosted_partition& one);

    /// Returns   when to look again; nullopt: where one was found, or nothing is wrong.
    std::optional<std::chrono::nanoseconds> find_rotten(std::chrono::nanoseconds now);

    /// `is_over`: all of it has been looked at, and mended.
    [[nodiscard]] failure step(patient& of, bool& is_over);

    void ask(patient& of);

    [[nodiscard]] failure take_answer(patient& of, storage::log& log);

    shared_state& shared_;
    const std::chrono::nanoseconds election_timeout_;
    member_lock& lock_;
    replica_host& replicas_;
    answers& answers_;
    departures& out_;
    request_client& client_;
    std::optional<patient> ill_;  // upkeep's
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/rot_repair.hpp>
#endif
