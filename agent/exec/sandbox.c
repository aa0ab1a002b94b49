/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/sandbox.h"

#include "base/host/host.h"
#include "exec/confine.h"
#include "exec/keeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const LEVELS[] = {"none", "basic", "strict"};
_Static_assert(SH_COUNT(LEVELS) == EXEC_LEVELS, "every level has a name");

/* What programs look for in /etc: the loader, users, time, certificates, fonts. No secrets. */
static const char *const ETC[] = {
    "/etc/ld.so.cache",  "/etc/ld.so.conf",    "/etc/ld.so.conf.d",    "/etc/passwd",
    "/etc/group",        "/etc/nsswitch.conf", "/etc/localtime",       "/etc/timezone",
    "/etc/alternatives", "/etc/ssl/certs",     "/etc/ssl/openssl.cnf", "/etc/ca-certificates",
    "/etc/fonts",        "/etc/mime.types",    "/etc/hosts",           "/etc/OpenCL"};
static const char *const ETC_NETWORK[] = {"/etc/resolv.conf", "/etc/host.conf", "/etc/services",
                                          "/etc/protocols", "/etc/gai.conf"};
static const char *const ROOTS[] = {"/bin", "/sbin", "/lib", "/lib64", "/lib32"};
static const char *const DEVICES[] = {"/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom", "/dev/tty",  "/dev/shm"};

const char *exec_level_name(enum exec_level level)
{
    SH_CHECK_CMP(level, <, EXEC_LEVELS);
    return LEVELS[level];
}

enum sh_err exec_level_parse(const char *name, enum exec_level *out)
{
    for (int i = 0; i < EXEC_LEVELS; i++) {
        if (strcmp(name, LEVELS[i]) == 0) {
            *out = (enum exec_level)i;
            return SH_OK;
        }
    }
    return SH_ERR_INVALID;
}

static void put(struct sh_writer *w, const char *word)
{
    sh_put_bytes(w, word, strlen(word) + 1);
}

static void put_2(struct sh_writer *w, const char *option, const char *value)
{
    put(w, option);
    put(w, value);
}

static void put_3(struct sh_writer *w, const char *option, const char *from, const char *to)
{
    put_2(w, option, from);
    put(w, to);
}

static void put_tmpfs(struct sh_writer *w, const char *path, uint64_t size, const char *mode)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, size != 0 ? size : EXEC_TMP_BYTES);
    put_2(w, "--perms", mode);
    put_2(w, "--size", text);
    put_2(w, "--tmpfs", path);
}

static void put_binds(struct sh_writer *w, const char *option, const char *const *paths)
{
    for (size_t i = 0; paths != NULL && paths[i] != NULL; i++) {
        put_3(w, option, paths[i], paths[i]);
    }
}

static void put_system(struct sh_writer *w, bool network)
{
    put_3(w, "--ro-bind", "/usr", "/usr");
    for (size_t i = 0; i < SH_COUNT(ROOTS); i++) {
        /* Where these are links into /usr, bwrap follows them. */
        put_3(w, "--ro-bind-try", ROOTS[i], ROOTS[i]);
    }
    for (size_t i = 0; i < SH_COUNT(ETC); i++) {
        put_3(w, "--ro-bind-try", ETC[i], ETC[i]);
    }
    for (size_t i = 0; network && i < SH_COUNT(ETC_NETWORK); i++) {
        put_3(w, "--ro-bind-try", ETC_NETWORK[i], ETC_NETWORK[i]);
    }
}

static enum sh_err put_env(struct sh_writer *w, const char *const *env)
{
    put(w, "--clearenv");
    for (size_t i = 0; env[i] != NULL; i++) {
        const char *equals = strchr(env[i], '=');
        if (equals == NULL || equals == env[i]) {
            return SH_ERR_INVALID;
        }
        put(w, "--setenv");
        sh_put_bytes(w, env[i], (size_t)(equals - env[i]));
        sh_put_u8(w, 0);
        put(w, equals + 1);
    }
    return SH_OK;
}

enum sh_err exec_sandbox_options(const struct exec_sandbox *plan, const char *dir,
                                 const char *const *env, char *out, size_t size, size_t *used)
{
    struct sh_writer w = sh_writer_over(out, size);
    char status[12];
    put(&w, "--unshare-all");
    put(&w, "--unshare-user");
    put(&w, "--disable-userns");
    if (plan->network) {
        put(&w, "--share-net");
    }
    put(&w, "--die-with-parent");
    put_2(&w, "--cap-drop", "ALL");
    put_2(&w, "--hostname", "shoal");
    put_system(&w, plan->network);
    put_2(&w, "--proc", "/proc");
    put_2(&w, "--dev", "/dev");
    put_tmpfs(&w, "/dev/shm", plan->shm_bytes, "1777");
    put_binds(&w, "--dev-bind", plan->devices);
    if (plan->devices != NULL && plan->devices[0] != NULL) {
        put_3(&w, "--ro-bind", "/sys", "/sys"); /* drivers look for their devices there */
    }
    put_tmpfs(&w, "/tmp", plan->tmp_bytes, "1777");
    put_binds(&w, "--ro-bind", plan->read_only);
    put_3(&w, "--bind", dir, dir);
    if (plan->package != NULL) {
        put_3(&w, "--ro-bind", plan->package,
              plan->package_at != NULL ? plan->package_at : plan->package);
    }
    /* Both are file systems in memory, without a limit. */
    put_2(&w, "--remount-ro", "/dev");
    put_2(&w, "--remount-ro", "/");
    put_2(&w, "--chdir", dir);
    (void)snprintf(status, sizeof status, "%d", EXEC_FD_STATUS);
    put_2(&w, "--json-status-fd", status);
    const enum sh_err err = put_env(&w, env);
    *used = w.used;
    return err == SH_OK && w.full ? SH_ERR_LIMIT : err;
}

struct list {
    const char **at;
    size_t count;
    bool full;
};

static void append(struct list *list, const char *path)
{
    if (list->count + 1 >= EXEC_PATHS_MAX) {
        list->full = true;
        return;
    }
    list->at[list->count++] = path;
}

static void append_all(struct list *list, const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count && paths[i] != NULL; i++) {
        append(list, paths[i]);
    }
}

enum sh_err exec_sandbox_lists(const struct exec_sandbox *plan, const char *dir,
                               struct exec_lists *out)
{
    *out = (struct exec_lists){{NULL}, {NULL}};
    struct list readable = {.at = out->readable};
    struct list writable = {.at = out->writable};
    append(&readable, "/usr");
    append_all(&readable, ROOTS, SH_COUNT(ROOTS));
    append_all(&readable, ETC, SH_COUNT(ETC));
    append(&readable, "/proc");
    if (plan->network) {
        append_all(&readable, ETC_NETWORK, SH_COUNT(ETC_NETWORK));
    }
    append_all(&writable, DEVICES, SH_COUNT(DEVICES));
    append(&writable, dir);
    if (plan->package != NULL) {
        append(&readable, plan->package);
    }
    if (plan->read_only != NULL) {
        append_all(&readable, plan->read_only, EXEC_PATHS_MAX);
    }
    if (plan->devices != NULL) {
        append(&readable, "/sys");
        append_all(&writable, plan->devices, EXEC_PATHS_MAX);
    }
    return readable.full || writable.full ? SH_ERR_LIMIT : SH_OK;
}

static unsigned gives(enum exec_level level, int landlock)
{
    unsigned all = EXEC_GIVES_FILES;
    switch (level) {
    case EXEC_LEVEL_STRICT:
        return all | EXEC_GIVES_NETWORK | EXEC_GIVES_SIGNALS | EXEC_GIVES_TMP | EXEC_GIVES_HIDDEN;
    case EXEC_LEVEL_BASIC:
        all |= exec_confine_filters() ? EXEC_GIVES_NETWORK : 0u;
        all |= landlock >= 6 ? EXEC_GIVES_SIGNALS : 0u;
        return all;
    case EXEC_LEVEL_NONE:
        return 0;
    case EXEC_LEVELS:
        break;
    }
    SH_UNREACHABLE();
}

static void probe_level(struct exec_machine *out, enum exec_level level, const char *keeper,
                        const char *bwrap, const char *dir, uint32_t uid, uint32_t gid)
{
    static const char *const argv[] = {"/usr/bin/true", NULL};
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    const struct exec_command command = {.argv = argv};
    const struct exec_sandbox plan = {.level = level, .bwrap = bwrap};
    const struct exec_spec spec = {.commands = &command,
                                   .command_count = 1,
                                   .env = env,
                                   .dir = dir,
                                   .limits = {.run_us = EXEC_PROBE_US},
                                   .sandbox = &plan,
                                   .keeper = keeper,
                                   .uid = uid,
                                   .gid = gid};
    const struct exec_hooks hooks = {0};
    struct exec_process *process;
    struct exec_result result;
    const enum sh_err err = exec_open(&process, &spec, &hooks);
    if (err != SH_OK) {
        (void)snprintf(out->why[level], EXEC_TEXT_BYTES, "%s", sh_err_text(err));
        return;
    }
    exec_run(process, &result);
    exec_close(process);
    out->has[level] = result.cause == EXEC_OK;
    if (out->has[level]) {
        out->gives[level] = gives(level, out->landlock);
    } else {
        (void)snprintf(out->why[level], EXEC_TEXT_BYTES, "%s", result.text);
    }
}

void exec_sandbox_probe(struct exec_machine *out, const char *keeper, const char *bwrap,
                        const char *dir, uint32_t uid, uint32_t gid)
{
    *out = (struct exec_machine){.landlock = exec_confine_landlock()};
    for (int level = 0; level < EXEC_LEVELS; level++) {
        probe_level(out, (enum exec_level)level, keeper, bwrap, dir, uid, gid);
    }
    out->has_cgroup =
        exec_cgroup_probe(&out->cgroup, NULL, out->why_cgroup, sizeof out->why_cgroup) == SH_OK;
}

enum exec_level exec_machine_best(const struct exec_machine *machine)
{
    return machine->has[EXEC_LEVEL_STRICT]  ? EXEC_LEVEL_STRICT
           : machine->has[EXEC_LEVEL_BASIC] ? EXEC_LEVEL_BASIC
                                            : EXEC_LEVEL_NONE;
}
