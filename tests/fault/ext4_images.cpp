// T4: what is there after a loss of power, on a real file system?
//
// An ext4 in a file is mounted, and a process appends, syncs, commits, rolls on it. At moments that are drawn the file is copied as it is:
// that is what a disk would hold if the power went now, since what the kernel has not written is not in it. Counters of the device
// tell whether it was written to meanwhile; then it is no state of one moment, and is thrown away. The copy is mounted, where ext4 replays its
// journal, and a broker opens it in a boot of its own: what was acknowledged as durable is there, what follows is what was sent, without a gap, nothing is
// told to be damaged; what is appended then stays, over a second opening. Every few copies the next life goes on with a copy, and may
// lose power again. The writer takes a 48th of the disk from image to image at most, so 3 quarters in the longest line of lives: no disk is
// ever full. With a journal, with data=writeback, without barriers, and without a journal (then after e2fsck, as after any crash).
//
// usage: brook_fault ext4_images [seconds] [seed]
//        seconds: 5 by default, BROOK_FAULT_SECONDS otherwise
// Returns 77 where mounting or a loop device is not to be had.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "fault/numbered_topics.hpp"
#include "fault/own_mounts.hpp"
#include "fault/program.hpp"
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/rebooting_platform.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_ext4_images {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

struct kind_of_disk {
    const char* name;
    const char* features;
    const char* options;
    bool has_journal;
};
constexpr std::array kinds{
    kind_of_disk{"with a journal", "has_journal", "noinit_itable", true},
    kind_of_disk{"data=writeback", "has_journal", "noinit_itable,data=writeback", true},
    kind_of_disk{"without barriers", "has_journal", "noinit_itable,barrier=0", true},
    kind_of_disk{"without a journal", "^has_journal", "noinit_itable", false},
};

constexpr unsigned images_of_a_life = 12;
constexpr unsigned most_lives_of_a_disk = 3;
constexpr double most_per_image = 0.75 / (images_of_a_life * most_lives_of_a_disk);  // of the disk

/// How much of a disk is taken, of its blocks or of its inodes, whichever is more: 1 is all.
double taken_of(const std::string& point) {
    struct statvfs disk {};
    if (::statvfs(point.c_str(), &disk) != 0) {
        throw_errno("statvfs " + point);
    }
    const auto taken = [](fsblkcnt_t free, fsblkcnt_t all) { return 1 - static_cast<double>(free) / static_cast<double>(all); };
    return std::max(taken(disk.f_bfree, disk.f_blocks), taken(disk.f_ffree, disk.f_files));
}

/// A file without its holes.
void copy_file(const std::string& from, const std::string& to) {
    const int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
    const int target = ::open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const off_t size = ::lseek(source, 0, SEEK_END);
    bool is_well = source >= 0 && target >= 0 && ::ftruncate(target, size) == 0;
    static std::vector<char> buffer(1 << 20);
    for (off_t at = ::lseek(source, 0, SEEK_DATA); is_well && at >= 0 && at < size; at = ::lseek(source, at, SEEK_DATA)) {
        for (const off_t end = ::lseek(source, at, SEEK_HOLE); is_well && at < end;) {
            const auto count = ::pread(source, buffer.data(), std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - at)), at);
            is_well = count > 0 && ::pwrite(target, buffer.data(), static_cast<std::size_t>(count), at) == count;
            at += count;
        }
    }
    ::close(source);
    ::close(target);
    if (!is_well) {
        throw std::system_error{errno, std::system_category(), "copy to " + to};
    }
}

class campaign {
public:
    campaign(double seconds, std::uint64_t seed) : seconds_{seconds}, seed_{seed}, random_{seed} {
        for (const char* point : {"writes", "reads"}) {
            if (::mkdir((root_ / point).c_str(), 0700) != 0) {
                throw_errno("mkdir");
            }
        }
        for (const auto& kind : kinds) {
            if (const std::string why = make_image(empty_of(kind), 48 << 20, kind.features); !why.empty()) {
                throw std::runtime_error{why};
            }
        }
    }

    [[nodiscard]] bool run() {
        for (std::uint64_t life = 0; bad_ < 8 && (elapsed() < seconds_ || life < kinds.size()); ++life) {
            kind_ = &kinds[life % kinds.size()];
            copy_file(empty_of(*kind_), root_ / "disk");
            told_.reset();
            is_copy_good_ = true;
            for (std::uint64_t left = 1 + random_() % most_lives_of_a_disk; left > 0 && bad_ < 8 && is_copy_good_; --left) {
                live();
                copy_file(root_ / "copy", root_ / "disk");  // as the last copy was left
                for (std::size_t i = 0; i < told_offsets::topics; ++i) {
                    told_->begun[i].store(told_->found[i].load());
                    told_->durable[i].store(told_->found[i].load());
                }
            }
        }
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("ext4 images: %llu images of a disk whose power went, mounted and recovered, over %llu lives; %llu thrown away, not of one moment; %llu of them "
                    "with records cut, %llu records were durable; bad %llu; %.1f s; seed %llu\n",
                    n(images_), n(lives_), n(discarded_), n(with_cuts_), n(durable_), n(bad_), elapsed(), n(seed_));
        return bad_ == 0;
    }

private:
    [[nodiscard]] std::string empty_of(const kind_of_disk& kind) const { return root_ / std::string{kind.has_journal ? "journal" : "none"}; }
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    void live() {
        ++lives_;
        const mounted_image disk{root_ / "disk", root_ / "writes", kind_->options};
        machine_.reboot();
        images_begun_->store(0);
        const pid_t child = fork_child();
        if (child == 0) {
            write(disk.point());
        }
        for (unsigned left = images_of_a_life; left > 0 && bad_ < 8; --left) {
            images_begun_->fetch_add(1);
            ::usleep(static_cast<useconds_t>(random_() % 6'000));
            take_image(disk.device());
            ::kill(child, SIGSTOP);  // the disk is small
            look_at_image();
            ::kill(child, SIGCONT);
        }
        ::kill(child, SIGKILL);
        if (const int status = await_end(child); WIFEXITED(status) && told_->problem[0] != '\0') {
            complain("the writer", told_->problem.data());
        }
        told_->problem[0] = '\0';
    }

    [[noreturn]] void write(const std::string& point) {
        die_with_parent();
        std::mt19937_64 random{seed_ + lives_};
        try {
            const double taken_before = taken_of(point);
            numbered_topics users{point + "/store", *told_, &machine_};
            for (;;) {
                while (taken_of(point) - taken_before > most_per_image * images_begun_->load()) {
                    ::usleep(200);
                }
                const std::uint64_t draw = random() % 64;
                if (draw < 20) {
                    users.append(0);
                } else if (draw < 56) {
                    users.append(1);
                } else if (draw < 58) {
                    users.sync(1);
                } else if (draw < 60) {
                    users.commit();
                } else if (draw < 62) {
                    users.broker().maintain();
                } else if (draw < 63) {
                    users.partition(random() % 2).roll();
                } else {
                    ::usleep(static_cast<useconds_t>(random() % 3'000));
                }
            }
        } catch (const violation& what) {
            std::snprintf(told_->problem.data(), told_->problem.size(), "%s", what.text.c_str());
        } catch (const std::exception& why) {
            std::snprintf(told_->problem.data(), told_->problem.size(), "%s", why.what());
        }
        ::_exit(0);
    }

    /// The disk as it is at some moment.
    void take_image(const loop_device& device) {
        for (;;) {
            const auto before = device.writes();
            std::array<offset, told_offsets::topics> durable{};
            for (std::size_t i = 0; i < durable.size(); ++i) {
                durable[i] = told_->durable[i].load();
            }
            if (before.second == 0) {
                copy_file(root_ / "disk", root_ / "copy");
            }
            if (before.second == 0 && device.writes() == before) {
                durable_now_ = durable;
                return;
            }
            ++discarded_;
        }
    }

    void look_at_image() {
        is_copy_good_ = kind_->has_journal || run_program({"e2fsck", "-f", "-y", root_ / "copy"}) <= 1;
        if (!is_copy_good_) {
            ++discarded_;  // not even ext4 can tell what was there
            return;
        }
        ++images_;
        const mounted_image copy{root_ / "copy", root_ / "reads", kind_->options};
        shared_object<told_offsets> seen;
        for (std::size_t i = 0; i < told_offsets::topics; ++i) {
            seen->begun[i].store(told_->begun[i].load());
            seen->durable[i].store(durable_now_[i]);
            durable_ += static_cast<std::uint64_t>(durable_now_[i]);
        }
        seen->committing.store(told_->committing.load());
        machine_.reboot();  // the kernel has not: a device's number comes back, and files that were signed there would pass for whole
        const pid_t child = fork_child();
        if (child == 0) {
            check(copy.point() + "/store", *seen);
        }
        const int status = await_end(child);
        const std::string problem = WIFSIGNALED(status) ? std::string{"ends by a signal: "} + ::strsignal(WTERMSIG(status)) : std::string{seen->problem.data()};
        if (!problem.empty()) {
            complain("after the loss of power", problem);
        }
        bool is_cut = false;
        for (std::size_t i = 0; i < told_offsets::topics; ++i) {
            is_cut |= seen->found[i].load() <= told_->begun[i].load();  // it has one more that was appended afterwards
            told_->found[i].store(seen->found[i].load());
        }
        with_cuts_ += is_cut ? 1 : 0;
    }

    [[noreturn]] void check(const std::string& directory, told_offsets& seen) {
        die_with_parent();
        ::alarm(60);
        try {
            {
                numbered_topics users{directory, seen, &machine_};
                users.check();
                users.go_on();
            }
            numbered_topics again{directory, seen, &machine_};
            again.check();
        } catch (const violation& what) {
            std::snprintf(seen.problem.data(), seen.problem.size(), "%s", what.text.c_str());
        } catch (const std::exception& what) {
            std::snprintf(seen.problem.data(), seen.problem.size(), "unexpected: %s", what.what());
        }
        ::_exit(0);
    }

    void complain(const char* when, const std::string& problem) {
        ++bad_;
        std::printf("BAD  ext4 %s, life %llu, %s: %s\n     repeat: brook_fault ext4_images %.0f %llu\n", kind_->name, static_cast<unsigned long long>(lives_), when, problem.c_str(), seconds_,
                    static_cast<unsigned long long>(seed_));
        std::fflush(stdout);
    }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_{memory_directory()};
    const kind_of_disk* kind_ = nullptr;
    rebooting_platform machine_;
    shared_object<told_offsets> told_;
    shared_object<std::atomic<unsigned>> images_begun_;  // of this life
    std::array<offset, told_offsets::topics> durable_now_{};
    bool is_copy_good_ = true;
    std::uint64_t images_ = 0;
    std::uint64_t lives_ = 0;
    std::uint64_t discarded_ = 0;
    std::uint64_t with_cuts_ = 0;
    std::uint64_t durable_ = 0;
    std::uint64_t bad_ = 0;
};

int run(int count, char** arguments) {
    if (!can_mount_images("ext4 images")) {
        return 77;
    }
    const time_and_seed given{count, arguments, 5};
    campaign all{given.seconds, given.seed};
    return all.run() ? 0 : 1;
}

const fault_program ext4_images{"ext4_images", run};

}  // namespace

}  // namespace fault_ext4_images
