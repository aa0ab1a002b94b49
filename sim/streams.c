/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots that an agent gives to others, as agent/snapshots.c does: at most SIM_STREAMS_MAX, each
 * a state of its tables that stays the same, chunk by chunk and each in pieces, given up when
 * nobody asks for a while. Questions and answers are lost, repeated and overtaken as all messages
 * are. */
#include "sim/parts.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_HEAD = 1 + 8 + 4, PIECES_OF_A_CHUNK = 3 };

static struct sim_stream *stream_of(struct sim_agent *a, uint64_t id)
{
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        if (id != 0 && a->streams[i].id == id) {
            return &a->streams[i];
        }
    }
    return NULL;
}

static void close_stream(struct sim_stream *s)
{
    if (s->id != 0) {
        fsm_out_close(s->out);
        free(s->bytes);
        *s = (struct sim_stream){0};
    }
}

static bool is_for(const struct sim_stream *s, const struct sim_msg *msg)
{
    return s->id != 0 && s->to == msg->from && s->to_wipes == msg->from_wipes;
}

/* A free place, or the one that this node had and has given up. */
static struct sim_stream *place_for(struct sim_agent *a, const struct sim_msg *msg)
{
    struct sim_stream *free_one = NULL;
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        struct sim_stream *s = &a->streams[i];
        if (is_for(s, msg)) {
            close_stream(s);
            return s;
        }
        free_one = s->id == 0 ? s : free_one;
    }
    return free_one;
}

static enum sh_err open_stream(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg,
                               struct sh_writer *w)
{
    struct sim_stream *s = place_for(a, msg);
    if (s == NULL) {
        return SH_ERR_FULL;
    }
    *s = (struct sim_stream){.id = sh_rng_u64(&sim->rng) | 1,
                             .to = msg->from,
                             .to_wipes = msg->from_wipes,
                             .used_us = sim_local(sim, a),
                             .number = UINT32_MAX};
    s->bytes = malloc(FSM_SNAPSHOT_CHUNK_MAX);
    SH_CHECK(s->bytes != NULL);
    SH_CHECK(fsm_out_open(a->fsm, s->id, JOBS_SCHEMA, &s->out) == SH_OK);
    fsm_out_pace(s->out, (size_t)PIECES_OF_A_CHUNK * sim->options.piece);
    s->index = fsm_out_applied(s->out)->index;
    uint64_t contents = sim_contents(fsm_begin(a->fsm));
    fsm_abort(a->fsm);
    sim_check_contents(&sim->check, a->number, s->index, contents);
    sh_put_u64(w, s->id);
    return SH_OK;
}

static enum sh_err put_piece(struct sim *sim, struct sim_agent *a, struct sh_reader *r,
                             struct sh_writer *w)
{
    struct sim_stream *s = stream_of(a, sh_get_u64(r));
    uint32_t number = sh_get_u32(r);
    uint32_t offset = sh_get_u32(r);
    SH_CHECK(!r->bad);
    if (s == NULL) {
        return SH_ERR_NOT_FOUND;
    }
    if (number == s->number + 1) {
        s->size = fsm_out_next(s->out, s->bytes);
        s->number = number;
    }
    s->used_us = sim_local(sim, a);
    if (number != s->number || offset >= s->size) {
        return SH_ERR_INVALID; /* behind, ahead, or past the end */
    }
    size_t left = s->size - offset;
    size_t most = sim->options.piece;
    sh_put_u32(w, (uint32_t)s->size);
    sh_put_bytes(w, s->bytes + offset, left < most ? left : most);
    return SH_OK;
}

static void done(struct sim *sim, struct sim_agent *a, struct sh_reader *r)
{
    struct sim_stream *s = stream_of(a, sh_get_u64(r));
    enum sh_err outcome = sh_err_from_u32(sh_get_u32(r));
    if (s != NULL) {
        uint32_t to = s->to;
        close_stream(s);
        sim_snapshots_sent(sim, a, to, outcome == SH_OK);
    }
}

void sim_streams_answer(struct sim *sim, struct sim_agent *a, const struct sim_msg *msg)
{
    uint8_t bytes[SIM_PIECE_MAX + 64];
    struct sh_reader r = sh_reader_over(msg->bytes, msg->size);
    struct sh_writer w = sh_writer_over(bytes + ANSWER_HEAD, sizeof bytes - ANSWER_HEAD);
    enum sim_stream_op op = (enum sim_stream_op)sh_get_u8(&r);
    uint64_t call = sh_get_u64(&r);
    enum sh_err err = SH_OK;
    if (op == SIM_STREAM_DONE) {
        done(sim, a, &r);
        return;
    }
    err = op == SIM_STREAM_OPEN ? open_stream(sim, a, msg, &w) : put_piece(sim, a, &r, &w);
    struct sh_writer head = sh_writer_over(bytes, ANSWER_HEAD);
    sh_put_u8(&head, SIM_STREAM_ANSWER);
    sh_put_u64(&head, call);
    sh_put_u32(&head, (uint32_t)err);
    SH_CHECK(!head.full && !w.full);
    (void)sim_send(sim, a->number, msg->from, SIM_SNAPSHOT, bytes, ANSWER_HEAD + w.used);
    (void)sim_gap(sim, a, SIM_GAP_SERVED);
}

bool sim_streams_serving(const struct sim *sim, const struct sim_agent *a, uint32_t to)
{
    uint64_t now = sim_local(sim, a);
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        const struct sim_stream *s = &a->streams[i];
        if (s->id != 0 && s->to == to && s->to_wipes == sim->agents[to]->wipes &&
            now - s->used_us <= SIM_PULL_IDLE_US) {
            return true;
        }
    }
    return false;
}

uint64_t sim_streams_floor(const struct sim_agent *a)
{
    uint64_t floor = UINT64_MAX;
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        const struct sim_stream *s = &a->streams[i];
        floor = s->id != 0 && s->index < floor ? s->index : floor;
    }
    return floor;
}

uint64_t sim_streams_deadline(const struct sim_agent *a)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        uint64_t until = a->streams[i].used_us + SIM_PULL_IDLE_US + 1;
        least = a->streams[i].id != 0 && until < least ? until : least;
    }
    return least;
}

void sim_streams_tick(struct sim *sim, struct sim_agent *a)
{
    uint64_t now = sim_local(sim, a);
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        if (a->streams[i].id != 0 && now - a->streams[i].used_us > SIM_PULL_IDLE_US) {
            close_stream(&a->streams[i]);
        }
    }
}

void sim_streams_clear(struct sim_agent *a)
{
    for (uint32_t i = 0; i < SIM_STREAMS_MAX; i++) {
        close_stream(&a->streams[i]);
    }
}
