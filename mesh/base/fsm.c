/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fsm.h"
#include "base/check.h"

bool sh_fsm_allows(const struct sh_fsm *fsm, uint32_t from, uint32_t to)
{
    SH_CHECK_CMP(from, <, fsm->count);
    SH_CHECK_CMP(to, <, fsm->count);
    return (fsm->states[from].next & SH_FSM_BIT(to)) != 0;
}

uint32_t sh_fsm_move(const struct sh_fsm *fsm, uint32_t from, uint32_t to)
{
    SH_CHECK(sh_fsm_allows(fsm, from, to));
    return to;
}

const char *sh_fsm_name(const struct sh_fsm *fsm, uint32_t state)
{
    return state < fsm->count ? fsm->states[state].name : "?";
}

bool sh_fsm_is_final(const struct sh_fsm *fsm, uint32_t state)
{
    SH_CHECK_CMP(state, <, fsm->count);
    return fsm->states[state].next == 0;
}
