// How many records a second does brook take beside what one would have used instead, when nothing is synced?
//
// All get the same values, in the same run, in turn, and everything is read back, summed and counted. "Lone" is one record
// a call, acknowledged before the next where a socket lies between; "batches" are 100 records at once, by whatever the peer
// has for that. Nobody syncs. brook's segment is prepared before the clock starts, as its upkeep does it for a busy topic. Peers that
// write through a mapping take part as they are documented, and once more with files that are prepared alike ("prepared file"); the aims
// stand beside the former. Two are no peers but bounds: "the bare loop", the same frames into memory that is ready, and "bare pwrite", one call to the
// system a record or a batch. How the bare loop stands to each peer is printed beside the aim: it is what a loop takes of the peer that does no more than that.
// benchmarks/peers/README.md says how each is used, and why.
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

struct sizes {
    std::uint64_t segment_bytes;
    double seconds;
    std::uint64_t rounds;
};

using peers = std::vector<std::unique_ptr<peer>>;

/// Contenders of a contest, by who they are.
struct numbers {
    std::size_t lone = peer_contest::none;
    std::size_t batched = peer_contest::none;
    struct theirs {
        std::string name;
        std::size_t lone;
        std::size_t batched;
    };
    std::vector<theirs> others;
    theirs loop{};
    theirs pwrite{};

    /// Those whose name begins like that, as documented or with files prepared behind their backs.
    [[nodiscard]] std::vector<std::size_t> of(std::string_view name, bool in_batches, bool is_prepared = false) const {
        std::vector<std::size_t> found;
        for (const auto& one : others) {
            if (one.name.starts_with(name) && one.name.ends_with(", prepared file") == is_prepared) {
                found.push_back(in_batches && one.batched != peer_contest::none ? one.batched : one.lone);
            }
        }
        return found;
    }
};

struct bounds {
    bare_loop loop;
    bare_pwrite pwrite;
};

numbers enter(peer_contest& all, peer& ours, bounds& bare, const peers& others, workload what) {
    const auto lone = [&](peer& who) {
        what.batch = 1;
        return all.add(who, who.name() + ", lone", what);
    };
    const auto batched = [&](peer& who) {
        what.batch = workload::most_batch;
        return all.add(who, who.name() + ", batches of 100", what);
    };
    numbers found;
    found.lone = lone(ours);
    found.batched = batched(ours);
    found.loop = {bare.loop.name(), lone(bare.loop), batched(bare.loop)};
    found.pwrite = {bare.pwrite.name(), lone(bare.pwrite), batched(bare.pwrite)};
    for (const auto& one : others) {
        const std::size_t by_one = lone(*one);
        found.others.push_back({one->name(), by_one, one->has_batches() ? batched(*one) : peer_contest::none});
    }
    return found;
}

template <std::size_t Bytes>
void appends(run& bench, const sizes& size, const peers& others, unsigned writers) {
    brook_peer<Bytes> ours{size.segment_bytes};
    bounds bare;
    const value_store values{Bytes};
    workload what;
    what.value_bytes = Bytes;
    what.writers = writers;
    what.records = brook_peer<Bytes>::room(size.segment_bytes);
    what.seconds = size.seconds;
    what.values = values.data();
    peer_contest all{bench, std::to_string(Bytes) + " B, " + (writers == 1 ? "one producer" : std::to_string(writers) + " producers")};
    const numbers who = enter(all, ours, bare, others, what);
    all.go(size.rounds);
    all.show_reads();
    all.show(who.lone, {who.loop.lone, who.pwrite.lone});
    all.show(who.batched, {who.loop.batched, who.pwrite.batched});
    if (writers == 1) {
        all.chart("append by record size, visible", "bytes a record", Bytes);
        all.chart("read everything by record size", "bytes a record", Bytes, true);
    }
    if constexpr (Bytes == 100) {
        if (writers != 1) {
            return;
        }
        const std::string chronicle = "Chronicle's fastest mode";
        all.at_least(who.lone, who.of("Chronicle", false), chronicle, 1.5);
        all.show_best(who.loop.lone, who.of("Chronicle", false), chronicle);
        all.at_least(who.batched, who.of("Chronicle", false), chronicle, 4);
        all.show_best(who.loop.batched, who.of("Chronicle", false), chronicle);
        struct aim {
            const char* name;
            double least;
        };
        for (const aim& one : {aim{"LMDB", 8}, aim{"LevelDB", 25}, aim{"RocksDB", 25}, aim{"SQLite", 60}, aim{"Redis", 100}, aim{"NATS", 150}, aim{"Kafka", 15}}) {
            const std::string them = std::string{one.name} + " in batches of 100";
            all.at_least(who.lone, who.of(one.name, true), them, one.least);
            all.show_best(who.loop.lone, who.of(one.name, true), them);
        }
        all.show(who.lone, who.of("", true, true));
        all.show(who.batched, who.of("", true, true));
        for (const char* const language : {"Go ", "Rust "}) {
            for (const bool in_batches : {false, true}) {
                const std::size_t ours_so = in_batches ? who.batched : who.lone;
                all.show(ours_so, who.of(language, in_batches));
                all.show_reading(ours_so, who.of(language, in_batches));
            }
        }
        struct reading {
            std::vector<std::size_t> theirs;
            std::string them;
            double least;
        };
        for (const reading& one : {reading{who.of("Chronicle", false), chronicle, 1.2}, reading{who.of("LMDB", true), "LMDB", 2}}) {
            all.reading_at_least(who.lone, one.theirs, one.them, one.least);
            all.show_best_reading(who.loop.lone, one.theirs, one.them);
            all.reading_at_least(who.batched, one.theirs, one.them, one.least);
            all.show_best_reading(who.loop.batched, one.theirs, one.them);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "peers/append: appends beside peers, nothing synced", [](run& bench) {
        sizes size{};
        size.segment_bytes = bench.parameter("segment_mib", 16, 256) << 20;
        size.seconds = static_cast<double>(bench.parameter("milliseconds", 10, 400)) / 1e3;
        size.rounds = bench.parameter("rounds", 1, 5);
        bench.print_baselines();
        const brook_peer<100> us{size.segment_bytes};
        bench.peer(us.name(), us.version(), us.how());
        const bounds bare;
        for (const peer* const bound : {static_cast<const peer*>(&bare.loop), static_cast<const peer*>(&bare.pwrite)}) {
            bench.peer(bound->name(), bound->version(), bound->how());
        }
        const peers others = peers_present(bench);
        appends<100>(bench, size, others, 1);
        if (!bench.is_smoke()) {  // nothing new in them but figures
            appends<32>(bench, size, others, 1);
            appends<1024>(bench, size, others, 1);
        }
        appends<65536>(bench, size, others, 1);
        appends<100>(bench, size, others, 2);
    });
}
