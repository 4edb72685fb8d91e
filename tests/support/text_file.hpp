/// \file support/text_file.hpp
/// A file that is a text in memory, some of whose pages cannot be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include <brook/os/platform.hpp>

namespace brook::test {

/// Everything that would change it is refused.
///
/// Threads   confined.
class text_file final : public os::file {
public:
    explicit text_file(std::string text) : content{std::move(text)} {}

    std::string content;
    std::set<std::uint64_t> bad_pages;            ///< of 4096 bytes: an error for every read that touches one
    mutable int failing_reads = 0;                ///< so many fail, wherever they are
    std::function<void()> on_read;                ///< called before each read: may change the content, as a writer does
    mutable std::uint64_t reads = 0;
    mutable std::uint64_t bytes_read = 0;
    mutable std::size_t largest_read = 0;

    [[nodiscard]] std::error_code size(std::uint64_t& bytes) const noexcept override {
        bytes = content.size();
        return {};
    }
    [[nodiscard]] std::error_code read_at(std::uint64_t at, mutable_bytes into) const noexcept override {
        if (on_read) {
            on_read();
        }
        ++reads;
        bytes_read += into.size();
        largest_read = into.size() > largest_read ? into.size() : largest_read;
        const auto bad = bad_pages.lower_bound(at / 4096);
        const bool is_bad = bad != bad_pages.end() && *bad * 4096 < at + into.size();
        if (is_bad || failing_reads > 0 || at > content.size() || into.size() > content.size() - at) {
            failing_reads -= failing_reads > 0 ? 1 : 0;
            return std::make_error_code(std::errc::io_error);
        }
        std::memcpy(into.data(), content.data() + at, into.size());
        return {};
    }
    [[nodiscard]] std::error_code write_at(std::uint64_t, bytes) noexcept override { return refusal(); }
    [[nodiscard]] std::error_code allocate(std::uint64_t, std::uint64_t) noexcept override { return refusal(); }
    [[nodiscard]] std::error_code punch(std::uint64_t, std::uint64_t) noexcept override { return refusal(); }
    [[nodiscard]] std::error_code sync() noexcept override { return refusal(); }
    void start_writeback(std::uint64_t, std::uint64_t) noexcept override {}
    [[nodiscard]] std::unique_ptr<os::mapping> map(std::size_t, std::error_code& code) noexcept override {
        code = refusal();
        return nullptr;
    }
    [[nodiscard]] std::error_code identity(os::file_identity& id) const noexcept override {
        id = {};
        return {};
    }

private:
    [[nodiscard]] static std::error_code refusal() noexcept { return std::make_error_code(std::errc::bad_file_descriptor); }
};

}  // namespace brook::test
