/// \file support/directory_watch.hpp
/// Looking over a process's shoulder: what its directory holds at this instant, and a copy of it.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/os/platform.hpp>

#include "support/relocated_platform.hpp"

namespace brook::test {

/// Where stores for fault tests live: memory, so that a copy costs microseconds; else $TMPDIR, else /tmp.
[[nodiscard]] inline std::string memory_directory() {
    if (::access("/dev/shm", W_OK | X_OK) == 0) {
        return "/dev/shm";
    }
    const char* const given = std::getenv("TMPDIR");
    return given != nullptr && *given != '\0' ? given : "/tmp";
}

[[noreturn]] inline void throw_errno(const std::string& what) {
    throw std::system_error{errno, std::system_category(), what};
}

/// Removes all that a directory holds, and keeps it.
inline void empty_directory(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(path.c_str()), ::closedir};
    if (!directory) {
        throw_errno("opendir " + path);
    }
    while (const dirent* const entry = ::readdir(directory.get())) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") {
            continue;
        }
        const std::string child = path + '/' + name;
        if (entry->d_type == DT_DIR) {
            empty_directory(child);
            ::rmdir(child.c_str());
        } else {
            ::unlink(child.c_str());
        }
    }
}

/// A directory tree that another process works in, seen through read-only mappings of its files.
///
/// `has_changed` compares every byte of every file with what it was when it was last asked; `rescan` looks for new,
/// renamed and resized files, and is due after each system call of the process.
///
/// Threads   confined.
/// Cost      has_changed: one pass over the files, some 50 ns per KiB; copy_to: some 10 us a file.
class directory_watch {
public:
    explicit directory_watch(std::string path) : path_{std::move(path)} { rescan(); }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    void rescan() {
        std::map<std::string, watched> found;
        std::vector<std::string> directories;
        scan("", found, directories);
        if (directories != directories_) {
            directories_ = std::move(directories);
            names_changed_ = true;
        }
        if (found.size() != files_.size() ||
            !std::equal(found.begin(), found.end(), files_.begin(), [](const auto& a, const auto& b) {
                return a.first == b.first && a.second.inode == b.second.inode && a.second.size == b.second.size;
            })) {
            names_changed_ = true;
        }
        files_ = std::move(found);
    }

    /// True when anything differs from the last time this was asked.
    [[nodiscard]] bool has_changed() {
        bool changed = std::exchange(names_changed_, false);
        for (auto& [name, file] : files_) {
            if (file.last.size() != file.size ||
                (file.size != 0 && std::memcmp(file.last.data(), file.data(), file.size) != 0)) {
                file.last.assign(file.data(), file.data() + file.size);
                changed = true;
            }
        }
        return changed;
    }

    [[nodiscard]] std::size_t total_bytes() const {
        std::size_t bytes = 0;
        for (const auto& [name, file] : files_) {
            bytes += file.size;
        }
        return bytes;
    }

    /// Makes `target` hold exactly what the directory holds. Where `seen_by` is given, the copies pass for their
    /// originals on `target_platform`, as the originals are seen on `seen_by`.
    void copy_to(const std::string& target, relocated_platform* seen_by, relocated_platform* target_platform) const {
        empty_directory(target);
        for (const std::string& name : directories_) {
            if (::mkdir((target + '/' + name).c_str(), 0700) != 0) {
                throw_errno("mkdir " + target + '/' + name);
            }
        }
        for (const auto& [name, file] : files_) {
            const std::string copy = target + '/' + name;
            write_file(copy, file);
            if (seen_by != nullptr && target_platform != nullptr) {
                const auto original = seen_by->identity_of(path_ + '/' + name);
                struct statx status {};
                if (original && ::statx(AT_FDCWD, copy.c_str(), 0, STATX_INO, &status) == 0) {
                    os::file_identity id;
                    id.device = std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
                    id.inode = status.stx_ino;
                    target_platform->pass_for(id, *original);
                }
            }
        }
    }

private:
    struct unmap {
        std::size_t size;
        void operator()(std::byte* data) const noexcept { ::munmap(data, size); }
    };
    struct watched {
        ino_t inode = 0;
        std::size_t size = 0;
        std::shared_ptr<std::byte> mapped;
        std::vector<std::byte> last;

        [[nodiscard]] const std::byte* data() const noexcept { return mapped.get(); }
    };

    void scan(const std::string& prefix, std::map<std::string, watched>& found, std::vector<std::string>& directories) {
        const std::string at = prefix.empty() ? path_ : path_ + '/' + prefix;
        const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(at.c_str()), ::closedir};
        if (!directory) {
            return;  // gone meanwhile
        }
        while (const dirent* const entry = ::readdir(directory.get())) {
            const std::string name = entry->d_name;
            if (name == "." || name == "..") {
                continue;
            }
            const std::string child = prefix.empty() ? name : prefix + '/' + name;
            if (entry->d_type == DT_DIR) {
                directories.push_back(child);
                scan(child, found, directories);
                continue;
            }
            found.emplace(child, watch_file(child));
        }
    }

    [[nodiscard]] watched watch_file(const std::string& name) {
        struct stat status {};
        const std::string full = path_ + '/' + name;
        if (::stat(full.c_str(), &status) != 0) {
            throw_errno("stat " + full);
        }
        const auto size = static_cast<std::size_t>(status.st_size);
        for (auto& [known_name, known] : files_) {
            if (known.inode == status.st_ino && known.size == size) {
                return known_name == name ? std::move(known) : watched{known.inode, size, known.mapped, {}};
            }
        }
        watched fresh{status.st_ino, size, nullptr, {}};
        if (size != 0) {
            const int descriptor = ::open(full.c_str(), O_RDONLY | O_CLOEXEC);
            void* const there = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
            ::close(descriptor);
            if (there == MAP_FAILED) {
                throw_errno("mmap " + full);
            }
            fresh.mapped = std::shared_ptr<std::byte>{static_cast<std::byte*>(there), unmap{size}};
        }
        return fresh;
    }

    /// Pages of zeros are left out: they read as zeros all the same.
    static void write_file(const std::string& path, const watched& file) {
        const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        bool is_done = descriptor >= 0 && ::ftruncate(descriptor, static_cast<off_t>(file.size)) == 0;
        static constexpr std::array<std::byte, 4096> zeros{};
        for (std::size_t at = 0; is_done && at < file.size; at += zeros.size()) {
            const std::size_t size = std::min(zeros.size(), file.size - at);
            if (std::memcmp(file.data() + at, zeros.data(), size) != 0) {
                const auto written = ::pwrite(descriptor, file.data() + at, size, static_cast<off_t>(at));
                is_done = written == static_cast<ssize_t>(size);
            }
        }
        if (!is_done) {
            throw_errno("copying to " + path);
        }
        ::close(descriptor);
    }

    const std::string path_;
    std::map<std::string, watched> files_;
    std::vector<std::string> directories_;
    bool names_changed_ = true;
};

}  // namespace brook::test
