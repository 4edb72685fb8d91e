#include <brook/os/turn_lock.hpp>  // first, so that it must stand alone

#include <atomic>
#include <thread>

#include <brook/os/posix.hpp>

#include "support/catch.hpp"
#include "support/counting_threads.hpp"

namespace os_turn_lock_test {

using brook::os::posix;
using brook::os::turn_lock;

TEST_CASE("turn_lock lets one thread in at a time", "[os][turn_lock]") {
    turn_lock lock{posix()};
    CHECK(brook::test::counted_by_four(lock, 10'000, 100) == 40'000);  // the others go to sleep
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
