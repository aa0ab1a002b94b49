/* SPDX-License-Identifier: Apache-2.0
 *
 * Models: their rows, their files, and what they say about an input. */
#include "api/reference.h"
#include "api/view.h"

#include "infer/infer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS  64u
#define HOLDERS_US UINT64_C(3000000)

/* False with the reply made. */
static bool read_model(struct api_reply *reply, const char *text, struct spec_model_ref *ref)
{
    bool good = spec_model_ref_read(text, ref);
    if (!good) {
        api_reply_error(reply, SH_ERR_INVALID, "model", text, "must be " SPEC_MODEL_REF_FORMS);
    }
    return good;
}

/* The row; else the reply is made. */
static bool find_model(struct api_reply *reply, const struct sh_table *t, const char *text,
                       struct jobs_model *model)
{
    struct spec_model_ref ref;
    if (!read_model(reply, text, &ref)) {
        return false;
    }
    enum sh_err err = api_reference_find(t, &ref, model);
    if (err == SH_ERR_NOT_FOUND || err == SH_ERR_INVALID) {
        char why[API_REFERENCE_WHY];
        api_reference_why(t, &ref, err, why);
        api_reply_error(reply, err, "model", text, "%s", why);
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

/* The row that text names; NULL with the reply made. Given (free). */
static struct jobs_model *take_model(const struct api_request *request, struct api_reply *reply,
                                     const char *text)
{
    struct service_view *view = NULL;
    struct jobs_model *model = malloc(sizeof *model);
    if (model == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return NULL;
    }
    bool found = api_open_view(request, reply, &view);
    if (found) {
        found = find_model(reply, service_view_table(view), text, model);
        service_view_close(view);
    }
    if (!found) {
        free(model);
        return NULL;
    }
    return model;
}

/* The version of a sweep's best unit says so. best: of the job that was looked at last. */
static json_t *listed_json(const struct sh_table *t, const struct jobs_model *model,
                           struct wire_unit *best)
{
    json_t *out = api_model_json(t, model);
    if (out != NULL && model->outcome.scored) {
        if (best->job != model->unit.job) {
            *best = (struct wire_unit){.job = model->unit.job,
                                       .unit = api_sweep_best(t, model->unit.job)};
        }
        (void)json_object_set_new(out, "best", json_boolean(model->unit.unit == best->unit));
    }
    return out;
}

static json_t *models_json(const struct sh_table *t)
{
    struct wire_unit best = {0};
    json_t *list = json_array();
    struct jobs_model *page = malloc(PAGE_ROWS * sizeof *page);
    char after[SH_NAME_MAX + 1] = "";
    uint32_t version = 0;
    uint32_t count = page != NULL ? PAGE_ROWS : 0;
    while (count == PAGE_ROWS) {
        if (jobs_model_list(t, after, version, page, PAGE_ROWS, &count) != SH_OK) {
            break;
        }
        for (uint32_t i = 0; i < count; i++) {
            (void)json_array_append_new(list, listed_json(t, &page[i], &best));
        }
        if (count > 0) {
            memcpy(after, page[count - 1].name, sizeof after);
            version = page[count - 1].version;
        }
    }
    free(page);
    return list;
}

void api_get_models(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    json_t *list = models_json(service_view_table(view));
    service_view_close(view);
    api_reply_json(reply, 200, json_pack("{s:o}", "models", list));
}

/* Who has its file now, instead of who had it when it was committed. */
static void put_holders(const struct api_request *request, json_t *out,
                        const struct jobs_model *model)
{
    struct service_holders holders;
    struct service_view *view = NULL;
    if (service_blob_holders(request->service, model->outcome.file, &holders, HOLDERS_US) !=
            SH_OK ||
        service_view_open(request->service, &view) != SH_OK) {
        return;
    }
    json_t *list = json_array();
    for (uint32_t i = 0; i < holders.count; i++) {
        (void)json_array_append_new(list, api_node_ref(service_view_table(view), holders.ids[i]));
    }
    service_view_close(view);
    (void)json_object_set_new(out, "holders", list);
}

void api_get_model(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_model *model = take_model(request, reply, request->params[0]);
    if (model == NULL || !api_open_here(request, reply, &view)) {
        free(model);
        return;
    }
    struct wire_unit best = {0};
    json_t *out = listed_json(service_view_table(view), model, &best);
    (void)json_object_set_new(out, "evaluations",
                              api_evaluations_json(service_view_table(view), model));
    service_view_close(view);
    put_holders(request, out, model);
    free(model);
    api_reply_json(reply, 200, out);
}

void api_remove_model(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_cmd cmd = {.type = JOBS_MODEL_REMOVE};
    struct jobs_model_remove *remove = &cmd.u.model_remove;
    uint8_t bytes[128];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct jobs_result result;
    const char *text = request->params[0];
    struct spec_model_ref ref;
    if (!read_model(reply, text, &ref)) {
        return;
    }
    if (ref.alias != SPEC_ALIAS_NONE) {
        api_reply_error(
            reply, SH_ERR_INVALID, "model", text,
            "must be NAME:VERSION, or NAME for all versions: what it stands for changes");
        return;
    }
    memcpy(remove->name, ref.name, sizeof remove->name);
    remove->version = ref.version;
    enum sh_err err = jobs_cmd_encode(&cmd, &w);
    if (err == SH_OK) {
        err = service_propose(request->service, bytes, w.used, API_WRITE_TIMEOUT_US, &result);
    }
    if (err == SH_ERR_CONFLICT) {
        api_reply_error(reply, err, "model", text, "a job that has not ended needs the model");
    } else if (err == SH_ERR_NOT_FOUND || err == SH_ERR_INVALID) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "model", text, "no such model");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, json_pack("{s:s}", "removed", text));
    }
}

void api_get_model_file(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_model *model = take_model(request, reply, request->params[0]);
    uint64_t size = 0;
    if (model == NULL ||
        !api_fetch_blob(request, reply, "model", model->name, model->outcome.file, &size)) {
        free(model);
        return;
    }
    api_reply_blob(request, reply, model->outcome.file, size);
    /* What a script calls its model has any form. */
    bool script = memcmp(model->outcome.model, model->outcome.file, SH_DIGEST_BYTES) == 0;
    (void)snprintf(reply->file_name, sizeof reply->file_name, "%s-%u%s", model->name,
                   model->version, script ? "" : ".safetensors");
    free(model);
}

static json_t *sample_json(const struct infer *infer, const float *y)
{
    uint32_t outputs = infer_outputs(infer);
    json_t *list = json_array();
    if (!infer_classifies(infer)) {
        return json_pack("{s:o, s:o}", "value", spec_json_number((double)y[0]), "classes", list);
    }
    uint32_t *order = malloc(outputs * sizeof *order);
    if (order == NULL) {
        json_decref(list);
        return NULL;
    }
    infer_order(y, outputs, order);
    for (uint32_t i = 0; i < outputs; i++) {
        (void)json_array_append_new(list, json_pack("{s:s, s:o}", "class",
                                                    infer_class(infer, order[i]), "probability",
                                                    spec_json_number((double)y[order[i]])));
    }
    free(order);
    return json_pack("{s:o}", "classes", list);
}

static void predict(const struct api_request *request, struct api_reply *reply,
                    const struct jobs_model *model, const struct infer *infer)
{
    const char *invert = api_query(request, "invert");
    struct infer_input input = {.bytes = request->body,
                                .size = request->body_size,
                                .invert = invert != NULL && strcmp(invert, "1") == 0};
    struct kn_diag why = {.text = ""};
    float *y = NULL;
    uint32_t count = 0;
    enum sh_err err = infer_run(infer, &input, &y, &count, &why);
    if (err != SH_OK) {
        api_reply_error(reply, err, "input", "", "%s", why.text);
        return;
    }
    json_t *samples = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(samples,
                                    sample_json(infer, y + (size_t)i * infer_outputs(infer)));
    }
    free(y);
    api_reply_json(reply, 200,
                   json_pack("{s:s, s:i, s:o, s:o}", "model", model->name, "version",
                             (int)model->version, "model_digest",
                             spec_json_hex(model->outcome.model, sizeof model->outcome.model),
                             "samples", samples));
}

void api_post_predict(const struct api_request *request, struct api_reply *reply)
{
    const char *text = api_query(request, "model");
    if (text == NULL || request->body_size == 0) {
        api_reply_error(reply, SH_ERR_INVALID, text == NULL ? "model" : "body", "", "is missing");
        return;
    }
    struct jobs_model *model = take_model(request, reply, text);
    if (model == NULL) {
        return;
    }
    uint64_t size = 0;
    uint8_t *bytes =
        api_read_blob(request, reply, "model", model->name, model->outcome.file, &size);
    if (bytes != NULL) {
        struct infer *infer = NULL;
        struct kn_diag why = {.text = ""};
        enum sh_err err = infer_open(bytes, (size_t)size, &infer, &why);
        if (err == SH_OK) {
            predict(request, reply, model, infer);
            infer_close(infer);
        } else {
            api_reply_error(reply, err, "model", text, "%s", why.text);
        }
    }
    free(bytes);
    free(model);
}
