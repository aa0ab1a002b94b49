/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to placement: what one pass works on. Nodes are named by their index in the input. */
#ifndef SH_PLACE_PASS_H
#define SH_PLACE_PASS_H

#include "place/place.h"

#define PLACE_NOBODY UINT32_MAX /* no node of the input has this id */

struct place_pass {
    const struct place_input *in;
    const struct place_limits *limits;
    struct place_output *out;
    struct place_work *work;
};

/* What has become of one member of a gang. */
enum place_fate {
    PLACE_STAYS,
    PLACE_DRAINS,   /* wants to go, works as long as it must */
    PLACE_RESTARTS, /* has no session of this gang, takes part in the next */
    PLACE_GONE
};

struct place_member_fate {
    uint32_t node; /* or PLACE_NOBODY */
    enum place_fate fate;
    enum wire_cause cause; /* of GONE */
};

uint32_t place_node_find(const struct place_pass *pass, const uint8_t *id);
/* Adds (or takes back) what a unit uses on its members. */
void place_use(struct place_pass *pass, const struct place_unit *unit,
               const struct wire_member *members, uint32_t count, bool add);

/* Fills fates[0 .. unit->member_count). */
void place_judge(const struct place_pass *pass, const struct place_unit *unit,
                 struct place_member_fate *fates);
/* Why the node cannot take the unit; reason NONE when it can. For nodes that are not members. */
struct place_refusal place_refuse(const struct place_pass *pass, const struct place_unit *unit,
                                  uint32_t node);
/* The class that a gang of this unit must have: pinned, or the one that most fitting nodes share.
 * NULL when any will do or nobody fits. */
const uint8_t *place_class(const struct place_pass *pass, const struct place_unit *unit,
                           uint32_t fit_count);

#endif
