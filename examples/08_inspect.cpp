// What is in a data directory, and whether it is whole: while a broker has it open, after an accident, or just to look.
// usage: 08_inspect verify|describe|dump DATA_DIR [TOPIC [PARTITION]] [--from OFFSET] [--limit N]
// It changes nothing and needs no broker. Exit status: 0 no damage, 1 damage, 2 it could not look.
#include <brook/verify.hpp>

#include <brook/format/record.hpp>  // to take headers apart
#ifdef WITH_LZ4  // to look into compressed batches; without, their checksums are verified, and no more
#include <brook/lz4.hpp>
#endif
#ifdef WITH_ZSTD
#include <brook/zstd.hpp>
#endif

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

struct request {
    std::string command, directory;
    brook::verify_options options;
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
};

// Text as it is; anything else as hexadecimal digits. No more than what fits a line.
static std::string preview(std::optional<brook::bytes> raw) {
    if (!raw) return "null";
    constexpr std::size_t most = 48;
    auto const head = raw->first(raw->size() < most ? raw->size() : most);
    bool printable = true;
    for (auto const byte : head) printable = printable && byte >= std::byte{0x20} && byte < std::byte{0x7f};
    std::string text;
    if (printable) {
        text = '"' + std::string{brook::as_text(head)} + '"';
    } else {
        for (auto const byte : head) {
            text += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
            text += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
        }
    }
    return text + (raw->size() > most ? "..." : "");
}

// 2026-03-01T12:34:56.123456789Z
static std::string text_of(brook::timestamp time) {
    using namespace std::chrono;
    auto const day = floor<days>(time);
    year_month_day const date{day};
    auto const clock = time - day;
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%09dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(clock / hours{1}),
                  static_cast<int>(clock / minutes{1} % 60), static_cast<int>(clock / seconds{1} % 60),
                  static_cast<int>((clock % seconds{1}).count()));
    return text;
}

static std::string size_of(std::optional<brook::bytes> raw) { return raw ? std::to_string(raw->size()) : "-"; }

static int verify(request const& asked) {
    auto const report = brook::verify(asked.directory, asked.options);
    std::fputs(report.text().c_str(), stdout);
    return report.is_ok() ? 0 : 1;
}

// Where each log begins and ends: the newest segments are walked, the headers of the others say enough.
static int describe(request asked) {
    asked.options.from = std::numeric_limits<brook::offset>::max();
    auto const report = brook::verify(asked.directory, asked.options);
    std::printf("%s: format version %u, cluster %s\n", report.directory.c_str(), report.version, report.cluster_id.c_str());
    for (auto const& topic : report.topics) {
        std::printf("\n%s\n", topic.name.c_str());
        if (topic.has_meta) {
            std::printf("  id %s, partitions %d, segments of %lld bytes, %s time, compression %s\n  keys %s, values %s\n", topic.id.c_str(),
                        topic.partition_count, static_cast<long long>(topic.segment_bytes), topic.is_append_time ? "append" : "create",
                        topic.compression_type ? std::string{to_string(*topic.compression_type)}.c_str() : "by producer", topic.key_schema.c_str(), topic.value_schema.c_str());
        }
        std::printf("  partition  segments   log start     log end     durable    bytes used  bytes of files\n");
        for (auto const& partition : topic.partitions) {
            std::printf("  %9d  %8zu  %10s  %10s  %10s  %12s  %14s\n", partition.number, partition.segments.size(),
                        std::to_string(partition.log_start_offset).c_str(), std::to_string(partition.end_offset).c_str(),
                        std::to_string(partition.durable_offset).c_str(), std::to_string(partition.used_bytes()).c_str(),
                        std::to_string(partition.file_bytes()).c_str());
        }
    }
    if (!report.is_ok()) std::printf("\n%s", report.text().c_str());
    return report.is_ok() ? 0 : 1;
}

static std::string place_of(std::string_view topic, int partition, brook::offset offset) {
    return std::string{topic} + '/' + std::to_string(partition) + ' ' + std::to_string(offset) + ' ';
}

// One line a record, and one for each of the log's own marks.
static int dump(request asked) {
    std::uint64_t left = asked.limit;
    brook::offset const from = asked.options.from;
    if (left == 0) return 0;
    asked.options.on_frame = [from](brook::visited_frame const& frame) {
        using brook::format::frame_kind;
        if (frame.header.base_offset < from) return true;
        std::string line = place_of(frame.topic, frame.partition, frame.header.base_offset);
        switch (frame.kind()) {
            case frame_kind::filler: line += "filler: " + std::to_string(frame.offsets) + " offsets without a record"; break;
            case frame_kind::seal: line += "seal: the segment ends"; break;
            case frame_kind::evidence: line += "evidence: durable below " + std::to_string(frame.header.base_timestamp); break;
            case frame_kind::producers: line += "producers: what the partition remembers of its idempotent producers"; break;
            case frame_kind::data:
            case frame_kind::control: return true;
        }
        std::printf("%s\n", line.c_str());
        return true;
    };
    asked.options.on_record = [from, &left](brook::visited_record const& record) {
        if (record.offset < from) return true;
        std::string line = place_of(record.topic, record.partition, record.offset) + text_of(record.timestamp);
        line += " key " + size_of(record.key) + " value " + size_of(record.value);
        line += ' ' + preview(record.key) + ' ' + preview(record.value);
        brook::bytes rest = record.headers;
        for (brook::format::header_slice header; brook::format::next_header(rest, header);)
            line += ' ' + preview(brook::as_bytes(header.name)) + '=' + preview(header.value);
        std::printf("%s\n", line.c_str());
        return --left > 0;
    };
    auto const report = brook::verify(asked.directory, asked.options);
    if (!report.is_ok()) std::fputs(report.text().c_str(), stderr);
    return report.is_ok() ? 0 : 1;
}

template <class Number>
static bool number(std::string_view text, Number& into) {
    auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), into);
    return code == std::errc{} && end == text.data() + text.size() && into >= 0;
}

// What is wrong with the arguments; empty: nothing.
static std::string parse(std::vector<std::string_view> const& arguments, request& asked) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        auto const name = arguments[i];
        if (name != "--from" && name != "--limit") {
            if (name.starts_with("--")) return "there is no option " + std::string{name};
            names.push_back(name);
        } else if (++i == arguments.size() || !(name == "--from" ? number(arguments[i], asked.options.from)
                                                                 : number(arguments[i], asked.limit))) {
            return std::string{name} + " takes a number";
        }
    }
    if (names.size() < 2 || names.size() > 4) return "a command and a directory are needed, then at most a topic and a partition";
    asked.command = names[0];
    asked.directory = names[1];
    if (names.size() > 2) asked.options.topic = std::string{names[2]};
    if (names.size() > 3 && !number(names[3], asked.options.partition.emplace())) return "a partition is a number";
    return {};
}

int main(int argc, char** argv) try {
    request asked;
    std::string why = parse({argv + 1, argv + argc}, asked);
    if (why.empty()) {
        if (asked.command == "verify") return verify(asked);
        if (asked.command == "describe") return describe(asked);
        if (asked.command == "dump") return dump(asked);
        why = "there is no command " + asked.command;
    }
    std::fprintf(stderr, "%s\nusage: %s verify|describe|dump DATA_DIR [TOPIC [PARTITION]] [--from OFFSET] [--limit N]\n",
                 why.c_str(), argv[0]);
    return 2;
} catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
