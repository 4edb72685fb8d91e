/// \file peers/server.hpp
/// Processes that peers need: servers of their own, and one that is spoken to line by line. All go when the program goes.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace brook::bench {

/// Whether a command of that name is on the path.
[[nodiscard]] inline bool has_command(const std::string& name) {
    const char* const path = std::getenv("PATH");
    std::string folder;
    for (const char* at = path == nullptr ? "" : path;; ++at) {
        if (*at != ':' && *at != '\0') {
            folder += *at;
            continue;
        }
        if (::access((folder + '/' + name).c_str(), X_OK) == 0) {
            return true;
        }
        folder.clear();
        if (*at == '\0') {
            return false;
        }
    }
}

/// The word behind `mark` in what a command says; "unknown" where it says none. For the programs that peers come with.
[[nodiscard]] inline std::string version_of_command(const std::string& command, const std::string& mark) {
    std::FILE* const from = ::popen((command + " 2>/dev/null").c_str(), "r");
    char text[512] = {};
    const std::size_t size = from == nullptr ? 0 : std::fread(text, 1, sizeof text - 1, from);
    if (from != nullptr) {
        ::pclose(from);
    }
    const std::string said(text, size);
    for (std::size_t at = said.find(mark); at != std::string::npos; at = said.find(mark, at + 1)) {
        const std::size_t begin = at + mark.size();
        if (begin < said.size() && said[begin] >= '0' && said[begin] <= '9') {
            return said.substr(begin, said.find_first_of(" \n,", begin) - begin);
        }
    }
    return "unknown";
}

/// A port of the loopback interface that nobody had a moment ago.
[[nodiscard]] inline std::uint16_t free_port() {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool is_good = socket >= 0 && ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                         ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    const int why = errno;
    if (socket >= 0) {
        ::close(socket);
    }
    if (!is_good) {
        throw std::system_error{why, std::system_category(), "a free port"};
    }
    return ntohs(address.sin_port);
}

/// A child process. It is asked to end, and killed where it does not within some seconds.
///
/// Threads   confined to the thread that made it: the child dies with it.
class server_process {
public:
    /// `input` and `output` become its standard streams where they are not -1; what it says else goes to the file `log`.
    explicit server_process(std::vector<std::string> command, const std::string& log = "/dev/null", int input = -1, int output = -1)
        : name_{command.front()}, log_{log} {
        std::vector<char*> words;
        for (auto& word : command) {
            words.push_back(word.data());
        }
        words.push_back(nullptr);
        std::fflush(stdout);  // what waits there is printed once
        process_ = ::fork();
        if (process_ < 0) {
            throw std::system_error{errno, std::system_category(), "fork"};
        }
        if (process_ == 0) {  // nothing but system calls from here
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            const int said = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
            ::dup2(input >= 0 ? input : ::open("/dev/null", O_RDONLY), 0);
            ::dup2(output >= 0 ? output : said, 1);
            ::dup2(said, 2);
            ::execvp(words[0], words.data());
            ::_exit(127);
        }
    }
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;
    ~server_process() { stop(); }

    /// Nobody else is measured beside it while it sleeps.
    void sleep() const noexcept { ::kill(process_, SIGSTOP); }
    void wake() const noexcept { ::kill(process_, SIGCONT); }

    void stop() noexcept {
        if (process_ <= 0) {
            return;
        }
        wake();
        ::kill(process_, SIGTERM);
        for (int i = 0; i < 500; ++i) {
            if (::waitpid(process_, nullptr, WNOHANG) == process_) {
                process_ = -1;
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{20});
        }
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
        process_ = -1;
    }

    /// Waits until it has ended by itself.
    /// Returns   what waitpid says.
    [[nodiscard]] int wait() {
        int status = 0;
        if (::waitpid(process_, &status, 0) != process_) {
            throw std::system_error{errno, std::system_category(), "waitpid"};
        }
        process_ = -1;
        return status;
    }

    /// Tries `is_up` until it says true; throws where the process is gone, with what it said last, or where it takes too long.
    template <class Up>
    void await(const Up& is_up, std::chrono::seconds most = std::chrono::seconds{30}) {
        for (const auto end = std::chrono::steady_clock::now() + most; !is_up();) {
            int status = 0;
            if (::waitpid(process_, &status, WNOHANG) == process_) {
                process_ = -1;
                throw std::runtime_error{name_ + " did not start" + last_words()};
            }
            if (std::chrono::steady_clock::now() > end) {
                throw std::runtime_error{name_ + " does not answer" + last_words()};
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
        }
    }

private:
    [[nodiscard]] std::string last_words() const {
        std::ifstream log{log_};
        std::string last;
        for (std::string line; std::getline(log, line);) {
            last = line.empty() ? last : line;
        }
        return last.empty() ? last : ": " + last;
    }

    std::string name_;
    std::string log_;
    pid_t process_ = -1;
};

/// A process that answers each line with a line.
class line_process {
public:
    explicit line_process(std::vector<std::string> command, const std::string& log = "/dev/null") : line_process{pipes{}, std::move(command), log} {}
    line_process(const line_process&) = delete;
    line_process& operator=(const line_process&) = delete;
    ~line_process() {
        std::fclose(to_);  // it ends
        std::fclose(from_);
        std::free(text_);
    }

    [[nodiscard]] std::string line() {
        const ssize_t size = ::getline(&text_, &room_, from_);
        if (size <= 0) {
            throw std::runtime_error{"a process that was asked is gone"};
        }
        return {text_, static_cast<std::size_t>(size) - 1};
    }

    [[nodiscard]] std::string call(const std::string& words) {
        if (std::fprintf(to_, "%s\n", words.c_str()) < 0 || std::fflush(to_) != 0) {
            throw std::runtime_error{"a process that is to be asked is gone"};
        }
        return line();
    }

private:
    struct pipes {
        int to[2] = {-1, -1};
        int from[2] = {-1, -1};

        pipes() {
            if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) {
                throw std::system_error{errno, std::system_category(), "pipe"};
            }
        }
    };

    line_process(const pipes& ends, std::vector<std::string> command, const std::string& log)
        : process_{std::move(command), log, ends.to[0], ends.from[1]}, to_{::fdopen(ends.to[1], "w")}, from_{::fdopen(ends.from[0], "r")} {
        ::close(ends.to[0]);
        ::close(ends.from[1]);
    }

    server_process process_;
    std::FILE* to_;
    std::FILE* from_;
    char* text_ = nullptr;
    std::size_t room_ = 0;
};

}  // namespace brook::bench
