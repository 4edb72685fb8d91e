/// \file brook/format/properties.hpp
/// Small files of names and values, readable by a person, closed by a checksum: broker.meta and topic.meta.
/// Floor 1, format.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/checksum.hpp>

namespace brook::inline BROOK_ABI::format {

/// Ordered names and values, as lines:
///
///     brook-topic 1
///     partitions 4
///     segment_bytes 67108864
///     checksum 1f0c55e0a3b7c2d4
///
/// The first line is the kind of file and its format version; the last is XXH3-64 of everything before it, in hex.
/// Values hold no line breaks. A reader refuses a version newer than its own.
///
/// Threads   confined.
class properties {
public:
    properties(std::string kind, std::uint32_t version) : kind_{std::move(kind)}, version_{version} {}

    void set(std::string_view name, std::string_view value) { lines_.append(name).append(" ").append(value).append("\n"); }
    void set(std::string_view name, std::int64_t value) { set(name, std::string_view{std::to_string(value)}); }

    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept {
        for (std::string_view rest = lines_; !rest.empty();) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(line.size() + 1);
            if (line.starts_with(name) && line.substr(name.size()).starts_with(' ')) {
                return line.substr(name.size() + 1);
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] std::optional<std::int64_t> find_number(std::string_view name) const noexcept {
        std::string_view text = find(name).value_or("");
        const bool is_negative = text.starts_with('-');
        text.remove_prefix(is_negative ? 1 : 0);
        const std::uint64_t most = std::uint64_t{INT64_MAX} + (is_negative ? 1 : 0);
        const auto number = parse(text, 10);
        if (!number || *number > most) {
            return std::nullopt;
        }
        return static_cast<std::int64_t>(is_negative ? 0 - *number : *number);
    }

    [[nodiscard]] std::string encode() const {
        const std::string text = kind_ + ' ' + std::to_string(version_) + '\n' + lines_;
        return text + "checksum " + hex(hash(as_bytes(text))) + '\n';
    }

    /// Errors    corrupt_record, unsupported_version; both name `path`.
    [[nodiscard]] static properties decode(std::string_view text, std::string_view kind, std::uint32_t newest, const std::string& path) {
        constexpr std::string_view last = "checksum ";
        const std::size_t end = text.rfind(last);
        if (text.substr(0, kind.size()) != kind || end == text.npos || end == 0 || text[end - 1] != '\n' ||
            text.substr(end) != std::string{last} + hex(hash(as_bytes(text.substr(0, end)))) + '\n') {
            throw_error(errc::corrupt_record, path + ": not a whole " + std::string{kind} + " file; restore it from a copy");
        }
        properties read{std::string{kind}, 0};
        read.lines_ = text.substr(0, end);
        const auto version = read.find_number(kind);
        if (!version || *version < 1 || *version > newest) {
            throw_error(errc::unsupported_version, path + ": format version " + std::string{read.find(kind).value_or("?")} +
                                                       ", this brook reads up to " + std::to_string(newest) + "; use a newer one");
        }
        read.version_ = static_cast<std::uint32_t>(*version);
        read.lines_.erase(0, read.lines_.find('\n') + 1);
        return read;
    }

    [[nodiscard]] std::uint32_t version() const noexcept { return version_; }

    [[nodiscard]] static std::string hex(std::uint64_t number) {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text(16, '0');
        for (std::size_t i = 16; i-- > 0; number >>= 4) {
            text[i] = digits[number & 15];
        }
        return text;
    }

    /// The number that these digits are, all of them; nullopt for anything else, and for what 64 bits do not hold.
    [[nodiscard]] static std::optional<std::uint64_t> parse(std::string_view digits, unsigned base) noexcept {
        std::uint64_t number = 0;
        bool is_whole = !digits.empty();
        for (const char c : digits) {
            const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
            is_whole = is_whole && static_cast<unsigned>(digit) < base && !__builtin_mul_overflow(number, base, &number) &&
                       !__builtin_add_overflow(number, static_cast<unsigned>(digit), &number);
        }
        return is_whole ? std::optional{number} : std::nullopt;
    }

private:
    std::string kind_;
    std::uint32_t version_;
    std::string lines_;  // "name value\n" each, without the first and the last of the file
};

}  // namespace brook::inline BROOK_ABI::format
