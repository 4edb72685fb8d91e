// One of three brokers, each in a terminal of its own. Kill one (Ctrl-C, or kill -9) and start it again, and watch in the others who leads,
// what is committed, and how far each copy is behind.            usage: 09_three_terminals 1|2|3 DATA_DIR CERTIFICATES_DIR
//     sh examples/certificates.sh certificates 3                 once: an authority of one's own, and a certificate for each
#include <brook/brook.hpp>
#include <brook/replication.hpp>
#include <brook/tls.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using readings = brook::topic<std::int32_t, std::int64_t>;  // a node's number, and how many milliseconds it has run

static std::atomic<bool> is_over{false};

struct figures {
    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> acknowledged{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> read{0};
    std::mutex mutex;  // guards the last failure
    std::string why;
};

static std::shared_ptr<brook::transport> connect(int node, std::string const& certificates) {
    std::string const own = certificates + "/node-" + std::to_string(node);
    brook::tls_options options;
    options.node_id = node;
    options.listen = "127.0.0.1:" + std::to_string(9100 + node);
    for (int const other : {1, 2, 3}) options.peers.push_back({other, "127.0.0.1:" + std::to_string(9100 + other)});
    options.certificate_file = own + ".crt";
    options.private_key_file = own + ".key";
    options.ca_file = certificates + "/ca.crt";
    return std::make_shared<brook::tls_transport>(options);
}

// Ten readings a second, one after the other: each is acknowledged when a majority has it.
static void write(readings const& to, int node, figures& count) {
    brook::producer sensor{to, {.delivery_timeout = 10s}};
    auto const start = std::chrono::steady_clock::now();
    for (std::int32_t partition = 0; !is_over; partition = (partition + 1) % to.partition_count()) {
        ++count.sent;
        auto const age = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
        try {
            sensor.send({.key = node, .value = age.count(), .partition = partition}).get();
            ++count.acknowledged;
        } catch (brook::error const& failure) {
            ++count.failed;
            std::scoped_lock const guard{count.mutex};
            count.why = failure.what();
        }
        std::this_thread::sleep_for(100ms);
    }
}

static void read(readings const& from, figures& count) {
    brook::consumer reader{from};
    while (!is_over) count.read += reader.poll(200ms).size();
}

static void show(brook::broker& broker, readings const& topic, int node, figures& count) {
    std::string out = isatty(STDOUT_FILENO) != 0 ? "\x1b[H\x1b[J" : "\n";
    auto const put = [&](char const* format, auto... values) {
        char line[256];
        std::snprintf(line, sizeof line, format, values...);
        out += line;
    };
    put("broker %d of 3, TLS, process %d                       Ctrl-C ends it\n\n", node, static_cast<int>(getpid()));
    put("partition  leader  epoch  committed  own copy  copies behind\n");
    for (std::int32_t number = 0; number < topic.partition_count(); ++number) {
        auto const state = topic.partition(number).replication();
        std::string const leader = state.leader < 0 ? "none" : std::to_string(state.leader) + (state.is_leader ? " (me)" : "");
        put("%9d  %6s  %5u  %9lld  %8lld  ", number, leader.c_str(), state.leader_epoch, static_cast<long long>(state.high_watermark),
            static_cast<long long>(state.log_end_offset));
        for (auto const& other : state.followers) {
            auto const silent = std::chrono::duration_cast<std::chrono::seconds>(other.silent_for).count();
            if (other.log_end_offset < 0) {
                put("%d: not heard of yet   ", other.node_id);
            } else if (silent >= 2) {
                put("%d: %lld, silent for %lld s   ", other.node_id, static_cast<long long>(state.log_end_offset - other.log_end_offset), static_cast<long long>(silent));
            } else {
                put("%d: %lld   ", other.node_id, static_cast<long long>(state.log_end_offset - other.log_end_offset));
            }
        }
        if (state.is_suspect) {
            out += "catching up after its start\n";
        } else if (state.is_leader) {
            out += '\n';
        } else {
            put(state.leader < 0 ? "(nobody leads)\n" : "(see broker %d)\n", state.leader);
        }
    }
    put("\nhere: %llu sent, %llu acknowledged, %llu failed; %llu read from this broker's copies\n", static_cast<unsigned long long>(count.sent),
        static_cast<unsigned long long>(count.acknowledged), static_cast<unsigned long long>(count.failed), static_cast<unsigned long long>(count.read));
    {
        std::scoped_lock const guard{count.mutex};
        if (!count.why.empty()) out += "last failure: " + count.why + '\n';
    }
    auto const health = broker.health();
    for (std::size_t i = health.errors.size() - std::min<std::size_t>(health.errors.size(), 5); i < health.errors.size(); ++i) out += "note: " + health.errors[i].text + '\n';
    std::fputs(out.c_str(), stdout);
    std::fflush(stdout);
}

int main(int count, char** arguments) try {
    int const node = count == 4 ? std::atoi(arguments[1]) : 0;
    if (node < 1 || node > 3) {
        std::fprintf(stderr, "usage: %s 1|2|3 DATA_DIR CERTIFICATES_DIR     (sh examples/certificates.sh CERTIFICATES_DIR 3 makes these)\n", arguments[0]);
        return 2;
    }
    std::filesystem::create_directories(arguments[2]);
    brook::broker broker{std::string{arguments[2]} + "/" + std::to_string(node),
                         {.node_id = node, .peers = {1, 2, 3}, .transport = connect(node, arguments[3])}};
    std::puts("waiting for the others: a cluster begins when each of its brokers has been there once");
    auto const topic = broker.create_topic<std::int32_t, std::int64_t>("readings", {.partitions = 3, .replication_factor = 3, .min_insync_replicas = 2});
    for (int const signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { is_over = true; });  // until here it ends at once
    figures figures;
    std::thread writer{[&] { write(topic, node, figures); }};
    std::thread reader{[&] { read(topic, figures); }};
    while (!is_over) {
        show(broker, topic, node, figures);
        std::this_thread::sleep_for(500ms);
    }
    writer.join();
    reader.join();
    std::puts("\nclosed; start it again, and it catches up");
    return EXIT_SUCCESS;
} catch (std::exception const& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return EXIT_FAILURE;
}
