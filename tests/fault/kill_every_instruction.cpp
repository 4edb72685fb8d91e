// T1: what is left when a process is killed between any two of its instructions?
//
// A child does one thing to a small store: it appends, compressed or not, rolls, syncs, deletes records and topics, compacts, opens after a crash,
// closes. Its parent leads it through, instruction by instruction. Whenever one of them has changed a byte of any file, or entered the kernel, the
// parent copies the directory, which is precisely what a kill at that point leaves, recovers the copy, and holds it
// against what the child had been told. So this is no sample: it is every point at which this build can be killed.
//
// Then the same for recovery itself, on copies that are recovered by a child that is stepped in its turn; for copies
// that pass for another boot's, as after a power loss; and with one or two threads held at some instruction of an
// append while another thread goes on appending, before all of them are killed: at each of its instructions or, where a compiler that does not
// optimize has made many, at one in so many, which is printed. Where a child stops at its stores and calls alone these are counted, not instructions.
//
// usage: brook_fault kill_every_instruction [seconds] [seed] [scenario]
//        seconds, or BROOK_FAULT_SECONDS: how long; every instruction of every scenario is visited all the same.
//        scenario: a part of the names of those to visit; then no thread is held.
// Exit status 77: this machine does not let a process trace its child.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fault/broker_oracle.hpp"
#include "fault/crash_oracle.hpp"
#include "fault/program.hpp"
#include "fault/transaction_oracle.hpp"
#include "support/directory_watch.hpp"
#include "support/disguised_record.hpp"
#include "support/log_anatomy.hpp"
#include "support/relocated_platform.hpp"
#include "support/stepped_process.hpp"
#include "support/store_trap.hpp"
#include "support/temp_directory.hpp"

namespace fault_kill_every_instruction {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

constexpr std::uint32_t small_segment = 8 * kib;
constexpr std::uint32_t with_spare = 68 * kib;  // only segments above the first window of 64 KiB get one

/// What a scenario is given: a partition, and a place to say what it is about to do and what it has been told.
/// Lives in the child, which never runs its destructor.
class session {
public:
    session(os::platform& platform, const std::string& directory, storage::log_options options, progress& told, transaction_progress& committed)
        : path{directory}, platform_{platform}, options_{options}, told_{told}, committed_{committed} {}

    void open() {
        log_ = new open_partition{platform_, path, options_};  // an earlier one is left as a dead process leaves it
        demand(static_cast<bool>(*log_));
    }
    [[nodiscard]] storage::log& log() const { return **log_; }
    [[nodiscard]] bool has_retention() const noexcept { return options_.retention.is_there(); }

    void append(std::uint32_t size, std::uint32_t writer = 0) { append_all({&size, 1}, writer); }

    /// One batch; a single record is appended alone.
    void append_all(std::span<const std::uint32_t> sizes, std::uint32_t writer = 0) {
        writer_progress& mine = told_.writers[writer];
        const std::uint32_t first = mine.acked.load();
        std::array<disguised_record, 16> records;
        for (std::uint32_t i = 0; i < sizes.size(); ++i) {
            records[i] = {first + i, writer, 0, sizes[i]};
            mine.words[first + i] = records[i].word();
        }
        const auto count = static_cast<std::uint32_t>(sizes.size());
        mine.begun.store(first + count);
        failure why;
        begin();
        const offset at = count > 1                   ? append_batch(log(), std::span{records}.first(count), why)
                          : options_.compaction.is_on ? append_sharing_key(log(), records[0], why)
                                                      : append_lone(log(), records[0], why);
        demand(at >= 0);
        for (std::uint32_t i = 0; i < count; ++i) {
            mine.offsets[first + i] = at + i;
        }
        mine.acked.store(first + count);
    }

    /// A broker's lock goes with its process.
    template <class Work>
    static void in_a_process_that_dies(const Work& work) {
        const pid_t other = fork_child();
        if (other == 0) {
            die_with_parent();
            work();
            ::kill(::getpid(), SIGKILL);
        }
        demand(::waitpid(other, nullptr, 0) == other);
    }

    // ---- the same with a broker ----

    void open_broker() { journal_ = new journal{platform_, path, maintenance::manual, options_.flush_messages}; }
    [[nodiscard]] journal& users() const { return *journal_; }
    void close_broker() { delete journal_; }

    void send(std::uint32_t size, std::uint32_t writer = 0) {
        writer_progress& mine = told_.writers[writer];
        const std::uint32_t sequence = mine.acked.load();
        const disguised_record record{sequence, writer, 0, size};
        mine.words[sequence] = record.word();
        mine.begun.store(sequence + 1);
        mine.offsets[sequence] = journal_->send(record);
        mine.acked.store(sequence + 1);
    }

    /// One batch, compressed.
    void send_compressed(std::span<const std::uint32_t> sizes, compression codec) {
        writer_progress& mine = told_.writers[0];
        const std::uint32_t first = mine.acked.load();
        std::vector<disguised_record> records;
        for (const std::uint32_t size : sizes) {
            records.push_back({first + static_cast<std::uint32_t>(records.size()), 0, 0, size});
            mine.words[records.back().sequence] = records.back().word();
        }
        const auto count = static_cast<std::uint32_t>(records.size());
        mine.begun.store(first + count);
        const std::vector<offset> offsets = journal_->send_compressed(records, codec);
        std::copy(offsets.begin(), offsets.end(), mine.offsets.begin() + first);
        mine.acked.store(first + count);
    }

    void make_and_fill_topic() {
        journal_->make_doomed();
        journal_->fill_doomed();
        told_.topic_begun.store(1);
        told_.topic_acked.store(1);
    }
    void make_topic() {
        told_.topic_begun.store(told_.topic_acked.load() + 1);
        journal_->make_doomed();
        told_.topic_acked.store(told_.topic_begun.load());
    }
    void delete_topic() {
        told_.topic_begun.store(told_.topic_acked.load() + 1);
        journal_->delete_doomed();
        told_.topic_acked.store(told_.topic_begun.load());
    }

    void poll_and_commit() {
        demand(!journal_->poll().empty());
        told_.commit_begun.store(journal_->position());
        journal_->commit();
        told_.commit_acked.store(told_.commit_begun.load());
    }

    // ---- and with transactions ----

    void open_house() { house_ = new clearing_house{platform_, path, options_.flush_messages}; }
    void furnish() {
        open_house();
        house_->furnish();
    }

    void run(transaction_step kind) {
        const std::uint32_t number = committed_.acked.load();
        const sent_transaction made = house_->plan(kind, 0, number + 1);
        const bool commits = kind != transaction_step::aborted;
        if (commits) {
            committed_.sent[number] = made;
            committed_.begun.store(number + 1);
        }
        house_->run(made, 0, commits);
        committed_.acked.store(number + (commits ? 1 : 0));
    }

    void send_number() {
        const std::uint64_t number = committed_.numbers_acked.load();
        committed_.numbers_begun.store(number + 1);
        house_->send_number(number);
        committed_.numbers_acked.store(number + 1);
    }

    void wait_durable() {
        begin();
        demand(!log().sync());
        told_.durable.store(log().durable_offset());
    }

    /// Upkeep at a time of the scenario's choosing: 1 ns after the beginning every topic is a busy one.
    void upkeep(std::int64_t nanoseconds) {
        demand(!log().upkeep(std::chrono::nanoseconds{nanoseconds}).why);
        told_.durable.store(log().durable_offset());
    }

    /// Upkeep until nothing is left for it, some seconds later each time.
    void keep_up() {
        for (bool has_more = true; has_more;) {
            const auto done = log().upkeep(now_ += std::chrono::seconds{2});
            demand(!done.why);
            has_more = done.has_more;
            told_.durable.store(log().durable_offset());
        }
    }

    /// The records in front of `before` are deleted.
    void delete_records(offset before) {
        told_.deletion_begun.store(before);
        demand(!log().delete_records(before));
        told_.durable.store(log().durable_offset());
        told_.deletion_acked.store(before);
    }

    /// Upkeep that may let go of what stands in front of `most`, by the log's policy.
    void retain(offset most) {
        told_.deletion_begun.store(most);
        keep_up();
        demand(log().log_start_offset() > 0);
        told_.deletion_begun.store(log().log_start_offset());
        told_.deletion_acked.store(log().log_start_offset());
    }

    /// A claim that is never published. `mark` false: killed even before that. `body`: bytes written of it.
    void leave_claim(std::uint32_t length, bool mark, std::uint32_t body) {
        storage::claim taken;
        failure why;
        demand(log().take(length, 1, taken, why));
        if (mark) {
            for (std::uint32_t at = 8; at + 8 <= length && at < body; at += 8) {
                store(taken.data + at, disguised_record{at, 1, 2, 3}.word());
            }
        } else {
            store(taken.data, std::uint64_t{0});
        }
    }

    /// A thread that is to be held stops itself in front of the first thing it does.
    static inline thread_local bool is_to_be_held = false;
    static void begin() {
        if (std::exchange(is_to_be_held, false)) {
            ::raise(SIGTRAP);
        }
    }

    static constexpr int failed_code = 79;
    static void demand(bool condition) {
        if (!condition) {
            ::_exit(failed_code);  // a signal would be its parent's
        }
    }

    const std::string path;

private:
    os::platform& platform_;
    storage::log_options options_;
    progress& told_;
    transaction_progress& committed_;
    open_partition* log_ = nullptr;
    journal* journal_ = nullptr;
    clearing_house* house_ = nullptr;
    std::chrono::nanoseconds now_{};
};

enum class floor { log, broker, transactions };

struct scenario {
    const char* name;
    storage::log_options options;
    std::function<void(session&)> prepare;  ///< at full speed
    std::function<void(session&)> work;     ///< step by step
    enum floor floor = floor::log;
    bool by_stores = false;  ///< stops at stores and calls alone: much reading lies between them
    std::uint64_t one_in = 1;  ///< of its states that are looked at: where most are bytes on their way
};

void nothing(session&) {}
void just_open(session& s) { s.open(); }

/// Holes of every kind in one segment, a hole in front of a seal, and records behind all of them.
void leave_holes(session& s) {
    s.open();
    s.append(100);
    s.leave_claim(128, true, 0);
    s.append(24);
    s.leave_claim(128, false, 0);
    s.append(8);
    s.leave_claim(96, false, 0);
    s.leave_claim(256, true, 200);
    s.leave_claim(64, true, 64);
    s.append(300);
    s.leave_claim(200, true, 100);
    s.leave_claim(96, false, 0);
    session::demand(!s.log().roll());
    s.append(50);
    s.leave_claim(48, true, 8);
    s.append(60);
    s.leave_claim(512, true, 300);
    s.leave_claim(64, true, 8);
}

/// Three segments of two records, and the last one with none.
void fill_segments(session& s) {
    s.open();
    for (int i = 0; i < 3; ++i) {
        s.append(100);
        s.append(3'000);
        session::demand(!s.log().roll());
    }
    if (!s.has_retention()) {
        s.keep_up();
    }
}

/// Records of four keys over several segments, of which all are sealed but the last.
void repeat_keys(session& s) {
    s.open();
    for (int i = 0; i < 3; ++i) {
        for (const std::uint32_t size : {20u, 0u, 200u, 100u, 400u}) {
            s.append(size);
        }
        session::demand(!s.log().roll());
    }
    s.append(50);
}

std::vector<scenario> all_scenarios() {
    const storage::log_options small{.segment_bytes = small_segment};
    const storage::log_options spare{.segment_bytes = with_spare};
    const storage::log_options durable{.segment_bytes = small_segment, .flush_messages = 1};
    const storage::log_options few{.segment_bytes = small_segment, .retention = {.bytes = 3 * kib}};
    static storage::compaction_turn turn{64 * kib};
    const storage::log_options last_of_key{.segment_bytes = small_segment / 2, .compaction = {.is_on = true, .min_dirty_ratio = 0}, .turn = &turn};
    constexpr std::array<std::uint32_t, 8> batch{1, 100, 0, 33, 8, 200, 17, 64};
    const auto touch = [](const std::string& path) { ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); };

    return {
        {"open an empty directory", small, nothing, [](session& s) { s.open(); s.append(5); }},
        {"append: 1 byte, 100, none", small, just_open, [](session& s) { s.append(1); s.append(100); s.append(0); }},
        {"append: a batch of 8", small, just_open, [=](session& s) { s.append_all(batch); s.append(9); }},
        {"append across pages", {.segment_bytes = 4 * small_segment}, [](session& s) { s.open(); s.append(3'700); },
         [=](session& s) { s.append(100); s.append_all(batch); s.append(4'500); s.append(24); }},
        {"append across segments", {.segment_bytes = small_segment / 2}, [](session& s) { s.open(); s.append(3'500); },
         [=](session& s) { s.append(200); s.append(200); s.append(3'600); s.append_all(batch); }},
        {"give a claim up", small, [](session& s) { s.open(); s.append(7); },
         [](session& s) {
             storage::claim taken;
             failure why;
             session::demand(s.log().take(200, 1, taken, why));
             store(taken.data + 40, std::uint64_t{77});
             s.log().abandon(taken, 1);
             s.append(30);
         }},
        {"roll", small, [](session& s) { s.open(); s.append(100); },
         [](session& s) { session::demand(!s.log().roll()); s.append(100); session::demand(!s.log().roll()); }},
        {"prepare a spare", spare, [](session& s) { s.open(); s.append(100); }, [](session& s) { s.upkeep(1); s.append(10); }},
        {"roll onto a spare, name it", spare, [](session& s) { s.open(); s.append(100); s.upkeep(1); },
         [](session& s) { session::demand(!s.log().roll()); s.append(20); s.append(10); s.upkeep(1'000'000'000'000); s.append(3); }},
        {"roll onto a spare, and onto another", spare, [](session& s) { s.open(); s.append(100); s.upkeep(1); },
         [](session& s) {
             for (std::int64_t time = 2; time < 4; ++time) {
                 session::demand(!s.log().roll());
                 s.append(20);
                 s.upkeep(time);
             }
         }},
        {"sync", durable, [](session& s) { s.open(); s.append(100); },
         [](session& s) { s.wait_durable(); s.append(10); s.wait_durable(); s.upkeep(5'000'000'000); s.append(2); }},
        {"sync across segments, footer, checkpoint", durable,
         [](session& s) { s.open(); s.append(100); session::demand(!s.log().roll()); s.append(10); },
         [](session& s) { s.upkeep(5'000'000'000); session::demand(!s.log().roll()); s.append(2); s.wait_durable(); s.upkeep(6'000'000'000); }},
        {"close", small, [](session& s) { s.open(); s.append(100); s.append(5'000); }, [](session& s) { s.log().close(); }},
        {"close, with a spare and a synced segment", {.segment_bytes = with_spare, .flush_messages = 4},
         [](session& s) { s.open(); s.append(100); session::demand(!s.log().roll()); s.append(10); s.upkeep(1); },
         [](session& s) { s.log().close(); }},
        {"open after a close", small, [](session& s) { s.open(); s.append(100); s.log().close(); },
         [](session& s) { s.open(); s.append(8); }},
        {"open after a kill: holes", small, leave_holes, [](session& s) { s.open(); s.append(8, 1); }},
        {"open after a kill: a claim at the end", durable,
         [=](session& s) {
             s.open();
             s.append(100);
             s.wait_durable();
             s.leave_claim(2'000, true, 1'900);
             touch(s.path + "/00000000000000000001.log.tmp");
         },
         [](session& s) { s.open(); s.append(8, 1); }},
        {"open after a kill: a seal, and nothing behind it", small,
         [](session& s) {
             s.open();
             s.append(100);
             session::demand(!s.log().roll());
             session::demand(::unlink((s.path + "/00000000000000000001.log").c_str()) == 0);
         },
         [](session& s) { s.open(); s.append(8, 1); }},
        {"open after a kill: the next segment has no name yet", spare,
         [](session& s) { s.open(); s.append(100); s.upkeep(1); session::demand(!s.log().roll()); s.append(65'000); },
         [](session& s) { s.open(); s.append(8, 1); }, floor::log, true},
        {"open after a kill: a spare", spare, [](session& s) { s.open(); s.append(65'000); s.upkeep(1); },
         [](session& s) { s.open(); s.append(8, 1); }, floor::log, true},

        {"delete records: a part of a segment", small, [](session& s) { s.open(); s.append(100); s.append(10); s.append(7); s.upkeep(1); },
         [](session& s) { s.delete_records(2); s.append(30); }},
        {"delete records: whole segments", small, fill_segments, [](session& s) { s.delete_records(5); s.append(30); }},
        {"delete records: all of them, and the last segment", small, fill_segments, [](session& s) { s.delete_records(6); s.keep_up(); s.append(30); }},
        {"retention: segments go", few, fill_segments, [](session& s) { s.retain(5); s.append(30); }},
        {"compaction: segments become one", last_of_key, repeat_keys, [](session& s) { s.keep_up(); s.append(30); }},
        {"compaction: of what was compacted, and what came since", last_of_key,
         [](session& s) { repeat_keys(s); s.keep_up(); s.append(2'000); session::demand(!s.log().roll()); s.append(90); },
         [](session& s) { s.keep_up(); }},

        {"broker: open an empty directory, make a topic", small, nothing, [](session& s) { s.open_broker(); }, floor::broker},
        {"broker: send, poll, commit, twice", small, [](session& s) { s.open_broker(); s.send(10); s.poll_and_commit(); },
         [](session& s) { s.send(100); s.poll_and_commit(); s.send(5); s.poll_and_commit(); }, floor::broker},
        {"broker: send and wait for the disk, upkeep", durable, [](session& s) { s.open_broker(); s.send(10); },
         [](session& s) { s.send(100); s.poll_and_commit(); s.users().broker().maintain(); }, floor::broker},
        {"broker: close", small, [](session& s) { s.open_broker(); s.send(10); s.poll_and_commit(); s.send(7); },
         [](session& s) { s.close_broker(); }, floor::broker},
        {"broker: open after a kill", small,
         [](session& s) {
             s.open_broker();
             s.send(10);
             s.poll_and_commit();
             s.send(4'000);
             s.send(4'000);
         },
         [](session& s) { s.open_broker(); s.poll_and_commit(); }, floor::broker, true},
        {"broker: a batch compressed with lz4", small, [=](session& s) { s.open_broker(); s.send_compressed(batch, compression::lz4); },
         [=](session& s) { s.send_compressed(batch, compression::lz4); s.send_compressed(std::array{2'000u}, compression::lz4); s.send(9); }, floor::broker},
        {"broker: a batch compressed with zstd", small, [=](session& s) { s.open_broker(); s.send_compressed(batch, compression::zstd); },
         [=](session& s) { s.send_compressed(batch, compression::zstd); s.send_compressed(std::array{2'000u}, compression::zstd); s.send(9); }, floor::broker},
        {"broker: delete a topic, make it again", small, [](session& s) { s.open_broker(); s.send(10); s.poll_and_commit(); s.make_and_fill_topic(); },
         [](session& s) { s.delete_topic(); s.make_topic(); s.send(20); }, floor::broker},

        {"transactions: the first one", small, [](session& s) { s.furnish(); }, [](session& s) { s.run(transaction_step::whole); }, floor::transactions},
        {"transactions: two topics, offsets, a state", small, [](session& s) { s.furnish(); s.run(transaction_step::whole); },
         [](session& s) { s.run(transaction_step::whole); s.run(transaction_step::state_only); }, floor::transactions},
        {"transactions: an abort, and one behind it", small, [](session& s) { s.furnish(); s.run(transaction_step::aborted); },
         [](session& s) { s.run(transaction_step::right_only); }, floor::transactions},
        {"transactions: on the disk", durable, [](session& s) { s.furnish(); s.run(transaction_step::whole); },
         [](session& s) { s.run(transaction_step::whole); }, floor::transactions},
        {"transactions: open after a kill, a large one", small,
         [](session& s) { s.furnish(); s.run(transaction_step::whole); s.run(transaction_step::aborted); },
         [](session& s) { s.open_house(); s.run(transaction_step::large); }, floor::transactions, true, 100},
        {"transactions: the first record with a number", small, [](session& s) { s.furnish(); },
         [](session& s) { s.send_number(); s.send_number(); }, floor::transactions},
    };
}

struct totals {
    std::uint64_t instructions = 0;
    std::uint64_t stores = 0;  ///< and calls, where it is stopped at these alone
    std::uint64_t states = 0;
    std::uint64_t nested_openers = 0;
    std::uint64_t nested_states = 0;
    std::uint64_t power_losses = 0;
    std::uint64_t held = 0;
    std::uint64_t held_blocked = 0;  ///< the other thread could not go on: the held one had a lock
    std::uint64_t whole = 0;
    std::uint64_t absent = 0;
    std::uint64_t bad = 0;
    std::uint64_t fillers = 0;
    std::uint64_t erased = 0;
    std::uint64_t finished_rolls = 0;
    std::uint64_t compacted = 0;   ///< records that were left out
    std::uint64_t compressed = 0;  ///< batches
    std::uint64_t deletions = 0;   ///< states in which one was in flight
    crash_marks marks;
};

class campaign {
public:
    campaign(double seconds, std::uint64_t seed)
        : begin_{clock_type::now()}, seconds_{seconds}, seed_{seed}, random_{seed}, root_{memory_directory()},
          live_{root_ / "live"}, image_{root_ / "image"}, nested_{root_ / "nested"} {
        for (const std::string& path : {live_, image_, nested_}) {
            if (::mkdir(path.c_str(), 0700) != 0) {
                throw_errno("mkdir " + path);
            }
        }
    }

    /// Every instruction of a scenario. One state in `nested_every` is also recovered store by store, twice: as after
    /// a kill and as after a power loss.
    bool visit(const scenario& what, std::uint64_t nested_every) {
        scenario_ = what.name;
        watchdog_.still_alive(what.name);
        told_.reset();
        committed_.reset();
        empty_directory(live_);
        relocated_platform platform;
        session in_child{platform, live_, what.options, *told_, *committed_};
        double nested_seconds = 0;
        const auto judge_state = [&](const directory_watch& live) {
            if (random_() % what.one_in != 0) {
                return;
            }
            ++totals_.states;
            judge_copy(live, image_, platform, what, crash::kill, crash::kill);
            if (totals_.states % 4 == 0 && what.floor == floor::log) {
                judge_copy(live, image_, platform, what, crash::power_loss, crash::power_loss);
            }
            if (store_trap::is_supported && random_() % nested_every == 0 && nested_seconds < seconds_ / 60) {
                nested_seconds -= elapsed();
                recover_by_stores(live, platform, what, crash::kill);
                if (what.floor == floor::log) {
                    recover_by_stores(live, platform, what, crash::power_loss);
                }
                nested_seconds += elapsed();
            }
        };
        if (what.by_stores && store_trap::is_supported) {
            session::in_a_process_that_dies([&] { what.prepare(in_child); });
            totals_.stores += follow_stores(live_, platform, judge_state, [&](os::platform& trapping) {
                session stopping{trapping, live_, what.options, *told_, *committed_};
                what.work(stopping);
            });
            return true;
        }
        stepped_process child{[&] {
                                  if (what.by_stores) {
                                      session::in_a_process_that_dies([&] { what.prepare(in_child); });
                                  } else {
                                      what.prepare(in_child);
                                  }
                              },
                              [&] {
                                  what.work(in_child);
                                  told_->is_done.store(true);
                              }};
        if (child.was_refused()) {
            return false;
        }
        follow(child, live_, judge_state);
        return true;
    }

    /// A thread is held `steps` instructions into its work while another appends, then both are killed. Returns false
    /// when the work was over before.
    bool hold(const scenario& what, std::span<const std::uint64_t> steps, bool others_roll);

    /// Of how many instructions a scenario's work is.
    [[nodiscard]] std::uint64_t length_of(const scenario& what) {
        const std::uint64_t before = totals_.instructions;
        static_cast<void>(hold(what, std::array{~std::uint64_t{0}}, false));
        return std::max<std::uint64_t>(1, totals_.instructions - before);
    }

    [[nodiscard]] bool has_time(double share) const {
        return std::chrono::duration<double>(clock_type::now() - begin_).count() < seconds_ * share;
    }
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }
    [[nodiscard]] bool is_hopeless() const noexcept { return totals_.bad >= most_complaints; }
    [[nodiscard]] totals& counted() noexcept { return totals_; }
    [[nodiscard]] std::mt19937_64& random() noexcept { return random_; }

private:
    /// Leads the child to its end and calls `visit` for every state of its directory, or of what it says.
    template <class Visit>
    void follow(stepped_process& child, const std::string& path, const Visit& visit) {
        directory_watch watch{path};
        if (watch.has_changed()) {
            visit(watch);
        }
        std::uint64_t acked = answers();
        while (child.is_running() && !told_->is_done.load() && !is_hopeless()) {
            const bool is_call = child.is_at_system_call();
            if (!child.step()) {
                break;
            }
            ++totals_.instructions;
            ++step_;
            if (is_call) {
                watch.rescan();
            }
            const bool has_answered = answers() != acked;
            if (watch.has_changed() || has_answered) {
                acked = answers();
                visit(watch);
            }
        }
        if (!told_->is_done.load() && !is_hopeless()) {
            complain("the child ended by itself, exit status " + std::to_string(child.exit_code()));
        }
        step_ = 0;
    }

    /// The same, stopping only where something was stored or called. Returns how often that was.
    template <class Visit, class Work>
    std::uint64_t follow_stores(const std::string& path, const relocated_platform& platform, const Visit& visit, const Work& work) {
        directory_watch watch{path};
        std::uint64_t known = answers();
        static_cast<void>(watch.has_changed());
        store_trap child{platform, work};
        std::uint64_t stops = 0;
        while (!is_hopeless() && child.step()) {
            ++stops;
            watch.rescan();
            if (watch.has_changed() || answers() != known) {
                known = answers();
                visit(watch);
            }
        }
        if (child.exit_code() != 0) {
            complain("the child ended by itself, exit status " + std::to_string(child.exit_code()));
        }
        return stops;
    }

    /// `kind`: what the log may have lost. `copy_as`: whether the copy's files are to those who open them the originals.
    void judge_copy(const directory_watch& live, const std::string& target, relocated_platform& seen_by,
                    const scenario& what, crash kind, crash copy_as) {
        watchdog_.still_alive(what.name);
        relocated_platform platform;
        live.copy_to(target, copy_as == crash::kill ? &seen_by : nullptr, &platform);
        if (copy_as == crash::kill) {
            const std::string topic = what.floor == floor::broker ? journal_name : "left";
            const log_anatomy seen = dissect(what.floor == floor::log ? target : target + "/topics/" + topic + "/0");
            totals_.marks += seen.marks;
            totals_.compressed += seen.compressed_frames;
        } else {
            ++totals_.power_losses;
        }
        const outcome result = what.floor == floor::log      ? crash_oracle{*told_, what.options}.judge(platform, target, kind)
                               : what.floor == floor::broker ? broker_oracle{*told_}.judge(platform, target)
                                                             : transaction_oracle{*committed_}.judge(platform, target);
        totals_.fillers += result.fillers;
        totals_.erased += result.erased_bytes != 0 ? 1 : 0;
        totals_.finished_rolls += result.finished_rolls;
        totals_.compacted += result.compacted;
        totals_.deletions += told_->deletion_begun.load() != told_->deletion_acked.load() || told_->topic_begun.load() != told_->topic_acked.load() ? 1 : 0;
        totals_.whole += result.whole ? 1 : 0;
        totals_.absent += result.absent ? 1 : 0;
        if (!result.problem.empty()) {
            complain((kind == crash::kill ? "kill: " : "power loss: ") + result.problem);
        }
    }

    /// Recovers a copy in a child that is stopped at each of its stores, and judges every state that this goes through.
    void recover_by_stores(const directory_watch& live, relocated_platform& seen_by, const scenario& what, crash kind) {
        relocated_platform platform;
        live.copy_to(image_, kind == crash::kill ? &seen_by : nullptr, &platform);
        ++totals_.nested_openers;
        nesting_ = kind == crash::kill ? ", in recovery" : ", in recovery from a power loss";
        const auto judge_state = [&](const directory_watch& image) {
            ++totals_.nested_states;
            judge_copy(image, nested_, platform, what, kind, crash::kill);
        };
        follow_stores(image_, platform, judge_state, [&](os::platform& trapping) {
            session opener{trapping, image_, what.options, *told_, *committed_};
            what.floor == floor::log ? opener.open() : what.floor == floor::broker ? opener.open_broker() : opener.open_house();
            ::_exit(0);
        });
        nesting_ = "";
    }

    [[nodiscard]] std::uint64_t answers() const noexcept { return told_->answers() + committed_->answers(); }

    static constexpr std::uint64_t most_complaints = 12;

    void complain(const std::string& problem) {
        if (++totals_.bad <= most_complaints) {
            std::printf("BAD  \"%s\"%s, instruction %llu, seed %llu, after %.1f s: %s\n", scenario_, nesting_,
                        static_cast<unsigned long long>(step_), static_cast<unsigned long long>(seed_), elapsed(), problem.c_str());
        }
    }

    const clock_type::time_point begin_;
    const double seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_;
    const std::string live_;
    const std::string image_;
    const std::string nested_;
    shared_object<progress> told_;
    shared_object<transaction_progress> committed_;
    struct stage {
        std::atomic<pid_t> thread[2]{};    ///< to be held
        std::atomic<bool> is_held[2]{};    ///< they may stop themselves now
        std::atomic<bool> is_over[2]{};    ///< they are through
        std::atomic<bool> go{false};       ///< the other may append
        std::atomic<pid_t> other{0};
        std::atomic<std::uint32_t> others_left{0};
    };
    shared_object<stage> stage_;
    watchdog watchdog_{180};  // a scenario has up to 1.4 million instructions, where the compiler has not optimized
    totals totals_;
    const char* scenario_ = "";
    const char* nesting_ = "";
    std::uint64_t step_ = 0;
};

/// True when a thread sleeps in the kernel.
bool is_asleep(pid_t process, pid_t thread) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/task/%d/stat", static_cast<int>(process), static_cast<int>(thread));
    char text[256]{};
    const int descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
    const auto size = descriptor >= 0 ? ::read(descriptor, text, sizeof text - 1) : -1;
    ::close(descriptor);
    const char* const state = size > 0 ? std::strrchr(text, ')') : nullptr;
    return state != nullptr && state[2] == 'S';
}

bool campaign::hold(const scenario& what, std::span<const std::uint64_t> steps, bool others_roll) {
    scenario_ = what.name;
    watchdog_.still_alive(what.name);
    nesting_ = steps.size() == 1 ? ", held" : ", two held";
    told_.reset();
    stage_.reset();
    empty_directory(live_);
    relocated_platform platform;
    session in_child{platform, live_, what.options, *told_, *committed_};
    const pid_t child = fork_child();
    if (child == 0) {
        die_with_parent();
        what.prepare(in_child);
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            threads.emplace_back([&, i] {
                stage_->thread[i].store(static_cast<pid_t>(::syscall(SYS_gettid)));
                while (!stage_->is_held[i].load()) {
                    ::sched_yield();
                }
                session::is_to_be_held = true;
                if (i == 0) {
                    what.work(in_child);
                } else {
                    in_child.append(150, 2);
                    in_child.append(70, 2);
                }
                stage_->is_over[i].store(true);
            });
        }
        threads.emplace_back([&] {
            stage_->other.store(static_cast<pid_t>(::syscall(SYS_gettid)));
            while (!stage_->go.load()) {
                ::sched_yield();
            }
            const std::uint32_t count = others_roll ? 6 : 3;
            stage_->others_left.store(count);
            for (std::uint32_t i = 0; i < count; ++i) {
                in_child.append(others_roll ? 2'500 : 40 + 100 * i, 1);
                stage_->others_left.store(count - 1 - i);
            }
            stage_->is_over[0].store(true);
            for (;;) {
                ::pause();
            }
        });
        for (auto& thread : threads) {
            thread.join();
        }
    }
    bool is_inside = true;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        while (stage_->thread[i].load() == 0) {
            ::sched_yield();
        }
        held_thread held{stage_->thread[i].load()};
        stage_->is_held[i].store(true);
        is_inside = is_inside && held.is_held() && held.await_stop();
        for (std::uint64_t step = 0; is_inside && step < steps[i]; ++step) {
            is_inside = held.step() && !stage_->is_over[i].load();
            ++totals_.instructions;
        }
    }
    step_ = steps[0];
    if (is_inside) {
        stage_->go.store(true);
        // The other appends all it has to, unless what is held holds a lock that it needs: then it sleeps for good.
        int asleep = 0;
        while (!stage_->is_over[0].load() && asleep < 20) {
            ::sched_yield();
            asleep = stage_->other.load() != 0 && is_asleep(child, stage_->other.load()) ? asleep + 1 : 0;
        }
        totals_.held_blocked += stage_->is_over[0].load() ? 0 : 1;
        ++totals_.held;
    }
    end_process(child);
    if (is_inside) {
        const directory_watch left{live_};
        judge_copy(left, image_, platform, what, crash::kill, crash::kill);
        if (totals_.held % 8 == 0) {
            judge_copy(left, image_, platform, what, crash::power_loss, crash::power_loss);
        }
        if (store_trap::is_supported && totals_.held % 31 == 0 && has_time(0.9)) {
            recover_by_stores(left, platform, what, crash::kill);
            recover_by_stores(left, platform, what, crash::power_loss);
        }
    }
    nesting_ = "";
    step_ = 0;
    return is_inside;
}

bool report(campaign& all, bool is_whole) {
    const totals& t = all.counted();
    const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf("killed at every instruction: %llu instructions stepped, %llu states recovered (%llu as after a power loss), "
                "%llu recoveries killed at each of their stores, in %llu states, %llu kills with a thread held (%llu while it "
                "had a lock); calls in flight: %llu whole, %llu absent; bad %llu; %.1f s\n",
                n(t.instructions), n(t.states), n(t.power_losses), n(t.nested_openers), n(t.nested_states), n(t.held),
                n(t.held_blocked), n(t.whole), n(t.absent), n(t.bad), all.elapsed());
    const std::pair<const char*, std::uint64_t> met[] = {
        {"holes without a mark", t.marks.unmarked_holes},
        {"holes with a mark", t.marks.marked_holes},
        {"holes of several claims", t.marks.adjacent_claims},
        {"holes before a seal", t.marks.holes_before_seal},
        {"claims at the end", t.marks.trailing_marks},
        {"seals not published", t.marks.marked_seals},
        {"seals with nothing behind", t.marks.lonely_seals},
        {"segments without a name", t.marks.unnamed_segments},
        {"spares", t.marks.spares},
        {"files without a name", t.marks.unborn_files},
        {"fillers", t.fillers},
        {"tails erased", t.erased},
        {"rolls finished", t.finished_rolls},
        {"compactions that count and have not their place", t.marks.swaps},
        {"records that compaction left out", t.compacted},
        {"compressed batches", t.compressed},
        {"deletions in flight", t.deletions},
    };
    bool is_complete = true;
    std::printf("met:");
    for (const auto& [what, count] : met) {
        std::printf(" %s %llu;", what, n(count));
        is_complete &= count != 0;
    }
    std::printf("\n");
    if (!is_complete && is_whole && t.bad == 0) {
        std::printf("BAD  some kind of crash was never met: the campaign proves less than it says\n");
    }
    return t.bad == 0 && (is_complete || !is_whole);
}

/// Parent and child take turns: on one processor a turn costs a few microseconds, across two some tens.
void stay_on_this_processor() {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
    static_cast<void>(::sched_setaffinity(0, sizeof here, &here));  // refused: slower, nothing else
}

int run(int count, char** arguments) {
    stay_on_this_processor();
    const double seconds = count > 1 && std::atof(arguments[1]) > 0 ? std::atof(arguments[1]) : seconds_to_run(36);
    const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 0) : 1;
    const std::string_view only = count > 3 ? arguments[3] : "";
    campaign all{seconds, seed};

    for (const scenario& what : all_scenarios()) {
        if (all.is_hopeless()) {
            return report(all, only.empty()) ? 0 : 1;
        }
        if (std::string_view{what.name}.find(only) == std::string_view::npos) {
            continue;
        }
        const auto before = all.counted();
        const double since = all.elapsed();
        if (!all.visit(what, 5)) {
            std::printf("skipped: this machine does not let a process trace its child (ptrace: not permitted)\n");
            return 77;
        }
        const std::uint64_t instructions = all.counted().instructions - before.instructions;
        const std::uint64_t stops = instructions != 0 ? instructions : all.counted().stores - before.stores;
        std::printf("  %-56s %8llu %-12s %6llu states", what.name, static_cast<unsigned long long>(stops), instructions != 0 ? "instructions" : "stores",
                    static_cast<unsigned long long>(all.counted().states - before.states));
        if (what.one_in > 1) {
            std::printf(", one in %llu", static_cast<unsigned long long>(what.one_in));
        }
        std::printf(" %5llu nested %6.1f s\n", static_cast<unsigned long long>(all.counted().nested_states - before.nested_states), all.elapsed() - since);
    }

    const storage::log_options small{.segment_bytes = small_segment};
    const scenario lone{"append while another appends", small, [](session& s) { s.open(); s.append(10, 3); },
                        [](session& s) { s.append(100); }};
    const scenario rolling{"append across segments while another appends", small,
                           [](session& s) { s.open(); s.append(7'800, 3); }, [](session& s) { s.append(300); }};
    const scenario gathered{"append a batch while another appends", small, [](session& s) { s.open(); s.append(10, 3); },
                            [](session& s) { s.append_all(std::array<std::uint32_t, 4>{1, 100, 0, 33}); }};
    const scenario syncing{"sync while another appends", {.segment_bytes = small_segment, .flush_messages = 1},
                           [](session& s) { s.open(); s.append(10, 3); }, [](session& s) { s.wait_durable(); }};
    if (!only.empty()) {
        return report(all, false) ? 0 : 1;
    }
    // To hold a thread it has to be stepped there from the beginning, so where there are many instructions it is held at one in so many.
    constexpr std::uint64_t most_points = 800;
    const std::uint64_t lone_length = all.length_of(lone);
    for (const scenario* what : {&lone, &gathered}) {
        const double since = all.elapsed();
        const std::uint64_t length = what == &lone ? lone_length : all.length_of(*what);
        const std::uint64_t stride = length / most_points + 1;
        std::uint64_t points = 0;
        for (std::uint64_t steps = seed % stride; !all.is_hopeless() && all.hold(*what, std::array{steps}, points % 2 == 1); steps += stride) {
            ++points;
        }
        std::printf("  %-56s held at %llu of %llu instructions %16.1f s\n", what->name, static_cast<unsigned long long>(points),
                    static_cast<unsigned long long>(length), all.elapsed() - since);
    }
    // Longer stretches, and two threads held: as many points as there is time for, and at least some.
    const std::uint64_t rolling_length = all.length_of(rolling);
    const std::uint64_t syncing_length = all.length_of(syncing);
    for (int round = 0; !all.is_hopeless() && (round < 30 || all.has_time(1.0)); ++round) {
        const std::uint64_t a = all.random()() % lone_length;
        const std::uint64_t b = all.random()() % lone_length;
        static_cast<void>(all.hold(lone, std::array{a, b}, round % 2 == 1));
        const bool is_rolling = round % 2 == 0;
        const std::uint64_t c = all.random()() % (is_rolling ? rolling_length : syncing_length);
        static_cast<void>(all.hold(is_rolling ? rolling : syncing, std::array{c}, round % 3 == 0));
    }
    return report(all, true) ? 0 : 1;
}

const fault_program kill_every_instruction{"kill_every_instruction", run};

}  // namespace

}  // namespace fault_kill_every_instruction
