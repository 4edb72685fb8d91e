/// \file brook/tls.hpp
/// Brokers of a cluster in several processes or machines, over TLS. Needs Asio and OpenSSL 3 (Debian: libasio-dev, libssl-dev); CMake's
/// target brook::tls brings them.
///
///     auto network = std::make_shared<brook::tls_transport>(brook::tls_options{
///         .node_id = 1, .listen = "10.0.0.1:9101", .peers = {{1, "10.0.0.1:9101"}, {2, "10.0.0.2:9101"}},
///         .certificate_file = "node-1.pem", .private_key_file = "node-1.key", .ca_file = "ca.pem"});
#pragma once

#include <brook/transport/tcp_options.hpp>
#include <brook/transport/tls_options.hpp>
#include <brook/transport/tls_transport.hpp>
