/// \file brook/os/credential_file.hpp
/// Small files that say who one is: certificates, and keys that nobody else may read.
/// Floor 1, os.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/system_call.hpp>

namespace brook::inline BROOK_ABI::os {

inline constexpr std::size_t credential_file_max = std::size_t{1} << 20;

/// Reads it whole. Symbolic links are followed: those who renew certificates turn one over. With `is_secret` a file that its group
/// or others may do anything with is refused; it is looked at after it was opened, so it is the one that is read.
///
/// Errors    invalid_config: not a regular file, larger than credential_file_max, or not secret. Otherwise the system's own.
[[nodiscard]] inline std::string read_credential_file(const std::string& path, bool is_secret) {
    const detail::descriptor opened{detail::open_file(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    struct stat status {};
    if (!opened.is_open() || ::fstat(opened.number(), &status) != 0) {
        throw_system_error(errno, "cannot open " + path);
    }
    if (!S_ISREG(status.st_mode)) {
        throw_error(errc::invalid_config, path + " is not a regular file");
    }
    if (is_secret && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        throw_error(errc::invalid_config, path + " may be read or written by others than its owner: chmod 600");
    }
    if (is_secret && status.st_uid != ::geteuid() && status.st_uid != 0) {
        throw_error(errc::invalid_config, path + " belongs to another user");
    }
    std::string text;
    while (text.size() <= credential_file_max) {
        const std::size_t had = text.size();
        text.resize(had + 4096);
        const auto count = detail::uninterrupted([&] { return ::read(opened.number(), text.data() + had, 4096); });
        if (count < 0) {
            throw_system_error(errno, "cannot read " + path);
        }
        text.resize(had + static_cast<std::size_t>(count));
        if (count == 0) {
            return text;
        }
    }
    throw_error(errc::invalid_config, path + " is larger than 1 MiB");
}

}  // namespace brook::inline BROOK_ABI::os
