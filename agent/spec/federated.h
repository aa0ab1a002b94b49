/* SPDX-License-Identifier: Apache-2.0
 *
 * What the section federated of a job comes to in the kernels. */
#ifndef SPEC_FEDERATED_H
#define SPEC_FEDERATED_H

#include "kernels/agg/vote.h"
#include "spec/federated_form.h"

/* The rule that makes one change of a round's updates. */
struct kn_vote spec_federated_vote(const struct spec_federated *f);

#endif
