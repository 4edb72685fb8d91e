/// \file support/log_anatomy.hpp
/// A partition's files as they lie there, read by a second reader that shares no code with recovery or the log reader.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::test {

/// What a killed process can leave behind. Counted, so that a campaign can prove that it met each of them.
struct crash_marks {
    std::uint64_t unmarked_holes = 0;     ///< claimed, killed before the mark, with published frames behind
    std::uint64_t marked_holes = 0;       ///< killed between mark and publication, with published frames behind
    std::uint64_t adjacent_claims = 0;    ///< holes that are more than one claim
    std::uint64_t holes_before_seal = 0;  ///< in a segment that is sealed already
    std::uint64_t trailing_marks = 0;     ///< a claim at the very end
    std::uint64_t marked_seals = 0;       ///< a seal that was claimed and not published
    std::uint64_t lonely_seals = 0;       ///< sealed, and no next segment yet
    std::uint64_t unnamed_segments = 0;   ///< the next segment has its base offset, and is still called spare.log
    std::uint64_t spares = 0;             ///< a spare that was ready
    std::uint64_t unborn_files = 0;       ///< *.tmp
    std::uint64_t swaps = 0;              ///< the result of a compaction that counts, and has not the place of what it stands for yet

    crash_marks& operator+=(const crash_marks& more) noexcept {
        unmarked_holes += more.unmarked_holes;
        marked_holes += more.marked_holes;
        adjacent_claims += more.adjacent_claims;
        holes_before_seal += more.holes_before_seal;
        trailing_marks += more.trailing_marks;
        marked_seals += more.marked_seals;
        lonely_seals += more.lonely_seals;
        unnamed_segments += more.unnamed_segments;
        spares += more.spares;
        unborn_files += more.unborn_files;
        swaps += more.swaps;
        return *this;
    }
};

struct log_anatomy {
    crash_marks marks;
    offset first = 0;
    offset end = 0;
    std::uint64_t segments = 0;
    std::uint64_t data_frames = 0;
    std::uint64_t compressed_frames = 0;  ///< of these
    std::uint64_t fillers = 0;
    std::uint64_t evidence = 0;
    std::string problem;  ///< what no log may show, whoever was killed; empty: nothing

    /// True when nothing is left to mend.
    [[nodiscard]] bool is_whole() const noexcept {
        return problem.empty() && marks.unmarked_holes + marks.marked_holes + marks.trailing_marks + marks.marked_seals +
                                          marks.lonely_seals + marks.unnamed_segments + marks.spares + marks.unborn_files + marks.swaps ==
                                      0;
    }
};

namespace detail {

struct segment_bytes {
    std::string name;
    std::vector<std::byte> data;
    offset base = 0;
    std::uint64_t seed = 0;

    [[nodiscard]] format::frame_word word(std::size_t at) const {
        return at + format::frame_header_size <= data.size()
                   ? format::frame_word{load<std::uint64_t>(data.data() + at)}
                   : format::frame_word{};
    }
    [[nodiscard]] bool verifies(std::size_t at) const {
        return format::verifies(seed, static_cast<position>(at), static_cast<position>(data.size()), data.data() + at);
    }
};

[[nodiscard]] inline std::vector<std::byte> read_file(const std::string& path) {
    std::vector<std::byte> data;
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (descriptor >= 0 && ::fstat(descriptor, &status) == 0) {
        data.resize(static_cast<std::size_t>(status.st_size));
        if (::pread(descriptor, data.data(), data.size(), 0) != static_cast<ssize_t>(data.size())) {
            data.clear();
        }
    }
    ::close(descriptor);
    return data;
}

/// Reads the files that have a base offset, in its order. Files that recovery will throw away are counted.
[[nodiscard]] inline std::vector<segment_bytes> read_segments(const std::string& path, std::size_t most, log_anatomy& anatomy) {
    std::vector<segment_bytes> segments;
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(path.c_str()), ::closedir};
    while (const dirent* const entry = directory ? ::readdir(directory.get()) : nullptr) {
        const std::string name = entry->d_name;
        anatomy.marks.unborn_files += name.ends_with(".tmp") ? 1 : 0;
        anatomy.marks.swaps += name.ends_with(".swap") ? 1 : 0;
        if (name.ends_with(".log")) {
            names.push_back(name);
        }
    }
    std::sort(names.begin(), names.end());  // the base offset has 20 digits; spare.log comes last, as it should
    names.erase(names.begin(), names.end() - static_cast<std::ptrdiff_t>(std::min(most, names.size())));
    for (const std::string& name : names) {
        segment_bytes segment{name, read_file(path + '/' + name), 0, 0};
        if (segment.data.size() < format::segment_header_size ||
            !format::verifies(load<format::segment_birth>(segment.data.data()))) {
            anatomy.problem = name + " has no valid header";
            continue;
        }
        segment.seed = load<format::segment_birth>(segment.data.data()).seed;
        const auto base_plus_one = load<std::uint64_t>(segment.data.data() + format::base_at);
        if (base_plus_one == 0) {
            ++anatomy.marks.spares;
            if (name != "spare.log") {
                anatomy.problem = name + " has no base offset";
            }
            continue;
        }
        segment.base = static_cast<offset>(base_plus_one) - 1;
        if (name == "spare.log") {
            ++anatomy.marks.unnamed_segments;
        } else if (std::stoll(name) != segment.base) {
            anatomy.problem = name + " says that it begins at offset " + std::to_string(segment.base);
        }
        segments.push_back(std::move(segment));
    }
    std::sort(segments.begin(), segments.end(), [](const auto& a, const auto& b) { return a.base < b.base; });
    return segments;
}

/// Walks one segment; what is wrong goes to `anatomy.problem`. `is_last`: nothing follows it.
inline void walk_segment(const segment_bytes& segment, bool is_last, offset& next, log_anatomy& anatomy) {
    std::size_t at = format::segment_header_size;
    bool is_sealed = false;
    std::uint64_t holes = 0;
    const auto complain = [&](const std::string& what) {
        if (anatomy.problem.empty()) {
            anatomy.problem = segment.name + ", position " + std::to_string(at) + ", offset " + std::to_string(next) + ": " + what;
        }
    };
    while (!is_sealed && anatomy.problem.empty()) {
        const format::frame_word word = segment.word(at);
        if (!word.is_published()) {
            // Zeros one by one, marks whole, up to the next published frame.
            const bool is_marked = word.is_claimed();
            const bool is_seal_sized = is_marked && word.claimed_length() == format::frame_header_size;
            bool has_marks = false;
            std::size_t end = at;
            while (end + format::frame_header_size <= segment.data.size() && !segment.word(end).is_published()) {
                const format::frame_word here = segment.word(end);
                if (!here.is_empty() && !here.is_claimed()) {
                    complain("neither zero, nor a mark, nor a frame");
                    return;
                }
                has_marks |= here.is_claimed();
                end += here.is_claimed() ? here.claimed_length() : 8;
            }
            if (end + format::frame_header_size > segment.data.size()) {
                anatomy.marks.trailing_marks += has_marks ? 1 : 0;
                anatomy.marks.marked_seals += is_seal_sized ? 1 : 0;
                break;
            }
            if (!segment.verifies(end)) {
                at = end;
                complain("a published frame behind a hole does not verify");
                return;
            }
            ++holes;
            ++(is_marked ? anatomy.marks.marked_holes : anatomy.marks.unmarked_holes);
            const offset after = format::load_header(segment.data.data() + end).base_offset;
            anatomy.marks.adjacent_claims += after - next > 1 ? 1 : 0;
            at = end;
            next = after;
            continue;
        }
        if (!segment.verifies(at)) {
            complain("a published frame does not verify");
            return;
        }
        const format::frame_header header = format::load_header(segment.data.data() + at);
        if (header.base_offset != next) {
            complain("a frame with offset " + std::to_string(header.base_offset));
            return;
        }
        next += format::offsets_taken(header, segment.data.data() + at);
        at += word.length();
        anatomy.data_frames += word.kind() == format::frame_kind::data ? 1 : 0;
        anatomy.compressed_frames += word.kind() == format::frame_kind::data && (header.attributes & format::attribute::codec_mask) != 0 ? 1 : 0;
        anatomy.fillers += word.kind() == format::frame_kind::filler ? 1 : 0;
        anatomy.evidence += word.kind() == format::frame_kind::evidence ? 1 : 0;
        is_sealed = word.kind() == format::frame_kind::seal;
    }
    anatomy.marks.holes_before_seal += is_sealed ? holes : 0;
    if (is_sealed && is_last) {
        ++anatomy.marks.lonely_seals;
    } else if (!is_sealed && !is_last) {
        complain("another segment follows, and there is no seal");
    }
}

/// Position of the first byte from `from` on that is not zero; the size when all are.
[[nodiscard]] inline std::size_t first_non_zero(const segment_bytes& segment, std::size_t from) {
    const auto at = std::find_if(segment.data.begin() + static_cast<std::ptrdiff_t>(from), segment.data.end(),
                                 [](std::byte value) { return value != std::byte{0}; });
    return static_cast<std::size_t>(at - segment.data.begin());
}

[[nodiscard]] inline std::size_t published_end(const segment_bytes& segment) {
    std::size_t at = format::segment_header_size;
    while (segment.word(at).is_published()) {
        at += segment.word(at).length();
    }
    return at;
}

}  // namespace detail

/// Looks at the files of one partition, or at its `most` newest segments. After a clean close all must be zero behind
/// the last frame.
[[nodiscard]] inline log_anatomy dissect(const std::string& path, std::size_t most = ~std::size_t{0}) {
    log_anatomy anatomy;
    const auto segments = detail::read_segments(path, most, anatomy);
    anatomy.segments = segments.size();
    offset next = segments.empty() ? 0 : segments.front().base;
    anatomy.first = next;
    for (std::size_t i = 0; i < segments.size() && anatomy.problem.empty(); ++i) {
        if (segments[i].base != next) {
            anatomy.problem = segments[i].name + " follows offset " + std::to_string(next);
            break;
        }
        detail::walk_segment(segments[i], i + 1 == segments.size(), next, anatomy);
        if (anatomy.is_whole()) {
            const std::size_t end = detail::published_end(segments[i]);
            if (const std::size_t dirty = detail::first_non_zero(segments[i], end); dirty != segments[i].data.size()) {
                anatomy.problem = segments[i].name + " ends at position " + std::to_string(end) + ", and position " +
                                  std::to_string(dirty) + " is not zero";
            }
        }
    }
    anatomy.end = next;
    return anatomy;
}

}  // namespace brook::test
