/// \file support/processes.hpp
/// Other processes that take part in a benchmark: forked before there are threads, and asked for one thing after another.
#pragma once

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

namespace brook::bench {

/// A process that does what it is asked for, until whoever made it is gone.
///
/// Threads   confined.
class helper_process {
public:
    struct request {
        std::uint32_t what = 0;
        std::uint64_t number = 0;
    };

    /// Forks. There, `serve(request)` is called for each, and what it returns, or throws, is the answer.
    template <class Serve>
    explicit helper_process(const Serve& serve) {
        int ends[2] = {-1, -1};
        check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
        std::fflush(stdout);  // what waits there is printed once
        process_ = ::fork();
        check(process_ >= 0, "fork");
        ::close(ends[process_ == 0 ? 0 : 1]);
        channel_ = ends[process_ == 0 ? 1 : 0];
        if (process_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(serve);
        }
    }
    helper_process(const helper_process&) = delete;
    helper_process& operator=(const helper_process&) = delete;
    ~helper_process() {
        ::close(channel_);  // it ends
        ::waitpid(process_, nullptr, 0);
    }

    /// For what takes a while: `await` has the answer.
    void ask(std::uint32_t what, std::uint64_t number = 0) const {
        const request sent{what, number};
        check(::send(channel_, &sent, sizeof sent, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof sent), "send to a helper");
    }

    std::uint64_t await() const {
        answer heard;
        if (::recv(channel_, &heard, sizeof heard, 0) != static_cast<ssize_t>(sizeof heard)) {
            throw std::runtime_error{"a helper has died"};
        }
        if (heard.why[0] != '\0') {
            throw std::runtime_error{std::string{"a helper: "} + heard.why};
        }
        return heard.value;
    }

    std::uint64_t call(std::uint32_t what, std::uint64_t number = 0) const {
        ask(what, number);
        return await();
    }

private:
    struct answer {
        std::uint64_t value = 0;
        char why[240] = {};
    };

    static void check(bool is_good, const char* what) {
        if (!is_good) {
            throw std::system_error{errno, std::system_category(), what};
        }
    }

    template <class Serve>
    [[noreturn]] void work(const Serve& serve) const {
        for (request asked; ::recv(channel_, &asked, sizeof asked, 0) == static_cast<ssize_t>(sizeof asked);) {
            answer given;
            try {
                given.value = serve(asked);
            } catch (const std::exception& why) {
                std::snprintf(given.why, sizeof given.why, "%s", why.what());
            }
            if (::send(channel_, &given, sizeof given, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof given)) {
                break;
            }
        }
        ::_exit(0);  // what it holds is in files that go with the benchmark
    }

    pid_t process_ = -1;
    int channel_ = -1;
};

}  // namespace brook::bench
