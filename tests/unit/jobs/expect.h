/* SPDX-License-Identifier: Apache-2.0
 *
 * Expectations about commands that the file's `w`, a struct world, applies. */
#ifndef TEST_JOBS_EXPECT_H
#define TEST_JOBS_EXPECT_H

#include "tst.h"
#include "world.h"

#define EXPECT_CODE(call, expected)                                                                \
    do {                                                                                           \
        enum sh_err tst_err = (call);                                                              \
        EXPECT_STR(jobs_code_name((uint32_t)w.result.code), jobs_code_name(expected));             \
        EXPECT_EQ(tst_err == SH_OK, (expected) == JOBS_CODE_NONE);                                 \
        jobs_check(w.core, w.t);                                                                   \
    } while (0)
#define EXPECT_DONE(call) EXPECT_CODE(call, JOBS_CODE_NONE)

#endif
