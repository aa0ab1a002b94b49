/* SPDX-License-Identifier: Apache-2.0
 *
 * What jobs tell over time: metric points, log lines, events; one column family of the bulk store.
 *
 *   m JOB NAME-LENGTH NAME STEP      value (f64), wall clock (us)
 *   l JOB SEQ                        wall clock (us), text
 *   e JOB SEQ                        wall clock (us), bytes
 *
 * All numbers in keys are big-endian. Putting a key again replaces it: a step that is redone after
 * a failure overwrites what its first try said. Puts go into the caller's batch, which kv_write
 * makes take effect. Reads may be called from any thread. */
#ifndef SH_STORE_SERIES_H
#define SH_STORE_SERIES_H

#include "base/limits.h"
#include "store/kv.h"

#define SERIES_TEXT_MAX 65536u /* bytes of a log line or an event; CHECKed at put */

struct series { /* where the rows are; copied freely */
    struct kv *kv;
    uint32_t cf;
};

struct series_point {
    uint64_t step;
    double value;
    uint64_t wall_us;
};

struct series_row { /* a log line or an event */
    uint64_t seq;
    uint64_t wall_us;
    struct sh_span text;
};

struct series_name {
    char text[SH_NAME_MAX + 1];
};

/* name has 1..SH_NAME_MAX bytes, CHECKed. */
void series_put_point(const struct series *series, struct kv_batch *batch, uint64_t job,
                      const char *name, const struct series_point *point);
void series_put_line(const struct series *series, struct kv_batch *batch, uint64_t job,
                     const struct series_row *row);
void series_put_event(const struct series *series, struct kv_batch *batch, uint64_t job,
                      const struct series_row *row);
/* Jobs that have anything here, ascending, from this one on. O(capacity log n). */
SH_MUST_USE enum sh_err series_jobs(const struct series *series, uint64_t from, uint64_t *out,
                                    uint32_t capacity, uint32_t *count);
/* Everything of one job. */
void series_drop_job(const struct series *series, struct kv_batch *batch, uint64_t job);

/* Points with step >= from, ascending: *count <= capacity. Errors: CORRUPT, kv's. */
SH_MUST_USE enum sh_err series_points(const struct series *series, uint64_t job, const char *name,
                                      uint64_t from, struct series_point *out, uint32_t capacity,
                                      uint32_t *count);
/* The point with the largest step; NOT_FOUND, CORRUPT, kv's. O(log n). */
SH_MUST_USE enum sh_err series_newest(const struct series *series, uint64_t job, const char *name,
                                      struct series_point *out);
/* Names of metrics that a job has, in the order of their length and then bytes. */
SH_MUST_USE enum sh_err series_names(const struct series *series, uint64_t job,
                                     struct series_name *out, uint32_t capacity, uint32_t *count);
/* Rows with seq >= from, ascending, until capacity or the text buffer is full; text of rows points
 * into buffer. LIMIT when the first text does not fit (SERIES_TEXT_MAX always suffices). */
SH_MUST_USE enum sh_err series_lines(const struct series *series, uint64_t job, uint64_t from,
                                     struct series_row *out, uint32_t capacity, void *buffer,
                                     size_t size, uint32_t *count);
/* The newest rows with from <= seq < before, ascending. LIMIT likewise. */
SH_MUST_USE enum sh_err series_lines_newest(const struct series *series, uint64_t job,
                                            uint64_t from, uint64_t before, struct series_row *out,
                                            uint32_t capacity, void *buffer, size_t size,
                                            uint32_t *count);
SH_MUST_USE enum sh_err series_events(const struct series *series, uint64_t job, uint64_t from,
                                      struct series_row *out, uint32_t capacity, void *buffer,
                                      size_t size, uint32_t *count);

#endif
