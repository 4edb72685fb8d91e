/// \file brook/broker/request_client.hpp
/// Requests that somebody waits for, and waiting for what becomes of the cluster.
/// Floor 4, broker.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// The board, for threads that do not hold the member's lock.
///
/// Threads   shared. Where maintenance is manual, whoever waits does the cluster's work meanwhile (cluster::await).
class request_client {
public:
    /// `is_running`: of the member. What is asked when it is false ends as closed.
    request_client(os::platform& platform, cluster& member, const std::atomic<bool>& is_running, member_lock& lock, request_board& board) noexcept
        : platform_{platform}, member_{member}, is_running_{is_running}, lock_{lock}, board_{board} {}

    [[nodiscard]] bool is_running() const noexcept { return is_running_.load(std::memory_order_acquire); }

    [[nodiscard]] std::chrono::nanoseconds now() const noexcept { return platform_.monotonic(); }

    /// `done` is told, without the lock, how it went; perhaps before this returns.
    void tell(request_kind kind, const partition_id& target, std::vector<std::byte> body, std::chrono::nanoseconds patience, callback<void(const failure&, bytes)> done) {
        lock_.work([&](std::chrono::nanoseconds at) { board_.begin(make(kind, target, std::move(body), at + patience, std::move(done)), at); });
    }

    /// Asks, and waits for the answer: what stands in it behind its failure.
    /// `says_goodbye`: also while the broker is being closed.
    /// Errors    thrown: what was answered; closed; timed_out, also where nobody has told of that for a while.
    std::vector<std::byte> ask(request_kind kind, const partition_id& target, std::vector<std::byte> body, std::chrono::nanoseconds deadline, const std::string& what,
                               bool says_goodbye = false) {
        const auto told = std::make_shared<request_outcome>();
        lock_.work([&](std::chrono::nanoseconds at) {
            board_.begin(make(kind, target, std::move(body), deadline, [told](const failure& why, bytes result) { told->tell(why, result); }), at);
        });
        const auto latest = moment_after(deadline, grace);
        for (;;) {
            const std::uint32_t seen = member_.changes();
            failure why;
            std::vector<std::byte> result;
            if (told->take(why, result)) {
                if (why) {
                    throw_error(why.code, what + ": " + why.text);
                }
                return result;
            }
            if (!is_running() || (member_.is_closing() && !says_goodbye)) {
                throw_error(errc::closed, what + ": the broker is closed");
            }
            if (platform_.monotonic() >= latest) {
                throw_error(errc::timed_out, what + ": this broker has not got to it; whether it is done shows later");
            }
            member_.await(seen, latest);
        }
    }

    /// What has come is taken, where nobody else does that; waits for that long at most, and for nothing if that is 0.
    void look(std::chrono::nanoseconds longest) { member_.await(member_.changes(), platform_.monotonic() + longest); }

    /// Waits until `is_so()`, which is asked again whenever something has changed.
    /// Returns   false: it was not so in time.
    template <class Condition>
    [[nodiscard]] bool wait_until(std::chrono::nanoseconds deadline, const Condition& is_so) {
        for (;;) {
            const std::uint32_t seen = member_.changes();
            if (is_so()) {
                return true;
            }
            if (platform_.monotonic() >= deadline) {
                return false;
            }
            member_.await(seen, deadline);
        }
    }

private:
    static constexpr std::chrono::seconds grace{5};  // for the board, which knows the deadline itself

    [[nodiscard]] static request_board::request make(request_kind kind, const partition_id& target, std::vector<std::byte> body, std::chrono::nanoseconds deadline,
                                                     callback<void(const failure&, bytes)> done) {
        request_board::request made;
        made.kind = kind;
        made.target = target;
        made.body = std::move(body);
        made.deadline = deadline;
        made.done = std::move(done);
        return made;
    }

    os::platform& platform_;
    cluster& member_;
    const std::atomic<bool>& is_running_;
    member_lock& lock_;
    request_board& board_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
