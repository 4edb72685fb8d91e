/// \file brook/storage/bodies/partition_scrub.hpp
/// The functions that partition_scrub.hpp declares.
#pragma once

#include <algorithm>
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
#include <brook/format/codec.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/table_file.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/partition_scrub.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_scrub.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI::storage {

BROOK_INLINE bool partition_scrub::run(partition_report& report) {
    const bool has_visitor = rules_.on_frame || rules_.on_record;
    for (int left = most_looks;; --left) {
        finding_list found;
        partition_report seen;
        partition_scrub one{platform_, path_, name_, knows_topic_, rules_, found};
        const bool goes_on = one.look(seen);
        if (left > 1 && !has_visitor && found.count(severity::damage) > 0 && one.was_changed_meanwhile()) {
            continue;
        }
        found_.add_all(found);
        report = std::move(seen);
        return goes_on;
    }
}

BROOK_INLINE bool partition_scrub::was_changed_meanwhile() {
    const std::uint64_t before = first_checkpoint_.sequence;
    const bool was_cut_short = first_checkpoint_.cut_plus_one != 0;
    partition_report unused;
    report_ = &unused;
    checkpoint_ = {};
    read_checkpoint();
    return was_cut_short || checkpoint_.sequence != before;
}

BROOK_INLINE bool partition_scrub::look(partition_report& report) {
    report_ = &report;
    report.number = static_cast<std::int32_t>(name_.number);
    report.path = path_;
    std::vector<os::directory_entry> entries;
    read_checkpoint();  // before the listing: what it vouches for was in some file by then
    first_checkpoint_ = checkpoint_;
    if (const auto code = platform_.list(path_, entries)) {
        tell(severity::damage, path_, "cannot be listed: " + code.message() + ". Without it the topic does not open; restore the directory from a copy");
        return true;
    }
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    sort_out(entries);
    find_swaps();
    find_spare(entries);
    check_checkpoint(entries);
    walk_chain();
    gather_evidence();
    forget_deleted();
    std::vector<finding> findings = judge();
    if (has_doubts_) {
        look_again();
        findings = judge();
    }
    for (auto& one : findings) {
        found_.add(std::move(one));
    }
    tell_of_trifles();
    for (auto& link : chain_) {
        report.segments.push_back(std::move(link.scan.report));
    }
    return !has_stopped_;
}

BROOK_INLINE finding partition_scrub::make(severity how_bad, std::string file, std::string text, std::uint64_t begin, std::uint64_t end,
                                           offset first, offset last) {
    return {how_bad, std::move(file), begin, end, first, last, std::move(text)};
}

BROOK_INLINE void partition_scrub::tell(severity how_bad, std::string file, const std::string& text, std::uint64_t begin, std::uint64_t end) {
    found_.add(make(how_bad, std::move(file), name_.text() + ": " + text, begin, end));
}

BROOK_INLINE void partition_scrub::sort_out(const std::vector<os::directory_entry>& entries) {
    for (const auto& [name, kind] : entries) {
        const bool is_file = kind == os::entry_kind::file;
        if (const auto base = parse_segment_name(name, ".log")) {
            add_link(*base, path_of(name)).is_file = is_file;
        } else if (name.ends_with(".quarantine")) {
            report_->quarantined.push_back(name);
        } else if (const auto range = parse_swap_name(name)) {
            swaps_.push_back(*range);
        } else if (name.ends_with(".swap.index")) {
            // Goes with the other, or is nobody's; derived in any case.
        } else if (name.ends_with(".tmp")) {
            tell(severity::note, path_of(name), "is being made, or its maker died; the next open removes it");
        } else if (parse_segment_name(name, ".index") || name == "spare.index" || name == "checkpoint" || name == "spare.log" ||
                   name == format::table_file_name) {
            if (!is_file && !name.ends_with(".log")) {
                tell(name == "checkpoint" ? severity::damage : severity::note, path_of(name), "is no regular file, and was not followed; remove it");
            }
        } else {
            report_->strangers.push_back(name);
        }
    }
}

BROOK_INLINE auto partition_scrub::add_link(offset base, std::string path) -> chain_link& {
    const auto after = std::find_if(chain_.begin(), chain_.end(), [&](const chain_link& link) { return link.base > base; });
    chain_link& link = *chain_.insert(after, chain_link{});
    link.base = base;
    link.file_base = base;
    link.path = std::move(path);
    return link;
}

BROOK_INLINE bool partition_scrub::has_link(offset base) const {
    return std::any_of(chain_.begin(), chain_.end(), [&](const chain_link& link) { return link.base == base; });
}

BROOK_INLINE std::unique_ptr<os::file> partition_scrub::open_segment(const std::string& path, segment_summary& summary, failure& why) {
    std::error_code code;
    auto file = platform_.open(path, os::open_mode::read_only, code);
    if (!file) {
        why = {code, "cannot be opened: " + code.message()};
        return nullptr;
    }
    for (int look = 0; look < 2; ++look) {
        std::array<std::byte, format::segment_header_size> raw{};
        std::uint64_t size = 0;
        code = file->size(size);
        if (!code && size >= raw.size()) {
            code = file->read_at(0, raw);
        }
        if (code) {
            why = {code, "bytes 0 to 256, its header, cannot be read: " + code.message() + ". See to the disk; restore the file from a copy"};
            continue;
        }
        adopt_topic(raw);
        summary = {};
        if (failure bad = summarize(bytes{raw}.first(size < raw.size() ? 0 : raw.size()), path, name_, summary)) {
            why = {bad.code, text_of(bad, summary, size)};
            continue;
        }
        why = {};
        const auto footer = raw.begin() + format::footer_at;
        has_broken_footer_ = !summary.has_footer && std::any_of(footer, footer + sizeof(format::segment_footer), [](std::byte value) { return value != std::byte{0}; });
        if (!has_broken_footer_ && summary.has_writer && (summary.is_spare || summary.base)) {
            break;
        }
    }
    return why ? nullptr : std::move(file);
}

BROOK_INLINE void partition_scrub::adopt_topic(bytes raw) noexcept {
    const auto birth = load<format::segment_birth>(raw.data());
    if (!knows_topic_ && format::verifies(birth)) {
        name_.topic_id = birth.topic;
        knows_topic_ = true;
    }
}

BROOK_INLINE std::string partition_scrub::text_of(const failure& bad, const segment_summary& summary, std::uint64_t size) const {
    if (bad.code == errc::unsupported_version) {
        return "has format version " + std::to_string(summary.birth.version) + ", and this brook reads up to " + std::to_string(format::format_version) +
               "; use a newer one";
    }
    if (size < format::segment_header_size) {
        return "has " + std::to_string(size) + " bytes, and a segment's header alone has 256. It was cut short; restore it from a copy";
    }
    if (!format::verifies(summary.birth)) {
        return "has no valid header. Restore it from a copy";
    }
    if (summary.birth.topic != name_.topic_id) {
        return "is a segment of another topic (its partition " + std::to_string(summary.birth.partition) + "); put the right file back";
    }
    if (summary.birth.partition != name_.number) {
        return "is a segment of partition " + std::to_string(summary.birth.partition) + " of this topic; put the right file back";
    }
    return "has a header with sizes that brook does not write. Restore it from a copy";
}

BROOK_INLINE void partition_scrub::find_swaps() {
    for (const swap_range& range : swaps_) {
        const std::string path = path_of(swap_name(range));
        const auto is_within = [&](const chain_link& link) { return link.base >= range.base && link.base < range.end; };
        bool stands = is_compacted(path, range.base, range.end);
        for (const auto& link : chain_) {
            segment_summary summary;
            failure why;
            const offset most = is_within(link) ? range.end : range.base;
            stands = stands && !(link.base < range.end && open_segment(link.path, summary, why) && summary.has_footer && summary.footer.end_offset > most);
        }
        if (!stands) {
            tell(severity::note, path, "was made by a compaction that was given up, and counts for nothing; the next open renames it to *.quarantine");
            continue;
        }
        tell(severity::note, path, "was made by a compaction, and stands for the segments of these offsets; upkeep, or the next open, gives it their place");
        std::erase_if(chain_, is_within);
        add_link(range.base, path);
    }
}

BROOK_INLINE bool partition_scrub::is_compacted(const std::string& path, offset base, std::optional<offset> end) {
    segment_summary summary;
    failure why;
    return open_segment(path, summary, why) && summary.is_compacted() && summary.base == base && summary.has_footer && summary.footer.end_offset == end.value_or(summary.footer.end_offset);
}

BROOK_INLINE void partition_scrub::find_spare(const std::vector<os::directory_entry>& entries) {
    const auto listed = std::find_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.name == "spare.log"; });
    if (listed == entries.end()) {
        return;
    }
    const std::string path = path_of("spare.log");
    segment_summary summary;
    failure why;
    const auto file = listed->kind == os::entry_kind::file ? open_segment(path, summary, why) : nullptr;
    if (!file) {
        if (why.code != std::errc::no_such_file_or_directory) {  // else it has got its name meanwhile
            tell(severity::damage, path, why ? why.text + ". If it held records, they are the newest" : "is no regular file, and was not followed; remove it");
        }
        return;
    }
    report_->has_spare = summary.is_spare;
    std::array<std::byte, sizeof(format::frame_word)> word{};
    const bool has_frames = file->read_at(format::segment_header_size, word) || load<std::uint64_t>(word.data()) != 0;
    if (!summary.base && has_frames) {
        std::error_code unread;
        summary.base = base_by_first_frame(*file, summary, unread);
        std::error_code unknown;
        if (unread) {
            tell(severity::damage, path, "cannot be read: " + unread.message() + ". If it held records, they are the newest");
            return;
        }
        if (summary.base) {
            tell(severity::note, path, "its base offset does not verify; its first record tells it, and the next open writes it anew");
        } else if (same_identity(summary, *file, unknown)) {
            tell(severity::damage, path, "does not say where it begins, and perhaps holds the newest records. Restore it from a copy, or move it away "
                                         "to go on without them: until then the topic does not open");
            return;
        }
    }
    if (summary.base && *summary.base >= 0 && !has_link(*summary.base)) {
        add_link(*summary.base, path);
        return;
    }
    const bool is_used = !summary.is_spare || has_frames;
    tell(severity::note, path,
         is_used ? "is neither a spare nor the newest segment; the next open renames it to *.quarantine"
                 : "is a segment prepared ahead; the next roll takes it, or the next open removes it");
}

BROOK_INLINE void partition_scrub::read_checkpoint() {
    const std::string path = path_of("checkpoint");
    std::array<std::byte, format::checkpoint_file_size> raw{};
    for (int look = 0; look < 2; ++look) {  // a slot may be in the middle of being written; never both
        std::error_code code;
        const auto file = platform_.open(path, os::open_mode::read_only, code);
        std::uint64_t size = 0;
        raw = {};
        if (file && !(code = file->size(size))) {
            code = file->read_at(0, mutable_bytes{raw}.first(static_cast<std::size_t>(size < raw.size() ? size : raw.size())));
        }
        checkpoint_code_ = code;
        look_at_slots(raw);
        const auto& slots = report_->checkpoint_slots;
        if (!code && slots[0].state != checkpoint_report::slot_state::broken && slots[1].state != checkpoint_report::slot_state::broken) {
            break;
        }
    }
    const auto is_own = [&](const format::checkpoint& slot) { return slot.partition == name_.number && (!knows_topic_ || slot.topic == name_.topic_id); };
    if (const auto newest = format::newest_checkpoint(raw, is_own); newest && newest->version <= format::checkpoint_version) {
        checkpoint_ = *newest;
        report_->has_checkpoint = true;
        report_->log_start_offset = newest->log_start_offset < 0 ? 0 : newest->log_start_offset;
    }
}

BROOK_INLINE void partition_scrub::look_at_slots(const std::array<std::byte, format::checkpoint_file_size>& raw) {
    using slot_state = checkpoint_report::slot_state;
    for (std::size_t i = 0; i < 2; ++i) {
        const std::byte* const at = raw.data() + i * format::checkpoint_slot_size;
        const auto slot = load<format::checkpoint>(at);
        checkpoint_report& told = report_->checkpoint_slots[i];
        told = {slot_state::valid, slot.sequence, slot.durable_offset};
        if (!format::verifies(slot)) {
            const bool is_zero = std::all_of(at, at + sizeof slot, [](std::byte value) { return value == std::byte{0}; });
            told = {is_zero ? slot_state::empty : slot_state::broken, 0, 0};
        } else if (slot.version > format::checkpoint_version) {
            told.state = slot_state::newer;
        } else if (slot.partition != name_.number || (knows_topic_ && slot.topic != name_.topic_id)) {
            told.state = slot_state::foreign;
        }
    }
}

BROOK_INLINE void partition_scrub::check_checkpoint(const std::vector<os::directory_entry>& entries) {
    using slot_state = checkpoint_report::slot_state;
    const std::string path = path_of("checkpoint");
    const auto listed = std::find_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.name == "checkpoint"; });
    if (listed == entries.end()) {
        if (!chain_.empty()) {
            tell(severity::note, path, "is not there. What it would vouch for as durable is not known; the next open reads all segments and makes a new one");
        }
        return;
    }
    if (listed->kind != os::entry_kind::file || checkpoint_code_ == std::errc::no_such_file_or_directory) {
        return;  // told already, or being made
    }
    if (checkpoint_code_) {
        tell(severity::damage, path, "cannot be read: " + checkpoint_code_.message() + ". See to the disk; what it vouches for as durable is not known", 0,
             format::checkpoint_file_size);
        return;
    }
    const auto& slots = report_->checkpoint_slots;
    for (std::size_t i = 0; i < 2; ++i) {
        const std::uint64_t begin = i * format::checkpoint_slot_size;
        const std::uint64_t end = begin + sizeof(format::checkpoint);
        switch (slots[i].state) {
            case slot_state::empty:
            case slot_state::valid: break;
            case slot_state::broken:
                if (slots[1 - i].state == slot_state::broken) {
                    tell(severity::damage, path, "neither slot verifies, and only one is written at a time. Close the broker and remove the file: the next open then reads all segments", begin, end);
                } else {
                    tell(severity::note, path,
                         std::string{"this slot does not verify: a write that a loss of power cut off, or rot. "} +
                             (slots[1 - i].state == slot_state::valid ? "The other one counts" : "The next open reads all segments"),
                         begin, end);
                }
                break;
            case slot_state::foreign: tell(severity::damage, path, "is the checkpoint of another partition; put the right one back, or remove it", begin, end); break;
            case slot_state::newer: tell(severity::damage, path, "was written by a newer brook; use that one", begin, end); break;
        }
    }
}

BROOK_INLINE void partition_scrub::walk_chain() {
    int found_later = 0;
    for (std::size_t i = 0; i < chain_.size() && !has_stopped_; ++i) {
        const bool is_wanted = i + 1 == chain_.size() || chain_[i + 1].base > rules_.from;
        scan(chain_[i], rules_.deep && is_wanted, rules_);
        follow_compaction(i, rules_.deep && is_wanted, rules_);
        has_stopped_ = chain_[i].scan.has_stopped;
        // A segment that was given its name while the directory was listed may be missing in the list.
        const auto next = end_of(chain_[i]);
        const bool is_known = !next || has_link(*next);
        if (!is_known && !has_stopped_ && found_later < 8 && find_segment(*next)) {
            ++found_later;
        }
    }
    if (has_stopped_) {
        while (!chain_.empty() && !chain_.back().scan.has_stopped) {
            chain_.pop_back();
        }
    }
}

BROOK_INLINE void partition_scrub::follow_compaction(std::size_t i, bool is_deep, const scrub_rules& rules) {
    if (i > 0 && chain_[i].problem.code == std::errc::no_such_file_or_directory) {
        find_compacted(chain_[i], is_deep, rules);
    }
    const chain_link& link = chain_[i];
    if (link.scan.report.is_readable && link.summary.is_compacted() && link.summary.has_footer) {
        const offset end = link.summary.footer.end_offset;
        while (i + 1 < chain_.size() && chain_[i + 1].base < end) {
            chain_.erase(chain_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
    }
}

BROOK_INLINE void partition_scrub::find_compacted(chain_link& link, bool is_deep, const scrub_rules& rules) {
    std::vector<os::directory_entry> entries;
    if (platform_.list(path_, entries)) {
        return;
    }
    for (const auto& [name, kind] : entries) {
        const auto range = parse_swap_name(name);
        const auto base = range ? std::optional{range->base} : parse_segment_name(name, ".log");
        segment_summary summary;
        failure why;
        const bool is_it = base && *base <= link.base && is_compacted(path_of(name), *base, std::nullopt) && open_segment(path_of(name), summary, why) &&
                           summary.footer.end_offset > link.base;
        if (!is_it) {
            continue;
        }
        link.path = path_of(name);
        link.file_base = *base;
        scrub_rules rest = rules;
        rest.on_record = [&](const visited_record& record) { return record.offset < link.base || !rules.on_record || rules.on_record(record); };
        scan(link, is_deep, rest);
        return;
    }
}

BROOK_INLINE std::optional<offset> partition_scrub::end_of(const chain_link& link) {
    if (link.scan.report.is_sealed) {
        return link.scan.report.end_offset;
    }
    return std::nullopt;
}

BROOK_INLINE bool partition_scrub::find_segment(offset base) {
    for (const std::string& path : {log_path(base), path_of("spare.log"), log_path(base)}) {
        segment_summary summary;
        failure why;
        if (open_segment(path, summary, why) && summary.base == base) {
            add_link(base, path);
            return true;
        }
    }
    return false;
}

BROOK_INLINE void partition_scrub::scan(chain_link& link, bool is_deep, const scrub_rules& rules) {
    link.problem = {};
    link.scan = {};
    segment_report& told = link.scan.report;
    told.file = link.path;
    told.base_offset = link.base;
    told.end_offset = link.base;
    if (!link.is_file) {
        link.problem = {errc::corrupt_record, "is no regular file, and was not followed; put the right one in its place"};
        return;
    }
    has_broken_footer_ = false;
    auto file = open_segment(link.path, link.summary, link.problem);
    std::error_code unread;  // then no frame tells it
    // Renamed since it was listed; there may be another spare by now.
    const bool is_another = file && link.summary.base != link.base && link.path == path_of("spare.log") && base_by_first_frame(*file, link.summary, unread) != link.base;
    if (is_another || (!file && link.problem.code == std::errc::no_such_file_or_directory)) {
        link.problem = {};
        link.path = log_path(link.base);
        told.file = link.path;
        file = open_segment(link.path, link.summary, link.problem);
    }
    std::error_code unknown;  // then it is told as another boot's: no more is believed of it than can be shown
    told.is_of_this_boot = file && same_identity(link.summary, *file, unknown);
    // A spare that was taken and named when the power went, before its base offset was on the disk, is what its name
    // says; what lies before the checkpoint's place had been synced.
    const bool is_named_only = !link.summary.base && !told.is_of_this_boot && link.file_base == link.base && link.base >= static_cast<offset>(checkpoint_.segment_base);
    const bool is_told_by_frame = file && !link.summary.base && link.path == path_of("spare.log") && base_by_first_frame(*file, link.summary, unread) == link.base;
    if (file && link.summary.base != link.file_base && !is_named_only && !is_told_by_frame) {
        link.problem = {errc::corrupt_record, link.summary.base       ? "says that it begins at offset " + std::to_string(*link.summary.base) + "; give it that name"
                                              : link.summary.is_spare ? "is a spare under the name of a segment; put the right file back"
                                                                      : "does not say where it begins: its base offset does not verify. Restore it from a copy"};
    }
    static_cast<void>(file && file->size(told.file_bytes));
    if (link.problem || !file) {
        return;
    }
    link.has_broken_footer = has_broken_footer_;
    const segment_summary& summary = link.summary;
    told.is_readable = true;
    told.capacity = summary.birth.capacity;
    told.has_footer = summary.has_footer;
    if (is_deep) {
        segment_scrub walk{*file, name_, summary, link.file_base, rules, link.scan};
        walk.walk();
        check_index(link, walk);
    } else if (summary.has_footer) {
        told.is_sealed = true;
        told.end_offset = summary.footer.end_offset;
        told.used_bytes = std::uint64_t{summary.footer.seal_position} + format::frame_header_size;
    }
}

BROOK_INLINE void partition_scrub::check_index(chain_link& link, segment_scrub& walk) {
    std::error_code code;
    const auto index = platform_.open(link.path.substr(0, link.path.size() - std::string_view{".log"}.size()) + ".index", os::open_mode::read_only, code);
    link.scan.report.has_index = index != nullptr;
    if (index) {
        walk.check_index(*index);
    }
}

BROOK_INLINE void partition_scrub::raise_evidence(offset durable, evidence_source by, const std::string& file, std::uint64_t at) {
    durable = is_to_go(durable) ? checkpoint_.cut_to() : durable;
    if (durable > report_->durable_offset && durable <= largest_offset) {
        report_->durable_offset = durable;
        report_->durable_by = by;
        report_->durable_file = file;
        report_->durable_at = at;
    }
}

BROOK_INLINE void partition_scrub::gather_evidence() {
    if (report_->has_checkpoint) {
        raise_evidence(checkpoint_.durable_offset, evidence_source::checkpoint, path_of("checkpoint"), format::slot_position(checkpoint_.sequence));
    }
    for (const auto& link : chain_) {
        if (link.scan.report.is_readable) {
            raise_evidence(link.summary.has_footer ? link.summary.footer.end_offset : 0, evidence_source::footer, link.path, format::footer_at);
            raise_evidence(link.scan.evidence, evidence_source::frame, link.path, link.scan.evidence_at);
        }
    }
}

BROOK_INLINE void partition_scrub::forget_deleted() {
    const auto begins_at_or_below = [&](const chain_link& link) { return link.base <= report_->log_start_offset; };
    while (chain_.size() > 1 && begins_at_or_below(chain_[1])) {
        chain_.erase(chain_.begin());
    }
    std::erase_if(missing_, [&](offset base) { return base < report_->log_start_offset; });
}

BROOK_INLINE void partition_scrub::look_again() {
    read_checkpoint();
    forget_deleted();
    scrub_rules again;
    again.deep = rules_.deep;
    for (std::size_t i = 0; i < chain_.size(); ++i) {
        chain_link& link = chain_[i];
        if (!std::exchange(link.is_doubtful, false)) {
            continue;
        }
        const auto unread = std::find_if(link.scan.breaks.begin(), link.scan.breaks.end(), [](const log_break& b) { return b.what == log_break::kind::unreadable; });
        std::optional<log_break> first = unread == link.scan.breaks.end() ? std::nullopt : std::optional{*unread};
        if (!first && link.problem && link.problem.code.category() == std::system_category() && link.problem.code != std::errc::no_such_file_or_directory) {
            first = log_break{log_break::kind::unreadable, 0, format::segment_header_size, 0, std::nullopt, 0, link.problem.text};
        }
        const bool is_deep = link.scan.report.is_walked || (rules_.deep && !link.scan.report.is_readable);
        scan(link, is_deep, again);
        follow_compaction(i, is_deep, again);
        const bool is_still = link.problem || std::any_of(link.scan.breaks.begin(), link.scan.breaks.end(),
                                                          [](const log_break& b) { return b.what == log_break::kind::unreadable; });
        link.unread = is_still ? std::nullopt : first;
    }
    for (const offset base : std::exchange(missing_, {})) {
        if (!find_segment(base)) {
            add_link(base, log_path(base));
        }
        const auto link = std::find_if(chain_.begin(), chain_.end(), [&](const chain_link& one) { return one.base == base; });
        const auto i = static_cast<std::size_t>(link - chain_.begin());
        scan(*link, rules_.deep, again);
        follow_compaction(i, rules_.deep, again);
        if (chain_[i].problem.code == std::errc::no_such_file_or_directory) {
            chain_.erase(chain_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    while (chain_.size() > 1 && chain_.back().problem.code == std::errc::no_such_file_or_directory) {
        chain_.pop_back();  // it was listed, so that it has been cut meanwhile, and what told of it told of nothing more
        report_->durable_offset = std::min(report_->durable_offset, offset{checkpoint_.durable_offset});
    }
}

BROOK_INLINE std::vector<finding> partition_scrub::judge() {
    findings_.clear();
    has_doubts_ = false;
    cut_.reset();
    tail_end_ = 0;
    if (is_being_cut()) {
        say(severity::note, path_of("checkpoint"), "the log is being cut at offset " + std::to_string(checkpoint_.cut_to()) +
                                                       ": a broker is at it, or was killed, and then the next open brings it to its end. What comes behind is to go");
        if (is_to_go(report_->log_start_offset)) {
            report_->end_offset = report_->log_start_offset;  // it begins anew
            return std::move(findings_);
        }
    }
    if (chain_.empty()) {
        if (report_->has_checkpoint) {
            say(severity::damage, path_, "has a checkpoint and no segment. Restore the .log files from a copy", 0, 0, report_->log_start_offset,
                report_->durable_offset);
        } else if (!has_stopped_) {
            say(severity::note, path_, "holds no segment: nothing was ever appended, or all of its files are gone");
        }
        return std::move(findings_);
    }
    offset expected = report_->log_start_offset;
    if (chain_.front().base < expected) {
        expected = chain_.front().base;
    }
    for (std::size_t i = 0; i < chain_.size() && (i == 0 || chain_[i].base == checkpoint_.cut_to() || !is_to_go(chain_[i].base)); ++i) {
        judge_link(i, expected);
    }
    const segment_report& last = chain_.back().scan.report;
    if (!cut_ && !has_stopped_ && (last.is_walked || !last.is_readable) && report_->durable_offset > expected) {
        chain_.back().is_doubtful = true;
        has_doubts_ = true;
        say(severity::damage, chain_.back().path,
            "everything below offset " + std::to_string(report_->durable_offset) + " was on the disk (" + evidence_text() + "), and these records are in no file. " + advice,
            last.used_bytes, last.file_bytes, expected, report_->durable_offset);
    }
    report_->end_offset = cut_ ? *cut_ : std::max(expected, report_->durable_offset);
    report_->end_offset = is_to_go(report_->end_offset) ? checkpoint_.cut_to() : report_->end_offset;
    if (cut_) {
        tell_tail(expected);
    }
    return std::move(findings_);
}

BROOK_INLINE void partition_scrub::judge_link(std::size_t i, offset& expected) {
    chain_link& link = chain_[i];
    const bool has_next = i + 1 < chain_.size() && (!is_to_go(chain_[i + 1].base) || chain_[i + 1].base == checkpoint_.cut_to());
    const std::optional<offset> next_base = has_next ? std::optional{chain_[i + 1].base} : std::nullopt;
    if (!cut_ && link.base > expected) {
        missing_.push_back(expected);
        has_doubts_ = true;
        say(severity::damage, log_path(expected), "a segment is missing here. Restore it from a copy; without it these records are lost", 0, 0, expected, link.base);
    }
    if (!cut_ && link.base < expected) {
        doubt(link);
        say(severity::damage, link.path, "begins before offset " + std::to_string(expected) + ", where the segment before it ends: one of them is a stranger. Move it away", 0,
            0, link.base, expected);
    }
    if (!link.scan.report.is_readable) {
        doubt(link);
        const offset last = next_base ? *next_base : std::max(link.base, report_->durable_offset);
        say(severity::damage, link.path, link.problem.text + (next_base ? "" : ". It is the newest: until then the topic does not open"), 0,
            format::segment_header_size, link.base, last);
        expected = std::max(expected, last);
        return;
    }
    const segment_report& told = link.scan.report;
    if (!told.is_walked) {
        expected = std::max(expected, told.has_footer ? told.end_offset : next_base ? *next_base : link.base);
        if (told.has_footer && told.used_bytes > told.file_bytes) {
            doubt(link);
            say(severity::damage, link.path, "its footer says that it has " + std::to_string(told.used_bytes) + " bytes. It was cut short; restore it from a copy",
                told.file_bytes, told.used_bytes, link.base, told.end_offset);
        }
        return;
    }
    bool ends_in_damage = false;
    for (const auto& here : link.scan.breaks) {
        ends_in_damage = judge_break(link, here, next_base);
    }
    if (link.scan.is_given_up && !cut_) {
        say(severity::damage, link.path, "so much of it is damaged that the rest was not looked at. Restore it from a copy", told.used_bytes, told.file_bytes);
        ends_in_damage = true;
    }
    if (!told.is_sealed && next_base && !cut_ && !ends_in_damage && !link.scan.has_stopped) {
        judge_open_end(link, *next_base);
    }
    expected = std::max(expected, next_base && !told.is_sealed && !cut_ ? *next_base : told.end_offset);
    if (!next_base && ends_in_damage && !cut_) {
        expected = std::max(expected + 1, report_->durable_offset);  // how many there were is not known
    }
}

BROOK_INLINE bool partition_scrub::judge_break(chain_link& link, const log_break& here, std::optional<offset> next_base) {
    using kind = log_break::kind;
    if (is_to_go(here.first)) {
        return false;
    }
    const bool is_durable = report_->durable_offset > here.first;
    const offset last = here.last ? *here.last : next_base ? *next_base : std::max(here.first + 1, report_->durable_offset);
    const bool is_sure = here.what == kind::unreadable || here.what == kind::malformed;
    if (is_sure || (!cut_ && (here.what == kind::corrupt ? link.scan.report.is_of_this_boot || is_durable : here.what == kind::gap && is_durable))) {
        doubt(link);
        say(severity::damage, link.path, damage_text(here), here.begin, here.end, here.first, last);
        return !here.last;
    }
    if (cut_) {
        return false;
    }
    if (!link.scan.report.is_of_this_boot) {
        if (here.what != kind::open_claims || !is_durable) {  // else the end of the chain tells of it
            cut(link, here.begin, here.first);
        }
    } else if (here.what == kind::gap) {
        say(severity::note, link.path, "claims that have not been published, before records that have: a producer is at work, or was killed, and then the next open fills the gap",
            here.begin, here.end, here.first, last);
    } else if (!next_base) {
        say(severity::note, link.path, "claims that have not been published: a producer is at work, or was killed, and then the next open erases them", here.begin, here.end,
            here.first, here.first);
    }
    return false;
}

BROOK_INLINE std::string partition_scrub::damage_text(const log_break& here) {
    switch (here.what) {
        case log_break::kind::gap: return std::string{"records were here, on the disk, and nothing is left of them. "} + advice;
        case log_break::kind::unreadable: return here.why + ". See to the disk; " + lower_advice;
        case log_break::kind::malformed: return "a frame verifies, and contradicts itself: " + here.why + ". It was not written by this version of brook";
        case log_break::kind::corrupt:
        case log_break::kind::open_claims: break;
    }
    return "what stands here is not what was written; " +
           (here.last ? "intact again from offset " + std::to_string(*here.last) + " on. " : std::string{"nothing intact follows in this file. "}) + advice;
}

BROOK_INLINE void partition_scrub::judge_open_end(chain_link& link, offset next_base) {
    const segment_report& told = link.scan.report;
    if (told.is_of_this_boot || told.has_footer || report_->durable_offset > told.end_offset) {
        doubt(link);
        say(severity::damage, link.path,
            told.end_offset < next_base ? std::string{"ends early: the next segment begins with a later offset. "} + advice
                                        : std::string{"the seal that ends it is not there; no record is missing. Nothing has to be done but to look at the disk"},
            told.used_bytes, told.file_bytes, told.end_offset, next_base);
    } else {
        cut(link, told.used_bytes, told.end_offset);
    }
}

BROOK_INLINE void partition_scrub::doubt(chain_link& link) noexcept {
    link.is_doubtful = true;
    has_doubts_ = true;
}

BROOK_INLINE void partition_scrub::cut(const chain_link& link, std::uint64_t at, offset end) {
    cut_ = end;
    cut_at_ = at;
    cut_file_ = link.path;
    tail_end_ = link.scan.report.file_bytes;
}

BROOK_INLINE void partition_scrub::tell_tail(offset seen_end) {
    std::string text = "written in another boot, not durable, and not whole from here on: the next open ends the log here";
    if (seen_end > *cut_) {
        text += ". Offsets from here on that are intact are kept in *.quarantine, and not in the log";
    }
    say(severity::tail, cut_file_, text + ". If this is a copy, copy it again while no broker has it open", cut_at_, tail_end_, *cut_, std::max(seen_end, *cut_));
}

BROOK_INLINE void partition_scrub::say(severity how_bad, std::string file, const std::string& text, std::uint64_t begin, std::uint64_t end,
                                       offset first, offset last) {
    findings_.push_back(make(how_bad, std::move(file), name_.text() + ": " + text, begin, end, first, last));
}

BROOK_INLINE std::string partition_scrub::evidence_text() const {
    switch (report_->durable_by) {
        case evidence_source::checkpoint: return "the checkpoint says so";
        case evidence_source::footer: return "the footer of " + report_->durable_file + " says so";
        case evidence_source::frame: return "the evidence frame at position " + std::to_string(report_->durable_at) + " of " + report_->durable_file + " says so";
        case evidence_source::none: break;
    }
    return "nothing says so";
}

BROOK_INLINE void partition_scrub::tell_of_trifles() {
    for (const auto& link : chain_) {
        const segment_report& told = link.scan.report;
        if (told.wrong_index_slots > 0) {
            const std::string index = link.path.substr(0, link.path.size() - 4) + ".index";
            tell(severity::note, index, std::to_string(told.wrong_index_slots) + " of " + std::to_string(told.index_slots) +
                                            " slots point elsewhere than the frames are. Harmless, since readers check them; with the broker closed the file may be removed",
                 link.scan.first_wrong_slot, link.scan.first_wrong_slot + sizeof(index_slot));
        }
        if (told.is_readable && !link.summary.has_writer) {
            tell(severity::note, link.path, "who wrote it last does not verify: the next open takes it as written in another boot", format::writer_at,
                 format::writer_at + sizeof(format::segment_writer));
        }
        if (told.is_readable && link.has_broken_footer) {
            tell(severity::note, link.path, "its footer does not verify, and is not needed: its frames tell the same", format::footer_at,
                 format::footer_at + sizeof(format::segment_footer));
        }
        if (told.undecoded_batches > 0) {
            tell(severity::note, link.path, (told.undecoded_batches == 1 ? "a compressed batch is intact by its checksum, and its records were" :
                                             std::to_string(told.undecoded_batches) + " compressed batches are intact by their checksums, and their records were") +
                                                std::string{" not looked at: "} + format::missing_codec_text(link.scan.undecoded_codec),
                 link.scan.first_undecoded, link.scan.first_undecoded_end);
        }
        const auto& failed = link.scan.healed;
        if (failed || link.unread) {
            tell(severity::note, link.path, "a read failed (" + (failed ? failed->code.message() : link.unread->why) + ") and went well when it was repeated. See to the disk",
                 failed ? failed->begin : link.unread->begin, failed ? failed->end : link.unread->end);
        }
    }
    for (const auto& name : report_->quarantined) {
        tell(severity::note, path_of(name), "was put aside by an earlier open: what it cut, or did not understand. Nobody reads it; remove it when you have looked");
    }
    for (const auto& name : report_->strangers) {
        tell(severity::note, path_of(name), "is not brook's, and is left alone");
    }
}

}  // namespace brook::inline BROOK_ABI::storage
