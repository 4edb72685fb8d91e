#include <brook/kafka/join_watch.hpp>

#include <chrono>
#include <cstdint>

#include "support/catch.hpp"

namespace kafka_join_watch_test {

using namespace std::chrono_literals;

using brook::kafka::join_watch;
using verdict = brook::kafka::join_watch::verdict;

namespace {

[[nodiscard]] verdict ask(join_watch& watch, std::chrono::nanoseconds trusted_after = std::chrono::nanoseconds::max()) {
    bool is_handed_over = false;
    const verdict told = watch.before_any_join([&] { is_handed_over = true; }, trusted_after);
    CHECK(is_handed_over == (told == verdict::handed_over));
    return told;
}

}  // namespace

TEST_CASE("a member commits nothing from a join on until it has the new generation", "[kafka][join_watch]") {
    join_watch watch;
    CHECK(ask(watch) == verdict::handed_over);  // one that is assigned to joins nothing
    watch.sent(join_watch::join_group);
    CHECK(ask(watch) == verdict::joining);
    watch.answered(join_watch::join_group);  // librdkafka looks at it in a moment
    CHECK(ask(watch) == verdict::joining);
    watch.sent(join_watch::join_group);  // a first one without a member's id is answered with one
    CHECK(ask(watch) == verdict::joining);
    const std::uint32_t seen = watch.changes();
    watch.sent(join_watch::sync_group);
    CHECK(ask(watch) == verdict::handed_over);
    watch.wait(seen, 1h);  // something has changed: it does not wait
}

TEST_CASE("what a heartbeat was answered is in doubt until it is seen what it leads to", "[kafka][join_watch]") {
    join_watch watch;
    watch.sent(join_watch::heartbeat);
    CHECK(ask(watch) == verdict::handed_over);
    watch.answered(join_watch::heartbeat);
    CHECK(ask(watch) == verdict::doubtful);
    CHECK(ask(watch, 0ns) == verdict::handed_over);  // by who may be wrong
    SECTION("by a request that was answered") {
        const std::uint64_t answers = watch.answers();
        watch.settle(answers);
        CHECK(ask(watch) == verdict::handed_over);
        watch.answered(join_watch::heartbeat);
        watch.settle(answers);  // that says nothing of the one after it
        CHECK(ask(watch) == verdict::doubtful);
    }
    SECTION("by the next one, which a steady member sends") {
        watch.sent(join_watch::heartbeat);
        CHECK(ask(watch) == verdict::handed_over);
    }
    SECTION("by the join") {
        watch.sent(join_watch::join_group);
        CHECK(ask(watch) == verdict::joining);
        watch.sent(join_watch::sync_group);
        CHECK(ask(watch) == verdict::handed_over);
    }
}

TEST_CASE("a join that is due holds commits back before it goes, and not for ever", "[kafka][join_watch]") {
    join_watch watch;
    watch.expect_join();
    CHECK(ask(watch) == verdict::handed_over);  // a protocol that has none
    watch.sent(join_watch::join_group);
    watch.sent(join_watch::sync_group);
    watch.expect_join();
    CHECK(ask(watch) == verdict::joining);
    SECTION("it comes") {
        watch.sent(join_watch::join_group);
        CHECK(ask(watch) == verdict::joining);
        watch.sent(join_watch::sync_group);
        CHECK(ask(watch) == verdict::handed_over);
    }
    SECTION("it does not") {
        watch.sent(join_watch::heartbeat);
        CHECK(ask(watch) == verdict::handed_over);
    }
}

}  // namespace kafka_join_watch_test
