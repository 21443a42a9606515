// SPDX-License-Identifier: BSL-1.0
#pragma once

/// What a shared library exports: what is public, and what inline functions and templates of these
/// headers call. All else is its own.
/**
 * A static library exports nothing by it: a plugin that has one and hides its symbols shares none
 * of them with its host.
 */
#if defined(SLUICE_SHARED) && defined(__GNUC__) && !defined(_WIN32)
#define SLUICE_DECL __attribute__((visibility("default")))
#else
#define SLUICE_DECL
#endif
