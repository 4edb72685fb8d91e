// brook_fault PROGRAM [ARGUMENT...]: runs one of the programs of this folder. They are one binary, since each would compile
// the whole library again.
#include <cstdio>
#include <exception>
#include <string_view>

#include "fault/program.hpp"

int main(int count, char** arguments) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const std::string_view wanted = count > 1 ? arguments[1] : "";
    const auto* one = brook::test::fault_program::first();
    while (one != nullptr && one->name != wanted) {
        one = one->next;
    }
    if (one == nullptr) {
        std::fputs("usage: brook_fault PROGRAM [ARGUMENT...]; the programs are\n", stderr);
        for (one = brook::test::fault_program::first(); one != nullptr; one = one->next) {
            std::fprintf(stderr, "  %.*s\n", static_cast<int>(one->name.size()), one->name.data());
        }
        return 64;  // EX_USAGE of sysexits(3)
    }
    try {
        return one->run(count - 1, arguments + 1);
    } catch (const std::exception& error) {  // what it throws is one more thing that is bad
        std::printf("BAD  %s\n", error.what());
        return 1;
    }
}
