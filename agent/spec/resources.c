/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job needs of the agents that take it, and which those may be. */
#include "place/label.h"
#include "spec/measure.h"
#include "spec/schema.h"
#include "wire/job.h"

#include <stdio.h>
#include <string.h>

#define PER_NODE_MAX 10000

#define JOB_U32(name, member, least, most)                                                         \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_job, member),        \
        .low = (least), .high = (most)                                                             \
    }

static const struct spec_field AGENTS[] = {JOB_U32("min", agents_min, 1, SPEC_AGENTS_MAX),
                                           JOB_U32("max", agents_max, 1, SPEC_AGENTS_MAX)};

/* {min: 1, max: 8}, or a number that is both. */
static void take_agents(struct spec_decode *d, const struct spec_node *node, void *base)
{
    struct spec_job *job = base;
    if (node->kind == SPEC_NODE_SCALAR) {
        spec_decode_field(d, node, &AGENTS[0], job);
        job->agents_max = job->agents_min;
    } else {
        spec_decode_map(d, node, AGENTS, SH_COUNT(AGENTS), job);
    }
}

static void take_bytes(struct spec_decode *d, const struct spec_node *node, uint64_t *out)
{
    uint64_t bytes = 0;
    bool good = node->kind == SPEC_NODE_SCALAR && spec_bytes_read(node->text, &bytes);
    if (!good || bytes >> 53 != 0) {
        spec_decode_wrong(d, node, "must be a size such as 512MiB or 8GiB");
    } else {
        *out = bytes;
    }
}

static void take_ram(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_bytes(d, node, &((struct spec_job *)base)->ram_bytes);
}

static void take_gpu_ram(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_bytes(d, node, &((struct spec_job *)base)->where.gpu_bytes);
}

static void take_disk(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_bytes(d, node, &((struct spec_job *)base)->where.disk_bytes);
}

/* ---- lists of words in one text ---- */

/* False with an error noted where it does not fit. */
static bool add_word(struct spec_decode *d, const struct spec_node *node, char *list,
                     const char *between)
{
    size_t used = strlen(list);
    size_t room = SPEC_WHERE_MAX + 1 - used;
    int n = snprintf(list + used, room, "%s%s", used > 0 ? between : "", node->text);
    if (n < 0 || (size_t)n >= room) {
        list[used] = '\0';
        spec_decode_wrong(d, node, "there may be %u bytes together", SPEC_WHERE_MAX);
        return false;
    }
    return true;
}

typedef bool (*word_ok)(struct spec_decode *d, const struct spec_node *node);

/* A list of texts, or one text. */
static void take_words(struct spec_decode *d, const struct spec_node *node, char *list,
                       const char *between, uint32_t max, word_ok ok)
{
    list[0] = '\0';
    if (node->kind == SPEC_NODE_SCALAR) {
        (void)(ok(d, node) && add_word(d, node, list, between));
        return;
    }
    if (node->kind != SPEC_NODE_LIST) {
        spec_decode_wrong(d, node, "must be a list of texts");
        return;
    }
    if (node->count > max) {
        spec_decode_wrong(d, node, "there may be at most %u", max);
        return;
    }
    uint32_t i = 0;
    for (const struct spec_node *n = spec_tree_first(d->tree, node); n != NULL;
         n = spec_tree_next(d->tree, n)) {
        size_t mark = spec_decode_enter(d, NULL, i++);
        (void)(ok(d, n) && add_word(d, n, list, between));
        spec_decode_leave(d, mark);
    }
}

static bool condition_ok(struct spec_decode *d, const struct spec_node *node)
{
    struct place_condition parsed;
    bool good =
        node->kind == SPEC_NODE_SCALAR && place_condition_parse(node->text, &parsed) == SH_OK;
    if (!good) {
        spec_decode_wrong(d, node,
                          "must be a condition on labels of agents, such as disk=nvme, "
                          "zone!=attic, isa>=avx512, os in (debian, ubuntu), fast, !slow");
    }
    return good;
}

static void take_labels(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_words(d, node, ((struct spec_job *)base)->where.labels, SPEC_WHERE_LABELS,
               PLACE_CONDITIONS_MAX - 2, condition_ok);
}

static bool name_ok(struct spec_decode *d, const struct spec_node *node)
{
    bool good = node->kind == SPEC_NODE_SCALAR && spec_is_name(node->text);
    if (!good) {
        spec_decode_wrong(d, node, "must be the name of an agent");
    }
    return good;
}

static void take_allow(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_words(d, node, ((struct spec_job *)base)->where.allow, SPEC_WHERE_NAMES, PLACE_VALUES_MAX,
               name_ok);
}

static void take_deny(struct spec_decode *d, const struct spec_node *node, void *base)
{
    take_words(d, node, ((struct spec_job *)base)->where.deny, SPEC_WHERE_NAMES, PLACE_VALUES_MAX,
               name_ok);
}

static void take_nodes(struct spec_decode *d, const struct spec_node *node, void *base)
{
    static const struct spec_field NODES[] = {
        {.key = "allow", .type = SPEC_FIELD_CUSTOM, .take = take_allow},
        {.key = "deny", .type = SPEC_FIELD_CUSTOM, .take = take_deny}};
    spec_decode_map(d, node, NODES, SH_COUNT(NODES), base);
}

/* ---- the section ---- */

/* The names that AI Farm has for these. */
static const struct spec_choice FOREIGN[] = {
    {"min_cpu_cores", 0}, {"min_ram", 0}, {"min_gpu_memory", 0}, {NULL, 0}};
static const char *const OURS[] = {"cpus", "ram", "gpu_ram"};

static const struct spec_field RESOURCES[] = {
    {.key = "agents", .type = SPEC_FIELD_CUSTOM, .take = take_agents},
    JOB_U32("cpus", cpus, 0, 1024),
    {.key = "ram", .type = SPEC_FIELD_CUSTOM, .take = take_ram},
    JOB_U32("gpus", where.gpus, 0, WIRE_GPUS_MAX),
    {.key = "gpu_ram", .type = SPEC_FIELD_CUSTOM, .take = take_gpu_ram},
    {.key = "disk", .type = SPEC_FIELD_CUSTOM, .take = take_disk},
    {.key = "labels", .type = SPEC_FIELD_CUSTOM, .take = take_labels},
    {.key = "nodes", .type = SPEC_FIELD_CUSTOM, .take = take_nodes},
    JOB_U32("per_node", where.per_node_max, 0, PER_NODE_MAX),
    {.key = "spread",
     .type = SPEC_FIELD_CHOICE,
     .offset = offsetof(struct spec_job, where.spread),
     .choices = SPEC_SPREADS}};

/* True with errors noted: some keys are names of another program. */
static bool is_foreign(struct spec_decode *d, const struct spec_node *map)
{
    bool found = false;
    for (const struct spec_choice *c = FOREIGN; c->name != NULL && map->kind == SPEC_NODE_MAP;
         c++) {
        const struct spec_node *node = spec_tree_member(d->tree, map, c->name);
        if (node != NULL) {
            spec_note(d->errors, node->key_at, d->path, c->name, "unknown key; here it is %s",
                      OURS[c - FOREIGN]);
            found = true;
        }
    }
    return found;
}

void spec_take_resources(struct spec_decode *d, const struct spec_node *node, void *base)
{
    if (!is_foreign(d, node)) {
        spec_decode_map(d, node, RESOURCES, SH_COUNT(RESOURCES), base);
    }
}

void spec_take_unit_resources(struct spec_decode *d, const struct spec_node *node, void *base)
{
    if (!is_foreign(d, node)) {
        spec_decode_map(d, node, RESOURCES + 1, SH_COUNT(RESOURCES) - 1, base);
    }
}

/* ---- as conditions ---- */

static void put_names(struct sh_writer *w, const char *operator, const char * names)
{
    if (names[0] != '\0') {
        sh_put_bytes(w, SPEC_WHERE_LABELS, w->used > 0 ? 1 : 0);
        sh_put_bytes(w, operator, strlen(operator));
        sh_put_bytes(w, names, strlen(names));
        sh_put_bytes(w, ")", 1);
    }
}

bool spec_conditions(const struct spec_job *job, char *out, size_t size)
{
    struct sh_writer w = sh_writer_over(out, size);
    sh_put_bytes(&w, job->where.labels, strlen(job->where.labels));
    put_names(&w, "name in (", job->where.allow);
    put_names(&w, "name notin (", job->where.deny);
    sh_put_u8(&w, 0);
    return !w.full;
}

void spec_check_resources(struct spec_decode *d, const struct spec_job *job)
{
    char conditions[WIRE_CONDITIONS_MAX + 1];
    const struct spec_node *root = &d->tree->nodes[SPEC_ROOT];
    const struct spec_node *node = spec_tree_member(d->tree, root, "resources");
    if (node != NULL && job->where.gpu_bytes > 0 && job->where.gpus == 0) {
        spec_note(d->errors, node->at, "resources.gpu_ram", "",
                  "is the memory of each GPU: say with resources.gpus how many");
    }
    if (node != NULL && !spec_conditions(job, conditions, sizeof conditions)) {
        spec_note(d->errors, node->at, "resources.labels", "",
                  "labels and nodes may have %u bytes together", WIRE_CONDITIONS_MAX);
    }
}
