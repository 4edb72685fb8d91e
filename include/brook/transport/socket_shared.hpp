/// \file brook/transport/socket_shared.hpp
/// What a transport over sockets and its thread share: the options, the peers with what waits for them, the counts.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/transport/send_queue.hpp>
#include <brook/transport/tcp_address.hpp>
#include <brook/transport/tcp_frame.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Another node: where it is, and what waits for it.
struct socket_peer {
    socket_peer(int number, std::string text, tcp_address where, std::size_t queue_bytes)
        : node{number}, address{std::move(text)}, at{std::move(where)}, queue{queue_bytes} {}

    const int node;
    const std::string address;  // as it was given
    const tcp_address at;
    send_queue queue;
};

/// Counts of tcp_statistics, which any thread may read.
struct socket_counts {
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> sent_bytes{0};
    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> received_bytes{0};
    std::atomic<std::uint64_t> unreachable{0};
    std::atomic<std::uint64_t> overflowed{0};
    std::atomic<std::uint64_t> oversized{0};
    std::atomic<std::uint64_t> connected{0};
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> incoming{0};
    std::atomic<std::uint64_t> pings_answered{0};
    std::array<std::atomic<std::uint64_t>, refusal_count> refused{};

    static void add(std::atomic<std::uint64_t>& count, std::uint64_t more = 1) noexcept { count.fetch_add(more, std::memory_order_relaxed); }

    [[nodiscard]] tcp_statistics read() const noexcept {
        constexpr auto relaxed = std::memory_order_relaxed;
        tcp_statistics seen{.sent = sent.load(relaxed),
                            .sent_bytes = sent_bytes.load(relaxed),
                            .received = received.load(relaxed),
                            .received_bytes = received_bytes.load(relaxed),
                            .unreachable = unreachable.load(relaxed),
                            .overflowed = overflowed.load(relaxed),
                            .oversized = oversized.load(relaxed),
                            .connected = connected.load(relaxed),
                            .accepted = accepted.load(relaxed),
                            .incoming = incoming.load(relaxed),
                            .pings_answered = pings_answered.load(relaxed)};
        std::transform(refused.begin(), refused.end(), seen.refused.begin(), [](const auto& one) { return one.load(relaxed); });
        return seen;
    }
};

/// Errors    invalid_config.
inline void check(const tcp_options& options) {
    const auto refuse_unless = [](bool is_good, const char* what) {
        if (!is_good) {
            throw_error(errc::invalid_config, std::string{"transport options: "} + what);
        }
    };
    constexpr std::size_t largest = std::size_t{1} << 30;
    refuse_unless(options.node_id >= 0, "node_id is negative");
    refuse_unless(options.max_frame_bytes >= std::size_t{64} * 1024 + frame_header_size && options.max_frame_bytes <= largest,
                  "max_frame_bytes is from 64 KiB and 8 bytes to 1 GiB");
    refuse_unless(options.handshake_frame_bytes >= 1024 && options.handshake_frame_bytes <= options.handshake_bytes,
                  "handshake_frame_bytes is from 1 KiB to handshake_bytes");
    refuse_unless(options.queue_bytes >= options.max_frame_bytes, "queue_bytes is less than max_frame_bytes: the largest datagram would never be sent");
    refuse_unless(options.queue_bytes <= largest, "queue_bytes is more than 1 GiB");
    refuse_unless(options.max_connections > 0 && options.max_connections_per_address > 0, "a limit of connections is 0");
    refuse_unless(options.cluster_id.size() <= tcp_hello::cluster_id_max, "cluster_id is longer than 32 bytes");
    refuse_unless(options.cluster_id.find('\0') == std::string::npos, "cluster_id has a zero byte");
    constexpr std::chrono::nanoseconds longest = std::chrono::hours{24};
    for (const std::chrono::nanoseconds each : {options.connect_timeout, options.handshake_timeout, options.idle_timeout, options.write_timeout, options.keep_alive_interval,
                                                options.answer_timeout, options.reconnect_backoff, options.reconnect_backoff_max, options.report_interval}) {
        refuse_unless(each >= std::chrono::milliseconds{1} && each <= longest, "a time is less than a millisecond or longer than a day");
    }
    refuse_unless(options.keep_alive_interval < options.idle_timeout, "keep_alive_interval is not less than idle_timeout: a quiet connection would be ended");
    refuse_unless(options.reconnect_backoff <= options.reconnect_backoff_max, "reconnect_backoff is longer than reconnect_backoff_max");
}

/// Threads   the members are shared, each by itself.
class socket_shared {
public:
    /// Errors    invalid_config.
    explicit socket_shared(tcp_options given) : options{std::move(given)}, platform{options.platform != nullptr ? *options.platform : os::posix()} {
        check(options);
        listen = parse_address(options.listen, "listen");
        for (const tcp_peer& each : options.peers) {
            tcp_address at = parse_address(each.address, "peers");
            if (each.node_id < 0) {
                throw_error(errc::invalid_config, "peers: node " + std::to_string(each.node_id) + " has a negative number");
            }
            if (std::any_of(options.peers.begin(), options.peers.end(), [&](const tcp_peer& other) { return &other != &each && other.node_id == each.node_id; })) {
                throw_error(errc::invalid_config, "peers: node " + std::to_string(each.node_id) + " is named twice");
            }
            if (each.node_id != options.node_id) {
                peers.push_back(std::make_unique<socket_peer>(each.node_id, each.address, std::move(at), options.queue_bytes));
            }
        }
        std::sort(peers.begin(), peers.end(), [](const auto& one, const auto& other) { return one->node < other->node; });
    }
    socket_shared(const socket_shared&) = delete;
    socket_shared& operator=(const socket_shared&) = delete;

    /// Null: nobody but oneself, or not known.
    [[nodiscard]] socket_peer* find(int node) const noexcept {
        const auto place = std::lower_bound(peers.begin(), peers.end(), node, [](const auto& one, int wanted) { return one->node < wanted; });
        return place != peers.end() && (*place)->node == node ? place->get() : nullptr;
    }

    [[nodiscard]] std::size_t largest_datagram() const noexcept { return options.max_frame_bytes - frame_header_size; }

    const tcp_options options;
    os::platform& platform;
    tcp_address listen;
    std::vector<std::unique_ptr<socket_peer>> peers;  // the others, by node
    socket_counts counts;
};

}  // namespace brook::inline BROOK_ABI::transport_room
