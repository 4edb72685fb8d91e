#include <brook/os/thread.hpp>  // first, so that it must stand alone

#include <atomic>
#include <thread>

#include "support/catch.hpp"

namespace os_thread_test {

using brook::os::this_thread;
using brook::os::thread;

namespace {

struct visit {
    int calls = 0;
    const void* from = nullptr;

    static void run(void* with) {
        auto* const mine = static_cast<visit*>(with);
        ++mine->calls;
        mine->from = this_thread();
    }
};

}  // namespace

TEST_CASE("a thread runs its function once, elsewhere, and join waits for it", "[os][thread]") {
    thread beside;
    CHECK_FALSE(beside.is_running());
    for (int round = 1; round <= 3; ++round) {
        visit seen;
        beside.start(visit::run, &seen);
        CHECK(beside.is_running());
        beside.join();
        CHECK_FALSE(beside.is_running());
        CHECK(seen.calls == 1);
        CHECK(seen.from != nullptr);
        CHECK(seen.from != this_thread());
    }
}

TEST_CASE("a thread that is detached runs on, and its object may go or start another", "[os][thread]") {
    static std::atomic<int> stage{0};
    {
        thread beside;
        beside.start([](void*) {
            stage = 1;
            while (stage != 2) {
                std::this_thread::yield();
            }
            stage = 3;
        }, nullptr);
        while (stage != 1) {
            std::this_thread::yield();
        }
        beside.detach();
        CHECK_FALSE(beside.is_running());
        visit seen;
        beside.start(visit::run, &seen);
        beside.join();
        CHECK(seen.calls == 1);
    }
    stage = 2;
    while (stage != 3) {
        std::this_thread::yield();
    }
}

TEST_CASE("a thread is always the same to itself", "[os][thread]") {
    CHECK(this_thread() == this_thread());
}

}  // namespace os_thread_test
