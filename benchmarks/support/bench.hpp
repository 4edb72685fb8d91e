/// \file support/bench.hpp
/// What every benchmark is made of: parameters in two sizes, a clock, interleaved rounds of contenders, percentiles,
/// a result hash, and lines that look the same everywhere.
///
/// A figure is only worth something beside its bound in the same run. So contenders take turns, round by round, each
/// round gives one ratio, and what counts is the median of the ratios; the spread is printed beside it.
#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>

#include "support/machine.hpp"

namespace brook::bench {

/// Seconds since the first call. Monotonic.
[[nodiscard]] inline double seconds_now() noexcept {
    static const auto begin = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// "31.4 ns", "4.0 us", "520.5 ms": as one would say it.
[[nodiscard]] inline std::string text_of(double nanoseconds) {
    const char* const units[] = {"ns", "us", "ms", "s"};
    std::size_t unit = 0;
    for (; nanoseconds >= 10'000 && unit + 1 < std::size(units); ++unit) {
        nanoseconds /= 1'000;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %s", nanoseconds, units[unit]);
    return text;
}

/// Lowest, middle and highest of a few figures.
struct spread {
    double low = 0;
    double median = 0;
    double high = 0;
};

[[nodiscard]] inline spread spread_of(std::vector<double> figures) {
    if (figures.empty()) {
        return {};
    }
    std::sort(figures.begin(), figures.end());
    const std::size_t half = figures.size() / 2;
    const double median = figures.size() % 2 == 1 ? figures[half] : (figures[half - 1] + figures[half]) / 2;
    return {figures.front(), median, figures.back()};
}

/// Durations in nanoseconds, as percentiles.
struct percentiles {
    std::size_t count = 0;
    double p50 = 0;
    double p99 = 0;
    double p999 = 0;
    double max = 0;
};

[[nodiscard]] inline percentiles percentiles_of(std::vector<std::uint64_t> durations) {
    if (durations.empty()) {
        return {};
    }
    std::sort(durations.begin(), durations.end());
    const auto at = [&](double part) {
        const auto index = static_cast<std::size_t>(part * static_cast<double>(durations.size()));
        return static_cast<double>(durations[std::min(index, durations.size() - 1)]);
    };
    return {durations.size(), at(0.5), at(0.99), at(0.999), static_cast<double>(durations.back())};
}

/// A directory for one measurement, gone when it is. Where the benchmark was told to put its data: on the disk that
/// one wants to know about, not in /tmp, which may be memory.
class scratch_directory {
public:
    explicit scratch_directory(const std::string& base) : path_{base + "/brook-benchmark.XXXXXX"} {
        if (::mkdtemp(path_.data()) == nullptr) {
            throw std::system_error{errno, std::system_category(), "mkdtemp " + path_};
        }
    }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;
    ~scratch_directory() {
        std::error_code ignored;  // what is left behind falsifies nothing
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// One run of one benchmark program.
///
///     --smoke               the small size: checks that everything works; its figures mean nothing
///     --directory=PATH      where data goes; else $BROOK_BENCHMARK_DIRECTORY, else the current directory
///     --NAME=NUMBER         another value for a parameter, as the program prints it
///
/// Threads   confined.
class run {
public:
    run(int argc, char** argv, std::string_view name) {
        const char* const given = std::getenv("BROOK_BENCHMARK_DIRECTORY");
        directory_ = given != nullptr && *given != '\0' ? given : ".";
        for (int i = 1; i < argc; ++i) {
            const std::string_view argument{argv[i]};
            const std::size_t equals = argument.find('=');
            if (argument == "--smoke") {
                is_smoke_ = true;
            } else if (argument.starts_with("--directory=")) {
                directory_ = argument.substr(equals + 1);
            } else if (argument.starts_with("--") && equals != std::string_view::npos) {
                overrides_.push_back({std::string{argument.substr(2, equals - 2)}, number(argument.substr(equals + 1))});
            } else {
                refuse(argument);
            }
        }
        const std::string title{name};
        std::printf("\n#### %s%s\nbrook %d.%d.%d | %s | data on %s\n", title.c_str(), is_smoke_ ? " (smoke: figures mean nothing)" : "",
                    BROOK_VERSION_MAJOR, BROOK_VERSION_MINOR, BROOK_VERSION_PATCH, machine_line().c_str(),
                    filesystem_name(directory_).c_str());
    }
    run(const run&) = delete;
    run& operator=(const run&) = delete;

    [[nodiscard]] bool is_smoke() const noexcept { return is_smoke_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

    /// A number that has a smoke and a full value. Printed, so that every output says what was measured.
    [[nodiscard]] std::uint64_t parameter(std::string_view name, std::uint64_t smoke, std::uint64_t full) {
        std::uint64_t value = is_smoke_ ? smoke : full;
        for (auto& one : overrides_) {
            if (one.name == name) {
                value = one.value;
                one.is_used = true;
            }
        }
        std::printf("%.*s %llu\n", static_cast<int>(name.size()), name.data(), static_cast<unsigned long long>(value));
        return value;
    }

    /// A check of the work, not of its speed. Wrong work makes the program fail.
    void expect(bool condition, std::string_view what) {
        if (!condition) {
            std::printf("WRONG: %.*s\n", static_cast<int>(what.size()), what.data());
            is_wrong_ = true;
        }
    }

    template <class Found, class Wanted>
    void expect_equal(Found found, Wanted wanted, std::string_view what) {
        if (!std::cmp_equal(found, wanted)) {
            expect(false, std::string{what} + ": " + std::to_string(found) + ", not " + std::to_string(wanted));
        }
    }

    /// What the work computed. Printed at the end: it can be neither skipped by the compiler nor quietly changed.
    void add_hash(std::uint64_t hash) noexcept {
        hash_ = (hash_ ^ hash) * 0x9e3779b97f4a7c15u;
        has_hash_ = true;
    }

    /// Where the table in the issue names a bound, how it stands: printed, and never a reason to fail.
    void aim(std::string_view what, const spread& ratio, std::string_view rule, double bound) {
        const bool is_least = rule == ">=";
        const bool is_met = is_least ? ratio.median >= bound : ratio.median <= bound;
        std::printf("=> %.*s: %.2f (%.2f-%.2f), aim %.*s %.2f%s\n", static_cast<int>(what.size()), what.data(), ratio.median,
                    ratio.low, ratio.high, static_cast<int>(rule.size()), rule.data(), bound,
                    is_smoke_ ? "" : is_met ? ": reached" : ": NOT reached");
    }

    /// The program's exit code.
    [[nodiscard]] int finish() {
        for (const auto& one : overrides_) {
            expect(one.is_used, "there is no parameter " + one.name);
        }
        if (has_hash_) {  // where a clock decides how much is done, there is none
            std::printf("hash %016llx, ", static_cast<unsigned long long>(hash_));
        }
        std::printf("%s\n", is_wrong_ ? "WRONG" : "work checked");
        return is_wrong_ ? EXIT_FAILURE : EXIT_SUCCESS;
    }

private:
    struct override_of {
        std::string name;
        std::uint64_t value;
        bool is_used = false;
    };

    [[nodiscard]] static std::uint64_t number(std::string_view text) {
        std::uint64_t value = 0;
        const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
        if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) {
            refuse(text);
        }
        return value;
    }

    [[noreturn]] static void refuse(std::string_view argument) {
        std::fprintf(stderr, "%.*s? usage: [--smoke] [--directory=PATH] [--PARAMETER=NUMBER]...\n",
                     static_cast<int>(argument.size()), argument.data());
        std::exit(2);
    }

    bool is_smoke_ = false;
    bool is_wrong_ = false;
    std::string directory_;
    std::vector<override_of> overrides_;
    std::uint64_t hash_ = 0;
    bool has_hash_ = false;
};

/// What one contender did in one round.
struct outcome {
    std::uint64_t count = 0;    ///< records, or whatever is counted
    double seconds = 0;
    std::uint64_t hash = 0;     ///< of the work: equal for all contenders, round after round, where `has_hash`
    bool has_hash = false;
    percentiles latency{};      ///< where each operation was timed

    [[nodiscard]] double rate() const noexcept { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }
};

/// Contenders for one workload, who take turns.
///
/// Every round runs each of them once, in the same order, so that a bad minute of the machine hits all alike. What one
/// contender does before its clock starts (files, warm memory) is its own business and is not timed.
class contest {
public:
    contest(run& of, std::string title) : run_{of}, title_{std::move(title)} {}

    /// Returns its number, for `ratio`.
    template <class Go>
    std::size_t add(std::string name, Go go) {
        contenders_.push_back({std::move(name), std::move(go), {}});
        return contenders_.size() - 1;
    }

    void go(std::uint64_t rounds) {
        for (std::uint64_t round = 0; round < rounds; ++round) {
            for (auto& one : contenders_) {
                one.outcomes.push_back(one.go());
            }
        }
        check();
        print(rounds);
    }

    /// Rate of one contender over another's, round by round.
    [[nodiscard]] spread ratio(std::size_t ours, std::size_t bound) const {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < contenders_[ours].outcomes.size(); ++i) {
            ratios.push_back(contenders_[ours].outcomes[i].rate() / contenders_[bound].outcomes[i].rate());
        }
        return spread_of(std::move(ratios));
    }

    /// The same for a latency, by the p50 of each round.
    [[nodiscard]] spread latency_ratio(std::size_t ours, std::size_t bound) const {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < contenders_[ours].outcomes.size(); ++i) {
            ratios.push_back(contenders_[ours].outcomes[i].latency.p50 / contenders_[bound].outcomes[i].latency.p50);
        }
        return spread_of(std::move(ratios));
    }

    void at_least(std::size_t ours, std::size_t bound, double aim) const {
        run_.aim(name(ours) + " / " + name(bound), ratio(ours, bound), ">=", aim);
    }

    void latency_at_most(std::size_t ours, std::size_t bound, double aim) const {
        run_.aim(name(ours) + " / " + name(bound) + ", p50", latency_ratio(ours, bound), "<=", aim);
    }

    /// A ratio that nobody has set an aim for.
    void show(std::size_t ours, std::size_t bound) const {
        const spread found = ratio(ours, bound);
        std::printf("   %s / %s: %.2f (%.2f-%.2f)\n", name(ours).c_str(), name(bound).c_str(), found.median, found.low, found.high);
    }

private:
    struct contender {
        std::string name;
        std::function<outcome()> go;
        std::vector<outcome> outcomes;
    };

    [[nodiscard]] const std::string& name(std::size_t number) const { return contenders_[number].name; }

    void check() const {
        const outcome* first = nullptr;
        for (const auto& one : contenders_) {
            for (const auto& now : one.outcomes) {
                run_.expect(now.count > 0, title_ + ", " + one.name + ": did nothing");
                if (!now.has_hash) {
                    continue;
                }
                first = first == nullptr ? &now : first;
                run_.expect(now.hash == first->hash, title_ + ", " + one.name + ": did other work than the rest");
            }
        }
        if (first != nullptr) {
            run_.add_hash(first->hash);
        }
    }

    void print(std::uint64_t rounds) const {
        std::printf("\n%s: %llu rounds, median (min-max)\n", title_.c_str(), static_cast<unsigned long long>(rounds));
        for (const auto& one : contenders_) {
            std::vector<double> rates;
            std::vector<double> p50;
            std::vector<double> p99;
            std::vector<double> p999;
            std::vector<double> max;
            for (const auto& now : one.outcomes) {
                rates.push_back(now.rate());
                p50.push_back(now.latency.p50);
                p99.push_back(now.latency.p99);
                p999.push_back(now.latency.p999);
                max.push_back(now.latency.max);
            }
            const spread rate = spread_of(rates);
            const int digits = rate.median < 100 ? 2 : 0;
            std::printf("   %-46s %10s/op %12.*f op/s (%.*f-%.*f)", one.name.c_str(), text_of(1e9 / rate.median).c_str(), digits, rate.median,
                        digits, rate.low, digits, rate.high);
            if (!one.outcomes.empty() && one.outcomes.front().latency.count > 0) {
                std::printf("  p50 %s p99 %s p99.9 %s max %s", text_of(spread_of(p50).median).c_str(), text_of(spread_of(p99).median).c_str(),
                            text_of(spread_of(p999).median).c_str(), text_of(spread_of(max).high).c_str());
            }
            std::printf("\n");
        }
        std::fflush(stdout);
    }

    run& run_;
    std::string title_;
    std::vector<contender> contenders_;
};

/// Runs a benchmark's body; what it throws is wrong work.
template <class Body>
[[nodiscard]] int run_main(int argc, char** argv, std::string_view name, const Body& body) {
    run bench{argc, argv, name};
    try {
        body(bench);
    } catch (const std::exception& why) {
        bench.expect(false, why.what());
    }
    return bench.finish();
}

}  // namespace brook::bench
