/* SPDX-License-Identifier: Apache-2.0
 *
 * The data directory of one agent: its lock, its small files, the places of its stores.
 *
 *   PATH/lock    held by the running agent; contains its process id
 *   PATH/state/  RocksDB: meta, log, fsm      PATH/bulk/  RocksDB: blob, series
 *   PATH/NAME    small files that their owners write through dir_write (identity, cluster, peers)
 *
 * Functions with why (DIR_TEXT_BYTES) put one line for the operator there on failure. */
#ifndef SH_STORE_DIR_H
#define SH_STORE_DIR_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define DIR_PATH_MAX       3071u /* characters of a path inside the directory */
#define DIR_NAME_MAX       63u   /* of a small file: letters, digits, "-", "_", "." */
#define DIR_FILE_BYTES_MAX (1u << 20)
#define DIR_TEXT_BYTES     4096u

struct dir;

/* Creates the directory (mode 0700, parents 0711) and its sub-directories where they are absent,
 * proves that it can be written, and locks it for the life of the handle. Errors: IN_USE (another
 * agent), DENIED (not writable, or not a directory), NO_SPACE, LIMIT (path too long), IO. */
SH_MUST_USE enum sh_err dir_open(const char *path, struct dir **out, char *why);
void dir_close(struct dir *dir); /* unlocks; the files stay */

/* Path of the directory, and of an entry of it; out has DIR_PATH_MAX + 1 bytes. */
const char *dir_path(const struct dir *dir);
void dir_entry(const struct dir *dir, const char *name, char *out);

/* Users that are no owner may pass through it to what is open to them below (mode 0711). */
SH_MUST_USE enum sh_err dir_let_pass(const struct dir *dir, char *why);

/* Whole small file: NOT_FOUND, LIMIT when larger than size (*used is then its size), IO. */
SH_MUST_USE enum sh_err dir_read(const struct dir *dir, const char *name, void *out, size_t size,
                                 size_t *used, char *why);
/* Replaces (or creates) it with mode 0600: after a crash it has the old or the new contents, after
 * OK the new ones. Errors: NO_SPACE, DENIED, LIMIT, IO; the old contents are then still there. */
SH_MUST_USE enum sh_err dir_write(const struct dir *dir, const char *name, const void *bytes,
                                  size_t size, char *why);
/* OK when it is absent afterwards, durably. */
SH_MUST_USE enum sh_err dir_remove(const struct dir *dir, const char *name, char *why);
/* Moves an entry (a damaged store's sub-directory) aside to NAME.damaged.N and recreates nothing;
 * moved (DIR_PATH_MAX + 1 bytes) receives where it went. */
SH_MUST_USE enum sh_err dir_quarantine(const struct dir *dir, const char *name, char *moved,
                                       char *why);

#endif
