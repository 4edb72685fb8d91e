/// \file brook/storage/segment_scrub.hpp
/// One segment walked frame by frame without touching it, also while it is written.
/// Floor 2, storage. What the states mean is told in brook/storage/README.md; recovery.hpp acts on the same ones.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/file_window.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI::storage {

/// A place where the next frame should stand, and does not. What it amounts to depends on what is durable: the partition
/// decides (partition_scrub.hpp).
struct log_break {
    enum class kind {
        gap,          ///< claims that were not published, before a frame that verifies
        open_claims,  ///< claims that were not published, and nothing behind them
        corrupt,      ///< not what was written
        unreadable,   ///< the file system gave an error
        malformed,    ///< a frame that verifies, and contradicts itself
    };
    kind what = kind::gap;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    offset first = 0;
    std::optional<offset> last;        ///< of the frame that stands behind it, if one was found
    std::uint64_t records_before = 0;  ///< in this segment
    std::string why;                   ///< of what is unreadable or malformed
};

/// What a walk through one segment found.
struct scrubbed_segment {
    segment_report report;
    std::vector<log_break> breaks;  ///< in the order of the file
    offset evidence = 0;            ///< everything below was on the disk: by the frame at
    position evidence_at = 0;
    std::uint64_t first_wrong_slot = 0;  ///< position in the index file
    unsigned undecoded_codec = 0;          ///< of the first batch whose codec this process lacks,
    std::uint64_t first_undecoded = 0;     ///< which begins here,
    std::uint64_t first_undecoded_end = 0;  ///< and ends here
    std::optional<read_failure> healed;  ///< a read failed and went well when it was repeated
    bool has_stopped = false;            ///< the visitor had enough
    bool is_given_up = false;            ///< so much is wrong that the rest was not looked at
};

/// Walks a segment from its first frame to the end of what is published.
///
/// Whoever writes it meanwhile is not disturbed, and does not disturb: frames are published by their first word, so a
/// frame that does not verify is read again, its word first; and what changes between two looks is in progress.
///
/// Threads   confined.
/// Cost      reads the file once; searching beyond damage hashes at most some times the file's size. Memory for the
///           largest frame, compressed and not, and 8 bytes a page of the file.
class segment_scrub {
public:
    segment_scrub(const os::file& file, const partition_name& name, const segment_summary& summary, offset base, const scrub_rules& rules,
                  scrubbed_segment& into) noexcept
        : file_{file}, window_{file}, name_{name}, summary_{summary}, base_{base}, rules_{rules}, into_{into}, next_{base} {}

    void walk() {
        while (goes_on_) {
            switch (look_at(at_, next_, next_)) {
                case seen::frame: accept(); break;
                case seen::nothing: pass_gap(); break;
                case seen::corrupt: pass_damage(log_break::kind::corrupt); break;
                case seen::unreadable: pass_damage(log_break::kind::unreadable); break;
            }
        }
        into_.report.is_walked = true;
        into_.report.used_bytes = at_;
        into_.report.end_offset = next_;
        into_.healed = window_.healed();
    }

    /// Compares the index with the frames that have been walked. An index is derived: what is wrong in it is harmless.
    void check_index(const os::file& index) {
        file_window slots{index};
        std::uint64_t size = 0;
        if (index.size(size)) {
            return;
        }
        slots.set_end(size);
        for (std::uint32_t k = 0; k < expected_.size() && (std::uint64_t{k} + 1) * sizeof(index_slot) <= size; ++k) {
            const index_slot right = expected_[k];
            const std::uint64_t at = std::uint64_t{k} * sizeof(index_slot);
            const std::byte* const raw = right.at == 0 ? nullptr : slots.look(at, sizeof(index_slot));
            if (raw == nullptr) {
                continue;  // no frame is known to cover that byte, or the index cannot be read there
            }
            const auto slot = load<index_slot>(raw);
            ++into_.report.index_slots;
            if (slot.at != 0 && (slot.at != right.at || slot.relative_offset != right.relative_offset)) {
                into_.first_wrong_slot = into_.report.wrong_index_slots++ == 0 ? at : into_.first_wrong_slot;
            }
        }
    }

private:
    enum class seen { nothing, frame, corrupt, unreadable };

    static constexpr std::size_t most_breaks = 1'000;     // then the segment is given up: somebody else has to look
    static constexpr unsigned most_bad_pages = 64;        // each may take a disk seconds
    static constexpr std::uint64_t hashed_per_byte = 8;   // in searches: a file of nothing but fake frames ends it
    static constexpr int most_looks = 16;                 // at a gap that changes each time: somebody writes

    // ---- one frame ----

    /// True when the file has bytes up to `end`, by now.
    [[nodiscard]] bool exists(std::uint64_t end) {
        if (end > size_) {
            std::uint64_t size = 0;
            if (!file_.size(size)) {
                size_ = size < summary_.birth.capacity ? size : summary_.birth.capacity;
                window_.set_end(size_);
            }
        }
        return end <= size_;
    }

    /// Looks at `at` for a frame with a base offset of `low` to `high`. A frame that does not verify is read again.
    [[nodiscard]] seen look_at(std::uint64_t at, offset low, offset high) {
        seen result = look_once(at, low, high);
        for (int again = 0; again < 2 && result == seen::corrupt && !has_searched_enough(); ++again) {
            std::array<std::byte, sizeof(format::frame_word)> word;
            if (file_.read_at(at, word)) {
                break;
            }
            if (!load<format::frame_word>(word.data()).is_published()) {
                return seen::nothing;
            }
            window_.forget();  // published before what is read now: all of it is there
            result = look_once(at, low, high);
        }
        return result;
    }

    [[nodiscard]] seen look_once(std::uint64_t at, offset low, offset high) {
        if (!exists(at + format::frame_header_size)) {
            return seen::nothing;
        }
        for (int attempt = 0; attempt < 4; ++attempt) {
            const std::byte* frame = window_.look(at, format::frame_header_size);
            if (frame == nullptr) {
                return seen::unreadable;
            }
            const auto word = load<format::frame_word>(frame);
            if (!word.is_published()) {
                return seen::nothing;
            }
            const offset base = format::load_header(frame).base_offset;
            if (word.size() < format::frame_header_size || base < low || base > high || !exists(at + word.length())) {
                return seen::corrupt;  // before its size is believed
            }
            frame = window_.look(at, word.size());
            if (frame == nullptr) {
                return seen::unreadable;
            }
            if (load<format::frame_word>(frame).raw() != word.raw()) {
                continue;  // read anew for its size, and it has changed
            }
            if (!leaves_room_for_seal(summary_.birth.capacity, at, word) || base - base_ > most_offsets_in_front ||
                !format::verifies(summary_.birth.seed, static_cast<position>(at), static_cast<position>(size_), frame) ||
                format::offsets_taken(format::load_header(frame), frame) > format::most_offsets_taken) {
                hashed_ += word.size();
                return seen::corrupt;
            }
            frame_ = frame;
            header_ = format::load_header(frame);
            return seen::frame;
        }
        return seen::corrupt;
    }

    [[nodiscard]] offset highest_base() const noexcept {
        constexpr offset largest = std::numeric_limits<offset>::max();
        return next_ > largest - most_offsets_ahead ? largest : next_ + most_offsets_ahead;
    }

    // ---- frames that verify ----

    void accept() {
        const format::frame_word word = format::word_of(header_);
        const std::uint32_t taken = format::offsets_taken(header_, frame_);
        const std::uint64_t begin = at_;
        if (taken > std::numeric_limits<offset>::max() - next_) {
            add_break({log_break::kind::malformed, at_, at_ + word.length(), next_, std::nullopt, 0, "its offsets pass the largest number"});
            goes_on_ = false;
            return;
        }
        const visited_frame visited{name_.topic, static_cast<std::int32_t>(name_.number), into_.report.file, static_cast<position>(at_), header_, taken};
        ++into_.report.frames[static_cast<std::size_t>(word.kind())];
        goes_on_ = !rules_.on_frame || rules_.on_frame(visited);
        if (goes_on_ && word.kind() == format::frame_kind::data) {
            walk_records(word, taken);
        }
        into_.has_stopped = !goes_on_;
        if (word.kind() == format::frame_kind::evidence && header_.base_timestamp > into_.evidence) {
            into_.evidence = header_.base_timestamp;
            into_.evidence_at = static_cast<position>(at_);
        }
        expect_slots(static_cast<position>(begin), word.length());
        next_ += taken;
        at_ += word.length();
        if (word.kind() == format::frame_kind::seal) {
            into_.report.is_sealed = true;
            goes_on_ = false;
            check_footer(begin);
        }
    }

    void walk_records(format::frame_word word, std::uint32_t taken) {
        if (format::codec_of(header_.attributes) == format::codec_none) {
            walk_records(header_, frame_, word, taken);
            return;
        }
        const auto room = [this](std::uint32_t size) {
            decoded_.resize(size / sizeof(std::uint64_t));
            return std::as_writable_bytes(std::span{decoded_}).data();
        };
        switch (format::inflate(header_, frame_, most_inflated(summary_.birth.capacity), room)) {
            case format::inflation::done: {
                const std::byte* const frame = std::as_bytes(std::span{decoded_}).data();
                walk_records(format::load_header(frame), frame, word, taken);
                return;
            }
            case format::inflation::missing_codec: count_undecoded(word); return;
            case format::inflation::corrupt: break;
        }
        add_malformed(word, taken, "it is compressed, and its content is not what was compressed there");
    }

    void walk_records(const format::frame_header& header, const std::byte* frame, format::frame_word word, std::uint32_t taken) {
        format::record_walk records{header, frame};
        offset before = next_ - 1;
        const char* wrong = nullptr;
        for (format::record_slice record; goes_on_ && records.next(record);) {
            const offset at = record.offset();
            if (at <= before || at - next_ >= taken) {
                wrong = "the offsets of its records do not fit";
                break;
            }
            before = at;
            bytes headers = record.headers();
            for (format::header_slice one; format::next_header(headers, one);) {
            }
            if (!headers.empty()) {
                wrong = "the headers of a record do not fit";
            }
            count(record);
            goes_on_ = show(record);
        }
        if (records.is_malformed()) {
            wrong = "its records do not fit into it";
        }
        if (wrong != nullptr) {
            add_malformed(word, taken, wrong);
        }
    }

    void add_malformed(format::frame_word word, std::uint32_t taken, const char* wrong) {
        add_break({log_break::kind::malformed, at_, at_ + word.length(), next_, next_ + taken, into_.report.records, wrong});
    }

    /// What can be told of a batch without its codec.
    void count_undecoded(format::frame_word word) noexcept {
        if (into_.report.undecoded_batches++ == 0) {
            into_.undecoded_codec = format::codec_of(word.attributes());
            into_.first_undecoded = at_;
            into_.first_undecoded_end = at_ + word.length();
        }
        into_.report.records += format::records_in(header_);
        count_times(timestamp{std::chrono::nanoseconds{header_.base_timestamp}},
                    timestamp{std::chrono::nanoseconds{format::largest_timestamp(header_, frame_)}});
    }

    void count(const format::record_slice& record) noexcept {
        const timestamp time{std::chrono::nanoseconds{record.timestamp()}};
        ++into_.report.records;
        count_times(time, time);
    }

    void count_times(timestamp earliest, timestamp latest) noexcept {
        segment_report& report = into_.report;
        report.earliest = report.earliest && *report.earliest < earliest ? report.earliest : earliest;
        report.latest = report.latest && *report.latest > latest ? report.latest : latest;
    }

    [[nodiscard]] bool show(const format::record_slice& record) const {
        return !rules_.on_record ||
               rules_.on_record({name_.topic, static_cast<std::int32_t>(name_.number), into_.report.file, static_cast<position>(at_), record.offset(),
                                 timestamp{std::chrono::nanoseconds{record.timestamp()}},
                                 record.has_key() ? std::optional{record.key()} : std::nullopt,
                                 record.has_value() ? std::optional{record.value()} : std::nullopt, record.headers()});
    }

    /// The slots that an appender notes for a frame (mapped_segment::note).
    void expect_slots(position at, std::uint32_t length) {
        const std::uint64_t end = (std::uint64_t{at} + length + index_interval - 1) / index_interval;
        for (std::uint64_t k = (std::uint64_t{at} + index_interval - 1) / index_interval; k < end; ++k) {
            expected_.resize(static_cast<std::size_t>(k) + 1);
            expected_.back() = {static_cast<std::uint32_t>(next_ - base_), at};
        }
    }

    void check_footer(std::uint64_t seal) {
        if (summary_.has_footer && (summary_.footer.end_offset != next_ || summary_.footer.seal_position != seal)) {
            add_break({log_break::kind::malformed, format::footer_at, format::footer_at + sizeof(format::segment_footer), next_, next_, into_.report.records,
                       "the footer names another end than the seal, which stands at position " + std::to_string(seal)});
        }
    }

    // ---- places without a frame ----

    struct gap {
        std::uint64_t end = 0;        ///< where something stands that is neither zero nor a marked claim
        std::uint64_t dirty_end = 0;  ///< end of the last claim that left a mark
        bool has_end = false;
        bool is_unreadable = false;
    };

    /// Zeros are stepped over one by one, marked claims whole, if no frame stands within, as an opening does (claim_gap.hpp; PROTOCOL, "What nobody can imitate").
    [[nodiscard]] gap measure_gap() {
        gap hole{at_, at_};
        std::uint64_t at = at_;
        while (exists(at + format::frame_header_size)) {
            const std::byte* const raw = window_.look(at, sizeof(format::frame_word));
            if (raw == nullptr) {
                hole.end = at;
                hole.is_unreadable = true;
                return hole;
            }
            const auto word = load<format::frame_word>(raw);
            if (word.is_empty()) {
                at += format::frame_alignment;
                continue;
            }
            const std::uint32_t length = word.claimed_length();
            if (word.is_published() || word.raw() != format::frame_word::claimed(length).raw() || length % format::frame_alignment != 0 ||
                length < format::frame_header_size || length > summary_.birth.capacity - at || find_frame(at + format::frame_alignment, at + length)) {
                hole.end = at;
                hole.has_end = true;
                return hole;
            }
            at += length;
            hole.dirty_end = at < size_ ? at : size_;
        }
        look_at_rest(at, hole);
        return hole;
    }

    /// A file that was cut short may end within a header.
    void look_at_rest(std::uint64_t from, gap& hole) {
        const auto left = from < size_ ? static_cast<std::size_t>(size_ - from) : 0;
        const std::byte* const raw = left == 0 ? nullptr : window_.look(from, left);
        for (std::size_t i = 0; raw != nullptr && i < left; ++i) {
            hole.dirty_end = raw[i] == std::byte{0} ? hole.dirty_end : from + i + 1;
        }
    }

    /// A writer that claims where zeros have been stepped over makes its payload look like something. Then the next look
    /// finds its mark first, and something else behind; what a look finds again, at the same place, was not of its making.
    void pass_gap() {
        std::optional<std::uint64_t> strange;
        for (int look = 0; look < most_looks; ++look) {
            window_.forget();
            const gap hole = measure_gap();
            if (hole.is_unreadable) {
                return pass_damage(log_break::kind::unreadable);
            }
            if (!hole.has_end) {
                if (hole.dirty_end > at_) {
                    add_break({log_break::kind::open_claims, at_, hole.dirty_end, next_, std::nullopt, into_.report.records, {}});
                }
                goes_on_ = false;
                return;
            }
            if (look_at(hole.end, next_, hole.end == at_ ? next_ : highest_base()) == seen::frame) {
                if (hole.end == at_) {
                    return;  // published meanwhile
                }
                if (hole.end - at_ >= format::frame_header_size) {
                    add_break({log_break::kind::gap, at_, hole.end, next_, header_.base_offset, into_.report.records, {}});
                    at_ = hole.end;
                    next_ = header_.base_offset;
                    return;
                }
            }
            if (strange == hole.end) {
                return pass_damage(log_break::kind::corrupt);
            }
            strange = hole.end;
        }
        goes_on_ = false;  // in progress: as far as it was published
    }

    /// Goes on at the next frame that verifies, if there is one.
    void pass_damage(log_break::kind what) {
        log_break here{what, at_, size_, next_, std::nullopt, into_.report.records, {}};
        std::uint64_t from = at_ + format::frame_alignment;
        if (what == log_break::kind::unreadable) {
            const read_failure& failed = window_.failed();
            here.why = "bytes " + std::to_string(failed.begin) + " to " + std::to_string(failed.end) + " cannot be read: " + failed.code.message();
            from = failed.end > from ? failed.end : from;
            ++bad_pages_;
        }
        if (find_frame(from)) {
            here.end = found_at_;
            here.last = header_.base_offset;
            at_ = found_at_;
            next_ = header_.base_offset;
        } else {
            goes_on_ = false;
        }
        add_break(std::move(here));
    }

    [[nodiscard]] bool find_frame(std::uint64_t from, std::uint64_t until = std::numeric_limits<std::uint64_t>::max()) {
        const offset high = highest_base();
        for (std::uint64_t at = align_up(from, std::uint64_t{format::frame_alignment}); at < until && exists(at + format::frame_header_size);) {
            if (has_searched_enough()) {
                into_.is_given_up = true;
                return false;
            }
            const std::byte* const raw = window_.look(at, format::frame_header_size);
            if (raw == nullptr) {
                ++bad_pages_;
                at = align_up(window_.failed().end, std::uint64_t{format::frame_alignment});
                continue;
            }
            const format::frame_header header = format::load_header(raw);
            const bool is_plausible = header.size >= static_cast<std::int32_t>(format::frame_header_size) && header.base_offset >= next_ && header.base_offset <= high;
            if (is_plausible && look_once(at, next_, high) == seen::frame) {
                found_at_ = at;
                return true;
            }
            at += format::frame_alignment;
        }
        return false;
    }

    /// Searching beyond damage has its price, and who made the file may have meant to raise it.
    [[nodiscard]] bool has_searched_enough() const noexcept { return hashed_ > hashed_per_byte * size_ || bad_pages_ > most_bad_pages; }

    void add_break(log_break found) {
        into_.breaks.push_back(std::move(found));
        if (into_.breaks.size() >= most_breaks) {
            into_.is_given_up = true;
            goes_on_ = false;
        }
    }

    const os::file& file_;
    file_window window_;
    const partition_name& name_;
    const segment_summary& summary_;
    offset base_;
    const scrub_rules& rules_;
    scrubbed_segment& into_;
    std::uint64_t at_ = format::segment_header_size;
    offset next_;
    std::uint64_t size_ = 0;
    bool goes_on_ = true;
    const std::byte* frame_ = nullptr;  // the frame that was looked at last, in the window
    format::frame_header header_{};
    std::uint64_t found_at_ = 0;
    std::uint64_t hashed_ = 0;  // in vain
    unsigned bad_pages_ = 0;
    std::vector<std::uint64_t> decoded_;  // the frame that was compressed last
    std::vector<index_slot> expected_;  // by the page that they are for; at 0: not known
};

}  // namespace brook::inline BROOK_ABI::storage
