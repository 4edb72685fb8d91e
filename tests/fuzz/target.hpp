/// \file fuzz/target.hpp
/// What the fuzz targets of this folder have in common: how an input is taken apart, mutated and repaired, and where they are listed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/error.hpp>

namespace brook::fuzz {

/// A parser, and how to make of an input one that its checksums do not stop.
///
/// Each target is a file of its own. The fuzzer's programs have one each, the program that replays has all of them.
struct target {
    using entry = void (*)(bytes input);
    using repairer = void (*)(std::vector<std::byte>& input);
    using seeder = void (*)(std::vector<std::vector<std::byte>>& inputs);

    target(std::string_view own_name, entry own_run, repairer own_repair, seeder own_seeds)
        : name{own_name}, run{own_run}, repair{own_repair}, seeds{own_seeds}, next{first()} { first() = this; }
    target(const target&) = delete;
    target& operator=(const target&) = delete;

    [[nodiscard]] static const target*& first() noexcept {
        static const target* list = nullptr;
        return list;
    }

    std::string_view name;
    entry run;        ///< ends the process where a promise is broken
    repairer repair;  ///< sizes, checksums and what else nothing gets past without; null: there is nothing to repair
    seeder seeds;     ///< what the corpus in the repository is made of: what the library itself writes
    const target* next;
};

/// A promise to be kept whatever the input is.
inline void demand(bool is_kept, const char* promise) {
    if (!is_kept) {
        std::fprintf(stderr, "BAD  %s\n", promise);
        std::abort();
    }
}

/// Takes an input from its front. What is not there is zero, or empty.
class input_reader {
public:
    explicit input_reader(bytes from) noexcept : from_{from} {}

    template <class Number>
    [[nodiscard]] Number take() noexcept {
        std::array<std::byte, sizeof(Number)> raw{};
        const bytes taken = take_bytes(raw.size());
        copy_bytes(raw.data(), taken.data(), taken.size());
        return load<Number>(raw.data());
    }
    [[nodiscard]] bytes take_bytes(std::size_t size) noexcept {
        const bytes taken = from_.first(size < from_.size() ? size : from_.size());
        from_ = from_.subspan(taken.size());
        return taken;
    }
    [[nodiscard]] bytes rest() const noexcept { return from_; }
    [[nodiscard]] bool is_empty() const noexcept { return from_.empty(); }

private:
    bytes from_;
};

/// The same bytes in memory of their own that is aligned and ends where they end, so that a sanitizer sees who reads on.
class exact_copy {
public:
    explicit exact_copy(bytes from) : size_{from.size()}, memory_{std::make_unique_for_overwrite<std::byte[]>(from.size())} { copy_bytes(memory_.get(), from.data(), size_); }
    [[nodiscard]] bytes view() const noexcept { return {memory_.get(), size_}; }
    [[nodiscard]] std::byte* data() const noexcept { return memory_.get(); }

private:
    std::size_t size_;
    std::unique_ptr<std::byte[]> memory_;
};

/// So that nothing that was read can be left out: sums of it go here.
inline volatile std::uint64_t sink = 0;
inline void use(bytes read) noexcept {
    std::uint64_t sum = read.size();
    for (const std::byte one : read) {
        sum += std::to_integer<std::uint64_t>(one);
    }
    sink = sink + sum;
}
inline void use(std::string_view read) noexcept { use(as_bytes(read)); }
inline void use(std::uint64_t read) noexcept { sink = sink + read; }

/// Appends a number, as an input has it.
template <class Number>
void put(std::vector<std::byte>& to, const Number& value) {
    const std::size_t at = to.size();
    to.resize(at + sizeof value);
    store(to.data() + at, value);
}
inline void put_bytes(std::vector<std::byte>& to, bytes raw) { to.insert(to.end(), raw.begin(), raw.end()); }

/// Errors of the kinds that a parser may throw at a caller are its answer; anything else is not.
template <class Work>
void answer(const Work& work) {
    try {
        work();
    } catch (const error& why) {
        use(std::string_view{why.what()});
    }
}

}  // namespace brook::fuzz
