/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of the blob column family and what its writers and readers share. Private to store/blob. */
#ifndef SH_STORE_BLOB_ROWS_H
#define SH_STORE_BLOB_ROWS_H

#include "store/blob/blob.h"

#include <pthread.h>

#define BLOB_ROW_NEXT     'n'
#define BLOB_ROW_MANIFEST 'm'
#define BLOB_ROW_PARTIAL  's'
#define BLOB_ROW_UNNAMED  't'
#define BLOB_ROW_CHUNK    'c'
#define BLOB_ROW_LEASE    'u'

struct blob_claim { /* one open writer */
    bool used;
    bool named;
    struct blob_id id;
};

struct blob {
    struct kv *kv;
    uint32_t cf;
    pthread_mutex_t lock; /* claims; never held across a disk access */
    struct blob_claim claims[BLOB_WRITERS_MAX];
    /* Names appear and vanish one at a time, so that two writers of equal bytes keep one copy. Held
     * across the synced write of a finish; readers do not take it. */
    pthread_mutex_t names;
    uint64_t next; /* storage number; under names */
    struct blob_leases leases;
    uint64_t begun_us; /* of leases */
};

struct blob_key {
    uint8_t bytes[1 + SH_DIGEST_BYTES];
    size_t size;
};

struct blob_key blob_key_named(char row, const struct blob_id *id);
struct blob_key blob_key_numbered(char row, uint64_t storage);
struct blob_key blob_key_chunk(uint64_t storage, uint32_t i);
struct sh_span blob_key_span(const struct blob_key *key);
/* Adds the removal of all chunks of a storage number. */
void blob_drop_chunks(struct kv_batch *batch, uint32_t cf, uint64_t storage);
/* A row that is one u64; NOT_FOUND, CORRUPT. */
SH_MUST_USE enum sh_err blob_get_number(struct blob *blob, const struct blob_key *key,
                                        uint64_t *number);
void blob_put_number(struct kv_batch *batch, uint32_t cf, const struct blob_key *key,
                     uint64_t number);
/* The manifest of id, decoded into *manifest, which borrows *value. */
SH_MUST_USE enum sh_err blob_get_manifest(struct blob *blob, const struct blob_id *id,
                                          struct kv_value *value, struct blob_manifest *manifest);

/* Adds the lease that a writer gives, for for_us or the grace, to a batch. Caller holds names. */
SH_MUST_USE enum sh_err blob_lease_give(struct blob *blob, struct kv_batch *batch,
                                        const struct blob_id *id, uint64_t for_us);

/* blob_delete by whoever holds names. */
SH_MUST_USE enum sh_err blob_delete_named(struct blob *blob, const struct blob_id *id,
                                          uint64_t *size);

/* True when an open writer expects id. Caller holds lock. */
bool blob_is_claimed(const struct blob *blob, const struct blob_id *id);
void blob_lock(pthread_mutex_t *lock);
void blob_unlock(pthread_mutex_t *lock);

#endif
