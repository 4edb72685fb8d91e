/// \file brook/transport/socket_transport.hpp
/// What transports over TCP and over TLS have in common: to be started, stopped, and sent through.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/connection_hub.hpp>
#include <brook/transport/socket_shared.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Makes a connection_hub at each start and ends it at the next stop.
///
/// Threads   `start` and `stop` confined, but for `stop` inside of `receive`; the rest shared.
template <class Security>
class socket_transport {
public:
    /// Errors    invalid_config.
    socket_transport(tcp_options options, std::shared_ptr<Security> security)
        : shared_{std::make_shared<socket_shared>(std::move(options))}, security_{std::move(security)} {}
    socket_transport(const socket_transport&) = delete;
    socket_transport& operator=(const socket_transport&) = delete;

    ~socket_transport() {
        stop();
        if (hub_ != nullptr) {
            hub_->detach();  // this is inside of a `receive`: the thread ends by itself when that has returned, and holds all it uses
        }
    }

    void start(transport::receiver& to) {
        if (hub_ != nullptr && hub_->is_this_thread()) {
            throw_error(errc::illegal_state, "a transport cannot be started by its own thread, inside of receive");
        }
        BROOK_ASSERT(hub_ == nullptr || hub_->is_closed());
        stop();  // it may have been stopped inside of `receive`: that call is waited for
        auto made = std::make_shared<connection_hub<Security>>(shared_, security_, to);
        {
            const std::lock_guard lock{mutex_};
            hub_ = made;
        }
        try {
            made->start();
        } catch (...) {
            const std::lock_guard lock{mutex_};
            hub_ = nullptr;
            throw;
        }
    }

    void stop() noexcept {
        if (hub_ == nullptr) {
            return;
        }
        hub_->close();
        if (hub_->is_this_thread()) {
            return;
        }
        hub_->join();
        const std::lock_guard lock{mutex_};
        hub_ = nullptr;
    }

    void send(int to, bytes datagram) noexcept {
        socket_counts& counts = shared_->counts;
        if (datagram.size() > shared_->largest_datagram()) {
            socket_counts::add(counts.oversized);
            return;
        }
        socket_peer* const peer = shared_->find(to);
        if (peer == nullptr) {
            socket_counts::add(counts.unreachable);
            return;
        }
        switch (peer->queue.push(datagram)) {
            case send_queue::outcome::closed: socket_counts::add(counts.unreachable); return;
            case send_queue::outcome::full: socket_counts::add(counts.overflowed); return;
            case send_queue::outcome::taken: break;
            case send_queue::outcome::taken_first: wake(*peer); break;
        }
        socket_counts::add(counts.sent);
        socket_counts::add(counts.sent_bytes, datagram.size());
    }

    [[nodiscard]] std::size_t largest_datagram() const noexcept { return shared_->largest_datagram(); }
    [[nodiscard]] tcp_statistics statistics() const noexcept { return shared_->counts.read(); }
    [[nodiscard]] Security& security() const noexcept { return *security_; }

private:
    void wake(socket_peer& peer) noexcept {
        std::shared_ptr<connection_hub<Security>> running;
        {
            const std::lock_guard lock{mutex_};
            running = hub_;
        }
        try {
            if (running != nullptr) {
                running->wake(peer);
            }
        } catch (const std::exception&) {
            peer.queue.forget_told();  // the next datagram, or the tick, sees to it
        }
    }

    const std::shared_ptr<socket_shared> shared_;
    const std::shared_ptr<Security> security_;
    std::mutex mutex_;  // guards `hub_` where `send` reads it, and who starts or stops changes it
    std::shared_ptr<connection_hub<Security>> hub_;
};

}  // namespace brook::inline BROOK_ABI::transport_room
