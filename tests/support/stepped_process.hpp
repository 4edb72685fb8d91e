/// \file support/stepped_process.hpp
/// A forked child that runs one instruction at a time.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <system_error>

namespace brook::test {

/// For a child: it does not outlive its parent.
inline void die_with_parent() noexcept { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

/// fork, or an error: the number -1 is no child, and kill(2) takes it for everybody.
[[nodiscard]] inline pid_t fork_child() {
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::system_error{errno, std::system_category(), "fork"};
    }
    return child;
}

/// One object in memory that a process shares with the children it forks.
template <class T>
class shared_object {
public:
    shared_object() : memory_{::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)} {
        if (memory_ == MAP_FAILED) {
            throw std::bad_alloc{};
        }
        new (memory_) T{};
    }
    shared_object(const shared_object&) = delete;
    shared_object& operator=(const shared_object&) = delete;
    ~shared_object() { ::munmap(memory_, sizeof(T)); }

    T& operator*() const noexcept { return *static_cast<T*>(memory_); }
    T* operator->() const noexcept { return static_cast<T*>(memory_); }

    void reset() noexcept {
        static_cast<T*>(memory_)->~T();
        std::memset(memory_, 0, sizeof(T));
        new (memory_) T{};
    }

private:
    void* memory_;
};

/// Ends the program, with what it was at, when nobody has called `still_alive` for so many seconds: what hangs under test
/// must not hang the test. Seconds in which the program is stopped (SIGSTOP) do not count.
///
/// Threads   confined; one at a time in a process.
class watchdog {
public:
    explicit watchdog(int seconds) noexcept {
        patience_ = seconds;
        struct sigaction on_tick {};
        on_tick.sa_handler = [](int) {
            ticks_ = ticks_ + 1;
            if (ticks_ > patience_) {
                say("BAD  hangs: ");
                say(at_);
                say("\n");
                ::_exit(1);  // its children go with it
            }
        };
        on_tick.sa_flags = SA_RESTART;  // ThreadSanitizer's signal(2) leaves that out
        ::sigaction(SIGALRM, &on_tick, nullptr);
        set_timer(1);
    }
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;
    ~watchdog() { set_timer(0); }

    void still_alive(const char* at) noexcept {
        at_ = at;
        ticks_ = 0;
    }

private:
    static void set_timer(time_t seconds) noexcept {
        const itimerval each{{seconds, 0}, {seconds, 0}};
        ::setitimer(ITIMER_REAL, &each, nullptr);
    }
    static void say(const char* text) noexcept {
        [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text, std::strlen(text));
    }

    static inline const char* volatile at_ = "";
    static inline volatile sig_atomic_t ticks_ = 0;
    static inline int patience_ = 0;
};

/// Ends a child and all its threads, whoever of them is traced, and waits until nothing is left of it.
inline void end_process(pid_t child) noexcept {
    if (child <= 0) {
        return;
    }
    ::kill(child, SIGKILL);
    for (;;) {
        const pid_t gone = ::waitpid(-1, nullptr, __WALL);
        if (gone == child || (gone == -1 && errno != EINTR)) {
            return;
        }
    }
}

/// A child that stops at the beginning of `work` and is then led through it by its parent.
///
/// Threads   confined, to the thread that made it; the parent has no other children meanwhile.
class stepped_process {
public:
    /// Forks. The child runs `prepare` freely, then `work` step by step, then ends without destructors.
    template <class Prepare, class Work>
    stepped_process(Prepare&& prepare, Work&& work) : child_{fork_child()} {
        if (child_ == 0) {
            run(prepare, work);
        }
        int status = 0;
        if (::waitpid(child_, &status, 0) != child_ || !WIFSTOPPED(status)) {
            exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            child_ = -1;
        }
    }
    stepped_process(const stepped_process&) = delete;
    stepped_process& operator=(const stepped_process&) = delete;
    ~stepped_process() {
        if (child_ > 0) {
            end_process(child_);
        }
    }

    static constexpr int refused_code = 77;
    static constexpr int threw_code = 78;

    [[nodiscard]] bool is_running() const noexcept { return child_ > 0; }
    [[nodiscard]] bool was_refused() const noexcept { return exit_code_ == refused_code; }
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

    /// True when the next instruction enters the kernel. Program and libraries lie in the child where they lie here, so
    /// that the child's code is read from our own.
    [[nodiscard]] bool is_at_system_call() const noexcept {
#if defined(__x86_64__)
        constexpr unsigned char system_call[] = {0x0f, 0x05};
        const long at = ::ptrace(PTRACE_PEEKUSER, child_, offsetof(user_regs_struct, rip), nullptr);
        return std::memcmp(reinterpret_cast<const void*>(at), system_call, sizeof system_call) == 0;
#else
        return true;  // not told apart: the directory is looked at after each step
#endif
    }

    /// One instruction; a system call counts as one.
    bool step() noexcept {
        int status = 0;
        if (::ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr) != 0 || ::waitpid(child_, &status, 0) != child_ ||
            !WIFSTOPPED(status)) {
            exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            child_ = -1;
            return false;
        }
        return true;
    }

private:
    template <class Prepare, class Work>
    [[noreturn]] static void run(Prepare& prepare, Work& work) noexcept {
        die_with_parent();
        try {
            prepare();
            if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
                ::_exit(refused_code);
            }
            ::raise(SIGSTOP);
            work();
        } catch (...) {
            ::_exit(threw_code);
        }
        ::_exit(0);
    }

    pid_t child_;
    int exit_code_ = 0;
};

/// One thread of a running child, held at an instruction of our choice while the others go on.
///
/// Threads   confined.
class held_thread {
public:
    /// Requires  the thread sends itself SIGTRAP in front of what it is to be held in, once it has been told so.
    explicit held_thread(pid_t thread) noexcept : thread_{thread} {
        is_held_ = ::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) == 0;
    }

    [[nodiscard]] bool is_held() const noexcept { return is_held_; }

    /// Waits until the thread has stopped itself.
    [[nodiscard]] bool await_stop() noexcept {
        int status = 0;
        return ::waitpid(thread_, &status, __WALL) == thread_ && WIFSTOPPED(status);
    }

    bool step() noexcept {
        int status = 0;
        return ::ptrace(PTRACE_SINGLESTEP, thread_, nullptr, nullptr) == 0 &&
               ::waitpid(thread_, &status, __WALL) == thread_ && WIFSTOPPED(status);
    }

private:
    pid_t thread_;
    bool is_held_ = false;
};

}  // namespace brook::test
