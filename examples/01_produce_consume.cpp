// Real events into a partitioned topic, and back out of it through a consumer group.
// usage: 01_produce_consume DATA_DIR EARTHQUAKES_CSV        Run it twice: the group goes on where it committed.
#include <brook/brook.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

struct quake {  // trivially copyable: stored as it is, read in place, no serialization code
    std::int64_t time_ms;
    double magnitude, longitude, latitude, depth_km;
    char place[80];
};

struct network_report {
    int quakes = 0;
    double strongest = -10;  // magnitudes of very small quakes are negative
    std::string where;
};

// time_ms,network,id,magnitude,longitude,latitude,depth_km,"place"
static std::pair<std::string, quake> parse(std::string_view line) {
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
    std::string network{text()};
    text();  // id
    for (double* into : {&q.magnitude, &q.longitude, &q.latitude, &q.depth_km}) number(*into);
    auto const place = line.size() < 2 ? line : line.substr(1, line.size() - 2);  // without the quotes
    place.copy(q.place, sizeof q.place - 1);
    return {std::move(network), q};
}

// A bar of up to 24 blocks, drawn to an eighth of a block.
static std::string bar(int count, int largest) {
    constexpr int width = 24;
    static char const* const eighth[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int const eighths = std::max(1, count * width * 8 / largest);
    std::string drawn;
    for (int block = 0; block < eighths / 8; ++block) drawn += "█";
    if (eighths / 8 < width) drawn += eighth[eighths % 8];
    for (int block = eighths / 8 + 1; block < width; ++block) drawn += ' ';
    return drawn;
}

static int run(char const* directory, std::ifstream& csv) {
    brook::broker broker{directory};  // opens or creates the directory; this process is the whole cluster
    auto quakes = broker.create_topic<std::string, quake>("earthquakes", {.partitions = 4});

    std::map<std::string, network_report, std::less<>> networks;
    int seen = 0;
    auto study = [&](auto const& records) {
        for (auto const& record : records) {
            std::string_view const key = record.key();  // in place
            quake const& q = record.value();            // in place: a reference into the mapped segment
            auto& report = networks.try_emplace(std::string{key}).first->second;
            ++report.quakes;
            if (q.magnitude > report.strongest) {
                report.strongest = q.magnitude;
                report.where = q.place;
            }
            ++seen;
        }
    };

    // A group's committed offsets live in the data directory. The first poll joins and tells where the group stands.
    brook::consumer consumer{quakes, {.group_id = "map", .auto_offset_reset = brook::offset_reset::earliest}};
    study(consumer.poll(0ms));  // what an interrupted run left behind; else nothing
    std::string at;
    bool resumed = false;
    for (auto const& partition : consumer.assignment()) {
        at += std::to_string(partition.number()) + ":" + std::to_string(consumer.position(partition)) + " ";
        resumed = resumed || consumer.position(partition) > 0;
    }
    std::printf("The group \"map\" %s at offsets %s\n", resumed ? "resumes" : "is new and begins", at.c_str());

    brook::producer producer{quakes};
    std::map<int, std::set<std::string>> homes;  // partition -> the networks that live there
    auto const began = std::chrono::steady_clock::now();
    std::string line;
    std::getline(csv, line);  // the header
    int sent = 0;
    for (; std::getline(csv, line); ++sent) {
        auto const [network, q] = parse(line);
        auto const where = producer.send(network, q).get();  // same key, same partition, in order
        homes[where.partition].insert(network);
    }
    std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - began;
    std::printf("%d quakes parsed, sent and acknowledged in %.1f ms\n\n", sent, took.count());

    do {
        study(consumer.poll(100ms));
        consumer.commit();            // the next run goes on from here, even if this process dies now
    } while (!consumer.caught_up());  // an empty poll is not the end

    std::vector<std::pair<std::string, network_report>> table{networks.begin(), networks.end()};
    std::stable_sort(table.begin(), table.end(),
                     [](auto const& a, auto const& b) { return a.second.quakes > b.second.quakes; });
    std::printf("network  quakes  %-24s  strongest  where\n", "");
    for (auto const& [name, report] : table)
        std::printf("%-7s  %6d  %s  %9.1f  %s\n", name.c_str(), report.quakes,
                    bar(report.quakes, table.front().second.quakes).c_str(), report.strongest, report.where.c_str());

    std::printf("\npartition  log end offset  committed  networks\n");
    for (auto const& partition : consumer.assignment()) {
        std::printf("%9d  %14s  %9s ", partition.number(), std::to_string(partition.log_end_offset()).c_str(),
                    std::to_string(consumer.position(partition)).c_str());
        for (auto const& network : homes[partition.number()]) std::printf(" %s", network.c_str());
        std::printf("\n");
    }
    std::printf("\n%d quakes were new to the group\n", seen);
    return seen >= sent ? 0 : 1;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s DATA_DIR EARTHQUAKES_CSV\n", argv[0]);
        return 2;
    }
    std::ifstream csv{argv[2]};
    if (!csv) {
        std::fprintf(stderr, "cannot read %s; brook's sources have it as examples/data/earthquakes.csv\n", argv[2]);
        return 1;
    }
    try {
        return run(argv[1], csv);
    } catch (brook::error const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
