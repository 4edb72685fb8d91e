/// \file brook/core/config.hpp
/// Version, the inline namespace, assertions. The only header of brook that defines macros.
/// Floor 0, core.
#pragma once

#include <cstddef>
#include <cstdlib>

#define BROOK_VERSION_MAJOR 0
#define BROOK_VERSION_MINOR 1
#define BROOK_VERSION_PATCH 0

/// Define as 1 to have brook check its own contracts; every translation unit of a program must agree, and the
/// namespace's name differs so that disagreeing ones do not link into a program that violates the one-definition rule.
#ifndef BROOK_ASSERTIONS
#define BROOK_ASSERTIONS 0
#endif

/// Everything of brook sits in `brook::inline BROOK_ABI`, so that two versions can live in one process.
#if BROOK_ASSERTIONS
#define BROOK_ABI v0_checked
#else
#define BROOK_ABI v0
#endif

/// A contract between brook's own parts, or with the caller. Replaceable: define it before the first include.
#ifndef BROOK_ASSERT
#if BROOK_ASSERTIONS
#define BROOK_ASSERT(condition) ((condition) ? static_cast<void>(0) : std::abort())
#else
#define BROOK_ASSERT(condition) static_cast<void>(0)
#endif
#endif

/// Define as 1 for every translation unit of a program to have what is no template compiled once: in `brook::compiled`, or in one file
/// that includes <brook/bodies.hpp>. Without it each translation unit compiles all that it uses.
#ifndef BROOK_SEPARATE_COMPILATION
#define BROOK_SEPARATE_COMPILATION 0
#endif

/// In front of the functions below ROOM/bodies; and of their declarations where they are virtual, or the table of their class would be in each file that
/// includes it (tests/layout/bodies.cmake), or are not to be inlined, of which GCC wants to know both at once.
#if BROOK_SEPARATE_COMPILATION
#define BROOK_INLINE
#else
#define BROOK_INLINE inline
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "brook needs a 64-bit little-endian machine: its files are little-endian and are read in place."
#endif

namespace brook::inline BROOK_ABI {

/// Two cache lines: adjacent-line prefetch makes pairs of 64 bytes travel together. Used in place of
/// std::hardware_destructive_interference_size, on which GCC 12 warns in headers.
inline constexpr std::size_t cache_line = 128;

}  // namespace brook::inline BROOK_ABI
