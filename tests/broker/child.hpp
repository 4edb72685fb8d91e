/// \file broker/child.hpp
/// Other processes, for tests of what they may and may not do.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include "support/await_end.hpp"

namespace brook::test {

/// Memory that forked children share with their parent, zero at first.
template <class T>
    requires std::is_trivially_destructible_v<T>
class shared_with_children {
public:
    shared_with_children() {
        void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::system_error{errno, std::system_category(), "mmap"};
        }
        object_ = new (memory) T{};
    }
    shared_with_children(const shared_with_children&) = delete;
    shared_with_children& operator=(const shared_with_children&) = delete;
    ~shared_with_children() { ::munmap(object_, sizeof(T)); }

    [[nodiscard]] T& operator*() const noexcept { return *object_; }
    [[nodiscard]] T* operator->() const noexcept { return object_; }

private:
    T* object_;
};

/// A forked process that runs a function, which gives its exit status; killed, if need be, by the destructor.
///
/// Fork before the parent has threads: what another thread holds at that moment, the child never gets.
class child {
public:
    static constexpr int threw = 98;

    template <class Function>
    explicit child(const Function& act) : pid_{::fork()} {
        if (pid_ < 0) {
            throw std::system_error{errno, std::system_category(), "fork"};
        }
        if (pid_ == 0) {
            int status = threw;
            try {
                status = act();
            } catch (const std::exception& why) {
                std::fprintf(stderr, "a child process threw: %s\n", why.what());
            }
            ::_exit(status);
        }
    }
    child(const child&) = delete;
    child& operator=(const child&) = delete;
    ~child() {
        if (pid_ > 0) {
            kill();
        }
    }

    void kill() {
        ::kill(pid_, SIGKILL);
        static_cast<void>(wait());
    }

    /// False once it has ended by itself. It is still to be waited for.
    [[nodiscard]] bool is_running() const {
        siginfo_t info{};
        if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            throw std::system_error{errno, std::system_category(), "waitid"};
        }
        return info.si_pid == 0;
    }

    /// What it exited with; minus the signal that ended it.
    [[nodiscard]] int wait() {
        const int status = await_end(std::exchange(pid_, -1));
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

private:
    pid_t pid_;
};

/// Runs a function in another process to its end.
template <class Function>
[[nodiscard]] int in_child(const Function& act) {
    return child{act}.wait();
}

}  // namespace brook::test
