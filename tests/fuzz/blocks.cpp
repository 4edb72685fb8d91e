// The blocks of fixed size that stand in files with a checksum of their own: a segment's header, a checkpoint, a table's header.
// Input: a byte that says which, then the block.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/format/checkpoint.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/table_file.hpp>
#include <brook/storage/segment_directory.hpp>

#include "fuzz/segment_repair.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::blocks {

namespace {

enum class block : std::uint8_t { segment, checkpoint, table };
constexpr std::uint8_t block_count = 3;

const storage::partition_name name{"t", {}, 0};

void read_segment(bytes raw) {
    storage::segment_summary summary;
    const failure why = storage::summarize(raw.first(raw.size() < format::segment_header_size ? raw.size() : format::segment_header_size), "p", name, summary);
    if (why) {
        use(why.text);
        return;
    }
    demand(summary.birth.partition == name.number && summary.birth.version <= format::format_version, "a segment of another partition or version is refused");
    demand(!summary.base || (*summary.base >= 0 && *summary.base <= largest_offset), "a base offset is an offset");
    demand(!summary.is_spare || !summary.base, "a spare has no base offset");
    demand(!summary.has_footer || (summary.footer.end_offset >= 0 && summary.footer.end_offset <= largest_offset), "a footer's end is an offset");
}

void read_checkpoint(bytes raw) {
    const auto newest = format::newest_checkpoint(raw);
    if (!newest) {
        return;
    }
    demand(newest->durable_offset >= 0 && newest->log_start_offset >= 0 && newest->segment_base >= 0, "a checkpoint that counts has offsets");
    const format::epoch_history told = newest->told_epochs();
    demand(told.starts().size() == newest->epoch_count, "each epoch that is told is one");
    if (newest->version <= format::checkpoint_version) {  // of a newer one nothing else is known
        demand(format::verifies(format::sealed(*newest)), "what counts is written again as what counts");
        use(static_cast<std::uint64_t>(newest->is_cutting() ? newest->cut_to() : told.end_of(7, newest->durable_offset).end));
    }
}

void read_table(bytes raw) {
    if (raw.size() < sizeof(format::table_file_header)) {
        return;
    }
    const auto header = load<format::table_file_header>(raw.data());
    if (format::verifies(header)) {
        demand(format::table_file_size(header) / sizeof(format::table_file_entry) >= header.entries, "a table's size does not wrap around");
    }
}

void run(bytes input) {
    input_reader from{input};
    const auto which = static_cast<block>(from.take<std::uint8_t>() % block_count);
    const exact_copy raw{from.rest()};
    switch (which) {
        case block::segment: return read_segment(raw.view());
        case block::checkpoint: return read_checkpoint(raw.view());
        case block::table: return read_table(raw.view());
    }
}

void repair(std::vector<std::byte>& input) {
    if (input.empty()) {
        return;
    }
    const auto which = static_cast<block>(std::to_integer<std::uint8_t>(input[0]) % block_count);
    const std::size_t size = which == block::segment ? format::segment_header_size : which == block::checkpoint ? format::checkpoint_file_size : sizeof(format::table_file_header);
    input.resize(1 + size);
    std::byte* const raw = input.data() + 1;
    if (which == block::segment) {
        repair_segment(raw, name);
    } else if (which == block::checkpoint) {
        for (std::size_t at = 0; at < size; at += format::checkpoint_slot_size) {
            auto slot = load<format::checkpoint>(raw + at);
            slot.magic = format::checkpoint{}.magic;
            store(raw + at, format::sealed(slot));
        }
    } else {
        auto header = load<format::table_file_header>(raw);
        header.magic = format::table_file_header{}.magic;
        header.version = format::format_version;
        store(raw, format::sealed(header));
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    std::vector<std::byte> segment;
    put(segment, block::segment);
    segment.resize(1 + format::segment_header_size);
    store(segment.data() + 1, format::make_birth(0x1234'5678'9abc'def0u, 64 * 1024, name.topic_id, name.number));
    store(segment.data() + 1 + format::base_at, std::uint64_t{43});
    store(segment.data() + 1 + format::footer_at, format::make_footer(0, 50, 4096, 1'700'000'000'000'000'000));
    repair_segment(segment.data() + 1, name);
    inputs.push_back(segment);

    format::epoch_history history;
    history.note(1, 0);
    history.note(4, 17);
    format::checkpoint slot;
    slot.sequence = 2;
    slot.durable_offset = slot.high_watermark = 40;
    slot.leader_epoch = 4;
    slot.tell_epochs(history, 30);
    std::vector<std::byte> file(1 + format::checkpoint_file_size);
    store(file.data(), block::checkpoint);
    store(file.data() + 1, format::sealed(slot));
    slot.sequence = 3;
    slot.cut_plus_one = 36;
    store(file.data() + 1 + format::checkpoint_slot_size, format::sealed(slot));
    inputs.push_back(file);

    std::vector<std::byte> table;
    put(table, block::table);
    format::table_file_header header;
    header.covered = 100;
    header.segments = 1;
    header.entries = 3;
    put(table, format::sealed(header));
    inputs.push_back(table);
}

const target blocks{"blocks", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::blocks
