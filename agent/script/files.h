/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to agent/script: what comes to a working folder beside the package. */
#ifndef SCRIPT_FILES_H
#define SCRIPT_FILES_H

#include "script/inside.h"

/* A blob as the file `below` the working folder, in the place of what is there; path is absolute.
 */
SH_MUST_USE enum sh_err script_files_put(struct script_unit *x,
                                         const uint8_t digest[static SH_DIGEST_BYTES],
                                         const char *below, char path[static TRAIN_PATH_MAX],
                                         char why[static SCRIPT_WHY_BYTES]);
/* A file set in .shoal/input; path is that of its root. */
SH_MUST_USE enum sh_err script_files_unpack(struct script_unit *x,
                                            const uint8_t digest[static SH_DIGEST_BYTES],
                                            char path[static TRAIN_PATH_MAX],
                                            char why[static SCRIPT_WHY_BYTES]);

/* A new folder with the package (NULL: none) in it, and those below it that commands are told of.
 * OK, or why says what to tell, as of all of these. */
SH_MUST_USE enum sh_err script_files_folder(const struct sh_span *package, const char *dir,
                                            char why[static SCRIPT_WHY_BYTES]);
/* The folder and all in it become that user's, who has run nothing in it yet. */
SH_MUST_USE enum sh_err script_files_own(char *dir, uint32_t user,
                                         char why[static SCRIPT_WHY_BYTES]);
/* Removes a working folder; what is left, which the journal tells, goes when the agent starts. */
void script_files_clear(const char *dir);
/* A file that was not there. IO, and what opening it answers. */
SH_MUST_USE enum sh_err script_files_write(const char *path, const uint8_t *bytes, size_t size);

#endif
