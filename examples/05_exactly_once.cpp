// A pipeline that loses nothing and counts nothing twice: magnitudes come in, alarms and a tally go out, and a child
// process that does it is killed again and again.          usage: 05_exactly_once DATA_DIR       Each run goes on.
#include <brook/brook.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

constexpr std::int64_t readings = 200'000;
constexpr int kills = 20;

// The source numbers what it sends by where it comes from: sent again, a reading is there once.
static void feed(brook::broker& broker) {
    auto const magnitudes = broker.create_topic<brook::no_key, double>("magnitudes", {.partitions = 2});
    brook::producer source{magnitudes, {.name = "seismograph"}};
    std::int64_t const begin = source.last_sequence().value_or(-1) + 1;  // of this process's life before
    for (std::int64_t i = begin; i < readings; ++i) {
        source.send({.value = static_cast<double>(i % 90) / 10, .sequence = i});
    }
}

// Records out and offsets in count together, or not at all.
static void transform(brook::broker& broker) {
    auto const magnitudes = broker.topic<brook::no_key, double>("magnitudes");
    auto const alarms = broker.create_topic<std::string, double>("alarms", {.partitions = 2});
    auto const tally = broker.create_topic<brook::no_key, std::uint64_t>("tally");
    brook::consumer reader{magnitudes, {.group_id = "pipeline"}};
    while (!reader.caught_up()) {
        auto const batch = reader.poll(0s);
        if (batch.empty()) continue;
        auto tx = broker.begin_transaction({.transactional_id = "pipeline"});
        for (auto const& record : batch) {
            if (record.value() >= 8.0) tx.send(alarms, "strong", record.value());
        }
        tx.send(tally, batch.size());
        tx.commit_offsets(reader);
        tx.commit();
    }
}

// How many readings have been counted, and how many alarms there are.
static std::uint64_t count(brook::broker& broker, std::uint64_t& alarm_count) {
    std::uint64_t counted = 0;
    brook::consumer tally{broker.topic<brook::no_key, std::uint64_t>("tally")};
    while (!tally.caught_up()) {
        auto const batch = tally.poll(0s);
        for (auto const& record : batch) counted += record.value();
    }
    brook::consumer alarms{broker.topic<std::string, double>("alarms")};
    while (!alarms.caught_up()) alarm_count += alarms.poll(0s).size();
    return counted;
}

int main(int arguments, char** argument) {
    if (arguments != 2) {
        std::fputs("usage: 05_exactly_once DATA_DIR\n", stderr);
        return 2;
    }
    try {
        for (int i = 0; i <= kills; ++i) {
            ::pid_t const worker = ::fork();
            if (worker == 0) {
                brook::broker broker{argument[1]};
                feed(broker);
                transform(broker);
                return 0;
            }
            ::usleep(static_cast<::useconds_t>(10'000 + 3'000 * i));
            if (i < kills) ::kill(worker, SIGKILL);
            ::waitpid(worker, nullptr, 0);
        }
        brook::broker broker{argument[1]};
        std::uint64_t alarms = 0;
        std::uint64_t const counted = count(broker, alarms);
        std::printf("%lld readings sent, %llu counted, %llu alarms, after %d kills\n", static_cast<long long>(readings),
                    static_cast<unsigned long long>(counted), static_cast<unsigned long long>(alarms), kills);
        return counted == static_cast<std::uint64_t>(readings) && alarms == counted / 90 * 10 + (counted % 90 > 80 ? counted % 90 - 80 : 0) ? 0 : 1;
    } catch (brook::error const& why) {
        std::fprintf(stderr, "%s\n", why.what());
        return 1;
    }
}
