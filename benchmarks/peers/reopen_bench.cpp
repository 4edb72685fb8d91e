// How long until a store that was killed is open again, and its last record has been read?
//
// A process of its own appends 1 GiB of 100 B records in batches of 100, syncs nothing, and kills itself with SIGKILL right after the last.
// Another one opens what it left: timed from before it is opened until the last record's value has been looked at. Then everything is
// read and counted. Who writes a log beside its tables (RocksDB) replays it; who has no log and no checksum (LMDB) has
// nothing to do; brook verifies what upkeep had not synced.
#include <brook/brook.hpp>

#include <signal.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "peers/measure.hpp"
#include "peers/peer.hpp"
#include "peers/server.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;

/// brook as a user has it: upkeep on its own thread, segments of 64 MiB, or less for a small log.
class rolling_brook final : public peer {
public:
    [[nodiscard]] std::string name() const override { return "brook"; }
    [[nodiscard]] std::string version() const override {
        return std::to_string(BROOK_VERSION_MAJOR) + "." + std::to_string(BROOK_VERSION_MINOR) + "." + std::to_string(BROOK_VERSION_PATCH);
    }
    [[nodiscard]] std::string how() const override { return "send_batch, segments of 64 MiB, upkeep on its own thread; nothing is flushed by hand"; }

    void open(const std::string& directory, const workload& what) override {
        broker_.emplace(directory + "/brook");
        const std::uint64_t segment = std::min<std::uint64_t>(std::uint64_t{64} << 20, std::max<std::uint64_t>(what.payload_bytes() / 16, 1 << 20));
        topic_.emplace(broker_->create_topic<brook::no_key, value_type>("killed", {.segment_bytes = static_cast<std::int64_t>(segment)}));
    }
    bool reopen(const std::string& directory, const workload&) override {
        broker_.emplace(directory + "/brook");
        topic_.emplace(broker_->topic<brook::no_key, value_type>("killed"));
        return true;
    }
    void write(unsigned, const workload& what, share& mine) override {
        brook::producer producer{*topic_};
        const std::span<const value_type> batch{reinterpret_cast<const value_type*>(what.values), what.batch};
        write_share(what, mine, [&](std::uint64_t, std::uint32_t) { producer.send_batch(0, batch); });
    }
    std::uint64_t count_by_last() override {
        const auto partition = topic_->partition(0);
        const brook::offset end = partition.log_end_offset();
        brook::consumer reader{*topic_};
        reader.seek(partition, end - 1);
        const auto batch = reader.poll(std::chrono::seconds{10});
        if (batch.empty()) {
            return 0;
        }
        const auto last = batch.front();
        look_at(&last.value());
        return static_cast<std::uint64_t>(last.offset()) + 1;
    }
    found read() override {
        brook::consumer reader{*topic_, {.max_poll_records = 10'000}};
        reader.seek_to_beginning();
        return timed_read([&](found& all) {
            while (!reader.caught_up()) {
                for (const auto batch = reader.poll(std::chrono::seconds{0}); const auto& record : batch) {
                    all.sum += first_byte(&record.value());
                    ++all.records;
                }
            }
        });
    }
    void close() override {
        topic_.reset();
        broker_.reset();
    }

private:
    std::optional<brook::broker> broker_;
    std::optional<brook::topic<brook::no_key, value_type>> topic_;
};

/// Those that can be asked for their last record. Nothing where this build does not have it.
std::unique_ptr<peer> make(const std::string& name) {
    if (name == "brook") {
        return std::make_unique<rolling_brook>();
    }
    for (const known_peer& one : known_peers()) {
        if (one.name == name && one.why_not.empty()) {
            return one.make();
        }
    }
    return nullptr;
}

workload work(std::uint64_t records, const value_store& values) {
    workload what;
    what.value_bytes = value_bytes;
    what.batch = workload::most_batch;
    what.records = records / workload::most_batch * workload::most_batch;
    what.seconds = 1e6;
    what.values = values.data();
    return what;
}

/// The first process: fills the store, and is gone.
int fill(const std::string& name, const std::string& directory, std::uint64_t records) {
    const value_store values{value_bytes};
    const workload what = work(records, values);
    const auto store = make(name);
    store->open(directory, what);
    if (store->append(what).total() == what.records) {
        ::raise(SIGKILL);
    }
    return EXIT_FAILURE;
}

/// The second: opens it, and says how long that took in ns, how many records the last one tells of, how many there are, and their sum.
int open_again(const std::string& name, const std::string& directory, std::uint64_t records) {
    const value_store values{value_bytes};
    const workload what = work(records, values);
    const auto store = make(name);
    const std::uint64_t begin = nanoseconds_now();
    store->reopen(directory, what);
    const std::uint64_t told = store->count_by_last();
    const std::uint64_t taken = nanoseconds_now() - begin;
    const found back = store->read();
    store->close();
    std::printf("%llu %llu %llu %llu\n", static_cast<unsigned long long>(taken), static_cast<unsigned long long>(told), static_cast<unsigned long long>(back.records),
                static_cast<unsigned long long>(back.sum));
    return EXIT_SUCCESS;
}

outcome kill_and_reopen(run& bench, const std::string& name, std::uint64_t records) {
    const value_store values{value_bytes};
    const workload what = work(records, values);
    warm_memory(2 * what.payload_bytes());
    const scratch_directory directory{bench.directory()};
    const std::vector<std::string> words{name, directory.path(), std::to_string(records)};
    const auto command = [&](const char* which) {
        std::vector<std::string> all{"/proc/self/exe", which};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    };
    server_process writer{command("--fill"), directory / "said"};
    const int status = writer.wait();
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail(name, "the process that fills it was not killed, but failed");
    }
    line_process opener{command("--open"), directory / "said"};
    std::istringstream answer{opener.line()};
    std::uint64_t taken = 0;
    std::uint64_t told = 0;
    found back;
    answer >> taken >> told >> back.records >> back.sum;
    bench.expect_equal(told, what.records, name + ": records, as the last one tells");
    bench.expect_equal(back.records, what.records, name + ": records read back after the kill");
    bench.expect_equal(back.sum, what.sum_of(what.records), name + ": sum of what was read back after the kill");
    outcome done;
    done.count = 1;
    done.seconds = static_cast<double>(taken) / 1e9;
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc == 5 && (std::strcmp(argv[1], "--fill") == 0 || std::strcmp(argv[1], "--open") == 0)) {
            const bool fills = std::strcmp(argv[1], "--fill") == 0;
            return (fills ? fill : open_again)(argv[2], argv[3], std::stoull(argv[4]));
        }
    } catch (const std::exception& why) {
        std::fprintf(stderr, "%s\n", why.what());
        return EXIT_FAILURE;
    }
    return run_main(argc, argv, "peers/reopen: opening after a kill", [](run& bench) {
        const std::uint64_t records = (bench.parameter("log_mib", 8, 1'024) << 20) / value_bytes;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        contest all{bench, "opened after SIGKILL, and the last record read (op/s is openings a second)"};
        std::vector<std::vector<double>> seconds;
        std::vector<std::string> names;
        seconds.reserve(3);
        const rolling_brook us;
        bench.peer(us.name(), us.version(), us.how());
        for (const char* name : {"brook", "RocksDB", "LMDB"}) {
            if (std::string_view{name} != "brook" && !is_peer_wanted(name)) {
                bench.left_out(name, not_wanted);
                continue;
            }
            const auto store = make(name);
            if (store == nullptr) {
                bench.left_out(name, "it was not found when this was configured");
                continue;
            }
            if (names.size() > 0) {
                bench.peer(store->name(), store->version(), store->how());
            }
            names.emplace_back(name);
            auto& mine = seconds.emplace_back();
            all.add(name, [&bench, &mine, name, records] {
                const outcome done = kill_and_reopen(bench, name, records);
                mine.push_back(done.seconds);
                return done;
            });
        }
        all.go(rounds);
        for (std::size_t i = 1; i < names.size(); ++i) {
            std::vector<double> ratios;
            for (std::size_t round = 0; round < seconds[0].size(); ++round) {
                ratios.push_back(seconds[0][round] / seconds[i][round]);
            }
            bench.aim("brook / " + names[i] + ", time to open after a kill", spread_of(std::move(ratios)), "<=", 0.5);
        }
    });
}
