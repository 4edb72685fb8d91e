/// \file brook/transport/virtual_switch.hpp
/// What a memory_network and its transports share: who is attached where, what is cut, what is on its way.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/thread.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/memory_network_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Chance that is the same on every machine, by one seed. Not for secrets.
///
/// Source    SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
/// Threads   confined.
class random_sequence {
public:
    explicit random_sequence(std::uint64_t seed) noexcept : state_{seed} {}

    [[nodiscard]] std::uint64_t next() noexcept {
        state_ += 0x9E37'79B9'7F4A'7C15;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D0'49BB'1331'11EB;
        return mixed ^ (mixed >> 31);
    }

    /// From 0 to below `count`. The first ones are likelier by count / 2^64.
    [[nodiscard]] std::uint64_t below(std::uint64_t count) noexcept { return next() % count; }

    /// True at this rate, from 0 to 1. Rate 0 takes nothing from the sequence.
    [[nodiscard]] bool happens(double rate) noexcept {
        return rate > 0 && static_cast<double>(next() >> 11) * 0x1p-53 < rate;
    }

private:
    std::uint64_t state_;
};

/// Where one transport is attached. All but the node is guarded by the switch's mutex, and `told` may be slept on.
struct port {
    explicit port(int number) noexcept : node{number} {}

    const int node;
    transport::receiver* to = nullptr;    // null: it does not run
    std::size_t telling = 0;              // calls of `receive` that go on
    std::size_t stopped_inside = 0;       // those of them whose thread has called `stop` meanwhile
    std::size_t waiting = 0;              // calls of `stop` that wait for the others
    std::atomic<std::uint32_t> told{0};  // changes when one has returned and somebody waits
};

/// Takes datagrams from ports and brings them to others, at once or later, or not at all.
///
/// Without a fault a datagram is told on the thread that sends it: no queue, no copy, no other thread. What has to wait lies in
/// one queue by the time when it is due, which a thread of the switch's own empties; it starts with the first such datagram.
/// There also goes what is sent from inside of a `receive`: calls of it are never nested, so that two nodes that answer each
/// other for ever take no stack, and do not keep the thread that began it.
///
/// A link is what leads from one node to one other, and keeps the order: while anything of it is in the queue, what is sent
/// goes into the queue too, and is due no earlier. Datagrams that are reordered are left out of that.
///
/// `receive` is called without the mutex; how many go on at each port is counted, and `stop` waits for those. Each thread knows
/// in which it is itself (`telling`).
///
/// Threads   shared.
class virtual_switch : public std::enable_shared_from_this<virtual_switch> {
public:
    using nanoseconds = std::chrono::nanoseconds;

    explicit virtual_switch(const memory_network_options& options)
        : options_{options}, platform_{options.platform != nullptr ? *options.platform : os::posix()}, random_{options.seed} {
        check(options);
    }
    virtual_switch(const virtual_switch&) = delete;
    virtual_switch& operator=(const virtual_switch&) = delete;

    [[nodiscard]] std::size_t largest_datagram() const noexcept { return options_.largest_datagram; }

    // ---- ports ----

    [[nodiscard]] std::shared_ptr<port> join(int id) {
        auto made = std::make_shared<port>(id);
        const std::lock_guard lock{mutex_};
        node_of(id);
        return made;
    }

    /// What comes to the node goes to this port from here on.
    void start(const std::shared_ptr<port>& at, transport::receiver& to) noexcept {
        const std::lock_guard lock{mutex_};
        BROOK_ASSERT(at->to == nullptr);
        at->to = &to;
        find_node(at->node)->at = at;
    }

    /// See transport::stop.
    void stop(port& at) noexcept {
        std::unique_lock lock{mutex_};
        at.to = nullptr;
        if (node* const mine = find_node(at.node); mine->at.get() == &at) {
            mine->at = nullptr;
        }
        bool is_inside = false;
        for (telling* here = innermost(); here != nullptr; here = here->outer) {
            if (here->at == &at) {
                is_inside = true;
                if (!here->has_stopped) {
                    here->has_stopped = true;
                    ++at.stopped_inside;
                    announce(at);  // others that are inside do not wait for this one
                }
            }
        }
        while (at.telling != (is_inside ? at.stopped_inside : 0)) {
            const std::uint32_t seen = at.told.load(std::memory_order_relaxed);
            ++at.waiting;
            lock.unlock();
            platform_.wait(at.told, seen, std::nullopt);
            lock.lock();
            --at.waiting;
        }
    }

    /// See transport::send.
    void send(const port& from, int to, bytes datagram) noexcept {
        std::unique_lock lock{mutex_};
        ++counts_.sent;
        if (datagram.size() > options_.largest_datagram) {
            ++counts_.oversized;
            return;
        }
        if (from.to == nullptr || to == from.node || find_node(to) == nullptr) {
            ++counts_.unreachable;
            return;
        }
        if (is_cut(from.node, to)) {
            ++counts_.cut;
            return;
        }
        const memory_network_faults faults = faults_of(from.node, to);
        if (random_.happens(faults.drop)) {
            ++counts_.dropped;
            return;
        }
        int copies = 1;
        if (random_.happens(faults.duplicate)) {
            ++counts_.duplicated;
            copies = 2;
        }
        for (; copies > 0; --copies) {
            try {
                dispatch(lock, from.node, to, datagram, faults);
            } catch (const std::exception&) {  // no memory, or no thread: lost, and counted, as what is too much
                ++counts_.overflowed;
            }
        }
    }

    // ---- cuts, pauses, faults ----

    void cut(int from, int to) {
        const std::lock_guard lock{mutex_};
        link_of(from, to).is_cut = true;
    }

    void isolate(int id) {
        const std::lock_guard lock{mutex_};
        node_of(id).is_isolated = true;
    }

    void pause(int id) {
        const std::lock_guard lock{mutex_};
        node_of(id).is_paused = true;
    }

    void resume(int id) {
        const std::lock_guard lock{mutex_};
        resume(node_of(id));
    }

    void set_faults(const memory_network_faults& faults) {
        check(faults);
        const std::lock_guard lock{mutex_};
        faults_ = faults;
    }

    void set_faults(int from, int to, const memory_network_faults& faults) {
        check(faults);
        const std::lock_guard lock{mutex_};
        link_of(from, to).faults = faults;
    }

    void heal_link(int from, int to) {
        const std::lock_guard lock{mutex_};
        heal(link_of(from, to));
    }

    void heal_node(int id) {
        const std::lock_guard lock{mutex_};
        node& healed = node_of(id);
        resume(healed);
        healed.is_isolated = false;
        for (link& each : links_) {
            if (each.from == id || each.to == id) {
                heal(each);
            }
        }
    }

    void heal() {
        const std::lock_guard lock{mutex_};
        for (node& each : nodes_) {
            resume(each);
            each.is_isolated = false;
        }
        for (link& each : links_) {
            heal(each);
        }
        faults_ = {};
    }

    [[nodiscard]] memory_network_statistics statistics() const {
        const std::lock_guard lock{mutex_};
        return counts_;
    }

    // ---- manual ----

    void set_time(nanoseconds now) {
        require_manual();
        const std::lock_guard lock{mutex_};
        manual_now_ = std::max(manual_now_, now);
    }

    std::size_t deliver(nanoseconds now) {
        require_manual();
        std::unique_lock lock{mutex_};
        manual_now_ = std::max(manual_now_, now);
        const std::uint64_t end = next_number_;  // what is sent meanwhile comes with the next call: two that answer each other would keep us
        std::size_t count = 0;
        while (!queue_.empty() && queue_.front().due <= manual_now_ && queue_.front().number < end) {
            count += bring_first(lock) ? 1 : 0;
        }
        return count;
    }

    [[nodiscard]] std::optional<nanoseconds> next_due() const {
        require_manual();
        const std::lock_guard lock{mutex_};
        return queue_.empty() ? std::nullopt : std::optional{queue_.front().due};
    }

    /// Ends the thread. No port runs any more, and none will; only a `receive` that has stopped its own port may still go on.
    void end() noexcept {
        {
            const std::lock_guard lock{mutex_};
            is_ending_ = true;
            ring();
        }
        if (!thread_.is_running()) {
            return;
        }
        if (runner_.load(std::memory_order_relaxed) == os::this_thread()) {
            thread_.detach();  // the last transport went inside of a `receive` on that very thread, which holds the switch as long as it runs
        } else {
            thread_.join();
        }
    }

private:
    struct parcel {
        nanoseconds due;
        std::uint64_t number;  // in the order of sending: no two are the same
        int from;
        int to;
        bool keeps_order;  // counts in its link's `queued`
        bool has_come;     // to a node that was paused: cuts do not reach it any more
        std::vector<std::byte> contents;

        [[nodiscard]] static bool is_later(const parcel& one, const parcel& other) noexcept {
            return one.due != other.due ? one.due > other.due : one.number > other.number;
        }
    };

    struct node {
        int id;
        std::shared_ptr<port> at{};  // null: nobody runs there
        bool is_isolated = false;
        bool is_paused = false;
        std::size_t count = 0;  // on their way to it, in the queue and in `kept`
        std::size_t size = 0;
        std::vector<parcel> kept{};  // while it is paused, as they came
    };

    struct link {
        int from;
        int to;
        bool is_cut = false;
        std::optional<memory_network_faults> faults{};
        std::size_t queued = 0;  // in the queue, or just being told from there
        nanoseconds latest{std::numeric_limits<std::int64_t>::min()};  // when the last of those is due
    };

    /// One call of `receive` on this thread.
    struct telling {
        const virtual_switch* by;
        const port* at;
        telling* outer;  // this thread's, which by another network's may be around it
        bool has_stopped = false;
    };

    [[nodiscard]] static telling*& innermost() noexcept {
        static thread_local telling* here = nullptr;
        return here;
    }

    [[nodiscard]] bool is_telling_here() const noexcept {
        const telling* here = innermost();
        while (here != nullptr && here->by != this) {
            here = here->outer;
        }
        return here != nullptr;
    }

    [[nodiscard]] node* find_node(int id) noexcept {
        const std::size_t place = node_place(id);
        return place < nodes_.size() && nodes_[place].id == id ? &nodes_[place] : nullptr;
    }

    node& node_of(int id) {
        const std::size_t place = node_place(id);
        if (place == nodes_.size() || nodes_[place].id != id) {
            insert_at(nodes_, place, node{.id = id});
        }
        return nodes_[place];
    }

    [[nodiscard]] std::size_t node_place(int id) const noexcept {
        return count_before(nodes_.size(), [&](std::size_t i) { return nodes_[i].id < id; });
    }

    [[nodiscard]] const link* find_link(int from, int to) const noexcept {
        const std::size_t place = link_place(from, to);
        return place < links_.size() && links_[place].from == from && links_[place].to == to ? &links_[place] : nullptr;
    }

    link& link_of(int from, int to) {
        const std::size_t place = link_place(from, to);
        if (place == links_.size() || links_[place].from != from || links_[place].to != to) {
            insert_at(links_, place, link{.from = from, .to = to});
        }
        return links_[place];
    }

    [[nodiscard]] std::size_t link_place(int from, int to) const noexcept {
        return count_before(links_.size(), [&](std::size_t i) { return std::pair{links_[i].from, links_[i].to} < std::pair{from, to}; });
    }

    [[nodiscard]] bool is_cut(int from, int to) noexcept {
        const link* const over = find_link(from, to);
        if (over != nullptr && over->is_cut) {
            return true;
        }
        for (const int end : {from, to}) {
            if (const node* const at = find_node(end); at != nullptr && at->is_isolated) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] memory_network_faults faults_of(int from, int to) const noexcept {
        const link* const over = find_link(from, to);
        return over != nullptr && over->faults ? *over->faults : faults_;
    }

    static void heal(link& healed) noexcept {
        healed.is_cut = false;
        healed.faults.reset();
    }

    [[nodiscard]] nanoseconds now() noexcept { return options_.manual ? manual_now_ : platform_.monotonic(); }

    [[nodiscard]] static nanoseconds later(nanoseconds time, nanoseconds by) noexcept {
        return time > nanoseconds::max() - by ? nanoseconds::max() : time + by;
    }

    /// One copy of a datagram, on its way.
    ///
    /// Errors    std::bad_alloc and those of a thread's start, with nothing done and the lock held.
    void dispatch(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram, const memory_network_faults& faults) {
        link& over = link_of(from, to);
        const nanoseconds sent = now();
        nanoseconds due = later(sent, delay(faults));
        const bool is_delayed = due > sent;
        const bool is_reordered = random_.happens(faults.reorder);
        if (is_reordered) {
            due = later(due, nanoseconds{1 + static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(faults.reorder_within.count())))});
        } else if (over.queued > 0) {
            due = std::max(due, over.latest);
        }
        std::vector<std::byte> changed;
        const bool is_corrupted = !datagram.empty() && random_.happens(faults.corrupt);
        if (is_corrupted) {
            changed.assign(datagram.begin(), datagram.end());
            corrupt(changed);
            datagram = changed;
        }

        node& target = *find_node(to);
        const bool comes_now = !options_.manual && !is_reordered && due <= sent && over.queued == 0;
        const bool is_told_here = comes_now && !target.is_paused && !is_telling_here();
        if (!is_told_here) {
            if (target.count >= options_.queue_count || datagram.size() > options_.queue_bytes - target.size) {
                ++counts_.overflowed;
                return;
            }
            put_away(target, over, comes_now && target.is_paused,
                     {due, next_number_, from, to, !is_reordered, false, {datagram.begin(), datagram.end()}});
        }
        counts_.delayed += is_delayed ? 1 : 0;
        counts_.reordered += is_reordered ? 1 : 0;
        counts_.corrupted += is_corrupted ? 1 : 0;
        if (is_told_here) {
            tell(lock, from, to, datagram);
        }
    }

    [[nodiscard]] nanoseconds delay(const memory_network_faults& faults) noexcept {
        const std::int64_t range = (faults.delay_max - faults.delay_min).count();
        return range == 0 ? faults.delay_min
                          : faults.delay_min + nanoseconds{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(range) + 1))};
    }

    void corrupt(mutable_bytes contents) noexcept {
        const std::uint64_t most = std::min<std::uint64_t>(4, contents.size());
        const std::uint64_t count = 1 + random_.below(most);
        const std::uint64_t stride = contents.size() / count;  // each in a part of its own: no change undoes another
        for (std::uint64_t i = 0; i < count; ++i) {
            std::byte& changed = contents[static_cast<std::size_t>(i * stride + random_.below(stride))];
            changed ^= static_cast<std::byte>(1 + random_.below(255));
        }
    }

    /// Into the queue, or to what is kept for a paused node.
    void put_away(node& target, link& over, bool is_kept, parcel what) {
        const std::size_t size = what.contents.size();
        if (is_kept) {
            what.has_come = true;
            target.kept.push_back(std::move(what));
            ++counts_.kept;
        } else {
            need_thread();
            make_room(queue_, 1);
            enqueue(over, std::move(what));
        }
        ++next_number_;
        ++target.count;
        target.size += size;
        ++counts_.under_way;
    }

    /// So that `count` more are put in without an error.
    static void make_room(std::vector<parcel>& all, std::size_t count) {
        if (all.capacity() - all.size() < count) {
            all.reserve(std::max(all.size() + count, 2 * all.capacity()));
        }
    }

    /// Requires  that the queue has room.
    void enqueue(link& over, parcel what) noexcept {
        if (what.keeps_order) {
            over.latest = over.queued == 0 ? what.due : std::max(over.latest, what.due);
            ++over.queued;
        }
        const std::uint64_t number = what.number;
        queue_.push_back(std::move(what));
        std::push_heap(queue_.begin(), queue_.end(), parcel::is_later);
        if (queue_.front().number == number) {
            ring();
        }
    }

    /// Takes the first out of the queue and brings it to its node. Returns whether somebody was told.
    bool bring_first(std::unique_lock<std::mutex>& lock) noexcept {
        std::pop_heap(queue_.begin(), queue_.end(), parcel::is_later);
        parcel first = std::move(queue_.back());
        queue_.pop_back();
        node& target = *find_node(first.to);
        bool is_told = false;
        if (!first.has_come && is_cut(first.from, first.to)) {
            settle(target, first);
            ++counts_.cut;
        } else if (!target.is_paused) {
            settle(target, first);
            is_told = tell(lock, first.from, first.to, first.contents);
        } else if (keep(target, first)) {
            return false;
        } else {
            settle(target, first);
            ++counts_.overflowed;
        }
        leave_queue(first);  // not before it has been told: what follows on its link could overtake it
        return is_told;
    }

    void settle(node& target, const parcel& what) noexcept {
        --target.count;
        target.size -= what.contents.size();
        --counts_.under_way;
    }

    bool keep(node& target, parcel& what) noexcept {
        try {
            make_room(target.kept, 1);
        } catch (const std::exception&) {
            return false;
        }
        leave_queue(what);
        counts_.kept += what.has_come ? 0 : 1;
        what.has_come = true;
        target.kept.push_back(std::move(what));
        return true;
    }

    void leave_queue(const parcel& what) noexcept {
        if (what.keeps_order) {
            --links_[link_place(what.from, what.to)].queued;
        }
    }

    void resume(node& target) {
        if (!target.kept.empty()) {
            need_thread();
            make_room(queue_, target.kept.size());
            for (parcel& each : target.kept) {
                enqueue(links_[link_place(each.from, each.to)], std::move(each));
            }
            target.kept.clear();
        }
        target.is_paused = false;
    }

    /// Hands a datagram to who runs at a node, if anybody does, without the lock meanwhile.
    bool tell(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram) noexcept {
        const std::shared_ptr<port> at = find_node(to)->at;
        if (at == nullptr) {
            ++counts_.unreachable;
            return false;
        }
        telling here{.by = this, .at = at.get(), .outer = innermost()};
        transport::receiver& receiver = *at->to;
        ++at->telling;
        ++counts_.delivered;
        innermost() = &here;
        lock.unlock();
        receiver.receive(from, datagram);
        lock.lock();
        innermost() = here.outer;
        --at->telling;
        at->stopped_inside -= here.has_stopped ? 1 : 0;
        announce(*at);
        return true;
    }

    void announce(port& at) noexcept {
        if (at.waiting > 0) {
            at.told.fetch_add(1, std::memory_order_relaxed);
            platform_.wake_all(at.told);
        }
    }

    void require_manual() const {
        if (!options_.manual) {
            throw_error(errc::illegal_state, "this network brings its datagrams by itself: make it with memory_network_options::manual");
        }
    }

    // ---- the thread ----

    void need_thread() {
        if (!options_.manual && !thread_.is_running()) {
            thread_.start([](void* self) {
                const auto kept = static_cast<virtual_switch*>(self)->shared_from_this();  // see `end`
                kept->run();
            }, this);
        }
    }

    void run() noexcept {
        runner_.store(os::this_thread(), std::memory_order_relaxed);  // asked for by the thread itself, or by one that it is not
        std::unique_lock lock{mutex_};
        while (!is_ending_) {
            std::optional<nanoseconds> pause;
            if (!queue_.empty()) {
                pause = queue_.front().due - platform_.monotonic();
                if (*pause <= nanoseconds{0}) {
                    bring_first(lock);
                    continue;
                }
            }
            const std::uint32_t seen = bell_.load(std::memory_order_relaxed);
            is_asleep_ = true;
            lock.unlock();
            platform_.wait(bell_, seen, pause);
            lock.lock();
            is_asleep_ = false;
        }
    }

    /// Wakes the thread, if it sleeps: it has something else to wait for.
    void ring() noexcept {
        if (is_asleep_) {
            bell_.fetch_add(1, std::memory_order_relaxed);
            platform_.wake_all(bell_);
        }
    }

    const memory_network_options options_;
    os::platform& platform_;
    os::thread thread_;                          // started under the mutex; ended when nobody else is left
    std::atomic<const void*> runner_{nullptr};  // what the thread is to itself
    std::atomic<std::uint32_t> bell_{0};

    mutable std::mutex mutex_;  // guards everything below, and every port; never held while a receiver is told
    random_sequence random_;
    memory_network_faults faults_;
    memory_network_statistics counts_;
    nanoseconds manual_now_{0};
    std::uint64_t next_number_ = 0;
    bool is_asleep_ = false;
    bool is_ending_ = false;
    std::vector<node> nodes_;     // by id
    std::vector<link> links_;     // by from, to; of those that were used or talked about
    std::vector<parcel> queue_;  // a heap: the first that is due is in front
};

}  // namespace brook::inline BROOK_ABI::transport_room
