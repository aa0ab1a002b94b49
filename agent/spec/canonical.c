/* SPDX-License-Identifier: Apache-2.0 */
#include "base/host/host.h"
#include "spec/federated_parts.h"
#include "spec/json.h"
#include "spec/layer_walk.h"
#include "spec/models.h"
#include "spec/reading.h"
#include "spec/rl_parts.h"
#include "spec/schema.h"
#include "spec/source.h"
#include "spec/sweep_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum sh_err spec_json_print(json_t *value, char *out, size_t size, size_t *length)
{
    size_t n = value != NULL ? json_dumpb(value, out, size, SPEC_JSON_PRINT) : 0;
    json_decref(value);
    if (n == 0) {
        return SH_ERR_NO_MEMORY;
    }
    if (n >= size) {
        return SH_ERR_LIMIT;
    }
    out[n] = '\0';
    *length = n;
    return SH_OK;
}

json_t *spec_json_hex(const void *bytes, size_t size)
{
    char hex[2 * SPEC_JSON_HEX_MAX + 1];
    SH_CHECK_CMP(size, <=, SPEC_JSON_HEX_MAX);
    sh_hex(hex, bytes, size);
    return json_string(hex);
}

json_t *spec_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *padding_json(uint32_t padding)
{
    return padding == SPEC_PADDING_SAME ? json_string("same") : json_integer(padding);
}

static json_t *layer_params(const struct spec_model *model, const struct spec_layer *layer)
{
    switch (layer->kind) {
    case SPEC_CONV2D:
        return json_pack("{s:i, s:i, s:i, s:o, s:b}", "filters", (int)layer->units, "kernel",
                         (int)layer->kernel, "stride", (int)layer->stride, "padding",
                         padding_json(layer->padding), "bias", layer->bias);
    case SPEC_MAXPOOL:
    case SPEC_AVGPOOL:
        return json_pack("{s:i, s:i, s:o}", "kernel", (int)layer->kernel, "stride",
                         (int)layer->stride, "padding", padding_json(layer->padding));
    case SPEC_BATCHNORM:
        return json_pack("{s:f, s:f}", "momentum", layer->momentum, "epsilon", layer->epsilon);
    case SPEC_DROPOUT:
        return json_pack("{s:f}", "rate", layer->rate);
    case SPEC_DENSE:
        return json_pack("{s:i, s:b}", "units", (int)layer->units, "bias", layer->bias);
    case SPEC_ADD:
        return json_pack("{s:s}", "from", model->layers[layer->from].name);
    case SPEC_EMBEDDING:
        return json_pack("{s:i, s:i}", "vocab", (int)layer->vocab, "width", (int)layer->units);
    case SPEC_LAYERNORM:
        return json_pack("{s:f}", "epsilon", layer->epsilon);
    case SPEC_ATTENTION:
        return json_pack("{s:i, s:b, s:b}", "heads", (int)layer->heads, "causal", layer->causal,
                         "bias", layer->bias);
    case SPEC_RELU:
    case SPEC_GELU:
    case SPEC_FLATTEN:
    case SPEC_POSITIONS:
        return json_object();
    case SPEC_RESIDUAL:
        break;
    }
    SH_UNREACHABLE();
}

/* params is taken. */
static json_t *layer_json(const struct spec_layer *layer, json_t *params)
{
    json_t *out = json_pack("{s:o}", spec_layer_kind_name(layer->kind), params);
    if (layer->name[0] != '\0') {
        (void)json_object_set_new(out, "name", json_string(layer->name));
    }
    return out;
}

/* A block's layers stand before the layer that adds: a list is opened where a block begins, the
 * outermost first, and becomes the residual of the layer that ends it. */
static json_t *layers_json(const struct spec_model *model)
{
    json_t *open[SPEC_RESIDUAL_DEPTH_MAX + 1] = {json_array()};
    uint32_t depth = 0;
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct spec_layer *layer = &model->layers[i];
        for (uint32_t end = model->layer_count; end-- > i + 1;) {
            if (model->layers[end].kind == SPEC_RESIDUAL && model->layers[end].from == i) {
                SH_CHECK_CMP(depth, <, SPEC_RESIDUAL_DEPTH_MAX);
                open[++depth] = json_array();
            }
        }
        json_t *params = NULL;
        if (layer->kind == SPEC_RESIDUAL) {
            SH_CHECK_CMP(depth, >, 0);
            params = open[depth--];
        } else {
            params = layer_params(model, layer);
        }
        (void)json_array_append_new(open[depth], layer_json(layer, params));
    }
    SH_CHECK_CMP(depth, ==, 0);
    return open[0];
}

static json_t *model_json(const struct spec_model *model)
{
    json_t *input = json_array();
    for (uint32_t i = 0; i < model->input_dims; i++) {
        (void)json_array_append_new(input, json_integer(model->input[i]));
    }
    return json_pack("{s:o, s:o}", "input", input, "layers", layers_json(model));
}

static json_t *source_json(const struct spec_source *source)
{
    char text[SPEC_SOURCE_BYTES];
    spec_source_write(source, text);
    return json_string(text);
}

static json_t *data_json(const struct spec_data *data)
{
    json_t *out = json_pack("{s:o, s:s}", "train", source_json(&data->train), "normalize",
                            spec_choice_name(SPEC_NORMALIZES, (int)data->normalize));
    if (data->validation.kind == SPEC_SOURCE_NONE) {
        (void)json_object_set_new(out, "validation", json_real(data->validation_fraction));
    } else {
        (void)json_object_set_new(out, "validation", source_json(&data->validation));
    }
    if (data->test.kind != SPEC_SOURCE_NONE) {
        (void)json_object_set_new(out, "test", source_json(&data->test));
    }
    if (data->label[0] != '\0') {
        (void)json_object_set_new(out, "label", json_string(data->label));
    }
    json_t *reading = spec_reading_json(&data->reading);
    (void)json_object_update(out, reading);
    json_decref(reading);
    return out;
}

static json_t *optimizer_json(const struct spec_optimizer *o)
{
    json_t *params = json_pack("{s:f, s:f}", "lr", o->lr, "weight_decay", o->weight_decay);
    if (o->kind == SPEC_SGD) {
        (void)json_object_set_new(params, "momentum", json_real(o->momentum));
        (void)json_object_set_new(params, "nesterov", json_boolean(o->nesterov));
    } else {
        (void)json_object_set_new(params, "beta1", json_real(o->beta1));
        (void)json_object_set_new(params, "beta2", json_real(o->beta2));
        (void)json_object_set_new(params, "epsilon", json_real(o->epsilon));
    }
    return json_pack("{s:o}", spec_choice_name(SPEC_OPTIMIZERS, (int)o->kind), params);
}

static json_t *schedule_json(const struct spec_schedule *s)
{
    json_t *params = json_pack("{s:I}", "warmup_steps", (json_int_t)s->warmup_steps);
    if (s->kind == SPEC_LINEAR || s->kind == SPEC_COSINE) {
        (void)json_object_set_new(params, "final", json_real(s->final_factor));
    } else if (s->kind == SPEC_STEP) {
        (void)json_object_set_new(params, "every_epochs", json_integer(s->every_epochs));
        (void)json_object_set_new(params, "factor", json_real(s->factor));
    }
    return json_pack("{s:o}", spec_choice_name(SPEC_SCHEDULES, (int)s->kind), params);
}

static json_t *local_json(const struct spec_local *local)
{
    return json_pack("{s:i, s:i, s:b, s:o}", "steps", (int)local->steps, "warmup_epochs",
                     (int)local->warmup_epochs, "reset", (int)local->reset, "outer",
                     optimizer_json(&local->outer));
}

static json_t *wire_json(const struct spec_wire *wire)
{
    const char *name = spec_choice_name(SPEC_WIRES, (int)wire->kind);
    return wire->kind == KN_CODEC_TOPK ? json_pack("{s:{s:f}}", name, "fraction", wire->fraction)
                                       : json_string(name);
}

static json_t *train_json(const struct spec_train *t)
{
    json_t *out =
        json_pack("{s:o, s:o, s:i, s:i, s:i, s:I, s:s}", "optimizer", optimizer_json(&t->optimizer),
                  "schedule", schedule_json(&t->schedule), "batch", (int)t->batch, "ranks",
                  (int)t->ranks, "epochs", (int)t->epochs, "seed", (json_int_t)t->seed, "loss",
                  spec_choice_name(SPEC_LOSSES, (int)t->loss));
    if (t->local.steps > 0) {
        (void)json_object_set_new(out, "local", local_json(&t->local));
    }
    if (t->wire.kind != KN_CODEC_F32) {
        (void)json_object_set_new(out, "wire", wire_json(&t->wire));
    }
    if (t->classes_named) {
        json_t *names = json_array();
        for (uint32_t i = 0; i < t->class_count; i++) {
            (void)json_array_append_new(names, json_string(t->classes[i]));
        }
        (void)json_object_set_new(out, "classes", names);
    } else if (t->class_count > 0) {
        (void)json_object_set_new(out, "classes", json_integer(t->class_count));
    }
    return out;
}

static json_t *words_json(const struct spec_exec *exec, struct spec_words words)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < words.count; i++) {
        (void)json_array_append_new(out, json_string(spec_word(exec, words, i)));
    }
    return out;
}

static json_t *commands_json(const struct spec_exec *exec, const struct spec_words *commands,
                             uint32_t count)
{
    json_t *out = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(out, words_json(exec, commands[i]));
    }
    return out;
}

static json_t *pairs_json(const struct spec_exec *exec, struct spec_words words)
{
    json_t *out = json_object();
    for (uint32_t i = 0; i < words.count; i++) {
        char name[SPEC_PATH_MAX + 1];
        const char *pair = spec_word(exec, words, i);
        size_t n = strcspn(pair, "=");
        SH_CHECK_CMP(n, <, sizeof name);
        memcpy(name, pair, n);
        name[n] = '\0';
        (void)json_object_set_new(out, name, json_string(pair + n + 1));
    }
    return out;
}

static json_t *metrics_json(const struct spec_exec *exec)
{
    json_t *extract = json_array();
    for (const struct spec_choice *c = SPEC_EXTRACTS; c->name != NULL; c++) {
        if ((exec->extract & (uint32_t)c->value) != 0) {
            (void)json_array_append_new(extract, json_string(c->name));
        }
    }
    return json_pack("{s:o, s:o}", "extract", extract, "patterns",
                     pairs_json(exec, exec->patterns));
}

static void put_words(json_t *out, const char *key, const struct spec_exec *exec,
                      struct spec_words words)
{
    if (words.count > 0) {
        (void)json_object_set_new(out, key, words_json(exec, words));
    }
}

static void put_exec(json_t *out, const struct spec_job *job)
{
    const struct spec_exec *exec = &job->exec;
    if (exec->package.kind != SPEC_SOURCE_NONE) {
        (void)json_object_set_new(out, "package", source_json(&exec->package));
    }
    (void)json_object_set_new(out, "run", commands_json(exec, exec->run, exec->run_count));
    if (exec->predict_count > 0) {
        (void)json_object_set_new(out, "predict",
                                  commands_json(exec, exec->predict, exec->predict_count));
    }
    (void)json_object_set_new(out, "env", pairs_json(exec, exec->env));
    put_words(out, "outputs", exec, exec->outputs);
    put_words(out, "model_file", exec, exec->model);
    put_words(out, "abort", exec, exec->abort);
    put_words(out, "predictions", exec, exec->predictions);
    if (exec->evaluate_count > 0) {
        (void)json_object_set_new(out, "evaluate",
                                  commands_json(exec, exec->evaluate, exec->evaluate_count));
    }
    if (exec->results.count > 0) {
        json_t *results = json_pack(
            "{s:s, s:s, s:f}", "bucketing", spec_choice_name(SPEC_BUCKETINGS, (int)exec->bucketing),
            "compat", spec_choice_name(SPEC_COMPATS, (int)exec->compat), "beta", exec->beta);
        put_words(results, "file", exec, exec->results);
        (void)json_object_set_new(out, "results", results);
    }
    (void)json_object_set_new(out, "metrics", metrics_json(exec));
    (void)json_object_set_new(out, "timeout", json_integer(exec->timeout_s));
    (void)json_object_set_new(out, "silence", json_integer(exec->silence_s));
    (void)json_object_set_new(out, "grace", json_integer(exec->grace_s));
    (void)json_object_set_new(
        out, "sandbox",
        json_pack("{s:s, s:b, s:I}", "level", spec_choice_name(SPEC_SANDBOXES, (int)exec->sandbox),
                  "network", exec->network, "disk", (json_int_t)exec->disk_bytes));
    if (job->sweep.method == SPEC_SWEEP_NONE) {
        (void)json_object_set_new(out, "replicas", json_integer(job->units));
    }
    if (job->kind == SPEC_DATA_PREP) {
        (void)json_object_set_new(out, "dataset", json_string(job->dataset));
    }
    json_t *checkpoint = json_pack("{s:i}", "keep", (int)job->checkpoint_keep);
    put_words(checkpoint, "files", exec, exec->checkpoint);
    if (exec->checkpoint_every_s > 0) {
        (void)json_object_set_new(checkpoint, "every", json_integer(exec->checkpoint_every_s));
    }
    (void)json_object_set_new(out, "checkpoint", checkpoint);
}

static void put_bytes(json_t *out, const char *key, uint64_t bytes)
{
    if (bytes > 0) {
        (void)json_object_set_new(out, key, json_integer((json_int_t)bytes));
    }
}

/* The words of a list with `between` between them; none: no member. */
static void put_list(json_t *out, const char *key, const char *list, const char *between)
{
    json_t *words = list[0] != '\0' ? json_array() : NULL;
    for (const char *at = list; words != NULL && at != NULL;) {
        const char *end = strstr(at, between);
        size_t size = end != NULL ? (size_t)(end - at) : strlen(at);
        (void)json_array_append_new(words, json_stringn(at, size));
        at = end != NULL ? end + strlen(between) : NULL;
    }
    if (words != NULL) {
        (void)json_object_set_new(out, key, words);
    }
}

static void put_nodes(json_t *out, const struct spec_where *where)
{
    json_t *nodes = json_object();
    put_list(nodes, "allow", where->allow, SPEC_WHERE_NAMES);
    put_list(nodes, "deny", where->deny, SPEC_WHERE_NAMES);
    if (json_object_size(nodes) > 0) {
        (void)json_object_set(out, "nodes", nodes);
    }
    json_decref(nodes);
}

/* Members that say nothing are left out; gang: with agents. */
static json_t *resources_json(const struct spec_job *job, bool gang)
{
    const struct spec_where *where = &job->where;
    json_t *out = json_pack("{s:i}", "cpus", (int)job->cpus);
    put_bytes(out, "ram", job->ram_bytes);
    put_bytes(out, "gpus", where->gpus);
    put_bytes(out, "gpu_ram", where->gpu_bytes);
    put_bytes(out, "disk", where->disk_bytes);
    put_bytes(out, "per_node", where->per_node_max);
    put_list(out, "labels", where->labels, SPEC_WHERE_LABELS);
    put_nodes(out, where);
    if (where->spread != SPEC_SPREAD_AUTO) {
        (void)json_object_set_new(out, "spread",
                                  json_string(spec_choice_name(SPEC_SPREADS, (int)where->spread)));
    }
    if (gang) {
        (void)json_object_set_new(
            out, "agents",
            json_pack("{s:i, s:i}", "min", (int)job->agents_min, "max", (int)job->agents_max));
    }
    return out;
}

static bool wants_little(const struct spec_where *where)
{
    return where->gpus == 0 && where->disk_bytes == 0 && where->per_node_max == 0 &&
           where->spread == SPEC_SPREAD_AUTO && where->labels[0] == '\0' &&
           where->allow[0] == '\0' && where->deny[0] == '\0';
}

/* What spec_job_json gives for the other kinds: its members sorted. */
static enum sh_err print_noop(const struct spec_job *job, char *out, size_t size, size_t *length)
{
    struct sh_writer w = sh_writer_over(out, size);
    spec_json_open(&w, NULL);
    spec_json_put_str(&w, "api", "shoal/v1");
    if (job->keep_results > 0) {
        spec_json_open(&w, "keep");
        spec_json_put_int(&w, "results", job->keep_results);
        spec_json_close(&w);
    }
    spec_json_put_str(&w, "kind", spec_kind_name(job->kind));
    spec_json_put_str(&w, "name", job->name);
    spec_json_put_int(&w, "priority", job->priority);
    if (wants_little(&job->where)) {
        spec_json_open(&w, "resources");
        spec_json_put_int(&w, "cpus", job->cpus);
        if (job->ram_bytes > 0) {
            spec_json_put_int(&w, "ram", (int64_t)job->ram_bytes);
        }
        spec_json_close(&w);
    } else {
        spec_json_put_tree(&w, "resources", resources_json(job, false));
    }
    spec_json_put_int(&w, "retries", job->retries);
    spec_json_put_int(&w, "units", job->units);
    spec_json_close(&w);
    *length = w.used;
    sh_put_u8(&w, 0);
    return w.full ? SH_ERR_LIMIT : SH_OK;
}

static void put_keep(json_t *out, const struct spec_job *job)
{
    if (job->keep_results > 0) {
        (void)json_object_set_new(out, "keep",
                                  json_pack("{s:i}", "results", (int)job->keep_results));
    }
}

static json_t *ref_json(const struct spec_model_ref *ref)
{
    char text[SPEC_MODEL_REF_BYTES];
    if (ref->resolved) {
        return json_pack("{s:s, s:i, s:o, s:I, s:b}", "name", ref->name, "version",
                         (int)ref->version, "file", spec_json_hex(ref->file, sizeof ref->file),
                         "job", (json_int_t)ref->job, "script", ref->script);
    }
    spec_model_ref_write(ref, text);
    return json_string(text);
}

static json_t *refs_json(const struct spec_use *use)
{
    if (use->all) {
        return ref_json(&use->models[0]);
    }
    json_t *out = json_array();
    for (uint32_t i = 0; i < use->count; i++) {
        (void)json_array_append_new(out, ref_json(&use->models[i]));
    }
    return out;
}

static json_t *combine_json(uint32_t combine)
{
    json_t *out = json_array();
    for (const struct spec_choice *c = SPEC_COMBINES; c->name != NULL; c++) {
        if ((combine & (uint32_t)c->value) != 0) {
            (void)json_array_append_new(out, json_string(c->name));
        }
    }
    return out;
}

/* Jobs that use models on one agent. */
static void put_use(json_t *out, const struct spec_job *job)
{
    const struct spec_use *use = &job->use;
    if (job->kind == SPEC_ENSEMBLE) {
        (void)json_object_set_new(out, "models", refs_json(use));
        (void)json_object_set_new(out, "combine", combine_json(use->combine));
        (void)json_object_set_new(out, "deadline", json_integer(use->deadline_s));
    } else {
        (void)json_object_set_new(out, "model", ref_json(&use->models[0]));
    }
    if (job->kind != SPEC_EVALUATE) {
        (void)json_object_set_new(out, "input", source_json(&job->input));
    } else if (job->data.test.kind != SPEC_SOURCE_NONE) {
        json_t *data = json_pack("{s:o}", "test", source_json(&job->data.test));
        if (job->data.label[0] != '\0') {
            (void)json_object_set_new(data, "label", json_string(job->data.label));
        }
        (void)json_object_set_new(out, "data", data);
    }
    (void)json_object_set_new(out, "resources", resources_json(job, false));
}

static void put_fine_tune(json_t *out, const struct spec_use *use)
{
    (void)json_object_set_new(out, "from", ref_json(&use->models[0]));
    if (use->reset_count > 0) {
        json_t *reset = json_array();
        for (uint32_t i = 0; i < use->reset_count; i++) {
            (void)json_array_append_new(reset, json_string(use->reset[i]));
        }
        (void)json_object_set_new(out, "reset", reset);
    }
}

void spec_start_put(json_t *out, const struct spec_start *start)
{
    if (start->set) {
        (void)json_object_set_new(
            out, "start",
            json_pack("{s:I, s:I, s:o}", "job", (json_int_t)start->job, "step",
                      (json_int_t)start->step, "checkpoint",
                      spec_json_hex(start->checkpoint, sizeof start->checkpoint)));
    }
}

json_t *spec_job_json(const struct spec_job *job)
{
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:i, s:i}", "api", "shoal/v1", "kind", spec_kind_name(job->kind),
                  "name", job->name, "priority", (int)job->priority, "retries", (int)job->retries);
    put_keep(out, job);
    if (job->kind == SPEC_EVALUATE || job->kind == SPEC_PREDICT || job->kind == SPEC_ENSEMBLE) {
        put_use(out, job);
        return out;
    }
    (void)json_object_set_new(out, "resources", resources_json(job, job->kind != SPEC_RL));
    if (job->kind == SPEC_RL) {
        spec_put_rl(out, job);
        return out;
    }
    if (job->sweep.method != SPEC_SWEEP_NONE) {
        (void)json_object_set_new(out, "sweep", spec_sweep_json(&job->sweep));
    }
    if (job->kind == SPEC_EXEC || job->kind == SPEC_DATA_PREP) {
        put_exec(out, job);
        spec_put_federated(out, job);
        return out;
    }
    if (job->kind == SPEC_FINE_TUNE) {
        put_fine_tune(out, &job->use);
    }
    (void)json_object_set_new(out, "data", data_json(&job->data));
    if (job->model.layer_count > 0) {
        (void)json_object_set_new(out, "model", model_json(&job->model));
    }
    (void)json_object_set_new(out, "train", train_json(&job->train));
    spec_start_put(out, &job->start);
    spec_put_federated(out, job);
    (void)json_object_set_new(out, "checkpoint",
                              json_pack("{s:i, s:i}", "every_steps",
                                        (int)job->checkpoint_every_steps, "keep",
                                        (int)job->checkpoint_keep));
    (void)json_object_set_new(
        out, "arithmetic", json_string(spec_choice_name(SPEC_ARITHMETICS, (int)job->arithmetic)));
    (void)json_object_set_new(out, "reproducible", json_boolean(job->reproducible));
    return out;
}

enum sh_err spec_canonical(const struct spec_job *job, char *out, size_t size, size_t *length)
{
    return job->kind == SPEC_NOOP ? print_noop(job, out, size, length)
                                  : spec_json_print(spec_job_json(job), out, size, length);
}

enum sh_err spec_model_canonical(const struct spec_model *model, char *out, size_t size,
                                 size_t *length)
{
    return spec_json_print(model_json(model), out, size, length);
}

void spec_digest(const struct spec_job *job, uint8_t digest[static SH_DIGEST_BYTES])
{
    char *text = malloc(SH_SPEC_BYTES_MAX);
    SH_CHECK(text != NULL);
    size_t length = 0;
    enum sh_err err = spec_canonical(job, text, SH_SPEC_BYTES_MAX, &length);
    SH_CHECK(err == SH_OK);
    sh_blake2b(digest, SH_DIGEST_BYTES, text, length);
    free(text);
}
