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

#include <algorithm>
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
#include <system_error>
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
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/transport.hpp>
#include <brook/storage/log.hpp>

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

    void start() override {
        replicas_.open();
        board_.number_from(replicas_.session());
        const std::vector<topic_handle> here = core_.replicated_topics();
        hold([&] {
            for (const topic_handle& topic : here) {
                replicas_.host(topic, provenance::here);
            }
        });
        if (replicas_.find(metadata_id) == nullptr) {
            const topic_handle topic = core_.open_replicated(metadata_topic, controller_.make_metadata_meta());
            hold([&] { replicas_.host(topic, provenance::lost); });
        }
        hosted_partition& metadata = *replicas_.find(metadata_id);
        controller_.require_same_peers(metadata.topic->meta, core_.directory());
        work([&](std::chrono::nanoseconds) { metadata_.begin(metadata); });
        transport_->start(*this);
        is_running_.store(true, std::memory_order_release);
        if (has_threads_) {
            rounds_.start();
            syncs_.start();
        }
    }

    void stop() noexcept override {
        if (!is_running_.load(std::memory_order_acquire)) {
            return;
        }
        try {
            groups_.depart();
        } catch (const std::exception&) {
            // No memory: their sessions end by themselves.
        }
        is_running_.store(false, std::memory_order_release);
        tell_changed();  // who is called by one of the threads, and waits there
        rounds_.stop();
        syncs_.stop();
        try {
            work([this](std::chrono::nanoseconds now) { replicas_.resign_all(now); });
        } catch (const std::exception&) {
            // No memory to say good-bye: the others find out.
        }
        transport_->stop();
        try {
            deliver_rest();
            work([this](std::chrono::nanoseconds) { board_.end_all(); });
        } catch (const std::exception&) {
            // Who waits finds the broker closed.
        }
        try {
            hold([this] { replicas_.note_whole(); });
        } catch (const std::exception&) {
            // Then they are suspect after a loss of power.
        }
        tell_changed();
    }

    // ---- topics ----

    topic_handle create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) override {
        return admin_.create_topic(name, options, key, value);
    }

    void delete_topic(std::string_view name) override { admin_.delete_topic(name); }

    // ---- batches ----

    [[nodiscard]] std::size_t largest_frame() const noexcept override { return out_.largest_frame(); }

    void produce(const partition_id& to, std::shared_ptr<produce_request> batch) override {
        if (!is_running_.load(std::memory_order_acquire)) {
            batch->settle({errc::closed, "the broker is closed; nothing was written"}, -1, 0);
            return;
        }
        bool is_kept = false;
        try {
            work([&](std::chrono::nanoseconds now) {
                request_board::request made;
                made.kind = request_kind::produce;
                made.target = to;
                made.deadline = batch->deadline;
                made.batch = batch;
                board_.begin(std::move(made), now, is_kept);
            });
        } catch (const std::exception& why) {
            if (!is_kept) {  // else it is tried again
                batch->settle(failure_without_memory(why), -1, 0);
                tell_changed();
            }
        }
    }

    // ---- what others want to know, and have done ----

    [[nodiscard]] std::optional<replication_state> state_of(const partition_id& which) const override {
        return hold([&] { return replicas_.state_of(which); });
    }

    /// With the cluster's own topics, which nobody can name, where they have no leader either: nothing is known of a topic without them.
    void force_unclean(const partition_id& which) override {
        work([&](std::chrono::nanoseconds now) {
            for (const partition_id& id : {metadata_id, groups_.home(), which}) {
                hosted_partition* const one = replicas_.find(id);
                if (one != nullptr && (id == which || one->machine.leader() == replication::no_node)) {
                    replicas_.touch(*one);
                    one->machine.force_unclean(now);
                }
            }
        });
    }

    [[nodiscard]] failure transfer(const partition_id& which, int to) override {
        failure why;
        work([&](std::chrono::nanoseconds now) {
            hosted_partition* const one = replicas_.find(which);
            if (one == nullptr) {
                why = {errc::not_leader_or_follower, "the partition's replica is just beginning on this broker, or its topic is being deleted"};
                return;
            }
            std::string reason = one->machine.why_no_transfer(to);
            replicas_.touch(*one);
            if (!one->machine.transfer(to, now)) {
                why = {errc::not_leader_or_follower, one->log.name().text() + ": the lead is not handed to broker " + std::to_string(to) + ": " + reason};
            }
        });
        return why;
    }

    [[nodiscard]] std::string why_unknown(std::string_view topic) const override {
        return hold([&]() -> std::string {
            const hosted_partition& home = *replicas_.find(metadata_id);
            if (metadata_.sum().find(topic) != nullptr) {
                return "the cluster has it, and this broker is just making its own part; try again in a moment, and broker.health() tells what keeps it";
            }
            if (home.machine.leader() == replication::no_node) {
                return "this broker does not know it, and has not caught up with the cluster: " + watch_.why_leaderless(home.machine.end() == 0, metadata_.sum());
            }
            if (!home.machine.is_caught_up()) {
                return "this broker does not know it yet: it has not caught up with what the cluster has decided; try again in a moment";
            }
            return "the cluster has none, as far as this broker knows; make it by create_topic";
        });
    }

    // ---- groups ----

    [[nodiscard]] group_service& groups() noexcept override { return groups_.service(); }
    [[nodiscard]] bool coordinates() const noexcept override { return groups_.coordinates(); }

    [[nodiscard]] std::vector<failure> conditions() const override {
        return hold([this] { return conditions_now(); });
    }

    // ---- upkeep ----

    std::optional<std::chrono::nanoseconds> look_after(std::chrono::nanoseconds now) override {
        const own_work here{*this};
        reconcile();
        groups_.begin_to_coordinate();
        std::optional<std::chrono::nanoseconds> next = groups_.look_after(now);
        if (const auto again = rot_.mend(); again && (!next || *again < *next)) {
            next = again;
        }
        work([this](std::chrono::nanoseconds at) { replicas_.look_after(at); });
        if (const auto again = reconciler_.again_at(); again && (!next || *again < *next)) {
            next = again;
        }
        return next;
    }

    std::chrono::nanoseconds pump() override {
        if (!is_running_.load(std::memory_order_acquire)) {
            return departures::never;
        }
        sync_due();
        return round();
    }

    // ---- waiting ----

    void await(std::uint32_t seen, std::chrono::nanoseconds until) override {
        const bool does_the_work = !has_threads_ || is_within_own_work();  // nobody else may be there to do it, or who is there waits here
        const struct counted {
            std::atomic<int>& count;
            const int by;
            counted(std::atomic<int>& of, int one) noexcept : count{of}, by{one} { count.fetch_add(by, std::memory_order_seq_cst); }
            ~counted() { count.fetch_sub(by, std::memory_order_seq_cst); }
        } working{working_, does_the_work ? 1 : 0};  // then the look: see receive
        if (does_the_work) {
            until = std::min(until, work_meanwhile());
        }
        for (own_work* one = innermost_; one != nullptr; one = one->outer) {
            if (one->of != this) {  // this thread is another member's, in the same process, and what is waited for may take that one
                static_cast<void>(one->of->work_meanwhile());
                until = std::min(until, platform_.monotonic() + std::chrono::milliseconds{1});
            }
        }
        waiting_.fetch_add(1, std::memory_order_seq_cst);  // then the look: see tell_changed
        const auto now = platform_.monotonic();
        if (changes() == seen && until > now) {
            platform_.wait(changed_, seen, until - now);
        }
        waiting_.fetch_sub(1, std::memory_order_seq_cst);
    }

    [[nodiscard]] std::uint32_t changes() const noexcept override { return changed_.load(std::memory_order_seq_cst); }

    [[nodiscard]] bool is_closing() const noexcept override { return core_.is_closed(); }

private:
    static constexpr std::size_t most_at_once = 16 * kib;  // a larger one takes its time, and the transport's thread has others to read meanwhile

    [[nodiscard]] static std::vector<std::int32_t> in_order(const std::vector<int>& peers) {
        std::vector<std::int32_t> all(peers.begin(), peers.end());
        std::sort(all.begin(), all.end());
        return all;
    }

    [[nodiscard]] static failure failure_without_memory(const std::exception& why) noexcept {
        try {
            return {std::make_error_code(std::errc::not_enough_memory), std::string{"nothing was written: "} + why.what()};
        } catch (const std::exception&) {
            return {std::make_error_code(std::errc::not_enough_memory), {}};
        }
    }

    /// What a thread has to do that waits in the place of those that do it.
    /// Returns   when it has to be called again, as `pump`.
    std::chrono::nanoseconds work_meanwhile() {
        go_on_with_outer(innermost_);
        std::chrono::nanoseconds again = departures::never;
        if (!core_.is_closed()) {
            reconcile();
            again = reconciler_.again_at().value_or(again);
        }
        return std::min(again, pump());
    }

    // ---- what comes ----

    void receive(int from, bytes whole) noexcept override {
        const bool is_peer = std::find(peers_.begin(), peers_.end(), from) != peers_.end();
        const std::size_t waiting = inbox_.put(from, whole, is_peer ? from : replication::no_node);
        if (waiting > 0 && (whole.size() > most_at_once || waiting > 4 * most_at_once || !has_taken_at_once())) {
            wake_round();
        }
    }

    void wake_round() noexcept {
        rounds_.wake();
        if (working_.load(std::memory_order_seq_cst) != 0) {
            tell_changed();
        }
    }

    /// On the transport's thread: what has come is taken, and what follows from it is sent, without another thread that would have to wake up first. Not
    /// where this is inside of another member's `send`; and whom there is to tell, or to call, the member's own thread tells, since they may wait.
    /// Returns   false: somebody else is at it, who may have seen it or not.
    [[nodiscard]] bool has_taken_at_once() noexcept {
        if (!has_threads_ || innermost_ != nullptr || !is_running_.load(std::memory_order_acquire)) {
            return false;
        }
        try {
            bool has_rest = false;
            if (!take_in([this](const auto& act, const auto& keep) { return try_work(act, keep); }, has_rest)) {
                return false;
            }
            if (has_rest) {
                wake_round();
            }
        } catch (const std::exception&) {
            wake_round();  // no memory: what has come counts as lost, and what is unsure begins anew
        }
        return true;
    }

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
    void keep_rest(departures::load&& all, departures::load& leaving, std::list<departures::load>& room) {
        leaving = std::move(all);
        if (leaving.has_rest()) {
            room.front().take_rest(leaving);
            const std::scoped_lock guard{undelivered_mutex_};
            undelivered_.splice(undelivered_.end(), room);
        }
    }

    /// What others, or this thread, have left to be told. One after the other: who waits meanwhile, when he is told, finds those behind it.
    void deliver_rest() {
        for (;;) {
            std::list<departures::load> next;
            {
                const std::scoped_lock guard{undelivered_mutex_};
                if (undelivered_.empty()) {
                    return;
                }
                next.splice(next.end(), undelivered_, undelivered_.begin());
            }
            own_work here{*this, &next.front()};
            go_on(here);
        }
    }

    /// Everything that has come, and what is due.
    /// Returns   when something is due next.
    std::chrono::nanoseconds round() {
        std::chrono::nanoseconds next = departures::never;
        bool has_rest = false;
        const bool is_done = take_in(
            [this](const auto& act, const auto& keep) {
                work(act, keep);
                return true;
            },
            has_rest, &next);
        BROOK_ASSERT(is_done);
        static_cast<void>(is_done);
        deliver_rest();
        return next;
    }

    /// Under the lock.
    void take_all(const std::vector<datagram_inbox::arrived>& come, std::chrono::nanoseconds now) {
        for (const datagram_inbox::arrived& one : come) {
            take(one.from, one.bytes, now);
            replicas_.settle(now);
        }
        watch_.looked(now);
        if (now >= greet_again_at_) {
            greet(now);
        }
        if (out_.is_due(now)) {
            replicas_.run_due(now);
            replicas_.settle(now);
        }
        board_.try_due(now);
        controller_.enlist(now);
        replicas_.settle(now);
        if (out_.is_due(now)) {
            out_.plan_anew();
            replicas_.expect_all();
            board_.expect_all();
            out_.expect(greet_again_at_);
        }
    }

    void take(std::int32_t from, bytes whole, std::chrono::nanoseconds now) {
        const std::optional<datagram::heading> said = datagram::read(whole);
        if (!said) {
            return;
        }
        if (std::find(peers_.begin(), peers_.end(), from) == peers_.end() || from == self_ || !datagram::counts(*said, from, self_, metadata_.sum().cluster())) {
            watch_.refused(from, *said, metadata_.sum().cluster(), now);
            return;
        }
        watch_.heard(from, now);
        bytes rest = whole.subspan(datagram::header_size);
        for (datagram::part one; datagram::next(rest, one);) {
            switch (one.kind) {
                case datagram::part_kind::replica: replicas_.receive(from, one.partition, one.body, now); break;
                case datagram::part_kind::request: serve({from, one.number}, static_cast<request_kind>(one.code), one.body, now); break;
                case datagram::part_kind::answer: board_.take_answer(one.number, from, static_cast<answer_status>(one.code), one.body, now); break;
            }
        }
    }

    void serve(const answer_to& to, request_kind kind, bytes body, std::chrono::nanoseconds now) {
        switch (kind) {
            case request_kind::produce: produce_.serve(to, body, now); return;
            case request_kind::create_topic: controller_.create_topic(to, body, now); return;
            case request_kind::delete_topic: controller_.delete_topic(to, body, now); return;
            case request_kind::register_broker: controller_.register_broker(to, body, now); return;
            case request_kind::read: rot_.serve(to, body, now); return;
            case request_kind::group: out_.carry_out(to, body); return;
            case request_kind::greet: watch_.take_greeting(to.node, body); return;
            case request_kind::raise_session:
                replicas_.renew_session(to.node, body, now);
                board_.number_from(replicas_.session());
                return;
        }
        answers_.refuse(to, answer_status::done, {errc::unsupported_version, "broker " + std::to_string(self_) + " does not know what is asked of it; all brokers should run the same version"}, now);
    }

    // ---- how the others are ----

    void greet(std::chrono::nanoseconds now) {
        greet_again_at_ = now + election_timeout_;
        out_.expect(greet_again_at_);
        if (leader_of(groups_.home()) != replication::no_node) {
            watch_.saw_coordinator();
        }
        datagram::part part;
        part.kind = datagram::part_kind::request;
        part.code = static_cast<std::uint32_t>(request_kind::greet);
        for (const std::int32_t node : peers_) {
            if (node != self_) {
                out_.add(node, part, sizeof node * (peers_.size() + 1), [&](std::vector<std::byte>& into) {
                    replication::byte_writer to{into};
                    watch_.write_greeting(to);
                });
            }
        }
        announce_new();
    }

    [[nodiscard]] std::string why_leaderless() const {
        return hold([this] {
            const hosted_partition& home = *replicas_.find(metadata_id);
            return home.machine.leader() != replication::no_node ? std::string{} : watch_.why_leaderless(home.machine.end() == 0, metadata_.sum());
        });
    }

    [[nodiscard]] std::vector<failure> conditions_now() const {
        std::vector<failure> all = watch_.conditions(metadata_.sum(), groups_.is_used(), core_.directory());
        replicas_.add_conditions(all);
        return all;
    }

    /// What was not so the last time.
    void announce_new() {
        std::vector<std::string> texts;
        for (failure& why : conditions_now()) {
            texts.push_back(why.text);
            if (std::find(announced_.begin(), announced_.end(), why.text) == announced_.end()) {
                out_.announce(std::move(why));
            }
        }
        announced_ = std::move(texts);
    }

    // ---- syncs: on a thread of their own, so that a slow disk does not pass for a dead broker ----

    void sync_due() {
        for (;;) {
            storage::log* log = nullptr;
            partition_id id;
            topic_handle kept;  // the log lives as long as its topic
            hold([&] {
                if (hosted_partition* const one = replicas_.take_unsynced()) {
                    log = &one->log;
                    id = one->id;
                    kept = one->topic;
                }
            });
            if (log == nullptr) {
                return;
            }
            const failure why = log->sync();
            work([&](std::chrono::nanoseconds now) { replicas_.synced(id, *log, why, now); });
        }
    }

    // ---- member_lock: what is done under it, and what leaves ----

    void prepare(std::chrono::nanoseconds now) override { replicas_.reopen_unsure(now); }

    void doubt() noexcept override {
        replicas_.doubt();
        out_.drop_letters();
    }

    void settle(std::chrono::nanoseconds now) override { replicas_.settle(now); }

    [[nodiscard]] departures::load take() noexcept override { return out_.take(metadata_.sum().cluster()); }

    void expect_delivery() noexcept override { rounds_.wake(); }

    /// Whatever is thrown by one who is told, the others are told.
    void deliver(departures::load& leaving) override {
        send_off(leaving);
        own_work here{*this, &leaving};
        go_on(here);
        if (leaving.is_sooner) {
            rounds_.wake();
        }
    }

    void send_off(departures::load& leaving) {
        const own_work here{*this};  // who is in the same process only keeps what comes
        for (departures::letter& one : leaving.letters) {
            datagram::finish(one.bytes, self_, one.to, leaving.cluster);
            transport_->send(one.to, one.bytes);
        }
        if (leaving.wants_upkeep) {
            shared_->upkeep.notify();
        }
        if (leaving.wants_sync) {
            syncs_.wake();
        }
    }

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

    [[nodiscard]] bool is_within_own_work() const noexcept {
        for (const own_work* one = innermost_; one != nullptr; one = one->outer) {
            if (one->of == this) {
                return true;
            }
        }
        return false;
    }

    /// Delivers what is left, and does nothing twice.
    void go_on(own_work& of) {
        departures::load& leaving = *of.leaving;
        bool has_told = false;
        while (of.told < leaving.told.size()) {
            const departures::completion one = std::move(leaving.told[of.told++]);
            attempt([&] { one.tell(); });
            has_told = true;
        }
        if (std::exchange(leaving.has_changed, false) || has_told) {  // somebody else may have said so when not all of it was known
            tell_changed();
        }
        while (of.reported < leaving.problems.size()) {
            const failure one = std::move(leaving.problems[of.reported++]);
            attempt([&] { shared_->report(one); });
        }
        while (of.announced < leaving.announced.size()) {
            const failure one = std::move(leaving.announced[of.announced++]);
            attempt([&] { shared_->announce(one); });
        }
        while (of.called < leaving.calls.size()) {
            const departures::group_request one = std::move(leaving.calls[of.called++]);
            attempt([&] { groups_.carry_out(one); });
        }
    }

    /// The outermost first, in the order in which they were gathered.
    void go_on_with_outer(own_work* one) {
        if (one != nullptr) {
            go_on_with_outer(one->outer);
            if (one->of == this && one->leaving != nullptr) {
                go_on(*one);
            }
        }
    }

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

    void reconcile() {
        if (reconciler_.reconcile()) {
            tell_changed();
        }
    }

    /// Who is about to wait says so, then looks once more; who changes something changes the word, then looks whether somebody waits.
    void tell_changed() noexcept {
        changed_.fetch_add(1, std::memory_order_seq_cst);
        if (waiting_.load(std::memory_order_seq_cst) != 0) {
            platform_.wake_all(changed_);
        }
    }

    // ---- replica_listener ----

    void hosted(const hosted_partition& one) override { groups_.hosted(one); }

    void progressed(hosted_partition& one, bool has_committed, std::chrono::nanoseconds now) override {
        if (one.id == metadata_id) {
            if (has_committed) {
                metadata_.apply(one);
            }
            controller_.progressed(one, now);
        }
        groups_.progressed(one);
        answers_.progressed(one, now);
        const bool is_other_leader = std::exchange(one.leader_seen, one.machine.leader()) != one.machine.leader();
        const bool is_other_epoch = std::exchange(one.epoch_seen, one.machine.epoch()) != one.machine.epoch();
        if ((is_other_leader || is_other_epoch) && one.machine.leader() != replication::no_node) {
            board_.led_anew(one.id, now);
        }
        board_.progressed(one.id, now);
    }

    void was_cut(hosted_partition& one) override {
        if (one.id == metadata_id) {
            metadata_.was_cut(one);
        }
    }

    // ---- request_board::route ----

    [[nodiscard]] std::int32_t leader_of(const partition_id& which) const noexcept override {
        const hosted_partition* const home = replicas_.find(which);
        return home == nullptr ? replication::no_node : home->machine.leader();
    }

    void doubt_leader(const partition_id& which, std::int32_t node, std::chrono::nanoseconds now) override {
        if (hosted_partition* const home = replicas_.find(which)) {
            replicas_.touch(*home);
            home->machine.doubt_leader(node, now);
        }
    }

    [[nodiscard]] const std::string* deleted_topic_of(const partition_id& which) const noexcept override {
        return replicas_.find(which) == nullptr ? metadata_.name_of_deleted(which.topic) : nullptr;
    }

    [[nodiscard]] std::optional<offset> shown_here(const partition_id& which) const noexcept override {
        const hosted_partition* const home = replicas_.find(which);
        const bool is_healthy = home != nullptr && home->machine.leader() != replication::no_node && home->late_until <= home->machine.high_watermark();
        return is_healthy ? std::optional{home->machine.high_watermark()} : std::nullopt;
    }

    void note_late(const partition_id& which, offset end) noexcept override { replicas_.find(which)->late_until = end; }

    [[nodiscard]] std::string name_of(const partition_id& which) const override {
        const hosted_partition* const home = replicas_.find(which);
        return home == nullptr ? std::string{"a partition"} : home->log.name().text();
    }

    void append_own(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another, std::vector<std::byte>& frame, std::chrono::nanoseconds now) override {
        produce_.append(to, target, acks, follows_another, frame, now);
    }

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
