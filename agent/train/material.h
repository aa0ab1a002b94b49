/* SPDX-License-Identifier: Apache-2.0
 *
 * What a training session works from and never changes: the job, its model, its data in memory and
 * the course through them. A function of the job file and the data alone, so all members hold equal
 * ones. Constant after opening; any number of threads may read it. */
#ifndef TRAIN_MATERIAL_H
#define TRAIN_MATERIAL_H

#include "service.h"
#include "train/course.h"

#include "kernels/agg/codec.h"
#include "kernels/data/data.h"
#include "kernels/data/permutation.h"
#include "kernels/graph/graph.h"
#include "kernels/optim/optim.h"
#include "infer/tune.h"
#include "spec/model_meta.h"
#include "spec/spec.h"

#define TRAIN_WHY_BYTES   320u
#define TRAIN_EVAL_SHARES 3u /* floats that one rank gives in a VALIDATION or TEST round */

struct train_material {
    struct spec_job *job;
    uint8_t *parent_file;
    struct infer *parent; /* whose weights it begins with; NULL: the seed alone says */
    struct kn_model *model;
    struct kn_optim optim;
    struct kn_optim outer; /* LOCAL rounds: takes the mean difference for a gradient */
    struct kn_schedule schedule;
    struct kn_codec codec;        /* of gradients and differences on their way to others */
    struct kn_dataset train;      /* with what is held out for validation */
    struct kn_dataset validation; /* count 0: held out from train, or none */
    struct kn_dataset test;       /* count 0: none */
    struct kn_split split;        /* of train */
    struct train_course course;
    uint8_t spec_digest[SH_DIGEST_BYTES];
    uint32_t ranks;       /* V */
    uint32_t batch;       /* B */
    uint32_t microbatch;  /* B / V */
    uint32_t call;        /* samples of one call of the graph at most */
    uint32_t places;      /* labels a sample: 1, or those of a text's window */
    size_t params;        /* elements */
    size_t buffers;       /* elements */
    size_t inner_state;   /* elements: the optimiser's */
    size_t optim_state;   /* elements: inner_state, then the outer optimiser's, if any */
    size_t vector;        /* elements that one rank gives in a STEP */
    size_t local_vector;  /* elements that one rank gives in a LOCAL round; 0: there are none */
    uint32_t validations; /* samples of a VALIDATION round */
    uint32_t tests;       /* samples of a TEST round */
};

struct train_material_source {
    struct service *s;
    struct sh_span spec;                  /* canonical JSON of the job */
    uint8_t spec_digest[SH_DIGEST_BYTES]; /* of the job */
    const char *cache; /* what folders for files unpacked in passing begin with */
    uint64_t wait_us;  /* for blobs that no live agent answers for */
};

/* Reads the job, builds the model, fetches and opens the data; checks that they fit. On error why
 * (TRAIN_WHY_BYTES) is one line that names field, file and place, and *out is NULL. *final: the
 * same job fails on every agent, trying again cannot help. */
SH_MUST_USE enum sh_err train_material_open(struct train_material **out,
                                            const struct train_material_source *source, char *why,
                                            bool *final);
void train_material_close(struct train_material *m);

/* Elements that one rank gives in a round. */
size_t train_material_vector(const struct train_material *m, enum train_round_kind kind);
/* How many of them, the first ones, may lose something on their way to others. */
size_t train_material_lossy(const struct train_material *m, enum train_round_kind kind);
/* The longest of them, and the longest of those that are shorter. */
size_t train_material_longest(const struct train_material *m, size_t *shorter);
/* Indices into m->train of the samples that a rank computes in step number `ahead` (from 0) of a
 * STEP or LOCAL round: microbatch of them. */
void train_material_batch(const struct train_material *m, const struct train_round *round,
                          uint64_t ahead, uint32_t rank, uint32_t *index);
/* Samples [first, first + count) of a VALIDATION or TEST round: their set and indices into it. */
const struct kn_dataset *train_material_samples(const struct train_material *m,
                                                enum train_round_kind kind, uint32_t first,
                                                uint32_t count, uint32_t *index);
/* How many samples a VALIDATION or TEST round has. */
uint32_t train_material_count(const struct train_material *m, enum train_round_kind kind);
/* Learning rate of a step. */
float train_material_rate(const struct train_material *m, uint64_t step);
/* What model.safetensors says about itself. LIMIT: classes, columns or channels exceed what it can
 * name (why says which). */
SH_MUST_USE enum sh_err train_material_meta(const struct train_material *m, struct spec_meta *meta,
                                            char *why);

#endif
