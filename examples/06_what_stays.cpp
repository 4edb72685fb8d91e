// A warehouse: every movement is journalled and forgotten after a while, and the stock of each part is kept for good, and found
// without reading the journal.                                   usage: 06_what_stays DATA_DIR       Each run goes on.
#include <brook/brook.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace std::chrono_literals;

struct movement {
    std::int32_t part;
    std::int32_t pieces;
};

constexpr int parts = 500;
constexpr int movements = 200'000;

static std::string name_of(int part) { return "part-" + std::to_string(part); }

int main(int arguments, char** argument) {
    if (arguments != 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR\n", argument[0]);
        return EXIT_FAILURE;
    }
    brook::broker broker{argument[1], {.maintenance = brook::maintenance::manual}};  // so that this program says when

    // The journal keeps its last 2 MiB; the stock, of each part the last record.
    auto const journal = broker.create_topic<brook::no_key, movement>("journal", {.segment_bytes = 1 << 20, .retention_bytes = 2 << 20});
    auto const stock = broker.create_topic<std::string, std::int64_t>(
        "stock", {.segment_bytes = 1 << 20, .cleanup_policy = brook::cleanup_policy::compact, .delete_retention = 1h});

    brook::table known{stock};  // what was there at the end of the last run
    std::printf("%zu parts in stock when we open\n", known.size());

    brook::producer journalist{journal};
    brook::producer keeper{stock};
    for (int i = 0; i < movements; ++i) {
        movement const now{i % parts, i % 7 - 2};
        journalist.send(now);
        auto const before = known.find(name_of(now.part));  // takes in what was sent since
        std::int64_t const pieces = (before ? before->value() : 0) + now.pieces;
        if (pieces > 0) {
            keeper.send(name_of(now.part), pieces);
        } else {
            keeper.send(name_of(now.part), brook::tombstone);  // sold out
        }
    }

    auto const print = [&](char const* when) {
        std::printf("%-18s journal %9llu bytes, from offset %lld   stock %9llu bytes, %zu parts\n", when,
                    static_cast<unsigned long long>(journal.size_bytes()), static_cast<long long>(journal.partition(0).log_start_offset()),
                    static_cast<unsigned long long>(stock.size_bytes()), known.size());
    };
    print("before upkeep");
    std::size_t const parts_before = known.size();
    broker.maintain();  // a broker with a thread of its own does this by itself
    print("after upkeep");

    // Everything that is known of a part is its last record; where that is, is where it always was.
    auto const one = known.find("part-7");
    if (!one || known.size() != parts_before) {
        std::puts("something is missing");
        return EXIT_FAILURE;
    }
    std::printf("part-7: %lld pieces, said at offset %lld\n", static_cast<long long>(one->value()), static_cast<long long>(one->offset()));
    return EXIT_SUCCESS;
}
