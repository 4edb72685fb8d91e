/// \file brook/broker/cluster_member.hpp
/// A broker as a member of a cluster: its threads, what comes and what leaves, and what its own broker asks it for.
/// Floor 4, broker.
///
/// Its parts, each in a header of its own:
///
///     member_lock        the one lock, and how everything under it is done
///     departures         what leaves the lock
///     replica_host       the replicas here; replica_actions does what they want done
///     request_board      what users here want of leaders elsewhere; request_client waits for it
///     produce_server     batches for partitions that this broker leads
///     answers            to whoever asked
///     metadata_loader    what the cluster has decided; cluster_controller decides it, topic_reconciler does it here, topic_admin asks for it
///     cluster_groups     consumer groups
///     cluster_watch      how the others are, as far as they are heard
///     rot_repair         what rotted here is had from elsewhere
///     datagram_inbox     what has come; worker_thread takes it, and another one syncs
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_controller.hpp>
#include <brook/broker/cluster_groups.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/cluster_watch.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/datagram_inbox.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/produce_server.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/broker/request_client.hpp>
#include <brook/broker/rot_repair.hpp>
#include <brook/broker/topic_admin.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_reconciler.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/worker_thread.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/transport.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// A member.
///
/// One lock guards all replicas; whoever holds it says what has happened, and then they are settled (member_lock, replica_host). What is to be
/// sent, and who is to be told of something, leaves the lock first (departures). A thread of its own takes what comes and does what is due; what is
/// small the transport's thread takes at once, where nobody else is at it. Another thread syncs. Where maintenance is manual, who maintains or waits does
/// both. Users are told by whichever thread it falls to, but for the transport's: who waits for the cluster when he is called does its work meanwhile.
///
/// Threads   shared.
class cluster_member final : public cluster, private transport::receiver, private member_lock, private request_board::route, private replica_listener {
public:
    cluster_member(core& of, const broker_options& options)
        : member_lock{of.shared()->platform},
          core_{of},
          shared_{of.shared()},
          platform_{shared_->platform},
          self_{options.node_id},
          peers_{in_order(options.peers)},
          transport_{options.transport},
          election_timeout_{options.election_timeout},
          has_threads_{options.maintenance == maintenance::thread},
          out_{*transport_},
          board_{self_, election_timeout_, out_, *this},
          answers_{self_, out_, board_},
          replicas_{platform_, of.directory(), self_, peers_, election_timeout_, out_, *this},
          metadata_{out_},
          watch_{self_, peers_, election_timeout_},
          controller_{platform_, {self_, peers_, of.directory_id(), election_timeout_}, replicas_, metadata_, board_, answers_},
          produce_{replicas_, answers_},
          client_{platform_, *this, is_running_, *this, board_},
          admin_{of, {peers_.size(), options.default_api_timeout, election_timeout_}, *this, metadata_, client_, [this] { return why_leaderless(); }},
          reconciler_{of, *shared_, self_, election_timeout_, *this, replicas_, metadata_, answers_, out_},
          groups_{of, *shared_, election_timeout_, *this, replicas_, answers_, out_, client_},
          rot_{*shared_, election_timeout_, *this, replicas_, answers_, out_, client_},
          rounds_{*shared_, election_timeout_ / 8, [this] {
                      const own_work here{*this};
                      return round();
                  }},
          syncs_{*shared_, election_timeout_ / 8, [this] {
                     const own_work here{*this};
                     sync_due();
                     return worker_thread::never;
                 }} {}

    ~cluster_member() override { stop(); }

    BROOK_INLINE void start() override;

    BROOK_INLINE void stop() noexcept override;

    // ---- topics ----

    BROOK_INLINE topic_handle create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) override;

    void delete_topic(std::string_view name) override { admin_.delete_topic(name); }

    // ---- batches ----

    [[nodiscard]] std::size_t largest_frame() const noexcept override { return out_.largest_frame(); }

    BROOK_INLINE void produce(const partition_id& to, std::shared_ptr<produce_request> batch) override;

    // ---- what others want to know, and have done ----

    [[nodiscard]] BROOK_INLINE std::optional<replication_state> state_of(const partition_id& which) const override;

    /// With the cluster's own topics, which nobody can name, where they have no leader either: nothing is known of a topic without them.
    BROOK_INLINE void force_unclean(const partition_id& which) override;

    [[nodiscard]] BROOK_INLINE failure transfer(const partition_id& which, int to) override;

    [[nodiscard]] BROOK_INLINE std::string why_unknown(std::string_view topic) const override;

    // ---- groups ----

    [[nodiscard]] group_service& groups() noexcept override { return groups_.service(); }
    [[nodiscard]] bool coordinates() const noexcept override { return groups_.coordinates(); }

    [[nodiscard]] BROOK_INLINE std::vector<failure> conditions() const override;

    // ---- upkeep ----

    BROOK_INLINE std::optional<std::chrono::nanoseconds> look_after(std::chrono::nanoseconds now) override;

    BROOK_INLINE std::chrono::nanoseconds pump() override;

    // ---- waiting ----

    BROOK_INLINE void await(std::uint32_t seen, std::chrono::nanoseconds until) override;

    [[nodiscard]] std::uint32_t changes() const noexcept override { return changed_.load(std::memory_order_seq_cst); }

    [[nodiscard]] bool is_closing() const noexcept override { return core_.is_closed(); }

private:
    static constexpr std::size_t most_at_once = 16 * kib;  // a larger one takes its time, and the transport's thread has others to read meanwhile

    [[nodiscard]] static std::vector<std::int32_t> in_order(const std::vector<int>& peers);

    [[nodiscard]] static failure failure_without_memory(const std::exception& why) noexcept;

    /// What a thread has to do that waits in the place of those that do it.
    /// Returns   when it has to be called again, as `pump`.
    std::chrono::nanoseconds work_meanwhile();

    // ---- what comes ----

    BROOK_INLINE void receive(int from, bytes whole) noexcept override;

    void wake_round() noexcept;

    /// On the transport's thread: what has come is taken, and what follows from it is sent, without another thread that would have to wake up first. Not
    /// where this is inside of another member's `send`; and whom there is to tell, or to call, the member's own thread tells, since they may wait.
    /// Returns   false: somebody else is at it, who may have seen it or not.
    [[nodiscard]] bool has_taken_at_once() noexcept;

    /// Takes what has come, does what is due, and sends what follows from it. `with(act, keep)` has the lock, or returns false. `has_rest`: whom there is to
    /// tell, or to call, is left to `deliver_rest`.
    template <class With>
    [[nodiscard]] bool take_in(const With& with, bool& has_rest, std::chrono::nanoseconds* next = nullptr) {
        std::vector<datagram_inbox::arrived> come;
        std::list<departures::load> room(1);
        departures::load leaving;
        const auto act = [&](std::chrono::nanoseconds now) {
            come = inbox_.take();
            take_all(come, now);
            if (next != nullptr) {
                *next = out_.next_due();
            }
        };
        if (!with(act, [&](departures::load&& all) { keep_rest(std::move(all), leaving, room); })) {
            return false;
        }
        has_rest = room.empty();
        send_off(leaving);
        if (leaving.has_changed) {
            tell_changed();
        }
        if (leaving.is_sooner) {
            rounds_.wake();
        }
        return true;
    }

    /// Under the lock, so that the rest is told and called in the order in which it came about.
    void keep_rest(departures::load&& all, departures::load& leaving, std::list<departures::load>& room);

    /// What others, or this thread, have left to be told. One after the other: who waits meanwhile, when he is told, finds those behind it.
    void deliver_rest();

    /// Everything that has come, and what is due.
    /// Returns   when something is due next.
    std::chrono::nanoseconds round();

    /// Under the lock.
    void take_all(const std::vector<datagram_inbox::arrived>& come, std::chrono::nanoseconds now);

    void take(std::int32_t from, bytes whole, std::chrono::nanoseconds now);

    void serve(const answer_to& to, request_kind kind, bytes body, std::chrono::nanoseconds now);

    // ---- how the others are ----

    void greet(std::chrono::nanoseconds now);

    [[nodiscard]] std::string why_leaderless() const;

    [[nodiscard]] std::vector<failure> conditions_now() const;

    /// What was not so the last time.
    void announce_new();

    // ---- syncs: on a thread of their own, so that a slow disk does not pass for a dead broker ----

    void sync_due();

    // ---- member_lock: what is done under it, and what leaves ----

    void prepare(std::chrono::nanoseconds now) override { replicas_.reopen_unsure(now); }

    BROOK_INLINE void doubt() noexcept override;

    void settle(std::chrono::nanoseconds now) override { replicas_.settle(now); }

    [[nodiscard]] departures::load take() noexcept override { return out_.take(metadata_.sum().cluster()); }

    void expect_delivery() noexcept override { rounds_.wake(); }

    /// Whatever is thrown by one who is told, the others are told.
    BROOK_INLINE void deliver(departures::load& leaving) override;

    void send_off(departures::load& leaving);

    /// What a thread of the member's own is doing, or whoever works for it: told by `innermost_`, so that who is called meanwhile, and waits, does the rest of
    /// it, and what others would have to wait for. Of several members in one thread each looks for its own.
    struct own_work {
        explicit own_work(cluster_member& doer, departures::load* to_deliver = nullptr) noexcept : of{&doer}, leaving{to_deliver}, outer{std::exchange(innermost_, this)} {}
        own_work(const own_work&) = delete;
        own_work& operator=(const own_work&) = delete;
        ~own_work() { innermost_ = outer; }

        cluster_member* of;
        departures::load* leaving;
        std::size_t told = 0;      // of its completions
        std::size_t reported = 0;  // of its problems
        std::size_t announced = 0;
        std::size_t called = 0;    // of its calls
        own_work* outer;
    };

    [[nodiscard]] bool is_within_own_work() const noexcept;

    /// Delivers what is left, and does nothing twice.
    void go_on(own_work& of);

    /// The outermost first, in the order in which they were gathered.
    void go_on_with_outer(own_work* one);

    template <class Act>
    void attempt(const Act& act) noexcept {
        try {
            act();
        } catch (const std::exception& why) {
            try {
                shared_->report(failure_of(why));
            } catch (const std::exception&) {
                // Not even that.
            }
        }
    }

    void reconcile();

    /// Who is about to wait says so, then looks once more; who changes something changes the word, then looks whether somebody waits.
    void tell_changed() noexcept;

    // ---- replica_listener ----

    void hosted(const hosted_partition& one) override { groups_.hosted(one); }

    BROOK_INLINE void progressed(hosted_partition& one, bool has_committed, std::chrono::nanoseconds now) override;

    BROOK_INLINE void was_cut(hosted_partition& one) override;

    // ---- request_board::route ----

    [[nodiscard]] BROOK_INLINE std::int32_t leader_of(const partition_id& which) const noexcept override;

    BROOK_INLINE void doubt_leader(const partition_id& which, std::int32_t node, std::chrono::nanoseconds now) override;

    [[nodiscard]] BROOK_INLINE const std::string* deleted_topic_of(const partition_id& which) const noexcept override;

    [[nodiscard]] BROOK_INLINE std::optional<offset> shown_here(const partition_id& which) const noexcept override;

    void note_late(const partition_id& which, offset end) noexcept override { replicas_.find(which)->late_until = end; }

    [[nodiscard]] BROOK_INLINE std::string name_of(const partition_id& which) const override;

    BROOK_INLINE void append_own(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another, std::vector<std::byte>& frame, std::chrono::nanoseconds now) override;

    void serve_own(const answer_to& to, request_kind kind, bytes body, std::chrono::nanoseconds now) override { serve(to, kind, body, now); }

    core& core_;
    const std::shared_ptr<shared_state> shared_;
    os::platform& platform_;
    const std::int32_t self_;
    const std::vector<std::int32_t> peers_;
    const std::shared_ptr<transport> transport_;
    const std::chrono::nanoseconds election_timeout_;
    const bool has_threads_;
    std::atomic<bool> is_running_{false};
    datagram_inbox inbox_;
    std::mutex undelivered_mutex_;             // guards the next; taken under the member's lock, too
    std::list<departures::load> undelivered_;  // whom there is to tell, and to call, when what there was to send has been sent

    departures out_;  // the member's lock guards everything up to the next blank line
    request_board board_;
    answers answers_;
    replica_host replicas_;
    metadata_loader metadata_;
    cluster_watch watch_;
    std::chrono::nanoseconds greet_again_at_{};
    std::vector<std::string> announced_;  // what has been said of the cluster, and still is so
    cluster_controller controller_;
    produce_server produce_;

    request_client client_;  // these, and those behind them, take the lock themselves
    topic_admin admin_;
    topic_reconciler reconciler_;
    cluster_groups groups_;
    rot_repair rot_;
    static inline thread_local own_work* innermost_ = nullptr;
    std::atomic<int> waiting_{0};
    std::atomic<int> working_{0};  // of those that wait: who take what has come
    std::atomic<std::uint32_t> changed_{0};  // grows; who waits for the cluster sleeps on it
    worker_thread rounds_;
    worker_thread syncs_;
};

/// Makes brokers with peers members, in programs that include this.
inline const bool cluster_members_are_made = [] {
    cluster_factory_in_use().store([](core& of, const broker_options& options) -> std::unique_ptr<cluster> { return std::make_unique<cluster_member>(of, options); },
                                   std::memory_order_release);
    return true;
}();

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/cluster_member.hpp>
#endif
