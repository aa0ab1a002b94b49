/* SPDX-License-Identifier: Apache-2.0
 *
 * A small cluster to plan for: nodes numbered from 1, units by job id. Everything is healthy, equal
 * and roomy until a test says otherwise. */
#ifndef TEST_PLACE_SCENE_H
#define TEST_PLACE_SCENE_H

#include "place/place.h"

#define SCENE_NODES   32u
#define SCENE_UNITS   32u
#define SCENE_REPORTS 16u
#define SCENE_MEMORY  65536u

struct scene {
    struct place_node nodes[SCENE_NODES];
    struct place_unit units[SCENE_UNITS];
    struct place_report reports[SCENE_REPORTS];
    struct place_input in;
    struct place_limits limits;
    struct place_decision decisions[SCENE_UNITS];
    struct place_refusal refusals[SCENE_NODES * SCENE_UNITS];
    struct place_verdict verdicts[SCENE_UNITS];
    struct place_output out;
    struct place *place;
    uint32_t signatures; /* remembered at a time */
    uint8_t memory[SCENE_MEMORY] __attribute__((aligned(64)));
};

void scene_init(struct scene *s, uint32_t nodes);
void scene_id(uint8_t id[static SH_NODE_ID_BYTES], uint32_t number);
uint32_t scene_number(const uint8_t *id);
struct place_node *scene_node(struct scene *s, uint32_t number);
/* A waiting unit of 16 ranks for 1 to 8 agents of one class. */
struct place_unit *scene_unit(struct scene *s, uint64_t job);
/* The same, running on nodes first .. first + count - 1 since time 0, pinned to their class. */
struct place_unit *scene_gang(struct scene *s, uint64_t job, uint32_t first, uint32_t count);
void scene_report(struct scene *s, const struct place_unit *unit, uint32_t reporter, uint32_t lost);
void scene_plan(struct scene *s);
/* The refusal of a unit by a node; reason NONE when there is none. */
struct place_refusal scene_refusal(const struct scene *s, uint64_t job, uint32_t node);
/* "1:0-8 3:8-16" of a decision; static storage. */
const char *scene_members(const struct place_decision *decision);

#endif
