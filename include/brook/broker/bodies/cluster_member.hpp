/// \file brook/broker/bodies/cluster_member.hpp
/// The functions that cluster_member.hpp declares.
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

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_controller.hpp>
#include <brook/broker/cluster_member.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/cluster_watch.hpp>
#include <brook/broker/datagram.hpp>
#include <brook/broker/datagram_inbox.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/broker/request_client.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_reconciler.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/worker_thread.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE void cluster_member::start() {
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

BROOK_INLINE void cluster_member::stop() noexcept {
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

BROOK_INLINE topic_handle cluster_member::create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) {
    return admin_.create_topic(name, options, key, value);
}

BROOK_INLINE void cluster_member::produce(const partition_id& to, std::shared_ptr<produce_request> batch) {
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

BROOK_INLINE std::optional<replication_state> cluster_member::state_of(const partition_id& which) const {
    return hold([&] { return replicas_.state_of(which); });
}

BROOK_INLINE void cluster_member::force_unclean(const partition_id& which) {
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

BROOK_INLINE failure cluster_member::transfer(const partition_id& which, int to) {
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

BROOK_INLINE std::string cluster_member::why_unknown(std::string_view topic) const {
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

BROOK_INLINE std::vector<failure> cluster_member::conditions() const {
    return hold([this] { return conditions_now(); });
}

BROOK_INLINE std::optional<std::chrono::nanoseconds> cluster_member::look_after(std::chrono::nanoseconds now) {
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

BROOK_INLINE std::chrono::nanoseconds cluster_member::pump() {
    if (!is_running_.load(std::memory_order_acquire)) {
        return departures::never;
    }
    sync_due();
    return round();
}

BROOK_INLINE void cluster_member::await(std::uint32_t seen, std::chrono::nanoseconds until) {
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

BROOK_INLINE std::vector<std::int32_t> cluster_member::in_order(const std::vector<int>& peers) {
    std::vector<std::int32_t> all(peers.begin(), peers.end());
    std::sort(all.begin(), all.end());
    return all;
}

BROOK_INLINE failure cluster_member::failure_without_memory(const std::exception& why) noexcept {
    try {
        return {std::make_error_code(std::errc::not_enough_memory), std::string{"nothing was written: "} + why.what()};
    } catch (const std::exception&) {
        return {std::make_error_code(std::errc::not_enough_memory), {}};
    }
}

BROOK_INLINE std::chrono::nanoseconds cluster_member::work_meanwhile() {
    go_on_with_outer(innermost_);
    std::chrono::nanoseconds again = departures::never;
    if (!core_.is_closed()) {
        reconcile();
        again = reconciler_.again_at().value_or(again);
    }
    return std::min(again, pump());
}

BROOK_INLINE void cluster_member::receive(int from, bytes whole) noexcept {
    const bool is_peer = std::find(peers_.begin(), peers_.end(), from) != peers_.end();
    const std::size_t waiting = inbox_.put(from, whole, is_peer ? from : replication::no_node);
    if (waiting > 0 && (whole.size() > most_at_once || waiting > 4 * most_at_once || !has_taken_at_once())) {
        wake_round();
    }
}

BROOK_INLINE void cluster_member::wake_round() noexcept {
    rounds_.wake();
    if (working_.load(std::memory_order_seq_cst) != 0) {
        tell_changed();
    }
}

BROOK_INLINE bool cluster_member::has_taken_at_once() noexcept {
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

BROOK_INLINE void cluster_member::keep_rest(departures::load&& all, departures::load& leaving, std::list<departures::load>& room) {
    leaving = std::move(all);
    if (leaving.has_rest()) {
        room.front().take_rest(leaving);
        const std::scoped_lock guard{undelivered_mutex_};
        undelivered_.splice(undelivered_.end(), room);
    }
}

BROOK_INLINE void cluster_member::deliver_rest() {
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

BROOK_INLINE std::chrono::nanoseconds cluster_member::round() {
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

BROOK_INLINE void cluster_member::take_all(const std::vector<datagram_inbox::arrived>& come, std::chrono::nanoseconds now) {
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

BROOK_INLINE void cluster_member::take(std::int32_t from, bytes whole, std::chrono::nanoseconds now) {
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

BROOK_INLINE void cluster_member::serve(const answer_to& to, request_kind kind, bytes body, std::chrono::nanoseconds now) {
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

BROOK_INLINE void cluster_member::greet(std::chrono::nanoseconds now) {
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

BROOK_INLINE std::string cluster_member::why_leaderless() const {
    return hold([this] {
        const hosted_partition& home = *replicas_.find(metadata_id);
        return home.machine.leader() != replication::no_node ? std::string{} : watch_.why_leaderless(home.machine.end() == 0, metadata_.sum());
    });
}

BROOK_INLINE std::vector<failure> cluster_member::conditions_now() const {
    std::vector<failure> all = watch_.conditions(metadata_.sum(), groups_.is_used(), core_.directory());
    replicas_.add_conditions(all);
    return all;
}

BROOK_INLINE void cluster_member::announce_new() {
    std::vector<std::string> texts;
    for (failure& why : conditions_now()) {
        texts.push_back(why.text);
        if (std::find(announced_.begin(), announced_.end(), why.text) == announced_.end()) {
            out_.announce(std::move(why));
        }
    }
    announced_ = std::move(texts);
}

BROOK_INLINE void cluster_member::sync_due() {
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

BROOK_INLINE void cluster_member::doubt() noexcept {
    replicas_.doubt();
    out_.drop_letters();
}

BROOK_INLINE void cluster_member::deliver(departures::load& leaving) {
    send_off(leaving);
    own_work here{*this, &leaving};
    go_on(here);
    if (leaving.is_sooner) {
        rounds_.wake();
    }
}

BROOK_INLINE void cluster_member::send_off(departures::load& leaving) {
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

BROOK_INLINE bool cluster_member::is_within_own_work() const noexcept {
    for (const own_work* one = innermost_; one != nullptr; one = one->outer) {
        if (one->of == this) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE void cluster_member::go_on(own_work& of) {
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

BROOK_INLINE void cluster_member::go_on_with_outer(own_work* one) {
    if (one != nullptr) {
        go_on_with_outer(one->outer);
        if (one->of == this && one->leaving != nullptr) {
            go_on(*one);
        }
    }
}

BROOK_INLINE void cluster_member::reconcile() {
    if (reconciler_.reconcile()) {
        tell_changed();
    }
}

BROOK_INLINE void cluster_member::tell_changed() noexcept {
    changed_.fetch_add(1, std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) != 0) {
        platform_.wake_all(changed_);
    }
}

BROOK_INLINE void cluster_member::progressed(hosted_partition& one, bool has_committed, std::chrono::nanoseconds now) {
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

BROOK_INLINE void cluster_member::was_cut(hosted_partition& one) {
    if (one.id == metadata_id) {
        metadata_.was_cut(one);
    }
}

BROOK_INLINE std::int32_t cluster_member::leader_of(const partition_id& which) const noexcept {
    const hosted_partition* const home = replicas_.find(which);
    return home == nullptr ? replication::no_node : home->machine.leader();
}

BROOK_INLINE void cluster_member::doubt_leader(const partition_id& which, std::int32_t node, std::chrono::nanoseconds now) {
    if (hosted_partition* const home = replicas_.find(which)) {
        replicas_.touch(*home);
        home->machine.doubt_leader(node, now);
    }
}

BROOK_INLINE const std::string* cluster_member::deleted_topic_of(const partition_id& which) const noexcept {
    return replicas_.find(which) == nullptr ? metadata_.name_of_deleted(which.topic) : nullptr;
}

BROOK_INLINE std::optional<offset> cluster_member::shown_here(const partition_id& which) const noexcept {
    const hosted_partition* const home = replicas_.find(which);
    const bool is_healthy = home != nullptr && home->machine.leader() != replication::no_node && home->late_until <= home->machine.high_watermark();
    return is_healthy ? std::optional{home->machine.high_watermark()} : std::nullopt;
}

BROOK_INLINE std::string cluster_member::name_of(const partition_id& which) const {
    const hosted_partition* const home = replicas_.find(which);
    return home == nullptr ? std::string{"a partition"} : home->log.name().text();
}

BROOK_INLINE void cluster_member::append_own(const answer_to& to, const partition_id& target, replicated_acks acks, bool follows_another,
                                             std::vector<std::byte>& frame, std::chrono::nanoseconds now) {
    produce_.append(to, target, acks, follows_another, frame, now);
}

}  // namespace brook::inline BROOK_ABI::broker_room
