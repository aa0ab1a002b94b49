/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/view.h"
#include "jobs/row.h"

static bool row_get(const struct sh_table *t, struct jobs_row_key key, struct sh_span *value)
{
    return t->get(t->ctx, jobs_row_span(&key), value);
}

enum sh_err jobs_counts_get(const struct sh_table *t, struct jobs_counts *out)
{
    struct sh_span value;
    *out = (struct jobs_counts){0};
    return row_get(t, jobs_row_letter('M'), &value) ? jobs_row_get_meta(value, out) : SH_OK;
}

uint64_t jobs_digest(const struct sh_table *table)
{
    struct jobs_counts counts;
    enum sh_err err = jobs_counts_get(table, &counts);
    return err == SH_OK ? counts.digest : 0;
}

uint64_t jobs_applied(const struct sh_table *table)
{
    struct jobs_counts counts;
    enum sh_err err = jobs_counts_get(table, &counts);
    return err == SH_OK ? counts.applied : 0;
}

enum sh_err jobs_node_get(const struct sh_table *t, const uint8_t id[static SH_NODE_ID_BYTES],
                          struct jobs_node *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_id('n', id), &value);
    return found ? jobs_row_get_node(value, out) : SH_ERR_NOT_FOUND;
}

static enum sh_err node_through(const struct sh_table *t, struct jobs_row_key key,
                                struct jobs_node *out)
{
    struct sh_span value;
    uint8_t id[SH_NODE_ID_BYTES];
    if (!row_get(t, key, &value)) {
        return SH_ERR_NOT_FOUND;
    }
    enum sh_err err = jobs_row_get_node_id(value, id);
    return err == SH_OK ? jobs_node_get(t, id, out) : err;
}

enum sh_err jobs_node_by_name(const struct sh_table *t, const char *name, struct jobs_node *out)
{
    return wire_name_ok(name) ? node_through(t, jobs_row_name('m', name), out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_node_by_handle(const struct sh_table *t, uint64_t handle, struct jobs_node *out)
{
    return node_through(t, jobs_row_u64('h', handle), out);
}

/* The first row at or behind *low within the prefix; moves *low past it. */
static bool walk(const struct sh_table *t, const struct jobs_row_key *prefix,
                 struct jobs_row_key *low, struct sh_span *key, struct sh_span *value)
{
    struct jobs_row_key high = jobs_row_beyond(prefix);
    if (!t->seek(t->ctx, jobs_row_span(low), jobs_row_span(&high), false, key, value)) {
        return false;
    }
    *low = jobs_row_past(*key);
    return true;
}

enum sh_err jobs_node_list(const struct sh_table *t, const uint8_t *after, struct jobs_node *out,
                           uint32_t max, uint32_t *count)
{
    struct jobs_row_key prefix = jobs_row_letter('n');
    struct jobs_row_key low = prefix;
    struct sh_span key;
    struct sh_span value;
    if (after != NULL) {
        struct jobs_row_key last = jobs_row_id('n', after);
        low = jobs_row_past(jobs_row_span(&last));
    }
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        err = jobs_row_get_node(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_job_get(const struct sh_table *t, uint64_t job, struct jobs_job *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_u64('j', job), &value);
    return found ? jobs_row_get_job(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_job_by_key(const struct sh_table *t, const char *key, struct jobs_job *out)
{
    struct sh_span value;
    struct jobs_row_idem idem;
    if (strnlen(key, JOBS_KEY_MAX + 1) > JOBS_KEY_MAX ||
        !row_get(t, jobs_row_name('i', key), &value)) {
        return SH_ERR_NOT_FOUND;
    }
    enum sh_err err = jobs_row_get_idem(value, &idem);
    return err == SH_OK ? jobs_job_get(t, idem.job, out) : err;
}

enum sh_err jobs_job_by_name(const struct sh_table *t, const char *name, struct jobs_job *out)
{
    struct sh_span value;
    struct sh_span key;
    if (!wire_name_ok(name)) {
        return SH_ERR_NOT_FOUND;
    }
    struct jobs_row_key prefix = jobs_row_named(name);
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    if (!t->seek(t->ctx, jobs_row_span(&prefix), jobs_row_span(&high), true, &key, &value)) {
        return SH_ERR_NOT_FOUND;
    }
    return jobs_job_get(t, sh_key_u64_get(key.at + prefix.size), out);
}

/* Rows that end in, or begin behind their prefix with, the id of a job; the newest job below before
 * (0: of all); 0 when there is none. */
static uint64_t newest_below(const struct sh_table *t, struct jobs_row_key prefix, uint64_t before)
{
    struct jobs_row_key high = jobs_row_beyond(&prefix);
    struct sh_span key;
    struct sh_span value;
    if (before != 0) {
        high = jobs_row_then_u64(prefix, before);
    }
    bool found = t->seek(t->ctx, jobs_row_span(&prefix), jobs_row_span(&high), true, &key, &value);
    return found ? sh_key_u64_get(key.at + prefix.size) : 0;
}

/* The newest job below before that may be of one of the states: jobs that ended are listed by their
 * state, the others are those with units in a list of open ones. */
static uint64_t next_candidate(const struct sh_table *t, uint32_t states, uint64_t before)
{
    if (states == 0) {
        return newest_below(t, jobs_row_letter('j'), before);
    }
    uint64_t newest = 0;
    bool open = false;
    for (uint32_t state = 0; state < JOBS_STATE_COUNT; state++) {
        bool wanted = (states & SH_FSM_BIT(state)) != 0;
        bool final = jobs_state_final((enum jobs_state)state);
        open = open || (wanted && !final);
        uint64_t job =
            wanted && final ? newest_below(t, jobs_row_state((enum jobs_state)state), before) : 0;
        newest = job > newest ? job : newest;
    }
    static const char lists[] = {'a', 'g'};
    for (size_t i = 0; i < sizeof lists && open; i++) {
        uint64_t job = newest_below(t, jobs_row_letter(lists[i]), before);
        newest = job > newest ? job : newest;
    }
    return newest;
}

enum sh_err jobs_job_list(const struct sh_table *t, uint64_t *before, uint32_t states,
                          struct jobs_job *out, uint32_t max, uint32_t *count)
{
    enum sh_err err = SH_OK;
    bool more = true;
    *count = 0;
    for (uint32_t i = 0; i < JOBS_SCAN_MAX && *count < max && err == SH_OK; i++) {
        uint64_t id = next_candidate(t, states, *before);
        more = id != 0;
        if (!more) {
            break;
        }
        struct jobs_job *job = &out[*count];
        *before = id;
        err = jobs_job_get(t, id, job);
        err = err == SH_ERR_NOT_FOUND ? SH_ERR_CORRUPT : err;
        *count += err == SH_OK && (states == 0 || (states & SH_FSM_BIT(job->state)) != 0);
    }
    *before = more && err == SH_OK ? *before : 0;
    return err;
}

enum sh_err jobs_session_get(const struct sh_table *t, uint64_t session, struct jobs_session *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_u64('x', session), &value);
    return found ? jobs_row_get_session(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_spec_get(const struct sh_table *t, uint64_t job, struct sh_span *out)
{
    struct sh_span value;
    bool found = row_get(t, jobs_row_u64('s', job), &value);
    return found ? jobs_row_get_spec(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_unit_get(const struct sh_table *t, struct wire_unit id, struct jobs_unit *out)
{
    struct sh_span value;
    struct jobs_row_waiting waiting;
    if (row_get(t, jobs_row_unit('u', id), &value)) {
        return jobs_row_get_unit(value, out);
    }
    if (!row_get(t, jobs_row_unit('a', id), &value)) {
        return SH_ERR_NOT_FOUND;
    }
    enum sh_err err = jobs_row_get_waiting(value, &waiting);
    jobs_row_first_unit(&waiting, id, out);
    return waiting.placed ? SH_ERR_CORRUPT : err;
}

enum sh_err jobs_placement_get(const struct sh_table *t, struct wire_unit id,
                               struct wire_placement *out)
{
    struct jobs_unit unit;
    enum sh_err err = jobs_unit_get(t, id, &unit);
    if (err == SH_OK && unit.state != JOBS_RUNNING && unit.state != JOBS_STOPPING) {
        err = SH_ERR_NOT_FOUND;
    }
    if (err == SH_OK) {
        *out = unit.placement;
    }
    return err;
}

enum sh_err jobs_unit_list(const struct sh_table *t, uint64_t job, uint32_t from,
                           struct jobs_unit *out, uint32_t max, uint32_t *count)
{
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max) {
        err = jobs_unit_get(t, (struct wire_unit){job, from + *count}, &out[*count]);
        *count += err == SH_OK;
    }
    return err == SH_ERR_NOT_FOUND ? SH_OK : err;
}

/* Most units that wait have no other row than the one in the list. */
static enum sh_err listed_unit(const struct sh_table *t, char letter, struct wire_unit id,
                               struct sh_span value, struct jobs_unit *out)
{
    struct jobs_row_waiting waiting = {.placed = true};
    enum sh_err err = letter == 'a' ? jobs_row_get_waiting(value, &waiting) : SH_OK;
    if (err == SH_OK && waiting.placed) {
        return jobs_unit_get(t, id, out);
    }
    jobs_row_first_unit(&waiting, id, out);
    return err;
}

static enum sh_err list_units(const struct sh_table *t, char letter, struct wire_unit after,
                              struct jobs_unit *out, uint32_t max, uint32_t *count)
{
    struct jobs_row_key prefix = jobs_row_letter(letter);
    struct jobs_row_key last = jobs_row_unit(letter, after);
    struct jobs_row_key low = jobs_row_past(jobs_row_span(&last));
    struct sh_span key;
    struct sh_span value;
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        struct wire_unit id = {.job = sh_key_u64_get(low.at + 1)};
        id.unit = (uint32_t)(sh_key_u64_get(low.at + 5) & UINT32_MAX);
        err = listed_unit(t, letter, id, value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_waiting_list(const struct sh_table *t, struct wire_unit after,
                              struct jobs_unit *out, uint32_t max, uint32_t *count)
{
    return list_units(t, 'a', after, out, max, count);
}

enum sh_err jobs_gang_list(const struct sh_table *t, struct wire_unit after, struct jobs_unit *out,
                           uint32_t max, uint32_t *count)
{
    return list_units(t, 'g', after, out, max, count);
}

uint64_t jobs_open_from(const struct sh_table *t, struct jobs_open_mark *mark)
{
    static const char lists[] = {'a', 'g'};
    uint64_t least = UINT64_MAX;
    struct jobs_counts counts;
    uint64_t from = mark->from;
    if (jobs_counts_get(t, &counts) == SH_OK && counts.reopened != mark->reopened) {
        mark->reopened = counts.reopened;
        from = 0;
    }
    for (size_t i = 0; i < sizeof lists; i++) {
        struct jobs_row_key prefix = jobs_row_letter(lists[i]);
        struct jobs_row_key low = jobs_row_u64(lists[i], from);
        struct sh_span key;
        struct sh_span value;
        if (walk(t, &prefix, &low, &key, &value)) {
            uint64_t job = sh_key_u64_get(low.at + 1);
            least = job < least ? job : least;
        }
    }
    mark->from = least == UINT64_MAX ? from : least;
    return mark->from;
}

enum sh_err jobs_checkpoint_list(const struct sh_table *t, struct wire_unit id,
                                 struct jobs_checkpoint *out, uint32_t max, uint32_t *count)
{
    struct jobs_row_key low = jobs_row_unit('c', id);
    struct jobs_row_key high = jobs_row_beyond(&low);
    struct sh_span key;
    struct sh_span value;
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max &&
           t->seek(t->ctx, jobs_row_span(&low), jobs_row_span(&high), true, &key, &value)) {
        err = jobs_row_get_checkpoint(value, &out[*count]);
        high = jobs_row_checkpoint(id, out[*count].index);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_history_list(const struct sh_table *t, uint64_t job, uint32_t from,
                              struct jobs_event *out, uint32_t max, uint32_t *count)
{
    struct jobs_job row;
    enum sh_err err = jobs_job_get(t, job, &row);
    *count = 0;
    if (err != SH_OK) {
        return err == SH_ERR_NOT_FOUND ? SH_OK : err;
    }
    return jobs_history_of(t, &row, from, out, max, count);
}

enum sh_err jobs_history_of(const struct sh_table *t, const struct jobs_job *job, uint32_t from,
                            struct jobs_event *out, uint32_t max, uint32_t *count)
{
    struct sh_span value;
    enum sh_err err = SH_OK;
    uint32_t end = job->event_next;
    *count = 0;
    uint32_t seq = end > JOBS_HISTORY_MAX ? end - JOBS_HISTORY_MAX : 0;
    /* One by one: what is known to be there is found without a look at every table file. */
    for (seq = seq > from ? seq : from; err == SH_OK && seq < end && *count < max; seq++) {
        if (seq == 0) {
            jobs_row_first_event(job, &out[*count]);
        } else {
            bool found = row_get(t, jobs_row_event(job->id, seq), &value);
            err = found ? jobs_row_get_event(value, &out[*count]) : SH_ERR_CORRUPT;
        }
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_model_get(const struct sh_table *t, const char *name, uint32_t version,
                           struct jobs_model *out)
{
    struct sh_span value;
    enum sh_err err = wire_name_ok(name) ? SH_OK : SH_ERR_NOT_FOUND;
    if (err == SH_OK && version == 0) { /* the newest may have been removed */
        struct jobs_row_key low = jobs_row_model(name, 0);
        struct jobs_row_key high = jobs_row_model(name, UINT32_MAX);
        struct sh_span key;
        bool found = t->seek(t->ctx, jobs_row_span(&low), jobs_row_span(&high), true, &key, &value);
        err = found ? jobs_row_get_model(value, out) : SH_ERR_NOT_FOUND;
    } else if (err == SH_OK) {
        bool found = row_get(t, jobs_row_model(name, version), &value);
        err = found ? jobs_row_get_model(value, out) : SH_ERR_NOT_FOUND;
    }
    return err;
}

enum sh_err jobs_model_list(const struct sh_table *t, const char *after_name,
                            uint32_t after_version, struct jobs_model *out, uint32_t max,
                            uint32_t *count)
{
    struct jobs_row_key prefix = jobs_row_letter('o');
    struct jobs_row_key low = prefix;
    struct sh_span key;
    struct sh_span value;
    if (wire_name_ok(after_name)) {
        struct jobs_row_key last = jobs_row_model(after_name, after_version);
        low = jobs_row_past(jobs_row_span(&last));
    }
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        err = jobs_row_get_model(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_evaluation_list(const struct sh_table *t, const char *name, uint32_t version,
                                 struct jobs_evaluation *out, uint32_t max, uint32_t *count)
{
    struct sh_span key;
    struct sh_span value;
    enum sh_err err = SH_OK;
    *count = 0;
    if (!wire_name_ok(name)) {
        return SH_OK;
    }
    struct jobs_row_key prefix = jobs_row_evaluation(name, version, NULL);
    struct jobs_row_key low = prefix;
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        err = jobs_row_get_evaluation(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_deadline_first(const struct sh_table *t, uint64_t *job, uint64_t *deadline_us)
{
    struct sh_span key;
    struct sh_span value;
    struct jobs_row_key prefix = jobs_row_letter('T');
    struct jobs_row_key low = prefix;
    if (!walk(t, &prefix, &low, &key, &value)) {
        return SH_ERR_NOT_FOUND;
    }
    if (key.size != 17) {
        return SH_ERR_CORRUPT;
    }
    *deadline_us = sh_key_u64_get(key.at + 1);
    *job = sh_key_u64_get(key.at + 9);
    return SH_OK;
}

enum sh_err jobs_dataset_get(const struct sh_table *t, const char *name, struct jobs_dataset *out)
{
    struct sh_span value;
    bool found = wire_name_ok(name) && row_get(t, jobs_row_name('d', name), &value);
    return found ? jobs_row_get_dataset(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_dataset_list(const struct sh_table *t, const char *after, struct jobs_dataset *out,
                              uint32_t max, uint32_t *count)
{
    struct jobs_row_key prefix = jobs_row_letter('d');
    struct jobs_row_key low = prefix;
    struct sh_span key;
    struct sh_span value;
    if (wire_name_ok(after)) {
        struct jobs_row_key last = jobs_row_name('d', after);
        low = jobs_row_past(jobs_row_span(&last));
    }
    enum sh_err err = SH_OK;
    *count = 0;
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        err = jobs_row_get_dataset(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}

enum sh_err jobs_dataset_holder_get(const struct sh_table *t, const char *name,
                                    const uint8_t node[static SH_NODE_ID_BYTES],
                                    struct jobs_dataset_holder *out)
{
    struct sh_span value;
    bool found = wire_name_ok(name) && row_get(t, jobs_row_holder(name, node), &value);
    return found ? jobs_row_get_holder(value, out) : SH_ERR_NOT_FOUND;
}

enum sh_err jobs_dataset_holder_list(const struct sh_table *t, const char *name,
                                     const uint8_t *after, struct jobs_dataset_holder *out,
                                     uint32_t max, uint32_t *count)
{
    struct sh_span key;
    struct sh_span value;
    enum sh_err err = SH_OK;
    *count = 0;
    if (!wire_name_ok(name)) {
        return SH_OK;
    }
    struct jobs_row_key prefix = jobs_row_holder(name, NULL);
    struct jobs_row_key low = prefix;
    if (after != NULL) {
        struct jobs_row_key last = jobs_row_holder(name, after);
        low = jobs_row_past(jobs_row_span(&last));
    }
    while (err == SH_OK && *count < max && walk(t, &prefix, &low, &key, &value)) {
        err = jobs_row_get_holder(value, &out[*count]);
        *count += err == SH_OK;
    }
    return err;
}
