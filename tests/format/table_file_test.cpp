#include <brook/format/table_file.hpp>  // first, so that it must stand alone

#include <cstdint>

#include "support/catch.hpp"

namespace format_table_file_test {

using namespace brook;
using namespace brook::format;

TEST_CASE("a table's file counts when its header is whole, of this version, and can be", "[format][table_file]") {
    table_file_header header{};
    header.version = format_version;
    header.covered = 1'000;
    header.entries = 30;
    header.segments = 2;
    REQUIRE(verifies(sealed(header)));
    CHECK(table_file_size(header) == sizeof(table_file_header) + 2 * sizeof(table_file_segment) + 30 * sizeof(table_file_entry) + 8);
    SECTION("another magic") { header.magic[0] = 'B'; }
    SECTION("another version") { header.version = format_version + 1; }
    SECTION("of nothing") { header.covered = 0; }
    SECTION("of more than a log can have") { header.covered = largest_offset + 1; }
    SECTION("a flag that is not known") { header.flags = table_file_flag::known + 1; }
    SECTION("more entries than records") { header.entries = 1'001; }
    SECTION("more segments than entries") { header.segments = 31; }
    SECTION("more entries than can be counted in bytes") {
        header.covered = largest_offset;
        header.entries = static_cast<std::uint64_t>(largest_offset) / 64;
    }
    CHECK_FALSE(verifies(sealed(header)));
}

TEST_CASE("a table's file does not count with a checksum of something else", "[format][table_file]") {
    table_file_header header{};
    header.covered = 1'000;
    header = sealed(header);
    REQUIRE(verifies(header));
    header.covered = 999;
    CHECK_FALSE(verifies(header));
}

}  // namespace format_table_file_test
