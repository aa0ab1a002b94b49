/* SPDX-License-Identifier: Apache-2.0
 *
 * kv in memory, with the failures of a disk: the store of the simulator and of tests. A value of
 * its calls' order alone: no clock, no addresses, no randomness, so equal calls give equal
 * contents. An empty instance costs about 200 bytes; a snapshot is O(1), a write O(log n). */
#ifndef SH_STORE_KV_MEM_H
#define SH_STORE_KV_MEM_H

#include "store/kv.h"

#define KV_MEM_UNSYNCED_MAX                                                                        \
    1024u /* batches; past it the oldest counts as durable, as if flushed                          \
           */

/* cf_count 1..KV_CFS_MAX; the kinds are ignored. */
SH_MUST_USE enum sh_err kv_mem_open(const struct kv_cf *cfs, uint32_t cf_count, struct kv **out);

/* A crash and the opening after it: what was not synced is lost but for its first keep batches (0:
 * all lost, as in a power cut; UINT32_MAX: none, as after kill -9). Ends the refusal of writes and
 * a fault that has not fired. Snapshots and iterators must be closed before. */
void kv_mem_crash(struct kv *kv, uint32_t keep);
/* Batches that a crash could lose now. */
uint32_t kv_mem_unsynced(const struct kv *kv);

/* The n-th write or flush from now (1: the next) fails with err and changes nothing, but with torn
 * set its batch is kept as an unsynced one (it did reach the disk although fsync failed). n 0
 * disarms. */
void kv_mem_fail(struct kv *kv, uint32_t n, enum sh_err err, bool torn);
/* False once an armed fault has fired (or none was armed). */
bool kv_mem_armed(const struct kv *kv);

/* One bit of the durable value of one pair of that family turns, for whoever reads it from now on;
 * where (any number) says which pair and which bit. A write of the key heals it. False: the family
 * is empty. O(pairs). */
bool kv_mem_rot(struct kv *kv, uint32_t cf, uint64_t where);

#endif
