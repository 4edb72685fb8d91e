// What does opening cost after a kill? A child fills a log, syncs a part of it, fills the rest, and is killed with
// SIGKILL; then this process opens it.
//
// The bound is verifying with XXH3 what lies past the recovery point, and nothing else, through a fresh mapping. The
// lines with the same tail and another log show that time goes with the tail, not with the log. Upkeep is by hand in the
// child: it is done once, right after the sync, and never again, since it would sync what is sealed, and the tail would be
// one segment at most. `scanned` is what recovery says that it has verified: unlike the times it repeats, and it is checked
// to be at most the tail and one segment.
#include <brook/brook.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;

struct shape {
    std::uint64_t records = 0;
    std::uint64_t tail_records = 0;  // not synced
    std::uint64_t segment_bytes = 0;
};

/// Runs in the child, and does not return.
[[noreturn]] void fill_and_die(const std::string& directory, const shape& what) {
    try {
        const auto values = payloads<value_bytes>();
        brook::broker broker{directory, {.maintenance = brook::maintenance::manual}};
        const auto topic = broker.create_topic<brook::no_key, value_type>("killed", {.segment_bytes = static_cast<std::int64_t>(what.segment_bytes)});
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i <= what.records; ++i) {
            if (i + what.tail_records == what.records && i > 0) {
                topic.partition(0).sync();
                broker.maintain();
            }
            if (i < what.records) {
                producer.send(values[i & 63]);
            }
        }
        ::raise(SIGKILL);
    } catch (const std::exception& why) {
        std::fprintf(stderr, "child: %s\n", why.what());
    }
    ::_exit(1);
}

void make_killed_log(const std::string& directory, const shape& what) {
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::runtime_error{"fork failed"};
    }
    if (child == 0) {
        fill_and_die(directory, what);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        throw std::runtime_error{"the child was not killed, but failed"};
    }
}

/// A segment file, read-only.
class file_view {
public:
    explicit file_view(const std::string& path) : size_{std::filesystem::file_size(path)} {
        const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        void* const memory = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, number, 0);
        ::close(number);
        if (memory == MAP_FAILED) {
            throw std::runtime_error{"cannot map " + path};
        }
        data_ = static_cast<const std::byte*>(memory);
    }
    file_view(const file_view&) = delete;
    file_view& operator=(const file_view&) = delete;
    ~file_view() { ::munmap(const_cast<std::byte*>(data_), size_); }

    [[nodiscard]] const std::byte* at(std::uint64_t position) const noexcept { return data_ + position; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

private:
    std::uint64_t size_;
    const std::byte* data_ = nullptr;
};

struct verified {
    std::uint64_t records = 0;
    double seconds = 0;
};

/// Verifies every frame that holds an offset at or after `from`. Finding the first of them is not timed.
verified verify_behind(const std::string& partition, brook::offset from) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator{partition}) {
        if (entry.path().extension() == ".log") {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    verified found;
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        const auto base_of = [&](std::size_t which) { return std::stoll(std::filesystem::path{paths[which]}.stem()); };
        if (i + 1 < paths.size() && base_of(i + 1) <= from) {
            continue;
        }
        const file_view file{paths[i]};
        std::uint64_t at = brook::format::segment_header_size;
        const auto walk = [&](const auto& is_wanted, const auto& look) {
            while (at + brook::format::frame_header_size <= file.size()) {
                const auto header = brook::format::load_header(file.at(at));
                const auto word = brook::format::word_of(header);
                if (!word.is_published() || !is_wanted(header)) {
                    return;
                }
                look(header);
                at += word.length();
            }
        };
        walk([&](const auto& header) { return header.base_offset < from; }, [](const auto&) {});
        const double begin = seconds_now();
        walk([](const auto&) { return true; },
             [&](const auto& header) {
                 const auto body = static_cast<std::uint32_t>(header.size) - brook::format::frame_header_size;
                 hash += brook::format::hash(file.at(at) + brook::format::frame_header_size, body) ^ header.checksum;
                 found.records += brook::format::word_of(header).kind() == brook::format::frame_kind::data ? 1u : 0u;
             });
        found.seconds += seconds_now() - begin;
    }
    keep(&hash);
    return found;
}

struct line {
    double open_ms;
    double verify_ms;
    double scanned_mib;
};

line measure(run& bench, const shape& what) {
    const scratch_directory directory{bench.directory()};
    const std::string data = directory / "brook";
    warm_memory(what.records * frame_bytes(0, value_bytes));
    make_killed_log(data, what);
    const auto synced = static_cast<brook::offset>(what.records - what.tail_records);
    const verified bound = verify_behind(data + "/topics/killed/0", synced);
    bench.expect_equal(bound.records, what.tail_records, "records past the recovery point");

    const double begin = seconds_now();
    brook::broker broker{data, {.maintenance = brook::maintenance::manual}};
    const double opened = seconds_now() - begin;
    const auto topic = broker.topic<brook::no_key, value_type>("killed");
    const auto report = topic.partition(0).recovery();
    bench.expect_equal(topic.partition(0).log_end_offset(), what.records, "records recovered");
    bench.expect(report.damages.empty() && report.cut_bytes == 0 && !report.power_may_have_gone, "nothing is lost by a kill");
    bench.expect(report.scanned_bytes >= what.tail_records * frame_bytes(0, value_bytes), "the tail has been verified");
    bench.expect(report.scanned_bytes <= what.tail_records * frame_bytes(0, value_bytes) + what.segment_bytes,
                 "no more than the tail and a segment has been verified");
    bench.expect(broker.health().is_ok(), "nothing to report");
    bench.add_hash(what.records);
    return {opened * 1e3, bound.seconds * 1e3, static_cast<double>(report.scanned_bytes) / 1'048'576};
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/recovery: opening after a kill", [](run& bench) {
        const std::uint64_t log_bytes = bench.parameter("log_mib", 16, 1'024) << 20;
        const std::uint64_t segment_bytes = bench.parameter("segment_mib", 2, 64) << 20;
        const std::uint64_t rounds = bench.parameter("rounds", 1, 3);
        bench.print_baselines();
        struct row {
            std::uint64_t log;
            std::uint64_t tail;
        };
        const std::vector<row> rows = {{log_bytes, 0},
                                       {log_bytes / 4, log_bytes / 16},
                                       {log_bytes, log_bytes / 64},
                                       {log_bytes, log_bytes / 16},
                                       {log_bytes, log_bytes / 4},
                                       {log_bytes, log_bytes}};
        std::printf("\n%9s %12s %12s %24s %34s\n", "log MiB", "tail MiB", "scanned MiB", "open ms (min-max)", "XXH3 over the tail ms (min-max)");
        for (const auto& [log, tail] : rows) {
            constexpr std::uint64_t frame = frame_bytes(0, value_bytes);
            const shape what{log / frame, tail / frame, segment_bytes};
            std::vector<double> open;
            std::vector<double> verify;
            double scanned = 0;
            for (std::uint64_t round = 0; round < rounds; ++round) {
                const line found = measure(bench, what);
                open.push_back(found.open_ms);
                verify.push_back(found.verify_ms);
                scanned = found.scanned_mib;
            }
            const spread opened = spread_of(open);
            const spread bound = spread_of(verify);
            std::printf("%9.2f %12.2f %12.2f %10.1f (%.1f-%.1f) %16.1f (%.1f-%.1f)\n", static_cast<double>(log) / 1'048'576,
                        static_cast<double>(tail) / 1'048'576, scanned, opened.median, opened.low, opened.high, bound.median, bound.low, bound.high);
            std::fflush(stdout);
            const auto point = [&, tail_mib = static_cast<double>(tail) / 1'048'576](const char* series, const spread& ms) {
                bench.point("Opening after a kill, by what was not synced", "MiB not synced", "ns an opening", series, tail_mib,
                            {ms.low * 1e6, ms.median * 1e6, ms.high * 1e6});
            };
            if (log == log_bytes && tail > 0) {
                point("brook", opened);
                point("XXH3 over it", bound);
            }
        }
        std::printf("=> time grows with the tail, not with the log: compare the lines with the same tail, and the first with the last\n");
    });
}
