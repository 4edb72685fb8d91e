/// \file fault/transaction_power.hpp
/// Losses of power over transactions: records to two topics, how far a group has read, and a state, all of it or nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/power_oracle.hpp"
#include "fault/transaction_oracle.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

inline constexpr const char* clearing_directory = "/d/data";  ///< made by the broker in a directory that is durable

struct transaction_crash {
    disk_state disk;
    transaction_knowledge known;
    bool power_has_gone = false;
    bool was_killed = false;
};

class transaction_power_oracle {
public:
    transaction_power_oracle(std::int64_t flush_messages, power_figures& figures) : flush_messages_{flush_messages}, figures_{figures} {}

    [[nodiscard]] std::string judge(const transaction_crash& crashed, std::uint64_t seed, unsigned depth) {
        seeded random{seed};
        return judge(crashed, random, depth);
    }

private:
    [[nodiscard]] std::string judge(const transaction_crash& crashed, seeded& random, unsigned depth) {
        ++figures_.states;
        figures_.kills += crashed.power_has_gone ? 0 : 1;
        std::optional<disk_state> inside;
        transaction_crash next = crashed;
        std::string problem;
        try {
            problem = examine(crashed, random, depth > 0 ? &inside : nullptr, next);
        } catch (const error& why) {
            problem = why.what();
        }
        if (problem.empty() && depth > 0) {
            const auto judge_again = [&](const auto& at) { return judge(at, random, 0); };
            if (inside) {
                transaction_crash nested = crashed;
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

    /// Opened three times: what survived the first opening survives, then with new transactions behind it.
    [[nodiscard]] std::string examine(const transaction_crash& crashed, seeded& random, std::optional<disk_state>* inside, transaction_crash& next) {
        transaction_knowledge known = crashed.known;
        std::array<std::size_t, 2> survived{};
        disk_state disk;
        std::string problem = open(crashed.disk, inside != nullptr ? random.below(24) : 0, inside, random, disk, [&](clearing_house& house) {
            if (std::string wrong = house.survey(known, survived); !wrong.empty()) {
                return wrong;
            }
            for (std::size_t id = 0; id < 2; ++id) {
                if (survived[id] < known.durable[id] || (!crashed.power_has_gone && survived[id] < known.returned[id])) {
                    return "clerk " + std::to_string(id) + ": of " + std::to_string(known.returned[id]) + " transactions that were committed, " +
                           std::to_string(known.durable[id]) + " for good, " + std::to_string(survived[id]) + " are left";
                }
                figures_.lost_acks += survived[id] < known.returned[id] ? known.returned[id] - survived[id] : 0;
                known.sent[id] = std::make_shared<transaction_knowledge::sent_list>(known.sent[id]->begin(), known.sent[id]->begin() + static_cast<std::ptrdiff_t>(survived[id]));
            }
            return house.complaints(crashed.power_has_gone);
        });
        if (!problem.empty()) {
            return problem;
        }
        known.returned = survived;
        problem = open(disk, 0, nullptr, random, disk, [&](clearing_house& house) {
            if (std::string wrong = same(house, known); !wrong.empty()) {
                return wrong;
            }
            std::uint64_t left = 1 + random.below(3);
            if (random.one_in(2)) {  // where what was lost had been, there is something else now, and for good
                for (std::uint64_t plain = 1 + random.below(6); plain != 0; --plain) {
                    house.send_plain(static_cast<std::uint32_t>(random.below(300)), plain % 2 == 0);
                }
                house.sync(0);
                house.sync(random.below(3));
                left = random.one_in(2) ? 0 : left;
            }
            for (std::uint64_t serial = next_serial(crashed); left != 0; --left, ++serial) {
                const auto kind = static_cast<transaction_step>(random.below(6));
                const std::size_t id = kind == transaction_step::rival ? 1 : left % 2;
                const sent_transaction made = house.plan(kind, id, serial);
                house.run(made, id, kind != transaction_step::aborted);
                if (kind != transaction_step::aborted) {
                    auto all = std::make_shared<transaction_knowledge::sent_list>(*known.sent[id]);
                    all->push_back(made);
                    known.returned[id] = all->size();
                    known.durable[id] = house.is_durable(made) ? all->size() : known.durable[id];
                    known.sent[id] = std::move(all);
                }
            }
            return same(house, known);
        });
        if (!problem.empty()) {
            return "after an opening: " + problem;
        }
        problem = open(disk, 0, nullptr, random, disk, [&](clearing_house& house) { return same(house, known); });
        next.known = known;
        next.power_has_gone = false;
        next.disk = std::move(disk);
        return problem.empty() ? problem : "with new transactions: " + problem;
    }

    /// Everything survived, and there is nothing to tell.
    [[nodiscard]] static std::string same(clearing_house& house, const transaction_knowledge& known) {
        std::array<std::size_t, 2> survived{};
        if (std::string wrong = house.survey(known, survived); !wrong.empty()) {
            return wrong;
        }
        for (std::size_t id = 0; id < 2; ++id) {
            if (survived[id] != known.returned[id]) {
                return "clerk " + std::to_string(id) + ": of " + std::to_string(known.returned[id]) + " transactions " + std::to_string(survived[id]) + " are left";
            }
        }
        return house.complaints(false);
    }

    /// Larger than any that there ever was.
    [[nodiscard]] static std::uint64_t next_serial(const transaction_crash& crashed) {
        std::uint64_t largest = 1'000;
        for (const auto& sent : crashed.known.sent) {
            for (const auto& one : *sent) {
                largest = one.serial > largest ? one.serial : largest;
            }
        }
        return largest + 1'000;
    }

    /// Opens, uses, and closes or kills.
    template <class Use>
    [[nodiscard]] std::string open(disk_state from, std::uint64_t calls, std::optional<disk_state>* inside, seeded& random, disk_state& after, const Use& use) {
        powerless_platform machine{std::move(from)};
        if (inside != nullptr) {
            machine.on_call([inside, left = calls](auto& held, const char*) mutable {
                if (left-- == 0) {
                    *inside = held.state();
                }
            });
        }
        std::string problem;
        {
            clearing_house house{machine, clearing_directory, flush_messages_};
            machine.on_call(nullptr);
            problem = use(house);
            if (random.one_in(2)) {
                after = machine.look();
                machine.unplug();
                return problem.empty() ? machine.misuse() : problem;
            }
        }
        after = machine.look();
        machine.unplug();
        return problem.empty() ? machine.misuse() : problem;
    }

    std::int64_t flush_messages_;
    power_figures& figures_;
};

/// Who commits, from an empty directory on, over kills and losses of power.
class transaction_life {
public:
    transaction_life(std::int64_t flush_messages, std::uint64_t seed, std::vector<transaction_crash>& crashes)
        : flush_messages_{flush_messages}, random_{seed}, crashes_{crashes} {
        powerless_platform empty{disk_state{}};
        if (empty.make_directory("/d") || empty.sync_directory("/")) {
            throw error{errc::invalid_config, "the simulated disk does not work"};
        }
        start(empty.look());
        house_->furnish();
    }
    transaction_life(const transaction_life&) = delete;
    transaction_life& operator=(const transaction_life&) = delete;
    ~transaction_life() { stop(); }

    void note_crashes() { is_noting_ = true; }

    void take(transaction_step next) {
        watch();
        switch (next) {
            case transaction_step::plain: house_->send_plain(static_cast<std::uint32_t>(20 + random_.below(2'000)), random_.one_in(2)); break;
            case transaction_step::sync: house_->sync(random_.below(6)); break;
            case transaction_step::maintain:
                machine_->advance(std::chrono::seconds{1});
                house_->broker().maintain();
                for (std::size_t id = 0; id < 2; ++id) {
                    for (std::size_t i = known_.durable[id]; i < known_.returned[id]; ++i) {
                        known_.durable[id] = house_->is_durable_later((*known_.sent[id])[i]) ? i + 1 : known_.durable[id];
                    }
                }
                break;
            case transaction_step::reopen:
                house_.reset();
                come_up(machine_->look(), false);
                break;
            case transaction_step::kill: come_up(machine_->look(), false); break;
            case transaction_step::reboot: {
                const disk_state before = machine_->look();
                const loss_of_power loss{before};
                come_up(loss.decide(log_oracle::random_choice(loss, random_, nobodys_)), true);
                break;
            }
            default: run(next); break;
        }
        note();
        machine_->on_call(nullptr);
    }

private:
    void start(disk_state from) {
        machine_ = std::make_unique<powerless_platform>(std::move(from));
        watch();
        house_ = std::make_unique<clearing_house>(*machine_, clearing_directory, flush_messages_);
    }

    void stop() {
        if (machine_) {
            machine_->unplug();
        }
        house_.reset();
    }

    void watch() {
        if (is_noting_) {
            machine_->on_call([this](auto& machine, const char*) { note(machine.state()); });
        }
    }
    void note(const disk_state& disk) { crashes_.push_back({disk, known_, is_coming_up_ && power_has_gone_, is_coming_up_}); }
    void note() {
        if (is_noting_) {
            machine_->hold([this](auto& machine) { note(machine.state()); });
        }
    }

    void run(transaction_step kind) {
        const std::size_t id = kind == transaction_step::rival ? 1 : 0;
        const sent_transaction made = house_->plan(kind, id, ++serial_);
        if (kind == transaction_step::aborted) {
            return house_->run(made, id, false);
        }
        auto all = std::make_shared<transaction_knowledge::sent_list>(*known_.sent[id]);
        all->push_back(made);
        known_.sent[id] = std::move(all);
        house_->run(made, id, true);
        known_.returned[id] = known_.sent[id]->size();
        if (house_->is_durable(made)) {
            known_.durable[id] = known_.returned[id];
        }
    }

    /// What did not survive will never be there again.
    void come_up(disk_state disk, bool power_has_gone) {
        stop();
        is_coming_up_ = true;
        power_has_gone_ = power_has_gone;
        start(std::move(disk));
        std::array<std::size_t, 2> survived{};
        if (const std::string problem = house_->survey(known_, survived); !problem.empty()) {
            throw error{errc::illegal_state, "in life: " + problem};
        }
        for (std::size_t id = 0; id < 2; ++id) {
            if (survived[id] < (power_has_gone ? known_.durable[id] : known_.returned[id])) {
                throw error{errc::illegal_state, "in life: clerk " + std::to_string(id) + ": " + std::to_string(survived[id]) + " of " + std::to_string(known_.returned[id]) +
                                                     " transactions are left, " + std::to_string(known_.durable[id]) + " were for good"};
            }
            known_.sent[id] = std::make_shared<transaction_knowledge::sent_list>(known_.sent[id]->begin(), known_.sent[id]->begin() + static_cast<std::ptrdiff_t>(survived[id]));
        }
        known_.returned = survived;
        is_coming_up_ = false;
    }

    const std::int64_t flush_messages_;
    seeded random_;
    std::vector<transaction_crash>& crashes_;
    transaction_knowledge known_;
    bool is_noting_ = false;
    bool is_coming_up_ = false;
    bool power_has_gone_ = false;
    std::uint64_t serial_ = 0;
    std::unique_ptr<powerless_platform> machine_;
    std::unique_ptr<clearing_house> house_;
    power_figures nobodys_;
};

}  // namespace brook::test
