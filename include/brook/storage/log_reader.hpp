/// \file brook/storage/log_reader.hpp
/// Reading a log in place, from any offset.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/decoded_batch.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_life.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/transaction_table.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Consecutive frames of one segment, of which the records with offsets [first, last) are meant. Holds the memory that they
/// lie in: what was read stays readable, whatever happens to the log. A batch that was compressed is a range of its own.
struct record_range {
    segment_pin pin;
    decoded_batch decoded;              ///< where the frame lies that was compressed in the segment
    const std::byte* data = nullptr;    ///< begin and end count from here: in the segment, or in what was decoded
    position begin = 0;
    position end = 0;
    offset first = 0;
    offset last = 0;
    std::uint32_t count = 0;
    /// Not 0: bare lone frames alone, each of which was seen to hold its key, so that there is no need to look again. Then the bytes from one
    /// to the next, or `many_strides`.
    std::uint32_t bare_stride = 0;

    static constexpr std::uint32_t many_strides = 1;  ///< they are not of one length
    [[nodiscard]] bool is_bare() const noexcept { return bare_stride != 0; }

    [[nodiscard]] const std::byte* frame(position at) const noexcept { return data + at; }
};

/// Gives a segment's memory to readers, mapping it when nobody has it.
class segment_source {
public:
    /// `life`: the log's. `transactions`: where readers find out how transactions ended; null: there are none.
    segment_source(segment_directory& files, segment_chain& segments, const log_life& life, const transaction_table* transactions) noexcept
        : files_{files}, segments_{segments}, life_{life}, transactions_{transactions} {}

    [[nodiscard]] segment_chain& segments() const noexcept { return segments_; }
    [[nodiscard]] const partition_name& name() const noexcept { return files_.name(); }

    /// How the transaction ended that a data frame is a part of; committed for one that is part of none.
    [[nodiscard]] transaction_fate fate_of(const frame_view& found) const {
        if ((found.header.attributes & format::attribute::transactional) == 0) {
            return transaction_fate::committed;
        }
        if ((found.header.extension & format::extension::producer) == 0 || transactions_ == nullptr) {
            return transaction_fate::unknown;
        }
        const format::producer_stamp stamp = format::load_stamp(found.data);
        return transactions_->fate(stamp.id, stamp.epoch);
    }

    /// What readers have passed may have been given up: wherever they stand, they look for their place anew.
    void begin_history() noexcept { history_.fetch_add(1, std::memory_order_release); }
    [[nodiscard]] std::uint32_t history() const noexcept { return history_.load(std::memory_order_acquire); }

    /// A reader has met what is not what was written there.
    void note_damage() noexcept { has_damage_.store(true, std::memory_order_relaxed); }
    /// Whether one has since the last look.
    [[nodiscard]] bool take_damage() noexcept { return has_damage_.exchange(false, std::memory_order_relaxed); }

    // ---- how far readers get, of a replicated log: up to what is on a majority; of any other, as far as it is published ----

    void limit_to(published_prefix& prefix, offset limit) noexcept {
        prefix_ = &prefix;
        limit_.store(limit, std::memory_order_release);
    }
    void raise_limit(offset limit) noexcept { limit_.store(limit, std::memory_order_seq_cst); }  // in front of the look for sleepers
    [[nodiscard]] offset limit() const noexcept { return limit_.load(std::memory_order_seq_cst); }

    /// What to say to a reader that stands behind the limit.
    /// Errors    offset_out_of_range, where the log ends in front of it.
    [[nodiscard]] failure judge_behind_limit(offset wanted) const {
        const offset end = prefix_->advance().next;
        return wanted <= end ? failure{} : out_of_range(wanted, end);
    }
    [[nodiscard]] failure out_of_range(offset wanted, offset end) const;

    /// Errors    nullptr, and `why`: closed, corrupt_record, or what the disk said.
    [[nodiscard]] segment_pin pin(segment& home, failure& why) {
        if (is_closed_.load(std::memory_order_acquire)) {
            why = refusal();
            return nullptr;
        }
        if (segment_pin pin = home.pin()) {
            return pin;
        }
        const std::scoped_lock guard{mutex_};
        if (is_closed_.load(std::memory_order_acquire)) {  // meanwhile: the files of that name may be another's
            why = refusal();
            return nullptr;
        }
        if (segment_pin pin = home.pin()) {
            return pin;
        }
        segment_pin pin = map(home, why);
        why = life_.judged(std::move(why), name().topic);
        return pin;
    }

    /// Takes a deleted segment's file away, if nobody has it in memory: who comes later does not find it by its name.
    [[nodiscard]] bool take_file(const segment& gone);

    /// No file is opened any more when this returns.
    void close() noexcept;

private:
    [[nodiscard]] failure refusal() const;

    [[nodiscard]] segment_pin map(segment& home, failure& why);

    segment_directory& files_;
    segment_chain& segments_;
    const log_life& life_;
    const transaction_table* transactions_;
    published_prefix* prefix_ = nullptr;  // of a replicated log
    std::atomic<std::uint32_t> history_{0};
    std::atomic<bool> has_damage_{false};
    std::atomic<offset> limit_{std::numeric_limits<offset>::max()};
    std::mutex mutex_;  // guards that a segment is mapped once
    std::atomic<bool> is_closed_{false};
};

/// A place in a log, and the way forward from it.
///
/// Threads   confined.
/// Cost      a fetch reads the header of each frame, verifies what came from the disk, and copies nothing. Of a compressed batch
///           an allocation and its decoding; once, also where several fetches take their parts of it.
class log_reader {
public:
    static constexpr std::uint64_t default_most_decoded = 16 * std::uint64_t{mib};

    explicit log_reader(segment_source& source) noexcept : source_{&source} {}

    /// Whether it waits in front of transactions that are not decided, and passes over those that were aborted.
    void read_committed(bool is_to) noexcept { reads_committed_ = is_to; }

    /// Whether it passes the high watermark of a replicated log: what lies behind is not on a majority yet, and may be cut.
    ///
    /// Requires  that the log is not cut while it reads.
    void read_uncommitted_tail(bool is_to) noexcept { passes_limit_ = is_to; }

    /// Goes to an offset; nothing is read before the next fetch. Holds the segment that it stood in on only where that has the offset, and is
    /// not deleted: to go there again it need not be mapped again.
    void seek(offset wanted) noexcept;

    /// Holds no memory until the next fetch, which goes on from the same position.
    void let_go() noexcept;

    /// The leader epoch of what takes the offset in front of the position; nullopt until the reader has passed it.
    [[nodiscard]] std::optional<std::uint32_t> epoch_passed() const noexcept { return epoch_; }

    /// Offset of the next record that a fetch will give, or of the first that is not published yet.
    [[nodiscard]] offset position_offset() const noexcept { return wanted_; }

    /// True when no record is published from the reader's place on. Steps over the log's own marks.
    [[nodiscard]] bool at_end(bool verify);

    /// True when a fetch would find nothing, as far as one look can tell: what one that spins asks most of the time.
    [[nodiscard]] bool sees_nothing() const noexcept {
        if (!pin_ || at_ < pin_->written_from.load(std::memory_order_acquire) || pin_->is_gone.load(std::memory_order_relaxed) || history_ != source_->history()) {
            return false;  // in front of what came from the disk, where nothing would be damage; or the log goes on elsewhere
        }
        if (!passes_limit_ && next_ >= source_->limit()) {
            return true;
        }
        return !pin_->word(at_).is_published();
    }

    /// The word that sees_nothing would look at, for who looks often; nullptr: only a fetch can tell.
    ///
    /// Lifetime  until the next call that may move the reader.
    [[nodiscard]] std::byte* next_word() const noexcept {
        if (!pin_ || at_ < pin_->written_from.load(std::memory_order_acquire) || pin_->is_gone.load(std::memory_order_relaxed) || history_ != source_->history() ||
            (!passes_limit_ && next_ >= source_->limit())) {
            return nullptr;
        }
        const position end = pin_->readable();
        return end < format::frame_header_size || at_ > end - format::frame_header_size ? nullptr : pin_->frame(at_);
    }

    /// Takes up to `most` records from here on, and moves behind them. What is not published, or not intact, ends it, and so do
    /// compressed batches that take `most_decoded` bytes or more once they are decoded.
    ///
    /// Errors    returned only when it is the first thing that the fetch meets: corrupt_record, offset_out_of_range
    ///           (behind the end, or deleted), unsupported_compression_type, or what the disk said. The reader stays in front of it.
    ///
    /// `ranges`: takes them by push_back, in their order.
    template <class Ranges>
    [[nodiscard]] failure fetch(std::uint32_t most, bool verify, Ranges& ranges, std::uint64_t most_decoded = default_most_decoded) {
        failure why;
        if (pin_) {
            // What was just published lies in the writer's cache. Asked for together its lines take as long as one; the walk needs one after the other.
            __builtin_prefetch(pin_->frame(at_) + 64);
            __builtin_prefetch(pin_->frame(at_) + 128);
        }
        ask_for_limit();
        leave_given_up();
        if (!pin_ || wanted_ < source_->segments().start()) {
            if (why = locate(verify); why || !pin_) {
                return why;
            }
        }
        std::uint32_t left = most;
        for (std::uint64_t decoded = 0; left > 0 && decoded < most_decoded;) {
            record_range range;
            segment_pin pin;  // taken only when there is something to keep: a poll that finds nothing touches no counter
            const bool goes_on = walk(left, verify, range, pin, why);
            if (range.count > 0) {
                left -= range.count;
                range.pin = pin ? std::move(pin) : pin_;
                decoded += range.decoded.length();
                range.data = range.decoded ? range.decoded.data() : range.pin->data();
                ranges.push_back(std::move(range));
            }
            if (!goes_on) {
                break;
            }
        }
        if (why && left != most) {
            why = {};  // it was not the first thing: the next fetch meets it
        }
        return why;
    }

    /// Puts frames behind `into` in wire form, from the one that holds `from` on: those that end at or in front of `until`, up to `most`
    /// bytes, but one at least. What comes from the disk is verified first.
    ///
    /// Errors    returned only when it is the first thing that is met: as fetch.
    [[nodiscard]] failure copy_frames(offset from, offset until, std::size_t most, std::vector<std::byte>& into);

    /// The frame that the record at an offset is in, or what stands for it; false where nothing intact does. Leaves the reader
    /// there, and the frame is there as long as the reader stays.
    [[nodiscard]] bool find(offset at, frame_view& found);

    /// Whether the reader stands in what compaction has left: frames are not there as they were appended.
    [[nodiscard]] bool is_in_compacted() const noexcept { return pin_ != nullptr && pin_->is_compacted(); }

    /// The leader epoch in which the record at an offset was appended; nullopt as `find`.
    [[nodiscard]] std::optional<std::uint32_t> epoch_at(offset at);

    /// The first intact frame that takes an offset at or behind `at`, however much is damaged in front of it; false where there is none.
    /// The frame is there as long as the reader stays.
    [[nodiscard]] bool find_from(offset at, frame_view& found);

    /// Shows each intact frame to `use`, whatever it is, from the one that holds `from` to the end of its segment or of the
    /// log. Damage is passed over, and also what was deleted and is in a file as yet is shown.
    template <class Use>
    [[nodiscard]] failure visit(offset from, bool goes_beyond_segment, const Use& use) {
        seek(from);
        ask_for_limit();
        failure why = locate(true, false);
        while (!why && pin_) {
            frame_view found;
            const look seen = look_here(true, found);
            if (seen == look::corrupt && find_behind_damage(found)) {
                at_ = found.at;
                next_ = found.header.base_offset;
                continue;
            }
            if (seen == look::frame && found.kind() != format::frame_kind::seal) {
                use(found);
                advance(found);
                continue;
            }
            segment* const next = home_->next.load(std::memory_order_acquire);
            if (!goes_beyond_segment || next == nullptr || (seen == look::nothing && !home_->ends_in_damage.load(std::memory_order_acquire))) {
                break;
            }
            next_ = next->base;
            if (!enter_next(why, false)) {
                break;
            }
        }
        return why;
    }

private:
    /// Before the start is looked at: a log that begins anew has its start before it has its limit.
    void ask_for_limit() noexcept { limit_ = passes_limit_ ? std::numeric_limits<offset>::max() : source_->limit(); }

    /// What it holds is of a history that was given up: records of another one stand at these offsets now, or none.
    void leave_given_up() noexcept;

    /// Whether the segment that it stood in last is where an offset is looked for.
    [[nodiscard]] bool is_kept_for(offset wanted) const noexcept;

    /// Finds the frame that holds the wanted offset. Without one where the limit is in front of it.
    [[nodiscard]] failure locate(bool verify, bool must_be_there = true);

    /// The next intact frame, as far as this segment's offsets go.
    [[nodiscard]] bool find_behind_damage(frame_view& found) const noexcept;

    /// Damage in front of the wanted offset is none of the reader's business.
    [[nodiscard]] bool step_over_damage(frame_view& found);

    /// Collects records within one segment; false when nothing more can be had now. Where it goes on to the next segment,
    /// `left_behind` is the one that the range lies in.
    [[nodiscard]] bool walk(std::uint32_t most, bool verify, record_range& range, segment_pin& left_behind, failure& why) {
        if (next_ >= limit_) {
            return false;
        }
        walk_lone<true>(most, verify, range);
        while (range.count < most) {
            if (next_ >= limit_ || sees_nothing()) {
                return false;
            }
            if (!range.is_bare()) {
                if (walk_lone<false>(most, verify, range); range.count == most) {
                    break;
                }
            }
            frame_view found;
            switch (look_here(verify, found)) {
                case look::nothing:
                    if (home_->ends_in_damage.load(std::memory_order_acquire)) {
                        why = damaged();
                    }
                    return false;
                case look::corrupt:
                    why = damaged();
                    return false;
                case look::frame: break;
            }
            if (found.kind() == format::frame_kind::seal) {
                segment_pin before = pin_;
                if (!enter_next(why)) {
                    return false;
                }
                left_behind = std::move(before);
                return true;
            }
            if (range.is_bare()) {
                return true;  // what follows is a range of its own
            }
            if (found.kind() == format::frame_kind::data && next_ + found.offsets_taken() > wanted_) {
                const transaction_fate fate = fate_of(found);
                if (fate != transaction_fate::committed) [[unlikely]] {
                    if (fate == transaction_fate::open) {
                        return false;
                    }
                    if (fate == transaction_fate::unknown) {
                        why = {errc::corrupt_record, place_text(source_->name(), *pin_, at_, next_) +
                                                         ": how the transaction ended that this is a part of cannot be told, since __transaction_state is "
                                                         "damaged or missing; with isolation_level read_uncommitted it can be read"};
                        return false;
                    }
                    if (range.count > 0) {
                        return true;  // what follows is a range of its own
                    }
                    advance(found);
                    wanted_ = next_;
                    continue;
                }
                if (format::codec_of(found.header.attributes) != format::codec_none) [[unlikely]] {
                    return range.count > 0 || take_decoded(found, most, range, why);
                }
                if (!collect(found, most, range)) {
                    epoch_ = found.header.leader_epoch;  // the position is inside of it
                    return true;
                }
            }
            advance(found);
            if (next_ > wanted_) {
                wanted_ = next_;
            }
        }
        return true;
    }

    /// A place among lone frames.
    struct lone_place {
        position at;
        offset next;
        position passed;  ///< of the frame that was passed last
        std::uint32_t stride = 0;  ///< of those that were passed, as record_range::bare_stride

        void pass(std::uint32_t length) noexcept {
            stride = stride == 0 || stride == length ? length : record_range::many_strides;
            passed = at;
            at += length;
        }
    };

    /// Steps over lone frames, as long as each is as it should be: to where frames begin at or behind `to`, or to an offset.
    ///
    /// Requires  that the memory is there up to a header behind `last`, from where on no frame begins.
    template <bool OnlyBare, bool Verifies>
    [[nodiscard, gnu::noinline]] static lone_place step_over(std::byte* data, lone_place here, position to, position last, offset stop, std::uint64_t seed) noexcept {
        to = to <= last ? to : last + 1;
        // From there on it looks ahead. Who reads one by one what is just being written leaves to the writer the lines that it will need.
        const offset far = here.next + 8;
        for (; here.next < stop && here.at < to; ++here.next) {
            if (OnlyBare && here.next == far) {
                here = step_over_alike<Verifies>(data, here, to, last, stop, seed);
                if (here.next >= stop || here.at >= to) {
                    break;
                }
            }
            std::byte* const frame = data + here.at;
            const format::frame_word word{atomic_at<std::uint64_t>(frame).load(std::memory_order_acquire)};
            // Both ends are aligned, so a size within them has room for its padding, too.
            if (!(OnlyBare ? word.is_bare_lone() : word.is_plain_lone()) || word.size() - format::frame_header_size > last - here.at ||
                load<offset>(frame + 16) != here.next || (OnlyBare && !format::bare_lone_fits(frame, word)) ||
                (Verifies && !format::has_checksum(seed, here.at, word, frame))) {
                break;
            }
            here.pass(word.length());
            if (here.next >= far) {
                format::read_ahead(frame + word.length(), word.length());
            }
        }
        return here;
    }

    /// The same for bare ones of the size that the last one had, whose stride is known: what somebody sends who sends one type. Where the next one
    /// begins is known before this one is looked at, so that the processor looks at several at once.
    ///
    /// Requires  that a bare one has been passed.
    template <bool Verifies>
    [[nodiscard, gnu::always_inline]] static lone_place step_over_alike(std::byte* data, lone_place here, position to, position last, offset stop, std::uint64_t seed) noexcept {
        const format::frame_word word{load<std::uint64_t>(data + here.passed)};
        const auto key = load<std::uint32_t>(data + here.passed + 36);
        const std::uint32_t length = word.length();
        const std::uint32_t body = word.size() - format::frame_header_size;
        if (!word.is_bare_lone() || body > last || !format::key_fits(key, body)) {  // it was, a moment ago
            return here;
        }
        const position end = to <= last - body ? to : last - body + 1;
        for (; here.next < stop && here.at < end; ++here.next) {
            std::byte* const frame = data + here.at;
            if (atomic_at<std::uint64_t>(frame).load(std::memory_order_acquire) != word.raw() || load<offset>(frame + 16) != here.next ||
                load<std::uint32_t>(frame + 36) != key || (Verifies && !format::has_checksum(seed, here.at, word, frame))) {
                break;
            }
            here.passed = here.at;
            here.at += length;
            format::read_ahead(frame + length, length);
        }
        return here;
    }

    /// The common case in a loop of its own: lone records, one after the other; `OnlyBare`: without headers, and checked.
    /// Stops in front of everything else, and of what is not as it should be.
    template <bool OnlyBare> void walk_lone(std::uint32_t most, bool verify, record_range& range) {
        if (next_ != wanted_) {
            return;
        }
        mapped_segment& segment = *pin_;
        std::byte* const data = segment.data();
        const position end = records_end(segment);
        if (end < format::frame_header_size) {
            return;
        }
        const position last = end - format::frame_header_size;  // no frame begins behind it
        const position verified_to = segment.verified_to.load(std::memory_order_relaxed);
        const position from_disk = verify ? segment.written_from.load(std::memory_order_relaxed) : 0;  // frames before it came from there
        const offset most_here = next_ + (most - range.count);
        offset stop = most_here < limit_ ? most_here : limit_;
        if (at_ < from_disk) {  // as is_within
            const auto* const after = home_->next.load(std::memory_order_acquire);
            const offset counted = home_->base + most_offsets_in_front + 1;
            const offset last_here = after != nullptr && after->base < counted ? after->base : counted;
            stop = last_here < stop ? last_here : stop;
        }
        const lone_place begin{.at = at_, .next = next_, .passed = at_};
        lone_place here = begin;
        // Three stretches: verified before; to be verified, since it came from the disk; written by this process.
        if (here.at < verified_to && verified_to < from_disk) {
            here = step_over<OnlyBare, false>(data, here, verified_to, last, stop, segment.seed());
        }
        if (here.at >= verified_to && here.at < from_disk) {
            here = step_over<OnlyBare, true>(data, here, from_disk, last, stop, segment.seed());
        }
        if (here.at >= from_disk || verified_to >= from_disk) {
            here = step_over<OnlyBare, false>(data, here, last + 1, last, stop, segment.seed());
        }
        if (here.next == begin.next) {
            return;
        }
        epoch_ = format::load_header(data + here.passed).leader_epoch;
        const position verified = here.at < from_disk ? here.at : from_disk;
        if (begin.at <= verified_to && verified > verified_to) {
            segment.verified_to.store(verified, std::memory_order_relaxed);
        }
        if (range.count == 0) {
            range.begin = begin.at;
            range.first = begin.next;
            range.bare_stride = OnlyBare ? here.stride : 0;
        }
        range.count += static_cast<std::uint32_t>(here.next - begin.next);
        range.end = here.at;
        range.last = here.next;
        at_ = here.at;
        next_ = here.next;
        wanted_ = here.next;
    }

    /// Takes a compressed batch as the range; false, and in front of it, when it cannot be read.
    [[gnu::noinline]] bool take_decoded(const frame_view& found, std::uint32_t most, record_range& range, failure& why) {
        if (!decoded_.is_of(found)) {
            decoded_ = decoded_batch::make(*pin_, found, why);
            if (!decoded_) {
                return false;
            }
        }
        const bool is_passed = collect(decoded_.frame(), most, range);
        epoch_ = found.header.leader_epoch;
        range.begin = 0;
        range.end = decoded_.length();
        if (!is_passed) {
            range.decoded = decoded_;  // the next fetch begins inside of it, and need not decode it again
            return true;
        }
        range.decoded = std::exchange(decoded_, {});
        advance(found);
        if (next_ > wanted_) {
            wanted_ = next_;
        }
        return true;
    }

    /// Adds a data frame's records to the range; false when only a part of them fits.
    [[nodiscard]] bool collect(const frame_view& found, std::uint32_t most, record_range& range) {
        const std::uint32_t room = most - range.count;
        if (range.count == 0) {
            range.begin = at_;
            range.first = wanted_;
        }
        range.end = found.end();
        std::uint32_t all = format::records_in(found.header);
        if (wanted_ == next_ && all <= room) {
            range.count += all;
            range.last = next_ + found.offsets_taken();
            return true;
        }
        // Begins or ends inside this batch: only then are its records looked at one by one.
        format::record_walk records{found.header, found.data};
        for (format::record_slice record; records.next(record);) {
            if (record.offset() < wanted_) {
                continue;
            }
            if (range.count == most) {
                return false;
            }
            ++range.count;
            range.last = record.offset() + 1;
            wanted_ = range.last;
        }
        return true;
    }

    [[nodiscard]] transaction_fate fate_of(const frame_view& found) const {
        return reads_committed_ ? source_->fate_of(found) : transaction_fate::committed;
    }

    [[nodiscard]] look look_here(bool verify, frame_view& found) {
        const position verified_to = pin_->verified_to.load(std::memory_order_relaxed);
        const position from_disk = pin_->written_from.load(std::memory_order_relaxed);  // before the look, which verifies that much at least
        const bool is_due = verify && at_ >= verified_to;
        look seen = look_for_reader(*pin_, at_, next_, is_due, found);
        if (seen == look::frame && is_due && at_ < from_disk && !is_within(*home_, found)) [[unlikely]] {
            seen = look::corrupt;
        }
        if (seen == look::corrupt && history_ != source_->history()) [[unlikely]] {
            return look::nothing;  // not damaged but cut, under its eyes: the next look is for its place
        }
        if (seen == look::frame && is_due && at_ == verified_to && found.end() <= from_disk) {
            pin_->verified_to.store(found.end(), std::memory_order_relaxed);
        }
        return seen;
    }

    void advance(const frame_view& found) noexcept {
        if (found.offsets_taken() > 0) {
            epoch_ = found.header.leader_epoch;
        }
        next_ += found.offsets_taken();
        at_ = found.end();
    }

    [[nodiscard]] bool enter_next(failure& why, bool must_be_there = true);

    /// What came next has been compacted, with more perhaps: a frame may hold the next offset in its middle.
    [[nodiscard]] bool enter_replaced(failure& why, bool must_be_there);

    [[nodiscard]] failure below_start() const;

    [[nodiscard]] failure damaged() const;

    segment_source* source_;
    bool reads_committed_ = false;
    bool passes_limit_ = false;
    offset wanted_ = 0;
    offset limit_ = std::numeric_limits<offset>::max();  // frames that begin there or behind it are not looked at
    std::uint32_t history_ = 0;  // the source's, when it was located
    segment* home_ = nullptr;
    segment_pin pin_;      // empty: to be located
    segment_pin kept_;     // of `home_`, where a seek stays in it
    position at_ = 0;
    offset next_ = 0;      // offset of the frame at `at_`
    decoded_batch decoded_;  // the compressed frame of which a part has been taken last; else none
    std::optional<std::uint32_t> epoch_;
};

}  // namespace brook::inline BROOK_ABI::storage

#if !BROOK_SEPARATE_COMPILATION
#include <brook/storage/bodies/log_reader.hpp>
#endif
