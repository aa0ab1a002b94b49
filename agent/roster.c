/* SPDX-License-Identifier: Apache-2.0 */
#include "roster.h"

#include "jobs/view.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_LABELS = 8, LABELS = OWN_LABELS + WIRE_LABELS_MAX };

struct roster {
    struct place_node *nodes;   /* SH_NODES_MAX */
    struct place_label *labels; /* LABELS for each of them */
};

struct roster *roster_open(void)
{
    struct roster *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->nodes = calloc(SH_NODES_MAX, sizeof *r->nodes);
    r->labels = calloc((size_t)SH_NODES_MAX * LABELS, sizeof *r->labels);
    if (r->nodes == NULL || r->labels == NULL) {
        roster_close(r);
        return NULL;
    }
    return r;
}

void roster_close(struct roster *r)
{
    if (r != NULL) {
        free(r->nodes);
        free(r->labels);
        free(r);
    }
}

const struct place_node *roster_nodes(const struct roster *r)
{
    return r->nodes;
}

/* ---- labels ---- */

static void put_label(char *out, size_t size, const char *key, const char *value)
{
    size_t used = strlen(out);
    if (value[0] != '\0' && used + 1 < size) {
        (void)snprintf(out + used, size - used, "%s%s=%s", used > 0 ? "," : "", key, value);
    }
}

static const char *sandbox_name(enum wire_sandbox sandbox)
{
    static const char *const names[] = {[WIRE_SANDBOX_OFF] = "",
                                        [WIRE_SANDBOX_NONE] = "none",
                                        [WIRE_SANDBOX_BASIC] = "basic",
                                        [WIRE_SANDBOX_STRICT] = "strict"};
    return names[sandbox];
}

void roster_labels(const struct wire_node *node, char *out, size_t size)
{
    char gpu[WIRE_GPU_NAME_MAX + 1];
    (void)snprintf(gpu, sizeof gpu, "%s", node->gpu);
    for (char *at = gpu; *at != '\0'; at++) {
        bool word = isalnum((unsigned char)*at) != 0 || strchr("._/-", *at) != NULL;
        *at = word ? *at : '-';
    }
    out[0] = '\0';
    put_label(out, size, "name", node->name);
    put_label(out, size, "zone", node->zone);
    put_label(out, size, "arch", node->arch);
    put_label(out, size, "isa", node->isa);
    put_label(out, size, "version", node->version);
    put_label(out, size, "gpu", gpu);
    put_label(out, size, "sandbox", sandbox_name(node->sandbox));
    size_t used = strlen(out);
    if (node->labels[0] != '\0') {
        (void)snprintf(out + used, size - used, "%s%s", used > 0 ? "," : "", node->labels);
    }
}

/* What does not parse, because a later program wrote it, is not there. */
static uint32_t parse_labels(const struct wire_node *node, struct place_label *out)
{
    char text[ROSTER_LABELS_BYTES];
    char *rest = NULL;
    uint32_t count = 0;
    roster_labels(node, text, sizeof text);
    for (char *at = strtok_r(text, ",", &rest); at != NULL && count < LABELS;
         at = strtok_r(NULL, ",", &rest)) {
        count += place_label_parse(at, &out[count]) == SH_OK ? 1 : 0;
    }
    return count;
}

/* ---- nodes ---- */

static enum place_liveness liveness_of(enum service_liveness liveness)
{
    static const enum place_liveness MAP[] = {[SERVICE_ALIVE] = PLACE_ALIVE,
                                              [SERVICE_SUSPECT] = PLACE_SUSPECT,
                                              [SERVICE_DEAD] = PLACE_DEAD,
                                              [SERVICE_LEFT] = PLACE_LEFT};
    return MAP[liveness];
}

static void describe_health(const struct sh_table *table, uint64_t now_us, struct place_node *n)
{
    struct jobs_health health;
    if (jobs_health_get(table, n->id, &health) != SH_OK) {
        return;
    }
    /* Its time is over, but it has not told of its self-test: no time is left, and it stays. */
    bool untested = jobs_health_untested(&health, now_us);
    n->quarantined_until_us = untested ? now_us + 1 : health.until_us;
    n->parole = jobs_health_on_trial(&health, now_us);
    n->failures_milli = jobs_health_score(&health, now_us);
}

static void describe(const struct service_member *m, struct place_node *n)
{
    *n = (struct place_node){.liveness = liveness_of(m->liveness),
                             .draining = m->node.draining,
                             .cpus = m->node.cpus,
                             .ram_bytes = m->node.ram_bytes,
                             .slots = m->node.slots,
                             .speed = m->node.speed,
                             .gpus = m->node.gpus,
                             .gpu_bytes = m->node.gpu_bytes,
                             .disk_bytes = m->node.disk_bytes,
                             .commands = m->node.sandbox != WIRE_SANDBOX_OFF,
                             .too_weak = m->node.sandbox < m->node.sandbox_min,
                             .sandbox = (uint8_t)m->node.sandbox,
                             .policy = (uint8_t)m->node.policy};
    memcpy(n->id, m->node.id, SH_NODE_ID_BYTES);
    memcpy(n->class, m->node.class, WIRE_CLASS_BYTES);
    (void)snprintf(n->version, sizeof n->version, "%s", m->node.version);
}

uint32_t roster_collect(struct roster *r, const struct sh_table *table,
                        const struct service_member *members, size_t count,
                        const struct backlog_datasets *datasets, uint64_t now_us)
{
    uint32_t nodes = 0;
    SH_CHECK_CMP(count, <=, SH_NODES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct service_member *m = &members[i];
        struct jobs_node row;
        if (jobs_node_get(table, m->node.id, &row) != SH_OK) {
            continue;
        }
        struct place_label *labels = &r->labels[(size_t)nodes * LABELS];
        struct place_node *n = &r->nodes[nodes++];
        describe(m, n);
        describe_health(table, now_us, n);
        n->draining = n->draining || row.draining;
        n->labels = labels;
        n->label_count = parse_labels(&m->node, labels);
        for (uint32_t d = 0; d < datasets->count; d++) {
            struct jobs_dataset_holder holder;
            if (jobs_dataset_holder_get(table, datasets->at[d], n->id, &holder) == SH_OK) {
                n->datasets |= UINT64_C(1) << d;
            }
        }
    }
    return nodes;
}
