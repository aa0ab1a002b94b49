/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the in-memory service: a cluster and its agents from inside. */
#ifndef MEMORY_INSIDE_H
#define MEMORY_INSIDE_H

#include "memory_service.h"

#include "store/blob/blob.h"
#include "store/fsm/fsm.h"
#include "store/series/series.h"

#include <pthread.h>

enum { CF_FSM, CF_BLOB, CF_SERIES, CF_COUNT };

/* A proposal that waits for memory_service_let_go. */
struct held {
    const void *command;
    size_t size;
    service_proposed_fn fn;
    void *ctx;
};

/* What all agents of one cluster see. */
struct cluster {
    pthread_mutex_t lock;
    pthread_cond_t applied_changed;
    struct kv *kv;
    struct fsm *fsm;
    struct blob *blob;
    struct series series;
    struct jobs *jobs;
    void *memory;
    struct sh_arena arena;
    uint64_t index;
    uint64_t line;
    struct jobs_metrics measures; /* of what is committed */
    bool quorum;
    bool holding;
    uint32_t held_count;
    struct held held[MEMORY_SERVICE_HELD_MAX];
    enum sh_err blob_error;
    uint8_t faulty[SH_DIGEST_BYTES]; /* whose fetches answer fetch_error */
    enum sh_err fetch_error;
    char why[512];
    struct service *agents[MEMORY_SERVICE_AGENTS_MAX];
    uint32_t agent_count;
};

/* One agent. */
struct service {
    struct cluster *c;
    uint8_t node_id[SH_NODE_ID_BYTES];
    char name[SH_NAME_MAX + 1];
    struct {
        service_call_fn fn;
        void *ctx;
    } calls[SERVICE_CALL_KIND_COUNT];
    memory_service_applied_fn applied; /* behind the lock */
    void *applied_ctx;
    memory_service_lost_fn lost;
    void *lost_ctx;
};

static inline void memory_must(enum sh_err err)
{
    SH_CHECK(err == SH_OK);
}

#endif
