#include <brook/broker/request_outcome.hpp>  // first, so that it must stand alone

#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_memory.hpp"

namespace broker_request_outcome_test {

using namespace brook;
using brook::broker_room::request_outcome;
using brook::test::failing_memory;

TEST_CASE("whoever looks for an outcome finds it once it has been told", "[broker][cluster]") {
    request_outcome told;
    failure why;
    std::vector<std::byte> result;
    CHECK_FALSE(told.take(why, result));
    const std::vector<std::byte> answer(100, std::byte{7});
    told.tell({errc::timed_out, "nobody answered"}, answer);
    REQUIRE(told.take(why, result));
    CHECK(why.code == errc::timed_out);
    CHECK(why.text == "nobody answered");
    CHECK(result == answer);
}

TEST_CASE("an answer that there is no memory for says so, and whoever brings it is not stopped", "[broker][cluster]") {
    request_outcome told;
    const std::vector<std::byte> answer(100, std::byte{7});
    const failure long_one{errc::timed_out, std::string(100, 'x')};
    const auto allocation = GENERATE(1u, 2u);
    {
        const failing_memory none{allocation};
        told.tell(long_one, answer);
        CHECK(failing_memory::has_failed());
    }
    failure why;
    std::vector<std::byte> result;
    REQUIRE(told.take(why, result));
    CHECK(why.code == std::errc::not_enough_memory);
}

}  // namespace broker_request_outcome_test
