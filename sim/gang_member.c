/* SPDX-License-Identifier: Apache-2.0
 *
 * A member of synchronous training between its rounds: follows the newest generation that it hears
 * of, meets the others by the real rules (train/gang.h) and messages, fetches the state of whoever
 * is ahead, loads the newest checkpoint where nobody has one. */
#include "sim/gang.h"

#include "base/check.h"
#include "base/host/host.h"

#include <stdlib.h>
#include <string.h>

#define MS       UINT64_C(1000)
#define GREET_US (200 * MS) /* as train/session.h */
#define SILENT   (2000 * MS)

const struct sim_gang_entry *sim_gang_entry_of(const struct sim_gang *w,
                                               const struct sim_gang_member *m)
{
    SH_CHECK(m->place > 0);
    return &w->log[m->place - 1];
}

const char *sim_phase_name(enum sim_phase phase)
{
    static const char *const NAMES[] = {
#define X(number, name, text) [number] = (text),
        SIM_PHASE_MAP(X)
#undef X
    };
    SH_CHECK_CMP(phase, <, SH_COUNT(NAMES));
    return NAMES[phase];
}

enum sim_phase sim_gang_phase(const struct sim_gang_member *m)
{
    if (m->place == 0 || !m->in) {
        return SIM_PHASE_OUT;
    }
    if (!m->playing) {
        return m->fetching ? SIM_PHASE_FETCHES : SIM_PHASE_MEETS;
    }
    if (!round_is_running(m->round)) {
        return SIM_PHASE_BETWEEN;
    }
    uint32_t first = 0;
    uint32_t own = 0;
    round_own_subtrees(m->round, &first, &own);
    if (m->locals < own) {
        return SIM_PHASE_COMPUTES;
    }
    if (m->reducing > 0) {
        return SIM_PHASE_REDUCES;
    }
    return m->reduced < m->own_chunks ? SIM_PHASE_PARTS : SIM_PHASE_RESULTS;
}

/* ---- words ---- */

void sim_gang_say(struct sim_gang *w, uint32_t from, uint32_t to, struct sim_gang_word word,
                  const void *bytes, size_t size)
{
    uint8_t *whole = malloc(sizeof word + size);
    SH_CHECK(whole != NULL);
    memcpy(whole, &word, sizeof word);
    if (size > 0) {
        memcpy(whole + sizeof word, bytes, size);
    }
    if (to == from) {
        sim_gang_council_hear(w, to, from, &word); /* it coordinates itself */
    } else {
        /* Refused or lost: it is said, or asked for, again. */
        (void)sim_ether_send(&w->net, from, to, whole, sizeof word + size);
    }
    free(whole);
}

void sim_gang_report(struct sim_gang *w, uint32_t member, uint32_t lost)
{
    struct sim_gang_member *m = &w->members[member];
    sim_gang_say(w, member, m->coordinator,
                 (struct sim_gang_word){
                     .kind = SIM_GANG_LOST, .lost = lost, .generation = m->gang.about.generation},
                 NULL, 0);
}

static void send_hello(struct sim_gang *w, uint32_t member, uint32_t to, bool asks)
{
    struct sim_gang_member *m = &w->members[member];
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct train_hello hello;
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    train_gang_hello(&m->gang, to, asks, &hello);
    train_hello_encode(&hello, &writer);
    SH_CHECK(!writer.full);
    sim_gang_say(w, member, sim_gang_entry_of(w, m)->agent[to],
                 (struct sim_gang_word){.kind = SIM_GANG_HELLO}, bytes, writer.used);
}

static void greet_all(struct sim_gang *w, uint32_t member)
{
    const struct sim_gang_member *m = &w->members[member];
    for (uint32_t i = 0; i < m->gang.count; i++) {
        if (i != m->me) {
            send_hello(w, member, i, true);
        }
    }
}

/* ---- the meeting ---- */

static void stand(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    uint8_t digest[SH_DIGEST_BYTES];
    sh_blake2b(digest, sizeof digest, m->params, w->elements * sizeof *m->params);
    train_gang_stand(&m->gang, m->position, digest);
    m->fetching = false;
}

/* The newest checkpoint that can be had, or the one before, or what it holds, or the beginning. */
static void load(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    const struct sim_gang_line *l = &w->line;
    bool older = sh_rng_chance(&w->net.rng, 1, 4);
    uint64_t position = older ? l->saved_before : l->saved;
    if (!m->has_state || m->position < position) {
        m->has_state = true;
        m->position = position;
        memcpy(m->params, older ? l->saved_before_params : l->saved_params,
               w->elements * sizeof(float));
    }
    stand(w, member);
    greet_all(w, member);
}

static void fetch(struct sim_gang *w, uint32_t member, uint32_t from)
{
    struct sim_gang_member *m = &w->members[member];
    uint8_t bytes[TRAIN_MESSAGE_BYTES];
    struct sh_writer writer = sh_writer_over(bytes, sizeof bytes);
    struct train_fetch f = {.about = m->gang.about,
                            .position = m->gang.peers[from].position,
                            .size = w->elements * (uint32_t)sizeof(float)};
    m->fetching = true;
    train_fetch_encode(&f, &writer);
    SH_CHECK(!writer.full);
    sim_gang_say(w, member, sim_gang_entry_of(w, m)->agent[from],
                 (struct sim_gang_word){.kind = SIM_GANG_FETCH}, bytes, writer.used);
}

/* asks: it is time to ask again for what did not come. */
static void judge(struct sim_gang *w, uint32_t member, bool asks)
{
    struct sim_gang_member *m = &w->members[member];
    struct train_verdict v = train_gang_judge(&m->gang);
    switch (v.advice) {
    case TRAIN_WAIT:
        break;
    case TRAIN_LOAD:
        load(w, member);
        judge(w, member, false);
        break;
    case TRAIN_CATCH_UP:
        if (asks || !m->fetching) {
            fetch(w, member, v.other);
        }
        break;
    case TRAIN_GO:
        train_gang_go(&m->gang);
        sim_gang_round_go(w, member);
        break;
    case TRAIN_DIFFER:
        sim_ether_break(&w->net, "members stand at step %llu with different states",
                        (unsigned long long)m->gang.peers[v.one].position);
        break;
    case TRAIN_STRANGER:
        if (asks) {
            sim_gang_report(w, member, member);
        }
        break;
    }
}

void sim_gang_member_greet(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    if (!m->in || m->playing) {
        return;
    }
    greet_all(w, member);
    bool silent = w->net.now_us - m->met_us >= SILENT;
    for (uint32_t i = 0; i < m->gang.count && silent; i++) {
        if (!m->gang.peers[i].heard) {
            sim_gang_report(w, member, sim_gang_entry_of(w, m)->agent[i]);
        }
    }
    judge(w, member, true);
    sim_ether_after(&w->net, member, GREET_US, SIM_GANG_ARG(SIM_GANG_GREET, m->place), 0);
}

/* A generation newer than the one it is in. */
static void enter(struct sim_gang *w, uint32_t member, uint32_t place)
{
    struct sim_gang_member *m = &w->members[member];
    const struct sim_gang_entry *entry = &w->log[place - 1];
    sim_gang_round_stop(w, member);
    m->place = place;
    m->in = false;
    m->fetching = false;
    m->met_us = w->net.now_us;
    for (uint32_t i = 0; i < entry->count; i++) {
        if (entry->agent[i] == member) {
            m->in = true;
            m->me = i;
        }
    }
    if (!m->in) {
        m->has_state = m->has_state && w->keeps;
        return;
    }
    struct train_about about = {.unit = {.job = 1}, .generation = entry->generation};
    train_gang_begin(&m->gang, about, entry->members, entry->count, m->me, m->session);
    if (m->has_state && m->position >= w->line.saved) { /* as train/meeting.c */
        stand(w, member);
    }
    sim_gang_member_greet(w, member);
}

/* ---- what others say ---- */

static uint32_t index_of(const struct sim_gang *w, const struct sim_gang_member *m, uint32_t agent)
{
    const struct sim_gang_entry *entry = sim_gang_entry_of(w, m);
    uint32_t i = 0;
    while (i < entry->count && entry->agent[i] != agent) {
        i++;
    }
    return i;
}

static void hear_hello(struct sim_gang *w, uint32_t member, uint32_t from, struct sh_span bytes)
{
    struct sim_gang_member *m = &w->members[member];
    struct train_hello hello;
    enum sh_err err = train_hello_decode(bytes, &hello);
    uint32_t at = index_of(w, m, from);
    SH_CHECK(err == SH_OK);
    if (hello.about.generation != m->gang.about.generation || at == m->gang.count) {
        return;
    }
    train_gang_hear(&m->gang, at, &hello);
    if ((hello.flags & TRAIN_HELLO_ASKS) != 0) {
        send_hello(w, member, at, false);
    }
    if (!m->playing) {
        judge(w, member, false);
    }
}

static void serve(struct sim_gang *w, uint32_t member, uint32_t from, struct sh_span bytes)
{
    struct sim_gang_member *m = &w->members[member];
    size_t size = w->elements * sizeof(float);
    struct train_fetch f;
    enum sh_err err = train_fetch_decode(bytes, &f);
    SH_CHECK(err == SH_OK);
    if (!m->has_state || f.position != m->position || f.size != size) {
        return; /* it has gone on: whoever asks meets anew */
    }
    uint8_t *out = malloc(TRAIN_MESSAGE_BYTES + size);
    SH_CHECK(out != NULL);
    struct sh_writer writer = sh_writer_over(out, TRAIN_MESSAGE_BYTES);
    struct train_note note = {.about = f.about, .position = f.position, .total = size};
    train_note_encode(&note, &writer);
    memcpy(out + writer.used, m->params, size);
    sim_gang_say(w, member, from, (struct sim_gang_word){.kind = SIM_GANG_NOTE}, out,
                 writer.used + size);
    free(out);
}

static void take_note(struct sim_gang *w, uint32_t member, uint32_t from, struct sh_span bytes)
{
    struct sim_gang_member *m = &w->members[member];
    struct train_note note;
    enum sh_err err = train_note_decode(bytes, &note);
    uint32_t at = index_of(w, m, from);
    SH_CHECK(err == SH_OK);
    bool wanted = m->fetching && note.about.generation == m->gang.about.generation &&
                  at < m->gang.count && note.position == m->gang.peers[at].position;
    if (!wanted) {
        return;
    }
    SH_CHECK_CMP(note.piece.size, ==, w->elements * sizeof(float));
    memcpy(m->params, note.piece.at, note.piece.size);
    m->has_state = true;
    m->position = note.position;
    w->counts.fetched++;
    stand(w, member);
    sim_gang_line_stand(w, member);
    greet_all(w, member);
    judge(w, member, false);
}

void sim_gang_member_told(struct sim_gang *w, uint32_t member, uint32_t from, uint32_t place)
{
    struct sim_gang_member *m = &w->members[member];
    if (place >= m->place) {
        m->coordinator = from;
    }
    if (place > m->place) {
        enter(w, member, place);
    }
}

static void hear_entry(struct sim_gang *w, uint32_t member, uint32_t from,
                       const struct sim_gang_word *word)
{
    const struct sim_gang_member *m = &w->members[member];
    sim_gang_member_told(w, member, from, word->place);
    sim_gang_say(w, member, from,
                 (struct sim_gang_word){.kind = SIM_GANG_ALIVE, .session = m->session}, NULL, 0);
}

void sim_gang_member_hear(struct sim_gang *w, uint32_t member, const struct sim_parcel *parcel)
{
    struct sim_gang_word word;
    memcpy(&word, parcel->bytes, sizeof word);
    struct sh_span rest = {.at = parcel->bytes + sizeof word, .size = parcel->size - sizeof word};
    switch (word.kind) {
    case SIM_GANG_ENTRY:
        hear_entry(w, member, parcel->from, &word);
        return;
    case SIM_GANG_ALIVE:
    case SIM_GANG_LOST:
    case SIM_GANG_SAVED:
        sim_gang_council_hear(w, member, parcel->from, &word);
        return;
    case SIM_GANG_HELLO:
    case SIM_GANG_FETCH:
    case SIM_GANG_NOTE:
    case SIM_GANG_FRAME:
        break;
    }
    if (w->members[member].place == 0 || !w->members[member].in) {
        return;
    }
    if (word.kind == SIM_GANG_HELLO) {
        hear_hello(w, member, parcel->from, rest);
    } else if (word.kind == SIM_GANG_FETCH) {
        serve(w, member, parcel->from, rest);
    } else if (word.kind == SIM_GANG_NOTE) {
        take_note(w, member, parcel->from, rest);
    } else {
        sim_gang_round_frame(w, member, parcel->from, rest.at, rest.size);
    }
}

/* ---- its process ---- */

void sim_gang_member_begin(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    uint32_t slow = m->slow;
    *m = (struct sim_gang_member){.session = sh_rng_u64(&w->net.rng) | 1,
                                  .slow = slow,
                                  .coordinator = member,
                                  .armed_us = UINT64_MAX};
    sim_gang_round_open(w, m);
}

void sim_gang_member_end(struct sim_gang *w, uint32_t member)
{
    struct sim_gang_member *m = &w->members[member];
    sim_gang_round_close(m);
    m->has_state = false;
}
