// T9: what does a broker give and say when any byte or file of its store is not what it wrote?
//
// A small store with everything in it: segments that are sealed, rolled and open, lone records, batches, headers, a
// tombstone, a filler, evidence, committed offsets, two topics, all side files. It is damaged in one place or a few, then
// opened, read, appended to, closed, and opened and read again: bits flipped; sectors zeroed, overwritten, doubled,
// exchanged, from another file, from an older copy; files cut at every length, missing, exchanged, from an older copy;
// whole frames that never arrived; and any few of these together. Twice: as the process left it in the same boot, and as
// after a reboot. And for two stores: one that was closed, one whose process was killed with claims open. What must hold
// is told in fault/damage_oracle.hpp.
//
// Each batch of damages runs in a process of its own, so that a crash or an endless loop is one more finding. The damaged
// store is in memory, so that there are thousands of damages a second; one of 64 is on the disk, as users have it.
//
// usage: brook_fault corruption_sweep [seconds|full] [seed] [store] [damage]
//        seconds: how long, 15 by default, BROOK_FAULT_SECONDS otherwise; all bits of a partition's headers and
//        checkpoint and of the metas are flipped, however long it takes, for the rest a sample is drawn; in less than 5 s a sample
//        of those bits, too; from 120 s on first all bits of the closed store that mean anything. No damage is done twice.
//        full: all there is, for 300 s, then it tells where to go on
//        store: 0 closed, 1 closed and rebooted, 2 killed, 3 killed and rebooted; all four if not given
//        damage: one alone, by its number; with full: all from this one on
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fault/damage_oracle.hpp"
#include "fault/program.hpp"
#include "fault/small_store.hpp"
#include "fuzz/memory_platform.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_corruption_sweep {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t sector = 512;

[[nodiscard]] std::uint64_t mixed(std::uint64_t value) noexcept {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

// ---- what can be done to a file ----

void flip_bit(std::string& content, std::uint64_t bit) {
    char& byte = content.at(bit / 8);  // an earlier damage of a few may have cut it off
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1u << bit % 8));
}

void fill_with_noise(std::string& content, std::size_t at, std::size_t size, std::uint64_t seed) {
    for (std::size_t i = at; i < at + size && i < content.size(); ++i) {
        content[i] = static_cast<char>(mixed(seed + i));
    }
}

/// Copies up to a sector's bytes, as far as both files reach.
void copy_sector(std::string& content, std::size_t to, const std::string& from, std::size_t at) {
    if (at < from.size() && to < content.size()) {
        const std::size_t size = std::min({sector, content.size() - to, from.size() - at});
        content.replace(to, size, from, at, size);
    }
}

/// Where the bytes of a file end that mean anything, and a few more.
[[nodiscard]] std::size_t meaning_of(const std::string& path, const std::string& content) {
    std::size_t end = content.size();
    if (is_segment(path)) {
        end = end_of_frames(content) + 64;
    } else if (path.ends_with(".index")) {
        end = content.find_last_not_of('\0') + 1 + 64;
    }
    return std::min(end, content.size());
}

// ---- all damages of one store ----

/// Damages by number: families, one after the other.
class damage_list {
public:
    damage_list(const std::vector<store_moment>& moments, const store_moment& base, std::uint64_t seed, std::uint64_t random_count)
        : base_{base}, seed_{seed} {
        for (const auto& moment : moments) {
            if (&moment <= &base) {  // what came later is no older copy
                moments_.push_back(moment);
            }
        }
        for (const auto& [path, content] : base.files) {
            paths_.push_back(path);
        }
        add_flips();
        add_sectors();
        add_cuts();
        add_frames();
        add_missing();
        add_exchanged();
        add_older();
        add("several", random_count, [this](file_tree& files, std::uint64_t i) { return several(files, i); });
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

    struct span {
        std::string name;
        std::uint64_t begin;
        std::uint64_t end;
    };
    /// For the report of a full run.
    [[nodiscard]] std::uint64_t bits() const noexcept { return spans_[0].end + spans_[1].end - spans_[1].begin; }
    [[nodiscard]] const std::vector<span>& families() const noexcept { return spans_; }

    /// Does it to a copy of the store's files. Returns what it was.
    std::string apply(std::uint64_t number, file_tree& files) const {
        std::size_t family = 0;
        while (number >= spans_[family].end) {
            ++family;
        }
        return spans_[family].name + ": " + acts_[family](files, number - spans_[family].begin);
    }

private:
    using act = std::function<std::string(file_tree&, std::uint64_t)>;

    void add(const char* name, std::uint64_t count, act done) {
        spans_.push_back({name, count_, count_ + count});
        acts_.push_back(std::move(done));
        count_ += count;
    }

    [[nodiscard]] static std::string text(const std::string& path, std::uint64_t at) { return path + " at " + std::to_string(at); }

    struct place {
        std::size_t file;
        std::uint64_t at;
    };

    // ---- bits ----

    void add_flips() {
        std::vector<place> vital;   // what opening relies on
        std::vector<place> others;  // of bytes that mean something
        std::vector<place> idle;    // of bytes that do not
        for (std::size_t file = 0; file < paths_.size(); ++file) {
            const std::string& path = paths_[file];
            const std::string& content = base_.files.at(path);
            const std::size_t end = meaning_of(path, content);
            for (std::uint64_t bit = 0; bit < content.size() * 8; ++bit) {
                const std::uint64_t byte = bit / 8;
                const bool is_header = path.starts_with("topics/ledger/0/") && is_segment(path) &&
                                       (byte < 80 || (byte >= 128 && byte < 176) || (byte >= format::footer_at && byte < format::footer_at + sizeof(format::segment_footer)));
                const bool is_slot = path.ends_with("/checkpoint") && byte % format::checkpoint_slot_size < sizeof(format::checkpoint);
                const bool is_meta = path == "broker.meta" || path == "topics/ledger/topic.meta";
                if (is_header || (is_slot && !path.starts_with("topics/audit/") && !path.starts_with("topics/ledger/1/")) || is_meta) {
                    vital.push_back({file, bit});
                } else if (byte < end && (is_slot || !path.ends_with("/checkpoint"))) {
                    others.push_back({file, bit});
                } else if (bit % 61 == 0) {
                    idle.push_back({file, bit});
                }
            }
        }
        for (auto& [name, places] : {std::pair{"vital bit", &vital}, std::pair{"bit", &others}, std::pair{"idle bit", &idle}}) {
            const std::uint64_t count = places->size();
            add(name, count, [this, list = std::move(*places)](file_tree& files, std::uint64_t i) {
                const auto& [file, bit] = list[i];
                flip_bit(files.at(paths_[file]), bit);
                return text(paths_[file], bit / 8) + ", bit " + std::to_string(bit % 8);
            });
        }
    }

    // ---- sectors ----

    [[nodiscard]] std::vector<place> sectors() const {
        std::vector<place> all;
        for (std::size_t file = 0; file < paths_.size(); ++file) {
            for (std::size_t at = 0; at < meaning_of(paths_[file], base_.files.at(paths_[file])); at += sector) {
                all.push_back({file, at});
            }
        }
        return all;
    }

    void add_sectors() {
        const auto all = sectors();
        static constexpr const char* ways[] = {"zeroed", "all ones", "noise", "doubled from the next", "exchanged with the next", "a half zeroed"};
        constexpr std::uint64_t way_count = std::size(ways);
        add("sector", all.size() * way_count, [this, all](file_tree& files, std::uint64_t i) {
            const auto& [file, at] = all[i / way_count];
            std::string& content = files.at(paths_[file]);
            const std::size_t size = std::min(sector, content.size() - at);
            const std::size_t next = at + sector < content.size() ? at + sector : 0;
            const std::string before = content;
            switch (i % way_count) {
                case 0: content.replace(at, size, size, '\0'); break;
                case 1: content.replace(at, size, size, '\xff'); break;
                case 2: fill_with_noise(content, at, size, seed_ + i); break;
                case 3: copy_sector(content, at, before, next); break;
                case 4:
                    copy_sector(content, at, before, next);
                    copy_sector(content, next, before, at);
                    break;
                default: content.replace(at, size / 2, size / 2, '\0');
            }
            return text(paths_[file], at) + ' ' + ways[i % way_count];
        });
        add("sector of another file", all.size() * paths_.size(), [this, all](file_tree& files, std::uint64_t i) {
            const auto& [file, at] = all[i / paths_.size()];
            const std::string& other = paths_[i % paths_.size()];
            copy_sector(files.at(paths_[file]), at, base_.files.at(other), at);
            return text(paths_[file], at) + " from " + other;
        });
        add("sector of an older copy", all.size() * moments_.size(), [this, all](file_tree& files, std::uint64_t i) {
            const auto& [file, at] = all[i / moments_.size()];
            const store_moment& older = moments_[i % moments_.size()];
            if (const auto found = older.files.find(paths_[file]); found != older.files.end()) {
                copy_sector(files.at(paths_[file]), at, found->second, at);
            }
            return text(paths_[file], at) + " from " + older.name;
        });
    }

    // ---- lengths ----

    void add_cuts() {
        std::vector<place> all;
        for (std::size_t file = 0; file < paths_.size(); ++file) {
            const std::string& content = base_.files.at(paths_[file]);
            const std::size_t end = meaning_of(paths_[file], content);
            for (std::size_t length = 0; length < content.size(); length += length < end ? 1 : 997) {
                all.push_back({file, length});
            }
        }
        add("cut", all.size() * 2, [this, all](file_tree& files, std::uint64_t i) {
            const auto& [file, length] = all[i / 2];
            std::string& content = files.at(paths_[file]);
            const std::size_t size = content.size();
            content.resize(length);
            content.resize(i % 2 == 0 ? length : size);
            return paths_[file] + " cut to " + std::to_string(length) + (i % 2 == 0 ? "" : ", then zeros");
        });
    }

    // ---- frames that did not arrive, or arrived elsewhere ----

    void add_frames() {
        std::vector<const frame_place*> all;
        for (const auto& partition : base_.partitions) {
            for (const auto& frame : partition.frames) {
                all.push_back(&frame);
            }
        }
        add("frames", all.size() * 4, [this, all](file_tree& files, std::uint64_t i) {
            const frame_place& frame = *all[i / 4];
            std::string& content = files.at(frame.file);
            const std::string before = content;
            const frame_place& next = *all[(i / 4 + 1) % all.size()];
            const auto length = [&](const frame_place& one) { return format::word_of(load_at<format::frame_header>(base_.files.at(one.file), one.begin)).length(); };
            switch (i % 4) {
                case 0:
                    content.replace(frame.begin, length(frame), length(frame), '\0');
                    return text(frame.file, frame.begin) + " never arrived";
                case 1:
                    content.replace(frame.begin, length(frame), length(frame), '\0');
                    if (next.file == frame.file) {
                        content.replace(next.begin, length(next), length(next), '\0');
                    }
                    return text(frame.file, frame.begin) + " and the next never arrived";
                case 2:  // a whole frame in the wrong place
                    content.replace(frame.begin, next.size, base_.files.at(next.file), next.begin, next.size);
                    content.resize(before.size());
                    return text(frame.file, frame.begin) + " overwritten by its neighbour";
                default:
                    content.replace(frame.begin, 8, 8, '\0');
                    return text(frame.file, frame.begin) + " without its word";
            }
        });
    }

    // ---- files ----

    void add_missing() {
        const std::uint64_t n = paths_.size();
        add("missing", n, [this](file_tree& files, std::uint64_t i) {
            files.erase(paths_[i]);
            return paths_[i];
        });
        add("two missing", n * n, [this, n](file_tree& files, std::uint64_t i) {
            files.erase(paths_[i / n]);
            files.erase(paths_[i % n]);
            return paths_[i / n] + " and " + paths_[i % n];
        });
        for (const auto& partition : base_.partitions) {
            std::vector<std::string> here;
            for (const auto& path : paths_) {
                if (path.starts_with(partition.directory + '/')) {
                    here.push_back(path);
                }
            }
            add("a set missing", std::uint64_t{1} << here.size(), [here](file_tree& files, std::uint64_t set) {
                std::string names;
                for (std::size_t i = 0; i < here.size(); ++i) {
                    if ((set >> i & 1) != 0) {
                        files.erase(here[i]);
                        names += here[i] + ' ';
                    }
                }
                return names;
            });
        }
    }

    void add_exchanged() {
        const std::uint64_t n = paths_.size();
        add("exchanged", n * n, [this, n](file_tree& files, std::uint64_t i) {
            std::swap(files.at(paths_[i / n]), files.at(paths_[i % n]));
            return paths_[i / n] + " and " + paths_[i % n];
        });
        add("overwritten", n * n, [this, n](file_tree& files, std::uint64_t i) {
            files.at(paths_[i / n]) = base_.files.at(paths_[i % n]);
            return paths_[i / n] + " by " + paths_[i % n];
        });
        add("one too many", n * 3, [this](file_tree& files, std::uint64_t i) {
            const std::string& path = paths_[i / 3];
            const std::string directory = path.substr(0, path.rfind('/') + 1);
            const std::string name = directory + (i % 3 == 0 ? "spare.log" : i % 3 == 1 ? "00000000000000000007.log" : "00000000000000009999.log");
            if (!files.contains(name)) {
                files[name] = base_.files.at(path);
            }
            return path + " also as " + name;
        });
    }

    void add_older() {
        const std::uint64_t n = paths_.size();
        const std::uint64_t m = moments_.size();
        const auto restore = [](file_tree& files, const store_moment& older, const std::string& path) {
            if (const auto found = older.files.find(path); found != older.files.end()) {
                files[path] = found->second;
            } else {
                files.erase(path);
            }
        };
        add("older", n * m, [this, m, restore](file_tree& files, std::uint64_t i) {
            restore(files, moments_[i % m], paths_[i / m]);
            return paths_[i / m] + " from " + moments_[i % m].name;
        });
        add("two older", n * n * m, [this, n, m, restore](file_tree& files, std::uint64_t i) {
            restore(files, moments_[i % m], paths_[i / m / n]);
            restore(files, moments_[i % m], paths_[i / m % n]);
            return paths_[i / m / n] + " and " + paths_[i / m % n] + " from " + moments_[i % m].name;
        });
        add("a directory older", base_.partitions.size() * m, [this, m, restore](file_tree& files, std::uint64_t i) {
            const std::string& directory = base_.partitions[i / m].directory;
            for (const auto& path : paths_) {
                if (path.starts_with(directory + '/')) {
                    restore(files, moments_[i % m], path);
                }
            }
            return directory + " from " + moments_[i % m].name;
        });
        add("all but one older", n * m, [this, m, restore](file_tree& files, std::uint64_t i) {
            for (const auto& path : paths_) {
                if (path != paths_[i / m] && !path.ends_with(".meta")) {
                    restore(files, moments_[i % m], path);
                }
            }
            return std::string{"all but "} + paths_[i / m] + " from " + moments_[i % m].name;
        });
    }

    // ---- a few at once ----

    std::string several(file_tree& files, std::uint64_t number) const {
        std::mt19937_64 random{mixed(seed_ * 0x9e3779b97f4a7c15u + number)};
        std::string all;
        const std::size_t singles = spans_.size() - 1;
        for (std::uint64_t left = 1 + random() % 3; left > 0; --left) {
            if (!all.empty()) {
                all += "; ";
            }
            if (random() % 3 == 0) {
                all += burst(files, random);
                continue;
            }
            const std::size_t family = random() % singles;
            if (const span& of = spans_[family]; of.end > of.begin) {
                try {
                    all += of.name + ' ' + acts_[family](files, random() % (of.end - of.begin));
                } catch (const std::out_of_range&) {
                    all += "of a file that is gone";  // by an earlier one of the few
                }
            }
        }
        return all;
    }

    /// Noise or zeros over some bytes anywhere.
    std::string burst(file_tree& files, std::mt19937_64& random) const {
        const std::string& path = paths_[random() % paths_.size()];
        const auto found = files.find(path);
        if (found == files.end() || found->second.empty()) {
            return "nothing";
        }
        std::string& content = found->second;
        const std::size_t at = random() % std::max<std::size_t>(1, meaning_of(path, content));
        const std::size_t size = std::min<std::size_t>(1 + random() % 700, content.size() - at);
        const bool is_noise = random() % 2 == 0;
        if (is_noise) {
            fill_with_noise(content, at, size, random());
        } else {
            content.replace(at, size, size, '\0');
        }
        return text(path, at) + ' ' + std::to_string(size) + (is_noise ? " bytes of noise" : " zeros");
    }

    const store_moment& base_;
    const std::uint64_t seed_;
    std::vector<store_moment> moments_;
    std::vector<std::string> paths_;
    std::vector<span> spans_;
    std::vector<act> acts_;
    std::uint64_t count_ = 0;
};

// ---- the campaign ----

struct plan_entry {
    std::uint32_t store;
    std::uint64_t damage;
};

struct ledger_of_findings {
    std::atomic<std::uint64_t> next{0};  ///< entry of the plan that is worked on
    std::atomic<bool> is_done{false};
    std::atomic<std::uint64_t> tried{0};
    std::atomic<std::uint64_t> on_disk{0};  ///< of these
    std::atomic<std::uint64_t> bits{0};     ///< of these, a single bit, of those that mean something
    std::atomic<std::uint64_t> without_effect{0};
    std::array<std::atomic<std::uint64_t>, verdict_count> verdicts{};
    std::array<char, 600> at{};  ///< what is being done
};

class sweep {
public:
    static constexpr std::uint32_t store_count = 4;

    sweep(std::optional<double> seconds, std::uint64_t seed, std::optional<std::uint32_t> store, std::optional<std::uint64_t> damage, const std::string& base)
        : seconds_{seconds}, seed_{seed}, root_{base}, store_{root_ / "life", seed} {
        for (std::uint32_t i = 0; i < store_count; ++i) {
            lists_.push_back(std::make_unique<damage_list>(store_.moments(), base_of(i), seed_ + i, seconds ? endless : few_at_once));
        }
        make_plan(store, damage);
    }

    [[nodiscard]] bool run() {
        while (!found_->is_done.load() && crashes_ + hangs_ < 20) {
            run_batch();
        }
        return report();
    }

private:
    static constexpr std::uint64_t few_at_once = 60'000;             // of each store, in a full run
    static constexpr std::uint64_t endless = std::uint64_t{1} << 40;  // else: there is no end to them
    static constexpr double for_all_bits = 120;                       // seconds
    static constexpr int patience_seconds = 20;

    [[nodiscard]] const store_moment& base_of(std::uint32_t store) const { return store < 2 ? store_.closed() : store_.killed(); }
    [[nodiscard]] static bool reboots(std::uint32_t store) { return store % 2 == 1; }

    void make_plan(std::optional<std::uint32_t> store, std::optional<std::uint64_t> damage) {
        const auto is_meant = [&](std::uint32_t i) { return !store || *store == i; };
        if (store && damage && seconds_) {
            plan_.push_back({*store, *damage});
        } else if (!seconds_) {
            for (std::uint32_t i = 0; i < store_count; ++i) {
                for (std::uint64_t number = damage.value_or(0); is_meant(i) && number < lists_[i]->count(); ++number) {
                    plan_.push_back({i, number});
                }
            }
            must_ = plan_.size();
        } else {
            draw_plan(is_meant);
        }
    }

    /// All vital bits, each in one of the stores; where there is the time, all of the closed store that mean anything, each in the same boot or
    /// after a reboot; then some of every family, in turn, as long as it has any, and three times as many of a few at once.
    template <class IsMeant>
    void draw_plan(const IsMeant& is_meant) {
        std::mt19937_64 random{seed_};
        std::vector<std::vector<bool>> planned;  // by store; of all but a few at once
        for (std::uint32_t i = 0; i < store_count; ++i) {
            const auto& families = lists_[i]->families();
            planned.emplace_back(families.back().begin);
            const bool flips_all = *seconds_ >= for_all_bits && i < 2;
            for (std::uint64_t number = 0; number < families[flips_all ? 1 : 0].end; ++number) {
                if (is_meant(i) && mixed(number + seed_) % (flips_all ? 2 : store_count) == i) {
                    plan_.push_back({i, number});
                    planned[i][number] = true;
                }
            }
        }
        std::shuffle(plan_.begin(), plan_.end(), random);
        if (*seconds_ < 5) {
            plan_.resize(std::min(plan_.size(), std::size_t{1'000}));
        }
        must_ = plan_.size();
        const std::size_t most = must_ + static_cast<std::size_t>(*seconds_ * 10'000);  // nobody is so fast
        std::array<std::uint64_t, store_count> drawn{};
        for (std::uint64_t turn = 0; plan_.size() < most; ++turn) {
            const auto i = static_cast<std::uint32_t>(turn / 4 % store_count);
            const auto& families = lists_[i]->families();
            if (!is_meant(i)) {
                continue;
            }
            if (turn % 4 != 0) {
                plan_.push_back({i, families.back().begin + drawn[i]++});
                continue;
            }
            const auto& family = families[1 + random() % (families.size() - 2)];
            const std::uint64_t number = family.begin + random() % std::max<std::uint64_t>(1, family.end - family.begin);
            if (family.end > family.begin && !planned[i][number]) {
                plan_.push_back({i, number});
                planned[i][number] = true;
            }
        }
    }

    void run_batch() {
        const pid_t child = fork_child();
        if (child == 0) {
            work();
        }
        std::uint64_t seen = found_->next.load();
        int idle_looks = 0;  // counted, not timed: whoever stops all of us for a while has not made anything hang
        for (;;) {
            int status = 0;
            const pid_t ended = ::waitpid(child, &status, WNOHANG);
            if (ended == child) {
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                    ++crashes_;
                    tell_end(WIFSIGNALED(status) ? std::string{"crash: "} + ::strsignal(WTERMSIG(status)) : "exit status " + std::to_string(WEXITSTATUS(status)));
                }
                return;
            }
            ::usleep(2'000);
            if (const std::uint64_t now = found_->next.load(); now != seen) {
                seen = now;
                idle_looks = 0;
            } else if (++idle_looks > patience_seconds * 500) {
                ++hangs_;
                tell_end("hangs");
                ::kill(child, SIGKILL);
                ::waitpid(child, &status, 0);
                return;
            }
        }
    }

    void tell_end(const std::string& how) {
        const std::uint64_t at = found_->next.fetch_add(1);
        complain(plan_[at], found_->at.data(), how);
        if (at + 1 >= plan_.size()) {
            found_->is_done.store(true);
        }
    }

    /// In a process of its own, until the plan or the time is over.
    [[noreturn]] void work() {
        die_with_parent();
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        constexpr std::uint64_t batch = 20'000;
        int status = 0;
        try {
            const std::string directory = root_ / "store";
            static_cast<void>(::mkdir(directory.c_str(), 0700));
            for (std::uint64_t left = batch; left > 0; --left) {
                const std::uint64_t at = found_->next.load();
                if (at >= plan_.size() || is_over(at)) {
                    found_->is_done.store(true);
                    break;
                }
                try_one(plan_[at], directory);
                found_->next.store(at + 1);
            }
        } catch (const std::exception& why) {
            std::printf("BAD  %s\n", why.what());
            status = 1;
        }
        std::fflush(stdout);
        ::_exit(status);
    }

    /// What must be done is done, and the sample has had a third of the time.
    [[nodiscard]] bool is_over(std::uint64_t at) const {
        if (!seconds_) {
            return elapsed() > 300;
        }
        if (at == must_) {
            sample_begin_ = elapsed();
        }
        return at >= must_ && elapsed() > std::max(*seconds_, sample_begin_ + *seconds_ / 3);
    }

    void try_one(const plan_entry& entry, const std::string& directory) {
        file_tree files = base_of(entry.store).files;
        const std::string what = lists_[entry.store]->apply(entry.damage, files);
        std::snprintf(found_->at.data(), found_->at.size(), "%s", what.c_str());
        const bool is_on_disk = mixed(entry.damage) % 64 == 0;
        const judgement result = is_on_disk ? try_on_disk(entry, files, directory) : try_in_memory(entry, files);
        if (!result.is_damaged) {
            ++found_->without_effect;
            return;
        }
        ++found_->tried;
        found_->on_disk += is_on_disk ? 1 : 0;
        found_->bits += entry.damage < lists_[entry.store]->bits() ? 1 : 0;
        ++found_->verdicts[static_cast<std::size_t>(result.result)];
        if (!result.problem.empty()) {
            complain(entry, what.c_str(), result.problem);
        }
    }

    [[nodiscard]] judgement try_on_disk(const plan_entry& entry, const file_tree& files, const std::string& directory) const {
        write_tree(directory, files);
        return damage_oracle{os::posix(), directory, base_of(entry.store), reboots(entry.store)}.judge(files, entry.damage);
    }
    [[nodiscard]] judgement try_in_memory(const plan_entry& entry, const file_tree& files) const {
        static const std::string directory = "/store";
        fuzz::memory_platform memory;
        memory.make(directory);
        for (const auto& [path, content] : files) {
            for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
                memory.make(directory + '/' + path.substr(0, slash));
            }
            memory.put(directory + '/' + path, as_bytes(content));
        }
        return damage_oracle{memory, directory, base_of(entry.store), reboots(entry.store)}.judge(files, entry.damage);
    }

    void complain(const plan_entry& entry, const char* what, const std::string& problem) const {
        std::printf("BAD  %s%s, %s: %s\n     repeat: brook_fault corruption_sweep 1 %llu %u %llu\n", base_of(entry.store).name, reboots(entry.store) ? " and rebooted" : "", what,
                    problem.c_str(), static_cast<unsigned long long>(seed_), entry.store, static_cast<unsigned long long>(entry.damage));
        std::fflush(stdout);
    }

    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    [[nodiscard]] bool report() const {
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        const auto of = [&](verdict which) { return n(found_->verdicts[static_cast<std::size_t>(which)].load()); };
        std::printf("corruption sweep: %llu damages, %llu detected, %llu repaired, %llu cut above the evidence, %llu harmless; wrong data %llu, silent loss %llu, "
                    "other promises broken %llu, crashes %llu, hangs %llu; %.1f s; seed %llu\n",
                    n(found_->tried), of(verdict::detected), of(verdict::repaired), of(verdict::cut), of(verdict::harmless), of(verdict::wrong_data),
                    of(verdict::silent_loss), of(verdict::broken_promise), n(crashes_), n(hangs_), elapsed(), n(seed_));
        std::printf("bits that mean something: %llu in the closed store, %llu in the killed one; %llu were flipped, each alone; on a disk %llu damages\n", n(lists_[0]->bits()),
                    n(lists_[2]->bits()), n(found_->bits), n(found_->on_disk));
        if (!seconds_ && found_->next.load() < plan_.size()) {
            const plan_entry& next = plan_[found_->next.load()];
            std::printf("of %llu damages %llu were reached; go on with: brook_fault corruption_sweep full %llu %u %llu\n", n(plan_.size()), n(found_->next.load()), n(seed_),
                        next.store, n(next.damage));
        }
        return crashes_ + hangs_ + of(verdict::wrong_data) + of(verdict::silent_loss) + of(verdict::broken_promise) == 0;
    }

    const clock_type::time_point begin_ = clock_type::now();
    const std::optional<double> seconds_;  // none: all
    const std::uint64_t seed_;
    const temp_directory root_;
    const small_store store_;
    std::vector<std::unique_ptr<damage_list>> lists_;
    std::vector<plan_entry> plan_;
    mutable double sample_begin_ = 0;
    std::uint64_t must_ = 0;  // entries of the plan that are worked through, however long it takes
    shared_object<ledger_of_findings> found_;
    std::uint64_t crashes_ = 0;
    std::uint64_t hangs_ = 0;
};

int run(int count, char** arguments) {
    const char* const given = std::getenv("BROOK_FAULT_SECONDS");
    const std::string_view budget = count > 1 ? arguments[1] : given != nullptr ? given : "15";
    const std::optional<double> seconds = budget == "full" ? std::nullopt : std::optional{std::atof(std::string{budget}.c_str())};
    const std::uint64_t seed = count > 2 ? std::strtoull(arguments[2], nullptr, 0) : std::random_device{}();
    const auto store = count > 3 ? std::optional{static_cast<std::uint32_t>(std::strtoul(arguments[3], nullptr, 0)) % sweep::store_count} : std::nullopt;
    const auto damage = count > 4 ? std::optional{std::strtoull(arguments[4], nullptr, 0)} : std::nullopt;
    sweep all{seconds, seed, store, damage, memory_directory()};
    return all.run() ? 0 : 1;
}

const fault_program corruption_sweep{"corruption_sweep", run};

}  // namespace

}  // namespace fault_corruption_sweep
