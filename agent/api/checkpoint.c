/* SPDX-License-Identifier: Apache-2.0
 *
 * One checkpoint: as it is kept, or, of training, as the model that it would be. */
#include "api/view.h"

#include "rounds/state.h"
#include "sweep/sweep.h"
#include "train/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA_WAIT_US UINT64_C(30000000) /* for data that describe the model */

/* The checkpoint of a unit at a step; NOT_FOUND. */
static enum sh_err find_checkpoint(const struct sh_table *t, struct wire_unit unit, uint64_t step,
                                   struct jobs_checkpoint *out)
{
    struct jobs_checkpoint kept[JOBS_KEEP_MAX];
    uint32_t count = 0;
    enum sh_err err = jobs_checkpoint_list(t, unit, kept, JOBS_KEEP_MAX, &count);
    for (uint32_t i = 0; err == SH_OK && i < count; i++) {
        if (kept[i].step == step) {
            *out = kept[i];
            return SH_OK;
        }
    }
    return err == SH_OK ? SH_ERR_NOT_FOUND : err;
}

/* What was asked for. */
struct wish {
    uint64_t step;
    struct wire_unit unit;
    bool as_model;
};

static bool read_wish(const struct api_request *request, struct api_reply *reply, struct wish *wish)
{
    const char *step = request->params[1];
    const char *as = api_query(request, "as");
    uint64_t unit = 0;
    if (!api_number(step, UINT64_MAX >> 1, &wish->step)) {
        api_reply_error(reply, SH_ERR_INVALID, "step", step, "must be the step of a checkpoint");
        return false;
    }
    if (!api_query_u64(request, "unit", JOBS_UNITS_MAX, 0, &unit)) {
        api_reply_error(reply, SH_ERR_INVALID, "unit", api_query(request, "unit"),
                        "must be the number of a unit");
        return false;
    }
    if (as != NULL && strcmp(as, "model") != 0) {
        api_reply_error(reply, SH_ERR_INVALID, "as", as,
                        "must be model, or left out: the checkpoint as it is kept");
        return false;
    }
    wish->unit.unit = (uint32_t)unit;
    wish->as_model = as != NULL;
    return true;
}

/* The job file of the unit, which of a sweep is its own; given (free). NULL: no memory, or gone. */
static char *copy_spec(const struct sh_table *t, const struct jobs_job *job, uint32_t unit,
                       uint8_t digest[static SH_DIGEST_BYTES])
{
    struct sh_span spec = {0};
    struct sweep *sweep = NULL;
    char *text = NULL;
    memcpy(digest, job->spec_digest, SH_DIGEST_BYTES);
    if (job->stage_count == 0) {
        return jobs_spec_get(t, job->id, &spec) == SH_OK ? strndup((const char *)spec.at, spec.size)
                                                         : NULL;
    }
    struct spec_derived *derived = malloc(sizeof *derived);
    if (derived != NULL && sweep_open(&sweep, t, job) == SH_OK &&
        sweep_derive(sweep, unit, derived) == SH_OK) {
        text = strndup(derived->spec, derived->size);
        memcpy(digest, derived->digest, SH_DIGEST_BYTES);
    }
    sweep_close(sweep);
    free(derived);
    return text;
}

static bool has_model(const struct jobs_job *job)
{
    return job->kind == WIRE_KIND_TRAIN || job->kind == WIRE_KIND_FINE_TUNE;
}

static void reply_model(const struct api_request *request, struct api_reply *reply, char *spec,
                        const uint8_t digest[static SH_DIGEST_BYTES],
                        const struct jobs_checkpoint *checkpoint)
{
    char scratch[API_SCRATCH_BYTES];
    char why[TRAIN_WHY_BYTES] = "";
    const char *step = request->params[1];
    struct train_material_source source = {
        .s = request->service,
        .spec = {.at = (const uint8_t *)spec, .size = strlen(spec)},
        .cache = scratch,
        .wait_us = DATA_WAIT_US};
    uint8_t *file = NULL;
    size_t size = 0;
    uint64_t state_size = 0;
    memcpy(source.spec_digest, digest, sizeof source.spec_digest);
    enum sh_err err = service_scratch(request->service, scratch, sizeof scratch);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return;
    }
    uint8_t *state = api_read_blob(request, reply, "step", step, checkpoint->manifest, &state_size);
    if (state == NULL) {
        return;
    }
    err = train_state_model_of(&source, (struct sh_span){.at = state, .size = (size_t)state_size},
                               &file, &size, why);
    free(state);
    if (err == SH_OK) {
        api_reply_text(reply, "application/octet-stream", (char *)file, size);
    } else {
        api_reply_error(reply, err, "step", step, "%s", why[0] != '\0' ? why : sh_err_text(err));
    }
}

/* After a round: the state holds the model as a file (rounds/state.h). */
static void reply_round(const struct api_request *request, struct api_reply *reply,
                        const struct jobs_checkpoint *checkpoint)
{
    struct rounds_state state;
    uint64_t size = 0;
    uint8_t *bytes =
        api_read_blob(request, reply, "step", request->params[1], checkpoint->manifest, &size);
    if (bytes == NULL) {
        return;
    }
    struct sh_span span = {.at = bytes, .size = (size_t)size};
    enum sh_err err = rounds_state_decode(span, &state);
    if (err != SH_OK) {
        free(bytes);
        api_reply_err(reply, err);
        return;
    }
    memmove(bytes, state.file.at, state.file.size);
    api_reply_text(reply, "application/octet-stream", (char *)bytes, state.file.size);
}

static void reply_kept(const struct api_request *request, struct api_reply *reply,
                       const struct jobs_checkpoint *checkpoint)
{
    uint64_t size = 0;
    if (api_fetch_blob(request, reply, "step", request->params[1], checkpoint->manifest, &size)) {
        api_reply_blob(request, reply, checkpoint->manifest, size);
    }
}

/* What the tables say of it; false with the reply made. spec is given where a model is wanted. */
static bool look_up(const struct api_request *request, struct api_reply *reply, struct wish *wish,
                    struct jobs_job *job, struct jobs_checkpoint *checkpoint, char **spec,
                    uint8_t digest[static SH_DIGEST_BYTES])
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    const struct sh_table *t = service_view_table(view);
    bool found = api_find_job(request, reply, t, job);
    wish->unit.job = job->id;
    enum sh_err err = found ? find_checkpoint(t, wish->unit, wish->step, checkpoint) : SH_OK;
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "step", request->params[1],
                        "unit %u has no checkpoint of that step that is kept", wish->unit.unit);
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else if (found && wish->as_model && !has_model(job)) {
        err = SH_ERR_INVALID;
        api_reply_error(reply, err, "as", "model",
                        "the job is of kind %s: only checkpoints of training are models, its own "
                        "come as they are kept",
                        api_kind_text(job->kind));
    } else if (found && wish->as_model) {
        *spec = copy_spec(t, job, wish->unit.unit, digest);
        err = *spec != NULL ? SH_OK : SH_ERR_NO_MEMORY;
        if (err != SH_OK) {
            api_reply_err(reply, err);
        }
    }
    service_view_close(view);
    return found && err == SH_OK;
}

void api_get_checkpoint(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_job job = {.id = 0};
    struct jobs_checkpoint checkpoint;
    struct wish wish = {.step = 0};
    uint8_t digest[SH_DIGEST_BYTES];
    char *spec = NULL;
    if (!read_wish(request, reply, &wish) ||
        !look_up(request, reply, &wish, &job, &checkpoint, &spec, digest)) {
        return;
    }
    if (wish.as_model && job.federated) {
        reply_round(request, reply, &checkpoint);
    } else if (spec != NULL) {
        reply_model(request, reply, spec, digest, &checkpoint);
    } else {
        reply_kept(request, reply, &checkpoint);
    }
    (void)snprintf(reply->file_name, sizeof reply->file_name, "%s-%u-step-%llu%s", job.name,
                   wish.unit.unit, (unsigned long long)wish.step,
                   wish.as_model ? ".safetensors" : "");
    free(spec);
}
