// T2: is everything still there that was acknowledged, when the process is killed while it compacts and deletes?
//
// A child opens a broker with its upkeep thread. Three writers overwrite keys of their own in a compacted topic, one of them by compressed batches;
// the last two also append to a topic whose retention keeps a few segments, one of them by compressed batches. Two consumers of two groups read and
// commit. One more makes a topic, appends to it and deletes it, over and over. After 0 to 8 ms the child gets SIGKILL, at times
// while it opens. Then the store is opened: of each key the newest acknowledged value is there, or a later one; what is older is in order and is
// what was sent; what retention has left is dense up to the end, and holds everything acknowledged that is not in front of it; no group is
// ahead of what it was given, nor behind its last commit; a deletion that returned is done, and a topic whose making returned is there.
//
// usage: brook_fault upkeep_storm [kills] [seconds] [seed] [directory]
//        kills: how many at least, 100 by default. With seconds, or BROOK_FAULT_SECONDS: for that long instead.
#include <signal.h>
#include <sys/stat.h>
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
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <brook/brook.hpp>
#include <brook/lz4.hpp>

#include "fault/numbered_topics.hpp"
#include "fault/program.hpp"
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_upkeep_storm {

namespace {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr std::uint64_t writers = 3;
constexpr std::uint64_t keys_each = 8;
constexpr std::size_t groups = 2;
constexpr std::uint64_t batch = 16;

/// What a life has said, in memory that outlives it. Numbers of a writer go on over all lives of a store.
struct will {
    std::array<std::atomic<std::uint64_t>, writers> begun{};  ///< numbers below are sent, or being sent
    std::array<std::atomic<std::uint64_t>, writers> acked{};
    std::array<std::atomic<std::uint64_t>, writers> kept_begun{};  ///< the same for the topic that retention cuts
    std::array<std::atomic<std::uint64_t>, writers> kept_acked{};
    std::array<std::atomic<offset>, writers> kept_acked_at{};
    std::array<std::atomic<offset>, groups> committing{};
    std::array<std::atomic<offset>, groups> committed{};
    std::atomic<std::uint64_t> making{0};  ///< odd: is being made; even: is being deleted, or nothing happens
    std::atomic<std::uint64_t> made{0};    ///< how many of those returned
    std::atomic<std::uint64_t> records{0};
    std::atomic<std::uint64_t> delivered{0};
    std::atomic<bool> is_up{false};
    std::atomic<bool> has_spoken{false};
    std::array<char, 500> last_words{};
};

[[nodiscard]] std::string value_of(std::uint64_t writer, std::uint64_t number) {
    std::string value = std::to_string(writer) + ' ' + std::to_string(number) + ' ';
    value.resize(value.size() + number * 2'654'435'761u % 300, static_cast<char>('a' + number % 26));
    return value;
}
[[nodiscard]] std::uint64_t key_of(std::uint64_t writer, std::uint64_t number) { return writer * keys_each + number * 7 % keys_each; }

/// Writer and number of a value, which must be exactly what that one sent.
struct author {
    std::uint64_t writer;
    std::uint64_t number;
};
[[nodiscard]] author author_of(const std::string& value) {
    char* end = nullptr;
    const std::uint64_t writer = std::strtoull(value.c_str(), &end, 10);
    const std::uint64_t number = std::strtoull(end, nullptr, 10);
    require(writer < writers && value == value_of(writer, number), "a value is not what anybody sent: {" + value.substr(0, 60) + '}');
    return {writer, number};
}

/// The topics, as they are made and opened.
struct users {
    explicit users(const std::string& directory, enum maintenance upkeep)
        : broker{directory, {.maintenance = upkeep}},
          latest{broker.create_topic<std::uint64_t, std::string>(
              "latest", {.segment_bytes = 16 << 10, .cleanup_policy = cleanup_policy::compact, .min_cleanable_dirty_ratio = 0.1})},
          kept{broker.create_topic<no_key, std::string>("kept", {.segment_bytes = 16 << 10, .retention_bytes = 64 << 10})} {
        if (!broker.health().is_ok()) {
            broker.health().errors.front().raise();
        }
    }

    brook::broker broker;
    topic<std::uint64_t, std::string> latest;
    topic<no_key, std::string> kept;
};

class life {
public:
    life(std::string path, std::uint64_t seed, will& last) : path_{std::move(path)}, seed_{seed}, will_{last} {}

    [[noreturn]] void live() noexcept {
        die_with_parent();
        try {
            users all{path_, maintenance::thread};
            will_.is_up.store(true);
            for (std::uint64_t writer = 0; writer < writers; ++writer) {
                start([this, &all, writer] { overwrite(all, writer); });
            }
            for (std::size_t group = 0; group < groups; ++group) {
                start([this, &all, group] { read(all, group); });
            }
            for (;;) {
                make_and_delete(all.broker);
            }
        } catch (const std::exception& why) {
            say(why.what());
        } catch (const violation& what) {
            say(what.text);
        }
        ::_exit(1);
    }

private:
    void overwrite(users& all, std::uint64_t writer) {
        std::mt19937_64 random{seed_ + writer};
        const bool gathers = writer + 1 == writers;
        const auto how = gathers ? producer_options{.linger = 1s, .compression_type = compression::lz4} : producer_options{};
        brook::producer<std::uint64_t, std::string> to_latest{all.latest, how};
        brook::producer<no_key, std::string> to_kept{all.kept, how};
        for (;;) {
            send(will_.begun[writer], will_.acked[writer], gathers ? batch : 1, to_latest, [&](std::uint64_t number) { return to_latest.send(key_of(writer, number), value_of(writer, number)); });
            if (writer != 0) {
                const offset last = send(will_.kept_begun[writer], will_.kept_acked[writer], gathers ? batch : 1, to_kept,
                                         [&](std::uint64_t number) { return to_kept.send({.value = value_of(writer, number)}); });
                will_.kept_acked_at[writer].store(last);
            }
            if (random() % 30 == 0) {
                std::this_thread::yield();
            }
        }
    }

    template <class Producer, class Send>
    offset send(std::atomic<std::uint64_t>& begun, std::atomic<std::uint64_t>& acked, std::uint64_t count, Producer& by, const Send& one) {
        const std::uint64_t first = begun.load();
        begun.store(first + count);
        std::vector<delivery> sent;
        for (std::uint64_t i = 0; i < count; ++i) {
            sent.push_back(one(first + i));
        }
        if (count > 1) {
            by.flush();
        }
        offset last = 0;
        for (auto& each : sent) {
            last = each.get().offset;
        }
        acked.store(first + count);
        will_.records += count;
        return last;
    }

    void read(users& all, std::size_t group) {
        brook::consumer<std::uint64_t, std::string> reader{all.latest, {.group_id = "group" + std::to_string(group)}};
        std::mt19937_64 random{seed_ + 100 + group};
        for (;;) {
            offset before = -1;
            const auto records = reader.poll(1ms);
            for (const auto& one : records) {
                const author by = author_of(std::string{one.value()});
                require(one.offset() > before && by.number < will_.begun[by.writer].load() && one.key() == key_of(by.writer, by.number), "a reader is given what nobody sent");
                before = one.offset();
                ++will_.delivered;
            }
            if (random() % 4 == 0) {
                will_.committing[group].store(reader.position(all.latest.partition(0)));
                reader.commit();
                will_.committed[group].store(will_.committing[group].load());
            }
        }
    }

    void make_and_delete(brook::broker& broker) {
        if (will_.made.load() % 2 == 0) {
            will_.making.store(will_.made.load() + 1);
            const auto doomed = broker.create_topic<no_key, std::string>("doomed", {.segment_bytes = 16 << 10});
            will_.made.store(will_.making.load());
            brook::producer<no_key, std::string> by{doomed};
            for (int i = 0; i < 40; ++i) {
                by.send({.value = std::string(500, 'd')});
            }
            by.flush();
        } else {
            will_.making.store(will_.made.load() + 1);
            broker.delete_topic("doomed");
            will_.made.store(will_.making.load());
        }
    }

    template <class Work>
    void start(Work work) {
        std::thread{[this, work = std::move(work)] {
            try {
                work();
            } catch (const std::exception& why) {
                say(why.what());
            } catch (const violation& what) {
                say(what.text);
            }
            ::_exit(1);
        }}.detach();
    }

    void say(std::string_view words) noexcept {
        if (!will_.has_spoken.exchange(true)) {
            std::memcpy(will_.last_words.data(), words.data(), std::min(words.size(), will_.last_words.size() - 1));
        }
    }

    const std::string path_;
    const std::uint64_t seed_;
    will& will_;
};

class storm {
public:
    storm(std::uint64_t kills, std::optional<double> seconds, std::uint64_t seed, const std::string& directory)
        : kills_{kills}, seconds_{seconds}, seed_{seed}, random_{seed}, root_{directory}, path_{root_ / "store"} {}

    [[nodiscard]] bool run() {
        while (bad_ == 0 && !is_over()) {
            if (::mkdir(path_.c_str(), 0700) != 0) {
                empty_directory(path_);
            }
            will_.reset();
            for (std::size_t group = 0; group < groups; ++group) {
                will_->committing[group].store(-1);
                will_->committed[group].store(-1);
            }
            for (std::uint64_t lives = 1 + random_() % 12; lives > 0 && bad_ == 0; --lives) {
                kill_one();
                verify();
            }
            acked_ += will_->records.load();
            delivered_ += will_->delivered.load();
            deletions_ += will_->made.load() / 2;
        }
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("upkeep storm: %llu kills, %llu kills of an opening; %llu acknowledged, %llu verified, compaction had left out %llu, retention %llu; %llu delivered to %zu groups, "
                    "%llu topics deleted; bad %llu; %.1f s; seed %llu\n",
                    n(killed_), n(killed_opening_), n(acked_), n(verified_), n(compacted_), n(retained_), n(delivered_), groups, n(deletions_), n(bad_), elapsed(), n(seed_));
        if (bad_ == 0 && killed_ >= 200 && (compacted_ == 0 || retained_ == 0 || deletions_ == 0)) {
            std::printf("BAD  compaction, retention or deletion never came to anything: the storm proves nothing\n");
            return false;
        }
        return bad_ == 0;
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }
    [[nodiscard]] bool is_over() const { return seconds_ ? elapsed() >= *seconds_ : killed_ >= kills_; }

    void kill_one() {
        will_->is_up.store(false);
        const pid_t child = fork_child();
        if (child == 0) {
            life{path_, random_(), *will_}.live();
        }
        static_cast<void>(random_());
        const bool while_opening = random_() % 8 == 0;
        if (!while_opening) {
            for (int left = 100'000; !will_->is_up.load() && !will_->has_spoken.load() && left > 0; --left) {
                ::usleep(50);
            }
        }
        ::usleep(static_cast<useconds_t>(random_() % (while_opening ? 1'500 : 8'000)));
        ::kill(child, SIGKILL);
        const int status = await_end(child);
        ++(will_->is_up.load() ? killed_ : killed_opening_);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
            complain(std::string{"a child ended by itself: "} + will_->last_words.data());
        }
    }

    void verify() {
        watchdog_.still_alive(path_.c_str());
        try {
            users all{path_, maintenance::manual};
            check_latest(all);
            check_kept(all);
            check_commits(all);
            check_doomed(all.broker);
            if (random_() % 4 == 0) {
                all.broker.maintain();
                check_latest(all);
                check_kept(all);
            }
        } catch (const violation& what) {
            complain(what.text);
        } catch (const std::exception& why) {
            complain(std::string{"unexpected: "} + why.what());
        }
    }

    template <class Key, class Visit>
    static void read_all(const topic<Key, std::string>& from, const Visit& visit) {
        const partition log = from.partition(0);
        require(log.recovery().damages.empty() && log.recovery().cut_bytes == 0, "recovery says that something is damaged, and nothing was");
        brook::consumer<Key, std::string> reader{from, {.auto_offset_reset = offset_reset::none}};
        reader.assign({log});
        reader.seek(log, log.log_start_offset());
        for (offset before = -1;;) {
            const auto records = reader.poll(0ms);
            for (const auto& one : records) {
                require(one.offset() > before && one.offset() < log.log_end_offset(), "offset " + std::to_string(one.offset()) + " comes twice, or late");
                before = one.offset();
                visit(one);
            }
            if (records.empty()) {
                return require(reader.caught_up(), "reading ends before the end");
            }
        }
    }

    void check_latest(users& all) {
        std::array<std::uint64_t, writers> due{};
        std::map<std::uint64_t, std::uint64_t> newest;  // by key: one more than its number
        std::uint64_t count = 0;
        read_all(all.latest, [&](const auto& one) {
            const author by = author_of(std::string{one.value()});
            require(one.key() == key_of(by.writer, by.number), "a record is there under another key");
            require(by.number >= due[by.writer], "latest: number " + std::to_string(by.number) + " of writer " + std::to_string(by.writer) + " is out of order, or twice");
            require(by.number < will_->begun[by.writer].load(), "latest: a number is there that was not sent");
            due[by.writer] = by.number + 1;
            newest[one.key()] = by.number + 1;
            ++count;
        });
        std::uint64_t sent = 0;
        for (std::uint64_t writer = 0; writer < writers; ++writer) {
            const std::uint64_t acked = will_->acked[writer].load();
            sent += acked;
            for (std::uint64_t number = acked > keys_each ? acked - keys_each : 0; number < acked; ++number) {
                require(newest[key_of(writer, number)] > number, "latest: number " + std::to_string(number) + " of writer " + std::to_string(writer) + " was acknowledged, and is lost");
            }
            will_->begun[writer].store(std::max(due[writer], acked));  // a number that did not arrive is sent again
            will_->acked[writer].store(std::max(due[writer], acked));
        }
        verified_ += count;
        compacted_ += sent > count ? sent - count : 0;
    }

    void check_kept(users& all) {
        const offset begin = all.kept.partition(0).log_start_offset();
        std::array<std::optional<std::uint64_t>, writers> due{};
        read_all(all.kept, [&](const auto& one) {
            const author by = author_of(std::string{one.value()});
            require(!due[by.writer] || by.number == *due[by.writer], "kept: number " + std::to_string(by.number) + " of writer " + std::to_string(by.writer) + " is out of order, or one is missing");
            require(by.number < will_->kept_begun[by.writer].load(), "kept: a number is there that was not sent");
            due[by.writer] = by.number + 1;
            ++verified_;
        });
        for (std::uint64_t writer = 1; writer < writers; ++writer) {
            const std::uint64_t acked = will_->kept_acked[writer].load();
            const bool is_gone = acked > 0 && will_->kept_acked_at[writer].load() < begin;  // by retention
            require(acked == 0 || is_gone || due[writer].value_or(0) >= acked, "kept: number " + std::to_string(acked - 1) + " of writer " + std::to_string(writer) + " was acknowledged, and is lost");
            will_->kept_begun[writer].store(std::max(due[writer].value_or(0), acked));
            will_->kept_acked[writer].store(std::max(due[writer].value_or(0), acked));
        }
        retained_ += static_cast<std::uint64_t>(begin);
    }

    void check_commits(users& all) {
        for (std::size_t group = 0; group < groups; ++group) {
            brook::consumer<std::uint64_t, std::string> reader{all.latest, {.group_id = "group" + std::to_string(group)}};
            const offset now = reader.committed(all.latest.partition(0)).value_or(-1);
            require(now == will_->committed[group].load() || now == will_->committing[group].load(),
                    "committed is " + std::to_string(now) + ", the last commit that returned was " + std::to_string(will_->committed[group].load()) + ", the one in flight " +
                        std::to_string(will_->committing[group].load()));
            will_->committed[group].store(now);
            will_->committing[group].store(now);
        }
    }

    void check_doomed(brook::broker& broker) {
        const auto names = broker.topics();
        const bool is_there = std::find(names.begin(), names.end(), "doomed") != names.end();
        const std::uint64_t made = will_->made.load();
        const std::uint64_t making = will_->making.load();
        require(making != made || is_there == (made % 2 == 1), is_there ? "a deleted topic is there" : "a topic is gone that nobody deleted");
        if (is_there != (made % 2 == 1)) {
            will_->made.store(making);
        }
        will_->making.store(will_->made.load());
    }

    void complain(const std::string& problem) {
        ++bad_;
        std::printf("BAD  after %.1f s, %llu kills: %s\n     repeat: brook_fault upkeep_storm %llu 0 %llu\n", elapsed(), static_cast<unsigned long long>(killed_), problem.c_str(),
                    static_cast<unsigned long long>(killed_ + 100), static_cast<unsigned long long>(seed_));
        std::fflush(stdout);
    }

    const clock_type::time_point begin_ = clock_type::now();
    const std::uint64_t kills_;
    const std::optional<double> seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_;
    const std::string path_;
    shared_object<will> will_;
    watchdog watchdog_{60};
    std::uint64_t killed_ = 0;
    std::uint64_t killed_opening_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t verified_ = 0;
    std::uint64_t compacted_ = 0;
    std::uint64_t retained_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t deletions_ = 0;
    std::uint64_t bad_ = 0;
};

const fault_program upkeep_storm{"upkeep_storm", [](int count, char** arguments) { return run_storm<storm>(count, arguments, 100); }};

}  // namespace

}  // namespace fault_upkeep_storm
