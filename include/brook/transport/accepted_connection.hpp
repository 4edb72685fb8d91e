/// \file brook/transport/accepted_connection.hpp
/// The end of a connection that accepts: it finds out who has come, receives, and answers pings.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/transport/connection.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/socket_shared.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_frame.hpp>
#include <brook/transport/tcp_hello.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// "10.0.0.2:9101", "[fd00::2]:9101".
[[nodiscard]] inline std::string text_of(const tcp::endpoint& at) {
    const std::string host = at.address().to_string();
    return (at.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(at.port());
}

/// The end that accepts, and receives.
template <class Security>
class accepted_connection final : public connection<Security> {
public:
    using base = connection<Security>;
    using nanoseconds = std::chrono::nanoseconds;

    accepted_connection(hub_core& hub, Security& security, tcp::socket socket, const tcp::endpoint& from)
        : base{hub, security, std::move(socket), role::accepts, -1, "from " + text_of(from)}, from_{from}, begun_{hub.now()}, heard_{begun_} {
        socket_counts::add(hub.shared().counts.incoming);
    }
    ~accepted_connection() override { leave(); }

    void tick(nanoseconds now) noexcept override {
        if (state_ == state::open) {
            if (now - heard_ >= this->hub_.options().idle_timeout) {
                this->end({refusal::idle_timeout, "no whole frame has come"});
            }
        } else if (now - begun_ >= this->hub_.options().handshake_timeout) {
            this->end({refusal::handshake_timeout, "it has not said who it is"});
        }
    }

    [[nodiscard]] bool is_open() const noexcept { return state_ == state::open; }
    [[nodiscard]] const tcp::endpoint& from() const noexcept { return from_; }
    [[nodiscard]] std::uint64_t incarnation() const noexcept { return incarnation_; }

protected:
    void advance() override {
        switch (state_) {
            case state::securing:
                if (!this->is_done(this->stream_.handshake())) {
                    return;
                }
                state_ = state::listening;
                [[fallthrough]];
            case state::listening:
                if (!this->has_heard()) {
                    return;
                }
                heard_ = this->hub_.now();
                judge(this->heard());
                state_ = state::answering;
                [[fallthrough]];
            case state::answering:
                if (!this->has_said()) {
                    return;
                }
                if (problem_) {
                    this->end(std::move(*problem_));
                    return;
                }
                state_ = state::open;
                socket_counts::add(this->hub_.shared().counts.accepted);
                this->hub_.has_greeted(this->node(), incarnation_, this);
                [[fallthrough]];
            case state::open: break;
        }
        read();
        if (!this->has_ended() && !this->hub_.is_closed()) {
            answer_pings();
        }
    }

    void was_ended() noexcept override {
        leave();
        frames_ = frame_parser{0, 0};
    }

private:
    enum class state { securing, listening, answering, open };

    static constexpr std::size_t read_at_once = std::size_t{256} << 10;

    void leave() noexcept {
        if (!std::exchange(has_left_, true)) {
            this->hub_.shared().counts.incoming.fetch_sub(1, std::memory_order_relaxed);
        }
    }

    void judge(const tcp_hello& hello) {
        const int own = this->hub_.options().node_id;
        const std::optional<int> vouched = this->stream_.vouched_node();
        if (auto problem = this->look_at(hello)) {
            problem_ = std::move(problem);
        } else if (hello.to != own) {
            problem_ = ending{refusal::wrong_node, "it wants node " + std::to_string(hello.to) + ", and this is node " + std::to_string(own)};
        } else if (vouched && *vouched != hello.from) {
            problem_ = ending{refusal::certificate_wrong_node, "it says that it is node " + std::to_string(hello.from) + ", and its certificate is node " + std::to_string(*vouched) + "'s"};
        } else if (this->hub_.shared().find(hello.from) == nullptr) {
            problem_ = ending{refusal::unknown_node, "node " + std::to_string(hello.from) + " is none of the peers"};
        } else {
            this->know_node(hello.from, "node " + std::to_string(hello.from) + " from " + text_of(from_));
            incarnation_ = hello.incarnation;
            frames_ = frame_parser{this->hub_.shared().largest_datagram(), read_at_once};
        }
        tcp_hello answer = this->own_hello(hello.from);
        answer.verdict = problem_ ? 1 + static_cast<std::uint32_t>(problem_->why) : 0;
        this->begin_to_say(answer);
    }

    void read() {
        for (int turn = 0; turn < base::turns_at_once; ++turn) {
            std::size_t count = 0;
            if (!this->is_done(this->stream_.read(frames_.room(), count))) {
                return;
            }
            frames_.filled(count);
            bool is_any = false;
            for (frame_parser::frame each; (each = frames_.next()).kind != frame_parser::kind::none;) {
                is_any = true;
                if (each.kind == frame_parser::kind::broken) {
                    this->end({refusal::frame, "a frame is larger than max_frame_bytes, or none at all"});
                    return;
                }
                if (each.kind == frame_parser::kind::ping) {
                    is_answer_due_ = true;
                } else if (!this->hub_.tell(this->node(), each.datagram) || this->has_ended()) {
                    return;
                }
            }
            if (is_any) {
                heard_ = this->hub_.now();
            }
        }
        this->go_on_later();
    }

    /// However many pings have come, no more than one answer waits.
    void answer_pings() {
        while (answered_ < answer_.size() || std::exchange(is_answer_due_, false)) {
            if (answered_ == answer_.size()) {
                store_frame_header(answer_.data(), ping_mark);
                answered_ = 0;
            }
            std::size_t count = 0;
            if (!this->is_done(this->stream_.write(bytes{answer_}.subspan(answered_), count))) {
                return;
            }
            answered_ += count;
        }
        static_cast<void>(this->is_done(this->stream_.flush()));
    }

    const tcp::endpoint from_;
    state state_ = state::securing;
    const nanoseconds begun_;
    nanoseconds heard_;  // when the last whole frame was, or the hello
    bool has_left_ = false;
    std::optional<ending> problem_;
    std::uint64_t incarnation_ = 0;
    frame_parser frames_{0, 0};
    bool is_answer_due_ = false;
    std::array<std::byte, frame_header_size> answer_{};
    std::size_t answered_ = frame_header_size;  // of `answer_`: all is gone
};

}  // namespace brook::inline BROOK_ABI::transport_room
