/// \file brook/transport/dialled_connection.hpp
/// The end of a connection that dials: it sends, and asks now and then whether the other is still there.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/transport/connection.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/socket_shared.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_frame.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// The end that dials, and sends.
template <class Security>
class dialled_connection final : public connection<Security> {
public:
    using base = connection<Security>;
    using nanoseconds = std::chrono::nanoseconds;

    dialled_connection(hub_core& hub, Security& security, tcp::socket socket, socket_peer& peer)
        : base{hub, security, std::move(socket), role::dials, peer.node, "node " + std::to_string(peer.node) + " at " + peer.address},
          peer_{peer}, deadline_{hub.now() + hub.options().connect_timeout} {}

    void connect(const tcp::endpoint& to) {
        tcp::socket& socket = this->stream_.socket();
        socket.open(to.protocol());
        socket.non_blocking(true);
        socket.async_connect(to, [self = std::static_pointer_cast<dialled_connection>(this->shared_from_this())](const std::error_code& code) {
            if (code) {
                self->end({refusal::unreachable, "", code});
                return;
            }
            std::error_code ignored;  // it is slower without, and right
            self->stream_.socket().set_option(tcp::no_delay{true}, ignored);
            self->state_ = state::securing;
            self->deadline_ = self->hub_.now() + self->hub_.options().handshake_timeout;
            self->go_on();
        });
    }

    /// There is something in the queue. What there is to read the socket tells of by itself, once it is open.
    void go_on_writing() noexcept {
        if (is_open()) {
            this->attempt([this] { write(); });
        }
    }

    void tick(nanoseconds now) noexcept override {
        const tcp_options& limits = this->hub_.options();
        switch (state_) {
            case state::connecting:
                if (now >= deadline_) {
                    this->end({refusal::connect_timeout});
                }
                return;
            case state::securing:
            case state::greeting:
            case state::listening:
                if (now >= deadline_) {
                    this->end({refusal::handshake_timeout, state_ == state::listening ? "it has not answered the hello" : "it does not get on"});
                }
                return;
            case state::open: break;
        }
        if (is_stuck_since_ && now - *is_stuck_since_ >= limits.write_timeout) {
            this->end({refusal::write_timeout, "it takes nothing of what is to be written"});
        } else if (asked_ && now - *asked_ >= limits.answer_timeout) {
            this->end({refusal::answer_timeout, "a ping was not answered"});
        } else {
            is_ping_due_ = is_ping_due_ || (!asked_ && now - answered_ >= limits.keep_alive_interval);
            this->go_on();  // also what nobody could be told of
        }
    }

    [[nodiscard]] bool is_open() const noexcept { return state_ == state::open; }

    /// Since when it is open.
    [[nodiscard]] nanoseconds opened() const noexcept { return opened_; }

protected:
    void was_ended() noexcept override { this->hub_.hurry(); }

    void advance() override {
        switch (state_) {
            case state::connecting: return;
            case state::securing: {
                if (!this->is_done(this->stream_.handshake())) {
                    return;
                }
                if (const auto vouched = this->stream_.vouched_node(); vouched && *vouched != peer_.node) {
                    this->end({refusal::certificate_wrong_node, "its certificate is node " + std::to_string(*vouched) + "'s"});
                    return;
                }
                this->begin_to_say(this->own_hello(peer_.node));
                state_ = state::greeting;
            }
                [[fallthrough]];
            case state::greeting:
                if (!this->has_said()) {
                    return;
                }
                state_ = state::listening;
                [[fallthrough]];
            case state::listening:
                if (!this->has_heard() || !is_welcome()) {
                    return;
                }
                opened_ = answered_ = this->hub_.now();
                state_ = state::open;
                socket_counts::add(this->hub_.shared().counts.connected);
                [[fallthrough]];
            case state::open: break;
        }
        read();
        if (!this->has_ended()) {
            write();
        }
    }

private:
    enum class state { connecting, securing, greeting, listening, open };

    [[nodiscard]] bool is_welcome() {
        const tcp_hello answer = this->heard();
        std::optional<ending> problem;
        if (answer.from != peer_.node) {
            problem = ending{refusal::wrong_node, "node " + std::to_string(answer.from) + " is there"};
        } else if (answer.to != this->hub_.options().node_id) {
            problem = ending{refusal::wrong_node, "it takes this node for node " + std::to_string(answer.to)};
        } else {
            problem = this->look_at(answer);
        }
        if (!problem && answer.verdict != 0) {
            const auto why = answer.verdict <= refusal_count ? static_cast<refusal>(answer.verdict - 1) : refusal::lost;
            problem = ending{why, "it refuses this node, number " + std::to_string(this->hub_.options().node_id)};
        }
        if (problem) {
            this->end(std::move(*problem));
        }
        return !problem;
    }

    /// Nothing comes here but answers to pings.
    void read() {
        for (int turn = 0; turn < base::turns_at_once; ++turn) {
            std::size_t count = 0;
            if (!this->is_done(this->stream_.read(answers_.room(), count))) {
                return;
            }
            answers_.filled(count);
            for (frame_parser::frame each; (each = answers_.next()).kind != frame_parser::kind::none;) {
                if (each.kind != frame_parser::kind::ping || !asked_) {
                    this->end({refusal::frame, "something came that answers no ping"});
                    return;
                }
                asked_.reset();
                socket_counts::add(this->hub_.shared().counts.pings_answered);
                answered_ = this->hub_.now();
            }
        }
        this->go_on_later();
    }

    void write() {
        for (int turn = 0; turn < base::turns_at_once; ++turn) {
            if (written_ == outgoing_.size()) {
                written_ = 0;
                if (is_ping_due_) {
                    outgoing_.resize(frame_header_size);
                    store_frame_header(outgoing_.data(), ping_mark);
                    is_ping_due_ = false;
                    asked_ = this->hub_.now();
                } else if (!peer_.queue.take(outgoing_)) {
                    finish(this->stream_.flush());
                    return;
                }
            }
            std::size_t count = 0;
            const step how = this->stream_.write(bytes{outgoing_}.subspan(written_), count);
            if (!finish(how)) {
                return;
            }
            written_ += count;
            peer_.queue.has_written(count);
        }
        this->go_on_later();
    }

    /// Notes since when nothing is taken.
    bool finish(step how) {
        if (how == step::done) {
            is_stuck_since_.reset();
        } else if (!is_stuck_since_) {
            is_stuck_since_ = this->hub_.now();
        }
        return this->is_done(how);
    }

    socket_peer& peer_;
    state state_ = state::connecting;
    nanoseconds deadline_;  // of all states but the last
    nanoseconds opened_{0};
    nanoseconds answered_{0};                    // when the last ping was, or the hello
    std::optional<nanoseconds> asked_;           // a ping is on its way since then
    std::optional<nanoseconds> is_stuck_since_;  // there is something to write, and nothing was taken of it since then
    bool is_ping_due_ = false;
    std::vector<std::byte> outgoing_;  // frames, of which the first `written_` bytes are gone
    std::size_t written_ = 0;
    frame_parser answers_{0, 64};
};

}  // namespace brook::inline BROOK_ABI::transport_room
