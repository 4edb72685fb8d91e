// T8: what if the k-th allocation of memory fails?
//
// A fixed scenario opens a broker, makes topics, appends in each way that there is (lone, with headers, batches, slots, lingering, compressed
// with each codec, numbered, in transactions that commit and abort), reads, commits, syncs, rolls, compacts, lets retention delete, deletes a
// topic, looks into a table, closes, opens again and goes on. It runs with the 1st allocation failing, with the 2nd, and so on until a run
// meets no failure: that one alone, and that one with all after it until the heap recovers. Allocations of the libraries that brook uses
// fail, too: the codecs', the C library's.
//
// What must hold: a call says that there was no memory, and does nothing else; the same objects go on once there is memory again; what was
// acknowledged is there, once, when the directory is opened again, and what a failed call leaves is there whole or not at all. Nothing is
// leaked, nothing calls std::terminate.
//
// usage: brook_fault_memory failing_allocations [seconds] [seed] [allocation] [once|lasting]
//        seconds: 15 by default, BROOK_FAULT_SECONDS otherwise; every allocation where there is time, else a sample. The rest: one run alone.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

#include "fault/program.hpp"
#include "support/directory_watch.hpp"
#include "support/failing_heap.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace fault_failing_allocations {

namespace {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

struct run_plan {
    std::uint64_t allocation = 0;  ///< 0: none fails
    bool is_lasting = false;
};

/// A promise that was broken.
struct violation {
    std::string text;
};

void require(bool condition, const std::string& text) {
    if (!condition) {
        throw violation{text};
    }
}

/// One topic, and what its user was told of it. Values are unlike each other.
struct account {
    const char* name;
    topic_options options{};
    std::map<offset, std::string> acknowledged{};
    std::multiset<std::string> uncertain{};  ///< of calls that failed
};

class story {
public:
    explicit story(std::string directory) : directory_{std::move(directory)} { platform_.set_monotonic(1s); }

    /// Errors    violation.
    void run(const run_plan& plan) {
        heap = {plan.allocation, plan.is_lasting, false, false, 0};
        {
            users here{*this};
            tell(here);
            if (plan.is_lasting && heap.has_struck) {
                heap.left = 0;  // there is memory again
                is_well_ = true;
                go_on(here);
            }
        }
        heap.left = 0;
        met_ = heap.met;
        has_struck_ = heap.has_struck;
        heap.has_struck = false;
        verify();
    }

    [[nodiscard]] std::uint64_t met() const noexcept { return met_; }
    [[nodiscard]] bool has_struck() const noexcept { return has_struck_; }
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    [[nodiscard]] const char* at() const noexcept { return at_; }

private:
    using lone_topic = brook::topic<no_key, bytes>;
    using keyed_topic = brook::topic<std::uint64_t, std::string>;

    struct users {
        explicit users(story& of) noexcept : told{of} {}
        users(const users&) = delete;
        users& operator=(const users&) = delete;
        ~users() { told.leave(*this); }

        story& told;
        std::optional<brook::broker> broker;
        std::optional<lone_topic> plain;
        std::optional<lone_topic> durable;
        std::optional<lone_topic> packed;
        std::optional<keyed_topic> latest;
        std::optional<brook::producer<no_key, bytes>> to_plain;
        std::optional<brook::producer<no_key, bytes>> to_durable;
        std::optional<brook::consumer<no_key, bytes>> reader;
    };

    void tell(users& here) {
        open(here);
        make(here);
        for (int i = 0; i < 2; ++i) {
            send(here.to_plain, plain_, 40);
            send(here.to_durable, durable_, 40);
        }
        send_with_headers(here);
        send_batch(here.to_plain, plain_);
        send_batch(here.to_durable, durable_);
        use_slots(here);
        linger(here.plain, plain_, compression::none);
        linger(here.packed, packed_, compression::lz4);
        linger(here.packed, packed_, compression::zstd);
        send_numbered(here);
        read_and_commit(here);
        run_transaction(here, true);
        run_transaction(here, false);
        for (int i = 0; i < 10; ++i) {
            send(here.to_plain, plain_, 700);
        }
        sync(here);
        roll(here);
        overwrite(here);
        keep_up(here);
        look_into_table(here);
        delete_topic(here);
        read_and_commit(here);
        leave(here);
        open(here);
        make(here);
        send(here.to_plain, plain_, 60);
        send(here.to_durable, durable_, 60);
        read_and_commit(here);
        keep_up(here);
    }

    /// With the same objects, as far as there are any.
    void go_on(users& here) {
        if (here.broker && !here.broker->health().is_ok()) {
            leave(here);  // what could not be opened stays so for the broker's life
        }
        open(here);
        make(here);
        send(here.to_plain, plain_, 50);
        send(here.to_durable, durable_, 50);
        linger(here.packed, packed_, compression::zstd);
        use_slots(here);
        run_transaction(here, true);
        roll(here);
        send(here.to_plain, plain_, 50);
        read_and_commit(here);
        overwrite(here);
        keep_up(here);
    }

    // ---- one call of a user ----

    /// True when it succeeded: one failure must be gone at the second attempt, and a lasting one when there is memory again.
    template <class Call>
    bool attempt(const char* what, const Call& call) {
        at_ = what;
        for (int time = 0;; ++time) {
            std::string text;
            try {
                const armed_heap armed;
                call();
                return true;
            } catch (const error& why) {
                text = why.what();
            } catch (const std::bad_alloc&) {
                text = "no memory";
            }
            ++refused_;
            require(heap.has_struck, std::string{what} + " fails, and nothing was made to: " + text);
            if (heap.is_lasting && !is_well_) {
                return false;
            }
            require(time == 0, std::string{what} + " fails again, with nothing in the way: " + text);
        }
    }

    void open(users& here) {
        for (int time = 0; !here.broker && time < 2; ++time) {
            if (!attempt("opening", [&] { here.broker.emplace(directory_, broker_options{.maintenance = maintenance::manual, .platform = &platform_}); })) {
                return;
            }
            if (!here.broker->health().is_ok() && !(heap.is_lasting && !is_well_)) {  // a topic could not be opened, and the broker says so as long as it lives
                require(heap.has_struck && time == 0, "health: " + here.broker->health().errors.front().text);
                here.broker.reset();
            }
        }
    }

    template <class Topic>
    void make(users& here, std::optional<Topic>& made, const account& of) {
        if (here.broker && !made) {
            attempt("making a topic", [&] { made = here.broker->create_topic<typename Topic::key_type, typename Topic::value_type>(of.name, of.options); });
        }
    }

    void make(users& here) {
        make(here, here.plain, plain_);
        make(here, here.durable, durable_);
        make(here, here.packed, packed_);
        make(here, here.latest, latest_);
        if (here.plain && !here.to_plain) {
            attempt("making a producer", [&] { here.to_plain.emplace(*here.plain); });
        }
        if (here.durable && !here.to_durable) {
            attempt("making a producer", [&] { here.to_durable.emplace(*here.durable); });
        }
        if (here.plain && !here.reader) {
            attempt("making a consumer", [&] { here.reader.emplace(*here.plain, consumer_options{.group_id = "readers"}); });
        }
    }

    /// Closing says nothing of a want of memory, and needs none.
    void leave(users& here) {
        at_ = "closing";
        const armed_heap armed;
        here.reader.reset();
        here.to_plain.reset();
        here.to_durable.reset();
        here.plain.reset();
        here.durable.reset();
        here.packed.reset();
        here.latest.reset();
        here.broker.reset();
    }

    [[nodiscard]] std::string next_value(std::size_t size) {
        std::string value = "value " + std::to_string(++number_) + ' ';
        value.resize(std::max(size, value.size()), static_cast<char>('a' + number_ % 26));
        return value;
    }

    /// Values that go as one: all of them are there, or none; who sends them knows which only when the call succeeds. `call` gives the
    /// offset of each.
    template <class Call>
    void append(const char* what, account& to, const std::vector<std::string>& values, const Call& call) {
        std::vector<offset> at(values.size(), -1);
        attempt(what, [&] {
            {
                const unarmed quiet;
                to.uncertain.insert(values.begin(), values.end());
            }
            call(at);
            const unarmed quiet;
            for (std::size_t i = 0; i < values.size(); ++i) {
                to.uncertain.erase(to.uncertain.find(values[i]));
                require(to.acknowledged.emplace(at[i], values[i]).second, "offset " + std::to_string(at[i]) + " is given twice");
            }
        });
    }

    /// What the story does for itself inside of an attempt.
    struct unarmed {
        unarmed() noexcept : was_{heap.is_armed} { heap.is_armed = false; }
        unarmed(const unarmed&) = delete;
        unarmed& operator=(const unarmed&) = delete;
        ~unarmed() { heap.is_armed = was_; }

    private:
        bool was_;
    };

    void send(std::optional<brook::producer<no_key, bytes>>& by, account& to, std::size_t size) {
        if (by) {
            const std::string value = next_value(size);
            append("sending", to, {value}, [&](std::vector<offset>& at) { at[0] = by->send(as_bytes(value)).get().offset; });
        }
    }

    void send_with_headers(users& here) {
        if (here.to_plain) {
            const std::string value = next_value(30);
            append("sending with headers", plain_, {value}, [&](std::vector<offset>& at) {
                record<no_key, bytes> one{.value = as_bytes(value)};
                one.headers.push_back({.name = "name", .value = "header"});
                at[0] = here.to_plain->send(one).get().offset;
            });
        }
    }

    void send_batch(std::optional<brook::producer<no_key, bytes>>& by, account& to) {
        if (by) {
            const std::vector<std::string> values{next_value(30), next_value(0), next_value(90)};
            const std::vector<bytes> raw{as_bytes(values[0]), as_bytes(values[1]), as_bytes(values[2])};
            append("sending a batch", to, values, [&](std::vector<offset>& at) {
                const offset first = by->send_batch(0, raw).get().offset;
                std::iota(at.begin(), at.end(), first);
            });
        }
    }

    void use_slots(users& here) {
        if (here.to_plain && here.to_durable) {
            attempt("a dropped slot", [&] { static_cast<void>(here.to_plain->claim(100)); });
            const auto fill = [&](brook::producer<no_key, bytes>& by, account& to) {
                const std::string value = next_value(80);
                append("a slot", to, {value}, [&](std::vector<offset>& at) {
                    brook::slot slot = by.claim(value.size());
                    std::memcpy(slot.data(), value.data(), value.size());
                    at[0] = slot.commit().get().offset;
                });
            };
            fill(*here.to_plain, plain_);
            fill(*here.to_durable, durable_);
        }
    }

    void linger(std::optional<lone_topic>& topic, account& to, compression with) {
        if (!topic) {
            return;
        }
        const std::vector<std::string> values{next_value(300), next_value(300), next_value(300)};
        append("lingering", to, values, [&](std::vector<offset>& at) {
            brook::producer gathering{*topic, {.linger = 1s, .compression_type = with}};
            std::vector<delivery> sent;
            for (const auto& value : values) {
                sent.push_back(gathering.send(as_bytes(value)));
            }
            gathering.flush();
            for (std::size_t i = 0; i < values.size(); ++i) {
                at[i] = sent[i].get().offset;
            }
        });
    }

    /// Sent again it is there once: a failure leaves nothing uncertain in the end.
    void send_numbered(users& here) {
        if (!here.durable) {
            return;
        }
        const std::string value = next_value(50);
        const auto sequence = static_cast<std::int64_t>(numbered_++);
        append("sending by number", durable_, {value}, [&](std::vector<offset>& at) {
            brook::producer named{*here.durable, {.name = "scribe"}};
            at[0] = named.send({.value = as_bytes(value), .sequence = sequence}).get().offset;
        });
    }

    void read_and_commit(users& here) {
        if (!here.reader) {
            return;
        }
        attempt("polling", [&] {
            while (!here.reader->poll(0ms).empty()) {
            }
        });
        attempt("committing", [&] {
            const offset next = here.reader->position(here.plain->partition(0));
            {
                const unarmed quiet;
                committing_.insert(next);
            }
            here.reader->commit(here.plain->partition(0), next);
            const unarmed quiet;
            committed_ = next;
            committing_.clear();
        });
    }

    void run_transaction(users& here, bool commits) {
        if (!here.plain || !here.durable) {
            return;
        }
        const std::vector<std::string> values{next_value(60), next_value(70)};
        const bool has_returned = attempt(commits ? "a transaction" : "a transaction that aborts", [&] {
            if (commits) {
                const unarmed quiet;
                plain_.uncertain.insert(values[0]);
                durable_.uncertain.insert(values[1]);
            }
            auto open = here.broker->begin_transaction({.transactional_id = "clerk"});
            open.send(*here.plain, as_bytes(values[0]));
            open.send(*here.durable, as_bytes(values[1]));
            open.set_state(values[0]);
            if (commits) {
                open.commit();
            } else {
                open.abort();
            }
        });
        decided_.push_back({values[0], values[1], commits && has_returned});
    }

    void sync(users& here) {
        if (here.plain) {
            attempt("sync", [&] { here.plain->partition(0).sync(); });
        }
    }

    void roll(users& here) {
        for (auto* const one : {&here.plain, &here.durable}) {
            if (*one) {
                attempt("roll", [&] { (*one)->partition(0).roll(); });
            }
        }
    }

    /// Of few keys, so that there is something to compact; and enough of it that retention has something to delete.
    void overwrite(users& here) {
        if (!here.latest) {
            return;
        }
        attempt("overwriting", [&] {
            brook::producer<std::uint64_t, std::string> by{*here.latest};
            for (std::uint64_t i = 0; i < 24; ++i) {
                by.send(i % 3, std::string(400, static_cast<char>('a' + i)));
            }
            by.send(7, tombstone);
            by.flush();
        });
        for (std::uint64_t i = 0; i < 3; ++i) {
            newest_[i] = std::string(400, static_cast<char>('a' + 21 + i));
        }
        attempt("roll", [&] { here.latest->partition(0).roll(); });
    }

    void keep_up(users& here) {
        for (int pass = 0; here.broker && pass < 3; ++pass) {
            platform_.advance_monotonic(10s);
            attempt("upkeep", [&] { here.broker->maintain(); });
        }
    }

    void look_into_table(users& here) {
        if (here.latest) {
            attempt("a table", [&] {
                brook::table table{*here.latest};
                require(!newest_.empty() || heap.has_struck, "a table is empty");
                for (std::uint64_t key = 0; key < 3; ++key) {
                    static_cast<void>(table.find(key));
                }
            });
        }
    }

    void delete_topic(users& here) {
        if (here.broker) {
            attempt("making a topic", [&] { static_cast<void>(here.broker->create_topic<no_key, bytes>("doomed")); });
            attempt("deleting a topic", [&] {
                const unarmed looking;
                const auto names = here.broker->topics();
                if (std::find(names.begin(), names.end(), "doomed") != names.end()) {
                    const armed_heap again;
                    here.broker->delete_topic("doomed");
                }
            });
        }
    }

    // ---- what is left ----

    void verify() {
        brook::broker again{directory_, {.maintenance = maintenance::manual, .platform = &platform_}};
        require(again.health().is_ok(), "opened again, health: " + (again.health().is_ok() ? "" : again.health().errors.front().text));
        for (account* const one : {&plain_, &durable_, &packed_}) {
            auto topic = again.create_topic<no_key, bytes>(one->name, one->options);
            verify(*one, topic);
        }
        verify_transactions();
        auto plain = again.create_topic<no_key, bytes>(plain_.name, plain_.options);
        brook::consumer readers{plain, {.group_id = "readers"}};
        const auto committed = readers.committed(plain.partition(0));
        require(committed == committed_ || (committed && committing_.contains(*committed)), "opened again, the commit is another");
        auto latest = again.create_topic<std::uint64_t, std::string>(latest_.name, latest_.options);
        brook::table table{latest};
        for (const auto& [key, value] : newest_) {
            const auto found = table.find(key);
            require(!found || has_struck_ || found->value() == value, "the latest value of a key is another");
            require(found || has_struck_, "the latest value of a key is gone");
        }
    }

    void verify(account& of, lone_topic& topic) {
        brook::consumer reader{topic, {.isolation_level = isolation_level::read_committed}};
        auto expected = of.acknowledged.begin();
        offset due = 0;
        do {
            const auto records = reader.poll(0ms);
            for (const auto& record : records) {
                const std::string value{as_text(record.value())};
                require(record.offset() >= due, "an offset comes twice");
                due = record.offset() + 1;
                there_[of.name].insert(value);
                if (expected != of.acknowledged.end() && expected->first == record.offset()) {
                    require(expected->second == value, std::string{of.name} + ", offset " + std::to_string(record.offset()) + " is another record than was acknowledged");
                    ++expected;
                    continue;
                }
                const auto uncertain = of.uncertain.find(value);
                require(uncertain != of.uncertain.end(), std::string{of.name} + ", offset " + std::to_string(record.offset()) + " was never sent, or was taken back");
                of.uncertain.erase(uncertain);
            }
        } while (!reader.caught_up());
        require(expected == of.acknowledged.end(),
                std::string{of.name} + ", offset " + std::to_string(expected == of.acknowledged.end() ? -1 : expected->first) + " was acknowledged and is lost");
    }

    /// What a transaction sent is there as a whole, or not at all; once its commit has returned, it is there.
    void verify_transactions() {
        for (const decision& one : decided_) {
            const bool left = there_[plain_.name].contains(one.left);
            const bool right = there_[durable_.name].contains(one.right);
            require(left == right, "a transaction is there in part");
            require(left || !one.has_returned, "a transaction that was committed is gone");
        }
    }

    struct decision {
        std::string left;
        std::string right;
        bool has_returned;  ///< its commit
    };

    const std::string directory_;
    faulty_platform platform_{os::posix()};
    account plain_{"plain", {.segment_bytes = 4096}};
    account durable_{"durable", {.segment_bytes = 4096, .flush_messages = 1}};
    account packed_{"packed", {.segment_bytes = 8192}};
    account latest_{"latest", {.segment_bytes = 4096, .retention_bytes = 1 << 20, .cleanup_policy = cleanup_policy::compact_and_delete, .min_cleanable_dirty_ratio = 0}};
    std::optional<offset> committed_;
    std::set<offset> committing_;
    std::map<std::uint64_t, std::string> newest_;
    std::vector<decision> decided_;
    std::map<std::string, std::set<std::string>> there_;  // by topic
    std::uint64_t number_ = 0;
    std::uint64_t numbered_ = 0;
    std::uint64_t met_ = 0;
    std::uint64_t refused_ = 0;
    bool has_struck_ = false;
    bool is_well_ = false;
    const char* at_ = "";
};

class campaign {
public:
    campaign(double seconds, std::uint64_t seed) : seconds_{seconds}, seed_{seed}, root_{memory_directory()} {}

    /// What threads keep and libraries make once is there behind this.
    void warm_up() {
        for (std::uint64_t i = 0; i < warm_runs; ++i) {
            run_one({});
        }
    }

    [[nodiscard]] bool run_all() {
        warm_up();
        all_ = met_;
        // Where time is short every one of so many, beginning at a place that the seed draws.
        const double one = elapsed() / static_cast<double>(warm_runs);
        const auto wanted = static_cast<double>(all_) * 2 * one;
        const std::uint64_t stride = wanted > seconds_ ? static_cast<std::uint64_t>(wanted / seconds_) + 1 : 1;
        for (std::uint64_t k = 1 + seed_ % stride; bad_ < 12; k += stride) {
            const bool is_met = run_one({k, false});
            run_one({k, true});
            if (!is_met) {
                break;
            }
            ++failed_;
        }
        return report();
    }

    /// Returns   whether there was such an allocation.
    bool run_one(const run_plan& plan) {
        std::snprintf(at_, sizeof at_, "allocation %llu fails, %s; repeat: brook_fault_memory failing_allocations 1 %llu %llu %s", static_cast<unsigned long long>(plan.allocation),
                      plan.is_lasting ? "and all after it" : "alone", static_cast<unsigned long long>(seed_), static_cast<unsigned long long>(plan.allocation),
                      plan.is_lasting ? "lasting" : "once");
        ::alarm(60);  // some milliseconds are enough for what has an end
        const std::string directory = root_ / "store";
        if (::mkdir(directory.c_str(), 0700) != 0) {
            empty_directory(directory);
        }
        std::string problem;
        bool has_struck = false;
        const std::int64_t before = live_blocks();
        {
            story told{directory};
            try {
                told.run(plan);
            } catch (const violation& what) {
                problem = what.text;
            } catch (const std::exception& what) {
                problem = std::string{"unexpected: "} + what.what();
            }
            heap.is_armed = false;
            heap.left = 0;
            if (!problem.empty()) {
                problem = std::string{told.at()} + ": " + problem;
            }
            has_struck = told.has_struck();
            met_ = told.met();
            refused_ += told.refused();
        }
        if (const std::int64_t left = live_blocks() - before; problem.empty() && left != 0 && runs_ >= warm_runs) {
            problem = std::to_string(left) + " blocks of memory are left";
        }
        ++runs_;
        if (!problem.empty()) {
            ++bad_;
            std::printf("BAD  %s\n     %s\n", at_, problem.c_str());
        }
        return has_struck;
    }

    [[nodiscard]] bool report() const {
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("failing allocations: %llu allocations of %llu failed, each once and for good, in %llu runs; %llu calls of users refused; bad %llu; %.1f s; seed %llu\n",
                    n(failed_), n(all_), n(runs_), n(refused_), n(bad_), elapsed(), n(seed_));
        return bad_ == 0;
    }

    static inline char at_[300] = "";

private:
    static constexpr std::uint64_t warm_runs = 3;

    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const std::uint64_t seed_;
    const temp_directory root_;
    std::uint64_t all_ = 0;
    std::uint64_t met_ = 0;
    std::uint64_t runs_ = 0;
    std::uint64_t failed_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t bad_ = 0;
};

int run(int count, char** arguments) {
    const time_and_seed given{count, arguments, 15};
    tell_crashes(campaign::at_);
    campaign all{given.seconds, given.seed};
    if (count > 4) {
        all.warm_up();
        all.run_one({std::strtoull(arguments[3], nullptr, 0), std::string_view{arguments[4]} == "lasting"});
        return all.report() ? 0 : 1;
    }
    return all.run_all() ? 0 : 1;
}

const fault_program failing_allocations{"failing_allocations", run};

}  // namespace

}  // namespace fault_failing_allocations
