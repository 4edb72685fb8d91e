/// \file tests/support/catch.hpp
/// Catch2 in whichever version is installed.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>  // v3

using Catch::Approx;  // a global name in v2
#else
#include <catch2/catch.hpp>  // v2; Debian 12 has 2.13.10
#endif
