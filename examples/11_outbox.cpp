// A till at the edge of the network: sales go into a local topic, durable before the receipt is printed, and a mirror carries them to the
// cluster when there is one. The cluster goes down in the middle of the day, nobody in the shop notices, and nothing is lost or counted twice.
// usage: 11_outbox DATA_DIR [BOOTSTRAP_SERVERS]     without a cluster, librdkafka's stand-in does; stop a real one yourself, and start it again
#include <brook/brook.hpp>
#include <brook/kafka.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "stand_in.hpp"

using namespace std::chrono_literals;

struct sale {
    std::int64_t number;
    std::int64_t cents;
};

constexpr std::int64_t sales_a_day = 600;

static void print(char const* when, brook::kafka::mirror const& outbox) {
    auto const now = outbox.progress();
    std::printf("%-26s %4llu carried, %4lld wait%s%s\n", when, static_cast<unsigned long long>(now.records), static_cast<long long>(now.lag()),
                now.trouble ? ", because: " : "", now.trouble.text.c_str());
}

int main(int arguments, char** argument) {
    if (arguments < 2) {
        std::fprintf(stderr, "usage: %s DATA_DIR [BOOTSTRAP_SERVERS]\n", argument[0]);
        return 2;
    }
    std::optional<stand_in> mock;
    std::string servers = arguments > 2 ? argument[2] : "";
    if (servers.empty()) {
        servers = mock.emplace().address();
        mock->has_topic("sales", 2);
    }

    brook::broker shop{argument[1]};
    auto const till = shop.create_topic<std::string, sale>("sales", {.partitions = 2, .flush_messages = 1});  // acknowledged is on the disk
    brook::kafka::broker head_office{servers, {.default_api_timeout = 10s}};
    auto const ledger = head_office.create_topic<std::string, sale>("sales", {.partitions = 2});
    std::int64_t const before = ledger.partition(0).log_end_offset() + ledger.partition(1).log_end_offset();  // of earlier days

    brook::kafka::mirror outbox{till, ledger, {.name = "shop-17", .retry_backoff = 100ms}};
    brook::producer producer{till};
    for (std::int64_t number = 0; number < sales_a_day; ++number) {
        producer.send("till-" + std::to_string(number % 4), {number, 100 + number % 900}).get();  // then the receipt
        if (mock && number == sales_a_day / 3) mock->go_down();
        if (mock && number == 2 * sales_a_day / 3) {
            std::this_thread::sleep_for(500ms);
            print("the cluster is down:", outbox);
            mock->come_up();
        }
        if (!mock) std::this_thread::sleep_for(20ms);  // time to stop it, and to start it
    }
    print("the shop closes:", outbox);
    while (!(outbox.progress().is_caught_up() && outbox.progress().lag() == 0) && outbox.progress().is_running) std::this_thread::sleep_for(50ms);
    print("everything is there:", outbox);
    outbox.stop();

    brook::consumer audit{ledger};
    std::map<std::int64_t, int> found;
    std::int64_t all = 0;
    do {
        auto records = audit.poll(100ms);
        for (auto const& record : records) {
            ++found[record.value().number];
            ++all;
        }
    } while (!audit.caught_up());
    std::printf("the ledger has %lld sales, %zu different ones\n", static_cast<long long>(all), found.size());
    return mock && (all != sales_a_day || found.size() != sales_a_day || before != 0) ? 1 : 0;
}
