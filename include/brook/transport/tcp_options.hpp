/// \file brook/transport/tcp_options.hpp
/// What a transport over TCP can be told, what it refuses, what it counts.
/// Edge of floor 3, transport.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI {

/// Where a node of the cluster is reached: "10.0.0.2:9101", "[fd00::2]:9101" or "broker-2.example:9101". A name is looked up anew
/// for each connection, on a thread of Asio's own, which `stop` may have to wait for as long as the system's resolver takes.
struct tcp_peer {
    int node_id = 0;
    std::string address;
};

/// How a tcp_transport reaches the others. Each limit has the default that suits a cluster in one place; Kafka's key is named
/// beside it in brackets where there is one.
struct tcp_options {
    int node_id = 0;                 ///< this node's own number
    std::string listen{};            ///< where others reach it, as digits: "127.0.0.1:9101", "[::1]:9101", "0.0.0.0:9101"
    std::vector<tcp_peer> peers{};   ///< all nodes, the same in each; this one's own line is not needed and does no harm
    std::string cluster_id{};        ///< up to 32 bytes: who says another is refused. Guards against mistakes, not against enemies

    /// Plain TCP hides nothing and knows nobody: who reaches the port may say that it is any node, and everything is open to read.
    /// So it is refused off loopback unless this says that the network is one's own. For others there is tls_transport.
    bool allow_insecure = false;

    /// What a frame may take, with its 8 bytes of header; checked before memory is taken for it. `largest_datagram` is this without
    /// them. The same in all nodes: others are refused. From 64 KiB and the header to 1 GiB [replica.fetch.response.max.bytes].
    std::size_t max_frame_bytes = std::size_t{8} << 20;

    /// Of who has not proved yet that it is a node: how large one message may be, and what all its bytes may come to.
    std::size_t handshake_frame_bytes = std::size_t{16} << 10;
    std::size_t handshake_bytes = std::size_t{64} << 10;

    std::size_t max_connections = 1'024;             ///< that have come in [max.connections]
    std::size_t max_connections_per_address = 64;    ///< of these from one address [max.connections.per.ip]
    std::size_t queue_bytes = std::size_t{32} << 20; ///< what waits for one node, or is on its way; beyond it datagrams are lost

    // ---- deadlines: none of the states that a connection can be in lasts longer without the other side doing something ----

    std::chrono::nanoseconds connect_timeout = std::chrono::seconds{5};     ///< name and connection [socket.connection.setup.timeout.ms]
    std::chrono::nanoseconds handshake_timeout = std::chrono::seconds{5};   ///< from there until both have said who they are
    std::chrono::nanoseconds idle_timeout = std::chrono::seconds{60};       ///< without a whole frame or a ping [connections.max.idle.ms]
    std::chrono::nanoseconds write_timeout = std::chrono::seconds{10};      ///< without a byte taken of what is to be written
    std::chrono::nanoseconds keep_alive_interval = std::chrono::seconds{3}; ///< between pings, which say that one is still there …
    std::chrono::nanoseconds answer_timeout = std::chrono::seconds{10};     ///< … and how long one may go unanswered

    /// Between attempts, doubled from one to the next, each a fifth shorter or longer by chance [reconnect.backoff.ms, …max.ms].
    std::chrono::nanoseconds reconnect_backoff = std::chrono::milliseconds{50};
    std::chrono::nanoseconds reconnect_backoff_max = std::chrono::seconds{1};

    /// Told what was refused, lost or not reached, with who and why, on the transport's thread; it must not throw, nor take long, and may
    /// call `stop`. Of one kind and one node once per report_interval, with how many there were meanwhile: strangers cannot make
    /// it a flood.
    callback<void(const failure&)> on_error{};
    std::chrono::nanoseconds report_interval = std::chrono::seconds{10};

    os::platform* platform = nullptr;  ///< null: this system. For time and chance; outlives the transport
};

/// Why a connection was refused or given up.
enum class refusal {
    connection_limit,            ///< max_connections are there already
    address_limit,               ///< max_connections_per_address are there from that address
    not_brook,                   ///< the first bytes are of no protocol that is known here
    http_spoken,                 ///< somebody speaks HTTP
    tls_spoken,                  ///< somebody speaks TLS to a port without it
    plain_spoken,                ///< somebody speaks brook without TLS, or something else that is not TLS, to a port with it
    protocol_version,            ///< no version of the protocol is understood on both sides
    cluster_id,                  ///< of another cluster
    frame_bytes,                 ///< its max_frame_bytes is another
    unknown_node,                ///< none of the peers
    wrong_node,                  ///< it wants, or is, another node than is here, or is wanted
    handshake_bytes,             ///< more of them than handshake_frame_bytes or handshake_bytes
    frame,                       ///< a frame that is too large, or none at all: the stream has lost its step
    connect_timeout,             ///< a deadline passed; so the next four
    handshake_timeout,
    idle_timeout,
    write_timeout,
    answer_timeout,
    unreachable,                 ///< nobody answers at the address
    lost,                        ///< the other side, or the network, has ended the connection
    replaced,                    ///< the same node has come again
    out_of_resources,            ///< no memory or no descriptors here
    tls_version,                 ///< TLS older than 1.3
    certificate_missing,         ///< it has shown none
    certificate_untrusted,       ///< signed by somebody else than the authority in ca_file
    certificate_self_signed,     ///< signed by nobody but itself
    certificate_expired,         ///< its time has passed
    certificate_not_yet_valid,   ///< its time has not come
    certificate_wrong_node,      ///< good, and of another node, or of none
    certificate_refused,         ///< the other side does not take the one that this side has shown
    tls_failed,                  ///< anything else that TLS does not like
    certificate_expiring,        ///< nothing was refused: this node's own certificate has little time left
    count_of_refusals            ///< how many there are
};

inline constexpr std::size_t refusal_count = static_cast<std::size_t>(refusal::count_of_refusals);

/// By the enumerator's name.
[[nodiscard]] constexpr std::string_view name_of(refusal why) noexcept {
    constexpr std::array<std::string_view, refusal_count> names{
        "connection_limit", "address_limit", "not_brook", "http_spoken", "tls_spoken", "plain_spoken", "protocol_version", "cluster_id",
        "frame_bytes", "unknown_node", "wrong_node", "handshake_bytes", "frame", "connect_timeout", "handshake_timeout", "idle_timeout",
        "write_timeout", "answer_timeout", "unreachable", "lost", "replaced", "out_of_resources", "tls_version", "certificate_missing",
        "certificate_untrusted", "certificate_self_signed", "certificate_expired", "certificate_not_yet_valid", "certificate_wrong_node",
        "certificate_refused", "tls_failed", "certificate_expiring"};
    return why < refusal::count_of_refusals ? names[static_cast<std::size_t>(why)] : "?";
}

/// What has become of datagrams and connections since the transport was made.
struct tcp_statistics {
    std::uint64_t sent = 0;              ///< taken into a queue; they may be lost with their connection
    std::uint64_t sent_bytes = 0;        ///< of these, without headers
    std::uint64_t received = 0;          ///< told to the receiver
    std::uint64_t received_bytes = 0;
    std::uint64_t unreachable = 0;       ///< lost: no such node, or no connection to it just now
    std::uint64_t overflowed = 0;        ///< lost: beyond queue_bytes, or no memory
    std::uint64_t oversized = 0;         ///< lost: larger than largest_datagram
    std::uint64_t connected = 0;         ///< connections made to others, as often as they were
    std::uint64_t accepted = 0;          ///< connections of others that have said who they are, as often as they did
    std::uint64_t incoming = 0;          ///< connections that others have here just now, said or not
    std::uint64_t pings_answered = 0;    ///< by those who are connected to: they are still there
    std::array<std::uint64_t, refusal_count> refused{};

    [[nodiscard]] std::uint64_t of(refusal why) const noexcept { return refused[static_cast<std::size_t>(why)]; }
};

}  // namespace brook::inline BROOK_ABI
