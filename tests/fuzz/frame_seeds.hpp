/// \file fuzz/frame_seeds.hpp
/// Frames of each kind as the library makes them, and how a frame that was mutated is made one whose checksum is right.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <brook/format/codec.hpp>
#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>

#include "fuzz/target.hpp"

namespace brook::fuzz {

/// Makes what stands at `at` a published frame of known kind, that lies within the input and has its checksum.
/// Returns   bytes to the next one, a header at least.
inline std::size_t repair_frame(std::vector<std::byte>& input, std::size_t at, std::uint64_t seed, position place) {
    const std::size_t room = (input.size() - at) / 8 * 8;
    if (room < format::frame_header_size) {
        return input.size() - at;
    }
    format::frame_header header = format::load_header(input.data() + at);
    const std::uint32_t least = format::frame_header_size + format::extension_bytes(header.extension & format::extension::known);
    if (header.size < static_cast<std::int32_t>(format::frame_header_size) || static_cast<std::uint32_t>(header.size) > room) {
        header.size = static_cast<std::int32_t>(room);
    }
    header.attributes &= format::attribute::known;
    header.extension &= format::extension::known;
    if (static_cast<unsigned>(format::word_of(header).kind()) > static_cast<unsigned>(format::frame_kind::producers)) {
        header.attributes = static_cast<std::uint16_t>(header.attributes & ~format::attribute::kind_mask);
    }
    if (static_cast<std::uint32_t>(header.size) < least) {
        header.extension = 0;
    }
    if (header.base_offset < 0) {
        header.base_offset &= 0xffff'ffff;
    }
    for (std::size_t i = at + static_cast<std::uint32_t>(header.size); i < at + format::word_of(header).length(); ++i) {
        input[i] = std::byte{0};
    }
    store(input.data() + at, header);
    header.checksum = format::checksum_of(seed, place, header, input.data() + at);
    store(input.data() + at, header);
    return format::word_of(header).length();
}

struct seed_record {
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::string_view header;
};

inline constexpr std::array<seed_record, 3> seed_records{{
    {"key", "a value that is repeated, a value that is repeated, a value that is repeated", "name"},
    {std::nullopt, "none", ""},
    {"key", std::nullopt, ""},
}};

[[nodiscard]] inline format::record_sizes sizes_of(const seed_record& one, bool has_headers) {
    const auto size = [](const std::optional<std::string_view>& text) { return text ? static_cast<std::uint32_t>(text->size()) : format::null_size; };
    return {size(one.key), size(one.value), has_headers && !one.header.empty() ? static_cast<std::uint32_t>(format::header_bytes(one.header.size(), 2)) : 0};
}

inline void write_record(const seed_record& one, bool has_headers, std::byte* key, std::byte* value, std::byte* headers) {
    copy_bytes(key, one.key ? one.key->data() : nullptr, one.key ? one.key->size() : 0);
    copy_bytes(value, one.value ? one.value->data() : nullptr, one.value ? one.value->size() : 0);
    if (has_headers && !one.header.empty()) {
        static_cast<void>(format::write_header(headers, one.header, as_bytes("hv")));
    }
}

[[nodiscard]] inline std::vector<std::byte> finished(std::vector<std::byte> frame, format::frame_header header) {
    header.base_timestamp = 1'700'000'000'000'000'000;
    frame.resize(format::frame_length(static_cast<std::uint32_t>(header.size)));
    format::store_wire(frame.data(), header);
    return frame;
}

[[nodiscard]] inline std::vector<std::byte> lone_seed(const seed_record& one) {
    const format::record_sizes sizes = sizes_of(one, true);
    std::vector<std::byte> frame(format::frame_length(static_cast<std::uint32_t>(format::lone_frame_size(sizes))));
    const auto layout = format::lay_out_lone(frame.data(), sizes);
    write_record(one, true, layout.key, layout.value, layout.headers);
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(format::lone_frame_size(sizes));
    header.attributes = format::lone_attributes(sizes);
    header.count = sizes.key;
    return finished(std::move(frame), header);
}

/// All seed records as one batch. `codec`: 0, it is not compressed. `bits`: its extensions.
[[nodiscard]] inline std::vector<std::byte> batch_seed(unsigned codec, std::uint16_t bits) {
    const bool has_details = (bits & format::extension::detail) != 0;
    std::vector<std::byte> content;
    if (has_details) {
        for (std::uint32_t i = 0; i < seed_records.size(); ++i) {
            put(content, format::record_detail{i * 10, i * 2, sizes_of(seed_records[i], true).headers});
        }
    }
    for (const seed_record& one : seed_records) {
        const format::record_sizes sizes = sizes_of(one, has_details);
        const std::size_t at = content.size();
        content.resize(at + format::entry_bytes(sizes));
        const auto layout = format::lay_out_entry(content.data() + at, sizes);
        write_record(one, has_details, layout.key, layout.value, layout.headers);
    }
    const std::uint32_t front = format::frame_header_size + format::extension_bytes(bits);
    std::vector<std::byte> frame(front);
    if ((bits & format::extension::producer) != 0) {
        format::store_stamp(frame.data() + format::frame_header_size, {77, 1, 5});
    }
    if (has_details) {
        store(frame.data() + format::detail_at(bits), format::batch_detail{4, 0, 20});
    }
    if (codec != format::codec_none) {
        const auto plain = static_cast<std::uint32_t>(content.size());
        std::vector<std::byte> made(content.size() + 64);
        made.resize(format::deflate(*format::find_codec(codec), content, made, std::nullopt));
        demand(!made.empty(), "a seed can be compressed");
        content.clear();
        put(content, std::uint64_t{plain});
        put_bytes(content, made);
    }
    put_bytes(frame, content);
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.attributes = static_cast<std::uint16_t>(codec);
    header.extension = bits;
    header.count = static_cast<std::uint32_t>(seed_records.size());
    return finished(std::move(frame), header);
}

/// One of each kind that travels.
[[nodiscard]] inline std::vector<std::vector<std::byte>> frame_seeds() {
    using namespace format;
    std::vector<std::vector<std::byte>> all{lone_seed(seed_records[0]), lone_seed(seed_records[1]), lone_seed(seed_records[2]), batch_seed(codec_none, 0),
                                            batch_seed(codec_none, extension::detail), batch_seed(codec_none, extension::detail | extension::producer)};
    for (const unsigned codec : {codec_lz4, codec_zstd}) {
        if (find_codec(codec) != nullptr) {
            all.push_back(batch_seed(codec, 0));
            all.push_back(batch_seed(codec, extension::detail | extension::producer));
        }
    }
    frame_header filler{};
    filler.size = static_cast<std::int32_t>(frame_header_size);
    filler.attributes = attributes_of(frame_kind::filler);
    filler.count = 9;
    all.push_back(finished({}, filler));
    return all;
}

}  // namespace brook::fuzz
