/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the sections of kind rl. */
#ifndef SPEC_RL_PARTS_H
#define SPEC_RL_PARTS_H

#include "spec/decode.h"
#include "spec/json.h"

/* base is a struct spec_job. */
void spec_take_rl_env(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_rl_train(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_rl_events(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_take_rl_checkpoint(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_rl_defaults(struct spec_rl *rl);
void spec_check_rl(struct spec_decode *d, const struct spec_job *job);
/* {"env":{...},"train":{...}}; given. */
json_t *spec_rl_json(const struct spec_rl *rl);
void spec_put_rl(json_t *out, const struct spec_job *job);

#endif
