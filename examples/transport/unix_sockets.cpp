// A transport of one's own: three brokers of one machine keep a topic over Unix sockets. The transport is unix_sockets.hpp beside this;
// it is less than 150 lines, and all that brook asks of one.                          usage: unix_sockets DATA_DIR
#include <brook/brook.hpp>
#include <brook/replication.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "unix_sockets.hpp"

int main(int arguments, char** argument) {
    if (arguments != 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR\n", argument[0]);
        return EXIT_FAILURE;
    }
    std::string const root = argument[1];
    std::filesystem::create_directories(root + "/sockets");
    std::vector<std::unique_ptr<brook::broker>> brokers;
    for (int const id : {1, 2, 3}) {
        brokers.push_back(std::make_unique<brook::broker>(
            root + "/" + std::to_string(id),
            brook::broker_options{.node_id = id, .peers = {1, 2, 3}, .transport = std::make_shared<unix_sockets>(root + "/sockets", id)}));
    }
    auto const letters = brokers[0]->create_topic<brook::no_key, std::uint64_t>("letters", {.replication_factor = 3, .min_insync_replicas = 2});
    auto const send = [](brook::broker& through, std::uint64_t count) {
        brook::producer writer{through.topic<brook::no_key, std::uint64_t>("letters")};
        for (std::uint64_t number = 0; number < count; ++number) {
            writer.send({.value = number});
        }
        writer.flush();  // throws where one is not acknowledged by a majority
    };
    send(*brokers[0], 10'000);
    int const leader = letters.partition(0).leader();
    std::printf("broker %d leads, and 10,000 records are on a majority\n", leader);
    brokers[static_cast<std::size_t>(leader - 1)].reset();
    brook::broker& survivor = *brokers[leader == 1 ? 1 : 0];
    send(survivor, 10'000);
    std::printf("it is gone; broker %d leads, and 10,000 more are\n", survivor.topic<brook::no_key, std::uint64_t>("letters").partition(0).leader());
}
