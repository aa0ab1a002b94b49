/* SPDX-License-Identifier: Apache-2.0 */
#include "reasons.h"

#include "base/host/host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REFUSALS_MAX = SH_NODES_MAX, LINE_BYTES = 1024, REST_BYTES = WIRE_CONDITIONS_MAX + 64 };

struct question {
    uint64_t job;
    uint64_t ticket;
    bool taken;    /* by a pass */
    bool answered; /* with what follows */
    struct wire_unit unit;
    char conditions[WIRE_CONDITIONS_MAX + 1]; /* of its job */
    struct place_verdict verdict;
    uint64_t now_us;
    uint32_t refusal_count;
    struct place_refusal *refusals; /* or NULL */
};

struct reasons {
    struct members *members;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    uint64_t next_ticket;
    struct question questions[REASONS_ASKED_MAX]; /* ticket 0: free */
};

struct reasons *reasons_open(struct members *members)
{
    struct reasons *r = calloc(1, sizeof *r);
    pthread_condattr_t attr;
    if (r == NULL) {
        return NULL;
    }
    r->members = members;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&r->answered, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    return r;
}

void reasons_close(struct reasons *r)
{
    if (r != NULL) {
        SH_CHECK(pthread_cond_destroy(&r->answered) == 0);
        SH_CHECK(pthread_mutex_destroy(&r->lock) == 0);
        free(r);
    }
}

/* ---- a pass ---- */

/* The first unit of the job that waits, else its first; NULL when there is none. */
static const struct place_unit *unit_of(const struct place_unit *units, uint32_t count,
                                        uint64_t job)
{
    const struct place_unit *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct place_unit *u = &units[i];
        bool waits = !u->running && !u->stopping;
        bool first = found == NULL || (waits && (found->running || found->stopping));
        found = u->unit.job == job && first ? u : found;
    }
    return found;
}

uint32_t reasons_begin(struct reasons *r, const struct place_unit *units, uint32_t unit_count,
                       struct wire_unit asked[static REASONS_ASKED_MAX])
{
    uint32_t count = 0;
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    for (uint32_t i = 0; i < REASONS_ASKED_MAX; i++) {
        struct question *q = &r->questions[i];
        if (q->ticket != 0 && !q->answered) {
            q->taken = true;
            const struct place_unit *u = unit_of(units, unit_count, q->job);
            q->unit = u == NULL ? (struct wire_unit){0} : u->unit;
            (void)snprintf(q->conditions, sizeof q->conditions, "%s",
                           u == NULL ? "" : u->need.conditions);
            asked[count] = q->unit;
            count += q->unit.job != 0;
        }
    }
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return count;
}

static void keep_answer(struct question *q, const struct place_output *out, uint32_t unit_count)
{
    for (uint32_t i = 0; i < unit_count; i++) {
        if (wire_unit_equal(out->verdicts[i].unit, q->unit)) {
            q->verdict = out->verdicts[i];
        }
    }
    q->refusals = calloc(REFUSALS_MAX, sizeof *q->refusals);
    for (uint32_t i = 0; i < out->refusal_count && q->refusals != NULL; i++) {
        bool ours = wire_unit_equal(out->refusals[i].unit, q->unit);
        if (ours && q->refusal_count < REFUSALS_MAX) {
            q->refusals[q->refusal_count++] = out->refusals[i];
        }
    }
}

void reasons_end(struct reasons *r, uint64_t now_us, const struct place_output *out,
                 uint32_t unit_count)
{
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    for (uint32_t i = 0; i < REASONS_ASKED_MAX; i++) {
        struct question *q = &r->questions[i];
        if (!q->taken || q->answered) {
            continue;
        }
        q->answered = true;
        q->now_us = now_us;
        if (q->unit.job != 0) {
            keep_answer(q, out, unit_count);
        }
    }
    SH_CHECK(pthread_cond_broadcast(&r->answered) == 0);
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
}

/* ---- text ---- */

static size_t append(char *text, size_t size, size_t used, const char *line)
{
    int n = snprintf(text + used, size - used, "%s\n", line);
    return n > 0 && (size_t)n < size - used ? used + (size_t)n : used;
}

/* What need and have are counted in; NULL: they say nothing. */
static const char *counted_in(enum wire_reason reason)
{
    static const char *const UNITS[WIRE_REASON_COUNT] = {[WIRE_REASON_TOO_FEW_CPUS] = "",
                                                         [WIRE_REASON_TOO_LITTLE_RAM] = " bytes",
                                                         [WIRE_REASON_NO_SLOT] = "",
                                                         [WIRE_REASON_MAX_AGENTS] = "",
                                                         [WIRE_REASON_MIN_AGENTS] = "",
                                                         [WIRE_REASON_NEVER_FITS] = "",
                                                         [WIRE_REASON_PREEMPTS] = "",
                                                         [WIRE_REASON_WEAK_SANDBOX] = "",
                                                         [WIRE_REASON_TOO_FEW_GPUS] = "",
                                                         [WIRE_REASON_TOO_LITTLE_GPU_RAM] =
                                                             " bytes",
                                                         [WIRE_REASON_TOO_LITTLE_DISK] = " bytes",
                                                         [WIRE_REASON_PER_NODE] = "",
                                                         [WIRE_REASON_QUOTA] = ""};
    return reason < WIRE_REASON_COUNT ? UNITS[reason] : NULL;
}

/* Condition number `at` of a list, with its size. */
static const char *condition_at(const char *list, uint64_t at, int *size)
{
    for (; at > 0 && strchr(list, ';') != NULL; at--) {
        list = strchr(list, ';') + 1;
    }
    *size = (int)strcspn(list, ";");
    return list;
}

static void numbers(char *out, size_t size, const struct place_refusal *r, const char *conditions)
{
    const char *unit = counted_in(r->reason);
    bool lasts = r->reason == WIRE_REASON_QUARANTINED || r->reason == WIRE_REASON_BACK_OFF;
    int n = 0;
    out[0] = '\0';
    if (unit != NULL) {
        n = snprintf(out, size, " (needs %llu%s, has %llu)", (unsigned long long)r->need, unit,
                     (unsigned long long)r->have);
    } else if (r->reason == WIRE_REASON_LABELS) {
        int length = 0;
        const char *condition = condition_at(conditions, r->need, &length);
        n = snprintf(out, size, " (%.*s)", length, condition);
    } else if (r->reason == WIRE_REASON_POLICY) {
        n = snprintf(out, size, " (%s)", wire_policy_text((uint32_t)r->have));
    } else if (r->reason == WIRE_REASON_QUARANTINED && r->need <= 1) { /* its time is over */
        n = snprintf(out, size, " (its self-test is awaited)");
    } else if (lasts) {
        n = snprintf(out, size, " (%llu s left)",
                     (unsigned long long)((r->need + 999999) / 1000000));
    }
    size_t used = n > 0 && (size_t)n < size ? (size_t)n : 0;
    if (r->holder != 0) {
        (void)snprintf(out + used, size - used, ": job %llu", (unsigned long long)r->holder);
    }
}

static size_t tell_node(struct members *members, const struct place_refusal *x,
                        const char *conditions, char *text, size_t size, size_t used)
{
    struct service_member member;
    char line[LINE_BYTES];
    char rest[REST_BYTES];
    char hex[2 * SH_NODE_ID_BYTES + 1];
    sh_hex(hex, x->node, SH_NODE_ID_BYTES);
    hex[8] = '\0';
    bool known = members_get(members, x->node, &member);
    numbers(rest, sizeof rest, x, conditions);
    (void)snprintf(line, sizeof line, "%s: %s%s", known ? member.node.name : hex,
                   place_reason_text((uint32_t)x->reason), rest);
    return append(text, size, used, line);
}

/* Place in the queue, parts of the priority, and what it waits for. */
static size_t tell_queue(const struct question *q, char *text, size_t size, size_t used)
{
    const struct place_verdict *v = &q->verdict;
    char line[LINE_BYTES];
    char blockers[128] = "";
    int n = 0;
    (void)snprintf(line, sizeof line,
                   "the queue: position %u with priority %.1f (its own %.1f, %+.1f for waiting, "
                   "%+.1f for what its owner used)",
                   v->position, (double)v->priority / PLACE_POINT, (double)v->base / PLACE_POINT,
                   (double)v->age / PLACE_POINT, (double)v->fair / PLACE_POINT);
    used = append(text, size, used, line);
    if (v->earliest_us == 0) {
        return used;
    }
    for (uint32_t i = 0; i < v->blocker_count && n >= 0 && (size_t)n < sizeof blockers; i++) {
        int more = snprintf(blockers + n, sizeof blockers - (size_t)n, "%s %llu",
                            i == 0 ? ", behind job" : ",", (unsigned long long)v->blockers[i]);
        n = more < 0 ? more : n + more;
    }
    uint64_t wait_us = v->earliest_us > q->now_us ? v->earliest_us - q->now_us : 0;
    (void)snprintf(line, sizeof line, "the queue: may start in about %llu s%s",
                   (unsigned long long)((wait_us + 999999) / 1000000), blockers);
    return append(text, size, used, line);
}

static size_t tell(struct members *members, const struct question *q, char *text, size_t size)
{
    const struct place_verdict *v = &q->verdict;
    const struct place_refusal whole = {.reason = v->reason, .need = v->need, .have = v->have};
    char line[LINE_BYTES];
    char rest[REST_BYTES];
    size_t used = 0;
    if (q->unit.job == 0) {
        return 0;
    }
    if (v->reason == WIRE_REASON_NOT_READY) {
        (void)snprintf(
            line, sizeof line,
            "the job: unit %u waits for %llu units of it whose results choose its values "
            "(%llu have ended)",
            q->unit.unit, (unsigned long long)v->need, (unsigned long long)v->have);
        used = append(text, size, used, line);
    } else if (v->reason != WIRE_REASON_NONE) {
        numbers(rest, sizeof rest, &whole, q->conditions);
        (void)snprintf(line, sizeof line, "the job: %s%s", place_reason_text((uint32_t)v->reason),
                       rest);
        used = append(text, size, used, line);
    }
    if (v->reason != WIRE_REASON_NONE && v->position > 0) {
        used = tell_queue(q, text, size, used);
    }
    for (uint32_t i = 0; i < q->refusal_count; i++) {
        used = tell_node(members, &q->refusals[i], q->conditions, text, size, used);
    }
    return used;
}

size_t reasons_write(struct members *members, const struct place_unit *unit, uint32_t unit_count,
                     uint64_t now_us, const struct place_output *out, char *text, size_t size)
{
    struct question *q = calloc(1, sizeof *q);
    size_t used = 0;
    if (q != NULL) {
        q->unit = unit->unit;
        q->now_us = now_us;
        (void)snprintf(q->conditions, sizeof q->conditions, "%s", unit->need.conditions);
        keep_answer(q, out, unit_count);
        used = tell(members, q, text, size);
        free(q->refusals);
        free(q);
    }
    return used;
}

/* ---- questions ---- */

static struct question *new_question(struct reasons *r, uint64_t job)
{
    for (uint32_t i = 0; i < REASONS_ASKED_MAX; i++) {
        if (r->questions[i].ticket == 0) {
            r->questions[i] = (struct question){.job = job, .ticket = ++r->next_ticket};
            return &r->questions[i];
        }
    }
    return NULL;
}

enum sh_err reasons_ask(struct reasons *r, uint64_t job, void (*wake)(void *ctx), void *ctx,
                        char *text, size_t size, size_t *used)
{
    uint64_t until_us = sh_now_us() + REASONS_WAIT_US;
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000u),
                             .tv_nsec = (long)(until_us % 1000000u * 1000u)};
    *used = 0;
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    struct question *q = new_question(r, job);
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    if (q == NULL) {
        return SH_ERR_FULL;
    }
    wake(ctx);
    SH_CHECK(pthread_mutex_lock(&r->lock) == 0);
    int waited = 0;
    while (!q->answered && waited == 0) {
        waited = pthread_cond_timedwait(&r->answered, &r->lock, &until);
    }
    enum sh_err err = q->answered ? SH_OK : SH_ERR_TIMEOUT;
    if (q->answered) {
        *used = tell(r->members, q, text, size);
    }
    free(q->refusals);
    *q = (struct question){.ticket = 0};
    SH_CHECK(pthread_mutex_unlock(&r->lock) == 0);
    return err;
}
