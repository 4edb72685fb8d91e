/// \file peers/rocksdb.hpp
/// RocksDB as a log: numbers as keys, written through its write-ahead log into its table in memory.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "peers/peer.hpp"

namespace brook::bench {

class rocksdb_peer final : public peer {
public:
    [[nodiscard]] std::string name() const override { return "RocksDB"; }
    [[nodiscard]] std::string version() const override {
        return std::to_string(ROCKSDB_MAJOR) + "." + std::to_string(ROCKSDB_MINOR) + "." + std::to_string(ROCKSDB_PATCH);
    }
    [[nodiscard]] std::string how() const override {
        return "one WriteBatch a batch, the write-ahead log on, no compression, write_buffer_size of 512 MiB, so that nothing is compacted "
               "meanwhile (its default, 64 MiB, for a GiB or more); sync as the level says. "
               "It checksums its log (crc32c) and builds a skip list; writers who wait share a write and a sync";
    }

    void open(const std::string& directory, const workload& what) override { open_database(directory, what); }

    bool reopen(const std::string& directory, const workload& what) override {
        open_database(directory, what);
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        rocksdb::WriteOptions options;
        options.sync = what.level == durability::synced;
        rocksdb::WriteBatch batch;
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            batch.Clear();
            const std::uint64_t number = next_.fetch_add(count, std::memory_order_relaxed);
            for (std::uint32_t i = 0; i < count; ++i) {
                const auto key = sortable(number + i);
                check(batch.Put(rocksdb::Slice{key.data(), key.size()},
                                rocksdb::Slice{reinterpret_cast<const char*>(what.value(first, i)), what.value_bytes}), "rocksdb put");
            }
            check(database_->Write(options, &batch), "rocksdb write");
        });
    }

    found read() override {
        return timed_read([&](found& all) {
            const std::unique_ptr<rocksdb::Iterator> at{database_->NewIterator({})};
            for (at->SeekToFirst(); at->Valid(); at->Next()) {
                all.sum += first_byte(at->value().data());
                ++all.records;
            }
            check(at->status(), "rocksdb read");
        });
    }

    std::uint64_t count_by_last() override {
        const std::unique_ptr<rocksdb::Iterator> at{database_->NewIterator({})};
        at->SeekToLast();
        check(at->status(), "rocksdb read");
        if (!at->Valid()) {
            return 0;
        }
        look_at(at->value().data());
        std::uint64_t number = 0;
        std::memcpy(&number, at->key().data(), sizeof number);
        return __builtin_bswap64(number) + 1;
    }

    void close() override { database_.reset(); }

private:
    static void check(const rocksdb::Status& status, const char* what) {
        if (!status.ok()) {
            fail(what, status.ToString());
        }
    }

    void open_database(const std::string& directory, const workload& what) {
        rocksdb::Options options;
        options.create_if_missing = true;
        options.compression = rocksdb::kNoCompression;
        if (what.payload_bytes() <= std::size_t{384} << 20) {
            options.write_buffer_size = std::size_t{512} << 20;
        }
        rocksdb::DB* made = nullptr;
        check(rocksdb::DB::Open(options, directory + "/rocksdb", &made), "rocksdb open");
        database_.reset(made);
        next_ = 0;
    }

    std::unique_ptr<rocksdb::DB> database_;
    std::atomic<std::uint64_t> next_{0};
};

}  // namespace brook::bench
