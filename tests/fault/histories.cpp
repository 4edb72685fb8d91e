// T12: is what the users of a cluster of real processes saw a history that a log can have?
//
// Three processes, each a broker with producers, members of a group and readers of its own. What brokers say to each other goes through a
// proxy. Processes are killed, stopped, cut off, cut in one direction, slowed down, their connections reset, their disks full. Every send,
// poll and commit is noted, with when it began and ended and whether it was acknowledged, has failed, or is unknown. In the end everything is
// put right, groups come to the end of what there is, each broker's copy is read from its start, and a checker judges all of it:
// history/checker.hpp says for what.
//
// usage: brook_fault histories [--seconds S] [--records N] [--seed X] [--election-timeout MS] [--interval MS] [--rate N] [--partitions N] [--tcp] [--keep]
//                              [--directory DIR]
//        brook_fault histories --check DIR
//        S: 15 by default, BROOK_FAULT_SECONDS otherwise. N: goes on until so many records are acknowledged. X: of what goes wrong, and when; with
//        real processes no two runs are the same all the same. interval: between two faults. check: judges once more what a run has left.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <brook/broker/verify.hpp>

#include "fault/history/checker.hpp"
#include "fault/history/control.hpp"
#include "fault/history/nemesis.hpp"
#include "fault/history/node.hpp"
#include "fault/history/operation.hpp"
#include "fault/history/recorder.hpp"
#include "fault/program.hpp"
#ifdef BROOK_HISTORIES_OVER_TLS
#include "support/certificates.hpp"
#endif
#include "support/directory_watch.hpp"

namespace fault_histories {

namespace {

using namespace brook::test;
using namespace brook::test::history;
using brook::broker_room::grouped;
using std::chrono::milliseconds;

struct arguments {
    double seconds = 15;
    std::uint64_t records = 0;
    std::uint64_t seed = 0;
    std::int64_t election_timeout_ms = 300;
    std::int64_t interval_ms = 700;
    std::uint32_t rate = 40'000;
    std::uint32_t partitions = 4;
    bool is_encrypted = true;
    bool is_kept = false;
    std::string directory{};
    std::string checked{};
};

/// What a history is asked besides whether it is one.
struct figures {
    struct acknowledgement {
        std::int64_t invoke, complete;
    };
    std::map<std::uint16_t, std::vector<acknowledgement>> acknowledged;
    std::map<std::uint16_t, std::map<std::int64_t, std::uint64_t>> epochs;  // and who led
    std::uint64_t disputed = 0;

    void add(const operation& one) {
        if (one.kind == operation_kind::send && one.outcome == outcome::ok) {
            acknowledged[one.partition].push_back({one.invoke, one.complete});
        } else if (one.kind == operation_kind::lead && static_cast<std::int64_t>(one.value) > 0) {
            if (const auto [seen, is_new] = epochs[one.partition].try_emplace(one.offset, one.value); !is_new && seen->second != one.value) {
                std::printf("BAD  in partition %u, epoch %" PRId64 ", both %" PRIu64 " and %" PRIu64 " lead\n", unsigned{one.partition}, one.offset, seen->second, one.value);
                ++disputed;
            }
        }
    }

    [[nodiscard]] std::uint64_t leaders_changed() const {
        std::uint64_t all = 0;
        for (const auto& [partition, seen] : epochs) {
            all += seen.size() - 1;
        }
        return all;
    }

    /// From each death until the first record of that partition was acknowledged that had been sent since, in ns, sorted.
    [[nodiscard]] std::vector<std::int64_t> fail_overs(const std::vector<death>& deaths) {
        std::vector<std::int64_t> all;
        for (auto& [partition, sends] : acknowledged) {
            std::sort(sends.begin(), sends.end(), [](const auto& a, const auto& b) { return a.complete < b.complete; });
        }
        for (const death& one : deaths) {
            for (const std::uint16_t partition : one.partitions) {
                const auto& sends = acknowledged[partition];
                auto next = std::lower_bound(sends.begin(), sends.end(), one.when, [](const acknowledgement& send, std::int64_t when) { return send.complete < when; });
                while (next != sends.end() && next->invoke < one.when) {
                    ++next;
                }
                if (next != sends.end()) {
                    all.push_back(next->complete - one.when);
                }
            }
        }
        std::sort(all.begin(), all.end());
        return all;
    }
};

/// Reads all histories of a directory. Returns   whether there is nothing wrong with them.
[[nodiscard]] bool judge(const std::string& directory, const std::vector<death>& deaths, std::int64_t election_timeout) {
    const std::int64_t begun = now();
    checker judging;
    figures seen;
    std::vector<std::string> files;
    for (const auto& one : std::filesystem::directory_iterator{directory}) {
        if (one.path().filename().string().starts_with("history-")) {
            files.push_back(one.path().string());
        }
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
        for_each_operation(file, [&](const operation& one) {
            judging.add(one);
            seen.add(one);
        });
    }
    const verdict found = judging.check();
    const auto line = [](const char* name, const std::string& text) { std::printf("  %-11s%s\n", name, text.c_str()); };
    line("records", grouped(found.sent_records[1]) + " acknowledged, " + grouped(found.sent_records[2]) + " failed, " + grouped(found.sent_records[0]) + " unknown, of which " +
                        grouped(found.unknown_there) + " are there; " + grouped(found.records) + " in all");
    line("sends", grouped(found.sends[1]) + " ok, " + grouped(found.sends[2]) + " failed, " + grouped(found.sends[0]) + " unknown");
    line("reads", grouped(found.read_records) + " records by " + grouped(found.readers) + " readers with " + grouped(found.assignments) + " assignments; " + grouped(found.full_readings) +
                      " copies of a partition read whole");
    line("commits", grouped(found.commits[1]) + " ok, " + grouped(found.commits[2]) + " failed, " + grouped(found.commits[0]) + " unknown");
    line("leaders", "changed " + grouped(seen.leaders_changed()) + " times in " + grouped(seen.epochs.size()) + " partitions");
    if (const std::vector<std::int64_t> all = seen.fail_overs(deaths); !all.empty()) {
        const auto at = [&](double part) { return std::to_string(all[std::min(all.size() - 1, static_cast<std::size_t>(part * static_cast<double>(all.size())))] / 1'000'000); };
        line("fail-over", "p50 " + at(0.5) + " ms, p99 " + at(0.99) + " ms, max " + at(1) + " ms of " + grouped(all.size()) + ", from a leader's death to the next record that is acknowledged; two election timeouts are " +
                              std::to_string(election_timeout * 2 / 1'000'000) + " ms");
    }
    line("lag", "at worst " + std::to_string(found.worst_lag / 1'000'000) + " ms from an acknowledgement until anybody had read the record, " + std::to_string(found.worst_reader_lag / 1'000'000) + " ms until a reader that was there had");
    std::string anomalies;
    for (std::size_t i = 0; i < anomaly_count; ++i) {
        anomalies += (i == 0 ? "" : ", ") + std::string{to_string(static_cast<anomaly>(i))} + ' ' + grouped(found.anomalies[i]);
    }
    line("anomalies", grouped(found.all()) + ": " + anomalies);
    line("judged", "in " + std::to_string((now() - begun) / 1'000'000) + " ms");
    for (const std::string& one : found.examples) {
        std::printf("BAD  %s\n", one.c_str());
    }
    return found.all() == 0 && seen.disputed == 0;
}

/// Where all ports of a run are free, below those that the system gives away by itself.
[[nodiscard]] std::uint16_t find_ports(std::mt19937_64& random) {
    for (int attempt = 0; attempt < 200; ++attempt) {
        const auto base = static_cast<std::uint16_t>(11'000 + random() % 400 * 50);
        bool is_free = true;
        for (int i = 1; i <= last_port && is_free; ++i) {
            const int one = listen_at(static_cast<std::uint16_t>(base + i));
            is_free = one >= 0;
            ::close(one);
        }
        if (is_free) {
            return base;
        }
    }
    throw std::runtime_error{"no ports are free"};
}

/// An authority, and a certificate for each broker. False: this program has no TLS.
[[nodiscard]] bool make_certificates(const std::string& directory) {
#ifdef BROOK_HISTORIES_OVER_TLS
    const certificate_authority authority;
    write_with_mode(directory + "/ca.pem", authority.pem(), 0600);
    for (int id = 1; id <= static_cast<int>(node_count); ++id) {
        const identity one = authority.issue(id);
        const std::string name = directory + "/node-" + std::to_string(id);
        write_with_mode(name + ".pem", one.certificate_pem(), 0600);
        write_with_mode(name + ".key", one.key_pem(), 0600);
    }
    return true;
#else
    static_cast<void>(directory);
    return false;
#endif
}

class run {
public:
    explicit run(const arguments& given) : given_{given}, directory_{make_directory(given)}, page_{directory_ + "/control", 1, true}, control_{*new (page_.data()) control} {
        std::mt19937_64 random{std::random_device{}()};
        control_.seed = given_.seed;
        control_.election_timeout = given_.election_timeout_ms * 1'000'000;
        control_.session_timeout = std::max<std::int64_t>(2'000, given_.election_timeout_ms * 8) * 1'000'000;
        control_.rate = given_.rate;
        control_.partitions = given_.partitions;
        control_.producers = 2;
        control_.members = 2;
        control_.base_port = find_ports(random);
        control_.is_encrypted = given_.is_encrypted && make_certificates(directory_);
        if (given_.is_encrypted && !control_.is_encrypted) {
            std::printf("histories: over plain TCP, since this was built without OpenSSL\n");
        }
    }

    [[nodiscard]] bool go() {
        const std::string mounts = leave_for_own_mounts();
        std::optional<nemesis> doing{std::in_place, directory_, control_, mounts.empty(), given_.interval_ms * 1'000'000};
        if (!doing->can_fill_disks()) {
            std::printf("histories: without full disks, since mounting is not allowed here (%s)\n", mounts.c_str());
        }
        const bool is_done = work(*doing);
        doing->end();
        std::string kinds;
        for (std::size_t i = 0; i < fault_count; ++i) {
            kinds += (i == 0 ? "" : ", ") + std::string{fault_names[i]} + ' ' + std::to_string(doing->faults()[i]);
        }
        std::uint64_t surprises = 0;
        for (const control::node& one : control_.nodes) {
            surprises += one.surprises.load();
        }
        std::printf("histories: seed %" PRIu64 ", %.0f s, three processes over %s, election timeout %" PRId64 " ms\n", control_.seed, static_cast<double>(now() - begun_) / 1e9,
                    control_.is_encrypted ? "TLS" : "TCP", given_.election_timeout_ms);
        std::printf("  %-11s%" PRIu64 ": %s\n", "faults", doing->all_faults(), kinds.c_str());
        const bool is_good = judge(directory_, doing->deaths(), control_.election_timeout) && is_done && doing->problem().empty();
        std::printf("  %-11slongest start %.1f s; %" PRIu64 " connections, %s bytes through the proxy; %" PRIu64 " failures that nobody expects\n", "besides",
                    static_cast<double>(doing->longest_start()) / 1e9, doing->network().connections(), grouped(doing->network().bytes()).c_str(), surprises);
        doing.reset();
        if (is_good && !given_.is_kept) {
            std::error_code ignored;  // what is left behind is no failure of the test
            std::filesystem::remove_all(directory_, ignored);
        } else {
            std::printf("  %-11s%s\n", "kept in", directory_.c_str());
        }
        return is_good;
    }

private:
    [[nodiscard]] static std::string make_directory(const arguments& given) {
        std::string path = (given.directory.empty() ? memory_directory() : given.directory) + "/brook-histories.XXXXXX";  // in memory: a busy disk would stop who writes to it
        if (::mkdtemp(path.data()) == nullptr) {
            throw_errno(path);
        }
        return path;
    }

    /// False: something does not come to its end.
    [[nodiscard]] bool work(nemesis& doing) {
        doing.start_all();
        if (!await(doing, "the brokers do not come up", 120, [&] { return doing.are_all_up(); }) ||
            !await(doing, "nothing is acknowledged", 60, [&] { return control_.acknowledged.load() > 0; })) {
            return false;
        }
        const std::int64_t from = now();
        std::int64_t told = from;
        std::uint64_t told_records = 0;
        std::int64_t moved = from;
        std::uint64_t moved_records = 0;
        while (doing.problem().empty() && (static_cast<double>(now() - from) < given_.seconds * 1e9 || control_.acknowledged.load() < given_.records)) {
            doing.step();
            const std::uint64_t records = control_.acknowledged.load();
            if (records != moved_records) {
                moved_records = records;
                moved = now();
            } else if (now() - moved > std::int64_t{90} * 1'000'000'000) {
                doing.say("nothing has been acknowledged for 90 s");
            }
            if (now() - told >= std::int64_t{10} * 1'000'000'000) {
                std::printf("  after %3.0f s: %s records acknowledged, %s a second; %" PRIu64 " faults\n", static_cast<double>(now() - from) / 1e9, grouped(records).c_str(),
                            grouped((records - told_records) * 1'000'000'000 / static_cast<std::uint64_t>(now() - told)).c_str(), doing.all_faults());
                told = now();
                told_records = records;
            }
            std::this_thread::sleep_for(milliseconds{1});
        }
        doing.heal();
        if (!doing.problem().empty() || !await(doing, "the brokers do not come up again", 90, [&] { return doing.are_all_up(); })) {
            return false;
        }
        control_.at.store(phase::drain);
        if (!await(doing, "the producers do not end", 90, [&] { return doing.have_all(&control::node::drained); }) ||
            !await(doing, "the group does not come to the end", 90, [&] { return has_group_ended(); })) {
            return false;
        }
        control_.at.store(phase::audit);
        if (!await(doing, "the copies cannot be read", 150, [&] { return doing.have_all(&control::node::audited); })) {
            return false;
        }
        control_.at.store(phase::leave);
        doing.bury();
        return true;
    }

    [[nodiscard]] bool has_group_ended() const {
        for (std::uint32_t i = 0; i < control_.partitions; ++i) {
            if (control_.group_end[i].load() < control_.acknowledged_end[i].load()) {
                return false;
            }
        }
        return true;
    }

    template <class Holds>
    [[nodiscard]] static bool await(nemesis& doing, const std::string& otherwise, int seconds, const Holds& holds) {
        for (const std::int64_t until = now() + std::int64_t{seconds} * 1'000'000'000; now() < until;) {
            if (holds()) {
                return true;
            }
            if (static_cast<void>(doing.have_all(&control::node::ready)); !doing.problem().empty()) {
                return false;
            }
            std::this_thread::sleep_for(milliseconds{5});
        }
        doing.say(otherwise);
        return false;
    }

    const arguments given_;
    const std::int64_t begun_ = now();
    const std::string directory_;
    mapped_file<control> page_;
    control& control_;
};

int histories(int count, char** given) {
    if (count == 5 && std::string_view{given[1]} == "--node") {
        return node_process{std::atoi(given[2]), static_cast<std::uint32_t>(std::strtoul(given[3], nullptr, 10)), given[4]}.run();
    }
    arguments all;
    all.seed = std::random_device{}();
    all.seconds = seconds_to_run(all.seconds);
    for (int i = 1; i < count; ++i) {
        const std::string_view name = given[i];
        const char* const value = i + 1 < count ? given[i + 1] : "";
        const auto number = [&] { return ++i, std::strtoull(value, nullptr, 0); };
        if (name == "--tcp") {
            all.is_encrypted = false;
        } else if (name == "--keep") {
            all.is_kept = true;
        } else if (name == "--seconds") {
            ++i;
            all.seconds = std::atof(value);
        } else if (name == "--records") {
            all.records = number();
        } else if (name == "--seed") {
            all.seed = number();
        } else if (name == "--election-timeout") {
            all.election_timeout_ms = static_cast<std::int64_t>(number());
        } else if (name == "--interval") {
            all.interval_ms = static_cast<std::int64_t>(number());
        } else if (name == "--rate") {
            all.rate = static_cast<std::uint32_t>(number());
        } else if (name == "--partitions") {
            all.partitions = static_cast<std::uint32_t>(std::clamp<unsigned long long>(number(), 1, most_partitions));
        } else if (name == "--directory") {
            ++i;
            all.directory = value;
        } else if (name == "--check") {
            ++i;
            all.checked = value;
        } else {
            std::fprintf(stderr, "usage: histories [--seconds S] [--records N] [--seed X] [--election-timeout MS] [--interval MS] [--rate N] [--partitions N] [--tcp] [--keep] [--directory DIR]\n"
                                 "       histories --check DIR\n");
            return 64;
        }
    }
    if (!all.checked.empty()) {
        return judge(all.checked, {}, 0) ? 0 : 1;
    }
    return run{all}.go() ? 0 : 1;
}

const fault_program program{"histories", histories};

}  // namespace

}  // namespace fault_histories
