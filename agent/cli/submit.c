/* SPDX-License-Identifier: Apache-2.0
 *
 * submit and validate. */
#include "cli/format.h"
#include "cli/table.h"
#include "cli/upload.h"

#include "base/host/host.h"
#include "spec/graph.h"
#include "wire/node.h"

#include <stdlib.h>
#include <string.h>

#define SUBMIT_TIMEOUT_S 120u
#define KEY_BYTES_MAX    127u

/* Without a key of the user's a fresh one: the call is repeated on other peers. */
static bool take_key(struct cli *c, char key[static KEY_BYTES_MAX + 1])
{
    const char *given = cli_value(c, "--idempotency-key");
    if (given == NULL) {
        uint8_t fresh[16];
        sh_random_bytes(fresh, sizeof fresh);
        sh_hex(key, fresh, sizeof fresh);
        return true;
    }
    if (given[0] == '\0' || strlen(given) > KEY_BYTES_MAX) {
        (void)cli_fail(c, CLI_USAGE, "USAGE", "--idempotency-key: must be 1 to %u characters",
                       KEY_BYTES_MAX);
        return false;
    }
    (void)snprintf(key, KEY_BYTES_MAX + 1, "%s", given);
    return true;
}

/* Nobody's where the user of this machine has a name that is none here. */
static const char *owner_of(const struct cli *c)
{
    const char *user = getenv("USER");
    const char *given = cli_value(c, "--owner");
    if (given != NULL) {
        return given;
    }
    return user != NULL && wire_name_ok(user) ? user : "";
}

json_t *cli_send_job(struct cli *c, const struct spec_job *job, int *status)
{
    char key[KEY_BYTES_MAX + 1];
    size_t size = 0;
    char *spec = malloc(SH_SPEC_BYTES_MAX);
    char *path = cli_path(c, "/jobs?owner=", owner_of(c), "");
    json_t *answer = NULL;
    if (!take_key(c, key)) {
        *status = CLI_USAGE;
    } else if (spec == NULL || path == NULL ||
               spec_canonical(job, spec, SH_SPEC_BYTES_MAX, &size) != SH_OK) {
        *status = cli_fail(c, CLI_INTERNAL, "LIMIT", "the job is larger than %u bytes",
                           SH_SPEC_BYTES_MAX);
    } else {
        struct cli_call call = {.method = "POST",
                                .path = path,
                                .body = spec,
                                .size = size,
                                .key = key,
                                .timeout_s = SUBMIT_TIMEOUT_S};
        answer = cli_ask(c, &call, status);
    }
    free(spec);
    free(path);
    return answer;
}

static int tell_submitted(struct cli *c, const json_t *row)
{
    char id[24];
    (void)snprintf(id, sizeof id, "%lld", cli_integer(row, "id"));
    bool wait = cli_flag(c, "--wait");
    if (c->json) {
        (void)cli_print_json(c, json_incref((json_t *)(uintptr_t)row));
    } else {
        bool again = json_is_true(json_object_get(row, "duplicate"));
        (void)fprintf(c->out, "job %s %s is %s%s\n", id, cli_text(row, "name"),
                      cli_text(row, "state"), again ? " (submitted before)" : "");
    }
    if (!c->json && !wait) {
        (void)fprintf(c->err,
                      "follow: shoal watch %s   reason: shoal why %s   end: shoal stop %s\n", id,
                      id, id);
    }
    (void)fflush(c->out);
    return wait ? cli_follow(c, id, CLI_FOLLOW_OUTCOME) : CLI_OK;
}

int cli_run_submit(struct cli *c)
{
    uint32_t samples = 0;
    struct spec_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    int status = cli_read_job(c, job);
    if (status == CLI_OK) {
        status = cli_check_data(c, job, &samples);
    }
    if (status == CLI_OK) {
        status = cli_upload_data(c, job);
    }
    json_t *row = status == CLI_OK ? cli_send_job(c, job, &status) : NULL;
    if (row != NULL) {
        status = tell_submitted(c, row);
    }
    json_decref(row);
    free(job);
    return status;
}

static void shape_text(const struct kn_shape *shape, char *out, size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; i < shape->rank && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%u", i > 0 ? " x " : "", shape->dim[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

static void print_layers(struct cli *c, const struct spec_table *table)
{
    static const char *const NAMES[] = {"LAYER", "KIND", "OUTPUT", ">PARAMETERS", ">MAC", NULL};
    struct cli_table t;
    char text[64];
    cli_table_init(&t, NAMES);
    cli_table_put(&t, "input");
    cli_table_put(&t, "");
    shape_text(&table->input, text, sizeof text);
    cli_table_put(&t, text);
    cli_table_put(&t, "");
    cli_table_put(&t, "");
    for (uint32_t i = 0; i < table->count; i++) {
        const struct spec_layer_row *r = &table->rows[i];
        cli_table_put(&t, r->name);
        cli_table_put(&t, r->kind);
        shape_text(&r->output, text, sizeof text);
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)r->params);
        cli_table_put(&t, text);
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)r->macs);
        cli_table_put(&t, text);
    }
    cli_table_print(&t, c->out);
}

static void print_totals(struct cli *c, const struct spec_job *job, const struct spec_table *table,
                         uint32_t samples)
{
    char shared[CLI_FORMAT_BYTES];
    char rank[CLI_FORMAT_BYTES];
    const struct spec_train *t = &job->train;
    cli_format_bytes(table->bytes_shared, shared);
    cli_format_bytes(table->bytes_rank, rank);
    (void)fprintf(c->out, "\n%llu parameters, %llu MAC a sample forward\n",
                  (unsigned long long)table->params, (unsigned long long)table->macs);
    (void)fprintf(c->out, "memory of an agent: %s, and %s a thread at work\n", shared, rank);
    (void)fprintf(c->out, "batch %u = %u ranks x %u, %u epochs, on %u to %u agents\n", t->batch,
                  t->ranks, t->batch / t->ranks, t->epochs, job->agents_min, job->agents_max);
    if (samples > 0) {
        uint32_t held = (uint32_t)((double)samples * job->data.validation_fraction);
        uint32_t steps = (samples - held) / t->batch;
        (void)fprintf(c->out, "%u samples, %u held out: %u steps an epoch, %llu in all\n", samples,
                      held, steps, (unsigned long long)steps * t->epochs);
    }
    const char *bytes = "not reproducible: arithmetic classes may mix\n";
    if (job->reproducible) {
        bytes = "the same bytes on any number of agents of one arithmetic class\n";
    } else if (t->wire.kind != KN_CODEC_F32) {
        bytes =
            "not reproducible: what sums lose on the wire depends on who computes which ranks\n";
    }
    (void)fprintf(c->out, "%s", bytes);
}

/* What the rounds of a job will do. */
static void print_rounds(struct cli *c, const struct spec_job *job)
{
    const struct spec_federated *f = &job->federated;
    char cohort[64] = "all agents";
    char work[64];
    char goal[64];
    (void)snprintf(work, sizeof work, "%u local epoch%s", f->local_epochs,
                   f->local_epochs == 1 ? "" : "s");
    if (f->select == SPEC_SELECT_FRACTION) {
        (void)snprintf(cohort, sizeof cohort, "%g of the agents", f->fraction);
    } else if (f->select == SPEC_SELECT_COUNT) {
        (void)snprintf(cohort, sizeof cohort, "%u agents", f->count);
    }
    (void)snprintf(goal, sizeof goal, "%g of them", f->goal);
    if (f->goal_counts) {
        (void)snprintf(goal, sizeof goal, "%u updates", f->goal_count);
    }
    (void)fprintf(
        c->out,
        "%u rounds, each of %s on %s that hold dataset:%s, by %s\n"
        "a round closes with %s, makes a model of %u updates or more, and ends after %u s "
        "at the latest\n",
        f->rounds, job->kind == SPEC_EXEC ? "one run of the commands" : work, cohort,
        job->data.train.name, spec_algorithm_name(f->algorithm), goal, f->least,
        f->deadline_s * 9 / 4);
}

static int print_valid(struct cli *c, const struct spec_job *job, uint32_t samples)
{
    uint8_t digest[SH_DIGEST_BYTES];
    char hex[2 * SH_DIGEST_BYTES + 1];
    struct spec_table *table = calloc(1, sizeof *table);
    bool layers = job->model.layer_count > 0;
    if (table == NULL || (layers && spec_table_make(job, table) != SH_OK)) {
        free(table);
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    spec_digest(job, digest);
    sh_hex(hex, digest, sizeof digest);
    if (c->json) {
        json_t *out = json_pack("{s:s, s:s, s:s}", "name", job->name, "kind",
                                spec_kind_name(job->kind), "spec_digest", hex);
        if (layers) {
            (void)json_object_set_new(out, "model", spec_json_table(table));
            (void)json_object_set_new(out, "samples", json_integer(samples));
        }
        free(table);
        return cli_print_json(c, out);
    }
    if (layers) {
        print_layers(c, table);
        print_totals(c, job, table, samples);
    }
    if (job->federated.on) {
        print_rounds(c, job);
    }
    (void)fprintf(c->out, "valid  %s  %s\n", job->name, hex);
    free(table);
    return CLI_OK;
}

int cli_run_validate(struct cli *c)
{
    uint32_t samples = 0;
    struct spec_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return cli_fail(c, CLI_INTERNAL, "NO_MEMORY", "out of memory");
    }
    int status = cli_read_job(c, job);
    if (status == CLI_OK) {
        status = cli_check_data(c, job, &samples);
    }
    if (status == CLI_OK) {
        status = cli_check_package(c, job);
    }
    if (status == CLI_OK) {
        status = print_valid(c, job, samples);
    }
    free(job);
    return status;
}
