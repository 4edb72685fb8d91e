/// \file brook/broker/cluster_groups.hpp
/// Consumer groups over a cluster: whoever leads the topic of their commits coordinates them, and the others ask it.
/// Floor 4, broker. Source: Kafka's group coordinator and FindCoordinator.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/departures.hpp>
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

    void hosted(const hosted_partition& one) noexcept;

    /// Something has become of a replica.
    void progressed(const hosted_partition& one) noexcept;

    // ---- the coordinator's side ----

    /// It waits for the groups' own locks, and whoever has one may be about to append.
    void carry_out(const departures::group_request& one);

    /// By upkeep. This broker has come to lead the commits: it learns what was committed, and members join it anew.
    void begin_to_coordinate();

    // ---- time passes ----

    /// By upkeep, by one thread: says that members of this broker live, and puts out those whose brokers do not.
    /// Returns   when to call it again.
    std::optional<std::chrono::nanoseconds> look_after(std::chrono::nanoseconds now);

    /// This broker closes: its members leave, so that others have at once what they read. Where another broker coordinates it is told, and has an
    /// election timeout to say that it knows; where this one does, who coordinates next has never heard of them.
    void depart();

private:
    [[nodiscard]] partition_id find_home() const;

    /// In which the coordinator leads, as far as it is known here.
    [[nodiscard]] std::uint32_t find_epoch() const;

    /// Errors    thrown: coordinator_not_available; closed; what it answered.
    [[nodiscard]] std::vector<std::byte> ask(std::vector<std::byte> body, std::chrono::nanoseconds patience);

    /// Asks as `ask` does, and waits for nothing.
    void begin(const std::vector<std::byte>& body, const std::shared_ptr<request_outcome>& told);

    [[nodiscard]] static failure no_coordinator_yet();

    /// What says that it was not reached says so.
    [[nodiscard]] static failure as_of_coordinator(failure why);

    void tell(std::vector<std::byte> body, callback<void(const failure&, bytes)> done);

    /// Errors    not_leader_or_follower: it coordinates no more; what the disk said.
    [[nodiscard]] failure append_commit(std::uint32_t epoch, std::vector<std::byte>& frame, offset& end);

    /// Says for the members that consumers of this broker are that they live, and polls.
    std::optional<std::chrono::nanoseconds> beat(std::chrono::nanoseconds now);

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

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/cluster_groups.hpp>
#endif
