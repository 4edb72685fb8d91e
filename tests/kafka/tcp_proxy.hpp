/// \file kafka/tcp_proxy.hpp
/// A way to a broker that a test can cut.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace brook::test {

/// Passes bytes on between a port of its own and a broker's, on loopback, by a thread of its own. Where the broker's answers name its port they name
/// this one instead, so that clients stay on this way: librdkafka's mock cluster cannot be told to.
///
/// Threads   cut and mend: one thread at a time.
class tcp_proxy {
public:
    explicit tcp_proxy(int to) : to_{to}, wakes_{checked(::eventfd(0, EFD_CLOEXEC), "eventfd")} {
        listen();
        thread_ = std::thread{[this] { run(); }};
    }
    tcp_proxy(const tcp_proxy&) = delete;
    tcp_proxy& operator=(const tcp_proxy&) = delete;
    ~tcp_proxy() {
        is_over_ = true;
        wake();
        thread_.join();
        drop_all();
        ::close(listener_);
        ::close(wakes_);
    }

    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

    /// Resets all connections, and has new ones refused.
    /// Returns   how many there were.
    std::size_t cut() { return change(true); }
    void mend() { static_cast<void>(change(false)); }

private:
    struct connection {
        int client;
        int broker;
        std::string answer{};  ///< of the broker, not whole yet
    };

    static int checked(int result, const char* what) {
        if (result < 0) {
            throw std::system_error{errno, std::system_category(), what};
        }
        return result;
    }

    [[nodiscard]] static sockaddr_in loopback(int port) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        at.sin_port = ::htons(static_cast<std::uint16_t>(port));
        return at;
    }

    /// On the same port as before, if there was one.
    void listen() {
        listener_ = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        const int yes = 1;
        checked(::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
        sockaddr_in at = loopback(port_);
        checked(::bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at), "bind");
        checked(::listen(listener_, 64), "listen");
        socklen_t size = sizeof at;
        checked(::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size), "getsockname");
        port_ = ::ntohs(at.sin_port);
    }

    std::size_t change(bool is_to_be_cut) {
        is_to_be_cut_ = is_to_be_cut;
        const std::uint32_t number = ++asked_;
        wake();
        for (std::uint32_t done = done_; done != number; done = done_) {
            done_.wait(done);
        }
        return dropped_;
    }

    void wake() const {
        const std::uint64_t one = 1;
        static_cast<void>(!::write(wakes_, &one, sizeof one));
    }

    // ---- on its thread ----

    void run() {
        std::vector<pollfd> ready;
        while (!is_over_) {
            ready.assign({{wakes_, POLLIN, 0}, {listener_, POLLIN, 0}});  // poll looks at none below 0
            for (const auto& one : connections_) {
                ready.push_back({one.client, POLLIN, 0});
                ready.push_back({one.broker, POLLIN, 0});
            }
            if (::poll(ready.data(), ready.size(), -1) < 0) {
                continue;
            }
            for (std::size_t i = connections_.size(); i-- > 0;) {
                connection& one = connections_[i];
                const bool is_open = (ready[2 + 2 * i].revents == 0 || pass_question(one)) && (ready[3 + 2 * i].revents == 0 || pass_answer(one));
                if (!is_open) {
                    drop(one);
                    connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(i));
                }
            }
            if (ready[1].revents != 0) {
                accept();
            }
            if (ready[0].revents != 0) {
                std::uint64_t count = 0;
                static_cast<void>(!::read(wakes_, &count, sizeof count));
                obey();
            }
        }
    }

    void obey() {
        const std::uint32_t number = asked_;
        if (number == done_) {
            return;
        }
        if (is_to_be_cut_ && listener_ >= 0) {
            ::close(listener_);
            listener_ = -1;
            dropped_ = connections_.size();
            drop_all();
        } else if (!is_to_be_cut_ && listener_ < 0) {
            listen();
        }
        done_ = number;
        done_.notify_all();
    }

    void accept() {
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) {
            return;
        }
        connection made{client, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const sockaddr_in at = loopback(to_);
        if (made.broker < 0 || ::connect(made.broker, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) {
            drop(made);
            return;
        }
        connections_.push_back(std::move(made));
    }

    [[nodiscard]] static bool pass_question(connection& one) {
        std::array<char, 65'536> bytes;
        const ssize_t size = ::recv(one.client, bytes.data(), bytes.size(), 0);
        return size > 0 && send_all(one.broker, bytes.data(), static_cast<std::size_t>(size));
    }

    /// By whole answers: each has its size in front.
    [[nodiscard]] bool pass_answer(connection& one) const {
        std::array<char, 65'536> bytes;
        const ssize_t size = ::recv(one.broker, bytes.data(), bytes.size(), 0);
        if (size <= 0) {
            return false;
        }
        one.answer.append(bytes.data(), static_cast<std::size_t>(size));
        const auto byte = [&](std::size_t at) { return std::size_t{static_cast<unsigned char>(one.answer[at])}; };
        while (one.answer.size() >= 4) {
            const std::size_t whole = 4 + (byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3));
            if (one.answer.size() < whole) {
                break;
            }
            std::string answer = one.answer.substr(0, whole);
            one.answer.erase(0, whole);
            const std::string theirs = in_answers(to_);
            for (std::size_t at = answer.find(theirs); at != std::string::npos; at = answer.find(theirs, at + 1)) {
                answer.replace(at, theirs.size(), in_answers(port_));
            }
            if (!send_all(one.client, answer.data(), answer.size())) {
                return false;
            }
        }
        return true;
    }

    /// Host and port, as Kafka's metadata have them.
    [[nodiscard]] static std::string in_answers(int port) {
        return std::string{"127.0.0.1"} + std::string(2, '\0') + static_cast<char>(port >> 8) + static_cast<char>(port & 255);
    }

    [[nodiscard]] static bool send_all(int to, const char* data, std::size_t size) {
        while (size > 0) {
            const ssize_t sent = ::send(to, data, size, MSG_NOSIGNAL);
            if (sent <= 0) {
                return false;
            }
            data += sent;
            size -= static_cast<std::size_t>(sent);
        }
        return true;
    }

    /// What is under way is lost.
    static void drop(const connection& one) {
        const linger at_once{1, 0};
        for (const int end : {one.client, one.broker}) {
            if (end >= 0) {
                ::setsockopt(end, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                ::close(end);
            }
        }
    }
    void drop_all() {
        for (const auto& one : connections_) {
            drop(one);
        }
        connections_.clear();
    }

    const int to_;
    const int wakes_;
    int port_ = 0;
    int listener_ = -1;  // -1: cut
    std::vector<connection> connections_;
    std::atomic<bool> is_over_{false};
    std::atomic<bool> is_to_be_cut_{false};
    std::atomic<std::size_t> dropped_{0};
    std::atomic<std::uint32_t> asked_{0};
    std::atomic<std::uint32_t> done_{0};
    std::thread thread_;
};

}  // namespace brook::test
