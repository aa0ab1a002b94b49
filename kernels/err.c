/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *kn_err_text(enum kn_err err)
{
    static const char *const texts[KN_ERR_COUNT] = {
#define X(number, name, text) [number] = text,
        KN_ERR_MAP(X)
#undef X
    };
    KN_CHECK((size_t)err < KN_COUNT(texts));
    return texts[err];
}

enum kn_err kn_fail(struct kn_diag *diag, enum kn_err err, const char *format, ...)
{
    KN_CHECK(err != KN_OK);
    if (diag != NULL) {
        va_list args;
        va_start(args, format);
        int length = vsnprintf(diag->text, sizeof diag->text, format, args);
        va_end(args);
        KN_CHECK(length >= 0);
    }
    return err;
}

void kn_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
    fflush(stderr);
    abort();
}
