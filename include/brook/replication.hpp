/// \file brook/replication.hpp
/// For programs whose brokers form a cluster, beside brook/brook.hpp: how they reach each other.
///
///     brook::memory_network network;                     // a network inside this process, for tests
///     brook::broker broker{"data/1", {.node_id = 1, .peers = {1, 2, 3}, .transport = network.join(1)}};
///
/// For several processes or machines: brook/tcp.hpp, brook/tls.hpp. For a network of one's own: brook/replication/transport.hpp.
#pragma once

#include <brook/broker/cluster_member.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/memory_network.hpp>
