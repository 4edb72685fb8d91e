/// \file brook/transport/tcp_transport.hpp
/// Brokers that reach each other over TCP.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/socket_transport.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_address.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI {

namespace transport_room {

/// Bytes as they are. Nobody proves anything.
class plain_security {
public:
    class stream {
    public:
        stream(tcp::socket socket, plain_security&, role, const tcp_options&) : socket_{std::move(socket)} {}
        stream(const stream&) = delete;
        stream& operator=(const stream&) = delete;

        [[nodiscard]] tcp::socket& socket() noexcept { return socket_; }
        [[nodiscard]] step handshake() noexcept { return step::done; }
        [[nodiscard]] std::optional<int> vouched_node() const noexcept { return std::nullopt; }
        [[nodiscard]] ending why() const { return {refusal::lost, code_ == asio::error::eof ? "it has ended the connection" : "", code_ == asio::error::eof ? std::error_code{} : code_}; }

        [[nodiscard]] step read(mutable_bytes into, std::size_t& count) noexcept {
            count = socket_.read_some(asio::buffer(into.data(), into.size()), code_);
            return outcome(step::want_read);
        }
        [[nodiscard]] step write(bytes from, std::size_t& count) noexcept {
            count = socket_.write_some(asio::buffer(from.data(), from.size()), code_);
            return outcome(step::want_write);
        }
        [[nodiscard]] step flush() noexcept { return step::done; }

    private:
        [[nodiscard]] step outcome(step otherwise) const noexcept {
            return !code_ ? step::done : code_ == asio::error::would_block || code_ == asio::error::try_again ? otherwise : step::failed;
        }

        tcp::socket socket_;
        std::error_code code_;
    };

    void look(hub_core&, std::chrono::nanoseconds) noexcept {}
};

/// Errors    invalid_config: an address off loopback, and nobody has said that this is meant.
inline void check_loopback(const tcp_options& options) {
    if (options.allow_insecure) {
        return;
    }
    const auto check_one = [](const std::string& text, const std::string& what, bool may_be_name) {
        const std::string host = parse_address(text, what).host;
        std::error_code code;
        const asio::ip::address digits = asio::ip::make_address(host, code);
        if (code && !may_be_name) {
            throw_error(errc::invalid_config, what + ": " + text + " is a name, and one listens at digits, such as 127.0.0.1:9101; names are for peers");
        }
        if (code ? !(may_be_name && host == "localhost") : !digits.is_loopback()) {
            throw_error(errc::invalid_config, what + ": " + text + " is not on loopback: plain TCP hides nothing and knows nobody. Use brook::tls_transport, or set "
                                                  "tcp_options::allow_insecure where the network is one's own");
        }
    };
    check_one(options.listen, "listen", false);
    for (const tcp_peer& each : options.peers) {
        check_one(each.address, "node " + std::to_string(each.node_id), true);
    }
}

}  // namespace transport_room

/// Connects the brokers of a cluster over TCP, in one machine or in a network of one's own: nothing is encrypted, and nobody proves
/// who he is. For any other network there is brook::tls_transport.
///
///     brook::broker broker{"data", {.node_id = 1, .peers = {1, 2}, .transport = std::make_shared<brook::tcp_transport>(brook::tcp_options{
///         .node_id = 1, .listen = "127.0.0.1:9101", .peers = {{1, "127.0.0.1:9101"}, {2, "127.0.0.1:9102"}}})}};
///
/// As long as a connection holds, datagrams of one node to another come all, once, in the order of sending, on the transport's one
/// thread. They are lost when there is no connection, or too many wait (tcp_options::queue_bytes), and those that were on their way when
/// one broke. A broken one is made anew by itself.
///
/// A forked child must not use it.
///
/// Threads   as transport. `statistics` is shared.
/// Cost      `send`: one lock and one copy; what several threads send meanwhile goes out in one write.
class tcp_transport final : public transport {
public:
    /// Errors    invalid_config.
    explicit tcp_transport(const tcp_options& options) : inside_{checked(options), std::make_shared<transport_room::plain_security>()} {}

    /// Errors    invalid_config: `listen` is no address. The system's own, with the address: it is taken, or none of this machine's.
    ///           illegal_state: inside of `receive`.
    void start(receiver& to) override { inside_.start(to); }
    void stop() noexcept override { inside_.stop(); }
    void send(int to, bytes datagram) noexcept override { inside_.send(to, datagram); }
    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return inside_.largest_datagram(); }

    [[nodiscard]] tcp_statistics statistics() const noexcept { return inside_.statistics(); }

private:
    [[nodiscard]] static const tcp_options& checked(const tcp_options& options) {
        transport_room::check_loopback(options);
        return options;
    }

    transport_room::socket_transport<transport_room::plain_security> inside_;
};

}  // namespace brook::inline BROOK_ABI
