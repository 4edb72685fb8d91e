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
#include <cstring>
#include <ctime>
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
#include "support/results.hpp"

namespace brook::bench {

/// What looks random here, values and orders, comes from generators that begin with it, in each run and for all contenders.
inline constexpr std::uint32_t seed = 1;

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
    std::vector<std::pair<double, double>> curve{};  ///< part of all, and what it takes: three steps a decade up to the last one
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
    percentiles found{durations.size(), at(0.5), at(0.99), at(0.999), static_cast<double>(durations.back()), {}};
    for (const double part : {0.0, 0.25, 0.5, 0.75}) {
        found.curve.emplace_back(part, at(part));
    }
    for (double rest = 0.1; rest * static_cast<double>(durations.size()) >= 1; rest /= 10) {
        for (const double step : {1.0, 0.5, 0.2}) {
            found.curve.emplace_back(1 - rest * step, at(1 - rest * step));
        }
    }
    return found;
}

/// "2026-01-31T12:00:00Z"
[[nodiscard]] inline std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%FT%TZ", &parts);
    return text;
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
///     --results=FILE        what is found is appended there, a JSON object a line (support/results.hpp)
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
            } else if (argument.starts_with("--results=")) {
                open_results(std::string{argument.substr(equals + 1)});
            } else if (argument.starts_with("--") && equals != std::string_view::npos) {
                overrides_.push_back({std::string{argument.substr(2, equals - 2)}, number(argument.substr(equals + 1))});
            } else {
                refuse(argument);
            }
        }
        const std::string title{name};
        title_ = title;
        program_ = title.substr(0, title.find(':'));
        std::printf("\n#### %s%s\nbrook %s | %s | data on %s\n", title.c_str(), is_smoke_ ? " (smoke: figures mean nothing)" : "",
                    version().c_str(), machine_line().c_str(), filesystem_name(directory_).c_str());
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
        parameters_.number(name, static_cast<double>(value));
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

    /// How a ratio stands beside what is aimed at: printed, and never a reason to fail.
    void aim(std::string_view what, const spread& ratio, std::string_view rule, double bound) {
        const bool is_least = rule == ">=";
        const bool is_met = is_least ? ratio.median >= bound : ratio.median <= bound;
        std::printf("=> %.*s: %.2f (%.2f-%.2f), aim %.*s %.2f%s\n", static_cast<int>(what.size()), what.data(), ratio.median,
                    ratio.low, ratio.high, static_cast<int>(rule.size()), rule.data(), bound,
                    is_smoke_ ? "" : is_met ? ": reached" : ": NOT reached");
        note(line("aim").text("what", what).numbers("ratio", ratio).text("rule", rule).number("bound", bound).flag("reached", is_met));
    }

    /// A ratio that nobody has set an aim for.
    void show(std::string_view what, const spread& ratio) {
        std::printf("   %.*s: %.2f (%.2f-%.2f)\n", static_cast<int>(what.size()), what.data(), ratio.median, ratio.low, ratio.high);
        note(line("aim").text("what", what).numbers("ratio", ratio));
    }

    // ---- for the report ----

    /// A line of the results file that says what it is, and of which program.
    [[nodiscard]] json_line line(std::string_view kind) const {
        json_line made;
        made.text("kind", kind).text("program", program_);
        return made;
    }
    void note(const json_line& made) { results_.write(made); }

    /// A point of a line chart.
    void point(std::string_view chart, std::string_view x_label, std::string_view y_label, std::string_view series, double x, const spread& y) {
        note(line("point").text("chart", chart).text("x_label", x_label).text("y_label", y_label).text("series", series).number("x", x).numbers("y", y));
    }

    /// Who takes part, in which version, used how; what is not alike between it and brook belongs there.
    void peer(std::string_view name, std::string_view version, std::string_view how) {
        std::printf("   %.*s %.*s: %.*s\n", static_cast<int>(name.size()), name.data(), static_cast<int>(version.size()), version.data(),
                    static_cast<int>(how.size()), how.data());
        note(line("peer").text("name", name).text("version", version).text("how", how));
    }

    /// Who does not, and why.
    void left_out(std::string_view name, std::string_view why) {
        std::printf("   left out: %.*s: %.*s\n", static_cast<int>(name.size()), name.data(), static_cast<int>(why.size()), why.data());
        note(line("left_out").text("name", name).text("why", why));
    }

    /// Prints the lines that every figure of the same output is read against, and notes them.
    void print_baselines() {
        const baselines found = measure_baselines(is_smoke_);
        print(found);
        note(line("baselines").number("stolen", found.taken.stolen).number("gap_p50", found.taken.gap_p50).number("gap_max", found.taken.gap_max)
                 .number("line_handover", found.line_handover).number("memcpy_104", found.memcpy_104).number("page_fault", found.page_fault));
    }

    /// The program's exit code.
    [[nodiscard]] int finish() {
        for (const auto& one : overrides_) {
            expect(one.is_used, "there is no parameter " + one.name);
        }
        note(line("run").text("title", title_).text("version", version()).text("machine", machine_line()).text("file_system", filesystem_name(directory_))
                 .flag("smoke", is_smoke_).flag("checked", !is_wrong_).number("seed", seed).text("when", utc_now()).object("parameters", parameters_));
        expect(results_.is_good(), "the results cannot be written");
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

    [[nodiscard]] static std::string version() {
        return std::to_string(BROOK_VERSION_MAJOR) + '.' + std::to_string(BROOK_VERSION_MINOR) + '.' + std::to_string(BROOK_VERSION_PATCH);
    }

    void open_results(const std::string& path) {
        if (!results_.open(path)) {
            std::fprintf(stderr, "%s cannot be written: %s\n", path.c_str(), std::strerror(errno));
            std::exit(2);
        }
    }

    [[nodiscard]] static std::uint64_t number(std::string_view text) {
        std::uint64_t value = 0;
        const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
        if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) {
            refuse(text);
        }
        return value;
    }

    [[noreturn]] static void refuse(std::string_view argument) {
        std::fprintf(stderr, "%.*s? usage: [--smoke] [--directory=PATH] [--results=FILE] [--PARAMETER=NUMBER]...\n",
                     static_cast<int>(argument.size()), argument.data());
        std::exit(2);
    }

    bool is_smoke_ = false;
    bool is_wrong_ = false;
    std::string directory_;
    std::string title_;
    std::string program_;  ///< what the title says before its colon
    std::vector<override_of> overrides_;
    json_line parameters_;
    results_file results_;
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
        run_.aim(title_ + ": " + name(ours) + " / " + name(bound), ratio(ours, bound), ">=", aim);
    }

    void latency_at_most(std::size_t ours, std::size_t bound, double aim) const {
        run_.aim(title_ + ": " + name(ours) + " / " + name(bound) + ", p50", latency_ratio(ours, bound), "<=", aim);
    }

    /// A ratio that nobody has set an aim for.
    void show(std::size_t ours, std::size_t bound) const { run_.show(title_ + ": " + name(ours) + " / " + name(bound), ratio(ours, bound)); }

    /// Rates of one contender's rounds.
    [[nodiscard]] spread rate(std::size_t ours) const {
        std::vector<double> rates;
        for (const auto& now : contenders_[ours].outcomes) {
            rates.push_back(now.rate());
        }
        return spread_of(std::move(rates));
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

    /// A figure of each of its rounds.
    template <class Of>
    [[nodiscard]] static spread over_rounds(const contender& one, const Of& figure) {
        std::vector<double> figures;
        for (const auto& now : one.outcomes) {
            figures.push_back(figure(now.latency));
        }
        return spread_of(std::move(figures));
    }

    /// The median over the rounds of each step.
    [[nodiscard]] static std::vector<std::pair<double, double>> curve_of(const contender& one) {
        std::vector<std::pair<double, double>> curve;
        for (std::size_t step = 0;; ++step) {
            std::vector<double> figures;
            double part = 0;
            for (const auto& now : one.outcomes) {
                if (step < now.latency.curve.size()) {
                    part = now.latency.curve[step].first;
                    figures.push_back(now.latency.curve[step].second);
                }
            }
            if (figures.empty()) {
                return curve;
            }
            curve.emplace_back(part, spread_of(std::move(figures)).median);
        }
    }

    void print(std::uint64_t rounds) const {
        std::printf("\n%s: %llu rounds, median (min-max)\n", title_.c_str(), static_cast<unsigned long long>(rounds));
        std::vector<json_line> noted;
        for (std::size_t number = 0; number < contenders_.size(); ++number) {
            const contender& one = contenders_[number];
            const spread rates = rate(number);
            const int digits = rates.median < 100 ? 2 : 0;
            json_line made;
            made.text("name", one.name).numbers("rate", rates);
            std::printf("   %-46s %10s/op %12.*f op/s (%.*f-%.*f)", one.name.c_str(), text_of(1e9 / rates.median).c_str(), digits, rates.median,
                        digits, rates.low, digits, rates.high);
            if (!one.outcomes.empty() && one.outcomes.front().latency.count > 0) {
                const double p50 = over_rounds(one, [](const percentiles& all) { return all.p50; }).median;
                const double p99 = over_rounds(one, [](const percentiles& all) { return all.p99; }).median;
                const double p999 = over_rounds(one, [](const percentiles& all) { return all.p999; }).median;
                const double max = over_rounds(one, [](const percentiles& all) { return all.max; }).high;
                std::printf("  p50 %s p99 %s p99.9 %s max %s", text_of(p50).c_str(), text_of(p99).c_str(), text_of(p999).c_str(), text_of(max).c_str());
                json_line latency;
                latency.number("p50", p50).number("p99", p99).number("p999", p999).number("max", max).pairs("curve", curve_of(one));
                made.object("latency", latency);
            }
            std::printf("\n");
            noted.push_back(std::move(made));
        }
        std::fflush(stdout);
        run_.note(run_.line("contest").text("title", title_).number("rounds", static_cast<double>(rounds)).objects("contenders", noted));
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
