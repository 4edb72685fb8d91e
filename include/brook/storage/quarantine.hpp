/// \file brook/storage/quarantine.hpp
/// Files that do not count, and copies of what is cut, kept for a person to look at.
/// Floor 2, storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment_directory.hpp>
#include <brook/storage/segment_names.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Keeps under another name, "….quarantine", what a log goes on without.
///
/// Threads   confined.
class quarantine {
public:
    explicit quarantine(segment_directory& files) noexcept : files_{files} {}

    /// Renames a file away, and that is on the disk.
    [[nodiscard]] failure put_away(const std::string& path) {
        for (int attempt = 0;; ++attempt) {
            const std::string kept = path + (attempt == 0 ? "" : std::string{"."} + std::to_string(attempt)) + ".quarantine";
            const auto code = files_.platform().rename_to_new(path, kept);
            if (code == std::errc::file_exists && attempt < 1'000) {
                continue;
            }
            if (code) {
                return {code, files_.name().text() + ": cannot rename " + path + " to " + kept};
            }
            kept_.push_back(kept);
            has_put_away_ = true;
            // Its name may be given again: the old file must not come back under it.
            return files_.sync_names();
        }
    }

    /// The files that hold it.
    [[nodiscard]] const std::vector<std::string>& kept() const noexcept { return kept_; }

    /// Whether a file has been renamed: there may be a segment less than the checkpoint tells of.
    [[nodiscard]] bool has_put_away() const noexcept { return has_put_away_; }

    /// Copies what is cut from a segment, under a name of its own, unless a recovery that was killed behind this has made the same copy: one that was killed
    /// while it erased has left less here than it had kept.
    [[nodiscard]] failure keep_copy(offset base, position at, bytes tail) {
        const std::string stem = files_.path() + '/' + segment_name(base) + '-' + std::to_string(at);
        std::string path = stem + ".quarantine";
        std::error_code code;
        auto file = files_.platform().open(path, os::open_mode::create, code);
        for (int attempt = 1; code == std::errc::file_exists && attempt < 1'000; ++attempt) {
            if (file = find_copy(path, tail); file) {
                code.clear();
                break;
            }
            path = stem + '.' + std::to_string(attempt) + ".quarantine";
            file = files_.platform().open(path, os::open_mode::create, code);
        }
        if (file) {
            code = file->write_at(0, tail);
        }
        if (file && !code) {
            code = file->sync();
        }
        if (file && !code) {
            code = files_.platform().sync_directory(files_.path());
        }
        if (code) {
            if (file) {
                files_.discard(path);
            }
            return {code, files_.name().text() + ": cannot keep what is cut in " + path + "; make room and open again"};
        }
        kept_.push_back(path);
        return {};
    }

private:
    /// The file, if it holds these very bytes.
    [[nodiscard]] std::unique_ptr<os::file> find_copy(const std::string& path, bytes tail) const {
        std::error_code code;
        auto file = files_.platform().open(path, os::open_mode::read_write, code);
        std::uint64_t size = 0;
        if (!file || file->size(size) || size != tail.size()) {
            return nullptr;
        }
        std::vector<std::byte> copy(tail.size());
        return !file->read_at(0, copy) && std::memcmp(copy.data(), tail.data(), tail.size()) == 0 ? std::move(file) : nullptr;
    }

    segment_directory& files_;
    std::vector<std::string> kept_;
    bool has_put_away_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage
