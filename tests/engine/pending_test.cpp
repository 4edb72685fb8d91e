#include <brook/engine/pending.hpp>

#include <memory>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace engine_pending_test {

using brook::errc;
using brook::failure;
using brook::engine::appended;
using brook::engine::failed_delivery;
using brook::engine::uncollected_failures;

namespace {

std::shared_ptr<failed_delivery> failed(int number) {
    return std::make_shared<failed_delivery>(failure{errc::record_too_large, std::to_string(number)});
}

}  // namespace

TEST_CASE("a failed delivery says why each time, and that it was asked", "[engine][pending]") {
    const auto delivery = failed(7);
    CHECK_FALSE(delivery->is_collected());
    appended done{5, 6};
    CHECK(delivery->wait(done).text == "7");
    CHECK(done.at == -1);
    CHECK(delivery->is_collected());
    CHECK(delivery->wait(done).text == "7");
}

TEST_CASE("the first failure that nobody asked for is told once", "[engine][pending]") {
    uncollected_failures failures;
    CHECK_FALSE(failures.take_first());
    const auto asked = failed(0);
    failures.add(asked);
    failures.add(failed(1));
    failures.add(failed(2));
    appended done;
    static_cast<void>(asked->wait(done));
    CHECK(failures.take_first().text == "1");
    CHECK_FALSE(failures.take_first());
}

TEST_CASE("no failure gets lost among many, whichever of them are asked for later", "[engine][pending]") {
    uncollected_failures failures;
    std::vector<std::shared_ptr<failed_delivery>> kept;
    for (int i = 0; i < 1'000; ++i) {
        kept.push_back(failed(i));
        failures.add(kept.back());
    }
    appended done;
    for (const auto& delivery : kept) {
        if (delivery->why().text != "777") {
            static_cast<void>(delivery->wait(done));
        }
    }
    CHECK(failures.take_first().text == "777");
}

TEST_CASE("failures that nobody keeps are not kept either, but for the first", "[engine][pending]") {
    uncollected_failures failures;
    std::vector<std::weak_ptr<failed_delivery>> all;
    for (int i = 0; i < 1'000; ++i) {
        const auto one = failed(i);
        all.push_back(one);
        failures.add(one);
    }
    std::size_t alive = 0;
    for (const auto& one : all) {
        alive += one.expired() ? 0 : 1;
    }
    CHECK(alive <= 128);
    CHECK(failures.take_first().text == "0");
}

}  // namespace engine_pending_test
