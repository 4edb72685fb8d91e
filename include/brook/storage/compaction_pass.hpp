/// \file brook/storage/compaction_pass.hpp
/// One pass of compaction through the sealed segments of a log, in small steps.
/// Floor 2, storage. When a pass is due is decided in compaction.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/compaction_output.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/dirty_keys.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// First the records are read that came since the last pass [the dirty part], and each key is noted with its last offset. Then all
/// segments are gone through, from the first on, and written anew without what has a later record of its key; several that
/// have become small become one. Where the keys do not fit into the memory that there is for them, the dirty part ends in front
/// of the first that does not.
///
/// A record goes only when a later one of its key stands in the dirty part, which is sealed, decided and on the disk. A tombstone
/// goes when a pass before this one has taken away everything that it stands against, and delete_retention has passed since. What
/// was aborted goes, and what lies below the start of the log. What cannot be read stays, its whole segment with it; then
/// tombstones behind it stay as well, and the next pass begins there again: it may be readable one day.
///
/// Threads   confined: upkeep's.
/// Cost      two looks at each frame of the dirty part, one or two of the rest, a look-up for each record.
/// Source    Kafka's log cleaner (KIP-58, KIP-534).
class compaction_pass {
public:
    struct plan {
        std::vector<segment*> sources;  ///< consecutive segments from the first on, and the one behind the last
        offset dirty_from = 0;          ///< what lies below it has one record of each key, but for what could not be read
        offset compacted = 0;           ///< and below this one without that: up to there tombstones may go
        std::size_t memory = 0;         ///< bytes for keys
        std::uint32_t segment_bytes = 0;
        std::chrono::nanoseconds delete_retention{};
        std::optional<std::chrono::nanoseconds> joined_within{};  ///< only what was sealed within such a time becomes one
    };

    /// Errors    std::bad_alloc.
    compaction_pass(segment_directory& files, segment_chain& segments, segment_source& source, retention& ages, plan&& to_do);

    /// Goes on for a slice: some `slice` bytes that are looked at. `replace(group, made, range, bases)` puts the segment `made`, which is on the disk under the
    /// name that `range` says, in the place of the group, whose files have the names of `bases`.
    ///
    /// Returns   true when the pass has come to its end; or has not, and `why` says why it cannot.
    template <class Replace>
    [[nodiscard]] bool step(std::uint64_t slice, const Replace& replace, failure& why) {
        slice_ = slice;
        for (spent_ = 0; !why && part_ != part::ended && spent_ < slice_;) {
            switch (part_) {
                case part::note: note_more(why); break;
                case part::choose: why = choose(); break;
                case part::judge: judge_more(why); break;
                case part::copy: copy_more(why); break;
                case part::close: why = close_group(replace); break;
                case part::ended: break;
            }
        }
        return why || part_ == part::ended;
    }

    // ---- once it has ended ----

    /// Everything below it has been compacted, by this pass and those before it.
    [[nodiscard]] offset compacted_to() const noexcept { return compacted_to_; }

    /// So far it has looked; between the two is what cannot be read.
    [[nodiscard]] offset dirty_end() const noexcept { return dirty_.end(); }

    [[nodiscard]] bool has_changed() const noexcept { return has_changed_; }

    /// Why a segment was left out, if one was.
    [[nodiscard]] const failure& left_out() const noexcept { return why_left_out_; }

    /// A result may be on the disk that could not be taken back: nothing may be compacted any more until the log is opened again.
    [[nodiscard]] bool is_unsure() const noexcept { return is_unsure_; }

private:
    enum class part {
        note,    ///< the keys of the dirty part
        choose,  ///< what to do with the segment that comes next
        judge,   ///< a clean one: whether anything of it goes
        copy,    ///< what stays of it
        close,   ///< the segment that has been written takes the place of those that it was made from
        ended,
    };

    static constexpr std::uint32_t least_whole = kib;      // smaller batches are put together
    static constexpr std::uint32_t least_whole_lone = 16 * kib;
    static constexpr offset most_span = (std::int64_t{1} << 31) - 1;  // offsets in a segment

    /// The dirty part begins behind what is known not to be readable: that may be offsets without end.
    [[nodiscard]] static plan behind_damage(plan&& of) noexcept;

    [[nodiscard]] offset end_of(std::size_t i) const noexcept { return plan_.sources[i + 1]->base; }
    [[nodiscard]] bool is_clean(std::size_t i) const noexcept { return end_of(i) <= dirty_.from(); }
    [[nodiscard]] bool is_beyond(std::size_t i) const noexcept { return i == count_ || (plan_.sources[i]->base >= dirty_.end() && !is_clean(i)); }
    [[nodiscard]] std::uint32_t used_of(std::size_t i) const noexcept { return plan_.sources[i]->used.load(std::memory_order_relaxed); }

    // ---- walking a source ----

    /// Maps the source at hand; false where that cannot be done, and then it is left out, or `why` ends the pass.
    [[nodiscard]] bool enter(failure& why);

    void leave() noexcept;

    enum class seen { frame, end, broken };

    [[nodiscard]] seen look(trust how, frame_view& found);

    void pass_over(const frame_view& found) noexcept;

    /// Sees data frames with a single offset, as long as they stand where they should.
    class lone_frames {
    public:
        explicit lone_frames(const mapped_segment& memory) noexcept : memory_{memory}, end_{records_end(memory)} {}

        /// Whether a published frame that fits stands at `at`, with this base offset.
        [[nodiscard]] bool see(position at, offset expected, format::frame_word& word) const noexcept;

    private:
        const mapped_segment& memory_;
        position end_;
    };

    [[nodiscard]] bool is_intact(const frame_view& found) const { return format::verifies(pin_->seed(), found.at, pin_->readable(), found.data); }

    [[nodiscard]] failure damage_here() const;

    /// It stays as it is. What it holds is not known, and what comes behind must not rely on its being gone.
    void leave_out(failure why);

    /// The next pass begins with this source again.
    void hold_back() noexcept;

    /// The frame with its records to be walked, decoded if need be.
    [[nodiscard]] bool open_frame(const frame_view& found, frame_view& readable, failure& why);

    [[nodiscard]] static std::uint32_t stamp_of(const frame_view& found) noexcept;

    // ---- the first part: the keys of what is dirty ----

    void note_more(failure& why);

    /// One frame, of whatever kind.
    void note_next(failure& why);

    /// The common case in a loop of its own: lone records, one after the other, without headers. Stops in front of everything else,
    /// and of what is not as it should be. False: no more keys fit.
    [[nodiscard]] bool note_lone();

    void step_over(format::frame_word word) noexcept;

    void begin_second() noexcept;

    [[nodiscard]] bool note_frame(const frame_view& found, failure& why);

    /// False: the dirty part ends in front of it, or of one before.
    [[nodiscard]] bool is_noted(bool fits) noexcept;

    // ---- the second part: source by source ----

    [[nodiscard]] failure choose();

    /// Where segments age, and together would be as young as the youngest.
    [[nodiscard]] bool is_much_younger(std::size_t i) const noexcept;

    /// The source stays as it is; what is being written ends in front of it.
    void stay() noexcept;

    void go_on() noexcept;

    /// Of a clean source: which of its records stay.
    void judge_more(failure& why);

    void judged() noexcept;

    [[nodiscard]] bool judge_frame(const frame_view& found, failure& why);

    /// A clean record whose key stands in the dirty part, by its number.
    void drop(std::uint32_t number);

    [[nodiscard]] bool is_over(std::int64_t since) const;

    /// A tombstone against which nothing is left to stand.
    [[nodiscard]] bool is_dead(const format::record_slice& record, std::uint32_t stamp) const;

    /// Of a source that is not clean as a whole.
    [[nodiscard]] bool stays(const format::record_slice& record, std::uint32_t stamp) const;

    void copy_more(failure& why);

    void copy_next(failure& why);

    /// Lone records of which nothing stays, in a loop of its own. Their checksums are nobody's business any more.
    void pass_superseded() noexcept;

    /// The output ends where this source begins, which is looked at again.
    void take_back() noexcept;

    void end_source();

    [[nodiscard]] failure copy_frame(const frame_view& found, bool& is_broken);

    [[nodiscard]] failure copy_lone(const frame_view& found, bool is_committed, bool is_part, bool& is_broken);

    [[nodiscard]] failure copy_records(const frame_view& readable, unsigned codec, std::uint32_t stamp);

    /// Rounded up: what is kept for a time is kept for as long at least.
    [[nodiscard]] std::uint32_t seconds_now();

    template <class Replace>
    [[nodiscard]] failure close_group(const Replace& replace) {
        const std::unique_ptr<compaction_output> output = std::move(output_);
        const std::vector<segment*> group = std::exchange(group_, {});
        const bool is_wanted = std::exchange(is_group_changed_, false) || group.size() > 1;
        part_ = part::choose;
        if (!is_wanted) {
            return {};
        }
        if (!segments_.has(group)) {  // deleted meanwhile
            const offset base = group.front()->base;
            compacted_to_ = base < compacted_to_ ? base : compacted_to_;
            return {};
        }
        std::int64_t sealed_at = 0;
        std::vector<offset> bases;
        for (const segment* const one : group) {
            const std::int64_t its = one->sealed_at.load(std::memory_order_relaxed);
            sealed_at = its > sealed_at ? its : sealed_at;
            bases.push_back(one->base);
        }
        segments_.make_room(group.size());  // from the commit on nothing may fail for want of memory
        failure why;
        const swap_range range{group.front()->base, output->reached()};
        std::unique_ptr<segment> made = output->commit(sealed_at, why, is_unsure_);
        if (!made) {
            return why;
        }
        has_changed_ = true;
        return replace(group, std::move(made), range, std::move(bases));
    }

    segment_directory& files_;
    segment_chain& segments_;
    segment_source& source_;
    retention& ages_;
    offset held_from_;   // where the dirty part was to begin
    plan plan_;
    std::size_t count_;  // of sources
    offset start_;       // of the log
    dirty_keys dirty_;
    offset compacted_to_;
    std::vector<char> is_left_out_;  // of each source
    failure why_left_out_;
    bool has_changed_ = false;
    bool is_unsure_ = false;

    part part_ = part::note;
    std::uint64_t slice_ = 0;  // bytes that may be looked at in one step,
    std::uint64_t spent_ = 0;  // and have been in this one
    std::size_t i_ = 0;        // the source at hand,
    segment_pin pin_;          // if it has been entered,
    position at_ = format::segment_header_size;
    offset next_ = 0;
    decoded_batch decoded_;    // the compressed batch that was looked at last

    bool is_judged_ = false;   // the source at hand; then
    bool is_changed_ = false;  // something of it goes,
    std::vector<bool> keeps_;  // of its records these do not
    std::size_t keeps_next_ = 0;
    bool tombstones_may_go_ = true;
    std::vector<bool> decided_;  // of the records of the frame at hand: which stay
    std::uint32_t seconds_now_ = 0;

    std::unique_ptr<compaction_output> output_;
    compaction_output::mark mark_;  // where the source at hand begins in it
    std::vector<segment*> group_;   // what it has of
    bool is_group_changed_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/compaction_pass.hpp>
#endif
