/* SPDX-License-Identifier: Apache-2.0
 *
 * State machines as tables: one row a state, with its name and the set of states that may follow.
 * A move that the table does not allow panics in sh_fsm_move; code that judges foreign requests
 * asks sh_fsm_allows first. At most 32 states. */
#ifndef SH_BASE_FSM_H
#define SH_BASE_FSM_H

#include <stdbool.h>
#include <stdint.h>

struct sh_fsm_state {
    const char *name;
    uint32_t next; /* bit s: state s may follow */
};

struct sh_fsm {
    const char *name;
    const struct sh_fsm_state *states;
    uint32_t count;
};

#define SH_FSM_BIT(state) (UINT32_C(1) << (state))

bool sh_fsm_allows(const struct sh_fsm *fsm, uint32_t from, uint32_t to);
uint32_t sh_fsm_move(const struct sh_fsm *fsm, uint32_t from, uint32_t to); /* returns to */
const char *sh_fsm_name(const struct sh_fsm *fsm, uint32_t state);
bool sh_fsm_is_final(const struct sh_fsm *fsm, uint32_t state); /* nothing follows */

#endif
