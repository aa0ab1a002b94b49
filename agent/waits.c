/* SPDX-License-Identifier: Apache-2.0 */
#include "waits.h"

#include "reasons.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 16384 };

/* Bits of the reasons of agents. */
_Static_assert((int)WIRE_REASON_COUNT <= 64, "a set of reasons fits a word");

struct waiting {
    uint64_t job; /* 0: free */
    uint64_t since_us;
    uint64_t seen_us;
    uint64_t looked_us; /* 0: never */
    bool said;
    enum wire_reason reason; /* as of the newest look that was said */
    uint64_t agents;         /* reasons of agents then, a set */
};

struct waits {
    uint32_t asked[WAITS_ASKED_MAX]; /* places of units of the pass */
    uint32_t asked_count;
    char text[TEXT_BYTES];
    struct waiting jobs[WAITS_JOBS_MAX];
};

struct waits *waits_open(void)
{
    return calloc(1, sizeof(struct waits));
}

void waits_close(struct waits *w)
{
    free(w);
}

static struct waiting *find(struct waits *w, uint64_t job)
{
    for (uint32_t i = 0; i < WAITS_JOBS_MAX; i++) {
        if (w->jobs[i].job == job) {
            return &w->jobs[i];
        }
    }
    return NULL;
}

/* A place for a job that is seen for the first time: a free one, or of the one not seen longest. */
static struct waiting *make(struct waits *w, uint64_t job, uint64_t now_us)
{
    struct waiting *best = &w->jobs[0];
    for (uint32_t i = 1; i < WAITS_JOBS_MAX && best->job != 0; i++) {
        bool older = w->jobs[i].job == 0 || w->jobs[i].seen_us < best->seen_us;
        best = older ? &w->jobs[i] : best;
    }
    *best = (struct waiting){.job = job, .since_us = now_us};
    return best;
}

/* Some of its units run: it does not wait, and what it waits afterwards is another wait. */
static bool has_gang(const struct place_unit *units, uint32_t count, uint64_t job)
{
    bool found = false;
    for (uint32_t i = 0; i < count && !found; i++) {
        found = units[i].unit.job == job && (units[i].running || units[i].stopping);
    }
    return found;
}

static bool is_asked(const struct wire_unit *asked, uint32_t count, struct wire_unit unit)
{
    bool found = false;
    for (uint32_t i = 0; i < count && !found; i++) {
        found = wire_unit_equal(asked[i], unit);
    }
    return found;
}

/* The first unit of a job that has waited long enough and was not looked at of late. */
static bool is_due(struct waits *w, const struct place_unit *u, uint64_t now_us)
{
    struct waiting *job = find(w, u->unit.job);
    job = job != NULL ? job : make(w, u->unit.job, now_us);
    if (job->seen_us == 0 && u->placed_us == 0 && u->since_us != 0 && u->since_us < now_us) {
        job->since_us = u->since_us; /* it never ran: it waits since it was submitted */
    }
    job->seen_us = now_us;
    return now_us - job->since_us >= WAITS_FIRST_US &&
           (job->looked_us == 0 || now_us - job->looked_us >= WAITS_AGAIN_US);
}

/* Gangs come first among the units of a pass. */
static void forget_running(struct waits *w, const struct place_unit *units, uint32_t count)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < count && (units[i].running || units[i].stopping); i++) {
        struct waiting *job = units[i].unit.job != last ? find(w, units[i].unit.job) : NULL;
        last = units[i].unit.job;
        if (job != NULL) {
            *job = (struct waiting){.job = 0};
        }
    }
}

uint32_t waits_begin(struct waits *w, const struct place_unit *units, uint32_t unit_count,
                     uint64_t now_us, struct wire_unit *asked, uint32_t count)
{
    uint64_t last = 0;
    uint32_t room = WAITS_JOBS_MAX; /* jobs looked at in one pass */
    w->asked_count = 0;
    forget_running(w, units, unit_count);
    for (uint32_t i = 0; i < unit_count && room > 0; i++) {
        const struct place_unit *u = &units[i];
        if (u->running || u->stopping || u->unit.job == last) {
            continue;
        }
        last = u->unit.job;
        room--;
        if (!is_due(w, u, now_us) || is_asked(asked, count, u->unit)) {
            continue;
        }
        if (has_gang(units, unit_count, u->unit.job)) {
            struct waiting *entry = find(w, last);
            SH_CHECK(entry != NULL); /* it is due */
            *entry = (struct waiting){.job = last, .since_us = now_us, .seen_us = now_us};
        } else if (w->asked_count < WAITS_ASKED_MAX) {
            w->asked[w->asked_count++] = i;
            asked[count++] = u->unit;
        }
    }
    return count;
}

static uint64_t agents_of(const struct place_output *out, struct wire_unit unit)
{
    uint64_t set = 0;
    for (uint32_t i = 0; i < out->refusal_count; i++) {
        bool ours = wire_unit_equal(out->refusals[i].unit, unit);
        set |= ours ? UINT64_C(1) << out->refusals[i].reason : 0;
    }
    return set;
}

/* Lines of w->text, its newlines become ends. */
static uint32_t split(struct waits *w, size_t used, const char **lines)
{
    uint32_t count = 0;
    for (char *at = w->text; at < w->text + used && count < WAITS_LINES_MAX;) {
        size_t size = strcspn(at, "\n");
        at[size] = '\0';
        lines[count++] = at;
        at += size + 1;
    }
    return count;
}

void waits_end(struct waits *w, struct members *members, const struct place_unit *units,
               uint32_t unit_count, uint64_t now_us, const struct place_output *out, waits_say say,
               void *ctx)
{
    for (uint32_t i = 0; i < w->asked_count; i++) {
        const struct place_unit *u = &units[w->asked[i]];
        const struct place_verdict *verdict = &out->verdicts[w->asked[i]];
        struct waiting *job = find(w, u->unit.job);
        uint64_t agents = agents_of(out, u->unit);
        if (job == NULL || verdict->reason == WIRE_REASON_NONE) {
            continue; /* placed just now */
        }
        bool same = job->said && job->reason == verdict->reason && job->agents == agents;
        job->looked_us = now_us;
        if (same) {
            continue;
        }
        const char *lines[WAITS_LINES_MAX + 1];
        char first[96];
        (void)snprintf(first, sizeof first, "waits since %llu s, because",
                       (unsigned long long)((now_us - job->since_us) / 1000000));
        lines[0] = first;
        size_t used = reasons_write(members, u, unit_count, now_us, out, w->text, sizeof w->text);
        uint32_t count = 1 + split(w, used, lines + 1);
        job->said = true;
        job->reason = verdict->reason;
        job->agents = agents;
        say(ctx, u->unit.job, lines, count);
    }
}
