/// \file brook/transport/tcp_hello.hpp
/// The first words of a connection: who speaks, who is meant, what both understand. Pure functions on memory.
/// Edge of floor 3, transport.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/transport/tcp_options.hpp>

namespace brook::inline BROOK_ABI::transport_room {

/// Versions of the protocol that this brook speaks: what it sends after the hello.
inline constexpr std::uint16_t first_protocol = 1;
inline constexpr std::uint16_t last_protocol = 1;

/// What who dials says first, and what it is answered, little-endian; always as long as this, so that nothing in it sizes anything:
///
///   at  size  field           meaning
///    0    8   magic           89 'b' 'r' 'o' 'o' 'k' 0D 0A: no other protocol begins so, and no text
///    8    2   first_protocol  versions that the speaker understands, from this one …
///   10    2   last_protocol   … to this one
///   12    4   from            the speaker's node
///   16    4   to              the node that it wants to speak to
///   20    4   verdict         in an answer 0, or 1 + the refusal; in a hello 0
///   24    8   frame_bytes     the speaker's max_frame_bytes
///   32    8   incarnation     a random number: one life of the speaker
///   40   32   cluster_id      then zeros
///   72    8   reserved        zero, and not looked at
struct tcp_hello {
    static constexpr std::size_t size = 80;
    static constexpr std::array<unsigned char, 8> magic{0x89, 'b', 'r', 'o', 'o', 'k', 0x0D, 0x0A};
    static constexpr std::size_t cluster_id_max = 32;

    std::uint16_t first = first_protocol;
    std::uint16_t last = last_protocol;
    std::int32_t from = 0;
    std::int32_t to = 0;
    std::uint32_t verdict = 0;
    std::uint64_t frame_bytes = 0;
    std::uint64_t incarnation = 0;
    std::string cluster_id{};
};

[[nodiscard]] inline std::array<std::byte, tcp_hello::size> encode(const tcp_hello& hello) noexcept {
    std::array<std::byte, tcp_hello::size> all{};
    store(all.data(), tcp_hello::magic);
    store(all.data() + 8, hello.first);
    store(all.data() + 10, hello.last);
    store(all.data() + 12, hello.from);
    store(all.data() + 16, hello.to);
    store(all.data() + 20, hello.verdict);
    store(all.data() + 24, hello.frame_bytes);
    store(all.data() + 32, hello.incarnation);
    copy_bytes(all.data() + 40, hello.cluster_id.data(), std::min(hello.cluster_id.size(), tcp_hello::cluster_id_max));
    return all;
}

/// Whether what came so far can be the beginning of a hello; otherwise what it rather is.
///
/// Returns   nullopt: it can.
[[nodiscard]] inline std::optional<refusal> look_at_beginning(bytes begun) noexcept {
    const std::string_view text = as_text(begun.first(std::min(begun.size(), tcp_hello::magic.size())));
    if (std::equal(text.begin(), text.end(), tcp_hello::magic.begin(), [](char had, unsigned char wanted) { return static_cast<unsigned char>(had) == wanted; })) {
        return std::nullopt;
    }
    if ((text.front() == 0x16 || text.front() == 0x15) && (text.size() < 2 || text[1] == 0x03)) {
        return refusal::tls_spoken;
    }
    for (const std::string_view method : {"GET ", "PUT ", "POST ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ", "PRI "}) {
        const std::size_t both = std::min(text.size(), method.size());
        if (text.substr(0, both) == method.substr(0, both)) {
            return refusal::http_spoken;
        }
    }
    return refusal::not_brook;
}

/// Requires  tcp_hello::size bytes at least, of which `look_at_beginning` thinks well.
[[nodiscard]] inline tcp_hello decode_hello(bytes raw) {
    BROOK_ASSERT(raw.size() >= tcp_hello::size);
    const std::byte* const at = raw.data();
    tcp_hello hello{.first = load<std::uint16_t>(at + 8),
                    .last = load<std::uint16_t>(at + 10),
                    .from = load<std::int32_t>(at + 12),
                    .to = load<std::int32_t>(at + 16),
                    .verdict = load<std::uint32_t>(at + 20),
                    .frame_bytes = load<std::uint64_t>(at + 24),
                    .incarnation = load<std::uint64_t>(at + 32)};
    const std::string_view name = as_text(raw.subspan(40, tcp_hello::cluster_id_max));
    hello.cluster_id = name.substr(0, name.find('\0'));
    return hello;
}

/// Text of a stranger's, fit for a report: what is not printable is a question mark.
[[nodiscard]] inline std::string printable(std::string_view text) {
    std::string clean{text};
    std::replace_if(clean.begin(), clean.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return clean;
}

}  // namespace brook::inline BROOK_ABI::transport_room
