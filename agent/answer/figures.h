/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model is worth on labelled data, or a script by the predictions that it left. */
#ifndef ANSWER_FIGURES_H
#define ANSWER_FIGURES_H

#include "infer/infer.h"
#include "jobs/cmd.h"
#include "spec/spec.h"
#include "train/scribe.h"

#define ANSWER_EVALUATION "evaluation.json"
#define ANSWER_CONFUSION  "confusion.csv"

struct answer_figures {
    struct jobs_figures figures; /* of more than one class against the rest: means over them */
    uint64_t correct;            /* classification */
    char *evaluation;            /* JSON with all there is to say; given (free) */
    size_t evaluation_size;
    char *confusion; /* CSV: a row a true class, a column a class that was said; NULL: none */
    size_t confusion_size;
};

/* y: an answer of infer to each sample of the set, which fits it. INVALID: a sample that cannot be
 * counted, or an answer that is not finite; why names it. NO_MEMORY. */
SH_MUST_USE enum sh_err answer_figures_make(const struct infer *infer, const struct kn_dataset *set,
                                            const float *y, struct answer_figures *out,
                                            struct kn_diag *why);
void answer_figures_close(struct answer_figures *figures);

/* A file of results, as exec.results says; name is for messages. */
SH_MUST_USE enum sh_err answer_figures_score(const struct spec_exec *exec, const uint8_t *text,
                                             size_t size, const char *name,
                                             struct jobs_figures *out, struct kn_diag *why);

/* As points of step 0, by the names of the figures. */
void answer_figures_tell(struct train_scribe *scribe, const struct jobs_figures *figures);

#endif
