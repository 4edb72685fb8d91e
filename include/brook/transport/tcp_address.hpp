/// \file brook/transport/tcp_address.hpp
/// Addresses as a person writes them, "host:port".
/// Edge of floor 3, transport.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::transport_room {

struct tcp_address {
    std::string host;
    std::uint16_t port = 0;
};

/// "127.0.0.1:9101", "[::1]:9101", "broker-2.example:9101". `what` is the option, for the error's text.
///
/// Errors    invalid_config.
[[nodiscard]] inline tcp_address parse_address(std::string_view text, std::string_view what) {
    const std::size_t colon = text.rfind(':');
    std::string_view host = text.substr(0, colon == std::string_view::npos ? 0 : colon);
    const std::string_view digits = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (is_bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    std::uint16_t port = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool is_whole = code == std::errc{} && end == digits.data() + digits.size() && port != 0;
    if (host.empty() || !is_whole || (!is_bracketed && host.find_first_of(":[]") != std::string_view::npos)) {
        throw_error(errc::invalid_config, std::string{what} + ": \"" + std::string{text} + "\" is no address such as 127.0.0.1:9101, [::1]:9101 or broker-2.example:9101");
    }
    return {std::string{host}, port};
}

}  // namespace brook::inline BROOK_ABI::transport_room
