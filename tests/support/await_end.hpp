/// \file support/await_end.hpp
/// Waiting for a child process, whatever signals come meanwhile.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>

#include <cerrno>
#include <system_error>

namespace brook::test {

/// Waits until the child is gone, and buries it.
///
/// Returns   its status, as waitpid(2) gives it.
/// Errors    thrown: there is no such child. No status is made up for it: 0 would say that it had done well.
[[nodiscard]] inline int await_end(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) != child) {
        if (errno != EINTR) {
            throw std::system_error{errno, std::system_category(), "waitpid"};
        }
    }
    return status;
}

}  // namespace brook::test
