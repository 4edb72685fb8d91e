// Types that are more than their bytes: how they are written, how they are read back, and how to look without reading.
// usage: 02_your_own_types DATA_DIR            Run it twice: the sightings add up.
#include <brook/brook.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

using namespace std::chrono_literals;

struct sighting {  // texts and a list: its bytes lie all over the heap, so it needs a serde
    std::uint32_t birds = 0;
    std::string species;
    std::vector<std::string> observers;
};

// The bytes go straight into the segment: `write` is called twice, first to count, then to write.
template <>
struct brook::serde<sighting> {
    static constexpr std::string_view schema = "birds.sighting/1";  // change the bytes, and you change the number
    static void write(sighting const& seen, brook::writer& out) {
        out.put(seen.birds);
        out.put(std::string_view{seen.species});
        out.put(static_cast<std::uint32_t>(seen.observers.size()));
        for (auto const& name : seen.observers) out.put(std::string_view{name});
    }
    static sighting read(brook::bytes raw) {
        brook::reader in{raw};  // throws where the bytes end early
        sighting seen;
        seen.birds = in.get<std::uint32_t>();
        seen.species = in.text();
        for (auto left = in.get<std::uint32_t>(); left > 0; --left) seen.observers.emplace_back(in.text());
        return seen;
    }
};

// The same bytes, looked at where they lie: no text is copied, and what nobody asks for is not even visited.
struct sighting_view {
    brook::bytes raw;
    std::uint32_t birds() const { return brook::reader{raw}.get<std::uint32_t>(); }
    std::string_view species() const {
        brook::reader in{raw};
        in.get<std::uint32_t>();
        return in.text();
    }
};
template <>
struct brook::serde<sighting_view> : brook::serde<sighting> {  // the same schema: it opens the same topics
    using value_type = sighting_view;
    static sighting_view read(brook::bytes raw) { return {raw}; }
};

static int run(char const* directory) {
    brook::broker broker{directory};
    auto sightings = broker.create_topic<std::string, sighting>("sightings", {.partitions = 3});

    brook::producer producer{sightings};
    producer.send("river", {.birds = 12, .species = "barn swallow", .observers = {"Ada", "Grace"}});
    producer.send("harbour", {.birds = 3, .species = "great cormorant", .observers = {"Linus"}});
    producer.send("river", {.birds = 1, .species = "common kingfisher", .observers = {"Ada", "Barbara", "Grace"}});
    producer.send("old mill", {.birds = 2, .species = "barn owl", .observers = {}});
    producer.flush();  // throws the first failure, if any of them failed

    std::printf("place     birds  species            seen by\n");
    brook::consumer consumer{sightings};
    int decoded = 0;
    do {
        for (auto const& record : consumer.poll(100ms)) {
            std::string_view const place = record.key();
            sighting const seen = record.value();  // decodes: at each call, so once
            std::string by;
            for (auto const& name : seen.observers) by += (by.empty() ? "" : ", ") + name;
            std::printf("%-8.*s  %5u  %-17s  %s\n", static_cast<int>(place.size()), place.data(), seen.birds,
                        seen.species.c_str(), by.empty() ? "nobody will say" : by.c_str());
            ++decoded;
        }
    } while (!consumer.caught_up());

    brook::consumer watcher{broker.topic<std::string, sighting_view>("sightings")};
    unsigned birds = 0;
    int looked_at = 0;
    std::string longest;
    do {
        for (auto const& record : watcher.poll(100ms)) {
            sighting_view const seen = record.value();
            std::string_view const species = seen.species();  // points into the segment, while its batch lives
            if (species.size() > longest.size()) longest = species;
            birds += seen.birds();
            ++looked_at;
        }
    } while (!watcher.caught_up());
    std::printf("\n%u birds in %d sightings, counted in place; the longest name is the %s's\n", birds, looked_at,
                longest.c_str());

    try {
        broker.topic<std::string, double>("sightings");
    } catch (brook::error const& e) {  // a topic knows its types: the wrong ones do not open it
        std::printf("\nAsked for as something else:\n  %s\n", e.what());
        return e.code() == brook::errc::schema_mismatch && decoded == looked_at && decoded >= 4 ? 0 : 1;
    }
    return 1;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR\n", argv[0]);
        return 2;
    }
    try {
        return run(argv[1]);
    } catch (brook::error const& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
