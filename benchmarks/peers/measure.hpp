/// \file peers/measure.hpp
/// Contests between brook and its peers: who takes part, one round of one contender, and ratios against the best of several.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "peers/peer.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"

namespace brook::bench {

/// $BROOK_BENCHMARK_PEERS, where it is set, chooses: those whose names begin with one of its words, as in "LMDB Chronicle".
[[nodiscard]] inline bool is_peer_wanted(std::string_view name) {
    const char* const given = std::getenv("BROOK_BENCHMARK_PEERS");
    std::istringstream words{given == nullptr ? "" : given};
    bool is_any = given == nullptr;
    for (std::string word; words >> word;) {
        is_any = is_any || name.starts_with(word);
    }
    return is_any;
}

inline constexpr const char* not_wanted = "BROOK_BENCHMARK_PEERS does not name it";

/// Makes the peers that there are and have a part in this, says how each is used, and names those that are left out.
template <class HasPart>
[[nodiscard]] std::vector<std::unique_ptr<peer>> peers_present(run& bench, const HasPart& has_part) {
    std::vector<std::unique_ptr<peer>> there;
    for (const known_peer& one : known_peers()) {
        if (!has_part(std::string_view{one.name})) {
            continue;
        }
        if (!is_peer_wanted(one.name)) {
            bench.left_out(one.name, not_wanted);
            continue;
        }
        if (bench.is_smoke() && one.is_slow_to_start && std::getenv("BROOK_BENCHMARK_PEERS") == nullptr) {
            bench.left_out(one.name, "it takes longer to start than a smoke run should; BROOK_BENCHMARK_PEERS=" + one.name + " has it nevertheless");
            continue;
        }
        std::string why = one.why_not;
        if (why.empty()) {
            try {
                there.push_back(one.make());
                bench.peer(there.back()->name(), there.back()->version(), there.back()->how());
            } catch (const std::exception& failure) {
                why = failure.what();
            }
        }
        if (!why.empty()) {
            bench.left_out(one.name, why);
        }
    }
    return there;
}

[[nodiscard]] inline std::vector<std::unique_ptr<peer>> peers_present(run& bench) {
    return peers_present(bench, [](std::string_view) { return true; });
}

/// Several stores, or several ways to use one, that are given the same work in turn; then everything is read back.
class peer_contest {
public:
    peer_contest(run& bench, std::string title) : bench_{bench}, title_{std::move(title)}, appends_{bench, title_}, reads_{bench, title_ + ": read everything"} {}

    /// Adds a contender, unless it cannot do this work, which is said.
    /// Returns   its number, or `none`.
    std::size_t add(peer& who, const std::string& name, const workload& what) {
        if (const std::string why = who.why_not(what); !why.empty()) {
            bench_.left_out(name + " (" + title_ + ")", why);
            return none;
        }
        entries_.push_back(std::make_unique<entry>(entry{who, name, what, {}, {}, 0}));
        entry& mine = *entries_.back();
        appends_.add(name, [this, &mine] { return one_round(mine); });
        if (who.keeps_everything()) {
            reads_.add(name, [&mine] { return mine.reads[mine.reads_shown++]; });
        }
        return entries_.size() - 1;
    }

    void go(std::uint64_t rounds) {
        appends_.go(rounds);
    }

    /// Prints what reading back took in the same rounds.
    void show_reads() { reads_.go(entries_.empty() ? 0 : entries_.front()->reads.size()); }

    static constexpr std::size_t none = ~std::size_t{0};

    /// Our rate over the best of theirs, round by round.
    [[nodiscard]] spread over_best(std::size_t ours, const std::vector<std::size_t>& theirs) const { return ratios(ours, theirs, &entry::appends); }
    [[nodiscard]] spread reading_over_best(std::size_t ours, const std::vector<std::size_t>& theirs) const {
        return ratios(ours, theirs, &entry::reads);
    }

    /// Says how we stand to the best of them. Nothing where none of them takes part.
    void at_least(std::size_t ours, const std::vector<std::size_t>& theirs, const std::string& them, double aim) {
        if (!present(theirs).empty()) {
            bench_.aim(entries_[ours]->name + " / " + them + ": " + title_, over_best(ours, theirs), ">=", aim);
        }
    }
    void reading_at_least(std::size_t ours, const std::vector<std::size_t>& theirs, const std::string& them, double aim) {
        if (!present(theirs).empty()) {
            bench_.aim(entries_[ours]->name + " / " + them + ", read everything: " + title_, reading_over_best(ours, theirs), ">=", aim);
        }
    }

    /// How we stand to the best of them, where nobody has set an aim.
    void show_best(std::size_t ours, const std::vector<std::size_t>& theirs, const std::string& them) {
        if (!present(theirs).empty()) {
            bench_.show(entries_[ours]->name + " / " + them + ": " + title_, over_best(ours, theirs));
        }
    }

    void show_best_reading(std::size_t ours, const std::vector<std::size_t>& theirs, const std::string& them) {
        if (!present(theirs).empty()) {
            bench_.show(entries_[ours]->name + " / " + them + ", read everything: " + title_, reading_over_best(ours, theirs));
        }
    }

    /// How we stand to one of them, where nobody has set an aim.
    void show(std::size_t ours, const std::vector<std::size_t>& theirs) const {
        for (const std::size_t one : present(theirs)) {
            appends_.show(ours, one);
        }
    }

    void show_reading(std::size_t ours, const std::vector<std::size_t>& theirs) const {
        for (const std::size_t one : present(theirs)) {
            bench_.show(title_ + ", read everything: " + entries_[ours]->name + " / " + entries_[one]->name, reading_over_best(ours, {one}));
        }
    }

    /// One point for each contender; those that append in batches in a chart of their own.
    void chart(const std::string& name, const std::string& x_label, double x, bool is_read = false) {
        for (const auto& one : entries_) {
            std::vector<double> rates;
            for (const outcome& now : is_read ? one->reads : one->appends) {
                rates.push_back(now.rate());
            }
            bench_.point(one->what.batch == 1 ? name + ", lone" : name + ", batches of " + std::to_string(one->what.batch), x_label, "records/s", one->name, x, spread_of(std::move(rates)));
        }
    }

private:
    struct entry {
        peer& who;
        std::string name;
        workload what;
        std::vector<outcome> appends;
        std::vector<outcome> reads;
        std::size_t reads_shown = 0;
    };

    [[nodiscard]] static std::vector<std::size_t> present(std::vector<std::size_t> all) {
        all.erase(std::remove(all.begin(), all.end(), none), all.end());
        return all;
    }

    [[nodiscard]] spread ratios(std::size_t ours, const std::vector<std::size_t>& theirs, std::vector<outcome> entry::*which) const {
        std::vector<double> found;
        for (std::size_t round = 0; round < (entries_[ours].get()->*which).size(); ++round) {
            double best = 0;
            for (const std::size_t one : present(theirs)) {
                best = std::max(best, (entries_[one].get()->*which)[round].rate());
            }
            found.push_back((entries_[ours].get()->*which)[round].rate() / best);
        }
        return spread_of(std::move(found));
    }

    outcome one_round(entry& mine) {
        constexpr std::uint64_t most_synced = std::uint64_t{32} << 20;  // more does not get to a disk in so short a time
        warm_memory(mine.what.level == durability::synced ? most_synced : 2 * mine.what.payload_bytes());
        const scratch_directory directory{bench_.directory()};
        mine.who.open(directory.path(), mine.what);
        appended before;
        if (mine.what.level == durability::synced) {  // a store that has been used for a while: files have grown, caches are filled
            workload shorter = mine.what;
            shorter.seconds /= 4;
            before = mine.who.append(shorter);
        }
        appended done = mine.who.append(mine.what);
        if (mine.what.level == durability::synced) {
            mine.who.close();
            bench_.expect(mine.who.reopen(directory.path(), mine.what), mine.name + " has nothing after it was closed");
        }
        const found back = mine.who.keeps_everything() ? mine.who.read() : found{};
        mine.who.close();

        std::uint64_t sum = 0;
        for (const appended* one : {&before, &done}) {
            for (const std::uint64_t records : one->records) {
                sum += mine.what.sum_of(records);
            }
        }
        if (mine.who.keeps_everything()) {
            bench_.expect_equal(back.records, before.total() + done.total(), title_ + ", " + mine.name + ": records read back");
            bench_.expect_equal(back.sum, sum, title_ + ", " + mine.name + ": sum of what was read back");
        }
        outcome made;
        made.count = done.total();
        made.seconds = done.seconds;
        made.latency = percentiles_of(std::move(done.times));
        mine.appends.push_back(made);
        outcome read;
        read.count = back.records;
        read.seconds = back.seconds;
        mine.reads.push_back(read);
        return made;
    }

    run& bench_;
    std::string title_;
    contest appends_;
    contest reads_;
    std::vector<std::unique_ptr<entry>> entries_;
};

}  // namespace brook::bench
