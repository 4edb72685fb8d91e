/// \file brook/broker/request_outcome.hpp
/// What came of a request, for whoever looks for it later.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Shared by who has asked, who may have gone by then, and who brings the answer.
///
/// Threads   shared.
class request_outcome {
public:
    /// Told once. Where there is no memory to keep the answer, that is what came of it.
    void tell(const failure& why, bytes result) noexcept {
        const std::scoped_lock guard{mutex_};
        try {
            result_.assign(result.begin(), result.end());
            why_ = why;
        } catch (const std::exception&) {
            why_ = failure{std::make_error_code(std::errc::not_enough_memory), {}};  // takes none
        }
        is_known_ = true;
    }

    /// False: nothing has come yet. Else `why`, and what stands in the answer behind that, which is given away.
    [[nodiscard]] bool take(failure& why, std::vector<std::byte>& result) {
        const std::scoped_lock guard{mutex_};
        if (is_known_) {
            why = why_;
            result = std::move(result_);
        }
        return is_known_;
    }

private:
    std::mutex mutex_;  // guards the rest
    bool is_known_ = false;
    failure why_;
    std::vector<std::byte> result_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
