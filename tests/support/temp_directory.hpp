/// \file support/temp_directory.hpp
/// A directory for one test, gone when the test is.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace brook::test {

/// Made under `base`; else under $TMPDIR, else under /tmp. The destructor removes it with all that is in it.
class temp_directory {
public:
    temp_directory() : temp_directory{default_base()} {}

    explicit temp_directory(const std::string& base) : path_{base + "/brook.XXXXXX"} {
        if (::mkdtemp(path_.data()) == nullptr) {
            throw std::system_error{errno, std::system_category(), "mkdtemp " + path_};
        }
    }
    temp_directory(const temp_directory&) = delete;
    temp_directory& operator=(const temp_directory&) = delete;
    ~temp_directory() {
        std::error_code ignored;  // what is left behind is no failure of the test
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    [[nodiscard]] static std::string default_base() {
        const char* const given = std::getenv("TMPDIR");
        return given != nullptr && *given != '\0' ? given : "/tmp";
    }

    std::string path_;
};

}  // namespace brook::test
