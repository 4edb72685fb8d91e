// T14: the order of stores by which records are claimed and published, in every interleaving.
//
// Two or three writers and a reader take turns, one store at a time, in every order that there is; what they do is told in
// brook/storage/README.md and copied here step by step, on the bytes of real segments: load the tail, claim by a compare-exchange, mark, body,
// rest of the header, publication; who finds no room seals the segment, writes the seal, makes the next one, leads the others on. In each
// state that this goes through all of them are killed: the library's own recovery opens what is left, and it is held against what writers and
// reader had been told.
//
// Each step is sequentially consistent: this shows that the order is right, and not that the memory orders of the code keep it. A checker of
// weak memory is not in Debian 12 (neither genmc nor nidhugg nor herd7); x86 keeps stores in order, and ThreadSanitizer watches the tests.
//
// usage: brook_fault claim_interleavings [all]
//        all: three writers with two records each, too, which are 1.7 million states
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

#include "fault/program.hpp"
#include "fuzz/memory_platform.hpp"

namespace fault_claim_interleavings {

namespace {

using namespace brook;
using clock_type = std::chrono::steady_clock;
using fuzz::memory_platform;

constexpr std::uint32_t value_bytes = 72;
constexpr std::uint32_t frame_bytes = format::frame_header_size + value_bytes;
constexpr std::uint32_t segment_bytes = format::segment_header_size + 2 * frame_bytes + format::frame_header_size;  // two records and a seal
constexpr std::uint32_t limit = segment_bytes - format::frame_header_size;
constexpr std::size_t most_segments = 4;
constexpr std::size_t most_writers = 3;
constexpr std::uint8_t nobody = 0xff;
constexpr std::uint64_t sealed_bit = std::uint64_t{1} << 31;
const std::string directory = "p";
const storage::partition_name name{"t", {}, 0};

/// Where a writer stands.
enum class at : std::uint8_t { load_current, load_tail, claim, mark, first_half, second_half, header, publish, seal_mark, seal_publish, make_next, lead_on, await, over };

struct writer {
    at next = at::load_current;
    std::uint8_t home = 0;
    std::uint8_t begun = 0;  // records
    std::uint8_t acked = 0;
    std::uint32_t place = 0;
    std::uint64_t tail = 0;
    std::array<offset, 3> offsets{};
};

/// All that there is, so that equal states are equal bytes.
struct world {
    std::array<std::array<std::byte, segment_bytes>, most_segments> segments{};
    std::array<std::uint64_t, most_segments> tails{};  // records << 32 | bytes
    std::array<offset, most_segments> bases{};
    std::uint64_t count = 0;    // of segments
    std::uint64_t current = 0;
    std::uint64_t roller = nobody;
    std::array<writer, most_writers> writers{};
    std::uint64_t reader_segment = 0;
    std::uint64_t reader_at = format::segment_header_size;
    offset reader_next = 0;
};

[[nodiscard]] constexpr std::uint64_t seed_of(std::size_t segment) noexcept { return 0x5eed'0000'0000'0001u + segment; }

/// Every word of it looks like the first of a published frame.
[[nodiscard]] std::uint64_t word_of(std::size_t who, std::size_t number) noexcept {
    return format::frame_word::published(frame_bytes, format::attribute::lone).raw() | static_cast<std::uint64_t>(who) << 60 | static_cast<std::uint64_t>(number) << 56;
}

void make_segment(world& in, offset base) {
    const auto i = static_cast<std::size_t>(in.count++);
    in.bases[i] = base;
    in.tails[i] = format::segment_header_size;
    std::byte* const raw = in.segments[i].data();
    store(raw, format::make_birth(seed_of(i), segment_bytes, name.topic_id, name.number));
    store(raw + format::base_at, static_cast<std::uint64_t>(base) + 1);
    store(raw + format::base_check_at, format::base_check(seed_of(i), static_cast<std::uint64_t>(base) + 1));
    store(raw + format::writer_at, format::make_writer(memory_platform::boot_id, 1, i + 1, memory_platform::birth_time_of(i + 1)));
}

[[nodiscard]] std::uint32_t bytes_of(std::uint64_t tail) noexcept { return static_cast<std::uint32_t>(tail & (sealed_bit - 1)); }
[[nodiscard]] offset records_of(std::uint64_t tail) noexcept { return static_cast<offset>(tail >> 32); }

[[nodiscard]] format::frame_header header_of(const world& in, const writer& w) {
    format::frame_header header{};
    header.size = static_cast<std::int32_t>(frame_bytes);
    header.attributes = format::attribute::lone;
    header.base_offset = in.bases[w.home] + records_of(w.tail);
    header.count = format::null_size;
    return header;
}

void put_seal(world& in, const writer& w, bool is_published) {
    std::byte* const frame = in.segments[w.home].data() + w.place;
    if (!is_published) {
        store(frame, format::frame_word::claimed(format::frame_header_size).raw());
        return;
    }
    format::frame_header seal{};
    seal.size = static_cast<std::int32_t>(format::frame_header_size);
    seal.attributes = format::attributes_of(format::frame_kind::seal);
    seal.base_offset = in.bases[w.home] + records_of(in.tails[w.home]);
    seal.checksum = format::checksum_of(seed_of(w.home), w.place, seal, frame);
    store(frame, seal);
}

/// Whether this writer can do something now.
[[nodiscard]] bool may_step(const world& in, const writer& w) {
    if (w.next == at::await) {
        return in.current != w.home || in.roller == nobody;
    }
    return w.next != at::over;
}

void step(world& in, std::size_t who, std::uint8_t appends) {
    writer& w = in.writers[who];
    std::byte* const frame = in.segments[w.home].data() + w.place;
    switch (w.next) {
        case at::load_current:
            w.begun = static_cast<std::uint8_t>(w.acked + 1);
            w.home = static_cast<std::uint8_t>(in.current);
            w.next = at::load_tail;
            break;
        case at::load_tail:
            w.tail = in.tails[w.home];
            w.next = (w.tail & sealed_bit) != 0 ? at::await : at::claim;
            break;
        case at::claim: {
            std::uint64_t& tail = in.tails[w.home];
            const bool fits = bytes_of(w.tail) + frame_bytes <= limit;
            if (tail != w.tail) {
                w.next = at::load_tail;
            } else if (fits) {
                tail += std::uint64_t{1} << 32 | frame_bytes;
                w.place = bytes_of(w.tail);
                w.next = at::mark;
            } else {
                tail |= sealed_bit;
                w.next = at::await;  // and whoever comes first rolls
            }
            break;
        }
        case at::mark:
            store(frame, format::frame_word::claimed(frame_bytes).raw());
            w.next = at::first_half;
            break;
        case at::first_half:
        case at::second_half: {
            const std::uint32_t from = w.next == at::first_half ? 0 : value_bytes / 2;
            for (std::uint32_t i = from; i < from + value_bytes / 2; i += 4) {
                const std::uint64_t word = word_of(who, w.acked);
                store(frame + format::frame_header_size + i, static_cast<std::uint32_t>(word >> i % 8 * 8));
            }
            w.next = w.next == at::first_half ? at::second_half : at::header;
            break;
        }
        case at::header: {
            format::frame_header header = header_of(in, w);
            header.checksum = format::checksum_of(seed_of(w.home), w.place, header, frame);
            format::store_behind_word(frame, header);
            w.next = at::publish;
            break;
        }
        case at::publish:
            store(frame, format::word_of(header_of(in, w)).raw());
            w.offsets[w.acked] = header_of(in, w).base_offset;
            ++w.acked;
            w.next = w.acked == appends ? at::over : at::load_current;
            break;
        case at::await:
            if (in.current != w.home) {
                w.next = at::load_current;
            } else {
                in.roller = who;
                w.place = bytes_of(in.tails[w.home]);
                w.next = at::seal_mark;
            }
            break;
        case at::seal_mark:
            put_seal(in, w, false);
            w.next = at::seal_publish;
            break;
        case at::seal_publish:
            put_seal(in, w, true);
            w.next = at::make_next;
            break;
        case at::make_next:
            make_segment(in, in.bases[w.home] + records_of(in.tails[w.home]));
            w.next = at::lead_on;
            break;
        case at::lead_on:
            in.current = in.count - 1;
            in.roller = nobody;
            w.next = at::load_current;
            break;
        case at::over: break;
    }
}

/// The reader takes what is published where it stands; false: nothing is.
[[nodiscard]] bool read_on(world& in, std::string& problem) {
    const auto& raw = in.segments[in.reader_segment];
    if (in.reader_at + format::frame_header_size > raw.size()) {
        problem = "the reader is behind the end of a segment";
        return false;
    }
    const format::frame_header header = format::load_header(raw.data() + in.reader_at);
    const format::frame_word word = format::word_of(header);
    if (!word.is_published()) {
        return false;
    }
    if (!format::verifies(seed_of(in.reader_segment), static_cast<position>(in.reader_at), segment_bytes, raw.data() + in.reader_at) || header.base_offset != in.reader_next) {
        problem = "the reader sees what is published and not whole";
        return false;
    }
    if (word.kind() == format::frame_kind::seal) {
        if (in.reader_segment + 1 >= in.count || in.current <= in.reader_segment) {
            return false;  // it is led on later
        }
        ++in.reader_segment;
        in.reader_at = format::segment_header_size;
        return true;
    }
    in.reader_at += word.length();
    ++in.reader_next;
    return true;
}

struct totals {
    std::uint64_t states = 0;
    std::uint64_t fillers = 0;
    std::uint64_t erased = 0;
    std::uint64_t rolls = 0;
    std::uint64_t ends = 0;
};

class exploration {
public:
    exploration(std::size_t writers, std::uint8_t appends) : writers_{writers}, appends_{appends} {}

    /// Empty: all states are good.
    [[nodiscard]] std::string run(totals& counted) {
        std::vector<world> open(1);
        make_segment(open.front(), 0);
        seen_.insert(hash_of(open.front()));
        while (!open.empty()) {
            const world now = open.back();
            open.pop_back();
            ++counted.states;
            std::string problem = kill(now, counted);
            bool is_over = true;
            for (std::size_t who = 0; who < writers_ && problem.empty(); ++who) {
                is_over = is_over && now.writers[who].next == at::over;
                if (may_step(now, now.writers[who])) {
                    world next = now;
                    step(next, who, appends_);
                    add(open, next);
                }
            }
            if (problem.empty()) {
                world next = now;
                if (read_on(next, problem)) {
                    add(open, next);
                } else if (problem.empty() && is_over) {
                    ++counted.ends;
                    const auto all = static_cast<offset>(writers_) * appends_;
                    if (now.reader_next != all) {
                        problem = "all have ended, and the reader has not seen everything";
                    }
                }
            }
            if (!problem.empty()) {
                return problem + " (state " + std::to_string(counted.states) + " of " + std::to_string(writers_) + " writers with " + std::to_string(appends_) + " records)";
            }
        }
        return {};
    }

private:
    [[nodiscard]] static std::uint64_t hash_of(const world& what) {
        std::uint64_t sum = format::hash(what.segments.front().data(), segment_bytes * most_segments);
        const auto stir = [&](std::uint64_t word) { sum = format::detail::multiply_fold(sum ^ 0x9e37'79b9'7f4a'7c15u, word ^ 0xc2b2'ae3d'27d4'eb4fu); };
        for (std::size_t i = 0; i < most_segments; ++i) {
            stir(what.tails[i]);
            stir(static_cast<std::uint64_t>(what.bases[i]));
        }
        stir(what.count << 32 | what.current << 16 | what.roller);
        stir(what.reader_segment << 32 | what.reader_at);
        stir(static_cast<std::uint64_t>(what.reader_next));
        for (const writer& w : what.writers) {
            stir(static_cast<std::uint64_t>(w.next) << 32 | static_cast<std::uint64_t>(w.home) << 24 | static_cast<std::uint64_t>(w.begun) << 16 | w.acked);
            stir(w.place);
            stir(w.tail);
            for (const offset one : w.offsets) {
                stir(static_cast<std::uint64_t>(one));
            }
        }
        return sum;
    }

    void add(std::vector<world>& open, const world& next) {
        if (seen_.insert(hash_of(next)).second) {
            open.push_back(next);
        }
    }

    /// All of them die here.
    [[nodiscard]] std::string kill(const world& now, totals& counted) {
        memory_platform machine;
        machine.make(directory);
        for (std::size_t i = 0; i < now.count; ++i) {
            machine.put(directory + '/' + storage::segment_name(now.bases[i]) + ".log", now.segments[i]);
        }
        storage::event_count events{machine};
        storage::event_count upkeep{machine};
        failure why;
        const auto log = storage::log::open({machine, directory, name}, {.segment_bytes = 4096}, events, upkeep, why);
        if (!log) {
            return "it does not open: " + why.text;
        }
        const recovery_report& report = log->report();
        if (!report.damages.empty() || report.cut_bytes != 0 || report.power_may_have_gone) {
            return "a kill is taken for damage, or for a loss of power";
        }
        counted.fillers += report.filled_gaps;
        counted.erased += report.erased_bytes != 0 ? 1 : 0;
        counted.rolls += report.finished_rolls;
        std::array<std::array<offset, 3>, most_writers> found{};
        for (auto& one : found) {
            one.fill(-1);
        }
        storage::log_reader reader = log->reader();
        reader.seek(0);
        offset last = -1;
        for (std::vector<storage::record_range> ranges;; ranges.clear()) {
            if (why = reader.fetch(100, true, ranges); why) {
                return "it cannot be read: " + why.text;
            }
            if (ranges.empty()) {
                break;
            }
            for (const auto& range : ranges) {
                for (position place = range.begin; place < range.end;) {
                    const format::frame_header header = format::load_header(range.frame(place));
                    if (format::word_of(header).kind() == format::frame_kind::data) {
                        if (std::string problem = meet(now, header, range.frame(place), last, found); !problem.empty()) {
                            return problem;
                        }
                    }
                    place += format::word_of(header).length();
                }
            }
        }
        for (std::size_t who = 0; who < writers_; ++who) {
            for (std::uint8_t i = 0; i < now.writers[who].acked; ++i) {
                if (found[who][i] != now.writers[who].offsets[i]) {
                    return "what was acknowledged is not where it was";
                }
            }
        }
        if (log->log_end_offset() < now.reader_next) {
            return "what the reader was given is gone";
        }
        return {};
    }

    [[nodiscard]] std::string meet(const world& now, const format::frame_header& header, const std::byte* frame, offset& last,
                                   std::array<std::array<offset, 3>, most_writers>& found) const {
        format::record_walk records{header, frame};
        format::record_slice record;
        if (!records.next(record) || record.value().size() != value_bytes || record.offset() <= last) {
            return "a record is not whole, or out of order";
        }
        last = record.offset();
        const auto word = load<std::uint64_t>(record.value().data());
        const std::size_t who = word >> 60;
        const std::size_t number = word >> 56 & 15;
        if (who >= writers_ || number >= now.writers[who].begun || word != word_of(who, number)) {
            return "a record was never sent";
        }
        for (std::uint32_t i = 0; i < value_bytes; i += 8) {
            if (load<std::uint64_t>(record.value().data() + i) != word) {
                return "a record is torn";
            }
        }
        if (found[who][number] >= 0 || (number > 0 && found[who][number - 1] < 0)) {
            return "a record is there twice, or before the one in front of it";
        }
        found[who][number] = record.offset();
        return {};
    }

    std::size_t writers_;
    std::uint8_t appends_;
    std::unordered_set<std::uint64_t> seen_;
};

int run(int count, char** arguments) {
    const auto begin = clock_type::now();
    totals counted;
    std::string problem;
    struct plan {
        std::size_t writers;
        std::uint8_t appends;
    };
    const bool is_all = count > 1 && std::string{arguments[1]} == "all";
    for (const plan& one : {plan{1, 3}, plan{2, 1}, plan{2, 2}, plan{3, 1}, plan{2, 3}, plan{3, 2}}) {
        if (problem.empty() && (is_all || one.writers * one.appends <= 4)) {
            problem = exploration{one.writers, one.appends}.run(counted);
        }
    }
    if (problem.empty() && (counted.fillers == 0 || counted.erased == 0 || counted.rolls == 0 || counted.ends == 0)) {
        problem = "some kind of kill was never met: this proves less than it says";
    }
    if (!problem.empty()) {
        std::printf("BAD  %s\n", problem.c_str());
    }
    const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("claim interleavings: %llu states, killed and recovered in each; %llu fillers, %llu ends erased, %llu rolls finished; bad %d; %.1f s\n", n(counted.states), n(counted.fillers),
                n(counted.erased), n(counted.rolls), problem.empty() ? 0 : 1, std::chrono::duration<double>(clock_type::now() - begin).count());
    return problem.empty() ? 0 : 1;
}

const brook::test::fault_program program{"claim_interleavings", run};

}  // namespace

}  // namespace fault_claim_interleavings
