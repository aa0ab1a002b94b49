/* SPDX-License-Identifier: Apache-2.0 */
#include "members.h"

#include "base/host/host.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct members {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint8_t me[SH_NODE_ID_BYTES];
    uint64_t version;
    size_t count;
    struct service_member *at; /* sorted by id; SH_NODES_MAX places */
    size_t voter_count;        /* voters may be told before their records arrive */
    uint8_t voters[SH_VOTERS_MAX][SH_NODE_ID_BYTES];
};

enum sh_err members_open(struct members **out, const uint8_t me[SH_NODE_ID_BYTES])
{
    struct members *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    m->at = calloc(SH_NODES_MAX, sizeof *m->at);
    if (m->at == NULL) {
        free(m);
        return SH_ERR_NO_MEMORY;
    }
    memcpy(m->me, me, SH_NODE_ID_BYTES);
    pthread_condattr_t attr;
    SH_CHECK(pthread_condattr_init(&attr) == 0);
    SH_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SH_CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
    SH_CHECK(pthread_cond_init(&m->changed, &attr) == 0);
    SH_CHECK(pthread_condattr_destroy(&attr) == 0);
    *out = m;
    return SH_OK;
}

void members_close(struct members *m)
{
    if (m == NULL) {
        return;
    }
    SH_CHECK(pthread_cond_destroy(&m->changed) == 0);
    SH_CHECK(pthread_mutex_destroy(&m->lock) == 0);
    free(m->at);
    free(m);
}

/* First place whose id is not below; under the lock. */
static size_t place_of(const struct members *m, const uint8_t *id)
{
    size_t low = 0;
    size_t high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(m->at[middle].node.id, id, SH_NODE_ID_BYTES) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool holds(const struct members *m, size_t place, const uint8_t *id)
{
    return place < m->count && memcmp(m->at[place].node.id, id, SH_NODE_ID_BYTES) == 0;
}

static void announce(struct members *m)
{
    m->version++;
    SH_CHECK(pthread_cond_broadcast(&m->changed) == 0);
}

static bool is_voter(const struct members *m, const uint8_t *id)
{
    for (size_t i = 0; i < m->voter_count; i++) {
        if (memcmp(m->voters[i], id, SH_NODE_ID_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_gone(const struct service_member *member)
{
    return member->liveness == SERVICE_DEAD || member->liveness == SERVICE_LEFT;
}

/* Takes out one agent that is gone and has no vote; under the lock. */
static void forget_one(struct members *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (is_gone(&m->at[i]) && !m->at[i].voter) {
            m->count--;
            memmove(&m->at[i], &m->at[i + 1], (m->count - i) * sizeof *m->at);
            return;
        }
    }
}

enum sh_err members_put(struct members *m, const struct service_member *member)
{
    enum sh_err err = SH_OK;
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    size_t place = place_of(m, member->node.id);
    bool known = holds(m, place, member->node.id);
    if (!known && m->count == SH_NODES_MAX && !is_gone(member)) {
        forget_one(m);
        place = place_of(m, member->node.id);
    }
    if (!known && m->count == SH_NODES_MAX) {
        err = SH_ERR_LIMIT;
    } else {
        if (!known) {
            memmove(&m->at[place + 1], &m->at[place], (m->count - place) * sizeof *m->at);
            m->count++;
        }
        m->at[place] = *member;
        m->at[place].voter = is_voter(m, member->node.id);
        announce(m);
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return err;
}

void members_set_voters(struct members *m, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t count)
{
    SH_CHECK_CMP(count, <=, SH_VOTERS_MAX);
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    m->voter_count = count;
    if (count > 0) {
        memcpy(m->voters, ids, count * SH_NODE_ID_BYTES);
    }
    for (size_t i = 0; i < m->count; i++) {
        m->at[i].voter = is_voter(m, m->at[i].node.id);
    }
    announce(m);
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
}

void members_set_rtt(struct members *m, const uint8_t id[SH_NODE_ID_BYTES], uint32_t rtt_us,
                     uint32_t rtt_p99_us)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    size_t place = place_of(m, id);
    if (holds(m, place, id)) {
        m->at[place].rtt_us = rtt_us;
        m->at[place].rtt_p99_us = rtt_p99_us;
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
}

size_t members_list(struct members *m, struct service_member *out, size_t capacity)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    size_t count = m->count < capacity ? m->count : capacity;
    memcpy(out, m->at, count * sizeof *out);
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return count;
}

bool members_get(struct members *m, const uint8_t id[SH_NODE_ID_BYTES], struct service_member *out)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    size_t place = place_of(m, id);
    bool found = holds(m, place, id);
    if (found) {
        *out = m->at[place];
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return found;
}

size_t members_alive(struct members *m, uint8_t (*ids)[SH_NODE_ID_BYTES], size_t capacity)
{
    size_t count = 0;
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    for (size_t i = 0; i < m->count && count < capacity; i++) {
        const struct service_member *x = &m->at[i];
        bool live = x->liveness == SERVICE_ALIVE || x->liveness == SERVICE_SUSPECT;
        if (live && memcmp(x->node.id, m->me, SH_NODE_ID_BYTES) != 0) {
            memcpy(ids[count], x->node.id, SH_NODE_ID_BYTES);
            count++;
        }
    }
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return count;
}

uint64_t members_version(struct members *m)
{
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    uint64_t version = m->version;
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return version;
}

uint64_t members_wait(struct members *m, uint64_t seen, uint64_t timeout_us)
{
    struct timespec until;
    SH_CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000u * 1000u;
    until.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    SH_CHECK(pthread_mutex_lock(&m->lock) == 0);
    while (m->version <= seen) {
        if (pthread_cond_timedwait(&m->changed, &m->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    uint64_t version = m->version;
    SH_CHECK(pthread_mutex_unlock(&m->lock) == 0);
    return version;
}
