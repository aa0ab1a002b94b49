/* SPDX-License-Identifier: Apache-2.0 */
#include "backlog.h"

#include "jobs/config.h"
#include "jobs/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Units beyond those of which there is room to say where they failed, or ran, are placed without
 * it. */
enum { PAGE_UNITS = 256, FAILED_MAX = 2048, NEAR_MAX = 2048, NEAR_GAIN = 150 };
enum { CONDITIONS_MAX = 16384, OWNER_SLOTS = 8192 };
_Static_assert((unsigned)OWNER_SLOTS >= 2u * BACKLOG_UNITS_MAX, "a free slot is always near");

/* Who owns units of this pass, found by name. */
struct owners {
    uint32_t count;
    struct place_owner at[BACKLOG_UNITS_MAX];
    char names[BACKLOG_UNITS_MAX][SH_NAME_MAX + 1];
    uint32_t slots[OWNER_SLOTS]; /* place + 1; 0: free */
};

struct backlog {
    struct backlog_datasets datasets;
    struct jobs_open_mark open_mark;
    struct wire_unit waited;  /* where to go on in a queue longer than a pass */
    struct jobs_unit *open;   /* PAGE_UNITS */
    struct place_unit *units; /* BACKLOG_UNITS_MAX */
    uint32_t failed_count;
    uint8_t (*failed)[SH_NODE_ID_BYTES]; /* FAILED_MAX: what units of this pass borrow */
    uint32_t near_count;
    struct place_near *near; /* NEAR_MAX */
    uint32_t condition_count;
    struct place_condition *conditions; /* CONDITIONS_MAX */
    struct owners *owners;
    uint64_t now_us;
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
    b->conditions = calloc(CONDITIONS_MAX, sizeof *b->conditions);
    b->owners = calloc(1, sizeof *b->owners);
    if (b->open == NULL || b->units == NULL || b->failed == NULL || b->near == NULL ||
        b->conditions == NULL || b->owners == NULL) {
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
        free(b->conditions);
        free(b->owners);
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

const struct place_owner *backlog_owners(const struct backlog *b)
{
    return b->owners->at;
}

uint32_t backlog_owner_count(const struct backlog *b)
{
    return b->owners->count;
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

/* ---- what the units of one job have in common ---- */

/* Where the walk over the open units is. */
struct walk {
    struct jobs_job job;
    uint32_t waiting;      /* of this job, taken */
    uint32_t stage;        /* of a sweep, whose wait this is */
    struct jobs_wait wait; /* asked once a stage */
    struct wire_unit after;
    uint8_t dataset;
    uint32_t owner;
    const struct place_condition *conditions;
    uint32_t condition_count;
    bool whole; /* all that it needs could be described; else its units stay as they are */
};

static uint32_t owner_slot(const struct owners *o, const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = name; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    uint32_t slot = (uint32_t)(hash >> 20) % OWNER_SLOTS;
    while (o->slots[slot] != 0 && strcmp(o->names[o->slots[slot] - 1], name) != 0) {
        slot = (slot + 1) % OWNER_SLOTS;
    }
    return slot;
}

/* The owner's place; one that is new to this pass is looked up. */
static uint32_t owner_number(struct backlog *b, const struct sh_table *table, const char *name)
{
    struct owners *o = b->owners;
    uint32_t slot = owner_slot(o, name);
    if (name[0] == '\0' || (o->slots[slot] == 0 && o->count == BACKLOG_UNITS_MAX)) {
        return UINT32_MAX;
    }
    if (o->slots[slot] == 0) {
        char key[JOBS_SETTING_MAX + 1];
        struct jobs_owner used = {0};
        uint64_t quota = 0;
        (void)snprintf(key, sizeof key, "quota.%s", name);
        bool known = jobs_owner_get(table, name, b->now_us, &used) == SH_OK;
        bool limited = jobs_setting_get(table, key, &quota) == SH_OK;
        (void)snprintf(o->names[o->count], sizeof o->names[0], "%s", name);
        o->at[o->count] = (struct place_owner){.usage = known ? used.core_ms : 0,
                                               .quota = limited ? (uint32_t)quota : 0};
        o->slots[slot] = ++o->count;
    }
    return o->slots[slot] - 1;
}

/* One that holds nowhere. */
static const struct place_condition NOWHERE = {.op = PLACE_OP_EXISTS};

/* Those of the job, parsed. The file was checked when it was submitted; what a later program wrote
 * and this one does not know holds nowhere. */
static bool take_conditions(struct backlog *b, struct walk *walk)
{
    char text[WIRE_CONDITIONS_MAX + 1];
    char *rest = NULL;
    uint32_t count = 0;
    struct place_condition *out = b->conditions + b->condition_count;
    (void)snprintf(text, sizeof text, "%s", walk->job.need.conditions);
    for (char *at = strtok_r(text, ";", &rest); at != NULL; at = strtok_r(NULL, ";", &rest)) {
        if (count == CONDITIONS_MAX - b->condition_count) {
            return false;
        }
        if (count == PLACE_CONDITIONS_MAX || place_condition_parse(at, &out[count]) != SH_OK) {
            out[0] = NOWHERE;
            count = 1;
            break;
        }
        count++;
    }
    b->condition_count += count;
    walk->conditions = out;
    walk->condition_count = count;
    return true;
}

/* False: a damaged row; the apply thread finds it too and stops the agent. */
static bool begin_job(struct backlog *b, const struct sh_table *table, uint64_t job,
                      struct walk *walk)
{
    walk->waiting = 0;
    walk->stage = UINT32_MAX;
    walk->condition_count = 0;
    if (jobs_job_get(table, job, &walk->job) != SH_OK) {
        return false;
    }
    walk->dataset = dataset_number(&b->datasets, walk->job.need.dataset);
    walk->owner = owner_number(b, table, walk->job.owner);
    walk->whole = take_conditions(b, walk) && walk->dataset != DATASETS_FULL;
    return true;
}

/* ---- units ---- */

static bool predicts(enum wire_kind kind)
{
    return kind == WIRE_KIND_PREDICT || kind == WIRE_KIND_ENSEMBLE;
}

static void describe_unit(const struct jobs_unit *u, const struct walk *walk,
                          struct place_unit *out)
{
    const struct jobs_job *job = &walk->job;
    const struct wire_need *need = &job->need;
    bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
    bool yields = u->yield.cause != WIRE_CAUSE_NONE;
    *out = (struct place_unit){.unit = u->id,
                               .running = u->state == JOBS_RUNNING && !yields,
                               .stopping = u->state == JOBS_STOPPING || yields,
                               .yields_until_us = u->yield.until_us,
                               .priority = job->priority,
                               .since_us = job->submit_us,
                               .owner = walk->owner,
                               .need = *need,
                               .wants = {.no_slot = job->kind == WIRE_KIND_NOOP,
                                         .gpus = need->gpus,
                                         .gpu_bytes = need->gpu_bytes,
                                         .disk_bytes = need->disk_bytes,
                                         .commands = need->sandbox != WIRE_SANDBOX_OFF,
                                         .predict = predicts(job->kind),
                                         .sandbox = (uint8_t)need->sandbox,
                                         .spread = (uint8_t)need->spread,
                                         .per_node_max = need->per_node_max,
                                         .conditions = walk->conditions,
                                         .condition_count = walk->condition_count},
                               .dataset = walk->dataset,
                               .pinned = job->pinned,
                               .placed_us = u->placed_us,
                               .fence = u->placement.fence,
                               .member_count = gang ? u->placement.member_count : 0};
    memcpy(out->class, job->class, WIRE_CLASS_BYTES);
    memcpy(out->members, u->placement.members, out->member_count * sizeof out->members[0]);
    if (!walk->whole) { /* more sets or conditions than a pass tells apart: it stays as it is */
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

/* What it loses if it gives way to another. A script that has left no checkpoint may never leave
 * one; training does when it is asked. Who was placed anew has been disturbed of late. */
static void describe_cost(const struct sh_table *table, enum wire_kind kind,
                          const struct jobs_unit *u, struct place_unit *out)
{
    struct jobs_checkpoint newest = {.stamp_us = 0};
    uint32_t count = 0;
    bool kept = u->state == JOBS_RUNNING && u->checkpoints > 0 &&
                jobs_checkpoint_list(table, u->id, &newest, 1, &count) == SH_OK && count == 1;
    bool leaves = kind == WIRE_KIND_TRAIN || kind == WIRE_KIND_FINE_TUNE || kind == WIRE_KIND_RL;
    if (kept || (u->state == JOBS_RUNNING && leaves)) {
        out->preemptible = true;
        out->checkpoint_us = newest.stamp_us;
        out->preempted_us = u->placements > 1 ? u->placed_us : 0;
    }
}

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
        if (walk->job.id != u->id.job && !begin_job(b, table, u->id.job, walk)) {
            return true;
        }
        bool gang = u->state == JOBS_RUNNING || u->state == JOBS_STOPPING;
        if (!gang && (walk->job.paused || walk->waiting == BACKLOG_JOB_UNITS_MAX)) {
            walk->after.unit = UINT32_MAX;
            return false;
        }
        walk->waiting += gang ? 0 : 1;
        if (gang || walk->whole) {
            struct place_unit *out = &b->units[*count];
            describe_unit(u, walk, out);
            describe_trouble(b, table, u, out);
            describe_near(b, u, out);
            describe_cost(table, walk->job.kind, u, out);
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

uint32_t backlog_collect(struct backlog *b, const struct sh_table *table, uint64_t now_us)
{
    uint32_t count = 0;
    b->now_us = now_us;
    b->datasets.count = 0;
    b->condition_count = 0;
    b->owners->count = 0;
    memset(b->owners->slots, 0, sizeof b->owners->slots);
    b->failed_count = 0;
    b->near_count = 0;
    uint64_t first = jobs_open_from(table, &b->open_mark);
    struct wire_unit before = {0};
    if (first > 0) {
        before = (struct wire_unit){.job = first - 1, .unit = UINT32_MAX};
    }
    struct wire_unit gangs = before;
    (void)take_list(b, table, jobs_gang_list, &gangs, &count);
    struct wire_unit waiting = b->waited.job >= first ? b->waited : before;
    bool ended = take_list(b, table, jobs_waiting_list, &waiting, &count);
    b->waited = ended ? (struct wire_unit){0} : waiting;
    return count;
}
