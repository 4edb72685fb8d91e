/// \file brook/engine/bodies/table_partition.hpp
/// The functions that table_partition.hpp declares.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/table_file.hpp>
#include <brook/engine/table_index.hpp>
#include <brook/engine/table_partition.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/table_file.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/log_reader.hpp>
#include <brook/storage/segment.hpp>

namespace brook::inline BROOK_ABI::engine {

BROOK_INLINE table_partition::table_partition(storage::log& log, const table_settings& settings)
    : log_{&log}, settings_{settings}, reader_{log.reader()}, looker_{log.reader()}, homes_(1) {
    reader_.read_committed(settings.reads_committed);
    if (settings_.until >= 0) {
        require_history();
    }
    start_ = log.log_start_offset();
    if (!settings_.has_file || !load_file()) {
        start_over();
    }
}

BROOK_INLINE void table_partition::place_all() {
    while (unplaced_ > 0) {
        look_up_again(true);
        if (is_lying_) {
            refresh(true);
        }
    }
}

BROOK_INLINE std::optional<std::uint32_t> table_partition::epoch() {
    const auto passed = is_complete_ ? std::nullopt : reader_.epoch_passed();
    return passed ? passed : log_->epoch_before(position_offset());
}

BROOK_INLINE bool table_partition::is_save_due() const noexcept {
    return can_save() && static_cast<std::uint64_t>(reader_.position_offset() - saved_) > index_.count() / 16;
}

BROOK_INLINE failure table_partition::save() {
    if (!can_save()) {
        return {};
    }
    const auto last_epoch = epoch();
    return last_epoch ? write_file(*last_epoch) : failure{};
}

BROOK_INLINE std::uint64_t table_partition::read() {
    std::uint64_t taken = 0;
    next_word_ = nullptr;
    while (!is_lying_ && !is_complete_) {
        const offset before = reader_.position_offset();
        if (settings_.until >= 0 && before >= settings_.until) {
            is_complete_ = true;
            reader_.let_go();
            break;
        }
        ranges_.clear();
        failure why;
        try {
            why = reader_.fetch(at_a_time, settings_.verifies, ranges_);
            for (const auto& range : ranges_) {
                walk(range, false, [&](const found_record& one) { taken += take(one) ? 1 : 0; });
            }
        } catch (...) {
            ranges_.clear();
            reader_.seek(before);  // the next time takes them, and the latest of each key counts, as ever
            throw;
        }
        if (why.code == errc::offset_out_of_range && before < log_->log_start_offset()) {
            drop_below_start();  // what it would have read next has been deleted
            reader_.seek(log_->log_start_offset());
            continue;
        }
        if (why) {
            why.raise();
        }
        if (ranges_.empty()) {
            break;
        }
    }
    ranges_.clear();
    next_word_ = is_complete_ || is_lying_ ? nullptr : reader_.next_word();
    if (settings_.until >= 0 && !is_complete_ && !is_lying_) {
        throw_error(errc::offset_out_of_range, name().text() + ": it cannot be read up to offset " + std::to_string(settings_.until) + " yet: offset " +
                                                   std::to_string(reader_.position_offset()) + " is not published, or a part of a transaction that is not decided");
    }
    return taken;
}

BROOK_INLINE bool table_partition::take(const found_record& one) {
    if (settings_.until >= 0 && one.record.offset() >= settings_.until) {
        return false;
    }
    if (!one.record.has_key()) {
        return true;  // it is no key's value
    }
    const bytes key = one.record.key();
    const std::uint32_t hash = table_hash(key);
    if (!one.record.has_value()) {
        if (table_entry* const entry = find_entry(key, hash)) {
            erase(*entry);
        }
        return true;
    }
    if (!has_strays_ && settings_.partition_for != nullptr) {
        has_strays_ = settings_.partition_for(key, settings_.partition_count) != static_cast<std::int32_t>(name().number);
    }
    table_entry made = place_of(one, hash);
    try {
        table_entry* entry = find_entry(key, hash);
        if (entry == nullptr) {
            entry = &index_.insert(hash);
        } else {
            let_go(*entry);
        }
        *entry = made;
    } catch (...) {
        let_go(made);
        throw;
    }
    return true;
}

BROOK_INLINE void table_partition::let_go(table_entry& entry) noexcept {
    if (entry.is_copy()) {
        const std::unique_ptr<const std::uint64_t[]> gone{std::bit_cast<const std::uint64_t*>(entry.place)};
        return;
    }
    home& here = homes_[entry.home];
    if (entry.is_unplaced()) {
        --here.unplaced;
        --unplaced_;
    }
    if (--here.live == 0) {
        here = {};  // nothing lies there any more: its memory, and perhaps its disk space, is given back
    }
}

BROOK_INLINE void table_partition::erase(table_entry& entry) noexcept {
    let_go(entry);
    index_.erase(entry);
}

BROOK_INLINE void table_partition::drop_all() noexcept {
    for (std::size_t place = 0; place < index_.capacity(); ++place) {
        if (index_.at(place).is_there()) {
            let_go(index_.at(place));
        }
    }
    index_.clear();
}

BROOK_INLINE void table_partition::start_over() {
    drop_all();
    homes_.resize(1);
    last_home_ = 0;
    has_strays_ = false;
    is_lying_ = false;
    is_complete_ = false;
    saved_ = 0;
    start_ = log_->log_start_offset();
    next_word_ = nullptr;
    reader_.seek(start_);
}

BROOK_INLINE void table_partition::drop_below_start() {
    const offset start = log_->log_start_offset();
    if (start == start_) {
        return;
    }
    erase_if([&](const table_entry& entry) { return (entry.is_copy() || homes_[entry.home].lowest < start) && offset_of(entry) < start; });
    start_ = start;
}

BROOK_INLINE bool table_partition::has_gone_segments() const noexcept {
    for (const home& one : homes_) {
        if (one.is_stale || (one.pin && one.pin->is_gone.load(std::memory_order_acquire))) {
            return true;
        }
    }
    return false;
}

BROOK_INLINE bool table_partition::adopt(const found_record& one) {
    if (!one.record.has_key() || !one.record.has_value()) {
        return false;
    }
    const offset at = one.record.offset();
    const std::uint32_t hash = table_hash(one.record.key());
    table_entry* const entry = index_.find(hash, [at](const table_entry& other) { return other.is_unplaced_at(at); });
    if (entry == nullptr) {
        return false;
    }
    const table_entry made = place_of(one, hash);
    let_go(*entry);
    *entry = made;
    return true;
}

BROOK_INLINE void table_partition::place_one(const table_entry& entry) {
    const std::uint32_t hash = entry.hash;
    const auto at = static_cast<offset>(entry.place);
    std::vector<storage::record_range> found;
    looker_.seek(at);
    if (failure why = looker_.fetch(1, settings_.verifies, found); why && why.code != errc::offset_out_of_range) {
        why.raise();
    }
    bool is_there = false;
    bool is_placed = false;
    for (const auto& range : found) {
        walk(range, static_cast<bool>(range.decoded), [&](const found_record& one) {  // a batch is decoded for all that is wanted of it
            const bool is_this = one.record.offset() == at;
            is_there |= is_this;
            is_placed |= adopt(one) && is_this;
        });
    }
    if (is_placed) {
        return;
    }
    if (table_entry* const gone = index_.find(hash, [at](const table_entry& other) { return other.is_unplaced_at(at); })) {
        erase(*gone);  // compaction has taken it, or it never was
    }
    is_lying_ |= is_there;  // another key's record
}

BROOK_INLINE void table_partition::look_up_again(bool all) {
    std::vector<home*> gone;
    for (home& one : homes_) {
        if (one.live == 0) {
            one = {};
        }
        one.is_sought = one.is_stale || (one.pin && one.pin->is_gone.load(std::memory_order_acquire));
        if (one.is_sought) {
            gone.push_back(&one);
        }
        one.is_sought |= all && one.unplaced > 0;
        one.least = largest_offset;
        one.most = -1;
    }
    if (settings_.until >= 0) {
        copy_out();  // what compaction has taken may be of that time: it stays
    }
    for (std::size_t place = 0; place < index_.capacity(); ++place) {
        table_entry& entry = index_.at(place);
        if (!entry.is_there() || entry.is_copy() || !homes_[entry.home].is_sought) {
            continue;
        }
        home& here = homes_[entry.home];
        if (!entry.is_unplaced()) {
            if (!here.pin || !here.pin->is_gone.load(std::memory_order_acquire)) {
                continue;
            }
            entry.put_unplaced(entry.home, slice_of(entry).offset());
            ++here.unplaced;
            ++unplaced_;
        }
        const auto at = static_cast<offset>(entry.place);
        here.least = at < here.least ? at : here.least;
        here.most = at > here.most ? at : here.most;
    }
    for (home* const one : gone) {
        if (one->live == 0) {
            continue;  // it had copies taken of all it had
        }
        one->is_stale = true;  // until all of it has been looked up
        one->pin.reset();      // first: else the old file would be found again
        one->data = nullptr;
    }
    if (!gone.empty()) {
        reader_.let_go();  // may stand in one of them
        next_word_ = nullptr;
    }
    std::vector<std::pair<offset, offset>> stretches;
    for (const home& one : homes_) {
        if (one.is_sought && one.most >= 0) {
            stretches.emplace_back(one.least, one.most);
        }
    }
    for (const auto& [least, most] : stretches) {
        adopt_between(least, most);
    }
    erase_if([&](const table_entry& entry) {
        if (entry.is_copy() || !entry.is_unplaced() || !homes_[entry.home].is_sought) {
            return false;
        }
        is_lying_ |= !homes_[entry.home].is_stale;  // nothing vanishes from a file that is the same
        return true;
    });
}

BROOK_INLINE void table_partition::adopt_between(offset least, offset most) {
    const offset start = log_->log_start_offset();
    looker_.seek(least < start ? start : least);
    while (looker_.position_offset() <= most) {
        std::vector<storage::record_range> found;
        failure why = looker_.fetch(at_a_time, settings_.verifies, found);
        if (why.code == errc::offset_out_of_range && looker_.position_offset() < log_->log_start_offset()) {
            looker_.seek(log_->log_start_offset());
            continue;
        }
        if (why) {
            why.raise();
        }
        if (found.empty()) {
            break;
        }
        for (const auto& range : found) {
            walk(range, false, [&](const found_record& one) { static_cast<void>(adopt(one)); });
        }
    }
    looker_.let_go();
}

BROOK_INLINE void table_partition::copy_out() {
    for (std::size_t place = 0; place < index_.capacity(); ++place) {
        table_entry& entry = index_.at(place);
        if (entry.is_there() && !entry.is_copy() && !entry.is_unplaced() && homes_[entry.home].is_sought) {
            table_entry made;
            made.hash = entry.hash;
            made.put_copy(copy_of(slice_of(entry), homes_[entry.home].seed));
            let_go(entry);
            entry = made;
        }
    }
}

BROOK_INLINE void table_partition::require_history() {
    const offset start = log_->log_start_offset();
    const offset end = log_->readable_end();
    if (settings_.until < start || settings_.until > end) {
        throw_error(errc::offset_out_of_range, name().text() + ": there is no state as of offset " + std::to_string(settings_.until) + "; it can be read from " +
                                                   std::to_string(start) + " to " + std::to_string(end));
    }
    if (const auto there = log_->epoch_before(settings_.until); there && settings_.until_epoch >= 0 && *there != static_cast<std::uint32_t>(settings_.until_epoch)) {
        throw_error(errc::offset_out_of_range, name().text() + ": the history that had leader epoch " + std::to_string(settings_.until_epoch) +
                                                   " in front of offset " + std::to_string(settings_.until) + " was cut; there is another one now, of epoch " +
                                                   std::to_string(*there));
    }
}

BROOK_INLINE bool table_partition::can_save() const noexcept {
    return settings_.has_file && settings_.until < 0 && !is_lying_ && reader_.position_offset() > saved_ && !log_->is_forked() && !log_->is_closed();
}

BROOK_INLINE std::uint32_t table_partition::file_flags() const noexcept {
    return (settings_.reads_committed ? 0 : format::table_file_flag::uncommitted) | (has_strays_ ? format::table_file_flag::strays : 0);
}

BROOK_INLINE bool table_partition::load_file() {
    table_file_reader file;
    format::table_file_header header;
    const bool is_ours = file.open(log_->platform(), log_->path() + '/' + std::string{format::table_file_name}, header) &&
                         header.topic == name().topic_id && header.partition == name().number &&
                         ((header.flags ^ file_flags()) & format::table_file_flag::uncommitted) == 0;
    if (!is_ours || header.covered <= start_ || header.covered > log_->readable_end() ||
        (settings_.until >= 0 && header.covered > settings_.until) || header.segments >= table_entry::most_homes || header.entries > table_index::most_entries ||
        log_->epoch_before(header.covered) != header.leader_epoch || !take_file(file, header)) {
        drop_all();
        homes_.resize(1);
        return false;
    }
    has_strays_ = (header.flags & format::table_file_flag::strays) != 0;
    saved_ = header.covered;
    reader_.seek(header.covered);
    return true;
}

BROOK_INLINE bool table_partition::take_file(table_file_reader& file, const format::table_file_header& header) {
    std::vector<format::table_file_segment> segments;
    std::uint64_t left = header.entries;
    for (std::uint64_t i = 0; i < header.segments; ++i) {
        format::table_file_segment one{};
        if (!file.take(one) || one.count == 0 || one.count > left || one.first < 0 || one.first >= header.covered) {
            return false;
        }
        left -= one.count;
        segments.push_back(one);
    }
    if (left != 0) {
        return false;
    }
    index_.reserve(static_cast<std::size_t>(header.entries));
    for (const auto& segment : segments) {
        const auto number = static_cast<std::uint16_t>(homes_.size());
        home& here = homes_.emplace_back();
        here.seed = segment.seed;
        here.lowest = segment.first;
        here.is_stale = true;
        for (std::uint64_t i = 0; i < segment.count; ++i) {
            format::table_file_entry one{};
            if (!file.take(one)) {
                return false;
            }
            const offset at = segment.first + one.relative_offset;
            if (at >= header.covered) {
                return false;
            }
            if (at < start_) {
                continue;  // deleted since
            }
            table_entry* const entry = index_.insert_believable(one.hash);
            if (entry == nullptr) {
                return false;
            }
            entry->put_unplaced(number, at);
            ++here.live;
            ++here.unplaced;
            ++unplaced_;
        }
    }
    if (!file.ends_well()) {
        return false;
    }
    for (std::size_t i = 1; i < homes_.size(); ++i) {
        look_at_home(homes_[i], segments[i - 1].first);
    }
    return true;
}

BROOK_INLINE void table_partition::look_at_home(home& one, offset first) {
    if (one.live == 0) {
        one = {};
        return;
    }
    std::vector<storage::record_range> found;
    looker_.seek(first < start_ ? start_ : first);
    if (!looker_.fetch(1, settings_.verifies, found) && !found.empty() && found.front().pin->seed() == one.seed) {
        one.pin = found.front().pin;
        one.data = one.pin->data();
        one.is_stale = false;
    }
    looker_.let_go();
}

BROOK_INLINE failure table_partition::write_file(std::uint32_t last_epoch) {
    struct known {
        std::int64_t at;
        std::uint32_t hash;
        std::uint32_t segment;
    };
    std::vector<known> all;
    std::vector<format::table_file_segment> segments;
    all.reserve(index_.count());
    std::size_t last = 0;
    for (std::size_t place = 0; place < index_.capacity(); ++place) {
        const table_entry& entry = index_.at(place);
        if (!entry.is_there()) {
            continue;
        }
        const std::uint64_t seed = entry.is_copy() ? load<std::uint64_t>(entry.frame() + 8) : homes_[entry.home].seed;
        const offset at = offset_of(entry);
        if (last >= segments.size() || segments[last].seed != seed) {
            for (last = 0; last < segments.size() && segments[last].seed != seed; ++last) {
            }
            if (last == segments.size()) {
                segments.push_back({seed, at, 0});
            }
        }
        segments[last].first = at < segments[last].first ? at : segments[last].first;
        ++segments[last].count;
        all.push_back({at, entry.hash, static_cast<std::uint32_t>(last)});
    }
    format::table_file_header header;
    header.partition = name().number;
    header.topic = name().topic_id;
    header.covered = reader_.position_offset();
    header.leader_epoch = last_epoch;
    header.flags = file_flags();
    header.segments = segments.size();
    header.entries = all.size();
    std::vector<std::size_t> next;  // where in `order` the entries of each segment go on
    std::size_t begin = 0;
    for (const auto& one : segments) {
        next.push_back(begin);
        begin += static_cast<std::size_t>(one.count);
    }
    std::vector<format::table_file_entry> order(all.size());
    for (const auto& one : all) {
        order[next[one.segment]++] = {one.hash, static_cast<std::uint32_t>(one.at - segments[one.segment].first)};  // a segment has less than 2^32
    }
    table_file_writer file{log_->platform(), log_->path()};
    failure why = file.begin(header);
    if (!why) {
        for (const auto& one : segments) {
            file.put(one);
        }
        for (const auto& one : order) {
            file.put(one);
        }
        why = file.finish();
    }
    if (why) {
        why.text = name().text() + ": " + why.text;
    } else {
        saved_ = header.covered;
    }
    return why;
}

}  // namespace brook::inline BROOK_ABI::engine
