/// \file brook/broker/replica_actions.hpp
/// What a replica's state machine wants done, done: to its log, and to the others.
/// Floor 4, broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Told of what becomes of replicas.
///
/// Threads   called under the member's lock, in the middle of `settle`: it may say something to replicas, and touches them then.
class replica_listener {
public:
    /// A replica has begun here.
    virtual void hosted(const hosted_partition& one) = 0;

    /// Something was said to it, and done. `has_committed`: its high watermark has grown.
    virtual void progressed(hosted_partition& one, bool has_committed, std::chrono::nanoseconds now) = 0;

    /// Its log was cut, below the high watermark perhaps.
    virtual void was_cut(hosted_partition& one) = 0;

protected:
    ~replica_listener() = default;
};

/// Carries out one action after the other. What the disk refuses is reported; a full one costs a replica its lead, anything else its say.
///
/// Threads   confined, to whoever holds the member's lock.
/// Cost      that of the log's append, read or cut. None of them syncs but a cut, and what is saved in front of a new set of voters.
class replica_actions {
public:
    replica_actions(os::platform& platform, std::int32_t self, departures& out, replica_listener& told) noexcept : platform_{platform}, self_{self}, out_{out}, listener_{told} {}

    /// `save()` brings the replica's ballot to the disk, and returns whether it is there.
    /// Returns   false: it, or its lead, was given up. What was to follow is not done.
    template <class Save>
    [[nodiscard]] bool perform(hosted_partition& one, replication::action& action, std::chrono::nanoseconds now, const Save& save) {
        using what = replication::action::what;
        switch (action.kind) {
            case what::save_ballot: break;  // it is, before anything is performed
            case what::send: out_.send(action.to, one.id, action.said); break;
            case what::serve: serve_frames(one, action); break;
            case what::open_epoch: return append_control(one, control_record::open_epoch(self_), now, save);
            case what::append_voters: {
                const std::vector<std::byte> body = control_record::name_voters(action.nodes);
                if (!one.machine.note_voters(one.machine.end(), one.machine.epoch(), std::move(action.nodes))) {
                    out_.report({errc::partition_failed, one.log.name().text() + ": so many changes of its voters are not committed that there can be no other"});
                    one.machine.resign(now);
                    return false;
                }
                return save() && append_control(one, body, now, save);
            }
            case what::copy: return copy_frames(one, action, now, save);
            case what::cut:
                check_end(one, one.log.truncate(action.until, action.depth == replication::cut_depth::committed));
                one.wants_sync = one.wants_sync || one.machine.options().is_durable;  // who synced what is left of it may have been told that it was cut
                listener_.was_cut(one);
                break;
            case what::begin_anew:
                check_end(one, one.log.start_anew(action.until, 0, action.depth == replication::cut_depth::committed));
                listener_.was_cut(one);
                break;
        }
        return one.machine.role() != replication::role::failed;
    }

    /// What a replica's disk or its promises do not allow any more: others go on without it.
    void give_up(hosted_partition& one, const failure& why) {
        out_.report(why);
        one.machine.fail();
    }

private:
    /// The machine speaks of the log as it thinks it is: where that is another, every promise it makes from then on is wrong.
    void check_end(hosted_partition& one, failure why) {
        if (const offset end = one.log.claimed_end_offset(); !why && end != one.machine.end()) {  // claimed: a mark of the log's own may be about to be published
            why = {errc::partition_failed, one.log.name().text() + ": its log ends at offset " + std::to_string(end) + ", and its replica takes it to end at " +
                                               std::to_string(one.machine.end()) + "; close the broker, open again"};
        }
        if (why) {
            give_up(one, why);
        }
    }

    static constexpr std::size_t most_served = mib;  // bytes of frames in one answer, unless one frame is larger

    template <class Save>
    [[nodiscard]] bool copy_frames(hosted_partition& one, replication::action& action, std::chrono::nanoseconds now, const Save& save) {
        failure why;
        const bool is_whole = one.copy(action.said.frames, now, [&] { return save() ? failure{} : failure{errc::partition_failed, "ballots"}; }, why);
        if (why) {
            one.machine.forget_voters(one.machine.end());
        }
        if (why && why.code != errc::corrupt_record && why.code != std::errc::no_space_on_device) {
            give_up(one, why);
        } else if (why && std::exchange(one.told, why.text) != why.text) {
            out_.report(why);  // it is asked for again: told once, until something is copied
        } else if (!why) {
            one.told.clear();
        }
        check_end(one, {});
        action.said.frames = {};
        one.machine.copied(action.said, is_whole, now);
        return one.machine.role() != replication::role::failed;
    }

    template <class Save>
    [[nodiscard]] bool append_control(hosted_partition& one, const std::vector<std::byte>& body, std::chrono::nanoseconds now, const Save& save) {
        std::vector<std::byte> frame = format::make_control(body, platform_.now().time_since_epoch().count());
        offset first = 0;
        if (failure why = one.append_own(frame, 1, first, now)) {
            if (one.machine.forget_voters(one.machine.end()) && !save()) {
                return false;
            }
            if (why.code == std::errc::no_space_on_device) {
                out_.report(why);
                one.machine.resign(now);  // somebody else may have room
            } else {
                give_up(one, why);
            }
            return false;
        }
        return true;
    }

    void serve_frames(hosted_partition& one, replication::action& action) {
        std::vector<std::byte> frames;
        if (action.said.fetch_answer.end < action.until) {
            if (failure why = one.log.read_frames(action.said.fetch_answer.end, action.until, std::min(most_served, out_.largest_frame()), frames)) {
                if (why.code == errc::corrupt_record && !std::exchange(one.is_rotten, true)) {
                    out_.report(why);
                }
                return;  // the follower asks again
            }
        }
        action.said.frames = frames;
        out_.send(action.to, one.id, action.said);
    }

    os::platform& platform_;
    const std::int32_t self_;
    departures& out_;
    replica_listener& listener_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
