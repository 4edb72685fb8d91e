// How many records a second survive the loss of power, beside peers who promise the same?
//
// Everyone syncs before an append returns: one record at a time, 100 at a time, and 8 or 32 producers with one record each,
// where whoever has a group commit of its own uses it. The bound is one pwrite and one fdatasync for each record, or batch. A peer
// that cannot sync each append is left out, and named. After each round the store is closed, opened again, read and counted.
#include <brook/brook.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "peers/bare_peer.hpp"
#include "peers/brook_peer.hpp"
#include "peers/measure.hpp"
#include "peers/peer.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;

struct shape {
    std::uint32_t batch;
    unsigned writers;
    const char* title;
    double least_over_best;     // 0: no aim
    double least_over_rocksdb;  // 0: no aim
};

constexpr shape shapes[] = {
    {1, 1, "durable records of 100 B, one at a time", 1.3, 0},
    {100, 1, "durable batches of 100 x 100 B", 1.7, 0},
    {1, 8, "durable records of 100 B, 8 producers", 0, 1.7},
    {1, 32, "durable records of 100 B, 32 producers", 0, 1.7},
};

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "peers/durable: appends beside peers, everything synced", [](run& bench) {
        const double seconds = static_cast<double>(bench.parameter("milliseconds", 20, 600)) / 1e3;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        brook_peer<value_bytes> ours{0};
        bench.peer(ours.name(), ours.version(), ours.how());
        bare_pwrite bound;
        bench.peer(bound.name(), bound.version(), bound.how());
        const auto others = peers_present(bench);
        const value_store values{value_bytes};
        for (const shape& one : shapes) {
            workload what;
            what.level = durability::synced;
            what.value_bytes = value_bytes;
            what.batch = one.batch;
            what.writers = one.writers;
            what.records = 1'000'000;
            what.seconds = seconds;
            what.is_timed = true;
            what.values = values.data();
            peer_contest all{bench, one.title};
            const std::size_t us = all.add(ours, ours.name(), what);
            const std::size_t bare = all.add(bound, "bare pwrite + fdatasync", what);
            std::vector<std::size_t> everyone;
            std::vector<std::size_t> rocksdb;
            for (const auto& other : others) {
                const std::size_t number = all.add(*other, other->name(), what);
                everyone.push_back(number);
                if (other->name() == "RocksDB") {
                    rocksdb.push_back(number);
                }
            }
            all.go(rounds);
            all.show(us, {bare});
            if (one.batch == 1) {
                all.chart("durable, one record each", "producers", one.writers);
            }
            if (one.least_over_best > 0) {
                all.at_least(us, everyone, "the best of the peers", one.least_over_best);
            } else {
                all.show_best(us, everyone, "the best of the peers");
            }
            if (one.least_over_rocksdb > 0) {
                all.at_least(us, rocksdb, "RocksDB", one.least_over_rocksdb);
            }
        }
    });
}
