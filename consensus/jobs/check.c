/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/config.h"
#include "jobs/jobs.h"
#include "jobs/tx.h"

/* What the rows add up to. */
struct tally {
    struct jobs_counts sum;
    uint64_t units;
    uint64_t checkpoints;
    uint64_t holders;
    uint64_t deadlines;
    uint64_t uses; /* of blobs, by unfinished jobs */
    uint64_t used;
    uint64_t first_units;         /* never placed: without a row of their own */
    uint64_t rows[UINT8_MAX + 1]; /* by the letter of their kind */
};

static void check_state(const struct jobs_job *job)
{
    const uint32_t *in = job->units_in;
    uint32_t gangs = in[JOBS_RUNNING] + in[JOBS_STOPPING];
    SH_CHECK(SH_IMPLIES(!jobs_state_final(job->state), job->end_us == 0));
    /* An ensemble and a sweep complete without who failed. */
    bool whole = job->kind != WIRE_KIND_ENSEMBLE && job->stage_count == 0;
    SH_CHECK(SH_IMPLIES(job->state == JOBS_COMPLETED && whole, in[JOBS_COMPLETED] >= job->target));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_COMPLETED, in[JOBS_COMPLETED] > 0));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_WAITING, gangs == 0));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_RUNNING, gangs > 0));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_STOPPING, in[JOBS_WAITING] + in[JOBS_RUNNING] == 0));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_PAUSING, gangs > 0));
    SH_CHECK(SH_IMPLIES(job->state == JOBS_PAUSED, gangs == 0));
    SH_CHECK((job->state == JOBS_PAUSING || job->state == JOBS_PAUSED) == job->paused);
    SH_CHECK(SH_IMPLIES(job->cause == WIRE_CAUSE_NONE && whole,
                        in[JOBS_WAITING] + in[JOBS_RUNNING] + in[JOBS_COMPLETED] >= job->target));
}

static void check_job(struct jobs_tx *tx, struct tally *tally)
{
    const struct jobs_job *job = &tx->core->job;
    struct jobs_unit *unit = &tx->core->unit;
    uint32_t in[JOBS_UNIT_STATE_COUNT] = {0};
    uint32_t open = 0;
    uint64_t progress = 0;
    for (uint32_t i = 0; i < job->units; i++) {
        struct wire_unit id = {.job = job->id, .unit = i};
        SH_CHECK_CMP(jobs_unit_get(tx->table, id, unit), ==, SH_OK);
        SH_CHECK(wire_unit_equal(unit->id, id));
        in[unit->state]++;
        bool ended = jobs_state_final(unit->state);
        open += !ended;
        SH_CHECK_CMP(unit->placement.fence.index, <=, tx->meta.applied);
        bool gang = unit->state == JOBS_RUNNING || unit->state == JOBS_STOPPING;
        SH_CHECK(jobs_tx_has(tx, jobs_row_unit('a', id)) == (unit->state == JOBS_WAITING));
        SH_CHECK(jobs_tx_has(tx, jobs_row_unit('g', id)) == gang);
        SH_CHECK(
            SH_IMPLIES(gang, wire_members_cover(unit->placement.members,
                                                unit->placement.member_count, job->need.ranks)));
        SH_CHECK(SH_IMPLIES(unit->state == JOBS_COMPLETED, unit->committed));
        SH_CHECK(SH_IMPLIES(unit->committed, ended));
        SH_CHECK_CMP(unit->checkpoints, <=, job->checkpoint_keep);
        SH_CHECK_CMP(unit->progress, <=, JOBS_PROGRESS_WHOLE);
        SH_CHECK((unit->progress == JOBS_PROGRESS_WHOLE) == (unit->state == JOBS_COMPLETED));
        progress += unit->progress;
        SH_CHECK(SH_IMPLIES(unit->yield.cause != WIRE_CAUSE_NONE, unit->state == JOBS_RUNNING));
        tally->checkpoints += unit->checkpoints;
    }
    for (uint32_t i = 0; i < JOBS_UNIT_STATE_COUNT; i++) {
        SH_CHECK_CMP(in[i], ==, job->units_in[i]);
    }
    check_state(job);
    SH_CHECK_CMP(progress, ==, job->progress_sum);
    SH_CHECK_CMP(job->progress, <=, JOBS_PROGRESS_WHOLE);
    SH_CHECK((job->progress == JOBS_PROGRESS_WHOLE) == (job->state == JOBS_COMPLETED));
    bool ended = jobs_state_final(job->state);
    SH_CHECK((open == 0) == ended);
    struct jobs_row_key late = jobs_row_then_u64(jobs_row_u64('T', job->deadline_us), job->id);
    SH_CHECK(jobs_tx_has(tx, late) == (!ended && job->deadline_us > 0));
    tally->deadlines += !ended && job->deadline_us > 0;
    SH_CHECK(jobs_tx_has(tx, jobs_row_u64('s', job->id)));
    SH_CHECK(jobs_tx_has(tx, jobs_row_then_u64(jobs_row_state(job->state), job->id)) == ended);
    SH_CHECK(jobs_tx_has(tx, jobs_row_then_u64(jobs_row_named(job->name), job->id)));
    SH_CHECK(SH_IMPLIES(job->results_gone, ended));
    tally->uses += ended ? 0 : job->blob_count;
    tally->units += job->units;
    tally->sum.jobs++;
    tally->sum.jobs_in[job->state]++;
    tally->sum.open_units += open;
}

static void check_node(struct jobs_tx *tx, struct sh_span value, struct jobs_counts *sum)
{
    struct jobs_node node;
    struct jobs_node same;
    SH_CHECK_CMP(jobs_row_get_node(value, &node), ==, SH_OK);
    SH_CHECK_CMP(jobs_node_by_name(tx->table, node.name, &same), ==, SH_OK);
    SH_CHECK_CMP(same.handle, ==, node.handle);
    SH_CHECK_CMP(jobs_node_by_handle(tx->table, node.handle, &same), ==, SH_OK);
    SH_CHECK_CMP(memcmp(same.id, node.id, SH_NODE_ID_BYTES), ==, 0);
    sum->nodes++;
}

static void check_model(struct jobs_tx *tx, struct sh_span value, struct jobs_counts *sum)
{
    struct jobs_model *model = &tx->core->model;
    SH_CHECK_CMP(jobs_row_get_model(value, model), ==, SH_OK);
    if (jobs_tx_has(tx, jobs_row_u64('j', model->unit.job))) { /* else it outlives its job */
        SH_CHECK_CMP(jobs_unit_get(tx->table, model->unit, &tx->core->unit), ==, SH_OK);
        SH_CHECK(tx->core->unit.committed);
        SH_CHECK_CMP(tx->core->unit.model_version, ==, model->version);
    }
    sum->models++;
}

/* It stands below a version that exists. */
static void check_evaluation(struct jobs_tx *tx, struct sh_span key, struct sh_span value)
{
    struct jobs_evaluation *e = &tx->core->evaluation;
    SH_CHECK_CMP(jobs_row_get_evaluation(value, e), ==, SH_OK);
    SH_CHECK_CMP(e->figures.samples, >, 0);
    SH_CHECK_CMP(key.size, >, 1u + 1u + 4u + SH_DIGEST_BYTES);
    struct jobs_row_key model = {.size = key.size - SH_DIGEST_BYTES};
    memcpy(model.at, key.at, model.size);
    SH_CHECK_CMP(memcmp(key.at + model.size, e->digest, SH_DIGEST_BYTES), ==, 0);
    model.at[0] = 'o';
    SH_CHECK(jobs_tx_has(tx, model));
}

static void check_change(struct jobs_tx *tx, struct sh_span key, struct sh_span value)
{
    struct jobs_change *change = &tx->core->change;
    SH_CHECK_CMP(jobs_row_get_change(value, change), ==, SH_OK);
    SH_CHECK_CMP(sh_key_u64_get(key.at + 1), ==, change->index);
    SH_CHECK_CMP(change->index, <=, tx->meta.applied);
    SH_CHECK_CMP(change->index, >=, jobs_change_oldest(tx->meta.applied));
    SH_CHECK_CMP(change->job, <, change->index); /* the first one has no row */
}

static void check_session(struct jobs_tx *tx, struct sh_span key, struct sh_span value,
                          struct jobs_counts *sum)
{
    struct jobs_session s;
    uint64_t id = 0;
    SH_CHECK_CMP(jobs_row_get_session(value, &s), ==, SH_OK);
    SH_CHECK_CMP(sh_key_u64_get(key.at + 1), ==, s.id);
    SH_CHECK_CMP(s.id, <=, tx->meta.applied);
    SH_CHECK_CMP(s.used_us, <=, tx->meta.stamp_us);
    SH_CHECK(jobs_tx_has(tx, jobs_row_id('n', s.node)));
    struct jobs_row_key of_node = jobs_row_id('y', s.node);
    SH_CHECK(tx->table->get(tx->table->ctx, jobs_row_span(&of_node), &value));
    SH_CHECK_CMP(jobs_row_get_index(value, &id), ==, SH_OK);
    SH_CHECK_CMP(id, ==, s.id);
    sum->sessions++;
}

static void check_reply(struct jobs_tx *tx, struct sh_span key, struct sh_span value)
{
    struct jobs_reply reply;
    uint64_t session = sh_key_u64_get(key.at + 1);
    uint64_t slot = sh_key_u64_get(key.at + 5) & UINT32_MAX;
    SH_CHECK_CMP(jobs_row_get_reply(value, &reply), ==, SH_OK);
    SH_CHECK_CMP(reply.number % JOBS_SESSION_SLOTS, ==, slot);
    SH_CHECK(jobs_tx_has(tx, jobs_row_u64('x', session)));
}

static void check_dataset(struct jobs_tx *tx, struct sh_span value, struct tally *tally)
{
    struct jobs_dataset *set = &tx->core->dataset;
    SH_CHECK_CMP(jobs_row_get_dataset(value, set), ==, SH_OK);
    SH_CHECK((set->holders > 0) == (set->unit.job == 0));
    SH_CHECK(SH_IMPLIES(set->local, set->unit.job == 0));
    tally->holders += set->holders;
    tally->sum.datasets++;
}

static void check_waiting(struct jobs_tx *tx, struct sh_span key, struct sh_span value,
                          struct tally *tally)
{
    struct jobs_row_waiting waiting;
    struct wire_unit id = {.job = sh_key_u64_get(key.at + 1)};
    id.unit = (uint32_t)(sh_key_u64_get(key.at + 5) & UINT32_MAX);
    SH_CHECK_CMP(jobs_row_get_waiting(value, &waiting), ==, SH_OK);
    SH_CHECK_CMP(waiting.since_us, <=, tx->meta.stamp_us);
    SH_CHECK(jobs_tx_has(tx, jobs_row_unit('u', id)) == waiting.placed);
    tally->first_units += !waiting.placed;
}

/* Only open units that failed have one. */
static void check_trouble(struct jobs_tx *tx, struct sh_span key, struct sh_span value)
{
    struct wire_unit id = {.job = sh_key_u64_get(key.at + 1)};
    id.unit = (uint32_t)(sh_key_u64_get(key.at + 5) & UINT32_MAX);
    SH_CHECK_CMP(jobs_row_get_trouble(value, &tx->core->trouble), ==, SH_OK);
    SH_CHECK_CMP(jobs_unit_get(tx->table, id, &tx->core->unit), ==, SH_OK);
    SH_CHECK_CMP(tx->core->unit.failures, >, 0);
    SH_CHECK(!jobs_state_final(tx->core->unit.state));
}

static void check_health(struct jobs_tx *tx, struct sh_span key, struct sh_span value)
{
    struct jobs_row_key node = jobs_row_id('n', key.at + 1);
    SH_CHECK_CMP(jobs_row_get_health(value, &tx->core->health), ==, SH_OK);
    SH_CHECK(jobs_tx_has(tx, node));
}

static void check_setting(struct sh_span key, struct sh_span value)
{
    char text[JOBS_SETTING_MAX + 1];
    uint64_t number = 0;
    SH_CHECK_CMP(key.size, <=, sizeof text);
    memcpy(text, key.at + 1, key.size - 1);
    text[key.size - 1] = '\0';
    SH_CHECK_CMP(jobs_row_get_index(value, &number), ==, SH_OK);
    SH_CHECK(jobs_setting_ok(text, number));
}

static void check_owner(struct jobs_tx *tx, struct sh_span value)
{
    struct jobs_owner owner;
    SH_CHECK_CMP(jobs_row_get_owner(value, &owner), ==, SH_OK);
    SH_CHECK_CMP(owner.at_us, <=, tx->meta.stamp_us);
}

static void check_use(struct sh_span value, struct tally *tally)
{
    uint64_t users = 0;
    SH_CHECK_CMP(jobs_row_get_index(value, &users), ==, SH_OK);
    SH_CHECK_CMP(users, >, 0);
    tally->used += users;
}

static bool is_letter(char letter)
{
    static const char letters[] = {'M', 'n', 'h', 'm', 'j', 's', 'i', 'u', 'a', 'g',
                                   'c', 'e', 'o', 'l', 'd', 'p', 'w', 'b', 'k', 'x',
                                   'y', 'z', 'f', 'q', 'v', 't', 'V', 'T', 'r'};
    bool found = false;
    for (size_t i = 0; i < SH_COUNT(letters); i++) {
        found = found || letters[i] == letter;
    }
    return found;
}

/* value is borrowed from the table, so each row is decoded before anything else is looked up. */
static void check_row(struct jobs_tx *tx, struct sh_span key, struct sh_span value,
                      struct tally *tally)
{
    bool behind = key.at[0] == 's' && key.size > JOBS_ROW_SPEC_BYTES;
    char letter = (char)(behind ? key.at[JOBS_ROW_SPEC_BYTES] : key.at[0]);
    SH_CHECK(is_letter(letter) && (!behind || letter == 'u' || letter == 'e'));
    tally->rows[(uint8_t)letter]++;
    if (letter == 'j') {
        SH_CHECK_CMP(jobs_row_get_job(value, &tx->core->job), ==, SH_OK);
        check_job(tx, tally);
    } else if (letter == 'a') {
        check_waiting(tx, key, value, tally);
    } else if (letter == 'n') {
        check_node(tx, value, &tally->sum);
    } else if (letter == 'o') {
        check_model(tx, value, &tally->sum);
    } else if (letter == 'V') {
        check_evaluation(tx, key, value);
    } else if (letter == 'd') {
        check_dataset(tx, value, tally);
    } else if (letter == 'w') {
        check_change(tx, key, value);
    } else if (letter == 'x') {
        check_session(tx, key, value, &tally->sum);
    } else if (letter == 'z') {
        check_reply(tx, key, value);
    } else if (letter == 'f') {
        check_trouble(tx, key, value);
    } else if (letter == 'q') {
        check_health(tx, key, value);
    } else if (letter == 'v') {
        check_setting(key, value);
        tally->sum.settings++;
    } else if (letter == 't') {
        check_owner(tx, value);
        tally->sum.owners++;
    } else if (letter == 'r') {
        check_use(value, tally);
    }
}

/* Whatever leads to something is as often there as that: no list names what has gone. */
static void check_lists(const struct tally *tally)
{
    const struct jobs_counts *sum = &tally->sum;
    const uint64_t *rows = tally->rows;
    SH_CHECK_CMP(rows['a'] + rows['g'], ==, sum->open_units);
    SH_CHECK_CMP(rows['u'] + tally->first_units, ==, tally->units);
    SH_CHECK_CMP(rows['s'], ==, sum->jobs);
    SH_CHECK_CMP(rows['k'], ==, sum->jobs);
    SH_CHECK_CMP(tally->used, ==, tally->uses);
    uint64_t ended = 0;
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        ended += jobs_state_final((enum jobs_state)i) ? sum->jobs_in[i] : 0;
    }
    SH_CHECK_CMP(rows['b'], ==, ended);
    SH_CHECK_CMP(rows['c'], ==, tally->checkpoints);
    SH_CHECK_CMP(rows['h'], ==, sum->nodes);
    SH_CHECK_CMP(rows['m'], ==, sum->nodes);
    SH_CHECK_CMP(rows['p'], ==, tally->holders);
    SH_CHECK_CMP(rows['y'], ==, sum->sessions);
    SH_CHECK_CMP(rows['v'], ==, sum->settings);
    SH_CHECK_CMP(rows['t'], ==, sum->owners);
    SH_CHECK_CMP(rows['T'], ==, tally->deadlines);
}

void jobs_check(struct jobs *core, const struct sh_table *table)
{
    struct jobs_tx tx = {.core = core, .table = table};
    struct tally tally = {.units = 0};
    const struct jobs_counts *sum = &tally.sum;
    struct jobs_row_key low = {.size = 0};
    struct sh_span key;
    struct sh_span value;
    SH_CHECK_CMP(jobs_counts_get(table, &tx.meta), ==, SH_OK);
    while (table->seek(table->ctx, jobs_row_span(&low), (struct sh_span){0}, false, &key, &value)) {
        char letter = (char)key.at[0];
        tally.sum.digest += letter == 'M' ? 0 : jobs_tx_row_hash(key, value);
        low = jobs_row_past(key);
        check_row(&tx, key, value, &tally);
    }
    check_lists(&tally);
    SH_CHECK_CMP(sum->nodes, ==, tx.meta.nodes);
    SH_CHECK_CMP(sum->jobs, ==, tx.meta.jobs);
    SH_CHECK_CMP(sum->open_units, ==, tx.meta.open_units);
    SH_CHECK_CMP(sum->models, ==, tx.meta.models);
    SH_CHECK_CMP(sum->datasets, ==, tx.meta.datasets);
    SH_CHECK_CMP(sum->sessions, ==, tx.meta.sessions);
    SH_CHECK_CMP(sum->settings, ==, tx.meta.settings);
    SH_CHECK_CMP(sum->owners, ==, tx.meta.owners);
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        SH_CHECK_CMP(sum->jobs_in[i], ==, tx.meta.jobs_in[i]);
    }
    SH_CHECK_CMP(sum->digest, ==, tx.meta.digest);
}
