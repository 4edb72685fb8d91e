// Catch2 version 2 and its main, compiled once. Version 3 brings its own, and this file is then empty.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
