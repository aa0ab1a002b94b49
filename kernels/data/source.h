/* SPDX-License-Identifier: Apache-2.0
 *
 * What a path stands for, and reading files: internal to data/. */
#ifndef KN_DATA_SOURCE_H
#define KN_DATA_SOURCE_H

#include "kernels/data/data.h"

enum { KN_SOURCE_PATH_BYTES = 4096 };

enum kn_source_kind {
    KN_SOURCE_DIGITS,    /* builtin */
    KN_SOURCE_IDX,       /* file: images; labels: beside it, or "" */
    KN_SOURCE_CSV,       /* file; a text where the options say so */
    KN_SOURCE_PICTURE,   /* file */
    KN_SOURCE_FOLDER,    /* file: a folder of one folder of pictures per class */
    KN_SOURCE_PICTURES,  /* file: a folder of pictures */
    KN_SOURCE_RECORDING, /* file */
    KN_SOURCE_RECORDINGS /* file: a folder of recordings, of folders of them, or of both */
};

struct kn_source {
    enum kn_source_kind kind;
    enum kn_part part;
    char file[KN_SOURCE_PATH_BYTES];
    char labels[KN_SOURCE_PATH_BYTES];
};

/* Finds out what path is; reads names and first bytes only. NOT_FOUND with what was expected there,
 * CORRUPT, IO. */
KN_MUST_USE enum kn_err kn_source_find(struct kn_source *source, const char *path,
                                       const struct kn_open *options, struct kn_diag *diag);

struct kn_file {
    uint8_t *bytes; /* owned: kn_file_close; one byte at least is allocated */
    size_t size;
};

/* A whole regular file. NOT_FOUND, IO, LIMIT (KN_DATA_BYTES_MAX), MEMORY. */
KN_MUST_USE enum kn_err kn_file_read(struct kn_file *file, const char *path, struct kn_diag *diag);
void kn_file_close(struct kn_file *file);

/* What a walk looks for, by the ending of names. */
enum kn_walk { KN_WALK_PICTURES, KN_WALK_RECORDINGS };

typedef enum kn_err (*kn_walk_each)(void *context, const char *class_name, const char *file);

/* Calls `each` with every such file of a folder, in byte order of their names. NOT_FOUND: none. */
KN_MUST_USE enum kn_err kn_class_walk(const char *folder, enum kn_walk what, const char *class_name,
                                      kn_walk_each each, void *context, struct kn_diag *diag);
/* Calls `each` with every such file of a folder of classes: classes and names in byte order. */
KN_MUST_USE enum kn_err kn_folder_walk(const char *folder, enum kn_walk what, kn_walk_each each,
                                       void *context, struct kn_diag *diag);
/* Every recording below a KN_SOURCE_RECORDINGS: the folder's own with the class name "", then those
 * of its folders that hold any, with the name of the folder. */
KN_MUST_USE enum kn_err kn_recordings_walk(const char *folder, kn_walk_each each, void *context,
                                           struct kn_diag *diag);

#endif
