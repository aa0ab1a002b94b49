/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exchange.h"

#include <string.h>

#define PREFIX "/api/v1"

const struct api_route API_ROUTES[] = {
    {"GET", "", "this table", api_get_index, 0, false},
    {"GET", "/status", "the agent and its view of the cluster", api_get_status, 0, false},
    {"GET", "/nodes", "all agents", api_get_nodes, 0, false},
    {"GET", "/nodes/{node}", "one agent, by id or name", api_get_node, 0, false},
    {"POST", "/nodes/{node}/remove", "forget an agent that is dead or left, by its name",
     api_remove_node, API_BODY_BYTES_MAX, false},
    {"POST", "/nodes/{node}/drain", "let it finish what it has and get nothing new", api_drain_node,
     API_BODY_BYTES_MAX, false},
    {"POST", "/nodes/{node}/undrain", "let it get work again", api_undrain_node, API_BODY_BYTES_MAX,
     false},
    {"POST", "/nodes/{node}/parole", "end its quarantine now: it tests itself, then is on trial",
     api_parole_node, API_BODY_BYTES_MAX, false},
    {"GET", "/config", "settings of the cluster that are set", api_get_config, 0, false},
    {"PUT", "/config", "change some, all or none: {key: number, or null for the default}",
     api_put_config, API_BODY_BYTES_MAX, false},
    {"GET", "/jobs",
     "jobs, newest first: state, owner, limit, before; watch=1, from: changes (SSE)", api_get_jobs,
     0, false},
    {"POST", "/jobs", "submit a job file; Idempotency-Key, owner", api_post_job, API_BODY_BYTES_MAX,
     true},
    {"GET", "/jobs/{job}", "one job, by id or name, with its units: from, limit", api_get_job, 0,
     false},
    {"DELETE", "/jobs/{job}", "forget a job that has ended; its models stay", api_remove_job, 0,
     false},
    {"POST", "/jobs/{job}/stop", "stop a job, keeping what there is", api_stop_job,
     API_BODY_BYTES_MAX, false},
    {"POST", "/jobs/{job}/pause", "its units leave checkpoints and wait: {now: true}, without",
     api_pause_job, API_BODY_BYTES_MAX, false},
    {"POST", "/jobs/{job}/resume", "end a pause; of ended training {epochs, from}: a job goes on",
     api_resume_job, API_BODY_BYTES_MAX, false},
    {"PATCH", "/jobs/{job}", "change {replicas, priority}", api_patch_job, API_BODY_BYTES_MAX,
     false},
    {"GET", "/jobs/{job}/checkpoints", "what its units can go on from, newest first: from, limit",
     api_get_checkpoints, 0, false},
    {"GET", "/jobs/{job}/checkpoints/{step}", "one of them, as it is kept: unit (0)",
     api_get_checkpoint, 0, false},
    {"GET", "/jobs/{job}/bundle", "all that a job left, as a tar archive", api_get_bundle, 0,
     false},
    {"GET", "/jobs/{job}/rounds", "federated rounds: who took part, weights, measures",
     api_get_rounds, 0, false},
    {"GET", "/jobs/{job}/sweep", "units of a sweep: values and scores", api_get_sweep, 0, false},
    {"GET", "/jobs/{job}/result", "what an evaluation, a prediction or an ensemble came to",
     api_get_result, 0, false},
    {"GET", "/jobs/{job}/units/{unit}/outputs", "what a unit left: a file set", api_get_outputs, 0,
     false},
    {"GET", "/jobs/{job}/why", "why it is where it is, an agent a line", api_get_why, 0, false},
    {"GET", "/jobs/{job}/metrics", "series: name, from, limit, format=csv", api_get_metrics, 0,
     false},
    {"GET", "/jobs/{job}/logs", "log lines: from, limit or tail, unit, generation, format=text",
     api_get_logs, 0, false},
    {"GET", "/jobs/{job}/events", "live stream (SSE): since or Last-Event-ID", api_get_events, 0,
     false},
    {"GET", "/models", "all models", api_get_models, 0, false},
    {"GET", "/models/{model}", "one model: NAME, NAME:VERSION, NAME@best, NAME@latest",
     api_get_model, 0, false},
    {"DELETE", "/models/{model}", "remove NAME:VERSION, or all versions of NAME", api_remove_model,
     0, false},
    {"GET", "/models/{model}/file", "its model.safetensors", api_get_model_file, 0, false},
    {"GET", "/datasets", "node-local data sets", api_get_datasets, 0, false},
    {"GET", "/datasets/{name}", "one data set and who has it", api_get_dataset, 0, false},
    {"DELETE", "/datasets/{name}", "forget it, or that a node has it; files stay",
     api_remove_dataset, 0, false},
    {"GET", "/datasets/{name}/files", "its files: under, from, limit, node", api_get_dataset_files,
     0, false},
    {"GET", "/datasets/{name}/preview", "its kind, classes, first rows or files: node",
     api_get_dataset_preview, 0, false},
    {"POST", "/datasets", "declare one: {name, path, node, local}", api_post_dataset,
     API_BODY_BYTES_MAX, false},
    {"POST", "/gc", "delete what nothing needs, on all agents: {dry_run}", api_post_gc,
     API_BODY_BYTES_MAX, false},
    {"POST", "/backup", "copy all that this agent holds to a directory of its machine: {dir}",
     api_post_backup, API_BODY_BYTES_MAX, false},
    {"PUT", "/blobs", "keep bytes, answers their digest", api_put_blob, API_UPLOAD_BYTES_MAX,
     false},
    {"POST", "/predict", "classify the body: model, invert", api_post_predict,
     API_PREDICT_BYTES_MAX, false},
    {"POST", "/validate", "check a job file without submitting it", api_post_validate,
     API_BODY_BYTES_MAX, false},
};

const size_t API_ROUTE_COUNT = SH_COUNT(API_ROUTES);

/* Copies one path word; false when it is empty or too long. Words arrive percent-decoded. */
static bool take_word(const char *at, size_t size, char *out)
{
    if (size == 0 || size > API_PARAM_BYTES_MAX) {
        return false;
    }
    memcpy(out, at, size);
    out[size] = '\0';
    return true;
}

static bool matches(const char *pattern, const char *path,
                    char params[static API_PARAMS_MAX][API_PARAM_BYTES_MAX + 1])
{
    size_t count = 0;
    while (*pattern != '\0' && *path != '\0') {
        if (*pattern == '{') {
            size_t size = strcspn(path, "/");
            SH_CHECK_CMP(count, <, API_PARAMS_MAX);
            if (!take_word(path, size, params[count])) {
                return false;
            }
            count++;
            path += size;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern == *path) {
            pattern++;
            path++;
        } else {
            return false;
        }
    }
    return *pattern == '\0' && *path == '\0';
}

const struct api_route *api_route_find(const char *method, const char *path,
                                       char params[static API_PARAMS_MAX][API_PARAM_BYTES_MAX + 1],
                                       bool *wrong_method)
{
    *wrong_method = false;
    if (strncmp(path, PREFIX, strlen(PREFIX)) != 0) {
        return NULL;
    }
    const char *below = path + strlen(PREFIX);
    for (size_t i = 0; i < API_ROUTE_COUNT; i++) {
        if (!matches(API_ROUTES[i].pattern, below, params)) {
            continue;
        }
        if (strcmp(API_ROUTES[i].method, method) == 0) {
            return &API_ROUTES[i];
        }
        *wrong_method = true;
    }
    return NULL;
}

void api_get_index(const struct api_request *request, struct api_reply *reply)
{
    (void)request;
    json_t *list = json_array();
    for (size_t i = 0; i < API_ROUTE_COUNT; i++) {
        const struct api_route *r = &API_ROUTES[i];
        (void)json_array_append_new(list, json_pack("{s:s, s:s+, s:s}", "method", r->method, "path",
                                                    PREFIX, r->pattern, "summary", r->summary));
    }
    api_reply_json(reply, 200, json_pack("{s:o}", "routes", list));
}
