/* SPDX-License-Identifier: Apache-2.0 */
#include "handles.h"

#include <string.h>

static size_t place_of(const struct handles *h, uint64_t handle)
{
    size_t at = 0;
    while (at < h->count && h->at[at].handle != handle) {
        at++;
    }
    return at;
}

const uint8_t *handles_node(const struct handles *h, uint64_t handle)
{
    size_t at = place_of(h, handle);
    return at < h->count ? h->at[at].node : NULL;
}

uint64_t handles_of(const struct handles *h, const uint8_t node[SH_NODE_ID_BYTES])
{
    uint64_t newest = 0;
    for (size_t i = 0; i < h->count; i++) {
        bool same = memcmp(h->at[i].node, node, SH_NODE_ID_BYTES) == 0;
        newest = same && h->at[i].handle > newest ? h->at[i].handle : newest;
    }
    return newest;
}

/* Any handle that only a message has named; h->count: none. */
static size_t unsure(const struct handles *h)
{
    size_t at = 0;
    while (at < h->count && h->at[at].sure) {
        at++;
    }
    return at;
}

/* NULL: there is no place. */
static struct handle *note(struct handles *h, uint64_t handle, const uint8_t *node, bool sure)
{
    size_t at = place_of(h, handle);
    bool known = at < h->count;
    if (at == SH_NODES_MAX && sure) {
        at = unsure(h); /* the tables go before messages */
    }
    if (at == SH_NODES_MAX) {
        return NULL;
    }
    if (!known) {
        h->count += at == h->count ? 1 : 0;
        h->at[at] = (struct handle){.handle = handle};
    }
    memcpy(h->at[at].node, node, SH_NODE_ID_BYTES);
    return &h->at[at];
}

void handles_learn(struct handles *h, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES])
{
    struct handle *known = handle == 0 ? NULL : note(h, handle, node, true);
    if (known != NULL) {
        known->sure = true;
    }
}

bool handles_hear(struct handles *h, uint64_t handle, const uint8_t node[SH_NODE_ID_BYTES])
{
    size_t at = place_of(h, handle);
    if (at < h->count && h->at[at].sure) {
        return memcmp(h->at[at].node, node, SH_NODE_ID_BYTES) == 0;
    }
    return note(h, handle, node, false) != NULL;
}
