/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: jobs_scripts FILE... : runs scripts of commands against one replica of the jobs core each
 * and compares what it answers. A unit is written (JOB, UNIT), a fence as the index of its PLACE
 * entry.
 *
 *   admit node=N name=X | remove node=N | time us=T
 *   submit name=X [noop] [units=N] [key=K] [spec=S] [min=A] [max=B] [retries=R] [any]
 *   place unit=(J, U) nodes=(A, B) [over=F] [class=C] [mixed]
 *   checkpoint unit=(J, U) fence=F step=S manifest=M
 *   commit unit=(J, U) fence=F digest=D [partial] | fail unit=(J, U) fence=F [final]
 *   expire unit=(J, U) fence=F [grace=US] | stop job=J
 *   pause job=J [grace=US] | resume job=J | resize job=J [units=N] [priority=P]
 *   dataset node=N name=X digest=D | forget node=N name=X
 *   session node=N life=L | keep
 * any of them with session=S number=N
 *   sessions | jobs | unit unit=(J, U) | history job=J | checkpoints unit=(J, U) | models | nodes |
 * datasets
 */
#include "datadriven.h"
#include "tst.h"
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 64u

/* The world helps itself to EXPECT; here a broken expectation ends the run. */
void tst_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "%s:%d: ", file, line);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
    exit(2);
}

static uint64_t number(const struct dd_case *c, const char *key, uint64_t otherwise)
{
    const char *text = dd_value(c, key, NULL);
    return text == NULL ? otherwise : dd_number(text);
}

static struct wire_unit unit_arg(const struct dd_case *c)
{
    const struct dd_arg *arg = dd_arg(c, "unit");
    struct wire_unit unit = {.job = 0};
    if (arg != NULL && arg->count == 2) {
        unit.job = dd_number(arg->values[0]);
        unit.unit = (uint32_t)dd_number(arg->values[1]);
    }
    return unit;
}

/* The fence whose entry has this index: the current one, or one of the same term. */
static struct wire_fence fence_arg(const struct dd_case *c, const struct world *w)
{
    return (struct wire_fence){.term = w->term, .index = number(c, "fence", 0)};
}

static void print_result(struct world *w, struct dd_text *out)
{
    const struct jobs_result *r = &w->result;
    dd_printf(out, "entry %llu: ", (unsigned long long)w->index);
    if (r->err == SH_OK) {
        dd_printf(out, "OK%s", r->duplicate ? " (done before)" : "");
    } else {
        dd_printf(out, "%s, %s", sh_err_name(r->err), jobs_code_text((uint32_t)r->code));
    }
    dd_printf(out, "%s", r->replayed ? " (said again)" : "");
    if (r->unit.job != 0) {
        dd_printf(out, "; job %llu", (unsigned long long)r->unit.job);
    }
    if (!wire_fence_none(r->fence)) {
        dd_printf(out, "; fence %llu", (unsigned long long)r->fence.index);
    }
    if (r->handle != 0) {
        dd_printf(out, "; %s %llu", r->type == JOBS_SESSION_OPEN ? "session" : "handle",
                  (unsigned long long)r->handle);
    }
    if (r->model_version != 0) {
        dd_printf(out, "; model version %u", (unsigned)r->model_version);
    }
    dd_printf(out, "\n");
    for (uint32_t i = 0; i < r->touched_count; i++) {
        dd_printf(out, "  unit %u is %s\n", (unsigned)r->touched[i].unit,
                  jobs_state_name((uint32_t)world_unit_state(w, r->touched[i])));
    }
}

static void submit(struct world *w, const struct dd_case *c)
{
    struct jobs_submit *s = world_submit(w, dd_value(c, "name", "job"));
    (void)snprintf(s->key, sizeof s->key, "%s", dd_value(c, "key", ""));
    s->kind = dd_arg(c, "noop") != NULL ? WIRE_KIND_NOOP : WIRE_KIND_TRAIN;
    s->units = (uint32_t)number(c, "units", 1);
    s->need.agents_min = (uint16_t)number(c, "min", 1);
    s->need.agents_max = (uint16_t)number(c, "max", 8);
    s->retries = (uint8_t)number(c, "retries", 0);
    s->need.arithmetic = dd_arg(c, "any") != NULL ? WIRE_ARITHMETIC_ANY : WIRE_ARITHMETIC_SAME;
    memset(s->spec_digest, (int)number(c, "spec", 1), sizeof s->spec_digest);
    (void)world_apply(w);
}

static void place(struct world *w, const struct dd_case *c)
{
    const struct dd_arg *nodes = dd_arg(c, "nodes");
    uint32_t count = nodes == NULL ? 0 : nodes->count;
    struct wire_unit unit = unit_arg(c);
    struct wire_fence previous = world_fence(w, unit);
    memset(&w->cmd, 0, sizeof w->cmd);
    w->cmd.type = JOBS_PLACE;
    struct jobs_place *p = &w->cmd.u.place;
    *p = (struct jobs_place){.unit = unit, .cause = WIRE_CAUSE_PLACED, .member_count = count};
    p->previous = previous;
    if (dd_arg(c, "over") != NULL) {
        p->previous.index = number(c, "over", 0);
        p->previous.term = p->previous.index == 0 ? 0 : w->term;
    }
    p->mixed = dd_arg(c, "mixed") != NULL;
    memset(p->class, (int)number(c, "class", 1), sizeof p->class);
    for (uint32_t i = 0; i < count; i++) {
        world_node(p->members[i].node, (unsigned)dd_number(nodes->values[i]));
        p->members[i].rank_lo = (uint16_t)(16 * i / count);
        p->members[i].rank_hi = (uint16_t)(16 * (i + 1) / count);
    }
    (void)world_apply(w);
}

static bool run_unit_command(struct world *w, const struct dd_case *c)
{
    struct wire_unit unit = unit_arg(c);
    struct wire_fence fence = fence_arg(c, w);
    if (strcmp(c->command, "place") == 0) {
        place(w, c);
    } else if (strcmp(c->command, "place-many") == 0) {
        (void)world_place_many(w, unit.job, unit.unit, (uint32_t)number(c, "to", 0),
                               (unsigned)number(c, "nodes", 1));
    } else if (strcmp(c->command, "commit-many") == 0) {
        (void)world_commit_many(w, unit.job, unit.unit, (uint32_t)number(c, "to", 0), fence);
    } else if (strcmp(c->command, "checkpoint") == 0) {
        (void)world_checkpoint(w, unit, fence, number(c, "step", 0),
                               (uint8_t)number(c, "manifest", 1));
    } else if (strcmp(c->command, "commit") == 0) {
        (void)world_commit(w, unit, fence, (uint8_t)number(c, "digest", 1),
                           dd_arg(c, "partial") != NULL);
    } else if (strcmp(c->command, "fail") == 0) {
        (void)world_fail(w, unit, fence, dd_arg(c, "final") != NULL);
    } else if (strcmp(c->command, "expire") == 0) {
        if (dd_arg(c, "grace") != NULL) {
            (void)world_yield(w, unit, fence, number(c, "grace", 0));
        } else {
            (void)world_expire(w, unit, fence);
        }
    } else {
        return false;
    }
    return true;
}

static bool run_command(struct world *w, const struct dd_case *c)
{
    unsigned node = (unsigned)number(c, "node", 0);
    const char *name = dd_value(c, "name", "");
    w->session = number(c, "session", 0);
    w->number = number(c, "number", 0);
    if (strcmp(c->command, "session") == 0) {
        (void)world_session(w, node, number(c, "life", 0));
    } else if (strcmp(c->command, "keep") == 0) {
        (void)world_keep(w);
    } else if (strcmp(c->command, "admit") == 0) {
        (void)world_admit(w, node, name);
    } else if (strcmp(c->command, "remove") == 0) {
        (void)world_remove(w, node);
    } else if (strcmp(c->command, "submit") == 0) {
        submit(w, c);
    } else if (strcmp(c->command, "stop") == 0) {
        (void)world_stop(w, number(c, "job", 0));
    } else if (strcmp(c->command, "pause") == 0) {
        (void)world_pause(w, number(c, "job", 0), number(c, "grace", 0));
    } else if (strcmp(c->command, "resume") == 0) {
        (void)world_resume(w, number(c, "job", 0));
    } else if (strcmp(c->command, "resize") == 0 && dd_arg(c, "priority") != NULL) {
        (void)world_prioritize(w, number(c, "job", 0), (uint8_t)number(c, "priority", 0));
    } else if (strcmp(c->command, "resize") == 0) {
        (void)world_resize(w, number(c, "job", 0), (uint32_t)number(c, "units", 0));
    } else if (strcmp(c->command, "dataset") == 0) {
        (void)world_dataset(w, node, name, (uint8_t)number(c, "digest", 1));
    } else if (strcmp(c->command, "forget") == 0) {
        (void)world_dataset_remove(w, node, name);
    } else {
        return run_unit_command(w, c);
    }
    return true;
}

static void show_jobs(struct world *w, struct dd_text *out)
{
    struct jobs_job jobs[ROWS_MAX];
    uint64_t before = 0;
    uint32_t count = 0;
    EXPECT_EQ(jobs_job_list(w->t, &before, 0, jobs, ROWS_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_job *j = &jobs[i];
        dd_printf(out, "%llu %s: %s", (unsigned long long)j->id, j->name,
                  jobs_state_name((uint32_t)j->state));
        for (uint32_t s = 0; s < JOBS_UNIT_STATE_COUNT && j->units > 1; s++) {
            if (j->units_in[s] > 0) {
                dd_printf(out, ", %u %s", (unsigned)j->units_in[s], jobs_state_name(s));
            }
        }
        dd_printf(out, "%s%s\n", j->fail_text[0] != '\0' ? "; " : "", j->fail_text);
    }
}

static void show_unit(struct world *w, const struct dd_case *c, struct dd_text *out)
{
    struct jobs_unit u;
    if (jobs_unit_get(w->t, unit_arg(c), &u) != SH_OK) {
        dd_printf(out, "no such unit\n");
        return;
    }
    dd_printf(out, "%s%s, fence %llu, %u placements, %u failures%s%s\n",
              jobs_state_name((uint32_t)u.state),
              u.yield.cause != WIRE_CAUSE_NONE ? " and gives way" : "",
              (unsigned long long)u.placement.fence.index, (unsigned)u.placements,
              (unsigned)u.failures, u.committed ? ", committed" : "", u.partial ? " in part" : "");
    for (uint32_t i = 0; i < u.placement.member_count; i++) {
        const struct wire_member *m = &u.placement.members[i];
        dd_printf(out, "  node %u has ranks %u to %u\n", (unsigned)m->node[SH_NODE_ID_BYTES - 1],
                  (unsigned)m->rank_lo, (unsigned)m->rank_hi - 1U);
    }
}

static void show_history(struct world *w, const struct dd_case *c, struct dd_text *out)
{
    struct jobs_event events[ROWS_MAX];
    uint32_t count = 0;
    EXPECT_EQ(jobs_history_list(w->t, number(c, "job", 0), 0, events, ROWS_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_event *e = &events[i];
        dd_printf(out, "%llu us: ", (unsigned long long)e->stamp_us);
        if (e->unit == JOBS_EVENT_ALL_UNITS) {
            dd_printf(out, "job ");
        } else {
            dd_printf(out, "unit %u ", (unsigned)e->unit);
        }
        if (e->more > 0) {
            dd_printf(out, "and %u more ", (unsigned)e->more);
        }
        dd_printf(out, "%s; unit %s, job %s", wire_cause_text((uint32_t)e->cause),
                  jobs_state_name((uint32_t)e->unit_state),
                  jobs_state_name((uint32_t)e->job_state));
        for (uint32_t n = 0; n < e->node_count; n++) {
            dd_printf(out, "%s%u", n == 0 ? "; nodes " : " ",
                      (unsigned)e->nodes[n][SH_NODE_ID_BYTES - 1]);
        }
        dd_printf(out, "%s%s\n", e->text[0] != '\0' ? "; " : "", e->text);
    }
}

static void show_checkpoints(struct world *w, const struct dd_case *c, struct dd_text *out)
{
    struct jobs_checkpoint rows[JOBS_KEEP_MAX];
    uint32_t count = 0;
    EXPECT_EQ(jobs_checkpoint_list(w->t, unit_arg(c), rows, JOBS_KEEP_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        dd_printf(out, "step %llu of fence %llu\n", (unsigned long long)rows[i].step,
                  (unsigned long long)rows[i].fence.index);
    }
}

static void show_models(struct world *w, struct dd_text *out)
{
    struct jobs_model models[ROWS_MAX];
    uint32_t count = 0;
    EXPECT_EQ(jobs_model_list(w->t, "", 0, models, ROWS_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        const struct jobs_model *m = &models[i];
        dd_printf(out, "%s:%u of job %llu, digest %02x..%s%s\n", m->name, (unsigned)m->version,
                  (unsigned long long)m->unit.job, (unsigned)m->outcome.model[0],
                  m->reproducible ? ", reproducible" : "", m->partial ? ", partial" : "");
    }
}

static void show_nodes(struct world *w, struct dd_text *out)
{
    struct jobs_node nodes[ROWS_MAX];
    uint32_t count = 0;
    EXPECT_EQ(jobs_node_list(w->t, NULL, nodes, ROWS_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        dd_printf(out, "node %u is %s, handle %llu\n", (unsigned)nodes[i].id[SH_NODE_ID_BYTES - 1],
                  nodes[i].name, (unsigned long long)nodes[i].handle);
    }
}

static void show_datasets(struct world *w, struct dd_text *out)
{
    struct jobs_dataset sets[ROWS_MAX];
    uint32_t count = 0;
    EXPECT_EQ(jobs_dataset_list(w->t, "", sets, ROWS_MAX, &count), SH_OK);
    for (uint32_t i = 0; i < count; i++) {
        dd_printf(out, "%s, digest %02x.., on %u agents\n", sets[i].name,
                  (unsigned)sets[i].digest[0], (unsigned)sets[i].holders);
    }
}

static void handle(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    struct world *w = ctx;
    if (strcmp(c->command, "time") == 0) {
        w->now_us = number(c, "us", 0);
    } else if (strcmp(c->command, "jobs") == 0) {
        show_jobs(w, out);
    } else if (strcmp(c->command, "unit") == 0) {
        show_unit(w, c, out);
    } else if (strcmp(c->command, "history") == 0) {
        show_history(w, c, out);
    } else if (strcmp(c->command, "checkpoints") == 0) {
        show_checkpoints(w, c, out);
    } else if (strcmp(c->command, "models") == 0) {
        show_models(w, out);
    } else if (strcmp(c->command, "nodes") == 0) {
        show_nodes(w, out);
    } else if (strcmp(c->command, "datasets") == 0) {
        show_datasets(w, out);
    } else if (run_command(w, c)) {
        print_result(w, out);
        jobs_check(w->core, w->t);
    } else {
        dd_printf(out, "no such command\n");
    }
}

int main(int argc, char **argv)
{
    struct dd_stats stats = {0};
    for (int i = 1; i < argc; i++) {
        struct world w;
        world_init(&w);
        if (!dd_run(argv[i], handle, &w, &stats)) {
            (void)fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 2;
        }
        world_free(&w);
    }
    (void)printf("%u passed, %u failed, 0 skipped\n", stats.passed, stats.failed);
    return stats.failed == 0 && stats.passed > 0 ? 0 : 1;
}
