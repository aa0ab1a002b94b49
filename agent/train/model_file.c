/* SPDX-License-Identifier: Apache-2.0 */
#include "train/state.h"

#include "base/host/host.h"
#include "kernels/format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXTRA_TENSORS 2u /* the optimiser's vector and the cursor */

struct tensor_list {
    struct kn_tensor *at;
    uint32_t count;
    uint64_t optim_size;
    int64_t cursor;
};

static void add_tensors(struct tensor_list *list, const struct kn_tensor_info *info,
                        const float *vector)
{
    struct kn_tensor *t = &list->at[list->count++];
    *t = (struct kn_tensor){.name = info->name,
                            .dtype = KN_DTYPE_F32,
                            .rank = info->rank,
                            .data = vector + info->offset};
    for (uint32_t i = 0; i < info->rank; i++) {
        t->shape[i] = info->dim[i];
    }
}

/* Parameters and buffers by name; with room for EXTRA_TENSORS. */
static enum sh_err list_model(const struct train_state *state, struct tensor_list *list)
{
    const struct kn_model *model = state->m->model;
    uint32_t params = kn_model_param_tensors(model);
    uint32_t buffers = kn_model_buffer_tensors(model);
    *list = (struct tensor_list){0};
    list->at = calloc(params + buffers + EXTRA_TENSORS, sizeof *list->at);
    if (list->at == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < params; i++) {
        add_tensors(list, kn_model_param(model, i), state->params);
    }
    for (uint32_t i = 0; i < buffers; i++) {
        add_tensors(list, kn_model_buffer(model, i), state->buffers);
    }
    return SH_OK;
}

static void list_rest(const struct train_state *state, struct tensor_list *list)
{
    list->cursor = (int64_t)state->position;
    list->at[list->count++] =
        (struct kn_tensor){.name = "shoal.cursor", .dtype = KN_DTYPE_I64, .data = &list->cursor};
    if (state->m->optim_state > 0) {
        list->at[list->count++] = (struct kn_tensor){.name = "shoal.optimizer",
                                                     .dtype = KN_DTYPE_F32,
                                                     .rank = 1,
                                                     .shape = {state->m->optim_state},
                                                     .data = state->optim};
    }
}

/* ---- digests ---- */

static enum kn_err put_hash(void *context, const void *bytes, size_t size)
{
    sh_blake2b_add(context, bytes, size);
    return KN_OK;
}

static enum sh_err digest_list(const struct tensor_list *list,
                               uint8_t digest[static SH_DIGEST_BYTES])
{
    struct sh_blake2b hash;
    struct kn_sink sink = {.put = put_hash, .context = &hash};
    sh_blake2b_start(&hash, SH_DIGEST_BYTES);
    enum kn_err err = kn_tensors_digest(list->at, list->count, sink, NULL);
    sh_blake2b_end(&hash, digest, SH_DIGEST_BYTES);
    /* Names and shapes come from a sealed model: only memory can run out. */
    SH_CHECK(err == KN_OK || err == KN_ERR_MEMORY);
    return err == KN_OK ? SH_OK : SH_ERR_NO_MEMORY;
}

enum sh_err train_state_model_digest(const struct train_state *state,
                                     uint8_t digest[static SH_DIGEST_BYTES])
{
    struct tensor_list list;
    enum sh_err err = list_model(state, &list);
    if (err == SH_OK) {
        err = digest_list(&list, digest);
    }
    free(list.at);
    return err;
}

enum sh_err train_state_digest(const struct train_state *state,
                               uint8_t digest[static SH_DIGEST_BYTES])
{
    struct tensor_list list;
    enum sh_err err = list_model(state, &list);
    if (err == SH_OK) {
        list_rest(state, &list);
        err = digest_list(&list, digest);
    }
    free(list.at);
    return err;
}

/* ---- model.safetensors ---- */

struct file_out {
    uint8_t *at;
    size_t size;
    size_t capacity;
};

static enum kn_err put_file(void *context, const void *bytes, size_t size)
{
    struct file_out *out = context;
    if (out->capacity - out->size < size) {
        size_t wanted = out->capacity * 2 > out->size + size ? out->capacity * 2 : out->size + size;
        uint8_t *grown = realloc(out->at, wanted);
        if (grown == NULL) {
            return KN_ERR_MEMORY;
        }
        out->at = grown;
        out->capacity = wanted;
    }
    if (size > 0) {
        memcpy(out->at + out->size, bytes, size);
    }
    out->size += size;
    return KN_OK;
}

static enum sh_err write_file(const struct train_state *state, const struct tensor_list *list,
                              struct file_out *out, char *why)
{
    struct spec_meta *meta = calloc(1, sizeof *meta);
    char *text = malloc(SPEC_META_BYTES_MAX);
    struct spec_meta_pair pairs[SPEC_META_PAIRS];
    struct kn_meta metas[SPEC_META_PAIRS];
    struct kn_diag diag = {.text = ""};
    enum sh_err err = meta != NULL && text != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    err = err != SH_OK ? err : train_material_meta(state->m, meta, why);
    err = err != SH_OK ? err : spec_meta_encode(meta, text, SPEC_META_BYTES_MAX, pairs);
    if (err == SH_OK) {
        for (uint32_t i = 0; i < SPEC_META_PAIRS; i++) {
            metas[i] = (struct kn_meta){.key = pairs[i].key, .value = pairs[i].value};
        }
        struct kn_sink sink = {.put = put_file, .context = out};
        enum kn_err written =
            kn_safetensors_write(list->at, list->count, metas, SPEC_META_PAIRS, sink, &diag);
        if (written != KN_OK) {
            (void)snprintf(why, TRAIN_WHY_BYTES, "model.safetensors: %s", diag.text);
            err = written == KN_ERR_MEMORY ? SH_ERR_NO_MEMORY : SH_ERR_LIMIT;
        }
    }
    free(text);
    free(meta);
    return err;
}

enum sh_err train_state_file(const struct train_state *state, uint8_t **bytes, size_t *size,
                             char *why)
{
    struct tensor_list list;
    struct file_out out = {0};
    why[0] = '\0';
    enum sh_err err = list_model(state, &list);
    if (err == SH_OK) {
        out.capacity = (state->m->params + state->m->buffers) * sizeof(float) + 65536;
        out.at = malloc(out.capacity);
        err = out.at != NULL ? write_file(state, &list, &out, why) : SH_ERR_NO_MEMORY;
    }
    free(list.at);
    if (err != SH_OK) {
        free(out.at);
        out = (struct file_out){0};
    }
    *bytes = out.at;
    *size = out.size;
    return err;
}

enum sh_err train_state_model_of(const struct train_material_source *source, struct sh_span bytes,
                                 uint8_t **file, size_t *size, char *why)
{
    struct train_material *m = NULL;
    struct train_state state = {0};
    bool final = false;
    *file = NULL;
    why[0] = '\0';
    enum sh_err err = train_material_open(&m, source, why, &final);
    err = err != SH_OK ? err : train_state_open(&state, m);
    if (err == SH_OK) {
        err = train_state_decode(&state, NULL, false, bytes);
        err = err != SH_OK ? err : train_state_file(&state, file, size, why);
        train_state_close(&state);
    }
    train_material_close(m);
    return err;
}
