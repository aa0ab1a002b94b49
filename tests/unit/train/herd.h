/* SPDX-License-Identifier: Apache-2.0
 *
 * Several agents that train, in one process: the real supervisor and sessions of each over one
 * in-memory cluster (memory_service.h) and net (memory_bulk.h). Placing, which a coordinator would
 * do, is done by the test. */
#ifndef HERD_H
#define HERD_H

#include "memory_bulk.h"
#include "memory_service.h"
#include "train/train.h"

#include "jobs/view.h"

#include <pthread.h>

#define HERD_AGENTS_MAX 8u
#define HERD_WAIT_US    UINT64_C(120000000)

struct herd_agent {
    struct service *s;
    struct bulk *bulk;
    struct train *train; /* NULL: not running */
};

struct herd {
    pthread_mutex_t lock; /* lost */
    pthread_cond_t lost_changed;
    struct wire_fence lost_fence; /* of the newest report */
    uint8_t lost[SH_NODE_ID_BYTES];
    struct memory_net *net;
    struct herd_agent agents[HERD_AGENTS_MAX];
    uint32_t count;
    uint64_t job;
};

/* What a test varies in the job file; zero: the usual. */
struct herd_job {
    const char *layers; /* of the model; the input has 8 numbers, there are 3 classes */
    const char *optimizer;
    const char *local; /* NULL: no such section */
    const char *wire;  /* NULL: nothing said */
    uint32_t epochs;
    uint32_t seed;
    uint32_t checkpoint_every;
    bool text_cell; /* one cell of the data is no number */
    bool number;    /* the class's number is predicted, not the class */
};

void herd_open(struct herd *h, uint32_t agents, const struct memory_net_config *net);
void herd_close(struct herd *h);
/* Starts or stops the training of one agent: a restart forgets all it held. */
void herd_start(struct herd *h, uint32_t agent);
void herd_stop(struct herd *h, uint32_t agent);

/* Uploads a table of 320 samples and submits; h->job is the job. */
void herd_submit(struct herd *h, const struct herd_job *job);
/* Places it on these agents in this order. */
struct wire_fence herd_place(struct herd *h, const uint32_t *agents, uint32_t count,
                             enum wire_cause cause);
void herd_ask_to_stop(struct herd *h);
/* The unit is to give way; returns when it waits, with the unit. */
void herd_give_way(struct herd *h, struct jobs_unit *unit);

/* A checkpoint after step 7 with these bytes, of an earlier gang that has been given up since. */
void herd_add_checkpoint(struct herd *h, const char *bytes);

void herd_unit(struct herd *h, struct jobs_unit *unit);
void herd_job(struct herd *h, struct jobs_job *job);
/* Takes and awaits reports about lost members. */
void herd_note_lost(struct herd *h, struct wire_fence fence,
                    const uint8_t lost[static SH_NODE_ID_BYTES]);
void herd_await_lost(struct herd *h, struct wire_fence fence, uint32_t agent);
/* Waits until the unit has ended; fails the test after HERD_WAIT_US. */
void herd_await_end(struct herd *h, struct jobs_unit *unit);
/* Waits until the unit has a checkpoint after that step or a later one. */
void herd_await_checkpoint(struct herd *h, uint64_t step);
/* Of the newest point of the loss; 0: there is none. */
uint64_t herd_step(struct herd *h);
void herd_await_step(struct herd *h, uint64_t step);
/* Waits until that many agents are told to train, and until the log has the text. */
void herd_await_company(struct herd *h, uint32_t agents);
void herd_await_log(struct herd *h, const char *text);
/* Points of a metric. */
uint32_t herd_points(struct herd *h, const char *name, struct service_point *out, uint32_t max);
/* Lines of the log, and whether there are any, that contain the text. */
uint32_t herd_lines(struct herd *h, const char *text);
bool herd_logged(struct herd *h, const char *text);

/* Trains to the end on that many agents and gives the outcome. */
void herd_run(uint32_t agents, const struct memory_net_config *net, const struct herd_job *job,
              struct jobs_unit *unit);

/* One agent, undisturbed; the job completes. */
void herd_reference(const struct herd_job *job, struct jobs_unit *unit);
/* Both left the same bytes and measures. */
void herd_expect_same(const struct jobs_unit *a, const struct jobs_unit *b);

#endif
