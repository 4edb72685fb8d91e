#include <brook/os/turn_lock.hpp>  // first, so that it must stand alone

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include <brook/os/posix.hpp>

#include "support/catch.hpp"

namespace os_turn_lock_test {

using brook::os::posix;
using brook::os::turn_lock;

TEST_CASE("turn_lock lets one thread in at a time", "[os][turn_lock]") {
    constexpr int threads = 4;
    constexpr std::int64_t rounds = 10'000;
    turn_lock lock{posix()};
    std::int64_t count = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&] {
            for (std::int64_t round = 0; round < rounds; ++round) {
                const std::scoped_lock held{lock};
                count = count + 1;
                if (round % 100 == 0) {
                    std::this_thread::yield();  // while it is held: the others go to sleep
                }
            }
        });
    }
    for (auto& one : all) {
        one.join();
    }
    CHECK(count == threads * rounds);
}

TEST_CASE("turn_lock tells who waits that a turn is over, also when the next has begun", "[os][turn_lock]") {
    turn_lock lock{posix()};
    for (int i = 0; i < 100; ++i) {
        std::atomic<bool> has_looked{false};
        lock.lock();
        std::thread other{[&] {
            const turn_lock::turn seen = lock.now();
            has_looked = true;
            lock.wait_for_end_of(seen);
        }};
        while (!has_looked) {
            std::this_thread::yield();
        }
        lock.unlock();
        lock.lock();
        other.join();
        lock.unlock();
    }
}

TEST_CASE("turn_lock gives the turn behind a pause once, and none behind what was a turn", "[os][turn_lock]") {
    turn_lock lock{posix()};
    const turn_lock::turn pause = lock.now();
    lock.wait_for_end_of(pause);
    REQUIRE(lock.try_lock(pause));
    CHECK_FALSE(lock.try_lock(pause));
    const turn_lock::turn taken = lock.now();
    CHECK(taken != pause);
    CHECK_FALSE(lock.try_lock(taken));
    lock.unlock();
    CHECK_FALSE(lock.try_lock(pause));
    CHECK_FALSE(lock.try_lock(taken));
    lock.wait_for_end_of(taken);
    CHECK(lock.try_lock(lock.now()));
    lock.unlock();
}

}  // namespace os_turn_lock_test
