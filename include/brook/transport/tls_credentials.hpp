/// \file brook/transport/tls_credentials.hpp
/// A node's certificate, its key and who it trusts, as OpenSSL wants them; whose node a certificate is.
/// Edge of floor 3, transport. Needs OpenSSL.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/credential_file.hpp>
#include <brook/transport/tcp_options.hpp>
#include <brook/transport/tls_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Lets OpenSSL's own functions free what they made.
template <auto Free> struct openssl_free {
    template <class T> void operator()(T* what) const noexcept { Free(what); }
};
using bio_pointer = std::unique_ptr<BIO, openssl_free<&BIO_free_all>>;
using x509_pointer = std::unique_ptr<X509, openssl_free<&X509_free>>;
using key_pointer = std::unique_ptr<EVP_PKEY, openssl_free<&EVP_PKEY_free>>;
using names_pointer = std::unique_ptr<GENERAL_NAMES, openssl_free<&GENERAL_NAMES_free>>;
using verify_pointer = std::unique_ptr<X509_STORE_CTX, openssl_free<&X509_STORE_CTX_free>>;

/// What OpenSSL has to say about the last thing that failed on this thread.
[[nodiscard]] inline std::string openssl_text() {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return reason != nullptr ? reason : "no reason is known";
}

/// Whose certificate this is: the one subject alternative name that is a URI `brook:node:N`.
///
/// Returns   nullopt: it has none, more than one, or one that is no number of a node, written as numbers are.
[[nodiscard]] inline std::optional<int> node_of(const X509& certificate) {
    constexpr std::string_view prefix = "brook:node:";
    const names_pointer names{static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr))};
    std::optional<int> found;
    for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_URI) {
            continue;
        }
        const ASN1_IA5STRING* const uri = name->d.uniformResourceIdentifier;
        const bytes raw = std::as_bytes(std::span{ASN1_STRING_get0_data(uri), static_cast<std::size_t>(ASN1_STRING_length(uri))});
        const std::string_view text = as_text(raw);  // by its length: a zero byte ends nothing
        if (text.substr(0, prefix.size()) != prefix) {
            continue;
        }
        const std::string_view digits = text.substr(prefix.size());
        int node = -1;
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), node);
        const bool is_number = code == std::errc{} && end == digits.data() + digits.size() && node >= 0 && digits == std::to_string(node);
        if (!is_number || found) {
            return std::nullopt;
        }
        found = node;
    }
    return found;
}

/// What is wrong with a certificate, as X509_verify_cert says it.
[[nodiscard]] inline refusal refusal_of_verification(long result) noexcept {
    switch (result) {
        case X509_V_ERR_CERT_HAS_EXPIRED: return refusal::certificate_expired;
        case X509_V_ERR_CERT_NOT_YET_VALID: return refusal::certificate_not_yet_valid;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return refusal::certificate_self_signed;
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_CERT_SIGNATURE_FAILURE: return refusal::certificate_untrusted;
        default: return refusal::tls_failed;
    }
}

/// All that new connections are made with: immutable, and shared by those that were.
struct tls_credentials {
    std::shared_ptr<SSL_CTX> context;
    std::shared_ptr<const X509> certificate;  // this node's own

    /// Negative: it has passed.
    [[nodiscard]] std::chrono::nanoseconds time_left() const {
        int days = 0;
        int seconds = 0;
        if (ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
            throw_error(errc::invalid_config, "a certificate's end cannot be read");
        }
        constexpr int longest = 36'500;  // a hundred years, which nanoseconds still count
        return std::chrono::hours{24} * std::clamp(days, -longest, longest) + std::chrono::seconds{seconds};
    }
};

namespace detail {

[[nodiscard]] inline bio_pointer reader_of(const std::string& text) {
    bio_pointer made{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
    if (made == nullptr) {
        throw std::bad_alloc{};
    }
    return made;
}

/// Errors    invalid_config: there is none, or something that is none.
[[nodiscard]] inline std::vector<x509_pointer> read_certificates(const std::string& path, const char* option) {
    const std::string text = os::read_credential_file(path, false);
    const bio_pointer from = reader_of(text);
    std::vector<x509_pointer> all;
    ERR_clear_error();
    for (;;) {
        x509_pointer next{PEM_read_bio_X509(from.get(), nullptr, nullptr, nullptr)};
        if (next == nullptr) {
            break;
        }
        all.push_back(std::move(next));
    }
    const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    const std::string reason = openssl_text();
    if (all.empty() || !is_end) {
        throw_error(errc::invalid_config, std::string{option} + ": " + path + " is no PEM file of certificates: " + reason);
    }
    return all;
}

/// Errors    invalid_config.
[[nodiscard]] inline key_pointer read_private_key(const std::string& path) {
    std::string text = os::read_credential_file(path, true);
    const bio_pointer from = reader_of(text);
    ERR_clear_error();
    key_pointer key{PEM_read_bio_PrivateKey(from.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr)};  // nobody is asked for a password
    OPENSSL_cleanse(text.data(), text.size());
    if (key == nullptr) {
        throw_error(errc::invalid_config, "private_key_file: " + path + " is no PEM file of a private key that is not encrypted: " + openssl_text());
    }
    return key;
}

inline void require(bool is_good, const std::string& what) {
    if (!is_good) {
        throw_error(errc::invalid_config, what + ": " + openssl_text());
    }
}

/// That the others, who have the same authority, will take what this node shows, as a server and as a client.
inline void check_own(SSL_CTX& context, X509& own, const std::string& path, int node) {
    const std::optional<int> named = node_of(own);
    if (named != node) {
        throw_error(errc::invalid_config, "certificate_file: certificate_wrong_node: " + path + " is " +
                                              (named ? "node " + std::to_string(*named) + "'s" : "no node's: it needs one subject alternative name URI:brook:node:" + std::to_string(node)) +
                                              ", and this is node " + std::to_string(node));
    }
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(&context, &chain);
    for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) {
        const verify_pointer verifying{X509_STORE_CTX_new()};
        if (verifying == nullptr || X509_STORE_CTX_init(verifying.get(), SSL_CTX_get_cert_store(&context), &own, chain) != 1) {
            throw std::bad_alloc{};
        }
        X509_STORE_CTX_set_purpose(verifying.get(), purpose);
        if (X509_verify_cert(verifying.get()) != 1) {
            const int result = X509_STORE_CTX_get_error(verifying.get());
            ERR_clear_error();
            throw_error(errc::invalid_config, "certificate_file: " + std::string{name_of(refusal_of_verification(result))} + ": " + path + " would be refused by the others: " +
                                                  X509_verify_cert_error_string(result));
        }
    }
}

}  // namespace detail

/// Reads the three files and looks at what is in them as the other nodes would.
///
/// Errors    invalid_config, with the file and what is wrong with it. The system's own where one cannot be read.
[[nodiscard]] inline tls_credentials load_credentials(const tls_options& options) {
    for (const auto& [path, name] : {std::pair{&options.certificate_file, "certificate_file"}, {&options.private_key_file, "private_key_file"}, {&options.ca_file, "ca_file"}}) {
        if (path->empty()) {
            throw_error(errc::invalid_config, std::string{"tls_options: "} + name + " is not given");
        }
    }
    const std::shared_ptr<SSL_CTX> context{SSL_CTX_new(TLS_method()), &SSL_CTX_free};
    if (context == nullptr) {
        throw std::bad_alloc{};
    }
    SSL_CTX* const made = context.get();
    detail::require(SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) == 1, "TLS 1.3");
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);  // each alone does nothing for a server
    SSL_CTX_set_options(made, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    detail::require(SSL_CTX_set_num_tickets(made, 0) == 1, "no session tickets");
    SSL_CTX_set_max_cert_list(made, static_cast<long>(options.handshake_frame_bytes));
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);

    for (const x509_pointer& each : detail::read_certificates(options.ca_file, "ca_file")) {
        detail::require(X509_STORE_add_cert(SSL_CTX_get_cert_store(made), each.get()) == 1, "ca_file: " + options.ca_file);
    }
    std::vector<x509_pointer> own = detail::read_certificates(options.certificate_file, "certificate_file");
    detail::require(SSL_CTX_use_certificate(made, own.front().get()) == 1, "certificate_file: " + options.certificate_file);
    for (std::size_t i = 1; i < own.size(); ++i) {
        detail::require(SSL_CTX_add1_chain_cert(made, own[i].get()) == 1, "certificate_file: " + options.certificate_file);
    }
    const key_pointer key = detail::read_private_key(options.private_key_file);
    detail::require(SSL_CTX_use_PrivateKey(made, key.get()) == 1 && SSL_CTX_check_private_key(made) == 1,
                    "private_key_file: " + options.private_key_file + " does not belong to " + options.certificate_file);
    detail::check_own(*made, *own.front(), options.certificate_file, options.node_id);
    return {context, std::shared_ptr<const X509>{own.front().release(), [](const X509* what) { X509_free(const_cast<X509*>(what)); }}};
}

}  // namespace brook::inline BROOK_ABI::transport_room
