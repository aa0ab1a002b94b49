/* SPDX-License-Identifier: Apache-2.0
 *
 * `shoal backup` within the agent, and `shoal restore`. A backup is a directory:
 *
 *   state/ bulk/   checkpoints of the two stores
 *   backup.json    {format, version, cluster, name, index, wall_us}; written last
 *
 * A restored directory has no log and no identity: its tables are what a cluster of its own begins
 * with (founding.h). */
#include "cli/exit.h"
#include "parts.h"
#include "stores.h"

#include "base/host/host.h"
#include "spec/json.h"
#include "store/kv_rocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, PATH_BYTES = DIR_PATH_MAX + 1, COPY_BYTES = 1 << 20, MANIFEST_MAX = 65536 };

static const char *const MANIFEST = "backup.json";

/* One line for the operator. */
struct why {
    char *text;
    size_t size;
};

static enum sh_err say(struct why why, enum sh_err err, const char *format, ...) SH_PRINTF(3, 4);

static enum sh_err say(struct why why, enum sh_err err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why.text, why.size, format, args);
    va_end(args);
    return err;
}

static enum sh_err say_errno(struct why why, const char *path)
{
    return say(why, sh_err_from_errno(errno), "%s: %s", path, strerror(errno));
}

static enum sh_err join_path(char out[static PATH_BYTES], const char *dir, const char *name,
                             struct why why)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    return n > 0 && n < PATH_BYTES ? SH_OK : say(why, SH_ERR_LIMIT, "%.200s: too long", dir);
}

/* ---- files ---- */

static bool next_name(DIR *dir, const char **name)
{
    const struct dirent *e = readdir(dir);
    while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)) {
        e = readdir(dir);
    }
    *name = e != NULL ? e->d_name : NULL;
    return e != NULL;
}

/* Makes the directory, or takes it where it is empty. */
static enum sh_err claim_dir(const char *path, struct why why)
{
    const char *name = NULL;
    if (mkdir(path, 0700) == 0) {
        return SH_OK;
    }
    if (errno != EEXIST) {
        return say_errno(why, path);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return say_errno(why, path);
    }
    bool empty = !next_name(dir, &name);
    (void)closedir(dir); /* was read only */
    return empty ? SH_OK : say(why, SH_ERR_EXISTS, "%s is not empty", path);
}

static enum sh_err sync_dir(const char *path, struct why why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return say_errno(why, path);
    }
    enum sh_err err = fsync(fd) == 0 ? SH_OK : say_errno(why, path);
    (void)close(fd); /* was read only */
    return err;
}

static enum sh_err write_all(int fd, const char *bytes, size_t size, const char *path,
                             struct why why)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return say_errno(why, path);
        }
        bytes += n;
        size -= (size_t)n;
    }
    return SH_OK;
}

static enum sh_err create_file(const char *path, int *fd, struct why why)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *fd >= 0 ? SH_OK : say_errno(why, path);
}

static enum sh_err finish_file(int fd, enum sh_err err, const char *path, struct why why)
{
    if (err == SH_OK && fsync(fd) != 0) {
        err = say_errno(why, path);
    }
    if (close(fd) != 0 && err == SH_OK) {
        err = say_errno(why, path);
    }
    return err;
}

static enum sh_err copy_bytes(int from, int to, char *buffer, const char *path, struct why why)
{
    for (;;) {
        ssize_t n = read(from, buffer, COPY_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return say_errno(why, path);
        }
        if (n == 0) {
            return SH_OK;
        }
        enum sh_err err = write_all(to, buffer, (size_t)n, path, why);
        if (err != SH_OK) {
            return err;
        }
    }
}

static enum sh_err copy_file(const char *from, const char *to, char *buffer, struct why why)
{
    int out = -1;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return say_errno(why, from);
    }
    enum sh_err err = create_file(to, &out, why);
    if (err == SH_OK) {
        err = copy_bytes(in, out, buffer, to, why);
        err = finish_file(out, err, to, why);
    }
    (void)close(in); /* was read only */
    return err;
}

/* All files of a store's directory, which has no others below it; to exists. */
static enum sh_err copy_store(const char *from, const char *to, struct why why)
{
    char source[PATH_BYTES];
    char target[PATH_BYTES];
    const char *name = NULL;
    DIR *dir = opendir(from);
    char *buffer = malloc(COPY_BYTES);
    enum sh_err err = buffer == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    if (dir == NULL) {
        err = say_errno(why, from);
    }
    while (err == SH_OK && next_name(dir, &name)) {
        err = join_path(source, from, name, why);
        err = err != SH_OK ? err : join_path(target, to, name, why);
        err = err != SH_OK ? err : copy_file(source, target, buffer, why);
    }
    if (dir != NULL) {
        (void)closedir(dir); /* was read only */
    }
    free(buffer);
    return err != SH_OK ? err : sync_dir(to, why);
}

static uint64_t size_of_store(const char *path)
{
    char file[PATH_BYTES];
    char unused[1];
    const char *name = NULL;
    uint64_t bytes = 0;
    struct stat st;
    DIR *dir = opendir(path);
    while (dir != NULL && next_name(dir, &name)) {
        bool known = join_path(file, path, name, (struct why){unused, sizeof unused}) == SH_OK &&
                     stat(file, &st) == 0;
        bytes += known ? (uint64_t)st.st_size : 0;
    }
    if (dir != NULL) {
        (void)closedir(dir); /* was read only */
    }
    return bytes;
}

/* ---- backup ---- */

static enum sh_err checkpoint(struct kv *kv, const char *path, struct why why)
{
    char text[KV_TEXT_BYTES];
    enum sh_err err = kv_checkpoint(kv, path);
    if (err != SH_OK) {
        kv_error_text(kv, text);
        (void)say(why, err, "%s: %s %s", path, sh_err_text(err), text);
    }
    return err;
}

static enum sh_err write_manifest(const struct service *s, const char *dir, uint64_t index,
                                  struct why why)
{
    char path[PATH_BYTES];
    int fd = -1;
    json_t *map = json_pack(
        "{s:i, s:s, s:o, s:s, s:I, s:I}", "format", FORMAT, "version", SHOAL_VERSION, "cluster",
        spec_json_hex(s->trust.cluster, SH_CLUSTER_ID_BYTES), "name", s->options->name, "index",
        (json_int_t)index, "wall_us", (json_int_t)sh_wall_us());
    char *text = map != NULL ? json_dumps(map, SPEC_JSON_PRINT) : NULL;
    json_decref(map);
    enum sh_err err = text == NULL ? SH_ERR_NO_MEMORY : join_path(path, dir, MANIFEST, why);
    err = err != SH_OK ? err : create_file(path, &fd, why);
    if (err == SH_OK) {
        err = write_all(fd, text, strlen(text), path, why);
        err = finish_file(fd, err, path, why);
    }
    free(text);
    return err != SH_OK ? err : sync_dir(dir, why);
}

/* The tables first: the blobs that they name are there before them. */
enum sh_err service_backup(struct service *s, const char *dir, struct service_backup *out,
                           char *text, size_t size)
{
    char state[PATH_BYTES];
    char bulk[PATH_BYTES];
    struct why why = {text, size};
    struct fsm_view *view;
    *out = (struct service_backup){0};
    why.text[0] = '\0';
    if (dir[0] != '/') {
        return say(why, SH_ERR_INVALID, "%.200s: not an absolute path", dir);
    }
    enum sh_err err = fsm_view_open(s->fsm, &view);
    if (err != SH_OK) {
        return say(why, err, "%s", sh_err_text(err));
    }
    out->index = fsm_view_index(view);
    fsm_view_close(view);
    err = join_path(state, dir, STORES_STATE, why);
    err = err != SH_OK ? err : join_path(bulk, dir, STORES_BULK, why);
    err = err != SH_OK ? err : claim_dir(dir, why);
    err = err != SH_OK ? err : checkpoint(s->state, state, why);
    err = err != SH_OK ? err : checkpoint(s->bulk_kv, bulk, why);
    out->bytes = err == SH_OK ? size_of_store(state) + size_of_store(bulk) : 0;
    return err != SH_OK ? err : write_manifest(s, dir, out->index, why);
}

/* ---- restore ---- */

static enum sh_err check_manifest(const char *dir, struct why why)
{
    char path[PATH_BYTES];
    json_error_t error;
    enum sh_err err = join_path(path, dir, MANIFEST, why);
    if (err != SH_OK) {
        return err;
    }
    json_t *map = json_load_file(path, 0, &error);
    if (map == NULL) {
        return say(why, SH_ERR_NOT_FOUND, "%s is no backup, or one that was not finished: %s", dir,
                   error.text);
    }
    bool known = json_integer_value(json_object_get(map, "format")) == FORMAT;
    json_decref(map);
    return known ? SH_OK : say(why, SH_ERR_VERSION, "%s: %s", path, sh_err_text(SH_ERR_VERSION));
}

/* Empties log and meta, and has the log begin where the tables are. */
static enum sh_err restart_log(struct kv *kv, const struct fsm_applied *applied, uint64_t term)
{
    struct kv_batch batch;
    struct wal_boot boot;
    struct wal *wal = NULL;
    struct wal_hard hard = {.term = term, .commit = applied->index};
    kv_batch_init(&batch);
    kv_batch_del_range(&batch, CF_META, KV_ALL, KV_ALL);
    kv_batch_del_range(&batch, CF_LOG, KV_ALL, KV_ALL);
    enum sh_err err = kv_write(kv, &batch, true);
    kv_batch_fini(&batch);
    err = err != SH_OK ? err : wal_open(kv, CF_LOG, CF_META, &boot, &wal);
    if (err == SH_OK) {
        err = wal_install(wal, applied->index, applied->term, &hard, NULL);
        wal_close(wal);
    }
    return err;
}

/* Nobody votes until the founder does. */
static enum sh_err clear_conf(struct fsm *fsm, const struct fsm_applied *applied)
{
    uint8_t bytes[RAFT_CONF_BYTES_MAX];
    struct raft_conf nobody = {0};
    struct sh_writer w = sh_writer_over(bytes, sizeof bytes);
    raft_conf_encode(&nobody, &w);
    (void)fsm_begin(fsm);
    return fsm_commit(fsm, applied->index, applied->term, applied->index, KV_SPAN(bytes, w.used),
                      true);
}

static enum sh_err scrub_open(struct kv *kv, struct fsm_applied *applied, uint8_t *cluster,
                              struct why why)
{
    struct wal_boot boot;
    struct wal *wal = NULL;
    struct fsm *fsm = NULL;
    enum sh_err err = wal_open(kv, CF_LOG, CF_META, &boot, &wal);
    wal_close(wal);
    err = err != SH_OK ? err : fsm_open(kv, CF_FSM, NULL, &fsm, applied);
    if (err == SH_OK && (!boot.has_identity || applied->index == 0)) {
        err = SH_ERR_NOT_FOUND;
    }
    memcpy(cluster, boot.identity.cluster, SH_CLUSTER_ID_BYTES);
    err = err != SH_OK ? err : clear_conf(fsm, applied);
    uint64_t term = boot.hard.term > applied->term ? boot.hard.term : applied->term;
    err = err != SH_OK ? err : restart_log(kv, applied, term);
    err = err != SH_OK ? err : kv_flush(kv);
    fsm_close(fsm);
    return err == SH_OK ? SH_OK : say(why, err, "the state in the backup: %s", sh_err_text(err));
}

static enum sh_err scrub(const char *path, struct fsm_applied *applied, uint8_t *cluster,
                         struct why why)
{
    char text[KV_TEXT_BYTES];
    struct kv *kv = NULL;
    struct kv_rocks_options options = {
        .path = path, .cfs = stores_state_families, .cf_count = STORES_STATE_CFS, .redo = true};
    enum sh_err err = kv_rocks_open(&options, &kv, text);
    if (err != SH_OK) {
        return say(why, err, "the state in the backup: %s", text);
    }
    err = scrub_open(kv, applied, cluster, why);
    kv_close(kv);
    return err;
}

static enum sh_err fill(struct dir *dir, const char *backup, uint64_t *index, struct why why)
{
    static const char *const STORES[] = {STORES_STATE, STORES_BULK};
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    uint8_t cluster[SH_CLUSTER_ID_BYTES];
    struct fsm_applied *applied = calloc(1, sizeof *applied);
    enum sh_err err = applied == NULL ? SH_ERR_NO_MEMORY : SH_OK;
    for (size_t i = 0; err == SH_OK && i < SH_COUNT(STORES); i++) {
        dir_entry(dir, STORES[i], to);
        err = join_path(from, backup, STORES[i], why);
        err = err != SH_OK ? err : copy_store(from, to, why);
    }
    dir_entry(dir, STORES_STATE, to);
    err = err != SH_OK ? err : scrub(to, applied, cluster, why);
    *index = err == SH_OK ? applied->index : 0;
    free(applied);
    err = err != SH_OK ? err : dir_write(dir, STORES_RESTORED, cluster, sizeof cluster, why.text);
    err = err != SH_OK ? err : dir_write(dir, STORES_STORED, "1", 1, why.text);
    return err != SH_OK ? err : dir_write(dir, STORES_FOUNDING, "1", 1, why.text);
}

static int exit_of(enum sh_err err)
{
    switch ((int)err) {
    case SH_OK:
        return CLI_OK;
    case SH_ERR_NOT_FOUND:
        return CLI_NOT_FOUND;
    case SH_ERR_EXISTS:
    case SH_ERR_IN_USE:
    case SH_ERR_VERSION:
        return CLI_CONFLICT;
    case SH_ERR_DENIED:
        return CLI_DENIED;
    default:
        return CLI_INTERNAL;
    }
}

int restore_main(const struct restore_options *options, uint64_t *index, char *text)
{
    struct why why = {text, AGENT_WHY_BYTES};
    struct dir *dir = NULL;
    char part[PATH_BYTES];
    text[0] = '\0';
    sh_host_init();
    enum sh_err err = check_manifest(options->backup, why);
    err = err != SH_OK ? err : claim_dir(options->data, why);
    /* Beside it, and renamed at the end: there is never half a data directory. */
    if (err == SH_OK && snprintf(part, sizeof part, "%s.part", options->data) >= PATH_BYTES) {
        err = say(why, SH_ERR_LIMIT, "%.200s: too long", options->data);
    }
    err = err != SH_OK ? err : claim_dir(part, why);
    err = err != SH_OK ? err : dir_open(part, &dir, text);
    if (err == SH_OK) {
        err = fill(dir, options->backup, index, why);
        dir_close(dir);
    }
    if (err == SH_OK && rename(part, options->data) != 0) {
        err = say_errno(why, options->data);
    }
    if (err != SH_OK && text[0] == '\0') {
        (void)say(why, err, "%s", sh_err_text(err));
    }
    return exit_of(err);
}
