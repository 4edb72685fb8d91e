/// \file brook/storage/partition_scrub.hpp
/// Looking through the files of one partition after an accident, or any time: nothing is written, locked or mapped.
/// Floor 2, storage. Rules R1, R4, R8, R14 of brook/storage/README.md; recovery.hpp acts on what this only tells.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
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
#include <brook/os/platform.hpp>
#include <brook/storage/segment_scrub.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Checks one partition and says what is torn and what is rotten, by the rules that recovery goes by.
///
/// A broker may write beside it. First everything is read once, and with it all evidence of what is durable; then what
/// looks damaged is looked at a second time. Whatever is below the evidence was published before it was read, so that
/// nothing in progress can be taken for damage.
///
/// Threads   confined.
/// Errors    what cannot be read is a finding. Throws for want of memory only.
class partition_scrub {
public:
    /// `knows_topic` false: topic.meta could not be read, and the topic's id is what the first segment says.
    partition_scrub(os::platform& platform, std::string path, partition_name name, bool knows_topic, const scrub_rules& rules, finding_list& found)
        : platform_{platform}, path_{std::move(path)}, name_{std::move(name)}, knows_topic_{knows_topic}, rules_{rules}, found_{found} {}

    /// Where there seems to be damage, and the log was cut or rewritten meanwhile, which its checkpoint tells, it is looked at anew: what was cut
    /// under the look was there at its beginning, and at its end was not. Not where there is a visitor: it is told of each frame once.
    ///
    /// Returns   false when the visitor had enough.
    bool run(partition_report& report);

private:
    static constexpr int most_looks = 5;

    [[nodiscard]] bool was_changed_meanwhile();

    bool look(partition_report& report);

    struct chain_link {
        offset base = 0;
        std::string path;
        offset file_base = 0;             // before `base` where the file stands for several, of which the first have been looked at
        bool is_file = true;
        bool is_doubtful = false;         // looks damaged: to be looked at again
        bool has_broken_footer = false;
        failure problem;                  // why its header cannot be believed
        segment_summary summary;
        scrubbed_segment scan;
        std::optional<log_break> unread;  // what the first look could not read, and the second could
    };

    // ---- telling ----

    static finding make(severity how_bad, std::string file, std::string text, std::uint64_t begin = 0, std::uint64_t end = 0, offset first = 0,
                        offset last = 0);

    void tell(severity how_bad, std::string file, const std::string& text, std::uint64_t begin = 0, std::uint64_t end = 0);

    [[nodiscard]] std::string path_of(std::string_view name) const { return path_ + '/' + std::string{name}; }
    [[nodiscard]] std::string log_path(offset base) const { return path_of(segment_name(base) + ".log"); }

    // ---- what there is ----

    void sort_out(const std::vector<os::directory_entry>& entries);

    chain_link& add_link(offset base, std::string path);

    [[nodiscard]] bool has_link(offset base) const;

    /// Opens a segment and reads its header. What does not verify is read once more: somebody may have been storing to it.
    [[nodiscard]] std::unique_ptr<os::file> open_segment(const std::string& path, segment_summary& summary, failure& why);

    void adopt_topic(bytes raw) noexcept;

    [[nodiscard]] std::string text_of(const failure& bad, const segment_summary& summary, std::uint64_t size) const;

    /// What a compaction has made, and what it was made from beside it, or a part of that: the former counts.
    void find_swaps();

    /// Whether a file is what compaction has left of offsets from `base` on, up to `end` if that is known.
    [[nodiscard]] bool is_compacted(const std::string& path, offset base, std::optional<offset> end);

    /// A spare with a base offset is a segment: it was taken, and has not been renamed yet.
    void find_spare(const std::vector<os::directory_entry>& entries);

    // ---- the checkpoint ----

    void read_checkpoint();

    void look_at_slots(const std::array<std::byte, format::checkpoint_file_size>& raw);

    void check_checkpoint(const std::vector<os::directory_entry>& entries);

    // ---- segment by segment ----

    void walk_chain();

    /// A broker that is open may put one segment in the place of several while they are looked through. What has gone is looked for
    /// in what stands for it now, and what that stands for need not be looked for behind it.
    void follow_compaction(std::size_t i, bool is_deep, const scrub_rules& rules);

    void find_compacted(chain_link& link, bool is_deep, const scrub_rules& rules);

    /// Where the segment says that the next one begins.
    [[nodiscard]] static std::optional<offset> end_of(const chain_link& link);

    /// By its name, or as the spare that it was, or by the name that it has got meanwhile.
    bool find_segment(offset base);

    void scan(chain_link& link, bool is_deep, const scrub_rules& rules);

    void check_index(chain_link& link, segment_scrub& walk);

    // ---- what is durable ----

    /// A truncation has begun, and has not come to its end: what takes its offset or a later one is nobody's any more.
    [[nodiscard]] bool is_being_cut() const noexcept { return report_->has_checkpoint && checkpoint_.is_cutting(); }
    [[nodiscard]] bool is_to_go(offset at) const noexcept { return is_being_cut() && at >= checkpoint_.cut_to(); }

    void raise_evidence(offset durable, evidence_source by, const std::string& file, std::uint64_t at);

    void gather_evidence();

    // ---- what it amounts to ----

    /// Segments below the start of the log were deleted, or are being deleted: what is wrong with them is nobody's loss.
    void forget_deleted();

    void look_again();

    /// Goes along the chain as recovery does. Everything that may have been in progress makes it doubtful.
    [[nodiscard]] std::vector<finding> judge();

    void judge_link(std::size_t i, offset& expected);

    /// Returns   true when nothing intact was found behind, so that the segment ends in damage.
    bool judge_break(chain_link& link, const log_break& here, std::optional<offset> next_base);

    [[nodiscard]] static std::string damage_text(const log_break& here);

    /// No seal, and yet another segment follows.
    void judge_open_end(chain_link& link, offset next_base);

    void doubt(chain_link& link) noexcept;

    void cut(const chain_link& link, std::uint64_t at, offset end);

    void tell_tail(offset seen_end);

    void say(severity how_bad, std::string file, const std::string& text, std::uint64_t begin = 0, std::uint64_t end = 0, offset first = 0, offset last = 0);

    [[nodiscard]] std::string evidence_text() const;

    void tell_of_trifles();

    static constexpr const char* advice = "Restore the file from a copy; else readers get an error here and can seek behind it";
    static constexpr const char* lower_advice = "restore the file from a copy; else readers get an error here and can seek behind it";

    os::platform& platform_;
    std::string path_;
    partition_name name_;
    bool knows_topic_;
    const scrub_rules& rules_;
    finding_list& found_;
    partition_report* report_ = nullptr;
    format::checkpoint checkpoint_;
    format::checkpoint first_checkpoint_;  // as it was when the look began
    std::error_code checkpoint_code_;
    std::vector<chain_link> chain_;  // ascending by base
    std::vector<swap_range> swaps_;  // what compactions have made, as listed
    bool has_stopped_ = false;
    bool has_broken_footer_ = false;  // the segment that was opened last

    std::vector<finding> findings_;  // of the judgement under way
    bool has_doubts_ = false;
    std::vector<offset> missing_;    // where a segment should begin
    std::optional<offset> cut_;      // where an open after a loss of power ends the log,
    std::uint64_t cut_at_ = 0;       // at this position
    std::string cut_file_;           // of this file
    std::uint64_t tail_end_ = 0;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/partition_scrub.hpp>
#endif
