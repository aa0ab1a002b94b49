/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in a data set: its files page by page, and a first look at them. The agent that has the
 * files answers (SERVICE_CALL_BROWSE); of a set that a job made any agent has the blob. Only names
 * that belong to the set are told, and nothing is opened by a name that somebody asks for: a path
 * that leaves the set, or a link, leads nowhere. */
#include "api/browse.h"

#include "api/view.h"

#include "kernels/data/data.h"
#include "spec/fileset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX     500u
#define SAMPLES_MAX   10u
#define CLASSES_MAX   256u
#define HEAD_BYTES    ((size_t)32 * 1024) /* of a table, for its first rows */
#define CELLS_MAX     256u
#define ANSWER_BYTES  ((size_t)400 * 1024) /* fits a reply of one agent */
#define BROWSE_US     UINT64_C(30000000)
#define WHY_BYTES     512u

struct browse {
    bool preview;
    const char *root; /* that names are told below */
    const char *under;
    uint64_t from;
    uint64_t limit;
    uint64_t total; /* of the files below under */
    uint64_t bytes;
    char first[SPEC_FILESET_PATH_MAX + 1]; /* file of the first half */
    bool again;
    bool whole; /* the second half is the same files */
    const char *kind;
    json_t *files;
    json_t *classes;
    json_t *samples;
    char *head; /* of the first table */
    size_t head_size;
};

/* ---- files ---- */

static const char *kind_of(const char *name)
{
    static const struct {
        const char *end;
        const char *kind;
    } ENDS[] = {{".csv", "csv"},       {".png", "pictures"}, {".jpg", "pictures"},
                {".jpeg", "pictures"}, {".pgm", "pictures"}, {".wav", "recordings"},
                {".txt", "text"}};
    size_t n = strlen(name);
    for (size_t i = 0; i < SH_COUNT(ENDS); i++) {
        size_t end = strlen(ENDS[i].end);
        if (n >= end && strcmp(name + n - end, ENDS[i].end) == 0) {
            return ENDS[i].kind;
        }
    }
    return strstr(name, "idx") != NULL ? "idx" : "files";
}

static bool is_below(const char *name, const char *under)
{
    size_t n = strlen(under);
    return n == 0 || (strncmp(name, under, n) == 0 && (name[n] == '/' || name[n] == '\0'));
}

/* A picture's class is the folder it lies in. */
static void count_class(struct browse *b, const char *name, uint64_t size)
{
    char class[SPEC_FILESET_PATH_MAX + 1];
    size_t n = strcspn(name, "/");
    bool has = strcmp(b->kind, "pictures") == 0 && name[n] == '/';
    memcpy(class, name, n);
    class[n] = '\0';
    json_int_t before = has ? json_integer_value(json_object_get(b->classes, class)) : 0;
    if (has && (before > 0 || json_object_size(b->classes) < CLASSES_MAX)) {
        (void)json_object_set_new(b->classes, class, json_integer(before + 1));
    }
    if (before == 0 && json_array_size(b->samples) < SAMPLES_MAX) {
        json_t *sample = json_pack("{s:s, s:I}", "file", name, "size", (json_int_t)size);
        if (has && sample != NULL) {
            (void)json_object_set_new(sample, "class", json_string(class));
        }
        (void)json_array_append_new(b->samples, sample != NULL ? sample : json_null());
    }
}

static void take_file(struct browse *b, const char *name, uint64_t size)
{
    if (!is_below(name, b->under)) {
        return;
    }
    if (b->total == 0) {
        b->kind = kind_of(name);
    }
    if (b->preview) {
        count_class(b, name, size);
    } else if (b->total >= b->from && b->total - b->from < b->limit) {
        json_t *file = json_pack("{s:s, s:I}", "file", name, "size", (json_int_t)size);
        (void)json_array_append_new(b->files, file != NULL ? file : json_null());
    }
    b->total++;
    b->bytes += size;
}

/* The first bytes of the first table. */
static void take_head(struct browse *b, const char *path)
{
    FILE *file = b->preview && b->head == NULL && strcmp(kind_of(path), "csv") == 0
                     ? fopen(path, "rbe")
                     : NULL;
    if (file == NULL) {
        return;
    }
    b->head = malloc(HEAD_BYTES);
    b->head_size = b->head != NULL ? fread(b->head, 1, HEAD_BYTES, file) : 0;
    (void)fclose(file); /* was read only */
}

static enum kn_err take_path(void *context, const char *path)
{
    struct browse *b = context;
    struct stat st;
    if (b->again && strcmp(b->first, path) == 0) {
        b->whole = true;
        return KN_ERR_UNSUPPORTED; /* ends the walk */
    }
    if (b->first[0] == '\0') {
        (void)snprintf(b->first, sizeof b->first, "%s", path);
    }
    size_t n = strlen(b->root);
    const char *name = strncmp(path, b->root, n) == 0 ? path + n : path;
    name += name[0] == '/' ? 1 : 0;
    const char *slash = strrchr(path, '/');
    name = name[0] == '\0' ? slash + 1 : name; /* the set is one file */
    bool regular = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
    take_file(b, name, regular ? (uint64_t)st.st_size : 0);
    if (regular) {
        take_head(b, path);
    }
    return KN_OK;
}

static enum sh_err walk_folder(struct browse *b, const char *path, char *why)
{
    struct kn_diag diag = {.text = ""};
    struct kn_open train = {.part = KN_PART_TRAIN};
    struct kn_open test = {.part = KN_PART_TEST};
    b->root = path;
    enum kn_err err = kn_dataset_files(path, &train, take_path, b, &diag);
    if (err == KN_OK) {
        b->again = true;
        err = kn_dataset_files(path, &test, take_path, b, &diag);
        err = b->whole ? KN_OK : err;
    }
    if (err != KN_OK) {
        (void)snprintf(why, WHY_BYTES, "%s", diag.text);
    }
    return err == KN_OK ? SH_OK : err == KN_ERR_NOT_FOUND ? SH_ERR_NOT_FOUND : SH_ERR_IO;
}

/* Of a set that a job made: the blob is a file set. */
static enum sh_err walk_blob(struct browse *b, struct service *s,
                             const uint8_t digest[static SH_DIGEST_BYTES])
{
    uint64_t size = 0;
    uint64_t have = 0;
    enum sh_err err = service_blob_fetch(s, digest, &size, BROWSE_US);
    uint8_t *bytes = err == SH_OK && size <= SPEC_FILESET_BYTES_MAX ? malloc(size + 1) : NULL;
    struct spec_fileset set;
    struct spec_fileset_entry *entry = malloc(sizeof *entry);
    err = err == SH_OK && (bytes == NULL || entry == NULL) ? SH_ERR_NO_MEMORY : err;
    while (err == SH_OK && have < size) {
        size_t n = 0;
        err = service_blob_read(s, digest, have, bytes + have, size - have, &n);
        err = err == SH_OK && n == 0 ? SH_ERR_CORRUPT : err;
        have += n;
    }
    err = err == SH_OK ? spec_fileset_open(&set, (struct sh_span){bytes, size}) : err;
    while (err == SH_OK && (err = spec_fileset_next(&set, entry)) == SH_OK) {
        take_file(b, entry->path, entry->bytes.size);
        bool table = b->preview && b->head == NULL && strcmp(kind_of(entry->path), "csv") == 0;
        size_t n = entry->bytes.size < HEAD_BYTES ? entry->bytes.size : HEAD_BYTES;
        b->head = table ? malloc(n + 1) : b->head;
        if (table && b->head != NULL) {
            memcpy(b->head, entry->bytes.at, n);
            b->head_size = n;
        }
    }
    free(entry);
    free(bytes);
    return err == SH_ERR_NOT_FOUND && have == size && size > 0 ? SH_OK : err;
}

/* ---- the first rows of a table ---- */

/* The cells of a line; *end becomes what is behind it. NULL: it does not end within the head. */
static json_t *take_row(const char *at, const char *behind, const char **end)
{
    json_t *row = json_array();
    const char *cell = at;
    bool quoted = false;
    for (; at < behind && (quoted || *at != '\n'); at++) {
        quoted = *at == '"' ? !quoted : quoted;
        if (!quoted && *at == ',' && json_array_size(row) < CELLS_MAX) {
            (void)json_array_append_new(row, json_stringn(cell, (size_t)(at - cell)));
            cell = at + 1;
        }
    }
    if (at == behind) {
        json_decref(row);
        return NULL;
    }
    size_t n = (size_t)(at - cell);
    n -= n > 0 && cell[n - 1] == '\r' ? 1 : 0;
    (void)json_array_append_new(row, json_stringn(cell, n));
    *end = at + 1;
    return row;
}

static json_t *rows_json(const struct browse *b)
{
    json_t *rows = json_array();
    const char *at = b->head;
    const char *behind = b->head + b->head_size;
    while (b->head != NULL && at < behind && json_array_size(rows) <= SAMPLES_MAX) {
        json_t *row = take_row(at, behind, &at);
        if (row == NULL) {
            break;
        }
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *answer_json(const struct browse *b, const char *name)
{
    if (!b->preview) {
        uint64_t next = b->from + json_array_size(b->files);
        return json_pack("{s:s, s:I, s:I, s:I, s:O}", "name", name, "total", (json_int_t)b->total,
                         "from", (json_int_t)b->from, "next",
                         (json_int_t)(next < b->total ? next : 0), "files", b->files);
    }
    json_t *out = json_pack("{s:s, s:s, s:I, s:I, s:O, s:O}", "name", name, "kind", b->kind,
                            "files", (json_int_t)b->total, "bytes", (json_int_t)b->bytes, "classes",
                            b->classes, "samples", b->samples);
    if (strcmp(b->kind, "csv") == 0) {
        (void)json_object_set_new(out, "rows", rows_json(b));
    }
    return out;
}

/* ---- on the agent that has the files ---- */

static enum sh_err browse(struct service *s, struct browse *b, const char *name, char **text,
                          char *why)
{
    char path[JOBS_PATH_MAX + 1];
    struct jobs_dataset set = {.holders = 0};
    struct service_view *view = NULL;
    enum sh_err err = service_view_open(s, &view);
    if (err == SH_OK) {
        err = jobs_dataset_get(service_view_table(view), name, &set);
        service_view_close(view);
    }
    b->kind = "files";
    b->files = json_array();
    b->classes = json_object();
    b->samples = json_array();
    if (err == SH_OK && set.local) {
        (void)snprintf(why, WHY_BYTES,
                       "the data set is local: what is in it stays with each agent");
        err = SH_ERR_DENIED;
    } else if (err == SH_OK && set.unit.job != 0) {
        err = walk_blob(b, s, set.digest);
    } else if (err == SH_OK) {
        err = service_dataset_path(s, name, path, sizeof path);
        err = err == SH_OK ? walk_folder(b, path, why) : err;
    }
    if (err == SH_OK && b->total == 0) {
        (void)snprintf(why, WHY_BYTES, "nothing of the set lies there");
        err = SH_ERR_NOT_FOUND;
    }
    json_t *out = err == SH_OK ? answer_json(b, name) : NULL;
    *text = out != NULL ? json_dumps(out, SPEC_JSON_PRINT) : NULL;
    json_decref(out);
    json_decref(b->files);
    json_decref(b->classes);
    json_decref(b->samples);
    free(b->head);
    err = err == SH_OK && *text == NULL ? SH_ERR_NO_MEMORY : err;
    return err == SH_OK && strlen(*text) > ANSWER_BYTES ? SH_ERR_LIMIT : err;
}

/* request: bool preview, str name, str under, u64 from, u64 limit. reply: u32 error, str why, then
 * JSON. */
enum sh_err api_browse_call(void *ctx, struct sh_span request, uint8_t *reply, size_t capacity,
                            size_t *reply_size)
{
    char name[SH_NAME_MAX + 1];
    char under[SPEC_FILESET_PATH_MAX + 1];
    char why[WHY_BYTES] = "";
    char *text = NULL;
    struct sh_reader r = sh_reader_over(request.at, request.size);
    struct browse b = {.preview = sh_get_bool(&r), .under = under};
    sh_get_str(&r, name, sizeof name);
    sh_get_str(&r, under, sizeof under);
    b.from = sh_get_u64(&r);
    b.limit = sh_get_u64(&r);
    enum sh_err err = sh_reader_end(&r);
    err = err == SH_OK ? browse(ctx, &b, name, &text, why) : err;
    struct sh_writer w = sh_writer_over(reply, capacity);
    sh_put_u32(&w, (uint32_t)err);
    sh_put_str(&w, why);
    sh_put_bytes(&w, text, err == SH_OK ? strlen(text) : 0);
    free(text);
    *reply_size = w.used;
    return w.full ? SH_ERR_LIMIT : SH_OK;
}

/* ---- on the agent that is asked ---- */

/* An agent that has the files of a set: the one that ?node= names, or the first; this one for what
 * a job made. False with the reply made. */
static bool find_holder(const struct api_request *request, struct api_reply *reply,
                        uint8_t id[static SH_NODE_ID_BYTES])
{
    const char *name = request->params[0];
    const char *node = api_query(request, "node");
    struct jobs_dataset set;
    struct jobs_dataset_holder holder;
    struct jobs_node row;
    struct service_status st;
    struct service_view *view = NULL;
    uint32_t count = 0;
    if (!api_open_view(request, reply, &view)) {
        return false;
    }
    const struct sh_table *t = service_view_table(view);
    service_status(request->service, &st);
    enum sh_err err = jobs_dataset_get(t, name, &set);
    bool known = err == SH_OK;
    if (known && set.unit.job != 0) {
        memcpy(id, st.node_id, SH_NODE_ID_BYTES);
    } else if (known && node != NULL) {
        err = jobs_node_by_name(t, node, &row);
        err = err == SH_OK ? jobs_dataset_holder_get(t, name, row.id, &holder) : err;
        memcpy(id, row.id, SH_NODE_ID_BYTES);
    } else if (known) {
        err = jobs_dataset_holder_list(t, name, NULL, &holder, 1, &count);
        err = err == SH_OK && count == 0 ? SH_ERR_NOT_FOUND : err;
        memcpy(id, holder.node, SH_NODE_ID_BYTES);
    }
    service_view_close(view);
    if (err == SH_ERR_NOT_FOUND && known) {
        api_reply_error(reply, err, "node", node != NULL ? node : "",
                        "no agent of that name has the data set");
    } else if (err == SH_ERR_NOT_FOUND) {
        api_reply_error(reply, err, "dataset", name, "no such data set");
    } else if (err != SH_OK) {
        api_reply_err(reply, err);
    }
    return err == SH_OK;
}

static void ask(const struct api_request *request, struct api_reply *reply, struct browse *b)
{
    uint8_t id[SH_NODE_ID_BYTES];
    uint8_t question[SPEC_FILESET_PATH_MAX + SH_NAME_MAX + 64];
    char why[WHY_BYTES] = "";
    size_t size = 0;
    uint8_t *answer = malloc(ANSWER_BYTES + 2 * WHY_BYTES);
    if (answer == NULL || !find_holder(request, reply, id)) {
        free(answer);
        return;
    }
    struct sh_writer w = sh_writer_over(question, sizeof question);
    sh_put_u8(&w, b->preview);
    sh_put_str(&w, request->params[0]);
    sh_put_str(&w, b->under);
    sh_put_u64(&w, b->from);
    sh_put_u64(&w, b->limit);
    SH_CHECK(!w.full);
    enum sh_err err = service_call(request->service, id, SERVICE_CALL_BROWSE, question, w.used,
                                   answer, ANSWER_BYTES + 2 * WHY_BYTES, &size, BROWSE_US);
    struct sh_reader r = sh_reader_over(answer, err == SH_OK ? size : 0);
    if (err == SH_OK) {
        err = sh_err_from_u32(sh_get_u32(&r));
        sh_get_str(&r, why, sizeof why);
    }
    size_t left = sh_reader_left(&r);
    json_t *out =
        err == SH_OK ? json_loadb((const char *)answer + size - left, left, 0, NULL) : NULL;
    if (err != SH_OK) {
        api_reply_error(reply, err, b->preview ? "dataset" : "under",
                        b->preview ? request->params[0] : b->under, "%s",
                        why[0] != '\0' ? why : sh_err_text(err));
    } else if (out == NULL) {
        api_reply_err(reply, SH_ERR_CORRUPT);
    } else {
        api_reply_json(reply, 200, out);
    }
    free(answer);
}

void api_get_dataset_files(const struct api_request *request, struct api_reply *reply)
{
    const char *under = api_query(request, "under");
    struct browse b = {.under = under != NULL ? under : ""};
    struct sh_span path = {.at = (const uint8_t *)b.under, .size = strlen(b.under)};
    const char *wrong = path.size > 0 ? spec_fileset_path_wrong(path) : NULL;
    if (wrong != NULL) {
        api_reply_error(reply, SH_ERR_INVALID, "under", under,
                        "%s: must be a folder of the set, as its files are named", wrong);
    } else if (!api_query_u64(request, "from", UINT64_MAX >> 1, 0, &b.from)) {
        api_reply_error(reply, SH_ERR_INVALID, "from", api_query(request, "from"),
                        "must be the next of an earlier page");
    } else if (!api_query_u64(request, "limit", LIMIT_MAX, LIMIT_DEFAULT, &b.limit) ||
               b.limit == 0) {
        api_reply_error(reply, SH_ERR_INVALID, "limit", api_query(request, "limit"),
                        "must be a whole number from 1 to %u", LIMIT_MAX);
    } else {
        ask(request, reply, &b);
    }
}

void api_get_dataset_preview(const struct api_request *request, struct api_reply *reply)
{
    struct browse b = {.preview = true, .under = ""};
    ask(request, reply, &b);
}
