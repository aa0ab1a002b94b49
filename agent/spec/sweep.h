/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweeps: one job whose units differ in some values. What unit u computes is a function of the
 * canonical job, u and, for Hyperband, the scores of earlier units, so every agent derives the
 * same.
 *
 * Units are numbered stage by stage. A grid has one stage: unit u is the combination u, the last
 * parameter changing fastest. Random search has one stage: unit u is draw u. Hyperband (Li,
 * Jamieson, DeSalvo, Rostamizadeh, Talwalkar: "Hyperband: A Novel Bandit-Based Approach to
 * Hyperparameter Optimization", JMLR 18, 2018) has brackets s = s_max .. 0 and in each a stage for
 * each rung i = 0
 * .. s: floor(ceil((s_max + 1) eta^s / (s + 1)) / eta^i) units with the resource floor(R / eta^(s -
 * i)). The units of rung 0 are draws; unit k of a later rung takes the draw of the k-th best unit
 * of the rung before it, which must have ended. Units without a score rank last, equal ones by
 * number.
 *
 * Draws are Philox of (seed, unit, parameter), rounded to 6 significant digits. */
#ifndef SPEC_SWEEP_H
#define SPEC_SWEEP_H

#include "spec/spec.h"

#define SPEC_ORIGIN_NONE  UINT32_MAX
#define SPEC_SCALAR_MAX   511u  /* bytes of one value as JSON */
#define SPEC_PARAMS_MAX   4096u /* bytes of all values of a unit as JSON, with the NUL */
#define SPEC_DIGITS_DRAWN 6

struct spec_stage {
    uint32_t first; /* unit */
    uint32_t count;
    uint32_t resource; /* 0: the job's own */
    bool after;        /* begins when the stage before it has ended */
};

struct spec_score { /* of a unit that ended */
    bool known;     /* it was measured */
    double value;
};

/* The stages of a sweep, ascending, without gaps; how many. 0: they would be more than out holds,
 * or have more than SPEC_SWEEP_UNITS_MAX units. */
uint32_t spec_sweep_stages(const struct spec_sweep *sweep,
                           struct spec_stage out[static SPEC_STAGES_MAX]);
/* Units of the sweep; 0 as above. */
uint32_t spec_sweep_units(const struct spec_sweep *sweep);

/* The unit whose draw each unit takes, SPEC_ORIGIN_NONE where that is not settled: done tells how
 * many stages from the first have ended as a whole, by stage. units elements each. */
void spec_sweep_origins(const struct spec_sweep *sweep, const struct spec_score *scores,
                        const bool ended[static SPEC_STAGES_MAX], uint32_t *origins);
/* The unit of the rung before that a unit goes on from, which has the same values and less of the
 * resource; UINT32_MAX: it is of a first rung, or origins do not settle it. */
uint32_t spec_sweep_before(const struct spec_sweep *sweep, const uint32_t *origins, uint32_t unit);
/* The unit with the best score, ties to the lower number; UINT32_MAX: none has one. */
uint32_t spec_sweep_best(const struct spec_sweep *sweep, const struct spec_score *scores,
                         uint32_t count);

const char *spec_parameter_name(const struct spec_sweep *sweep, uint32_t parameter);
/* The value of a parameter in the draw or combination of a unit, as a JSON scalar. */
void spec_sweep_value(const struct spec_sweep *sweep, uint32_t origin, uint32_t parameter,
                      char out[static SPEC_SCALAR_MAX + 1]);

/* What one unit is given. */
struct spec_derived {
    size_t size;
    char spec[SH_SPEC_BYTES_MAX]; /* canonical job without the sweep: what a person would submit */
    uint8_t digest[SH_DIGEST_BYTES];
    char params[SPEC_PARAMS_MAX]; /* {"train.seed":1,...}, sorted, with the resource */
};

/* origin is that of the unit; start: the checkpoint that its training goes on from, NULL: none.
 * INVALID where the schema refuses the result, with errors; LIMIT,
 * NO_MEMORY. */
SH_MUST_USE enum sh_err spec_sweep_derive(const struct spec_job *job, uint32_t unit,
                                          uint32_t origin, const struct spec_start *start,
                                          struct spec_derived *out, struct spec_errors *errors);

/* As spec_parse, of bytes that passed it before (a replicated job): the units of a sweep are not
 * derived one by one to see whether the schema takes them. */
SH_MUST_USE enum sh_err spec_parse_again(const char *text, size_t size, struct spec_job *job,
                                         struct spec_errors *errors);

#endif
