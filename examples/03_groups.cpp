// A mail room: clerks on threads of their own share out twelve pigeonholes. One goes home, one falls asleep; the others
// take over, and no letter is left lying.          usage: 03_groups DATA_DIR       Run it twice: the group remembers.
#include <brook/brook.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

using mail = brook::topic<std::uint64_t, std::string>;
constexpr std::uint64_t letters_a_day = 60'000;

static std::mutex printing;
static void say(std::string const& who, char const* what, std::size_t pigeonholes) {
    std::scoped_lock const guard{printing};
    std::printf("  %-6s %s %zu pigeonholes\n", who.c_str(), what, pigeonholes);
}

// A clerk's day: `until` many letters, then home; `nods_off` instead goes on without a poll for longer than the group waits.
static void work(mail const& letters, std::string const& name, std::uint64_t until, bool nods_off, std::atomic<std::uint64_t>& handled) {
    brook::consumer_options options{.group_id = "clerks", .max_poll_interval = 300ms};
    options.rebalance_listener.on_partitions_assigned = [&](auto const& which) { say(name, "takes", which.size()); };
    options.rebalance_listener.on_partitions_revoked = [&](auto const& which) { say(name, "hands over", which.size()); };
    options.rebalance_listener.on_partitions_lost = [&](auto const& which) { say(name, "wakes up without", which.size()); };
    brook::consumer clerk{letters, options};
    for (std::uint64_t done = 0; done < until;) {
        auto const batch = clerk.poll(50ms);
        if (batch.empty() && clerk.caught_up() && handled.load() >= letters_a_day) return;
        done += batch.size();
        if (nods_off && done > 3'000) {
            nods_off = false;
            std::this_thread::sleep_for(1s);  // its letters are read again by others: it has not committed them
        }
        try {
            clerk.commit();
            handled += batch.size();
        } catch (brook::error const& why) {
            if (why.code() != brook::errc::illegal_generation) throw;  // put out: the next poll joins again
        }
    }
}

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR\n", arguments[0]);
        return 2;
    }
    brook::broker broker{arguments[1]};
    auto const letters = broker.create_topic<std::uint64_t, std::string>("letters", {.partitions = 12});
    brook::producer postman{letters};
    for (std::uint64_t i = 0; i < letters_a_day; ++i) postman.send(i, "Dear " + std::to_string(i));
    std::printf("%llu letters have come.\n", static_cast<unsigned long long>(letters_a_day));

    std::atomic<std::uint64_t> handled{0};
    {
        std::jthread const ada{[&] { work(letters, "Ada", 1'000'000, false, handled); }};
        std::jthread const bob{[&] { work(letters, "Bob", 4'000, false, handled); }};   // goes home early
        std::jthread const cleo{[&] { work(letters, "Cleo", 1'000'000, true, handled); }};  // falls asleep
    }
    auto const clerks = broker.group("clerks");
    std::printf("%llu were handled and committed, %lld are left. The group will go on behind them, after a restart too.\n",
                static_cast<unsigned long long>(handled.load()), static_cast<long long>(clerks.lag()));
    return clerks.lag() == 0 && handled.load() == letters_a_day ? 0 : 1;
}
