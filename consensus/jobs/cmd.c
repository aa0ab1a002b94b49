/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/many.h"
#include "jobs/row.h"

#define ENCODING   1u
#define STAMP_AT   2u  /* offset of the time stamp */
#define SESSION_AT 10u /* and of session and number */
#define HEAD_BYTES 26u

/* Everything of a SUBMIT but its spec fits in what is left of a command. */
_Static_assert(1536u + JOBS_BLOBS_MAX * SH_DIGEST_BYTES + SH_SPEC_BYTES_MAX < JOBS_CMD_BYTES_MAX,
               "the largest SUBMIT fits");
_Static_assert(HEAD_BYTES + WIRE_MEMBERS_MAX * 20u + 128u < 4096u, "the largest PLACE fits");
_Static_assert(HEAD_BYTES + JOBS_PATH_MAX + JOBS_SUMMARY_MAX + 256u < 4096u,
               "the largest DATASET_ADD fits");
_Static_assert(JOBS_KEY_MAX <= UINT8_MAX, "a key has an u8 length");

static bool kind_known(enum wire_kind kind)
{
    return kind >= WIRE_KIND_TRAIN && kind <= WIRE_KIND_RL;
}

static bool arithmetic_known(enum wire_arithmetic arithmetic)
{
    return arithmetic == WIRE_ARITHMETIC_SAME || arithmetic == WIRE_ARITHMETIC_ANY;
}

static bool about_ok(const struct jobs_submit *c)
{
    const struct jobs_about *about = &c->about;
    bool model = about->model[0] == '\0' ? about->version == 0
                                         : wire_name_ok(about->model) && about->version > 0;
    bool makes = c->kind == WIRE_KIND_DATA_PREP;
    bool trains =
        c->kind == WIRE_KIND_TRAIN || c->kind == WIRE_KIND_FINE_TUNE || c->kind == WIRE_KIND_EXEC;
    bool federated = !c->federated || (trains && c->need.dataset[0] != '\0');
    return model && federated && (makes ? wire_name_ok(c->dataset) : c->dataset[0] == '\0');
}

static bool submit_ok(const struct jobs_submit *c)
{
    bool names = wire_name_ok(c->name) && c->spec.size >= 1 && c->spec.size <= SH_SPEC_BYTES_MAX;
    bool counts = c->priority <= JOBS_PRIORITY_MAX && c->retries <= JOBS_RETRIES_MAX &&
                  c->checkpoint_keep >= 1 && c->checkpoint_keep <= JOBS_KEEP_MAX &&
                  c->blob_count <= JOBS_BLOBS_MAX && c->keep_results <= JOBS_RESULTS_MAX &&
                  c->units >= 1 && c->units <= JOBS_UNITS_MAX;
    bool trains = c->kind == WIRE_KIND_TRAIN || c->kind == WIRE_KIND_FINE_TUNE;
    bool single = !trains || c->units == 1 || c->stage_count > 0;
    bool staged = jobs_stages_ok(c->stages, c->stage_count, c->units);
    return names && counts && single && staged && kind_known(c->kind) && wire_need_ok(&c->need) &&
           about_ok(c);
}

static bool place_ok(const struct jobs_place *c)
{
    bool ok = c->unit.job != 0 && c->member_count >= 1 && c->member_count <= WIRE_MEMBERS_MAX;
    for (uint32_t i = 0; ok && i < c->member_count; i++) {
        ok = c->members[i].rank_lo < c->members[i].rank_hi;
    }
    return ok;
}

static bool node_admit_ok(const struct jobs_node_admit *c)
{
    return wire_name_ok(c->name) && wire_addr_ok(c->addr) &&
           (c->api[0] == '\0' || wire_addr_ok(c->api));
}

static bool config_set_ok(const struct jobs_config_set *c)
{
    bool ok = c->count >= 1 && c->count <= JOBS_SETTINGS_MAX;
    for (uint32_t i = 0; ok && i < c->count; i++) {
        ok = c->at[i].key[0] != '\0';
    }
    return ok;
}

static bool resize_ok(const struct jobs_resize *c)
{
    bool units = !c->has_units || (c->units >= 1 && c->units <= JOBS_UNITS_MAX);
    bool priority = !c->has_priority || c->priority <= JOBS_PRIORITY_MAX;
    return c->job != 0 && (c->has_units || c->has_priority) && units && priority;
}

static bool body_ok(const struct jobs_cmd *cmd)
{
    switch (cmd->type) {
    case JOBS_NODE_ADMIT:
        return node_admit_ok(&cmd->u.node_admit);
    case JOBS_NODE_REMOVE:
        return true;
    case JOBS_SUBMIT:
        return submit_ok(&cmd->u.submit);
    case JOBS_PLACE:
        return place_ok(&cmd->u.place);
    case JOBS_PLACE_MANY:
        return jobs_many_place_ok(&cmd->u.place_many);
    case JOBS_COMMIT_MANY:
        return jobs_many_commit_ok(&cmd->u.commit_many);
    case JOBS_CHECKPOINT:
        return cmd->u.checkpoint.unit.job != 0 &&
               cmd->u.checkpoint.holder_count <= JOBS_HOLDERS_MAX;
    case JOBS_PROGRESS:
        return cmd->u.progress.unit.job != 0 && cmd->u.progress.permille < JOBS_PROGRESS_WHOLE;
    case JOBS_COMMIT:
        return cmd->u.commit.unit.job != 0 && cmd->u.commit.holder_count <= JOBS_HOLDERS_MAX;
    case JOBS_FAIL:
        return cmd->u.fail.unit.job != 0 && cmd->u.fail.reason != SH_OK;
    case JOBS_EXPIRE:
        return cmd->u.expire.unit.job != 0;
    case JOBS_STOP:
        return cmd->u.stop.job != 0;
    case JOBS_PAUSE:
        return cmd->u.pause.job != 0;
    case JOBS_RESUME:
        return cmd->u.resume.job != 0;
    case JOBS_RESIZE:
        return resize_ok(&cmd->u.resize);
    case JOBS_DEADLINE:
        return cmd->u.deadline.job != 0;
    case JOBS_DATASET_ADD:
        return wire_name_ok(cmd->u.dataset_add.name);
    case JOBS_DATASET_REMOVE:
        return wire_name_ok(cmd->u.dataset_remove.name);
    case JOBS_SESSION_OPEN:
        return cmd->session == 0;
    case JOBS_SESSION_KEEP:
        return cmd->session != 0;
    case JOBS_CONFIG_SET:
        return config_set_ok(&cmd->u.config_set);
    case JOBS_NODE_MARK:
        return cmd->u.node_mark.mark >= JOBS_MARK_DRAIN && cmd->u.node_mark.mark < JOBS_MARK_COUNT;
    case JOBS_MODEL_REMOVE:
        return wire_name_ok(cmd->u.model_remove.name);
    case JOBS_JOB_REMOVE:
        return cmd->u.job_remove.job != 0;
    case JOBS_CMD_TYPE_COUNT:
        break;
    }
    return false;
}

static bool cmd_ok(const struct jobs_cmd *cmd)
{
    bool numbered = cmd->session == 0 || cmd->number != 0 || cmd->type == JOBS_SESSION_KEEP;
    return numbered && body_ok(cmd);
}

static void submit_put(struct sh_writer *w, const struct jobs_submit *c)
{
    wire_str_put(w, c->key);
    sh_put_u8(w, (uint8_t)c->kind);
    wire_str_put(w, c->name);
    wire_str_put(w, c->owner);
    sh_put_blob(w, c->spec.at, c->spec.size);
    sh_put_bytes(w, c->spec_digest, SH_DIGEST_BYTES);
    wire_need_put(w, &c->need);
    sh_put_u8(w, c->reproducible);
    sh_put_u8(w, c->priority);
    sh_put_u8(w, c->retries);
    sh_put_u8(w, c->checkpoint_keep);
    sh_put_u16(w, c->keep_results);
    sh_put_u32(w, c->units);
    sh_put_u8(w, (uint8_t)c->blob_count);
    sh_put_bytes(w, c->blobs, (size_t)c->blob_count * SH_DIGEST_BYTES);
    jobs_about_put(w, &c->about);
    sh_put_u64(w, c->deadline_us);
    wire_str_put(w, c->dataset);
    sh_put_u8(w, c->federated);
    jobs_stages_put(w, c->stages, c->stage_count);
}

static enum sh_err submit_get(struct sh_reader *r, struct jobs_submit *c)
{
    wire_str_get(r, c->key, sizeof c->key);
    c->kind = (enum wire_kind)sh_get_u8(r);
    wire_str_get(r, c->name, sizeof c->name);
    wire_str_get(r, c->owner, sizeof c->owner);
    c->spec = sh_get_blob(r, SH_SPEC_BYTES_MAX);
    sh_get_bytes(r, c->spec_digest, SH_DIGEST_BYTES);
    wire_need_get(r, &c->need);
    c->reproducible = sh_get_bool(r);
    c->priority = sh_get_u8(r);
    c->retries = sh_get_u8(r);
    c->checkpoint_keep = sh_get_u8(r);
    c->keep_results = sh_get_u16(r);
    c->units = sh_get_u32(r);
    c->blob_count = sh_get_u8(r);
    if (c->blob_count > JOBS_BLOBS_MAX) {
        r->bad = true;
        c->blob_count = 0;
    }
    sh_get_bytes(r, c->blobs, (size_t)c->blob_count * SH_DIGEST_BYTES);
    jobs_about_get(r, &c->about);
    c->deadline_us = sh_get_u64(r);
    wire_str_get(r, c->dataset, sizeof c->dataset);
    c->federated = sh_get_bool(r);
    c->stage_count = jobs_stages_get(r, c->stages);
    bool known = kind_known(c->kind) && arithmetic_known(c->need.arithmetic);
    return !r->bad && !known ? SH_ERR_VERSION : SH_OK;
}

static void place_put(struct sh_writer *w, const struct jobs_place *c)
{
    wire_unit_put(w, c->unit);
    wire_fence_put(w, c->previous);
    sh_put_u8(w, (uint8_t)c->cause);
    sh_put_bytes(w, c->class, WIRE_CLASS_BYTES);
    sh_put_u8(w, c->mixed);
    wire_members_put(w, c->members, c->member_count);
}

static void place_get(struct sh_reader *r, struct jobs_place *c)
{
    c->unit = wire_unit_get(r);
    c->previous = wire_fence_get(r);
    c->cause = (enum wire_cause)sh_get_u8(r);
    sh_get_bytes(r, c->class, WIRE_CLASS_BYTES);
    c->mixed = sh_get_bool(r);
    c->member_count = wire_members_get(r, c->members);
}

void jobs_holders_put(struct sh_writer *w, const uint8_t holders[][SH_NODE_ID_BYTES],
                      uint32_t count)
{
    SH_CHECK_CMP(count, <=, JOBS_HOLDERS_MAX);
    sh_put_u8(w, (uint8_t)count);
    sh_put_bytes(w, holders, (size_t)count * SH_NODE_ID_BYTES);
}

uint32_t jobs_holders_get(struct sh_reader *r, uint8_t holders[][SH_NODE_ID_BYTES])
{
    uint32_t count = sh_get_u8(r);
    if (count > JOBS_HOLDERS_MAX) {
        r->bad = true;
        count = 0;
    }
    sh_get_bytes(r, holders, (size_t)count * SH_NODE_ID_BYTES);
    return count;
}

/* Most jobs are about nothing: one byte. */
void jobs_about_put(struct sh_writer *w, const struct jobs_about *about)
{
    bool any = about->model[0] != '\0' || about->data[0] != '\0';
    sh_put_u8(w, any);
    if (any) {
        wire_str_put(w, about->model);
        sh_put_u32(w, about->version);
        wire_str_put(w, about->data);
        sh_put_bytes(w, about->digest, SH_DIGEST_BYTES);
    }
}

void jobs_about_get(struct sh_reader *r, struct jobs_about *about)
{
    if (sh_get_bool(r)) {
        wire_str_get(r, about->model, sizeof about->model);
        about->version = sh_get_u32(r);
        wire_str_get(r, about->data, sizeof about->data);
        sh_get_bytes(r, about->digest, SH_DIGEST_BYTES);
    }
}

void jobs_figures_put(struct sh_writer *w, const struct jobs_figures *f)
{
    sh_put_u8(w, f->samples > 0);
    if (f->samples > 0) {
        sh_put_u64(w, f->samples);
        for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
            sh_put_f64(w, f->at[i]);
        }
    }
}

void jobs_figures_get(struct sh_reader *r, struct jobs_figures *f)
{
    if (sh_get_bool(r)) {
        f->samples = sh_get_u64(r);
        for (uint32_t i = 0; i < JOBS_FIGURES_MAX; i++) {
            f->at[i] = sh_get_f64(r);
        }
    }
}

void jobs_outcome_put(struct sh_writer *w, const struct jobs_outcome *o)
{
    sh_put_bytes(w, o->file, SH_DIGEST_BYTES);
    sh_put_bytes(w, o->model, SH_DIGEST_BYTES);
    sh_put_bytes(w, o->state, SH_DIGEST_BYTES);
    sh_put_u64(w, o->metrics.test_correct);
    sh_put_u64(w, o->metrics.test_total);
    sh_put_u64(w, o->metrics.val_correct);
    sh_put_u64(w, o->metrics.val_total);
    sh_put_f64(w, o->metrics.train_loss);
    sh_put_f64(w, o->metrics.val_loss);
    sh_put_u64(w, o->steps);
    jobs_figures_put(w, &o->figures);
    sh_put_u8(w, o->scored);
    sh_put_f64(w, o->scored ? o->score : 0);
}

void jobs_outcome_get(struct sh_reader *r, struct jobs_outcome *o)
{
    sh_get_bytes(r, o->file, SH_DIGEST_BYTES);
    sh_get_bytes(r, o->model, SH_DIGEST_BYTES);
    sh_get_bytes(r, o->state, SH_DIGEST_BYTES);
    o->metrics.test_correct = sh_get_u64(r);
    o->metrics.test_total = sh_get_u64(r);
    o->metrics.val_correct = sh_get_u64(r);
    o->metrics.val_total = sh_get_u64(r);
    o->metrics.train_loss = sh_get_f64(r);
    o->metrics.val_loss = sh_get_f64(r);
    o->steps = sh_get_u64(r);
    jobs_figures_get(r, &o->figures);
    o->scored = sh_get_bool(r);
    o->score = sh_get_f64(r);
}

static void unit_cmd_put(struct sh_writer *w, const struct jobs_cmd *cmd)
{
    if (cmd->type == JOBS_CHECKPOINT) {
        const struct jobs_checkpoint_add *c = &cmd->u.checkpoint;
        wire_unit_put(w, c->unit);
        wire_fence_put(w, c->fence);
        sh_put_u64(w, c->step);
        sh_put_bytes(w, c->manifest, SH_DIGEST_BYTES);
        jobs_holders_put(w, c->holders, c->holder_count);
        sh_put_u64(w, c->cost_us);
    } else if (cmd->type == JOBS_PROGRESS) {
        const struct jobs_progress *c = &cmd->u.progress;
        wire_unit_put(w, c->unit);
        wire_fence_put(w, c->fence);
        sh_put_u16(w, c->permille);
    } else if (cmd->type == JOBS_COMMIT) {
        const struct jobs_commit *c = &cmd->u.commit;
        wire_unit_put(w, c->unit);
        wire_fence_put(w, c->fence);
        sh_put_u8(w, c->partial);
        jobs_outcome_put(w, &c->outcome);
        jobs_holders_put(w, c->holders, c->holder_count);
    } else if (cmd->type == JOBS_FAIL) {
        const struct jobs_fail *c = &cmd->u.fail;
        wire_unit_put(w, c->unit);
        wire_fence_put(w, c->fence);
        sh_put_u16(w, (uint16_t)c->reason);
        sh_put_u8(w, c->final);
        sh_put_str(w, c->text);
        sh_put_bytes(w, c->node, SH_NODE_ID_BYTES);
    } else {
        const struct jobs_expire *c = &cmd->u.expire;
        wire_unit_put(w, c->unit);
        wire_fence_put(w, c->fence);
        sh_put_u8(w, (uint8_t)c->cause);
        sh_put_u64(w, c->grace_us);
    }
}

static void unit_cmd_get(struct sh_reader *r, struct jobs_cmd *cmd)
{
    if (cmd->type == JOBS_CHECKPOINT) {
        struct jobs_checkpoint_add *c = &cmd->u.checkpoint;
        c->unit = wire_unit_get(r);
        c->fence = wire_fence_get(r);
        c->step = sh_get_u64(r);
        sh_get_bytes(r, c->manifest, SH_DIGEST_BYTES);
        c->holder_count = jobs_holders_get(r, c->holders);
        c->cost_us = sh_get_u64(r);
    } else if (cmd->type == JOBS_PROGRESS) {
        struct jobs_progress *c = &cmd->u.progress;
        c->unit = wire_unit_get(r);
        c->fence = wire_fence_get(r);
        c->permille = sh_get_u16(r);
    } else if (cmd->type == JOBS_COMMIT) {
        struct jobs_commit *c = &cmd->u.commit;
        c->unit = wire_unit_get(r);
        c->fence = wire_fence_get(r);
        c->partial = sh_get_bool(r);
        jobs_outcome_get(r, &c->outcome);
        c->holder_count = jobs_holders_get(r, c->holders);
    } else if (cmd->type == JOBS_FAIL) {
        struct jobs_fail *c = &cmd->u.fail;
        c->unit = wire_unit_get(r);
        c->fence = wire_fence_get(r);
        c->reason = (enum sh_err)sh_get_u16(r);
        c->final = sh_get_bool(r);
        sh_get_str(r, c->text, sizeof c->text);
        sh_get_bytes(r, c->node, SH_NODE_ID_BYTES);
    } else {
        struct jobs_expire *c = &cmd->u.expire;
        c->unit = wire_unit_get(r);
        c->fence = wire_fence_get(r);
        c->cause = (enum wire_cause)sh_get_u8(r);
        c->grace_us = sh_get_u64(r);
    }
}

static void job_cmd_put(struct sh_writer *w, const struct jobs_cmd *cmd)
{
    if (cmd->type == JOBS_PAUSE) {
        sh_put_u64(w, cmd->u.pause.job);
        sh_put_u64(w, cmd->u.pause.grace_us);
    } else if (cmd->type == JOBS_RESUME) {
        sh_put_u64(w, cmd->u.resume.job);
    } else if (cmd->type == JOBS_DEADLINE) {
        sh_put_u64(w, cmd->u.deadline.job);
    } else if (cmd->type == JOBS_JOB_REMOVE) {
        sh_put_u64(w, cmd->u.job_remove.job);
    } else if (cmd->type == JOBS_RESIZE) {
        const struct jobs_resize *c = &cmd->u.resize;
        sh_put_u64(w, c->job);
        sh_put_u8(w, c->has_units);
        sh_put_u32(w, c->units);
        sh_put_u8(w, c->has_priority);
        sh_put_u8(w, c->priority);
    } else {
        sh_put_u64(w, cmd->u.stop.job);
    }
}

static void job_cmd_get(struct sh_reader *r, struct jobs_cmd *cmd)
{
    if (cmd->type == JOBS_PAUSE) {
        cmd->u.pause.job = sh_get_u64(r);
        cmd->u.pause.grace_us = sh_get_u64(r);
    } else if (cmd->type == JOBS_RESUME) {
        cmd->u.resume.job = sh_get_u64(r);
    } else if (cmd->type == JOBS_DEADLINE) {
        cmd->u.deadline.job = sh_get_u64(r);
    } else if (cmd->type == JOBS_JOB_REMOVE) {
        cmd->u.job_remove.job = sh_get_u64(r);
    } else if (cmd->type == JOBS_RESIZE) {
        struct jobs_resize *c = &cmd->u.resize;
        c->job = sh_get_u64(r);
        c->has_units = sh_get_bool(r);
        c->units = sh_get_u32(r);
        c->has_priority = sh_get_bool(r);
        c->priority = sh_get_u8(r);
    } else {
        cmd->u.stop.job = sh_get_u64(r);
    }
}

static void node_admit_put(struct sh_writer *w, const struct jobs_node_admit *c)
{
    sh_put_bytes(w, c->node, SH_NODE_ID_BYTES);
    sh_put_u64(w, c->handle);
    wire_str_put(w, c->name);
    wire_str_put(w, c->addr);
    wire_str_put(w, c->api);
    sh_put_u16(w, c->bulk_port);
}

static void node_admit_get(struct sh_reader *r, struct jobs_node_admit *c)
{
    sh_get_bytes(r, c->node, SH_NODE_ID_BYTES);
    c->handle = sh_get_u64(r);
    wire_str_get(r, c->name, sizeof c->name);
    wire_str_get(r, c->addr, sizeof c->addr);
    wire_str_get(r, c->api, sizeof c->api);
    c->bulk_port = sh_get_u16(r);
}

static void dataset_add_put(struct sh_writer *w, const struct jobs_dataset_add *c)
{
    wire_str_put(w, c->name);
    sh_put_bytes(w, c->digest, SH_DIGEST_BYTES);
    sh_put_bytes(w, c->node, SH_NODE_ID_BYTES);
    sh_put_str(w, c->path);
    sh_put_str(w, c->summary);
    sh_put_u8(w, c->local);
}

static void dataset_add_get(struct sh_reader *r, struct jobs_dataset_add *c)
{
    wire_str_get(r, c->name, sizeof c->name);
    sh_get_bytes(r, c->digest, SH_DIGEST_BYTES);
    sh_get_bytes(r, c->node, SH_NODE_ID_BYTES);
    sh_get_str(r, c->path, sizeof c->path);
    sh_get_str(r, c->summary, sizeof c->summary);
    c->local = sh_get_bool(r);
}

static void config_set_put(struct sh_writer *w, const struct jobs_config_set *c)
{
    sh_put_u8(w, (uint8_t)c->count);
    for (uint32_t i = 0; i < c->count; i++) {
        wire_str_put(w, c->at[i].key);
        sh_put_u8(w, c->at[i].unset);
        sh_put_u64(w, c->at[i].value);
    }
}

static void config_set_get(struct sh_reader *r, struct jobs_config_set *c)
{
    c->count = sh_get_u8(r);
    if (c->count > JOBS_SETTINGS_MAX) {
        r->bad = true;
        c->count = 0;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        wire_str_get(r, c->at[i].key, sizeof c->at[i].key);
        c->at[i].unset = sh_get_bool(r);
        c->at[i].value = sh_get_u64(r);
    }
}

static void session_open_put(struct sh_writer *w, const struct jobs_session_open *c)
{
    sh_put_bytes(w, c->node, SH_NODE_ID_BYTES);
    sh_put_u64(w, c->life);
}

static void model_remove_put(struct sh_writer *w, const struct jobs_model_remove *c)
{
    wire_str_put(w, c->name);
    sh_put_u32(w, c->version);
}

static void head_put(struct sh_writer *w, const struct jobs_cmd *cmd)
{
    sh_put_u8(w, ENCODING);
    sh_put_u8(w, (uint8_t)cmd->type);
    sh_put_u64(w, cmd->stamp_us);
    sh_put_u64(w, cmd->session);
    sh_put_u64(w, cmd->number);
}

enum sh_err jobs_cmd_encode(const struct jobs_cmd *cmd, struct sh_writer *w)
{
    if (!cmd_ok(cmd)) {
        return SH_ERR_INVALID;
    }
    head_put(w, cmd);
    switch (cmd->type) {
    case JOBS_NODE_ADMIT:
        node_admit_put(w, &cmd->u.node_admit);
        break;
    case JOBS_NODE_REMOVE:
        sh_put_bytes(w, cmd->u.node_remove.node, SH_NODE_ID_BYTES);
        break;
    case JOBS_SUBMIT:
        submit_put(w, &cmd->u.submit);
        break;
    case JOBS_PLACE:
        place_put(w, &cmd->u.place);
        break;
    case JOBS_PLACE_MANY:
        jobs_many_place_put(w, &cmd->u.place_many);
        break;
    case JOBS_COMMIT_MANY:
        jobs_many_commit_put(w, &cmd->u.commit_many);
        break;
    case JOBS_CHECKPOINT:
    case JOBS_PROGRESS:
    case JOBS_COMMIT:
    case JOBS_FAIL:
    case JOBS_EXPIRE:
        unit_cmd_put(w, cmd);
        break;
    case JOBS_STOP:
    case JOBS_PAUSE:
    case JOBS_RESUME:
    case JOBS_RESIZE:
    case JOBS_DEADLINE:
    case JOBS_JOB_REMOVE:
        job_cmd_put(w, cmd);
        break;
    case JOBS_DATASET_ADD:
        dataset_add_put(w, &cmd->u.dataset_add);
        break;
    case JOBS_DATASET_REMOVE:
        wire_str_put(w, cmd->u.dataset_remove.name);
        sh_put_bytes(w, cmd->u.dataset_remove.node, SH_NODE_ID_BYTES);
        break;
    case JOBS_SESSION_OPEN:
        session_open_put(w, &cmd->u.session_open);
        break;
    case JOBS_CONFIG_SET:
        config_set_put(w, &cmd->u.config_set);
        break;
    case JOBS_NODE_MARK:
        sh_put_bytes(w, cmd->u.node_mark.node, SH_NODE_ID_BYTES);
        sh_put_u8(w, (uint8_t)cmd->u.node_mark.mark);
        break;
    case JOBS_SESSION_KEEP:
        break;
    case JOBS_MODEL_REMOVE:
        model_remove_put(w, &cmd->u.model_remove);
        break;
    case JOBS_CMD_TYPE_COUNT:
        SH_UNREACHABLE();
    }
    return w->full ? SH_ERR_LIMIT : SH_OK;
}

static enum sh_err body_get(struct sh_reader *r, struct jobs_cmd *cmd)
{
    enum sh_err err = SH_OK;
    switch (cmd->type) {
    case JOBS_NODE_ADMIT:
        node_admit_get(r, &cmd->u.node_admit);
        break;
    case JOBS_NODE_REMOVE:
        sh_get_bytes(r, cmd->u.node_remove.node, SH_NODE_ID_BYTES);
        break;
    case JOBS_SUBMIT:
        err = submit_get(r, &cmd->u.submit);
        break;
    case JOBS_PLACE:
        place_get(r, &cmd->u.place);
        break;
    case JOBS_PLACE_MANY:
        jobs_many_place_get(r, &cmd->u.place_many);
        break;
    case JOBS_COMMIT_MANY:
        jobs_many_commit_get(r, &cmd->u.commit_many);
        break;
    case JOBS_CHECKPOINT:
    case JOBS_PROGRESS:
    case JOBS_COMMIT:
    case JOBS_FAIL:
    case JOBS_EXPIRE:
        unit_cmd_get(r, cmd);
        break;
    case JOBS_STOP:
    case JOBS_PAUSE:
    case JOBS_RESUME:
    case JOBS_RESIZE:
    case JOBS_DEADLINE:
    case JOBS_JOB_REMOVE:
        job_cmd_get(r, cmd);
        break;
    case JOBS_DATASET_ADD:
        dataset_add_get(r, &cmd->u.dataset_add);
        break;
    case JOBS_DATASET_REMOVE:
        wire_str_get(r, cmd->u.dataset_remove.name, sizeof cmd->u.dataset_remove.name);
        sh_get_bytes(r, cmd->u.dataset_remove.node, SH_NODE_ID_BYTES);
        break;
    case JOBS_SESSION_OPEN:
        sh_get_bytes(r, cmd->u.session_open.node, SH_NODE_ID_BYTES);
        cmd->u.session_open.life = sh_get_u64(r);
        break;
    case JOBS_CONFIG_SET:
        config_set_get(r, &cmd->u.config_set);
        break;
    case JOBS_NODE_MARK:
        sh_get_bytes(r, cmd->u.node_mark.node, SH_NODE_ID_BYTES);
        cmd->u.node_mark.mark = (enum jobs_mark)sh_get_u8(r);
        break;
    case JOBS_SESSION_KEEP:
        break;
    case JOBS_MODEL_REMOVE:
        wire_str_get(r, cmd->u.model_remove.name, sizeof cmd->u.model_remove.name);
        cmd->u.model_remove.version = sh_get_u32(r);
        break;
    case JOBS_CMD_TYPE_COUNT:
    default:
        err = SH_ERR_VERSION;
    }
    return err;
}

enum sh_err jobs_cmd_decode(const void *bytes, size_t size, struct jobs_cmd *cmd)
{
    memset(cmd, 0, sizeof *cmd);
    struct sh_reader r = sh_reader_over(bytes, size);
    uint8_t encoding = sh_get_u8(&r);
    uint8_t type = sh_get_u8(&r);
    cmd->stamp_us = sh_get_u64(&r);
    cmd->session = sh_get_u64(&r);
    cmd->number = sh_get_u64(&r);
    if (r.bad || encoding == 0 || type == 0) {
        return SH_ERR_CORRUPT;
    }
    if (encoding != ENCODING) {
        return SH_ERR_VERSION;
    }
    cmd->type = (enum jobs_cmd_type)type;
    enum sh_err err = body_get(&r, cmd);
    if (err == SH_OK) {
        err = sh_reader_end(&r);
    }
    if (err == SH_OK && !cmd_ok(cmd)) {
        err = SH_ERR_INVALID;
    }
    return err;
}

bool jobs_cmd_stamp(void *bytes, size_t size, uint64_t stamp_us)
{
    if (size < HEAD_BYTES) {
        return false;
    }
    struct sh_writer w = sh_writer_over((uint8_t *)bytes + STAMP_AT, sizeof stamp_us);
    sh_put_u64(&w, stamp_us);
    SH_CHECK(!w.full);
    return true;
}

bool jobs_cmd_sign(void *bytes, size_t size, uint64_t session, uint64_t number)
{
    if (size < HEAD_BYTES) {
        return false;
    }
    struct sh_writer w = sh_writer_over((uint8_t *)bytes + SESSION_AT, 2 * sizeof number);
    sh_put_u64(&w, session);
    sh_put_u64(&w, number);
    SH_CHECK(!w.full);
    return true;
}
