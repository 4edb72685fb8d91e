/// \file brook/client/topic_pattern.hpp
/// Topics by name, as many as match.
/// Floor 6, client. Source: MQTT 5.0 §4.7 (topic names and filters), with dots for slashes and * for +.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <brook/broker/topic_meta.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>

namespace brook::inline BROOK_ABI {

/// Which topics a consumer reads, by levels of their names, between dots:
///
///     sensors.*.temperature     * is any one level, an empty one, too:  sensors.attic.temperature, not sensors.attic.north.temperature
///     sensors.#                 # is all levels from there on, or none:  sensors, sensors.attic, sensors.attic.temperature
///     #                         every topic
///
/// As in MQTT, `*` and `#` stand for whole levels, and `#` stands last. Topics whose names begin with __ are the broker's
/// own, and never match.
///
/// Threads   immutable.
class topic_pattern {
public:
    /// Errors    invalid_topic, which says what is wrong.
    explicit topic_pattern(std::string_view pattern) : text_{pattern} {
        if (pattern.empty()) {
            refuse("it is empty; # matches every topic");
        }
        if (broker_room::is_internal_topic(pattern)) {
            refuse("topics whose names begin with __ are the broker's own, and never match");
        }
        for (std::size_t at = 0; at < pattern.size(); ++at) {
            const char c = pattern[at];
            const bool is_level = (at == 0 || pattern[at - 1] == '.') && (at + 1 == pattern.size() || pattern[at + 1] == '.');
            if ((c == '*' || c == '#') && !is_level) {
                refuse("* and # stand for whole levels, between dots");
            }
            if (c == '#' && at + 1 != pattern.size()) {
                refuse("# matches all levels from there on, and stands last");
            }
            if (c != '*' && c != '#' && !is_of_names(c)) {
                refuse("its levels are *, # or have characters of a-z A-Z 0-9 _ -");
            }
        }
    }

    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    [[nodiscard]] bool matches(std::string_view topic) const noexcept {
        if (broker_room::is_internal_topic(topic)) {
            return false;
        }
        for (std::string_view wanted = text_; wanted != "#";) {
            const std::size_t wanted_end = wanted.find('.');
            const std::size_t end = topic.find('.');
            const std::string_view level = wanted.substr(0, wanted_end);
            if (level != "*" && level != topic.substr(0, end)) {
                return false;
            }
            if (wanted_end == std::string_view::npos) {
                return end == std::string_view::npos;
            }
            wanted.remove_prefix(wanted_end + 1);
            if (end == std::string_view::npos) {
                return wanted == "#";  // none is enough: sensors.# is the parent, too
            }
            topic.remove_prefix(end + 1);
        }
        return true;
    }

private:
    [[nodiscard]] static constexpr bool is_of_names(char c) noexcept {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    }

    [[noreturn]] void refuse(const char* why) const { throw_error(errc::invalid_topic, "topic pattern '" + text_.substr(0, 249) + "': " + why); }

    std::string text_;
};

}  // namespace brook::inline BROOK_ABI
