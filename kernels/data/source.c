/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/data/source.h"
#include "kernels/data/dataset_internal.h"
#include "kernels/data/gunzip.h"
#include "kernels/data/image.h"
#include "kernels/data/wav.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 64, READ_PIECE_BYTES = 1 << 30 };

#define MNIST_FILES                                                                                \
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "                   \
    "t10k-labels-idx1-ubyte (.gz or not)"

static enum kn_err open_fail(const char *path, struct kn_diag *diag)
{
    enum kn_err err = errno == ENOENT || errno == ENOTDIR ? KN_ERR_NOT_FOUND : KN_ERR_IO;
    return kn_fail(diag, err, "%s: %s", kn_path_tail(path), strerror(errno));
}

void kn_file_close(struct kn_file *file)
{
    free(file->bytes);
    *file = (struct kn_file){0};
}

/* At most `most` bytes from the beginning of a regular file. */
static enum kn_err read_head(struct kn_file *file, const char *path, uint64_t most,
                             struct kn_diag *diag)
{
    *file = (struct kn_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0) {
        return open_fail(path, diag);
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd); /* read only: nothing can be lost */
        return kn_fail(diag, KN_ERR_IO, "%s: not a regular file", kn_path_tail(path));
    }
    size_t want = (uint64_t)st.st_size < most ? (size_t)st.st_size : (size_t)most;
    file->bytes = malloc(want + 1);
    ssize_t got = file->bytes != NULL ? 1 : -1;
    while (got > 0 && file->size < want) {
        size_t left = want - file->size;
        got = read(fd, file->bytes + file->size, left < READ_PIECE_BYTES ? left : READ_PIECE_BYTES);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        file->size += got > 0 ? (size_t)got : 0;
    }
    int reason = errno;
    (void)close(fd);
    if (file->bytes == NULL) {
        return kn_fail(diag, KN_ERR_MEMORY, "%s: no memory for %zu bytes", kn_path_tail(path),
                       want);
    }
    if (file->size < want) {
        kn_file_close(file);
        return kn_fail(diag, KN_ERR_IO, "%s: %s", kn_path_tail(path),
                       got < 0 ? strerror(reason) : "it shrank while it was read");
    }
    return KN_OK;
}

enum kn_err kn_file_read(struct kn_file *file, const char *path, struct kn_diag *diag)
{
    enum kn_err err = read_head(file, path, KN_DATA_BYTES_MAX + 1, diag);
    if (err == KN_OK && file->size > KN_DATA_BYTES_MAX) {
        kn_file_close(file);
        return kn_fail(diag, KN_ERR_LIMIT, "%s: larger than 4 GiB", kn_path_tail(path));
    }
    return err;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool ends(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcasecmp(text + n - m, end) == 0;
}

static bool picture_name(const char *name)
{
    return ends(name, ".png") || ends(name, ".jpg") || ends(name, ".jpeg") || ends(name, ".pgm");
}

static bool recording_name(const char *name)
{
    return ends(name, ".wav");
}

static bool is_wanted(const char *name, enum kn_walk what)
{
    return what == KN_WALK_PICTURES ? picture_name(name) : recording_name(name);
}

static bool join(char out[KN_SOURCE_PATH_BYTES], const char *folder, const char *name)
{
    int n = snprintf(out, KN_SOURCE_PATH_BYTES, "%s/%s", folder, name);
    return n > 0 && n < KN_SOURCE_PATH_BYTES;
}

/* One of the four MNIST files under any of its usual names; out is "" where it is absent. */
static bool mnist_find(char out[KN_SOURCE_PATH_BYTES], const char *folder, enum kn_part part,
                       const char *kind, char digit)
{
    static const char *const endings[] = {"", ".gz"};
    static const char separators[] = {'-', '.'};
    for (size_t i = 0; i < KN_COUNT(endings) * KN_COUNT(separators); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s-%s%cidx%c-ubyte%s",
                       part == KN_PART_TRAIN ? "train" : "t10k", kind, separators[i / 2], digit,
                       endings[i % 2]);
        if (join(out, folder, name) && is_file(out)) {
            return true;
        }
    }
    out[0] = '\0';
    return false;
}

static bool has_files(const char *folder, enum kn_walk what)
{
    DIR *dir = opendir(folder);
    bool found = false;
    if (dir == NULL) {
        return false;
    }
    for (const struct dirent *e = readdir(dir); e != NULL && !found; e = readdir(dir)) {
        found = e->d_name[0] != '.' && is_wanted(e->d_name, what);
    }
    (void)closedir(dir);
    return found;
}

/* Whether a folder holds a folder that holds such a file. */
static bool has_classes(const char *folder, enum kn_walk what)
{
    DIR *dir = opendir(folder);
    bool found = false;
    if (dir == NULL) {
        return false;
    }
    for (const struct dirent *e = readdir(dir); e != NULL && !found; e = readdir(dir)) {
        char path[KN_SOURCE_PATH_BYTES];
        found = e->d_name[0] != '.' && join(path, folder, e->d_name) && has_files(path, what);
    }
    (void)closedir(dir);
    return found;
}

static enum kn_err folder_find(struct kn_source *s, const char *path, const struct kn_open *options,
                               struct kn_diag *diag)
{
    bool images = mnist_find(s->file, path, s->part, "images", '3');
    bool labels = mnist_find(s->labels, path, s->part, "labels", '1');
    if (images && (labels || options->unlabelled)) {
        s->kind = KN_SOURCE_IDX;
        s->labels[0] = options->unlabelled ? '\0' : s->labels[0];
        return KN_OK;
    }
    if (images || labels) {
        return kn_fail(diag, KN_ERR_NOT_FOUND, "%s: %s-%s-ubyte (.gz or not) is missing",
                       kn_path_tail(path), s->part == KN_PART_TRAIN ? "train" : "t10k",
                       images ? "labels-idx1" : "images-idx3");
    }
    (void)snprintf(s->file, sizeof s->file, "%s", path);
    if (has_classes(path, KN_WALK_PICTURES)) {
        s->kind = KN_SOURCE_FOLDER;
        return KN_OK;
    }
    if (options->unlabelled && has_files(path, KN_WALK_PICTURES)) {
        s->kind = KN_SOURCE_PICTURES;
        return KN_OK;
    }
    if (has_files(path, KN_WALK_RECORDINGS) || has_classes(path, KN_WALK_RECORDINGS)) {
        s->kind = KN_SOURCE_RECORDINGS;
        return KN_OK;
    }
    return kn_fail(diag, KN_ERR_NOT_FOUND,
                   "%s: expected " MNIST_FILES
                   ", one folder of pictures per class, or .wav recordings",
                   kn_path_tail(path));
}

/* The labels beside a file of images: the same name with "labels" for "images", "idx1" for "idx3".
 */
static bool labels_beside(char out[KN_SOURCE_PATH_BYTES], const char *images)
{
    static const char *const words[][2] = {{"images", "labels"}, {"idx3", "idx1"}};
    (void)snprintf(out, KN_SOURCE_PATH_BYTES, "%s", images);
    char *base = strrchr(out, '/');
    base = base != NULL ? base + 1 : out;
    bool changed = false;
    for (size_t i = 0; i < KN_COUNT(words); i++) {
        char *at = strstr(base, words[i][0]);
        if (at != NULL) {
            memcpy(at, words[i][1], strlen(words[i][1]));
            changed = true;
        }
    }
    return changed;
}

static enum kn_err file_find(struct kn_source *s, const char *path, const struct kn_open *options,
                             struct kn_diag *diag)
{
    struct kn_file head;
    enum kn_err err = read_head(&head, path, HEAD_BYTES, diag);
    if (err != KN_OK) {
        return err;
    }
    bool idx = kn_gunzip_known(head.bytes, head.size) ||
               (head.size >= 4 && head.bytes[0] == 0 && head.bytes[1] == 0) ||
               strstr(path, "-ubyte") != NULL;
    bool picture = kn_image_known(head.bytes, head.size);
    bool recording = kn_wav_known(head.bytes, head.size) || recording_name(path);
    kn_file_close(&head);
    (void)snprintf(s->file, sizeof s->file, "%s", path);
    s->kind = picture ? KN_SOURCE_PICTURE : (idx ? KN_SOURCE_IDX : KN_SOURCE_CSV);
    s->kind = recording ? KN_SOURCE_RECORDING : s->kind;
    if (s->kind != KN_SOURCE_IDX || options->unlabelled) {
        return KN_OK;
    }
    if (!labels_beside(s->labels, path) || !is_file(s->labels)) {
        return kn_fail(diag, KN_ERR_NOT_FOUND,
                       "%s: its labels are expected beside it, named labels-idx1 for images-idx3",
                       kn_path_tail(path));
    }
    return KN_OK;
}

enum kn_err kn_source_find(struct kn_source *source, const char *path,
                           const struct kn_open *options, struct kn_diag *diag)
{
    *source = (struct kn_source){.part = options->part};
    if (strncmp(path, "builtin:", 8) == 0) {
        bool test = strcmp(path, "builtin:digits-test") == 0;
        if (!test && strcmp(path, "builtin:digits") != 0) {
            struct kn_quote quote = kn_quote_make(path, strlen(path));
            return kn_fail(diag, KN_ERR_NOT_FOUND,
                           "\"%s\" is not built in; there are builtin:digits and "
                           "builtin:digits-test",
                           quote.text);
        }
        source->kind = KN_SOURCE_DIGITS;
        source->part = test ? KN_PART_TEST : KN_PART_TRAIN;
        return KN_OK;
    }
    if (strlen(path) >= KN_SOURCE_PATH_BYTES) {
        return kn_fail(diag, KN_ERR_LIMIT, "%s: a path of %zu bytes, at most %d",
                       kn_path_tail(path), strlen(path), KN_SOURCE_PATH_BYTES - 1);
    }
    if (is_folder(path)) {
        return folder_find(source, path, options, diag);
    }
    const char *base = strrchr(path, '/');
    if (access(path, F_OK) != 0 && strchr(base != NULL ? base : path, '.') == NULL) {
        return kn_fail(diag, KN_ERR_NOT_FOUND,
                       "%s: no such folder; for MNIST it holds " MNIST_FILES, kn_path_tail(path));
    }
    return file_find(source, path, options, diag);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int in_byte_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void list_free(struct dirent **list, int count)
{
    for (int i = 0; i < count; i++) {
        free(list[i]);
    }
    free((void *)list);
}

/* Entries of a folder in byte order of their names; list_free. */
static enum kn_err list_read(const char *folder, struct dirent ***list, int *count,
                             struct kn_diag *diag)
{
    *list = NULL;
    *count = scandir(folder, list, visible, in_byte_order);
    return *count < 0 ? open_fail(folder, diag) : KN_OK;
}

enum kn_err kn_class_walk(const char *folder, enum kn_walk what, const char *class_name,
                          kn_walk_each each, void *context, struct kn_diag *diag)
{
    struct dirent **list = NULL;
    int count = 0;
    enum kn_err err = list_read(folder, &list, &count, diag);
    if (err != KN_OK) {
        return err;
    }
    uint32_t files = 0;
    for (int i = 0; i < count && err == KN_OK; i++) {
        char path[KN_SOURCE_PATH_BYTES];
        if (is_wanted(list[i]->d_name, what) && join(path, folder, list[i]->d_name)) {
            err = each(context, class_name, path);
            files++;
        }
    }
    list_free(list, count);
    if (err == KN_OK && files == 0) {
        err = kn_fail(diag, KN_ERR_NOT_FOUND, "%s: a class without a %s", kn_path_tail(folder),
                      what == KN_WALK_PICTURES ? ".png, .jpg, .jpeg or .pgm" : ".wav");
    }
    return err;
}

enum kn_err kn_folder_walk(const char *folder, enum kn_walk what, kn_walk_each each, void *context,
                           struct kn_diag *diag)
{
    struct dirent **list = NULL;
    int count = 0;
    enum kn_err err = list_read(folder, &list, &count, diag);
    if (err != KN_OK) {
        return err;
    }
    for (int i = 0; i < count && err == KN_OK; i++) {
        char path[KN_SOURCE_PATH_BYTES];
        if (join(path, folder, list[i]->d_name) && is_folder(path)) {
            err = kn_class_walk(path, what, list[i]->d_name, each, context, diag);
        }
    }
    list_free(list, count);
    return err;
}

enum kn_err kn_recordings_walk(const char *folder, kn_walk_each each, void *context,
                               struct kn_diag *diag)
{
    struct dirent **list = NULL;
    int count = 0;
    enum kn_err err = KN_OK;
    if (has_files(folder, KN_WALK_RECORDINGS)) {
        err = kn_class_walk(folder, KN_WALK_RECORDINGS, "", each, context, diag);
    }
    err = err == KN_OK ? list_read(folder, &list, &count, diag) : err;
    if (err != KN_OK) {
        return err;
    }
    for (int i = 0; i < count && err == KN_OK; i++) {
        char path[KN_SOURCE_PATH_BYTES];
        if (join(path, folder, list[i]->d_name) && has_files(path, KN_WALK_RECORDINGS)) {
            err = kn_class_walk(path, KN_WALK_RECORDINGS, list[i]->d_name, each, context, diag);
        }
    }
    list_free(list, count);
    return err;
}
