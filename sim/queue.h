/* SPDX-License-Identifier: Apache-2.0
 *
 * What is going to happen, ordered by time and then by the order in which it was decided: the only
 * source of order in a simulation. A 4-ary heap. */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum sim_event_kind {
    SIM_EV_TIMER,     /* who's earliest deadline */
    SIM_EV_MESSAGE,   /* body: struct sim_msg */
    SIM_EV_DISK,      /* the write under way is over */
    SIM_EV_LOG,       /* body: struct raft_log_read, answered now */
    SIM_EV_APPLY,     /* the apply thread goes on */
    SIM_EV_TOLD,      /* the apply thread told the loop: arg is the index */
    SIM_EV_CONF,      /* and this entry changes the configuration; body: struct sim_change */
    SIM_EV_PLAN,      /* the planner wakes */
    SIM_EV_BROKEN,    /* the connection to agent arg broke */
    SIM_EV_REQUEST,   /* a client's request arrives: arg, attempt */
    SIM_EV_ANSWER,    /* an answer arrives at a client: arg, attempt, err, job in body */
    SIM_EV_RETRY,     /* a client loses patience: arg, attempt */
    SIM_EV_READ,      /* a client's read arrives: arg */
    SIM_EV_SERVE,     /* reads whose index is applied are answered */
    SIM_EV_READ_TOLD, /* an answer arrives at a client: arg, what it says in attempt */
    SIM_EV_WORK,      /* a node of an ether (sim/ether.h) does what arg and attempt say */
};

struct sim_event {
    uint64_t at;
    uint64_t order;
    uint32_t who;  /* agent */
    uint32_t life; /* of it; void in another one. 0: any */
    enum sim_event_kind kind;
    uint32_t attempt;
    uint64_t arg;
    void *body; /* owned by the event */
};

struct sim_queue {
    struct sim_event *heap;
    uint32_t count;
    uint32_t capacity;
    uint64_t order;
};

void sim_queue_init(struct sim_queue *queue);
void sim_queue_fini(struct sim_queue *queue); /* frees the bodies too */
/* event->order is set here. O(log n). */
void sim_queue_push(struct sim_queue *queue, struct sim_event event);
bool sim_queue_peek(const struct sim_queue *queue, uint64_t *at);
bool sim_queue_pop(struct sim_queue *queue, struct sim_event *event);

#endif
