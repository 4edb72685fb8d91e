/// \file brook/broker/rot_repair.hpp
/// Rot: what does not verify any more on one replica is had from its leader, and put in its place.
/// Floor 4, broker.
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

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
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
#include <brook/format/epoch_history.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
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
    void serve(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
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

    /// Looks whether a log here has met what does not verify, and mends it, one log after the other. A leader that has lets another one lead first.
    ///
    /// Threads   confined, to upkeep, without the member's lock.
    /// Cost      a look at each replica while nothing is wrong; else it reads some MiB, asks for a range, or mends one. It waits for nobody.
    /// Returns   when to call it again; nullopt: when there is an answer, which wakes upkeep, or something has gone wrong.
    std::optional<std::chrono::nanoseconds> mend() {
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
    static void learn_epochs(hosted_partition& one) {
        if (one.is_unclear && one.log.log_end_offset() == one.machine.end()) {
            failure unclear;
            format::epoch_history known = one.log.epochs(unclear);
            if (!unclear && !known.empty()) {
                one.machine.relearn(std::move(known));
                one.is_unclear = false;
            }
        }
    }

    /// Returns   when to look again; nullopt: where one was found, or nothing is wrong.
    std::optional<std::chrono::nanoseconds> find_rotten(std::chrono::nanoseconds now) {
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

    /// `is_over`: all of it has been looked at, and mended.
    [[nodiscard]] failure step(patient& of, bool& is_over) {
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

    void ask(patient& of) {
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

    [[nodiscard]] failure take_answer(patient& of, storage::log& log) {
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
