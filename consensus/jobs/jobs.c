/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/jobs.h"
#include "jobs/tx.h"

static const char *const code_names[JOBS_CODE_COUNT] = {
#define X(number, name, text) [number] = #name,
    JOBS_CODE_MAP(X)
#undef X
};

static const char *const code_texts[JOBS_CODE_COUNT] = {
#define X(number, name, text) [number] = text,
    JOBS_CODE_MAP(X)
#undef X
};

static const enum sh_err code_errs[JOBS_CODE_COUNT] = {
    [JOBS_CODE_NONE] = SH_OK,
    [JOBS_CODE_BAD_COMMAND] = SH_ERR_INVALID,
    [JOBS_CODE_UNKNOWN_COMMAND] = SH_ERR_VERSION,
    [JOBS_CODE_NODE_NAME_TAKEN] = SH_ERR_EXISTS,
    [JOBS_CODE_NODE_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_NODES_FULL] = SH_ERR_FULL,
    [JOBS_CODE_JOB_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_KEY_REUSED] = SH_ERR_EXISTS,
    [JOBS_CODE_LIVE_FULL] = SH_ERR_FULL,
    [JOBS_CODE_TOTAL_FULL] = SH_ERR_FULL,
    [JOBS_CODE_UNIT_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_FENCE_STALE] = SH_ERR_STALE,
    [JOBS_CODE_UNIT_CLOSED] = SH_ERR_CONFLICT,
    [JOBS_CODE_UNIT_STOPPING] = SH_ERR_CONFLICT,
    [JOBS_CODE_JOB_FINISHED] = SH_ERR_CONFLICT,
    [JOBS_CODE_RESULT_DIFFERS] = SH_ERR_CONFLICT,
    [JOBS_CODE_NOT_STOPPING] = SH_ERR_CONFLICT,
    [JOBS_CODE_RANKS_UNCOVERED] = SH_ERR_INVALID,
    [JOBS_CODE_MEMBER_COUNT] = SH_ERR_INVALID,
    [JOBS_CODE_MEMBER_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_MEMBER_TWICE] = SH_ERR_INVALID,
    [JOBS_CODE_CLASS_DIFFERS] = SH_ERR_CONFLICT,
    [JOBS_CODE_STEP_OLD] = SH_ERR_CONFLICT,
    [JOBS_CODE_DATASET_DIFFERS] = SH_ERR_EXISTS,
    [JOBS_CODE_DATASETS_FULL] = SH_ERR_FULL,
    [JOBS_CODE_DATASET_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_ROW_DAMAGED] = SH_ERR_CORRUPT,
    [JOBS_CODE_HANDLE_USED] = SH_ERR_CONFLICT,
    [JOBS_CODE_SESSION_UNKNOWN] = SH_ERR_STALE,
    [JOBS_CODE_NUMBER_OLD] = SH_ERR_STALE,
    [JOBS_CODE_NOT_ALIKE] = SH_ERR_INVALID,
    [JOBS_CODE_BAD_SETTING] = SH_ERR_INVALID,
    [JOBS_CODE_SETTINGS_FULL] = SH_ERR_FULL,
    [JOBS_CODE_NOT_QUARANTINED] = SH_ERR_CONFLICT,
    [JOBS_CODE_JOB_PAUSED] = SH_ERR_CONFLICT,
    [JOBS_CODE_NOT_PAUSED] = SH_ERR_CONFLICT,
    [JOBS_CODE_JOB_STOPPING] = SH_ERR_CONFLICT,
    [JOBS_CODE_UNIT_YIELDS] = SH_ERR_CONFLICT,
    [JOBS_CODE_FIXED_UNITS] = SH_ERR_CONFLICT,
    [JOBS_CODE_BELOW_COMMITTED] = SH_ERR_CONFLICT,
    [JOBS_CODE_UNITS_FULL] = SH_ERR_FULL,
    [JOBS_CODE_DEADLINE_AHEAD] = SH_ERR_CONFLICT,
    [JOBS_CODE_UNIT_EARLY] = SH_ERR_CONFLICT,
    [JOBS_CODE_JOB_OPEN] = SH_ERR_CONFLICT,
    [JOBS_CODE_MODEL_UNKNOWN] = SH_ERR_NOT_FOUND,
    [JOBS_CODE_MODEL_IN_USE] = SH_ERR_CONFLICT,
};

const char *jobs_code_name(uint32_t code)
{
    return code < JOBS_CODE_COUNT ? code_names[code] : "UNKNOWN";
}

const char *jobs_code_text(uint32_t code)
{
    return code < JOBS_CODE_COUNT ? code_texts[code] : "?";
}

size_t jobs_bytes(void)
{
    return sizeof(struct jobs) + _Alignof(struct jobs);
}

struct jobs *jobs_init(struct sh_arena *arena)
{
    return SH_ARENA_TAKE(arena, struct jobs, 1);
}

static enum jobs_code dispatch(struct jobs_tx *tx)
{
    const struct jobs_cmd *cmd = &tx->core->cmd;
    switch (cmd->type) {
    case JOBS_NODE_ADMIT:
        return jobs_do_node_admit(tx, &cmd->u.node_admit);
    case JOBS_NODE_REMOVE:
        return jobs_do_node_remove(tx, &cmd->u.node_remove);
    case JOBS_SUBMIT:
        return jobs_do_submit(tx, &cmd->u.submit);
    case JOBS_PLACE:
        return jobs_do_place(tx, &cmd->u.place);
    case JOBS_PLACE_MANY:
        return jobs_do_place_many(tx, &cmd->u.place_many);
    case JOBS_COMMIT_MANY:
        return jobs_do_commit_many(tx, &cmd->u.commit_many);
    case JOBS_CHECKPOINT:
        return jobs_do_checkpoint(tx, &cmd->u.checkpoint);
    case JOBS_PROGRESS:
        return jobs_do_progress(tx, &cmd->u.progress);
    case JOBS_COMMIT:
        return jobs_do_commit(tx, &cmd->u.commit);
    case JOBS_FAIL:
        return jobs_do_fail(tx, &cmd->u.fail);
    case JOBS_EXPIRE:
        return jobs_do_expire(tx, &cmd->u.expire);
    case JOBS_STOP:
        return jobs_do_stop(tx, &cmd->u.stop);
    case JOBS_PAUSE:
        return jobs_do_pause(tx, &cmd->u.pause);
    case JOBS_RESUME:
        return jobs_do_resume(tx, &cmd->u.resume);
    case JOBS_RESIZE:
        return jobs_do_resize(tx, &cmd->u.resize);
    case JOBS_DEADLINE:
        return jobs_do_deadline(tx, &cmd->u.deadline);
    case JOBS_DATASET_ADD:
        return jobs_do_dataset_add(tx, &cmd->u.dataset_add);
    case JOBS_DATASET_REMOVE:
        return jobs_do_dataset_remove(tx, &cmd->u.dataset_remove);
    case JOBS_SESSION_OPEN:
        return jobs_do_session_open(tx, &cmd->u.session_open);
    case JOBS_CONFIG_SET:
        return jobs_do_config_set(tx, &cmd->u.config_set);
    case JOBS_NODE_MARK:
        return jobs_do_node_mark(tx, &cmd->u.node_mark);
    case JOBS_MODEL_REMOVE:
        return jobs_do_model_remove(tx, &cmd->u.model_remove);
    case JOBS_JOB_REMOVE:
        return jobs_do_job_remove(tx, &cmd->u.job_remove);
    case JOBS_SESSION_KEEP: /* without a session it is no command */
    case JOBS_CMD_TYPE_COUNT:
        break;
    }
    SH_UNREACHABLE();
}

static void answer(struct jobs_result *result, enum jobs_code code, bool halt)
{
    result->code = code;
    result->err = code_errs[code];
    result->halt = halt;
    SH_CHECK(SH_IMPLIES(code != JOBS_CODE_NONE, result->err != SH_OK));
}

void jobs_apply(struct jobs *core, const struct sh_table *table, const struct jobs_entry *entry,
                struct jobs_result *result)
{
    struct jobs_tx tx = {.core = core, .table = table, .entry = entry, .result = result};
    *result = (struct jobs_result){.err = SH_OK};
    if (jobs_counts_get(table, &tx.meta) != SH_OK) {
        answer(result, JOBS_CODE_ROW_DAMAGED, true);
        return;
    }
    SH_CHECK_CMP(entry->index, >, tx.meta.applied);
    SH_CHECK_CMP(entry->term, >=, tx.meta.applied_term);
    enum sh_err err = jobs_cmd_decode(entry->bytes.at, entry->bytes.size, &core->cmd);
    if (err == SH_ERR_VERSION) {
        answer(result, JOBS_CODE_UNKNOWN_COMMAND, true);
        return;
    }
    enum jobs_code code = JOBS_CODE_BAD_COMMAND;
    if (err == SH_OK) {
        result->type = (uint32_t)core->cmd.type;
        tx.meta.stamp_us =
            core->cmd.stamp_us > tx.meta.stamp_us ? core->cmd.stamp_us : tx.meta.stamp_us;
        result->session = core->cmd.session;
        result->number = core->cmd.number;
        if (jobs_session_enter(&tx, &code)) {
            code = dispatch(&tx);
            jobs_session_remember(&tx, code);
        }
    }
    if (tx.broken) {
        answer(result, JOBS_CODE_ROW_DAMAGED, true);
        return;
    }
    jobs_change_prune(&tx);
    answer(result, code, false);
    result->stamp_us = tx.meta.stamp_us;
    tx.meta.applied = entry->index;
    tx.meta.applied_term = entry->term;
    struct jobs_row_key key = jobs_row_letter('M');
    table->put(table->ctx, jobs_row_span(&key), jobs_row_put_meta(core->buffer, &tx.meta));
}
