/// \file broker/outcome.hpp
/// What a call threw, as a value.
#pragma once

#include <new>
#include <string>
#include <system_error>

#include <brook/core/error.hpp>

namespace brook::test {

struct outcome {
    std::error_code code;  ///< success when nothing was thrown
    std::string text;

    [[nodiscard]] bool names(const std::string& what) const { return text.find(what) != std::string::npos; }
};

template <class Function>
[[nodiscard]] outcome outcome_of(const Function& act) {
    try {
        act();
    } catch (const error& why) {
        return {why.code(), why.what()};
    } catch (const std::bad_alloc& why) {
        return {std::make_error_code(std::errc::not_enough_memory), why.what()};
    }
    return {};
}

template <class Function>
[[nodiscard]] std::error_code code_of(const Function& act) {
    return outcome_of(act).code;
}

}  // namespace brook::test
