#include <brook/core/error.hpp>  // first, so that it must stand alone

#include <cerrno>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>

#include "support/catch.hpp"

namespace core_error_test {

namespace {

static_assert(std::is_base_of_v<std::system_error, brook::error>);
static_assert(std::is_error_code_enum_v<brook::errc>);
static_assert(std::is_nothrow_move_constructible_v<brook::failure>);

TEST_CASE("an error is branched on by its code and read by its text", "[core][error]") {
    try {
        brook::throw_error(brook::errc::closed, "topic ticks: the broker has been closed");
        FAIL("nothing was thrown");
    } catch (const std::system_error& error) {
        CHECK(error.code() == brook::errc::closed);
        CHECK(error.code() != brook::errc::forked);
        CHECK(std::string{error.what()}.find("topic ticks: the broker has been closed") != std::string::npos);
        CHECK(std::string{error.what()}.find("closed") != std::string::npos);
    }
}

TEST_CASE("every code has a message of its own, and none is success", "[core][error]") {
    std::set<std::string> messages;
    for (int code = 1; code <= static_cast<int>(brook::errc::illegal_state); ++code) {
        CAPTURE(code);
        const std::error_code made = static_cast<brook::errc>(code);
        CHECK(made);
        CHECK(made.category() == brook::brook_category());
        CHECK(made.message() != "unknown brook error");
        CHECK(messages.insert(made.message()).second);
    }
    CHECK(brook::brook_category().message(0) == "unknown brook error");
    CHECK(std::string{brook::brook_category().name()} == "brook");
}

TEST_CASE("what the system refused keeps the system's own code", "[core][error]") {
    try {
        brook::throw_system_error(ENOSPC, "growing /data/ticks/0/00000000000000000000.log");
        FAIL("nothing was thrown");
    } catch (const brook::error& error) {
        CHECK(error.code() == std::errc::no_space_on_device);
        CHECK(error.code().value() == ENOSPC);
        CHECK(error.code().category() == std::system_category());
        CHECK(std::string{error.what()}.find("growing /data/ticks/0") != std::string::npos);
    }
}

TEST_CASE("a failure keeps an error until somebody asks", "[core][error]") {
    CHECK_FALSE(brook::failure{});
    const brook::failure kept{brook::errc::partition_failed, "partition ticks-1: fsync failed"};
    REQUIRE(kept);
    try {
        kept.raise();
        FAIL("nothing was thrown");
    } catch (const brook::error& error) {
        CHECK(error.code() == brook::errc::partition_failed);
        CHECK(std::string{error.what()}.find("ticks-1") != std::string::npos);
    }
}

TEST_CASE("what was thrown keeps its code, whoever threw it", "[core][error]") {
    const brook::failure ours = brook::failure_of(brook::error{brook::errc::corrupt_record, "page 3"});
    CHECK(ours.code == brook::errc::corrupt_record);
    CHECK(ours.text == "page 3");
    const brook::failure systems = brook::failure_of(std::system_error{std::make_error_code(std::errc::io_error), "reading"});
    CHECK(systems.code == std::errc::io_error);
    CHECK(brook::failure_of(std::bad_alloc{}).code == std::errc::not_enough_memory);
    CHECK(brook::failure_of(std::length_error{"too long"}).code == std::errc::not_enough_memory);
    const brook::failure others = brook::failure_of(std::runtime_error{"a user's own"});
    CHECK(others.code == brook::errc::illegal_state);
    CHECK(others.text == "a user's own");
}

}  // namespace

}  // namespace core_error_test
