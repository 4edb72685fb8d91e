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

namespace brook::bench {

namespace {

template <class Peer>
[[maybe_unused]] known_peer there(const char* name) {
    return {name, {}, [] { return std::make_unique<Peer>(); }};
}

[[maybe_unused]] known_peer missing(const char* name, const char* what) {
    return {name, std::string{what} + " was not found when this was configured", {}};
}

}  // namespace

std::vector<known_peer> known_peers() {
    std::vector<known_peer> all;
#ifdef BROOK_BENCH_HAS_LMDB
    all.push_back(there<lmdb_peer>("LMDB"));
    all.push_back({"LMDB, prepared file", {}, [] { return std::make_unique<lmdb_peer>(lmdb_peer::file::prepared); }});
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
    return all;
}

}  // namespace brook::bench
