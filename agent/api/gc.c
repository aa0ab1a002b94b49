/* SPDX-License-Identifier: Apache-2.0
 *
 * What agents hold that nothing needs. */
#include "api/view.h"

#include <stdlib.h>

#define AGENTS_MAX 64u
#define COLLECT_US UINT64_C(60000000) /* for one agent */

json_t *api_garbage_json(const struct service_garbage *g)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "at_us", (json_int_t)g->at_us,
                     "blobs", (json_int_t)g->blobs, "bytes", (json_int_t)g->bytes, "loose_blobs",
                     (json_int_t)g->loose_blobs, "loose_bytes", (json_int_t)g->loose_bytes,
                     "leased_blobs", (json_int_t)g->leased_blobs, "leased_bytes",
                     (json_int_t)g->leased_bytes, "partials", (json_int_t)g->partials, "jobs",
                     (json_int_t)g->jobs);
}

/* {"dry_run": true}; false with the reply made where the body is another one. */
static bool read_body(const struct api_request *request, struct api_reply *reply, bool *dry)
{
    json_t *body = request->body_size == 0
                       ? json_object()
                       : json_loadb((const char *)request->body, request->body_size,
                                    JSON_REJECT_DUPLICATES, NULL);
    const json_t *value = json_object_get(body, "dry_run");
    size_t known = value != NULL ? 1 : 0;
    bool good = json_is_object(body) && json_object_size(body) == known &&
                (value == NULL || json_is_boolean(value));
    *dry = json_is_true(value);
    json_decref(body);
    if (!good) {
        api_reply_error(reply, SH_ERR_INVALID, "dry_run", "",
                        "the body must be {\"dry_run\": true}, {\"dry_run\": false} or empty");
    }
    return good;
}

static json_t *collect(const struct api_request *request, const struct service_member *m, bool dry)
{
    struct service_garbage found;
    enum sh_err err = service_collect(request->service, m->node.id, !dry, &found, COLLECT_US);
    json_t *out = err == SH_OK ? api_garbage_json(&found)
                               : json_pack("{s:s, s:s}", "code", sh_err_name(err), "message",
                                           sh_err_text(err));
    (void)json_object_set_new(out, "id", spec_json_hex(m->node.id, SH_NODE_ID_BYTES));
    (void)json_object_set_new(out, "name", json_string(m->node.name));
    return out;
}

void api_post_gc(const struct api_request *request, struct api_reply *reply)
{
    bool dry = false;
    struct service_member *members = malloc(AGENTS_MAX * sizeof *members);
    if (members == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    if (read_body(request, reply, &dry)) {
        size_t count = service_members(request->service, members, AGENTS_MAX);
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
            if (members[i].liveness == SERVICE_ALIVE || members[i].liveness == SERVICE_SUSPECT) {
                (void)json_array_append_new(list, collect(request, &members[i], dry));
            }
        }
        api_reply_json(reply, 200, json_pack("{s:b, s:o}", "dry_run", dry, "nodes", list));
    }
    free(members);
}
