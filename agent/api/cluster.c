/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent and its fellows. */
#include "api/view.h"

#include "base/host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING_UNITS   64u   /* looked at for the jobs that run */
#define RUNNING_SHOWN   16u   /* of them */
#define NODE_MODELS_MAX 1000u /* that one answer names */

static const char *role_text(enum service_role role)
{
    switch (role) {
    case SERVICE_FOLLOWER:
        return "follower";
    case SERVICE_LEARNER:
        return "learner";
    case SERVICE_CANDIDATE:
        return "candidate";
    case SERVICE_LEADER:
        return "leader";
    }
    return "?";
}

static const char *sandbox_text(enum wire_sandbox sandbox)
{
    switch (sandbox) {
    case WIRE_SANDBOX_STRICT:
        return "strict";
    case WIRE_SANDBOX_BASIC:
        return "basic";
    case WIRE_SANDBOX_NONE:
        return "none";
    case WIRE_SANDBOX_OFF:
        break;
    }
    return "off";
}

static const char *liveness_text(enum service_liveness liveness)
{
    switch (liveness) {
    case SERVICE_ALIVE:
        return "alive";
    case SERVICE_SUSPECT:
        return "suspect";
    case SERVICE_DEAD:
        return "dead";
    case SERVICE_LEFT:
        return "left";
    }
    return "?";
}

static json_t *counts_json(const struct jobs_counts *c)
{
    json_t *jobs = json_object();
    for (uint32_t i = 0; i < JOBS_STATE_COUNT; i++) {
        (void)json_object_set_new(jobs, jobs_state_name(i), json_integer(c->jobs_in[i]));
    }
    return json_pack("{s:i, s:o, s:i, s:i, s:i}", "nodes", (int)c->nodes, "jobs", jobs,
                     "open_units", (int)c->open_units, "models", (int)c->models, "datasets",
                     (int)c->datasets);
}

/* Some of the jobs that run, the oldest first, with how far they are. */
static json_t *running_json(const struct sh_table *t)
{
    json_t *list = json_array();
    struct jobs_unit *units = malloc(RUNNING_UNITS * sizeof *units);
    struct jobs_job job = {.id = 0};
    uint32_t count = 0;
    bool read = units != NULL &&
                jobs_gang_list(t, (struct wire_unit){0}, units, RUNNING_UNITS, &count) == SH_OK;
    for (uint32_t i = 0; read && i < count && json_array_size(list) < RUNNING_SHOWN; i++) {
        if (units[i].id.job != job.id && jobs_job_get(t, units[i].id.job, &job) == SH_OK) {
            (void)json_array_append_new(
                list, json_pack("{s:I, s:s, s:i}", "id", (json_int_t)job.id, "name", job.name,
                                "percent", job.progress * 100 / (int)JOBS_PROGRESS_WHOLE));
        }
    }
    free(units);
    return list;
}

void api_get_status(const struct api_request *request, struct api_reply *reply)
{
    struct service_status st;
    struct service_view *view = NULL;
    struct jobs_counts counts;
    memset(&counts, 0, sizeof counts);
    service_status(request->service, &st);
    if (!api_open_here(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    enum sh_err err = jobs_counts_get(t, &counts);
    if (err != SH_OK) {
        service_view_close(view);
        api_reply_err(reply, err);
        return;
    }
    json_t *out =
        json_pack("{s:s, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "version",
                  SHOAL_VERSION, "cluster", spec_json_hex(st.cluster_id, sizeof st.cluster_id),
                  "id", spec_json_hex(st.node_id, sizeof st.node_id), "name", st.name, "role",
                  role_text(st.role), "handle", (json_int_t)st.raft_handle, "term",
                  (json_int_t)st.term, "commit_index", (json_int_t)st.commit_index, "applied_index",
                  (json_int_t)st.applied_index, "leaderless_us", (json_int_t)st.leaderless_us,
                  "uptime_us", (json_int_t)st.uptime_us, "counts", counts_json(&counts));
    uint8_t digest[8];
    for (unsigned i = 0; i < sizeof digest; i++) {
        digest[i] = (uint8_t)(st.state_digest >> (8 * (7 - i)));
    }
    (void)json_object_set_new(out, "state_digest", spec_json_hex(digest, sizeof digest));
    uint64_t age_us = service_age_us(request->service, service_view_index(view));
    (void)json_object_set_new(
        out, "age_us", age_us == UINT64_MAX ? json_null() : json_integer((json_int_t)age_us));
    (void)json_object_set_new(out, "log",
                              json_pack("{s:I, s:I, s:I, s:I, s:I}", "first",
                                        (json_int_t)st.log_first, "election_us",
                                        (json_int_t)st.election_us, "last", (json_int_t)st.log_last,
                                        "snapshots_installed", (json_int_t)st.snapshots,
                                        "leader_silence_us", (json_int_t)st.silence_us));
    struct service_garbage garbage;
    service_garbage_last(request->service, &garbage);
    (void)json_object_set_new(out, "garbage", api_garbage_json(&garbage));
    (void)json_object_set_new(out, "fetched_bytes", json_integer((json_int_t)st.fetched_bytes));
    (void)json_object_set_new(out, "running", running_json(t));
    (void)json_object_set_new(out, "leader",
                              st.leader_known ? api_node_ref(t, st.leader_id) : json_null());
    service_view_close(view);
    api_reply_json(reply, 200, out);
}

/* The first eight bytes of a data set's digest stand in the gossiped record; names are in the
 * tables. */
static json_t *datasets_json(const struct sh_table *t, const struct wire_node *node)
{
    json_t *list = json_array();
    struct jobs_dataset *set = malloc(sizeof *set);
    struct jobs_dataset_holder holder;
    char after[SH_NAME_MAX + 1] = "";
    uint32_t count = 1;
    while (set != NULL && count == 1 && jobs_dataset_list(t, after, set, 1, &count) == SH_OK &&
           count == 1) {
        if (jobs_dataset_holder_get(t, set->name, node->id, &holder) == SH_OK) {
            (void)json_array_append_new(list, json_string(set->name));
        }
        memcpy(after, set->name, sizeof after);
    }
    free(set);
    return list;
}

/* {"disk": "nvme", "fast": ""} */
static json_t *labels_json(const struct wire_node *node)
{
    json_t *out = json_object();
    for (const char *at = node->labels; *at != '\0';) {
        char key[WIRE_LABEL_MAX + 1];
        size_t size = strcspn(at, ",");
        size_t name = strcspn(at, "=,");
        const char *value = name < size ? at + name + 1 : at + size;
        SH_CHECK_CMP(name, <, sizeof key); /* wire_labels_ok */
        memcpy(key, at, name);
        key[name] = '\0';
        (void)json_object_set_new(out, key, json_stringn(value, (size_t)(at + size - value)));
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return out;
}

/* What the tables know against it; null: nothing. */
static json_t *health_json(const struct sh_table *t, const struct wire_node *node)
{
    struct jobs_health h;
    struct jobs_counts counts;
    if (jobs_health_get(t, node->id, &h) != SH_OK || jobs_counts_get(t, &counts) != SH_OK) {
        return json_null();
    }
    uint64_t wall_us = sh_wall_us();
    uint64_t now_us = wall_us > counts.stamp_us ? wall_us : counts.stamp_us;
    const char *state = jobs_health_untested(&h, now_us)      ? "testing"
                        : jobs_health_quarantined(&h, now_us) ? "quarantined"
                        : jobs_health_on_trial(&h, now_us)    ? "on trial"
                                                              : "suspected";
    return json_pack("{s:s, s:I, s:I, s:i}", "state", state, "until_us", (json_int_t)h.until_us,
                     "score_milli", (json_int_t)jobs_health_score(&h, now_us), "quarantines",
                     (int)h.strikes);
}

/* What decides whether units come to it, beside what it has. */
static void put_placing(json_t *out, const struct sh_table *t, const struct wire_node *n)
{
    struct jobs_node row;
    bool drains = jobs_node_get(t, n->id, &row) == SH_OK && row.draining;
    (void)json_object_set_new(out, "draining", json_boolean(n->draining || drains));
    (void)json_object_set_new(out, "labels", labels_json(n));
    (void)json_object_set_new(out, "arch", json_string(n->arch));
    (void)json_object_set_new(out, "disk_bytes", json_integer((json_int_t)n->disk_bytes));
    (void)json_object_set_new(out, "policy", json_string(wire_policy_text((uint32_t)n->policy)));
    (void)json_object_set_new(out, "health", health_json(t, n));
}

static json_t *member_json(const struct sh_table *t, const struct service_member *m,
                           const struct service_status *st)
{
    const struct wire_node *n = &m->node;
    bool leader = st->leader_known && memcmp(n->id, st->leader_id, SH_NODE_ID_BYTES) == 0;
    json_t *out = json_pack(
        "{s:o, s:s, s:s, s:s, s:i, s:s, s:b, s:b, s:b}", "id", spec_json_hex(n->id, sizeof n->id),
        "name", n->name, "addr", n->addr, "api", n->api, "bulk_port", (int)n->bulk_port, "liveness",
        liveness_text(m->liveness), "voter", m->voter, "leader", leader, "one_way", m->one_way);
    json_t *inventory =
        json_pack("{s:s, s:s, s:o, s:i, s:I, s:i, s:s, s:I, s:i, s:i, s:i, s:o}", "version",
                  n->version, "isa", n->isa, "class", spec_json_hex(n->class, sizeof n->class),
                  "cpus", (int)n->cpus, "ram_bytes", (json_int_t)n->ram_bytes, "gpus", (int)n->gpus,
                  "gpu", n->gpu, "gpu_bytes", (json_int_t)n->gpu_bytes, "slots", (int)n->slots,
                  "speed", (int)n->speed, "load", (int)n->load, "datasets", datasets_json(t, n));
    if (out == NULL || inventory == NULL) {
        json_decref(out);
        json_decref(inventory);
        return NULL;
    }
    (void)json_object_update(out, inventory);
    json_decref(inventory);
    put_placing(out, t, n);
    (void)json_object_set_new(out, "zone", json_string(n->zone));
    (void)json_object_set_new(out, "commands", json_boolean(n->sandbox != WIRE_SANDBOX_OFF));
    (void)json_object_set_new(out, "sandbox", json_string(sandbox_text(n->sandbox)));
    (void)json_object_set_new(out, "sandbox_min", json_string(sandbox_text(n->sandbox_min)));
    (void)json_object_set_new(out, "run_as", json_integer(n->run_as));
    (void)json_object_set_new(out, "fsync_p99_us", json_integer(n->fsync_p99_us));
    (void)json_object_set_new(out, "rtt_p99_us", json_integer(m->rtt_p99_us));
    struct jobs_node admitted;
    if (jobs_node_get(t, n->id, &admitted) == SH_OK) {
        (void)json_object_set_new(out, "handle", json_integer((json_int_t)admitted.handle));
        (void)json_object_set_new(out, "admitted_us",
                                  json_integer((json_int_t)admitted.admitted_us));
    }
    return out;
}

/* NULL on lack of memory or of a view, with the reply made. */
static json_t *nodes_json(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct service_status st;
    struct service_member *members = malloc(SH_NODES_MAX * sizeof *members);
    if (members == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return NULL;
    }
    if (!api_open_here(request, reply, &view)) {
        free(members);
        return NULL;
    }
    service_status(request->service, &st);
    size_t count = service_members(request->service, members, SH_NODES_MAX);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct sh_table *table = service_view_table(view);
        struct jobs_node row;
        bool away = members[i].liveness == SERVICE_DEAD || members[i].liveness == SERVICE_LEFT;
        if (!away || jobs_node_get(table, members[i].node.id, &row) == SH_OK) { /* else removed */
            (void)json_array_append_new(list, member_json(table, &members[i], &st));
        }
    }
    service_view_close(view);
    free(members);
    return list;
}

void api_get_nodes(const struct api_request *request, struct api_reply *reply)
{
    json_t *list = nodes_json(request, reply);
    if (list != NULL) {
        api_reply_json(reply, 200, json_pack("{s:o}", "nodes", list));
    }
}

/* Adds those among a page of models that were kept by this agent when they were made. */
static void add_held(const struct jobs_model *models, uint32_t count, const char *id, json_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t h = 0; h < models[i].holder_count; h++) {
            char hex[2 * SH_NODE_ID_BYTES + 1];
            char name[SH_NAME_MAX + 16];
            sh_hex(hex, models[i].holders[h], SH_NODE_ID_BYTES);
            if (strcmp(hex, id) == 0 && json_array_size(out) < NODE_MODELS_MAX) {
                (void)snprintf(name, sizeof name, "%s:%u", models[i].name, models[i].version);
                (void)json_array_append_new(out, json_string(name));
            }
        }
    }
}

/* NAME:VERSION of the models that an agent keeps. */
static void put_models(const struct api_request *request, json_t *node)
{
    enum { PAGE = 64 };
    struct service_view *view = NULL;
    json_t *out = json_array();
    struct jobs_model *models = calloc(PAGE, sizeof *models);
    const char *id = json_string_value(json_object_get(node, "id"));
    char name[SH_NAME_MAX + 1] = "";
    uint32_t version = 0;
    uint32_t count = PAGE;
    bool open = models != NULL && service_view_open(request->service, &view) == SH_OK;
    while (open && count == PAGE &&
           jobs_model_list(service_view_table(view), name, version, models, PAGE, &count) ==
               SH_OK) {
        add_held(models, count, id, out);
        if (count > 0) {
            memcpy(name, models[count - 1].name, sizeof name);
            version = models[count - 1].version;
        }
    }
    if (open) {
        service_view_close(view);
    }
    free(models);
    (void)json_object_set_new(node, "models", out);
}

void api_get_node(const struct api_request *request, struct api_reply *reply)
{
    json_t *list = nodes_json(request, reply);
    if (list == NULL) {
        return;
    }
    const char *wanted = request->params[0];
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *node = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(node, "id")), wanted) == 0 ||
            strcmp(json_string_value(json_object_get(node, "name")), wanted) == 0) {
            found = json_incref(node);
        }
    }
    json_decref(list);
    if (found == NULL) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "node", wanted, "no such agent");
        return;
    }
    put_models(request, found);
    api_reply_json(reply, 200, found);
}

static bool is_alive(const struct api_request *request, const struct jobs_node *node)
{
    struct service_member *members = malloc(SH_NODES_MAX * sizeof *members);
    size_t count = members == NULL ? 0 : service_members(request->service, members, SH_NODES_MAX);
    bool alive = members == NULL;
    for (size_t i = 0; i < count; i++) {
        bool same = memcmp(members[i].node.id, node->id, SH_NODE_ID_BYTES) == 0;
        alive = alive || (same && (members[i].liveness == SERVICE_ALIVE ||
                                   members[i].liveness == SERVICE_SUSPECT));
    }
    free(members);
    return alive;
}

void api_remove_node(const struct api_request *request, struct api_reply *reply)
{
    const char *name = request->params[0];
    struct service_view *view = NULL;
    struct jobs_node node;
    if (!api_open_here(request, reply, &view)) {
        return;
    }
    enum sh_err err = jobs_node_by_name(service_view_table(view), name, &node);
    service_view_close(view);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "node", name, "no such agent");
        return;
    }
    if (err == SH_OK && is_alive(request, &node)) {
        api_reply_error(reply, SH_ERR_CONFLICT, "node", name,
                        "agent %s is alive, or was a moment ago: stop it first", name);
        return;
    }
    struct jobs_cmd cmd = {.type = JOBS_NODE_REMOVE};
    uint8_t bytes[64];
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    struct jobs_result result;
    memcpy(cmd.u.node_remove.node, node.id, SH_NODE_ID_BYTES);
    err = err == SH_OK ? jobs_cmd_encode(&cmd, &w) : err;
    if (err == SH_OK) {
        err = service_propose(request->service, bytes, w.used, API_WRITE_TIMEOUT_US, &result);
    }
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return;
    }
    api_reply_json(reply, 200,
                   json_pack("{s:s, s:o, s:I}", "name", node.name, "id",
                             spec_json_hex(node.id, sizeof node.id), "handle",
                             (json_int_t)node.handle));
}
