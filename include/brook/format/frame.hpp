/// \file brook/format/frame.hpp
/// The frame: what stands between two positions of a segment. A record batch, or one of the log's own marks.
/// Floor 1, format. The byte layout of everything brook writes is told in brook/format/README.md; this table is its source.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::format {

/// What a frame is. Kept in bits 3-5 of its attributes.
enum class frame_kind : std::uint16_t {
    data = 0,      ///< a record batch
    filler = 1,    ///< offsets that were claimed and never published: consumed, not delivered
    seal = 2,      ///< the segment ends here; its base offset is the next segment's
    evidence = 3,  ///< no records: everything below the offset in its timestamp field was on disk when it was written
    control = 4,   ///< offsets of those who replicate the log: consumed, not delivered; the body is theirs
    producers = 5,  ///< no records: what the partition remembers of its producers, for whoever opens it next
};

/// Bits of `frame_header::attributes`.
namespace attribute {
inline constexpr std::uint16_t codec_mask = 0x0007;     ///< 0: not compressed, 1: lz4, 2: zstd, 6 and 7: users'; see format/codec.hpp
inline constexpr unsigned kind_shift = 3;               ///< frame_kind
inline constexpr std::uint16_t kind_mask = 0x0038;
inline constexpr std::uint16_t transactional = 0x0040;
inline constexpr std::uint16_t append_time = 0x0080;    ///< timestamps were given by the log, not by the producer
inline constexpr std::uint16_t lone = 0x0100;           ///< one record; `count` is its key's size
inline constexpr std::uint16_t null_value = 0x0200;     ///< lone: a tombstone
inline constexpr std::uint16_t headers = 0x0400;        ///< lone: the body ends with headers and their size
inline constexpr std::uint16_t known = 0x07ff;
}  // namespace attribute

/// Bits of `frame_header::extension`: each adds 16 bytes between header and body, in this order.
namespace extension {
inline constexpr std::uint16_t producer = 0x0001;  ///< a producer_stamp
inline constexpr std::uint16_t detail = 0x0002;    ///< a batch_detail, and a detail a record
inline constexpr std::uint16_t known = 0x0003;
inline constexpr std::uint32_t bytes_each = 16;
}  // namespace extension

/// A frame as it lies in the log: this header, then extensions, then the body, then zeros up to 8-byte alignment.
///
///   at  size  field           meaning
///    0    4   size            0 nothing here yet; < 0 claimed, minus the bytes claimed; > 0 published: the exact bytes
///                             of header, extensions and body, without the padding
///    4    2   attributes      see namespace attribute
///    6    2   extension       see namespace extension
///    8    8   checksum        XXH3-64(extensions and body) ^ binding(seed, position, every other field of this header)
///   16    8   base_offset     offset of the first record (data, control, filler), of what follows (the others)
///   24    8   base_timestamp  ns since 1970-01-01 UTC of the first record; evidence: the durable offset; producers: the
///                             offset up to which it tells of everything
///   32    4   leader_epoch    leadership, or local history, under which it was appended
///   36    4   count           records in a batch, offsets of a filler or a control frame; a lone record keeps its key's size here (-1: null)
///
/// The checksum of a filler, seal or evidence covers the header alone: what lies in a gap is nobody's.
/// Integers are little-endian. Frames begin at multiples of 8. The first eight bytes are one atomic word: it is stored
/// first as the claimer's mark and last, with release order, as the publication (PROTOCOL in brook/storage/README.md).
///
/// Source  Kafka's record batch v2 (KIP-98) for the fields; the binding in place of its CRC lets a follower, or the
///         compaction, give a batch a new home without hashing its body again.
struct frame_header {
    std::int32_t size;
    std::uint16_t attributes;
    std::uint16_t extension;
    std::uint64_t checksum;
    std::int64_t base_offset;
    std::int64_t base_timestamp;
    std::uint32_t leader_epoch;
    std::uint32_t count;
};
static_assert(sizeof(frame_header) == 40);
static_assert(std::has_unique_object_representations_v<frame_header>);

inline constexpr std::uint32_t frame_header_size = sizeof(frame_header);
inline constexpr std::uint32_t frame_alignment = 8;

/// Bytes from the frame's first to the next frame's first.
[[nodiscard]] constexpr std::uint32_t frame_length(std::uint32_t size) noexcept {
    return align_up(size, frame_alignment);
}

/// The first eight bytes of a frame, which publish it.
class frame_word {
public:
    constexpr frame_word() noexcept = default;
    constexpr explicit frame_word(std::uint64_t raw) noexcept : raw_{raw} {}

    [[nodiscard]] static constexpr frame_word claimed(std::uint32_t length) noexcept {
        return frame_word{std::uint32_t{0} - length};
    }
    [[nodiscard]] static constexpr frame_word published(std::uint32_t size, std::uint16_t attributes,
                                                        std::uint16_t extension = 0) noexcept {
        return frame_word{std::uint64_t{size} | std::uint64_t{attributes} << 32 | std::uint64_t{extension} << 48};
    }

    [[nodiscard]] constexpr std::uint64_t raw() const noexcept { return raw_; }
    [[nodiscard]] constexpr std::int32_t signed_size() const noexcept {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(raw_));
    }
    [[nodiscard]] constexpr bool is_empty() const noexcept { return raw_ == 0; }
    [[nodiscard]] constexpr bool is_claimed() const noexcept { return signed_size() < 0; }
    [[nodiscard]] constexpr bool is_published() const noexcept { return signed_size() > 0; }

    /// Of a published frame: exact bytes.
    [[nodiscard]] constexpr std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(raw_); }
    /// Of a published frame: bytes to the next one.
    [[nodiscard]] constexpr std::uint32_t length() const noexcept { return frame_length(size()); }
    /// Of a claimed one.
    [[nodiscard]] constexpr std::uint32_t claimed_length() const noexcept {
        return std::uint32_t{0} - static_cast<std::uint32_t>(raw_);
    }
    [[nodiscard]] constexpr std::uint16_t attributes() const noexcept { return static_cast<std::uint16_t>(raw_ >> 32); }
    [[nodiscard]] constexpr std::uint16_t extension() const noexcept { return static_cast<std::uint16_t>(raw_ >> 48); }
    [[nodiscard]] constexpr frame_kind kind() const noexcept {
        return static_cast<frame_kind>((attributes() & attribute::kind_mask) >> attribute::kind_shift);
    }

    /// A published data frame with one record, not compressed, without extensions, and with no attribute that this
    /// version does not know: most frames are.
    [[nodiscard]] constexpr bool is_plain_lone() const noexcept { return is_lone_apart_from(0); }

    /// The same, and without headers: key and value are all there is.
    [[nodiscard]] constexpr bool is_bare_lone() const noexcept { return is_lone_apart_from(attribute::headers); }

private:
    [[nodiscard]] constexpr bool is_lone_apart_from(std::uint16_t more) const noexcept {
        const auto looked_at = static_cast<std::uint16_t>(attribute::codec_mask | attribute::kind_mask | attribute::transactional | attribute::lone |
                                                          ~attribute::known | more);
        return is_published() && (raw_ & (std::uint64_t{looked_at} << 32 | std::uint64_t{0xffff} << 48)) == std::uint64_t{attribute::lone} << 32;
    }

    std::uint64_t raw_ = 0;
};

[[nodiscard]] constexpr std::uint16_t attributes_of(frame_kind kind) noexcept {
    return static_cast<std::uint16_t>(static_cast<unsigned>(kind) << attribute::kind_shift);
}

inline constexpr std::int64_t read_ahead_distance = 1024;

/// Asks for memory that a walk from frame to frame, or from record to record, will soon look at; `step`: the bytes of the one that it is at. A walk
/// goes in steps that the processor does not foresee, and knows the next one only when the last one's memory is there; lines
/// at a distance keep several on their way.
///
/// Lines that somebody is about to write are better left to him: not at the end of what is published.
///
/// Cost      three or four instructions; reading 100 B records from memory takes half the time.
[[gnu::always_inline]] inline void read_ahead(const std::byte* here, std::size_t step) noexcept {
    constexpr std::size_t line = 64;
    constexpr std::size_t distance = read_ahead_distance;
    // Not in a function of its own, whose calls compilers leave out, since it changes nothing.
    __builtin_prefetch(here + distance);  // behind the end of a mapping it does nothing
    __builtin_prefetch(here + distance + line);
    if (step > 2 * line) {
        __builtin_prefetch(here + distance + 2 * line);
    }
}

[[nodiscard]] inline frame_header load_header(const std::byte* frame) noexcept { return load<frame_header>(frame); }

[[nodiscard]] inline frame_word word_of(const frame_header& header) noexcept {
    std::uint64_t raw = 0;
    std::memcpy(&raw, &header, sizeof raw);
    return frame_word{raw};
}

/// Stores everything of a header but its first word, which publishes.
inline void store_behind_word(std::byte* frame, std::uint64_t checksum, std::int64_t base_offset, std::int64_t base_timestamp,
                              std::uint32_t leader_epoch, std::uint32_t count) noexcept {
    store(frame + 8, checksum);
    store(frame + 16, base_offset);
    store(frame + 24, base_timestamp);
    store(frame + 32, std::uint64_t{leader_epoch} | std::uint64_t{count} << 32);
}
inline void store_behind_word(std::byte* frame, const frame_header& header) noexcept {
    store_behind_word(frame, header.checksum, header.base_offset, header.base_timestamp, header.leader_epoch, header.count);
}

/// Bytes of the extensions that `bits` name.
[[nodiscard]] constexpr std::uint32_t extension_bytes(std::uint16_t bits) noexcept {
    return extension::bytes_each * (((bits & extension::producer) != 0 ? 1u : 0u) + ((bits & extension::detail) != 0 ? 1u : 0u));
}

/// Who sent a batch, and as which of its own: by this a partition tells a repetition from something new. A transaction's
/// batches carry the transaction's own id and epoch, by which readers find out how it ended.
///
///     at  size  field
///      0    8   producer id   i64
///      8    2   epoch         u16: who comes with the same id later has another one
///     10    6   sequence      u48: of the batch's first record; the others count on from it
///
/// Source  Kafka's producer id, epoch and base sequence (KIP-98). Its sequence has 32 bits and wraps; with 48 it can be the
///         number that a record has where it comes from.
struct producer_stamp {
    std::int64_t id = -1;
    std::uint16_t epoch = 0;
    std::int64_t sequence = 0;
};
inline constexpr std::int64_t largest_sequence = (std::int64_t{1} << 48) - 1;

/// Requires  0 <= stamp.sequence <= largest_sequence.
inline void store_stamp(std::byte* to, const producer_stamp& stamp) noexcept {
    store(to, stamp.id);
    store(to + sizeof(stamp.id), std::uint64_t{stamp.epoch} | static_cast<std::uint64_t>(stamp.sequence) << 16);
}

/// Requires  a frame with the producer extension, whose size has been checked to hold it.
[[nodiscard]] inline producer_stamp load_stamp(const std::byte* frame) noexcept {
    const std::byte* const from = frame + frame_header_size;
    const auto numbers = load<std::uint64_t>(from + sizeof(std::int64_t));
    return {load<std::int64_t>(from), static_cast<std::uint16_t>(numbers), static_cast<std::int64_t>(numbers >> 16)};
}

/// What the detail extension says of a batch.
///
///     at  size  field
///      0    4   last offset delta   u32: the batch takes the offsets from its base to there, whether or not it has them all
///      4    4   compacted at        u32, s since 1970-01-01 UTC: when its tombstones were first compacted, and with them what they
///                                   stand for was gone. 0: not yet, or it has none
///      8    8   largest time delta  i64, ns
///
/// Source  the delete horizon of KIP-534, which keeps the age of tombstones where they are, so that they do not grow younger by
///         being compacted again.
struct batch_detail {
    std::uint32_t last_offset_delta;
    std::uint32_t compacted_at;
    std::int64_t largest_time_delta;
};
static_assert(sizeof(batch_detail) == extension::bytes_each);

/// Where the batch_detail stands in a frame with the detail extension.
[[nodiscard]] constexpr std::uint32_t detail_at(std::uint16_t bits) noexcept {
    return frame_header_size + ((bits & extension::producer) != 0 ? extension::bytes_each : 0u);
}

/// The latest timestamp of a batch's records, in ns, as its details' extension says; without one they all have the batch's.
///
/// Requires  a frame whose size has been checked to hold its header and extensions.
[[nodiscard]] inline std::int64_t largest_timestamp(const frame_header& header, const std::byte* frame) noexcept {
    if ((header.extension & extension::detail) == 0) {
        return header.base_timestamp;
    }
    const auto delta = static_cast<std::uint64_t>(load<batch_detail>(frame + detail_at(header.extension)).largest_time_delta);
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(header.base_timestamp) + delta);  // an enemy's need not add up
}

/// How many offsets the frame takes. {base 100, count 3} takes 100, 101, 102: the next frame's base offset is 103.
///
/// Requires  a frame whose size has been checked to hold its header and extensions.
[[nodiscard]] inline std::uint32_t offsets_taken(const frame_header& header, const std::byte* frame) noexcept {
    const frame_word word = word_of(header);
    switch (word.kind()) {
        case frame_kind::seal:
        case frame_kind::evidence:
        case frame_kind::producers: return 0;
        case frame_kind::filler:
        case frame_kind::control: return header.count;
        case frame_kind::data: break;
    }
    if ((header.attributes & attribute::lone) != 0) {
        return 1;
    }
    if ((header.extension & extension::detail) != 0) {
        return load<batch_detail>(frame + detail_at(header.extension)).last_offset_delta + 1;
    }
    return header.count;
}

}  // namespace brook::inline BROOK_ABI::format
