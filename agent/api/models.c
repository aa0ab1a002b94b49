/* SPDX-License-Identifier: Apache-2.0
 *
 * Models: their rows, their files, and what they say about an input. */
#include "api/view.h"

#include "infer/infer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS      64u
#define FILE_BYTES_MAX (UINT64_C(4) << 30)

/* NAME or NAME:VERSION into a row; else the reply is made. */
static bool find_model(const struct api_request *request, struct api_reply *reply,
                       const struct sh_table *t, const char *text, struct jobs_model *model)
{
    (void)request;
    char name[SH_NAME_MAX + 1];
    size_t n = strcspn(text, ":");
    const char *version = text[n] == ':' ? text + n + 1 : "0";
    size_t digits = strspn(version, "0123456789");
    if (n == 0 || n > SH_NAME_MAX || digits == 0 || digits > 9 || version[digits] != '\0') {
        api_reply_error(reply, SH_ERR_INVALID, "model", text, "must be NAME or NAME:VERSION");
        return false;
    }
    memcpy(name, text, n);
    name[n] = '\0';
    enum sh_err err = jobs_model_get(t, name, (uint32_t)strtoul(version, NULL, 10), model);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "model", text, "no such model");
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
        found = find_model(request, reply, service_view_table(view), text, model);
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
    service_view_close(view);
    free(model);
    api_reply_json(reply, 200, out);
}

/* Makes the file local and tells its size; false with the reply made. */
static bool fetch_file(const struct api_request *request, struct api_reply *reply,
                       const struct jobs_model *model, uint64_t *size)
{
    if (!api_fetch_blob(request, reply, "model", model->name, model->outcome.file, size)) {
        return false;
    }
    if (*size > FILE_BYTES_MAX) {
        api_reply_err(reply, SH_ERR_LIMIT);
        return false;
    }
    return true;
}

void api_get_model_file(const struct api_request *request, struct api_reply *reply)
{
    struct jobs_model *model = take_model(request, reply, request->params[0]);
    uint64_t size = 0;
    if (model == NULL || !fetch_file(request, reply, model, &size)) {
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

/* The whole file in memory; NULL with the reply made. Given (free). */
static uint8_t *read_whole(const struct api_request *request, struct api_reply *reply,
                           const struct jobs_model *model, uint64_t *size)
{
    if (!fetch_file(request, reply, model, size)) {
        return NULL;
    }
    uint8_t *bytes = malloc(*size > 0 ? *size : 1);
    uint64_t have = 0;
    enum sh_err err = bytes == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    while (err == SH_OK && have < *size) {
        size_t n = 0;
        err = service_blob_read(request->service, model->outcome.file, have, bytes + have,
                                *size - have, &n);
        if (err == SH_OK && n == 0) {
            err = SH_ERR_CORRUPT;
        }
        have += n;
    }
    if (err != SH_OK) {
        free(bytes);
        api_reply_err(reply, err);
        return NULL;
    }
    return bytes;
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
    uint8_t *bytes = read_whole(request, reply, model, &size);
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
