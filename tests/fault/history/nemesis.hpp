/// \file fault/history/nemesis.hpp
/// What goes wrong in a run, and when: processes, network and disks.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "fault/history/control.hpp"
#include "fault/history/proxy.hpp"
#include "fault/history/recorder.hpp"
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"

namespace brook::test::history {

/// Mounts that nobody else sees and that go with this process. Empty, or why there are none.
[[nodiscard]] inline std::string leave_for_own_mounts() {
    const auto write_text = [](const char* path, const std::string& text) {
        const int file = ::open(path, O_WRONLY | O_CLOEXEC);
        [[maybe_unused]] const auto written = ::write(file, text.data(), text.size());  // where it is refused, mounting is too
        ::close(file);
    };
    const auto why = [](const char* what) { return what + (": " + std::error_code{errno, std::system_category()}.message()); };
    const std::string user = std::to_string(::geteuid());
    const std::string group = std::to_string(::getegid());
    if (::unshare(CLONE_NEWNS) != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return why("unshare");
        }
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", "0 " + user + " 1");
        write_text("/proc/self/gid_map", "0 " + group + " 1");
    }
    return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? std::string{} : why("private mounts");
}

/// The disk of one broker: a file system of its own in memory, where that is allowed, which can be made too small.
class broker_disk {
public:
    broker_disk(std::string path, bool may_mount) : path_{std::move(path)} {
        if (::mkdir(path_.c_str(), 0700) != 0) {
            throw_errno(path_);
        }
        is_mounted_ = may_mount && mount(0, whole);
    }
    broker_disk(const broker_disk&) = delete;
    broker_disk& operator=(const broker_disk&) = delete;
    ~broker_disk() {
        if (is_mounted_) {
            ::umount2(path_.c_str(), MNT_DETACH);
        }
    }

    [[nodiscard]] bool can_be_full() const noexcept { return is_mounted_; }

    /// As much as is used, and this.
    [[nodiscard]] bool fill(std::uint64_t left) const {
        struct statvfs status {};
        return ::statvfs(path_.c_str(), &status) == 0 && mount(MS_REMOUNT, (status.f_blocks - status.f_bfree) * status.f_frsize + left);
    }
    [[nodiscard]] bool empty() const { return mount(MS_REMOUNT, whole); }

private:
    static constexpr std::uint64_t whole = std::uint64_t{6} << 30;

    [[nodiscard]] bool mount(unsigned long flags, std::uint64_t bytes) const {
        const std::string options = "mode=0700,size=" + std::to_string(bytes);
        return ::mount("brook-test", path_.c_str(), "tmpfs", flags, options.c_str()) == 0;
    }

    const std::string path_;
    bool is_mounted_ = false;
};

enum class fault : std::uint8_t { kill, kill_all, pause, cut, isolate, one_way, deaf, mute, delay, reset, full_disk };
inline constexpr std::size_t fault_count = 11;
inline constexpr std::array<std::string_view, fault_count> fault_names{
    "SIGKILL", "SIGKILL of all", "SIGSTOP", "link cut", "broker cut off", "link cut one way", "broker deaf", "broker mute", "delays", "connections reset", "disk full"};

/// A broker that led was killed when nothing else was wrong.
struct death {
    std::int64_t when;
    std::vector<std::uint16_t> partitions;  ///< that it led
};

/// Starts the brokers' processes, lets go wrong what can, and puts it right again.
///
/// Threads   confined.
class nemesis {
public:
    nemesis(std::string directory, control& shared, bool may_mount, std::int64_t interval)
        : directory_{std::move(directory)}, control_{shared}, interval_{interval}, random_{shared.seed}, proxy_{shared.base_port} {
        for (std::size_t i = 0; i < node_count; ++i) {
            disks_.push_back(std::make_unique<broker_disk>(directory_ + "/disk-" + std::to_string(i + 1), may_mount));
        }
    }
    nemesis(const nemesis&) = delete;
    nemesis& operator=(const nemesis&) = delete;
    ~nemesis() { end(); }

    /// Nobody writes a history any more.
    void end() {
        for (node& one : nodes_) {
            if (one.process > 0) {
                ::kill(one.process, SIGKILL);
                static_cast<void>(await_end(one.process));
                one.process = 0;
            }
        }
    }

    [[nodiscard]] const std::array<std::uint64_t, fault_count>& faults() const noexcept { return faults_; }
    [[nodiscard]] std::uint64_t all_faults() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t count : faults_) {
            sum += count;
        }
        return sum;
    }
    [[nodiscard]] const std::vector<death>& deaths() const noexcept { return deaths_; }
    [[nodiscard]] bool can_fill_disks() const noexcept { return disks_[0]->can_be_full(); }
    [[nodiscard]] std::int64_t longest_start() const noexcept { return longest_start_; }
    [[nodiscard]] const proxy& network() const noexcept { return proxy_; }

    /// The first thing that went wrong and should not have; empty: none.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

    void start_all() {
        for (int id = 1; id <= static_cast<int>(node_count); ++id) {
            start(id);
        }
    }

    /// Does what is due; may let something go wrong.
    void step() {
        const std::int64_t time = now();
        look_at_processes();
        for (std::size_t i = 0; i < undone_.size();) {
            if (undone_[i].due <= time) {
                const auto undo = std::move(undone_[i].undo);
                undone_.erase(undone_.begin() + static_cast<std::ptrdiff_t>(i));
                undo();
                last_end_ = now();
            } else {
                ++i;
            }
        }
        if (time >= next_) {
            const bool is_rough = !awaits_calm_ && random_() % 6 == 0;  // else one thing at a time
            if ((undone_.empty() && are_all_up()) || (is_rough && undone_.size() < 3)) {
                let_go_wrong();
            }
        }
    }

    /// Puts everything right that is wrong.
    void heal() {
        while (!undone_.empty()) {
            const auto undo = std::move(undone_.back().undo);
            undone_.pop_back();
            undo();
        }
    }

    [[nodiscard]] bool are_all_up() const noexcept {
        for (int id = 1; id <= static_cast<int>(node_count); ++id) {
            if (nodes_[at(id)].process <= 0 || nodes_[at(id)].is_stopped || control_.nodes[at(id)].ready.load() != nodes_[at(id)].life) {
                return false;
            }
        }
        return true;
    }

    /// Of each process that runs, whether that number is its life.
    template <class Member>
    [[nodiscard]] bool have_all(Member member) {
        look_at_processes();
        for (std::size_t id = 1; id <= node_count; ++id) {
            if ((control_.nodes[id].*member).load() != nodes_[id].life) {
                return false;
            }
        }
        return true;
    }

    /// Waits for the processes to go by themselves.
    void bury() {
        for (std::size_t id = 1; id <= node_count; ++id) {
            if (nodes_[id].process > 0) {
                const int status = await_end(nodes_[id].process);
                nodes_[id].process = 0;
                if (status != 0) {
                    say("broker " + std::to_string(id) + " ended with status " + std::to_string(status));
                }
            }
        }
    }

    void say(const std::string& what) {
        std::printf("BAD  %s\n", what.c_str());
        if (problem_.empty()) {
            problem_ = what;
        }
    }

private:
    static constexpr std::int64_t ms = 1'000'000;

    struct node {
        pid_t process = 0;
        std::uint32_t life = 0;
        std::int64_t started = 0;
        bool is_stopped = false;
        bool is_up = false;
    };
    struct undoing {
        std::int64_t due;
        std::function<void()> undo;
    };

    [[nodiscard]] static std::size_t at(int id) noexcept { return static_cast<std::size_t>(id); }

    void start(int id) {
        node& one = nodes_[at(id)];
        ++one.life;
        one.started = now();
        one.is_stopped = false;
        one.is_up = false;
        const std::string life = std::to_string(one.life);
        const std::string number = std::to_string(id);
        const std::string log = directory_ + "/stderr-" + number;
        const pid_t child = fork_child();
        if (child == 0) {
            die_with_parent();
            const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
            ::dup2(file, STDERR_FILENO);
            ::execl("/proc/self/exe", "brook_fault", "histories", "--node", number.c_str(), life.c_str(), directory_.c_str(), nullptr);
            ::_exit(127);
        }
        one.process = child;
    }

    void look_at_processes() {
        for (int id = 1; id <= static_cast<int>(node_count); ++id) {
            node& one = nodes_[at(id)];
            int status = 0;
            if (one.process > 0 && ::waitpid(one.process, &status, WNOHANG) == one.process) {
                one.process = 0;
                if (control_.at.load() != phase::leave || status != 0) {
                    say("broker " + std::to_string(id) + " ended by itself in life " + std::to_string(one.life) + ", with status " + std::to_string(status) + "; see " + directory_ + "/stderr-" +
                        std::to_string(id));
                }
            }
            if (one.process > 0 && !one.is_up && control_.nodes[at(id)].ready.load() == one.life) {
                one.is_up = true;
                longest_start_ = std::max(longest_start_, now() - one.started);
            }
        }
    }

    [[nodiscard]] std::int64_t draw(std::int64_t from, std::int64_t to) { return from + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(to - from)); }
    [[nodiscard]] int leader_of_some() {
        const int leader = static_cast<int>(control_.leader[random_() % control_.partitions].load() & 0xff);
        return leader >= 1 && leader <= static_cast<int>(node_count) ? leader : 1;
    }
    [[nodiscard]] int any_node() { return 1 + static_cast<int>(random_() % node_count); }
    [[nodiscard]] int victim() { return random_() % 3 != 0 ? leader_of_some() : any_node(); }
    [[nodiscard]] int other_than(int id) { return (id - 1 + 1 + static_cast<int>(random_() % (node_count - 1))) % static_cast<int>(node_count) + 1; }
    template <class Use>
    static void with_others(int id, const Use& use) {
        for (int other = 1; other <= static_cast<int>(node_count); ++other) {
            if (other != id) {
                use(other);
            }
        }
    }

    void undo_in(std::int64_t how_long, std::function<void()> undo) { undone_.push_back({now() + how_long, std::move(undo)}); }

    void let_go_wrong() {
        static constexpr std::array<unsigned, fault_count> odds{28, 1, 16, 8, 10, 8, 5, 5, 7, 10, 6};
        unsigned sum = 0;
        for (const unsigned one : odds) {
            sum += one;
        }
        unsigned drawn = static_cast<unsigned>(random_() % sum);
        std::size_t kind = 0;
        while (drawn >= odds[kind]) {
            drawn -= odds[kind++];
        }
        const std::int64_t timeout = control_.election_timeout;
        const bool is_calm = undone_.empty() && are_all_up() && now() - last_end_ > timeout * 2;
        if (std::exchange(awaits_calm_, false)) {
            kind = static_cast<std::size_t>(fault::kill);
        } else if (static_cast<fault>(kind) == fault::kill && !is_calm && undone_.empty() && random_() % 4 != 0) {
            awaits_calm_ = true;  // so that there are some deaths with nothing else at the same time
            next_ = now() + timeout * 2 + draw(0, timeout);
            return;
        }
        next_ = now() + draw(interval_ / 2, interval_ * 3 / 2);
        if (do_wrong(static_cast<fault>(kind), timeout, is_calm)) {
            ++faults_[kind];
        }
    }

    /// False: that cannot go wrong just now.
    [[nodiscard]] bool do_wrong(fault what, std::int64_t timeout, bool is_calm) {
        const int id = victim();
        const int other = other_than(id);
        node& one = nodes_[at(id)];
        const std::int64_t a_while = random_() % 4 == 0 ? draw(timeout * 2, timeout * 6) : draw(timeout / 4, timeout * 2);
        switch (what) {
            case fault::kill: {
                if (one.process <= 0 || one.is_stopped) {
                    return false;
                }
                death seen;
                for (std::uint32_t partition = 0; partition < control_.partitions; ++partition) {
                    if (static_cast<int>(control_.leader[partition].load() & 0xff) == id) {
                        seen.partitions.push_back(static_cast<std::uint16_t>(partition));
                    }
                }
                kill(id);
                seen.when = now();
                if (is_calm && !seen.partitions.empty()) {
                    next_ = std::max(next_, now() + 3 * timeout);  // the fail-over is looked at alone
                    deaths_.push_back(std::move(seen));
                }
                undo_in(a_while, [this, id] { start(id); });
                return true;
            }
            case fault::kill_all: {
                if (!are_all_up()) {
                    return false;
                }
                for (int each = 1; each <= static_cast<int>(node_count); ++each) {
                    kill(each);
                    undo_in(draw(0, a_while + 1), [this, each] { start(each); });
                }
                return true;
            }
            case fault::pause:
                if (one.process <= 0 || one.is_stopped) {
                    return false;
                }
                ::kill(one.process, SIGSTOP);
                one.is_stopped = true;
                undo_in(a_while, [this, id, process = one.process] {
                    if (nodes_[at(id)].process == process) {
                        ::kill(process, SIGCONT);
                        nodes_[at(id)].is_stopped = false;
                    }
                });
                return true;
            case fault::cut: hold(id, other, a_while); hold(other, id, a_while); return true;
            case fault::isolate: with_others(id, [&](int each) { hold(id, each, a_while); hold(each, id, a_while); }); return true;
            case fault::one_way: hold(id, other, a_while); return true;
            case fault::deaf: with_others(id, [&](int each) { hold(each, id, a_while); }); return true;
            case fault::mute: with_others(id, [&](int each) { hold(id, each, a_while); }); return true;
            case fault::delay: {
                const auto most = static_cast<int>(draw(1'000, std::max<std::int64_t>(timeout / 1'000 / 2, 2'000)));
                with_others(id, [&](int each) { proxy_.delay(id, each, most); proxy_.delay(each, id, most); });
                undo_in(a_while, [this, id] { with_others(id, [&](int each) { proxy_.delay(id, each, 0); proxy_.delay(each, id, 0); }); });
                return true;
            }
            case fault::reset:
                if (random_() % 2 == 0) {
                    proxy_.reset(id, other);
                } else {
                    with_others(id, [&](int each) { proxy_.reset(id, each); });
                }
                return true;
            case fault::full_disk:
                if (!can_fill_disks() || !disks_[at(id) - 1]->fill(random_() % 2 == 0 ? 0 : random_() % (3u << 20))) {
                    return false;
                }
                undo_in(a_while, [this, id] {
                    if (!disks_[at(id) - 1]->empty()) {
                        say("a disk does not become larger again");
                    }
                });
                return true;
        }
        return false;
    }

    void kill(int id) {
        node& one = nodes_[at(id)];
        ::kill(one.process, SIGKILL);
        static_cast<void>(await_end(one.process));
        one.process = 0;
        one.is_stopped = false;
    }

    /// What was held up comes in the end, or is lost with its connections.
    void hold(int from, int to, std::int64_t how_long) {
        proxy_.hold(from, to, true);
        const bool is_lost = random_() % 2 == 0;
        undo_in(how_long, [this, from, to, is_lost] {
            if (is_lost) {
                proxy_.reset(from, to);
            }
            proxy_.hold(from, to, false);
        });
    }

    const std::string directory_;
    control& control_;
    const std::int64_t interval_;
    std::mt19937_64 random_;
    proxy proxy_;
    std::vector<std::unique_ptr<broker_disk>> disks_;
    std::array<node, node_count + 1> nodes_{};  // by number
    std::vector<undoing> undone_;
    std::int64_t next_ = 0;
    std::int64_t last_end_ = 0;
    bool awaits_calm_ = false;
    std::int64_t longest_start_ = 0;
    std::array<std::uint64_t, fault_count> faults_{};
    std::vector<death> deaths_;
    std::string problem_;
};

}  // namespace brook::test::history
