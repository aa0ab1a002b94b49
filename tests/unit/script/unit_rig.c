/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_rig.h"

#include "job_text.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct memory_net *net;
struct rig_agent rig_agents[RIG_AGENTS];
uint64_t rig_job;
uint32_t rig_run_as;
enum exec_level rig_sandbox_min;
const char *rig_bwrap;
const struct train_runner *rig_runner;
bool rig_newer;
struct service_log_line rig_lines[512];
static size_t line_count;
static pthread_mutex_t lost_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned lost[2]; /* reports about agents 0 and 1 */

static void wake(void *ctx)
{
    train_wake(ctx);
}

static void on_lost(void *ctx, struct wire_unit unit, struct wire_fence fence,
                    const uint8_t node[SH_NODE_ID_BYTES])
{
    (void)ctx;
    (void)unit;
    (void)fence;
    EXPECT(pthread_mutex_lock(&lost_lock) == 0);
    lost[node[0] == 0x11 ? 0 : 1]++; /* ids of memory_service.c */
    EXPECT(pthread_mutex_unlock(&lost_lock) == 0);
}

unsigned rig_losses_of(uint32_t agent)
{
    EXPECT(pthread_mutex_lock(&lost_lock) == 0);
    unsigned count = lost[agent];
    EXPECT(pthread_mutex_unlock(&lost_lock) == 0);
    return count;
}

void rig_start_train(uint32_t i, bool allowed)
{
    struct rig_agent *a = &rig_agents[i];
    char work[256];
    char cache[256];
    char why[SCRIPT_OPEN_WHY + 1];
    a->bulk = memory_bulk_open(net, a->s);
    (void)snprintf(work, sizeof work, "%s/work%u", tst_dir(), i);
    (void)snprintf(cache, sizeof cache, "%s/cache%u", tst_dir(), i);
    struct scripts_config scripts = {.s = a->s,
                                     .allowed = allowed,
                                     .work = work,
                                     .keeper = KEEPER,
                                     .run_as = rig_run_as,
                                     .sandbox_min = rig_sandbox_min,
                                     .bwrap = rig_bwrap,
                                     .gpus = 4};
    EXPECT_EQ(scripts_open(&a->scripts, &scripts, why), SH_OK);
    service_on_call(a->s, SERVICE_CALL_SCRIPT, scripts_answer, a->scripts);
    struct train_config train = {.s = a->s,
                                 .bulk = a->bulk,
                                 .threads = 1,
                                 .cache = cache,
                                 .exec =
                                     rig_runner != NULL ? rig_runner : scripts_runner(a->scripts)};
    EXPECT_EQ(train_open(&a->train, &train), SH_OK);
    EXPECT_EQ(train_start(a->train), SH_OK);
    memory_bulk_start(a->bulk);
    memory_service_on_applied(a->s, wake, a->train);
    train_wake(a->train);
}

void rig_stop_train(uint32_t i)
{
    struct rig_agent *a = &rig_agents[i];
    memory_service_on_applied(a->s, NULL, NULL);
    train_stop(a->train);
    memory_bulk_close(a->bulk);
    train_close(a->train);
    service_on_call(a->s, SERVICE_CALL_SCRIPT, NULL, NULL);
    scripts_close(a->scripts);
}

void rig_start(bool allowed)
{
    static const struct memory_net_config PLAIN = {.seed = 1};
    sh_host_init();
    net = memory_net_open(&PLAIN);
    memset(lost, 0, sizeof lost);
    for (uint32_t i = 0; i < RIG_AGENTS; i++) {
        rig_agents[i].s =
            i == 0 ? memory_service_open() : memory_service_join(rig_agents[0].s, "beta");
        memory_service_on_lost(rig_agents[i].s, on_lost, NULL);
        rig_start_train(i, allowed);
    }
}

void rig_stop(void)
{
    for (uint32_t i = 0; i < RIG_AGENTS; i++) {
        rig_stop_train(i);
    }
    for (uint32_t i = 0; i < RIG_AGENTS; i++) {
        memory_service_close(rig_agents[i].s);
    }
    memory_net_close(net);
}

/* ---- jobs ---- */

void rig_submit(const char *text, uint32_t members)
{
    static struct spec_job parsed;
    static struct jobs_cmd cmd;
    struct jobs_result result;
    static char spec[SH_SPEC_BYTES_MAX];
    job_text_submit(text, &cmd, &parsed);
    struct jobs_submit *s = &cmd.u.submit;
    if (rig_newer) {
        int n = snprintf(spec, sizeof spec, "{\"a_newer_key\":1,%.*s", (int)s->spec.size - 1,
                         (const char *)s->spec.at + 1);
        s->spec = (struct sh_span){.at = (const uint8_t *)spec, .size = (size_t)n};
    }
    s->kind = WIRE_KIND_EXEC;
    s->need = (struct wire_need){.ranks = (uint16_t)members,
                                 .agents_min = 1,
                                 .agents_max = (uint16_t)members,
                                 .arithmetic = WIRE_ARITHMETIC_ANY};
    s->units = 1;
    s->retries = 1;
    s->checkpoint_keep = 2;
    memory_service_apply(rig_agents[0].s, &cmd, &result);
    rig_job = result.unit.job;
}

/* The rest of a job file behind the head that all have. */
void rig_submit_rest(const char *rest, uint32_t members)
{
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "api: shoal/v1\nkind: exec\nname: n\nsandbox: {level: none}\ngrace: 1s\n%s",
                   rest);
    rig_submit(text, members);
}

struct wire_fence rig_place(uint32_t first, uint32_t count, enum wire_cause cause)
{
    struct service *list[RIG_AGENTS];
    for (uint32_t i = 0; i < count; i++) {
        list[i] = rig_agents[(first + i) % RIG_AGENTS].s;
    }
    return memory_service_place_gang(rig_agents[0].s, rig_job, list, count, cause);
}

void rig_read_unit(struct jobs_unit *unit)
{
    struct service_view *view;
    struct wire_unit id = {.job = rig_job};
    EXPECT_EQ(service_view_open(rig_agents[0].s, &view), SH_OK);
    EXPECT_EQ(jobs_unit_get(service_view_table(view), id, unit), SH_OK);
    service_view_close(view);
}

uint64_t rig_applied(void)
{
    struct service_status status;
    service_status(rig_agents[0].s, &status);
    return status.applied_index;
}

void rig_await(bool (*holds)(const struct jobs_unit *unit), struct jobs_unit *unit)
{
    uint64_t until = sh_now_us() + RIG_WAIT_US;
    for (;;) {
        uint64_t index = rig_applied();
        rig_read_unit(unit);
        if (holds(unit)) {
            return;
        }
        if (sh_now_us() > until) {
            tst_fail(__FILE__, __LINE__, "the unit is %s", jobs_state_name(unit->state));
        }
        (void)service_wait_applied(rig_agents[0].s, index, 1000000);
    }
}

bool rig_is_final(const struct jobs_unit *unit)
{
    return jobs_state_final(unit->state);
}

bool rig_has_completed(const struct jobs_unit *unit)
{
    return unit->state == JOBS_COMPLETED;
}

bool rig_has_failed(const struct jobs_unit *unit)
{
    return unit->failures > 0;
}

bool rig_has_checkpoint(const struct jobs_unit *unit)
{
    return unit->checkpoints > 0;
}

/* Lines of the commands come while they run. */
bool rig_said(const char *text)
{
    struct service_log_want want = {.before = UINT64_MAX, .unit = SERVICE_LINE_ALL};
    bool found = false;
    EXPECT_EQ(service_log_read(rig_agents[0].s, rig_job, &want, rig_lines, SH_COUNT(rig_lines),
                               &line_count, 0),
              SH_OK);
    for (size_t i = 0; i < line_count && !found; i++) {
        found = strstr(rig_lines[i].text, text) != NULL;
    }
    return found;
}

void rig_await_said(const char *text)
{
    uint64_t until = sh_now_us() + RIG_WAIT_US;
    while (!rig_said(text)) {
        EXPECT(sh_now_us() < until);
        (void)service_wait_applied(rig_agents[0].s, rig_applied(),
                                   20000); /* nothing tells of lines */
    }
}

/* One file of what the unit left. */
void rig_expect_output(const struct jobs_unit *unit, const char *path, const char *text)
{
    static uint8_t blob[65536];
    size_t size = 0;
    struct spec_fileset set;
    struct spec_fileset_entry entry;
    bool found = false;
    EXPECT_EQ(service_blob_read(rig_agents[1].s, unit->outcome.state, 0, blob, sizeof blob, &size),
              SH_OK);
    EXPECT_EQ(spec_fileset_open(&set, (struct sh_span){.at = blob, .size = size}), SH_OK);
    while (spec_fileset_next(&set, &entry) == SH_OK) {
        if (strcmp(entry.path, path) == 0) {
            found = true;
            EXPECT_EQ(entry.bytes.size, strlen(text));
            EXPECT(memcmp(entry.bytes.at, text, entry.bytes.size) == 0);
        }
    }
    EXPECT(found);
}

void rig_upload_package(char hex[static 2 * SH_DIGEST_BYTES + 1])
{
    char path[512];
    char why[256] = "";
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t digest[SH_DIGEST_BYTES];
    (void)snprintf(path, sizeof path, "%s/package", tst_dir());
    EXPECT(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/package/lib", tst_dir());
    EXPECT(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof path, "%s/package/lib/words", tst_dir());
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("from the package\n", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/package", tst_dir());
    EXPECT_EQ(spec_package_pack(path, &bytes, &size, why, sizeof why), SH_OK);
    EXPECT_EQ(service_blob_put(rig_agents[0].s, bytes, size, 1, digest, NULL, RIG_WAIT_US), SH_OK);
    sh_hex(hex, digest, sizeof digest);
    free(bytes);
}
