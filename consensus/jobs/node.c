/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/tx.h"

static bool name_is_free(struct jobs_tx *tx, const char *name, const uint8_t *id)
{
    struct jobs_node other;
    bool taken = jobs_tx_found(tx, jobs_node_by_name(tx->table, name, &other));
    return !taken || memcmp(other.id, id, SH_NODE_ID_BYTES) == 0;
}

static bool says_the_same(const struct jobs_node *node, const struct jobs_node_admit *c)
{
    return strcmp(node->name, c->name) == 0 && strcmp(node->addr, c->addr) == 0 &&
           strcmp(node->api, c->api) == 0 && node->bulk_port == c->bulk_port;
}

enum jobs_code jobs_do_node_admit(struct jobs_tx *tx, const struct jobs_node_admit *c)
{
    struct jobs_node node;
    bool known = jobs_tx_found(tx, jobs_node_get(tx->table, c->node, &node));
    if (!name_is_free(tx, c->name, c->node)) {
        return JOBS_CODE_NODE_NAME_TAKEN;
    }
    if (!known && tx->meta.nodes >= JOBS_NODES_MAX) {
        return JOBS_CODE_NODES_FULL;
    }
    uint64_t handle = c->handle == 0 ? tx->entry->index : c->handle;
    if (!known && (handle <= tx->meta.handle_last || handle > tx->entry->index)) {
        return JOBS_CODE_HANDLE_USED;
    }
    if (known && says_the_same(&node, c)) {
        tx->result->duplicate = true;
        tx->result->handle = node.handle;
        return JOBS_CODE_NONE;
    }
    uint8_t *buffer = tx->core->buffer;
    if (known && strcmp(node.name, c->name) != 0) {
        jobs_tx_del(tx, jobs_row_name('m', node.name));
    }
    if (!known) {
        node = (struct jobs_node){.handle = handle, .admitted_us = tx->meta.stamp_us};
        memcpy(node.id, c->node, sizeof node.id);
        jobs_tx_put(tx, jobs_row_u64('h', node.handle), jobs_row_put_node_id(buffer, node.id));
        tx->meta.nodes++;
        tx->meta.handle_last = handle;
    }
    memcpy(node.name, c->name, sizeof node.name);
    memcpy(node.addr, c->addr, sizeof node.addr);
    memcpy(node.api, c->api, sizeof node.api);
    node.bulk_port = c->bulk_port;
    jobs_tx_put(tx, jobs_row_name('m', node.name), jobs_row_put_node_id(buffer, node.id));
    jobs_tx_put(tx, jobs_row_id('n', node.id), jobs_row_put_node(buffer, &node));
    tx->result->handle = node.handle;
    tx->result->nodes_changed = true;
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_node_remove(struct jobs_tx *tx, const struct jobs_node_remove *c)
{
    struct jobs_node node;
    if (!jobs_tx_found(tx, jobs_node_get(tx->table, c->node, &node))) {
        return JOBS_CODE_NODE_UNKNOWN;
    }
    SH_CHECK_CMP(tx->meta.nodes, >, 0);
    tx->meta.nodes--;
    jobs_session_drop_of(tx, node.id);
    jobs_tx_del(tx, jobs_row_name('m', node.name));
    jobs_tx_del(tx, jobs_row_u64('h', node.handle));
    jobs_tx_del(tx, jobs_row_id('n', node.id));
    jobs_tx_del(tx, jobs_row_id('q', node.id));
    tx->result->handle = node.handle;
    tx->result->nodes_changed = true;
    return JOBS_CODE_NONE;
}

static enum jobs_code mark_drain(struct jobs_tx *tx, struct jobs_node *node, bool drain)
{
    tx->result->duplicate = node->draining == drain;
    if (!tx->result->duplicate) {
        node->draining = drain;
        jobs_tx_put(tx, jobs_row_id('n', node->id), jobs_row_put_node(tx->core->buffer, node));
        tx->result->nodes_changed = true;
    }
    return JOBS_CODE_NONE;
}

static enum jobs_code mark_health(struct jobs_tx *tx, const struct jobs_node_mark *c)
{
    struct jobs_health *h = &tx->core->health;
    uint64_t now_us = tx->meta.stamp_us;
    if (!jobs_tx_found(tx, jobs_health_get(tx->table, c->node, h))) {
        return JOBS_CODE_NOT_QUARANTINED;
    }
    bool changed = c->mark == JOBS_MARK_PAROLE
                       ? jobs_health_parole(h, now_us)
                       : jobs_health_fit(h, c->mark == JOBS_MARK_FIT, now_us);
    if (!changed) {
        return JOBS_CODE_NOT_QUARANTINED;
    }
    jobs_tx_put(tx, jobs_row_id('q', c->node), jobs_row_put_health(tx->core->buffer, h));
    tx->result->nodes_changed = true;
    return JOBS_CODE_NONE;
}

enum jobs_code jobs_do_node_mark(struct jobs_tx *tx, const struct jobs_node_mark *c)
{
    struct jobs_node node;
    if (!jobs_tx_found(tx, jobs_node_get(tx->table, c->node, &node))) {
        return JOBS_CODE_NODE_UNKNOWN;
    }
    tx->result->handle = node.handle;
    if (c->mark == JOBS_MARK_DRAIN || c->mark == JOBS_MARK_UNDRAIN) {
        return mark_drain(tx, &node, c->mark == JOBS_MARK_DRAIN);
    }
    return mark_health(tx, c);
}
