/// \file fuzz/segment_repair.hpp
/// Makes a mutated file of a partition one that its checksums do not give away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <brook/format/checkpoint.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/segment_directory.hpp>

#include "fuzz/frame_seeds.hpp"

namespace brook::fuzz {

/// Each piece of a segment's header, as it is, is its own; the segment is of `name`.
///
/// Requires  segment_header_size bytes at `raw`.
inline void repair_segment(std::byte* raw, const storage::partition_name& name) {
    auto birth = load<format::segment_birth>(raw);
    birth = format::make_birth(birth.seed, birth.capacity, name.topic_id, name.number, birth.flags & format::segment_flag::compacted);
    store(raw, birth);
    const auto base_plus_one = load<std::uint64_t>(raw + format::base_at);
    store(raw + format::base_check_at, format::base_check(birth.seed, base_plus_one));
    store(raw + format::tombstones_check_at, format::tombstones_check(birth.seed, load<std::int64_t>(raw + format::tombstones_at)));
    const auto writer = load<format::segment_writer>(raw + format::writer_at);
    store(raw + format::writer_at, format::make_writer(writer.boot_id, writer.device, writer.inode, writer.birth_time_ns));
    const auto footer = load<format::segment_footer>(raw + format::footer_at);
    store(raw + format::footer_at, format::make_footer(birth.seed, footer.end_offset, footer.seal_position, footer.sealed_at));
}

/// The frames behind the header, up to the first word that publishes none. `is_dense`: each begins with the offset at which the one
/// before it ends.
///
/// Requires  a repaired header in front.
inline void repair_frames(std::vector<std::byte>& file, bool is_dense) {
    const auto birth = load<format::segment_birth>(file.data());
    auto expected = static_cast<offset>(load<std::uint64_t>(file.data() + format::base_at) - 1);
    for (std::size_t at = format::segment_header_size; at + format::frame_header_size <= file.size();) {
        format::frame_header header = format::load_header(file.data() + at);
        const format::frame_word word = format::word_of(header);
        if (word.is_claimed() && word.claimed_length() % 8 == 0 && word.claimed_length() <= file.size() - at) {
            at += word.claimed_length();
            continue;
        }
        if (!word.is_published()) {
            return;
        }
        if (is_dense) {
            header.base_offset = expected;
            store(file.data() + at, header);
        }
        const std::size_t length = repair_frame(file, at, birth.seed, static_cast<position>(at));
        const auto taken = static_cast<std::uint64_t>(format::offsets_taken(format::load_header(file.data() + at), file.data() + at));
        expected = static_cast<offset>(static_cast<std::uint64_t>(expected) + taken);  // a base may be any number
        at += length;
    }
}

/// Both slots count.
inline void repair_checkpoint(std::vector<std::byte>& file, const storage::partition_name& name) {
    for (std::size_t at = 0; at + sizeof(format::checkpoint) <= file.size() && at < format::checkpoint_file_size; at += format::checkpoint_slot_size) {
        auto slot = load<format::checkpoint>(file.data() + at);
        slot.magic = format::checkpoint{}.magic;
        slot.partition = name.number;
        slot.topic = name.topic_id;
        store(file.data() + at, format::sealed(slot));
    }
}

}  // namespace brook::fuzz
