// T15: does it last? Steady load for as long as you like, with a fault a second, in every other turn.
//
// A writer sends numbers as fast as it can, a reader of a group reads and commits them, the broker's own thread rolls, syncs, deletes old
// segments. By turns there are some seconds without a fault, and as many with one in each: a call of the system that fails, a disk that is
// full for a moment, syncs that fail, a wall clock that jumps, the broker closed and opened again. Once a second it is noted what the process
// takes of memory, descriptors, mappings and threads.
//
// What must hold: every number that was acknowledged is read, in order, and none that was not sent; what the process takes does not grow; and
// with faults it does at least half of what it does without.
//
// Memory is judged by the bytes that are allocated, not by the pages that the process has: those follow the largest life of a broker so far,
// which comes late in a long run, and the allocator keeps them. Two things are judged, since a log keeps a small object of every segment that
// it has had until it is closed (segment_chain.hpp; some 550 bytes with all that belongs to it, and 100 segments a second and more here):
//   - from life to life: what is allocated when a broker has just been opened again does not grow;
//   - within a life: what is allocated above that for some seconds is no more than a buffer or two, and a KiB for each segment that was mapped.
//     For a moment a compaction takes more, by the keys or commits that have come since the last one.
//
// usage: brook_fault soak [seconds] [seed]
//        seconds: 20 by default, BROOK_FAULT_SECONDS otherwise. In less than 60 s growth and throughput are told and not judged.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include <brook/brook.hpp>

#include "fault/program.hpp"
#include "fault/small_store.hpp"
#include "support/directory_watch.hpp"
#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace fault_soak {

namespace {

using namespace brook;
using namespace brook::test;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr std::uint64_t most_ahead = 100'000;  // numbers that the writer is in front of the reader: retention must not pass it
constexpr int turn_seconds = 5;
constexpr double most_from_life_to_life = 0.25;  // MiB
constexpr double most_buffers = 3;               // MiB: what compaction writes, what a poll gives
constexpr std::ptrdiff_t lasting = 4;            // seconds: what is allocated for less is no growth
constexpr double most_of_a_mapping = 1.0 / 1024;  // MiB

/// What the process takes.
struct sample {
    double megabytes = 0;
    double descriptors = 0;
    double mappings = 0;
    double threads = 0;
};

[[nodiscard]] sample look_at_process() {
    sample now;
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("RssAnon:")) {  // of its own: what is mapped of files comes and goes with the page cache
            now.megabytes = std::atof(line.c_str() + 8) / 1024;
        } else if (line.starts_with("Threads:")) {
            now.threads = std::atof(line.c_str() + 8);
        }
    }
    test::detail::for_each_entry("/proc/self/fd", [&](const std::string&, bool) { ++now.descriptors; });
    std::ifstream maps{"/proc/self/maps"};
    for (std::string line; std::getline(maps, line);) {
        ++now.mappings;
    }
    return now;
}

/// MiB that are allocated, in all arenas.
[[nodiscard]] double allocated_megabytes() {
    const struct mallinfo2 now = ::mallinfo2();
    return static_cast<double>(now.uordblks + now.hblkhd) / (1 << 20);
}

class soak {
public:
    soak(double seconds, std::uint64_t seed) : seconds_{seconds}, seed_{seed}, random_{seed}, root_{memory_directory()} {}

    [[nodiscard]] bool run() {
        open();
        begin_life();
        std::thread writer{[this] { write(); }};
        std::thread reader{[this] { read(); }};
        while (elapsed() < seconds_ && is_good()) {
            const bool has_faults = static_cast<int>(elapsed()) / turn_seconds % 2 == 1;
            const auto before = clock_type::now();
            const std::uint64_t had = acknowledged_.load();
            if (has_faults) {
                strike();
            }
            std::this_thread::sleep_until(before + 1s);
            const std::chrono::duration<double> took = clock_type::now() - before;
            (has_faults ? faulty_ : calm_).add(acknowledged_.load() - had, took.count());
            samples_.push_back(look_at_process());
            look_at_life();
        }
        is_over_.store(true);
        writer.join();
        is_written_.store(true);
        reader.join();
        {
            const std::unique_lock guard{house_};
            close();
        }
        return report();
    }

private:
    using numbers = brook::topic<no_key, std::uint64_t>;

    struct rate {
        std::uint64_t count = 0;
        double seconds = 0;
        void add(std::uint64_t more, double time) {
            count += more;
            seconds += time;
        }
        [[nodiscard]] double per_second() const { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }
    };

    // ---- the broker; under the house's lock ----

    void open() {
        for (;;) {
            try {
                broker_.emplace(root_.path() + "/store", broker_options{.platform = &platform_});
                topic_ = broker_->create_topic<no_key, std::uint64_t>("numbers", {.segment_bytes = 1 << 20, .retention_bytes = 24 << 20, .flush_interval = 200ms});
                producer_.emplace(*topic_);
                consumer_.emplace(*topic_, consumer_options{.group_id = "readers", .max_poll_records = 10'000});
                return;
            } catch (const error& why) {
                if (++failed_openings_ > 100'000) {
                    complain(std::string{"it does not open any more: "} + why.what());
                    return;
                }
                close();
            }
        }
    }
    void close() {
        consumer_.reset();
        producer_.reset();
        topic_.reset();
        broker_.reset();
    }
    void reopen() {
        const std::unique_lock guard{house_};
        platform_.heal();
        close();
        open();
        needs_opening_.store(false);
        ++openings_;
        begin_life();
    }

    // ---- what is allocated ----

    struct birth {
        double at = 0;         // seconds
        double megabytes = 0;  // allocated when it had been opened
    };

    void begin_life() {
        births_.push_back({elapsed(), allocated_megabytes()});
        mapped_before_ = platform_.calls(operation::map);
        excesses_.clear();
    }

    void look_at_life() {
        const double grown = allocated_megabytes() - births_.back().megabytes;
        const auto mapped = static_cast<double>(platform_.calls(operation::map) - mapped_before_);
        most_in_life_ = std::max(most_in_life_, grown);
        excesses_.push_back(grown - mapped * most_of_a_mapping);
        if (std::ssize(excesses_) >= lasting) {  // a compaction's map of keys is gone in the next second
            most_excess_ = std::max(most_excess_, *std::min_element(excesses_.end() - lasting, excesses_.end()));
        }
    }

    /// The least that was allocated at an opening in a part of the run: upkeep may have begun to compact at others. None: no opening.
    [[nodiscard]] std::optional<double> least_at_birth(double from, double to) const {
        std::optional<double> least;
        for (const birth& one : births_) {
            if (one.at >= from * seconds_ && one.at < to * seconds_ && (!least || one.megabytes < *least)) {
                least = one.megabytes;
            }
        }
        return least;
    }

    /// Judges it, and says it in a few words.
    [[nodiscard]] std::string judge_allocated() {
        const std::optional<double> before = least_at_birth(0.25, 0.5);
        const std::optional<double> after = least_at_birth(0.75, 1);
        char text[160];
        std::snprintf(text, sizeof text, "allocated when opened %.2f to %.2f MiB, in a life up to %.2f more, %.2f of them not for segments", before.value_or(0),
                      after.value_or(0), most_in_life_, std::max(most_excess_, 0.0));
        if (elapsed() >= 60 && before && after && *after > *before + most_from_life_to_life) {
            complain(std::string{"it grows from life to life: "} + text);
        }
        if (elapsed() >= 60 && most_excess_ > most_buffers) {
            complain(std::string{"it grows within a life: "} + text);
        }
        return text;
    }

    // ---- who uses it ----

    /// A lock that is shared all the time nobody else gets.
    void stand_aside() {
        while (needs_opening_.load() && !is_over_.load()) {
            std::this_thread::yield();
        }
    }

    void write() {
        while (!is_over_.load() && is_good()) {
            stand_aside();
            const std::shared_lock guard{house_};
            for (int burst = 0; burst < 256 && !needs_opening_.load(); ++burst) {
                if (next_ - seen_.load() > most_ahead) {
                    break;
                }
                const std::uint64_t number = next_++;
                try {
                    producer_->send(number).get();
                    acknowledged_.fetch_add(1);
                    const auto now = clock_type::now();
                    longest_gap_ = std::max(longest_gap_, now - last_);
                    last_ = now;
                } catch (const error& why) {
                    {
                        const std::scoped_lock quiet{failed_mutex_};
                        failed_.insert(number);
                    }
                    if (why.code() == errc::partition_failed) {
                        needs_opening_.store(true);
                    }
                    break;
                }
            }
            std::this_thread::yield();
        }
    }

    void read() {
        std::uint64_t polls = 0;
        int quiet = 0;
        while (is_good() && (!is_written_.load() || quiet < 20)) {
            stand_aside();
            const std::shared_lock guard{house_};
            try {
                const auto records = consumer_->poll(5ms);
                quiet = records.empty() && is_written_.load() ? quiet + 1 : 0;
                for (const auto& record : records) {
                    see(record.value());
                }
                if (++polls % 4 == 0) {
                    consumer_->commit();
                }
            } catch (const error& why) {
                if (why.code() == errc::corrupt_record) {
                    complain(why.what());
                }
            }
        }
        if (const std::uint64_t all = next_; is_good() && seen_.load() < all) {
            skip(seen_.load(), all);
        }
    }

    void see(std::uint64_t number) {
        const std::uint64_t seen = seen_.load();
        if (number < seen) {
            ++again_;  // behind a commit that an opening went back to
            return;
        }
        skip(seen, number);
        ++verified_;
        seen_.store(number + 1);
    }

    /// Numbers that are not there: of sends that failed.
    void skip(std::uint64_t from, std::uint64_t to) {
        const std::scoped_lock quiet{failed_mutex_};
        for (std::uint64_t number = from; number < to; ++number) {
            if (failed_.erase(number) == 0) {
                return complain("number " + std::to_string(number) + " was acknowledged, and is not there; " + std::to_string(to) + " follows");
            }
        }
    }

    // ---- faults ----

    void strike() {
        ++faults_;
        const auto pause = [] { std::this_thread::sleep_for(50ms); };
        switch (random_() % 6) {
            case 0:
                platform_.inject({.on = std::nullopt, .call = 1 + random_() % 8, .number = random_() % 2 == 0 ? EIO : ENOSPC});
                break;
            case 1:
                platform_.inject({.on = operation::allocate, .call = 1, .number = ENOSPC, .lasting = true});
                pause();
                platform_.heal();
                break;
            case 2: platform_.inject({.on = operation::sync, .call = 1, .number = EIO}); break;
            case 3: platform_.shift_real_now(std::chrono::hours{static_cast<int>(random_() % 48) - 24}); break;
            case 4:
                platform_.inject({.on = operation::rename, .call = 1, .number = EIO, .lasting = true});
                pause();
                platform_.heal();
                break;
            default: needs_opening_.store(true); break;
        }
        std::this_thread::sleep_for(200ms);
        platform_.heal();
        if (needs_opening_.load()) {
            reopen();
        }
    }

    // ---- what came of it ----

    void complain(const std::string& what) {
        const std::scoped_lock quiet{told_mutex_};
        if (++bad_ <= 5) {
            std::printf("BAD  after %.1f s: %s\n", elapsed(), what.c_str());
        }
    }
    [[nodiscard]] bool is_good() const noexcept { return bad_.load() == 0; }
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    /// The mean over a part of the samples.
    [[nodiscard]] double mean(double sample::*what, double from, double to) const {
        const auto begin = static_cast<std::size_t>(from * static_cast<double>(samples_.size()));
        const auto end = std::max(begin + 1, static_cast<std::size_t>(to * static_cast<double>(samples_.size())));
        double sum = 0;
        for (std::size_t i = begin; i < end && i < samples_.size(); ++i) {
            sum += samples_[i].*what;
        }
        return sum / static_cast<double>(end - begin);
    }

    [[nodiscard]] bool report() {
        struct limit {
            const char* what;
            double sample::*of;
            double most;  // between the second quarter and the last
        };
        constexpr std::array limits{limit{"MiB of pages", &sample::megabytes, std::numeric_limits<double>::infinity()}, limit{"descriptors", &sample::descriptors, 4}, limit{"mappings", &sample::mappings, 16},
                                    limit{"threads", &sample::threads, 0.5}};
        std::string grown;
        for (const limit& one : limits) {
            const double before = mean(one.of, 0.25, 0.5);
            const double after = mean(one.of, 0.75, 1);
            char text[120];
            std::snprintf(text, sizeof text, "%s%.1f to %.1f %s", grown.empty() ? "" : ", ", before, after, one.what);
            grown += text;
            if (elapsed() >= 60 && after > before + one.most) {
                complain(std::string{"it grows: "} + text);
            }
        }
        grown += "; " + judge_allocated();
        const double share = calm_.per_second() > 0 ? 100 * faulty_.per_second() / calm_.per_second() : 0;
        if (elapsed() >= 60 && share < 50) {
            complain("with faults it does " + std::to_string(share) + " per cent of what it does without");
        }
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("soak: %.0f s, %llu faults, %llu openings; %llu records acknowledged, %llu verified, %llu once more; %.0f a second with faults, %.0f %% of the fault-free %.0f; "
                    "longest time without an acknowledgement %.2f s; from the second quarter to the last %s; bad %llu; seed %llu\n",
                    elapsed(), n(faults_), n(openings_), n(acknowledged_.load()), n(verified_), n(again_), faulty_.per_second(), share, calm_.per_second(),
                    std::chrono::duration<double>(longest_gap_).count(), grown.c_str(), n(bad_.load()), n(seed_));
        return is_good();
    }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_;
    faulty_platform platform_{os::posix()};

    std::shared_mutex house_;  // guards the broker and what was made of it
    std::optional<brook::broker> broker_;
    std::optional<numbers> topic_;
    std::optional<brook::producer<no_key, std::uint64_t>> producer_;
    std::optional<brook::consumer<no_key, std::uint64_t>> consumer_;
    std::uint64_t failed_openings_ = 0;

    std::atomic<bool> is_over_{false};
    std::atomic<bool> is_written_{false};
    std::atomic<bool> needs_opening_{false};
    std::atomic<std::uint64_t> acknowledged_{0};
    std::atomic<std::uint64_t> seen_{0};  // every number below is accounted for
    std::uint64_t next_ = 0;              // the writer's
    clock_type::time_point last_ = clock_type::now();
    clock_type::duration longest_gap_{};
    std::mutex failed_mutex_;
    std::set<std::uint64_t> failed_;
    std::uint64_t verified_ = 0;  // the reader's
    std::uint64_t again_ = 0;
    std::uint64_t faults_ = 0;
    std::uint64_t openings_ = 0;
    rate calm_;
    rate faulty_;
    std::vector<sample> samples_;
    std::vector<birth> births_;
    std::uint64_t mapped_before_ = 0;  // calls to map when this life began
    double most_in_life_ = 0;          // MiB more than when it began
    std::vector<double> excesses_;     // MiB more than that and what its segments may take, second by second
    double most_excess_ = -std::numeric_limits<double>::infinity();
    std::mutex told_mutex_;
    std::atomic<std::uint64_t> bad_{0};
};

int run(int count, char** arguments) {
    const time_and_seed given{count, arguments, 20};
    return soak{given.seconds, given.seed}.run() ? 0 : 1;
}

const fault_program program{"soak", run};

}  // namespace

}  // namespace fault_soak
