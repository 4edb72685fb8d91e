/// \file support/store_trap.hpp
/// A child that stops after each of its stores into a mapped file, and after each call that may change one.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <brook/os/platform.hpp>

#include "support/relocated_platform.hpp"
#include "support/stepped_process.hpp"

namespace brook::test {

/// Visits the same states as stepping through every instruction does, and costs only as much as there are of them: files
/// are mapped read-only, so that a store faults; the handler opens the page, lets one instruction pass, closes the page,
/// and waits for the parent. System calls inside one call of the platform are not told apart.
class store_trap {
public:
#if defined(__x86_64__)
    static constexpr bool is_supported = true;
#else
    static constexpr bool is_supported = false;  // wants the processor's trap flag
#endif

    /// Forks. The child runs `work(platform)` on a platform that traps and that otherwise is as `seen` is.
    template <class Work>
    store_trap(const relocated_platform& seen, Work&& work) {
        child_ = fork_child();
        if (child_ == 0) {
            die_with_parent();
            trapping_platform platform{seen, *turns_};
            try {
                work(platform);
            } catch (...) {
                ::_exit(stepped_process::threw_code);
            }
            ::_exit(0);
        }
    }
    store_trap(const store_trap&) = delete;
    store_trap& operator=(const store_trap&) = delete;
    ~store_trap() {
        if (child_ > 0) {
            end_process(child_);
        }
    }

    /// Lets the child go on to its next stop. Returns false once it has ended.
    [[nodiscard]] bool step() noexcept {
        turns_->gone_on.store(seen_);
        while (turns_->stopped.load() == seen_) {
            int status = 0;
            if (::waitpid(child_, &status, WNOHANG) == child_) {
                exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
                child_ = -1;
                return false;
            }
            ::sched_yield();
        }
        ++seen_;
        return true;
    }
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

private:
    struct turns {
        std::atomic<std::uint64_t> stopped{0};
        std::atomic<std::uint64_t> gone_on{0};
    };

    class trapping_platform final : public relocated_platform {
    public:
        trapping_platform(const relocated_platform& seen, turns& of) : relocated_platform{} {
            see_as(seen);
            mine_ = this;
            turns_ = &of;
            struct sigaction action {};
            action.sa_flags = SA_SIGINFO | SA_NODEFER;
            action.sa_sigaction = faulted;
            ::sigaction(SIGSEGV, &action, nullptr);
            action.sa_sigaction = stored;
            ::sigaction(SIGTRAP, &action, nullptr);
        }

    protected:
        void has_called() noexcept override { stop(); }
        void has_mapped(os::mapping& memory) noexcept override {
            if (count_ < regions_.size()) {
                regions_[count_++] = {memory.data(), memory.size()};
                ::mprotect(memory.data(), memory.size(), PROT_READ);
            }
        }

    private:
        static constexpr std::uintptr_t page = 4096;
        struct region {
            std::byte* data;
            std::size_t size;
        };

        static void stop() noexcept {
            const std::uint64_t at = turns_->stopped.fetch_add(1) + 1;
            while (turns_->gone_on.load() != at) {
                ::sched_yield();
            }
        }

        static void faulted(int, siginfo_t* what, void* context) noexcept {
            auto* const at = static_cast<std::byte*>(what->si_addr);
            for (std::size_t i = 0; i < mine_->count_; ++i) {
                const region& mapped = mine_->regions_[i];
                if (at >= mapped.data && at < mapped.data + mapped.size && mine_->open_count_ < mine_->open_.size()) {
                    auto* const begin = at - reinterpret_cast<std::uintptr_t>(at) % page;
                    ::mprotect(begin, page, PROT_READ | PROT_WRITE);
                    mine_->open_[mine_->open_count_++] = begin;
                    trap_after_next(*static_cast<ucontext_t*>(context), true);
                    return;
                }
            }
            ::signal(SIGSEGV, SIG_DFL);  // a fault of somebody's own: it happens again
        }

        static void stored(int, siginfo_t*, void* context) noexcept {
            while (mine_->open_count_ != 0) {
                ::mprotect(mine_->open_[--mine_->open_count_], page, PROT_READ);
            }
            trap_after_next(*static_cast<ucontext_t*>(context), false);
            stop();
        }

        static void trap_after_next([[maybe_unused]] ucontext_t& context, [[maybe_unused]] bool on) noexcept {
#if defined(__x86_64__)
            constexpr greg_t trap_flag = 0x100;
            greg_t& flags = context.uc_mcontext.gregs[REG_EFL];
            flags = on ? flags | trap_flag : flags & ~trap_flag;
#endif
        }

        std::array<region, 256> regions_{};
        std::size_t count_ = 0;
        std::array<std::byte*, 8> open_{};
        std::size_t open_count_ = 0;

        static inline trapping_platform* mine_ = nullptr;
        static inline turns* turns_ = nullptr;
    };

    shared_object<turns> turns_;
    std::uint64_t seen_ = 0;
    pid_t child_ = -1;
    int exit_code_ = 0;
};

}  // namespace brook::test
