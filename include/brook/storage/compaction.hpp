/// \file brook/storage/compaction.hpp
/// Of each key the last record stays: when a log is due for that.
/// Floor 2, storage. How it is done stands in compaction_pass.hpp; what its files are called meanwhile, and what a death leaves of
/// them, in brook/storage/README.md.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/storage/compaction_pass.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/retention.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// When a log is compacted, and what of it.
struct compaction_policy {
    bool is_on = false;
    double min_dirty_ratio = 0.5;                       ///< of its bytes, so many have come since it was compacted last
    std::chrono::nanoseconds min_lag{0};                ///< what was sealed later is left alone
    std::optional<std::chrono::nanoseconds> max_lag{};  ///< what came earlier is compacted, whatever the ratio
    std::chrono::nanoseconds delete_retention{0};       ///< tombstones stay so long after they were first compacted
};

/// The memory for keys, and whose turn it is to use it: of a broker's logs one is compacted at a time.
///
/// Threads   shared.
class compaction_turn {
public:
    explicit compaction_turn(std::size_t memory) noexcept : memory_{memory} {}

    /// Bytes.
    [[nodiscard]] std::size_t memory() const noexcept { return memory_; }

    [[nodiscard]] bool take(const void* who) noexcept;
    void give(const void* who) noexcept;

private:
    std::size_t memory_;
    std::atomic<const void*> holder_{nullptr};
};

/// Begins passes when they are due, and goes on with them slice by slice.
///
/// Threads   confined: upkeep's.
class compaction {
public:
    compaction(segment_directory& files, segment_chain& segments, segment_source& source, retention& ages) noexcept
        : files_{files}, segments_{segments}, source_{source}, ages_{ages} {}

    compaction(const compaction&) = delete;
    compaction& operator=(const compaction&) = delete;
    ~compaction() { stop(); }

    /// Everything below `compacted` has been, as the checkpoint says.
    void start(offset compacted) noexcept { compacted_ = considered_ = compacted; }

    [[nodiscard]] bool is_running() const noexcept { return pass_ != nullptr; }

    /// The shortest time after which something that is there becomes due: nullopt when nothing does by time.
    [[nodiscard]] const std::optional<std::chrono::nanoseconds>& awaited() const noexcept { return awaited_; }

    /// What the log is like at the moment.
    struct situation {
        std::size_t finished = 0;  ///< so many segments are sealed and on the disk
        offset limit = 0;          ///< records below it are decided, and on the disk
        offset needed_from = 0;    ///< segments that begin here or behind are needed as they are
        std::optional<std::chrono::nanoseconds> joined_within;  ///< only what was sealed within such a time becomes one
        offset until = 0;          ///< what comes behind it is not wanted yet
        std::chrono::nanoseconds now{};
    };

    enum class verdict {
        nothing,  ///< is to be done
        begun,    ///< a pass is under way: `step`
        roll,     ///< what is to be compacted is in the active segment: seal it
    };

    /// Begins a pass if one is due.
    ///
    /// Errors    what the disk said; std::bad_alloc.
    /// Cost      looks at all segments; not each time, but when one was sealed since the last look, the active one has grown by
    ///           what is worth it, or a second has passed.
    [[nodiscard]] verdict consider(const compaction_policy& policy, std::uint32_t segment_bytes, compaction_turn& turn, const situation& at, failure& why);

    /// Goes on with the pass. `replace(group, made)` puts the segment `made`, which counts by then, in the place of the group, and
    /// does not fail; `finish(compacted)` notes how far the log has been compacted.
    ///
    /// `slice`: bytes that are looked at.
    /// Errors    as that one, and the disk's; then the pass is given up, and another is begun some time later. What could not be
    ///           read ends none: it is told once it has ended. std::bad_alloc likewise.
    template <class Replace, class Finish>
    [[nodiscard]] failure step(std::uint64_t slice, std::chrono::nanoseconds now, const Replace& replace, const Finish& finish) {
        failure why;
        const auto put_in_place = [&](const std::vector<segment*>& old, std::unique_ptr<segment> made, const swap_range& range, std::vector<offset>&& bases) {
            unsettled_.made = made.get();
            unsettled_.range = range;
            unsettled_.bases.swap(bases);
            replace(old, std::move(made));
            return settle();
        };
        try {
            if (!pass_->step(slice, put_in_place, why)) {
                return why;
            }
        } catch (...) {
            not_before_ = pass_->is_unsure() ? std::chrono::nanoseconds::max() : now + failure_pause;
            stop();
            throw;
        }
        const offset compacted = from_ > compacted_ || why ? compacted_ : pass_->compacted_to();
        if (!why && compacted != compacted_) {
            why = finish(compacted);
        }
        if (why) {
            why.text += pass_->is_unsure() ? "; nothing of it is compacted any more until it is opened again" : "";
            not_before_ = pass_->is_unsure() ? std::chrono::nanoseconds::max() : now + failure_pause;
        } else {
            compacted_ = compacted;
            considered_ = pass_->dirty_end();
            futile_ = pass_->has_changed() ? -1 : judged_;
            judged_ = pass_->has_changed() ? -1 : judged_;  // there may be more
            why = pass_->left_out();
        }
        stop();
        return why;
    }

    /// Gives the files of what was compacted last their place, where that has not been done yet. Until it has been, nothing in the
    /// log may be deleted, or compacted.
    /// Errors    what the disk said; whoever asks next, or the next opening, tries again.
    [[nodiscard]] failure settle();

    /// In a forked child: the files of a pass are its parent's.
    void forget() noexcept { static_cast<void>(pass_.release()); }

    /// Lets go of the pass, if there is one. What it has put in its place stays.
    void stop() noexcept;

private:
    static constexpr position least_sealed = first_window;  // an active segment is not sealed for less, unless it is late
    static constexpr std::chrono::seconds pause{1};
    static constexpr std::chrono::seconds failure_pause{10};

    struct load {
        std::size_t count = 0;   ///< segments that may be compacted
        std::int64_t clean = 0;  ///< bytes of them
        std::int64_t dirty = 0;
        std::optional<std::chrono::nanoseconds> awaited;
        bool is_late = false;
        bool is_blocked = false;  ///< some that are sealed may not be compacted yet: sealing more is no use
        bool has_dead = false;   ///< tombstones whose time is over

        [[nodiscard]] bool is_dirty(const compaction_policy& policy, std::int64_t more) const noexcept;
    };

    static void note_sooner(std::optional<std::chrono::nanoseconds>& awaited, std::chrono::nanoseconds age) noexcept;

    [[nodiscard]] failure weigh(const std::vector<segment*>& all, const compaction_policy& policy, const situation& at, load& found);

    /// `from`: where the dirty part begins. Of several passes that become due together the first begins where something could not be
    /// read at the last time, perhaps, and each goes on where the one before it came to.
    void begin(const situation& at, offset from, std::vector<segment*> sources, const compaction_policy& policy, std::uint32_t segment_bytes);

    segment_directory& files_;
    segment_chain& segments_;
    segment_source& source_;
    retention& ages_;
    struct {
        segment* made = nullptr;    // null: none is there
        swap_range range;
        std::vector<offset> bases;  // of what it was made from
    } unsettled_;                   // stands in the chain, and has not got its name yet
    std::unique_ptr<compaction_pass> pass_;  // none: nothing is under way
    compaction_turn* turn_ = nullptr;        // taken, then

    std::optional<std::chrono::nanoseconds> awaited_;
    offset compacted_ = 0;   // everything below it has been compacted,
    offset considered_ = 0;  // and below this one looked at
    offset from_ = 0;        // where the pass began
    offset goal_ = 0;        // where the dirty part ended when it became due; it may take several passes
    offset futile_ = -1;     // a pass changed nothing when the log was sealed up to here
    offset judged_ = -1;     // as the log was at the last look:
    bool judged_decided_ = false;
    position judged_active_ = 0;
    std::chrono::nanoseconds judged_at_{std::chrono::nanoseconds::min() / 2};
    std::chrono::nanoseconds not_before_{std::chrono::nanoseconds::min() / 2};
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/compaction.hpp>
#endif
