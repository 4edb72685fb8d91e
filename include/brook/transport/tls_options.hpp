/// \file brook/transport/tls_options.hpp
/// What a transport over TLS can be told.
/// Edge of floor 3, transport.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI {

/// How a tls_transport reaches the others: as tcp_options, where every field of the same name is explained, and with certificates.
///
/// A node's certificate names it: among its subject alternative names is the URI `brook:node:` and the node's number, such as
/// `brook:node:2`, and no other of that kind. Both sides ask for the other's and verify it against `ca_file` alone; so the
/// authority in there should sign for this cluster and nobody else. Where a certificate has an extended key usage it has both,
/// serverAuth and clientAuth: each node is both.
struct tls_options {
    int node_id = 0;
    std::string listen{};
    std::vector<tcp_peer> peers{};
    std::string cluster_id{};

    std::string certificate_file{};  ///< PEM: this node's, then those between it and the authority [ssl.keystore.certificate.chain]
    std::string private_key_file{};  ///< PEM, not encrypted; readable by its owner alone, or it is refused [ssl.keystore.key]
    std::string ca_file{};           ///< PEM: who may sign. The system's own are not asked [ssl.truststore.certificates]

    /// on_error hears of this node's own certificate when so little of its time is left, when it starts and once a day.
    std::chrono::nanoseconds expiry_warning = std::chrono::hours{30 * 24};

    std::size_t max_frame_bytes = std::size_t{8} << 20;
    std::size_t handshake_frame_bytes = std::size_t{16} << 10;  ///< also of all certificates that one side shows
    std::size_t handshake_bytes = std::size_t{64} << 10;
    std::size_t max_connections = 1'024;
    std::size_t max_connections_per_address = 64;
    std::size_t queue_bytes = std::size_t{32} << 20;

    std::chrono::nanoseconds connect_timeout = std::chrono::seconds{5};
    std::chrono::nanoseconds handshake_timeout = std::chrono::seconds{5};
    std::chrono::nanoseconds idle_timeout = std::chrono::seconds{60};
    std::chrono::nanoseconds write_timeout = std::chrono::seconds{10};
    std::chrono::nanoseconds keep_alive_interval = std::chrono::seconds{3};
    std::chrono::nanoseconds answer_timeout = std::chrono::seconds{10};
    std::chrono::nanoseconds reconnect_backoff = std::chrono::milliseconds{50};
    std::chrono::nanoseconds reconnect_backoff_max = std::chrono::seconds{1};

    callback<void(const failure&)> on_error{};
    std::chrono::nanoseconds report_interval = std::chrono::seconds{10};
    os::platform* platform = nullptr;
};

namespace transport_room {

/// What both kinds have in common. TLS needs no leave to go anywhere.
[[nodiscard]] inline tcp_options socket_options(const tls_options& from) {
    return {.node_id = from.node_id,
            .listen = from.listen,
            .peers = from.peers,
            .cluster_id = from.cluster_id,
            .allow_insecure = true,
            .max_frame_bytes = from.max_frame_bytes,
            .handshake_frame_bytes = from.handshake_frame_bytes,
            .handshake_bytes = from.handshake_bytes,
            .max_connections = from.max_connections,
            .max_connections_per_address = from.max_connections_per_address,
            .queue_bytes = from.queue_bytes,
            .connect_timeout = from.connect_timeout,
            .handshake_timeout = from.handshake_timeout,
            .idle_timeout = from.idle_timeout,
            .write_timeout = from.write_timeout,
            .keep_alive_interval = from.keep_alive_interval,
            .answer_timeout = from.answer_timeout,
            .reconnect_backoff = from.reconnect_backoff,
            .reconnect_backoff_max = from.reconnect_backoff_max,
            .on_error = from.on_error,
            .report_interval = from.report_interval,
            .platform = from.platform};
}

}  // namespace transport_room

}  // namespace brook::inline BROOK_ABI
