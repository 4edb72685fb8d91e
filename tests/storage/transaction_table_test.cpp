#include <brook/storage/transaction_table.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <vector>

#include "support/catch.hpp"

namespace storage_transaction_table_test {

using brook::storage::transaction_fate;
using brook::storage::transaction_table;

TEST_CASE("transaction_table tells how each transaction ended, by what was told of its id", "[storage][transactions]") {
    transaction_table table;
    CHECK(table.fate(1, 0) == transaction_fate::aborted);  // nothing is known of it
    table.begin(1, 0);
    CHECK(table.fate(1, 0) == transaction_fate::open);
    CHECK(table.fate(1, 1) == transaction_fate::aborted);
    CHECK(table.fate(2, 0) == transaction_fate::aborted);
    table.commit(1, 0, {});
    CHECK(table.fate(1, 0) == transaction_fate::committed);
    table.begin(1, 1);
    table.abort(1);
    CHECK(table.fate(1, 1) == transaction_fate::aborted);
    CHECK(table.fate(1, 0) == transaction_fate::committed);
    table.begin(1, 2);
    CHECK(table.fate(1, 1) == transaction_fate::aborted);
    table.commit(1, 2, {1});
    CHECK(table.fate(1, 0) == transaction_fate::committed);
    CHECK(table.fate(1, 1) == transaction_fate::aborted);
    CHECK(table.fate(1, 2) == transaction_fate::committed);
    CHECK(table.fate(1, 3) == transaction_fate::aborted);
}

TEST_CASE("transaction_table passes nothing off as aborted once what was told is damaged", "[storage][transactions]") {
    transaction_table table;
    table.recall(1, 3, {2}, {1});
    table.set_readable(false);
    CHECK(table.fate(1, 1) == transaction_fate::unknown);
    CHECK(table.fate(1, 3) == transaction_fate::committed);
    CHECK(table.fate(1, 2) == transaction_fate::aborted);
    CHECK(table.fate(1, 4) == transaction_fate::unknown);
    CHECK(table.fate(7, 0) == transaction_fate::unknown);
}

}  // namespace storage_transaction_table_test
