/// \file peers/sqlite.hpp
/// SQLite as a log: a table with a growing integer key, in WAL mode.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "peers/peer.hpp"

namespace brook::bench {

class sqlite_peer final : public peer {
public:
    ~sqlite_peer() override { close(); }

    [[nodiscard]] std::string name() const override { return "SQLite"; }
    [[nodiscard]] std::string version() const override { return sqlite3_libversion(); }
    [[nodiscard]] std::string how() const override {
        return "one transaction a batch, prepared statements, integer primary key, WAL, locking_mode=exclusive, checkpoints every 64 MiB, pages "
               "of 64 KiB for values of 16 KiB or more; "
               "synchronous=off visible, full synced. It builds a B-tree and checksums its log; its writers take turns at one connection";
    }

    void open(const std::string& directory, const workload& what) override {
        open_database(directory, what);
        run("create table log(number integer primary key, value blob)");
        prepare();
    }

    bool reopen(const std::string& directory, const workload& what) override {
        open_database(directory, what);
        prepare();
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            std::optional<std::scoped_lock<std::mutex>> turn;
            if (what.writers > 1) {
                turn.emplace(turns_);
            }
            if (count > 1) {
                step(begin_);
            }
            for (std::uint32_t i = 0; i < count; ++i) {
                check(sqlite3_bind_blob(insert_, 1, what.value(first, i), static_cast<int>(what.value_bytes), SQLITE_STATIC), "bind");
                step(insert_);
            }
            if (count > 1) {
                step(commit_);
            }
        });
    }

    found read() override {
        return timed_read([&](found& all) {
            sqlite3_stmt* rows = statement("select value from log order by number");
            int status = 0;
            while ((status = sqlite3_step(rows)) == SQLITE_ROW) {
                all.sum += first_byte(sqlite3_column_blob(rows, 0));
                ++all.records;
            }
            sqlite3_finalize(rows);
            check(status == SQLITE_DONE ? SQLITE_OK : status, "read");
        });
    }

    void close() override {
        for (sqlite3_stmt** one : {&begin_, &insert_, &commit_}) {
            sqlite3_finalize(*one);
            *one = nullptr;
        }
        sqlite3_close(database_);
        database_ = nullptr;
    }

private:
    void check(int status, const char* what) {
        if (status != SQLITE_OK) {
            fail(std::string{"sqlite "} + what, sqlite3_errmsg(database_));
        }
    }

    void run(const std::string& text) { check(sqlite3_exec(database_, text.c_str(), nullptr, nullptr, nullptr), text.c_str()); }

    [[nodiscard]] sqlite3_stmt* statement(const char* text) {
        sqlite3_stmt* made = nullptr;
        check(sqlite3_prepare_v2(database_, text, -1, &made, nullptr), text);
        return made;
    }

    void step(sqlite3_stmt* what) {
        check(sqlite3_step(what) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR, "step");
        check(sqlite3_reset(what), "reset");
    }

    void open_database(const std::string& directory, const workload& what) {
        check(sqlite3_open((directory + "/sqlite.db").c_str(), &database_), "open");
        const int page = what.value_bytes >= 16 << 10 ? 64 << 10 : 4 << 10;
        run("pragma page_size=" + std::to_string(page));
        run("pragma locking_mode=exclusive");
        run("pragma journal_mode=wal");
        run(what.level == durability::synced ? "pragma synchronous=full" : "pragma synchronous=off");
        run("pragma wal_autocheckpoint=" + std::to_string((64 << 20) / page));
        run("pragma cache_size=-65536");
    }

    void prepare() {
        begin_ = statement("begin");
        insert_ = statement("insert into log(value) values(?)");
        commit_ = statement("commit");
    }

    sqlite3* database_ = nullptr;
    sqlite3_stmt* begin_ = nullptr;
    sqlite3_stmt* insert_ = nullptr;
    sqlite3_stmt* commit_ = nullptr;
    std::mutex turns_;  // guards the connection
};

}  // namespace brook::bench
