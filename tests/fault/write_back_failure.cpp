// T5: what is an acknowledgement worth when the disk takes what it is given, and then cannot keep it?
//
// An ext4 in a file, and the file on a file system in memory that is smaller than it says: allocating succeeds, and writing back fails, where and
// when the kernel pleases. It tells so once, then the pages are clean and the next sync says that all is well (RELIABILITY in
// brook/storage/README.md). A process appends until a record that must be durable is refused. From there on nothing is acknowledged any more,
// syncs go on failing, and the durable offset stands still. Or it dies of a sync that fails, and nobody has heard of that. Or it never asks: the
// kernel writes back by itself, and cannot, and the process dies before any sync of its own.
//
// Then there is room. Of four stores the first is unmounted and mounted before it is opened; the second is opened at once, in the mount in which
// writing back had failed, and ext4 has the blocks of what it lost for written; so is the third, whose process died before it heard, and the fourth,
// where the first sync of the next process is told, and the opening behind that goes on in a new file. Each time what was acknowledged is there, what follows is what was sent, without a gap, or is told to be damaged; and what is acknowledged from now on is there after one more
// mount.
//
// usage: brook_fault write_back_failure [seconds] [seed]
//        seconds: 5 by default, BROOK_FAULT_SECONDS otherwise
// Returns 77 where mounting or a loop device is not to be had.
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

#include "fault/numbered_topics.hpp"
#include "fault/own_mounts.hpp"
#include "fault/program.hpp"
#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/faulty_platform.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace fault_write_back_failure {

namespace {

using namespace brook;
using namespace brook::test;
using clock_type = std::chrono::steady_clock;

constexpr std::uint64_t image_size = 24 << 20;

/// A file system in memory for an image, with less room than the image says.
class short_disk {
public:
    explicit short_disk(std::string point) : point_{std::move(point)} { mount(0, 64 << 20); }
    short_disk(const short_disk&) = delete;
    short_disk& operator=(const short_disk&) = delete;
    ~short_disk() { ::umount2(point_.c_str(), MNT_DETACH); }

    [[nodiscard]] std::string image() const { return point_ + "/image"; }
    void shrink_to_fit(std::uint64_t room) const {
        struct stat status {};
        if (::stat(image().c_str(), &status) != 0) {
            throw_errno("stat " + image());
        }
        mount(MS_REMOUNT, static_cast<std::uint64_t>(status.st_blocks) * 512 + room);
    }
    void grow() const { mount(MS_REMOUNT, 64 << 20); }

private:
    void mount(unsigned long flags, std::uint64_t size) const {
        if (::mount("brook-test", point_.c_str(), "tmpfs", flags, ("mode=0700,size=" + std::to_string(size)).c_str()) != 0) {
            throw std::system_error{errno, std::system_category(), "mount " + point_};
        }
    }

    const std::string point_;
};

class campaign {
public:
    campaign(double seconds, std::uint64_t seed) : seconds_{seconds}, seed_{seed}, random_{seed} {
        for (const char* point : {"short", "disk"}) {
            if (::mkdir((root_ / point).c_str(), 0700) != 0) {
                throw_errno("mkdir");
            }
        }
    }

    [[nodiscard]] bool run() {
        while (bad_ < 8 && (elapsed() < seconds_ || runs_ < 4)) {
            fail_once(static_cast<then>(runs_ % 4));
            ++runs_;
        }
        const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
        std::printf("write-back failure: %llu disks that could not keep what they took, %llu refused an acknowledgement or killed who asked for it; %llu records acknowledged before, all there "
                    "after %llu mounts and openings, %llu times something else was told to be damaged; %llu segments went on in new files, %llu after a death, and %llu after one before any sync; bad %llu; %.1f s; "
                    "seed %llu\n",
                    n(runs_), n(refused_), n(acknowledged_), n(openings_), n(damaged_), n(moved_), n(moved_after_death_), n(moved_unheard_), n(bad_), elapsed(), n(seed_));
        if (refused_ == 0) {
            std::printf("BAD  no write-back failed: the program proves nothing\n");
        }
        if (moved_unheard_ == 0) {
            std::printf("BAD  nobody was told of what the kernel alone could not write back\n");
        }
        return bad_ == 0 && refused_ != 0 && moved_unheard_ != 0;
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(clock_type::now() - begin_).count(); }

    enum class then { mount_anew, open_at_once, die_and_open_at_once, die_unheard_and_open_at_once };

    void fail_once(then what) {
        const short_disk disk{root_ / "short"};
        if (const std::string why = make_image(disk.image(), image_size, "has_journal"); !why.empty()) {
            throw std::runtime_error{why};
        }
        keep_place_of_metadata(disk.image());
        told_.reset();
        {
            const mounted_image mounted{disk.image(), root_ / "disk", "noinit_itable"};
            mounted.device().write_page_by_page();
            const std::string store = mounted.point() + "/store";
            if (what == then::die_unheard_and_open_at_once) {
                in_a_process("while nobody asks", [&] { write_unasked(store, disk, seed_ + runs_); });
            } else {
                disk.shrink_to_fit((16 << 10) + random_() % (1 << 20));
                in_a_process("while it fails", [&] { fill(store, seed_ + runs_, what == then::die_and_open_at_once); });
            }
            disk.grow();
            if (what != then::mount_anew) {
                in_a_process("opened at once", [&] { look_at_once(store, what == then::die_unheard_and_open_at_once); });
            }
        }
        refused_ += told_->was_refused.load() ? 1 : 0;
        static_cast<void>(run_program({"e2fsck", "-f", "-y", disk.image()}));  // ext4 may have met errors of its own
        for (int i = 0; i < 2; ++i) {
            const mounted_image mounted{disk.image(), root_ / "disk", "noinit_itable"};
            in_a_process("mounted again", [&] { look(mounted.point() + "/store"); });
        }
        damaged_ += told_->is_damaged.load() ? 1 : 0;
        moved_ += told_->moved.load();
        moved_after_death_ += what == then::die_and_open_at_once ? told_->moved.load() : 0;
        moved_unheard_ += what == then::die_unheard_and_open_at_once ? told_->moved.load() : 0;
        acknowledged_ += static_cast<std::uint64_t>(told_->durable[0].load());
    }

    /// The file's blocks for metadata and journal are there, those for data are holes: what cannot be written back then is data. Without that
    /// ext4 may lose the place where data is, and tell nobody.
    void keep_place_of_metadata(const std::string& image) const {
        const int file = ::open(image.c_str(), O_RDWR | O_CLOEXEC);
        const bool is_there = file >= 0 && ::posix_fallocate(file, 0, static_cast<off_t>(image_size)) == 0;
        ::close(file);
        if (!is_there) {
            throw std::runtime_error{"no room for " + image};
        }
        const mounted_image mounted{image, root_ / "disk", "noinit_itable"};
        const int directory = ::open(mounted.point().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fstrim_range all{0, ~std::uint64_t{0}, 0};
        const bool is_trimmed = directory >= 0 && ::ioctl(directory, FITRIM, &all) == 0;
        ::close(directory);
        if (!is_trimmed) {
            throw_errno("trim " + mounted.point());
        }
    }

    /// Appends until an acknowledgement is refused because a sync failed, and then finds that none is given any more. What else is refused,
    /// such as a segment that cannot be made, may go later.
    void fill(const std::string& directory, std::uint64_t seed, bool is_mortal) const {
        std::mt19937_64 random{seed};
        faulty_platform platform;
        if (is_mortal) {
            platform.on_failed_sync([&] {
                told_->was_refused.store(true);
                ::_exit(0);
            });
        }
        std::optional<numbered_topics> users;
        try {
            users.emplace(directory, *told_, &platform);
        } catch (const error&) {
            return;  // it had not even opened
        }
        for (int i = 0, refusals = 0; i < 20'000 && refusals < 50; ++i) {
            const std::size_t at = random() % 3 == 0 ? 0 : 1;
            try {
                if (at == 1 && random() % 40 == 0) {
                    users->sync(1);
                } else {
                    users->append(at);
                }
            } catch (const error& why) {
                ++refusals;
                if (why.code() == errc::partition_failed) {
                    told_->was_refused.store(true);
                    return stay_failed(*users, at);
                }
            }
            if (random() % 50 == 0) {
                try {
                    users->broker().maintain();
                } catch (const error&) {
                    ++refusals;
                }
            }
        }
    }

    /// Has some records on the disk; then there is no more room, and it appends what nobody is told is durable, in a segment that has blocks of
    /// the disk, and the kernel writes that back: by syncfs(2), which tells of the file system, and takes nothing from what is told of the file.
    void write_unasked(const std::string& directory, const short_disk& disk, std::uint64_t seed) const {
        std::mt19937_64 random{seed};
        faulty_platform platform;
        numbered_topics users{directory, *told_, &platform};
        for (std::uint64_t i = random() % 20; i > 0; --i) {
            users.append(0);
        }
        users.append(1);
        users.sync(1);
        const int store = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        std::uint32_t flags = 0;
        if (::syncfs(store) != 0 || ::ioctl(store, _IOW('f', 43, std::uint32_t), &flags) != 0) {  // EXT4_IOC_CHECKPOINT, Linux 5.14: what is in the journal gets to its place
            throw_errno("checkpoint " + directory);
        }
        disk.shrink_to_fit(0);
        platform.forget_calls();
        for (std::uint64_t i = 0; i < 12; ++i) {
            users.append(1);
        }
        require(platform.calls(operation::sync) == 0, "it was to die before it syncs");
        told_->was_refused.store(::syncfs(store) != 0);
        ::_exit(0);
    }

    void stay_failed(numbered_topics& users, std::size_t at) const {
        const offset durable = users.partition(at).durable_offset();
        require(durable >= told_->durable[at].load(), "the durable offset went back to " + std::to_string(durable));
        for (int i = 0; i < 20; ++i) {
            bool is_refused = false;
            try {
                if (at == 0 && i % 2 == 0) {
                    users.append(0);
                } else {
                    users.partition(at).sync();
                }
            } catch (const error&) {
                is_refused = true;
            }
            require(is_refused, "a sync failed, and a later one is said to have succeeded");
            require(users.partition(at).durable_offset() == durable, "a sync failed, and the durable offset moves on");
        }
    }

    /// In the mount in which it failed ext4 itself may have given up, and refuse all writes: that is no fault of ours.
    /// `is_unheard`: nobody has been told yet, and the first sync is.
    void look_at_once(const std::string& directory, bool is_unheard) {
        try {
            look(directory);
        } catch (const error& why) {
            if (is_unheard && why.code() == errc::partition_failed) {
                return look_at_once(directory, false);
            }
            const std::string what = why.what();  // a partition that cannot go on in a new file tells by its text what the disk said
            for (const auto code : {std::errc::read_only_file_system, std::errc::io_error}) {
                if (why.code() == code || (why.code() == errc::partition_failed && what.find(std::make_error_code(code).message()) != std::string::npos)) {
                    return;
                }
            }
            throw;
        }
    }

    void look(const std::string& directory) const {
        for (int i = 0; i < 2; ++i) {
            numbered_topics users{directory, *told_};
            users.check(true);
            if (told_->is_damaged.load()) {
                return;
            }
            users.go_on();
        }
    }

    template <class Work>
    void in_a_process(const char* when, const Work& work) {
        ++openings_;
        const pid_t child = fork_child();
        if (child == 0) {
            die_with_parent();
            ::alarm(60);
            try {
                work();
            } catch (const violation& what) {
                std::snprintf(told_->problem.data(), told_->problem.size(), "%s", what.text.c_str());
            } catch (const std::exception& what) {
                std::snprintf(told_->problem.data(), told_->problem.size(), "unexpected: %s", what.what());
            }
            ::_exit(0);
        }
        const int status = await_end(child);
        const std::string problem = WIFSIGNALED(status) ? std::string{"ends by a signal: "} + ::strsignal(WTERMSIG(status)) : std::string{told_->problem.data()};
        told_->problem[0] = '\0';
        if (!problem.empty()) {
            ++bad_;
            std::printf("BAD  disk %llu, %s: %s\n     repeat: brook_fault write_back_failure %.0f %llu\n", static_cast<unsigned long long>(runs_), when, problem.c_str(), seconds_,
                        static_cast<unsigned long long>(seed_));
            std::fflush(stdout);
        }
    }

    const clock_type::time_point begin_ = clock_type::now();
    const double seconds_;
    const std::uint64_t seed_;
    std::mt19937_64 random_;
    const temp_directory root_{memory_directory()};
    shared_object<told_offsets> told_;
    std::uint64_t runs_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t acknowledged_ = 0;
    std::uint64_t openings_ = 0;
    std::uint64_t damaged_ = 0;
    std::uint64_t moved_ = 0;
    std::uint64_t moved_after_death_ = 0;
    std::uint64_t moved_unheard_ = 0;
    std::uint64_t bad_ = 0;
};

int run(int count, char** arguments) {
    if (!can_mount_images("write-back failure")) {
        return 77;
    }
    const time_and_seed given{count, arguments, 5};
    campaign all{given.seconds, given.seed};
    return all.run() ? 0 : 1;
}

const fault_program write_back_failure{"write_back_failure", run};

}  // namespace

}  // namespace fault_write_back_failure
