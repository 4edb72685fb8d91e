// Exactly once, end to end: is a pipeline that is killed at random as good as one that is never killed?
//
// A named producer feeds numbers into a topic, and goes on behind its last_sequence when its process has been killed. One
// or two members of a group read them, send what they make of each to two topics of other types, and commit both, how far
// they have read and a running state by one transaction; some of them are given up instead, by an abort, a destructor,
// a rival of the same id or a timeout, and some are so large that their beginning is in the log before they are decided.
// A reader of committed records looks on and writes down what it is given. All of that is one process, which gets SIGKILL
// up to 3 ms after it was begun, or was ready.
//
// The next one looks at everything first: the input has each number once, the outputs hold what was made of precisely
// the numbers below the committed offsets, in the order of their keys, the states count them, and what the reader had been
// given is where it was. In the end the outputs are those of one clean run in a directory of its own.
//
// usage: brook_fault exactly_once [kills] [seconds] [seed] [directory]
//        kills: how many at least, 1000 by default. With seconds, or BROOK_FAULT_SECONDS: for that long instead.
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
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <brook/brook.hpp>

#include "fault/program.hpp"
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_exactly_once {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t slowness = 30;  // else a life is over before it has committed anything
#else
constexpr std::uint64_t slowness = 1;
#endif
constexpr std::uint64_t most_numbers = 60'000;  // of one store
constexpr std::size_t most_partitions = 4;
constexpr std::size_t most_workers = 2;
constexpr std::uint64_t keys = 23;  // of the input, and of the ledger

/// How one store is kept, and how its pipeline works; drawn anew for each.
struct store_plan {
    std::int32_t partitions[3] = {1, 1, 1};  ///< input, ledger, audit
    std::int64_t segment_bytes = 0;
    std::int64_t flush_messages = 0;
    std::uint32_t audit_bytes = 0;  ///< on average
    std::uint32_t workers = 1;
    std::int32_t most_polled = 0;
};

/// How one life goes.
struct life_plan {
    std::uint64_t seed = 0;
    bool has_upkeep = false;
    bool looks_first = true;
    bool lingers = false;
};

/// What a life leaves behind, and what is known of the store: everything here was stored before the next step began.
struct diary {
    struct sight {
        offset at = -1;
        std::uint64_t what = 0;
    };
    struct alignas(128) watched {
        std::atomic<std::uint32_t> count{0};
        std::array<sight, most_numbers> seen{};
    };

    // of the store
    std::array<std::array<watched, most_partitions>, 2> watched_by_reader;  ///< ledger and audit
    std::atomic<std::uint64_t> begun{0};  ///< numbers that were about to be sent: those below
    std::atomic<std::uint64_t> acked{0};
    std::atomic<std::uint64_t> goal{0};   ///< so many are to be sent in all
    std::array<std::atomic<std::uint64_t>, most_workers> counted;  ///< by the last transaction whose commit returned

    // of the life
    std::atomic<bool> is_up{false};
    std::atomic<bool> is_to_end{false};  ///< in good order
    std::atomic<bool> is_done{false};    ///< everything there is has gone through
    std::atomic<bool> has_spoken{false};
    std::array<char, 400> last_words{};

    // figures
    std::atomic<std::uint64_t> commits{0};
    std::atomic<std::uint64_t> given_up{0};
    std::atomic<std::uint64_t> put_out{0};   ///< commits that were refused: it had taken too long, or the group had changed
    std::atomic<std::uint64_t> looks{0};
    std::atomic<std::uint64_t> verified{0};
    std::atomic<std::uint64_t> passed_over{0};  ///< records of transactions that never counted, at the last look
    std::atomic<std::uint64_t> repeated{0};     ///< numbers that the feeder sent once more
    std::atomic<std::uint64_t> digest{0};       ///< of the outputs, at the end

    void begin_life() noexcept {
        is_up = is_to_end = is_done = has_spoken = false;
        last_words.fill('\0');
    }
};

[[nodiscard]] std::uint64_t mix(std::uint64_t word) noexcept {
    word = (word ^ word >> 31) * 0x9e3779b97f4a7c15u;
    word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9u;
    return word ^ word >> 32;
}

/// What the pipeline makes of a number: the whole transform.
struct made {
    std::uint64_t key;          ///< of the input
    std::string ledger_key;
    std::uint64_t ledger_value;
    std::uint64_t audit_key;
    std::string audit_value;

    made(std::uint64_t number, std::uint32_t audit_bytes)
        : key{mix(number) % keys},
          ledger_key{"account " + std::to_string(key)},
          ledger_value{number * 3 + 1},
          audit_key{number},
          audit_value(16 + mix(number + 5) % (2 * std::size_t{audit_bytes} + 1), static_cast<char>('a' + number % 26)) {
        std::memcpy(audit_value.data(), &number, sizeof number);
    }
};

struct running_state {
    std::uint64_t count = 0;
    std::uint64_t sum = 0;

    void take(std::uint64_t number) noexcept {
        ++count;
        sum += mix(number + 77);
    }
    [[nodiscard]] std::string text() const {
        std::string bytes(sizeof *this, '\0');
        std::memcpy(bytes.data(), this, sizeof *this);
        return bytes;
    }
    [[nodiscard]] static running_state of(const std::string& bytes) {
        running_state state;
        if (bytes.size() == sizeof state) {
            std::memcpy(&state, bytes.data(), sizeof state);
        } else if (!bytes.empty()) {
            throw error{errc::corrupt_record, "the state has " + std::to_string(bytes.size()) + " bytes"};
        }
        return state;
    }
};

[[nodiscard]] std::uint64_t sight_of(const std::string& key, std::uint64_t value) noexcept { return mix(value + key.size() * 1'000'003 + static_cast<unsigned char>(key.back())); }
[[nodiscard]] std::uint64_t sight_of(std::uint64_t key, const std::string& value) noexcept { return mix(key + value.size()); }

[[noreturn]] void complain(const std::string& problem) { throw error{errc::illegal_state, problem}; }

/// Everything in one process: its destructor closes in good order, if it is let.
class pipeline {
public:
    pipeline(const std::string& path, const store_plan& store, const life_plan& life, diary& told)
        : store_{store}, life_{life}, told_{told},
          broker_{path, {.maintenance = life.has_upkeep ? maintenance::thread : maintenance::manual}},
          input_{broker_.create_topic<std::uint64_t, std::uint64_t>("numbers", options(0))},
          ledger_{broker_.create_topic<std::string, std::uint64_t>("ledger", options(1))},
          audit_{broker_.create_topic<std::uint64_t, std::string>("audit", options(2))} {
        if (!broker_.health().is_ok()) {
            complain("health: " + broker_.health().errors.front().text);
        }
    }

    /// Until it is killed, told to end, or done.
    void work() {
        std::vector<std::thread> threads;
        threads.emplace_back([this] { guarded([this] { feed(); }); });
        threads.emplace_back([this] { guarded([this] { look_on(); }); });
        for (std::uint32_t worker = 1; worker < store_.workers; ++worker) {
            threads.emplace_back([this, worker] { guarded([&] { transform(worker); }); });
        }
        guarded([this] { transform(0); });
        for (auto& thread : threads) {
            thread.join();
        }
        if (told_.is_done.load()) {
            look();
        }
    }

    /// Holds everything against everything.
    void look() {
        const std::uint64_t begun = told_.begun.load();
        const std::uint64_t acked = told_.acked.load();
        std::vector<bool> is_there(begun), is_processed(begun);
        std::uint64_t processed = 0;
        running_state due;
        // The input: in each partition the first of the numbers that belong there, each once; below the commit they are processed.
        std::array<std::uint64_t, keys> last_of_key{};
        consumer all{input_};
        consumer group{input_, {.group_id = "pipeline"}};
        each(all, [&](const auto& one) {
            const std::uint64_t number = one.value();
            if (number >= begun || is_there[number] || one.key() != mix(number) % keys || (last_of_key[one.key()] > number)) {
                complain("the input has number " + std::to_string(number) + ", of " + std::to_string(begun) + ", twice, out of order, or with another key");
            }
            last_of_key[one.key()] = number;
            is_there[number] = true;
            if (one.offset() < group.committed(input_.partition(one.partition())).value_or(0)) {
                is_processed[number] = true;
                ++processed;
                due.take(number);
            }
        });
        for (std::uint64_t number = 0; number < acked; ++number) {
            if (!is_there[number]) {
                complain("number " + std::to_string(number) + " of " + std::to_string(acked) + " acknowledged is lost");
            }
        }
        // The states.
        running_state sum;
        for (std::uint32_t worker = 0; worker < most_workers; ++worker) {
            const auto state = running_state::of(broker_.transaction_state(name_of(worker)));
            if (state.count < told_.counted[worker].load()) {
                complain("worker " + std::to_string(worker) + " had counted " + std::to_string(told_.counted[worker].load()) + ", its state says " + std::to_string(state.count));
            }
            sum.count += state.count;
            sum.sum += state.sum;
        }
        if (sum.count != due.count || sum.sum != due.sum) {
            complain("the states count " + std::to_string(sum.count) + ", the committed offsets " + std::to_string(due.count));
        }
        // The outputs.
        std::vector<bool> in_ledger(begun), in_audit(begun);
        std::array<std::uint64_t, keys> last_in_ledger{};
        std::uint64_t digest = 0;
        std::array<std::uint64_t, keys> chains{};
        std::array<std::array<std::uint32_t, most_partitions>, 2> place{};
        consumer ledger{ledger_};
        each(ledger, [&](const auto& one) {
            const std::uint64_t number = (one.value() - 1) / 3;
            if (one.value() % 3 != 1 || number >= begun || !is_processed[number] || in_ledger[number] || one.key() != made{number, 0}.ledger_key) {
                complain("the ledger has number " + std::to_string(number) + " and should not");
            }
            in_ledger[number] = true;
            const std::uint64_t key = mix(number) % keys;
            if (last_in_ledger[key] > number) {
                complain("the ledger has number " + std::to_string(number) + " behind a later one of its key");
            }
            last_in_ledger[key] = number;
            chains[key] = mix(chains[key] ^ one.value());
            compare_sight(0, one.partition(), place, one.offset(), sight_of(std::string{one.key()}, one.value()));
        });
        consumer audit{audit_};
        each(audit, [&](const auto& one) {
            const std::uint64_t number = one.key();
            if (number >= begun || !is_processed[number] || in_audit[number] || one.value() != made{number, store_.audit_bytes}.audit_value) {
                complain("the audit has number " + std::to_string(number) + " and should not");
            }
            in_audit[number] = true;
            digest += mix(number ^ mix(one.value().size()));
            compare_sight(1, one.partition(), place, one.offset(), sight_of(one.key(), std::string{one.value()}));
        });
        for (std::uint64_t number = 0; number < begun; ++number) {
            if (is_processed[number] != in_ledger[number] || is_processed[number] != in_audit[number]) {
                complain("number " + std::to_string(number) + " is committed, and not in " + (in_ledger[number] ? "the audit" : "the ledger"));
            }
        }
        for (std::size_t topic = 0; topic < 2; ++topic) {
            for (std::size_t partition = 0; partition < most_partitions; ++partition) {
                if (place[topic][partition] < told_.watched_by_reader[topic][partition].count.load()) {
                    complain("a reader had been given " + std::to_string(told_.watched_by_reader[topic][partition].count.load()) + " records of a partition, now it has " +
                             std::to_string(place[topic][partition]));
                }
            }
        }
        // Who reads everything may be given more, never less.
        std::uint64_t raw = 0;
        consumer raw_ledger{ledger_, {.isolation_level = isolation_level::read_uncommitted}};
        each(raw_ledger, [&](const auto&) { ++raw; });
        if (raw < processed) {
            complain("read_uncommitted gives less than read_committed");
        }
        for (const std::uint64_t chain : chains) {
            digest = mix(digest ^ chain);
        }
        told_.passed_over.store(raw - processed);
        told_.digest.store(mix(digest ^ due.sum));
        told_.verified += processed;
        ++told_.looks;
    }

    [[nodiscard]] static std::string name_of(std::uint32_t worker) { return "worker " + std::to_string(worker); }

private:
    using numbers = topic<std::uint64_t, std::uint64_t>;

    [[nodiscard]] topic_options options(std::size_t which) const {
        topic_options made;
        made.partitions = store_.partitions[which];
        made.segment_bytes = store_.segment_bytes;
        if (store_.flush_messages > 0 && which != 2) {
            made.flush_messages = store_.flush_messages;
        }
        return made;
    }

    template <class Consumer, class Use>
    static void each(Consumer& from, const Use& use) {
        do {
            const auto records = from.poll(milliseconds{0});
            for (const auto& one : records) {
                use(one);
            }
        } while (!from.caught_up());
    }

    void compare_sight(std::size_t topic, std::int32_t partition, std::array<std::array<std::uint32_t, most_partitions>, 2>& place, offset at, std::uint64_t what) const {
        const auto& watched = told_.watched_by_reader[topic][static_cast<std::size_t>(partition)];
        const std::uint32_t i = place[topic][static_cast<std::size_t>(partition)]++;
        if (i < watched.count.load() && (watched.seen[i].at != at || watched.seen[i].what != what)) {
            complain("a reader had been given something else, or at another offset, than what is at offset " + std::to_string(at) + " now");
        }
    }

    // ---- threads ----

    template <class Work>
    void guarded(const Work& work) {
        try {
            work();
        } catch (const std::exception& why) {
            say(told_, why.what());
            ::_exit(1);  // here, before the broker closes under the others
        }
    }

    [[nodiscard]] bool is_over() const { return told_.is_to_end.load() || told_.is_done.load(); }

    void feed() {
        producer feeder{input_, {.linger = life_.lingers ? microseconds{50} : microseconds{0}, .name = "feeder"}};
        const auto last = feeder.last_sequence();
        std::uint64_t number = last ? static_cast<std::uint64_t>(*last) + 1 : 0;
        told_.repeated += told_.begun.load() - std::min(number, told_.begun.load());
        if (told_.acked.load() < number) {
            told_.acked.store(number);  // the topic says so
        }
        std::mt19937_64 random{life_.seed + 11};
        while (!is_over()) {
            if (number >= told_.goal.load() || number > processed() + 400) {
                std::this_thread::yield();
                continue;
            }
            const std::uint64_t end = std::min(number + 1 + random() % 16, told_.goal.load());
            if (told_.begun.load() < end) {
                told_.begun.store(end);
            }
            const std::uint64_t from = number;
            for (; number < end; ++number) {
                feeder.send({.key = mix(number) % keys, .value = number, .sequence = static_cast<std::int64_t>(number)});
                if (!life_.lingers && told_.acked.load() == number) {
                    told_.acked.store(number + 1);  // linger 0: it is in the log
                }
            }
            feeder.flush();
            if (told_.acked.load() < end && told_.acked.load() >= from) {
                told_.acked.store(end);
            }
        }
    }

    [[nodiscard]] std::uint64_t processed() const {
        std::uint64_t sum = 0;
        for (const auto& one : told_.counted) {
            sum += one.load();
        }
        return sum;
    }

    void transform(std::uint32_t worker) {
        std::mt19937_64 random{life_.seed + worker};
        consumer group{input_, {.group_id = "pipeline", .max_poll_records = store_.most_polled}};
        const std::string id = name_of(worker);
        running_state state = running_state::of(broker_.transaction_state(id));
        told_.counted[worker].store(state.count);
        while (!is_over()) {
            const auto records = group.poll(milliseconds{0});
            if (!life_.has_upkeep && random() % 8 == 0) {
                broker_.maintain(std::chrono::nanoseconds{1});
            }
            if (records.empty()) {
                if (processed() >= told_.goal.load() && told_.acked.load() >= told_.goal.load()) {
                    told_.is_done.store(true);
                }
                std::this_thread::yield();
                continue;
            }
            const bool is_hasty = random() % 32 == 0;
            auto open = broker_.begin_transaction({.transactional_id = id, .transaction_timeout = is_hasty ? std::chrono::nanoseconds{20'000} : std::chrono::minutes{1}});
            running_state next = state;
            bool has_ended = false;
            try {
                for (const auto& one : records) {
                    const made from{one.value(), store_.audit_bytes};
                    open.send(ledger_, from.ledger_key, from.ledger_value);
                    open.send(audit_, from.audit_key, from.audit_value);
                    next.take(one.value());
                }
                open.set_state(next.text());
                open.commit_offsets(group);
                if (is_hasty) {
                    std::this_thread::sleep_for(microseconds{30});
                    broker_.maintain();  // ends it, if its beginning is in the log
                }
                switch (random() % 24) {
                    case 0: open.abort(); has_ended = true; break;
                    case 1: { const transaction gone = std::move(open); has_ended = true; break; }
                    case 2: {  // a rival
                        const transaction fencing = broker_.begin_transaction({.transactional_id = id});
                        try {
                            open.commit();
                            complain("a fenced transaction has committed");
                        } catch (const error& why) {
                            if (why.code() != errc::producer_fenced) {
                                throw;
                            }
                        }
                        has_ended = true;
                        break;
                    }
                    default: open.commit(); break;
                }
            } catch (const error& why) {
                if (why.code() != errc::transaction_aborted && why.code() != errc::illegal_generation) {
                    throw;
                }
                ++told_.put_out;
                has_ended = true;
            }
            if (has_ended) {
                ++told_.given_up;
                group.seek_to_committed();
                continue;
            }
            state = next;
            told_.counted[worker].store(state.count);
            ++told_.commits;
        }
    }

    /// A reader of committed records, over all lives: it goes on behind what it was given last.
    void look_on() {
        consumer ledger{ledger_};
        consumer audit{audit_};
        const auto go_on = [this](auto& reader, const auto& topic, std::size_t which) {
            for (std::int32_t number = 0; number < topic.partition_count(); ++number) {
                const auto& watched = told_.watched_by_reader[which][static_cast<std::size_t>(number)];
                const std::uint32_t count = watched.count.load();
                reader.seek(topic.partition(number), count == 0 ? 0 : watched.seen[count - 1].at + 1);
            }
        };
        go_on(ledger, ledger_, 0);
        go_on(audit, audit_, 1);
        while (!is_over()) {
            for (const auto& one : ledger.poll(milliseconds{0})) {
                note(0, one.partition(), one.offset(), sight_of(std::string{one.key()}, one.value()));
            }
            for (const auto& one : audit.poll(milliseconds{0})) {
                note(1, one.partition(), one.offset(), sight_of(one.key(), std::string{one.value()}));
            }
            std::this_thread::yield();
        }
    }

    void note(std::size_t topic, std::int32_t partition, offset at, std::uint64_t what) {
        auto& watched = told_.watched_by_reader[topic][static_cast<std::size_t>(partition)];
        const std::uint32_t i = watched.count.load();
        if (i < most_numbers) {
            watched.seen[i] = {at, what};
            watched.count.store(i + 1);
        }
    }

public:
    /// The first words are the last: what else goes wrong while everything ends is no news.
    static void say(diary& told, std::string_view words) noexcept {
        if (!told.has_spoken.exchange(true)) {
            std::memcpy(told.last_words.data(), words.data(), std::min(words.size(), told.last_words.size() - 1));
        }
    }

private:
    const store_plan store_;
    const life_plan life_;
    diary& told_;
    broker broker_;
    numbers input_;
    topic<std::string, std::uint64_t> ledger_;
    topic<std::uint64_t, std::string> audit_;
};

struct totals {
    std::uint64_t kills = 0;
    std::uint64_t opener_kills = 0;
    std::uint64_t closes = 0;
    std::uint64_t stores = 0;
    std::uint64_t numbers = 0;
    std::uint64_t commits = 0;
    std::uint64_t given_up = 0;
    std::uint64_t put_out = 0;
    std::uint64_t looks = 0;
    std::uint64_t verified = 0;
    std::uint64_t passed_over = 0;
    std::uint64_t repeated = 0;
    std::uint64_t bad = 0;
};

class storm {
public:
    storm(std::uint64_t kills, std::optional<double> seconds, std::uint64_t seed, const std::string& directory)
        : begin_{clock_type::now()}, kills_{kills}, seconds_{seconds}, seed_{seed}, random_{seed}, root_{directory}, path_{root_ / "store"}, clean_{root_ / "clean"} {}

    bool run() {
        while (totals_.bad == 0 && !is_over()) {
            one_store();
        }
        return report();
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }
    [[nodiscard]] bool is_over() const { return seconds_ ? elapsed() >= *seconds_ : totals_.kills + totals_.opener_kills >= kills_; }
    [[nodiscard]] std::uint64_t draw(std::uint64_t below) { return random_() % below; }

    void one_store() {
        for (const std::string& path : {path_, clean_}) {
            if (::mkdir(path.c_str(), 0700) != 0) {
                empty_directory(path);
            }
        }
        constexpr std::int64_t sizes[] = {8 * kib, 8 * kib, 16 * kib, 64 * kib, 96 * kib, 256 * kib};
        plan_ = {};
        for (auto& count : plan_.partitions) {
            count = 1 + static_cast<std::int32_t>(draw(3));
        }
        plan_.segment_bytes = sizes[draw(std::size(sizes))];
        plan_.audit_bytes = draw(2) == 0 ? 40 : 400;
        plan_.most_polled = 1 + static_cast<std::int32_t>(draw(3) == 0 ? draw(400) : draw(40));
        plan_.flush_messages = draw(4) == 0 ? 1 : 0;
        plan_.workers = draw(3) == 0 ? 2 : 1;
        const bool is_large = draw(8) == 0;
        if (is_large) {  // more than 1 MiB to a partition
            plan_.segment_bytes = 2 * mib;
            plan_.audit_bytes = 60'000;
            plan_.most_polled = 60;
            plan_.partitions[2] = 1;
        }
        told_.reset();
        ++totals_.stores;
        const std::uint64_t most = is_large ? 600 : most_numbers - 1'000;
        told_->goal.store(most);
        const std::uint64_t lives = 20 + draw(80);
        for (std::uint64_t life = 0; life < lives && totals_.bad == 0 && !told_->is_done.load(); ++life) {
            one_life();
        }
        // The last life lives until everything is done.
        told_->goal.store(std::min(most, told_->begun.load()));
        if (totals_.bad == 0) {
            to_the_end(path_, *told_);
        }
        compare_with_clean_run();
        totals_.numbers += told_->begun.load();
        totals_.commits += told_->commits.load();
        totals_.given_up += told_->given_up.load();
        totals_.put_out += told_->put_out.load();
        totals_.looks += told_->looks.load();
        totals_.verified += told_->verified.load();
        totals_.passed_over += told_->passed_over.load();
        totals_.repeated += told_->repeated.load();
    }

    [[nodiscard]] pid_t begin_life(const std::string& path, diary& told, const life_plan& plan) {
        told.begin_life();
        watchdog_.still_alive(path.c_str());
        const pid_t child = fork_child();
        if (child == 0) {
            die_with_parent();
            try {
                pipeline all{path, plan_, plan, told};
                if (plan.looks_first) {
                    all.look();
                }
                told.is_up.store(true);
                all.work();
            } catch (const std::exception& why) {
                pipeline::say(told, why.what());
                ::_exit(1);
            }
            ::_exit(0);
        }
        return child;
    }

    [[nodiscard]] life_plan draw_life() { return {.seed = random_(), .has_upkeep = draw(3) == 0, .looks_first = draw(3) != 0, .lingers = draw(3) == 0}; }

    void one_life() {
        const pid_t child = begin_life(path_, *told_, draw_life());
        bool is_killed = true;
        if (draw(5) != 0) {
            await(told_->is_up, child);
        }
        sleep(microseconds{draw(3'000) * slowness});
        if (draw(16) == 0 && told_->is_up.load()) {
            told_->is_to_end.store(true);
            is_killed = false;
        } else {
            ::kill(child, SIGKILL);
        }
        const int status = await_end(child);
        if (is_killed) {
            ++(told_->is_up.load() ? totals_.kills : totals_.opener_kills);
        } else {
            ++totals_.closes;
        }
        const bool is_as_told = is_killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0;
        const bool is_done = WIFEXITED(status) && WEXITSTATUS(status) == 0 && told_->is_done.load();
        if (!is_as_told && !is_done) {
            complain("a child ended by itself, status " + std::to_string(status) + ": " + told_->last_words.data());
        }
    }

    void to_the_end(const std::string& path, diary& told) {
        const pid_t child = begin_life(path, told, {.seed = random_(), .has_upkeep = false, .looks_first = true, .lingers = false});
        const int status = await_end(child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !told.is_done.load()) {
            complain("the last life, status " + std::to_string(status) + ": " + told.last_words.data());
        }
    }

    void compare_with_clean_run() {
        if (totals_.bad != 0) {
            return;
        }
        clean_told_.reset();
        clean_told_->goal.store(told_->goal.load());
        to_the_end(clean_, *clean_told_);
        if (clean_told_->digest.load() != told_->digest.load()) {
            complain("the outputs are not those of a clean run");
        }
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
        ++totals_.bad;
        std::printf("BAD  store %llu, segments of %lld bytes, %d, %d and %d partitions, flush_messages %lld, %u workers, polls of %d, seed %llu, after %.1f s: %s\n",
                    static_cast<unsigned long long>(totals_.stores), static_cast<long long>(plan_.segment_bytes), plan_.partitions[0], plan_.partitions[1],
                    plan_.partitions[2], static_cast<long long>(plan_.flush_messages), plan_.workers, plan_.most_polled, static_cast<unsigned long long>(seed_),
                    elapsed(), problem.c_str());
    }

    [[nodiscard]] bool report() const {
        const totals& t = totals_;
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("exactly once: %llu kills, %llu while opening or looking, %llu ends in good order, in %llu stores; %llu numbers (%llu sent once more), %llu transactions "
                    "committed, %llu given up (%llu put out or timed out), %llu looks at all of it, %llu verified, %llu records that never counted; bad %llu; %.1f s\n",
                    n(t.kills), n(t.opener_kills), n(t.closes), n(t.stores), n(t.numbers), n(t.repeated), n(t.commits), n(t.given_up), n(t.put_out), n(t.looks),
                    n(t.verified), n(t.passed_over), n(t.bad), elapsed());
        if (t.bad == 0 && t.kills >= 500 && (t.commits == 0 || t.given_up == 0 || t.repeated == 0 || t.passed_over == 0 || t.closes == 0)) {
            std::printf("BAD  something was never met: the campaign proves less than it says\n");
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
    const std::string clean_;
    store_plan plan_;
    shared_object<diary> told_;
    shared_object<diary> clean_told_;
    watchdog watchdog_{60};
    totals totals_;
};

const fault_program exactly_once{"exactly_once", [](int count, char** arguments) { return run_storm<storm>(count, arguments, 1'000); }};

}  // namespace

}  // namespace fault_exactly_once
