/// \file brook/format/record.hpp
/// Records inside a frame: how they are laid out, written and walked.
/// Floor 1, format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI::format {

/// A lone record's body, after the extensions:
///
///     key, zeros up to 8 | value | [headers, u32 size of headers]
///
/// A batch's body, after the extensions, holds `count` records, each
///
///     u32 value size (2^32-1: null), i32 key size (-1: null) | key, zeros up to 8 | value, zeros up to 8 | [headers, zeros up to 8]
///
/// preceded, where the frame has the detail extension, by `count` details of 16 bytes: {i64 time delta in ns,
/// u32 offset delta, u32 size of headers}. Without it the records have the batch's timestamp, dense offsets, no headers.
/// Key and value begin at multiples of 8, so that values are read in place.
///
/// Headers are any number of {u16 name size, i32 value size (-1: null), name, value}, unaligned (KIP-82).
inline constexpr std::uint32_t entry_size = 8;
inline constexpr std::uint32_t null_size = 0xffff'ffff;

struct record_detail {
    std::int64_t time_delta;
    std::uint32_t offset_delta;
    std::uint32_t headers_size;
};
static_assert(sizeof(record_detail) == 16);

/// Sizes of a record that is to be written.
struct record_sizes {
    std::uint32_t key = null_size;    ///< null_size: no key
    std::uint32_t value = null_size;  ///< null_size: a tombstone
    std::uint32_t headers = 0;

    [[nodiscard]] constexpr std::uint64_t key_bytes() const noexcept { return key == null_size ? 0 : key; }
    [[nodiscard]] constexpr std::uint64_t value_bytes() const noexcept { return value == null_size ? 0 : value; }
};

/// Exact size of the frame of one record. 64 bits: the caller compares it with what a segment can hold.
[[nodiscard]] constexpr std::uint64_t lone_frame_size(const record_sizes& sizes, std::uint16_t extensions = 0) noexcept {
    return frame_header_size + extension_bytes(extensions) + align_up(sizes.key_bytes(), std::uint64_t{8}) + sizes.value_bytes() +
           (sizes.headers == 0 ? 0u : sizes.headers + sizeof(std::uint32_t));
}

/// Where key, value and headers of a lone record go.
struct lone_layout {
    std::byte* key;
    std::byte* value;
    std::byte* headers;
};

/// Prepares the body of a lone record at `frame`: zeros between key and value, the size of the headers.
[[nodiscard]] inline lone_layout lay_out_lone(std::byte* frame, const record_sizes& sizes, std::uint16_t extensions = 0) noexcept {
    std::byte* const key = frame + frame_header_size + extension_bytes(extensions);
    std::byte* value = key;
    if (const std::uint64_t size = sizes.key_bytes(); size != 0) {
        value += align_up(size, std::uint64_t{8});
        store(value - 8, std::uint64_t{0});  // the key's last word: the key is written over it, its padding stays
    }
    std::byte* const headers = value + sizes.value_bytes();
    if (sizes.headers != 0) {
        store(headers + sizes.headers, sizes.headers);
    }
    return {key, value, headers};
}

/// Attributes of a lone data frame.
[[nodiscard]] constexpr std::uint16_t lone_attributes(const record_sizes& sizes) noexcept {
    return static_cast<std::uint16_t>(attribute::lone | (sizes.value == null_size ? attribute::null_value : 0u) |
                                      (sizes.headers != 0 ? attribute::headers : 0u));
}

/// Bytes that a record takes inside a batch, without its detail.
[[nodiscard]] constexpr std::uint64_t entry_bytes(const record_sizes& sizes) noexcept {
    return entry_size + align_up(sizes.key_bytes(), std::uint64_t{8}) + align_up(sizes.value_bytes(), std::uint64_t{8}) +
           align_up(std::uint64_t{sizes.headers}, std::uint64_t{8});
}

/// Sizes of a record in a batch, by its entry; those of its headers stand in its detail.
[[nodiscard]] inline record_sizes entry_sizes(const std::byte* entry) noexcept {
    return {load<std::uint32_t>(entry + 4), load<std::uint32_t>(entry), 0};
}

struct entry_layout {
    std::byte* key;
    std::byte* value;
    std::byte* headers;
    std::byte* end;
};

/// Prepares one record of a batch at `entry`: its sizes, and zeros where padding will be.
[[nodiscard]] inline entry_layout lay_out_entry(std::byte* entry, const record_sizes& sizes) noexcept {
    store(entry, std::uint64_t{sizes.value} | std::uint64_t{sizes.key} << 32);
    std::byte* const key = entry + entry_size;
    std::byte* const value = key + align_up(sizes.key_bytes(), std::uint64_t{8});
    std::byte* const headers = value + align_up(sizes.value_bytes(), std::uint64_t{8});
    std::byte* const end = headers + align_up(std::uint64_t{sizes.headers}, std::uint64_t{8});
    if (value != key) {
        store(value - 8, std::uint64_t{0});
    }
    if (headers != value) {
        store(headers - 8, std::uint64_t{0});
    }
    if (end != headers) {
        store(end - 8, std::uint64_t{0});
    }
    return {key, value, headers, end};
}

/// One record of a data frame, in place. Key and value are at hand; offset, times and headers are decoded when asked for.
///
/// Threads   immutable.
/// Lifetime  that of the frame's bytes, as everything it gives.
class record_slice {
public:
    record_slice() noexcept = default;

    /// The only record of a bare lone frame.
    ///
    /// Requires  bare_lone_fits.
    explicit record_slice(const std::byte* frame) noexcept : frame_{frame} {}

    /// Turns to the only record of a lone frame; false, and unchanged, where key, value and headers do not lie within it.
    ///
    /// Requires  the word of a published, lone, uncompressed data frame whose size lies within the memory at `frame`.
    [[nodiscard, gnu::always_inline]] bool look_at_lone(const std::byte* frame, frame_word word) noexcept {
        const auto key = load<std::uint32_t>(frame + 36);
        const std::uint32_t extensions = extension_bytes(word.extension());
        const std::uint64_t key_bytes = key == null_size ? 0 : align_up(std::uint64_t{key}, std::uint64_t{8});
        std::int64_t value = static_cast<std::int64_t>(word.size()) - frame_header_size - extensions - static_cast<std::int64_t>(key_bytes);
        if ((word.attributes() & attribute::headers) != 0) [[unlikely]] {
            value -= sizeof(std::uint32_t);
            if (value < 0) {
                return false;
            }
            value -= load<std::uint32_t>(frame + word.size() - sizeof(std::uint32_t));
        }
        if (value < 0) [[unlikely]] {
            return false;
        }
        frame_ = frame;
        key_at_ = frame + frame_header_size + extensions;
        key_size_ = key;
        value_size_ = (word.attributes() & attribute::null_value) == 0 ? static_cast<std::uint32_t>(value) : null_size;
        return true;
    }

    /// Turns to the record at `index` of a batch's frame, whose entry is at `entry`.
    ///
    /// Requires  that the entry lies within the frame, and the frame's details, as record_walk sees to.
    void look_at_entry(const std::byte* frame, const std::byte* entry, std::uint32_t index) noexcept {
        const record_sizes sizes = entry_sizes(entry);
        frame_ = frame;
        key_at_ = entry + entry_size;
        key_size_ = sizes.key;
        value_size_ = sizes.value;
        index_ = index;
    }

    [[nodiscard]] brook::offset offset() const noexcept {
        const auto base = load<std::int64_t>(frame_ + 16);
        if (is_bare() || is_lone()) {
            return base;
        }
        return wrapping_sum(base, has_details() ? detail().offset_delta : index_);
    }

    /// ns since 1970-01-01 UTC.
    [[nodiscard]] std::int64_t timestamp() const noexcept {
        const auto base = load<std::int64_t>(frame_ + 24);
        return is_bare() || is_lone() || !has_details() ? base : wrapping_sum(base, detail().time_delta);
    }
    [[nodiscard]] bool is_append_time() const noexcept { return (word().attributes() & attribute::append_time) != 0; }

    [[nodiscard]] bool has_key() const noexcept { return key_size() != null_size; }
    [[nodiscard]] bytes key() const noexcept { return {key_begin(), static_cast<std::size_t>(sizes().key_bytes())}; }

    /// False of a tombstone.
    [[nodiscard]] bool has_value() const noexcept {
        return is_bare() ? (word().attributes() & attribute::null_value) == 0 : value_size_ != null_size;
    }
    [[nodiscard]] bytes value() const noexcept {
        const std::uint64_t key_room = align_up(sizes().key_bytes(), std::uint64_t{8});
        if (is_bare()) [[likely]] {
            return {key_begin() + key_room, has_value() ? static_cast<std::size_t>(word().size() - frame_header_size - key_room) : 0};
        }
        return {key_begin() + key_room, static_cast<std::size_t>(sizes().value_bytes())};
    }

    [[nodiscard]] bytes headers() const noexcept {
        const bytes before = value();
        const std::byte* const value_end = before.data() + before.size();
        if (is_bare()) {
            return {value_end, 0};
        }
        if (!is_lone()) {
            return {before.data() + align_up(before.size(), std::size_t{8}), has_details() ? std::size_t{detail().headers_size} : 0};
        }
        const std::byte* const frame_end = frame_ + word().size();
        if ((word().attributes() & attribute::headers) == 0) {
            return {frame_end, 0};
        }
        const std::byte* const end = frame_end - sizeof(std::uint32_t);
        const std::byte* const begin = has_value() ? value_end : end - load<std::uint32_t>(end);
        return {begin, static_cast<std::size_t>(end - begin)};
    }

private:
    [[nodiscard]] frame_word word() const noexcept { return load<frame_word>(frame_); }
    [[nodiscard]] bool is_bare() const noexcept { return key_at_ == nullptr; }
    [[nodiscard]] const std::byte* key_begin() const noexcept { return is_bare() ? frame_ + frame_header_size : key_at_; }
    [[nodiscard]] std::uint32_t key_size() const noexcept { return is_bare() ? load<std::uint32_t>(frame_ + 36) : key_size_; }
    [[nodiscard]] record_sizes sizes() const noexcept { return {key_size(), value_size_, 0}; }
    [[nodiscard]] bool is_lone() const noexcept { return (word().attributes() & attribute::lone) != 0; }
    [[nodiscard]] bool has_details() const noexcept { return (word().extension() & extension::detail) != 0; }
    [[nodiscard]] record_detail detail() const noexcept {
        const std::byte* const details = frame_ + frame_header_size + extension_bytes(word().extension());
        return load<record_detail>(details + std::size_t{index_} * sizeof(record_detail));
    }

    /// An enemy's numbers need not add up, and that is no undefined behaviour.
    [[nodiscard]] static std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) noexcept {
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
    }

    const std::byte* frame_ = nullptr;
    const std::byte* key_at_ = nullptr;  // null: a bare lone frame, whose sizes are read where they stand
    std::uint32_t key_size_ = null_size;
    std::uint32_t value_size_ = null_size;
    std::uint32_t index_ = 0;  // in a batch
};

/// True where a key of that size, or null_size, lies within a bare lone frame's body of `body` bytes; the value is the rest.
[[nodiscard]] inline bool key_fits(std::uint32_t key, std::uint32_t body) noexcept {
    return align_up(record_sizes{key, 0, 0}.key_bytes(), std::uint64_t{8}) <= body;
}

/// True where the key of a bare lone frame lies within it.
///
/// Requires  the word of a bare lone frame whose size, a header or more, lies within the memory at `frame`.
[[nodiscard]] inline bool bare_lone_fits(const std::byte* frame, frame_word word) noexcept {
    return key_fits(load<std::uint32_t>(frame + 36), word.size() - frame_header_size);
}

/// Walks the records of one data frame, in the order of their offsets. Bounds are checked against the frame's size at
/// each step, so that a frame made by an enemy ends the walk early (`is_malformed`) and reads nothing outside itself.
///
/// Threads   confined.
/// Lifetime  the slices point into the frame.
class record_walk {
public:
    /// Of nothing.
    record_walk() noexcept = default;

    /// Requires  a published frame of kind data whose size lies within the memory at `frame`.
    record_walk(const frame_header& header, const std::byte* frame) noexcept
        : frame_{frame},
          at_{frame + frame_header_size},
          end_{frame + static_cast<std::uint32_t>(header.size)},
          left_{(header.attributes & attribute::lone) != 0 ? 1u : header.count},
          is_lone_{(header.attributes & attribute::lone) != 0} {
        const std::uint32_t extensions = extension_bytes(header.extension);
        if (room() < extensions || (header.attributes & attribute::codec_mask) != 0) {
            malformed();
            return;
        }
        at_ += extensions;
        if (!is_lone_ && (header.extension & extension::detail) != 0) {
            const std::uint64_t details = std::uint64_t{left_} * sizeof(record_detail);
            if (room() < details) {
                malformed();
                return;
            }
            details_ = at_;
            at_ += details;
        }
    }

    /// Goes on within a batch, at a record that an earlier walk came to.
    record_walk(const std::byte* frame, const std::byte* entry, std::uint32_t index) noexcept : record_walk{load_header(frame), frame} {
        at_ = entry;
        index_ = index;
        left_ = left_ > index ? left_ - index : 0;
    }

    /// Where the next record of a batch stands, and which one that is.
    [[nodiscard]] const std::byte* entry() const noexcept { return at_; }
    [[nodiscard]] std::uint32_t index() const noexcept { return index_; }

    /// Moves on to the next record; false at the end, or where the frame contradicts itself.
    [[nodiscard, gnu::always_inline]] bool next(record_slice& record) noexcept {
        if (left_ == 0) {
            return false;
        }
        --left_;
        if (is_lone_) {
            if (!record.look_at_lone(frame_, load<frame_word>(frame_))) {
                return malformed();
            }
            return true;
        }
        return next_entry(record);
    }

    [[nodiscard]] bool is_malformed() const noexcept { return is_malformed_; }

private:
    [[nodiscard]] std::uint64_t room() const noexcept { return static_cast<std::uint64_t>(end_ - at_); }

    bool malformed() noexcept {
        is_malformed_ = true;
        left_ = 0;
        return false;
    }

    /// The last record's padding belongs to the frame's size: every entry is written whole.
    [[gnu::always_inline]] bool next_entry(record_slice& record) noexcept {
        if (room() < entry_size) {
            return malformed();
        }
        record_sizes parts = entry_sizes(at_);
        if (details_ != nullptr) {
            parts.headers = load<record_detail>(details_ + std::size_t{index_} * sizeof(record_detail)).headers_size;
        }
        const std::uint64_t taken = entry_bytes(parts);
        if (room() < taken) {
            return malformed();
        }
        record.look_at_entry(frame_, at_, index_);
        ++index_;
        at_ += taken;
        return true;
    }

    const std::byte* frame_ = nullptr;
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
    const std::byte* details_ = nullptr;
    std::uint32_t left_ = 0;
    std::uint32_t index_ = 0;
    bool is_lone_ = false;
    bool is_malformed_ = false;
};

/// How many records a data frame holds: for a batch without gaps, its count.
[[nodiscard]] inline std::uint32_t records_in(const frame_header& header) noexcept {
    return (header.attributes & attribute::lone) != 0 ? 1u : header.count;
}

/// A header of a record, in place.
struct header_slice {
    std::string_view name;
    std::optional<bytes> value;  ///< nullopt: null
};

inline constexpr std::size_t header_name_max = std::numeric_limits<std::uint16_t>::max();

/// Bytes that a header takes.
[[nodiscard]] constexpr std::uint64_t header_bytes(std::uint64_t name, std::uint64_t value) noexcept {
    return sizeof(std::uint16_t) + sizeof(std::int32_t) + name + value;
}

/// Writes one header at `to` and returns the first byte after it.
///
/// Requires  name.size() <= header_name_max, and room for header_bytes(name.size(), value's size).
[[nodiscard]] inline std::byte* write_header(std::byte* to, std::string_view name, const std::optional<bytes>& value) noexcept {
    store(to, static_cast<std::uint16_t>(name.size()));
    store(to + 2, value ? static_cast<std::int32_t>(value->size()) : std::int32_t{-1});
    to += sizeof(std::uint16_t) + sizeof(std::int32_t);
    copy_bytes(to, name.data(), name.size());
    to += name.size();
    if (value) {
        copy_bytes(to, value->data(), value->size());
        to += value->size();
    }
    return to;
}

/// Takes the first header off the front of `rest`; false when none is left, or the rest is not headers.
[[nodiscard]] inline bool next_header(bytes& rest, header_slice& header) noexcept {
    constexpr std::size_t fixed = sizeof(std::uint16_t) + sizeof(std::int32_t);
    if (rest.size() < fixed) {
        return false;
    }
    const std::size_t name = load<std::uint16_t>(rest.data());
    const std::int32_t value = load<std::int32_t>(rest.data() + 2);
    const std::size_t value_size = value < 0 ? 0 : static_cast<std::size_t>(value);
    if (value < -1 || rest.size() - fixed < name || rest.size() - fixed - name < value_size) {
        return false;
    }
    header.name = as_text(rest.subspan(fixed, name));
    header.value = value < 0 ? std::nullopt : std::optional<bytes>{rest.subspan(fixed + name, value_size)};
    rest = rest.subspan(fixed + name + value_size);
    return true;
}

}  // namespace brook::inline BROOK_ABI::format
