/// \file brook/replication/transport.hpp
/// How brokers of a cluster reach each other: datagrams that may get lost. The one interface to write for another network.
/// Floor 3, replication. Those that come with brook are in the room transport.
#pragma once

#include <cstddef>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// One node's place in a network of numbered nodes, which are brokers by their node_id.
///
/// It carries datagrams: pieces of bytes that come whole or not at all. It may lose them, repeat them, let them overtake each
/// other and keep them for any time; brook sends again what matters, and verifies every datagram, so that even one whose bytes
/// were changed on the way does no harm. What a transport must not do: make datagrams of its own, join or split them, or hand
/// over what was sent to another node. It should lose little: every loss costs brook a timeout.
///
/// To write one takes four functions, all of them below. Over a network with connections: a thread that makes the connections,
/// makes them anew when they break and reads from them; `send` puts a copy of the datagram into a queue of bounded size for its
/// node, and drops it when that is full or when there is no connection.
///
///     class radio final : public brook::transport {
///     public:
///         void start(receiver& to) override;             // remember `to`, open the device, start the thread that reads
///         void stop() noexcept override;                 // end that thread: when it is joined, nothing is being told any more
///         void send(int to, brook::bytes datagram) noexcept override;
///         std::size_t largest_datagram() const noexcept override { return 64 * 1024; }
///     };
///     brook::broker broker{"data", {.node_id = 1, .peers = {1, 2, 3}, .transport = std::make_shared<radio>(…)}};
///
/// Threads   `send` and `largest_datagram` are shared, also with `start` and `stop`; these two are confined.
/// Lifetime  owned by a std::shared_ptr, whose last owner may be the broker. Destroying one that runs stops it.
class transport {
public:
    /// Told of every datagram that comes. A broker has one; a test of a transport writes its own.
    class receiver {
    public:
        receiver() = default;
        receiver(const receiver&) = delete;
        receiver& operator=(const receiver&) = delete;

        /// A datagram has come, and this is all of it. There is no answer to give: what is not understood is dropped.
        ///
        /// `from` is the node that it came from as far as the transport knows, which may be no more than what that node says of
        /// itself. It is good for sending an answer to; who relies on more needs a network that vouches for it (TLS), or finds
        /// it in the datagram. Neither the number nor the bytes need to be what any broker of this cluster has sent.
        ///
        /// It neither waits for another datagram nor takes long: behind it others are waiting, of all nodes perhaps. It may
        /// call `send` and `stop`.
        ///
        /// Threads   any thread, and several at once, with datagrams of the same node too: a transport need not take turns. Also
        ///           a thread that is inside of another node's `send`, where both are in one process: so whoever holds a lock
        ///           when it calls `send` must not need that lock, nor wait for its holder, here.
        /// Lifetime  the bytes are the transport's, and valid until this returns; they are not aligned to anything.
        virtual void receive(int from, bytes datagram) noexcept = 0;

    protected:
        ~receiver() = default;
    };

    transport() = default;
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;
    virtual ~transport() = default;

    /// From here on datagrams may come, also before this returns, and `send` sends them.
    ///
    /// Requires  it does not run. After `stop` it may be started again, with another receiver.
    /// Lifetime  `to` lives until `stop` has returned.
    /// Errors    brook::error where there is no way to the network, such as an address that is taken: it does not run then. Nodes
    ///           that do not answer yet are no error.
    virtual void start(receiver& to) = 0;

    /// When it returns no datagram comes any more, and none is being told: the receiver may go. It waits for what other threads
    /// are just telling. What `send` took and has not left yet may be lost.
    ///
    /// Called from inside of `receive` it waits for the other threads only, and the receiver may go when that call has returned,
    /// which a second `stop` from outside waits for. It does nothing where the transport does not run.
    virtual void stop() noexcept = 0;

    /// Sends a datagram to a node, or loses it. It never waits for the other side, and says nothing of what became of it.
    ///
    /// Lost are at least those to a node that nobody knows, or that does not run; that are larger than `largest_datagram`; and
    /// those that are sent while this transport does not run. Nobody sends to the node itself.
    ///
    /// Threads   any, and several at once; also from inside of `receive`.
    /// Lifetime  the bytes are the caller's, and used until this returns: what has to wait is copied.
    virtual void send(int to, bytes datagram) noexcept = 0;

    /// In bytes, at least 64 KiB: brook sends nothing larger. All nodes of a cluster should say the same. A record that does not
    /// fit into one datagram, with some hundred bytes of what surrounds it, cannot be replicated. The answer never changes.
    [[nodiscard]] virtual std::size_t largest_datagram() const noexcept = 0;
};

}  // namespace brook::inline BROOK_ABI
