/// \file brook/transport/tls_record_gate.hpp
/// What a stranger may hand to TLS. Pure functions on memory.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Looks at the bytes that come from who dials, before OpenSSL sees them and until it has proved who it is.
///
/// OpenSSL takes memory for a handshake message as its header claims, for a ClientHello up to 128 KiB, and keeps it while the rest is
/// waited for. So messages that are not encrypted, ClientHellos all, have to be whole in a record of their own, which holds 16 KiB at
/// most: as OpenSSL sends them. Encrypted ones OpenSSL holds to the size of a certificate chain.
///
/// Threads   confined.
/// Source    RFC 8446, 4 and 5.1.
class tls_record_gate {
public:
    explicit tls_record_gate(std::size_t largest_message) noexcept : largest_{largest_message} {}

    /// Returns   false, and from then on always: this is not to be handed on.
    [[nodiscard]] bool admit(bytes more) noexcept {
        for (std::size_t at = 0; is_good_ && at < more.size();) {
            if (had_ < wanted()) {
                header_[had_++] = more[at++];
                is_good_ = had_ < wanted() || look();
            } else {
                const std::size_t count = std::min(left_, more.size() - at);
                at += count;
                left_ -= count;
                had_ = left_ == 0 ? 0 : had_;
            }
        }
        return is_good_;
    }

private:
    static constexpr std::size_t record_header = 5;   // type, version, size
    static constexpr std::size_t message_header = 4;  // type, size
    static constexpr std::uint8_t handshake = 22;

    [[nodiscard]] std::uint8_t header(std::size_t i) const noexcept { return std::to_integer<std::uint8_t>(header_[i]); }
    [[nodiscard]] std::size_t record_size() const noexcept { return std::size_t{header(3)} << 8 | header(4); }

    /// How much of the header is to be seen before the record can be judged.
    [[nodiscard]] std::size_t wanted() const noexcept {
        return had_ >= record_header && header(0) == handshake ? record_header + message_header : record_header;
    }

    /// All that is wanted of the header has been seen; it is judged, and `left_` follows from it.
    [[nodiscard]] bool look() noexcept {
        left_ = record_size();
        if (header(0) == handshake) {
            const std::size_t message = std::size_t{header(6)} << 16 | std::size_t{header(7)} << 8 | header(8);
            if (left_ != message_header + message || message > largest_) {
                return false;
            }
            left_ -= message_header;
        }
        had_ = left_ == 0 ? 0 : had_;
        return true;
    }

    const std::size_t largest_;
    std::array<std::byte, record_header + message_header> header_{};
    std::size_t had_ = 0;   // bytes of the header of the record that comes just now
    std::size_t left_ = 0;  // bytes of the record behind it
    bool is_good_ = true;
};

}  // namespace brook::inline BROOK_ABI::transport_room
