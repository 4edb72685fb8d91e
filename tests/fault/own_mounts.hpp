/// \file fault/own_mounts.hpp
/// Mounts that nobody else sees, and a real ext4 in a file.
#pragma once

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/await_end.hpp"
#include "support/directory_watch.hpp"
#include "support/stepped_process.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

[[nodiscard]] inline std::string system_text() { return std::error_code{errno, std::system_category()}.message(); }

namespace detail {

inline void write_text(const char* path, const std::string& text) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    [[maybe_unused]] const auto written = ::write(file, text.data(), text.size());  // where it is refused, mounting is too
    ::close(file);
}

}  // namespace detail

/// Mounts of our own, that nobody else sees and that go with us. Empty, or why there are none.
[[nodiscard]] inline std::string leave_for_own_mounts() {
    const std::string user = std::to_string(::geteuid());
    const std::string group = std::to_string(::getegid());
    if (::unshare(CLONE_NEWNS) != 0) {
        if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return "unshare: " + system_text();
        }
        detail::write_text("/proc/self/setgroups", "deny");
        detail::write_text("/proc/self/uid_map", "0 " + user + " 1");
        detail::write_text("/proc/self/gid_map", "0 " + group + " 1");
    }
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return "private mounts: " + system_text();
    }
    const temp_directory probe{memory_directory()};
    if (::mount("brook-test", probe.path().c_str(), "tmpfs", 0, "size=65536") != 0) {
        return "mount: " + system_text();
    }
    ::umount2(probe.path().c_str(), MNT_DETACH);
    return {};
}

/// A block device over a file. The kernel lets it go when nobody has it open or mounted any more, so also when we are killed.
class loop_device {
public:
    /// Errors    thrown: std::system_error.
    explicit loop_device(const std::string& file) {
        const int control = opened("/dev/loop-control", O_RDWR);
        const int image = opened(file, O_RDWR);
        for (int tries = 0; device_ < 0; ++tries) {
            number_ = ::ioctl(control, LOOP_CTL_GET_FREE);
            device_ = number_ < 0 ? -1 : ::open(path().c_str(), O_RDWR | O_CLOEXEC);
            loop_config wanted{};
            wanted.fd = static_cast<std::uint32_t>(image);
            wanted.info.lo_flags = LO_FLAGS_AUTOCLEAR;
            if (device_ >= 0 && ::ioctl(device_, LOOP_CONFIGURE, &wanted) == 0) {
                break;
            }
            const int why = errno;
            if (device_ >= 0) {
                ::close(std::exchange(device_, -1));
            }
            if (why != EBUSY || tries > 100) {  // busy: somebody else was faster
                ::close(control);
                ::close(image);
                throw std::system_error{why, std::system_category(), "a loop device"};
            }
        }
        ::close(control);
        ::close(image);
    }
    loop_device(const loop_device&) = delete;
    loop_device& operator=(const loop_device&) = delete;
    ~loop_device() { ::close(device_); }

    [[nodiscard]] std::string path() const { return "/dev/loop" + std::to_string(number_); }

    /// From here on it is written to by single pages. More than one, of which the file takes only some, it says to have written all.
    void write_page_by_page() const {
        std::ofstream most{"/sys/block/loop" + std::to_string(number_) + "/queue/max_sectors_kb"};
        most << 4 << std::flush;
        if (!most) {
            throw std::system_error{std::make_error_code(std::errc::not_supported), "the request size of " + path()};
        }
    }

    /// Writes that are done, and those on their way.
    [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> writes() const {
        std::ifstream stat{"/sys/block/loop" + std::to_string(number_) + "/stat"};
        std::vector<std::uint64_t> fields;
        for (std::uint64_t one = 0; stat >> one;) {
            fields.push_back(one);
        }
        if (fields.size() < 9) {
            throw std::system_error{std::make_error_code(std::errc::not_supported), "the counters of " + path()};
        }
        return {fields[4], fields[8]};
    }

private:
    [[nodiscard]] static int opened(const std::string& path, int flags) {
        const int file = ::open(path.c_str(), flags | O_CLOEXEC);
        if (file < 0) {
            throw std::system_error{errno, std::system_category(), path};
        }
        return file;
    }

    int number_ = -1;
    int device_ = -1;
};

/// The ext4 in a file, mounted.
class mounted_image {
public:
    /// `options` as mount(8) has them for ext4.
    mounted_image(const std::string& file, std::string point, const char* options) : device_{file}, point_{std::move(point)} {
        if (::mount(device_.path().c_str(), point_.c_str(), "ext4", MS_NOATIME, options) != 0) {
            throw std::system_error{errno, std::system_category(), std::string{"mount as ext4 with "} + options};
        }
    }
    mounted_image(const mounted_image&) = delete;
    mounted_image& operator=(const mounted_image&) = delete;
    ~mounted_image() {
        for (int tries = 0; ::umount2(point_.c_str(), 0) != 0 && errno == EBUSY && tries < 1'000; ++tries) {
            ::usleep(1'000);  // whoever was killed here is not quite gone
        }
    }

    [[nodiscard]] const std::string& point() const noexcept { return point_; }
    [[nodiscard]] const loop_device& device() const noexcept { return device_; }

private:
    const loop_device device_;
    const std::string point_;
};

/// Runs a program, its output thrown away. Gives its exit status; 127 where there is none of that name.
[[nodiscard]] inline int run_program(std::vector<std::string> arguments) {
    const pid_t child = fork_child();
    if (child == 0) {
        die_with_parent();
        const int nowhere = ::open("/dev/null", O_RDWR);
        ::dup2(nowhere, 1);
        ::dup2(nowhere, 2);
        ::setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
        std::vector<char*> words;
        for (auto& one : arguments) {
            words.push_back(one.data());
        }
        words.push_back(nullptr);
        ::execvp(words[0], words.data());
        ::_exit(127);
    }
    const int status = await_end(child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/// Makes an ext4 of `bytes` in a new file. Empty, or why it could not be made.
[[nodiscard]] inline std::string make_image(const std::string& file, std::uint64_t bytes, const std::string& features) {
    const int made = ::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool is_there = made >= 0 && ::ftruncate(made, static_cast<off_t>(bytes)) == 0;
    ::close(made);
    if (!is_there) {
        return file + ": " + system_text();
    }
    const int status = run_program({"mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-N", std::to_string(bytes >> 14), "-O", features, "-E", "nodiscard,lazy_itable_init=0", file});
    return status == 0 ? "" : status == 127 ? "there is no mkfs.ext4 (Debian: e2fsprogs)" : "mkfs.ext4 fails with " + std::to_string(status);
}

/// Empty where a file can be made an ext4 and mounted; else why not.
[[nodiscard]] inline std::string why_no_images() {
    try {
        const temp_directory place{memory_directory()};
        if (std::string why = make_image(place / "image", 16 << 20, "^has_journal"); !why.empty()) {
            return why;
        }
        const std::string point = place / "mounted";
        if (::mkdir(point.c_str(), 0700) != 0) {
            return point + ": " + system_text();
        }
        const mounted_image probe{place / "image", point, ""};
        return {};
    } catch (const std::system_error& why) {
        return why.what();
    }
}

/// True where this process now has mounts of its own, and can mount an ext4 in a file. Else says why `program` is not run.
[[nodiscard]] inline bool can_mount_images(const char* program) {
    std::string why = leave_for_own_mounts();
    if (why.empty()) {
        why = why_no_images();
    }
    if (!why.empty()) {
        std::printf("%s: not run, since an ext4 in a file cannot be mounted here (%s)\n", program, why.c_str());
    }
    return why.empty();
}

}  // namespace brook::test
