/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"
#include "tst.h"

void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
}

static bool is_final(enum jobs_state state)
{
    return state == JOBS_COMPLETED || state == JOBS_FAILED || state == JOBS_STOPPED;
}

enum jobs_state model_state(const struct model_job *job)
{
    uint32_t gangs = 0;
    uint32_t open = 0;
    uint32_t completed = 0;
    for (uint32_t i = 0; i < job->units; i++) {
        gangs += job->unit[i].state == JOBS_RUNNING || job->unit[i].state == JOBS_STOPPING;
        open += !is_final(job->unit[i].state);
        completed += job->unit[i].state == JOBS_COMPLETED;
    }
    if (job->stop || job->failed) {
        if (open > 0) {
            return JOBS_STOPPING;
        }
        if (job->failed) {
            return JOBS_FAILED;
        }
        return completed >= job->target ? JOBS_COMPLETED : JOBS_STOPPED;
    }
    if (open == 0) {
        return completed > 0 ? JOBS_COMPLETED : JOBS_FAILED;
    }
    if (job->paused) {
        return gangs > 0 ? JOBS_PAUSING : JOBS_PAUSED;
    }
    return gangs > 0 ? JOBS_RUNNING : JOBS_WAITING;
}

static struct model_job *job_of(struct model *m, uint64_t id)
{
    struct model_job *job = NULL;
    for (uint32_t i = 0; i < m->job_count; i++) {
        job = m->jobs[i].id == id && !m->jobs[i].removed ? &m->jobs[i] : job;
    }
    return job;
}

static struct model_unit *unit_of(struct model *m, struct wire_unit id)
{
    struct model_job *job = job_of(m, id.job);
    return job == NULL || id.unit >= job->units ? NULL : &job->unit[id.unit];
}

static bool same_fence(struct wire_fence a, struct wire_fence b)
{
    return a.term == b.term && a.index == b.index;
}

static bool in_force(const struct model_unit *unit, struct wire_fence fence)
{
    return unit != NULL && (unit->state == JOBS_RUNNING || unit->state == JOBS_STOPPING) &&
           same_fence(unit->fence, fence);
}

static void end_others(struct model_job *job)
{
    for (uint32_t i = 0; i < job->units; i++) {
        if (job->unit[i].state == JOBS_WAITING) {
            job->unit[i].state = JOBS_STOPPED;
        } else if (job->unit[i].state == JOBS_RUNNING) {
            job->unit[i].state = JOBS_STOPPING;
            job->unit[i].yields = false;
        }
    }
}

static bool submit(struct model *m, const struct jobs_submit *c, uint64_t index)
{
    uint8_t key = c->key[0] == '\0' ? 0 : (uint8_t)c->key[1];
    for (uint32_t i = 0; i < m->job_count && key != 0; i++) {
        if (m->jobs[i].key == key && !m->jobs[i].removed) {
            return m->jobs[i].spec == c->spec_digest[0];
        }
    }
    EXPECT(m->job_count < MODEL_JOBS_MAX);
    m->jobs[m->job_count++] =
        (struct model_job){.id = index,
                           .key = key,
                           .spec = c->spec_digest[0],
                           .name = (uint8_t)(c->name[3] - '0'),
                           .keep = c->keep_results,
                           .blob = c->blob_count > 0 ? c->blobs[0][0] : 0,
                           .units = c->units,
                           .target = c->units,
                           .retries = c->retries,
                           .train = c->kind == WIRE_KIND_TRAIN,
                           .sweep = c->stage_count > 0,
                           .later = c->stage_count > 1 ? c->stages[1].first : 0,
                           .ensemble = c->kind == WIRE_KIND_ENSEMBLE,
                           .any = c->need.arithmetic == WIRE_ARITHMETIC_ANY};
    if (c->deadline_us > 0) {
        m->jobs[m->job_count - 1].deadline_us = m->now_us + c->deadline_us;
    }
    return true;
}

static bool in_use(const struct model *m, uint8_t file)
{
    bool used = false;
    for (uint32_t i = 0; i < m->job_count; i++) {
        const struct model_job *job = &m->jobs[i];
        used = used ||
               (!job->removed && !is_final(model_state(job)) && file != 0 && job->blob == file);
    }
    return used;
}

static void lose_results(struct model *m, struct model_job *job)
{
    job->gone = true;
    for (uint32_t i = 0; i < job->units; i++) {
        job->unit[i].checkpoints = 0;
    }
    for (uint32_t i = 0; i < m->version_count; i++) {
        struct model_version *v = &m->versions[i];
        if (v->there && v->job == job->id && !in_use(m, v->file)) {
            v->there = false;
            m->models--;
        }
    }
}

/* After this job was touched: it may have ended, and then older ones may lose their results. */
static void retain(struct model *m, const struct model_job *ended)
{
    uint32_t kept = 0;
    for (uint32_t i = m->job_count; i > 0; i--) {
        struct model_job *job = &m->jobs[i - 1];
        bool counts =
            !job->removed && job->name == ended->name && !job->gone && is_final(model_state(job));
        if (counts && kept >= ended->keep) {
            lose_results(m, job);
        } else if (counts) {
            kept += model_state(job) == JOBS_COMPLETED;
        }
    }
}

static bool remove_job(struct model *m, const struct jobs_job_remove *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL || !is_final(model_state(job))) {
        return false;
    }
    job->removed = true;
    return true;
}

static bool remove_model(struct model *m, const struct jobs_model_remove *c)
{
    uint32_t found = 0;
    for (uint32_t go = 0; go < 2; go++) {
        for (uint32_t i = 0; i < m->version_count; i++) {
            struct model_version *v = &m->versions[i];
            bool meant = v->there && v->name == c->name[3] - '0' &&
                         (c->version == 0 || c->version == v->version);
            if (meant && in_use(m, v->file)) {
                return false;
            }
            found += meant;
            if (meant && go == 1) {
                v->there = false;
                m->models--;
            }
        }
    }
    return found > 0;
}

static void make_model(struct model *m, const struct model_job *job, uint8_t file)
{
    uint32_t version = 1;
    for (uint32_t i = 0; i < m->version_count; i++) {
        version += m->versions[i].name == job->name;
    }
    EXPECT(m->version_count < MODEL_JOBS_MAX);
    m->versions[m->version_count++] = (struct model_version){
        .name = job->name, .version = version, .file = file, .there = true, .job = job->id};
    m->models++;
}

static bool gang_ok(const struct model *m, const struct jobs_place *c)
{
    uint32_t at = 0;
    bool seen[MODEL_NODES + 1] = {false};
    for (uint32_t i = 0; i < c->member_count; i++) {
        uint8_t node = c->members[i].node[SH_NODE_ID_BYTES - 1];
        if (node > MODEL_NODES || !m->admitted[node] || seen[node] || c->members[i].rank_lo != at) {
            return false;
        }
        seen[node] = true;
        at = c->members[i].rank_hi;
    }
    return at == 16 && c->member_count <= 4;
}

/* A unit before it in its sweep has not ended. */
static bool is_early(const struct model_job *job, uint32_t unit)
{
    bool early = false;
    for (uint32_t i = 0; i < job->later && unit >= job->later; i++) {
        early = early || !is_final(job->unit[i].state);
    }
    return early;
}

static bool all_failed(const struct model_job *job)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < job->units; i++) {
        failed += job->unit[i].state == JOBS_FAILED;
    }
    return failed == job->units;
}

static bool place(struct model *m, const struct jobs_place *c, struct wire_fence entry)
{
    struct model_unit *unit = unit_of(m, c->unit);
    if (unit == NULL || !same_fence(unit->fence, c->previous) || !gang_ok(m, c) ||
        (unit->state != JOBS_WAITING && unit->state != JOBS_RUNNING)) {
        return false;
    }
    struct model_job *job = job_of(m, c->unit.job);
    if (model_state(job) == JOBS_PAUSING || model_state(job) == JOBS_PAUSED || unit->yields ||
        is_early(job, c->unit.unit)) {
        return false;
    }
    bool other = c->mixed || (job->pinned && job->class != c->class[0]);
    if (other && !job->any) {
        return false;
    }
    job->mixed = job->mixed || other;
    job->class = job->pinned ? job->class : c->class[0];
    job->pinned = true;
    unit->fence = entry;
    unit->state = JOBS_RUNNING;
    return true;
}

static bool place_many(struct model *m, const struct jobs_place_many *c, struct wire_fence entry)
{
    struct model_job *job = job_of(m, c->job);
    bool ok = job != NULL && !job->sweep && !job->paused &&
              (!job->pinned || job->class == c->class[0] || job->any);
    for (uint32_t i = 0; i < c->node_count; i++) {
        uint8_t node = c->nodes[i][SH_NODE_ID_BYTES - 1];
        ok = ok && node <= MODEL_NODES && m->admitted[node];
    }
    for (uint32_t i = 0; i < c->count && ok; i++) {
        const struct model_unit *unit = unit_of(m, (struct wire_unit){c->job, c->units[i]});
        ok = unit != NULL && unit->fence.index == 0 && unit->state == JOBS_WAITING;
    }
    for (uint32_t i = 0; i < c->count && ok; i++) {
        struct model_unit *unit = unit_of(m, (struct wire_unit){c->job, c->units[i]});
        unit->fence = entry;
        unit->state = JOBS_RUNNING;
    }
    if (ok) {
        job->mixed = job->mixed || (job->pinned && job->class != c->class[0]);
        job->class = job->pinned ? job->class : c->class[0];
        job->pinned = true;
    }
    return ok;
}

static bool commit_many(struct model *m, const struct jobs_commit_many *c)
{
    const struct model_job *job = job_of(m, c->job);
    bool ok = job != NULL && !job->train && !job->ensemble;
    for (uint32_t i = 0; i < c->count && ok; i++) {
        const struct model_unit *unit = unit_of(m, (struct wire_unit){c->job, c->units[i]});
        ok = in_force(unit, c->fence) && unit->state == JOBS_RUNNING;
    }
    for (uint32_t i = 0; i < c->count && ok; i++) {
        struct model_unit *unit = unit_of(m, (struct wire_unit){c->job, c->units[i]});
        unit->commits++;
        unit->digest = 0;
        unit->partial = false;
        unit->yields = false;
        unit->state = JOBS_COMPLETED;
    }
    return ok;
}

static bool checkpoint(struct model *m, const struct jobs_checkpoint_add *c)
{
    struct model_unit *unit = unit_of(m, c->unit);
    if (!in_force(unit, c->fence)) {
        return false;
    }
    if (same_fence(unit->checkpoint_fence, c->fence) && c->step <= unit->checkpoint_step) {
        return c->step == unit->checkpoint_step && c->manifest[0] == unit->checkpoint_manifest;
    }
    unit->checkpoint_fence = c->fence;
    unit->checkpoint_step = c->step;
    unit->checkpoint_manifest = c->manifest[0];
    unit->checkpoints += unit->checkpoints < 3;
    return true;
}

static bool commit(struct model *m, const struct jobs_commit *c)
{
    struct model_unit *unit = unit_of(m, c->unit);
    if (unit != NULL && unit->commits > 0) {
        return same_fence(unit->fence, c->fence) && unit->digest == c->outcome.file[0] &&
               unit->partial == c->partial;
    }
    if (!in_force(unit, c->fence) || (c->partial && unit->state != JOBS_STOPPING)) {
        return false;
    }
    unit->commits++;
    unit->yields = false;
    unit->digest = c->outcome.file[0];
    unit->partial = c->partial;
    unit->state = c->partial ? JOBS_STOPPED : JOBS_COMPLETED;
    if (job_of(m, c->unit.job)->train) {
        make_model(m, job_of(m, c->unit.job), unit->digest);
    }
    return true;
}

static bool fail(struct model *m, const struct jobs_fail *c)
{
    struct model_unit *unit = unit_of(m, c->unit);
    if (!in_force(unit, c->fence)) {
        return false;
    }
    struct model_job *job = job_of(m, c->unit.job);
    unit->failures++;
    unit->yields = false;
    if (unit->state == JOBS_RUNNING && !c->final && unit->failures <= job->retries) {
        unit->state = JOBS_WAITING;
        return true;
    }
    if (unit->state == JOBS_STOPPING && !job->stop && !job->failed) {
        unit->state = JOBS_STOPPED;
        return true;
    }
    unit->state = JOBS_FAILED;
    if (!job->stop && !job->failed && !job->ensemble && !job->sweep) {
        job->failed = true;
        end_others(job);
    } else if (!job->stop && !job->failed) {
        job->failed = all_failed(job);
    }
    return true;
}

static bool expire(struct model *m, const struct jobs_expire *c)
{
    struct model_unit *unit = unit_of(m, c->unit);
    if (!in_force(unit, c->fence)) {
        return false;
    }
    if (c->grace_us > 0) {
        bool asked = unit->state == JOBS_RUNNING;
        unit->yields = asked;
        return asked;
    }
    unit->yields = false;
    unit->state = unit->state == JOBS_STOPPING ? JOBS_STOPPED : JOBS_WAITING;
    return true;
}

static bool pause_job(struct model *m, const struct jobs_pause *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL || is_final(model_state(job)) || model_state(job) == JOBS_STOPPING) {
        return false;
    }
    bool before = job->paused;
    job->paused = true;
    for (uint32_t i = 0; i < job->units; i++) {
        struct model_unit *unit = &job->unit[i];
        bool runs = unit->state == JOBS_RUNNING;
        if (runs && c->grace_us == 0) {
            unit->state = JOBS_WAITING;
            unit->yields = false;
        } else if (runs && !before) {
            unit->yields = true;
        }
    }
    return true;
}

static bool resume_job(struct model *m, const struct jobs_resume *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL || (model_state(job) != JOBS_PAUSED && model_state(job) != JOBS_PAUSING)) {
        return false;
    }
    job->paused = false;
    return true;
}

/* The last one of those in that state. */
static struct model_unit *last_of(struct model_job *job, enum jobs_state state)
{
    struct model_unit *last = NULL;
    for (uint32_t i = 0; i < job->units; i++) {
        last = job->unit[i].state == state ? &job->unit[i] : last;
    }
    return last;
}

static uint32_t count_of(const struct model_job *job, enum jobs_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < job->units; i++) {
        count += job->unit[i].state == state;
    }
    return count;
}

uint32_t model_wanted(const struct model_job *job)
{
    return count_of(job, JOBS_WAITING) + count_of(job, JOBS_RUNNING) +
           count_of(job, JOBS_COMPLETED);
}

static bool resize(struct model *m, const struct jobs_resize *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL || job->stop || job->failed || job->train || job->ensemble || job->sweep ||
        c->units < count_of(job, JOBS_COMPLETED)) {
        return false;
    }
    job->target = c->units;
    job->paused = job->paused && !is_final(model_state(job));
    while (model_wanted(job) < c->units) {
        EXPECT(job->units < MODEL_UNITS_EVER);
        job->unit[job->units++] = (struct model_unit){.state = JOBS_WAITING};
    }
    while (model_wanted(job) > c->units) {
        struct model_unit *waits = last_of(job, JOBS_WAITING);
        struct model_unit *runs = last_of(job, JOBS_RUNNING);
        if (waits != NULL) {
            waits->state = JOBS_STOPPED;
        } else {
            EXPECT(runs != NULL);
            runs->state = JOBS_STOPPING;
            runs->yields = false;
        }
    }
    return true;
}

static bool stop(struct model *m, const struct jobs_stop *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL) {
        return false;
    }
    enum jobs_state state = model_state(job);
    if (state == JOBS_STOPPING || state == JOBS_STOPPED) {
        return true;
    }
    if (is_final(state)) {
        return false;
    }
    job->stop = true;
    end_others(job);
    return true;
}

static bool deadline(struct model *m, const struct jobs_deadline *c)
{
    struct model_job *job = job_of(m, c->job);
    if (job == NULL || is_final(model_state(job)) || job->deadline_us == 0 ||
        m->now_us < job->deadline_us) {
        return false;
    }
    for (uint32_t i = 0; i < job->units; i++) {
        struct model_unit *unit = &job->unit[i];
        if (!is_final(unit->state)) {
            unit->state = unit->state == JOBS_RUNNING ? JOBS_FAILED : JOBS_STOPPED;
            unit->yields = false;
        }
    }
    job->paused = false;
    return true;
}

static bool has_expired(const struct model *m, const struct model_session *s)
{
    return m->now_us - s->used_us > JOBS_SESSION_US;
}

static void end_session_of(struct model *m, uint8_t node)
{
    for (uint32_t i = 0; i < m->session_count; i++) {
        m->sessions[i].ended = m->sessions[i].ended || m->sessions[i].node == node;
    }
}

static bool open_session(struct model *m, const struct jobs_session_open *c, uint64_t index)
{
    uint8_t node = c->node[SH_NODE_ID_BYTES - 1];
    if (!m->admitted[node]) {
        return false;
    }
    for (uint32_t i = 0; i < m->session_count; i++) {
        if (!m->sessions[i].ended && has_expired(m, &m->sessions[i])) {
            m->sessions[i].ended = true;
            break;
        }
    }
    for (uint32_t i = 0; i < m->session_count; i++) {
        const struct model_session *s = &m->sessions[i];
        if (!s->ended && s->node == node && s->life == c->life && !has_expired(m, s)) {
            return true;
        }
    }
    end_session_of(m, node);
    EXPECT(m->session_count < MODEL_SESSIONS);
    m->sessions[m->session_count++] =
        (struct model_session){.id = index, .node = node, .life = c->life, .used_us = m->now_us};
    return true;
}

static bool apply_by_type(struct model *m, const struct jobs_cmd *cmd, struct wire_fence entry)
{
    bool was = false;
    switch (cmd->type) {
    case JOBS_NODE_ADMIT:
        m->admitted[cmd->u.node_admit.node[SH_NODE_ID_BYTES - 1]] = true;
        return true;
    case JOBS_NODE_REMOVE:
        was = m->admitted[cmd->u.node_remove.node[SH_NODE_ID_BYTES - 1]];
        m->admitted[cmd->u.node_remove.node[SH_NODE_ID_BYTES - 1]] = false;
        end_session_of(m, cmd->u.node_remove.node[SH_NODE_ID_BYTES - 1]);
        return was;
    case JOBS_SUBMIT:
        return submit(m, &cmd->u.submit, entry.index);
    case JOBS_PLACE:
        return place(m, &cmd->u.place, entry);
    case JOBS_PLACE_MANY:
        return place_many(m, &cmd->u.place_many, entry);
    case JOBS_COMMIT_MANY:
        return commit_many(m, &cmd->u.commit_many);
    case JOBS_CHECKPOINT:
        return checkpoint(m, &cmd->u.checkpoint);
    case JOBS_PROGRESS:
        return in_force(unit_of(m, cmd->u.progress.unit), cmd->u.progress.fence);
    case JOBS_COMMIT:
        return commit(m, &cmd->u.commit);
    case JOBS_FAIL:
        return fail(m, &cmd->u.fail);
    case JOBS_EXPIRE:
        return expire(m, &cmd->u.expire);
    case JOBS_STOP:
        return stop(m, &cmd->u.stop);
    case JOBS_PAUSE:
        return pause_job(m, &cmd->u.pause);
    case JOBS_RESUME:
        return resume_job(m, &cmd->u.resume);
    case JOBS_RESIZE:
        return resize(m, &cmd->u.resize);
    case JOBS_DEADLINE:
        return deadline(m, &cmd->u.deadline);
    case JOBS_SESSION_OPEN:
        return open_session(m, &cmd->u.session_open, entry.index);
    case JOBS_MODEL_REMOVE:
        return remove_model(m, &cmd->u.model_remove);
    case JOBS_JOB_REMOVE:
        return remove_job(m, &cmd->u.job_remove);
    case JOBS_SESSION_KEEP:
    case JOBS_DATASET_ADD:
    case JOBS_DATASET_REMOVE:
    case JOBS_CONFIG_SET:
    case JOBS_NODE_MARK:
    case JOBS_CMD_TYPE_COUNT:
        break;
    }
    tst_fail(__FILE__, __LINE__, "the storm sends no such command");
}

static bool apply_once(struct model *m, const struct jobs_cmd *cmd, struct wire_fence entry)
{
    bool was[MODEL_JOBS_MAX];
    for (uint32_t i = 0; i < m->job_count; i++) {
        was[i] = is_final(model_state(&m->jobs[i]));
    }
    uint32_t before = m->job_count;
    bool accepted = apply_by_type(m, cmd, entry);
    for (uint32_t i = 0; i < before; i++) {
        const struct model_job *job = &m->jobs[i];
        if (!was[i] && is_final(model_state(job)) && job->keep > 0) {
            retain(m, job);
        }
    }
    return accepted;
}

bool model_apply(struct model *m, const struct jobs_cmd *cmd, struct wire_fence entry)
{
    struct model_session *s = NULL;
    uint32_t slot = cmd->number % JOBS_SESSION_SLOTS;
    m->now_us = cmd->stamp_us > m->now_us ? cmd->stamp_us : m->now_us;
    for (uint32_t i = 0; i < m->session_count && cmd->session != 0; i++) {
        bool is = m->sessions[i].id == cmd->session && !m->sessions[i].ended;
        s = is ? &m->sessions[i] : s;
    }
    if (cmd->session == 0) {
        return apply_once(m, cmd, entry);
    }
    if (s == NULL || has_expired(m, s)) {
        if (s != NULL) {
            s->ended = true;
        }
        return false;
    }
    s->used_us = m->now_us - s->used_us >= JOBS_SESSION_US / 8 ? m->now_us : s->used_us;
    if (cmd->type == JOBS_SESSION_KEEP) {
        return true;
    }
    EXPECT(slot < MODEL_SLOTS);
    if (cmd->number <= s->number[slot]) {
        return cmd->number == s->number[slot] && s->accepted[slot];
    }
    s->number[slot] = cmd->number;
    s->accepted[slot] = apply_once(m, cmd, entry);
    return s->accepted[slot];
}
