/* SPDX-License-Identifier: Apache-2.0
 *
 * Histories as text, and the machines that they are judged by. LIN_HISTORY_HELP is the format. */
#ifndef LIN_HISTORY_H
#define LIN_HISTORY_H

#include "lin/lin.h"

#include "base/err.h"

#include <stddef.h>

#define LIN_BYTES_MAX     (1u << 28) /* of one history's text */
#define LIN_WORDS_MAX     24u        /* of a line */
#define LIN_REGISTERS_MAX 8u         /* named ones of the model registers */
#define LIN_ERROR_MAX     255u       /* characters of an error */

extern const char LIN_HISTORY_HELP[];

struct lin_history {
    struct lin_op *ops;
    uint32_t count;
    const char *model; /* its name */
    lin_step *step;
    uint64_t init;
    void *ctx; /* the model's; owned */
};

/* Reads a history of size bytes, which are borrowed as long as it is. Any bytes are safe. INVALID
 * or LIMIT: error says which line and why, and nothing is left to be freed. */
SH_MUST_USE enum sh_err lin_history_decode(struct lin_history *history, const char *bytes,
                                           size_t size, char error[static LIN_ERROR_MAX + 1]);
void lin_history_free(struct lin_history *history);
/* Text of a key of this history, not terminated; borrowed from it. */
const char *lin_history_key(const struct lin_history *history, uint32_t key, size_t *size);

/* ---- the model job, for who records calls itself ---- */

/* One idempotency key, which stands for at most one job. Progress of a job never goes back. */
enum lin_job_verb {
    LIN_JOB_SUBMIT, /* arg[0]: the job answered, not 0 */
    LIN_JOB_READ,   /* arg[0]: the job asked for; arg[1]: 1 + its progress, 0: there is none */
};
#define LIN_JOB_ID_MAX       ((UINT64_C(1) << 40) - 1)
#define LIN_JOB_PROGRESS_MAX ((UINT64_C(1) << 24) - 2)
lin_step lin_job_step; /* the first state is 0; no ctx */

#endif
