/// \file brook/storage/bodies/log_cut.hpp
/// The functions that log_cut.hpp declares.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/codec.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/appender.hpp>
#include <brook/storage/frame_walk.hpp>
#include <brook/storage/log_cut.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/published_prefix.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_erase.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE failure log_cut::truncate(offset to, bool gives_up) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    const std::scoped_lock alone{parts_.order_mutex};
    std::vector<std::byte> kept;  // frames that have to be appended again
    {
        const std::scoped_lock guard{parts_.upkeep_mutex};
        const std::scoped_lock cutting{parts_.cut_mutex};
        const offset end = appending_.settled_end();
        const offset start = parts_.log_start_offset();
        log_place place;
        failure why = check_cut();
        const bool is_committed = to < parts_.high_watermark();
        if (!why && ((is_committed && !gives_up) || to < start || to > end)) {
            why = refuse(errc::illegal_state, to, "it starts at " + std::to_string(start) + ", its high watermark is " + std::to_string(parts_.high_watermark()) +
                                                      " and its end " + std::to_string(end));
        }
        if (why || to == end) {
            return why;
        }
        if (why = find_place(to, place); !why) {
            why = parts_.appends.name_taken_spare();
        }
        if (why) {
            return parts_.judged(std::move(why));
        }
        if (!is_committed) {
            const segment_pin pin = parts_.source.pin(*place.home, why);
            return pin ? cut([&](bool& is_begun) { return cut_at(place, pin, false, is_begun); }) : parts_.judged(std::move(why));
        }
        if (why = cut_committed(to, place, kept); why) {
            return why;
        }
    }
    return appending_.append_again(kept, to);
}

BROOK_INLINE failure log_cut::start_anew(offset at, std::uint32_t epoch, bool gives_up) {
    if (failure why = parts_.check_replicated()) {
        return why;
    }
    const std::scoped_lock alone{parts_.order_mutex};
    const std::scoped_lock guard{parts_.upkeep_mutex};
    const std::scoped_lock cutting{parts_.cut_mutex};
    failure why = check_cut();
    if (!why && ((at < parts_.high_watermark() && !gives_up) || at < 0 || at > last_base)) {
        why = {errc::illegal_state, parts_.name().text() + ": cannot begin anew at offset " + std::to_string(at) + ", its high watermark is " + std::to_string(parts_.high_watermark())};
    }
    upkeep_.stop_compaction();
    if (!why) {
        why = upkeep_.settle_compaction();
    }
    if (!why) {
        why = parts_.appends.name_taken_spare();
    }
    if (why) {
        return parts_.judged(std::move(why));
    }
    return cut([&](bool& is_begun) { return begin_at(at, epoch, is_begun); });
}

BROOK_INLINE failure log_cut::check_cut() {
    if (parts_.is_closed()) {
        return parts_.refusal();
    }
    if (parts_.claims.oldest() || parts_.claimed_end_offset() != appending_.settled_end()) {
        return {errc::illegal_state, parts_.name().text() + ": claims are open"};
    }
    return parts_.durable.sync_failure();
}

BROOK_INLINE failure log_cut::find_place(offset to, log_place& place) {
    segment* const home = parts_.segments.find(to);
    place = {home, format::segment_header_size, to};
    if (home->base == to) {
        return {};
    }
    log_reader looking = parts_.whole_reader();
    frame_view found;
    if (looking.find(to - 1, found)) {
        place.at = found.end();
        return found.header.base_offset + found.offsets_taken() == to
                   ? failure{}
                   : refuse(errc::illegal_state, to, "that is in the middle of a batch that begins at " + std::to_string(found.header.base_offset));
    }
    if (looking.find(to, found) && found.header.base_offset == to) {  // behind damage
        place.at = found.at;
        return {};
    }
    return refuse(errc::corrupt_record, to, "what stands in front of it is damaged, or cannot be read");
}

BROOK_INLINE failure log_cut::cut_at(const log_place& place, const segment_pin& pin, bool is_committed, bool& is_begun) {
    segment& home = *place.home;
    const offset to = place.next;
    const std::uint32_t epoch = epoch_in_front_of(to);
    if (failure why = parts_.appends.pause()) {
        return why;
    }
    is_begun = true;
    failure why = parts_.kept.rewrite_of_cut([&](format::checkpoint& told) {  // what is to be done, before anything is touched
        told.cut_plus_one = to + 1;
        told.high_watermark = parts_.high_watermark();
        told.leader_epoch = epoch;
        lower(told.durable_offset, to);
        lower(told.compacted_offset, to);
        if (told.segment_base > home.base || (told.segment_base == home.base && told.segment_offset > to)) {
            told.segment_base = told.segment_offset = home.base;
            told.segment_position = format::segment_header_size;
        }
    });
    if (why) {
        return why;
    }
    std::vector<segment*> gone;
    parts_.prefix.rewind(place, [&] {
        gone = parts_.segments.cut_behind(home);
        home.next.store(nullptr, std::memory_order_release);
        home.tail.store(tail_word{static_cast<std::uint64_t>(to - home.base), place.at}.sealed().raw(), std::memory_order_release);
        lower(pin->verified_to, place.at);
        lower(pin->written_from, place.at);
        if (is_committed) {
            parts_.source.begin_history();  // a reader may be about to look at the seal that stands there: it looks for its place anew
        }
        erase_behind(*pin, place.at);
    });
    home.adopt(pin);
    home.is_synced.store(false, std::memory_order_relaxed);
    home.ends_in_damage.store(false, std::memory_order_relaxed);
    home.used.store(0, std::memory_order_relaxed);
    home.sealed_at.store(0, std::memory_order_relaxed);
    if (why = sync_erased(parts_.files, *pin, place.at); !why) {
        let_go(gone);
        why = remove_files(gone);
    }
    parts_.epochs.cut(to);
    if (!why) {
        why = parts_.kept.rewrite_of_cut([&](format::checkpoint& told) {
            told.cut_plus_one = 0;
            told.leader_epoch = epoch;
        });
    }
    if (why) {
        return why;
    }
    parts_.durable.cut(to, home);
    BROOK_ASSERT(parts_.log_end_offset() == to && parts_.high_watermark() <= to && parts_.durable_offset() <= to);
    std::size_t index = parts_.segments.count() - 1;
    return go_on(place, epoch, upkeep_.finished() < index ? upkeep_.finished() : index, is_begun);
}

BROOK_INLINE failure log_cut::cut_committed(offset to, log_place place, std::vector<std::byte>& kept) {
    upkeep_.stop_compaction();
    failure why = upkeep_.settle_compaction();
    const offset start = parts_.log_start_offset();
    segment* const home = parts_.segments.find(to > start ? to - 1 : to);
    const bool is_first = home->base <= start;
    offset from = is_first ? start : home->base;
    if (!why && from < to) {
        why = parts_.whole_reader().copy_frames(from, to, std::numeric_limits<std::size_t>::max(), kept);
    }
    if (!why) {
        why = check_kept(from, to, kept);
    }
    if (why) {
        return parts_.judged(std::move(why));
    }
    if (is_first) {
        const std::uint32_t epoch = epoch_in_front_of(from);
        return cut([&](bool& is_begun) { return begin_at(from, epoch, is_begun); });
    }
    log_reader looking = parts_.whole_reader();
    frame_view last;
    if (!looking.find(from - 1, last)) {
        return refuse(errc::corrupt_record, to, "what stands in front of offset " + std::to_string(from) + " is damaged, or cannot be read");
    }
    place = {parts_.segments.find(from - 1), last.end(), from};
    const segment_pin pin = parts_.source.pin(*place.home, why);
    if (!pin) {
        return parts_.judged(std::move(why));
    }
    parts_.source.raise_limit(from);
    why = cut([&](bool& is_begun) { return cut_at(place, pin, true, is_begun); });
    parts_.source.begin_history();
    return why;
}

BROOK_INLINE failure log_cut::check_kept(offset from, offset to, std::vector<std::byte>& kept) const {
    offset reached = from;
    std::vector<std::byte> divided;
    format::wire_walk walk{kept};
    for (bytes frame; walk.next(frame);) {
        const format::frame_header header = format::load_header(frame.data());
        if (header.base_offset < from) {
            if (const format::inflation done = format::cut_front(frame, from, parts_.appends.largest_frame(), divided); done != format::inflation::done) {
                return refuse(done == format::inflation::missing_codec ? errc::unsupported_compression_type : errc::corrupt_record, to,
                              "it starts at offset " + std::to_string(from) + ", in a batch that cannot be divided there");
            }
            divided.insert(divided.end(), walk.rest().begin(), walk.rest().end());
        }
        reached = header.base_offset + offset{format::offsets_taken(header, frame.data())};
    }
    if (reached != to) {
        return refuse(errc::corrupt_record, to, "what stands from offset " + std::to_string(reached) + " on is damaged, or cannot be read, and would have to be moved");
    }
    if (!divided.empty()) {
        kept = std::move(divided);
    }
    return {};
}

BROOK_INLINE failure log_cut::begin_at(offset at, std::uint32_t epoch, bool& is_begun) {
    const format::checkpoint before = parts_.kept.saved();
    const bool is_behind = at > parts_.log_end_offset();
    std::vector<segment_pin> pins;  // who reads in it finds it in memory, when its file has gone
    for (segment* const home : is_behind ? std::vector<segment*>{} : parts_.segments.all()) {
        failure unreadable;
        pins.push_back(parts_.source.pin(*home, unreadable));
    }
    if (failure why = parts_.appends.pause()) {
        return why;
    }
    is_begun = true;
    failure why = parts_.kept.rewrite_of_cut([&](format::checkpoint& told) {
        told.cut_plus_one = at + 1;
        told.log_start_offset = told.durable_offset = told.high_watermark = told.compacted_offset = at;
        told.segment_base = told.segment_offset = at;
        told.segment_position = format::segment_header_size;
        told.leader_epoch = epoch;
    });
    if (why) {
        return why;
    }
    if (!is_behind) {  // one of them may have the new one's name
        if (why = remove_files(parts_.segments.all()); why) {
            return why;
        }
    }
    segment_pin pin = parts_.files.create(at, parts_.options.segment_bytes, first_window, why, true);
    if (!pin) {
        if (is_behind) {  // nothing has gone yet
            failure undone = parts_.kept.rewrite_of_cut([&](format::checkpoint& told) {
                const std::uint64_t sequence = told.sequence;
                told = before;
                told.sequence = sequence;
            });
            is_begun = static_cast<bool>(undone) || !parts_.appends.resume(parts_.appends.claimed());
        }
        return why;
    }
    pin->written_from.store(format::segment_header_size, std::memory_order_relaxed);
    auto made = std::make_unique<segment>(at, pin, tail_word{0, format::segment_header_size});
    const log_place place{made.get(), format::segment_header_size, at};
    std::vector<segment*> gone;
    if (!is_behind) {
        parts_.source.raise_limit(at);
    }
    parts_.prefix.rewind(place, [&] { gone = parts_.segments.start_anew(std::move(made)); });
    parts_.source.raise_limit(at);  // behind the start, which readers look at later
    parts_.source.begin_history();
    let_go(gone);
    if (is_behind) {
        why = remove_files(gone);
    }
    parts_.epochs.start_anew();
    if (!why) {
        why = parts_.kept.rewrite_of_cut([](format::checkpoint& told) { told.cut_plus_one = 0; });
    }
    if (why) {
        return why;
    }
    parts_.durable.start_anew(*place.home);
    upkeep_.start_compaction(at);
    return go_on(place, epoch, 0, is_begun);
}

BROOK_INLINE failure log_cut::refuse(errc why, offset to, const std::string& what) const {
    return {why, parts_.name().text() + ": cannot be cut at offset " + std::to_string(to) + ": " + what};
}

BROOK_INLINE std::uint32_t log_cut::epoch_in_front_of(offset to) {
    return to > parts_.log_start_offset() ? parts_.epochs.at(to - 1).value_or(parts_.kept.saved().leader_epoch) : 0;
}

BROOK_INLINE void log_cut::let_go(const std::vector<segment*>& gone) {
    for (segment* const one : gone) {
        parts_.let_go(*one);
    }
}

BROOK_INLINE failure log_cut::remove_files(const std::vector<segment*>& gone) {
    for (std::size_t i = gone.size(); i-- > 0;) {
        if (failure why = parts_.files.remove(gone[i]->base)) {
            return why;
        }
    }
    const auto code = parts_.platform().sync_directory(parts_.files.path());
    return code ? failure{code, parts_.name().text() + ": cannot sync " + parts_.files.path()} : failure{};
}

BROOK_INLINE failure log_cut::go_on(const log_place& end, std::uint32_t epoch, std::size_t finished, bool& is_begun) {
    upkeep_.go_on(end, finished);
    parts_.last_epoch.store(epoch, std::memory_order_relaxed);
    if (failure why = parts_.producers.recall_anew(parts_.whole_reader(), parts_.segments)) {
        return why;
    }
    is_begun = false;
    static_cast<void>(parts_.appends.resume(tail_word{static_cast<std::uint64_t>(end.next - end.home->base), end.at}));  // else it was closed meanwhile
    return {};
}

BROOK_INLINE void log_cut::lower(std::atomic<position>& value, position most) noexcept {
    if (value.load(std::memory_order_relaxed) > most) {
        value.store(most, std::memory_order_release);
    }
}

}  // namespace brook::inline BROOK_ABI::storage
