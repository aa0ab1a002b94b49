/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/state.h"

#define S(state) SH_FSM_BIT(JOBS_##state)

static const struct sh_fsm_state unit_states[JOBS_UNIT_STATE_COUNT] = {
    [JOBS_WAITING] = {"waiting", S(RUNNING) | S(STOPPED)},
    [JOBS_RUNNING] = {"running", S(RUNNING) | S(WAITING) | S(STOPPING) | S(COMPLETED) | S(FAILED)},
    [JOBS_STOPPING] = {"stopping", S(COMPLETED) | S(FAILED) | S(STOPPED)},
    [JOBS_COMPLETED] = {"completed", 0},
    [JOBS_FAILED] = {"failed", 0},
    [JOBS_STOPPED] = {"stopped", 0},
};

/* Fewer replicas than before can complete a job in any state in which it is open. */
static const struct sh_fsm_state job_states[JOBS_STATE_COUNT] = {
    /* At once completed or failed: the deadline of an ensemble ends what waits. */
    [JOBS_WAITING] = {"waiting", S(RUNNING) | S(PAUSED) | S(STOPPED) | S(COMPLETED) | S(FAILED)},
    [JOBS_RUNNING] = {"running",
                      S(WAITING) | S(PAUSING) | S(PAUSED) | S(STOPPING) | S(COMPLETED) | S(FAILED)},
    [JOBS_STOPPING] = {"stopping", S(COMPLETED) | S(FAILED) | S(STOPPED)},
    [JOBS_COMPLETED] = {"completed", S(WAITING)},
    [JOBS_FAILED] = {"failed", 0},
    [JOBS_STOPPED] = {"stopped", 0},
    [JOBS_PAUSING] = {"pausing", S(PAUSED) | S(RUNNING) | S(STOPPING) | S(COMPLETED) | S(FAILED)},
    [JOBS_PAUSED] = {"paused", S(WAITING) | S(STOPPED) | S(COMPLETED) | S(FAILED)},
};

#undef S

const struct sh_fsm jobs_unit_fsm = {"unit", unit_states, JOBS_UNIT_STATE_COUNT};
const struct sh_fsm jobs_job_fsm = {"job", job_states, JOBS_STATE_COUNT};

const char *jobs_state_name(uint32_t state)
{
    return sh_fsm_name(&jobs_job_fsm, state);
}

bool jobs_state_final(enum jobs_state state)
{
    return state == JOBS_COMPLETED || state == JOBS_FAILED || state == JOBS_STOPPED;
}
