// How fast is a key found? table.find on a topic of a million keys beside std::unordered_map<std::string, std::string>::find on
// the same keys and values, in random order, all of them hits; and what opening a table costs, with its file and without.
//
// The map is at its best: its keys are short enough to lie in its nodes. "found" looks at no value; "value read" at its first and
// last byte.
#include <brook/brook.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/bench.hpp"
#include "support/machine.hpp"

using namespace brook::bench;

namespace {

using topic_type = brook::topic<std::string, std::string>;
using table_type = brook::table<std::string, std::string>;
using map_type = std::unordered_map<std::string, std::string>;

std::string key_of(std::uint64_t number) {
    std::string text = "key-00000000";
    for (std::size_t at = text.size(); number > 0; number /= 10) {
        text[--at] = static_cast<char>('0' + number % 10);
    }
    return text;
}

std::string value_of(std::uint64_t number) {
    std::string text(100, static_cast<char>('a' + number % 26));
    text.back() = static_cast<char>('a' + number / 26 % 26);
    return text;
}

/// The keys in an order that no prefetcher knows, the same for everybody.
std::vector<std::string> shuffled(std::uint64_t keys) {
    std::vector<std::string> all;
    for (std::uint64_t i = 0; i < keys; ++i) {
        all.push_back(key_of(i));
    }
    std::uint64_t state = seed;
    for (std::uint64_t i = keys; i > 1; --i) {
        state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
        std::swap(all[i - 1], all[(state >> 33) % i]);
    }
    return all;
}

template <bool ReadsValue>
std::uint64_t looked_at(std::string_view value) {
    return value.size() + (ReadsValue ? static_cast<std::uint64_t>(value.front()) + static_cast<std::uint64_t>(value.back()) : 0);
}

template <bool ReadsValue>
outcome find_in_table(table_type& table, const std::vector<std::string>& wanted) {
    const pinned core{0};
    outcome done;
    done.has_hash = true;
    const double begin = seconds_now();
    for (const auto& key : wanted) {
        if (const auto found = table.find(key)) {
            done.hash += looked_at<ReadsValue>(found->value());
            ++done.count;
        }
    }
    done.seconds = seconds_now() - begin;
    return done;
}

template <bool ReadsValue>
outcome find_in_map(const map_type& map, const std::vector<std::string>& wanted) {
    const pinned core{0};
    outcome done;
    done.has_hash = true;
    const double begin = seconds_now();
    for (const auto& key : wanted) {
        if (const auto found = map.find(key); found != map.end()) {
            done.hash += looked_at<ReadsValue>(found->second);
            ++done.count;
        }
    }
    done.seconds = seconds_now() - begin;
    return done;
}

void finding(run& bench, brook::broker& broker, const char* name, std::int32_t partitions, std::uint64_t keys, std::uint64_t rounds) {
    const auto topic = broker.create_topic<std::string, std::string>(name, {.partitions = partitions});
    const std::vector<std::string> wanted = shuffled(keys);
    map_type map;
    {
        brook::producer producer{topic};
        for (const auto& key : shuffled(keys)) {  // neither has its records in the order of the keys
            const auto number = static_cast<std::uint64_t>(std::stoull(key.substr(4)));
            producer.send(key, value_of(number));
            map.emplace(key, value_of(number));
        }
    }
    std::vector<std::string> order(wanted.rbegin(), wanted.rend());
    std::uint64_t state = 7 * seed;
    for (std::uint64_t i = keys; i > 1; --i) {  // and they are looked for in another one than they were sent
        state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
        std::swap(order[i - 1], order[(state >> 33) % i]);
    }
    table_type table{topic};
    bench.expect_equal(table.size(), keys, "keys in the table");
    const std::string of = std::to_string(keys) + " keys of 12 B, values of 100 B, " + std::to_string(partitions) + (partitions == 1 ? " partition" : " partitions");
    {
        contest all{bench, "found: " + of};
        const auto ours = all.add("table.find", [&] { return find_in_table<false>(table, order); });
        const auto bound = all.add("std::unordered_map<string, string>::find", [&] { return find_in_map<false>(map, order); });
        all.go(rounds);
        all.at_least(ours, bound, 1.0);
    }
    contest all{bench, "value read: " + of};
    const auto ours = all.add("table.find", [&] { return find_in_table<true>(table, order); });
    const auto bound = all.add("std::unordered_map<string, string>::find", [&] { return find_in_map<true>(map, order); });
    all.go(rounds);
    all.at_least(ours, bound, 1.0);
}

/// Each opening is the first of its broker.
void opening(run& bench, const std::string& directory, std::uint64_t keys) {
    std::printf("\nopening a table of %llu keys\n", static_cast<unsigned long long>(keys));
    double with_file = 0;
    double without = 0;
    for (const bool has_file : {false, true}) {
        brook::broker broker{directory, {.maintenance = brook::maintenance::manual}};
        const auto topic = broker.topic<std::string, std::string>("one");
        const double begin = seconds_now();
        table_type table{topic, {.index_file = has_file}};
        const double opened = seconds_now();
        static_cast<void>(table.find(key_of(keys / 2)));
        const double found = seconds_now();
        bench.expect_equal(table.size(), keys, "keys in the table");
        (has_file ? with_file : without) = opened - begin;
        std::printf("   %-32s %10.2f ms, the first find %8.1f us\n", has_file ? "with its file" : "without a file: reads the topic", (opened - begin) * 1e3,
                    (found - opened) * 1e6);
        if (has_file) {
            std::uint64_t count = 0;
            const double first = seconds_now();
            for (const auto& record : table) {
                count += record.value().size() == 100 ? 1u : 0u;
            }
            std::printf("   %-32s %10.2f ms\n", "then going through it once", (seconds_now() - first) * 1e3);
            bench.expect_equal(count, keys, "records gone through");
        }
    }
    std::printf("   => without / with: %.1f\n", with_file > 0 ? without / with_file : 0);
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "client/table: the latest value of a key", [](run& bench) {
        const std::uint64_t keys = bench.parameter("keys", 20'000, 1'000'000);
        const std::uint64_t rounds = bench.parameter("rounds", 2, 9);
        bench.print_baselines();
        const scratch_directory directory{bench.directory()};
        {
            brook::broker broker{directory / "brook", {.maintenance = brook::maintenance::manual}};
            finding(bench, broker, "one", 1, keys, rounds);
            finding(bench, broker, "four", 4, keys, rounds);
        }
        opening(bench, directory / "brook", keys);
    });
}
