// T6: what if the k-th thing that is asked of the system fails?
//
// A fixed scenario opens a broker, creates topics, appends lone records, batches, slots and lingering records to a topic
// that promises nothing and to one with flush_messages, rolls, syncs, commits offsets, does its upkeep, closes, opens
// again and goes on. It runs with the 1st call of the platform failing, with the 2nd, and so on until a run meets no
// failure; once, and from there on until the end; with each errno; beginning with an empty directory, with what a killed
// process left, and with the same after a reboot.
//
// What must hold: a call that fails says so, and once the system has healed the same objects go on, but for a partition
// whose sync failed: that takes nothing more, its durable offset stays, and no file whose sync failed is ever synced
// again. What was acknowledged is there, once, when the directory is opened again; what a failed call leaves is there
// whole or not at all. No descriptor, no mapping, no lock and no temporary file is left.
//
// usage: brook_fault failing_calls [seconds] [seed] [start] [call] [errno] [once|lasting]
//        seconds: 15 by default, BROOK_FAULT_SECONDS otherwise; each call fails with one errno at least, however long
//        that takes, and with all of them where there is time. The rest: one run alone.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/program.hpp"
#include "fault/small_store.hpp"
#include "support/directory_watch.hpp"
#include "support/faulty_platform.hpp"
#include "support/rebooting_platform.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_failing_calls {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

constexpr std::array errnos{EIO, ENOSPC, EDQUOT, EINTR, EMFILE, ENOMEM, EROFS, EACCES};
constexpr std::array start_names{"an empty directory", "what a kill left", "what a kill left, after a reboot"};
enum class start : std::size_t { empty, killed, rebooted };

struct run_plan {
    start from = start::empty;
    std::uint64_t call = 0;  ///< 0: none fails
    int number = EIO;
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

/// Counts calls, lets one of them fail, and sees to it that no failed sync is tried again.
class saboteur {
public:
    saboteur(faulty_platform& platform, const run_plan& plan) : platform_{platform}, plan_{plan} {
        platform_.on_call([this](operation which, const std::string& path) { meet(which, path); });
    }
    saboteur(const saboteur&) = delete;
    saboteur& operator=(const saboteur&) = delete;
    ~saboteur() {
        platform_.on_call(nullptr);
        platform_.heal();
    }

    [[nodiscard]] bool has_struck() const noexcept { return plan_.call != 0 && count_ >= plan_.call; }
    [[nodiscard]] bool is_at_work() const noexcept { return has_struck() && plan_.is_lasting && !is_over_; }
    /// Since the broker was opened a sync of this partition's records failed, or that of their files' names right behind it.
    /// Not of the header of a new file, of the checkpoint, or of a new name: who makes those is told, and nothing is lost.
    [[nodiscard]] bool has_failed_sync(const std::string& partition) const { return failed_partitions_.contains(partition); }
    void forget_failed_syncs() { failed_partitions_.clear(); }
    [[nodiscard]] const std::string& met() const noexcept { return met_; }
    void stop() {
        is_over_ = true;
        platform_.heal();
    }
    /// Of what was seen from inside a call.
    void complain_if_due() const { require(complaint_.empty(), complaint_); }

private:
    void meet(operation which, const std::string& path) {
        ++count_;
        const bool is_sync = which == operation::sync || which == operation::write_back;  // whose error is the sync's behind it
        if (is_sync && poisoned_.contains(path)) {
            complaint_ = "a second sync of " + path;
        }
        if (which == operation::create || which == operation::open) {
            poisoned_.erase(path);  // another file, or recovery, which goes on in a new one
        }
        if (which == operation::create) {
            headless_.insert(path);
        }
        const bool is_of_log = is_sync && path.find(".log") != std::string::npos;
        const bool is_of_records = is_of_log && headless_.erase(path) == 0;
        const std::string synced_before = std::exchange(synced_partition_, is_of_records ? path.substr(0, path.rfind('/')) : "");
        if (is_over_ || plan_.call == 0 || count_ < plan_.call || (count_ > plan_.call && !plan_.is_lasting)) {
            return;
        }
        if (count_ == plan_.call) {
            met_ = std::string{name(which)} + ' ' + path;
            platform_.inject({.on = std::nullopt, .call = 1, .number = plan_.number, .lasting = plan_.is_lasting});
        }
        if (is_sync) {
            poisoned_.insert(path);
        }
        if (is_of_records) {
            failed_partitions_.insert(synced_partition_);
        } else if (which == operation::sync_directory && path == synced_before) {
            failed_partitions_.insert(path);
        }
    }

    faulty_platform& platform_;
    const run_plan plan_;
    std::uint64_t count_ = 0;
    bool is_over_ = false;
    std::set<std::string> poisoned_;
    std::set<std::string> headless_;           // made, and the header not yet synced
    std::string synced_partition_;             // whose records the call before this one synced
    std::set<std::string> failed_partitions_;  // by directory
    std::string met_;
    std::string complaint_;
};

/// One topic, and what its user was told of it.
struct account {
    using topic_type = brook::topic<no_key, bytes>;

    const char* name;
    bool is_durable;
    std::optional<topic_type> topic{};
    std::optional<brook::producer<no_key, bytes>> writer{};
    std::map<offset, std::string> acknowledged{};
    std::multiset<std::string> uncertain{};  ///< of calls that failed
    bool has_failed = false;                 ///< partition_failed, since it was opened
    offset durable_then = 0;

    [[nodiscard]] brook::partition partition() const { return topic->partition(0); }
};

/// The scenario.
class story {
public:
    story(faulty_platform& platform, std::string directory, const small_store* before, const run_plan& plan)
        : platform_{platform}, directory_{std::move(directory)}, before_{before}, plan_{plan}, saboteur_{platform, plan} {
        platform_.set_monotonic(std::chrono::seconds{1});
    }

    /// Errors    violation.
    void run() {
        const leaks_before before = look_for_leaks();
        tell();
        if (saboteur_.is_at_work()) {
            saboteur_.stop();
            go_on_with_the_same_objects();
        }
        close();
        saboteur_.stop();
        saboteur_.complain_if_due();
        const leaks_before after = look_for_leaks();
        require(after.descriptors == before.descriptors, "descriptors: " + std::to_string(before.descriptors) + " before, " + std::to_string(after.descriptors) + " after");
        require(after.mappings == 0, std::to_string(after.mappings) + " mappings of its files are left");
        verify();
    }

    [[nodiscard]] bool has_struck() const noexcept { return saboteur_.has_struck(); }
    [[nodiscard]] const std::string& met() const noexcept { return saboteur_.met(); }
    [[nodiscard]] std::uint64_t refused_calls() const noexcept { return refused_; }

private:
    void tell() {
        open();
        make_topics();
        for (int i = 0; i < 3; ++i) {
            send(plain_, 40);
            send(durable_, 40);
        }
        send_batch(plain_);
        send_batch(durable_);
        use_slots();
        linger();
        commit();
        sync(plain_);
        for (int i = 0; i < 12; ++i) {
            send(plain_, 500);
            send(durable_, 500);
        }
        roll(plain_);
        keep_up();
        commit();
        roll(durable_);
        send(durable_, 60);
        keep_up();
        use_old_topics();
        close();
        open();
        make_topics();
        send(plain_, 700);
        send(durable_, 700);
        commit();
        sync(plain_);
        keep_up();
    }

    /// Everything has healed: who is not told that a sync failed goes on as if nothing had happened.
    void go_on_with_the_same_objects() {
        if (is_unwell_) {
            close();  // what could not be opened stays so for the broker's life
        }
        if (!broker_) {
            open();
        }
        make_topics();
        for (account* const one : {&plain_, &durable_}) {
            send(*one, 50);
            sync(*one);
            roll(*one);
            send(*one, 50);
        }
        use_slots();
        commit();
        keep_up();
    }

    // ---- one call of a user ----

    /// True when it succeeded. A failure that was once must be gone at the second attempt; partition_failed is for good.
    template <class Call>
    bool attempt(const char* what, account* whose, const Call& call) {
        for (int time = 0;; ++time) {
            try {
                call();
                saboteur_.complain_if_due();
                require(whose == nullptr || !whose->has_failed, std::string{what} + " succeeds on a partition whose sync has failed");
                return true;
            } catch (const error& why) {
                ++refused_;
                const std::string text = why.what();
                saboteur_.complain_if_due();
                require(saboteur_.has_struck(), std::string{what} + " fails, and nothing was made to: " + text);
                require(text.find('/') != std::string::npos || text.find("topic '") != std::string::npos, std::string{what} + ": an error without a name: " + text);
                if (why.code() == errc::partition_failed && whose != nullptr) {
                    require(has_failed_sync(*whose), std::string{what} + ": partition_failed, and no sync of it has: " + text);
                    note_failed(*whose);
                    return false;
                }
                if (saboteur_.is_at_work()) {
                    return false;
                }
                require(plan_.is_lasting || std::exchange(is_told_, true) == false, std::string{what} + ": one call failed, and a second user is told of it: " + text);
                require(time == 0, std::string{what} + " fails again, with nothing in the way: " + text);
            } catch (const std::bad_alloc&) {
                ++refused_;
                require(saboteur_.has_struck() && (time == 0 || saboteur_.is_at_work()), std::string{what} + ": no memory");
                if (saboteur_.is_at_work()) {
                    return false;
                }
            }
        }
    }

    [[nodiscard]] bool has_failed_sync(const account& of) const { return saboteur_.has_failed_sync(directory_ + "/topics/" + of.name + "/0"); }

    static void note_failed(account& whose) {
        const offset durable = whose.partition().durable_offset();
        require(!whose.has_failed || whose.durable_then == durable, "the durable offset moves after a sync has failed");
        whose.has_failed = true;
        whose.durable_then = durable;
    }

    void open() {
        for (int time = 0; time < 3; ++time) {
            saboteur_.forget_failed_syncs();
            const bool is_open = attempt("opening", nullptr, [&] { broker_.emplace(directory_, broker_options{.maintenance = maintenance::manual, .platform = &platform_}); });
            is_unwell_ = is_open && !broker_->health().is_ok();
            if (!is_unwell_ || saboteur_.is_at_work()) {
                return;
            }
            // A topic could not be opened, and the broker says so as long as it lives.
            require(saboteur_.has_struck() && time == 0, "health: " + broker_->health().errors.front().text);
            broker_.reset();
        }
    }

    void make_topics() {
        for (account* const one : {&plain_, &durable_}) {
            if (!broker_ || one->writer) {
                continue;
            }
            attempt("creating a topic", nullptr, [&] {
                topic_options options{.segment_bytes = 4096};
                if (one->is_durable) {
                    options.flush_messages = 1;
                }
                one->topic = broker_->create_topic<no_key, bytes>(one->name, options);
                one->writer.emplace(*one->topic);
            });
        }
        if (plain_.topic && !reader_) {
            attempt("subscribing", nullptr, [&] { reader_.emplace(*plain_.topic, consumer_options{.group_id = "readers"}); });
        }
    }

    [[nodiscard]] std::string next_value(std::size_t size) {
        std::string value = "value " + std::to_string(++number_) + ' ';
        value.resize(std::max(size, value.size()), static_cast<char>('a' + number_ % 26));
        return value;
    }

    void send(account& to, std::size_t size) {
        if (!to.writer) {
            return;
        }
        const std::string value = next_value(size);
        attempt("sending", &to, [&] {
            const auto uncertain = to.uncertain.insert(value);
            const offset at = to.writer->send(as_bytes(value)).get().offset;
            to.uncertain.erase(uncertain);
            acknowledge(to, at, value);
        });
    }

    void acknowledge(account& to, offset at, const std::string& value) {
        require(!to.has_failed && !has_failed_sync(to), "acknowledged after a sync has failed");
        require(!to.is_durable || to.partition().durable_offset() > at, "acknowledged at offset " + std::to_string(at) + ", and not durable");
        require(to.acknowledged.emplace(at, value).second, "offset " + std::to_string(at) + " is given twice");
    }

    void send_batch(account& to) {
        if (!to.writer) {
            return;
        }
        std::vector<std::string> values;
        std::vector<bytes> raw;
        for (int i = 0; i < 5; ++i) {
            values.push_back(next_value(30));
        }
        for (const auto& value : values) {
            raw.push_back(as_bytes(value));
        }
        attempt("sending a batch", &to, [&] {
            to.uncertain.insert(values.begin(), values.end());
            offset at = to.writer->send_batch(0, raw).get().offset;
            for (const auto& value : values) {
                to.uncertain.erase(to.uncertain.find(value));
                acknowledge(to, at++, value);
            }
        });
    }

    void use_slots() {
        for (account* const to : {&plain_, &durable_}) {
            if (!to->writer) {
                continue;
            }
            attempt("a dropped slot", to->is_durable ? nullptr : to, [&] { static_cast<void>(to->writer->claim(100)); });  // where it is a buffer, nothing happens
            const std::string value = next_value(80);
            attempt("a slot", to, [&] {
                const auto uncertain = to->uncertain.insert(value);
                brook::slot slot = to->writer->claim(value.size());
                std::memcpy(slot.data(), value.data(), value.size());
                const offset at = slot.commit().get().offset;
                to->uncertain.erase(uncertain);
                acknowledge(*to, at, value);
            });
        }
    }

    void linger() {
        for (account* const to : {&plain_, &durable_}) {
            if (!to->topic) {
                continue;
            }
            std::vector<std::string> values{next_value(50), next_value(50), next_value(50)};
            attempt("lingering", to, [&] {
                brook::producer gathering{*to->topic, {.linger = std::chrono::seconds{1}}};
                std::vector<delivery> sent;
                to->uncertain.insert(values.begin(), values.end());
                for (const auto& value : values) {
                    sent.push_back(gathering.send(as_bytes(value)));
                }
                gathering.flush();
                for (std::size_t i = 0; i < values.size(); ++i) {
                    const offset at = sent[i].get().offset;
                    to->uncertain.erase(to->uncertain.find(values[i]));
                    acknowledge(*to, at, values[i]);
                }
            });
        }
    }

    void sync(account& of) {
        if (!of.topic) {
            return;
        }
        const offset end = of.partition().log_end_offset();
        if (attempt("sync", of.has_failed && of.durable_then >= end ? nullptr : &of, [&] { of.partition().sync(); })) {
            require(of.partition().durable_offset() >= end, "synced, and not durable");
        }
    }

    void roll(account& of) {
        if (of.topic) {
            attempt("roll", &of, [&] { of.partition().roll(); });
        }
    }

    void commit() {
        if (!reader_) {
            return;
        }
        attempt("poll", nullptr, [&] {
            while (!reader_->poll(std::chrono::milliseconds{0}).empty()) {
            }
        });
        offset next = -1;
        attempt("commit", nullptr, [&] {
            next = reader_->position(plain_.partition());
            committing_.insert(next);
            reader_->commit(plain_.partition(), next);
            committed_ = next;
            committing_.clear();
        });
    }

    /// What upkeep cannot do it reports, and does later.
    void keep_up() {
        for (int pass = 0; broker_ && pass < 2; ++pass) {
            platform_.advance_monotonic(std::chrono::seconds{1});
            broker_->maintain();
            saboteur_.complain_if_due();
            for (account* const one : {&plain_, &durable_}) {
                if (one->topic && !one->has_failed && has_failed_sync(*one)) {
                    probe(*one);
                }
            }
        }
    }

    /// Upkeep's syncs fail without a caller: the partition says so to the next one.
    void probe(account& one) {
        send(one, 20);
    }

    /// The topics that a kill left, where there are some.
    void use_old_topics() {
        if (before_ == nullptr || !broker_) {
            return;
        }
        attempt("an old topic", nullptr, [&] {
            auto ledger = broker_->topic<std::string, bytes>(ledger_name);
            brook::producer entries{ledger};
            const std::string value = next_value(90);
            const record_metadata where = entries.send({.key = "new", .value = as_bytes(value), .partition = 0}).get();
            added_to_ledger_.emplace(where.offset, value);
            try {
                ledger.partition(0).sync();
            } catch (const error& why) {
                if (why.code() != errc::partition_failed) {
                    throw;
                }
            }
        });
    }

    void close() {
        reader_.reset();
        for (account* const one : {&plain_, &durable_}) {
            one->writer.reset();
            one->topic.reset();
            one->has_failed = false;
        }
        broker_.reset();
        saboteur_.complain_if_due();
    }

    // ---- what is left ----

    struct leaks_before {
        std::size_t descriptors = 0;
        std::size_t mappings = 0;
    };

    [[nodiscard]] leaks_before look_for_leaks() const {
        leaks_before found;
        test::detail::for_each_entry("/proc/self/fd", [&](const std::string&, bool) { ++found.descriptors; });
        std::ifstream maps{"/proc/self/maps"};
        for (std::string line; std::getline(maps, line);) {
            found.mappings += line.find(directory_) != std::string::npos ? 1 : 0;
        }
        return found;
    }

    /// Opened again everything acknowledged is there, once, and nothing that was never sent.
    void verify() {
        {
            brook::broker again{directory_, {.maintenance = maintenance::manual, .platform = &platform_}};
            require(again.health().is_ok(), "opened again, health: " + (again.health().is_ok() ? "" : again.health().errors.front().text));
            for (account* const one : {&plain_, &durable_}) {
                auto topic = again.create_topic<no_key, bytes>(one->name);
                verify(*one, topic);
                brook::producer writer{topic};
                const offset end = topic.partition(0).log_end_offset();
                require(writer.send(as_bytes("afterwards")).get().offset == end, "opened again, an append goes astray");
            }
            auto plain = again.topic<no_key, bytes>(plain_.name);
            brook::consumer readers{plain, {.group_id = "readers"}};
            const auto committed = readers.committed(plain.partition(0));
            require(committed == committed_ || (committed && committing_.contains(*committed)), "opened again, the commit is another");
            if (before_ != nullptr) {
                verify_old_topics(again);
            }
        }
        for (const auto& [path, content] : read_tree(directory_)) {
            require(!path.ends_with(".tmp") || path == "broker.meta.tmp", "a temporary file is left: " + path);
        }
    }

    void verify(account& of, brook::topic<no_key, bytes>& topic) {
        brook::consumer reader{topic};
        auto expected = of.acknowledged.begin();
        offset due = 0;
        do {
            const auto records = reader.poll(std::chrono::milliseconds{0});
            for (const auto& record : records) {
                const std::string value{as_text(record.value())};
                require(record.offset() >= due, "an offset comes twice");
                due = record.offset() + 1;
                if (expected != of.acknowledged.end() && expected->first == record.offset()) {
                    require(expected->second == value, std::string{of.name} + ", offset " + std::to_string(record.offset()) + " is another record than was acknowledged");
                    ++expected;
                    continue;
                }
                const auto uncertain = of.uncertain.find(value);
                require(uncertain != of.uncertain.end(), std::string{of.name} + ", offset " + std::to_string(record.offset()) + " was never sent, or is there twice: " + value);
                of.uncertain.erase(uncertain);
            }
        } while (!reader.caught_up());
        require(expected == of.acknowledged.end(),
                std::string{of.name} + ", offset " + std::to_string(expected == of.acknowledged.end() ? -1 : expected->first) + " was acknowledged and is lost");
    }

    /// Of a killed process nothing is lost, of a lost power what was durable is not; what is there is exact.
    void verify_old_topics(brook::broker& again) {
        auto ledger = again.topic<std::string, bytes>(ledger_name);
        auto audit = again.topic<no_key, std::string>(audit_name);
        for (const auto& truth : before_->killed().partitions) {
            if (truth.topic == ledger_name) {
                verify_old(ledger, truth);
            } else if (truth.topic == audit_name) {
                verify_old(audit, truth);
            }
        }
    }

    template <class Key, class Value>
    void verify_old(const brook::topic<Key, Value>& topic, const partition_truth& truth) {
        brook::consumer<Key, Value> reader{topic};
        reader.assign({topic.partition(truth.number)});
        offset durable = 0;
        for (const auto& one : truth.evidence) {
            durable = std::max(durable, one.durable);
        }
        std::set<offset> there;
        do {
            const auto records = reader.poll(std::chrono::milliseconds{0});
            for (const auto& record : records) {
                const stored_record* const expected = truth.find(record.offset());
                const auto added = added_to_ledger_.find(record.offset());
                const bool is_added = added != added_to_ledger_.end() && as_text(record.value_bytes()) == added->second;
                require(is_added || (expected != nullptr && as_text(record.value_bytes()) == expected->value.value_or("")),
                        truth.topic + ", offset " + std::to_string(record.offset()) + " is not what it was");
                there.insert(record.offset());
            }
        } while (!reader.caught_up());
        for (const auto& one : truth.records) {
            const bool may_be_gone = plan_.from == start::rebooted && one.at >= durable;
            require(may_be_gone || there.contains(one.at), truth.topic + ", offset " + std::to_string(one.at) + " is lost");
        }
    }

    faulty_platform& platform_;
    const std::string directory_;
    const small_store* const before_;  // null: none
    const run_plan plan_;
    saboteur saboteur_;
    std::optional<brook::broker> broker_;
    bool is_unwell_ = false;  // something could not be opened with it
    account plain_{"plain", false};
    account durable_{"durable", true};
    std::optional<brook::consumer<no_key, bytes>> reader_;
    std::optional<offset> committed_;
    std::set<offset> committing_;  // of commits that failed
    std::multimap<offset, std::string> added_to_ledger_;
    std::uint64_t number_ = 0;
    std::uint64_t refused_ = 0;
    bool is_told_ = false;  // of the one call that fails, by another error than partition_failed
};

class campaign {
public:
    campaign(double seconds, std::uint64_t seed) : seconds_{seconds}, seed_{seed}, root_{memory_directory()}, store_{root_ / "before", seed} {}

    [[nodiscard]] bool run_all() {
        for (std::size_t round = 0; round < errnos.size() && bad_ < 20; ++round) {
            for (std::size_t from = 0; from < start_names.size() && bad_ < 20; ++from) {
                for (std::uint64_t call = 0; bad_ < 20; ++call) {
                    if (round > 0 && elapsed() > seconds_) {
                        return report();
                    }
                    const int number = errnos[(call + round + seed_) % errnos.size()];
                    const bool is_reached = run_one({static_cast<start>(from), call, number, false});
                    run_one({static_cast<start>(from), call, number, true});
                    if (call > 0 && !is_reached) {
                        calls_[from] = call - 1;
                        break;
                    }
                }
            }
        }
        return report();
    }

    /// Returns   true when there was such a call.
    bool run_one(const run_plan& plan) {
        std::snprintf(at_, sizeof at_, "start from %s, call %llu fails with %s, %s; repeat: brook_fault failing_calls 1 %llu %zu %llu %d %s", start_names[static_cast<std::size_t>(plan.from)],
                      static_cast<unsigned long long>(plan.call), ::strerrorname_np(plan.number), plan.is_lasting ? "and all after it" : "once",
                      static_cast<unsigned long long>(seed_), static_cast<std::size_t>(plan.from), static_cast<unsigned long long>(plan.call), plan.number,
                      plan.is_lasting ? "lasting" : "once");
        watchdog_.still_alive(at_);
        const std::string directory = root_ / "store";
        empty_or_make(directory);
        rebooting_platform machine;
        faulty_platform platform{machine};
        if (plan.from != start::empty) {
            write_tree(directory, left_by_kill(plan.from == start::killed));
        }
        if (plan.from == start::rebooted) {
            machine.reboot();
        }
        story told{platform, directory, plan.from == start::empty ? nullptr : &store_, plan};
        std::string problem;
        try {
            told.run();
        } catch (const violation& what) {
            problem = what.text;
        } catch (const std::exception& what) {
            problem = std::string{"unexpected: "} + what.what();
        }
        ++runs_;
        refused_ += told.refused_calls();
        if (!problem.empty()) {
            ++bad_;
            std::printf("BAD  %s\n     failed: %s; %s\n", at_, told.met().c_str(), problem.c_str());
        }
        return told.has_struck();
    }

    [[nodiscard]] bool report() const {
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("failing calls: %llu runs; %llu, %llu and %llu calls from an empty directory, after a kill and after a reboot, each failing once and for good; "
                    "%llu calls of users refused; bad %llu; %.1f s; seed %llu\n",
                    n(runs_), n(calls_[0]), n(calls_[1]), n(calls_[2]), n(refused_), n(bad_), elapsed(), n(seed_));
        return bad_ == 0;
    }

    /// What it was at when a signal ended it.
    static inline char at_[400] = "";

private:
    /// Where it is asked for, the process died between the roll and the new segment's name.
    [[nodiscard]] file_tree left_by_kill(bool is_unnamed) const {
        file_tree files = store_.killed().files;
        const std::string newest = store_.killed().partitions.front().frames.back().file;
        if (is_unnamed) {
            const std::string directory = newest.substr(0, newest.rfind('/') + 1);
            files[directory + "spare.log"] = std::move(files.at(newest));
            files.erase(newest);
            files.erase(newest.substr(0, newest.size() - 4) + ".index");
        }
        return files;
    }

    static void empty_or_make(const std::string& directory) {
        if (::mkdir(directory.c_str(), 0700) != 0) {
            empty_directory(directory);
        }
    }
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const std::uint64_t seed_;
    const temp_directory root_;
    const small_store store_;
    watchdog watchdog_{30};
    std::array<std::uint64_t, 3> calls_{};
    std::uint64_t runs_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t bad_ = 0;
};

int run(int count, char** arguments) {
    const time_and_seed given{count, arguments, 15};
    tell_crashes(campaign::at_);
    campaign all{given.seconds, given.seed};
    if (count > 6) {
        all.run_one({static_cast<start>(std::strtoul(arguments[3], nullptr, 0) % start_names.size()), std::strtoull(arguments[4], nullptr, 0), std::atoi(arguments[5]),
                     std::string_view{arguments[6]} == "lasting"});
        return all.report() ? 0 : 1;
    }
    return all.run_all() ? 0 : 1;
}

const fault_program failing_calls{"failing_calls", run};

}  // namespace

}  // namespace fault_failing_calls
