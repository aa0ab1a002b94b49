/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"
#include "tst.h"

#include <stdio.h>

void scene_id(uint8_t id[static SH_NODE_ID_BYTES], uint32_t number)
{
    memset(id, 0, SH_NODE_ID_BYTES);
    id[3] = (uint8_t)number;
}

uint32_t scene_number(const uint8_t *id)
{
    return id[3];
}

void scene_init(struct scene *s, uint32_t nodes)
{
    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < nodes; i++) {
        struct place_node *node = &s->nodes[i];
        scene_id(node->id, i + 1);
        memset(node->class, 0xc1, sizeof node->class);
        memcpy(node->version, "0.1.0", 6);
        node->cpus = 4;
        node->ram_bytes = UINT64_C(8) << 30;
        node->slots = 1;
    }
    s->signatures = SCENE_UNITS;
    s->limits = place_limits_default();
    s->in = (struct place_input){.now_us = 100000000,
                                 .version = "0.1.0",
                                 .nodes = s->nodes,
                                 .node_count = nodes,
                                 .units = s->units,
                                 .reports = s->reports};
    s->out.decisions = s->decisions;
    s->out.decision_capacity = SCENE_UNITS;
    s->out.refusals = s->refusals;
    s->out.refusal_capacity = SCENE_NODES * SCENE_UNITS;
    s->out.verdicts = s->verdicts;
}

struct place_node *scene_node(struct scene *s, uint32_t number)
{
    struct place_node *found = NULL;
    for (uint32_t i = 0; i < s->in.node_count; i++) {
        found = scene_number(s->nodes[i].id) == number ? &s->nodes[i] : found;
    }
    EXPECT(found != NULL);
    return found;
}

struct place_unit *scene_unit(struct scene *s, uint64_t job)
{
    EXPECT(s->in.unit_count < SCENE_UNITS);
    struct place_unit *unit = &s->units[s->in.unit_count++];
    *unit = (struct place_unit){.unit = {.job = job}, .dataset = PLACE_NO_DATASET};
    unit->need = (struct wire_need){
        .ranks = 16, .agents_min = 1, .agents_max = 8, .arithmetic = WIRE_ARITHMETIC_SAME};
    return unit;
}

struct place_unit *scene_gang(struct scene *s, uint64_t job, uint32_t first, uint32_t count)
{
    struct place_unit *unit = scene_unit(s, job);
    unit->running = true;
    unit->fence = (struct wire_fence){.term = 2, .index = job + 100};
    unit->pinned = true;
    memset(unit->class, 0xc1, sizeof unit->class);
    unit->member_count = count;
    for (uint32_t i = 0; i < count; i++) {
        scene_id(unit->members[i].node, first + i);
        unit->members[i].rank_lo = (uint16_t)(16 * i / count);
        unit->members[i].rank_hi = (uint16_t)(16 * (i + 1) / count);
    }
    return unit;
}

void scene_report(struct scene *s, const struct place_unit *unit, uint32_t reporter, uint32_t lost)
{
    EXPECT(s->in.report_count < SCENE_REPORTS);
    struct place_report *report = &s->reports[s->in.report_count++];
    report->unit = unit->unit;
    report->fence = unit->fence;
    scene_id(report->reporter, reporter);
    scene_id(report->lost, lost);
}

void scene_plan(struct scene *s)
{
    struct place_capacity capacity = {
        .nodes = SCENE_NODES, .units = SCENE_UNITS, .signatures = s->signatures};
    struct sh_arena arena;
    EXPECT(place_bytes(&capacity) <= SCENE_MEMORY);
    sh_arena_init(&arena, s->memory, sizeof s->memory);
    s->place = place_init(&arena, &capacity);
    place_plan(s->place, &s->in, &s->limits, &s->out);
}

struct place_refusal scene_refusal(const struct scene *s, uint64_t job, uint32_t node)
{
    struct place_refusal found = {.reason = WIRE_REASON_NONE};
    for (uint32_t i = 0; i < s->out.refusal_count; i++) {
        const struct place_refusal *r = &s->refusals[i];
        if (r->unit.job == job && scene_number(r->node) == node) {
            EXPECT_EQ(found.reason, WIRE_REASON_NONE); /* one reason per unit and node */
            found = *r;
        }
    }
    return found;
}

const char *scene_members(const struct place_decision *decision)
{
    static char text[512];
    int used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < decision->placement.member_count; i++) {
        const struct wire_member *m = &decision->placement.members[i];
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%u:%u-%u", i > 0 ? " " : "",
                         scene_number(m->node), (unsigned)m->rank_lo, (unsigned)m->rank_hi);
    }
    return text;
}
