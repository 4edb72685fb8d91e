/// \file peers/bare_peer.hpp
/// The bound of those who write by calls to the system: brook's frames, one `pwrite` for each record or batch, and one `fdatasync` behind it
/// where things are synced. No index, no recovery, no group commit; the file is prepared before the clock starts.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "peers/peer.hpp"
#include "support/bare.hpp"

namespace brook::bench {

class bare_peer final : public peer {
public:
    [[nodiscard]] std::string name() const override { return "bare pwrite"; }
    [[nodiscard]] std::string version() const override { return "(a bound)"; }
    [[nodiscard]] std::string how() const override {
        return "no library: header, copy, XXH3, stamp and one pwrite a record, or a batch, into a file whose zeros are there; synced: each "
               "followed by an fdatasync of its own, the zeros on the disk";
    }

    void open(const std::string& directory, const workload& what) override {
        const bool is_synced = what.level == durability::synced;
        const std::uint64_t bytes = what.records / what.batch * frame_bytes(what) + sizeof(std::uint64_t);  // behind the last frame a zero
        file_ = std::make_unique<bare_file>(directory + "/bare.log", bytes, is_synced ? 4'096 : bare_writer::best_chunk(frame_bytes(what)));
        if (is_synced) {
            sync();
        }
        end_ = 0;
        batch_ = what.batch;
        value_bytes_ = what.value_bytes;
        has_read_ = false;
    }

    /// The file is what it was.
    bool reopen(const std::string&, const workload&) override { return true; }

    void write(unsigned, const workload& what, share& mine) override {
        bare_writer writer{*file_, end_, frame_bytes(what)};
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

private:
    [[nodiscard]] static std::size_t frame_bytes(const workload& what) noexcept {
        return what.batch == 1 ? bare_writer::frame_bytes(what.value_bytes) : bare_writer::frame_bytes(what.value_bytes, what.batch);
    }
    void sync() const { file_->check(::fdatasync(file_->number()) == 0, "fdatasync"); }

    std::unique_ptr<bare_file> file_;
    std::atomic<std::uint64_t> end_{0};
    std::uint32_t batch_ = 1;
    std::uint32_t value_bytes_ = 0;
    bool has_read_ = false;
};

}  // namespace brook::bench
