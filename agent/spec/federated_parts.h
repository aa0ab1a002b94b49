/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/spec: the section federated. */
#ifndef SPEC_FEDERATED_PARTS_H
#define SPEC_FEDERATED_PARTS_H

#include "spec/decode.h"
#include "spec/json.h"

/* Before anything is decoded: defaults of other sections that differ where the file has this one;
 * root is a map. */
void spec_federated_defaults(struct spec_decode *d, const struct spec_node *root,
                             struct spec_job *job);
/* base is a struct spec_job. */
void spec_take_federated(struct spec_decode *d, const struct spec_node *node, void *base);
/* What no field says alone; skips what has an error already. */
void spec_check_federated(struct spec_decode *d, struct spec_job *job);
void spec_put_federated(json_t *out, const struct spec_job *job); /* nothing without the section */

/* guards.c: privacy and secure. */
void spec_take_privacy(struct spec_decode *d, const struct spec_node *node, void *base);
void spec_check_guards(struct spec_decode *d, struct spec_job *job);
void spec_put_guards(json_t *fed, const struct spec_federated *f);
/* An error about a key of a section, or, where it is not there, about the section federated. */
void spec_federated_wrong(struct spec_decode *d, const char *section, const char *key,
                          const char *text);
/* The node of a key of a section (NULL: of the section), or NULL. */
const struct spec_node *spec_federated_member(struct spec_decode *d, const char *section,
                                              const char *key);

#endif
