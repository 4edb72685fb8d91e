/// \file brook/transport/tls_stream.hpp
/// TLS over a socket that does not block.
/// Edge of floor 3, transport. Needs Asio and OpenSSL.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/ip/tcp.hpp>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/transport/stream.hpp>
#include <brook/transport/tcp_hello.hpp>
#include <brook/transport/tcp_options.hpp>
#include <brook/transport/tls_credentials.hpp>
#include <brook/transport/tls_record_gate.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// OpenSSL reads from and writes to two buffers here, by a BIO of our own, and this moves them from and to the socket: records of
/// 16 KiB go out many in one write, a signal for a closed socket is not made, and what a stranger may make this hold is known. Asio's
/// own stream takes 68 KiB for each connection before anybody has proved anything, and writes one record at a time.
///
/// Threads   confined.
/// Lifetime  the credentials are held for as long as the connection lives, whatever is reloaded meanwhile.
class tls_stream {
public:
    tls_stream(tcp::socket socket, tls_credentials credentials, role side, const tcp_options& limits)
        : socket_{std::move(socket)}, credentials_{std::move(credentials)}, side_{side}, unproved_max_{limits.handshake_bytes}, gate_{limits.handshake_frame_bytes} {}
    tls_stream(const tls_stream&) = delete;
    tls_stream& operator=(const tls_stream&) = delete;

    [[nodiscard]] tcp::socket& socket() noexcept { return socket_; }
    [[nodiscard]] std::optional<int> vouched_node() const noexcept { return node_; }
    [[nodiscard]] ending why() const { return why_; }

    /// Both have shown certificates that ca_file's authority has signed, and that name a node.
    [[nodiscard]] step handshake() {
        if (ssl_ == nullptr) {
            if (side_ == role::accepts) {  // who says nothing costs nothing
                if (const step filled = fill_from_socket(); filled != step::done) {
                    why_ = failure_of();
                    return filled;
                }
            }
            begin();
        }
        ERR_clear_error();
        const int result = SSL_do_handshake(ssl_.get());
        const step how = result == 1 ? step::done : outcome(result);
        const step flushed = flush_to_socket();  // also an alert that says why not
        if (how != step::done) {
            return how == step::want_read && flushed == step::want_write ? step::want_write : how;
        }
        node_ = node_of(*SSL_get0_peer_certificate(ssl_.get()));
        if (!node_) {
            why_ = {refusal::certificate_wrong_node, "its certificate is no node's: it needs one subject alternative name such as URI:brook:node:2"};
            return step::failed;
        }
        SSL_set_max_send_fragment(ssl_.get(), SSL3_RT_MAX_PLAIN_LENGTH);
        SSL_set_split_send_fragment(ssl_.get(), SSL3_RT_MAX_PLAIN_LENGTH);  // it went down with the other, and does not come up with it
        return step::done;
    }

    [[nodiscard]] step read(mutable_bytes into, std::size_t& count) {
        count = 0;
        ERR_clear_error();
        while (count < into.size()) {
            std::size_t more = 0;
            const int result = SSL_read_ex(ssl_.get(), into.data() + count, into.size() - count, &more);
            if (result != 1) {
                return count > 0 ? step::done : outcome(result);  // what it is shows itself the next time too
            }
            count += more;
        }
        return step::done;
    }

    [[nodiscard]] step write(bytes from, std::size_t& count) {
        count = 0;
        if (const step flushed = flush_to_socket(); flushed == step::failed || pending() >= gathered_max) {
            return flushed;
        }
        ERR_clear_error();
        while (count < from.size() && pending() < gathered_max) {
            std::size_t more = 0;
            const int result = SSL_write_ex(ssl_.get(), from.data() + count, from.size() - count, &more);
            if (result != 1) {
                return count > 0 ? step::done : outcome(result);
            }
            count += more;
        }
        return flush_to_socket() == step::failed ? step::failed : step::done;
    }

    [[nodiscard]] step flush() { return flush_to_socket(); }

private:
    static constexpr std::size_t gathered_max = std::size_t{256} << 10;      // of encrypted bytes that one write takes
    static constexpr std::size_t written_unproved = std::size_t{1} << 10;    // of a record, before the handshake is over
    static constexpr std::size_t read_unproved = std::size_t{1} << 10;       // what is read at once, before …
    static constexpr std::size_t read_proved = std::size_t{128} << 10;       // … and after the handshake

    [[nodiscard]] bool is_proved() const noexcept { return node_.has_value(); }
    [[nodiscard]] std::size_t pending() const noexcept { return out_.size() - out_begin_; }

    /// Errors    std::bad_alloc.
    void begin() {
        ssl_.reset(SSL_new(credentials_.context.get()));
        BIO* const bio = ssl_ != nullptr ? BIO_new(method()) : nullptr;
        if (bio == nullptr) {
            throw std::bad_alloc{};
        }
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl_.get(), bio, bio);
        SSL_set_max_send_fragment(ssl_.get(), written_unproved);  // the buffer for it is as large
        if (side_ == role::dials) {
            SSL_set_connect_state(ssl_.get());
        } else {
            SSL_set_accept_state(ssl_.get());
        }
    }

    // ---- between the socket and the buffers ----

    [[nodiscard]] step flush_to_socket() {
        while (out_begin_ < out_.size()) {
            std::error_code code;
            out_begin_ += socket_.write_some(asio::buffer(out_.data() + out_begin_, pending()), code);
            if (code == asio::error::would_block || code == asio::error::try_again) {
                return step::want_write;
            }
            if (code) {
                why_ = {refusal::lost, "", code};
                return step::failed;
            }
        }
        out_.clear();
        out_begin_ = 0;
        if (!is_proved()) {
            out_.shrink_to_fit();  // a stranger holds no more than it has to
        }
        return step::done;
    }

    [[nodiscard]] step fill_from_socket() {
        in_.resize(is_proved() ? read_proved : read_unproved);  // of bytes that are there already after the first time
        in_begin_ = in_end_ = 0;
        std::error_code code;
        const std::size_t count = socket_.read_some(asio::buffer(in_.data(), in_.size()), code);
        if (code == asio::error::would_block || code == asio::error::try_again) {
            return step::want_read;
        }
        if (code) {
            has_closed_ = code == asio::error::eof;
            socket_code_ = has_closed_ ? std::error_code{} : code;
            return step::failed;
        }
        if (!is_proved()) {
            const bytes came{in_.data(), count};
            if (unproved_ == 0 && came.front() != std::byte{0x16} && came.front() != std::byte{0x15}) {  // a handshake, or an alert
                stranger_ = look_at_beginning(came) == refusal::http_spoken ? refusal::http_spoken : refusal::plain_spoken;
                return step::failed;
            }
            unproved_ += count;
            if (unproved_ > unproved_max_ || (side_ == role::accepts && !gate_.admit(came))) {
                stranger_ = refusal::handshake_bytes;
                return step::failed;
            }
        }
        in_end_ = count;
        return step::done;
    }

    static int read_for_openssl(BIO* bio, char* into, std::size_t size, std::size_t* count) noexcept {
        auto& self = *static_cast<tls_stream*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        *count = 0;
        try {
            if (self.in_begin_ == self.in_end_) {
                if (const step filled = self.fill_from_socket(); filled != step::done) {
                    if (filled == step::want_read) {
                        BIO_set_retry_read(bio);
                    }
                    return 0;
                }
            }
        } catch (const std::exception&) {
            self.stranger_ = refusal::out_of_resources;
            return 0;
        }
        *count = std::min(size, self.in_end_ - self.in_begin_);
        copy_bytes(static_cast<std::byte*>(static_cast<void*>(into)), self.in_.data() + self.in_begin_, *count);
        self.in_begin_ += *count;
        return 1;
    }

    static int write_for_openssl(BIO* bio, const char* from, std::size_t size, std::size_t* count) noexcept {
        auto& self = *static_cast<tls_stream*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        *count = 0;
        if (self.pending() > 2 * gathered_max) {  // the other side makes us answer, and does not read
            BIO_set_retry_write(bio);
            return 0;
        }
        try {
            const bytes more = as_bytes({from, size});
            self.out_.insert(self.out_.end(), more.begin(), more.end());
        } catch (const std::exception&) {
            self.stranger_ = refusal::out_of_resources;
            return 0;
        }
        *count = size;
        return 1;
    }

    static long control_for_openssl(BIO* bio, int what, long, void*) noexcept {
        switch (what) {
            case BIO_CTRL_FLUSH: return 1;
            case BIO_CTRL_EOF: return static_cast<tls_stream*>(BIO_get_data(bio))->has_closed_ ? 1 : 0;
            default: return 0;
        }
    }

    [[nodiscard]] static const BIO_METHOD* method() {
        static const BIO_METHOD* const made = [] {
            BIO_METHOD* const fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "brook socket");
            if (fresh == nullptr) {
                throw std::bad_alloc{};
            }
            BIO_meth_set_read_ex(fresh, &read_for_openssl);
            BIO_meth_set_write_ex(fresh, &write_for_openssl);
            BIO_meth_set_ctrl(fresh, &control_for_openssl);
            return fresh;
        }();
        return made;
    }

    // ---- what OpenSSL says ----

    [[nodiscard]] step outcome(int result) {
        switch (SSL_get_error(ssl_.get(), result)) {
            case SSL_ERROR_WANT_READ: return step::want_read;
            case SSL_ERROR_WANT_WRITE: return step::want_write;
            case SSL_ERROR_ZERO_RETURN: why_ = {refusal::lost, "it has ended the connection"}; break;
            default: why_ = failure_of();
        }
        ERR_clear_error();
        return step::failed;
    }

    [[nodiscard]] ending failure_of() const {
        if (stranger_) {
            switch (*stranger_) {
                case refusal::http_spoken: return {*stranger_, "HTTP is spoken here"};
                case refusal::plain_spoken: return {*stranger_, "what comes is not TLS"};
                case refusal::handshake_bytes: return {*stranger_, "it says more than it may before it has proved anything"};
                default: return {*stranger_};
            }
        }
        if (socket_code_) {
            return {refusal::lost, "", socket_code_};
        }
        if (ssl_ == nullptr) {
            return {refusal::lost, "it has ended the connection"};
        }
        if (const long result = SSL_get_verify_result(ssl_.get()); result != X509_V_OK && !is_proved()) {
            return {refusal_of_verification(result), "its certificate is not good: " + std::string{X509_verify_cert_error_string(result)}};
        }
        const unsigned long code = ERR_peek_error();
        const int reason = ERR_GET_REASON(code);
        const char* const said = ERR_reason_error_string(code);
        const std::string text = said != nullptr ? said : "no reason is known";
        switch (reason) {
            case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return {refusal::certificate_missing, "it has shown no certificate"};
            case SSL_R_UNSUPPORTED_PROTOCOL:
            case SSL_R_VERSION_TOO_LOW:
            case SSL_R_WRONG_SSL_VERSION:
            case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return {refusal::tls_version, "it does not speak TLS 1.3: " + text};
            case SSL_R_WRONG_VERSION_NUMBER:
            case SSL_R_HTTP_REQUEST: return {refusal::plain_spoken, "what comes is not TLS"};
            case SSL_R_EXCESSIVE_MESSAGE_SIZE: return {refusal::handshake_bytes, "a message of its handshake is larger than handshake_frame_bytes"};
            case SSL_R_UNEXPECTED_EOF_WHILE_READING: return {refusal::lost, is_proved() ? "it has ended the connection" : "it has ended the connection during the handshake"};
            case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
            case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
            case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
            case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
            case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
            case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
            case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
            case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
            case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return {refusal::certificate_refused, "it does not take this node's certificate: " + text};
            default: return has_closed_ ? ending{refusal::lost, "it has ended the connection"} : ending{refusal::tls_failed, text};
        }
    }

    tcp::socket socket_;
    const tls_credentials credentials_;
    const role side_;
    const std::size_t unproved_max_;
    tls_record_gate gate_;
    std::unique_ptr<SSL, openssl_free<&SSL_free>> ssl_;  // null: nobody has said anything yet
    ending why_{};
    std::optional<int> node_;            // once the handshake is over
    bool has_closed_ = false;            // the other side has
    std::error_code socket_code_;        // what the socket said otherwise
    std::optional<refusal> stranger_;    // what we say to what came
    std::size_t unproved_ = 0;           // bytes that have come before the handshake was over
    std::vector<std::byte> in_;          // from the socket; OpenSSL has had the first `in_begin_` of `in_end_`
    std::size_t in_begin_ = 0;
    std::size_t in_end_ = 0;
    std::vector<std::byte> out_;         // to the socket, which has had the first `out_begin_`
    std::size_t out_begin_ = 0;
};

}  // namespace brook::inline BROOK_ABI::transport_room
