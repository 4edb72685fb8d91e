/// \file fault/transaction_oracle.hpp
/// The promises of transactions: records to two topics, how far a group has read, and a state, all of it or nothing.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "fault/crash_oracle.hpp"

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

/// Who commits: a broker, a topic to read from, two to write to, and two transactional ids with a group each.
class clearing_house {
public:
    static constexpr std::int64_t by_the_second = -1;
    static constexpr std::uint64_t nobodys = ~std::uint64_t{0};  // key of a record of no transaction

    /// `flush_messages`: of the left topic, by_the_second for a flush_interval of 1 s; nobody promises anything of the right one.
    clearing_house(os::platform& machine, const std::string& directory, std::int64_t flush_messages)
        : flush_messages_{flush_messages},
          broker_{directory, {.maintenance = maintenance::manual, .platform = &machine}},
          source_{broker_.create_topic<std::uint64_t, std::uint64_t>("source", options(0))},
          left_{broker_.create_topic<std::uint64_t, std::string>("left", options(flush_messages))},
          right_{broker_.create_topic<std::uint64_t, std::string>("right", right_options())},
          numbers_{broker_.create_topic<std::uint64_t, std::uint64_t>("numbers", options(0))},
          plain_left_{left_},
          plain_right_{right_},
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
            default: made.left = 1 + static_cast<std::uint32_t>(serial % 2); made.right = serial % 3 == 0 ? 2u : 0u; break;
        }
        if (made.left > 0) {
            static_cast<void>(groups_[id].poll(std::chrono::milliseconds{0}));
            made.read_to = groups_[id].position(source_.partition(0));
        }
        return made;
    }

    /// Once its commit has returned; after `maintain`, a second later.
    [[nodiscard]] bool is_durable(const sent_transaction& made) const noexcept { return flush_messages_ == 1 && made.left > 0; }
    [[nodiscard]] bool is_durable_later(const sent_transaction& made) const noexcept { return flush_messages_ != 0 && made.left > 0; }

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

    /// To the left or the right one: somebody else's records take the place of what is lost.
    void send_plain(std::uint32_t size, bool is_left) {
        (is_left ? plain_left_ : plain_right_).send({.key = nobodys, .value = std::string(size, 'p'), .partition = 0}).get();
    }

    /// By a producer with a name: what is sent twice is there once.
    void send_number(std::uint64_t number) {
        producer<std::uint64_t, std::uint64_t> scribe{numbers_, {.name = "scribe"}};
        scribe.send({.key = number, .value = number, .sequence = static_cast<std::int64_t>(number)}).get();
    }

    /// The numbers from 0 on are there, each once, and their producer knows how many.
    [[nodiscard]] std::string survey_numbers(std::uint64_t& count) {
        count = 0;
        consumer all{numbers_};
        do {
            for (const auto& one : all.poll(std::chrono::milliseconds{0})) {
                if (one.value() != count) {
                    return "number " + std::to_string(one.value()) + " stands where " + std::to_string(count) + " was due";
                }
                ++count;
            }
        } while (!all.caught_up());
        const producer<std::uint64_t, std::uint64_t> scribe{numbers_, {.name = "scribe"}};
        if (const auto last = scribe.last_sequence(); last.value_or(-1) != static_cast<std::int64_t>(count) - 1) {
            return "there are " + std::to_string(count) + " numbers, and the last sequence is " + std::to_string(last.value_or(-1));
        }
        return {};
    }

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
        } else if (flush_messages == by_the_second) {
            made.flush_interval = std::chrono::seconds{1};
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

    std::int64_t flush_messages_;
    brook::broker broker_;
    topic<std::uint64_t, std::uint64_t> source_;
    topic<std::uint64_t, std::string> left_;
    topic<std::uint64_t, std::string> right_;
    topic<std::uint64_t, std::uint64_t> numbers_;
    producer<std::uint64_t, std::string> plain_left_;
    producer<std::uint64_t, std::string> plain_right_;
    std::array<consumer<std::uint64_t, std::uint64_t>, 2> groups_;
};

/// What who commits says, in memory that survives him: what he is about to commit, and what has been committed.
struct transaction_progress {
    static constexpr std::size_t most = 8;

    std::array<sent_transaction, most> sent{};
    std::atomic<std::uint32_t> begun{0};
    std::atomic<std::uint32_t> acked{0};
    std::atomic<std::uint64_t> numbers_begun{0};
    std::atomic<std::uint64_t> numbers_acked{0};

    [[nodiscard]] std::uint64_t answers() const noexcept { return acked.load() + numbers_acked.load(); }
};

/// Opens what a kill left, twice, with new transactions in between.
class transaction_oracle {
public:
    explicit transaction_oracle(const transaction_progress& told) : told_{told} {}

    [[nodiscard]] outcome judge(os::platform& platform, const std::string& directory) {
        outcome result;
        try {
            result.problem = examine(platform, directory, result);
        } catch (const error& why) {
            result.problem = why.what();
        }
        return result;
    }

private:
    [[nodiscard]] std::string examine(os::platform& platform, const std::string& directory, outcome& result) {
        transaction_knowledge known;
        known.sent[0] = std::make_shared<transaction_knowledge::sent_list>(told_.sent.begin(), told_.sent.begin() + told_.begun.load());
        std::array<std::size_t, 2> survived{};
        std::uint64_t numbers = 0;
        {
            clearing_house house{platform, directory, 0};
            if (std::string problem = look(house, known, survived, numbers); !problem.empty()) {
                return problem;
            }
            if (survived[0] < told_.acked.load() || numbers < told_.numbers_acked.load() || numbers > told_.numbers_begun.load()) {
                return std::to_string(survived[0]) + " transactions and " + std::to_string(numbers) + " numbers are there, committed were " +
                       std::to_string(told_.acked.load()) + ", acknowledged " + std::to_string(told_.numbers_acked.load());
            }
            result.whole = survived[0] > told_.acked.load() || numbers > told_.numbers_acked.load();
            result.absent = survived[0] < told_.begun.load() || numbers < told_.numbers_begun.load();
            for (std::uint64_t again = 0; again <= numbers; ++again) {
                house.send_number(again);
            }
            auto all = std::make_shared<transaction_knowledge::sent_list>(known.sent[0]->begin(), known.sent[0]->begin() + static_cast<std::ptrdiff_t>(survived[0]));
            house.run(house.plan(transaction_step::aborted, 0, 101), 0, false);
            for (const transaction_step kind : {transaction_step::large, transaction_step::state_only}) {
                all->push_back(house.plan(kind, 0, 102 + all->size()));
                house.run(all->back(), 0, true);
            }
            known.sent[0] = std::move(all);
        }
        const std::uint64_t due = numbers + 1;
        clearing_house again{platform, directory, 0};
        if (std::string problem = look(again, known, survived, numbers); !problem.empty()) {
            return "second open: " + problem;
        }
        return survived[0] == known.sent[0]->size() && numbers == due ? std::string{} : "second open: not as it was closed";
    }

    [[nodiscard]] static std::string look(clearing_house& house, const transaction_knowledge& known, std::array<std::size_t, 2>& survived, std::uint64_t& numbers) {
        std::string problem = house.complaints(false);
        if (problem.empty()) {
            problem = house.survey(known, survived);
        }
        return problem.empty() ? house.survey_numbers(numbers) : problem;
    }

    const transaction_progress& told_;
};

}  // namespace brook::test
