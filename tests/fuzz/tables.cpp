// What a table keeps for its next opening. Input: the file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/engine/table_file.hpp>
#include <brook/format/table_file.hpp>

#include "fuzz/memory_platform.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::tables {

namespace {

const std::string directory = "t";
const std::string path = directory + '/' + std::string{format::table_file_name};

void run(bytes input) {
    memory_platform machine;
    machine.make(directory);
    machine.put(path, input);
    engine::table_file_reader from;
    format::table_file_header header;
    if (!from.open(machine, path, header)) {
        return;
    }
    demand(header.entries <= input.size() && header.segments <= input.size(), "no more is believed than the file has room for");
    std::uint64_t entries = 0;
    for (std::uint64_t i = 0; i < header.segments; ++i) {
        format::table_file_segment one{};
        demand(from.take(one), "what the header counts is there");
        entries += one.count;
    }
    for (std::uint64_t i = 0; i < header.entries; ++i) {
        format::table_file_entry one{};
        demand(from.take(one), "what the header counts is there");
        entries ^= one.hash;
    }
    use(from.ends_well() ? entries : 0);
}

void repair(std::vector<std::byte>& input) {
    input.resize(input.size() / 8 * 8);
    if (input.size() < sizeof(format::table_file_header) + 8) {
        return;
    }
    auto header = load<format::table_file_header>(input.data());
    header.magic = format::table_file_header{}.magic;
    header.version = format::format_version;
    header.flags &= format::table_file_flag::known;
    const std::uint64_t parts = (input.size() - sizeof header - 8) / 8;
    header.segments %= parts / 4 + 1;
    header.entries = parts - header.segments * 3;
    header.covered = header.covered <= 0 || header.covered > largest_offset ? 1'000'000 : header.covered;
    store(input.data(), format::sealed(header));
    store(input.data() + input.size() - 8, format::hash(bytes{input}.subspan(sizeof header, input.size() - sizeof header - 8)));
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    memory_platform machine;
    machine.make(directory);
    {
        engine::table_file_writer to{machine, directory};
        format::table_file_header header;
        header.covered = 100;
        header.segments = 2;
        header.entries = 5;
        demand(!to.begin(header), "a file is made");
        to.put(format::table_file_segment{77, 0, 3});
        to.put(format::table_file_segment{78, 50, 2});
        for (std::uint32_t i = 0; i < 5; ++i) {
            to.put(format::table_file_entry{i * 0x9e37'79b9u, i});
        }
        demand(!to.finish(), "a file is finished");
    }
    machine.for_each_file([&](const std::string&, bytes content) { inputs.emplace_back(content.begin(), content.end()); });
}

const target tables{"tables", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::tables
