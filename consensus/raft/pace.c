/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a leader's silence must be to mean something: the election timeout follows what this
 * member has seen of its disk, of the way to the others and of their regularity (as accrual
 * detectors do: Hayashibara et al., 2004; Dynatune, 2025). And a leader whose disk has gone silent
 * hands over. */
#include "raft/core.h"

enum { ROUND_TRIPS = 10, WRITES = 3, GAPS = 3, STEP = 8 };

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* How long a silence must be to be none of the way's. */
static uint64_t way(const struct raft_pace *p)
{
    uint64_t want = larger(p->least, ROUND_TRIPS * p->round_trip);
    return larger(want, GAPS * (uint64_t)sh_latency_usual_p99(&p->gaps));
}

uint64_t raft_pace_lease(const struct raft *r)
{
    uint64_t most = r->config.election;
    if (r->config.election_max == 0 || r->role == RAFT_LEADER) {
        return most;
    }
    uint64_t want = way(&r->pace);
    return want < most ? want : most;
}

/* Follows at once upwards and by steps of an eighth downwards. */
static void follow(struct raft *r)
{
    const struct raft_pace *p = &r->pace;
    uint64_t now = r->config.election;
    if (r->config.election_max == 0) {
        return;
    }
    uint64_t want = larger(way(p), WRITES * (uint64_t)sh_latency_usual_p99(&p->writes));
    want = want < r->config.election_max ? want : r->config.election_max;
    if (want > now + now / STEP) {
        r->config.election = want;
    } else if (want < now - now / STEP) {
        r->config.election = larger(want, now - now / STEP);
    }
    if (r->config.election != now && r->role != RAFT_LEADER) {
        raft_draw_timeout(r);
    }
}

/* A step that comes late by a heartbeat tells that this member stood still: its process was
 * stopped, its machine slept. What it measures across that is its own absence: at a leader a gap of
 * every peer at once, which would make it wait for seconds, as a voter, when the next one is gone.
 */
void raft_pace_wake(struct raft *r, uint64_t now)
{
    uint64_t due = raft_deadline(r);
    if (r->config.election_max == 0 || now <= due || now - due <= r->config.heartbeat) {
        return;
    }
    r->pace.beat_at = 0;
    r->pace.write_since = now;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        r->peers.list[i].beat_at = 0;
    }
}

/* Heartbeats that follow one another fast, as reads make them do, say nothing of silence. */
static void note_gap(struct raft *r, uint64_t *last)
{
    uint64_t gap = r->now - *last;
    bool first = *last == 0;
    *last = r->now;
    if (!first && gap >= r->config.heartbeat / 2) {
        sh_latency_add(&r->pace.gaps, gap);
        follow(r);
    }
}

void raft_pace_beat(struct raft *r)
{
    note_gap(r, &r->pace.beat_at);
}

void raft_pace_answer(struct raft *r, struct raft_peer *peer)
{
    if (!peer->learner) {
        note_gap(r, &peer->beat_at);
    }
}

void raft_pace_round_trip(struct raft *r, uint64_t typical)
{
    r->pace.round_trip = typical < RAFT_NUMBER_MAX / ROUND_TRIPS ? typical : 0;
    follow(r);
}

void raft_pace_writing(struct raft *r)
{
    if (r->log.token_issued == r->log.token_durable) {
        r->pace.write_since = r->now;
    }
}

void raft_pace_written(struct raft *r)
{
    sh_latency_add(&r->pace.writes, r->now - r->pace.write_since);
    r->pace.write_since = r->now;
    follow(r);
}

/* Another voter that holds the log up to there: one that was heard of late before others, then the
 * one that holds most. NULL: there is none. */
static const struct raft_peer *heir_with(const struct raft *r, uint64_t index)
{
    const struct raft_peer *heir = NULL;
    for (uint32_t i = 0; i < r->peers.count; i++) {
        const struct raft_peer *p = &r->peers.list[i];
        bool fit = p->id != r->config.id && !p->learner && p->match >= index;
        bool better = heir == NULL || (p->active && !heir->active) ||
                      (p->active == heir->active && p->match > heir->match);
        heir = fit && better ? p : heir;
    }
    return heir;
}

void raft_pace_resign(struct raft *r)
{
    const struct raft_peer *heir = heir_with(r, 0);
    if (heir == NULL) {
        r->refused = SH_ERR_NOT_FOUND;
    } else if (r->transferee == 0) {
        raft_transfer(r, heir->id);
    }
}

/* Whoever holds entries that this disk does not has a disk that works. */
void raft_pace_abdicate(struct raft *r)
{
    bool waits = r->log.token_issued > r->log.token_durable;
    if (!r->config.abdicate || !waits || r->transferee != 0 ||
        r->now - r->pace.write_since < r->config.election) {
        return;
    }
    const struct raft_peer *heir = heir_with(r, r->log.durable + 1);
    if (heir != NULL) {
        r->pace.write_since = r->now; /* one try an election timeout */
        raft_transfer(r, heir->id);
    }
}
