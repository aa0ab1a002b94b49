/* SPDX-License-Identifier: Apache-2.0
 *
 * Node-local data sets. `dataset add` runs where the files are: the agent that is asked sends the
 * question to the agent that is meant (SERVICE_CALL_DATASET), which reads the files, remembers the
 * path and declares name and digest to the cluster. The bytes stay where they are. */
#include "api/datasets.h"

#include "api/view.h"

#include "base/host/host.h"
#include "kernels/data/data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS      32u
#define HOLDERS_SHOWN  64u
#define BLOCK_BYTES    ((size_t)1 << 20)
#define ADD_TIMEOUT_US UINT64_C(300000000) /* reading a large set takes its time */
#define TEXT_BYTES     512u

/* ---- On the agent that has the files. ---- */

struct scan {
    struct service *service;
    struct sh_blake2b hash;
    const char *root;
    size_t root_length;
    uint64_t bytes;
    uint32_t files;
    bool again;                    /* the second half is being looked at */
    bool whole;                    /* it is the same files: the set has no halves */
    char first[JOBS_PATH_MAX + 1]; /* file of the first half */
    uint8_t *block;
    char *why;
    size_t why_size;
};

/* Name below the root, size and contents of every file, in kn_dataset_files' fixed order. */
static enum kn_err scan_file(void *context, const char *path)
{
    struct scan *s = context;
    if (s->again && strcmp(s->first, path) == 0) {
        s->whole = true;
        return KN_ERR_UNSUPPORTED; /* ends the walk */
    }
    if (s->files == 0) {
        (void)snprintf(s->first, sizeof s->first, "%s", path);
    }
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        (void)snprintf(s->why, s->why_size, "%s: %s", path, strerror(errno));
        return KN_ERR_IO;
    }
    const char *name = strncmp(path, s->root, s->root_length) == 0 ? path + s->root_length : path;
    name += name[0] == '/' ? 1 : 0;
    sh_blake2b_add(&s->hash, name, strlen(name) + 1);
    uint64_t size = 0;
    size_t n = fread(s->block, 1, BLOCK_BYTES, file);
    bool stopping = service_is_stopping(s->service);
    while (n > 0 && !stopping) {
        sh_blake2b_add(&s->hash, s->block, n);
        size += n;
        n = fread(s->block, 1, BLOCK_BYTES, file);
        stopping = service_is_stopping(s->service);
    }
    bool bad = ferror(file) != 0;
    (void)fclose(file); /* was read only */
    if (stopping) {
        (void)snprintf(s->why, s->why_size, "the agent is being stopped");
        return KN_ERR_UNSUPPORTED; /* ends the walk */
    }
    if (bad) {
        (void)snprintf(s->why, s->why_size, "%s: cannot be read", path);
        return KN_ERR_IO;
    }
    uint8_t tail[8];
    sh_key_u64(tail, size);
    sh_blake2b_add(&s->hash, tail, sizeof tail);
    s->bytes += size;
    s->files++;
    return KN_OK;
}

/* Both halves of an MNIST folder belong to the set; other sets have one. */
static enum sh_err scan_set(struct service *service, const char *path,
                            uint8_t digest[static SH_DIGEST_BYTES], char *summary,
                            size_t summary_size, char *why, size_t why_size)
{
    struct scan *s = calloc(1, sizeof *s);
    uint8_t *block = malloc(BLOCK_BYTES);
    if (s == NULL || block == NULL) {
        free(s);
        free(block);
        return SH_ERR_NO_MEMORY;
    }
    s->service = service;
    s->root = path;
    s->root_length = strlen(path);
    s->block = block;
    s->why = why;
    s->why_size = why_size;
    sh_blake2b_start(&s->hash, SH_DIGEST_BYTES);
    struct kn_diag diag = {.text = ""};
    struct kn_open train = {.part = KN_PART_TRAIN};
    struct kn_open test = {.part = KN_PART_TEST};
    enum kn_err err = kn_dataset_files(path, &train, scan_file, s, &diag);
    if (err == KN_OK) {
        s->again = true;
        err = kn_dataset_files(path, &test, scan_file, s, &diag);
        err = s->whole ? KN_OK : err;
    }
    if (err != KN_OK && why[0] == '\0') {
        (void)snprintf(why, why_size, "%s", diag.text);
    }
    sh_blake2b_end(&s->hash, digest, SH_DIGEST_BYTES);
    (void)snprintf(summary, summary_size, "{\"bytes\":%llu,\"files\":%u}",
                   (unsigned long long)s->bytes, s->files);
    free(s);
    free(block);
    if (err != KN_OK && service_is_stopping(service)) {
        return SH_ERR_CANCELLED;
    }
    if (err == KN_ERR_NOT_FOUND) {
        return SH_ERR_NOT_FOUND;
    }
    return err == KN_OK ? SH_OK : SH_ERR_INVALID;
}

static enum sh_err declare(struct service *s, const char *name, const char *path, bool local,
                           char *why, size_t why_size)
{
    struct service_status st;
    struct jobs_cmd *cmd = calloc(1, sizeof *cmd);
    struct jobs_result *result = calloc(1, sizeof *result);
    uint8_t *bytes = malloc(JOBS_CMD_BYTES_MAX);
    enum sh_err err = cmd != NULL && result != NULL && bytes != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    service_status(s, &st);
    if (err == SH_OK) {
        cmd->type = JOBS_DATASET_ADD;
        struct jobs_dataset_add *add = &cmd->u.dataset_add;
        (void)snprintf(add->name, sizeof add->name, "%s", name);
        (void)snprintf(add->path, sizeof add->path, "%s", path);
        memcpy(add->node, st.node_id, sizeof add->node);
        add->local = local;
        err = scan_set(s, path, add->digest, add->summary, sizeof add->summary, why, why_size);
    }
    struct sh_writer w = sh_writer_over(bytes, JOBS_CMD_BYTES_MAX);
    if (err == SH_OK) {
        err = jobs_cmd_encode(cmd, &w);
    }
    if (err == SH_OK) {
        err = service_propose(s, bytes, w.used, API_WRITE_TIMEOUT_US, result);
        if (err == SH_ERR_EXISTS) {
            (void)snprintf(why, why_size,
                           local ? "%s is a data set already, and not one of which each agent "
                                   "holds its own part"
                                 : "another agent holds other contents under the name %s",
                           name);
        }
    }
    free(cmd);
    free(result);
    free(bytes);
    return err;
}

/* request: str name, str path, bool local. reply: u32 error, str why. */
enum sh_err api_dataset_call(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                             size_t *reply_size)
{
    struct service *s = ctx;
    char name[SH_NAME_MAX + 1];
    char path[JOBS_PATH_MAX + 1];
    char why[TEXT_BYTES] = "";
    struct sh_reader r = sh_reader_over(request.at, request.size);
    sh_get_str(&r, name, sizeof name);
    sh_get_str(&r, path, sizeof path);
    bool local = sh_get_bool(&r);
    enum sh_err err = sh_reader_end(&r);
    if (err == SH_OK) {
        err = declare(s, name, path, local, why, sizeof why);
    }
    struct sh_writer w = sh_writer_over(reply, capacity);
    sh_put_u32(&w, (uint32_t)err);
    sh_put_str(&w, why);
    *reply_size = w.used;
    return w.full ? SH_ERR_LIMIT : SH_OK;
}

/* ---- On the agent that is asked. ---- */

/* Id of the agent that text names, by name or id; this one for NULL. */
static enum sh_err find_node(const struct api_request *request, const char *text,
                             uint8_t id[static SH_NODE_ID_BYTES])
{
    struct service_status st;
    service_status(request->service, &st);
    if (text == NULL) {
        memcpy(id, st.node_id, SH_NODE_ID_BYTES);
        return SH_OK;
    }
    if (sh_unhex(id, SH_NODE_ID_BYTES, text) == SH_OK) {
        return SH_OK;
    }
    struct service_view *view = NULL;
    struct jobs_node node;
    enum sh_err err = service_view_open(request->service, &view);
    if (err == SH_OK) {
        err = jobs_node_by_name(service_view_table(view), text, &node);
        service_view_close(view);
    }
    if (err == SH_OK) {
        memcpy(id, node.id, SH_NODE_ID_BYTES);
    }
    return err;
}

static void reply_dataset(const struct api_request *request, struct api_reply *reply,
                          const char *name);

static void add_dataset(const struct api_request *request, struct api_reply *reply,
                        const char *name, const char *path, const char *node, bool local)
{
    uint8_t id[SH_NODE_ID_BYTES];
    uint8_t question[2 * TEXT_BYTES];
    uint8_t answer[2 * TEXT_BYTES];
    size_t answer_size = 0;
    enum sh_err err = find_node(request, node, id);
    if (err != SH_OK) {
        api_reply_error(reply, err, "node", node != NULL ? node : "", "no such agent");
        return;
    }
    struct sh_writer w = sh_writer_over(question, sizeof question);
    sh_put_str(&w, name);
    sh_put_str(&w, path);
    sh_put_u8(&w, local);
    err = w.full ? SH_ERR_LIMIT
                 : service_call(request->service, id, SERVICE_CALL_DATASET, question, w.used,
                                answer, sizeof answer, &answer_size, ADD_TIMEOUT_US);
    char why[TEXT_BYTES] = "";
    if (err == SH_OK) {
        struct sh_reader r = sh_reader_over(answer, answer_size);
        err = sh_err_from_u32(sh_get_u32(&r));
        sh_get_str(&r, why, sizeof why);
    }
    if (err != SH_OK) {
        api_reply_error(reply, err, "path", path, "%s", why[0] != '\0' ? why : sh_err_text(err));
        return;
    }
    reply_dataset(request, reply, name);
}

void api_post_dataset(const struct api_request *request, struct api_reply *reply)
{
    json_t *body =
        json_loadb((const char *)request->body, request->body_size, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *path = json_string_value(json_object_get(body, "path"));
    const char *node = json_string_value(json_object_get(body, "node"));
    const json_t *local = json_object_get(body, "local");
    if (name == NULL || !wire_name_ok(name)) {
        api_reply_error(reply, SH_ERR_INVALID, "name", name != NULL ? name : "",
                        "must be a name: up to %u letters, digits, '.', '_' and '-'", SH_NAME_MAX);
    } else if (path == NULL || path[0] != '/' || strlen(path) > JOBS_PATH_MAX) {
        api_reply_error(reply, SH_ERR_INVALID, "path", path != NULL ? path : "",
                        "must be an absolute path on that agent's machine");
    } else if (local != NULL && !json_is_boolean(local)) {
        api_reply_error(reply, SH_ERR_INVALID, "local", "", "must be true or false");
    } else {
        add_dataset(request, reply, name, path, node, json_is_true(local));
    }
    json_decref(body);
}

static json_t *dataset_json(const struct sh_table *t, const struct jobs_dataset *set)
{
    json_t *holders = json_array();
    struct jobs_dataset_holder *page = malloc(HOLDERS_SHOWN * sizeof *page);
    uint32_t count = 0;
    if (page != NULL &&
        jobs_dataset_holder_list(t, set->name, NULL, page, HOLDERS_SHOWN, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            json_t *holder = api_node_ref(t, page[i].node);
            (void)json_object_set_new(holder, "path", json_string(page[i].path));
            if (set->local) {
                json_t *part = json_loads(page[i].summary, JSON_REJECT_DUPLICATES, NULL);
                (void)json_object_set_new(holder, "summary", part != NULL ? part : json_null());
                (void)json_object_set_new(holder, "digest",
                                          spec_json_hex(page[i].digest, sizeof page[i].digest));
            }
            (void)json_array_append_new(holders, holder);
        }
    }
    free(page);
    for (uint32_t i = 0; i < set->blob_holder_count; i++) {
        (void)json_array_append_new(holders, api_node_ref(t, set->blob_holders[i]));
    }
    json_t *summary = json_loads(set->summary, JSON_REJECT_DUPLICATES, NULL);
    json_t *out =
        json_pack("{s:s, s:o, s:I, s:o, s:b, s:o}", "name", set->name, "digest",
                  set->local ? json_null() : spec_json_hex(set->digest, sizeof set->digest),
                  "created_us", (json_int_t)set->created_us, "summary",
                  summary != NULL ? summary : json_null(), "local", set->local, "holders", holders);
    if (set->unit.job != 0) {
        (void)json_object_set_new(out, "job", json_integer((json_int_t)set->unit.job));
    }
    return out;
}

static void reply_dataset(const struct api_request *request, struct api_reply *reply,
                          const char *name)
{
    struct service_view *view = NULL;
    struct jobs_dataset *set = malloc(sizeof *set);
    /* The agent that has the files wrote it: this one may not have heard of that yet. */
    if (set == NULL || !api_open_view(request, reply, &view)) {
        if (set == NULL) {
            api_reply_err(reply, SH_ERR_NO_MEMORY);
        }
        free(set);
        return;
    }
    enum sh_err err = jobs_dataset_get(service_view_table(view), name, set);
    json_t *out = err == SH_OK ? dataset_json(service_view_table(view), set) : NULL;
    service_view_close(view);
    free(set);
    if (err != SH_OK) {
        api_reply_err(reply, err);
        return;
    }
    api_reply_json(reply, 201, out);
}

void api_get_datasets(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    const struct sh_table *t = service_view_table(view);
    json_t *list = json_array();
    struct jobs_dataset *page = malloc(PAGE_ROWS * sizeof *page);
    char after[SH_NAME_MAX + 1] = "";
    uint32_t count = page != NULL ? PAGE_ROWS : 0;
    while (count == PAGE_ROWS && jobs_dataset_list(t, after, page, PAGE_ROWS, &count) == SH_OK) {
        for (uint32_t i = 0; i < count; i++) {
            (void)json_array_append_new(list, dataset_json(t, &page[i]));
        }
        if (count > 0) {
            memcpy(after, page[count - 1].name, sizeof after);
        }
    }
    free(page);
    service_view_close(view);
    api_reply_json(reply, 200, json_pack("{s:o}", "datasets", list));
}

void api_get_dataset(const struct api_request *request, struct api_reply *reply)
{
    struct service_view *view = NULL;
    struct jobs_dataset set;
    const char *name = request->params[0];
    if (!api_open_view(request, reply, &view)) {
        return;
    }
    enum sh_err err = jobs_dataset_get(service_view_table(view), name, &set);
    json_t *out = err == SH_OK ? dataset_json(service_view_table(view), &set) : NULL;
    service_view_close(view);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "dataset", name, "no such data set");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, out);
    }
}

static enum sh_err propose_removal(struct service *s, const char *name,
                                   const uint8_t node[static SH_NODE_ID_BYTES])
{
    struct jobs_cmd cmd = {.type = JOBS_DATASET_REMOVE};
    struct jobs_dataset_remove *remove = &cmd.u.dataset_remove;
    uint8_t bytes[160];
    struct jobs_result result;
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    (void)snprintf(remove->name, sizeof remove->name, "%s", name);
    memcpy(remove->node, node, SH_NODE_ID_BYTES);
    enum sh_err err = jobs_cmd_encode(&cmd, &w);
    return err != SH_OK ? err : service_propose(s, bytes, w.used, API_WRITE_TIMEOUT_US, &result);
}

/* Agents that have it, or only the one that node names. *made: a job made it, nobody has to be
 * named. */
static enum sh_err holders_of(const struct sh_table *t, const char *name, const char *node,
                              struct jobs_dataset_holder *out, uint32_t *count, bool *made)
{
    struct jobs_dataset set;
    struct jobs_node row;
    *count = 0;
    enum sh_err err = jobs_dataset_get(t, name, &set);
    *made = err == SH_OK && set.unit.job != 0;
    if (err != SH_OK || *made) {
        return err;
    }
    if (node == NULL) {
        return jobs_dataset_holder_list(t, name, NULL, out, HOLDERS_SHOWN, count);
    }
    err = jobs_node_by_name(t, node, &row);
    err = err == SH_OK ? jobs_dataset_holder_get(t, name, row.id, out) : err;
    *count = err == SH_OK;
    return err;
}

void api_remove_dataset(const struct api_request *request, struct api_reply *reply)
{
    static const uint8_t nobody[SH_NODE_ID_BYTES];
    const char *name = request->params[0];
    struct service_view *view = NULL;
    bool made = false;
    uint32_t count = 0;
    struct jobs_dataset_holder *holders = malloc(HOLDERS_SHOWN * sizeof *holders);
    if (holders == NULL || !api_open_view(request, reply, &view)) {
        free(holders);
        return;
    }
    enum sh_err err = holders_of(service_view_table(view), name, api_query(request, "node"),
                                 holders, &count, &made);
    service_view_close(view);
    err = err == SH_OK && made ? propose_removal(request->service, name, nobody) : err;
    for (uint32_t i = 0; err == SH_OK && i < count; i++) {
        err = propose_removal(request->service, name, holders[i].node);
    }
    free(holders);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "dataset", name, "no such data set, or no such agent has it");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    } else {
        api_reply_json(reply, 200, json_pack("{s:s}", "removed", name));
    }
}
