// T2: is everything still there that was acknowledged before the process was killed?
//
// A child opens a store and lets three threads append to it as fast as they like, while a fourth reads, a fifth does the
// upkeep, and segments roll every few dozen records. After 0 to 2.5 ms it gets SIGKILL. Acknowledgements reach the
// parent through a pipe or a shared page, which both survive. The parent then opens the store, at times after killing
// some others that tried, or finds it taken by a second child that was waiting for the first one's death, and reads
// everything: what was acknowledged is at its offset, once, in each thread's order, byte for byte; nothing is there that
// was never sent; what a reader was given has not changed. Then the store goes through the next kill.
//
// Two floors: storage::log, and broker, producer and consumer with committed offsets. Every word of every payload looks
// like a published frame.
//
// usage: brook_fault kill_storm [kills] [seconds] [seed] [directory]
//        kills: how many at least, 5000 by default. With seconds, or BROOK_FAULT_SECONDS: for that long instead.
#include <fcntl.h>
#include <poll.h>
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
#include <memory>
#include <optional>
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
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/disguised_record.hpp"
#include "support/log_anatomy.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_kill_storm {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr std::uint32_t writers = 3;
constexpr std::uint32_t most_records = 8'192;     // of one writer in one life
constexpr std::uint32_t most_deliveries = 16'384;

enum class floor { log, broker };

/// How one store is kept; drawn anew for each.
struct store_plan {
    enum floor floor = floor::log;
    std::uint32_t segment_bytes = 0;
    std::int64_t flush_messages = 0;
};

/// How one life goes.
struct life_plan {
    std::uint32_t generation = 0;
    std::uint64_t seed = 0;
    bool acks_by_pipe = false;
    unsigned pause_odds = 0;     ///< one append in so many is followed by a pause; 0: none is
    unsigned hesitate_odds = 0;  ///< one claim in so many stays open for a while
    std::uint32_t batch = 1;     ///< records that the last writer sends at once, where a producer can gather them
};

struct acknowledgement {
    std::uint32_t writer;
    std::uint32_t sequence;
    offset at;
};

/// What a life leaves behind: everything here was stored before its next step began.
struct will {
    struct alignas(128) writer {
        std::atomic<std::uint32_t> begun{0};
        std::atomic<std::uint32_t> acked{0};
        std::array<offset, most_records> offsets{};
    };
    std::array<writer, writers> said;
    std::atomic<bool> is_waiting{false};  ///< for the one before to die
    std::atomic<bool> is_up{false};
    std::atomic<std::uint64_t> open_nanoseconds{0};
    std::atomic<std::uint64_t> refused{0};  ///< attempts to open while another had the lock
    std::atomic<std::uint64_t> fillers{0};
    std::atomic<std::uint64_t> erased{0};
    std::atomic<std::uint64_t> finished_rolls{0};
    std::atomic<std::uint32_t> delivered{0};
    std::array<std::pair<offset, std::uint64_t>, most_deliveries> deliveries{};
    std::atomic<offset> commit_begun{-1};
    std::atomic<offset> commit_acked{-1};
    std::atomic<bool> has_spoken{false};
    std::array<char, 400> last_words{};
};

[[nodiscard]] std::uint32_t size_of(std::uint32_t generation, std::uint32_t writer, std::uint32_t sequence) {
    constexpr std::uint32_t spans[writers] = {60, 400, 2'300};
    const std::uint32_t draw = (generation * 7 + sequence) * 2'654'435'761u >> 8;
    return draw % spans[writer] / (draw % 5 == 0 ? 1 : 3);
}

[[nodiscard]] disguised_record record_of(std::uint32_t generation, std::uint32_t writer, std::uint32_t sequence) {
    return {sequence, writer, generation & 0xffff, size_of(generation, writer, sequence)};
}

void spin(std::chrono::nanoseconds how_long) {
    for (const auto end = clock_type::now() + how_long; clock_type::now() < end;) {
    }
}

// ---- the child ----

/// One life: opened, used by five threads, and ended by somebody else.
class life {
public:
    life(const std::string& path, const store_plan& store, const life_plan& plan, will& last, int pipe)
        : path_{path}, store_{store}, plan_{plan}, will_{last}, pipe_{pipe} {}

    [[noreturn]] void live(pid_t predecessor) noexcept {
        die_with_parent();
        try {
            store_.floor == floor::log ? live_on_log(predecessor) : live_on_broker();
        } catch (const std::exception& why) {
            say(why.what());
        }
        ::_exit(1);
    }

private:
    void live_on_log(pid_t predecessor) {
        if (predecessor != 0) {
            await_death(predecessor);
        }
        const auto begin = clock_type::now();
        open_partition log{os::posix(), path_, {.segment_bytes = store_.segment_bytes, .flush_messages = store_.flush_messages}};
        if (!log) {
            throw error{log.why.code, log.why.text};
        }
        opened(begin);
        note(log->report());
        start_writers(1, [&](std::span<const disguised_record> records, std::mt19937_64& random) {
            failure why;
            const offset at = append_lone(*log, records.front(), why, [&] { pause(random, plan_.hesitate_odds); });
            if (!why) {
                why = log->wait_acknowledged(at);
            }
            if (why) {
                why.raise();
            }
            return std::vector{at};
        });
        start([&] { follow(*log); });
        for (std::uint64_t pass = 0;; ++pass) {
            if (const auto done = log->upkeep(os::posix().monotonic()); done.why) {
                done.why.raise();
            }
            ::usleep(100);
        }
    }

    void live_on_broker() {
        std::optional<journal> users;
        auto begin = clock_type::now();
        while (!users) {
            try {
                begin = clock_type::now();
                users.emplace(os::posix(), path_, maintenance::thread, store_.flush_messages, store_.segment_bytes);
            } catch (const error& why) {
                if (why.code() != errc::directory_in_use) {
                    throw;
                }
                ++will_.refused;
                will_.is_waiting.store(true);
            }
        }
        opened(begin);
        try {
            use(*users);
        } catch (const std::exception& why) {
            say(why.what());  // here, before the broker closes under the writers
            ::_exit(1);
        }
    }

    void use(journal& users) {
        if (!users.broker().health().is_ok()) {
            throw error{errc::illegal_state, users.broker().health().errors.front().text};
        }
        start_writers(plan_.batch, [&](std::span<const disguised_record> records, std::mt19937_64&) {
            return records.size() == 1 ? std::vector{users.send(records.front())} : users.send_gathered(records);
        });
        std::mt19937_64 random{plan_.seed};
        for (;;) {
            for (const found_record& one : users.poll()) {
                deliver(one.at, one.record.word());
            }
            if (random() % 8 == 0) {
                will_.commit_begun.store(users.position());
                users.commit();
                will_.commit_acked.store(will_.commit_begun.load());
            }
        }
    }

    /// The last writer sends `batch` records at once, the others one by one.
    template <class Send>
    void start_writers(std::uint32_t batch, const Send& send) {
        for (std::uint32_t writer = 0; writer < writers; ++writer) {
            const std::uint32_t step = writer + 1 == writers ? batch : 1;
            start([this, writer, step, send] {
                std::mt19937_64 random{plan_.seed + writer};
                will::writer& mine = will_.said[writer];
                std::vector<disguised_record> records(step);
                for (std::uint32_t first = 0; first + step <= most_records; first += step) {
                    for (std::uint32_t i = 0; i < step; ++i) {
                        records[i] = record_of(plan_.generation, writer, first + i);
                    }
                    mine.begun.store(first + step);
                    const std::vector<offset> offsets = send(records, random);
                    for (std::uint32_t i = 0; i < step; ++i) {
                        acknowledge(writer, first + i, offsets[i]);
                    }
                    pause(random, plan_.pause_odds);
                }
            });
        }
    }

    static void pause(std::mt19937_64& random, unsigned odds) {
        if (odds != 0 && random() % odds == 0) {
            random() % 2 == 0 ? spin(std::chrono::nanoseconds{random() % 20'000}) : std::this_thread::yield();
        }
    }

    void acknowledge(std::uint32_t writer, std::uint32_t sequence, offset at) {
        if (plan_.acks_by_pipe) {
            const acknowledgement told{writer, sequence, at};
            if (::write(pipe_, &told, sizeof told) != sizeof told) {
                throw error{errc::illegal_state, "the pipe for acknowledgements does not take them"};
            }
        } else {
            will_.said[writer].offsets[sequence] = at;
            will_.said[writer].acked.store(sequence + 1);
        }
    }

    /// A reader that keeps up, and says what it was given.
    void follow(storage::log& log) {
        storage::log_reader reader = log.reader();
        reader.seek(log.log_end_offset());
        std::vector<storage::record_range> ranges;
        for (;;) {
            ranges.clear();
            if (const failure why = reader.fetch(100, true, ranges)) {
                why.raise();
            }
            for (const auto& range : ranges) {
                for (position at = range.begin; at < range.end;) {
                    const format::frame_header header = format::load_header(range.frame(at));
                    format::record_walk records{header, range.frame(at)};
                    format::record_slice one;
                    while (format::word_of(header).kind() == format::frame_kind::data && records.next(one)) {
                        const auto record = recognize(one.key(), one.value());
                        if (!record) {
                            throw error{errc::corrupt_record, "offset " + std::to_string(one.offset()) + " reads as what nobody sent"};
                        }
                        deliver(one.offset(), record->word());
                    }
                    at += format::word_of(header).length();
                }
            }
            std::this_thread::yield();
        }
    }

    void deliver(offset at, std::uint64_t word) {
        const std::uint32_t index = will_.delivered.load();
        if (index < most_deliveries) {
            will_.deliveries[index] = {at, word};
            will_.delivered.store(index + 1);
        }
    }

    void await_death(pid_t predecessor) {
        pollfd gone{static_cast<int>(::syscall(SYS_pidfd_open, predecessor, 0)), POLLIN, 0};
        will_.is_waiting.store(true);
        if (gone.fd >= 0) {
            ::poll(&gone, 1, -1);
            ::close(gone.fd);
        }
    }

    template <class Work>
    void start(Work work) {
        std::thread{[this, work = std::move(work)] {
            try {
                work();
                for (;;) {
                    ::pause();
                }
            } catch (const std::exception& why) {
                say(why.what());
                ::_exit(1);
            }
        }}.detach();
    }

    void opened(clock_type::time_point begin) {
        will_.is_waiting.store(true);
        will_.open_nanoseconds.store(static_cast<std::uint64_t>((clock_type::now() - begin).count()));
        will_.is_up.store(true);
    }
    void note(const recovery_report& report) {
        will_.fillers += report.filled_gaps;
        will_.erased += report.erased_bytes != 0 ? 1 : 0;
        will_.finished_rolls += report.finished_rolls;
        if (!report.damages.empty() || report.cut_bytes != 0) {
            throw error{errc::corrupt_record, "recovery says that something is damaged, and nothing was"};
        }
    }
    /// The first words are the last: what else goes wrong while everything ends is no news.
    void say(std::string_view words) noexcept {
        if (will_.has_spoken.exchange(true)) {
            return;
        }
        std::memcpy(will_.last_words.data(), words.data(), std::min(words.size(), will_.last_words.size() - 1));
    }

    const std::string path_;
    const store_plan store_;
    const life_plan plan_;
    will& will_;
    const int pipe_;
};

// ---- the parent ----

struct totals {
    std::uint64_t kills = 0;
    std::uint64_t opener_kills = 0;
    std::uint64_t successions = 0;
    std::uint64_t refused = 0;
    std::uint64_t acked = 0;
    std::uint64_t verified = 0;
    std::uint64_t delivered = 0;
    std::uint64_t commits = 0;
    std::uint64_t fillers = 0;
    std::uint64_t erased = 0;
    std::uint64_t finished_rolls = 0;
    std::uint64_t lost = 0;
    std::uint64_t twice = 0;
    std::uint64_t out_of_order = 0;
    std::uint64_t bad = 0;
    std::uint64_t longest_open = 0;
    crash_marks marks;
};

/// What the parent knows of a store.
struct store_truth {
    struct generation {
        std::uint32_t number = 0;
        std::array<std::uint32_t, writers> begun{};
        std::array<std::uint32_t, writers> acked{};
        std::array<std::uint32_t, writers> settled{};  ///< found when it was last looked at: that many for ever
        bool is_settled = false;
    };
    std::vector<generation> generations;
    std::vector<std::uint64_t> words;  ///< by offset; 0: nobody was told of a record there
    offset commit_begun = -1;
    offset commit_acked = -1;

    void tell(offset at, std::uint64_t word) {
        if (words.size() <= static_cast<std::size_t>(at)) {
            words.resize(static_cast<std::size_t>(at) + 1);
        }
        words[static_cast<std::size_t>(at)] = word;
    }
    [[nodiscard]] std::uint64_t told(offset at) const {
        return static_cast<std::size_t>(at) < words.size() ? words[static_cast<std::size_t>(at)] : 0;
    }
};

class storm {
public:
    storm(std::uint64_t kills, std::optional<double> seconds, std::uint64_t seed, const std::string& directory)
        : begin_{clock_type::now()}, kills_{kills}, seconds_{seconds}, seed_{seed}, random_{seed}, root_{directory}, path_{root_ / "store"} {}

    bool run() {
        new_store();
        pid_t child = 0;
        for (generation_ = 1; totals_.bad == 0 && !is_over(); ++generation_) {
            if (child == 0) {
                if (lives_left_ == 0) {
                    new_store();
                }
                child = start_life(0);
            }
            watchdog_.still_alive(path_.c_str());
            child = end_life(child);
            --lives_left_;
        }
        if (child != 0) {
            ::kill(child, SIGKILL);
            static_cast<void>(await_end(child));
        }
        return report();
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }
    [[nodiscard]] bool is_over() const { return seconds_ ? elapsed() >= *seconds_ : totals_.kills >= kills_; }
    [[nodiscard]] std::uint64_t draw(std::uint64_t below) { return random_() % below; }

    void new_store() {
        if (::mkdir(path_.c_str(), 0700) != 0) {
            empty_directory(path_);
        }
        constexpr std::uint32_t sizes[] = {8 * kib, 8 * kib, 16 * kib, 64 * kib, 96 * kib, 96 * kib, 128 * kib, 256 * kib, mib};
        constexpr std::int64_t flushes[] = {0, 0, 0, 1, 16};
        plan_.floor = draw(3) == 0 ? floor::broker : floor::log;
        plan_.segment_bytes = sizes[draw(std::size(sizes))];
        plan_.flush_messages = flushes[draw(std::size(flushes))];
        lives_left_ = 1 + draw(7);
        truth_ = {};
    }

    /// Forks the child of this generation, or the next one's, which waits until `predecessor` is dead.
    [[nodiscard]] pid_t start_life(pid_t predecessor) {
        const std::size_t turn = predecessor == 0 ? turn_ : turn_ ^ 1;
        life_plan& plan = lives_[turn];
        plan.generation = predecessor == 0 ? generation_ : generation_ + 1;
        plan.seed = random_();
        plan.acks_by_pipe = draw(2) == 0;
        constexpr unsigned odds[] = {0, 0, 30, 30, 300};
        plan.pause_odds = odds[draw(std::size(odds))];
        plan.hesitate_odds = odds[draw(std::size(odds))];
        plan.batch = draw(2) == 0 ? 1 : 8;
        wills_[turn].reset();
        std::array<int, 2> ends{-1, -1};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            throw_errno("pipe");
        }
        ::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        const pid_t child = fork_child();
        if (child == 0) {
            life{path_, plan_, plan, *wills_[turn], ends[1]}.live(predecessor);
        }
        ::close(ends[1]);
        pipes_[turn] = ends[0];
        return child;
    }

    /// Kills the child, takes stock. Returns the child of the next life when that has begun already.
    [[nodiscard]] pid_t end_life(pid_t child) {
        will& last = *wills_[turn_];
        const bool in_the_middle_of_opening = draw(12) == 0;
        if (in_the_middle_of_opening) {
            sleep(microseconds{draw(1'200)});
        } else {
            await(last.is_up, child);
            sleep(microseconds{draw(2'500)});
        }
        pid_t successor = 0;
        if (lives_left_ > 1 && draw(8) == 0 && last.is_up.load()) {
            successor = start_life(child);
            await(wills_[turn_ ^ 1]->is_waiting, successor);
            ++totals_.successions;
            if (wills_[turn_ ^ 1]->is_up.load()) {
                complain("opened while another process had it open");
            }
        }
        ::kill(child, SIGKILL);
        const int status = await_end(child);
        ++(last.is_up.load() ? totals_.kills : totals_.opener_kills);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
            complain("a child ended by itself, status " + std::to_string(status) + ": " + last.last_words.data());
        }
        collect(last);
        if (successor == 0) {
            kill_openers();
            verify();
        }
        turn_ ^= 1;
        return successor;
    }

    /// What the dead one left: how far it had come, and whom it had told.
    void collect(const will& last) {
        const life_plan& plan = lives_[turn_];
        store_truth::generation& lived = truth_.generations.emplace_back();
        lived.number = plan.generation;
        for (std::uint32_t writer = 0; writer < writers; ++writer) {
            lived.begun[writer] = last.said[writer].begun.load();
            lived.acked[writer] = last.said[writer].acked.load();
            for (std::uint32_t i = 0; i < lived.acked[writer]; ++i) {
                truth_.tell(last.said[writer].offsets[i], record_of(plan.generation, writer, i).word());
            }
        }
        std::array<acknowledgement, 512> told;
        for (;;) {
            const auto size = ::read(pipes_[turn_], told.data(), sizeof told);
            if (size <= 0) {
                break;
            }
            for (std::size_t i = 0; i < static_cast<std::size_t>(size) / sizeof(acknowledgement); ++i) {
                lived.acked[told[i].writer] = told[i].sequence + 1;
                truth_.tell(told[i].at, record_of(plan.generation, told[i].writer, told[i].sequence).word());
            }
        }
        ::close(pipes_[turn_]);
        for (const std::uint32_t count : lived.acked) {
            totals_.acked += count;
        }
        const std::uint32_t delivered = last.delivered.load();
        for (std::uint32_t i = 0; i < delivered; ++i) {
            const auto [at, word] = last.deliveries[i];
            if (truth_.told(at) != 0 && truth_.told(at) != word) {
                complain("offset " + std::to_string(at) + " was given to a reader as something else than what is there");
            }
            truth_.tell(at, word);
        }
        totals_.delivered += delivered;
        if (last.commit_begun.load() >= 0) {
            truth_.commit_begun = last.commit_begun.load();
            truth_.commit_acked = last.commit_acked.load() >= 0 ? last.commit_acked.load() : truth_.commit_acked;
            ++totals_.commits;
        }
        totals_.refused += last.refused.load();
        totals_.fillers += last.fillers.load();
        totals_.erased += last.erased.load();
        totals_.finished_rolls += last.finished_rolls.load();
        totals_.longest_open = std::max(totals_.longest_open, last.open_nanoseconds.load());
    }

    /// Others that come to open the store, and do not live to see it open.
    void kill_openers() {
        if (draw(3) != 0) {
            return;
        }
        for (std::uint64_t left = 1 + draw(3); left != 0; --left) {
            const pid_t child = fork_child();
            if (child == 0) {
                die_with_parent();
                try {
                    if (plan_.floor == floor::log) {
                        const open_partition log{os::posix(), path_, {.segment_bytes = plan_.segment_bytes}};
                        ::_exit(log ? 0 : 1);
                    }
                    journal users{os::posix(), path_, maintenance::manual, plan_.flush_messages, plan_.segment_bytes};
                    ::_exit(0);
                } catch (const error& why) {
                    std::printf("opener: %s\n", why.what());
                    std::fflush(stdout);
                    ::_exit(1);
                }
            }
            sleep(microseconds{draw(400)});
            ::kill(child, SIGKILL);
            const int status = await_end(child);
            totals_.opener_kills += WIFSIGNALED(status) ? 1 : 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
                complain("the store does not open after a kill of recovery");
            }
        }
    }

    void verify() {
        const std::string partition = plan_.floor == floor::log ? path_ : path_ + "/topics/" + journal_name + "/0";
        const log_anatomy left = dissect(partition, 3);
        totals_.marks += left.marks;
        if (!left.problem.empty()) {
            complain("before recovery: " + left.problem);
        }
        const auto begin = clock_type::now();
        const auto opened = [&] {
            totals_.longest_open = std::max(totals_.longest_open, static_cast<std::uint64_t>((clock_type::now() - begin).count()));
        };
        found_.clear();
        try {
            if (plan_.floor == floor::log) {
                const open_partition log{os::posix(), path_, {.segment_bytes = plan_.segment_bytes, .flush_messages = plan_.flush_messages}};
                opened();
                if (!log) {
                    return complain("open: " + log.why.text);
                }
                const recovery_report& report = log->report();
                totals_.fillers += report.filled_gaps;
                totals_.erased += report.erased_bytes != 0 ? 1 : 0;
                totals_.finished_rolls += report.finished_rolls;
                if (!report.damages.empty() || report.cut_bytes != 0 || !report.quarantined.empty()) {
                    return complain("recovery says that something is damaged, and nothing was");
                }
                failure why;
                read_all(*log, found_, why);
                if (why) {
                    return complain("read: " + why.text);
                }
                compare(log->log_end_offset());
            } else {
                journal users{os::posix(), path_, maintenance::manual, plan_.flush_messages, plan_.segment_bytes};
                opened();
                if (!users.broker().health().is_ok()) {
                    return complain("health: " + users.broker().health().errors.front().text);
                }
                found_ = users.read_all();
                compare(users.log().log_end_offset());
                compare_commit(users);
            }
        } catch (const error& why) {
            complain(why.what());
        }
    }

    void compare(offset end) {
        totals_.verified += found_.size();
        std::vector<std::array<std::uint32_t, writers>> next(truth_.generations.size());
        std::size_t last_generation = 0;
        offset due = 0;
        const auto none_lost = [&](offset from, offset to) {
            for (offset at = from; at < to; ++at) {
                if (truth_.told(at) != 0) {
                    ++totals_.lost;
                    return complain("offset " + std::to_string(at) + " is gone: " + text(truth_.told(at)));
                }
            }
        };
        for (const auto& [at, record, epoch] : found_) {
            if (at < due || at >= end) {
                ++totals_.twice;
                return complain("offset " + std::to_string(at) + " where " + std::to_string(due) + " was due");
            }
            none_lost(due, at);
            due = at + 1;
            // Lives follow each other: a record of an earlier one cannot stand behind a later one's.
            while (last_generation < truth_.generations.size() &&
                   (truth_.generations[last_generation].number & 0xffff) != record.generation) {
                ++last_generation;
            }
            if (last_generation == truth_.generations.size() || record.writer >= writers) {
                ++totals_.out_of_order;
                return complain("offset " + std::to_string(at) + " holds " + text(record.word()) + ", out of order or never sent");
            }
            const auto& lived = truth_.generations[last_generation];
            std::uint32_t& sequence = next[last_generation][record.writer];
            if (record.sequence != sequence || sequence >= lived.begun[record.writer] ||
                record.size != size_of(lived.number, record.writer, sequence)) {
                ++(record.sequence < sequence ? totals_.twice : totals_.out_of_order);
                return complain("offset " + std::to_string(at) + " holds " + text(record.word()) + ", due was sequence " + std::to_string(sequence));
            }
            ++sequence;
            if (truth_.told(at) != 0 && truth_.told(at) != record.word()) {
                ++totals_.lost;
                return complain("offset " + std::to_string(at) + " was " + text(truth_.told(at)) + " and is " + text(record.word()));
            }
        }
        none_lost(due, static_cast<offset>(truth_.words.size()));
        for (std::size_t i = 0; i < next.size(); ++i) {
            auto& lived = truth_.generations[i];
            for (std::uint32_t writer = 0; writer < writers; ++writer) {
                if (next[i][writer] < lived.acked[writer] || (lived.is_settled && next[i][writer] != lived.settled[writer])) {
                    ++totals_.lost;
                    return complain("life " + std::to_string(lived.number) + ", writer " + std::to_string(writer) + ": " +
                                    std::to_string(next[i][writer]) + " records, " + std::to_string(lived.acked[writer]) + " were acknowledged");
                }
            }
            lived.settled = next[i];
            lived.is_settled = true;
        }
        for (const auto& one : found_) {
            truth_.tell(one.at, one.record.word());  // seen by us: it must never change
        }
    }

    /// The last commit that returned, or the one in flight; never ahead of what a poll gave; the group goes on there.
    void compare_commit(journal& users) {
        const offset committed = users.committed().value_or(-1);
        if (committed != truth_.commit_acked && committed != truth_.commit_begun) {
            return complain("committed is " + std::to_string(committed) + ", the last commit that returned was " +
                            std::to_string(truth_.commit_acked) + ", the one in flight " + std::to_string(truth_.commit_begun));
        }
        truth_.commit_acked = truth_.commit_begun = committed;
        const offset from = committed < 0 ? 0 : committed;
        const auto rest = std::find_if(found_.begin(), found_.end(), [from](const auto& one) { return one.at >= from; });
        const auto polled = users.poll();
        if (polled.empty() != (rest == found_.end()) || (!polled.empty() && polled.front().at != rest->at)) {
            complain("the group committed offset " + std::to_string(committed) + " and does not go on there");
        }
    }

    [[nodiscard]] static std::string text(std::uint64_t word) {
        const auto record = disguised_record::of(word);
        return "record " + std::to_string(record.sequence) + " of writer " + std::to_string(record.writer) + " in life " +
               std::to_string(record.generation);
    }

    void await(const std::atomic<bool>& flag, pid_t child) {
        for (int left = 200'000; !flag.load(); --left) {  // some 15 s, in which others may stop us for longer
            siginfo_t gone{};
            if (::waitid(P_PID, static_cast<id_t>(child), &gone, WEXITED | WNOHANG | WNOWAIT) == 0 && gone.si_pid == child) {
                return;  // ended by itself: told when it is buried
            }
            if (left == 0) {
                return complain("a child does not come up");
            }
            ::usleep(20);
        }
    }

    static void sleep(microseconds how_long) {
        if (how_long.count() != 0) {
            std::this_thread::sleep_for(how_long);
        }
    }

    void complain(const std::string& problem) {
        if (++totals_.bad <= 8) {
            std::printf("BAD  life %u on %s, segments of %u bytes, flush_messages %lld, seed %llu, after %.1f s: %s\n", generation_,
                        plan_.floor == floor::log ? "a log" : "a broker", plan_.segment_bytes, static_cast<long long>(plan_.flush_messages),
                        static_cast<unsigned long long>(seed_), elapsed(), problem.c_str());
        }
    }

    [[nodiscard]] bool report() const {
        const totals& t = totals_;
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("kill storm: %llu kills, %llu kills of recovery, %llu successors that opened at once (%llu refused before); "
                    "%llu acknowledged, %llu verified, %llu delivered, %llu lives with commits; lost %llu, twice %llu, out of order %llu, "
                    "bad %llu; longest reopen %.1f ms; %.1f s\n",
                    n(t.kills), n(t.opener_kills), n(t.successions), n(t.refused), n(t.acked), n(t.verified), n(t.delivered), n(t.commits),
                    n(t.lost), n(t.twice), n(t.out_of_order), n(t.bad), static_cast<double>(t.longest_open) / 1e6, elapsed());
        const std::pair<const char*, std::uint64_t> met[] = {
            {"fillers", t.fillers},
            {"tails erased", t.erased},
            {"rolls finished", t.finished_rolls},
            {"late renames", t.marks.unnamed_segments},
            {"holes without a mark", t.marks.unmarked_holes},
            {"holes with a mark", t.marks.marked_holes},
            {"holes of several claims", t.marks.adjacent_claims},
            {"holes before a seal", t.marks.holes_before_seal},
            {"claims at the end", t.marks.trailing_marks},
            {"spares", t.marks.spares},
            {"files without a name", t.marks.unborn_files},
        };
        bool is_complete = true;
        std::printf("met:");
        for (const auto& [what, count] : met) {
            std::printf(" %s %llu;", what, n(count));
            is_complete = is_complete && count != 0;
        }
        std::printf("\n");
        if (!is_complete && t.bad == 0 && t.kills >= 2'000) {
            std::printf("BAD  some kind of crash was never met: the campaign proves less than it says\n");
            return false;
        }
        return t.bad == 0;
    }

    const clock_type::time_point begin_;
    const std::uint64_t kills_;
    const std::optional<double> seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_;
    const std::string path_;
    store_plan plan_;
    std::uint64_t lives_left_ = 0;
    std::uint32_t generation_ = 0;
    std::size_t turn_ = 0;
    std::array<life_plan, 2> lives_;
    std::array<shared_object<will>, 2> wills_;
    std::array<int, 2> pipes_{-1, -1};
    store_truth truth_;
    std::vector<found_record> found_;
    watchdog watchdog_{60};
    totals totals_;
};

const fault_program kill_storm{"kill_storm", [](int count, char** arguments) { return run_storm<storm>(count, arguments, 2'500); }};

}  // namespace

}  // namespace fault_kill_storm
