/// \file peers/lmdb.hpp
/// LMDB as a log: a B+ tree in a mapped file, with integer keys that are appended in order.
#pragma once

#include <lmdb.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "peers/peer.hpp"
#include "peers/prepared_file.hpp"

namespace brook::bench {

class lmdb_peer final : public peer {
public:
    /// `as_documented`: a sparse file, whose pages are made when they are written. `prepared`: it finds them, as brook does.
    enum class file { as_documented, prepared };

    explicit lmdb_peer(file how = file::as_documented) : file_{how} {}
    ~lmdb_peer() override { close(); }

    [[nodiscard]] std::string name() const override { return file_ == file::prepared ? "LMDB, prepared file" : "LMDB"; }
    [[nodiscard]] std::string version() const override {
        int numbers[3] = {};
        static_cast<void>(mdb_version(&numbers[0], &numbers[1], &numbers[2]));
        return std::to_string(numbers[0]) + "." + std::to_string(numbers[1]) + "." + std::to_string(numbers[2]);
    }
    [[nodiscard]] std::string how() const override {
        return std::string{"one transaction a batch, MDB_INTEGERKEY and MDB_APPEND; visible: MDB_WRITEMAP | MDB_NOSYNC; synced: no flags, so that "
                           "each commit syncs. "
                           "It builds a B+ tree and has no checksum; its writers take turns"} +
               (file_ == file::prepared ? ". The pages of its file are prepared behind its back, which it does not document" : "");
    }

    [[nodiscard]] std::string why_not(const workload& what) const override {
        return file_ == file::prepared && what.level == durability::synced ? "a prepared file is of use to a mapping that is written, and synced "
                                                            "it writes by pwrite" : "";
    }

    void open(const std::string& directory, const workload& what) override {
        open_environment(directory, what);
        if (file_ == file::prepared) {  // it has no more than a few pages yet: what follows them is a hole
            constexpr std::uint64_t begun = 64 << 10;
            prepare_file(directory + "/data.mdb", begun, begun + what.payload_bytes() + what.payload_bytes() / 4 + what.records * 24);
        }
        next_ = 0;
    }

    bool reopen(const std::string& directory, const workload& what) override {
        open_environment(directory, what);
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            MDB_txn* transaction = nullptr;
            check(mdb_txn_begin(environment_, nullptr, 0, &transaction), "mdb_txn_begin");  // waits for the other writers
            std::uint64_t number = next_;
            for (std::uint32_t i = 0; i < count; ++i, ++number) {
                MDB_val key{sizeof number, &number};
                MDB_val value{what.value_bytes, const_cast<std::byte*>(what.value(first, i))};
                check(mdb_put(transaction, table_, &key, &value, MDB_APPEND), "mdb_put");
            }
            next_ = number;
            check(mdb_txn_commit(transaction), "mdb_txn_commit");
        });
    }

    found read() override {
        return timed_read([&](found& all) {
            each(MDB_NEXT, [&](const MDB_val&, const MDB_val& value) {
                all.sum += first_byte(value.mv_data);
                ++all.records;
                return true;
            });
        });
    }

    std::uint64_t count_by_last() override {
        std::uint64_t number = 0;
        each(MDB_LAST, [&](const MDB_val& key, const MDB_val& value) {
            look_at(value.mv_data);
            std::memcpy(&number, key.mv_data, sizeof number);
            ++number;
            return false;
        });
        return number;
    }

    void close() override {
        if (environment_ != nullptr) {
            mdb_env_close(environment_);
            environment_ = nullptr;
        }
    }

private:
    static void check(int status, const char* what) {
        if (status != 0) {
            fail(what, mdb_strerror(status));
        }
    }

    void open_environment(const std::string& directory, const workload& what) {
        check(mdb_env_create(&environment_), "mdb_env_create");
        check(mdb_env_set_mapsize(environment_, std::size_t{8} << 30), "mdb_env_set_mapsize");
        const unsigned flags = what.level == durability::visible ? unsigned{MDB_WRITEMAP} | unsigned{MDB_NOSYNC} : 0u;
        check(mdb_env_open(environment_, directory.c_str(), flags, 0600), "mdb_env_open");
        MDB_txn* transaction = nullptr;
        check(mdb_txn_begin(environment_, nullptr, 0, &transaction), "mdb_txn_begin");
        check(mdb_dbi_open(transaction, nullptr, MDB_INTEGERKEY, &table_), "mdb_dbi_open");
        check(mdb_txn_commit(transaction), "mdb_txn_commit");
    }

    /// Hands keys and values to `look` as long as it says true.
    template <class Look>
    void each(MDB_cursor_op step, const Look& look) {
        MDB_txn* transaction = nullptr;
        MDB_cursor* cursor = nullptr;
        check(mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction), "mdb_txn_begin");
        check(mdb_cursor_open(transaction, table_, &cursor), "mdb_cursor_open");
        MDB_val key{};
        MDB_val value{};
        int status = 0;
        while ((status = mdb_cursor_get(cursor, &key, &value, step)) == 0 && look(key, value)) {
        }
        mdb_cursor_close(cursor);
        mdb_txn_abort(transaction);
        check(status == MDB_NOTFOUND ? 0 : status, "mdb_cursor_get");
    }

    file file_;
    MDB_env* environment_ = nullptr;
    MDB_dbi table_ = 0;
    std::uint64_t next_ = 0;  // guarded by the lock that a write transaction holds
};

}  // namespace brook::bench
