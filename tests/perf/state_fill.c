/* SPDX-License-Identifier: Apache-2.0
 *
 * usage: state_fill DATA MEBIBYTES : lets the tables of a stopped agent, the founder of a cluster
 * of its own, grow by so many MiB of jobs that were submitted and stopped, the way an agent does
 * it: entries into the log, through the jobs core into the tables, the log compacted behind them.
 * Prints the number of jobs. For bars about large states. */
#include "jobs/jobs.h"
#include "stores.h"

#include "base/host/host.h"
#include "store/fsm/fsm.h"
#include "store/kv_rocks.h"
#include "store/wal/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPEC_BYTES = 60000, BATCH = 64, COMMAND_MAX = JOBS_CMD_BYTES_MAX, KEEP = 1000 };

struct fill {
    struct kv *kv;
    struct wal *wal;
    struct fsm *fsm;
    struct wal_boot boot;
    struct fsm_applied applied;
    struct jobs *jobs;
    uint64_t next; /* entry */
    uint8_t commands[BATCH][COMMAND_MAX];
    size_t sizes[BATCH];
    uint32_t count;
};

static void must(enum sh_err err, const char *what)
{
    if (err != SH_OK) {
        (void)fprintf(stderr, "state_fill: %s: %s\n", what, sh_err_text(err));
        exit(1);
    }
}

/* Log first, then the tables, as they would follow from it. */
static void flush(struct fill *f)
{
    struct wal_entry entries[BATCH];
    struct jobs_result result;
    uint64_t term = f->boot.hard.term;
    uint64_t first = f->next - f->count;
    for (uint32_t i = 0; i < f->count; i++) {
        entries[i] = (struct wal_entry){
            .index = first + i, .term = term, .bytes = {.at = f->commands[i], .size = f->sizes[i]}};
    }
    struct wal_hard hard = f->boot.hard;
    hard.commit = f->next - 1;
    must(wal_save(f->wal, &hard, entries, f->count, false), "the log");
    const struct sh_table *table = fsm_begin(f->fsm);
    for (uint32_t i = 0; i < f->count; i++) {
        struct jobs_entry e = {.index = first + i, .term = term, .bytes = entries[i].bytes};
        jobs_apply(f->jobs, table, &e, &result);
        must(result.err, "a command");
    }
    must(fsm_commit(f->fsm, f->next - 1, term, 0, KV_ALL, false), "the tables");
    if (f->next - 1 > wal_compacted_index(f->wal) + 2 * KEEP) {
        must(wal_compact(f->wal, f->next - 1 - KEEP), "compacting");
    }
    f->count = 0;
}

static void add(struct fill *f, const struct jobs_cmd *cmd)
{
    struct sh_writer w = sh_writer_over(f->commands[f->count], COMMAND_MAX);
    must(jobs_cmd_encode(cmd, &w), "encoding");
    f->sizes[f->count] = w.used;
    f->count++;
    f->next++;
    if (f->count == BATCH) {
        flush(f);
    }
}

/* A job file whose text does not compress. */
static size_t make_spec(char *out, uint64_t number)
{
    uint8_t noise[SPEC_BYTES / 2];
    int head =
        snprintf(out, SPEC_BYTES,
                 "{\"api\":\"shoal/v1\",\"kind\":\"noop\",\"name\":\"fill-%llu\",\"note\":\"",
                 (unsigned long long)number);
    size_t used = (size_t)head;
    size_t half = (SPEC_BYTES - used - 3) / 2;
    sh_random_bytes(noise, half);
    sh_hex(out + used, noise, half);
    used += 2 * half;
    (void)snprintf(out + used, 3, "\"}");
    return used + 2;
}

static void add_job(struct fill *f, uint64_t number)
{
    static struct jobs_cmd cmd;
    static char spec[SPEC_BYTES + 1];
    cmd = (struct jobs_cmd){.type = JOBS_SUBMIT, .stamp_us = sh_wall_us()};
    struct jobs_submit *s = &cmd.u.submit;
    s->kind = WIRE_KIND_NOOP;
    s->units = 1;
    s->checkpoint_keep = 1;
    s->need = (struct wire_need){
        .ranks = 1, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_SAME};
    s->spec = KV_SPAN(spec, make_spec(spec, number));
    (void)snprintf(s->name, sizeof s->name, "fill-%llu", (unsigned long long)number);
    (void)snprintf(s->owner, sizeof s->owner, "fill");
    uint64_t id = f->next;
    add(f, &cmd);
    cmd = (struct jobs_cmd){.type = JOBS_STOP, .stamp_us = sh_wall_us()};
    cmd.u.stop.job = id;
    add(f, &cmd);
}

static void open_fill(struct fill *f, const char *data)
{
    char path[4096];
    char why[KV_TEXT_BYTES];
    (void)snprintf(path, sizeof path, "%s/" STORES_STATE, data);
    struct kv_rocks_options options = {
        .path = path, .cfs = stores_state_families, .cf_count = STORES_STATE_CFS, .redo = true};
    if (kv_rocks_open(&options, &f->kv, why) != SH_OK) {
        (void)fprintf(stderr, "state_fill: %s\n", why);
        exit(1);
    }
    must(wal_open(f->kv, CF_LOG, CF_META, &f->boot, &f->wal), "the log");
    must(fsm_open(f->kv, CF_FSM, NULL, &f->fsm, &f->applied), "the tables");
    if (f->applied.index != f->boot.last_index) {
        (void)fprintf(stderr, "state_fill: let the agent apply all of its log first\n");
        exit(1);
    }
    size_t size = (jobs_bytes() + 63) & ~(size_t)63;
    void *memory = aligned_alloc(64, size);
    SH_CHECK(memory != NULL);
    struct sh_arena arena;
    sh_arena_init(&arena, memory, size);
    f->jobs = jobs_init(&arena);
    f->next = f->boot.last_index + 1;
}

int main(int argc, char **argv)
{
    struct fill *f = calloc(1, sizeof *f);
    if (argc != 3 || f == NULL) {
        (void)fprintf(stderr, "usage: state_fill DATA MEBIBYTES\n");
        return 2;
    }
    sh_host_init();
    open_fill(f, argv[1]);
    uint64_t jobs = strtoull(argv[2], NULL, 10) * (1u << 20) / SPEC_BYTES;
    for (uint64_t i = 0; i < jobs; i++) {
        add_job(f, i);
    }
    if (f->count > 0) {
        flush(f);
    }
    must(kv_flush(f->kv), "flushing");
    fsm_close(f->fsm);
    wal_close(f->wal);
    kv_close(f->kv);
    (void)printf("%llu\n", (unsigned long long)jobs);
    return 0;
}
