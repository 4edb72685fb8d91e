/// \file brook/storage/verify_report.hpp
/// What a look at a partition's files finds, in words and numbers that a person can act on.
/// Floor 2, storage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>

namespace brook::inline BROOK_ABI {

/// How bad a finding is.
enum class severity {
    note,    ///< nothing is lost and nothing has to be done
    tail,    ///< not durable, and torn: what an open after a loss of power cuts, and keeps in *.quarantine
    damage,  ///< something was there, and what stands in its place is not it
};

[[nodiscard]] constexpr std::string_view to_string(severity how_bad) noexcept {
    switch (how_bad) {
        case severity::note: return "note";
        case severity::tail: return "tail";
        case severity::damage: return "damage";
    }
    return "unknown";
}

/// One thing that is not as in a store that was closed in good order.
struct finding {
    brook::severity severity = brook::severity::note;
    std::string file;         ///< or directory
    std::uint64_t begin = 0;  ///< bytes [begin, end) of the file; both 0: the file as a whole
    std::uint64_t end = 0;
    offset first = 0;  ///< offsets [first, last) that it is about; both 0: none
    offset last = 0;
    std::string text;  ///< what is there, and what to do: sentences without file and place
};

/// Findings in the order of the files. Of each severity the first `most` are kept, and all are counted: a directory that
/// somebody made to annoy does not fill the memory.
///
/// Threads   confined.
class finding_list {
public:
    static constexpr std::size_t most = 1'000;

    void add(finding found) {
        if (counts_[static_cast<std::size_t>(found.severity)]++ < most) {
            kept_.push_back(std::move(found));
        }
    }

    /// Those of another list behind these.
    void add_all(const finding_list& other) {
        const auto before = counts_;
        for (const finding& one : other.kept_) {
            add(one);
        }
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            counts_[i] = before[i] + other.counts_[i];  // also those that were not kept there
        }
    }

    /// How many were found, those among them that are not kept.
    [[nodiscard]] std::uint64_t count(severity how_bad) const noexcept { return counts_[static_cast<std::size_t>(how_bad)]; }

    [[nodiscard]] std::size_t size() const noexcept { return kept_.size(); }
    [[nodiscard]] bool empty() const noexcept { return kept_.empty(); }
    [[nodiscard]] const finding& operator[](std::size_t index) const noexcept { return kept_[index]; }
    [[nodiscard]] auto begin() const noexcept { return kept_.begin(); }
    [[nodiscard]] auto end() const noexcept { return kept_.end(); }

private:
    std::vector<finding> kept_;
    std::array<std::uint64_t, 3> counts_{};
};

/// One segment file, as its frames tell.
struct segment_report {
    std::string file;
    offset base_offset = 0;
    offset end_offset = 0;               ///< after the last record that was found in it
    std::uint64_t file_bytes = 0;        ///< the file's size
    std::uint64_t used_bytes = 0;        ///< header and frames, as far as they were walked
    std::uint64_t capacity = 0;          ///< the size that the file may grow to
    std::uint64_t records = 0;           ///< those of undecoded batches by their headers
    std::array<std::uint64_t, 6> frames{};  ///< by format::frame_kind
    std::optional<timestamp> earliest;   ///< of the records in it
    std::optional<timestamp> latest;
    std::uint64_t undecoded_batches = 0;  ///< compressed, and this process has no such codec: their checksums were verified, no more
    bool is_readable = false;            ///< it has a valid header, of this partition
    bool is_walked = false;              ///< frame by frame; else what its header says is all there is here
    bool is_sealed = false;
    bool has_footer = false;             ///< all of it was on the disk
    bool is_of_this_boot = false;        ///< this file was written in this boot: its page cache is whole
    bool has_index = false;
    std::uint64_t index_slots = 0;       ///< slots that were checked against the frames
    std::uint64_t wrong_index_slots = 0;  ///< harmless: readers check them too

    [[nodiscard]] std::uint64_t count(format::frame_kind kind) const noexcept {
        const auto index = static_cast<std::size_t>(kind);
        return index < frames.size() ? frames[index] : 0;
    }
};

/// One of the two slots of a checkpoint.
struct checkpoint_report {
    enum class slot_state {
        empty,    ///< never written
        valid,
        broken,   ///< it does not verify
        foreign,  ///< of another partition
        newer,    ///< of a newer format
    };
    slot_state state = slot_state::empty;
    std::uint64_t sequence = 0;
    offset durable_offset = 0;
};

/// What proves that something had been durable.
enum class evidence_source { none, checkpoint, footer, frame };

/// One partition.
struct partition_report {
    std::int32_t number = 0;
    std::string path;
    std::vector<segment_report> segments;  ///< oldest first
    offset log_start_offset = 0;
    offset end_offset = 0;                 ///< where the next open would go on: behind gaps that it fills, before what it cuts
    offset durable_offset = 0;             ///< the strongest evidence that was found,
    evidence_source durable_by = evidence_source::none;  ///< of this kind,
    std::string durable_file;                            ///< in this file,
    std::uint64_t durable_at = 0;                        ///< at this position
    bool has_checkpoint = false;                         ///< a slot that counts
    std::array<checkpoint_report, 2> checkpoint_slots{};
    bool has_spare = false;
    std::vector<std::string> quarantined;  ///< names of files that hold what was cut, or what was not understood
    std::vector<std::string> strangers;    ///< names of files that are not brook's

    [[nodiscard]] std::uint64_t records() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& segment : segments) {
            sum += segment.records;
        }
        return sum;
    }
    [[nodiscard]] std::uint64_t file_bytes() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& segment : segments) {
            sum += segment.file_bytes;
        }
        return sum;
    }
    [[nodiscard]] std::uint64_t used_bytes() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& segment : segments) {
            sum += segment.used_bytes;
        }
        return sum;
    }
};

/// A frame that verifies, as a walk comes past it.
///
/// Lifetime  of the call that it is handed to.
struct visited_frame {
    std::string_view topic;
    std::int32_t partition = 0;
    std::string_view file;
    position at = 0;
    format::frame_header header{};
    std::uint32_t offsets = 0;  ///< how many it takes

    [[nodiscard]] format::frame_kind kind() const noexcept { return format::word_of(header).kind(); }
};

/// A record in a frame that verifies.
///
/// Lifetime  of the call that it is handed to.
struct visited_record {
    std::string_view topic;
    std::int32_t partition = 0;
    std::string_view file;
    position at = 0;  ///< of its frame
    brook::offset offset = 0;
    brook::timestamp timestamp{};
    std::optional<bytes> key;    ///< nullopt: none
    std::optional<bytes> value;  ///< nullopt: a tombstone
    bytes headers;               ///< as they lie there: format::next_header takes them apart
};

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::storage {

/// How much of a partition is looked at, and who is shown what is there.
struct scrub_rules {
    bool deep = true;  ///< every frame and record; else what stands in headers, footers and checkpoints
    offset from = 0;   ///< segments that end at or before it are not walked
    callback<bool(const visited_frame&)> on_frame{};    ///< false: enough
    callback<bool(const visited_record&)> on_record{};  ///< false: enough
};

}  // namespace brook::inline BROOK_ABI::storage
