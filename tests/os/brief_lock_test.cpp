#include <brook/os/brief_lock.hpp>  // first, so that it must stand alone

#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include <brook/os/posix.hpp>

#include "support/catch.hpp"

namespace os_brief_lock_test {

TEST_CASE("brief_lock lets one thread in at a time", "[os][brief_lock]") {
    constexpr int threads = 4;
    constexpr std::int64_t rounds = 50'000;
    brook::os::brief_lock lock{brook::os::posix()};
    std::int64_t count = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&] {
            for (std::int64_t round = 0; round < rounds; ++round) {
                const std::scoped_lock held{lock};
                count = count + 1;
                if (round % 1'000 == 0) {
                    std::this_thread::yield();  // while it is held: the others lose patience
                }
            }
        });
    }
    for (auto& one : all) {
        one.join();
    }
    CHECK(count == threads * rounds);
}

}  // namespace os_brief_lock_test
