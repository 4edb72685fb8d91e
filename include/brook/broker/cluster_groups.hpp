/// \file brook/broker/cluster_groups.hpp
/// Consumer groups over a cluster: whoever leads the topic of their commits coordinates them, and the others ask it.
/// Floor 4, broker. Source: Kafka's group coordinator and FindCoordinator.
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

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/group_call.hpp>
#include <brook/broker/group_router.hpp>
#include <brook/broker/group_server.hpp>
#include <brook/broker/group_service.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/request_client.hpp>
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

/// Both sides: this broker's consumers ask by `service`, and where it coordinates, calls are carried out here.
///
/// Coordinating begins once the broker leads the commits' partition and knows what is committed in it: then it reads all of that, and members
/// join it anew. A call that commits something is answered when that is committed in the cluster. A question is answered when a record that was appended
/// behind it is: a coordinator that has been replaced, and does not know it yet, cannot have that, so it answers nothing (Raft, thesis, 6.4, without
/// counting heartbeats, since here followers ask). Heartbeats tell for all members of a broker at once that they live.
///
/// Threads   shared, but for what says otherwise; without the member's lock, which it takes. A group's own lock comes before the member's.
class cluster_groups {
public:
    /// `replicas`, `to` and `out` are used under the lock.
    cluster_groups(core& of, shared_state& shared, std::chrono::nanoseconds election_timeout, member_lock& lock, replica_host& replicas, answers& to, departures& out, request_client& client)
        : core_{of},
          shared_{shared},
          election_timeout_{election_timeout},
          lock_{lock},
          replicas_{replicas},
          answers_{to},
          out_{out},
          client_{client},
          server_{of.groups_here()},
          router_{shared, [this](std::vector<std::byte> body, std::chrono::nanoseconds patience) { return ask(std::move(body), patience); },
                  [this](std::vector<std::byte> body) { tell(std::move(body), [](const failure&, bytes) {}); },
                  [this](const std::vector<std::byte>& body, const std::shared_ptr<request_outcome>& told) { begin(body, told); },
                  [this](std::chrono::nanoseconds longest) { client_.look(longest); }, [this] { return find_epoch(); }, election_timeout * 3} {}

    /// What this broker's consumers use.
    [[nodiscard]] group_service& service() noexcept { return router_; }

    /// A consumer of this broker has wanted something of a group.
    [[nodiscard]] bool is_used() const noexcept { return is_used_.load(std::memory_order_relaxed); }

    /// Whether this broker coordinates just now.
    [[nodiscard]] bool coordinates() const noexcept { return coordinates_.load(std::memory_order_acquire); }

    // ---- under the member's lock ----

    /// Where groups commit; zeros: not known yet.
    [[nodiscard]] const partition_id& home() const noexcept { return home_; }

    void hosted(const hosted_partition& one) noexcept {
        if (one.topic->name == offsets_topic) {
            home_ = one.id;
        }
    }

    /// Something has become of a replica.
    void progressed(const hosted_partition& one) noexcept {
        if (one.id != home_) {
            return;
        }
        const bool is_ready = one.machine.accepts_appends() && coordinated_epoch_ == one.machine.epoch();
        coordinates_.store(is_ready, std::memory_order_release);
        if (one.machine.knows_high_watermark() && coordinated_epoch_ != one.machine.epoch()) {
            out_.want_upkeep();
        }
    }

    // ---- the coordinator's side ----

    /// It waits for the groups' own locks, and whoever has one may be about to append.
    void carry_out(const departures::group_request& one) {
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

    /// By upkeep. This broker has come to lead the commits: it learns what was committed, and members join it anew.
    void begin_to_coordinate() {
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

    // ---- time passes ----

    /// By upkeep, by one thread: says that members of this broker live, and puts out those whose brokers do not.
    /// Returns   when to call it again.
    std::optional<std::chrono::nanoseconds> look_after(std::chrono::nanoseconds now) {
        std::optional<std::chrono::nanoseconds> next = beat(now);
        if (coordinates()) {
            if (const auto due = server_.expire(now); due && (!next || *due < *next)) {
                next = due;
            }
        }
        return next;
    }

    /// This broker closes: its members leave, so that others have at once what they read. Where another broker coordinates it is told, and has an
    /// election timeout to say that it knows; where this one does, who coordinates next has never heard of them.
    void depart() {
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

private:
    [[nodiscard]] partition_id find_home() const {
        return lock_.hold([this] { return home_; });
    }

    /// In which the coordinator leads, as far as it is known here.
    [[nodiscard]] std::uint32_t find_epoch() const {
        return lock_.hold([this] {
            const hosted_partition* const home = replicas_.find(home_);
            return home == nullptr ? std::uint32_t{0} : home->machine.epoch();
        });
    }

    /// Errors    thrown: coordinator_not_available; closed; what it answered.
    [[nodiscard]] std::vector<std::byte> ask(std::vector<std::byte> body, std::chrono::nanoseconds patience) {
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

    /// Asks as `ask` does, and waits for nothing.
    void begin(const std::vector<std::byte>& body, const std::shared_ptr<request_outcome>& told) {
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

    [[nodiscard]] static failure no_coordinator_yet() {
        return {errc::coordinator_not_available, "the cluster has no coordinator of groups yet: a majority of its brokers has to be there"};
    }

    /// What says that it was not reached says so.
    [[nodiscard]] static failure as_of_coordinator(failure why) {
        return why.code == errc::timed_out || why.code == errc::not_leader_or_follower ? failure{errc::coordinator_not_available, std::move(why.text)} : why;
    }

    void tell(std::vector<std::byte> body, callback<void(const failure&, bytes)> done) {
        client_.tell(request_kind::group, find_home(), std::move(body), election_timeout_, std::move(done));
    }

    /// Errors    not_leader_or_follower: it coordinates no more; what the disk said.
    [[nodiscard]] failure append_commit(std::uint32_t epoch, std::vector<std::byte>& frame, offset& end) {
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

    /// Says for the members that consumers of this broker are that they live, and polls.
    std::optional<std::chrono::nanoseconds> beat(std::chrono::nanoseconds now) {
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

    /// A heartbeat is on its way as long as this is there.
    class open_beat {
    public:
        explicit open_beat(std::atomic<int>& count) noexcept : count_{count} { count_.fetch_add(1, std::memory_order_acq_rel); }
        open_beat(const open_beat&) = delete;
        open_beat& operator=(const open_beat&) = delete;
        ~open_beat() { count_.fetch_sub(1, std::memory_order_acq_rel); }

    private:
        std::atomic<int>& count_;
    };

    core& core_;
    shared_state& shared_;
    const std::chrono::nanoseconds election_timeout_;
    member_lock& lock_;
    replica_host& replicas_;
    answers& answers_;
    departures& out_;
    request_client& client_;

    partition_id home_{};                  // under the member's lock
    std::uint32_t coordinated_epoch_ = 0;  // likewise: the latest epoch of it for which this broker has learned what was committed
    std::atomic<bool> coordinates_{false};
    std::atomic<bool> is_used_{false};

    std::atomic<int> beats_open_{0};            // heartbeats that are on their way
    std::chrono::nanoseconds beat_again_at_{};  // upkeep's
    group_server server_;
    group_router router_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
