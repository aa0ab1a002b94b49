/* SPDX-License-Identifier: Apache-2.0 */
#include "train/blob.h"

#include "jobs/view.h"

#include <stdlib.h>
#include <string.h>

#define NODES_AT_ONCE 16u

/* One that is here; err: what became of fetching it. */
static enum sh_err read_here(struct service *s, enum sh_err err,
                             const uint8_t digest[static SH_DIGEST_BYTES], uint64_t total,
                             uint64_t bytes_max, uint8_t **bytes, size_t *size)
{
    size_t done = 0;
    *bytes = NULL;
    *size = 0;
    if (err == SH_OK && total > bytes_max) {
        err = SH_ERR_LIMIT;
    }
    uint8_t *out = err == SH_OK ? malloc((size_t)total + 1) : NULL;
    if (err == SH_OK && out == NULL) {
        err = SH_ERR_NO_MEMORY;
    }
    while (err == SH_OK && done < total) {
        size_t got = 0;
        err = service_blob_read(s, digest, done, out + done, (size_t)total - done, &got);
        err = err == SH_OK && got == 0 ? SH_ERR_CORRUPT : err;
        done += got;
    }
    if (err != SH_OK) {
        free(out);
        return err;
    }
    *bytes = out;
    *size = done;
    return SH_OK;
}

enum sh_err train_blob_read(struct service *s, const uint8_t digest[static SH_DIGEST_BYTES],
                            uint64_t bytes_max, uint64_t timeout_us, uint8_t **bytes, size_t *size)
{
    uint64_t total = 0;
    enum sh_err err = service_blob_fetch(s, digest, &total, timeout_us);
    return read_here(s, err, digest, total, bytes_max, bytes, size);
}

enum sh_err train_blob_read_patient(struct service *s, const uint8_t digest[static SH_DIGEST_BYTES],
                                    uint64_t bytes_max, const struct service_patience *patience,
                                    uint8_t **bytes, size_t *size)
{
    uint64_t total = 0;
    enum sh_err err = service_blob_fetch_patient(s, digest, &total, patience);
    return read_here(s, err, digest, total, bytes_max, bytes, size);
}

bool train_is_passing(enum sh_err err)
{
    return err == SH_ERR_NO_QUORUM || err == SH_ERR_TIMEOUT || err == SH_ERR_UNREACHABLE ||
           err == SH_ERR_FULL || err == SH_ERR_NOT_LEADER;
}

struct company { /* who is there */
    struct service_member *members;
    size_t count;
};

static bool is_away(const struct company *all, const uint8_t *node)
{
    bool alive = false;
    for (size_t i = 0; i < all->count && !alive; i++) {
        alive = all->members[i].liveness == SERVICE_ALIVE &&
                memcmp(all->members[i].node.id, node, SH_NODE_ID_BYTES) == 0;
    }
    return !alive;
}

static bool any_is_away(const struct sh_table *t, const struct company *all)
{
    struct jobs_node nodes[NODES_AT_ONCE];
    uint8_t after[SH_NODE_ID_BYTES];
    uint32_t count = NODES_AT_ONCE;
    bool away = false;
    for (bool first = true; count == NODES_AT_ONCE && !away; first = false) {
        if (jobs_node_list(t, first ? NULL : after, nodes, NODES_AT_ONCE, &count) != SH_OK) {
            return away;
        }
        for (uint32_t i = 0; i < count; i++) {
            away = away || is_away(all, nodes[i].id);
            memcpy(after, nodes[i].id, sizeof after);
        }
    }
    return away;
}

bool train_blob_may_come(struct service *s, const uint8_t (*holders)[SH_NODE_ID_BYTES],
                         uint32_t count)
{
    struct company all = {.members = malloc(SH_NODES_MAX * sizeof *all.members)};
    struct service_view *view;
    struct jobs_node node;
    bool away = false;
    if (all.members == NULL || service_view_open(s, &view) != SH_OK) {
        free(all.members);
        return true; /* nobody can say yet */
    }
    const struct sh_table *t = service_view_table(view);
    all.count = service_members(s, all.members, SH_NODES_MAX);
    for (uint32_t i = 0; i < count && !away; i++) {
        /* One that was removed from the cluster does not come back. */
        away = is_away(&all, holders[i]) && jobs_node_get(t, holders[i], &node) == SH_OK;
    }
    away = count == 0 ? any_is_away(t, &all) : away;
    service_view_close(view);
    free(all.members);
    return away;
}
