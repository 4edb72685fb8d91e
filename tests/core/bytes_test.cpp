#include <brook/core/bytes.hpp>  // first, so that it must stand alone

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "support/catch.hpp"

namespace core_bytes_test {

namespace {

static_assert(std::is_convertible_v<brook::mutable_bytes, brook::bytes> &&
              !std::is_convertible_v<brook::bytes, brook::mutable_bytes>);

TEST_CASE("align_up gives the next multiple of a power of two", "[core][bytes]") {
    const auto [value, alignment, aligned] = GENERATE(Catch::Generators::table<std::uint32_t, std::uint32_t, std::uint32_t>({
        {0, 8, 0},
        {1, 8, 8},
        {7, 8, 8},
        {8, 8, 8},
        {9, 8, 16},
        {5, 1, 5},
        {4'095, 4'096, 4'096},
        {4'097, 4'096, 8'192},
    }));
    CAPTURE(value, alignment);
    CHECK(brook::align_up(value, alignment) == aligned);
    static_assert(brook::align_up(std::uint64_t{1} << 40 | 1, std::uint64_t{8}) == (std::uint64_t{1} << 40 | 8));
}

TEST_CASE("numbers are stored little-endian at any address", "[core][bytes]") {
    std::array<std::byte, 16> memory{};
    const auto at = GENERATE(0, 1, 3, 7);
    CAPTURE(at);
    brook::store(memory.data() + at, std::uint64_t{0x0102030405060708});
    CHECK(memory.at(static_cast<std::size_t>(at)) == std::byte{8});
    CHECK(memory.at(static_cast<std::size_t>(at) + 7) == std::byte{1});
    CHECK(memory.at(static_cast<std::size_t>(at) + 8) == std::byte{0});
    CHECK(brook::load<std::uint64_t>(memory.data() + at) == 0x0102030405060708);
    CHECK(brook::load<std::uint16_t>(memory.data() + at) == 0x0708);
}

TEST_CASE("copying nothing needs no pointer", "[core][bytes]") {
    brook::copy_bytes(nullptr, nullptr, 0);
    std::array<std::byte, 3> memory{};
    brook::copy_bytes(memory.data(), "abc", 3);
    CHECK(brook::as_text(memory) == "abc");
}

TEST_CASE("a text and its bytes are the same memory", "[core][bytes]") {
    constexpr std::string_view text = "a\0b";
    const brook::bytes raw = brook::as_bytes(text);
    CHECK(raw.size() == text.size());
    CHECK(brook::as_text(raw).data() == text.data());
    CHECK(brook::as_text(raw) == text);
    CHECK(brook::as_text({}).empty());
    CHECK(brook::as_bytes({}).empty());
}

TEST_CASE("an object is read where it lies", "[core][bytes]") {
    struct pair {
        std::uint32_t first, second;
    };
    alignas(8) std::array<std::byte, 8> memory{};
    brook::store(memory.data(), pair{1, 2});
    const pair& read = brook::object_at<pair>(memory.data());
    CHECK(static_cast<const void*>(&read) == memory.data());
    CHECK(read.first == 1);
    CHECK(read.second == 2);
}

TEST_CASE("a word in mapped memory is shared by all who map it", "[core][bytes]") {
    alignas(8) std::array<std::byte, 16> memory{};
    const auto one = brook::atomic_at<std::uint64_t>(memory.data() + 8);
    const auto other = brook::atomic_at<std::uint64_t>(memory.data() + 8);
    one.store(std::numeric_limits<std::uint64_t>::max(), std::memory_order_release);
    CHECK(other.load(std::memory_order_acquire) == std::numeric_limits<std::uint64_t>::max());
    CHECK(memory[7] == std::byte{0});
    CHECK(memory[8] == std::byte{0xff});
}

}  // namespace

}  // namespace core_bytes_test
