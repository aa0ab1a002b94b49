/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include "jobs/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Units beyond those of which there is room to say where they failed, or ran, are placed without
 * it. */
enum { PAGE_UNITS = 256, FAILED_MAX = 2048, NEAR_MAX = 2048, NEAR_GAIN = 150 };

struct backlog {
    struct backlog_datasets datasets;
    uint64_t first_open;      /* no earlier job has work */
    struct wire_unit waited;  /* where to go on in a queue longer than a pass */
    struct jobs_unit *open;   /* PAGE_UNITS */
    struct place_unit *units; /* BACKLOG_UNITS_MAX */
    uint32_t failed_count;
    uint8_t (*failed)[SH_NODE_ID_BYTES]; /* FAILED_MAX: what units of this pass borrow */
    uint32_t near_count;
    struct place_near *near; /* NEAR_MAX */
};

struct backlog *backlog_open(void)
{
    struct backlog *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->open = calloc(PAGE_UNITS, sizeof *b->open);
    b->units = calloc(BACKLOG_UNITS_MAX, sizeof *b->units);
    b->failed = calloc(FAILED_MAX, sizeof *b->failed);
    b->near = calloc(NEAR_MAX, sizeof *b->near);
    if (b->open == NULL || b->units == NULL || b->failed == NULL || b->near == NULL) {
        backlog_close(b);
        return NULL;
    }
    return b;
}

void backlog_close(struct backlog *b)
{
    if (b != NULL) {
        free(b->open);
        free(b->units);
        free(b->failed);
        free(b->near);
        free(b);
    }
}

const struct place_unit *backlog_units(const struct backlog *b)
{
    return b->units;
}

const struct backlog_datasets *backlog_datasets(const struct backlog *b)
{
    return &b->datasets;
}

void backlog_again(struct backlog *b)
{
    b->waited = (struct wire_unit){0};
}

enum { DATASETS_FULL = PLACE_NO_DATASET - 1 };

static uint8_t dataset_number(struct backlog_datasets *names, const char *name)
{
    if (name[0] == '\0') {
        return PLACE_NO_DATASET;
    }
    for (uint32_t i = 0; i < names->count; i++) {
        if (strcmp(names->at[i], name) == 0) {
            return (uint8_t)i;
        }
    }
    if (names->count == PLACE_DATASETS_MAX) {
        return DATASETS_FULL;
    }
    (void)snprintf(names->at[names->count], sizeof names->at[0], "%s", name);
    return (uint8_t)names->count++;
}

static void describe_unit(const struct jobs_unit *u, const struct jobs_job *job, uint8_t dataset,
                          struct place_unit *out)
{
    bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
    *out = (struct place_unit){.unit = u->id,
                               .running = u->state == JOBS_RUNNING,
                               .stopping = u->state == JOBS_STOPPING,
                               .priority = job->priority,
                               .since_us = job->submit_us,
                               .owner = UINT32_MAX,
                               .need = job->need,
                               .wants = {.commands = job->need.sandbox != WIRE_SANDBOX_OFF,
                                         .sandbox = (uint8_t)job->need.sandbox},
                               .dataset = dataset,
                               .pinned = job->pinned,
                               .placed_us = u->placed_us,
                               .fence = u->placement.fence,
                               .member_count = gang ? u->placement.member_count : 0};
    memcpy(out->class, job->class, WIRE_CLASS_BYTES);
    memcpy(out->members, u->placement.members, out->member_count * sizeof out->members[0]);
    if (dataset == DATASETS_FULL) { /* more sets than a pass tells apart: it stays as it is */
        out->dataset = PLACE_NO_DATASET;
        out->need.agents_max = (uint16_t)out->member_count;
        out->need.agents_min = (uint16_t)out->member_count;
    }
}

/* When it may be tried again, and where not. */
static void describe_trouble(struct backlog *b, const struct sh_table *table,
                             const struct jobs_unit *u, struct place_unit *out)
{
    struct jobs_trouble trouble;
    if (u->failures == 0 || jobs_trouble_get(table, u->id, &trouble) != SH_OK) {
        return;
    }
    out->not_before_us = trouble.not_before_us;
    out->failed = (const uint8_t(*)[SH_NODE_ID_BYTES])(b->failed + b->failed_count);
    for (uint32_t i = 0; i < trouble.count && b->failed_count < FAILED_MAX; i++) {
        memcpy(b->failed[b->failed_count++], trouble.failures[i].node, SH_NODE_ID_BYTES);
        out->failed_count++;
    }
}

/* Agents that had it have what it needs. */
static void describe_near(struct backlog *b, const struct jobs_unit *u, struct place_unit *out)
{
    const struct wire_placement *gang = &u->placement;
    bool waits = u->state == JOBS_WAITING && u->placements > 0;
    out->near = b->near + b->near_count;
    for (uint32_t i = 0; i < gang->member_count && waits && b->near_count < NEAR_MAX; i++) {
        struct place_near *near = &b->near[b->near_count++];
        *near = (struct place_near){.gain = NEAR_GAIN};
        memcpy(near->node, gang->members[i].node, SH_NODE_ID_BYTES);
        out->near_count++;
    }
}

/* What it loses if it gives way to another. Who was placed anew has been disturbed of late. */
static void describe_cost(const struct sh_table *table, const struct jobs_unit *u,
                          struct place_unit *out)
{
    struct jobs_checkpoint newest;
    uint32_t count = 0;
    if (u->state == JOBS_RUNNING && u->checkpoints > 0 &&
        jobs_checkpoint_list(table, u->id, &newest, 1, &count) == SH_OK && count == 1) {
        out->preemptible = true;
        out->checkpoint_us = newest.stamp_us;
        out->preempted_us = u->placements > 1 ? u->placed_us : 0;
    }
}

/* Where the walk over the open units is. */
struct walk {
    struct jobs_job job;
    uint32_t waiting;      /* of this job, taken */
    uint32_t stage;        /* of a sweep, whose wait this is */
    struct jobs_wait wait; /* asked once a stage */
    struct wire_unit after;
};

/* A unit of a sweep waits for the stage before its own. */
static void describe_wait(const struct sh_table *table, struct walk *walk, uint32_t unit,
                          struct place_unit *out)
{
    if (walk->job.stage_count == 0) {
        return;
    }
    uint32_t stage = jobs_stage_of(&walk->job, unit);
    if (stage != walk->stage) {
        walk->stage = stage;
        walk->wait = jobs_stage_wait(table, &walk->job, unit);
    }
    out->awaited = walk->wait.units;
    out->awaited_open = walk->wait.open;
}

/* One page. False: the first that is skipped together with its job's rest. */
static bool take_page(struct backlog *b, const struct sh_table *table, struct walk *walk,
                      uint32_t page, uint32_t *count)
{
    for (uint32_t i = 0; i < page && *count < BACKLOG_UNITS_MAX; i++) {
        const struct jobs_unit *u = &b->open[i];
        walk->after = u->id;
        if (walk->job.id != u->id.job) {
            walk->waiting = 0;
            walk->stage = UINT32_MAX;
            if (jobs_job_get(table, u->id.job, &walk->job) != SH_OK) {
                return true; /* a damaged row: the apply thread finds it too and stops the agent */
            }
        }
        bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
        if (!gang && walk->waiting == BACKLOG_JOB_UNITS_MAX) {
            walk->after.unit = UINT32_MAX;
            return false;
        }
        uint8_t dataset = dataset_number(&b->datasets, walk->job.need.dataset);
        walk->waiting += gang ? 0 : 1;
        if (gang || dataset != DATASETS_FULL) {
            struct place_unit *out = &b->units[*count];
            describe_unit(u, &walk->job, dataset, out);
            describe_trouble(b, table, u, out);
            describe_near(b, u, out);
            describe_cost(table, u, out);
            if (!gang) {
                describe_wait(table, walk, u->id.unit, out);
                walk->waiting -= out->awaited_open > 0 ? 1 : 0; /* they take no room */
            }
            (*count)++;
        }
    }
    return true;
}

typedef enum sh_err (*list_fn)(const struct sh_table *t, struct wire_unit after,
                               struct jobs_unit *out, uint32_t max, uint32_t *count);

/* True: that was the end of the list. */
static bool take_list(struct backlog *b, const struct sh_table *table, list_fn list,
                      struct wire_unit *after, uint32_t *count)
{
    struct walk walk = {.after = *after};
    bool more = true;
    while (more && *count < BACKLOG_UNITS_MAX) {
        uint32_t page = 0;
        if (list(table, walk.after, b->open, PAGE_UNITS, &page) != SH_OK) {
            return true;
        }
        more = !take_page(b, table, &walk, page, count) || page == PAGE_UNITS;
    }
    *after = walk.after;
    return !more;
}

uint32_t backlog_collect(struct backlog *b, const struct sh_table *table)
{
    uint32_t count = 0;
    b->datasets.count = 0;
    b->failed_count = 0;
    b->near_count = 0;
    b->first_open = jobs_open_from(table, b->first_open);
    struct wire_unit before = {0};
    if (b->first_open > 0) {
        before = (struct wire_unit){.job = b->first_open - 1, .unit = UINT32_MAX};
    }
    struct wire_unit gangs = before;
    (void)take_list(b, table, jobs_gang_list, &gangs, &count);
    struct wire_unit waiting = b->waited.job >= b->first_open ? b->waited : before;
    bool ended = take_list(b, table, jobs_waiting_list, &waiting, &count);
    b->waited = ended ? (struct wire_unit){0} : waiting;
    return count;
}
