// What does a topic cost that nobody uses? Disk and memory of four idle partitions: open, while idle, and closed.
//
// Disk is what the file system has taken (blocks), not the files' sizes, which are sparse. Memory is what is this
// process's own (private) and what it has of the files' page cache in its page tables.
#include <brook/brook.hpp>

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::int32_t partitions = 4;
using value_type = payload<100>;

/// Bytes of disk that are taken by a directory and all below it.
std::uint64_t disk_bytes(const std::string& directory) {
    const auto blocks_of = [](const std::string& path) {
        struct stat status {};
        return ::lstat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
    };
    std::uint64_t all = blocks_of(directory);
    for (const auto& entry : std::filesystem::recursive_directory_iterator{directory}) {
        all += blocks_of(entry.path());
    }
    return all;
}

struct memory {
    std::uint64_t own_kib = 0;     // private, written
    std::uint64_t mapped_kib = 0;  // everything in the page tables
};

memory memory_now() {
    memory found;
    std::ifstream rollup{"/proc/self/smaps_rollup"};
    std::string field;
    for (std::uint64_t value = 0; rollup >> field;) {
        if (field == "Rss:" && rollup >> value) {
            found.mapped_kib = value;
        } else if ((field == "Anonymous:") && rollup >> value) {
            found.own_kib = value;
        }
    }
    return found;
}

std::uint64_t grown(std::uint64_t before, std::uint64_t after) { return after > before ? after - before : 0; }

std::int64_t voluntary_switches() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct usage {
    std::uint64_t disk = 0;
    memory mem;
};

void print(const char* when, const usage& now, const usage& base) {
    std::printf("   %-34s disk %7.1f KiB a partition, memory own %5llu KiB mapped %5llu KiB in all\n", when,
                static_cast<double>(now.disk) / 1024 / partitions, static_cast<unsigned long long>(grown(base.mem.own_kib, now.mem.own_kib)),
                static_cast<unsigned long long>(grown(base.mem.mapped_kib, now.mem.mapped_kib)));
}

void measure(run& bench, const char* what, std::uint64_t records, std::uint64_t idle_ms) {
    const scratch_directory directory{bench.directory()};
    const std::string data = directory / "brook";
    const std::string topic_path = data + "/topics/idle";
    std::printf("\n%s\n", what);
    {
        brook::broker broker{data};
        const auto empty = memory_now();  // a broker without topics of ours is not what is asked about
        const auto topic = broker.create_topic<brook::no_key, value_type>("idle", {.partitions = partitions});
        const auto now = [&] { return usage{disk_bytes(topic_path), memory_now()}; };
        const usage base{0, empty};
        print("open", now(), base);
        if (records > 0) {
            brook::producer producer{topic};
            const auto values = payloads<100>();
            for (std::uint64_t i = 0; i < records; ++i) {
                producer.send({.value = values[i & 63], .partition = static_cast<std::int32_t>(i % partitions)});
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{200});  // upkeep stays alert for a while after the last record
        const usage before = now();
        print("idle, at first", before, base);
        const std::int64_t switches = voluntary_switches();
        const double cpu = cpu_seconds();
        std::this_thread::sleep_for(std::chrono::milliseconds{idle_ms});
        const double cpu_used = cpu_seconds() - cpu;
        const std::int64_t switched = voluntary_switches() - switches;
        const usage after = now();
        print("idle, in the end", after, base);
        std::printf("   idle for %llu ms: %.2f ms of processor time, the process woke %lld times\n", static_cast<unsigned long long>(idle_ms),
                    cpu_used * 1e3, static_cast<long long>(switched));
        bench.expect(after.disk <= before.disk, "disk does not grow while idle");
        bench.expect(grown(before.mem.own_kib, after.mem.own_kib) <= 64, "memory does not grow while idle");  // this program's own noise
    }
    const std::uint64_t closed = disk_bytes(topic_path);
    std::printf("   %-34s disk %7.1f KiB a partition\n", "closed", static_cast<double>(closed) / 1024 / partitions);
    bench.expect(closed <= partitions * std::uint64_t{64} * 1024 + records * frame_bytes(0, sizeof(value_type)),
                 "at most 64 KiB a partition beside its records after close");
    brook::broker broker{data};
    const auto topic = broker.topic<brook::no_key, value_type>("idle");
    std::uint64_t there = 0;
    for (const auto& one : topic.partitions()) {
        there += static_cast<std::uint64_t>(one.log_end_offset());
    }
    bench.expect_equal(there, records, "records there after it was opened again");
    bench.add_hash(there);
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/footprint: four idle partitions", [](run& bench) {
        const std::uint64_t idle_ms = bench.parameter("idle_ms", 300, 5'000);
        const std::uint64_t records = bench.parameter("records", 100, 100);
        measure(bench, "never written to", 0, idle_ms);
        measure(bench, "a few records each", records, idle_ms);
    });
}
