/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exchange.h"

#define WHY_BYTES 1024u

void api_post_backup(const struct api_request *request, struct api_reply *reply)
{
    char why[WHY_BYTES] = "";
    struct service_backup made;
    json_t *body = json_loadb((const char *)request->body, request->body_size, 0, NULL);
    const char *dir = json_string_value(json_object_get(body, "dir"));
    if (dir == NULL) {
        api_reply_error(reply, SH_ERR_INVALID, "dir", "", "must be a path of the agent's machine");
    } else {
        enum sh_err err = service_backup(request->service, dir, &made, why, sizeof why);
        if (err != SH_OK) {
            api_reply_error(reply, err, "dir", dir, "%s", why);
        } else {
            api_reply_json(reply, 201,
                           json_pack("{s:s, s:I, s:I}", "dir", dir, "index", (json_int_t)made.index,
                                     "bytes", (json_int_t)made.bytes));
        }
    }
    json_decref(body);
}
