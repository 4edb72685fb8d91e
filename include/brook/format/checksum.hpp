/// \file brook/format/checksum.hpp
/// What makes a frame verify at one place only: a hash of its body, bound to its header, its segment and its position.
/// Floor 1, format. Source: XXH3-64 (xxHash 0.8); the multiply-fold is wyhash's and XXH3's own.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstddef>
#include <cstdint>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI::format {

[[nodiscard]] inline std::uint64_t hash(const std::byte* data, std::size_t size) noexcept {
    return XXH3_64bits(data, size);
}
[[nodiscard]] inline std::uint64_t hash(bytes data) noexcept { return hash(data.data(), data.size()); }

/// XXH3-128, where 64 bits are too few to take two things for one.
struct wide_hash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
};
[[nodiscard]] inline wide_hash hash_wide(bytes data, std::uint64_t seed) noexcept {
    const XXH128_hash_t made = XXH3_128bits_withSeed(data.data(), data.size(), seed);
    return {made.high64, made.low64};
}

/// The same hash, of bytes that come in pieces.
///
/// Threads   confined.
class running_hash {
public:
    running_hash() noexcept { static_cast<void>(XXH3_64bits_reset(&state_)); }
    void add(bytes data) noexcept { static_cast<void>(XXH3_64bits_update(&state_, data.data(), data.size())); }
    [[nodiscard]] std::uint64_t value() const noexcept { return XXH3_64bits_digest(&state_); }

private:
    XXH3_state_t state_;
};

namespace detail {

/// Both halves of a 128-bit product, folded. Not linear in XOR: two flipped bits do not cancel.
[[nodiscard]] inline std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using wide = unsigned __int128;
    const wide product = static_cast<wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace detail

/// What is XORed onto the body's hash. It depends on the segment (by its seed), on the position and on every header
/// field, so that a frame of another file, of another life of this file, or moved by a sector does not verify; and it
/// is computed without the body, so that a frame is given another home by exchanging one binding for another.
///
/// Cost      three multiplications, some 3 ns.
[[nodiscard]] inline std::uint64_t binding(std::uint64_t seed, position at, frame_word word, std::int64_t base_offset,
                                           std::int64_t base_timestamp, std::uint32_t leader_epoch, std::uint32_t count) noexcept {
    const std::uint64_t place = std::uint64_t{at} << 32 | leader_epoch;
    const std::uint64_t a = detail::multiply_fold(static_cast<std::uint64_t>(base_offset) ^ seed ^ 0x9e3779b97f4a7c15u,
                                                  static_cast<std::uint64_t>(base_timestamp) ^ 0x85ebca77c2b2ae63u);
    const std::uint64_t b = detail::multiply_fold(word.raw() ^ seed ^ 0xc2b2ae3d27d4eb4fu, place ^ 0x165667b19e3779f9u);
    return detail::multiply_fold(a ^ count ^ 0xd6e8feb86659fd93u, b ^ seed ^ 0x27d4eb2f165667c5u);
}

[[nodiscard]] inline std::uint64_t binding(std::uint64_t seed, position at, const frame_header& header) noexcept {
    return binding(seed, at, word_of(header), header.base_offset, header.base_timestamp, header.leader_epoch, header.count);
}

/// Hash of what the checksum covers besides the header: extensions and body of frames that have one.
///
/// Requires  a published size that lies within the memory at `frame`.
[[nodiscard, gnu::always_inline]] inline std::uint64_t body_hash(frame_word word, const std::byte* frame) noexcept {
    constexpr unsigned with_body = 1u << static_cast<unsigned>(frame_kind::data) | 1u << static_cast<unsigned>(frame_kind::control) |
                                   1u << static_cast<unsigned>(frame_kind::producers);
    return (with_body >> static_cast<unsigned>(word.kind()) & 1u) != 0 ? hash(frame + frame_header_size, word.size() - frame_header_size) : 0;
}

/// The checksum that `header` should carry at position `at`; `frame` is where its bytes are.
///
/// Requires  a published size that lies within the memory at `frame`.
[[nodiscard]] inline std::uint64_t checksum_of(std::uint64_t seed, position at, const frame_header& header,
                                               const std::byte* frame) noexcept {
    return body_hash(word_of(header), frame) ^ binding(seed, at, header);
}

/// True when the frame that `word` publishes carries its checksum.
///
/// Requires  attributes and extension that this version knows; a size that lies within the memory at `frame`.
[[nodiscard, gnu::always_inline]] inline bool has_checksum(std::uint64_t seed, position at, frame_word word, const std::byte* frame) noexcept {
    const auto places = load<std::uint64_t>(frame + 32);
    return load<std::uint64_t>(frame + 8) ==
           (body_hash(word, frame) ^ binding(seed, at, word, load<std::int64_t>(frame + 16), load<std::int64_t>(frame + 24),
                                             static_cast<std::uint32_t>(places), static_cast<std::uint32_t>(places >> 32)));
}

/// True when the published frame at `frame`, which claims to stand at `at` of a segment that ends at `end`, is what
/// was written there. Looks at nothing beyond `end`, whatever the frame says of itself.
[[nodiscard]] inline bool verifies(std::uint64_t seed, position at, position end, const std::byte* frame) noexcept {
    if (at > end || end - at < frame_header_size) {
        return false;
    }
    const frame_header header = load_header(frame);
    const frame_word word = word_of(header);
    if (!word.is_published() || word.size() < frame_header_size || word.size() > end - at || word.length() > end - at) {
        return false;
    }
    if ((header.attributes & ~attribute::known) != 0 || (header.extension & ~extension::known) != 0 ||
        static_cast<std::uint16_t>(word.kind()) > static_cast<std::uint16_t>(frame_kind::producers) ||
        word.size() - frame_header_size < extension_bytes(header.extension)) {
        return false;
    }
    return has_checksum(seed, at, word, frame);
}

}  // namespace brook::inline BROOK_ABI::format
