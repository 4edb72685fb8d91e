#include <brook/format/epoch_history.hpp>  // first, so that it must stand alone

#include <tuple>

#include "support/catch.hpp"

namespace format_epoch_history_test {

using namespace brook;
using namespace brook::format;

TEST_CASE("an epoch ends where the next one begins, or with the log", "[format][epoch_history]") {
    epoch_history history;
    history.note(2, 10);
    history.note(2, 14);  // goes on
    history.note(5, 20);
    CHECK(history.last() == 5);
    CHECK_FALSE(history.knows(1));
    CHECK(history.knows(2));
    CHECK_FALSE(epoch_history{}.knows(2));
    CHECK(history.at(9) == 0);
    CHECK(history.at(10) == 2);
    CHECK(history.at(19) == 2);
    CHECK(history.at(20) == 5);
    CHECK(history.starts() == std::vector<epoch_start>{{2, 10}, {5, 20}});
    const auto [asked, epoch, end] = GENERATE(Catch::Generators::table<std::uint32_t, std::uint32_t, offset>({
        {2, 2, 20},
        {5, 5, 30},
        {9, 5, 30},   // the largest below
        {4, 2, 20},
        {1, 0, 10},   // older than all: it ended where what is known begins
    }));
    CAPTURE(asked);
    CHECK(history.end_of(asked, 30) == log_end{epoch, end});
    CHECK(history.knows(asked) == (asked >= 2));
}

TEST_CASE("a history that is cut forgets the epochs that begin behind that", "[format][epoch_history]") {
    epoch_history history{{{1, 0}, {2, 10}, {3, 20}}};
    history.cut(15);
    CHECK(history.last() == 2);
    history.cut(10);
    CHECK(history.last() == 1);
    history.cut(0);
    CHECK(history.empty());
    CHECK(history.last() == 0);
    CHECK(history.end_of(7, 0) == log_end{0, 0});
}

TEST_CASE("a history whose beginning goes keeps the epoch that the log begins in", "[format][epoch_history]") {
    epoch_history history{{{1, 0}, {2, 10}, {3, 20}}};
    history.start(15);
    CHECK(history.starts() == std::vector<epoch_start>{{2, 10}, {3, 20}});
    CHECK_FALSE(history.knows(1));
    history.start(100);
    CHECK(history.last() == 3);
}

TEST_CASE("of two logs the one with the later epoch has more, and of the same epoch the longer (Raft, 5.4.1)", "[format][epoch_history]") {
    CHECK(log_end{3, 5} > log_end{2, 9});
    CHECK(log_end{3, 6} > log_end{3, 5});
    CHECK(log_end{3, 5} >= log_end{3, 5});
}

}  // namespace format_epoch_history_test
