#include <brook/format/wire_frame.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/compressed.hpp"
#include "support/wire.hpp"

namespace format_wire_frame_test {

using namespace brook;
using namespace brook::format;
using brook::test::frame_bytes;
using brook::test::wire_at;
using brook::test::wire_batch;
using brook::test::wire_changed;
using brook::test::wire_lone;
using brook::test::wire_nth;

namespace {

std::string fault_of(const frame_bytes& frame) {
    const char* const fault = wire_fault(frame);
    return fault == nullptr ? "" : fault;
}

/// With details: offsets `numbers` of `taken`, all from one batch.
frame_bytes detailed(const std::vector<std::uint32_t>& numbers, std::uint32_t taken, const std::vector<std::int64_t>& values) {
    const auto count = static_cast<std::uint32_t>(numbers.size());
    frame_bytes frame(frame_header_size + extension::bytes_each + count * sizeof(record_detail));
    store(frame.data() + frame_header_size, batch_detail{taken - 1, 77, count});
    for (std::uint32_t i = 0; i < count; ++i) {
        store(frame.data() + frame_header_size + extension::bytes_each + i * sizeof(record_detail), record_detail{i, numbers[i], 0});
    }
    for (const std::int64_t n : values) {
        const std::string value = test::value_of(n);
        const record_sizes sizes{null_size, static_cast<std::uint32_t>(value.size()), 0};
        const std::size_t before = frame.size();
        frame.resize(before + static_cast<std::size_t>(entry_bytes(sizes)));
        copy_bytes(lay_out_entry(frame.data() + before, sizes).value, value.data(), value.size());
    }
    frame_header header{};
    header.size = static_cast<std::int32_t>(frame.size());
    header.extension = extension::detail;
    header.count = count;
    header.base_timestamp = 1'000;
    store_wire(frame.data(), header);
    return frame;
}

}  // namespace

TEST_CASE("a frame goes from one place to another without its body being hashed again", "[format][wire_frame]") {
    constexpr std::uint64_t seed = 0x1234'5678'9abc'def0;
    constexpr position at = 4'096;
    const frame_bytes sent = GENERATE(wire_nth(3), wire_batch(0, 5), make_control(as_bytes("who leads"), 9));
    CHECK(fault_of(sent) == "");
    frame_header header = load_header(sent.data());
    header.checksum = rebound(wire_seed, wire_position, header, seed, at, header);
    frame_bytes placed = sent;
    store(placed.data(), header);
    CHECK(verifies(seed, at, at + static_cast<position>(placed.size()), placed.data()));
    CHECK_FALSE(verifies(seed, at + 8, at + 8 + static_cast<position>(placed.size()), placed.data()));
    CHECK(fault_of(placed) != "");  // at home it is bound to its place
    frame_bytes again;
    to_wire(seed, at, header, placed.data(), again);
    CHECK(again == sent);
}

TEST_CASE("a filler travels without what lies in the gap", "[format][wire_frame]") {
    std::vector<std::byte> gap(4'096, std::byte{0x5a});
    frame_header header{};
    header.size = 4'090;
    header.attributes = attributes_of(frame_kind::filler);
    header.base_offset = 70;
    header.leader_epoch = 3;
    header.count = 9;
    header.checksum = checksum_of(11, 512, header, gap.data());
    store(gap.data(), header);
    frame_bytes sent;
    to_wire(11, 512, header, gap.data(), sent);
    CHECK(sent.size() == frame_header_size);
    CHECK(fault_of(sent) == "");
    CHECK(offsets_taken(load_header(sent.data()), sent.data()) == 9);
    CHECK(load_header(sent.data()).leader_epoch == 3);
}

TEST_CASE("no flipped bit of a frame that was received goes unseen, nor one of its padding", "[format][wire_frame]") {
    const frame_bytes sent = GENERATE(wire_lone("key", "value", 5), wire_batch(0, 3), make_control(as_bytes("body"), 1));
    for (std::size_t bit = 0; bit < sent.size() * 8; ++bit) {
        frame_bytes broken = sent;
        broken[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        if (wire_fault(broken) == nullptr) {
            FAIL("bit " << bit);
        }
    }
    for (std::size_t size = 0; size < sent.size(); ++size) {
        REQUIRE(wire_fault(bytes{sent}.first(size)) != nullptr);
    }
}

TEST_CASE("what contradicts itself is refused, however good its checksum", "[format][wire_frame]") {
    const frame_bytes lone = wire_lone("key", "value", 5);
    const frame_bytes numbered = wire_lone("key", "value", 5, producer_stamp{7, 1, largest_sequence});
    const frame_bytes batch = wire_batch(0, 3);
    const frame_bytes control = make_control(as_bytes("body"), 1);
    const frame_bytes sparse = detailed({0, 2}, 5, {1, 2});
    REQUIRE(fault_of(numbered) == "");
    REQUIRE(fault_of(sparse) == "");

    using change = std::function<void(frame_header&)>;
    const auto kind = [](frame_kind what) { return change{[what](frame_header& h) { h.attributes = attributes_of(what); }}; };
    const auto with = [](std::uint16_t more) { return change{[more](frame_header& h) { h.attributes = static_cast<std::uint16_t>(h.attributes | more); }}; };
    const auto count = [](std::uint32_t n) { return change{[n](frame_header& h) { h.count = n; }}; };
    const auto base = [](std::int64_t at) { return change{[at](frame_header& h) { h.base_offset = at; }}; };
    const std::vector<std::pair<frame_bytes, change>> hostile{
        {lone, kind(frame_kind::seal)},
        {lone, kind(frame_kind::evidence)},
        {lone, kind(frame_kind::producers)},
        {lone, kind(static_cast<frame_kind>(6))},
        {lone, kind(frame_kind::filler)},                 // and not its header alone
        {lone, with(0x0800)},                             // an attribute that nobody knows
        {lone, with(1)},                                  // lone and compressed
        {lone, with(attribute::transactional)},           // of no transaction
        {lone, count(4'000'000)},                         // a key beyond the frame
        {lone, count(16)},
        {lone, with(attribute::headers)},                 // headers that are larger than it
        {lone, [](frame_header& h) { h.extension = 4; }},
        {lone, [](frame_header& h) { h.extension = extension::detail; }},
        {lone, base(-1)},
        {lone, base(largest_offset)},
        {numbered, [](frame_header& h) { h.attributes = 0; h.count = 2; }},  // sequences without end
        {batch, count(0)},
        {batch, count(4)},                                // one record more than there is room for
        {batch, count(0xffff'ffff)},
        {batch, with(attribute::null_value)},
        {batch, with(attribute::headers)},
        {batch, with(2)},                                 // compressed, and says that it is nothing uncompressed
        {batch, base(largest_offset - 2)},
        {batch, [](frame_header& h) { h.extension = extension::detail; }},
        {control, count(0)},
        {control, count(0x8000'0000)},
        {control, with(attribute::lone)},
        {control, with(attribute::append_time)},
        {control, [](frame_header& h) { h.extension = extension::producer; }},
        {sparse, count(6)},
    };
    for (std::size_t i = 0; i < hostile.size(); ++i) {
        CAPTURE(i);
        CHECK(fault_of(wire_changed(hostile[i].first, hostile[i].second)) != "");
    }
    CHECK(fault_of(detailed({0, 0}, 5, {1, 2})) != "");   // the same offset twice
    CHECK(fault_of(detailed({3, 1}, 5, {1, 2})) != "");
    CHECK(fault_of(detailed({0, 5}, 5, {1, 2})) != "");   // behind its last
    CHECK(fault_of(detailed({0, 1, 2}, 2, {1, 2, 3})) != "");
    CHECK(fault_of(detailed({0, 1}, 0, {1, 2})) != "");   // 2^32 offsets
    CHECK(fault_of(detailed({0, 1}, 0x8000'0000, {1, 2})) != "");
    CHECK(fault_of(detailed({0, 1, 2}, 5, {1, 2})) != "");  // an entry is missing
}

TEST_CASE("frames are taken from a buffer as far as they are whole", "[format][wire_frame]") {
    frame_bytes all = wire_nth(1);
    const std::size_t first = all.size();
    const frame_bytes second = wire_batch(2, 3);
    all.insert(all.end(), second.begin(), second.end());
    for (std::size_t size = 0; size <= all.size(); ++size) {
        wire_walk walk{bytes{all}.first(size)};
        std::size_t count = 0;
        for (bytes frame; walk.next(frame); ++count) {
            REQUIRE(wire_fault(frame) == nullptr);
        }
        REQUIRE(count == (size < first ? 0u : size < all.size() ? 1u : 2u));
        REQUIRE(walk.rest().size() == (size < first ? size : size < all.size() ? size - first : 0u));
    }
    frame_bytes hostile(64, std::byte{0xff});
    wire_walk walk{hostile};
    bytes frame;
    CHECK_FALSE(walk.next(frame));
    store(hostile.data(), std::int32_t{0x7fff'fff9});
    CHECK_FALSE(wire_walk{hostile}.next(frame));
    store(hostile.data(), std::int32_t{39});
    CHECK_FALSE(wire_walk{hostile}.next(frame));
}

TEST_CASE("of a frame that begins in front of an offset the rest can be had", "[format][wire_frame]") {
    const frame_bytes whole = wire_at(detailed({0, 2, 3, 7}, 10, {0, 2, 3, 7}), 100, 4);
    for (offset from = 101; from < 110; ++from) {
        CAPTURE(from);
        frame_bytes rest;
        REQUIRE(cut_front(whole, from, mib, rest) == inflation::done);
        REQUIRE(fault_of(rest) == "");
        const frame_header header = load_header(rest.data());
        CHECK(header.base_offset == from);
        CHECK(header.leader_epoch == 4);
        CHECK(header.base_offset + offsets_taken(header, rest.data()) == 110);
        std::vector<offset> found;
        if (word_of(header).kind() == frame_kind::data) {
            record_walk records{header, rest.data()};
            for (record_slice record; records.next(record);) {
                found.push_back(record.offset());
                CHECK(as_text(record.value()) == test::value_of(record.offset() - 100));
            }
            CHECK(load<batch_detail>(rest.data() + detail_at(header.extension)).compacted_at == 77);
        }
        std::vector<offset> expected;
        for (const offset one : {100, 102, 103, 107}) {
            if (one >= from) {
                expected.push_back(one);
            }
        }
        CHECK(found == expected);
        CHECK((word_of(header).kind() == frame_kind::filler) == expected.empty());
    }
    frame_bytes control = wire_changed(make_control(as_bytes("body"), 1), [](frame_header& h) { h.count = 5; });
    frame_bytes rest;
    REQUIRE(cut_front(control, 2, mib, rest) == inflation::done);
    CHECK(fault_of(rest) == "");
    CHECK(offsets_taken(load_header(rest.data()), rest.data()) == 3);
}

TEST_CASE("what is larger than any frame is none, and is not looked at", "[format][wire_frame]") {
    const frame_bytes frame = wire_nth(1);
    CHECK(std::string{wire_fault({frame.data(), std::size_t{gib} + 1})} == "it has no frame's size");
    CHECK(std::string{wire_fault({frame.data(), frame_header_size - 1})} == "it has no frame's size");
}

TEST_CASE("a part of a transaction stays one when it is divided, by the same producer", "[format][wire_frame]") {
    const std::vector<std::uint32_t> numbers{0, 2, 3, 7};
    const frame_bytes plain = detailed(numbers, 10, {0, 2, 3, 7});
    frame_bytes whole(plain.begin(), plain.begin() + frame_header_size);
    whole.resize(frame_header_size + extension::bytes_each);
    store_stamp(whole.data() + frame_header_size, {77, 3, 0});
    whole.insert(whole.end(), plain.begin() + frame_header_size, plain.begin() + load_header(plain.data()).size);
    frame_header changed = load_header(plain.data());
    changed.size = static_cast<std::int32_t>(whole.size());
    changed.extension |= extension::producer;
    changed.attributes |= attribute::transactional;
    changed.base_offset = 100;
    whole.resize(frame_length(static_cast<std::uint32_t>(whole.size())));
    store_wire(whole.data(), changed);
    REQUIRE(fault_of(whole) == "");
    frame_bytes rest;
    REQUIRE(cut_front(whole, 103, mib, rest) == inflation::done);
    CHECK(fault_of(rest) == "");
    const frame_header header = load_header(rest.data());
    CHECK((header.attributes & attribute::transactional) != 0);
    CHECK(load_stamp(rest.data()).id == 77);
    CHECK(load_stamp(rest.data()).epoch == 3);
    std::vector<offset> found;
    record_walk records{header, rest.data()};
    for (record_slice record; records.next(record);) {
        found.push_back(record.offset());
    }
    CHECK(found == std::vector<offset>{103, 107});
}

TEST_CASE("what is left is no larger than the frame may be", "[format][wire_frame]") {
    const frame_bytes whole = wire_at(detailed({0, 2, 3, 7}, 10, {0, 2, 3, 7}), 100, 4);
    frame_bytes rest;
    REQUIRE(cut_front(whole, 101, mib, rest) == inflation::done);
    const auto size = static_cast<std::uint32_t>(load_header(rest.data()).size);
    rest.clear();
    CHECK(cut_front(whole, 101, size, rest) == inflation::done);
    rest.clear();
    CHECK(cut_front(whole, 101, size - 1, rest) == inflation::corrupt);
    CHECK(rest.empty());
}

TEST_CASE("what is compressed and has offsets that do not ascend is not divided", "[format][wire_frame]") {
    const auto divided = [](const std::vector<std::uint32_t>& numbers, offset from) {
        frame_bytes frame = test::deflated(detailed(numbers, 10, {0, 2, 3, 7}), test::run_codec::id);
        frame.resize(frame_length(static_cast<std::uint32_t>(frame.size())));
        frame = wire_at(frame, 100, 4);
        REQUIRE(fault_of(frame) == "");  // nobody looks into it
        frame_bytes rest;
        return cut_front(frame, from, mib, rest);
    };
    CHECK(divided({0, 2, 3, 7}, 101) == inflation::done);
    for (const auto& numbers : std::vector<std::vector<std::uint32_t>>{{0, 3, 2, 7}, {0, 3, 3, 7}, {7, 0, 2, 3}, {2, 2, 3, 7}, {0, 2, 3, 10}, {0, 2, 3, 0xffff'ffff}}) {
        CAPTURE(numbers);
        CHECK(divided(numbers, 101) == inflation::corrupt);
        CHECK(divided(numbers, 103) == inflation::corrupt);
    }
}

TEST_CASE("times that pass the last there is are divided without undefined behaviour", "[format][wire_frame]") {
    frame_bytes rest;
    const frame_bytes whole = wire_changed(detailed({0, 2, 3, 7}, 10, {0, 2, 3, 7}), [](frame_header& h) { h.base_timestamp = std::numeric_limits<std::int64_t>::max(); });
    REQUIRE(fault_of(whole) == "");
    REQUIRE(cut_front(whole, 2, mib, rest) == inflation::done);
    REQUIRE(fault_of(rest) == "");
    record_walk records{load_header(rest.data()), rest.data()};
    record_slice record;
    REQUIRE(records.next(record));
    CHECK(record.offset() == 2);
    CHECK(record.timestamp() == std::numeric_limits<std::int64_t>::min());
}

}  // namespace format_wire_frame_test
