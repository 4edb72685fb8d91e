/// \file peers/process_peer.hpp
/// Peers of another language: a process of their own that is told over pipes what to do, so that its rounds interleave with the others'.
///
/// A command is a line of words, its answer a line; "failed ..." says why there is none. What is timed is timed there.
///
///     open DIRECTORY MODE SYNCED VALUE_BYTES BATCH      an empty store, or what is there
///     append RECORDS SECONDS WRITERS TIMED              nanoseconds, then per writer the records; where timed, then ns of each batch
///     read                                              records, sum of first bytes, nanoseconds
///     close                                             0
///     version MODE                                      the library's, where it can say it
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "peers/peer.hpp"
#include "peers/server.hpp"

namespace brook::bench {

class process_peer : public peer {
public:
    /// `mode` is what the process is to open, `title` how it is called here.
    process_peer(std::string title, std::string mode, std::vector<std::string> command)
        : title_{std::move(title)}, mode_{std::move(mode)}, process_{std::move(command)} {
        if (const std::string line = process_.line(); line != "ready") {
            fail(title_, "its process says " + line);
        }
    }

    [[nodiscard]] std::string name() const override { return title_; }

    void open(const std::string& directory, const workload& what) override { start(directory, what); }

    bool reopen(const std::string& directory, const workload& what) override {
        start(directory, what);
        return true;
    }

    void write(unsigned, const workload&, share&) override { fail(title_, "it writes from its own threads"); }

    appended append(const workload& what) override {
        std::istringstream answer{ask("append " + std::to_string(what.records) + ' ' + std::to_string(what.seconds) + ' ' + std::to_string(what.writers) +
                                      (what.is_timed ? " 1" : " 0"))};
        appended done;
        std::uint64_t taken = 0;
        answer >> taken;
        done.seconds = static_cast<double>(taken) / 1e9;
        for (std::uint64_t one = 0; done.records.size() < what.writers && answer >> one;) {
            done.records.push_back(one);
        }
        for (std::uint64_t one = 0; answer >> one;) {
            done.times.push_back(one);
        }
        return done;
    }

    found read() override {
        std::istringstream answer{ask("read")};
        found all;
        std::uint64_t taken = 0;
        answer >> all.records >> all.sum >> taken;
        all.seconds = static_cast<double>(taken) / 1e9;
        return all;
    }

    void close() override { static_cast<void>(ask("close")); }

protected:
    [[nodiscard]] const std::string& mode() const noexcept { return mode_; }

    [[nodiscard]] std::string ask(const std::string& line) {
        std::string answer = process_.call(line);
        if (answer.starts_with("failed")) {
            fail(title_, answer + " (" + line + ")");
        }
        return answer;
    }

    void start(const std::string& directory, const workload& what) {
        static_cast<void>(ask("open " + directory + ' ' + mode_ + (what.level == durability::synced ? " 1 " : " 0 ") + std::to_string(what.value_bytes) + ' ' +
                              std::to_string(what.batch)));
    }

private:
    std::string title_;
    std::string mode_;
    line_process process_;
};

/// A log for Go or Rust, behind the harness in `go` or `rust`.
struct foreign_log {
    const char* title;
    const char* mode;
    const char* program;
    const char* how;
    const char* why_never_synced;  ///< empty: it can
};

class foreign_log_peer final : public process_peer {
public:
    explicit foreign_log_peer(const foreign_log& log)
        : process_peer{log.title, log.mode, {log.program}}, log_{log}, version_{ask(std::string{"version "} + log.mode)} {}

    [[nodiscard]] std::string version() const override { return version_; }
    [[nodiscard]] std::string how() const override { return log_.how; }
    [[nodiscard]] std::string why_not(const workload& what) const override { return what.level == durability::synced ? log_.why_never_synced : ""; }

private:
    const foreign_log& log_;  // a constant of the program
    std::string version_;
};

}  // namespace brook::bench
