// The peers that this build has, compiled once for all programs. What was not found is named with the reason.
#include "peers/peer.hpp"

#ifdef BROOK_BENCH_HAS_LMDB
#include "peers/lmdb.hpp"
#endif
#ifdef BROOK_BENCH_HAS_LEVELDB
#include "peers/leveldb.hpp"
#endif
#ifdef BROOK_BENCH_HAS_ROCKSDB
#include "peers/rocksdb.hpp"
#endif
#ifdef BROOK_BENCH_HAS_SQLITE
#include "peers/sqlite.hpp"
#endif
#if defined(BROOK_BENCH_HAS_CHRONICLE_3) || defined(BROOK_BENCH_HAS_CHRONICLE_5)
#include "peers/chronicle.hpp"
#endif
#if defined(BROOK_BENCH_HAS_GO) || defined(BROOK_BENCH_HAS_RUST)
#include "peers/process_peer.hpp"
#endif
#ifdef BROOK_BENCH_HAS_REDIS
#include "peers/redis.hpp"
#endif
#ifdef BROOK_BENCH_HAS_NATS
#include "peers/nats.hpp"
#endif
#ifdef BROOK_BENCH_HAS_KAFKA
#include "peers/kafka.hpp"
#endif

namespace brook::bench {

namespace {

template <class Peer>
[[maybe_unused]] known_peer there(const char* name) {
    return {name, {}, [] { return std::make_unique<Peer>(); }, false};
}

[[maybe_unused]] known_peer missing(const char* name, const char* what) {
    return {name, std::string{what} + " was not found when this was configured", {}, false};
}

#ifdef BROOK_BENCH_HAS_CHRONICLE_3
const chronicle_library chronicle_3{BROOK_BENCH_CHRONICLE_3_CLASS_PATH, "ChronicleThree", BROOK_BENCH_CHRONICLE_3_VERSION};
#endif
#ifdef BROOK_BENCH_HAS_CHRONICLE_5
const chronicle_library chronicle_5{BROOK_BENCH_CHRONICLE_5_CLASS_PATH, "ChronicleFive", BROOK_BENCH_CHRONICLE_5_VERSION};
#endif
#if defined(BROOK_BENCH_HAS_CHRONICLE_3) || defined(BROOK_BENCH_HAS_CHRONICLE_5)
template <chronicle_peer::file How>
known_peer chronicle(const char* mode, const char* title, const chronicle_library& library) {
    return {title, {}, [mode, title, &library] { return std::make_unique<chronicle_peer>(library, mode, title, How); }, false};
}
#endif

#if defined(BROOK_BENCH_HAS_GO) || defined(BROOK_BENCH_HAS_RUST)
known_peer foreign(const foreign_log& log) {
    return {log.title, {}, [&log] { return std::make_unique<foreign_log_peer>(log); }, false};
}
#endif
#ifdef BROOK_BENCH_HAS_GO
const foreign_log tidwall_wal{
    "Go tidwall/wal", "wal", BROOK_BENCH_GO_PROGRAM,
    "Write, or WriteBatch, one call to the system each, NoSync as the level says, NoCopy; writers take turns by a mutex, since an entry says its index. "
    "It has no checksum, no time stamp, no group commit; each segment of 20 MiB is synced when it is full, whatever the level, and the newest is kept in memory, too",
    ""};
#endif
#ifdef BROOK_BENCH_HAS_RUST
const foreign_log raft_engine{
    "Rust raft-engine", "raft-engine", BROOK_BENCH_RUST_PROGRAM,
    "one LogBatch a batch, no compression, sync as the level says; each producer has a Raft group of its own. It checksums (crc32) each batch, and "
    "keeps where each entry is in memory; writers who wait share a write and a sync; no time stamp",
    ""};
const foreign_log commit_log{
    "Rust commitlog", "commitlog", BROOK_BENCH_RUST_PROGRAM,
    "append_msg, or append of a MessageBuf, one call to the system each, and an entry for each record in a mapped index; writers take turns by a mutex. It checksums "
    "(crc32c) each record when it is written; no time stamp",
    "what it calls flush leaves its segments in the page cache (its issue 52)"};
#endif

}  // namespace

std::vector<known_peer> known_peers() {
    std::vector<known_peer> all;
#ifdef BROOK_BENCH_HAS_CHRONICLE_3
    using file = chronicle_peer::file;
    all.push_back(chronicle<file::as_documented>("indexed", "Chronicle 3, indexed", chronicle_3));
    all.push_back(chronicle<file::prepared>("indexed", "Chronicle 3, indexed, prepared file", chronicle_3));
    all.push_back(chronicle<file::as_documented>("vanilla", "Chronicle 3, vanilla", chronicle_3));
#else
    all.push_back(missing("Chronicle 3", "javac, or openhft-chronicle.jar,"));
#endif
#ifdef BROOK_BENCH_HAS_CHRONICLE_5
    all.push_back(chronicle<chronicle_peer::file::as_documented>("single", "Chronicle 5", chronicle_5));
    all.push_back(chronicle<chronicle_peer::file::as_documented>("pretouched", "Chronicle 5, pretoucher", chronicle_5));
#else
    all.push_back(missing("Chronicle 5", "javac, or chronicle-queue-5 (benchmarks/peers/need.sh fetches it),"));
#endif
#ifdef BROOK_BENCH_HAS_GO
    all.push_back(foreign(tidwall_wal));
#else
    all.push_back(missing("Go tidwall/wal", "go, 1.19 or later, or its modules (benchmarks/peers/need.sh fetches them),"));
#endif
#ifdef BROOK_BENCH_HAS_RUST
    all.push_back(foreign(raft_engine));
    all.push_back(foreign(commit_log));
#else
    all.push_back(missing("Rust raft-engine", "cargo, 1.80 or later, or its crates (benchmarks/peers/need.sh fetches them),"));
    all.push_back(missing("Rust commitlog", "cargo, 1.80 or later, or its crates (benchmarks/peers/need.sh fetches them),"));
#endif
#ifdef BROOK_BENCH_HAS_LMDB
    all.push_back(there<lmdb_peer>("LMDB"));
    all.push_back({"LMDB, prepared file", {}, [] { return std::make_unique<lmdb_peer>(lmdb_peer::file::prepared); }, false});
#else
    all.push_back(missing("LMDB", "lmdb.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_LEVELDB
    all.push_back(there<leveldb_peer>("LevelDB"));
#else
    all.push_back(missing("LevelDB", "leveldb/db.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_ROCKSDB
    all.push_back(there<rocksdb_peer>("RocksDB"));
#else
    all.push_back(missing("RocksDB", "rocksdb/db.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_SQLITE
    all.push_back(there<sqlite_peer>("SQLite"));
#else
    all.push_back(missing("SQLite", "sqlite3.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_REDIS
    all.push_back(there<redis_peer>("Redis Streams"));
#else
    all.push_back(missing("Redis Streams", "hiredis.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_NATS
    all.push_back(there<nats_peer>("NATS JetStream"));
#else
    all.push_back(missing("NATS JetStream", "nats.h or its library"));
#endif
#ifdef BROOK_BENCH_HAS_KAFKA
    all.push_back({"Kafka", {}, [] { return std::make_unique<kafka_peer>(BROOK_BENCH_KAFKA_JARS, BROOK_BENCH_KAFKA_VERSION); }, *BROOK_BENCH_KAFKA_JARS != '\0'});
#else
    all.push_back(missing("Kafka", "rdkafka.h or its library"));
#endif
    return all;
}

}  // namespace brook::bench
