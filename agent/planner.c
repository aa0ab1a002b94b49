/* SPDX-License-Identifier: Apache-2.0 */
#include "planner.h"

#include "backlog.h"
#include "journal.h"
#include "patience.h"
#include "loop.h"
#include "parts.h"
#include "reasons.h"
#include "roster.h"
#include "voters.h"
#include "waits.h"

#include "base/host/host.h"
#include "jobs/config.h"
#include "jobs/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REFUSALS_MAX = 4096, DECISIONS_MAX = 512, NODES_MAX = SH_NODES_MAX, SIGNATURES_MAX = 128 };

#define WAIT_US UINT64_C(60000000) /* where this agent does not lead: until woken */

struct report {
    uint64_t until_us; /* 0: free */
    struct place_report report;
};

struct planner {
    struct service *s;
    pthread_t thread;
    bool running;
    atomic_bool leads; /* as of the newest pass */

    pthread_mutex_t lock; /* awake, stopping, reports */
    pthread_cond_t changed;
    bool awake;
    bool jobs_came;
    bool stopping;
    struct report reports[PLANNER_REPORTS_MAX];

    /* The thread's own. */
    uint64_t led_since_us; /* 0: not leading */
    uint64_t term;
    struct voters *voters;
    uint64_t pause_us;              /* until the next pass, unless woken */
    uint64_t passed_us;             /* when the newest pass ended */
    uint64_t rest_us;               /* after it no pass before, woken or not */
    struct service_member *members; /* NODES_MAX */
    size_t member_count;
    struct roster *roster;
    struct backlog *backlog;
    struct reasons *reasons;
    struct waits *waits;
    struct place_decision *decisions;
    struct place_refusal *refusals;
    struct place_verdict *verdicts;
    struct place_report given[PLANNER_REPORTS_MAX];
    void *memory; /* of place: taken by who leads for the first time */
    struct place *place;
    struct place_output output;
};

/* ---- proposals ---- */

static void propose(struct planner *p, struct jobs_cmd *cmd)
{
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    if (bytes == NULL) {
        return; /* the next pass tries again */
    }
    cmd->stamp_us = sh_wall_us();
    struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
    enum sh_err err = jobs_cmd_encode(cmd, &w); /* made of what an agent said about itself */
    uint8_t *copy = err == SH_OK ? malloc(w.used) : NULL;
    if (copy != NULL) {
        memcpy(copy, bytes, w.used);
        if (loop_post_proposal(p->s->loop, copy, w.used) != SH_OK) {
            free(copy);
        }
    }
    free(bytes);
}

/* ---- admission ---- */

static bool same_addresses(const struct jobs_node *node, const struct wire_node *now)
{
    return strcmp(node->name, now->name) == 0 && strcmp(node->addr, now->addr) == 0 &&
           strcmp(node->api, now->api) == 0 && node->bulk_port == now->bulk_port;
}

/* Said at every pass until the newcomer has ended. */
static void tell_name_taken(struct planner *p, const struct wire_node *newcomer,
                            const struct jobs_node *owner)
{
    uint8_t bytes[LOOP_REASON_BYTES + 8];
    char text[LOOP_REASON_BYTES];
    char id[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(id, owner->id, SH_NODE_ID_BYTES);
    (void)snprintf(text, sizeof text,
                   "the name %s belongs to agent %.8s at %s: start it with its own directory, or "
                   "give this one another --name; if that agent is gone for good, `shoal node "
                   "remove %s` frees its name",
                   owner->name, id, owner->addr, owner->name);
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    sh_put_u32(&w, SH_ERR_EXISTS);
    sh_put_str(&w, text);
    SH_CHECK(!w.full);
    /* Not sent: the next pass says it again. */
    SH_MAY_FAIL(loop_send(p->s->loop, newcomer->id, FRAME_NOT_ADMITTED,
                          (struct sh_span){.at = bytes, .size = w.used}));
}

static void remove_node(struct planner *p, const uint8_t *id)
{
    struct jobs_cmd cmd = {.type = JOBS_NODE_REMOVE};
    memcpy(cmd.u.node_remove.node, id, SH_NODE_ID_BYTES);
    propose(p, &cmd);
}

/* Who has the newcomer's address as well cannot live any more: it was replaced, and makes room as
 * soon as gossip says so too. */
static void make_room(struct planner *p, const struct wire_node *newcomer,
                      const struct jobs_node *owner)
{
    struct service_member member;
    if (strcmp(owner->addr, newcomer->addr) != 0) {
        tell_name_taken(p, newcomer, owner);
        return;
    }
    bool known = members_get(p->s->members, owner->id, &member);
    bool ended = known && (member.liveness == SERVICE_DEAD || member.liveness == SERVICE_LEFT);
    bool forgotten = !known && sh_now_us() - p->led_since_us >= PLANNER_REPLACED_US;
    if (ended || forgotten) {
        journal_info("agent %s at %s was replaced: agent %llu is removed", owner->name, owner->addr,
                     (unsigned long long)owner->handle);
        remove_node(p, owner->id);
    }
}

static void admit(struct planner *p, const struct sh_table *table)
{
    for (size_t i = 0; i < p->member_count; i++) {
        const struct service_member *m = &p->members[i];
        struct jobs_node node;
        enum sh_err err = jobs_node_get(table, m->node.id, &node);
        bool known = err == SH_OK;
        if (m->liveness != SERVICE_ALIVE || (known && same_addresses(&node, &m->node))) {
            continue;
        }
        struct jobs_cmd cmd = {.type = JOBS_NODE_ADMIT};
        struct jobs_node_admit *a = &cmd.u.node_admit;
        memcpy(a->node, m->node.id, SH_NODE_ID_BYTES);
        (void)snprintf(a->name, sizeof a->name, "%s", m->node.name);
        (void)snprintf(a->addr, sizeof a->addr, "%s", m->node.addr);
        (void)snprintf(a->api, sizeof a->api, "%s", m->node.api);
        a->bulk_port = m->node.bulk_port;
        struct jobs_node other;
        if (jobs_node_by_name(table, a->name, &other) == SH_OK &&
            memcmp(other.id, a->node, SH_NODE_ID_BYTES) != 0) {
            make_room(p, &m->node, &other);
            continue;
        }
        propose(p, &cmd);
    }
}

/* ---- placement ---- */

static uint32_t collect_reports(struct planner *p, uint64_t now_us)
{
    uint32_t count = 0;
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    for (size_t i = 0; i < PLANNER_REPORTS_MAX; i++) {
        if (p->reports[i].until_us > now_us) {
            p->given[count++] = p->reports[i].report;
        }
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return count;
}

static void describe_place(const struct place_decision *d, struct jobs_place *place)
{
    *place = (struct jobs_place){.unit = d->unit,
                                 .previous = d->previous,
                                 .cause = d->cause,
                                 .mixed = d->placement.mixed,
                                 .member_count = d->placement.member_count};
    memcpy(place->class, d->placement.class, WIRE_CLASS_BYTES);
    memcpy(place->members, d->placement.members,
           d->placement.member_count * sizeof place->members[0]);
}

static void propose_decision(struct planner *p, const struct sh_table *table, uint64_t now_us,
                             const struct place_decision *d)
{
    struct jobs_cmd cmd = {.type = JOBS_EXPIRE};
    if (d->action == PLACE_ACTION_EXPIRE) {
        cmd.u.expire.unit = d->unit;
        cmd.u.expire.fence = d->previous;
        cmd.u.expire.cause = d->cause;
        if (d->cause == WIRE_CAUSE_PREEMPTED) {
            cmd.u.expire.grace_us = patience_of_unit(table, d->unit, now_us);
        }
    } else {
        cmd.type = JOBS_PLACE;
        describe_place(d, &cmd.u.place);
    }
    propose(p, &cmd);
}

/* How many of the decisions at d were proposed in one entry: many alike, or the first alone. */
static uint32_t propose_alike(struct planner *p, const struct sh_table *table, uint64_t now_us,
                              const struct place_decision *d, uint32_t count)
{
    struct jobs_cmd many = {.type = JOBS_PLACE_MANY};
    struct jobs_place place;
    uint32_t taken = 0;
    while (taken < count && d[taken].action == PLACE_ACTION_PLACE) {
        describe_place(&d[taken], &place);
        if (!jobs_many_add(&many.u.place_many, &place)) {
            break;
        }
        taken++;
    }
    if (taken < PLANNER_MANY_MIN) {
        propose_decision(p, table, now_us, d);
        return 1;
    }
    propose(p, &many);
    return taken;
}

/* What is told of the past is told in the cluster's time, which this agent's clock may lag. */
static uint64_t cluster_us(const struct sh_table *table)
{
    struct jobs_counts counts;
    uint64_t wall = sh_wall_us();
    bool later = jobs_counts_get(table, &counts) == SH_OK && counts.stamp_us > wall;
    return later ? counts.stamp_us : wall;
}

/* Into the job's log, as words of the agent. */
static void say_waits(void *ctx, uint64_t job, const char *const *texts, uint32_t count)
{
    struct planner *p = ctx;
    struct service_log_line *lines = calloc(count, sizeof *lines);
    for (uint32_t i = 0; lines != NULL && i < count; i++) {
        lines[i].unit = SERVICE_LINE_ALL;
        lines[i].own = true;
        (void)snprintf(lines[i].text, sizeof lines[i].text, "%s%s", i > 0 ? "  " : "", texts[i]);
    }
    if (lines != NULL) {
        service_log_append(p->s, job, lines, count);
        free(lines);
    }
}

static uint32_t reserve_permille(const struct sh_table *table)
{
    uint64_t permille = 0;
    enum sh_err err = jobs_setting_get(table, "reserve", &permille);
    return err == SH_OK ? (uint32_t)permille : 0;
}

/* Those of jobs whose time is over; the next pass comes when the next one is due. */
static void plan_deadlines(struct planner *p, const struct sh_table *table)
{
    uint64_t job = 0;
    uint64_t deadline_us = 0;
    uint64_t now_us = cluster_us(table);
    if (jobs_deadline_first(table, &job, &deadline_us) != SH_OK) {
        return;
    }
    if (deadline_us <= now_us) {
        struct jobs_cmd cmd = {.type = JOBS_DEADLINE, .u.deadline.job = job};
        propose(p, &cmd);
        p->pause_us = PLANNER_PAUSE_US;
    } else if (deadline_us - now_us < p->pause_us) {
        p->pause_us = deadline_us - now_us;
    }
}

static bool take_place(struct planner *p)
{
    const struct place_capacity capacity = {
        .nodes = NODES_MAX, .units = BACKLOG_UNITS_MAX, .signatures = SIGNATURES_MAX};
    size_t bytes = (place_bytes(&capacity) + 63) / 64 * 64;
    struct sh_arena arena;
    p->memory = p->memory == NULL ? aligned_alloc(64, bytes) : p->memory;
    if (p->memory != NULL && p->place == NULL) {
        sh_arena_init(&arena, p->memory, bytes);
        p->place = place_init(&arena, &capacity);
    }
    return p->place != NULL;
}

static void plan_places(struct planner *p, const struct sh_table *table)
{
    if (!take_place(p)) {
        return; /* no memory now: the next pass tries again */
    }
    uint64_t wall = cluster_us(table);
    uint64_t led_us = sh_now_us() - p->led_since_us;
    uint32_t units = backlog_collect(p->backlog, table, wall);
    struct wire_unit asked[REASONS_ASKED_MAX + WAITS_ASKED_MAX];
    uint32_t asked_count = reasons_begin(p->reasons, backlog_units(p->backlog), units, asked);
    asked_count = waits_begin(p->waits, backlog_units(p->backlog), units, wall, asked, asked_count);
    struct place_input input = {
        .now_us = wall,
        .losses_from_us = led_us < PLANNER_SETTLE_US ? wall + (PLANNER_SETTLE_US - led_us) : 0,
        .nodes = roster_nodes(p->roster),
        .node_count = roster_collect(p->roster, table, p->members, p->member_count,
                                     backlog_datasets(p->backlog), wall),
        .units = backlog_units(p->backlog),
        .unit_count = units,
        .reports = p->given,
        .report_count = collect_reports(p, sh_now_us()),
        .owners = backlog_owners(p->backlog),
        .owner_count = backlog_owner_count(p->backlog),
        .asked = asked,
        .asked_count = asked_count};
    (void)snprintf(input.version, sizeof input.version, "%s", SHOAL_VERSION);
    struct place_limits limits = place_limits_default();
    limits.reserve_permille = reserve_permille(table);
    struct place_output *out = &p->output;
    out->decisions = p->decisions;
    out->decision_capacity = DECISIONS_MAX;
    out->refusals = p->refusals;
    out->refusal_capacity = REFUSALS_MAX;
    out->verdicts = p->verdicts;
    place_plan(p->place, &input, &limits, out);
    if (out->decision_count > 0) { /* there is room: the oldest first */
        backlog_again(p->backlog);
    }
    for (uint32_t i = 0; i < out->decision_count;) {
        i += propose_alike(p, table, wall, &out->decisions[i], out->decision_count - i);
    }
    if (units > 0) {
        p->pause_us = PLANNER_PAUSE_US;
    }
    reasons_end(p->reasons, wall, out, units);
    waits_end(p->waits, p->s->members, backlog_units(p->backlog), units, wall, out, say_waits, p);
}

/* ---- the thread ---- */

static bool note_leading(struct planner *p, const struct replica_status *status, uint64_t now_us)
{
    bool leads = !status->dormant && status->raft.role == RAFT_LEADER;
    if (!leads) {
        p->led_since_us = 0;
    } else if (p->led_since_us == 0 || p->term != status->raft.term) {
        p->led_since_us = now_us;
        p->term = status->raft.term;
        voters_begin(p->voters, now_us);
    }
    atomic_store(&p->leads, leads);
    return leads;
}

static void pass(struct planner *p)
{
    struct replica_status *status = calloc(1, sizeof *status);
    struct fsm_view *view = NULL;
    uint64_t now_us = sh_now_us();
    p->pause_us = PLANNER_PAUSE_US;
    if (status == NULL) {
        return;
    }
    loop_replica_status(p->s->loop, status);
    bool leads = note_leading(p, status, now_us);
    if (!leads) {
        p->pause_us = WAIT_US;
    } else if (fsm_view_open(p->s->fsm, &view) == SH_OK) {
        const struct sh_table *table = fsm_view_table(view);
        p->pause_us = PLANNER_IDLE_US;
        p->member_count = members_list(p->s->members, p->members, NODES_MAX);
        admit(p, table);
        if (voters_plan(p->voters, table, status, p->members, p->member_count, now_us)) {
            p->pause_us = PLANNER_PAUSE_US;
        }
        struct jobs_node gone;
        if (voters_gone(p->voters, &gone)) {
            journal_info("agent %s is away for a week: it is removed", gone.name);
            remove_node(p, gone.id);
        }
        plan_places(p, table);
        plan_deadlines(p, table);
        fsm_view_close(view);
    }
    free(status);
}

/* With the lock: when the next pass may begin. */
static uint64_t due_us(const struct planner *p)
{
    uint64_t lazy_us = PLANNER_LAZY * p->rest_us;
    uint64_t after_us = lazy_us > p->pause_us ? lazy_us : p->pause_us;
    if (p->awake) {
        after_us = p->rest_us;
    } else if (p->jobs_came) {
        after_us = lazy_us;
    }
    return p->passed_us + after_us;
}

static bool wait_for_wake(struct planner *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    uint64_t until_us = due_us(p);
    while (!p->stopping && sh_now_us() < until_us) {
        struct timespec until = {.tv_sec = (time_t)(until_us / 1000000u),
                                 .tv_nsec = (long)(until_us % 1000000u * 1000u)};
        int err = pthread_cond_timedwait(&p->changed, &p->lock, &until);
        SH_CHECK(err == 0 || err == ETIMEDOUT);
        until_us = err == 0 ? due_us(p) : 0;
    }
    p->awake = false;
    p->jobs_came = false;
    bool go_on = !p->stopping;
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return go_on;
}

/* A long queue makes passes long; between them the planner rests, so that it never takes more than
 * a part of a processor, however often it is woken. */
static void *run(void *arg)
{
    struct planner *p = arg;
    sh_thread_name("planner");
    while (wait_for_wake(p)) {
        uint64_t begun_us = sh_now_us();
        pass(p);
        p->passed_us = sh_now_us();
        uint64_t rest_us = (p->passed_us - begun_us) * PLANNER_REST;
        p->rest_us = rest_us > PLANNER_GAP_US ? rest_us : PLANNER_GAP_US;
    }
    return NULL;
}

/* ---- questions of other agents ---- */

static bool same_report(const struct place_report *a, const struct place_report *b)
{
    return wire_unit_equal(a->unit, b->unit) && wire_fence_equal(a->fence, b->fence) &&
           memcmp(a->reporter, b->reporter, SH_NODE_ID_BYTES) == 0 &&
           memcmp(a->lost, b->lost, SH_NODE_ID_BYTES) == 0;
}

static enum sh_err answer_lost(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                               size_t *reply_size)
{
    struct planner *p = ctx;
    (void)reply;
    (void)capacity;
    *reply_size = 0;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct place_report report;
    report.unit = wire_unit_get(&r);
    report.fence = wire_fence_get(&r);
    sh_get_bytes(&r, report.reporter, SH_NODE_ID_BYTES);
    sh_get_bytes(&r, report.lost, SH_NODE_ID_BYTES);
    if (r.bad) {
        return SH_ERR_CORRUPT;
    }
    if (!atomic_load(&p->leads)) {
        return SH_ERR_NOT_LEADER;
    }
    uint64_t now = sh_now_us();
    struct report *place = NULL;
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    for (size_t i = 0; i < PLANNER_REPORTS_MAX; i++) {
        struct report *at = &p->reports[i];
        if (at->until_us > now && same_report(&at->report, &report)) {
            place = at;
            break;
        }
        if (at->until_us <= now && place == NULL) {
            place = at;
        }
    }
    if (place != NULL) {
        place->report = report;
        place->until_us = now + PLANNER_REPORT_US;
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    planner_wake(p);
    return place != NULL ? SH_OK : SH_ERR_FULL;
}

static void wake_to_answer(void *ctx)
{
    planner_wake(ctx);
}

static enum sh_err answer_why(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                              size_t *reply_size)
{
    struct planner *p = ctx;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    uint64_t job = sh_get_u64(&r);
    *reply_size = 0;
    if (r.bad) {
        return SH_ERR_CORRUPT;
    }
    if (!atomic_load(&p->leads)) {
        return SH_ERR_NOT_LEADER;
    }
    return reasons_ask(p->reasons, job, wake_to_answer, p, (char *)reply, capacity, reply_size);
}

/* ---- life ---- */

static bool take_memory(struct planner *p)
{
    p->members = calloc(NODES_MAX, sizeof *p->members);
    p->roster = roster_open();
    p->backlog = backlog_open();
    p->reasons = reasons_open(p->s->members);
    p->waits = waits_open();
    p->decisions = calloc(DECISIONS_MAX, sizeof *p->decisions);
    p->refusals = calloc(REFUSALS_MAX, sizeof *p->refusals);
    p->verdicts = calloc(BACKLOG_UNITS_MAX, sizeof *p->verdicts);
    return p->members != NULL && p->roster != NULL && p->backlog != NULL && p->reasons != NULL &&
           p->waits != NULL && p->decisions != NULL && p->refusals != NULL && p->verdicts != NULL;
}

enum sh_err planner_open(struct planner **out, struct service *s)
{
    struct planner *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    p->s = s;
    p->pause_us = PLANNER_PAUSE_US;
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&p->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    if (!take_memory(p) || voters_open(&p->voters, s) != SH_OK) {
        planner_close(p);
        return SH_ERR_NO_MEMORY;
    }
    calls_on(s->calls, SERVICE_CALL_LOST, answer_lost, p);
    calls_on(s->calls, SERVICE_CALL_WHY, answer_why, p);
    *out = p;
    return SH_OK;
}

enum sh_err planner_start(struct planner *p)
{
    if (pthread_create(&p->thread, NULL, run, p) != 0) {
        return SH_ERR_NO_MEMORY;
    }
    p->running = true;
    return SH_OK;
}

void planner_stop(struct planner *p)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    p->stopping = true;
    SH_CHECK(pthread_cond_broadcast(&p->changed) == 0);
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
    if (p->running) {
        SH_CHECK(pthread_join(p->thread, NULL) == 0);
        p->running = false;
    }
}

void planner_close(struct planner *p)
{
    if (p == NULL) {
        return;
    }
    SH_CHECK(!p->running);
    SH_CHECK(pthread_cond_destroy(&p->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&p->lock) == 0);
    free(p->members);
    voters_close(p->voters);
    roster_close(p->roster);
    backlog_close(p->backlog);
    reasons_close(p->reasons);
    waits_close(p->waits);
    free(p->decisions);
    free(p->refusals);
    free(p->verdicts);
    free(p->memory);
    free(p);
}

/* Whoever waits for less than that is awake already. */
static void rouse(struct planner *p, bool *why)
{
    SH_CHECK(pthread_mutex_lock(&p->lock) == 0);
    if (!*why) {
        *why = true;
        SH_CHECK(pthread_cond_signal(&p->changed) == 0);
    }
    SH_CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

void planner_wake(struct planner *p)
{
    rouse(p, &p->awake);
}

void planner_tables_changed(struct planner *p, bool only_submits)
{
    if (atomic_load(&p->leads)) {
        rouse(p, only_submits ? &p->jobs_came : &p->awake);
    }
}
