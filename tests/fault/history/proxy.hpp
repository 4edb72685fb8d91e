/// \file fault/history/proxy.hpp
/// A network that can be told to fail: connections between brokers pass through it, byte by byte.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <random>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "fault/history/control.hpp"
#include "fault/history/recorder.hpp"

namespace brook::test::history {

[[nodiscard]] inline sockaddr_in loopback(std::uint16_t port) noexcept {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/// -1: it is taken.
[[nodiscard]] inline int listen_at(std::uint16_t port) noexcept {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in address = loopback(port);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 64) != 0) {
        ::close(listener);
        return -1;
    }
    return listener;
}

/// For each broker and each other one that it may dial an address of its own, behind which is that other one. What flows from one to the
/// other can be held up (a cut: whoever waits learns nothing, as when a cable is drawn), delayed, and connections can be reset.
///
/// Threads   the rules are shared.
class proxy {
public:
    explicit proxy(std::uint16_t base) : base_{base}, waker_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)} {
        for (int from = 1; from <= static_cast<int>(node_count); ++from) {
            for (int to = 1; to <= static_cast<int>(node_count); ++to) {
                if (from != to) {
                    links_.push_back({from, to, listen_at(dialled_port(base, from, to))});
                    if (links_.back().listener < 0) {
                        throw std::runtime_error{"a port of the proxy is taken"};
                    }
                }
            }
        }
        thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
    }
    proxy(const proxy&) = delete;
    proxy& operator=(const proxy&) = delete;
    ~proxy() {
        thread_.request_stop();
        wake();
        thread_.join();
        for (connection& one : connections_) {
            one.close();
        }
        for (const link& one : links_) {
            ::close(one.listener);
        }
        ::close(waker_);
    }

    /// Nothing passes from one to the other, until it is let pass: then what was held up comes, too.
    void hold(int from, int to, bool is_held) {
        rule(from, to).held.fetch_add(is_held ? 1 : -1);
        wake();
    }
    /// Each piece is under way for up to that long; 0: not at all.
    void delay(int from, int to, int most_microseconds) {
        rule(from, to).delay.store(most_microseconds);
        wake();
    }
    /// Connections between the two break, in either direction; what was on its way is lost.
    void reset(int one, int other) {
        rule(std::min(one, other), std::max(one, other)).reset.store(true);
        wake();
    }

    [[nodiscard]] std::uint64_t connections() const noexcept { return accepted_.load(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(); }

private:
    static constexpr std::size_t most_queued = std::size_t{1} << 20;

    struct rules {
        std::atomic<int> held{0};
        std::atomic<int> delay{0};
        std::atomic<bool> reset{false};  // of both directions, with the one from the lower to the higher number
    };
    struct link {
        int from, to, listener;
    };
    struct chunk {
        std::vector<char> data;
        std::size_t written;
        std::int64_t due;
    };
    struct direction {
        std::deque<chunk> queue;
        std::size_t queued = 0;
        bool has_ended = false;  // nothing more will come
    };
    struct connection {
        int dialler = 0, listener = 0;  // nodes
        std::array<int, 2> sockets{-1, -1};  // to the one that has dialled, to the one that listens
        std::array<direction, 2> directions{};  // from socket i to the other
        bool is_connecting = true;
        bool is_over = false;

        void close() noexcept {
            for (int& socket : sockets) {
                if (socket >= 0) {
                    ::close(socket);
                }
                socket = -1;
            }
            is_over = true;
        }
        void reset() noexcept {
            const linger now{1, 0};
            for (const int socket : sockets) {
                if (socket >= 0) {
                    ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
                }
            }
            close();
        }
        [[nodiscard]] int from(std::size_t i) const noexcept { return i == 0 ? dialler : listener; }
        [[nodiscard]] int to(std::size_t i) const noexcept { return i == 0 ? listener : dialler; }
    };

    [[nodiscard]] static std::size_t place(int from, int to) noexcept { return static_cast<std::size_t>(from) * (node_count + 1) + static_cast<std::size_t>(to); }
    [[nodiscard]] rules& rule(int from, int to) noexcept { return rules_[place(from, to)]; }

    void wake() const noexcept {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto told = ::write(waker_, &one, sizeof one);  // refused where it is awake already
    }

    void run(const std::stop_token& stop) {
        std::vector<pollfd> polled;
        std::vector<std::pair<connection*, std::size_t>> who;
        while (!stop.stop_requested()) {
            reset_what_shall_be();
            connections_.remove_if([](const connection& one) { return one.is_over; });
            polled.clear();
            who.clear();
            polled.push_back({waker_, POLLIN, 0});
            for (const link& one : links_) {
                polled.push_back({one.listener, POLLIN, 0});
            }
            std::int64_t next = now() + 1'000'000'000;
            for (connection& one : connections_) {
                add_to(one, polled, who, next);
            }
            const std::int64_t left = std::max<std::int64_t>(next - now(), 0);
            const timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
            if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) < 0 && errno != EINTR) {
                std::perror("proxy: ppoll");
                return;
            }
            std::uint64_t drained = 0;
            [[maybe_unused]] const auto woken = ::read(waker_, &drained, sizeof drained);
            for (std::size_t i = 0; i < who.size(); ++i) {
                const pollfd& seen = polled[1 + links_.size() + i];
                serve(*who[i].first, who[i].second, seen.revents);
            }
            for (connection& one : connections_) {
                flush(one);
            }
            for (std::size_t i = 0; i < links_.size(); ++i) {
                if ((polled[1 + i].revents & POLLIN) != 0) {
                    accept(links_[i]);
                }
            }
        }
    }

    void reset_what_shall_be() {
        std::array<bool, std::tuple_size_v<decltype(rules_)>> broken{};  // taken once: what is asked for meanwhile comes the next time
        std::transform(rules_.begin(), rules_.end(), broken.begin(), [](rules& one) { return one.reset.exchange(false); });
        for (connection& one : connections_) {
            if (broken[place(std::min(one.dialler, one.listener), std::max(one.dialler, one.listener))]) {
                one.reset();
            }
        }
    }

    [[nodiscard]] bool is_held(const connection& one, std::size_t i) noexcept { return rule(one.from(i), one.to(i)).held.load() > 0; }

    void add_to(connection& one, std::vector<pollfd>& polled, std::vector<std::pair<connection*, std::size_t>>& who, std::int64_t& next) {
        const std::int64_t time = now();
        for (std::size_t side = 0; side < 2; ++side) {
            short events = 0;
            const direction& out = one.directions[side];
            const direction& in = one.directions[1 - side];
            if (one.is_connecting) {
                events = side == 1 ? POLLOUT : short{0};
            } else {
                if (!out.has_ended && !is_held(one, side) && out.queued < most_queued) {
                    events |= POLLIN;
                }
                if (!in.queue.empty() && !is_held(one, 1 - side)) {
                    if (in.queue.front().due <= time) {
                        events |= POLLOUT;
                    } else {
                        next = std::min(next, in.queue.front().due);
                    }
                }
            }
            if (events != 0) {
                polled.push_back({one.sockets[side], events, 0});
                who.emplace_back(&one, side);
            }
        }
    }

    void serve(connection& one, std::size_t side, short events) {
        if (one.is_over || events == 0) {
            return;
        }
        if (one.is_connecting) {
            int code = 0;
            socklen_t size = sizeof code;
            ::getsockopt(one.sockets[1], SOL_SOCKET, SO_ERROR, &code, &size);
            if (code != 0 || (events & (POLLERR | POLLHUP)) != 0) {
                one.reset();
            } else {
                one.is_connecting = false;
            }
            return;
        }
        direction& out = one.directions[side];
        if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !out.has_ended && !is_held(one, side)) {
            std::array<char, 65536> buffer;
            const ssize_t count = ::recv(one.sockets[side], buffer.data(), buffer.size(), 0);
            if (count > 0) {
                const int most = rule(one.from(side), one.to(side)).delay.load();
                const std::int64_t due = most == 0 ? 0 : now() + static_cast<std::int64_t>(random_() % (static_cast<std::uint64_t>(most) * 1'000));
                const std::int64_t before = out.queue.empty() ? 0 : out.queue.back().due;
                out.queue.push_back({{buffer.data(), buffer.data() + count}, 0, std::max(due, before)});
                out.queued += static_cast<std::size_t>(count);
                bytes_.fetch_add(static_cast<std::uint64_t>(count));
            } else if (count == 0) {
                out.has_ended = true;
            } else if (errno != EAGAIN && errno != EINTR) {
                one.reset();
            }
        } else if ((events & (POLLHUP | POLLERR)) != 0) {
            one.reset();
        }
    }

    void flush(connection& one) {
        for (std::size_t side = 0; side < 2 && !one.is_over && !one.is_connecting; ++side) {
            direction& out = one.directions[side];
            while (!is_held(one, side) && !out.queue.empty() && out.queue.front().due <= now()) {
                chunk& first = out.queue.front();
                const ssize_t count = ::send(one.sockets[1 - side], first.data.data() + first.written, first.data.size() - first.written, MSG_NOSIGNAL);
                if (count < 0) {
                    if (errno != EAGAIN && errno != EINTR) {
                        one.reset();
                    }
                    break;
                }
                first.written += static_cast<std::size_t>(count);
                out.queued -= static_cast<std::size_t>(count);
                if (first.written < first.data.size()) {
                    break;
                }
                out.queue.pop_front();
            }
            if (!one.is_over && out.has_ended && out.queue.empty()) {
                one.close();
            }
        }
    }

    void accept(const link& at) {
        const int dialler = ::accept4(at.listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (dialler < 0) {
            return;
        }
        const int target = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int yes = 1;
        ::setsockopt(dialler, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        ::setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        const sockaddr_in address = loopback(listening_port(base_, at.to));
        connection made;
        made.dialler = at.from;
        made.listener = at.to;
        made.sockets = {dialler, target};
        accepted_.fetch_add(1);
        const int code = ::connect(target, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (code != 0 && errno != EINPROGRESS) {
            made.reset();
            return;
        }
        made.is_connecting = code != 0;
        connections_.push_back(std::move(made));
    }

    const std::uint16_t base_;
    const int waker_;
    std::vector<link> links_;
    std::list<connection> connections_;
    std::array<rules, (node_count + 1) * (node_count + 1)> rules_{};
    std::minstd_rand random_{1};
    std::atomic<std::uint64_t> accepted_{0};
    std::atomic<std::uint64_t> bytes_{0};
    std::jthread thread_;  // last: it uses what stands before
};

}  // namespace brook::test::history
