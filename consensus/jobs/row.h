/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the jobs core: how its rows are keyed and encoded. A key is one letter and then
 * numbers in big-endian order, ids, or a name; names hold no NUL, so a NUL ends a name that more
 * follows. Every value begins with the version of its encoding.
 *
 *   M                          counts, cluster time, applied index, digest (not part of the digest)
 *   n NODE                     agent             h HANDLE      -> NODE         m NAME  -> NODE
 *   j JOB                      job               s JOB         canonical spec
 *   i KEY                      -> JOB, digest    u JOB UNIT    unit
 *   a JOB UNIT    while it waits, since when     g JOB UNIT    while it has a gang
 *   c JOB UNIT INDEX           checkpoint        e JOB SEQ     history event
 *   o NAME 0 VERSION           model             l NAME        newest version of a model name
 *   d NAME                     data set          p NAME 0 NODE one agent's copy of it
 *   w INDEX                    change of a job that this entry made
 *   b STATE JOB                job that ended    k NAME        -> newest JOB of that name
 *   x SESSION                  session           y NODE        -> SESSION
 *   z SESSION SLOT             newest reply
 *   f JOB UNIT    failures of a unit that is open and failed before
 *   q NODE        health of an agent where something failed
 *   v KEY         setting of the cluster          t OWNER       what an owner used
 *
 * The keys of u and e stand behind that of s: "s JOB u UNIT", "s JOB e SEQ".
 * JOB, HANDLE, INDEX and SESSION are u64, UNIT, SEQ, SLOT and VERSION u32, NODE 16 bytes.
 *
 * A job that was only submitted has rows j, s, k, i and an a for each unit: what every submission
 * would say alike is left out. A unit that never was placed has no u, its a says all; the first
 * event and the change that a job begins with are read from its j (jobs_row_first_event,
 * jobs_row_first_change). */
#ifndef SH_JOBS_ROW_H
#define SH_JOBS_ROW_H

#include "jobs/jobs.h"
#include "jobs/view.h"

#define JOBS_ROW_SPEC_BYTES 9u /* of the key of s */
#define JOBS_ROW_BYTES_MAX  (SH_SPEC_BYTES_MAX + 64u)
#define JOBS_ROW_KEY_MAX    (1u + JOBS_KEY_MAX + 1u)

struct jobs_row_key {
    uint8_t at[JOBS_ROW_KEY_MAX];
    size_t size;
};

struct jobs_row_idem {
    uint64_t job;
    uint8_t spec_digest[SH_DIGEST_BYTES];
};

struct jobs_row_waiting {
    bool placed; /* before: the unit has a row of its own */
    uint64_t since_us;
};

struct jobs_reply { /* what the newest command of a slot came to */
    uint64_t number;
    enum jobs_code code;
    bool duplicate;
    struct wire_unit unit;
    struct wire_fence fence;
    uint64_t handle;
    uint32_t model_version;
};

struct sh_span jobs_row_span(const struct jobs_row_key *key);
/* A key that sorts right behind this one and before any other that has not this one as its prefix.
 */
struct jobs_row_key jobs_row_past(struct sh_span key);
/* The first key that has not this one as its prefix. */
struct jobs_row_key jobs_row_beyond(const struct jobs_row_key *prefix);

struct jobs_row_key jobs_row_letter(char letter); /* all rows of a kind have it as their prefix */
struct jobs_row_key jobs_row_id(char letter, const uint8_t id[static SH_NODE_ID_BYTES]);
struct jobs_row_key jobs_row_u64(char letter, uint64_t number);
struct jobs_row_key jobs_row_unit(char letter, struct wire_unit unit);
struct jobs_row_key jobs_row_state(enum jobs_state state); /* of jobs that ended so */
struct jobs_row_key jobs_row_then_u64(struct jobs_row_key prefix, uint64_t number);
struct jobs_row_key jobs_row_name(char letter, const char *name);
struct jobs_row_key jobs_row_checkpoint(struct wire_unit unit, uint64_t index);
struct jobs_row_key jobs_row_event(uint64_t job, uint32_t seq);
struct jobs_row_key jobs_row_model(const char *name, uint32_t version);
struct jobs_row_key jobs_row_holder(const char *name, const uint8_t *node); /* NULL: the prefix */

/* Encoders write into a buffer of JOBS_ROW_BYTES_MAX and give the value. */
struct sh_span jobs_row_put_meta(uint8_t *buffer, const struct jobs_counts *row);
struct sh_span jobs_row_put_node(uint8_t *buffer, const struct jobs_node *row);
struct sh_span jobs_row_put_job(uint8_t *buffer, const struct jobs_job *row);
struct sh_span jobs_row_put_unit(uint8_t *buffer, const struct jobs_unit *row);
struct sh_span jobs_row_put_checkpoint(uint8_t *buffer, const struct jobs_checkpoint *row);
struct sh_span jobs_row_put_event(uint8_t *buffer, const struct jobs_event *row);
struct sh_span jobs_row_put_change(uint8_t *buffer, const struct jobs_change *row);
struct sh_span jobs_row_put_model(uint8_t *buffer, const struct jobs_model *row);
struct sh_span jobs_row_put_dataset(uint8_t *buffer, const struct jobs_dataset *row);
struct sh_span jobs_row_put_holder(uint8_t *buffer, const struct jobs_dataset_holder *row);
struct sh_span jobs_row_put_idem(uint8_t *buffer, const struct jobs_row_idem *row);
struct sh_span jobs_row_put_waiting(uint8_t *buffer, const struct jobs_row_waiting *row);
struct sh_span jobs_row_put_session(uint8_t *buffer, const struct jobs_session *row);
struct sh_span jobs_row_put_reply(uint8_t *buffer, const struct jobs_reply *row);
struct sh_span jobs_row_put_trouble(uint8_t *buffer, const struct jobs_trouble *row);
struct sh_span jobs_row_put_health(uint8_t *buffer, const struct jobs_health *row);
struct sh_span jobs_row_put_owner(uint8_t *buffer, const struct jobs_owner *row);
struct sh_span jobs_row_put_index(uint8_t *buffer, uint64_t index);
struct sh_span jobs_row_put_node_id(uint8_t *buffer, const uint8_t *id);
struct sh_span jobs_row_put_number(uint8_t *buffer, uint32_t number);
struct sh_span jobs_row_put_spec(uint8_t *buffer, struct sh_span spec);

/* Decoders: CORRUPT when the value is no such row. */
SH_MUST_USE enum sh_err jobs_row_get_meta(struct sh_span value, struct jobs_counts *row);
SH_MUST_USE enum sh_err jobs_row_get_node(struct sh_span value, struct jobs_node *row);
SH_MUST_USE enum sh_err jobs_row_get_job(struct sh_span value, struct jobs_job *row);
SH_MUST_USE enum sh_err jobs_row_get_unit(struct sh_span value, struct jobs_unit *row);
SH_MUST_USE enum sh_err jobs_row_get_checkpoint(struct sh_span value, struct jobs_checkpoint *row);
SH_MUST_USE enum sh_err jobs_row_get_event(struct sh_span value, struct jobs_event *row);
SH_MUST_USE enum sh_err jobs_row_get_change(struct sh_span value, struct jobs_change *row);
SH_MUST_USE enum sh_err jobs_row_get_model(struct sh_span value, struct jobs_model *row);
SH_MUST_USE enum sh_err jobs_row_get_dataset(struct sh_span value, struct jobs_dataset *row);
SH_MUST_USE enum sh_err jobs_row_get_holder(struct sh_span value, struct jobs_dataset_holder *row);
SH_MUST_USE enum sh_err jobs_row_get_idem(struct sh_span value, struct jobs_row_idem *row);
SH_MUST_USE enum sh_err jobs_row_get_waiting(struct sh_span value, struct jobs_row_waiting *row);
SH_MUST_USE enum sh_err jobs_row_get_session(struct sh_span value, struct jobs_session *row);
SH_MUST_USE enum sh_err jobs_row_get_reply(struct sh_span value, struct jobs_reply *row);
SH_MUST_USE enum sh_err jobs_row_get_trouble(struct sh_span value, struct jobs_trouble *row);
SH_MUST_USE enum sh_err jobs_row_get_health(struct sh_span value, struct jobs_health *row);
SH_MUST_USE enum sh_err jobs_row_get_owner(struct sh_span value, struct jobs_owner *row);
SH_MUST_USE enum sh_err jobs_row_get_index(struct sh_span value, uint64_t *index);
SH_MUST_USE enum sh_err jobs_row_get_node_id(struct sh_span value, uint8_t *id);
SH_MUST_USE enum sh_err jobs_row_get_number(struct sh_span value, uint32_t *number);
SH_MUST_USE enum sh_err jobs_row_get_spec(struct sh_span value, struct sh_span *spec);

/* What has no row of its own. */
void jobs_row_first_unit(const struct jobs_row_waiting *row, struct wire_unit id,
                         struct jobs_unit *out);
void jobs_row_first_event(const struct jobs_job *job, struct jobs_event *out);
void jobs_row_first_change(const struct jobs_job *job, struct jobs_change *out);

/* Parts that commands have too (cmd.c). */
void jobs_holders_put(struct sh_writer *w, const uint8_t holders[][SH_NODE_ID_BYTES],
                      uint32_t count);
uint32_t jobs_holders_get(struct sh_reader *r, uint8_t holders[][SH_NODE_ID_BYTES]);
void jobs_stages_put(struct sh_writer *w, const struct jobs_stage *stages, uint32_t count);
/* out holds JOBS_STAGES_MAX; gives the count. */
uint32_t jobs_stages_get(struct sh_reader *r, struct jobs_stage *out);
bool jobs_stages_ok(const struct jobs_stage *stages, uint32_t count, uint32_t units);
void jobs_outcome_put(struct sh_writer *w, const struct jobs_outcome *o);
void jobs_outcome_get(struct sh_reader *r, struct jobs_outcome *o);

#endif
