/// \file brook/storage/segment_directory.hpp
/// A partition's directory: how its files are named, made, opened and listed.
/// Floor 2, storage.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/disk_budget.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Base offset as 20 digits, as Kafka names its segments.
[[nodiscard]] inline std::string segment_name(offset base) {
    const std::string digits = std::to_string(base);
    return std::string(20 - digits.size(), '0') + digits;
}

/// The base offset in "00000000000000000042.log"; nullopt for any other name.
[[nodiscard]] inline std::optional<offset> parse_segment_name(std::string_view name, std::string_view suffix) noexcept {
    if (name.size() != 20 + suffix.size() || !name.ends_with(suffix)) {
        return std::nullopt;
    }
    std::uint64_t base = 0;
    for (const char digit : name.substr(0, 20)) {
        if (digit < '0' || digit > '9' || base > 922'337'203'685'477'579u) {
            return std::nullopt;
        }
        base = base * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return base <= static_cast<std::uint64_t>(largest_offset) ? std::optional{static_cast<offset>(base)} : std::nullopt;
}

/// Offsets [base, end) that a compaction has written as one segment, and for which that stands as soon as it has this name.
struct swap_range {
    offset base = 0;
    offset end = 0;
};

/// "00000000000000000000-00000000000000004711.swap"
[[nodiscard]] inline std::string swap_name(const swap_range& range) { return segment_name(range.base) + '-' + segment_name(range.end) + ".swap"; }

/// The range in such a name; nullopt for any other.
[[nodiscard]] inline std::optional<swap_range> parse_swap_name(std::string_view name) noexcept {
    if (name.size() <= 20) {
        return std::nullopt;
    }
    const auto base = parse_segment_name(name.substr(0, 20), "");
    const auto end = parse_segment_name(name.substr(20).substr(1), ".swap");
    return base && end && name[20] == '-' && *base < *end ? std::optional{swap_range{*base, *end}} : std::nullopt;
}

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
[[nodiscard]] inline std::optional<offset> base_by_first_frame(os::file& file, const segment_summary& summary) {
    std::array<std::byte, format::frame_header_size> raw{};
    std::uint64_t size = 0;
    if (file.size(size) || file.read_at(format::segment_header_size, raw)) {
        return std::nullopt;
    }
    const format::frame_word word = format::word_of(format::load_header(raw.data()));
    if (!word.is_published() || word.size() < raw.size() || word.length() > summary.birth.capacity || format::segment_header_size + std::uint64_t{word.length()} > size) {
        return std::nullopt;
    }
    std::vector<std::byte> frame(word.length());
    if (file.read_at(format::segment_header_size, frame) ||
        !format::verifies(summary.birth.seed, format::segment_header_size, format::segment_header_size + word.length(), frame.data())) {
        return std::nullopt;
    }
    const offset base = format::load_header(frame.data()).base_offset;
    return base >= 0 && base <= largest_offset ? std::optional{base} : std::nullopt;
}

/// The files of one partition.
///
/// Threads   shared, as far as no two calls work on the same file.
/// Errors    failures are returned, with the path in the text; nothing is left behind by a failed creation.
class segment_directory {
public:
    segment_directory(os::platform& platform, std::string path, partition_name name)
        : platform_{&platform}, path_{std::move(path)}, name_{std::make_shared<const partition_name>(std::move(name))} {}

    /// From here on what its files take is counted; null: nobody does.
    void count_in(disk_budget* budget) noexcept { budget_ = budget; }

    /// And from here on it is asked for.
    void heed_budget() noexcept { heeds_budget_ = true; }

    /// Whether a file may take so many bytes of the disk more. `is_asked`: else they are counted alone.
    [[nodiscard]] bool admits(std::uint64_t bytes, const std::string& what, failure& why, bool is_asked = true) const {
        if (budget_ == nullptr) {
            return true;
        }
        if (!heeds_budget_ || !is_asked) {
            budget_->note(bytes);
            return true;
        }
        why = budget_->admit(bytes);
        if (why) {
            why.text = name_->text() + ": no disk space for " + what + ": " + why.text;
        }
        return !why;
    }

    [[nodiscard]] os::platform& platform() const noexcept { return *platform_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const partition_name& name() const noexcept { return *name_; }
    [[nodiscard]] std::string log_path(offset base) const { return path_ + '/' + segment_name(base) + ".log"; }
    [[nodiscard]] std::string index_path(offset base) const { return path_ + '/' + segment_name(base) + ".index"; }

    /// Makes a segment that nothing refers to yet: its header and its name are on the disk when this returns.
    /// A spare (`base` absent) is called spare.log until the roll that takes it.
    /// `is_unlimited`: the budget is not asked.
    [[nodiscard]] segment_pin create(std::optional<offset> base, std::uint32_t capacity, std::uint32_t first_window, failure& why, bool is_unlimited = false) {
        const std::string stem = path_ + '/' + (base ? segment_name(*base) : std::string{"spare"});
        discard(stem + ".log.tmp");
        discard(stem + ".index");  // an index without its log is nobody's
        const std::uint32_t window = first_window < capacity ? first_window : capacity;
        const bool is_admitted = admits(window + index_file_bytes(capacity), "a segment", why, !is_unlimited);
        segment_pin made = is_admitted ? write_new(stem, base, capacity, window, why) : nullptr;
        if (!made) {
            discard(stem + ".log.tmp");
            discard(stem + ".index");
        }
        return made;
    }

    /// Gives a taken spare its name. Never over a file that is there already. May be called again after a failure: what
    /// it had renamed by then is no longer there under its old name.
    [[nodiscard]] failure name_spare(offset base) {
        const std::string from = path_ + "/spare";
        const std::string to = path_ + '/' + segment_name(base);
        if (const auto code = platform_->rename_to_new(from + ".log", to + ".log")) {
            if (code != std::errc::no_such_file_or_directory) {
                return {code, name_->text() + ": cannot rename " + from + ".log to " + to + ".log"};
            }
        } else {
            discard(to + ".index");  // an index whose log was not there is nobody's
        }
        if (const auto code = platform_->rename_to_new(from + ".index", to + ".index"); code && code != std::errc::no_such_file_or_directory) {
            return {code, name_->text() + ": cannot rename " + from + ".index to " + to + ".index"};
        }
        return sync_names();
    }

    [[nodiscard]] std::string swap_path(const swap_range& range) const { return path_ + '/' + swap_name(range); }

    /// Gives what a compaction has made its place: the files go that it was made from, and then it takes the name of the first.
    /// `bases`: of those files. May be called again after a failure, or a death.
    [[nodiscard]] failure put_in_place(const swap_range& range, const std::vector<offset>& bases) {
        std::uint64_t bytes = 0;
        const auto looked = platform_->disk_bytes(swap_path(range), bytes);
        const bool is_in_place = looked == std::errc::no_such_file_or_directory;  // then what has its name must stay
        if (looked && !is_in_place) {
            return {looked, name_->text() + ": cannot look at " + swap_path(range)};
        }
        for (const offset base : bases) {
            if (failure why = is_in_place ? failure{} : remove(base)) {
                return why;
            }
        }
        if (failure why = sync_names()) {
            return why;  // they might be back, beside what stands for them
        }
        const std::string from = swap_path(range);
        const std::string to = log_path(range.base);
        if (platform_->rename_to_new(from + ".index", index_path(range.base)) == std::errc::file_exists) {  // made by who came just before
            discard(index_path(range.base));
            static_cast<void>(platform_->rename_to_new(from + ".index", index_path(range.base)));  // derived: without it look-ups walk
        }
        if (const auto code = platform_->rename_to_new(from, to); code && code != std::errc::no_such_file_or_directory) {
            return {code, name_->text() + ": cannot rename " + from + " to " + to};
        }
        return sync_names();
    }

    /// Takes a deleted segment's file away from its name, to be made into a spare by `recycle`. Until then an opening removes it.
    /// False, and nothing has changed: that cannot be done.
    [[nodiscard]] bool take_for_recycling(offset base) {
        discard(recycled_path());
        if (platform_->rename_to_new(log_path(base), recycled_path())) {
            return false;
        }
        discard(index_path(base));
        return true;
    }

    /// Makes the file that was taken into a spare of this capacity: as a new one would be, but for its pages, which are in memory, and
    /// its space on the disk, which it has. Its bytes are of another life, so all of them become zero, and are on the disk as such,
    /// before it has a name that counts; and it has a new seed.
    /// Cost      writes it whole, and syncs it.
    [[nodiscard]] segment_pin recycle(std::uint32_t capacity, failure& why) {
        const std::string path = recycled_path();
        if (const auto code = platform_->sync_directory(path_)) {  // zeros must not come back under the old name
            return refuse(why, code, "cannot sync " + path_);
        }
        std::error_code code;
        auto log = platform_->open(path, os::open_mode::read_write, code);
        if (log) {
            code = log->allocate(0, capacity);  // what was behind its end has been given back
        }
        static constexpr std::array<std::byte, 256 * 1024> zeros{};
        for (std::uint64_t at = 0; !code && at < capacity;) {
            const auto size = static_cast<std::size_t>(capacity - at < zeros.size() ? capacity - at : zeros.size());
            code = log->write_at(at, bytes{zeros}.first(size));
            at += size;
        }
        if (code) {
            return refuse(why, code, "cannot clear " + path);
        }
        discard(path_ + "/spare.index");
        segment_pin made = finish_new(path_ + "/spare", path, std::nullopt, capacity, capacity, std::move(log), why);
        if (!made) {
            discard(path);
            discard(path_ + "/spare.index");
        }
        return made;
    }

    void discard_spare() noexcept {
        discard(path_ + "/spare.log");
        discard(path_ + "/spare.index");
    }

    /// Maps a segment that is on the disk. An index that is missing is made anew, and does without where it cannot be.
    [[nodiscard]] segment_pin open(const std::string& log_path, const std::string& index_path, failure& why) {
        segment_summary summary;
        std::unique_ptr<os::file> log = open_summary(log_path, summary, why);
        if (!log) {
            return nullptr;
        }
        std::uint64_t size = 0;
        if (const auto code = log->size(size)) {
            return refuse(why, code, "cannot read the size of " + log_path);
        }
        std::error_code code;
        auto log_map = log->map(summary.birth.capacity, code);
        if (!log_map) {
            return refuse(why, code, "cannot map " + log_path);
        }
        std::unique_ptr<os::mapping> index_map;
        std::unique_ptr<os::file> index = open_index(index_path, summary.birth.capacity, index_map);
        const auto readable = static_cast<position>(size < summary.birth.capacity ? size : summary.birth.capacity);
        position zeros_from = readable;
        if (code = find_zeros(*log, zeros_from); code) {
            return refuse(why, code, "cannot read " + log_path);
        }
        auto opened = std::make_shared<mapped_segment>(name_, std::string{log_path}, std::move(log), std::move(index), std::move(log_map), std::move(index_map),
                                                       summary.birth, readable);
        const auto kept = align_up(std::uint64_t{zeros_from} + format::frame_header_size, std::uint64_t{4096});  // as far as closing leaves the disk space
        opened->set_search_end(kept < readable ? static_cast<position>(kept) : readable);
        return opened;
    }

    /// Reads and checks a segment's header without mapping it.
    /// Errors    corrupt_record when it is not this partition's segment, unsupported_version, or the system's.
    [[nodiscard]] std::unique_ptr<os::file> open_summary(const std::string& log_path, segment_summary& summary, failure& why) {
        std::error_code code;
        auto file = platform_->open(log_path, os::open_mode::read_write, code);
        if (!file) {
            refuse(why, code, "cannot open " + log_path);
            return nullptr;
        }
        std::array<std::byte, format::segment_header_size> raw{};
        std::uint64_t size = 0;
        code = file->size(size);
        if (!code && size >= raw.size()) {
            code = file->read_at(0, raw);
        }
        if (code) {
            refuse(why, code, "cannot read " + log_path);
            return nullptr;
        }
        why = summarize(bytes{raw}.first(size < raw.size() ? 0 : raw.size()), log_path, *name_, summary);
        return why ? nullptr : std::move(file);
    }

    /// Whether the disk has what the file shows in memory, from `from` on. Nobody stores there meanwhile.
    ///
    /// Requires  that a sync has just succeeded: of what is dirty nothing can be said. `from` is a multiple of 4096.
    /// Errors    not_supported: nobody can tell. io_error: it has something else.
    [[nodiscard]] static std::error_code compare_with_disk(const os::file& file, const mapped_segment& memory, position from, position end) {
        std::vector<std::byte> raw(64 * kib);
        while (from < end) {
            const auto size = end - from < raw.size() ? end - from : static_cast<position>(raw.size());
            if (const auto code = file.read_from_disk(from, mutable_bytes{raw}.first(size))) {
                return code;
            }
            const position stored = memory.search_end() > from ? memory.search_end() - from : 0;  // zeros stand behind it
            const position shown = stored < size ? stored : size;
            const auto is_zero = [](std::byte one) { return one == std::byte{0}; };
            if (std::memcmp(raw.data(), memory.frame(from), shown) != 0 || !std::all_of(raw.begin() + shown, raw.begin() + size, is_zero)) {
                return std::make_error_code(std::errc::io_error);
            }
            from += size;
        }
        return {};
    }

    /// Puts what a segment shows in memory, up to `end`, into a new file, and that in the place of the old one: on fresh pages, which no sync has
    /// failed to write. It counts when it is on the disk, whole. Who has the old file mapped keeps it.
    ///
    /// Errors    what the disk said. The old file stands, and stays in doubt, unless it was the last step that failed; then the new one may.
    [[nodiscard]] failure move_to_new_file(const mapped_segment& memory, offset base, position end) {
        const std::string temporary = path_ + '/' + segment_name(base) + ".log.tmp";
        discard(temporary);
        failure why;
        static_cast<void>(admits(end, "a segment", why, false));
        std::error_code code;
        auto copy = platform_->open(temporary, os::open_mode::create, code);
        if (copy) {
            code = copy->allocate(0, end);
        }
        os::file_identity id;
        if (copy && !code) {
            code = copy->identity(id);
        }
        constexpr position page = 4096;
        std::vector<std::byte> first(end < page ? end : page);
        if (copy && !code) {
            copy_bytes(first.data(), memory.data(), first.size());
            store(first.data() + format::doubt_at, std::uint64_t{0});
            store(first.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
            code = copy->write_at(0, first);
        }
        if (copy && !code && end > page) {
            code = copy->write_at(page, bytes{memory.frame(page), end - page});
        }
        if (copy && !code) {
            code = copy->sync();
        }
        if (copy && !code) {
            code = compare_copy(*copy, first, memory, end);
        }
        if (copy && !code) {
            code = platform_->rename_over(temporary, log_path(base));
        }
        if (code) {
            discard(temporary);
            return {code, name_->text() + ": cannot copy " + log_path(base) + ", of which a sync has failed, to a new file; see to the disk, make room, and open again"};
        }
        return sync_names();
    }

    /// That the disk has a copy. Where nobody can tell, what its sync said has to do: it was the first one of fresh pages.
    [[nodiscard]] static std::error_code compare_copy(const os::file& copy, bytes first, const mapped_segment& memory, position end) {
        std::vector<std::byte> read(first.size());
        auto code = copy.read_from_disk(0, read);
        if (!code && std::memcmp(read.data(), first.data(), first.size()) != 0) {
            code = std::make_error_code(std::errc::io_error);
        }
        if (!code) {
            code = compare_with_disk(copy, memory, static_cast<position>(first.size()), end);
        }
        return code == std::errc::not_supported ? std::error_code{} : code;
    }

    /// Says who appends from now on: before the first append, so that a kill is never taken for a power loss.
    [[nodiscard]] static failure sign(mapped_segment& segment, const partition_name& name) {
        os::file_identity id;
        if (const auto code = segment.log_file().identity(id)) {
            return {code, name.text() + ": cannot read the identity of " + segment.path()};
        }
        store(segment.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
        return {};
    }

    /// True when the file is the one that its last writer left, in the same boot: its page cache is whole.
    /// Errors    `code`: nobody knows. That must not pass for a loss of power, which cuts what a killed process published.
    [[nodiscard]] static bool same_identity(const segment_summary& summary, const os::file& file, std::error_code& code) noexcept {
        os::file_identity now;
        code = summary.has_writer ? file.identity(now) : std::error_code{};
        const format::segment_writer& last = summary.writer;
        return summary.has_writer && !code && now == os::file_identity{last.boot_id, last.device, last.inode, last.birth_time_ns};
    }

    /// Stores the base offset of a spare: the moment that makes it part of the log.
    static void set_base(mapped_segment& segment, offset base) noexcept {
        const auto plus_one = static_cast<std::uint64_t>(base) + 1;
        atomic_at<std::uint64_t>(segment.data() + format::base_check_at)
            .store(format::base_check(segment.seed(), plus_one), std::memory_order_relaxed);
        atomic_at<std::uint64_t>(segment.data() + format::base_at).store(plus_one, std::memory_order_release);
    }

    [[nodiscard]] static constexpr std::uint64_t index_file_bytes(std::uint32_t capacity) noexcept {
        return align_up(std::uint64_t{index_slots(capacity)} * sizeof(index_slot), std::uint64_t{4096});
    }

    // ---- the checkpoint ----

    [[nodiscard]] std::string checkpoint_path() const { return path_ + "/checkpoint"; }

    /// nullopt: there is none, or none that verifies and is this partition's.
    /// Errors    `why`: unsupported_version, or the system does not let it be read. That must not pass for there being none: it tells what is durable.
    [[nodiscard]] std::optional<format::checkpoint> read_checkpoint(failure& why) const {
        std::error_code code;
        const auto file = platform_->open(checkpoint_path(), os::open_mode::read_write, code);
        std::array<std::byte, format::checkpoint_file_size> raw{};
        std::uint64_t size = 0;
        if (file) {
            code = file->size(size);
        } else if (code == std::errc::no_such_file_or_directory) {
            return std::nullopt;
        }
        if (!code) {
            const auto whole = static_cast<std::size_t>(size < raw.size() ? size : raw.size());  // shorter: its first write was cut off
            code = file->read_at(0, mutable_bytes{raw}.first(whole));
        }
        if (code) {
            why = {code, name_->text() + ": cannot read " + checkpoint_path() + "; if it stays so, move it away to go on without what it knows to be durable"};
            return std::nullopt;
        }
        auto newest = format::newest_checkpoint(raw);
        if (newest && newest->version > format::checkpoint_version) {
            why = {errc::unsupported_version, name_->text() + ": " + checkpoint_path() + " has format version " + std::to_string(newest->version) +
                                                  ", this brook reads up to " + std::to_string(format::checkpoint_version) + "; use a newer one"};
            return std::nullopt;
        }
        if (newest && (newest->topic != name_->topic_id || newest->partition != name_->number)) {
            return std::nullopt;
        }
        return newest;
    }

    /// On the disk when this returns. The first one gets its name when it is there: a file whose first sync has failed perhaps never gets there.
    [[nodiscard]] failure write_checkpoint(format::checkpoint slot) {
        slot.topic = name_->topic_id;
        slot.partition = name_->number;
        const std::string temporary = checkpoint_path() + ".tmp";
        std::error_code code;
        auto file = platform_->open(checkpoint_path(), os::open_mode::read_write, code);
        const bool is_new = !file && code == std::errc::no_such_file_or_directory;
        if (is_new) {  // behind the names of the segments: a checkpoint without any would be one whose segments are lost
            discard(temporary);
            code = platform_->sync_directory(path_);
            file = code ? nullptr : platform_->open(temporary, os::open_mode::create, code);
            if (file) {
                code = file->write_at(0, std::array<std::byte, format::checkpoint_file_size>{});
            }
        }
        if (file && !code) {
            std::array<std::byte, sizeof(format::checkpoint)> raw;
            store(raw.data(), format::sealed(slot));
            code = file->write_at(format::slot_position(slot.sequence), raw);
        }
        if (file && !code) {
            code = file->sync();
        }
        if (is_new && !code) {
            code = platform_->rename_to_new(temporary, checkpoint_path());
            code = code ? code : platform_->sync_directory(path_);
        }
        if (is_new && code) {
            discard(temporary);
            discard(checkpoint_path());  // who finds it does not sync its name
        }
        return code ? failure{code, name_->text() + ": cannot write " + checkpoint_path()} : failure{};
    }

    /// Takes a segment's files away. What readers have mapped stays readable to them.
    [[nodiscard]] failure remove(offset base) {
        discard(index_path(base));
        const std::string path = log_path(base);
        const auto code = platform_->remove(path);
        return code && code != std::errc::no_such_file_or_directory ? failure{code, name_->text() + ": cannot remove " + path} : failure{};
    }

    void discard(const std::string& path) noexcept {
        static_cast<void>(platform_->remove(path));  // missing is what we want; anything else shows at the next use of the name
    }

private:
    [[nodiscard]] failure sync_names() const {
        const auto code = platform_->sync_directory(path_);
        return code ? failure{code, name_->text() + ": cannot sync " + path_} : failure{};
    }

    /// Moves `end` back to where a file's last zeros begin. By reads, which take no disk space for holes.
    [[nodiscard]] static std::error_code find_zeros(const os::file& file, position& end) {
        std::array<std::byte, 32 * 1024> raw;
        while (end > 0) {
            const auto size = end < raw.size() ? end : static_cast<position>(raw.size());
            if (const auto code = file.read_at(end - size, mutable_bytes{raw}.first(size))) {
                return code;
            }
            if (raw[0] != std::byte{0} || std::memcmp(raw.data(), raw.data() + 1, size - 1) != 0) {  // not all alike, and zero
                for (position left = size; raw[left - 1] == std::byte{0}; --left) {
                    --end;
                }
                return {};
            }
            end -= size;
        }
        return {};
    }

    /// The index is derived: without one, look-ups walk the segment. What a lost one said of doubt is not known: a new one says that first, so that
    /// one that was not made to its end has it, or not even room for it.
    [[nodiscard]] std::unique_ptr<os::file> open_index(const std::string& path, std::uint32_t capacity, std::unique_ptr<os::mapping>& map) {
        std::error_code code;
        const std::uint64_t size = index_file_bytes(capacity);
        auto index = platform_->open(path, os::open_mode::read_write, code);
        if (!index && code == std::errc::no_such_file_or_directory) {
            index = platform_->open(path, os::open_mode::create, code);
        }
        std::uint64_t before = 0;
        std::array<std::byte, sizeof(doubt)> first{};
        store(first.data(), doubt::is_syncing);
        if (index && !index->size(before) && (before >= first.size() || !index->write_at(0, first)) && !index->allocate(0, size)) {
            map = index->map(size, code);
        }
        return map ? std::move(index) : nullptr;
    }

    /// True for what a creation left that failed behind its rename, and could not even remove the file: this very segment,
    /// without a frame.
    [[nodiscard]] bool is_left_over(const std::string& log_path, std::optional<offset> base) {
        segment_summary summary;
        failure unreadable;
        std::array<std::byte, sizeof(std::uint64_t)> first_word{};
        const auto file = open_summary(log_path, summary, unreadable);
        return file && summary.base == base && summary.is_spare == !base && !file->read_at(format::segment_header_size, first_word) &&
               load<std::uint64_t>(first_word.data()) == 0;
    }

    segment_pin refuse(failure& why, std::error_code code, const std::string& what) const {
        why = {code, name_->text() + ": " + what};
        return nullptr;
    }

    [[nodiscard]] segment_pin write_new(const std::string& stem, std::optional<offset> base, std::uint32_t capacity,
                                        std::uint32_t window, failure& why) {
        std::error_code code;
        const std::string temporary = stem + ".log.tmp";
        auto log = platform_->open(temporary, os::open_mode::create, code);
        if (!log) {
            return refuse(why, code, "cannot create " + temporary);
        }
        if (code = log->allocate(0, window); code) {
            return refuse(why, code, std::string{"cannot take "} + std::to_string(window) + " bytes of disk for " + temporary);
        }
        return finish_new(stem, temporary, base, capacity, window, std::move(log), why);
    }

    [[nodiscard]] std::string recycled_path() const { return path_ + "/recycled.log.tmp"; }

    /// Gives a file of zeros its header, its index, and its name.
    [[nodiscard]] segment_pin finish_new(const std::string& stem, const std::string& temporary, std::optional<offset> base, std::uint32_t capacity,
                                         std::uint32_t window, std::unique_ptr<os::file> log, failure& why) {
        std::error_code code;
        const auto birth = format::make_birth(platform_->random(), capacity, name_->topic_id, name_->number);
        std::array<std::byte, format::segment_header_size> header{};
        store(header.data(), birth);
        if (base) {
            const auto plus_one = static_cast<std::uint64_t>(*base) + 1;
            store(header.data() + format::base_at, plus_one);
            store(header.data() + format::base_check_at, format::base_check(birth.seed, plus_one));
        }
        if (code = log->write_at(0, header); code) {
            return refuse(why, code, "cannot write " + temporary);
        }
        const std::uint64_t index_bytes = index_file_bytes(capacity);
        auto index = platform_->open(stem + ".index", os::open_mode::create, code);
        if (!index) {
            return refuse(why, code, "cannot create " + stem + ".index");
        }
        if (code = index->allocate(0, index_bytes); code) {
            return refuse(why, code, std::string{"cannot take "} + std::to_string(index_bytes) + " bytes of disk for " + stem + ".index");
        }
        auto log_map = log->map(capacity, code);
        if (!log_map) {
            return refuse(why, code, "cannot map " + temporary);
        }
        auto index_map = index->map(index_bytes, code);
        if (!index_map) {
            return refuse(why, code, "cannot map " + stem + ".index");
        }
        auto made = std::make_shared<mapped_segment>(name_, stem + ".log", std::move(log), std::move(index), std::move(log_map),
                                                     std::move(index_map), birth, window);
        if (why = sign(*made, *name_); why) {
            return nullptr;
        }
        // The order of R5: the header on the disk, then the name, then the directory. Only then may anything rely on it.
        if (code = made->log_file().sync(); code) {
            return refuse(why, code, "cannot sync " + temporary);
        }
        code = platform_->rename_to_new(temporary, stem + ".log");
        if (code == std::errc::file_exists && is_left_over(stem + ".log", base)) {
            discard(stem + ".log");
            code = platform_->rename_to_new(temporary, stem + ".log");
        }
        if (code) {
            return refuse(why, code, "cannot rename " + temporary + " to " + stem + ".log");
        }
        if (code = platform_->sync_directory(path_); code) {
            discard(stem + ".log");
            return refuse(why, code, "cannot sync " + path_);
        }
        return made;
    }

    os::platform* platform_;
    disk_budget* budget_ = nullptr;
    bool heeds_budget_ = false;
    std::string path_;
    std::shared_ptr<const partition_name> name_;  // of each segment, too: what was read outlives us
};

}  // namespace brook::inline BROOK_ABI::storage
