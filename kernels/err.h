/* SPDX-License-Identifier: Apache-2.0
 *
 * What every part of kernels shares: errors, the text that explains one, and always-on checks.
 * kernels includes nothing of shoal; the program that hosts it maps enum kn_err to its own. */
#ifndef KN_ERR_H
#define KN_ERR_H

#include <stddef.h>
#include <stdint.h>

#define KN_ERR_MAP(X)                                                                              \
    X(0, OK, "ok")                                                                                 \
    X(1, INVALID, "the description or the arguments are not valid")                                \
    X(2, LIMIT, "a documented limit is exceeded")                                                  \
    X(3, MEMORY, "out of memory")                                                                  \
    X(4, NOT_FINITE, "the computation produced a value that is not finite")                        \
    X(5, IO, "a file could not be read or written")                                                \
    X(6, CORRUPT, "the bytes are damaged or not of this format")                                   \
    X(7, UNSUPPORTED, "not supported")                                                             \
    X(8, NOT_FOUND, "no such object")                                                              \
    X(9, DEVICE, "the accelerator failed")

enum kn_err {
#define X(number, name, text) KN_ERR_##name = number,
    KN_ERR_MAP(X)
#undef X
        KN_ERR_COUNT = 10
};

#define KN_OK KN_ERR_OK

const char *kn_err_text(enum kn_err err);

#define KN_DIAG_BYTES 256u
/* Filled on an error by functions that take one (may be NULL there): one line for a person, naming
 * what was met and what was expected. Untouched on success. */
struct kn_diag {
    char text[KN_DIAG_BYTES];
};

#define KN_PRINTF(f, a) __attribute__((format(printf, f, a)))
/* Writes the text (cut at KN_DIAG_BYTES) where diag is not NULL, and returns err. */
enum kn_err kn_fail(struct kn_diag *diag, enum kn_err err, const char *format, ...) KN_PRINTF(3, 4);

/* Prints file, line and condition to stderr and aborts: a failed check is a bug of the caller or of
 * this module, never of a user's bytes. */
__attribute__((noreturn)) void kn_panic(const char *file, int line, const char *what);
#define KN_CHECK(e) ((e) ? (void)0 : kn_panic(__FILE__, __LINE__, #e))

#define KN_MUST_USE     __attribute__((warn_unused_result))
#define KN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
