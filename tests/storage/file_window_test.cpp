#include <brook/storage/file_window.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <string>

#include "support/catch.hpp"
#include "support/text_file.hpp"

namespace storage_file_window_test {

using namespace brook;
using brook::storage::file_window;
using brook::test::text_file;

namespace {

std::string numbers(std::size_t size) {
    std::string text;
    while (text.size() < size) {
        text += std::to_string(text.size()) + ' ';
    }
    text.resize(size);
    return text;
}

}  // namespace

TEST_CASE("file_window gives every byte of a file, read ahead and read once", "[storage][file_window]") {
    text_file file{numbers(1'000'000)};
    file_window window{file};
    window.set_end(1'000'000);
    for (std::size_t at = 0; at + 10 <= 1'000'000; at += 10) {
        const std::byte* const seen = window.look(at, 10);
        REQUIRE(seen != nullptr);
        REQUIRE(as_text({seen, 10}) == std::string_view{file.content}.substr(at, 10));
    }
    CHECK(file.bytes_read <= 1'000'000 + 10 * 4);
    CHECK(file.reads <= 4);

    CHECK(as_text({window.look(5, 999'995), 999'995}) == std::string_view{file.content}.substr(5));  // larger than it was
    CHECK(as_text({window.look(0, 3), 3}) == std::string_view{file.content}.substr(0, 3));
    CHECK_FALSE(window.healed());
}

TEST_CASE("file_window shows what it read until it is told to forget", "[storage][file_window]") {
    text_file file{numbers(1'000)};
    file_window window{file};
    window.set_end(1'000);
    const char before = file.content[7];
    CHECK(as_text({window.look(7, 1), 1})[0] == before);
    file.content[7] = '#';
    CHECK(as_text({window.look(7, 1), 1})[0] == before);
    window.forget();
    CHECK(as_text({window.look(7, 1), 1})[0] == '#');
}

TEST_CASE("file_window names the page that cannot be read, and gives what lies around it", "[storage][file_window]") {
    text_file file{numbers(100'000)};
    file.bad_pages = {5};
    file_window window{file};
    window.set_end(100'000);
    CHECK(as_text({window.look(0, 5 * 4096), 5 * 4096}) == std::string_view{file.content}.substr(0, 5 * 4096));
    for (const std::size_t at : {5 * 4096ul - 1, 5 * 4096ul, 6 * 4096ul - 2}) {
        CAPTURE(at);
        CHECK(window.look(at, 2) == nullptr);
        CHECK(window.failed().begin == 5 * 4096);
        CHECK(window.failed().end == 6 * 4096);
        CHECK(window.failed().code == std::errc::io_error);
    }
    CHECK(as_text({window.look(6 * 4096, 100), 100}) == std::string_view{file.content}.substr(6 * 4096, 100));
    CHECK_FALSE(window.healed());
}

TEST_CASE("file_window tells of a read that went well when it was repeated", "[storage][file_window]") {
    text_file file{numbers(10'000)};
    file.failing_reads = 1;
    file_window window{file};
    window.set_end(10'000);
    CHECK(as_text({window.look(4'000, 100), 100}) == std::string_view{file.content}.substr(4'000, 100));
    REQUIRE(window.healed());
    CHECK(window.healed()->begin == 4'000);
    CHECK(window.healed()->code == std::errc::io_error);
}

}  // namespace storage_file_window_test
