#include <brook/storage/segment_doubt.hpp>  // first, so that it must stand alone

#include <cstring>
#include <system_error>

#include "support/catch.hpp"
#include "support/partition.hpp"

namespace storage_segment_doubt_test {

using namespace brook;
using namespace brook::test;
using brook::storage::compare_with_disk;

TEST_CASE("a segment is compared with the disk in one read, however long it is", "[storage][segment_doubt]") {
    partition orders;
    storage::segment_directory files{orders.platform, orders.path(), orders.name};
    failure why;
    const auto made = [&](offset base, char last) {
        storage::segment_pin pin = files.create(base, mib, 600 * kib, why);
        REQUIRE(pin);
        std::memset(pin->frame(4 * kib), 'x', 500 * kib);
        std::memset(pin->frame(504 * kib - 1), last, 1);
        REQUIRE_FALSE(pin->log_file().sync());
        return pin;
    };
    const auto one = made(0, 'x');
    const auto other = made(1, 'y');
    orders.platform.forget_calls();
    const auto code = compare_with_disk(one->log_file(), *one, 0, one->readable());
    if (code == std::errc::not_supported) {
        WARN("skipped: this file system has only the page cache to read from");
        return;
    }
    CHECK_FALSE(code);
    CHECK(orders.platform.calls(operation::read_from_disk) == 1);
    CHECK(compare_with_disk(one->log_file(), *other, 4 * kib, one->readable()) == std::errc::io_error);  // in its last byte
    CHECK_FALSE(compare_with_disk(one->log_file(), *other, 4 * kib, 504 * kib - 1));
    one->set_search_end(500 * kib);  // behind it zeros are shown
    CHECK(compare_with_disk(one->log_file(), *one, 4 * kib, one->readable()) == std::errc::io_error);
    CHECK_FALSE(compare_with_disk(one->log_file(), *one, 504 * kib, one->readable()));
    CHECK_FALSE(compare_with_disk(one->log_file(), *one, 504 * kib, 4 * kib));  // nothing
}

}  // namespace storage_segment_doubt_test
