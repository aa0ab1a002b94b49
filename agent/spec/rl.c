/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/rl.h"

#include "base/host/host.h"
#include "kernels/format/safetensors.h"
#include "spec/rl_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT     "1"
#define KEEP_MAX   8.0
#define TENSOR     "policy"
#define META_BYTES 1024u
#define HEAD_BYTES 65536u /* room for the header of the file */

/* ---- the sections ---- */

#define RL_U32(name, member, least, most)                                                          \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_U32, .offset = offsetof(struct spec_job, rl.member),     \
        .low = (least), .high = (most)                                                             \
    }
#define RL_NUMBER(name, member, most, ...)                                                         \
    {                                                                                              \
        .key = (name), .type = SPEC_FIELD_NUMBER, .offset = offsetof(struct spec_job, rl.member),  \
        .low = 0, .high = (most), __VA_ARGS__                                                      \
    }

static void take_name(struct spec_decode *d, const struct spec_node *node, void *base)
{
    (void)base;
    if (node->kind != SPEC_NODE_SCALAR || strcmp(node->text, "hallway") != 0) {
        spec_decode_wrong(d, node,
                          "must be hallway, the built-in environment; other environments "
                          "are scripts of kind exec");
    }
}

static const struct spec_field ENV[] = {
    {.key = "name", .type = SPEC_FIELD_CUSTOM, .take = take_name},
    RL_U32("width", width, 2, KN_HALLWAY_SIDE_MAX),
    RL_U32("length", length, 2, KN_HALLWAY_SIDE_MAX),
    RL_U32("steps", steps, 1, KN_HALLWAY_STEPS_MAX),
    RL_U32("slip_per_mille", slip_per_mille, 0, 1000),
    RL_U32("areas", areas, 1, KN_RL_AREAS_MAX)};
static const struct spec_field TRAIN[] = {RL_U32("iterations", iterations, 1, SPEC_ITERATIONS_MAX),
                                          {.key = "seed",
                                           .type = SPEC_FIELD_U64,
                                           .offset = offsetof(struct spec_job, rl.seed),
                                           .low = 0,
                                           .high = 9007199254740991.0},
                                          RL_NUMBER("lr", lr, 100, .low_open = true),
                                          RL_NUMBER("value_lr", value_lr, 1, .low_open = true),
                                          RL_NUMBER("discount", discount, 1, .low_open = false),
                                          RL_NUMBER("entropy", entropy, 1, .low_open = false),
                                          RL_U32("summary", summary, 1, SPEC_ITERATIONS_MAX)};
static const struct spec_field EVENTS[] = {RL_U32("episodes", episode_events, 0, 4294967295.0),
                                           RL_U32("states", state_events, 0, 4294967295.0)};
static const struct spec_field CHECKPOINT[] = {
    RL_U32("every", checkpoint_every, 1, SPEC_ITERATIONS_MAX),
    {.key = "keep",
     .type = SPEC_FIELD_U32,
     .offset = offsetof(struct spec_job, checkpoint_keep),
     .low = 1,
     .high = KEEP_MAX}};

void spec_take_rl_env(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, ENV, SH_COUNT(ENV), base);
}

void spec_take_rl_train(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, TRAIN, SH_COUNT(TRAIN), base);
}

void spec_take_rl_events(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, EVENTS, SH_COUNT(EVENTS), base);
}

void spec_take_rl_checkpoint(struct spec_decode *d, const struct spec_node *node, void *base)
{
    spec_decode_map(d, node, CHECKPOINT, SH_COUNT(CHECKPOINT), base);
}

void spec_rl_defaults(struct spec_rl *rl)
{
    const struct kn_hallway_config env = kn_hallway_default();
    *rl = (struct spec_rl){.width = env.width,
                           .length = env.length,
                           .steps = env.steps_max,
                           .slip_per_mille = env.slip_per_mille,
                           .areas = 16,
                           .iterations = 300,
                           .seed = 1,
                           .lr = 2,
                           .value_lr = 0.1,
                           .discount = 0.99,
                           .entropy = 0.002,
                           .summary = 10,
                           .episode_events = 100,
                           .checkpoint_every = 1000};
}

void spec_check_rl(struct spec_decode *d, const struct spec_job *job)
{
    const struct spec_rl *rl = &job->rl;
    uint32_t points = rl->iterations / rl->summary;
    if (points > SPEC_RL_POINTS_MAX && d->errors->count == 0) {
        char value[16];
        (void)snprintf(value, sizeof value, "%u", rl->summary);
        spec_note(d->errors, d->tree->nodes[SPEC_ROOT].at, "train.summary", value,
                  "gives %u points; with at least %u there are at most %u", points,
                  (rl->iterations + SPEC_RL_POINTS_MAX - 1) / SPEC_RL_POINTS_MAX,
                  SPEC_RL_POINTS_MAX);
    }
}

/* ---- canonical ---- */

json_t *spec_rl_json(const struct spec_rl *rl)
{
    return json_pack("{s:{s:s, s:i, s:i, s:i, s:i, s:i}, s:{s:i, s:I, s:f, s:f, s:f, s:f, s:i}}",
                     "env", "name", "hallway", "width", (int)rl->width, "length", (int)rl->length,
                     "steps", (int)rl->steps, "slip_per_mille", (int)rl->slip_per_mille, "areas",
                     (int)rl->areas, "train", "iterations", (int)rl->iterations, "seed",
                     (json_int_t)rl->seed, "lr", rl->lr, "value_lr", rl->value_lr, "discount",
                     rl->discount, "entropy", rl->entropy, "summary", (int)rl->summary);
}

void spec_put_rl(json_t *out, const struct spec_job *job)
{
    json_t *sections = spec_rl_json(&job->rl);
    (void)json_object_update(out, sections);
    json_decref(sections);
    (void)json_object_set_new(out, "events",
                              json_pack("{s:I, s:I}", "episodes",
                                        (json_int_t)job->rl.episode_events, "states",
                                        (json_int_t)job->rl.state_events));
    (void)json_object_set_new(out, "checkpoint",
                              json_pack("{s:i, s:i}", "every", (int)job->rl.checkpoint_every,
                                        "keep", (int)job->checkpoint_keep));
}

struct kn_rl_config spec_rl_config(const struct spec_rl *rl)
{
    return (struct kn_rl_config){.env = {.width = rl->width,
                                         .length = rl->length,
                                         .steps_max = rl->steps,
                                         .slip_per_mille = rl->slip_per_mille},
                                 .areas = rl->areas,
                                 .seed = rl->seed,
                                 .rate = (float)rl->lr,
                                 .value_rate = (float)rl->value_lr,
                                 .discount = (float)rl->discount,
                                 .entropy = (float)rl->entropy};
}

/* ---- the model file ---- */

struct file_out {
    uint8_t *at;
    size_t size;
    size_t capacity;
};

static enum kn_err put_file(void *context, const void *bytes, size_t size)
{
    struct file_out *out = context;
    if (out->capacity - out->size < size) {
        return KN_ERR_MEMORY;
    }
    memcpy(out->at + out->size, bytes, size);
    out->size += size;
    return KN_OK;
}

static enum kn_err put_hash(void *context, const void *bytes, size_t size)
{
    sh_blake2b_add(context, bytes, size);
    return KN_OK;
}

enum sh_err spec_policy_write(const struct spec_rl *rl, const float *policy,
                              const uint8_t spec[static SH_DIGEST_BYTES], uint8_t **bytes,
                              size_t *size, uint8_t model[static SH_DIGEST_BYTES])
{
    struct kn_rl_config config = spec_rl_config(rl);
    struct kn_tensor tensor = {.name = TENSOR,
                               .dtype = KN_DTYPE_F32,
                               .rank = 2,
                               .shape = {kn_hallway_views(&config.env), KN_HALLWAY_ACTIONS},
                               .data = policy};
    char hex[2 * SH_DIGEST_BYTES + 1];
    char text[META_BYTES];
    size_t length = 0;
    struct sh_blake2b hash;
    struct kn_diag diag = {.text = ""};
    struct file_out out = {.capacity = kn_tensor_size(&tensor) + HEAD_BYTES};
    *bytes = NULL;
    sh_hex(hex, spec, SH_DIGEST_BYTES);
    enum sh_err err = spec_json_print(spec_rl_json(rl), text, sizeof text, &length);
    out.at = malloc(out.capacity);
    if (err != SH_OK || out.at == NULL) {
        free(out.at);
        return SH_ERR_NO_MEMORY;
    }
    const struct kn_meta metas[] = {{.key = "shoal.format", .value = FORMAT},
                                    {.key = "shoal.kind", .value = "rl"},
                                    {.key = "shoal.rl", .value = text},
                                    {.key = "shoal.spec", .value = hex}};
    enum kn_err put =
        kn_safetensors_write(&tensor, 1, metas, SH_COUNT(metas),
                             (struct kn_sink){.put = put_file, .context = &out}, &diag);
    sh_blake2b_start(&hash, SH_DIGEST_BYTES);
    enum kn_err took =
        kn_tensors_digest(&tensor, 1, (struct kn_sink){.put = put_hash, .context = &hash}, NULL);
    sh_blake2b_end(&hash, model, SH_DIGEST_BYTES);
    if (put != KN_OK || took != KN_OK) {
        free(out.at);
        return SH_ERR_NO_MEMORY; /* names and shapes are right: only memory can run out */
    }
    *bytes = out.at;
    *size = out.size;
    return SH_OK;
}

/* Through the schema of a job, whose sections those are. */
static bool read_config(const char *text, struct kn_rl_config *config)
{
    struct spec_errors *errors = malloc(sizeof *errors);
    struct spec_job *job = malloc(sizeof *job);
    struct spec_tree *tree = NULL;
    bool good = false;
    if (errors != NULL && job != NULL && strlen(text) < META_BYTES) {
        errors->count = 0;
        tree = spec_tree_open(text, strlen(text), errors);
    }
    if (tree != NULL) {
        static const struct spec_field SECTIONS[] = {
            {.key = "env", .type = SPEC_FIELD_CUSTOM, .take = spec_take_rl_env, .required = true},
            {.key = "train",
             .type = SPEC_FIELD_CUSTOM,
             .take = spec_take_rl_train,
             .required = true}};
        struct spec_decode d = {.tree = tree, .errors = errors};
        spec_rl_defaults(&job->rl);
        spec_decode_map(&d, &tree->nodes[SPEC_ROOT], SECTIONS, SH_COUNT(SECTIONS), job);
        good = errors->count == 0;
        *config = good ? spec_rl_config(&job->rl) : *config;
        spec_tree_close(tree);
    }
    free(job);
    free(errors);
    return good;
}

static enum sh_err take_policy(const struct kn_safetensors *file, struct spec_policy *out,
                               char *why, size_t why_size)
{
    const char *kind = kn_safetensors_meta(file, "shoal.kind");
    const char *text = kn_safetensors_meta(file, "shoal.rl");
    const struct kn_tensor *t = kn_safetensors_find(file, TENSOR);
    struct kn_diag diag = {.text = ""};
    if (kind == NULL || strcmp(kind, "rl") != 0) {
        (void)snprintf(why, why_size, "no model of reinforcement learning");
        return SH_ERR_INVALID;
    }
    bool good = text != NULL && read_config(text, &out->config) && t != NULL &&
                t->dtype == KN_DTYPE_F32 && t->rank == 2 &&
                t->shape[0] == kn_hallway_views(&out->config.env) &&
                t->shape[1] == KN_HALLWAY_ACTIONS;
    if (!good) {
        (void)snprintf(why, why_size, "the model file names no environment that its policy fits");
        return SH_ERR_CORRUPT;
    }
    size_t count = kn_policy_count(&out->config.env);
    out->policy = malloc(count * sizeof *out->policy);
    if (out->policy == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    memcpy(out->policy, t->data, count * sizeof *out->policy);
    if (kn_policy_verify(out->policy, count, &diag) != KN_OK) {
        (void)snprintf(why, why_size, "%s", diag.text);
        return SH_ERR_CORRUPT;
    }
    return SH_OK;
}

enum sh_err spec_policy_read(const uint8_t *bytes, size_t size, struct spec_policy *out, char *why,
                             size_t why_size)
{
    struct kn_safetensors file;
    struct kn_diag diag = {.text = ""};
    *out = (struct spec_policy){.policy = NULL};
    enum kn_err read = kn_safetensors_read(&file, bytes, size, &diag);
    if (read != KN_OK) {
        (void)snprintf(why, why_size, "%s", diag.text);
        return read == KN_ERR_MEMORY ? SH_ERR_NO_MEMORY : SH_ERR_INVALID;
    }
    enum sh_err err = take_policy(&file, out, why, why_size);
    kn_safetensors_close(&file);
    if (err != SH_OK) {
        spec_policy_close(out);
    }
    return err;
}

void spec_policy_close(struct spec_policy *policy)
{
    free(policy->policy);
    policy->policy = NULL;
}
