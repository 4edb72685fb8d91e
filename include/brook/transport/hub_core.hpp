/// \file brook/transport/hub_core.hpp
/// What all connections of a transport need of it: its options and clock, its receiver, and whom they tell why they end.
/// Edge of floor 3, transport. Needs Asio.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <asio/error.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/replication/transport.hpp>
#include <brook/transport/report_limiter.hpp>
#include <brook/transport/socket_shared.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// The same number as the standard library's own kind of code, which std::errc compares to; Asio's kind is one of its own.
[[nodiscard]] inline std::error_code system_code(const std::error_code& code) noexcept {
    return code.category() == asio::error::get_system_category() ? std::error_code{code.value(), std::system_category()} : code;
}

/// Of a refusal that is not the system's.
[[nodiscard]] inline errc code_of(refusal why) noexcept {
    switch (why) {
        case refusal::connect_timeout:
        case refusal::handshake_timeout:
        case refusal::idle_timeout:
        case refusal::write_timeout:
        case refusal::answer_timeout: return errc::timed_out;
        case refusal::protocol_version: return errc::unsupported_version;
        case refusal::cluster_id:
        case refusal::frame_bytes:
        case refusal::wrong_node: return errc::invalid_config;
        case refusal::tls_version:
        case refusal::certificate_missing:
        case refusal::certificate_untrusted:
        case refusal::certificate_self_signed:
        case refusal::certificate_expired:
        case refusal::certificate_not_yet_valid:
        case refusal::certificate_wrong_node:
        case refusal::certificate_refused:
        case refusal::tls_failed:
        case refusal::certificate_expiring: return errc::authentication_failed;
        default: return errc::network_exception;
    }
}

/// What all connections of a transport need of it.
///
/// Threads   the thread's that serves the connections, but for `is_closed` and `set_closed`.
class hub_core {
public:
    using nanoseconds = std::chrono::nanoseconds;

    hub_core(std::shared_ptr<socket_shared> shared, transport::receiver& to)
        : shared_{std::move(shared)}, to_{&to}, incarnation_{shared_->platform.random()}, limiter_{shared_->options.report_interval} {}
    hub_core(const hub_core&) = delete;
    hub_core& operator=(const hub_core&) = delete;

    [[nodiscard]] const tcp_options& options() const noexcept { return shared_->options; }
    [[nodiscard]] socket_shared& shared() const noexcept { return *shared_; }
    [[nodiscard]] nanoseconds now() const noexcept { return shared_->platform.monotonic(); }
    [[nodiscard]] std::uint64_t incarnation() const noexcept { return incarnation_; }

    /// Read by who tells, in between: it is set before anybody waits for the thread, or by the thread itself.
    [[nodiscard]] bool is_closed() const noexcept { return is_closed_.load(std::memory_order_relaxed); }
    void set_closed() noexcept { is_closed_.store(true, std::memory_order_relaxed); }

    /// Returns   false: the transport has been stopped, and nothing more may be told.
    [[nodiscard]] bool tell(int from, bytes datagram) noexcept {
        socket_counts::add(shared_->counts.received);
        socket_counts::add(shared_->counts.received_bytes, datagram.size());
        to_->receive(from, datagram);
        return !is_closed();
    }

    /// Counts it, and tells on_error if it is time for another of this kind. `node` is -1 for strangers.
    void refuse(int node, const ending& end) noexcept {
        note(node, end);
        socket_counts::add(shared_->counts.refused[static_cast<std::size_t>(end.why)]);  // who sees it counted finds it told
    }

    /// The same without counting.
    void note(int node, const ending& end) noexcept {
        if (!options().on_error || is_closed()) {
            return;
        }
        failure told;
        try {
            const std::optional<std::uint64_t> kept_back = limiter_.admit(end.why, node, now());
            if (!kept_back) {
                return;
            }
            told.code = end.code ? system_code(end.code) : make_error_code(code_of(end.why));
            told.text = end.text;
            if (*kept_back > 0) {
                told.text += " (and " + std::to_string(*kept_back) + " more like it)";
            }
        } catch (const std::exception&) {
            return;  // no memory for a report: it is counted
        }
        options().on_error(told);
    }

    /// A node that dials us has come so far that it has said who it is. `self` is its connection.
    virtual void has_greeted(int node, std::uint64_t incarnation, const void* self) noexcept = 0;

    /// There is something for the tick to do, sooner than it would.
    virtual void hurry() noexcept = 0;

protected:
    ~hub_core() = default;

private:
    const std::shared_ptr<socket_shared> shared_;
    transport::receiver* const to_;
    const std::uint64_t incarnation_;
    report_limiter limiter_;
    std::atomic<bool> is_closed_{false};
};

}  // namespace brook::inline BROOK_ABI::transport_room
