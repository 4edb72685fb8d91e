/// \file brook/tcp.hpp
/// Brokers of a cluster in several processes or machines, over TCP. Needs Asio (header-only; Debian: libasio-dev); CMake's target
/// brook::tcp brings it. Not part of brook/brook.hpp or brook/replication.hpp, so that who needs no network needs no library for it.
///
///     auto network = std::make_shared<brook::tcp_transport>(brook::tcp_options{
///         .node_id = 1, .listen = "127.0.0.1:9101", .peers = {{1, "127.0.0.1:9101"}, {2, "127.0.0.1:9102"}}});
#pragma once

#include <brook/transport/tcp_options.hpp>
#include <brook/transport/tcp_transport.hpp>
