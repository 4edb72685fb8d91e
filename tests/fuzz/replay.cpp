// brook_fuzz TARGET [--corpus DIRECTORY] [--mutations N] [--seed S]: hands a target what it once made, and inputs that are drawn from
// that. Needs no fuzzer and any compiler, so that each ordinary run of the tests has it. An input that ends the process is in the file
// brook_fuzz.input of the working directory.
// brook_fuzz --make DIRECTORY: writes the corpus anew, from what the library writes.
// brook_fuzz TARGET FILE...: these inputs alone.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/target.hpp"

namespace {

using brook::fuzz::target;
using input = std::vector<std::byte>;

[[nodiscard]] input read_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    if (!file) {
        std::fprintf(stderr, "cannot read %s\n", path.c_str());
        std::exit(1);
    }
    const auto raw = brook::as_bytes(text);
    return {raw.begin(), raw.end()};
}

void write_file(const std::filesystem::path& path, const input& raw) {
    std::ofstream file{path, std::ios::binary};
    const std::string_view text = brook::as_text(raw);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.flush()) {
        std::fprintf(stderr, "cannot write %s\n", path.c_str());
        std::exit(1);
    }
}

/// A few changes of the kinds that break parsers.
void mutate(input& one, const std::vector<input>& all, std::mt19937_64& random) {
    for (auto left = 1 + random() % 4; left > 0; --left) {
        const std::size_t at = one.empty() ? 0 : random() % one.size();
        const std::size_t size = one.empty() ? 0 : 1 + random() % std::min<std::size_t>(one.size() - at, 32);
        switch (random() % 7) {
            case 0:
                if (!one.empty()) {
                    one[at] ^= static_cast<std::byte>(1u << random() % 8);
                }
                break;
            case 1:
                for (std::size_t i = 0; i < size; ++i) {
                    one[at + i] = static_cast<std::byte>(random());
                }
                break;
            case 2: {
                constexpr std::uint64_t extremes[] = {0, 1, 0x7f, 0xff, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff, 0x7fff'ffff'ffff'ffff, 0xffff'ffff'ffff'ffff};
                const std::uint64_t word = extremes[random() % std::size(extremes)];
                for (std::size_t i = 0; i < std::min<std::size_t>(size, std::size_t{1} << random() % 4); ++i) {
                    one[at + i] = static_cast<std::byte>(word >> 8 * (i % 8));
                }
                break;
            }
            case 3: one.resize(at); break;
            case 4: one.erase(one.begin() + static_cast<std::ptrdiff_t>(at), one.begin() + static_cast<std::ptrdiff_t>(at + size)); break;
            case 5: {
                const input piece(one.begin() + static_cast<std::ptrdiff_t>(at), one.begin() + static_cast<std::ptrdiff_t>(at + size));
                one.insert(one.begin() + static_cast<std::ptrdiff_t>(one.empty() ? 0 : random() % one.size()), piece.begin(), piece.end());
                break;
            }
            default: {
                const input& other = all[random() % all.size()];
                const std::size_t from = other.empty() ? 0 : random() % other.size();
                one.resize(at);
                one.insert(one.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
                break;
            }
        }
    }
    if (one.size() > 64 * 1024) {
        one.resize(64 * 1024);
    }
}

int make(const std::filesystem::path& directory) {
    for (const target* one = target::first(); one != nullptr; one = one->next) {
        std::vector<input> seeds;
        one->seeds(seeds);
        const auto own = directory / one->name;
        std::filesystem::create_directories(own);
        for (std::size_t i = 0; i < seeds.size(); ++i) {
            write_file(own / std::to_string(i), seeds[i]);
        }
    }
    return 0;
}

int usage() {
    std::fputs("usage: brook_fuzz TARGET [--corpus DIRECTORY] [--mutations N] [--seed S] | TARGET FILE... | --make DIRECTORY; the targets are\n", stderr);
    for (const target* one = target::first(); one != nullptr; one = one->next) {
        std::fprintf(stderr, "  %.*s\n", static_cast<int>(one->name.size()), one->name.data());
    }
    return 64;  // EX_USAGE of sysexits(3)
}

}  // namespace

int main(int count, char** arguments) {
    const std::vector<std::string> given(arguments + 1, arguments + count);
    if (given.size() == 2 && given[0] == "--make") {
        return make(given[1]);
    }
    const target* one = target::first();
    while (one != nullptr && (given.empty() || one->name != given[0])) {
        one = one->next;
    }
    if (one == nullptr) {
        return usage();
    }
    std::vector<input> corpus;
    std::uint64_t mutations = 0;
    std::uint64_t seed = 1;
    for (std::size_t i = 1; i < given.size(); ++i) {
        if (given[i].starts_with("--") && i + 1 == given.size()) {
            return usage();
        }
        if (given[i] == "--corpus") {
            for (const auto& entry : std::filesystem::directory_iterator{given[++i]}) {
                corpus.push_back(read_file(entry.path()));
            }
        } else if (given[i] == "--mutations") {
            mutations = std::stoull(given[++i]);
        } else if (given[i] == "--seed") {
            seed = std::stoull(given[++i]);
        } else {
            corpus.push_back(read_file(given[i]));
        }
    }
    if (corpus.empty()) {
        std::fputs("no inputs: an empty corpus proves nothing\n", stderr);
        return 1;
    }
    std::sort(corpus.begin(), corpus.end());  // the order of a directory is anybody's
    const auto run = [&](const input& what) {
        write_file("brook_fuzz.input", what);
        one->run(what);
    };
    for (const input& what : corpus) {
        run(what);
    }
    std::mt19937_64 random{seed};
    for (std::uint64_t i = 0; i < mutations; ++i) {
        input what = corpus[random() % corpus.size()];
        mutate(what, corpus, random);
        if (one->repair != nullptr && random() % 2 == 0) {
            one->repair(what);
        }
        run(what);
    }
    std::filesystem::remove("brook_fuzz.input");
    std::printf("fuzz %s: %zu inputs kept, %llu drawn from them with seed %llu; bad 0\n", given[0].c_str(), corpus.size(), static_cast<unsigned long long>(mutations),
                static_cast<unsigned long long>(seed));
    return 0;
}
