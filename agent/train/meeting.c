/* SPDX-License-Identifier: Apache-2.0 */
#include "train/inside.h"

#include "bulk.h"

#include "base/host/host.h"
#include "jobs/view.h"
#include "train/blob.h"
#include "train/resume.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- saying where this member stands ---- */

static struct sh_span encode_hello(const struct train_gang *gang, uint32_t to, bool asks,
                                   uint8_t bytes[static TRAIN_MESSAGE_BYTES])
{
    struct train_hello hello;
    struct sh_writer w = sh_writer_over(bytes, TRAIN_MESSAGE_BYTES);
    train_gang_hello(gang, to, asks, &hello);
    train_hello_encode(&hello, &w);
    return (struct sh_span){.at = bytes, .size = w.used};
}

static bool stands_beside(const struct train_peer *a, const struct train_peer *b)
{
    return a->heard && a->has_state && b->has_state && a->position == b->position &&
           memcmp(a->digest, b->digest, SH_DIGEST_BYTES) == 0;
}

/* To all, or to those that are not known to stand where this member does. */
static void greet(struct train_session *x, bool all)
{
    for (uint32_t i = 0; i < x->at.placement.member_count; i++) {
        uint8_t bytes[TRAIN_MESSAGE_BYTES];
        struct sh_span span = {0};
        train_lock(x);
        const struct train_gang *g = &x->gang;
        bool wanted = i != g->me && (all || !stands_beside(&g->peers[i], &g->peers[g->me]));
        if (wanted) {
            span = encode_hello(g, i, true, bytes);
        }
        train_unlock(x);
        if (wanted) {
            train_send(x, i, FRAME_TRAIN_HELLO, span, (struct sh_span){0});
        }
    }
    x->hello_at_us = sh_now_us() + TRAIN_HELLO_US;
}

/* The state is new: tells everyone. False: no memory for its digest. */
static bool take_stand(struct train_session *x)
{
    uint8_t digest[SH_DIGEST_BYTES];
    free(x->served);
    x->served = NULL;
    if (train_state_digest(&x->state, digest) != SH_OK) {
        return false;
    }
    train_lock(x);
    train_gang_stand(&x->gang, x->state.position, digest);
    train_unlock(x);
    return true;
}

static void open_meeting(struct train_session *x)
{
    const struct wire_placement *p = &x->at.placement;
    struct train_about about = {.unit = x->config.part.unit, .generation = p->fence.index};
    train_lock(x);
    train_gang_begin(&x->gang, about, p->members, p->member_count, x->index, x->number);
    x->met = true;
    x->rank_failed = false;
    train_unlock(x);
    x->met_us = sh_now_us();
    x->pace_count = 0;
}

void train_hear(struct train_session *x, uint32_t from, const struct train_hello *hello)
{
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    if (hello->about.generation != x->gang.about.generation) {
        return;
    }
    train_gang_hear(&x->gang, from, hello);
    if ((hello->flags & TRAIN_HELLO_ASKS) != 0) {
        struct sh_span span = encode_hello(&x->gang, from, false, bytes);
        /* An answer that cannot leave is asked for again. */
        SH_MAY_FAIL(bulk_send(x->config.bulk, x->gang.members[from].node, FRAME_TRAIN_HELLO, span,
                              (struct sh_span){0}) == SH_OK);
    }
}

static void report_silent(struct train_session *x)
{
    uint64_t now = sh_now_us();
    if (now - x->met_us < TRAIN_SILENCE_US) {
        return;
    }
    train_lock(x);
    for (uint32_t i = 0; i < x->gang.count; i++) {
        if (!x->gang.peers[i].heard) {
            train_scribe_lost(x->scribe, x->at.placement.fence, x->gang.members[i].node);
        }
    }
    train_unlock(x);
}

/* ---- catching up ---- */

static void drop_catch(struct train_session *x)
{
    train_lock(x);
    free(x->catch.bytes);
    free(x->catch.have);
    x->catch = (struct train_catch){0};
    train_unlock(x);
}

static bool begin_catch(struct train_session *x, uint32_t source, uint64_t position)
{
    size_t total = train_state_size(x->m);
    uint64_t now = sh_now_us();
    struct train_catch catch = {.total = total,
                                .source = source,
                                .position = position,
                                .pieces = (uint32_t)((total - 1) / TRAIN_PIECE_BYTES + 1),
                                .again_us = now + TRAIN_PIECE_US,
                                .quiet_us = now + TRAIN_SILENCE_US};
    catch.bytes = malloc(total);
    catch.have = calloc(catch.pieces, sizeof *catch.have);
    drop_catch(x);
    if (catch.bytes == NULL || catch.have == NULL) {
        free(catch.bytes);
        free(catch.have);
        return false;
    }
    train_lock(x);
    x->catch = catch;
    train_unlock(x);
    return true;
}

static size_t piece_size(const struct train_catch *c, uint32_t piece)
{
    size_t offset = (size_t)piece * TRAIN_PIECE_BYTES;
    return c->total - offset < TRAIN_PIECE_BYTES ? c->total - offset : TRAIN_PIECE_BYTES;
}

void train_catch_note(struct train_session *x, uint32_t from, const struct train_note *note)
{
    struct train_catch *c = &x->catch;
    bool wanted = c->bytes != NULL && from == c->source && note->position == c->position &&
                  note->about.generation == x->gang.about.generation && note->total == c->total &&
                  note->offset % TRAIN_PIECE_BYTES == 0;
    uint32_t piece = (uint32_t)(note->offset / TRAIN_PIECE_BYTES);
    if (!wanted || c->have[piece] || note->piece.size != piece_size(c, piece)) {
        return;
    }
    memcpy(c->bytes + note->offset, note->piece.at, note->piece.size);
    c->have[piece] = true;
    c->got++;
    c->under_way -= c->under_way > 0 ? 1 : 0;
    c->again_us = sh_now_us() + TRAIN_PIECE_US;
    c->quiet_us = sh_now_us() + TRAIN_SILENCE_US;
}

/* With the lock: the next piece to ask for. */
static bool choose_piece(struct train_catch *c, uint32_t *piece)
{
    if (sh_now_us() >= c->again_us) {
        c->next = 0;
        c->under_way = 0;
        c->again_us = sh_now_us() + TRAIN_PIECE_US;
    }
    while (c->next < c->pieces && c->have[c->next]) {
        c->next++;
    }
    if (c->next == c->pieces || c->under_way >= TRAIN_PIECES_MAX) {
        return false;
    }
    *piece = c->next++;
    c->under_way++;
    return true;
}

/* One turn of fetching; true when all of it is here. */
static bool turn_catch(struct train_session *x)
{
    struct train_catch *c = &x->catch;
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    uint32_t piece = 0;
    train_lock(x);
    if (c->got == c->pieces) {
        train_unlock(x);
        return true;
    }
    if (sh_now_us() >= c->quiet_us) {
        train_scribe_lost(x->scribe, x->at.placement.fence,
                          x->at.placement.members[c->source].node);
        c->quiet_us = sh_now_us() + TRAIN_SILENCE_US;
    }
    if (!choose_piece(c, &piece)) {
        train_turn(x, c->again_us);
        train_unlock(x);
        return false;
    }
    struct train_fetch fetch = {.about = x->gang.about,
                                .position = c->position,
                                .offset = (uint64_t)piece * TRAIN_PIECE_BYTES,
                                .size = (uint32_t)piece_size(c, piece)};
    uint32_t source = c->source;
    train_unlock(x);
    train_fetch_encode(&fetch, &w);
    train_send(x, source, FRAME_TRAIN_FETCH, (struct sh_span){.at = bytes, .size = w.used},
               (struct sh_span){0});
    return false;
}

/* All pieces are here: no one writes to them any more. */
static bool use_catch(struct train_session *x)
{
    const struct train_catch *c = &x->catch;
    uint8_t digest[SH_DIGEST_BYTES];
    uint8_t expected[SH_DIGEST_BYTES];
    char text[TRAIN_WHY_BYTES];
    train_lock(x);
    memcpy(expected, x->gang.peers[c->source].digest, sizeof expected);
    train_unlock(x);
    struct sh_span bytes = {.at = c->bytes, .size = c->total};
    enum sh_err err = train_state_decode(&x->state, NULL, false, bytes);
    err = err != SH_OK ? err : train_state_digest(&x->state, digest);
    if (err == SH_OK && memcmp(digest, expected, sizeof digest) != 0) {
        err = SH_ERR_CORRUPT;
    }
    if (err != SH_OK) {
        x->state.set = false; /* nobody is to be told to go on from it */
        (void)snprintf(text, sizeof text, "%s cannot use the state that %s sent: %s", x->name,
                       x->at.names[c->source], sh_err_text(err));
        train_fail(x, err, false, text);
        return false;
    }
    train_scribe_line(x->scribe, "%s took over the state of %s after step %llu", x->name,
                      x->at.names[c->source],
                      (unsigned long long)train_course_at(&x->m->course, x->state.position).step);
    train_tell_last(x);
    return true;
}

static enum train_turn catch_up(struct train_session *x, uint32_t source)
{
    train_lock(x);
    uint64_t position = x->gang.peers[source].position;
    bool same =
        x->catch.bytes != NULL && x->catch.source == source && x->catch.position == position;
    train_unlock(x);
    if (!same && !begin_catch(x, source, position)) {
        train_fail(x, SH_ERR_NO_MEMORY, false, "no memory to fetch the state of another member");
        return TRAIN_OVER;
    }
    if (!turn_catch(x)) {
        return TRAIN_GO_ON;
    }
    bool good = use_catch(x);
    drop_catch(x);
    if (!good) {
        return TRAIN_OVER;
    }
    if (!take_stand(x)) {
        train_fail(x, SH_ERR_NO_MEMORY, false, "no memory for a digest");
        return TRAIN_OVER;
    }
    greet(x, true);
    return TRAIN_GO_ON;
}

void train_serve(struct train_session *x, const struct train_asked *asked)
{
    const struct train_fetch *f = &asked->fetch;
    size_t total = x->m != NULL ? train_state_size(x->m) : 0;
    uint8_t head[TRAIN_MESSAGE_BYTES];
    struct sh_writer w = sh_writer_over(head, sizeof head);
    if (!x->state.set || f->position != x->state.position || f->offset >= total ||
        f->size > total - f->offset) {
        return;
    }
    if (x->served == NULL) {
        x->served = malloc(total);
        if (x->served == NULL) {
            return; /* asked for again; there may be memory then */
        }
        train_state_encode(&x->state, x->at.placement.class, x->served);
    }
    struct train_note note = {
        .about = f->about, .position = f->position, .offset = f->offset, .total = total};
    train_note_encode(&note, &w);
    struct sh_span body = {.at = x->served + f->offset, .size = f->size};
    train_send(x, asked->member, FRAME_TRAIN_NOTE, (struct sh_span){.at = head, .size = w.used},
               body);
}

/* ---- loading ---- */

static uint32_t list_checkpoints(struct train_session *x, struct jobs_checkpoint *list)
{
    struct service_view *view;
    uint32_t count = 0;
    if (service_view_open(x->config.s, &view) != SH_OK) {
        return 0;
    }
    if (jobs_checkpoint_list(service_view_table(view), x->config.part.unit, list, JOBS_KEEP_MAX,
                             &count) != SH_OK) {
        count = 0;
    }
    service_view_close(view);
    return count;
}

static enum sh_err decode(struct train_session *x, bool any_job, struct sh_span bytes)
{
    bool same = x->m->job->arithmetic == SPEC_ARITHMETIC_SAME;
    return train_state_decode(&x->state, same ? x->at.placement.class : NULL, any_job, bytes);
}

static enum sh_err take_checkpoint(void *ctx, const struct jobs_checkpoint *c, struct sh_span bytes,
                                   char *why, size_t size)
{
    struct train_session *x = ctx;
    (void)c;
    (void)why;
    (void)size;
    return decode(x, false, bytes);
}

/* The state that the job starts from: that of its seed, unless the file names another one. */
static enum sh_err load_start(struct train_session *x)
{
    const struct spec_start *start = &x->m->job->start;
    char text[TRAIN_WHY_BYTES];
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!start->set) {
        train_state_begin(&x->state);
        return SH_OK;
    }
    enum sh_err err = train_blob_read(x->config.s, start->checkpoint, train_state_size(x->m),
                                      TRAIN_LOAD_US, &bytes, &size);
    err = err == SH_OK ? decode(x, true, (struct sh_span){.at = bytes, .size = size}) : err;
    free(bytes);
    if (err == SH_OK) {
        train_scribe_line(x->scribe, "%s goes on from step %llu of job %llu", x->name,
                          (unsigned long long)start->step, (unsigned long long)start->job);
        return SH_OK;
    }
    if (err == SH_ERR_NOT_FOUND && train_blob_may_come(x->config.s, NULL, 0)) {
        return SH_ERR_UNREACHABLE;
    }
    bool alien = err == SH_ERR_CONFLICT || err == SH_ERR_CORRUPT || err == SH_ERR_LIMIT;
    (void)snprintf(text, sizeof text, "start.checkpoint: %s: %s", x->name,
                   alien ? "it is of another model, batch, seed, split into ranks or class"
                         : sh_err_text(err));
    if (!train_is_passing(err)) {
        train_fail(x, err, alien, text);
    }
    return err;
}

static bool is_behind(const struct train_session *x, uint64_t step)
{
    return !x->state.set || train_course_at(&x->m->course, x->state.position).step < step;
}

enum sh_err train_load(struct train_session *x)
{
    struct train_resume r = {.s = x->config.s,
                             .scribe = x->scribe,
                             .node = x->name,
                             .name = "checkpoint after step",
                             .unit = x->config.part.unit,
                             .bytes_max = train_state_size(x->m),
                             .whole_us = TRAIN_LOAD_US,
                             .take = take_checkpoint,
                             .ctx = x,
                             .say_at_us = x->say_at_us};
    if (x->state.set) { /* what it holds is as good as any that is not newer */
        r.from = train_course_at(&x->m->course, x->state.position).step + 1;
    }
    enum sh_err err = train_resume(&r);
    x->say_at_us = r.say_at_us;
    if (err == SH_OK) {
        train_scribe_line(
            x->scribe, "%s goes on from the checkpoint after step %llu", x->name,
            (unsigned long long)train_course_at(&x->m->course, x->state.position).step);
        return SH_OK;
    }
    if (x->state.set && (err == SH_ERR_NOT_FOUND || err == SH_ERR_UNREACHABLE)) {
        return SH_OK;
    }
    if (err == SH_ERR_NOT_FOUND) {
        err = load_start(x);
    } else if (!train_is_passing(err)) {
        train_fail(x, err, false, "the newest checkpoint cannot be taken");
    }
    x->load_at_us = train_is_passing(err) ? sh_now_us() + TRAIN_AGAIN_US : 0;
    return err;
}

/* Who was frozen or cut off while others went on, and is met by new ones when those are gone, would
 * take all of them back behind what is kept. The state is not dropped: it is better than the
 * beginning where no newer checkpoint can be had (train_load). A generation's members have applied
 * the log up to its entry, so they know the same checkpoints. */
bool train_may_stand(struct train_session *x)
{
    struct jobs_checkpoint *list = x->state.set ? calloc(JOBS_KEEP_MAX, sizeof *list) : NULL;
    uint32_t count = list != NULL ? list_checkpoints(x, list) : 0;
    bool outlived = count > 0 && is_behind(x, list[0].step);
    free(list);
    return x->state.set && !outlived;
}

/* ---- the meeting ---- */

enum train_turn train_begin_rounds(struct train_session *x)
{
    const struct wire_placement *p = &x->at.placement;
    free(x->served);
    x->served = NULL;
    memset(x->offered, 0, sizeof x->offered);
    train_lock(x);
    enum sh_err err = train_exchange_start(x->exchange, sh_now_us(), p->fence.index, p->members,
                                           p->member_count, x->index);
    if (err == SH_OK) {
        train_gang_go(&x->gang);
        x->playing = p->fence.index;
        train_take_early(x);
    }
    train_unlock(x);
    if (err != SH_OK) {
        train_fail(x, err, false, "no memory for the sums of the other members");
        return TRAIN_OVER;
    }
    return TRAIN_GO_ON;
}

static enum train_turn differ(struct train_session *x, const struct train_verdict *v)
{
    char text[TRAIN_WHY_BYTES];
    (void)snprintf(text, sizeof text, "after step %llu the states of %s and %s differ",
                   (unsigned long long)train_course_at(&x->m->course, x->state.position).step,
                   x->at.names[v->one], x->at.names[v->other]);
    train_fail(x, SH_ERR_DIVERGED, true, text);
    return TRAIN_OVER;
}

static bool ends(const struct train_session *x)
{
    return x->at.stopping || x->at.yielding;
}

/* Acts on a verdict other than GO. */
static enum train_turn act(struct train_session *x, const struct train_verdict *v)
{
    enum sh_err err = SH_OK;
    switch (v->advice) {
    case TRAIN_LOAD:
        err = train_load(x);
        if (train_is_passing(err)) {
            break; /* others may have got it meanwhile */
        }
        if (err != SH_OK) {
            return TRAIN_OVER;
        }
        if (!take_stand(x)) {
            train_fail(x, SH_ERR_NO_MEMORY, false, "no memory for a digest");
            return TRAIN_OVER;
        }
        greet(x, true);
        break;
    case TRAIN_CATCH_UP:
        return catch_up(x, v->other);
    case TRAIN_DIFFER:
        return differ(x, v);
    case TRAIN_STRANGER:
        if (!ends(x)) { /* else the others are about to meet anew */
            train_scribe_lost(x->scribe, x->at.placement.fence, x->me);
        }
        break;
    case TRAIN_WAIT:
    case TRAIN_GO:
        break;
    }
    return TRAIN_GO_ON;
}

enum train_turn train_meet(struct train_session *x, uint64_t until_us)
{
    enum train_turn turn = TRAIN_GO_ON;
    if (!x->met) {
        open_meeting(x);
        if (train_may_stand(x) && !take_stand(x)) {
            train_fail(x, SH_ERR_NO_MEMORY, false, "no memory for a digest");
            return TRAIN_OVER;
        }
        greet(x, true);
    }
    while (turn == TRAIN_GO_ON) {
        train_lock(x);
        struct train_verdict v = train_gang_judge(&x->gang);
        bool good = v.advice == TRAIN_GO || (ends(x) && train_gang_leads(&x->gang));
        bool interrupted = train_interrupted(x);
        uint64_t now = sh_now_us();
        bool waits = v.advice == TRAIN_WAIT || v.advice == TRAIN_STRANGER ||
                     (v.advice == TRAIN_LOAD && now < x->load_at_us);
        if (!interrupted && !good && waits && now < x->hello_at_us && now < until_us) {
            train_turn(x, x->hello_at_us < until_us ? x->hello_at_us : until_us);
            train_unlock(x);
            continue;
        }
        train_unlock(x);
        if (interrupted) {
            drop_catch(x);
            return TRAIN_INTERRUPTED;
        }
        if (good) {
            return TRAIN_GO_ON;
        }
        if (now >= until_us) {
            drop_catch(x);
            return TRAIN_LATE;
        }
        if (now >= x->hello_at_us) {
            greet(x, false);
            report_silent(x);
        }
        turn = v.advice == TRAIN_LOAD && now < x->load_at_us ? TRAIN_GO_ON : act(x, &v);
    }
    return turn;
}
