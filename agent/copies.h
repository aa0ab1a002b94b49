/* SPDX-License-Identifier: Apache-2.0
 *
 * Sees to it that as many agents hold a blob as should. A pass over the blobs that are here and are
 * named by rows asks the live agents which of them they hold too; where too few do, the first
 * holder in an order that follows from the blob's name gives it to others. So one agent acts, and
 * where it fails the next pass finds another first one. */
#ifndef AGENT_COPIES_H
#define AGENT_COPIES_H

#include "blobs.h"
#include "garbage.h"

struct copies_config {
    struct blobs *blobs;
    struct members *members;
    uint8_t me[SH_NODE_ID_BYTES];
    unsigned wanted; /* agents that hold a blob, where there are as many */
};

struct copies_done {
    uint64_t lacking; /* blobs that too few agents hold, which it was this one's to give */
    uint64_t given;   /* of these */
};

/* OK also where some could not be given. CANCELLED: the agent ends. */
SH_MUST_USE enum sh_err copies_pass(const struct copies_config *config, const struct garbage *named,
                                    struct copies_done *out);

#endif
