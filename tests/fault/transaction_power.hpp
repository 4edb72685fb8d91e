/// \file fault/transaction_power.hpp
/// Losses of power over transactions: records to two topics, how far a group has read, and a state, all of it or nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/power_oracle.hpp"
#include "support/powerless_platform.hpp"
#include "support/simulated_disk.hpp"

namespace brook::test {

/// One thing that who commits transactions, or his machine, does.
enum class transaction_step : std::uint8_t {
    whole,       ///< to both topics, with offsets and a state
    rival,       ///< the same, of the other transactional id
    right_only,  ///< nothing that a flush policy promises
    state_only,
    large,       ///< its beginning is in the log before it is decided
    aborted,     ///< such a one, given up
    plain,       ///< a record of no transaction
    sync,        ///< of one of the logs
    maintain,
    reopen,
    kill,
    reboot,
};
inline constexpr std::array<const char*, 12> transaction_step_names{"whole", "rival", "right only", "state only", "large", "aborted",
                                                                    "plain", "sync", "maintain", "close and open", "kill and open", "reboot"};

struct sent_transaction {
    std::uint64_t serial = 0;  ///< no two have the same
    std::uint32_t left = 0;    ///< records
    std::uint32_t right = 0;
    std::optional<offset> read_to;
};

/// What is known of the two transactional ids at the moment of a crash.
struct transaction_knowledge {
    using sent_list = std::vector<sent_transaction>;

    std::array<std::shared_ptr<const sent_list>, 2> sent{std::make_shared<sent_list>(), std::make_shared<sent_list>()};  ///< the one in flight included
    std::array<std::size_t, 2> returned{};  ///< so many of them
    std::array<std::size_t, 2> durable{};   ///< so many have been promised to survive
};

struct transaction_crash {
    disk_state disk;
    transaction_knowledge known;
    bool power_has_gone = false;
    bool was_killed = false;
};

/// Who commits: a broker, a topic to read from, two to write to, and two transactional ids with a group each.
class clearing_house {
public:
    static constexpr const char* directory = "/d/data";
    static constexpr std::uint64_t nobodys = ~std::uint64_t{0};  // key of a record of no transaction

    /// `flush_messages`: of the left topic; nobody promises anything of the right one.
    clearing_house(os::platform& machine, std::int64_t flush_messages)
        : is_left_durable_{flush_messages == 1},
          broker_{directory, {.maintenance = maintenance::manual, .platform = &machine}},
          source_{broker_.create_topic<std::uint64_t, std::uint64_t>("source", options(0))},
          left_{broker_.create_topic<std::uint64_t, std::string>("left", options(flush_messages))},
          right_{broker_.create_topic<std::uint64_t, std::string>("right", right_options())},
          plain_{right_},
          groups_{brook::consumer{source_, {.group_id = "teller 0", .max_poll_records = 1}}, brook::consumer{source_, {.group_id = "teller 1", .max_poll_records = 1}}} {}

    [[nodiscard]] brook::broker& broker() noexcept { return broker_; }

    /// What there is to be read. Durable, so that what is committed is never behind the end.
    void furnish() {
        producer<std::uint64_t, std::uint64_t> fill{source_};
        for (std::uint64_t i = 0; i < 64; ++i) {
            fill.send(i, i);
        }
        fill.flush();
        source_.partition(0).sync();
    }

    /// What a transaction of this kind will hold. It is remembered before it begins.
    [[nodiscard]] sent_transaction plan(transaction_step kind, std::size_t id, std::uint64_t serial) {
        sent_transaction made{serial, 0, 0, std::nullopt};
        switch (kind) {
            case transaction_step::right_only: made.right = 1 + static_cast<std::uint32_t>(serial % 2); break;
            case transaction_step::state_only: break;
            case transaction_step::large:
            case transaction_step::aborted: made.left = 1; made.right = 5; break;
            default: made.left = 1 + static_cast<std::uint32_t>(serial % 2); made.right = static_cast<std::uint32_t>(serial % 3); break;
        }
        if (made.left > 0) {
            static_cast<void>(groups_[id].poll(std::chrono::milliseconds{0}));
            made.read_to = groups_[id].position(source_.partition(0));
        }
        return made;
    }

    [[nodiscard]] bool is_durable(const sent_transaction& made) const noexcept { return is_left_durable_ && made.left > 0; }

    void run(const sent_transaction& made, std::size_t id, bool commits) {
        auto open = broker_.begin_transaction({.transactional_id = "clerk " + std::to_string(id)});
        const bool is_large = made.right > 3;
        for (std::uint32_t i = 0; i < made.right; ++i) {
            record<std::uint64_t, std::string> one{.key = made.serial, .value = value_of(made.serial, i, is_large ? 2'900 : 30)};
            one.partition = is_large ? 0 : static_cast<std::int32_t>((made.serial + i) % 2);
            open.send(right_, one);
        }
        for (std::uint32_t i = 0; i < made.left; ++i) {
            open.send(left_, made.serial, value_of(made.serial, i, 100));
        }
        open.set_state(std::to_string(made.serial));
        if (made.read_to) {
            open.commit_offsets(groups_[id]);
        }
        if (commits) {
            open.commit();
        } else {
            open.abort();
            groups_[id].seek_to_committed();
        }
    }

    void send_plain(std::uint32_t size) { plain_.send({.key = nobodys, .value = std::string(size, 'p'), .partition = 0}).get(); }

    void sync(std::uint64_t which) { which % 3 == 0 ? left_.partition(0).sync() : right_.partition(static_cast<std::int32_t>(which % 2)).sync(); }

    /// Holds what is there against what was sent: of each id the first transactions, each of them whole, and nothing else.
    [[nodiscard]] std::string survey(const transaction_knowledge& known, std::array<std::size_t, 2>& survived) {
        std::map<std::uint64_t, std::pair<std::uint32_t, std::uint32_t>> seen;
        if (std::string problem = read(left_, [&](std::uint64_t serial) -> std::uint32_t& { return seen[serial].first; }); !problem.empty()) {
            return "left: " + problem;
        }
        if (std::string problem = read(right_, [&](std::uint64_t serial) -> std::uint32_t& { return seen[serial].second; }); !problem.empty()) {
            return "right: " + problem;
        }
        for (std::size_t id = 0; id < 2; ++id) {
            const std::string who = "clerk " + std::to_string(id);
            const std::string state = broker_.transaction_state(who);
            const auto& sent = *known.sent[id];
            std::size_t count = 0;
            while (!state.empty() && count < sent.size() && std::to_string(sent[count].serial) != state) {
                ++count;
            }
            if (!state.empty() && count == sent.size()) {
                return who + ": its state is that of transaction " + state + ", which was not committed, or lost before";
            }
            count += state.empty() ? 0 : 1;
            std::optional<offset> read_to;
            for (std::size_t i = 0; i < sent.size(); ++i) {
                const auto [left, right] = seen[sent[i].serial];
                const auto due = i < count ? std::pair{sent[i].left, sent[i].right} : std::pair{0u, 0u};
                if (std::pair{left, right} != due) {
                    return who + ": of transaction " + std::to_string(sent[i].serial) + " there are " + std::to_string(left) + " and " + std::to_string(right) +
                           " records, due are " + std::to_string(due.first) + " and " + std::to_string(due.second) + ", since its state is that of " +
                           (state.empty() ? "none" : state);
                }
                seen.erase(sent[i].serial);
                if (i < count && sent[i].read_to) {
                    read_to = sent[i].read_to;
                }
            }
            if (const auto committed = groups_[id].committed(source_.partition(0)); committed != read_to) {
                return who + ": committed is " + std::to_string(committed.value_or(-1)) + ", and with its state, that of " + (state.empty() ? "none" : state) + ", goes " +
                       std::to_string(read_to.value_or(-1));
            }
            survived[id] = count;
        }
        for (const auto& [serial, counts] : seen) {
            if (counts.first != 0 || counts.second != 0) {
                return "there are records of transaction " + std::to_string(serial) + ", which was aborted, or lost before";
            }
        }
        return {};
    }

    /// What the broker has to say; that transactions were lost is no news after a loss of power.
    [[nodiscard]] std::string complaints(bool may_have_lost) {
        for (const auto& one : broker_.health().errors) {
            if (!may_have_lost || one.code != errc::transaction_aborted) {
                return "health: " + one.text;
            }
        }
        return {};
    }

private:
    [[nodiscard]] static topic_options options(std::int64_t flush_messages) {
        topic_options made;
        made.segment_bytes = 8 * kib;
        if (flush_messages > 0) {
            made.flush_messages = flush_messages;
        }
        return made;
    }
    [[nodiscard]] static topic_options right_options() {
        topic_options made = options(0);
        made.partitions = 2;
        return made;
    }

    [[nodiscard]] static std::string value_of(std::uint64_t serial, std::uint32_t i, std::size_t size) { return std::string(size + i, static_cast<char>('a' + serial % 26)); }

    template <class Count>
    [[nodiscard]] static std::string read(const topic<std::uint64_t, std::string>& from, const Count& count) {
        consumer all{from};
        do {
            for (const auto& one : all.poll(std::chrono::milliseconds{0})) {
                if (one.key() == nobodys) {
                    continue;
                }
                const std::string_view value = one.value();
                if (value.find_first_not_of(static_cast<char>('a' + one.key() % 26)) != std::string_view::npos) {
                    return "offset " + std::to_string(one.offset()) + " holds what nobody sent";
                }
                ++count(one.key());
            }
        } while (!all.caught_up());
        return {};
    }

    bool is_left_durable_;
    brook::broker broker_;
    topic<std::uint64_t, std::uint64_t> source_;
    topic<std::uint64_t, std::string> left_;
    topic<std::uint64_t, std::string> right_;
    producer<std::uint64_t, std::string> plain_;
    std::array<consumer<std::uint64_t, std::uint64_t>, 2> groups_;
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
            if (inside) {
                transaction_crash nested = crashed;
                nested.disk = std::move(*inside);
                ++figures_.nested;
                problem = crash_again(nested, random, "inside an opening: ");
            }
            if (problem.empty()) {
                ++figures_.further;
                problem = crash_again(next, random, "after an opening: ");
            }
        }
        return problem;
    }

    [[nodiscard]] std::string crash_again(transaction_crash& at, seeded& random, const std::string& where) {
        const bool is_killed = random.one_in(3);
        if (!is_killed) {
            const disk_state before = std::move(at.disk);
            const loss_of_power loss{before};
            at.disk = loss.decide(log_oracle::random_choice(loss, random, figures_));
            at.power_has_gone = true;
        }
        at.was_killed = true;
        const std::string problem = judge(at, random, 0);
        return problem.empty() ? problem : where + (is_killed ? "killed: " : "power lost: ") + problem;
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
            for (std::uint64_t serial = next_serial(crashed), left = 3; left != 0; --left, ++serial) {
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
                house.send_plain(static_cast<std::uint32_t>(random.below(300)));
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
            clearing_house house{machine, flush_messages_};
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
            case transaction_step::plain: house_->send_plain(static_cast<std::uint32_t>(20 + random_.below(2'000))); break;
            case transaction_step::sync: house_->sync(random_.below(6)); break;
            case transaction_step::maintain:
                machine_->advance(std::chrono::seconds{1});
                house_->broker().maintain();
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
        house_ = std::make_unique<clearing_house>(*machine_, flush_messages_);
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
