/// \file support/raw_socket.hpp
/// Connections of somebody who does not keep to the rules: plain ones, and over TLS.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <brook/core/bytes.hpp>
#include <brook/transport/tcp_frame.hpp>
#include <brook/transport/tcp_hello.hpp>

#include "support/certificates.hpp"

namespace brook::test {

[[nodiscard]] inline std::array<std::byte, transport_room::frame_header_size> header_of(std::uint32_t size) {
    std::array<std::byte, transport_room::frame_header_size> header{};
    transport_room::store_frame_header(header.data(), size);
    return header;
}

/// A port of 127.0.0.1 that nobody else gets as long as this lives, and that a transport can listen at meanwhile.
class reserved_port {
public:
    reserved_port() {
        socket_.open(asio::ip::tcp::v4());
        socket_.set_option(asio::socket_base::reuse_address{true});
        socket_.bind({asio::ip::address_v4::loopback(), 0});
        number_ = socket_.local_endpoint().port();
    }

    [[nodiscard]] std::uint16_t number() const noexcept { return number_; }
    [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(number_); }

private:
    asio::io_context io_;
    asio::ip::tcp::socket socket_{io_};  // bound, never listening
    std::uint16_t number_ = 0;
};

/// A connection that waits in each call.
class raw_socket {
public:
    explicit raw_socket(std::uint16_t port) { socket_.connect({asio::ip::address_v4::loopback(), port}); }

    /// One that has come.
    raw_socket(asio::ip::tcp::acceptor& at) { at.accept(socket_); }

    raw_socket(const raw_socket&) = delete;
    raw_socket& operator=(const raw_socket&) = delete;

    /// Returns   false: the other side takes no more.
    bool send(bytes raw) {
        std::error_code code;
        asio::write(socket_, asio::buffer(raw.data(), raw.size()), code);
        return !code;
    }
    bool send(std::string_view text) { return send(as_bytes(text)); }

    /// So many bytes, or fewer when the other side ends first.
    [[nodiscard]] std::vector<std::byte> read(std::size_t count) {
        std::vector<std::byte> all(count);
        std::error_code code;
        std::size_t had = 0;
        while (had < count && !code) {
            had += socket_.read_some(asio::buffer(all.data() + had, count - had), code);
        }
        all.resize(had);
        return all;
    }

    /// Waits until the other side has ended it. Returns how many bytes came before.
    std::size_t drain() {
        std::vector<std::byte> some(64 * 1024);
        std::error_code code;
        std::size_t all = 0;
        while (!code) {
            all += socket_.read_some(asio::buffer(some), code);
        }
        return all;
    }

    [[nodiscard]] std::optional<transport_room::tcp_hello> read_hello() {
        const std::vector<std::byte> raw = read(transport_room::tcp_hello::size);
        return raw.size() == transport_room::tcp_hello::size ? std::optional{transport_room::decode_hello(raw)} : std::nullopt;
    }

    /// Says hello. Returns the answer.
    [[nodiscard]] std::optional<transport_room::tcp_hello> greet(const transport_room::tcp_hello& hello) {
        send(transport_room::encode(hello));
        return read_hello();
    }

    /// Waits until the other side, which is of this process, has read all that was sent. See proc(5), /proc/net/tcp.
    /// Returns   false: there is no such connection any more.
    [[nodiscard]] bool wait_until_read() {
        const std::uint16_t own = socket_.local_endpoint().port();
        const std::uint16_t other = socket_.remote_endpoint().port();
        return wait_until_empty(own, other) && wait_until_empty(other, own);  // all has come, then all was read
    }

    [[nodiscard]] asio::ip::tcp::socket& socket() noexcept { return socket_; }

private:
    /// The end at `from` has nothing left to send to `to`, nor of what came from there to read.
    static bool wait_until_empty(std::uint16_t from, std::uint16_t to) {
        char end[40];
        std::snprintf(end, sizeof end, "0100007F:%04X 0100007F:%04X 01 ", from, to);
        for (;;) {
            std::ifstream connections{"/proc/self/net/tcp"};
            std::string line;
            std::size_t found = line.npos;
            while (found == line.npos && std::getline(connections, line)) {
                found = line.find(end);
            }
            if (found == line.npos) {
                return false;
            }
            if (line.compare(found + std::string_view{end}.size(), 17, "00000000:00000000") == 0) {  // tx_queue:rx_queue
                return true;
            }
            std::this_thread::yield();
        }
    }

    asio::io_context io_;
    asio::ip::tcp::socket socket_{io_};
};

/// Somebody who waits for connections and does with them what the test says.
class raw_listener {
public:
    explicit raw_listener(const reserved_port& at, int backlog = asio::socket_base::max_listen_connections) {
        acceptor_.open(asio::ip::tcp::v4());
        acceptor_.set_option(asio::socket_base::reuse_address{true});
        acceptor_.bind({asio::ip::address_v4::loopback(), at.number()});
        acceptor_.listen(backlog);
    }

    [[nodiscard]] std::unique_ptr<raw_socket> accept() { return std::make_unique<raw_socket>(acceptor_); }

private:
    asio::io_context io_;
    asio::ip::tcp::acceptor acceptor_{io_};
};

/// OpenSSL writes to a socket so that one that was closed is a signal. It is held back on this thread as long as this lives.
class no_broken_pipe {
public:
    no_broken_pipe() {
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    no_broken_pipe(const no_broken_pipe&) = delete;
    no_broken_pipe& operator=(const no_broken_pipe&) = delete;
    ~no_broken_pipe() {
        const timespec at_once{};
        while (::sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE) {
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    sigset_t pipe_{};
    sigset_t before_{};
};

/// TLS over a raw_socket, with whatever certificate and whatever version; believes everybody.
class raw_tls {
public:
    struct settings {
        std::optional<identity> shown{};  // none: no certificate
        int highest_version = TLS1_3_VERSION;
        bool is_server = false;
    };

    raw_tls(raw_socket& over, const settings& with) : context_{SSL_CTX_new(TLS_method()), &SSL_CTX_free} {
        SSL_CTX_set_max_proto_version(context_.get(), with.highest_version);
        if (with.is_server) {  // asks for one, so that it is as a node is
            SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
        }
        if (with.shown) {
            SSL_CTX_use_certificate(context_.get(), with.shown->certificate.get());
            SSL_CTX_use_PrivateKey(context_.get(), with.shown->key.get());
        }
        ssl_ = {SSL_new(context_.get()), &SSL_free};
        SSL_set_fd(ssl_.get(), over.socket().native_handle());
        if (with.is_server) {
            SSL_set_accept_state(ssl_.get());
        } else {
            SSL_set_connect_state(ssl_.get());
        }
    }

    [[nodiscard]] bool handshake() {
        const no_broken_pipe guard;
        return SSL_do_handshake(ssl_.get()) == 1;
    }
    bool send(bytes raw) {
        const no_broken_pipe guard;
        return SSL_write(ssl_.get(), raw.data(), static_cast<int>(raw.size())) == static_cast<int>(raw.size());
    }

    [[nodiscard]] std::vector<std::byte> read(std::size_t count) {
        const no_broken_pipe guard;
        std::vector<std::byte> all(count);
        std::size_t had = 0;
        std::size_t more = 0;
        while (had < count && SSL_read_ex(ssl_.get(), all.data() + had, count - had, &more) == 1) {
            had += more;
        }
        all.resize(had);
        return all;
    }

    /// Waits until the other side has ended it.
    void drain() { static_cast<void>(read(std::size_t{1} << 20)); }

private:
    std::shared_ptr<SSL_CTX> context_;
    std::shared_ptr<SSL> ssl_;
};

}  // namespace brook::test
