/// \file brook/transport/connection_hub.hpp
/// The connections of a transport over sockets, from its start to its stop, and the one thread that serves them all.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/thread.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/accepted_connection.hpp>
#include <brook/transport/dialled_connection.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/reconnect_backoff.hpp>
#include <brook/transport/socket_shared.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_address.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Serves all connections of one transport for as long as it runs. `Security` says what is spoken over them:
///
///     class Security::stream       made with (tcp::socket, Security&, role, const tcp_options&); neither copied nor moved
///         tcp::socket& socket()                            which does not block
///         step handshake()                                 proves who each is, or does nothing
///         step read(mutable_bytes, std::size_t& count)
///         step write(bytes, std::size_t& count)            may keep what it took …
///         step flush()                                     … until this is done
///         std::optional<int> vouched_node()                whose node the other side is, as far as that was proved
///         ending why()                                     after `failed`
///     void Security::look(hub_core&, now)                  on each tick: whether there is something to report
///
/// Each pair of nodes has two connections: who dials sends, who accepts receives. So there is nothing to agree on when both dial
/// at once, each side makes anew what it needs itself, and one direction may be broken alone. All that goes back over a connection is
/// the answer to the hello, and to each ping.
///
/// Every connection is in one state, and every state has a deadline, which a tick compares to the platform's clock. A node has at
/// most one connection here; the newer one stays, since who dials anew has given up the older one.
///
/// Threads   the thread's own, but for what says otherwise.
/// Lifetime  held by its thread as long as that runs.
template <class Security>
class connection_hub final : public hub_core, public std::enable_shared_from_this<connection_hub<Security>> {
public:
    /// Errors    brook::error, with the address: it is taken, or none of this machine's.
    connection_hub(const std::shared_ptr<socket_shared>& shared, std::shared_ptr<Security> security, transport::receiver& to)
        : hub_core{shared, to}, security_{std::move(security)}, tick_{tick_of(shared->options)} {
        listen();
        links_.reserve(shared->peers.size());
        for (const auto& each : shared->peers) {
            links_.push_back(link{each.get(), reconnect_backoff{shared->options.reconnect_backoff, shared->options.reconnect_backoff_max}});
        }
    }

    // ---- for the transport, on any thread ----

    /// Errors    the system's own: no thread.
    void start() {
        thread_.start([](void* self) {
            const auto kept = static_cast<connection_hub*>(self)->shared_from_this();
            kept->run();
        }, this);
    }

    /// Nothing more is told from here on, but for what is just being told.
    void close() noexcept {
        set_closed();
        close_queues();
        io_.stop();
    }

    [[nodiscard]] bool is_this_thread() const noexcept { return runner_.load(std::memory_order_relaxed) == os::this_thread(); }
    void join() noexcept { thread_.join(); }
    void detach() noexcept { thread_.detach(); }

    /// There is something to write for this peer.
    ///
    /// Errors    std::bad_alloc.
    void wake(const socket_peer& peer) {
        asio::post(io_, [this, &peer] {
            for (const link& each : links_) {
                if (each.peer == &peer && each.current != nullptr) {
                    each.current->go_on_writing();
                }
            }
        });
    }

    void has_greeted(int node, std::uint64_t incarnation, const void* self) noexcept override {
        for (const auto& each : accepted_) {
            if (each.get() != self && each->node() == node && each->is_open() && !each->has_ended()) {
                each->end({refusal::replaced, each->incarnation() == incarnation ? "" : "by another life of the same node, or by another process that takes itself for it"});
            }
        }
        for (link& each : links_) {
            if (each.peer->node == node && each.current == nullptr) {
                each.due = nanoseconds{0};  // it runs again, so it is worth a try at once
                hurry();
            }
        }
    }

    void hurry() noexcept override {
        if (is_tick_waiting_ && !std::exchange(is_hurried_, true)) {
            try {
                ticker_.cancel();  // it ticks at once
            } catch (const std::exception&) {  // or when it would have
            }
        }
    }

private:
    using dialled = dialled_connection<Security>;
    using accepted = accepted_connection<Security>;

    /// The way to one peer.
    struct link {
        socket_peer* peer;
        reconnect_backoff backoff;
        std::shared_ptr<dialled> current{};     // null: there is none
        std::vector<tcp::endpoint> endpoints{};  // where the peer is, not tried yet
        nanoseconds due{0};                      // when the next attempt is
        bool is_looking_up = false;
        nanoseconds looking_until{0};
    };

    /// How often deadlines are looked at, in which none of them is missed by more than a quarter.
    [[nodiscard]] static nanoseconds tick_of(const tcp_options& options) noexcept {
        const nanoseconds shortest = std::min({options.connect_timeout, options.handshake_timeout, options.idle_timeout, options.write_timeout, options.keep_alive_interval,
                                               options.answer_timeout});
        return std::clamp(shortest / 4, least_tick, nanoseconds{std::chrono::milliseconds{100}});
    }
    static constexpr nanoseconds least_tick = std::chrono::milliseconds{1};

    void listen() {
        const tcp_address& at = shared().listen;
        std::error_code code;
        const tcp::endpoint where{asio::ip::make_address(at.host, code), at.port};
        if (!code) {
            acceptor_.open(where.protocol(), code);
        }
        if (!code) {
            acceptor_.set_option(tcp::acceptor::reuse_address{true}, code);  // or what is left of a life before would keep the port for a minute
        }
        if (!code) {
            acceptor_.bind(where, code);
        }
        if (!code) {
            acceptor_.listen(tcp::acceptor::max_listen_connections, code);
        }
        if (!code) {
            acceptor_.non_blocking(true, code);
        }
        if (code) {
            throw_error(system_code(code), "cannot listen at " + options().listen);
        }
    }

    // ---- the thread ----

    void run() noexcept {
        runner_.store(os::this_thread(), std::memory_order_relaxed);  // asked for by the thread itself, or by one that it is not
        while (!is_closed()) {
            try {
                if (!is_tick_waiting_) {
                    tick();
                }
                io_.run();
            } catch (const std::exception& thrown) {  // a handler could not be queued: the tick starts anew what has stopped
                refuse(-1, {refusal::out_of_resources, thrown.what()});
                shared().platform.wait(nobody_, 0, tick_);
            }
        }
        for (const auto& each : accepted_) {
            each->drop();
        }
        for (const link& each : links_) {
            if (each.current != nullptr) {
                each.current->drop();
            }
        }
        accepted_.clear();
        links_.clear();
        std::error_code ignored;
        acceptor_.close(ignored);
        close_queues();  // one may have been opened since `close`
    }

    void close_queues() noexcept {
        for (const auto& each : shared().peers) {
            each->queue.close();
        }
    }

    void tick() {
        is_hurried_ = false;
        const nanoseconds now = this->now();
        for (std::size_t i = 0; i < accepted_.size(); ++i) {
            accepted_[i]->tick(now);
        }
        sweep();
        nanoseconds next = tick_;
        for (link& each : links_) {
            serve(each, now);
            if (each.current == nullptr && !each.is_looking_up) {
                next = std::min(next, each.due - now);
            }
        }
        accept();
        security_->look(*this, now);
        ticker_.expires_after(std::max(next, least_tick));
        ticker_.async_wait([this](const std::error_code&) {  // or cancelled, to tick at once
            is_tick_waiting_ = false;
            if (!is_closed()) {
                tick();
            }
        });
        is_tick_waiting_ = true;  // there is never more than one wait: each would cancel the other
    }

    // ---- who comes ----

    void accept() {
        if (is_accepting_ || is_closed()) {
            return;
        }
        acceptor_.async_accept([this](const std::error_code& code, tcp::socket socket) {
            is_accepting_ = false;
            if (is_closed()) {
                return;
            }
            if (code) {  // no descriptor, perhaps: the tick tries again
                refuse(-1, {refusal::out_of_resources, "cannot accept connections at " + options().listen + ": " + code.message(), code});
                return;
            }
            admit(std::move(socket));
            accept();
        });
        is_accepting_ = true;
    }

    void admit(tcp::socket socket) {
        std::error_code code;
        const tcp::endpoint from = socket.remote_endpoint(code);
        if (code) {
            return;  // it has gone already
        }
        sweep();
        if (accepted_.size() >= options().max_connections) {
            refuse(-1, {refusal::connection_limit, "from " + text_of(from) + ": connection_limit: there are " + std::to_string(accepted_.size()) + " connections already"});
            return;
        }
        const auto same = std::count_if(accepted_.begin(), accepted_.end(), [&](const auto& each) { return each->from().address() == from.address(); });
        if (static_cast<std::size_t>(same) >= options().max_connections_per_address) {
            refuse(-1, {refusal::address_limit, "from " + text_of(from) + ": address_limit: there are " + std::to_string(same) + " connections from that address already"});
            return;
        }
        socket.non_blocking(true, code);
        if (code) {
            return;  // it has gone already; a read of it would keep everybody waiting
        }
        socket.set_option(tcp::no_delay{true}, code);  // else it is slower, and no worse
        accepted_.push_back(std::make_shared<accepted>(*this, *security_, std::move(socket), from));
        const std::shared_ptr<accepted> kept = accepted_.back();
        kept->go_on();
    }

    void sweep() noexcept {
        accepted_.erase(std::remove_if(accepted_.begin(), accepted_.end(), [](const auto& each) { return each->has_ended(); }), accepted_.end());
    }

    // ---- who is dialled ----

    void serve(link& to, nanoseconds now) {
        if (to.current != nullptr) {
            const std::shared_ptr<dialled> kept = to.current;
            kept->tick(now);
            if (!kept->has_ended()) {
                if (kept->is_open() && now - kept->opened() >= options().reconnect_backoff_max) {
                    to.backoff.reset();  // it holds
                }
                return;
            }
            to.current = nullptr;
            if (!to.endpoints.empty() && !kept->is_open()) {
                dial(to);
                return;
            }
            to.peer->queue.close();
            postpone(to, now);
        } else if (to.is_looking_up) {
            if (now >= to.looking_until) {
                refuse(to.peer->node, {refusal::connect_timeout, "node " + std::to_string(to.peer->node) + " at " + to.peer->address + ": connect_timeout: no answer about the name"});
                to.looking_until = now + options().connect_timeout;  // the answer is waited for nevertheless: there is one question at a time
                to.peer->queue.close();
            }
        } else if (now >= to.due) {
            to.peer->queue.open();
            look_up(to, now);
        }
    }

    void postpone(link& to, nanoseconds now) { to.due = now + to.backoff.next(shared().platform.random()); }

    void look_up(link& to, nanoseconds now) {
        const tcp_address& at = to.peer->at;
        std::error_code code;
        const asio::ip::address digits = asio::ip::make_address(at.host, code);
        if (!code) {
            to.endpoints = {tcp::endpoint{digits, at.port}};
            dial(to);
            return;
        }
        if (resolver_ == nullptr) {
            resolver_ = std::make_unique<tcp::resolver>(io_);
        }
        const auto place = static_cast<std::size_t>(&to - links_.data());
        resolver_->async_resolve(at.host, std::to_string(at.port), [this, place](const std::error_code& failed, const tcp::resolver::results_type& found) {
            if (is_closed()) {
                return;
            }
            link& mine = links_[place];
            mine.is_looking_up = false;
            mine.endpoints.clear();
            for (const auto& each : found) {
                if (options().allow_insecure || each.endpoint().address().is_loopback()) {
                    mine.endpoints.push_back(each.endpoint());
                }
            }
            if (mine.endpoints.empty()) {
                refuse(mine.peer->node, {refusal::unreachable, "node " + std::to_string(mine.peer->node) + " at " + mine.peer->address + ": unreachable: " +
                                                                   (failed ? failed.message() : "off loopback, which allow_insecure does not allow"), failed});
                mine.peer->queue.close();
                postpone(mine, this->now());
                return;
            }
            mine.peer->queue.open();
            dial(mine);
        });
        to.is_looking_up = true;
        to.looking_until = now + options().connect_timeout;
    }

    /// Requires  that there is an address left to try.
    void dial(link& to) {
        const tcp::endpoint next = to.endpoints.front();
        to.endpoints.erase(to.endpoints.begin());
        const auto made = std::make_shared<dialled>(*this, *security_, tcp::socket{io_}, *to.peer);
        to.current = made;
        try {
            made->connect(next);
        } catch (const std::system_error& thrown) {
            made->end({refusal::out_of_resources, "", thrown.code()});
        }
    }

    const std::shared_ptr<Security> security_;
    const nanoseconds tick_;
    os::thread thread_;
    std::atomic<const void*> runner_{nullptr};  // what the thread is to itself
    std::atomic<std::uint32_t> nobody_{0};      // changes this: to sleep on
    asio::io_context io_{1};                    // before all that is in it
    tcp::acceptor acceptor_{io_};
    asio::steady_timer ticker_{io_};
    std::unique_ptr<tcp::resolver> resolver_;  // made when a name is to be looked up
    bool is_accepting_ = false;
    bool is_tick_waiting_ = false;
    bool is_hurried_ = false;
    std::vector<std::shared_ptr<accepted>> accepted_;
    std::vector<link> links_;  // by node, as the peers
};

}  // namespace brook::inline BROOK_ABI::transport_room
