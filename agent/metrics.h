/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of the series that training writes (service_series_append) and that the API, `shoal watch`
 * and the demo read. The step of a point is the number of completed steps of the job, from 1. */
#ifndef AGENT_METRICS_H
#define AGENT_METRICS_H

#define METRIC_LOSS          "loss"          /* mean over the samples of the step */
#define METRIC_ACCURACY      "accuracy"      /* part of the samples of the step, 0..1 */
#define METRIC_EPOCH         "epoch"         /* completed steps / steps of an epoch */
#define METRIC_LR            "lr"            /* of the step, schedule included */
#define METRIC_SPEED         "samples_per_s" /* of the whole gang, lately */
#define METRIC_AGENTS        "agents"        /* members of the gang */
#define METRIC_VAL_LOSS      "val_loss"      /* after an epoch */
#define METRIC_VAL_ACCURACY  "val_accuracy"
#define METRIC_TEST_LOSS     "test_loss" /* once, after the last step */
#define METRIC_TEST_ACCURACY "test_accuracy"
#define METRIC_SPREAD        "spread"  /* gossip: distance of a model that came by one's own size */
#define METRIC_WEIGHTS       "weights" /* gossip: least weight of a share by the most */
#define METRIC_EPSILON       "epsilon" /* federated: what privacy has cost so far */
#define METRIC_REWARD        "mean_reward" /* rl: of the episodes of a point of the curve */
#define METRIC_REWARD_STD    "std_reward"
#define METRIC_ENV_STEPS     "env_steps" /* of the environment, so far */

/* In the order of the columns of `shoal metrics --csv`. */
#define METRIC_MAP(X)                                                                              \
    X(METRIC_LOSS)                                                                                 \
    X(METRIC_ACCURACY)                                                                             \
    X(METRIC_VAL_LOSS)                                                                             \
    X(METRIC_VAL_ACCURACY)                                                                         \
    X(METRIC_TEST_LOSS)                                                                            \
    X(METRIC_TEST_ACCURACY)                                                                        \
    X(METRIC_EPOCH)                                                                                \
    X(METRIC_LR)                                                                                   \
    X(METRIC_SPEED)                                                                                \
    X(METRIC_AGENTS)                                                                               \
    X(METRIC_SPREAD)                                                                               \
    X(METRIC_WEIGHTS)                                                                              \
    X(METRIC_EPSILON)                                                                              \
    X(METRIC_REWARD)                                                                               \
    X(METRIC_REWARD_STD)                                                                           \
    X(METRIC_ENV_STEPS)

#define METRIC_COUNT 16u

#endif
