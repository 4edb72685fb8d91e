/// \file brook/storage/segment_summary.hpp
/// A segment's header read and checked, without mapping the file.
/// Floor 2, storage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// What a segment's first 256 bytes say, checked piece by piece.
struct segment_summary {
    format::segment_birth birth{};
    std::optional<offset> base;                        ///< nullopt: a spare, or its check failed
    bool is_spare = false;
    bool has_writer = false;                           ///< somebody signed it:
    format::segment_writer writer{};                   ///< who appended last
    bool has_footer = false;                           ///< all of it was on the disk:
    format::segment_footer footer{};                   ///< where it ends
    std::int64_t tombstones_since = 0;                 ///< when the oldest of its tombstones was first compacted; 0: it has none

    [[nodiscard]] bool is_compacted() const noexcept { return (birth.flags & format::segment_flag::compacted) != 0; }
};

/// Checks a segment's header piece by piece. `raw` is its 256 bytes, or nothing where the file is shorter.
/// Errors    corrupt_record when it is not this partition's segment, unsupported_version.
[[nodiscard]] inline failure summarize(bytes raw, const std::string& log_path, const partition_name& name, segment_summary& summary) {
    const bool is_whole = raw.size() == format::segment_header_size;
    if (is_whole) {
        summary.birth = load<format::segment_birth>(raw.data());
    }
    const format::segment_birth& birth = summary.birth;
    if (!is_whole || !format::verifies(birth)) {
        return {errc::corrupt_record, name.text() + ": " + log_path + " has no valid header at position 0; restore it from a copy"};
    }
    if (birth.version > format::format_version) {
        return {errc::unsupported_version, name.text() + ": " + log_path + " has format version " + std::to_string(birth.version) +
                                               ", this brook reads up to " + std::to_string(format::format_version) + "; use a newer one"};
    }
    if (birth.topic != name.topic_id || birth.partition != name.number || birth.header_size != format::segment_header_size ||
        birth.capacity < 2 * format::segment_header_size || birth.capacity > gib * 2u - 1) {
        return {errc::corrupt_record, name.text() + ": " + log_path + " is the segment of another partition; put the right file back"};
    }
    const auto base_plus_one = load<std::uint64_t>(raw.data() + format::base_at);
    const auto check = load<std::uint64_t>(raw.data() + format::base_check_at);
    const bool is_offset = base_plus_one != 0 && base_plus_one - 1 <= static_cast<std::uint64_t>(largest_offset);
    if (is_offset && check == format::base_check(birth.seed, base_plus_one)) {
        summary.base = static_cast<offset>(base_plus_one - 1);
    }
    summary.is_spare = base_plus_one == 0;
    summary.writer = load<format::segment_writer>(raw.data() + format::writer_at);
    summary.has_writer = format::verifies(summary.writer);
    summary.footer = load<format::segment_footer>(raw.data() + format::footer_at);
    summary.has_footer = format::verifies(summary.footer, birth.seed);
    const auto since = load<std::int64_t>(raw.data() + format::tombstones_at);
    const bool is_told = summary.is_compacted() && load<std::uint64_t>(raw.data() + format::tombstones_check_at) == format::tombstones_check(birth.seed, since);
    summary.tombstones_since = is_told && since > 0 ? since : 0;
    return {};
}

/// Where a segment begins by its first frame, whose checksum binds it; nullopt where none verifies there.
/// Errors    `code`: the system does not let it be read. That must not pass for there being none.
[[nodiscard]] inline std::optional<offset> base_by_first_frame(const os::file& file, const segment_summary& summary, std::error_code& code) {
    std::array<std::byte, format::frame_header_size> raw{};
    std::uint64_t size = 0;
    code = file.size(size);
    if (!code) {
        code = file.read_at(format::segment_header_size, mutable_bytes{raw}.first(size < format::segment_header_size + raw.size() ? 0 : raw.size()));
    }
    if (code) {
        return std::nullopt;
    }
    const format::frame_word word = format::word_of(format::load_header(raw.data()));
    if (!word.is_published() || word.size() < raw.size() || word.length() > summary.birth.capacity || format::segment_header_size + std::uint64_t{word.length()} > size) {
        return std::nullopt;
    }
    std::vector<std::byte> frame(word.length());
    code = file.read_at(format::segment_header_size, frame);
    if (code || !format::verifies(summary.birth.seed, format::segment_header_size, format::segment_header_size + word.length(), frame.data())) {
        return std::nullopt;
    }
    const offset base = format::load_header(frame.data()).base_offset;
    return base >= 0 && base <= largest_offset ? std::optional{base} : std::nullopt;
}

/// True when the file is the one that its last writer left, in the same boot: its page cache is whole.
/// Errors    `code`: nobody knows. That must not pass for a loss of power, which cuts what a killed process published.
[[nodiscard]] inline bool same_identity(const segment_summary& summary, const os::file& file, std::error_code& code) noexcept {
    os::file_identity now;
    code = summary.has_writer ? file.identity(now) : std::error_code{};
    const format::segment_writer& last = summary.writer;
    return summary.has_writer && !code && now == os::file_identity{last.boot_id, last.device, last.inode, last.birth_time_ns};
}

}  // namespace brook::inline BROOK_ABI::storage
