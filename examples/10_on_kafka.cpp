// One function, two engines: what a newcomer writes first runs in this process, and on a Kafka cluster.
// usage: 10_on_kafka DATA_DIR EARTHQUAKES_CSV [BOOTSTRAP_SERVERS]        without a cluster, librdkafka's stand-in for one does
#include <brook/brook.hpp>
#include <brook/kafka.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "stand_in.hpp"

using namespace std::chrono_literals;

struct quake {
    std::int64_t time_ms;
    double magnitude, longitude, latitude, depth_km;
};

using summary = std::map<std::string, std::pair<int, double>, std::less<>>;  // of each network: how many, the strongest

// time_ms,network,id,magnitude,longitude,latitude,depth_km,"place"
static quake parse(std::string_view line, std::string& network) {
    auto text = [&line] {
        auto const field = line.substr(0, line.find(','));
        line.remove_prefix(std::min(field.size() + 1, line.size()));
        return field;
    };
    auto number = [&text](auto& into) {
        auto const field = text();
        std::from_chars(field.data(), field.data() + field.size(), into);
    };
    quake q{};
    number(q.time_ms);
    network = text();
    text();  // id
    for (double* into : {&q.magnitude, &q.longitude, &q.latitude, &q.depth_km}) number(*into);
    return q;
}

// The broker's type is deduced, and never named.
template <class Broker> summary quickstart(Broker& broker, char const* path) {
    auto quakes = broker.template create_topic<std::string, quake>("earthquakes", {.partitions = 4});

    brook::producer producer{quakes, {.linger = 5ms}};  // a network is in front of one of them
    std::ifstream csv{path};
    std::string line, network;
    std::getline(csv, line);  // header
    while (std::getline(csv, line)) {
        quake const q = parse(line, network);
        producer.send(network, q);
    }
    producer.flush();  // throws if any of them failed

    brook::consumer consumer{quakes, {.group_id = "map"}};
    summary strongest;
    do {
        auto records = consumer.poll(100ms);
        for (auto const& record : records) {
            quake const& q = record.value();  // here: in the segment; from a cluster: a copy
            auto& [count, magnitude] = strongest.try_emplace(std::string{record.key()}, 0, -10.0).first->second;
            ++count;
            magnitude = std::max(magnitude, q.magnitude);
        }
        consumer.commit();
    } while (!consumer.caught_up());  // an empty poll is not the end: joining a real group takes a while
    return strongest;
}

static void print(char const* where, summary const& all) {
    std::printf("%s:\n", where);
    for (auto const& [network, found] : all) std::printf("  %-4s %5d earthquakes, the strongest %.1f\n", network.c_str(), found.first, found.second);
}

int main(int arguments, char** argument) {
    if (arguments < 3) {
        std::fprintf(stderr, "usage: %s DATA_DIR EARTHQUAKES_CSV [BOOTSTRAP_SERVERS]\n", argument[0]);
        return 2;
    }
    if (!std::ifstream{argument[2]}) {
        std::fprintf(stderr, "cannot read %s; brook's sources have it as examples/data/earthquakes.csv\n", argument[2]);
        return 1;
    }
    std::optional<stand_in> mock;
    std::string servers = arguments > 3 ? argument[3] : "";
    if (servers.empty()) {
        servers = mock.emplace().address();
        mock->has_topic("earthquakes", 4);
    }

    brook::broker here{argument[1]};        // these two lines differ,
    brook::kafka::broker cluster{servers};  // and nothing else
    auto const local = quickstart(here, argument[2]);
    auto const remote = quickstart(cluster, argument[2]);

    print("in this process", local);
    print(mock ? "on librdkafka's mock cluster" : "on the cluster", remote);
    std::printf("%s\n", local == remote ? "they agree" : "they differ");  // also where both are run again: each group goes on where it committed
    return local == remote ? 0 : 1;
}
