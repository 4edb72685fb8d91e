/// \file brook/storage/bodies/recovery.hpp
/// The functions that recovery.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/claim_gap.hpp>
#include <brook/storage/evidence.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/recovered_log.hpp>
#include <brook/storage/recovery.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_doubt.hpp>
#include <brook/storage/segment_erase.hpp>
#include <brook/storage/segment_listing.hpp>
#include <brook/storage/segment_scan.hpp>
#include <brook/storage/segment_summary.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure recovery::run(recovered_log& log) {
    log_ = &log;
    failure why = find_files();
    why = why ? std::move(why) : scan_segments();
    why = why ? std::move(why) : open_end();
    log.report.quarantined = aside_.kept();
    return why;
}

BROOK_INLINE failure recovery::find_files() {
    if (failure why = segment_listing{files_, aside_}.find(bases_)) {
        return why;
    }
    failure unreadable;
    const auto saved = checkpoint_.read(unreadable);
    if (unreadable) {
        return unreadable;
    }
    if (saved) {
        log_->checkpoint = *saved;
        if (saved->is_cutting()) {
            if (failure why = take_away_cut()) {
                return why;
            }
        } else if (bases_.empty()) {
            return {errc::corrupt_record, files_.name().text() + ": " + files_.path() +
                                              " has a checkpoint and no segment; restore the .log files from a copy, or move the checkpoint away, too, "
                                              "to begin again at offset 0"};
        }
    }
    if (!saved && !bases_.empty()) {
        log_->checkpoint.flags |= format::checkpoint_flag::producers;  // nobody can say that there are none
    }
    const offset start = log_->checkpoint.log_start_offset;
    if (!bases_.empty() && bases_.front() > start) {
        lose(files_.log_path(start), 0, 0, start, bases_.front());
    }
    raise_evidence(start);  // only what was on the disk was ever deleted
    const auto before = static_cast<offset>(log_->checkpoint.segment_base);
    while (first_scanned_ + 1 < bases_.size() && bases_[first_scanned_ + 1] <= before) {
        ++first_scanned_;
    }
    for (std::size_t i = 0; i < first_scanned_; ++i) {
        log_->segments.push_back(std::make_unique<segment>(bases_[i]));
        log_->segments.back()->is_synced = true;
    }
    log_->first_unsynced = first_scanned_;
    return {};
}

BROOK_INLINE failure recovery::take_away_cut() {
    format::checkpoint& told = log_->checkpoint;
    if (failure why = write_again(told)) {
        return why;
    }
    cut_at_ = told.cut_to();
    told.durable_offset = told.durable_offset < cut_at_ ? told.durable_offset : cut_at_;
    const bool is_all = told.log_start_offset >= cut_at_;  // it begins anew there
    for (std::size_t i = bases_.size(); i-- > 0;) {
        if (is_all ? bases_[i] != cut_at_ : bases_[i] >= cut_at_) {  // where one begins there the seal in front of it may be cut
            if (failure why = files_.remove(bases_[i])) {
                return why;
            }
            erase_at(bases_, i);
        }
    }
    return files_.sync_names();
}

BROOK_INLINE failure recovery::write_again(format::checkpoint& told) {
    ++told.sequence;
    return checkpoint_.write(told);
}

BROOK_INLINE failure recovery::scan_segments() {
    if (!bases_.empty() && bases_.back() > last_base) {
        return no_more_offsets(files_, bases_.back());
    }
    offset next = bases_.empty() ? 0 : bases_[first_scanned_];
    for (std::size_t i = first_scanned_; i < bases_.size(); ++i) {
        if (bases_[i] < next) {
            return {errc::corrupt_record, files_.name().text() + ": " + files_.log_path(bases_[i]) + " begins before offset " +
                                              std::to_string(next) + ", where the segment before it ends; one of them is a stranger"};
        }
        if (bases_[i] > next) {
            lose(files_.log_path(next), 0, 0, next, bases_[i]);
            log_->segments.back()->ends_in_damage = true;  // the first begins where it does
        }
        bool goes_on = true;
        if (failure why = scan_one(i, next, goes_on)) {
            return why;
        }
        end_ = next;
        if (!goes_on) {
            break;
        }
    }
    return {};
}

BROOK_INLINE failure recovery::scan_one(std::size_t i, offset& next, bool& goes_on) {
    const offset base = bases_[i];
    const bool is_last = i + 1 == bases_.size();
    failure why;
    segment_summary summary;
    segment_pin pin;
    bool is_same = false;
    if (const auto file = files_.open_summary(files_.log_path(base), summary, why)) {
        std::error_code unknown;
        is_same = same_identity(summary, *file, unknown);
        if (unknown) {
            return {unknown, files_.name().text() + ": cannot read the identity of " + files_.log_path(base)};
        }
        if (summary.base && *summary.base == base) {
            pin = files_.open(files_.log_path(base), files_.index_path(base), why);
        } else if (!summary.base && !is_same) {
            // A spare that was taken and named, whose base offset was not on the disk, or not whole, when the power went.
            // Its name was; if it is not the right one, no frame verifies behind it.
            pin = files_.open(files_.log_path(base), files_.index_path(base), why);
            if (pin) {
                segment_directory::set_base(*pin, base);
            }
        } else {
            why = {errc::corrupt_record, ""};
        }
    }
    if (why.code && why.code != errc::corrupt_record) {
        return why;
    }
    if (!pin) {
        return pass_unreadable(i, next);
    }
    raise_evidence(summary.has_footer ? summary.footer.end_offset : 0);
    segment_scan scan{pin.get(), base, format::segment_header_size, base};
    start_at_checkpoint(scan, log_->checkpoint, is_cutting() ? cut_at_ : largest_offset);
    const position from = scan.at;
    if (failure failed = is_same ? mend(scan, i) : believe_evidence(scan, i)) {
        return failed;
    }
    if (is_same && pin->doubt() != doubt::none) {
        doubt_outcome became;
        if (failure failed = settle_doubt(files_, base, from, scan.at, pin, became)) {
            return failed;
        }
        scan.memory = pin.get();
        log_->report.moved_segments += became.is_moved ? 1 : 0;
        if (!log_->not_moved) {
            log_->not_moved = std::move(became.not_moved);
        }
    }
    log_->report.power_may_have_gone |= !is_same;
    log_->report.scanned_bytes += scan.at - format::segment_header_size;
    if (scan.ends_in_damage && is_last) {
        lose_rest(scan);
    }
    next = scan.next;
    if (scan.is_cut && !is_last) {
        if (failure failed = quarantine_from(i + 1)) {
            return failed;
        }
    }
    // Signed only once nothing beyond the cut is left: killed before that, the next recovery must cut again, and not
    // take what lies beyond for the work of this boot.
    if (!is_same) {
        if (failure unsynced = scan.is_cut ? files_.sync_names() : failure{}) {  // names, too, may be a killed recovery's work
            return unsynced;
        }
        pin->set_doubt(doubt::none);  // what memory shows came from the disk
        if (failure unsigned_ = segment_directory::sign(*pin, files_.name())) {
            return unsigned_;
        }
    }
    const position claimed_end = scan.is_sealed ? scan.at - format::frame_header_size : scan.at;  // a seal is not claimed
    auto opened = std::make_unique<segment>(base, pin, tail_word{static_cast<std::uint64_t>(next - base), claimed_end}.sealed());
    opened->ends_in_damage = scan.ends_in_damage;
    log_->segments.push_back(std::move(opened));
    is_open_ = !scan.is_sealed && !scan.ends_in_damage;
    log_->append_at = scan.at;
    goes_on = !scan.is_cut;
    if (!scan.is_cut && !scan.is_sealed && !is_last && bases_[i + 1] >= next) {  // else it is a stranger, and refused
        lose(files_.log_path(base), scan.at, pin->readable(), next, bases_[i + 1]);
        log_->segments.back()->ends_in_damage = true;
        next = bases_[i + 1];
    }
    return {};
}

BROOK_INLINE failure recovery::pass_unreadable(std::size_t i, offset& next) {
    const offset base = bases_[i];
    if (i + 1 == bases_.size()) {
        return {errc::corrupt_record, files_.name().text() + ": " + files_.log_path(base) +
                                          " has no valid header at position 0; restore it from a copy, or move it away to go on without it"};
    }
    lose(files_.log_path(base), 0, 0, base, bases_[i + 1]);
    log_->segments.push_back(std::make_unique<segment>(base));
    log_->segments.back()->ends_in_damage = true;
    log_->segments.back()->is_synced = true;  // there is nothing to sync
    is_open_ = false;
    next = bases_[i + 1];
    return {};
}

BROOK_INLINE failure recovery::mend(segment_scan& scan, std::size_t i) {
    bool knows_evidence = false;
    const auto find_evidence = [&]() -> failure {
        failure why = knows_evidence ? failure{} : gather_evidence(scan, i);
        knows_evidence = true;
        return why;
    };
    for (;;) {
        if (is_cut_here(scan, i)) {
            return cut_as_told(scan);
        }
        frame_view found;
        switch (look_next(scan, found)) {
            case look::frame:
                accept(scan, found);
                if (scan.is_sealed) {
                    return {};
                }
                break;
            case look::corrupt:
                if (is_replicated_ && i + 1 == bases_.size() && !find_frame(*scan.memory, scan.at + format::frame_alignment, scan.next, found)) {
                    if (failure why = find_evidence()) {
                        return why;
                    }
                    if (!was_relied_upon(scan)) {
                        return cut(scan);
                    }
                }
                if (!step_over_damage(scan)) {
                    return {};
                }
                break;
            case look::nothing: {
                const claim_gap hole = measure_gap(scan);
                if (hole.is_whole && !hole.has_end) {
                    log_->report.erased_bytes += erase_gap(scan, hole);
                    return {};
                }
                if (failure why = find_evidence()) {
                    return why;
                }
                // No prefix passes a claim that is open: what is missing below the evidence had been published.
                const bool was_claimed = hole.is_whole && !was_relied_upon(scan);
                if (is_replicated_ && was_claimed && format::load_header(scan.memory->frame(hole.end)).base_offset != scan.next) {
                    return cut(scan);  // else a mark of the log's own was claimed there
                }
                if (was_claimed && fill_gap(scan, hole.end, is_replicated_ ? 0 : log_->checkpoint.leader_epoch)) {
                    ++log_->report.filled_gaps;
                } else if (!step_over_damage(scan)) {
                    return {};
                }
                break;
            }
        }
    }
}

BROOK_INLINE bool recovery::was_relied_upon(const segment_scan& scan) const noexcept {
    return log_->checkpoint.durable_offset > scan.next || (is_replicated_ && log_->checkpoint.high_watermark > scan.next);
}

BROOK_INLINE failure recovery::believe_evidence(segment_scan& scan, std::size_t i) {
    for (;;) {
        if (is_cut_here(scan, i)) {
            return cut_as_told(scan);
        }
        frame_view found;
        if (look_next(scan, found) == look::frame) {
            accept(scan, found);
            if (scan.is_sealed) {
                return {};
            }
            continue;
        }
        if (failure why = gather_evidence(scan, i)) {
            return why;
        }
        if (log_->checkpoint.durable_offset <= scan.next) {
            return cut(scan);
        }
        if (!step_over_damage(scan)) {
            return {};
        }
    }
}

BROOK_INLINE failure recovery::gather_evidence(const segment_scan& scan, std::size_t i) {
    offset durable = evidence_in(*scan.memory, scan.at + format::frame_alignment, scan.next);
    failure why = gather_evidence_of(files_, std::span{bases_}.subspan(i + 1), durable);
    raise_evidence(durable);
    return why;
}

BROOK_INLINE void recovery::raise_evidence(offset durable) noexcept {
    durable = is_cutting() && durable > cut_at_ ? cut_at_ : durable;  // of what is to go nothing is missed
    if (durable > log_->checkpoint.durable_offset && durable <= largest_offset) {
        log_->checkpoint.durable_offset = durable;
    }
}

BROOK_INLINE bool recovery::is_cut_here(const segment_scan& scan, std::size_t i) const noexcept {
    return is_cutting() && i + 1 == bases_.size() && scan.next >= cut_at_;
}

BROOK_INLINE failure recovery::cut_as_told(segment_scan& scan) {
    scan.is_cut = true;
    log_->report.cut_bytes += erase_behind(*scan.memory, scan.at) - scan.at;
    return sync_erased(files_, *scan.memory, scan.at);
}

BROOK_INLINE failure recovery::cut(segment_scan& scan) {
    scan.is_cut = true;
    mapped_segment& memory = *scan.memory;
    const position dirty_end = find_dirty_end(memory, scan.at);
    // Positions that readers kept are of another history from now on, also where nothing is left of the one that they
    // are of: pages that never arrived leave no trace. Of a replicated log they are in front of the high watermark, and its leaders
    // have the epochs.
    log_->checkpoint.leader_epoch += is_replicated_ ? 0 : 1;
    ++log_->checkpoint.sequence;
    if (failure why = checkpoint_.write(log_->checkpoint)) {
        return why;
    }
    frame_view found;
    position saved_end = scan.at;
    for (position from = scan.at; find_frame(memory, from, scan.next, found); from = found.end()) {
        saved_end = found.end();
    }
    if (saved_end > scan.at) {
        if (failure why = aside_.keep_copy(scan.base, scan.at, {memory.frame(scan.at), saved_end - scan.at})) {
            return why;
        }
    }
    erase_behind(memory, scan.at);
    if (failure why = sync_erased(files_, memory, scan.at)) {
        return why;
    }
    log_->report.cut_bytes += dirty_end - scan.at;
    return {};
}

BROOK_INLINE failure recovery::quarantine_from(std::size_t i) {
    for (; i < bases_.size(); ++i) {
        if (failure why = aside_.put_away(files_.log_path(bases_[i]))) {
            return why;
        }
    }
    return {};
}

BROOK_INLINE void recovery::accept(segment_scan& scan, const frame_view& found) {
    scan.memory->note(found.at, found.end() - found.at, static_cast<std::uint32_t>(scan.next - scan.base));
    scan.next += found.offsets_taken();
    scan.at = found.end();
    scan.is_sealed = found.kind() == format::frame_kind::seal;
    if (!is_replicated_ && found.header.leader_epoch > log_->checkpoint.leader_epoch) {
        log_->checkpoint.leader_epoch = found.header.leader_epoch;  // the checkpoint was lost
    }
    if (found.kind() == format::frame_kind::evidence) {
        raise_evidence(found.header.base_timestamp);
    }
}

BROOK_INLINE bool recovery::step_over_damage(segment_scan& scan) {
    frame_view found;
    if (!find_frame(*scan.memory, scan.at + format::frame_alignment, scan.next, found) || found.header.base_offset - scan.base > most_offsets_in_front ||
        (is_cutting() && found.header.base_offset > cut_at_)) {
        scan.ends_in_damage = true;
        return false;
    }
    lose(scan.memory->path(), scan.at, found.at, scan.next, found.header.base_offset);
    scan.at = found.at;
    scan.next = found.header.base_offset;
    return true;
}

BROOK_INLINE void recovery::lose_rest(segment_scan& scan) {
    const mapped_segment& memory = *scan.memory;
    offset end = scan.next + 1;
    frame_view bad;
    if (look_at(memory, scan.at, scan.next, trust::written_here, bad) == look::frame && bad.offsets_taken() > 1 &&
        bad.offsets_taken() < bad.end() - bad.at) {
        end = scan.next + bad.offsets_taken();
    }
    if (end < log_->checkpoint.durable_offset) {
        end = log_->checkpoint.durable_offset;
    }
    end = is_cutting() ? cut_at_ : end;
    lose(memory.path(), scan.at, memory.readable(), scan.next, end);
    scan.next = end;
}

BROOK_INLINE void recovery::lose(const std::string& file, std::uint64_t begin, std::uint64_t end, offset first, offset last) {
    log_->report.damages.push_back({file, begin, end, first, last});
}

BROOK_INLINE failure recovery::open_end() {
    offset end = !log_->segments.empty() ? end_ : is_cutting() ? cut_at_ : 0;
    const auto durable = static_cast<offset>(log_->checkpoint.durable_offset);
    if (durable > end) {  // evidence of records that no file has
        segment& last = *log_->segments.back();     // without any it is no more than where the log starts
        lose(files_.log_path(last.base), 0, 0, end, durable);
        last.ends_in_damage = true;
        end = durable;
        is_open_ = false;
    }
    if (log_->segments.empty() || !is_open_ || end - log_->segments.back()->base > most_offsets_in_front) {
        if (failure why = begin_segment(files_, *log_, end, segment_bytes_)) {
            return why;
        }
    } else {
        segment& last = *log_->segments.back();
        last.pin()->written_from.store(log_->append_at, std::memory_order_relaxed);  // of no other: what lies behind damage is not ours
        last.tail.store(tail_word{static_cast<std::uint64_t>(end - last.base), log_->append_at}.raw(), std::memory_order_relaxed);
        last.allocated = align_up(log_->append_at, page_size);
    }
    log_->end = end;
    for (std::size_t i = 0; i + 1 < log_->segments.size(); ++i) {
        log_->segments[i]->next.store(log_->segments[i + 1].get(), std::memory_order_relaxed);
    }
    if (is_cutting()) {
        log_->checkpoint.cut_plus_one = 0;  // once nothing of it is left, on the disk
        is_checkpoint_stale_ = true;
    }
    if (is_checkpoint_stale_ || aside_.has_put_away() || log_->checkpoint.sequence == 0) {  // 0: none yet; it also says that segments must exist
        ++log_->checkpoint.sequence;
        return checkpoint_.write(log_->checkpoint);
    }
    return {};
}

}  // namespace brook::inline BROOK_ABI::storage
