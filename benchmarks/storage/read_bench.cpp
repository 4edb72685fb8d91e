// How close does a consumer come to a bare scan? Lone records of 100 B, looked at in place.
//
// Each round opens the log anew, so that both sides read through a fresh mapping of a file that is in the page cache,
// and brook verifies every record (it verifies what came from the disk, once). Both look at the offset and at the first
// and the last word of each value. The second pass of brook goes over memory that is mapped and verified; the bare
// scan's second pass over memory that is mapped.
#include <brook/brook.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/topics.hpp"

using namespace brook::bench;

namespace {

constexpr std::size_t value_bytes = 100;
using value_type = payload<value_bytes>;

template <class Key>
constexpr bool is_keyed = !std::is_same_v<Key, brook::no_key>;

template <class Key>
constexpr std::uint32_t key_bytes = is_keyed<Key> ? sizeof(Key) : 0;

/// The key's part in the result.
std::uint64_t looked_at_key(std::uint64_t key) noexcept { return key * 3; }

/// What is read: a bare log and a topic with the same records.
template <class Key>
class material {
public:
    material(run& bench, std::uint64_t size)
        : count_{(size - 4'096) / frame_bytes(key_bytes<Key>, value_bytes)},
          directory_{bench.directory()},
          file_{directory_ / "bare.log", size, std::size_t{1} << 20} {
        const auto values = payloads<value_bytes>();
        const bare_mapping memory{file_, bare_mapping::pages::populated};
        bare_log log{memory.data()};
        brook::broker broker{directory_ / "brook"};
        const auto topic = broker.create_topic<Key, value_type>("read", {.segment_bytes = static_cast<std::int64_t>(size)});
        brook::producer producer{topic};
        for (std::uint64_t i = 0; i < count_; ++i) {
            const auto& value = values[i & 63];
            if constexpr (is_keyed<Key>) {
                producer.send(i, value);
            } else {
                producer.send(value);
            }
            log.append(reinterpret_cast<const std::byte*>(&i), key_bytes<Key>, reinterpret_cast<const std::byte*>(&value), value_bytes,
                       stamp());
        }
        topic.partition(0).sync();  // so that opening it again has nothing to verify, and reading has everything
        bench.expect_equal(topic.partition(0).log_end_offset(), count_, "records written");
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] const bare_file& file() const noexcept { return file_; }
    [[nodiscard]] std::string brook_directory() const { return directory_ / "brook"; }

private:
    std::uint64_t count_;
    scratch_directory directory_;
    bare_file file_;
};

enum class pass { first, second };

template <class Key, bool Verifies, bool ReadsAhead = false>
outcome bare(const material<Key>& from, pass which) {
    const pinned core{0};
    const bare_mapping memory{from.file(), bare_mapping::pages::as_they_are};
    outcome done;
    for (int i = 0; i < (which == pass::first ? 1 : 2); ++i) {
        done = {};
        done.has_hash = true;
        const double begin = seconds_now();
        done.count = bare_scan<Verifies, ReadsAhead>(memory.data(), from.count(), [&](std::int64_t at, const std::byte* key, const std::byte* value, std::uint32_t) {
            done.hash += looked_at(at, brook::object_at<value_type>(value));
            if constexpr (is_keyed<Key>) {
                done.hash += looked_at_key(brook::load<Key>(key));
            }
        });
        done.seconds = seconds_now() - begin;
    }
    return done;
}

template <class Key>
outcome through_brook(run& bench, const material<Key>& from, pass which, bool verifies) {
    brook::broker broker{from.brook_directory(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<Key, value_type>("read");
    brook::consumer reader{topic, {.check_crcs = verifies}};
    const pinned core{0};
    outcome done;
    for (int i = 0; i < (which == pass::first ? 1 : 2); ++i) {
        done = {};
        done.has_hash = true;
        reader.seek_to_beginning();
        const double begin = seconds_now();
        while (done.count < from.count()) {
            const auto batch = reader.poll(std::chrono::seconds{0});
            if (batch.empty()) {
                break;
            }
            for (const auto& record : batch) {
                done.hash += looked_at(record.offset(), record.value());
                if constexpr (is_keyed<Key>) {
                    done.hash += looked_at_key(record.key());
                }
                ++done.count;
            }
        }
        done.seconds = seconds_now() - begin;
    }
    bench.expect_equal(done.count, from.count(), "records read");
    bench.expect(reader.caught_up(), "nothing is left");
    return done;
}

template <class Key>
void read_all(run& bench, std::uint64_t size, std::uint64_t rounds, const char* what, bool has_aim) {
    warm_memory(2 * size);
    const material<Key> from{bench, size};
    contest all{bench, std::string{"read lone records of 100 B, "} + what};
    const auto bare_verified = all.add("the bare scan, verified", [&] { return bare<Key, true>(from, pass::first); });
    const auto verified = all.add("brook poll, verified", [&] { return through_brook(bench, from, pass::first, true); });
    const auto ahead_verified = all.add("the same scan, reading ahead, verified", [&] { return bare<Key, true, true>(from, pass::first); });
    const auto bare_unverified = all.add("the bare scan, unverified", [&] { return bare<Key, false>(from, pass::first); });
    const auto unverified = all.add("brook poll, unverified", [&] { return through_brook(bench, from, pass::first, false); });
    const auto ahead_unverified = all.add("the same scan, reading ahead, unverified", [&] { return bare<Key, false, true>(from, pass::first); });
    const auto bare_again = all.add("the bare scan, unverified, second pass", [&] { return bare<Key, false>(from, pass::second); });
    const auto again = all.add("brook poll, second pass", [&] { return through_brook(bench, from, pass::second, true); });
    all.go(rounds);
    if (has_aim) {
        all.at_least(verified, bare_verified, 0.9);
        all.at_least(unverified, bare_unverified, 0.9);
    } else {
        all.show(verified, bare_verified);
        all.show(unverified, bare_unverified);
    }
    all.show(again, bare_again);
    all.show(verified, ahead_verified);
    all.show(unverified, ahead_unverified);
}

/// Places in the log, in no order; the same in each round.
class random_offsets {
public:
    explicit random_offsets(std::uint64_t count) noexcept : count_{count} {}

    [[nodiscard]] brook::offset next() noexcept {
        state_ = state_ * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
        return static_cast<brook::offset>((state_ >> 33) % count_);
    }

private:
    std::uint64_t count_;
    std::uint64_t state_ = seed;
};

/// Goes to a record and reads it alone; finds where a time begins.
void seek_anywhere(run& bench, std::uint64_t size, std::uint64_t seeks, std::uint64_t rounds) {
    warm_memory(2 * size);
    const material<brook::no_key> from{bench, size};
    const bare_mapping memory{from.file(), bare_mapping::pages::populated};
    std::vector<std::uint64_t> positions;
    std::uint64_t at = 0;
    static_cast<void>(bare_scan<false>(memory.data(), from.count(), [&](std::int64_t, const std::byte*, const std::byte*, std::uint32_t bytes) {
        positions.push_back(at);
        at += padded(static_cast<std::uint32_t>(sizeof(bare_header)) + bytes);
    }));
    brook::broker broker{from.brook_directory(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<brook::no_key, value_type>("read");
    const brook::partition partition = topic.partition(0);
    brook::consumer reader{topic, {.max_poll_records = 1}};
    std::vector<brook::timestamp> times;  // of each record, as a table in memory has them
    {
        brook::consumer all{topic, {.max_poll_records = 10'000}};
        while (!all.caught_up()) {
            for (const auto batch = all.poll(std::chrono::seconds{0}); const auto& record : batch) {
                times.push_back(record.timestamp());
            }
        }
    }
    const auto timed = [&](const auto& look) {
        const pinned core{0};
        random_offsets wanted{from.count()};
        outcome done;
        done.has_hash = true;
        const double begin = seconds_now();
        for (; done.count < seeks; ++done.count) {
            done.hash += look(wanted.next());
        }
        done.seconds = seconds_now() - begin;
        return done;
    };
    contest one{bench, "go to an offset anywhere and read that record of 100 B"};
    const auto table = one.add("a table of all positions in memory", [&] {
        return timed([&](brook::offset wanted) {
            const std::byte* const frame = memory.data() + positions[static_cast<std::size_t>(wanted)];
            return looked_at(brook::load<bare_header>(frame).offset, brook::object_at<value_type>(frame + sizeof(bare_header)));
        });
    });
    const auto seeking = one.add("brook seek, poll", [&] {
        return timed([&](brook::offset wanted) {
            reader.seek(partition, wanted);
            const auto batch = reader.poll(std::chrono::seconds{0});
            const auto record = batch.front();
            return looked_at(record.offset(), record.value());
        });
    });
    one.go(rounds);
    one.show(seeking, table);
    contest time{bench, "find the first offset at or after a time"};
    const auto search = time.add("std::lower_bound in a table of all times", [&] {
        return timed([&](brook::offset wanted) {
            const brook::timestamp when = times[static_cast<std::size_t>(wanted)];
            return static_cast<std::uint64_t>(std::lower_bound(times.begin(), times.end(), when) - times.begin());
        });
    });
    const auto finding = time.add("brook offset_for_time", [&] {
        return timed([&](brook::offset wanted) { return static_cast<std::uint64_t>(partition.offset_for_time(times[static_cast<std::size_t>(wanted)]).value()); });
    });
    time.go(rounds);
    time.show(finding, search);
}

/// How many readers a log has costs none of them anything: they share what is in memory, and nothing else.
void read_by_many(run& bench, std::uint64_t size, std::uint64_t rounds) {
    warm_memory(2 * size);
    const material<brook::no_key> from{bench, size};
    brook::broker broker{from.brook_directory(), {.maintenance = brook::maintenance::manual}};
    const auto topic = broker.topic<brook::no_key, value_type>("read");
    const bare_mapping memory{from.file(), bare_mapping::pages::populated};
    contest all{bench, "everything read by many consumers at once, records of 100 B"};
    std::vector<std::pair<unsigned, std::size_t>> ours;
    std::vector<std::size_t> bounds;
    for (const unsigned readers : {1u, 2u, 4u, 8u}) {
        const auto timed = [&, readers](const auto& read) {
            outcome done;
            std::atomic<std::uint64_t> count{0};
            done.seconds = time_threads(readers, [&](unsigned) { count += read(); });
            done.count = count;
            return done;
        };
        const std::string what = std::to_string(readers) + (readers == 1 ? " reader" : " readers");
        bounds.push_back(all.add("the bare scan, " + what, [&from, &memory, timed] {
            return timed([&] {
                std::uint64_t sum = 0;
                const auto count = bare_scan<false>(memory.data(), from.count(), [&](std::int64_t at, const std::byte*, const std::byte* value, std::uint32_t) {
                    sum += looked_at(at, brook::object_at<value_type>(value));
                });
                keep(&sum);
                return count;
            });
        }));
        ours.emplace_back(readers, all.add("brook poll, " + what, [&from, &topic, timed] {
            return timed([&] {
                brook::consumer reader{topic};
                std::uint64_t sum = 0;
                std::uint64_t count = 0;
                while (count < from.count()) {
                    for (const auto batch = reader.poll(std::chrono::seconds{0}); const auto& record : batch) {
                        sum += looked_at(record.offset(), record.value());
                        ++count;
                    }
                }
                keep(&sum);
                return count;
            });
        }));
    }
    all.go(rounds);
    for (std::size_t i = 0; i < ours.size(); ++i) {
        all.show(ours[i].second, bounds[i]);
        bench.point("Everything read by many consumers at once", "consumers", "records/s", "brook poll", ours[i].first, all.rate(ours[i].second));
        bench.point("Everything read by many consumers at once", "consumers", "records/s", "the bare scan", ours[i].first, all.rate(bounds[i]));
    }
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/read: reading in place beside the bare scan", [](run& bench) {
        const std::uint64_t size = bench.parameter("log_mib", 4, 256) << 20;
        const std::uint64_t rounds = bench.parameter("rounds", 2, 9);
        const std::uint64_t seeks = bench.parameter("seeks", 1'000, 100'000);
        bench.print_baselines();
        read_all<brook::no_key>(bench, size, rounds, "without keys", true);
        read_all<std::uint64_t>(bench, size, rounds, "keys of 8 B", false);
        seek_anywhere(bench, size, seeks, rounds);
        read_by_many(bench, size, rounds);
    });
}
