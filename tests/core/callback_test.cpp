#include <brook/core/callback.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/catch.hpp"

namespace core_callback_test {

namespace {

struct metadata {
    std::int64_t offset = 0;
};
using on_delivery = brook::callback<void(const metadata&, std::error_code)>;

struct options {
    int before = 0;
    on_delivery callback = nullptr;
};

int twice(int number) { return 2 * number; }

static_assert(std::is_copy_constructible_v<on_delivery> && std::is_nothrow_move_constructible_v<on_delivery>);
static_assert(std::is_nothrow_move_assignable_v<on_delivery> && std::is_nothrow_destructible_v<on_delivery>);
static_assert(!std::is_convertible_v<on_delivery, bool>);
static_assert(!std::is_constructible_v<on_delivery, int> && !std::is_constructible_v<on_delivery, void (*)(int)>);
static_assert(!std::is_constructible_v<brook::callback<int()>, void (*)()>);

TEST_CASE("a callback is nothing until it is given a target", "[core][callback]") {
    CHECK_FALSE(on_delivery{});
    CHECK_FALSE(on_delivery{nullptr});
    CHECK_FALSE(options{}.callback);
    CHECK_FALSE(options{.before = 1, .callback = nullptr}.callback);
    int (*function)(int) = nullptr;
    CHECK_FALSE(brook::callback<int(int)>{function});

    options set{.before = 1, .callback = [](const metadata&, std::error_code) {}};
    CHECK(set.callback);
    set.callback = nullptr;
    CHECK_FALSE(set.callback);
}

TEST_CASE("a callback hands over its arguments and returns the result", "[core][callback]") {
    SECTION("to a lambda that captures") {
        std::int64_t seen = 0;
        int failed = 0;
        const options set{.callback = [&seen, &failed](const metadata& at, std::error_code ec) {
            ec ? static_cast<void>(++failed) : static_cast<void>(seen = at.offset);
        }};
        set.callback(metadata{7}, {});
        CHECK(seen == 7);
        set.callback(metadata{8}, std::make_error_code(std::errc::io_error));
        CHECK(seen == 7);
        CHECK(failed == 1);
    }
    SECTION("to a function") {
        CHECK(brook::callback<int(int)>{twice}(21) == 42);
        CHECK(brook::callback<int(int)>{&twice}(21) == 42);
    }
    SECTION("whose result nobody wants") {
        int calls = 0;
        const brook::callback<void()> callback = [&calls] { return ++calls; };
        callback();
        CHECK(calls == 1);
    }
    SECTION("that can only be moved") {
        const brook::callback<int(std::unique_ptr<int>)> callback = [](std::unique_ptr<int> number) { return *number; };
        CHECK(callback(std::make_unique<int>(3)) == 3);
    }
    SECTION("by reference, without a copy") {
        std::string text;
        const brook::callback<void(std::string&)> callback = [](std::string& to) { to += "x"; };
        callback(text);
        CHECK(text == "x");
    }
}

TEST_CASE("copies of a callback share one target, which lives as long as any of them", "[core][callback]") {
    auto owned = std::make_shared<int>(0);
    const std::weak_ptr<int> watched = owned;
    brook::callback<int()> first = [owned = std::move(owned), calls = 0]() mutable { return ++calls + *owned; };
    {
        const brook::callback<int()> second = first;
        CHECK(first() == 1);
        CHECK(second() == 2);
        first = nullptr;
        CHECK(second() == 3);
        CHECK_FALSE(watched.expired());
    }
    CHECK(watched.expired());
}

TEST_CASE("a target need not be copyable for its callback to be", "[core][callback]") {
    const brook::callback<int()> first = [number = std::make_unique<int>(5)] { return *number; };
    const brook::callback<int()> second = first;
    CHECK(second() == 5);
}

TEST_CASE("what a target throws reaches the caller", "[core][callback]") {
    const brook::callback<void()> callback = [] { throw std::system_error{std::make_error_code(std::errc::io_error)}; };
    CHECK_THROWS_AS(callback(), std::system_error);
}

}  // namespace

}  // namespace core_callback_test
