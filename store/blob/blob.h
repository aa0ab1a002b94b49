/* SPDX-License-Identifier: Apache-2.0
 *
 * Content-addressed blobs (checkpoints, models, data sets) in one column family of the bulk store.
 * A blob's name is the BLAKE2b-256 of its bytes. Contents lie in chunks of BLOB_CHUNK_BYTES; the
 * manifest keeps a BLAKE2b-128 of each chunk, and every byte that is read has been checked against
 * it, so rot is answered with CORRUPT and never handed out.
 *
 *   n                 next storage number
 *   m DIGEST          manifest: version, size, storage number, chunk digests, own digest
 *   s DIGEST          partial upload of an expected digest: storage number
 *   t STORAGE         upload whose digest is not known yet; removed at open (its writer is gone)
 *   c STORAGE I       chunk I (big-endian numbers)
 *   u DIGEST          lease of a blob or a partial upload: until then nobody collects it
 *
 * Whoever writes a blob, or writes it again and finds it there, gives it a lease: what names the
 * blob comes later, and until it is there only the lease speaks for the blob.
 *
 * Threads: struct blob may be shared; a writer or reader belongs to one thread at a time. */
#ifndef SH_STORE_BLOB_H
#define SH_STORE_BLOB_H

#include "base/limits.h"
#include "store/kv.h"

#define BLOB_CHUNK_BYTES       SH_BULK_CHUNK_BYTES
#define BLOB_CHUNK_DIGEST_SIZE 16u
#define BLOB_CHUNKS_MAX        65536u
#define BLOB_BYTES_MAX         ((uint64_t)BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES) /* 16 GiB: LIMIT */
#define BLOB_WRITERS_MAX       16u                                            /* at once: FULL */

struct blob;
struct blob_writer;
struct blob_reader;

struct blob_id {
    uint8_t digest[SH_DIGEST_BYTES];
};

/* Removes what writers of an earlier life left without a name. kv is borrowed until blob_close. */
SH_MUST_USE enum sh_err blob_open(struct kv *kv, uint32_t cf, struct blob **out);
void blob_close(struct blob *blob); /* writers and readers are closed before */

/* ---- leases ---- */

struct blob_leases {
    /* Random, of this run: leases of this run end by the steady clock. Of a lease of another run it
     * is only known when it ends by the wall clock, which may have been set since: from
     * blob_lease_begin it goes on for grace_us at least, and at most for as long as it was given.
     */
    uint64_t life;
    uint64_t grace_us;                                             /* every lease, at least */
    void (*clock)(void *ctx, uint64_t *now_us, uint64_t *wall_us); /* NULL: the machine's */
    void *ctx;
};
/* Once, before other threads use blob. Without it leases are over when they are given. */
void blob_lease_begin(struct blob *blob, const struct blob_leases *leases);
/* Nobody collects the blob for so long from now on; what it had already is not cut. Not synced.
 * NOT_FOUND. */
SH_MUST_USE enum sh_err blob_keep(struct blob *blob, const struct blob_id *id, uint64_t for_us);
struct blob_lease {   /* of a blob or a partial upload */
    uint64_t left_us; /* how long it goes on; 0: it is over */
    uint64_t life;    /* which one it is: each that is given differs from those before */
    uint64_t until_us;
};
SH_MUST_USE enum sh_err blob_lease_get(struct blob *blob, const struct blob_id *id,
                                       struct blob_lease *out);
/* Deletes the blob if its lease is over, and is the one that was seen before, else IN_USE: whoever
 * took up the blob since, however long ago, has given it another one. size, which may be NULL, gets
 * the bytes that it had. As blob_delete. */
SH_MUST_USE enum sh_err blob_collect(struct blob *blob, const struct blob_id *id,
                                     const struct blob_lease *seen, uint64_t *size);
/* Drops partial uploads whose lease is over and which nobody writes. */
SH_MUST_USE enum sh_err blob_collect_partial(struct blob *blob, uint32_t *count);
/* Gives the space of what was deleted back to the disk. Takes a while. */
SH_MUST_USE enum sh_err blob_compact(struct blob *blob);

/* ---- writing ---- */

/* expect NULL: the digest is found out by writing. Else an upload of that blob that continues where
 * an earlier one, of this or an earlier life, stopped: *received bytes (a multiple of the chunk
 * size) are there already and the caller goes on from that offset. Errors: EXISTS (the blob is
 * complete here), IN_USE (somebody else writes it now), FULL, CORRUPT (the bytes received before
 * are damaged and have been dropped: open again). */
SH_MUST_USE enum sh_err blob_write_open(struct blob *blob, const struct blob_id *expect,
                                        struct blob_writer **out, uint64_t *received);
/* Errors: LIMIT, and kv_write's; then only blob_write_close is left to do. */
SH_MUST_USE enum sh_err blob_write(struct blob_writer *writer, const void *bytes, size_t size);
/* Takes the writer in every case. OK: the blob is complete and durable; id may be NULL. An equal
 * blob that was there already is OK too. Where another digest was expected: CORRUPT, the bytes are
 * dropped. */
SH_MUST_USE enum sh_err blob_write_finish(struct blob_writer *writer, struct blob_id *id);
/* Takes the writer. Its whole chunks stay for a later blob_write_open where a digest is expected,
 * and are dropped otherwise. */
SH_MUST_USE enum sh_err blob_write_close(struct blob_writer *writer);
/* Bytes that a partial upload has here, 0 when there is none. */
SH_MUST_USE enum sh_err blob_received(struct blob *blob, const struct blob_id *id,
                                      uint64_t *received);
/* Drops a partial upload; IN_USE while it is written, NOT_FOUND. */
SH_MUST_USE enum sh_err blob_drop_partial(struct blob *blob, const struct blob_id *id);

/* Whole blob from memory: write_open, write, finish. */
SH_MUST_USE enum sh_err blob_put(struct blob *blob, const void *bytes, size_t size,
                                 struct blob_id *id);

/* ---- reading ---- */

/* NOT_FOUND; CORRUPT where the manifest itself is damaged. The reader goes on giving its bytes when
 * the blob is deleted meanwhile, or answers NOT_FOUND, never other bytes. */
SH_MUST_USE enum sh_err blob_read_open(struct blob *blob, const struct blob_id *id,
                                       struct blob_reader **out);
uint64_t blob_read_size(const struct blob_reader *reader);
/* Bytes [offset, offset + size) as far as the blob reaches; *got of them, 0 at its end. CORRUPT
 * gives no bytes. O(size) plus at most two chunks of hashing. */
SH_MUST_USE enum sh_err blob_read(struct blob_reader *reader, uint64_t offset, void *out,
                                  size_t size, size_t *got);
/* One line that names the blob and the chunk of the last failure. out has KV_TEXT_BYTES bytes. */
void blob_read_why(const struct blob_reader *reader, char *out);
void blob_read_close(struct blob_reader *reader);

/* Complete and listed here; does not read the contents. */
SH_MUST_USE enum sh_err blob_has(struct blob *blob, const struct blob_id *id, bool *has);
SH_MUST_USE enum sh_err blob_size(struct blob *blob, const struct blob_id *id, uint64_t *size);
/* Complete blobs in the order of their digests, after *after (NULL: from the first). */
SH_MUST_USE enum sh_err blob_list(struct blob *blob, const struct blob_id *after,
                                  struct blob_id *out, uint32_t capacity, uint32_t *count);
/* NOT_FOUND. Not synced: after a crash the blob may be back. A damaged one can be deleted too. */
SH_MUST_USE enum sh_err blob_delete(struct blob *blob, const struct blob_id *id);

/* ---- the manifest, for tests and tools: bytes from the disk never panic ---- */

struct blob_manifest {
    uint64_t size;
    uint64_t storage;
    uint32_t chunk_count;
    const uint8_t *chunks; /* chunk_count digests, borrowed */
};

size_t blob_manifest_bytes(uint32_t chunk_count);
/* out has blob_manifest_bytes(chunk_count) bytes. */
void blob_manifest_encode(const struct blob_id *id, const struct blob_manifest *manifest,
                          uint8_t *out);
SH_MUST_USE enum sh_err blob_manifest_decode(const struct blob_id *id, struct sh_span bytes,
                                             struct blob_manifest *manifest);

#endif
