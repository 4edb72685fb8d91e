/// \file brook/storage/segment_directory.hpp
/// A partition's directory: how its files are made, opened, renamed and removed.
/// Floor 2, storage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/disk_budget.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_names.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

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
    [[nodiscard]] segment_pin create(std::optional<offset> base, std::uint32_t capacity, std::uint32_t first_bytes, failure& why, bool is_unlimited = false) {
        const std::string stem = path_ + '/' + (base ? segment_name(*base) : std::string{"spare"});
        discard(stem + ".log.tmp");
        discard(stem + ".index");  // an index without its log is nobody's
        const std::uint32_t window = first_bytes < capacity ? first_bytes : capacity;
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

    /// Says who appends from now on: before the first append, so that a kill is never taken for a power loss.
    [[nodiscard]] static failure sign(mapped_segment& segment, const partition_name& name) {
        os::file_identity id;
        if (const auto code = segment.log_file().identity(id)) {
            return {code, name.text() + ": cannot read the identity of " + segment.path()};
        }
        store(segment.data() + format::writer_at, format::make_writer(id.boot_id, id.device, id.inode, id.birth_time_ns));
        return {};
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

    /// Takes a segment's files away. What readers have mapped stays readable to them.
    [[nodiscard]] failure remove(offset base) {
        discard(index_path(base));
        const std::string path = log_path(base);
        const auto code = platform_->remove(path);
        return code && code != std::errc::no_such_file_or_directory ? failure{code, name_->text() + ": cannot remove " + path} : failure{};
    }

    /// The names of its files are on the disk.
    [[nodiscard]] failure sync_names() const {
        const auto code = platform_->sync_directory(path_);
        return code ? failure{code, name_->text() + ": cannot sync " + path_} : failure{};
    }

    void discard(const std::string& path) noexcept {
        static_cast<void>(platform_->remove(path));  // missing is what we want; anything else shows at the next use of the name
    }

private:
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
