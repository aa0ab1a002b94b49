/* SPDX-License-Identifier: Apache-2.0
 *
 * What units leave behind. */
#include "api/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_BYTES_MAX (UINT64_C(4) << 30) /* of one that is read whole */

struct blob_stream {
    struct service *service;
    uint8_t digest[SH_DIGEST_BYTES];
    uint64_t at;
};

static long read_blob(void *ctx, char *out, size_t size)
{
    struct blob_stream *f = ctx;
    size_t n = 0;
    if (service_blob_read(f->service, f->digest, f->at, out, size, &n) != SH_OK) {
        return -1;
    }
    f->at += n;
    return (long)n;
}

void api_reply_blob(const struct api_request *request, struct api_reply *reply,
                    const uint8_t digest[static SH_DIGEST_BYTES], uint64_t size)
{
    struct blob_stream *f = calloc(1, sizeof *f);
    if (f == NULL) {
        api_reply_err(reply, SH_ERR_NO_MEMORY);
        return;
    }
    f->service = request->service;
    memcpy(f->digest, digest, sizeof f->digest);
    reply->status = 200;
    reply->type = "application/octet-stream";
    reply->stream = (struct api_stream){.read = read_blob, .close = free, .ctx = f, .size = size};
}

bool api_fetch_blob(const struct api_request *request, struct api_reply *reply, const char *field,
                    const char *value, const uint8_t digest[static SH_DIGEST_BYTES], uint64_t *size)
{
    enum sh_err err = service_blob_fetch(request->service, digest, size, API_FETCH_TIMEOUT_US);
    if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, SH_ERR_UNREACHABLE, field, value,
                        "no agent that is alive holds its file");
    } else if (err == SH_ERR_CORRUPT) {
        api_reply_error(reply, SH_ERR_IO, field, value,
                        "its file is damaged on every agent that holds it");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

uint8_t *api_read_blob(const struct api_request *request, struct api_reply *reply,
                       const char *field, const char *value,
                       const uint8_t digest[static SH_DIGEST_BYTES], uint64_t *size)
{
    if (!api_fetch_blob(request, reply, field, value, digest, size)) {
        return NULL;
    }
    uint8_t *bytes = *size <= BLOB_BYTES_MAX ? malloc(*size > 0 ? *size : 1) : NULL;
    uint64_t have = 0;
    enum sh_err err = bytes != NULL ? SH_OK : SH_ERR_NO_MEMORY;
    err = *size > BLOB_BYTES_MAX ? SH_ERR_LIMIT : err;
    while (err == SH_OK && have < *size) {
        size_t n = 0;
        err = service_blob_read(request->service, digest, have, bytes + have, *size - have, &n);
        err = err == SH_OK && n == 0 ? SH_ERR_CORRUPT : err;
        have += n;
    }
    if (err != SH_OK) {
        free(bytes);
        api_reply_err(reply, err);
        return NULL;
    }
    return bytes;
}

/* The unit that params name; false with the reply made. */
static bool find_unit(const struct api_request *request, struct api_reply *reply,
                      struct jobs_job *job, struct jobs_unit *unit)
{
    struct service_view *view = NULL;
    const char *text = request->params[1];
    size_t digits = strspn(text, "0123456789");
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    bool good = api_find_job(request, reply, service_view_table(view), job);
    if (good) {
        bool number = digits > 0 && digits <= 5 && text[digits] == '\0';
        struct wire_unit id = {.job = job->id, .unit = (uint32_t)strtoul(text, NULL, 10)};
        enum sh_err err =
            number ? jobs_unit_get(service_view_table(view), id, unit) : SH_ERR_NOT_FOUND;
        good = err == SH_OK;
        if (err == SH_ERR_NOT_FOUND) {
            api_reply_error(reply, err, "unit", text, "the job has units 0 to %u", job->units - 1);
        } else if (!good) {
            api_reply_err(reply, err);
        }
    }
    service_view_close(view);
    return good;
}

void api_get_outputs(const struct api_request *request, struct api_reply *reply)
{
    static const uint8_t none[SH_DIGEST_BYTES];
    struct jobs_job job;
    struct jobs_unit unit;
    uint64_t size = 0;
    if (!find_unit(request, reply, &job, &unit)) {
        return;
    }
    if (job.results_gone) {
        api_reply_error(reply, SH_ERR_GONE, "job", request->params[0],
                        "newer jobs of its name have taken the place of what it left");
        return;
    }
    bool trains = job.kind == WIRE_KIND_TRAIN || job.kind == WIRE_KIND_FINE_TUNE;
    bool has = !trains && unit.committed && memcmp(unit.outcome.state, none, sizeof none) != 0;
    if (!has) {
        api_reply_error(reply, SH_ERR_NOT_FOUND, "unit", request->params[1],
                        "it has left no outputs: it is %s", jobs_state_name((uint32_t)unit.state));
        return;
    }
    if (api_fetch_blob(request, reply, "unit", request->params[1], unit.outcome.state, &size)) {
        api_reply_blob(request, reply, unit.outcome.state, size);
        (void)snprintf(reply->file_name, sizeof reply->file_name, "%s-%u.files", job.name,
                       unit.id.unit);
    }
}
