// The one target of this program as libFuzzer and AFL++ call it. Half of the inputs that libFuzzer makes are repaired: sizes and
// checksums would stop nearly all of them.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/target.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    brook::fuzz::target::first()->run(std::as_bytes(std::span{data, size}));
    return 0;
}

#ifndef BROOK_FUZZ_WITHOUT_MUTATOR  // a fuzzer that has mutators of its own, and no LLVMFuzzerMutate
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    const std::size_t made = LLVMFuzzerMutate(data, size, most);
    const auto repair = brook::fuzz::target::first()->repair;
    if (repair == nullptr || seed % 2 == 0) {
        return made;
    }
    std::vector<std::byte> input;
    input.reserve(made);
    brook::fuzz::put_bytes(input, std::as_bytes(std::span{data, made}));
    repair(input);
    if (input.size() > most) {
        return made;
    }
    std::memcpy(data, input.data(), input.size());
    return input.size();
}
#endif
