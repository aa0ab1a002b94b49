/* SPDX-License-Identifier: Apache-2.0
 *
 * Metric points and log lines of jobs: written to the bulk store here at once and, every
 * RECORDS_FLUSH_US, to two other agents that rendezvous hashing picks for the job, so that they
 * outlive their writer. A reader merges what all live agents have; a step that was redone counts
 * once, with the newest point. What is not copied when the agent stops stays on its own disk. */
#ifndef AGENT_RECORDS_H
#define AGENT_RECORDS_H

#include "service.h"

#define RECORDS_FLUSH_US   UINT64_C(500000)
#define RECORDS_COPIES     2u    /* other agents */
#define RECORDS_QUEUED_MAX 8192u /* rows not copied yet; more stay on this agent only */
#define RECORDS_ASK_US     UINT64_C(2000000)
#define RECORDS_PAGE_MAX   4096u /* points in one answer */
#define RECORDS_LINES_MAX  256u  /* lines in one answer */
#define RECORDS_NAMES_MAX  256u  /* series of one job that are told */

struct records;

SH_MUST_USE enum sh_err records_open(struct records **out, struct service *s);
void records_stop(struct records *r); /* after calls_stop */
void records_close(struct records *r);

/* One write, however many points and series. */
void records_points(struct records *r, uint64_t job, const struct service_measure *measures,
                    size_t count);
void records_lines(struct records *r, uint64_t job, const struct service_log_line *lines,
                   size_t count);
/* As service_records_settle. */
SH_MUST_USE enum sh_err records_settle(struct records *r, uint64_t timeout_us);
SH_MUST_USE enum sh_err records_read_points(struct records *r, uint64_t job, const char *name,
                                            uint64_t from, struct service_point *out,
                                            size_t capacity, size_t *count, uint64_t timeout_us);
/* As service_series_newest. An agent that does not answer keeps the others waiting for its share of
 * the time only. */
SH_MUST_USE enum sh_err records_newest(struct records *r, uint64_t job, const char *const *names,
                                       size_t count, struct service_newest *out,
                                       uint64_t timeout_us);
SH_MUST_USE enum sh_err records_read_lines(struct records *r, uint64_t job,
                                           const struct service_log_want *want,
                                           struct service_log_line *out, size_t capacity,
                                           size_t *count, uint64_t timeout_us);
SH_MUST_USE enum sh_err records_names(struct records *r, uint64_t job,
                                      struct service_series_name *out, size_t capacity,
                                      size_t *count, uint64_t timeout_us);

#endif
