/* SPDX-License-Identifier: Apache-2.0
 *
 * Models of the registry as job files name them, and what jobs say of them. */
#ifndef SPEC_MODELS_H
#define SPEC_MODELS_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEC_MODELS_MAX           256u /* of one ensemble */
#define SPEC_RESET_MAX            16u
#define SPEC_ENSEMBLE_NUMBERS_MAX 65536u /* of one member's answer */

/* A version that a name stands for when a job is accepted. */
enum spec_alias { SPEC_ALIAS_NONE, SPEC_ALIAS_LATEST, SPEC_ALIAS_BEST };

/* A model of the registry. Whoever accepts the job resolves it, so that later versions change
 * nothing. */
struct spec_model_ref {
    char name[SH_NAME_MAX + 1];
    uint32_t version;      /* 0: the newest, or the alias says which */
    enum spec_alias alias; /* until it is resolved */
    bool resolved;         /* what follows is set */
    bool script;           /* commands of the job that made it answer, else our own kernels */
    uint64_t job;          /* that made it */
    uint8_t file[SH_DIGEST_BYTES];
};

enum spec_combine { /* bits: what is made of the answers of an ensemble */
                    SPEC_COMBINE_EACH = 1,
                    SPEC_COMBINE_MEAN = 2,
                    SPEC_COMBINE_MEDIAN = 4,
                    SPEC_COMBINE_VOTE = 8,
                    SPEC_COMBINE_ALL = 15
};

/* Of jobs that use models: fine_tune, evaluate, predict, ensemble. */
struct spec_use {
    bool all;             /* ensemble: all versions of the one model that is named */
    uint32_t combine;     /* ensemble: bits */
    uint32_t deadline_s;  /* ensemble */
    uint32_t reset_count; /* fine_tune: layers that begin anew */
    char reset[SPEC_RESET_MAX][SH_NAME_MAX + 1];
    uint32_t count;
    struct spec_model_ref models[SPEC_MODELS_MAX];
};

#define SPEC_MODEL_REF_BYTES (SH_NAME_MAX + 16u)
/* How a person writes one; errors say it. */
#define SPEC_MODEL_REF_FORMS "NAME, NAME:VERSION, NAME@best or NAME@latest"
/* One of these forms, or model: and one; false where it is none. It is not resolved. */
bool spec_model_ref_read(const char *text, struct spec_model_ref *ref);
/* As it was read, without model:. */
void spec_model_ref_write(const struct spec_model_ref *ref, char out[static SPEC_MODEL_REF_BYTES]);

#endif
