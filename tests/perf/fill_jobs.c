/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts finished jobs into the tables of an agent that does not run, as if a snapshot with them had
 * been installed: every command goes through the state machine, and the log then begins behind.
 *
 *   fill_jobs DATA/state FIRST_INDEX TERM JOBS
 *
 * Two agents of one cluster with equal tables have equal ones afterwards. Prints
 * "<jobs> <last index> <us a job>". */
#include "base/host/host.h"
#include "jobs/jobs.h"
#include "jobs/view.h"
#include "store/fsm/fsm.h"
#include "store/kv_rocks.h"
#include "store/wal/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CF_META, CF_LOG, CF_FSM, BATCH_JOBS = 100, NAMES = 1000 };

#define STEP_US 1000u /* between two commands, in the cluster's time */

struct fill {
    struct kv *kv;
    struct wal *wal;
    struct wal_boot boot;
    struct fsm *fsm;
    struct jobs *core;
    const struct sh_table *table;
    struct jobs_node node; /* that did all the work */
    uint64_t index;        /* of the next entry */
    uint64_t term;
    uint64_t stamp_us;
    struct jobs_cmd cmd;
    struct jobs_result result;
    uint8_t bytes[JOBS_CMD_BYTES_MAX];
};

static struct fill fill;

static void must(enum sh_err err, const char *what)
{
    if (err != SH_OK) {
        (void)fprintf(stderr, "%s: %s\n", what, sh_err_text(err));
        exit(1);
    }
}

static void open_all(const char *path)
{
    static const struct kv_cf CFS[] = {
        {"meta", KV_CF_SMALL}, {"log", KV_CF_SMALL}, {"fsm", KV_CF_ROWS}};
    struct kv_rocks_options options = {
        .path = path, .cfs = CFS, .cf_count = SH_COUNT(CFS), .redo = true};
    char why[KV_TEXT_BYTES] = "";
    struct sh_arena arena;
    enum sh_err err = kv_rocks_open(&options, &fill.kv, why);
    must(err, why);
    must(wal_open(fill.kv, CF_LOG, CF_META, &fill.boot, &fill.wal), "the log");
    must(fsm_open(fill.kv, CF_FSM, NULL, &fill.fsm, NULL), "the tables");
    size_t size = (jobs_bytes() + 63) / 64 * 64;
    void *memory = aligned_alloc(64, size);
    SH_CHECK(memory != NULL);
    sh_arena_init(&arena, memory, size);
    fill.core = jobs_init(&arena);
    struct fsm_view *view = NULL;
    struct jobs_counts counts;
    uint32_t count = 0;
    must(fsm_view_open(fill.fsm, &view), "the tables");
    must(jobs_node_list(fsm_view_table(view), NULL, &fill.node, 1, &count), "the agents");
    must(jobs_counts_get(fsm_view_table(view), &counts), "the tables");
    SH_CHECK_CMP(count, ==, 1);
    fill.stamp_us = counts.stamp_us;
    fsm_view_close(view);
}

static void apply(void)
{
    struct sh_writer w = sh_writer_over(fill.bytes, sizeof fill.bytes);
    fill.stamp_us += STEP_US;
    fill.cmd.stamp_us = fill.stamp_us;
    must(jobs_cmd_encode(&fill.cmd, &w), "a command");
    struct jobs_entry entry = {
        .index = fill.index++, .term = fill.term, .bytes = {.at = fill.bytes, .size = w.used}};
    jobs_apply(fill.core, fill.table, &entry, &fill.result);
    must(fill.result.err, jobs_code_text((uint32_t)fill.result.code));
}

/* What a submission of docs/examples/noop.yaml leads to. */
static void finish_job(uint64_t number)
{
    static const char SPEC[] = "{\"api\":\"shoal/v1\",\"kind\":\"noop\",\"name\":\"filled\"}";
    memset(&fill.cmd, 0, sizeof fill.cmd);
    fill.cmd.type = JOBS_SUBMIT;
    struct jobs_submit *submit = &fill.cmd.u.submit;
    (void)snprintf(submit->name, sizeof submit->name, "filled-%u", (unsigned)(number % NAMES));
    submit->kind = WIRE_KIND_NOOP;
    submit->spec = (struct sh_span){.at = (const uint8_t *)SPEC, .size = sizeof SPEC - 1};
    submit->need = (struct wire_need){
        .ranks = 1, .agents_min = 1, .agents_max = 1, .arithmetic = WIRE_ARITHMETIC_ANY};
    submit->checkpoint_keep = 1;
    submit->units = 1;
    apply();
    struct wire_unit unit = {.job = fill.result.unit.job};
    memset(&fill.cmd, 0, sizeof fill.cmd);
    fill.cmd.type = JOBS_PLACE;
    struct jobs_place *place = &fill.cmd.u.place;
    place->unit = unit;
    place->cause = WIRE_CAUSE_PLACED;
    place->member_count = 1;
    memcpy(place->members[0].node, fill.node.id, SH_NODE_ID_BYTES);
    place->members[0].rank_hi = 1;
    apply();
    struct wire_fence fence = fill.result.fence;
    memset(&fill.cmd, 0, sizeof fill.cmd);
    fill.cmd.type = JOBS_COMMIT;
    fill.cmd.u.commit.unit = unit;
    fill.cmd.u.commit.fence = fence;
    apply();
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        (void)fprintf(stderr, "usage: fill_jobs DATA/state FIRST_INDEX TERM JOBS\n");
        return 2;
    }
    sh_host_init();
    open_all(argv[1]);
    fill.index = strtoull(argv[2], NULL, 10);
    fill.term = strtoull(argv[3], NULL, 10);
    uint64_t count = strtoull(argv[4], NULL, 10);
    uint64_t begun = sh_now_us();
    for (uint64_t i = 0; i < count;) {
        fill.table = fsm_begin(fill.fsm);
        for (unsigned j = 0; j < BATCH_JOBS && i < count; j++, i++) {
            finish_job(i);
        }
        must(fsm_commit(fill.fsm, fill.index - 1, fill.term, 0, (struct sh_span){0}, false),
             "the tables");
    }
    uint64_t took = sh_now_us() - begun;
    uint64_t last = fill.index - 1;
    struct wal_hard hard = {.term = fill.term, .commit = last};
    must(wal_install(fill.wal, last, fill.term, &hard, NULL), "the log");
    fsm_close(fill.fsm);
    wal_close(fill.wal);
    kv_close(fill.kv);
    (void)printf("%llu %llu %.1f\n", (unsigned long long)count, (unsigned long long)last,
                 (double)took / (double)(count > 0 ? count : 1));
    return 0;
}
