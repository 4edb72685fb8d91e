// Frames: what a reader makes of one whose checksum an enemy has made, too, and what a broker makes of those that come over a network.
// Input: a byte of options, an offset of 8 bytes, then frames in wire form.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <brook/format/record.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/lz4.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/zstd.hpp>

#include "fuzz/frame_seeds.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::frames {

namespace {

constexpr std::uint32_t most_decoded = 1 << 20;

std::uint64_t walk(const format::frame_header& header, const std::byte* frame) {
    format::record_walk records{header, frame};
    std::uint64_t count = 0;
    for (format::record_slice record; records.next(record); ++count) {
        use(record.key());
        use(record.value());
        use(static_cast<std::uint64_t>(record.offset()) + static_cast<std::uint64_t>(record.timestamp()) + (record.is_append_time() ? 1 : 0));
        bytes rest = record.headers();
        for (format::header_slice one; format::next_header(rest, one);) {
            use(one.name);
            use(one.value.value_or(bytes{}));
        }
        if (count >= 4096) {
            break;  // records may be of no bytes but their sizes
        }
    }
    return count;
}

void read_frame(bytes frame) {
    const format::frame_header header = format::load_header(frame.data());
    const format::frame_word word = format::word_of(header);
    if (!format::verifies(format::wire_seed, format::wire_position, static_cast<position>(frame.size()), frame.data())) {
        return;
    }
    use(format::offsets_taken(header, frame.data()) + static_cast<std::uint64_t>(format::largest_timestamp(header, frame.data())));
    if (word.kind() != format::frame_kind::data) {
        return;
    }
    if (format::codec_of(header.attributes) == format::codec_none) {
        if (!word.is_bare_lone() || format::bare_lone_fits(frame.data(), word)) {
            use(walk(header, frame.data()));
        }
        if (word.is_bare_lone() && format::bare_lone_fits(frame.data(), word)) {
            const format::record_slice record{frame.data()};
            use(record.key());
            use(record.value());
        }
        return;
    }
    std::vector<std::uint64_t> memory;
    const auto room = [&](std::uint32_t size) {
        demand(size <= most_decoded + 64, "no more memory is taken than was allowed");
        memory.assign(size / sizeof(std::uint64_t), 0);
        return std::as_writable_bytes(std::span{memory}).data();
    };
    if (format::inflate(header, frame.data(), most_decoded, room) == format::inflation::done) {
        const std::byte* const plain = std::as_bytes(std::span{memory}).data();
        use(walk(format::load_header(plain), plain));
    }
}

void receive_frame(bytes frame, offset from) {
    if (format::wire_fault(frame) != nullptr) {
        return;
    }
    const format::frame_header header = format::load_header(frame.data());
    const std::uint32_t taken = format::offsets_taken(header, frame.data());
    const offset end = header.base_offset + taken;
    demand(taken > 0 && header.base_offset >= 0 && end <= largest_offset, "what is received takes offsets that there are");
    if (format::codec_of(header.attributes) == format::codec_none && format::word_of(header).kind() == format::frame_kind::data) {
        demand(walk(header, frame.data()) <= taken, "a frame that is received has no more records than offsets");
    }
    if (format::word_of(header).kind() == format::frame_kind::control && frame.size() > format::frame_header_size) {
        static_cast<void>(replication::voter_set::decode(frame.subspan(format::frame_header_size, format::word_of(header).size() - format::frame_header_size)));
    }
    const offset inside = header.base_offset + 1 + (from < 0 ? 0 : from % taken);
    std::vector<std::byte> cut;
    if (inside < end && format::cut_front(frame, inside, most_decoded, cut) == format::inflation::done) {
        const format::frame_header rest = format::load_header(cut.data());
        demand(format::wire_fault(cut) == nullptr, "what is left of a good frame is a good frame");
        demand(rest.base_offset == inside && inside + format::offsets_taken(rest, cut.data()) == end, "what is left of a frame begins where it was cut and ends where it ended");
    }
}

void run(bytes input) {
    input_reader from{input};
    const auto options = from.take<std::uint8_t>();
    const auto at = from.take<offset>();
    const exact_copy all{from.rest()};
    format::wire_walk frames{all.view()};
    std::size_t taken = 0;
    for (bytes frame; frames.next(frame);) {
        taken += frame.size();
        const exact_copy one{frame};
        (options & 1) != 0 ? read_frame(one.view()) : receive_frame(one.view(), at);
    }
    demand(taken + frames.rest().size() == all.view().size(), "a walk leaves nothing out");
}

void repair(std::vector<std::byte>& input) {
    constexpr std::size_t front = 9;
    if (input.size() < front + format::frame_header_size) {
        return;
    }
    for (std::size_t at = front; at + format::frame_header_size <= input.size();) {
        at += repair_frame(input, at, format::wire_seed, format::wire_position);
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    for (std::uint8_t options = 0; options < 2; ++options) {
        for (const auto& frame : frame_seeds()) {
            std::vector<std::byte> input;
            put(input, options);
            put(input, offset{1});
            put_bytes(input, frame);
            inputs.push_back(input);
        }
    }
}

const target frames{"frames", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::frames
