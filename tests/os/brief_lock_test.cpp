#include <brook/os/brief_lock.hpp>  // first, so that it must stand alone

#include <brook/os/posix.hpp>

#include "support/catch.hpp"
#include "support/counting_threads.hpp"

namespace os_brief_lock_test {

TEST_CASE("brief_lock lets one thread in at a time", "[os][brief_lock]") {
    brook::os::brief_lock lock{brook::os::posix()};
    CHECK(brook::test::counted_by_four(lock, 50'000, 1'000) == 200'000);  // the others lose patience
}

}  // namespace os_brief_lock_test
