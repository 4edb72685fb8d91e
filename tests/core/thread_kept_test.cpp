#include <brook/core/thread_kept.hpp>  // first, so that it must stand alone

#include <atomic>
#include <thread>

#include "support/catch.hpp"

namespace core_thread_kept_test {

using brook::thread_kept;

namespace {

std::atomic<int> made{0};
std::atomic<int> gone{0};

struct thing {
    int used = 0;
    thing() noexcept { ++made; }
    thing(const thing&) = delete;
    thing& operator=(const thing&) = delete;
    ~thing() { ++gone; }
};

/// Uses one when its thread is about to go: after those that were made later have gone.
struct late {
    int* seen = nullptr;
    ~late() {
        const thread_kept<thing> kept;
        *seen = kept ? kept->used : -1;
    }
};

}  // namespace

TEST_CASE("a thread keeps what it has used, and a second one that it needs meanwhile is another", "[core][thread_kept]") {
    made = gone = 0;
    std::thread{[] {
        {
            const thread_kept<thing> first;
            first->used = 1;
            const thread_kept<thing> second;
            CHECK(second->used == 0);
            second->used = 2;
        }
        CHECK(made == 2);
        CHECK(gone == 1);  // the one that came back later
        const thread_kept<thing> again;
        CHECK(again->used == 2);
    }}.join();
    CHECK(made == 2);
    CHECK(gone == 2);  // the other went with the thread
}

TEST_CASE("what is kept is the thread's own, and what asks when the thread's objects go gets one that is not kept", "[core][thread_kept]") {
    made = gone = 0;
    int seen = -2;
    std::thread{[&seen] {
        static thread_local late last;
        last.seen = &seen;
        const thread_kept<thing> kept;
        CHECK(kept->used == 0);
        kept->used = 7;
    }}.join();
    CHECK(seen == 0);
    CHECK(made == 2);
    CHECK(gone == 2);
}

}  // namespace core_thread_kept_test
