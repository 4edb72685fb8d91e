// What does a group cost? The same reads with `assign` beside a member's polls, a loop without commits beside one that
// commits after each poll, and how long many members take to settle.
//
// Records of 100 B in four partitions, verified at the first pass and not after it: what is timed is the second one.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;
using topic_type = brook::topic<brook::no_key, value_type>;
constexpr std::int32_t partitions = 4;

enum class way { assigned, member, committing };

outcome read(run& bench, brook::broker& broker, const topic_type& topic, std::uint64_t count, way how) {
    const pinned core{0};
    outcome done;
    done.has_hash = true;
    brook::consumer reader{topic, {.group_id = how == way::assigned ? "" : "bench"}};
    if (how == way::assigned) {
        reader.assign(topic.partitions());
    }
    static_cast<void>(reader.poll(std::chrono::seconds{0}));
    reader.seek_to_beginning();
    const double begin = seconds_now();
    while (done.count < count) {
        const auto batch = reader.poll(std::chrono::seconds{0});
        if (batch.empty()) {
            break;
        }
        for (const auto& record : batch) {
            done.hash += looked_at(record.offset(), record.value());
            ++done.count;
        }
        if (how == way::committing) {
            reader.commit();
        }
    }
    done.seconds = seconds_now() - begin;
    bench.expect_equal(done.count, count, "records read");
    if (how == way::committing) {
        bench.expect_equal(broker.group("bench").lag(), std::int64_t{0}, "all of it is committed");
    }
    return done;
}

void reading(run& bench, std::uint64_t count, std::uint64_t rounds) {
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory / "brook", {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.create_topic<brook::no_key, value_type>("read", {.partitions = partitions});
    {
        const auto values = payloads<value_bytes>();
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i < count; ++i) {
            producer.send({.value = values[i & 63], .partition = static_cast<std::int32_t>(i % partitions)});
        }
    }
    contest all{bench, "read lone records of 100 B from 4 partitions, polls of 500"};
    const auto assigned = all.add("assigned, no group", [&] { return read(bench, broker, topic, count, way::assigned); });
    const auto member = all.add("a group's only member", [&] { return read(bench, broker, topic, count, way::member); });
    const auto committing = all.add("the same, committing after each poll", [&] { return read(bench, broker, topic, count, way::committing); });
    all.go(rounds);
    all.at_least(member, assigned, 0.95);
    all.at_least(committing, member, 0.9);
}

/// Members join one after the other, and poll until everybody has what they should.
void settling(run& bench, std::int32_t members, std::int32_t count) {
    const scratch_directory directory{bench.directory()};
    brook::broker broker{directory / "brook", {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.create_topic<brook::no_key, std::uint64_t>("many", {.partitions = count, .segment_bytes = 64 << 10});
    std::vector<std::unique_ptr<brook::consumer<brook::no_key, std::uint64_t>>> all;
    const double begin = seconds_now();
    for (std::int32_t i = 0; i < members; ++i) {
        all.push_back(std::make_unique<brook::consumer<brook::no_key, std::uint64_t>>(topic, brook::consumer_options{.group_id = "many"}));
        static_cast<void>(all.back()->poll(std::chrono::seconds{0}));
    }
    const double joined = seconds_now();
    int passes = 0;
    for (; broker.group("many").state != brook::group_state::stable && passes < 100; ++passes) {
        for (const auto& one : all) {
            static_cast<void>(one->poll(std::chrono::seconds{0}));
        }
    }
    const double settled = seconds_now();
    std::size_t least = all.front()->assignment().size();
    std::size_t most = 0;
    for (const auto& one : all) {
        least = one->assignment().size() < least ? one->assignment().size() : least;
        most = one->assignment().size() > most ? one->assignment().size() : most;
    }
    bench.expect(most - least <= 1, "shared out evenly");
    std::printf("  %7d  %10d  %12.2f  %12.2f  %6d\n", members, count, (joined - begin) * 1e3, (settled - joined) * 1e3, passes);
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/group: what a group costs", [](run& bench) {
        const std::uint64_t count = bench.parameter("records", 40'000, 4'000'000);
        const std::uint64_t rounds = bench.parameter("rounds", 2, 9);
        bench.print_baselines();
        reading(bench, count, rounds);
        std::printf("\n  members  partitions  all joined ms    settled ms  passes\n");
        const std::int32_t scale = bench.is_smoke() ? 8 : 1;
        for (const auto& [members, of] : {std::pair{16, 256}, std::pair{16, 512}, std::pair{16, 1'024}, std::pair{32, 1'024}, std::pair{64, 1'024}}) {
            settling(bench, members / scale, of / scale);
        }
        std::printf("=> compare the first three lines for the partitions, the last three for the members\n");
    });
}
