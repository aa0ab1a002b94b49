/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of kind exec on agents of one process, with real commands. What the planner would do
 * (place, place anew, expire) the tests do. */
#ifndef SCRIPT_RIG_H
#define SCRIPT_RIG_H

#include "script/unit.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "memory_bulk.h"
#include "memory_service.h"
#include "spec/package.h"
#include "train/train.h"
#include "tst.h"

#define RIG_AGENTS  2u
#define RIG_WAIT_US UINT64_C(60000000)

struct rig_agent {
    struct service *s;
    struct bulk *bulk;
    struct scripts *scripts;
    struct train *train;
};

extern struct rig_agent rig_agents[RIG_AGENTS];
extern uint64_t rig_job;    /* submitted last */
extern uint32_t rig_run_as; /* of the agents that start next, as are these */
extern enum exec_level rig_sandbox_min;
extern const char *rig_bwrap;
extern const struct train_runner *rig_runner; /* of such agents; NULL: the real one */
extern bool rig_newer; /* jobs that are submitted have a key that these agents do not know */
extern struct service_log_line rig_lines[512];

/* allowed: they run commands. */
void rig_start(bool allowed);
void rig_stop(void);
void rig_start_train(uint32_t i, bool allowed);
void rig_stop_train(uint32_t i);
unsigned rig_losses_of(uint32_t agent); /* reports that it is lost */

void rig_submit(const char *text, uint32_t members);
/* The rest of a job file behind the head that all have. */
void rig_submit_rest(const char *rest, uint32_t members);
/* On count agents from the first on. */
struct wire_fence rig_place(uint32_t first, uint32_t count, enum wire_cause cause);
/* A folder with the file lib/words; hex is its digest. */
void rig_upload_package(char hex[static 2 * SH_DIGEST_BYTES + 1]);

void rig_read_unit(struct jobs_unit *unit);
uint64_t rig_applied(void);
void rig_await(bool (*holds)(const struct jobs_unit *unit), struct jobs_unit *unit);
bool rig_is_final(const struct jobs_unit *unit);
bool rig_has_completed(const struct jobs_unit *unit);
bool rig_has_failed(const struct jobs_unit *unit);
bool rig_has_checkpoint(const struct jobs_unit *unit);
/* Reads the log of the job into rig_lines. */
bool rig_said(const char *text);
void rig_await_said(const char *text);
/* One file of what the unit left. */
void rig_expect_output(const struct jobs_unit *unit, const char *path, const char *text);

#endif
