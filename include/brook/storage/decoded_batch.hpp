/// \file brook/storage/decoded_batch.hpp
/// Compressed batches made readable.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Largest frame that a segment can hold: what a compressed batch may be uncompressed.
[[nodiscard]] constexpr std::uint32_t most_inflated(std::uint32_t capacity) noexcept {
    constexpr std::uint32_t around = format::segment_header_size + format::frame_header_size;
    return capacity > gib ? gib - around : capacity > around ? capacity - around : 0;
}

/// A compressed frame as it would lie in the log uncompressed, in memory of its own. Empty: none.
///
/// Threads   immutable.
/// Lifetime  of the bytes: as long as a copy of it lives.
class decoded_batch {
public:
    decoded_batch() noexcept = default;

    /// Errors    `why`, with the place: unsupported_compression_type, corrupt_record.
    [[nodiscard]] static decoded_batch make(const mapped_segment& segment, const frame_view& found, failure& why) {
        decoded_batch made;
        const auto room = [&made](std::uint32_t size) {
            std::shared_ptr<std::uint64_t[]> words = std::make_shared_for_overwrite<std::uint64_t[]>(size / sizeof(std::uint64_t));
            std::byte* const at = std::as_writable_bytes(std::span{words.get(), size / sizeof(std::uint64_t)}).data();
            made.bytes_ = std::shared_ptr<const std::byte>{std::move(words), at};
            made.length_ = size;
            return at;
        };
        switch (format::inflate(found.header, found.data, most_inflated(segment.capacity()), room)) {
            case format::inflation::done: return made;
            case format::inflation::missing_codec:
                why = {errc::unsupported_compression_type, place_text(segment.of(), segment, found.at, found.header.base_offset) +
                                                               ": the batch is compressed, and " + format::missing_codec_text(format::codec_of(found.header.attributes))};
                return {};
            case format::inflation::corrupt: break;
        }
        why = {errc::corrupt_record, place_text(segment.of(), segment, found.at, found.header.base_offset) +
                                         ": a compressed batch, and its content is not what was compressed there (seek to offset " +
                                         std::to_string(found.header.base_offset + found.offsets_taken()) + " to go on behind it)"};
        return {};
    }

    /// The frame, not compressed any more; null: none.
    [[nodiscard]] const std::byte* data() const noexcept { return bytes_.get(); }
    [[nodiscard]] std::uint32_t length() const noexcept { return length_; }
    [[nodiscard]] explicit operator bool() const noexcept { return bytes_ != nullptr; }

    /// Whether it was made from this frame, of the same log.
    [[nodiscard]] bool is_of(const frame_view& found) const noexcept {
        return bytes_ != nullptr && load<offset>(data() + 16) == found.header.base_offset && load<std::uint64_t>(data() + 8) == found.header.checksum;
    }

    /// As a walk would have found it.
    [[nodiscard]] frame_view frame() const noexcept { return {format::load_header(data()), data(), 0}; }

private:
    std::shared_ptr<const std::byte> bytes_;
    std::uint32_t length_ = 0;
};

}  // namespace brook::inline BROOK_ABI::storage
