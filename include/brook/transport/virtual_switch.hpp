/// \file brook/transport/virtual_switch.hpp
/// What a memory_network and its transports share: who is attached where, what is cut, what is on its way.
/// Edge of floor 3, transport.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
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

    [[nodiscard]] std::uint64_t next() noexcept;

    /// From 0 to below `count`. The first ones are likelier by count / 2^64.
    [[nodiscard]] std::uint64_t below(std::uint64_t count) noexcept { return next() % count; }

    /// True at this rate, from 0 to 1. Rate 0 takes nothing from the sequence.
    [[nodiscard]] bool happens(double rate) noexcept;

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

    explicit virtual_switch(const memory_network_options& options);
    virtual_switch(const virtual_switch&) = delete;
    virtual_switch& operator=(const virtual_switch&) = delete;

    [[nodiscard]] std::size_t largest_datagram() const noexcept { return options_.largest_datagram; }

    // ---- ports ----

    [[nodiscard]] std::shared_ptr<port> join(int id);

    /// What comes to the node goes to this port from here on.
    void start(const std::shared_ptr<port>& at, transport::receiver& to) noexcept;

    /// See transport::stop.
    void stop(port& at) noexcept;

    /// See transport::send.
    void send(const port& from, int to, bytes datagram) noexcept;

    // ---- cuts, pauses, faults ----

    void cut(int from, int to);

    void isolate(int id);

    void pause(int id);

    void resume(int id);

    void set_faults(const memory_network_faults& faults);

    void set_faults(int from, int to, const memory_network_faults& faults);

    void heal_link(int from, int to);

    void heal_node(int id);

    void heal();

    [[nodiscard]] memory_network_statistics statistics() const;

    // ---- manual ----

    void set_time(nanoseconds now);

    std::size_t deliver(nanoseconds now);

    [[nodiscard]] std::optional<nanoseconds> next_due() const;

    /// Ends the thread. No port runs any more, and none will; only a `receive` that has stopped its own port may still go on.
    void end() noexcept;

private:
    struct parcel {
        nanoseconds due;
        std::uint64_t number;  // in the order of sending: no two are the same
        int from;
        int to;
        bool keeps_order;  // counts in its link's `queued`
        bool has_come;     // to a node that was paused: cuts do not reach it any more
        std::vector<std::byte> contents;

        [[nodiscard]] static bool is_later(const parcel& one, const parcel& other) noexcept;
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

    [[nodiscard]] static telling*& innermost() noexcept;

    [[nodiscard]] bool is_telling_here() const noexcept;

    [[nodiscard]] node* find_node(int id) noexcept;

    node& node_of(int id);

    [[nodiscard]] std::size_t node_place(int id) const noexcept;

    [[nodiscard]] const link* find_link(int from, int to) const noexcept;

    link& link_of(int from, int to);

    [[nodiscard]] std::size_t link_place(int from, int to) const noexcept;

    [[nodiscard]] bool is_cut(int from, int to) noexcept;

    [[nodiscard]] memory_network_faults faults_of(int from, int to) const noexcept;

    static void heal(link& healed) noexcept;

    [[nodiscard]] nanoseconds now() noexcept { return options_.manual ? manual_now_ : platform_.monotonic(); }

    [[nodiscard]] static nanoseconds later(nanoseconds time, nanoseconds by) noexcept;

    /// One copy of a datagram, on its way.
    ///
    /// Errors    std::bad_alloc and those of a thread's start, with nothing done and the lock held.
    void dispatch(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram, const memory_network_faults& faults);

    [[nodiscard]] nanoseconds delay(const memory_network_faults& faults) noexcept;

    void corrupt(mutable_bytes contents) noexcept;

    /// Into the queue, or to what is kept for a paused node.
    void put_away(node& target, link& over, bool is_kept, parcel what);

    /// So that `count` more are put in without an error.
    static void make_room(std::vector<parcel>& all, std::size_t count);

    /// Requires  that the queue has room.
    void enqueue(link& over, parcel what) noexcept;

    /// Takes the first out of the queue and brings it to its node. Returns whether somebody was told.
    bool bring_first(std::unique_lock<std::mutex>& lock) noexcept;

    void settle(node& target, const parcel& what) noexcept;

    bool keep(node& target, parcel& what) noexcept;

    void leave_queue(const parcel& what) noexcept;

    void resume(node& target);

    /// Hands a datagram to who runs at a node, if anybody does, without the lock meanwhile.
    bool tell(std::unique_lock<std::mutex>& lock, int from, int to, bytes datagram) noexcept;

    void announce(port& at) noexcept;

    void require_manual() const;

    // ---- the thread ----

    void need_thread();

    void run() noexcept;

    /// Wakes the thread, if it sleeps: it has something else to wait for.
    void ring() noexcept;

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

#if !BROOK_SEPARATE_COMPILATION
#include <brook/transport/bodies/virtual_switch.hpp>
#endif
