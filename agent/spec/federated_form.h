/* SPDX-License-Identifier: Apache-2.0
 *
 * The section federated as spec.h holds it: rounds over what each agent holds of a data set. */
#ifndef SPEC_FEDERATED_FORM_H
#define SPEC_FEDERATED_FORM_H

#include <stdbool.h>
#include <stdint.h>

#define SPEC_FEDERATED_ROUNDS_MAX 1000u /* of one job: each leaves a record */
#define SPEC_FEDERATED_LATE_MAX   100u  /* rounds that an update may be behind */

enum spec_select { SPEC_SELECT_ALL = 1, SPEC_SELECT_FRACTION, SPEC_SELECT_COUNT };

/* How the clients' updates change the model (kernels/agg/server.h, client.h). */
enum spec_algorithm {
    SPEC_FEDAVG = 1,
    SPEC_FEDAVGM,
    SPEC_FEDPROX,
    SPEC_FEDADAGRAD,
    SPEC_FEDADAM,
    SPEC_FEDYOGI,
    SPEC_SCAFFOLD,
    SPEC_FEDBUFF
};

/* How updates of one round become one (agent/rounds/combine.h, kernels/agg/vote.h). */
enum spec_rule {
    SPEC_RULE_MEAN = 1,
    SPEC_RULE_MEDIAN,
    SPEC_RULE_TRIMMED_MEAN,
    SPEC_RULE_KRUM,
    SPEC_RULE_MULTI_KRUM
};

enum spec_weight { SPEC_WEIGHT_SAMPLES = 1, SPEC_WEIGHT_ACCURACY, SPEC_WEIGHT_EQUAL };

/* What a round's model may tell of one member's update (kernels/agg/accountant.h). */
struct spec_privacy {
    bool on;
    double clip;        /* length of an update at most, > 0 */
    double noise;       /* deviation of the sum's noise over clip, >= 0.01 */
    double delta;       /* (0, 1) */
    double epsilon_max; /* after all rounds; 0: no bound is asked for */
};

struct spec_federated {
    bool on;         /* the section is there */
    uint32_t rounds; /* exactly, unless target or patience end it */
    uint32_t local_epochs;
    enum spec_select select;
    double fraction;  /* FRACTION: of the agents that are there, (0, 1] */
    uint32_t count;   /* COUNT */
    double over;      /* asked for each one needed, [1, 4]; not ALL */
    bool goal_counts; /* a round closes with goal_count updates, else with a part of its cohort */
    double goal;      /* (0, 1] */
    uint32_t goal_count;
    uint32_t least;      /* updates without which a round makes no model */
    uint32_t deadline_s; /* of a round */
    bool carry;          /* what came too few of counts in the next round */
    uint32_t skips;      /* rounds in a row without a model that fail the job */
    enum spec_weight weight;
    enum spec_rule rule;
    uint32_t byzantine; /* not MEAN: updates of a round that may lie */
    double norm_bound;  /* not MEAN: times the median length; 0: none */
    struct spec_privacy privacy;
    bool secure; /* updates are masked: whoever adds them up sees the sum only */
    enum spec_algorithm algorithm;
    double lr;         /* of the server; AVG, AVGM, ADAGRAD, ADAM, YOGI, BUFF */
    double beta1;      /* AVGM, ADAGRAD, ADAM, YOGI */
    double beta2;      /* ADAM, YOGI */
    double tau;        /* ADAGRAD, ADAM, YOGI */
    double mu;         /* PROX */
    uint32_t late_max; /* BUFF: rounds that an update may be behind; else 0 */
    uint32_t patience; /* rounds without a better score; 0: it does not end so */
    bool has_target;
    bool target_loss; /* the target is a loss, else an accuracy */
    double target;
};

#endif
