/* SPDX-License-Identifier: Apache-2.0
 *
 * Reinforcement learning: what the sections of a job come to, and the file of its model. That is a
 * safetensors file with one tensor, "policy" ([views, actions], kernels/rl/episode.h), and what it
 * takes to play with it in its metadata:
 *   shoal.format  "1"
 *   shoal.kind    "rl"
 *   shoal.rl      {"env":{...},"train":{...}} as in the canonical job
 *   shoal.spec    hexadecimal spec digest of the job
 * It holds nothing that differs between runs that must give the same bytes. */
#ifndef SPEC_RL_H
#define SPEC_RL_H

#include "spec/spec.h"

#include "kernels/rl/trainer.h"

struct kn_rl_config spec_rl_config(const struct spec_rl *rl);

/* Given (free). model is the digest of the tensor, as of every model. NO_MEMORY. */
SH_MUST_USE enum sh_err spec_policy_write(const struct spec_rl *rl, const float *policy,
                                          const uint8_t spec[static SH_DIGEST_BYTES],
                                          uint8_t **bytes, size_t *size,
                                          uint8_t model[static SH_DIGEST_BYTES]);

struct spec_policy {
    struct kn_rl_config config;
    float *policy; /* kn_policy_count(&config.env) of them */
};
/* INVALID: no model of reinforcement learning; CORRUPT: one that is damaged; why (size bytes) is a
 * line then. NO_MEMORY. */
SH_MUST_USE enum sh_err spec_policy_read(const uint8_t *bytes, size_t size, struct spec_policy *out,
                                         char *why, size_t why_size);
void spec_policy_close(struct spec_policy *policy);

#endif
