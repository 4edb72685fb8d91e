/// \file support/certificates.hpp
/// Authorities, certificates and keys, made when a test needs them.
#pragma once

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <brook/transport/tls_credentials.hpp>

namespace brook::test {

inline constexpr long a_day = 24L * 60 * 60;

/// What a certificate says.
struct certificate_text {
    std::vector<std::string> names{};  // as OpenSSL's configuration has them: "URI:brook:node:2", "DNS:host"
    long begins = -a_day;              // seconds from now
    long ends = 365 * a_day;
    std::string key_usage{};           // extended, such as "serverAuth"; empty: none
    std::string common_name = "node";
};

/// A certificate and its key.
struct identity {
    std::shared_ptr<X509> certificate;
    std::shared_ptr<EVP_PKEY> key;

    [[nodiscard]] std::string certificate_pem() const {
        return written([&](BIO* to) { return PEM_write_bio_X509(to, certificate.get()); });
    }
    [[nodiscard]] std::string key_pem() const {
        return written([&](BIO* to) { return PEM_write_bio_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    }
    [[nodiscard]] std::string encrypted_key_pem(const std::string& password) const {
        return written([&](BIO* to) { return PEM_write_bio_PKCS8PrivateKey(to, key.get(), EVP_aes_128_cbc(), password.data(), static_cast<int>(password.size()), nullptr, nullptr); });
    }

private:
    template <class Write> [[nodiscard]] static std::string written(const Write& write) {
        const std::unique_ptr<BIO, decltype([](BIO* what) { BIO_free(what); })> to{BIO_new(BIO_s_mem())};
        if (write(to.get()) != 1) {
            throw std::runtime_error{"a certificate or key cannot be written"};
        }
        char* data = nullptr;
        const long size = BIO_get_mem_data(to.get(), &data);
        return {data, static_cast<std::size_t>(size)};
    }
};

namespace certificate_detail {

inline void add_extension(X509& to, const X509& issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, const_cast<X509*>(&issuer), &to, nullptr, nullptr, 0);
    X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    if (made == nullptr || X509_add_ext(&to, made, -1) != 1) {
        throw std::runtime_error{"no certificate can say " + value};
    }
    X509_EXTENSION_free(made);
}

/// Signed by `by`, or by itself.
[[nodiscard]] inline identity make(const certificate_text& text, const identity* by, bool is_authority) {
    static std::atomic<long> serial{1};
    identity made{{X509_new(), &X509_free}, {EVP_EC_gen("P-256"), &EVP_PKEY_free}};
    X509* const x = made.certificate.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), text.begins);
    X509_gmtime_adj(X509_getm_notAfter(x), text.ends);
    X509_set_pubkey(x, made.key.get());
    const auto* const name = static_cast<const unsigned char*>(static_cast<const void*>(text.common_name.c_str()));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, name, -1, -1, 0);
    const identity& issuer = by != nullptr ? *by : made;
    X509_set_issuer_name(x, X509_get_subject_name(issuer.certificate.get()));
    add_extension(*x, *issuer.certificate, NID_basic_constraints, is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    std::string names;
    for (const std::string& each : text.names) {
        names += (names.empty() ? "" : ",") + each;
    }
    if (!names.empty()) {
        add_extension(*x, *issuer.certificate, NID_subject_alt_name, names);
    }
    if (!text.key_usage.empty()) {
        add_extension(*x, *issuer.certificate, NID_ext_key_usage, text.key_usage);
    }
    if (X509_sign(x, issuer.key.get(), EVP_sha256()) == 0) {
        throw std::runtime_error{"a certificate cannot be signed"};
    }
    return made;
}

}  // namespace certificate_detail

/// Signs certificates.
class certificate_authority {
public:
    explicit certificate_authority(const std::string& name = "authority") : self_{certificate_detail::make({.common_name = name}, nullptr, true)} {}

    [[nodiscard]] std::string pem() const { return self_.certificate_pem(); }
    [[nodiscard]] identity issue(const certificate_text& text) const { return certificate_detail::make(text, &self_, false); }
    [[nodiscard]] identity issue(int node) const { return issue({.names = {"URI:brook:node:" + std::to_string(node)}}); }

private:
    identity self_;
};

[[nodiscard]] inline identity self_signed(const certificate_text& text) { return certificate_detail::make(text, nullptr, false); }

/// Writes a file of its own mode, whatever the umask is.
inline void write_with_mode(const std::string& path, const std::string& text, mode_t mode) {
    ::unlink(path.c_str());
    const int opened = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode);
    const bool is_written = opened >= 0 && ::fchmod(opened, mode) == 0 && ::write(opened, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::close(opened);
    if (!is_written) {
        throw std::runtime_error{"cannot write " + path};
    }
}

}  // namespace brook::test
