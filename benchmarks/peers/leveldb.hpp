/// \file peers/leveldb.hpp
/// LevelDB as a log: numbers as keys, written through its own log into its table in memory.
#pragma once

#include <leveldb/db.h>
#include <leveldb/write_batch.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "peers/peer.hpp"

namespace brook::bench {

class leveldb_peer final : public peer {
public:
    [[nodiscard]] std::string name() const override { return "LevelDB"; }
    [[nodiscard]] std::string version() const override {
        return std::to_string(leveldb::kMajorVersion) + "." + std::to_string(leveldb::kMinorVersion);
    }
    [[nodiscard]] std::string how() const override {
        return "one WriteBatch a batch, no compression, write_buffer_size of 512 MiB, so that nothing is compacted meanwhile; sync as the level "
               "says. It checksums its log "
               "(crc32c) and builds a skip list; writers who wait share a write and a sync";
    }

    void open(const std::string& directory, const workload&) override { open_database(directory); }

    bool reopen(const std::string& directory, const workload&) override {
        open_database(directory);
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        leveldb::WriteOptions options;
        options.sync = what.level == durability::synced;
        leveldb::WriteBatch batch;
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            batch.Clear();
            const std::uint64_t number = next_.fetch_add(count, std::memory_order_relaxed);
            for (std::uint32_t i = 0; i < count; ++i) {
                const auto key = sortable(number + i);
                batch.Put({key.data(), key.size()}, {reinterpret_cast<const char*>(what.value(first, i)), what.value_bytes});
            }
            check(database_->Write(options, &batch), "leveldb write");
        });
    }

    found read() override {
        return timed_read([&](found& all) {
            const std::unique_ptr<leveldb::Iterator> at{database_->NewIterator({})};
            for (at->SeekToFirst(); at->Valid(); at->Next()) {
                all.sum += first_byte(at->value().data());
                ++all.records;
            }
            check(at->status(), "leveldb read");
        });
    }

    void close() override { database_.reset(); }

private:
    static void check(const leveldb::Status& status, const char* what) {
        if (!status.ok()) {
            fail(what, status.ToString());
        }
    }

    void open_database(const std::string& directory) {
        leveldb::Options options;
        options.create_if_missing = true;
        options.compression = leveldb::kNoCompression;
        options.write_buffer_size = std::size_t{512} << 20;
        leveldb::DB* made = nullptr;
        check(leveldb::DB::Open(options, directory + "/leveldb", &made), "leveldb open");
        database_.reset(made);
        next_ = 0;
    }

    std::unique_ptr<leveldb::DB> database_;
    std::atomic<std::uint64_t> next_{0};
};

}  // namespace brook::bench
