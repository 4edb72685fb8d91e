/// \file peers/chronicle.hpp
/// Chronicle Queue, in a Java process of its own (Chronicle.java), told over pipes what to do.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "peers/peer.hpp"
#include "peers/prepared_file.hpp"
#include "peers/process_peer.hpp"
#include "support/bench.hpp"

namespace brook::bench {

/// Where its library and our harness lie.
struct chronicle_library {
    std::string class_path;
    std::string main_class;
    std::string version;
};

/// One mode of one version. Each has its own Java process, so that what was compiled for one mode is not shaped by another, and warms it up
/// when it is first opened. To the commands of process_peer it adds `pace` and `sustain`.
class chronicle_peer final : public process_peer {
public:
    enum class file { as_documented, prepared };

    chronicle_peer(const chronicle_library& library, std::string mode, std::string title, file how = file::as_documented)
        : process_peer{std::move(title), std::move(mode), command(library)}, library_{library}, file_{how} {}

    [[nodiscard]] std::string version() const override { return library_.version; }
    [[nodiscard]] std::string how() const override {
        const std::string common = "one excerpt a record, in a Java process that has warmed up, threads on cores of their own where nothing is synced; it has no batches. "
                                   "No checksum, no time stamp; synced: each excerpt, or the last of 100, waits for its force";
        return file_ == file::prepared ? common + ". The pages of its files are prepared behind its back, which it does not document" : common;
    }
    [[nodiscard]] bool has_batches() const override { return false; }

    [[nodiscard]] std::string why_not(const workload& what) const override {
        if (mode() == "indexed" && what.writers > 1) {
            return "it is for one writer";
        }
        return file_ == file::prepared && what.level == durability::synced ? "a force would write the prepared pages, too" : "";
    }

    void open(const std::string& directory, const workload& what) override {
        if (std::exchange(is_warm_, true) == false) {
            warm_up(directory, what);
        }
        if (file_ == file::prepared) {
            prepare_file(directory + "/queue.data", 0, what.payload_bytes() + what.payload_bytes() / 8 + (std::uint64_t{1} << 20));
            prepare_file(directory + "/queue.index", 0, what.records * 8 + (std::uint64_t{1} << 20));
        }
        start(directory, what);
    }

    [[nodiscard]] double handover_rate() const override { return 100'000; }

    std::vector<std::uint64_t> hand_over(const workload&, std::uint64_t records, double rate) override {
        std::istringstream answer{ask("pace " + std::to_string(records) + ' ' + std::to_string(rate))};
        std::vector<std::uint64_t> seen;
        for (std::uint64_t one = 0; answer >> one;) {
            seen.push_back(one);
        }
        return seen;
    }

    /// Lone records, one after the other. Of the gaps between two appends `gaps` has the percentiles.
    appended sustain(std::uint64_t records, percentiles& gaps) override {
        std::istringstream answer{ask("sustain " + std::to_string(records))};
        std::uint64_t done = 0;
        std::uint64_t taken = 0;
        answer >> done >> taken >> gaps.p50 >> gaps.p99 >> gaps.p999 >> gaps.max;
        gaps.count = done;
        appended all;
        all.records.push_back(done);
        all.seconds = static_cast<double>(taken) / 1e9;
        return all;
    }

private:
    [[nodiscard]] static std::vector<std::string> command(const chronicle_library& library) {
        std::vector<std::string> words{"java", "-Xmx1g", "-XX:+UseParallelGC", "-Dchronicle.analytics.disable=true", "-Dchronicle.announcer.disable=true"};
        for (const char* one : {"java.base/jdk.internal.ref", "java.base/sun.nio.ch", "java.base/jdk.internal.misc", "jdk.unsupported/sun.misc",
                                "jdk.compiler/com.sun.tools.javac.file"}) {
            words.push_back(std::string{"--add-exports="} + one + "=ALL-UNNAMED");
        }
        for (const char* one : {"java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.io", "java.base/java.nio", "java.base/java.util",
                                "java.base/sun.nio.ch", "java.base/jdk.internal.ref", "java.base/jdk.internal.misc", "jdk.compiler/com.sun.tools.javac"}) {
            words.push_back(std::string{"--add-opens="} + one + "=ALL-UNNAMED");
        }
        words.insert(words.end(), {"-cp", library.class_path, library.main_class});
        return words;
    }

    /// The compiler needs a few runs of some length before it is done.
    void warm_up(const std::string& directory, const workload& what) {
        workload shorter = what;
        shorter.level = durability::visible;
        shorter.batch = 1;
        shorter.writers = 1;
        shorter.is_timed = false;
        shorter.value_bytes = 100;
        shorter.records = 1'000'000;
        const int runs = what.seconds < 0.1 ? 1 : 5;  // in a smoke run nothing is to be had from it
        for (int i = 0; i < runs; ++i) {
            const scratch_directory here{directory};
            start(here.path(), shorter);
            static_cast<void>(append(shorter));
            static_cast<void>(read());
            close();
        }
    }

    chronicle_library library_;
    file file_;
    bool is_warm_ = false;
};

}  // namespace brook::bench
