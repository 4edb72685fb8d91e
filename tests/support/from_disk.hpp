/// \file support/from_disk.hpp
/// What the disk has of a file, in one piece.
#pragma once

#include <cstdint>
#include <system_error>

#include <brook/core/bytes.hpp>
#include <brook/os/platform.hpp>

namespace brook::test {

/// As os::file::read_from_disk, into memory.
[[nodiscard]] inline std::error_code read_from_disk(const os::file& file, std::uint64_t position, mutable_bytes into) {
    class copy final : public os::piece_reader {
    public:
        explicit copy(mutable_bytes left) noexcept : left_{left} {}
        [[nodiscard]] bool see(bytes piece) noexcept override {
            copy_bytes(left_.data(), piece.data(), piece.size());
            left_ = left_.subspan(piece.size());
            return true;
        }

    private:
        mutable_bytes left_;
    };
    copy to{into};
    return file.read_from_disk(position, into.size(), to);
}

}  // namespace brook::test
