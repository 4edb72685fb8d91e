#include <brook/format/checkpoint.hpp>  // first, so that it must stand alone

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace format_checkpoint_test {

using namespace brook;
using namespace brook::format;

namespace {

std::string file_with(std::uint64_t newest) {
    std::string file(checkpoint_file_size, '\0');
    for (std::uint64_t sequence = newest > 1 ? newest - 1 : newest; sequence <= newest; ++sequence) {
        checkpoint slot;
        slot.sequence = sequence;
        slot.durable_offset = static_cast<std::int64_t>(sequence) * 10;
        store(reinterpret_cast<std::byte*>(file.data()) + slot_position(sequence), sealed(slot));
    }
    return file;
}

}  // namespace

TEST_CASE("a checkpoint lies on disk as its table says", "[format][checkpoint]") {
    STATIC_REQUIRE(sizeof(checkpoint) == 504);
    STATIC_REQUIRE(offsetof(checkpoint, version) == 8);
    STATIC_REQUIRE(offsetof(checkpoint, partition) == 12);
    STATIC_REQUIRE(offsetof(checkpoint, topic) == 16);
    STATIC_REQUIRE(offsetof(checkpoint, sequence) == 32);
    STATIC_REQUIRE(offsetof(checkpoint, durable_offset) == 40);
    STATIC_REQUIRE(offsetof(checkpoint, log_start_offset) == 48);
    STATIC_REQUIRE(offsetof(checkpoint, high_watermark) == 56);
    STATIC_REQUIRE(offsetof(checkpoint, segment_base) == 64);
    STATIC_REQUIRE(offsetof(checkpoint, segment_position) == 72);
    STATIC_REQUIRE(offsetof(checkpoint, segment_offset) == 80);
    STATIC_REQUIRE(offsetof(checkpoint, leader_epoch) == 88);
    STATIC_REQUIRE(offsetof(checkpoint, checksum) == 104);
    STATIC_REQUIRE(offsetof(checkpoint, cut_plus_one) == 112);
    STATIC_REQUIRE(offsetof(checkpoint, cut_checksum) == 120);
    STATIC_REQUIRE(offsetof(checkpoint, epoch_count) == 128);
    STATIC_REQUIRE(offsetof(checkpoint, epochs_end) == 136);
    STATIC_REQUIRE(offsetof(checkpoint, epochs) == 144);
    STATIC_REQUIRE(sizeof(checkpoint_epoch) == 16);
    STATIC_REQUIRE(offsetof(checkpoint, epoch_checksum) == 496);
    CHECK(std::string_view{checkpoint{}.magic.data(), 8} == "brookckp");
    CHECK(slot_position(0) == 0);
    CHECK(slot_position(1) == 512);
    CHECK(slot_position(2) == 0);
    CHECK(checkpoint_file_size == 1'024);
}

TEST_CASE("the newest whole slot counts, at whichever byte its write was torn", "[format][checkpoint]") {
    const std::uint64_t newest = GENERATE(2u, 3u, 9u);
    const std::string before = file_with(newest - 1);
    const std::string after = file_with(newest);
    CHECK(newest_checkpoint(as_bytes(before))->sequence == newest - 1);
    CHECK(newest_checkpoint(as_bytes(after))->sequence == newest);
    const std::size_t at = slot_position(newest);
    for (std::size_t torn = 0; torn <= sizeof(checkpoint); ++torn) {
        std::string file = before;
        file.replace(at, torn, after, at, torn);
        const auto read = newest_checkpoint(as_bytes(file));
        REQUIRE(read);
        if (file != after) {
            CHECK(read->sequence == newest - 1);
            CHECK(read->durable_offset == static_cast<std::int64_t>(newest - 1) * 10);
        } else {
            CHECK(read->sequence == newest);
        }
    }
}

TEST_CASE("a slot with any bit flipped does not count", "[format][checkpoint]") {
    std::string good = file_with(9);
    if (GENERATE(false, true)) {
        auto slot = load<checkpoint>(as_mutable_bytes(good).data() + slot_position(9));
        slot.cut_plus_one = 71;
        store(as_mutable_bytes(good).data() + slot_position(9), sealed(slot));
        REQUIRE(newest_checkpoint(as_bytes(good))->cut_to() == 70);
    }
    for (std::size_t bit = 0; bit < offsetof(checkpoint, epoch_count) * 8; ++bit) {
        std::string file = good;
        const std::size_t at = slot_position(9) + bit / 8;
        file[at] = static_cast<char>(static_cast<unsigned char>(file[at]) ^ (1u << bit % 8));
        const auto read = newest_checkpoint(as_bytes(file));
        CHECK((read && read->sequence == 8));
    }
}

TEST_CASE("a file that is empty, short or zeros has no checkpoint", "[format][checkpoint]") {
    CHECK_FALSE(newest_checkpoint({}));
    CHECK_FALSE(newest_checkpoint(as_bytes(std::string(checkpoint_file_size, '\0'))));
    CHECK_FALSE(newest_checkpoint(as_bytes(std::string(checkpoint_file_size, '\xff'))));
    const std::string file = file_with(9);
    for (std::size_t size = 0; size < file.size(); ++size) {
        const std::string shorter = file.substr(0, size);
        const auto read = newest_checkpoint(as_bytes(shorter));
        const bool has_first = size >= sizeof(checkpoint);
        const bool has_second = size >= checkpoint_slot_size + sizeof(checkpoint);
        CHECK(read.has_value() == has_first);
        if (read) {
            CHECK(read->sequence == (has_second ? 9u : 8u));
        }
    }
}

TEST_CASE("a slot with an offset that no log can have does not count", "[format][checkpoint]") {
    for (const auto member : {&checkpoint::durable_offset, &checkpoint::log_start_offset, &checkpoint::high_watermark, &checkpoint::segment_base,
                              &checkpoint::segment_offset}) {
        checkpoint slot;
        slot.*member = largest_offset;
        CHECK(verifies(sealed(slot)));
        for (const offset bad : {largest_offset + 1, std::numeric_limits<offset>::max(), offset{-1}}) {
            slot.*member = bad;
            CHECK_FALSE(verifies(sealed(slot)));
        }
    }
}

TEST_CASE("a slot does not count that cuts a log in front of its start", "[format][checkpoint]") {
    checkpoint slot;
    slot.log_start_offset = 70;
    slot.cut_plus_one = 71;  // everything goes
    CHECK(verifies(sealed(slot)));
    slot.cut_plus_one = 70;
    CHECK_FALSE(verifies(sealed(slot)));
}

TEST_CASE("a checkpoint of the version before says of no truncation, and one without any is written like that", "[format][checkpoint]") {
    checkpoint slot;
    slot.sequence = 4;
    slot.high_watermark = 9;
    std::string file(checkpoint_file_size, '\0');
    store(as_mutable_bytes(file).data(), sealed(slot));
    // As it was written then: 112 bytes, of which the last eight are the checksum of the others.
    auto old = load<std::array<std::byte, 112>>(as_bytes(file).data());
    store(old.data() + 104, hash(old.data(), 104));
    std::string before(checkpoint_file_size, '\0');
    store(as_mutable_bytes(before).data(), old);
    CHECK(before == file);
    const auto read = newest_checkpoint(as_bytes(before));
    REQUIRE(read);
    CHECK(read->version == 1);
    CHECK_FALSE(read->is_cutting());
    CHECK(read->high_watermark == 9);

    slot.cut_plus_one = 1;  // to the very beginning
    store(as_mutable_bytes(file).data() + slot_position(5), sealed([&] { slot.sequence = 5; return slot; }()));
    REQUIRE(newest_checkpoint(as_bytes(file))->is_cutting());
    CHECK(newest_checkpoint(as_bytes(file))->version == 2);  // who does not know that must not open the log
    auto ended = *newest_checkpoint(as_bytes(file));
    ended.cut_plus_one = 0;
    ended.sequence = 6;
    store(as_mutable_bytes(file).data() + slot_position(6), sealed(ended));
    CHECK(newest_checkpoint(as_bytes(file))->version == 1);
    CHECK_FALSE(newest_checkpoint(as_bytes(file))->is_cutting());
}

TEST_CASE("epochs are told up to an end, the newest of them, and only by who wrote the slot", "[format][checkpoint]") {
    epoch_history history;
    for (std::uint32_t epoch = 1; epoch <= 30; ++epoch) {
        history.note(epoch, 10 * offset{epoch});
    }
    checkpoint slot;
    slot.sequence = 6;
    slot.durable_offset = 281;
    slot.tell_epochs(history, 280);
    CHECK(slot.epoch_count == 22);
    std::string file(checkpoint_file_size, '\0');
    store(as_mutable_bytes(file).data(), sealed(slot));
    const auto read = newest_checkpoint(as_bytes(file));
    REQUIRE(read);
    CHECK(read->epochs_end == 280);
    CHECK(read->told_epochs().starts().front() == epoch_start{6, 60});
    CHECK(read->told_epochs().starts().back() == epoch_start{27, 270});
    CHECK(read->told_epochs().starts().size() == 22);
    for (std::size_t bit = offsetof(checkpoint, epoch_count) * 8; bit < sizeof(checkpoint) * 8; ++bit) {
        std::string flipped = file;
        flipped[bit / 8] = static_cast<char>(static_cast<unsigned char>(flipped[bit / 8]) ^ (1u << bit % 8));
        const auto counts = newest_checkpoint(as_bytes(flipped));
        REQUIRE(counts);
        CHECK(counts->durable_offset == 281);
        CHECK(counts->told_epochs().empty());
    }
    checkpoint other = *read;  // by who writes 128 bytes
    other.sequence = 8;
    const checkpoint written = sealed(other);
    file.replace(0, offsetof(checkpoint, epoch_count), std::string{reinterpret_cast<const char*>(&written), offsetof(checkpoint, epoch_count)});
    REQUIRE(newest_checkpoint(as_bytes(file)));
    CHECK(newest_checkpoint(as_bytes(file))->sequence == 8);
    CHECK(newest_checkpoint(as_bytes(file))->told_epochs().empty());

    slot.tell_epochs(history, 10);  // none begins below
    CHECK(slot.epoch_count == 0);
    CHECK(slot.epochs_end == 0);
}

}  // namespace format_checkpoint_test
