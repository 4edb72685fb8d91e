// Three brokers keep one ledger. The one that leads is cut off in the middle of the day, another takes its place, and not one
// entry that was acknowledged is missing, or there twice.                            usage: 07_cluster DATA_DIR
#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace std::chrono_literals;

struct entry {
    std::int64_t account;
    std::int64_t cents;
};

constexpr std::uint64_t before = 2'000;
constexpr std::uint64_t after = 2'000;

int main(int arguments, char** argument) {
    if (arguments != 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR\n", argument[0]);
        return EXIT_FAILURE;
    }
    std::string const root = argument[1];
    std::filesystem::create_directories(root);  // a broker makes the last part of its path itself

    brook::memory_network network;  // a network in this process; a transport of your own goes the same way
    std::vector<std::unique_ptr<brook::broker>> brokers;
    for (int const id : {1, 2, 3}) {
        brokers.push_back(std::make_unique<brook::broker>(
            root + "/" + std::to_string(id), brook::broker_options{.node_id = id, .peers = {1, 2, 3}, .transport = network.join(id)}));
    }
    auto const ledger = brokers[0]->create_topic<std::uint64_t, entry>("ledger", {.replication_factor = 3, .min_insync_replicas = 2});
    brook::partition const page = ledger.partition(0);

    std::set<std::uint64_t> acknowledged;
    auto const post = [&](brook::broker& through, std::uint64_t from, std::uint64_t to) {
        brook::producer clerk{through.topic<std::uint64_t, entry>("ledger")};  // acks::all: a majority has it
        std::vector<brook::delivery> sent;
        for (std::uint64_t number = from; number < to; ++number) {
            sent.push_back(clerk.send(number, {static_cast<std::int64_t>(number % 7), 100}));
        }
        for (std::uint64_t number = from; brook::delivery& one : sent) {
            one.get();  // throws where it is not acknowledged
            acknowledged.insert(number++);
        }
    };
    auto const first = static_cast<std::uint64_t>(page.log_end_offset());
    post(*brokers[0], first, first + before);
    int const leader = page.leader();
    std::printf("broker %d leads in epoch %u; %zu entries are acknowledged\n", leader, page.replication().leader_epoch, acknowledged.size());

    network.isolate(leader);
    brook::broker& survivor = *brokers[leader == 1 ? 1 : 0];
    auto const begun = std::chrono::steady_clock::now();
    post(survivor, first + before, first + before + after);
    auto const state = survivor.topic<std::uint64_t, entry>("ledger").partition(0).replication();
    std::printf("broker %d was cut off; %.1f s later broker %d leads in epoch %u, and %zu are\n", leader,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), state.leader, state.leader_epoch, acknowledged.size());

    network.heal();
    for (auto const& broker : brokers) {
        auto const replica = broker->topic<std::uint64_t, entry>("ledger");
        brook::consumer auditor{replica};
        std::set<std::uint64_t> seen;
        std::size_t twice = 0;
        for (auto const deadline = std::chrono::steady_clock::now() + 20s; seen.size() < acknowledged.size() && std::chrono::steady_clock::now() < deadline;) {
            for (auto const& record : auditor.poll(100ms)) {
                if (record.key() >= first) {
                    twice += seen.insert(record.key()).second ? 0u : 1u;
                }
            }
        }
        std::printf("a replica has %zu of %zu, %zu twice\n", seen.size(), acknowledged.size(), twice);
        if (seen != acknowledged || twice != 0) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
