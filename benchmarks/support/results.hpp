/// \file support/results.hpp
/// What a benchmark found, for programs to read: one JSON object a line, appended to a file that several benchmarks share.
/// support/make_report.sh makes report.json and report.html of it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace brook::bench {

/// Lowest, middle and highest of a few figures.
struct spread {
    double low = 0;
    double median = 0;
    double high = 0;
};

/// One object, built member by member in the order in which they are given.
class json_line {
public:
    json_line& text(std::string_view name, std::string_view value) {
        member(name);
        quote(value);
        return *this;
    }
    /// What JSON has no number for, a division by nothing, is null.
    json_line& number(std::string_view name, double value) {
        member(name);
        put(value);
        return *this;
    }
    json_line& flag(std::string_view name, bool value) {
        member(name);
        made_ += value ? "true" : "false";
        return *this;
    }
    json_line& numbers(std::string_view name, const spread& value) {
        member(name);
        list({value.low, value.median, value.high});
        return *this;
    }
    json_line& pairs(std::string_view name, const std::vector<std::pair<double, double>>& values) {
        member(name);
        made_ += '[';
        for (std::size_t i = 0; i < values.size(); ++i) {
            made_ += i == 0 ? "" : ",";
            list({values[i].first, values[i].second});
        }
        made_ += ']';
        return *this;
    }
    json_line& object(std::string_view name, const json_line& value) {
        member(name);
        made_ += value.str();
        return *this;
    }
    json_line& objects(std::string_view name, const std::vector<json_line>& values) {
        member(name);
        made_ += '[';
        for (std::size_t i = 0; i < values.size(); ++i) {
            made_ += (i == 0 ? "" : ",") + values[i].str();
        }
        made_ += ']';
        return *this;
    }

    [[nodiscard]] std::string str() const { return '{' + made_ + '}'; }

private:
    void member(std::string_view name) {
        made_ += made_.empty() ? "" : ",";
        quote(name);
        made_ += ':';
    }

    void put(double value) {
        if (!std::isfinite(value)) {
            made_ += "null";
            return;
        }
        char text[40];
        std::snprintf(text, sizeof text, "%.10g", value);
        made_ += text;
    }

    void list(std::initializer_list<double> values) {
        made_ += '[';
        for (const double* one = values.begin(); one != values.end(); ++one) {
            made_ += one == values.begin() ? "" : ",";
            put(*one);
        }
        made_ += ']';
    }

    void quote(std::string_view value) {
        made_ += '"';
        for (const char one : value) {
            if (one == '"' || one == '\\') {
                made_ += '\\';
                made_ += one;
            } else if (static_cast<unsigned char>(one) < 0x20) {
                char text[8];
                std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(one));
                made_ += text;
            } else {
                made_ += one;
            }
        }
        made_ += '"';
    }

    std::string made_;
};

/// The file, if one was asked for. Each line is written whole, when it is made: what ran before a failure is there.
class results_file {
public:
    results_file() = default;
    results_file(const results_file&) = delete;
    results_file& operator=(const results_file&) = delete;
    ~results_file() {
        if (file_ != nullptr) {
            std::fclose(file_);
        }
    }

    /// Returns   false: it cannot be written.
    [[nodiscard]] bool open(const std::string& path) {
        file_ = std::fopen(path.c_str(), "ae");
        return file_ != nullptr;
    }

    void write(const json_line& line) {
        if (file_ != nullptr) {
            std::fprintf(file_, "%s\n", line.str().c_str());
            std::fflush(file_);
        }
    }

    /// Whether all was written so far.
    [[nodiscard]] bool is_good() const noexcept { return file_ == nullptr || std::ferror(file_) == 0; }

private:
    std::FILE* file_ = nullptr;
};

}  // namespace brook::bench
