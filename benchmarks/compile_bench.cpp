// What does the include cost a build? Time and memory of one file that includes <brook/brook.hpp>, at -O0, beside one
// that includes the standard and system headers that brook uses, found by following brook's own includes from there.
//
// The lines below the first two say where the rest goes: xxHash, which is needed by everyone and is no standard header;
// a small program that makes a topic, sends and polls, which instantiates what is a template; and both as they are in a program that links
// brook::compiled, which compiles the rest once.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/bench.hpp"

using namespace brook::bench;

namespace {

/// Collects the headers that are not brook's, in the order in which brook meets them.
void follow(const std::string& header, std::set<std::string>& seen, std::vector<std::string>& others) {
    std::ifstream file{std::string{INCLUDE} + "/" + header};
    if (!file) {
        throw std::runtime_error{"cannot read " + header};
    }
    for (std::string text; std::getline(file, text);) {
        constexpr std::string_view before = "#include <";
        if (!text.starts_with(before)) {
            continue;
        }
        const std::string name = text.substr(before.size(), text.find('>') - before.size());
        if (!seen.insert(name).second) {
            continue;
        }
        if (name.starts_with("brook/")) {
            follow(name, seen, others);
        } else if (name != "xxhash.h") {
            others.push_back(name);
        }
    }
}

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; }

/// Compiles the text to an object file that is thrown away.
outcome compile(const std::string& directory, const std::string& text, std::vector<double>& mebibytes) {
    const std::string path = directory + "/unit.cpp";
    std::ofstream{path} << text;
    const std::string object = directory + "/unit.o";
    const std::string include = std::string{"-I"} + INCLUDE;
    std::vector<std::string> words = {COMPILER, "-std=c++20", "-O0", "-c", "-o", object, include};
    if (std::string_view{XXHASH} != "") {
        words.insert(words.end(), {"-idirafter", XXHASH});
    }
    words.push_back(path);
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::runtime_error{"fork failed"};
    }
    if (child == 0) {
        std::vector<char*> arguments;
        for (auto& word : words) {
            arguments.push_back(word.data());
        }
        arguments.push_back(nullptr);
        ::execvp(arguments.front(), arguments.data());
        ::_exit(127);
    }
    int status = 0;
    rusage used{};
    ::wait4(child, &status, 0, &used);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error{std::string{COMPILER} + " refused the file"};
    }
    mebibytes.push_back(static_cast<double>(used.ru_maxrss) / 1024);  // the largest of the compiler's processes
    outcome done;
    done.count = 1;
    done.seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);  // of the processor: what else runs does not count
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "compile: what the include costs", [](run& bench) {
        const std::uint64_t rounds = bench.parameter("rounds", 1, 5);
        std::set<std::string> seen;
        std::vector<std::string> others;
        follow("brook/brook.hpp", seen, others);
        std::string standard;
        for (const auto& name : others) {
            standard += "#include <" + name + ">\n";
        }
        std::printf("%s, %zu standard and system headers:", COMPILER, others.size());
        for (const auto& name : others) {
            std::printf(" %s", name.c_str());
        }
        std::printf("\n");
        const std::string end = "int main() {}\n";
        const std::string brook_alone = "#include <brook/brook.hpp>\n" + end;
        const std::string use = R"(#include <brook/brook.hpp>
struct order { long number; double price; };
int main() {
    brook::broker broker{"data"};
    auto orders = broker.create_topic<std::string, order>("orders", {.partitions = 4});
    brook::producer producer{orders};
    producer.send("berlin", order{1, 2.0});
    brook::consumer consumer{orders, {.group_id = "billing"}};
    double sum = 0;
    for (auto const& record : consumer.poll(std::chrono::seconds{1})) sum += record.value().price;
    return sum > 0 ? 0 : 1;
}
)";
        const scratch_directory directory{bench.directory()};
        struct unit {
            const char* name;
            std::string text;
            std::vector<double> mebibytes;
        };
        std::vector<unit> units = {{"the standard headers it uses", standard + end, {}}, {"#include <brook/brook.hpp>", brook_alone, {}}};
        if (!bench.is_smoke()) {
            units.push_back({"the standard headers and xxhash.h", standard + "#define XXH_INLINE_ALL\n#include <xxhash.h>\n" + end, {}});
            units.push_back({"a small program: topic, send, poll", use, {}});
            const std::string separate = "#define BROOK_SEPARATE_COMPILATION 1\n";
            units.push_back({"#include <brook/brook.hpp>, linked with brook::compiled", separate + brook_alone, {}});
            units.push_back({"the small program, linked with brook::compiled", separate + use, {}});
        }
        contest all{bench, "compiling one file at -O0, processor time"};
        for (auto& one : units) {
            all.add(one.name, [&one, &directory] { return compile(directory.path(), one.text, one.mebibytes); });
        }
        all.go(rounds);
        const spread inverse = all.ratio(0, 1);  // rates: the faster the headers, the larger
        bench.aim("brook / the standard headers it uses, time", inverse, "<=", 1.5);
        if (!bench.is_smoke()) {
            bench.aim("brook, with brook::compiled / the standard headers it uses, time", all.ratio(0, 4), "<=", 1.5);
        }
        for (const auto& one : units) {
            std::printf("   peak memory, %s: %.0f MiB\n", one.name, spread_of(one.mebibytes).median);
        }
        bench.expect(others.size() > 10, "brook's includes have been followed");
    });
}
