/// \file support/partition.hpp
/// One partition for a test: a log that is opened, killed, switched off, damaged and read.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

#include "support/catch.hpp"
#include "support/faulty_platform.hpp"
#include "support/rebooting_platform.hpp"
#include "support/temp_directory.hpp"

template <>
struct Catch::StringMaker<brook::failure> {
    static std::string convert(const brook::failure& why) { return why ? why.text : "no failure"; }
};

namespace brook::test {

// ---- records ----

/// A record as a reader got it, copied out.
struct read_record {
    brook::offset offset = 0;
    std::int64_t timestamp = 0;
    std::optional<std::string> key;
    std::optional<std::string> value;
    bool operator==(const read_record&) const = default;
};

/// What the test's record number `n` holds: its length and every byte depend on n.
[[nodiscard]] inline std::string value_of(std::int64_t n) {
    std::string text = "record " + std::to_string(n) + ' ';
    const auto seed = static_cast<std::uint64_t>(n) * 0x9e3779b97f4a7c15u;
    const std::size_t size = text.size() + seed % 61;
    for (std::uint64_t i = 0; text.size() < size; ++i) {
        text += static_cast<char>('!' + ((seed >> (i % 56)) + i) % 90);
    }
    return text;
}
[[nodiscard]] inline std::int64_t time_of(std::int64_t n) { return 1'000'000 + n; }

/// Takes a claim and publishes one record in it. Negative when it failed; `why` says why.
[[nodiscard]] inline offset append(storage::log& log, const std::optional<std::string>& key, const std::optional<std::string>& value,
                                   std::int64_t time, failure& why) {
    const format::record_sizes sizes{key ? static_cast<std::uint32_t>(key->size()) : format::null_size,
                                     value ? static_cast<std::uint32_t>(value->size()) : format::null_size, 0};
    const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
    storage::claim taken;
    if (!log.take(format::frame_length(size), 1, taken, why)) {
        return -1;
    }
    const auto layout = format::lay_out_lone(taken.data, sizes);
    copy_bytes(layout.key, key ? key->data() : nullptr, sizes.key_bytes());
    copy_bytes(layout.value, value ? value->data() : nullptr, sizes.value_bytes());
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.attributes = format::lone_attributes(sizes);
    header.count = sizes.key;
    header.base_timestamp = time;
    const offset first = taken.first;
    log.publish(taken, header);
    return first;
}

/// Appends record number `n`, which must get offset n: the test's records and their offsets are one sequence.
inline void append_nth(storage::log& log, std::int64_t n) {
    failure why;
    const offset at = append(log, std::nullopt, value_of(n), time_of(n), why);
    if (at != n) {
        FAIL("record " << n << " was appended at offset " << at << ' ' << why.text);
    }
}
inline void append_range(storage::log& log, std::int64_t first, std::int64_t last) {
    for (std::int64_t n = first; n < last; ++n) {
        append_nth(log, n);
    }
}

/// Appends `count` records as one batch, record numbers from its base offset on.
[[nodiscard]] inline offset append_batch(storage::log& log, std::uint32_t count, std::int64_t first_number, failure& why) {
    std::uint64_t size = format::frame_header_size;
    for (std::uint32_t i = 0; i < count; ++i) {
        size += format::entry_bytes({format::null_size, static_cast<std::uint32_t>(value_of(first_number + i).size()), 0});
    }
    storage::claim taken;
    if (!log.take(format::frame_length(static_cast<std::uint32_t>(size)), count, taken, why)) {
        return -1;
    }
    std::byte* at = taken.data + format::frame_header_size;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::string value = value_of(first_number + i);
        const auto layout = format::lay_out_entry(at, {format::null_size, static_cast<std::uint32_t>(value.size()), 0});
        copy_bytes(layout.value, value.data(), value.size());
        at = layout.end;
    }
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(size);
    header.count = count;
    header.base_timestamp = time_of(first_number);
    const offset first = taken.first;
    log.publish(taken, header);
    return first;
}

/// Appends a data frame that was made elsewhere, as it is. Negative when it failed; `why` says why.
[[nodiscard]] inline offset append_frame(storage::log& log, const std::vector<std::byte>& frame, failure& why) {
    const format::frame_header header = format::load_header(frame.data());
    storage::claim taken;
    if (!log.take(format::frame_length(static_cast<std::uint32_t>(frame.size())), format::offsets_taken(header, frame.data()), taken, why)) {
        return -1;
    }
    copy_bytes(taken.data + format::frame_header_size, frame.data() + format::frame_header_size, frame.size() - format::frame_header_size);
    const offset first = taken.first;
    log.publish(taken, header);
    return first;
}

/// The records of a range, as a consumer takes them out of it.
inline void copy_out(const storage::record_range& range, std::vector<read_record>& records) {
    for (position at = range.begin; at < range.end;) {
        const format::frame_header header = format::load_header(range.frame(at));
        const format::frame_word word = format::word_of(header);
        if (!word.is_published()) {
            FAIL("a range holds what is not published, at position " << at);
        }
        if (word.kind() == format::frame_kind::data) {
            format::record_walk walk{header, range.frame(at)};
            for (format::record_slice slice; walk.next(slice);) {
                if (slice.offset() >= range.first && slice.offset() < range.last) {
                    records.push_back({slice.offset(), slice.timestamp(),
                                       slice.has_key() ? std::optional{std::string{as_text(slice.key())}} : std::nullopt,
                                       slice.has_value() ? std::optional{std::string{as_text(slice.value())}} : std::nullopt});
                }
            }
            if (walk.is_malformed()) {
                FAIL("a range holds a malformed batch, at position " << at);
            }
        }
        at += word.length();
    }
}

struct reading {
    std::vector<read_record> records;
    failure why;  ///< what ended it, if not the end of the log
    bool is_at_end = false;
};

/// Reads from `from` to the end, or to the first error.
[[nodiscard]] inline reading read_from(storage::log& log, offset from, std::uint32_t at_once = 7) {
    reading result;
    storage::log_reader reader = log.reader();
    reader.seek(from);
    for (;;) {
        std::vector<storage::record_range> ranges;
        result.why = reader.fetch(at_once, true, ranges);
        std::uint32_t count = 0;
        for (const auto& range : ranges) {
            count += range.count;
            const std::size_t before = result.records.size();
            copy_out(range, result.records);
            if (result.records.size() - before != range.count) {
                FAIL("a range of " << range.count << " records holds " << result.records.size() - before);
            }
        }
        if (count > at_once) {
            FAIL("a fetch of " << at_once << " records gave " << count);
        }
        if (result.why || ranges.empty()) {
            break;
        }
    }
    result.is_at_end = !result.why && reader.at_end(true);
    return result;
}

/// What `read_from` must give for the test's own records [first, last).
[[nodiscard]] inline std::vector<read_record> numbered(std::int64_t first, std::int64_t last) {
    std::vector<read_record> records;
    for (std::int64_t n = first; n < last; ++n) {
        records.push_back({n, time_of(n), std::nullopt, value_of(n)});
    }
    return records;
}

/// Where two sequences of records part, in words; empty when they are the same.
[[nodiscard]] inline std::string difference(const std::vector<read_record>& read, const std::vector<read_record>& expected) {
    const auto [one, other] = std::mismatch(read.begin(), read.end(), expected.begin(), expected.end());
    if (one == read.end() && other == expected.end()) {
        return {};
    }
    const auto text = [](auto at, auto end) {
        return at == end ? std::string{"the end"} : "offset " + std::to_string(at->offset) + " {" + at->value.value_or("null") + "}";
    };
    return "after " + std::to_string(one - read.begin()) + " equal records there is " + text(one, read.end()) + " instead of " +
           text(other, expected.end());
}

inline void check_holds(storage::log& log, std::int64_t first, std::int64_t last) {
    const reading all = read_from(log, first);
    CHECK(all.why.text == "");
    CHECK(all.is_at_end);
    CHECK(difference(all.records, numbered(first, last)) == "");
}

// ---- files ----

/// A directory's files by name. Taken while a log is open, it is what a kill at that moment leaves.
using image = std::map<std::string, std::string>;

[[nodiscard]] inline std::string read_whole(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

inline void write_whole(const std::string& path, const std::string& content) {
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

[[nodiscard]] inline image image_of(const std::string& directory) {
    image files;
    for (const auto& entry : std::filesystem::directory_iterator{directory}) {
        files[entry.path().filename().string()] = read_whole(entry.path().string());
    }
    return files;
}

/// Makes the directory hold these files and no others. What has not changed is not written again.
inline void write_image(const std::string& directory, const image& files) {
    for (const auto& entry : std::filesystem::directory_iterator{directory}) {
        if (!files.contains(entry.path().filename().string())) {
            std::filesystem::remove(entry.path());
        }
    }
    for (const auto& [name, content] : files) {
        if (const std::string path = directory + '/' + name; !std::filesystem::exists(path) || read_whole(path) != content) {
            write_whole(path, content);
        }
    }
}

[[nodiscard]] inline std::vector<std::string> names_in(const image& files, const std::string& suffix) {
    std::vector<std::string> names;
    for (const auto& [name, content] : files) {
        if (name.ends_with(suffix)) {
            names.push_back(name);
        }
    }
    return names;
}

template <class T>
void poke(std::string& content, std::size_t at, const T& value) {
    if (at + sizeof value > content.size()) {
        FAIL("position " << at << " is outside the file");
    }
    store(reinterpret_cast<std::byte*>(content.data()) + at, value);
}
template <class T>
[[nodiscard]] T peek(const std::string& content, std::size_t at) {
    if (at + sizeof(T) > content.size()) {
        FAIL("position " << at << " is outside the file");
    }
    return load<T>(reinterpret_cast<const std::byte*>(content.data()) + at);
}

inline void flip_bit(std::string& content, std::size_t bit) {
    content[bit / 8] = static_cast<char>(static_cast<unsigned char>(content[bit / 8]) ^ (1u << bit % 8));
}

/// A frame as it lies in a segment's bytes.
struct frame_place {
    std::size_t at;
    format::frame_header header;
    [[nodiscard]] format::frame_kind kind() const { return format::word_of(header).kind(); }
    [[nodiscard]] std::size_t end() const { return at + format::word_of(header).length(); }
};

/// The published frames of a segment file, up to the first place where there is none.
[[nodiscard]] inline std::vector<frame_place> frames_of(const std::string& content) {
    std::vector<frame_place> frames;
    for (std::size_t at = format::segment_header_size; at + format::frame_header_size <= content.size();) {
        const auto header = peek<format::frame_header>(content, at);
        if (header.size < static_cast<std::int32_t>(format::frame_header_size)) {
            break;
        }
        frames.push_back({at, header});
        at = frames.back().end();
    }
    return frames;
}

[[nodiscard]] inline std::size_t frames_end(const std::string& content) {
    const auto frames = frames_of(content);
    return frames.empty() ? format::segment_header_size : frames.back().end();
}

/// The frame of the offset's data.
[[nodiscard]] inline frame_place frame_with(const std::string& content, offset wanted) {
    for (const auto& frame : frames_of(content)) {
        if (frame.kind() == format::frame_kind::data && frame.header.base_offset == wanted) {
            return frame;
        }
    }
    FAIL("no frame with offset " << wanted);
    return {};
}

// ---- a partition ----

class partition {
public:
    explicit partition(storage::log_options with = {.segment_bytes = 64 * kib}) : options{with} {}
    partition(const partition&) = delete;
    partition& operator=(const partition&) = delete;
    ~partition() {
        platform.on_call(nullptr);  // what it looks at may be gone already
        close();
    }

    [[nodiscard]] std::unique_ptr<storage::log> try_open(failure& why) {
        return storage::log::open(storage::segment_directory{platform, path(), name}, options, events, upkeep_events, why);
    }

    storage::log& open() {
        close();
        failure why;
        log = try_open(why);
        INFO(why.text);
        REQUIRE(log);
        return *log;
    }

    void close() {
        publish_held();  // closing waits for claims
        log.reset();
    }

    /// A claim that is not published before the process dies.
    storage::claim hold(std::uint32_t length, std::uint32_t offsets = 1) {
        failure why;
        storage::claim taken;
        const bool is_taken = log->take(length, offsets, taken, why);
        INFO(why.text);
        REQUIRE(is_taken);
        held_.emplace_back(taken, offsets);
        return taken;
    }

    /// Gives up what is held.
    void publish_held() {
        for (const auto& [claim, offsets] : held_) {
            log->abandon(claim, offsets);
        }
        held_.clear();
    }
    /// The test has published what was held.
    void forget_held() { held_.clear(); }

    /// The process dies: the files are as it left them, in the same boot.
    image kill() {
        image left = image_of(path());
        close();
        write_image(path(), left);
        return left;
    }

    /// Puts these files in place, as this boot's.
    void become(const image& files) {
        close();
        write_image(path(), files);
    }

    /// Puts these files in place, as what the disk held when the power went.
    void wake_up_with(const image& files) {
        become(files);
        machine.reboot();
    }

    [[nodiscard]] const std::string& path() const { return directory.path(); }
    [[nodiscard]] image files() const { return image_of(path()); }

    /// One round of upkeep, a second after the last.
    storage::log::upkeep_result keep_up() {
        now += std::chrono::seconds{1};
        return log->upkeep(now);
    }

    [[nodiscard]] static std::string memory_directory() {
        const char* const given = std::getenv("TMPDIR");
        const bool has_memory = (given == nullptr || *given == '\0') && std::filesystem::is_directory("/dev/shm");
        return has_memory ? "/dev/shm" : given != nullptr && *given != '\0' ? given : "/tmp";
    }

    temp_directory directory{memory_directory()};
    rebooting_platform machine;
    faulty_platform platform{machine};
    storage::event_count events{platform};
    storage::event_count upkeep_events{platform};
    storage::log_options options;
    storage::partition_name name{"orders", {std::byte{7}, std::byte{1}}, 3};
    std::unique_ptr<storage::log> log;
    std::chrono::nanoseconds now{};

private:
    std::vector<std::pair<storage::claim, std::uint32_t>> held_;
};

}  // namespace brook::test
