/// \file fault/power_oracle.hpp
/// What a partition must hold when the power comes back, and what the report of its recovery must say.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/error.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/log.hpp>

#include "fault/crash_oracle.hpp"
#include "support/disguised_record.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

inline constexpr const char* lone_partition = "/p";

/// A disk with an empty directory for a partition, which is durable.
[[nodiscard]] inline disk_state disk_with_partition() {
    powerless_platform machine{disk_state{}};
    if (machine.make_directory(lone_partition) || machine.sync_directory("/")) {
        throw error{errc::invalid_config, "the simulated disk does not work"};
    }
    return machine.look();
}

/// What became of an offset.
struct sent_slot {
    enum class kind { record, filler, open, in_flight };
    kind what = kind::open;  ///< open: claimed, and not published; in flight: being appended by another thread
    disguised_record record;
};
using sent_slots = std::vector<sent_slot>;

/// What the users of a log know at the moment of a crash.
struct log_knowledge {
    std::shared_ptr<const sent_slots> slots;  ///< by offset, those of calls in flight included
    offset durable = 0;                       ///< all below was told to be durable
    offset returned = 0;                      ///< all below that was published was told to be appended
    std::uint32_t epoch = 0;                  ///< the largest that a record had
};

/// A crash, and what led to it.
struct log_crash {
    disk_state disk;
    log_knowledge known;
    bool power_has_gone = false;  ///< since those who know were alive
    bool was_killed = false;      ///< so that gaps may have been filled
    bool must_raise = false;      ///< a recovery before this one has begun to cut
    bool is_repeated = false;     ///< a recovery before this one has begun
};

/// Counts what the campaign met.
struct power_figures {
    std::uint64_t states = 0;      ///< disks that were recovered and judged
    std::uint64_t distinct = 0;    ///< of them, at depth 1, no two the same
    std::uint64_t nested = 0;      ///< of them, crashes inside a recovery
    std::uint64_t further = 0;     ///< of them, crashes after a recovery
    std::uint64_t repeated = 0;    ///< disks that had been judged before
    std::uint64_t kills = 0;       ///< without a loss of power
    std::uint64_t cuts = 0;
    std::uint64_t moved_segments = 0;
    std::uint64_t doubted = 0;     ///< segments that went on in new files
    std::uint64_t filled = 0;
    std::uint64_t erased = 0;
    std::uint64_t lost_acks = 0;   ///< records that were appended, not durable, and lost: allowed
    std::uint64_t torn = 0;
    std::uint64_t garbage = 0;
    std::uint64_t rot = 0;
    std::uint64_t rot_kept = 0;
    std::uint64_t failed_syncs = 0;
    std::uint64_t spares = 0;
};

/// Opens what a crash left and holds it against what is known; crashes the recovery and what comes after it, too.
class log_oracle {
public:
    log_oracle(storage::log_options options, power_figures& figures) : options_{options}, figures_{figures} {}

    /// What is wrong; empty: nothing. The seed decides what is tried beyond the first recovery, `depth` how far that goes.
    [[nodiscard]] std::string judge(const log_crash& crashed, std::uint64_t seed, unsigned depth) {
        seeded random{seed};
        return judge(crashed, random, depth);
    }

    /// One record below the durable offset is damaged besides.
    [[nodiscard]] std::string judge_rot(const log_crash& crashed, std::uint64_t seed) {
        seeded random{seed};
        return examine_rot(crashed, random);
    }

private:
    /// A log that dies need not tidy up.
    struct unplugging {
        powerless_platform& machine;
        ~unplugging() { machine.unplug(); }
    };

    [[nodiscard]] std::string judge(const log_crash& crashed, seeded& random, unsigned depth) {
        ++figures_.states;
        figures_.kills += crashed.power_has_gone ? 0 : 1;
        before_ = crashed.known.slots;
        powerless_platform machine{crashed.disk};
        std::optional<disk_state> inside;
        if (depth > 0) {
            machine.on_call([&inside, left = random.below(16)](auto& held, const char*) mutable {
                if (left-- == 0) {
                    inside = held.state();
                }
            });
            if (random.one_in(10)) {
                machine.fail_sync(1 + random.below(3));
            }
            if (random.one_in(20)) {
                machine.fail_directory_sync(1 + random.below(3));
            }
        }
        std::string problem;
        log_crash next = crashed;
        next.is_repeated = true;
        {
            const open_partition log{machine, lone_partition, options_};
            const unplugging at_the_end{machine};
            machine.on_call(nullptr);
            machine.fail_sync(0);
            machine.fail_directory_sync(0);
            if (const auto failed = machine.failed_syncs(); failed != 0) {
                figures_.failed_syncs += failed;
                next.disk = machine.look();
                ++figures_.nested;
                return prefixed("again after a sync failed in a recovery: ", judge(next, random, depth - 1));  // in the same boot
            }
            if (!log) {
                return "open: " + log.why.text;
            }
            problem = examine(machine, *log, crashed, next);
            if (problem.empty()) {
                problem = go_on(machine, *log, next, random);
            }
        }
        if (problem.empty()) {
            problem = machine.misuse();
        }
        if (problem.empty() && inside) {
            log_crash nested = crashed;
            nested.disk = std::move(*inside);
            nested.is_repeated = true;
            nested.must_raise = next.must_raise;
            problem = crash_again(nested, random, depth - 1, "inside a recovery: ", figures_.nested);
        }
        return problem;
    }

    /// A kill, and losses of power, at a moment of which the disk is known.
    [[nodiscard]] std::string crash_again(log_crash& at, seeded& random, unsigned depth, const char* where, std::uint64_t& count) {
        const bool is_killed = random.one_in(3);
        std::string problem;
        if (is_killed) {
            at.was_killed |= !at.power_has_gone;
            ++count;
            problem = judge(at, random, depth);
        } else {
            const loss_of_power loss{at.disk};
            log_crash lost = at;
            lost.disk = loss.decide(random_choice(loss, random, figures_));
            lost.power_has_gone = true;
            ++count;
            problem = judge(lost, random, depth);
        }
        return problem.empty() ? problem : where + std::string{is_killed ? "killed: " : "power lost: "} + problem;
    }

public:
    /// Anything possible; the more likely, the more extreme.
    [[nodiscard]] static crash_choice random_choice(const loss_of_power& loss, seeded& random, power_figures& figures) {
        crash_choice choice;
        const std::uint64_t chance = random.below(5);  // of 4: how much arrives
        for (const auto& thing : loss.things()) {
            const bool arrives = random.below(4) < chance;
            const bool is_newest = random.one_in(2);
            choice.options.push_back(!arrives ? std::uint16_t{0}
                                     : is_newest ? static_cast<std::uint16_t>(thing.options() - 1)
                                                 : static_cast<std::uint16_t>(random.below(thing.options())));
        }
        if (random.one_in(3)) {
            choice.tear = random.next();
            choice.has_garbage = random.one_in(2);
            ++figures.torn;
            figures.garbage += choice.has_garbage ? 1 : 0;
        }
        return choice;
    }

private:
    /// Records, offsets, report: everything that one opening shows.
    [[nodiscard]] std::string examine(powerless_platform& machine, storage::log& log, const log_crash& crashed, log_crash& next) {
        const recovery_report& report = log.report();
        if (!report.damages.empty()) {
            const damage& told = report.damages.front();
            return "damage where nothing was damaged: " + told.file + ", bytes " + std::to_string(told.begin) + " to " + std::to_string(told.end) +
                   ", offsets " + std::to_string(told.first) + " to " + std::to_string(told.last);
        }
        const offset end = log.log_end_offset();
        if (log.durable_offset() > end) {
            return "durable up to offset " + std::to_string(log.durable_offset()) + ", and the log ends at " + std::to_string(end);
        }
        failure why;
        read_all(log, found_, why);
        if (why) {
            return "read: " + why.text;
        }
        if (std::string problem = compare(found_, end, crashed); !problem.empty()) {
            return problem;
        }
        next.disk = machine.look();
        const auto& slots = *crashed.known.slots;
        const auto settled = std::make_shared<sent_slots>(slots.begin(), slots.begin() + end);
        bool has_gaps = false;
        auto present = found_.begin();
        for (offset at = 0; at < end; ++at) {
            sent_slot& slot = (*settled)[static_cast<std::size_t>(at)];
            const bool is_there = present != found_.end() && present->at == at;
            present += is_there ? 1 : 0;
            has_gaps |= !is_there && slot.what != sent_slot::kind::filler;
            slot.what = is_there ? sent_slot::kind::record : sent_slot::kind::filler;
        }
        if (std::string problem = check_report(crashed, next.disk, report, has_gaps); !problem.empty()) {
            return problem;
        }
        const bool is_cut = report.cut_bytes != 0 || std::any_of(report.quarantined.begin(), report.quarantined.end(), [](const auto& path) {
            return path.find("spare") == std::string::npos;
        });
        figures_.cuts += report.cut_bytes != 0 ? 1 : 0;
        figures_.moved_segments += is_cut && report.cut_bytes == 0 ? 1 : 0;
        figures_.doubted += report.moved_segments;
        figures_.filled += report.filled_gaps;
        figures_.erased += report.erased_bytes != 0 ? 1 : 0;
        next.must_raise = crashed.must_raise || is_cut;
        figures_.lost_acks += end < crashed.known.returned ? static_cast<std::uint64_t>(crashed.known.returned - end) : 0;
        next.known.slots = settled;
        next.known.durable = std::max(crashed.known.durable, log.durable_offset());
        next.known.returned = end;
        return {};
    }

    /// Checks 1 to 4: what is durable is there; what is there is a prefix of what was sent, each at its offset.
    [[nodiscard]] static std::string compare(const std::vector<found_record>& found, offset end, const log_crash& crashed) {
        const log_knowledge& known = crashed.known;
        const sent_slots& slots = *known.slots;
        if (end < known.durable) {
            return "the log ends at offset " + std::to_string(end) + ", and " + std::to_string(known.durable) + " was durable";
        }
        if (!crashed.power_has_gone && end < known.returned) {
            return "the log ends at offset " + std::to_string(end) + " after a kill, and " + std::to_string(known.returned) + " was appended";
        }
        if (end > static_cast<offset>(slots.size())) {
            return "the log ends at offset " + std::to_string(end) + ", and no more than " + std::to_string(slots.size()) + " were ever claimed";
        }
        auto next = found.begin();
        for (offset at = 0; at < end; ++at) {
            const sent_slot& slot = slots[static_cast<std::size_t>(at)];
            if (slot.what == sent_slot::kind::open && crashed.power_has_gone && !crashed.was_killed) {
                return "the log goes on behind offset " + std::to_string(at) + ", which was never published";
            }
            const bool may_be_missing = slot.what == sent_slot::kind::in_flight && (!crashed.power_has_gone || crashed.was_killed);
            if (slot.what == sent_slot::kind::filler || slot.what == sent_slot::kind::open ||
                (may_be_missing && (next == found.end() || next->at != at))) {
                continue;
            }
            if (next == found.end() || next->at != at) {
                return "offset " + std::to_string(at) + " is not there, and the log ends at " + std::to_string(end);
            }
            if (!(next->record == slot.record)) {
                return "offset " + std::to_string(at) + " holds record " + text(next->record) + ", and " + text(slot.record) + " was sent";
            }
            ++next;
        }
        return next == found.end() ? "" : "offset " + std::to_string(next->at) + " holds what was not sent there: " + text(next->record);
    }

    [[nodiscard]] static std::string text(const disguised_record& record) {
        return std::to_string(record.sequence) + " of life " + std::to_string(record.generation);
    }

    // ---- check 7 ----

    struct file_image {
        std::string name;
        const disk_node* node;
    };
    [[nodiscard]] static std::vector<file_image> files_of(const disk_state& disk) {
        std::vector<file_image> files;
        if (const auto directory = disk.find(lone_partition)) {
            for (const auto& entry : disk.nodes[*directory].entries.all()) {
                files.push_back({name_table::name_of(entry.name), &disk.nodes[entry.node]});
            }
        }
        return files;
    }
    [[nodiscard]] static const file_image* find(const std::vector<file_image>& files, std::string_view name) {
        const auto at = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.name == name; });
        return at == files.end() ? nullptr : &*at;
    }
    [[nodiscard]] static bool same(const disk_node& one, const disk_node& other) {
        const std::size_t pages = std::max(one.pages.size(), other.pages.size());
        for (std::size_t page = 0; page < pages; ++page) {
            const auto hash = [page](const disk_node& of) { return page < of.pages.size() ? hash_of(of.pages[page].last) : 0; };
            if (hash(one) != hash(other)) {
                return false;
            }
        }
        return one.size == other.size;
    }
    [[nodiscard]] static std::vector<std::byte> bytes_in(const disk_node& file) {
        std::vector<std::byte> raw(static_cast<std::size_t>(file.size));
        for (std::size_t page = 0; page < file.pages.size() && page * disk_page < raw.size(); ++page) {
            std::memcpy(raw.data() + page * disk_page, bytes_of(file.pages[page].last), std::min(disk_page, raw.size() - page * disk_page));
        }
        return raw;
    }
    [[nodiscard]] static std::size_t frames_end(const std::vector<std::byte>& segment) {
        std::size_t at = format::segment_header_size;
        while (at + format::frame_header_size <= segment.size() && format::frame_word{load<std::uint64_t>(segment.data() + at)}.is_published()) {
            at += format::frame_word{load<std::uint64_t>(segment.data() + at)}.length();
        }
        return at;
    }
    /// Behind the last frame that verifies, wherever it stands.
    [[nodiscard]] static std::size_t verified_end(const std::vector<std::byte>& segment, std::size_t from) {
        const std::uint64_t seed = load<format::segment_birth>(segment.data()).seed;
        const auto size = static_cast<position>(segment.size());
        std::size_t end = from;
        for (std::size_t at = from; at + format::frame_header_size <= segment.size(); at += format::frame_alignment) {
            if (load<std::uint64_t>(segment.data() + at) != 0 && format::verifies(seed, static_cast<position>(at), size, segment.data() + at)) {
                end = std::max(end, at + format::frame_word{load<std::uint64_t>(segment.data() + at)}.length());
            }
        }
        return end;
    }
    [[nodiscard]] static std::size_t dirty_end(const std::vector<std::byte>& segment, std::size_t from) {
        std::size_t end = from;
        for (std::size_t at = from; at + 8 <= segment.size(); at += 8) {
            end = load<std::uint64_t>(segment.data() + at) != 0 ? at + 8 : end;
        }
        return end;
    }

    [[nodiscard]] static std::string check_report(const log_crash& crashed, const disk_state& after_disk, const recovery_report& report, bool has_gaps) {
        const auto before = files_of(crashed.disk);
        const auto after = files_of(after_disk);
        std::set<std::string> told;
        for (const auto& path : report.quarantined) {
            const std::string name = path.substr(path.rfind('/') + 1);
            if (find(after, name) == nullptr) {
                return "the report names " + name + ", which is not there";
            }
            told.insert(name);
        }
        bool had_segments = false;
        std::uint64_t cut = 0;
        bool has_erased = false;
        std::uint64_t replaced = 0;
        for (const auto& file : before) {
            const file_image* now = find(after, file.name);
            if (file.name.ends_with(".quarantine") && (now == nullptr || !same(*file.node, *now->node))) {
                return file.name + " was kept for a person to look at, and is not what it was";
            }
            if (file.name == "spare.log") {  // put aside, named, or not used and gone
                const auto named = std::find_if(after.begin(), after.end(), [&](const auto& other) {
                    return other.name.ends_with(".log") && other.node->inode == file.node->inode;
                });
                now = named == after.end() ? nullptr : &*named;
                if (now == nullptr) {
                    continue;
                }
            } else if (!file.name.ends_with(".log")) {
                continue;
            }
            had_segments = true;
            const bool is_replaced = now != nullptr && now->node->inode != file.node->inode && replaced < report.moved_segments;
            replaced += is_replaced ? 1 : 0;
            if (now == nullptr || (now->node->inode != file.node->inode && !is_replaced)) {
                const bool is_kept = std::any_of(after.begin(), after.end(), [&](const auto& other) {
                    return other.name.ends_with(".quarantine") && told.contains(other.name) && other.node->inode == file.node->inode && same(*file.node, *other.node);
                });
                if (!is_kept) {
                    return file.name + " is gone, and the report does not name it";
                }
                continue;
            }
            if (same(*file.node, *now->node)) {
                continue;
            }
            const auto old_bytes = bytes_in(*file.node);
            const auto new_bytes = bytes_in(*now->node);
            const std::size_t log_end = std::min(frames_end(new_bytes), old_bytes.size());
            const std::size_t old_end = dirty_end(old_bytes, log_end);
            if (old_end == log_end || dirty_end(new_bytes, log_end) != log_end) {
                continue;
            }
            has_erased = true;
            cut += old_end - log_end;
            if (std::string problem = check_kept(file.name, old_bytes, log_end, after, told, crashed); !problem.empty()) {
                return problem;
            }
        }
        for (const auto& file : after) {
            if (file.name.ends_with(".quarantine") && find(before, file.name) == nullptr && !told.contains(file.name)) {
                return file.name + " is new, and the report does not name it";
            }
            if (file.name.ends_with(".tmp")) {
                return file.name + " is left";
            }
            if (file.name.ends_with(".log") && file.name != "spare.log") {
                const auto now = bytes_in(*file.node);
                const std::size_t log_end = frames_end(now);
                // Behind a seal nobody looks: claims that a killed process never published may stand there.
                const bool is_sealed = log_end >= format::segment_header_size + format::frame_header_size &&
                                       format::word_of(format::load_header(now.data() + log_end - format::frame_header_size)).kind() == format::frame_kind::seal;
                if (dirty_end(now, log_end) != log_end && !is_sealed) {
                    return file.name + ": what stands behind the log's end is not erased";
                }
                if (verified_end(now, log_end) != log_end) {
                    return file.name + ": records stand behind the log's end";
                }
            }
        }
        if (crashed.power_has_gone && !crashed.is_repeated) {
            if (report.moved_segments != 0) {
                return "the report says that segments went on in new files, and what they show came from the disk";
            }
            if (had_segments != report.power_may_have_gone) {
                return "the report does not say that the power may have gone";
            }
            if (report.cut_bytes != cut) {
                return "the report says that " + std::to_string(report.cut_bytes) + " bytes were cut, and " + std::to_string(cut) + " were";
            }
            if (report.filled_gaps != 0 || report.erased_bytes != 0) {
                return "the report says that gaps of a killed process were mended";
            }
        }
        if (!crashed.power_has_gone && !crashed.is_repeated) {
            if (report.power_may_have_gone || report.cut_bytes != 0 || !told.empty()) {
                return "something was cut although the process was only killed";
            }
            if ((report.erased_bytes != 0) != has_erased) {
                return "the report says that " + std::to_string(report.erased_bytes) + " bytes were erased, and it was " + std::to_string(cut);
            }
            if ((report.filled_gaps != 0) != has_gaps) {
                return "the report says that " + std::to_string(report.filled_gaps) + " gaps were filled";
            }
        }
        return {};
    }

    /// What was cut and verifies is kept aside, byte for byte.
    [[nodiscard]] static std::string check_kept(const std::string& name, const std::vector<std::byte>& segment, std::size_t log_end,
                                                const std::vector<file_image>& after, const std::set<std::string>& told, const log_crash& crashed) {
        const std::size_t kept_end = verified_end(segment, log_end);
        if (kept_end == log_end || !crashed.power_has_gone) {
            return {};
        }
        const bool is_kept = std::any_of(after.begin(), after.end(), [&](const auto& file) {
            if (!told.contains(file.name) || file.node->size != kept_end - log_end) {
                return false;
            }
            const auto copy = bytes_in(*file.node);
            return std::equal(copy.begin(), copy.end(), segment.begin() + static_cast<std::ptrdiff_t>(log_end));
        });
        return is_kept ? "" : name + ": records from position " + std::to_string(log_end) + " on were cut, and not kept aside";
    }

    // ---- checks 5 and 6: what comes after a recovery ----

    [[nodiscard]] std::string go_on(powerless_platform& machine, storage::log& log, log_crash& recovered, seeded& random) {
        const unsigned way = static_cast<unsigned>(random.below(4));
        if (way == 0 || (way == 1 && recovered.power_has_gone)) {
            if (std::string problem = recover_twice(recovered, way == 1, random); !problem.empty()) {
                return problem;
            }
        }
        const auto slots = std::make_shared<sent_slots>(*recovered.known.slots);
        recovered.known.slots = slots;
        const sent_slots& old = *before_;
        const std::uint32_t generation = 1 + (old.empty() ? 0 : old.back().record.generation) % 60'000;
        const auto count = 1 + random.below(3);
        failure why;
        for (std::uint64_t i = 0; i < count; ++i) {
            // As large as what was there before: then what came after that one stands where this one's successor would.
            const std::size_t at = slots->size();
            const std::uint32_t size = at < old.size() && old[at].what == sent_slot::kind::record ? old[at].record.size : static_cast<std::uint32_t>(random.below(200));
            const disguised_record record{static_cast<std::uint32_t>(at), 9, generation, size};
            const offset given = append_lone(log, record, why);
            if (given != static_cast<offset>(at)) {
                return "append after the crash: at offset " + std::to_string(given) + ", the end was " + std::to_string(at) + "; " + why.text;
            }
            slots->push_back({sent_slot::kind::record, record});
        }
        read_all(log, found_, why);
        if (why || found_.empty() || found_.back().at != static_cast<offset>(slots->size()) - 1) {
            return "read after the crash: " + std::to_string(found_.size()) + " records; " + why.text;
        }
        if (recovered.must_raise && found_.back().epoch <= recovered.known.epoch) {
            return "records were cut, and the epoch is the same";
        }
        recovered.known.epoch = std::max(recovered.known.epoch, found_.back().epoch);
        recovered.known.returned = static_cast<offset>(slots->size());
        if (random.one_in(2)) {
            if (random.one_in(8)) {
                machine.fail_sync(1);
            }
            why = log.sync();
            figures_.failed_syncs += machine.failed_syncs();
            if (why.code != (machine.failed_syncs() != 0 ? make_error_code(errc::partition_failed) : std::error_code{})) {
                return "sync after the crash: " + why.text;
            }
            if (!why && log.durable_offset() != recovered.known.returned) {
                return "sync after the crash: durable up to " + std::to_string(log.durable_offset());
            }
        }
        if (random.one_in(4)) {
            why = log.roll();
        }
        recovered.known.durable = std::max(recovered.known.durable, log.durable_offset());
        recovered.disk = machine.look();
        recovered.power_has_gone = false;
        recovered.was_killed = false;
        recovered.is_repeated = false;
        recovered.must_raise = false;
        log_crash further = recovered;
        if (random.one_in(3)) {
            ++figures_.further;
            const std::string problem = judge_further(further);
            return problem.empty() ? problem : "after a recovery, killed: " + problem;
        }
        const loss_of_power loss{recovered.disk};
        further.disk = loss.decide(random_choice(loss, random, figures_));
        further.power_has_gone = true;
        ++figures_.further;
        const std::string problem = judge_further(further);
        return problem.empty() ? problem : "after a recovery, power lost: " + problem;
    }

    /// The last opening: it is examined, and nothing follows.
    [[nodiscard]] std::string judge_further(const log_crash& crashed) {
        ++figures_.states;
        powerless_platform machine{crashed.disk};
        const open_partition log{machine, lone_partition, options_};
        const unplugging at_the_end{machine};
        if (!log) {
            return "open: " + log.why.text;
        }
        log_crash next = crashed;
        return examine(machine, *log, crashed, next);
    }

    /// Nothing has happened since, so a second recovery finds the same, and nothing to do.
    [[nodiscard]] std::string recover_twice(const log_crash& recovered, bool power_goes, seeded& random) {
        ++figures_.states;
        ++figures_.further;
        log_crash again = recovered;
        again.known.returned = static_cast<offset>(recovered.known.slots->size());
        if (power_goes) {
            const loss_of_power loss{recovered.disk};
            crash_choice choice = random_choice(loss, random, figures_);
            choice.has_garbage = false;
            again.disk = loss.decide(choice);
        }
        powerless_platform machine{again.disk};
        const open_partition log{machine, lone_partition, options_};
        const unplugging at_the_end{machine};
        if (!log) {
            return "second open: " + log.why.text;
        }
        const std::vector<found_record> first = found_;
        const offset end = log->log_end_offset();
        log_crash next = again;
        const std::string problem = examine(machine, *log, again, next);
        if (!problem.empty()) {
            return "second open: " + problem;
        }
        const recovery_report& report = log->report();
        if (found_.size() != first.size() || end != again.known.returned) {
            return "second open: " + std::to_string(found_.size()) + " records up to offset " + std::to_string(end) + ", first there were " +
                   std::to_string(first.size()) + " up to " + std::to_string(again.known.returned);
        }
        if (report.cut_bytes + report.filled_gaps + report.erased_bytes != 0 || !report.quarantined.empty()) {
            return "second open: found more to mend";
        }
        return {};
    }

    // ---- rot ----

    [[nodiscard]] std::string examine_rot(const log_crash& crashed, seeded& random) {
        // A frame with records of which all are durable, in a segment as it was before the rot.
        disk_state disk = crashed.disk;
        struct place {
            std::uint32_t node;
            std::size_t at;
            std::size_t size;
            offset first;
            offset last;
        };
        std::vector<place> places;
        offset evidence = 0;
        const auto directory = disk.find(lone_partition);
        for (const auto& entry : disk.nodes[*directory].entries.all()) {
            const std::string& name = name_table::name_of(entry.name);
            const auto raw = disk.read(entry.node);
            if (name == "checkpoint") {
                const auto slot = format::newest_checkpoint(bytes{raw});
                evidence = std::max(evidence, slot ? slot->durable_offset : 0);
            }
            if (!name.ends_with(".log") || raw.size() < format::segment_header_size) {
                continue;
            }
            const std::uint64_t seed = load<format::segment_birth>(raw.data()).seed;
            const auto footer = load<format::segment_footer>(raw.data() + format::footer_at);
            evidence = std::max(evidence, format::verifies(footer, seed) ? footer.end_offset : 0);
            bool is_whole = true;
            for (std::size_t at = format::segment_header_size; at + format::frame_header_size <= raw.size();) {
                if (!format::verifies(seed, static_cast<position>(at), static_cast<position>(raw.size()), raw.data() + at)) {
                    is_whole = false;
                    at += format::frame_alignment;
                    continue;
                }
                const format::frame_header header = format::load_header(raw.data() + at);
                const format::frame_word word = format::word_of(header);
                if (word.kind() == format::frame_kind::evidence) {
                    evidence = std::max(evidence, header.base_timestamp);
                }
                const offset last = header.base_offset + format::offsets_taken(header, raw.data() + at);
                if (is_whole && word.kind() == format::frame_kind::data && last <= crashed.known.durable) {
                    places.push_back({entry.node, at, word.size(), header.base_offset, last});
                }
                at += word.length();
            }
        }
        if (places.empty()) {
            return {};
        }
        const place bad = places[random.below(places.size())];
        const std::size_t byte = bad.at + random.below(bad.size);
        page_state& page = disk.nodes[bad.node].pages[byte / disk_page];
        auto raw = page.last->raw;
        raw[byte % disk_page] ^= std::byte{1} << static_cast<int>(random.below(8));
        page.last = page.durable = remember(raw.data());
        ++figures_.rot;
        ++figures_.states;

        powerless_platform machine{disk};
        const open_partition log{machine, lone_partition, options_};
        const unplugging at_the_end{machine};
        if (!log) {
            return "rot at offset " + std::to_string(bad.first) + ": open: " + log.why.text;
        }
        const std::string where = "rot at offset " + std::to_string(bad.first) + ", evidence up to " + std::to_string(evidence) + ": ";
        const offset end = log->log_end_offset();
        failure why;
        read_all(*log, found_, why);
        log_crash expected = crashed;
        if (evidence <= bad.first) {  // a torn write and this are the same to whoever looks
            expected.known.durable = bad.first;
            if (why) {
                return where + "read: " + why.text;
            }
            return prefixed(where, compare(found_, end, expected));
        }
        ++figures_.rot_kept;
        if (end < evidence) {
            return where + "the log was cut at offset " + std::to_string(end);
        }
        if (why.code != errc::corrupt_record) {
            return where + "reading it does not say so; " + why.text;
        }
        // Everything else is still there.
        const std::vector<found_record> front = found_;
        std::vector<found_record> rest;
        offset behind = bad.last;  // or where the report says: a gap that nobody ever filled may go with it
        for (const damage& told : log->report().damages) {
            behind = told.first <= bad.first && told.last > behind ? told.last : behind;
        }
        if (behind < end) {
            read_from(*log, behind, rest, why = {});
            if (why) {
                return where + "read behind it: " + why.text;
            }
        }
        std::vector<found_record> all = front;
        const sent_slots& slots = *crashed.known.slots;
        for (offset at = bad.first; at < std::min(behind, static_cast<offset>(slots.size())); ++at) {  // what was not durable, and did not arrive, cannot be told from it
            if (slots[static_cast<std::size_t>(at)].what == sent_slot::kind::record && (at < bad.last || at >= evidence)) {
                all.push_back({at, slots[static_cast<std::size_t>(at)].record, 0});
            }
        }
        all.insert(all.end(), rest.begin(), rest.end());
        expected.known.durable = evidence;
        expected.was_killed = true;
        // A bad frame may say that it took more offsets than it did: they are not given again.
        return prefixed(where, compare(all, std::min(end, static_cast<offset>(slots.size())), expected));
    }

    [[nodiscard]] static std::string prefixed(const std::string& where, const std::string& problem) {
        return problem.empty() ? problem : where + problem;
    }

    storage::log_options options_;
    power_figures& figures_;
    std::vector<found_record> found_;
    std::shared_ptr<const sent_slots> before_;  // what was sent before the crash, whatever has become of it
};

/// One more crash, a kill or a loss of power, of a store on a floor above the log, and what `judge` says of that.
template <class Crash, class Judge>
[[nodiscard]] std::string crash_again(Crash& at, seeded& random, const std::string& where, power_figures& figures, const Judge& judge) {
    const bool is_killed = random.one_in(3);
    if (!is_killed) {
        const disk_state before = std::move(at.disk);
        const loss_of_power loss{before};
        at.disk = loss.decide(log_oracle::random_choice(loss, random, figures));
        at.power_has_gone = true;
    }
    at.was_killed = true;
    const std::string problem = judge(at);
    return problem.empty() ? problem : where + (is_killed ? "killed: " : "power lost: ") + problem;
}

}  // namespace brook::test
