/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions: what makes a command that is sent again, and so may stand in the log twice, happen once
 * (Ongaro, section 6.3). As in NFSv4.1 (RFC 8881, section 2.10.6) a session has slots with one
 * command under way each, so that one remembered reply a slot is enough. */
#include "jobs/tx.h"

static struct jobs_row_key slot_key(uint64_t session, uint64_t number)
{
    return jobs_row_unit(
        'z', (struct wire_unit){.job = session, .unit = (uint32_t)(number % JOBS_SESSION_SLOTS)});
}

static bool expired(const struct jobs_tx *tx, const struct jobs_session *s)
{
    SH_CHECK_CMP(s->used_us, <=, tx->meta.stamp_us);
    return tx->meta.stamp_us - s->used_us > JOBS_SESSION_US;
}

static void put(struct jobs_tx *tx, const struct jobs_session *s)
{
    jobs_tx_put(tx, jobs_row_u64('x', s->id), jobs_row_put_session(tx->core->buffer, s));
}

static void drop(struct jobs_tx *tx, const struct jobs_session *s)
{
    struct jobs_row_key low = jobs_row_u64('z', s->id);
    struct jobs_row_key high = jobs_row_beyond(&low);
    struct sh_span key;
    struct sh_span value;
    while (tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key,
                           &value)) {
        uint64_t slot = sh_key_u64_get(key.at + 5) & UINT32_MAX;
        low = jobs_row_past(key);
        jobs_tx_del(tx, slot_key(s->id, slot));
    }
    jobs_tx_del(tx, jobs_row_u64('x', s->id));
    jobs_tx_del(tx, jobs_row_id('y', s->node));
    SH_CHECK_CMP(tx->meta.sessions, >, 0);
    tx->meta.sessions--;
}

/* An agent has one session; that of an earlier life goes. */
static bool find_of_node(struct jobs_tx *tx, const uint8_t *node, struct jobs_session *s)
{
    struct jobs_row_key key = jobs_row_id('y', node);
    struct sh_span value;
    uint64_t id = 0;
    if (!tx->table->get(tx->table->ctx, jobs_row_span(&key), &value) ||
        !jobs_tx_found(tx, jobs_row_get_index(value, &id))) {
        return false;
    }
    bool found = jobs_tx_found(tx, jobs_session_get(tx->table, id, s));
    tx->broken = tx->broken || !found;
    return found;
}

void jobs_session_drop_of(struct jobs_tx *tx, const uint8_t node[static SH_NODE_ID_BYTES])
{
    struct jobs_session s;
    if (find_of_node(tx, node, &s)) {
        drop(tx, &s);
    }
}

/* One that has expired, if there is one: whoever holds it may never come again. */
static void sweep(struct jobs_tx *tx)
{
    struct jobs_row_key prefix = jobs_row_letter('x');
    struct jobs_row_key low = prefix;
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct jobs_session s;
    struct sh_span key;
    struct sh_span value;
    while (tx->table->seek(tx->table->ctx, jobs_row_span(&low), jobs_row_span(&high), false, &key,
                           &value)) {
        low = jobs_row_past(key);
        if (!jobs_tx_found(tx, jobs_row_get_session(value, &s))) {
            tx->broken = true;
            return;
        }
        if (expired(tx, &s)) {
            drop(tx, &s);
            return;
        }
    }
}

enum jobs_code jobs_do_session_open(struct jobs_tx *tx, const struct jobs_session_open *c)
{
    struct jobs_session s;
    if (!jobs_tx_has(tx, jobs_row_id('n', c->node))) {
        return JOBS_CODE_NODE_UNKNOWN;
    }
    sweep(tx);
    if (find_of_node(tx, c->node, &s)) {
        if (s.life == c->life && !expired(tx, &s)) {
            tx->result->duplicate = true;
            tx->result->handle = s.id;
            return JOBS_CODE_NONE;
        }
        drop(tx, &s);
    }
    s = (struct jobs_session){
        .id = tx->entry->index, .life = c->life, .used_us = tx->meta.stamp_us};
    memcpy(s.node, c->node, sizeof s.node);
    put(tx, &s);
    jobs_tx_put(tx, jobs_row_id('y', s.node), jobs_row_put_index(tx->core->buffer, s.id));
    tx->meta.sessions++;
    tx->result->handle = s.id;
    return JOBS_CODE_NONE;
}

/* True: the slot holds a reply to this number, or to a later one. */
static bool replay(struct jobs_tx *tx, enum jobs_code *code)
{
    const struct jobs_cmd *cmd = &tx->core->cmd;
    struct jobs_row_key key = slot_key(cmd->session, cmd->number);
    struct jobs_reply reply;
    struct sh_span value;
    if (!tx->table->get(tx->table->ctx, jobs_row_span(&key), &value) ||
        !jobs_tx_found(tx, jobs_row_get_reply(value, &reply)) || reply.number < cmd->number) {
        return false;
    }
    *code = JOBS_CODE_NUMBER_OLD;
    if (reply.number == cmd->number) {
        *code = reply.code;
        tx->result->replayed = true;
        tx->result->duplicate = reply.duplicate;
        tx->result->unit = reply.unit;
        tx->result->fence = reply.fence;
        tx->result->handle = reply.handle;
        tx->result->model_version = reply.model_version;
    }
    return true;
}

bool jobs_session_enter(struct jobs_tx *tx, enum jobs_code *code)
{
    const struct jobs_cmd *cmd = &tx->core->cmd;
    struct jobs_session s;
    *code = JOBS_CODE_NONE;
    if (cmd->session == 0) {
        return true;
    }
    bool found = jobs_tx_found(tx, jobs_session_get(tx->table, cmd->session, &s));
    if (!found || expired(tx, &s)) {
        *code = JOBS_CODE_SESSION_UNKNOWN;
        if (found) {
            drop(tx, &s);
        }
        return false;
    }
    if (tx->meta.stamp_us - s.used_us >= JOBS_SESSION_US / 8) {
        s.used_us = tx->meta.stamp_us;
        put(tx, &s);
    }
    return cmd->type != JOBS_SESSION_KEEP && !replay(tx, code);
}

void jobs_session_remember(struct jobs_tx *tx, enum jobs_code code)
{
    const struct jobs_cmd *cmd = &tx->core->cmd;
    const struct jobs_result *result = tx->result;
    struct jobs_reply reply = {.number = cmd->number,
                               .code = code,
                               .duplicate = result->duplicate,
                               .unit = result->unit,
                               .fence = result->fence,
                               .handle = result->handle,
                               .model_version = result->model_version};
    /* An agent that removes itself has none any more. */
    bool ended = cmd->type == JOBS_NODE_REMOVE && !jobs_tx_has(tx, jobs_row_u64('x', cmd->session));
    tx->fresh = false; /* the slot has a row already, but for its first command */
    if (cmd->session != 0 && !ended) {
        jobs_tx_put(tx, slot_key(cmd->session, cmd->number),
                    jobs_row_put_reply(tx->core->buffer, &reply));
    }
}
