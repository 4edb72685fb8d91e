/// \file brook/core/thread_kept.hpp
/// Memory that a thread keeps from one use to the next.
/// Floor 0, core.
#pragma once

#include <new>
#include <utility>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// Lends the calling thread a T that it keeps: one that is made at the first use, and used again at the next. A second one
/// that is asked for meanwhile is another. Goes with the thread; what is asked for after that, by destructors of objects
/// that live longer, is made and thrown away.
///
/// Requires  T's default constructor does not throw.
/// Threads   confined; returned by the thread that took it.
template <class T>
class thread_kept {
public:
    thread_kept() noexcept : lent_{std::exchange(here().kept, nullptr)} {
        if (lent_ == nullptr) {
            lent_ = new (std::nothrow) T;
        }
    }
    thread_kept(const thread_kept&) = delete;
    thread_kept& operator=(const thread_kept&) = delete;
    ~thread_kept() {
        place& own = here();
        if (own.kept != nullptr || own.is_over) {
            delete lent_;
            return;
        }
        own.kept = lent_;
        static thread_local const at_end ends;
    }

    /// Null: no memory.
    [[nodiscard]] T* get() const noexcept { return lent_; }
    [[nodiscard]] T* operator->() const noexcept { return lent_; }
    [[nodiscard]] explicit operator bool() const noexcept { return lent_ != nullptr; }

private:
    /// Has no destructor, and so can be looked at until the thread's memory itself goes.
    struct place {
        T* kept = nullptr;
        bool is_over = false;
    };
    struct at_end {
        at_end() noexcept {}
        ~at_end() {
            delete std::exchange(here().kept, nullptr);
            here().is_over = true;
        }
    };

    [[nodiscard]] static place& here() noexcept {
        static constinit thread_local place own{};
        return own;
    }

    T* lent_;
};

}  // namespace brook::inline BROOK_ABI
