/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment of etcd's interaction scripts: a few cores, their disks, one list of messages.
 * What etcd calls a Ready is put together here from the updates since the last one. */
#ifndef RAFT_INTERACTION_H
#define RAFT_INTERACTION_H

#include "raft/core.h"
#include "script.h"

#define IA_NODES 8u
#define IA_LOG   256u
#define IA_MSGS  512u
#define IA_WORK  32u

struct ia_entry {
    uint64_t term;
    enum raft_entry_type type;
    uint32_t size;
    uint8_t data[RAFT_CHANGE_BYTES_MAX];
};

enum ia_kind { IA_PEER, IA_SELF, IA_APPEND_RESP, IA_APPLY_RESP };

struct ia_msg {
    enum ia_kind kind;
    struct raft_msg m;          /* entries point to own */
    struct raft_entry *entries; /* heap, with their payloads behind */
    uint64_t token;             /* SELF, APPEND_RESP: what becomes durable */
};

struct ia_list {
    struct ia_msg at[IA_MSGS];
    uint32_t count;
};

struct ia_append { /* one MsgStorageAppend */
    struct raft_hard hard;
    bool hard_set;
    bool snapshot_set;
    struct raft_snapshot snapshot;
    struct ia_list *responses;
    struct ia_msg shown; /* its entries */
};

struct ia_apply {
    struct ia_msg shown;
};

struct ia_log {
    uint64_t first;
    uint64_t last;
    uint64_t prev_term; /* of first - 1 */
    struct ia_entry entries[IA_LOG];
};

struct ia_node {
    struct raft *core;
    void *memory;
    bool async;
    uint64_t now;
    uint64_t max_committed; /* bytes per Ready; 0: no limit */
    struct ia_log live;
    struct ia_log disk;
    /* For the next Ready. */
    struct ia_list now_msgs;
    struct ia_list after_msgs; /* those to self included */
    uint64_t unstable;         /* first entry not yet handed out */
    uint64_t acked;            /* newest entry that an append thread told of */
    bool snapshot_set;
    struct raft_snapshot snapshot;
    uint64_t token;    /* newest issued */
    uint64_t applying; /* newest entry handed out for applying */
    uint64_t apply_to;
    struct raft_hard told_hard;
    enum raft_role told_role;
    uint64_t told_leader;
    struct ia_append append_work[IA_WORK];
    uint32_t append_count;
    struct ia_apply apply_work[IA_WORK];
    uint32_t apply_count;
    struct dd_text deferred; /* lines of the own pre-vote: etcd counts it later */
    bool own_ballot;
    enum sh_err refused;
};

struct ia_env {
    struct ia_node *nodes[IA_NODES + 1];
    uint32_t count;
    struct ia_list messages;
    struct dd_text *out;
    unsigned level; /* 0 debug, 1 info, 2 warn, 3 error, 5 none */
    unsigned indent;
    struct {
        uint64_t term;
        uint64_t index;
    } v1[16]; /* changes of the old kind */
    uint32_t v1_count;
    bool next_is_v1;
};

struct ia_env *ia_new(void);
void ia_free(struct ia_env *env);
void ia_script(void *ctx, const struct dd_case *c, struct dd_text *out);

/* interaction_env.c */
void ia_step(struct ia_env *env, struct ia_node *n, struct raft_event event);
void ia_add(struct ia_env *env, const struct dd_case *c);
bool ia_has_ready(const struct ia_node *n);
void ia_process_ready(struct ia_env *env, struct ia_node *n);
void ia_process_append(struct ia_env *env, struct ia_node *n);
void ia_process_apply(struct ia_env *env, struct ia_node *n);
/* Messages to id, of this type (0: any); dropped ones do not arrive. Returns how many. */
uint32_t ia_deliver(struct ia_env *env, uint64_t id, unsigned type, bool drop);
bool ia_waiting(const struct ia_env *env, uint64_t id);
struct ia_msg ia_copy(const struct raft_msg *m);
void ia_push(struct ia_list *list, struct ia_msg msg);

/* interaction_print.c */
void ia_print(struct ia_env *env, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ia_log_line(struct ia_env *env, unsigned level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ia_describe(struct ia_env *env, const struct ia_msg *msg, const char *prefix);
void ia_describe_append(struct ia_env *env, const struct ia_node *n, const struct ia_append *work,
                        bool with_responses);
void ia_describe_apply(struct ia_env *env, const struct ia_node *n, const struct ia_apply *work,
                       bool with_responses);
void ia_put_entry(struct ia_env *env, struct dd_text *text, uint64_t term, uint64_t index,
                  enum raft_entry_type type, const uint8_t *data, uint32_t size);
void ia_put_snapshot(struct dd_text *text, const struct raft_snapshot *s);
void ia_trace(void *ctx, const struct raft_trace *t);
const char *ia_role(enum raft_role role);

#endif
