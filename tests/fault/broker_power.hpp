/// \file fault/broker_power.hpp
/// The same losses of power one floor up: a broker, its topics, and a group that commits how far it has come.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/broker_oracle.hpp"
#include "fault/power_oracle.hpp"
#include "support/disguised_record.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

inline constexpr const char* broker_directory = "/d/data";  ///< made by the broker in a directory that is durable
inline constexpr const char* second_topic = "ledger";

/// One thing that users of a broker, or their machine, do.
enum class broker_step : std::uint8_t { send, send_gathered, poll_and_commit, sync, maintain, create_topic, reopen, kill, reboot };
inline constexpr std::array<const char*, 9> broker_step_names{"send", "send gathered", "poll and commit", "sync", "maintain",
                                                              "create topic", "close and open", "kill and open", "reboot"};

/// One commit: the next offset to read, and the record in front of it.
struct broker_commit {
    offset next = -1;                   ///< -1: none
    std::optional<std::uint64_t> last;  ///< its word; nullopt: nobody can say whether it was that which is there now

    /// Whether it may have been made of another record than this, which a loss of power took.
    [[nodiscard]] bool may_be_of_another(const disguised_record& now) const { return !last || *last != now.word(); }
};

/// What the users of a broker know at the moment of a crash.
struct broker_knowledge {
    std::shared_ptr<const std::vector<disguised_record>> sent;  ///< by offset, those of calls in flight included
    offset durable = 0;
    offset returned = 0;
    std::vector<broker_commit> commits;  ///< all that there ever were, the one in flight included
    std::size_t commits_returned = 0;
    bool has_journal = false;  ///< creating it has returned
    bool has_second = false;
    bool has_lost_power = false;  ///< before this crash
};

struct broker_crash {
    disk_state disk;
    broker_knowledge known;
    bool power_has_gone = false;
    bool was_killed = false;
};

class broker_power_oracle {
public:
    broker_power_oracle(std::int64_t flush_messages, power_figures& figures) : flush_messages_{flush_messages}, figures_{figures} {}

    [[nodiscard]] std::string judge(const broker_crash& crashed, std::uint64_t seed, unsigned depth) {
        seeded random{seed};
        return judge(crashed, random, depth);
    }

private:
    [[nodiscard]] std::string judge(const broker_crash& crashed, seeded& random, unsigned depth) {
        ++figures_.states;
        figures_.kills += crashed.power_has_gone ? 0 : 1;
        powerless_platform machine{crashed.disk};
        std::optional<disk_state> inside;
        if (depth > 0) {
            machine.on_call([&inside, left = random.below(24)](auto& held, const char*) mutable {
                if (left-- == 0) {
                    inside = held.state();
                }
            });
        }
        broker_crash next = crashed;
        std::string problem;
        try {
            problem = examine(machine, crashed, next);
        } catch (const error& why) {
            problem = why.what();
        }
        machine.unplug();
        if (problem.empty()) {
            problem = machine.misuse();
        }
        if (problem.empty() && depth > 0) {
            const auto judge_again = [&](const auto& at) { return judge(at, random, 0); };
            broker_crash nested = crashed;
            if (inside) {
                nested.disk = std::move(*inside);
                ++figures_.nested;
                problem = crash_again(nested, random, "inside an opening: ", figures_, judge_again);
            }
            if (problem.empty()) {
                ++figures_.further;
                problem = crash_again(next, random, "after an opening: ", figures_, judge_again);
            }
        }
        return problem;
    }

    [[nodiscard]] std::string examine(powerless_platform& machine, const broker_crash& crashed, broker_crash& next) {
        const broker_knowledge& known = crashed.known;
        {
            brook::broker broker{broker_directory, {.maintenance = maintenance::manual, .platform = &machine}};
            machine.on_call(nullptr);
            const auto names = broker.topics();
            const auto is_there = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
            if ((known.has_journal && !is_there(journal_name)) || (known.has_second && !is_there(second_topic))) {
                return "a topic is not there whose creation had returned";
            }
            if (!broker.health().is_ok()) {
                return "health: " + broker.health().errors.front().text;
            }
        }
        journal reopened{machine, broker_directory, maintenance::manual, flush_messages_};
        const offset end = reopened.log().log_end_offset();
        if (end < known.durable || (!crashed.power_has_gone && end < known.returned) || end > static_cast<offset>(known.sent->size())) {
            return "the log ends at offset " + std::to_string(end) + ", " + std::to_string(known.durable) + " was durable, " +
                   std::to_string(known.returned) + " appended, " + std::to_string(known.sent->size()) + " sent";
        }
        const auto found = reopened.read_all();
        if (static_cast<offset>(found.size()) != end) {
            return "the log ends at offset " + std::to_string(end) + ", and has " + std::to_string(found.size()) + " records";
        }
        for (std::size_t i = 0; i < found.size(); ++i) {
            if (found[i].at != static_cast<offset>(i) || !(found[i].record == (*known.sent)[i])) {
                return "offset " + std::to_string(i) + " holds what was not sent there";
            }
        }
        figures_.lost_acks += end < known.returned ? static_cast<std::uint64_t>(known.returned - end) : 0;
        // Check 8: any commit that ever was, after a loss of power; behind the end only if that is told.
        const offset committed = reopened.committed().value_or(-1);
        const std::size_t first = crashed.power_has_gone || known.commits_returned == 0 ? 0 : known.commits_returned - 1;
        bool was_committed = false;
        bool may_have_parted = false;  // from what is there now: its records were lost with the power, and others took their offsets
        for (std::size_t i = first; i < known.commits.size(); ++i) {
            if (known.commits[i].next == committed) {
                was_committed = true;
                may_have_parted = may_have_parted || (committed > 0 && (committed > end || known.commits[i].may_be_of_another((*known.sent)[static_cast<std::size_t>(committed) - 1])));
            }
        }
        if (!was_committed) {
            return "committed is " + std::to_string(committed) + ", which nobody committed last";
        }
        may_have_parted = may_have_parted && known.has_lost_power;
        const auto before = reopened.poll();  // joins: a commit behind the end is noticed before new records take those offsets
        auto sent = std::make_shared<std::vector<disguised_record>>(known.sent->begin(), known.sent->begin() + end);
        sent->push_back({static_cast<std::uint32_t>(end), 9, 7, end < static_cast<offset>(known.sent->size()) ? (*known.sent)[static_cast<std::size_t>(end)].size : 50u});
        if (const offset at = reopened.send(sent->back()); at != end) {
            return "a record after the crash is at offset " + std::to_string(at) + ", the end was " + std::to_string(end);
        }
        const auto rest = reopened.poll();
        const offset goes_on = before.empty() ? end : before.front().at;
        const offset expected = std::min(end, std::max<offset>(committed, 0));
        const bool has_parted = may_have_parted && goes_on < expected;
        if ((goes_on != expected && !has_parted) || rest.size() != 1 || rest.front().at != end) {
            return "the group does not go on at its commit, " + std::to_string(committed) + "; the log ended at " + std::to_string(end);
        }
        if (reopened.broker().health().is_ok() != (committed <= end && !has_parted)) {
            return "committed is " + std::to_string(committed) + ", the log ended at " + std::to_string(end) + ", and health does not say so";
        }
        reopened.commit();
        next.known.sent = sent;
        next.known.returned = end + 1;
        next.known.durable = std::max(known.durable, reopened.log().durable_offset());
        next.known.commits.push_back({end + 1, sent->back().word()});
        next.known.commits_returned = next.known.commits.size();
        next.known.has_journal = true;
        next.known.has_lost_power = known.has_lost_power || crashed.power_has_gone;
        next.power_has_gone = false;
        next.disk = machine.look();
        machine.unplug();
        return {};
    }

    std::int64_t flush_messages_;
    power_figures& figures_;
};

/// A broker and its users, from the first opening of an empty directory on.
class broker_life {
public:
    broker_life(std::int64_t flush_messages, std::uint64_t seed, std::vector<broker_crash>& crashes)
        : flush_messages_{flush_messages}, random_{seed}, crashes_{crashes}, sent_{std::make_shared<std::vector<disguised_record>>()} {
        powerless_platform empty{disk_state{}};
        if (empty.make_directory("/d") || empty.sync_directory("/")) {
            throw error{errc::invalid_config, "the simulated disk does not work"};
        }
        disk_ = empty.look();
    }
    broker_life(const broker_life&) = delete;
    broker_life& operator=(const broker_life&) = delete;
    ~broker_life() { stop(); }

    void note_crashes() { is_noting_ = true; }

    void open() { start(std::move(disk_)); }

    void take(broker_step next) {
        watch();
        switch (next) {
            case broker_step::send: send(1); break;
            case broker_step::send_gathered: send(3); break;
            case broker_step::poll_and_commit: commit(); break;
            case broker_step::sync:
                journal_->log().sync();
                known_.durable = std::max(known_.durable, known_.returned);
                break;
            case broker_step::maintain:
                machine_->advance(std::chrono::seconds{1});
                journal_->broker().maintain();
                break;
            case broker_step::create_topic:
                static_cast<void>(journal_->broker().create_topic<std::uint64_t, std::string>(second_topic, {.partitions = 2}));
                known_.has_second = true;
                break;
            case broker_step::reopen: {
                journal_.reset();
                come_up(machine_->look(), false);
                break;
            }
            case broker_step::kill: come_up(machine_->look(), false); break;
            case broker_step::reboot: {
                const disk_state before = machine_->look();
                const loss_of_power loss{before};
                come_up(loss.decide(log_oracle::random_choice(loss, random_, nobodys_)), true);
                break;
            }
        }
        note();
        machine_->on_call(nullptr);
    }

private:
    void start(disk_state from) {
        machine_ = std::make_unique<powerless_platform>(std::move(from));
        watch();
        journal_ = std::make_unique<journal>(*machine_, broker_directory, maintenance::manual, flush_messages_);
        known_.has_journal = true;
        note();
        machine_->on_call(nullptr);
    }

    void stop() {
        if (machine_) {
            machine_->unplug();
        }
        journal_.reset();
    }

    void watch() {
        if (is_noting_) {
            machine_->on_call([this](auto& machine, const char*) { note(machine.state()); });
        }
    }
    void note(const disk_state& disk) {
        if (journal_ && !is_coming_up_) {
            known_.durable = std::max(known_.durable, journal_->log().durable_offset());
        }
        known_.sent = sent_;
        crashes_.push_back({disk, known_, is_coming_up_ && power_has_gone_, is_coming_up_});
    }
    void note() {
        if (is_noting_) {
            machine_->hold([this](auto& machine) { note(machine.state()); });
        }
    }

    void send(std::size_t count) {
        std::vector<disguised_record> records;
        auto all = std::make_shared<std::vector<disguised_record>>(*sent_);
        for (std::size_t i = 0; i < count; ++i) {
            records.push_back({sequence_++, 1, life_, static_cast<std::uint32_t>(random_.one_in(4) ? 3'000 : 20 + random_.below(200))});
            all->push_back(records.back());
        }
        if (count > 1) {
            for (auto& record : records) {
                record.size %= 1'000;  // together they fit in what the producer gathers
            }
            std::copy(records.begin(), records.end(), all->end() - static_cast<std::ptrdiff_t>(count));
        }
        sent_ = std::move(all);
        if (count == 1) {
            journal_->send(records.front());
        } else {
            static_cast<void>(journal_->send_gathered(records));
        }
        known_.returned = static_cast<offset>(sent_->size());
        if (flush_messages_ == 1) {
            known_.durable = known_.returned;
        }
    }

    void commit() {
        const auto polled = journal_->poll();
        const offset end = journal_->position();
        known_.commits.push_back({end, end > 0 ? std::optional{(*sent_)[static_cast<std::size_t>(end) - 1].word()} : std::nullopt});
        journal_->commit();
        known_.commits_returned = known_.commits.size();
    }

    void come_up(disk_state disk, bool power_has_gone) {
        stop();
        ++life_;
        is_coming_up_ = true;
        power_has_gone_ = power_has_gone;
        start(std::move(disk));
        const offset end = journal_->log().log_end_offset();
        sent_ = std::make_shared<std::vector<disguised_record>>(sent_->begin(), sent_->begin() + end);
        known_.returned = end;
        known_.commits.push_back({journal_->committed().value_or(-1), std::nullopt});
        known_.has_lost_power = known_.has_lost_power || power_has_gone;
        known_.commits_returned = known_.commits.size();
        is_coming_up_ = false;
    }

    const std::int64_t flush_messages_;
    seeded random_;
    std::vector<broker_crash>& crashes_;
    std::shared_ptr<const std::vector<disguised_record>> sent_;
    broker_knowledge known_{{}, 0, 0, {broker_commit{}}, 1, false, false, false};
    disk_state disk_;
    bool is_noting_ = false;
    bool is_coming_up_ = false;
    bool power_has_gone_ = false;
    std::uint32_t life_ = 0;
    std::uint32_t sequence_ = 0;
    std::unique_ptr<powerless_platform> machine_;
    std::unique_ptr<journal> journal_;
    power_figures nobodys_;
};

}  // namespace brook::test
