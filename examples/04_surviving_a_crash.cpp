// A process that journals with two threads is killed in the middle, again and again. Nothing acknowledged is lost.
// usage: 04_surviving_a_crash DATA_DIR       It writes as fast as it can for half a second, and leaves what it wrote.
#include <brook/brook.hpp>

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <new>
#include <random>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

constexpr std::uint32_t writers = 2;
struct entry { std::uint64_t writer, number; };  // each writer counts from 0 in each round
struct scoreboard {  // in memory that parent and child share: how many entries of each writer were acknowledged
    std::array<std::atomic<std::uint64_t>, writers> acknowledged;
};
using journal = brook::topic<brook::no_key, entry>;
static journal open_journal(brook::broker& broker) {
    return broker.create_topic<brook::no_key, entry>("journal", {.segment_bytes = 4 << 20});  // small, so that it rolls
}

// The child: writes until it is killed. Nothing in here expects the end, and nothing prepares for it.
[[noreturn]] static void write_for_ever(char const* directory, scoreboard& board) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nor does it outlive who watches it
    brook::broker broker{directory};
    brook::producer producer{open_journal(broker)};
    std::vector<std::jthread> threads;
    for (std::uint64_t writer = 0; writer < writers; ++writer) {
        threads.emplace_back([&, writer] {
            for (std::uint64_t number = 0;; ++number) {
                producer.send(entry{writer, number}).get();  // it has an offset now: that is the acknowledgement
                board.acknowledged[writer].store(number + 1);
            }
        });
    }
    for (;;) ::pause();
}

// How many entries of each writer stand from `begin` on; false unless each stands there once, and in order.
static bool count(brook::partition const& partition, journal const& entries, std::int64_t begin,
                  std::array<std::uint64_t, writers>& found) {
    brook::consumer consumer{entries, {.max_poll_records = 10'000}};
    consumer.seek(partition, begin);
    bool in_order = true;
    do {
        for (auto const& record : consumer.poll(0ms)) {
            entry const& e = record.value();
            in_order = found.at(e.writer)++ == e.number && in_order;
        }
    } while (!consumer.caught_up());
    return in_order;
}

static int run(char const* directory) {
    void* const shared = ::mmap(nullptr, sizeof(scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    auto const end_of = [](brook::broker broker) { return open_journal(broker).partition(0).log_end_offset(); };
    std::int64_t end = end_of(brook::broker{directory});  // opened, asked and closed: earlier runs left entries
    std::mt19937 chance{std::random_device{}()};
    bool is_whole = true;
    std::printf("killed after  acknowledged     found  lost  in flight  gaps filled  rolls finished  open again in\n");
    for (int round = 0; round < 8 && is_whole; ++round) {
        auto& board = *new (shared) scoreboard{};
        pid_t const child = ::fork();  // while this process has no broker: a broker stays with who opened it
        if (child == 0) write_for_ever(directory, board);
        while (board.acknowledged[0] + board.acknowledged[1] == 0) {
            if (::waitpid(child, nullptr, WNOHANG) != 0) return 1;  // it could not even begin, and has said why
            std::this_thread::sleep_for(1ms);
        }
        int const pause = static_cast<int>(chance() % 100);
        std::this_thread::sleep_for(std::chrono::milliseconds{pause});
        ::kill(child, SIGKILL);  // no handler, no destructor, no flush
        ::waitpid(child, nullptr, 0);

        auto const began = std::chrono::steady_clock::now();
        brook::broker broker{directory};
        std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - began;
        auto const entries = open_journal(broker);
        auto const partition = entries.partition(0);
        auto const report = partition.recovery();  // what opening it found and did
        std::array<std::uint64_t, writers> found{};
        is_whole = count(partition, entries, end, found);
        end = partition.log_end_offset();
        unsigned long long acknowledged = 0, there = 0, lost = 0;
        for (std::size_t writer = 0; writer < writers; ++writer) {
            std::uint64_t const promised = board.acknowledged[writer];
            acknowledged += promised;
            there += found[writer];
            lost += promised > found[writer] ? promised - found[writer] : 0;
        }
        is_whole = is_whole && lost == 0;
        std::printf("%9d ms  %12llu  %8llu  %4llu  %9llu  %11llu  %14llu  %10.1f ms\n", pause, acknowledged, there,
                    lost, there + lost - acknowledged, 0ull + report.filled_gaps, 0ull + report.finished_rolls, took.count());
    }
    std::printf(is_whole ? "\nEverything that was acknowledged is there, once and in order.\n"
                         : "\nSomething is lost, or out of order: that is a bug in brook. Please report it.\n");
    return is_whole ? 0 : 1;
}

int main(int argc, char** argv) try {
    if (argc == 2) return run(argv[1]);
    std::fprintf(stderr, "usage: %s DATA_DIR\n", argv[0]);
    return 2;
} catch (brook::error const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
