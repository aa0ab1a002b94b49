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
