/// \file peers/bare_peer.hpp
/// Bounds that take part like peers: brook's frames, and no library. No claims, no index, no recovery, no group commit; the file is prepared before
/// the clock starts. What they reach beside a peer is what writing such frames, and no more, reaches in that way.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "peers/peer.hpp"
#include "support/bare.hpp"

namespace brook::bench {

/// The file of frames, and how it is read. Who derives from it says how frames get there.
class bare_peer : public peer {
public:
    [[nodiscard]] std::string version() const override { return "(a bound)"; }

    /// The file is what it was.
    bool reopen(const std::string&, const workload&) override { return true; }

    found read() override {
        has_read_ = true;
        const bare_mapping memory{*file_, bare_mapping::pages::as_they_are};
        return timed_read([&](found& all) {
            static_cast<void>(bare_scan<false>(memory.data(), ~std::uint64_t{0}, [&](std::int64_t, const std::byte*, const std::byte* body, std::uint32_t) {
                for (std::uint32_t i = 0; i < batch_; ++i) {
                    all.sum += first_byte(batch_ == 1 ? body : body + std::size_t{i} * (8 + padded(value_bytes_)) + 8);
                }
                all.records += batch_;
            }));
        });
    }

    void close() override {
        if (has_read_) {
            file_.reset();
        }
    }

protected:
    /// A new file with room for the whole work and a zero behind the last frame, its zeros written in pieces of `chunk` bytes.
    void create(const std::string& directory, const workload& what, std::size_t chunk) {
        file_ = std::make_unique<bare_file>(directory + "/bare.log", what.records / what.batch * frame_bytes(what) + sizeof(std::uint64_t), chunk);
        batch_ = what.batch;
        value_bytes_ = what.value_bytes;
        has_read_ = false;
    }
    [[nodiscard]] const bare_file& file() const noexcept { return *file_; }
    [[nodiscard]] static std::size_t frame_bytes(const workload& what) noexcept {
        return what.batch == 1 ? bare_writer::frame_bytes(what.value_bytes) : bare_writer::frame_bytes(what.value_bytes, what.batch);
    }

private:
    std::unique_ptr<bare_file> file_;
    std::uint32_t batch_ = 1;
    std::uint32_t value_bytes_ = 0;
    bool has_read_ = false;
};

/// One `pwrite` for each record or batch, and one `fdatasync` behind it where things are synced.
class bare_pwrite final : public bare_peer {
public:
    [[nodiscard]] std::string name() const override { return "bare pwrite"; }
    [[nodiscard]] std::string how() const override {
        return "no library: header, copy, XXH3, stamp and one pwrite a record, or a batch, into a file whose zeros are there; synced: each "
               "followed by an fdatasync of its own, the zeros on the disk";
    }

    void open(const std::string& directory, const workload& what) override {
        const bool is_synced = what.level == durability::synced;
        create(directory, what, is_synced ? 4'096 : bare_writer::best_chunk(frame_bytes(what)));
        if (is_synced) {
            sync();
        }
        end_ = 0;
    }

    void write(unsigned, const workload& what, share& mine) override {
        bare_writer writer{file(), end_, frame_bytes(what)};
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            if (count == 1) {
                writer.append(what.value(first, 0), what.value_bytes, stamp());
            } else {
                writer.append_batch(what.values, what.value_bytes, count, stamp());
            }
            if (what.level == durability::synced) {
                sync();
            }
        });
    }

private:
    void sync() const { file().check(::fdatasync(file().number()) == 0, "fdatasync"); }

    std::atomic<std::uint64_t> end_{0};
};

/// Into the file's memory, mapped and populated; a mutex around it where there are several writers.
class bare_loop final : public bare_peer {
public:
    [[nodiscard]] std::string name() const override { return "the bare loop"; }
    [[nodiscard]] std::string how() const override {
        return "no library: header, copy, XXH3 and stamp into the memory of a file that is prepared, mapped and populated; several writers: a mutex around it";
    }
    [[nodiscard]] std::string why_not(const workload& what) const override {
        return what.level == durability::synced ? "it writes into memory, and syncs nothing" : "";
    }

    void open(const std::string& directory, const workload& what) override {
        create(directory, what, std::size_t{1} << 20);
        memory_.emplace(file(), bare_mapping::pages::populated);
        log_ = bare_log{memory_->data()};
    }

    void write(unsigned, const workload& what, share& mine) override {
        if (what.writers == 1) {
            write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) { append(what, first, count, stamp()); });
        } else {
            write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
                const std::int64_t now = stamp();
                const std::scoped_lock guard{mutex_};
                append(what, first, count, now);
            });
        }
    }

    void close() override {
        memory_.reset();
        bare_peer::close();
    }

private:
    void append(const workload& what, std::uint64_t first, std::uint32_t count, std::int64_t now) noexcept {
        if (count == 1) {
            log_.append(nullptr, 0, what.value(first, 0), what.value_bytes, now);
        } else {
            log_.append_batch(what.values, what.value_bytes, count, now);
        }
    }

    std::optional<bare_mapping> memory_;
    std::mutex mutex_;  // guards the log, where there are several writers
    bare_log log_{nullptr};
};

}  // namespace brook::bench
