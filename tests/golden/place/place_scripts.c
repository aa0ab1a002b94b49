/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: place_scripts FILE... : tells each script's story to the scheduler. Decisions take effect
 * at once; a unit that expires waits again.
 *
 *   nodes ids=(A, B) | nodes from=A to=B     that come, or are changed; with any of
 *     cpus=N ram=GIB gpus=N gpumem=GIB disk=GIB slots=N speed=N class=N labels=(K=V, K)
 *     commands sandbox=N failures=MILLI quarantine=S trial policy=N drain dead alive
 *   owners quota=(N, N) | owners usage=(N, N)     of owner 0, 1, ...
 *   reserve permille=N
 *   units job=N count=N                      that wait, or job=N of which all units change; with
 * any of priority=N min=N max=N cpus=N ram=GIB gpus=N gpumem=GIB disk=GIB class=N
 * where=(CONDITIONS) commands sandbox=N predict pack pernode=N owner=N run=S failed=(NODES)
 * near=NODE gain=N backoff=S preemptible checkpoint yields=S any      checkpoint: it has one as of
 * now; yields: it was asked to give way within so long ends
 * job=N unit=N pass s=N                                 time passes plan decisions, then who waits
 * and why why job=N unit=N                         and every node's reason
 */
#include "base/check.h"
#include "datadriven.h"
#include "place/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 64, UNITS_MAX = 64, LABELS_MAX = 4, OWNERS_MAX = 4, FAILED_MAX = 4 };

#define SECOND UINT64_C(1000000)
#define GIB    (UINT64_C(1) << 30)
#define START  (UINT64_C(1000000) * SECOND)

struct told { /* what a unit's pointers lead to */
    struct place_condition conditions[PLACE_CONDITIONS_MAX];
    uint8_t failed[FAILED_MAX][SH_NODE_ID_BYTES];
    struct place_near near;
};

struct story {
    struct place_node nodes[NODES_MAX];
    struct place_label labels[NODES_MAX][LABELS_MAX];
    struct place_unit units[UNITS_MAX];
    struct told told[UNITS_MAX];
    struct place_owner owners[OWNERS_MAX];
    struct place_input in;
    struct place_limits limits;
    struct place_output out;
    struct place_decision decisions[UNITS_MAX];
    struct place_refusal refusals[NODES_MAX];
    struct place_verdict verdicts[UNITS_MAX];
    struct wire_unit asked;
    uint64_t index; /* of the next placement */
};

static struct place *place;

static uint64_t figure(const struct dd_case *c, const char *key, uint64_t otherwise)
{
    const char *text = dd_value(c, key, NULL);
    return text == NULL ? otherwise : dd_number(text);
}

static void write_id(uint8_t *id, uint64_t number)
{
    memset(id, 0, SH_NODE_ID_BYTES);
    id[SH_NODE_ID_BYTES - 1] = (uint8_t)number;
}

static unsigned read_id(const uint8_t *id)
{
    return id[SH_NODE_ID_BYTES - 1];
}

/* ---- the world ---- */

static void change_node(struct story *s, const struct dd_case *c, uint64_t id)
{
    uint32_t at = 0;
    while (at < s->in.node_count && read_id(s->nodes[at].id) != id) {
        at++;
    }
    SH_CHECK_CMP(at, <, NODES_MAX);
    struct place_node *n = &s->nodes[at];
    if (at == s->in.node_count) {
        *n = (struct place_node){.cpus = 4, .ram_bytes = 8 * GIB, .slots = 1};
        write_id(n->id, id);
        s->in.node_count++;
    }
    n->cpus = (uint16_t)figure(c, "cpus", n->cpus);
    n->ram_bytes = figure(c, "ram", n->ram_bytes / GIB) * GIB;
    n->gpus = (uint16_t)figure(c, "gpus", n->gpus);
    n->gpu_bytes = figure(c, "gpumem", n->gpu_bytes / GIB) * GIB;
    n->disk_bytes = figure(c, "disk", n->disk_bytes / GIB) * GIB;
    n->slots = (uint16_t)figure(c, "slots", n->slots);
    n->speed = (uint16_t)figure(c, "speed", n->speed);
    n->class[0] = (uint8_t)figure(c, "class", n->class[0]);
    n->sandbox = (uint8_t)figure(c, "sandbox", n->sandbox);
    n->policy = (uint8_t)figure(c, "policy", n->policy);
    n->failures_milli = (uint32_t)figure(c, "failures", n->failures_milli);
    n->commands = n->commands || dd_arg(c, "commands") != NULL;
    n->draining = n->draining || dd_arg(c, "drain") != NULL;
    n->parole = n->parole || dd_arg(c, "trial") != NULL;
    n->liveness = dd_arg(c, "dead") != NULL ? PLACE_DEAD : n->liveness;
    n->liveness = dd_arg(c, "alive") != NULL ? PLACE_ALIVE : n->liveness;
    if (dd_arg(c, "quarantine") != NULL) {
        n->quarantined_until_us = s->in.now_us + figure(c, "quarantine", 0) * SECOND;
    }
    const struct dd_arg *labels = dd_arg(c, "labels");
    for (uint32_t i = 0; labels != NULL && i < labels->count; i++) {
        SH_CHECK(place_label_parse(labels->values[i], &s->labels[at][i]) == SH_OK);
        n->label_count = i + 1;
    }
    n->labels = s->labels[at];
}

static void change_nodes(struct story *s, const struct dd_case *c)
{
    const struct dd_arg *ids = dd_arg(c, "ids");
    for (uint32_t i = 0; ids != NULL && i < ids->count; i++) {
        change_node(s, c, dd_number(ids->values[i]));
    }
    if (ids == NULL) {
        for (uint64_t id = figure(c, "from", 1); id <= figure(c, "to", 0); id++) {
            change_node(s, c, id);
        }
    }
}

static void change_owners(struct story *s, const struct dd_case *c)
{
    const struct dd_arg *quota = dd_arg(c, "quota");
    const struct dd_arg *usage = dd_arg(c, "usage");
    for (uint32_t i = 0; quota != NULL && i < quota->count; i++) {
        s->owners[i].quota = (uint32_t)dd_number(quota->values[i]);
    }
    for (uint32_t i = 0; usage != NULL && i < usage->count; i++) {
        s->owners[i].usage = dd_number(usage->values[i]);
    }
    s->in.owner_count = OWNERS_MAX;
}

static void change_wants(struct place_unit *u, struct told *told, const struct dd_case *c)
{
    struct place_wants *w = &u->wants;
    w->gpus = (uint16_t)figure(c, "gpus", w->gpus);
    w->gpu_bytes = figure(c, "gpumem", w->gpu_bytes / GIB) * GIB;
    w->disk_bytes = figure(c, "disk", w->disk_bytes / GIB) * GIB;
    w->sandbox = (uint8_t)figure(c, "sandbox", w->sandbox);
    w->per_node_max = (uint16_t)figure(c, "pernode", w->per_node_max);
    w->commands = w->commands || dd_arg(c, "commands") != NULL;
    w->predict = w->predict || dd_arg(c, "predict") != NULL;
    w->spread = dd_arg(c, "pack") != NULL ? WIRE_SPREAD_PACK : w->spread;
    const struct dd_arg *where = dd_arg(c, "where");
    for (uint32_t i = 0; where != NULL && i < where->count; i++) {
        SH_CHECK(place_condition_parse(where->values[i], &told->conditions[i]) == SH_OK);
        w->condition_count = i + 1;
    }
    w->conditions = told->conditions;
}

static void change_unit(struct story *s, struct place_unit *u, const struct dd_case *c)
{
    struct told *told = &s->told[u - s->units];
    uint64_t now = s->in.now_us;
    u->priority = (uint8_t)figure(c, "priority", u->priority);
    u->need.agents_min = (uint16_t)figure(c, "min", u->need.agents_min);
    u->need.agents_max = (uint16_t)figure(c, "max", u->need.agents_max);
    u->need.cpus = (uint16_t)figure(c, "cpus", u->need.cpus);
    u->need.ram_bytes = figure(c, "ram", u->need.ram_bytes / GIB) * GIB;
    u->need.arithmetic = dd_arg(c, "any") != NULL ? WIRE_ARITHMETIC_ANY : u->need.arithmetic;
    u->owner = (uint32_t)figure(c, "owner", u->owner);
    u->run_us = figure(c, "run", u->run_us / SECOND) * SECOND;
    u->preemptible = u->preemptible || dd_arg(c, "preemptible") != NULL;
    u->checkpoint_us = dd_arg(c, "checkpoint") != NULL ? now : u->checkpoint_us;
    u->not_before_us =
        dd_arg(c, "backoff") != NULL ? now + figure(c, "backoff", 0) * SECOND : u->not_before_us;
    if (dd_arg(c, "yields") != NULL) {
        u->running = false;
        u->stopping = true;
        u->yields_until_us = now + figure(c, "yields", 0) * SECOND;
    }
    if (dd_arg(c, "class") != NULL) {
        u->pinned = true;
        u->class[0] = (uint8_t)figure(c, "class", 0);
    }
    if (dd_arg(c, "near") != NULL) {
        write_id(told->near.node, figure(c, "near", 0));
        told->near.gain = (uint16_t)figure(c, "gain", 0);
        u->near = &told->near;
        u->near_count = 1;
    }
    const struct dd_arg *failed = dd_arg(c, "failed");
    for (uint32_t i = 0; failed != NULL && i < failed->count; i++) {
        write_id(told->failed[i], dd_number(failed->values[i]));
        u->failed_count = i + 1;
    }
    u->failed = (const uint8_t(*)[SH_NODE_ID_BYTES])told->failed;
    change_wants(u, told, c);
}

static void change_units(struct story *s, const struct dd_case *c)
{
    uint64_t job = figure(c, "job", 0);
    uint32_t units = (uint32_t)figure(c, "count", 0);
    for (uint32_t i = 0; i < units; i++) {
        SH_CHECK_CMP(s->in.unit_count, <, UNITS_MAX);
        struct place_unit *u = &s->units[s->in.unit_count];
        s->told[s->in.unit_count++] = (struct told){.near = {.gain = 0}};
        *u = (struct place_unit){.unit = {.job = job, .unit = i},
                                 .dataset = PLACE_NO_DATASET,
                                 .owner = OWNERS_MAX,
                                 .priority = 50,
                                 .since_us = s->in.now_us};
        u->need = (struct wire_need){
            .ranks = 16, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_SAME};
    }
    for (uint32_t i = 0; i < s->in.unit_count; i++) {
        if (s->units[i].unit.job == job) {
            change_unit(s, &s->units[i], c);
        }
    }
}

static struct place_unit *unit_of(struct story *s, struct wire_unit id)
{
    for (uint32_t i = 0; i < s->in.unit_count; i++) {
        if (wire_unit_equal(s->units[i].unit, id)) {
            return &s->units[i];
        }
    }
    SH_UNREACHABLE();
}

static void end_unit(struct story *s, const struct dd_case *c)
{
    struct wire_unit id = {.job = figure(c, "job", 0), .unit = (uint32_t)figure(c, "unit", 0)};
    uint32_t at = (uint32_t)(unit_of(s, id) - s->units);
    s->in.unit_count--;
    for (uint32_t i = at; i < s->in.unit_count; i++) {
        struct place_unit *u = &s->units[i];
        *u = s->units[i + 1];
        s->told[i] = s->told[i + 1];
        u->wants.conditions = s->told[i].conditions;
        u->near = &s->told[i].near;
        u->failed = (const uint8_t(*)[SH_NODE_ID_BYTES])s->told[i].failed;
    }
}

/* ---- a pass ---- */

static void apply(struct story *s, const struct place_decision *d)
{
    struct place_unit *u = unit_of(s, d->unit);
    u->running = d->action == PLACE_ACTION_PLACE;
    u->stopping = false;
    u->yields_until_us = 0;
    u->fence = (struct wire_fence){.term = 1, .index = ++s->index};
    u->member_count = d->placement.member_count;
    memcpy(u->members, d->placement.members, sizeof u->members);
    if (u->running) {
        u->pinned = true;
        memcpy(u->class, d->placement.class, sizeof u->class);
        u->placed_us = s->in.now_us;
        u->checkpoint_us = 0;
    } else {
        u->since_us = s->in.now_us;
        u->preempted_us = d->cause == WIRE_CAUSE_PREEMPTED ? s->in.now_us : u->preempted_us;
    }
}

static void tell_decision(const struct place_decision *d, struct dd_text *out)
{
    dd_printf(out, "%llu.%u %s:", (unsigned long long)d->unit.job, d->unit.unit,
              wire_cause_text((uint32_t)d->cause));
    for (uint32_t i = 0; i < d->placement.member_count; i++) {
        dd_printf(out, " %u", read_id(d->placement.members[i].node));
    }
    dd_printf(out, "\n");
}

static void tell_verdict(const struct story *s, const struct place_verdict *v, struct dd_text *out)
{
    dd_printf(out, "%llu.%u waits at %u with %.2f", (unsigned long long)v->unit.job, v->unit.unit,
              v->position, (double)v->priority / PLACE_POINT);
    if (v->age != 0 || v->fair != 0) {
        dd_printf(out, " (%.2f %+.2f %+.2f)", (double)v->base / PLACE_POINT,
                  (double)v->age / PLACE_POINT, (double)v->fair / PLACE_POINT);
    }
    dd_printf(out, ": %s, needs %llu has %llu", place_reason_name((uint32_t)v->reason),
              (unsigned long long)v->need, (unsigned long long)v->have);
    if (v->earliest_us != 0) {
        dd_printf(out, ", in %llu s",
                  (unsigned long long)((v->earliest_us - s->in.now_us) / SECOND));
    }
    for (uint32_t i = 0; i < v->blocker_count; i++) {
        dd_printf(out, "%s %llu", i == 0 ? " behind" : ",", (unsigned long long)v->blockers[i]);
    }
    dd_printf(out, "%s\n", wire_unit_equal(v->unit, s->out.head) ? ", reserved" : "");
}

static void pass(struct story *s)
{
    s->out.decisions = s->decisions;
    s->out.decision_capacity = UNITS_MAX;
    s->out.refusals = s->refusals;
    s->out.refusal_capacity = NODES_MAX;
    s->out.verdicts = s->verdicts;
    s->in.asked = &s->asked;
    s->in.asked_count = 1;
    place_plan(place, &s->in, &s->limits, &s->out);
}

static void plan(struct story *s, struct dd_text *out)
{
    s->asked = (struct wire_unit){0};
    pass(s);
    for (uint32_t i = 0; i < s->out.decision_count; i++) {
        tell_decision(&s->decisions[i], out);
    }
    for (uint32_t i = 0; i < s->in.unit_count; i++) {
        if (s->verdicts[i].reason != WIRE_REASON_NONE) {
            tell_verdict(s, &s->verdicts[i], out);
        }
    }
    for (uint32_t i = 0; i < s->out.decision_count; i++) {
        apply(s, &s->decisions[i]);
    }
}

static void why(struct story *s, const struct dd_case *c, struct dd_text *out)
{
    s->asked =
        (struct wire_unit){.job = figure(c, "job", 0), .unit = (uint32_t)figure(c, "unit", 0)};
    uint32_t at = (uint32_t)(unit_of(s, s->asked) - s->units);
    pass(s);
    tell_verdict(s, &s->verdicts[at], out);
    for (uint32_t i = 0; i < s->out.refusal_count; i++) {
        const struct place_refusal *r = &s->refusals[i];
        dd_printf(out, "  %u: %s", read_id(r->node), place_reason_name((uint32_t)r->reason));
        if (r->need != 0 || r->have != 0) {
            dd_printf(out, ", needs %llu has %llu", (unsigned long long)r->need,
                      (unsigned long long)r->have);
        }
        if (r->holder != 0) {
            dd_printf(out, ", job %llu", (unsigned long long)r->holder);
        }
        dd_printf(out, "\n");
    }
}

static void handle(void *ctx, const struct dd_case *c, struct dd_text *out)
{
    struct story *s = ctx;
    if (strcmp(c->command, "nodes") == 0) {
        change_nodes(s, c);
    } else if (strcmp(c->command, "owners") == 0) {
        change_owners(s, c);
    } else if (strcmp(c->command, "reserve") == 0) {
        s->limits.reserve_permille = (uint32_t)figure(c, "permille", 0);
    } else if (strcmp(c->command, "units") == 0) {
        change_units(s, c);
    } else if (strcmp(c->command, "ends") == 0) {
        end_unit(s, c);
    } else if (strcmp(c->command, "pass") == 0) {
        s->in.now_us += figure(c, "s", 0) * SECOND;
    } else if (strcmp(c->command, "plan") == 0) {
        plan(s, out);
    } else if (strcmp(c->command, "why") == 0) {
        why(s, c, out);
    } else {
        dd_printf(out, "unknown directive %s\n", c->command);
    }
}

int main(int argc, char **argv)
{
    static struct story story;
    static uint8_t memory[1 << 20] __attribute__((aligned(64)));
    const struct place_capacity capacity = {
        .nodes = NODES_MAX, .units = UNITS_MAX, .signatures = 8};
    struct sh_arena arena;
    struct dd_stats stats = {0};
    sh_arena_init(&arena, memory, sizeof memory);
    place = place_init(&arena, &capacity);
    for (int i = 1; i < argc; i++) {
        story = (struct story){.limits = place_limits_default()};
        story.in.now_us = START;
        story.in.nodes = story.nodes;
        story.in.units = story.units;
        story.in.owners = story.owners;
        if (!dd_run(argv[i], handle, &story, &stats)) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 2;
        }
    }
    (void)printf("%u passed, %u failed\n", stats.passed, stats.failed);
    return argc > 1 && stats.failed == 0 && stats.passed > 0 ? 0 : 1;
}
