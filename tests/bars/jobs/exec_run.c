/* SPDX-License-Identifier: Apache-2.0
 *
 * The module agent/exec as a command, for bars:
 *
 *   exec_run --probe DIR [--user ID]                  what this machine gives, one JSON object
 *   exec_run --dir DIR [OPTION VALUE]... -- ARGV...   one command; its lines, then one JSON object
 *
 * Options: --level, --user (and group), --network 1, --cgroup 1, --memory, --data, --file, --disk,
 * --tasks, --tmp (bytes or a count), --run, --grace (milliseconds), --env NAME=value. */
#include "base/host/host.h"
#include "exec/keeper.h"
#include "exec/process.h"
#include "exec/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_MAX 32u

struct options {
    const char *probe;
    enum exec_level level;
    bool cgroup;
    struct exec_sandbox plan;
    struct exec_spec spec;
    const char *env[ENV_MAX + 1];
    size_t env_count;
};

static int usage(const char *what)
{
    (void)fprintf(stderr, "exec_run: %s\n", what);
    return 2;
}

static uint64_t *place_of(struct options *o, const char *name)
{
    struct exec_limits *limits = &o->spec.limits;
    const struct {
        const char *name;
        uint64_t *place;
    } places[] = {{"--memory", &limits->memory_bytes}, {"--data", &limits->data_bytes},
                  {"--file", &limits->file_bytes},     {"--disk", &limits->disk_bytes},
                  {"--run", &limits->run_us},          {"--grace", &limits->grace_us},
                  {"--tmp", &o->plan.tmp_bytes}};
    for (size_t i = 0; i < SH_COUNT(places); i++) {
        if (strcmp(name, places[i].name) == 0) {
            return places[i].place;
        }
    }
    return NULL;
}

static bool take(struct options *o, const char *name, const char *value)
{
    uint64_t *place = place_of(o, name);
    const uint64_t number = strtoull(value, NULL, 10);
    if (place != NULL) {
        const bool time = strcmp(name, "--run") == 0 || strcmp(name, "--grace") == 0;
        *place = time ? number * 1000u : number;
        o->plan.shm_bytes = o->plan.tmp_bytes;
    } else if (strcmp(name, "--dir") == 0) {
        o->spec.dir = value;
    } else if (strcmp(name, "--probe") == 0) {
        o->probe = value;
    } else if (strcmp(name, "--level") == 0) {
        return exec_level_parse(value, &o->plan.level) == SH_OK;
    } else if (strcmp(name, "--user") == 0) {
        o->spec.uid = (uint32_t)number;
        o->spec.gid = (uint32_t)number;
    } else if (strcmp(name, "--tasks") == 0) {
        o->spec.limits.tasks = (uint32_t)number;
    } else if (strcmp(name, "--network") == 0) {
        o->plan.network = number != 0;
    } else if (strcmp(name, "--cgroup") == 0) {
        o->cgroup = number != 0;
    } else if (strcmp(name, "--env") == 0 && o->env_count < ENV_MAX) {
        o->env[o->env_count++] = value;
    } else {
        return false;
    }
    return true;
}

static bool print_line(void *context, enum exec_channel channel, unsigned flags, const char *text,
                       size_t size)
{
    (void)context;
    (void)flags;
    (void)size;
    (void)printf("%d:%s\n", (int)channel + 1, text);
    (void)fflush(stdout);
    return true;
}

/* The sentences here have neither quotes nor backslashes but those of a foreign line. */
static void print_text(const char *name, const char *text)
{
    (void)printf(",\"%s\":\"", name);
    for (; *text != 0; text++) {
        (void)printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
    (void)printf("\"");
}

static int probe(const struct options *o)
{
    static struct exec_machine machine;
    exec_sandbox_probe(&machine, NULL, NULL, o->probe, o->spec.uid, o->spec.gid);
    (void)printf("{\"landlock\":%d,\"cgroup\":%s", machine.landlock,
                 machine.has_cgroup ? "true" : "false");
    print_text("why_cgroup", machine.why_cgroup);
    for (int level = 0; level < EXEC_LEVELS; level++) {
        char why[32];
        const char *name = exec_level_name((enum exec_level)level);
        (void)printf(",\"%s\":", name);
        if (machine.has[level]) {
            (void)printf("%u", machine.gives[level]);
        } else {
            (void)printf("null");
        }
        (void)snprintf(why, sizeof why, "why_%s", name);
        print_text(why, machine.why[level]);
    }
    (void)printf("}\n");
    return 0;
}

static int run(struct options *o, const char *const *argv)
{
    static struct exec_cgroup cgroup;
    char why[EXEC_TEXT_BYTES];
    const struct exec_command command = {.argv = argv};
    const struct exec_hooks hooks = {.line = print_line};
    struct exec_process *process;
    struct exec_result result;
    o->spec.commands = &command;
    o->spec.command_count = 1;
    o->spec.env = o->env;
    o->spec.sandbox = &o->plan;
    if (o->cgroup && exec_cgroup_probe(&cgroup, NULL, why, sizeof why) == SH_OK) {
        o->spec.cgroup = &cgroup;
    }
    if (exec_open(&process, &o->spec, &hooks) != SH_OK) {
        return usage("refused");
    }
    exec_run(process, &result);
    exec_close(process);
    (void)printf("{\"cause\":\"%s\",\"code\":%d,\"signal\":%d,\"wall_us\":%llu,\"cpu_us\":%llu,"
                 "\"memory_peak_bytes\":%llu",
                 exec_cause_name(result.cause), result.code, result.signal,
                 (unsigned long long)result.wall_us, (unsigned long long)result.cpu_us,
                 (unsigned long long)result.memory_peak_bytes);
    print_text("text", result.text);
    (void)printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    static struct options o;
    int at = 1;
    if (exec_keeper_called(argc, argv)) {
        return exec_keeper_main();
    }
    sh_host_init();
    o.env[o.env_count++] = "PATH=/usr/bin:/bin";
    for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
        if (!take(&o, argv[at], argv[at + 1])) {
            return usage(argv[at]);
        }
    }
    if (o.probe != NULL) {
        return probe(&o);
    }
    if (o.spec.dir == NULL || at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        return usage("--dir DIR -- ARGV");
    }
    return run(&o, (const char *const *)argv + at + 1);
}
