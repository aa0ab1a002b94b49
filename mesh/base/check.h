/* SPDX-License-Identifier: Apache-2.0
 *
 * Always-on assertions. A failed check is a bug in this program: it prints, dumps what the panic
 * hook knows, and aborts. Never check bytes that came from a wire, a disk or a user: those get an
 * sh_err. One condition per check, so that the message names it. */
#ifndef SH_BASE_CHECK_H
#define SH_BASE_CHECK_H

#include <stdint.h>

/* Defined by base/host (prints and aborts); the only way out of a pure core besides returning. */
_Noreturn void sh_panic(const char *file, int line, const char *what);
_Noreturn void sh_panic_cmp(const char *file, int line, const char *what, uint64_t left,
                            uint64_t right);

#define SH_CHECK(e) ((e) ? (void)0 : sh_panic(__FILE__, __LINE__, #e))

/* Both sides as unsigned 64-bit values; prints them when the relation does not hold. */
#define SH_CHECK_CMP(a, op, b)                                                                     \
    (((uint64_t)(a)op(uint64_t)(b))                                                                \
         ? (void)0                                                                                 \
         : sh_panic_cmp(__FILE__, __LINE__, #a " " #op " " #b, (uint64_t)(a), (uint64_t)(b)))

#define SH_IMPLIES(p, q) (!(p) || (q))
#define SH_UNREACHABLE() sh_panic(__FILE__, __LINE__, "unreachable")

#define SH_MUST_USE __attribute__((warn_unused_result))
/* A result that is looked at and changes nothing; a comment beside it says why that is right. */
#define SH_MAY_FAIL(e)  ((void)!(e))
#define SH_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define SH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
