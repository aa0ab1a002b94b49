/* SPDX-License-Identifier: Apache-2.0 */
#include "api/exchange.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reply says when there is no memory left to say more. */
#define NO_MEMORY_JSON                                                                             \
    "{\"error\":{\"code\":\"NO_MEMORY\",\"field\":\"\",\"message\":\"out of memory\","             \
    "\"value\":\"\"}}"

unsigned api_status_of(enum sh_err err)
{
    switch (err) {
    case SH_OK:
        return 200;
    case SH_ERR_INVALID:
    case SH_ERR_CORRUPT:
    case SH_ERR_VERSION:
        return 400;
    case SH_ERR_DENIED:
    case SH_ERR_CLUSTER:
        return 403;
    case SH_ERR_NOT_FOUND:
        return 404;
    case SH_ERR_EXISTS:
    case SH_ERR_CONFLICT:
    case SH_ERR_STALE:
    case SH_ERR_CANCELLED:
    case SH_ERR_IN_USE:
        return 409;
    case SH_ERR_GONE:
        return 410;
    case SH_ERR_LIMIT:
        return 413;
    case SH_ERR_DIVERGED:
        return 422;
    case SH_ERR_UNSUPPORTED:
        return 501;
    case SH_ERR_UNREACHABLE:
        return 502;
    case SH_ERR_FULL:
    case SH_ERR_NOT_LEADER:
    case SH_ERR_NO_QUORUM:
        return 503;
    case SH_ERR_TIMEOUT:
        return 504;
    case SH_ERR_NO_SPACE:
        return 507;
    case SH_ERR_IO:
    case SH_ERR_NO_MEMORY:
    case SH_ERR_COUNT:
        return 500;
    }
    return 500;
}

static json_t *stale_json(const struct api_reply *reply)
{
    json_t *age =
        reply->age_us == UINT64_MAX ? json_null() : json_integer((json_int_t)reply->age_us);
    return json_pack("{s:I, s:o}", "index", (json_int_t)reply->index, "age_us", age);
}

void api_reply_json(struct api_reply *reply, unsigned status, json_t *value)
{
    if (reply->stale && status / 100 == 2) {
        (void)json_object_set_new(value, "stale", stale_json(reply));
    }
    char *text = value != NULL ? json_dumps(value, SPEC_JSON_PRINT) : NULL;
    json_decref(value);
    if (text == NULL) {
        text = strdup(NO_MEMORY_JSON);
        status = 500;
    }
    reply->status = status;
    reply->type = "application/json";
    reply->body = text;
    reply->size = text != NULL ? strlen(text) : 0;
}

void api_reply_text(struct api_reply *reply, const char *type, char *text, size_t size)
{
    reply->status = 200;
    reply->type = type;
    reply->body = text;
    reply->size = size;
}

static json_t *error_json(const char *code, const char *field, const char *value,
                          const char *message)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "code", code, "field", field, "value", value,
                     "message", message);
}

void api_reply_error(struct api_reply *reply, enum sh_err err, const char *field, const char *value,
                     const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    /* Text that came from outside may be cut inside a UTF-8 sequence or be none at all. */
    json_t *error = error_json(sh_err_name(err), field, value, message);
    if (error == NULL) {
        error = error_json(sh_err_name(err), field, "", sh_err_text(err));
    }
    api_reply_json(reply, api_status_of(err), json_pack("{s:o}", "error", error));
}

void api_reply_err(struct api_reply *reply, enum sh_err err)
{
    api_reply_error(reply, err, "", "", "%s", sh_err_text(err));
}

static json_t *spec_error_json(const struct spec_error *e)
{
    json_t *out = error_json("INVALID", e->field, e->value, e->message);
    if (out != NULL) {
        (void)json_object_set_new(out, "line", json_integer(e->line));
        (void)json_object_set_new(out, "column", json_integer(e->column));
    }
    return out;
}

void api_reply_spec(struct api_reply *reply, const struct spec_errors *errors)
{
    SH_CHECK_CMP(errors->count, >, 0);
    json_t *list = json_array();
    for (size_t i = 0; i < errors->count; i++) {
        (void)json_array_append_new(list, spec_error_json(&errors->at[i]));
    }
    api_reply_json(
        reply, 400,
        json_pack("{s:o, s:o}", "error", spec_error_json(&errors->at[0]), "errors", list));
}
