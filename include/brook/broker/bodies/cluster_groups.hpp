/// \file brook/broker/bodies/cluster_groups.hpp
/// The functions that cluster_groups.hpp declares.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_groups.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/broker/group_router.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void cluster_groups::hosted(const hosted_partition& one) noexcept {
    if (one.topic->name == offsets_topic) {
        home_ = one.id;
    }
}

BROOK_INLINE void cluster_groups::progressed(const hosted_partition& one) noexcept {
    if (one.id != home_) {
        return;
    }
    const bool is_ready = one.machine.accepts_appends() && coordinated_epoch_ == one.machine.epoch();
    coordinates_.store(is_ready, std::memory_order_release);
    if (one.machine.knows_high_watermark() && coordinated_epoch_ != one.machine.epoch()) {
        out_.want_upkeep();
    }
}

BROOK_INLINE void cluster_groups::carry_out(const departures::group_request& one) {
    const auto now = client_.now();
    std::optional<std::vector<std::byte>> result;
    failure why;
    answer_status told_as = answer_status::done;  // a failure, which is told at once
    bool is_witnessed = false;                    // then it is an answer, when what is in front of it is committed
    const bool is_ours = coordinates();
    const std::uint32_t epoch = lock_.hold([&] {
        if (is_ours) {
            answers_.note_appended(one.to);  // it will be, perhaps
        }
        return coordinated_epoch_;
    });
    if (is_ours) {
        try {
            result = server_.carry_out(one.to.node, one.to.number, one.body, now, [this] { return core_.topics(); }, why);
        } catch (const error& thrown) {
            why = failure{thrown};
            result.emplace();
        }
        const bool asks = is_question(static_cast<group_call>(replication::byte_reader{one.body}.take<std::uint32_t>()));
        if (result && (asks || why) && why.code != errc::not_leader_or_follower) {  // a refusal says what there is, too
            failure unwitnessed = core_.offsets_here().append_witness();
            if (!unwitnessed) {
                is_witnessed = true;
            } else if (asks) {
                told_as = answer_status::not_now;  // the disk may have room again, or another one leads soon
                why = std::move(unwitnessed);
            }
        }
    }
    if (is_ours && !result) {
        return;
    }
    const offset end = is_ours ? core_.offsets_here().last_end() : 0;
    lock_.work([&](std::chrono::nanoseconds at) {
        hosted_partition* const home = replicas_.find(home_);
        if (home == nullptr || !home->machine.accepts_appends() || why.code == errc::not_leader_or_follower) {
            answers_.give_elsewhere(one.to, at);
        } else if (!is_ours || home->machine.epoch() != epoch) {  // what it appended may have been cut since
            answers_.refuse(one.to, answer_status::not_now, {errc::coordinator_not_available, "the coordinator of groups is just finding out what was committed"}, at);
        } else if (why && !is_witnessed) {
            answers_.refuse(one.to, told_as, why, at);
        } else {
            std::vector<std::byte> body;
            answer_codec::put(body, why);
            if (!why) {
                body.insert(body.end(), result->begin(), result->end());
            }
            answers_.give_when_committed(*home, {one.to, end, end, 0, std::move(body)}, at);
        }
    });
}

BROOK_INLINE void cluster_groups::begin_to_coordinate() {
    topic_handle topic;
    std::uint32_t epoch = 0;
    lock_.hold([&] {
        const hosted_partition* const home = replicas_.find(home_);
        if (home != nullptr && home->machine.knows_high_watermark() && coordinated_epoch_ != home->machine.epoch()) {
            topic = home->topic;
            epoch = home->machine.epoch();
        }
    });
    if (!topic) {
        return;
    }
    server_.begin(epoch);
    try {
        core_.offsets_here().open_replicated(topic, [this, epoch](std::vector<std::byte>& frame, offset& end) { return append_commit(epoch, frame, end); }, out_.largest_frame());
    } catch (const error& why) {
        shared_.report(failure{why});
        return;  // the next pass tries again
    }
    lock_.work([&](std::chrono::nanoseconds) {
        coordinated_epoch_ = epoch;
        if (hosted_partition* const home = replicas_.find(home_)) {
            replicas_.touch(*home);
        }
    });
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> cluster_groups::look_after(std::chrono::nanoseconds now) {
    std::optional<std::chrono::nanoseconds> next = beat(now);
    if (coordinates()) {
        if (const auto due = server_.expire(now); due && (!next || *due < *next)) {
            next = due;
        }
    }
    return next;
}

BROOK_INLINE void cluster_groups::depart() {
    std::int32_t leader = replication::no_node;
    const partition_id where = lock_.hold([&] {
        const hosted_partition* const home = replicas_.find(home_);
        leader = home == nullptr || home->machine.is_leader() ? replication::no_node : home->machine.leader();
        return home_;
    });
    std::vector<group_router::heartbeat> all = router_.departures();
    if (all.empty() || leader == replication::no_node) {
        return;
    }
    try {
        for (std::size_t i = 0; i + 1 < all.size(); ++i) {
            tell(std::move(all[i].body), [](const failure&, bytes) {});
        }
        client_.ask(request_kind::group, where, std::move(all.back().body), client_.now() + election_timeout_, "the group's coordinator", true);
    } catch (const error&) {
        // It was not to be reached: their sessions end by themselves.
    }
}

BROOK_INLINE partition_id cluster_groups::find_home() const {
    return lock_.hold([this] { return home_; });
}

BROOK_INLINE std::uint32_t cluster_groups::find_epoch() const {
    return lock_.hold([this] {
        const hosted_partition* const home = replicas_.find(home_);
        return home == nullptr ? std::uint32_t{0} : home->machine.epoch();
    });
}

BROOK_INLINE std::vector<std::byte> cluster_groups::ask(std::vector<std::byte> body, std::chrono::nanoseconds patience) {
    is_used_.store(true, std::memory_order_relaxed);
    const auto deadline = client_.now() + patience;
    partition_id where;
    const bool is_in_time = client_.wait_until(deadline, [&] {
        where = find_home();
        return where != partition_id{} || !client_.is_running();
    });
    if (where == partition_id{} && !client_.is_running()) {
        throw_error(errc::closed, "the group's coordinator: the broker was closed before one was known");
    }
    if (!is_in_time) {
        no_coordinator_yet().raise();
    }
    try {
        return client_.ask(request_kind::group, where, std::move(body), deadline, "the group's coordinator");
    } catch (const error& why) {
        as_of_coordinator(failure{why}).raise();
        throw;
    }
}

BROOK_INLINE void cluster_groups::begin(const std::vector<std::byte>& body, const std::shared_ptr<request_outcome>& told) {
    is_used_.store(true, std::memory_order_relaxed);
    const partition_id where = find_home();
    if (where == partition_id{}) {
        told->tell(no_coordinator_yet(), {});
        return;
    }
    client_.tell(request_kind::group, where, body, election_timeout_ * 3, [told, this](const failure& why, bytes answer) {
        try {
            told->tell(why ? as_of_coordinator({why.code, "the group's coordinator: " + why.text}) : failure{}, answer);
        } catch (const std::exception&) {
            told->tell(failure{std::make_error_code(std::errc::not_enough_memory), {}}, {});  // takes none
        }
        shared_.readers.notify();  // who sleeps in a poll goes on
    });
    client_.look({});
}

BROOK_INLINE failure cluster_groups::no_coordinator_yet() {
    return {errc::coordinator_not_available, "the cluster has no coordinator of groups yet: a majority of its brokers has to be there"};
}

BROOK_INLINE failure cluster_groups::as_of_coordinator(failure why) {
    return why.code == errc::timed_out || why.code == errc::not_leader_or_follower ? failure{errc::coordinator_not_available, std::move(why.text)} : why;
}

BROOK_INLINE void cluster_groups::tell(std::vector<std::byte> body, callback<void(const failure&, bytes)> done) {
    client_.tell(request_kind::group, find_home(), std::move(body), election_timeout_, std::move(done));
}

BROOK_INLINE failure cluster_groups::append_commit(std::uint32_t epoch, std::vector<std::byte>& frame, offset& end) {
    failure why;
    lock_.work_quietly([&](std::chrono::nanoseconds now) {  // the group's lock is held
        hosted_partition* const home = replicas_.find(home_);
        if (home == nullptr || !home->machine.accepts_appends() || home->machine.epoch() != epoch) {
            why = {errc::not_leader_or_follower, "another broker coordinates the group now"};
            return;
        }
        const std::uint32_t taken = format::offsets_taken(format::load_header(frame.data()), frame.data());
        offset first = 0;
        why = replicas_.append(*home, frame, taken, first, now);
        end = why ? end : first + taken;
    });
    return why;
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> cluster_groups::beat(std::chrono::nanoseconds now) {
    if (now < beat_again_at_) {
        return beat_again_at_;
    }
    if (find_home() == partition_id{} || beats_open_.load(std::memory_order_acquire) != 0) {
        return now + election_timeout_ / 4;
    }
    std::vector<group_router::heartbeat> all = router_.beats();
    if (all.empty()) {
        return std::nullopt;
    }
    beat_again_at_ = now + election_timeout_ / 4;
    for (group_router::heartbeat& one : all) {
        const auto open = std::make_shared<open_beat>(beats_open_);  // until it has ended, however that is
        tell(std::move(one.body), [this, open, of = std::move(one.of)](const failure& why, bytes answer) {
            if (!why) {
                router_.take_beat(of, answer);
            }
        });
    }
    return beat_again_at_;
}

}  // namespace brook::inline BROOK_ABI::broker_room
