// A partition's directory that somebody else has made: segments, indexes, checkpoint, spare, what a compaction left. It is looked through,
// opened, read, appended to, closed, and opened again.
// Input: a byte of options, then files: a byte that says which one, 2 bytes with the size of what follows, 2 bytes with how many times 16
// bytes the file has, filled up with zeros.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/client/broker.hpp>
#include <brook/client/records.hpp>
#include <brook/format/record.hpp>
#include <brook/lz4.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/partition_scrub.hpp>
#include <brook/zstd.hpp>

#include "fuzz/frame_seeds.hpp"
#include "fuzz/memory_platform.hpp"
#include "fuzz/segment_repair.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::partitions {

namespace {

const storage::partition_name name{"t", {}, 0};
const std::string directory = "p";
constexpr std::uint32_t segment_bytes = 4096;
constexpr std::size_t most_files = 6;
constexpr std::size_t most_bytes = 16 * 1024;  // of a file

enum option : std::uint8_t { was_signed_here = 1, flushes = 2, is_dense = 4, is_compacted = 8 };
enum class kind : std::uint8_t { segment, index, spare, checkpoint, swap, other };
constexpr std::uint8_t kind_count = 6;

struct input_file {
    kind what = kind::segment;
    std::vector<std::byte> content;
};

[[nodiscard]] std::vector<input_file> files_of(input_reader& from) {
    std::vector<input_file> files;
    while (!from.is_empty() && files.size() < most_files) {
        input_file one;
        one.what = static_cast<kind>(from.take<std::uint8_t>() % kind_count);
        const auto size = from.take<std::uint16_t>();
        const std::size_t whole = std::size_t{from.take<std::uint16_t>()} * 16;
        const bytes given = from.take_bytes(size);
        one.content.assign(given.begin(), given.end());
        one.content.resize(std::min(most_bytes, std::max(whole, one.content.size())));
        files.push_back(std::move(one));
    }
    return files;
}

void add_file(std::vector<std::byte>& input, kind what, bytes content) {
    const std::size_t whole = std::min(content.size(), most_bytes) / 16 * 16;
    std::size_t size = whole;
    while (size > 0 && content[size - 1] == std::byte{0}) {
        --size;
    }
    put(input, what);
    put(input, static_cast<std::uint16_t>(size));
    put(input, static_cast<std::uint16_t>(whole / 16));
    put_bytes(input, content.first(size));
}

/// The base offset that a segment says of itself, if it can be one.
[[nodiscard]] offset base_of(bytes segment) {
    const auto plus_one = segment.size() < format::segment_header_size ? 0 : load<std::uint64_t>(segment.data() + format::base_at);
    return plus_one == 0 || plus_one - 1 > static_cast<std::uint64_t>(largest_offset) ? 0 : static_cast<offset>(plus_one - 1);
}

[[nodiscard]] std::string name_of(const input_file& file, offset base) {
    switch (file.what) {
        case kind::segment: return storage::segment_name(base) + ".log";
        case kind::index: return storage::segment_name(base) + ".index";
        case kind::spare: return "spare.log";
        case kind::checkpoint: return "checkpoint";
        case kind::swap: return storage::swap_name({base, base + 2});
        case kind::other: break;
    }
    return storage::segment_name(base) + ".log.tmp";
}

void look_through(memory_platform& machine) {
    finding_list found;
    partition_report report;
    const storage::scrub_rules rules;
    storage::partition_scrub scrub{machine, directory, name, true, rules, found};
    demand(scrub.run(report), "a look without a visitor comes to its end");
    for (const finding& one : found) {
        use(one.text);
    }
}

class opened {
public:
    explicit opened(memory_platform& machine, std::uint8_t options) : events_{machine}, upkeep_{machine} {
        storage::log_options how{.segment_bytes = segment_bytes, .flush_messages = (options & flushes) != 0 ? 1 : 0};
        how.compaction.is_on = (options & is_compacted) != 0;
        how.turn = &turn_;
        log_ = storage::log::open({machine, directory, name}, how, events_, upkeep_, why);
    }
    [[nodiscard]] explicit operator bool() const noexcept { return log_ != nullptr; }
    [[nodiscard]] storage::log* operator->() const noexcept { return log_.get(); }

    failure why;

private:
    storage::event_count events_;
    storage::event_count upkeep_;
    storage::compaction_turn turn_{1 << 20};
    std::unique_ptr<storage::log> log_;
};

/// Returns   whether the last record was `wanted`.
bool read_all(const opened& log, offset from, std::string_view wanted) {
    storage::log_reader reader = log->reader();
    reader.seek(from);
    offset before = 0;
    bool is_last = false;
    std::vector<storage::record_range> ranges;
    for (int rounds = 0; rounds < 64; ++rounds, ranges.clear()) {
        const failure why = reader.fetch(1'000, true, ranges);
        for (const auto& range : ranges) {
            for (position at = range.begin; at < range.end;) {
                const format::frame_header header = format::load_header(range.frame(at));
                demand(header.base_offset >= before, "frames come in the order of their offsets");  // inside of one stands what its author wanted
                before = header.base_offset;
                if (format::word_of(header).kind() == format::frame_kind::data) {
                    format::record_walk records{header, range.frame(at)};
                    for (format::record_slice one; records.next(one);) {
                        use(static_cast<std::uint64_t>(one.offset()));
                        use(one.key());
                        use(one.value());
                        is_last = as_text(one.value()) == wanted;
                    }
                }
                at += format::word_of(header).length();
            }
        }
        if (why) {
            use(why.text);
            return false;
        }
        if (ranges.empty()) {
            break;
        }
    }
    return is_last;
}

/// As a poll gives them.
void read_as_polled(const opened& log, std::uint32_t most, bool verifies) {
    storage::log_reader reader = log->reader();
    reader.seek(log->log_start_offset());
    for (int rounds = 0; rounds < 64; ++rounds) {
        std::vector<storage::record_range> ranges;
        if (const failure why = reader.fetch(most, verifies, ranges); why || ranges.empty()) {
            use(why.text);
            return;
        }
        records<no_key, std::string> polled;
        for (auto& range : ranges) {
            polled.add(std::move(range));
        }
        demand(polled.size() <= most, "a fetch gives no more than it is asked for");
        std::size_t count = 0;
        for (const auto& one : polled) {
            use(static_cast<std::uint64_t>(one.offset()));
            use(one.key_bytes());
            use(one.value_bytes());
            ++count;
        }
        demand(count <= polled.size(), "no more records come than were counted");
    }
}

[[nodiscard]] offset append(const opened& log, std::string_view value) {
    const format::record_sizes sizes{format::null_size, static_cast<std::uint32_t>(value.size()), 0};
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
    storage::claim taken;
    failure why;
    if (!log->take(format::frame_length(size), 1, taken, why)) {
        use(why.text);
        return -1;
    }
    copy_bytes(format::lay_out_lone(taken.data, sizes).value, value.data(), value.size());
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::lone_attributes(sizes);
    header.count = sizes.key;
    header.base_timestamp = 1'700'000'000'000'000'000;
    const offset first = taken.first;
    log->publish(taken, header);
    return first;
}

void run(bytes input) {
    input_reader from{input};
    const auto options = from.take<std::uint8_t>();
    memory_platform machine;
    machine.make(directory);
    offset base = 0;
    for (const input_file& one : files_of(from)) {
        base = one.what == kind::index ? base : base_of(one.content);
        machine.put(directory + '/' + name_of(one, base), one.content);
    }
    look_through(machine);
    constexpr std::string_view value = "what is appended";
    offset at = -1;
    {
        const opened log{machine, options};
        if (!log) {
            use(log.why.text);
            return;
        }
        demand(log->log_start_offset() >= 0 && log->log_start_offset() <= log->log_end_offset(), "a log begins before it ends");
        static_cast<void>(read_all(log, log->log_start_offset(), value));
        for (const std::uint32_t most : {3u, 1'000u}) {
            read_as_polled(log, most, true);
            read_as_polled(log, most, false);
        }
        at = append(log, value);
        demand(at < 0 || read_all(log, at, value), "what was appended can be read");
        use(log->upkeep(std::chrono::nanoseconds{1}).why.text);
        if ((options & flushes) != 0 && !log->sync()) {
            demand(log->durable_offset() > at, "what was synced is durable");
        }
        log->close();
    }
    look_through(machine);
    const opened log{machine, options};
    if (!log) {
        use(log.why.text);
        demand(false, "what was opened opens again");
    }
    demand(at < 0 || read_all(log, at, value), "what was appended is there when it is opened again");
}

void repair(std::vector<std::byte>& input) {
    input_reader from{input};
    const auto options = from.take<std::uint8_t>();
    std::vector<std::byte> made;
    put(made, options);
    std::uint64_t inode = memory_platform{}.next_inode();
    for (input_file& one : files_of(from)) {
        const bool is_segment = one.what == kind::segment || one.what == kind::spare || one.what == kind::swap || one.what == kind::other;
        if (is_segment && one.content.size() >= format::segment_header_size) {
            repair_segment(one.content.data(), name);
            if ((options & was_signed_here) != 0) {
                store(one.content.data() + format::writer_at, format::make_writer(memory_platform::boot_id, 1, inode, memory_platform::birth_time_of(inode)));
            }
            repair_frames(one.content, (options & is_dense) != 0);
        } else if (one.what == kind::checkpoint) {
            repair_checkpoint(one.content, name);
        }
        ++inode;
        add_file(made, one.what, one.content);
    }
    input = std::move(made);
}

void add_seed(std::vector<std::vector<std::byte>>& inputs, std::uint8_t options, const memory_platform& machine) {
    std::vector<std::byte> input;
    put(input, options);
    machine.for_each_file([&](const std::string& path, bytes content) {
        const kind what = path.ends_with("spare.log") ? kind::spare : path.ends_with(".log") ? kind::segment : path.ends_with(".index") ? kind::index : kind::checkpoint;
        if (what == kind::segment || what == kind::checkpoint || what == kind::spare) {
            add_file(input, what, content);
        }
    });
    repair(input);
    inputs.push_back(input);
}

/// Records that are durable, and in front of them what no writer has written there, though its checksum is right.
template <class Forge>
void add_forged_seed(std::vector<std::vector<std::byte>>& inputs, const Forge& forge) {
    memory_platform machine;
    machine.make(directory);
    const opened log{machine, 0};
    demand(static_cast<bool>(log), "an empty directory opens");
    for (const std::string_view value : {"first", "forged", "last"}) {
        demand(append(log, value) >= 0, "a record fits");
    }
    demand(!log->sync(), "memory can be synced");
    machine.for_each_file([&](const std::string& path, bytes content) {
        if (!path.ends_with(".log")) {
            return;
        }
        std::vector<std::byte> forged(content.begin(), content.end());
        const std::size_t at = format::segment_header_size + format::word_of(format::load_header(content.data() + format::segment_header_size)).length();
        format::frame_header header = format::load_header(forged.data() + at);
        forge(header, static_cast<std::uint32_t>(forged.size() - at));
        store(forged.data() + at, header);
        repair_frame(forged, at, load<format::segment_birth>(forged.data()).seed, static_cast<position>(at));
        std::vector<std::byte> input;
        put(input, std::uint8_t{0});
        add_file(input, kind::segment, forged);
        inputs.push_back(std::move(input));
    });
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    for (const std::uint8_t options : {std::uint8_t{is_dense}, std::uint8_t{is_dense | was_signed_here | flushes}}) {
        memory_platform machine;
        machine.make(directory);
        const opened log{machine, options};
        demand(static_cast<bool>(log), "an empty directory opens");
        for (const auto& frame : frame_seeds()) {
            storage::claim taken;
            failure why;
            const format::frame_header header = format::load_header(frame.data());
            if (format::word_of(header).kind() == format::frame_kind::data && log->take(static_cast<std::uint32_t>(frame.size()), format::offsets_taken(header, frame.data()), taken, why)) {
                copy_bytes(taken.data + format::frame_header_size, frame.data() + format::frame_header_size, frame.size() - format::frame_header_size);
                log->publish(taken, header);
            }
        }
        demand(!log->sync(), "memory can be synced");
        add_seed(inputs, options, machine);  // as it stands when its process is killed
        demand(!log->roll(), "a segment rolls");
        demand(append(log, "the last one") >= 0, "another record fits");
        static_cast<void>(log->upkeep(std::chrono::nanoseconds{1}));
        log->close();
        add_seed(inputs, options, machine);
    }
    // It takes the room of the seal, and then more offsets than a segment counts.
    add_forged_seed(inputs, [](format::frame_header& header, std::uint32_t room) { header.size = static_cast<std::int32_t>(room); });
    add_forged_seed(inputs, [](format::frame_header& header, std::uint32_t) {
        header.attributes = format::attributes_of(format::frame_kind::control);
        header.count = format::most_offsets_taken + 1;
    });
}

const target partitions{"partitions", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::partitions
