// A transport of one's own, whole: brokers of one machine that reach each other by Unix sockets, one file each in a directory.
// The kernel keeps datagrams whole and in order, says who has sent one, and lets nobody in who may not write to the directory.
//
//     auto line = std::make_shared<unix_sockets>("/run/ledger", 1);   // node 1 of those that meet in that directory
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <brook/brook.hpp>
#include <brook/replication.hpp>

class unix_sockets final : public brook::transport {
public:
    unix_sockets(std::string directory, int node) : directory_{std::move(directory)}, node_{node} {}
    ~unix_sockets() override {
        stop();
        if (thread_.joinable()) {
            thread_.detach();  // the last owner goes inside of `receive`: the thread ends when that returns, and holds all that it uses
        }
    }

    void start(receiver& to) override {
        stop();  // it may have been stopped inside of `receive`: that call is waited for
        auto made = std::make_shared<line>();
        sockaddr_un const own = address_of(node_);
        made->socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        check(made->socket >= 0, errno);
        check(::connect(made->socket, generic(&own), sizeof own) != 0, EADDRINUSE);  // somebody is there; else it is a dead process's
        ::unlink(own.sun_path);
        check(::bind(made->socket, generic(&own), sizeof own) == 0, errno);
        int const room = 8 << 20;  // or as much of it as the system allows
        ::setsockopt(made->socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        {
            std::lock_guard const lock{mutex_};
            line_ = made;
        }
        thread_ = std::thread{[made, &to] {
            made->may_begin.wait(false);
            read(*made, to);
        }};
        made->may_begin = true;  // from here on whoever is called by that thread finds it
        made->may_begin.notify_one();
    }

    void stop() noexcept override {
        if (line_ == nullptr) {
            return;
        }
        line_->is_stopped = true;
        ::shutdown(line_->socket, SHUT_RDWR);  // the thread wakes up
        if (line_->reader == std::this_thread::get_id()) {
            return;  // inside of `receive`: whoever stops it next waits
        }
        if (thread_.joinable()) {
            thread_.join();
        }
        ::unlink(address_of(node_).sun_path);
        std::lock_guard const lock{mutex_};
        line_ = nullptr;
    }

    void send(int to, brook::bytes datagram) noexcept override {
        std::shared_ptr<line> over;
        {
            std::lock_guard const lock{mutex_};
            over = line_;
        }
        if (over != nullptr && to != node_ && datagram.size() <= largest) {
            sockaddr_un const there = address_of(to);  // nobody is there, or its queue is full: it is lost
            static_cast<void>(::sendto(over->socket, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL, generic(&there), sizeof there));
        }
    }

    [[nodiscard]] std::size_t largest_datagram() const noexcept override { return largest; }

private:
    static constexpr std::size_t largest = 128 * 1024;  // a socket takes some 200 KiB before anybody reads

    struct line {
        line() = default;
        line(line const&) = delete;
        line& operator=(line const&) = delete;
        ~line() { ::close(socket); }

        int socket = -1;
        std::atomic<bool> may_begin{false};
        std::atomic<bool> is_stopped{false};
        std::atomic<std::thread::id> reader{};  // the thread that tells
    };

    static void read(line& from, receiver& to) {
        from.reader = std::this_thread::get_id();
        std::vector<std::byte> datagram(largest);
        while (!from.is_stopped) {
            sockaddr_un sender{};
            socklen_t size = sizeof sender;
            ssize_t const count = ::recvfrom(from.socket, datagram.data(), datagram.size(), 0, generic(&sender), &size);
            if (count >= 0 && !from.is_stopped && size > sizeof(sa_family_t)) {
                sender.sun_path[sizeof sender.sun_path - 1] = '\0';
                char const* const name = std::strrchr(sender.sun_path, '/');
                to.receive(name != nullptr ? std::atoi(name + 1) : -1, brook::bytes{datagram.data(), static_cast<std::size_t>(count)});
            }
        }
    }

    [[nodiscard]] sockaddr_un address_of(int node) const noexcept {
        sockaddr_un made{};
        made.sun_family = AF_UNIX;
        std::snprintf(made.sun_path, sizeof made.sun_path, "%s/%d", directory_.c_str(), node);
        return made;
    }

    // The system's functions take any kind of address as this one.
    static sockaddr* generic(sockaddr_un* address) noexcept { return reinterpret_cast<sockaddr*>(address); }
    static sockaddr const* generic(sockaddr_un const* address) noexcept { return reinterpret_cast<sockaddr const*>(address); }

    void check(bool is_good, int number) const {
        if (!is_good) {
            throw brook::error{std::error_code{number, std::system_category()}, std::string{"cannot use "} + address_of(node_).sun_path};
        }
    }

    std::string const directory_;
    int const node_;
    std::thread thread_;
    std::mutex mutex_;  // guards `line_` where `send` reads it, and who starts or stops changes it
    std::shared_ptr<line> line_;
};
