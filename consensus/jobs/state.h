/* SPDX-License-Identifier: Apache-2.0
 *
 * The two machines of the jobs core. A job's state follows from its units; a unit's state moves by
 * commands. A move that these tables do not allow answers CONFLICT and changes nothing.
 *
 *   unit                    PLACE (a new gang, same unit)
 *                            ,-----.
 *   SUBMIT       PLACE       |     v   COMMIT
 *  -------> WAITING -------> RUNNING ----------------------> COMPLETED
 *              |    <-------  |   |                              ^
 *              |  EXPIRE,     |   `-----------------> FAILED     |
 *              |  FAIL with   |       FAIL             ^         | COMMIT, whole
 *              |  a retry     | STOP, or a sibling     | FAIL    | (it had ended already)
 *              |  left        v failed                 |         |
 *              |           STOPPING -------------------+---------'
 *              |              |
 *              | STOP, or a   | COMMIT, partial (what there is is kept) or EXPIRE
 *              v sibling      v
 *             STOPPED <-------'
 *
 * A unit may be asked to give way: it stays RUNNING with a yield (view.h) while its gang leaves a
 * checkpoint, and waits again when that is done or its time is over (EXPIRE).
 *
 *   job
 *               first PLACE                     last unit completed
 *   -> WAITING ------------> RUNNING ---------------------------------> COMPLETED
 *        |     <------------   |  |                                       ^   |
 *        |     no unit runs    |  `--------------------> FAILED           |   | RESIZE: more units
 *        |                     |     its last unit         ^              |   v
 *        | STOP                | STOP, or one of           | a unit       | WAITING
 *        |                     v several units failed      | failed       |
 *        |                  STOPPING ----------------------+--------------+ the last unit
 *        v                     |                                            had ended already
 *     STOPPED <----------------'  no unit is open any more, after STOP
 *
 *                   PAUSE                no unit has a gang any more
 *   WAITING, RUNNING ------> PAUSING ----------------------------------> PAUSED
 *        ^                     |  (at once where none had one)             |
 *        `---------------------+-------------------------------------------'
 *                   RESUME, and STOP as from WAITING and RUNNING
 *
 * Units of a paused job are WAITING and are not placed. What units come to while the job is PAUSING
 * ends it as if it were RUNNING. */
#ifndef SH_JOBS_STATE_H
#define SH_JOBS_STATE_H

#include "base/fsm.h"

/* Numbers are kept in rows and sent by the API: never renumbered. One set of names for both. */
enum jobs_state {
    JOBS_WAITING = 0,
    JOBS_RUNNING = 1,
    JOBS_STOPPING = 2,
    JOBS_COMPLETED = 3,
    JOBS_FAILED = 4,
    JOBS_STOPPED = 5,
    JOBS_PAUSING = 6, /* of jobs only */
    JOBS_PAUSED = 7,  /* likewise */
    JOBS_STATE_COUNT = 8
};

#define JOBS_UNIT_STATE_COUNT 6u

extern const struct sh_fsm jobs_unit_fsm;
extern const struct sh_fsm jobs_job_fsm;

/* "waiting", "running", ... ; "?" for an unknown number. */
const char *jobs_state_name(uint32_t state);
bool jobs_state_final(enum jobs_state state);

#endif
