/// \file brook/format/codec.hpp
/// Codecs: how they look to brook, which ones this process has, and what a compressed batch is on disk.
/// Floor 1, format. brook itself needs no codec's library: <brook/lz4.hpp> and <brook/zstd.hpp> bring one each.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI {

/// One way to compress batches. A user's own derives from it and is made known by a `codec_registration`.
///
/// Threads   shared: called by many threads at once.
/// Lifetime  to the end of the process, since readers look for it at any time.
class compression_codec {
public:
    /// For messages.
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    /// The levels that `compress` takes. What they mean is the codec's own affair.
    [[nodiscard]] virtual int least_level() const noexcept = 0;
    [[nodiscard]] virtual int most_level() const noexcept = 0;

    /// Room with which `compress` succeeds, or is at its fastest.
    [[nodiscard]] virtual std::size_t bound(std::size_t size) const noexcept = 0;

    /// Compresses `from` into `to`, of whatever size that is. `level`: not given, the codec's own choice.
    /// Returns   the bytes written; 0: they do not fit, or it could not be done, and the batch is written as it is.
    [[nodiscard]] virtual std::size_t compress(bytes from, mutable_bytes to, std::optional<int> level) const noexcept = 0;

    /// Fills `to`, exactly, with what `compress` had been given. `from` is what stands in a file, and may be an enemy's.
    /// Returns   false where it is not that, or of another size. Writes nothing outside of `to`.
    /// Errors    std::bad_alloc; then nothing is said about the bytes.
    [[nodiscard]] virtual bool decompress(bytes from, mutable_bytes to) const = 0;

protected:
    compression_codec() noexcept = default;
    compression_codec(const compression_codec&) noexcept = default;
    compression_codec& operator=(const compression_codec&) noexcept = default;
    ~compression_codec() = default;
};

namespace format {

/// What stands in a frame's attributes (attribute::codec_mask).
inline constexpr unsigned codec_none = 0;
inline constexpr unsigned codec_lz4 = 1;
inline constexpr unsigned codec_zstd = 2;
inline constexpr unsigned codec_first_of_users = 6;  ///< from 3 to there they are kept for brook
inline constexpr unsigned codec_count = 8;

namespace detail {

/// The codecs of this process, by their ids: one table for all of its translation units, whether or not they know a codec.
/// Constant-initialized, so that it is there before anything registers.
inline constinit std::array<std::atomic<const compression_codec*>, codec_count> codecs{};

}  // namespace detail

/// Null: this process has none of that id.
[[nodiscard]] inline const compression_codec* find_codec(unsigned id) noexcept {
    return id < codec_count ? detail::codecs[id].load(std::memory_order_acquire) : nullptr;
}

/// True when `codec` is the one of that id now: it came first.
inline bool register_codec(unsigned id, const compression_codec& codec) noexcept {
    const compression_codec* before = nullptr;
    return detail::codecs[id].compare_exchange_strong(before, &codec, std::memory_order_acq_rel) || before == &codec;
}

/// What a program has to do that lacks a codec.
[[nodiscard]] inline std::string missing_codec_text(unsigned id) {
    switch (id) {
        case codec_lz4: return "this program has no codec for lz4; include <brook/lz4.hpp> in one of its files";
        case codec_zstd: return "this program has no codec for zstd; include <brook/zstd.hpp> in one of its files";
        default: break;
    }
    return "this program has no codec " + std::to_string(id) +
           (id >= codec_first_of_users && id < codec_count ? "; a brook::codec_registration makes one's own known" : ", nor has this version of brook; use a newer one");
}

/// In the body of a batch, in place of details and records, where its attributes name a codec:
///
///     at  size  field
///      0    4   uncompressed size   u32: of the details and records that an uncompressed batch of these records has
///      4    4                       zero
///      8        what the codec made of them, up to the frame's end
///
/// The extensions stand in front of it as they always do. The frame's checksum covers all of that as it lies there. A lone
/// record is never compressed.
///
/// An uncompressed size is believed only up to what these bounds allow, before memory is taken; who writes keeps to them:
/// - the batch would have fitted into its segment uncompressed, too (`most` of whoever asks);
/// - beyond `free_size` no codec makes less than a thousandth of it.
inline constexpr std::uint32_t compressed_prefix = 8;
inline constexpr std::uint32_t free_size = mib;
inline constexpr std::uint32_t largest_ratio = 1'000;

[[nodiscard]] constexpr bool is_within_ratio(std::uint64_t uncompressed, std::uint64_t stored) noexcept {
    return uncompressed <= free_size || uncompressed <= stored * largest_ratio;
}

enum class inflation {
    done,
    missing_codec,  ///< it may be all right
    corrupt,        ///< it contradicts itself, is beyond the bounds, or is not what its codec makes
};

[[nodiscard]] constexpr unsigned codec_of(std::uint16_t attributes) noexcept { return attributes & attribute::codec_mask; }

inline constexpr std::size_t least_deflated = 64;  ///< no codec gains anything on less

/// Makes what stands behind the compressed_prefix of a batch's body: `content`, its details and records, compressed into `to`.
/// Returns   the bytes written; 0: it would not be smaller, or is beyond the bounds, and is written as it is.
[[nodiscard]] inline std::size_t deflate(const compression_codec& codec, bytes content, mutable_bytes to, const std::optional<int>& level) noexcept {
    if (content.size() < least_deflated || content.size() > gib) {
        return 0;
    }
    const std::size_t made = codec.compress(content, to, level);
    return made <= to.size() && made + compressed_prefix < content.size() && is_within_ratio(content.size(), made) ? made : 0;
}

/// Makes a compressed frame into the one that it would have been uncompressed: header, extensions and body in one piece,
/// with the padding behind them. Its checksum is still the compressed one's.
///
/// `most`: how large that frame may be. `room(size)` gives 8-aligned memory of `size` bytes, and is called once all sizes
/// have been checked.
///
/// Requires  most <= 1 GiB; a published frame of kind data, with a codec, whose size lies within the memory at
///           `frame` and holds its extensions.
/// Errors    what `room` throws; std::bad_alloc.
template <class Room>
[[nodiscard]] inflation inflate(const frame_header& header, const std::byte* frame, std::uint32_t most, const Room& room) {
    const compression_codec* const codec = find_codec(codec_of(header.attributes));
    if (codec == nullptr) {
        return inflation::missing_codec;  // first of all: what another codec has in a frame is not known here
    }
    const frame_word word = word_of(header);
    const std::uint32_t front = frame_header_size + extension_bytes(header.extension);
    if ((header.attributes & attribute::lone) != 0 || word.size() - front < compressed_prefix) {
        return inflation::corrupt;
    }
    const auto uncompressed = load<std::uint32_t>(frame + front);
    const bytes stored{frame + front + compressed_prefix, word.size() - front - compressed_prefix};
    const std::uint64_t size = std::uint64_t{front} + uncompressed;
    if (load<std::uint32_t>(frame + front + sizeof uncompressed) != 0 || uncompressed == 0 || size > most ||
        !is_within_ratio(uncompressed, stored.size())) {
        return inflation::corrupt;
    }
    const std::uint32_t length = frame_length(static_cast<std::uint32_t>(size));
    std::byte* const to = room(length);
    if (!codec->decompress(stored, {to + front, uncompressed})) {
        return inflation::corrupt;
    }
    copy_bytes(to, frame, front);
    store(to, frame_word::published(static_cast<std::uint32_t>(size), static_cast<std::uint16_t>(header.attributes & ~attribute::codec_mask), header.extension));
    for (std::uint64_t at = size; at < length; ++at) {
        to[at] = std::byte{0};
    }
    return inflation::done;
}

}  // namespace format

/// Makes a codec of one's own known, with the id 6 or 7, under which its batches stand in the files for ever; best as a
/// constant at namespace scope of the file that has the codec:
///
///     const my_codec mine;
///     const brook::codec_registration registered{6, mine};
///     ...
///     brook::producer producer{topic, {.linger = 5ms, .compression_type = brook::compression::user6}};
///
/// Threads   any, any time.
class codec_registration {
public:
    /// Errors    invalid_config for an id that is not the users', or that another codec has.
    codec_registration(int id, const compression_codec& codec) {
        if (id < static_cast<int>(format::codec_first_of_users) || id >= static_cast<int>(format::codec_count)) {
            throw_error(errc::invalid_config, "codec '" + std::string{codec.name()} + "': users' codecs have the ids 6 and 7, not " + std::to_string(id));
        }
        if (!format::register_codec(static_cast<unsigned>(id), codec)) {
            throw_error(errc::invalid_config, "codec '" + std::string{codec.name()} + "': another codec has the id " + std::to_string(id));
        }
    }
};

}  // namespace brook::inline BROOK_ABI
