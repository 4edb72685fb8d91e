/// \file brook/transport/memory_network.hpp
/// A network inside a process, with faults to order: brook is tested on it, and so is what its users write.
/// Edge of floor 3, transport.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/memory_network_options.hpp>
#include <brook/transport/virtual_switch.hpp>

namespace brook::inline BROOK_ABI {

namespace transport_room {

/// A network as long as anybody has a part in it: its owner, or one of the transports.
class switch_owner {
public:
    explicit switch_owner(const memory_network_options& options) : shared_{std::make_shared<virtual_switch>(options)} {}
    switch_owner(const switch_owner&) = delete;
    switch_owner& operator=(const switch_owner&) = delete;
    ~switch_owner() { shared_->end(); }

    [[nodiscard]] virtual_switch& operator*() const noexcept { return *shared_; }
    [[nodiscard]] virtual_switch* operator->() const noexcept { return shared_.get(); }

private:
    std::shared_ptr<virtual_switch> shared_;  // its thread holds it too, for as long as it runs
};

class memory_transport final : public transport {
public:
    memory_transport(std::shared_ptr<switch_owner> network, int id) : network_{std::move(network)}, port_{(*network_)->join(id)} {}
    ~memory_transport() override { memory_transport::stop(); }

    void start(receiver& to) override { (*network_)->start(port_, to); }
    void stop() noexcept override { (*network_)->stop(*port_); }
    void send(int to, bytes datagram) noexcept override { (*network_)->send(*port_, to, datagram); }
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return (*network_)->largest_datagram(); }

private:
    std::shared_ptr<switch_owner> network_;
    std::shared_ptr<port> port_;
};

}  // namespace transport_room

/// Connects transports of one process, and loses, delays, repeats and spoils what they send, as it is told to.
///
///     brook::memory_network network;
///     auto one = network.join(1), two = network.join(2);   // each goes to a broker, as its broker_options::transport
///     network.set_faults({.drop = 0.1, .delay_max = 5ms});
///     network.isolate(1);
///     network.heal();
///
/// As long as nothing is ordered no datagram is lost, and those from one node to another keep their order. A datagram comes on
/// the thread that sends it, before `send` returns; delayed ones, those that a paused node has been kept waiting for, and those
/// that were sent inside of a `receive` come on a thread of the network's own, which starts with the first of them.
///
/// A cut takes effect for what is sent from then on, and for what is still on its way; what a thread is just telling comes.
///
/// With memory_network_options::manual nothing comes by itself: a simulation calls `deliver`, and says what time it is. If all
/// of it happens on one thread, one seed is one run. Rates use the seed in the other mode too, where threads come in between.
///
/// Copies are the same network. It lives on in the transports that joined it. A forked child must not use it.
///
/// Threads   shared.
/// Cost      without faults two turns of one lock a datagram, and no copy of it.
class memory_network {
public:
    memory_network() : memory_network{memory_network_options{}} {}

    /// Errors    invalid_config.
    explicit memory_network(const memory_network_options& options) : network_{std::make_shared<transport_room::switch_owner>(options)} {}

    /// A transport for this node. When it starts, what comes to the node comes to it, whoever had that number before: a node that
    /// starts anew joins anew, be its transport of before stopped, or lost and still running. That one can still send.
    [[nodiscard]] std::shared_ptr<transport> join(int id) { return std::make_shared<transport_room::memory_transport>(network_, id); }

    // ---- cuts: what meets one is lost ----

    /// Nothing comes to this node or from it, until `heal()` or `heal(id)`.
    void isolate(int id) { (*network_)->isolate(id); }

    /// Nothing passes between these two, in either direction.
    void cut(int one, int other) {
        cut_one_way(one, other);
        cut_one_way(other, one);
    }
    void cut_one_way(int from, int to) { (*network_)->cut(from, to); }

    /// Ends everything: cuts, isolation, pauses, faults. What is delayed comes when it would have come.
    void heal() { (*network_)->heal(); }

    /// Ends the cuts between these two, and the faults that were set for the two. An isolated node stays so.
    void heal(int one, int other) {
        (*network_)->heal_link(one, other);
        (*network_)->heal_link(other, one);
    }

    /// Ends what was ordered for this node, and for every two of which it is one. Cuts around others, and the faults for all, stay.
    void heal(int id) { (*network_)->heal_node(id); }

    // ---- pauses ----

    /// What comes to this node is kept until `resume`, and comes then, in order, even if there has been a cut meanwhile. Of what
    /// is sent beyond memory_network_options::queue_count or queue_bytes the later is lost. The node itself can send.
    void pause(int id) { (*network_)->pause(id); }
    void resume(int id) { (*network_)->resume(id); }

    // ---- faults, by rate ----

    /// For all that have none of their own, from here on. `{}` ends them.
    ///
    /// Errors    invalid_config: a rate that is not from 0 to 1, a delay that is negative or longer than a day.
    void set_faults(const memory_network_faults& faults) { (*network_)->set_faults(faults); }

    /// For what is sent between these two, in both directions; in place of those for all, until `heal` of either kind.
    void set_faults(int one, int other, const memory_network_faults& faults) {
        set_faults_one_way(one, other, faults);
        set_faults_one_way(other, one, faults);
    }
    void set_faults_one_way(int from, int to, const memory_network_faults& faults) { (*network_)->set_faults(from, to, faults); }

    [[nodiscard]] memory_network_statistics statistics() const { return (*network_)->statistics(); }

    // ---- with memory_network_options::manual; otherwise errc::illegal_state ----

    /// What is sent from here on is sent at this time, which starts at 0 and never goes back.
    void set_time(std::chrono::nanoseconds now) { (*network_)->set_time(now); }

    /// Sets the time and brings what is due, in the order of the times when it is due, then of sending. What receivers send
    /// meanwhile is brought by the next call, even if it is due now.
    ///
    /// Returns   how many datagrams were told to a receiver.
    std::size_t deliver(std::chrono::nanoseconds now) { return (*network_)->deliver(now); }

    /// When the next one is due, which may be now or past; nullopt: there is none, but for what is kept for paused nodes.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> next_due() const { return (*network_)->next_due(); }

private:
    std::shared_ptr<transport_room::switch_owner> network_;
};

}  // namespace brook::inline BROOK_ABI
