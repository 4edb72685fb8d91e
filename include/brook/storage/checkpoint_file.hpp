/// \file brook/storage/checkpoint_file.hpp
/// A partition's checkpoint as a file: read, and written so that a torn write leaves the one before.
/// Floor 2, storage.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/checkpoint.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// The file that tells of a partition how far it is durable, and where recovery may begin.
///
/// Threads   confined.
class checkpoint_file {
public:
    explicit checkpoint_file(segment_directory& files) : files_{files}, path_{files.path() + "/checkpoint"} {}

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// nullopt: there is none, or none that verifies and is this partition's.
    /// Errors    `why`: unsupported_version, or the system does not let it be read. That must not pass for there being none: it tells what is durable.
    [[nodiscard]] std::optional<format::checkpoint> read(failure& why) const {
        std::error_code code;
        const auto file = files_.platform().open(path_, os::open_mode::read_write, code);
        std::array<std::byte, format::checkpoint_file_size> raw{};
        std::uint64_t size = 0;
        if (file) {
            code = file->size(size);
        } else if (code == std::errc::no_such_file_or_directory) {
            return std::nullopt;
        }
        if (!code) {
            const auto whole = static_cast<std::size_t>(size < raw.size() ? size : raw.size());  // shorter: its first write was cut off
            code = file->read_at(0, mutable_bytes{raw}.first(whole));
        }
        if (code) {
            why = {code, files_.name().text() + ": cannot read " + path_ + "; if it stays so, move it away to go on without what it knows to be durable"};
            return std::nullopt;
        }
        auto newest = format::newest_checkpoint(raw, [&](const format::checkpoint& slot) {
            return slot.topic == files_.name().topic_id && slot.partition == files_.name().number;
        });
        if (newest && newest->version > format::checkpoint_version) {
            why = {errc::unsupported_version, files_.name().text() + ": " + path_ + " has format version " + std::to_string(newest->version) +
                                                  ", this brook reads up to " + std::to_string(format::checkpoint_version) + "; use a newer one"};
            return std::nullopt;
        }
        return newest;
    }

    /// On the disk when this returns. The first one gets its name when it is there: a file whose first sync has failed perhaps never gets there.
    [[nodiscard]] failure write(format::checkpoint slot) const {
        slot.topic = files_.name().topic_id;
        slot.partition = files_.name().number;
        const std::string temporary = path_ + ".tmp";
        std::error_code code;
        auto file = files_.platform().open(path_, os::open_mode::read_write, code);
        const bool is_new = !file && code == std::errc::no_such_file_or_directory;
        if (is_new) {  // behind the names of the segments: a checkpoint without any would be one whose segments are lost
            files_.discard(temporary);
            code = files_.platform().sync_directory(files_.path());
            file = code ? nullptr : files_.platform().open(temporary, os::open_mode::create, code);
            if (file) {
                code = file->write_at(0, std::array<std::byte, format::checkpoint_file_size>{});
            }
        }
        if (file && !code) {
            std::array<std::byte, sizeof(format::checkpoint)> raw;
            store(raw.data(), format::sealed(slot));
            code = file->write_at(format::slot_position(slot.sequence), raw);
        }
        if (file && !code) {
            code = file->sync();
        }
        if (is_new && !code) {
            code = files_.platform().rename_to_new(temporary, path_);
            code = code ? code : files_.platform().sync_directory(files_.path());
        }
        if (is_new && code) {
            files_.discard(temporary);
            files_.discard(path_);  // who finds it does not sync its name
        }
        return code ? failure{code, files_.name().text() + ": cannot write " + path_} : failure{};
    }

private:
    segment_directory& files_;
    std::string path_;
};

}  // namespace brook::inline BROOK_ABI::storage
