/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/tune.h"

#include "spec/graph.h"
#include "spec/model_meta.h"

#include <stdio.h>
#include <string.h>

void infer_tune_fill(const struct infer *parent, struct spec_job *job)
{
    const struct spec_meta *meta = infer_meta(parent);
    struct spec_train *t = &job->train;
    if (job->model.layer_count == 0) {
        job->model = meta->model;
        t->loss = meta->loss;
    }
    if (job->data.reading.audio.mels == 0 && job->data.reading.text.context == 0) {
        job->data.reading = meta->reading;
    }
    bool counted = t->class_count == 0 || t->class_count == meta->class_count;
    if (t->loss == SPEC_CROSS_ENTROPY && !t->classes_named && counted &&
        job->use.reset_count == 0) {
        t->class_count = meta->class_count;
        t->classes_named = true;
        memcpy(t->classes, meta->classes, sizeof t->classes);
    }
}

/* Is the tensor one of this layer ("dense1.weight" of "dense1")? */
static bool is_of(const char *tensor, const char *layer)
{
    size_t n = strlen(layer);
    return strncmp(tensor, layer, n) == 0 && tensor[n] == '.';
}

static bool begins_anew(const struct spec_use *use, const char *tensor)
{
    bool anew = false;
    for (uint32_t i = 0; i < use->reset_count; i++) {
        anew = anew || is_of(tensor, use->reset[i]);
    }
    return anew;
}

static const struct kn_tensor_info *find(const struct kn_model *m, const char *name, bool buffer)
{
    uint32_t count = buffer ? kn_model_buffer_tensors(m) : kn_model_param_tensors(m);
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_tensor_info *info = buffer ? kn_model_buffer(m, i) : kn_model_param(m, i);
        if (strcmp(info->name, name) == 0) {
            return info;
        }
    }
    return NULL;
}

static bool same_shape(const struct kn_tensor_info *a, const struct kn_tensor_info *b)
{
    bool same = a->rank == b->rank && a->count == b->count;
    for (uint32_t i = 0; same && i < a->rank; i++) {
        same = a->dim[i] == b->dim[i];
    }
    return same;
}

static enum sh_err check_tensors(const struct infer *parent, const struct spec_job *job,
                                 const struct kn_model *m, bool buffers, struct kn_diag *why)
{
    uint32_t count = buffers ? kn_model_buffer_tensors(m) : kn_model_param_tensors(m);
    for (uint32_t i = 0; i < count; i++) {
        const struct kn_tensor_info *info = buffers ? kn_model_buffer(m, i) : kn_model_param(m, i);
        const struct kn_tensor_info *old = find(infer_model(parent), info->name, buffers);
        if (begins_anew(&job->use, info->name) || (old != NULL && same_shape(info, old))) {
            continue;
        }
        size_t layer = strcspn(info->name, ".");
        (void)kn_fail(why, KN_ERR_INVALID,
                      "%s %s; name its layer in reset to begin it anew: reset: [%.*s]", info->name,
                      old == NULL ? "is no tensor of that model" : "has another shape there",
                      (int)layer, info->name);
        return SH_ERR_INVALID;
    }
    return SH_OK;
}

static enum sh_err check_reset(const struct spec_use *use, const struct kn_model *m,
                               struct kn_diag *why)
{
    for (uint32_t k = 0; k < use->reset_count; k++) {
        bool found = false;
        for (uint32_t i = 0; i < kn_model_param_tensors(m); i++) {
            found = found || is_of(kn_model_param(m, i)->name, use->reset[k]);
        }
        if (!found) {
            (void)kn_fail(why, KN_ERR_INVALID,
                          "reset: no layer %s with weights; shoal validate prints their names",
                          use->reset[k]);
            return SH_ERR_INVALID;
        }
    }
    return SH_OK;
}

enum sh_err infer_tune_check(const struct infer *parent, const struct spec_job *job,
                             struct kn_diag *why)
{
    struct spec_graph_fault fault;
    struct kn_model *m = NULL;
    if (job->train.loss != infer_meta(parent)->loss) {
        (void)kn_fail(why, KN_ERR_INVALID, "was trained with another loss than train.loss");
        return SH_ERR_INVALID;
    }
    enum sh_err err = spec_graph_build(&job->model, job->train.loss, &m, &fault);
    if (err != SH_OK) {
        (void)kn_fail(why, KN_ERR_INVALID, "model.layers[%u]: %.160s", fault.layer,
                      fault.diag.text);
        return err;
    }
    err = check_reset(&job->use, m, why);
    err = err != SH_OK ? err : check_tensors(parent, job, m, false, why);
    err = err != SH_OK ? err : check_tensors(parent, job, m, true, why);
    kn_model_close(m);
    return err;
}

void infer_tune_copy(const struct infer *parent, const struct spec_job *job,
                     const struct kn_model *model, float *params, float *buffers)
{
    for (uint32_t i = 0; i < kn_model_param_tensors(model); i++) {
        const struct kn_tensor_info *info = kn_model_param(model, i);
        const struct kn_tensor_info *old = find(infer_model(parent), info->name, false);
        if (!begins_anew(&job->use, info->name)) {
            SH_CHECK(old != NULL && same_shape(info, old));
            memcpy(params + info->offset, infer_params(parent) + old->offset,
                   info->count * sizeof *params);
        }
    }
    for (uint32_t i = 0; i < kn_model_buffer_tensors(model); i++) {
        const struct kn_tensor_info *info = kn_model_buffer(model, i);
        const struct kn_tensor_info *old = find(infer_model(parent), info->name, true);
        if (!begins_anew(&job->use, info->name)) {
            SH_CHECK(old != NULL && same_shape(info, old));
            memcpy(buffers + info->offset, infer_buffers(parent) + old->offset,
                   info->count * sizeof *buffers);
        }
    }
}
