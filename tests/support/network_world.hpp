/// \file support/network_world.hpp
/// Nodes 1 to 3 on loopback, over TCP or over TLS, and what they report.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <brook/core/error.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tcp_options.hpp>
#include <brook/transport/tcp_transport.hpp>
#include <brook/transport/tls_options.hpp>
#include <brook/transport/tls_transport.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/mailbox.hpp"
#include "support/patience.hpp"
#include "support/raw_socket.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

/// Asks again and again; whatever takes longer than half a minute has failed.
template <class Holds> [[nodiscard]] bool eventually(const Holds& holds) {
    for (const auto end = std::chrono::steady_clock::now() + patience_of(std::chrono::seconds{30}); std::chrono::steady_clock::now() < end;) {
        if (holds()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return holds();
}

/// What nodes have reported. Outlives them.
class event_log {
public:
    [[nodiscard]] callback<void(const failure&)> of(int node) {
        return [this, node](const failure& what) {
            const std::lock_guard lock{mutex_};
            events_[node].push_back(what);
        };
    }
    [[nodiscard]] std::vector<failure> all(int node) const {
        const std::lock_guard lock{mutex_};
        const auto place = events_.find(node);
        return place != events_.end() ? place->second : std::vector<failure>{};
    }
    [[nodiscard]] std::size_t count(int node, std::string_view text) const {
        std::size_t found = 0;
        for (const failure& each : all(node)) {
            found += each.text.find(text) != std::string::npos ? 1 : 0;
        }
        return found;
    }
    [[nodiscard]] std::string text(int node) const {
        std::string all_text;
        for (const failure& each : all(node)) {
            all_text += each.text + '\n';
        }
        return all_text;
    }

private:
    mutable std::mutex mutex_;
    std::map<int, std::vector<failure>> events_;
};

/// What is the same for both kinds.
template <class Transport, class Options>
class network_world {
public:
    using transport_type = Transport;
    using options_type = Options;

    [[nodiscard]] std::uint16_t port(int id) const { return ports_[static_cast<std::size_t>(id)].number(); }
    [[nodiscard]] const reserved_port& reserved(int id) const { return ports_[static_cast<std::size_t>(id)]; }
    [[nodiscard]] std::string address(int id) const { return reserved(id).address(); }

    event_log events;

protected:
    [[nodiscard]] Options base_options(int id) {
        Options made;
        made.node_id = id;
        made.listen = address(id);
        made.peers = {{1, address(1)}, {2, address(2)}, {3, address(3)}};
        made.reconnect_backoff = std::chrono::milliseconds{2};  // the others may start a little later
        made.reconnect_backoff_max = std::chrono::milliseconds{50};
        made.on_error = events.of(id);
        return made;
    }

private:
    std::array<reserved_port, 5> ports_;  // by id; 0 and 4 are for others
};

class tcp_world : public network_world<tcp_transport, tcp_options> {
public:
    [[nodiscard]] tcp_options options(int id) { return base_options(id); }
};

class tls_world : public network_world<tls_transport, tls_options> {
public:
    tls_world() {
        write_with_mode(directory / "ca.pem", authority.pem(), 0644);
        for (const int id : {1, 2, 3}) {
            give(id, authority.issue(id));
        }
    }

    void give(int id, const identity& shown) const {
        write_with_mode(certificate_file(id), shown.certificate_pem(), 0644);
        write_with_mode(key_file(id), shown.key_pem(), 0600);
    }
    [[nodiscard]] std::string certificate_file(int id) const { return directory / ("node-" + std::to_string(id) + ".pem"); }
    [[nodiscard]] std::string key_file(int id) const { return directory / ("node-" + std::to_string(id) + ".key"); }

    [[nodiscard]] tls_options options(int id) {
        tls_options made = base_options(id);
        made.certificate_file = certificate_file(id);
        made.private_key_file = key_file(id);
        made.ca_file = directory / "ca.pem";
        return made;
    }

    const certificate_authority authority;
    const temp_directory directory;
};

/// A node that runs from here to the end of the block.
template <class World>
struct network_node {
    using transport_type = typename World::transport_type;

    network_node(World& world, int id, std::function<void(int, bytes)> also = nullptr) : network_node{world.options(id), std::move(also)} {}
    explicit network_node(const typename World::options_type& options, std::function<void(int, bytes)> also = nullptr)
        : mail{std::move(also)}, line{std::make_shared<transport_type>(options)} {
        line->start(mail);
    }
    network_node(const network_node&) = delete;
    network_node& operator=(const network_node&) = delete;
    ~network_node() { line->stop(); }

    void send(int to, std::string_view text) { line->send(to, as_bytes(text)); }
    [[nodiscard]] tcp_statistics statistics() const { return line->statistics(); }

    /// Until it has made so many connections, and has so many from others.
    [[nodiscard]] bool has_met(std::uint64_t others) const {
        return eventually([&] { return statistics().connected >= others && statistics().accepted >= others; });
    }

    mailbox mail;
    std::shared_ptr<transport_type> line;
};

template <class World>
[[nodiscard]] bool is_refused(const network_node<World>& at, refusal why, std::uint64_t times = 1) {
    return eventually([&] { return at.statistics().of(why) >= times; });
}

/// What that node would say to the one with these options.
template <class Options>
[[nodiscard]] transport_room::tcp_hello hello_of(const Options& as, int from = 2) {
    return {.from = from, .to = as.node_id, .frame_bytes = as.max_frame_bytes, .incarnation = 42, .cluster_id = as.cluster_id};
}

}  // namespace brook::test
