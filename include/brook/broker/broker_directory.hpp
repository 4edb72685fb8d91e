/// \file brook/broker/broker_directory.hpp
/// A broker's directory: made or found, known for what it is, and held by one process.
/// Floor 4, broker.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/small_file.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/properties.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::broker_room {

///     <dir>/broker.lock      held while it is open
///     <dir>/broker.meta      what the directory is
///
/// Threads   confined.
class broker_directory {
public:
    broker_directory(os::platform& platform, std::string path) : platform_{platform}, path_{std::move(path)} {
        while (path_.size() > 1 && path_.ends_with('/')) {
            path_.pop_back();
        }
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// Of this directory, made with it: who has another one is not who had it.
    [[nodiscard]] const format::topic_id& id() const noexcept { return id_; }

    /// Errors    directory_in_use, not_a_brook_directory, unsupported_version, corrupt_record, unsafe_filesystem, or the system's own.
    ///
    /// `node`: the broker's number in its cluster; nullopt: it is alone. A directory is of the one or of the other for good.
    void enter(bool allows_unsafe_filesystem, std::optional<int> node = std::nullopt) {
        if (const auto code = platform_.make_directory(path_); code && code != std::errc::file_exists) {
            throw_error(code, "cannot create the directory " + path_);
        }
        static_cast<void>(has_meta());  // nothing is put into a directory that is not ours
        if (!allows_unsafe_filesystem && platform_.filesystem_of(path_) != os::filesystem::mapped_writes_promised) {
            throw_error(errc::unsafe_filesystem, path_ + " is on a file system where mapped writes are not promised (ext4, XFS and tmpfs are "
                                                              "known to be good); set allow_unsafe_filesystem if you know that this one is");
        }
        std::error_code code;
        lock_ = platform_.lock_file(path_ + "/broker.lock", code);
        if (code == std::errc::resource_unavailable_try_again) {
            throw_error(errc::directory_in_use, path_ + " is open in another broker, " + text_of_holder());
        }
        check(code, "cannot lock " + path_ + "/broker.lock");
        has_meta() ? check_meta(node) : write_meta(node);  // asked again: another may have begun it before we had the lock
        // Before anything else is in the directory: without broker.meta it would be a stranger's.
        check(platform_.sync_directory(path_), "cannot sync " + path_);
    }

    /// It is free for the next one.
    void leave() noexcept { lock_.reset(); }

private:
    /// Nobody decides by it: the lock is the kernel's, and the number may be of a process that has just gone.
    [[nodiscard]] std::string text_of_holder() const {
        std::string text;
        try {
            text = read_small_file(platform_, path_ + "/broker.lock", os::open_mode::read_only);
        } catch (const error&) {
            text.clear();  // then without it
        }
        const std::string number = text.substr(0, text.find_first_not_of("0123456789"));
        return number.empty() ? "here or in another process" : "that of process " + number;
    }

    /// Errors    not_a_brook_directory: there is no broker.meta, and there is something else.
    [[nodiscard]] bool has_meta() {
        std::vector<os::directory_entry> entries;
        check(platform_.list(path_, entries), "cannot list " + path_);
        bool has_stranger = false;
        for (const auto& entry : entries) {
            if (entry.name == "broker.meta") {
                return true;
            }
            has_stranger = has_stranger || (entry.name != "broker.lock" && entry.name != "broker.meta.tmp" && entry.name != "lost+found");
        }
        if (has_stranger) {
            throw_error(errc::not_a_brook_directory, path_ + " holds other files and no broker.meta; give the broker a directory of its own");
        }
        return false;
    }

    /// Errors    invalid_config: it is another broker's.
    void check_meta(std::optional<int> node) {
        const std::string path = path_ + "/broker.meta";
        const auto meta = format::properties::decode(read_small_file(platform_, path), broker_meta_kind, broker_meta_version, path);
        const auto known = meta.find_number("node_id");
        if (known.has_value() != node.has_value()) {
            throw_error(errc::invalid_config, path_ + (node ? " is the directory of a broker that is alone, and joins no cluster; give the new broker an empty one"
                                                            : " is the directory of broker " + std::to_string(*known) + " of a cluster; open it with its peers"));
        }
        if (node && *known != *node) {
            throw_error(errc::invalid_config, path_ + " is the directory of broker " + std::to_string(*known) + ", not of broker " + std::to_string(*node));
        }
        if (node) {
            id_ = topic_meta::id_of(meta.find("directory_id").value_or(""), path, "directory_id");
        }
    }

    void write_meta(std::optional<int> node) {
        format::properties meta{std::string{broker_meta_kind}, broker_meta_version};
        if (node) {
            id_ = topic_meta::new_id(platform_);
            meta.set("node_id", *node);
            meta.set("directory_id", topic_meta::hex_of(id_));
        } else {
            meta.set("cluster_id", format::properties::hex(platform_.random()) + format::properties::hex(platform_.random()));
        }
        const std::size_t slash = path_.rfind('/');
        const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path_.substr(0, slash);
        if (const auto code = platform_.sync_directory(parent); code && code != std::errc::permission_denied) {
            throw_error(code, "cannot sync " + parent);  // where we may not, whoever made the directory has to
        }
        write_small_file(platform_, path_ + "/broker.meta", meta.encode());
    }

    os::platform& platform_;
    std::string path_;
    format::topic_id id_{};
    std::unique_ptr<os::lock> lock_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
