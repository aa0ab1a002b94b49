/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/records*.c: rows on their way to the store and to other agents, and how all
 * agents are asked. */
#ifndef AGENT_RECORDS_PARTS_H
#define AGENT_RECORDS_PARTS_H

#include "records.h"

#include "parts.h"
#include "queue.h"

#include <pthread.h>
#include <stdatomic.h>

enum records_op { RECORDS_PUT = 1, RECORDS_GET = 2, RECORDS_NEWEST = 3, RECORDS_NAMES = 4 };

enum {
    RECORDS_LINE_HEAD_BYTES = 8 + 4 + 2 + 1, /* before the text of a line in the store */
    RECORDS_ROW_BYTES = 64 + SH_NAME_MAX + RECORDS_LINE_HEAD_BYTES + SERVICE_LINE_BYTES,
    RECORDS_QUESTION_BYTES = 32 + SERVICE_NEWEST_MAX * (SH_NAME_MAX + 4)
};

struct records_row { /* a point, or a line when name is empty */
    uint64_t job;    /* 0: none of both; whoever waits for what stands before it has this step */
    uint64_t step;   /* of a point; sequence of a line */
    uint64_t wall_us;
    double value;
    char name[SH_NAME_MAX + 1];
    uint16_t size; /* of the line: its head and its text, as they lie in the store */
    uint8_t line[RECORDS_LINE_HEAD_BYTES + SERVICE_LINE_BYTES];
};

struct records {
    struct service *s;
    struct queue *queue; /* of struct records_row */
    pthread_t thread;
    bool running;
    atomic_bool warned;   /* that the store refuses writes: one line is enough */
    pthread_mutex_t lock; /* sequence, asked, settled, ended */
    uint64_t sequence;
    pthread_cond_t changed; /* settled, ended */
    uint64_t asked;         /* to be told when all before is with others */
    uint64_t settled;       /* what was asked up to here is */
    bool ended;
};

/* job, step, wall, value, name, line: RECORDS_ROW_BYTES at most. */
void records_row_put(struct sh_writer *w, const struct records_row *row);
void records_row_get(struct sh_reader *r, struct records_row *row);

/* Into a batch; takes the batch: what it holds is written here; for the other agents, after it is
 * kept here. */
void records_row_store(struct records *r, struct kv_batch *batch, const struct records_row *row);
void records_keep(struct records *r, struct kv_batch *batch);
void records_offer(struct records *r, const struct records_row *row);

/* What one agent has is merged into out by take. */
struct records_question {
    enum service_call_kind kind;
    uint8_t bytes[RECORDS_QUESTION_BYTES];
    size_t size;
    void (*take)(struct records_question *q, struct sh_reader *reply);
    uint64_t from; /* what lies before is not taken */
    bool newest;   /* of more than fits the last ones are taken */
    void *out;
    size_t capacity;
    size_t count;
};

/* Everybody live, this agent first; whoever does not answer takes no more than an equal part of the
 * time left. OK when anybody answered, else what this agent's own store said. */
SH_MUST_USE enum sh_err records_ask_all(struct records *r, struct records_question *q,
                                        uint64_t deadline);

/* Answers SERVICE_CALL_LOGS. */
enum sh_err records_answer_logs(void *ctx, struct sh_span bytes, uint8_t *reply, size_t capacity,
                                size_t *reply_size);

#endif
