/// \file brook/core/callback.hpp
/// A function that options can carry, without what <functional> costs every includer.
/// Floor 0, core.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

template <class Signature> class callback;

/// Anything callable, or nothing: `nullptr`, a lambda, a function.
///
/// Copies share one target and its state, so a callable need not be copyable.
///
/// Threads   as safe as the target; copying is.
/// Cost      one allocation to make it, none to copy or call it.
template <class Result, class... Arguments> class callback<Result(Arguments...)> {
public:
    callback() noexcept = default;
    callback(std::nullptr_t) noexcept {}

    template <class Function>
        requires(!std::same_as<std::remove_cvref_t<Function>, callback> &&
                 !std::is_member_pointer_v<std::decay_t<Function>> &&
                 std::is_invocable_r_v<Result, std::decay_t<Function>&, Arguments...>)
    callback(Function&& function) {
        using target = std::decay_t<Function>;
        if constexpr (std::is_pointer_v<target>) {
            const target pointer = function;
            if (pointer == nullptr) {
                return;
            }
        }
        target_ = std::make_shared<target>(std::forward<Function>(function));
        call_ = [](void* object, Arguments... arguments) -> Result {
            return static_cast<Result>((*static_cast<target*>(object))(std::forward<Arguments>(arguments)...));
        };
    }

    [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }

    /// Requires  that there is something to call.
    Result operator()(Arguments... arguments) const {
        BROOK_ASSERT(call_ != nullptr);
        return call_(target_.get(), std::forward<Arguments>(arguments)...);
    }

private:
    std::shared_ptr<void> target_;
    Result (*call_)(void*, Arguments...) = nullptr;
};

}  // namespace brook::inline BROOK_ABI
