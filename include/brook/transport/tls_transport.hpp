/// \file brook/transport/tls_transport.hpp
/// Brokers that reach each other over TLS.
/// Edge of floor 3, transport. Needs Asio and OpenSSL.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/socket_transport.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tls_credentials.hpp>
#include <brook/transport/tls_options.hpp>
#include <brook/transport/tls_stream.hpp>

namespace brook::inline BROOK_ABI {

namespace transport_room {

/// TLS 1.3 in both directions, with the credentials that are in use when a connection is made.
///
/// Threads   shared, but for `look`.
class tls_security {
public:
    class stream final : public tls_stream {
    public:
        stream(tcp::socket socket, tls_security& security, role side, const tcp_options& limits) : tls_stream{std::move(socket), security.current(), side, limits} {}
    };

    /// Errors    those of load_credentials.
    explicit tls_security(tls_options options) : options_{std::move(options)}, current_{load_credentials(options_)} {}

    void reload() {
        tls_credentials fresh = load_credentials(options_);
        const std::lock_guard lock{mutex_};
        std::swap(current_, fresh);  // what was is let go of without the lock
        is_fresh_ = true;
    }

    [[nodiscard]] tls_credentials current() const {
        const std::lock_guard lock{mutex_};
        return current_;
    }

    /// Once a day, and after each reload: whether this node's certificate ends soon.
    void look(hub_core& hub, std::chrono::nanoseconds now) {
        {
            const std::lock_guard lock{mutex_};
            if (!std::exchange(is_fresh_, false) && now < next_look_) {
                return;
            }
        }
        next_look_ = now + std::chrono::hours{24};
        const std::chrono::nanoseconds left = current().time_left();
        if (left < options_.expiry_warning) {
            const auto days = std::chrono::duration_cast<std::chrono::hours>(left).count() / 24;
            hub.note(options_.node_id, {refusal::certificate_expiring, "this node's certificate, " + options_.certificate_file + ": certificate_expiring: " +
                                                                          (left <= std::chrono::nanoseconds{0} ? "its time has passed" : "it ends in " + std::to_string(days) + " days")});
        }
    }

private:
    const tls_options options_;
    mutable std::mutex mutex_;  // guards the next two
    tls_credentials current_;
    bool is_fresh_ = true;
    std::chrono::nanoseconds next_look_{0};  // the thread's own
};

}  // namespace transport_room

/// Connects the brokers of a cluster over TLS 1.3. Both sides of each connection prove which node they are, by certificates that the
/// cluster's own authority has signed (tls_options says what is to be in them), and each speaks to no node but those of its peers.
/// What `receive` is told of where a datagram comes from is proved.
///
///     brook::broker broker{"data", {.node_id = 1, .peers = {1, 2}, .transport = std::make_shared<brook::tls_transport>(brook::tls_options{
///         .node_id = 1, .listen = "10.0.0.1:9101", .peers = {{1, "10.0.0.1:9101"}, {2, "10.0.0.2:9101"}},
///         .certificate_file = "node-1.pem", .private_key_file = "node-1.key", .ca_file = "ca.pem"})}};
///
/// Not looked at are lists of revoked certificates: give certificates a short life and renew them. For the rest it is as tcp_transport.
///
/// Threads   as transport. `statistics` and `reload` are shared.
class tls_transport final : public transport {
public:
    /// Errors    invalid_config: what is wrong with which file; or the system's own, where it cannot be read.
    explicit tls_transport(const tls_options& options)
        : inside_{transport_room::socket_options(options), std::make_shared<transport_room::tls_security>(options)} {}

    void start(receiver& to) override { inside_.start(to); }
    void stop() noexcept override { inside_.stop(); }
    void send(int to, bytes datagram) noexcept override { inside_.send(to, datagram); }
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return inside_.largest_datagram(); }

    [[nodiscard]] tcp_statistics statistics() const noexcept { return inside_.statistics(); }

    /// Reads the files anew. Connections that are made from here on use them; those that are there live on with what they were made
    /// with, so that renewing a certificate interrupts nothing. To be rid of these, too, stop and start.
    ///
    /// Errors    as of the constructor; what was in use stays in use.
    void reload() { inside_.security().reload(); }

private:
    transport_room::socket_transport<transport_room::tls_security> inside_;
};

}  // namespace brook::inline BROOK_ABI
