// How close does a consumer come to a bare scan? Lone records of 100 B, looked at in place.
//
// Each round opens the log anew, so that both sides read through a fresh mapping of a file that is in the page cache,
// and brook verifies every record (it verifies what came from the disk, once). Both look at the offset and at the first
// and the last word of each value. The second pass of brook goes over memory that is mapped and verified; the bare
// scan's second pass over memory that is mapped.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

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

template <class Key, bool Verifies>
outcome bare(const material<Key>& from, pass which) {
    const pinned core{0};
    const bare_mapping memory{from.file(), bare_mapping::pages::as_they_are};
    outcome done;
    for (int i = 0; i < (which == pass::first ? 1 : 2); ++i) {
        done = {};
        done.has_hash = true;
        const double begin = seconds_now();
        done.count = bare_scan<Verifies>(memory.data(), from.count(), [&](std::int64_t at, const std::byte* key, const std::byte* value, std::uint32_t) {
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
    const auto bare_unverified = all.add("the bare scan, unverified", [&] { return bare<Key, false>(from, pass::first); });
    const auto unverified = all.add("brook poll, unverified", [&] { return through_brook(bench, from, pass::first, false); });
    const auto bare_again = all.add("the bare scan, unverified, second pass", [&] { return bare<Key, false>(from, pass::second); });
    const auto again = all.add("brook poll, second pass", [&] { return through_brook(bench, from, pass::second, true); });
    all.go(rounds);
    if (has_aim) {
        all.at_least(verified, bare_verified, 0.8);
        all.at_least(unverified, bare_unverified, 0.8);
    } else {
        all.show(verified, bare_verified);
        all.show(unverified, bare_unverified);
    }
    all.show(again, bare_again);
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "storage/read: reading in place beside the bare scan", [](run& bench) {
        const std::uint64_t size = bench.parameter("log_mib", 4, 256) << 20;
        const std::uint64_t rounds = bench.parameter("rounds", 2, 9);
        print_baselines(bench.is_smoke());
        read_all<brook::no_key>(bench, size, rounds, "without keys", true);
        read_all<std::uint64_t>(bench, size, rounds, "keys of 8 B", false);
    });
}
