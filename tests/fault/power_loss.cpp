// T3: is everything there that was durable, whatever the disk holds when the power comes back?
//
// The library works on a machine that is memory (support/powerless_platform.hpp), so that one can ask at every call it
// makes, and between any two of its users' steps, for each state that the disk may be in: of every page any version
// since its last sync, sectors mixed, words that were being written holding anything, sizes old or new, each change of a
// directory done or not. Each of those disks is recovered and held against what the users knew
// (fault/power_oracle.hpp); the recovery is crashed, too, and so is what comes after it.
//
// Workloads: all sequences of up to four steps, each crashed everywhere in its last step (what comes before is the last
// step of a shorter one); long random ones, with writers that hold claims open; and threads.
//
// usage: brook_fault power_loss [seed | transactions]
//        seed: repeats one state that was told to be bad; transactions: these alone. BROOK_FAULT_SECONDS: how long it may
//        take, 20 by default.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fault/broker_power.hpp"
#include "fault/power_oracle.hpp"
#include "fault/program.hpp"
#include "fault/transaction_power.hpp"
#include "support/disguised_record.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace fault_power_loss {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

/// One thing that users of a log, or their machine, do.
enum class step : std::uint8_t {
    append_small,
    append_large,  ///< crosses a page where segments have more than one; two of them do not fit in the smallest ones
    append_batch,
    sync,
    roll,
    upkeep,
    reopen,
    kill,
    fail_sync,
    hold,          ///< claims in place, and keeps it open
    abandon,       ///< claims in place, and lets it go
    reboot,        ///< the power goes, and anything may have reached the disk
    settle,        ///< publishes the oldest that is held
};
constexpr std::array<const char*, 13> step_names{"append", "append large", "append batch", "sync", "roll", "upkeep", "close and open",
                                                 "kill and open", "failing sync", "hold", "abandon", "reboot", "settle"};
constexpr std::uint64_t short_steps = 12;  // in the exhaustive part: settle comes after hold alone
static_assert(short_steps < 16);

struct log_plan {
    std::uint32_t segment_bytes;
    std::int64_t flush_messages;
    std::uint32_t large;
};
constexpr std::array<log_plan, 5> log_plans{{
    {8 * kib, 0, 4'300},
    {4 * kib, 1, 1'700},
    {16 * kib, 1, 5'000},
    {64 * kib, 0, 9'000},
    {128 * kib, 0, 45'000},  // large enough for upkeep to keep a spare
}};

/// Everything about a state, in one number: 3 bits kind, 3 plan, 3 steps, 4 x 4 steps or a number, 17 where, 22 which.
struct state_name {
    std::uint64_t kind = 0;
    std::uint64_t plan = 0;
    std::uint64_t workload = 0;  ///< 19 bits
    std::uint64_t point = 0;     ///< 17 bits
    std::uint64_t state = 0;     ///< 22 bits
    bool is_last = false;        ///< of the points of its workload; not in the number

    [[nodiscard]] std::uint64_t seed() const noexcept { return kind << 61 | plan << 58 | workload << 39 | point << 22 | state; }
    [[nodiscard]] static state_name of(std::uint64_t seed) noexcept {
        return {seed >> 61, seed >> 58 & 7, seed >> 39 & 0x7ffff, seed >> 22 & 0x1ffff, seed & 0x3fffff, false};
    }
};
enum : std::uint64_t { kind_short = 1, kind_hasty = 2, kind_long = 3, kind_threads = 4, kind_broker = 5, kind_transactions = 6 };

/// A log and its users, from its first opening on, over kills and losses of power.
class log_life {
public:
    log_life(const log_plan& plan, std::uint64_t seed, std::vector<log_crash>& crashes)
        : plan_{plan}, random_{seed}, crashes_{crashes}, slots_{std::make_shared<sent_slots>()} {
        start(disk_with_partition());
    }
    log_life(const log_life&) = delete;
    log_life& operator=(const log_life&) = delete;
    ~log_life() { machine_->unplug(); }

    /// Crashes are noted from here on.
    void note_crashes() { is_noting_ = true; }

    /// False when the step makes no difference.
    void take(step next) {
        failure why;
        watch();
        switch (next) {
            case step::append_small: append(static_cast<std::uint32_t>(24 + random_.below(60))); break;
            case step::append_large: append(plan_.large); break;
            case step::append_batch: append_many(); break;
            case step::sync: sync(); break;
            case step::roll: static_cast<void>((*log_)->roll()); break;
            case step::upkeep:
                now_ += std::chrono::milliseconds{1};
                static_cast<void>((*log_)->upkeep(now_));
                break;
            case step::reopen: reopen(); break;
            case step::kill: come_up(machine_->look(), false); break;
            case step::fail_sync:
                machine_->fail_sync(1);
                sync();
                machine_->fail_sync(0);
                break;
            case step::hold: hold(); break;
            case step::abandon: abandon(); break;
            case step::reboot: reboot(); break;
            case step::settle: settle(); break;
        }
        learn();
        note();
        machine_->on_call(nullptr);
    }

    /// What the run itself saw that must not be; empty: nothing.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    [[nodiscard]] std::size_t records() const noexcept { return slots_->size(); }

private:
    struct held {
        storage::open_claims::id id;
        offset at;
        disguised_record record;
    };

    [[nodiscard]] storage::log_options options() const {
        storage::log_options made;
        made.segment_bytes = plan_.segment_bytes;
        made.flush_messages = plan_.flush_messages;
        return made;
    }

    void start(disk_state from) {
        machine_ = std::make_unique<powerless_platform>(std::move(from));
        watch();
        log_ = std::make_unique<open_partition>(*machine_, lone_partition, options());
        if (!*log_) {
            complain("open: " + log_->why.text);
        }
    }

    void watch() {
        if (is_noting_) {
            machine_->on_call([this](auto& machine, const char*) { note(machine.state()); });
        }
    }

    void complain(const std::string& what) {
        if (problem_.empty()) {
            problem_ = what;
        }
    }

    // ---- what is known ----

    [[nodiscard]] sent_slots& slots() {
        if (slots_.use_count() > 1) {
            slots_ = std::make_shared<sent_slots>(*slots_);  // crashes that were noted keep theirs
        }
        return *slots_;
    }

    void learn() {
        if (log_ && *log_) {
            durable_ = std::max(durable_, (*log_)->durable_offset());
        }
    }

    void note(const disk_state& disk) {
        learn();
        crashes_.push_back({disk, {slots_, durable_, returned_, epoch_}, is_coming_up_ && power_has_gone_, is_coming_up_ && !power_has_gone_, false, is_coming_up_});
    }
    void note() {
        if (is_noting_) {
            machine_->hold([this](auto& machine) { note(machine.state()); });
        }
    }

    // ---- steps ----

    [[nodiscard]] disguised_record next_record(std::uint32_t size) { return {sequence_++, 1, life_, size}; }

    void append(std::uint32_t size) {
        const disguised_record record = next_record(size);
        slots().push_back({sent_slot::kind::record, record});
        failure why;
        const offset at = append_lone(**log_, record, why, [this] { note(); });
        settle_append(at, 1, why);
    }

    void append_many() {
        std::vector<disguised_record> records;
        for (int i = 0; i < 3; ++i) {
            records.push_back(next_record(static_cast<std::uint32_t>(20 + random_.below(100))));
            slots().push_back({sent_slot::kind::record, records.back()});
        }
        failure why;
        settle_append(append_batch(**log_, records, why), 3, why);
    }

    void settle_append(offset at, std::size_t count, const failure& why) {
        const auto expected = static_cast<offset>(slots_->size() - count);
        if (at < 0) {
            slots().resize(static_cast<std::size_t>(expected));
            if (why.code != errc::partition_failed) {
                complain("append: " + why.text);
            }
            return;
        }
        if (at != expected) {
            complain("append: at offset " + std::to_string(at) + " instead of " + std::to_string(expected));
        }
        returned_ = at + static_cast<offset>(count);
        if (plan_.flush_messages == 1 && held_.empty() && random_.one_in(2)) {
            why_ = (*log_)->wait_acknowledged(returned_ - 1);
            if (!why_) {
                durable_ = std::max(durable_, returned_);
            }
        }
    }

    void sync() {
        const offset end = (*log_)->log_end_offset();
        const offset before = (*log_)->durable_offset();
        why_ = (*log_)->sync();
        if (!why_) {
            durable_ = std::max(durable_, end);
        } else if (why_.code != errc::partition_failed) {
            complain("sync: " + why_.text);
        } else if ((*log_)->durable_offset() != before) {
            complain("a sync failed, and the durable offset moved");
        }
    }

    void hold() {
        held made;
        storage::claim taken;
        storage::segment_pin pin;
        const auto size = static_cast<std::uint32_t>(16 + random_.below(200));
        made.record = next_record(size);
        const format::record_sizes sizes{disguised_key_size, size, 0};
        const std::uint32_t length = format::frame_length(static_cast<std::uint32_t>(format::lone_frame_size(sizes)));
        slots().push_back({});
        if (!(*log_)->take_open(length, taken, pin, made.id, why_)) {
            slots().pop_back();
            return;
        }
        if (random_.one_in(2)) {
            made.record.write_value(format::lay_out_lone(taken.data, sizes).value);
        }
        made.at = taken.first;
        held_.push_back(made);
    }

    void abandon() {
        hold();
        if (!why_ && !held_.empty()) {
            give_up(held_.back(), true);
            held_.pop_back();
        }
        why_ = {};
    }

    void settle() {
        if (!held_.empty()) {
            give_up(held_.front(), random_.one_in(3));
            held_.erase(held_.begin());
        }
    }

    void give_up(const held& one, bool is_filler) {
        const bool is_settled = (*log_)->settle(one.id, [&](const storage::claim& taken) {
            if (is_filler) {
                (*log_)->abandon(taken, 1);
                return;
            }
            const format::record_sizes sizes{disguised_key_size, one.record.size, 0};
            const format::lone_layout body = format::lay_out_lone(taken.data, sizes);
            store(body.key, one.record.word());
            one.record.write_value(body.value);
            note();
            format::frame_header header{};
            header.size = static_cast<std::int32_t>(format::lone_frame_size(sizes));
            header.attributes = format::lone_attributes(sizes);
            header.count = sizes.key;
            header.base_timestamp = taken.first;
            (*log_)->publish(taken, header);
        });
        if (!is_settled) {
            complain("a slot that was held could not be settled");
        }
        slots()[static_cast<std::size_t>(one.at)] = {is_filler ? sent_slot::kind::filler : sent_slot::kind::record, one.record};
        returned_ = std::max(returned_, one.at + 1);
    }

    void reopen() {
        for (const auto& one : held_) {  // closing makes fillers of them
            slots()[static_cast<std::size_t>(one.at)].what = sent_slot::kind::filler;
        }
        held_.clear();
        if (log_ && *log_) {
            (*log_)->close();
            learn();
        }
        log_.reset();
        come_up(machine_->look(), false);
    }

    void reboot() {
        const disk_state before = machine_->look();
        const loss_of_power loss{before};
        come_up(loss.decide(log_oracle::random_choice(loss, random_, nobodys_)), true);
    }

    /// The process dies, another one opens what there is.
    void come_up(disk_state disk, bool power_has_gone) {
        learn();
        machine_->unplug();
        log_.reset();
        held_.clear();
        ++life_;
        is_coming_up_ = true;
        power_has_gone_ = power_has_gone;
        start(std::move(disk));
        if (!*log_) {
            return;
        }
        const offset end = (*log_)->log_end_offset();
        failure why;
        std::vector<found_record> found;
        read_all(**log_, found, why);
        if (why) {
            complain("read: " + why.text);
        }
        if (end < durable_ || end > static_cast<offset>(slots_->size()) || (!power_has_gone && end < returned_)) {
            return complain("the log ends at offset " + std::to_string(end) + ", " + std::to_string(durable_) + " was durable, " +
                            std::to_string(returned_) + " appended");
        }
        slots().resize(static_cast<std::size_t>(end));
        for (auto& slot : slots()) {
            slot.what = slot.what == sent_slot::kind::open ? sent_slot::kind::filler : slot.what;
        }
        for (const auto& one : found) {
            const auto& slot = (*slots_)[static_cast<std::size_t>(one.at)];
            if (slot.what != sent_slot::kind::record || !(slot.record == one.record)) {
                complain("offset " + std::to_string(one.at) + " holds what was not sent there");
            }
            epoch_ = std::max(epoch_, one.epoch);
        }
        returned_ = end;
        is_coming_up_ = false;
    }

    const log_plan& plan_;
    seeded random_;
    std::vector<log_crash>& crashes_;
    bool is_noting_ = false;
    bool is_coming_up_ = false;   // a recovery is under way,
    bool power_has_gone_ = false;  // after a loss of power
    std::shared_ptr<sent_slots> slots_;
    offset durable_ = 0;
    offset returned_ = 0;
    std::uint32_t epoch_ = 0;
    std::uint32_t life_ = 0;
    std::uint32_t sequence_ = 0;
    std::unique_ptr<powerless_platform> machine_;
    std::unique_ptr<open_partition> log_;
    std::vector<held> held_;
    std::chrono::nanoseconds now_{1};
    failure why_;
    std::string problem_;
    power_figures nobodys_;
};

/// How many of the states that a crash may leave are tried; all kinds of it, or a sample.
struct effort {
    std::uint64_t most = 0;  ///< all when they are no more; this many at random besides the telling ones when they are
    std::uint64_t one_in = 1;  ///< and of those only a part
};

class campaign {
public:
    explicit campaign(double seconds) : seconds_{seconds} { known_.reserve(1 << 20); }

    [[nodiscard]] bool run() {
        const std::uint64_t start = std::random_device{}();
        const std::uint64_t kind = seconds_ >= 120 ? kind_short : kind_hasty;
        short_ones(kind, 1, 0.05, 0);
        short_ones(kind, 2, 0.15, start);
        short_ones(kind, 3, 0.3, start);
        short_ones(kind, 4, 0.45, start);
        for (std::size_t length = 0; length < 4; ++length) {
            broker_ones(length, 0.5 + 0.04 * static_cast<double>(length), start);
        }
        all_transactions(start, 0.62, 0.9);
        for (std::uint64_t i = 0; elapsed() < seconds_ && bad_ == 0; ++i) {
            long_one((start + i) & 0x7ffff, i % log_plans.size());
            threads_one((start + i) & 0x7ffff, i % log_plans.size());
        }
        return report();
    }

    [[nodiscard]] bool run_transactions() {
        all_transactions(std::random_device{}(), 0, 1);
        return report();
    }

    [[nodiscard]] bool repeat(std::uint64_t seed) {
        only_ = state_name::of(seed);
        if (only_->kind == kind_short || only_->kind == kind_hasty) {
            short_one(only_->kind, only_->plan, decode(only_->workload));
        } else if (only_->kind == kind_long) {
            long_one(only_->workload, only_->plan);
        } else if (only_->kind == kind_threads) {
            only_.reset();  // the same work; when each thread does its part is not for us to say
            threads_one(state_name::of(seed).workload, state_name::of(seed).plan);
        } else if (only_->kind == kind_broker) {
            broker_one(only_->plan, only_->workload);
        } else if (only_->kind == kind_transactions) {
            transaction_one(only_->plan, only_->workload);
        }
        return report();
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    // ---- all short sequences ----

    [[nodiscard]] static std::vector<step> decode(std::uint64_t workload) {
        std::vector<step> steps;
        for (std::uint64_t i = 0; i < workload >> 16; ++i) {
            steps.push_back(static_cast<step>(workload >> (4 * i) & 15));
        }
        return steps;
    }
    [[nodiscard]] static std::uint64_t encode(const std::vector<step>& steps) {
        std::uint64_t workload = std::uint64_t{steps.size()} << 16;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            workload |= std::uint64_t{static_cast<std::uint8_t>(steps[i])} << (4 * i);
        }
        return workload;
    }

    /// All sequences of `length` steps, in an order that depends on `start`, until `share` of the time is over.
    void short_ones(std::uint64_t kind, std::size_t length, double share, std::uint64_t start) {
        std::uint64_t count = log_plans.size();
        for (std::size_t i = 0; i < length; ++i) {
            count *= short_steps;
        }
        const std::uint64_t stride = 7'919;  // a prime that divides no count
        std::uint64_t done = 0;
        for (; done < count && elapsed() < share * seconds_ && bad_ == 0; ++done) {
            std::uint64_t number = (start + done * stride) % count;
            const std::uint64_t plan = number % log_plans.size();
            number /= log_plans.size();
            std::vector<step> steps;
            for (std::size_t i = 0; i < length; ++i) {
                steps.push_back(static_cast<step>(number % short_steps));
                number /= short_steps;
            }
            short_one(kind, plan, steps);
        }
        sequences_[length - 1] = {done, count};
    }

    void short_one(std::uint64_t kind, std::uint64_t plan, const std::vector<step>& steps) {
        crashes_.clear();
        const state_name name{kind, plan, encode(steps), 0, 0};
        log_life life{log_plans[plan], name.seed(), crashes_};
        for (std::size_t i = 0; i < steps.size() && life.problem().empty(); ++i) {
            if (i + 1 == steps.size()) {
                life.note_crashes();
            }
            life.take(steps[i]);
        }
        if (!life.problem().empty()) {
            return complain(name, life.problem());
        }
        judge_all(name);
    }

    // ---- long ones ----

    void long_one(std::uint64_t number, std::uint64_t plan) {
        crashes_.clear();
        const state_name name{kind_long, plan, number, 0, 0};
        seeded random{name.seed()};
        log_life life{log_plans[plan], name.seed(), crashes_};
        life.note_crashes();
        const std::uint64_t steps = 10 + random.below(120);
        std::array<std::uint64_t, step_names.size()> weights{};
        std::uint64_t sum = 0;
        for (auto& weight : weights) {
            weight = random.one_in(3) ? 0 : 1 + random.below(8);  // not everything in every run
            sum += weight;
        }
        weights[0] += 12;
        weights[5] += 2;
        sum += 14;
        for (std::uint64_t i = 0; i < steps && life.problem().empty(); ++i) {
            std::uint64_t drawn = random.below(sum);
            std::size_t next = 0;
            while (drawn >= weights[next]) {
                drawn -= weights[next++];
            }
            life.take(static_cast<step>(next));
            while (crashes_.size() > 60) {  // some of all that there are
                crashes_.erase(crashes_.begin() + static_cast<std::ptrdiff_t>(random.below(crashes_.size())));
            }
        }
        ++long_runs_;
        if (!life.problem().empty()) {
            return complain(name, life.problem());
        }
        judge_all(name);
    }

    // ---- threads ----

    /// Three writers and upkeep at once. What they do depends on the seed, in which order does not.
    void threads_one(std::uint64_t number, std::uint64_t plan) {
        struct writer {
            std::vector<std::pair<offset, disguised_record>> appended;
            std::atomic<std::size_t> returned{0};
        };
        struct moment {
            log_crash crash;
            std::array<std::size_t, 3> returned;
        };
        const state_name name{kind_threads, plan, number, 0, 0};
        const std::size_t each = 20 + seeded{name.seed()}.below(60);
        storage::log_options options;
        options.segment_bytes = log_plans[plan].segment_bytes;
        options.flush_messages = log_plans[plan].flush_messages;
        powerless_platform machine{disk_with_partition()};
        std::array<writer, 3> writers;
        std::vector<moment> moments;
        std::atomic<bool> is_done{false};
        std::atomic<bool> has_failed{false};
        {
            const open_partition log{machine, lone_partition, options};
            const auto note = [&](const disk_state& disk, const std::array<std::size_t, 3>& returned) {
                moments.push_back({{disk, {nullptr, log->durable_offset(), 0, 0}, false, false, false, false}, returned});
            };
            const auto returned = [&] {
                return std::array<std::size_t, 3>{writers[0].returned.load(), writers[1].returned.load(), writers[2].returned.load()};
            };
            std::vector<std::thread> threads;
            for (std::uint32_t id = 0; id < writers.size(); ++id) {
                writers[id].appended.resize(each);
                threads.emplace_back([&, id] {
                    seeded random{name.seed() + id};
                    for (std::size_t i = 0; i < each; ++i) {
                        const disguised_record record{static_cast<std::uint32_t>(i), id, 0, static_cast<std::uint32_t>(random.one_in(10) ? 1'500 : random.below(150))};
                        failure why;
                        writers[id].appended[i] = {append_lone(*log, record, why, [&] { random.one_in(4) ? std::this_thread::yield() : void(); }), record};
                        writers[id].returned.store(i + 1);
                        if (random.one_in(12)) {
                            why = log->wait_durable(writers[id].appended[i].first + 1);
                        }
                        if (why) {
                            has_failed = true;
                            return;
                        }
                    }
                });
            }
            std::thread upkeep{[&] {
                for (std::chrono::nanoseconds now{1}; !is_done; now += std::chrono::milliseconds{1}) {
                    static_cast<void>(log->upkeep(now));
                    std::this_thread::yield();
                }
            }};
            machine.on_call([&, random = seeded{name.seed() + 9}](auto& held, const char*) mutable {
                if (random.one_in(4) && moments.size() < 40) {
                    const auto before = returned();
                    held.look();
                    note(held.state(), before);
                }
            });
            for (bool is_over = false; !is_over;) {
                is_over = has_failed || returned() == std::array<std::size_t, 3>{each, each, each};
                const auto before = returned();
                machine.hold([&](auto& held) {
                    if (moments.size() < 60) {
                        note(held.state(), before);
                    }
                });
                std::this_thread::yield();
            }
            for (auto& thread : threads) {
                thread.join();
            }
            is_done = true;
            upkeep.join();
            machine.on_call(nullptr);
            machine.unplug();
        }
        if (has_failed) {
            return complain(name, "an append or a sync failed");
        }
        crashes_.clear();
        for (auto& one : moments) {
            auto slots = std::make_shared<sent_slots>(each * writers.size());
            for (std::size_t id = 0; id < writers.size(); ++id) {
                for (std::size_t i = 0; i < each; ++i) {
                    const auto& [at, record] = writers[id].appended[i];
                    if (at < 0 || at >= static_cast<offset>(slots->size())) {
                        return complain(name, "a record is at offset " + std::to_string(at));
                    }
                    const bool has_returned = i < one.returned[id];
                    (*slots)[static_cast<std::size_t>(at)] = {has_returned ? sent_slot::kind::record : sent_slot::kind::in_flight, record};
                    one.crash.known.returned = std::max(one.crash.known.returned, has_returned ? at + 1 : 0);
                }
            }
            one.crash.known.slots = std::move(slots);
            crashes_.push_back(std::move(one.crash));
        }
        ++thread_runs_;
        judge_all(name);
    }

    // ---- the same with a broker ----

    /// All sequences of `length` steps behind the making of the directory, in an order that depends on `start`.
    void broker_ones(std::size_t length, double share, std::uint64_t start) {
        std::uint64_t count = 2;
        for (std::size_t i = 0; i < length; ++i) {
            count *= broker_step_names.size();
        }
        std::uint64_t done = 0;
        for (; done < count && elapsed() < share * seconds_ && bad_ == 0; ++done) {
            const std::uint64_t number = (start + done * 7'919) % count;
            broker_one(number % 2, workload_of(number / 2, length, broker_step_names.size()));
        }
        broker_sequences_.first += done;
        broker_sequences_.second += count;
    }

    /// A sequence of so many steps, each of so many kinds, as a number: its length, then four bits a step.
    [[nodiscard]] static std::uint64_t workload_of(std::uint64_t number, std::size_t length, std::size_t kinds) {
        std::uint64_t workload = std::uint64_t{length} << 16;
        for (std::size_t i = 0; i < length; ++i, number /= kinds) {
            workload |= number % kinds << (4 * i);
        }
        return workload;
    }

    void broker_one(std::uint64_t plan, std::uint64_t workload) {
        state_name name{kind_broker, plan, workload, 0, 0, false};
        std::vector<broker_crash> crashes;
        try {
            broker_life life{plan == 0 ? 0 : 1, name.seed(), crashes};
            const std::uint64_t length = workload >> 16;
            if (length == 0) {
                life.note_crashes();
            }
            life.open();
            for (std::uint64_t i = 0; i < length; ++i) {
                if (i + 1 == length) {
                    life.note_crashes();
                }
                life.take(static_cast<broker_step>(workload >> (4 * i) & 15));
            }
        } catch (const error& why) {
            complain(name, why.what());
        }
        for (std::size_t i = 0; i < crashes.size() && bad_ == 0; ++i) {
            name.point = i;
            name.state = 0;
            if (!only_ || only_->point == i) {
                judge_point(name, crashes[i]);
            }
        }
        points_ += crashes.size();
    }

    void judge_point(state_name name, const broker_crash& crash) {
        broker_power_oracle oracle{name.plan == 0 ? 0 : 1, figures_};
        const auto judge = [&](const broker_crash& what) {
            if (only_ && only_->state != name.state) {
                return;
            }
            if (!only_ && !is_new(what)) {
                ++figures_.repeated;
                return;
            }
            ++figures_.distinct;
            if (std::string problem = oracle.judge(what, name.seed(), 1); !problem.empty()) {
                complain(name, problem);
            }
        };
        each_crash(name, crash, judge);
    }

    /// The kill, and the losses of power.
    template <class Crash, class Judge>
    void each_crash(state_name& name, const Crash& crash, const Judge& judge) {
        Crash killed = crash;
        killed.was_killed = true;
        judge(killed);
        const loss_of_power loss{crash.disk};
        for_each_choice(loss, 1, name.seed(), [&](const crash_choice& choice, const loss_of_power& of) {
            ++name.state;
            if (only_ ? only_->state != name.state : !seeded{name.seed()}.one_in(effort_for(name).one_in)) {
                return;
            }
            Crash lost = crash;
            lost.disk = of.decide(choice);
            lost.power_has_gone = true;
            judge(lost);
        });
    }

    // ---- transactions ----

    static constexpr std::array<std::int64_t, 3> transaction_plans{0, 1, clearing_house::by_the_second};  // flush_messages
    static constexpr std::uint64_t long_workload = 7;  // where a length would be: 4 to 12 steps, as the number says

    [[nodiscard]] static std::vector<transaction_step> transaction_steps(std::uint64_t workload) {
        std::vector<transaction_step> steps;
        if (workload >> 16 == long_workload) {
            seeded random{workload};
            for (std::uint64_t left = 4 + random.below(9); left != 0; --left) {
                steps.push_back(static_cast<transaction_step>(random.below(transaction_step_names.size())));
            }
        } else {
            for (std::uint64_t i = 0; i < workload >> 16; ++i) {
                steps.push_back(static_cast<transaction_step>(workload >> (4 * i) & 15));
            }
        }
        return steps;
    }

    /// `from`, `to`: of the time.
    void all_transactions(std::uint64_t start, double from, double to) {
        constexpr double shares[] = {0.2, 0.35, 0.65};
        using enum transaction_step;
        // What is told here is what went wrong once, or nearly: on the disk behind what is not, and in the place of what is lost.
        constexpr transaction_step telling[][3] = {{right_only, kill, whole}, {right_only, whole, maintain}, {whole, kill, maintain}, {right_only, reopen, large}, {whole, reboot, state_only}, {rival, reboot, plain}};
        for (const auto& [first, second, third] : telling) {
            for (std::uint64_t plan = 1; plan < transaction_plans.size() && bad_ == 0 && elapsed() < (from + (to - from) * shares[0]) * seconds_; ++plan) {
                transaction_one(plan, std::uint64_t{3} << 16 | static_cast<std::uint64_t>(third) << 8 | static_cast<std::uint64_t>(second) << 4 | static_cast<std::uint64_t>(first));
            }
        }
        for (std::size_t length = 1; length < 4; ++length) {
            transaction_ones(length, from + (to - from) * shares[length - 1], start);
        }
        for (std::uint64_t i = 0; elapsed() < to * seconds_ && bad_ == 0; ++i) {
            transaction_one(i % transaction_plans.size(), long_workload << 16 | ((start + i) & 0xffff));
        }
    }

    /// All sequences of `length` steps behind the making of the topics, in an order that depends on `start`.
    void transaction_ones(std::size_t length, double share, std::uint64_t start) {
        std::uint64_t count = transaction_plans.size();
        for (std::size_t i = 0; i < length; ++i) {
            count *= transaction_step_names.size();
        }
        std::uint64_t done = 0;
        for (; done < count && elapsed() < share * seconds_ && bad_ == 0; ++done) {
            const std::uint64_t number = (start + done * 7'919) % count;
            transaction_one(number % transaction_plans.size(), workload_of(number / transaction_plans.size(), length, transaction_step_names.size()));
        }
        transaction_sequences_.first += done;
        transaction_sequences_.second += count;
    }

    void transaction_one(std::uint64_t plan, std::uint64_t workload) {
        state_name name{kind_transactions, plan, workload, 0, 0, false};
        std::vector<transaction_crash> crashes;
        try {
            transaction_life life{transaction_plans[plan % transaction_plans.size()], name.seed(), crashes};
            const auto steps = transaction_steps(workload);
            for (std::size_t i = 0; i < steps.size(); ++i) {
                if (i + 1 == steps.size()) {
                    life.note_crashes();
                }
                life.take(steps[i]);
            }
        } catch (const error& why) {
            complain(name, why.what());
        }
        for (std::size_t i = 0; i < crashes.size() && bad_ == 0; ++i) {
            name.point = i;
            name.state = 0;
            name.is_last = i + 1 == crashes.size();
            if (!only_ || only_->point == i) {
                judge_point(name, crashes[i]);
            }
        }
        points_ += crashes.size();
        transaction_runs_ += workload >> 16 == long_workload ? 1 : 0;
    }

    void judge_point(state_name name, const transaction_crash& crash) {
        transaction_power_oracle oracle{transaction_plans[name.plan % transaction_plans.size()], figures_};
        const auto judge = [&](const transaction_crash& what) {
            if (bad_ != 0 || (only_ && only_->state != name.state)) {
                return;
            }
            if (!only_ && !is_new(what)) {
                ++figures_.repeated;
                return;
            }
            ++figures_.distinct;
            ++transaction_states_;
            if (std::string problem = oracle.judge(what, name.seed(), 1); !problem.empty()) {
                complain(name, problem);
            }
        };
        each_crash(name, crash, judge);
    }

    // ---- states ----

    void judge_all(state_name name) {
        for (std::size_t i = 0; i < crashes_.size() && bad_ == 0; ++i) {
            name.point = i;
            if (!only_ || only_->point == i) {
                judge_point(name, log_plans[name.plan], crashes_[i]);
            }
        }
        points_ += crashes_.size();
    }

    /// The states that one crash may leave: all of them, or the telling ones and `most` at random.
    void judge_point(state_name name, const log_plan& plan, const log_crash& crash) {
        storage::log_options options;
        options.segment_bytes = plan.segment_bytes;
        options.flush_messages = plan.flush_messages;
        log_oracle oracle{options, figures_};
        const effort much = effort_for(name);
        const auto with = [&](const crash_choice& choice, const loss_of_power& loss) {
            if (name.state < 0x3fffff) {
                ++name.state;
            }
            if (only_ ? only_->state != name.state : !seeded{name.seed()}.one_in(much.one_in)) {
                return;
            }
            log_crash lost = crash;
            lost.disk = loss.decide(choice);
            lost.power_has_gone = true;
            if (!only_ && !is_new(lost)) {
                ++figures_.repeated;
                return;
            }
            ++figures_.distinct;
            if (only_) {
                describe("before", crash);
                describe("after", lost);
            }
            if (std::string problem = oracle.judge(lost, name.seed(), 1); !problem.empty()) {
                return complain(name, problem);
            }
            if (seeded{name.seed()}.one_in(8)) {
                if (std::string problem = oracle.judge_rot(lost, name.seed()); !problem.empty()) {
                    complain(name, problem);
                }
            }
        };
        // What is copied while threads store is no moment at which they were killed. The storm of kills has that.
        if (name.kind != kind_threads && (!only_ || only_->state == 0)) {
            log_crash killed = crash;
            killed.was_killed |= !crash.power_has_gone;
            ++figures_.distinct;
            if (only_) {
                describe("killed", killed);
            }
            if (std::string problem = oracle.judge(killed, name.seed(), 1); !problem.empty()) {
                return complain(name, problem);
            }
        }
        const loss_of_power loss{crash.disk};
        for_each_choice(loss, much.most, name.seed(), with);
    }

    [[nodiscard]] static effort effort_for(const state_name& name) {
        const std::uint64_t length = name.workload >> 16;
        if (name.kind == kind_long || name.kind == kind_threads) {
            return {4, 4};
        }
        if (name.kind == kind_broker) {
            return {1, length < 2 ? 1u : length == 2 ? 4u : 20u};
        }
        if (name.kind == kind_transactions) {  // most of them where the last step is over
            const std::uint64_t one_in = length < 2 ? 4 : length == 2 ? 12 : 30;
            return {1, name.is_last ? one_in / 4 : one_in};
        }
        const bool is_hasty = name.kind == kind_hasty;
        switch (length) {
            case 1: return is_hasty ? effort{128, 1} : effort{4'096, 1};
            case 2: return is_hasty ? effort{8, 4} : effort{512, 1};
            case 3: return is_hasty ? effort{2, 8} : effort{8, 2};
            default: return is_hasty ? effort{1, 40} : effort{1, 12};
        }
    }

    template <class Visit>
    void for_each_choice(const loss_of_power& loss, std::uint64_t most, std::uint64_t seed, const Visit& visit) {
        const auto& things = loss.things();
        crash_choice choice;
        choice.options.assign(things.size(), 0);
        seeded random{seed};
        if (loss.count() <= most) {
            loss.for_each_choice([&](const crash_choice& one) { visit(one, loss); });
        } else {
            const auto newest = [&](std::size_t i) { return static_cast<std::uint16_t>(things[i].options() - 1); };
            // Nothing, everything, everything up to a moment, everything since, one alone, all but one.
            std::vector<std::uint64_t> times;
            for (const auto& thing : things) {
                times.insert(times.end(), thing.times.begin(), thing.times.end());
            }
            std::sort(times.begin(), times.end());
            times.erase(std::unique(times.begin(), times.end()), times.end());
            visit(choice, loss);
            for (const std::uint64_t moment : times) {
                for (std::size_t i = 0; i < things.size(); ++i) {
                    const auto& of = things[i].times;
                    choice.options[i] = static_cast<std::uint16_t>(std::upper_bound(of.begin(), of.end(), moment) - of.begin());
                }
                visit(choice, loss);
                for (std::size_t i = 0; i < things.size(); ++i) {
                    choice.options[i] = things[i].times.back() > moment ? newest(i) : std::uint16_t{0};
                }
                visit(choice, loss);
            }
            for (std::size_t alone = 0; alone < things.size(); ++alone) {
                for (std::size_t i = 0; i < things.size(); ++i) {
                    choice.options[i] = i == alone ? newest(i) : std::uint16_t{0};
                }
                visit(choice, loss);
                for (std::size_t i = 0; i < things.size(); ++i) {
                    choice.options[i] = i == alone ? std::uint16_t{0} : newest(i);
                }
                visit(choice, loss);
            }
            for (std::uint64_t i = 0; i < most && !things.empty(); ++i) {
                for (std::size_t j = 0; j < things.size(); ++j) {
                    choice.options[j] = static_cast<std::uint16_t>(random.below(things[j].options()));
                }
                visit(choice, loss);
            }
        }
        // Torn ones, for which no number of choices is all.
        const std::uint64_t torn = things.empty() ? 0 : std::min<std::uint64_t>(8, 1 + most / 8);
        for (std::uint64_t i = 0; i < torn; ++i) {
            for (std::size_t j = 0; j < things.size(); ++j) {
                choice.options[j] = static_cast<std::uint16_t>(random.below(things[j].options()));
            }
            choice.tear = random.next();
            choice.has_garbage = random.one_in(2);
            ++figures_.torn;
            figures_.garbage += choice.has_garbage ? 1 : 0;
            visit(choice, loss);
        }
    }

    [[nodiscard]] bool is_new(const log_crash& crash) {
        std::uint64_t sum = crash.disk.hash();
        const auto stir = [&](std::uint64_t word) { sum = format::detail::multiply_fold(sum ^ 0x9e3779b97f4a7c15u, word ^ 0xc2b2ae3d27d4eb4fu); };
        stir(static_cast<std::uint64_t>(crash.known.durable));
        stir(crash.known.epoch);
        for (const auto& slot : *crash.known.slots) {
            stir(slot.record.word() + static_cast<std::uint64_t>(slot.what));
        }
        return known_.insert(sum).second;
    }

    /// What the pages hold, as far as a person wants to know.
    static void describe(const char* what, const log_crash& crash) {
        std::printf("%s: boot %llu, durable %lld, returned %lld, slots %zu\n", what, static_cast<unsigned long long>(crash.disk.boot),
                    static_cast<long long>(crash.known.durable), static_cast<long long>(crash.known.returned), crash.known.slots->size());
        const auto directory = crash.disk.find(lone_partition);
        for (const auto& entry : crash.disk.nodes[directory.value_or(0)].entries.all()) {
            const disk_node& file = crash.disk.nodes[entry.node];
            std::printf("  %s: inode %llu, %llu bytes (%llu durable);", name_table::name_of(entry.name).c_str(), static_cast<unsigned long long>(file.inode),
                        static_cast<unsigned long long>(file.size), static_cast<unsigned long long>(file.durable_size));
            for (std::size_t page = 0; page < file.pages.size(); ++page) {
                const page_state& one = file.pages[page];
                std::printf(" %c%zu%s", one.is_lost ? '!' : one.last ? 'p' : '-', one.versions.size(), hash_of(one.last) == hash_of(one.durable) ? "" : "*");
            }
            std::printf("\n");
            const auto raw = crash.disk.read(entry.node);
            for (std::size_t at = format::segment_header_size; name_table::name_of(entry.name).ends_with(".log") && at + format::frame_header_size <= raw.size();) {
                const auto header = format::load_header(raw.data() + at);
                if (header.size < static_cast<std::int32_t>(format::frame_header_size)) {
                    break;
                }
                std::printf("    %zu: kind %u, size %d, offset %lld, count %u, epoch %u%s\n", at, static_cast<unsigned>(format::word_of(header).kind()), header.size,
                            static_cast<long long>(header.base_offset), header.count, header.leader_epoch,
                            format::verifies(load<format::segment_birth>(raw.data()).seed, static_cast<position>(at), static_cast<position>(raw.size()), raw.data() + at) ? "" : " (bad)");
                at += format::word_of(header).length();
            }
        }
        for (const auto& change : crash.disk.nodes[directory.value_or(0)].changes) {
            std::printf("  not synced: %s %s\n", change.what == directory_change::kind::add ? "add" : change.what == directory_change::kind::remove ? "remove" : "move", name_table::name_of(change.name).c_str());
        }
    }

    [[nodiscard]] bool is_new(const broker_crash& crash) {
        std::uint64_t sum = crash.disk.hash() ^ (crash.power_has_gone ? 1 : 2);
        const auto stir = [&](std::uint64_t word) { sum = format::detail::multiply_fold(sum ^ 0x9e3779b97f4a7c15u, word ^ 0xc2b2ae3d27d4eb4fu); };
        stir(static_cast<std::uint64_t>(crash.known.durable));
        stir(crash.known.commits_returned << 2 | (crash.known.has_journal ? 1u : 0u) | (crash.known.has_second ? 2u : 0u));
        for (const auto& record : *crash.known.sent) {
            stir(record.word());
        }
        return known_.insert(sum).second;
    }

    [[nodiscard]] bool is_new(const transaction_crash& crash) {
        std::uint64_t sum = crash.disk.hash() ^ (crash.power_has_gone ? 1 : 2);
        const auto stir = [&](std::uint64_t word) { sum = format::detail::multiply_fold(sum ^ 0x9e3779b97f4a7c15u, word ^ 0xc2b2ae3d27d4eb4fu); };
        for (std::size_t id = 0; id < 2; ++id) {
            stir(crash.known.durable[id] << 32 | crash.known.returned[id] << 16 | crash.known.sent[id]->size());
        }
        return known_.insert(sum).second;
    }

    void complain(const state_name& name, const std::string& problem) {
        if (++bad_ > 4) {
            return;
        }
        std::printf("BAD  %s\n     ", problem.c_str());
        if (name.kind == kind_broker) {
            std::printf("a broker, flush_messages %u: ", static_cast<unsigned>(name.plan));
            for (std::uint64_t i = 0; i < name.workload >> 16; ++i) {
                std::printf("%s; ", broker_step_names[name.workload >> (4 * i) & 15]);
            }
        } else if (name.kind == kind_transactions) {
            std::printf("transactions, flush_messages %lld: ", static_cast<long long>(transaction_plans[name.plan % transaction_plans.size()]));
            for (const transaction_step one : transaction_steps(name.workload)) {
                std::printf("%s; ", transaction_step_names[static_cast<std::size_t>(one)]);
            }
        } else {
            std::printf("segments of %u bytes, flush_messages %lld: ", log_plans[name.plan].segment_bytes,
                        static_cast<long long>(log_plans[name.plan].flush_messages));
            if (name.kind == kind_long || name.kind == kind_threads) {
                std::printf("run %llu; ", static_cast<unsigned long long>(name.workload));
            } else {
                for (const step one : decode(name.workload)) {
                    std::printf("%s; ", step_names[static_cast<std::size_t>(one)]);
                }
            }
        }
        std::printf("crash %llu, state %llu, after %llu states and %.1f s\n     again: power_loss 0x%llx\n",
                    static_cast<unsigned long long>(name.point), static_cast<unsigned long long>(name.state),
                    static_cast<unsigned long long>(figures_.states), elapsed(), static_cast<unsigned long long>(name.seed()));
    }

    [[nodiscard]] bool report() const {
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        const power_figures& f = figures_;
        std::printf("power loss: %llu states of %llu crashes (%llu distinct, %llu inside a recovery, %llu after one, %llu known already), "
                    "%.0f states/s; sequences of 1 to 4 steps:",
                    n(f.states), n(points_), n(f.distinct), n(f.nested), n(f.further), n(f.repeated), static_cast<double>(f.states) / elapsed());
        for (const auto& [done, all] : sequences_) {
            std::printf(" %llu of %llu,", n(done), n(all));
        }
        std::printf(" with a broker %llu of %llu,", n(broker_sequences_.first), n(broker_sequences_.second));
        std::printf(" with transactions %llu of %llu and %llu longer ones, %llu states of them,", n(transaction_sequences_.first), n(transaction_sequences_.second),
                    n(transaction_runs_), n(transaction_states_));
        std::printf(" long runs %llu, %llu of threads; met: kills %llu, torn %llu, garbage %llu, cuts %llu, segments put aside %llu, segments in new files %llu, gaps filled %llu, ends erased %llu, "
                    "failed syncs %llu, rot %llu (%llu with evidence), not durable and lost %llu; bad %llu; %.1f s\n",
                    n(long_runs_), n(thread_runs_), n(f.kills), n(f.torn), n(f.garbage), n(f.cuts), n(f.moved_segments), n(f.doubted), n(f.filled), n(f.erased), n(f.failed_syncs),
                    n(f.rot), n(f.rot_kept), n(f.lost_acks), n(bad_), elapsed());
        return bad_ == 0;
    }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    std::optional<state_name> only_;
    std::vector<log_crash> crashes_;
    std::unordered_set<std::uint64_t> known_;
    power_figures figures_;
    std::array<std::pair<std::uint64_t, std::uint64_t>, 4> sequences_{};
    std::pair<std::uint64_t, std::uint64_t> broker_sequences_{};
    std::pair<std::uint64_t, std::uint64_t> transaction_sequences_{};
    std::uint64_t transaction_runs_ = 0;
    std::uint64_t transaction_states_ = 0;
    std::uint64_t points_ = 0;
    std::uint64_t long_runs_ = 0;
    std::uint64_t thread_runs_ = 0;
    std::uint64_t bad_ = 0;
};

const fault_program power_loss{"power_loss", [](int count, char** arguments) {
    campaign all{seconds_to_run(20)};
    if (count > 1 && std::string_view{arguments[1]} == "transactions") {
        return all.run_transactions() ? 0 : 1;
    }
    return (count > 1 ? all.repeat(std::strtoull(arguments[1], nullptr, 0)) : all.run()) ? 0 : 1;
}};

}  // namespace

}  // namespace fault_power_loss
