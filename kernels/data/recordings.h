/* SPDX-License-Identifier: Apache-2.0
 *
 * Data sets of recordings: internal to data/. */
#ifndef KN_DATA_RECORDINGS_H
#define KN_DATA_RECORDINGS_H

#include "kernels/data/data.h"

/* Into a zero set: every recording below `folder` (kn_recordings_walk) as options->audio says, with
 * its class unless unlabelled. NOT_FOUND, CORRUPT, LIMIT, IO, MEMORY; on error the caller closes
 * the set. */
KN_MUST_USE enum kn_err kn_recordings_open(struct kn_dataset *set, const char *folder,
                                           const struct kn_open *options, struct kn_diag *diag);

#endif
