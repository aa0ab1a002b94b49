/* SPDX-License-Identifier: Apache-2.0 */
#include "train/resume.h"

#include "train/blob.h"

#include "base/host/host.h"

#include <stdlib.h>

static enum sh_err list_checkpoints(const struct train_resume *r, struct wire_unit unit,
                                    struct jobs_checkpoint *list, uint32_t *count)
{
    struct service_view *view;
    *count = 0;
    enum sh_err err = service_view_open(r->s, &view);
    if (err != SH_OK) {
        return err;
    }
    err = jobs_checkpoint_list(service_view_table(view), unit, list, JOBS_KEEP_MAX, count);
    service_view_close(view);
    return err;
}

static bool is_useless(enum sh_err err)
{
    return err == SH_ERR_CORRUPT || err == SH_ERR_INVALID || err == SH_ERR_LIMIT ||
           err == SH_ERR_CONFLICT;
}

/* Its bytes as they are, given (free). UNREACHABLE: nobody that is there has it whole, but one that
 * was given it is away. */
static enum sh_err read_bytes(const struct train_resume *r, const struct jobs_checkpoint *c,
                              uint8_t **bytes, size_t *size)
{
    enum sh_err err =
        r->whole_us > 0
            ? train_blob_read(r->s, c->manifest, r->bytes_max, r->whole_us, bytes, size)
            : train_blob_read_patient(r->s, c->manifest, r->bytes_max, r->patience, bytes, size);
    bool gone = err == SH_ERR_NOT_FOUND || err == SH_ERR_CORRUPT;
    return gone && train_blob_may_come(r->s, c->holders, c->holder_count) ? SH_ERR_UNREACHABLE
                                                                          : err;
}

static void say(struct train_resume *r, const struct jobs_checkpoint *c, enum sh_err err,
                const char *why)
{
    bool passing = train_is_passing(err);
    if (passing && sh_now_us() < r->say_at_us) {
        return;
    }
    r->say_at_us = passing ? sh_now_us() + TRAIN_SAY_US : r->say_at_us;
    train_scribe_line(r->scribe, "%s %s the %s %llu: %.160s", r->node,
                      passing ? "waits for" : "cannot use", r->name, (unsigned long long)c->step,
                      why[0] != '\0' ? why : sh_err_text(err));
}

static enum sh_err try_one(struct train_resume *r, const struct jobs_checkpoint *c)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    char why[JOBS_TEXT_MAX + 1] = "";
    enum sh_err err = read_bytes(r, c, &bytes, &size);
    if (err == SH_OK) {
        err = r->take(r->ctx, c, (struct sh_span){.at = bytes, .size = size}, why, sizeof why);
    }
    free(bytes);
    if (err != SH_OK && err != SH_ERR_CANCELLED) {
        say(r, c, err, why);
    }
    return err;
}

/* Newest first. Behind one whose holders are all away an older one will do: no more is lost than
 * the work between them. *awaited: there was such a one. */
static enum sh_err try_unit(struct train_resume *r, struct wire_unit unit,
                            struct jobs_checkpoint *list, bool *awaited)
{
    uint32_t count = 0;
    enum sh_err err = list_checkpoints(r, unit, list, &count);
    bool go_on = err == SH_OK;
    err = go_on ? SH_ERR_NOT_FOUND : err;
    for (uint32_t i = 0; i < count && go_on; i++) {
        if (list[i].step < r->from) {
            continue;
        }
        enum sh_err one = try_one(r, &list[i]);
        *awaited = *awaited || one == SH_ERR_UNREACHABLE;
        go_on = one == SH_ERR_UNREACHABLE || one == SH_ERR_NOT_FOUND || is_useless(one);
        err = go_on ? err : one;
    }
    return err;
}

enum sh_err train_resume(struct train_resume *r)
{
    struct jobs_checkpoint *list = calloc(JOBS_KEEP_MAX, sizeof *list);
    bool awaited = false;
    if (list == NULL) {
        return SH_ERR_NO_MEMORY;
    }
    enum sh_err err = try_unit(r, r->unit, list, &awaited);
    if (err == SH_ERR_NOT_FOUND && !awaited && r->goes_on) {
        struct wire_unit before = {.job = r->unit.job, .unit = r->before};
        err = try_unit(r, before, list, &awaited);
    }
    free(list);
    return err == SH_ERR_NOT_FOUND && awaited ? SH_ERR_UNREACHABLE : err;
}
