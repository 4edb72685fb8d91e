/// \file brook/transport/connection.hpp
/// One connection between two nodes, whatever it is spoken over: what both ends of it have in common.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/transport/hub_core.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// What both ends of a connection have in common. `Security::stream` is what is spoken over: see connection_hub.
///
/// Every call goes on as far as it can without waiting; where that is not to the end it has asked the socket to call again.
template <class Security>
class connection : public std::enable_shared_from_this<connection<Security>> {
public:
    using nanoseconds = std::chrono::nanoseconds;
    using stream_type = typename Security::stream;

    connection(hub_core& hub, Security& security, tcp::socket socket, role side, int node, std::string who)
        : hub_{hub}, stream_{std::move(socket), security, side, hub.options()}, node_{node}, who_{std::move(who)} {}
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    virtual ~connection() = default;

    /// As far as it can.
    void go_on() noexcept {
        attempt([this] { advance(); });
    }

    virtual void tick(nanoseconds now) noexcept = 0;

    /// Closed, counted and told of. Does nothing the second time.
    void end(ending how) noexcept {
        if (std::exchange(has_ended_, true)) {
            return;
        }
        try {
            how.text = who_ + ": " + std::string{name_of(how.why)} + (how.text.empty() ? "" : ": " + how.text) + (how.code ? ": " + how.code.message() : "");
        } catch (const std::exception&) {
            how.text.clear();
        }
        hub_.refuse(node_, how);
        was_ended();
        std::error_code ignored;  // it is gone in any case
        stream_.socket().close(ignored);  // last: whoever sees it end finds it counted
    }

    /// Closed without a word: the transport stops.
    void drop() noexcept {
        has_ended_ = true;
        std::error_code ignored;
        stream_.socket().close(ignored);
    }

    [[nodiscard]] bool has_ended() const noexcept { return has_ended_; }
    [[nodiscard]] int node() const noexcept { return node_; }

protected:
    /// Ends it where there is no memory.
    template <class Do> void attempt(const Do& act) noexcept {
        if (has_ended_) {
            return;
        }
        try {
            act();
        } catch (const std::exception& thrown) {
            end({refusal::out_of_resources, thrown.what()});
        }
    }

    virtual void advance() = 0;
    virtual void was_ended() noexcept {}

    static constexpr int turns_at_once = 16;  // then others have their turn

    /// Whether a step is done. If not, whatever it waits for is asked for.
    [[nodiscard]] bool is_done(step how) {
        switch (how) {
            case step::done: return true;
            case step::want_read: wait(is_reading_, tcp::socket::wait_read); return false;
            case step::want_write: wait(is_writing_, tcp::socket::wait_write); return false;
            case step::failed: break;
        }
        end(stream_.why());
        return false;
    }

    /// Called again, after the others.
    void go_on_later() {
        asio::post(stream_.socket().get_executor(), [self = this->shared_from_this()] { self->go_on(); });
    }

    void begin_to_say(const tcp_hello& hello) noexcept {
        said_ = encode(hello);
        said_count_ = 0;
    }

    [[nodiscard]] bool has_said() {
        while (said_count_ < said_.size()) {
            std::size_t count = 0;
            if (!is_done(stream_.write(bytes{said_}.subspan(said_count_), count))) {
                return false;
            }
            said_count_ += count;
        }
        return is_done(stream_.flush());
    }

    /// Reads the other side's hello, and no byte more.
    [[nodiscard]] bool has_heard() {
        while (heard_count_ < heard_.size()) {
            std::size_t count = 0;
            if (!is_done(stream_.read(mutable_bytes{heard_}.subspan(heard_count_), count))) {
                return false;
            }
            heard_count_ += count;
            if (const auto other = look_at_beginning(bytes{heard_}.first(heard_count_))) {
                const char* const what = *other == refusal::tls_spoken ? "TLS is spoken to a port without it"
                                         : *other == refusal::http_spoken ? "HTTP is spoken here"
                                                                          : "what comes is no connection of brook's";
                end({*other, what});
                return false;
            }
        }
        return true;
    }
    [[nodiscard]] tcp_hello heard() const { return decode_hello(heard_); }

    [[nodiscard]] tcp_hello own_hello(int to) const {
        return {.from = hub_.options().node_id,
                .to = to,
                .frame_bytes = hub_.options().max_frame_bytes,
                .incarnation = hub_.incarnation(),
                .cluster_id = hub_.options().cluster_id};
    }

    /// What both sides look at in each other's hello.
    [[nodiscard]] std::optional<ending> look_at(const tcp_hello& hello) const {
        const tcp_options& own = hub_.options();
        if (hello.last < first_protocol || hello.first > last_protocol) {
            return ending{refusal::protocol_version, "it speaks versions " + std::to_string(hello.first) + " to " + std::to_string(hello.last) + " of the protocol, this node " +
                                                         std::to_string(first_protocol) + " to " + std::to_string(last_protocol)};
        }
        if (hello.cluster_id != own.cluster_id) {
            return ending{refusal::cluster_id, "it is of cluster \"" + printable(hello.cluster_id) + "\", this node of \"" + printable(own.cluster_id) + "\""};
        }
        if (hello.frame_bytes != own.max_frame_bytes) {
            return ending{refusal::frame_bytes, "its max_frame_bytes is " + std::to_string(hello.frame_bytes) + ", this node's " + std::to_string(own.max_frame_bytes)};
        }
        return std::nullopt;
    }

    void know_node(int node, std::string who) {
        node_ = node;
        who_ = std::move(who);
    }

    hub_core& hub_;
    stream_type stream_;

private:
    void wait(bool& is_asked, tcp::socket::wait_type what) {
        if (!is_asked) {
            stream_.socket().async_wait(what, [self = this->shared_from_this(), &is_asked](const std::error_code&) {
                is_asked = false;
                self->go_on();  // an error shows itself in what is tried next; after `end` there is no next
            });
            is_asked = true;
        }
    }

    int node_;         // -1: not known yet
    std::string who_;  // for reports
    bool has_ended_ = false;
    bool is_reading_ = false;
    bool is_writing_ = false;
    std::size_t said_count_ = 0;
    std::size_t heard_count_ = 0;
    std::array<std::byte, tcp_hello::size> said_{};
    std::array<std::byte, tcp_hello::size> heard_{};
};

}  // namespace brook::inline BROOK_ABI::transport_room
