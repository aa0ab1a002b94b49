/* SPDX-License-Identifier: Apache-2.0
 *
 * The sweep section of a job as spec.h holds it; what it means is in spec/sweep.h. */
#ifndef SPEC_SWEEP_FORM_H
#define SPEC_SWEEP_FORM_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPEC_EPOCHS_MAX       100000u
#define SPEC_LOCAL_STEPS_MAX  100000u
#define SPEC_SWEEP_UNITS_MAX  1000u  /* of a sweep */
#define SPEC_PARAMETERS_MAX   16u    /* of a sweep */
#define SPEC_PARAMETER_MAX    127u   /* bytes of a parameter's name */
#define SPEC_VALUES_MAX       256u   /* listed for one parameter */
#define SPEC_SWEEP_TEXT_BYTES 16384u /* of all values and names, with their NULs */
#define SPEC_STAGES_MAX       64u    /* rungs of all brackets of Hyperband */
#define SPEC_RESOURCE_MAX     SPEC_EPOCHS_MAX

enum spec_sweep_method {
    SPEC_SWEEP_NONE = 0, /* the job has no sweep */
    SPEC_SWEEP_GRID,     /* every combination of the listed values */
    SPEC_SWEEP_RANDOM,   /* so many draws */
    SPEC_SWEEP_HYPERBAND /* draws that go on only while they are among the best */
};

enum spec_range {
    SPEC_RANGE_LIST = 1, /* of values */
    SPEC_RANGE_UNIFORM,
    SPEC_RANGE_LOG_UNIFORM,
    SPEC_RANGE_INT /* whole numbers, both ends included */
};

enum spec_goal { SPEC_GOAL_MIN = 1, SPEC_GOAL_MAX };

struct spec_parameter {
    uint32_t name; /* byte of spec_sweep.text: a path of the job, or an environment variable */
    enum spec_range range;
    uint32_t values; /* LIST: byte of spec_sweep.text, JSON scalars one behind the other */
    uint32_t value_count;
    double low; /* else: ends of the range */
    double high;
};

/* Units that differ in some values (spec/sweep.h). */
struct spec_sweep {
    enum spec_sweep_method method;
    enum spec_goal goal;
    char metric[SH_NAME_MAX + 1];
    uint32_t trials;                       /* random */
    uint64_t seed;                         /* random, hyperband */
    uint32_t eta;                          /* hyperband: one of so many goes on */
    uint32_t max_resource;                 /* hyperband: what the last rung of a bracket gets */
    char resource[SPEC_PARAMETER_MAX + 1]; /* hyperband: the value that is the resource */
    uint32_t parameter_count;
    struct spec_parameter parameters[SPEC_PARAMETERS_MAX]; /* sorted by name */
    uint32_t text_used;
    char text[SPEC_SWEEP_TEXT_BYTES];
};

#endif
