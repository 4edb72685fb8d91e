/// \file fault/history/checker.hpp
/// Whether a history is one that a replicated log can have. Source: Jepsen's Kafka workload (jepsen.tests.kafka), whose names for what is wrong
/// these are. Sends are answered with offsets, so that the order of all records is given: there is nothing to search, it is compared.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fault/history/operation.hpp"

namespace brook::test::history {

/// What was in a history, and what is wrong with it.
struct verdict {
    static constexpr std::size_t most_examples = 6;  ///< of one kind

    std::array<std::uint64_t, anomaly_count> anomalies{};
    std::vector<std::string> examples;

    std::array<std::uint64_t, 3> sends{}, sent_records{};  ///< by outcome
    std::array<std::uint64_t, 3> commits{};
    std::uint64_t reads = 0, read_records = 0, readers = 0, assignments = 0;
    std::uint64_t records = 0;           ///< that are there in the end
    std::uint64_t unknown_there = 0;     ///< of them those whose sends were never answered
    std::uint64_t full_readings = 0;     ///< of a partition, from 0 to its end, after everything had stopped
    std::int64_t worst_lag = 0;          ///< ns from an acknowledgement until anybody had read the record
    std::int64_t worst_reader_lag = 0;   ///< until a reader had that it was to come to: from when it was assigned, if that was later

    [[nodiscard]] std::uint64_t of(anomaly kind) const noexcept { return anomalies[static_cast<std::size_t>(kind)]; }
    [[nodiscard]] std::uint64_t all() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : anomalies) {
            sum += count;
        }
        return sum;
    }
};

/// Takes a history in, judges it once.
///
/// Threads   confined.
/// Cost      O(n log n) of runs, O(n) of records; some 40 bytes a record and 64 a run.
class checker {
public:
    /// Each actor's operations in their own order; those of different actors in any.
    /// Errors    std::invalid_argument: no history looks like that.
    void add(const operation& one) {
        switch (one.kind) {
            case operation_kind::none: break;
            case operation_kind::send: add_send(one); break;
            case operation_kind::assign:
            case operation_kind::revoke:
            case operation_kind::read:
            case operation_kind::finish: add_step(one); break;
            case operation_kind::commit: add_commit(one); break;
            case operation_kind::committed:
                if (one.outcome == outcome::ok) {
                    groups_[{one.group, one.partition}].points.push_back({one.invoke, one.complete, one.offset});
                }
                break;
            case operation_kind::lead: break;
        }
    }

    [[nodiscard]] verdict check() {
        place_acknowledged();
        mark_full_readings();
        place_read();
        judge_presence();
        judge_readers();
        judge_groups();
        judge_sends();
        return std::move(verdict_);
    }

private:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
    static constexpr std::uint64_t nowhere = ~std::uint64_t{0};
    static constexpr std::int64_t largest_offset = std::int64_t{1} << 31;  // beyond it is no offset that a run of minutes can give
    static constexpr std::uint8_t not_sent = 0xff;

    struct send_run {
        std::int64_t invoke, complete, offset;
        std::uint64_t number;
        std::uint32_t count;
        std::uint16_t partition;
        enum outcome outcome;
    };
    struct producer {
        std::vector<send_run> runs;          // by number
        std::vector<std::uint64_t> places;   // by number: partition and offset
        std::vector<std::uint8_t> outcomes;  // by number
    };
    struct step {
        operation_kind kind = operation_kind::none;
        bool is_full = false;
        std::uint16_t partition = 0;
        std::uint32_t count = 0;
        std::int64_t invoke = 0, complete = 0, offset = 0, limit = 0;
        std::uint64_t value = 0;
        std::uint32_t group = 0;
    };
    struct log {
        std::vector<std::uint64_t> values;       // by offset
        std::vector<std::int64_t> first_read;    // when
        std::vector<std::int64_t> acknowledged;  // when
        std::vector<std::uint8_t> flags;
        std::vector<std::uint32_t> present;      // how many are there below an offset
        std::int64_t highest_read = -1;
        std::int64_t full_end = 0;               // as far as somebody has read all of it in the end

        [[nodiscard]] std::uint32_t present_between(std::int64_t begin, std::int64_t end) const noexcept {
            const auto at = [&](std::int64_t offset) { return present[static_cast<std::size_t>(std::clamp<std::int64_t>(offset, 0, static_cast<std::int64_t>(present.size()) - 1))]; };
            return end > begin ? at(end) - at(begin) : 0;
        }
    };
    enum flag : std::uint8_t { is_acknowledged = 1, is_read = 2, is_fully_read = 4 };

    struct point {
        std::int64_t invoke, complete, offset;
    };
    struct span {
        std::int64_t begin, end;
    };
    struct group_home {
        std::vector<point> points;  // commits that were acknowledged, and what was told of them
        std::vector<span> read;
        std::int64_t lowest = never, highest = 0;
    };

    // ---- taking in ----

    void add_send(const operation& one) {
        producer& by = producers_[one.actor];
        const std::uint64_t number = number_of(one.value);
        if (actor_of(one.value) != one.actor || number < by.places.size() || one.count == 0) {
            throw std::invalid_argument{"a producer's numbers do not rise"};
        }
        by.places.resize(number + one.count, nowhere);
        by.outcomes.resize(number, not_sent);
        by.outcomes.resize(number + one.count, static_cast<std::uint8_t>(one.outcome));
        const bool is_ok = one.outcome == outcome::ok;
        by.runs.push_back({one.invoke, is_ok || one.outcome == outcome::fail ? one.complete : never, is_ok ? one.offset : -1, number, one.count, one.partition, one.outcome});
        ++verdict_.sends[static_cast<std::size_t>(one.outcome)];
        verdict_.sent_records[static_cast<std::size_t>(one.outcome)] += one.count;
    }

    void add_step(const operation& one) {
        std::vector<step>& steps = readers_[one.actor];
        steps.push_back({one.kind, false, one.partition, one.count, one.invoke, one.complete, one.offset, one.limit, one.value, one.group});
        if (one.kind == operation_kind::read) {
            ++verdict_.reads;
            verdict_.read_records += one.count;
        }
        verdict_.assignments += one.kind == operation_kind::assign ? 1u : 0u;
    }

    void add_commit(const operation& one) {
        ++verdict_.commits[static_cast<std::size_t>(one.outcome)];
        if (one.outcome == outcome::ok) {
            groups_[{one.group, one.partition}].points.push_back({one.invoke, one.complete, one.offset});
        }
    }

    // ---- where everything is ----

    void place_acknowledged() {
        for (auto& [actor, by] : producers_) {
            for (const send_run& run : by.runs) {
                for (std::uint32_t i = 0; run.outcome == outcome::ok && i < run.count; ++i) {
                    if (log* const in = place(run.partition, run.offset + i, value_of(actor, run.number + i), by)) {
                        in->flags[static_cast<std::size_t>(run.offset + i)] |= is_acknowledged;
                        in->acknowledged[static_cast<std::size_t>(run.offset + i)] = run.complete;
                    }
                }
            }
        }
    }

    /// Who has read a partition from 0 to its end, after everything had stopped, says what is there.
    void mark_full_readings() {
        for (auto& [actor, steps] : readers_) {
            std::map<std::uint16_t, std::size_t> begun;
            for (std::size_t i = 0; i < steps.size(); ++i) {
                step& one = steps[i];
                if (one.kind == operation_kind::assign) {
                    begun[one.partition] = i;
                } else if (one.kind == operation_kind::finish) {
                    if (const auto from = begun.find(one.partition); from != begun.end() && steps[from->second].offset == 0) {
                        steps[from->second].is_full = true;
                        log& in = log_of(one.partition);
                        in.full_end = std::max(in.full_end, one.offset);
                        ++verdict_.full_readings;
                    }
                }
            }
        }
    }

    void place_read() {
        verdict_.readers = readers_.size();
        for (auto& [actor, steps] : readers_) {
            std::map<std::uint16_t, step> assigned;
            for (const step& one : steps) {
                if (one.kind == operation_kind::assign) {
                    assigned[one.partition] = one;
                } else if (one.kind == operation_kind::read) {
                    place_read(one, assigned[one.partition]);
                }
            }
        }
    }

    void place_read(const step& one, const step& assigned) {
        const auto found = producers_.find(actor_of(one.value));
        for (std::uint32_t i = 0; i < one.count; ++i) {
            const std::uint64_t value = one.value + i;
            const std::int64_t offset = one.offset + i;
            producer* const by = found == producers_.end() ? nullptr : &found->second;
            const std::uint64_t number = number_of(value);
            if (by == nullptr || number >= by->outcomes.size() || by->outcomes[number] == not_sent) {
                say(anomaly::g1a, one.partition, offset, text_of(value) + " was read, and nobody has sent it");
                continue;
            }
            log* const in = place(one.partition, offset, value, *by);
            if (in == nullptr) {
                continue;
            }
            const auto at = static_cast<std::size_t>(offset);
            if (by->outcomes[number] == static_cast<std::uint8_t>(outcome::fail) && (in->flags[at] & is_read) == 0) {
                say(anomaly::g1a, one.partition, offset, text_of(value) + " was read, and its send has failed");
            }
            in->flags[at] |= static_cast<std::uint8_t>(is_read | (assigned.is_full ? is_fully_read : 0));
            in->first_read[at] = std::min(in->first_read[at], one.complete);
            if (in->acknowledged[at] != never && !assigned.is_full) {
                verdict_.worst_reader_lag = std::max(verdict_.worst_reader_lag, one.complete - std::max(in->acknowledged[at], assigned.complete));
            }
            in->highest_read = std::max(in->highest_read, offset);
        }
        if (one.limit >= 0 && one.offset + one.count > one.limit) {
            say(anomaly::read_above_hw, one.partition, one.offset, "read up to " + std::to_string(one.offset + one.count) + " when " + std::to_string(one.limit) + " was committed",
                static_cast<std::uint64_t>(one.offset + one.count - std::max(one.limit, one.offset)));
        }
    }

    /// Null: it contradicts what is known of the offset.
    [[nodiscard]] log* place(std::uint16_t partition, std::int64_t offset, std::uint64_t value, producer& by) {
        if (offset < 0 || offset >= largest_offset) {
            say(anomaly::inconsistent_offsets, partition, offset, text_of(value) + " has an offset that cannot be");
            return nullptr;
        }
        log& in = log_of(partition);
        const auto at = static_cast<std::size_t>(offset);
        if (at >= in.values.size()) {
            const std::size_t size = std::max(at + 1, in.values.size() + in.values.size() / 2);
            in.values.resize(size, no_value);
            in.first_read.resize(size, never);
            in.acknowledged.resize(size, never);
            in.flags.resize(size, 0);
        }
        if (in.values[at] != no_value && in.values[at] != value) {
            say(anomaly::inconsistent_offsets, partition, offset, text_of(value) + ", and " + text_of(in.values[at]));
            return nullptr;
        }
        in.values[at] = value;
        std::uint64_t& home = by.places[number_of(value)];
        const std::uint64_t here = std::uint64_t{partition} << 48 | static_cast<std::uint64_t>(offset);
        if (home == nowhere) {
            home = here;
        } else if (home != here && (in.flags[at] & is_read) == 0) {
            say(anomaly::duplicate, partition, offset, text_of(value) + " is at partition " + std::to_string(home >> 48) + ", offset " + std::to_string(home & ((std::uint64_t{1} << 48) - 1)) + ", too");
        }
        return &in;
    }

    // ---- judging ----

    void judge_presence() {
        for (auto& [partition, in] : logs_) {
            in.present.assign(in.values.size() + 1, 0);
            for (std::size_t at = 0; at < in.values.size(); ++at) {
                const auto offset = static_cast<std::int64_t>(at);
                const std::uint8_t flags = in.flags[at];
                const bool is_covered = offset < in.full_end;
                const bool is_there = is_covered ? (flags & is_fully_read) != 0 : flags != 0;
                in.present[at + 1] = in.present[at] + (is_there ? 1u : 0u);
                if (in.values[at] == no_value) {
                    continue;
                }
                if (is_there) {
                    ++verdict_.records;
                }
                if ((flags & is_acknowledged) != 0) {
                    const bool was_read = (flags & (in.full_end > 0 ? is_fully_read : is_read)) != 0;
                    if (!was_read && (is_covered || offset < in.highest_read)) {
                        say(anomaly::lost_write, partition, offset, text_of(in.values[at]) + " was acknowledged, and is not there");
                    } else if (!was_read) {
                        say(anomaly::unseen, partition, offset, text_of(in.values[at]) + " was acknowledged, and nobody has seen it in the end");
                    }
                } else if ((flags & is_read) != 0 && is_covered && !is_there) {
                    say(anomaly::read_above_hw, partition, offset, text_of(in.values[at]) + " was read, and is not there in the end");
                }
            }
        }
    }

    void judge_readers() {
        for (const auto& [actor, steps] : readers_) {
            std::map<std::uint16_t, std::int64_t> next;
            for (const step& one : steps) {
                const log& in = log_of(one.partition);
                const auto place = next.find(one.partition);
                switch (one.kind) {
                    case operation_kind::assign: {
                        next[one.partition] = one.offset;
                        if (one.group != 0) {
                            group_home& home = groups_[{one.group, one.partition}];
                            home.points.push_back({one.invoke, one.complete, one.offset});
                            home.lowest = std::min(home.lowest, one.offset);
                        }
                        break;
                    }
                    case operation_kind::revoke: next.erase(one.partition); break;
                    case operation_kind::read:
                        if (place != next.end() && one.offset < place->second) {
                            say(anomaly::nonmonotonic_poll, one.partition, one.offset, "given to reader " + std::to_string(actor) + ", which was at " + std::to_string(place->second));
                        } else if (place != next.end()) {
                            say_skipped(in, one.partition, place->second, one.offset, actor);
                        }
                        next[one.partition] = one.offset + one.count;
                        if (one.group != 0) {
                            groups_[{one.group, one.partition}].read.push_back({one.offset, one.offset + one.count});
                        }
                        break;
                    case operation_kind::finish:
                        if (place != next.end()) {
                            say_skipped(in, one.partition, place->second, one.offset, actor);
                        }
                        break;
                    default: break;
                }
            }
        }
    }

    void say_skipped(const log& in, std::uint16_t partition, std::int64_t from, std::int64_t to, std::uint32_t reader) {
        if (const std::uint32_t skipped = in.present_between(from, to); skipped != 0) {
            say(anomaly::poll_skip, partition, from, "reader " + std::to_string(reader) + " came from here to " + std::to_string(to) + " and passed over " + std::to_string(skipped), skipped);
        }
    }

    void judge_groups() {
        for (auto& [which, home] : groups_) {
            const std::uint32_t group = which.first;
            const std::uint16_t partition = which.second;
            std::vector<point>& points = home.points;
            for (const point& one : points) {
                home.highest = std::max(home.highest, one.offset);
            }
            sweep(points, [&](const point& one, std::int64_t before) {
                // Where no record is between them the group repeats nothing: a reader that has come to a leader's own record stands behind it.
                if (one.offset < before && log_of(partition).present_between(one.offset, before) != 0) {
                    say(anomaly::commit_regress, partition, one.offset, "is where group " + std::to_string(group) + " goes on, which had committed " + std::to_string(before));
                }
            });
            // What a group has committed its members were given.
            std::sort(home.read.begin(), home.read.end(), [](const span& a, const span& b) { return a.begin < b.begin; });
            std::int64_t next = home.lowest == never ? 0 : home.lowest;
            const log& in = log_of(partition);
            home.read.push_back({home.highest, home.highest});
            for (const span& one : home.read) {
                const std::int64_t end = std::min(one.begin, home.highest);
                if (const std::uint32_t skipped = in.present_between(next, end); skipped != 0) {
                    say(anomaly::poll_skip, partition, next, "group " + std::to_string(group) + " has committed " + std::to_string(home.highest) + ", and none of its members was given " +
                                                                 std::to_string(skipped) + " records up to " + std::to_string(end), skipped);
                }
                next = std::max(next, one.end);
            }
        }
    }

    /// Each point, with the largest offset of those that were complete before it began.
    template <class Points, class Use>
    static void sweep(Points& points, const Use& use) {
        Points by_end = points;
        std::sort(by_end.begin(), by_end.end(), [](const auto& a, const auto& b) { return a.complete < b.complete; });
        std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.invoke < b.invoke; });
        std::int64_t largest = -1;
        std::size_t ended = 0;
        for (const auto& one : points) {
            for (; ended < by_end.size() && by_end[ended].complete < one.invoke; ++ended) {
                largest = std::max(largest, top_of(by_end[ended]));
            }
            use(one, largest);
        }
    }
    [[nodiscard]] static std::int64_t top_of(const point& one) noexcept { return one.offset; }

    struct stretch {  // of a log, that one send has filled
        std::int64_t invoke, complete, first, last;
        std::uint32_t actor;
    };
    [[nodiscard]] static std::int64_t top_of(const stretch& one) noexcept { return one.last; }

    void judge_sends() {
        std::map<std::uint16_t, std::vector<stretch>> stretches;
        for (const auto& [actor, by] : producers_) {
            std::map<std::uint16_t, std::int64_t> last;
            for (const send_run& run : by.runs) {
                stretch there{run.invoke, run.outcome == outcome::ok ? run.complete : never, never, -1, actor};
                const log& in = log_of(run.partition);
                bool rises = true;
                for (std::uint32_t i = 0; run.outcome != outcome::fail && i < run.count; ++i) {
                    const std::uint64_t place = by.places[run.number + i];
                    if (place == nowhere || place >> 48 != run.partition) {
                        continue;
                    }
                    const auto offset = static_cast<std::int64_t>(place & ((std::uint64_t{1} << 48) - 1));
                    rises = rises && offset > there.last;
                    there.first = std::min(there.first, offset);
                    there.last = std::max(there.last, offset);
                    look_at_times(run, in, offset, value_of(actor, run.number + i));
                }
                if (there.last < 0) {
                    continue;
                }
                const auto [before, is_first] = last.try_emplace(run.partition, -1);
                if (!rises || there.first <= before->second) {
                    say(anomaly::nonmonotonic_send, run.partition, there.first, text_of(value_of(actor, run.number)) + " was sent behind what stands at " + std::to_string(before->second));
                }
                if (run.outcome == outcome::ok) {
                    before->second = std::max(before->second, there.last);
                }
                stretches[run.partition].push_back(there);
            }
        }
        for (auto& [partition, all] : stretches) {
            sweep(all, [&, number = partition](const stretch& one, std::int64_t before) {
                if (one.first < before) {
                    say(anomaly::realtime, number, one.first, "sent by " + std::to_string(one.actor) + " when " + std::to_string(before) + " was acknowledged");
                }
            });
        }
    }

    void look_at_times(const send_run& run, const log& in, std::int64_t offset, std::uint64_t value) {
        const auto at = static_cast<std::size_t>(offset);
        if (in.first_read[at] == never) {
            return;
        }
        if (in.first_read[at] < run.invoke) {
            say(anomaly::realtime, run.partition, offset, text_of(value) + " was read before it was sent");
        }
        if (run.outcome == outcome::ok) {
            verdict_.worst_lag = std::max(verdict_.worst_lag, in.first_read[at] - run.complete);
        } else {
            ++verdict_.unknown_there;
        }
    }

    // ---- the rest ----

    [[nodiscard]] log& log_of(std::uint16_t partition) {
        if (partition != last_partition_ || last_log_ == nullptr) {
            last_log_ = &logs_[partition];
            if (last_log_->present.empty()) {
                last_log_->present.assign(1, 0);
            }
            last_partition_ = partition;
        }
        return *last_log_;
    }

    [[nodiscard]] static std::string text_of(std::uint64_t value) {
        return value == no_value ? "what no producer writes" : "record " + std::to_string(number_of(value)) + " of producer " + std::to_string(actor_of(value));
    }

    template <class Text>
    void say(anomaly kind, std::uint16_t partition, std::int64_t offset, const Text& text, std::uint64_t count = 1) {
        std::uint64_t& all = verdict_.anomalies[static_cast<std::size_t>(kind)];
        if (examples_[static_cast<std::size_t>(kind)]++ < verdict::most_examples) {
            verdict_.examples.push_back(std::string{to_string(kind)} + ": partition " + std::to_string(partition) + ", offset " + std::to_string(offset) + ": " + text);
        }
        all += count;
    }

    std::unordered_map<std::uint32_t, producer> producers_;
    std::map<std::uint32_t, std::vector<step>> readers_;
    std::map<std::uint16_t, log> logs_;
    std::map<std::pair<std::uint32_t, std::uint16_t>, group_home> groups_;
    std::uint16_t last_partition_ = 0;
    log* last_log_ = nullptr;
    std::array<std::uint64_t, anomaly_count> examples_{};
    verdict verdict_;
};

}  // namespace brook::test::history
